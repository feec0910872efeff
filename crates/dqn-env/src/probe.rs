//! Five tiny tasks, each of which a learner with one particular fault fails.

use dqn_mdp::Outcome;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Tabular, Transition};

/// A probe task, from the simplest on: the first that a learner fails tells which part of it is at fault.
///
/// Source: Andy Jones, "Debugging RL, Without the Agonizing Pain", 2021.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeName {
    /// One state, one action, one step, reward 1: the loss or the optimizer is at fault. Q = 1.
    ConstantReward,
    /// Two states told apart, one action, one step, reward -1 or 1: the network does not read the state. Q = -1 and 1.
    ObservedReward,
    /// Two steps, one action, reward 1 after the second: the bootstrap is at fault. Q = discount, then 1.
    DiscountedReward,
    /// One state, two actions, one step, reward -1 or 1: the choice or the value of actions is at fault. Q = [-1, 1].
    ActionReward,
    /// Two states, two actions, one step; the reward depends on both: they are not valued together. Q = [1, -1] and
    /// [-1, 1].
    ObservedActionReward,
}

impl ProbeName {
    /// All probes, from the simplest on.
    pub const ALL: [ProbeName; 5] = [
        ProbeName::ConstantReward,
        ProbeName::ObservedReward,
        ProbeName::DiscountedReward,
        ProbeName::ActionReward,
        ProbeName::ObservedActionReward,
    ];

    /// The probe as a table.
    pub fn build(self) -> Tabular {
        let rows = match self {
            ProbeName::ConstantReward => vec![ends(&[1.0])],
            ProbeName::ObservedReward => vec![ends(&[-1.0]), ends(&[1.0])],
            ProbeName::DiscountedReward => {
                let first = Transition { next: 1, reward: 0.0, outcome: Outcome::Continues };
                vec![vec![Some(first)], ends(&[1.0])]
            }
            ProbeName::ActionReward => vec![ends(&[-1.0, 1.0])],
            ProbeName::ObservedActionReward => vec![ends(&[1.0, -1.0]), ends(&[-1.0, 1.0])],
        };
        let starts = match self {
            ProbeName::DiscountedReward => vec![0],
            _ => (0..rows.len()).collect(),
        };
        Tabular::new(starts, rows, None).expect("the probes are consistent")
    }
}

/// A state whose actions all terminate, with these rewards.
fn ends(rewards: &[f32]) -> Vec<Option<Transition>> {
    let end = |&reward| Some(Transition { next: 0, reward, outcome: Outcome::Terminated });
    rewards.iter().map(end).collect()
}

#[cfg(test)]
mod tests {
    use dqn_mdp::{ActionId, Environment, Start};

    use super::*;

    #[test]
    fn exact_values_are_the_published_ones() {
        let expected: [&[&[f64]]; 5] =
            [&[&[1.0]], &[&[-1.0], &[1.0]], &[&[0.99], &[1.0]], &[&[-1.0, 1.0]], &[&[1.0, -1.0], &[-1.0, 1.0]]];
        for (name, expected) in ProbeName::ALL.into_iter().zip(expected) {
            let found = name.build().value_iteration(0.99).unwrap();
            let found: Vec<Vec<f64>> = found.into_iter().map(|row| row.into_iter().flatten().collect()).collect();
            assert_eq!(found, expected, "{name:?}");
        }
    }

    #[test]
    fn every_state_is_met_and_only_the_discounted_probe_takes_two_steps() {
        for name in ProbeName::ALL {
            let mut probe = name.build();
            let n_first_states = probe.n_starts();
            assert_eq!(n_first_states == probe.n_states(), name != ProbeName::DiscountedReward, "{name:?}");
            for start in 0..n_first_states {
                assert_eq!(probe.reset(Start::Indexed(start)).unwrap(), probe.state(start));
                let outcome = probe.step(ActionId(0)).unwrap().outcome;
                assert_eq!(outcome.is_end(), name != ProbeName::DiscountedReward, "{name:?}");
            }
        }
    }
}
