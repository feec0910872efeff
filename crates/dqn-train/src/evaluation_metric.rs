//! The figures of an evaluation by their names, so that runs can be compared by any of them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evaluation::Evaluation;

/// A figure of an [`Evaluation`] of which it is known whether more or less of it is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationMetric {
    /// Mean return.
    Return,
    /// What the game itself says of an episode.
    Score,
    /// Share of texts in the form that the reward asks for.
    FormKept,
    /// Perplexity of held-out text under the policy; the lower the better.
    PolicyPerplexity,
    /// Perplexity of what was written under the judge; the lower the better.
    ReferencePerplexity,
    /// Corpus BLEU.
    Bleu,
    /// Share of texts that are exactly what people wrote about the same source.
    Exact,
    /// Corpus chrF, where the task has sources.
    Chrf,
    /// Word error rate, where the task has sources; the lower the better.
    WordErrorRate,
    /// Character error rate, where the task has sources; the lower the better.
    CharacterErrorRate,
    /// Share of distinct bigrams.
    #[serde(rename = "distinct_2")]
    Distinct2,
    /// Share of distinct texts.
    Unique,
    /// Share of 5-grams that stand in the training text; the lower the better.
    #[serde(rename = "copied_5")]
    Copied5,
    /// Rank correlation of the values of held-out responses with their rewards.
    ValueCorrelation,
    /// Rank correlation of the likelihoods of held-out responses with their rewards.
    PolicyCorrelation,
    /// Mean reward of the quarter of the held-out responses that the policy finds likeliest.
    PreferredReward,
    /// Share of pairs of actions in which the expert's has the higher value.
    RankAccuracy,
}

impl EvaluationMetric {
    /// All of them, in the order of their columns.
    pub const ALL: [Self; 17] = [
        Self::Return,
        Self::Score,
        Self::FormKept,
        Self::PolicyPerplexity,
        Self::ReferencePerplexity,
        Self::Bleu,
        Self::Exact,
        Self::Chrf,
        Self::WordErrorRate,
        Self::CharacterErrorRate,
        Self::Distinct2,
        Self::Unique,
        Self::Copied5,
        Self::ValueCorrelation,
        Self::PolicyCorrelation,
        Self::PreferredReward,
        Self::RankAccuracy,
    ];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Return => "return",
            Self::Score => "score",
            Self::FormKept => "form_kept",
            Self::PolicyPerplexity => "policy_perplexity",
            Self::ReferencePerplexity => "reference_perplexity",
            Self::Bleu => "bleu",
            Self::Exact => "exact",
            Self::Chrf => "chrf",
            Self::WordErrorRate => "word_error_rate",
            Self::CharacterErrorRate => "character_error_rate",
            Self::Distinct2 => "distinct_2",
            Self::Unique => "unique",
            Self::Copied5 => "copied_5",
            Self::ValueCorrelation => "value_correlation",
            Self::PolicyCorrelation => "policy_correlation",
            Self::PreferredReward => "preferred_reward",
            Self::RankAccuracy => "rank_accuracy",
        }
    }

    /// The figure, where the evaluation has measured it.
    pub fn of(self, evaluation: &Evaluation) -> Option<f64> {
        match self {
            Self::Return => (!evaluation.unjudged).then_some(evaluation.episode_return.mean),
            Self::Score => evaluation.score,
            Self::FormKept => evaluation.form_kept,
            Self::PolicyPerplexity => evaluation.policy_perplexity,
            Self::ReferencePerplexity => evaluation.reference_perplexity,
            Self::Bleu => evaluation.bleu,
            Self::Exact => evaluation.answers.map(|answers| answers.exact),
            Self::Chrf => evaluation.answers.map(|answers| answers.chrf),
            Self::WordErrorRate => evaluation.answers.map(|answers| answers.word_error_rate),
            Self::CharacterErrorRate => evaluation.answers.map(|answers| answers.character_error_rate),
            Self::Distinct2 => evaluation.distinct_2,
            Self::Unique => evaluation.unique,
            Self::Copied5 => evaluation.copied_5,
            Self::ValueCorrelation => evaluation.held_out?.value_correlation,
            Self::PolicyCorrelation => evaluation.held_out.map(|found| found.policy_correlation),
            Self::PreferredReward => evaluation.held_out.map(|found| found.preferred_reward),
            Self::RankAccuracy => evaluation.diagnostics?.rank_accuracy,
        }
    }

    /// Whether more of it is better.
    pub fn is_higher_better(self) -> bool {
        !matches!(
            self,
            Self::PolicyPerplexity
                | Self::ReferencePerplexity
                | Self::WordErrorRate
                | Self::CharacterErrorRate
                | Self::Copied5
        )
    }
}

impl fmt::Display for EvaluationMetric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_read_by_its_own_name() {
        let value = serde_json::json!({
            "policy": "DQN greedy", "split": "validation", "terms": {}, "n_steps": 3.0, "n_episodes": 4, "seed": 0,
            "episode_return": { "mean": 0.0, "low": -1.0, "high": 1.0 }, "score": 1.0, "form_kept": 2.0,
            "policy_perplexity": 3.0, "reference_perplexity": 4.0, "bleu": 5.0,
            "answers": { "exact": 6.0, "chrf": 7.0, "word_error_rate": 8.0, "character_error_rate": 9.0 },
            "distinct_2": 10.0, "unique": 11.0, "copied_5": 12.0,
            "held_out": { "value_correlation": 13.0, "policy_correlation": 14.0, "preferred_reward": 15.0,
                          "mean_reward": 0.0, "n_responses": 4 },
            "diagnostics": { "mean_q": 0.0, "over_estimation": null, "action_gap": null, "rank_accuracy": 16.0,
                             "masked_fraction": 0.0 },
        });
        let evaluation: Evaluation = serde_json::from_value(value).unwrap();
        for (index, metric) in EvaluationMetric::ALL.into_iter().enumerate() {
            assert_eq!(metric.of(&evaluation), Some(index as f64), "{metric}");
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
        }
        let unjudged = Evaluation { unjudged: true, held_out: None, diagnostics: None, ..evaluation };
        for metric in [EvaluationMetric::Return, EvaluationMetric::PolicyCorrelation, EvaluationMetric::RankAccuracy] {
            assert_eq!(metric.of(&unjudged), None, "{metric}");
        }
    }
}
