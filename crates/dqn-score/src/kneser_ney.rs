//! Estimation of the n-gram model: interpolated modified Kneser-Ney (Chen & Goodman 1998).

use dqn_text::{Special, TokenId};

use crate::ngram::{MAX_ORDER, MIN_ORDER};
use crate::{NgramLm, ScoreError};

/// The discounts of an order whose counts of counts are too thin: those of KenLM's `--discount_fallback`.
const FALLBACK: Discounts = Discounts([0.5, 1.0, 1.5]);

/// Up to [`MAX_ORDER`] tokens; the places behind an n-gram hold `<pad>`, so that arrays compare like n-grams.
pub(crate) type Gram = [TokenId; MAX_ORDER];

/// The tokens as a [`Gram`].
pub(crate) fn gram(tokens: &[TokenId]) -> Gram {
    let mut gram = [Special::Pad.id(); MAX_ORDER];
    gram[..tokens.len()].copy_from_slice(tokens);
    gram
}

/// Trains a model; see [`NgramLm::train`].
pub(crate) fn train(order: usize, vocab_size: usize, sequences: &[Vec<TokenId>]) -> Result<NgramLm, ScoreError> {
    if !(MIN_ORDER..=MAX_ORDER).contains(&order) {
        return Err(ScoreError::Order { found: order, minimum: MIN_ORDER, maximum: MAX_ORDER });
    }
    check(vocab_size, sequences)?;
    let counts = adjusted_counts(order, sequences);
    let mut lm = NgramLm::of_unigrams(order, unigrams(vocab_size, &counts[0]));
    for (n, counts) in (1..).zip(&counts).skip(1) {
        let discounts = Discounts::estimate(counts);
        for followed in counts.chunk_by(|(a, _), (b, _)| a[..n - 1] == b[..n - 1]) {
            let context = &followed[0].0[..n - 1];
            let (total, gamma) = discounts.share(followed);
            let listed: Vec<_> = followed
                .iter()
                .map(|&(gram, count)| {
                    let token = gram[n - 1];
                    let lower = 10_f64.powf(lm.log10_prob(&context[1..], token));
                    (token, log10((count as f64 - discounts.of(count)) / total + gamma * lower))
                })
                .collect();
            lm.add_context(context, log10(gamma), &listed);
        }
    }
    Ok(lm)
}

fn check(vocab_size: usize, sequences: &[Vec<TokenId>]) -> Result<(), ScoreError> {
    if sequences.is_empty() {
        return Err(ScoreError::NoSequences);
    }
    let reserved = [Special::Pad, Special::Bos, Special::Eos].map(Special::id);
    for (sequence, tokens) in sequences.iter().enumerate() {
        let bad = |token: &TokenId| token.index() >= vocab_size || reserved.contains(token);
        if let Some(position) = tokens.iter().position(bad) {
            return Err(ScoreError::TrainingToken { token: tokens[position], sequence, position, vocab_size });
        }
    }
    Ok(())
}

/// The adjusted counts of all n-grams of the orders 1 to `order`, ascending within an order.
///
/// N-grams of the highest order and those that begin with `<bos>` count how often they occur; all others count the
/// different tokens that occur before them. `<bos>` alone, which is never predicted, has no count.
fn adjusted_counts(order: usize, sequences: &[Vec<TokenId>]) -> Vec<Vec<(Gram, u64)>> {
    let (bos, eos) = (Special::Bos.id(), Special::Eos.id());
    let framed: Vec<Vec<TokenId>> =
        sequences.iter().map(|tokens| [&[bos], tokens.as_slice(), &[eos]].concat()).collect();
    let mut counts = vec![Vec::new(); order];
    counts[order - 1] = tally(framed.iter().flat_map(|text| text.windows(order).map(gram)).collect());
    for n in (1..order).rev() {
        let openings = framed.iter().filter(|text| n > 1 && text.len() >= n).map(|text| gram(&text[..n]));
        let continued = counts[n].iter().map(|(longer, _)| gram(&longer[1..=n]));
        counts[n - 1] = tally(continued.chain(openings).collect());
    }
    counts
}

fn tally(mut grams: Vec<Gram>) -> Vec<(Gram, u64)> {
    grams.sort_unstable();
    grams.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len() as u64)).collect()
}

/// The base-10 logarithms of the unigrams, interpolated with the uniform distribution.
fn unigrams(vocab_size: usize, counts: &[(Gram, u64)]) -> Vec<f64> {
    let unpredicted = [Special::Pad, Special::Bos].map(Special::id);
    let discounts = Discounts::estimate(counts);
    let (total, gamma) = discounts.share(counts);
    let mut probs = vec![gamma / (vocab_size - unpredicted.len()) as f64; vocab_size];
    for &(gram, count) in counts {
        probs[gram[0].index()] += (count as f64 - discounts.of(count)) / total;
    }
    for token in unpredicted {
        probs[token.index()] = 0.0;
    }
    probs.into_iter().map(log10).collect()
}

/// The logarithm of a probability, which rounding may have put a hair above 1.
fn log10(prob: f64) -> f64 {
    prob.log10().min(0.0)
}

/// What is taken from counts of 1, of 2, and of 3 or more.
#[derive(Debug, PartialEq)]
struct Discounts([f64; 3]);

impl Discounts {
    /// Source: Chen & Goodman 1998, eq. 26.
    fn estimate(counts: &[(Gram, u64)]) -> Self {
        let mut n_with = [0_u64; 4];
        for &(_, count) in counts.iter().filter(|(_, count)| *count <= 4) {
            n_with[count as usize - 1] += 1;
        }
        if n_with.contains(&0) {
            return FALLBACK;
        }
        let t = n_with.map(|n| n as f64);
        let y = t[0] / (t[0] + 2.0 * t[1]);
        let discounts = [1, 2, 3].map(|i| i as f64 - (i + 1) as f64 * y * t[i] / t[i - 1]);
        if discounts.iter().all(|discount| *discount > 0.0) { Self(discounts) } else { FALLBACK }
    }

    fn of(&self, count: u64) -> f64 {
        self.0[count.min(3) as usize - 1]
    }

    /// The sum of the counts, and the share of it that the discounts take.
    fn share(&self, counts: &[(Gram, u64)]) -> (f64, f64) {
        let total = counts.iter().map(|&(_, count)| count as f64).sum();
        let taken: f64 = counts.iter().map(|&(_, count)| self.of(count)).sum();
        (total, taken / total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many unigrams as `n_with[i]` with the count `i + 1`.
    fn counts(n_with: &[usize]) -> Vec<(Gram, u64)> {
        let repeated = (1..).zip(n_with).flat_map(|(count, &n)| std::iter::repeat_n(count, n));
        repeated.zip(4..).map(|(count, id)| (gram(&[TokenId(id)]), count)).collect()
    }

    #[test]
    fn discounts_follow_the_counts_of_counts() {
        // Y = 8 / (8 + 2 * 4) = 1/2; D1 = 1 - 2 Y 4/8, D2 = 2 - 3 Y 2/4, D3 = 3 - 4 Y 1/2.
        assert_eq!(Discounts::estimate(&counts(&[8, 4, 2, 1, 5])), Discounts([0.5, 1.25, 2.0]));
    }

    #[test]
    fn thin_counts_of_counts_take_the_fallback() {
        for n_with in [&[][..], &[3], &[3, 2], &[0, 4, 2, 1], &[8, 0, 2, 1], &[8, 4, 0, 1], &[8, 4, 2], &[8, 1, 9, 1]] {
            assert_eq!(Discounts::estimate(&counts(n_with)), FALLBACK, "{n_with:?}");
        }
    }

    #[test]
    fn lower_orders_count_the_different_tokens_before() {
        let [a, b] = [TokenId(4), TokenId(5)];
        let (bos, eos) = (Special::Bos.id(), Special::Eos.id());
        // <bos> a b <eos>, twice <bos> a <eos>: "a" follows <bos> only, <eos> follows "b" and "a".
        let counted = adjusted_counts(2, &[vec![a, b], vec![a], vec![a]]);
        let expected = |rows: &[(&[TokenId], u64)]| rows.iter().map(|(g, n)| (gram(g), *n)).collect::<Vec<_>>();
        assert_eq!(counted[0], expected(&[(&[eos], 2), (&[a], 1), (&[b], 1)]));
        assert_eq!(counted[1], expected(&[(&[bos, a], 3), (&[a, eos], 2), (&[a, b], 1), (&[b, eos], 1)]));
        // In the trigram model the bigrams that begin with <bos> keep their counts; the others follow "<bos> a" or "a b".
        let counted = adjusted_counts(3, &[vec![a, b], vec![a], vec![a]]);
        assert_eq!(counted[1], expected(&[(&[bos, a], 3), (&[a, eos], 1), (&[a, b], 1), (&[b, eos], 1)]));
    }
}
