//! A bag of n-grams.

use burn::module::Module;
use burn::nn::Dropout;
use burn::tensor::{Int, Tensor};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dropout::dropped;
use crate::embedding::TokenEmbedding;
use crate::init::Init;
use crate::linear::{Activation, Linear};
use crate::mlp::{Mlp, MlpConfig, TokenWindow};

/// Size of a bag of n-grams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BagConfig {
    /// Tokens of an n-gram.
    #[schemars(range(min = 1, max = 4096))]
    pub ngram_tokens: usize,
    /// Features of an n-gram.
    #[schemars(range(min = 1, max = 65536))]
    pub width: usize,
    /// Units of each layer over the sum of the features, first to last.
    #[schemars(length(min = 1), inner(range(min = 1, max = 65536)))]
    pub hidden: Vec<usize>,
}

impl Default for BagConfig {
    fn default() -> Self {
        Self { ngram_tokens: 6, width: 256, hidden: vec![256] }
    }
}

/// Rectified features of every n-gram of the text, added up, and rectified layers over their sum.
///
/// ```text
/// h_t = relu(b + sum_j e(x_{t - n + 1 + j}) W_j)
/// f_t = layers(sum_{u <= t} h_u)
/// ```
///
/// What stands where counts only within an n-gram, and through features of the position: facts that may come in any order,
/// such as the answers of a guessing game, are learned once and not for every place.
///
/// Source: the layer is that of Kim 2014, with a sum over time in place of the maximum, as in the deep averaging network of
/// Iyyer et al. 2015: a sum can be carried on token by token, and it counts.
#[derive(Module, Debug)]
pub struct Bag {
    /// The layer over an n-gram, as a network over the last tokens.
    ngrams: Mlp,
    layers: Vec<Linear>,
    /// Before every layer over the sum.
    dropout: Option<Dropout>,
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
        let ngrams = MlpConfig { window_tokens: config.ngram_tokens, hidden: vec![config.width] };
        let ngrams = Mlp::new(&ngrams, embedding_width, None, init);
        let mut n_inputs = config.width;
        let mut layers = Vec::with_capacity(config.hidden.len());
        for &width in &config.hidden {
            layers.push(Linear::new(n_inputs, width, 6.0, init));
            n_inputs = width;
        }
        Self { ngrams, layers, dropout }
    }

    /// The same network, to act with: what depends on its parameters only is computed once.
    pub(crate) fn for_acting(self) -> Self {
        let layers = self.layers.into_iter().map(Linear::for_acting).collect();
        Self { ngrams: self.ngrams.for_acting(), layers, ..self }
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
        let window = self.ngrams.window(tokens.clone(), positions.clone(), decisions.clone());
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
        state.sum = state.sum.clone() + self.ngrams.features(embedding, &state.window);
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
        let all = places.clone().unsqueeze::<2>().repeat_dim(0, batch);
        let ngrams = self.ngrams.forward(embedding, tokens, positions, all);
        // A product with zeros and ones adds up those that a state has read.
        let places = places.reshape([1, 1, time]).repeat_dim(0, batch).repeat_dim(1, states);
        let is_read = places.lower_equal(decisions.unsqueeze_dim::<3>(2).repeat_dim(2, time)).float();
        is_read.matmul(ngrams)
    }

    fn layers(&self, sums: Tensor<2>) -> Tensor<2> {
        self.layers
            .iter()
            .fold(sums, |below, layer| layer.forward(dropped(self.dropout.as_ref(), below), Activation::Relu))
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
