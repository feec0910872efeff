//! The algorithms: from trajectories to parameters.
//!
//! The modules stand in the order of the data: a [`policy`] acts ([`sampling`] writes as language models do), [`replay`] keeps what came of it, a [`batch`] of
//! windows is drawn, [`bootstrap`] values its states, [`target`] makes TD targets of them, [`loss`] compares those with
//! the network's answers, and the [`learner`] moves the parameters, now and then saying by its [`spread`] how the steps of
//! a batch differ; [`target_network`] and [`schedule`] say how fast the slow parts follow. A [`network::QNetwork`] is known here only by its contract.

pub mod arithmetic;
pub mod batch;
pub mod bootstrap;
pub mod completion;
pub mod config;
pub mod distribution;
mod error;
pub mod learner;
pub mod loss;
pub mod network;
pub mod objective;
pub mod optimizer;
pub mod policy;
pub mod prior;
pub mod replay;
pub mod sampling;
pub mod schedule;
pub mod source_batch;
pub mod spread;
pub mod state_encoder;
pub mod sum_tree;
pub mod target;
pub mod target_network;

pub use batch::{BatchBuilder, SequenceBatch};
pub use completion::Completions;
pub use config::DqnConfig;
pub use distribution::Distribution;
pub use error::CoreError;
pub use learner::{DqnLearner, Learner, UpdateStats};
pub use network::{Companions, QNetwork, SequenceInput, StepInput};
pub use policy::{Decoding, Policy};
pub use prior::Prior;
pub use replay::{Replay, ReplayConfig, Sample, Window};
pub use sampling::{Sampling, SamplingFault, SamplingScratch};
pub use schedule::{Progress, Schedule};
pub use source_batch::{SourceBatch, SourceInput, SourceValues};
pub use spread::Spread;
pub use state_encoder::{InputShape, StateEncoder};
