//! chrF and chrF++ against sacreBLEU 2.6.0 and against tables that a person can recompute.

#[path = "golden/long_line.rs"]
mod long_line;

use dqn_score::{Chrf, ChrfConfig, CorpusMetric, OrderMatches, ScoreError};
use long_line::{edited, long_line};
use proptest::prelude::*;
use serde::Deserialize;

/// What golden/make_chrf.py writes.
#[derive(Deserialize)]
struct Golden {
    tool: String,
    version: String,
    long_line: Scores,
    corpora: Vec<Corpus>,
}

#[derive(Deserialize)]
struct Corpus {
    config: ChrfConfig,
    hypotheses: Vec<String>,
    references: Vec<Vec<String>>,
    #[serde(flatten)]
    scores: Scores,
}

#[derive(Deserialize)]
struct Scores {
    name: String,
    score: f64,
    /// For each order the n-grams of the hypotheses, of the references, and those that match.
    statistics: Vec<[u64; 3]>,
    n_references: Option<usize>,
    signature: String,
    sentences: Vec<f64>,
}

fn golden() -> Golden {
    let golden: Golden = serde_json::from_str(include_str!("golden/chrf.json")).expect("the file is JSON");
    assert_eq!((golden.tool.as_str(), golden.version.as_str()), ("sacrebleu", "2.6.0"));
    golden
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9
}

fn check(place: &str, config: ChrfConfig, hypotheses: &[&str], references: &[Vec<&str>], expected: &Scores) {
    let chrf = Chrf::new(config).expect("the orders are allowed");
    assert_eq!(chrf.name(), expected.name, "{place}");
    let mut total = vec![[0; 3]; expected.statistics.len()];
    for segment in chrf.segments(hypotheses, references).expect("lines have references") {
        assert_eq!(segment.orders.len(), total.len(), "{place}");
        for (total, order) in total.iter_mut().zip(segment.orders) {
            let OrderMatches { hypothesis, reference, matches } = order;
            *total = [total[0] + hypothesis, total[1] + reference, total[2] + matches];
        }
    }
    assert_eq!(total, expected.statistics, "{place}");
    let found = chrf.corpus(hypotheses, references).expect("lines have references");
    assert!(close(found, expected.score), "{place}: {found}, expected {}", expected.score);
    for ((line, hypothesis), expected) in hypotheses.iter().enumerate().zip(&expected.sentences) {
        let found = chrf.sentence(hypothesis, &references[line]).expect("the line has references");
        assert!(close(found, *expected), "{place}, line {line}: {found}, expected {expected}");
    }
    // sacreBLEU does not tell beta, and its version is not ours.
    let ours = chrf.signature(expected.n_references);
    let (ours, _) =
        ours.split_once(if ours.contains("|beta:") { "|beta:" } else { "|version:" }).expect("a version is named");
    assert_eq!(Some(ours), expected.signature.strip_suffix("|version:2.6.0"), "{place}");
}

#[test]
fn scores_equal_those_of_sacrebleu() {
    let golden = golden();
    assert!(golden.corpora.len() >= 200);
    for (index, corpus) in golden.corpora.iter().enumerate() {
        let references: Vec<Vec<&str>> = corpus.references.iter().map(|lines| strs(lines)).collect();
        check(&format!("corpus {index}"), corpus.config, &strs(&corpus.hypotheses), &references, &corpus.scores);
    }
}

#[test]
fn a_line_of_10_000_words_equals_that_of_sacrebleu() {
    let reference = long_line(10_000, 500);
    let (hypothesis, reference) = (edited(&reference, 6000).join(" "), reference.join(" "));
    check("the line", ChrfConfig::plus_plus(), &[&hypothesis], &[vec![&reference]], &golden().long_line);
}

#[test]
fn the_golden_corpora_hold_every_case() {
    let corpora = golden().corpora;
    let settings: [fn(&ChrfConfig) -> bool; 9] = [
        |config| config.word_order == 0,
        |config| config.word_order == 1,
        |config| config.word_order == 2,
        |config| config.lowercase,
        |config| config.whitespace,
        |config| config.eps_smoothing,
        |config| config.beta == 1,
        |config| config.beta == 3,
        |config| config.char_order != 6,
    ];
    for (index, setting) in settings.iter().enumerate() {
        assert!(corpora.iter().filter(|corpus| setting(&corpus.config)).count() >= 20, "setting {index}");
    }
    for n in (1..=4).map(Some).chain([None]) {
        assert!(corpora.iter().filter(|corpus| corpus.scores.n_references == n).count() >= 5, "{n:?} references");
    }
    let holds = |case: fn(&String) -> bool| corpora.iter().flat_map(|corpus| &corpus.hypotheses).any(case);
    assert!(holds(String::is_empty));
    assert!(holds(|line| !line.is_empty() && !line.contains(' ')));
    assert!(holds(|line| line.contains('😀')));
    assert!(holds(|line| line.contains('山') && line.is_ascii()) || holds(|line| line.contains('山')));
    assert!(holds(|line| line.contains('山') && line.contains("river")));
}

#[test]
fn a_score_by_hand() {
    let chrf = |config| Chrf::new(config).unwrap();
    let config = ChrfConfig { char_order: 2, ..ChrfConfig::default() };
    // abc to abd e: characters 2 of 3 and 2 of 4, pairs 1 of 2 and 1 of 3.
    let (precision, recall) = ((2.0 / 3.0 + 0.5) / 2.0, (0.5 + 1.0 / 3.0) / 2.0);
    let f_score = |beta: f64, p: f64, r: f64| 100.0 * (1.0 + beta * beta) * p * r / (beta * beta * p + r);
    assert!(close(chrf(config).sentence("abc", &["abd e"]).unwrap(), f_score(2.0, precision, recall)));
    let found = chrf(ChrfConfig { beta: 1, ..config }).sentence("abc", &["abd e"]).unwrap();
    assert!(close(found, f_score(1.0, precision, recall)));
    // With epsilons it is the mean of the scores of both orders instead.
    let eps = ChrfConfig { eps_smoothing: true, ..config };
    let found = chrf(eps).sentence("abc", &["abd e"]).unwrap();
    assert!(close(found, (f_score(2.0, 2.0 / 3.0, 0.5) + f_score(2.0, 0.5, 1.0 / 3.0)) / 2.0));
    // One character has no pairs: the order is left out, or counts as next to nothing.
    assert!(close(chrf(config).sentence("a", &["a"]).unwrap(), 100.0));
    assert!(close(chrf(eps).sentence("a", &["a"]).unwrap(), 50.0));
    // Words: (a b) of (a b), and one pair of one; the characters a, b and ab match as well.
    let words = chrf(ChrfConfig { word_order: 2, ..config });
    assert!(close(words.sentence("a b", &["ab"]).unwrap(), f_score(2.0, 2.0 / 3.0, 2.0 / 3.0)));
    assert_eq!(chrf(config).sentence("", &[""]).unwrap(), 0.0);
    assert_eq!(chrf(config).sentence("abc", &["xyz"]).unwrap(), 0.0);
    // The better of two references counts, wherever it stands.
    assert!(close(chrf(config).sentence("abc", &["x", "abc", "abd"]).unwrap(), 100.0));
}

#[test]
fn signatures_name_what_a_score_depends_on() {
    let version = env!("CARGO_PKG_VERSION");
    let found = Chrf::new(ChrfConfig::default()).unwrap().signature(1);
    assert_eq!(found, format!("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:dqn-{version}"));
    let other =
        ChrfConfig { char_order: 4, word_order: 2, beta: 3, lowercase: true, whitespace: true, eps_smoothing: true };
    let found = Chrf::new(other).unwrap();
    let expected = format!("nrefs:var|case:lc|eff:no|nc:4|nw:2|space:yes|beta:3|version:dqn-{version}");
    assert_eq!((found.signature(None), found.name()), (expected, "chrF3++".to_owned()));
}

#[test]
fn bad_input_is_refused() {
    let error = |config| Chrf::new(config).unwrap_err().to_string();
    let found = error(ChrfConfig { char_order: 0, ..ChrfConfig::default() });
    assert_eq!(found, "the n-gram order is 0; it must be 1 to 16");
    let found = error(ChrfConfig { word_order: 17, ..ChrfConfig::default() });
    assert_eq!(found, "the n-gram order is 17; it must be 0 to 16");
    let chrf = Chrf::new(ChrfConfig::default()).unwrap();
    assert!(matches!(chrf.corpus(&[], &[]), Err(ScoreError::NoHypotheses)));
    assert!(matches!(chrf.corpus(&["a"], &[]), Err(ScoreError::CorpusLength { hypotheses: 1, references: 0 })));
    assert!(matches!(chrf.sentence("a", &[]), Err(ScoreError::NoReferences { hypothesis: 0 })));
}

#[test]
fn settings_have_the_defaults_of_sacrebleu_and_refuse_other_keys() {
    let config: ChrfConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(config, ChrfConfig::default());
    assert_eq!((config.char_order, config.word_order, config.beta), (6, 0, 2));
    assert!(serde_json::from_str::<ChrfConfig>(r#"{"order": 4}"#).is_err());
    let schema = serde_json::to_value(schemars::schema_for!(ChrfConfig)).unwrap();
    assert_eq!(schema["properties"]["char_order"]["maximum"], 16);
    assert_eq!(schema["properties"]["char_order"]["default"], 6);
    assert_eq!(schema["additionalProperties"], false);
}

proptest! {
    /// A text scores 100 against itself, no text scores outside 0 to 100, and with beta 1 the two may change places.
    #[test]
    fn scores_stay_in_range(
        hypothesis in "[ab,。 ]{0,12}",
        reference in "[ab,。 ]{0,12}",
        word_order in 0_usize..3,
        whitespace: bool,
        eps_smoothing: bool,
    ) {
        let config = ChrfConfig { word_order, whitespace, eps_smoothing, ..ChrfConfig::default() };
        let score = Chrf::new(config).unwrap().sentence(&hypothesis, &[&reference]).unwrap();
        prop_assert!((0.0..=100.0 + 1e-9).contains(&score), "{}", score);
        let chrf = Chrf::new(ChrfConfig { eps_smoothing: false, beta: 1, ..config }).unwrap();
        let own = chrf.sentence(&hypothesis, &[&reference, &hypothesis]).unwrap();
        let is_empty = hypothesis.chars().all(|char| char == ' ' && !whitespace) || hypothesis.is_empty();
        prop_assert!(close(own, if is_empty { 0.0 } else { 100.0 }), "{}", own);
        let (there, back) = (chrf.sentence(&hypothesis, &[&reference]), chrf.sentence(&reference, &[&hypothesis]));
        prop_assert!(close(there.unwrap(), back.unwrap()));
    }
}
