//! A language model as a prior policy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dqn_core::Prior;
use dqn_core::batch::FORBIDDEN;
use dqn_mdp::{ActionTable, TokenId};
use dqn_score::NgramLm;

/// An n-gram language model as a policy over the actions of a task.
///
/// The probability of an action is that of the tokens it writes, one after another, divided by the sum over all
/// actions: what the model gives to tokens that no action writes (such as `<unk>`) is shared out.
pub struct NgramPrior {
    lm: Arc<NgramLm>,
    actions: Arc<ActionTable>,
    /// Rows by context: a context recurs within a batch and between updates, and a row costs a pass over the
    /// vocabulary.
    rows: Mutex<Rows>,
    max_rows: usize,
}

/// Log-probabilities of all actions by context.
type Rows = HashMap<Box<[TokenId]>, Arc<[f32]>>;

/// Memory that cached rows may take together.
const CACHE_BYTES: usize = 64 << 20;

impl NgramPrior {
    /// The policy of `lm` over `actions`.
    pub fn new(lm: Arc<NgramLm>, actions: Arc<ActionTable>) -> Self {
        let max_rows = CACHE_BYTES / (size_of::<f32>() * actions.len());
        Self { lm, actions, rows: Mutex::default(), max_rows }
    }

    fn row(&self, state: &[TokenId]) -> Arc<[f32]> {
        let mut of_tokens = vec![0.0_f32; self.lm.vocab_size()];
        self.lm.log_distribution(state, &mut of_tokens);
        let of_action = |tokens: &[TokenId]| match *tokens {
            [token] => of_tokens[token.index()],
            _ => {
                let mut text = state.to_vec();
                let mut total = 0.0;
                for &token in tokens {
                    total += self.lm.log_prob(&text, token);
                    text.push(token);
                }
                total as f32
            }
        };
        let mut row: Vec<f32> = self.actions.iter().map(|(_, tokens)| of_action(tokens)).collect();
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = row.iter().map(|&value| f64::from(value - highest).exp()).sum();
        let normalizer = highest + total.ln() as f32;
        row.iter_mut().for_each(|value| *value = (*value - normalizer).max(FORBIDDEN));
        row.into()
    }
}

impl Prior for NgramPrior {
    fn log_probs(&self, state: &[TokenId], log_probs: &mut [f32]) {
        let key = self.lm.context_key(state);
        let cached = self.rows.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        let row = cached.unwrap_or_else(|| {
            let row = self.row(state);
            let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            if rows.len() >= self.max_rows {
                rows.clear();
            }
            rows.insert(key.into(), Arc::clone(&row));
            row
        });
        log_probs.copy_from_slice(&row);
    }
}
