//! A causal convolutional network.

use std::collections::VecDeque;

use burn::module::Module;
use burn::nn::Dropout;
use burn::tensor::{Int, Tensor};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dropout::dropped;
#[cfg(feature = "flex")]
use crate::fused;
use crate::init::Init;
use crate::linear::{Activation, Linear};

/// Size of a convolutional network; it sees `1 + (kernel_size - 1) (2^n_layers - 1)` tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CnnConfig {
    /// Channels of every layer.
    #[schemars(range(min = 1, max = 65536))]
    pub width: usize,
    /// Tokens that one layer looks at.
    #[schemars(range(min = 2, max = 64))]
    pub kernel_size: usize,
    /// Layers; each looks twice as far apart as the one below.
    #[schemars(range(min = 1, max = 16))]
    pub n_layers: usize,
}

impl Default for CnnConfig {
    fn default() -> Self {
        Self { width: 256, kernel_size: 3, n_layers: 4 }
    }
}

/// Dilated causal convolutions with residual connections.
///
/// ```text
/// x_0 = embedding W_in + b_in
/// x_{l+1}[t] = x_l[t] + relu(b_l + sum_j x_l[t - (kernel_size - 1 - j) 2^l] W_{l, j})
/// ```
///
/// What lies before the text is zero. Source: van den Oord et al. 2016, section 2.1; Bai et al. 2018.
#[derive(Module, Debug)]
pub struct Cnn {
    input: Linear,
    /// Each reads the vectors at its taps side by side, the earliest first.
    layers: Vec<Linear>,
    /// On what a layer adds, as in Bai et al. 2018.
    dropout: Option<Dropout>,
    #[module(skip)]
    kernel_size: usize,
}

/// The last inputs of a layer, the oldest first, `[batch, width]` each: a step moves none of them.
pub(crate) type History = VecDeque<Tensor<2>>;

impl Cnn {
    pub(crate) fn new<R: Rng>(
        config: &CnnConfig,
        n_inputs: usize,
        dropout: Option<Dropout>,
        init: &mut Init<'_, R>,
    ) -> Self {
        let input = Linear::new(n_inputs, config.width, 3.0, init);
        let n_taps = config.kernel_size * config.width;
        let layers = (0..config.n_layers).map(|_| Linear::new(n_taps, config.width, 6.0, init)).collect();
        Self { input, layers, dropout, kernel_size: config.kernel_size }
    }

    /// The same network, to act with: what depends on its parameters only is computed once.
    pub(crate) fn for_acting(self) -> Self {
        let layers = self.layers.into_iter().map(Linear::for_acting).collect();
        Self { input: self.input.for_acting(), layers, ..self }
    }

    /// Inputs of every layer and the output of the last: `n_layers + 1` times `[batch, time, width]`.
    ///
    /// # Shapes
    /// - `inputs`: `[batch, time, n_inputs]`
    pub(crate) fn forward(&self, inputs: Tensor<3>) -> Vec<Tensor<3>> {
        let [batch, time, n_inputs] = inputs.dims();
        let first = self.input.forward(inputs.reshape([batch * time, n_inputs]), Activation::Identity);
        let width = first.dims()[1];
        let mut layers = vec![first.reshape([batch, time, width])];
        for (index, layer) in self.layers.iter().enumerate() {
            let below = layers.last().expect("the input of the first layer").clone();
            let added = self.rectified_sums(layer, below.clone(), 1 << index);
            layers.push(below + dropped(self.dropout.as_ref(), added));
        }
        layers
    }

    /// What a layer adds to its inputs: `[batch, time, width]`.
    fn rectified_sums(&self, layer: &Linear, below: Tensor<3>, dilation: usize) -> Tensor<3> {
        #[cfg(feature = "flex")]
        if fused::can_record(&below.device()) {
            let taps = fused::Taps::causal(self.kernel_size, dilation);
            return fused::convolution(below, layer.weight.val(), layer.bias.val(), taps, Activation::Relu);
        }
        plain(layer, below, self.kernel_size, dilation)
    }

    /// What the layers will look back to after the token at `decisions`, from their inputs as [`Cnn::forward`] gives them.
    ///
    /// # Shapes
    /// - `decisions`: `[batch, 1]`
    pub(crate) fn history(&self, layers: &[Tensor<3>], decisions: Tensor<2, Int>) -> Vec<History> {
        let history = |(index, input): (usize, &Tensor<3>)| -> History {
            let [batch, time, width] = input.dims();
            let reach = (self.kernel_size - 1) << index;
            let padded = Tensor::cat(vec![Tensor::zeros([batch, reach, width], &input.device()), input.clone()], 1);
            let offsets = Tensor::<1, Int>::arange(1..reach as i64 + 1, &input.device()).unsqueeze::<2>();
            let starts = Tensor::<1, Int>::arange(0..batch as i64, &input.device()).mul_scalar((time + reach) as i64);
            let rows = decisions.clone() + offsets + starts.unsqueeze_dim(1);
            let rows = rows.reshape([batch * reach]);
            let inputs = padded.reshape([batch * (time + reach), width]).select(0, rows).reshape([batch, reach, width]);
            (0..reach).map(|place| inputs.clone().narrow(1, place, 1).squeeze_dim(1)).collect()
        };
        layers.iter().take(self.layers.len()).enumerate().map(history).collect()
    }

    /// The output after one more token: `[batch, n_inputs]` to `[batch, width]`.
    pub(crate) fn step(&self, input: Tensor<2>, history: &mut [History]) -> Tensor<2> {
        let mut below = self.input.forward(input, Activation::Identity);
        for (index, (layer, history)) in self.layers.iter().zip(history).enumerate() {
            history.push_back(below.clone());
            let taps = Tensor::cat(history.iter().step_by(1 << index).cloned().collect(), 1);
            history.pop_front();
            below = below + layer.forward(taps, Activation::Relu);
        }
        below
    }
}

/// The causal convolution of one layer, rectified, in plain tensors: `[batch, time, width]`.
fn plain(layer: &Linear, below: Tensor<3>, kernel_size: usize, dilation: usize) -> Tensor<3> {
    let [batch, time, width] = below.dims();
    let reach = (kernel_size - 1) * dilation;
    let padded = Tensor::cat(vec![Tensor::zeros([batch, reach, width], &below.device()), below], 1);
    let taps = (0..kernel_size).map(|tap| padded.clone().narrow(1, tap * dilation, time)).collect();
    let taps = Tensor::cat(taps, 2).reshape([batch * time, kernel_size * width]);
    layer.plain(taps, Activation::Relu).reshape([batch, time, width])
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fused::oracle;

    fn check(shape: [usize; 3], kernel_size: usize, dilation: usize, seed: u64) {
        let width = shape[2];
        let module = oracle::drawn(seed, |init| {
            let config = CnnConfig { width, kernel_size, n_layers: 1 };
            let cnn = Cnn::new(&config, width, None, init);
            (oracle::inputs(shape, init), oracle::linear(kernel_size * width, width, init), cnn)
        });
        let (inputs, layer, cnn) = module;
        oracle::check_with_kinks(
            &(inputs, layer),
            |(inputs, layer)| cnn.rectified_sums(layer, inputs.val(), dilation),
            |(inputs, layer)| plain(layer, inputs.val(), kernel_size, dilation),
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_fused_layer_is_the_plain_one(
            batch in 1_usize..4, time in 1_usize..9, width in 1_usize..20, kernel_size in 2_usize..5,
            dilation in 1_usize..5, seed: u64,
        ) {
            check([batch, time, width], kernel_size, dilation, seed);
        }
    }

    #[test]
    fn a_layer_large_enough_for_several_threads_is_the_plain_one() {
        check([5, 30, 30], 3, 4, 3);
    }
}
