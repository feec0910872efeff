//! Products of few rows with a large matrix, shared among threads by columns.
//!
//! Rows shared out among threads would have each thread read the whole matrix, and one row could not be shared at all.
//! The sum of an element is the same in either way, bit for bit.

use rayon::prelude::*;

use super::product::{BLOCK, LANES, Onto, Panels, SERIAL, Sink, for_each_sum, product_of_all};

/// Multiplies rows, `n_inputs` numbers that begin `stride` apart, with a matrix: `[rows, outputs]`.
pub(super) fn multiply_rows(rows: &[f32], stride: usize, panels: &Panels, onto: Onto<'_>, out: &mut [f32]) {
    let n_rows = out.len() / panels.n_outputs();
    let row = |index: usize, _: usize| Some(&rows[index * stride..][..panels.n_inputs()]);
    let n_threads = rayon::current_num_threads();
    let is_serial = n_rows * panels.n_inputs() * panels.n_outputs() < SERIAL || n_threads == 1;
    if is_serial || n_rows >= n_threads * BLOCK {
        return product_of_all(1, row, panels, onto, out);
    }
    let n_panels = panels.n_outputs().div_ceil(LANES).div_ceil(n_threads);
    let n_columns = n_panels * LANES;
    // The columns of each thread, one piece for each row.
    let mut shares: Vec<Vec<&mut [f32]>> = Vec::new();
    shares.resize_with(panels.n_outputs().div_ceil(n_columns), Vec::new);
    for row in out.chunks_exact_mut(panels.n_outputs()) {
        shares.iter_mut().zip(row.chunks_mut(n_columns)).for_each(|(share, piece)| share.push(piece));
    }
    shares.into_par_iter().enumerate().for_each(|(index, rows)| {
        let onto = match onto {
            Onto::Bias(bias) => Onto::Bias(&bias[index * n_columns..]),
            Onto::Zero | Onto::Old => onto,
        };
        for_each_sum([n_rows, 1], row, panels.stretch(index * n_panels, n_panels), Pieces { rows, onto });
    });
}

/// Writes sums to pieces of rows.
struct Pieces<'a> {
    rows: Vec<&'a mut [f32]>,
    onto: Onto<'a>,
}

impl Sink for Pieces<'_> {
    #[inline(always)]
    fn take<const FUSED: bool>(&mut self, row: usize, column: usize, sums: &[f32; LANES]) {
        let piece = &mut self.rows[row];
        let n_columns = (piece.len() - column).min(LANES);
        let out = &mut piece[column..][..n_columns];
        match self.onto {
            Onto::Zero => out.iter_mut().zip(sums).for_each(|(out, sum)| *out = *sum),
            Onto::Bias(bias) => {
                out.iter_mut().zip(sums.iter().zip(&bias[column..])).for_each(|(out, (sum, bias))| *out = sum + bias);
            }
            Onto::Old => out.iter_mut().zip(sums).for_each(|(out, sum)| *out += *sum),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fused::product::Matrix;

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|index| ((index * 37 + seed * 11) % 17) as f32 - 8.0).collect()
    }

    fn check(n_rows: usize, n_inputs: usize, n_outputs: usize) {
        let (rows, matrix) = (numbers(n_rows * (n_inputs + 3), 1), numbers(n_inputs * n_outputs, 2));
        let (bias, old) = (numbers(n_outputs, 3), numbers(n_rows * n_outputs, 4));
        let panels = Panels::of(Matrix::new(&matrix, n_outputs));
        for (name, onto) in [("zero", Onto::Zero), ("bias", Onto::Bias(&bias)), ("old", Onto::Old)] {
            let mut out = old.clone();
            multiply_rows(&rows, n_inputs + 3, &panels, onto, &mut out);
            for (index, &found) in out.iter().enumerate() {
                let (row, column) = (index / n_outputs, index % n_outputs);
                let start = match onto {
                    Onto::Zero => 0.0,
                    Onto::Bias(bias) => bias[column],
                    Onto::Old => old[index],
                };
                let term = |input: usize| rows[row * (n_inputs + 3) + input] * matrix[input * n_outputs + column];
                let expected = start + (0..n_inputs).map(term).sum::<f32>();
                assert_eq!(found, expected, "onto {name}, row {row}, column {column}");
            }
        }
    }

    #[test]
    fn shared_products_are_sums_by_hand() {
        // One row, several and many, of which the first two are shared by columns and the last by rows.
        check(1, 300, 1001);
        check(7, 100, 555);
        check(200, 40, 70);
    }

    proptest! {
        #[test]
        fn small_products_are_sums_by_hand(n_rows in 1_usize..9, n_inputs in 1_usize..20, n_outputs in 1_usize..40) {
            check(n_rows, n_inputs, n_outputs);
        }
    }
}
