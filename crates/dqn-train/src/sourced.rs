//! Tasks whose texts are about sources: what is given, and what people wrote about it.

use std::collections::HashMap;
use std::sync::Arc;

use dqn_env::TranslationConfig;
use dqn_mdp::{Prompt, Source, SourceId, SourceKind, Sources};
use dqn_text::parallel::{DividedPairs, Pair};
use dqn_text::split::Split;
use dqn_text::tokenizer::{TextTokenizer, TokenizerConfig};
use dqn_text::{Special, TokenId, Tokenizer};

use crate::TrainError;
use crate::text::{Prompts, TextData};

/// The sources of a task, dealt out with the texts about them.
pub(crate) struct Sourced {
    /// All sources.
    pub(crate) sources: Arc<Sources>,
    /// What reads a source that a person gives.
    pub(crate) reader: SourceReading,
    /// The texts, and what makes tokens of them.
    pub(crate) text: TextData,
    /// The starts of each part, one for each distinct source.
    pub(crate) prompts: HashMap<Split, Prompts>,
}

/// How a source becomes what the network reads.
#[derive(Clone, Debug)]
pub(crate) enum SourceReading {
    /// A sentence, of which so many tokens are read.
    Text { tokenizer: TextTokenizer, max_tokens: usize, lowercase: bool },
}

impl SourceReading {
    /// What must be the same for two networks to read the same in a source.
    pub(crate) fn meaning(&self) -> String {
        let SourceReading::Text { tokenizer, .. } = self;
        tokenizer.to_json()
    }

    /// The source of a sentence.
    ///
    /// # Errors
    /// When it has no tokens or cannot be encoded.
    pub(crate) fn sentence(&self, text: &str) -> Result<Source, TrainError> {
        let SourceReading::Text { tokenizer, max_tokens, lowercase } = self;
        let lowered = lowercase.then(|| text.to_lowercase());
        let mut tokens = tokenizer.encode(lowered.as_deref().unwrap_or(text).trim())?;
        if tokens.is_empty() {
            return Err(TrainError::EmptySource { text: text.to_owned() });
        }
        tokens.truncate(*max_tokens);
        Ok(Source::Tokens(tokens))
    }
}

impl Sourced {
    /// The pairs of a translation task.
    ///
    /// `target` makes tokens of translations and is made from those of the training part, unless `tokenizer` is given.
    ///
    /// # Errors
    /// When the pairs cannot be read, divided or encoded.
    pub(crate) fn translation(
        config: &TranslationConfig,
        target: &TokenizerConfig,
        tokenizer: Option<TextTokenizer>,
    ) -> Result<Self, TrainError> {
        let DividedPairs { training, validation, test, n_left_out } = config.read()?;
        if n_left_out > 0 {
            tracing::info!("{n_left_out} held-out pairs are left out: their other side is learned from");
        }
        let side =
            |pairs: &[Pair], of: fn(&Pair) -> &String| -> Vec<String> { pairs.iter().map(of).cloned().collect() };
        let seen = |of: fn(&Pair) -> &String| -> Vec<&str> { training.iter().map(|pair| of(pair).as_str()).collect() };
        let reader = SourceReading::Text {
            tokenizer: config.source_tokenizer.train(&seen(|pair| &pair.source))?,
            max_tokens: config.max_source_tokens,
            lowercase: config.lowercase,
        };
        let tokenizer = match tokenizer {
            Some(tokenizer) => tokenizer,
            None => target.train(&seen(|pair| &pair.target))?,
        };
        let mut hasher = blake3::Hasher::new();
        for pair in [&training, &validation, &test].into_iter().flatten() {
            hasher.update(format!("{}\t{}\n", pair.source, pair.target).as_bytes());
        }
        let parts = [(Split::Train, &training), (Split::Validation, &validation), (Split::Test, &test)];
        let mut ids: HashMap<&str, SourceId> = HashMap::new();
        let mut sources = Vec::new();
        let mut prompts = HashMap::new();
        for (split, pairs) in parts {
            let mut texts: Vec<(SourceId, &str)> = Vec::with_capacity(pairs.len());
            for Pair { source, target } in pairs {
                let id = match ids.get(source.as_str()) {
                    Some(&id) => id,
                    None => {
                        let id = SourceId(sources.len() as u32);
                        sources.push(reader.sentence(source)?);
                        ids.insert(source, id);
                        id
                    }
                };
                texts.push((id, target));
            }
            prompts.insert(split, prompts_of(&texts, &tokenizer)?);
        }
        let mut texts: HashMap<Split, Vec<String>> =
            parts.into_iter().map(|(split, pairs)| (split, side(pairs, |pair| &pair.target))).collect();
        texts.insert(Split::Judge, Vec::new());
        let SourceReading::Text { tokenizer: of_source, .. } = &reader;
        let kind = SourceKind::Tokens { n_tokens: of_source.vocab().len() };
        let text = TextData::of_parts(&texts, tokenizer, hasher.finalize().to_hex().to_string())?;
        Ok(Self { sources: Arc::new(Sources::new(kind, sources)), reader, text, prompts })
    }
}

/// A start for each distinct source, in the order in which they come first, and the texts about it.
fn prompts_of(texts: &[(SourceId, &str)], tokenizer: &TextTokenizer) -> Result<Prompts, TrainError> {
    let mut prompts: Vec<Prompt> = Vec::new();
    let mut references: HashMap<Prompt, Vec<Vec<TokenId>>> = HashMap::new();
    let mut written: HashMap<Prompt, Vec<String>> = HashMap::new();
    for &(id, text) in texts {
        let prompt = Prompt::from(id);
        let known = references.entry(prompt.clone()).or_default();
        if known.is_empty() {
            prompts.push(prompt.clone());
        }
        let tokens = tokenizer.encode(text)?.into_iter().filter(|token| *token != Special::Eos.id()).collect();
        known.push(tokens);
        written.entry(prompt).or_default().push(text.to_owned());
    }
    Ok(Prompts { prompts: prompts.into(), references: Arc::new(references), written: Some(Arc::new(written)) })
}
