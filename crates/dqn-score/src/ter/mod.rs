//! Translation edit rate, equal to sacreBLEU 2.6.0.

mod edit_matrix;
mod shift;
mod tokens;

use std::collections::HashMap;
use std::ops::AddAssign;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::tokens::{reference_tokens, tokens};
use crate::ScoreError;
use crate::metric::{CorpusMetric, nrefs, sum, yes_no};

/// Settings of TER; the defaults are sacreBLEU's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TerConfig {
    /// Whether punctuation is split from words and escapes such as `&amp;` are read. Default false, as in sacreBLEU.
    #[serde(default)]
    pub normalized: bool,
    /// Whether punctuation is taken out. Default false, as in sacreBLEU.
    #[serde(default)]
    pub no_punct: bool,
    /// Whether `normalized` splits Chinese characters one from another, and `no_punct` takes out East Asian
    /// punctuation; without either of them it changes nothing. Default false, as in sacreBLEU.
    #[serde(default)]
    pub asian_support: bool,
    /// Whether upper and lower case differ. Default false, as in sacreBLEU.
    #[serde(default)]
    pub case_sensitive: bool,
}

/// What TER must know of a segment, or of several after summation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TerStatistics {
    /// Edits that turn the hypothesis into the reference that needs the fewest.
    pub edits: u64,
    /// Mean length of the references, in tokens.
    pub reference_length: f64,
}

impl AddAssign<&Self> for TerStatistics {
    fn add_assign(&mut self, other: &Self) {
        self.edits += other.edits;
        self.reference_length += other.reference_length;
    }
}

/// A TER score and what it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TerScore {
    /// The score, in percent: 0 for equal tokens, and above 100 when there are more edits than tokens to reach.
    pub score: f64,
    /// Edits of all hypotheses.
    pub edits: u64,
    /// Length of all references, in tokens; of several, their mean counts.
    pub reference_length: f64,
}

/// TER, the share of edits that turn hypotheses into references, with the figures of sacreBLEU 2.6.0.
///
/// ```text
/// TER = 100 edits / mean length of the references
/// ```
///
/// An edit inserts, deletes or replaces a token, or shifts a run of tokens to another place. Shifts are chosen greedily
/// and the edit distance is sought near the diagonal only, both as by Tercom, so that the number of edits is not always
/// the smallest possible. sacreBLEU divides references twice, and so does this: with `normalized`, a text with `'s` in
/// front of punctuation may need edits to reach itself.
///
/// Source: Snover et al. 2006, section 3 and algorithm 1.
#[derive(Clone, Copy, Debug)]
pub struct Ter {
    config: TerConfig,
}

impl Ter {
    /// TER with the settings `config`.
    pub fn new(config: TerConfig) -> Self {
        Self { config }
    }

    /// The score of all hypotheses together, each with its own references, whose number may vary.
    ///
    /// # Errors
    /// [`ScoreError::NoHypotheses`], [`ScoreError::CorpusLength`] and [`ScoreError::NoReferences`].
    pub fn corpus(&self, hypotheses: &[&str], references: &[Vec<&str>]) -> Result<TerScore, ScoreError> {
        let total = sum(&self.segments(hypotheses, references)?);
        let TerStatistics { edits, reference_length } = total;
        Ok(TerScore { score: self.corpus_score(&total), edits, reference_length })
    }

    /// The score of one hypothesis.
    ///
    /// # Errors
    /// [`ScoreError::NoReferences`].
    pub fn sentence(&self, hypothesis: &str, references: &[&str]) -> Result<TerScore, ScoreError> {
        self.corpus(&[hypothesis], &[references.to_vec()])
    }

    /// What must be known to repeat a corpus score, in sacreBLEU's form; `None` when the number of references varies.
    ///
    /// The version is this crate's, whose figures are those of sacreBLEU 2.6.0.
    pub fn signature(&self, n_references: impl Into<Option<usize>>) -> String {
        let TerConfig { normalized, no_punct, asian_support, case_sensitive } = self.config;
        let nrefs = nrefs(n_references.into());
        let case = if case_sensitive { "mixed" } else { "lc" };
        let (norm, punct, asian) = (yes_no(normalized), yes_no(!no_punct), yes_no(asian_support));
        let version = env!("CARGO_PKG_VERSION");
        format!("nrefs:{nrefs}|case:{case}|tok:tercom|norm:{norm}|punct:{punct}|asian:{asian}|version:dqn-{version}")
    }
}

impl CorpusMetric for Ter {
    type Statistics = TerStatistics;

    fn name(&self) -> String {
        "TER".to_owned()
    }

    fn segment(&self, hypothesis: &str, references: &[&str]) -> TerStatistics {
        let mut ids = HashMap::new();
        let mut id = |word: String| {
            let next = ids.len() as u32;
            *ids.entry(word).or_insert(next)
        };
        let hypothesis: Vec<u32> = tokens(hypothesis, self.config).into_iter().map(&mut id).collect();
        let references: Vec<Vec<u32>> = references
            .iter()
            .map(|reference| reference_tokens(reference, self.config).into_iter().map(&mut id).collect())
            .collect();
        let edits = references.iter().map(|reference| shift::n_edits(&hypothesis, reference)).min();
        let length: usize = references.iter().map(Vec::len).sum();
        TerStatistics {
            edits: edits.expect("a hypothesis has at least one reference"),
            reference_length: length as f64 / references.len() as f64,
        }
    }

    fn corpus_score(&self, statistics: &TerStatistics) -> f64 {
        let TerStatistics { edits, reference_length } = *statistics;
        if reference_length > 0.0 {
            100.0 * (edits as f64 / reference_length)
        } else if edits > 0 {
            // Every reference is empty, and some hypothesis is not.
            100.0
        } else {
            0.0
        }
    }
}
