//! Layer normalisation (Ba et al. 2016), on plain numbers.
//!
//! ```text
//! y = (x - mean) / sqrt(variance + epsilon) * gamma + beta
//! ```
//!
//! Kept for the backward pass: the inputs, and mean and inverse deviation of every row.

use rayon::prelude::*;

use super::arithmetic::vectorized;

/// Numbers added up side by side.
const LANES: usize = 8;
/// Rows of one piece of work, and of one partial sum of the parameters' gradients: fixed, so that results are the same for
/// any number of threads.
const PART: usize = 128;

/// Outputs, and two numbers for each row: its mean and its inverse deviation.
pub(super) struct Pass {
    pub(super) outputs: Vec<f32>,
    pub(super) moments: Vec<f32>,
}

/// Normalises rows as wide as `gamma`.
pub(super) fn forward(inputs: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32) -> Pass {
    let width = gamma.len();
    let mut outputs = vec![0.0; inputs.len()];
    let mut moments = vec![0.0; 2 * (inputs.len() / width)];
    let parts = outputs.par_chunks_mut(PART * width).zip(moments.par_chunks_mut(PART * 2));
    parts.zip(inputs.par_chunks(PART * width)).for_each(|((outputs, moments), inputs)| {
        normalise(inputs, gamma, beta, epsilon, outputs, moments);
    });
    Pass { outputs, moments }
}

vectorized! {
    fn normalise(
        inputs: &[f32],
        gamma: &[f32],
        beta: &[f32],
        epsilon: f32,
        outputs: &mut [f32],
        moments: &mut [f32],
    ) {
        let width = gamma.len();
        let rows = inputs.chunks_exact(width).zip(outputs.chunks_exact_mut(width));
        for ((row, output), moments) in rows.zip(moments.chunks_exact_mut(2)) {
            let mean = sum(row, |x| x) / width as f32;
            let variance = sum(row, |x| (x - mean) * (x - mean)) / width as f32;
            let scale = 1.0 / (variance + epsilon).sqrt();
            for (((output, x), gamma), beta) in output.iter_mut().zip(row).zip(gamma).zip(beta) {
                *output = (x - mean) * scale * gamma + beta;
            }
            (moments[0], moments[1]) = (mean, scale);
        }
    }
}

/// The sum of `function` over `row`, in an order that vector registers can follow.
#[inline(always)]
fn sum(row: &[f32], function: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|&x| function(x)).sum();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += function(x);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Gradients of everything a norm reads.
pub(super) struct Gradients {
    pub(super) inputs: Vec<f32>,
    pub(super) gamma: Vec<f32>,
    pub(super) beta: Vec<f32>,
}

/// Backpropagation through a norm.
pub(super) fn backward(inputs: &[f32], gamma: &[f32], moments: &[f32], upstream: &[f32]) -> Gradients {
    let width = gamma.len();
    let n_parts = (inputs.len() / width).div_ceil(PART);
    let mut of_inputs = vec![0.0; inputs.len()];
    let mut sums = vec![0.0; n_parts * 2 * width];
    let rows = inputs.par_chunks(PART * width).zip(upstream.par_chunks(PART * width));
    let results = of_inputs.par_chunks_mut(PART * width).zip(sums.par_chunks_mut(2 * width));
    rows.zip(moments.par_chunks(PART * 2)).zip(results).for_each(
        |(((inputs, upstream), moments), (of_inputs, sums))| {
            let (of_gamma, of_beta) = sums.split_at_mut(width);
            before_norm(inputs, gamma, moments, upstream, of_inputs, of_gamma, of_beta);
        },
    );
    let mut total = vec![0.0; 2 * width];
    for part in sums.chunks_exact(2 * width) {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
    }
    let of_beta = total.split_off(width);
    Gradients { inputs: of_inputs, gamma: total, beta: of_beta }
}

vectorized! {
    fn before_norm(
        inputs: &[f32],
        gamma: &[f32],
        moments: &[f32],
        upstream: &[f32],
        of_inputs: &mut [f32],
        of_gamma: &mut [f32],
        of_beta: &mut [f32],
    ) {
        let width = gamma.len();
        let rows = inputs.chunks_exact(width).zip(upstream.chunks_exact(width));
        let rows = rows.zip(of_inputs.chunks_exact_mut(width)).zip(moments.chunks_exact(2));
        for (((row, upstream), of_row), moments) in rows {
            let (mean, scale) = (moments[0], moments[1]);
            let parameters = of_gamma.iter_mut().zip(of_beta.iter_mut());
            for (((of_gamma, of_beta), x), upstream) in parameters.zip(row).zip(upstream) {
                *of_gamma += upstream * (x - mean) * scale;
                *of_beta += upstream;
            }
            // First the gradient of the normalised row, then less its mean and its part along the row.
            for ((of_x, upstream), gamma) in of_row.iter_mut().zip(upstream).zip(gamma) {
                *of_x = upstream * gamma;
            }
            let mean_gradient = sum(of_row, |d| d) / width as f32;
            let along = dot(of_row, row, mean) * scale * scale / width as f32;
            for (of_x, x) in of_row.iter_mut().zip(row) {
                *of_x = scale * (*of_x - mean_gradient - (x - mean) * along);
            }
        }
    }
}

/// `sum_i gradient_i (x_i - mean)`.
#[inline(always)]
fn dot(gradient: &[f32], row: &[f32], mean: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (gradients, rows) = (gradient.chunks_exact(LANES), row.chunks_exact(LANES));
    let rest: f32 = gradients.remainder().iter().zip(rows.remainder()).map(|(d, x)| d * (x - mean)).sum();
    for (gradient, row) in gradients.zip(rows) {
        for ((lane, d), x) in lanes.iter_mut().zip(gradient).zip(row) {
            *lane += d * (x - mean);
        }
    }
    lanes.iter().sum::<f32>() + rest
}
