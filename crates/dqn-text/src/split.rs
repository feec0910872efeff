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

/// Which share of the documents goes where; the shares add up to 1, and equal documents count once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// Share to learn from; the language model in reward and prior is made from it too.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub train: f64,
    /// Share for the language model that judges what was written; learning never sees it. As large as `train` by
    /// default, so that the judge is as good a model as the one in the reward; 0 where nothing is judged.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub judge: f64,
    /// Share to tune on.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub validation: f64,
    /// Share to report on, once.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub test: f64,
    /// Seed of the order in which documents are dealt out. Runs that are compared need the same one.
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
    /// [`TextError::TooFewDocuments`] when there are fewer distinct documents than parts, [`TextError::EmptyPart`] when
    /// earlier parts hold every example of a part.
    pub fn of(corpus: &Corpus, config: &SplitConfig) -> Result<Self, TextError> {
        let shares = [config.train, config.judge, config.validation, config.test];
        let sum: f64 = shares.iter().sum();
        let has_needed = [config.train, config.validation, config.test].iter().all(|share| *share > 0.0);
        let is_whole = (sum - 1.0).abs() <= 1e-6;
        if !(has_needed && config.judge >= 0.0 && is_whole) {
            return Err(TextError::Shares { shares });
        }
        let groups = dealt(corpus, config.seed);
        let needed = shares.iter().filter(|&&share| share > 0.0).count();
        if groups.len() < needed {
            return Err(TextError::TooFewDocuments { origin: corpus.origin.clone(), found: groups.len(), needed });
        }
        let mut parts = assign(&groups, &shares);
        let n_moved_duplicates = remove_duplicates(&mut parts);
        for (part, (documents, share)) in Split::ALL.into_iter().zip(parts.iter().zip(shares)) {
            if documents.is_empty() && share > 0.0 {
                return Err(TextError::EmptyPart { origin: corpus.origin.clone(), part });
            }
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
        let n_parts_after = shares[index + 1..].iter().filter(|&&share| share > 0.0).count();
        let end = (share_so_far * groups.len() as f64).round() as usize;
        let least = bounds[index] + usize::from(*share > 0.0);
        bounds[index + 1] = end.max(least).min(groups.len() - n_parts_after);
    }
    // The shares may fall short of 1 by a rounding error, which must not cost a document.
    bounds[4] = groups.len();
    for (index, part) in parts.iter_mut().enumerate() {
        let range = bounds[index]..bounds[index + 1];
        part.extend(groups[range].iter().flatten().map(|&document| document.clone()));
    }
    parts
}

/// Takes out of each part the examples that an earlier part holds; returns how many.
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
    }

    #[test]
    fn shares_that_make_no_whole_are_refused() {
        for [train, judge, validation, test] in [
            [0.9, 0.45, 0.05, 0.05],
            [0.5, 0.5, 0.0, 0.0],
            [0.0, 0.9, 0.05, 0.05],
            [0.95, -0.05, 0.05, 0.05],
            [f64::NAN, 0.45, 0.05, 0.05],
            [f64::INFINITY, 0.0, 0.5, 0.5],
        ] {
            let config = SplitConfig { train, judge, validation, test, seed: 0 };
            let found = Splits::of(&numbered(9), &config);
            assert!(matches!(found, Err(TextError::Shares { .. })), "{config:?}: {found:?}");
        }
    }

    #[test]
    fn shares_short_of_one_by_rounding_cost_no_document() {
        let document = Document { examples: vec!["a".to_owned()] };
        let parts = assign(&vec![vec![&document]; 600_000], &[0.449999, 0.45, 0.05, 0.05]);
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 600_000);
    }

    #[test]
    fn equal_documents_go_together_and_repeated_examples_to_the_earlier_part() {
        // Three distinct documents, one of them thrice: each part gets one of the three.
        let thirds = SplitConfig { train: 0.4, judge: 0.0, validation: 0.3, test: 0.3, seed: 7 };
        let splits = Splits::of(&corpus("a\n\nb\n\na\n\nc\n\na"), &thirds).unwrap();
        let mut lengths = Split::ALL.map(|part| splits.get(part).len());
        lengths.sort_unstable();
        assert_eq!((lengths, splits.n_moved_duplicates), ([0, 1, 1, 3], 0));
        // "same" stays in training alone, whichever document is there.
        let splits = Splits::of(&corpus("same\na\n\nsame\nb\n\nsame\nc"), &thirds).unwrap();
        let counts = Split::ALL.map(|part| splits.examples(part).count());
        assert_eq!((counts, splits.n_moved_duplicates), ([2, 0, 1, 1], 2));
    }

    #[test]
    fn a_part_without_text_of_its_own_is_refused() {
        // The documents are distinct, but their lines are the same two.
        let halves = SplitConfig { train: 0.4, judge: 0.0, validation: 0.3, test: 0.3, seed: 0 };
        let error = Splits::of(&corpus("a\nb\n\nb\na\n\na\nb\nb"), &halves).unwrap_err();
        assert_eq!(
            error.to_string(),
            "test: every example of the part validation also stands in an earlier part; bring more text, enlarge \
             split.validation, or try another split.seed"
        );
    }

    #[test]
    fn names_of_parts_are_read_and_written_alike() {
        for part in Split::ALL {
            assert_eq!(part.to_string().parse::<Split>().unwrap(), part);
            assert_eq!(serde_json::to_string(&part).unwrap(), format!("\"{part}\""));
        }
        let error = "dev".parse::<Split>().unwrap_err().to_string();
        assert_eq!(error, "there is no part \"dev\" of a corpus; there are: train, judge, validation, test");
    }

    /// The order of dealing is part of what makes a run repeatable: another one would mix old training text into new tests.
    #[test]
    fn the_order_of_a_seed_is_fixed() {
        let thirds = SplitConfig { train: 0.4, judge: 0.0, validation: 0.3, test: 0.3, seed: 42 };
        let splits = Splits::of(&corpus("a\n\nb\n\nc\n\nd\n\ne\n\nf\n\ng\n\nh\n\ni\n\nj"), &thirds).unwrap();
        let dealt = Split::ALL.map(|part| splits.examples(part).collect::<String>());
        assert_eq!(dealt, ["hbfe", "", "gjd", "ica"]);
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
