//! Similarity to reference texts.

use std::sync::Arc;

use dqn_mdp::{MdpError, Prompt, Reward, TermReward, Trajectory};
use dqn_score::{Smoothing, token_bleu};
use dqn_text::TokenId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;
use crate::reward::config::default_weight;
use crate::reward::context::{References, check};
use crate::reward::when::{by_score, without_eos};
use crate::reward::{RewardContext, TextWhen};

/// Settings of the term `bleu`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BleuTermConfig {
    /// The name under which the term is logged. Default `bleu`.
    #[serde(default)]
    pub name: Option<String>,
    /// What the rewards of the term are multiplied by; BLEU itself is 0 to 1. Default 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// `end` gives BLEU with the last step, `difference` its change with each step. Default `end`.
    #[serde(default)]
    pub when: TextWhen,
    /// Length of the longest n-grams compared, in tokens. Default 4, from Papineni et al. 2002.
    #[serde(default = "default_max_order")]
    #[schemars(range(min = 1, max = 16))]
    pub max_order: usize,
    /// What stands in for a precision of 0, which a single short text often has. Default exp, as in sacreBLEU.
    #[serde(default)]
    pub smoothing: Smoothing,
}

fn default_max_order() -> usize {
    4
}

impl BleuTermConfig {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("bleu")
    }

    pub(super) fn build(&self, context: &RewardContext<'_>) -> Result<Box<dyn Reward>, EnvError> {
        let name = self.name().to_owned();
        check((1..=16).contains(&self.max_order), &name, "max_order", self.max_order, "1 to 16")?;
        if let Smoothing::Floor { value } | Smoothing::AddK { value } = self.smoothing {
            check(value.is_finite() && value >= 0.0, &name, "smoothing.value", value, "finite and at least 0")?;
        }
        if context.references.is_empty() || context.references.values().any(Vec::is_empty) {
            return Err(EnvError::Missing { term: name, needed: "at least one reference for each prompt" });
        }
        let references = context.references.clone();
        let Self { when, max_order, smoothing, .. } = *self;
        Ok(Box::new(Bleu { name, when, max_order, smoothing, references }))
    }
}

/// Token BLEU of what was written, without `<eos>`, against the references of the prompt.
struct Bleu {
    name: String,
    when: TextWhen,
    max_order: usize,
    smoothing: Smoothing,
    references: Arc<References>,
}

impl Bleu {
    /// The references of `prompt`.
    fn references_of(&self, prompt: &Prompt) -> Result<Vec<&[TokenId]>, MdpError> {
        let references = self.references.get(prompt).ok_or_else(|| {
            let ids: Vec<u32> = prompt.tokens.iter().map(|token| token.0).collect();
            MdpError::Reward { term: self.name.clone(), message: format!("the prompt {ids:?} has no references") }
        })?;
        Ok(references.iter().map(Vec::as_slice).collect())
    }
}

impl Reward for Bleu {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, episodes: &[Trajectory]) -> Result<Vec<TermReward>, MdpError> {
        let score = |episode: &Trajectory| {
            let references = self.references_of(&episode.prompt())?;
            let of_text = |text: &[TokenId]| {
                let written = without_eos(&text[episode.n_start_tokens..]);
                token_bleu(written, &references, self.max_order, self.smoothing)
            };
            Ok(by_score(self.when, episode, of_text))
        };
        episodes.iter().map(score).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::test_text::Characters;

    fn config(when: TextWhen, smoothing: Smoothing) -> BleuTermConfig {
        BleuTermConfig { name: None, weight: 1.0, when, max_order: 2, smoothing }
    }

    fn context<'a>(text: &'a Characters, references: &[(&str, &[&str])]) -> RewardContext<'a> {
        let of_prompt = |(prompt, references): &(&str, &[&str])| {
            (text.ids(prompt).into(), references.iter().map(|reference| text.ids(reference)).collect())
        };
        let references = Arc::new(references.iter().map(of_prompt).collect());
        RewardContext { references, ..RewardContext::of_tokenizer(text) }
    }

    #[test]
    fn each_prompt_has_its_own_references() {
        let text = Characters::new("abcdx");
        let context = context(&text, &[("a", &["bcd"]), ("x", &["dc", "bd"])]);
        let mut term = config(TextWhen::End, Smoothing::None).build(&context).unwrap();
        let episodes = [text.episode("a", "bcd。"), text.episode("x", "bcd。"), text.episode("x", "bd。")];
        let given = term.score(&episodes).unwrap();
        let at_end: Vec<f32> = given.iter().map(|given| given.steps[given.steps.len() - 1]).collect();
        // `bcd` has no bigram of `dc` or `bd`; the other two are references.
        assert_eq!(at_end, [1.0, 0.0, 1.0]);
        let error = term.score(&[text.episode("d", "b")]).unwrap_err();
        assert_eq!(error.to_string(), "reward term \"bleu\" failed: the prompt [7] has no references");
    }

    #[test]
    fn differences_follow_the_score_of_each_beginning() {
        let text = Characters::new("abcd");
        let context = context(&text, &[("a", &["bcd"])]);
        let mut term = config(TextWhen::Difference, Smoothing::None).build(&context).unwrap();
        let given = term.score(&[text.episode("a", "bcd。")]).unwrap();
        // All n-grams match; only the brevity penalty exp(1 - 3 / n) grows with n, from 0 at n = 0.
        let [one, two] = [(-2.0_f64).exp(), (-0.5_f64).exp()];
        for (given, expected) in given[0].steps.iter().zip([one, two - one, 1.0 - two, 0.0]) {
            assert!((f64::from(*given) - expected).abs() < 1e-6, "{given} is not {expected}");
        }
    }

    #[test]
    fn settings_and_references_are_checked() {
        let text = Characters::new("ab");
        let message = |config: BleuTermConfig, references: &[(&str, &[&str])]| {
            config.build(&context(&text, references)).err().unwrap().to_string()
        };
        let usual = || config(TextWhen::End, Smoothing::Exp);
        let missing = "reward term \"bleu\" needs at least one reference for each prompt, and the task has none";
        assert_eq!(message(usual(), &[]), missing);
        assert_eq!(message(usual(), &[("a", &[])]), missing);
        assert_eq!(
            message(BleuTermConfig { max_order: 0, ..usual() }, &[("a", &["b"])]),
            "reward term \"bleu\": max_order is 0; it must be 1 to 16"
        );
        assert_eq!(
            message(BleuTermConfig { smoothing: Smoothing::Floor { value: -1.0 }, ..usual() }, &[("a", &["b"])]),
            "reward term \"bleu\": smoothing.value is -1; it must be finite and at least 0"
        );
    }
}
