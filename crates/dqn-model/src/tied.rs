//! The head whose weights are the vectors of the tokens that actions write.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_mdp::ActionTable;
use rand::Rng;

use crate::embedding::TokenEmbedding;
use crate::init::Init;

/// Values of actions by the vectors of their tokens, which the network also reads texts with.
///
/// ```text
/// Q(s, a) = (f(s) W) . e(token of a) + b_a
/// ```
///
/// Source: Press and Wolf 2017, with the projection W of Inan et al. 2017, section 3, which lets the widths of features and
/// vectors differ.
///
/// # Gradient
/// The vectors learn from both uses.
#[derive(Module, Debug)]
pub struct Tied {
    /// `[width, embedding width]`
    projection: Param<Tensor<2>>,
    /// `[actions]`
    bias: Param<Tensor<1>>,
    /// The token of each action.
    #[module(skip)]
    tokens: Arc<[i64]>,
}

impl Tied {
    /// A head for features of `width` and the actions of `table`.
    ///
    /// # Panics
    /// When an action writes other than one token.
    pub(crate) fn new<R: Rng>(
        init_deviation: f64,
        [embedding_width, width]: [usize; 2],
        table: &ActionTable,
        init: &mut Init<'_, R>,
    ) -> Self {
        let token = |tokens: &[dqn_mdp::TokenId]| match *tokens {
            [token] => i64::from(token.0),
            _ => panic!("a tied head has actions of one token; this one writes {}", tokens.len()),
        };
        // The vectors have unit entries: with this scale the values have the deviation that other heads begin with.
        let deviation = init_deviation as f32 / (embedding_width as f32).sqrt();
        Self {
            projection: init.normal([width, embedding_width], deviation),
            bias: init.zeros(table.len()),
            tokens: table.iter().map(|(_, tokens)| token(tokens)).collect(),
        }
    }

    /// Number of actions.
    pub fn n_actions(&self) -> usize {
        self.tokens.len()
    }

    /// The value of every action: `[rows, width]` to `[rows, actions]`.
    pub(crate) fn q_values(&self, embedding: &TokenEmbedding, features: Tensor<2>) -> Tensor<2> {
        let vectors = embedding.rows(self.token_ids(&features.device()));
        features.matmul(self.projection.val()).matmul(vectors.transpose()) + self.bias.val().unsqueeze()
    }

    /// The value of one action in each row: `[rows]`.
    ///
    /// # Shapes
    /// - `features`: `[rows, width]`; `actions`: `[rows]`
    pub(crate) fn q_taken(
        &self,
        embedding: &TokenEmbedding,
        features: Tensor<2>,
        actions: Tensor<1, Int>,
    ) -> Tensor<1> {
        let tokens = self.token_ids(&features.device()).select(0, actions.clone());
        let products = features.matmul(self.projection.val()) * embedding.rows(tokens);
        products.sum_dim(1).squeeze_dim::<1>(1) + self.bias.val().select(0, actions)
    }

    fn token_ids(&self, device: &Device) -> Tensor<1, Int> {
        Tensor::from_data(TensorData::new(self.tokens.to_vec(), [self.tokens.len()]), device)
    }
}
