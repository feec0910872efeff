//! Similarity to reference texts as strings: chrF, TER, ROUGE and error rates.

use std::collections::HashMap;
use std::sync::Arc;

use dqn_mdp::{MdpError, Prompt, Reward, TermReward, TokenId, Trajectory};
use dqn_score::{AlignmentUnit, Chrf, ChrfConfig, CorpusMetric, Rouge, RougeKind, RougeTokenizer, Ter, TerConfig};
use dqn_text::Tokenizer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;
use crate::reward::config::default_weight;
use crate::reward::context::check;
use crate::reward::when::by_text;
use crate::reward::{RewardContext, TextWhen};

/// Settings of the term `similarity`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimilarityConfig {
    /// The name under which the term is logged. Default that of the metric.
    #[serde(default)]
    pub name: Option<String>,
    /// What the rewards of the term are multiplied by; similarities are 0 to 1, error rates 0 and below. Default 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// `end` gives the score with the last step, `difference` its change with each step. Default `end`.
    #[serde(default)]
    pub when: TextWhen,
    /// What is compared.
    pub metric: SimilarityMetric,
}

/// How alike two texts are; of several references the one most like what was written counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SimilarityMetric {
    /// chrF, and with `word_order = 2` chrF++, as in sacreBLEU but from 0 to 1.
    Chrf(ChrfConfig),
    /// The negative translation edit rate, as in sacreBLEU but in edits a word.
    Ter(TerConfig),
    /// The F-measure of ROUGE, as in rouge-score.
    Rouge {
        /// Default `rougeL`.
        #[serde(default = "default_variant")]
        variant: RougeKind,
        /// How texts are divided. Default `words`; `characters` suits Chinese.
        #[serde(default)]
        tokenizer: RougeTokenizer,
    },
    /// The negative error rate, as in jiwer.
    ErrorRate {
        /// What is counted: `words` give the word error rate, `characters` the character error rate. Default `words`.
        #[serde(default)]
        unit: AlignmentUnit,
    },
}

fn default_variant() -> RougeKind {
    RougeKind::RougeL
}

impl SimilarityConfig {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(match self.metric {
            SimilarityMetric::Chrf(_) => "chrf",
            SimilarityMetric::Ter(_) => "ter",
            SimilarityMetric::Rouge { .. } => "rouge",
            SimilarityMetric::ErrorRate { .. } => "error_rate",
        })
    }

    pub(super) fn build(&self, context: &RewardContext<'_>) -> Result<Box<dyn Reward>, EnvError> {
        let name = self.name().to_owned();
        if context.references.is_empty() || context.references.values().any(Vec::is_empty) {
            return Err(EnvError::Missing { term: name, needed: "at least one reference for each prompt" });
        }
        let compare: Compare = match self.metric {
            SimilarityMetric::Chrf(config) => {
                let ChrfConfig { char_order, word_order, .. } = config;
                check((1..=16).contains(&char_order), &name, "metric.char_order", char_order, "1 to 16")?;
                check(word_order <= 16, &name, "metric.word_order", word_order, "0 to 16")?;
                let chrf = Chrf::new(config).expect("its orders were checked");
                Box::new(move |written, references| of_segment(&chrf, written, references) / 100.0)
            }
            SimilarityMetric::Ter(config) => {
                let ter = Ter::new(config);
                Box::new(move |written, references| -of_segment(&ter, written, references) / 100.0)
            }
            SimilarityMetric::Rouge { variant, tokenizer } => {
                let rouge = Rouge::new(variant, tokenizer);
                let best = f64::max;
                Box::new(move |written, references| {
                    let score = |reference: &String| rouge.score(written, reference).f_measure;
                    references.iter().map(score).fold(0.0, best)
                })
            }
            SimilarityMetric::ErrorRate { unit } => Box::new(move |written, references| {
                let rate = |reference: &String| unit.align(written, reference).error_rate();
                -references.iter().map(rate).fold(f64::INFINITY, f64::min)
            }),
        };
        let decoded = |prompt: &Prompt, text: &[TokenId]| match prompt.tokens.is_empty() {
            true => context.tokenizer.decode(text),
            false => context.tokenizer.decode_after(text),
        };
        let decode = |(prompt, texts): (&Prompt, &Vec<Vec<TokenId>>)| {
            (prompt.clone(), texts.iter().map(|text| decoded(prompt, text)).collect())
        };
        let references = context.references.iter().map(decode).collect();
        Ok(Box::new(Similarity { name, when: self.when, compare, references, tokenizer: context.tokenizer.share() }))
    }
}

/// The score of one text against its references.
type Compare = Box<dyn Fn(&str, &[String]) -> f64 + Send>;

fn of_segment<M: CorpusMetric>(metric: &M, written: &str, references: &[String]) -> f64 {
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    metric.corpus_score(&metric.segment(written, &references))
}

/// A score of what was written, without `<eos>`, against the references of the prompt.
struct Similarity {
    name: String,
    when: TextWhen,
    compare: Compare,
    references: HashMap<Prompt, Vec<String>>,
    tokenizer: Arc<dyn Tokenizer>,
}

impl Reward for Similarity {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, episodes: &[Trajectory]) -> Result<Vec<TermReward>, MdpError> {
        let score = |episode: &Trajectory| {
            let prompt = episode.prompt();
            let references = self.references.get(&prompt).ok_or_else(|| MdpError::Reward {
                term: self.name.clone(),
                message: format!("the prompt {:?} has no references", self.tokenizer.decode(&prompt.tokens)),
            })?;
            Ok(by_text(self.when, episode, &*self.tokenizer, |written| (self.compare)(written, references)))
        };
        episodes.iter().map(score).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::reward::test_text::Characters;

    fn context(text: &Characters) -> RewardContext<'_> {
        let references = [("a", vec!["bcd", "dcb"])].map(|(prompt, references)| {
            (text.ids(prompt).into(), references.into_iter().map(|reference| text.ids(reference)).collect())
        });
        RewardContext { references: Arc::new(references.into()), ..RewardContext::of_tokenizer(text) }
    }

    fn given(metric: Value, when: &str, written: &str) -> Vec<f32> {
        let text = Characters::new("abcdx");
        let config: SimilarityConfig = serde_json::from_value(json!({ "metric": metric, "when": when })).unwrap();
        let mut term = config.build(&context(&text)).unwrap();
        term.score(&[text.episode("a", written)]).unwrap().remove(0).steps
    }

    #[test]
    fn the_nearest_reference_counts() {
        for (metric, same, other) in [
            (json!({ "kind": "chrf", "char_order": 1 }), 1.0, 0.0),
            (json!({ "kind": "ter" }), 0.0, -1.0),
            (json!({ "kind": "rouge", "tokenizer": "characters" }), 1.0, 0.0),
            (json!({ "kind": "error_rate", "unit": "characters" }), 0.0, -1.0),
        ] {
            for (written, expected) in [("bcd。", same), ("dcb。", same), ("xxx。", other)] {
                let steps = given(metric.clone(), "end", written);
                assert_eq!(steps.last(), Some(&expected), "{metric} of {written}");
                assert!(steps[..steps.len() - 1].iter().all(|&step| step == 0.0));
            }
        }
    }

    #[test]
    fn differences_add_up_to_the_score() {
        let steps = given(json!({ "kind": "error_rate", "unit": "characters" }), "difference", "bxd。");
        // Nothing written is 3 deletions; then 2, then 2 with a substitution, then 1.
        let thirds: Vec<i32> = steps.iter().map(|step| (step * 3.0).round() as i32).collect();
        assert_eq!(thirds, [1, 0, 1, 0]);
    }

    #[test]
    fn prompts_without_references_are_faults() {
        let text = Characters::new("abcdx");
        let config: SimilarityConfig = serde_json::from_value(json!({ "metric": { "kind": "ter" } })).unwrap();
        assert_eq!(config.name(), "ter");
        let error = config.build(&RewardContext::of_tokenizer(&text)).err().unwrap().to_string();
        assert!(error.contains("at least one reference for each prompt"), "{error}");
        let error = config.build(&context(&text)).unwrap().score(&[text.episode("d", "b")]).unwrap_err().to_string();
        assert!(error.contains("the prompt \"d\" has no references"), "{error}");
    }
}
