//! Which hidden states of a token are its features.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::ModelConfig;

/// The hidden states of a token that heads read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HiddenStates {
    /// The last, behind the model's norm, which its own output layer reads.
    #[default]
    Last,
    /// Before the last also those below it, divided by their root mean square: the vector of the token and what each block
    /// but the last makes of it. The last state tells what comes next; what a text has been about so far, on which values
    /// depend, can be read better further down.
    All,
}

impl HiddenStates {
    /// Number of features of a token.
    pub fn width(self, model: &ModelConfig) -> usize {
        match self {
            HiddenStates::Last => model.width,
            HiddenStates::All => (model.n_layers + 1) * model.width,
        }
    }
}

/// Takes the states that are features from a pass through a model.
#[derive(Debug)]
pub(super) struct Features {
    states: HiddenStates,
    epsilon: f64,
    below: Vec<Tensor<3>>,
}

impl Features {
    pub(super) fn new(states: HiddenStates, model: &ModelConfig) -> Self {
        Self { states, epsilon: model.norm_epsilon, below: Vec::new() }
    }

    /// Takes what a block is about to read: `[batch, time, width]`.
    pub(super) fn take(&mut self, rows: &Tensor<3>) {
        if self.states == HiddenStates::All {
            let mean_square = rows.clone().square().mean_dim(2);
            self.below.push(rows.clone() / (mean_square + self.epsilon).sqrt());
        }
    }

    /// The same as constants on a device that records a graph.
    pub(super) fn lifted(self) -> Self {
        Self { below: self.below.into_iter().map(Tensor::from_inner).collect(), ..self }
    }

    /// All that was taken, and last what is behind the norm: `[batch, time, features]`.
    pub(super) fn with(mut self, last: Tensor<3>) -> Tensor<3> {
        match self.states {
            HiddenStates::Last => last,
            HiddenStates::All => {
                self.below.push(last);
                Tensor::cat(self.below, 2)
            }
        }
    }
}

/// The last state of rows of features, which may have others before it: `[rows, features]` to `[rows, width]`.
pub(super) fn last_of(features: Tensor<2>, width: usize) -> Tensor<2> {
    match features.dims()[1] {
        own if own == width => features,
        own => features.narrow(1, own - width, width),
    }
}
