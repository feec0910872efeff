//! Error rates of hypotheses against references: WER, CER, MER, WIL and WIP, equal to jiwer 4.0.0.

use std::collections::HashMap;
use std::hash::Hash;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::sync::LazyLock;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ScoreError;
use crate::bleu_tokenizer::is_space;

/// Larger tables of moves than this, at two bits a move, are not filled; the alignment is divided instead.
const MAX_TABLE_BYTES: usize = 1 << 20;
/// An alignment with fewer tokens of the reference is never divided.
const MIN_DIVIDED_REFERENCE: usize = 65;
/// An alignment with fewer tokens of the hypothesis is never divided.
const MIN_DIVIDED_HYPOTHESIS: usize = 10;

/// What lines are divided into before they are aligned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlignmentUnit {
    /// Words, between spaces: the error rate is the word error rate. The default.
    ///
    /// Two or more characters of white space are one space; a single tab or other white space inside a line is none,
    /// as in jiwer.
    #[default]
    Words,
    /// Characters, white space inside a line included: the error rate is the character error rate, which suits Chinese.
    ///
    /// A character is a Unicode scalar value, so that an emoji may be several.
    Characters,
}

impl AlignmentUnit {
    /// The alignment of one line with its reference.
    pub fn align(self, hypothesis: &str, reference: &str) -> AlignmentCounts {
        match self {
            Self::Words => align(&words(hypothesis), &words(reference)),
            Self::Characters => {
                let characters = |line: &str| line.trim_matches(is_space).chars().collect::<Vec<_>>();
                align(&characters(hypothesis), &characters(reference))
            }
        }
    }

    /// The counts of all lines together, of which the rates of a corpus are made.
    ///
    /// # Errors
    /// [`ScoreError::NoHypotheses`] and [`ScoreError::CorpusLength`].
    pub fn align_corpus(self, hypotheses: &[&str], references: &[&str]) -> Result<AlignmentCounts, ScoreError> {
        if hypotheses.is_empty() {
            return Err(ScoreError::NoHypotheses);
        }
        if hypotheses.len() != references.len() {
            return Err(ScoreError::CorpusLength { hypotheses: hypotheses.len(), references: references.len() });
        }
        Ok(hypotheses.iter().zip(references).map(|(hypothesis, reference)| self.align(hypothesis, reference)).sum())
    }
}

/// The words of a line.
fn words(line: &str) -> Vec<&str> {
    static GAP: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[\s\x1c-\x1f]{2,}| ").expect("the pattern is valid"));
    GAP.split(line.trim_matches(is_space)).filter(|word| !word.is_empty()).collect()
}

/// How many tokens of a reference a hypothesis has, and what it does instead of having the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AlignmentCounts {
    /// Tokens that are the same on both sides.
    pub hits: u64,
    /// Tokens of the reference for which the hypothesis has another one.
    pub substitutions: u64,
    /// Tokens of the reference for which the hypothesis has none.
    pub deletions: u64,
    /// Tokens of the hypothesis that stand for none of the reference.
    pub insertions: u64,
}

impl AlignmentCounts {
    /// Length of the references, in tokens.
    pub fn reference_length(&self) -> u64 {
        self.hits + self.substitutions + self.deletions
    }

    /// Length of the hypotheses, in tokens.
    pub fn hypothesis_length(&self) -> u64 {
        self.hits + self.substitutions + self.insertions
    }

    /// Substitutions, deletions and insertions: the edit distance.
    pub fn errors(&self) -> u64 {
        self.substitutions + self.deletions + self.insertions
    }

    /// The word error rate, or over characters the character error rate.
    ///
    /// ```text
    /// WER = (S + D + I) / (H + S + D)
    /// ```
    ///
    /// With an empty reference, by which nothing can be divided, it is the number of insertions, as in jiwer: 0 for an
    /// empty hypothesis. In a corpus this matters only where all references are empty.
    ///
    /// # Range
    /// 0 and up: insertions can make it larger than 1.
    pub fn error_rate(&self) -> f64 {
        self.errors() as f64 / self.reference_length().max(1) as f64
    }

    /// The match error rate.
    ///
    /// ```text
    /// MER = (S + D + I) / (H + S + D + I)
    /// ```
    ///
    /// Two empty texts have no errors.
    ///
    /// Source: Morris, Maier & Green 2004, section 3.
    ///
    /// # Range
    /// 0 to 1.
    pub fn match_error_rate(&self) -> f64 {
        self.errors() as f64 / (self.hits + self.errors()).max(1) as f64
    }

    /// The word information preserved.
    ///
    /// ```text
    /// WIP = H / (H + S + D) * H / (H + S + I)
    /// ```
    ///
    /// It is 1 for two empty texts and 0 where only one is empty.
    ///
    /// Source: Morris, Maier & Green 2004, section 3.
    ///
    /// # Range
    /// 0 to 1.
    pub fn information_preserved(&self) -> f64 {
        match (self.reference_length(), self.hypothesis_length()) {
            (0, 0) => 1.0,
            (0, _) | (_, 0) => 0.0,
            (n_reference, n_hypothesis) => {
                (self.hits as f64 / n_reference as f64) * (self.hits as f64 / n_hypothesis as f64)
            }
        }
    }

    /// The word information lost: 1 without [`AlignmentCounts::information_preserved`].
    ///
    /// # Range
    /// 0 to 1.
    pub fn information_lost(&self) -> f64 {
        1.0 - self.information_preserved()
    }
}

impl Add for AlignmentCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            substitutions: self.substitutions + other.substitutions,
            deletions: self.deletions + other.deletions,
            insertions: self.insertions + other.insertions,
        }
    }
}

impl AddAssign for AlignmentCounts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for AlignmentCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

/// The counts of an alignment of two token sequences with the fewest errors.
///
/// Several alignments may have the fewest errors and yet different hits, on which MER, WIL and WIP depend. The one taken
/// is that of RapidFuzz 3.14, which jiwer relies on: read from the end, a deletion where one is possible, else an
/// insertion where the table says that it is better than a substitution before it, else a hit or substitution. Where
/// the table would be larger than 1 MiB, the hypothesis is divided in the middle, and the reference at the first place
/// that keeps the errors fewest.
///
/// Memory grows with the sum of the lengths beyond a few MiB, time with their product.
///
/// Source: Levenshtein 1966; Hirschberg 1975 for the division.
pub fn align<T: Eq + Hash>(hypothesis: &[T], reference: &[T]) -> AlignmentCounts {
    let mut ids: HashMap<&T, u32> = HashMap::new();
    let mut numbered: Vec<u32> = Vec::with_capacity(reference.len() + hypothesis.len());
    for token in reference.iter().chain(hypothesis) {
        let next = u32::try_from(ids.len()).expect("a text has fewer than 2^32 different tokens");
        numbered.push(*ids.entry(token).or_insert(next));
    }
    let (reference, hypothesis) = numbered.split_at(reference.len());
    align_numbered(hypothesis, reference, usize::MAX)
}

/// The counts for tokens given as numbers, of an alignment with at most `max_errors`, which must exist.
fn align_numbered(hypothesis: &[u32], reference: &[u32], max_errors: usize) -> AlignmentCounts {
    let n_prefix = reference.iter().zip(hypothesis).take_while(|(one, other)| one == other).count();
    let (reference, hypothesis) = (&reference[n_prefix..], &hypothesis[n_prefix..]);
    let n_suffix = reference.iter().rev().zip(hypothesis.iter().rev()).take_while(|(one, other)| one == other).count();
    let reference = &reference[..reference.len() - n_suffix];
    let hypothesis = &hypothesis[..hypothesis.len() - n_suffix];

    let max_errors = max_errors.min(reference.len().max(hypothesis.len()));
    let n_diagonals = reference.len().min(2 * max_errors + 1);
    let fits = 2 * n_diagonals * hypothesis.len() / 8 < MAX_TABLE_BYTES
        || reference.len() < MIN_DIVIDED_REFERENCE
        || hypothesis.len() < MIN_DIVIDED_HYPOTHESIS;
    let affixes = AlignmentCounts { hits: (n_prefix + n_suffix) as u64, ..AlignmentCounts::default() };
    affixes
        + if fits { align_by_table(hypothesis, reference, max_errors) } else { align_divided(hypothesis, reference) }
}

/// Divides the hypothesis in the middle and aligns both parts by themselves.
fn align_divided(hypothesis: &[u32], reference: &[u32]) -> AlignmentCounts {
    let (left, right) = hypothesis.split_at(hypothesis.len() / 2);
    let left_errors = errors_of_prefixes(left.iter(), reference.iter());
    let right_errors = errors_of_prefixes(right.iter().rev(), reference.iter().rev());
    let errors = |place: usize| left_errors[place] + right_errors[reference.len() - place];
    // RapidFuzz never looks at a left part without reference; it is taken here only where no other is as good.
    let place = (1..=reference.len()).chain([0]).min_by_key(|place| errors(*place)).expect("0 is a place");
    align_numbered(left, &reference[..place], left_errors[place] as usize)
        + align_numbered(right, &reference[place..], right_errors[reference.len() - place] as usize)
}

/// The edit distances of the hypothesis to all prefixes of the reference, the empty one first.
fn errors_of_prefixes<'a>(
    hypothesis: impl Iterator<Item = &'a u32>,
    reference: impl ExactSizeIterator<Item = &'a u32> + Clone,
) -> Vec<u32> {
    let mut row: Vec<u32> = (0..).take(reference.len() + 1).collect();
    for token in hypothesis {
        let mut diagonal = row[0];
        let mut left = row[0] + 1;
        row[0] = left;
        for (above, other) in row[1..].iter_mut().zip(reference.clone()) {
            left = (left + 1).min(*above + 1).min(diagonal + u32::from(token != other));
            diagonal = std::mem::replace(above, left);
        }
    }
    row
}

/// The last step of a best alignment of two prefixes.
#[derive(Clone, Copy)]
enum Move {
    Delete,
    Insert,
    /// A hit or a substitution.
    Both,
}

/// Fills the table of moves and follows them from its end.
///
/// An alignment with at most `max_errors` stays that close to the diagonal, and only so much of the table is kept.
fn align_by_table(hypothesis: &[u32], reference: &[u32], max_errors: usize) -> AlignmentCounts {
    let n_columns = reference.len().min(2 * max_errors) + 1;
    let first_column = |row: usize| row.saturating_sub(max_errors);
    let mut moves = vec![Move::Both; n_columns * hypothesis.len()];
    let mut errors: Vec<usize> = (0..=reference.len()).collect();
    // Beyond the kept part no alignment is good enough; half the range leaves room for adding 1.
    const NEVER: usize = usize::MAX / 2;
    errors.iter_mut().skip(max_errors + 1).for_each(|errors| *errors = NEVER);
    for (row, token) in (1..).zip(hypothesis) {
        let first = first_column(row).max(1);
        let mut diagonal = errors[first - 1];
        errors[first - 1] = if first_column(row) == 0 { row } else { NEVER };
        for column in first..=reference.len().min(row + max_errors) {
            let (left, above) = (errors[column - 1], errors[column]);
            let both = diagonal + usize::from(reference[column - 1] != *token);
            errors[column] = both.min(left + 1).min(above + 1);
            moves[(row - 1) * n_columns + column - first_column(row)] = if errors[column] == left + 1 {
                Move::Delete
            } else if above < diagonal {
                Move::Insert
            } else {
                Move::Both
            };
            diagonal = above;
        }
    }

    let (mut row, mut column) = (hypothesis.len(), reference.len());
    let mut counts = AlignmentCounts::default();
    while row > 0 && column > 0 {
        let last = moves[(row - 1) * n_columns + column - first_column(row)];
        if let Move::Delete | Move::Both = last {
            column -= 1;
        }
        if let Move::Insert | Move::Both = last {
            row -= 1;
        }
        match last {
            Move::Delete => counts.deletions += 1,
            Move::Insert => counts.insertions += 1,
            Move::Both if reference[column] == hypothesis[row] => counts.hits += 1,
            Move::Both => counts.substitutions += 1,
        }
    }
    counts.deletions += column as u64;
    counts.insertions += row as u64;
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_lie_between_spaces() {
        for (line, expected) in [
            ("", &[][..]),
            (" \t\u{1c} ", &[]),
            (" a  b\u{3000}\tc ", &["a", "b", "c"]),
            ("a\tb c\u{a0}d", &["a\tb", "c\u{a0}d"]),
        ] {
            assert_eq!(words(line), expected, "{line:?}");
        }
    }

    proptest! {
        /// Divided or by a table, whole or near its diagonal: the errors are the fewest, and the lengths come out.
        #[test]
        fn alignments_have_the_fewest_errors(
            reference in prop::collection::vec(0_u32..4, 0..60),
            hypothesis in prop::collection::vec(0_u32..4, 0..60),
        ) {
            let fewest = errors_of_prefixes(hypothesis.iter(), reference.iter())[reference.len()];
            let by_table = align_by_table(&hypothesis, &reference, reference.len().max(hypothesis.len()));
            let near_diagonal = align_by_table(&hypothesis, &reference, fewest as usize);
            prop_assert_eq!(by_table, near_diagonal);
            for counts in [by_table, align_divided(&hypothesis, &reference), align(&hypothesis, &reference)] {
                prop_assert_eq!(counts.errors(), u64::from(fewest));
                prop_assert_eq!(counts.reference_length(), reference.len() as u64);
                prop_assert_eq!(counts.hypothesis_length(), hypothesis.len() as u64);
            }
        }
    }
}
