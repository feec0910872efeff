//! Which actions a state allows.

use std::sync::Arc;

use dqn_text::ActionId;
use serde::{Deserialize, Serialize};

/// The set of actions a state allows; never empty.
///
/// Masks are shared: states with the same mask hold the same allocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActionMask {
    /// Every action.
    All,
    /// The actions whose bit is set: bit `i % 64` of word `i / 64`.
    Only(Arc<[u64]>),
    /// These actions, ascending: a few out of very many.
    Listed(Arc<[ActionId]>),
}

impl ActionMask {
    /// The mask that allows exactly `actions` out of `n_actions`.
    ///
    /// # Panics
    /// When `actions` is empty or holds an action beyond `n_actions`.
    pub fn only(n_actions: usize, actions: impl IntoIterator<Item = ActionId>) -> Self {
        let mut words = vec![0_u64; n_actions.div_ceil(64)];
        for action in actions {
            assert!(action.index() < n_actions, "action {} of {n_actions}", action.0);
            words[action.index() / 64] |= 1 << (action.index() % 64);
        }
        assert!(words.iter().any(|&word| word != 0), "a mask must allow at least one action");
        Self::Only(words.into())
    }

    /// The mask that allows exactly `actions`, kept as a list: small where they are few among very many.
    ///
    /// # Panics
    /// When `actions` is empty.
    pub fn listed(actions: impl IntoIterator<Item = ActionId>) -> Self {
        let mut actions: Vec<ActionId> = actions.into_iter().collect();
        assert!(!actions.is_empty(), "a mask must allow at least one action");
        actions.sort_unstable();
        actions.dedup();
        Self::Listed(actions.into())
    }

    /// The mask that allows all of `n_actions` but `actions`.
    ///
    /// # Panics
    /// When nothing remains.
    pub fn all_but(n_actions: usize, actions: &[ActionId]) -> Self {
        Self::only(n_actions, (0..n_actions as u32).map(ActionId).filter(|action| !actions.contains(action)))
    }

    /// Whether `action` is allowed.
    pub fn allows(&self, action: ActionId) -> bool {
        match self {
            ActionMask::All => true,
            ActionMask::Only(words) => {
                words.get(action.index() / 64).is_some_and(|word| word >> (action.index() % 64) & 1 == 1)
            }
            ActionMask::Listed(actions) => actions.binary_search(&action).is_ok(),
        }
    }

    /// The allowed actions out of `n_actions`, in order.
    pub fn iter(&self, n_actions: usize) -> impl Iterator<Item = ActionId> + '_ {
        let listed: &[ActionId] = if let ActionMask::Listed(actions) = self { actions } else { &[] };
        let others = if listed.is_empty() { n_actions as u32 } else { 0 };
        listed.iter().copied().chain((0..others).map(ActionId).filter(|&action| self.allows(action)))
    }

    /// How many of `n_actions` are allowed.
    pub fn count(&self, n_actions: usize) -> usize {
        match self {
            ActionMask::All => n_actions,
            ActionMask::Only(words) => words.iter().map(|word| word.count_ones() as usize).sum(),
            ActionMask::Listed(actions) => actions.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_and_all_but_are_complements() {
        let chosen = [ActionId(0), ActionId(63), ActionId(64), ActionId(129)];
        let only = ActionMask::only(130, chosen);
        let rest = ActionMask::all_but(130, &chosen);
        for action in (0..130).map(ActionId) {
            assert_eq!(only.allows(action), chosen.contains(&action));
            assert_eq!(rest.allows(action), !chosen.contains(&action));
        }
        assert_eq!((only.count(130), rest.count(130), ActionMask::All.count(130)), (4, 126, 130));
        assert_eq!(only.iter(130).collect::<Vec<_>>(), chosen);
    }

    #[test]
    fn a_list_allows_what_the_bits_allow() {
        let chosen = [129, 0, 64, 63, 0].map(ActionId);
        let (listed, only) = (ActionMask::listed(chosen), ActionMask::only(130, chosen));
        for action in (0..140).map(ActionId) {
            assert_eq!(listed.allows(action), only.allows(action));
        }
        assert_eq!(listed.count(130), 4);
        assert_eq!(listed.iter(130).collect::<Vec<_>>(), only.iter(130).collect::<Vec<_>>());
    }
}
