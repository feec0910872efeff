//! One word or punctuation mark a token.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use super::{Tokenizer, id_or_unk, is_silent, most_frequent, outside};
use crate::script::is_wide;
use crate::{TextError, TokenId, Vocab};

/// What a word is in Chinese text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChineseWords {
    /// Every character.
    #[default]
    Character,
    /// What the dictionary of `jieba` finds; needs the cargo feature `jieba`.
    Jieba,
}

/// Divides text at Unicode word boundaries (Unicode Annex 29) and drops white space.
///
/// Decoding writes one space between two tokens, but none
/// - beside Chinese and Japanese characters, full-width marks, dashes, hyphens and slashes,
/// - before a mark that closes (`,` `.` `)` `’` and the like) and after one that opens (`(` `“` `$` and the like); of
///   straight double quotes the odd ones open and the even ones close,
///
/// and always one where the two tokens would otherwise grow together. So decoded text divides into the same tokens
/// again. With [`ChineseWords::Jieba`] this holds for all but Chinese words: side by side they may be cut elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct WordTokenizer {
    lowercase: bool,
    chinese: ChineseWords,
    vocab: Vocab,
}

/// A [`WordTokenizer`] in a file; this program may not be able to divide text as it asks.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    lowercase: bool,
    chinese: ChineseWords,
    vocab: Vocab,
}

impl TryFrom<Stored> for WordTokenizer {
    type Error = TextError;

    fn try_from(Stored { lowercase, chinese, vocab }: Stored) -> Result<Self, TextError> {
        available(chinese)?;
        Ok(Self { lowercase, chinese, vocab })
    }
}

impl From<WordTokenizer> for Stored {
    fn from(WordTokenizer { lowercase, chinese, vocab }: WordTokenizer) -> Self {
        Self { lowercase, chinese, vocab }
    }
}

impl WordTokenizer {
    pub(super) fn train(
        texts: &[&str],
        max_tokens: usize,
        min_count: usize,
        lowercase: bool,
        chinese: ChineseWords,
    ) -> Result<Self, TextError> {
        available(chinese)?;
        let cased: Vec<Cow<'_, str>> = texts.iter().map(|text| cased(text, lowercase)).collect();
        let units = cased.iter().flat_map(|text| words(text, chinese));
        let vocab = most_frequent(units, texts.len(), max_tokens, min_count, "word")?;
        Ok(Self { lowercase, chinese, vocab })
    }

    pub(super) fn unknown(&self, text: &str) -> Vec<String> {
        outside(&self.vocab, words(&cased(text, self.lowercase), self.chinese).into_iter())
    }
}

fn available(chinese: ChineseWords) -> Result<(), TextError> {
    match chinese {
        ChineseWords::Jieba if cfg!(not(feature = "jieba")) => Err(TextError::NoJieba),
        ChineseWords::Jieba | ChineseWords::Character => Ok(()),
    }
}

fn cased(text: &str, lowercase: bool) -> Cow<'_, str> {
    if lowercase { Cow::Owned(text.to_lowercase()) } else { Cow::Borrowed(text) }
}

fn words(text: &str, chinese: ChineseWords) -> Vec<&str> {
    let pieces: Vec<&str> = match chinese {
        #[cfg(feature = "jieba")]
        ChineseWords::Jieba => dictionary_words(text),
        // Where `jieba` is not compiled in, `available` lets no tokenizer ask for it.
        _ => text.split_word_bounds().collect(),
    };
    // A combining mark after a space makes one piece with the space.
    pieces.into_iter().map(str::trim).filter(|piece| !piece.is_empty()).collect()
}

/// Unicode divides Chinese text into characters; stretches of these are given to the dictionary as a whole.
#[cfg(feature = "jieba")]
fn dictionary_words(text: &str) -> Vec<&str> {
    use std::sync::LazyLock;
    static DICTIONARY: LazyLock<jieba_rs::Jieba> = LazyLock::new(jieba_rs::Jieba::new);
    let is_character = |piece: &str| piece.chars().all(crate::script::is_han);
    let pieces: Vec<(usize, &str)> = text.split_word_bound_indices().collect();
    let stretches = pieces.chunk_by(|(_, left), (_, right)| is_character(left) && is_character(right));
    let mut words = Vec::new();
    for stretch in stretches {
        let (start, first) = stretch[0];
        let len: usize = stretch.iter().map(|(_, piece)| piece.len()).sum();
        match is_character(first) {
            // Without its model of unknown words: what the dictionary lacks stays single characters.
            true => words.extend(DICTIONARY.cut(&text[start..start + len], false).into_iter().map(|token| token.word)),
            false => words.push(first),
        }
    }
    words
}

/// Text that is being written token by token.
#[derive(Default)]
struct Writing {
    text: String,
    /// Where the last two tokens begin: a word boundary depends on no more than these and the next one.
    last_two: [usize; 2],
    /// Whether an odd number of straight double quotes has been written.
    quotes: bool,
}

impl Writing {
    fn write(&mut self, token: &str) {
        if self.needs_space(token) {
            self.text.push(' ');
        }
        self.last_two = [self.last_two[1], self.text.len()];
        self.text.push_str(token);
        self.quotes ^= token == "\"";
    }

    fn needs_space(&self, token: &str) -> bool {
        let (Some(last), Some(first)) = (self.text.chars().next_back(), token.chars().next()) else { return false };
        let is_tight = |mark| is_wide(mark) || matches!(mark, '-' | '/' | '\u{2010}' | '\u{2011}' | '\u{2013}');
        let opens =
            matches!(last, '(' | '[' | '{' | '“' | '‘' | '$' | '£' | '€' | '#' | '@') || last == '"' && self.quotes;
        let closes = matches!(first, ',' | '.' | ';' | ':' | '!' | '?' | ')' | ']' | '}' | '”' | '’' | '\'' | '%')
            || token == "\"" && self.quotes;
        !(is_tight(last) || is_tight(first) || opens || closes) || self.grows_together(token)
    }

    /// Whether no word boundary would stand between the text and `token` side by side, as in "3." and "14".
    fn grows_together(&self, token: &str) -> bool {
        let before = &self.text[self.last_two[0]..];
        let both = format!("{before}{token}");
        !both.split_word_bound_indices().any(|(index, _)| index == before.len())
    }
}

impl Tokenizer for WordTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        let text = cased(text, self.lowercase);
        Ok(words(&text, self.chinese).into_iter().map(|unit| id_or_unk(&self.vocab, unit)).collect())
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        let mut writing = Writing::default();
        for &id in ids.iter().filter(|&&id| !is_silent(id)) {
            writing.write(self.vocab.token(id));
        }
        writing.text
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The tokens of `text`, and the text that these decode to.
    fn check(text: &str, lowercase: bool, expected: &[&str], decoded: &str) {
        let tokenizer = WordTokenizer::train(&[text], 100, 1, lowercase, ChineseWords::Character).unwrap();
        let ids = tokenizer.encode(text).unwrap();
        let found: Vec<&str> = ids.iter().map(|&id| tokenizer.vocab().token(id)).collect();
        assert_eq!(found, expected);
        assert_eq!(tokenizer.decode(&ids), decoded);
    }

    #[test]
    fn words_and_marks_are_tokens() {
        check("Don't  stop, 3.14!", false, &["Don't", "stop", ",", "3.14", "!"], "Don't stop, 3.14!");
        check("Don't STOP", true, &["don't", "stop"], "don't stop");
        check("well-known (yes)", false, &["well", "-", "known", "(", "yes", ")"], "well-known (yes)");
        check(
            "\"No,\" he said. \"Go!\"",
            false,
            &["\"", "No", ",", "\"", "he", "said", ".", "\"", "Go", "!", "\""],
            "\"No,\" he said. \"Go!\"",
        );
        check(
            "the sons' “house” — 5 %",
            false,
            &["the", "sons", "'", "“", "house", "”", "—", "5", "%"],
            "the sons' “house”—5%",
        );
        check("你好，world 再见", false, &["你", "好", "，", "world", "再", "见"], "你好，world再见");
        check(
            "cafe\u{301} 👩\u{200d}👩\u{200d}👧 \u{302}x",
            false,
            &["cafe\u{301}", "👩\u{200d}👩\u{200d}👧", "\u{302}", "x"],
            "cafe\u{301} 👩\u{200d}👩\u{200d}👧 \u{302} x",
        );
    }

    #[test]
    fn tokens_that_would_grow_together_are_kept_apart() {
        // "a", "." and "ｂ" side by side are one word; so are two flags' halves one flag.
        let tokenizer = WordTokenizer::train(&["a . ｂ カ 🇨 🇳"], 100, 1, false, ChineseWords::Character).unwrap();
        let decode = |tokens: &[&str]| {
            let ids: Vec<TokenId> = tokens.iter().map(|token| tokenizer.vocab().id(token).unwrap()).collect();
            let text = tokenizer.decode(&ids);
            assert_eq!(tokenizer.encode(&text).unwrap(), ids, "{text}");
            text
        };
        assert_eq!(decode(&["a", ".", "ｂ"]), "a. ｂ");
        assert_eq!(decode(&["カ", "カ"]), "カ カ");
        assert_eq!(decode(&["🇨", "🇳"]), "🇨 🇳");
    }

    #[test]
    fn text_without_words_makes_no_tokenizer() {
        let found = WordTokenizer::train(&[" \t\n", ""], 100, 1, false, ChineseWords::Character);
        assert!(matches!(found, Err(TextError::NoTokens { kind: "word", n_texts: 2, min_count: 1 })));
    }

    #[cfg(not(feature = "jieba"))]
    #[test]
    fn jieba_is_refused_where_it_is_not_compiled_in() {
        let trained = WordTokenizer::train(&["你好世界"], 100, 1, false, ChineseWords::Jieba);
        assert_eq!(
            trained.unwrap_err().to_string(),
            "tokenizer.chinese = \"jieba\" needs the cargo feature `jieba`, which this program was built without"
        );
        let json = r#"{"lowercase": false, "chinese": "jieba", "vocab": ["<pad>", "<unk>", "<bos>", "<eos>", "你好"]}"#;
        let error = serde_json::from_str::<WordTokenizer>(json).unwrap_err().to_string();
        assert!(error.contains("cargo feature `jieba`"), "{error}");
    }

    #[cfg(feature = "jieba")]
    #[test]
    fn jieba_finds_the_words_of_its_dictionary() {
        let cut = |text| words(text, ChineseWords::Jieba);
        assert_eq!(cut("我来到北京清华大学"), ["我", "来到", "北京", "清华大学"]);
        assert_eq!(
            cut("你好，世界abc def don't 3.14中国"),
            ["你好", "，", "世界", "abc", "def", "don't", "3.14", "中国"]
        );
        assert_eq!(cut("字\u{302}你好"), ["字\u{302}", "你好"]);
        assert!(cut(" \u{3000}").is_empty());
    }

    /// Characters whose word boundaries depend on their neighbours, and marks that take no space.
    const PIECES: &[&str] = &[
        "a", "b1", "3", ".", ",", ":", "'", "\"", "_", "-", "/", "(", ")", "$", "%", " ", "\n", "你", "。", "—", "ｂ",
        "１", "．", "カ", "ひ", "\u{301}", "\u{200d}", "\u{ad}", "\u{fe0f}", "😀", "〰", "🇨", "🇳", "א", "״",
        "\u{200b}", "İ", "Σ", "’",
    ];

    proptest! {
        #[test]
        fn known_tokens_come_back(
            text in prop::collection::vec(prop::sample::select(PIECES), 1..40),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
            lowercase: bool,
        ) {
            let text = text.concat();
            if let Ok(tokenizer) = WordTokenizer::train(&[&text], 1000, 1, lowercase, ChineseWords::Character) {
                let known: Vec<TokenId> = tokenizer.vocab().iter().skip(4).map(|(id, _)| id).collect();
                let ids: Vec<TokenId> = picks.iter().map(|pick| *pick.get(&known)).collect();
                let decoded = tokenizer.decode(&ids);
                prop_assert_eq!(tokenizer.encode(&decoded).unwrap(), ids, "{:?}", decoded);
                prop_assert!(tokenizer.unknown(&text).is_empty());
            }
        }
    }
}
