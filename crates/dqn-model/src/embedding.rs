//! Tokens and their places as vectors.

use burn::module::{Module, Param};
use burn::tensor::module::embedding;
use burn::tensor::{Gradients, Int, Tensor};
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

    /// A table with a row for each place of `tokens`, which holds the vector that is read there, and the ids of these rows:
    /// `[batch, time]`. Row 0 is that of `<pad>`. Other vectors of the same token stay as they are when a row changes.
    pub(crate) fn of_places(&self, tokens: Tensor<2, Int>) -> (Self, Tensor<2, Int>) {
        let [batch, time] = tokens.dims();
        let device = tokens.device();
        let padded = Tensor::cat(vec![Tensor::zeros([1], &device), tokens.reshape([batch * time])], 0);
        let rows = self.rows(padded).detach().require_grad();
        let ids = Tensor::<1, Int>::arange(1..(batch * time) as i64 + 1, &device).reshape([batch, time]);
        (Self { tokens: Param::from_tensor(rows), positions: self.positions.clone() }, ids)
    }

    /// The gradient by the token vectors that a backward pass left: `[tokens, width]`.
    pub(crate) fn token_gradient(&self, gradients: &Gradients) -> Option<Tensor<2>> {
        self.tokens.grad(gradients)
    }

    /// The same with other vectors of the tokens: `[tokens, width]`.
    #[cfg(test)]
    pub(crate) fn with_tokens(self, tokens: Tensor<2>) -> Self {
        Self { tokens: Param::from_tensor(tokens), ..self }
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
