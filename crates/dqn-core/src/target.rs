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

    /// The lambda-return of every step; the parts are those of one-step targets.
    ///
    /// ```text
    /// y_t = returns_t + discounts_t * ((1 - lambda) V_{t+1} + lambda * (y_{t+1} + later_{t+1}))
    /// ```
    ///
    /// with `V_{t+1}` in place of the bracket at the last step of the window. Source: Peng and Williams 1996; Gallici
    /// et al. 2024. `later` is what a step earns besides its reward as a part of an earlier step's return.
    ///
    /// # Shapes
    /// - `valid`: `[batch, steps]`; `later`: `[batch, states]`
    /// - returns `[batch, steps]`
    pub fn lambda_return(self, lambda: f64, valid: &Tensor<2>, later: Option<&Tensor<2>>) -> Tensor<2> {
        let n_steps = self.returns.dims()[1];
        let next_values = self.values.gather(1, self.bootstrap_states);
        let column = |of: &Tensor<2>, step: usize| of.clone().narrow(1, step, 1);
        let mut columns: Vec<Tensor<2>> = Vec::with_capacity(n_steps);
        for step in (0..n_steps).rev() {
            let value = column(&next_values, step);
            let continuation = match columns.last() {
                None => value,
                Some(next) => {
                    let next = match later {
                        Some(later) => next.clone() + column(later, step + 1),
                        None => next.clone(),
                    };
                    value.clone() + column(valid, step + 1) * (next - value).mul_scalar(lambda)
                }
            };
            columns.push(column(&self.returns, step) + column(&self.discounts, step) * continuation);
        }
        columns.reverse();
        Tensor::cat(columns, 1)
    }
}

/// What the steps of an n-step return earn besides their rewards.
///
/// ```text
/// extra_t = own_t + sum_{k = 1}^{m - 1} discount^k (own_{t + k} + later_{t + k}),   m = bootstrap_states_t - t
/// ```
///
/// Under a soft value the policy pays for leaving its prior at every step of the return but the first, whose action is
/// given (`later`; Haarnoja et al. 2017); Munchausen rewards count at every step (`own`).
///
/// # Shapes
/// - `own`, `later`: `[batch, states]`; `bootstrap_states`: `[batch, steps]`
/// - returns `[batch, steps]`
pub fn extra_returns(
    own: Option<&Tensor<2>>,
    later: Option<&Tensor<2>>,
    bootstrap_states: &Tensor<2, Int>,
    discount: f64,
    n_step: usize,
) -> Option<Tensor<2>> {
    let both = match (own, later) {
        (Some(own), Some(later)) => own.clone() + later.clone(),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => return None,
    };
    let [batch, n_steps] = bootstrap_states.dims();
    let n_states = both.dims()[1];
    let device = both.device();
    let index = Tensor::<1, Int>::arange(0..n_steps as i64, &device).unsqueeze::<2>();
    let ahead = (bootstrap_states.clone() - index).float();
    let mut sum = match own {
        Some(own) => own.clone().narrow(1, 0, n_steps),
        None => Tensor::zeros([batch, n_steps], &device),
    };
    for k in 1..n_step.min(n_states) {
        let kept = n_steps.min(n_states - k);
        let shifted = both.clone().narrow(1, k, kept);
        let shifted = match n_steps - kept {
            0 => shifted,
            missing => Tensor::cat(vec![shifted, Tensor::zeros([batch, missing], &device)], 1),
        };
        let is_inside = ahead.clone().greater_elem(k as f64).float();
        sum = sum + (shifted * is_inside).mul_scalar(discount.powi(k as i32));
    }
    Some(sum)
}

/// Compresses values so that large ones differ less.
///
/// ```text
/// h(x) = sign(x) (sqrt(|x| + 1) - 1) + epsilon x
/// ```
///
/// Source: Pohlen et al. 2018, proposition A.2; used by Kapturowski et al. 2019.
pub fn rescale<const D: usize>(values: Tensor<D>, epsilon: f64) -> Tensor<D> {
    let root = (values.clone().abs().add_scalar(1.0)).sqrt().sub_scalar(1.0);
    values.clone().sign() * root + values.mul_scalar(epsilon)
}

/// The inverse of [`rescale`].
///
/// ```text
/// h^-1(y) = sign(y) (((sqrt(1 + 4 epsilon (|y| + 1 + epsilon)) - 1) / (2 epsilon))^2 - 1)
/// ```
pub fn unscale<const D: usize>(values: Tensor<D>, epsilon: f64) -> Tensor<D> {
    // (sqrt(1 + u) - 1) / (2 epsilon) cancels in 32 bits where epsilon is small; u / (sqrt(1 + u) + 1) does not.
    let u = values.clone().abs().add_scalar(1.0 + epsilon).mul_scalar(4.0 * epsilon);
    let quotient = u.clone() / (u.add_scalar(1.0).sqrt().add_scalar(1.0)).mul_scalar(2.0 * epsilon);
    values.sign() * (quotient.powi_scalar(2).sub_scalar(1.0))
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

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.try_into_vec_as().unwrap()
    }

    /// A window of three steps, rewards 1, 2, 4, discount a half, values 10, 20, 30, 40 of its states.
    fn one_step(ends: bool) -> (TdTarget, Tensor<2>) {
        let device = Device::flex();
        let target = TdTarget {
            returns: Tensor::from_data([[1.0, 2.0, 4.0]], &device),
            discounts: Tensor::from_data([[0.5, 0.5, if ends { 0.0 } else { 0.5 }]], &device),
            values: Tensor::from_data([[10.0, 20.0, 30.0, 40.0]], &device),
            bootstrap_states: Tensor::from_data([[1, 2, 3]], &device),
        };
        (target, Tensor::from_data([[1.0, 1.0, 1.0]], &device))
    }

    #[test]
    fn lambda_returns_by_hand() {
        let found = |lambda: f64, ends: bool| {
            let (target, valid) = one_step(ends);
            values(target.lambda_return(lambda, &valid, None))
        };
        assert_eq!(found(0.0, false), [11.0, 17.0, 24.0], "lambda 0 is the one-step target");
        assert_eq!(found(1.0, false), [8.0, 14.0, 24.0], "lambda 1 bootstraps from the last state only");
        assert_eq!(found(1.0, true), [3.0, 4.0, 4.0], "and is the Monte-Carlo return of an episode that ends");
        // y_1 = 2 + (30 + 24) / 4, y_0 = 1 + (20 + y_1) / 4.
        assert_eq!(found(0.5, false), [1.0 + (20.0 + 15.5) / 4.0, 15.5, 24.0]);
        let (target, _) = one_step(false);
        let device = Device::flex();
        let padded = Tensor::from_data([[1.0, 1.0, 0.0]], &device);
        let found = values(target.clone().lambda_return(1.0, &padded, None));
        assert_eq!(found[..2], [9.5, 17.0], "a padded step is not followed");
        let later = Tensor::from_data([[1e9, 8.0, 16.0, 1e9]], &device);
        let found = values(target.lambda_return(1.0, &Tensor::ones([1, 3], &device), Some(&later)));
        assert_eq!(found, [1.0 + (2.0 + (24.0 + 16.0) / 2.0 + 8.0) / 2.0, 22.0, 24.0]);
    }

    #[test]
    fn extra_returns_by_hand() {
        let device = Device::flex();
        let own = Tensor::from_data([[1.0, 10.0, 100.0, 1000.0]], &device);
        let later = Tensor::from_data([[-2.0, -4.0, -8.0, -16.0]], &device);
        // Two steps are looked ahead, the last of the three to the end of the episode only.
        let states = Tensor::from_data([[2, 3, 3]], &device);
        let found = |own, later| values(extra_returns(own, later, &states, 0.5, 2).unwrap());
        assert_eq!(found(None, Some(&later)), [-2.0, -4.0, 0.0]);
        assert_eq!(found(Some(&own), None), [6.0, 60.0, 100.0]);
        assert_eq!(found(Some(&own), Some(&later)), [4.0, 56.0, 100.0]);
        assert!(extra_returns(None, None, &states, 0.5, 2).is_none());
    }

    #[test]
    fn rescaling_by_hand_and_back() {
        let device = Device::flex();
        let x = Tensor::<2>::from_data([[-8.0, -0.25, 0.0, 3.0, 99.0]], &device);
        let found = values(rescale(x.clone(), 0.001));
        let expected = [-2.008, -(1.25_f32.sqrt() - 1.0) - 0.00025, 0.0, 1.003, 9.099];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
        for (found, expected) in values(unscale(rescale(x.clone(), 0.001), 0.001)).iter().zip(values(x)) {
            assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{found} instead of {expected}");
        }
    }
}
