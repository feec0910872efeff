//! The n-gram language model: how likely each token is after a context.
//!
//! The model is held in back-off form: every context has a back-off weight and the probabilities of the tokens
//! listed after it, and a token that is not listed takes its probability from the context without its first token,
//! times the weight. This is what an ARPA file holds, so writing and reading loses nothing.

use std::collections::HashMap;

use dqn_text::{Special, TokenId, Vocab};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ScoreError, kneser_ney};

/// The smallest n-gram order: below it no context is looked at.
pub(crate) const MIN_ORDER: usize = 2;
/// The largest n-gram order.
pub(crate) const MAX_ORDER: usize = 5;

/// The empty context, which is node 0 of every model.
const EMPTY: u32 = 0;

/// Settings of an n-gram language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NgramConfig {
    /// Length of the longest n-grams, in tokens: a token's probability depends on the order - 1 tokens before it.
    /// Default 3, since longer n-grams are rarely met again in corpora of a few hundred kB.
    #[serde(default = "default_order")]
    #[schemars(range(min = 2, max = 5))]
    pub order: usize,
}

fn default_order() -> usize {
    3
}

impl Default for NgramConfig {
    fn default() -> Self {
        Self { order: default_order() }
    }
}

/// A context and what is known to follow it.
#[derive(Clone, Debug, PartialEq)]
struct Context {
    /// The first token; meaningless in the empty context.
    token: TokenId,
    /// The context without its first token.
    shorter: u32,
    /// Base-10 logarithm of the weight of `shorter` for tokens that are not listed here.
    back_off: f64,
    /// The first place of this context in the arrays of listed tokens.
    first: usize,
    /// How many tokens are listed.
    n_listed: usize,
}

/// An n-gram language model over the tokens of a vocabulary.
///
/// [`NgramLm::train`] estimates it with interpolated modified Kneser-Ney smoothing. A text stands between one `<bos>`
/// and one `<eos>`; `<eos>` is predicted, `<bos>` and `<pad>` never are, and `<unk>` is a token like any other. After
/// every context, seen in training or not, the probabilities of all tokens sum to 1 and each is above 0.
#[derive(Clone, Debug, PartialEq)]
pub struct NgramLm {
    order: usize,
    /// Base-10 logarithms for the whole vocabulary: what the empty context lists, as a dense array.
    unigrams: Vec<f64>,
    contexts: Vec<Context>,
    /// From a context and the token before it to the context that begins with that token.
    longer: HashMap<(u32, TokenId), u32>,
    /// The tokens listed after each context, ascending within a context, and their base-10 logarithms.
    listed: Vec<TokenId>,
    listed_log10: Vec<f64>,
}

impl NgramLm {
    /// Estimates a model by interpolated modified Kneser-Ney smoothing, with three discounts for each order.
    ///
    /// `sequences` hold neither `<bos>` nor `<eos>`: the model puts one before and one after each of them.
    ///
    /// ```text
    /// p(w | h) = (a(hw) - D(a(hw))) / sum_v a(hv) + gamma(h) p(w | h')
    /// gamma(h) = (D1 N1(h) + D2 N2(h) + D3 N3+(h)) / sum_v a(hv)
    /// ```
    ///
    /// `h'` is `h` without its first token; below the unigrams stands the uniform distribution over all tokens but
    /// `<pad>` and `<bos>`. `a` is the count of an n-gram of the highest order or of one that begins with `<bos>`, and
    /// for all others the number of different tokens seen before it. The discounts of an order come from `t_i`, its
    /// number of n-grams with `a = i`: `Y = t1 / (t1 + 2 t2)`, `D_i = i - (i + 1) Y t_{i+1} / t_i`. Where one of
    /// `t_1` to `t_4` is 0 or a discount is not above 0, as in tiny corpora, the order takes the discounts 0.5, 1, 1.5.
    ///
    /// Source: Chen & Goodman 1998, section 4; the substitute discounts are those of KenLM's `--discount_fallback`.
    ///
    /// # Errors
    /// [`ScoreError::Order`], [`ScoreError::NoSequences`], and [`ScoreError::TrainingToken`] for a token outside the
    /// vocabulary or a `<pad>`, `<bos>` or `<eos>`.
    pub fn train(config: &NgramConfig, vocab: &Vocab, sequences: &[Vec<TokenId>]) -> Result<Self, ScoreError> {
        kneser_ney::train(config.order, vocab.len(), sequences)
    }

    /// A model of which only the unigrams are known; `unigrams` are base-10 logarithms for the whole vocabulary.
    pub(crate) fn of_unigrams(order: usize, unigrams: Vec<f64>) -> Self {
        let empty = Context { token: Special::Bos.id(), shorter: EMPTY, back_off: 0.0, first: 0, n_listed: 0 };
        Self {
            order,
            unigrams,
            contexts: vec![empty],
            longer: HashMap::new(),
            listed: Vec::new(),
            listed_log10: Vec::new(),
        }
    }

    /// Adds a context of one token or more, after all shorter contexts; `listed` ascends by token.
    ///
    /// A suffix of it that was not added itself becomes a context that lists nothing and backs off at no cost.
    pub(crate) fn add_context(&mut self, context: &[TokenId], back_off: f64, listed: &[(TokenId, f64)]) {
        let mut node = EMPTY;
        for &token in context.iter().rev() {
            let next = u32::try_from(self.contexts.len()).expect("a model has fewer than 2^32 contexts");
            let first = self.listed.len();
            node = *self.longer.entry((node, token)).or_insert_with(|| {
                self.contexts.push(Context { token, shorter: node, back_off: 0.0, first, n_listed: 0 });
                next
            });
        }
        let added = &mut self.contexts[node as usize];
        added.back_off = back_off;
        added.first = self.listed.len();
        added.n_listed = listed.len();
        self.listed.extend(listed.iter().map(|&(token, _)| token));
        self.listed_log10.extend(listed.iter().map(|&(_, log10)| log10));
    }

    /// Length of the longest n-grams, in tokens.
    pub fn order(&self) -> usize {
        self.order
    }

    /// Number of tokens in the vocabulary, special tokens included.
    pub fn vocab_size(&self) -> usize {
        self.unigrams.len()
    }

    /// The logarithm of the probability of `token` after `context`.
    ///
    /// Only the last `order - 1` tokens of `context` count, and nothing before its last `<bos>`. `<pad>` and `<bos>`
    /// have probability 0.
    ///
    /// # Units
    /// Nats.
    ///
    /// # Panics
    /// When `token` is outside the vocabulary.
    pub fn log_prob(&self, context: &[TokenId], token: TokenId) -> f64 {
        self.log10_prob(context, token) * std::f64::consts::LN_10
    }

    /// The base-10 logarithm of the probability of `token` after `context`.
    pub(crate) fn log10_prob(&self, context: &[TokenId], token: TokenId) -> f64 {
        let mut node = self.known(context).last().unwrap_or(EMPTY);
        let mut backed_off = 0.0;
        while node != EMPTY {
            let (tokens, log10) = self.listed(node);
            if let Ok(place) = tokens.binary_search(&token) {
                return backed_off + log10[place];
            }
            backed_off += self.contexts[node as usize].back_off;
            node = self.contexts[node as usize].shorter;
        }
        backed_off + self.unigrams[token.index()]
    }

    /// The logarithms of the probabilities of all tokens after `context`, at the places of their ids in `out`.
    ///
    /// Their exponentials sum to 1; `<pad>` and `<bos>` have minus infinity.
    ///
    /// # Units
    /// Nats.
    ///
    /// # Panics
    /// When `out` is not as long as the vocabulary.
    pub fn log_distribution(&self, context: &[TokenId], out: &mut [f32]) {
        assert_eq!(out.len(), self.vocab_size(), "the output needs one place for each token of the vocabulary");
        let mut nodes = [EMPTY; MAX_ORDER];
        let mut back_off = [0.0; MAX_ORDER];
        let mut n = 1;
        for node in self.known(context) {
            nodes[n] = node;
            back_off[n] = self.contexts[node as usize].back_off;
            n += 1;
        }
        // What is listed after a context was reached by backing off from every longer one.
        let mut backed_off: f64 = back_off.iter().sum();
        for (out, unigram) in out.iter_mut().zip(&self.unigrams) {
            *out = nats(unigram + backed_off);
        }
        for place in 1..n {
            backed_off = back_off[place + 1..].iter().sum();
            let (tokens, log10) = self.listed(nodes[place]);
            for (token, log10) in tokens.iter().zip(log10) {
                out[token.index()] = nats(log10 + backed_off);
            }
        }
    }

    /// The longest suffix of `context` that matters to the model.
    ///
    /// Two contexts with equal keys have equal distributions, so the key serves a cache. Tokens before the last `<bos>`
    /// or more than `order - 1` tokens back fall away, and so does what makes the suffix one never seen in training.
    pub fn context_key<'a>(&self, context: &'a [TokenId]) -> &'a [TokenId] {
        &context[context.len() - self.known(context).count()..]
    }

    /// The logarithms of the probabilities of `tokens[n_context..]`, each given all tokens before it.
    ///
    /// `tokens` begin with `<bos>`, which is itself never predicted.
    ///
    /// # Units
    /// Nats.
    ///
    /// # Panics
    /// When `n_context` is 0 or more than there are tokens, or a token is outside the vocabulary.
    pub fn sequence_log_probs(&self, tokens: &[TokenId], n_context: usize) -> Vec<f64> {
        assert!(
            (1..=tokens.len()).contains(&n_context),
            "n_context is {n_context}; with {} tokens it must be 1 to {}",
            tokens.len(),
            tokens.len()
        );
        (n_context..tokens.len()).map(|t| self.log_prob(&tokens[..t], tokens[t])).collect()
    }

    /// The perplexity of sequences, each with the number of its first tokens that are given.
    ///
    /// ```text
    /// exp(-(1 / n) sum_t ln p(w_t | w_1 .. w_{t-1}))
    /// ```
    ///
    /// The sum runs over the `n` tokens of all sequences that stand after the given ones and are not `<unk>`: what lies
    /// outside the vocabulary is left out, as KenLM's "perplexity excluding OOVs" does, but stays in the contexts of
    /// the tokens after it. Without any such token the perplexity is NaN.
    ///
    /// # Panics
    /// As [`NgramLm::sequence_log_probs`].
    pub fn perplexity(&self, sequences: &[(&[TokenId], usize)]) -> f64 {
        let mut sum = 0.0;
        let mut n_tokens = 0_u64;
        for &(tokens, n_context) in sequences {
            let predicted = self.sequence_log_probs(tokens, n_context).into_iter().zip(&tokens[n_context..]);
            for (log_prob, _) in predicted.filter(|(_, token)| **token != Special::Unk.id()) {
                sum += log_prob;
                n_tokens += 1;
            }
        }
        (-sum / n_tokens as f64).exp()
    }

    /// The known suffixes of `context` that count, from the one of a single token to the longest.
    fn known(&self, context: &[TokenId]) -> impl Iterator<Item = u32> {
        let considered = &context[context.len().saturating_sub(self.order - 1)..];
        // No context of a model has a token before a <bos>, so the walk ends there by itself.
        considered.iter().rev().scan(EMPTY, |node, &token| {
            *node = *self.longer.get(&(*node, token))?;
            Some(*node)
        })
    }

    /// The tokens listed after a context, ascending, and their base-10 logarithms.
    fn listed(&self, node: u32) -> (&[TokenId], &[f64]) {
        let context = &self.contexts[node as usize];
        let places = context.first..context.first + context.n_listed;
        (&self.listed[places.clone()], &self.listed_log10[places])
    }

    /// The base-10 logarithms of the unigrams, over the whole vocabulary.
    pub(crate) fn unigrams(&self) -> &[f64] {
        &self.unigrams
    }

    /// The base-10 logarithm of a context's back-off weight, if the model knows the context.
    pub(crate) fn back_off(&self, context: &[TokenId]) -> Option<f64> {
        let node = context.iter().rev().try_fold(EMPTY, |node, &token| self.longer.get(&(node, token)).copied())?;
        Some(self.contexts[node as usize].back_off)
    }

    /// All contexts of one token or more with what is listed after them, in the order in which they were added.
    pub(crate) fn contexts(&self) -> impl Iterator<Item = (Vec<TokenId>, &[TokenId], &[f64])> {
        (1..self.contexts.len()).map(|place| {
            let mut context = Vec::with_capacity(self.order - 1);
            let mut node = place as u32;
            while node != EMPTY {
                context.push(self.contexts[node as usize].token);
                node = self.contexts[node as usize].shorter;
            }
            let (tokens, log10) = self.listed(place as u32);
            (context, tokens, log10)
        })
    }
}

fn nats(log10: f64) -> f32 {
    (log10 * std::f64::consts::LN_10) as f32
}
