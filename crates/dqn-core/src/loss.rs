//! How far the network's answers are from their targets.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The penalty of a TD error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// Quadratic near zero and linear beyond `delta` (Huber 1964), the error clipping of Mnih et al. 2015.
    Huber {
        /// TD error, in units of reward, where the penalty becomes linear.
        #[serde(default = "default_delta")]
        #[schemars(range(min = 1e-6))]
        delta: f64,
    },
    /// The squared TD error.
    Mse {},
}

fn default_delta() -> f64 {
    1.0
}

impl Loss {
    /// The penalty of each error.
    ///
    /// ```text
    /// huber:  e^2 / 2 for |e| <= delta, delta (|e| - delta / 2) beyond
    /// mse:    e^2
    /// ```
    pub fn penalty(&self, td_error: Tensor<2>) -> Tensor<2> {
        match *self {
            Loss::Huber { delta } => {
                let size = td_error.abs();
                let inner = size.clone().clamp_max(delta);
                // With q = min(|e|, delta) both branches are q^2 / 2 + delta (|e| - q).
                inner.clone().powi_scalar(2).div_scalar(2.0) + (size - inner).mul_scalar(delta)
            }
            Loss::Mse {} => td_error.powi_scalar(2),
        }
    }
}

/// The mean penalty over valid steps, each counted as often as the weight of its window says.
///
/// ```text
/// sum_{b, t} weights_b valid_{b, t} penalty_{b, t} / sum_{b, t} valid_{b, t}
/// ```
///
/// Source: Schaul et al. 2016, algorithm 1: the weights multiply the single errors, not their mean.
///
/// # Shapes
/// - `penalty`, `valid`: `[batch, steps]`; `valid` is 1 or 0
/// - `weights`: `[batch, 1]`
/// - returns `[1]`
pub fn weighted_mean(penalty: Tensor<2>, valid: Tensor<2>, weights: Tensor<2>) -> Tensor<1> {
    (penalty * valid.clone() * weights).sum() / valid.sum()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn check(loss: Loss, expected: f32) {
        let device = Device::flex();
        let td_error = Tensor::from_data([[0.5, -3.0], [2.0, 100.0]], &device);
        let valid = Tensor::from_data([[1.0, 1.0], [1.0, 0.0]], &device);
        let weights = Tensor::ones([2, 1], &device);
        let found: f32 = weighted_mean(loss.penalty(td_error), valid, weights).into_scalar();
        assert!((found - expected).abs() < 1e-6, "{loss:?}: {found} instead of {expected}");
    }

    #[test]
    fn losses_by_hand_ignore_padding() {
        check(Loss::Mse {}, (0.25 + 9.0 + 4.0) / 3.0);
        check(Loss::Huber { delta: 1.0 }, (0.125 + 2.5 + 1.5) / 3.0);
        check(Loss::Huber { delta: 2.5 }, (0.125 + 2.5 * 1.75 + 2.0) / 3.0);
    }

    #[test]
    fn weights_multiply_the_elements() {
        let device = Device::flex();
        let penalty = Tensor::<2>::from_data([[1.0, 2.0], [4.0, 100.0]], &device);
        let valid = Tensor::from_data([[1.0, 1.0], [1.0, 0.0]], &device);
        let found: f32 = weighted_mean(penalty, valid, Tensor::from_data([[0.5], [0.25]], &device)).into_scalar();
        assert_eq!(found, (0.5 * 3.0 + 0.25 * 4.0) / 3.0);
    }

    #[test]
    fn the_gradient_of_huber_is_the_clipped_error() {
        let device = Device::flex().autodiff();
        let td_error = Tensor::<2>::from_data([[0.5, -3.0, 2.0, 0.0]], &device).require_grad();
        let valid = Tensor::from_data([[1.0, 1.0, 1.0, 1.0]], &device);
        let penalty = Loss::Huber { delta: 1.0 }.penalty(td_error.clone());
        let gradients = weighted_mean(penalty, valid, Tensor::ones([1, 1], &device)).backward();
        let found: Vec<f32> = td_error.grad(&gradients).unwrap().try_into_vec_as().unwrap();
        assert_eq!(found, [0.125, -0.25, 0.25, 0.0]);
    }
}
