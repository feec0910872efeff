//! Whether a line falls into clauses of the right lengths and ends where it should.

use std::iter;

use dqn_mdp::{ActionMask, MdpError, Reward, TermReward, Trajectory};
use dqn_text::{ActionTable, Special, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;
use crate::reward::config::default_weight;
use crate::reward::context::check;
use crate::reward::when::{at_end, with_steps};
use crate::reward::{RewardContext, TokenWhen};

/// Settings of the term `form`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FormConfig {
    /// The name under which the term is logged. Default `form`.
    #[serde(default)]
    pub name: Option<String>,
    /// What the rewards of the term are multiplied by. Default 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// `step` rewards each delimiter and `<eos>` as it is written, `end` gives their sum with the last step.
    /// Default `step`.
    #[serde(default)]
    pub when: TokenWhen,
    /// The token between clauses, such as `，`. Default none, for lines of one clause.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub delimiter: Option<String>,
    /// Number of clauses in a line; more than 1 needs a delimiter. Default 1; a couplet has 2.
    #[serde(default = "default_n_clauses")]
    #[schemars(range(min = 1))]
    pub n_clauses: usize,
    /// The lengths a clause may have, in tokens; all clauses of a line have the same. Default 5 and 7, the metres of
    /// regulated Chinese verse.
    #[serde(default = "default_clause_lengths")]
    #[schemars(length(min = 1), inner(range(min = 1)))]
    pub clause_lengths: Vec<usize>,
    /// Given for the first delimiter when its clause has an allowed length. Default 0.5, from the probe on Chinese
    /// verse.
    #[serde(default = "default_delimiter_reward")]
    #[schemars(range(min = 0.0))]
    pub delimiter_reward: f64,
    /// Taken for the first delimiter when its clause has another length, and for each delimiter more than the line has
    /// room for. Default 0.5, from the probe on Chinese verse.
    #[serde(default = "default_delimiter_penalty")]
    #[schemars(range(min = 0.0))]
    pub delimiter_penalty: f64,
    /// Given for `<eos>` when the line has its form. Default 1, from the probe on Chinese verse.
    #[serde(default = "default_end_reward")]
    #[schemars(range(min = 0.0))]
    pub end_reward: f64,
    /// Taken for `<eos>` when the line has not. Default 0.5, from the probe on Chinese verse.
    #[serde(default = "default_end_penalty")]
    #[schemars(range(min = 0.0))]
    pub end_penalty: f64,
}

fn default_n_clauses() -> usize {
    1
}

fn default_clause_lengths() -> Vec<usize> {
    vec![5, 7]
}

fn default_delimiter_reward() -> f64 {
    0.5
}

fn default_delimiter_penalty() -> f64 {
    0.5
}

fn default_end_reward() -> f64 {
    1.0
}

fn default_end_penalty() -> f64 {
    0.5
}

impl FormConfig {
    /// The form itself, apart from what keeping it is worth.
    ///
    /// # Errors
    /// When the delimiter is not one token of the vocabulary, and those of [`LineForm::new`].
    pub fn line_form(&self, context: &RewardContext<'_>) -> Result<LineForm, EnvError> {
        let delimiter = self.delimiter.as_ref();
        let delimiter = delimiter.map(|text| context.token(self.name(), "delimiter", text)).transpose()?;
        LineForm::new(delimiter, self.n_clauses, self.clause_lengths.clone())
    }

    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("form")
    }

    pub(super) fn build(&self, context: &RewardContext<'_>) -> Result<Box<dyn Reward>, EnvError> {
        let name = self.name().to_owned();
        for (key, value) in [
            ("delimiter_reward", self.delimiter_reward),
            ("delimiter_penalty", self.delimiter_penalty),
            ("end_reward", self.end_reward),
            ("end_penalty", self.end_penalty),
        ] {
            check(value.is_finite() && value >= 0.0, &name, key, value, "finite and at least 0")?;
        }
        let form = self.line_form(context)?;
        Ok(Box::new(Form { name, form, config: self.clone() }))
    }
}

/// The form of a line: a number of clauses of one length, divided by a delimiter and ended by `<eos>`.
///
/// All lengths count the tokens after `<bos>`, those of a prompt included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineForm {
    delimiter: Option<TokenId>,
    n_clauses: usize,
    clause_lengths: Vec<usize>,
}

/// How far a line has come.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Clauses that a delimiter ended.
    n_ended: usize,
    /// Tokens of the present clause.
    length: usize,
    /// Length of the first clause, once it is over.
    first_length: Option<usize>,
    /// Whether a clause ended with another length than the first.
    is_uneven: bool,
}

/// What a token is to the form of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// A token of a clause, or a delimiter between two later clauses: neither right nor wrong yet.
    Neutral,
    /// The first delimiter after a clause of an allowed length.
    RightDelimiter,
    /// The first delimiter after a clause of another length, or one more than the line has room for.
    WrongDelimiter,
    /// `<eos>` after a line that has its form.
    RightEnd,
    /// `<eos>` after another line.
    WrongEnd,
}

impl LineForm {
    /// The form of `n_clauses` clauses, all of one of `clause_lengths`, with `delimiter` between them.
    ///
    /// # Errors
    /// [`EnvError::LineForm`] for no clauses, no lengths, a length of 0, or several clauses and no delimiter.
    pub fn new(delimiter: Option<TokenId>, n_clauses: usize, clause_lengths: Vec<usize>) -> Result<Self, EnvError> {
        let allowed = if n_clauses == 0 {
            "at least one clause"
        } else if clause_lengths.is_empty() || clause_lengths.contains(&0) {
            "one length or more, each at least 1"
        } else if n_clauses > 1 && delimiter.is_none() {
            "a line of one clause, or have a delimiter"
        } else {
            return Ok(Self { delimiter, n_clauses, clause_lengths });
        };
        let delimiter = if delimiter.is_some() { "a delimiter" } else { "no delimiter" };
        Err(EnvError::LineForm { n_clauses, clause_lengths, delimiter, allowed })
    }

    /// The token between clauses.
    pub fn delimiter(&self) -> Option<TokenId> {
        self.delimiter
    }

    /// Number of clauses in a line.
    pub fn n_clauses(&self) -> usize {
        self.n_clauses
    }

    /// The lengths a clause may have, in tokens.
    pub fn clause_lengths(&self) -> &[usize] {
        &self.clause_lengths
    }

    /// Whether `text`, with or without `<bos>`, is a whole line of this form, ended by `<eos>`.
    pub fn kept(&self, text: &[TokenId]) -> bool {
        let ends = text.iter().filter(|&&token| token == Special::Eos.id()).count();
        ends == 1 && self.marks(text).last() == Some(Mark::RightEnd)
    }

    /// The actions that keep the form with clauses of `length` tokens after `prefix`: the delimiter exactly there,
    /// `<eos>` exactly at the end, and neither anywhere else.
    ///
    /// Where a clause of the prefix is longer already, it must end at once. After `<eos>` everything is allowed.
    ///
    /// # Panics
    /// When no action writes what must come next.
    pub fn allowed(&self, prefix: &[TokenId], length: usize, actions: &ActionTable) -> ActionMask {
        if prefix.contains(&Special::Eos.id()) {
            return ActionMask::All;
        }
        let place = after_bos(prefix).iter().fold(Place::default(), |place, &token| self.after(place, token));
        let keeping = actions.iter().filter(|(_, tokens)| self.keeps(place, tokens, length));
        ActionMask::only(actions.len(), keeping.map(|(action, _)| action))
    }

    /// Whether writing `tokens` from `place` on keeps the form with clauses of `length` tokens.
    fn keeps(&self, mut place: Place, tokens: &[TokenId], length: usize) -> bool {
        for (index, &token) in tokens.iter().enumerate() {
            let is_end = token == Special::Eos.id();
            let is_right = if place.length < length {
                !is_end && Some(token) != self.delimiter
            } else if place.n_ended + 1 < self.n_clauses {
                Some(token) == self.delimiter
            } else {
                is_end && index + 1 == tokens.len()
            };
            if !is_right {
                return false;
            }
            place = self.after(place, token);
        }
        true
    }

    /// The place after `token`.
    fn after(&self, place: Place, token: TokenId) -> Place {
        if Some(token) == self.delimiter { place.end_clause() } else { Place { length: place.length + 1, ..place } }
    }

    /// What each token of `text` after its `<bos>` is to the form.
    fn marks(&self, text: &[TokenId]) -> impl Iterator<Item = Mark> {
        let mut place = Place::default();
        after_bos(text).iter().map(move |&token| {
            let mark = self.mark(place, token);
            place = self.after(place, token);
            mark
        })
    }

    fn mark(&self, place: Place, token: TokenId) -> Mark {
        if token == Special::Eos.id() {
            return if self.is_right_end(place) { Mark::RightEnd } else { Mark::WrongEnd };
        }
        if Some(token) != self.delimiter {
            return Mark::Neutral;
        }
        let has_room = place.n_ended + 1 < self.n_clauses;
        match place.n_ended {
            0 if has_room && self.clause_lengths.contains(&place.length) => Mark::RightDelimiter,
            1.. if has_room => Mark::Neutral,
            _ => Mark::WrongDelimiter,
        }
    }

    fn is_right_end(&self, place: Place) -> bool {
        let ended = place.end_clause();
        let is_first_right = ended.first_length.is_some_and(|length| self.clause_lengths.contains(&length));
        ended.n_ended == self.n_clauses && is_first_right && !ended.is_uneven
    }
}

impl Place {
    /// The place after the end of the present clause.
    fn end_clause(self) -> Self {
        let first_length = self.first_length.unwrap_or(self.length);
        Self {
            n_ended: self.n_ended + 1,
            length: 0,
            first_length: Some(first_length),
            is_uneven: self.is_uneven || self.length != first_length,
        }
    }
}

fn after_bos(text: &[TokenId]) -> &[TokenId] {
    text.strip_prefix(&[Special::Bos.id()]).unwrap_or(text)
}

/// Rewards for delimiters and `<eos>` at the right places, and penalties for others.
struct Form {
    name: String,
    form: LineForm,
    config: FormConfig,
}

impl Form {
    fn value(&self, mark: Mark) -> f64 {
        match mark {
            Mark::Neutral => 0.0,
            Mark::RightDelimiter => self.config.delimiter_reward,
            Mark::WrongDelimiter => -self.config.delimiter_penalty,
            Mark::RightEnd => self.config.end_reward,
            Mark::WrongEnd => -self.config.end_penalty,
        }
    }
}

impl Reward for Form {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, episodes: &[Trajectory]) -> Result<Vec<TermReward>, MdpError> {
        let score = |episode: &Trajectory| {
            let bos = iter::once(Mark::Neutral);
            let marks = bos.chain(self.form.marks(&episode.tokens)).skip(episode.n_start_tokens);
            let values: Vec<f64> = marks.map(|mark| self.value(mark)).collect();
            match self.config.when {
                TokenWhen::Step => with_steps(episode, &values),
                TokenWhen::End => at_end(episode, values.iter().sum()),
            }
        };
        Ok(episodes.iter().map(score).collect())
    }
}
