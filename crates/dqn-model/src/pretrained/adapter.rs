//! Low-rank adapters of projections.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::layers::{Block, Projection};
use crate::init::Init;

/// The size of low-rank adapters (LoRA, Hu et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of what is added to a weight.
    #[schemars(range(min = 1, max = 4096))]
    pub rank: usize,
    /// What is added is multiplied by `alpha / rank`; twice the rank is usual.
    #[schemars(range(min = 1e-6, max = 1e6))]
    pub alpha: f64,
}

/// What training adds to a weight that itself stays as it is.
///
/// ```text
/// h = x W + alpha / rank (x A) B
/// ```
///
/// Source: Hu et al. 2021, eq. 3. `B` begins at 0, so that the first step finds the model as it was.
#[derive(Module, Debug)]
pub struct Adapter {
    /// `A`: `[inputs, rank]`
    pub down: Param<Tensor<2>>,
    /// `B`: `[rank, outputs]`
    pub up: Param<Tensor<2>>,
    /// `alpha / rank`
    #[module(skip)]
    pub scale: f64,
}

impl Adapter {
    fn new<R: Rng>(LoraConfig { rank, alpha }: LoraConfig, shape: [usize; 2], init: &mut Init<'_, R>) -> Self {
        let [n_inputs, n_outputs] = shape;
        // The variance of a row's products stays that of the row, as in the authors' code.
        let down = init.uniform([n_inputs, rank], (3.0 / n_inputs as f32).sqrt());
        Self { down, up: init.constant([rank, n_outputs], 0.0), scale: alpha / rank as f64 }
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub(super) fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        rows.matmul(self.down.val()).matmul(self.up.val()).mul_scalar(self.scale)
    }

    /// What it adds to the weight: `[inputs, outputs]`.
    fn product(&self) -> Tensor<2> {
        self.down.val().matmul(self.up.val()).mul_scalar(self.scale)
    }
}

/// The projections of a block, which adapters are counted by.
pub(super) fn projections(block: &mut Block) -> Vec<&mut Projection> {
    let Block { query, key, value, attention_output, gate, up, down, .. } = block;
    [query, key, value, attention_output].into_iter().chain(gate.as_mut()).chain([up, down]).collect()
}

/// An adapter for every projection of `blocks`, in their order.
pub(super) fn of_blocks<R: Rng>(config: LoraConfig, blocks: &[Block], init: &mut Init<'_, R>) -> Vec<Adapter> {
    let mut adapters = Vec::new();
    for block in blocks {
        for projection in projections(&mut block.clone()) {
            adapters.push(Adapter::new(config, projection.weight.dims(), init));
        }
    }
    adapters
}

/// `block` with adapters beside its projections.
pub(super) fn beside(mut block: Block, adapters: &[Adapter]) -> Block {
    for (projection, adapter) in projections(&mut block).into_iter().zip(adapters) {
        projection.adapter = Some(adapter.clone());
    }
    block
}

/// `block` with what adapters add in its weights.
pub(super) fn merged(mut block: Block, adapters: &[Adapter]) -> Block {
    for (projection, adapter) in projections(&mut block).into_iter().zip(adapters) {
        let weight = projection.weight.val() + adapter.product();
        projection.weight = Param::initialized(projection.weight.id, weight);
    }
    block
}
