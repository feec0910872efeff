//! Whole layers as single operations on burn-flex.
//!
//! Written in tensors, a recurrence of 32 steps is some 500 small operations forward and more backward, each of which makes a
//! tensor, and a product with the recurrent weights that sorts those weights anew at every step. Measured on the learner's
//! step, such bookkeeping takes most of the time. Here a layer is one operation with one step in the graph:
//!
//! | operation | forward keeps for the backward pass |
//! |---|---|
//! | [`gru`] | for each place `[n, r, z, h W_hn + b_hn]`, overwritten by their gradients |
//! | [`lstm`] | for each place the gates `[i, f, g, o]`, overwritten, and the cell |
//! | [`convolution`], [`linear`] | what entered the activation (gelu), or nothing beyond inputs and outputs |
//! | [`attention`], [`whole_attention`] | queries, keys and values as they came, and the weights `[batch, heads, time, time]` |
//! | [`source_attention()`] | the same of states and places |
//! | [`norm`] | mean and inverse deviation of every row |
//! | [`log_sum_exp()`] | nothing beyond inputs and outputs |
//!
//! Everything lies batch-major, as the tensors do. All products run through one kernel (`product`), which packs a matrix
//! once and takes its rows from where they lie; functions of single numbers (`arithmetic`) are loops that become vector
//! instructions. Work is shared out by sequences or rows, sums over them run in blocks of a fixed size, and weight gradients
//! are split by columns: results are the same, bit for bit, for any number of threads.
//!
//! A network that acts ([`dqn_core::QNetwork::for_acting`]) keeps its weights [`Packed`], so that a token costs only the
//! products. Without a graph the best action ([`argmax`]) and the means of categorical distributions ([`expectation`]) are
//! found while the product of the head runs, so that neither values nor logits of all actions are written to memory.
//!
//! **Fallback.** Each layer first asks [`can_record`] (flex, also under autodiff) or [`can_act`] (flex itself, where no graph
//! is recorded), and on any other backend computes the same in plain tensors. The tests hold the two against each other,
//! forward and backward.

mod arithmetic;
mod attention;
mod convolution;
mod decoder;
mod expectation;
mod gru;
mod log_sum_exp;
mod lstm;
mod norm;
mod operations;
#[cfg(test)]
pub(crate) mod oracle;
mod product;
mod recurrence;
mod shared_product;
mod source_attention;

use std::sync::Arc;

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::{Device, Int, Tensor};

pub(crate) use convolution::Taps;
pub(crate) use decoder::{Decoder, Layer, Memory, NormWeights, Sizes, Weights};
use operations::{FusedOps, GraphFreeOps};
use product::{Matrix, Panels};

use crate::linear::Activation;

/// Whether tensors on `device` are flex's, with a graph or without.
pub(crate) fn can_record(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether tensors on `device` are flex's and have no graph.
pub(crate) fn can_act(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}

/// A matrix sorted for the product kernel once, where a network acts and its parameters stay as they are.
#[derive(Clone, Debug)]
pub(crate) struct Packed(Arc<Panels>);

impl Packed {
    /// A matrix `[inputs, outputs]`.
    pub(crate) fn of(matrix: Tensor<2>) -> Self {
        Self::by(matrix, Panels::of)
    }

    /// The transpose of a matrix `[outputs, inputs]`.
    pub(crate) fn of_transpose(matrix: Tensor<2>) -> Self {
        Self::by(matrix, Panels::of_transpose)
    }

    fn by(matrix: Tensor<2>, pack: impl Fn(Matrix<'_>) -> Panels) -> Self {
        let [_, n_columns] = matrix.dims();
        let data = matrix.into_data();
        let values = data.as_slice::<f32>().expect("weights are 32-bit floats");
        Self(Arc::new(pack(Matrix::new(values, n_columns))))
    }
}

/// The parameters of a layer of gated recurrent units.
pub(crate) struct GruParameters {
    /// `[inputs, 3 * width]`, gates in the order r, z, n.
    pub(crate) input_weight: Tensor<2>,
    /// `[3 * width]`
    pub(crate) input_bias: Tensor<1>,
    /// `[width, 3 * width]`
    pub(crate) hidden_weight: Tensor<2>,
    /// `[3 * width]`
    pub(crate) hidden_bias: Tensor<1>,
}

/// Hidden states of a layer of gated recurrent units, from zeros.
///
/// # Shapes
/// - `inputs`: `[batch, time, inputs]`
/// - returns `[batch, time, width]`
pub(crate) fn gru(inputs: Tensor<3>, parameters: GruParameters) -> Tensor<3> {
    let GruParameters { input_weight, input_bias, hidden_weight, hidden_bias } = parameters;
    Tensor::from_dispatch(Dispatch::fused_gru(
        inputs.into_dispatch(),
        input_weight.into_dispatch(),
        input_bias.into_dispatch(),
        hidden_weight.into_dispatch(),
        hidden_bias.into_dispatch(),
    ))
}

/// The hidden states after one more input, without a graph.
///
/// # Shapes
/// - `input`: `[batch, inputs]`; `hidden`: `[batch, width]`
/// - returns `[batch, width]`
pub(crate) fn gru_step(
    input: Tensor<2>,
    hidden: Tensor<2>,
    [input_weight, hidden_weight]: [Packed; 2],
    [input_bias, hidden_bias]: [Tensor<1>; 2],
) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::fused_gru_step(
        input.into_dispatch(),
        hidden.into_dispatch(),
        input_bias.into_dispatch(),
        hidden_bias.into_dispatch(),
        input_weight.0,
        hidden_weight.0,
    ))
}

/// The parameters of a layer of long short-term memories.
pub(crate) struct LstmParameters {
    /// `[inputs, 4 * width]`, gates in the order i, f, g, o.
    pub(crate) input_weight: Tensor<2>,
    /// `[width, 4 * width]`
    pub(crate) hidden_weight: Tensor<2>,
    /// `[4 * width]`
    pub(crate) bias: Tensor<1>,
}

/// Hidden states of a layer of long short-term memories, from zeros.
///
/// # Shapes
/// - `inputs`: `[batch, time, inputs]`
/// - returns `[batch, time, width]`
pub(crate) fn lstm(inputs: Tensor<3>, parameters: LstmParameters) -> Tensor<3> {
    let LstmParameters { input_weight, hidden_weight, bias } = parameters;
    Tensor::from_dispatch(Dispatch::fused_lstm(
        inputs.into_dispatch(),
        input_weight.into_dispatch(),
        hidden_weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// Hidden states and cells of a layer of long short-term memories, from zeros and without a graph.
///
/// # Shapes
/// - `inputs`: `[batch, time, inputs]`
/// - returns `[batch, time, width]` each
pub(crate) fn lstm_memories(inputs: Tensor<3>, parameters: LstmParameters) -> [Tensor<3>; 2] {
    let LstmParameters { input_weight, hidden_weight, bias } = parameters;
    let (hidden, cell) = Dispatch::fused_lstm_memories(
        inputs.into_dispatch(),
        input_weight.into_dispatch(),
        hidden_weight.into_dispatch(),
        bias.into_dispatch(),
    );
    [Tensor::from_dispatch(hidden), Tensor::from_dispatch(cell)]
}

/// Hidden states and cells after one more input, without a graph.
///
/// # Shapes
/// - `input`: `[batch, inputs]`; `hidden`, `cell`: `[batch, width]`
/// - returns `[batch, width]` each
pub(crate) fn lstm_step(
    input: Tensor<2>,
    [hidden, cell]: [Tensor<2>; 2],
    [input_weight, hidden_weight]: [Packed; 2],
    bias: Tensor<1>,
) -> [Tensor<2>; 2] {
    let (hidden, cell) = Dispatch::fused_lstm_step(
        input.into_dispatch(),
        hidden.into_dispatch(),
        cell.into_dispatch(),
        bias.into_dispatch(),
        input_weight.0,
        hidden_weight.0,
    );
    [Tensor::from_dispatch(hidden), Tensor::from_dispatch(cell)]
}

/// A convolution over time with bias and activation, as [`Taps`] says.
///
/// # Shapes
/// - `inputs`: `[batch, time, inputs]`; `weight`: `[taps * inputs, outputs]`, the earliest tap first; `bias`: `[outputs]`
/// - returns `[batch, places, outputs]`
pub(crate) fn convolution(
    inputs: Tensor<3>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    taps: Taps,
    activation: Activation,
) -> Tensor<3> {
    let (inputs, weight, bias) = (inputs.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_convolution(inputs, weight, bias, taps, activation))
}

/// `activation(x W + b)`.
///
/// # Shapes
/// - `rows`: `[rows, inputs]`; `weight`: `[inputs, outputs]`; `bias`: `[outputs]`
/// - returns `[rows, outputs]`
pub(crate) fn linear(rows: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, activation: Activation) -> Tensor<2> {
    convolution(rows.unsqueeze_dim(0), weight, bias, Taps::ONE, activation).squeeze_dim(0)
}

/// [`linear`] without a graph, with weights that were packed beforehand.
pub(crate) fn packed_linear(rows: Tensor<2>, weight: Packed, bias: Tensor<1>, activation: Activation) -> Tensor<2> {
    let (rows, bias) = (rows.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_packed_linear(rows, bias, weight.0, activation))
}

/// In which output `x W + b` is largest, the first of several, without a graph; the outputs are never all in memory.
///
/// # Shapes
/// - `rows`: `[rows, inputs]`
/// - returns `[rows]`
pub(crate) fn argmax(rows: Tensor<2>, weight: Packed, bias: Tensor<1>) -> Tensor<1, Int> {
    Tensor::from_dispatch(Dispatch::fused_argmax(rows.into_dispatch(), bias.into_dispatch(), weight.0))
}

/// The means of categorical distributions with logits `x W + b`, without a graph; the logits are never all in memory.
///
/// # Shapes
/// - `rows`: `[rows, inputs]`; `weight`: `[inputs, actions * atoms]`; `support`: `[atoms]`
/// - returns `[rows, actions]`
pub(crate) fn expectation(rows: Tensor<2>, weight: Packed, bias: Tensor<1>, support: Tensor<1>) -> Tensor<2> {
    let (rows, bias, support) = (rows.into_dispatch(), bias.into_dispatch(), support.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_expectation(rows, bias, support, weight.0))
}

/// Causal self-attention with rotary positions.
///
/// # Shapes
/// - `inputs`: queries, keys and values side by side, `[batch, time, 3 * width]`
/// - returns `[batch, time, width]`
pub(crate) fn attention(inputs: Tensor<3>, n_heads: usize) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused_attention(inputs.into_dispatch(), n_heads))
}

/// Self-attention of every place to all that the mask does not forbid, with rotary positions.
///
/// # Shapes
/// - `inputs`: queries, keys and values side by side, `[batch, time, 3 * width]`; `mask`: `[batch, time]`
/// - returns `[batch, time, width]`
pub(crate) fn whole_attention(inputs: Tensor<3>, mask: Tensor<2>, n_heads: usize) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused_whole_attention(inputs.into_dispatch(), mask.into_dispatch(), n_heads))
}

/// Attention of the states of texts to the places of their sources.
///
/// # Shapes
/// - `queries`: `[batch, states, width]`; `memory`: keys and values side by side, `[batch, places, 2 * width]`; `mask`:
///   what is added to the scores of the places, `[batch, places]`
/// - returns `[batch, states, width]`
pub(crate) fn source_attention(queries: Tensor<3>, memory: Tensor<3>, mask: Tensor<2>, n_heads: usize) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused_source_attention(
        queries.into_dispatch(),
        memory.into_dispatch(),
        mask.into_dispatch(),
        n_heads,
    ))
}

/// What one more token of each text gathers from itself and those before it, without a graph, and keys and values with
/// those of the token. Where nobody else holds the tensors that are kept, their memory is written to.
///
/// # Shapes
/// - `heads`: queries, keys and values side by side, `[batch, 3 * width]`
/// - `turn`: cosines and sines of the token's place in its text, `[batch, width / heads / 2]` each
/// - `mask`: what is added to the scores of the tokens that are kept, `[batch, time]`
/// - `kept`: keys, already turned, and values, `[batch, time, width]` each; the token becomes number `place` of them
/// - returns `[batch, width]`, and `kept`
pub(crate) fn attention_step(
    heads: Tensor<2>,
    [cosine, sine]: [Tensor<2>; 2],
    mask: Tensor<2>,
    [keys, values]: [Tensor<3>; 2],
    place: usize,
    n_heads: usize,
) -> (Tensor<2>, [Tensor<3>; 2]) {
    let (gathered, keys, values) = Dispatch::fused_attention_step(
        heads.into_dispatch(),
        cosine.into_dispatch(),
        sine.into_dispatch(),
        mask.into_dispatch(),
        keys.into_dispatch(),
        values.into_dispatch(),
        place,
        n_heads,
    );
    (Tensor::from_dispatch(gathered), [Tensor::from_dispatch(keys), Tensor::from_dispatch(values)])
}

/// Layer normalisation of rows.
///
/// # Shapes
/// - `rows`: `[rows, width]`; `gamma`, `beta`: `[width]`
pub(crate) fn norm(rows: Tensor<2>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let (rows, gamma, beta) = (rows.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_norm(rows, gamma, beta, epsilon as f32))
}

/// `log sum_c exp(scale x_c)`.
///
/// # Shapes
/// - `values`: `[batch, states, actions]`
/// - returns `[batch, states]`
pub(crate) fn log_sum_exp(values: Tensor<3>, scale: f64) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::fused_log_sum_exp(values.into_dispatch(), scale as f32))
}
