//! What BLEU, chrF and TER have in common: a corpus score that is a function of summed segment statistics.

use std::ops::AddAssign;

use crate::ScoreError;

/// A metric whose corpus score is a function of statistics summed over the segments.
///
/// The statistics of a segment are computed once; any choice of segments, such as a bootstrap resample, then costs a
/// sum. See [`paired_bootstrap`](crate::paired_bootstrap) and [`paired_randomization`](crate::paired_randomization).
pub trait CorpusMetric {
    /// What is known of a segment, or of several after summation.
    type Statistics: Clone + for<'a> AddAssign<&'a Self::Statistics>;

    /// The name as sacreBLEU prints it.
    fn name(&self) -> String;

    /// The statistics of one hypothesis.
    ///
    /// # Panics
    /// When `references` is empty.
    fn segment(&self, hypothesis: &str, references: &[&str]) -> Self::Statistics;

    /// The corpus score of summed statistics.
    fn corpus_score(&self, statistics: &Self::Statistics) -> f64;

    /// The statistics of all hypotheses, each with its own references, whose number may vary.
    ///
    /// # Errors
    /// [`ScoreError::NoHypotheses`], [`ScoreError::CorpusLength`] and [`ScoreError::NoReferences`].
    fn segments(&self, hypotheses: &[&str], references: &[Vec<&str>]) -> Result<Vec<Self::Statistics>, ScoreError> {
        if hypotheses.is_empty() {
            return Err(ScoreError::NoHypotheses);
        }
        if hypotheses.len() != references.len() {
            return Err(ScoreError::CorpusLength { hypotheses: hypotheses.len(), references: references.len() });
        }
        if let Some(hypothesis) = references.iter().position(Vec::is_empty) {
            return Err(ScoreError::NoReferences { hypothesis });
        }
        Ok(hypotheses.iter().zip(references).map(|(hypothesis, lines)| self.segment(hypothesis, lines)).collect())
    }
}

/// The sum of the statistics of some segments.
///
/// # Panics
/// When there is no segment.
pub(crate) fn sum<'a, S: Clone + AddAssign<&'a S> + 'a>(segments: impl IntoIterator<Item = &'a S>) -> S {
    let mut segments = segments.into_iter();
    let mut total = segments.next().expect("there is at least one segment").clone();
    for segment in segments {
        total += segment;
    }
    total
}

/// The number of references as signatures tell it; it is `None` where it varies.
pub(crate) fn nrefs(n_references: Option<usize>) -> String {
    n_references.map_or("var".to_owned(), |n| n.to_string())
}

/// A setting as signatures tell it.
pub(crate) fn yes_no(setting: bool) -> &'static str {
    if setting { "yes" } else { "no" }
}
