//! A pretrained language model with what a run has learned: its own weights, and values beside it.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_core::QNetwork;
use dqn_model::pretrained::CausalLm;
use dqn_model::{HeadConfig, TextQNetwork};
use dqn_text::tokenizer::TextTokenizer;

use crate::TrainError;
use crate::experiment::Experiment;
use crate::language_model::{LanguageModel, LanguageModelFiles};

/// The files of the pretrained model that a run is on, and the model with what the run has learned in its weights.
///
/// # Errors
/// [`TrainError::NotOffered`] for a run on no pretrained model, and what reading the model's folder refuses.
pub fn trained_model(
    experiment: &Experiment,
    network: &TextQNetwork,
) -> Result<(LanguageModelFiles, CausalLm), TrainError> {
    match (experiment.config.network.torso.pretrained(), network.language_model()) {
        (Some(torso), Some(lm)) => Ok((LanguageModelFiles::open(&torso.folder)?, lm)),
        _ => Err(TrainError::NotOffered {
            what: "a language model".to_owned(),
            why: "the torso of this run is no pretrained one (network.torso)".to_owned(),
        }),
    }
}

/// What a model is weighed against when it writes.
#[derive(Clone, Debug)]
pub struct Values {
    network: TextQNetwork,
    /// For each token of the model the action that writes it.
    actions: Tensor<1, Int>,
    /// For each action the token that it writes.
    tokens: Tensor<1, Int>,
    /// 1 for tokens that an action writes, 0 for others.
    is_action: Tensor<1>,
}

impl Values {
    /// The model of a run, and the values that it learned on it: none where the values are the logits of the model itself.
    ///
    /// # Errors
    /// [`TrainError::NotOffered`] for a run on no pretrained model, and what reading the model's folder refuses.
    pub fn of(
        experiment: &Experiment,
        network: TextQNetwork,
        device: &Device,
    ) -> Result<(LanguageModel, Option<Self>), TrainError> {
        let (files, lm) = trained_model(experiment, &network)?;
        let mut model = files.with(lm);
        if experiment.config.network.head == (HeadConfig::LanguageModel {}) {
            return Ok((model, None));
        }
        if let Some(torso) = experiment.config.network.torso.pretrained() {
            model.lm = model.lm.showing(torso.states);
        }
        let n_tokens = model.lm.config().vocab_size;
        let (mut actions, mut is_action) = (vec![0_i64; n_tokens], vec![0.0_f32; n_tokens]);
        let mut written = Vec::with_capacity(experiment.actions.len());
        let Some(TextTokenizer::Model(tokenizer)) = experiment.tokenizer() else {
            let message = "a pretrained model was accepted for a task without its tokenizer".to_owned();
            return Err(TrainError::Internal { message });
        };
        for (action, tokens) in experiment.actions.iter() {
            if let [token] = tokens {
                let id = tokenizer.model_ids()[token.index()].index();
                (actions[id], is_action[id]) = (i64::from(action.0), 1.0);
                written.push(id as i64);
            }
        }
        let n_actions = written.len();
        let tokens = Tensor::from_data(TensorData::new(written, [n_actions]), device);
        let actions = Tensor::from_data(TensorData::new(actions, [n_tokens]), device);
        let is_action = Tensor::from_data(TensorData::new(is_action, [n_tokens]), device);
        Ok((model, Some(Self { network: network.for_acting(), actions, tokens, is_action })))
    }

    /// `Q(s, a) - V(s)` of every token of the model, 0 for those that no action writes. Where no value of the state was
    /// learned it is the mean of those of the tokens under the model.
    ///
    /// # Shapes
    /// - `hidden`: `[texts, features]`, those that the network of the run reads
    /// - `logits`: `[texts, tokens]`, the model's
    /// - returns `[texts, tokens]`
    pub fn advantages(&self, hidden: Tensor<2>, logits: Tensor<2>) -> Tensor<2> {
        let policy = softmax(logits.select(1, self.tokens.clone()), 1);
        let advantages = self.network.advantages(hidden, policy).select(1, self.actions.clone());
        advantages * self.is_action.clone().unsqueeze()
    }
}
