//! The linear layer that torsos are made of.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use rand::Rng;

use crate::init::Init;

/// `x W + b`, its parameters drawn on the host.
#[derive(Module, Debug)]
pub(crate) struct Linear {
    /// `[inputs, width]`
    pub(crate) weight: Param<Tensor<2>>,
    /// `[width]`
    pub(crate) bias: Param<Tensor<1>>,
}

impl Linear {
    /// Weights drawn uniformly from `-sqrt(gain / inputs)..sqrt(gain / inputs)` and biases of 0: a gain of 6 keeps the
    /// variance through rectified units (He et al. 2015), one of 3 through linear ones.
    pub(crate) fn new<R: Rng>(n_inputs: usize, width: usize, gain: f32, init: &mut Init<'_, R>) -> Self {
        let weight = init.uniform([n_inputs, width], (gain / n_inputs as f32).sqrt());
        Self { weight, bias: init.zeros(width) }
    }

    /// `[rows, inputs]` to `[rows, width]`.
    pub(crate) fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        rows.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }
}
