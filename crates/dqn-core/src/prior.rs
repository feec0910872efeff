//! Prior policies: what to write when no reward has been seen.

use dqn_mdp::StateRef;

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
}
