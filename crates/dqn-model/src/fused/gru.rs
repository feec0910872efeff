//! A layer of gated recurrent units over whole sequences, on plain numbers.
//!
//! Everything lies batch-major, `[batch, time, ...]`. The forward pass keeps for each place what its gates were, the
//! backward pass writes their gradients over them:
//!
//! ```text
//! place:     [ n | r | z | h W_hn + b_hn ]            each `width` wide
//! becomes:   [ dn | dr | dz | d(h W_hn + b_hn) ]
//! ```
//!
//! Gates lie in the order r, z, n in the weights. The last three parts are the gradient of the recurrent product, in the order of its columns, and the first three that of
//! the input's.

use rayon::prelude::*;

use super::arithmetic::{sigmoid, tanh, vectorized};
use super::product::{
    Destination, Matrix, Onto, Panels, RowShape, product, product_of_all, rows_of_part, weight_gradient,
};
use super::recurrence::{Shape, Weights, quarters};

/// The parameters that the forward pass reads, the weights packed.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) input: &'a Panels,
    /// `[3 * width]`
    pub(super) input_bias: &'a [f32],
    pub(super) hidden: &'a Panels,
    /// `[3 * width]`
    pub(super) hidden_bias: &'a [f32],
}

/// Hidden states and gates of every place.
pub(super) struct Pass {
    /// `[batch, time, width]`
    pub(super) hidden: Vec<f32>,
    /// `[batch, time, 4 * width]`
    pub(super) gates: Vec<f32>,
}

/// Reads sequences `[batch, time, inputs]` from the hidden states `initial`, `[batch, width]`, or from zeros.
pub(super) fn forward(shape: Shape, inputs: &[f32], initial: Option<&[f32]>, layer: Layer<'_>) -> Pass {
    let Shape { batch, time, n_inputs, width } = shape;
    let (of_gates, of_hidden) = (time * 4 * width, time * width);
    let mut gates = vec![0.0; batch * of_gates];
    let mut hidden = vec![0.0; batch * of_hidden];
    let n_part = rows_of_part(batch, shape.cost(3));
    let parts = gates.par_chunks_mut(n_part * of_gates).zip(hidden.par_chunks_mut(n_part * of_hidden));
    parts.enumerate().for_each(|(part, (gates, hidden))| {
        let first = part * n_part;
        let n_sequences = hidden.len() / of_hidden;
        let onto = Onto::Bias(layer.input_bias);
        let out = Destination { values: gates, stride: 4 * width, n_rows: n_sequences * time };
        let input = |place: usize, _| Some(&inputs[(first * time + place) * n_inputs..][..n_inputs]);
        product(1, input, layer.input, onto, out);
        // The rows of the recurrent product lie side by side: at the distance of whole texts they would share few places of
        // the cache.
        let mut states = match initial {
            Some(initial) => initial[first * width..][..n_sequences * width].to_vec(),
            None => vec![0.0; n_sequences * width],
        };
        let mut recurrent = vec![0.0; n_sequences * 3 * width];
        for step in 0..time {
            let onto = Onto::Bias(layer.hidden_bias);
            let out = Destination { values: &mut recurrent, stride: 3 * width, n_rows: n_sequences };
            product(1, |sequence, _| Some(&states[sequence * width..][..width]), layer.hidden, onto, out);
            let rows = recurrent.chunks_exact(3 * width).zip(states.chunks_exact_mut(width));
            for (sequence, (recurrent, state)) in rows.enumerate() {
                let place = sequence * time + step;
                next(recurrent, &mut gates[place * 4 * width..][..4 * width], state);
                hidden[place * width..][..width].copy_from_slice(state);
            }
        }
    });
    Pass { hidden, gates }
}

vectorized! {
    /// One place: its gates hold the projected input in the order r, z, n, and afterwards what [`Pass`] keeps.
    fn next(recurrent: &[f32], gates: &mut [f32], hidden: &mut [f32]) {
        let width = hidden.len();
        let [recurrent_r, recurrent_z, recurrent_n] = thirds(recurrent, width);
        let [first, second, third, fourth] = quarters(gates, width);
        for j in 0..width {
            let r = sigmoid::<FUSED>(first[j] + recurrent_r[j]);
            let z = sigmoid::<FUSED>(second[j] + recurrent_z[j]);
            let n = tanh::<FUSED>(third[j] + r * recurrent_n[j]);
            hidden[j] = n + z * (hidden[j] - n);
            (first[j], second[j], third[j], fourth[j]) = (n, r, z, recurrent_n[j]);
        }
    }
}

/// Gradients of everything a layer reads.
pub(super) struct Gradients {
    pub(super) inputs: Vec<f32>,
    pub(super) input_weight: Vec<f32>,
    pub(super) input_bias: Vec<f32>,
    pub(super) hidden_weight: Vec<f32>,
    pub(super) hidden_bias: Vec<f32>,
}

/// Backpropagation through a pass from hidden states of zeros; `upstream` is the gradient of all hidden states. The gates
/// are overwritten by their gradients.
pub(super) fn backward(
    shape: Shape,
    inputs: &[f32],
    weights: Weights<'_>,
    hidden: &[f32],
    mut gates: Vec<f32>,
    upstream: &[f32],
) -> Gradients {
    let Shape { n_inputs, width, .. } = shape;
    through_time(shape, weights, hidden, &mut gates, upstream);

    let gate = |place: usize, first: usize, n: usize| &gates[(place * 4 + first) * width..][..n * width];
    let input_weight = Matrix::new(weights.input, 3 * width);
    let mut input_gradient = vec![0.0; shape.n_places() * n_inputs];
    let panels = Panels::of_transpose(input_weight.columns(2 * width, width));
    product_of_all(1, |place, _| Some(gate(place, 0, 1)), &panels, Onto::Zero, &mut input_gradient);
    let panels = Panels::of_transpose(input_weight.columns(0, 2 * width));
    product_of_all(1, |place, _| Some(gate(place, 1, 2)), &panels, Onto::Old, &mut input_gradient);

    let rows = RowShape { n_rows: shape.n_places(), n_taps: 1, n_inputs };
    let input = |place: usize, _: usize| Some(&inputs[place * n_inputs..][..n_inputs]);
    let of_reset_update = weight_gradient(rows, input, 2 * width, |place| gate(place, 1, 2));
    let of_candidate = weight_gradient(rows, input, width, |place| gate(place, 0, 1));
    let before = |place: usize, _: usize| shape.before(hidden, place);
    let rows = RowShape { n_inputs: width, ..rows };
    let recurrent = weight_gradient(rows, before, 3 * width, |place| gate(place, 1, 3));
    Gradients {
        inputs: input_gradient,
        input_weight: beside(&of_reset_update.weight, 2 * width, &of_candidate.weight, width),
        input_bias: [of_reset_update.bias, of_candidate.bias].concat(),
        hidden_weight: recurrent.weight,
        hidden_bias: recurrent.bias,
    }
}

/// Turns the kept gates into their gradients, from the last step to the first.
fn through_time(shape: Shape, weights: Weights<'_>, hidden: &[f32], gates: &mut [f32], upstream: &[f32]) {
    let Shape { batch, time, width, .. } = shape;
    let panels = Panels::of_transpose(Matrix::new(weights.hidden, 3 * width));
    let zeros = vec![0.0; width];
    let n_part = rows_of_part(batch, shape.cost(3));
    gates.par_chunks_mut(n_part * time * 4 * width).enumerate().for_each(|(part, gates)| {
        let first = part * n_part * time;
        let n_sequences = gates.len() / (time * 4 * width);
        let mut gradient = vec![0.0; n_sequences * width];
        let mut recurrent = vec![0.0; n_sequences * 3 * width];
        for step in (0..time).rev() {
            let rows = gradient.chunks_exact_mut(width).zip(recurrent.chunks_exact_mut(3 * width));
            for (sequence, (gradient, recurrent)) in rows.enumerate() {
                let place = sequence * time + step;
                let before = match step {
                    0 => &zeros[..],
                    _ => &hidden[(first + place - 1) * width..][..width],
                };
                let upstream = &upstream[(first + place) * width..][..width];
                let gates = &mut gates[place * 4 * width..][..4 * width];
                before_gates(before, upstream, gradient, gates);
                recurrent.copy_from_slice(&gates[width..]);
            }
            let recurrent = |sequence: usize, _| Some(&recurrent[sequence * 3 * width..][..3 * width]);
            let out = Destination { values: &mut gradient, stride: width, n_rows: n_sequences };
            product(1, recurrent, &panels, Onto::Old, out);
        }
    });
}

vectorized! {
    /// One place: from the gradient of the hidden state to those of the gates and to the part that reaches the hidden
    /// state before directly, which `gradient` holds afterwards.
    fn before_gates(before: &[f32], upstream: &[f32], gradient: &mut [f32], gates: &mut [f32]) {
        let width = gradient.len();
        let (before, upstream) = (&before[..width], &upstream[..width]);
        let [first, second, third, fourth] = quarters(gates, width);
        for j in 0..width {
            let (n, r, z, recurrent_n) = (first[j], second[j], third[j], fourth[j]);
            let d = gradient[j] + upstream[j];
            let dn = d * (1.0 - z) * (1.0 - n * n);
            first[j] = dn;
            second[j] = dn * recurrent_n * r * (1.0 - r);
            third[j] = d * (before[j] - n) * z * (1.0 - z);
            fourth[j] = dn * r;
            gradient[j] = d * z;
        }
    }
}

#[inline(always)]
fn thirds(values: &[f32], width: usize) -> [&[f32]; 3] {
    [&values[..width], &values[width..2 * width], &values[2 * width..3 * width]]
}

/// Two matrices with the same number of rows as one.
fn beside(left: &[f32], n_left: usize, right: &[f32], n_right: usize) -> Vec<f32> {
    left.chunks_exact(n_left)
        .zip(right.chunks_exact(n_right))
        .flat_map(|(left, right)| [left, right].concat())
        .collect()
}
