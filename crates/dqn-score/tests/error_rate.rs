//! Error rates against jiwer 4.0.0 and against tables that a person can recompute.

use dqn_score::{AlignmentCounts, AlignmentUnit, ScoreError, align};
use proptest::prelude::*;
use serde::Deserialize;

/// What golden/make_jiwer.py writes.
#[derive(Deserialize)]
struct Golden {
    tool: String,
    version: String,
    long_cases: Vec<LongCase>,
    corpora: Vec<Corpus>,
}

#[derive(Deserialize)]
struct LongCase {
    rule: (u64, usize, u64, u64),
    words: Figures,
}

#[derive(Deserialize)]
struct Corpus {
    hypotheses: Vec<String>,
    references: Vec<String>,
    words: Figures,
    characters: Figures,
}

#[derive(Deserialize)]
struct Figures {
    hits: u64,
    substitutions: u64,
    deletions: u64,
    insertions: u64,
    #[serde(alias = "cer")]
    wer: f64,
    mer: Option<f64>,
    wil: Option<f64>,
    wip: Option<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/jiwer.json")).expect("the golden file has this form")
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9
}

fn check(found: AlignmentCounts, expected: &Figures, what: &str) {
    let &Figures { hits, substitutions, deletions, insertions, wer, mer, wil, wip } = expected;
    assert_eq!(found, AlignmentCounts { hits, substitutions, deletions, insertions }, "{what}");
    assert!(close(found.error_rate(), wer), "{what}: error rate {}, expected {wer}", found.error_rate());
    for (name, found, expected) in [
        ("MER", found.match_error_rate(), mer),
        ("WIL", found.information_lost(), wil),
        ("WIP", found.information_preserved(), wip),
    ] {
        assert!(
            expected.is_none_or(|expected| close(found, expected)),
            "{what}: {name} {found}, expected {expected:?}"
        );
    }
}

/// The texts of golden/make_jiwer.py's `made`.
fn made((seed, n_words, n_different, n_changed): (u64, usize, u64, u64)) -> (String, String) {
    let mut state = seed;
    let mut draw = |n: u64| {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        state / (1 << 16) % n
    };
    let (mut reference, mut hypothesis) = (Vec::new(), Vec::new());
    for _ in 0..n_words {
        let word = format!("w{}", draw(n_different));
        let chance = draw(100);
        match chance % 3 {
            _ if chance >= n_changed => hypothesis.push(word.clone()),
            0 => hypothesis.push(format!("w{}", draw(n_different))),
            1 => hypothesis.extend([word.clone(), format!("w{}", draw(n_different))]),
            _ => {}
        }
        reference.push(word);
    }
    (hypothesis.join(" "), reference.join(" "))
}

#[test]
fn rates_equal_those_of_jiwer() {
    let golden = golden();
    assert_eq!((golden.tool.as_str(), golden.version.as_str()), ("jiwer", "4.0.0"));
    assert!(golden.corpora.len() >= 200);
    for (index, corpus) in golden.corpora.iter().enumerate() {
        let hypotheses: Vec<_> = corpus.hypotheses.iter().map(String::as_str).collect();
        let references: Vec<_> = corpus.references.iter().map(String::as_str).collect();
        for (unit, expected) in [(AlignmentUnit::Words, &corpus.words), (AlignmentUnit::Characters, &corpus.characters)]
        {
            let found = unit.align_corpus(&hypotheses, &references).unwrap();
            check(found, expected, &format!("corpus {index}, {unit:?}"));
        }
    }
}

#[test]
fn long_lines_are_aligned_as_by_jiwer() {
    let golden = golden();
    assert!(golden.long_cases.iter().any(|case| case.rule.1 == 10_000));
    for case in &golden.long_cases {
        let (hypothesis, reference) = made(case.rule);
        check(AlignmentUnit::Words.align(&hypothesis, &reference), &case.words, &format!("{:?}", case.rule));
    }
}

#[test]
fn the_golden_corpora_hold_every_case() {
    let corpora = golden().corpora;
    let holds = |case: fn(&Corpus) -> bool| corpora.iter().filter(|corpus| case(corpus)).count() >= 5;
    assert!(holds(|corpus| corpus.references.iter().any(String::is_empty)));
    assert!(holds(|corpus| corpus.references.iter().all(String::is_empty) && corpus.words.insertions > 0));
    assert!(holds(|corpus| corpus.references.iter().chain(&corpus.hypotheses).all(String::is_empty)));
    assert!(holds(|corpus| corpus.hypotheses.iter().all(String::is_empty) && corpus.words.deletions > 0));
    assert!(holds(|corpus| corpus.references.iter().any(|line| line.contains('😀'))));
    assert!(holds(|corpus| corpus.references.iter().any(|line| line.contains('山'))));
    assert!(holds(|corpus| corpus.references.iter().any(|line| line.chars().count() == 1)));
    assert!(holds(|corpus| corpus.references.iter().any(|line| line.contains('\t'))));
}

#[test]
fn rates_by_hand() {
    // the; dog for cat; nothing for sat; on; it; now and here for nothing.
    let counts = AlignmentUnit::Words.align("the dog on it now here", "the cat sat on it");
    assert_eq!(counts, AlignmentCounts { hits: 3, substitutions: 1, deletions: 1, insertions: 2 });
    assert_eq!(counts.error_rate(), 4.0 / 5.0);
    assert_eq!(counts.match_error_rate(), 4.0 / 7.0);
    assert!(close(counts.information_preserved(), 3.0 / 5.0 * 3.0 / 6.0));
    assert!(close(counts.information_lost(), 0.7));
    let counts = AlignmentUnit::Characters.align("床前名月", " 床前明月光 ");
    assert_eq!(counts, AlignmentCounts { hits: 3, substitutions: 1, deletions: 1, insertions: 0 });
    assert_eq!(counts.error_rate(), 0.4);
}

#[test]
fn an_empty_reference_counts_insertions() {
    let rates = |hypothesis| {
        let counts = AlignmentUnit::Words.align(hypothesis, " ");
        (counts.error_rate(), counts.match_error_rate(), counts.information_preserved())
    };
    assert_eq!(rates(""), (0.0, 0.0, 1.0));
    assert_eq!(rates("a b"), (2.0, 1.0, 0.0));
}

#[test]
fn corpora_out_of_step_are_refused() {
    assert!(matches!(AlignmentUnit::Words.align_corpus(&[], &[]), Err(ScoreError::NoHypotheses)));
    let found = AlignmentUnit::Words.align_corpus(&["a", "b"], &["a"]).unwrap_err();
    assert_eq!(found.to_string(), "there are 2 hypotheses but references for 1; each hypothesis needs its own");
}

proptest! {
    #[test]
    fn the_edit_distance_is_a_distance(
        one in prop::collection::vec(0_u8..4, 0..30),
        other in prop::collection::vec(0_u8..4, 0..30),
        third in prop::collection::vec(0_u8..4, 0..30),
    ) {
        let errors = |one: &[u8], other: &[u8]| align(one, other).errors();
        prop_assert_eq!(errors(&one, &other), errors(&other, &one));
        prop_assert_eq!(errors(&one, &other) == 0, one == other);
        prop_assert!(errors(&one, &third) <= errors(&one, &other) + errors(&other, &third));
    }

    #[test]
    fn rates_stay_in_range(hypothesis in "[ab ]{0,12}", reference in "[ab ]{0,12}") {
        for unit in [AlignmentUnit::Words, AlignmentUnit::Characters] {
            let counts = unit.align(&hypothesis, &reference);
            for rate in [counts.match_error_rate(), counts.information_lost(), counts.information_preserved()] {
                prop_assert!((0.0..=1.0).contains(&rate), "{:?}", counts);
            }
            prop_assert!(counts.error_rate() >= counts.match_error_rate());
            prop_assert_eq!(unit.align(&reference, &reference).errors(), 0);
        }
    }
}
