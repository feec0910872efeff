//! From text to token ids and back.

mod bpe;
mod char;
mod word;

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::bpe::BpeTokenizer;
pub use self::char::CharTokenizer;
pub use self::word::{ChineseWords, WordTokenizer};
use crate::{Special, TextError, TokenId, Vocab};

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

/// How text becomes tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenizerConfig {
    /// One user-perceived character (Unicode extended grapheme cluster) a token.
    Char {
        /// Largest number of tokens, the four special ones included; the most frequent are kept.
        #[serde(default = "default_max_tokens")]
        #[schemars(range(min = 5, max = 1000000))]
        max_tokens: usize,
        /// Rarer characters become `<unk>`.
        #[serde(default = "default_min_count")]
        #[schemars(range(min = 1))]
        min_count: usize,
    },
    /// One word or punctuation mark a token (Unicode word boundaries); white space is not a token.
    Word {
        /// Largest number of tokens, the four special ones included; the most frequent are kept.
        #[serde(default = "default_max_tokens")]
        #[schemars(range(min = 5, max = 1000000))]
        max_tokens: usize,
        /// Rarer words become `<unk>`.
        #[serde(default = "default_min_count")]
        #[schemars(range(min = 1))]
        min_count: usize,
        /// Turn capital letters into small ones.
        #[serde(default)]
        lowercase: bool,
        /// What a word is in Chinese text.
        #[serde(default)]
        chinese: ChineseWords,
    },
    /// Byte-level byte pair encoding (Sennrich et al. 2016), trained on the text; nothing is unknown.
    Bpe {
        /// Number of tokens aimed at: 4 special ones, 256 bytes, and merges.
        #[serde(default = "default_max_tokens")]
        #[schemars(range(min = 260, max = 1000000))]
        max_tokens: usize,
        /// Rarer pairs are not merged.
        #[serde(default = "default_min_pair_count")]
        #[schemars(range(min = 1))]
        min_count: usize,
    },
}

fn default_max_tokens() -> usize {
    2_000
}

fn default_min_count() -> usize {
    1
}

fn default_min_pair_count() -> usize {
    2
}

impl TokenizerConfig {
    /// Makes a tokenizer from `texts`; the same texts give the same tokenizer.
    ///
    /// # Errors
    /// [`TextError::NoTokens`] when the texts hold no token, [`TextError::NoJieba`] and [`TextError::Bpe`].
    pub fn train(&self, texts: &[&str]) -> Result<TextTokenizer, TextError> {
        Ok(match *self {
            TokenizerConfig::Char { max_tokens, min_count } => {
                TextTokenizer::Char(CharTokenizer::train(texts, max_tokens, min_count)?)
            }
            TokenizerConfig::Word { max_tokens, min_count, lowercase, chinese } => {
                TextTokenizer::Word(WordTokenizer::train(texts, max_tokens, min_count, lowercase, chinese)?)
            }
            TokenizerConfig::Bpe { max_tokens, min_count } => {
                TextTokenizer::Bpe(BpeTokenizer::train(texts, max_tokens, min_count)?)
            }
        })
    }
}

/// One of the tokenizers of this crate.
#[derive(Clone, Debug)]
pub enum TextTokenizer {
    /// See [`TokenizerConfig::Char`].
    Char(CharTokenizer),
    /// See [`TokenizerConfig::Word`].
    Word(WordTokenizer),
    /// See [`TokenizerConfig::Bpe`].
    Bpe(BpeTokenizer),
}

/// What the file of a char or word tokenizer begins with; a BPE file is that of the `tokenizers` library.
const FORMAT: &str = "dqn-tokenizer";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File<T> {
    format: String,
    version: u32,
    tokenizer: T,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Stored {
    Char(CharTokenizer),
    Word(WordTokenizer),
}

impl TextTokenizer {
    /// The kind, as the configuration names it.
    pub fn kind(&self) -> &'static str {
        match self {
            TextTokenizer::Char(_) => "char",
            TextTokenizer::Word(_) => "word",
            TextTokenizer::Bpe(_) => "bpe",
        }
    }

    /// The distinct units of `text` that are not in the vocabulary, in their order.
    pub fn unknown(&self, text: &str) -> Vec<String> {
        let units: Vec<String> = match self {
            TextTokenizer::Char(tokenizer) => tokenizer.units(text),
            TextTokenizer::Word(tokenizer) => tokenizer.units(text),
            TextTokenizer::Bpe(_) => Vec::new(),
        };
        let mut unknown: Vec<String> = Vec::new();
        for unit in units {
            if self.vocab().id(&unit).is_none() && !unknown.contains(&unit) {
                unknown.push(unit);
            }
        }
        unknown
    }

    /// The tokenizer as the content of a file.
    pub fn to_json(&self) -> String {
        let stored = match self {
            TextTokenizer::Char(tokenizer) => Stored::Char(tokenizer.clone()),
            TextTokenizer::Word(tokenizer) => Stored::Word(tokenizer.clone()),
            TextTokenizer::Bpe(tokenizer) => return tokenizer.to_json(),
        };
        let file = File { format: FORMAT.to_owned(), version: VERSION, tokenizer: stored };
        serde_json::to_string_pretty(&file).expect("a tokenizer holds strings and numbers only")
    }

    /// Reads the content of a tokenizer file; `origin` names it in errors.
    ///
    /// # Errors
    /// [`TextError::TokenizerFile`] when it is not one, or of another version.
    pub fn from_json(json: &str, origin: &str) -> Result<Self, TextError> {
        let fault = |message: String| TextError::TokenizerFile { action: "read", origin: origin.to_owned(), message };
        let value: serde_json::Value = serde_json::from_str(json).map_err(|error| fault(error.to_string()))?;
        match value.get("format").and_then(serde_json::Value::as_str) {
            None => Ok(TextTokenizer::Bpe(BpeTokenizer::from_json(json, origin)?)),
            Some(FORMAT) => {
                let version = &value["version"];
                if version.as_u64() != Some(u64::from(VERSION)) {
                    return Err(fault(format!("it is of version {version}; this program reads version {VERSION}")));
                }
                let file: File<Stored> = serde_json::from_value(value).map_err(|error| fault(error.to_string()))?;
                Ok(match file.tokenizer {
                    Stored::Char(tokenizer) => TextTokenizer::Char(tokenizer),
                    Stored::Word(tokenizer) => {
                        tokenizer.check()?;
                        TextTokenizer::Word(tokenizer)
                    }
                })
            }
            Some(other) => Err(fault(format!("its format is {other:?}; expected {FORMAT:?} or a tokenizer.json"))),
        }
    }

    /// Writes the tokenizer to a file.
    ///
    /// # Errors
    /// [`TextError::TokenizerFile`] when it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TextError> {
        std::fs::write(path, self.to_json()).map_err(|error| TextError::TokenizerFile {
            action: "write",
            origin: path.display().to_string(),
            message: error.to_string(),
        })
    }

    /// Reads a tokenizer from a file.
    ///
    /// # Errors
    /// [`TextError::TokenizerFile`] when it cannot be read or is no tokenizer.
    pub fn load(path: &Path) -> Result<Self, TextError> {
        let origin = path.display().to_string();
        let json = std::fs::read_to_string(path).map_err(|error| TextError::TokenizerFile {
            action: "read",
            origin: origin.clone(),
            message: error.to_string(),
        })?;
        Self::from_json(&json, &origin)
    }
}

impl Tokenizer for TextTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        match self {
            TextTokenizer::Char(tokenizer) => tokenizer.encode(text),
            TextTokenizer::Word(tokenizer) => tokenizer.encode(text),
            TextTokenizer::Bpe(tokenizer) => tokenizer.encode(text),
        }
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        match self {
            TextTokenizer::Char(tokenizer) => tokenizer.decode(ids),
            TextTokenizer::Word(tokenizer) => tokenizer.decode(ids),
            TextTokenizer::Bpe(tokenizer) => tokenizer.decode(ids),
        }
    }

    fn vocab(&self) -> &Vocab {
        match self {
            TextTokenizer::Char(tokenizer) => tokenizer.vocab(),
            TextTokenizer::Word(tokenizer) => tokenizer.vocab(),
            TextTokenizer::Bpe(tokenizer) => tokenizer.vocab(),
        }
    }
}

/// A vocabulary of the most frequent of `units`; equally frequent ones in the order of their code points.
fn most_frequent(
    units: impl Iterator<Item = String>,
    max_tokens: usize,
    min_count: usize,
    kind: &'static str,
) -> Result<Vocab, TextError> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for unit in units {
        *counts.entry(unit).or_default() += 1;
    }
    let is_special = |unit: &str| Special::ALL.iter().any(|special| special.text() == unit);
    let mut counted: Vec<(String, usize)> =
        counts.into_iter().filter(|(unit, count)| *count >= min_count && !is_special(unit)).collect();
    counted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counted.truncate(max_tokens.saturating_sub(Special::ALL.len()));
    match counted.is_empty() {
        true => Err(TextError::NoTokens { kind }),
        false => Vocab::new(counted.into_iter().map(|(unit, _)| unit)),
    }
}

/// Ids of units, `<unk>` for those outside the vocabulary.
fn ids(vocab: &Vocab, units: &[String]) -> Vec<TokenId> {
    units.iter().map(|unit| vocab.id(unit).unwrap_or(Special::Unk.id())).collect()
}

/// Whether a token writes nothing.
fn is_silent(id: TokenId) -> bool {
    [Special::Pad.id(), Special::Bos.id(), Special::Eos.id()].contains(&id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn configs() -> [TokenizerConfig; 3] {
        [
            TokenizerConfig::Char { max_tokens: 500, min_count: 1 },
            TokenizerConfig::Word { max_tokens: 500, min_count: 1, lowercase: false, chinese: ChineseWords::Character },
            TokenizerConfig::Bpe { max_tokens: 300, min_count: 2 },
        ]
    }

    const TEXTS: [&str; 3] = ["the cat saw the dog, and ran.", "你好，世界！你好吗", "caf\u{e9} 👩‍👩‍👧 don't 3.14"];

    #[test]
    fn files_hold_the_whole_tokenizer() {
        let folder = tempfile::tempdir().unwrap();
        for config in configs() {
            let tokenizer = config.train(&TEXTS).unwrap();
            let path = folder.path().join("tokenizer.json");
            tokenizer.save(&path).unwrap();
            let loaded = TextTokenizer::load(&path).unwrap();
            assert_eq!((loaded.kind(), loaded.to_json()), (tokenizer.kind(), tokenizer.to_json()));
            for text in TEXTS {
                assert_eq!(loaded.encode(text).unwrap(), tokenizer.encode(text).unwrap());
            }
        }
    }

    #[test]
    fn training_twice_gives_the_same_tokenizer() {
        for config in configs() {
            assert_eq!(config.train(&TEXTS).unwrap().to_json(), config.train(&TEXTS).unwrap().to_json());
        }
    }

    #[test]
    fn known_text_comes_back() {
        for config in configs() {
            let tokenizer = config.train(&TEXTS).unwrap();
            for text in TEXTS {
                assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()), text, "{}", tokenizer.kind());
                assert!(tokenizer.unknown(text).is_empty());
            }
        }
    }

    #[test]
    fn files_of_other_kinds_are_refused() {
        let read = |json: &str| TextTokenizer::from_json(json, "t.json").unwrap_err().to_string();
        assert!(read("{").starts_with("cannot read the tokenizer t.json: "));
        assert!(read(r#"{"format": "other"}"#).contains("\"other\""));
        assert!(read(r#"{"format": "dqn-tokenizer", "version": 9}"#).contains("version 9"));
        assert!(read(r#"{"format": "dqn-tokenizer", "version": 1, "tokenizer": {"kind": "char", "vocab": ["a"]}}"#).contains("<pad>"));
    }

    proptest! {
        #[test]
        fn any_string_can_be_encoded(text in "\\PC{0,40}") {
            for config in configs() {
                let tokenizer = config.train(&TEXTS).unwrap();
                let ids = tokenizer.encode(&text).unwrap();
                prop_assert!(ids.iter().all(|id| id.index() < tokenizer.vocab().len()));
                let _ = tokenizer.decode(&ids);
            }
        }

        #[test]
        fn tokens_survive_decoding(picks in prop::collection::vec(0_usize..1000, 0..12)) {
            // Words only: the word tokenizer writes the spaces between them and must find the same words again.
            let tokenizer = configs()[1].train(&["the cat saw a dog, and ran. 你好世界 (yes) \"no\" it's 42"]).unwrap();
            let n_words = tokenizer.vocab().len() - Special::ALL.len();
            let ids: Vec<TokenId> = picks.iter().map(|pick| TokenId((Special::ALL.len() + pick % n_words) as u32)).collect();
            prop_assert_eq!(tokenizer.encode(&tokenizer.decode(&ids)).unwrap(), ids);
        }
    }
}
