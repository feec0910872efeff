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
use crate::source_attention::{Conditioning, SourceAttention};

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

/// Blocks of self-attention, causal in a torso, normalised before each part, with rotary positions.
///
/// ```text
/// x <- x + attention(norm(x)),   x <- x + W_2 gelu(W_1 norm(x)),   at the end norm(x)
/// ```
///
/// With a source, attention to it stands between the two.
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
    source: Option<SourceAttention>,
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
    /// For each block keys, turned by their places, and values: `[batch, capacity, width]`.
    blocks: Vec<[Tensor<3>; 2]>,
    /// [`FORBIDDEN`] where a row is padded, else 0: `[batch, capacity]`.
    mask: Tensor<2>,
    /// Tokens of each row: `[batch]`.
    n_tokens: Tensor<1, Int>,
    /// Places in use, padding included: the others are room for what comes.
    n_used: usize,
}

impl Transformer {
    pub(crate) fn new<R: Rng>(
        config: &TransformerConfig,
        n_inputs: usize,
        source_width: Option<usize>,
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
                source: source_width.map(|of_source| SourceAttention::new(width, of_source, config.n_heads, init)),
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
    pub(crate) fn forward(&self, inputs: Tensor<3>, source: Option<&Conditioning>) -> Tensor<3> {
        self.read(inputs, &Reach::Before, source, |_| ())
    }

    /// Features of all places, each of which attends to all that `mask` does not forbid.
    ///
    /// # Shapes
    /// - `inputs`: `[batch, time, n_inputs]`; `mask`: `[batch, time]`
    /// - returns `[batch, time, width]`
    pub(crate) fn forward_whole(&self, inputs: Tensor<3>, mask: Tensor<2>) -> Tensor<3> {
        self.read(inputs, &Reach::Whole(mask), None, |_| ())
    }

    /// For each block what its attention to the source keeps of it: `[batch, places, 2 * width]` each.
    pub(crate) fn memories(&self, encoded: &Tensor<3>) -> Vec<Tensor<3>> {
        let attentions = self.blocks.iter().filter_map(|block| block.source.as_ref());
        attentions.map(|attention| attention.memory(encoded.clone())).collect()
    }

    /// Features of all places, and for each block the keys and values that later tokens attend to.
    ///
    /// # Shapes
    /// - `inputs`: `[batch, time, n_inputs]`
    /// - returns `[batch, time, width]`, and the same each
    pub(crate) fn start(&self, inputs: Tensor<3>, source: Option<&Conditioning>) -> (Tensor<3>, Vec<[Tensor<3>; 2]>) {
        let mut blocks = Vec::with_capacity(self.blocks.len());
        let features = self.read(inputs, &Reach::Before, source, |heads: Heads| {
            let [_, key, value] = heads.turned();
            blocks.push([key, value].map(side_by_side));
        });
        (features, blocks)
    }

    /// For each block what each place attends to, itself and those before it: `[batch, heads, time, time]`, rows of sum 1.
    pub(crate) fn attention(&self, inputs: Tensor<3>, source: Option<&Conditioning>) -> Vec<Tensor<4>> {
        let mut blocks = Vec::with_capacity(self.blocks.len());
        self.read(inputs, &Reach::Before, source, |heads: Heads| blocks.push(heads.weights(&Reach::Before)));
        blocks
    }

    /// Features of all places; `see` is shown the heads of every block.
    fn read(
        &self,
        inputs: Tensor<3>,
        reach: &Reach,
        source: Option<&Conditioning>,
        mut see: impl FnMut(Heads),
    ) -> Tensor<3> {
        let [batch, time, n_inputs] = inputs.dims();
        let mut rows = self.input.forward(inputs.reshape([batch * time, n_inputs]), Activation::Identity);
        let width = rows.dims()[1];
        for (index, block) in self.blocks.iter().enumerate() {
            let heads =
                Heads { all: block.heads(rows.clone()).reshape([batch, time, 3 * width]), n_heads: block.n_heads };
            see(heads.clone());
            rows = block.finish(rows, heads.attended(reach).reshape([batch * time, width]), index, source);
        }
        normalise(&self.norm, rows).reshape([batch, time, width])
    }

    /// What later tokens attend to in texts that end at `decisions`: `[batch, 1]`.
    pub(crate) fn cache(&self, blocks: Vec<[Tensor<3>; 2]>, decisions: Tensor<2, Int>) -> KeyValueCache {
        let [batch, time, _] = blocks[0][0].dims();
        let places = Tensor::<1, Int>::arange(0..time as i64, &decisions.device()).unsqueeze_dim::<2>(0);
        let is_later = places.expand([batch, time]).greater(decisions.clone().expand([batch, time]));
        let n_tokens = decisions.add_scalar(1).squeeze_dim(1);
        KeyValueCache { blocks, mask: is_later.float().mul_scalar(FORBIDDEN), n_tokens, n_used: time }
    }

    /// Features after one more token: `[batch, n_inputs]` to `[batch, width]`.
    pub(crate) fn step(&self, input: Tensor<2>, cache: &mut KeyValueCache, source: Option<&Conditioning>) -> Tensor<2> {
        let mut rows = self.input.forward(input, Activation::Identity);
        cache.make_room();
        let head_width = rows.dims()[1] / self.blocks[0].n_heads;
        let turn = Turn::new(cache.n_tokens.clone().unsqueeze_dim(1), head_width);
        // Keys and values are handed on and back, so that nobody else holds them while the new ones are written.
        let blocks = self.blocks.iter().zip(std::mem::take(&mut cache.blocks));
        cache.blocks = blocks
            .enumerate()
            .map(|(index, (block, kept))| {
                let heads = block.heads(rows.clone());
                let (gathered, kept) = block.gather(heads, &turn, cache.mask.clone(), kept, cache.n_used);
                rows = block.finish(rows.clone(), gathered, index, source);
                kept
            })
            .collect();
        cache.n_used += 1;
        cache.n_tokens = cache.n_tokens.clone().add_scalar(1);
        normalise(&self.norm, rows)
    }
}

impl KeyValueCache {
    /// The rows `rows`, in that order.
    pub(crate) fn select(self, rows: Tensor<1, Int>) -> Self {
        let chosen = |tensor: Tensor<3>| tensor.select(0, rows.clone());
        Self {
            blocks: self.blocks.into_iter().map(|block| block.map(chosen)).collect(),
            mask: self.mask.select(0, rows.clone()),
            n_tokens: self.n_tokens.select(0, rows),
            n_used: self.n_used,
        }
    }

    /// The rows of this cache and after them those of `other`, the shorter filled up with places nobody attends to.
    pub(crate) fn join(self, other: Self) -> Self {
        let n_used = self.n_used.max(other.n_used);
        let (one, other) = (self.filled(n_used), other.filled(n_used));
        let pairs = one.blocks.into_iter().zip(other.blocks);
        let both = |[key, value]: [Tensor<3>; 2], [other_key, other_value]: [Tensor<3>; 2]| {
            [Tensor::cat(vec![key, other_key], 0), Tensor::cat(vec![value, other_value], 0)]
        };
        Self {
            blocks: pairs.map(|(one, other)| both(one, other)).collect(),
            mask: Tensor::cat(vec![one.mask, other.mask], 0),
            n_tokens: Tensor::cat(vec![one.n_tokens, other.n_tokens], 0),
            n_used,
        }
    }

    /// The cache with `n_used` places in use and no room for more; nobody attends to the new ones.
    fn filled(self, n_used: usize) -> Self {
        let n_new = n_used - self.n_used;
        let used = self.n_used;
        Self {
            blocks: self
                .blocks
                .into_iter()
                .map(|kept| kept.map(|kept| lengthened(kept.narrow(1, 0, used), n_new)))
                .collect(),
            mask: {
                let mask = self.mask.narrow(1, 0, used);
                let nobody = Tensor::full([mask.dims()[0], n_new], FORBIDDEN, &mask.device());
                if n_new == 0 { mask } else { Tensor::cat(vec![mask, nobody], 1) }
            },
            n_tokens: self.n_tokens,
            n_used,
        }
    }

    /// Room for one more token; where there is none, for as many again, so that a text is copied a few times only.
    fn make_room(&mut self) {
        let [batch, capacity] = self.mask.dims();
        if self.n_used < capacity {
            return;
        }
        let n_new = capacity.max(MIN_ROOM);
        let blocks = std::mem::take(&mut self.blocks).into_iter();
        self.blocks = blocks.map(|kept| kept.map(|kept| lengthened(kept, n_new))).collect();
        let seen = Tensor::zeros([batch, n_new], &self.mask.device());
        self.mask = Tensor::cat(vec![self.mask.clone(), seen], 1);
    }
}

/// Places that a full cache is given at least.
const MIN_ROOM: usize = 16;

/// A tensor with `n_new` places of zeros more: `[batch, time, width]`.
fn lengthened(kept: Tensor<3>, n_new: usize) -> Tensor<3> {
    let [batch, _, width] = kept.dims();
    match n_new {
        0 => kept,
        _ => Tensor::cat(vec![kept.clone(), Tensor::zeros([batch, n_new, width], &kept.device())], 1),
    }
}

/// Heads as one row for each place: `[batch, heads, time, width / heads]` to `[batch, time, width]`.
fn side_by_side(heads: Tensor<4>) -> Tensor<3> {
    let [batch, n_heads, time, head_width] = heads.dims();
    heads.swap_dims(1, 2).reshape([batch, time, n_heads * head_width])
}

impl Block {
    fn for_acting(self) -> Self {
        Self {
            query_key_value: self.query_key_value.for_acting(),
            output: self.output.for_acting(),
            source: self.source.map(SourceAttention::for_acting),
            up: self.up.for_acting(),
            down: self.down.for_acting(),
            ..self
        }
    }

    /// Queries, keys and values of all heads side by side: `[rows, 3 * width]`.
    fn heads(&self, rows: Tensor<2>) -> Tensor<2> {
        self.query_key_value.forward(normalise(&self.attention_norm, rows), Activation::Identity)
    }

    /// What the token of `heads`, `[batch, 3 * width]`, gathers as number `place` of those that are kept, and these with it.
    fn gather(
        &self,
        heads: Tensor<2>,
        turn: &Turn,
        mask: Tensor<2>,
        kept: [Tensor<3>; 2],
        place: usize,
    ) -> (Tensor<2>, [Tensor<3>; 2]) {
        #[cfg(feature = "flex")]
        if fused::can_act(&heads.device()) {
            return fused::attention_step(heads, turn.rows(), mask, kept, place, self.n_heads);
        }
        let heads = Heads { all: heads.unsqueeze_dim(1), n_heads: self.n_heads };
        let [query, key, value] = heads.split();
        let [batch, n_heads, _, head_width] = query.dims();
        let new = [turn.apply(key), value].map(side_by_side);
        let [keys, values] = kept;
        let width = n_heads * head_width;
        let added = |kept: Tensor<3>, new: Tensor<3>| kept.slice_assign([0..batch, place..place + 1, 0..width], new);
        let [new_key, new_value] = new;
        let kept = [added(keys, new_key), added(values, new_value)];
        let by_head = |kept: &Tensor<3>| {
            let used = kept.clone().narrow(1, 0, place + 1);
            used.reshape([batch, place + 1, n_heads, head_width]).swap_dims(1, 2)
        };
        let mask = mask.narrow(1, 0, place + 1).reshape([batch, 1, 1, place + 1]);
        let gathered = attend(turn.apply(query), by_head(&kept[0]), by_head(&kept[1]), mask);
        (gathered.squeeze_dim(1), kept)
    }

    /// What attention gathered, what this block, of the given index, gathers from the source, and the hidden layer, all
    /// added to `rows`.
    fn finish(&self, rows: Tensor<2>, attended: Tensor<2>, index: usize, source: Option<&Conditioning>) -> Tensor<2> {
        let dropout = self.dropout.as_ref();
        let rows = rows + dropped(dropout, self.output.forward(attended, Activation::Identity));
        let rows = match (&self.source, source) {
            (Some(attention), Some(source)) => {
                let gathered = attention.forward(rows.clone(), &source.memories[index], &source.mask);
                rows + dropped(dropout, gathered)
            }
            _ => rows,
        };
        let hidden = self.up.forward(normalise(&self.hidden_norm, rows.clone()), Activation::Gelu);
        rows + dropped(dropout, self.down.forward(hidden, Activation::Identity))
    }
}

/// Which places a place attends to.
#[allow(clippy::large_enum_variant, reason = "one is made a pass")]
enum Reach {
    /// Itself and those before it.
    Before,
    /// All that are not forbidden: `[batch, time]`.
    Whole(Tensor<2>),
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

    /// What each place gathers from those it attends to: `[batch, time, width]`.
    fn attended(self, reach: &Reach) -> Tensor<3> {
        #[cfg(feature = "flex")]
        if fused::can_record(&self.all.device()) {
            return match reach {
                Reach::Before => fused::attention(self.all, self.n_heads),
                Reach::Whole(mask) => fused::whole_attention(self.all, mask.clone(), self.n_heads),
            };
        }
        self.plain(reach)
    }

    /// [`Heads::attended`] in plain tensors.
    fn plain(&self, reach: &Reach) -> Tensor<3> {
        let [query, key, value] = self.turned();
        let mask = self.mask(reach);
        attend(query, key, value, mask)
    }

    /// What each place attends to: `[batch, heads, time, time]`.
    fn weights(&self, reach: &Reach) -> Tensor<4> {
        let [query, key, _] = self.turned();
        weights(query, key, self.mask(reach))
    }

    /// [`FORBIDDEN`] for the places a place does not attend to, else 0: `[batch or 1, 1, time or 1, time]`.
    fn mask(&self, reach: &Reach) -> Tensor<4> {
        let [batch, time, _] = self.all.dims();
        if let Reach::Whole(mask) = reach {
            return mask.clone().reshape([batch, 1, 1, time]);
        }
        let places = Tensor::<1, Int>::arange(0..time as i64, &self.all.device());
        let later = places.clone().unsqueeze_dim::<2>(0).greater(places.unsqueeze_dim::<2>(1));
        later.float().mul_scalar(FORBIDDEN).reshape([1, 1, time, time])
    }
}

/// Softmax attention: `[batch, queries, width]` from heads `[batch, heads, queries or keys, width / heads]`.
fn attend(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, mask: Tensor<4>) -> Tensor<3> {
    let [batch, n_heads, n_queries, head_width] = query.dims();
    let gathered = weights(query, key, mask).matmul(value);
    gathered.swap_dims(1, 2).reshape([batch, n_queries, n_heads * head_width])
}

/// The weights of softmax attention: `[batch, heads, queries, keys]`.
fn weights(query: Tensor<4>, key: Tensor<4>, mask: Tensor<4>) -> Tensor<4> {
    let scale = (query.dims()[3] as f64).sqrt().recip();
    softmax(query.matmul(key.swap_dims(2, 3)).mul_scalar(scale) + mask, 3)
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

    /// Cosines and sines of one place for each row: `[batch, half]` each.
    #[cfg(feature = "flex")]
    fn rows(&self) -> [Tensor<2>; 2] {
        let [batch, _, _, half] = self.cosine.dims();
        [&self.cosine, &self.sine].map(|part| part.clone().reshape([batch, half]))
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
    use burn::tensor::Device;
    use proptest::prelude::*;

    use super::*;
    use crate::fused::oracle;

    /// Features after each of some tokens that are read one by one, with a selection and a join on the way.
    fn features_by_step(device: &Device, seed: u64) -> Vec<f32> {
        let config = TransformerConfig { width: 12, n_heads: 2, n_layers: 2, expansion: 2 };
        let mut rng = dqn_mdp::Seed(seed).stream("init");
        let mut init = Init { rng: &mut rng, device };
        let network = Transformer::new(&config, 5, None, None, &mut init);
        let mut drawn = |shape: [usize; 2]| init.normal(shape, 1.0).val();
        let mut start = |time: usize, last: [i64; 2]| {
            let inputs = drawn([2, time * 5]).reshape([2, time, 5]);
            let (_, blocks) = network.start(inputs, None);
            network.cache(blocks, Tensor::from_data([[last[0]], [last[1]]], device))
        };
        let (mut cache, shorter) = (start(4, [3, 1]), start(2, [0, 1]));
        let mut features = Vec::new();
        for step in 0..40 {
            if step == 3 {
                cache = cache.select(Tensor::from_data([1, 0, 1], device)).join(shorter.clone());
            }
            let n_rows = cache.mask.dims()[0];
            let found = network.step(drawn([n_rows, 5]), &mut cache, None);
            features.extend(found.try_into_vec_as::<f32>().expect("32-bit floats"));
        }
        features
    }

    #[test]
    fn the_fused_step_is_the_plain_one() {
        for seed in [1, 2] {
            // A graph is recorded only in plain tensors.
            let expected = features_by_step(&Device::flex().autodiff(), seed);
            let found = features_by_step(&Device::flex(), seed);
            assert_eq!(found.len(), expected.len());
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert!((found - expected).abs() < 1e-5, "number {index}: {found}, not {expected}");
            }
        }
    }

    /// Hides the last place of every other text.
    fn mask([batch, time]: [usize; 2], device: &Device) -> Tensor<2> {
        let hidden = |index: usize| if index % 2 == 1 && time > 1 { FORBIDDEN } else { 0.0 };
        let last =
            (0..batch).flat_map(|text| (0..time).map(move |place| if place + 1 == time { hidden(text) } else { 0.0 }));
        Tensor::<1>::from_data(last.collect::<Vec<f32>>().as_slice(), device).reshape([batch, time])
    }

    fn check(shape: [usize; 3], n_heads: usize, half: usize, seed: u64) {
        let [batch, time, n_inputs] = shape;
        let width = n_heads * 2 * half;
        let module =
            oracle::drawn(seed, |init| (oracle::inputs(shape, init), oracle::linear(n_inputs, 3 * width, init)));
        let heads = |(inputs, layer): &(Param<Tensor<3>>, Linear)| {
            let all = layer.plain(inputs.val().reshape([batch * time, n_inputs]), Activation::Identity);
            Heads { all: all.reshape([batch, time, 3 * width]), n_heads }
        };
        oracle::check(
            &module,
            |module| heads(module).attended(&Reach::Before),
            |module| heads(module).plain(&Reach::Before),
        );
        let whole = |heads: &Heads| Reach::Whole(mask([batch, time], &heads.all.device()));
        oracle::check(
            &module,
            |module| {
                let heads = heads(module);
                let reach = whole(&heads);
                heads.attended(&reach)
            },
            |module| {
                let heads = heads(module);
                heads.plain(&whole(&heads))
            },
        );
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
