//! Torsos: from a text to the features of its states.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use dqn_core::{SequenceInput, StepInput};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::embedding::TokenEmbedding;
use crate::gru::{Gru, GruConfig};
use crate::init::Init;
use crate::mlp::{Mlp, MlpConfig, TokenWindow};

/// The part of the network that reads the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TorsoConfig {
    /// Rectified layers over the last tokens; blind to what lies further back.
    Mlp(MlpConfig),
    /// Gated recurrent units over the whole text (Cho et al. 2014).
    Gru(GruConfig),
}

impl TorsoConfig {
    /// Number of features of a state.
    pub fn width(&self) -> usize {
        match self {
            TorsoConfig::Mlp(config) => config.hidden.last().copied().unwrap_or(0),
            TorsoConfig::Gru(config) => config.width,
        }
    }

    pub(crate) fn build<R: Rng>(&self, embedding_width: usize, init: &mut Init<'_, R>) -> Torso {
        match self {
            TorsoConfig::Mlp(config) => Torso::Mlp(Mlp::new(config, embedding_width, init)),
            TorsoConfig::Gru(config) => Torso::Gru(Gru::new(config, embedding_width, init)),
        }
    }
}

/// A network that reads tokens.
#[derive(Module, Debug)]
pub enum Torso {
    /// See [`TorsoConfig::Mlp`].
    Mlp(Mlp),
    /// See [`TorsoConfig::Gru`].
    Gru(Gru),
}

/// What a torso remembers of the texts it reads token by token.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, and boxing would cost more than it saves")]
pub enum DecodeState {
    /// The last tokens.
    Mlp(TokenWindow),
    /// For each layer the hidden state: `[batch, width]`.
    Gru(Vec<Tensor<2>>),
}

impl Torso {
    /// Features of the states asked about: `[batch, states, width]`.
    pub(crate) fn forward(&self, embedding: &TokenEmbedding, input: &SequenceInput) -> Tensor<3> {
        let SequenceInput { tokens, positions, decisions } = input.clone();
        match self {
            Torso::Mlp(mlp) => mlp.forward(embedding, tokens, positions, decisions),
            Torso::Gru(gru) => {
                let mut layers = gru.forward(embedding.forward(tokens, positions));
                let last = layers.pop().expect("a GRU has at least one layer");
                at_decisions(last, decisions)
            }
        }
    }

    /// Reads texts up to the one state asked about in each; its features: `[batch, width]`.
    pub(crate) fn start(&self, embedding: &TokenEmbedding, input: &SequenceInput) -> (DecodeState, Tensor<2>) {
        let SequenceInput { tokens, positions, decisions } = input.clone();
        match self {
            Torso::Mlp(mlp) => {
                let window = mlp.window(tokens, positions, decisions);
                let features = mlp.features(embedding, &window);
                (DecodeState::Mlp(window), features)
            }
            Torso::Gru(gru) => {
                let layers = gru.forward(embedding.forward(tokens, positions));
                let hidden: Vec<Tensor<2>> =
                    layers.into_iter().map(|layer| at_decisions(layer, decisions.clone()).squeeze_dim(1)).collect();
                let features = hidden.last().cloned().expect("a GRU has at least one layer");
                (DecodeState::Gru(hidden), features)
            }
        }
    }

    /// Reads one more token of each text; the features of the new states: `[batch, width]`.
    ///
    /// # Panics
    /// When `state` is of another torso.
    pub(crate) fn step(&self, embedding: &TokenEmbedding, input: &StepInput, state: &mut DecodeState) -> Tensor<2> {
        let StepInput { tokens, positions } = input.clone();
        match (self, state) {
            (Torso::Mlp(mlp), DecodeState::Mlp(window)) => {
                window.push(tokens, positions);
                mlp.features(embedding, window)
            }
            (Torso::Gru(gru), DecodeState::Gru(hidden)) => {
                let vectors = embedding.forward(tokens.unsqueeze_dim(1), positions.unsqueeze_dim(1));
                gru.step(vectors.squeeze_dim(1), hidden)
            }
            _ => panic!("the decode state belongs to another torso"),
        }
    }
}

impl DecodeState {
    /// The rows `rows`, in that order.
    pub(crate) fn select(self, rows: Tensor<1, Int>) -> Self {
        match self {
            DecodeState::Mlp(window) => DecodeState::Mlp(window.select(rows)),
            DecodeState::Gru(hidden) => {
                DecodeState::Gru(hidden.into_iter().map(|layer| layer.select(0, rows.clone())).collect())
            }
        }
    }
}

/// The rows of `outputs` at `decisions`.
///
/// # Shapes
/// - `outputs`: `[batch, time, width]`; `decisions`: `[batch, states]`
/// - returns `[batch, states, width]`
fn at_decisions(outputs: Tensor<3>, decisions: Tensor<2, Int>) -> Tensor<3> {
    let [batch, time, width] = outputs.dims();
    let states = decisions.dims()[1];
    // Whole rows are selected from the flattened batch: a gather would need an index for every feature.
    let starts = Tensor::<1, Int>::arange(0..batch as i64, &decisions.device()).mul_scalar(time as i64);
    let rows = (decisions + starts.unsqueeze_dim(1)).reshape([batch * states]);
    outputs.reshape([batch * time, width]).select(0, rows).reshape([batch, states, width])
}
