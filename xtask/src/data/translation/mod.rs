//! A parallel corpus English-Chinese, written by a grammar of two languages.
//!
//! Every kind of sentence is a function that draws its words once and writes them in both languages, so that each pair is
//! right by construction. English is in small letters with single spaces and without punctuation, a question ends in
//! " ?"; Chinese has no spaces, a question ends in "？". No sentence of either language stands in two pairs: translation
//! is a function in both directions. Every word and every character of validation and test occurs in training.

mod lexicon;
mod quantities;
mod sentences;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::{Result, bail};

use super::draw::Draw;

/// Another seed is another corpus.
const SEED: u8 = 1;
const N_VALIDATION: usize = 500;
const N_TEST: usize = 500;
/// Longer sentences are drawn anew.
const MAX_WORDS: usize = 12;
const MAX_CHARACTERS: usize = 20;
/// How often a word or character must occur in training before a pair that holds it may be held out.
const MIN_TRAINING_COUNT: usize = 5;
/// So many draws for a pair that is wanted, before the grammar is said to have too few.
const MAX_DRAWS: usize = 200;

/// The kinds of sentences and how many pairs of each there are.
const KINDS: [(Kind, usize); 17] = [
    (quantities::any_number, 1_400),
    (quantities::ordinal, 200),
    (quantities::date, 800),
    (quantities::weekday, 100),
    (quantities::hour, 500),
    (quantities::routine, 500),
    (quantities::price, 600),
    (quantities::age, 500),
    (sentences::past, 700),
    (sentences::future, 500),
    (sentences::habit, 400),
    (sentences::state, 600),
    (sentences::profession, 300),
    (sentences::feeling, 200),
    (sentences::comparison_of_people, 500),
    (sentences::comparison_of_things, 500),
    (sentences::existence, 700),
];

type Kind = fn(&mut Draw) -> Pair;

/// A sentence in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    english: String,
    chinese: String,
}

impl Pair {
    fn new(english: impl Into<String>, chinese: impl Into<String>) -> Self {
        Self { english: english.into(), chinese: chinese.into() }
    }

    /// A question: the Chinese sentence ends in 吗？
    fn asked(mut self, is_question: bool) -> Self {
        if is_question {
            self.chinese.push_str("吗？");
        }
        self
    }

    /// The words, then the characters; no word is a character.
    fn tokens(&self) -> impl Iterator<Item = String> {
        self.english.split(' ').map(str::to_owned).chain(self.chinese.chars().map(String::from))
    }

    fn is_short(&self) -> bool {
        self.english.split(' ').count() <= MAX_WORDS && self.chinese.chars().count() <= MAX_CHARACTERS
    }
}

/// The corpus, one pair a line with a tab between the languages.
#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) training: String,
    pub(super) validation: String,
    pub(super) test: String,
}

impl Corpus {
    /// The text of the file `name` of the data set.
    pub(super) fn file(&self, name: &str) -> Result<&str> {
        match name {
            "training.tsv" => Ok(&self.training),
            "validation.tsv" => Ok(&self.validation),
            "test.tsv" => Ok(&self.test),
            _ => bail!("the corpus has training.tsv, validation.tsv and test.tsv, no {name:?}"),
        }
    }
}

/// Writes the corpus.
pub(super) fn build() -> Result<Corpus> {
    let mut draw = Draw::new(SEED);
    let mut pairs = distinct_pairs(&mut draw)?;
    draw.shuffle(&mut pairs);
    let (held_out, mut training) = hold_out(pairs);
    if held_out.len() < N_VALIDATION + N_TEST {
        bail!("only {} pairs can be held out, and {} are wanted", held_out.len(), N_VALIDATION + N_TEST);
    }
    let (validation, test) = held_out.split_at(N_VALIDATION);
    // Those that first brought a word stand first: they are mixed among the others.
    draw.shuffle(&mut training);
    Ok(Corpus { training: lines(&training), validation: lines(validation), test: lines(test) })
}

fn distinct_pairs(draw: &mut Draw) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    let (mut english, mut chinese) = (HashSet::new(), HashSet::new());
    for (number, (kind, n_pairs)) in KINDS.iter().enumerate() {
        let wanted = pairs.len() + n_pairs;
        for _ in 0..n_pairs * MAX_DRAWS {
            if pairs.len() == wanted {
                break;
            }
            let pair = kind(draw);
            if pair.is_short() && !english.contains(&pair.english) && !chinese.contains(&pair.chinese) {
                english.insert(pair.english.clone());
                chinese.insert(pair.chinese.clone());
                pairs.push(pair);
            }
        }
        if pairs.len() < wanted {
            bail!("kind {number} of the grammar has fewer than {n_pairs} sentences");
        }
    }
    Ok(pairs)
}

/// The first pairs whose words and characters others have brought before, and the rest.
fn hold_out(pairs: Vec<Pair>) -> (Vec<Pair>, Vec<Pair>) {
    let mut counts = BTreeMap::new();
    let (mut held_out, mut training) = (Vec::new(), Vec::new());
    for pair in pairs {
        let tokens: BTreeSet<String> = pair.tokens().collect();
        let is_known = tokens.iter().all(|token| counts.get(token).is_some_and(|&count| count >= MIN_TRAINING_COUNT));
        if is_known && held_out.len() < N_VALIDATION + N_TEST {
            held_out.push(pair);
        } else {
            for token in tokens {
                *counts.entry(token).or_insert(0) += 1;
            }
            training.push(pair);
        }
    }
    (held_out, training)
}

fn lines(pairs: &[Pair]) -> String {
    pairs.iter().map(|pair| format!("{}\t{}\n", pair.english, pair.chinese)).collect()
}
