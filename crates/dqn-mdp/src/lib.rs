//! The nouns of a decision process over text, and the contracts between those who make episodes and those who learn
//! from them.
//!
//! A [`State`] is the text so far. A policy chooses an [`ActionId`] among those an [`ActionMask`] allows; the
//! [`Environment`] answers with a [`Step`]: the tokens that were added, a reward, and an [`Outcome`] that tells an end
//! from a time limit. An episode, once over, is a [`Trajectory`]; a [`Reward`] may still judge it as a whole. This
//! crate stands between environments and algorithms so that neither knows the other.

mod environment;
mod error;
mod mask;
mod outcome;
pub mod position;
pub mod random;
pub mod source;
mod trajectory;

pub use dqn_text::{ActionId, ActionTable, TokenId};
pub use environment::{Environment, Reward, Start, State, StateRef, Step, TermReward};
pub use error::MdpError;
pub use mask::{ActionMask, StateMasks};
pub use outcome::Outcome;
pub use position::{Position, PositionEncoder};
pub use random::{RandomStreams, Seed};
pub use source::{Frames, Prompt, Source, SourceId, SourceKind, Sources};
pub use trajectory::Trajectory;
