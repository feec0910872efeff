//! The tokenizer of a pretrained model over a vocabulary of this program.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pretrained::PretrainedTokenizer;
use super::{Tokenizer, is_silent};
use crate::{Special, TextError, TokenId, Vocab};

/// What a text is encoded and decoded after, to see how it is written when it does not begin a text: tokenizers in use do
/// not merge over it.
const ANCHOR: &str = "\n";

/// A [`PretrainedTokenizer`] whose tokens are numbered as everywhere in this program: the four special tokens first, then
/// all others in the order of the model's ids.
///
/// `<bos>`, `<eos>` and `<unk>` are the model's own; `<bos>` is its `<eos>` where it has none, as in GPT-2. `<pad>` stands
/// for any token of the model. The file of a run holds it whole, so that a run is opened without the folder.
#[derive(Clone, Debug)]
pub struct ModelTokenizer {
    files: Arc<Files>,
    inner: PretrainedTokenizer,
    vocab: Vocab,
    /// For each token its id in the model.
    model_ids: Vec<TokenId>,
    /// For each id of the model the token; `<unk>` where there is none.
    own_ids: Vec<TokenId>,
    /// The model's tokens of [`ANCHOR`] alone, where it is needed: where a beginning is written otherwise.
    anchor: Option<Vec<TokenId>>,
}

/// The content of the files that it was read from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Files {
    /// `tokenizer.json`.
    pub(super) tokenizer: String,
    /// `tokenizer_config.json`.
    pub(super) settings: Option<String>,
    /// `config.json` of the model.
    pub(super) config: Option<String>,
}

impl ModelTokenizer {
    /// Reads the tokenizer of the model in `folder`.
    ///
    /// # Errors
    /// [`TextError::TokenizerFile`] when a file cannot be read or no token ends texts.
    pub fn load(folder: &Path) -> Result<Self, TextError> {
        let (tokenizer, settings, config) = PretrainedTokenizer::contents(folder)?;
        Self::of(Files { tokenizer, settings, config }, &folder.display().to_string())
    }

    pub(super) fn of(files: Files, origin: &str) -> Result<Self, TextError> {
        let fault = |message: String| TextError::TokenizerFile { action: "read", origin: origin.to_owned(), message };
        let inner = PretrainedTokenizer::from_json(&files.tokenizer, files.settings.as_deref(), origin)?;
        let config: Option<serde_json::Value> = files
            .config
            .as_deref()
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| fault(format!("config.json beside it: {error}")))?;
        let configured = |key: &str| {
            let value = config.as_ref()?.get(key)?;
            let id = value.as_u64().or_else(|| value.as_array()?.first()?.as_u64())?;
            u32::try_from(id).ok().map(TokenId)
        };
        let eos = configured("eos_token_id").or(inner.eos());
        let eos = eos.ok_or_else(|| fault("neither it nor config.json names the token that ends texts".to_owned()))?;
        let bos = configured("bos_token_id").or(inner.bos()).unwrap_or(eos);
        let unk = inner.unk().unwrap_or(eos);
        let mut model_ids = vec![eos, unk, bos, eos];
        let mut names = Vec::new();
        let mut own_ids = vec![Special::Unk.id(); inner.n_tokens().max(eos.index().max(bos.index()) + 1)];
        for id in (0..inner.n_tokens() as u32).map(TokenId) {
            let Some(name) = inner.token(id).filter(|_| ![unk, bos, eos].contains(&id)) else { continue };
            own_ids[id.index()] = TokenId(model_ids.len() as u32);
            model_ids.push(id);
            // A token of the model's own that is written like one of the four stays another token.
            let is_taken = Special::ALL.iter().any(|special| special.text() == name);
            names.push(if is_taken { format!("{name}#{}", id.0) } else { name });
        }
        // In this order: where one token has several of these tasks it ends texts.
        own_ids[unk.index()] = Special::Unk.id();
        own_ids[bos.index()] = Special::Bos.id();
        own_ids[eos.index()] = Special::Eos.id();
        let vocab = Vocab::new(names)?;
        let mut tokenizer = Self { files: Arc::new(files), inner, vocab, model_ids, own_ids, anchor: None };
        let anchor = tokenizer.inner.encode_bare(ANCHOR)?;
        let after = tokenizer.inner.encode_bare(&format!("{ANCHOR}a"))?;
        if after.strip_prefix(anchor.as_slice()) != Some(&tokenizer.inner.encode_bare("a")?) {
            tokenizer.anchor = Some(anchor);
        }
        Ok(tokenizer)
    }

    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// For each token of the vocabulary its id in the model.
    pub fn model_ids(&self) -> &[TokenId] {
        &self.model_ids
    }

    /// The distinct characters of `text` that the model has no tokens for.
    pub fn unknown(&self, text: &str) -> Vec<String> {
        let is_unknown =
            |character: &String| self.encode_after(character).is_ok_and(|tokens| tokens.contains(&Special::Unk.id()));
        let mut seen = Vec::new();
        for character in text.chars().map(String::from) {
            if !seen.contains(&character) {
                seen.push(character);
            }
        }
        if self.encode(text).is_ok_and(|tokens| !tokens.contains(&Special::Unk.id())) {
            return Vec::new();
        }
        seen.retain(is_unknown);
        seen
    }

    fn own(&self, ids: &[TokenId]) -> Vec<TokenId> {
        ids.iter().map(|id| self.own_ids.get(id.index()).copied().unwrap_or(Special::Unk.id())).collect()
    }

    fn in_model(&self, ids: &[TokenId]) -> Vec<TokenId> {
        ids.iter().filter(|&&id| !is_silent(id)).map(|id| self.model_ids[id.index()]).collect()
    }
}

impl Tokenizer for ModelTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        Ok(self.own(&self.inner.encode_bare(text)?))
    }

    fn encode_after(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        let Some(anchor) = &self.anchor else { return self.encode(text) };
        let whole = self.inner.encode_bare(&format!("{ANCHOR}{text}"))?;
        match whole.strip_prefix(anchor.as_slice()) {
            Some(ids) => Ok(self.own(ids)),
            None => self.encode(text),
        }
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        self.inner.decode(&self.in_model(ids))
    }

    fn decode_after(&self, ids: &[TokenId]) -> String {
        let Some(anchor) = &self.anchor else { return self.decode(ids) };
        let shown = self.inner.decode(anchor);
        let whole = self.inner.decode(&[anchor.as_slice(), &self.in_model(ids)].concat());
        match whole.strip_prefix(&shown) {
            Some(text) => text.to_owned(),
            None => self.decode(ids),
        }
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }
}

#[cfg(test)]
mod tests {
    use super::super::TextTokenizer;
    use super::super::pretrained::tests::{SETTINGS_WITH_BYTES, json_with_bytes};
    use super::*;

    fn llama() -> ModelTokenizer {
        let settings = Some(SETTINGS_WITH_BYTES.to_owned());
        ModelTokenizer::of(Files { tokenizer: json_with_bytes(), settings, config: None }, "x").unwrap()
    }

    #[test]
    fn the_four_special_tokens_come_first_and_are_the_models_own() {
        let tokenizer = llama();
        // Of the model: 0 <unk>, 1 <s>, 2 </s>, then 3 ▁, 4 a, 5 b, 6 ▁a, 7 ▁ab, 8 ab and the bytes.
        assert_eq!(tokenizer.model_ids()[..7], [2, 0, 1, 2, 3, 4, 5].map(TokenId));
        assert_eq!(tokenizer.vocab().len(), 265 - 3 + 4);
        assert_eq!(tokenizer.encode("ab a").unwrap(), [8, 7].map(TokenId));
        assert_eq!(tokenizer.vocab().token(TokenId(8)), "▁ab");
        for (own, &id) in tokenizer.model_ids().iter().enumerate().skip(1) {
            assert_eq!(tokenizer.own(&[id]), [TokenId(own as u32)]);
        }
    }

    #[test]
    fn a_text_that_goes_on_is_written_and_read_without_the_space_of_a_beginning() {
        let tokenizer = llama();
        let [prompt, response] = ["ab", " a b"];
        let ids = [tokenizer.encode(prompt).unwrap(), tokenizer.encode_after(response).unwrap()];
        assert_eq!(ids.concat(), tokenizer.encode("ab a b").unwrap());
        assert_eq!(tokenizer.decode(&ids.concat()), "ab a b");
        assert_eq!(tokenizer.decode_after(&ids[1]), response);
        assert_eq!(tokenizer.decode(&ids[1]), "a b", "alone it begins a text");
        // Half a character is no text; both halves are, and <bos> and <eos> write nothing.
        let accent = tokenizer.encode_after("é").unwrap();
        assert_eq!(accent.len(), 2);
        let framed = [&[Special::Bos.id()], accent.as_slice(), &[Special::Eos.id()]].concat();
        assert_eq!(tokenizer.decode_after(&framed), "é");
    }

    #[test]
    fn the_file_of_a_run_holds_it_whole() {
        let tokenizer = TextTokenizer::Model(llama());
        let read = TextTokenizer::from_json(&tokenizer.to_json(), "run").unwrap();
        assert_eq!((read.kind(), read.vocab()), ("pretrained", tokenizer.vocab()));
        assert_eq!(read.encode("ab é").unwrap(), tokenizer.encode("ab é").unwrap());
    }

    #[test]
    fn without_a_beginning_the_end_of_texts_begins_them() {
        let settings = Some(r#"{"eos_token": "</s>"}"#.to_owned());
        let tokenizer =
            ModelTokenizer::of(Files { tokenizer: json_with_bytes(), settings, config: None }, "x").unwrap();
        assert_eq!(tokenizer.model_ids()[..4], [2, 0, 2, 2].map(TokenId));
        let named = Some(r#"{"bos_token_id": 1, "eos_token_id": [4, 5]}"#.to_owned());
        let files = Files { tokenizer: json_with_bytes(), settings: None, config: named };
        assert_eq!(ModelTokenizer::of(files, "x").unwrap().model_ids()[..4], [4, 0, 1, 4].map(TokenId));
        let error = ModelTokenizer::of(Files { tokenizer: json_with_bytes(), settings: None, config: None }, "x");
        assert!(error.unwrap_err().to_string().contains("ends texts"));
    }
}
