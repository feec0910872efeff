//! Levels of probability as vectors, for implicit quantiles.

use burn::module::Module;
use burn::tensor::Tensor;
use dqn_core::Distribution;
use dqn_core::distribution::midpoints;
use rand::Rng;

use crate::init::Init;
use crate::linear::{Activation, Linear};

/// What turns the features of a state into those of its return at a level of probability.
///
/// ```text
/// psi_j(tau) = relu(sum_{i = 0}^{n - 1} cos(pi i tau) w_ij + b_j)
/// Z_tau(s, a) = head(f(s) * psi(tau), a)
/// ```
///
/// with the product taken feature by feature. Source: Dabney et al. 2018b, eq. 4 and section 3.1.
///
/// Differs from the paper: no hidden layer lies between the product and the head, which is linear. A value, the mean over
/// levels, is therefore the head's answer to the mean of the vectors of the levels, and costs one row instead of one for
/// each level.
#[derive(Module, Debug)]
pub struct QuantileEmbedding {
    linear: Linear,
    #[module(skip)]
    n_cosines: usize,
    #[module(skip)]
    n_acting_samples: usize,
}

impl QuantileEmbedding {
    /// The embedding that `distribution` needs before a head of `width` features, if it needs one.
    ///
    /// Weights are drawn uniformly from `-sqrt(6 / cosines)..sqrt(6 / cosines)` (He et al. 2015), biases are 0.
    pub(crate) fn of<R: Rng>(distribution: Distribution, width: usize, init: &mut Init<'_, R>) -> Option<Self> {
        let Distribution::Implicit { n_cosines, n_acting_samples, .. } = distribution else { return None };
        Some(Self { linear: Linear::new(n_cosines, width, 6.0, init), n_cosines, n_acting_samples })
    }

    /// The vector of each level: `[levels]` to `[levels, width]`.
    pub fn forward(&self, levels: Tensor<1>) -> Tensor<2> {
        let frequencies: Vec<f32> = (0..self.n_cosines).map(|index| std::f32::consts::PI * index as f32).collect();
        let frequencies = Tensor::<1>::from_data(frequencies.as_slice(), &levels.device());
        let angles = levels.unsqueeze_dim::<2>(1) * frequencies.unsqueeze_dim(0);
        self.linear.forward(angles.cos(), Activation::Relu)
    }

    /// Features of each row at its levels.
    ///
    /// # Shapes
    /// - `features`: `[rows, width]`; `levels`: `[rows, levels]`
    /// - returns `[rows * levels, width]`
    pub(crate) fn at(&self, features: Tensor<2>, levels: Tensor<2>) -> Tensor<2> {
        let [rows, n_levels] = levels.dims();
        let width = features.dims()[1];
        let vectors = self.forward(levels.reshape([rows * n_levels])).reshape([rows, n_levels, width]);
        (features.unsqueeze_dim::<3>(1) * vectors).reshape([rows * n_levels, width])
    }

    /// Features whose value under a linear head is the mean over the levels that actions are valued at.
    ///
    /// # Shapes
    /// - `features` and the answer: `[rows, width]`
    pub(crate) fn acting(&self, features: Tensor<2>) -> Tensor<2> {
        let levels = midpoints(self.n_acting_samples, &features.device());
        features * self.forward(levels).mean_dim(0)
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::tensor::Device;
    use dqn_mdp::Seed;

    use super::*;

    #[test]
    fn cosines_by_hand() {
        let device = Device::flex();
        let implicit = Distribution::Implicit { n_cosines: 3, n_samples: 1, n_target_samples: 1, n_acting_samples: 2 };
        let mut rng = Seed(1).stream("init");
        let mut init = Init { rng: &mut rng, device: &device };
        let mut embedding = QuantileEmbedding::of(implicit, 2, &mut init).unwrap();
        embedding.linear.weight = Param::from_data([[1.0, 0.0], [2.0, -2.0], [4.0, 1.0]], &device);
        embedding.linear.bias = Param::from_data([0.5, 0.25], &device);
        // cos(0), cos(pi tau), cos(2 pi tau): (1, 1, 1) at 0, (1, 0, -1) at 1/2, (1, -1, 1) at 1.
        let found: Vec<f32> = embedding.forward(Tensor::from_data([0.0, 0.5, 1.0], &device)).try_into_vec_as().unwrap();
        let expected = [7.5, 0.0, 0.0, 0.0, 3.5, 3.25];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
        }
        // Each row meets its own levels.
        let features = Tensor::<2>::from_data([[1.0, 10.0], [2.0, 20.0]], &device);
        let levels = Tensor::<2>::from_data([[0.0, 1.0], [1.0, 1.0]], &device);
        let found: Vec<f32> = embedding.at(features, levels).try_into_vec_as().unwrap();
        let expected = [7.5, 0.0, 3.5, 32.5, 7.0, 65.0, 7.0, 65.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4, "{found} instead of {expected}");
        }
        assert!(QuantileEmbedding::of(Distribution::Mean, 2, &mut init).is_none());
    }
}
