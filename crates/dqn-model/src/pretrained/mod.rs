//! Pretrained causal language models: read from the folders people have them in, run, and written back.
//!
//! A folder holds `config.json` ([`ModelConfig`]), the parameters as safetensors in one file or several ([`WeightFiles`],
//! [`PretrainedFiles`]) and a tokenizer, which is not this crate's. [`CausalLm`] is the model in plain tensors, whose graph
//! can be recorded; [`ActingLm`] reads and writes with it, and [`LmState`] is what it keeps of texts. Hidden states and
//! logits are apart, so that heads can be put beside the output layer.

mod acting;
mod adapter;
mod cache;
mod config;
mod error;
mod files;
mod head;
mod header;
#[cfg(feature = "flex")]
mod kept;
mod keys;
mod layers;
mod layout;
mod model;
#[cfg(feature = "flex")]
mod packing;
mod rope;
mod states;
mod torso;
mod weights;

pub use acting::{ActingLm, LmState};
pub use adapter::{Adapter, LoraConfig};
pub use config::{Family, ModelConfig};
pub use error::{PretrainedError, TensorFault};
pub use files::{PretrainedFiles, WeightSummary};
pub use head::LanguageModelHead;
pub use header::{NumberKind, TensorEntry, read_header};
pub use layers::{Block, Norm, Projection};
pub use model::CausalLm;
pub use rope::{Rope, RopeScaling};
pub use states::HiddenStates;
pub use torso::{PretrainedBase, PretrainedConfig, PretrainedState, PretrainedTorso};
pub use weights::WeightFiles;
