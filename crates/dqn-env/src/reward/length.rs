//! How long the text is.

use dqn_mdp::{MdpError, Reward, TermReward, Trajectory};
use dqn_text::{Special, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;
use crate::reward::TextWhen;
use crate::reward::config::default_weight;
use crate::reward::context::check;
use crate::reward::when::{by_score, without_eos};

/// Settings of the term `length`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LengthConfig {
    /// The name under which the term is logged. Default `length`.
    #[serde(default)]
    pub name: Option<String>,
    /// What the rewards of the term are multiplied by. Default 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// `end` gives minus the distance from the target, in lengths of the target, with the last step; `difference` its
    /// change with each step. Default `end`.
    #[serde(default)]
    pub when: TextWhen,
    /// The wanted number of tokens after `<bos>`, the prompt included and `<eos>` not.
    #[schemars(range(min = 1))]
    pub target_tokens: usize,
}

impl LengthConfig {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("length")
    }

    pub(super) fn build(&self) -> Result<Box<dyn Reward>, EnvError> {
        let name = self.name().to_owned();
        check(self.target_tokens > 0, &name, "target_tokens", self.target_tokens, "at least 1")?;
        Ok(Box::new(Length { name, when: self.when, target_tokens: self.target_tokens }))
    }
}

/// The distance of the length from a target.
///
/// ```text
/// -|n_tokens - target_tokens| / target_tokens
/// ```
struct Length {
    name: String,
    when: TextWhen,
    target_tokens: usize,
}

impl Reward for Length {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, episodes: &[Trajectory]) -> Result<Vec<TermReward>, MdpError> {
        let of_text = |text: &[TokenId]| {
            let n_tokens = without_eos(text.strip_prefix(&[Special::Bos.id()]).unwrap_or(text)).len();
            -(n_tokens.abs_diff(self.target_tokens) as f64) / self.target_tokens as f64
        };
        Ok(episodes.iter().map(|episode| by_score(self.when, episode, of_text)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::test_text::Characters;

    #[test]
    fn the_distance_from_the_target_is_measured_in_targets() {
        let text = Characters::new("ab");
        for (when, prompt, written, expected) in [
            (TextWhen::End, "", "abab。", &[0.0, 0.0, 0.0, 0.0, 0.0][..]),
            (TextWhen::End, "a", "b。", &[0.0, -0.5]),
            (TextWhen::End, "ab", "abab", &[0.0, 0.0, 0.0, -0.5]),
            // From a distance of 2 down to 0 and up to 1; `<eos>` changes nothing.
            (TextWhen::Difference, "ab", "aba。", &[0.25, 0.25, -0.25, 0.0]),
        ] {
            let config = LengthConfig { name: None, weight: 1.0, when, target_tokens: 4 };
            let given = config.build().unwrap().score(&[text.episode(prompt, written)]).unwrap();
            assert_eq!(given[0].steps, expected, "{prompt:?} {written:?}");
        }
    }

    #[test]
    fn there_must_be_a_target() {
        let config = LengthConfig { name: None, weight: 1.0, when: TextWhen::End, target_tokens: 0 };
        let error = config.build().err().unwrap();
        assert_eq!(error.to_string(), "reward term \"length\": target_tokens is 0; it must be at least 1");
    }
}
