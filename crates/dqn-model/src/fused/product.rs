//! Products of many rows with one matrix, which the matrix is packed for.
//!
//! A recurrence multiplies with the same weights at every step; a general product would bring them into the order that its
//! inner loop wants each time. Here this is done once ([`Panels`]), the rows come from a function, so that a row may be a
//! place in a longer text, several places together, or partly missing, and the sums go to a [`Sink`]. The sum of each element
//! runs over the inputs in their order whatever rows stand beside it, so that results do not depend on how rows are shared
//! among threads.

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::arithmetic::{has_wide_vectors, has_widest_vectors};

/// Columns that one step of the inner loop computes.
pub(super) const LANES: usize = 16;
/// Rows that it computes: 6 rows of 16 columns fill 12 of the 16 vector registers of AVX2. With AVX-512 two panels at once
/// fill 12 of 32, which is as many sums as two of its units have under way, and a row is read once for both.
const TILE: usize = 6;
/// Rows that all panels pass by together, so that they stay in the cache.
pub(super) const BLOCK: usize = 8 * TILE;
/// Rows added up at a time in a weight gradient.
const SUM_BLOCK: usize = 256;
/// Panels of a weight gradient that one thread computes together, while a block of rows is in its cache.
const GROUP: usize = 4;
/// Panels of a weight gradient that one step of the inner loop computes.
const PAIR: usize = 2;
/// Multiplications below which one thread is faster than several.
pub(super) const SERIAL: usize = 1 << 18;

/// Whether `mul_add` is one instruction on the processor that everything is built for.
const HAS_FUSED: bool = cfg!(target_arch = "aarch64");

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
#[derive(Debug)]
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

    pub(super) fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    pub(super) fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    /// All panels.
    pub(super) fn all(&self) -> Stretch<'_> {
        Stretch { n_inputs: self.n_inputs, values: &self.values }
    }

    /// Panels `first..first + n`, or those of them that there are.
    pub(super) fn stretch(&self, first: usize, n: usize) -> Stretch<'_> {
        let n_panels = self.n_outputs.div_ceil(LANES);
        let (first, end) = (first.min(n_panels), (first + n).min(n_panels));
        Stretch { n_inputs: self.n_inputs, values: &self.values[first * self.n_inputs..end * self.n_inputs] }
    }

    /// Writes one column of the matrix.
    pub(super) fn column(&self, column: usize, out: &mut [f32]) {
        let panel = &self.values[column / LANES * self.n_inputs..][..self.n_inputs];
        out.iter_mut().zip(panel).for_each(|(out, lanes)| *out = lanes[column % LANES]);
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

/// Consecutive panels of a matrix.
#[derive(Clone, Copy)]
pub(super) struct Stretch<'a> {
    n_inputs: usize,
    values: &'a [[f32; LANES]],
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
/// `row(r, tap)` are the parts of row `r`, as many for each and all of the same length, or nothing for a part of zeros.
/// Together they are as long as the matrix has inputs.
pub(super) fn product<'a>(
    n_taps: usize,
    row: impl Fn(usize, usize) -> Option<&'a [f32]>,
    panels: &Panels,
    onto: Onto<'_>,
    out: Destination<'_>,
) {
    let n_rows = out.n_rows;
    let sink = Store { onto, out, n_outputs: panels.n_outputs };
    for_each_sum([n_rows, n_taps], row, panels.all(), sink);
}

/// The column in which each row's product with a matrix, plus `bias`, is largest; the first of several. On this thread.
pub(super) fn argmax<'a>(row: impl Fn(usize) -> &'a [f32], panels: &Panels, bias: &[f32], best: &mut [i64]) {
    let mut leaders = vec![Leaders { values: [f32::NEG_INFINITY; LANES], columns: [0; LANES] }; best.len()];
    let sink = Compare { leaders: &mut leaders, bias };
    for_each_sum([best.len(), 1], |index, _| Some(row(index)), panels.all(), sink);
    for (best, leaders) in best.iter_mut().zip(&leaders) {
        *best = leaders.first_best();
    }
}

/// Where the sums of a row with a panel go. A trait and no closure, so that it is always inlined and becomes vector
/// instructions.
pub(super) trait Sink {
    /// `column` is the panel's first. The panels of a row come in their order, and all those of [`BLOCK`] rows before those
    /// of the next ones. `FUSED` says whether a product and a sum are one instruction.
    fn take<const FUSED: bool>(&mut self, row: usize, column: usize, sums: &[f32; LANES]);
}

/// Writes sums to their places.
struct Store<'a> {
    onto: Onto<'a>,
    out: Destination<'a>,
    n_outputs: usize,
}

impl Sink for Store<'_> {
    #[inline(always)]
    fn take<const FUSED: bool>(&mut self, row: usize, column: usize, sums: &[f32; LANES]) {
        let n_columns = (self.n_outputs - column).min(LANES);
        let out = &mut self.out.values[row * self.out.stride + column..][..n_columns];
        let mut lanes = *sums;
        match self.onto {
            Onto::Zero => {}
            Onto::Bias(bias) => add_start(&mut lanes, &bias[column..]),
            Onto::Old => add_start(&mut lanes, out),
        }
        match <&mut [f32; LANES]>::try_from(&mut *out) {
            Ok(out) => *out = lanes,
            Err(_) => out.iter_mut().zip(lanes).for_each(|(out, lane)| *out = lane),
        }
    }
}

/// Remembers the largest sums.
struct Compare<'a> {
    leaders: &'a mut [Leaders],
    bias: &'a [f32],
}

impl Sink for Compare<'_> {
    #[inline(always)]
    fn take<const FUSED: bool>(&mut self, row: usize, column: usize, sums: &[f32; LANES]) {
        self.leaders[row].compare(sums, column, &self.bias[column..]);
    }
}

/// The largest value so far in every lane, and its column.
#[derive(Clone)]
struct Leaders {
    values: [f32; LANES],
    columns: [i32; LANES],
}

impl Leaders {
    #[inline(always)]
    fn compare(&mut self, sums: &[f32; LANES], column: usize, bias: &[f32]) {
        // Columns that fill the last panel have no bias; there is none below this one.
        let mut values = [f32::NEG_INFINITY; LANES];
        fill_start(&mut values, bias);
        values.iter_mut().zip(sums).for_each(|(value, sum)| *value += sum);
        for (lane, &value) in values.iter().enumerate() {
            let is_better = value > self.values[lane];
            self.values[lane] = if is_better { value } else { self.values[lane] };
            self.columns[lane] = if is_better { (column + lane) as i32 } else { self.columns[lane] };
        }
    }

    fn first_best(&self) -> i64 {
        let highest = self.values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let best = self.values.iter().zip(&self.columns).filter(|(value, _)| **value >= highest);
        i64::from(best.map(|(_, &column)| column).min().unwrap_or(0))
    }
}

/// Hands every panel's sums of every row to `sink`.
///
/// `row(r, tap)` is as [`product`] describes it, for `[n_rows, n_taps]` parts.
pub(super) fn for_each_sum<'a>(
    shape: [usize; 2],
    row: impl Fn(usize, usize) -> Option<&'a [f32]>,
    panels: Stretch<'_>,
    sink: impl Sink,
) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        fn widest<'a>(
            shape: [usize; 2],
            row: impl Fn(usize, usize) -> Option<&'a [f32]>,
            panels: Stretch<'_>,
            sink: impl Sink,
        ) {
            for_each_sum_of::<true, 2, _>(shape, row, panels, sink);
        }
        #[target_feature(enable = "avx2,fma")]
        fn wide<'a>(
            shape: [usize; 2],
            row: impl Fn(usize, usize) -> Option<&'a [f32]>,
            panels: Stretch<'_>,
            sink: impl Sink,
        ) {
            for_each_sum_of::<true, 1, _>(shape, row, panels, sink);
        }
        if has_widest_vectors() {
            // SAFETY: the processor has what the function is compiled for.
            #[allow(unsafe_code, reason = "code for a processor feature is called after asking for it")]
            return unsafe { widest(shape, row, panels, sink) };
        }
        if has_wide_vectors() {
            // SAFETY: the processor has what the function is compiled for.
            #[allow(unsafe_code, reason = "code for a processor feature is called after asking for it")]
            return unsafe { wide(shape, row, panels, sink) };
        }
    }
    for_each_sum_of::<HAS_FUSED, 1, _>(shape, row, panels, sink);
}

#[inline(always)]
fn for_each_sum_of<'a, const FUSED: bool, const PANELS: usize, S: Sink>(
    [n_rows, n_taps]: [usize; 2],
    row: impl Fn(usize, usize) -> Option<&'a [f32]>,
    panels: Stretch<'_>,
    mut sink: S,
) {
    let n_inputs = panels.n_inputs / n_taps;
    let mut packed = vec![[0.0; TILE]; panels.n_inputs * n_rows.min(BLOCK).div_ceil(TILE)];
    let mut is_there = vec![false; n_taps * BLOCK.div_ceil(TILE)];
    for first in (0..n_rows).step_by(BLOCK) {
        let n_block = (n_rows - first).min(BLOCK);
        // The rows are shared out evenly: tiles of 6 and 5 rows are faster than one of 6 and a rest of 2.
        let n_tiles = n_block.div_ceil(TILE);
        let rows_of_tile = |tile: usize| n_block * tile / n_tiles..n_block * (tile + 1) / n_tiles;
        let parts = packed.chunks_exact_mut(n_inputs).zip(&mut is_there).take(n_tiles * n_taps);
        for (index, (packed, is_there)) in parts.enumerate() {
            let (tile, tap) = (index / n_taps, index % n_taps);
            *is_there = pack(rows_of_tile(tile).map(|index| row(first + index, tap)), packed);
        }
        for (index, group) in panels.values.chunks(PANELS * panels.n_inputs).enumerate() {
            for tile in 0..n_tiles {
                let rows = rows_of_tile(tile);
                let mut sums = [[[0.0; LANES]; TILE]; PANELS];
                for tap in 0..n_taps {
                    let part = tile * n_taps + tap;
                    if is_there[part] {
                        let packed = &packed[part * n_inputs..][..n_inputs];
                        add_products_to(packed, (group, panels.n_inputs, tap * n_inputs), rows.len(), &mut sums);
                    }
                }
                let n_panels = group.len() / panels.n_inputs;
                for (panel, sums) in sums.iter().enumerate().take(n_panels) {
                    for (row, sums) in rows.clone().zip(sums) {
                        sink.take::<FUSED>(first + row, (index * PANELS + panel) * LANES, sums);
                    }
                }
            }
        }
    }
}

/// Adds to the sums of each panel of `group`, `PANELS` of them or fewer, the products of `n_rows` packed rows with a part of
/// it: the panels lie `stride` apart, and the part begins `first` after the beginning of each.
#[inline(always)]
fn add_products_to<const PANELS: usize>(
    packed: &[[f32; TILE]],
    (group, stride, first): (&[[f32; LANES]], usize, usize),
    n_rows: usize,
    sums: &mut [[[f32; LANES]; TILE]; PANELS],
) {
    let part = |panel: usize| &group[panel * stride + first..][..packed.len()];
    if group.len() == PANELS * stride {
        add_products(packed, std::array::from_fn::<_, PANELS, _>(part), n_rows, sums);
    } else {
        let n_panels = group.len() / stride;
        for (panel, sums) in sums.iter_mut().enumerate().take(n_panels) {
            add_products(packed, [part(panel)], n_rows, std::array::from_mut(sums));
        }
    }
}

/// Packs one part of a tile's rows, a number of each row side by side; returns whether any row has that part.
#[inline(always)]
fn pack<'a>(rows: impl Iterator<Item = Option<&'a [f32]>>, packed: &mut [[f32; TILE]]) -> bool {
    let mut is_there = false;
    for (slot, row) in rows.enumerate() {
        match row {
            Some(row) => packed.iter_mut().zip(row).for_each(|(lanes, &value)| lanes[slot] = value),
            None => packed.iter_mut().for_each(|lanes| lanes[slot] = 0.0),
        }
        is_there |= row.is_some();
    }
    is_there
}

/// One tile: adds to the sums of each panel the products of `n_rows` packed rows with it.
fn add_products<const PANELS: usize>(
    packed: &[[f32; TILE]],
    panels: [&[[f32; LANES]]; PANELS],
    n_rows: usize,
    sums: &mut [[[f32; LANES]; TILE]; PANELS],
) {
    #[cfg(target_arch = "x86_64")]
    {
        if has_widest_vectors() {
            // SAFETY: the processor has what the function is compiled for.
            #[allow(unsafe_code, reason = "code for a processor feature is called after asking for it")]
            return unsafe { add_products_of_wide_lanes(packed, panels, n_rows, sums) };
        }
    }
    // Elsewhere the sums of two panels do not fit the registers.
    for (panel, sums) in panels.into_iter().zip(sums) {
        add_products_with(packed, panel, n_rows, sums);
    }
}

/// [`add_products`] for one panel, without AVX-512.
fn add_products_with(packed: &[[f32; TILE]], panel: &[[f32; LANES]], n_rows: usize, sums: &mut [[f32; LANES]; TILE]) {
    #[cfg(target_arch = "x86_64")]
    {
        // Not inlined: alone, the loop has all registers for its sums.
        #[inline(never)]
        #[target_feature(enable = "avx2,fma")]
        fn wide(packed: &[[f32; TILE]], panel: &[[f32; LANES]], n_rows: usize, sums: &mut [[f32; LANES]; TILE]) {
            add_products_of::<true>(packed, panel, n_rows, sums);
        }
        if has_wide_vectors() {
            // SAFETY: the processor has what the function is compiled for.
            #[allow(unsafe_code, reason = "code for a processor feature is called after asking for it")]
            return unsafe { wide(packed, panel, n_rows, sums) };
        }
    }
    add_products_of::<HAS_FUSED>(packed, panel, n_rows, sums);
}

#[inline(always)]
fn add_products_of<const FUSED: bool>(
    packed: &[[f32; TILE]],
    panel: &[[f32; LANES]],
    n_rows: usize,
    sums: &mut [[f32; LANES]; TILE],
) {
    match n_rows {
        1 => accumulate::<1, FUSED>(packed, panel, sums),
        2 => accumulate::<2, FUSED>(packed, panel, sums),
        3 => accumulate::<3, FUSED>(packed, panel, sums),
        4 => accumulate::<4, FUSED>(packed, panel, sums),
        5 => accumulate::<5, FUSED>(packed, panel, sums),
        _ => accumulate::<TILE, FUSED>(packed, panel, sums),
    }
}

/// The inner loop. Its bounds are constants, so that the compiler keeps all sums in registers.
#[inline(always)]
fn accumulate<const ROWS: usize, const FUSED: bool>(
    packed: &[[f32; TILE]],
    panel: &[[f32; LANES]],
    all: &mut [[f32; LANES]; TILE],
) {
    let mut sums = [[0.0_f32; LANES]; ROWS];
    for (rows, lanes) in packed.iter().zip(panel) {
        for (sums, &x) in sums.iter_mut().zip(rows) {
            for (sum, &weight) in sums.iter_mut().zip(lanes) {
                // Without the instruction, `mul_add` would call a slow routine.
                *sum = if FUSED { x.mul_add(weight, *sum) } else { *sum + x * weight };
            }
        }
    }
    for (all, sums) in all.iter_mut().zip(&sums) {
        all.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
    }
}

/// [`add_products`] with AVX-512, where a register holds all lanes of a panel. The compiler makes single multiplications of
/// a loop over several panels, so the instructions are named.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
fn add_products_of_wide_lanes<const PANELS: usize>(
    packed: &[[f32; TILE]],
    panels: [&[[f32; LANES]]; PANELS],
    n_rows: usize,
    sums: &mut [[[f32; LANES]; TILE]; PANELS],
) {
    match n_rows {
        1 => accumulate_wide_lanes::<1, PANELS>(packed, panels, sums),
        2 => accumulate_wide_lanes::<2, PANELS>(packed, panels, sums),
        3 => accumulate_wide_lanes::<3, PANELS>(packed, panels, sums),
        4 => accumulate_wide_lanes::<4, PANELS>(packed, panels, sums),
        5 => accumulate_wide_lanes::<5, PANELS>(packed, panels, sums),
        _ => accumulate_wide_lanes::<TILE, PANELS>(packed, panels, sums),
    }
}

/// The inner loop of [`add_products_of_wide_lanes`].
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
fn accumulate_wide_lanes<const ROWS: usize, const PANELS: usize>(
    packed: &[[f32; TILE]],
    panels: [&[[f32; LANES]]; PANELS],
    all: &mut [[[f32; LANES]; TILE]; PANELS],
) {
    use std::arch::x86_64::{__m512, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps};
    let load = |lanes: &[f32; LANES]| -> __m512 {
        // SAFETY: the sixteen values that are read are those of the array.
        #[allow(unsafe_code, reason = "a register is loaded from an array of its size")]
        unsafe {
            _mm512_loadu_ps(lanes.as_ptr())
        }
    };
    let panels = panels.map(|panel| &panel[..packed.len()]);
    let mut sums = [[_mm512_setzero_ps(); ROWS]; PANELS];
    for (index, rows) in packed.iter().enumerate() {
        for (sums, panel) in sums.iter_mut().zip(panels) {
            let lanes = load(&panel[index]);
            for (sum, &x) in sums.iter_mut().zip(rows) {
                *sum = _mm512_fmadd_ps(_mm512_set1_ps(x), lanes, *sum);
            }
        }
    }
    for (all, sums) in all.iter_mut().zip(&sums) {
        for (all, sum) in all.iter_mut().zip(sums) {
            let sum = lanes_of(*sum);
            all.iter_mut().zip(&sum).for_each(|(all, sum)| *all += sum);
        }
    }
}

/// The numbers of a register.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
fn lanes_of(register: std::arch::x86_64::__m512) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    // SAFETY: the sixteen values that are written are those of the array.
    #[allow(unsafe_code, reason = "a register is stored to an array of its size")]
    unsafe {
        std::arch::x86_64::_mm512_storeu_ps(lanes.as_mut_ptr(), register);
    }
    lanes
}

/// [`product`] for rows that lie side by side, shared among threads.
pub(super) fn product_of_all<'a>(
    n_taps: usize,
    row: impl Fn(usize, usize) -> Option<&'a [f32]> + Sync,
    panels: &Panels,
    onto: Onto<'_>,
    out: &mut [f32],
) {
    let stride = panels.n_outputs;
    let n_rows = out.len() / stride;
    let n_part = rows_of_part(n_rows, panels.n_inputs * panels.n_outputs);
    out.par_chunks_mut(n_part * stride).enumerate().for_each(|(part, values)| {
        let out = Destination { n_rows: values.len() / stride, values, stride };
        product(n_taps, |index, tap| row(part * n_part + index, tap), panels, onto, out);
    });
}

/// How many of `n_rows` rows one thread takes, where each costs `cost` multiplications.
pub(super) fn rows_of_part(n_rows: usize, cost: usize) -> usize {
    let is_serial = n_rows * cost < SERIAL;
    let n_parts = if is_serial { 1 } else { rayon::current_num_threads() };
    n_rows.div_ceil(n_parts).max(1)
}

/// Copies the first values, as many as there are lanes, or all of fewer.
#[inline(always)]
pub(super) fn fill_start<const N: usize>(lanes: &mut [f32; N], values: &[f32]) {
    // A copy of known length is a few moves and not a call.
    match values.first_chunk() {
        Some(values) => *lanes = *values,
        None => lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane = *value),
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
    row: impl Fn(usize, usize) -> Option<&'a [f32]> + Sync,
    n_outputs: usize,
    upstream: impl Fn(usize) -> &'b [f32] + Sync,
) -> WeightGradient {
    let RowShape { n_rows, n_taps, n_inputs } = shape;
    let rows = packed_rows(shape, row);
    let (panels, bias) = packed_upstream(n_rows, n_outputs, upstream);
    let n_panels = n_outputs.div_ceil(LANES);
    let mut columns = vec![[0.0; LANES]; n_panels * n_taps * n_inputs];
    columns.par_chunks_mut(GROUP * n_taps * n_inputs).enumerate().for_each(|(group, columns)| {
        let panels = panels.chunks_exact(n_panels * SUM_BLOCK).map(|block| &block[group * GROUP * SUM_BLOCK..]);
        add_columns(shape, &rows, panels, columns);
    });
    let mut weight = vec![0.0; n_taps * n_inputs * n_outputs];
    for (panel, columns) in columns.chunks_exact(n_taps * n_inputs).enumerate() {
        for (row, lanes) in weight.chunks_exact_mut(n_outputs).zip(columns) {
            row[panel * LANES..].iter_mut().zip(lanes).for_each(|(value, lane)| *value = *lane);
        }
    }
    WeightGradient { weight, bias }
}

/// The rows in blocks of [`SUM_BLOCK`], each block one tile of inputs after the other: what one block of the sums reads lies
/// in one piece, which the cache can hold.
fn packed_rows<'a>(
    RowShape { n_rows, n_taps, n_inputs }: RowShape,
    row: impl Fn(usize, usize) -> Option<&'a [f32]> + Sync,
) -> Vec<[f32; TILE]> {
    let n_tiles = n_inputs.div_ceil(TILE);
    let n_parts = n_taps * n_tiles;
    let mut packed = vec![[0.0; TILE]; n_rows.div_ceil(SUM_BLOCK) * n_parts * SUM_BLOCK];
    packed.par_chunks_exact_mut(SUM_BLOCK).enumerate().for_each(|(index, packed)| {
        let (begin, part) = (index / n_parts * SUM_BLOCK, index % n_parts);
        let (tap, first) = (part / n_tiles, part % n_tiles * TILE);
        for (index, lanes) in packed.iter_mut().take(n_rows - begin).enumerate() {
            if let Some(part) = row(begin + index, tap) {
                fill_start(lanes, &part[first..]);
            }
        }
    });
    packed
}

/// What comes from above in the same blocks, each one panel of outputs after the other, and the sum over all rows.
fn packed_upstream<'b>(
    n_rows: usize,
    n_outputs: usize,
    upstream: impl Fn(usize) -> &'b [f32] + Sync,
) -> (Vec<[f32; LANES]>, Vec<f32>) {
    let n_panels = n_outputs.div_ceil(LANES);
    let n_blocks = n_rows.div_ceil(SUM_BLOCK);
    let mut panels = vec![[0.0; LANES]; n_blocks * n_panels * SUM_BLOCK];
    let mut sums = vec![0.0; n_blocks * n_outputs];
    let blocks = panels.par_chunks_exact_mut(n_panels * SUM_BLOCK).zip(sums.par_chunks_exact_mut(n_outputs));
    blocks.enumerate().for_each(|(block, (panels, sums))| {
        let begin = block * SUM_BLOCK;
        for row in 0..(n_rows - begin).min(SUM_BLOCK) {
            let values = upstream(begin + row);
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            for (panel, values) in values.chunks(LANES).enumerate() {
                fill_start(&mut panels[panel * SUM_BLOCK + row], values);
            }
        }
    });
    let mut total = vec![0.0; n_outputs];
    for sums in sums.chunks_exact(n_outputs) {
        total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    (panels, total)
}

/// Adds up some panels of a gradient, `taps * inputs` rows each; `panels` shows for each block those panels from above.
fn add_columns<'b>(
    RowShape { n_rows, n_taps, n_inputs }: RowShape,
    rows: &[[f32; TILE]],
    panels: impl Iterator<Item = &'b [[f32; LANES]]>,
    columns: &mut [[f32; LANES]],
) {
    let n_tiles = n_inputs.div_ceil(TILE);
    for (block, (rows, panels)) in rows.chunks_exact(n_taps * n_tiles * SUM_BLOCK).zip(panels).enumerate() {
        let n_block = (n_rows - block * SUM_BLOCK).min(SUM_BLOCK);
        let n_column = n_taps * n_inputs;
        for (panels, columns) in panels.chunks(PAIR * SUM_BLOCK).zip(columns.chunks_mut(PAIR * n_column)) {
            let panels = &panels[..columns.len() / n_column * SUM_BLOCK];
            for (part, rows) in rows.chunks_exact(SUM_BLOCK).enumerate() {
                let (tap, input) = (part / n_tiles, part % n_tiles * TILE);
                let n_here = (n_inputs - input).min(TILE);
                let mut sums = [[[0.0; LANES]; TILE]; PAIR];
                add_products_to(&rows[..n_block], (panels, SUM_BLOCK, 0), n_here, &mut sums);
                for (column, sums) in columns.chunks_exact_mut(n_column).zip(&sums) {
                    let column = &mut column[tap * n_inputs + input..][..n_here];
                    column.iter_mut().zip(sums).for_each(|(column, sums)| add_start(column, sums));
                }
            }
        }
    }
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
            let part = |row: usize, tap: usize| Some(&rows[row * n_all + tap * n_inputs..][..n_inputs]);
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
                    product_of_all(n_taps, part, panels, onto, &mut out);
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
        fn the_largest_product_is_found(n_rows in 1_usize..60, n_inputs in 1_usize..20, n_outputs in 1_usize..40) {
            let (rows, weights) = (numbers(n_rows * n_inputs, 1), numbers(n_outputs * n_inputs, 2));
            let bias = numbers(n_outputs, 3);
            let mut best = vec![0; n_rows];
            let panels = Panels::of_transpose(Matrix::new(&weights, n_inputs));
            argmax(|row| &rows[row * n_inputs..][..n_inputs], &panels, &bias, &mut best);
            for (row, &best) in rows.chunks_exact(n_inputs).zip(&best) {
                let value = |column: usize| {
                    let weights = &weights[column * n_inputs..][..n_inputs];
                    bias[column] + row.iter().zip(weights).map(|(x, weight)| x * weight).sum::<f32>()
                };
                for column in 0..n_outputs {
                    prop_assert!(value(column) < value(best as usize) || (column as i64 >= best && value(column) <= value(best as usize)));
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
            let part = |row: usize, tap: usize| Some(&rows[row * n_all + tap * n_inputs..][..n_inputs]);
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
