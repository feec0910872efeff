//! Responses to prompts, each with its reward, as people log them: the text of a task, and the episodes to learn from.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use dqn_env::log::{LogProblem, LogReader, LogTranslator, LoggedEpisode, OnFault};
use dqn_mdp::{ActionTable, Prompt, Seed, TokenId, Trajectory};
use dqn_text::split::{Split, SplitConfig};
use dqn_text::tokenizer::TextTokenizer;
use dqn_text::{Special, Tokenizer};
use rand::seq::SliceRandom;

use crate::TrainError;
use crate::text::Prompts;

/// One logged response.
#[derive(Clone, Debug, PartialEq)]
struct Response {
    prompt: String,
    response: String,
    episode: LoggedEpisode,
}

/// The responses of a log, dealt out by their prompts.
pub(crate) struct Responses {
    parts: HashMap<Split, Vec<Response>>,
    pub(crate) n_skipped: u64,
}

/// The responses of one part as the task has them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoggedResponses {
    /// The episodes, in the order of the log.
    pub(crate) episodes: Arc<[Trajectory]>,
    /// Responses that are longer than the limit.
    pub(crate) n_left_out: usize,
    /// The prompts, and the responses to each.
    pub(crate) prompts: Option<Prompts>,
    /// Tokens of the longest prompt.
    pub(crate) longest_prompt: usize,
}

impl Responses {
    /// Reads a log whose episodes are one prompt and one response each.
    ///
    /// All responses to a prompt come into the same part, so that no prompt of a test was learned from.
    ///
    /// # Errors
    /// When the log cannot be read, holds another kind of episode (under [`OnFault::Stop`]), or too few prompts for all
    /// parts.
    pub(crate) fn read(path: &Path, on_fault: OnFault, split: &SplitConfig) -> Result<Self, TrainError> {
        let mut reader = LogReader::open(path, on_fault)?;
        let mut responses = Vec::new();
        while let Some(episode) = reader.next() {
            let episode = episode?;
            match pair(&episode) {
                Ok((prompt, response)) => responses.push(Response { prompt, response, episode }),
                Err(problem) => reader.refuse(problem)?,
            }
        }
        let mut prompts: Vec<&str> = responses.iter().map(|response| response.prompt.as_str()).collect();
        prompts.sort_unstable();
        prompts.dedup();
        prompts.shuffle(&mut Seed(split.seed).stream("prompts of responses"));
        let n_prompts = prompts.len();
        let mut part_of: HashMap<String, Split> = HashMap::new();
        let shares = [
            (Split::Train, split.train),
            (Split::Judge, split.judge),
            (Split::Validation, split.validation),
            (Split::Test, split.test),
        ];
        let (mut dealt, mut total) = (0, 0.0);
        for (part, share) in shares {
            total += share;
            let end = ((n_prompts as f64 * total).round() as usize).min(n_prompts);
            if share > 0.0 && end <= dealt {
                return Err(TrainError::TooFewPrompts { path: path.to_owned(), n_prompts, part, share });
            }
            prompts[dealt..end].iter().for_each(|prompt| {
                part_of.insert((*prompt).to_owned(), part);
            });
            dealt = end;
        }
        let mut parts: HashMap<Split, Vec<Response>> = HashMap::new();
        for response in responses {
            // Rounding may leave the last prompt over.
            let part = part_of.get(&response.prompt).copied().unwrap_or(Split::Train);
            parts.entry(part).or_default().push(response);
        }
        Ok(Self { parts, n_skipped: reader.n_skipped() })
    }

    /// Prompt and response of each entry of a part, one after the other.
    pub(crate) fn texts(&self, split: Split) -> Vec<String> {
        let of = self.parts.get(&split).map(Vec::as_slice).unwrap_or_default();
        of.iter().map(|response| format!("{}{}", response.prompt, response.response)).collect()
    }

    /// The texts that a tokenizer is made from, prompts and responses apart.
    pub(crate) fn pieces(&self, split: Split) -> Vec<&str> {
        let of = self.parts.get(&split).map(Vec::as_slice).unwrap_or_default();
        of.iter().flat_map(|response| [response.prompt.as_str(), response.response.as_str()]).collect()
    }

    /// A part as episodes of at most `max_tokens` tokens of a response, its end included.
    ///
    /// # Errors
    /// When a text cannot be encoded.
    pub(crate) fn part(
        &self,
        split: Split,
        tokenizer: &TextTokenizer,
        actions: &ActionTable,
        max_tokens: usize,
    ) -> Result<LoggedResponses, TrainError> {
        let translator = LogTranslator::new(tokenizer, actions);
        let mut found = LoggedResponses::default();
        let (mut episodes, mut prompts) = (Vec::new(), Vec::new());
        let mut references: HashMap<Prompt, Vec<Vec<TokenId>>> = HashMap::new();
        for response in self.parts.get(&split).map(Vec::as_slice).unwrap_or_default() {
            let prompt = tokenizer.encode(&response.prompt)?;
            let is_known = !tokenizer.encode_after(&response.response)?.contains(&Special::Unk.id());
            if !is_known || prompt.contains(&Special::Unk.id()) {
                found.n_left_out += 1;
                continue;
            }
            let episode = translator.trajectory(&response.episode)?;
            if episode.written().len() > max_tokens {
                found.n_left_out += 1;
                continue;
            }
            let written: Vec<TokenId> =
                episode.written().iter().copied().filter(|&token| token != Special::Eos.id()).collect();
            found.longest_prompt = found.longest_prompt.max(prompt.len());
            let text = [prompt.as_slice(), &written].concat();
            let prompt = Prompt::from(prompt);
            references.entry(prompt.clone()).or_default().push(text);
            prompts.push(prompt);
            episodes.push(episode);
        }
        found.episodes = episodes.into();
        found.prompts = (!prompts.is_empty()).then(|| Prompts {
            prompts: prompts.into(),
            references: Arc::new(references),
            written: None,
        });
        Ok(found)
    }
}

/// Prompt and response of an episode that is nothing else.
fn pair(episode: &LoggedEpisode) -> Result<(String, String), LogProblem> {
    let texts = episode.texts().unwrap_or_default();
    match texts.as_slice() {
        [(prompt, false), (response, true)] => Ok(((*prompt).to_owned(), (*response).to_owned())),
        [(response, true)] => Ok((String::new(), (*response).to_owned())),
        others => Err(LogProblem::NoResponse { n_turns: others.len() }),
    }
}
