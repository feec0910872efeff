//! Convolutions over time and, as their simplest case, linear layers, with bias and activation in the same pass.
//!
//! ```text
//! y[t] = activation(b + sum_tap x[t + tap * dilation - before] W_tap)
//! ```
//!
//! What lies outside the text is zero. `before = (taps - 1) * dilation` makes it causal with one output for each place;
//! `before = 0` leaves out the places whose taps reach over the beginning. Taps are read where they lie: no matrix of all of
//! them side by side is made. Kept for the backward pass: the inputs and, where the slope depends on it, what entered the
//! activation.

use rayon::prelude::*;

use super::arithmetic::{gelu, gelu_slope, vectorized};
use super::product::{
    BLOCK, Destination, Matrix, Onto, Panels, RowShape, product, product_of_all, rows_of_part, weight_gradient,
};
use crate::linear::Activation;

/// Which places an output looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taps {
    pub(crate) n_taps: usize,
    pub(crate) dilation: usize,
    /// How far before an output's place its first tap lies.
    pub(crate) before: usize,
}

impl Taps {
    /// Each place alone: a linear layer.
    pub(crate) const ONE: Self = Self { n_taps: 1, dilation: 1, before: 0 };

    /// Each place and what lies before it.
    pub(crate) fn causal(n_taps: usize, dilation: usize) -> Self {
        Self { n_taps, dilation, before: (n_taps - 1) * dilation }
    }

    /// The last `n_taps` places, from the first on that has as many.
    pub(crate) fn window(n_taps: usize) -> Self {
        Self { n_taps, dilation: 1, before: 0 }
    }

    /// The places of an input of `time` places that have an output.
    fn n_places(self, time: usize) -> usize {
        time + self.before - (self.n_taps - 1) * self.dilation
    }
}

/// Sizes of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) batch: usize,
    /// Places of the input.
    pub(super) time: usize,
    pub(super) n_inputs: usize,
    pub(super) n_outputs: usize,
    pub(super) taps: Taps,
}

impl Shape {
    pub(super) fn n_places(self) -> usize {
        self.taps.n_places(self.time)
    }

    fn n_rows(self) -> usize {
        self.batch * self.n_places()
    }

    /// The input's place that `tap` of output `row` looks at, counted through all texts, unless it lies outside the text.
    fn place(self, row: usize, tap: usize) -> Option<usize> {
        let (text, place) = (row / self.n_places(), row % self.n_places());
        let place = (place + tap * self.taps.dilation).checked_sub(self.taps.before)?;
        (place < self.time).then_some(text * self.time + place)
    }

    /// The output that looks at input `row` through `tap`, if there is one.
    fn looking(self, row: usize, tap: usize) -> Option<usize> {
        let (text, place) = (row / self.time, row % self.time);
        let place = (place + self.taps.before).checked_sub(tap * self.taps.dilation)?;
        (place < self.n_places()).then_some(text * self.n_places() + place)
    }
}

/// Outputs, and what entered the activation where they do not tell its slope.
pub(super) struct Pass {
    /// `[batch, places, outputs]`
    pub(super) outputs: Vec<f32>,
    /// As `outputs`, or empty.
    pub(super) entered: Vec<f32>,
}

/// The layer's outputs.
pub(super) fn forward(shape: Shape, activation: Activation, inputs: &[f32], panels: &Panels, bias: &[f32]) -> Pass {
    let Shape { n_inputs, n_outputs, taps, .. } = shape;
    let row = |row: usize, tap: usize| shape.place(row, tap).map(|place| &inputs[place * n_inputs..][..n_inputs]);
    let n_part = rows_of_part(shape.n_rows(), taps.n_taps * n_inputs * n_outputs);
    let sums = |first: usize, values: &mut [f32]| {
        let out = Destination { n_rows: values.len() / n_outputs, values, stride: n_outputs };
        product(taps.n_taps, |index, tap| row(first + index, tap), panels, Onto::Bias(bias), out);
    };
    let mut outputs = vec![0.0; shape.n_rows() * n_outputs];
    let parts = outputs.par_chunks_mut(n_part * n_outputs).enumerate();
    let mut entered = Vec::new();
    match activation {
        Activation::Identity => parts.for_each(|(part, outputs)| sums(part * n_part, outputs)),
        Activation::Relu => parts.for_each(|(part, outputs)| {
            // In blocks, so that the sums are still in the cache when they are rectified.
            for (block, outputs) in outputs.chunks_mut(BLOCK * n_outputs).enumerate() {
                sums(part * n_part + block * BLOCK, outputs);
                rectify(outputs);
            }
        }),
        Activation::Gelu => {
            entered = vec![0.0; shape.n_rows() * n_outputs];
            parts.zip(entered.par_chunks_mut(n_part * n_outputs)).for_each(|((part, outputs), entered)| {
                let blocks = outputs.chunks_mut(BLOCK * n_outputs).zip(entered.chunks_mut(BLOCK * n_outputs));
                for (block, (outputs, entered)) in blocks.enumerate() {
                    sums(part * n_part + block * BLOCK, entered);
                    apply_gelu(entered, outputs);
                }
            });
        }
    }
    Pass { outputs, entered }
}

/// Gradients of everything a layer reads.
pub(super) struct Gradients {
    pub(super) inputs: Vec<f32>,
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

/// Backpropagation; `kept` is the pass's outputs for [`Activation::Relu`], what entered for [`Activation::Gelu`].
pub(super) fn backward(
    shape: Shape,
    activation: Activation,
    inputs: &[f32],
    weight: &[f32],
    kept: &[f32],
    upstream: &[f32],
) -> Gradients {
    let Shape { batch, time, n_inputs, n_outputs, taps } = shape;
    let before_activation = match activation {
        Activation::Identity => None,
        Activation::Relu => Some(slopes(before_rectifier, kept, upstream)),
        Activation::Gelu => Some(slopes(before_gelu, kept, upstream)),
    };
    let upstream = before_activation.as_deref().unwrap_or(upstream);
    let upstream = |row: usize| &upstream[row * n_outputs..][..n_outputs];

    let panels = Panels::of_transposes(Matrix::new(weight, n_outputs), taps.n_taps);
    let mut of_inputs = vec![0.0; batch * time * n_inputs];
    let looking = |row: usize, tap: usize| shape.looking(row, tap).map(upstream);
    product_of_all(taps.n_taps, looking, &panels, Onto::Zero, &mut of_inputs);

    let rows = RowShape { n_rows: shape.n_rows(), n_taps: taps.n_taps, n_inputs };
    let row = |row: usize, tap: usize| shape.place(row, tap).map(|place| &inputs[place * n_inputs..][..n_inputs]);
    let gradient = weight_gradient(rows, row, n_outputs, upstream);
    Gradients { inputs: of_inputs, weight: gradient.weight, bias: gradient.bias }
}

/// Elements one thread takes of a function of single elements.
const PART: usize = 1 << 14;

fn slopes(function: fn(&[f32], &[f32], &mut [f32]), kept: &[f32], upstream: &[f32]) -> Vec<f32> {
    let mut gradient = vec![0.0; upstream.len()];
    let parts = gradient.par_chunks_mut(PART).zip(kept.par_chunks(PART)).zip(upstream.par_chunks(PART));
    parts.for_each(|((gradient, kept), upstream)| function(kept, upstream, gradient));
    gradient
}

vectorized! {
    fn rectify(values: &mut [f32]) {
        for value in values {
            // Not `max`, which would turn `NaN` into 0 and hide it.
            *value = if *value < 0.0 { 0.0 } else { *value };
        }
    }
}

vectorized! {
    fn before_rectifier(outputs: &[f32], upstream: &[f32], gradient: &mut [f32]) {
        for ((gradient, output), upstream) in gradient.iter_mut().zip(outputs).zip(upstream) {
            *gradient = if *output > 0.0 { *upstream } else { 0.0 };
        }
    }
}

vectorized! {
    fn apply_gelu(entered: &[f32], outputs: &mut [f32]) {
        for (output, entered) in outputs.iter_mut().zip(entered) {
            *output = gelu::<FUSED>(*entered);
        }
    }
}

vectorized! {
    fn before_gelu(entered: &[f32], upstream: &[f32], gradient: &mut [f32]) {
        for ((gradient, entered), upstream) in gradient.iter_mut().zip(entered).zip(upstream) {
            *gradient = *upstream * gelu_slope::<FUSED>(*entered);
        }
    }
}
