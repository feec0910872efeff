//! What can be wrong with a log, and what a reader does about it.

use std::error::Error;
use std::fmt::{Display, Formatter};
use std::io;

use dqn_text::{TextError, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a reader does with a line that is no episode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFault {
    /// End with an error that names the line.
    #[default]
    Stop,
    /// Count the line and go on with the next one.
    Skip,
}

/// A fault of a log with its place, written `file:line:column: what was found; what is allowed`.
#[derive(Debug)]
pub struct LogFault {
    /// The file.
    pub file: String,
    /// The line, counted from 1; `None` where the whole file is at fault.
    pub line: Option<u64>,
    /// The column in characters, counted from 1, where the fault has one.
    pub column: Option<usize>,
    /// What was found, and what is allowed.
    pub problem: LogProblem,
}

impl Display for LogFault {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.file)?;
        self.line.map_or(Ok(()), |line| write!(f, "{line}:"))?;
        self.column.map_or(Ok(()), |column| write!(f, "{column}:"))?;
        write!(f, " {}", self.problem)
    }
}

impl Error for LogFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The message of the problem is in that of the fault, so that the chain goes on behind it.
        self.problem.source()
    }
}

/// What is wrong with a line, an episode or a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogProblem {
    /// The file cannot be opened, read or written.
    #[error("the log cannot be {action}")]
    Io {
        /// What was tried: "opened", "read" or "written".
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// There is nothing to learn from.
    #[error(
        "the log holds no episode{}; at least one line must be one",
        if *n_skipped == 0 { String::new() } else { format!(": all of its {n_skipped} lines were skipped") }
    )]
    NoEpisode {
        /// Lines that were no episodes.
        n_skipped: u64,
    },
    /// A line is too long to be held in memory.
    #[error("the line is longer than {max_bytes} bytes; an episode stands on one line, which may be as long as that")]
    LineTooLong {
        /// The limit.
        max_bytes: usize,
    },
    /// A line is not UTF-8.
    #[error("the line is not UTF-8: byte {byte:#04x}; convert the file to UTF-8")]
    NotUtf8 {
        /// The first wrong byte.
        byte: u8,
    },
    /// A line is not JSON.
    #[error("the line is not JSON: {message}; every line is one whole JSON object")]
    NotJson {
        /// What the parser said.
        message: String,
    },
    /// A number that JSON does not have, as some programs write it.
    #[error("{found} is no number of JSON; rewards must be finite")]
    NotANumber {
        /// What stands there.
        found: String,
    },
    /// A line is JSON but no object.
    #[error("the line is {found}; every line is one JSON object")]
    NotObject {
        /// What it is.
        found: &'static str,
    },
    /// A line is no episode for a reason that only the parser can tell.
    #[error("the line is no episode: {message}")]
    NotEpisode {
        /// What the parser said.
        message: String,
    },
    /// A key that no shape has.
    #[error("there is a key {key:?}; the known keys are {}", listed(known))]
    UnknownKey {
        /// The key.
        key: String,
        /// Those there are.
        known: &'static [&'static str],
    },
    /// No key tells the shape.
    #[error(
        "the line has {}; an episode has \"turns\" and \"rewards\", or \"tokens\", \"is_action\" and \"rewards\", or \
         \"prompt\", \"response\" and \"reward\"",
        if found.is_empty() { "no keys".to_owned() } else { format!("only {}", listed(found)) }
    )]
    NoShape {
        /// The keys there are.
        found: Vec<&'static str>,
    },
    /// A key of another shape.
    #[error("there is a key {key:?}, which does not go with {shape:?}; the keys that do are {}", listed(keys))]
    ForeignKey {
        /// The key.
        key: &'static str,
        /// The key that tells the shape.
        shape: &'static str,
        /// The keys of that shape.
        keys: &'static [&'static str],
    },
    /// A key that the shape needs is absent or null.
    #[error("there is {shape:?} but no {key:?}; the keys that go together are {}", listed(keys))]
    MissingKey {
        /// The key.
        key: &'static str,
        /// The key that tells the shape.
        shape: &'static str,
        /// The keys of that shape.
        keys: &'static [&'static str],
    },
    /// A value is of the wrong kind.
    #[error("{at} is {found}; it must be {allowed}")]
    Value {
        /// Where, as `turns[3][1]`, counted from 0.
        at: String,
        /// The value, shortened.
        found: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// Nothing was done.
    #[error("the episode has no action; at least one turn or token must be one")]
    NoAction,
    /// An action of no text.
    #[error("turns[{turn}] is an action of no text; an action writes something")]
    EmptyAction {
        /// Which turn, from 0.
        turn: usize,
    },
    /// The flags do not fit the tokens.
    #[error("\"tokens\" has {n_tokens} entries and \"is_action\" {n_flags}; each token has one flag")]
    FlagCount {
        /// Number of tokens.
        n_tokens: usize,
        /// Number of flags.
        n_flags: usize,
    },
    /// The rewards do not fit the actions.
    #[error(
        "there {} {found} reward{} for {expected} {unit}{}; each {unit} has one",
        if *found == 1 { "is" } else { "are" }, plural(*found), plural(*expected)
    )]
    RewardCount {
        /// Number of rewards.
        found: usize,
        /// Number of actions.
        expected: usize,
        /// What an action is: "action turn" or "action token".
        unit: &'static str,
    },
    /// A reward is not finite in single precision.
    #[error("{at} is {found}; rewards must be finite and within 3.4e38 of 0")]
    Reward {
        /// Where, as `rewards[2]`, counted from 0.
        at: String,
        /// The reward.
        found: String,
    },
    /// A token id that the vocabulary does not have.
    #[error("tokens[{position}] is {}; the vocabulary has {n_tokens} tokens, counted from 0", token.0)]
    TokenBeyondVocab {
        /// Where, from 0.
        position: usize,
        /// The id.
        token: TokenId,
        /// Size of the vocabulary.
        n_tokens: usize,
    },
    /// A token that begins or pads texts stands inside one.
    #[error(
        "tokens[{position}] is {name}; a text holds no <pad>, and <bos> only as its first token, which is no action"
    )]
    MisplacedToken {
        /// Where, from 0.
        position: usize,
        /// The token.
        name: &'static str,
    },
    /// The tokenizer failed.
    #[error("the text {} cannot be tokenized", shortened(text))]
    Tokenize {
        /// The text.
        text: String,
        /// Why.
        source: TextError,
    },
    /// The tokenizer makes nothing of the text of an action.
    #[error("the action text {} is no token of the tokenizer; an action writes at least one", shortened(text))]
    NoTokens {
        /// The text.
        text: String,
    },
    /// An episode is more than a prompt and a response.
    #[error("the episode has {n_turns} turns; this task learns from a prompt and one response to it")]
    NoResponse {
        /// How many turns it has.
        n_turns: usize,
    },
    /// In a task with sources, the prompt is none of them.
    #[error(
        "the prompt {} is none of the {n_sources} source{} that the task learns from; it must be one of them, letter by letter",
        shortened(text), plural(*n_sources)
    )]
    UnknownSource {
        /// The prompt.
        text: String,
        /// How many there are.
        n_sources: usize,
    },
    /// In a task with sources, an episode of a shape that names none.
    #[error("the episode names no source; a task with sources learns from \"prompt\", \"response\" and \"reward\"")]
    NoSource,
    /// The text of an action cannot be written with the actions there are.
    #[error("no actions write the text {}; every action text of a log must be one action or several", shortened(text))]
    Unwritable {
        /// The text.
        text: String,
    },
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn listed(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(", ")
}

/// The text in quotation marks, cut where it is long.
pub(super) fn shortened(text: &str) -> String {
    const MAX_CHARACTERS: usize = 60;
    match text.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_say_where_and_long_texts_are_cut() {
        let fault = |line, column, text: &str| {
            let problem = LogProblem::Unwritable { text: text.to_owned() };
            LogFault { file: "log.jsonl".to_owned(), line, column, problem }.to_string()
        };
        let rest = "every action text of a log must be one action or several";
        assert_eq!(fault(None, None, "up"), format!("log.jsonl: no actions write the text \"up\"; {rest}"));
        assert_eq!(fault(Some(3), None, "up"), format!("log.jsonl:3: no actions write the text \"up\"; {rest}"));
        let (long, cut) = ("长".repeat(61), "长".repeat(60));
        assert_eq!(
            fault(Some(3), Some(9), &long),
            format!("log.jsonl:3:9: no actions write the text \"{cut}\"...; {rest}")
        );
    }

    #[test]
    fn causes_are_chained_once() {
        let source = io::Error::other("the disk is gone");
        let problem = LogProblem::Io { action: "read", source };
        let fault = LogFault { file: "a".to_owned(), line: None, column: None, problem };
        assert_eq!(fault.to_string(), "a: the log cannot be read");
        assert_eq!(fault.source().unwrap().to_string(), "the disk is gone");
    }

    #[test]
    fn the_setting_is_written_in_small_letters() {
        assert_eq!(serde_json::from_str::<OnFault>("\"skip\"").unwrap(), OnFault::Skip);
        assert_eq!(serde_json::to_string(&OnFault::default()).unwrap(), "\"stop\"");
    }
}
