//! Step 3 of the textbook, select: from Q-values to an action.

use dqn_mdp::{ActionId, ActionMask};
use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arithmetic::{exp, highest, sum};
use crate::schedule::{Progress, Schedule};

/// How values and the policy that made the data are weighed against each other in a network that has both.
///
/// ```text
/// preference(a) = log pi_b(a | s) + beta (min(Q1, Q2)(s, a) - V(s))
/// ```
///
/// with one Q and without V where the network has no more: V is the same for every action and changes no choice.
/// Softmax of the preferences is the policy of Snell et al. 2022, section 4.3; their greatest is its greedy action.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Decoding {
    /// How much a unit of Q counts against a nat of log-probability; 0 imitates the data. LMRL-Gym uses 8 for Monte-Carlo
    /// values, 16 for its mazes and 32 for Wordle.
    #[schemars(range(min = 0.0))]
    pub beta: f64,
    /// Weigh the policy that made the data; false leaves `beta Q` alone.
    pub with_policy: bool,
    /// Only the so many likeliest actions under the policy of the data may be chosen. Leave it out to allow all.
    #[schemars(range(min = 1))]
    pub top_k: Option<usize>,
    /// Draw actions in proportion to `exp(preference / temperature)`; 0 takes the most preferred one.
    #[schemars(range(min = 0.0))]
    pub temperature: f64,
}

impl Default for Decoding {
    fn default() -> Self {
        Self { beta: 16.0, with_policy: true, top_k: None, temperature: 0.0 }
    }
}

impl Decoding {
    /// The policy over the preferences that a network gives under this decoding.
    pub fn policy(&self) -> Policy {
        match self.temperature > 0.0 {
            true => Policy::Boltzmann { temperature: self.temperature },
            false => Policy::Greedy,
        }
    }
}

/// How an agent chooses among the allowed actions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Policy {
    /// The action of highest value; the first of them where several are equal.
    Greedy,
    /// With probability epsilon an action drawn from the prior, or uniformly where there is none; otherwise the action
    /// of highest value.
    EpsilonGreedy {
        /// Probability of exploring.
        epsilon: f64,
    },
    /// An action drawn with probability proportional to `prior(a) exp(Q(a) / temperature)`; without a prior, to
    /// `exp(Q(a) / temperature)`.
    Boltzmann {
        /// In units of Q.
        temperature: f64,
    },
    /// The most probable action of [`Policy::Boltzmann`].
    BoltzmannMode {
        /// In units of Q.
        temperature: f64,
    },
}

/// How the agent explores while it trains.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Exploration {
    /// Now and then an action at random (Mnih et al. 2015, algorithm 1).
    EpsilonGreedy {
        /// Probability of a random action, from 0 to 1.
        epsilon: Schedule,
        /// Draw random actions from the prior policy instead of uniformly.
        #[serde(default)]
        from_prior: bool,
    },
    /// Actions drawn with probability proportional to `prior(a) exp(Q(a) / temperature)`, the optimal policy of KL
    /// control; without a prior, `exp(Q(a) / temperature)`.
    Boltzmann {
        /// Temperature in units of Q, above 0. Under the bootstrap `kl` it should equal that temperature.
        temperature: Schedule,
        /// Weigh the prior, where there is one. Under the bootstrap `soft`, which knows none, and where a whole policy is learned
        /// (`imitation`, `optimal_completion`), say false.
        #[serde(default = "weighs_prior")]
        from_prior: bool,
    },
}

fn weighs_prior() -> bool {
    true
}

impl Exploration {
    /// The policy to act by at this point of the run.
    pub fn policy(&self, progress: Progress) -> Policy {
        match self {
            Exploration::EpsilonGreedy { epsilon, .. } => Policy::EpsilonGreedy { epsilon: epsilon.value(progress) },
            Exploration::Boltzmann { temperature, .. } => {
                Policy::Boltzmann { temperature: temperature.value(progress) }
            }
        }
    }
}

impl Policy {
    /// Chooses an action.
    ///
    /// `log_prior` is the prior's log-probability of every action, where there is a prior. `scratch` is overwritten.
    ///
    /// # Shapes
    /// - `q`, `log_prior`: one value for each action
    pub fn select(
        &self,
        q: &[f32],
        log_prior: Option<&[f32]>,
        mask: &ActionMask,
        rng: &mut impl Rng,
        scratch: &mut Vec<f32>,
    ) -> ActionId {
        match *self {
            Policy::Greedy => best(q, mask),
            Policy::EpsilonGreedy { epsilon } => {
                if rng.random::<f64>() >= epsilon {
                    return best(q, mask);
                }
                scratch.clear();
                scratch.extend((0..q.len()).map(|action| log_prior.map_or(0.0, |prior| prior[action])));
                draw(scratch, mask, rng)
            }
            Policy::Boltzmann { temperature } => {
                preferences(q, log_prior, temperature, scratch);
                draw(scratch, mask, rng)
            }
            Policy::BoltzmannMode { temperature } => {
                preferences(q, log_prior, temperature, scratch);
                best(scratch, mask)
            }
        }
    }
}

/// Writes `log prior(a) + Q(a) / temperature` into `out`.
pub fn preferences(q: &[f32], log_prior: Option<&[f32]>, temperature: f64, out: &mut Vec<f32>) {
    let inverse = (1.0 / temperature) as f32;
    out.clear();
    match log_prior {
        Some(prior) => out.extend(q.iter().zip(prior).map(|(q, prior)| q * inverse + prior)),
        None => out.extend(q.iter().map(|q| q * inverse)),
    }
}

/// The allowed action of highest value, the first where several are equal.
fn best(values: &[f32], mask: &ActionMask) -> ActionId {
    if matches!(mask, ActionMask::All) {
        let highest = highest(values);
        return ActionId(values.iter().position(|&value| value == highest).unwrap_or(0) as u32);
    }
    let mut best = None;
    for action in mask.iter(values.len()) {
        let value = values[action.index()];
        if best.is_none_or(|(_, highest)| value > highest) {
            best = Some((action, value));
        }
    }
    best.map(|(action, _)| action).expect("a mask allows at least one action")
}

/// Weights that are added up at a time: an action is looked for among those of one sum only.
const BLOCK: usize = 64;

/// An allowed action drawn with probability proportional to `exp(log_weights)`, which is overwritten; one less likely than
/// the likeliest by `e^87` is never drawn.
fn draw(log_weights: &mut [f32], mask: &ActionMask, rng: &mut impl Rng) -> ActionId {
    if !matches!(mask, ActionMask::All) {
        for (index, weight) in log_weights.iter_mut().enumerate() {
            if !mask.allows(ActionId(index as u32)) {
                *weight = f32::NEG_INFINITY;
            }
        }
    }
    let highest = highest(log_weights);
    for weight in log_weights.iter_mut() {
        // This is built for any processor, not all of which have a product and sum in one instruction.
        *weight = exp::<false>(*weight - highest);
    }
    let total: f64 = log_weights.chunks(BLOCK).map(sum).sum();
    let mut left = rng.random::<f64>() * total;
    for (index, block) in log_weights.chunks(BLOCK).enumerate() {
        let together = sum(block);
        if left >= together {
            left -= together;
            continue;
        }
        for (within, &weight) in block.iter().enumerate() {
            left -= f64::from(weight);
            if left < 0.0 {
                return ActionId((index * BLOCK + within) as u32);
            }
        }
    }
    // Rounding has left a little over behind the last one.
    ActionId(log_weights.iter().rposition(|&weight| weight > 0.0).unwrap_or(0) as u32)
}

#[cfg(test)]
mod tests {
    use dqn_mdp::Seed;

    use super::*;

    fn frequencies(policy: Policy, q: &[f32], prior: Option<&[f32]>, mask: &ActionMask) -> Vec<f64> {
        let mut rng = Seed(3).stream("test");
        let mut counts = vec![0_u32; q.len()];
        let mut scratch = Vec::new();
        let n_draws = 40_000;
        for _ in 0..n_draws {
            counts[policy.select(q, prior, mask, &mut rng, &mut scratch).index()] += 1;
        }
        counts.iter().map(|&count| f64::from(count) / f64::from(n_draws)).collect()
    }

    fn check(found: &[f64], expected: &[f64]) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 0.01, "{found} instead of {expected}");
        }
    }

    #[test]
    fn greedy_takes_the_best_allowed_action() {
        let q = [1.0, 5.0, 3.0, 3.0];
        check(&frequencies(Policy::Greedy, &q, None, &ActionMask::All), &[0.0, 1.0, 0.0, 0.0]);
        let mask = ActionMask::all_but(4, &[ActionId(1)]);
        check(&frequencies(Policy::Greedy, &q, None, &mask), &[0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn epsilon_is_shared_among_the_allowed_actions() {
        let mask = ActionMask::all_but(4, &[ActionId(0)]);
        let policy = Policy::EpsilonGreedy { epsilon: 0.3 };
        check(&frequencies(policy, &[9.0, 1.0, 2.0, 0.0], None, &mask), &[0.0, 0.1, 0.8, 0.1]);
        let prior = [0.5_f32.ln(), 0.25_f32.ln(), 0.125_f32.ln(), 0.125_f32.ln()];
        check(&frequencies(policy, &[9.0, 1.0, 2.0, 0.0], Some(&prior), &mask), &[0.0, 0.15, 0.775, 0.075]);
    }

    #[test]
    fn boltzmann_weighs_the_prior_by_the_exponential_of_q() {
        let q = [0.0, 2.0_f32.ln(), 4.0_f32.ln()];
        let policy = Policy::Boltzmann { temperature: 1.0 };
        check(&frequencies(policy, &q, None, &ActionMask::All), &[1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0]);
        let prior = [0.7_f32.ln(), 0.2_f32.ln(), 0.1_f32.ln()];
        check(&frequencies(policy, &q, Some(&prior), &ActionMask::All), &[0.7 / 1.5, 0.4 / 1.5, 0.4 / 1.5]);
        let mode = Policy::BoltzmannMode { temperature: 1.0 };
        check(&frequencies(mode, &q, Some(&prior), &ActionMask::All), &[1.0, 0.0, 0.0]);
    }

    /// The first action at which the sum of the weights of the allowed ones passes a part of their sum, one by one.
    fn drawn_one_by_one(log_weights: &[f32], mask: &ActionMask, part: f64) -> ActionId {
        let weight = |action: ActionId| f64::from(log_weights[action.index()]).exp();
        let total: f64 = mask.iter(log_weights.len()).map(weight).sum();
        let mut sum = 0.0;
        let passed = |&action: &ActionId| {
            sum += weight(action);
            sum > part * total
        };
        mask.iter(log_weights.len()).find(passed).unwrap()
    }

    #[test]
    fn many_actions_are_drawn_as_one_by_one() {
        let mut rng = Seed(8).stream("weights");
        let weights: Vec<f32> = (0..333).map(|_| rng.random_range(-9.0..3.0)).collect();
        let without: Vec<ActionId> = (60..260).map(ActionId).collect();
        for mask in [ActionMask::All, ActionMask::all_but(333, &without)] {
            let (mut rng, mut same) = (Seed(9).stream("draws"), Seed(9).stream("draws"));
            for _ in 0..3_000 {
                let found = draw(&mut weights.clone(), &mask, &mut rng);
                assert_eq!(found, drawn_one_by_one(&weights, &mask, same.random()));
            }
        }
    }

    #[test]
    fn a_small_temperature_is_greedy_and_does_not_overflow() {
        let policy = Policy::Boltzmann { temperature: 1e-6 };
        check(&frequencies(policy, &[100.0, 101.0, -5.0], None, &ActionMask::All), &[0.0, 1.0, 0.0]);
    }
}
