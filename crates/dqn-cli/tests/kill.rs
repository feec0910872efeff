//! A run that is killed at random moments and resumed ends with the same parameters, bit for bit, as one that was not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dqn_mdp::Seed;
use dqn_train::run::checkpoint::{Checkpoint, Which};
use dqn_train::run::directory::RunDirectory;
use rand::RngExt;

const CONFIG: &str = r#"
name = "killed"
[corpus]
source = { builtin = "verse-zh" }
[split]
[tokenizer]
kind = "char"
max_tokens = 300
[environment]
kind = "generation"
max_tokens = 12
[[reward.terms]]
kind = "reference_lm"
[prior]
kind = "ngram"
[network]
embedding_width = 16
torso = { kind = "gru", width = 24 }
dropout = 0.1
[learner]
bootstrap = { kind = "kl", temperature = 0.1 }
batch_windows = 16
window_steps = 8
[replay]
capacity_steps = 1500
warmup_steps = 100
[exploration]
kind = "boltzmann"
temperature = { kind = "constant", value = 0.1 }
[training]
parallel_episodes = 16
stop_after = { updates = 120 }
checkpoint_every_updates = 1
evaluate_every_updates = 30
[evaluation]
n_episodes = 16
n_episodes_while_training = 16
"#;

/// How often each run is killed; the variable asks for more than a quick check needs.
fn n_kills() -> usize {
    std::env::var("DQN_KILLS").ok().and_then(|value| value.parse().ok()).unwrap_or(4)
}

fn start(config: &Path, run: &Path, backend: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dqn-cli"));
    command.args(["train", "--quiet", "--backend", backend]);
    match run.join("origin.json").exists() {
        true => command.arg("--resume").arg(run),
        false => command.arg("--config").arg(config).arg("--run-dir").arg(run),
    };
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn finish(child: Child) -> Duration {
    let begin = Instant::now();
    let output = child.wait_with_output().expect("the program ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    begin.elapsed()
}

fn last(run: &Path) -> Checkpoint {
    RunDirectory::open(run).unwrap().checkpoints().load(Which::Last).unwrap()
}

fn check(backend: &str) {
    let folder = tempfile::tempdir().unwrap();
    let config: PathBuf = folder.path().join("killed.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let whole = folder.path().join("whole");
    let duration = finish(start(&config, &whole, backend));

    let killed = folder.path().join("killed");
    let mut rng = Seed(17).stream(backend);
    let mut moments = Vec::new();
    for _ in 0..n_kills() {
        let mut child = start(&config, &killed, backend);
        let moment = duration.mul_f64(rng.random_range(0.02..0.6));
        std::thread::sleep(moment);
        child.kill().expect("the program can be killed");
        child.wait().expect("a killed program ends");
        moments.push(moment);
        // Killed while the directory was being made, there is nothing to go on from, and nothing to lose.
        if !killed.join("origin.json").exists() && killed.exists() {
            std::fs::remove_dir_all(&killed).unwrap();
        }
    }
    finish(start(&config, &killed, backend));
    let (expected, found) = (last(&whole), last(&killed));
    for part in ["online", "target", "replay", "state"] {
        assert!(expected.parts[part] == found.parts[part], "{part} differs after kills at {moments:?} of {duration:?}");
    }
}

#[test]
fn killed_runs_end_in_the_same_bits_on_flex() {
    check("flex");
}

#[test]
fn killed_runs_end_in_the_same_bits_on_ndarray() {
    check("ndarray");
}
