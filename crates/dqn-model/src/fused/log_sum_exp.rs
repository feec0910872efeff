//! The logarithm of the sum of exponentials of each row, on plain numbers.
//!
//! ```text
//! y_r = log sum_c exp(s x_rc)          dx_rc = dy_r s exp(s x_rc - y_r)
//! ```
//!
//! The rows are the values of all actions, the widest tensors of learning: in tensors each of half a dozen steps would
//! write all of them to memory. Here they are read, forward and backward, and only the gradient is written.

use rayon::prelude::*;

use super::arithmetic::{exp, vectorized};
use super::product::rows_of_part;

/// Numbers treated side by side.
const LANES: usize = 16;

/// One number for each row of `n_columns` values.
pub(super) fn forward(values: &[f32], n_columns: usize, scale: f32) -> Vec<f32> {
    let mut sums = vec![0.0; values.len() / n_columns];
    let n_part = rows_of_part(sums.len(), n_columns);
    let parts = sums.par_chunks_mut(n_part).zip(values.par_chunks(n_part * n_columns));
    parts.for_each(|(sums, values)| sum_up(values, n_columns, scale, sums));
    sums
}

/// The gradient of the values.
pub(super) fn backward(values: &[f32], n_columns: usize, scale: f32, sums: &[f32], upstream: &[f32]) -> Vec<f32> {
    let mut gradient = vec![0.0; values.len()];
    let n_part = rows_of_part(sums.len(), n_columns);
    let parts = gradient.par_chunks_mut(n_part * n_columns).zip(values.par_chunks(n_part * n_columns));
    parts
        .zip(sums.par_chunks(n_part).zip(upstream.par_chunks(n_part)))
        .for_each(|((gradient, values), (sums, upstream))| weigh(values, n_columns, scale, sums, upstream, gradient));
    gradient
}

vectorized! {
    fn sum_up(values: &[f32], n_columns: usize, scale: f32, sums: &mut [f32]) {
        for (row, sum) in values.chunks_exact(n_columns).zip(sums) {
            let (chunks, rest) = row.as_chunks::<LANES>();
            let mut lanes = [f32::NEG_INFINITY; LANES];
            for chunk in chunks {
                lanes.iter_mut().zip(chunk).for_each(|(lane, &value)| *lane = lane.max(value));
            }
            let highest = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
            let mut lanes = [0.0; LANES];
            for chunk in chunks {
                for (lane, &value) in lanes.iter_mut().zip(chunk) {
                    *lane += exp::<FUSED>(scale * (value - highest));
                }
            }
            let rest: f32 = rest.iter().map(|&value| exp::<FUSED>(scale * (value - highest))).sum();
            *sum = (lanes.iter().sum::<f32>() + rest).ln() + scale * highest;
        }
    }
}

vectorized! {
    fn weigh(values: &[f32], n_columns: usize, scale: f32, sums: &[f32], upstream: &[f32], gradient: &mut [f32]) {
        let rows = values.chunks_exact(n_columns).zip(gradient.chunks_exact_mut(n_columns));
        for ((row, gradient), (&sum, &upstream)) in rows.zip(sums.iter().zip(upstream)) {
            for (gradient, &value) in gradient.iter_mut().zip(row) {
                *gradient = upstream * scale * exp::<FUSED>(scale * value - sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::super::{log_sum_exp, oracle};

    #[test]
    fn agrees_with_tensors() {
        // One column, fewer than lanes, a multiple of them, more; enough rows for several threads.
        for (shape, scale) in [([2, 3, 1], 1.0), ([3, 2, 7], 0.5), ([1, 4, 32], 3.0), ([40, 9, 141], 1.0)] {
            let values = oracle::drawn(3, |init| oracle::inputs(shape, init));
            oracle::check(
                &values,
                |values| log_sum_exp(values.val(), scale).unsqueeze_dim(2),
                |values| dqn_core::bootstrap::log_sum_exp(values.val(), scale).unsqueeze_dim(2),
            );
        }
    }

    #[test]
    fn forbidden_values_weigh_nothing_and_what_is_no_number_is_noticed() {
        let of = |row: [f32; 3], scale: f64| -> f32 {
            log_sum_exp(Tensor::from_data([[row]], &Device::flex()), scale).into_scalar()
        };
        assert!((of([2.0, -1e9, 2.0], 1.0) - (2.0 + std::f32::consts::LN_2)).abs() < 1e-6);
        assert!((of([2.0, -1e9, 2.0], 10.0) - (20.0 + std::f32::consts::LN_2)).abs() < 1e-5);
        assert!((of([-1e9, -1e9, 5e3], 0.1) - 5e2).abs() < 1e-4);
        assert!(of([1.0, f32::NAN, 2.0], 1.0).is_nan());
    }
}
