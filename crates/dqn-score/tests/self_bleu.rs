//! Self-BLEU against NLTK's sentence_bleu, as Texygen uses it, and against tables that a person can recompute.

use dqn_score::self_bleu;
use proptest::prelude::*;
use serde::Deserialize;

/// What golden/make_self_bleu.py writes.
#[derive(Deserialize)]
struct Golden {
    tool: String,
    version: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    texts: Vec<String>,
    max_order: usize,
    score: f64,
}

/// Self-BLEU over characters.
fn score<S: AsRef<str>>(texts: &[S], max_order: usize) -> f64 {
    let texts: Vec<Vec<char>> = texts.iter().map(|text| text.as_ref().chars().collect()).collect();
    self_bleu(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>(), max_order)
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9
}

#[test]
fn scores_equal_those_of_nltk() {
    let golden: Golden = serde_json::from_str(include_str!("golden/self_bleu.json")).unwrap();
    assert_eq!((golden.tool.as_str(), golden.version.as_str()), ("nltk", "3.10.4"));
    assert!(golden.cases.len() >= 80);
    for (index, case) in golden.cases.iter().enumerate() {
        let found = score(&case.texts, case.max_order);
        assert!(close(found, case.score), "case {index}: {found}, expected {}", case.score);
    }
}

#[test]
fn scores_by_hand() {
    for (texts, max_order, expected) in [
        (&["abc", "abc", "abc"][..], 3, 1.0),
        (&["abc", "def"], 2, 0.0),
        // a of two letters and one of no two pairs: (1/2 * .1/1)^(1/2), on both sides.
        (&["ab", "ac"], 2, 0.05_f64.sqrt()),
        // a twice against once; and a once, of a text half as long.
        (&["aa", "a"], 1, (0.5 + (-1.0_f64).exp()) / 2.0),
        (&["abc"], 2, 0.0),
        (&[], 2, 0.0),
    ] {
        let found = score(texts, max_order);
        assert!(close(found, expected), "{texts:?}: {found}, expected {expected}");
    }
}

proptest! {
    /// The order of the texts does not matter, and no set scores outside 0 to 1.
    #[test]
    fn the_order_of_texts_does_not_matter(texts in prop::collection::vec("[abc]{0,8}", 2..6), max_order in 1_usize..5) {
        let found = score(&texts, max_order);
        prop_assert!((0.0..=1.0).contains(&found), "{}", found);
        let reversed: Vec<_> = texts.iter().rev().collect();
        prop_assert!(close(found, score(&reversed, max_order)));
    }
}
