//! One figure for all runs of all tasks.

/// The mean of values.
///
/// # Panics
/// When there are none.
pub fn mean(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "the mean of no values");
    values.iter().sum::<f64>() / values.len() as f64
}

/// The quantile of values, linear between neighbours: fraction 0 is the least, 1 the greatest.
///
/// Source: Hyndman & Fan 1996, definition 7, which is NumPy's.
///
/// # Panics
/// When there are no values, or the fraction is not within 0 to 1.
pub fn quantile(values: &[f64], fraction: f64) -> f64 {
    quantile_of_sorted(&sorted(values), fraction)
}

pub(super) fn quantile_of_sorted(sorted: &[f64], fraction: f64) -> f64 {
    assert!(!sorted.is_empty(), "a quantile of no values");
    assert!((0.0..=1.0).contains(&fraction), "the fraction of a quantile is {fraction}; it must be 0 to 1");
    let place = fraction * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The mean of the middle half: the lowest and the highest quarter, rounded down to whole values, are left out.
///
/// Source: Agarwal et al. 2021, section 4.3; the rounding is that of SciPy's `trim_mean`.
///
/// # Panics
/// When there are no values.
pub fn interquartile_mean(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let n_cut = sorted.len() / 4;
    mean(&sorted[n_cut..sorted.len() - n_cut])
}

/// The mean of the tasks' means: rliable's `aggregate_mean`.
///
/// # Panics
/// When there are no tasks, or one has no runs.
pub fn aggregate_mean<S: AsRef<[f64]>>(scores: &[S]) -> f64 {
    mean(&task_means(scores))
}

/// The median of the tasks' means: rliable's `aggregate_median`.
///
/// # Panics
/// When there are no tasks, or one has no runs.
pub fn aggregate_median<S: AsRef<[f64]>>(scores: &[S]) -> f64 {
    quantile(&task_means(scores), 0.5)
}

fn task_means<S: AsRef<[f64]>>(scores: &[S]) -> Vec<f64> {
    scores.iter().map(|runs| mean(runs.as_ref())).collect()
}

/// The interquartile mean of all runs of all tasks together: rliable's `aggregate_iqm`.
///
/// # Panics
/// When there are no runs.
pub fn aggregate_interquartile_mean<S: AsRef<[f64]>>(scores: &[S]) -> f64 {
    interquartile_mean(&pooled(scores))
}

/// By how much all runs of all tasks together miss a score, where more than it counts as just it.
///
/// ```text
/// gap = gamma - mean of min(score, gamma)
/// ```
///
/// Source: Agarwal et al. 2021, section 4.3; `gamma` is 1 for scores normalised by a human's.
///
/// # Panics
/// When there are no runs.
pub fn aggregate_optimality_gap<S: AsRef<[f64]>>(scores: &[S], gamma: f64) -> f64 {
    let clipped: Vec<_> = pooled(scores).into_iter().map(|score| score.min(gamma)).collect();
    gamma - mean(&clipped)
}

/// The share of all runs of all tasks together whose score is above each threshold: the run-score distribution.
///
/// Source: Agarwal et al. 2021, equation 1.
///
/// # Panics
/// When there are no runs.
pub fn performance_profile<S: AsRef<[f64]>>(scores: &[S], thresholds: &[f64]) -> Vec<f64> {
    let sorted = sorted(&pooled(scores));
    assert!(!sorted.is_empty(), "the profile of no runs");
    let above = |threshold: &f64| sorted.len() - sorted.partition_point(|score| score <= threshold);
    thresholds.iter().map(|threshold| above(threshold) as f64 / sorted.len() as f64).collect()
}

fn pooled<S: AsRef<[f64]>>(scores: &[S]) -> Vec<f64> {
    scores.iter().flat_map(|runs| runs.as_ref().iter().copied()).collect()
}

/// How likely a run of one algorithm is better than a run of another on the same task, on average over the tasks.
///
/// ```text
/// P(X > Y) = 1 / M sum_m 1 / (N_m K_m) sum_i sum_j (1 if x_mi > y_mj, 1/2 if equal, else 0)
/// ```
///
/// Each term is the Mann-Whitney U of a task, divided by its largest value.
///
/// Source: Agarwal et al. 2021, section 4.3.
///
/// # Panics
/// When the two have different numbers of tasks, there are no tasks, or one has no runs.
pub fn probability_of_improvement<S: AsRef<[f64]>, O: AsRef<[f64]>>(scores: &[S], others: &[O]) -> f64 {
    assert_eq!(scores.len(), others.len(), "algorithms compared on different tasks");
    let by_task: Vec<_> = scores
        .iter()
        .zip(others)
        .map(|(runs, others)| {
            let points = |run: &f64| {
                let better = |other: &f64| {
                    if run > other {
                        1.0
                    } else if run == other {
                        0.5
                    } else {
                        0.0
                    }
                };
                mean(&others.as_ref().iter().map(better).collect::<Vec<_>>())
            };
            mean(&runs.as_ref().iter().map(points).collect::<Vec<_>>())
        })
        .collect();
    mean(&by_task)
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
            assert_eq!(quantile(&[6.0, 1.0, 2.0], fraction), expected, "{fraction}");
        }
    }

    #[test]
    fn aggregates_by_hand() {
        // Three tasks of different length with means 1, 2 and 6.
        let scores = [vec![0.0, 2.0], vec![2.0], vec![4.0, 6.0, 8.0]];
        assert_eq!(aggregate_mean(&scores), 3.0);
        assert_eq!(aggregate_median(&scores), 2.0);
        // Of the six runs 0 and 8 are left out.
        assert_eq!(aggregate_interquartile_mean(&scores), 3.5);
        // Missing to 4: 4, 2, 2, 0, 0, 0.
        assert!((aggregate_optimality_gap(&scores, 4.0) - 8.0 / 6.0).abs() < 1e-12);
        let found = performance_profile(&scores, &[-1.0, 0.0, 2.0, 5.0, 8.0]);
        assert_eq!(found, [1.0, 5.0 / 6.0, 0.5, 2.0 / 6.0, 0.0]);
        // The first task wins 1, the second half of 1, the third all 3.
        let others = [vec![1.0, 3.0], vec![2.0], vec![0.0]];
        assert!((probability_of_improvement(&scores, &others) - (0.25 + 0.5 + 1.0) / 3.0).abs() < 1e-12);
    }
}
