//! A run that was interrupted ends where an undisturbed one ends, bit for bit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use dqn_train::config::ExperimentConfig;
use dqn_train::experiment::Experiment;
use dqn_train::run::checkpoint::Which;
use dqn_train::run::directory::RunDirectory;
use dqn_train::runner::{self, Event, Observer, RunEnd};

const CONFIG: &str = r#"
    [corpus]
    source = { builtin = "verse-zh" }
    [split]
    [tokenizer]
    kind = "char"
    max_tokens = 120
    [environment]
    kind = "generation"
    n_prompt_tokens = 1
    max_tokens = 8
    [[reward.terms]]
    kind = "reference_lm"
    [[reward.terms]]
    kind = "repetition"
    [prior]
    kind = "ngram"
    [positions]
    kind = "clauses"
    delimiters = ["，"]
    [network]
    embedding_width = 8
    torso = { kind = "gru", width = 12 }
    dropout = 0.1
    [learner]
    bootstrap = { kind = "kl", temperature = 0.1 }
    optimizer = { kind = "adam", learning_rate = { kind = "linear", start = 3e-3, end = 0.0, over = { updates = 24 } } }
    batch_windows = 8
    window_steps = 4
    context_tokens = 3
    target_update = { kind = "hard", every_updates = 5 }
    [replay]
    capacity_steps = 150
    warmup_steps = 40
    [exploration]
    kind = "boltzmann"
    temperature = { kind = "exponential", start = 0.2, end = 0.1, over = { steps = 300 } }
    [training]
    parallel_episodes = 4
    updates_per_round = 2
    stop_after = { updates = 24 }
    checkpoint_every_updates = 4
    evaluate_every_updates = 6
    [evaluation]
    n_episodes = 4
    n_episodes_while_training = 4
"#;

/// The same task with phrases for actions, few of them candidates, valued by their text.
fn by_text() -> String {
    let actions = "actions = { kind = \"phrases\", mining = { max_phrases = 20 }, candidates = { top_k = 9 } }\n";
    let config = CONFIG.replace("dropout = 0.1", "head = { kind = \"relevance\", width = 6 }");
    format!("{actions}{config}")
}

/// Asks the run to stop after some rounds.
struct StopAfter<'a> {
    rounds_left: Option<usize>,
    stop: &'a AtomicBool,
}

impl Observer for StopAfter<'_> {
    fn on(&mut self, event: Event<'_>) {
        if let (Event::Round { .. }, Some(left)) = (event, &mut self.rounds_left) {
            *left = left.saturating_sub(1);
            self.stop.store(*left == 0, Ordering::SeqCst);
        }
    }
}

fn run(experiment: &Experiment, path: &Path, device: &Device, resume: bool, rounds: Option<usize>) -> bool {
    let stop = AtomicBool::new(false);
    let directory = match resume {
        true => RunDirectory::open_for_writing(path).unwrap(),
        false => runner::create(path, experiment, "test").unwrap(),
    };
    let mut observer = StopAfter { rounds_left: rounds, stop: &stop };
    let end = runner::run(experiment, &directory, device, resume, &stop, &mut observer).unwrap();
    matches!(end, RunEnd::Finished(_))
}

/// Bits of every value of one column of the metrics that does not depend on the clock.
fn metrics(path: &Path) -> Vec<(u64, String, u64)> {
    let records = dqn_train::run::metrics::read_records(&path.join("metrics.jsonl")).unwrap();
    let timeless = |name: &String| !name.starts_with("speed/");
    records
        .iter()
        .flat_map(|record| {
            let values = record.scalars.iter().filter(|(name, _)| timeless(name));
            values.map(|(name, value)| (record.update, name.clone(), value.to_bits())).collect::<Vec<_>>()
        })
        .collect()
}

fn check(config: &str, device: &Device) {
    let experiment =
        Experiment::build(ExperimentConfig::from_toml(config, "test", &[]).unwrap(), None, device).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    assert!(run(&experiment, &whole, device, false, None));

    // Stops by request twice; then what was learned after the last checkpoint is lost, as when the process is killed.
    assert!(!run(&experiment, &broken, device, false, Some(6)));
    assert!(!run(&experiment, &broken, device, true, Some(2)));
    let checkpoints = RunDirectory::open(&broken).unwrap().checkpoints();
    let last = std::fs::read(checkpoints.path(Which::Last)).unwrap();
    assert!(!run(&experiment, &broken, device, true, Some(2)));
    std::fs::write(checkpoints.path(Which::Last), last).unwrap();
    assert!(run(&experiment, &broken, device, true, None));

    let parts = |path: &Path| RunDirectory::open(path).unwrap().checkpoints().load(Which::Last).unwrap().parts;
    let (expected, found) = (parts(&whole), parts(&broken));
    for name in ["online", "target", "replay", "state"] {
        assert!(expected[name] == found[name], "the part {name:?} differs");
    }
    assert_eq!(metrics(&broken), metrics(&whole));
    let samples = |path: &Path| std::fs::read_to_string(path.join("samples.jsonl")).unwrap();
    assert_eq!(samples(&broken), samples(&whole));
    assert!(!samples(&whole).is_empty());
}

#[test]
fn resumed_runs_end_in_the_same_bits_on_flex() {
    check(CONFIG, &Device::flex());
}

#[test]
fn resumed_runs_that_value_actions_by_text_end_in_the_same_bits() {
    check(&by_text(), &Device::flex());
}

#[test]
#[expect(deprecated, reason = "burn-ndarray is one of the backends this project promises")]
fn resumed_runs_end_in_the_same_bits_on_ndarray() {
    check(CONFIG, &Device::ndarray());
}
