//! The text of an experiment, read, divided and encoded.

use std::collections::HashMap;
use std::sync::Arc;

use dqn_mdp::{Seed, TokenId};
use dqn_text::corpus::Corpus;
use dqn_text::split::{Split, Splits};
use dqn_text::tokenizer::TextTokenizer;
use dqn_text::{Special, Tokenizer};
use rand::seq::SliceRandom;

use crate::TrainError;
use crate::builtin;
use crate::config::{CorpusSection, CorpusSource, ExperimentConfig};

/// The text of an experiment.
pub struct TextData {
    /// Made from the training part.
    pub tokenizer: TextTokenizer,
    /// blake3 of the bytes of the corpus, in hexadecimal.
    pub fingerprint: String,
    /// How many examples were taken out of a part because another part holds them.
    pub n_moved_duplicates: usize,
    parts: HashMap<Split, Part>,
}

/// One part of the text.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// The examples, without `<bos>` and `<eos>`.
    pub examples: Vec<Vec<TokenId>>,
}

impl TextData {
    /// Reads the text that `section` names.
    ///
    /// `tokenizer` is given where a run already has one.
    ///
    /// # Errors
    /// When the text cannot be read, decoded, divided or encoded.
    pub fn read(
        config: &ExperimentConfig,
        section: &CorpusSection,
        tokenizer: Option<TextTokenizer>,
    ) -> Result<Self, TrainError> {
        let (origin, bytes) = read_source(&section.source)?;
        let fingerprint = blake3::hash(&bytes).to_hex().to_string();
        let corpus = Corpus::from_bytes(&origin, &bytes, &section.reading)?;
        let mut texts: HashMap<Split, Vec<String>> = HashMap::new();
        let mut n_moved_duplicates = 0;
        match &config.split {
            Some(split) => {
                let splits = Splits::of(&corpus, split)?;
                n_moved_duplicates = splits.n_moved_duplicates;
                for part in Split::ALL {
                    texts.insert(part, splits.examples(part).map(str::to_owned).collect());
                }
            }
            None => {
                let all: Vec<String> = corpus.documents.into_iter().flat_map(|document| document.examples).collect();
                for part in Split::ALL {
                    texts.insert(part, all.clone());
                }
            }
        }
        let tokenizer = match tokenizer {
            Some(tokenizer) => tokenizer,
            None => {
                // The judge's text counts as seen: its tokens are part of the language, not of what is tested.
                let mut seen: Vec<&str> = texts[&Split::Train].iter().map(String::as_str).collect();
                if config.split.is_some() {
                    seen.extend(texts[&Split::Judge].iter().map(String::as_str));
                }
                let more = match &config.vocabulary {
                    Some(section) => {
                        let (origin, bytes) = read_source(&section.source)?;
                        Corpus::from_bytes(&origin, &bytes, &section.reading)?.documents
                    }
                    None => Vec::new(),
                };
                seen.extend(more.iter().flat_map(|document| document.examples.iter().map(String::as_str)));
                config.tokenizer.train(&seen)?
            }
        };
        let encode = |examples: &[String]| -> Result<Part, TrainError> {
            let examples = examples.iter().map(|example| tokenizer.encode(example)).collect::<Result<_, _>>()?;
            Ok(Part { examples })
        };
        let parts =
            texts.iter().map(|(&part, examples)| Ok((part, encode(examples)?))).collect::<Result<_, TrainError>>()?;
        Ok(Self { tokenizer, fingerprint, n_moved_duplicates, parts })
    }

    /// A part of the text.
    pub fn part(&self, split: Split) -> &Part {
        &self.parts[&split]
    }
}

fn read_source(source: &CorpusSource) -> Result<(String, Vec<u8>), TrainError> {
    match source {
        CorpusSource::Builtin(name) => Ok((format!("builtin text {name}"), builtin::text(name)?.as_bytes().to_vec())),
        CorpusSource::Path(path) => {
            let bytes = std::fs::read(path).map_err(|source| TrainError::Read { path: path.clone(), source })?;
            Ok((path.display().to_string(), bytes))
        }
        CorpusSource::Texts(texts) => Ok(("corpus.source.texts".to_owned(), texts.join("\n").into_bytes())),
    }
}

/// The beginnings of texts that episodes start from, and how people went on from them.
#[derive(Clone, Debug)]
pub struct Prompts {
    /// Tokens after `<bos>`, one entry a start.
    pub prompts: Arc<[Vec<TokenId>]>,
    /// For each distinct prompt the examples that begin with it.
    pub references: Arc<HashMap<Vec<TokenId>, Vec<Vec<TokenId>>>>,
}

impl Prompts {
    /// Every example's first `n_prompt_tokens` tokens, as often as it occurs.
    ///
    /// Examples are left out whose prompt holds `<unk>` or one of `excluded`, or that end within a token of it.
    pub fn of(part: &Part, n_prompt_tokens: usize, excluded: &[TokenId]) -> Self {
        let is_prompt = |example: &&Vec<TokenId>| {
            let has_more = example.len() > n_prompt_tokens + 1;
            let clean = |token: &TokenId| *token != Special::Unk.id() && !excluded.contains(token);
            has_more && example[..n_prompt_tokens].iter().all(clean)
        };
        let mut prompts = Vec::new();
        let mut references: HashMap<Vec<TokenId>, Vec<Vec<TokenId>>> = HashMap::new();
        for example in part.examples.iter().filter(is_prompt) {
            let prompt = example[..n_prompt_tokens].to_vec();
            references.entry(prompt.clone()).or_default().push(example.clone());
            prompts.push(prompt);
        }
        Self { prompts: prompts.into(), references: Arc::new(references) }
    }

    /// Each distinct prompt once, in an order drawn with `seed`, at most `most` of them.
    pub fn distinct(&self, most: usize, seed: Seed) -> Self {
        let mut prompts: Vec<Vec<TokenId>> = self.references.keys().cloned().collect();
        prompts.sort();
        prompts.shuffle(&mut seed.stream("prompts"));
        prompts.truncate(most);
        Self { prompts: prompts.into(), references: Arc::clone(&self.references) }
    }
}
