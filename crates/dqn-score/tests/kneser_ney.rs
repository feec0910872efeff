//! The language model against the formulas of modified Kneser-Ney smoothing, computed slowly and directly.

use std::collections::BTreeSet;

use dqn_score::{NgramConfig, NgramLm, ScoreError};
use dqn_text::{Special, TokenId, Vocab};
use proptest::prelude::*;

const PAD: TokenId = Special::Pad.id();
const UNK: TokenId = Special::Unk.id();
const BOS: TokenId = Special::Bos.id();
const EOS: TokenId = Special::Eos.id();
const A: TokenId = TokenId(4);
const B: TokenId = TokenId(5);

fn vocab(n_tokens: usize) -> Vocab {
    Vocab::new((0..n_tokens).map(|token| format!("w{token}"))).expect("the tokens are distinct")
}

fn train(order: usize, n_tokens: usize, sequences: &[Vec<TokenId>]) -> NgramLm {
    NgramLm::train(&NgramConfig { order }, &vocab(n_tokens), sequences).expect("the sequences can be trained on")
}

/// The recursive formula over counts that are taken anew from the texts whenever they are needed.
struct Oracle {
    order: usize,
    n_predicted: f64,
    texts: Vec<Vec<TokenId>>,
    discounts: Vec<[f64; 3]>,
}

impl Oracle {
    fn new(order: usize, n_tokens: usize, sequences: &[Vec<TokenId>]) -> Self {
        let framed = |tokens: &Vec<TokenId>| std::iter::once(BOS).chain(tokens.iter().copied()).chain([EOS]).collect();
        let texts = sequences.iter().map(framed).collect();
        let mut oracle = Self { order, n_predicted: (n_tokens + 2) as f64, texts, discounts: Vec::new() };
        oracle.discounts = (1..=order).map(|n| oracle.discounts_of(n)).collect();
        oracle
    }

    fn occurrences(&self, ngram: &[TokenId]) -> usize {
        let in_text = |text: &Vec<TokenId>| (0..text.len()).filter(|&t| text[t..].starts_with(ngram)).count();
        self.texts.iter().map(in_text).sum()
    }

    fn adjusted(&self, ngram: &[TokenId]) -> usize {
        if ngram == [BOS] {
            return 0;
        }
        if ngram.len() == self.order || ngram[0] == BOS {
            return self.occurrences(ngram);
        }
        let before = |text: &Vec<TokenId>| {
            let places = (1..text.len()).filter(|&t| text[t..].starts_with(ngram));
            places.map(|t| text[t - 1]).collect::<Vec<_>>()
        };
        self.texts.iter().flat_map(before).collect::<BTreeSet<_>>().len()
    }

    fn discounts_of(&self, n: usize) -> [f64; 3] {
        let ngrams: BTreeSet<&[TokenId]> = self.texts.iter().flat_map(|text| text.windows(n)).collect();
        let t: Vec<f64> =
            (0..=4).map(|count| ngrams.iter().filter(|g| self.adjusted(g) == count).count() as f64).collect();
        let y = t[1] / (t[1] + 2.0 * t[2]);
        let discounts = [1.0 - 2.0 * y * t[2] / t[1], 2.0 - 3.0 * y * t[3] / t[2], 3.0 - 4.0 * y * t[4] / t[3]];
        let thin = t[1..].contains(&0.0) || discounts.iter().any(|&d| d <= 0.0);
        if thin { [0.5, 1.0, 1.5] } else { discounts }
    }

    fn prob(&self, history: &[TokenId], token: TokenId) -> f64 {
        if token == PAD || token == BOS {
            return 0.0;
        }
        let lower = |history: &[TokenId]| match history {
            [] => 1.0 / self.n_predicted,
            [_, shorter @ ..] => self.prob(shorter, token),
        };
        let continued = |next: u32| [history, &[TokenId(next)]].concat();
        let counts: Vec<usize> = (0..self.n_predicted as u32 + 2).map(|next| self.adjusted(&continued(next))).collect();
        let total: usize = counts.iter().sum();
        if total == 0 {
            return lower(history);
        }
        let discount = |count: usize| if count == 0 { 0.0 } else { self.discounts[history.len()][count.min(3) - 1] };
        let taken: f64 = counts.iter().map(|&count| discount(count)).sum();
        let own = counts[token.index()];
        (own as f64 - discount(own)) / total as f64 + taken / total as f64 * lower(history)
    }

    /// The history that counts: at most `order - 1` tokens, and none before a `<bos>`.
    fn history<'a>(&self, context: &'a [TokenId]) -> &'a [TokenId] {
        let begin = context.iter().rposition(|token| *token == BOS).unwrap_or(0);
        &context[begin.max(context.len().saturating_sub(self.order - 1))..]
    }
}

/// Every history of up to `length` tokens of a vocabulary.
fn histories(length: usize, vocab_size: usize) -> Vec<Vec<TokenId>> {
    let mut all = vec![Vec::new()];
    let mut last = all.clone();
    for _ in 0..length {
        let extended = |history: &Vec<TokenId>| {
            (0..vocab_size as u32).map(|t| [&history[..], &[TokenId(t)]].concat()).collect::<Vec<_>>()
        };
        last = last.iter().flat_map(extended).collect();
        all.extend(last.clone());
    }
    all
}

fn corpora() -> impl Strategy<Value = Vec<Vec<TokenId>>> {
    // <unk> is a token of training texts like any other; skewed choices make some counts large.
    let token = prop_oneof![4 => Just(A), 2 => Just(B), 1 => Just(TokenId(6)), 1 => Just(UNK)];
    prop::collection::vec(prop::collection::vec(token, 0..9), 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn probabilities_are_those_of_the_formulas(sequences in corpora(), order in 2_usize..=5) {
        let lm = train(order, 3, &sequences);
        let oracle = Oracle::new(order, 3, &sequences);
        let seen = oracle.texts.iter().take(4).flat_map(|text| text.windows(order.min(text.len())).map(<[_]>::to_vec));
        for context in seen.chain(histories(1, 7)).chain([vec![A, BOS, B], vec![A, A, B, A, EOS, B]]) {
            for token in (0..7).map(TokenId) {
                let expected = oracle.prob(oracle.history(&context), token);
                let found = lm.log_prob(&context, token).exp();
                prop_assert!((found - expected).abs() < 1e-12, "p({:?} | {:?}) = {}, expected {}", token, context, found, expected);
            }
        }
    }

    #[test]
    fn probabilities_sum_to_one_after_every_history(sequences in corpora(), order in 2_usize..=5) {
        let lm = train(order, 3, &sequences);
        let mut logits = vec![0.0; lm.vocab_size()];
        for context in histories((order - 1).min(3), lm.vocab_size()) {
            let probs: Vec<f64> = (0..7).map(|token| lm.log_prob(&context, TokenId(token)).exp()).collect();
            prop_assert!((probs.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{:?}: {:?}", context, probs);
            for (token, prob) in (0..).map(TokenId).zip(&probs) {
                prop_assert_eq!(*prob > 0.0, token != PAD && token != BOS, "{:?} after {:?}: {}", token, context, prob);
            }
            lm.log_distribution(&context, &mut logits);
            prop_assert!((logits.iter().map(|x| f64::from(x.exp())).sum::<f64>() - 1.0).abs() < 1e-5);
            for (found, prob) in logits.iter().zip(&probs) {
                prop_assert!(prob.ln() as f32 == *found || (f64::from(*found) - prob.ln()).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn the_context_key_tells_the_distribution(sequences in corpora(), order in 2_usize..=5) {
        let lm = train(order, 3, &sequences);
        let oracle = Oracle::new(order, 3, &sequences);
        let (mut of_context, mut of_key) = (vec![0.0; 7], vec![0.0; 7]);
        for context in histories(3, 7) {
            let key = lm.context_key(&context);
            prop_assert!(context.ends_with(key));
            lm.log_distribution(&context, &mut of_context);
            lm.log_distribution(key, &mut of_key);
            prop_assert_eq!(&of_context, &of_key, "{:?} and its key {:?}", &context, key);
            // It is the longest suffix that something follows in training.
            let history = oracle.history(&context);
            let followed = (0..=history.len()).map(|from| &history[from..]).find(|suffix| {
                suffix.is_empty() || (0..7).any(|next| oracle.occurrences(&[suffix, &[TokenId(next)][..]].concat()) > 0)
            });
            prop_assert_eq!(Some(key), followed);
        }
    }
}

/// The model of `a b`, `a` and `a`, whose counts of counts are too thin for discounts of their own.
fn by_hand() -> NgramLm {
    train(2, 2, &[vec![A, B], vec![A], vec![A]])
}

#[test]
fn a_bigram_model_by_hand() {
    // Tokens seen before <eos>: a, b; before a: <bos>; before b: a. Discounts .5, 1, 1.5; a quarter of each discount
    // sum goes to each of <unk>, <eos>, a, b: p(<eos>) = (2 - 1) / 4 + 2/4 / 4.
    let table: [(&[TokenId], [f64; 4]); 4] = [
        (&[], [0.125, 0.375, 0.25, 0.25]),
        // a three times: (3 - 1.5) / 3 + .5 p(a).
        (&[BOS], [0.0625, 0.1875, 0.625, 0.125]),
        // <eos> twice, b once: (2 - 1) / 3 + .5 p(<eos>), (1 - .5) / 3 + .5 p(b).
        (&[A], [0.0625, 1.0 / 3.0 + 0.1875, 0.125, 0.5 / 3.0 + 0.125]),
        // <eos> once: (1 - .5) / 1 + .5 p(<eos>).
        (&[B], [0.0625, 0.6875, 0.125, 0.125]),
    ];
    for (context, expected) in table {
        for (token, expected) in [UNK, EOS, A, B].into_iter().zip(expected) {
            let found = by_hand().log_prob(context, token).exp();
            assert!((found - expected).abs() < 1e-12, "p({token:?} | {context:?}) = {found}, expected {expected}");
        }
    }
}

#[test]
fn perplexity_leaves_out_what_is_given_and_what_is_unknown() {
    let lm = by_hand();
    let (p_a, p_eos) = (0.625_f64, 1.0 / 3.0 + 0.1875);
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
    close(lm.perplexity(&[(&[BOS, A, EOS], 1)]), (p_a * p_eos).powf(-0.5));
    close(lm.perplexity(&[(&[BOS, A, EOS], 2)]), 1.0 / p_eos);
    close(lm.perplexity(&[(&[BOS, A, EOS], 1), (&[BOS, B], 1)]), (p_a * p_eos * 0.125).powf(-1.0 / 3.0));
    // After <unk>, which nothing follows in training, <eos> has its unigram's probability.
    close(lm.perplexity(&[(&[BOS, A, UNK, EOS], 1)]), (p_a * 0.375).powf(-0.5));
    assert!(lm.perplexity(&[(&[BOS, UNK], 1)]).is_nan());
    let each = lm.sequence_log_probs(&[BOS, A, EOS], 1);
    assert_eq!(each, [lm.log_prob(&[BOS], A), lm.log_prob(&[A], EOS)]);
}

#[test]
fn training_refuses_what_it_cannot_use() {
    let train = |order, sequences: &[Vec<TokenId>]| NgramLm::train(&NgramConfig { order }, &vocab(2), sequences);
    for order in [0, 1, 6] {
        let found = train(order, &[vec![A]]).unwrap_err();
        assert_eq!(found.to_string(), format!("the n-gram order is {order}; it must be 2 to 5"));
    }
    assert!(matches!(train(2, &[]), Err(ScoreError::NoSequences)));
    for token in [PAD, BOS, EOS, TokenId(6)] {
        let found = train(2, &[vec![A], vec![A, token]]);
        assert!(matches!(found, Err(ScoreError::TrainingToken { sequence: 1, position: 1, .. })), "{found:?}");
    }
}

#[test]
fn settings_have_a_range_and_refuse_other_keys() {
    assert_eq!(serde_json::from_str::<NgramConfig>("{}").unwrap(), NgramConfig { order: 3 });
    assert!(serde_json::from_str::<NgramConfig>(r#"{"n": 3}"#).is_err());
    let schema = serde_json::to_value(schemars::schema_for!(NgramConfig)).unwrap();
    let order = &schema["properties"]["order"];
    assert_eq!((&order["minimum"], &order["maximum"], &order["default"]), (&2.into(), &5.into(), &3.into()));
}
