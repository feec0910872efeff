//! What says how likely, and how good, each token is as the next one.

use std::fmt::Display;
use std::sync::Arc;

use burn::tensor::Tensor;
use dqn_model::pretrained::LmState;
use dqn_serve::EngineError;
use dqn_text::TokenId;
use dqn_train::TrainError;
use dqn_train::language_model::LanguageModel;
use dqn_train::steered::Values;

/// A language model, by itself or with values that a run has learned on it.
pub(crate) struct Speaker {
    pub(crate) model: Arc<LanguageModel>,
    pub(crate) values: Option<Values>,
}

/// What is said of the next token of each of several texts, row after row.
pub(crate) struct Said {
    /// Logits of the language model: one for each token and text.
    pub(crate) logits: Vec<f32>,
    /// `Q(s, a) - V(s)`, where there are values: the same in shape.
    pub(crate) advantages: Option<Vec<f32>>,
}

impl Speaker {
    /// Reads the beginning of a text, which has room for `n_more` tokens after it.
    pub(crate) fn start(&self, prompt: &[TokenId], n_more: usize) -> Result<(LmState, Said), EngineError> {
        let (read, hidden) = self.model.lm.start(&[prompt], n_more).map_err(refused)?;
        Ok((read, self.said(hidden)?))
    }

    /// Reads one more token of each text.
    pub(crate) fn step(&self, tokens: &[TokenId], read: &mut LmState) -> Result<Said, EngineError> {
        let hidden = self.model.lm.step(tokens, read).map_err(|error| failed(&error))?;
        self.said(hidden)
    }

    fn said(&self, hidden: Tensor<2>) -> Result<Said, EngineError> {
        let numbers = |tensor: Tensor<2>| tensor.try_into_vec_as::<f32>().map_err(|error| failed(&error));
        let logits = self.model.lm.logits(hidden.clone());
        let advantages = match &self.values {
            Some(values) => Some(numbers(values.advantages(hidden, logits.clone()))?),
            None => None,
        };
        Ok(Said { logits: numbers(logits)?, advantages })
    }
}

/// The request cannot be answered by this model.
pub(crate) fn refused(error: impl Into<TrainError>) -> EngineError {
    EngineError::Refused { message: error.into().to_string() }
}

/// The model failed.
pub(crate) fn failed(error: &dyn Display) -> EngineError {
    EngineError::Failed { message: error.to_string() }
}
