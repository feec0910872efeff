//! The value of a state, from the values of its actions.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the value of the next state is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Bootstrap {
    /// The highest value of the target network (Mnih et al. 2015).
    Max {},
    /// The target network's value of the action the online network prefers (van Hasselt et al. 2016).
    Double {},
    /// The soft value under a prior policy, which keeps what is learned close to that policy:
    /// `V = temperature * log sum_a prior(a) exp(Q(a) / temperature)` (Jaques et al. 2017, section 3.3). Needs a
    /// `[prior]`.
    Kl {
        /// Price of leaving the prior, in units of reward a nat: small values follow the reward, large ones the prior.
        #[schemars(range(min = 1e-6))]
        temperature: f64,
    },
    /// The soft value, `V = temperature * log sum_a exp(Q(a) / temperature)`, which rewards the entropy of the policy
    /// (Haarnoja et al. 2017).
    Soft {
        /// Reward of a nat of entropy, in units of reward.
        #[schemars(range(min = 1e-6))]
        temperature: f64,
        /// Add `temperature * log prior(a)` to the reward of every action, of the policy in `[prior]`. The best policy is then
        /// that of KL control, `prior(a) exp(Q / temperature)`, but is all in the network, which may begin as a copy of the
        /// prior (`network.head` of the kind `policy`) and needs none to act.
        #[serde(default)]
        rewards_prior: bool,
    },
}

impl Bootstrap {
    /// The temperature of a soft value.
    pub fn temperature(&self) -> Option<f64> {
        match *self {
            Bootstrap::Kl { temperature } | Bootstrap::Soft { temperature, .. } => Some(temperature),
            Bootstrap::Max {} | Bootstrap::Double {} => None,
        }
    }

    /// Whether updates need the prior's log-probabilities.
    pub fn needs_prior(&self) -> bool {
        self.weighs_prior() || self.rewards_prior()
    }

    /// Whether what the prior says of the action taken is part of its reward.
    pub fn rewards_prior(&self) -> bool {
        matches!(self, Bootstrap::Soft { rewards_prior: true, .. })
    }

    /// Whether the value of a state weighs its actions by the prior.
    pub fn weighs_prior(&self) -> bool {
        matches!(self, Bootstrap::Kl { .. })
    }
}

/// What the soft value of a state is made of.
#[derive(Clone, Debug)]
pub struct StateValues {
    /// Values of the target network, or of any that is to be its own judge: `[batch, states, actions]`.
    pub q: Tensor<3>,
    /// The prior's log-probabilities, where [`Bootstrap::weighs_prior`]: `[batch, states, actions]`.
    pub log_prior: Option<Tensor<3>>,
    /// 0 for allowed actions, a very small number for others: `[batch, states, actions]`.
    pub mask: Option<Tensor<3>>,
}

impl StateValues {
    /// The soft value of every state, under the prior where there is one.
    ///
    /// ```text
    /// V(s) = temperature * log sum_a exp(Q(s, a) / temperature)
    /// V(s) = temperature * log sum_a prior(a | s) exp(Q(s, a) / temperature)
    /// ```
    ///
    /// Source: Haarnoja et al. 2017; Jaques et al. 2017, section 3.3 (the Psi-learning target), Todorov 2006.
    ///
    /// # Shapes
    /// - returns `[batch, states]`
    pub fn value(&self, temperature: f64, log_sum_exp: LogSumExp) -> Tensor<2> {
        let sum = match &self.log_prior {
            Some(log_prior) => {
                log_sum_exp(self.q.clone().div_scalar(temperature) + self.masked(log_prior.clone()), 1.0)
            }
            None => log_sum_exp(self.masked_values(), temperature.recip()),
        };
        sum.mul_scalar(temperature)
    }

    /// The values, those of forbidden actions very small: `[batch, states, actions]`.
    pub fn masked_values(&self) -> Tensor<3> {
        self.masked(self.q.clone())
    }

    /// Adds the mask, where there is one.
    fn masked(&self, values: Tensor<3>) -> Tensor<3> {
        match &self.mask {
            Some(mask) => values + mask.clone(),
            None => values,
        }
    }
}

/// A function like [`log_sum_exp`].
pub type LogSumExp = fn(Tensor<3>, f64) -> Tensor<2>;

/// `log sum_a exp(scale * x_a)`.
///
/// # Shapes
/// - `values`: `[batch, states, actions]`
/// - returns `[batch, states]`
pub fn log_sum_exp(values: Tensor<3>, scale: f64) -> Tensor<2> {
    let exponents = values.mul_scalar(scale);
    // The largest exponent is a constant of the formula, which its gradient may leave out.
    let highest = exponents.clone().detach().max_dim(2);
    ((exponents - highest.clone()).exp().sum_dim(2).log() + highest).squeeze_dim::<2>(2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    const Q: [[[f32; 3]; 2]; 1] = [[[1.0, 3.0, 2.0], [0.0, -1.0, -2.0]]];
    const MASK: [[[f32; 3]; 2]; 1] = [[[0.0, -1e9, 0.0], [0.0, 0.0, -1e9]]];

    fn check(temperature: f64, log_prior: Option<[f32; 3]>, masked: bool, expected: [f32; 2]) {
        let device = Device::flex();
        let values = StateValues {
            q: Tensor::from_data(Q, &device),
            log_prior: log_prior.map(|row| Tensor::from_data([[row, row]], &device)),
            mask: masked.then(|| Tensor::from_data(MASK, &device)),
        };
        let found: Vec<f32> = values.value(temperature, log_sum_exp).try_into_vec_as().unwrap();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 3e-5, "temperature {temperature}: {found} instead of {expected}");
        }
    }

    #[test]
    fn kl_by_hand() {
        // Temperature 1, prior (1/2, 1/4, 1/4): log(e/2 + e^3/4 + e^2/4) and log(1/2 + e^-1/4 + e^-2/4).
        let prior = [0.5_f32.ln(), 0.25_f32.ln(), 0.25_f32.ln()];
        let e = std::f32::consts::E;
        let first = (e / 2.0 + e.powi(3) / 4.0 + e.powi(2) / 4.0).ln();
        let second = (0.5 + e.powi(-1) / 4.0 + e.powi(-2) / 4.0).ln();
        check(1.0, Some(prior), false, [first, second]);
        let without_masked = [(e / 2.0 + e.powi(2) / 4.0).ln(), (0.5 + e.powi(-1) / 4.0).ln()];
        check(1.0, Some(prior), true, without_masked);
    }

    #[test]
    fn soft_by_hand() {
        let ln_2 = std::f32::consts::LN_2;
        let e = std::f32::consts::E;
        let first = 2.0 * ((0.5_f32).exp() + (1.5_f32).exp() + e).ln();
        check(2.0, None, false, [first, 2.0 * (1.0 + (-0.5_f32).exp() + e.recip()).ln()]);
        check(1e-7, None, true, [2.0, 0.0]);
        // A uniform prior of two actions in place of none costs temperature * log 2.
        let pair = (e + e.powi(2)).ln() - ln_2;
        let second = (1.0 + e.recip()).ln() - ln_2;
        check(1.0, Some([-ln_2; 3]), true, [pair, second]);
    }

    #[test]
    fn kl_tends_to_the_mean_under_the_prior_and_to_the_maximum() {
        let prior = [0.5_f32.ln(), 0.25_f32.ln(), 0.25_f32.ln()];
        // To second order the value is the mean plus the variance over twice the temperature.
        let second_order = [1.75 + 0.6875 / 200.0, -0.75 + 0.6875 / 200.0];
        check(100.0, Some(prior), false, second_order);
        check(1e-7, Some(prior), false, [3.0, 0.0]);
    }
}
