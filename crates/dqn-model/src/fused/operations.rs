//! The kernels as operations of burn: forward on flex, forward and backward on autodiff over flex.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::TensorData;
use rayon::prelude::*;

use super::convolution::{self, Taps};
use super::product::{Matrix, Panels, argmax, rows_of_part};
use super::{attention, expectation, gru, log_sum_exp, lstm, norm, recurrence, source_attention};
use crate::linear::Activation;

/// A tensor of flex.
type Values = FloatTensor<Flex>;

/// The operations that have a backward pass; shapes are those of the kernels.
#[backend_extension(Flex, Autodiff)]
pub(super) trait FusedOps: Backend {
    /// Hidden states of a layer of gated recurrent units, from zeros.
    fn fused_gru(
        inputs: FloatTensor<Self>,
        input_weight: FloatTensor<Self>,
        input_bias: FloatTensor<Self>,
        hidden_weight: FloatTensor<Self>,
        hidden_bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Hidden states of a layer of long short-term memories, from zeros.
    fn fused_lstm(
        inputs: FloatTensor<Self>,
        input_weight: FloatTensor<Self>,
        hidden_weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// A convolution over time with its activation.
    fn fused_convolution(
        inputs: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        taps: Taps,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// Causal attention with rotary positions, from `[batch, time, 3 * width]`.
    fn fused_attention(inputs: FloatTensor<Self>, n_heads: usize) -> FloatTensor<Self>;

    /// Attention of every place to all that `mask`, `[batch, time]`, does not forbid, with rotary positions.
    fn fused_whole_attention(inputs: FloatTensor<Self>, mask: FloatTensor<Self>, n_heads: usize) -> FloatTensor<Self>;

    /// Attention of states, `[batch, states, width]`, to keys and values side by side, `[batch, places, 2 * width]`.
    fn fused_source_attention(
        queries: FloatTensor<Self>,
        memory: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        n_heads: usize,
    ) -> FloatTensor<Self>;

    /// Layer normalisation of rows.
    fn fused_norm(
        inputs: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;

    /// The logarithm of the sum of exponentials along the last of three dimensions, times `scale`.
    fn fused_log_sum_exp(values: FloatTensor<Self>, scale: f32) -> FloatTensor<Self>;
}

/// The operations of acting, which have no backward pass and read weights that were packed beforehand.
#[backend_extension(Flex)]
pub(super) trait GraphFreeOps: Backend {
    /// The hidden states of a layer of gated recurrent units after one more input: `[batch, inputs]` to `[batch, width]`.
    fn fused_gru_step(
        input: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        input_bias: FloatTensor<Self>,
        hidden_bias: FloatTensor<Self>,
        input_weight: Arc<Panels>,
        hidden_weight: Arc<Panels>,
    ) -> FloatTensor<Self>;

    /// Hidden states and cells of a layer of long short-term memories, from zeros.
    fn fused_lstm_memories(
        inputs: FloatTensor<Self>,
        input_weight: FloatTensor<Self>,
        hidden_weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Hidden states and cells from those before: `[batch, inputs]` to `[batch, width]` each.
    fn fused_lstm_step(
        input: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        cell: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        input_weight: Arc<Panels>,
        hidden_weight: Arc<Panels>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// A linear layer with its activation: `[rows, inputs]` to `[rows, outputs]`.
    fn fused_packed_linear(
        rows: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        weight: Arc<Panels>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// The output in which a linear layer is largest: `[rows, inputs]` to `[rows]`.
    fn fused_argmax(rows: FloatTensor<Self>, bias: FloatTensor<Self>, weight: Arc<Panels>) -> IntTensor<Self>;

    /// What one more token gathers, `[batch, width]`, and keys and values with its own, `[batch, time, width]` each.
    #[allow(clippy::too_many_arguments, reason = "tensors, whose names say what they are")]
    fn fused_attention_step(
        heads: FloatTensor<Self>,
        cosine: FloatTensor<Self>,
        sine: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        place: usize,
        n_heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// The means of categorical distributions whose logits are a linear layer: `[rows, inputs]` to `[rows, actions]`.
    fn fused_expectation(
        rows: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        support: FloatTensor<Self>,
        weight: Arc<Panels>,
    ) -> FloatTensor<Self>;
}

/// A function of `N` tensors that knows its gradients.
trait Differentiable<const N: usize>: Clone + Debug + Send + 'static {
    /// What the backward pass needs besides inputs and output.
    type Kept: Clone + Debug + Send + 'static;

    fn forward(&self, inputs: &[Values; N]) -> (Values, Self::Kept);

    /// The gradients of all inputs, in their order.
    fn backward(&self, inputs: &[Values; N], output: &Values, kept: Self::Kept, upstream: &[f32]) -> [Vec<f32>; N];
}

#[derive(Clone, Debug)]
struct State<O: Differentiable<N>, const N: usize> {
    operation: O,
    inputs: [Values; N],
    output: Values,
    kept: O::Kept,
}

/// The step of the graph that such a function leaves.
#[derive(Debug)]
struct Step<O>(PhantomData<O>);

impl<O: Differentiable<N>, const N: usize> Backward<Flex, N> for Step<O> {
    type State = State<O, N>;

    fn backward(self, ops: Ops<State<O, N>, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let upstream = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let State { operation, inputs, output, kept } = ops.state;
        let found = operation.backward(&inputs, &output, kept, numbers(&upstream));
        for ((parent, input), gradient) in ops.parents.into_iter().zip(&inputs).zip(found) {
            if let Some(parent) = parent {
                gradients.register::<Flex>(parent.id, Values::from_data(TensorData::new(gradient, input.shape())));
            }
        }
    }
}

/// The function's value, without a graph.
fn value<O: Differentiable<N>, const N: usize>(operation: O, inputs: [Values; N]) -> Values {
    operation.forward(&inputs.map(|input| input.to_contiguous())).0
}

/// The function's value, with its step of the graph.
fn recorded<C: CheckpointStrategy, O: Differentiable<N>, const N: usize>(
    operation: O,
    inputs: [FloatTensor<Autodiff<Flex, C>>; N],
) -> FloatTensor<Autodiff<Flex, C>> {
    let nodes = inputs.each_ref().map(|input| input.node());
    let inputs = inputs.map(|input| input.into_primitive().to_contiguous());
    let (output, kept) = operation.forward(&inputs);
    match Step::<O>(PhantomData).prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(State { operation, inputs, output: output.clone(), kept }, output),
        OpsKind::UnTracked(step) => step.finish(output),
    }
}

fn numbers(tensor: &Values) -> &[f32] {
    tensor.as_slice::<f32>().expect("fused operations are given contiguous 32-bit floats")
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Values {
    Values::from_data(TensorData::new(values, shape))
}

fn dims<const D: usize>(tensor: &Values) -> [usize; D] {
    tensor.shape().dims()
}

fn packed(weight: &Values) -> Panels {
    Panels::of(Matrix::new(numbers(weight), dims::<2>(weight)[1]))
}

/// Inputs, input weight, input bias, hidden weight, hidden bias.
#[derive(Clone, Debug)]
struct Gru;

impl Gru {
    fn shape(inputs: &[Values; 5]) -> recurrence::Shape {
        let [batch, time, n_inputs] = dims(&inputs[0]);
        recurrence::Shape { batch, time, n_inputs, width: dims::<2>(&inputs[3])[0] }
    }
}

impl Differentiable<5> for Gru {
    /// The gates.
    type Kept = Vec<f32>;

    fn forward(&self, inputs: &[Values; 5]) -> (Values, Vec<f32>) {
        let shape = Self::shape(inputs);
        let [input, hidden] = [packed(&inputs[1]), packed(&inputs[3])];
        let (input_bias, hidden_bias) = (numbers(&inputs[2]), numbers(&inputs[4]));
        let layer = gru::Layer { input: &input, input_bias, hidden: &hidden, hidden_bias };
        let gru::Pass { hidden, gates } = gru::forward(shape, numbers(&inputs[0]), None, layer);
        (tensor(hidden, [shape.batch, shape.time, shape.width]), gates)
    }

    fn backward(&self, inputs: &[Values; 5], output: &Values, kept: Vec<f32>, upstream: &[f32]) -> [Vec<f32>; 5] {
        let weights = recurrence::Weights { input: numbers(&inputs[1]), hidden: numbers(&inputs[3]) };
        let shape = Self::shape(inputs);
        let found = gru::backward(shape, numbers(&inputs[0]), weights, numbers(output), kept, upstream);
        [found.inputs, found.input_weight, found.input_bias, found.hidden_weight, found.hidden_bias]
    }
}

/// Inputs, input weight, hidden weight, bias.
#[derive(Clone, Debug)]
struct Lstm;

impl Lstm {
    fn shape(inputs: &[Values; 4]) -> recurrence::Shape {
        let [batch, time, n_inputs] = dims(&inputs[0]);
        recurrence::Shape { batch, time, n_inputs, width: dims::<2>(&inputs[2])[0] }
    }

    fn pass(inputs: &[Values; 4]) -> lstm::Pass {
        let [input, hidden] = [packed(&inputs[1]), packed(&inputs[2])];
        let layer = lstm::Layer { input: &input, hidden: &hidden, bias: numbers(&inputs[3]) };
        lstm::forward(Self::shape(inputs), numbers(&inputs[0]), None, layer)
    }
}

impl Differentiable<4> for Lstm {
    /// The cells and the gates.
    type Kept = [Vec<f32>; 2];

    fn forward(&self, inputs: &[Values; 4]) -> (Values, [Vec<f32>; 2]) {
        let recurrence::Shape { batch, time, width, .. } = Self::shape(inputs);
        let lstm::Pass { hidden, cell, gates } = Self::pass(inputs);
        (tensor(hidden, [batch, time, width]), [cell, gates])
    }

    fn backward(&self, inputs: &[Values; 4], output: &Values, kept: [Vec<f32>; 2], upstream: &[f32]) -> [Vec<f32>; 4] {
        let [cell, gates] = kept;
        let kept = lstm::Kept { hidden: numbers(output), cell: &cell, gates };
        let weights = recurrence::Weights { input: numbers(&inputs[1]), hidden: numbers(&inputs[2]) };
        let found = lstm::backward(Self::shape(inputs), numbers(&inputs[0]), weights, kept, upstream);
        [found.inputs, found.input_weight, found.hidden_weight, found.bias]
    }
}

/// Inputs, weight, bias.
#[derive(Clone, Debug)]
struct Convolution {
    taps: Taps,
    activation: Activation,
}

impl Convolution {
    fn shape(&self, inputs: &[Values; 3]) -> convolution::Shape {
        let [batch, time, n_inputs] = dims(&inputs[0]);
        let [n_rows, n_outputs] = dims(&inputs[1]);
        assert_eq!(n_rows, self.taps.n_taps * n_inputs, "the weights have one row for each input of each tap");
        convolution::Shape { batch, time, n_inputs, n_outputs, taps: self.taps }
    }
}

impl Differentiable<3> for Convolution {
    /// What entered the activation, where the outputs do not tell its slope.
    type Kept = Vec<f32>;

    fn forward(&self, inputs: &[Values; 3]) -> (Values, Vec<f32>) {
        let shape = self.shape(inputs);
        let pass =
            convolution::forward(shape, self.activation, numbers(&inputs[0]), &packed(&inputs[1]), numbers(&inputs[2]));
        (tensor(pass.outputs, [shape.batch, shape.n_places(), shape.n_outputs]), pass.entered)
    }

    fn backward(&self, inputs: &[Values; 3], output: &Values, kept: Vec<f32>, upstream: &[f32]) -> [Vec<f32>; 3] {
        let kept = match self.activation {
            Activation::Gelu => &kept,
            Activation::Identity | Activation::Relu => numbers(output),
        };
        let [values, weight, _] = inputs.each_ref().map(numbers);
        let found = convolution::backward(self.shape(inputs), self.activation, values, weight, kept, upstream);
        [found.inputs, found.weight, found.bias]
    }
}

/// Queries, keys and values.
#[derive(Clone, Debug)]
struct Attention {
    n_heads: usize,
}

impl Attention {
    fn shape(&self, inputs: &Values) -> attention::Shape {
        let [batch, time, width] = dims(inputs);
        attention::Shape { batch, time, width: width / 3, n_heads: self.n_heads }
    }
}

impl Differentiable<1> for Attention {
    /// The weights of attention.
    type Kept = Vec<f32>;

    fn forward(&self, [inputs]: &[Values; 1]) -> (Values, Vec<f32>) {
        let shape = self.shape(inputs);
        let attention::Pass { outputs, weights } = attention::forward(shape, numbers(inputs), None);
        (tensor(outputs, [shape.batch, shape.time, shape.width]), weights)
    }

    fn backward(&self, [inputs]: &[Values; 1], _: &Values, kept: Vec<f32>, upstream: &[f32]) -> [Vec<f32>; 1] {
        [attention::backward(self.shape(inputs), numbers(inputs), &kept, upstream)]
    }
}

/// Queries, keys and values, and a mask.
#[derive(Clone, Debug)]
struct WholeAttention {
    n_heads: usize,
}

impl Differentiable<2> for WholeAttention {
    /// The weights of attention.
    type Kept = Vec<f32>;

    fn forward(&self, [inputs, mask]: &[Values; 2]) -> (Values, Vec<f32>) {
        let shape = Attention { n_heads: self.n_heads }.shape(inputs);
        let attention::Pass { outputs, weights } = attention::forward(shape, numbers(inputs), Some(numbers(mask)));
        (tensor(outputs, [shape.batch, shape.time, shape.width]), weights)
    }

    fn backward(&self, [inputs, mask]: &[Values; 2], _: &Values, kept: Vec<f32>, upstream: &[f32]) -> [Vec<f32>; 2] {
        let shape = Attention { n_heads: self.n_heads }.shape(inputs);
        // Nobody learns a mask.
        [attention::backward(shape, numbers(inputs), &kept, upstream), vec![0.0; numbers(mask).len()]]
    }
}

/// Queries, keys and values of a source, and a mask over it.
#[derive(Clone, Debug)]
struct SourceAttention {
    n_heads: usize,
}

impl SourceAttention {
    fn shape(&self, [queries, memory, _]: &[Values; 3]) -> source_attention::Shape {
        let ([batch, n_states, width], [_, n_places, _]) = (dims(queries), dims::<3>(memory));
        source_attention::Shape { batch, n_states, n_places, width, n_heads: self.n_heads }
    }
}

impl Differentiable<3> for SourceAttention {
    /// The weights of attention.
    type Kept = Vec<f32>;

    fn forward(&self, inputs: &[Values; 3]) -> (Values, Vec<f32>) {
        let shape = self.shape(inputs);
        let [queries, memory, mask] = inputs.each_ref().map(numbers);
        let attention::Pass { outputs, weights } = source_attention::forward(shape, queries, memory, mask);
        (tensor(outputs, [shape.batch, shape.n_states, shape.width]), weights)
    }

    fn backward(&self, inputs: &[Values; 3], _: &Values, kept: Vec<f32>, upstream: &[f32]) -> [Vec<f32>; 3] {
        let [queries, memory, mask] = inputs.each_ref().map(numbers);
        let found = source_attention::backward(self.shape(inputs), queries, memory, &kept, upstream);
        [found.queries, found.memory, vec![0.0; mask.len()]]
    }
}

/// Inputs, gamma, beta.
#[derive(Clone, Debug)]
struct Norm {
    epsilon: f32,
}

impl Differentiable<3> for Norm {
    /// Mean and inverse deviation of every row.
    type Kept = Vec<f32>;

    fn forward(&self, inputs: &[Values; 3]) -> (Values, Vec<f32>) {
        let [values, gamma, beta] = inputs.each_ref().map(numbers);
        let norm::Pass { outputs, moments } = norm::forward(values, gamma, beta, self.epsilon);
        (Values::from_data(TensorData::new(outputs, inputs[0].shape())), moments)
    }

    fn backward(&self, inputs: &[Values; 3], _: &Values, kept: Vec<f32>, upstream: &[f32]) -> [Vec<f32>; 3] {
        let [values, gamma, _] = inputs.each_ref().map(numbers);
        let found = norm::backward(values, gamma, &kept, upstream);
        [found.inputs, found.gamma, found.beta]
    }
}

/// Values of all actions.
#[derive(Clone, Debug)]
struct LogSumExp {
    scale: f32,
}

impl Differentiable<1> for LogSumExp {
    type Kept = ();

    fn forward(&self, [values]: &[Values; 1]) -> (Values, ()) {
        let [batch, states, n_actions] = dims(values);
        (tensor(log_sum_exp::forward(numbers(values), n_actions, self.scale), [batch, states]), ())
    }

    fn backward(&self, [values]: &[Values; 1], output: &Values, (): (), upstream: &[f32]) -> [Vec<f32>; 1] {
        let [_, _, n_actions] = dims(values);
        [log_sum_exp::backward(numbers(values), n_actions, self.scale, numbers(output), upstream)]
    }
}

impl FusedOps for Flex {
    fn fused_gru(
        inputs: Values,
        input_weight: Values,
        input_bias: Values,
        hidden_weight: Values,
        hidden_bias: Values,
    ) -> Values {
        value(Gru, [inputs, input_weight, input_bias, hidden_weight, hidden_bias])
    }

    fn fused_lstm(inputs: Values, input_weight: Values, hidden_weight: Values, bias: Values) -> Values {
        value(Lstm, [inputs, input_weight, hidden_weight, bias])
    }

    fn fused_convolution(inputs: Values, weight: Values, bias: Values, taps: Taps, activation: Activation) -> Values {
        value(Convolution { taps, activation }, [inputs, weight, bias])
    }

    fn fused_attention(inputs: Values, n_heads: usize) -> Values {
        value(Attention { n_heads }, [inputs])
    }

    fn fused_whole_attention(inputs: Values, mask: Values, n_heads: usize) -> Values {
        value(WholeAttention { n_heads }, [inputs, mask])
    }

    fn fused_source_attention(queries: Values, memory: Values, mask: Values, n_heads: usize) -> Values {
        value(SourceAttention { n_heads }, [queries, memory, mask])
    }

    fn fused_norm(inputs: Values, gamma: Values, beta: Values, epsilon: f32) -> Values {
        value(Norm { epsilon }, [inputs, gamma, beta])
    }

    fn fused_log_sum_exp(values: Values, scale: f32) -> Values {
        value(LogSumExp { scale }, [values])
    }
}

impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
    fn fused_gru(
        inputs: FloatTensor<Self>,
        input_weight: FloatTensor<Self>,
        input_bias: FloatTensor<Self>,
        hidden_weight: FloatTensor<Self>,
        hidden_bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        recorded::<C, _, 5>(Gru, [inputs, input_weight, input_bias, hidden_weight, hidden_bias])
    }

    fn fused_lstm(
        inputs: FloatTensor<Self>,
        input_weight: FloatTensor<Self>,
        hidden_weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        recorded::<C, _, 4>(Lstm, [inputs, input_weight, hidden_weight, bias])
    }

    fn fused_convolution(
        inputs: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        taps: Taps,
        activation: Activation,
    ) -> FloatTensor<Self> {
        recorded::<C, _, 3>(Convolution { taps, activation }, [inputs, weight, bias])
    }

    fn fused_attention(inputs: FloatTensor<Self>, n_heads: usize) -> FloatTensor<Self> {
        recorded::<C, _, 1>(Attention { n_heads }, [inputs])
    }

    fn fused_whole_attention(inputs: FloatTensor<Self>, mask: FloatTensor<Self>, n_heads: usize) -> FloatTensor<Self> {
        recorded::<C, _, 2>(WholeAttention { n_heads }, [inputs, mask])
    }

    fn fused_source_attention(
        queries: FloatTensor<Self>,
        memory: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        n_heads: usize,
    ) -> FloatTensor<Self> {
        recorded::<C, _, 3>(SourceAttention { n_heads }, [queries, memory, mask])
    }

    fn fused_norm(
        inputs: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        recorded::<C, _, 3>(Norm { epsilon }, [inputs, gamma, beta])
    }

    fn fused_log_sum_exp(values: FloatTensor<Self>, scale: f32) -> FloatTensor<Self> {
        recorded::<C, _, 1>(LogSumExp { scale }, [values])
    }
}

impl GraphFreeOps for Flex {
    fn fused_gru_step(
        input: Values,
        hidden: Values,
        input_bias: Values,
        hidden_bias: Values,
        input_weight: Arc<Panels>,
        hidden_weight: Arc<Panels>,
    ) -> Values {
        let [input, hidden, input_bias, hidden_bias] =
            [input, hidden, input_bias, hidden_bias].map(|part| part.to_contiguous());
        let ([batch, n_inputs], [_, width]) = (dims(&input), dims(&hidden));
        let layer = gru::Layer {
            input: &input_weight,
            input_bias: numbers(&input_bias),
            hidden: &hidden_weight,
            hidden_bias: numbers(&hidden_bias),
        };
        let shape = recurrence::Shape { batch, time: 1, n_inputs, width };
        tensor(gru::forward(shape, numbers(&input), Some(numbers(&hidden)), layer).hidden, [batch, width])
    }

    fn fused_lstm_memories(
        inputs: Values,
        input_weight: Values,
        hidden_weight: Values,
        bias: Values,
    ) -> (Values, Values) {
        let inputs = [inputs, input_weight, hidden_weight, bias].map(|part| part.to_contiguous());
        let recurrence::Shape { batch, time, width, .. } = Lstm::shape(&inputs);
        let pass = Lstm::pass(&inputs);
        (tensor(pass.hidden, [batch, time, width]), tensor(pass.cell, [batch, time, width]))
    }

    fn fused_lstm_step(
        input: Values,
        hidden: Values,
        cell: Values,
        bias: Values,
        input_weight: Arc<Panels>,
        hidden_weight: Arc<Panels>,
    ) -> (Values, Values) {
        let [input, hidden, cell, bias] = [input, hidden, cell, bias].map(|part| part.to_contiguous());
        let ([batch, n_inputs], [_, width]) = (dims(&input), dims(&hidden));
        let layer = lstm::Layer { input: &input_weight, hidden: &hidden_weight, bias: numbers(&bias) };
        let initial = lstm::Initial { hidden: numbers(&hidden), cell: numbers(&cell) };
        let shape = recurrence::Shape { batch, time: 1, n_inputs, width };
        let pass = lstm::forward(shape, numbers(&input), Some(initial), layer);
        (tensor(pass.hidden, [batch, width]), tensor(pass.cell, [batch, width]))
    }

    fn fused_packed_linear(rows: Values, bias: Values, weight: Arc<Panels>, activation: Activation) -> Values {
        let (rows, bias) = (rows.to_contiguous(), bias.to_contiguous());
        let [n_rows, n_inputs] = dims(&rows);
        let n_outputs = weight.n_outputs();
        let shape = convolution::Shape { batch: 1, time: n_rows, n_inputs, n_outputs, taps: Taps::ONE };
        let pass = convolution::forward(shape, activation, numbers(&rows), &weight, numbers(&bias));
        tensor(pass.outputs, [n_rows, n_outputs])
    }

    fn fused_argmax(rows: Values, bias: Values, weight: Arc<Panels>) -> Values {
        let (rows, bias) = (rows.to_contiguous(), bias.to_contiguous());
        let [n_rows, n_inputs] = dims(&rows);
        let (values, bias) = (numbers(&rows), numbers(&bias));
        let mut best = vec![0_i64; n_rows];
        let n_part = rows_of_part(n_rows, n_inputs * weight.n_outputs());
        best.par_chunks_mut(n_part).enumerate().for_each(|(part, best)| {
            argmax(|row| &values[(part * n_part + row) * n_inputs..][..n_inputs], &weight, bias, best);
        });
        Values::from_data(TensorData::new(best, [n_rows]))
    }

    fn fused_attention_step(
        heads: Values,
        cosine: Values,
        sine: Values,
        mask: Values,
        keys: Values,
        values: Values,
        place: usize,
        n_heads: usize,
    ) -> (Values, Values, Values) {
        let [heads, cosine, sine, mask] = [heads, cosine, sine, mask].map(|part| part.to_contiguous());
        // The tensors as they came are gone after this, so that nobody else holds what is written to.
        let [mut keys, mut values] = [keys, values].map(|kept| kept.to_contiguous());
        let [batch, time, width] = dims(&keys);
        let shape = attention::Shape { batch, time, width, n_heads };
        let token = attention::Token { heads: numbers(&heads), turn: [numbers(&cosine), numbers(&sine)], place };
        let kept = [keys.storage_mut::<f32>(), values.storage_mut::<f32>()];
        let gathered = attention::step(shape, &token, numbers(&mask), kept);
        (tensor(gathered, [batch, width]), keys, values)
    }

    fn fused_expectation(rows: Values, bias: Values, support: Values, weight: Arc<Panels>) -> Values {
        let [rows, bias, support] = [rows, bias, support].map(|part| part.to_contiguous());
        let [n_rows, _] = dims(&rows);
        let means = expectation::means(numbers(&rows), &weight, numbers(&bias), numbers(&support));
        tensor(means, [n_rows, weight.n_outputs() / numbers(&support).len()])
    }
}
