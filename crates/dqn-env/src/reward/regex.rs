//! Patterns that are wanted in the text, or not.

use std::sync::Arc;

use dqn_mdp::{MdpError, Reward, TermReward, Trajectory};
use dqn_text::Tokenizer;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;
use crate::reward::config::default_weight;
use crate::reward::context::check;
use crate::reward::when::by_text;
use crate::reward::{RewardContext, TextWhen};

/// Settings of the term `regex`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegexConfig {
    /// The name under which the term is logged. Default `regex`.
    #[serde(default)]
    pub name: Option<String>,
    /// What the rewards of the term are multiplied by. Default 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// `end` gives the sum over the patterns with the last step, `difference` its change with each step. Default `end`.
    #[serde(default)]
    pub when: TextWhen,
    /// The patterns, each searched in what was written, without the prompt; their weights are summed.
    #[schemars(length(min = 1))]
    pub patterns: Vec<PatternConfig>,
}

/// A pattern and what it is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PatternConfig {
    /// A regular expression in the syntax of the crate `regex`: no look-around and no back references, and a search that
    /// takes time linear in the text. `(?i)` in front ignores case.
    #[schemars(length(min = 1))]
    pub pattern: String,
    /// What a match is worth; a negative weight punishes. Default 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// Whether every match counts. Default `each`.
    #[serde(default)]
    pub count: Counting,
}

/// Which matches of a pattern count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// Every one, from left to right and without overlap.
    #[default]
    Each,
    /// The first one only.
    Once,
}

impl RegexConfig {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("regex")
    }

    pub(super) fn build(&self, context: &RewardContext<'_>) -> Result<Box<dyn Reward>, EnvError> {
        let name = self.name().to_owned();
        check(!self.patterns.is_empty(), &name, "patterns", "empty", "at least one pattern")?;
        let compile = |(index, config): (usize, &PatternConfig)| {
            let PatternConfig { pattern, weight, count } = config;
            check(weight.is_finite(), &name, "patterns[].weight", weight, "finite")?;
            let regex = Regex::new(pattern).map_err(|error| EnvError::Pattern {
                term: name.clone(),
                index,
                pattern: pattern.clone(),
                message: error.to_string(),
            })?;
            Ok(Pattern { regex, weight: *weight, count: *count })
        };
        let patterns = self.patterns.iter().enumerate().map(compile).collect::<Result<_, EnvError>>()?;
        Ok(Box::new(RegexTerm { name, when: self.when, patterns, tokenizer: context.tokenizer.share() }))
    }
}

struct Pattern {
    regex: Regex,
    weight: f64,
    count: Counting,
}

/// The sum over the patterns of weight times matches.
struct RegexTerm {
    name: String,
    when: TextWhen,
    patterns: Vec<Pattern>,
    tokenizer: Arc<dyn Tokenizer>,
}

impl Reward for RegexTerm {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, episodes: &[Trajectory]) -> Result<Vec<TermReward>, MdpError> {
        let of_pattern = |Pattern { regex, weight, count }: &Pattern, text: &str| {
            let n_matches = match count {
                Counting::Each => regex.find_iter(text).count(),
                Counting::Once => usize::from(regex.is_match(text)),
            };
            weight * n_matches as f64
        };
        let score = |text: &str| self.patterns.iter().map(|pattern| of_pattern(pattern, text)).sum();
        Ok(episodes.iter().map(|episode| by_text(self.when, episode, &*self.tokenizer, score)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::test_text::Characters;

    fn config(when: TextWhen, patterns: &[(&str, f64, Counting)]) -> RegexConfig {
        let pattern = |&(pattern, weight, count): &(&str, f64, Counting)| PatternConfig {
            pattern: pattern.to_owned(),
            weight,
            count,
        };
        RegexConfig { name: None, weight: 1.0, when, patterns: patterns.iter().map(pattern).collect() }
    }

    #[test]
    fn weights_are_summed_over_matches_in_what_was_written() {
        let text = Characters::new("abcABC ");
        let context = RewardContext::of_tokenizer(&text);
        for (patterns, when, written, expected) in [
            (&[("a", 1.0, Counting::Each)][..], TextWhen::End, "aba。", &[0.0, 0.0, 0.0, 2.0][..]),
            (&[("a", 1.0, Counting::Once)], TextWhen::End, "aba", &[0.0, 0.0, 1.0]),
            (&[("(?i)aa", 2.0, Counting::Each)], TextWhen::End, "aAa", &[0.0, 0.0, 2.0]),
            (&[("a", 1.0, Counting::Each), ("^b", -0.5, Counting::Once)], TextWhen::End, "ba", &[0.0, 0.5]),
            (&[("ab", 1.0, Counting::Each)], TextWhen::Difference, "abab", &[0.0, 1.0, 0.0, 1.0]),
            // The end of the text is a place of the pattern, and moves.
            (&[("b$", 1.0, Counting::Once)], TextWhen::Difference, "aba", &[0.0, 1.0, -1.0]),
            (&[("^$", -1.0, Counting::Once)], TextWhen::End, "。", &[-1.0]),
        ] {
            let mut term = config(when, patterns).build(&context).unwrap();
            let given = term.score(&[text.episode("ab", written)]).unwrap();
            assert_eq!(given[0].steps, expected, "{patterns:?} {written}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_named_with_its_place() {
        let text = Characters::new("a");
        let message =
            |config: RegexConfig| config.build(&RewardContext::of_tokenizer(&text)).err().unwrap().to_string();
        let error = message(config(TextWhen::End, &[("a", 1.0, Counting::Each), ("a(b", 1.0, Counting::Each)]));
        let expected = "reward term \"regex\": patterns[1].pattern is \"a(b\"; it must be a regular expression";
        assert!(error.starts_with(expected) && error.contains("unclosed group"), "{error}");
        assert!(message(config(TextWhen::End, &[("(?=a)", 1.0, Counting::Each)])).contains("look-ahead"));
        assert_eq!(
            message(config(TextWhen::End, &[])),
            "reward term \"regex\": patterns is empty; it must be at least one pattern"
        );
        assert_eq!(
            message(config(TextWhen::End, &[("a", f64::NAN, Counting::Each)])),
            "reward term \"regex\": patterns[].weight is NaN; it must be finite"
        );
    }
}
