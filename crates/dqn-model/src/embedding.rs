//! Tokens and their places as vectors.

use burn::module::{Module, Param};
use burn::tensor::module::embedding;
use burn::tensor::{Int, Tensor};
use rand::Rng;

use crate::init::Init;

/// The sum of a token's vector and its position's vector.
#[derive(Module, Debug)]
pub struct TokenEmbedding {
    tokens: Param<Tensor<2>>,
    positions: Option<Param<Tensor<2>>>,
}

impl TokenEmbedding {
    /// Vectors of unit normal entries; no position vectors where there is only one position.
    pub(crate) fn new<R: Rng>(n_tokens: usize, n_positions: usize, width: usize, init: &mut Init<'_, R>) -> Self {
        Self {
            tokens: init.normal([n_tokens, width], 1.0),
            positions: (n_positions > 1).then(|| init.normal([n_positions, width], 1.0)),
        }
    }

    /// The vectors of `tokens` at `positions`.
    ///
    /// # Shapes
    /// - `tokens`, `positions`: `[batch, time]`
    /// - returns `[batch, time, width]`
    pub fn forward(&self, tokens: Tensor<2, Int>, positions: Tensor<2, Int>) -> Tensor<3> {
        let vectors = self.of_tokens(tokens);
        match &self.positions {
            Some(table) => vectors + embedding(table.val(), positions),
            None => vectors,
        }
    }

    /// Number of tokens and of positions.
    pub(crate) fn sizes(&self) -> [usize; 2] {
        [self.tokens.dims()[0], self.positions.as_ref().map_or(1, |positions| positions.dims()[0])]
    }

    /// The vectors of `tokens`, one row each: `[tokens]` to `[tokens, width]`.
    pub(crate) fn rows(&self, tokens: Tensor<1, Int>) -> Tensor<2> {
        self.tokens.val().select(0, tokens)
    }

    /// The vectors of `tokens` that stand nowhere in particular.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, time]`
    /// - returns `[batch, time, width]`
    pub(crate) fn of_tokens(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        embedding(self.tokens.val(), tokens)
    }
}
