//! What can go wrong between a policy and its environment.

use dqn_text::ActionId;

/// A broken contract between a policy, an environment and a reward.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MdpError {
    /// An episode was asked for that does not exist.
    #[error("start {index} does not exist; the environment has {n_starts} starts, counted from 0")]
    NoSuchStart {
        /// The index asked for.
        index: usize,
        /// How many starts there are.
        n_starts: usize,
    },
    /// An action was taken after the end of the episode or before its beginning.
    #[error("action {} was taken outside an episode; reset the environment first", action.0)]
    EpisodeOver {
        /// The action.
        action: ActionId,
    },
    /// An action was taken that the state does not allow.
    #[error("action {} is not allowed in this state", action.0)]
    Forbidden {
        /// The action.
        action: ActionId,
    },
    /// A reward gave a number that is not finite.
    #[error("reward term {term:?} gave {value} for step {step} of episode {episode}; rewards must be finite")]
    NotFinite {
        /// The name of the term.
        term: String,
        /// The index of the episode in its batch.
        episode: usize,
        /// The index of the step in its episode.
        step: usize,
        /// The value.
        value: f32,
    },
    /// A reward failed for a reason of its own.
    #[error("reward term {term:?} failed: {message}")]
    Reward {
        /// The name of the term.
        term: String,
        /// The reason.
        message: String,
    },
}
