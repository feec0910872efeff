//! The experiment file: what may stand in it and what it means.
//!
//! A file passes through three gates. [`check`] holds it against the JSON Schema of [`ExperimentConfig`] and reports
//! every unknown key, wrong type and value out of range; serde turns it into an [`ExperimentConfig`]; and
//! [`ExperimentConfig::faults`] finds the combinations that do not make sense. What passes is built by
//! [`crate::experiment`].

pub mod check;
mod faults;
pub mod layers;
mod pretrained;
pub mod reference;
mod schema;
pub mod stages;

use std::path::{Path, PathBuf};

use dqn_core::policy::Exploration;
use dqn_core::schedule::Span;
use dqn_core::{Companions, Decoding, DqnConfig, ReplayConfig};
use dqn_env::game::GamePlayer;
use dqn_env::log::OnFault;
use dqn_env::{EnvironmentConfig, RewardConfig};
use dqn_model::{NetworkConfig, TorsoConfig};
use dqn_score::{BleuTokenizer, NgramConfig};
use dqn_text::corpus::CorpusConfig;
use dqn_text::phrases::PhraseConfig;
use dqn_text::split::SplitConfig;
use dqn_text::tokenizer::TokenizerConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use check::Problem;

use crate::TrainError;
use crate::discriminator::DiscriminatorConfig;

/// An experiment: a text, a task on it, a network and how it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExperimentConfig {
    /// Another experiment file that this one changes; a relative path starts at this file. `default` is the experiment
    /// that ships with the program. Tables are joined key by key; one of another `kind` replaces the old one whole, and so
    /// do `source`, `stop_after`, `over` and arrays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// Name of the experiment; its runs are called after it.
    #[serde(default = "default_name")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub name: String,
    /// Seed of every random draw of the run; `--seed` overrides it.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The text to learn from. Tasks that bring their own text have none.
    #[serde(default)]
    pub corpus: Option<CorpusSection>,
    /// How the documents of the corpus are divided. Without it every part of the run sees the whole corpus, which only
    /// suits tasks whose text is to be learned by heart.
    #[serde(default)]
    pub split: Option<SplitConfig>,
    /// How text becomes tokens.
    #[serde(default = "default_tokenizer")]
    pub tokenizer: TokenizerConfig,
    /// The text that the vocabulary is made from, where it is not the corpus; the corpus is added to it.
    #[serde(default)]
    pub vocabulary: Option<CorpusSection>,
    /// What an action writes.
    #[serde(default)]
    pub actions: ActionsConfig,
    /// What an episode is.
    pub environment: EnvironmentConfig,
    /// What is rewarded, for environments that give no reward of their own.
    #[serde(default)]
    pub reward: Option<RewardConfig>,
    /// A reward for texts that a network takes for people's, while that network learns to tell them apart.
    #[serde(default)]
    pub discriminator: Option<DiscriminatorConfig>,
    /// A policy known beforehand, for KL control, exploration and decoding.
    #[serde(default)]
    pub prior: Option<PriorConfig>,
    /// The language model that judges what was written; it is trained on the part of the corpus called `judge`.
    #[serde(default)]
    pub judge: NgramConfig,
    /// Where in its line a token stands, as a feature of the state.
    #[serde(default)]
    pub positions: PositionConfig,
    /// The Q-network.
    #[serde(default)]
    pub network: NetworkConfig,
    /// How the network learns.
    #[serde(default)]
    pub learner: DqnConfig,
    /// What is remembered.
    #[serde(default)]
    pub replay: ReplayConfig,
    /// How actions are chosen while training.
    #[serde(default = "default_exploration")]
    pub exploration: Exploration,
    /// How values are weighed against the policy of the data, in a network that learns one (`learner.imitation`).
    #[serde(default)]
    pub decoding: Option<Decoding>,
    /// How long and in which rhythm.
    #[serde(default)]
    pub training: TrainingConfig,
    /// How what was learned is measured.
    #[serde(default)]
    pub evaluation: EvaluationConfig,
}

fn default_name() -> String {
    "experiment".to_owned()
}

fn default_seed() -> u64 {
    1
}

fn default_tokenizer() -> TokenizerConfig {
    TokenizerConfig::Char { max_tokens: 2_000, min_count: 1 }
}

fn default_exploration() -> Exploration {
    use dqn_core::Schedule;
    let epsilon = Schedule::Linear { start: 1.0, end: 0.05, over: Span::Steps(10_000) };
    Exploration::EpsilonGreedy { epsilon, from_prior: false }
}

/// The text of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorpusSection {
    /// Where the text comes from, for example `{ path = "poems.txt" }`.
    pub source: CorpusSource,
    /// How it is divided into documents and examples.
    #[serde(default)]
    pub reading: CorpusConfig,
}

/// Where a text comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CorpusSource {
    /// A text that ships with the program: `verse-zh` or `prose-en`.
    Builtin(String),
    /// A UTF-8 text file; a relative path starts at the experiment file.
    Path(PathBuf),
    /// The texts themselves.
    Texts(#[schemars(length(min = 1))] Vec<String>),
}

/// What an action writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ActionsConfig {
    /// Every token of the vocabulary but `<pad>`, `<unk>` and `<bos>`.
    Vocabulary {
        /// Narrow every state to its likeliest actions. Leave it out to allow all.
        #[serde(default)]
        candidates: Option<CandidatesConfig>,
    },
    /// The tokens that occur in the training part of the corpus, without `<eos>`.
    Corpus,
    /// Words of the training text, each with the white space before it (Unicode Annex 29), and `<eos>`; for the tokenizers
    /// `char` and `bpe`, of whose tokens a word has several.
    Words {
        /// Most words; the most frequent are kept.
        #[serde(default = "default_max_words")]
        #[schemars(range(min = 1, max = 1000000))]
        max_words: usize,
        /// Words that occur less often are left out.
        #[serde(default = "default_min_word_count")]
        #[schemars(range(min = 1))]
        min_count: usize,
        /// Offer single tokens too, so that every text can be written and every length reached.
        #[serde(default = "default_with_tokens")]
        with_tokens: bool,
        /// Narrow every state to its likeliest actions. Leave it out to allow all.
        #[serde(default)]
        candidates: Option<CandidatesConfig>,
    },
    /// Every token, and phrases of the training text: runs of tokens that stand together more often than chance has it.
    Phrases {
        /// How phrases are found.
        #[serde(default)]
        mining: PhraseConfig,
        /// Narrow every state to its likeliest actions. Leave it out to allow all.
        #[serde(default)]
        candidates: Option<CandidatesConfig>,
    },
    /// Whole lines, and `<eos>`: the policy chooses what comes next out of what others wrote.
    Sentences {
        /// Where the lines come from. Leave it out to take those of the training text.
        #[serde(default)]
        source: Option<CorpusSource>,
        /// Most sentences; of more, this many evenly spread ones are kept.
        #[serde(default = "default_max_sentences")]
        #[schemars(range(min = 1, max = 1000000))]
        max_sentences: usize,
        /// Narrow every state to its likeliest actions. Leave it out to allow all.
        #[serde(default)]
        candidates: Option<CandidatesConfig>,
    },
}

impl Default for ActionsConfig {
    fn default() -> Self {
        ActionsConfig::Vocabulary { candidates: None }
    }
}

impl ActionsConfig {
    /// The narrowing to candidates, where there is one.
    pub fn candidates(&self) -> Option<CandidatesConfig> {
        match *self {
            ActionsConfig::Vocabulary { candidates }
            | ActionsConfig::Words { candidates, .. }
            | ActionsConfig::Phrases { candidates, .. }
            | ActionsConfig::Sentences { candidates, .. } => candidates,
            ActionsConfig::Corpus => None,
        }
    }

    /// The kind, where its actions write more than one token.
    fn many_token_kind(&self) -> Option<&'static str> {
        match self {
            ActionsConfig::Words { .. } => Some("words"),
            ActionsConfig::Phrases { .. } => Some("phrases"),
            ActionsConfig::Sentences { .. } => Some("sentences"),
            ActionsConfig::Vocabulary { .. } | ActionsConfig::Corpus => None,
        }
    }
}

fn default_max_words() -> usize {
    2_000
}

fn default_min_word_count() -> usize {
    1
}

fn default_with_tokens() -> bool {
    true
}

fn default_max_sentences() -> usize {
    2_000
}

/// Candidate actions, as the first stage of a choice among very many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CandidatesConfig {
    /// How many of the actions that a state allows stay: the most probable under the prior.
    #[schemars(range(min = 1, max = 1000000))]
    pub top_k: usize,
}

/// A policy known beforehand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PriorConfig {
    /// An n-gram language model of the training text.
    Ngram {
        /// Length of its n-grams, from 2 to 5.
        #[serde(default = "default_order")]
        #[schemars(range(min = 2, max = 5))]
        order: usize,
    },
    /// The Q-network of another run with the same vocabulary and actions, its values taken as logits: the language model
    /// that imitation learns.
    Network {
        /// The folder of the run; a relative path starts at the experiment file. In a file with stages `stage:NAME` is the
        /// run of an earlier one.
        run: PathBuf,
        /// Which of its checkpoints.
        #[serde(default)]
        checkpoint: SavedCheckpoint,
    },
    /// A pretrained language model, as it lies in its folder; for actions of one token of its tokenizer.
    Pretrained {
        /// The folder of the model; a relative path starts at the experiment file.
        folder: PathBuf,
    },
}

/// A checkpoint of another run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SavedCheckpoint {
    /// The best on validation prompts.
    #[default]
    Best,
    /// The newest.
    Last,
}

/// Parameters to begin with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InitialParameters {
    /// The folder of a run with the same network, vocabulary and actions; a relative path starts at the experiment file. In
    /// a file with stages `stage:NAME` is the run of an earlier one.
    pub run: PathBuf,
    /// Which of its checkpoints.
    #[serde(default)]
    pub checkpoint: SavedCheckpoint,
    /// Leave its head and begin with a random one: the logits of a language model are no values. The heads may then
    /// differ. Without it the logits that `imitation` taught a head of the kind `scalar` become the policy of the data where
    /// this experiment learns one, and a head of the kind `policy` begins with them.
    #[serde(default)]
    pub fresh_head: bool,
}

/// When a run ends early.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Evaluations in a row that may pass without an improvement on the best.
    #[serde(default = "default_patience")]
    #[schemars(range(min = 1, max = 1000000))]
    pub patience_evaluations: u64,
    /// What counts as an improvement, in the unit of `evaluation.metric`.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub min_improvement: f64,
}

fn default_patience() -> u64 {
    5
}

/// What validation judges by: which checkpoint is the best, and when a run stops early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean return; the higher the better.
    #[default]
    Return,
    /// Perplexity of held-out text under the policy, at the temperature it acts at; the lower the better.
    PolicyPerplexity,
    /// Perplexity of what was written under the judge; the lower the better.
    ReferencePerplexity,
    /// Corpus BLEU; the higher the better.
    Bleu,
    /// Corpus chrF, in tasks with sources; the higher the better.
    Chrf,
    /// Share of texts that are exactly what people wrote, in tasks with sources; the higher the better.
    Exact,
    /// Word error rate, in tasks with sources; the lower the better.
    WordErrorRate,
    /// Character error rate, in tasks with sources; the lower the better.
    CharacterErrorRate,
}

impl Metric {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Return => "return",
            Metric::PolicyPerplexity => "policy_perplexity",
            Metric::ReferencePerplexity => "reference_perplexity",
            Metric::Bleu => "bleu",
            Metric::Chrf => "chrf",
            Metric::Exact => "exact",
            Metric::WordErrorRate => "word_error_rate",
            Metric::CharacterErrorRate => "character_error_rate",
        }
    }

    fn needs_sources(self) -> bool {
        matches!(self, Metric::Chrf | Metric::Exact | Metric::WordErrorRate | Metric::CharacterErrorRate)
    }
}

fn default_order() -> usize {
    3
}

/// Where in its line a token stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PositionConfig {
    /// The network sees tokens only.
    #[default]
    None,
    /// The network also sees in which clause the token stands, at which place in it, and how long the first clause is.
    Clauses {
        /// Tokens that end a clause.
        delimiters: Vec<String>,
        /// Largest index of a clause that is told apart.
        #[serde(default = "default_max_clauses")]
        #[schemars(range(min = 1, max = 64))]
        max_clauses: u32,
        /// Largest number of tokens in a clause that is told apart.
        #[serde(default = "default_max_length")]
        #[schemars(range(min = 1, max = 256))]
        max_length: u32,
    },
    /// The network also sees how many tokens lie before the token, modulo a period: for texts made of rows of so many
    /// tokens, such as guesses and answers.
    Cycle {
        /// Tokens of a row.
        #[schemars(range(min = 2, max = 4096))]
        period_tokens: u32,
    },
}

fn default_max_clauses() -> u32 {
    2
}

fn default_max_length() -> u32 {
    9
}

/// Which logged episodes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterConfig {
    /// Share of the episodes that is kept, those of highest return: below 1 this is the filter of %BC (Chen et al. 2021,
    /// section 5.1).
    #[schemars(range(min = 0.001, max = 1.0))]
    pub best_fraction: f64,
    /// Least return of an episode that is kept. Leave it out for no bound.
    pub min_return: Option<f64>,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self { best_fraction: 1.0, min_return: None }
    }
}

/// Where the episodes that are learned from come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EpisodeSource {
    /// The policy plays them while it learns.
    #[default]
    Play,
    /// What people wrote: the training examples as episodes from the prompts of the task, scored by its reward. Nothing is
    /// played; the run ends after so many updates.
    Text {
        /// Share of the examples that is kept, those of highest return: below 1 this is filtered imitation (%BC, Chen et
        /// al. 2021, section 5.1).
        #[serde(default = "default_best_fraction")]
        #[schemars(range(min = 0.001, max = 1.0))]
        best_fraction: f64,
    },
    /// A log of episodes, as `dqn-cli data generate` and `data sample` write it; in translation, of sentences of the training
    /// part as prompts, hypotheses and what these were worth. The run ends after so many updates unless it goes on to
    /// play.
    Log {
        /// The file, JSONL; a relative path starts at the experiment file.
        path: PathBuf,
        /// What happens at a line that holds no episode.
        #[serde(default)]
        on_fault: OnFault,
        /// Which episodes are kept.
        #[serde(default)]
        filter: FilterConfig,
        /// Read the log as learning goes on instead of all of it before: for files larger than memory. Replay holds
        /// `replay.capacity_steps` of it at a time, and as many steps are read as are learned from; after its end the log
        /// is read again from its beginning.
        #[serde(default)]
        stream: bool,
    },
    /// Episodes that a scripted player of the game plays, drawn with the run's seed, before learning begins.
    Scripted {
        /// Who plays.
        player: GamePlayer,
        /// How many episodes.
        #[schemars(range(min = 1, max = 100000000))]
        n_episodes: usize,
        /// Which episodes are kept.
        #[serde(default)]
        filter: FilterConfig,
    },
}

impl EpisodeSource {
    /// Which of the logged episodes are kept, where there is a log.
    pub fn filter(&self) -> Option<FilterConfig> {
        match self {
            EpisodeSource::Log { filter, .. } | EpisodeSource::Scripted { filter, .. } => Some(*filter),
            EpisodeSource::Play | EpisodeSource::Text { .. } => None,
        }
    }
}

fn default_best_fraction() -> f64 {
    1.0
}

/// The rhythm of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Where episodes come from.
    pub source: EpisodeSource,
    /// Begin to play after so many updates from a log, and learn from both; the log leaves replay as new episodes fill it.
    /// Leave it out to learn from the log alone.
    pub play_after_updates: Option<u64>,
    /// Parameters of another run to begin with, such as those that imitation learned. Leave it out for random ones.
    pub initial: Option<InitialParameters>,
    /// Stop before `stop_after` when validation no longer gets better. Leave it out to go on to the end.
    pub early_stopping: Option<EarlyStopping>,
    /// Episodes played together, before each round of updates.
    #[schemars(range(min = 1, max = 65536))]
    pub parallel_episodes: usize,
    /// How many of these begin alike: a number that divides `parallel_episodes`. Above 1 different continuations of the same
    /// beginning can be compared, as `group_consistency` does.
    #[schemars(range(min = 1, max = 65536))]
    pub episodes_per_start: usize,
    /// Parameter updates after the episodes of a round.
    #[schemars(range(min = 1, max = 65536))]
    pub updates_per_round: u64,
    /// When the run ends, for example `{ updates = 1000 }`.
    pub stop_after: Span,
    /// Updates between evaluations on the validation part; 0 evaluates at the end only.
    pub evaluate_every_updates: u64,
    /// Updates between checkpoints that a killed run goes on from; 0 saves at the end only.
    pub checkpoint_every_updates: u64,
    /// Updates between checkpoints that are kept for good; 0 keeps none.
    pub keep_every_updates: u64,
    /// Print a line for every finished episode.
    pub print_episodes: bool,
}

impl TrainingConfig {
    /// Whether the run never plays.
    pub fn is_offline(&self) -> bool {
        self.source != EpisodeSource::Play && self.play_after_updates.is_none()
    }
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            source: EpisodeSource::Play,
            play_after_updates: None,
            initial: None,
            early_stopping: None,
            parallel_episodes: 16,
            episodes_per_start: 1,
            updates_per_round: 1,
            stop_after: Span::Updates(1_000),
            evaluate_every_updates: 0,
            checkpoint_every_updates: 200,
            keep_every_updates: 0,
            print_episodes: false,
        }
    }
}

/// How what was learned is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    /// What validation judges by.
    pub metric: Metric,
    /// Most episodes of one evaluation; each begins with another prompt.
    #[schemars(range(min = 1, max = 1000000))]
    pub n_episodes: usize,
    /// Episodes of an evaluation while training.
    #[schemars(range(min = 1, max = 1000000))]
    pub n_episodes_while_training: usize,
    /// Seed of the choice of prompts and of sampling, apart from the run's seed so that runs are compared on the same
    /// prompts.
    pub seed: u64,
    /// How texts are divided into words for BLEU.
    pub bleu_tokenizer: BleuTokenizer,
    /// Updates of a fresh network that learns, after training, to tell half of the texts of each policy from those that
    /// people wrote, and is asked about the other half; 0 for none.
    #[schemars(range(min = 0, max = 1000000))]
    pub classifier_updates: u64,
    /// Samples shown before and after learning.
    #[schemars(range(min = 0, max = 1000))]
    pub n_samples: usize,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            metric: Metric::Return,
            n_episodes: 512,
            n_episodes_while_training: 128,
            seed: 0,
            bleu_tokenizer: BleuTokenizer::Char,
            classifier_updates: 0,
            n_samples: 6,
        }
    }
}

impl ExperimentConfig {
    /// Reads an experiment file.
    ///
    /// `overrides` are assignments such as `learner.n_step=3`, applied before anything is checked.
    ///
    /// # Errors
    /// [`TrainError::ConfigSyntax`] for a file that is not TOML, [`TrainError::Override`] for an override that cannot be
    /// applied, [`TrainError::InvalidConfig`] with every fault of the content.
    pub fn from_toml(text: &str, origin: &str, overrides: &[String]) -> Result<Self, TrainError> {
        Self::from_table(Self::parse(text, origin)?, text, origin, overrides)
    }

    /// The table of an experiment file.
    ///
    /// # Errors
    /// [`TrainError::ConfigSyntax`] for a text that is not TOML.
    pub fn parse(text: &str, origin: &str) -> Result<toml::Table, TrainError> {
        let syntax =
            |error: toml::de::Error| TrainError::ConfigSyntax { origin: origin.to_owned(), message: error.to_string() };
        text.parse().map_err(syntax)
    }

    /// Reads an experiment from a table, of which at least the part that stands in `text` has lines to complain about.
    ///
    /// # Errors
    /// As [`ExperimentConfig::from_toml`].
    pub fn from_table(
        mut table: toml::Table,
        text: &str,
        origin: &str,
        overrides: &[String],
    ) -> Result<Self, TrainError> {
        let mut lines = check::Lines::of(text);
        for assignment in overrides {
            check::apply_override(&mut table, assignment)?;
            lines.forget(assignment);
        }
        let invalid = |mut problems: Vec<Problem>| {
            lines.locate(&mut problems);
            TrainError::InvalidConfig { origin: origin.to_owned(), problems }
        };
        let config = Self::of_schema(table, origin)?.map_err(invalid)?;
        let mut problems = config.faults();
        for (place, run, _) in config.other_runs() {
            if stages::reference(run).is_some() {
                problems.push(Problem {
                    path: place.to_owned(),
                    found: format!("{:?}", run.display().to_string()),
                    message: "allowed: the folder of a run; only a file with [[stages]] has stages to name".to_owned(),
                    line: None,
                });
            }
        }
        match problems.is_empty() {
            true => Ok(config),
            false => Err(invalid(problems)),
        }
    }

    /// The experiment in a table, or everything in which the table departs from the schema.
    fn of_schema(table: toml::Table, origin: &str) -> Result<Result<Self, Vec<Problem>>, TrainError> {
        let problems = check::check(&table, &Self::schema());
        if !problems.is_empty() {
            return Ok(Err(problems));
        }
        let config = table.try_into().map_err(|error: toml::de::Error| TrainError::ConfigSyntax {
            origin: origin.to_owned(),
            message: error.to_string(),
        })?;
        Ok(Ok(config))
    }

    /// The other runs that the experiment goes by: the place that names each, its folder, and which checkpoint is taken.
    pub fn other_runs(&self) -> Vec<(&'static str, &Path, SavedCheckpoint)> {
        let mut runs = Vec::new();
        if let Some(PriorConfig::Network { run, checkpoint }) = &self.prior {
            runs.push(("prior.run", run.as_path(), *checkpoint));
        }
        if let Some(initial) = &self.training.initial {
            runs.push(("training.initial.run", initial.run.as_path(), initial.checkpoint));
        }
        runs
    }

    /// What the network must learn beside its values, or brings with it: decoding weighs the policy of a pretrained model
    /// without its being taught.
    pub fn companions(&self) -> Companions {
        let companions = self.learner.companions();
        let has_model = self.network.torso.pretrained().is_some();
        Companions { has_policy: companions.has_policy || (has_model && self.decoding.is_some()), ..companions }
    }

    /// The folders of pretrained models: of the tokenizer, the torso and the prior.
    pub fn model_folders_mut(&mut self) -> Vec<&mut PathBuf> {
        let tokenizer = match &mut self.tokenizer {
            TokenizerConfig::Pretrained { folder } => Some(folder),
            _ => None,
        };
        let torso = match &mut self.network.torso {
            TorsoConfig::Pretrained(config) => Some(&mut config.folder),
            _ => None,
        };
        let prior = match &mut self.prior {
            Some(PriorConfig::Pretrained { folder }) => Some(folder),
            _ => None,
        };
        [tokenizer, torso, prior].into_iter().flatten().collect()
    }

    /// The folders of the other runs, in the order of [`ExperimentConfig::other_runs`].
    pub fn other_runs_mut(&mut self) -> Vec<&mut PathBuf> {
        let prior = match &mut self.prior {
            Some(PriorConfig::Network { run, .. }) => Some(run),
            Some(PriorConfig::Ngram { .. } | PriorConfig::Pretrained { .. }) | None => None,
        };
        prior.into_iter().chain(self.training.initial.as_mut().map(|initial| &mut initial.run)).collect()
    }

    /// The experiment as a file that states every value, defaults included.
    ///
    /// # Errors
    /// When a value cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, TrainError> {
        toml::to_string_pretty(self)
            .map_err(|error| TrainError::Internal { message: format!("the configuration cannot be written: {error}") })
    }

    /// The JSON Schema of experiment files.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(ExperimentConfig).to_value()
    }
}
