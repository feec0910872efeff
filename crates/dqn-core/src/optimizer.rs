//! From gradients to parameters.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdaGradConfig, AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, RmsPropConfig, SgdConfig};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schedule::Schedule;

/// The optimizer and its settings.
///
/// `l2` adds `l2 * parameter` to the gradient, the gradient of the penalty `l2 / 2 |parameter|^2`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Adam (Kingma and Ba 2015).
    Adam {
        /// Step size; a schedule counts in the unit it names.
        learning_rate: Schedule,
        /// Decay of the mean of gradients.
        #[serde(default = "default_beta_1")]
        #[schemars(range(min = 0.0, max = 0.999999))]
        beta_1: f64,
        /// Decay of the mean of squared gradients.
        #[serde(default = "default_beta_2")]
        #[schemars(range(min = 0.0, max = 0.999999))]
        beta_2: f64,
        /// Added to the root of the mean squared gradient (1e-8 in the paper).
        #[serde(default = "default_epsilon")]
        #[schemars(range(min = 1e-12))]
        epsilon: f64,
        /// Weight of the L2 penalty on all parameters; 0 for none.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        l2: f64,
    },
    /// Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019).
    AdamW {
        /// Step size.
        learning_rate: Schedule,
        /// Decay of the mean of gradients.
        #[serde(default = "default_beta_1")]
        #[schemars(range(min = 0.0, max = 0.999999))]
        beta_1: f64,
        /// Decay of the mean of squared gradients.
        #[serde(default = "default_beta_2")]
        #[schemars(range(min = 0.0, max = 0.999999))]
        beta_2: f64,
        /// Added to the root of the mean squared gradient.
        #[serde(default = "default_epsilon")]
        #[schemars(range(min = 1e-12))]
        epsilon: f64,
        /// Share of every parameter taken away with each update, times the step size.
        #[serde(default = "default_weight_decay")]
        #[schemars(range(min = 0.0))]
        weight_decay: f64,
    },
    /// Steps divided by the root of the sum of all squared gradients so far (Duchi et al. 2011).
    AdaGrad {
        /// Step size.
        learning_rate: Schedule,
        /// Added to that root.
        #[serde(default = "default_epsilon")]
        #[schemars(range(min = 1e-12))]
        epsilon: f64,
        /// Weight of the L2 penalty on all parameters; 0 for none.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        l2: f64,
    },
    /// Steps divided by the root of the running mean of squared gradients (Hinton 2012); the optimizer of Mnih et al.
    /// 2015 in its centered form.
    RmsProp {
        /// Step size.
        learning_rate: Schedule,
        /// Decay of the mean of squared gradients.
        #[serde(default = "default_rms_decay")]
        #[schemars(range(min = 0.0, max = 0.999999))]
        decay: f64,
        /// Share of the last step added to the next; 0 for none.
        #[serde(default)]
        #[schemars(range(min = 0.0, max = 0.999999))]
        momentum: f64,
        /// Added to the root of the mean squared gradient.
        #[serde(default = "default_epsilon")]
        #[schemars(range(min = 1e-12))]
        epsilon: f64,
        /// Divide by the deviation of the gradient from its mean instead.
        #[serde(default)]
        centered: bool,
        /// Weight of the L2 penalty on all parameters; 0 for none.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        l2: f64,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// Step size.
        learning_rate: Schedule,
        /// Share of the last step added to the next; 0 for none.
        #[serde(default)]
        #[schemars(range(min = 0.0, max = 0.999999))]
        momentum: f64,
        /// Look ahead along the momentum before taking the gradient (Nesterov 1983; Sutskever et al. 2013).
        #[serde(default)]
        nesterov: bool,
        /// Weight of the L2 penalty on all parameters; 0 for none.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        l2: f64,
    },
}

fn default_beta_1() -> f64 {
    0.9
}

fn default_beta_2() -> f64 {
    0.999
}

fn default_epsilon() -> f64 {
    1e-8
}

fn default_weight_decay() -> f64 {
    0.01
}

fn default_rms_decay() -> f64 {
    0.95
}

impl OptimizerConfig {
    /// A fresh optimizer.
    pub fn init(&self) -> ModuleOptimizer {
        let penalty = |l2: f64| (l2 > 0.0).then(|| WeightDecayConfig::new(l2 as f32));
        match *self {
            OptimizerConfig::Adam { beta_1, beta_2, epsilon, l2, .. } => AdamConfig::new()
                .with_beta_1(beta_1 as f32)
                .with_beta_2(beta_2 as f32)
                .with_epsilon(epsilon as f32)
                .with_weight_decay(penalty(l2))
                .init(),
            OptimizerConfig::AdamW { beta_1, beta_2, epsilon, weight_decay, .. } => AdamWConfig::new()
                .with_beta_1(beta_1 as f32)
                .with_beta_2(beta_2 as f32)
                .with_epsilon(epsilon as f32)
                .with_weight_decay(weight_decay as f32)
                .init(),
            OptimizerConfig::AdaGrad { epsilon, l2, .. } => {
                AdaGradConfig::new().with_epsilon(epsilon as f32).with_weight_decay(penalty(l2)).init()
            }
            OptimizerConfig::RmsProp { decay, momentum, epsilon, centered, l2, .. } => RmsPropConfig::new()
                .with_alpha(decay as f32)
                .with_momentum(momentum as f32)
                .with_epsilon(epsilon as f32)
                .with_centered(centered)
                .with_weight_decay(penalty(l2))
                .init(),
            OptimizerConfig::Sgd { momentum, nesterov, l2, .. } => {
                let momentum = (momentum > 0.0)
                    .then(|| MomentumConfig::new().with_momentum(momentum).with_dampening(0.0).with_nesterov(nesterov));
                SgdConfig::new().with_momentum(momentum).with_weight_decay(penalty(l2)).init()
            }
        }
    }

    /// The schedule of the step size.
    pub fn learning_rate(&self) -> &Schedule {
        match self {
            OptimizerConfig::Adam { learning_rate, .. }
            | OptimizerConfig::AdamW { learning_rate, .. }
            | OptimizerConfig::AdaGrad { learning_rate, .. }
            | OptimizerConfig::RmsProp { learning_rate, .. }
            | OptimizerConfig::Sgd { learning_rate, .. } => learning_rate,
        }
    }
}

/// Scales all gradients of `module` by one factor so that their joint norm is at most `max_norm`, and returns that
/// norm as it was before.
///
/// ```text
/// norm = sqrt(sum over all parameters of |g|^2),   g <- g * min(1, max_norm / norm)
/// ```
///
/// Source: Pascanu et al. 2013, algorithm 1. The sum runs in the order of the module's fields, so it is the same in
/// every run.
///
/// # Shapes
/// - returns `[1]`
///
/// # Panics
/// When no parameter has a gradient.
pub fn clip_by_global_norm<M: Module>(gradients: &mut GradientsParams, module: &M, max_norm: Option<f64>) -> Tensor<1> {
    let mut squares = SumOfSquares { gradients, sum: None };
    module.visit(&mut squares);
    let norm = squares.sum.expect("a loss depends on at least one parameter").sqrt();
    if let Some(max_norm) = max_norm {
        // The largest float keeps a norm of zero from dividing into infinity.
        let factor = norm.clone().clamp_min(f64::from(f32::MIN_POSITIVE)).recip().mul_scalar(max_norm).clamp_max(1.0);
        module.visit(&mut Scale { gradients, factor });
    }
    norm
}

/// Moves every element of every gradient of `module` into `-max_value..=max_value`.
pub fn clip_by_value<M: Module>(gradients: &mut GradientsParams, module: &M, max_value: f64) {
    module.visit(&mut Clamp { gradients, max_value });
}

struct Clamp<'a> {
    gradients: &'a mut GradientsParams,
    max_value: f64,
}

impl ModuleVisitor for Clamp<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient.clamp(-self.max_value, self.max_value));
        }
    }
}

struct SumOfSquares<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let square = gradient.powi_scalar(2).sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: Tensor<1>,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            let factor = self.factor.clone().reshape([1; D]);
            self.gradients.register(param.id, gradient * factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    use super::*;

    /// The first two parameters, from (1, -2), of a module whose gradient is always (0.5, -2).
    fn steps(config: &OptimizerConfig) -> [[f64; 2]; 2] {
        let device = Device::flex().autodiff();
        let mut module = LinearConfig::new(2, 1).with_bias(false).init(&device);
        module.weight = Param::from_data([[1.0], [-2.0]], &device);
        let mut optimizer = config.init();
        [(); 2].map(|()| {
            let output = Tensor::<2>::from_data([[0.5, -2.0]], &device).matmul(module.weight.val()).sum();
            let gradients = GradientsParams::from_grads(output.backward(), &module);
            module = optimizer.step(0.1, module.clone(), gradients);
            let values: Vec<f32> = module.weight.val().try_into_vec_as().unwrap();
            [f64::from(values[0]), f64::from(values[1])]
        })
    }

    fn check_steps(config: &OptimizerConfig, expected: [[f64; 2]; 2]) {
        let found = steps(config);
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-5, "{config:?}: {found} instead of {expected}");
        }
    }

    #[test]
    fn two_steps_of_each_optimizer_by_hand() {
        let learning_rate = Schedule::Constant { value: 0.1 };
        let (beta_1, beta_2, epsilon) = (0.9, 0.999, 1e-8);
        // Under a constant gradient both corrected means are exact: every step is the step size.
        let adam = |l2| OptimizerConfig::Adam { learning_rate, beta_1, beta_2, epsilon, l2 };
        check_steps(&adam(0.0), [[0.9, -1.9], [0.8, -1.8]]);
        // The penalty turns the first gradient around, to 0.5 - 1 where the parameter is -1, and so the step.
        assert!((steps(&adam(1.0))[0][0] - 0.9).abs() < 1e-5, "0.5 + 1 is still positive");
        let decay = OptimizerConfig::AdamW { learning_rate, beta_1, beta_2, epsilon, weight_decay: 0.5 };
        check_steps(&decay, [[0.85, -1.8], [0.85 * 0.95 - 0.1, -1.8 * 0.95 + 0.1]]);
        let root = std::f64::consts::SQRT_2.recip();
        let ada_grad = OptimizerConfig::AdaGrad { learning_rate, epsilon, l2: 0.0 };
        check_steps(&ada_grad, [[0.9, -1.9], [0.9 - 0.1 * root, -1.9 + 0.1 * root]]);
        let rms =
            OptimizerConfig::RmsProp { learning_rate, decay: 0.75, momentum: 0.0, epsilon, centered: false, l2: 0.0 };
        // The mean square is g^2 / 4, then g^2 7 / 16.
        let second = 4.0 / 7.0_f64.sqrt();
        check_steps(&rms, [[0.8, -1.8], [0.8 - 0.1 * second, -1.8 + 0.1 * second]]);
        let sgd = |momentum, l2| OptimizerConfig::Sgd { learning_rate, momentum, nesterov: false, l2 };
        check_steps(&sgd(0.0, 0.0), [[0.95, -1.8], [0.9, -1.6]]);
        check_steps(&sgd(0.5, 0.0), [[0.95, -1.8], [0.95 - 0.075, -1.8 + 0.3]]);
        check_steps(&sgd(0.0, 1.0), [[0.85, -1.6], [0.85 - 0.1 * 1.35, -1.6 + 0.1 * 3.6]]);
    }

    #[test]
    fn clipping_by_value_leaves_small_elements() {
        let device = Device::flex().autodiff();
        let module = LinearConfig::new(2, 1).with_bias(false).init(&device);
        let output = Tensor::<2>::from_data([[0.5, -2.0]], &device).matmul(module.weight.val()).sum();
        let mut gradients = GradientsParams::from_grads(output.backward(), &module);
        clip_by_value(&mut gradients, &module, 1.0);
        let found: Vec<f32> = gradients.get::<2>(module.weight.id).unwrap().try_into_vec_as().unwrap();
        assert_eq!(found, [0.5, -1.0]);
    }

    #[test]
    fn all_gradients_share_one_factor() {
        let device = Device::flex().autodiff();
        let module = LinearConfig::new(2, 1).init(&device);
        let clipped = |max_norm| {
            // d loss / d weight = (3, 4), d loss / d bias = 12: the norm is 13.
            let input = Tensor::<2>::from_data([[3.0, 4.0]], &device);
            let output = input.matmul(module.weight.val()).sum() + module.bias.as_ref().unwrap().val().sum() * 12.0;
            let mut gradients = GradientsParams::from_grads(output.backward(), &module);
            let norm: f32 = clip_by_global_norm(&mut gradients, &module, max_norm).into_scalar();
            let weight: Vec<f32> = gradients.get::<2>(module.weight.id).unwrap().try_into_vec_as().unwrap();
            let bias: Vec<f32> =
                gradients.get::<1>(module.bias.as_ref().unwrap().id).unwrap().try_into_vec_as().unwrap();
            (norm, weight, bias)
        };
        assert_eq!(clipped(None), (13.0, vec![3.0, 4.0], vec![12.0]));
        assert_eq!(clipped(Some(13.5)), (13.0, vec![3.0, 4.0], vec![12.0]));
        let (norm, weight, bias) = clipped(Some(6.5));
        assert_eq!(norm, 13.0);
        for (found, expected) in weight.iter().chain(&bias).zip([1.5, 2.0, 6.0]) {
            assert!((found - expected).abs() < 1e-6);
        }
    }
}
