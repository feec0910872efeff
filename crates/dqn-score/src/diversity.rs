//! How varied texts are, and how much of them is copied.

use std::collections::HashSet;
use std::hash::Hash;

/// The share of different n-grams among the n-grams of all texts; 0 when there is none.
///
/// ```text
/// |set of n-grams| / |n-grams|
/// ```
///
/// Source: Li et al. 2016, section 5 (distinct-1 and distinct-2), taken over all texts together.
///
/// # Panics
/// When `n` is 0.
pub fn distinct_n<T: Eq + Hash>(texts: &[&[T]], n: usize) -> f64 {
    let distinct: HashSet<&[T]> = texts.iter().flat_map(|text| text.windows(n)).collect();
    share(distinct.len(), texts.iter().map(|text| text.windows(n).len()).sum())
}

/// The share of different texts among the texts; 0 when there is none.
pub fn unique_fraction<T: Eq + Hash>(texts: &[&[T]]) -> f64 {
    share(texts.iter().collect::<HashSet<_>>().len(), texts.len())
}

/// The share of a text's tokens that occur earlier in it; 0 when there is none.
pub fn repetition_fraction<T: Eq + Hash>(text: &[T]) -> f64 {
    let distinct = text.iter().collect::<HashSet<_>>().len();
    share(text.len() - distinct, text.len())
}

/// The n-grams of training texts, to find out how much of other texts is copied from them.
///
/// N-grams that hold an ignored token, such as a delimiter or `<unk>`, are left out of every count.
#[derive(Clone, Debug)]
pub struct NgramIndex<T> {
    n: usize,
    known: HashSet<Box<[T]>>,
    ignored: HashSet<T>,
}

impl<T: Clone + Eq + Hash> NgramIndex<T> {
    /// An index of the n-grams of `texts`.
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn new(n: usize, texts: &[&[T]], ignored: &[T]) -> Self {
        let known = texts.iter().flat_map(|text| text.windows(n)).map(Box::from).collect();
        Self { n, known, ignored: ignored.iter().cloned().collect() }
    }

    /// Length of the n-grams, in tokens.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The share of the n-grams of all texts that stand in the training texts; 0 when there is none.
    pub fn copied_fraction(&self, texts: &[&[T]]) -> f64 {
        let (n_copied, n_counted) = self.copied(texts);
        share(n_copied, n_counted)
    }

    /// The novelty of all texts: the share of their n-grams that do not stand in the training texts; 0 when there is
    /// none.
    pub fn novel_fraction(&self, texts: &[&[T]]) -> f64 {
        let (n_copied, n_counted) = self.copied(texts);
        share(n_counted - n_copied, n_counted)
    }

    /// How many n-grams of all texts stand in the training texts, and how many there are.
    fn copied(&self, texts: &[&[T]]) -> (usize, usize) {
        let counts_in = |ngram: &&[T]| !ngram.iter().any(|token| self.ignored.contains(token));
        let counted = || texts.iter().flat_map(|text| text.windows(self.n)).filter(counts_in);
        (counted().filter(|ngram| self.known.contains(*ngram)).count(), counted().count())
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn distinct_n_counts_over_all_texts() {
        // Bigrams: ab ba ab | ab bc, of which ab, ba, bc differ.
        for (n, expected) in [(1, 3.0 / 7.0), (2, 3.0 / 5.0), (3, 1.0), (4, 1.0), (5, 0.0)] {
            assert_eq!(distinct_n(&[&chars("abab"), &chars("abc")], n), expected, "n = {n}");
        }
        assert_eq!(distinct_n::<char>(&[], 1), 0.0);
    }

    #[test]
    fn unique_fraction_counts_each_text_once() {
        assert_eq!(unique_fraction(&[&chars("ab"), &chars("ab"), &chars("b"), &chars("")]), 0.75);
        assert_eq!(unique_fraction::<char>(&[]), 0.0);
    }

    #[test]
    fn repetition_counts_tokens_seen_earlier_in_the_text() {
        for (text, expected) in [("", 0.0), ("a", 0.0), ("abc", 0.0), ("abab", 0.5), ("aaaa", 0.75)] {
            assert_eq!(repetition_fraction(&chars(text)), expected, "{text}");
        }
    }

    #[test]
    fn copied_ngrams_are_those_of_the_training_texts() {
        let index = NgramIndex::new(2, &[&chars("abc"), &chars("d/e")], &['/']);
        for (text, expected) in [("abc", 1.0), ("abd", 0.5), ("cd", 0.0), ("d/e", 0.0), ("ab/bx", 0.5), ("a", 0.0)] {
            assert_eq!(index.copied_fraction(&[&chars(text)]), expected, "{text}");
        }
        for (text, expected) in [("abc", 0.0), ("abdd", 2.0 / 3.0), ("cd", 1.0), ("d/e", 0.0), ("a", 0.0)] {
            assert_eq!(index.novel_fraction(&[&chars(text)]), expected, "{text}");
        }
        // Over several texts the n-grams are pooled: ab of ab, cx, xy.
        assert_eq!(index.copied_fraction(&[&chars("ab"), &chars("cxy")]), 1.0 / 3.0);
    }
}
