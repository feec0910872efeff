//! Tasks whose texts are about sources: what is given, and what people wrote about it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use dqn_env::{EnvironmentConfig, Listener, SpeechConfig, TranslationConfig, Utterance};
use dqn_mdp::{Frames, Prompt, Source, SourceId, SourceKind, Sources};
use dqn_text::parallel::{DividedPairs, Pair};
use dqn_text::split::Split;
use dqn_text::tokenizer::{TextTokenizer, TokenizerConfig};
use dqn_text::{TokenId, Tokenizer};

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
    /// What a person is shown of each source: the sentence, or what is said in the recording.
    pub(crate) shown: Vec<String>,
    /// The starts of each part, one for each distinct source.
    pub(crate) prompts: HashMap<Split, Prompts>,
}

/// How a source becomes what the network reads.
#[derive(Clone, Debug)]
pub(crate) enum SourceReading {
    /// A sentence, of which so many tokens are read.
    Text { tokenizer: TextTokenizer, max_tokens: usize, lowercase: bool },
    /// A recording.
    Sound { listener: Listener, settings: String },
}

impl SourceReading {
    /// What reads the sources of `environment`, and what they are, where it has any; `tokenizer` is that of sentences.
    ///
    /// # Errors
    /// When the settings of features cannot be.
    pub(crate) fn of(
        environment: &EnvironmentConfig,
        tokenizer: Option<&TextTokenizer>,
    ) -> Result<Option<(Self, SourceKind)>, TrainError> {
        Ok(match (environment, tokenizer) {
            (EnvironmentConfig::Translation(config), Some(tokenizer)) => {
                Some(Self::of_sentences(config, tokenizer.clone()))
            }
            (EnvironmentConfig::Speech(config), _) => Some(Self::of_recordings(config)?),
            _ => None,
        })
    }

    fn of_sentences(config: &TranslationConfig, tokenizer: TextTokenizer) -> (Self, SourceKind) {
        let kind = SourceKind::Tokens { n_tokens: tokenizer.vocab().len() };
        let (max_tokens, lowercase) = (config.max_source_tokens, config.lowercase);
        (Self::Text { tokenizer, max_tokens, lowercase }, kind)
    }

    fn of_recordings(config: &SpeechConfig) -> Result<(Self, SourceKind), TrainError> {
        let settings = serde_json::to_string(&(&config.features, config.normalize))
            .map_err(|error| TrainError::Internal { message: format!("the features cannot be written: {error}") })?;
        let kind = SourceKind::Frames { n_channels: config.features.n_mels };
        Ok((Self::Sound { listener: config.listener()?, settings }, kind))
    }

    /// What must be the same for two networks to read the same in a source.
    pub(crate) fn meaning(&self) -> String {
        match self {
            SourceReading::Text { tokenizer, .. } => tokenizer.to_json(),
            SourceReading::Sound { settings, .. } => settings.clone(),
        }
    }

    /// The source of a sentence.
    ///
    /// # Errors
    /// [`TrainError::NotOffered`] where sources are recordings, [`TrainError::EmptySource`] when it has no tokens.
    pub(crate) fn sentence(&self, text: &str) -> Result<Source, TrainError> {
        let SourceReading::Text { tokenizer, max_tokens, lowercase } = self else {
            return Err(TrainError::NotOffered {
                what: "a translation".to_owned(),
                why: "this run writes down speech: use transcribe".to_owned(),
            });
        };
        let lowered = lowercase.then(|| text.to_lowercase());
        let mut tokens = tokenizer.encode(lowered.as_deref().unwrap_or(text).trim())?;
        if tokens.is_empty() {
            return Err(TrainError::EmptySource { text: text.to_owned() });
        }
        tokens.truncate(*max_tokens);
        Ok(Source::Tokens(tokens))
    }

    /// The source of a recording.
    ///
    /// # Errors
    /// [`TrainError::NotOffered`] where sources are sentences, and when the file cannot be read.
    pub(crate) fn recording(&self, path: &Path) -> Result<Source, TrainError> {
        let SourceReading::Sound { listener, .. } = self else {
            return Err(TrainError::NotOffered {
                what: "a transcript".to_owned(),
                why: "this run translates sentences: use translate".to_owned(),
            });
        };
        Ok(frames_of(listener.read(path)?))
    }
}

/// Features as a source.
fn frames_of(frames: dqn_audio::Frames) -> Source {
    Source::Frames(Frames { n_channels: frames.n_mels(), values: frames.into_values() })
}

impl Sourced {
    /// The pairs of a translation task.
    ///
    /// `target` makes tokens of translations and is made from those of the training part, unless `tokenizer` is given; the same
    /// goes for `of_sources`.
    ///
    /// # Errors
    /// When the pairs cannot be read, divided or encoded.
    pub(crate) fn translation(
        config: &TranslationConfig,
        target: &TokenizerConfig,
        tokenizer: Option<TextTokenizer>,
        of_sources: Option<TextTokenizer>,
    ) -> Result<Self, TrainError> {
        let DividedPairs { training, validation, test, n_left_out } = config.read()?;
        let seen = |of: fn(&Pair) -> &String| -> Vec<&str> { training.iter().map(|pair| of(pair).as_str()).collect() };
        let of_sources = match of_sources {
            Some(tokenizer) => tokenizer,
            None => config.source_tokenizer.train(&seen(|pair| &pair.source))?,
        };
        let (reader, kind) = SourceReading::of_sentences(config, of_sources);
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
        let (mut sources, mut shown) = (Vec::new(), Vec::new());
        let mut prompts = HashMap::new();
        for (split, pairs) in parts {
            let mut texts: Vec<(SourceId, &str)> = Vec::with_capacity(pairs.len());
            for Pair { source, target } in pairs {
                let id = match ids.get(source.as_str()) {
                    Some(&id) => id,
                    None => {
                        let id = SourceId(sources.len() as u32);
                        sources.push(reader.sentence(source)?);
                        shown.push(source.clone());
                        ids.insert(source, id);
                        id
                    }
                };
                texts.push((id, target));
            }
            prompts.insert(split, prompts_of(&texts, &tokenizer)?);
        }
        let targets = |pairs: &[Pair]| pairs.iter().map(|pair| pair.target.clone()).collect();
        let mut texts: HashMap<Split, Vec<String>> =
            parts.into_iter().map(|(split, pairs)| (split, targets(pairs))).collect();
        texts.insert(Split::Judge, Vec::new());
        let mut text = TextData::of_parts(&texts, tokenizer, hasher.finalize().to_hex().to_string())?;
        // The other side of such a pair is learned from.
        text.n_moved_duplicates = n_left_out;
        Ok(Self { sources: Arc::new(Sources::new(kind, sources)), reader, text, shown, prompts })
    }

    /// The recordings of a task of speech recognition.
    ///
    /// `target` makes tokens of transcripts and is made from those of the training part, unless `tokenizer` is given.
    ///
    /// # Errors
    /// When manifests or recordings cannot be read.
    pub(crate) fn speech(
        config: &SpeechConfig,
        target: &TokenizerConfig,
        tokenizer: Option<TextTokenizer>,
    ) -> Result<Self, TrainError> {
        let utterances = config.read()?;
        let (reader, kind) = SourceReading::of_recordings(config)?;
        let parts = [
            (Split::Train, utterances.training),
            (Split::Validation, utterances.validation),
            (Split::Test, utterances.test),
        ];
        let tokenizer = match tokenizer {
            Some(tokenizer) => tokenizer,
            None => {
                let seen: Vec<&str> = parts[0].1.iter().map(|utterance| utterance.transcript.as_str()).collect();
                target.train(&seen)?
            }
        };
        let mut hasher = blake3::Hasher::new();
        let (mut sources, mut shown) = (Vec::new(), Vec::new());
        let mut prompts = HashMap::new();
        let mut texts: HashMap<Split, Vec<String>> = HashMap::from([(Split::Judge, Vec::new())]);
        for (split, utterances) in parts {
            let first = sources.len() as u32;
            let transcripts: Vec<String> = utterances.iter().map(|utterance| utterance.transcript.clone()).collect();
            for Utterance { frames, transcript } in utterances {
                hasher.update(transcript.as_bytes());
                frames.values().iter().for_each(|value| {
                    hasher.update(&value.to_le_bytes());
                });
                sources.push(frames_of(frames));
                shown.push(format!("recording of \"{transcript}\""));
            }
            let said: Vec<(SourceId, &str)> =
                (first..).map(SourceId).zip(transcripts.iter().map(String::as_str)).collect();
            prompts.insert(split, prompts_of(&said, &tokenizer)?);
            texts.insert(split, transcripts);
        }
        let text = TextData::of_parts(&texts, tokenizer, hasher.finalize().to_hex().to_string())?;
        Ok(Self { sources: Arc::new(Sources::new(kind, sources)), reader, text, shown, prompts })
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
        known.push(tokenizer.encode(text)?);
        written.entry(prompt).or_default().push(text.to_owned());
    }
    Ok(Prompts { prompts: prompts.into(), references: Arc::new(references), written: Some(Arc::new(written)) })
}
