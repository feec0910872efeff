//! How steady learning is: over the seeds at one time, and over time within one run.

use serde::Serialize;

use super::aggregate::{mean, quantile_of_sorted, sorted};

/// How far apart the runs of one task are that differ in their seed only.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SeedSpread {
    /// The mean return.
    pub mean: f64,
    /// The standard deviation of the returns; 0 for a single seed.
    pub standard_deviation: f64,
    /// The distance between the quarters of the returns.
    pub interquartile_range: f64,
    /// The least return.
    pub worst: f64,
    /// Which seed has it, from 0; the first of several.
    pub worst_seed: usize,
}

/// The spread of one return for each seed, at the end of training or at one evaluation of it.
///
/// # Panics
/// When there are no returns.
pub fn seed_spread(returns: &[f64]) -> SeedSpread {
    let worst_seed = (0..returns.len()).min_by(|one, other| returns[*one].total_cmp(&returns[*other]));
    let worst_seed = worst_seed.expect("there are returns");
    SeedSpread {
        mean: mean(returns),
        standard_deviation: standard_deviation(returns),
        interquartile_range: interquartile_range(returns),
        worst: returns[worst_seed],
        worst_seed,
    }
}

/// The standard deviation of a sample, with one less than its size as divisor; 0 for a single value.
///
/// # Panics
/// When there are no values.
pub fn standard_deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1).max(1) as f64).sqrt()
}

/// The distance between the upper and the lower quarter.
///
/// Source: Chan et al. 2020, "Measuring the reliability of reinforcement learning algorithms", section 3, as dispersion.
///
/// # Panics
/// When there are no values.
pub fn interquartile_range(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    quantile_of_sorted(&sorted, 0.75) - quantile_of_sorted(&sorted, 0.25)
}

/// The mean of the worst share of values: the conditional value at risk.
///
/// ```text
/// CVaR = 1 / (alpha n) (sum of the k least + (alpha n - k) times the next),  k = floor(alpha n)
/// ```
///
/// With `alpha` 1 it is the mean, and with less than `1 / n` the least value.
///
/// Source: Rockafellar & Uryasev 2002, proposition 8, for returns, of which the low ones are bad, all equally likely.
///
/// # Panics
/// When there are no values, or `alpha` is not above 0 and at most 1.
pub fn conditional_value_at_risk(values: &[f64], alpha: f64) -> f64 {
    assert!(!values.is_empty(), "the risk of no values");
    assert!(alpha > 0.0 && alpha <= 1.0, "alpha is {alpha}; it must be above 0 and at most 1");
    let n_worst = alpha * values.len() as f64;
    let weighted = |(place, value): (usize, f64)| value * (n_worst - place as f64).clamp(0.0, 1.0);
    sorted(values).into_iter().enumerate().map(weighted).sum::<f64>() / n_worst
}

/// The deepest fall of a return curve below the best return before it; 0 for a curve that never falls.
///
/// Source: Chan et al. 2020, section 3, as the risk across time.
pub fn maximum_drawdown(returns: &[f64]) -> f64 {
    let mut best = f64::NEG_INFINITY;
    returns.iter().fold(0.0, |deepest, value| {
        best = value.max(best);
        (best - value).max(deepest)
    })
}

/// Where a return curve first comes to a threshold or above; `None` where it never does.
///
/// `curve` holds pairs of a place, in updates or seconds, and the return there, by ascending place. Between two
/// evaluations nothing is known, so the place is that of the evaluation itself.
pub fn first_to_reach(curve: &[(f64, f64)], threshold: f64) -> Option<f64> {
    curve.iter().find(|(_, value)| *value >= threshold).map(|(place, _)| *place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_spread_of_a_table() {
        // Deviations 3, 1, -1, -3 and quarters 2.5 and 5.5.
        let expected = SeedSpread {
            mean: 4.0,
            standard_deviation: (20.0_f64 / 3.0).sqrt(),
            interquartile_range: 3.0,
            worst: 1.0,
            worst_seed: 3,
        };
        assert_eq!(seed_spread(&[7.0, 5.0, 3.0, 1.0]), expected);
        let one =
            SeedSpread { mean: 2.0, standard_deviation: 0.0, interquartile_range: 0.0, worst: 2.0, worst_seed: 0 };
        assert_eq!(seed_spread(&[2.0]), one);
        assert_eq!(seed_spread(&[2.0, 1.0, 1.0]).worst_seed, 1);
    }

    #[test]
    fn the_worst_share_by_hand() {
        let values = [4.0, 1.0, 3.0, 2.0];
        for (alpha, expected) in [(0.1, 1.0), (0.25, 1.0), (0.375, 2.0 / 1.5), (0.5, 1.5), (0.75, 2.0), (1.0, 2.5)] {
            let found = conditional_value_at_risk(&values, alpha);
            assert!((found - expected).abs() < 1e-12, "{alpha}: {found}, expected {expected}");
        }
    }

    #[test]
    fn falls_are_measured_from_the_best_before() {
        for (returns, expected) in [
            (&[][..], 0.0),
            (&[3.0], 0.0),
            (&[1.0, 2.0, 2.0, 5.0], 0.0),
            (&[1.0, 5.0, 3.0, 4.0, 0.5, 9.0, 8.0], 4.5),
            (&[-1.0, -4.0], 3.0),
        ] {
            assert_eq!(maximum_drawdown(returns), expected, "{returns:?}");
        }
    }

    #[test]
    fn thresholds_are_reached_at_an_evaluation() {
        let curve = [(100.0, 0.1), (200.0, 0.6), (300.0, 0.4), (400.0, 0.9)];
        for (threshold, expected) in [(0.0, Some(100.0)), (0.5, Some(200.0)), (0.6, Some(200.0)), (0.7, Some(400.0))] {
            assert_eq!(first_to_reach(&curve, threshold), expected, "{threshold}");
        }
        assert_eq!(first_to_reach(&curve, 1.0), None);
    }

    proptest! {
        #[test]
        fn risk_grows_with_the_share(values in prop::collection::vec(-1e3..1e3, 1..20), alpha in 0.01..1.0_f64) {
            let (risk, whole) = (conditional_value_at_risk(&values, alpha), conditional_value_at_risk(&values, 1.0));
            prop_assert!(sorted(&values)[0] - 1e-9 <= risk && risk <= whole + 1e-9);
            prop_assert!((whole - mean(&values)).abs() < 1e-9);
        }

        /// No fall is deeper than the whole range, and a constant added changes nothing.
        #[test]
        fn falls_do_not_depend_on_the_level(returns in prop::collection::vec(-100_i32..100, 1..30)) {
            let curve = |level: i32| returns.iter().map(|value| f64::from(value + level)).collect::<Vec<_>>();
            let found = maximum_drawdown(&curve(0));
            prop_assert_eq!(found, maximum_drawdown(&curve(7)));
            let range = returns.iter().max().unwrap() - returns.iter().min().unwrap();
            prop_assert!(found <= f64::from(range));
        }
    }
}
