//! How the steps of one batch differ: quantiles, where a mean would hide them.

/// Updates from one measurement of a [`Spread`] to the next, the first update measured.
pub const SPREAD_EVERY_UPDATES: u64 = 10;

/// The probabilities of the quantiles.
pub const SPREAD_LEVELS: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// Quantiles over the steps of one batch, at [`SPREAD_LEVELS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Of the absolute TD errors, in units of Q; under imitation of the cross-entropies.
    pub td_error: [f32; 5],
    /// Of the values of the actions taken, before the update.
    pub q: [f32; 5],
}

impl Spread {
    /// The quantiles over the steps that are `valid`, above 0.
    ///
    /// # Shapes
    /// - `td_errors`, `q_taken`, `valid`: one value for each step of the batch, padding included
    ///
    /// # Panics
    /// When no step is valid.
    pub fn of(td_errors: &[f32], q_taken: &[f32], valid: &[f32]) -> Self {
        let of = |values: &[f32]| {
            let valid = values.iter().zip(valid).filter(|(_, valid)| **valid > 0.0);
            let mut sorted: Vec<f32> = valid.map(|(value, _)| *value).collect();
            sorted.sort_by(f32::total_cmp);
            SPREAD_LEVELS.map(|level| quantile(&sorted, level))
        };
        Self { td_error: of(td_errors), q: of(q_taken) }
    }
}

/// The quantile of `sorted` values, linear between neighbours.
///
/// ```text
/// h = (n - 1) level;   x_floor(h) + (h - floor(h)) (x_ceil(h) - x_floor(h))
/// ```
///
/// Source: Hyndman and Fan 1996, definition 7, the default of NumPy.
fn quantile(sorted: &[f32], level: f64) -> f32 {
    let place = (sorted.len() - 1) as f64 * level;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    // Neighbours of one value need no product, which would make infinity less infinity of two infinite ones.
    if low == high { low } else { (low + (place.fract() as f32) * (high - low)).min(high) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_by_hand_leave_padding_out() {
        let td_errors = [4.0, 0.0, 99.0, 1.0, 3.0, 2.0];
        let valid = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0];
        let q = [-1.0, -1.0, 5.0, -1.0, -1.0, 0.0];
        let found = Spread::of(&td_errors, &q, &valid);
        // numpy.quantile([0, 1, 2, 3, 4], [.05, .25, .5, .75, .95])
        let expected = Spread { td_error: [0.2, 1.0, 2.0, 3.0, 3.8], q: [-1.0, -1.0, -1.0, -1.0, -0.2] };
        for (found, expected) in [(found.td_error, expected.td_error), (found.q, expected.q)] {
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
            }
        }
    }

    #[test]
    fn one_step_is_all_its_quantiles() {
        assert_eq!(
            Spread::of(&[f32::INFINITY], &[0.25], &[1.0]),
            Spread { td_error: [f32::INFINITY; 5], q: [0.25; 5] }
        );
    }

    proptest! {
        #[test]
        fn quantiles_rise_and_stay_within_the_values(values in proptest::collection::vec(-1e3_f32..1e3, 1..50)) {
            let Spread { q, .. } = Spread::of(&values, &values, &vec![1.0; values.len()]);
            prop_assert!(q.is_sorted());
            let least = values.iter().copied().fold(f32::INFINITY, f32::min);
            let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            prop_assert!(least <= q[0] && q[4] <= highest);
        }
    }
}
