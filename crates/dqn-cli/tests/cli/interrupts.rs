//! Ctrl-C, and two processes that want one run.

#![cfg(unix)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::program::{DONE, INTERRUPTED, Ran, dqn, executable, ran, tiny};

/// Starts what makes the run `run` and waits until it has learned something.
pub(crate) fn start(folder: &Path, run: &str, arguments: &[&str]) -> Child {
    let metrics = folder.join(run).join("metrics.jsonl");
    let n_bytes = || std::fs::metadata(&metrics).map_or(0, |file| file.len());
    let before = n_bytes();
    let child = spawn(folder, arguments);
    wait_until(|| n_bytes() > before + 2_000);
    child
}

fn spawn(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(executable())
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn wait_until(has_begun: impl Fn() -> bool) {
    let begin = Instant::now();
    while !has_begun() {
        assert!(begin.elapsed() < Duration::from_secs(120), "the run has not begun after two minutes");
        sleep(Duration::from_millis(20));
    }
}

pub(crate) fn interrupt(child: Child) -> Ran {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    ran(child.wait_with_output().unwrap())
}

/// The number in "after N ...".
fn count_after(text: &str, before: &str) -> u64 {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("{before:?} is missing in:\n{text}")).1;
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn an_interrupted_run_is_saved_and_goes_on() {
    // More updates than can be made before the signal comes, and no checkpoint but the one it asks for.
    let folder = tiny(&[
        ("updates = 20", "updates = 1000000"),
        ("checkpoint_every_updates = 5", "checkpoint_every_updates = 0"),
        ("evaluate_every_updates = 10", "evaluate_every_updates = 0"),
        ("keep_every_updates = 10", "keep_every_updates = 0"),
    ]);
    let first = start(folder.path(), "run", &["train", "--config", "tiny.toml", "--run-dir", "run"]);

    // While one process learns, another may look on, but neither begin nor go on there.
    let resume = dqn(folder.path(), &["train", "--resume", "run"]);
    resume.must_be_refused(&["the run directory run is in use by process", &first.id().to_string()]);
    dqn(folder.path(), &["train", "--config", "tiny.toml", "--run-dir", "run"])
        .must_be_refused(&["the run directory run"]);

    let first = interrupt(first).ends_with(INTERRUPTED);
    assert!(first.stderr.contains("Go on with: dqn-cli train --resume run"), "{}", first.stderr);
    let reached = count_after(&first.stderr, "Stopped and saved after ");
    dqn(folder.path(), &["generate", "run"]).ends_with(DONE);

    let second = interrupt(start(folder.path(), "run", &["train", "--resume", "run", "--json"])).ends_with(INTERRUPTED);
    assert_eq!(count_after(&second.stderr, "Going on after "), reached);
    let outcome: serde_json::Value = serde_json::from_str(&second.stdout).unwrap();
    assert_eq!((&outcome["finished"], &outcome["run"]), (&false.into(), &"run".into()));
    assert!(outcome["updates"].as_u64().unwrap() > reached);
}

#[test]
fn several_seeds_stop_together_and_go_on() {
    let folder = tiny(&[
        ("updates = 20", "updates = 1000000"),
        ("evaluate_every_updates = 10", "evaluate_every_updates = 0"),
        ("keep_every_updates = 10", "keep_every_updates = 0"),
    ]);
    let arguments = ["train", "--config", "tiny.toml", "--seeds", "1,2", "--parallel", "2", "--run-dir", "group"];
    // The files of metrics grow while a run learns.
    let n_bytes = |seed: u64| {
        let metrics = folder.path().join(format!("group/seed-{seed}/metrics.jsonl"));
        std::fs::metadata(metrics).map_or(0, |file| file.len())
    };
    let stopped = || {
        let before = [1, 2].map(n_bytes);
        let child = spawn(folder.path(), &arguments);
        wait_until(|| [1, 2].map(n_bytes).iter().zip(before).all(|(now, before)| *now > before + 2_000));
        interrupt(child).ends_with(INTERRUPTED)
    };
    let first = stopped();
    assert!(first.stderr.contains("the same command goes on where this one stopped"), "{}", first.stderr);
    assert_eq!(first.stdout, "");
    let second = stopped();
    for seed in [1, 2] {
        assert!(count_after(&second.stderr, &format!("seed {seed}: Going on after ")) > 0, "{}", second.stderr);
    }
}
