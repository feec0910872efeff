//! How sure a figure of several runs is, by drawing the runs again.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::aggregate::{performance_profile, quantile_of_sorted, sorted};

/// The ends between which a statistic lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ConfidenceInterval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The stratified bootstrap: the runs of each task are drawn again, with replacement, among themselves.
///
/// The same scores and seed give the same intervals on every platform.
///
/// Source: Efron 1979; Agarwal et al. 2021, section 4.1, for the strata.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// How often the runs are drawn again. Default 10,000, with which the ends of a 95 % interval move by about one part
    /// in a hundred of its width; rliable draws 50,000 times, and 2,000 times for profiles.
    pub n_resamples: usize,
    /// The part of the resamples that an interval holds, 0 to 1. Default 0.95, as in rliable.
    pub confidence: f64,
    /// Seed of the draws. Default 0.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { n_resamples: 10_000, confidence: 0.95, seed: 0 }
    }
}

impl Bootstrap {
    /// The percentile interval of a statistic of `strata`.
    ///
    /// A stratum is what is drawn apart from others: the runs of one task. To compare two algorithms, let the strata of
    /// one follow those of the other and divide them again in `statistic`.
    ///
    /// # Panics
    /// When a stratum is empty, there are no resamples, or the confidence is not within 0 to 1.
    pub fn interval<S: AsRef<[f64]>>(
        &self,
        strata: &[S],
        statistic: impl FnMut(&[Vec<f64>]) -> f64,
    ) -> ConfidenceInterval {
        percentile_interval(&self.resamples(strata, statistic), self.confidence)
    }

    /// The statistic of each resample, in the order in which they are drawn.
    ///
    /// # Panics
    /// When a stratum is empty.
    pub fn resamples<S: AsRef<[f64]>, R>(&self, strata: &[S], statistic: impl FnMut(&[Vec<f64>]) -> R) -> Vec<R> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        stratified_resamples(strata, self.n_resamples, |n_runs| rng.random_range(0..n_runs), statistic)
    }

    /// The percentile intervals of the performance profile at each threshold, all from the same resamples.
    ///
    /// # Panics
    /// As [`Bootstrap::interval`].
    pub fn performance_profile<S: AsRef<[f64]>>(&self, scores: &[S], thresholds: &[f64]) -> Vec<ConfidenceInterval> {
        let profiles = self.resamples(scores, |scores| performance_profile(scores, thresholds));
        let at = |place: usize| profiles.iter().map(|profile| profile[place]).collect::<Vec<_>>();
        (0..thresholds.len()).map(|place| percentile_interval(&at(place), self.confidence)).collect()
    }
}

/// The statistic of each of `n_resamples` resamples, whose draws come from `draw`: a number below the one it is given.
///
/// For each resample the strata are gone through in order, and for each of their runs one run is drawn.
///
/// # Panics
/// When `draw` gives a number that is too large, as it must for an empty stratum.
pub fn stratified_resamples<S: AsRef<[f64]>, R>(
    strata: &[S],
    n_resamples: usize,
    mut draw: impl FnMut(usize) -> usize,
    mut statistic: impl FnMut(&[Vec<f64>]) -> R,
) -> Vec<R> {
    // One set of buffers serves all resamples.
    let mut drawn: Vec<Vec<f64>> = strata.iter().map(|runs| runs.as_ref().to_vec()).collect();
    let mut resample = || {
        for (drawn, runs) in drawn.iter_mut().zip(strata) {
            let runs = runs.as_ref();
            drawn.fill_with(|| runs[draw(runs.len())]);
        }
        statistic(&drawn)
    };
    (0..n_resamples).map(|_| resample()).collect()
}

/// The interval that holds the middle `confidence` of the statistics of resamples.
///
/// Source: Efron & Tibshirani 1993, section 13.3.
///
/// # Panics
/// When there are no resamples, or the confidence is not within 0 to 1.
pub fn percentile_interval(resamples: &[f64], confidence: f64) -> ConfidenceInterval {
    let sorted = sorted(resamples);
    let tail = (1.0 - confidence) / 2.0;
    ConfidenceInterval { low: quantile_of_sorted(&sorted, tail), high: quantile_of_sorted(&sorted, 1.0 - tail) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::statistics::{aggregate_interquartile_mean, mean, probability_of_improvement};

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_the_normal_approximation_says() {
        // 0, 1, ..., 99: the standard error of the mean is sqrt((100^2 - 1) / 12 / 100).
        let values: Vec<_> = (0..100).map(f64::from).collect();
        let found = Bootstrap::default().interval(&[&values], |strata| mean(&strata[0]));
        let half = 1.959_964 * (9_999.0_f64 / 1_200.0).sqrt();
        assert!((found.low - (49.5 - half)).abs() < 0.03 * half, "{found:?}, half width {half}");
        assert!((found.high - (49.5 + half)).abs() < 0.03 * half, "{found:?}, half width {half}");
        assert_eq!(found, Bootstrap::default().interval(&[&values], |strata| mean(&strata[0])), "one seed");
        let other = Bootstrap { seed: 1, ..Bootstrap::default() };
        assert_ne!(found, other.interval(&[&values], |strata| mean(&strata[0])), "another seed");
    }

    #[test]
    fn strata_are_drawn_apart() {
        // Within a task all runs are equal: drawn within tasks nothing ever changes, drawn from both it would.
        let difference = |strata: &[Vec<f64>]| mean(&strata[0]) - mean(&strata[1]);
        let found = Bootstrap::default().interval(&[vec![2.0; 5], vec![0.5; 4]], difference);
        assert_eq!(found, ConfidenceInterval { low: 1.5, high: 1.5 });
        let improvement = |strata: &[Vec<f64>]| probability_of_improvement(&strata[..1], &strata[1..]);
        let found = Bootstrap::default().interval(&[[0.0, 1.0], [0.0, 0.0]], improvement);
        assert_eq!(found, ConfidenceInterval { low: 0.5, high: 1.0 });
    }

    #[test]
    fn draws_are_taken_run_by_run() {
        let mut draws = [1, 1, 0, 0, 1, 2].into_iter();
        let draw = |_| draws.next().unwrap();
        let found = stratified_resamples(&[&[1.0, 2.0][..], &[7.0]], 1, draw, <[_]>::to_vec);
        assert_eq!(found, [[vec![2.0, 2.0], vec![7.0]]]);
    }

    #[test]
    fn a_profile_is_sure_where_all_runs_are_on_one_side() {
        let found = Bootstrap::default().performance_profile(&[[0.0, 1.0], [0.0, 1.0]], &[-1.0, 0.5, 1.0]);
        let interval = |low, high| ConfidenceInterval { low, high };
        assert_eq!(found, [interval(1.0, 1.0), interval(0.0, 1.0), interval(0.0, 0.0)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn the_interval_lies_within_the_runs(
            scores in prop::collection::vec(prop::collection::vec(-1e3..1e3, 1..8), 1..5)
        ) {
            let bootstrap = Bootstrap { n_resamples: 200, ..Bootstrap::default() };
            let found = bootstrap.interval(&scores, aggregate_interquartile_mean);
            let runs = sorted(&scores.concat());
            prop_assert!(runs[0] - 1e-9 <= found.low && found.low <= found.high, "{:?}", found);
            prop_assert!(found.high <= runs[runs.len() - 1] + 1e-9, "{:?}", found);
        }
    }
}
