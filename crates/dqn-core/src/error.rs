//! What can go wrong in a learner.

/// A learner or its stored state that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// A stored part of a learner is missing.
    #[error("the checkpoint has no part {part:?}")]
    MissingPart {
        /// Name of the part.
        part: String,
    },
    /// A stored part of a learner does not fit this learner.
    #[error("part {part:?} of the checkpoint does not fit: {message}")]
    Unfit {
        /// Name of the part.
        part: String,
        /// What differs.
        message: String,
    },
    /// The loss is not a number, so that an update would destroy the parameters.
    #[error("the loss of update {update} is {loss}; lower the learning rate or the reward scale")]
    NotFinite {
        /// The update, counted from 1.
        update: u64,
        /// The loss.
        loss: f32,
    },
}
