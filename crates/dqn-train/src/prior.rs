//! A language model as a prior policy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dqn_core::Prior;
use dqn_core::batch::FORBIDDEN;
use dqn_mdp::{ActionTable, StateRef, TokenId};
use dqn_score::NgramLm;

/// An n-gram language model as a policy over the actions of a task.
///
/// The probability of an action is that of the tokens it writes, one after another, divided by the sum over all
/// actions: what the model gives to tokens that no action writes (such as `<unk>`) is shared out.
pub struct NgramPrior {
    lm: Arc<NgramLm>,
    actions: Arc<ActionTable>,
    /// For each action the log-probability of those of its tokens whose whole context lies within the action: the same
    /// after every text.
    tails: Vec<f64>,
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
        let tail = |tokens: &[TokenId]| {
            let first = (lm.order() - 1).min(tokens.len());
            (first..tokens.len()).map(|index| lm.log_prob(&tokens[..index], tokens[index])).sum()
        };
        let tails = actions.iter().map(|(_, tokens)| tail(tokens)).collect();
        Self { lm, actions, tails, rows: Mutex::default(), max_rows: max_rows.max(1) }
    }

    fn row(&self, state: &[TokenId]) -> Arc<[f32]> {
        let mut of_tokens = vec![0.0_f32; self.lm.vocab_size()];
        self.lm.log_distribution(state, &mut of_tokens);
        let mut text = state.to_vec();
        let mut of_action = |tokens: &[TokenId], tail: f64| match *tokens {
            [token] => of_tokens[token.index()],
            _ => {
                let mut total = tail;
                for &token in tokens.iter().take(self.lm.order() - 1) {
                    total += self.lm.log_prob(&text, token);
                    text.push(token);
                }
                text.truncate(state.len());
                total as f32
            }
        };
        let actions = self.actions.iter().zip(&self.tails);
        let mut row: Vec<f32> = actions.map(|((_, tokens), &tail)| of_action(tokens, tail)).collect();
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = row.iter().map(|&value| f64::from(value - highest).exp()).sum();
        let normalizer = highest + total.ln() as f32;
        row.iter_mut().for_each(|value| *value = (*value - normalizer).max(FORBIDDEN));
        row.into()
    }
}

impl Prior for NgramPrior {
    fn log_probs(&self, StateRef { tokens: state, .. }: StateRef<'_>, log_probs: &mut [f32]) {
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

#[cfg(test)]
mod tests {
    use dqn_score::NgramConfig;
    use dqn_text::Vocab;

    use super::*;

    #[test]
    fn an_action_is_as_probable_as_its_tokens_one_after_another() {
        let ids = |tokens: &[u32]| tokens.iter().copied().map(TokenId).collect::<Vec<_>>();
        let vocab = Vocab::new(["a", "b", "c"].map(str::to_owned)).unwrap();
        let texts: Vec<_> = [&[4_u32, 5, 6, 4, 5][..], &[5, 4, 6], &[6, 6, 4, 5, 6]].map(ids).to_vec();
        for order in 2..=4 {
            let lm = Arc::new(NgramLm::train(&NgramConfig { order }, &vocab, &texts).unwrap());
            let table = ActionTable::new(
                [&[3_u32][..], &[4], &[4, 5], &[6, 4, 5, 6], &[5, 4, 6, 6, 4], &[5, 3]].map(ids).to_vec(),
            );
            let prior = NgramPrior::new(Arc::clone(&lm), Arc::new(table.clone()));
            for state in [&[2_u32][..], &[2, 4], &[2, 6, 5, 4, 5]].map(ids) {
                let log_prob = |tokens: &[TokenId]| -> f64 {
                    let text = [state.as_slice(), tokens].concat();
                    lm.sequence_log_probs(&text, state.len()).iter().sum()
                };
                let weights: Vec<f64> = table.iter().map(|(_, tokens)| log_prob(tokens).exp()).collect();
                let mut found = vec![0.0; table.len()];
                prior.log_probs(state[..].into(), &mut found);
                for (found, weight) in found.iter().zip(&weights) {
                    let expected = (weight / weights.iter().sum::<f64>()).ln();
                    assert!((f64::from(*found) - expected).abs() < 1e-4, "{found} instead of {expected}");
                }
            }
        }
    }
}
