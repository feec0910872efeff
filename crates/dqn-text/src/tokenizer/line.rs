//! One line a token.

use serde::{Deserialize, Serialize};

use super::{Tokenizer, id_or_unk, is_silent, most_frequent, outside};
use crate::{TextError, TokenId, Vocab};

/// Divides text into lines, each with the line break that ends it: for games and dialogues that say the same few sentences
/// again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineTokenizer {
    vocab: Vocab,
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n')
}

impl LineTokenizer {
    pub(super) fn train(texts: &[&str], max_tokens: usize, min_count: usize) -> Result<Self, TextError> {
        let units = texts.iter().flat_map(|text| lines(text));
        Ok(Self { vocab: most_frequent(units, texts.len(), max_tokens, min_count, "line")? })
    }

    pub(super) fn unknown(&self, text: &str) -> Vec<String> {
        outside(&self.vocab, lines(text))
    }
}

impl Tokenizer for LineTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        Ok(lines(text).map(|unit| id_or_unk(&self.vocab, unit)).collect())
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
    fn a_token_is_a_line_with_its_break() {
        let tokenizer = LineTokenizer::train(&["go left\na wall\n", "a wall\nend"], 100, 1).unwrap();
        let tokens: Vec<&str> = tokenizer.vocab().iter().map(|(_, token)| token).skip(4).collect();
        assert_eq!(tokens, ["a wall\n", "end", "go left\n"]);
        let ids = tokenizer.encode("go left\na wall\nend").unwrap();
        assert_eq!(ids, [6, 4, 5].map(TokenId));
        assert_eq!(tokenizer.decode(&ids), "go left\na wall\nend");
        // A line without its break is another one.
        assert_eq!(tokenizer.encode("go left").unwrap(), [TokenId(1)]);
        assert_eq!(tokenizer.unknown("go left\ngo\n"), ["go\n"]);
        assert_eq!(tokenizer.encode("").unwrap(), []);
    }
}
