//! Tokenizers of pretrained models, as they lie beside them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use tokenizers::{ModelWrapper, Tokenizer as HubTokenizer};

use crate::{TextError, TokenId};

/// The file of a folder that holds its tokenizer.
const TOKENIZER: &str = "tokenizer.json";
/// The file that may name its special tokens.
const SETTINGS: &str = "tokenizer_config.json";
/// The file of the model's configuration, which may name them too.
const MODEL: &str = "config.json";
/// Longest file: the largest that are in use have some 30 MB.
const MAX_BYTES: u64 = 256 << 20;

/// The tokenizer of a pretrained model: any that the `tokenizers` library reads from a `tokenizer.json`.
///
/// Its ids are the model's, so that it has no [`crate::Vocab`] with the special tokens of this program in front.
#[derive(Clone, Debug)]
pub struct PretrainedTokenizer {
    inner: Box<HubTokenizer>,
    n_tokens: usize,
    bos: Option<TokenId>,
    eos: Option<TokenId>,
    unk: Option<TokenId>,
}

/// The contents of a tokenizer's file, of that of its settings, and of the model's configuration.
type Contents = (String, Option<String>, Option<String>);

impl PretrainedTokenizer {
    /// Reads `tokenizer.json` in `folder` and, where it is there, the names of special tokens in `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`TextError::TokenizerFile`] when a file cannot be read or is none of these.
    pub fn load(folder: &Path) -> Result<Self, TextError> {
        let (json, settings, _) = Self::contents(folder)?;
        Self::from_json(&json, settings.as_deref(), &folder.join(TOKENIZER).display().to_string())
    }

    /// What the files in `folder` hold that tell of its tokenizer.
    pub(super) fn contents(folder: &Path) -> Result<Contents, TextError> {
        let optional = |name: &str| {
            let path = folder.join(name);
            if path.is_file() { text_of(&path).map(Some) } else { Ok(None) }
        };
        Ok((text_of(&folder.join(TOKENIZER))?, optional(SETTINGS)?, optional(MODEL)?))
    }

    /// Reads the content of a `tokenizer.json` and of a `tokenizer_config.json`; `origin` names the first in errors.
    ///
    /// Padding and truncation that it may ask for are left out: texts are encoded whole.
    ///
    /// # Errors
    /// [`TextError::TokenizerFile`].
    pub fn from_json(json: &str, settings: Option<&str>, origin: &str) -> Result<Self, TextError> {
        let fault = |message: String| TextError::TokenizerFile { action: "read", origin: origin.to_owned(), message };
        let mut inner: HubTokenizer = json.parse().map_err(|error: tokenizers::Error| fault(error.to_string()))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| fault(error.to_string()))?;
        let highest = inner.get_vocab(true).into_values().max();
        let highest = highest.ok_or_else(|| fault("it has no tokens".to_owned()))?;
        let settings = settings.map(serde_json::from_str::<Value>).transpose();
        let settings = settings.map_err(|error| fault(format!("{SETTINGS} beside it: {error}")))?.unwrap_or_default();
        let named = |key: &str| {
            // A name, or an object that holds it.
            let value = &settings[key];
            let name = value.as_str().or_else(|| value["content"].as_str());
            name.and_then(|name| inner.token_to_id(name)).map(TokenId)
        };
        let (bos, eos) = (named("bos_token"), named("eos_token"));
        let of_model = serde_json::from_str::<Value>(json).ok().and_then(|json| {
            let name = json["model"]["unk_token"].as_str()?;
            inner.token_to_id(name).map(TokenId)
        });
        let unk = named("unk_token").or(of_model);
        Ok(Self { inner: Box::new(inner), n_tokens: highest as usize + 1, bos, eos, unk })
    }

    /// How text is divided, as the `tokenizers` library names it.
    pub fn kind(&self) -> &'static str {
        match self.inner.get_model() {
            ModelWrapper::BPE(_) => "BPE",
            ModelWrapper::WordPiece(_) => "WordPiece",
            ModelWrapper::WordLevel(_) => "WordLevel",
            ModelWrapper::Unigram(_) => "Unigram",
        }
    }

    /// One more than the highest id.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// The token that begins texts, where the files name one.
    pub fn bos(&self) -> Option<TokenId> {
        self.bos
    }

    /// The token that ends texts, where the files name one.
    pub fn eos(&self) -> Option<TokenId> {
        self.eos
    }

    /// The token that stands for what is none, where the files name one.
    pub fn unk(&self) -> Option<TokenId> {
        self.unk
    }

    /// The tokens of `text`, with the special ones that the tokenizer puts around a text.
    ///
    /// # Errors
    /// [`TextError::Bpe`] when the library fails.
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        self.encoded(text, true)
    }

    /// The tokens of `text` alone, such as one that goes on from another.
    ///
    /// # Errors
    /// [`TextError::Bpe`] when the library fails.
    pub fn encode_bare(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        self.encoded(text, false)
    }

    fn encoded(&self, text: &str, with_specials: bool) -> Result<Vec<TokenId>, TextError> {
        let encoding = self.inner.encode_fast(text, with_specials);
        let encoding = encoding.map_err(|error| TextError::Bpe { message: error.to_string() })?;
        Ok(encoding.get_ids().iter().copied().map(TokenId).collect())
    }

    /// The text of `ids`; special tokens write nothing, and ids of no token are left out.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        let ids: Vec<u32> = ids.iter().map(|id| id.0).collect();
        // Only the decoder of an odd file can fail; the tokens then stand as they are in the vocabulary.
        let as_they_are = |_| ids.iter().filter_map(|&id| self.inner.id_to_token(id)).collect();
        self.inner.decode(&ids, true).unwrap_or_else(as_they_are)
    }

    /// How a token is written in the vocabulary.
    pub fn token(&self, id: TokenId) -> Option<String> {
        self.inner.id_to_token(id.0)
    }
}

fn text_of(path: &Path) -> Result<String, TextError> {
    let fault =
        |message: String| TextError::TokenizerFile { action: "read", origin: path.display().to_string(), message };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| fault(error.to_string()))?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| fault(error.to_string()))?;
    match text.len() as u64 > MAX_BYTES {
        true => Err(fault(format!("it has more than {MAX_BYTES} bytes"))),
        false => Ok(text),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A tokenizer as Llama has it: words begin with a bar, and what is no token is written in bytes.
    pub(in crate::tokenizer) fn with_bytes() -> PretrainedTokenizer {
        PretrainedTokenizer::from_json(&json_with_bytes(), Some(SETTINGS_WITH_BYTES), "x/tokenizer.json").unwrap()
    }

    pub(in crate::tokenizer) const SETTINGS_WITH_BYTES: &str =
        r#"{"bos_token": "<s>", "eos_token": {"content": "</s>"}}"#;

    pub(in crate::tokenizer) fn json_with_bytes() -> String {
        let words = ["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "▁ab", "ab"];
        let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
        let tokens = words.into_iter().map(str::to_owned).chain(bytes);
        let vocab: serde_json::Map<String, Value> =
            tokens.zip(0..).map(|(token, id)| (token, Value::from(id))).collect();
        let special = |id: u32, content: &str| {
            serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        };
        let json = serde_json::json!({
            "version": "1.0", "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
            "padding": null, "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
            "pre_tokenizer": null,
            "post_processor": {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
            "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
            "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "fuse_unk": true, "vocab": vocab,
                "merges": [["▁", "a"], ["▁a", "b"], ["a", "b"]]},
        });
        json.to_string()
    }

    #[test]
    fn special_tokens_are_named_put_in_front_and_written_as_nothing() {
        let tokenizer = with_bytes();
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(TokenId(1)), Some(TokenId(2))));
        assert_eq!((tokenizer.kind(), tokenizer.n_tokens()), ("BPE", 265));
        let ids = [1, 7, 6, 3, 5].map(TokenId);
        assert_eq!(tokenizer.encode("ab a b").unwrap(), ids);
        assert_eq!(tokenizer.encode_bare("ab a b").unwrap(), ids[1..]);
        assert_eq!(tokenizer.decode(&ids), "ab a b");
        assert_eq!(tokenizer.decode(&[TokenId(7), TokenId(2), TokenId(999)]), "ab");
        // By hand: é is the bytes C3 A9, and bytes begin at id 9.
        assert_eq!(tokenizer.encode_bare("é").unwrap(), [3, 9 + 0xC3, 9 + 0xA9].map(TokenId));
        assert_eq!(tokenizer.token(TokenId(7)).as_deref(), Some("▁ab"));
    }

    #[test]
    fn what_is_no_tokenizer_is_refused_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = PretrainedTokenizer::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json") && error.contains("cannot read"), "{error}");
        std::fs::write(folder.path().join("tokenizer.json"), "{\"model\": 3}").unwrap();
        assert!(PretrainedTokenizer::load(folder.path()).is_err());
        let empty = r#"{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}"#;
        let error = PretrainedTokenizer::from_json(empty, None, "x.json").unwrap_err().to_string();
        assert_eq!(error, "cannot read the tokenizer x.json: it has no tokens");
    }
}
