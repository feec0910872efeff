//! Holds a fused operation against the same in plain tensors.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};
use dqn_mdp::Seed;
use rand_chacha::ChaCha8Rng;

use crate::init::Init;
use crate::linear::Linear;

/// A module drawn from `seed`, on flex with a graph.
pub(crate) fn drawn<M>(seed: u64, draw: impl FnOnce(&mut Init<'_, ChaCha8Rng>) -> M) -> M {
    let device = Device::flex().autodiff();
    let mut rng = Seed(seed).stream("fused");
    draw(&mut Init { rng: &mut rng, device: &device })
}

/// Inputs of a layer; as a parameter, so that they have a gradient like all others.
pub(crate) fn inputs(shape: [usize; 3], init: &mut Init<'_, ChaCha8Rng>) -> Param<Tensor<3>> {
    let [batch, time, width] = shape;
    let values = init.normal([batch * time, width], 1.0).val().inner().reshape(shape).into_data();
    Param::from_data(values, init.device)
}

/// A linear layer whose bias is not zero.
pub(crate) fn linear(n_inputs: usize, width: usize, init: &mut Init<'_, ChaCha8Rng>) -> Linear {
    let mut layer = Linear::new(n_inputs, width, 3.0, init);
    layer.bias = init.uniform_vector(width, 1.0);
    layer
}

/// What a function gives, and the gradients of all parameters.
#[derive(Debug, PartialEq)]
struct Answer {
    output: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

/// [`check_with_kinks`], and that the gradients are the slopes of `fused`.
pub(crate) fn check<M: Module + Sync>(
    module: &M,
    fused: impl Fn(&M) -> Tensor<3> + Sync,
    plain: impl Fn(&M) -> Tensor<3>,
) {
    check_with_kinks(module, &fused, plain);
    assert_slope(module, &fused, &answer(module, &fused).gradients);
}

/// Asserts that `fused` gives what `plain` gives, that their gradients agree, and that the number of threads changes no bit.
pub(crate) fn check_with_kinks<M: Module + Sync>(
    module: &M,
    fused: impl Fn(&M) -> Tensor<3> + Sync,
    plain: impl Fn(&M) -> Tensor<3>,
) {
    let found = answer(module, &fused);
    let expected = answer(module, &plain);
    assert_near("output", &found.output, &expected.output, 1e-5);
    assert_eq!(found.gradients.len(), expected.gradients.len());
    for (index, (found, expected)) in found.gradients.iter().zip(&expected.gradients).enumerate() {
        assert_near(&format!("gradient {index}"), found, expected, 1e-4);
    }
    for n_threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("a small pool");
        assert!(pool.install(|| answer(module, &fused)) == found, "{n_threads} threads give other bits");
    }
}

/// Asserts differences below `bound`, relative to the largest number where that is above 1.
fn assert_near(what: &str, found: &[f32], expected: &[f32], bound: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0_f32, |scale, value| scale.max(value.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < bound * scale, "{what}: {found} instead of {expected}, scale {scale}");
    }
}

/// Asserts that along one direction the loss changes as the gradients say.
fn assert_slope<M: Module>(module: &M, function: &impl Fn(&M) -> Tensor<3>, gradients: &[Vec<f32>]) {
    const STEP: f32 = 2e-3;
    let loss_at = |step: f32| {
        let moved = module.clone().map(&mut Move { step });
        let output = numbers(function(&moved));
        output.iter().enumerate().map(|(index, value)| f64::from(value * direction(index))).sum::<f64>()
    };
    let slope = (loss_at(STEP) - loss_at(-STEP)) / (2.0 * f64::from(STEP));
    let of_one = |gradient: &Vec<f32>| {
        gradient.iter().enumerate().map(|(index, value)| f64::from(value * direction(index))).sum::<f64>()
    };
    let expected: f64 = gradients.iter().map(of_one).sum();
    let scale = gradients.iter().flatten().fold(1.0_f64, |scale, value| scale.max(f64::from(value.abs())));
    assert!((slope - expected).abs() < 2e-2 * scale, "the loss rises by {slope}, by its gradients {expected}");
}

/// A number for each index, between -1 and 1.
fn direction(index: usize) -> f32 {
    (1.0 + index as f32 * 1.7).sin()
}

fn directions<const D: usize>(like: &Tensor<D>) -> Tensor<D> {
    let values: Vec<f32> = (0..like.shape().num_elements()).map(direction).collect();
    Tensor::<1>::from_floats(values.as_slice(), &like.device()).reshape(like.dims())
}

fn answer<M: Module>(module: &M, function: &impl Fn(&M) -> Tensor<3>) -> Answer {
    let output = function(module);
    let weights = directions(&output);
    let gradients = (output.clone() * weights).sum().backward();
    let mut collected = Collect { gradients: &gradients, found: Vec::new() };
    module.visit(&mut collected);
    Answer { output: numbers(output), gradients: collected.found }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as().expect("32-bit floats")
}

struct Collect<'a> {
    gradients: &'a Gradients,
    found: Vec<Vec<f32>>,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients).expect("every parameter has a gradient");
        self.found.push(numbers(gradient));
    }
}

/// Moves every parameter by `step` along [`direction`].
struct Move {
    step: f32,
}

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let moved = value.clone() + directions(&value).mul_scalar(self.step);
        Param::from_mapped_value(id, moved, mapper)
    }
}
