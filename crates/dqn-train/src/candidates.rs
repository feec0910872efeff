//! Candidate actions: of very many, the few that a prior finds likely.

use std::sync::Arc;

use dqn_core::Prior;
use dqn_mdp::{ActionId, ActionMask, ActionTable, Environment, MdpError, Start, State, StateRef, Step, Trajectory};

/// Narrows every state to its most probable actions under a prior.
///
/// The candidates are part of what the environment allows, so that they bind acting, bootstrap and evaluation alike.
pub struct Candidates {
    prior: Arc<dyn Prior>,
    n_actions: usize,
    top_k: usize,
}

impl Candidates {
    /// The `top_k` most probable of `n_actions` actions under `prior`.
    pub fn new(prior: Arc<dyn Prior>, n_actions: usize, top_k: usize) -> Self {
        Self { prior, n_actions, top_k }
    }

    /// The most probable of the actions that `allowed` leaves after `text`, of equally probable ones the first.
    pub fn of(&self, state: StateRef<'_>, allowed: &ActionMask) -> ActionMask {
        ActionMask::listed(self.most_probable(state, allowed))
    }

    fn most_probable(&self, state: StateRef<'_>, allowed: &ActionMask) -> Vec<ActionId> {
        let mut log_probs = vec![0.0; self.n_actions];
        self.prior.log_probs(state, &mut log_probs);
        let mut actions: Vec<ActionId> = allowed.iter(self.n_actions).collect();
        if actions.len() > self.top_k {
            let by_rank = |one: &ActionId, other: &ActionId| {
                log_probs[other.index()].total_cmp(&log_probs[one.index()]).then(one.cmp(other))
            };
            actions.select_nth_unstable_by(self.top_k - 1, by_rank);
            actions.truncate(self.top_k);
        }
        actions
    }

    /// Narrows the states of an episode that others played: the action they took is a candidate whatever its rank.
    pub fn restrict(&self, episode: &mut Trajectory) {
        let narrowed = |(state, allowed): (usize, &ActionMask)| {
            let candidates = self.most_probable(episode.state(state), allowed);
            ActionMask::listed(candidates.into_iter().chain(episode.actions.get(state).copied()))
        };
        let allowed = episode.allowed.iter().enumerate().map(narrowed).collect();
        episode.allowed = allowed;
    }
}

/// An environment in which only the candidates are allowed.
pub(crate) struct OfCandidates<E> {
    pub(crate) inner: E,
    pub(crate) candidates: Arc<Candidates>,
    state: State,
    allowed: ActionMask,
}

impl<E: Environment> OfCandidates<E> {
    /// `inner` narrowed to `candidates`.
    pub(crate) fn new(inner: E, candidates: Arc<Candidates>) -> Self {
        Self { inner, candidates, state: State::from(Vec::new()), allowed: ActionMask::All }
    }

    fn narrow(&mut self) {
        let state = StateRef { tokens: &self.state.tokens, source: self.state.source };
        self.allowed = self.candidates.of(state, &self.inner.allowed());
    }
}

impl<E: Environment> Environment for OfCandidates<E> {
    fn actions(&self) -> &ActionTable {
        self.inner.actions()
    }

    fn n_starts(&self) -> usize {
        self.inner.n_starts()
    }

    fn reset(&mut self, start: Start) -> Result<State, MdpError> {
        let state = self.inner.reset(start)?;
        self.state.clone_from(&state);
        self.narrow();
        Ok(state)
    }

    fn step(&mut self, action: ActionId) -> Result<Step, MdpError> {
        if !self.allowed.allows(action) {
            return Err(MdpError::Forbidden { action });
        }
        let step = self.inner.step(action)?;
        self.state.tokens.extend_from_slice(&step.observed);
        self.narrow();
        Ok(step)
    }

    fn allowed(&self) -> ActionMask {
        self.allowed.clone()
    }
}

#[cfg(test)]
mod tests {
    use dqn_env::Generation;
    use dqn_mdp::{Outcome, TokenId};

    use super::*;
    use crate::play::{FixedPlayer, play};

    /// Prefers the actions next to the number of tokens; the higher of two equally near ones.
    struct ByLength;

    impl Prior for ByLength {
        fn log_probs(&self, state: StateRef<'_>, log_probs: &mut [f32]) {
            for (action, value) in log_probs.iter_mut().enumerate() {
                *value = -(action as f32 - state.tokens.len() as f32 - 0.1).abs();
            }
        }
    }

    fn listed(actions: &[u32]) -> ActionMask {
        ActionMask::listed(actions.iter().copied().map(ActionId))
    }

    fn candidates(top_k: usize) -> Arc<Candidates> {
        Arc::new(Candidates::new(Arc::new(ByLength), 6, top_k))
    }

    #[test]
    fn the_most_probable_of_the_allowed_actions_are_candidates() {
        let text = [TokenId(2); 3];
        // By falling probability: 3, 4, 2, 5, 1, 0.
        assert_eq!(candidates(2).of(text[..].into(), &ActionMask::All), listed(&[3, 4]));
        assert_eq!(candidates(4).of(text[..].into(), &ActionMask::All), listed(&[2, 3, 4, 5]));
        assert_eq!(candidates(9).of(text[..].into(), &ActionMask::All), listed(&[0, 1, 2, 3, 4, 5]));
        assert_eq!(candidates(2).of(text[..].into(), &ActionMask::all_but(6, &[ActionId(3)])), listed(&[2, 4]));
        struct Indifferent;
        impl Prior for Indifferent {
            fn log_probs(&self, _state: StateRef<'_>, log_probs: &mut [f32]) {
                log_probs.fill(-1.0);
            }
        }
        let equal = Candidates::new(Arc::new(Indifferent), 6, 3);
        assert_eq!(equal.of(text[..].into(), &ActionMask::All), listed(&[0, 1, 2]), "of equal ones the first");
    }

    /// Six actions: `<eos>`, four tokens, and one of two tokens.
    fn task() -> Generation {
        let table = ActionTable::of_tokens((3..8).map(TokenId)).with([vec![TokenId(4), TokenId(5)]]);
        Generation::new(vec![vec![TokenId(4)].into()].into(), Arc::new(table), 5).unwrap()
    }

    #[test]
    fn an_environment_allows_its_candidates_only() {
        let mut environment = OfCandidates::new(task(), candidates(2));
        environment.reset(Start::Indexed(0)).unwrap();
        assert_eq!(environment.allowed(), listed(&[2, 3]));
        assert!(matches!(environment.step(ActionId(1)), Err(MdpError::Forbidden { action: ActionId(1) })));
        environment.step(ActionId(3)).unwrap();
        assert_eq!(environment.allowed(), listed(&[3, 4]));
        environment.step(ActionId(4)).unwrap();
        // Four tokens of five: the action of two tokens does not fit, and 4 is the nearest that does.
        environment.step(ActionId(4)).unwrap();
        assert_eq!(environment.allowed(), listed(&[3, 4]));
    }

    #[test]
    fn what_people_took_is_always_a_candidate() {
        let mut player = FixedPlayer::new([5, 0].map(ActionId).to_vec());
        let mut environments: [Box<dyn Environment>; 1] = [Box::new(task())];
        let mut episode = play(&mut environments, &[Start::Indexed(0)], &mut player).unwrap().remove(0);
        candidates(2).restrict(&mut episode);
        assert_eq!(episode.outcome, Outcome::Terminated);
        assert_eq!(episode.allowed[0], listed(&[2, 3, 5]));
        assert_eq!(episode.allowed[1], listed(&[0, 4, 5]));
    }
}
