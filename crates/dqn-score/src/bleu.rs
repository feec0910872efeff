//! BLEU over strings, equal to sacreBLEU 2.6.0, and over token sequences.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::AddAssign;

use dqn_text::TokenId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::{CorpusMetric, nrefs, sum, yes_no};
use crate::{BleuTokenizer, ScoreError};

/// The order of sacreBLEU's signatures, which do not name it.
const USUAL_ORDER: usize = 4;

/// What stands in for a precision of 0, whose logarithm would make the whole score 0.
///
/// Source: Chen & Cherry 2014, methods 1 to 3, in the form sacreBLEU gives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Smoothing {
    /// Nothing: one precision of 0 makes the score 0.
    None,
    /// A fixed number of matches instead of none.
    Floor {
        /// The number of matches. Default 0.1, from Chen & Cherry 2014 by way of sacreBLEU.
        #[serde(default = "default_floor")]
        #[schemars(range(min = 0.0))]
        value: f64,
    },
    /// The same number added to the matches and to the n-grams of every order above 1.
    AddK {
        /// The number added. Default 1, as in sacreBLEU.
        #[serde(default = "default_add_k")]
        #[schemars(range(min = 0.0))]
        value: f64,
    },
    /// Half a match for the first order without any, a quarter for the next, and so on. The default, as in sacreBLEU.
    #[default]
    Exp,
}

fn default_floor() -> f64 {
    0.1
}

fn default_add_k() -> f64 {
    1.0
}

impl Smoothing {
    /// The name in signatures, with the parameter where there is one.
    fn signature(self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Floor { value } => format!("floor[{value:.2}]"),
            Self::AddK { value } => format!("add-k[{value:.2}]"),
            Self::Exp => "exp".to_owned(),
        }
    }
}

/// Settings of BLEU; the defaults are sacreBLEU's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BleuConfig {
    /// How lines are divided into tokens. Default 13a, as in sacreBLEU; `zh` or `char` suit Chinese.
    #[serde(default)]
    pub tokenize: BleuTokenizer,
    /// What stands in for a precision of 0. Default exp, as in sacreBLEU.
    #[serde(default)]
    pub smoothing: Smoothing,
    /// Whether upper and lower case are the same. Default false, as in sacreBLEU.
    #[serde(default)]
    pub lowercase: bool,
    /// Length of the longest n-grams compared, in tokens. Default 4, from Papineni et al. 2002.
    #[serde(default = "default_max_order")]
    #[schemars(range(min = 1, max = 16))]
    pub max_order: usize,
    /// Whether orders longer than every hypothesis are left out of a corpus score. Default false, as in sacreBLEU; the
    /// score of a single sentence always leaves them out.
    #[serde(default)]
    pub effective_order: bool,
}

fn default_max_order() -> usize {
    USUAL_ORDER
}

impl Default for BleuConfig {
    fn default() -> Self {
        Self {
            tokenize: BleuTokenizer::default(),
            smoothing: Smoothing::default(),
            lowercase: false,
            max_order: default_max_order(),
            effective_order: false,
        }
    }
}

/// A BLEU score and what it is made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BleuScore {
    /// The score, 0 to 100.
    pub score: f64,
    /// For each order the n-grams of the hypotheses that a reference has too, before smoothing.
    pub counts: Vec<u64>,
    /// For each order the n-grams of the hypotheses, before smoothing.
    pub totals: Vec<u64>,
    /// For each order the smoothed precision, 0 to 100; all are 0 when no token matches.
    pub precisions: Vec<f64>,
    /// The factor, 0 to 1, for hypotheses that are shorter than their references.
    pub brevity_penalty: f64,
    /// Length of all hypotheses, in tokens.
    pub hypothesis_length: u64,
    /// Length of all references, in tokens; of several, the one closest to the hypothesis counts.
    pub reference_length: u64,
}

/// BLEU, the similarity of hypotheses to references by their n-grams, with the figures of sacreBLEU 2.6.0.
///
/// ```text
/// BLEU = 100 min(1, exp(1 - r / h)) exp((1 / N) sum_n ln p_n)
/// ```
///
/// `h` and `r` are the lengths of hypotheses and references, `p_n` the share of the hypotheses' n-grams that stand in
/// a reference, each no more often than there.
///
/// Source: Papineni et al. 2002, section 2.3; Post 2018 for the tokenizers.
#[derive(Clone, Copy, Debug)]
pub struct Bleu {
    config: BleuConfig,
}

impl Bleu {
    /// BLEU with the settings `config`.
    ///
    /// # Panics
    /// When `max_order` is 0, or a smoothing value is negative or not finite.
    pub fn new(config: BleuConfig) -> Self {
        assert!(config.max_order > 0, "max_order must be at least 1");
        if let Smoothing::Floor { value } | Smoothing::AddK { value } = config.smoothing {
            assert!(value >= 0.0 && value.is_finite(), "the smoothing value is {value}; it must be 0 or more");
        }
        Self { config }
    }

    /// The score of all hypotheses together, each with its own references, whose number may vary.
    ///
    /// # Errors
    /// [`ScoreError::NoHypotheses`], [`ScoreError::CorpusLength`] and [`ScoreError::NoReferences`].
    pub fn corpus(&self, hypotheses: &[&str], references: &[Vec<&str>]) -> Result<BleuScore, ScoreError> {
        Ok(sum(&self.segments(hypotheses, references)?).score(self.config.smoothing, self.config.effective_order))
    }

    /// The score of one hypothesis; orders longer than it are left out, whatever `effective_order` says.
    ///
    /// # Panics
    /// When `references` is empty.
    pub fn sentence(&self, hypothesis: &str, references: &[&str]) -> BleuScore {
        self.segment(hypothesis, references).score(self.config.smoothing, true)
    }

    /// What must be known to repeat a corpus score, in sacreBLEU's form; `None` when the number of references varies.
    ///
    /// The version is this crate's, whose figures are those of sacreBLEU 2.6.0. A `max_order` other than 4, which
    /// sacreBLEU does not tell, is told as `order`.
    pub fn signature(&self, n_references: impl Into<Option<usize>>) -> String {
        let BleuConfig { tokenize, smoothing, lowercase, max_order, effective_order } = self.config;
        let nrefs = nrefs(n_references.into());
        let case = if lowercase { "lc" } else { "mixed" };
        let effective = yes_no(effective_order);
        let smooth = smoothing.signature();
        let order = if max_order == USUAL_ORDER { String::new() } else { format!("|order:{max_order}") };
        let version = env!("CARGO_PKG_VERSION");
        format!("nrefs:{nrefs}|case:{case}|eff:{effective}|tok:{tokenize}|smooth:{smooth}{order}|version:dqn-{version}")
    }

    fn tokens(&self, line: &str) -> Vec<String> {
        if self.config.lowercase {
            self.config.tokenize.tokenize(&line.to_lowercase())
        } else {
            self.config.tokenize.tokenize(line)
        }
    }
}

impl CorpusMetric for Bleu {
    type Statistics = BleuStatistics;

    fn name(&self) -> String {
        "BLEU".to_owned()
    }

    fn segment(&self, hypothesis: &str, references: &[&str]) -> BleuStatistics {
        let hypothesis = self.tokens(hypothesis);
        let references: Vec<Vec<String>> = references.iter().map(|reference| self.tokens(reference)).collect();
        let references: Vec<&[String]> = references.iter().map(Vec::as_slice).collect();
        BleuStatistics::of(&hypothesis, &references, self.config.max_order)
    }

    fn corpus_score(&self, statistics: &BleuStatistics) -> f64 {
        statistics.clone().score(self.config.smoothing, self.config.effective_order).score
    }
}

/// Sentence BLEU over tokens, with orders longer than the hypothesis left out: a reward, or a part of one.
///
/// # Range
/// 0 to 1, a hundredth of [`Bleu::sentence`].
///
/// # Panics
/// When `references` is empty or `max_order` is 0.
pub fn token_bleu(hypothesis: &[TokenId], references: &[&[TokenId]], max_order: usize, smoothing: Smoothing) -> f64 {
    assert!(max_order > 0, "max_order must be at least 1");
    let statistics = BleuStatistics::of(hypothesis, references, max_order);
    // Rounding may put a perfect score a hair above 100.
    (statistics.score(smoothing, true).score / 100.0).min(1.0)
}

/// What BLEU must know of a segment, or of several after summation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BleuStatistics {
    /// For each order the n-grams of the hypotheses that a reference has too.
    pub counts: Vec<u64>,
    /// For each order the n-grams of the hypotheses.
    pub totals: Vec<u64>,
    /// Length of the hypotheses, in tokens.
    pub hypothesis_length: u64,
    /// Length of the references, in tokens; of several, the one closest to the hypothesis counts.
    pub reference_length: u64,
}

impl AddAssign<&Self> for BleuStatistics {
    fn add_assign(&mut self, other: &Self) {
        for (own, other) in [(&mut self.counts, &other.counts), (&mut self.totals, &other.totals)] {
            own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
        }
        self.hypothesis_length += other.hypothesis_length;
        self.reference_length += other.reference_length;
    }
}

impl BleuStatistics {
    fn of<T: Eq + Hash>(hypothesis: &[T], references: &[&[T]], max_order: usize) -> Self {
        let length = hypothesis.len();
        // Of two references equally close in length, the shorter counts.
        let closest = references.iter().map(|reference| reference.len()).min_by_key(|&n| (n.abs_diff(length), n));
        let closest = closest.expect("a hypothesis has at least one reference");
        let (mut counts, mut totals) = (vec![0; max_order], vec![0; max_order]);
        for (n, (count, total)) in (1..).zip(counts.iter_mut().zip(&mut totals)) {
            let mut allowed: HashMap<&[T], u64> = HashMap::new();
            for reference in references {
                for (ngram, n_in_reference) in tally(reference, n) {
                    let most = allowed.entry(ngram).or_default();
                    *most = n_in_reference.max(*most);
                }
            }
            for (ngram, n_in_hypothesis) in tally(hypothesis, n) {
                *count += n_in_hypothesis.min(allowed.get(ngram).copied().unwrap_or(0));
                *total += n_in_hypothesis;
            }
        }
        Self { counts, totals, hypothesis_length: length as u64, reference_length: closest as u64 }
    }

    fn score(self, smoothing: Smoothing, effective_order: bool) -> BleuScore {
        let Self { counts, totals, hypothesis_length, reference_length } = self;
        let brevity_penalty = brevity_penalty(hypothesis_length, reference_length);
        let (precisions, n_orders) = precisions(&counts, &totals, smoothing);
        let averaged = if effective_order { &precisions[..n_orders] } else { &precisions[..] };
        let log_sum: f64 = averaged.iter().map(|precision| precision.ln()).sum();
        // No order is averaged when nothing matches: the score is then 0, not undefined.
        let score = if averaged.is_empty() { 0.0 } else { brevity_penalty * (log_sum / averaged.len() as f64).exp() };
        BleuScore { score, counts, totals, precisions, brevity_penalty, hypothesis_length, reference_length }
    }
}

pub(crate) fn brevity_penalty(hypothesis_length: u64, reference_length: u64) -> f64 {
    if hypothesis_length >= reference_length {
        1.0
    } else {
        // An empty hypothesis divides by 0, and exp(-inf) = 0 is the penalty it gets.
        (1.0 - reference_length as f64 / hypothesis_length as f64).exp()
    }
}

/// The smoothed precisions of all orders, 0 to 100, and how many orders there are n-grams of.
fn precisions(counts: &[u64], totals: &[u64], smoothing: Smoothing) -> (Vec<f64>, usize) {
    let mut precisions = vec![0.0; counts.len()];
    if counts.iter().all(|count| *count == 0) {
        return (precisions, 0);
    }
    let mut exp_divisor = 1.0;
    let mut n_orders = 0;
    for (order, precision) in precisions.iter_mut().enumerate() {
        let added = if let (Smoothing::AddK { value }, 1..) = (smoothing, order) { value } else { 0.0 };
        let (count, total) = (counts[order] as f64 + added, totals[order] as f64 + added);
        if total == 0.0 {
            break;
        }
        n_orders += 1;
        let matched = match smoothing {
            Smoothing::Floor { value } if count == 0.0 => value,
            Smoothing::Exp if count == 0.0 => {
                exp_divisor *= 2.0;
                1.0 / exp_divisor
            }
            _ => count,
        };
        *precision = 100.0 * matched / total;
    }
    (precisions, n_orders)
}

/// How often each n-gram of `tokens` occurs.
pub(crate) fn tally<T: Eq + Hash>(tokens: &[T], n: usize) -> HashMap<&[T], u64> {
    let mut counts = HashMap::new();
    for ngram in tokens.windows(n) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}
