//! Self-attention with rotary positions, causal or over whole texts, from queries, keys and values to what each place has gathered.
//!
//! ```text
//! q_i = R_i q'_i / sqrt(head width),   k_j = R_j k'_j
//! p_ij = softmax over j <= i of q_i . k_j,   out_i = sum_j p_ij v_j
//! ```
//!
//! with the rotation `R_i` by place `i` (Su et al. 2021, eq. 34; entry `e` of the first half of a head turns with entry `e`
//! of the second). Sequences are independent and shared among threads; one head of one sequence fits in the cache. Texts
//! are padded on the right, where the causal order keeps padding out of sight; where every place is seen, a mask does. Kept for the
//! backward pass: the input `[batch, time, 3 * width]` and the weights `p`, `[batch, heads, time, time]`.

use rayon::prelude::*;

use super::arithmetic::{exp, vectorized};
use super::product::{Destination, Matrix, Onto, Panels, product, rows_of_part};
use super::source_attention;

/// Sizes of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) batch: usize,
    pub(super) time: usize,
    /// Of all heads together.
    pub(super) width: usize,
    pub(super) n_heads: usize,
}

impl Shape {
    fn head_width(self) -> usize {
        self.width / self.n_heads
    }

    fn scale(self) -> f32 {
        (self.head_width() as f32).sqrt().recip()
    }

    /// Sizes of a sequence's input, weights and output.
    fn sizes(self) -> [usize; 3] {
        [self.time * 3 * self.width, self.n_heads * self.time * self.time, self.time * self.width]
    }

    /// Queries (0), keys (1) or values (2) of one head, a view of a sequence's input or of its gradient.
    fn part(self, of_sequence: &[f32], part: usize, head: usize) -> Matrix<'_> {
        let first = part * self.width + head * self.head_width();
        Matrix::new(of_sequence, 3 * self.width).columns(first, self.head_width())
    }
}

/// What each place has gathered, and how it weighed the others.
pub(super) struct Pass {
    /// `[batch, time, width]`
    pub(super) outputs: Vec<f32>,
    /// `[batch, heads, time, time]`
    pub(super) weights: Vec<f32>,
}

/// Attention over queries, keys and values, `[batch, time, 3 * width]`; with a mask, `[batch, time]`, over all places that it
/// does not forbid instead of those before.
pub(super) fn forward(shape: Shape, inputs: &[f32], mask: Option<&[f32]>) -> Pass {
    let [of_input, of_weights, of_output] = shape.sizes();
    let turn = Turn::new(shape);
    let mut outputs = vec![0.0; shape.batch * of_output];
    let mut weights = vec![0.0; shape.batch * of_weights];
    let sequences = outputs.par_chunks_exact_mut(of_output).zip(weights.par_chunks_exact_mut(of_weights));
    sequences.zip(inputs.par_chunks_exact(of_input)).enumerate().for_each(|(text, ((outputs, weights), input))| {
        let mask = mask.map(|mask| &mask[text * shape.time..][..shape.time]);
        for (head, weights) in weights.chunks_exact_mut(shape.time * shape.time).enumerate() {
            attend(shape, &turn, head, input, mask, weights, outputs);
        }
    });
    Pass { outputs, weights }
}

fn attend(
    shape: Shape,
    turn: &Turn,
    head: usize,
    input: &[f32],
    mask: Option<&[f32]>,
    weights: &mut [f32],
    outputs: &mut [f32],
) {
    let Shape { time, width, .. } = shape;
    let queries = turn.applied(shape.part(input, 0, head), shape.scale());
    let keys = turn.applied(shape.part(input, 1, head), 1.0);
    multiply(
        Matrix::new(&queries, shape.head_width()),
        &Panels::of_transpose(Matrix::new(&keys, shape.head_width())),
        weights,
        time,
    );
    match mask {
        Some(mask) => source_attention::softmax(1.0, mask, weights),
        None => softmax(time, weights),
    }
    let values = Panels::of(shape.part(input, 2, head));
    multiply(Matrix::new(weights, time), &values, &mut outputs[head * shape.head_width()..], width);
}

/// The product of all rows with a matrix, written to rows `stride` apart.
pub(super) fn multiply(rows: Matrix<'_>, panels: &Panels, values: &mut [f32], stride: usize) {
    let out = Destination { values, stride, n_rows: rows.n_rows() };
    product(1, |row, _| Some(rows.row(row)), panels, Onto::Zero, out);
}

vectorized! {
    /// Weights from scores: row `i` over its first `i + 1` entries, the others 0.
    fn softmax(time: usize, scores: &mut [f32]) {
        for (place, row) in scores.chunks_exact_mut(time).enumerate() {
            let (seen, later) = row.split_at_mut(place + 1);
            later.fill(0.0);
            // A comparison passes over `NaN`; the exponential and the sum pass it on.
            let highest = seen.iter().fold(f32::MIN, |highest, &score| if score > highest { score } else { highest });
            for score in seen.iter_mut() {
                *score = exp::<FUSED>(*score - highest);
            }
            let scale = 1.0 / seen.iter().sum::<f32>();
            for weight in seen {
                *weight *= scale;
            }
        }
    }
}

/// One more token of each text.
pub(super) struct Token<'a> {
    /// Its queries, keys and values: `[batch, 3 * width]`.
    pub(super) heads: &'a [f32],
    /// Cosines and sines of its place: `[batch, head width / 2]` each.
    pub(super) turn: [&'a [f32]; 2],
    /// Its place among the keys and values that are kept.
    pub(super) place: usize,
}

/// What a token gathers from itself and those before it, `[batch, width]`; its key and value are added to those kept.
///
/// `kept` are turned keys and values, `[batch, time, width]` each, of which the first `token.place` are there; to the scores
/// of a text its row of `mask`, `[batch, time]`, is added.
pub(super) fn step(shape: Shape, token: &Token<'_>, mask: &[f32], kept: [&mut [f32]; 2]) -> Vec<f32> {
    let Shape { batch, time, width, .. } = shape;
    let mut gathered = vec![0.0; batch * width];
    let n_part = rows_of_part(batch, 2 * (token.place + 1) * width);
    let [keys, values] = kept.map(|kept| kept.par_chunks_mut(n_part * time * width));
    let parts = gathered.par_chunks_mut(n_part * width).zip(keys.zip(values));
    parts.enumerate().for_each(|(part, (gathered, (keys, values)))| {
        let mut scores = vec![0.0; token.place + 1];
        let mut query = vec![0.0; shape.head_width()];
        let texts = keys.chunks_exact_mut(time * width).zip(values.chunks_exact_mut(time * width));
        for (index, (gathered, (keys, values))) in gathered.chunks_exact_mut(width).zip(texts).enumerate() {
            let text = part * n_part + index;
            let turn = token.turn.map(|parts| &parts[text * shape.head_width() / 2..][..shape.head_width() / 2]);
            let heads = &token.heads[text * 3 * width..][..3 * width];
            let new = token.place * width..(token.place + 1) * width;
            values[new.clone()].copy_from_slice(&heads[2 * width..]);
            for (head, gathered) in gathered.chunks_exact_mut(shape.head_width()).enumerate() {
                let first = head * shape.head_width();
                turned(shape.part(heads, 0, head).row(0), turn, shape.scale(), &mut query);
                let key = &mut keys[new.start + first..][..shape.head_width()];
                turned(shape.part(heads, 1, head).row(0), turn, 1.0, key);
                gather(&query, &keys[first..], &values[first..], &mask[text * time..], width, &mut scores, gathered);
            }
        }
    });
    gathered
}

/// A row turned by its place and scaled.
fn turned(row: &[f32], [cosines, sines]: [&[f32]; 2], scale: f32, turned: &mut [f32]) {
    turned.iter_mut().zip(row).for_each(|(turned, value)| *turned = value * scale);
    let (first, second) = turned.split_at_mut(row.len() / 2);
    rotate(first, second, cosines, sines);
}

vectorized! {
    /// What a query gathers from as many keys and values as there are scores, which lie `stride` apart.
    pub(super) fn gather(
        query: &[f32],
        keys: &[f32],
        values: &[f32],
        mask: &[f32],
        stride: usize,
        scores: &mut [f32],
        gathered: &mut [f32],
    ) {
        for ((place, score), mask) in scores.iter_mut().enumerate().zip(mask) {
            *score = dot(query, &keys[place * stride..]) + mask;
        }
        // A comparison passes over `NaN`; the exponential and the sum pass it on.
        let highest = fold(scores, f32::MIN, |highest, score| if score > highest { score } else { highest });
        for score in scores.iter_mut() {
            *score = exp::<FUSED>(*score - highest);
        }
        let scale = 1.0 / fold(scores, 0.0, |sum, score| sum + score);
        let (wide, rest) = gathered.split_at_mut(gathered.len() / LANES * LANES);
        let (narrow, last) = rest.split_at_mut(rest.len() / NARROW * NARROW);
        let (before_narrow, before_last) = (wide.len(), wide.len() + narrow.len());
        gather_blocks::<LANES>(scores, values, stride, scale, wide);
        gather_blocks::<NARROW>(scores, &values[before_narrow..], stride, scale, narrow);
        if !last.is_empty() {
            gather_blocks::<1>(scores, &values[before_last..], stride, scale, last);
        }
    }
}

/// Numbers that a loop handles together, and those of a head that is narrower.
const LANES: usize = 16;
const NARROW: usize = 8;

/// The sums of the first values of each row, `N` at a time; rows lie `stride` apart and count by their scores.
#[inline(always)]
fn gather_blocks<const N: usize>(scores: &[f32], values: &[f32], stride: usize, scale: f32, gathered: &mut [f32]) {
    let (fours, rest) = scores.as_chunks::<4>();
    for (index, block) in gathered.as_chunks_mut::<N>().0.iter_mut().enumerate() {
        // The sums of a block stay in registers while the places pass by; four of them, since each waits for its last.
        let mut sums = [[0.0; N]; 4];
        let add = |sums: &mut [f32; N], weight: f32, place: usize| {
            let row = &values[place * stride + N * index..][..N];
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
        };
        for (four, weights) in fours.iter().enumerate() {
            for (lane, (sums, &weight)) in sums.iter_mut().zip(weights).enumerate() {
                add(sums, weight, 4 * four + lane);
            }
        }
        for (lane, (sums, &weight)) in sums.iter_mut().zip(rest).enumerate() {
            add(sums, weight, 4 * fours.len() + lane);
        }
        let [first, second, third, fourth] = sums;
        for (lane, sum) in block.iter_mut().enumerate() {
            *sum = ((first[lane] + second[lane]) + (third[lane] + fourth[lane])) * scale;
        }
    }
}

/// All numbers of a row in one, each lane for itself first.
#[inline(always)]
fn fold(row: &[f32], start: f32, merge: impl Fn(f32, f32) -> f32) -> f32 {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [start; LANES];
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, &number)| *lane = merge(*lane, number));
    }
    lanes.iter().chain(rest).fold(start, |merged, &number| merge(merged, number))
}

/// The product of a row with the beginning of another, in an order that vector registers can follow.
#[inline(always)]
fn dot(row: &[f32], other: &[f32]) -> f32 {
    let other = &other[..row.len()];
    let ((blocks, rest), (others, of_rest)) = (row.as_chunks::<LANES>(), other.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (row, other) in blocks.iter().zip(others) {
        sums.iter_mut().zip(row.iter().zip(other)).for_each(|(sum, (x, y))| *sum += x * y);
    }
    let mut sum = if blocks.is_empty() { 0.0 } else { total(sums) };
    let ((narrow, rest), (others, of_rest)) = (rest.as_chunks::<NARROW>(), of_rest.as_chunks::<NARROW>());
    for (row, other) in narrow.iter().zip(others) {
        sum += total::<NARROW>(std::array::from_fn(|lane| row[lane] * other[lane]));
    }
    sum + rest.iter().zip(of_rest).map(|(x, y)| x * y).sum::<f32>()
}

/// The sum of lanes, halves upon halves; `N` is a power of two.
#[inline(always)]
fn total<const N: usize>(mut lanes: [f32; N]) -> f32 {
    let mut half = N / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The gradient of the input, `[batch, time, 3 * width]`.
pub(super) fn backward(shape: Shape, inputs: &[f32], weights: &[f32], upstream: &[f32]) -> Vec<f32> {
    let [of_input, of_weights, of_output] = shape.sizes();
    let turn = Turn::new(shape);
    let mut gradient = vec![0.0; inputs.len()];
    let sequences = inputs.par_chunks_exact(of_input).zip(upstream.par_chunks_exact(of_output));
    let sequences = sequences.zip(weights.par_chunks_exact(of_weights));
    gradient.par_chunks_exact_mut(of_input).zip(sequences).for_each(|(gradient, ((input, upstream), weights))| {
        for (head, weights) in weights.chunks_exact(shape.time * shape.time).enumerate() {
            before_attention(shape, &turn, head, input, weights, upstream, gradient);
        }
    });
    gradient
}

fn before_attention(
    shape: Shape,
    turn: &Turn,
    head: usize,
    input: &[f32],
    weights: &[f32],
    upstream: &[f32],
    gradient: &mut [f32],
) {
    let Shape { time, width, .. } = shape;
    let head_width = shape.head_width();
    let upstream = Matrix::new(upstream, width).columns(head * head_width, head_width);
    let mut of_scores = vec![0.0; time * time];
    multiply(upstream, &Panels::of_transpose(shape.part(input, 2, head)), &mut of_scores, time);
    before_softmax(time, weights, &mut of_scores);

    let queries = turn.applied(shape.part(input, 0, head), shape.scale());
    let keys = turn.applied(shape.part(input, 1, head), 1.0);
    let [queries_first, keys_first, values_first] = [0, 1, 2].map(|part| part * width + head * head_width);
    let mut turned = vec![0.0; time * head_width];
    multiply(Matrix::new(&of_scores, time), &Panels::of(Matrix::new(&keys, head_width)), &mut turned, head_width);
    turn.undo(&turned, shape.scale(), &mut gradient[queries_first..], 3 * width);
    let of_scores = transposed(time, &of_scores);
    multiply(Matrix::new(&of_scores, time), &Panels::of(Matrix::new(&queries, head_width)), &mut turned, head_width);
    turn.undo(&turned, 1.0, &mut gradient[keys_first..], 3 * width);
    let weights = transposed(time, weights);
    multiply(Matrix::new(&weights, time), &Panels::of(upstream), &mut gradient[values_first..], 3 * width);
}

vectorized! {
    /// From the gradient of the weights to that of the scores.
    pub(super) fn before_softmax(time: usize, weights: &[f32], gradient: &mut [f32]) {
        for (weights, gradient) in weights.chunks_exact(time).zip(gradient.chunks_exact_mut(time)) {
            let mean: f32 = weights.iter().zip(gradient.iter()).map(|(weight, d)| weight * d).sum();
            for (weight, d) in weights.iter().zip(gradient) {
                *d = (*d - mean) * weight;
            }
        }
    }
}

fn transposed(time: usize, square: &[f32]) -> Vec<f32> {
    (0..time * time).map(|index| square[index % time * time + index / time]).collect()
}

/// Sines and cosines of all places: `[time, head width / 2]`.
struct Turn {
    half: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Turn {
    fn new(shape: Shape) -> Self {
        let half = shape.head_width() / 2;
        let angles = angles(half, shape.time);
        let cosines = angles.iter().map(|angle| angle.cos()).collect();
        Self { half, cosines, sines: angles.iter().map(|angle| angle.sin()).collect() }
    }

    /// The rows of `heads`, each turned by its place and scaled.
    fn applied(&self, heads: Matrix<'_>, scale: f32) -> Vec<f32> {
        let mut turned = vec![0.0; heads.n_rows() * 2 * self.half];
        for (place, turned) in turned.chunks_exact_mut(2 * self.half).enumerate() {
            turned.copy_from_slice(heads.row(place));
            turned.iter_mut().for_each(|value| *value *= scale);
            let (first, second) = turned.split_at_mut(self.half);
            rotate(first, second, &self.cosines[place * self.half..], &self.sines[place * self.half..]);
        }
        turned
    }

    /// Turns the gradients of turned rows back, scales them, and writes them to rows `stride` apart.
    fn undo(&self, turned: &[f32], scale: f32, out: &mut [f32], stride: usize) {
        for (place, turned) in turned.chunks_exact(2 * self.half).enumerate() {
            let out = &mut out[place * stride..][..2 * self.half];
            out.copy_from_slice(turned);
            out.iter_mut().for_each(|value| *value *= scale);
            // Turning back is turning with the halves in each other's place.
            let (first, second) = out.split_at_mut(self.half);
            rotate(second, first, &self.cosines[place * self.half..], &self.sines[place * self.half..]);
        }
    }
}

/// The angles by which the first `n_places` places turn: `[places, half]`.
pub(super) fn angles(half: usize, n_places: usize) -> Vec<f32> {
    let speeds: Vec<f32> = (0..half).map(|entry| (-(10_000.0_f32.ln()) / half as f32 * entry as f32).exp()).collect();
    (0..n_places).flat_map(|place| speeds.iter().map(move |speed| place as f32 * speed)).collect()
}

fn rotate(first: &mut [f32], second: &mut [f32], cosines: &[f32], sines: &[f32]) {
    for (((first, second), cosine), sine) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
        (*first, *second) = (*first * cosine - *second * sine, *second * cosine + *first * sine);
    }
}
