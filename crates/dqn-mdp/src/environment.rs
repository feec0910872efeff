//! The contracts: what an environment and a reward owe to the rest of the program.

use dqn_text::{ActionId, ActionTable, Special, TokenId};
use serde::{Deserialize, Serialize};

use crate::{ActionMask, MdpError, Outcome, Prompt, Seed, SourceId, Trajectory};

/// The text so far, as a policy sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The tokens, beginning with `<bos>`.
    pub tokens: Vec<TokenId>,
    /// What the text is about, where the task has sources.
    pub source: Option<SourceId>,
}

impl State {
    /// The first state of an episode that begins with `prompt`.
    pub fn of(prompt: &Prompt) -> Self {
        let tokens = [Special::Bos.id()].into_iter().chain(prompt.tokens.iter().copied()).collect();
        Self { tokens, source: prompt.source }
    }
}

impl From<Vec<TokenId>> for State {
    fn from(tokens: Vec<TokenId>) -> Self {
        Self { tokens, source: None }
    }
}

/// A [`State`] that lies elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateRef<'a> {
    /// The tokens, beginning with `<bos>`.
    pub tokens: &'a [TokenId],
    /// What the text is about, where the task has sources.
    pub source: Option<SourceId>,
}

impl StateRef<'_> {
    /// Whether `self` may be a state before `other` in the same episode, or the same one.
    pub fn precedes(&self, other: &StateRef<'_>) -> bool {
        self.source == other.source && other.tokens.starts_with(self.tokens)
    }
}

impl<'a> From<&'a [TokenId]> for StateRef<'a> {
    fn from(tokens: &'a [TokenId]) -> Self {
        Self { tokens, source: None }
    }
}

/// Where an episode begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At a start drawn with this seed.
    Drawn(Seed),
    /// At the start with this index, counted from 0; evaluation goes through them in order.
    Indexed(usize),
}

/// What an environment answers to an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The reward known at once; 0 where a [`Reward`] judges the whole episode later.
    pub reward: f32,
    /// The tokens added to the state: what the action wrote and, in a dialogue or game, the answer to it.
    pub observed: Vec<TokenId>,
    /// Whether and how the episode ended.
    pub outcome: Outcome,
}

/// One episode at a time of a task over text.
pub trait Environment: Send {
    /// The actions of the task, the same in every state and episode.
    fn actions(&self) -> &ActionTable;

    /// How many distinct starts [`Start::Indexed`] may name, at least 1.
    fn n_starts(&self) -> usize;

    /// Begins a new episode and returns its first state.
    ///
    /// The same start leads to the same state and, given the same actions, to the same episode.
    ///
    /// # Errors
    /// [`MdpError::NoSuchStart`] for an index beyond [`Environment::n_starts`].
    fn reset(&mut self, start: Start) -> Result<State, MdpError>;

    /// Takes `action` in the present state.
    ///
    /// # Errors
    /// [`MdpError::EpisodeOver`] after the end, [`MdpError::Forbidden`] for an action outside
    /// [`Environment::allowed`].
    fn step(&mut self, action: ActionId) -> Result<Step, MdpError>;

    /// The actions the present state allows.
    fn allowed(&self) -> ActionMask;

    /// What the task itself says of the episode so far, where that is not the return.
    fn score(&self) -> Option<f64> {
        None
    }
}

/// What one named term contributed to an episode.
#[derive(Clone, Debug, PartialEq)]
pub struct TermReward {
    /// Reward of each step, one for each action of the episode.
    pub steps: Vec<f32>,
}

/// A judge of whole episodes.
///
/// Rewards are given after the episodes of a batch are over and before anything is learned from them, so that a slow
/// judge (a subprocess, a network) is asked once for the batch.
pub trait Reward: Send {
    /// The name under which this term is logged.
    fn name(&self) -> &str;

    /// The reward of every step of every episode, in the order given.
    ///
    /// # Errors
    /// When the judge fails.
    fn score(&mut self, episodes: &[Trajectory]) -> Result<Vec<TermReward>, MdpError>;
}
