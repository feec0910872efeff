//! From text to token ids and back.
//!
//! Each kind of tokenizer is a file: how it divides text, and how it writes tokens as text again.

mod bpe;
mod char;
mod line;
mod model;
mod pretrained;
mod stream;
mod word;

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::bpe::BpeTokenizer;
pub use self::char::CharTokenizer;
pub use self::line::LineTokenizer;
pub use self::model::ModelTokenizer;
pub use self::pretrained::PretrainedTokenizer;
pub use self::stream::{Detokenizer, StopStrings};
pub use self::word::{ChineseWords, WordTokenizer};
use crate::{Special, TextError, TokenId, Vocab};

/// Turns text into tokens of a fixed vocabulary and tokens into text.
pub trait Tokenizer: ShareTokenizer + Debug + Send + Sync {
    /// The tokens of `text`, without `<bos>` and `<eos>`; what is not in the vocabulary becomes `<unk>`.
    ///
    /// # Errors
    /// When the underlying tokenizer fails.
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError>;

    /// The tokens of a `text` that goes on from another one: those of [`Tokenizer::encode`], where the tokenizer does not
    /// write the beginning of a text otherwise than its middle.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    fn encode_after(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        self.encode(text)
    }

    /// The text of `ids` that go on from others, as [`Tokenizer::encode_after`] has them.
    fn decode_after(&self, ids: &[TokenId]) -> String {
        self.decode(ids)
    }

    /// The text of `ids`; `<pad>`, `<bos>` and `<eos>` write nothing.
    ///
    /// `ids` are of this vocabulary: any other panics or is left out.
    fn decode(&self, ids: &[TokenId]) -> String;

    /// The vocabulary of this tokenizer.
    fn vocab(&self) -> &Vocab;
}

/// How a borrowed tokenizer is kept; every one that can be cloned is.
pub trait ShareTokenizer {
    /// The same tokenizer, owned.
    fn share(&self) -> Arc<dyn Tokenizer>;
}

impl<T: Tokenizer + Clone + 'static> ShareTokenizer for T {
    fn share(&self) -> Arc<dyn Tokenizer> {
        Arc::new(self.clone())
    }
}

/// How text becomes tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenizerConfig {
    /// One user-perceived character (Unicode extended grapheme cluster) a token.
    Char {
        /// Largest number of tokens, the four special ones included; the most frequent are kept. With the default 97 %
        /// of the characters of the shipped verse are known.
        #[serde(default = "default_max_tokens")]
        #[schemars(range(min = 5, max = 1000000))]
        max_tokens: usize,
        /// Characters that occur less often become `<unk>`. By default none is too rare.
        #[serde(default = "default_min_count")]
        #[schemars(range(min = 1))]
        min_count: usize,
    },
    /// One word or punctuation mark a token (Unicode word boundaries); white space is not a token.
    Word {
        /// Largest number of tokens, the four special ones included; the most frequent are kept. With the default 93 %
        /// of the words of the shipped prose are known.
        #[serde(default = "default_max_tokens")]
        #[schemars(range(min = 5, max = 1000000))]
        max_tokens: usize,
        /// Words that occur less often become `<unk>`. By default none is too rare.
        #[serde(default = "default_min_count")]
        #[schemars(range(min = 1))]
        min_count: usize,
        /// Turn capital letters into small ones. By default not, so that text comes back as it was.
        #[serde(default)]
        lowercase: bool,
        /// What a word is in Chinese text. By default every character, which needs no dictionary.
        #[serde(default)]
        chinese: ChineseWords,
    },
    /// One line a token, its line break included: for games and dialogues that say the same few sentences again and again.
    Line {
        /// Largest number of tokens, the four special ones included; the most frequent are kept. The default is that of the
        /// other kinds.
        #[serde(default = "default_max_tokens")]
        #[schemars(range(min = 5, max = 1000000))]
        max_tokens: usize,
        /// Lines that occur less often become `<unk>`. By default none is too rare.
        #[serde(default = "default_min_count")]
        #[schemars(range(min = 1))]
        min_count: usize,
    },
    /// Byte-level byte pair encoding (Sennrich et al. 2016), trained on the text; nothing is unknown.
    Bpe {
        /// Largest number of tokens: 4 special ones, 256 bytes, and merges. The default is that of the other kinds.
        #[serde(default = "default_max_tokens")]
        #[schemars(range(min = 260, max = 1000000))]
        max_tokens: usize,
        /// Pairs that occur less often are not merged. By default a pair must occur twice: one that occurs once saves
        /// nothing elsewhere.
        #[serde(default = "default_min_pair_count")]
        #[schemars(range(min = 1))]
        min_count: usize,
    },
    /// That of a pretrained language model, which is not trained: see [docs/pretrained.md](pretrained.md).
    Pretrained {
        /// The folder of the model, with its `tokenizer.json`; a relative path starts at the experiment file.
        folder: PathBuf,
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
    /// Makes a tokenizer from `texts`; the same texts give the same tokenizer. That of a pretrained model is read instead.
    ///
    /// # Errors
    /// [`TextError::NoTokens`] when the texts hold no token that is frequent enough, [`TextError::MaxTokens`] when the
    /// kind needs a larger vocabulary, [`TextError::NoJieba`], [`TextError::Bpe`] when the library fails, and
    /// [`TextError::TokenizerFile`] when that of a model cannot be read.
    pub fn train(&self, texts: &[&str]) -> Result<TextTokenizer, TextError> {
        Ok(match *self {
            TokenizerConfig::Pretrained { ref folder } => TextTokenizer::Model(ModelTokenizer::load(folder)?),
            TokenizerConfig::Char { max_tokens, min_count } => {
                TextTokenizer::Char(CharTokenizer::train(texts, max_tokens, min_count)?)
            }
            TokenizerConfig::Word { max_tokens, min_count, lowercase, chinese } => {
                TextTokenizer::Word(WordTokenizer::train(texts, max_tokens, min_count, lowercase, chinese)?)
            }
            TokenizerConfig::Line { max_tokens, min_count } => {
                TextTokenizer::Line(LineTokenizer::train(texts, max_tokens, min_count)?)
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
    /// See [`TokenizerConfig::Line`].
    Line(LineTokenizer),
    /// See [`TokenizerConfig::Bpe`].
    Bpe(BpeTokenizer),
    /// See [`TokenizerConfig::Pretrained`].
    Model(ModelTokenizer),
}

/// What the file of a char, word or line tokenizer begins with; a BPE file is that of the `tokenizers` library.
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
    Line(LineTokenizer),
    Pretrained(model::Files),
}

impl TextTokenizer {
    /// The kind, as the configuration names it.
    pub fn kind(&self) -> &'static str {
        match self {
            TextTokenizer::Char(_) => "char",
            TextTokenizer::Word(_) => "word",
            TextTokenizer::Line(_) => "line",
            TextTokenizer::Bpe(_) => "bpe",
            TextTokenizer::Model(_) => "pretrained",
        }
    }

    /// The distinct units of `text` that are not in the vocabulary, in their order.
    pub fn unknown(&self, text: &str) -> Vec<String> {
        match self {
            TextTokenizer::Char(tokenizer) => tokenizer.unknown(text),
            TextTokenizer::Word(tokenizer) => tokenizer.unknown(text),
            TextTokenizer::Line(tokenizer) => tokenizer.unknown(text),
            TextTokenizer::Bpe(tokenizer) => tokenizer.unknown(text),
            TextTokenizer::Model(tokenizer) => tokenizer.unknown(text),
        }
    }

    /// The tokenizer as the content of a file.
    pub fn to_json(&self) -> String {
        let stored = match self {
            TextTokenizer::Char(tokenizer) => Stored::Char(tokenizer.clone()),
            TextTokenizer::Line(tokenizer) => Stored::Line(tokenizer.clone()),
            TextTokenizer::Word(tokenizer) => Stored::Word(tokenizer.clone()),
            TextTokenizer::Model(tokenizer) => Stored::Pretrained(tokenizer.files().clone()),
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
        match value.get("format") {
            Some(format) if format == FORMAT => {
                let version = &value["version"];
                if *version != VERSION {
                    return Err(fault(format!("it is of version {version}; this program reads version {VERSION}")));
                }
                let file: File<Stored> = serde_json::from_value(value).map_err(|error| fault(error.to_string()))?;
                Ok(match file.tokenizer {
                    Stored::Char(tokenizer) => TextTokenizer::Char(tokenizer),
                    Stored::Word(tokenizer) => TextTokenizer::Word(tokenizer),
                    Stored::Line(tokenizer) => TextTokenizer::Line(tokenizer),
                    Stored::Pretrained(files) => TextTokenizer::Model(ModelTokenizer::of(files, origin)?),
                })
            }
            Some(other) => Err(fault(format!("its format is {other}; expected {FORMAT:?}"))),
            None if value.get("model").is_some() => Ok(TextTokenizer::Bpe(BpeTokenizer::from_json(json, origin)?)),
            None => Err(fault(format!(
                "it has neither the key \"format\" of a {FORMAT} file nor the key \"model\" of a tokenizer.json"
            ))),
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
    fn encode_after(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        match self {
            TextTokenizer::Model(tokenizer) => tokenizer.encode_after(text),
            others => others.encode(text),
        }
    }

    fn decode_after(&self, ids: &[TokenId]) -> String {
        match self {
            TextTokenizer::Model(tokenizer) => tokenizer.decode_after(ids),
            others => others.decode(ids),
        }
    }

    fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        match self {
            TextTokenizer::Char(tokenizer) => tokenizer.encode(text),
            TextTokenizer::Word(tokenizer) => tokenizer.encode(text),
            TextTokenizer::Line(tokenizer) => tokenizer.encode(text),
            TextTokenizer::Bpe(tokenizer) => tokenizer.encode(text),
            TextTokenizer::Model(tokenizer) => tokenizer.encode(text),
        }
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        match self {
            TextTokenizer::Char(tokenizer) => tokenizer.decode(ids),
            TextTokenizer::Word(tokenizer) => tokenizer.decode(ids),
            TextTokenizer::Line(tokenizer) => tokenizer.decode(ids),
            TextTokenizer::Bpe(tokenizer) => tokenizer.decode(ids),
            TextTokenizer::Model(tokenizer) => tokenizer.decode(ids),
        }
    }

    fn vocab(&self) -> &Vocab {
        match self {
            TextTokenizer::Char(tokenizer) => tokenizer.vocab(),
            TextTokenizer::Word(tokenizer) => tokenizer.vocab(),
            TextTokenizer::Line(tokenizer) => tokenizer.vocab(),
            TextTokenizer::Bpe(tokenizer) => tokenizer.vocab(),
            TextTokenizer::Model(tokenizer) => tokenizer.vocab(),
        }
    }
}

/// A vocabulary of the most frequent of the `units` of `n_texts` texts; equally frequent ones in the order of their code
/// points.
fn most_frequent<'a>(
    units: impl Iterator<Item = &'a str>,
    n_texts: usize,
    max_tokens: usize,
    min_count: usize,
    kind: &'static str,
) -> Result<Vocab, TextError> {
    let minimum = Special::ALL.len() + 1;
    if max_tokens < minimum {
        return Err(TextError::MaxTokens { kind, found: max_tokens, minimum });
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for unit in units {
        *counts.entry(unit).or_default() += 1;
    }
    let mut counted: Vec<(&str, usize)> = counts.into_iter().filter(|(_, count)| *count >= min_count).collect();
    counted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    counted.truncate(max_tokens - Special::ALL.len());
    match counted.is_empty() {
        true => Err(TextError::NoTokens { kind, n_texts, min_count }),
        false => Vocab::new(counted.into_iter().map(|(unit, _)| unit.to_owned())),
    }
}

fn id_or_unk(vocab: &Vocab, unit: &str) -> TokenId {
    vocab.id(unit).unwrap_or(Special::Unk.id())
}

/// Those `units` that are not in the vocabulary, each once.
fn outside<'a>(vocab: &Vocab, units: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen: HashSet<&str> = HashSet::new();
    units.filter(|unit| vocab.id(unit).is_none() && seen.insert(unit)).map(str::to_owned).collect()
}

/// Whether a token writes nothing.
fn is_silent(id: TokenId) -> bool {
    [Special::Pad.id(), Special::Bos.id(), Special::Eos.id()].contains(&id)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    const TEXTS: [&str; 3] = ["the cat saw the dog, and ran.", "你好，世界！你好吗", "caf\u{e9} 👩‍👩‍👧 don't 3.14"];

    fn configs() -> [TokenizerConfig; 3] {
        [
            TokenizerConfig::Char { max_tokens: 500, min_count: 1 },
            TokenizerConfig::Word { max_tokens: 500, min_count: 1, lowercase: false, chinese: ChineseWords::Character },
            TokenizerConfig::Bpe { max_tokens: 300, min_count: 2 },
        ]
    }

    fn trained() -> [TextTokenizer; 3] {
        configs().map(|config| config.train(&TEXTS).unwrap())
    }

    #[test]
    fn files_hold_the_whole_tokenizer() {
        let folder = tempfile::tempdir().unwrap();
        for tokenizer in trained() {
            let path = folder.path().join("tokenizer.json");
            tokenizer.save(&path).unwrap();
            let loaded = TextTokenizer::load(&path).unwrap();
            assert_eq!((loaded.kind(), loaded.to_json()), (tokenizer.kind(), tokenizer.to_json()));
            for text in TEXTS {
                assert_eq!(loaded.encode(text).unwrap(), tokenizer.encode(text).unwrap());
            }
        }
        let lost = folder.path().join("none").join("tokenizer.json");
        let written = trained()[0].save(&lost).unwrap_err().to_string();
        assert!(written.starts_with(&format!("cannot write the tokenizer {}: ", lost.display())), "{written}");
        let read = TextTokenizer::load(&lost).unwrap_err().to_string();
        assert!(read.starts_with(&format!("cannot read the tokenizer {}: ", lost.display())), "{read}");
    }

    #[test]
    fn settings_of_words_are_in_the_file() {
        let config =
            TokenizerConfig::Word { max_tokens: 9, min_count: 1, lowercase: true, chinese: ChineseWords::Character };
        let tokenizer = config.train(&["Cat"]).unwrap();
        let loaded = TextTokenizer::from_json(&tokenizer.to_json(), "t.json").unwrap();
        assert_eq!(loaded.encode("CAT cat").unwrap(), [TokenId(4); 2]);
    }

    #[test]
    fn training_twice_gives_the_same_tokenizer() {
        assert_eq!(trained().map(|tokenizer| tokenizer.to_json()), trained().map(|tokenizer| tokenizer.to_json()));
    }

    #[test]
    fn known_text_comes_back() {
        for tokenizer in trained() {
            for text in TEXTS {
                assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()), text, "{}", tokenizer.kind());
                assert!(tokenizer.unknown(text).is_empty());
            }
        }
    }

    #[test]
    fn unknown_units_are_listed_once_and_in_order() {
        let [char, word, bpe] = trained();
        assert_eq!(char.unknown("z你x, z"), ["z", "x"]);
        assert_eq!(word.unknown("zebra 你们 the cow zebra"), ["zebra", "们", "cow"]);
        assert!(bpe.unknown("zebra 你们").is_empty());
    }

    #[test]
    fn files_of_other_kinds_are_refused() {
        fn check(json: &str, expected: &str) {
            let error = TextTokenizer::from_json(json, "t.json").unwrap_err().to_string();
            assert!(error.starts_with("cannot read the tokenizer t.json: ") && error.contains(expected), "{error}");
        }
        check("{", "line 1");
        check("[]", "neither the key");
        check(r#"{"format": "other"}"#, "its format is \"other\"; expected \"dqn-tokenizer\"");
        check(r#"{"format": "dqn-tokenizer"}"#, "it is of version null; this program reads version 1");
        check(r#"{"format": "dqn-tokenizer", "version": 9}"#, "version 9");
        check(r#"{"format": "dqn-tokenizer", "version": 1, "tokenizer": {"kind": "char", "vocab": ["a"]}}"#, "<pad>");
        let known = r#"["<pad>", "<unk>", "<bos>", "<eos>", "a"]"#;
        let more = format!(
            r#"{{"format": "dqn-tokenizer", "version": 1, "tokenizer": {{"kind": "char", "vocab": {known}, "x": 1}}}}"#
        );
        check(&more, "unknown field `x`");
        check(r#"{"model": {"type": "BPE"}}"#, "");
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let read = |json: &str| serde_json::from_str::<TokenizerConfig>(json);
        assert_eq!(read(r#"{"kind": "char"}"#).unwrap(), TokenizerConfig::Char { max_tokens: 2000, min_count: 1 });
        assert_eq!(read(r#"{"kind": "bpe"}"#).unwrap(), TokenizerConfig::Bpe { max_tokens: 2000, min_count: 2 });
        assert!(read(r#"{"kind": "char", "lowercase": true}"#).is_err());
    }

    proptest! {
        #[test]
        fn any_string_can_be_encoded(text: String) {
            static TRAINED: LazyLock<[TextTokenizer; 3]> = LazyLock::new(trained);
            for tokenizer in &*TRAINED {
                let ids = tokenizer.encode(&text).unwrap();
                prop_assert!(ids.iter().all(|id| id.index() < tokenizer.vocab().len()));
                // Without unknown units the text, of which words drop the white space, comes back.
                if tokenizer.unknown(&text).is_empty() {
                    prop_assert!(!ids.contains(&Special::Unk.id()));
                    prop_assert_eq!(tokenizer.encode(&tokenizer.decode(&ids)).unwrap(), ids);
                } else {
                    prop_assert!(ids.contains(&Special::Unk.id()));
                }
            }
        }
    }
}
