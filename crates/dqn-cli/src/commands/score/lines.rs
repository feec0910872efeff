//! Scores of lines that are no metric of their own in `dqn_score`, as functions of summed statistics.

use std::ops::AddAssign;

use dqn_score::{AlignmentCounts, AlignmentUnit, CorpusMetric, Rouge, repetition_fraction};

/// A score that is the mean of those of the lines.
pub(super) struct MeanOf<F> {
    pub(super) name: String,
    pub(super) of_line: F,
}

/// A sum and how many numbers are in it.
#[derive(Clone, Default)]
pub(super) struct Sum {
    total: f64,
    n: u64,
}

impl AddAssign<&Self> for Sum {
    fn add_assign(&mut self, other: &Self) {
        self.total += other.total;
        self.n += other.n;
    }
}

impl<F: Fn(&str, &[&str]) -> f64> CorpusMetric for MeanOf<F> {
    type Statistics = Sum;

    fn name(&self) -> String {
        self.name.clone()
    }

    fn segment(&self, hypothesis: &str, references: &[&str]) -> Sum {
        Sum { total: (self.of_line)(hypothesis, references), n: 1 }
    }

    fn corpus_score(&self, sum: &Sum) -> f64 {
        sum.total / sum.n as f64
    }
}

/// The F-measure of ROUGE against the reference with the highest.
pub(super) fn rouge(rouge: Rouge, name: &str) -> MeanOf<impl Fn(&str, &[&str]) -> f64> {
    let of_line = move |line: &str, references: &[&str]| {
        references.iter().map(|reference| rouge.score(line, reference).f_measure).fold(0.0, f64::max)
    };
    MeanOf { name: name.to_owned(), of_line }
}

/// The share of tokens that stand earlier in their line.
pub(super) fn repetition(tokens: impl Fn(&str) -> Vec<String>) -> MeanOf<impl Fn(&str, &[&str]) -> f64> {
    MeanOf { name: "repetition".to_owned(), of_line: move |line: &str, _: &[&str]| repetition_fraction(&tokens(line)) }
}

/// What is made of the errors of an alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorRate {
    /// Of words.
    Word,
    /// Of characters.
    Character,
    /// Errors of words in all pairs of the alignment.
    Match,
    /// Of words.
    InformationLost,
    /// Of words.
    InformationPreserved,
}

impl ErrorRate {
    pub(crate) const ALL: [Self; 5] =
        [Self::Word, Self::Character, Self::Match, Self::InformationLost, Self::InformationPreserved];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Word => "wer",
            Self::Character => "cer",
            Self::Match => "mer",
            Self::InformationLost => "wil",
            Self::InformationPreserved => "wip",
        }
    }

    pub(super) fn unit(self) -> AlignmentUnit {
        match self {
            Self::Character => AlignmentUnit::Characters,
            Self::Word | Self::Match | Self::InformationLost | Self::InformationPreserved => AlignmentUnit::Words,
        }
    }
}

/// The counts of one line or of several.
#[derive(Clone)]
pub(crate) struct Counts(AlignmentCounts);

impl AddAssign<&Self> for Counts {
    fn add_assign(&mut self, other: &Self) {
        self.0 += other.0;
    }
}

impl CorpusMetric for ErrorRate {
    type Statistics = Counts;

    fn name(&self) -> String {
        ErrorRate::name(*self).to_owned()
    }

    /// Of several references the one with the fewest errors counts.
    fn segment(&self, hypothesis: &str, references: &[&str]) -> Counts {
        let counts = references.iter().map(|reference| self.unit().align(hypothesis, reference));
        Counts(counts.min_by_key(AlignmentCounts::errors).expect("every line has a reference"))
    }

    fn corpus_score(&self, Counts(counts): &Counts) -> f64 {
        match self {
            Self::Word | Self::Character => counts.error_rate(),
            Self::Match => counts.match_error_rate(),
            Self::InformationLost => counts.information_lost(),
            Self::InformationPreserved => counts.information_preserved(),
        }
    }
}
