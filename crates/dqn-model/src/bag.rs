//! A bag of n-grams.

use burn::module::{Module, Param};
use burn::nn::Dropout;
use burn::tensor::{Int, Tensor};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::embedding::TokenEmbedding;
use crate::init::Init;
use crate::linear::{Activation, Linear, stack, through};
use crate::mlp::{Mlp, MlpConfig, TokenWindow, filled};

/// Size of a bag of n-grams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BagConfig {
    /// What is added up.
    pub features: BagFeatures,
    /// Features of an n-gram.
    #[schemars(range(min = 1, max = 65536))]
    pub width: usize,
    /// Units of each layer over the sum of the features, first to last.
    #[schemars(length(min = 1), inner(range(min = 1, max = 65536)))]
    pub hidden: Vec<usize>,
}

impl Default for BagConfig {
    fn default() -> Self {
        Self { features: BagFeatures::Ngrams { n_tokens: 3 }, width: 256, hidden: vec![256] }
    }
}

/// What a bag adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BagFeatures {
    /// Rectified features of runs of tokens, which share what is learned of their tokens.
    Ngrams {
        /// Tokens of a run.
        #[schemars(range(min = 1, max = 4096))]
        n_tokens: usize,
    },
    /// A vector of its own for every pair of tokens at a distance and the position of the later one (Joulin et al. 2017,
    /// who do so for neighbours): such as a letter and the answer to it.
    Pairs {
        /// How many tokens the earlier one lies before the later one.
        #[schemars(range(min = 1, max = 4096))]
        distance_tokens: usize,
        /// Vectors; pairs share them where there are more.
        #[schemars(range(min = 1, max = 16777216))]
        n_vectors: usize,
    },
}

/// Features of every n-gram of the text, added up, and rectified layers over their sum.
///
/// ```text
/// n-grams:  h_t = relu(b + sum_j e(x_{t - n + 1 + j}) W_j)
/// pairs:    h_t = v(x_{t - distance}, x_t, position_t)
///           s_t = sum_{u <= t} h_u,   f_t = layers(s_t) + s_t W;   the layers read the sum of pairs rectified
/// ```
///
/// The product with W is the wide half of a wide and deep network (Cheng et al. 2016): what follows from single n-grams is
/// learned at once, beside what follows from several.
///
/// What stands where counts only within an n-gram, and through features of the position: facts that may come in any order,
/// such as the answers of a guessing game, are learned once and not for every place.
///
/// Source: the layer over n-grams is that of Kim 2014, with a sum over time in place of the maximum, as in the deep averaging network of
/// Iyyer et al. 2015: a sum can be carried on token by token, and it counts.
#[derive(Module, Debug)]
pub struct Bag {
    ngrams: Ngrams,
    layers: Vec<Linear>,
    /// From the sum straight to the features.
    wide: Linear,
    /// Before every layer over the sum.
    dropout: Option<Dropout>,
}

/// What gives an n-gram its features.
#[derive(Module, Debug)]
enum Ngrams {
    /// A layer over the last tokens.
    Layer(Mlp),
    /// A table of pairs.
    Pairs(Pairs),
}

#[derive(Module, Debug)]
struct Pairs {
    /// `[vectors, width]`
    vectors: Param<Tensor<2>>,
    #[module(skip)]
    distance_tokens: usize,
}

/// Standard deviation of the initial vectors of pairs: a text adds up a few dozen of them.
const PAIR_DEVIATION: f32 = 0.1;

impl Pairs {
    /// The features of pairs: `[batch, time]` each to `[batch, time, width]`.
    fn of(&self, embedding: &TokenEmbedding, [before, tokens, positions]: [Tensor<2, Int>; 3]) -> Tensor<3> {
        let [n_tokens, n_positions] = embedding.sizes();
        let pairs = before.mul_scalar(n_tokens as i64) + tokens;
        let places = pairs.mul_scalar(n_positions as i64) + positions;
        let n_vectors = self.vectors.dims()[0];
        burn::tensor::module::embedding(self.vectors.val(), places.remainder_scalar(n_vectors as i64))
    }
}

impl Ngrams {
    /// Tokens that the features of one n-gram reach over.
    fn reach(&self) -> usize {
        match self {
            Ngrams::Layer(layer) => layer.window_tokens(),
            Ngrams::Pairs(pairs) => pairs.distance_tokens + 1,
        }
    }

    /// The features of the n-grams that end at each place: `[batch, time]` to `[batch, time, width]`.
    fn forward(&self, embedding: &TokenEmbedding, tokens: Tensor<2, Int>, positions: Tensor<2, Int>) -> Tensor<3> {
        let [batch, time] = tokens.dims();
        match self {
            Ngrams::Layer(layer) => {
                let places = Tensor::<1, Int>::arange(0..time as i64, &tokens.device());
                layer.forward(embedding, tokens, positions, places.unsqueeze::<2>().repeat_dim(0, batch))
            }
            Ngrams::Pairs(pairs) => {
                let before = filled(tokens.clone(), pairs.distance_tokens).narrow(1, 0, time);
                pairs.of(embedding, [before, tokens, positions])
            }
        }
    }

    /// The features of the n-gram that `window` ends with: `[batch, width]`.
    fn last(&self, embedding: &TokenEmbedding, window: &TokenWindow) -> Tensor<2> {
        match self {
            Ngrams::Layer(layer) => layer.features(embedding, window),
            Ngrams::Pairs(pairs) => {
                let [tokens, positions] = window.last();
                let column = |ids: Tensor<1, Int>| ids.unsqueeze_dim(1);
                let features = pairs.of(embedding, [column(window.first()), column(tokens), column(positions)]);
                features.squeeze_dim(1)
            }
        }
    }
}

/// What a bag remembers of several texts.
#[derive(Clone, Debug)]
pub struct BagState {
    /// The last tokens of each.
    window: TokenWindow,
    /// The sum of the features of all n-grams: `[batch, width]`.
    sum: Tensor<2>,
}

impl Bag {
    pub(crate) fn new<R: Rng>(
        config: &BagConfig,
        embedding_width: usize,
        dropout: Option<Dropout>,
        init: &mut Init<'_, R>,
    ) -> Self {
        let ngrams = match config.features {
            BagFeatures::Ngrams { n_tokens } => {
                let layer = MlpConfig { window_tokens: n_tokens, hidden: vec![config.width] };
                Ngrams::Layer(Mlp::new(&layer, embedding_width, None, init))
            }
            BagFeatures::Pairs { distance_tokens, n_vectors } => {
                let vectors = init.normal([n_vectors, config.width], PAIR_DEVIATION);
                Ngrams::Pairs(Pairs { vectors, distance_tokens })
            }
        };
        let layers = stack(config.width, &config.hidden, init);
        let n_features = config.hidden.last().copied().unwrap_or(config.width);
        let wide = Linear::new(config.width, n_features, 3.0, init);
        Self { ngrams, layers, wide, dropout }
    }

    /// The same network, to act with: what depends on its parameters only is computed once.
    pub(crate) fn for_acting(self) -> Self {
        let layers = self.layers.into_iter().map(Linear::for_acting).collect();
        let ngrams = match self.ngrams {
            Ngrams::Layer(layer) => Ngrams::Layer(layer.for_acting()),
            pairs @ Ngrams::Pairs(_) => pairs,
        };
        Self { ngrams, layers, wide: self.wide.for_acting(), ..self }
    }

    /// Whether tokens are read as their vectors alone: pairs have vectors of their own.
    pub(crate) fn reads_vectors(&self) -> bool {
        matches!(self.ngrams, Ngrams::Layer(_))
    }

    /// Features of the states whose last tokens stand at `decisions`.
    ///
    /// # Shapes
    /// - `tokens`, `positions`: `[batch, time]`; `decisions`: `[batch, states]`
    /// - returns `[batch, states, width]`
    pub(crate) fn forward(
        &self,
        embedding: &TokenEmbedding,
        tokens: Tensor<2, Int>,
        positions: Tensor<2, Int>,
        decisions: Tensor<2, Int>,
    ) -> Tensor<3> {
        let [batch, states] = decisions.dims();
        let sums = self.sums(embedding, tokens, positions, decisions);
        let width = sums.dims()[2];
        let features = self.layers(sums.reshape([batch * states, width]));
        let n_features = features.dims()[1];
        features.reshape([batch, states, n_features])
    }

    /// Reads texts up to the one state asked about in each; what is remembered, and the features: `[batch, width]`.
    pub(crate) fn start(
        &self,
        embedding: &TokenEmbedding,
        tokens: Tensor<2, Int>,
        positions: Tensor<2, Int>,
        decisions: Tensor<2, Int>,
    ) -> (BagState, Tensor<2>) {
        let window = TokenWindow::ending(tokens.clone(), positions.clone(), &decisions, self.ngrams.reach());
        let sum: Tensor<2> = self.sums(embedding, tokens, positions, decisions).squeeze_dim(1);
        let features = self.layers(sum.clone());
        (BagState { window, sum }, features)
    }

    /// Reads one more token of each text; the features of the new states: `[batch, width]`.
    pub(crate) fn step(
        &self,
        embedding: &TokenEmbedding,
        tokens: Tensor<1, Int>,
        positions: Tensor<1, Int>,
        state: &mut BagState,
    ) -> Tensor<2> {
        self.skip(embedding, tokens, positions, state);
        self.layers(state.sum.clone())
    }

    /// [`Bag::step`] without the features.
    pub(crate) fn skip(
        &self,
        embedding: &TokenEmbedding,
        tokens: Tensor<1, Int>,
        positions: Tensor<1, Int>,
        state: &mut BagState,
    ) {
        state.window.push(tokens, positions);
        state.sum = state.sum.clone() + self.ngrams.last(embedding, &state.window);
    }

    /// The sums over the n-grams that end at or before each of `decisions`: `[batch, states, width]`.
    fn sums(
        &self,
        embedding: &TokenEmbedding,
        tokens: Tensor<2, Int>,
        positions: Tensor<2, Int>,
        decisions: Tensor<2, Int>,
    ) -> Tensor<3> {
        let [batch, time] = tokens.dims();
        let states = decisions.dims()[1];
        let places = Tensor::<1, Int>::arange(0..time as i64, &tokens.device());
        let ngrams = self.ngrams.forward(embedding, tokens, positions);
        // A product with zeros and ones adds up those that a state has read.
        let places = places.reshape([1, 1, time]).repeat_dim(0, batch).repeat_dim(1, states);
        let is_read = places.lower_equal(decisions.unsqueeze_dim::<3>(2).repeat_dim(2, time)).float();
        is_read.matmul(ngrams)
    }

    fn layers(&self, sums: Tensor<2>) -> Tensor<2> {
        let wide = self.wide.forward(sums.clone(), Activation::Identity);
        let sums = match self.ngrams {
            Ngrams::Layer(_) => sums,
            Ngrams::Pairs(_) => Activation::Relu.apply(sums),
        };
        through(&self.layers, self.dropout.as_ref(), sums) + wide
    }
}

impl BagState {
    /// The rows `rows`, in that order.
    pub(crate) fn select(self, rows: Tensor<1, Int>) -> Self {
        Self { window: self.window.select(rows.clone()), sum: self.sum.select(0, rows) }
    }

    /// The rows of this state and after them those of `other`.
    pub(crate) fn join(self, other: Self) -> Self {
        Self { window: self.window.join(other.window), sum: Tensor::cat(vec![self.sum, other.sum], 0) }
    }
}
