//! ROUGE over strings, equal to rouge-score 0.1.2, and over token sequences.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ScoreError, porter};

/// Words of at most this many letters keep their endings, as in ROUGE 1.5.5.
const SHORT_WORD: usize = 3;

/// How a line is divided into tokens before it is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RougeTokenizer {
    /// Runs of the ASCII letters and digits in lower case, as rouge-score without its stemmer. The default.
    ///
    /// Letters of other scripts divide words and are no tokens: a Chinese line has none.
    #[default]
    Words,
    /// The same words without their endings, by NLTK's Porter stemmer, as rouge-score with `use_stemmer`; words of at
    /// most three letters stay as they are.
    Stems,
    /// Every letter or number of any script by itself, in lower case, and nothing else: for Chinese. rouge-score has no
    /// such tokenizer, but takes one from its caller.
    Characters,
}

impl RougeTokenizer {
    /// The tokens of `line`.
    pub fn tokenize(self, line: &str) -> Vec<String> {
        let line = line.to_lowercase();
        let words = || {
            let divides = |char: char| !char.is_ascii_lowercase() && !char.is_ascii_digit();
            line.split(divides).filter(|word| !word.is_empty())
        };
        match self {
            Self::Words => words().map(str::to_owned).collect(),
            Self::Stems => {
                words().map(|word| if word.len() > SHORT_WORD { porter::stem(word) } else { word.to_owned() }).collect()
            }
            Self::Characters => line.chars().filter(|char| char.is_alphanumeric()).map(String::from).collect(),
        }
    }
}

/// What two texts are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RougeKind {
    /// Their words, [`rouge_n`] of 1.
    #[serde(rename = "rouge1")]
    Rouge1,
    /// Their pairs of neighbouring words, [`rouge_n`] of 2.
    #[serde(rename = "rouge2")]
    Rouge2,
    /// Their longest common subsequence, [`rouge_l`].
    #[serde(rename = "rougeL")]
    RougeL,
    /// The longest common subsequences of their lines, [`rouge_l_sum`].
    #[serde(rename = "rougeLsum")]
    RougeLsum,
}

impl RougeKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Rouge1, Self::Rouge2, Self::RougeL, Self::RougeLsum];

    /// The name in configuration files, which is rouge-score's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rouge1 => "rouge1",
            Self::Rouge2 => "rouge2",
            Self::RougeL => "rougeL",
            Self::RougeLsum => "rougeLsum",
        }
    }
}

impl fmt::Display for RougeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RougeKind {
    type Err = ScoreError;

    fn from_str(name: &str) -> Result<Self, ScoreError> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| ScoreError::UnknownRouge {
            found: name.to_owned(),
            allowed: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// A ROUGE score.
///
/// # Range
/// 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RougeScore {
    /// The share of the hypothesis that the reference has too.
    pub precision: f64,
    /// The share of the reference that the hypothesis has too.
    pub recall: f64,
    /// The harmonic mean of both; 0 when both are.
    pub f_measure: f64,
}

impl RougeScore {
    fn of(n_common: usize, n_hypothesis: usize, n_reference: usize) -> Self {
        // Nothing is in common where there is nothing, and 0 is what then comes out.
        let precision = n_common as f64 / n_hypothesis.max(1) as f64;
        let recall = n_common as f64 / n_reference.max(1) as f64;
        let f_measure = if n_common == 0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) };
        Self { precision, recall, f_measure }
    }
}

/// ROUGE, the overlap of a hypothesis with a reference, with the figures of rouge-score 0.1.2.
///
/// Source: Lin 2004, "ROUGE: a package for automatic evaluation of summaries".
#[derive(Clone, Copy, Debug)]
pub struct Rouge {
    kind: RougeKind,
    tokenizer: RougeTokenizer,
}

impl Rouge {
    /// ROUGE of one kind over the tokens of `tokenizer`.
    pub fn new(kind: RougeKind, tokenizer: RougeTokenizer) -> Self {
        Self { kind, tokenizer }
    }

    /// The score of a hypothesis against one reference.
    pub fn score(&self, hypothesis: &str, reference: &str) -> RougeScore {
        let tokens = |text: &str| self.tokenizer.tokenize(text);
        match self.kind {
            RougeKind::Rouge1 => rouge_n(&tokens(hypothesis), &tokens(reference), 1),
            RougeKind::Rouge2 => rouge_n(&tokens(hypothesis), &tokens(reference), 2),
            RougeKind::RougeL => rouge_l(&tokens(hypothesis), &tokens(reference)),
            RougeKind::RougeLsum => {
                let lines = |text: &str| text.split('\n').map(tokens).collect::<Vec<_>>();
                rouge_l_sum(&lines(hypothesis), &lines(reference))
            }
        }
    }

    /// The score against the reference with the highest F-measure, the first of several: rouge-score's `score_multi`.
    ///
    /// # Errors
    /// [`ScoreError::NoReferences`].
    pub fn score_multi(&self, hypothesis: &str, references: &[&str]) -> Result<RougeScore, ScoreError> {
        references
            .iter()
            .map(|reference| self.score(hypothesis, reference))
            .reduce(|best, score| if score.f_measure > best.f_measure { score } else { best })
            .ok_or(ScoreError::NoReferences { hypothesis: 0 })
    }

    /// The means of the scores of all hypotheses, each against its own references, whose number may vary.
    ///
    /// # Errors
    /// [`ScoreError::NoHypotheses`], [`ScoreError::CorpusLength`] and [`ScoreError::NoReferences`].
    pub fn corpus(&self, hypotheses: &[&str], references: &[Vec<&str>]) -> Result<RougeScore, ScoreError> {
        if hypotheses.is_empty() {
            return Err(ScoreError::NoHypotheses);
        }
        if hypotheses.len() != references.len() {
            return Err(ScoreError::CorpusLength { hypotheses: hypotheses.len(), references: references.len() });
        }
        let mut mean = RougeScore::default();
        for (line, (hypothesis, references)) in hypotheses.iter().zip(references).enumerate() {
            let score =
                self.score_multi(hypothesis, references).map_err(|_| ScoreError::NoReferences { hypothesis: line })?;
            mean.precision += score.precision / hypotheses.len() as f64;
            mean.recall += score.recall / hypotheses.len() as f64;
            mean.f_measure += score.f_measure / hypotheses.len() as f64;
        }
        Ok(mean)
    }
}

/// ROUGE-N over tokens: the n-grams that hypothesis and reference have in common, each as often as in both.
///
/// Source: Lin 2004, section 2, with precision and F-measure as in ROUGE 1.5.5.
///
/// # Panics
/// When `n` is 0.
pub fn rouge_n<T: Eq + Hash>(hypothesis: &[T], reference: &[T], n: usize) -> RougeScore {
    let mut left: HashMap<&[T], usize> = HashMap::new();
    for ngram in reference.windows(n) {
        *left.entry(ngram).or_default() += 1;
    }
    let is_left = |ngram: &&[T]| match left.get_mut(*ngram) {
        Some(count @ 1..) => {
            *count -= 1;
            true
        }
        _ => false,
    };
    let n_common = hypothesis.windows(n).filter(is_left).count();
    RougeScore::of(n_common, hypothesis.windows(n).len(), reference.windows(n).len())
}

/// ROUGE-L over tokens: the length of the longest common subsequence of hypothesis and reference.
///
/// Memory grows with the sum of the lengths, time with their product, of which 64 cells are one step.
///
/// Source: Lin 2004, section 3.1; the F-measure is that of ROUGE 1.5.5, with equal weights.
pub fn rouge_l<T: Eq + Hash>(hypothesis: &[T], reference: &[T]) -> RougeScore {
    let mut row = CommonRow::first(hypothesis.len());
    let places = places(hypothesis);
    for token in reference {
        row.advance(places.get(token).map_or(&[], Vec::as_slice));
    }
    RougeScore::of(row.length(hypothesis.len()), hypothesis.len(), reference.len())
}

/// ROUGE-L of summaries, over the tokens of their lines: for each line of the reference, the tokens that stand in the
/// longest common subsequence with some line of the hypothesis.
///
/// A token counts no more often than in either summary, as in ROUGE 1.5.5. Memory grows with the longest line of the
/// hypothesis times the longest of the reference, one bit a pair of tokens.
///
/// Source: Lin 2004, section 3.2. Of several longest common subsequences the one that rouge-score finds is taken.
pub fn rouge_l_sum<T: Eq + Hash, L: AsRef<[T]>>(hypothesis: &[L], reference: &[L]) -> RougeScore {
    let mut left_in_hypothesis = counts(hypothesis);
    let mut left_in_reference = counts(reference);
    let mut n_common = 0;
    let hypothesis_places: Vec<_> = hypothesis.iter().map(|line| (line.as_ref(), places(line.as_ref()))).collect();
    for line in reference {
        let line = line.as_ref();
        let mut in_union = vec![false; line.len()];
        for (hypothesis, places) in &hypothesis_places {
            for place in common_subsequence(line, hypothesis, places) {
                in_union[place] = true;
            }
        }
        for (token, _) in line.iter().zip(in_union).filter(|(_, in_union)| *in_union) {
            if let (Some(in_hypothesis @ 1..), Some(in_reference @ 1..)) =
                (left_in_hypothesis.get_mut(token), left_in_reference.get_mut(token))
            {
                *in_hypothesis -= 1;
                *in_reference -= 1;
                n_common += 1;
            }
        }
    }
    let n_tokens = |lines: &[L]| lines.iter().map(|line| line.as_ref().len()).sum();
    RougeScore::of(n_common, n_tokens(hypothesis), n_tokens(reference))
}

fn counts<T: Eq + Hash, L: AsRef<[T]>>(lines: &[L]) -> HashMap<&T, usize> {
    let mut counts = HashMap::new();
    for token in lines.iter().flat_map(AsRef::as_ref) {
        *counts.entry(token).or_default() += 1;
    }
    counts
}

/// Where each token stands.
fn places<T: Eq + Hash>(tokens: &[T]) -> HashMap<&T, Vec<usize>> {
    let mut places: HashMap<&T, Vec<usize>> = HashMap::new();
    for (place, token) in tokens.iter().enumerate() {
        places.entry(token).or_default().push(place);
    }
    places
}

/// The places in `reference` of a longest subsequence that `hypothesis` has too, from the last to the first.
fn common_subsequence<T: Eq + Hash>(reference: &[T], hypothesis: &[T], places: &HashMap<&T, Vec<usize>>) -> Vec<usize> {
    let mut rows = vec![CommonRow::first(hypothesis.len())];
    for token in reference {
        let mut row = rows[rows.len() - 1].clone();
        row.advance(places.get(token).map_or(&[], Vec::as_slice));
        rows.push(row);
    }
    let (mut n_reference, mut n_hypothesis) = (reference.len(), hypothesis.len());
    let mut length = rows[n_reference].length(n_hypothesis);
    let mut found = Vec::with_capacity(length);
    while length > 0 {
        if reference[n_reference - 1] == hypothesis[n_hypothesis - 1] {
            n_reference -= 1;
            n_hypothesis -= 1;
            length -= 1;
            found.push(n_reference);
        } else if rows[n_reference - 1].length(n_hypothesis) == length {
            n_reference -= 1;
        } else {
            n_hypothesis -= 1;
        }
    }
    found
}

/// The lengths of the longest common subsequences of one beginning of the reference with all beginnings of the
/// hypothesis.
///
/// From one beginning of the hypothesis to the next the length grows by 0 or 1. Bit `j` is 0 where token `j` makes it
/// grow, and 64 of these bits are advanced at once.
///
/// Source: Hyyrö 2004, "Bit-parallel LCS-length computation revisited", figure 2.
#[derive(Clone)]
struct CommonRow {
    unchanged: Vec<u64>,
}

impl CommonRow {
    /// The row of the empty reference.
    fn first(n_hypothesis: usize) -> Self {
        Self { unchanged: vec![u64::MAX; n_hypothesis.div_ceil(64)] }
    }

    /// Goes on to the reference that is one token longer; `places` are those of this token in the hypothesis, ascending.
    fn advance(&mut self, places: &[usize]) {
        let mut places = places.iter().peekable();
        let mut carry = false;
        for (index, word) in self.unchanged.iter_mut().enumerate() {
            let mut matches = 0;
            while let Some(place) = places.next_if(|place| **place / 64 == index) {
                matches |= 1 << (place % 64);
            }
            let (sum, overflow) = word.overflowing_add(*word & matches);
            let (sum, overflow_of_carry) = sum.overflowing_add(u64::from(carry));
            carry = overflow || overflow_of_carry;
            *word = sum | (*word & !matches);
        }
    }

    /// The length with the first `n_hypothesis` tokens of the hypothesis.
    fn length(&self, n_hypothesis: usize) -> usize {
        let whole: u32 = self.unchanged[..n_hypothesis / 64].iter().map(|word| word.count_zeros()).sum();
        let rest = match n_hypothesis % 64 {
            0 => 0,
            n_bits => (!self.unchanged[n_hypothesis / 64] & ((1 << n_bits) - 1)).count_ones(),
        };
        (whole + rest) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_by_hand() {
        let check = |tokenizer: RougeTokenizer, line: &str, expected: &[&str]| {
            assert_eq!(tokenizer.tokenize(line), expected, "{tokenizer:?} of {line:?}");
        };
        check(RougeTokenizer::Words, "The cat's 2 naïve_toys, 你好😀", &["the", "cat", "s", "2", "na", "ve", "toys"]);
        // The sign of the kelvin is k in lower case, and the dotted capital I an i with a dot above.
        check(RougeTokenizer::Words, "\u{212a}m İx", &["km", "i", "x"]);
        check(RougeTokenizer::Stems, "Flies was dying running", &["fli", "was", "die", "run"]);
        check(RougeTokenizer::Characters, "床前Ab１，é 3。😀", &["床", "前", "a", "b", "１", "é", "3"]);
        check(RougeTokenizer::Words, "", &[]);
    }

    /// The table of the textbooks, row by row.
    fn length_by_table(one: &[u8], other: &[u8]) -> usize {
        let mut row = vec![0; other.len() + 1];
        for token in one {
            let mut diagonal = 0;
            for place in 0..other.len() {
                let above = row[place + 1];
                row[place + 1] = if *token == other[place] { diagonal + 1 } else { above.max(row[place]) };
                diagonal = above;
            }
        }
        row[other.len()]
    }

    proptest! {
        #[test]
        fn the_common_subsequence_is_common_and_longest(
            reference in prop::collection::vec(0_u8..5, 0..150),
            hypothesis in prop::collection::vec(0_u8..5, 0..150),
        ) {
            let mut found = common_subsequence(&reference, &hypothesis, &places(&hypothesis));
            found.reverse();
            prop_assert_eq!(found.len(), length_by_table(&reference, &hypothesis));
            prop_assert!(found.is_sorted());
            let mut rest = hypothesis.iter();
            for place in &found {
                prop_assert!(rest.any(|token| *token == reference[*place]));
            }
            let n_common = found.len();
            prop_assert_eq!(
                rouge_l(&hypothesis, &reference),
                RougeScore::of(n_common, hypothesis.len(), reference.len())
            );
        }
    }
}
