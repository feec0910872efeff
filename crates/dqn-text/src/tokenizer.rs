//! From text to token ids and back.

use std::fmt::Debug;

use crate::{TextError, TokenId, Vocab};

/// Turns text into tokens of a fixed vocabulary and tokens into text.
pub trait Tokenizer: Debug + Send + Sync {
    /// The tokens of `text`, without `<bos>` and `<eos>`; what is not in the vocabulary becomes `<unk>`.
    ///
    /// # Errors
    /// When the underlying tokenizer fails.
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError>;

    /// The text of `ids`; `<pad>`, `<bos>` and `<eos>` write nothing.
    fn decode(&self, ids: &[TokenId]) -> String;

    /// The vocabulary of this tokenizer.
    fn vocab(&self) -> &Vocab;
}
