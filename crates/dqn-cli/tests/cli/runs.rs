//! `train`, `eval` and `generate` on a small run.

use std::fs;

use serde_json::Value;

use crate::program::{BAD_REQUEST, DONE, dqn, tiny, trained};

const RUN: &str = "runs/tiny-1";

/// The keys of a JSON object.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

const SPLIT_KEYS: [&str; 10] = [
    "bleu",
    "distinct_2",
    "episode_return",
    "n_episodes",
    "policies",
    "policy_perplexity",
    "reference_perplexity",
    "seed",
    "split",
    "taken_for_human",
];

#[test]
fn a_run_prints_its_report_and_keeps_it() {
    let folder = tiny(&[]);
    let ran = dqn(folder.path(), &["train", "--config", "tiny.toml", "--seed", "5"]).ends_with(DONE);
    for part in ["experiment  tiny, seed 5", "backend ", "parameters", "examples: train", "run         runs/tiny-1"] {
        assert!(ran.stderr.contains(part), "{part:?} is missing in:\n{}", ran.stderr);
    }
    for part in ["20 of 20 updates: return", "DQN sampled on validation prompts", "dqn-cli generate runs/tiny-1"] {
        assert!(ran.stderr.contains(part), "{part:?} is missing in:\n{}", ran.stderr);
    }
    for part in [
        "On train prompts",
        "On validation prompts",
        "On test prompts",
        "| uniform random ",
        "| n-gram sampling ",
        "| before learning ",
        "| DQN sampled ",
        "| DQN argmax ",
        "| human ",
        "judge perplexity",
        "Generalisation gap",
        "Wall time",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is missing in:\n{}", ran.stdout);
    }
    // No reward term asks for a form, so there is no column for it.
    assert!(!ran.stdout.contains("form kept"), "{}", ran.stdout);

    let run = folder.path().join(RUN);
    assert_eq!(fs::read_to_string(run.join("eval/report.txt")).unwrap().trim(), ran.stdout.trim());
    let report: Value = serde_json::from_str(&fs::read_to_string(run.join("eval/report.json")).unwrap()).unwrap();
    assert_eq!(keys(&report), ["report", "speed"]);
    assert!(report["speed"]["wall_seconds"].as_f64().unwrap() > 0.0);
    assert!(fs::read_to_string(run.join("config.toml")).unwrap().contains("seed = 5"));

    let next = dqn(folder.path(), &["train", "--config", "tiny.toml", "--quiet", "--json"]).ends_with(DONE);
    assert_eq!(next.stderr, "");
    let outcome: Value = serde_json::from_str(&next.stdout).unwrap();
    assert_eq!(keys(&outcome), ["evaluation", "finished", "run", "updates"]);
    assert_eq!((&outcome["run"], &outcome["updates"]), (&"runs/tiny-2".into(), &20.into()));
    assert_eq!(outcome["evaluation"].as_array().unwrap().len(), 3);
}

#[test]
fn every_compiled_backend_trains() {
    let folder = tiny(&[("updates = 20", "updates = 2")]);
    let backends = dqn(folder.path(), &["backends"]).ends_with(DONE).stdout;
    let mut n_tried = 0;
    for line in backends.lines().filter(|line| !line.contains("not compiled in")) {
        let backend = line.split_whitespace().next().unwrap();
        let ran = dqn(folder.path(), &["train", "--config", "tiny.toml", "--backend", backend]).ends_with(DONE);
        assert!(ran.stderr.contains(&format!("backend     {backend}")), "{}", ran.stderr);
        n_tried += 1;
    }
    assert!(n_tried > 0, "{backends}");
}

#[test]
fn a_finished_run_can_be_resumed_and_tells_the_same() {
    let (folder, _) = crate::program::copied_run();
    let first = fs::read_to_string(folder.path().join("run/eval/report.txt")).unwrap();
    let resumed = dqn(folder.path(), &["train", "--resume", "run"]).ends_with(DONE);
    assert!(resumed.stderr.contains("Going on after 20 of 20 updates."), "{}", resumed.stderr);
    let without_time = |text: &str| -> Vec<String> {
        text.trim().lines().filter(|line| !line.starts_with("Wall time")).map(str::to_owned).collect()
    };
    assert_eq!(without_time(&resumed.stdout), without_time(&first));
}

#[test]
fn eval_tells_one_object_for_each_split() {
    let ran = dqn(trained(), &["eval", RUN, "--json"]).ends_with(DONE);
    assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (1, ""));
    let splits: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    let names: Vec<&str> = splits.iter().map(|split| split["split"].as_str().unwrap()).collect();
    assert_eq!(names, ["train", "validation", "test"]);
    for split in &splits {
        assert_eq!(keys(split), SPLIT_KEYS);
        assert_eq!(keys(&split["episode_return"]), ["high", "low", "mean"]);
        for key in ["policy_perplexity", "reference_perplexity", "bleu", "distinct_2"] {
            assert!(split[key].is_f64(), "{key} of {split}");
        }
        let policies: Vec<&str> =
            split["policies"].as_array().unwrap().iter().map(|row| row["policy"].as_str().unwrap()).collect();
        assert!(
            ["uniform random", "n-gram sampling", "DQN sampled"].iter().all(|name| policies.contains(name)),
            "{policies:?}"
        );
    }
    let again = dqn(trained(), &["eval", RUN, "--json", "--split", "test", "--split", "test"]).ends_with(DONE);
    let again: Vec<Value> = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0]["episode_return"], splits[2]["episode_return"]);
    let of_seed = |seed: &str| -> Value {
        let arguments = ["eval", RUN, "--json", "--split", "test", "--seed", seed];
        serde_json::from_str::<Value>(&dqn(trained(), &arguments).ends_with(DONE).stdout).unwrap()[0].clone()
    };
    let own = splits[2]["seed"].to_string();
    assert_eq!(of_seed(&own), splits[2]);
    assert_ne!(of_seed("77")["episode_return"], splits[2]["episode_return"]);
}

#[test]
fn eval_and_generate_take_any_checkpoint_that_was_kept() {
    let of = |checkpoint: &str| {
        let arguments = ["generate", RUN, "--n", "8", "--checkpoint", checkpoint];
        dqn(trained(), &arguments).ends_with(DONE).stdout
    };
    // The last checkpoint was made after 20 updates, and one was kept there.
    assert_eq!(of("20"), of("last"));
    assert_ne!(of("10"), of("last"));
    let table = dqn(trained(), &["eval", RUN, "--checkpoint", "best", "--split", "validation"]).ends_with(DONE).stdout;
    assert!(table.contains("On validation prompts") && !table.contains("On test prompts"), "{table}");
}

#[test]
fn generate_writes_one_object_for_each_text() {
    let of = |more: &[&str]| -> Vec<Value> {
        let ran = dqn(trained(), &[&["generate", RUN, "--n", "3", "--json"], more].concat()).ends_with(DONE);
        assert_eq!(ran.stderr, "");
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    for strategy in ["greedy", "boltzmann", "beam"] {
        let texts = of(&["--strategy", strategy, "--prompt", "春"]);
        assert_eq!(texts.len(), 3, "{strategy}");
        for text in &texts {
            assert_eq!(keys(text), ["episode_return", "n_tokens", "prompt", "text"]);
            assert_eq!(text["prompt"], "春");
            let written = text["text"].as_str().unwrap();
            assert!(written.starts_with('春') && written.chars().count() <= 7, "{written}");
            assert!((1..=6).contains(&text["n_tokens"].as_u64().unwrap()), "{text}");
        }
    }
    assert_eq!(of(&["--seed", "4"]), of(&["--seed", "4"]));
    assert_ne!(of(&["--seed", "4", "--temperature", "9"]), of(&["--seed", "5", "--temperature", "9"]));
    let beam = of(&["--strategy", "beam", "--beam-width", "5", "--prompt", "月"]);
    let mut different: Vec<&str> = beam.iter().map(|text| text["text"].as_str().unwrap()).collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 3);
}

#[test]
fn unknown_characters_in_a_prompt_are_named() {
    let ran = dqn(trained(), &["generate", RUN, "--prompt", "春xy"]);
    ran.must_be_refused(&["the prompt \"春xy\" holds \"x\", \"y\"", "vocabulary"]);
}

#[test]
fn episodes_are_printed_where_the_experiment_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = r#"
        name = "by-heart"
        actions = { kind = "corpus" }
        [corpus]
        source = { texts = ["你好"] }
        [environment]
        kind = "next_token"
        [network]
        embedding_width = 4
        torso = { kind = "mlp", window_tokens = 2, hidden = [4] }
        [replay]
        warmup_steps = 1
        [training]
        parallel_episodes = 2
        stop_after = { episodes = 6 }
        print_episodes = true
        [evaluation]
        n_episodes = 1
    "#;
    fs::write(folder.path().join("by-heart.toml"), config).unwrap();
    let ran = dqn(folder.path(), &["train", "--config", "by-heart.toml"]).ends_with(DONE);
    let episodes: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with("Episode ")).collect();
    assert_eq!(episodes.len(), 6);
    for (number, line) in (1..).zip(episodes) {
        let reward =
            line.strip_prefix(&format!("Episode {number}: Total Reward = ")).unwrap_or_else(|| panic!("{line}"));
        assert!(["0", "1", "2"].contains(&reward), "{line}");
    }
    // The text is not divided, so there is one table; and a text that is given has no prompt to choose.
    assert!(ran.stdout.contains("On train prompts") && !ran.stdout.contains("On test prompts"), "{}", ran.stdout);
    dqn(folder.path(), &["generate", "runs/by-heart-1", "--prompt", "你"]).must_be_refused(&["a prompt"]);
    let greedy = ["generate", "runs/by-heart-1", "--temperature", "2"];
    dqn(folder.path(), &greedy).must_be_refused(&["--temperature changes nothing"]);
    let json = dqn(folder.path(), &["train", "--config", "by-heart.toml", "--json"]).ends_with(DONE);
    assert_eq!(json.stdout.lines().count(), 1, "{}", json.stdout);
}

#[test]
fn a_resumed_run_keeps_its_own_configuration() {
    let arguments = ["train", "--resume", RUN, "--set", "learner.discount=0.5"];
    let ran = dqn(trained(), &arguments).ends_with(BAD_REQUEST);
    assert!(ran.stderr.contains("cannot be used with"), "{}", ran.stderr);
}
