//! Attention of a text to its source.

use burn::module::Module;
use burn::nn::LayerNorm;
use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor};
use dqn_core::batch::FORBIDDEN;
use rand::Rng;

#[cfg(feature = "flex")]
use crate::fused;
use crate::init::Init;
use crate::linear::{Activation, Linear};
use crate::norm::{layer_norm, normalise};

/// A source as the encoder has read it, ready for those who attend to it.
#[derive(Clone, Debug)]
pub struct Conditioning {
    /// For each attention the keys and values of all places, side by side: `[batch, places, 2 * width]`.
    pub(crate) memories: Vec<Tensor<3>>,
    /// [`FORBIDDEN`] where a source is padded, else 0: `[batch, places]`.
    pub(crate) mask: Tensor<2>,
    /// What is added to the vector of every token, in networks that want a summary: `[batch, width]`.
    pub(crate) summary: Option<Tensor<2>>,
}

impl Conditioning {
    /// The rows `rows`, in that order.
    pub(crate) fn select(self, rows: &Tensor<1, Int>) -> Self {
        Self {
            memories: self.memories.into_iter().map(|memory| memory.select(0, rows.clone())).collect(),
            mask: self.mask.select(0, rows.clone()),
            summary: self.summary.map(|summary| summary.select(0, rows.clone())),
        }
    }

    /// The rows of this one and after them those of `other`, the shorter padded.
    pub(crate) fn join(self, other: Self) -> Self {
        let n_places = self.mask.dims()[1].max(other.mask.dims()[1]);
        let (one, other) = (self.padded(n_places), other.padded(n_places));
        let both = |(one, other)| Tensor::cat(vec![one, other], 0);
        Self {
            memories: one.memories.into_iter().zip(other.memories).map(both).collect(),
            mask: Tensor::cat(vec![one.mask, other.mask], 0),
            summary: one.summary.zip(other.summary).map(|(one, other)| Tensor::cat(vec![one, other], 0)),
        }
    }

    fn padded(self, n_places: usize) -> Self {
        let [batch, found] = self.mask.dims();
        if found == n_places {
            return self;
        }
        let n_new = n_places - found;
        let lengthened = |memory: Tensor<3>| {
            let nothing = Tensor::zeros([batch, n_new, memory.dims()[2]], &memory.device());
            Tensor::cat(vec![memory, nothing], 1)
        };
        let nobody = Tensor::full([batch, n_new], FORBIDDEN, &self.mask.device());
        Self {
            memories: self.memories.into_iter().map(lengthened).collect(),
            mask: Tensor::cat(vec![self.mask, nobody], 1),
            summary: self.summary,
        }
    }
}

/// Softmax attention with queries from a text, keys and values from its source.
///
/// Source: Vaswani et al. 2017, section 3.2; the norm before it as in Xiong et al. 2020.
#[derive(Module, Debug)]
pub(crate) struct SourceAttention {
    norm: LayerNorm,
    query: Linear,
    key_value: Linear,
    output: Linear,
    #[module(skip)]
    n_heads: usize,
}

impl SourceAttention {
    pub(crate) fn new<R: Rng>(width: usize, source_width: usize, n_heads: usize, init: &mut Init<'_, R>) -> Self {
        Self {
            norm: layer_norm(width, init.device),
            query: Linear::new(width, width, 3.0, init),
            key_value: Linear::new(source_width, 2 * width, 3.0, init),
            output: Linear::new(width, width, 3.0, init),
            n_heads,
        }
    }

    pub(crate) fn for_acting(self) -> Self {
        Self {
            query: self.query.for_acting(),
            key_value: self.key_value.for_acting(),
            output: self.output.for_acting(),
            ..self
        }
    }

    /// Keys and values of what the encoder has read: `[batch, places, source width]` to `[batch, places, 2 * width]`.
    pub(crate) fn memory(&self, encoded: Tensor<3>) -> Tensor<3> {
        let [batch, places, width] = encoded.dims();
        let rows = self.key_value.forward(encoded.reshape([batch * places, width]), Activation::Identity);
        let width = rows.dims()[1];
        rows.reshape([batch, places, width])
    }

    /// What the states gather from their sources: `[batch * states, width]`, each row after those of its text before it.
    ///
    /// # Shapes
    /// - `memory`: `[batch, places, 2 * width]`; `mask`: `[batch, places]`
    pub(crate) fn forward(&self, states: Tensor<2>, memory: &Tensor<3>, mask: &Tensor<2>) -> Tensor<2> {
        let [rows, width] = states.dims();
        let batch = memory.dims()[0];
        let queries = self.query.forward(normalise(&self.norm, states), Activation::Identity);
        let gathered = gather(queries.reshape([batch, rows / batch, width]), memory, mask, self.n_heads);
        self.output.forward(gathered.reshape([rows, width]), Activation::Identity)
    }
}

/// What states gather from the places of their sources: `[batch, states, width]`, the shape of `queries`.
fn gather(queries: Tensor<3>, memory: &Tensor<3>, mask: &Tensor<2>, n_heads: usize) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if fused::can_record(&queries.device()) {
        return fused::source_attention(queries, memory.clone(), mask.clone(), n_heads);
    }
    plain(queries, memory, mask, n_heads)
}

/// [`gather`] in plain tensors.
fn plain(queries: Tensor<3>, memory: &Tensor<3>, mask: &Tensor<2>, n_heads: usize) -> Tensor<3> {
    let [batch, n_states, width] = queries.dims();
    let n_places = memory.dims()[1];
    let heads = |rows: Tensor<3>| {
        let [batch, time, width] = rows.dims();
        rows.reshape([batch, time, n_heads, width / n_heads]).swap_dims(1, 2)
    };
    let keys = heads(memory.clone().narrow(2, 0, width));
    let scale = ((width / n_heads) as f64).sqrt().recip();
    let mask = mask.clone().reshape([batch, 1, 1, n_places]);
    let weights = softmax(heads(queries).matmul(keys.swap_dims(2, 3)).mul_scalar(scale) + mask, 3);
    let gathered = weights.matmul(heads(memory.clone().narrow(2, width, width)));
    gathered.swap_dims(1, 2).reshape([batch, n_states, width])
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::module::Param;
    use proptest::prelude::*;

    use super::*;
    use crate::fused::oracle;

    fn check([batch, n_states, n_places]: [usize; 3], n_heads: usize, head_width: usize, seed: u64) {
        let width = n_heads * head_width;
        let module = oracle::drawn(seed, |init| {
            (oracle::inputs([batch, n_states, width], init), oracle::inputs([batch, n_places, 2 * width], init))
        });
        // The last place of every other source is padding.
        let is_padding = |text: usize, place: usize| n_places > 1 && text % 2 == 1 && place + 1 == n_places;
        let mask: Vec<f32> = (0..batch * n_places)
            .map(|index| if is_padding(index / n_places, index % n_places) { FORBIDDEN } else { 0.0 })
            .collect();
        type Module = (Param<Tensor<3>>, Param<Tensor<3>>);
        let mask =
            |module: &Module| Tensor::<1>::from_data(mask.as_slice(), &module.0.device()).reshape([batch, n_places]);
        oracle::check(
            &module,
            |module: &Module| gather(module.0.val(), &module.1.val(), &mask(module), n_heads),
            |module: &Module| plain(module.0.val(), &module.1.val(), &mask(module), n_heads),
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn fused_attention_is_the_plain_one(
            batch in 1_usize..4, n_states in 1_usize..9, n_places in 1_usize..12, n_heads in 1_usize..4,
            head_width in 1_usize..9, seed: u64,
        ) {
            check([batch, n_states, n_places], n_heads, head_width, seed);
        }
    }

    #[test]
    fn attention_large_enough_for_several_threads_is_the_plain_one() {
        check([6, 30, 40], 2, 16, 3);
    }
}
