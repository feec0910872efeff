//! The reward of a run, as its configuration says it.

use dqn_mdp::Reward;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;
use crate::reward::{
    BleuTermConfig, DistinctConfig, FormConfig, KeywordsConfig, LengthConfig, LineForm, ReferenceLmConfig,
    RepetitionConfig, RewardContext, RewardSum, WeightedTerm,
};

/// What written text is worth: a weighted sum of terms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RewardConfig {
    /// The terms of the sum. Default none: the reward is what the environment itself gives.
    #[serde(default)]
    pub terms: Vec<TermConfig>,
}

/// One term of the reward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TermConfig {
    /// How likely a language model of human text finds each token.
    ReferenceLm(ReferenceLmConfig),
    /// -1 for each token that occurred before.
    Repetition(RepetitionConfig),
    /// The share of different n-grams in what was written.
    Distinct(DistinctConfig),
    /// Whether the line falls into clauses of the right lengths and ends where it should.
    Form(FormConfig),
    /// How far the length of the text is from a target.
    Length(LengthConfig),
    /// The share of given keywords that were written.
    Keywords(KeywordsConfig),
    /// BLEU of what was written against the references of the prompt.
    Bleu(BleuTermConfig),
}

impl RewardConfig {
    /// The terms, ready to judge episodes of the task of `context`.
    ///
    /// # Errors
    /// The first fault found in a term, and those of [`RewardSum::new`].
    pub fn build(&self, context: &RewardContext<'_>) -> Result<RewardSum, EnvError> {
        let weighted = |term: &TermConfig| Ok(WeightedTerm { weight: term.weight(), reward: term.build(context)? });
        RewardSum::new(self.terms.iter().map(weighted).collect::<Result<_, EnvError>>()?)
    }

    /// The line form the reward asks for: that of the first term of kind `form`, if there is one.
    ///
    /// # Errors
    /// As building that term.
    pub fn line_form(&self, context: &RewardContext<'_>) -> Result<Option<LineForm>, EnvError> {
        let form = self.terms.iter().find_map(|term| match term {
            TermConfig::Form(config) => Some(config),
            _ => None,
        });
        form.map(|config| config.line_form(context)).transpose()
    }
}

impl TermConfig {
    /// The name under which the term is logged.
    pub fn name(&self) -> &str {
        match self {
            TermConfig::ReferenceLm(config) => config.name(),
            TermConfig::Repetition(config) => config.name(),
            TermConfig::Distinct(config) => config.name(),
            TermConfig::Form(config) => config.name(),
            TermConfig::Length(config) => config.name(),
            TermConfig::Keywords(config) => config.name(),
            TermConfig::Bleu(config) => config.name(),
        }
    }

    /// What the term's rewards are multiplied by.
    pub fn weight(&self) -> f64 {
        match self {
            TermConfig::ReferenceLm(config) => config.weight,
            TermConfig::Repetition(config) => config.weight,
            TermConfig::Distinct(config) => config.weight,
            TermConfig::Form(config) => config.weight,
            TermConfig::Length(config) => config.weight,
            TermConfig::Keywords(config) => config.weight,
            TermConfig::Bleu(config) => config.weight,
        }
    }

    fn build(&self, context: &RewardContext<'_>) -> Result<Box<dyn Reward>, EnvError> {
        match self {
            TermConfig::ReferenceLm(config) => config.build(context),
            TermConfig::Repetition(config) => config.build(context),
            TermConfig::Distinct(config) => config.build(),
            TermConfig::Form(config) => config.build(context),
            TermConfig::Length(config) => config.build(),
            TermConfig::Keywords(config) => config.build(context),
            TermConfig::Bleu(config) => config.build(context),
        }
    }
}

/// The weight of a term that names none.
pub(super) fn default_weight() -> f64 {
    1.0
}
