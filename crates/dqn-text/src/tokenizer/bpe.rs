//! Byte pair encoding, through the `tokenizers` library.

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as HubTokenizer, TokenizerImpl};

use super::{Tokenizer, is_silent};
use crate::{Special, TextError, TokenId, Vocab};

/// Byte-level byte pair encoding; its file is a `tokenizer.json` of the `tokenizers` library.
#[derive(Clone, Debug)]
pub struct BpeTokenizer {
    inner: HubTokenizer,
    vocab: Vocab,
}

impl BpeTokenizer {
    pub(super) fn train(texts: &[&str], max_tokens: usize, min_count: usize) -> Result<Self, TextError> {
        let specials = Special::ALL.map(|special| AddedToken::from(special.text(), true)).to_vec();
        let mut trainer = BpeTrainerBuilder::new()
            .vocab_size(max_tokens)
            .min_frequency(min_count as u64)
            .show_progress(false)
            .special_tokens(specials)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let byte_level = ByteLevel::new(false, true, true);
        let mut tokenizer = TokenizerImpl::<BPE, tokenizers::NormalizerWrapper, ByteLevel, ByteLevel, ByteLevel>::new(BPE::default());
        tokenizer.with_pre_tokenizer(Some(byte_level));
        tokenizer.with_decoder(Some(byte_level));
        tokenizer.with_post_processor(Some(byte_level));
        tokenizer.train(&mut trainer, texts.iter()).map_err(|error| TextError::Bpe { message: error.to_string() })?;
        let json = tokenizer.to_string(true).map_err(|error| TextError::Bpe { message: error.to_string() })?;
        Self::from_json(&json, "the trained tokenizer")
    }

    pub(super) fn to_json(&self) -> String {
        self.inner.to_string(true).expect("a tokenizer that was read can be written")
    }

    pub(super) fn from_json(json: &str, origin: &str) -> Result<Self, TextError> {
        let fault = |message: String| TextError::TokenizerFile { action: "read", origin: origin.to_owned(), message };
        let inner: HubTokenizer = json.parse().map_err(|error: tokenizers::Error| fault(error.to_string()))?;
        let mut tokens: Vec<(String, u32)> = inner.get_vocab(true).into_iter().collect();
        tokens.sort_by_key(|(_, id)| *id);
        if let Some((place, (token, id))) = tokens.iter().enumerate().find(|(place, (_, id))| *place != *id as usize) {
            return Err(fault(format!("its ids have a gap: token {token:?} has id {id}, expected {place}")));
        }
        let vocab = Vocab::try_from(tokens.into_iter().map(|(token, _)| token).collect::<Vec<_>>())
            .map_err(|error| fault(error.to_string()))?;
        Ok(Self { inner, vocab })
    }
}

impl Tokenizer for BpeTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        let encoding = self.inner.encode(text, false).map_err(|error| TextError::Bpe { message: error.to_string() })?;
        Ok(encoding.get_ids().iter().copied().map(TokenId).collect())
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        let ids: Vec<u32> = ids.iter().filter(|&&id| !is_silent(id)).map(|id| id.0).collect();
        // Bytes that do not make a character are written as the replacement character by the library.
        self.inner.decode(&ids, false).unwrap_or_default()
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_pairs_become_tokens_and_specials_keep_their_ids() {
        let tokenizer = BpeTokenizer::train(&["aab aab aab", "aab"], 300, 2).unwrap();
        for special in Special::ALL {
            assert_eq!(tokenizer.vocab().id(special.text()), Some(special.id()));
        }
        assert!(tokenizer.vocab().id("aab").is_some());
        assert!(tokenizer.encode("aab").unwrap().len() < 3);
        let text = "aab 你好 👩‍👩‍👧";
        assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()), text);
    }

    #[test]
    fn a_foreign_file_without_our_specials_is_refused() {
        let json = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": null, "post_processor": null, "decoder": null,
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}"#;
        let error = BpeTokenizer::from_json(json, "x.json").unwrap_err().to_string();
        assert!(error.contains("x.json") && error.contains("<pad>"), "{error}");
    }
}
