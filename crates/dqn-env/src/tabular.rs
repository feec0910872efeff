//! Small decision processes given as tables, whose exact values can be computed.

use std::sync::Arc;

use dqn_mdp::{ActionMask, Environment, MdpError, Outcome, Start, State, Step};
use dqn_text::{ActionId, ActionTable, Special, TokenId, Vocab};

use crate::{EnvError, start};

/// What an action leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// The state after it.
    pub next: usize,
    /// The reward.
    pub reward: f32,
    /// How it leaves the episode, apart from a step limit.
    pub outcome: Outcome,
}

/// A deterministic decision process over a finite set of states, written as text.
///
/// State `s` is written as the token `s0`, `s1`, ... and action `a` as `a0`, `a1`, ...: an episode begins with `<bos>`
/// and the token of its first state, and each step adds the token of the action and that of the next state. The last
/// token of a text therefore tells the state.
#[derive(Clone, Debug)]
pub struct Tabular {
    vocab: Vocab,
    actions: Arc<ActionTable>,
    starts: Vec<usize>,
    transitions: Vec<Vec<Option<Transition>>>,
    masks: Vec<ActionMask>,
    step_limit: Option<usize>,
    state: usize,
    /// Steps taken, `None` outside an episode.
    n_steps: Option<usize>,
}

impl Tabular {
    /// The process in which `transitions[s][a]` follows action `a` in state `s`, `None` where it is not allowed.
    ///
    /// Episodes begin in one of `starts`, each as likely as another, and are truncated after `step_limit` steps.
    ///
    /// # Errors
    /// [`EnvError::NoStarts`] without a start, and the `Table` errors for a table that contradicts itself.
    pub fn new(
        starts: Vec<usize>,
        transitions: Vec<Vec<Option<Transition>>>,
        step_limit: Option<usize>,
    ) -> Result<Self, EnvError> {
        if starts.is_empty() {
            return Err(EnvError::NoStarts { what: "states to start in" });
        }
        if step_limit == Some(0) {
            return Err(EnvError::TableStepLimit);
        }
        let n_states = transitions.len();
        let n_actions = transitions.first().map_or(0, Vec::len);
        for (state, row) in transitions.iter().enumerate() {
            check_row(state, row, n_actions)?;
        }
        let named = transitions.iter().flatten().flatten().map(|transition| transition.next).chain(starts.clone());
        if let Some(found) = named.into_iter().find(|&state| state >= n_states) {
            return Err(EnvError::TableState { found, n_states });
        }
        let names = (0..n_states).map(|s| format!("s{s}")).chain((0..n_actions).map(|a| format!("a{a}")));
        let vocab = Vocab::new(names).expect("numbered names are distinct");
        let action_tokens = (vocab.len() - n_actions..vocab.len()).map(|id| TokenId(id as u32));
        let actions = Arc::new(ActionTable::of_tokens(action_tokens));
        let masks = transitions.iter().map(|row| mask(row)).collect();
        Ok(Self { vocab, actions, starts, transitions, masks, step_limit, state: 0, n_steps: None })
    }

    /// The vocabulary the states and actions are written in.
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// Number of states.
    pub fn n_states(&self) -> usize {
        self.transitions.len()
    }

    /// The text of an episode that begins in state `index`.
    ///
    /// # Panics
    /// When there is no such state.
    pub fn state(&self, index: usize) -> State {
        State::from(vec![Special::Bos.id(), self.state_token(index)])
    }

    /// The actions that state `index` allows.
    ///
    /// # Panics
    /// When there is no such state.
    pub fn allowed_in(&self, index: usize) -> &ActionMask {
        &self.masks[index]
    }

    /// The exact value of every allowed action in every state, `None` for actions that are not allowed.
    ///
    /// ```text
    /// Q(s, a) = r(s, a) + discount * max over allowed a' of Q(s', a')
    /// ```
    ///
    /// The second summand is absent where the transition terminates. A truncation, by the table or by the step limit,
    /// keeps it: the limit is not part of the task.
    ///
    /// Source: Sutton & Barto 2018, eq. 4.10, for action values.
    ///
    /// # Errors
    /// [`EnvError::NoFixedPoint`] when the values grow without bound.
    pub fn value_iteration(&self, discount: f64) -> Result<Vec<Vec<Option<f64>>>, EnvError> {
        const MAX_SWEEPS: usize = 100_000;
        const SETTLED: f64 = 1e-12;
        let mut values = vec![0.0_f64; self.n_states()];
        let mut change = f64::INFINITY;
        for _ in 0..MAX_SWEEPS {
            let best =
                self.action_values(discount, &values).map(|row| row.into_iter().flatten().fold(f64::MIN, f64::max));
            let updated: Vec<f64> = best.collect();
            change = updated.iter().zip(&values).map(|(new, old)| (new - old).abs()).fold(0.0, f64::max);
            values = updated;
            if change < SETTLED {
                return Ok(self.action_values(discount, &values).collect());
            }
        }
        Err(EnvError::NoFixedPoint { discount, n_sweeps: MAX_SWEEPS, change })
    }

    /// One application of the equation of [`Tabular::value_iteration`] to the values of the states.
    fn action_values(&self, discount: f64, values: &[f64]) -> impl Iterator<Item = Vec<Option<f64>>> {
        let backed_up = move |transition: &Transition| {
            let follows = if transition.outcome.bootstraps() { discount * values[transition.next] } else { 0.0 };
            f64::from(transition.reward) + follows
        };
        self.transitions.iter().map(move |row| row.iter().map(|entry| entry.as_ref().map(backed_up)).collect())
    }

    fn state_token(&self, index: usize) -> TokenId {
        assert!(index < self.n_states(), "state {index} of {}", self.n_states());
        TokenId((Special::ALL.len() + index) as u32)
    }
}

fn check_row(state: usize, row: &[Option<Transition>], n_actions: usize) -> Result<(), EnvError> {
    if row.is_empty() || row.len() != n_actions {
        return Err(EnvError::TableActions { state, found: row.len(), expected: n_actions });
    }
    if row.iter().all(Option::is_none) {
        return Err(EnvError::TableForbidsAll { state });
    }
    for (action, transition) in row.iter().enumerate() {
        if let Some(Transition { reward, .. }) = *transition
            && !reward.is_finite()
        {
            return Err(EnvError::TableReward { state, action, reward });
        }
    }
    Ok(())
}

fn mask(row: &[Option<Transition>]) -> ActionMask {
    if row.iter().all(Option::is_some) {
        return ActionMask::All;
    }
    let allowed = (0..).map(ActionId).zip(row).filter(|(_, entry)| entry.is_some());
    ActionMask::only(row.len(), allowed.map(|(action, _)| action))
}

impl Environment for Tabular {
    fn actions(&self) -> &ActionTable {
        &self.actions
    }

    fn n_starts(&self) -> usize {
        self.starts.len()
    }

    fn reset(&mut self, start: Start) -> Result<State, MdpError> {
        self.state = self.starts[start::index(start, self.starts.len())?];
        self.n_steps = Some(0);
        Ok(self.state(self.state))
    }

    fn step(&mut self, action: ActionId) -> Result<Step, MdpError> {
        let n_steps = self.n_steps.ok_or(MdpError::EpisodeOver { action })? + 1;
        let entry = self.transitions[self.state].get(action.index()).copied().flatten();
        let transition = entry.ok_or(MdpError::Forbidden { action })?;
        let is_cut = self.step_limit.is_some_and(|limit| n_steps >= limit);
        let outcome = match transition.outcome {
            Outcome::Continues if is_cut => Outcome::Truncated,
            outcome => outcome,
        };
        self.state = transition.next;
        self.n_steps = (!outcome.is_end()).then_some(n_steps);
        let observed = vec![self.actions.tokens(action)[0], self.state_token(transition.next)];
        Ok(Step { reward: transition.reward, observed, outcome })
    }

    fn allowed(&self) -> ActionMask {
        self.masks[self.state].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(next: usize, reward: f32, outcome: Outcome) -> Option<Transition> {
        Some(Transition { next, reward, outcome })
    }

    #[test]
    fn states_and_actions_are_written_as_tokens() {
        let rows = vec![vec![to(1, 0.5, Outcome::Continues), None], vec![None, to(0, 2.0, Outcome::Terminated)]];
        let mut table = Tabular::new(vec![0], rows, None).unwrap();
        let text = |tokens: &[TokenId]| tokens.iter().map(|&id| table.vocab().token(id)).collect::<Vec<_>>().join(" ");
        assert_eq!(text(&table.state(1).tokens), "<bos> s1");
        assert_eq!(table.clone().reset(Start::Indexed(0)).unwrap(), table.state(0));
        let vocab = table.vocab().clone();
        table.reset(Start::Indexed(0)).unwrap();
        assert_eq!(table.allowed(), ActionMask::only(2, [ActionId(0)]));
        assert!(matches!(table.step(ActionId(1)), Err(MdpError::Forbidden { action: ActionId(1) })));
        let step = table.step(ActionId(0)).unwrap();
        let observed: Vec<&str> = step.observed.iter().map(|&id| vocab.token(id)).collect();
        assert_eq!((observed, step.reward, step.outcome), (vec!["a0", "s1"], 0.5, Outcome::Continues));
        assert_eq!(table.allowed(), ActionMask::only(2, [ActionId(1)]));
        assert_eq!(table.step(ActionId(1)).unwrap().outcome, Outcome::Terminated);
        assert!(matches!(table.step(ActionId(1)), Err(MdpError::EpisodeOver { .. })));
    }

    #[test]
    fn only_termination_cuts_the_value() {
        // One state that pays 1: the value is 1, or 1 / (1 - discount) where it goes on.
        for (outcome, limit, discount, expected) in [
            (Outcome::Terminated, None, 0.5, 1.0),
            (Outcome::Truncated, None, 0.5, 2.0),
            (Outcome::Continues, Some(1), 0.5, 2.0),
            (Outcome::Continues, None, 0.0, 1.0),
            (Outcome::Terminated, None, 1.0, 1.0),
        ] {
            let table = Tabular::new(vec![0], vec![vec![to(0, 1.0, outcome)]], limit).unwrap();
            let q = table.value_iteration(discount).unwrap()[0][0].unwrap();
            assert!((q - expected).abs() < 1e-9, "{outcome:?}, discount {discount}: {q}");
        }
    }

    #[test]
    fn values_without_bound_are_an_error() {
        let table = Tabular::new(vec![0], vec![vec![to(0, 1.0, Outcome::Continues)]], Some(3)).unwrap();
        let error = table.value_iteration(1.0).unwrap_err();
        assert!(matches!(error, EnvError::NoFixedPoint { change: 1.0, .. }), "{error}");
    }

    #[test]
    fn tables_that_contradict_themselves_are_refused() {
        let message = |starts: &[usize], rows: Vec<Vec<Option<Transition>>>, limit| {
            Tabular::new(starts.to_vec(), rows, limit).unwrap_err().to_string()
        };
        let loop_ = || vec![vec![to(0, 0.0, Outcome::Continues)]];
        assert_eq!(message(&[], loop_(), None), "the environment has no states to start in; at least one is needed");
        assert_eq!(message(&[1], loop_(), None), "the table leads to state 1; it has 1 states, counted from 0");
        assert_eq!(message(&[0], loop_(), Some(0)), "the step limit of the table is 0; it must be at least 1");
        assert_eq!(
            message(&[0], vec![vec![to(2, 0.0, Outcome::Continues)]], None),
            "the table leads to state 2; it has 1 states, counted from 0"
        );
        assert_eq!(
            message(&[0], vec![vec![None]], None),
            "state 0 of the table allows none of its actions; at least one must be allowed"
        );
        assert_eq!(
            message(&[0], vec![vec![to(0, 0.0, Outcome::Continues)], vec![]], None),
            "state 1 of the table has 0 actions; every state has 1, as the first one, and at least one"
        );
        assert_eq!(
            message(&[0], vec![vec![to(0, f32::INFINITY, Outcome::Continues)]], None),
            "action 0 in state 0 of the table gives the reward inf; rewards must be finite"
        );
    }
}
