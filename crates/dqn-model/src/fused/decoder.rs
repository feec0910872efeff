//! A pretrained language model that reads and writes, on plain numbers.
//!
//! All weights are packed once. Texts of a pass may have any number of new tokens each: these are rows one under the other,
//! without padding, so that the first pass over prompts and one more token for each text are the same code. Keys and values
//! lie in one [`Memory`] for each text, which is moved, not copied, when texts are sorted, join or leave. What a text gets
//! does not depend, bit for bit, on those it is read with.

use rayon::prelude::*;

use super::arithmetic::{sigmoid, tanh, vectorized};
use super::attention::gather;
use super::product::{Matrix, Onto, Panels, SERIAL};
use super::shared_product::multiply_rows;

/// Sizes of a decoder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) width: usize,
    pub(crate) n_heads: usize,
    pub(crate) n_key_value_heads: usize,
    pub(crate) head_width: usize,
    pub(crate) hidden_width: usize,
    pub(crate) n_layers: usize,
    pub(crate) norm_epsilon: f32,
}

impl Sizes {
    fn query_width(self) -> usize {
        self.n_heads * self.head_width
    }

    fn key_value_width(self) -> usize {
        self.n_key_value_heads * self.head_width
    }
}

/// A matrix `[inputs, outputs]` and what is added to its products, or nothing.
#[derive(Debug)]
pub(crate) struct Weights {
    panels: Panels,
    bias: Vec<f32>,
}

impl Weights {
    /// Matrices `[n_inputs, outputs]` side by side, with their biases where they have any.
    pub(crate) fn side_by_side(n_inputs: usize, matrices: &[(Vec<f32>, Option<Vec<f32>>)]) -> Self {
        let widths = matrices.iter().map(|(matrix, _)| matrix.len() / n_inputs);
        let n_outputs = widths.sum();
        let mut all = Vec::with_capacity(n_inputs * n_outputs);
        for row in 0..n_inputs {
            for (matrix, _) in matrices {
                let n_own = matrix.len() / n_inputs;
                all.extend_from_slice(&matrix[row * n_own..][..n_own]);
            }
        }
        let bias = matrices.iter().filter_map(|(_, bias)| bias.as_deref()).flatten().copied().collect();
        Self { panels: Panels::of(Matrix::new(&all, n_outputs)), bias }
    }

    /// A table `[outputs, inputs]`, as token vectors are kept.
    pub(crate) fn of_table(table: &[f32], n_inputs: usize) -> Self {
        Self { panels: Panels::of_transpose(Matrix::new(table, n_inputs)), bias: Vec::new() }
    }

    /// Products of rows that begin `stride` apart.
    fn apply(&self, rows: &[f32], stride: usize) -> Vec<f32> {
        let n_rows = rows.len() / stride;
        let mut out = vec![0.0; n_rows * self.panels.n_outputs()];
        let onto = if self.bias.is_empty() { Onto::Zero } else { Onto::Bias(&self.bias) };
        multiply_rows(rows, stride, &self.panels, onto, &mut out);
        out
    }

    /// Adds the products of rows that begin `stride` apart to `out`.
    fn add(&self, rows: &[f32], stride: usize, out: &mut [f32]) {
        if !self.bias.is_empty() {
            let rows = out.chunks_exact_mut(self.bias.len());
            rows.for_each(|row| row.iter_mut().zip(&self.bias).for_each(|(out, bias)| *out += bias));
        }
        multiply_rows(rows, stride, &self.panels, Onto::Old, out);
    }
}

/// What rows are normalised with; without a bias, no mean is subtracted.
#[derive(Debug)]
pub(crate) struct NormWeights {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Option<Vec<f32>>,
}

impl NormWeights {
    fn apply(&self, rows: &[f32], epsilon: f32) -> Vec<f32> {
        let mut out = vec![0.0; rows.len()];
        match &self.bias {
            Some(bias) => normalise::<true>(rows, &self.weight, bias, epsilon, &mut out),
            None => normalise::<false>(rows, &self.weight, &[], epsilon, &mut out),
        }
        out
    }
}

/// The weights of a block.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: NormWeights,
    /// Queries, keys and values side by side.
    pub(crate) heads: Weights,
    pub(crate) attention_output: Weights,
    pub(crate) hidden_norm: NormWeights,
    /// Gate and hidden units side by side, or the hidden units alone.
    pub(crate) up: Weights,
    pub(crate) down: Weights,
}

/// The weights of a model.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) sizes: Sizes,
    /// By how much each pair of entries of a head turns from place to place; none where positions are learned.
    pub(crate) speeds: Option<Vec<f32>>,
    pub(crate) embedding: Weights,
    /// `[positions, width]`
    pub(crate) positions: Option<Vec<f32>>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: NormWeights,
    /// None where it is the table of token vectors.
    pub(crate) output: Option<Weights>,
}

/// Keys and values of a text, allocated ahead.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// For each layer keys, turned by their places, then values: `[capacity, key width]` each.
    layers: Vec<f32>,
    capacity: usize,
    n_tokens: usize,
    key_value_width: usize,
}

impl Memory {
    /// Of a text without tokens, with room for `capacity`.
    pub(crate) fn new(sizes: Sizes, capacity: usize) -> Self {
        let key_value_width = sizes.key_value_width();
        let layers = vec![0.0; sizes.n_layers * 2 * capacity * key_value_width];
        Self { layers, capacity, n_tokens: 0, key_value_width }
    }

    pub(crate) fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Keys (0) or values (1) of a layer.
    fn part(&self, layer: usize, part: usize) -> &[f32] {
        let n = self.capacity * self.key_value_width;
        &self.layers[(2 * layer + part) * n..][..n]
    }

    fn write(&mut self, layer: usize, part: usize, place: usize, values: &[f32]) {
        let first = ((2 * layer + part) * self.capacity + place) * self.key_value_width;
        self.layers[first..first + self.key_value_width].copy_from_slice(values);
    }

    /// Makes room for `n_new` more tokens; where there is none, for as many again, so that a text is copied a few times only.
    fn make_room(&mut self, n_new: usize) {
        let needed = self.n_tokens + n_new;
        if needed <= self.capacity {
            return;
        }
        let capacity = needed.max(2 * self.capacity);
        let (old, new) = (self.capacity * self.key_value_width, capacity * self.key_value_width);
        let n_used = self.n_tokens * self.key_value_width;
        let n_parts = self.layers.len().checked_div(old).unwrap_or(0);
        let mut layers = vec![0.0; n_parts * new];
        for (to, from) in layers.chunks_exact_mut(new).zip(self.layers.chunks_exact(old)) {
            to[..n_used].copy_from_slice(&from[..n_used]);
        }
        (self.layers, self.capacity) = (layers, capacity);
    }
}

/// A new token: its text, and its place there.
#[derive(Clone, Copy)]
struct Row {
    text: usize,
    place: usize,
}

impl Decoder {
    /// Reads more tokens of each text: hidden states of all of them, one text after the other, `[all tokens, width]`. With
    /// `with_below` what each block reads, divided by its root mean square, stands before the last state of a token:
    /// `[all tokens, (layers + 1) width]`.
    ///
    /// Tokens are known, and places are within the learned ones where those are learned.
    pub(crate) fn read(&self, texts: &mut [Memory], tokens: &[&[u32]], with_below: bool) -> Vec<f32> {
        let Sizes { width, n_layers, norm_epsilon, .. } = self.sizes;
        let mut rows = Vec::new();
        let mut hidden = Vec::new();
        for (text, (memory, tokens)) in texts.iter_mut().zip(tokens).enumerate() {
            memory.make_room(tokens.len());
            for (index, &token) in tokens.iter().enumerate() {
                let row = Row { text, place: memory.n_tokens + index };
                hidden.extend(self.token_vector(token, row.place));
                rows.push(row);
            }
        }
        let turns = self.speeds.as_deref().map(|speeds| Turns::new(speeds, &rows));
        let of_row = (n_layers + 1) * width;
        let mut states = if with_below { vec![0.0; rows.len() * of_row] } else { Vec::new() };
        let unscaled = NormWeights { weight: vec![1.0; width], bias: None };
        for (index, layer) in self.layers.iter().enumerate() {
            if with_below {
                put_states(&unscaled.apply(&hidden, norm_epsilon), width, index, &mut states, of_row);
            }
            self.block(index, layer, &rows, turns.as_ref(), texts, &mut hidden);
        }
        texts.iter_mut().zip(tokens).for_each(|(memory, tokens)| memory.n_tokens += tokens.len());
        let last = self.norm.apply(&hidden, norm_epsilon);
        if !with_below {
            return last;
        }
        put_states(&last, width, n_layers, &mut states, of_row);
        states
    }

    /// What the output layer makes of hidden states: `[rows, vocab]`.
    pub(crate) fn logits(&self, hidden: &[f32]) -> Vec<f32> {
        self.output.as_ref().unwrap_or(&self.embedding).apply(hidden, self.sizes.width)
    }

    fn token_vector(&self, token: u32, place: usize) -> Vec<f32> {
        let width = self.sizes.width;
        let mut vector = vec![0.0; width];
        self.embedding.panels.column(token as usize, &mut vector);
        if let Some(positions) = &self.positions {
            vector.iter_mut().zip(&positions[place * width..]).for_each(|(value, place)| *value += place);
        }
        vector
    }

    /// One block of all rows.
    fn block(
        &self,
        index: usize,
        layer: &Layer,
        rows: &[Row],
        turns: Option<&Turns>,
        texts: &mut [Memory],
        hidden: &mut [f32],
    ) {
        let Sizes { width, hidden_width, norm_epsilon, .. } = self.sizes;
        let (query_width, key_width) = (self.sizes.query_width(), self.sizes.key_value_width());
        let mut heads = layer.heads.apply(&layer.attention_norm.apply(hidden, norm_epsilon), width);
        let of_row = query_width + 2 * key_width;
        for (number, (row, heads)) in rows.iter().zip(heads.chunks_exact_mut(of_row)).enumerate() {
            if let Some(turns) = turns {
                turns.apply(number, &mut heads[..query_width + key_width], self.sizes.head_width);
            }
            let memory = &mut texts[row.text];
            memory.write(index, 0, row.place, &heads[query_width..][..key_width]);
            memory.write(index, 1, row.place, &heads[query_width + key_width..]);
        }
        let gathered = self.gathered(index, rows, &heads, texts);
        layer.attention_output.add(&gathered, query_width, hidden);
        let mut units = layer.up.apply(&layer.hidden_norm.apply(hidden, norm_epsilon), width);
        let stride = layer.up.panels.n_outputs();
        match stride > hidden_width {
            true => units.chunks_exact_mut(stride).for_each(gate),
            false => gelu_tanh(&mut units),
        }
        layer.down.add(&units, stride, hidden);
    }

    /// What each row gathers from its place and those before it: `[rows, query width]`.
    fn gathered(&self, layer: usize, rows: &[Row], heads: &[f32], texts: &[Memory]) -> Vec<f32> {
        let (query_width, key_width) = (self.sizes.query_width(), self.sizes.key_value_width());
        let of_row = query_width + 2 * key_width;
        let n_longest = rows.iter().map(|row| row.place + 1).max().unwrap_or(0);
        let n_seen: usize = rows.iter().map(|row| row.place + 1).sum();
        let nothing_hidden = vec![0.0; n_longest];
        let mut gathered = vec![0.0; rows.len() * query_width];
        let gather_row = |(row, (heads, gathered)): (&Row, (&[f32], &mut [f32]))| {
            self.gather_row(&texts[row.text], layer, row.place, &heads[..query_width], &nothing_hidden, gathered);
        };
        match 2 * n_seen * query_width < SERIAL {
            true => rows
                .iter()
                .zip(heads.chunks_exact(of_row).zip(gathered.chunks_exact_mut(query_width)))
                .for_each(gather_row),
            false => {
                let parts = heads.par_chunks_exact(of_row).zip(gathered.par_chunks_exact_mut(query_width));
                rows.par_iter().zip(parts).for_each(gather_row);
            }
        }
        gathered
    }

    fn gather_row(
        &self,
        memory: &Memory,
        layer: usize,
        place: usize,
        queries: &[f32],
        nothing_hidden: &[f32],
        gathered: &mut [f32],
    ) {
        let Sizes { n_heads, n_key_value_heads, head_width, .. } = self.sizes;
        let (keys, values) = (memory.part(layer, 0), memory.part(layer, 1));
        let scale = (head_width as f32).sqrt().recip();
        let mut scores = vec![0.0; place + 1];
        let mut query = vec![0.0; head_width];
        let heads = queries.chunks_exact(head_width).zip(gathered.chunks_exact_mut(head_width));
        for (head, (own, gathered)) in heads.enumerate() {
            query.iter_mut().zip(own).for_each(|(query, own)| *query = own * scale);
            let first = head / (n_heads / n_key_value_heads) * head_width;
            let stride = memory.key_value_width;
            gather(&query, &keys[first..], &values[first..], nothing_hidden, stride, &mut scores, gathered);
        }
    }
}

/// Writes rows as the states number `index` into rows of `of_row` that have room for all.
fn put_states(rows: &[f32], width: usize, index: usize, states: &mut [f32], of_row: usize) {
    for (state, row) in states.chunks_exact_mut(of_row).zip(rows.chunks_exact(width)) {
        state[index * width..][..width].copy_from_slice(row);
    }
}

/// Cosines and sines of the places of all rows: `[rows, head width / 2]` each.
struct Turns {
    half: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Turns {
    fn new(speeds: &[f32], rows: &[Row]) -> Self {
        let angles = rows.iter().flat_map(|row| speeds.iter().map(move |speed| row.place as f32 * speed));
        let (sines, cosines) = angles.map(f32::sin_cos).unzip();
        Self { half: speeds.len(), cosines, sines }
    }

    /// Turns the first half of each head with the second.
    fn apply(&self, row: usize, heads: &mut [f32], head_width: usize) {
        let [cosines, sines] = [&self.cosines, &self.sines].map(|all| &all[row * self.half..][..self.half]);
        for head in heads.chunks_exact_mut(head_width) {
            let (first, second) = head.split_at_mut(self.half);
            for (((first, second), cosine), sine) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
                (*first, *second) = (*first * cosine - *second * sine, *second * cosine + *first * sine);
            }
        }
    }
}

/// Normalises rows as wide as `weight`.
fn normalise<const WITH_MEAN: bool>(rows: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
    let width = weight.len();
    for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        match WITH_MEAN {
            true => normalise_row(row, weight, bias, epsilon, out),
            false => scale_row(row, weight, epsilon, out),
        }
    }
}

/// Numbers added up side by side.
const LANES: usize = 16;

/// The sum of `function` over a row, in an order that vector registers can follow.
#[inline(always)]
fn sum(row: &[f32], function: impl Fn(f32) -> f32) -> f32 {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, &x)| *lane += function(x));
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&x| function(x)).sum::<f32>()
}

vectorized! {
    /// `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
    fn normalise_row(row: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
        let mean = sum(row, |x| x) / row.len() as f32;
        let variance = sum(row, |x| (x - mean) * (x - mean)) / row.len() as f32;
        let scale = 1.0 / (variance + epsilon).sqrt();
        for (((out, x), weight), bias) in out.iter_mut().zip(row).zip(weight).zip(bias) {
            *out = (x - mean) * scale * weight + bias;
        }
    }
}

vectorized! {
    /// `x / sqrt(mean square + epsilon) * weight`.
    fn scale_row(row: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
        let scale = 1.0 / (sum(row, |x| x * x) / row.len() as f32 + epsilon).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(row).zip(weight) {
            *out = x * scale * weight;
        }
    }
}

vectorized! {
    /// `silu(gate) * up` of a row of both side by side, written over the first.
    fn gate(row: &mut [f32]) {
        let (gates, units) = row.split_at_mut(row.len() / 2);
        for (gate, unit) in gates.iter_mut().zip(units) {
            *gate *= sigmoid::<FUSED>(*gate) * *unit;
        }
    }
}

vectorized! {
    /// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, as GPT-2 has it (Hendrycks and Gimpel 2016, section 2).
    fn gelu_tanh(units: &mut [f32]) {
        const ROOT: f32 = 0.797_884_6;
        for unit in units {
            let x = *unit;
            *unit = 0.5 * x * (1.0 + tanh::<FUSED>(ROOT * (x + 0.044_715 * x * x * x)));
        }
    }
}
