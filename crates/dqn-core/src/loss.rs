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
    /// The mean penalty over valid steps.
    ///
    /// ```text
    /// huber:  e^2 / 2 for |e| <= delta, delta (|e| - delta / 2) beyond
    /// mse:    e^2
    /// ```
    ///
    /// # Shapes
    /// - `td_error`, `valid`: `[batch, steps]`; `valid` is 1 or 0
    /// - returns `[1]`
    pub fn mean(&self, td_error: Tensor<2>, valid: Tensor<2>) -> Tensor<1> {
        let penalty = match *self {
            Loss::Huber { delta } => {
                let size = td_error.abs();
                let inner = size.clone().clamp_max(delta);
                // With q = min(|e|, delta) both branches are q^2 / 2 + delta (|e| - q).
                inner.clone().powi_scalar(2).div_scalar(2.0) + (size - inner).mul_scalar(delta)
            }
            Loss::Mse {} => td_error.powi_scalar(2),
        };
        (penalty * valid.clone()).sum() / valid.sum()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn check(loss: Loss, expected: f32) {
        let device = Device::flex();
        let td_error = Tensor::from_data([[0.5, -3.0], [2.0, 100.0]], &device);
        let valid = Tensor::from_data([[1.0, 1.0], [1.0, 0.0]], &device);
        let found: f32 = loss.mean(td_error, valid).into_scalar();
        assert!((found - expected).abs() < 1e-6, "{loss:?}: {found} instead of {expected}");
    }

    #[test]
    fn losses_by_hand_ignore_padding() {
        check(Loss::Mse {}, (0.25 + 9.0 + 4.0) / 3.0);
        check(Loss::Huber { delta: 1.0 }, (0.125 + 2.5 + 1.5) / 3.0);
        check(Loss::Huber { delta: 2.5 }, (0.125 + 2.5 * 1.75 + 2.0) / 3.0);
    }

    #[test]
    fn the_gradient_of_huber_is_the_clipped_error() {
        let device = Device::flex().autodiff();
        let td_error = Tensor::<2>::from_data([[0.5, -3.0, 2.0, 0.0]], &device).require_grad();
        let valid = Tensor::from_data([[1.0, 1.0, 1.0, 1.0]], &device);
        let gradients = Loss::Huber { delta: 1.0 }.mean(td_error.clone(), valid).backward();
        let found: Vec<f32> = td_error.grad(&gradients).unwrap().try_into_vec_as().unwrap();
        assert_eq!(found, [0.125, -0.25, 0.25, 0.0]);
    }
}
