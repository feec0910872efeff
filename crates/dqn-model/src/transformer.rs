//! A causal Transformer.

use burn::module::Module;
use burn::nn::{Dropout, LayerNorm};
use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor};
use dqn_core::batch::FORBIDDEN;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dropout::dropped;
#[cfg(feature = "flex")]
use crate::fused;
use crate::init::Init;
use crate::linear::{Activation, Linear};
use crate::norm::{layer_norm, normalise};

/// Size of a Transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransformerConfig {
    /// Length of a token's vector between the blocks.
    #[schemars(range(min = 2, max = 65536))]
    pub width: usize,
    /// Heads of attention in each block; an even part of `width` falls to each.
    #[schemars(range(min = 1, max = 256))]
    pub n_heads: usize,
    /// Blocks.
    #[schemars(range(min = 1, max = 64))]
    pub n_layers: usize,
    /// Units of the hidden layer of a block, as a multiple of `width`.
    #[schemars(range(min = 1, max = 16))]
    pub expansion: usize,
}

impl Default for TransformerConfig {
    fn default() -> Self {
        Self { width: 128, n_heads: 4, n_layers: 2, expansion: 4 }
    }
}

impl TransformerConfig {
    /// Whether each head has an even part of the width, as rotary positions need.
    pub fn is_divisible(&self) -> bool {
        self.width.is_multiple_of(2 * self.n_heads)
    }
}

/// Blocks of causal self-attention, normalised before each part, with rotary positions.
///
/// ```text
/// x <- x + attention(norm(x)),   x <- x + W_2 gelu(W_1 norm(x)),   at the end norm(x)
/// ```
///
/// Source: Vaswani et al. 2017; Xiong et al. 2020 for the place of the norms; Su et al. 2021 for the positions, which
/// depend on distances only, so that a text reads the same wherever its context is cut.
#[derive(Module, Debug)]
pub struct Transformer {
    input: Linear,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

#[derive(Module, Debug)]
struct Block {
    attention_norm: LayerNorm,
    query_key_value: Linear,
    output: Linear,
    hidden_norm: LayerNorm,
    up: Linear,
    down: Linear,
    /// On what attention and hidden layer add, as in Vaswani et al. 2017.
    dropout: Option<Dropout>,
    #[module(skip)]
    n_heads: usize,
}

/// Keys and values of the tokens read so far.
#[derive(Clone, Debug)]
pub struct KeyValueCache {
    /// For each block keys and values: `[batch, heads, time, width / heads]`.
    blocks: Vec<[Tensor<4>; 2]>,
    /// 0 where a row has a token, [`FORBIDDEN`] where it is padded: `[batch, time]`.
    mask: Tensor<2>,
    /// Tokens of each row: `[batch]`.
    n_tokens: Tensor<1, Int>,
}

impl Transformer {
    pub(crate) fn new<R: Rng>(
        config: &TransformerConfig,
        n_inputs: usize,
        dropout: Option<Dropout>,
        init: &mut Init<'_, R>,
    ) -> Self {
        let width = config.width;
        let input = Linear::new(n_inputs, width, 3.0, init);
        let blocks = (0..config.n_layers)
            .map(|_| Block {
                attention_norm: layer_norm(width, init.device),
                query_key_value: Linear::new(width, 3 * width, 3.0, init),
                output: Linear::new(width, width, 3.0, init),
                hidden_norm: layer_norm(width, init.device),
                up: Linear::new(width, config.expansion * width, 3.0, init),
                down: Linear::new(config.expansion * width, width, 3.0, init),
                dropout: dropout.clone(),
                n_heads: config.n_heads,
            })
            .collect();
        Self { input, blocks, norm: layer_norm(width, init.device) }
    }

    /// The same network, to act with: what depends on its parameters only is computed once.
    pub(crate) fn for_acting(self) -> Self {
        let blocks = self.blocks.into_iter().map(Block::for_acting).collect();
        Self { input: self.input.for_acting(), blocks, ..self }
    }

    /// Features of all places.
    ///
    /// # Shapes
    /// - `inputs`: `[batch, time, n_inputs]`
    /// - returns `[batch, time, width]`
    pub(crate) fn forward(&self, inputs: Tensor<3>) -> Tensor<3> {
        self.read(inputs, |_| ())
    }

    /// Features of all places, and for each block the keys and values that later tokens attend to.
    ///
    /// # Shapes
    /// - `inputs`: `[batch, time, n_inputs]`
    /// - returns `[batch, time, width]`, and `[batch, heads, time, width / heads]` each
    pub(crate) fn start(&self, inputs: Tensor<3>) -> (Tensor<3>, Vec<[Tensor<4>; 2]>) {
        let mut blocks = Vec::with_capacity(self.blocks.len());
        let features = self.read(inputs, |heads: Heads| {
            let [_, key, value] = heads.turned();
            blocks.push([key, value]);
        });
        (features, blocks)
    }

    /// Features of all places; `see` is shown the heads of every block.
    fn read(&self, inputs: Tensor<3>, mut see: impl FnMut(Heads)) -> Tensor<3> {
        let [batch, time, n_inputs] = inputs.dims();
        let mut rows = self.input.forward(inputs.reshape([batch * time, n_inputs]), Activation::Identity);
        let width = rows.dims()[1];
        for block in &self.blocks {
            let heads =
                Heads { all: block.heads(rows.clone()).reshape([batch, time, 3 * width]), n_heads: block.n_heads };
            see(heads.clone());
            rows = block.finish(rows, heads.attended().reshape([batch * time, width]));
        }
        normalise(&self.norm, rows).reshape([batch, time, width])
    }

    /// What later tokens attend to in texts that end at `decisions`: `[batch, 1]`.
    pub(crate) fn cache(&self, blocks: Vec<[Tensor<4>; 2]>, decisions: Tensor<2, Int>) -> KeyValueCache {
        let [batch, _, time, _] = blocks[0][0].dims();
        let places = Tensor::<1, Int>::arange(0..time as i64, &decisions.device()).unsqueeze_dim::<2>(0);
        let is_later = places.expand([batch, time]).greater(decisions.clone().expand([batch, time]));
        let n_tokens = decisions.add_scalar(1).squeeze_dim(1);
        KeyValueCache { blocks, mask: is_later.float().mul_scalar(FORBIDDEN), n_tokens }
    }

    /// Features after one more token: `[batch, n_inputs]` to `[batch, width]`.
    pub(crate) fn step(&self, input: Tensor<2>, cache: &mut KeyValueCache) -> Tensor<2> {
        let [batch, _] = input.dims();
        let mut rows = self.input.forward(input, Activation::Identity);
        let new = Tensor::zeros([batch, 1], &rows.device());
        cache.mask = Tensor::cat(vec![cache.mask.clone(), new], 1);
        let time = cache.mask.dims()[1];
        let mask = cache.mask.clone().reshape([batch, 1, 1, time]);
        let head_width = cache.blocks[0][0].dims()[3];
        let turn = Turn::new(cache.n_tokens.clone().unsqueeze_dim(1), head_width);
        for (block, kept) in self.blocks.iter().zip(&mut cache.blocks) {
            let heads = Heads { all: block.heads(rows.clone()).unsqueeze_dim(1), n_heads: block.n_heads };
            let [query, key, value] = heads.split();
            let key = Tensor::cat(vec![kept[0].clone(), turn.apply(key)], 2);
            let value = Tensor::cat(vec![kept[1].clone(), value], 2);
            let attended = attend(turn.apply(query), key.clone(), value.clone(), mask.clone());
            rows = block.finish(rows, attended.squeeze_dim(1));
            *kept = [key, value];
        }
        cache.n_tokens = cache.n_tokens.clone().add_scalar(1);
        normalise(&self.norm, rows)
    }
}

impl KeyValueCache {
    /// The rows `rows`, in that order.
    pub(crate) fn select(self, rows: Tensor<1, Int>) -> Self {
        let chosen = |tensor: Tensor<4>| tensor.select(0, rows.clone());
        Self {
            blocks: self.blocks.into_iter().map(|block| block.map(chosen)).collect(),
            mask: self.mask.select(0, rows.clone()),
            n_tokens: self.n_tokens.select(0, rows),
        }
    }

    /// The rows of this cache and after them those of `other`, the shorter filled up with places nobody attends to.
    pub(crate) fn join(self, other: Self) -> Self {
        let time = self.mask.dims()[1].max(other.mask.dims()[1]);
        let (one, other) = (self.filled(time), other.filled(time));
        let pairs = one.blocks.into_iter().zip(other.blocks);
        let both = |[key, value]: [Tensor<4>; 2], [other_key, other_value]: [Tensor<4>; 2]| {
            [Tensor::cat(vec![key, other_key], 0), Tensor::cat(vec![value, other_value], 0)]
        };
        Self {
            blocks: pairs.map(|(one, other)| both(one, other)).collect(),
            mask: Tensor::cat(vec![one.mask, other.mask], 0),
            n_tokens: Tensor::cat(vec![one.n_tokens, other.n_tokens], 0),
        }
    }

    /// The cache with room for `time` tokens.
    fn filled(self, time: usize) -> Self {
        let [batch, now] = self.mask.dims();
        if now == time {
            return self;
        }
        let device = self.mask.device();
        let fill = |tensor: Tensor<4>| {
            let [_, heads, _, width] = tensor.dims();
            Tensor::cat(vec![tensor, Tensor::zeros([batch, heads, time - now, width], &device)], 2)
        };
        let nobody = Tensor::full([batch, time - now], FORBIDDEN, &device);
        Self {
            blocks: self.blocks.into_iter().map(|block| block.map(fill)).collect(),
            mask: Tensor::cat(vec![self.mask, nobody], 1),
            n_tokens: self.n_tokens,
        }
    }
}

impl Block {
    fn for_acting(self) -> Self {
        Self {
            query_key_value: self.query_key_value.for_acting(),
            output: self.output.for_acting(),
            up: self.up.for_acting(),
            down: self.down.for_acting(),
            ..self
        }
    }

    /// Queries, keys and values of all heads side by side: `[rows, 3 * width]`.
    fn heads(&self, rows: Tensor<2>) -> Tensor<2> {
        self.query_key_value.forward(normalise(&self.attention_norm, rows), Activation::Identity)
    }

    /// What attention gathered and the hidden layer, both added to `rows`.
    fn finish(&self, rows: Tensor<2>, attended: Tensor<2>) -> Tensor<2> {
        let dropout = self.dropout.as_ref();
        let rows = rows + dropped(dropout, self.output.forward(attended, Activation::Identity));
        let hidden = self.up.forward(normalise(&self.hidden_norm, rows.clone()), Activation::Gelu);
        rows + dropped(dropout, self.down.forward(hidden, Activation::Identity))
    }
}

/// Queries, keys and values of whole texts, before their turn.
#[derive(Clone)]
struct Heads {
    /// `[batch, time, 3 * width]`
    all: Tensor<3>,
    n_heads: usize,
}

impl Heads {
    /// Queries, keys and values: `[batch, heads, time, width / heads]` each.
    fn split(&self) -> [Tensor<4>; 3] {
        let [batch, time, width] = self.all.dims();
        let width = width / 3;
        [0, 1, 2].map(|index| {
            let part = self.all.clone().narrow(2, index * width, width);
            part.reshape([batch, time, self.n_heads, width / self.n_heads]).swap_dims(1, 2)
        })
    }

    /// Queries and keys after their turn, and values.
    fn turned(&self) -> [Tensor<4>; 3] {
        let [query, key, value] = self.split();
        let places = Tensor::<1, Int>::arange(0..query.dims()[2] as i64, &query.device());
        let turn = Turn::new(places.unsqueeze_dim(0), query.dims()[3]);
        [turn.apply(query), turn.apply(key), value]
    }

    /// What each place gathers from itself and those before it: `[batch, time, width]`.
    fn attended(self) -> Tensor<3> {
        #[cfg(feature = "flex")]
        if fused::can_record(&self.all.device()) {
            return fused::attention(self.all, self.n_heads);
        }
        self.plain()
    }

    /// [`Heads::attended`] in plain tensors.
    fn plain(&self) -> Tensor<3> {
        let [query, key, value] = self.turned();
        let time = query.dims()[2];
        let places = Tensor::<1, Int>::arange(0..time as i64, &query.device());
        let later = places.clone().unsqueeze_dim::<2>(0).greater(places.unsqueeze_dim::<2>(1));
        let mask = later.float().mul_scalar(FORBIDDEN).reshape([1, 1, time, time]);
        attend(query, key, value, mask)
    }
}

/// Softmax attention: `[batch, queries, width]` from heads `[batch, heads, queries or keys, width / heads]`.
fn attend(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, mask: Tensor<4>) -> Tensor<3> {
    let [batch, n_heads, n_queries, head_width] = query.dims();
    let scale = (head_width as f64).sqrt().recip();
    let weights = softmax(query.matmul(key.swap_dims(2, 3)).mul_scalar(scale) + mask, 3);
    weights.matmul(value).swap_dims(1, 2).reshape([batch, n_queries, n_heads * head_width])
}

/// The rotation of queries and keys by their places (Su et al. 2021, eq. 34).
///
/// Entry `i` of the first half of a head and entry `i` of the second are turned together, by the place times
/// `10000^(-i / half)`.
struct Turn {
    /// `[batch or 1, 1, time, half]`
    cosine: Tensor<4>,
    sine: Tensor<4>,
}

impl Turn {
    /// # Shapes
    /// - `places`: `[batch or 1, time]`
    fn new(places: Tensor<2, Int>, head_width: usize) -> Self {
        let [rows, time] = places.dims();
        let half = head_width / 2;
        let exponents = Tensor::<1, Int>::arange(0..half as i64, &places.device()).float();
        let speeds = exponents.mul_scalar(-(10_000.0_f64.ln()) / half as f64).exp().reshape([1, 1, 1, half]);
        let angles = places.float().reshape([rows, 1, time, 1]) * speeds;
        Self { cosine: angles.clone().cos(), sine: angles.sin() }
    }

    fn apply(&self, heads: Tensor<4>) -> Tensor<4> {
        let half = heads.dims()[3] / 2;
        let first = heads.clone().narrow(3, 0, half);
        let second = heads.narrow(3, half, half);
        let turned = first.clone() * self.cosine.clone() - second.clone() * self.sine.clone();
        Tensor::cat(vec![turned, second * self.cosine.clone() + first * self.sine.clone()], 3)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::module::Param;
    use proptest::prelude::*;

    use super::*;
    use crate::fused::oracle;

    fn check(shape: [usize; 3], n_heads: usize, half: usize, seed: u64) {
        let [batch, time, n_inputs] = shape;
        let width = n_heads * 2 * half;
        let module =
            oracle::drawn(seed, |init| (oracle::inputs(shape, init), oracle::linear(n_inputs, 3 * width, init)));
        let heads = |(inputs, layer): &(Param<Tensor<3>>, Linear)| {
            let all = layer.plain(inputs.val().reshape([batch * time, n_inputs]), Activation::Identity);
            Heads { all: all.reshape([batch, time, 3 * width]), n_heads }
        };
        oracle::check(&module, |module| heads(module).attended(), |module| heads(module).plain());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn fused_attention_is_the_plain_one(
            batch in 1_usize..4, time in 1_usize..12, n_inputs in 1_usize..6, n_heads in 1_usize..4, half in 1_usize..7,
            seed: u64,
        ) {
            check([batch, time, n_inputs], n_heads, half, seed);
        }
    }

    #[test]
    fn attention_large_enough_for_several_threads_is_the_plain_one() {
        check([5, 40, 6], 2, 8, 3);
    }
}
