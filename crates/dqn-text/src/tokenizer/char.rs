//! One user-perceived character a token.

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use super::{Tokenizer, id_or_unk, is_silent, most_frequent, outside};
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
        let units = texts.iter().flat_map(|text| text.graphemes(true));
        Ok(Self { vocab: most_frequent(units, texts.len(), max_tokens, min_count, "char")? })
    }

    pub(super) fn unknown(&self, text: &str) -> Vec<String> {
        outside(&self.vocab, text.graphemes(true))
    }
}

impl Tokenizer for CharTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        Ok(text.graphemes(true).map(|unit| id_or_unk(&self.vocab, unit)).collect())
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

    /// The tokens of `text`, in the order of the text.
    fn check(text: &str, expected: &[&str]) {
        let tokenizer = CharTokenizer::train(&[text], 100, 1).unwrap();
        let ids = tokenizer.encode(text).unwrap();
        let found: Vec<&str> = ids.iter().map(|&id| tokenizer.vocab().token(id)).collect();
        assert_eq!(found, expected);
        assert_eq!(tokenizer.decode(&ids), text);
    }

    #[test]
    fn a_token_is_what_a_reader_calls_a_character() {
        check("你好，世界", &["你", "好", "，", "世", "界"]);
        check("a b\n", &["a", " ", "b", "\n"]);
        // An accent of its own code point, one on a Chinese character, and a variation selector.
        check("e\u{301}x\u{5b57}\u{302}\u{845b}\u{e0100}", &["e\u{301}", "x", "\u{5b57}\u{302}", "\u{845b}\u{e0100}"]);
        // A family joined by ZWJ, a skin tone, a flag, a keycap.
        check(
            "👩\u{200d}👩\u{200d}👧👍🏽🇨🇳1\u{fe0f}\u{20e3}",
            &["👩\u{200d}👩\u{200d}👧", "👍🏽", "🇨🇳", "1\u{fe0f}\u{20e3}"],
        );
        // Beyond the basic plane, a Hangul syllable of jamo, a Devanagari conjunct.
        check("𠀀각क्ष", &["𠀀", "각", "क्ष"]);
    }

    #[test]
    fn ids_follow_frequency_and_then_code_points() {
        let tokenizer = CharTokenizer::train(&["你好你", "b a"], 100, 1).unwrap();
        let tokens: Vec<&str> = tokenizer.vocab().iter().map(|(_, token)| token).skip(4).collect();
        assert_eq!(tokens, ["你", " ", "a", "b", "好"]);
        assert_eq!(tokenizer.encode("好x你").unwrap(), [8, 1, 4].map(TokenId));
        assert_eq!(tokenizer.decode(&[2, 4, 8, 1, 3, 0].map(TokenId)), "你好<unk>");
    }

    #[test]
    fn size_and_frequency_bound_the_vocabulary() {
        let size =
            |max_tokens, min_count| CharTokenizer::train(&["aaabbc"], max_tokens, min_count).unwrap().vocab().len();
        assert_eq!([size(100, 1), size(100, 2), size(100, 3), size(5, 1)], [7, 6, 5, 5]);
        let refused =
            |max_tokens, min_count| CharTokenizer::train(&["ab"], max_tokens, min_count).unwrap_err().to_string();
        assert_eq!(
            refused(100, 2),
            "a char tokenizer cannot be made from 1 texts in which no unit occurs 2 times or more"
        );
        assert_eq!(refused(4, 1), "tokenizer.max_tokens = 4: a char tokenizer needs at least 5");
    }
}
