//! Q-networks over token sequences: an embedding, a torso that reads the text, and a head that values actions.
//!
//! Torsos and heads are closed enums, so that one network type serves every combination. Every torso answers for whole
//! sequences (`forward`) and token by token (`step`), and the two agree.

mod embedding;
mod gru;
mod head;
mod init;
mod mlp;
mod network;
mod torso;

pub use embedding::TokenEmbedding;
pub use gru::{Gru, GruConfig};
pub use head::{Head, HeadConfig};
pub use mlp::{Mlp, MlpConfig};
pub use network::{NetworkConfig, TextQNetwork};
pub use torso::{DecodeState, Torso, TorsoConfig};
