//! Step 6 of the textbook, target: what the value of an action should have been.

use burn::tensor::{Int, Tensor};
use dqn_mdp::Outcome;

/// The part of an n-step target that is known without a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NStepReturn {
    /// Discounted sum of the rewards.
    pub reward_sum: f32,
    /// Factor of the value that follows them; 0 where the episode terminated.
    pub discount: f32,
    /// The state that value belongs to, counted in steps from the start of the episode.
    pub state: usize,
}

/// The n-step return of step `step` of an episode.
///
/// ```text
/// m = min(n, len - step)
/// reward_sum = sum_{k < m} discount^k r_{step + k}
/// discount   = discount^m, or 0 if the episode terminates within these m steps
/// state      = step + m
/// ```
///
/// Source: Sutton 1988; Hessel et al. 2018, section 2. Every step starts a return, those within `n` of the end too.
///
/// # Panics
/// When `step` is not of the episode.
pub fn n_step_return(rewards: &[f32], outcome: Outcome, step: usize, n: usize, discount: f32) -> NStepReturn {
    let ahead = &rewards[step..(step + n).min(rewards.len())];
    assert!(!ahead.is_empty(), "step {step} of an episode of {} steps", rewards.len());
    let reward_sum = ahead.iter().rev().fold(0.0, |sum, reward| reward + discount * sum);
    let state = step + ahead.len();
    let ends = state == rewards.len() && !outcome.bootstraps();
    NStepReturn { reward_sum, discount: if ends { 0.0 } else { discount.powi(ahead.len() as i32) }, state }
}

/// What a TD target is made of.
#[derive(Clone, Debug)]
pub struct TdTarget {
    /// Discounted sum of rewards: `[batch, steps]`.
    pub returns: Tensor<2>,
    /// Factor of the value that follows, 0 after a termination: `[batch, steps]`.
    pub discounts: Tensor<2>,
    /// Value of every state of the window: `[batch, states]`.
    pub values: Tensor<2>,
    /// Which of them follows each step: `[batch, steps]`.
    pub bootstrap_states: Tensor<2, Int>,
}

impl TdTarget {
    /// The TD target of every step.
    ///
    /// ```text
    /// y_t = returns_t + discounts_t * values[bootstrap_states_t]
    /// ```
    ///
    /// Source: Mnih et al. 2015, algorithm 1; with n steps, Hessel et al. 2018, section 2.
    ///
    /// # Shapes
    /// - returns `[batch, steps]`
    ///
    /// # Gradient
    /// None: all parts come from networks without a graph.
    pub fn value(self) -> Tensor<2> {
        self.returns + self.discounts * self.values.gather(1, self.bootstrap_states)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn check(n: usize, discount: f32, outcome: Outcome, expected: [(f32, f32, usize); 3]) {
        let rewards = [1.0, 2.0, 4.0];
        for (step, (reward_sum, factor, state)) in expected.into_iter().enumerate() {
            let found = n_step_return(&rewards, outcome, step, n, discount);
            assert_eq!(found, NStepReturn { reward_sum, discount: factor, state }, "step {step}, n {n}");
        }
    }

    #[test]
    fn n_step_returns_by_hand() {
        use Outcome::{Terminated, Truncated};
        check(1, 0.0, Terminated, [(1.0, 0.0, 1), (2.0, 0.0, 2), (4.0, 0.0, 3)]);
        check(1, 0.5, Terminated, [(1.0, 0.5, 1), (2.0, 0.5, 2), (4.0, 0.0, 3)]);
        check(1, 1.0, Terminated, [(1.0, 1.0, 1), (2.0, 1.0, 2), (4.0, 0.0, 3)]);
        check(1, 0.5, Truncated, [(1.0, 0.5, 1), (2.0, 0.5, 2), (4.0, 0.5, 3)]);
        check(2, 0.5, Terminated, [(2.0, 0.25, 2), (4.0, 0.0, 3), (4.0, 0.0, 3)]);
        check(2, 0.5, Truncated, [(2.0, 0.25, 2), (4.0, 0.25, 3), (4.0, 0.5, 3)]);
        // n beyond the length of the episode: the Monte-Carlo return, and every tail start is kept.
        check(9, 1.0, Terminated, [(7.0, 0.0, 3), (6.0, 0.0, 3), (4.0, 0.0, 3)]);
        check(9, 1.0, Truncated, [(7.0, 1.0, 3), (6.0, 1.0, 3), (4.0, 1.0, 3)]);
        check(9, 0.0, Truncated, [(1.0, 0.0, 3), (2.0, 0.0, 3), (4.0, 0.0, 3)]);
    }

    #[test]
    fn td_targets_by_hand() {
        let device = Device::flex();
        let target = TdTarget {
            returns: Tensor::from_data([[1.0, 2.0, 4.0]], &device),
            discounts: Tensor::from_data([[0.5, 1.0, 0.0]], &device),
            values: Tensor::from_data([[100.0, 10.0, 20.0, 1e9]], &device),
            bootstrap_states: Tensor::from_data([[1, 2, 3]], &device),
        };
        let found: Vec<f32> = target.value().try_into_vec_as().unwrap();
        assert_eq!(found, [6.0, 22.0, 4.0]);
    }
}
