//! Q-networks over token sequences: an embedding, a torso that reads the text, and a head that values actions.
//!
//! Torsos and heads are closed enums, so that one network type serves every combination. Every torso answers for whole
//! sequences (`forward`) and token by token (`step`), and the two agree.

mod action_values;
mod bag;
mod cnn;
mod dropout;
mod embedding;
mod encoder;
#[cfg(feature = "flex")]
mod fused;
mod gru;
mod head;
mod init;
mod linear;
mod lstm;
mod mlp;
mod network;
mod norm;
pub mod pretrained;
mod quantile_embedding;
mod relevance;
mod source_attention;
mod source_reader;
mod tied;
mod torso;
mod transformer;

pub use bag::{Bag, BagConfig, BagFeatures};
pub use cnn::{Cnn, CnnConfig};
pub use embedding::TokenEmbedding;
pub use encoder::{EncoderConfig, EncoderLayers};
pub use gru::{Gru, GruConfig};
pub use head::{Head, HeadConfig};
pub use lstm::{Lstm, LstmConfig};
pub use mlp::{Mlp, MlpConfig};
pub use network::{NetworkConfig, TextQNetwork};
pub use quantile_embedding::QuantileEmbedding;
pub use relevance::{ActionEncoder, Relevance, RelevanceConfig};
pub use source_attention::Conditioning;
pub use source_reader::DecodeState;
pub use tied::Tied;
pub use torso::{Torso, TorsoConfig, TorsoState};
pub use transformer::{Transformer, TransformerConfig};
