//! Parallel texts: a sentence and its translation.

use std::collections::{BTreeSet, HashSet};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::TextError;
use crate::corpus::plain_text;

/// A text and what it becomes in the other language.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// What is given.
    pub source: String,
    /// What is written.
    pub target: String,
}

/// The pairs of a table: a line each, its columns divided by tabs. A byte order mark and empty lines are skipped.
///
/// # Errors
/// [`TextError::NotUtf8`], [`TextError::Nul`], [`TextError::PairColumn`] for a line with too few columns, [`TextError::EmptyPair`] where one
/// of the two is empty, [`TextError::NoPairs`].
pub fn from_tsv(origin: &str, bytes: &[u8], [source, target]: [usize; 2]) -> Result<Vec<Pair>, TextError> {
    let text = plain_text(origin, bytes)?;
    let mut pairs = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let columns: Vec<&str> = line.split('\t').collect();
        let column = |number: usize| {
            columns.get(number).map(|text| text.trim().to_owned()).ok_or_else(|| TextError::PairColumn {
                origin: origin.to_owned(),
                line: index + 1,
                column: number,
                found: columns.len(),
            })
        };
        pairs.push(pair(origin, index + 1, column(source)?, column(target)?)?);
    }
    some(origin, pairs)
}

/// The pairs of two texts of as many lines: the first line of one belongs to that of the other, and so on.
///
/// # Errors
/// [`TextError::NotUtf8`], [`TextError::Nul`], [`TextError::PairLines`] for texts of different lengths, [`TextError::EmptyPair`],
/// [`TextError::NoPairs`].
pub fn from_lines(source: (&str, &[u8]), target: (&str, &[u8])) -> Result<Vec<Pair>, TextError> {
    let lines = |(origin, bytes): (&str, &[u8])| -> Result<Vec<String>, TextError> {
        Ok(plain_text(origin, bytes)?.lines().map(|line| line.trim().to_owned()).collect())
    };
    let (sources, targets) = (lines(source)?, lines(target)?);
    if sources.len() != targets.len() {
        return Err(TextError::PairLines {
            source_origin: source.0.to_owned(),
            target_origin: target.0.to_owned(),
            n_source: sources.len(),
            n_target: targets.len(),
        });
    }
    let both = sources.into_iter().zip(targets).enumerate();
    let pairs = both.map(|(index, (one, other))| pair(source.0, index + 1, one, other)).collect::<Result<_, _>>()?;
    some(source.0, pairs)
}

fn pair(origin: &str, line: usize, source: String, target: String) -> Result<Pair, TextError> {
    if source.is_empty() || target.is_empty() {
        let side = if source.is_empty() { "source" } else { "target" };
        return Err(TextError::EmptyPair { origin: origin.to_owned(), line, side });
    }
    Ok(Pair { source, target })
}

fn some(origin: &str, pairs: Vec<Pair>) -> Result<Vec<Pair>, TextError> {
    if pairs.is_empty() {
        return Err(TextError::NoPairs { origin: origin.to_owned() });
    }
    Ok(pairs)
}

/// One of the two texts of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What is given.
    Source,
    /// What is written.
    Target,
}

impl Side {
    fn of(self, pair: &Pair) -> &str {
        match self {
            Side::Source => &pair.source,
            Side::Target => &pair.target,
        }
    }

    fn other(self) -> Self {
        match self {
            Side::Source => Side::Target,
            Side::Target => Side::Source,
        }
    }
}

/// Pairs, divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DividedPairs {
    /// To learn from.
    pub training: Vec<Pair>,
    /// To tune on.
    pub validation: Vec<Pair>,
    /// To report on.
    pub test: Vec<Pair>,
    /// Pairs of validation and test left out because the training part holds their other side.
    pub n_left_out: usize,
}

/// Deals pairs out by the texts of one side: `n_validation` and `n_test` distinct ones, drawn with `seed`, are held out
/// with all their translations, less the pairs whose other side the training part holds.
///
/// The draw depends on the texts of that side only, so both directions of a corpus are divided alike.
///
/// # Errors
/// [`TextError::TooFewPairs`] when nothing would be left to learn from, or to judge by.
pub fn divide(
    origin: &str,
    pairs: Vec<Pair>,
    by: Side,
    [n_validation, n_test]: [usize; 2],
    seed: u64,
) -> Result<DividedPairs, TextError> {
    let mut texts: Vec<String> =
        pairs.iter().map(|pair| by.of(pair).to_owned()).collect::<BTreeSet<_>>().into_iter().collect();
    texts.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let n_texts = texts.len();
    let held_out = n_validation + n_test;
    let too_few = || TextError::TooFewPairs { origin: origin.to_owned(), n_texts, needed: held_out + 1 };
    if n_texts <= held_out {
        return Err(too_few());
    }
    let validation: HashSet<&str> = texts[..n_validation].iter().map(String::as_str).collect();
    let test: HashSet<&str> = texts[n_validation..held_out].iter().map(String::as_str).collect();
    let mut parts = [Vec::new(), Vec::new(), Vec::new()];
    for pair in pairs {
        let part = match by.of(&pair) {
            text if validation.contains(text) => 1,
            text if test.contains(text) => 2,
            _ => 0,
        };
        parts[part].push(pair);
    }
    let [training, mut validation, mut test] = parts;
    let seen: HashSet<&str> = training.iter().map(|pair| by.other().of(pair)).collect();
    let n_before = validation.len() + test.len();
    for part in [&mut validation, &mut test] {
        part.retain(|pair| !seen.contains(by.other().of(pair)));
    }
    if validation.is_empty() || test.is_empty() {
        return Err(too_few());
    }
    let n_left_out = n_before - validation.len() - test.len();
    Ok(DividedPairs { training, validation, test, n_left_out })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(texts: &[(&str, &str)]) -> Vec<Pair> {
        texts.iter().map(|&(source, target)| Pair { source: source.to_owned(), target: target.to_owned() }).collect()
    }

    #[test]
    fn a_table_is_read_by_its_columns() {
        let table = "\u{feff}Hi.\t嗨。\tsomeone\n\nRun.\t 跑 \n".as_bytes();
        assert_eq!(from_tsv("t", table, [0, 1]).unwrap(), pairs(&[("Hi.", "嗨。"), ("Run.", "跑")]));
        assert_eq!(from_tsv("t", table, [1, 0]).unwrap(), pairs(&[("嗨。", "Hi."), ("跑", "Run.")]));
    }

    #[test]
    fn lines_belong_together_by_their_number() {
        let found = from_lines(("a", b"one\ntwo\n"), ("b", b"eins\nzwei")).unwrap();
        assert_eq!(found, pairs(&[("one", "eins"), ("two", "zwei")]));
    }

    #[test]
    fn faults_name_their_place() {
        for (found, expected) in [
            (from_tsv("t", b"a\tb\nc", [0, 1]), "line 2 of t has 1 columns; column 1, counted from 0, is needed"),
            (from_tsv("t", b"a\tb\n \tc", [0, 1]), "line 2 of t has an empty source; every pair needs both texts"),
            (from_tsv("t", b"\n", [0, 1]), "t holds no pairs; at least one is needed"),
            (from_lines(("a", b"x\ny"), ("b", b"z")), "a has 2 lines and b has 1; line by line they belong together"),
            (
                from_lines(("a", b"x\ny"), ("b", b"z\n\n")),
                "line 2 of a has an empty target; every pair needs both texts",
            ),
        ] {
            assert_eq!(found.unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn too_few_pairs_cannot_be_divided() {
        let found = divide("t", pairs(&[("a", "x"), ("a", "y"), ("b", "z")]), Side::Source, [1, 1], 0);
        assert_eq!(
            found.unwrap_err().to_string(),
            "t has 2 distinct texts to divide by; at least 3 are needed, and some whose other side is not learned from"
        );
    }

    proptest! {
        #[test]
        fn parts_share_no_text_of_either_side(
            texts in proptest::collection::vec(("[a-h]{1,2}", "[a-h]{1,2}"), 8..60), seed: u64,
        ) {
            let all: Vec<Pair> = texts.iter().map(|(source, target)| Pair { source: source.clone(), target: target.clone() }).collect();
            for by in [Side::Source, Side::Target] {
                let Ok(divided) = divide("t", all.clone(), by, [2, 2], seed) else { continue };
                let DividedPairs { training, validation, test, n_left_out } = &divided;
                prop_assert_eq!(training.len() + validation.len() + test.len() + n_left_out, all.len());
                for held_out in [validation, test] {
                    for pair in held_out {
                        for side in [Side::Source, Side::Target] {
                            prop_assert!(training.iter().all(|other| side.of(other) != side.of(pair)));
                        }
                    }
                }
                prop_assert!(validation.iter().all(|pair| test.iter().all(|other| by.of(other) != by.of(pair))));
                prop_assert_eq!(divide("t", all.clone(), by, [2, 2], seed).unwrap(), divided);
            }
        }
    }
}
