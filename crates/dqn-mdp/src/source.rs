//! What a text answers to: a sentence to translate, speech to write down.

use dqn_text::TokenId;
use serde::{Deserialize, Serialize};

/// The place of a source among the [`Sources`] of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId(pub u32);

impl SourceId {
    /// The id as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What an episode is about: given whole before its first action, and the same until its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A text in a vocabulary of its own.
    Tokens(Vec<TokenId>),
    /// Feature vectors, one after the other.
    Frames(Frames),
}

/// Feature vectors at a steady rate, such as a spectrogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    /// Numbers in each vector, at least 1.
    pub n_channels: usize,
    /// `[frames, channels]`
    pub values: Vec<f32>,
}

impl Frames {
    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.values.len() / self.n_channels
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// What all sources of a task are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Texts over so many tokens.
    Tokens {
        /// Size of their vocabulary.
        n_tokens: usize,
    },
    /// Feature vectors of so many numbers.
    Frames {
        /// Numbers in each.
        n_channels: usize,
    },
}

/// All sources of a task.
///
/// States and episodes carry a [`SourceId`] only, so that a source lies in memory once, and in a checkpoint not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    kind: SourceKind,
    sources: Vec<Source>,
}

impl Sources {
    /// The sources `sources`, all of `kind`.
    ///
    /// # Panics
    /// When one is of another kind, or empty: whoever reads them has refused those.
    pub fn new(kind: SourceKind, sources: Vec<Source>) -> Self {
        let fits = |source: &Source| match (source, kind) {
            (Source::Tokens(tokens), SourceKind::Tokens { n_tokens }) => {
                !tokens.is_empty() && tokens.iter().all(|token| token.index() < n_tokens)
            }
            (Source::Frames(frames), SourceKind::Frames { n_channels }) => {
                !frames.is_empty() && frames.n_channels == n_channels
            }
            _ => false,
        };
        if let Some(index) = sources.iter().position(|source| !fits(source)) {
            panic!("source {index} is empty or none of {kind:?}");
        }
        Self { kind, sources }
    }

    /// These sources and after them `more`.
    ///
    /// # Panics
    /// As [`Sources::new`].
    pub fn with(&self, more: Vec<Source>) -> Self {
        Self::new(self.kind, self.sources.iter().cloned().chain(more).collect())
    }

    /// What they are.
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The source of an id.
    ///
    /// # Panics
    /// When there is none of this id.
    pub fn get(&self, id: SourceId) -> &Source {
        &self.sources[id.index()]
    }
}

/// How an episode begins: what it is about, and what is written already.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prompt {
    /// What it is about, where the task has sources.
    pub source: Option<SourceId>,
    /// The tokens after `<bos>`.
    pub tokens: Vec<TokenId>,
}

impl From<Vec<TokenId>> for Prompt {
    fn from(tokens: Vec<TokenId>) -> Self {
        Self { source: None, tokens }
    }
}

impl From<SourceId> for Prompt {
    fn from(source: SourceId) -> Self {
        Self { source: Some(source), tokens: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_found_by_their_ids() {
        let texts = [vec![TokenId(4)], vec![TokenId(5), TokenId(6)]];
        let sources = Sources::new(SourceKind::Tokens { n_tokens: 7 }, texts.clone().map(Source::Tokens).to_vec());
        assert_eq!(sources.get(SourceId(1)), &Source::Tokens(texts[1].clone()));
        assert_eq!((sources.len(), sources.is_empty()), (2, false));
    }

    #[test]
    fn a_frame_is_one_vector() {
        let frames = Frames { n_channels: 2, values: vec![0.0; 6] };
        assert_eq!(frames.len(), 3);
    }
}
