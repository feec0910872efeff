//! A layer of long short-term memories over whole sequences, on plain numbers.
//!
//! Everything lies batch-major. The forward pass keeps for each place its four gates `[ i | f | g | o ]`, each `width`
//! wide and in that order in the weights, and its cell; the backward pass writes the gradients of what entered the gates
//! over them.

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
    pub(super) hidden: &'a Panels,
    /// `[4 * width]`
    pub(super) bias: &'a [f32],
}

/// Hidden state and cell before the first place, `[batch, width]` each.
#[derive(Clone, Copy)]
pub(super) struct Initial<'a> {
    pub(super) hidden: &'a [f32],
    pub(super) cell: &'a [f32],
}

/// Hidden states, cells and gates of every place.
pub(super) struct Pass {
    /// `[batch, time, width]`
    pub(super) hidden: Vec<f32>,
    /// `[batch, time, width]`
    pub(super) cell: Vec<f32>,
    /// `[batch, time, 4 * width]`
    pub(super) gates: Vec<f32>,
}

/// Reads sequences `[batch, time, inputs]` from the memories `initial`, or from zeros.
pub(super) fn forward(shape: Shape, inputs: &[f32], initial: Option<Initial<'_>>, layer: Layer<'_>) -> Pass {
    let Shape { batch, time, n_inputs, width } = shape;
    let (of_gates, of_hidden) = (time * 4 * width, time * width);
    let mut pass = Pass {
        hidden: vec![0.0; batch * of_hidden],
        cell: vec![0.0; batch * of_hidden],
        gates: vec![0.0; batch * of_gates],
    };
    let n_part = rows_of_part(batch, shape.cost(4));
    let states = pass.hidden.par_chunks_mut(n_part * of_hidden).zip(pass.cell.par_chunks_mut(n_part * of_hidden));
    let parts = pass.gates.par_chunks_mut(n_part * of_gates).zip(states);
    parts.enumerate().for_each(|(part, (gates, (hidden, cell)))| {
        let first = part * n_part;
        let n_sequences = hidden.len() / of_hidden;
        let onto = Onto::Bias(layer.bias);
        let out = Destination { values: &mut *gates, stride: 4 * width, n_rows: n_sequences * time };
        let input = |place: usize, _| Some(&inputs[(first * time + place) * n_inputs..][..n_inputs]);
        product(1, input, layer.input, onto, out);
        // The rows of the recurrent product lie side by side: at the distance of whole texts they would share few places of
        // the cache.
        let here = first * width..(first + n_sequences) * width;
        let (mut states, mut cells) = match initial {
            Some(initial) => (initial.hidden[here.clone()].to_vec(), initial.cell[here].to_vec()),
            None => (vec![0.0; n_sequences * width], vec![0.0; n_sequences * width]),
        };
        for step in 0..time {
            let at_step = &mut gates[step * 4 * width..];
            let out = Destination { values: at_step, stride: of_gates, n_rows: n_sequences };
            product(1, |sequence, _| Some(&states[sequence * width..][..width]), layer.hidden, Onto::Old, out);
            let rows = states.chunks_exact_mut(width).zip(cells.chunks_exact_mut(width));
            for (sequence, (state, memory)) in rows.enumerate() {
                let place = sequence * time + step;
                next(&mut gates[place * 4 * width..][..4 * width], memory, state);
                hidden[place * width..][..width].copy_from_slice(state);
                cell[place * width..][..width].copy_from_slice(memory);
            }
        }
    });
    pass
}

vectorized! {
    /// One place: what enters its gates becomes what they let through.
    fn next(gates: &mut [f32], cell: &mut [f32], hidden: &mut [f32]) {
        let width = hidden.len();
        let cell = &mut cell[..width];
        let [input, forget, candidate, output] = quarters(gates, width);
        for j in 0..width {
            let (i, f, g, o) = (sigmoid::<FUSED>(input[j]), sigmoid::<FUSED>(forget[j]), tanh::<FUSED>(candidate[j]), sigmoid::<FUSED>(output[j]));
            cell[j] = f * cell[j] + i * g;
            hidden[j] = o * tanh::<FUSED>(cell[j]);
            (input[j], forget[j], candidate[j], output[j]) = (i, f, g, o);
        }
    }
}

/// What the backward pass needs of a [`Pass`]; it overwrites the gates by their gradients.
pub(super) struct Kept<'a> {
    pub(super) hidden: &'a [f32],
    pub(super) cell: &'a [f32],
    pub(super) gates: Vec<f32>,
}

/// Gradients of everything a layer reads.
pub(super) struct Gradients {
    pub(super) inputs: Vec<f32>,
    pub(super) input_weight: Vec<f32>,
    pub(super) hidden_weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// Backpropagation through a pass from memories of zeros; `upstream` is the gradient of all hidden states.
pub(super) fn backward(
    shape: Shape,
    inputs: &[f32],
    weights: Weights<'_>,
    pass: Kept<'_>,
    upstream: &[f32],
) -> Gradients {
    let Shape { n_inputs, width, .. } = shape;
    let Kept { hidden, cell, mut gates } = pass;
    through_time(shape, weights, cell, &mut gates, upstream);

    let gate = |place: usize| &gates[place * 4 * width..][..4 * width];
    let mut input_gradient = vec![0.0; shape.n_places() * n_inputs];
    let panels = Panels::of_transpose(Matrix::new(weights.input, 4 * width));
    product_of_all(1, |place, _| Some(gate(place)), &panels, Onto::Zero, &mut input_gradient);

    let rows = RowShape { n_rows: shape.n_places(), n_taps: 1, n_inputs };
    let of_input = weight_gradient(rows, |place, _| Some(&inputs[place * n_inputs..][..n_inputs]), 4 * width, gate);
    let before = |place: usize, _: usize| shape.before(hidden, place);
    let recurrent = weight_gradient(RowShape { n_inputs: width, ..rows }, before, 4 * width, gate);
    Gradients {
        inputs: input_gradient,
        input_weight: of_input.weight,
        hidden_weight: recurrent.weight,
        bias: of_input.bias,
    }
}

/// Turns the kept gates into the gradients of what entered them, from the last step to the first.
fn through_time(shape: Shape, weights: Weights<'_>, cell: &[f32], gates: &mut [f32], upstream: &[f32]) {
    let Shape { batch, time, width, .. } = shape;
    let panels = Panels::of_transpose(Matrix::new(weights.hidden, 4 * width));
    let zeros = vec![0.0; width];
    let n_part = rows_of_part(batch, shape.cost(4));
    gates.par_chunks_mut(n_part * time * 4 * width).enumerate().for_each(|(part, gates)| {
        let first = part * n_part * time;
        let n_sequences = gates.len() / (time * 4 * width);
        let mut of_hidden = vec![0.0; n_sequences * width];
        let mut of_cell = vec![0.0; n_sequences * width];
        let mut entered = vec![0.0; n_sequences * 4 * width];
        for step in (0..time).rev() {
            let gradients = of_hidden.chunks_exact(width).zip(of_cell.chunks_exact_mut(width));
            let rows = gradients.zip(entered.chunks_exact_mut(4 * width));
            for (sequence, ((of_hidden, of_cell), entered)) in rows.enumerate() {
                let place = sequence * time + step;
                let before = match step {
                    0 => &zeros[..],
                    _ => &cell[(first + place - 1) * width..][..width],
                };
                let now = &cell[(first + place) * width..][..width];
                let upstream = &upstream[(first + place) * width..][..width];
                let gates = &mut gates[place * 4 * width..][..4 * width];
                before_gates(before, now, upstream, of_hidden, of_cell, gates);
                entered.copy_from_slice(gates);
            }
            let entered = |sequence: usize, _| Some(&entered[sequence * 4 * width..][..4 * width]);
            let out = Destination { values: &mut of_hidden, stride: width, n_rows: n_sequences };
            product(1, entered, &panels, Onto::Zero, out);
        }
    });
}

vectorized! {
    /// One place: from the gradients of hidden state and cell to those of what entered the gates and of the cell before,
    /// which `of_cell` holds afterwards.
    fn before_gates(
        before: &[f32],
        cell: &[f32],
        upstream: &[f32],
        of_hidden: &[f32],
        of_cell: &mut [f32],
        gates: &mut [f32],
    ) {
        let width = of_cell.len();
        let (before, cell) = (&before[..width], &cell[..width]);
        let (upstream, of_hidden) = (&upstream[..width], &of_hidden[..width]);
        let [input, forget, candidate, output] = quarters(gates, width);
        for j in 0..width {
            let (i, f, g, o) = (input[j], forget[j], candidate[j], output[j]);
            let shown = tanh::<FUSED>(cell[j]);
            let d_hidden = of_hidden[j] + upstream[j];
            let d_cell = of_cell[j] + d_hidden * o * (1.0 - shown * shown);
            input[j] = d_cell * g * i * (1.0 - i);
            forget[j] = d_cell * before[j] * f * (1.0 - f);
            candidate[j] = d_cell * i * (1.0 - g * g);
            output[j] = d_hidden * shown * o * (1.0 - o);
            of_cell[j] = d_cell * f;
        }
    }
}
