//! One user-perceived character a token.

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use super::{Tokenizer, ids, is_silent, most_frequent};
use crate::{TextError, TokenId, Vocab};

/// Divides text into extended grapheme clusters (Unicode Annex 29): a Chinese character, a letter with its accents, an
/// emoji with its modifiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CharTokenizer {
    vocab: Vocab,
}

impl CharTokenizer {
    pub(super) fn train(texts: &[&str], max_tokens: usize, min_count: usize) -> Result<Self, TextError> {
        let units = texts.iter().flat_map(|text| text.graphemes(true)).map(str::to_owned);
        Ok(Self { vocab: most_frequent(units, max_tokens, min_count, "char")? })
    }

    pub(super) fn units(&self, text: &str) -> Vec<String> {
        text.graphemes(true).map(str::to_owned).collect()
    }
}

impl Tokenizer for CharTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        Ok(ids(&self.vocab, &self.units(text)))
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        ids.iter().filter(|&&id| !is_silent(id)).map(|&id| self.vocab.token(id)).collect()
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_a_reader_calls_a_character() {
        let tokenizer = CharTokenizer::train(&["你好你", "e\u{301}👩‍👩‍👧"], 100, 1).unwrap();
        let tokens: Vec<&str> = tokenizer.vocab().iter().map(|(_, token)| token).skip(4).collect();
        assert_eq!(tokens, ["你", "e\u{301}", "好", "👩‍👩‍👧"]);
        assert_eq!(tokenizer.encode("好x你").unwrap(), [TokenId(6), TokenId(1), TokenId(4)]);
        assert_eq!(tokenizer.decode(&[2, 4, 6, 1, 3].map(TokenId)), "你好<unk>");
    }

    #[test]
    fn size_and_frequency_bound_the_vocabulary() {
        let size = |max_tokens, min_count| CharTokenizer::train(&["aaabbc"], max_tokens, min_count).unwrap().vocab().len();
        assert_eq!([size(100, 1), size(100, 2), size(100, 3), size(5, 1)], [7, 6, 5, 5]);
        assert!(matches!(CharTokenizer::train(&["ab"], 100, 2), Err(TextError::NoTokens { kind: "char" })));
    }
}
