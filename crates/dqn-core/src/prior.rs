//! Prior policies: what to write when no reward has been seen.

use dqn_mdp::{ActionId, StateRef};

/// A policy known in advance, such as a language model.
///
/// KL control keeps the learned policy close to it, and exploration may draw from it.
pub trait Prior: Send + Sync {
    /// Writes the natural logarithm of the probability of every action after `state` into `log_probs`.
    ///
    /// `log_probs` has one place for each action; `exp` of it sums to 1. An action the prior never takes gets a very
    /// small number, not minus infinity, so that differences stay finite.
    fn log_probs(&self, state: StateRef<'_>, log_probs: &mut [f32]);

    /// The same for several states, a row of `log_probs` for each.
    ///
    /// States of one episode stand together, each [preceding](StateRef::precedes) the next, so that a network may read the last of them
    /// and answer for all.
    fn log_probs_of(&self, states: &[StateRef<'_>], log_probs: Vec<&mut [f32]>) {
        for (state, log_probs) in states.iter().zip(log_probs) {
            self.log_probs(*state, log_probs);
        }
    }

    /// The log-probability of one of `n_actions` actions after each state; states stand together as in
    /// [`Prior::log_probs_of`].
    fn log_probs_taken(&self, taken: &[(StateRef<'_>, ActionId)], n_actions: usize) -> Vec<f32> {
        let mut row = vec![0.0; n_actions];
        let mut log_prob = |&(state, action): &(StateRef<'_>, ActionId)| {
            self.log_probs(state, &mut row);
            row[action.index()]
        };
        taken.iter().map(&mut log_prob).collect()
    }

    /// Someone who answers for texts that go on at the cost of what is added to them, where the prior reads texts from
    /// their beginning.
    fn reader(&self) -> Option<Box<dyn PriorReader + '_>> {
        None
    }
}

/// Answers for several texts that go on together.
pub trait PriorReader {
    /// [`Prior::log_probs_of`] for the texts of the last call, each with what was added to it; `kept` gives for each its row
    /// in the last call, and may name a row more than once. At the first call `kept` is `None`.
    fn log_probs(&mut self, states: &[StateRef<'_>], kept: Option<&[usize]>, log_probs: Vec<&mut [f32]>);
}
