//! Text environments and the rewards that judge what is written in them.
//!
//! An environment says what may be written and when a text is over: [`NextToken`] hides texts and asks for them token
//! by token, [`Generation`] lets a policy write freely after a prompt, and [`Tabular`] wraps small decision processes
//! whose exact values are known, the [`ProbeName`]s among them. Three ask for one ability each: [`CopyString`] to read
//! a string and write it again, [`Memory`] to keep a token in mind, and [`deep_sea`] to explore. A [`game`] is played
//! in text: a command is a text, and so is the answer. What free text is worth is said by [`reward`]: a weighted sum of
//! named terms, asked once for a batch of finished episodes. Episodes that were played before come as files, see
//! [`log`]. A [translation](TranslationConfig) is free writing about a sentence, [speech](SpeechConfig) recognition about a
//! recording.

mod config;
mod copy;
mod deep_sea;
mod error;
pub mod game;
mod generation;
pub mod log;
mod memory;
mod next_token;
mod probe;
pub mod reward;
mod speech;
mod start;
mod tabular;
mod tabular_examples;
mod translation;

pub use config::{EnvironmentConfig, PlayedGame, SelfContained};
pub use copy::CopyString;
pub use deep_sea::deep_sea;
pub use error::EnvError;
pub use generation::{Generation, Limit};
pub use memory::Memory;
pub use next_token::NextToken;
pub use probe::ProbeName;
pub use reward::{LineForm, RewardConfig, RewardContext, RewardSum};
pub use speech::{Listener, Normalize, SpeechConfig, Utterance, Utterances};
pub use tabular::{Tabular, Transition};
pub use tabular_examples::TabularName;
pub use translation::{PairedFiles, PairsSource, TranslationConfig};
