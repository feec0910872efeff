//! A causal convolutional network.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Int, Tensor};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::init::Init;
use crate::linear::Linear;

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
    #[module(skip)]
    kernel_size: usize,
}

impl Cnn {
    pub(crate) fn new<R: Rng>(config: &CnnConfig, n_inputs: usize, init: &mut Init<'_, R>) -> Self {
        let input = Linear::new(n_inputs, config.width, 3.0, init);
        let n_taps = config.kernel_size * config.width;
        let layers = (0..config.n_layers).map(|_| Linear::new(n_taps, config.width, 6.0, init)).collect();
        Self { input, layers, kernel_size: config.kernel_size }
    }

    /// Inputs of every layer and the output of the last: `n_layers + 1` times `[batch, time, width]`.
    ///
    /// # Shapes
    /// - `inputs`: `[batch, time, n_inputs]`
    pub(crate) fn forward(&self, inputs: Tensor<3>) -> Vec<Tensor<3>> {
        let [batch, time, n_inputs] = inputs.dims();
        let first = self.input.forward(inputs.reshape([batch * time, n_inputs]));
        let width = first.dims()[1];
        let mut layers = vec![first.reshape([batch, time, width])];
        for (index, layer) in self.layers.iter().enumerate() {
            let below = layers.last().expect("the input of the first layer").clone();
            let dilation = 1 << index;
            let reach = (self.kernel_size - 1) * dilation;
            let padded = Tensor::cat(vec![Tensor::zeros([batch, reach, width], &below.device()), below.clone()], 1);
            let taps = (0..self.kernel_size).map(|tap| padded.clone().narrow(1, tap * dilation, time)).collect();
            let taps = Tensor::cat(taps, 2).reshape([batch * time, self.kernel_size * width]);
            layers.push(below + relu(layer.forward(taps)).reshape([batch, time, width]));
        }
        layers
    }

    /// What the layers will look back to after the token at `decisions`, from their inputs as [`Cnn::forward`] gives them.
    ///
    /// # Shapes
    /// - `decisions`: `[batch, 1]`
    pub(crate) fn history(&self, layers: &[Tensor<3>], decisions: Tensor<2, Int>) -> Vec<Tensor<3>> {
        let history = |(index, input): (usize, &Tensor<3>)| {
            let [batch, time, width] = input.dims();
            let reach = (self.kernel_size - 1) << index;
            let padded = Tensor::cat(vec![Tensor::zeros([batch, reach, width], &input.device()), input.clone()], 1);
            let offsets = Tensor::<1, Int>::arange(1..reach as i64 + 1, &input.device()).unsqueeze::<2>();
            let starts = Tensor::<1, Int>::arange(0..batch as i64, &input.device()).mul_scalar((time + reach) as i64);
            let rows = decisions.clone() + offsets + starts.unsqueeze_dim(1);
            let rows = rows.reshape([batch * reach]);
            padded.reshape([batch * (time + reach), width]).select(0, rows).reshape([batch, reach, width])
        };
        layers.iter().take(self.layers.len()).enumerate().map(history).collect()
    }

    /// The output after one more token: `[batch, n_inputs]` to `[batch, width]`.
    pub(crate) fn step(&self, input: Tensor<2>, history: &mut [Tensor<3>]) -> Tensor<2> {
        let mut below = self.input.forward(input);
        let [batch, width] = below.dims();
        for (index, (layer, history)) in self.layers.iter().zip(history).enumerate() {
            let dilation = 1 << index;
            let reach = (self.kernel_size - 1) * dilation;
            let whole = Tensor::cat(vec![history.clone(), below.clone().unsqueeze_dim(1)], 1);
            let taps = (0..self.kernel_size).map(|tap| whole.clone().narrow(1, tap * dilation, 1)).collect();
            let taps = Tensor::cat(taps, 2).reshape([batch, self.kernel_size * width]);
            *history = whole.narrow(1, 1, reach);
            below = below + relu(layer.forward(taps));
        }
        below
    }
}
