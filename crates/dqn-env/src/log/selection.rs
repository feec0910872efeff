//! Which part of a log is worth learning from.

/// The return that an episode must reach to be among the best `fraction` of those whose returns are given.
///
/// ```text
/// kept       the episodes whose return is the threshold or more
/// threshold  the m-th largest return, m = fraction * n rounded, at least 1
/// ```
///
/// Ties are kept: where several episodes have the threshold's return, all of them are among the best, and more than the
/// fraction may be kept. A fraction of 1 keeps everything. `None` without returns.
///
/// # Panics
/// When `fraction` is not above 0 and at most 1.
pub fn best_fraction_threshold(returns: &[f64], fraction: f64) -> Option<f64> {
    assert!(fraction > 0.0 && fraction <= 1.0, "a fraction of {fraction}");
    let n_best = ((fraction * returns.len() as f64).round() as usize).max(1);
    let mut returns = returns.to_vec();
    let place = returns.len().checked_sub(n_best)?;
    Some(*returns.select_nth_unstable_by(place, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_best_are_those_at_the_threshold_and_above() {
        let returns = [3.0, -1.0, 5.0, 3.0, 0.0, 3.0, 4.0, -2.0, 1.0, 2.0];
        for (fraction, threshold, n_kept) in
            [(0.01, 5.0, 1), (0.1, 5.0, 1), (0.2, 4.0, 2), (0.3, 3.0, 5), (0.6, 2.0, 6), (1.0, -2.0, 10)]
        {
            assert_eq!(best_fraction_threshold(&returns, fraction), Some(threshold), "{fraction}");
            assert_eq!(returns.iter().filter(|&&value| value >= threshold).count(), n_kept, "{fraction}");
        }
        assert_eq!(best_fraction_threshold(&[], 0.5), None);
        // 0.07 * 100 is a little more than 7 in double precision, and still 7 episodes.
        let hundred: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(best_fraction_threshold(&hundred, 0.07), Some(93.0));
    }

    proptest! {
        #[test]
        fn at_least_the_fraction_is_kept(
            returns in proptest::collection::vec(-5_i32..5, 1..60),
            fraction in 0.01_f64..=1.0,
        ) {
            let returns: Vec<f64> = returns.into_iter().map(f64::from).collect();
            let threshold = best_fraction_threshold(&returns, fraction).unwrap();
            let kept = |least: f64| returns.iter().filter(|&&value| value >= least).count();
            let n_best = (fraction * returns.len() as f64).round().max(1.0) as usize;
            prop_assert!(kept(threshold) >= n_best && kept(threshold + 0.5) < n_best);
        }
    }
}
