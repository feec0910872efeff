//! `score`.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{DONE, dqn};

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[track_caller]
fn check(folder: &TempDir, arguments: &[&str], expected: Value) {
    let ran = dqn(folder.path(), &[&["score"], arguments, &["--json"]].concat()).ends_with(DONE);
    assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (1, ""));
    let mut found: Value = serde_json::from_str(&ran.stdout).unwrap();
    let score = |value: &mut Value| value["score"].take().as_f64().unwrap();
    let mut expected = expected;
    let (found_score, expected_score) = (score(&mut found), score(&mut expected));
    assert!((found_score - expected_score).abs() < 1e-9, "{found_score} instead of {expected_score}");
    assert_eq!(found, expected);
}

const VERSION: &str = concat!("version:dqn-", env!("CARGO_PKG_VERSION"));

#[test]
fn bleu_compares_line_by_line() {
    let folder = folder(&[
        ("same.txt", "the cat sat on the mat\na dog\n"),
        ("short.txt", "the cat sat on the\na dog\n"),
        ("other.txt", "THE CAT SAT ON THE MAT\nA DOG\n"),
    ]);
    let signature = format!("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{VERSION}");
    check(
        &folder,
        &["bleu", "--hypotheses", "same.txt", "--references", "same.txt"],
        json!({"metric": "bleu", "score": 100.0, "signature": signature, "n": 2}),
    );
    // All n-grams match, but there are 7 tokens instead of 8: 100 exp(1 - 8 / 7).
    check(
        &folder,
        &["bleu", "--hypotheses", "short.txt", "--references", "same.txt"],
        json!({"metric": "bleu", "score": 100.0 * (1.0_f64 - 8.0 / 7.0).exp(), "signature": signature, "n": 2}),
    );
    let signature = format!("nrefs:2|case:lc|eff:no|tok:char|smooth:floor[0.10]|{VERSION}");
    check(
        &folder,
        &[
            "bleu",
            "--hypotheses",
            "same.txt",
            "--references",
            "other.txt",
            "short.txt",
            "--tokenize",
            "char",
            "--smoothing",
            "floor",
            "--lowercase",
        ],
        json!({"metric": "bleu", "score": 100.0, "signature": signature, "n": 2}),
    );
}

#[test]
fn variety_and_repetition_are_counted_over_tokens() {
    let folder = folder(&[("texts.txt", "abab\nabc\n"), ("words.txt", "a a A\n")]);
    // Bigrams: ab ba ab | ab bc, of which three differ.
    let signature = format!("case:mixed|tok:char|{VERSION}");
    check(
        &folder,
        &["distinct-2", "--hypotheses", "texts.txt", "--tokenize", "char"],
        json!({"metric": "distinct-2", "score": 0.6, "signature": signature, "n": 2}),
    );
    // Half of the first line is repeated, nothing of the second.
    check(
        &folder,
        &["repetition", "--hypotheses", "texts.txt", "--tokenize", "char"],
        json!({"metric": "repetition", "score": 0.25, "signature": signature, "n": 2}),
    );
    let signature = format!("case:lc|tok:13a|{VERSION}");
    check(
        &folder,
        &["repetition", "--hypotheses", "words.txt", "--lowercase"],
        json!({"metric": "repetition", "score": 2.0 / 3.0, "signature": signature, "n": 1}),
    );
}

#[test]
fn without_json_a_line_says_it() {
    let folder = folder(&[("texts.txt", "abab\n")]);
    let ran = dqn(folder.path(), &["score", "repetition", "--hypotheses", "texts.txt", "--tokenize", "char"]);
    assert!(ran.ends_with(DONE).stdout.starts_with("repetition 0.5000 over 1 lines (case:mixed|tok:char|"));
}

#[test]
fn texts_that_cannot_be_scored_are_refused() {
    let folder = folder(&[("two.txt", "a\nb\n"), ("three.txt", "a\nb\nc\n"), ("empty.txt", "")]);
    fs::write(folder.path().join("latin.txt"), b"a\nfa\xe7ade\n").unwrap();
    let score = |arguments: &[&str]| dqn(folder.path(), &[&["score"], arguments].concat());
    score(&["bleu", "--hypotheses", "two.txt", "--references", "three.txt"])
        .must_be_refused(&["three.txt has 3 lines, two.txt has 2"]);
    score(&["bleu", "--hypotheses", "two.txt"]).must_be_refused(&["--references"]);
    score(&["repetition", "--hypotheses", "empty.txt"]).must_be_refused(&["empty.txt holds no line"]);
    score(&["repetition", "--hypotheses", "missing.txt"]).must_be_refused(&["cannot read missing.txt"]);
    score(&["repetition", "--hypotheses", "latin.txt"]).must_be_refused(&["latin.txt is not UTF-8", "0xe7", "line 2"]);
    score(&["repetition", "--hypotheses", "two.txt", "--tokenize", "words"]).must_be_refused(&["13a, zh, char, none"]);
}
