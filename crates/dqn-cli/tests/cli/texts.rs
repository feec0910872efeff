//! `tokenizer` and `lm`.

use std::fs;

use serde_json::Value;

use crate::program::{DONE, command, dqn, ran};

const CORPUS: &str = "Hello, world.\nHello again, old world.\n你好，世界。\n";

#[test]
fn what_a_tokenizer_encodes_it_decodes() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("corpus.txt"), CORPUS).unwrap();
    for (kind, more) in [("char", &[][..]), ("word", &[]), ("bpe", &["--max-tokens", "300"])] {
        let train = ["tokenizer", "train", "--corpus", "corpus.txt", "--output", "t.json", "--kind", kind];
        let ran = dqn(folder.path(), &[&train, more].concat()).ends_with(DONE);
        assert!(ran.stderr.starts_with(&format!("t.json: {kind} with ")), "{}", ran.stderr);
        let encode = ["tokenizer", "encode", "--tokenizer", "t.json", "--input", "corpus.txt"];
        let ids = dqn(folder.path(), &encode).ends_with(DONE).stdout;
        assert_eq!(ids.lines().count(), CORPUS.lines().count(), "{kind}");
        assert!(ids.split_whitespace().all(|id| id.parse::<u32>().is_ok_and(|id| id > 3)), "{kind}: {ids}");
        assert_eq!(decoded(folder.path(), &ids), CORPUS, "{kind}");
    }
}

fn decoded(folder: &std::path::Path, ids: &str) -> String {
    let output = command(folder).args(["tokenizer", "decode", "--tokenizer", "t.json"]).write_stdin(ids).output();
    ran(output.unwrap()).ends_with(DONE).stdout
}

#[test]
fn tokenizer_settings_count() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("corpus.txt"), "B b b a a c\n").unwrap();
    let train = |more: &[&str]| {
        let train = ["tokenizer", "train", "--corpus", "corpus.txt", "--output", "t.json", "--kind", "word"];
        dqn(folder.path(), &[&train, more].concat())
    };
    // Four special tokens, and a, b, c, B; or without B; or without those that occur once.
    for (more, n_tokens) in
        [(&[][..], 8), (&["--lowercase"], 7), (&["--min-count", "2"], 6), (&["--max-tokens", "5"], 5)]
    {
        let ran = train(more).ends_with(DONE);
        assert!(ran.stderr.ends_with(&format!(" with {n_tokens} tokens\n")), "{more:?}: {}", ran.stderr);
    }
    train(&["--max-tokens", "3"]).must_be_refused(&["max_tokens", "3", "at least"]);
}

#[test]
fn what_is_no_token_id_must_be_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("corpus.txt"), "ab\n").unwrap();
    dqn(folder.path(), &["tokenizer", "train", "--corpus", "corpus.txt", "--output", "t.json"]).ends_with(DONE);
    for (ids, part) in [("4\n6\n", "line 2: \"6\""), ("4 b\n", "line 1: \"b\"")] {
        fs::write(folder.path().join("ids.txt"), ids).unwrap();
        let decode = ["tokenizer", "decode", "--tokenizer", "t.json", "--input", "ids.txt"];
        let ran = dqn(folder.path(), &decode).ends_with(crate::program::BAD_REQUEST);
        assert!(ran.stderr.contains(part) && ran.stderr.contains("ids go from 0 to 5"), "{}", ran.stderr);
    }
    let other = ["tokenizer", "encode", "--tokenizer", "corpus.txt", "--input", "corpus.txt"];
    dqn(folder.path(), &other).must_be_refused(&["cannot read the tokenizer corpus.txt"]);
}

#[test]
fn a_language_model_predicts_what_it_has_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("corpus.txt"), "ab\n".repeat(50) + "ac\n").unwrap();
    fs::write(folder.path().join("strange.txt"), "ca\nazb\n").unwrap();
    for tokenizer in ["char", "word", "t.json"] {
        dqn(folder.path(), &["tokenizer", "train", "--corpus", "corpus.txt", "--output", "t.json"]).ends_with(DONE);
        let train = ["lm", "train", "--corpus", "corpus.txt", "--output", "m.arpa", "--order", "2"];
        let ran = dqn(folder.path(), &[&train[..], &["--tokenizer", tokenizer]].concat()).ends_with(DONE);
        assert!(ran.stderr.contains("m.arpa: order 2"), "{}", ran.stderr);
        assert!(fs::read_to_string(folder.path().join("m.arpa")).unwrap().starts_with("\\data\\\n"));
        let of = |text: &str| -> Value {
            let measure = ["lm", "perplexity", "--model", "m.arpa", "--text", text, "--json"];
            serde_json::from_str(&dqn(folder.path(), &measure).ends_with(DONE).stdout).unwrap()
        };
        let (read, strange) = (of("corpus.txt"), of("strange.txt"));
        let perplexity = |found: &Value| found["perplexity"].as_f64().unwrap();
        assert!((1.0..1.5).contains(&perplexity(&read)), "{tokenizer}: {read}");
        // Two lines: characters c a </s> a b </s> and the unknown z; as words both lines are unknown.
        let (n_tokens, n_unknown) = if tokenizer == "word" { (2, 2) } else { (6, 1) };
        assert_eq!((&strange["n_tokens"], &strange["n_unknown"]), (&n_tokens.into(), &n_unknown.into()), "{tokenizer}");
        if tokenizer != "word" {
            assert!(perplexity(&strange) > 3.0 * perplexity(&read), "{tokenizer}: {strange}");
        }
        assert_eq!((&read["n_sequences"], &read["n_unknown"]), (&51.into(), &0.into()));
    }
}

#[test]
fn language_models_that_cannot_be_made_or_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("corpus.txt"), "ab\n").unwrap();
    let train = ["lm", "train", "--corpus", "corpus.txt", "--output", "m.arpa"];
    dqn(folder.path(), &[&train[..], &["--order", "9"]].concat()).must_be_refused(&["order is 9", "2 to 5"]);
    dqn(folder.path(), &[&train[..], &["--tokenizer", "none.json"]].concat()).must_be_refused(&["none.json"]);
    dqn(folder.path(), &train).ends_with(DONE);
    let measure = ["lm", "perplexity", "--model", "m.arpa", "--text", "corpus.txt"];
    assert!(dqn(folder.path(), &measure).ends_with(DONE).stdout.starts_with("perplexity "));
    fs::write(folder.path().join("m.arpa"), "\\data\\\nngram one\n").unwrap();
    dqn(folder.path(), &measure).must_be_refused(&["m.arpa:2", "ngram one"]);
    fs::remove_file(folder.path().join("m.tokenizer.json")).unwrap();
    dqn(folder.path(), &measure).must_be_refused(&["m.tokenizer.json"]);
}

#[test]
fn texts_are_logged_whole_or_as_tokens_with_what_each_of_them_earned() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let config = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/smoke/prose-words.toml");
    let config = config.to_str().unwrap();
    let train = ["train", "--config", config, "--set", "training.stop_after={ updates = 1 }", "--run-dir", "run"];
    dqn(here, &train).ends_with(DONE);
    let episodes = |file: &str, more: &[&str]| -> Vec<Value> {
        let sample = ["data", "sample", "run", "--n-starts", "20", "--n-texts", "2", "--output", file];
        dqn(here, &[&sample, more].concat()).ends_with(DONE);
        let checked = dqn(here, &["data", "check", file, "--config", config]).ends_with(DONE);
        assert!(checked.stdout.contains("40 episodes, all of the task"), "{}", checked.stdout);
        let log = fs::read_to_string(here.join(file)).unwrap();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (texts, tokens) = (episodes("texts.jsonl", &[]), episodes("tokens.jsonl", &["--token-ids"]));
    let earned = |episode: &Value| -> Vec<f64> {
        let rewards = episode.get("rewards").and_then(Value::as_array);
        let reward = |value: &Value| value.as_f64().unwrap();
        rewards.map_or_else(|| vec![reward(&episode["reward"])], |rewards| rewards.iter().map(reward).collect())
    };
    for (text, tokens) in texts.iter().zip(&tokens) {
        let (whole, each) = (earned(text), earned(tokens));
        assert!((whole[0] - each.iter().sum::<f64>()).abs() < 1e-5, "{text} and {tokens}");
        assert_eq!((whole.len(), tokens["tokens"][0].as_u64()), (1, Some(2)), "{text} and {tokens}");
        assert_eq!(tokens["is_action"].as_array().unwrap().iter().filter(|flag| **flag == true).count(), each.len());
    }
    let is_on_the_way = |episode: &Value| earned(episode).split_last().unwrap().1.iter().any(|&reward| reward != 0.0);
    assert!(tokens.iter().all(is_on_the_way), "what the words earn is not kept");
}
