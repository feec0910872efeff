//! How likely a language model of human text finds what was written.

use std::sync::Arc;

use dqn_mdp::{MdpError, Reward, TermReward, Trajectory};
use dqn_score::NgramLm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;
use crate::reward::config::default_weight;
use crate::reward::context::check;
use crate::reward::when::{at_end, mean, with_steps};
use crate::reward::{RewardContext, TokenWhen};

/// Settings of the term `reference_lm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceLmConfig {
    /// The name under which the term is logged. Default `reference_lm`.
    #[serde(default)]
    pub name: Option<String>,
    /// What the rewards of the term are multiplied by. Default 1; the probe on Chinese verse had 0.2.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// `step` rewards each token as it is written, `end` gives the mean over the written tokens with the last step.
    /// Default `step`.
    #[serde(default)]
    pub when: TokenWhen,
    /// Negative log-probability, in nats, of a token that earns 0; a certain one earns 1, one twice as unlikely or
    /// worse -1. Default: the mean over the human text of the validation split, so that human text earns about 0.
    #[serde(default)]
    #[schemars(range(min = 1e-6))]
    pub centre_nats: Option<f64>,
}

impl ReferenceLmConfig {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("reference_lm")
    }

    pub(super) fn build(&self, context: &RewardContext<'_>) -> Result<Box<dyn Reward>, EnvError> {
        let term = self.name();
        let missing = |needed| EnvError::Missing { term: term.to_owned(), needed };
        let lm = context.reference_lm.clone().ok_or_else(|| missing("a reference language model"))?;
        let n_tokens = context.tokenizer.vocab().len();
        if lm.vocab_size() != n_tokens {
            return Err(EnvError::ReferenceVocab { term: term.to_owned(), found: lm.vocab_size(), expected: n_tokens });
        }
        let centre_nats = self
            .centre_nats
            .or(context.centre_nats)
            .ok_or_else(|| missing("centre_nats or human text to calibrate it on"))?;
        check(centre_nats.is_finite() && centre_nats > 0.0, term, "centre_nats", centre_nats, "finite and above 0")?;
        Ok(Box::new(ReferenceLm { name: term.to_owned(), when: self.when, lm, centre_nats }))
    }
}

/// The log-probability of each token under a reference model, centred on human text.
///
/// ```text
/// clip((ln p(token | prefix) + C) / C, -1, 1)        C = centre_nats
/// ```
struct ReferenceLm {
    name: String,
    when: TokenWhen,
    lm: Arc<NgramLm>,
    centre_nats: f64,
}

impl Reward for ReferenceLm {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, episodes: &[Trajectory]) -> Result<Vec<TermReward>, MdpError> {
        let score = |episode: &Trajectory| {
            let log_probs = self.lm.sequence_log_probs(&episode.tokens, episode.n_start_tokens);
            let centred = log_probs.iter().map(|log_prob| (log_prob + self.centre_nats) / self.centre_nats);
            let values: Vec<f64> = centred.map(|value| value.clamp(-1.0, 1.0)).collect();
            match self.when {
                TokenWhen::Step => with_steps(episode, &values),
                TokenWhen::End => at_end(episode, mean(&values)),
            }
        };
        Ok(episodes.iter().map(score).collect())
    }
}

#[cfg(test)]
mod tests {
    use dqn_score::NgramConfig;
    use dqn_text::Tokenizer;

    use super::*;
    use crate::reward::test_text::Characters;

    fn config(when: TokenWhen, centre_nats: Option<f64>) -> ReferenceLmConfig {
        ReferenceLmConfig { name: None, weight: 1.0, when, centre_nats }
    }

    fn bigrams(text: &Characters) -> Arc<NgramLm> {
        let lines: Vec<_> = ["ab", "abb", "ba"].iter().map(|line| text.ids(line)).collect();
        Arc::new(NgramLm::train(&NgramConfig { order: 2 }, text.vocab(), &lines).unwrap())
    }

    #[test]
    fn each_written_token_is_centred_and_clipped() {
        let text = Characters::new("abc");
        let lm = bigrams(&text);
        let context = RewardContext {
            reference_lm: Some(lm.clone()),
            centre_nats: Some(2.0),
            ..RewardContext::of_tokenizer(&text)
        };
        let episode = text.episode("a", "bc。");
        let nats = lm.sequence_log_probs(&episode.tokens, 2);
        assert_eq!(nats.len(), 3);
        for (centre, calibrated) in [(Some(1.0), Some(1.0)), (None, Some(2.0))] {
            let mut term = config(TokenWhen::Step, centre).build(&context).unwrap();
            let given = term.score(std::slice::from_ref(&episode)).unwrap();
            let scale = calibrated.unwrap();
            let expected: Vec<f32> = nats.iter().map(|nats| (1.0 + nats / scale).clamp(-1.0, 1.0) as f32).collect();
            for (given, expected) in given[0].steps.iter().zip(&expected) {
                assert!((given - expected).abs() < 1e-6, "{given} is not {expected}");
            }
            // `b` follows `a` often, `c` was never seen.
            assert!(given[0].steps[0] > given[0].steps[1]);
        }
        let mut at_end = config(TokenWhen::End, Some(1e3)).build(&context).unwrap();
        let given = at_end.score(&[episode]).unwrap();
        let mean = 1.0 + nats.iter().sum::<f64>() / 3e3;
        assert_eq!(given[0].steps[..2], [0.0, 0.0]);
        assert!((f64::from(given[0].steps[2]) - mean).abs() < 1e-6);
    }

    #[test]
    fn tokens_twice_as_unlikely_as_the_centre_earn_the_least() {
        let text = Characters::new("abc");
        let context = RewardContext { reference_lm: Some(bigrams(&text)), ..RewardContext::of_tokenizer(&text) };
        let mut term = config(TokenWhen::Step, Some(1e-3)).build(&context).unwrap();
        assert_eq!(term.score(&[text.episode("", "cc")]).unwrap()[0].steps, [-1.0, -1.0]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let text = Characters::new("abc");
        let message =
            |config: ReferenceLmConfig, context: &RewardContext<'_>| config.build(context).err().unwrap().to_string();
        let mut context = RewardContext::of_tokenizer(&text);
        assert_eq!(
            message(config(TokenWhen::Step, None), &context),
            "reward term \"reference_lm\" needs a reference language model, and the task has none"
        );
        context.reference_lm = Some(bigrams(&text));
        assert_eq!(
            message(config(TokenWhen::Step, None), &context),
            "reward term \"reference_lm\" needs centre_nats or human text to calibrate it on, and the task has none"
        );
        assert_eq!(
            message(config(TokenWhen::Step, Some(0.0)), &context),
            "reward term \"reference_lm\": centre_nats is 0; it must be finite and above 0"
        );
        let larger = Characters::new("abcd");
        context.tokenizer = &larger;
        assert_eq!(
            message(config(TokenWhen::Step, Some(1.0)), &context),
            "reward term \"reference_lm\": the reference language model knows 7 tokens; the vocabulary has 8"
        );
    }
}
