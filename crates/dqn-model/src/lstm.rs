//! The long short-term memory.

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

/// Size of an LSTM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LstmConfig {
    /// Units in each layer.
    #[schemars(range(min = 1, max = 65536))]
    pub width: usize,
    /// Layers, each reading the one below.
    #[schemars(range(min = 1, max = 16))]
    pub n_layers: usize,
}

impl Default for LstmConfig {
    fn default() -> Self {
        Self { width: 256, n_layers: 1 }
    }
}

/// Layers of long short-term memories.
#[derive(Module, Debug)]
pub struct Lstm {
    layers: Vec<LstmLayer>,
    /// Between layers.
    dropout: Option<Dropout>,
}

/// One layer.
///
/// ```text
/// i, f, o = sigmoid(x W_x + h W_h + b),   g = tanh(x W_x + h W_h + b)
/// c' = f * c + i * g
/// h' = o * tanh(c')
/// ```
///
/// Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000. The gates share one matrix each way,
/// in the order i, f, g, o; the bias of the forget gate begins at 1 (Jozefowicz et al. 2015).
#[derive(Module, Debug)]
struct LstmLayer {
    input_weight: Param<Tensor<2>>,
    hidden_weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    /// Both weights, in a layer that only acts.
    #[cfg(feature = "flex")]
    #[module(skip)]
    packed: Option<[fused::Packed; 2]>,
}

/// Hidden state and cell, `[batch, width]` each, or `[batch, time, width]` over time.
#[derive(Clone, Debug)]
pub struct Memory<const D: usize> {
    pub(crate) hidden: Tensor<D>,
    pub(crate) cell: Tensor<D>,
}

impl Lstm {
    /// Layers with weights drawn uniformly from `-1/sqrt(width)..1/sqrt(width)`.
    pub(crate) fn new<R: Rng>(
        config: &LstmConfig,
        n_inputs: usize,
        dropout: Option<Dropout>,
        init: &mut Init<'_, R>,
    ) -> Self {
        let width = config.width;
        let bound = (width as f32).sqrt().recip();
        let layers = (0..config.n_layers)
            .map(|layer| {
                let n_inputs = if layer == 0 { n_inputs } else { width };
                let mut bias = vec![0.0; 4 * width];
                bias[width..2 * width].fill(1.0);
                LstmLayer {
                    input_weight: init.uniform([n_inputs, 4 * width], bound),
                    hidden_weight: init.uniform([width, 4 * width], bound),
                    bias: init.vector(bias),
                    #[cfg(feature = "flex")]
                    packed: None,
                }
            })
            .collect();
        Self { layers, dropout }
    }

    /// The same layers, to act with: what depends on their parameters only is computed once.
    pub(crate) fn for_acting(self) -> Self {
        #[cfg(feature = "flex")]
        if fused::can_act(&self.layers[0].input_weight.device()) {
            let layers =
                self.layers.into_iter().map(|layer| LstmLayer { packed: Some(layer.pack()), ..layer }).collect();
            return Self { layers, ..self };
        }
        self
    }

    /// Hidden states of the last layer at every time, the first from a memory of zeros.
    ///
    /// # Shapes
    /// - `inputs`: `[batch, time, n_inputs]`
    /// - returns `[batch, time, width]`
    pub(crate) fn forward(&self, inputs: Tensor<3>) -> Tensor<3> {
        let mut below = inputs;
        for (index, layer) in self.layers.iter().enumerate() {
            if index > 0 {
                below = dropped(self.dropout.as_ref(), below);
            }
            below = layer.forward(below);
        }
        below
    }

    /// Memories of every layer at every time, to go on from.
    ///
    /// # Shapes
    /// - `inputs`: `[batch, time, n_inputs]`
    pub(crate) fn memories(&self, inputs: Tensor<3>) -> Vec<Memory<3>> {
        let mut outputs: Vec<Memory<3>> = Vec::with_capacity(self.layers.len());
        let mut below = inputs;
        for layer in &self.layers {
            let memory = layer.memories(below);
            below = memory.hidden.clone();
            outputs.push(memory);
        }
        outputs
    }

    /// The next memory of every layer; returns the hidden state of the last one.
    ///
    /// # Shapes
    /// - `input`: `[batch, n_inputs]`
    pub(crate) fn step(&self, input: Tensor<2>, memories: &mut [Memory<2>]) -> Tensor<2> {
        let mut below = input;
        for (layer, memory) in self.layers.iter().zip(memories) {
            *memory = layer.step(below, memory.clone());
            below = memory.hidden.clone();
        }
        below
    }
}

impl LstmLayer {
    fn forward(&self, inputs: Tensor<3>) -> Tensor<3> {
        #[cfg(feature = "flex")]
        if fused::can_record(&inputs.device()) {
            return fused::lstm(inputs, self.parameters());
        }
        self.plain(inputs).hidden
    }

    fn memories(&self, inputs: Tensor<3>) -> Memory<3> {
        #[cfg(feature = "flex")]
        if fused::can_act(&inputs.device()) {
            let [hidden, cell] = fused::lstm_memories(inputs, self.parameters());
            return Memory { hidden, cell };
        }
        self.plain(inputs)
    }

    fn step(&self, input: Tensor<2>, memory: Memory<2>) -> Memory<2> {
        #[cfg(feature = "flex")]
        if fused::can_act(&input.device()) {
            let packed = self.packed.clone().unwrap_or_else(|| self.pack());
            let [hidden, cell] = fused::lstm_step(input, [memory.hidden, memory.cell], packed, self.bias.val());
            return Memory { hidden, cell };
        }
        self.next(self.project(input), memory)
    }

    #[cfg(feature = "flex")]
    fn pack(&self) -> [fused::Packed; 2] {
        [&self.input_weight, &self.hidden_weight].map(|weight| fused::Packed::of(weight.val()))
    }

    #[cfg(feature = "flex")]
    fn parameters(&self) -> fused::LstmParameters {
        fused::LstmParameters {
            input_weight: self.input_weight.val(),
            hidden_weight: self.hidden_weight.val(),
            bias: self.bias.val(),
        }
    }

    /// [`LstmLayer::memories`] in plain tensors.
    fn plain(&self, inputs: Tensor<3>) -> Memory<3> {
        let [batch, time, n_inputs] = inputs.dims();
        let width = self.hidden_weight.dims()[0];
        let rows = inputs.swap_dims(0, 1).reshape([time * batch, n_inputs]);
        let zeros = Tensor::zeros([batch, width], &rows.device());
        let mut memory = Memory { hidden: zeros.clone(), cell: zeros };
        let (mut hidden, mut cells) = (Vec::with_capacity(time), Vec::with_capacity(time));
        for projected in self.project(rows).split(batch, 0) {
            memory = self.next(projected, memory);
            hidden.push(memory.hidden.clone());
            cells.push(memory.cell.clone());
        }
        Memory { hidden: Tensor::stack(hidden, 1), cell: Tensor::stack(cells, 1) }
    }

    /// The part of the gates that depends on the input: `[rows, 4 * width]`.
    fn project(&self, inputs: Tensor<2>) -> Tensor<2> {
        inputs.matmul(self.input_weight.val()) + self.bias.val().unsqueeze()
    }

    fn next(&self, projected: Tensor<2>, memory: Memory<2>) -> Memory<2> {
        let width = self.hidden_weight.dims()[0];
        let gates = projected + memory.hidden.matmul(self.hidden_weight.val());
        let gate = |index: usize| gates.clone().narrow(1, index * width, width);
        let kept = sigmoid(gate(1)) * memory.cell;
        let cell = kept + sigmoid(gate(0)) * tanh(gate(2));
        Memory { hidden: sigmoid(gate(3)) * tanh(cell.clone()), cell }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fused::oracle;

    fn layer(n_inputs: usize, width: usize, init: &mut Init<'_, impl Rng>) -> LstmLayer {
        let config = LstmConfig { width, n_layers: 1 };
        let layer = Lstm::new(&config, n_inputs, None, init).layers.remove(0);
        LstmLayer { bias: init.uniform_vector(4 * width, 1.0), ..layer }
    }

    fn check(batch: usize, time: usize, n_inputs: usize, width: usize, seed: u64) {
        let module =
            oracle::drawn(seed, |init| (oracle::inputs([batch, time, n_inputs], init), layer(n_inputs, width, init)));
        oracle::check(
            &module,
            |(inputs, layer)| layer.forward(inputs.val()),
            |(inputs, layer)| layer.plain(inputs.val()).hidden,
        );
        let (inputs, layer) = module.valid();
        let (found, expected) = (layer.memories(inputs.val()), layer.plain(inputs.val()));
        for (found, expected) in [(found.cell, expected.cell), (found.hidden, expected.hidden)] {
            let difference: f32 = (found - expected).abs().max().into_scalar();
            assert!(difference < 1e-5, "memories differ by {difference}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_fused_layer_is_the_plain_one(
            batch in 1_usize..5, time in 1_usize..7, n_inputs in 1_usize..20, width in 1_usize..20, seed: u64,
        ) {
            check(batch, time, n_inputs, width, seed);
        }
    }

    #[test]
    fn a_pass_large_enough_for_several_threads_is_the_plain_one() {
        check(9, 7, 21, 40, 3);
    }
}
