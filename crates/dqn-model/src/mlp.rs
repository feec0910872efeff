//! A feed-forward network over the last tokens of a text.

use burn::module::Module;
use burn::nn::Dropout;
use burn::tensor::{Int, Tensor};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::embedding::TokenEmbedding;
#[cfg(feature = "flex")]
use crate::fused;
use crate::init::Init;
use crate::linear::{Activation, Linear, stack, through};
#[cfg(feature = "flex")]
use crate::torso::at_decisions;

/// Size of a feed-forward network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MlpConfig {
    /// Tokens seen: the last so many of the text, in their order; a shorter text is filled with `<pad>` on the left.
    #[schemars(range(min = 1, max = 4096))]
    pub window_tokens: usize,
    /// Units of each hidden layer, first to last.
    #[schemars(length(min = 1), inner(range(min = 1, max = 65536)))]
    pub hidden: Vec<usize>,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self { window_tokens: 16, hidden: vec![256, 256] }
    }
}

/// Rectified layers over the concatenated vectors of the last tokens.
#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    /// After every layer but the last, whose outputs are the network's features.
    dropout: Option<Dropout>,
    #[module(skip)]
    window_tokens: usize,
}

/// The last tokens of several texts, as far as the network sees.
#[derive(Clone, Debug)]
pub struct TokenWindow {
    /// `[batch, window_tokens]`
    tokens: Tensor<2, Int>,
    /// `[batch, window_tokens]`
    positions: Tensor<2, Int>,
}

impl Mlp {
    /// Layers with weights drawn uniformly from `-sqrt(6 / inputs)..sqrt(6 / inputs)` (He et al. 2015) and biases of 0.
    pub(crate) fn new<R: Rng>(
        config: &MlpConfig,
        embedding_width: usize,
        dropout: Option<Dropout>,
        init: &mut Init<'_, R>,
    ) -> Self {
        let layers = stack(config.window_tokens * embedding_width, &config.hidden, init);
        Self { layers, dropout, window_tokens: config.window_tokens }
    }

    /// Tokens seen.
    pub(crate) fn window_tokens(&self) -> usize {
        self.window_tokens
    }

    /// The same network, to act with: what depends on its parameters only is computed once.
    pub(crate) fn for_acting(self) -> Self {
        let layers = self.layers.into_iter().map(Linear::for_acting).collect();
        Self { layers, ..self }
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
        #[cfg(feature = "flex")]
        if fused::can_record(&tokens.device()) && 2 * decisions.dims()[1] >= tokens.dims()[1] {
            return self.over_all_places(embedding, tokens, positions, decisions);
        }
        self.plain(embedding, tokens, positions, decisions)
    }

    /// [`Mlp::forward`] with the first layer over the whole text, as the convolution that it is, so that a token's vector is
    /// looked up once and not for every window that it lies in. Worth it where most places are asked about.
    #[cfg(feature = "flex")]
    fn over_all_places(
        &self,
        embedding: &TokenEmbedding,
        tokens: Tensor<2, Int>,
        positions: Tensor<2, Int>,
        decisions: Tensor<2, Int>,
    ) -> Tensor<3> {
        let [batch, states] = decisions.dims();
        // With as many zeros before the text as the window of the first token looks at.
        let [tokens, positions] = [tokens, positions].map(|ids| filled(ids, self.window_tokens - 1));
        let vectors = embedding.forward(tokens, positions);
        let first = &self.layers[0];
        let (weight, bias) = (first.weight.val(), first.bias.val());
        let taps = fused::Taps::window(self.window_tokens);
        let outputs = fused::convolution(vectors, weight, bias, taps, Activation::Relu);
        let outputs = at_decisions(outputs, decisions);
        let width = outputs.dims()[2];
        let features = self.later_layers(outputs.reshape([batch * states, width]));
        let n_features = features.dims()[1];
        features.reshape([batch, states, n_features])
    }

    /// [`Mlp::forward`] with one row of vectors for each window.
    fn plain(
        &self,
        embedding: &TokenEmbedding,
        tokens: Tensor<2, Int>,
        positions: Tensor<2, Int>,
        decisions: Tensor<2, Int>,
    ) -> Tensor<3> {
        let [batch, states] = decisions.dims();
        let vectors = embedding.forward(self.windows(tokens, &decisions), self.windows(positions, &decisions));
        let width = vectors.dims()[2];
        let features = self.layers(vectors.reshape([batch * states, self.window_tokens * width]));
        let n_features = features.dims()[1];
        features.reshape([batch, states, n_features])
    }

    /// [`windows`] of this network's size.
    fn windows(&self, ids: Tensor<2, Int>, decisions: &Tensor<2, Int>) -> Tensor<2, Int> {
        windows(ids, decisions, self.window_tokens)
    }

    /// The window that ends at `decisions` in each text.
    ///
    /// # Shapes
    /// - `tokens`, `positions`: `[batch, time]`; `decisions`: `[batch, 1]`
    pub(crate) fn window(
        &self,
        tokens: Tensor<2, Int>,
        positions: Tensor<2, Int>,
        decisions: Tensor<2, Int>,
    ) -> TokenWindow {
        TokenWindow::ending(tokens, positions, &decisions, self.window_tokens)
    }

    /// Features of the texts in `window`: `[batch, width]`.
    pub(crate) fn features(&self, embedding: &TokenEmbedding, window: &TokenWindow) -> Tensor<2> {
        let vectors = embedding.forward(window.tokens.clone(), window.positions.clone());
        let [batch, time, width] = vectors.dims();
        self.layers(vectors.reshape([batch, time * width]))
    }

    fn layers(&self, inputs: Tensor<2>) -> Tensor<2> {
        self.later_layers(self.layers[0].forward(inputs, Activation::Relu))
    }

    /// From the outputs of the first layer on.
    fn later_layers(&self, outputs: Tensor<2>) -> Tensor<2> {
        through(&self.layers[1..], self.dropout.as_ref(), outputs)
    }
}

/// Ids with `n` zeros, which are `<pad>`, on the left.
pub(crate) fn filled(ids: Tensor<2, Int>, n: usize) -> Tensor<2, Int> {
    let [batch, _] = ids.dims();
    match n {
        0 => ids,
        n => Tensor::cat(vec![Tensor::zeros([batch, n], &ids.device()), ids], 1),
    }
}

/// The windows of `n` that end at `decisions`, one after the other: `[batch, states]` to `[batch, states * n]`.
fn windows(ids: Tensor<2, Int>, decisions: &Tensor<2, Int>, n: usize) -> Tensor<2, Int> {
    let [batch, states] = decisions.dims();
    // On the left the text is filled, so the window of a state begins at the index of its last token.
    let offsets = Tensor::<1, Int>::arange(0..n as i64, &decisions.device());
    let places = decisions.clone().unsqueeze_dim::<3>(2) + offsets.unsqueeze::<3>();
    filled(ids, n - 1).gather(1, places.reshape([batch, states * n]))
}

impl TokenWindow {
    /// The `n` tokens up to `decisions` in each text.
    ///
    /// # Shapes
    /// - `tokens`, `positions`: `[batch, time]`; `decisions`: `[batch, 1]`
    pub(crate) fn ending(
        tokens: Tensor<2, Int>,
        positions: Tensor<2, Int>,
        decisions: &Tensor<2, Int>,
        n: usize,
    ) -> Self {
        Self { tokens: windows(tokens, decisions, n), positions: windows(positions, decisions, n) }
    }

    /// The first of its tokens in each text: `[batch]`.
    pub(crate) fn first(&self) -> Tensor<1, Int> {
        self.tokens.clone().narrow(1, 0, 1).squeeze_dim(1)
    }

    /// The last of its tokens in each text, and their positions: `[batch]` each.
    pub(crate) fn last(&self) -> [Tensor<1, Int>; 2] {
        let last = |ids: &Tensor<2, Int>| ids.clone().narrow(1, ids.dims()[1] - 1, 1).squeeze_dim(1);
        [last(&self.tokens), last(&self.positions)]
    }

    /// Moves on by one token: `[batch]` each.
    pub(crate) fn push(&mut self, tokens: Tensor<1, Int>, positions: Tensor<1, Int>) {
        let shifted = |old: &Tensor<2, Int>, new: Tensor<1, Int>| {
            let width = old.dims()[1];
            let new = new.unsqueeze_dim(1);
            if width == 1 { new } else { Tensor::cat(vec![old.clone().narrow(1, 1, width - 1), new], 1) }
        };
        self.tokens = shifted(&self.tokens, tokens);
        self.positions = shifted(&self.positions, positions);
    }

    /// The rows of this window and after them those of `other`.
    pub(crate) fn join(self, other: Self) -> Self {
        let both = |one, other| Tensor::cat(vec![one, other], 0);
        Self { tokens: both(self.tokens, other.tokens), positions: both(self.positions, other.positions) }
    }

    /// The rows `rows`, in that order.
    pub(crate) fn select(self, rows: Tensor<1, Int>) -> Self {
        Self { tokens: self.tokens.select(0, rows.clone()), positions: self.positions.select(0, rows) }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::TensorData;
    use dqn_mdp::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::fused::oracle;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn windows_over_all_places_are_the_plain_ones(
            batch in 1_usize..4, time in 1_usize..9, width in 1_usize..9, window_tokens in 1_usize..6, seed: u64,
        ) {
            let module = oracle::drawn(seed, |init| {
                let config = MlpConfig { window_tokens, hidden: vec![width, 5] };
                (TokenEmbedding::new(7, 3, 4, init), Mlp::new(&config, 4, None, init))
            });
            let mut rng = Seed(seed).stream("ids");
            let mut ids = |n: usize| {
                let values: Vec<i64> = (0..batch * time).map(|_| rng.random_range(0..n as i64)).collect();
                Tensor::<2, Int>::from_data(TensorData::new(values, [batch, time]), &module.devices()[0])
            };
            let (tokens, positions, decisions) = (ids(7), ids(3), ids(time));
            let arguments = || (tokens.clone(), positions.clone(), decisions.clone());
            oracle::check_with_kinks(
                &module,
                |(embedding, mlp)| {
                    let (tokens, positions, decisions) = arguments();
                    mlp.over_all_places(embedding, tokens, positions, decisions)
                },
                |(embedding, mlp)| {
                    let (tokens, positions, decisions) = arguments();
                    mlp.plain(embedding, tokens, positions, decisions)
                },
            );
        }
    }
}
