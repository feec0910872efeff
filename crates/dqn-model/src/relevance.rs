//! The head that values actions by their text.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_mdp::ActionTable;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::embedding::TokenEmbedding;
use crate::gru::{Gru, GruConfig};
use crate::init::Init;
use crate::linear::{Activation, Linear};
use crate::torso::at_decisions;

/// Size of a relevance head.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RelevanceConfig {
    /// What reads the tokens of an action.
    pub encoder: ActionEncoder,
    /// Units of the encoder.
    #[schemars(range(min = 1, max = 65536))]
    pub width: usize,
    /// Standard deviation of the initial weights of the projection; a small one begins with all values near 0.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub init_deviation: f64,
}

impl Default for RelevanceConfig {
    fn default() -> Self {
        Self { encoder: ActionEncoder::Gru, width: 128, init_deviation: 0.01 }
    }
}

/// What reads the tokens of an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionEncoder {
    /// Gated recurrent units, for actions of any length.
    #[default]
    Gru,
    /// A rectified layer over the vectors of all tokens side by side, and a linear one beside it, for short actions in which places matter, such as
    /// the letters of a word.
    Mlp,
}

/// The encoder of [`ActionEncoder`].
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a head holds one of them, once")]
enum Encoder {
    Gru(Gru),
    Mlp(WideAndDeep),
}

/// A rectified layer, and beside it the product that leads past it (Cheng et al. 2016).
#[derive(Module, Debug)]
struct WideAndDeep {
    deep: Linear,
    wide: Linear,
}

/// Values of actions from their text: the deep reinforcement relevance network.
///
/// ```text
/// Q(s, a) = f(s) . g(a) + b(a)
/// (g(a), b(a)) = h W + c,   h = the last hidden state of a GRU over the tokens of a, or a rectified layer over them
/// ```
///
/// The tokens of actions and states have the same vectors. No parameter belongs to one action: actions share what is
/// learned through their text, one never taken included, and the head has the same size for any number of actions.
///
/// Source: He et al. 2016 ("Deep reinforcement learning with a natural language action space"), section 3.2, with the
/// inner product as interaction.
///
/// Differs from the paper: the encoder of the action reads its tokens in order instead of as a bag of words, the vectors
/// of tokens are shared with the state, and an action has a bias b(a) from its text.
#[derive(Module, Debug)]
pub struct Relevance {
    encoder: Encoder,
    /// `[encoder width, width + 1]`; the last column gives b(a).
    weight: Param<Tensor<2>>,
    /// `[width + 1]`
    bias: Param<Tensor<1>>,
    #[module(skip)]
    texts: Arc<ActionTexts>,
    /// The actions this head is about, where it is not about all.
    #[module(skip)]
    considered: Option<Arc<[usize]>>,
    /// g and b of all actions, in a head that only acts.
    #[module(skip)]
    encoded: Option<Tensor<2>>,
}

/// The tokens of all actions, padded to a rectangle.
#[derive(Debug)]
struct ActionTexts {
    /// `[actions, longest]`
    tokens: Vec<i64>,
    /// Number of tokens of each action.
    lengths: Vec<usize>,
    longest: usize,
}

/// Actions encoded at once: it bounds the memory of large tables, and each chunk is padded to its own longest action.
const CHUNK: usize = 512;

impl Relevance {
    /// A head for features of `width` and the actions of `table`.
    pub(crate) fn new<R: Rng>(
        config: &RelevanceConfig,
        [embedding_width, width]: [usize; 2],
        table: &ActionTable,
        init: &mut Init<'_, R>,
    ) -> Self {
        let longest = table.longest();
        let mut tokens = vec![0; table.len() * longest];
        for (row, (_, written)) in tokens.chunks_exact_mut(longest).zip(table.iter()) {
            row.iter_mut().zip(written).for_each(|(place, token)| *place = i64::from(token.0));
        }
        let lengths = table.iter().map(|(_, written)| written.len()).collect();
        let encoder = match config.encoder {
            ActionEncoder::Gru => {
                Encoder::Gru(Gru::new(&GruConfig { width: config.width, n_layers: 1 }, embedding_width, None, init))
            }
            ActionEncoder::Mlp => {
                let n_inputs = longest * embedding_width;
                let deep = Linear::new(n_inputs, config.width, 6.0, init);
                let wide = Linear::new(n_inputs, config.width, 3.0, init);
                Encoder::Mlp(WideAndDeep { deep, wide })
            }
        };
        Self {
            encoder,
            weight: init.normal([config.width, width + 1], config.init_deviation as f32),
            bias: init.zeros(width + 1),
            texts: Arc::new(ActionTexts { tokens, lengths, longest }),
            considered: None,
            encoded: None,
        }
    }

    /// Number of actions this head is about.
    pub fn n_actions(&self) -> usize {
        self.considered.as_ref().map_or(self.texts.lengths.len(), |considered| considered.len())
    }

    /// The same head about the actions `considered`, or about all.
    pub(crate) fn considering(self, considered: Option<&[i64]>) -> Self {
        let considered = considered.map(|actions| actions.iter().map(|&action| action as usize).collect());
        Self { considered, encoded: None, ..self }
    }

    /// The same head with its actions encoded once and for all.
    pub(crate) fn for_acting(self, embedding: &TokenEmbedding) -> Self {
        let encoded = self.encode_all(embedding, &self.weight.val().device());
        Self { encoded: Some(encoded), ..self }
    }

    /// The value of every action.
    ///
    /// # Shapes
    /// - `features`: `[rows, width]`
    /// - returns `[rows, actions]`
    pub(crate) fn q_values(&self, embedding: &TokenEmbedding, features: Tensor<2>) -> Tensor<2> {
        let width = features.dims()[1];
        let encoded = self.encoded.clone().unwrap_or_else(|| self.encode_all(embedding, &features.device()));
        let biases = encoded.clone().narrow(1, width, 1).transpose();
        features.matmul(encoded.narrow(1, 0, width).transpose()) + biases
    }

    /// The value of one action in each row; only these actions are encoded.
    ///
    /// # Shapes
    /// - `features`: `[rows, width]`; `actions`: `[rows]`
    /// - returns `[rows]`
    pub(crate) fn q_taken(
        &self,
        embedding: &TokenEmbedding,
        features: Tensor<2>,
        actions: Tensor<1, Int>,
    ) -> Tensor<1> {
        let width = features.dims()[1];
        let all: Vec<usize> = (0..self.n_actions()).map(|index| self.action(index)).collect();
        let (tokens, last) = self.texts.of(&all, &actions.device());
        let encoded = self.encode(embedding, tokens.select(0, actions.clone()), last.select(0, actions));
        let products = features * encoded.clone().narrow(1, 0, width);
        (products.sum_dim(1) + encoded.narrow(1, width, 1)).squeeze_dim(1)
    }

    /// The action at a place among those this head is about.
    fn action(&self, index: usize) -> usize {
        self.considered.as_ref().map_or(index, |considered| considered[index])
    }

    /// g and b of all actions this head is about: `[actions, width + 1]`.
    fn encode_all(&self, embedding: &TokenEmbedding, device: &Device) -> Tensor<2> {
        let mut order: Vec<usize> = (0..self.n_actions()).collect();
        order.sort_by_key(|&index| self.texts.lengths[self.action(index)]);
        let encode = |places: &[usize]| {
            let actions: Vec<usize> = places.iter().map(|&index| self.action(index)).collect();
            let (tokens, last) = self.texts.of(&actions, device);
            self.encode(embedding, tokens, last)
        };
        let encoded = Tensor::cat(order.chunks(CHUNK).map(encode).collect(), 0);
        let mut places = vec![0_i64; order.len()];
        order.iter().enumerate().for_each(|(row, &index)| places[index] = row as i64);
        let len = places.len();
        encoded.select(0, Tensor::<1, Int>::from_data(TensorData::new(places, [len]), device))
    }

    /// g and b of some texts.
    ///
    /// # Shapes
    /// - `tokens`: `[rows, longest]`, padded on the right; `last`: index of the last token, `[rows, 1]`
    /// - returns `[rows, width + 1]`
    fn encode(&self, embedding: &TokenEmbedding, tokens: Tensor<2, Int>, last: Tensor<2, Int>) -> Tensor<2> {
        let hidden = match &self.encoder {
            Encoder::Gru(gru) => {
                let layers = gru.forward(embedding.of_tokens(tokens));
                let hidden = layers.into_iter().next_back().expect("the encoder has a layer");
                at_decisions(hidden, last).squeeze_dim::<2>(1)
            }
            Encoder::Mlp(WideAndDeep { deep, wide }) => {
                let vectors = embedding.of_tokens(tokens);
                let [rows, n_tokens, width] = vectors.dims();
                let missing = self.texts.longest - n_tokens;
                // Shorter texts were cut to the longest of their chunk; the layer reads all places.
                let vectors = match missing {
                    0 => vectors,
                    _ => {
                        let filling = Tensor::zeros([rows, missing], &vectors.device());
                        Tensor::cat(vec![vectors, embedding.of_tokens(filling)], 1)
                    }
                };
                let vectors = vectors.reshape([rows, self.texts.longest * width]);
                deep.forward(vectors.clone(), Activation::Relu) + wide.forward(vectors, Activation::Identity)
            }
        };
        hidden.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }
}

impl ActionTexts {
    /// The tokens of `actions`, `[actions, longest of them]`, and the index of the last of each, `[actions, 1]`.
    fn of(&self, actions: &[usize], device: &Device) -> (Tensor<2, Int>, Tensor<2, Int>) {
        let longest = actions.iter().map(|&action| self.lengths[action]).max().unwrap_or(1);
        let row = |&action: &usize| &self.tokens[action * self.longest..][..longest];
        let tokens: Vec<i64> = actions.iter().flat_map(row).copied().collect();
        let last: Vec<i64> = actions.iter().map(|&action| self.lengths[action] as i64 - 1).collect();
        let matrix = |values, width| Tensor::from_data(TensorData::new(values, [actions.len(), width]), device);
        (matrix(tokens, longest), matrix(last, 1))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;
    use dqn_mdp::{Seed, TokenId};

    use super::*;

    const N_TOKENS: usize = 9;
    const WIDTHS: [usize; 2] = [3, 4];

    fn gru(head: &Relevance) -> &Gru {
        match &head.encoder {
            Encoder::Gru(gru) => gru,
            Encoder::Mlp(_) => panic!("these tests are about the recurrent encoder"),
        }
    }

    fn table(actions: &[&[u32]]) -> ActionTable {
        ActionTable::new(actions.iter().map(|tokens| tokens.iter().copied().map(TokenId).collect()).collect())
    }

    fn head(actions: &[&[u32]], device: &Device) -> (TokenEmbedding, Relevance) {
        let mut rng = Seed(7).stream("init");
        let mut init = Init { rng: &mut rng, device };
        let embedding = TokenEmbedding::new(N_TOKENS, 5, WIDTHS[0], &mut init);
        let config = RelevanceConfig { encoder: ActionEncoder::Gru, width: 5, init_deviation: 0.7 };
        (embedding, Relevance::new(&config, WIDTHS, &table(actions), &mut init))
    }

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor.try_into_vec_as().unwrap()
    }

    fn features(rows: usize, device: &Device) -> Tensor<2> {
        device.seed(3);
        Tensor::random([rows, WIDTHS[1]], Distribution::Normal(0.0, 1.0), device)
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
        }
    }

    /// The formula in plain loops over 64-bit floats.
    fn oracle(embedding: &TokenEmbedding, head: &Relevance, features: &[f32], tokens: &[u32]) -> f64 {
        let vectors: Vec<f32> = values(
            embedding
                .of_tokens(Tensor::<1, Int>::arange(0..N_TOKENS as i64, &Device::flex()).unsqueeze())
                .squeeze_dim(0),
        );
        let [input_weight, hidden_weight] = gru(head).weights().map(values);
        let [input_bias, hidden_bias] = gru(head).biases().map(|bias| values(bias.unsqueeze()));
        let (n_inputs, units, width) = (WIDTHS[0], 5, WIDTHS[1]);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut hidden = vec![0.0_f64; units];
        for &token in tokens {
            let input = &vectors[token as usize * n_inputs..][..n_inputs];
            let from_input = |gate: usize| {
                let product = |i: usize| f64::from(input[i]) * f64::from(input_weight[i * 3 * units + gate]);
                f64::from(input_bias[gate]) + (0..n_inputs).map(product).sum::<f64>()
            };
            let from_hidden = |gate: usize| {
                let product = |i: usize| hidden[i] * f64::from(hidden_weight[i * 3 * units + gate]);
                f64::from(hidden_bias[gate]) + (0..units).map(product).sum::<f64>()
            };
            hidden = (0..units)
                .map(|unit| {
                    let reset = sigmoid(from_input(unit) + from_hidden(unit));
                    let update = sigmoid(from_input(units + unit) + from_hidden(units + unit));
                    let candidate = (from_input(2 * units + unit) + reset * from_hidden(2 * units + unit)).tanh();
                    (1.0 - update) * candidate + update * hidden[unit]
                })
                .collect();
        }
        let (weight, bias) = (values(head.weight.val()), values(head.bias.val().unsqueeze()));
        let output = |column: usize| {
            let product = |unit: usize| hidden[unit] * f64::from(weight[unit * (width + 1) + column]);
            f64::from(bias[column]) + (0..units).map(product).sum::<f64>()
        };
        (0..width).map(|column| f64::from(features[column]) * output(column)).sum::<f64>() + output(width)
    }

    const ACTIONS: [&[u32]; 6] = [&[3], &[4, 5, 6], &[6, 5, 4], &[8], &[4, 5], &[4, 5]];

    #[test]
    fn values_are_those_of_the_formula() {
        let device = Device::flex();
        let (embedding, head) = head(&ACTIONS, &device);
        let features = features(2, &device);
        let found = values(head.q_values(&embedding, features.clone()));
        let rows = values(features);
        let expected: Vec<f32> = rows
            .chunks_exact(WIDTHS[1])
            .flat_map(|row| ACTIONS.map(|tokens| oracle(&embedding, &head, row, tokens) as f32))
            .collect();
        assert_close(&found, &expected);
        // The order of tokens counts; the same text has the same value.
        assert!((found[1] - found[2]).abs() > 1e-3);
        assert_eq!(found[4], found[5]);
    }

    #[test]
    fn a_part_of_the_actions_and_a_store_of_all_change_no_value() {
        let device = Device::flex();
        let (embedding, head) = head(&ACTIONS, &device);
        let features = features(3, &device);
        let all = head.q_values(&embedding, features.clone());
        let part = head.clone().considering(Some(&[5, 1, 3]));
        assert_eq!(part.n_actions(), 3);
        let columns = |columns: [i64; 3]| Tensor::<1, Int>::from_data(columns, &device);
        let expected = values(all.clone().select(1, columns([5, 1, 3])));
        assert_close(&values(part.q_values(&embedding, features.clone())), &expected);
        // Rows take the second, the third and the first of the three.
        let taken = part.q_taken(&embedding, features.clone(), columns([1, 2, 0]));
        let taken: Vec<f32> = taken.try_into_vec_as().unwrap();
        assert_close(&taken, &[expected[1], expected[3 + 2], expected[6]]);
        assert_close(&values(part.considering(None).q_values(&embedding, features.clone())), &values(all.clone()));
        let stored = head.for_acting(&embedding);
        assert_close(&values(stored.q_values(&embedding, features)), &values(all));
    }

    #[test]
    fn many_actions_are_encoded_in_chunks() {
        let device = Device::flex();
        let actions: Vec<Vec<u32>> = (0..CHUNK as u32 + 9)
            .map(|index| (0..1 + index % 3).map(|place| 3 + (index + place) % 6).collect())
            .collect();
        let actions: Vec<&[u32]> = actions.iter().map(Vec::as_slice).collect();
        let (embedding, head) = head(&actions, &device);
        let features = features(1, &device);
        let found = values(head.q_values(&embedding, features.clone()));
        let row = values(features);
        for (found, tokens) in found.iter().zip(&actions) {
            assert!((f64::from(*found) - oracle(&embedding, &head, &row, tokens)).abs() < 1e-5, "{tokens:?}");
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let device = Device::flex().autodiff();
        let (embedding, head) = head(&ACTIONS, &device);
        let (plain_embedding, plain) = self::head(&ACTIONS, &Device::flex());
        let features = features(3, &Device::flex());
        let actions = [1_i64, 4, 0];
        let on = |device: &Device| Tensor::<1, Int>::from_data(actions, device);
        let loss = head.q_taken(&embedding, Tensor::from_inner(features.clone()), on(&device)).sum();
        let gradients = loss.backward();
        let gradient = values(head.weight.val().grad(&gradients).unwrap());
        assert!(gru(&head).weights().iter().all(|weight| weight.grad(&gradients).is_some()));
        let shift = 1e-2_f32;
        for index in [0, 7, 24] {
            let moved = |by: f32| {
                let mut weight = values(plain.weight.val());
                weight[index] += by;
                let weight = Param::from_data(TensorData::new(weight, plain.weight.dims()), &Device::flex());
                let head = Relevance { weight, ..plain.clone() };
                let value: f32 =
                    head.q_taken(&plain_embedding, features.clone(), on(&Device::flex())).sum().into_scalar();
                value
            };
            let expected = (moved(shift) - moved(-shift)) / (2.0 * shift);
            assert!((gradient[index] - expected).abs() < 1e-3, "{} instead of {expected}", gradient[index]);
        }
    }
}
