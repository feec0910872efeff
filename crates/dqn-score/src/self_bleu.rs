//! Self-BLEU: how much the texts of one set resemble each other.

use std::collections::HashMap;
use std::hash::Hash;

use crate::bleu::{brevity_penalty, tally};

/// What stands in for no match of an order, in n-grams.
const SMOOTHED_COUNT: f64 = 0.1;

/// The mean BLEU of each text with all others as its references: low for varied texts, 1 where all are the same.
///
/// ```text
/// self-BLEU = 1 / N sum_i BLEU(text_i, all texts but text_i)
/// BLEU = min(1, exp(1 - r / h)) exp((1 / max_order) sum_n ln p_n)
/// ```
///
/// `p_n` is the share of the text's n-grams that another text has, each no more often than in the one that has most of
/// them. An order without a match counts a tenth of one, and one longer than the text has a single n-gram, which
/// matches nothing. A text that shares no token with another has BLEU 0. `h` is the length of the text and `r` that of
/// the other text closest to it in length, the shorter of two.
///
/// Source: Zhu et al. 2018, "Texygen", section 3.2, in the form of its program: NLTK's `sentence_bleu` with equal weights
/// and smoothing method 1 of Chen & Cherry 2014. Texygen looks at the first 500 texts only; here it is the caller who
/// takes a sample. Between sets of different size the figures cannot be compared.
///
/// With fewer than two texts there is nothing alike, and 0 is returned.
///
/// # Range
/// 0 to 1.
///
/// # Panics
/// When `max_order` is 0.
pub fn self_bleu<T: Eq + Hash>(texts: &[&[T]], max_order: usize) -> f64 {
    assert!(max_order > 0, "max_order must be at least 1");
    if texts.len() < 2 {
        return 0.0;
    }
    let mut log_precisions = vec![0.0; texts.len()];
    for n in 1..=max_order {
        let most = most_frequent(texts, n);
        for (index, (text, log_precision)) in texts.iter().zip(&mut log_precisions).enumerate() {
            let n_allowed = |ngram: &[T]| most.get(ngram).map_or(0, |most| most.of_others(index));
            let n_matches: u64 = tally(text, n).into_iter().map(|(ngram, count)| count.min(n_allowed(ngram))).sum();
            let matched = match n_matches {
                // Without a token in common the score is 0.
                0 if n == 1 => 0.0,
                0 => SMOOTHED_COUNT,
                _ => n_matches as f64,
            };
            *log_precision += (matched / text.windows(n).len().max(1) as f64).ln();
        }
    }
    let score = |(index, log_precision): (usize, f64)| {
        let length = texts[index].len();
        let others = texts.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| other.len());
        let closest = others.min_by_key(|&other| (other.abs_diff(length), other)).expect("there is another text");
        // Rounding may put a perfect score a hair above 1.
        (brevity_penalty(length as u64, closest as u64) * (log_precision / max_order as f64).exp()).min(1.0)
    };
    log_precisions.into_iter().enumerate().map(score).sum::<f64>() / texts.len() as f64
}

/// How often an n-gram stands in the text that has it most often, and in the text that has it most often but for that.
#[derive(Default)]
struct MostFrequent {
    text: usize,
    first: u64,
    second: u64,
}

impl MostFrequent {
    /// The highest count among all texts but one.
    fn of_others(&self, text: usize) -> u64 {
        if text == self.text { self.second } else { self.first }
    }
}

fn most_frequent<'a, T: Eq + Hash>(texts: &[&'a [T]], n: usize) -> HashMap<&'a [T], MostFrequent> {
    let mut found: HashMap<&[T], MostFrequent> = HashMap::new();
    for (text, tokens) in texts.iter().enumerate() {
        for (ngram, count) in tally(tokens, n) {
            let most = found.entry(ngram).or_default();
            if count > most.first {
                *most = MostFrequent { text, first: count, second: most.first };
            } else {
                most.second = most.second.max(count);
            }
        }
    }
    found
}
