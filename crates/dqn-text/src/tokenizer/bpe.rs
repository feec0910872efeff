//! Byte pair encoding, through the `tokenizers` library.

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, NormalizerWrapper, Tokenizer as HubTokenizer, TokenizerImpl};

use super::{Tokenizer, is_silent};
use crate::{Special, TextError, TokenId, Vocab};

/// The smallest vocabulary: the special tokens and the 256 bytes.
const MIN_TOKENS: usize = Special::ALL.len() + 256;

/// Byte-level byte pair encoding; its file is a `tokenizer.json` of the `tokenizers` library.
///
/// Text that reads like a special token (`<eos>`) is text: it becomes bytes, never the special token.
#[derive(Clone, Debug)]
pub struct BpeTokenizer {
    inner: Box<HubTokenizer>,
    vocab: Vocab,
}

impl BpeTokenizer {
    pub(super) fn train(texts: &[&str], max_tokens: usize, min_count: usize) -> Result<Self, TextError> {
        if max_tokens < MIN_TOKENS {
            return Err(TextError::MaxTokens { kind: "bpe", found: max_tokens, minimum: MIN_TOKENS });
        }
        if texts.iter().all(|text| text.is_empty()) {
            return Err(TextError::NoTokens { kind: "bpe", n_texts: texts.len(), min_count: 1 });
        }
        let specials = Special::ALL.map(|special| AddedToken::from(special.text(), true)).to_vec();
        let mut trainer = BpeTrainerBuilder::new()
            .vocab_size(max_tokens)
            .min_frequency(min_count as u64)
            .show_progress(false)
            .special_tokens(specials)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut tokenizer =
            TokenizerImpl::<BPE, NormalizerWrapper, ByteLevel, ByteLevel, ByteLevel>::new(BPE::default());
        tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        tokenizer.with_decoder(Some(ByteLevel::default()));
        let fault = |error: tokenizers::Error| TextError::Bpe { message: error.to_string() };
        tokenizer.train(&mut trainer, texts.iter()).map_err(fault)?;
        Self::from_json(&tokenizer.to_string(false).map_err(fault)?, "just trained")
    }

    pub(super) fn to_json(&self) -> String {
        self.inner.to_string(true).expect("a tokenizer that was read can be written")
    }

    /// Reads a `tokenizer.json`. Padding and truncation that it may ask for are left out: texts are encoded whole.
    pub(super) fn from_json(json: &str, origin: &str) -> Result<Self, TextError> {
        let fault = |message: String| TextError::TokenizerFile { action: "read", origin: origin.to_owned(), message };
        let mut inner: HubTokenizer = json.parse().map_err(|error: tokenizers::Error| fault(error.to_string()))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| fault(error.to_string()))?;
        inner.set_encode_special_tokens(true);
        let mut tokens: Vec<(String, u32)> = inner.get_vocab(true).into_iter().collect();
        tokens.sort_by_key(|(_, id)| *id);
        if let Some((place, (token, id))) = tokens.iter().enumerate().find(|(place, (_, id))| *place != *id as usize) {
            return Err(fault(format!("its ids have a gap: token {token:?} has id {id}, expected {place}")));
        }
        let vocab =
            Vocab::try_from(tokens.into_iter().map(|(token, _)| token).collect::<Vec<_>>()).map_err(|error| {
                let needed = Special::ALL.map(Special::text).join(", ");
                fault(format!("{error}; a tokenizer.json can be used when its ids 0 to 3 are {needed}"))
            })?;
        Ok(Self { inner: Box::new(inner), vocab })
    }

    /// The stretches of text that become `<unk>`: none where the bytes are tokens, as in everything trained here.
    ///
    /// Empty as well for text that cannot be encoded at all, which `encode` reports.
    pub(super) fn unknown(&self, text: &str) -> Vec<String> {
        let Ok(encoding) = self.inner.encode(text, false) else { return Vec::new() };
        let mut unknown: Vec<String> = Vec::new();
        for (&id, &(start, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            let unit = text.get(start..end).unwrap_or(text);
            if TokenId(id) == Special::Unk.id() && !unknown.iter().any(|known| known == unit) {
                unknown.push(unit.to_owned());
            }
        }
        unknown
    }
}

impl Tokenizer for BpeTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        let encoding =
            self.inner.encode_fast(text, false).map_err(|error| TextError::Bpe { message: error.to_string() })?;
        Ok(encoding.get_ids().iter().copied().map(TokenId).collect())
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        let ids: Vec<u32> = ids.iter().filter(|&&id| !is_silent(id)).map(|id| id.0).collect();
        // Only the decoder of a foreign file can fail; the tokens then stand as they are in the vocabulary.
        let as_they_are = |_| ids.iter().map(|&id| self.vocab.token(TokenId(id))).collect();
        self.inner.decode(&ids, false).unwrap_or_else(as_they_are)
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frequent_pairs_become_tokens_and_specials_keep_their_ids() {
        let tokenizer = BpeTokenizer::train(&["aab aab aab", "aab"], 300, 2).unwrap();
        for special in Special::ALL {
            assert_eq!(tokenizer.vocab().id(special.text()), Some(special.id()));
        }
        // By hand: "aab" occurs 4 times, twice after a space (written Ġ); "ab" is as frequent as "aa" and comes later.
        let merges: Vec<&str> = tokenizer.vocab().iter().skip(MIN_TOKENS).map(|(_, token)| token).collect();
        assert_eq!(merges, ["aa", "aab", "Ġaab"]);
        assert_eq!(tokenizer.encode("aab aab").unwrap(), [261, 262].map(TokenId));
    }

    #[test]
    fn a_file_of_other_specials_is_refused() {
        let json = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": null, "post_processor": null, "decoder": null,
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}"#;
        assert_eq!(
            BpeTokenizer::from_json(json, "x.json").unwrap_err().to_string(),
            "cannot read the tokenizer x.json: token 0 of the vocabulary is \"a\"; it must be \"<pad>\"; a \
             tokenizer.json can be used when its ids 0 to 3 are <pad>, <unk>, <bos>, <eos>"
        );
        let error = BpeTokenizer::from_json(&json.replace("\"b\": 1", "\"b\": 7"), "x.json").unwrap_err().to_string();
        assert!(error.contains("token \"b\" has id 7, expected 1"), "{error}");
    }

    #[test]
    fn a_foreign_file_is_used_without_padding_and_tells_what_it_does_not_know() {
        let json = r#"{"version": "1.0", "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"},
            "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
            "model": {"type": "BPE", "unk_token": "<unk>", "merges": [["a", "b"]],
                "vocab": {"<pad>": 0, "<unk>": 1, "<bos>": 2, "<eos>": 3, "a": 4, "b": 5, "ab": 6}}}"#;
        let tokenizer = BpeTokenizer::from_json(json, "x.json").unwrap();
        assert_eq!(tokenizer.encode("aba你b好你").unwrap(), [6, 4, 1, 5, 1, 1].map(TokenId));
        assert_eq!(tokenizer.unknown("aba你b好你"), ["你", "好"]);
        assert_eq!(tokenizer.decode(&[6, 0, 1, 3].map(TokenId)), "ab<unk>");
    }

    #[test]
    fn too_little_to_learn_from_is_refused() {
        assert!(matches!(
            BpeTokenizer::train(&["", ""], 300, 2),
            Err(TextError::NoTokens { kind: "bpe", n_texts: 2, .. })
        ));
        assert_eq!(
            BpeTokenizer::train(&["ab"], 259, 2).unwrap_err().to_string(),
            "tokenizer.max_tokens = 259: a bpe tokenizer needs at least 260"
        );
    }

    proptest! {
        #[test]
        fn every_text_comes_back_and_nothing_is_unknown(pieces in prop::collection::vec(prop_oneof![any::<String>(), "<(eos|pad|unk|bos)>"], 0..4)) {
            let tokenizer = BpeTokenizer::train(&["the cat saw the dog 你好 你好"], 280, 2).unwrap();
            let text = pieces.concat();
            let ids = tokenizer.encode(&text).unwrap();
            prop_assert_eq!(tokenizer.decode(&ids), text.clone());
            prop_assert!(ids.iter().all(|&id| !tokenizer.vocab().is_special(id)));
            prop_assert!(tokenizer.unknown(&text).is_empty());
        }
    }
}
