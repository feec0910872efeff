//! Translations and transcripts, and what is refused of them.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{BAD_REQUEST, DONE, dqn};

/// A toy language in which every word has one translation: learned in a few hundred updates.
const NETWORK: &str = r#"
[network]
embedding_width = 32
encoder = { embedding_width = 32, layers = { kind = "transformer", width = 32, n_heads = 2, n_layers = 1, expansion = 2 } }
torso = { kind = "transformer", width = 32, n_heads = 2, n_layers = 1, expansion = 2 }
head = { kind = "scalar" }
dropout = 0.1

[learner]
objective = { kind = "imitation" }
batch_windows = 32
window_steps = 6
optimizer = { kind = "adam", learning_rate = { kind = "constant", value = 1e-3 } }

[exploration]
kind = "epsilon_greedy"
epsilon = { kind = "constant", value = 0.0 }
"#;

const TRANSLATION: &str = r#"
name = "toy"

[environment]
kind = "translation"
pairs = { kind = "table", path = "pairs.tsv", n_validation = 10, n_test = 10 }
max_tokens = 6

[tokenizer]
kind = "word"

[[reward.terms]]
kind = "similarity"
metric = { kind = "chrf" }

[training]
source = { kind = "text" }
stop_after = { updates = 1000 }

[evaluation]
metric = "exact"
n_episodes = 125
"#;

/// Sentences of three words of five, and the same in the other language.
fn pairs() -> String {
    let words = [("one", "un"), ("two", "deux"), ("red", "rouge"), ("sea", "mer"), ("sky", "ciel")];
    let mut lines = String::new();
    for index in 0..125 {
        let chosen = [index % 5, index / 5 % 5, index / 25].map(|word| words[word]);
        let source: Vec<&str> = chosen.iter().map(|(word, _)| *word).collect();
        let target: Vec<&str> = chosen.iter().map(|(_, word)| *word).collect();
        lines += &format!("{}\t{}\n", source.join(" "), target.join(" "));
    }
    lines
}

fn translation() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pairs.tsv"), pairs()).unwrap();
    fs::write(folder.path().join("toy.toml"), format!("{TRANSLATION}{NETWORK}")).unwrap();
    folder
}

#[test]
fn a_translator_is_trained_and_translates_what_it_has_not_seen() {
    let folder = translation();
    let trained = dqn(folder.path(), &["train", "--config", "toy.toml", "--run-dir", "run", "--json"]).ends_with(DONE);
    let outcome: Value = serde_json::from_str(&trained.stdout).unwrap();
    let test = outcome["evaluation"].as_array().unwrap().iter().find(|row| row["split"] == "test").unwrap();
    assert!(test["answers"]["exact"].as_f64().unwrap() >= 0.5, "{test}");

    let one = dqn(folder.path(), &["translate", "run", "--text", "red sea one"]).ends_with(DONE);
    assert_eq!(one.stdout, "rouge mer un\n");
    fs::write(folder.path().join("sentences.txt"), "red sea one\nsky sky two\n").unwrap();
    for more in [&["--strategy", "beam", "--beam-width", "3"][..], &["--strategy", "greedy"]] {
        let arguments = [&["translate", "run", "--file", "sentences.txt"][..], more].concat();
        assert_eq!(dqn(folder.path(), &arguments).ends_with(DONE).stdout, "rouge mer un\nciel ciel deux\n");
    }
    let json = dqn(folder.path(), &["translate", "run", "--text", "two two two", "--json"]).ends_with(DONE);
    let answer: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&answer["text"], &answer["n_tokens"]), (&"deux deux deux".into(), &4.into()));

    for (arguments, expected) in [
        (&["translate", "run"][..], "--text"),
        (&["translate", "run", "--text", "  "], "has no tokens"),
        (&["translate", "run", "--text", "red", "--beam-width", "3"], "--beam-width is for --strategy beam"),
        (&["transcribe", "run", "a.wav"], "use translate"),
        (&["translate", "run", "--file", "none.txt"], "none.txt"),
    ] {
        let refused = dqn(folder.path(), arguments).ends_with(BAD_REQUEST);
        assert!(refused.stderr.contains(expected), "{arguments:?}: {}", refused.stderr);
    }
    fs::write(folder.path().join("sentences.txt"), "red\n\nsea\n").unwrap();
    let refused = dqn(folder.path(), &["translate", "run", "--file", "sentences.txt"]).ends_with(BAD_REQUEST);
    assert!(refused.stderr.contains("line 2"), "{}", refused.stderr);

    let why = ["explain", "run", "--source", "red sea one", "--format", "json"];
    let why: Value = serde_json::from_str(&dqn(folder.path(), &why).ends_with(DONE).stdout).unwrap();
    assert_eq!((&why["about"]["text"], &why["about"]["tokens"][2]), (&"red sea one".into(), &"one".into()));
    // Word by word: each depends most on the word that it translates.
    for step in 0..3 {
        let saliency: Vec<f64> = serde_json::from_value(why["steps"][step]["source_saliency"].clone()).unwrap();
        let most = (0..3).max_by(|&one, &other| saliency[one].total_cmp(&saliency[other])).unwrap();
        assert_eq!(most, step, "{saliency:?}");
    }
    let shown = dqn(folder.path(), &["explain", "run", "--source", "red sea one"]).ends_with(DONE);
    assert!(shown.stdout.contains("about: red sea one\n\nrouge mer un <eos>"), "{}", shown.stdout);
    assert!(shown.stdout.contains("and in the source on red at 0 (+"), "{}", shown.stdout);

    // Measuring takes the data, translating does not.
    assert!(dqn(folder.path(), &["eval", "run"]).ends_with(DONE).stdout.contains("imitation greedy"));
    fs::remove_file(folder.path().join("pairs.tsv")).unwrap();
    let again = dqn(folder.path(), &["translate", "run", "--text", "red sea one"]).ends_with(DONE);
    assert_eq!(again.stdout, one.stdout);
    let refused = dqn(folder.path(), &["eval", "run"]).ends_with(BAD_REQUEST);
    assert!(refused.stderr.contains("pairs.tsv"), "{}", refused.stderr);
}

/// Values of the hypotheses that a half-learned translator wrote, beside its policy.
const FROM_HYPOTHESES: &str = r#"
extends = "toy.toml"
name = "from-hypotheses"
decoding = { beta = 4.0 }

[network]
dropout = 0.0

[learner]
objective = { kind = "ilql", expectile = 0.7 }
imitation = 0.1
conservatism = 0.1
target_update = { kind = "polyak", rate = 0.05 }

[training]
source = { kind = "log", path = "hypotheses.jsonl" }
initial = { run = "mle", checkpoint = "last" }
stop_after = { updates = 250 }
"#;

#[test]
fn values_are_learned_from_logged_hypotheses_with_scores() {
    let folder = translation();
    let here = folder.path();
    let few = "training.stop_after.updates=250";
    dqn(here, &["train", "--config", "toy.toml", "--set", few, "--run-dir", "mle"]).ends_with(DONE);
    let sample = ["data", "sample", "mle", "--checkpoint", "last", "--n-texts", "3", "--output", "hypotheses.jsonl"];
    let sampled = dqn(here, &sample).ends_with(DONE);
    let log = fs::read_to_string(here.join("hypotheses.jsonl")).unwrap();
    assert!(sampled.stdout.contains(&format!("{} texts", log.lines().count())), "{}", sampled.stdout);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reward = |line: &Value| line["reward"].as_f64().unwrap();
    assert!(
        lines.len() > 200
            && lines.iter().any(|line| reward(line) > 0.99)
            && lines.iter().any(|line| reward(line) < 0.8)
    );
    dqn(here, &sample).must_be_refused(&["exists already"]);
    let as_ids = ["data", "sample", "mle", "--token-ids", "--output", "ids.jsonl"];
    dqn(here, &as_ids).must_be_refused(&["a log of token ids", "only prompts can name"]);

    fs::write(here.join("offline.toml"), FROM_HYPOTHESES).unwrap();
    dqn(here, &["data", "check", "hypotheses.jsonl", "--config", "offline.toml"]).ends_with(DONE);
    let trained = dqn(here, &["train", "--config", "offline.toml", "--run-dir", "ilql", "--json"]).ends_with(DONE);
    let outcome: Value = serde_json::from_str(&trained.stdout).unwrap();
    let test = outcome["evaluation"].as_array().unwrap().iter().find(|row| row["split"] == "test").unwrap();
    // Words at random have .2.
    assert!(test["episode_return"]["mean"].as_f64().unwrap() > 0.4, "{test}");

    let strange = log.replacen("\"prompt\":\"", "\"prompt\":\"no such ", 1);
    fs::write(here.join("hypotheses.jsonl"), strange).unwrap();
    let refused = dqn(here, &["train", "--config", "offline.toml", "--run-dir", "other"]).ends_with(BAD_REQUEST);
    for part in ["hypotheses.jsonl:1", "no such ", "sources that the task learns from"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
}

#[test]
fn what_does_not_fit_a_task_with_sources_is_refused() {
    let folder = translation();
    for (set, expected) in [
        ("network.torso={ kind = \"mlp\" }", "network.torso.kind"),
        ("network.encoder.layers={ kind = \"gru\", width = 7 }", "network.encoder.layers.width"),
        ("environment.pairs.path=\"none.tsv\"", "none.tsv"),
        ("environment.pairs.target_column=2", "column 2"),
        ("environment.pairs.n_test=500", "125 distinct texts"),
        ("environment.pairs.divide_by_column=4", "pairs.divide_by_column = 4"),
        ("split={}", "split"),
    ] {
        let arguments = ["train", "--config", "toy.toml", "--run-dir", "run", "--set", set];
        let refused = dqn(folder.path(), &arguments).ends_with(BAD_REQUEST);
        assert!(refused.stderr.contains(expected), "{set}: {}", refused.stderr);
        assert!(!folder.path().join("run").exists(), "{set} has left a run");
    }
}

#[test]
fn a_transcriber_reads_recordings_and_names_those_it_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let clips = folder.path().join("clips");
    fs::create_dir(&clips).unwrap();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/speech-smoke")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), clips.join(file.file_name())).unwrap();
    }
    let [training, test] = ["training.tsv", "test.tsv"].map(|name| clips.join(name).display().to_string());
    let config = format!(
        r#"
name = "digits"
[environment]
kind = "speech"
training = "{training}"
validation = "{test}"
test = "{test}"
features = {{ n_mels = 12 }}
max_tokens = 3
[tokenizer]
kind = "word"
[[reward.terms]]
kind = "similarity"
metric = {{ kind = "error_rate" }}
[training]
source = {{ kind = "text" }}
stop_after = {{ updates = 200 }}
[evaluation]
metric = "word_error_rate"
n_episodes = 6
{NETWORK}"#
    );
    fs::write(folder.path().join("digits.toml"), config).unwrap();
    let arguments = ["train", "--config", "digits.toml", "--run-dir", "run", "--json"];
    let trained = dqn(folder.path(), &arguments).ends_with(DONE);
    let outcome: Value = serde_json::from_str(&trained.stdout).unwrap();
    let rows = outcome["evaluation"].as_array().unwrap();
    let error_rate = |split: &str| {
        rows.iter().find(|row| row["split"] == split).unwrap()["answers"]["word_error_rate"].as_f64().unwrap()
    };
    assert!(error_rate("train") <= 0.1, "{outcome}");

    let clip = clips.join("3-en-gb-m3-150.wav").display().to_string();
    let said = dqn(folder.path(), &["transcribe", "run", &clip, &clip]).ends_with(DONE);
    assert_eq!(said.stdout, "three\nthree\n");
    fs::write(folder.path().join("noise.wav"), "no sound at all").unwrap();
    fs::write(folder.path().join("empty.flac"), "").unwrap();
    for (file, expected) in [("noise.wav", "noise.wav"), ("empty.flac", "empty.flac"), ("gone.wav", "gone.wav")] {
        let refused = dqn(folder.path(), &["transcribe", "run", &clip, file]).ends_with(BAD_REQUEST);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
        assert!(refused.stdout.is_empty());
    }
    let refused = dqn(folder.path(), &["translate", "run", "--text", "three"]).ends_with(BAD_REQUEST);
    assert!(refused.stderr.contains("use transcribe"), "{}", refused.stderr);

    let clip_alone = folder.path().join("alone.wav");
    fs::rename(&clip, &clip_alone).unwrap();
    fs::remove_dir_all(&clips).unwrap();
    let again = dqn(folder.path(), &["transcribe", "run", "alone.wav"]).ends_with(DONE);
    assert_eq!(again.stdout, "three\n");
}
