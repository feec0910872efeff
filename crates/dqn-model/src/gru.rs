//! The gated recurrent unit.

use burn::module::{Module, Param};
use burn::nn::Dropout;
use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, tanh};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dropout::dropped;
#[cfg(feature = "flex")]
use crate::fused;
use crate::init::Init;

/// Size of a GRU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GruConfig {
    /// Units in each layer.
    #[schemars(range(min = 1, max = 65536))]
    pub width: usize,
    /// Layers, each reading the one below.
    #[schemars(range(min = 1, max = 16))]
    pub n_layers: usize,
}

impl Default for GruConfig {
    fn default() -> Self {
        Self { width: 256, n_layers: 1 }
    }
}

/// Layers of gated recurrent units.
#[derive(Module, Debug)]
pub struct Gru {
    layers: Vec<GruLayer>,
    /// Between layers.
    dropout: Option<Dropout>,
}

/// One layer.
///
/// ```text
/// r = sigmoid(x W_xr + b_xr + h W_hr + b_hr)
/// z = sigmoid(x W_xz + b_xz + h W_hz + b_hz)
/// n = tanh(x W_xn + b_xn + r * (h W_hn + b_hn))
/// h' = (1 - z) * n + z * h
/// ```
///
/// Source: Cho et al. 2014, with the reset gate after the product as in cuDNN and PyTorch. The three gates share one
/// matrix each way, in the order r, z, n.
#[derive(Module, Debug)]
struct GruLayer {
    input_weight: Param<Tensor<2>>,
    input_bias: Param<Tensor<1>>,
    hidden_weight: Param<Tensor<2>>,
    hidden_bias: Param<Tensor<1>>,
    /// Both weights, in a layer that only acts.
    #[cfg(feature = "flex")]
    #[module(skip)]
    packed: Option<[fused::Packed; 2]>,
}

impl Gru {
    /// Layers with parameters drawn uniformly from `-1/sqrt(width)..1/sqrt(width)`.
    pub(crate) fn new<R: Rng>(
        config: &GruConfig,
        n_inputs: usize,
        dropout: Option<Dropout>,
        init: &mut Init<'_, R>,
    ) -> Self {
        let width = config.width;
        let bound = (width as f32).sqrt().recip();
        let layers = (0..config.n_layers)
            .map(|layer| GruLayer {
                input_weight: init.uniform([if layer == 0 { n_inputs } else { width }, 3 * width], bound),
                input_bias: init.uniform_vector(3 * width, bound),
                hidden_weight: init.uniform([width, 3 * width], bound),
                hidden_bias: init.uniform_vector(3 * width, bound),
                #[cfg(feature = "flex")]
                packed: None,
            })
            .collect();
        Self { layers, dropout }
    }

    /// The same layers, to act with: what depends on their parameters only is computed once.
    pub(crate) fn for_acting(self) -> Self {
        #[cfg(feature = "flex")]
        if fused::can_act(&self.layers[0].input_weight.device()) {
            let layers =
                self.layers.into_iter().map(|layer| GruLayer { packed: Some(layer.pack()), ..layer }).collect();
            return Self { layers, ..self };
        }
        self
    }

    /// The hidden states of every layer at every time, the first from a hidden state of zeros.
    ///
    /// # Shapes
    /// - `inputs`: `[batch, time, n_inputs]`
    /// - returns for each layer `[batch, time, width]`
    pub(crate) fn forward(&self, inputs: Tensor<3>) -> Vec<Tensor<3>> {
        let mut outputs = Vec::with_capacity(self.layers.len());
        let mut below = inputs;
        for layer in &self.layers {
            let output = layer.forward(below);
            below = dropped(self.dropout.as_ref(), output.clone());
            outputs.push(output);
        }
        outputs
    }

    /// The next hidden state of every layer.
    ///
    /// # Shapes
    /// - `input`: `[batch, n_inputs]`
    /// - `hidden`: for each layer `[batch, width]`
    pub(crate) fn step(&self, input: Tensor<2>, hidden: &mut [Tensor<2>]) -> Tensor<2> {
        let mut below = input;
        for (layer, hidden) in self.layers.iter().zip(hidden) {
            below = layer.step(below, hidden.clone());
            *hidden = below.clone();
        }
        below
    }
}

#[cfg(test)]
impl Gru {
    /// Weights of the first layer, input and hidden, for tests against plain loops.
    pub(crate) fn weights(&self) -> [Tensor<2>; 2] {
        [self.layers[0].input_weight.val(), self.layers[0].hidden_weight.val()]
    }

    /// Their biases.
    pub(crate) fn biases(&self) -> [Tensor<1>; 2] {
        [self.layers[0].input_bias.val(), self.layers[0].hidden_bias.val()]
    }
}

impl GruLayer {
    fn forward(&self, inputs: Tensor<3>) -> Tensor<3> {
        #[cfg(feature = "flex")]
        if fused::can_record(&inputs.device()) {
            return fused::gru(inputs, self.parameters());
        }
        self.plain(inputs)
    }

    fn step(&self, input: Tensor<2>, hidden: Tensor<2>) -> Tensor<2> {
        #[cfg(feature = "flex")]
        if fused::can_act(&input.device()) {
            let biases = [self.input_bias.val(), self.hidden_bias.val()];
            return fused::gru_step(input, hidden, self.packed.clone().unwrap_or_else(|| self.pack()), biases);
        }
        self.next(self.project(input), hidden)
    }

    #[cfg(feature = "flex")]
    fn pack(&self) -> [fused::Packed; 2] {
        [&self.input_weight, &self.hidden_weight].map(|weight| fused::Packed::of(weight.val()))
    }

    #[cfg(feature = "flex")]
    fn parameters(&self) -> fused::GruParameters {
        fused::GruParameters {
            input_weight: self.input_weight.val(),
            input_bias: self.input_bias.val(),
            hidden_weight: self.hidden_weight.val(),
            hidden_bias: self.hidden_bias.val(),
        }
    }

    /// [`GruLayer::forward`] in plain tensors.
    fn plain(&self, inputs: Tensor<3>) -> Tensor<3> {
        let [batch, time, n_inputs] = inputs.dims();
        let width = self.hidden_weight.dims()[0];
        // Time-major rows make each step one contiguous block of the projection of the whole sequence.
        let rows = inputs.swap_dims(0, 1).reshape([time * batch, n_inputs]);
        let mut hidden = Tensor::zeros([batch, width], &rows.device());
        let mut outputs = Vec::with_capacity(time);
        for projected in self.project(rows).split(batch, 0) {
            hidden = self.next(projected, hidden);
            outputs.push(hidden.clone());
        }
        Tensor::stack(outputs, 1)
    }

    /// The part of the gates that depends on the input: `[rows, 3 * width]`.
    fn project(&self, inputs: Tensor<2>) -> Tensor<2> {
        inputs.matmul(self.input_weight.val()) + self.input_bias.val().unsqueeze()
    }

    fn next(&self, projected: Tensor<2>, hidden: Tensor<2>) -> Tensor<2> {
        let width = hidden.dims()[1];
        let recurrent = hidden.clone().matmul(self.hidden_weight.val()) + self.hidden_bias.val().unsqueeze();
        let gates = sigmoid(projected.clone().narrow(1, 0, 2 * width) + recurrent.clone().narrow(1, 0, 2 * width));
        let reset = gates.clone().narrow(1, 0, width);
        let update = gates.narrow(1, width, width);
        let candidate = tanh(projected.narrow(1, 2 * width, width) + reset * recurrent.narrow(1, 2 * width, width));
        candidate.clone() + update * (hidden - candidate)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fused::oracle;

    fn layer(n_inputs: usize, width: usize, init: &mut Init<'_, impl Rng>) -> GruLayer {
        let config = GruConfig { width, n_layers: 1 };
        Gru::new(&config, n_inputs, None, init).layers.remove(0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_fused_layer_is_the_plain_one(
            batch in 1_usize..5, time in 1_usize..7, n_inputs in 1_usize..20, width in 1_usize..20, seed: u64,
        ) {
            let module = oracle::drawn(seed, |init| {
                (oracle::inputs([batch, time, n_inputs], init), layer(n_inputs, width, init))
            });
            oracle::check(&module, |(inputs, layer)| layer.forward(inputs.val()), |(inputs, layer)| layer.plain(inputs.val()));
        }
    }

    #[test]
    fn a_pass_large_enough_for_several_threads_is_the_plain_one() {
        let module = oracle::drawn(3, |init| (oracle::inputs([9, 7, 21], init), layer(21, 40, init)));
        oracle::check(
            &module,
            |(inputs, layer)| layer.forward(inputs.val()),
            |(inputs, layer)| layer.plain(inputs.val()),
        );
    }
}
