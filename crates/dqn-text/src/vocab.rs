//! The vocabulary: a bijection between token texts and dense ids.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::TextError;

/// Index of a token in its [`Vocab`], dense from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub u32);

impl TokenId {
    /// The id as an index into arrays over the vocabulary.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The four tokens every vocabulary starts with, in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// Fills the places of a batch that hold no text.
    Pad,
    /// Stands for every text unit outside the vocabulary.
    Unk,
    /// Begins every state.
    Bos,
    /// Ends a finished text.
    Eos,
}

impl Special {
    /// All special tokens, in the order of their ids.
    pub const ALL: [Special; 4] = [Special::Pad, Special::Unk, Special::Bos, Special::Eos];

    /// The id of this special token, the same in every vocabulary.
    pub const fn id(self) -> TokenId {
        TokenId(self as u32)
    }

    /// How the token is written in vocabulary files.
    pub const fn text(self) -> &'static str {
        match self {
            Special::Pad => "<pad>",
            Special::Unk => "<unk>",
            Special::Bos => "<bos>",
            Special::Eos => "<eos>",
        }
    }
}

/// A list of distinct tokens whose first four are [`Special::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Vocab {
    tokens: Vec<String>,
    ids: HashMap<String, TokenId>,
}

impl Vocab {
    /// A vocabulary of the special tokens followed by `tokens`.
    ///
    /// # Errors
    /// [`TextError::DuplicateToken`] when a token occurs twice or equals a special token.
    pub fn new(tokens: impl IntoIterator<Item = String>) -> Result<Self, TextError> {
        let specials = Special::ALL.map(|special| special.text().to_owned());
        Self::try_from(specials.into_iter().chain(tokens).collect::<Vec<_>>())
    }

    /// Number of tokens, special tokens included.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// False: the special tokens are always there.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The id of `token`, if it is in the vocabulary.
    pub fn id(&self, token: &str) -> Option<TokenId> {
        self.ids.get(token).copied()
    }

    /// The text of the token `id`.
    ///
    /// # Panics
    /// When `id` is not of this vocabulary.
    pub fn token(&self, id: TokenId) -> &str {
        &self.tokens[id.index()]
    }

    /// Whether `id` is one of the special tokens.
    pub fn is_special(&self, id: TokenId) -> bool {
        id.index() < Special::ALL.len()
    }

    /// All ids with their tokens, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TokenId, &str)> {
        (0..).map(TokenId).zip(self.tokens.iter().map(String::as_str))
    }
}

impl TryFrom<Vec<String>> for Vocab {
    type Error = TextError;

    fn try_from(tokens: Vec<String>) -> Result<Self, TextError> {
        for (special, found) in Special::ALL.iter().zip(&tokens) {
            if special.text() != found {
                return Err(TextError::SpecialToken {
                    id: special.id(),
                    found: found.clone(),
                    expected: special.text(),
                });
            }
        }
        if tokens.len() < Special::ALL.len() {
            return Err(TextError::VocabTooSmall { found: tokens.len(), minimum: Special::ALL.len() });
        }
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in (0..).map(TokenId).zip(&tokens) {
            if ids.insert(token.clone(), id).is_some() {
                return Err(TextError::DuplicateToken { token: token.clone() });
            }
        }
        Ok(Self { tokens, ids })
    }
}

impl From<Vocab> for Vec<String> {
    fn from(vocab: Vocab) -> Self {
        vocab.tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_dense_and_follow_the_specials() {
        let vocab = Vocab::new(["a".to_owned(), "b".to_owned()]).unwrap();
        let listed: Vec<_> = vocab.iter().map(|(id, token)| (id.0, token.to_owned())).collect();
        let expected = ["<pad>", "<unk>", "<bos>", "<eos>", "a", "b"];
        assert_eq!(listed, (0..).zip(expected.map(str::to_owned)).collect::<Vec<_>>());
        assert_eq!(vocab.id("b"), Some(TokenId(5)));
        assert_eq!(vocab.id("c"), None);
    }

    #[test]
    fn a_repeated_token_is_refused() {
        let error = Vocab::new(["a".to_owned(), "a".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "the vocabulary lists the token \"a\" twice");
        assert!(Vocab::new(["<eos>".to_owned()]).is_err());
    }

    #[test]
    fn a_list_without_the_specials_in_front_is_refused() {
        assert!(Vocab::try_from(vec!["a".to_owned(); 5]).is_err());
        assert!(Vocab::try_from(vec!["<pad>".to_owned(), "<unk>".to_owned()]).is_err());
    }
}
