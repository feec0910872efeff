//! Attention of the states of a text to the places of its source.
//!
//! ```text
//! p_ij = softmax_j(q_i . k_j / sqrt(head width) + mask_j),   out_i = sum_j p_ij v_j
//! ```
//!
//! Texts are independent and shared among threads. Kept for the backward pass: queries `[batch, states, width]`, keys and
//! values side by side `[batch, places, 2 * width]`, and the weights `p`, `[batch, heads, states, places]`.

use rayon::prelude::*;

use super::arithmetic::{exp, vectorized};
use super::attention::{Pass, before_softmax, multiply};
use super::product::{Matrix, Panels};

/// Sizes of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) batch: usize,
    pub(super) n_states: usize,
    pub(super) n_places: usize,
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

    /// Sizes of a text's queries and outputs, of its memory, and of its weights.
    fn sizes(self) -> [usize; 3] {
        [self.n_states * self.width, self.n_places * 2 * self.width, self.n_heads * self.n_states * self.n_places]
    }

    fn queries(self, of_text: &[f32], head: usize) -> Matrix<'_> {
        Matrix::new(of_text, self.width).columns(head * self.head_width(), self.head_width())
    }

    /// Keys (0) or values (1) of one head.
    fn memory(self, of_text: &[f32], part: usize, head: usize) -> Matrix<'_> {
        Matrix::new(of_text, 2 * self.width).columns(part * self.width + head * self.head_width(), self.head_width())
    }
}

/// What each state gathers, and how it weighed the places: see [`Pass`].
pub(super) fn forward(shape: Shape, queries: &[f32], memory: &[f32], mask: &[f32]) -> Pass {
    let [of_queries, of_memory, of_weights] = shape.sizes();
    let mut outputs = vec![0.0; shape.batch * of_queries];
    let mut weights = vec![0.0; shape.batch * of_weights];
    let texts = queries.par_chunks_exact(of_queries).zip(memory.par_chunks_exact(of_memory));
    let texts = texts.zip(mask.par_chunks_exact(shape.n_places));
    let passes = outputs.par_chunks_exact_mut(of_queries).zip(weights.par_chunks_exact_mut(of_weights));
    passes.zip(texts).for_each(|((outputs, weights), ((queries, memory), mask))| {
        for (head, weights) in weights.chunks_exact_mut(shape.n_states * shape.n_places).enumerate() {
            let keys = Panels::of_transpose(shape.memory(memory, 0, head));
            multiply(shape.queries(queries, head), &keys, weights, shape.n_places);
            softmax(shape.scale(), mask, weights);
            let values = Panels::of(shape.memory(memory, 1, head));
            let first = head * shape.head_width();
            multiply(Matrix::new(weights, shape.n_places), &values, &mut outputs[first..], shape.width);
        }
    });
    Pass { outputs, weights }
}

vectorized! {
    /// Weights from scores, row by row.
    pub(super) fn softmax(scale: f32, mask: &[f32], scores: &mut [f32]) {
        for row in scores.chunks_exact_mut(mask.len()) {
            for (score, mask) in row.iter_mut().zip(mask) {
                *score = *score * scale + mask;
            }
            // A comparison passes over `NaN`; the exponential and the sum pass it on.
            let highest = row.iter().fold(f32::MIN, |highest, &score| if score > highest { score } else { highest });
            for score in row.iter_mut() {
                *score = exp::<FUSED>(*score - highest);
            }
            let scale = 1.0 / row.iter().sum::<f32>();
            for weight in row {
                *weight *= scale;
            }
        }
    }
}

/// Gradients of queries and memory.
pub(super) struct Gradients {
    pub(super) queries: Vec<f32>,
    pub(super) memory: Vec<f32>,
}

/// The gradients of all that was multiplied.
pub(super) fn backward(shape: Shape, queries: &[f32], memory: &[f32], weights: &[f32], upstream: &[f32]) -> Gradients {
    let [of_queries, of_memory, of_weights] = shape.sizes();
    let mut of_query_inputs = vec![0.0; queries.len()];
    let mut of_memory_inputs = vec![0.0; memory.len()];
    let texts = queries.par_chunks_exact(of_queries).zip(memory.par_chunks_exact(of_memory));
    let kept = weights.par_chunks_exact(of_weights).zip(upstream.par_chunks_exact(of_queries));
    let found = of_query_inputs.par_chunks_exact_mut(of_queries);
    let found = found.zip(of_memory_inputs.par_chunks_exact_mut(of_memory));
    found.zip(texts.zip(kept)).for_each(|((of_queries, of_memory), ((queries, memory), (weights, upstream)))| {
        for (head, weights) in weights.chunks_exact(shape.n_states * shape.n_places).enumerate() {
            let upstream = shape.queries(upstream, head);
            let mut of_scores = vec![0.0; weights.len()];
            let values = Panels::of_transpose(shape.memory(memory, 1, head));
            multiply(upstream, &values, &mut of_scores, shape.n_places);
            before_softmax(shape.n_places, weights, &mut of_scores);
            of_scores.iter_mut().for_each(|score| *score *= shape.scale());

            let first = head * shape.head_width();
            let scores = Matrix::new(&of_scores, shape.n_places);
            let keys = Panels::of(shape.memory(memory, 0, head));
            multiply(scores, &keys, &mut of_queries[first..], shape.width);
            let turned = transposed(shape.n_places, &of_scores);
            let queries = Panels::of(shape.queries(queries, head));
            let turned = Matrix::new(&turned, shape.n_states);
            multiply(turned, &queries, &mut of_memory[first..], 2 * shape.width);
            let turned = transposed(shape.n_places, weights);
            let turned = Matrix::new(&turned, shape.n_states);
            multiply(turned, &Panels::of(upstream), &mut of_memory[shape.width + first..], 2 * shape.width);
        }
    });
    Gradients { queries: of_query_inputs, memory: of_memory_inputs }
}

/// The transpose of a matrix of so many columns.
fn transposed(n_columns: usize, matrix: &[f32]) -> Vec<f32> {
    (0..n_columns).flat_map(|column| matrix.iter().skip(column).step_by(n_columns).copied()).collect()
}
