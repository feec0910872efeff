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

/// A metric of several systems of one kind, such as those that were trained from several seeds: the mean of their scores.
///
/// Its segments are those of all systems, so that a resample draws the same lines for each of them: what is tested by
/// [`paired_bootstrap`](crate::paired_bootstrap) is then whether the kind is better, on other lines, with these seeds.
pub struct MeanOverSystems<'a, M>(pub &'a M);

/// The statistics of a segment, or of several after summation, for each system.
#[derive(Clone, Debug)]
pub struct OfSystems<S>(Vec<S>);

impl<S: for<'a> AddAssign<&'a S>> AddAssign<&Self> for OfSystems<S> {
    fn add_assign(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own += other);
    }
}

impl<M: CorpusMetric> MeanOverSystems<'_, M> {
    /// The segments of all systems together; `hypotheses` are those of each.
    ///
    /// # Errors
    /// [`ScoreError::NoHypotheses`], [`ScoreError::CorpusLength`] and [`ScoreError::NoReferences`].
    pub fn segments_of(
        &self,
        hypotheses: &[Vec<&str>],
        references: &[Vec<&str>],
    ) -> Result<Vec<OfSystems<M::Statistics>>, ScoreError> {
        let systems: Vec<Vec<M::Statistics>> =
            hypotheses.iter().map(|lines| self.0.segments(lines, references)).collect::<Result<_, _>>()?;
        if systems.is_empty() {
            return Err(ScoreError::NoHypotheses);
        }
        let of_line = |line: usize| OfSystems(systems.iter().map(|segments| segments[line].clone()).collect());
        Ok((0..references.len()).map(of_line).collect())
    }

    /// The score of each system.
    pub fn scores(&self, OfSystems(systems): &OfSystems<M::Statistics>) -> Vec<f64> {
        systems.iter().map(|statistics| self.0.corpus_score(statistics)).collect()
    }
}

impl<M: CorpusMetric> CorpusMetric for MeanOverSystems<'_, M> {
    type Statistics = OfSystems<M::Statistics>;

    fn name(&self) -> String {
        self.0.name()
    }

    /// That of a single system.
    fn segment(&self, hypothesis: &str, references: &[&str]) -> Self::Statistics {
        OfSystems(vec![self.0.segment(hypothesis, references)])
    }

    fn corpus_score(&self, statistics: &Self::Statistics) -> f64 {
        let scores = self.scores(statistics);
        scores.iter().sum::<f64>() / scores.len() as f64
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
