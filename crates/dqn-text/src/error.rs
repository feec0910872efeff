//! What can go wrong with text.

use crate::TokenId;

/// A fault in a text, a vocabulary or a tokenizer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A token occurs twice in a vocabulary.
    #[error("the vocabulary lists the token {token:?} twice")]
    DuplicateToken {
        /// The repeated token.
        token: String,
    },
    /// The vocabulary does not begin with the special tokens.
    #[error("token {} of the vocabulary is {found:?}; it must be {expected:?}", id.0)]
    SpecialToken {
        /// The place in the vocabulary.
        id: TokenId,
        /// What stands there.
        found: String,
        /// What must stand there.
        expected: &'static str,
    },
    /// The vocabulary is shorter than the list of special tokens.
    #[error("the vocabulary has {found} tokens; at least {minimum} are needed")]
    VocabTooSmall {
        /// How many tokens there are.
        found: usize,
        /// How many there must be.
        minimum: usize,
    },
}
