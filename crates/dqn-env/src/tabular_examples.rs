//! Three ready tables on which learned values are compared with exact ones.

use dqn_mdp::Outcome;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Tabular, Transition};

/// A ready table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TabularName {
    /// Five states in a row, of which the last is next to the goal; each step costs 1. Episodes are truncated after
    /// three steps, so that a learner that takes a truncation for a termination values far states too highly.
    Corridor,
    /// Three states in a row, each step forward costs 1, and a shortcut to the end that costs 4 and is forbidden but in
    /// the first state. A learner that looks at forbidden actions when it bootstraps, whose values it never learns,
    /// values the first states wrongly.
    Gate,
    /// Two states without an end: staying pays a little, running to and fro pays more every second step. The values
    /// exist only with a discount below 1.
    Treadmill,
}

impl TabularName {
    /// All ready tables.
    pub const ALL: [TabularName; 3] = [TabularName::Corridor, TabularName::Gate, TabularName::Treadmill];

    /// The table.
    pub fn build(self) -> Tabular {
        let table = match self {
            TabularName::Corridor => corridor(),
            TabularName::Gate => gate(),
            TabularName::Treadmill => treadmill(),
        };
        table.expect("the ready tables are consistent")
    }
}

fn to(next: usize, reward: f32) -> Option<Transition> {
    Some(Transition { next, reward, outcome: Outcome::Continues })
}

fn end(state: usize, reward: f32) -> Option<Transition> {
    Some(Transition { next: state, reward, outcome: Outcome::Terminated })
}

/// Action 0 goes back, action 1 forward.
fn corridor() -> Result<Tabular, crate::EnvError> {
    let forward = |state: usize| if state == 4 { end(state, -1.0) } else { to(state + 1, -1.0) };
    let rows = (0..5_usize).map(|state| vec![to(state.saturating_sub(1), -1.0), forward(state)]).collect();
    Tabular::new((0..5).collect(), rows, Some(3))
}

/// Action 0 goes forward, action 1 takes the shortcut.
fn gate() -> Result<Tabular, crate::EnvError> {
    let rows = vec![vec![to(1, -1.0), end(0, -4.0)], vec![to(2, -1.0), None], vec![end(2, -1.0), None]];
    Tabular::new((0..3).collect(), rows, None)
}

/// Action 0 stays, action 1 changes to the other state.
fn treadmill() -> Result<Tabular, crate::EnvError> {
    let rows = vec![vec![to(0, 0.4), to(1, 0.0)], vec![to(1, 0.4), to(0, 1.0)]];
    Tabular::new(vec![0, 1], rows, Some(8))
}

#[cfg(test)]
mod tests {
    use dqn_mdp::{ActionId, Environment, Seed, Start, Trajectory};
    use proptest::prelude::*;

    use super::*;

    fn assert_values(name: TabularName, discount: f64, expected: &[[Option<f64>; 2]]) {
        let found = name.build().value_iteration(discount).unwrap();
        assert_eq!(found.len(), expected.len());
        for (state, (found, expected)) in found.iter().zip(expected).enumerate() {
            for (action, (found, expected)) in found.iter().zip(expected).enumerate() {
                let is_near = match (found, expected) {
                    (Some(found), Some(expected)) => (found - expected).abs() < 1e-6,
                    (found, expected) => found == expected,
                };
                assert!(is_near, "{name:?}, state {state}, action {action}: {found:?}, not {expected:?}");
            }
        }
    }

    #[test]
    fn the_corridor_costs_the_distance_to_the_goal() {
        // State s is 5 - s steps away; a step back costs itself, the way back and the way on.
        let expected = [(-6.0, -5.0), (-6.0, -4.0), (-5.0, -3.0), (-4.0, -2.0), (-3.0, -1.0)];
        assert_values(TabularName::Corridor, 1.0, &expected.map(|(back, forward)| [Some(back), Some(forward)]));
        // Discount 0: every step costs 1 and nothing follows.
        assert_values(TabularName::Corridor, 0.0, &[[Some(-1.0), Some(-1.0)]; 5]);
    }

    #[test]
    fn forbidden_shortcuts_have_no_value() {
        let steps = [[Some(-3.0), Some(-4.0)], [Some(-2.0), None], [Some(-1.0), None]];
        assert_values(TabularName::Gate, 1.0, &steps);
        let halved = [[Some(-1.75), Some(-4.0)], [Some(-1.5), None], [Some(-1.0), None]];
        assert_values(TabularName::Gate, 0.5, &halved);
    }

    #[test]
    fn running_on_the_treadmill_beats_staying_when_the_future_counts() {
        // Discount 0.5: staying for ever is worth 0.8; running from state 1 is worth v1 = 1 + 0.5 v0, and from state 0
        // v0 = max(0.4 + 0.5 v0, 0.5 v1). With v0 = 0.5 v1: v1 = 4/3, v0 = 2/3 < 0.8, so state 0 stays: v0 = 0.8,
        // v1 = 1.4.
        assert_values(TabularName::Treadmill, 0.5, &[[Some(0.8), Some(0.7)], [Some(1.1), Some(1.4)]]);
        // Discount 0.9: v1 = 1 + 0.9 v0, v0 = 0.9 v1, so v1 = 1 / 0.19, v0 = 0.9 / 0.19, against 4 for staying.
        let (v0, v1) = (0.9 / 0.19, 1.0 / 0.19);
        let expected = [[Some(0.4 + 0.9 * v0), Some(v0)], [Some(0.4 + 0.9 * v1), Some(v1)]];
        assert_values(TabularName::Treadmill, 0.9, &expected);
        assert!(TabularName::Treadmill.build().value_iteration(1.0).is_err());
    }

    #[test]
    fn a_limit_truncates_where_the_table_would_go_on() {
        let mut table = TabularName::Corridor.build();
        table.reset(Start::Indexed(0)).unwrap();
        let outcomes: Vec<_> = (0..3).map(|_| table.step(ActionId(1)).unwrap().outcome).collect();
        assert_eq!(outcomes, [Outcome::Continues, Outcome::Continues, Outcome::Truncated]);
        // Reaching the goal with the very last step is an end, not a cut.
        table.reset(Start::Indexed(2)).unwrap();
        let last = (0..3).map(|_| table.step(ActionId(1)).unwrap().outcome).last();
        assert_eq!(last, Some(Outcome::Terminated));
    }

    proptest! {
        #[test]
        fn the_same_start_and_actions_make_the_same_episode(
            name in prop::sample::select(TabularName::ALL.to_vec()),
            seed in any::<u64>(),
            choices in prop::collection::vec(any::<prop::sample::Index>(), 8),
        ) {
            let play = || {
                let mut table = name.build();
                let state = table.reset(Start::Drawn(Seed(seed))).unwrap();
                let mut episode = Trajectory::begin(state, table.allowed());
                for choice in &choices {
                    let allowed: Vec<ActionId> = table.allowed().iter(2).collect();
                    let action = *choice.get(&allowed);
                    let step = table.step(action).unwrap();
                    episode.push(action, &step, table.allowed());
                    if step.outcome.is_end() {
                        break;
                    }
                }
                episode
            };
            prop_assert!(play().allowed.iter().all(|mask| mask.count(2) > 0));
            prop_assert_eq!(play(), play());
        }
    }
}
