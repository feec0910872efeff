//! Words that are wanted in the text.

use dqn_mdp::{MdpError, Reward, TermReward, Trajectory};
use dqn_text::{Special, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;
use crate::reward::config::default_weight;
use crate::reward::context::check;
use crate::reward::when::by_score;
use crate::reward::{RewardContext, TextWhen};

/// Settings of the term `keywords`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeywordsConfig {
    /// The name under which the term is logged. Default `keywords`.
    #[serde(default)]
    pub name: Option<String>,
    /// What the rewards of the term are multiplied by. Default 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// `end` gives the share of the keywords that were written with the last step; `difference` rewards each keyword
    /// with the step that completes it. Default `end`.
    #[serde(default)]
    pub when: TextWhen,
    /// The keywords; each is tokenized like any text, and its tokens must stand next to each other. The prompt does
    /// not count.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub keywords: Vec<String>,
    /// Score 1 where every keyword was written and 0 elsewhere, in place of their share. Default false.
    #[serde(default)]
    pub all: bool,
    /// Score 0 as long as the text has not ended with `<eos>`. Default false.
    #[serde(default)]
    pub ended: bool,
}

impl KeywordsConfig {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("keywords")
    }

    pub(super) fn build(&self, context: &RewardContext<'_>) -> Result<Box<dyn Reward>, EnvError> {
        let name = self.name().to_owned();
        check(!self.keywords.is_empty(), &name, "keywords", "empty", "at least one keyword")?;
        let tokens = self.keywords.iter().map(|keyword| context.tokens(&name, "keywords", keyword));
        let keywords = tokens.collect::<Result<_, _>>()?;
        let (when, all, ended) = (self.when, self.all, self.ended);
        Ok(Box::new(Keywords { name, when, keywords, all, ended }))
    }
}

/// The share of the keywords that occur in the written tokens.
struct Keywords {
    name: String,
    when: TextWhen,
    keywords: Vec<Vec<TokenId>>,
    all: bool,
    ended: bool,
}

impl Reward for Keywords {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, episodes: &[Trajectory]) -> Result<Vec<TermReward>, MdpError> {
        let score = |episode: &Trajectory| {
            let of_text = |text: &[TokenId]| {
                let written = &text[episode.n_start_tokens..];
                let occurs = |keyword: &&Vec<TokenId>| written.windows(keyword.len()).any(|tokens| tokens == *keyword);
                let n_written = self.keywords.iter().filter(occurs).count();
                match (self.ended && text.last() != Some(&Special::Eos.id()), self.all) {
                    (true, _) => 0.0,
                    (false, true) => f64::from(u8::from(n_written == self.keywords.len())),
                    (false, false) => n_written as f64 / self.keywords.len() as f64,
                }
            };
            by_score(self.when, episode, of_text)
        };
        Ok(episodes.iter().map(score).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::test_text::Characters;

    fn config(when: TextWhen, keywords: &[&str]) -> KeywordsConfig {
        let keywords = keywords.iter().map(|&keyword| keyword.to_owned()).collect();
        KeywordsConfig { name: None, weight: 1.0, when, keywords, all: false, ended: false }
    }

    #[test]
    fn written_keywords_count_once_each() {
        let text = Characters::new("明月光床前");
        let context = RewardContext::of_tokenizer(&text);
        for (when, prompt, written, expected) in [
            (TextWhen::End, "床前", "明月光。", &[0.0, 0.0, 0.0, 1.0][..]),
            (TextWhen::End, "床前", "明光月", &[0.0, 0.0, 0.5]),
            (TextWhen::Difference, "床前", "明月光光", &[0.0, 0.5, 0.5, 0.0]),
            // What the prompt says, wholly or in part, was not written.
            (TextWhen::Difference, "明月光", "前", &[0.0]),
            (TextWhen::Difference, "明", "月", &[0.0]),
        ] {
            let mut term = config(when, &["明月", "光"]).build(&context).unwrap();
            let given = term.score(&[text.episode(prompt, written)]).unwrap();
            assert_eq!(given[0].steps, expected, "{prompt} {written}");
        }
    }

    #[test]
    fn all_of_them_may_be_asked_for_in_a_text_that_ends() {
        let text = Characters::new("明月光床前");
        for (all, ended, written, expected) in [
            (true, false, "明月光前", &[0.0, 0.0, 1.0, 0.0][..]),
            (true, false, "明月前", &[0.0, 0.0, 0.0]),
            (true, true, "明月光。", &[0.0, 0.0, 0.0, 1.0]),
            (true, true, "明月光前", &[0.0, 0.0, 0.0, 0.0]),
            (true, true, "明月。", &[0.0, 0.0, 0.0]),
            (false, true, "明月。", &[0.0, 0.0, 0.5]),
        ] {
            let config = KeywordsConfig { all, ended, ..config(TextWhen::Difference, &["明月", "光"]) };
            let mut term = config.build(&RewardContext::of_tokenizer(&text)).unwrap();
            let given = term.score(&[text.episode("床", written)]).unwrap();
            assert_eq!(given[0].steps, expected, "{all} {ended} {written}");
        }
    }

    #[test]
    fn keywords_must_be_known_and_at_least_one() {
        let text = Characters::new("明月");
        let message = |keywords: &[&str]| {
            let built = config(TextWhen::End, keywords).build(&RewardContext::of_tokenizer(&text));
            built.err().unwrap().to_string()
        };
        assert_eq!(message(&[]), "reward term \"keywords\": keywords is empty; it must be at least one keyword");
        assert_eq!(
            message(&["明月", "明日"]),
            "reward term \"keywords\": keywords holds \"明日\", which is not in the vocabulary"
        );
        assert_eq!(
            message(&[""]),
            "reward term \"keywords\": keywords holds \"\", which is 0 tokens; it must be at least one"
        );
    }
}
