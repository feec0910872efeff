//! TER against sacreBLEU 2.6.0 and against tables that a person can recompute.

#[path = "golden/long_line.rs"]
mod long_line;

use dqn_score::{CorpusMetric, ScoreError, Ter, TerConfig, TerScore, TerStatistics};
use long_line::{edited, long_line};
use proptest::prelude::*;
use serde::Deserialize;

/// What golden/make_ter.py writes.
#[derive(Deserialize)]
struct Golden {
    tool: String,
    version: String,
    long_lines: LongLines,
    corpora: Vec<Corpus>,
}

/// The edits of lines that are made by a rule.
#[derive(Deserialize)]
struct LongLines {
    long: u64,
    many_shifts: u64,
    short_reference: u64,
    short_hypothesis: u64,
}

#[derive(Deserialize)]
struct Corpus {
    config: TerConfig,
    hypotheses: Vec<String>,
    references: Vec<Vec<String>>,
    score: f64,
    edits: u64,
    reference_length: f64,
    n_references: Option<usize>,
    signature: String,
    sentences: Vec<f64>,
}

fn golden() -> Golden {
    let golden: Golden = serde_json::from_str(include_str!("golden/ter.json")).expect("the file is JSON");
    assert_eq!((golden.tool.as_str(), golden.version.as_str()), ("sacrebleu", "2.6.0"));
    golden
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9
}

fn plain() -> Ter {
    Ter::new(TerConfig::default())
}

#[test]
fn scores_equal_those_of_sacrebleu() {
    let golden = golden();
    assert!(golden.corpora.len() >= 200);
    for (index, corpus) in golden.corpora.iter().enumerate() {
        let ter = Ter::new(corpus.config);
        let references: Vec<Vec<&str>> = corpus.references.iter().map(|lines| strs(lines)).collect();
        for ((line, hypothesis), expected) in corpus.hypotheses.iter().enumerate().zip(&corpus.sentences) {
            let found = ter.sentence(hypothesis, &references[line]).unwrap();
            assert!(close(found.score, *expected), "corpus {index}, line {line}: {found:?}, expected {expected}");
        }
        let found = ter.corpus(&strs(&corpus.hypotheses), &references).unwrap();
        assert!(close(found.score, corpus.score), "corpus {index}: {found:?}, expected {}", corpus.score);
        assert_eq!(found.edits, corpus.edits, "corpus {index}");
        assert!(close(found.reference_length, corpus.reference_length), "corpus {index}: {found:?}");
        let ours = ter.signature(corpus.n_references);
        let (ours, _) = ours.split_once("|version:").unwrap();
        assert_eq!(Some(ours), corpus.signature.strip_suffix("|version:2.6.0"), "corpus {index}");
    }
}

#[test]
fn long_lines_equal_those_of_sacrebleu() {
    let expected = golden().long_lines;
    let n_edits = |hypothesis: &[String], reference: &[String]| {
        plain().sentence(&hypothesis.join(" "), &[&reference.join(" ")]).unwrap().edits
    };
    let (line, many) = (long_line(10_000, 500), long_line(1200, 40));
    assert_eq!(n_edits(&edited(&line, 6000), &line), expected.long);
    assert_eq!(n_edits(&edited(&many, 150), &many), expected.many_shifts);
    assert_eq!(n_edits(&line, &line[4000..4003]), expected.short_reference);
    assert_eq!(n_edits(&line[4000..4003], &line), expected.short_hypothesis);
}

#[test]
fn the_golden_corpora_hold_every_case() {
    let corpora = golden().corpora;
    for index in 0..16 {
        let config = TerConfig {
            normalized: index % 2 == 1,
            no_punct: index / 2 % 2 == 1,
            asian_support: index / 4 % 2 == 1,
            case_sensitive: index / 8 == 1,
        };
        assert!(corpora.iter().filter(|corpus| corpus.config == config).count() >= 10, "{config:?}");
    }
    for n in (1..=4).map(Some).chain([None]) {
        assert!(corpora.iter().filter(|corpus| corpus.n_references == n).count() >= 5, "{n:?} references");
    }
    let holds = |case: fn(&String) -> bool| corpora.iter().flat_map(|corpus| &corpus.hypotheses).any(case);
    assert!(holds(String::is_empty));
    assert!(holds(|line| line.contains('😀')));
    assert!(holds(|line| line.contains('山') && line.contains("river")));
    assert!(holds(|line| line.split(' ').count() > 100));
    assert!(corpora.iter().flat_map(|corpus| &corpus.references).flatten().any(String::is_empty));
}

#[test]
fn a_score_by_hand() {
    // From Snover et al. 2006, section 3: one shift, two replacements and an insertion over 13 tokens.
    let reference = "SAUDI ARABIA denied THIS WEEK information published in the AMERICAN new york times";
    let hypothesis = "THIS WEEK THE SAUDIS denied information published in the new york times";
    let found = plain().sentence(hypothesis, &[reference]).unwrap();
    assert_eq!((found.edits, found.reference_length), (4, 13.0));
    assert!(close(found.score, 400.0 / 13.0), "{found:?}");
    // The fewest edits over the mean length: one of (4 + 2) / 2.
    let found = plain().corpus(&["a b c", ""], &[vec!["a b c d", "x y"], vec!["z"]]).unwrap();
    assert_eq!(found, TerScore { score: 50.0, edits: 2, reference_length: 4.0 });
    let table = [("", "", 0.0), ("a b", "", 100.0), ("", "a b", 100.0), ("a b c", "d", 300.0), ("A", "a", 0.0)];
    for (hypothesis, reference, expected) in table {
        let found = plain().sentence(hypothesis, &[reference]).unwrap().score;
        assert_eq!(found, expected, "{hypothesis:?} to {reference:?}");
    }
}

#[test]
fn signatures_name_what_a_score_depends_on() {
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!("nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:dqn-{version}");
    assert_eq!(plain().signature(1), expected);
    let other = Ter::new(TerConfig { normalized: true, no_punct: true, asian_support: true, case_sensitive: true });
    let expected = format!("nrefs:var|case:mixed|tok:tercom|norm:yes|punct:no|asian:yes|version:dqn-{version}");
    assert_eq!((other.signature(None), other.name()), (expected, "TER".to_owned()));
}

#[test]
fn corpora_out_of_step_are_refused() {
    assert!(matches!(plain().corpus(&[], &[]), Err(ScoreError::NoHypotheses)));
    assert!(matches!(plain().corpus(&["a"], &[]), Err(ScoreError::CorpusLength { hypotheses: 1, references: 0 })));
    assert!(matches!(plain().sentence("a", &[]), Err(ScoreError::NoReferences { hypothesis: 0 })));
}

#[test]
fn settings_have_the_defaults_of_sacrebleu_and_refuse_other_keys() {
    assert_eq!(serde_json::from_str::<TerConfig>("{}").unwrap(), TerConfig::default());
    assert!(serde_json::from_str::<TerConfig>(r#"{"beam_width": 25}"#).is_err());
    let schema = serde_json::to_value(schemars::schema_for!(TerConfig)).unwrap();
    assert_eq!(schema["additionalProperties"], false);
}

/// The edit distance without shifts.
fn levenshtein(hypothesis: &[String], reference: &[String]) -> u64 {
    let mut row: Vec<u64> = (0..=reference.len() as u64).collect();
    for (index, word) in hypothesis.iter().enumerate() {
        let mut diagonal = index as u64;
        row[0] = diagonal + 1;
        for (column, other) in reference.iter().enumerate() {
            let cost = (diagonal + u64::from(word != other)).min(row[column] + 1).min(row[column + 1] + 1);
            diagonal = std::mem::replace(&mut row[column + 1], cost);
        }
    }
    row[reference.len()]
}

proptest! {
    /// Shifts never cost more edits than they save, no edit is left out that lengths ask for, and equal texts need none.
    #[test]
    fn edits_stay_in_range(
        hypothesis in prop::collection::vec("[a-d]", 0..20),
        reference in prop::collection::vec("[a-d]", 0..20),
    ) {
        let lines = (hypothesis.join(" "), reference.join(" "));
        let TerStatistics { edits, reference_length } = plain().segment(&lines.0, &[&lines.1]);
        prop_assert_eq!(reference_length, reference.len() as f64);
        prop_assert!(edits <= levenshtein(&hypothesis, &reference));
        prop_assert!(edits >= hypothesis.len().abs_diff(reference.len()) as u64);
        prop_assert_eq!(edits == 0, hypothesis == reference);
        // Both references need the edits of the better one.
        prop_assert_eq!(plain().segment(&lines.0, &[&lines.1, &lines.0]).edits, 0);
    }
}
