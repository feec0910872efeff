//! What can go wrong between an experiment file and a finished run.

use std::io;
use std::path::PathBuf;

use dqn_core::{CoreError, SamplingFault};
use dqn_env::EnvError;
use dqn_env::log::{LogFault, LogProblem};
use dqn_mdp::MdpError;
use dqn_model::pretrained::PretrainedError;
use dqn_score::ScoreError;
use dqn_text::TextError;
use dqn_text::split::Split;

use crate::config::check::Problem;
use crate::memory::MemoryEstimate;

/// A fault in a configuration, in the files of a run, or in their writing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A file that was asked for cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A file or folder cannot be written; what stood there before is as it was.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A configuration is no TOML.
    #[error("{origin} is not valid TOML: {message}")]
    ConfigSyntax {
        /// The file, or another name for where the text comes from.
        origin: String,
        /// What is wrong, with line and column.
        message: String,
    },
    /// A configuration does not say what its schema allows.
    #[error("{origin} has {}:{}", count(problems.len(), "problem"), listed(problems))]
    InvalidConfig {
        /// The file, or another name for where the text comes from.
        origin: String,
        /// Everything that is wrong with it.
        problems: Vec<Problem>,
    },
    /// An override of the form `key.path=value` cannot be applied.
    #[error("cannot apply the override {assignment:?}: {message}")]
    Override {
        /// The override as it was given.
        assignment: String,
        /// What is wrong with it, and what would be right.
        message: String,
    },
    /// The folder of a new run cannot be made.
    #[error("cannot create the run directory {}: {source}", path.display())]
    CreateRun {
        /// The folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The folder of a new run holds something already.
    #[error(
        "the run directory {} is not empty: it holds {found:?}; name a new or an empty folder, or resume the run",
        path.display()
    )]
    RunExists {
        /// The folder.
        path: PathBuf,
        /// The first thing found in it, by name.
        found: String,
    },
    /// A folder is not a run directory.
    #[error("{} is not a run directory: {message}", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        message: String,
    },
    /// A folder does not hold the stages of an experiment.
    #[error("{} is no folder of stages: {message}", path.display())]
    NotStages {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        message: String,
    },
    /// A run is asked for in a folder of stages, none of which has one yet.
    #[error(
        "{} holds stages, and none of them has begun; begin with: dqn-cli train --resume {}",
        path.display(),
        path.display()
    )]
    NoStageBegun {
        /// The folder.
        path: PathBuf,
    },
    /// A run directory was written by a version that lays it out in another way.
    #[error(
        "the run directory {} has format {found}, written by version {found_program}; this is version {program}, which \
         reads format {supported}",
        path.display()
    )]
    RunVersion {
        /// The folder.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The version of the program that wrote it.
        found_program: String,
        /// The format this program reads and writes.
        supported: u32,
        /// The version of this program.
        program: &'static str,
    },
    /// Another process writes to the run directory.
    #[error("the run directory {} is in use by {holder}; wait until it has ended", path.display())]
    RunLocked {
        /// The folder.
        path: PathBuf,
        /// Who holds the lock, as far as it is known.
        holder: String,
    },
    /// A line of a log of the run cannot be understood.
    #[error("line {line} of {} is damaged: {message}", path.display())]
    LogLine {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
    /// A checkpoint is not there.
    #[error("there is no checkpoint {}", path.display())]
    NoCheckpoint {
        /// The file looked for.
        path: PathBuf,
    },
    /// A checkpoint is not what was written.
    #[error("the checkpoint {} is damaged: {message}", path.display())]
    CheckpointDamaged {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        message: String,
    },
    /// A checkpoint was written by a version that lays it out in another way.
    #[error(
        "the checkpoint {} has format {found}; this is version {program}, which reads format {supported}",
        path.display()
    )]
    CheckpointVersion {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The format this program reads and writes.
        supported: u32,
        /// The version of this program.
        program: &'static str,
    },
    /// A checkpoint belongs to another configuration than the run directory holds.
    #[error("the checkpoint {} was written under another configuration than {}", path.display(), config.display())]
    OtherConfig {
        /// The checkpoint.
        path: PathBuf,
        /// The configuration file.
        config: PathBuf,
    },
    /// The corpus is not the one the run began with.
    #[error("the corpus has changed since the run began: its blake3 is {found}, it was {expected}")]
    OtherCorpus {
        /// blake3 of the corpus when the run began.
        expected: String,
        /// blake3 of the corpus now.
        found: String,
    },
    /// Another run, taken as a prior or as a beginning, writes other tokens.
    #[error(
        "the run {} has {n_tokens} tokens and {n_actions} actions, this experiment has {expected_tokens} and \
         {expected_actions}; a prior or a beginning needs the same ones: the same corpus, split, tokenizer and actions",
        run.display()
    )]
    OtherVocabulary {
        /// The other run.
        run: PathBuf,
        /// Its tokens.
        n_tokens: usize,
        /// Its actions.
        n_actions: usize,
        /// Tokens of this experiment.
        expected_tokens: usize,
        /// Actions of this experiment.
        expected_actions: usize,
    },
    /// Another run's network does not fit as a beginning.
    #[error("training.initial: the network of the run {} does not fit this one: {source}", run.display())]
    OtherNetwork {
        /// The other run.
        run: PathBuf,
        /// What does not fit.
        source: CoreError,
    },
    /// The network of another run, or a pretrained model, is not the one this run began with.
    #[error(
        "the run or model that this one goes by has changed: its parameters had the blake3 {expected}, now {found}"
    )]
    OtherParameters {
        /// blake3 when the run began.
        expected: String,
        /// blake3 now.
        found: String,
    },
    /// A text was asked for that does not ship with the program.
    #[error("corpus.source.builtin: there is no text {name:?}; there are: {known}")]
    UnknownBuiltin {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A part of the corpus offers nothing an episode could begin with.
    #[error(
        "the {split} part of the corpus holds no example of more than {} tokens whose first {n_prompt_tokens} can be a \
         prompt; lower environment.n_prompt_tokens or bring more text",
        n_prompt_tokens + 1
    )]
    NoPrompts {
        /// The part.
        split: Split,
        /// Tokens of a prompt.
        n_prompt_tokens: usize,
    },
    /// The network of another run reads other sources.
    #[error("the run {} reads sources in another vocabulary; it must have learned from the same texts", run.display())]
    OtherSources {
        /// Its folder.
        run: PathBuf,
    },
    /// A source has nothing to read.
    #[error("the source {text:?} has no tokens; there must be at least one")]
    EmptySource {
        /// The source.
        text: String,
    },
    /// A part of the corpus offers no lines an episode could begin with.
    #[error(
        "the {split} part of the corpus holds no example of more than {n_prompt_lines} lines that begins with known tokens; \
         lower environment.n_prompt_lines, set corpus.reading.example = \"document\", or bring more text"
    )]
    NoPromptLines {
        /// The part.
        split: Split,
        /// Lines of a prompt.
        n_prompt_lines: usize,
    },
    /// The text gives no actions of the kind asked for.
    #[error(
        "actions.kind = \"{kind}\": the text gives no actions of this kind but <eos>; ask for rarer ones or bring more text"
    )]
    NoActions {
        /// The kind.
        kind: &'static str,
    },
    /// No text that people wrote can be written with the actions of the task.
    #[error(
        "training.source = \"text\": none of the {n_texts} training texts can be written with the actions of the task \
         within environment.max_tokens; add single tokens to the actions or raise the limit"
    )]
    NothingToImitate {
        /// How many texts there are.
        n_texts: usize,
    },
    /// A discriminator has nothing to tell the policy's texts from.
    #[error(
        "discriminator: none of the training texts can be written with the actions of the task within \
         environment.max_tokens; add single tokens to the actions or raise the limit"
    )]
    NoHumanTexts,
    /// A log has too few distinct prompts for all parts.
    #[error(
        "{}: {n_prompts} distinct prompts are too few: none is left for the part {part}, whose share is {share}; log more, or \
         give it a larger share in [split]", path.display()
    )]
    TooFewPrompts {
        /// The log.
        path: PathBuf,
        /// How many distinct prompts it has.
        n_prompts: usize,
        /// The part.
        part: Split,
        /// Its share.
        share: f64,
    },
    /// The filter leaves nothing of the logged episodes.
    #[error(
        "training.source.filter: none of the {n_episodes} logged episodes has a return of at least {min_return}; the \
         highest is {highest}"
    )]
    NothingKept {
        /// How many episodes there are.
        n_episodes: usize,
        /// The least return asked for.
        min_return: f64,
        /// The highest there is.
        highest: f64,
    },
    /// A log holds a line that is no episode of the task.
    #[error(transparent)]
    Log(#[from] LogFault),
    /// A game said something that is no episode of the task.
    #[error("an episode of the scripted player does not fit the task: {0}")]
    ScriptedEpisode(#[from] LogProblem),
    /// A delimiter of the position features is not a token.
    #[error("positions.delimiters: {delimiter:?} is not in the vocabulary")]
    UnknownDelimiter {
        /// The delimiter.
        delimiter: String,
    },
    /// A prompt holds something the vocabulary does not.
    #[error("the prompt {prompt:?} holds {}, which the run's vocabulary does not know", unknown.join(", "))]
    UnknownInPrompt {
        /// The prompt.
        prompt: String,
        /// What is unknown, each in quotes.
        unknown: Vec<String>,
    },
    /// A text holds something the vocabulary does not.
    #[error("the text holds {}, which the run's vocabulary does not know", unknown.join(", "))]
    UnknownInText {
        /// What is unknown, each in quotes.
        unknown: Vec<String>,
    },
    /// A text is no episode of the task.
    #[error("the text is no episode of the task: {why}")]
    NotAnEpisode {
        /// Where it leaves the task, and what would be right there.
        why: String,
    },
    /// Something was asked of a run that its task does not offer.
    #[error("{what}: {why}")]
    NotOffered {
        /// What was asked.
        what: String,
        /// Why it cannot be had.
        why: String,
    },
    /// A pretrained model, or learning on it, needs more memory than is free.
    #[error(
        "the model in {} needs {estimate}, and {} of memory are free; a smaller model{}",
        folder.display(),
        crate::memory::amount(*available),
        if estimate.values > 0 {
            ", fewer windows at a time (learner.micro_batch_windows), shorter ones (learner.window_steps), or less that is \
             trained (network.torso)"
        } else {
            " fits"
        }
    )]
    DoesNotFit {
        /// The folder.
        folder: PathBuf,
        /// What it needs.
        estimate: MemoryEstimate,
        /// Bytes that are free.
        available: u64,
    },
    /// The folder of a pretrained model, or a text that it is given, cannot be used.
    #[error(transparent)]
    Pretrained(#[from] PretrainedError),
    /// A pretrained model lies beside the tokenizer of another.
    #[error(
        "the tokenizer in {} has {n_tokens} tokens, and the model knows {vocab_size} (vocab_size in config.json); it must not \
         have more", folder.display()
    )]
    OtherTokenizer {
        /// The folder.
        folder: PathBuf,
        /// Tokens of the tokenizer.
        n_tokens: usize,
        /// Tokens of the model.
        vocab_size: usize,
    },
    /// A chat template cannot be read.
    #[error("the chat template in {} cannot be read: {message}", path.display())]
    ChatTemplate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Settings of the sampling are out of range.
    #[error(transparent)]
    Sampling(#[from] SamplingFault),
    /// A pretrained model does not answer with numbers.
    #[error("after {n_tokens} tokens the model's answer is not a number for some token; its parameters are damaged")]
    NoLogits {
        /// Tokens of the text.
        n_tokens: usize,
    },
    /// A fault in a text, a vocabulary or a tokenizer.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A fault in a score or a language model.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// A fault in an environment or a reward.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// A broken contract between a policy, an environment and a reward.
    #[error(transparent)]
    Mdp(#[from] MdpError),
    /// A fault in a learner.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// Something that the program itself should have prevented.
    #[error("{message}; this is a fault of the program")]
    Internal {
        /// What happened.
        message: String,
    },
}

impl TrainError {
    /// Whether what was asked for is wrong (exit code 2), rather than the run having failed (exit code 1).
    pub fn is_request_fault(&self) -> bool {
        match self {
            TrainError::Pretrained(fault) => fault.is_request_fault(),
            TrainError::Write { .. }
            | TrainError::LogLine { .. }
            | TrainError::Mdp(_)
            | TrainError::Core(CoreError::NotFinite { .. })
            | TrainError::Internal { .. } => false,
            TrainError::Read { .. }
            | TrainError::ConfigSyntax { .. }
            | TrainError::InvalidConfig { .. }
            | TrainError::Override { .. }
            | TrainError::CreateRun { .. }
            | TrainError::RunExists { .. }
            | TrainError::NotARun { .. }
            | TrainError::NotStages { .. }
            | TrainError::NoStageBegun { .. }
            | TrainError::RunVersion { .. }
            | TrainError::RunLocked { .. }
            | TrainError::NoCheckpoint { .. }
            | TrainError::CheckpointDamaged { .. }
            | TrainError::CheckpointVersion { .. }
            | TrainError::OtherConfig { .. }
            | TrainError::OtherCorpus { .. }
            | TrainError::OtherVocabulary { .. }
            | TrainError::OtherNetwork { .. }
            | TrainError::OtherParameters { .. }
            | TrainError::UnknownBuiltin { .. }
            | TrainError::NoPrompts { .. }
            | TrainError::NoPromptLines { .. }
            | TrainError::EmptySource { .. }
            | TrainError::OtherSources { .. }
            | TrainError::NoActions { .. }
            | TrainError::NothingToImitate { .. }
            | TrainError::NoHumanTexts
            | TrainError::NothingKept { .. }
            | TrainError::TooFewPrompts { .. }
            | TrainError::Log(_)
            | TrainError::ScriptedEpisode(_)
            | TrainError::UnknownDelimiter { .. }
            | TrainError::UnknownInPrompt { .. }
            | TrainError::UnknownInText { .. }
            | TrainError::NotAnEpisode { .. }
            | TrainError::DoesNotFit { .. }
            | TrainError::NotOffered { .. }
            | TrainError::OtherTokenizer { .. }
            | TrainError::ChatTemplate { .. }
            | TrainError::Sampling(_)
            | TrainError::NoLogits { .. }
            | TrainError::Text(_)
            | TrainError::Score(_)
            | TrainError::Env(_)
            | TrainError::Core(_) => true,
        }
    }

    /// Whether other settings of the same experiment could do without the fault: it is neither one of files nor of what
    /// the process lives in.
    pub fn depends_on_settings(&self) -> bool {
        match self {
            TrainError::Read { .. }
            | TrainError::Write { .. }
            | TrainError::ConfigSyntax { .. }
            | TrainError::CreateRun { .. }
            | TrainError::RunExists { .. }
            | TrainError::NotARun { .. }
            | TrainError::NotStages { .. }
            | TrainError::NoStageBegun { .. }
            | TrainError::RunVersion { .. }
            | TrainError::RunLocked { .. }
            | TrainError::NoCheckpoint { .. }
            | TrainError::CheckpointDamaged { .. }
            | TrainError::CheckpointVersion { .. }
            | TrainError::OtherConfig { .. }
            | TrainError::OtherCorpus { .. }
            | TrainError::OtherParameters { .. }
            | TrainError::LogLine { .. }
            | TrainError::Log(_)
            | TrainError::UnknownBuiltin { .. }
            | TrainError::UnknownInPrompt { .. }
            | TrainError::UnknownInText { .. }
            | TrainError::Pretrained(_)
            | TrainError::OtherTokenizer { .. }
            | TrainError::ChatTemplate { .. }
            | TrainError::NoLogits { .. }
            | TrainError::NotAnEpisode { .. } => false,
            TrainError::InvalidConfig { .. }
            | TrainError::Override { .. }
            | TrainError::OtherVocabulary { .. }
            | TrainError::OtherNetwork { .. }
            | TrainError::NoPrompts { .. }
            | TrainError::NoPromptLines { .. }
            | TrainError::EmptySource { .. }
            | TrainError::OtherSources { .. }
            | TrainError::NoActions { .. }
            | TrainError::NothingToImitate { .. }
            | TrainError::NoHumanTexts
            | TrainError::NothingKept { .. }
            | TrainError::TooFewPrompts { .. }
            | TrainError::ScriptedEpisode(_)
            | TrainError::UnknownDelimiter { .. }
            | TrainError::DoesNotFit { .. }
            | TrainError::NotOffered { .. }
            | TrainError::Sampling(_)
            | TrainError::Text(_)
            | TrainError::Score(_)
            | TrainError::Env(_)
            | TrainError::Mdp(_)
            | TrainError::Core(_)
            | TrainError::Internal { .. } => true,
        }
    }
}

/// `n` things, with the plural where it is due.
fn count(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
