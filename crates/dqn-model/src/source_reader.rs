//! The part of a network that makes a source known to the torso.

use burn::module::Module;
use burn::nn::Dropout;
use burn::tensor::activation::tanh;
use burn::tensor::{Int, Tensor};
use dqn_core::SourceInput;
use dqn_mdp::SourceKind;
use rand::Rng;

use crate::encoder::{Encoded, Encoder, EncoderConfig};
use crate::init::Init;
use crate::linear::{Activation, Linear};
use crate::source_attention::{Conditioning, SourceAttention};
use crate::torso::{Torso, TorsoConfig, TorsoState};

/// An encoder, and what brings its answer to torsos that do not attend to it themselves.
#[derive(Module, Debug)]
pub(crate) struct SourceReader {
    encoder: Encoder,
    behind: Option<BehindTorso>,
}

/// Attention behind the torso, and a summary of the source before it.
///
/// ```text
/// x_t <- x_t + W_s mean_i e_i,   c_t = attention(h_t, e),   features = tanh(W [h_t; c_t])
/// ```
///
/// Source: Luong et al. 2015, eq. 5; the summary stands for the first hidden state that Bahdanau et al. 2015 make of the
/// source, and reaches convolutions too.
#[derive(Module, Debug)]
struct BehindTorso {
    summary: Linear,
    attention: SourceAttention,
    combine: Linear,
}

impl SourceReader {
    pub(crate) fn new<R: Rng>(
        config: &EncoderConfig,
        kind: SourceKind,
        torso: &TorsoConfig,
        embedding_width: usize,
        dropout: Option<Dropout>,
        init: &mut Init<'_, R>,
    ) -> Self {
        let encoder = Encoder::new(config, kind, dropout, init);
        let width = torso.width();
        let behind = (!torso.attends_itself()).then(|| BehindTorso {
            summary: Linear::new(config.width(), embedding_width, 3.0, init),
            attention: SourceAttention::new(width, config.width(), config.n_attention_heads, init),
            combine: Linear::new(2 * width, width, 3.0, init),
        });
        Self { encoder, behind }
    }

    pub(crate) fn for_acting(self) -> Self {
        let behind = self.behind.map(|behind| BehindTorso {
            summary: behind.summary.for_acting(),
            attention: behind.attention.for_acting(),
            combine: behind.combine.for_acting(),
        });
        Self { encoder: self.encoder.for_acting(), behind }
    }

    /// Reads the sources of a batch for `torso`, each once: a row for each text.
    pub(crate) fn read(&self, torso: &Torso, source: &SourceInput) -> Conditioning {
        let Encoded { places, mask } = self.encoder.forward(source);
        let conditioning = match &self.behind {
            Some(behind) => {
                let summary = behind.summary.forward(mean(places.clone(), &mask), Activation::Identity);
                Conditioning { memories: vec![behind.attention.memory(places)], mask, summary: Some(summary) }
            }
            None => Conditioning { memories: torso.memories(&places), mask, summary: None },
        };
        match &source.rows {
            Some(rows) => conditioning.select(rows),
            None => conditioning,
        }
    }

    /// The features of states with what they gather from their sources: `[batch, states, width]`, the same in shape.
    pub(crate) fn finish(&self, features: Tensor<3>, source: &Conditioning) -> Tensor<3> {
        let Some(behind) = &self.behind else { return features };
        let [batch, states, width] = features.dims();
        let rows = features.reshape([batch * states, width]);
        let gathered = behind.attention.forward(rows.clone(), &source.memories[0], &source.mask);
        let both = Tensor::cat(vec![rows, gathered], 1);
        tanh(behind.combine.forward(both, Activation::Identity)).reshape([batch, states, width])
    }
}

/// The mean over the places that `mask` does not forbid: `[batch, places, width]` to `[batch, width]`.
fn mean(places: Tensor<3>, mask: &Tensor<2>) -> Tensor<2> {
    let is_there = mask.clone().equal_elem(0.0).float();
    let n_places = is_there.clone().sum_dim(1);
    let weights = (is_there / n_places).unsqueeze_dim::<3>(1);
    weights.matmul(places).squeeze_dim(1)
}

/// What a network remembers of the texts it reads token by token.
#[derive(Clone, Debug)]
pub struct DecodeState {
    /// What its torso remembers.
    pub(crate) torso: TorsoState,
    /// What they are about, where the task has sources.
    pub(crate) source: Option<Conditioning>,
}

impl DecodeState {
    /// The rows `rows`, in that order.
    pub(crate) fn select(self, rows: Tensor<1, Int>) -> Self {
        Self { source: self.source.map(|source| source.select(&rows)), torso: self.torso.select(rows) }
    }

    /// The rows of this state and after them those of `other`.
    ///
    /// # Panics
    /// When the two are of different torsos.
    pub(crate) fn join(self, other: Self) -> Self {
        let source = self.source.zip(other.source).map(|(one, other)| one.join(other));
        Self { torso: self.torso.join(other.torso), source }
    }
}
