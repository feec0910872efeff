//! What reward terms are built from, besides their settings.

use std::collections::HashMap;
use std::sync::Arc;

use dqn_mdp::Prompt;
use dqn_score::NgramLm;
use dqn_text::{Special, TokenId, Tokenizer};

use crate::EnvError;

/// For each prompt the texts that may follow it, given without `<eos>`.
pub type References = HashMap<Prompt, Vec<Vec<TokenId>>>;

/// What a task offers to its reward terms.
#[derive(Clone, Debug)]
pub struct RewardContext<'a> {
    /// Turns the texts of the settings into tokens.
    pub tokenizer: &'a dyn Tokenizer,
    /// The language model of the term `reference_lm`.
    pub reference_lm: Option<Arc<NgramLm>>,
    /// Mean negative log-probability of a token of human text under that model, in nats.
    pub centre_nats: Option<f64>,
    /// What the term `bleu` compares with.
    pub references: Arc<References>,
    /// The texts that episodes are about by their [ids](dqn_mdp::SourceId); empty where they are about none, or about
    /// recordings.
    pub sources: Arc<[String]>,
}

impl<'a> RewardContext<'a> {
    /// The context of a task that offers a tokenizer alone.
    pub fn of_tokenizer(tokenizer: &'a dyn Tokenizer) -> Self {
        Self { tokenizer, reference_lm: None, centre_nats: None, references: Arc::default(), sources: Arc::default() }
    }

    /// The one token of `value`, which stands at `key` in the settings of `term`.
    pub(super) fn token(&self, term: &str, key: &'static str, value: &str) -> Result<TokenId, EnvError> {
        let tokens = self.tokens(term, key, value)?;
        match tokens[..] {
            [token] => Ok(token),
            _ => Err(EnvError::TokenCount {
                term: term.to_owned(),
                key,
                value: value.to_owned(),
                found: tokens.len(),
                allowed: "exactly one",
            }),
        }
    }

    /// The tokens of `value`, of which there is at least one.
    pub(super) fn tokens(&self, term: &str, key: &'static str, value: &str) -> Result<Vec<TokenId>, EnvError> {
        let (term, value) = (term.to_owned(), value.to_owned());
        match self.tokenizer.encode(&value) {
            Err(source) => Err(EnvError::Tokenize { term, key, value, source: Box::new(source) }),
            Ok(tokens) if tokens.contains(&Special::Unk.id()) => Err(EnvError::NotInVocabulary { term, key, value }),
            Ok(tokens) if tokens.is_empty() => {
                Err(EnvError::TokenCount { term, key, value, found: 0, allowed: "at least one" })
            }
            Ok(tokens) => Ok(tokens),
        }
    }
}

/// Refuses a setting of `term` unless `holds`.
pub(super) fn check(
    holds: bool,
    term: &str,
    key: &'static str,
    found: impl ToString,
    allowed: &'static str,
) -> Result<(), EnvError> {
    if holds {
        return Ok(());
    }
    Err(EnvError::TermValue { term: term.to_owned(), key, found: found.to_string(), allowed })
}
