//! Initial parameters, drawn on the host.
//!
//! A backend's own generator is global and differs between backends; drawing here makes a network begin with the same
//! parameters on every one of them.

use burn::module::{ModuleMapper, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use rand::distr::{Distribution, Uniform};
use rand_distr::{Normal, StandardUniform};

/// Draws parameters from one stream onto one device.
pub(crate) struct Init<'a, R: Rng> {
    pub(crate) rng: &'a mut R,
    pub(crate) device: &'a Device,
}

impl<R: Rng> Init<'_, R> {
    /// A matrix of normal draws with mean 0.
    pub(crate) fn normal(&mut self, shape: [usize; 2], deviation: f32) -> Param<Tensor<2>> {
        let normal = Normal::new(0.0, deviation).expect("the deviation of an initial parameter is finite");
        self.matrix(shape, normal)
    }

    /// A matrix drawn uniformly from `-bound..bound`.
    pub(crate) fn uniform(&mut self, shape: [usize; 2], bound: f32) -> Param<Tensor<2>> {
        let uniform = Uniform::new_inclusive(-bound, bound).expect("the bound of an initial parameter is positive");
        self.matrix(shape, uniform)
    }

    /// A matrix of one value.
    pub(crate) fn constant(&mut self, shape: [usize; 2], value: f32) -> Param<Tensor<2>> {
        Param::from_data(TensorData::new(vec![value; shape[0] * shape[1]], shape), self.device)
    }

    /// A vector drawn uniformly from `-bound..bound`.
    pub(crate) fn uniform_vector(&mut self, len: usize, bound: f32) -> Param<Tensor<1>> {
        let draw = |unit: f32| (2.0 * unit - 1.0) * bound;
        let values = (0..len).map(|_| draw(StandardUniform.sample(self.rng))).collect();
        self.vector(values)
    }

    /// A vector of zeros.
    pub(crate) fn zeros(&mut self, len: usize) -> Param<Tensor<1>> {
        self.vector(vec![0.0; len])
    }

    /// A vector of given values.
    pub(crate) fn vector(&mut self, values: Vec<f32>) -> Param<Tensor<1>> {
        let len = values.len();
        Param::from_data(TensorData::new(values, [len]), self.device)
    }

    fn matrix(&mut self, shape: [usize; 2], distribution: impl Distribution<f32>) -> Param<Tensor<2>> {
        let values: Vec<f32> = distribution.sample_iter(&mut *self.rng).take(shape[0] * shape[1]).collect();
        Param::from_data(TensorData::new(values, shape), self.device)
    }
}

/// Numbers the parameters of a module in the order of its fields.
///
/// Fresh ids are random. Numbered ones make two runs from the same seed write the same checkpoint, byte for byte.
pub(crate) struct NumberParameters {
    pub(crate) next: u64,
}

impl ModuleMapper for NumberParameters {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (_, value, mapper) = param.consume();
        let id = ParamId::from(self.next);
        self.next += 1;
        Param::from_mapped_value(id, value, mapper)
    }
}
