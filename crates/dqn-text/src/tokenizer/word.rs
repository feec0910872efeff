//! One word or punctuation mark a token.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use super::{Tokenizer, ids, is_silent, most_frequent};
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
/// Decoding writes a space between two tokens unless it would not stand there in print: not beside Chinese characters
/// and full-width marks, not before closing marks and not after opening ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WordTokenizer {
    lowercase: bool,
    chinese: ChineseWords,
    vocab: Vocab,
}

impl WordTokenizer {
    pub(super) fn train(
        texts: &[&str],
        max_tokens: usize,
        min_count: usize,
        lowercase: bool,
        chinese: ChineseWords,
    ) -> Result<Self, TextError> {
        let divided = Divider { lowercase, chinese };
        divided.check()?;
        let units = texts.iter().flat_map(|text| divided.units(text));
        Ok(Self { lowercase, chinese, vocab: most_frequent(units, max_tokens, min_count, "word")? })
    }

    pub(super) fn units(&self, text: &str) -> Vec<String> {
        Divider { lowercase: self.lowercase, chinese: self.chinese }.units(text)
    }

    /// Whether this program can divide text as the tokenizer asks.
    pub(super) fn check(&self) -> Result<(), TextError> {
        Divider { lowercase: self.lowercase, chinese: self.chinese }.check()
    }
}

struct Divider {
    lowercase: bool,
    chinese: ChineseWords,
}

impl Divider {
    fn check(&self) -> Result<(), TextError> {
        match self.chinese {
            ChineseWords::Jieba if cfg!(not(feature = "jieba")) => Err(TextError::NoJieba),
            ChineseWords::Jieba | ChineseWords::Character => Ok(()),
        }
    }

    fn units(&self, text: &str) -> Vec<String> {
        let lowered = if self.lowercase { text.to_lowercase() } else { text.to_owned() };
        let pieces = match self.chinese {
            ChineseWords::Character => vec![lowered.as_str()],
            ChineseWords::Jieba => chinese_words(&lowered),
        };
        let is_word = |unit: &&str| !unit.trim().is_empty();
        match self.chinese {
            ChineseWords::Character => {
                pieces.iter().flat_map(|piece| piece.split_word_bounds()).filter(is_word).map(str::to_owned).collect()
            }
            // A Chinese word is whole already: word boundaries would take it apart again.
            ChineseWords::Jieba => pieces
                .iter()
                .flat_map(|piece| match piece.chars().all(is_han) {
                    true => vec![*piece],
                    false => piece.split_word_bounds().collect(),
                })
                .filter(is_word)
                .map(str::to_owned)
                .collect(),
        }
    }
}

#[cfg(feature = "jieba")]
fn chinese_words(text: &str) -> Vec<&str> {
    use std::sync::LazyLock;
    static JIEBA: LazyLock<jieba_rs::Jieba> = LazyLock::new(jieba_rs::Jieba::new);
    let mut words = Vec::new();
    for run in text.split_inclusive(|character| !is_han(character)) {
        let han = run.trim_end_matches(|character| !is_han(character));
        words.extend(JIEBA.cut(han, false).into_iter().map(|word| word.word));
        words.push(&run[han.len()..]);
    }
    join_foreign(text, words)
}

/// Joins neighbouring pieces that are not Chinese, so that word boundaries are looked for in whole stretches.
#[cfg(feature = "jieba")]
fn join_foreign<'a>(text: &'a str, words: Vec<&'a str>) -> Vec<&'a str> {
    let mut joined: Vec<&str> = Vec::new();
    let mut start = 0;
    let mut end = 0;
    for word in words {
        if !word.is_empty() && word.chars().all(is_han) {
            joined.push(&text[start..end]);
            joined.push(word);
            start = end + word.len();
        }
        end += word.len();
    }
    joined.push(&text[start..end]);
    joined
}

#[cfg(not(feature = "jieba"))]
fn chinese_words(text: &str) -> Vec<&str> {
    vec![text]
}

fn is_han(character: char) -> bool {
    matches!(character, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// Whether print leaves no space beside this character: Chinese and Japanese, and full-width marks.
fn is_wide(character: char) -> bool {
    is_han(character) || matches!(character, '\u{3000}'..='\u{30ff}' | '\u{ff00}'..='\u{ff65}' | '\u{2014}' | '\u{2026}')
}

fn needs_space(left: &str, right: &str) -> bool {
    let (Some(last), Some(first)) = (left.chars().next_back(), right.chars().next()) else { return false };
    let opens = matches!(last, '(' | '[' | '{' | '\u{201c}' | '\u{2018}' | '$' | '#' | '@');
    let closes = matches!(first, ',' | '.' | ';' | ':' | '!' | '?' | ')' | ']' | '}' | '\u{201d}' | '\u{2019}' | '%');
    let unspaced = is_wide(last) || is_wide(first) || opens || closes;
    // Without a space the two may grow into one word, as "3" and ".14" would not but "3", "." and "14" do.
    !unspaced || glues(left, right)
}

/// Whether the boundary between two tokens would be lost if they stood side by side.
fn glues(left: &str, right: &str) -> bool {
    let both = format!("{left}{right}");
    !both.split_word_bound_indices().any(|(index, _)| index == left.len())
}

impl Tokenizer for WordTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        Ok(ids(&self.vocab, &self.units(text)))
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        let mut text = String::new();
        for token in ids.iter().filter(|&&id| !is_silent(id)).map(|&id| self.vocab.token(id)) {
            if needs_space(&text, token) {
                text.push(' ');
            }
            text.push_str(token);
        }
        text
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str, lowercase: bool) -> Vec<String> {
        Divider { lowercase, chinese: ChineseWords::Character }.units(text)
    }

    #[test]
    fn words_and_marks_are_tokens() {
        assert_eq!(units("Don't stop, 3.14!", false), ["Don't", "stop", ",", "3.14", "!"]);
        assert_eq!(units("Don't  STOP", true), ["don't", "stop"]);
        assert_eq!(units("你好，world", false), ["你", "好", "，", "world"]);
        assert!(units(" \t\n", false).is_empty());
    }

    #[test]
    fn jieba_is_refused_where_it_is_not_compiled_in() {
        let trained = WordTokenizer::train(&["你好世界"], 100, 1, false, ChineseWords::Jieba);
        match cfg!(feature = "jieba") {
            true => assert_eq!(trained.unwrap().units("你好世界abc def"), ["你好", "世界", "abc", "def"]),
            false => assert!(matches!(trained, Err(TextError::NoJieba))),
        }
    }
}
