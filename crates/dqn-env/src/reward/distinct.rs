//! Variety of what was written.

use dqn_mdp::{MdpError, Reward, TermReward, Trajectory};
use dqn_score::distinct_n;
use dqn_text::TokenId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;
use crate::reward::TextWhen;
use crate::reward::config::default_weight;
use crate::reward::context::check;
use crate::reward::when::{by_score, without_eos};

/// Settings of the term `distinct`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DistinctConfig {
    /// The name under which the term is logged. Default `distinct`.
    #[serde(default)]
    pub name: Option<String>,
    /// What the rewards of the term are multiplied by. Default 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// `end` gives the share of different n-grams with the last step, `difference` its change with each step.
    /// Default `end`.
    #[serde(default)]
    pub when: TextWhen,
    /// Length of the n-grams, in tokens. Default 2, the usual distinct-2.
    #[serde(default = "default_n")]
    #[schemars(range(min = 1))]
    pub n: usize,
}

fn default_n() -> usize {
    2
}

impl DistinctConfig {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("distinct")
    }

    pub(super) fn build(&self) -> Result<Box<dyn Reward>, EnvError> {
        check(self.n > 0, self.name(), "n", self.n, "at least 1")?;
        Ok(Box::new(Distinct { name: self.name().to_owned(), when: self.when, n: self.n }))
    }
}

/// Distinct-n of the written tokens, without the prompt and `<eos>`; 0 while there is no n-gram.
struct Distinct {
    name: String,
    when: TextWhen,
    n: usize,
}

impl Reward for Distinct {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, episodes: &[Trajectory]) -> Result<Vec<TermReward>, MdpError> {
        let score = |episode: &Trajectory| {
            let of_text = |text: &[TokenId]| distinct_n(&[without_eos(&text[episode.n_start_tokens..])], self.n);
            by_score(self.when, episode, of_text)
        };
        Ok(episodes.iter().map(score).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::test_text::Characters;

    #[test]
    fn the_share_of_different_ngrams_is_given_at_the_end_or_as_it_changes() {
        let text = Characters::new("abc");
        // Bigrams of `abab`: ab, ba, ab. After two tokens 1 of 1, after three 2 of 2, after four 2 of 3.
        for (when, n, expected) in [
            (TextWhen::End, 2, [0.0, 0.0, 0.0, 0.0, 2.0 / 3.0]),
            (TextWhen::Difference, 2, [0.0, 1.0, 0.0, -1.0 / 3.0, 0.0]),
            (TextWhen::Difference, 1, [1.0, 0.0, -1.0 / 3.0, 0.5 - 2.0 / 3.0, 0.0]),
        ] {
            let mut term = DistinctConfig { name: None, weight: 1.0, when, n }.build().unwrap();
            // The prompt is not the policy's: its `aa` counts for nothing.
            let given = term.score(&[text.episode("aa", "abab。")]).unwrap();
            for (given, expected) in given[0].steps.iter().zip(expected) {
                assert!((given - expected as f32).abs() < 1e-6, "{when:?}, n = {n}: {:?}", given);
            }
        }
    }

    #[test]
    fn ngrams_have_a_length() {
        let built = DistinctConfig { name: Some("d0".to_owned()), weight: 1.0, when: TextWhen::End, n: 0 }.build();
        assert_eq!(built.err().unwrap().to_string(), "reward term \"d0\": n is 0; it must be at least 1");
    }
}
