//! From gradients to parameters.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schedule::Schedule;

/// The optimizer and its settings.
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

impl OptimizerConfig {
    /// A fresh optimizer.
    pub fn init(&self) -> ModuleOptimizer {
        match *self {
            OptimizerConfig::Adam { beta_1, beta_2, epsilon, .. } => AdamConfig::new()
                .with_beta_1(beta_1 as f32)
                .with_beta_2(beta_2 as f32)
                .with_epsilon(epsilon as f32)
                .init(),
        }
    }

    /// The schedule of the step size.
    pub fn learning_rate(&self) -> &Schedule {
        match self {
            OptimizerConfig::Adam { learning_rate, .. } => learning_rate,
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
