//! ARPA files: written and read back, read by KenLM, and refused when they are faulty.

#[path = "golden/model.rs"]
mod model;

use dqn_score::{NgramConfig, NgramLm, ScoreError};
use dqn_text::{Special, TokenId, Vocab};
use proptest::prelude::*;
use serde::Deserialize;

const FIXTURE: &str = include_str!("golden/model.arpa");

/// What golden/make_kenlm.py writes.
#[derive(Deserialize)]
struct Golden {
    tool: String,
    order: usize,
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    words: Vec<String>,
    log10: Vec<f64>,
}

fn write(lm: &NgramLm, vocab: &Vocab) -> String {
    let mut out = Vec::new();
    lm.write_arpa(vocab, &mut out).expect("a Vec takes everything");
    String::from_utf8(out).expect("ARPA files are UTF-8")
}

#[test]
fn the_fixture_is_what_is_written_now() {
    let vocab = model::vocab();
    assert_eq!(write(&model::model(&vocab), &vocab), FIXTURE);
}

#[test]
fn kenlm_finds_the_same_probabilities() {
    let golden: Golden = serde_json::from_str(include_str!("golden/kenlm.json")).unwrap();
    let vocab = model::vocab();
    let lm = model::model(&vocab);
    assert_eq!((golden.tool.as_str(), golden.order), ("kenlm", lm.order()));
    assert!(golden.sentences.len() >= 100);
    for sentence in &golden.sentences {
        let words = model::tokens(sentence.words.iter().map(String::as_str), &vocab);
        let text = [&[Special::Bos.id()], &words[..], &[Special::Eos.id()]].concat();
        let found: Vec<f64> = lm.sequence_log_probs(&text, 1).iter().map(|nats| nats / 10_f64.ln()).collect();
        assert_eq!(found.len(), sentence.log10.len());
        for (found, expected) in found.iter().zip(&sentence.log10) {
            assert!((found - expected).abs() < 1e-4, "{:?}: {found}, expected {expected}", sentence.words);
        }
    }
}

#[test]
fn tokens_with_white_space_come_back() {
    let odd =
        ["", " ", "\u{3000}", "a b\t", "\\", "\\u{20}", "<s>", "</s>", "<UNK>", "<S>", "\u{0}", "\n", "1", "\\end\\"];
    let vocab = Vocab::new(odd.map(str::to_owned)).unwrap();
    let sequences: Vec<Vec<TokenId>> = vec![(4..vocab.len() as u32).map(TokenId).collect()];
    let lm = NgramLm::train(&NgramConfig { order: 3 }, &vocab, &sequences).unwrap();
    let written = write(&lm, &vocab);
    assert_eq!(NgramLm::read_arpa(written.as_bytes(), "odd.arpa", &vocab).unwrap(), lm);
    for word in ["\\u{}", "\\u{20}", "\\u{3000}", "a\\u{20}b\\u{9}", "\\\\", "\\u{3c}s>", "\\\\end\\\\"] {
        assert!(written.contains(&format!("\t{word}\t")), "{word} is not in\n{written}");
    }
}

#[test]
fn files_of_other_tools_are_read() {
    let vocab = Vocab::new(["a".to_owned()]).unwrap();
    // A line before the data, <s> with probability 1, spaces for tabs, CR LF, and no bigrams: nothing is listed after
    // "a", but <unk> is after "a a".
    let text = "made by hand\r\n\\data\\\r\nngram 1 = 4\r\nngram 2 = 0\r\nngram 3 = 1\r\n\r\n\\1-grams:\r\n0 <s> 0\r\n\
        -0.30103 </s>\r\n-0.60206 <unk>\r\n-0.60206 a 0\r\n\r\n\\2-grams:\r\n\r\n\\3-grams:\r\n-0.60206 a a <unk>\r\n\r\n\\end\\\r\n";
    let lm = NgramLm::read_arpa(text.as_bytes(), "other.arpa", &vocab).unwrap();
    assert_eq!((lm.order(), lm.vocab_size()), (3, 5));
    let a = TokenId(4);
    for (context, token, expected) in [
        (&[a, a][..], Special::Unk.id(), 0.25),
        (&[a], Special::Eos.id(), 0.5),
        (&[], a, 0.25),
        (&[], Special::Bos.id(), 0.0),
    ] {
        let found = lm.log_prob(context, token).exp();
        assert!((found - expected).abs() < 1e-5, "p({token:?} | {context:?}) = {found}, expected {expected}");
    }
    assert_eq!(lm.context_key(&[a, a, a]), [a, a]);
}

#[test]
fn faults_are_told_with_their_line() {
    let vocab = Vocab::new(["a".to_owned()]).unwrap();
    let lm = NgramLm::train(&NgramConfig { order: 2 }, &vocab, &[vec![TokenId(4)]]).unwrap();
    let good = write(&lm, &vocab);
    let expected_lines = ["\\data\\", "ngram 1=4", "ngram 2=2", "", "\\1-grams:"];
    assert_eq!(good.lines().take(5).collect::<Vec<_>>(), expected_lines);
    let bigram = good.lines().find(|line| line.contains("<s> a")).unwrap().to_owned();
    let unknown = good.lines().find(|line| line.ends_with("\t<unk>")).unwrap().to_owned();
    // What is replaced by what, and the start of the error.
    let table: [(&str, &str, &str); 16] = [
        ("\\data\\", "data", "m.arpa:16: found \"the end of the text\"; expected \\data\\"),
        ("ngram 1=4", "ngram 1:4", "m.arpa:2: found \"ngram 1:4\"; expected \"ngram 1=COUNT\""),
        ("ngram 1=4", "ngram 2=4", "m.arpa:2: found \"ngram 2=4\"; expected \"ngram 1=COUNT\""),
        ("ngram 2=2", "ngram 2=-2", "m.arpa:3: found \"ngram 2=-2\"; expected \"ngram 2=COUNT\""),
        ("ngram 2=2\n", "", "the n-gram order is 1; it must be 2 to 5"),
        ("ngram 2=2", "ngram 2=3", "m.arpa:15: the section of 2-grams ends after 2; the header declares 3"),
        ("\\1-grams:", "\\2-grams:", "m.arpa:5: found \"\\\\2-grams:\"; expected \\1-grams:"),
        (&unknown, "x\t<unk>", "m.arpa:6: found \"x\\t<unk>\"; expected a base-10 logarithm"),
        (&unknown, "NaN\t<unk>", "m.arpa:6: found"),
        (&unknown, "0.5\t<unk>", "m.arpa:6: found"),
        (&unknown, "-1\t<unk>\tinf", "m.arpa:6: found"),
        (&unknown, "-1\t<pad>", "m.arpa:6: the token \"<pad>\" is not in the vocabulary"),
        (&unknown, "-1\t\\u{zz}", "m.arpa:6: the token \"\\\\u{zz}\" is not in the vocabulary"),
        (&bigram, "-1\ta <s>", "m.arpa:12: found \"-1\\ta <s>\"; expected <s> only at the beginning"),
        (&bigram, "-1\ta </s>", "m.arpa:13: the 2-gram \"a </s>\" is listed a second time"),
        ("\\end\\", "", "m.arpa:16: found \"the end of the text\"; expected \\end\\"),
    ];
    for (old, new, expected) in table {
        assert!(good.contains(old), "{old:?} is not in\n{good}");
        let found =
            NgramLm::read_arpa(good.replacen(old, new, 1).as_bytes(), "m.arpa", &vocab).unwrap_err().to_string();
        assert!(found.starts_with(expected), "{old:?} -> {new:?}: {found}\nin\n{good}");
    }
    let larger = Vocab::new(["a".to_owned(), "b".to_owned()]).unwrap();
    let found = NgramLm::read_arpa(good.as_bytes(), "m.arpa", &larger).unwrap_err().to_string();
    assert_eq!(found, "m.arpa: the 1-grams do not list the token \"b\" of the vocabulary");
    let found = NgramLm::read_arpa(good.replacen(&bigram, "-1\t<s> a", 1).as_bytes(), "m.arpa", &vocab).unwrap_err();
    assert!(matches!(&found, ScoreError::ArpaSum { context, .. } if context == "<s>"), "{found}");
    let found = NgramLm::read_arpa(&b"\\data\\\nngram \xff"[..], "m.arpa", &vocab).unwrap_err().to_string();
    assert_eq!(found, "m.arpa:2: cannot read the line");
    let found = lm.write_arpa(&larger, &mut Vec::new()).unwrap_err().to_string();
    assert_eq!(found, "the vocabulary has 6 tokens; the language model was made for 5");
}

proptest! {
    #[test]
    fn a_model_comes_back_from_its_file(
        sequences in prop::collection::vec(prop::collection::vec((4_u32..8).prop_map(TokenId), 0..8), 1..10),
        order in 2_usize..=5,
    ) {
        let vocab = Vocab::new(["a", "b", "c", "d"].map(str::to_owned)).unwrap();
        let lm = NgramLm::train(&NgramConfig { order }, &vocab, &sequences).unwrap();
        let read = NgramLm::read_arpa(write(&lm, &vocab).as_bytes(), "model.arpa", &vocab).unwrap();
        prop_assert_eq!(read, lm);
    }

    /// Whatever the text, reading it ends in a model or in an error that says where the text came from.
    #[test]
    fn garbage_is_refused_without_a_panic(
        text in r"(\\data\\|ngram [1-6]=[0-9]{1,12}|\\[1-6]-grams:|\\end\\|-?[0-9.e]{1,5}|<s>|</s>|<unk>|a|[ \t\n]{1,2}|\PC){0,40}"
    ) {
        let vocab = Vocab::new(["a".to_owned()]).unwrap();
        if let Err(error) = NgramLm::read_arpa(text.as_bytes(), "garbage.arpa", &vocab) {
            prop_assert!(matches!(error, ScoreError::Order { .. }) || error.to_string().starts_with("garbage.arpa:"), "{}", error);
        }
    }

    /// One faulty byte in a good file is read as another model or refused, and never panics.
    #[test]
    fn a_changed_byte_does_not_panic(place in 0..FIXTURE.len(), byte in any::<u8>()) {
        let mut text = FIXTURE.as_bytes().to_vec();
        text[place] = byte;
        if let Err(error) = NgramLm::read_arpa(text.as_slice(), "changed.arpa", &model::vocab()) {
            prop_assert!(matches!(error, ScoreError::Order { .. }) || error.to_string().starts_with("changed.arpa:"), "{}", error);
        }
    }
}
