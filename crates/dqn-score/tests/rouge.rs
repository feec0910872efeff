//! ROUGE against rouge-score 0.1.2 and against tables that a person can recompute.

use dqn_score::{Rouge, RougeKind, RougeScore, RougeTokenizer, ScoreError, rouge_l, rouge_l_sum, rouge_n};
use proptest::prelude::*;
use serde::Deserialize;

/// What golden/make_rouge.py writes.
#[derive(Deserialize)]
struct Golden {
    tool: String,
    version: String,
    stems: Vec<(String, String)>,
    long_cases: Vec<LongCase>,
    cases: Vec<Case>,
}

/// Precision, recall and F-measure of each kind.
type Scores = [(f64, f64, f64); 4];

#[derive(Deserialize)]
struct LongCase {
    rule: (u64, usize, u64, usize),
    scores: Scores,
}

#[derive(Deserialize)]
struct Case {
    tokenizer: RougeTokenizer,
    hypothesis: String,
    references: Vec<String>,
    scores: Scores,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/rouge.json")).expect("the golden file has this form")
}

fn close(found: RougeScore, (precision, recall, f_measure): (f64, f64, f64)) -> bool {
    let near = |found: f64, expected: f64| (found - expected).abs() <= 1e-9;
    near(found.precision, precision) && near(found.recall, recall) && near(found.f_measure, f_measure)
}

fn check(score: impl Fn(RougeKind) -> RougeScore, expected: &Scores, what: &str) {
    for (kind, expected) in RougeKind::ALL.into_iter().zip(expected) {
        let found = score(kind);
        assert!(close(found, *expected), "{what}, {kind}: {found:?}, expected {expected:?}");
    }
}

/// The texts of golden/make_rouge.py's `made`.
fn made((seed, n_words, n_different, n_line): (u64, usize, u64, usize)) -> (String, String) {
    let mut state = seed;
    let mut draw = |n: u64| {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        state / (1 << 16) % n
    };
    let (mut reference, mut hypothesis) = (Vec::new(), Vec::new());
    for _ in 0..n_words {
        let word = format!("w{}", draw(n_different));
        match draw(10) {
            0 => {}
            1 => hypothesis.extend([format!("w{}", draw(n_different)), format!("w{}", draw(n_different))]),
            _ => hypothesis.push(word.clone()),
        }
        reference.push(word);
    }
    let lines = |words: &[String]| words.chunks(n_line).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n");
    (lines(&hypothesis), lines(&reference))
}

#[test]
fn scores_equal_those_of_rouge_score() {
    let golden = golden();
    assert_eq!((golden.tool.as_str(), golden.version.as_str()), ("rouge-score", "0.1.2"));
    assert!(golden.cases.len() >= 200);
    for (index, case) in golden.cases.iter().enumerate() {
        let references: Vec<_> = case.references.iter().map(String::as_str).collect();
        let score = |kind| Rouge::new(kind, case.tokenizer).score_multi(&case.hypothesis, &references).unwrap();
        check(score, &case.scores, &format!("case {index}"));
    }
}

#[test]
fn long_texts_are_scored_as_by_rouge_score() {
    let golden = golden();
    assert!(golden.long_cases.iter().any(|case| case.rule.1 == 10_000 && case.rule.3 == 10_000));
    for case in &golden.long_cases {
        let (hypothesis, reference) = made(case.rule);
        let score = |kind| Rouge::new(kind, RougeTokenizer::Words).score(&hypothesis, &reference);
        check(score, &case.scores, &format!("{:?}", case.rule));
    }
}

#[test]
fn stems_equal_those_of_nltk() {
    let stems = golden().stems;
    assert!(stems.len() >= 1_000);
    for (word, expected) in &stems {
        assert_eq!(RougeTokenizer::Stems.tokenize(word), [expected.as_str()], "{word}");
    }
}

#[test]
fn the_golden_cases_hold_every_case() {
    let cases = golden().cases;
    for tokenizer in [RougeTokenizer::Words, RougeTokenizer::Stems, RougeTokenizer::Characters] {
        let holds = |case: fn(&Case) -> bool| {
            assert!(cases.iter().filter(|found| found.tokenizer == tokenizer && case(found)).count() >= 2);
        };
        holds(|case| case.hypothesis.is_empty());
        holds(|case| case.references[0].is_empty());
        holds(|case| case.references.len() == 3);
        holds(|case| case.hypothesis.contains('\n'));
        holds(|case| case.hypothesis.contains('山'));
        holds(|case| case.references[0].contains('😀'));
        holds(|case| case.scores[2] != case.scores[3]);
        holds(|case| case.scores[0].2 > 0.0 && case.scores[0].2 < 1.0);
    }
}

#[test]
fn scores_by_hand() {
    let check = |found: RougeScore, expected| assert!(close(found, expected), "{found:?}, expected {expected:?}");
    let words = |line: &str| RougeTokenizer::Words.tokenize(line);
    let (hypothesis, reference) = (words("the cat the cat sat"), words("the cat sat down there"));
    // In common: the, cat, sat; the cat, cat sat; the cat sat.
    check(rouge_n(&hypothesis, &reference, 1), (0.6, 0.6, 0.6));
    check(rouge_n(&hypothesis, &reference, 2), (0.5, 0.5, 0.5));
    check(rouge_n(&hypothesis, &reference, 3), (1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0));
    check(rouge_n(&hypothesis, &reference, 6), (0.0, 0.0, 0.0));
    check(rouge_l(&hypothesis, &reference), (0.6, 0.6, 0.6));
    // Lin 2004, section 3.2: w1 w2 of one line and w1 w3 w5 of the other make a union of four of the five words.
    let lines = [["w1", "w2", "w6", "w7", "w8"], ["w1", "w3", "w8", "w9", "w5"]];
    check(rouge_l_sum(&lines, &[["w1", "w2", "w3", "w4", "w5"]]), (0.4, 0.8, 0.8 / 1.5));
    check(rouge_l::<u8>(&[], &[]), (0.0, 0.0, 0.0));
}

#[test]
fn the_best_reference_counts_and_lines_are_averaged() {
    let rouge = Rouge::new(RougeKind::Rouge1, RougeTokenizer::Words);
    let best = rouge.score_multi("a b", &["c", "a", "a b c"]).unwrap();
    assert!(close(best, (1.0, 2.0 / 3.0, 0.8)), "{best:?}");
    let mean = rouge.corpus(&["a b", "a"], &[vec!["c", "a", "a b c"], vec!["b"]]).unwrap();
    assert!(close(mean, (0.5, 1.0 / 3.0, 0.4)), "{mean:?}");
}

#[test]
fn corpora_out_of_step_are_refused() {
    let rouge = Rouge::new(RougeKind::RougeL, RougeTokenizer::Words);
    assert!(matches!(rouge.score_multi("a", &[]), Err(ScoreError::NoReferences { hypothesis: 0 })));
    assert!(matches!(rouge.corpus(&[], &[]), Err(ScoreError::NoHypotheses)));
    assert!(matches!(rouge.corpus(&["a"], &[]), Err(ScoreError::CorpusLength { hypotheses: 1, references: 0 })));
    let found = rouge.corpus(&["a", "b"], &[vec!["a"], vec![]]);
    assert!(matches!(found, Err(ScoreError::NoReferences { hypothesis: 1 })));
}

#[test]
fn names_are_read_back_and_others_refused() {
    for kind in RougeKind::ALL {
        assert_eq!(kind.name().parse::<RougeKind>().unwrap(), kind);
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    let error = "rouge3".parse::<RougeKind>().unwrap_err();
    assert_eq!(error.to_string(), "\"rouge3\" is no kind of ROUGE; allowed are rouge1, rouge2, rougeL, rougeLsum");
}

proptest! {
    /// Precision and recall change places with the texts, and a text scores 1 against itself.
    #[test]
    fn scores_are_symmetric(hypothesis in "[abc ]{0,16}", reference in "[abc ]{0,16}", index in 0_usize..3) {
        let rouge = Rouge::new(RougeKind::ALL[index], RougeTokenizer::Characters);
        let found = rouge.score(&hypothesis, &reference);
        let swapped = rouge.score(&reference, &hypothesis);
        prop_assert!(close(found, (swapped.recall, swapped.precision, swapped.f_measure)), "{:?}", found);
        prop_assert!(found.precision <= 1.0 && found.recall <= 1.0);
        let n_tokens = RougeTokenizer::Characters.tokenize(&hypothesis).len();
        let own = if n_tokens < if index == 1 { 2 } else { 1 } { 0.0 } else { 1.0 };
        prop_assert!(close(rouge.score(&hypothesis, &hypothesis), (own, own, own)));
    }

    /// Of one line ROUGE-Lsum is ROUGE-L; more words in common there are never than of ROUGE-1.
    #[test]
    fn the_kinds_agree(hypothesis in "[abc]{0,16}", reference in "[abc]{0,16}") {
        let score = |kind| Rouge::new(kind, RougeTokenizer::Characters).score(&hypothesis, &reference);
        prop_assert_eq!(score(RougeKind::RougeL), score(RougeKind::RougeLsum));
        prop_assert!(score(RougeKind::RougeL).recall <= score(RougeKind::Rouge1).recall);
    }
}
