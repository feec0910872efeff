//! How a step leaves an episode.

use serde::{Deserialize, Serialize};

/// What a step did to the episode.
///
/// The difference between the two endings decides the TD target: after [`Outcome::Terminated`] no value follows; after
/// [`Outcome::Truncated`] the episode was merely cut short, and the value of its last state still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The episode goes on.
    Continues,
    /// The episode is over by the rules of the task: nothing of value follows.
    Terminated,
    /// The episode was cut by a limit on its length: value would have followed.
    Truncated,
}

impl Outcome {
    /// Whether no further action may be taken.
    pub fn is_end(self) -> bool {
        self != Outcome::Continues
    }

    /// Whether the value of the state after this step enters the TD target.
    pub fn bootstraps(self) -> bool {
        self != Outcome::Terminated
    }
}
