//! Tokens that occurred before.

use dqn_mdp::{MdpError, Reward, TermReward, Trajectory};
use dqn_text::{Special, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;
use crate::reward::config::default_weight;
use crate::reward::when::{at_end, mean, with_steps};
use crate::reward::{RewardContext, TokenWhen};

/// Settings of the term `repetition`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepetitionConfig {
    /// The name under which the term is logged. Default `repetition`.
    #[serde(default)]
    pub name: Option<String>,
    /// What the rewards of the term are multiplied by; a positive weight punishes. Default 1; the probe on Chinese
    /// verse had 0.3.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// `step` gives -1 with each repeated token, `end` minus the share of repeated tokens among the written ones with
    /// the last step. Default `step`.
    #[serde(default)]
    pub when: TokenWhen,
    /// How many tokens back a token counts as repeated; 0 looks at the whole text, the prompt included. Default 0.
    #[serde(default)]
    pub window_tokens: usize,
    /// Tokens that may be repeated freely, such as `，`; the special tokens always may. Default none.
    #[serde(default)]
    #[schemars(inner(length(min = 1)))]
    pub exempt: Vec<String>,
}

impl RepetitionConfig {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("repetition")
    }

    pub(super) fn build(&self, context: &RewardContext<'_>) -> Result<Box<dyn Reward>, EnvError> {
        let name = self.name().to_owned();
        let mut exempt = Special::ALL.map(Special::id).to_vec();
        for token in &self.exempt {
            exempt.push(context.token(&name, "exempt", token)?);
        }
        Ok(Box::new(Repetition { name, when: self.when, window_tokens: self.window_tokens, exempt }))
    }
}

/// -1 for each written token that stands among the tokens before it, 0 for others.
struct Repetition {
    name: String,
    when: TokenWhen,
    window_tokens: usize,
    exempt: Vec<TokenId>,
}

impl Repetition {
    fn is_repeated(&self, before: &[TokenId], token: TokenId) -> bool {
        let begin = match self.window_tokens {
            0 => 0,
            window => before.len().saturating_sub(window),
        };
        before[begin..].contains(&token) && !self.exempt.contains(&token)
    }
}

impl Reward for Repetition {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, episodes: &[Trajectory]) -> Result<Vec<TermReward>, MdpError> {
        let score = |episode: &Trajectory| {
            let text = &episode.tokens;
            let value = |at: usize| if self.is_repeated(&text[..at], text[at]) { -1.0 } else { 0.0 };
            let values: Vec<f64> = (episode.n_start_tokens..text.len()).map(value).collect();
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
    use super::*;
    use crate::reward::test_text::Characters;

    fn config(when: TokenWhen, window_tokens: usize, exempt: &[&str]) -> RepetitionConfig {
        let exempt = exempt.iter().map(|&token| token.to_owned()).collect();
        RepetitionConfig { name: None, weight: 1.0, when, window_tokens, exempt }
    }

    #[test]
    fn each_repeated_token_costs_one() {
        let text = Characters::new("abcd/");
        let context = RewardContext::of_tokenizer(&text);
        for (window, exempt, prompt, written, expected) in [
            (0, &[][..], "", "abca。", &[0.0, 0.0, 0.0, -1.0, 0.0][..]),
            // The prompt is context: its own repetition costs nothing, repeating it does.
            (0, &[], "aa", "ba", &[0.0, -1.0]),
            // A window of two sees `b` and `c`, then `c` and `a`.
            (2, &[], "ab", "cac", &[0.0, 0.0, -1.0]),
            (0, &["/"], "a/", "b/a", &[0.0, 0.0, -1.0]),
            (0, &[], "a/", "b/a", &[0.0, -1.0, -1.0]),
            // Special tokens are always exempt: `x` and `y` are both `<unk>`.
            (0, &[], "x", "yx", &[0.0, 0.0]),
        ] {
            let mut term = config(TokenWhen::Step, window, exempt).build(&context).unwrap();
            let given = term.score(&[text.episode(prompt, written)]).unwrap();
            assert_eq!(given[0].steps, expected, "window {window}, {prompt:?} {written:?}");
        }
    }

    #[test]
    fn at_the_end_the_share_counts() {
        let text = Characters::new("ab");
        let mut term = config(TokenWhen::End, 0, &[]).build(&RewardContext::of_tokenizer(&text)).unwrap();
        let given = term.score(&[text.episode("a", "abab")]).unwrap();
        assert_eq!(given[0].steps, [0.0, 0.0, 0.0, -0.75]);
    }

    #[test]
    fn exempt_tokens_must_be_one_known_token_each() {
        let text = Characters::new("ab");
        let message = |exempt| {
            let built = config(TokenWhen::Step, 0, &[exempt]).build(&RewardContext::of_tokenizer(&text));
            built.err().unwrap().to_string()
        };
        assert_eq!(message("c"), "reward term \"repetition\": exempt holds \"c\", which is not in the vocabulary");
        assert_eq!(
            message("ab"),
            "reward term \"repetition\": exempt holds \"ab\", which is 2 tokens; it must be exactly one"
        );
        assert_eq!(
            message(""),
            "reward term \"repetition\": exempt holds \"\", which is 0 tokens; it must be at least one"
        );
    }
}
