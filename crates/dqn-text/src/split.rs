//! Dividing a corpus into parts that share no text.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TextError;
use crate::corpus::{Corpus, Document};

/// Which share of the documents goes where; the shares add up to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// To learn from, and for the language model in reward and prior.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub train: f64,
    /// For the language model that judges what was written; learning never sees it.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub judge: f64,
    /// To tune on.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub validation: f64,
    /// To report on, once.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub test: f64,
    /// Seed of the order in which documents are dealt out.
    pub seed: u64,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { train: 0.45, judge: 0.45, validation: 0.05, test: 0.05, seed: 0 }
    }
}

/// A part of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// To learn from.
    Train,
    /// For the judging language model.
    Judge,
    /// To tune on.
    Validation,
    /// To report on.
    Test,
}

impl Split {
    /// All parts, those first whose claim on a repeated text goes before.
    pub const ALL: [Split; 4] = [Split::Train, Split::Judge, Split::Validation, Split::Test];

    /// The name of the part.
    pub const fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Judge => "judge",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = TextError;

    fn from_str(name: &str) -> Result<Self, TextError> {
        let known = |split: &Split| split.name() == name;
        Split::ALL.into_iter().find(known).ok_or_else(|| TextError::UnknownSplit { name: name.to_owned() })
    }
}

/// A corpus, divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    /// To learn from.
    pub train: Vec<Document>,
    /// For the judging language model.
    pub judge: Vec<Document>,
    /// To tune on.
    pub validation: Vec<Document>,
    /// To report on.
    pub test: Vec<Document>,
    /// Examples taken out of a part because an earlier part, in the order of [`Split::ALL`], holds the same text.
    pub n_moved_duplicates: usize,
}

impl Splits {
    /// Deals the documents out in an order drawn with the seed. Equal documents stay together.
    ///
    /// # Errors
    /// [`TextError::Shares`] when the shares do not add up to 1 or a part other than `judge` gets none,
    /// [`TextError::TooFewDocuments`] when a part that should get documents would be empty.
    pub fn of(corpus: &Corpus, config: &SplitConfig) -> Result<Self, TextError> {
        let shares = [config.train, config.judge, config.validation, config.test];
        let sum: f64 = shares.iter().sum();
        let needed = [config.train, config.validation, config.test];
        if (sum - 1.0).abs() > 1e-6 || needed.iter().any(|&share| share <= 0.0) || config.judge < 0.0 {
            return Err(TextError::Shares { shares });
        }
        let groups = dealt(corpus, config.seed);
        let n_parts = shares.iter().filter(|&&share| share > 0.0).count();
        let too_few = || TextError::TooFewDocuments {
            origin: corpus.origin.clone(),
            found: groups.len(),
            needed: n_parts,
        };
        if groups.len() < n_parts {
            return Err(too_few());
        }
        let mut parts = assign(&groups, &shares);
        let n_moved_duplicates = remove_duplicates(&mut parts);
        if parts.iter().zip(shares).any(|(part, share)| share > 0.0 && part.is_empty()) {
            return Err(too_few());
        }
        let [train, judge, validation, test] = parts;
        Ok(Self { train, judge, validation, test, n_moved_duplicates })
    }

    /// The documents of one part.
    pub fn get(&self, split: Split) -> &[Document] {
        match split {
            Split::Train => &self.train,
            Split::Judge => &self.judge,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }

    /// The examples of one part.
    pub fn examples(&self, split: Split) -> impl Iterator<Item = &str> {
        self.get(split).iter().flat_map(|document| document.examples.iter().map(String::as_str))
    }
}

/// Groups of equal documents, in an order drawn with `seed`.
fn dealt(corpus: &Corpus, seed: u64) -> Vec<Vec<&Document>> {
    let mut places: HashMap<&Document, usize> = HashMap::new();
    let mut groups: Vec<Vec<&Document>> = Vec::new();
    for document in &corpus.documents {
        let place = *places.entry(document).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(document);
    }
    groups.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    groups
}

/// Fills the parts in turn up to their shares; a part with a share gets at least one group.
fn assign(groups: &[Vec<&Document>], shares: &[f64; 4]) -> [Vec<Document>; 4] {
    let mut parts: [Vec<Document>; 4] = Default::default();
    let mut bounds = [0_usize; 5];
    let mut share_so_far = 0.0;
    for (index, share) in shares.iter().enumerate() {
        share_so_far += share;
        let still = shares[index + 1..].iter().filter(|&&share| share > 0.0).count();
        let end = (share_so_far * groups.len() as f64).round() as usize;
        let least = bounds[index] + usize::from(*share > 0.0);
        bounds[index + 1] = end.max(least).min(groups.len() - still);
    }
    for (index, part) in parts.iter_mut().enumerate() {
        let range = bounds[index]..bounds[index + 1];
        part.extend(groups[range].iter().flatten().map(|&document| document.clone()));
    }
    parts
}

fn remove_duplicates(parts: &mut [Vec<Document>; 4]) -> usize {
    let mut n_removed = 0;
    let mut seen: HashSet<String> = HashSet::new();
    for part in parts {
        for document in part.iter_mut() {
            let before = document.examples.len();
            document.examples.retain(|example| !seen.contains(example));
            n_removed += before - document.examples.len();
        }
        part.retain(|document| !document.examples.is_empty());
        seen.extend(part.iter().flat_map(|document| document.examples.iter().cloned()));
    }
    n_removed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::corpus::CorpusConfig;

    fn corpus(text: &str) -> Corpus {
        Corpus::from_bytes("test", text.as_bytes(), &CorpusConfig::default()).unwrap()
    }

    fn numbered(n_documents: usize) -> Corpus {
        corpus(&(0..n_documents).map(|index| format!("a{index}\nb{index}\n\n")).collect::<String>())
    }

    #[test]
    fn shares_are_kept_and_the_seed_decides() {
        let corpus = numbered(100);
        let split = |seed| Splits::of(&corpus, &SplitConfig { seed, ..SplitConfig::default() }).unwrap();
        let lengths = |splits: &Splits| Split::ALL.map(|part| splits.get(part).len());
        assert_eq!(lengths(&split(0)), [45, 45, 5, 5]);
        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
    }

    #[test]
    fn a_corpus_of_too_few_documents_is_refused() {
        let error = Splits::of(&numbered(1), &SplitConfig::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "test has 1 distinct document, but 4 parts are asked for; bring more text, or change corpus.reading.document"
        );
        assert!(Splits::of(&numbered(4), &SplitConfig::default()).is_ok());
        let without_judge = SplitConfig { train: 0.9, judge: 0.0, ..SplitConfig::default() };
        assert!(Splits::of(&numbered(3), &without_judge).unwrap().judge.is_empty());
        let unbalanced = SplitConfig { train: 0.9, ..SplitConfig::default() };
        assert!(matches!(Splits::of(&numbered(9), &unbalanced), Err(TextError::Shares { .. })));
    }

    proptest! {
        #[test]
        fn no_text_stands_in_two_parts(texts in prop::collection::vec("[ab]{1,3}\n[ab]{1,2}", 12..40), seed: u64) {
            let corpus = corpus(&texts.join("\n\n"));
            if let Ok(splits) = Splits::of(&corpus, &SplitConfig { seed, ..SplitConfig::default() }) {
                let mut seen: HashMap<String, Split> = HashMap::new();
                let mut n_examples = 0;
                for part in Split::ALL {
                    for example in splits.examples(part) {
                        n_examples += 1;
                        prop_assert_eq!(*seen.entry(example.to_owned()).or_insert(part), part);
                    }
                }
                let before: usize = corpus.documents.iter().map(|document| document.examples.len()).sum();
                prop_assert_eq!(n_examples + splits.n_moved_duplicates, before);
            }
        }
    }
}
