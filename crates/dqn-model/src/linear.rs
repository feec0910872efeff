//! The linear layer that torsos are made of.

use burn::module::{Module, Param};
use burn::nn::Dropout;
use burn::tensor::Tensor;
use burn::tensor::activation::{gelu, relu};
use rand::Rng;

use crate::dropout::dropped;
#[cfg(feature = "flex")]
use crate::fused;
use crate::init::Init;

/// What follows the sum of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// Nothing.
    Identity,
    /// `max(0, x)`.
    Relu,
    /// `x Phi(x)` (Hendrycks and Gimpel 2016).
    Gelu,
}

impl Activation {
    pub(crate) fn apply<const D: usize>(self, sums: Tensor<D>) -> Tensor<D> {
        match self {
            Activation::Identity => sums,
            Activation::Relu => relu(sums),
            Activation::Gelu => gelu(sums),
        }
    }
}

/// `activation(x W + b)`, its parameters drawn on the host.
#[derive(Module, Debug)]
pub(crate) struct Linear {
    /// `[inputs, width]`
    pub(crate) weight: Param<Tensor<2>>,
    /// `[width]`
    pub(crate) bias: Param<Tensor<1>>,
    /// The weight, in a layer that only acts.
    #[cfg(feature = "flex")]
    #[module(skip)]
    packed: Option<fused::Packed>,
}

impl Linear {
    /// Weights drawn uniformly from `-sqrt(gain / inputs)..sqrt(gain / inputs)` and biases of 0: a gain of 6 keeps the
    /// variance through rectified units (He et al. 2015), one of 3 through linear ones.
    pub(crate) fn new<R: Rng>(n_inputs: usize, width: usize, gain: f32, init: &mut Init<'_, R>) -> Self {
        let weight = init.uniform([n_inputs, width], (gain / n_inputs as f32).sqrt());
        Self {
            weight,
            bias: init.zeros(width),
            #[cfg(feature = "flex")]
            packed: None,
        }
    }

    /// The same layer, to act with: what depends on its parameters only is computed once.
    pub(crate) fn for_acting(self) -> Self {
        #[cfg(feature = "flex")]
        if fused::can_act(&self.weight.device()) {
            let packed = Some(fused::Packed::of(self.weight.val()));
            return Self { packed, ..self };
        }
        self
    }

    /// `[rows, inputs]` to `[rows, width]`.
    pub(crate) fn forward(&self, rows: Tensor<2>, activation: Activation) -> Tensor<2> {
        #[cfg(feature = "flex")]
        if let Some(packed) = &self.packed {
            return fused::packed_linear(rows, packed.clone(), self.bias.val(), activation);
        }
        #[cfg(feature = "flex")]
        if fused::can_record(&rows.device()) {
            return fused::linear(rows, self.weight.val(), self.bias.val(), activation);
        }
        self.plain(rows, activation)
    }

    /// [`Linear::forward`] in plain tensors.
    pub(crate) fn plain(&self, rows: Tensor<2>, activation: Activation) -> Tensor<2> {
        activation.apply(rows.matmul(self.weight.val()) + self.bias.val().unsqueeze())
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fused::oracle;

    fn check(shape: [usize; 3], width: usize, activation: Activation, seed: u64) {
        let [batch, time, n_inputs] = shape;
        let module = oracle::drawn(seed, |init| (oracle::inputs(shape, init), oracle::linear(n_inputs, width, init)));
        let rows = |inputs: &Param<Tensor<3>>| inputs.val().reshape([batch * time, n_inputs]);
        let fused = |(inputs, layer): &(_, Linear)| layer.forward(rows(inputs), activation).unsqueeze_dim(0);
        let plain = |(inputs, layer): &(_, Linear)| layer.plain(rows(inputs), activation).unsqueeze_dim(0);
        match activation {
            Activation::Relu => oracle::check_with_kinks(&module, fused, plain),
            Activation::Identity | Activation::Gelu => oracle::check(&module, fused, plain),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_fused_layer_is_the_plain_one(
            batch in 1_usize..5, time in 1_usize..7, n_inputs in 1_usize..20, width in 1_usize..40, seed: u64,
        ) {
            for activation in [Activation::Identity, Activation::Relu, Activation::Gelu] {
                check([batch, time, n_inputs], width, activation, seed);
            }
        }
    }

    #[test]
    fn a_layer_large_enough_for_several_threads_is_the_plain_one() {
        for activation in [Activation::Identity, Activation::Relu, Activation::Gelu] {
            check([9, 40, 40], 30, activation, 3);
        }
    }

    #[test]
    fn rectifying_hides_no_nan() {
        let layer = oracle::drawn(1, |init| oracle::linear(2, 3, init)).valid();
        let rows = Tensor::<2>::from_data([[f32::NAN, 1.0]], &layer.weight.device());
        let outputs: Vec<f32> = layer.forward(rows, Activation::Relu).try_into_vec_as().unwrap();
        assert!(outputs.iter().all(|output| output.is_nan()));
    }
}
/// Layers one after the other, the first for `n_inputs`, to be rectified.
pub(crate) fn stack<R: Rng>(mut n_inputs: usize, hidden: &[usize], init: &mut Init<'_, R>) -> Vec<Linear> {
    let layer = |&width: &usize| {
        let layer = Linear::new(n_inputs, width, 6.0, init);
        n_inputs = width;
        layer
    };
    hidden.iter().map(layer).collect()
}

/// What comes out of rectified layers, with dropout before each.
pub(crate) fn through(layers: &[Linear], dropout: Option<&Dropout>, inputs: Tensor<2>) -> Tensor<2> {
    layers.iter().fold(inputs, |below, layer| layer.forward(dropped(dropout, below), Activation::Relu))
}
