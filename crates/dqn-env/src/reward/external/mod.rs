//! What a program or a server of one's own says of a text.
//!
//! All texts of a batch are asked for at once, in requests of at most `max_batch`; `docs/rewards.md` states the
//! protocol. A request passes through the modules in this order: [`protocol`] writes it, [`command`] or [`http`] carries
//! it, [`protocol`] reads the answer, and [`fault`] says what was wrong with it.

mod command;
mod fault;
mod http;
mod protocol;

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use dqn_mdp::{MdpError, Reward, TermReward, Trajectory};
use dqn_text::Tokenizer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::command::CommandConfig;
use self::command::CommandScorer;
use self::fault::ScorerFault;
pub use self::http::HttpConfig;
use self::http::HttpScorer;
use self::protocol::ScoredText;
use crate::EnvError;
use crate::reward::config::default_weight;
use crate::reward::context::{References, check};
use crate::reward::when::{of_values, valued_lengths, written};
use crate::reward::{RewardContext, TextWhen};

/// Settings of the term `external`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalConfig {
    /// The name under which the term is logged. Default `external`.
    #[serde(default)]
    pub name: Option<String>,
    /// What the rewards of the term are multiplied by. Default 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// `end` gives the score with the last step; `difference` its change with each step, for which every beginning of the
    /// text is scored. Default `end`.
    #[serde(default)]
    pub when: TextWhen,
    /// Who is asked.
    pub transport: TransportConfig,
    /// How long one answer may take, the start of the program included. Default 60.
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 0.001, max = 86400.0))]
    pub timeout_seconds: f64,
    /// Most texts of one request. Default 256.
    #[serde(default = "default_max_batch")]
    #[schemars(range(min = 1, max = 1000000))]
    pub max_batch: usize,
    /// Send with each text what people wrote after its prompt, where the task knows. Default true.
    #[serde(default = "default_references")]
    pub references: bool,
    /// What happens where no scores come, after the restarts or retries of the transport. Default `stop`.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// How a scorer is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TransportConfig {
    /// A program reads a line of JSON and writes one, as often as it is asked. Training and evaluation start one each.
    Command(CommandConfig),
    /// A server gets the same JSON by POST.
    Http(HttpConfig),
}

/// What happens where no scores come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The run ends with an error.
    #[default]
    Stop,
    /// The texts of the request get this score. The first time is logged as a warning, and at the end how many they were.
    Default(f64),
}

fn default_timeout_seconds() -> f64 {
    60.0
}

fn default_max_batch() -> usize {
    256
}

fn default_references() -> bool {
    true
}

impl ExternalConfig {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("external")
    }

    pub(super) fn build(&self, context: &RewardContext<'_>) -> Result<Box<dyn Reward>, EnvError> {
        let name = self.name().to_owned();
        let seconds = self.timeout_seconds;
        check((0.001..=86_400.0).contains(&seconds), &name, "timeout_seconds", seconds, ".001 to 86400")?;
        check(self.max_batch >= 1, &name, "max_batch", self.max_batch, "at least 1")?;
        if let OnFailure::Default(value) = self.on_failure {
            let is_reward = value.abs() <= f64::from(f32::MAX);
            check(is_reward, &name, "on_failure.default", value, "a finite number of 32 bits")?;
        }
        let timeout = Duration::from_secs_f64(seconds);
        let scorer = match &self.transport {
            TransportConfig::Command(config) => {
                let is_named = config.program.first().is_some_and(|program| !program.is_empty());
                let found = format!("{:?}", config.program);
                check(is_named, &name, "transport.program", found, "a program and its arguments")?;
                Scorer::Command(CommandScorer::new(&name, config.clone(), timeout))
            }
            TransportConfig::Http(config) => {
                let (is_url, allowed) = http::is_url(&config.url);
                check(is_url, &name, "transport.url", format!("{:?}", config.url), allowed)?;
                Scorer::Http(HttpScorer::new(config.clone(), timeout))
            }
        };
        Ok(Box::new(External {
            name,
            when: self.when,
            max_batch: self.max_batch,
            on_failure: self.on_failure,
            scorer,
            references: if self.references { Arc::clone(&context.references) } else { Arc::default() },
            sources: Arc::clone(&context.sources),
            tokenizer: context.tokenizer.share(),
            n_texts: 0,
            n_defaulted: 0,
        }))
    }
}

/// No scores, and why.
struct Failure {
    fault: ScorerFault,
    /// The last lines on standard error, where there is one.
    last_lines: Vec<String>,
}

enum Scorer {
    Command(CommandScorer),
    Http(HttpScorer),
}

impl Scorer {
    fn scores(&mut self, texts: &[ScoredText]) -> Result<Vec<f64>, String> {
        let (scores, name) = match self {
            Self::Command(scorer) => (scorer.scores(texts), scorer.name()),
            Self::Http(scorer) => (scorer.scores(texts), scorer.name()),
        };
        scores.map_err(|Failure { fault, last_lines }| match last_lines.is_empty() {
            true => format!("{name} {fault}"),
            false => format!("{name} {fault}\nits last lines on standard error:\n  {}", last_lines.join("\n  ")),
        })
    }
}

/// The scores of a program or a server.
struct External {
    name: String,
    when: TextWhen,
    max_batch: usize,
    on_failure: OnFailure,
    scorer: Scorer,
    references: Arc<References>,
    sources: Arc<[String]>,
    tokenizer: Arc<dyn Tokenizer>,
    n_texts: usize,
    /// How many texts have the score of `on_failure`.
    n_defaulted: usize,
}

impl External {
    fn texts(&self, episode: &Trajectory) -> impl Iterator<Item = ScoredText> {
        let prompt = episode.prompt();
        let references = self.references.get(&prompt).map(Vec::as_slice).unwrap_or_default();
        let references: Vec<String> = references.iter().map(|text| self.tokenizer.decode_after(text)).collect();
        let source = episode.source.and_then(|source| self.sources.get(source.index()).cloned());
        let prompt = self.tokenizer.decode(&prompt.tokens);
        valued_lengths(self.when, episode).into_iter().map(move |length| {
            let response = written(episode, length, &*self.tokenizer);
            ScoredText { source: source.clone(), prompt: prompt.clone(), response, references: references.clone() }
        })
    }

    fn scores(&mut self, texts: &[ScoredText]) -> Result<Vec<f64>, MdpError> {
        self.n_texts += texts.len();
        match (self.scorer.scores(texts), self.on_failure) {
            (Ok(scores), _) => Ok(scores),
            (Err(message), OnFailure::Stop) => Err(MdpError::Reward { term: self.name.clone(), message }),
            (Err(message), OnFailure::Default(value)) => {
                if self.n_defaulted == 0 {
                    let (name, n_texts) = (&self.name, texts.len());
                    tracing::warn!("reward term {name:?} gives {n_texts} texts the default {value}: {message}");
                }
                self.n_defaulted += texts.len();
                Ok(iter::repeat_n(value, texts.len()).collect())
            }
        }
    }
}

impl Reward for External {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, episodes: &[Trajectory]) -> Result<Vec<TermReward>, MdpError> {
        let texts: Vec<ScoredText> = episodes.iter().flat_map(|episode| self.texts(episode)).collect();
        let mut scores = Vec::with_capacity(texts.len());
        for request in texts.chunks(self.max_batch) {
            scores.extend(self.scores(request)?);
        }
        let mut rest = scores.as_slice();
        let rewards = episodes.iter().map(|episode| {
            let (own, others) = rest.split_at(valued_lengths(self.when, episode).len());
            rest = others;
            of_values(self.when, episode, own)
        });
        Ok(rewards.collect())
    }
}

impl Drop for External {
    fn drop(&mut self) {
        if self.n_defaulted > 0 {
            let (name, n_defaulted, n_texts) = (&self.name, self.n_defaulted, self.n_texts);
            tracing::warn!("reward term {name:?} gave {n_defaulted} of {n_texts} texts its default");
        }
    }
}
