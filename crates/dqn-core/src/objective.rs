//! What the network's answers are compared with.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is made small.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Objective {
    /// The difference between the value of an action and its TD target.
    Td {},
    /// How far values and rewards are from agreeing along a whole path (Guo et al. 2021). Needs the
    /// bootstrap `soft` or `kl`.
    PathConsistency {
        /// Compare each step with all that follow it in its window instead of with the next one only.
        #[serde(default)]
        multi_step: bool,
    },
    /// How far the returns of whole episodes from one start are from agreeing with their probabilities. The value of the start,
    /// which path consistency over the whole episode asks for (Nachum et al. 2017), is the mean of what the
    /// episodes of the start say of it, so that no value is learned and nothing is bootstrapped (the variance of
    /// the log-ratio, Richter et al. 2020; contrastive policy gradient, Flet-Berliac et al. 2024). It is consistent with
    /// episodes of any policy. Needs the bootstrap `soft` or `kl`, whole episodes as windows, and several episodes of each
    /// start: `training.episodes_per_start`, or a log of them that stand together.
    GroupConsistency {},
    /// Implicit Q-learning from logged episodes (ILQL, Snell et al. 2022): two values of an action, one of a state, and the
    /// policy that made the log, in one network. The best action of a state is never asked for, so that nothing is claimed
    /// of actions without data; bootstrap plays no part in it. `learner.conservatism` weighs its CQL term,
    /// `learner.imitation` that of the policy.
    Ilql {
        /// Which expectile of the values of the actions in the data the value of a state is, from 0 to 1: .5 is their
        /// mean, towards 1 their highest (Kostrikov et al. 2021, eq. 5). Snell et al. use .7 to .95.
        #[serde(default = "default_expectile")]
        #[schemars(range(min = 0.001, max = 0.999))]
        expectile: f64,
    },
    /// The cross-entropy of the actions taken, with the Q-values as logits: maximum-likelihood training on text,
    /// behaviour cloning on logged episodes. Bootstrap, discount, value bounds and target network play no part in it.
    Imitation {},
    /// The cross-entropy of the optimal actions of every state, with the Q-values as logits: those with which a completion
    /// can still come as near to a reference as any, by edit distance in tokens (optimal completion distillation, Sabour
    /// et al. 2019, with a temperature that goes to 0). It learns from what the policy itself wrote, so that it learns
    /// to go on after its own mistakes, and needs tasks with references. Reward, bootstrap, discount, value bounds and
    /// target network play no part in it.
    OptimalCompletion {},
}

impl Objective {
    /// Whether the Q-values are learned as the logits of a policy, and say nothing of returns.
    pub fn teaches_logits(&self) -> bool {
        match self {
            Objective::Imitation {} | Objective::OptimalCompletion {} => true,
            Objective::Td {}
            | Objective::PathConsistency { .. }
            | Objective::GroupConsistency {}
            | Objective::Ilql { .. } => false,
        }
    }

    /// Whether the Q-values are in units of return, and not only right up to a number for each state.
    pub fn knows_values(&self) -> bool {
        !self.teaches_logits() && *self != Objective::GroupConsistency {}
    }
}

fn default_expectile() -> f64 {
    0.7
}

/// The loss of a state's value against the values of the actions taken in it.
///
/// ```text
/// L(u) = |expectile - [u < 0]| u^2,   u = min(Q1', Q2')(s, a) - V(s)
/// ```
///
/// Source: Kostrikov et al. 2021, eq. 5 and 6; Snell et al. 2022, eq. 3. The square is not halved, as in the code of Snell
/// et al. and in trlx; LMRL-Gym halves it.
///
/// # Shapes
/// - both: `[batch, steps]`
/// - returns `[batch, steps]`
///
/// # Gradient
/// `q` comes without one.
pub fn expectile_loss(q: Tensor<2>, value: Tensor<2>, expectile: f64) -> Tensor<2> {
    let difference = q - value;
    let is_below = difference.clone().lower_elem(0.0).float();
    // expectile where the difference is positive, 1 - expectile where it is negative
    let weight = is_below.mul_scalar(1.0 - 2.0 * expectile).add_scalar(expectile);
    weight * difference.powi_scalar(2)
}

/// Munchausen rewards (Vieillard et al. 2020): every reward is raised by the scaled log-probability of its action.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Munchausen {
    /// Share of the log-probability that is added.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: f64,
    /// Least value of `temperature * log pi(a)`, at most 0.
    #[schemars(range(max = 0.0))]
    pub floor: f64,
}

impl Default for Munchausen {
    fn default() -> Self {
        Self { alpha: 0.9, floor: -1.0 }
    }
}

/// What a path consistency compares.
#[derive(Clone, Debug)]
pub struct Path {
    /// Online advantage `Q(s_t, a_t) - V(s_t)` of each step: `[batch, steps]`.
    pub advantages: Tensor<2>,
    /// Reward of each step: `[batch, steps]`.
    pub rewards: Tensor<2>,
    /// Discount of the value after each step, 0 after a termination: `[batch, steps]`.
    pub discounts: Tensor<2>,
    /// Target network's soft value of the state of each step: `[batch, steps]`.
    pub values: Tensor<2>,
    /// The same of the state after it: `[batch, steps]`.
    pub next_values: Tensor<2>,
    /// 1 where a step is, 0 where the rectangle is padded: `[batch, steps]`.
    pub valid: Tensor<2>,
}

impl Path {
    /// The error of each step against the next one.
    ///
    /// ```text
    /// e_t = A_t - (r_t + discount_t V'_{t+1} - V'_t)
    /// ```
    ///
    /// Source: Guo et al. 2021; Nachum et al. 2017.
    pub fn single_step(self) -> Tensor<2> {
        self.advantages - self.rewards - self.discounts * self.next_values + self.values
    }

    /// The error of each step against all that follow it in the window.
    ///
    /// ```text
    /// e_t = sum_{l >= t} discount^{l - t} (A_l - r_l) - discount^{T - t} V'_T + V'_t
    /// ```
    ///
    /// Source: Guo et al. 2021; Nachum et al. 2017.
    pub fn multi_step(self) -> Tensor<2> {
        let n_steps = self.rewards.dims()[1];
        let column = |of: &Tensor<2>, step: usize| of.clone().narrow(1, step, 1);
        let mut columns: Vec<Tensor<2>> = Vec::with_capacity(n_steps);
        for step in (0..n_steps).rev() {
            let end = column(&self.next_values, step).neg();
            let rest = match columns.last() {
                None => end,
                Some(next) => {
                    let is_next = column(&self.valid, step + 1);
                    is_next.clone() * next.clone() + (is_next.neg().add_scalar(1.0)) * end
                }
            };
            let own = column(&self.advantages, step) - column(&self.rewards, step);
            columns.push(own + column(&self.discounts, step) * rest);
        }
        columns.reverse();
        Tensor::cat(columns, 1) + self.values
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn path(ends: f32, valid: [f32; 3]) -> Path {
        let device = Device::flex();
        let row = |values: [f32; 3]| Tensor::<2>::from_data([values], &device);
        Path {
            advantages: row([-1.0, -2.0, -4.0]),
            rewards: row([1.0, 0.0, 8.0]),
            discounts: row([0.5, 0.5, ends]),
            values: row([10.0, 20.0, 40.0]),
            next_values: row([20.0, 40.0, 60.0]),
            valid: row(valid),
        }
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.try_into_vec_as().unwrap()
    }

    #[test]
    fn path_consistency_by_hand() {
        let all = [1.0; 3];
        assert_eq!(values(path(0.0, all).single_step()), [-2.0, -2.0, 28.0]);
        assert_eq!(values(path(0.5, all).single_step()), [-2.0, -2.0, -2.0]);
        // From the end: -12 (- 30), then -2 + half of it, then -2 + half of that; V' is added to each.
        assert_eq!(values(path(0.0, all).multi_step()), [10.0 - 2.0 - 4.0, 20.0 - 8.0, 40.0 - 12.0]);
        assert_eq!(values(path(0.5, all).multi_step()), [10.0 - 2.0 - 11.5, 20.0 - 23.0, 40.0 - 42.0]);
        let padded = values(path(0.0, [1.0, 1.0, 0.0]).multi_step());
        assert_eq!(padded[..2], [10.0 - 2.0 - 11.0, 20.0 - 22.0], "a padded step is not followed");
    }

    #[test]
    fn consistent_values_have_no_error() {
        // A soft-optimal path: A_t = r_t + discount V_{t+1} - V_t at each of its steps.
        let device = Device::flex();
        let row = |values: [f32; 3]| Tensor::<2>::from_data([values], &device);
        let path = Path {
            advantages: row([1.0 + 2.0 - 5.0, 3.0 + 1.0 - 4.0, 7.0 - 2.0]),
            rewards: row([1.0, 3.0, 7.0]),
            discounts: row([0.5, 0.5, 0.0]),
            values: row([5.0, 4.0, 2.0]),
            next_values: row([4.0, 2.0, 1e6]),
            valid: row([1.0; 3]),
        };
        assert_eq!(values(path.clone().single_step()), [0.0; 3]);
        assert_eq!(values(path.multi_step()), [0.0; 3]);
    }
}
