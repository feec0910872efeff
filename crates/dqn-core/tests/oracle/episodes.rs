//! Random episodes: several tokens a step, sets of allowed actions, every kind of end.

use dqn_core::Prior;
use dqn_mdp::{ActionId, ActionMask, Outcome, State, StateRef, Step, TokenId, Trajectory};
use rand::{Rng, RngExt};

pub(crate) const N_TOKENS: usize = 6;
pub(crate) const N_ACTIONS: usize = 4;

fn mask(is_masked: bool, rng: &mut impl Rng) -> ActionMask {
    if !is_masked || rng.random_bool(0.3) {
        return ActionMask::All;
    }
    let allowed: Vec<ActionId> = (0..N_ACTIONS as u32).map(ActionId).filter(|_| rng.random_bool(0.5)).collect();
    match allowed.is_empty() {
        true => ActionMask::only(N_ACTIONS, [ActionId(rng.random_range(0..N_ACTIONS as u32))]),
        false => ActionMask::only(N_ACTIONS, allowed),
    }
}

fn tokens(n: usize, rng: &mut impl Rng) -> Vec<TokenId> {
    (0..n).map(|_| TokenId(rng.random_range(0..N_TOKENS as u32))).collect()
}

/// An episode of `n_steps` steps whose actions its states allow.
pub(crate) fn episode(n_steps: usize, is_masked: bool, rng: &mut impl Rng) -> Trajectory {
    let n_start = rng.random_range(1..4);
    let mut episode = Trajectory::begin(State::from(tokens(n_start, rng)), mask(is_masked, rng));
    for index in 0..n_steps {
        let allowed: Vec<ActionId> = episode.allowed[index].iter(N_ACTIONS).collect();
        let action = allowed[rng.random_range(0..allowed.len())];
        let outcome = match (index + 1 == n_steps, rng.random_bool(0.5)) {
            (false, _) => Outcome::Continues,
            (true, true) => Outcome::Terminated,
            (true, false) => Outcome::Truncated,
        };
        let n_observed = rng.random_range(1..4);
        let reward = rng.random_range(-2.0..2.0_f32);
        let step = Step { reward, observed: tokens(n_observed, rng), outcome };
        episode.push(action, &step, mask(is_masked, rng));
    }
    episode
}

/// The text of state `state` of an episode; the state after the last step is the whole text.
pub(crate) fn text(episode: &Trajectory, state: usize) -> &[TokenId] {
    match episode.decisions.get(state) {
        Some(&last) => &episode.tokens[..=last as usize],
        None => &episode.tokens,
    }
}

/// A policy that depends on the length of the text and its last token.
pub(crate) struct AnyPrior;

impl AnyPrior {
    pub(crate) fn log_prob(state: &[TokenId], action: usize) -> f64 {
        let weight = |action: usize| 1.0 + ((state.len() + 3 * state[state.len() - 1].index() + 5 * action) % 7) as f64;
        (weight(action) / (0..N_ACTIONS).map(weight).sum::<f64>()).ln()
    }
}

impl Prior for AnyPrior {
    fn log_probs(&self, state: StateRef<'_>, log_probs: &mut [f32]) {
        for (action, log_prob) in log_probs.iter_mut().enumerate() {
            *log_prob = Self::log_prob(state.tokens, action) as f32;
        }
    }
}
