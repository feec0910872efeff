//! An experiment to write with, without the data that it was learned from.

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::Device;
use dqn_core::policy::Exploration;
use dqn_mdp::{ActionTable, Sources};
use dqn_text::Tokenizer;
use dqn_text::split::Split;

use super::{Experiment, SourcedTask, Tokenizers};
use crate::TrainError;
use crate::config::{ActionsConfig, ExperimentConfig, PriorConfig};
use crate::sourced::SourceReading;
use crate::text::TextData;

impl Experiment {
    /// What `config` describes, as far as it takes to write about sources that people give: it has no examples, and begins with
    /// no other run. Nothing is read of the data, so that they need not be there.
    ///
    /// `None` where writing takes what only the data tell: actions made of them, a prior learned from them.
    ///
    /// # Errors
    /// As [`Experiment::build`].
    pub(crate) fn for_answers(
        config: &ExperimentConfig,
        tokenizers: &Tokenizers,
        device: &Device,
    ) -> Result<Option<Self>, TrainError> {
        let mut config = config.clone();
        let (Exploration::EpsilonGreedy { from_prior, .. } | Exploration::Boltzmann { from_prior, .. }) =
            config.exploration;
        config.prior = config.prior.filter(|_| from_prior);
        config.training.initial = None;
        let Some((reader, kind)) = SourceReading::of(&config.environment, tokenizers.sources.as_ref())? else {
            return Ok(None);
        };
        if config.actions != (ActionsConfig::Vocabulary { candidates: None })
            || matches!(config.prior, Some(PriorConfig::Ngram { .. }))
        {
            return Ok(None);
        }
        let tokenizer = tokenizers.texts.clone();
        let vocab = tokenizer.vocab().clone();
        let actions = ActionTable::of_vocab(&vocab);
        let nothing = Split::ALL.into_iter().map(|split| (split, Vec::new())).collect();
        let text = TextData::of_parts(&nothing, tokenizer, String::new())?;
        let mut experiment = Self {
            text: Some(text),
            sourced: Some(SourcedTask { reader, shown: Arc::default(), prompts: HashMap::new() }),
            ..Self::of_actions(config, vocab, actions)?
        };
        experiment.encoder.sources = Some(Arc::new(Sources::new(kind, Vec::new())));
        experiment.take_pretrained(device)?;
        experiment.take_from_other_runs(device)?;
        Ok(Some(experiment))
    }
}
