//! What can go wrong when an environment or a reward is built.

use std::path::PathBuf;

use dqn_audio::AudioError;
use dqn_text::{ActionId, TextError, TokenId};

/// A fault in what an environment or a reward is made of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// There is nothing an episode could begin with.
    #[error("the environment has no {what}; at least one is needed")]
    NoStarts {
        /// What is missing.
        what: &'static str,
    },
    /// A hidden text holds nothing beyond the prompt.
    #[error("text {text} has {n_tokens} tokens; with n_prompt_tokens = {n_prompt_tokens} it needs at least one more")]
    TextTooShort {
        /// Which text, from 0.
        text: usize,
        /// Its length.
        n_tokens: usize,
        /// How many of its first tokens are given.
        n_prompt_tokens: usize,
    },
    /// A hidden text cannot be written.
    #[error("token {position} of text {text} is id {}, which no action writes", token.0)]
    Unwritable {
        /// Which text, from 0.
        text: usize,
        /// Where in the text, from 0.
        position: usize,
        /// The token.
        token: TokenId,
    },
    /// An action writes several tokens where one is asked for.
    #[error("action {} writes {n_tokens} tokens; every action of a next-token task writes exactly one", action.0)]
    ActionLength {
        /// The action.
        action: ActionId,
        /// How many tokens it writes.
        n_tokens: usize,
    },
    /// A prompt leaves nothing to write.
    #[error("prompt {prompt} has {n_tokens} tokens; with max_tokens = {max_tokens} it must have fewer than that")]
    PromptTooLong {
        /// Which prompt, from 0.
        prompt: usize,
        /// Its length.
        n_tokens: usize,
        /// The limit on the whole text.
        max_tokens: usize,
    },
    /// A prompt holds a token that begins, ends or pads texts.
    #[error("token {position} of prompt {prompt} is id {}; prompts hold none of <pad>, <bos>, <eos>", token.0)]
    PromptToken {
        /// Which prompt, from 0.
        prompt: usize,
        /// Where in the prompt, from 0.
        position: usize,
        /// The token.
        token: TokenId,
    },
    /// No text can be as short as the limit and as long as the minimum.
    #[error("min_tokens is {min_tokens}; with max_tokens = {max_tokens} it must be below that")]
    MinTokens {
        /// The minimum asked for.
        min_tokens: usize,
        /// The limit on the whole text.
        max_tokens: usize,
    },
    /// Every action ends the text, so that none is left while it may not end.
    #[error("min_tokens is {min_tokens}, but all {n_actions} actions write <eos>; it must be 0")]
    NothingButEos {
        /// The minimum asked for.
        min_tokens: usize,
        /// Number of actions.
        n_actions: usize,
    },
    /// A text of a reward term's settings holds something outside the vocabulary.
    #[error("reward term {term:?}: {key} holds {value:?}, which is not in the vocabulary")]
    NotInVocabulary {
        /// The name of the term.
        term: String,
        /// The key of its settings.
        key: &'static str,
        /// The text.
        value: String,
    },
    /// A text of a reward term's settings is too few or too many tokens.
    #[error("reward term {term:?}: {key} holds {value:?}, which is {found} tokens; it must be {allowed}")]
    TokenCount {
        /// The name of the term.
        term: String,
        /// The key of its settings.
        key: &'static str,
        /// The text.
        value: String,
        /// How many tokens it is.
        found: usize,
        /// How many it may be.
        allowed: &'static str,
    },
    /// A text of a reward term's settings could not be tokenized.
    #[error("reward term {term:?}: {key} holds {value:?}, which cannot be tokenized")]
    Tokenize {
        /// The name of the term.
        term: String,
        /// The key of its settings.
        key: &'static str,
        /// The text.
        value: String,
        /// Why.
        source: Box<TextError>,
    },
    /// A setting of a reward term is out of its range.
    #[error("reward term {term:?}: {key} is {found}; it must be {allowed}")]
    TermValue {
        /// The name of the term.
        term: String,
        /// The key of its settings.
        key: &'static str,
        /// The value.
        found: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A pattern of a reward term is no regular expression.
    #[error(
        "reward term {term:?}: patterns[{index}].pattern is {pattern:?}; it must be a regular expression of the crate \
         regex\n{message}"
    )]
    Pattern {
        /// The name of the term.
        term: String,
        /// Which of its patterns, from 0.
        index: usize,
        /// The pattern.
        pattern: String,
        /// Where and why it is none.
        message: String,
    },
    /// Two reward terms would be logged under one name.
    #[error("two reward terms are named {name:?}; give one of them another `name`")]
    DuplicateTerm {
        /// The name.
        name: String,
    },
    /// A reward term needs something the task does not have.
    #[error("reward term {term:?} needs {needed}, and the task has none")]
    Missing {
        /// The name of the term.
        term: String,
        /// What is missing.
        needed: &'static str,
    },
    /// The reference language model was made for another vocabulary.
    #[error("reward term {term:?}: the reference language model knows {found} tokens; the vocabulary has {expected}")]
    ReferenceVocab {
        /// The name of the term.
        term: String,
        /// Size of the model's vocabulary.
        found: usize,
        /// Size of the tokenizer's vocabulary.
        expected: usize,
    },
    /// A line form cannot be kept.
    #[error(
        "the line form has n_clauses = {n_clauses}, clause_lengths = {clause_lengths:?} and {delimiter}; \
         it must have {allowed}"
    )]
    LineForm {
        /// The number of clauses.
        n_clauses: usize,
        /// The lengths a clause may have.
        clause_lengths: Vec<usize>,
        /// Whether there is a delimiter.
        delimiter: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
    /// A state of a table has too few or too many entries.
    #[error(
        "state {state} of the table has {found} actions; every state has {expected}, as the first one, and at least one"
    )]
    TableActions {
        /// The state.
        state: usize,
        /// Entries found.
        found: usize,
        /// Entries of the first state.
        expected: usize,
    },
    /// A state of a table forbids everything.
    #[error("state {state} of the table allows none of its actions; at least one must be allowed")]
    TableForbidsAll {
        /// The state.
        state: usize,
    },
    /// A table names a state it does not have.
    #[error("the table leads to state {found}; it has {n_states} states, counted from 0")]
    TableState {
        /// The state named.
        found: usize,
        /// Number of states.
        n_states: usize,
    },
    /// A table gives a reward that is not finite.
    #[error("action {action} in state {state} of the table gives the reward {reward}; rewards must be finite")]
    TableReward {
        /// The state.
        state: usize,
        /// The action.
        action: usize,
        /// The reward.
        reward: f32,
    },
    /// A task was asked for that there is nothing to learn from.
    #[error("the task {task} has {key} = {found}; it must be at least {least}")]
    TaskValue {
        /// The task.
        task: &'static str,
        /// The key of its settings.
        key: &'static str,
        /// The value.
        found: usize,
        /// The smallest that makes a task.
        least: usize,
    },
    /// A table is limited to no steps at all.
    #[error("the step limit of the table is 0; it must be at least 1")]
    TableStepLimit,
    /// A setting of a game, or of who plays it, is out of its range.
    #[error("the {game} has {key} = {found}; it must be {allowed}")]
    GameValue {
        /// The game.
        game: &'static str,
        /// The key of its settings.
        key: String,
        /// The value.
        found: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A list of words could not be read.
    #[error("cannot read the word list {}: {source}", path.display())]
    WordFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of a word list is no word to play with.
    #[error("line {line} of {origin} is {found:?}; it must be {allowed}")]
    WordLine {
        /// The file, or the name of the list.
        origin: String,
        /// Which line, from 1.
        line: usize,
        /// The line.
        found: String,
        /// What it may be.
        allowed: String,
    },
    /// A text of a game could not be tokenized.
    #[error("{text:?} is a text of the game and cannot be tokenized")]
    GameText {
        /// The text.
        text: String,
        /// Why.
        source: Box<TextError>,
    },
    /// A command of a game cannot be written with the vocabulary.
    #[error("the command {command:?} is {tokens:?} in the vocabulary; every command must be written without <unk>")]
    CommandUnknown {
        /// The command.
        command: String,
        /// Its tokens.
        tokens: Vec<String>,
    },
    /// Two commands of a game are written with the same tokens.
    #[error("the commands {first:?} and {second:?} are the same tokens; the tokenizer must tell commands apart")]
    CommandsAlike {
        /// One command.
        first: String,
        /// The other.
        second: String,
    },
    /// A command of a game cannot be ended before it is another one.
    #[error(
        "the tokens of {short:?} are the beginning of those of {long:?}, so that it has no end; play whole actions, or \
         use a tokenizer that keeps line breaks"
    )]
    CommandOpen {
        /// The command.
        short: String,
        /// The longer one.
        long: String,
    },
    /// A command of a game is no token at all.
    #[error("the command {command:?} is no token at all; every command must be at least one")]
    CommandEmpty {
        /// The command.
        command: String,
    },
    /// A file of pairs cannot be read.
    #[error("cannot read the pairs of {}", path.display())]
    PairsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of pairs, or a manifest of recordings, holds something else.
    #[error(transparent)]
    Pairs(#[from] TextError),
    /// A recording cannot be read or made features of.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// The values of a table do not settle.
    #[error(
        "with discount {discount} the values of the table still change by {change} after {n_sweeps} sweeps; \
         it must be from 0 to below 1, unless every loop of the table costs something"
    )]
    NoFixedPoint {
        /// The discount.
        discount: f64,
        /// Number of sweeps made.
        n_sweeps: usize,
        /// The largest change of the last sweep.
        change: f64,
    },
}

impl EnvError {
    /// Refuses a setting of a task that is below `least`.
    pub(crate) fn check_value(task: &'static str, key: &'static str, found: usize, least: usize) -> Result<(), Self> {
        if found >= least { Ok(()) } else { Err(Self::TaskValue { task, key, found, least }) }
    }

    /// A setting of a game with the value that is refused.
    pub(crate) fn game_value(
        game: &'static str,
        key: impl Into<String>,
        found: impl ToString,
        allowed: &'static str,
    ) -> Self {
        Self::GameValue { game, key: key.into(), found: found.to_string(), allowed }
    }
}
