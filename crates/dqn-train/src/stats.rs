//! How sure a mean is.

use dqn_score::statistics::{
    Bootstrap, ConfidenceInterval, aggregate_interquartile_mean, percentile_interval, probability_of_improvement,
};
pub use dqn_score::statistics::{interquartile_mean, mean};
use serde::{Deserialize, Serialize};

/// A mean and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean of the sample.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// A comparison of two samples that belong together pair by pair.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// The mean of first minus second, with its interval.
    pub difference: Interval,
    /// Which part of the resamples has a mean difference of at most 0: how easily the first would not be above the
    /// second.
    pub not_above_fraction: f64,
}

/// The mean with its bootstrap percentile interval.
///
/// ```text
/// m_b = mean of n values drawn with replacement, b = 1..10000;  interval = [2.5 %, 97.5 %] quantiles of m_b
/// ```
///
/// Source: Efron 1979, "Bootstrap methods: another look at the jackknife"; the percentile interval is from Efron and
/// Tibshirani 1993, section 13.3.
///
/// The same values and seed give the same interval on every platform.
///
/// # Panics
/// When there are no values.
pub fn bootstrap_mean(values: &[f64], seed: u64) -> Interval {
    interval(values, &resampled_means(values, seed))
}

/// The 95 % bootstrap interval of the interquartile mean.
///
/// Source: Agarwal et al. 2021, sections 4.1 and 4.3.
///
/// # Panics
/// When there are no values.
pub fn interquartile_interval(values: &[f64], seed: u64) -> ConfidenceInterval {
    Bootstrap { seed, ..Bootstrap::default() }.interval(&[values], aggregate_interquartile_mean)
}

/// How likely a run of the first sample is better than one of the second, with its 95 % bootstrap interval: both samples
/// are drawn again, each among itself.
///
/// Source: Agarwal et al. 2021, section 4.3.
///
/// # Panics
/// When one of them has no values.
pub fn improvement(first: &[f64], second: &[f64], seed: u64) -> Interval {
    let of = |strata: &[Vec<f64>]| probability_of_improvement(&strata[..1], &strata[1..]);
    let ConfidenceInterval { low, high } = Bootstrap { seed, ..Bootstrap::default() }.interval(&[first, second], of);
    Interval { mean: probability_of_improvement(&[first], &[second]), low, high }
}

/// The mean of `first[i] - second[i]` with its bootstrap percentile interval, and how often it is not above 0.
///
/// Whole pairs are drawn, as their halves are not independent.
///
/// Source: Efron 1979, as [`bootstrap_mean`].
///
/// # Panics
/// When the samples differ in length, or there are no values.
pub fn paired_difference(first: &[f64], second: &[f64], seed: u64) -> PairedDifference {
    assert_eq!(first.len(), second.len(), "samples that are not paired");
    let differences: Vec<_> = first.iter().zip(second).map(|(first, second)| first - second).collect();
    let means = resampled_means(&differences, seed);
    let n_not_above = means.iter().filter(|&&mean| mean <= 0.0).count();
    PairedDifference {
        difference: interval(&differences, &means),
        not_above_fraction: n_not_above as f64 / means.len() as f64,
    }
}

/// Spearman's rank correlation, equal values with their mean rank; 0 where all values of one side are equal.
///
/// # Panics
/// When the samples are of different sizes.
pub fn rank_correlation(first: &[f64], second: &[f64]) -> f64 {
    assert_eq!(first.len(), second.len(), "samples that are not paired");
    let (first, second) = (ranks(first), ranks(second));
    // Both have this mean.
    let middle = (first.len() as f64 + 1.0) / 2.0;
    let covariance = |one: &[f64], other: &[f64]| -> f64 {
        one.iter().zip(other).map(|(one, other)| (one - middle) * (other - middle)).sum()
    };
    let scale = (covariance(&first, &first) * covariance(&second, &second)).sqrt();
    if scale > 0.0 { covariance(&first, &second) / scale } else { 0.0 }
}

/// The rank of each value from 1, the mean rank where several are equal.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&one, &other| values[one].total_cmp(&values[other]));
    let mut ranks = vec![0.0; values.len()];
    let mut begin = 0;
    for equal in order.chunk_by(|&one, &other| values[one] == values[other]) {
        let rank = begin as f64 + (equal.len() as f64 + 1.0) / 2.0;
        equal.iter().for_each(|&index| ranks[index] = rank);
        begin += equal.len();
    }
    ranks
}

/// The means of samples drawn with replacement.
fn resampled_means(values: &[f64], seed: u64) -> Vec<f64> {
    assert!(!values.is_empty(), "resamples of no values");
    Bootstrap { seed, ..Bootstrap::default() }.resamples(&[values], |drawn| mean(&drawn[0]))
}

fn interval(values: &[f64], means: &[f64]) -> Interval {
    let ends = percentile_interval(means, Bootstrap::default().confidence);
    Interval { mean: mean(values), low: ends.low, high: ends.high }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_interval_is_as_wide_as_the_normal_approximation_says() {
        // 0, 1, ..., 99: the standard error of the mean is sqrt((100^2 - 1) / 12 / 100).
        let values: Vec<_> = (0..100).map(f64::from).collect();
        let found = bootstrap_mean(&values, 7);
        let half = 1.959_964 * (9_999.0_f64 / 1_200.0).sqrt();
        assert_eq!(found.mean, 49.5);
        assert!((found.low - (49.5 - half)).abs() < 0.03 * half, "{found:?}, half width {half}");
        assert!((found.high - (49.5 + half)).abs() < 0.03 * half, "{found:?}, half width {half}");
        assert_eq!(found, bootstrap_mean(&values, 7), "one seed, one interval");
    }

    #[test]
    fn two_values_have_the_four_resamples_of_a_table() {
        // The means are 0, 1/2, 1/2, 1 with probability 1/4 each, so that of the differences a quarter is not above 0.
        let found = paired_difference(&[3.0, 5.0], &[3.0, 4.0], 7);
        assert_eq!(found.difference, Interval { mean: 0.5, low: 0.0, high: 1.0 });
        assert!((found.not_above_fraction - 0.25).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn pairs_are_drawn_whole() {
        // The samples vary widely, their difference not at all.
        let second: Vec<_> = (0..50).map(|index| f64::from(index) * 8.0).collect();
        let first: Vec<_> = second.iter().map(|value| value + 0.25).collect();
        let found = paired_difference(&first, &second, 7);
        assert_eq!(found.difference, Interval { mean: 0.25, low: 0.25, high: 0.25 });
        assert_eq!(found.not_above_fraction, 0.0);
        let swapped = paired_difference(&second, &first, 7);
        assert_eq!((swapped.difference.mean, swapped.not_above_fraction), (-0.25, 1.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn the_interval_lies_within_the_values(
            values in proptest::collection::vec(-1e3..1e3, 1..30)
        ) {
            let found = bootstrap_mean(&values, 7);
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(least - 1e-9 <= found.low && found.low <= found.high && found.high <= most + 1e-9, "{found:?}");
        }
    }

    #[test]
    fn rank_correlations_by_hand() {
        // Ranks 1, 2, 3, 4 against 2, 1, 4, 3: 1 - 6 (1 + 1 + 1 + 1) / (4 (16 - 1)) = .6.
        assert!((rank_correlation(&[10.0, 20.0, 30.0, 40.0], &[2.0, 1.0, 9.0, 5.0]) - 0.6).abs() < 1e-12);
        assert!((rank_correlation(&[1.0, 2.0, 3.0], &[5.0, 4.0, -1.0]) + 1.0).abs() < 1e-12);
        // Ranks 1.5, 1.5, 3 against 1, 2, 3: 1.5 / sqrt(1.5 * 2).
        assert!((rank_correlation(&[1.0, 1.0, 2.0], &[1.0, 2.0, 3.0]) - 0.75_f64.sqrt()).abs() < 1e-12);
        assert_eq!(rank_correlation(&[1.0, 1.0], &[1.0, 2.0]), 0.0);
    }
}
