//! The long short-term memory.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, tanh};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
}

/// Hidden state and cell, `[batch, width]` each, or `[batch, time, width]` over time.
#[derive(Clone, Debug)]
pub struct Memory<const D: usize> {
    pub(crate) hidden: Tensor<D>,
    pub(crate) cell: Tensor<D>,
}

impl Lstm {
    /// Layers with weights drawn uniformly from `-1/sqrt(width)..1/sqrt(width)`.
    pub(crate) fn new<R: Rng>(config: &LstmConfig, n_inputs: usize, init: &mut Init<'_, R>) -> Self {
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
                }
            })
            .collect();
        Self { layers }
    }

    /// Memories of every layer at every time, the first from a memory of zeros.
    ///
    /// # Shapes
    /// - `inputs`: `[batch, time, n_inputs]`
    pub(crate) fn forward(&self, inputs: Tensor<3>) -> Vec<Memory<3>> {
        let mut outputs: Vec<Memory<3>> = Vec::with_capacity(self.layers.len());
        let mut below = inputs;
        for layer in &self.layers {
            let memory = layer.forward(below);
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
            *memory = layer.next(layer.project(below), memory.clone());
            below = memory.hidden.clone();
        }
        below
    }
}

impl LstmLayer {
    fn forward(&self, inputs: Tensor<3>) -> Memory<3> {
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
