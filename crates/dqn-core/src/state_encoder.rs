//! From states to what a network reads.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_mdp::{PositionEncoder, SourceId, SourceKind, Sources, StateRef};

use crate::network::SequenceInput;
use crate::source_batch::SourceBatch;

/// How the states of a task become numbers.
#[derive(Clone, Debug)]
pub struct StateEncoder {
    /// Where in its line a token stands.
    pub positions: PositionEncoder,
    /// What texts are about, where the task has sources.
    pub sources: Option<Arc<Sources>>,
}

/// Sizes of what a network reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputShape {
    /// Tokens of the vocabulary.
    pub n_tokens: usize,
    /// Distinct positions.
    pub n_positions: usize,
    /// What sources are, where the task has them.
    pub source: Option<SourceKind>,
}

impl From<PositionEncoder> for StateEncoder {
    fn from(positions: PositionEncoder) -> Self {
        Self { positions, sources: None }
    }
}

/// The last state of an episode.
fn last<'a>(states: &[StateRef<'a>]) -> StateRef<'a> {
    *states.last().expect("an episode has a state")
}

impl StateEncoder {
    /// What a network reads of a vocabulary of `n_tokens`.
    pub fn shape(&self, n_tokens: usize) -> InputShape {
        let source = self.sources.as_ref().map(|sources| sources.kind());
        InputShape { n_tokens, n_positions: self.positions.n_ids(), source }
    }

    /// The sources of texts, a row for each; nothing where the task has none.
    ///
    /// # Panics
    /// When the task has sources and a text is about none of them.
    pub fn sources_of(&self, ids: impl Iterator<Item = Option<SourceId>>) -> Option<SourceBatch> {
        let sources = self.sources.as_ref()?;
        let ids: Vec<SourceId> = ids.map(|id| id.expect("every text of the task is about a source")).collect();
        Some(SourceBatch::of(sources, &ids))
    }

    /// The input with a row for each episode that asks for all of its states given, each of which precedes the next.
    ///
    /// # Shapes
    /// - returns `[episodes, tokens of the longest]`, padded on the right, with `decisions` of `[episodes, most states]`
    ///
    /// # Panics
    /// When there are no episodes, or one has no states.
    pub fn input(&self, episodes: &[&[StateRef<'_>]], device: &Device) -> SequenceInput {
        let n_tokens = episodes.iter().map(|states| last(states).tokens.len()).max().unwrap_or(0);
        let n_states = episodes.iter().map(|states| states.len()).max().unwrap_or(0);
        let rows = episodes.len();
        let (mut tokens, mut places) = (vec![0_i64; rows * n_tokens], vec![0_i64; rows * n_tokens]);
        let mut decisions = vec![0_i64; rows * n_states];
        for (row, states) in episodes.iter().enumerate() {
            let text = last(states).tokens;
            for (index, (token, place)) in text.iter().zip(self.positions.ids(text)).enumerate() {
                tokens[row * n_tokens + index] = i64::from(token.0);
                places[row * n_tokens + index] = i64::from(place);
            }
            for (index, state) in states.iter().enumerate() {
                decisions[row * n_states + index] = state.tokens.len() as i64 - 1;
            }
        }
        let matrix = |values, width| Tensor::<2, Int>::from_data(TensorData::new(values, [rows, width]), device);
        SequenceInput {
            tokens: matrix(tokens, n_tokens),
            positions: matrix(places, n_tokens),
            decisions: matrix(decisions, n_states),
            source: self
                .sources_of(episodes.iter().map(|states| last(states).source))
                .map(|source| source.upload(device)),
        }
    }
}
