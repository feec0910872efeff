//! Whether a line falls into clauses of the right lengths and ends where it should.

use std::iter;

use dqn_mdp::{ActionMask, MdpError, Reward, TermReward, Trajectory};
use dqn_text::{ActionId, ActionTable, Special, TokenId};
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
            "at least one length, each at least 1"
        } else if n_clauses > 1 && delimiter.is_none() {
            "one clause, or a delimiter"
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
    /// Where a clause of the prefix is longer already, it must end at once. After `<eos>` everything is allowed. `within`
    /// is what is allowed in any case; where none of it keeps the form, as may be where no action writes what must come
    /// next, all of it is allowed.
    pub fn allowed(&self, prefix: &[TokenId], length: usize, actions: &ActionTable, within: &ActionMask) -> ActionMask {
        if prefix.contains(&Special::Eos.id()) {
            return within.clone();
        }
        let place = after_bos(prefix).iter().fold(Place::default(), |place, &token| self.after(place, token));
        let keeps = |&action: &ActionId| self.keeps(place, actions.tokens(action), length);
        let keeping: Vec<ActionId> = within.iter(actions.len()).filter(keeps).collect();
        if keeping.is_empty() { within.clone() } else { ActionMask::only(actions.len(), keeping) }
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

#[cfg(test)]
mod tests {
    use dqn_text::Tokenizer;
    use proptest::prelude::*;

    use super::*;
    use crate::reward::test_text::Characters;

    const KNOWN: &str = "白日依山尽黄河入海流，";

    /// The couplet of the tests, five characters a clause.
    fn couplet(text: &Characters) -> LineForm {
        LineForm::new(Some(text.ids("，")[0]), 2, vec![5, 7]).unwrap()
    }

    fn config(delimiter: Option<&str>, n_clauses: usize, clause_lengths: &[usize]) -> FormConfig {
        FormConfig {
            name: None,
            weight: 1.0,
            when: TokenWhen::Step,
            delimiter: delimiter.map(str::to_owned),
            n_clauses,
            clause_lengths: clause_lengths.to_vec(),
            delimiter_reward: default_delimiter_reward(),
            delimiter_penalty: default_delimiter_penalty(),
            end_reward: default_end_reward(),
            end_penalty: default_end_penalty(),
        }
    }

    fn given(text: &Characters, config: &FormConfig, prompt: &str, written: &str) -> Vec<f32> {
        let mut term = config.build(&RewardContext::of_tokenizer(text)).unwrap();
        term.score(&[text.episode(prompt, written)]).unwrap().remove(0).steps
    }

    /// All steps but those listed by index get 0.
    fn only(n_steps: usize, steps: &[(usize, f32)]) -> Vec<f32> {
        let mut expected = vec![0.0; n_steps];
        for &(step, value) in steps {
            expected[step] = value;
        }
        expected
    }

    #[test]
    fn a_couplet_is_rewarded_step_by_step() {
        let text = Characters::new(KNOWN);
        let form = config(Some("，"), 2, &[5, 7]);
        for (prompt, written, steps) in [
            // A right first clause, then a right end.
            ("白日", "依山尽，黄河入海流。", &[(3, 0.5), (9, 1.0)][..]),
            // The second clause has four characters.
            ("白日", "依山尽，黄河入海。", &[(3, 0.5), (8, -0.5)]),
            // The first clause has three, the second too: even, but of no allowed length.
            ("白日", "依，黄河入。", &[(1, -0.5), (5, -0.5)]),
            // A second delimiter is one too many, and spoils the end.
            ("白日", "依山尽，黄河入海流，。", &[(3, 0.5), (9, -0.5), (10, -0.5)]),
            // No delimiter at all.
            ("白日", "依山尽。", &[(3, -0.5)]),
            // A delimiter in the prompt was not written, but counts towards the form.
            ("白日依山尽，", "黄河入海流。", &[(5, 1.0)]),
            // Never ended.
            ("", "白日依山尽，黄河", &[(5, 0.5)]),
        ] {
            let n_steps = written.chars().count();
            assert_eq!(given(&text, &form, prompt, written), only(n_steps, steps), "{prompt} {written}");
        }
        let at_end = FormConfig { when: TokenWhen::End, ..form };
        assert_eq!(given(&text, &at_end, "", "白日依山尽，黄。"), only(8, &[(7, 0.0)]));
        assert_eq!(given(&text, &at_end, "白日依山尽", "，黄河入海流。"), only(7, &[(6, 1.5)]));
    }

    #[test]
    fn each_value_is_read_from_its_setting() {
        let text = Characters::new(KNOWN);
        let form = FormConfig {
            delimiter_reward: 2.0,
            delimiter_penalty: 3.0,
            end_reward: 5.0,
            end_penalty: 7.0,
            ..config(Some("，"), 2, &[1])
        };
        assert_eq!(given(&text, &form, "", "白，日。"), [0.0, 2.0, 0.0, 5.0]);
        assert_eq!(given(&text, &form, "", "白日，。"), [0.0, 0.0, -3.0, -7.0]);
    }

    #[test]
    fn lines_of_one_clause_and_of_three_work_too() {
        let text = Characters::new(KNOWN);
        let single = config(None, 1, &[3]);
        assert_eq!(given(&text, &single, "", "白日依。"), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(given(&text, &single, "", "白日。"), [0.0, 0.0, -0.5]);
        // Without a delimiter a comma is a token like any other; with one it is one too many.
        assert_eq!(given(&text, &single, "", "白，日。"), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(given(&text, &config(Some("，"), 1, &[1]), "", "白，日。"), [0.0, -0.5, 0.0, -0.5]);
        // Of three clauses only the first delimiter earns; the second is in its place and earns nothing.
        let triple = config(Some("，"), 3, &[1]);
        assert_eq!(given(&text, &triple, "", "白，日，依。"), [0.0, 0.5, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(given(&text, &triple, "", "白，日依，尽。"), [0.0, 0.5, 0.0, 0.0, 0.0, 0.0, -0.5]);
    }

    #[test]
    fn a_line_keeps_its_form_or_does_not() {
        let text = Characters::new(KNOWN);
        let couplet = couplet(&text);
        for (line, expected) in [
            ("白日依山尽，黄河入海流。", true),
            ("白日依山尽白日，黄河入海流黄河。", true),
            ("白日依山尽，黄河入海流", false),
            ("白日依山尽，黄河入海流。。", false),
            // An `<eos>` takes no place in a clause.
            ("白日依山。，黄河入海流。", false),
            ("白日依山尽，黄河入海。", false),
            ("白日，黄河。", false),
            ("白日依山尽，黄河入海流，白日依山尽。", false),
            ("。", false),
            ("", false),
        ] {
            assert_eq!(couplet.kept(&text.ids(line)), expected, "{line}");
            let with_bos: Vec<TokenId> = [Special::Bos.id()].into_iter().chain(text.ids(line)).collect();
            assert_eq!(couplet.kept(&with_bos), expected, "<bos>{line}");
        }
    }

    #[test]
    fn the_mask_forces_delimiter_and_end_to_their_places() {
        let text = Characters::new(KNOWN);
        let couplet = couplet(&text);
        let actions = ActionTable::of_vocab(text.vocab());
        let [comma, eos] = ["，", "。"].map(|mark| actions.action_of(text.ids(mark)[0]).unwrap());
        let characters = ActionMask::all_but(actions.len(), &[comma, eos]);
        let only = |action| ActionMask::only(actions.len(), [action]);
        for (prefix, expected) in [
            ("", characters.clone()),
            ("白日依山", characters.clone()),
            ("白日依山尽", only(comma)),
            ("白日依山尽，", characters.clone()),
            ("白日依山尽，黄河入海", characters.clone()),
            ("白日依山尽，黄河入海流", only(eos)),
            // Too long already: the clause ends at once.
            ("白日依山尽白", only(comma)),
            ("白日依山尽，黄河入海流。", ActionMask::All),
        ] {
            let with_bos: Vec<TokenId> = [Special::Bos.id()].into_iter().chain(text.ids(prefix)).collect();
            assert_eq!(couplet.allowed(&with_bos, 5, &actions, &ActionMask::All), expected, "{prefix}");
        }
        let single = LineForm::new(None, 1, vec![2]).unwrap();
        let bos = Special::Bos.id();
        assert_eq!(single.allowed(&[bos], 2, &actions, &ActionMask::All), ActionMask::all_but(actions.len(), &[eos]));
        assert_eq!(
            single.allowed(&[bos, text.ids("白")[0], text.ids("，")[0]], 2, &actions, &ActionMask::All),
            only(eos)
        );
    }

    #[test]
    fn phrases_keep_the_form_with_every_token() {
        let text = Characters::new(KNOWN);
        let couplet = couplet(&text);
        let phrases = ["白日依", "山尽", "山尽，", "尽，", "，黄", "。", "流。", "流。流"];
        let actions = ActionTable::new(phrases.iter().map(|phrase| text.ids(phrase)).collect());
        for (prefix, expected) in [
            ("", &["白日依", "山尽"][..]),
            ("白日依", &["山尽", "山尽，"]),
            ("白日依山尽", &["，黄"]),
            ("白日依山尽，黄河入海", &["流。"]),
            ("白日依山尽，黄河入海流", &["。"]),
        ] {
            let mask = couplet.allowed(&text.ids(prefix), 5, &actions, &ActionMask::All);
            let allowed: Vec<&str> = mask.iter(actions.len()).map(|action| phrases[action.index()]).collect();
            assert_eq!(allowed, expected, "{prefix}");
        }
        let within = |phrases: &[u32]| ActionMask::only(actions.len(), phrases.iter().copied().map(ActionId));
        let allowed = |prefix: &str, phrases: &[u32]| couplet.allowed(&text.ids(prefix), 5, &actions, &within(phrases));
        assert_eq!(allowed("", &[1, 2]), within(&[1]), "what is forbidden stays so");
        assert_eq!(allowed("", &[2, 5]), within(&[2, 5]), "nothing keeps the form");
    }

    #[test]
    fn forms_that_cannot_be_kept_are_refused() {
        let text = Characters::new(KNOWN);
        let message = |config: FormConfig| config.build(&RewardContext::of_tokenizer(&text)).err().unwrap().to_string();
        assert_eq!(
            message(config(None, 2, &[5])),
            "the line form has n_clauses = 2, clause_lengths = [5] and no delimiter; \
             it must have one clause, or a delimiter"
        );
        assert_eq!(
            message(config(Some("，"), 0, &[5])),
            "the line form has n_clauses = 0, clause_lengths = [5] and a delimiter; it must have at least one clause"
        );
        assert_eq!(
            message(config(None, 1, &[5, 0])),
            "the line form has n_clauses = 1, clause_lengths = [5, 0] and no delimiter; \
             it must have at least one length, each at least 1"
        );
        assert_eq!(
            message(config(Some("/"), 2, &[5])),
            "reward term \"form\": delimiter holds \"/\", which is not in the vocabulary"
        );
        assert_eq!(
            message(FormConfig { end_penalty: -0.5, ..config(None, 1, &[5]) }),
            "reward term \"form\": end_penalty is -0.5; it must be finite and at least 0"
        );
    }

    proptest! {
        #[test]
        fn lines_written_under_the_mask_keep_their_form(
            n_clauses in 1_usize..4,
            length in 1_usize..5,
            prompt in 0_usize..4,
            choices in prop::collection::vec(any::<prop::sample::Index>(), 20),
        ) {
            let text = Characters::new(KNOWN);
            let form = LineForm::new(Some(text.ids("，")[0]), n_clauses, vec![length]).unwrap();
            let actions = ActionTable::of_vocab(text.vocab());
            let mut line = vec![Special::Bos.id()];
            line.extend(text.ids(KNOWN).into_iter().take(prompt.min(length)));
            for choice in choices {
                if line.ends_with(&[Special::Eos.id()]) {
                    break;
                }
                let allowed: Vec<ActionId> = form.allowed(&line, length, &actions, &ActionMask::All).iter(actions.len()).collect();
                prop_assert!(!allowed.is_empty());
                line.extend_from_slice(actions.tokens(*choice.get(&allowed)));
            }
            prop_assert!(form.kept(&line), "{:?}", line);
            // One token more or less, and it is kept no longer.
            prop_assert!(!form.kept(&line[..line.len() - 1]));
            line.insert(1, text.ids("白")[0]);
            prop_assert!(!form.kept(&line));
        }
    }
}
