//! The sources of a batch, padded to a rectangle.

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_mdp::{Source, SourceId, SourceKind, Sources};

use crate::batch::of_rows;

/// The sources of several texts on the host, padded on the right.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceBatch {
    /// What they are, `[batch, longest]` tokens or `[batch, longest, channels]` numbers; padding is `<pad>`, or 0.
    pub values: SourceValues<Vec<i64>, Vec<f32>>,
    /// Tokens or frames of each: `[batch]`.
    pub lengths: Vec<usize>,
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
    /// `[batch, longest]` tokens or `[batch, longest, channels]` numbers.
    pub values: SourceValues<Tensor<2, Int>, Tensor<3>>,
    /// Tokens or frames of each: `[batch]`.
    pub lengths: Tensor<1, Int>,
}

impl SourceBatch {
    /// The sources `ids` of `sources`, a row for each.
    ///
    /// # Panics
    /// When there are no ids, or one names no source.
    pub fn of(sources: &Sources, ids: &[SourceId]) -> Self {
        assert!(!ids.is_empty(), "a batch holds at least one source");
        let rows: Vec<&Source> = ids.iter().map(|&id| sources.get(id)).collect();
        let lengths: Vec<usize> = rows
            .iter()
            .map(|source| match source {
                Source::Tokens(tokens) => tokens.len(),
                Source::Frames(frames) => frames.len(),
            })
            .collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let values = match sources.kind() {
            SourceKind::Tokens { .. } => {
                let mut values = vec![0; rows.len() * longest];
                for (row, source) in values.chunks_exact_mut(longest).zip(&rows) {
                    if let Source::Tokens(tokens) = source {
                        row.iter_mut().zip(tokens).for_each(|(value, token)| *value = i64::from(token.0));
                    }
                }
                SourceValues::Tokens(values)
            }
            SourceKind::Frames { n_channels } => {
                let mut values = vec![0.0; rows.len() * longest * n_channels];
                for (row, source) in values.chunks_exact_mut(longest * n_channels).zip(&rows) {
                    if let Source::Frames(frames) = source {
                        row[..frames.values.len()].copy_from_slice(&frames.values);
                    }
                }
                SourceValues::Frames(values, n_channels)
            }
        };
        Self { values, lengths }
    }

    /// The sources of the windows `rows`.
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        let n_windows = self.lengths.len();
        let values = match &self.values {
            SourceValues::Tokens(values) => SourceValues::Tokens(of_rows(values, n_windows, &rows)),
            SourceValues::Frames(values, n_channels) => {
                SourceValues::Frames(of_rows(values, n_windows, &rows), *n_channels)
            }
        };
        Self { values, lengths: self.lengths[rows].to_vec() }
    }

    /// Moves the sources to `device`, each array once.
    pub fn upload(self, device: &Device) -> SourceInput {
        let rows = self.lengths.len();
        let values = match self.values {
            SourceValues::Tokens(values) => {
                let longest = values.len() / rows;
                SourceValues::Tokens(Tensor::from_data(TensorData::new(values, [rows, longest]), device))
            }
            SourceValues::Frames(values, n_channels) => {
                let shape = [rows, values.len() / rows / n_channels, n_channels];
                SourceValues::Frames(Tensor::from_data(TensorData::new(values, shape), device), n_channels)
            }
        };
        let lengths: Vec<i64> = self.lengths.iter().map(|&length| length as i64).collect();
        SourceInput { values, lengths: Tensor::from_data(TensorData::new(lengths, [rows]), device) }
    }
}

impl SourceInput {
    /// The same input on a device that records the operations on it for backpropagation.
    pub fn lifted(self) -> Self {
        let values = match self.values {
            SourceValues::Tokens(tokens) => SourceValues::Tokens(Tensor::from_inner(tokens)),
            SourceValues::Frames(frames, n_channels) => SourceValues::Frames(Tensor::from_inner(frames), n_channels),
        };
        Self { values, lengths: Tensor::from_inner(self.lengths) }
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
        let batch = SourceBatch::of(&sources, &[SourceId(1), SourceId(0), SourceId(0)]);
        assert_eq!(batch.values, SourceValues::Tokens(vec![4, 5, 6, 7, 0, 0, 7, 0, 0]));
        assert_eq!(batch.lengths, [3, 1, 1]);
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
