//! Whether two systems differ by more than chance, and how sure the score of one is: as sacreBLEU 2.6.0 tells.
//!
//! Every test takes the random draws as an argument, so that several systems can be compared with one baseline over the
//! same draws, and a test can be repeated. The figures are those of sacreBLEU for equal draws, but that sacreBLEU
//! resamples in single precision and this in double precision.

use rand::{Rng, RngExt};
use serde::Serialize;

use crate::ScoreError;
use crate::metric::{CorpusMetric, sum};

/// Where a score would lie had other segments of the same kind been drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ConfidenceInterval {
    /// The mean score over the resamples.
    pub mean: f64,
    /// Half the width of the interval that holds 95 of 100 resamples.
    pub half_width: f64,
}

/// What paired bootstrap resampling says of a system and a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairedBootstrap {
    /// The score of the baseline.
    pub baseline: f64,
    /// The score of the system.
    pub system: f64,
    /// The interval around the score of the baseline.
    pub baseline_interval: ConfidenceInterval,
    /// The interval around the score of the system.
    pub system_interval: ConfidenceInterval,
    /// How likely so large a difference, in either direction, would be between equally good systems, above 0 and up to 1.
    pub p_value: f64,
}

/// What paired approximate randomization says of a system and a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairedRandomization {
    /// The score of the baseline.
    pub baseline: f64,
    /// The score of the system.
    pub system: f64,
    /// How likely so large a difference, in either direction, would be between equally good systems, above 0 and up to 1.
    pub p_value: f64,
}

/// `n_resamples` times as many segments, drawn with replacement, as there are.
pub fn bootstrap_resamples(
    n_segments: usize,
    n_resamples: usize,
    rng: &mut impl Rng,
) -> impl Iterator<Item = Vec<usize>> {
    (0..n_resamples).map(move |_| (0..n_segments).map(|_| rng.random_range(0..n_segments)).collect())
}

/// `n_trials` times for each segment whether two systems swap what they answered, with probability one half.
pub fn random_swaps(n_segments: usize, n_trials: usize, rng: &mut impl Rng) -> impl Iterator<Item = Vec<bool>> {
    (0..n_trials).map(move |_| (0..n_segments).map(|_| rng.random()).collect())
}

/// The 95 % interval of the corpus score of one system, from [`bootstrap_resamples`].
///
/// Source: Koehn 2004, section 3; sacreBLEU for the bounds, which are the resamples that one in forty lie outside of.
///
/// # Errors
/// [`ScoreError::NoHypotheses`], [`ScoreError::NoResamples`], [`ScoreError::ResampleLength`] and
/// [`ScoreError::ResampleSegment`].
pub fn bootstrap_interval<M: CorpusMetric>(
    metric: &M,
    segments: &[M::Statistics],
    resamples: impl IntoIterator<Item = Vec<usize>>,
) -> Result<ConfidenceInterval, ScoreError> {
    check_segments(segments, segments)?;
    let scores: Result<Vec<f64>, ScoreError> = resamples
        .into_iter()
        .enumerate()
        .map(|(index, resample)| {
            check_resample(index, &resample, segments.len())?;
            Ok(score(metric, resample.iter().map(|segment| &segments[*segment])))
        })
        .collect();
    interval(scores?)
}

/// Paired bootstrap resampling: how often the resampled difference strays from its mean by more than the real one.
///
/// ```text
/// p = (1 + |{b : |d_b| - mean |d| > |d|}|) / (1 + B)
/// ```
///
/// `d` is the difference of the two scores, `d_b` that over resample `b` of `B`, from [`bootstrap_resamples`]. A system
/// against itself never strays, and gets the smallest p-value there is.
///
/// Source: Koehn 2004, section 4, in the two-sided form of sacreBLEU's `--paired-bs`; sacreBLEU draws 1000 resamples.
///
/// # Errors
/// [`ScoreError::SystemLength`], [`ScoreError::NoHypotheses`], [`ScoreError::NoResamples`],
/// [`ScoreError::ResampleLength`] and [`ScoreError::ResampleSegment`].
pub fn paired_bootstrap<M: CorpusMetric>(
    metric: &M,
    baseline: &[M::Statistics],
    system: &[M::Statistics],
    resamples: impl IntoIterator<Item = Vec<usize>>,
) -> Result<PairedBootstrap, ScoreError> {
    check_segments(baseline, system)?;
    let (mut baseline_scores, mut system_scores) = (Vec::new(), Vec::new());
    for (index, resample) in resamples.into_iter().enumerate() {
        check_resample(index, &resample, system.len())?;
        baseline_scores.push(score(metric, resample.iter().map(|segment| &baseline[*segment])));
        system_scores.push(score(metric, resample.iter().map(|segment| &system[*segment])));
    }
    let differences: Vec<f64> = baseline_scores.iter().zip(&system_scores).map(|(b, s)| (s - b).abs()).collect();
    let (baseline_interval, system_interval) = (interval(baseline_scores)?, interval(system_scores)?);
    let mean = mean(&differences);
    let (baseline, system) = (score(metric, baseline), score(metric, system));
    let p_value = p_value(differences.iter().map(|difference| difference - mean), (baseline - system).abs());
    Ok(PairedBootstrap { baseline, system, baseline_interval, system_interval, p_value })
}

/// Paired approximate randomization: how often two systems made by swapping answers differ more than the real ones.
///
/// ```text
/// p = (1 + |{t : |d_t| > |d|}|) / (1 + T)
/// ```
///
/// `d` is the difference of the two scores, `d_t` that after the swaps of trial `t` of `T`, from [`random_swaps`]. A
/// system against itself never differs, and gets the smallest p-value there is.
///
/// Source: Riezler & Maxwell 2005, figure 1, with the strict inequality of sacreBLEU's `--paired-ar`; sacreBLEU makes
/// 10000 trials.
///
/// # Errors
/// [`ScoreError::SystemLength`], [`ScoreError::NoHypotheses`], [`ScoreError::NoResamples`] and
/// [`ScoreError::ResampleLength`].
pub fn paired_randomization<M: CorpusMetric>(
    metric: &M,
    baseline: &[M::Statistics],
    system: &[M::Statistics],
    swaps: impl IntoIterator<Item = Vec<bool>>,
) -> Result<PairedRandomization, ScoreError> {
    check_segments(baseline, system)?;
    let pick = |swaps: &[bool], swapped: bool| {
        let pairs = baseline.iter().zip(system).zip(swaps);
        score(metric, pairs.map(|((baseline, system), swap)| if *swap == swapped { baseline } else { system }))
    };
    let mut differences = Vec::new();
    for (index, swaps) in swaps.into_iter().enumerate() {
        check_length(index, swaps.len(), system.len())?;
        differences.push((pick(&swaps, true) - pick(&swaps, false)).abs());
    }
    if differences.is_empty() {
        return Err(ScoreError::NoResamples);
    }
    let (baseline, system) = (score(metric, baseline), score(metric, system));
    let p_value = p_value(differences.into_iter(), (baseline - system).abs());
    Ok(PairedRandomization { baseline, system, p_value })
}

fn check_segments<S>(baseline: &[S], system: &[S]) -> Result<(), ScoreError> {
    if baseline.len() != system.len() {
        return Err(ScoreError::SystemLength { baseline: baseline.len(), system: system.len() });
    }
    if system.is_empty() { Err(ScoreError::NoHypotheses) } else { Ok(()) }
}

fn check_length(resample: usize, found: usize, n_segments: usize) -> Result<(), ScoreError> {
    if found == n_segments { Ok(()) } else { Err(ScoreError::ResampleLength { resample, found, n_segments }) }
}

fn check_resample(index: usize, resample: &[usize], n_segments: usize) -> Result<(), ScoreError> {
    check_length(index, resample.len(), n_segments)?;
    match resample.iter().find(|segment| **segment >= n_segments) {
        Some(&found) => Err(ScoreError::ResampleSegment { resample: index, found, n_segments }),
        None => Ok(()),
    }
}

fn score<'a, M: CorpusMetric>(metric: &M, segments: impl IntoIterator<Item = &'a M::Statistics>) -> f64
where
    M::Statistics: 'a,
{
    metric.corpus_score(&sum(segments))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn interval(mut scores: Vec<f64>) -> Result<ConfidenceInterval, ScoreError> {
    if scores.is_empty() {
        return Err(ScoreError::NoResamples);
    }
    scores.sort_by(f64::total_cmp);
    let n_below = scores.len() / 40;
    let half_width = 0.5 * (scores[scores.len() - 1 - n_below] - scores[n_below]);
    Ok(ConfidenceInterval { mean: mean(&scores), half_width })
}

/// The share of values above the observed one, which counts as one of them: so it is never 0.
fn p_value(values: impl ExactSizeIterator<Item = f64>, observed: f64) -> f64 {
    let n = values.len();
    let n_above = values.filter(|value| *value > observed).count();
    (n_above + 1) as f64 / (n + 1) as f64
}
