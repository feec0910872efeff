//! Products of many rows with one matrix, which the matrix is packed for.
//!
//! A recurrence multiplies with the same weights at every step; a general product would bring them into the order that its
//! inner loop wants each time. Here this is done once ([`Panels`]), and the rows come from a function, so that a row may be
//! a place in a longer text, a shifted text, or zeros. The sum of each element runs over the inputs in their order whatever
//! rows stand beside it, so that results do not depend on how rows are shared among threads.

use rayon::prelude::*;

/// Columns that one step of the inner loop computes.
const LANES: usize = 16;
/// Rows that it computes: 6 rows of 16 columns fill 12 of the 16 vector registers of AVX2.
const TILE: usize = 6;
/// Rows packed at a time, so that they stay in the cache while all panels pass by.
const BLOCK: usize = 8 * TILE;
/// Rows added up at a time in a weight gradient.
const SUM_BLOCK: usize = 256;
/// Panels of a weight gradient that one thread computes together: each tile of rows then comes from memory once for all.
const GROUP: usize = 4;
/// Multiplications below which one thread is faster than several.
const SERIAL: usize = 1 << 18;

/// Consecutive columns of a matrix that lies row by row.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    stride: usize,
    first: usize,
    n_columns: usize,
}

impl<'a> Matrix<'a> {
    /// All of a matrix with rows of `n_columns`.
    pub(super) fn new(values: &'a [f32], n_columns: usize) -> Self {
        Self { values, stride: n_columns, first: 0, n_columns }
    }

    /// Columns `first..first + n_columns`.
    pub(super) fn columns(self, first: usize, n_columns: usize) -> Self {
        Self { first: self.first + first, n_columns, ..self }
    }

    /// Rows `first..first + n_rows`.
    pub(super) fn rows(self, first: usize, n_rows: usize) -> Self {
        Self { values: &self.values[first * self.stride..(first + n_rows) * self.stride], ..self }
    }

    pub(super) fn n_rows(self) -> usize {
        self.values.len() / self.stride
    }

    pub(super) fn row(self, index: usize) -> &'a [f32] {
        &self.values[index * self.stride + self.first..][..self.n_columns]
    }
}

/// A matrix in panels of [`LANES`] columns, the elements of a panel row by row; the last one is filled with zeros.
pub(super) struct Panels {
    n_inputs: usize,
    n_outputs: usize,
    values: Vec<[f32; LANES]>,
}

impl Panels {
    /// A matrix `[inputs, outputs]`.
    pub(super) fn of(matrix: Matrix<'_>) -> Self {
        Self::fill(matrix.n_rows(), matrix.n_columns, |first, panel| {
            for (index, lanes) in panel.iter_mut().enumerate() {
                fill_start(lanes, &matrix.row(index)[first..]);
            }
        })
    }

    /// The transpose of a matrix `[outputs, inputs]`.
    pub(super) fn of_transpose(matrix: Matrix<'_>) -> Self {
        Self::of_transposes(matrix, 1)
    }

    /// The transposes of `n_taps` matrices that lie one under the other, `[taps * outputs, inputs]`, again one under the
    /// other: `[taps * inputs, outputs]`.
    pub(super) fn of_transposes(matrix: Matrix<'_>, n_taps: usize) -> Self {
        let n_outputs = matrix.n_rows() / n_taps;
        Self::fill(n_taps * matrix.n_columns, n_outputs, |first, panel| {
            for (tap, panel) in panel.chunks_exact_mut(matrix.n_columns).enumerate() {
                transpose(matrix.rows(tap * n_outputs, n_outputs), first, panel);
            }
        })
    }

    fn fill(n_inputs: usize, n_outputs: usize, fill: impl Fn(usize, &mut [[f32; LANES]]) + Sync) -> Self {
        let mut values = vec![[0.0; LANES]; n_outputs.div_ceil(LANES) * n_inputs];
        let panels = values.chunks_exact_mut(n_inputs).enumerate();
        if n_inputs * n_outputs < SERIAL {
            panels.for_each(|(index, panel)| fill(index * LANES, panel));
        } else {
            let panels = values.par_chunks_exact_mut(n_inputs).enumerate();
            panels.for_each(|(index, panel)| fill(index * LANES, panel));
        }
        Self { n_inputs, n_outputs, values }
    }
}

/// Writes rows `first..first + LANES` of `matrix` as the columns of `panel`.
fn transpose(matrix: Matrix<'_>, first: usize, panel: &mut [[f32; LANES]]) {
    let n = (matrix.n_rows() - first).min(LANES);
    for lane in 0..n {
        for (lanes, &value) in panel.iter_mut().zip(matrix.row(first + lane)) {
            lanes[lane] = value;
        }
    }
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub(super) enum Onto<'a> {
    /// Nothing.
    Zero,
    /// One value for each column.
    Bias(&'a [f32]),
    /// What already stands there.
    Old,
}

/// Where the rows of a result lie: row `r` from `values[r * stride]` on.
pub(super) struct Destination<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) n_rows: usize,
}

/// Multiplies rows with a matrix, on this thread.
///
/// ```text
/// out[r] = onto + sum_tap row(r, tap) W[tap]
/// ```
///
/// `row(r, tap)` are the parts of row `r`; together they are as long as the matrix has inputs.
pub(super) fn product<'a>(
    row: impl Fn(usize, usize) -> &'a [f32],
    panels: &Panels,
    onto: Onto<'_>,
    out: Destination<'_>,
) {
    let Destination { values, stride, n_rows } = out;
    let mut packed = vec![[0.0; TILE]; panels.n_inputs * n_rows.min(BLOCK).div_ceil(TILE)];
    for first in (0..n_rows).step_by(BLOCK) {
        let n_block = (n_rows - first).min(BLOCK);
        // The rows are shared out evenly: tiles of 6 and 5 rows are faster than one of 6 and a rest of 2.
        let n_tiles = n_block.div_ceil(TILE);
        let tile = |index: usize| n_block * index / n_tiles..n_block * (index + 1) / n_tiles;
        for (index, packed) in packed.chunks_exact_mut(panels.n_inputs).take(n_tiles).enumerate() {
            for (slot, index) in tile(index).enumerate() {
                pack_row(|tap| row(first + index, tap), slot, packed);
            }
        }
        for (panel_index, panel) in panels.values.chunks_exact(panels.n_inputs).enumerate() {
            let column = panel_index * LANES;
            let n_columns = (panels.n_outputs - column).min(LANES);
            for (index, packed) in packed.chunks_exact(panels.n_inputs).take(n_tiles).enumerate() {
                let rows = tile(index);
                let sums = sums(packed, panel, rows.len());
                for (row, sums) in rows.zip(&sums) {
                    let out = &mut values[(first + row) * stride + column..][..n_columns];
                    store(sums, onto, column, out);
                }
            }
        }
    }
}

/// [`product`] for rows that lie side by side, shared among threads.
pub(super) fn product_of_all<'a>(
    row: impl Fn(usize, usize) -> &'a [f32] + Sync,
    panels: &Panels,
    onto: Onto<'_>,
    out: &mut [f32],
) {
    let stride = panels.n_outputs;
    let n_rows = out.len() / stride;
    let n_part = rows_of_part(n_rows, panels.n_inputs * panels.n_outputs);
    out.par_chunks_mut(n_part * stride).enumerate().for_each(|(part, values)| {
        let n_rows = values.len() / stride;
        product(|index, tap| row(part * n_part + index, tap), panels, onto, Destination { values, stride, n_rows });
    });
}

/// How many of `n_rows` rows one thread takes, where each costs `cost` multiplications.
pub(super) fn rows_of_part(n_rows: usize, cost: usize) -> usize {
    let is_serial = n_rows * cost < SERIAL;
    let n_parts = if is_serial { 1 } else { rayon::current_num_threads() };
    n_rows.div_ceil(n_parts).max(1)
}

/// Copies the parts of a row into column `slot` of a packed tile.
fn pack_row<'a>(row: impl Fn(usize) -> &'a [f32], slot: usize, packed: &mut [[f32; TILE]]) {
    let mut rest = packed;
    let mut tap = 0;
    while !rest.is_empty() {
        let part = row(tap);
        let (here, after) = rest.split_at_mut(part.len());
        for (lanes, &value) in here.iter_mut().zip(part) {
            lanes[slot] = value;
        }
        rest = after;
        tap += 1;
    }
}

/// One tile: the sums of the products of `n_rows` packed rows with a panel.
fn sums(packed: &[[f32; TILE]], panel: &[[f32; LANES]], n_rows: usize) -> [[f32; LANES]; TILE] {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn wide(packed: &[[f32; TILE]], panel: &[[f32; LANES]], n_rows: usize) -> [[f32; LANES]; TILE] {
            sums_of_tile::<true>(packed, panel, n_rows)
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has what the function is compiled for.
            #[allow(unsafe_code, reason = "code for a processor feature is called after asking for it")]
            return unsafe { wide(packed, panel, n_rows) };
        }
    }
    sums_of_tile::<{ cfg!(target_arch = "aarch64") }>(packed, panel, n_rows)
}

#[inline(always)]
fn sums_of_tile<const FUSED: bool>(
    packed: &[[f32; TILE]],
    panel: &[[f32; LANES]],
    n_rows: usize,
) -> [[f32; LANES]; TILE] {
    let mut all = [[0.0; LANES]; TILE];
    match n_rows {
        1 => all[..1].copy_from_slice(&accumulate::<1, FUSED>(packed, panel)),
        2 => all[..2].copy_from_slice(&accumulate::<2, FUSED>(packed, panel)),
        3 => all[..3].copy_from_slice(&accumulate::<3, FUSED>(packed, panel)),
        4 => all[..4].copy_from_slice(&accumulate::<4, FUSED>(packed, panel)),
        5 => all[..5].copy_from_slice(&accumulate::<5, FUSED>(packed, panel)),
        _ => all = accumulate::<TILE, FUSED>(packed, panel),
    }
    all
}

/// The inner loop. Its bounds are constants, so that the compiler keeps all sums in registers.
#[inline(always)]
fn accumulate<const ROWS: usize, const FUSED: bool>(
    packed: &[[f32; TILE]],
    panel: &[[f32; LANES]],
) -> [[f32; LANES]; ROWS] {
    let mut sums = [[0.0_f32; LANES]; ROWS];
    for (rows, lanes) in packed.iter().zip(panel) {
        for (sums, &x) in sums.iter_mut().zip(rows) {
            for (sum, &weight) in sums.iter_mut().zip(lanes) {
                // Without the instruction, `mul_add` would call a slow routine.
                *sum = if FUSED { x.mul_add(weight, *sum) } else { *sum + x * weight };
            }
        }
    }
    sums
}

fn store(sums: &[f32; LANES], onto: Onto<'_>, column: usize, out: &mut [f32]) {
    let mut lanes = *sums;
    match onto {
        Onto::Zero => {}
        Onto::Bias(bias) => add_start(&mut lanes, &bias[column..]),
        Onto::Old => add_start(&mut lanes, out),
    }
    match <&mut [f32; LANES]>::try_from(&mut *out) {
        Ok(out) => *out = lanes,
        Err(_) => out.copy_from_slice(&lanes[..out.len()]),
    }
}

/// Copies the first values, as many as there are lanes, or all of fewer.
#[inline(always)]
fn fill_start<const N: usize>(lanes: &mut [f32; N], values: &[f32]) {
    // A copy of known length is a few moves and not a call.
    match values.first_chunk() {
        Some(values) => *lanes = *values,
        None => lanes[..values.len()].copy_from_slice(values),
    }
}

/// Adds the first values, as many as there are lanes, or all of fewer.
#[inline(always)]
fn add_start<const N: usize>(lanes: &mut [f32; N], values: &[f32]) {
    match values.first_chunk::<N>() {
        Some(values) => lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane += value),
        None => lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane += value),
    }
}

/// The gradients of a matrix and of the bias beside it.
pub(super) struct WeightGradient {
    /// `[taps * inputs, outputs]`
    pub(super) weight: Vec<f32>,
    /// `[outputs]`
    pub(super) bias: Vec<f32>,
}

/// How many rows a gradient is summed over, and what they consist of.
#[derive(Clone, Copy)]
pub(super) struct RowShape {
    pub(super) n_rows: usize,
    pub(super) n_taps: usize,
    /// Elements of each part of a row.
    pub(super) n_inputs: usize,
}

/// The gradient of the matrix in [`product`].
///
/// ```text
/// dW[tap] = sum_r row(r, tap)^T upstream(r),   db = sum_r upstream(r)
/// ```
///
/// Each thread takes some output columns, and every sum runs over blocks of rows of a fixed size: the result is the same
/// for any number of threads.
pub(super) fn weight_gradient<'a, 'b>(
    shape: RowShape,
    row: impl Fn(usize, usize) -> &'a [f32] + Sync,
    n_outputs: usize,
    upstream: impl Fn(usize) -> &'b [f32] + Sync,
) -> WeightGradient {
    let RowShape { n_rows, n_taps, n_inputs } = shape;
    let n_tiles = n_inputs.div_ceil(TILE);
    let mut packed = vec![[0.0; TILE]; n_taps * n_tiles * n_rows];
    packed.par_chunks_exact_mut(n_rows.max(1)).enumerate().for_each(|(index, packed)| {
        let (tap, first) = (index / n_tiles, index % n_tiles * TILE);
        for (index, lanes) in packed.iter_mut().enumerate() {
            fill_start(lanes, &row(index, tap)[first..]);
        }
    });
    let groups: Vec<Columns> = (0..n_outputs.div_ceil(GROUP * LANES))
        .into_par_iter()
        .map(|group| {
            let first = group * GROUP * LANES;
            let n_columns = (n_outputs - first).min(GROUP * LANES);
            columns_of_gradient(shape, &packed, n_columns, |row| &upstream(row)[first..first + n_columns])
        })
        .collect();
    let panels = groups.iter().flat_map(|group| group.weight.chunks_exact(n_taps * n_inputs));
    let mut weight = vec![0.0; n_taps * n_inputs * n_outputs];
    for (index, panel) in panels.enumerate() {
        let first = index * LANES;
        for (row, lanes) in weight.chunks_exact_mut(n_outputs).zip(panel) {
            let row = &mut row[first..];
            let n = row.len().min(LANES);
            row[..n].copy_from_slice(&lanes[..n]);
        }
    }
    let mut bias: Vec<f32> = groups.iter().flat_map(|group| group.bias.as_flattened()).copied().collect();
    bias.truncate(n_outputs);
    WeightGradient { weight, bias }
}

/// Up to [`GROUP`] panels of a gradient.
struct Columns {
    /// One panel after the other, `taps * inputs` rows each.
    weight: Vec<[f32; LANES]>,
    /// One row for each panel.
    bias: Vec<[f32; LANES]>,
}

fn columns_of_gradient<'b>(
    RowShape { n_rows, n_taps, n_inputs }: RowShape,
    packed: &[[f32; TILE]],
    n_columns: usize,
    upstream: impl Fn(usize) -> &'b [f32],
) -> Columns {
    let n_panels = n_columns.div_ceil(LANES);
    let n_tiles = n_inputs.div_ceil(TILE);
    let n_all = n_taps * n_inputs;
    let mut columns = Columns { weight: vec![[0.0; LANES]; n_panels * n_all], bias: vec![[0.0; LANES]; n_panels] };
    let mut panels = vec![[0.0; LANES]; n_panels * SUM_BLOCK];
    for begin in (0..n_rows).step_by(SUM_BLOCK) {
        let n_block = (n_rows - begin).min(SUM_BLOCK);
        for row in 0..n_block {
            for (index, values) in upstream(begin + row).chunks(LANES).enumerate() {
                let lanes = &mut panels[index * SUM_BLOCK + row];
                fill_start(lanes, values);
                add_start(&mut columns.bias[index], lanes);
            }
        }
        for (index, packed) in packed.chunks_exact(n_rows).enumerate() {
            let (tap, input) = (index / n_tiles, index % n_tiles * TILE);
            let n_inputs_here = (n_inputs - input).min(TILE);
            for (index, panel) in panels.chunks_exact(SUM_BLOCK).enumerate() {
                let sums = sums(&packed[begin..begin + n_block], &panel[..n_block], n_inputs_here);
                let rows = &mut columns.weight[index * n_all + tap * n_inputs + input..][..n_inputs_here];
                rows.iter_mut().zip(&sums).for_each(|(row, sums)| add_start(row, sums));
            }
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers that differ and that a sum holds exactly.
    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|index| ((index * 7 + seed * 13 + index * index) % 17) as f32 - 8.0).collect()
    }

    proptest! {
        #[test]
        fn products_agree_with_sums_by_hand(
            n_rows in 0_usize..60, n_taps in 1_usize..4, n_inputs in 1_usize..20, n_outputs in 1_usize..40,
        ) {
            let n_all = n_taps * n_inputs;
            let (rows, weights) = (numbers(n_rows * n_all, 1), numbers(n_all * n_outputs, 2));
            let (bias, old) = (numbers(n_outputs, 3), numbers(n_rows * n_outputs, 4));
            let part = |row: usize, tap: usize| &rows[row * n_all + tap * n_inputs..][..n_inputs];
            let transposed: Vec<f32> =
                (0..n_outputs * n_all).map(|index| weights[index % n_all * n_outputs + index / n_all]).collect();
            let packings = [
                Panels::of(Matrix::new(&weights, n_outputs)),
                Panels::of_transpose(Matrix::new(&transposed, n_all)),
            ];
            for panels in &packings {
                for (onto, first) in [
                    (Onto::Zero, None), (Onto::Bias(&bias), Some(&bias)), (Onto::Old, Some(&old)),
                ] {
                    let mut out = old.clone();
                    product_of_all(part, panels, onto, &mut out);
                    for (index, &found) in out.iter().enumerate() {
                        let (row, column) = (index / n_outputs, index % n_outputs);
                        let sum: f32 =
                            (0..n_all).map(|input| rows[row * n_all + input] * weights[input * n_outputs + column]).sum();
                        prop_assert_eq!(found, sum + first.map_or(0.0, |first| first[index % first.len()]));
                    }
                }
            }
        }

        #[test]
        fn weight_gradients_agree_with_sums_by_hand(
            n_rows in 1_usize..300, n_taps in 1_usize..3, n_inputs in 1_usize..15, n_outputs in 1_usize..35,
        ) {
            let n_all = n_taps * n_inputs;
            let (rows, upstream) = (numbers(n_rows * n_all, 1), numbers(n_rows * n_outputs, 2));
            let shape = RowShape { n_rows, n_taps, n_inputs };
            let part = |row: usize, tap: usize| &rows[row * n_all + tap * n_inputs..][..n_inputs];
            let found = weight_gradient(shape, part, n_outputs, |row| &upstream[row * n_outputs..][..n_outputs]);
            for (index, &found) in found.weight.iter().enumerate() {
                let (input, column) = (index / n_outputs, index % n_outputs);
                let sum: f32 =
                    (0..n_rows).map(|row| rows[row * n_all + input] * upstream[row * n_outputs + column]).sum();
                prop_assert_eq!(found, sum);
            }
            for (column, &found) in found.bias.iter().enumerate() {
                let sum: f32 = (0..n_rows).map(|row| upstream[row * n_outputs + column]).sum();
                prop_assert_eq!(found, sum);
            }
        }
    }
}
