//! The weights of a model, packed for reading and writing on burn-flex.

use burn::module::Param;
use burn::tensor::Tensor;

use super::layers::{Block, Norm, Projection};
use super::model::CausalLm;
use crate::fused::{Decoder, Layer, NormWeights, Sizes, Weights};

/// Packs a model, layer by layer, so that not all its parameters are in memory twice.
pub(super) fn decoder(lm: CausalLm) -> Decoder {
    let config = lm.config().clone();
    let sizes = Sizes {
        width: config.width,
        n_heads: config.n_heads,
        n_key_value_heads: config.n_key_value_heads,
        head_width: config.head_width,
        hidden_width: config.hidden_width,
        n_layers: config.n_layers,
        norm_epsilon: config.norm_epsilon as f32,
    };
    let table = |table: Param<Tensor<2>>| Weights::of_table(&numbers(table), config.width);
    let CausalLm { embedding, positions, blocks, norm, output, .. } = lm;
    Decoder {
        sizes,
        speeds: config.rope.as_ref().map(|rope| rope.speeds(config.head_width)),
        embedding: table(embedding),
        positions: positions.map(numbers),
        layers: blocks.into_iter().map(layer).collect(),
        norm: norm_weights(norm),
        output: output.map(table),
    }
}

fn layer(block: Block) -> Layer {
    Layer {
        attention_norm: norm_weights(block.attention_norm),
        heads: side_by_side([Some(block.query), Some(block.key), Some(block.value)]),
        attention_output: side_by_side([Some(block.attention_output)]),
        hidden_norm: norm_weights(block.hidden_norm),
        up: side_by_side([block.gate, Some(block.up)]),
        down: side_by_side([Some(block.down)]),
    }
}

fn norm_weights(norm: Norm) -> NormWeights {
    NormWeights { weight: numbers(norm.weight), bias: norm.bias.map(numbers) }
}

fn side_by_side<const N: usize>(projections: [Option<Projection>; N]) -> Weights {
    let projections: Vec<Projection> = projections.into_iter().flatten().collect();
    let n_inputs = projections[0].weight.dims()[0];
    let matrices: Vec<_> = projections.into_iter().map(|own| (numbers(own.weight), own.bias.map(numbers))).collect();
    Weights::side_by_side(n_inputs, &matrices)
}

fn numbers<const D: usize>(parameter: Param<Tensor<D>>) -> Vec<f32> {
    parameter.val().try_into_vec_as::<f32>().expect("parameters can be read as 32-bit floats")
}
