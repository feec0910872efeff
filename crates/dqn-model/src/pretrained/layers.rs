//! The layers of a pretrained model in plain tensors, which every backend computes and whose graph can be recorded.

use burn::module::{Module, Param};
use burn::tensor::activation::{silu, softmax};
use burn::tensor::{Device, Tensor, TensorData};

use super::adapter::Adapter;
use super::config::ModelConfig;

/// `x W + b`, or `x W`.
#[derive(Module, Debug)]
pub struct Projection {
    /// `[inputs, outputs]`
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`
    pub bias: Option<Param<Tensor<1>>>,
    /// What training adds to the weight, where it is adapted.
    pub adapter: Option<Adapter>,
}

impl Projection {
    /// # Shapes
    /// - `rows`: `[batch, time, inputs]`
    /// - returns `[batch, time, outputs]`
    pub fn forward(&self, rows: Tensor<3>) -> Tensor<3> {
        let [batch, time, n_inputs] = rows.dims();
        let [_, n_outputs] = self.weight.dims();
        let rows = rows.reshape([batch * time, n_inputs]);
        let sums = rows.clone().matmul(self.weight.val());
        let sums = match &self.adapter {
            Some(adapter) => sums + adapter.forward(rows),
            None => sums,
        };
        let sums = match &self.bias {
            Some(bias) => sums + bias.val().unsqueeze(),
            None => sums,
        };
        sums.reshape([batch, time, n_outputs])
    }
}

/// Normalisation of rows: with a bias that of Ba et al. 2016, without one that of Zhang and Sennrich 2019, which subtracts
/// no mean.
#[derive(Module, Debug)]
pub struct Norm {
    /// `[width]`
    pub weight: Param<Tensor<1>>,
    /// `[width]`
    pub bias: Option<Param<Tensor<1>>>,
    /// What is added to the mean square.
    #[module(skip)]
    pub epsilon: f64,
}

impl Norm {
    /// # Shapes
    /// - `rows`: `[batch, time, width]`, which is returned
    pub fn forward(&self, rows: Tensor<3>) -> Tensor<3> {
        let rows = match self.bias {
            Some(_) => rows.clone() - rows.mean_dim(2),
            None => rows,
        };
        let square = rows.clone().square().mean_dim(2);
        let rows = rows / square.add_scalar(self.epsilon).sqrt() * self.weight.val().unsqueeze();
        match &self.bias {
            Some(bias) => rows + bias.val().unsqueeze(),
            None => rows,
        }
    }
}

/// A block: what attention gathers, then what a hidden layer makes of it, each added to what came in.
#[derive(Module, Debug)]
pub struct Block {
    /// Before attention.
    pub attention_norm: Norm,
    /// `[width, query width]`
    pub query: Projection,
    /// `[width, key width]`
    pub key: Projection,
    /// `[width, key width]`
    pub value: Projection,
    /// `[query width, width]`
    pub attention_output: Projection,
    /// Before the hidden layer.
    pub hidden_norm: Norm,
    /// `[width, hidden width]`; none in GPT-2.
    pub gate: Option<Projection>,
    /// `[width, hidden width]`
    pub up: Projection,
    /// `[hidden width, width]`
    pub down: Projection,
}

/// Cosines and sines of the places of a pass: `[batch or 1, 1, time, head width / 2]` each.
pub(super) struct Turn {
    cosine: Tensor<4>,
    sine: Tensor<4>,
}

impl Turn {
    /// The turn of places `[batch or 1, time]`, given as floats; none where positions are learned.
    pub(super) fn new(config: &ModelConfig, places: Tensor<2>, device: &Device) -> Option<Self> {
        let speeds = config.rope.as_ref()?.speeds(config.head_width);
        let [rows, time] = places.dims();
        let half = speeds.len();
        let speeds = Tensor::<4>::from_data(TensorData::new(speeds, [1, 1, 1, half]), device);
        let angles = places.reshape([rows, 1, time, 1]) * speeds;
        Some(Self { cosine: angles.clone().cos(), sine: angles.sin() })
    }

    /// Turns the first half of each head with the second: `[batch, heads, time, head width]`.
    fn apply(&self, heads: Tensor<4>) -> Tensor<4> {
        let half = heads.dims()[3] / 2;
        let (first, second) = (heads.clone().narrow(3, 0, half), heads.narrow(3, half, half));
        let turned = first.clone() * self.cosine.clone() - second.clone() * self.sine.clone();
        Tensor::cat(vec![turned, second * self.cosine.clone() + first * self.sine.clone()], 3)
    }
}

/// What the places of a pass attend with and to.
pub(super) struct Pass<'a> {
    pub(super) config: &'a ModelConfig,
    pub(super) turn: Option<Turn>,
    /// What is added to the scores: `[batch or 1, 1, time, places]`.
    pub(super) mask: Tensor<4>,
}

impl Pass<'_> {
    /// The same on a device that records a graph.
    pub(super) fn lifted(self) -> Self {
        let turn = self
            .turn
            .map(|Turn { cosine, sine }| Turn { cosine: Tensor::from_inner(cosine), sine: Tensor::from_inner(sine) });
        Self { turn, mask: Tensor::from_inner(self.mask), ..self }
    }
}

impl Block {
    /// The block of `rows`, `[batch, time, width]`; `remember` is given keys, turned already, and values of these places,
    /// `[batch, key heads, time, head width]` each, and answers with those of all places that are attended to.
    pub(super) fn forward(
        &self,
        rows: Tensor<3>,
        pass: &Pass<'_>,
        remember: impl FnOnce([Tensor<4>; 2]) -> [Tensor<4>; 2],
    ) -> Tensor<3> {
        let config = pass.config;
        let normed = self.attention_norm.forward(rows.clone());
        let heads = |projection: &Projection, n_heads: usize| {
            let all = projection.forward(normed.clone());
            let [batch, time, width] = all.dims();
            all.reshape([batch, time, n_heads, width / n_heads]).swap_dims(1, 2)
        };
        let turned = |heads: Tensor<4>| match &pass.turn {
            Some(turn) => turn.apply(heads),
            None => heads,
        };
        let query = turned(heads(&self.query, config.n_heads));
        let key = turned(heads(&self.key, config.n_key_value_heads));
        let value = heads(&self.value, config.n_key_value_heads);
        let [keys, values] = remember([key, value]).map(|heads| repeated(heads, config.n_heads));
        let scale = (config.head_width as f64).sqrt().recip();
        let scores = query.matmul(keys.swap_dims(2, 3)).mul_scalar(scale) + pass.mask.clone();
        let gathered = softmax(scores, 3).matmul(values);
        let [batch, n_heads, time, head_width] = gathered.dims();
        let gathered = gathered.swap_dims(1, 2).reshape([batch, time, n_heads * head_width]);
        let rows = rows + self.attention_output.forward(gathered);
        let normed = self.hidden_norm.forward(rows.clone());
        let hidden = match &self.gate {
            Some(gate) => silu(gate.forward(normed.clone())) * self.up.forward(normed),
            None => gelu_tanh(self.up.forward(normed)),
        };
        rows + self.down.forward(hidden)
    }
}

/// Each head as often as heads of queries share it: `[batch, key heads, places, head width]` to
/// `[batch, n_heads, places, head width]`.
fn repeated(heads: Tensor<4>, n_heads: usize) -> Tensor<4> {
    let [batch, n_own, places, head_width] = heads.dims();
    if n_own == n_heads {
        return heads;
    }
    let shared = heads.unsqueeze_dim::<5>(2).expand([batch, n_own, n_heads / n_own, places, head_width]);
    shared.reshape([batch, n_heads, places, head_width])
}

/// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, as GPT-2 has it (Hendrycks and Gimpel 2016, section 2).
fn gelu_tanh(x: Tensor<3>) -> Tensor<3> {
    let inner =
        (x.clone() + x.clone().powi_scalar(3).mul_scalar(0.044_715)).mul_scalar((2.0 / std::f64::consts::PI).sqrt());
    x.mul_scalar(0.5) * inner.tanh().add_scalar(1.0)
}
