//! The algorithms: replay, exploration, schedules, TD targets, losses, learners
