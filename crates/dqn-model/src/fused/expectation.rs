//! Means of categorical distributions, on plain numbers.
//!
//! ```text
//! mean(r, a) = sum_k softmax_k(x_r W_a + b_a) z_k
//! ```
//!
//! The logits of all actions are many: 2,000 actions of 51 atoms take 0.4 MB a row. They are never all in memory. The product
//! gives a row's logits from the first column to the last, and those of an action are weighed as soon as they are complete.

use rayon::prelude::*;

use super::arithmetic::exp;
use super::product::{BLOCK, LANES, Panels, Sink, fill_start, for_each_sum, rows_of_part};

/// The mean for each row and action: `[rows, actions]`.
///
/// `panels` hold the atoms of all actions, `[inputs, actions * atoms]`, those of one action side by side; `support` are the
/// returns that the atoms stand for.
pub(super) fn means(rows: &[f32], panels: &Panels, bias: &[f32], support: &[f32]) -> Vec<f32> {
    let (n_inputs, n_actions) = (panels.n_inputs(), bias.len() / support.len());
    let n_rows = rows.len() / n_inputs;
    let mut means = vec![0.0; n_rows * n_actions];
    let n_part = rows_of_part(n_rows, n_inputs * bias.len());
    means.par_chunks_mut(n_part * n_actions).enumerate().for_each(|(part, means)| {
        let n_waiting = support.len() + LANES;
        let shape = [means.len() / n_actions, 1];
        let waiting = vec![0.0; BLOCK * n_waiting];
        let sink = Weigh { bias, support, waiting, means, n_actions };
        for_each_sum(shape, |row, _| Some(&rows[(part * n_part + row) * n_inputs..][..n_inputs]), panels.all(), sink);
    });
    means
}

/// Turns logits into means as they come.
struct Weigh<'a> {
    bias: &'a [f32],
    support: &'a [f32],
    /// For each row of a block, the logits of the action that is not complete yet, and room for those of a panel.
    waiting: Vec<f32>,
    means: &'a mut [f32],
    n_actions: usize,
}

impl Sink for Weigh<'_> {
    #[inline(always)]
    fn take<const FUSED: bool>(&mut self, row: usize, column: usize, sums: &[f32; LANES]) {
        let n_atoms = self.support.len();
        let waiting = &mut self.waiting[row % BLOCK * (n_atoms + LANES)..][..n_atoms + LANES];
        let n_new = (self.bias.len() - column).min(LANES);
        let (action, n_old) = (column / n_atoms, column % n_atoms);
        let bias = &self.bias[column..][..n_new];
        for ((logit, sum), bias) in waiting[n_old..].iter_mut().zip(sums).zip(bias) {
            *logit = sum + bias;
        }
        let n_waiting = n_old + n_new;
        let n_complete = n_waiting / n_atoms;
        let means = &mut self.means[row * self.n_actions + action..][..n_complete];
        for (mean, logits) in means.iter_mut().zip(waiting.chunks_exact(n_atoms)) {
            *mean = expected::<FUSED>(logits, self.support);
        }
        waiting.copy_within(n_complete * n_atoms..n_waiting, 0);
    }
}

/// The mean of `support` under the softmax of `logits`.
#[inline(always)]
fn expected<const FUSED: bool>(logits: &[f32], support: &[f32]) -> f32 {
    let mut highest = [f32::NEG_INFINITY; LANES];
    for logits in logits.chunks(LANES) {
        highest.iter_mut().zip(logits).for_each(|(highest, &logit)| *highest = highest.max(logit));
    }
    let highest = highest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let (mut weights, mut weighted) = ([0.0; LANES], [0.0; LANES]);
    for (logits, support) in logits.chunks(LANES).zip(support.chunks(LANES)) {
        // What fills the last lanes has no weight.
        let (mut lanes, mut returns) = ([f32::NEG_INFINITY; LANES], [0.0; LANES]);
        fill_start(&mut lanes, logits);
        fill_start(&mut returns, support);
        for lane in 0..LANES {
            let weight = exp::<FUSED>(lanes[lane] - highest);
            weights[lane] += weight;
            weighted[lane] += weight * returns[lane];
        }
    }
    weighted.into_iter().sum::<f32>() / weights.into_iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::product::Matrix;
    use super::*;

    proptest! {
        #[test]
        fn means_agree_with_sums_by_hand(
            n_rows in 0_usize..60, n_inputs in 1_usize..8, n_actions in 1_usize..9, n_atoms in 2_usize..53, seed in 0_usize..9,
        ) {
            let numbers = |n: usize, step: usize| -> Vec<f32> {
                (0..n).map(|index| ((index * step + index * index + seed) % 17) as f32 / 4.0 - 2.0).collect()
            };
            let n_outputs = n_actions * n_atoms;
            let (rows, weights) = (numbers(n_rows * n_inputs, 7), numbers(n_outputs * n_inputs, 13));
            let (bias, support) = (numbers(n_outputs, 3), numbers(n_atoms, 5));
            let panels = Panels::of_transpose(Matrix::new(&weights, n_inputs));
            let found = means(&rows, &panels, &bias, &support);
            prop_assert_eq!(found.len(), n_rows * n_actions);
            for (index, &found) in found.iter().enumerate() {
                let (row, action) = (&rows[index / n_actions * n_inputs..][..n_inputs], index % n_actions);
                let weight = |atom: usize| -> f64 {
                    let column = action * n_atoms + atom;
                    let products = row.iter().zip(&weights[column * n_inputs..]).map(|(x, weight)| f64::from(x * weight));
                    (products.sum::<f64>() + f64::from(bias[column])).exp()
                };
                let total: f64 = (0..n_atoms).map(weight).sum();
                let expected = (0..n_atoms).map(|atom| weight(atom) * f64::from(support[atom])).sum::<f64>() / total;
                prop_assert!((f64::from(found) - expected).abs() < 2e-6, "{found} instead of {expected}");
            }
        }
    }
}
