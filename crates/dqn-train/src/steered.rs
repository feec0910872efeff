//! A frozen language model with the values that a run has learned on it.

use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_core::QNetwork;
use dqn_model::{TextQNetwork, TorsoConfig};
use dqn_text::tokenizer::TextTokenizer;

use crate::TrainError;
use crate::experiment::Experiment;
use crate::language_model::LanguageModel;

/// What a frozen model is weighed against when it writes.
#[derive(Clone, Debug)]
pub struct Values {
    network: TextQNetwork,
    /// For each token of the model the action that writes it.
    actions: Tensor<1, Int>,
    /// 1 for tokens that an action writes, 0 for others.
    is_action: Tensor<1>,
}

impl Values {
    /// The model and the values of a run whose torso is a frozen model.
    ///
    /// # Errors
    /// [`TrainError::NotOffered`] for any other run, and what reading the model's folder refuses.
    pub fn of(
        experiment: &Experiment,
        network: TextQNetwork,
        device: &Device,
    ) -> Result<(LanguageModel, Self), TrainError> {
        let not_offered = |why: &str| TrainError::NotOffered { what: "serving".to_owned(), why: why.to_owned() };
        let (TorsoConfig::Pretrained(torso), Some(TextTokenizer::Model(tokenizer))) =
            (&experiment.config.network.torso, experiment.tokenizer())
        else {
            return Err(not_offered("only runs on a pretrained model are served, and this one has another torso"));
        };
        if !torso.is_frozen() {
            return Err(not_offered("the values of this run are those of a changed model: a frozen one is served"));
        }
        let model = LanguageModel::load(&torso.folder, device)?;
        let n_tokens = model.lm.config().vocab_size;
        let (mut actions, mut is_action) = (vec![0_i64; n_tokens], vec![0.0_f32; n_tokens]);
        for (action, tokens) in experiment.actions.iter() {
            if let [token] = tokens {
                let id = tokenizer.model_ids()[token.index()].index();
                (actions[id], is_action[id]) = (i64::from(action.0), 1.0);
            }
        }
        let actions = Tensor::from_data(TensorData::new(actions, [n_tokens]), device);
        let is_action = Tensor::from_data(TensorData::new(is_action, [n_tokens]), device);
        Ok((model, Self { network: network.for_acting(), actions, is_action }))
    }

    /// `Q(s, a) - V(s)` of every token of the model, 0 for those that no action writes.
    ///
    /// # Shapes
    /// - `hidden`: `[texts, width]`, after the model's last norm
    /// - returns `[texts, tokens]`
    pub fn advantages(&self, hidden: Tensor<2>) -> Tensor<2> {
        let advantages = self.network.advantages(hidden).select(1, self.actions.clone());
        advantages * self.is_action.clone().unsqueeze()
    }
}
