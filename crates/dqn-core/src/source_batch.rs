//! The sources of a batch, padded to a rectangle.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_mdp::{Source, SourceId, SourceKind, Sources};

use crate::batch::of_rows;

/// The sources of several texts on the host, padded on the right. What several texts are about is there once, so that it is
/// read once.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceBatch {
    /// What they are, `[sources, longest]` tokens or `[sources, longest, channels]` numbers; padding is `<pad>`, or 0.
    pub values: SourceValues<Vec<i64>, Vec<f32>>,
    /// Tokens or frames of each: `[sources]`.
    pub lengths: Vec<usize>,
    /// For each text the row of its source: `[batch]`; nothing where text `i` is about source `i`.
    pub rows: Option<Vec<usize>>,
}

/// What a source is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceValues<T, F> {
    /// Token ids.
    Tokens(T),
    /// Feature vectors of so many channels.
    Frames(F, usize),
}

/// A [`SourceBatch`] on a device.
#[derive(Clone, Debug)]
pub struct SourceInput {
    /// `[sources, longest]` tokens or `[sources, longest, channels]` numbers.
    pub values: SourceValues<Tensor<2, Int>, Tensor<3>>,
    /// Tokens or frames of each: `[sources]`.
    pub lengths: Tensor<1, Int>,
    /// For each text the row of its source: `[batch]`; nothing where text `i` is about source `i`.
    pub rows: Option<Tensor<1, Int>>,
}

impl SourceBatch {
    /// The sources of texts that are about `ids` of `sources`.
    ///
    /// # Panics
    /// When there are no ids, or one names no source.
    pub fn of(sources: &Sources, ids: &[SourceId]) -> Self {
        assert!(!ids.is_empty(), "a batch holds at least one source");
        let (ids, rows) = distinct(ids);
        let found: Vec<&Source> = ids.into_iter().map(|id| sources.get(id)).collect();
        let lengths: Vec<usize> = found
            .iter()
            .map(|source| match source {
                Source::Tokens(tokens) => tokens.len(),
                Source::Frames(frames) => frames.len(),
            })
            .collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let values = match sources.kind() {
            SourceKind::Tokens { .. } => {
                let mut values = vec![0; found.len() * longest];
                for (row, source) in values.chunks_exact_mut(longest).zip(&found) {
                    if let Source::Tokens(tokens) = source {
                        row.iter_mut().zip(tokens).for_each(|(value, token)| *value = i64::from(token.0));
                    }
                }
                SourceValues::Tokens(values)
            }
            SourceKind::Frames { n_channels } => {
                let mut values = vec![0.0; found.len() * longest * n_channels];
                for (row, source) in values.chunks_exact_mut(longest * n_channels).zip(&found) {
                    if let Source::Frames(frames) = source {
                        row[..frames.values.len()].copy_from_slice(&frames.values);
                    }
                }
                SourceValues::Frames(values, n_channels)
            }
        };
        Self { values, lengths, rows }
    }

    /// The sources of the texts `texts`.
    pub(crate) fn part(&self, texts: Range<usize>) -> Self {
        let n_sources = self.lengths.len();
        let (found, rows) = match &self.rows {
            Some(rows) => distinct(&rows[texts]),
            None => (texts.collect(), None),
        };
        let lengths = found.iter().map(|&row| self.lengths[row]).collect();
        let values = match &self.values {
            SourceValues::Tokens(values) => SourceValues::Tokens(of_rows(values, n_sources, found)),
            SourceValues::Frames(values, n_channels) => {
                SourceValues::Frames(of_rows(values, n_sources, found), *n_channels)
            }
        };
        Self { values, lengths, rows }
    }

    /// Moves the sources to `device`, each array once.
    pub fn upload(self, device: &Device) -> SourceInput {
        let n_sources = self.lengths.len();
        let values = match self.values {
            SourceValues::Tokens(values) => {
                let longest = values.len() / n_sources;
                SourceValues::Tokens(Tensor::from_data(TensorData::new(values, [n_sources, longest]), device))
            }
            SourceValues::Frames(values, n_channels) => {
                let shape = [n_sources, values.len() / n_sources / n_channels, n_channels];
                SourceValues::Frames(Tensor::from_data(TensorData::new(values, shape), device), n_channels)
            }
        };
        let numbers = |numbers: Vec<usize>| {
            let numbers: Vec<i64> = numbers.into_iter().map(|number| number as i64).collect();
            let shape = [numbers.len()];
            Tensor::from_data(TensorData::new(numbers, shape), device)
        };
        SourceInput { values, lengths: numbers(self.lengths), rows: self.rows.map(numbers) }
    }
}

/// The different ones of `ids` in the order of their first place, and which of them each is, where they are fewer.
fn distinct<T: Copy + Eq + Hash>(ids: &[T]) -> (Vec<T>, Option<Vec<usize>>) {
    let mut row_of = HashMap::with_capacity(ids.len());
    let mut found = Vec::with_capacity(ids.len());
    let mut row = |&id| {
        *row_of.entry(id).or_insert_with(|| {
            found.push(id);
            found.len() - 1
        })
    };
    let rows: Vec<usize> = ids.iter().map(&mut row).collect();
    let is_shorter = found.len() < ids.len();
    (found, is_shorter.then_some(rows))
}

impl SourceInput {
    /// The same input on a device that records the operations on it for backpropagation.
    pub fn lifted(self) -> Self {
        let values = match self.values {
            SourceValues::Tokens(tokens) => SourceValues::Tokens(Tensor::from_inner(tokens)),
            SourceValues::Frames(frames, n_channels) => SourceValues::Frames(Tensor::from_inner(frames), n_channels),
        };
        Self { values, lengths: Tensor::from_inner(self.lengths), rows: self.rows.map(Tensor::from_inner) }
    }
}

#[cfg(test)]
mod tests {
    use dqn_mdp::{Frames, TokenId};

    use super::*;

    #[test]
    fn shorter_sources_are_padded_on_the_right() {
        let text = |tokens: &[u32]| Source::Tokens(tokens.iter().copied().map(TokenId).collect());
        let sources = Sources::new(SourceKind::Tokens { n_tokens: 9 }, vec![text(&[7]), text(&[4, 5, 6])]);
        let batch = SourceBatch::of(&sources, &[SourceId(1), SourceId(0)]);
        assert_eq!(batch.values, SourceValues::Tokens(vec![4, 5, 6, 7, 0, 0]));
        assert_eq!((batch.lengths, batch.rows), (vec![3, 1], None));
    }

    #[test]
    fn a_source_of_several_texts_is_there_once() {
        let text = |token: u32| Source::Tokens(vec![TokenId(token)]);
        let sources = Sources::new(SourceKind::Tokens { n_tokens: 9 }, (4..9).map(text).collect());
        let batch = SourceBatch::of(&sources, &[3, 3, 1, 3, 0, 1].map(SourceId));
        assert_eq!(batch.values, SourceValues::Tokens(vec![7, 5, 4]));
        assert_eq!(batch.rows, Some(vec![0, 0, 1, 0, 2, 1]));
        let part = batch.part(2..5);
        assert_eq!((part.values, part.rows), (SourceValues::Tokens(vec![5, 7, 4]), None));
        let part = batch.part(3..6);
        assert_eq!((part.values, part.rows), (SourceValues::Tokens(vec![7, 4, 5]), None));
        let part = batch.part(0..3);
        assert_eq!((part.values, part.rows), (SourceValues::Tokens(vec![7, 5]), Some(vec![0, 0, 1])));
        assert_eq!(part.lengths, [1, 1]);
    }

    #[test]
    fn frames_keep_their_channels() {
        let frames = |values: &[f32]| Source::Frames(Frames { n_channels: 2, values: values.to_vec() });
        let sources = Sources::new(
            SourceKind::Frames { n_channels: 2 },
            vec![frames(&[1.0, 2.0, 3.0, 4.0]), frames(&[5.0, 6.0])],
        );
        let batch = SourceBatch::of(&sources, &[SourceId(1), SourceId(0)]);
        assert_eq!(batch.values, SourceValues::Frames(vec![5.0, 6.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0], 2));
        let SourceValues::Frames(values, 2) = batch.upload(&Device::flex()).values else { panic!("they are frames") };
        assert_eq!(values.dims(), [2, 2, 2]);
    }
}
