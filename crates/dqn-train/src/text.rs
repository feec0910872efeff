//! The text of an experiment, read, divided and encoded.

use std::collections::HashMap;
use std::sync::Arc;

use dqn_mdp::{Prompt, Seed, TokenId};
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
    /// For each example, how many tokens it has at the end of each of its lines.
    line_ends: Vec<Vec<usize>>,
}

impl Part {
    /// The examples of `texts`.
    fn encode(texts: &[String], tokenizer: &TextTokenizer) -> Result<Self, TrainError> {
        let mut part = Self::default();
        for text in texts {
            let example = tokenizer.encode(text)?;
            let mut line_ends = vec![example.len()];
            if text.contains('\n') {
                // A line feed belongs to the line that it ends. Where tokens reach over it, the lines cannot be told.
                let lines =
                    text.split_inclusive('\n').map(|line| tokenizer.encode(line)).collect::<Result<Vec<_>, _>>()?;
                if lines.concat() == example {
                    let mut end = 0;
                    line_ends = lines
                        .iter()
                        .map(|line| {
                            end += line.len();
                            end
                        })
                        .collect();
                }
            }
            part.examples.push(example);
            part.line_ends.push(line_ends);
        }
        Ok(part)
    }

    /// The lines of all examples, each with its line feed where the tokenizer has a token for it.
    pub fn lines(&self) -> impl Iterator<Item = &[TokenId]> {
        self.examples.iter().zip(&self.line_ends).flat_map(|(example, ends)| {
            let begins = [0].into_iter().chain(ends.iter().copied());
            begins.zip(ends).map(|(begin, &end)| &example[begin..end])
        })
    }

    /// Each example with the number of its tokens that are a prompt of `length`; those without such a prompt left out.
    pub fn with_prompts(&self, length: PromptLength) -> impl Iterator<Item = (&Vec<TokenId>, usize)> {
        self.examples.iter().zip(&self.line_ends).filter_map(move |(example, ends)| {
            let n_tokens = match length {
                PromptLength::Tokens(n_tokens) => n_tokens,
                PromptLength::Lines(n_lines) => *ends.get(n_lines - 1)?,
            };
            (example.len() > n_tokens).then_some((example, n_tokens))
        })
    }
}

/// How much of an example is given as the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptLength {
    /// So many tokens.
    Tokens(usize),
    /// So many lines, at least one.
    Lines(usize),
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
        let encode = |(&part, examples): (&Split, &Vec<String>)| Ok((part, Part::encode(examples, &tokenizer)?));
        let parts = texts.iter().map(encode).collect::<Result<_, TrainError>>()?;
        Ok(Self { tokenizer, fingerprint, n_moved_duplicates, parts })
    }

    /// A text that is read and divided already, and `tokenizer` made for it.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub(crate) fn of_parts(
        texts: &HashMap<Split, Vec<String>>,
        tokenizer: TextTokenizer,
        fingerprint: String,
    ) -> Result<Self, TrainError> {
        let encode = |(&part, examples): (&Split, &Vec<String>)| Ok((part, Part::encode(examples, &tokenizer)?));
        let parts = texts.iter().map(encode).collect::<Result<_, TrainError>>()?;
        Ok(Self { tokenizer, fingerprint, n_moved_duplicates: 0, parts })
    }

    /// Makes `bytes` part of what a run must find again to go on.
    pub(crate) fn add_to_fingerprint(&mut self, bytes: &[u8]) {
        let both = format!("{} {}", self.fingerprint, blake3::hash(bytes).to_hex());
        self.fingerprint = blake3::hash(both.as_bytes()).to_hex().to_string();
    }

    /// A part of the text.
    pub fn part(&self, split: Split) -> &Part {
        &self.parts[&split]
    }
}

pub(crate) fn read_source(source: &CorpusSource) -> Result<(String, Vec<u8>), TrainError> {
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
    /// One entry a start.
    pub prompts: Arc<[Prompt]>,
    /// For each distinct prompt the examples that begin with its tokens, without `<bos>` and `<eos>`.
    pub references: Arc<HashMap<Prompt, Vec<Vec<TokenId>>>>,
    /// The same texts as people wrote them, where tokens need not say all of it.
    pub written: Option<Arc<HashMap<Prompt, Vec<String>>>>,
}

impl Prompts {
    /// The prompt of every example that has one, as often as it occurs.
    ///
    /// Examples are left out that end within a token of their prompt, whose prompt holds `<unk>` or, where it is counted in
    /// tokens, one of `excluded`.
    pub fn of(part: &Part, length: PromptLength, excluded: &[TokenId]) -> Self {
        let excluded = match length {
            PromptLength::Tokens(_) => excluded,
            PromptLength::Lines(_) => &[],
        };
        let mut prompts = Vec::new();
        let mut references: HashMap<Prompt, Vec<Vec<TokenId>>> = HashMap::new();
        for (example, n_tokens) in part.with_prompts(length) {
            let clean = |token: &TokenId| *token != Special::Unk.id() && !excluded.contains(token);
            if example.len() > n_tokens + 1 && example[..n_tokens].iter().all(clean) {
                let prompt = Prompt::from(example[..n_tokens].to_vec());
                references.entry(prompt.clone()).or_default().push(example.clone());
                prompts.push(prompt);
            }
        }
        Self { prompts: prompts.into(), references: Arc::new(references), written: None }
    }

    /// How people went on from each prompt: the references after its tokens.
    pub fn continuations(&self) -> Arc<HashMap<Prompt, Vec<Vec<TokenId>>>> {
        let after = |(prompt, texts): (&Prompt, &Vec<Vec<TokenId>>)| {
            (prompt.clone(), texts.iter().map(|text| text[prompt.tokens.len()..].to_vec()).collect())
        };
        Arc::new(self.references.iter().map(after).collect())
    }

    /// Each distinct prompt once, in an order drawn with `seed`, at most `most` of them.
    pub fn distinct(&self, most: usize, seed: Seed) -> Self {
        let mut prompts: Vec<Prompt> = self.references.keys().cloned().collect();
        prompts.sort();
        prompts.shuffle(&mut seed.stream("prompts"));
        prompts.truncate(most);
        Self { prompts: prompts.into(), references: Arc::clone(&self.references), written: self.written.clone() }
    }
}

#[cfg(test)]
mod tests {
    use dqn_text::tokenizer::TokenizerConfig;

    use super::*;

    fn part(texts: &[&str], tokenizer: &TokenizerConfig) -> (Part, TextTokenizer) {
        let tokenizer = tokenizer.train(texts).unwrap();
        let texts: Vec<String> = texts.iter().copied().map(str::to_owned).collect();
        (Part::encode(&texts, &tokenizer).unwrap(), tokenizer)
    }

    #[test]
    fn lines_are_told_apart_and_can_be_prompts() {
        let texts = ["a b\nc\nd e f", "a", "b\nc d"];
        let word =
            TokenizerConfig::Word { max_tokens: 20, min_count: 1, lowercase: false, chinese: Default::default() };
        for (config, expected) in [
            (TokenizerConfig::Char { max_tokens: 20, min_count: 1 }, ["a b\n", "c\n", "d e f", "a", "b\n", "c d"]),
            (word, ["a b", "c", "d e f", "a", "b", "c d"]),
        ] {
            let (part, tokenizer) = part(&texts, &config);
            let lines: Vec<String> = part.lines().map(|line| tokenizer.decode(line)).collect();
            assert_eq!(lines, expected);
            let prompts = |length| -> Vec<String> {
                Prompts::of(&part, length, &[]).prompts.iter().map(|prompt| tokenizer.decode(&prompt.tokens)).collect()
            };
            assert_eq!(prompts(PromptLength::Lines(1)), [expected[0], expected[4]]);
            assert_eq!(
                prompts(PromptLength::Lines(2)),
                [[expected[0], if expected[0].ends_with('\n') { "" } else { " " }, expected[1]].concat()]
            );
            assert_eq!(prompts(PromptLength::Lines(3)), [] as [&str; 0]);
            assert_eq!(prompts(PromptLength::Tokens(1)), ["a", "b"]);
        }
    }
}
