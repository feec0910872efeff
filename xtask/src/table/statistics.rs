//! How several seeds are summed up.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How often the seeds are drawn again.
pub(crate) const N_RESAMPLES: usize = 10_000;

/// Seed of those draws, so that the same runs give the same page.
const RESAMPLING_SEED: u64 = 0;

/// The part of the resamples outside the interval, on each side.
const TAIL: f64 = 0.025;

/// The mean of the middle half: the lowest and the highest quarter, rounded down to whole values, are left out.
///
/// Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice", section 4.3.
///
/// # Panics
/// When there are no values.
pub(crate) fn interquartile_mean(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "the mean of no values");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n_cut = sorted.len() / 4;
    let middle = &sorted[n_cut..sorted.len() - n_cut];
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// The 95 % interval of a statistic of several groups of values: the ends of the middle 95 % of what it is when the values
/// of each group are drawn again, with replacement, among themselves.
///
/// Source: the stratified bootstrap of Agarwal et al. 2021, section 4.1; the percentile interval of Efron and Tibshirani
/// 1993, section 13.3.
///
/// # Panics
/// When a group is empty.
pub(crate) fn stratified_interval(strata: &[&[f64]], statistic: impl Fn(&[Vec<f64>]) -> f64) -> [f64; 2] {
    let mut rng = ChaCha8Rng::seed_from_u64(RESAMPLING_SEED);
    let mut draw =
        |values: &[f64]| -> Vec<f64> { values.iter().map(|_| values[rng.random_range(0..values.len())]).collect() };
    let mut found: Vec<f64> =
        (0..N_RESAMPLES).map(|_| statistic(&strata.iter().map(|values| draw(values)).collect::<Vec<_>>())).collect();
    found.sort_by(f64::total_cmp);
    [quantile(&found, TAIL), quantile(&found, 1.0 - TAIL)]
}

/// The quantile of sorted values, linear between neighbours: fraction 0 is the first value, 1 the last.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let place = fraction * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// What the seeds of a row say about a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) interquartile_mean: f64,
    pub(crate) interval: [f64; 2],
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Summary {
    /// The summary of one value a seed.
    ///
    /// # Panics
    /// When there are no values.
    pub(crate) fn of(values: &[f64]) -> Self {
        Self {
            interquartile_mean: interquartile_mean(values),
            interval: stratified_interval(&[values], |strata| interquartile_mean(&strata[0])),
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// The interquartile mean of `values` minus that of `others`, with its interval.
///
/// # Panics
/// When one of them is empty.
pub(crate) fn difference(values: &[f64], others: &[f64]) -> (f64, [f64; 2]) {
    let minus = |values: &[f64], others: &[f64]| interquartile_mean(values) - interquartile_mean(others);
    let interval = stratified_interval(&[values, others], |strata| minus(&strata[0], &strata[1]));
    (minus(values, others), interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_quarters_are_left_out() {
        for (values, expected) in [
            (&[5.0][..], 5.0),
            (&[9.0, 1.0, 2.0], 4.0),
            (&[100.0, 2.0, 4.0, -50.0], 3.0),
            (&[3.0, 1.0, 2.0, 4.0, 90.0], 3.0),
            (&[8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 4.5),
        ] {
            assert_eq!(interquartile_mean(values), expected, "{values:?}");
        }
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        for (fraction, expected) in [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (0.75, 4.0), (1.0, 6.0)] {
            assert_eq!(quantile(&[1.0, 2.0, 6.0], fraction), expected, "{fraction}");
        }
    }

    #[test]
    fn the_summary_of_a_table() {
        // Of five values the middle three count. All five draws below 1 have probability 1e-5, far outside the interval.
        let summary = Summary::of(&[1.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!((summary.interquartile_mean, summary.least, summary.most), (1.0, 0.0, 1.0));
        assert_eq!(summary.interval[1], 1.0);
        // The mean of the middle three is below 1/3 where at least four draws are 0, with probability
        // 5 * .2^4 * .8 + .2^5 = .0067, and at most 1/3 where three are, .058: the 2.5 % quantile is 1/3.
        assert!((summary.interval[0] - 1.0 / 3.0).abs() < 1e-12, "{summary:?}");
        let one = Summary::of(&[0.5]);
        assert_eq!(one, Summary { interquartile_mean: 0.5, interval: [0.5; 2], least: 0.5, most: 0.5 });
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]), Summary::of(&[3.0, 1.0, 2.0]), "one seed, one interval");
    }

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_the_normal_approximation_says() {
        // 0, 1, ..., 99: the standard error of the mean is sqrt((100^2 - 1) / 12 / 100).
        let values: Vec<_> = (0..100).map(f64::from).collect();
        let mean = |strata: &[Vec<f64>]| strata[0].iter().sum::<f64>() / 100.0;
        let found = stratified_interval(&[&values], mean);
        let half = 1.959_964 * (9_999.0_f64 / 1_200.0).sqrt();
        assert!((found[0] - (49.5 - half)).abs() < 0.03 * half, "{found:?}, half width {half}");
        assert!((found[1] - (49.5 + half)).abs() < 0.03 * half, "{found:?}, half width {half}");
    }

    #[test]
    fn groups_are_drawn_apart() {
        // Within a group all values are equal: drawn within groups the difference never changes, drawn from both it would.
        assert_eq!(difference(&[2.0; 5], &[0.5; 4]), (1.5, [1.5, 1.5]));
        // Two values each: the middle half of two is both. The means are 0, .5, .5, 1 on one side, 0 on the other.
        assert_eq!(difference(&[0.0, 1.0], &[0.0, 0.0]), (0.5, [0.0, 1.0]));
        assert_eq!(difference(&[0.0, 0.0], &[0.0, 1.0]), (-0.5, [-1.0, 0.0]));
    }
}
