//! chrF and chrF++, equal to sacreBLEU 2.6.0.

use std::hash::Hash;
use std::ops::AddAssign;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ScoreError;
use crate::bleu::tally;
use crate::bleu_tokenizer::is_space;
use crate::metric::{CorpusMetric, nrefs, sum, yes_no};

/// The weight of recall of sacreBLEU's signatures, which do not name it.
const USUAL_BETA: u32 = 2;
/// Longest n-grams that are allowed.
const MAX_ORDER: usize = 16;
/// What epsilon smoothing takes for a precision or recall that is not defined.
const EPSILON: f64 = 1e-16;

/// Settings of chrF; the defaults are sacreBLEU's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChrfConfig {
    /// Length of the longest n-grams of characters, in characters. Default 6, from Popović 2015.
    #[serde(default = "default_char_order")]
    #[schemars(range(min = 1, max = 16))]
    pub char_order: usize,
    /// Length of the longest n-grams of words, in words. Default 0, which is chrF; 2 is chrF++ (Popović 2017).
    #[serde(default)]
    #[schemars(range(min = 0, max = 16))]
    pub word_order: usize,
    /// How many times as important as precision recall is. Default 2, from Popović 2016.
    #[serde(default = "default_beta")]
    pub beta: u32,
    /// Whether upper and lower case are the same. Default false, as in sacreBLEU.
    #[serde(default)]
    pub lowercase: bool,
    /// Whether white space is part of the n-grams of characters. Default false, as in sacreBLEU.
    #[serde(default)]
    pub whitespace: bool,
    /// Whether an order without n-grams counts as one with a score of next to nothing, as in Popović's own program,
    /// NLTK and Moses. Default false, as in sacreBLEU: such an order is left out.
    #[serde(default)]
    pub eps_smoothing: bool,
}

fn default_char_order() -> usize {
    6
}

fn default_beta() -> u32 {
    USUAL_BETA
}

impl Default for ChrfConfig {
    fn default() -> Self {
        Self {
            char_order: default_char_order(),
            word_order: 0,
            beta: default_beta(),
            lowercase: false,
            whitespace: false,
            eps_smoothing: false,
        }
    }
}

impl ChrfConfig {
    /// chrF++: single words and pairs of words beside the characters.
    ///
    /// Source: Popović 2017.
    pub fn plus_plus() -> Self {
        Self { word_order: 2, ..Self::default() }
    }
}

/// The n-grams of one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OrderMatches {
    /// N-grams of the hypothesis; 0 where the reference is too short to have any.
    pub hypothesis: u64,
    /// N-grams of the reference.
    pub reference: u64,
    /// N-grams of the hypothesis that the reference has too, each no more often than there.
    pub matches: u64,
}

/// What chrF must know of a segment, or of several after summation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChrfStatistics {
    /// The orders of characters, from 1, and then the orders of words, from 1.
    pub orders: Vec<OrderMatches>,
}

impl AddAssign<&Self> for ChrfStatistics {
    fn add_assign(&mut self, other: &Self) {
        for (own, other) in self.orders.iter_mut().zip(&other.orders) {
            own.hypothesis += other.hypothesis;
            own.reference += other.reference;
            own.matches += other.matches;
        }
    }
}

/// chrF, the similarity of hypotheses to references by n-grams of characters, with the figures of sacreBLEU 2.6.0.
///
/// ```text
/// chrF = 100 (1 + beta^2) P R / (beta^2 P + R)
/// ```
///
/// `P` and `R` are the means over the orders of the shares of matching n-grams among those of the hypotheses and of
/// the references. Of several references, the one with the best score of the segment counts. With epsilon smoothing
/// the mean is taken over the scores of the orders instead.
///
/// Source: Popović 2015, equation 1; Popović 2017 for the words of chrF++.
///
/// # Range
/// 0 to 100, for a sentence and for a corpus.
#[derive(Clone, Copy, Debug)]
pub struct Chrf {
    config: ChrfConfig,
}

impl Chrf {
    /// chrF with the settings `config`.
    ///
    /// # Errors
    /// [`ScoreError::Order`] when `char_order` is not 1 to 16, or `word_order` is above 16.
    pub fn new(config: ChrfConfig) -> Result<Self, ScoreError> {
        for (found, minimum) in [(config.char_order, 1), (config.word_order, 0)] {
            if !(minimum..=MAX_ORDER).contains(&found) {
                return Err(ScoreError::Order { found, minimum, maximum: MAX_ORDER });
            }
        }
        Ok(Self { config })
    }

    /// The score of all hypotheses together, each with its own references, whose number may vary.
    ///
    /// # Errors
    /// [`ScoreError::NoHypotheses`], [`ScoreError::CorpusLength`] and [`ScoreError::NoReferences`].
    pub fn corpus(&self, hypotheses: &[&str], references: &[Vec<&str>]) -> Result<f64, ScoreError> {
        Ok(self.corpus_score(&sum(&self.segments(hypotheses, references)?)))
    }

    /// The score of one hypothesis.
    ///
    /// # Errors
    /// [`ScoreError::NoReferences`].
    pub fn sentence(&self, hypothesis: &str, references: &[&str]) -> Result<f64, ScoreError> {
        self.corpus(&[hypothesis], &[references.to_vec()])
    }

    /// What must be known to repeat a corpus score, in sacreBLEU's form; `None` when the number of references varies.
    ///
    /// The version is this crate's, whose figures are those of sacreBLEU 2.6.0. A `beta` other than 2, which sacreBLEU
    /// tells in the metric's name only, is told as `beta`.
    pub fn signature(&self, n_references: impl Into<Option<usize>>) -> String {
        let ChrfConfig { char_order, word_order, beta, lowercase, whitespace, eps_smoothing } = self.config;
        let nrefs = nrefs(n_references.into());
        let case = if lowercase { "lc" } else { "mixed" };
        let (effective, space) = (yes_no(!eps_smoothing), yes_no(whitespace));
        let beta = if beta == USUAL_BETA { String::new() } else { format!("|beta:{beta}") };
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "nrefs:{nrefs}|case:{case}|eff:{effective}|nc:{char_order}|nw:{word_order}|space:{space}{beta}|version:dqn-{version}"
        )
    }

    fn f_score(&self, orders: &[OrderMatches]) -> f64 {
        let factor = f64::from(self.config.beta).powi(2);
        let (mut precisions, mut recalls, mut n_orders, mut scores) = (0.0, 0.0, 0_u32, 0.0);
        for &OrderMatches { hypothesis, reference, matches } in orders {
            let share = |n: u64| if n > 0 { matches as f64 / n as f64 } else { EPSILON };
            let (precision, recall) = (share(hypothesis), share(reference));
            let denominator = factor * precision + recall;
            scores += if denominator > 0.0 { (1.0 + factor) * precision * recall / denominator } else { EPSILON };
            if hypothesis > 0 && reference > 0 {
                precisions += precision;
                recalls += recall;
                n_orders += 1;
            }
        }
        if self.config.eps_smoothing {
            return 100.0 * scores / orders.len() as f64;
        }
        // Nothing matches, or no order is long enough to be compared.
        if precisions + recalls == 0.0 {
            return 0.0;
        }
        let (precision, recall) = (precisions / f64::from(n_orders), recalls / f64::from(n_orders));
        100.0 * ((1.0 + factor) * precision * recall / (factor * precision + recall))
    }

    fn text(&self, line: &str) -> Text {
        let line = if self.config.lowercase { line.to_lowercase() } else { line.to_owned() };
        let chars = line.chars().filter(|char| self.config.whitespace || !is_space(*char)).collect();
        let words = if self.config.word_order > 0 { words(&line) } else { Vec::new() };
        Text { chars, words }
    }

    fn matches(&self, hypothesis: &Text, reference: &Text) -> Vec<OrderMatches> {
        let chars = (1..=self.config.char_order).map(|n| order_matches(&hypothesis.chars, &reference.chars, n));
        let words = (1..=self.config.word_order).map(|n| order_matches(&hypothesis.words, &reference.words, n));
        chars.chain(words).collect()
    }
}

impl CorpusMetric for Chrf {
    type Statistics = ChrfStatistics;

    fn name(&self) -> String {
        format!("chrF{}{}", self.config.beta, "+".repeat(self.config.word_order))
    }

    fn segment(&self, hypothesis: &str, references: &[&str]) -> ChrfStatistics {
        let hypothesis = self.text(hypothesis);
        let candidates = references.iter().map(|reference| self.matches(&hypothesis, &self.text(reference)));
        let scored = candidates.map(|orders| (self.f_score(&orders), orders));
        // Of equally good references the first counts.
        let best = scored.reduce(|best, other| if other.0 > best.0 { other } else { best });
        ChrfStatistics { orders: best.expect("a hypothesis has at least one reference").1 }
    }

    fn corpus_score(&self, statistics: &ChrfStatistics) -> f64 {
        self.f_score(&statistics.orders)
    }
}

/// A line as chrF compares it.
struct Text {
    chars: Vec<char>,
    words: Vec<String>,
}

/// The words between white space, with a punctuation mark at the end of a word, or else at its start, split off.
///
/// One mark at most is split off, as in Popović's own program: `(hi)` turns into `(hi` and `)`.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in line.split(is_space).filter(|word| !word.is_empty()) {
        let middle = if word.chars().nth(1).is_none() {
            word.len()
        } else if word.ends_with(|char: char| char.is_ascii_punctuation()) {
            word.len() - 1
        } else if word.starts_with(|char: char| char.is_ascii_punctuation()) {
            1
        } else {
            word.len()
        };
        let (first, second) = word.split_at(middle);
        words.extend([first, second].into_iter().filter(|part| !part.is_empty()).map(str::to_owned));
    }
    words
}

fn order_matches<T: Eq + Hash>(hypothesis: &[T], reference: &[T], n: usize) -> OrderMatches {
    let n_grams = |text: &[T]| text.windows(n).len() as u64;
    if reference.len() < n {
        return OrderMatches::default();
    }
    let allowed = tally(reference, n);
    let shared = tally(hypothesis, n).into_iter().map(|(ngram, n)| n.min(allowed.get(ngram).copied().unwrap_or(0)));
    OrderMatches { matches: shared.sum(), hypothesis: n_grams(hypothesis), reference: n_grams(reference) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mark_is_split_off_a_word() {
        let table: [(&str, &[&str]); 5] = [
            ("(hi) \"so", &["(hi", ")", "\"", "so"]),
            ("end... - a,b", &["end..", ".", "-", "a,b"]),
            ("你好。 “x” !?", &["你好。", "“x”", "!", "?"]),
            ("é\u{3000}é! \u{1c}", &["é", "é", "!"]),
            ("", &[]),
        ];
        for (line, expected) in table {
            assert_eq!(words(line), expected, "{line:?}");
        }
    }
}
