//! What says how likely, and how good, each token is as the next one.

use std::sync::Arc;

use dqn_serve::EngineError;
use dqn_text::TokenId;
use dqn_train::TrainError;
use dqn_train::language_model::LanguageModel;
use dqn_train::steered::Values;

/// What is said of the next token of each of several texts, row after row.
pub(crate) struct Said {
    /// Logits of the language model: one for each token and text.
    pub(crate) logits: Vec<f32>,
    /// `Q(s, a) - V(s)`, where there are values: the same in shape.
    pub(crate) advantages: Option<Vec<f32>>,
}

/// Reads texts and tells of their next tokens.
pub(crate) trait Speaker: Send {
    /// What is kept of texts that were read; its rows are the texts.
    type Read: Send;

    /// The model and its tokenizer.
    fn model(&self) -> &Arc<LanguageModel>;

    /// Whether [`Said::advantages`] are told.
    fn has_values(&self) -> bool;

    /// Reads the beginning of a text, which has room for `n_more` tokens after it.
    fn start(&self, prompt: &[TokenId], n_more: usize) -> Result<(Self::Read, Said), EngineError>;

    /// Reads one more token of each text.
    fn step(&self, tokens: &[TokenId], read: &mut Self::Read) -> Result<Said, EngineError>;

    /// The texts of one and after them those of another.
    fn join(&self, one: Self::Read, other: Self::Read) -> Self::Read;

    /// The texts of these rows, which are in order; none where no row is named.
    fn select(&self, read: Self::Read, rows: &[usize]) -> Option<Self::Read>;
}

/// A language model by itself.
pub(crate) struct Plain(pub(crate) Arc<LanguageModel>);

impl Plain {
    fn said(&self, hidden: burn::tensor::Tensor<2>) -> Result<Said, EngineError> {
        let logits = self.0.lm.logits(hidden).try_into_vec_as::<f32>();
        Ok(Said { logits: logits.map_err(|error| failed(&error))?, advantages: None })
    }
}

impl Speaker for Plain {
    type Read = dqn_model::pretrained::LmState;

    fn model(&self) -> &Arc<LanguageModel> {
        &self.0
    }

    fn has_values(&self) -> bool {
        false
    }

    fn start(&self, prompt: &[TokenId], n_more: usize) -> Result<(Self::Read, Said), EngineError> {
        let (read, hidden) = self.0.lm.start(&[prompt], n_more).map_err(refused)?;
        Ok((read, self.said(hidden)?))
    }

    fn step(&self, tokens: &[TokenId], read: &mut Self::Read) -> Result<Said, EngineError> {
        let hidden = self.0.lm.step(tokens, read).map_err(|error| failed(&error))?;
        self.said(hidden)
    }

    fn join(&self, one: Self::Read, other: Self::Read) -> Self::Read {
        one.join(other)
    }

    fn select(&self, read: Self::Read, rows: &[usize]) -> Option<Self::Read> {
        read.select(rows)
    }
}

/// A language model with values that a run has learned on it.
pub(crate) struct Steered {
    pub(crate) plain: Plain,
    pub(crate) values: Values,
}

impl Steered {
    fn said(&self, hidden: burn::tensor::Tensor<2>) -> Result<Said, EngineError> {
        let advantages = self.values.advantages(hidden.clone()).try_into_vec_as::<f32>();
        Ok(Said { advantages: Some(advantages.map_err(|error| failed(&error))?), ..self.plain.said(hidden)? })
    }
}

impl Speaker for Steered {
    type Read = dqn_model::pretrained::LmState;

    fn model(&self) -> &Arc<LanguageModel> {
        &self.plain.0
    }

    fn has_values(&self) -> bool {
        true
    }

    fn start(&self, prompt: &[TokenId], n_more: usize) -> Result<(Self::Read, Said), EngineError> {
        let (read, hidden) = self.model().lm.start(&[prompt], n_more).map_err(refused)?;
        Ok((read, self.said(hidden)?))
    }

    fn step(&self, tokens: &[TokenId], read: &mut Self::Read) -> Result<Said, EngineError> {
        let hidden = self.model().lm.step(tokens, read).map_err(|error| failed(&error))?;
        self.said(hidden)
    }

    fn join(&self, one: Self::Read, other: Self::Read) -> Self::Read {
        self.plain.join(one, other)
    }

    fn select(&self, read: Self::Read, rows: &[usize]) -> Option<Self::Read> {
        self.plain.select(read, rows)
    }
}

/// The request cannot be answered by this model.
pub(crate) fn refused(error: impl Into<TrainError>) -> EngineError {
    EngineError::Refused { message: error.into().to_string() }
}

/// The model failed.
pub(crate) fn failed(error: &dyn std::fmt::Display) -> EngineError {
    EngineError::Failed { message: error.to_string() }
}
