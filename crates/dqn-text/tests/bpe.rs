//! Byte pair encoding against the Python `tokenizers` library.

use dqn_text::tokenizer::{TextTokenizer, TokenizerConfig};
use dqn_text::{TokenId, Tokenizer};
use serde::Deserialize;
use serde_json::Value;

/// What golden/make_bpe.py writes.
#[derive(Deserialize)]
struct Golden {
    tool: String,
    version: String,
    max_tokens: usize,
    min_count: usize,
    texts: Vec<String>,
    probes: Vec<Probe>,
}

#[derive(Deserialize)]
struct Probe {
    text: String,
    ids: Vec<TokenId>,
}

const THEIR_FILE: &str = include_str!("golden/tokenizer.json");

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/bpe.json")).expect("a file as make_bpe.py writes it")
}

fn check(tokenizer: &TextTokenizer, golden: &Golden) {
    for Probe { text, ids } in &golden.probes {
        assert_eq!(
            &tokenizer.encode(text).expect("bytes encode any text"),
            ids,
            "{text:?} by {} {}",
            golden.tool,
            golden.version
        );
        assert_eq!(&tokenizer.decode(ids), text);
    }
}

#[test]
fn training_makes_the_file_that_their_library_makes() {
    let golden = golden();
    let texts: Vec<&str> = golden.texts.iter().map(String::as_str).collect();
    let config = TokenizerConfig::Bpe { max_tokens: golden.max_tokens, min_count: golden.min_count };
    let tokenizer = config.train(&texts).unwrap();
    assert_eq!(tokenizer.vocab().len(), golden.max_tokens);
    assert!(golden.probes.iter().any(|probe| probe.ids.iter().any(|id| id.index() > 300)), "merges occur");
    let [ours, theirs] = [&tokenizer.to_json(), THEIR_FILE].map(|json| serde_json::from_str::<Value>(json).unwrap());
    let keys = |file: &Value| file.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&ours), keys(&theirs));
    let different: Vec<String> = keys(&ours).into_iter().filter(|key| ours[key] != theirs[key]).collect();
    assert!(different.is_empty(), "other values under {different:?}");
    check(&tokenizer, &golden);
}

#[test]
fn their_file_is_read() {
    let tokenizer = TextTokenizer::from_json(THEIR_FILE, "golden/tokenizer.json").unwrap();
    assert_eq!(tokenizer.kind(), "bpe");
    check(&tokenizer, &golden());
}
