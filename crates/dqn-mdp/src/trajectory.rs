//! A finished episode.

use std::collections::HashSet;

use dqn_text::{ActionId, TokenId};
use serde::{Deserialize, Serialize};

use crate::{ActionMask, Outcome, Prompt, SourceId, State, StateMasks, StateRef, Step};

/// One episode from its first state to its end, as replay stores it and rewards judge it.
///
/// The text is stored once. Decision `t` was taken when the first `decisions[t] + 1` tokens were written, so its state
/// is `tokens[..= decisions[t]]`; the state after the last step is the whole text.
///
/// # Units
/// Where a step writes one token, a token takes 16 bytes: 4 each for the token, its decision, its action and its reward.
/// An episode takes about 200 bytes more, the heads of its lists, and 24 for each change of its mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trajectory {
    /// The whole text: the first state and everything observed after it.
    pub tokens: Vec<TokenId>,
    /// How many of the tokens are the first state.
    pub n_start_tokens: usize,
    /// What the episode is about, where the task has sources.
    pub source: Option<SourceId>,
    /// For each step, the index of the last token of the state in which it was taken; strictly increasing.
    pub decisions: Vec<u32>,
    /// For each step, the action taken.
    pub actions: Vec<ActionId>,
    /// For each step, its reward.
    pub rewards: Vec<f32>,
    /// The actions the state of each step allowed, and those of the state after the last step.
    pub allowed: StateMasks,
    /// How the last step left the episode.
    pub outcome: Outcome,
    /// For each reward term of the task, the sum of what it gave (already weighted); empty where the environment
    /// itself gives the reward.
    pub term_returns: Vec<f32>,
}

impl Trajectory {
    /// An episode of no steps yet that begins in `start`, where `allowed` may be done.
    pub fn begin(start: State, allowed: ActionMask) -> Self {
        Self {
            n_start_tokens: start.tokens.len(),
            tokens: start.tokens,
            source: start.source,
            decisions: Vec::new(),
            actions: Vec::new(),
            rewards: Vec::new(),
            allowed: [allowed].into_iter().collect(),
            outcome: Outcome::Continues,
            term_returns: Vec::new(),
        }
    }

    /// Appends `action` and what the environment answered; `allowed` holds in the state after it.
    pub fn push(&mut self, action: ActionId, step: &Step, allowed: ActionMask) {
        debug_assert!(!self.outcome.is_end(), "a step after the end");
        self.decisions.push(self.tokens.len() as u32 - 1);
        self.actions.push(action);
        self.rewards.push(step.reward);
        self.tokens.extend_from_slice(&step.observed);
        self.allowed.push(allowed);
        self.outcome = step.outcome;
    }

    /// Gives back memory kept for more steps.
    pub fn shrink_to_fit(&mut self) {
        self.tokens.shrink_to_fit();
        self.decisions.shrink_to_fit();
        self.actions.shrink_to_fit();
        self.rewards.shrink_to_fit();
        self.allowed.shrink_to_fit();
        self.term_returns.shrink_to_fit();
    }

    /// Lets masks equal to one in `known` share its allocation, and adds the others to `known`: masks that were read
    /// from a file have an allocation each.
    pub fn share_masks(&mut self, known: &mut HashSet<ActionMask>) {
        self.allowed.share(known);
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether no step was taken yet.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Sum of the rewards, undiscounted.
    pub fn episode_return(&self) -> f32 {
        self.rewards.iter().sum()
    }

    /// The state in which step `index` was taken, or the last one.
    pub fn state(&self, index: usize) -> StateRef<'_> {
        let end = self.decisions.get(index).map_or(self.tokens.len(), |&last| last as usize + 1);
        StateRef { tokens: &self.tokens[..end], source: self.source }
    }

    /// How the episode began.
    pub fn prompt(&self) -> Prompt {
        Prompt { source: self.source, tokens: self.start()[1..].to_vec() }
    }

    /// Whether both episodes begin in the same state.
    pub fn shares_start(&self, other: &Trajectory) -> bool {
        self.source == other.source && self.start() == other.start()
    }

    /// The tokens of the first state.
    pub fn start(&self) -> &[TokenId] {
        &self.tokens[..self.n_start_tokens]
    }

    /// The tokens after the first state.
    pub fn written(&self) -> &[TokenId] {
        &self.tokens[self.n_start_tokens..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(reward: f32, observed: &[u32], outcome: Outcome) -> Step {
        Step { reward, observed: observed.iter().copied().map(TokenId).collect(), outcome }
    }

    #[test]
    fn decisions_point_at_the_last_token_of_their_state() {
        let start = State::from(vec![TokenId(2), TokenId(7)]);
        let mut episode = Trajectory::begin(start, ActionMask::All);
        episode.push(ActionId(1), &step(0.5, &[8], Outcome::Continues), ActionMask::All);
        episode.push(ActionId(0), &step(1.0, &[9, 10], Outcome::Continues), ActionMask::All);
        episode.push(ActionId(2), &step(-2.0, &[3], Outcome::Terminated), ActionMask::All);
        assert_eq!(episode.decisions, [1, 2, 4]);
        assert_eq!(episode.episode_return(), -0.5);
        assert_eq!(episode.allowed.len(), episode.len() + 1);
        assert_eq!((episode.start().len(), episode.written().len()), (2, 4));
        assert_eq!(episode.outcome, Outcome::Terminated);
    }
}
