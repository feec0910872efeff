//! Heads: from the features of a state to the values of its actions.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::init::Init;

/// The part of the network that values actions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum HeadConfig {
    /// One value for each action.
    Scalar {
        /// Standard deviation of the initial weights; a small one begins with all values near 0.
        #[serde(default = "default_init_deviation")]
        #[schemars(range(min = 0.0, max = 10.0))]
        init_deviation: f64,
    },
    /// The value of the state plus the advantage of each action over their mean (Wang et al. 2016, eq. 9).
    Dueling {
        /// Standard deviation of the initial weights; a small one begins with all values near 0.
        #[serde(default = "default_init_deviation")]
        #[schemars(range(min = 0.0, max = 10.0))]
        init_deviation: f64,
    },
}

fn default_init_deviation() -> f64 {
    0.01
}

/// Linear values of actions.
///
/// The weights lie as one row for each action, so that the value of one action costs one row and not the whole matrix.
#[derive(Module, Debug)]
pub struct Head {
    /// `[actions, width]`
    weight: Param<Tensor<2>>,
    /// `[actions]`
    bias: Param<Tensor<1>>,
    state_value: Option<StateValue>,
}

#[derive(Module, Debug)]
struct StateValue {
    /// `[width, 1]`
    weight: Param<Tensor<2>>,
    /// `[1]`
    bias: Param<Tensor<1>>,
}

impl Head {
    pub(crate) fn new<R: Rng>(config: HeadConfig, width: usize, n_actions: usize, init: &mut Init<'_, R>) -> Self {
        let (HeadConfig::Scalar { init_deviation } | HeadConfig::Dueling { init_deviation }) = config;
        let deviation = init_deviation as f32;
        let is_dueling = matches!(config, HeadConfig::Dueling { .. });
        Self {
            weight: init.normal([n_actions, width], deviation),
            bias: init.zeros(n_actions),
            state_value: is_dueling
                .then(|| StateValue { weight: init.normal([width, 1], deviation), bias: init.zeros(1) }),
        }
    }

    /// Number of actions.
    pub fn n_actions(&self) -> usize {
        self.weight.dims()[0]
    }

    /// The value of every action.
    ///
    /// ```text
    /// scalar:   Q(s, a) = f(s) . w_a + b_a
    /// dueling:  Q(s, a) = V(s) + A(s, a) - mean_a' A(s, a'),   A as above
    /// ```
    ///
    /// # Shapes
    /// - `features`: `[rows, width]`
    /// - returns `[rows, actions]`
    pub fn q_values(&self, features: Tensor<2>) -> Tensor<2> {
        let advantages = features.clone().matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze();
        match &self.state_value {
            None => advantages,
            Some(state_value) => {
                // Mean advantages come from the mean weights: one product for each row instead of a sum over actions.
                let baseline = state_value.forward(features.clone()) - self.mean_advantage(features);
                advantages + baseline
            }
        }
    }

    /// The value of one action in each row: `[rows]`.
    ///
    /// # Shapes
    /// - `features`: `[rows, width]`; `actions`: `[rows]`
    pub fn q_taken(&self, features: Tensor<2>, actions: Tensor<1, Int>) -> Tensor<1> {
        let weights = self.weight.val().select(0, actions.clone());
        let advantages =
            (features.clone() * weights).sum_dim(1).squeeze_dim::<1>(1) + self.bias.val().select(0, actions);
        match &self.state_value {
            None => advantages,
            Some(state_value) => {
                let baseline = state_value.forward(features.clone()) - self.mean_advantage(features);
                advantages + baseline.squeeze_dim(1)
            }
        }
    }

    /// `[rows, 1]`
    fn mean_advantage(&self, features: Tensor<2>) -> Tensor<2> {
        let mean_weight = self.weight.val().mean_dim(0).transpose();
        features.matmul(mean_weight) + self.bias.val().mean().unsqueeze()
    }
}

impl StateValue {
    fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        features.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use dqn_mdp::Seed;

    use super::*;

    #[test]
    fn dueling_advantages_average_to_the_state_value() {
        let device = Device::flex();
        let mut rng = Seed(5).stream("init");
        let mut init = Init { rng: &mut rng, device: &device };
        let head = Head::new(HeadConfig::Dueling { init_deviation: 0.5 }, 4, 7, &mut init);
        let features = Tensor::<2>::from_data([[1.0, -2.0, 0.5, 3.0], [0.0, 1.0, 1.0, -1.0]], &device);
        let expected = head.state_value.as_ref().unwrap().forward(features.clone());
        let mean = head.q_values(features).mean_dim(1);
        let difference: f32 = (mean - expected).abs().max().into_scalar();
        assert!(difference < 1e-6, "differs by {difference}");
    }
}
