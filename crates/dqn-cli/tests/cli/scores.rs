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
    if let Some([low, high]) = found.as_object_mut().unwrap().remove("interval").as_ref().map(bounds) {
        assert!(low <= high, "[{low}, {high}]");
    }
    assert!((found_score - expected_score).abs() < 1e-9, "{found_score} instead of {expected_score}");
    assert_eq!(found, expected);
}

fn bounds(interval: &Value) -> [f64; 2] {
    [0, 1].map(|index| interval[index].as_f64().unwrap())
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
    assert!(
        ran.ends_with(DONE).stdout.starts_with("repetition 0.5000 [0.5000, 0.5000] over 1 lines (case:mixed|tok:char|")
    );
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

/// Checked by hand; that they are the reference tools' is checked where they are made.
#[test]
fn several_metrics_have_a_line_each() {
    let folder = folder(&[("written.txt", "the cat sat\na dog\n"), ("right.txt", "the cat sat\na big dog\n")]);
    let metrics = ["wer", "cer", "mer", "rouge1", "ter", "chrf", "distinct-1", "novelty-1", "self-bleu"];
    let files = ["--hypotheses", "written.txt", "--references", "right.txt", "--training", "right.txt", "--json"];
    let ran = dqn(folder.path(), &[&["score"], &metrics[..], &files[..]].concat()).ends_with(DONE);
    let found: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.iter().map(|scored| scored["metric"].as_str().unwrap()).collect::<Vec<_>>(), metrics);
    let score = |index: usize| found[index]["score"].as_f64().unwrap();
    // One word of six is missing, and four characters of twenty: "big ".
    assert!((score(0) - 1.0 / 6.0).abs() < 1e-9);
    assert!((score(1) - 4.0 / 20.0).abs() < 1e-9);
    assert!((score(2) - 1.0 / 6.0).abs() < 1e-9);
    // Precision 1 and recall 2 / 3 in the second line: F = .8.
    assert!((score(3) - 0.9).abs() < 1e-9);
    assert!((score(4) - 100.0 / 6.0).abs() < 1e-9);
    assert!(score(5) > 50.0 && score(5) < 100.0);
    assert_eq!((score(6), score(7)), (1.0, 0.0));
    assert!(score(8) < 1.0);
    assert!(found[..6].iter().all(|scored| scored["interval"].is_array()));
}

#[test]
fn two_systems_are_told_apart_from_chance() {
    let right: String = (0..40).map(|line| format!("line number {line} of a text\n")).collect();
    let worse = right.replace("of a", "in the");
    let folder = folder(&[("right.txt", &right), ("worse.txt", &worse), ("again.txt", &right)]);
    let compared = |other: &str, test: &str| -> Value {
        let files = ["--hypotheses", "right.txt", "--references", "again.txt", "--against", other, "--paired", test];
        let ran = dqn(folder.path(), &[&["score", "bleu"], &files[..], &["--json"]].concat()).ends_with(DONE);
        serde_json::from_str::<Value>(&ran.stdout).unwrap()["against"].take()
    };
    for test in ["bootstrap", "randomization"] {
        let found = compared("worse.txt", test);
        assert_eq!(found["test"], test);
        assert!(found["difference"].as_f64().unwrap() > 10.0, "{found}");
        assert!(found["p_value"].as_f64().unwrap() < 0.01, "{found}");
    }
    let ran = dqn(
        folder.path(),
        &["score", "wer", "--hypotheses", "right.txt", "--references", "again.txt", "--against", "worse.txt"],
    );
    assert!(ran.ends_with(DONE).stdout.contains("(paired bootstrap)"));
}

#[test]
fn systems_of_several_seeds_are_compared_as_one() {
    let right: String = (0..40).map(|line| format!("line number {line} of a text\n")).collect();
    let [worse, worst] = [right.replace("of a", "in the"), right.replace("number", "of")];
    let folder = folder(&[("right.txt", &right), ("worse.txt", &worse), ("worst.txt", &worst)]);
    let scored = |hypotheses: &[&str], against: &[&str]| -> Value {
        let files = [&["--hypotheses"], hypotheses, &["--against"], against, &["--references", "right.txt"]].concat();
        let ran = dqn(folder.path(), &[&["score", "chrf", "--json"], &files[..]].concat()).ends_with(DONE);
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let number = |value: &Value| value.as_f64().unwrap();
    let alone = ["worse.txt", "worst.txt"].map(|file| scored(&[file], &["right.txt"]));
    assert!(alone[0]["files"].is_null() && number(&alone[0]["score"]) != number(&alone[1]["score"]));

    let both = scored(&["worse.txt", "worst.txt"], &["right.txt", "worse.txt"]);
    let scores = [0, 1].map(|index| number(&alone[index]["score"]));
    assert_eq!(both["files"], serde_json::json!(scores));
    assert!((number(&both["score"]) - (scores[0] + scores[1]) / 2.0).abs() < 1e-12, "{both}");
    assert_eq!(both["against"]["files"][0], 100.0);
    assert!((number(&both["against"]["score"]) - (100.0 + scores[0]) / 2.0).abs() < 1e-12, "{both}");

    // The same files twice say what they say once, and of equal systems nothing is said.
    let twice = scored(&["worst.txt", "worst.txt"], &["worse.txt", "worse.txt"]);
    let once = scored(&["worst.txt"], &["worse.txt"]);
    assert_eq!((&twice["against"]["p_value"], &twice["interval"]), (&once["against"]["p_value"], &once["interval"]));
    let equal = scored(&["worse.txt", "worst.txt"], &["worst.txt", "worse.txt"]);
    assert!(number(&equal["against"]["difference"]).abs() < 1e-12, "{equal}");

    let files = ["--hypotheses", "worse.txt", "worst.txt"];
    let refused = |arguments: &[&str]| dqn(folder.path(), &[&["score"], arguments, &files[..]].concat());
    let one_against = ["chrf", "--references", "right.txt", "--against", "worse.txt"];
    refused(&one_against).must_be_refused(&["names 2 files and --against 1"]);
    refused(&["distinct-2"]).must_be_refused(&["several files are for scores of lines, which distinct-2 is not"]);
}

#[test]
fn options_that_no_metric_reads_are_refused() {
    let folder = folder(&[("two.txt", "a\nb\n")]);
    let score =
        |arguments: &[&str]| dqn(folder.path(), &[&["score"], arguments, &["--hypotheses", "two.txt"]].concat());
    score(&["wer"]).must_be_refused(&["wer compares with references", "--references"]);
    score(&["novelty-3"]).must_be_refused(&["novelty-3 looks n-grams up", "--training"]);
    score(&["distinct-2", "--against", "two.txt"]).must_be_refused(&["--against is for scores of lines"]);
    score(&["repetition", "--paired", "bootstrap"]).must_be_refused(&["--paired is for a comparison"]);
    score(&["repetition", "--training", "two.txt"]).must_be_refused(&["--training is for the metric novelty-N"]);
    score(&["repetition", "--case-sensitive"]).must_be_refused(&["--case-sensitive is for the metric ter"]);
    score(&["rouge3"]).must_be_refused(&["rouge1, rouge2, rougeL, rougeLsum"]);
}
