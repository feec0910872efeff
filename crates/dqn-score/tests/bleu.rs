//! BLEU against sacreBLEU 2.6.0 and against tables that a person can recompute.

use dqn_score::{Bleu, BleuConfig, BleuTokenizer, ScoreError, Smoothing, token_bleu};
use dqn_text::TokenId;
use proptest::prelude::*;
use serde::Deserialize;

/// What golden/make_bleu.py writes.
#[derive(Deserialize)]
struct Golden {
    tool: String,
    version: String,
    corpora: Vec<Corpus>,
}

#[derive(Deserialize)]
struct Corpus {
    config: BleuConfig,
    hypotheses: Vec<String>,
    references: Vec<Vec<String>>,
    score: f64,
    counts: Vec<u64>,
    totals: Vec<u64>,
    precisions: Vec<f64>,
    brevity_penalty: f64,
    hypothesis_length: u64,
    reference_length: u64,
    n_references: Option<usize>,
    signature: String,
    sentences: Vec<f64>,
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9
}

#[test]
fn scores_equal_those_of_sacrebleu() {
    let golden: Golden = serde_json::from_str(include_str!("golden/bleu.json")).unwrap();
    assert_eq!((golden.tool.as_str(), golden.version.as_str()), ("sacrebleu", "2.6.0"));
    assert!(golden.corpora.len() >= 200);
    for (index, corpus) in golden.corpora.iter().enumerate() {
        let bleu = Bleu::new(corpus.config);
        let references: Vec<Vec<&str>> = corpus.references.iter().map(|lines| strs(lines)).collect();
        let found = bleu.corpus(&strs(&corpus.hypotheses), &references).unwrap();
        assert!(close(found.score, corpus.score), "corpus {index}: {found:?}, expected {}", corpus.score);
        assert!(close(found.brevity_penalty, corpus.brevity_penalty), "corpus {index}: {found:?}");
        assert_eq!(found.counts, corpus.counts, "corpus {index}");
        assert_eq!(found.totals, corpus.totals, "corpus {index}");
        assert_eq!(found.hypothesis_length, corpus.hypothesis_length, "corpus {index}");
        assert_eq!(found.reference_length, corpus.reference_length, "corpus {index}");
        assert_eq!(found.precisions.len(), corpus.precisions.len(), "corpus {index}");
        for (found, expected) in found.precisions.iter().zip(&corpus.precisions) {
            assert!(close(*found, *expected), "corpus {index}: precision {found}, expected {expected}");
        }
        for ((line, hypothesis), expected) in corpus.hypotheses.iter().enumerate().zip(&corpus.sentences) {
            let found = bleu.sentence(hypothesis, &references[line]).score;
            assert!(close(found, *expected), "corpus {index}, line {line}: {found}, expected {expected}");
        }
        // sacreBLEU does not tell the order, and its version is not ours.
        let ours = bleu.signature(corpus.n_references);
        let (ours, _) = ours.split_once(if ours.contains("|order:") { "|order:" } else { "|version:" }).unwrap();
        assert_eq!(Some(ours), corpus.signature.strip_suffix("|version:2.6.0"), "corpus {index}");
    }
}

#[test]
fn the_golden_corpora_hold_every_case() {
    let golden: Golden = serde_json::from_str(include_str!("golden/bleu.json")).unwrap();
    let smoothings = [Smoothing::None, Smoothing::Floor { value: 0.1 }, Smoothing::AddK { value: 1.0 }, Smoothing::Exp];
    for tokenize in BleuTokenizer::ALL {
        for smoothing in smoothings {
            let alike = |c: &&Corpus| c.config.tokenize == tokenize && c.config.smoothing == smoothing;
            assert!(golden.corpora.iter().filter(alike).count() >= 5, "{tokenize}, {smoothing:?}");
        }
        for n in (1..=4).map(Some).chain([None]) {
            let alike = |c: &Corpus| c.n_references == n && c.config.tokenize == tokenize;
            assert!(golden.corpora.iter().any(alike), "{tokenize}, {n:?} references");
        }
    }
    let holds = |case: fn(&String) -> bool| golden.corpora.iter().flat_map(|c| &c.hypotheses).any(case);
    assert!(holds(String::is_empty));
    assert!(holds(|line| line.contains('😀')));
    assert!(holds(|line| line.chars().count() > 150));
}

#[test]
fn a_score_by_hand() {
    let config = BleuConfig { tokenize: BleuTokenizer::None, ..BleuConfig::default() };
    let found = Bleu::new(config).corpus(&["the the cat sat", "a"], &[vec!["the cat sat down", "a cat"], vec!["a b"]]);
    // Unigrams: the (clipped to 1), cat, sat; a. Bigrams: the cat, cat sat of three. Trigrams: one of two. 4-grams: none of one.
    // Closest references: 4 of (4, 2) for the first, 2 for the second.
    let found = found.unwrap();
    assert_eq!((&found.counts[..], &found.totals[..]), (&[4, 2, 1, 0][..], &[5, 3, 2, 1][..]));
    assert_eq!((found.hypothesis_length, found.reference_length), (5, 6));
    let brevity_penalty = (-0.2_f64).exp();
    assert!(close(found.brevity_penalty, brevity_penalty), "{found:?}");
    // Exponential smoothing takes half a 4-gram for none.
    for (found, expected) in found.precisions.iter().zip([80.0, 200.0 / 3.0, 50.0, 50.0]) {
        assert!(close(*found, expected), "{found}, expected {expected}");
    }
    let score = 100.0 * brevity_penalty * (0.8 * 2.0 / 3.0 * 0.5 * 0.5_f64).powf(0.25);
    assert!(close(found.score, score), "{found:?}, expected {score}");
}

#[test]
fn smoothing_by_hand() {
    // Unigrams 2 of 3, bigrams 0 of 2, trigrams 0 of 1; no 4-grams, which a sentence leaves out.
    let sixth = 1.0 / 6.0;
    let table = [
        (Smoothing::None, 0.0),
        (Smoothing::Floor { value: 0.1 }, (2.0 / 3.0 * 0.05 * 0.1_f64).cbrt()),
        // Above unigrams 1 is added to both: 1 of 3, 1 of 2, and 1 of 1 for the 4-grams that are not there.
        (Smoothing::AddK { value: 1.0 }, (2.0 / 3.0 / 3.0 * 0.5_f64).powf(0.25)),
        (Smoothing::Exp, (2.0 / 3.0 * 0.25 * 0.25_f64).cbrt()),
    ];
    for (smoothing, expected) in table {
        let config = BleuConfig { smoothing, ..BleuConfig::default() };
        let found = Bleu::new(config).sentence("a x b", &["b y a"]).score;
        assert!(close(found, 100.0 * expected), "{smoothing:?}: {found}, expected {}", 100.0 * expected);
        let [a, b, x, y] = [4, 5, 6, 7].map(TokenId);
        let found = token_bleu(&[a, x, b], &[&[b, y, a]], 4, smoothing);
        assert!(close(found, expected), "{smoothing:?} over tokens: {found}, expected {expected}");
    }
    assert!(close(
        token_bleu(&[TokenId(4)], &[&[TokenId(5); 6], &[TokenId(4); 2]], 4, Smoothing::Exp),
        (-1.0_f64).exp()
    ));
    assert!(close(token_bleu(&[TokenId(4); 6], &[&[TokenId(4)]], 1, Smoothing::Exp), sixth));
    assert_eq!(token_bleu(&[], &[&[TokenId(4)]], 4, Smoothing::Exp), 0.0);
    assert_eq!(token_bleu(&[], &[&[]], 4, Smoothing::Exp), 0.0);
}

#[test]
fn case_counts_unless_it_is_lowered() {
    let score = |lowercase| {
        Bleu::new(BleuConfig { lowercase, ..BleuConfig::default() }).sentence("The ÉCOLE", &["the école"]).score
    };
    assert_eq!(score(false), 0.0);
    assert!(close(score(true), 100.0));
}

#[test]
fn signatures_name_what_a_score_depends_on() {
    let version = env!("CARGO_PKG_VERSION");
    let plain = Bleu::new(BleuConfig::default());
    assert_eq!(plain.signature(1), format!("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:dqn-{version}"));
    let other = Bleu::new(BleuConfig {
        tokenize: BleuTokenizer::Zh,
        smoothing: Smoothing::AddK { value: 0.5 },
        lowercase: true,
        max_order: 2,
        effective_order: true,
    });
    let expected = format!("nrefs:var|case:lc|eff:yes|tok:zh|smooth:add-k[0.50]|order:2|version:dqn-{version}");
    assert_eq!(other.signature(None), expected);
}

#[test]
fn corpora_out_of_step_are_refused() {
    let bleu = Bleu::new(BleuConfig::default());
    assert!(matches!(bleu.corpus(&[], &[]), Err(ScoreError::NoHypotheses)));
    let found = bleu.corpus(&["a", "b"], &[vec!["a"]]).unwrap_err();
    assert_eq!(found.to_string(), "there are 2 hypotheses but references for 1; each hypothesis needs its own");
    let found = bleu.corpus(&["a", "b"], &[vec!["a"], vec![]]).unwrap_err();
    assert_eq!(found.to_string(), "hypothesis 1 has no reference; at least one is needed");
}

#[test]
fn settings_have_the_defaults_of_sacrebleu_and_refuse_other_keys() {
    assert_eq!(serde_json::from_str::<BleuConfig>("{}").unwrap(), BleuConfig::default());
    let floor = serde_json::from_str::<Smoothing>(r#"{"kind": "floor"}"#).unwrap();
    assert_eq!(floor, Smoothing::Floor { value: 0.1 });
    let add_k = serde_json::from_str::<Smoothing>(r#"{"kind": "add_k"}"#).unwrap();
    assert_eq!(add_k, Smoothing::AddK { value: 1.0 });
    assert!(serde_json::from_str::<BleuConfig>(r#"{"order": 4}"#).is_err());
    assert!(serde_json::from_str::<Smoothing>(r#"{"kind": "floor", "k": 1}"#).is_err());
    // The schema, which configuration files are checked against, refuses other keys in every variant.
    let schema = serde_json::to_value(schemars::schema_for!(Smoothing)).unwrap();
    let variants = schema["oneOf"].as_array().unwrap();
    assert_eq!(variants.len(), 4);
    assert!(variants.iter().all(|variant| variant["additionalProperties"] == false), "{schema:#}");
    assert_eq!(variants[1]["properties"]["value"]["default"], 0.1);
    let schema = serde_json::to_value(schemars::schema_for!(BleuConfig)).unwrap();
    assert_eq!(schema["properties"]["max_order"]["maximum"], 16);
    assert_eq!(schema["properties"]["tokenize"]["default"], "13a");
    assert_eq!(schema["properties"]["smoothing"]["default"]["kind"], "exp");
}

proptest! {
    /// A text scores 100 against itself, and no text scores outside 0 to 100.
    #[test]
    fn scores_stay_in_range(hypothesis in "[ab,。 ]{0,12}", reference in "[ab,。 ]{0,12}", index in 0_usize..4) {
        let tokenize = BleuTokenizer::ALL[index];
        let bleu = Bleu::new(BleuConfig { tokenize, ..BleuConfig::default() });
        let score = bleu.sentence(&hypothesis, &[&reference]).score;
        prop_assert!((0.0..=100.0 + 1e-9).contains(&score), "{}", score);
        let own = bleu.sentence(&hypothesis, &[&reference, &hypothesis]).score;
        prop_assert!(close(own, if tokenize.tokenize(&hypothesis).is_empty() { 0.0 } else { 100.0 }), "{}", own);
    }
}
