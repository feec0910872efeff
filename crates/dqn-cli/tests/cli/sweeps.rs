//! Several seeds of one experiment, and searches for settings.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{BAD_REQUEST, DONE, FAILED, dqn, executable, tiny};

/// A random symbol, written once more.
const COPY: &str = r#"
name = "copy"
environment = { kind = "copy", length = 1, n_symbols = 3 }

[network]
embedding_width = 8
torso = { kind = "gru", width = 8 }

[learner]
batch_windows = 4
window_steps = 2

[replay]
warmup_steps = 4

[training]
parallel_episodes = 4
stop_after = { updates = 24 }
checkpoint_every_updates = 2

[evaluation]
n_episodes = 6
n_episodes_while_training = 6
"#;

const SWEEP: &str = r#"
experiment = "copy.toml"
set = ["learner.discount=0.9"]
seeds = [1, 2]
metric = "return"
goal = "maximize"
search = { kind = "successive_halving", n_trials = 5, factor = 2, first_updates = 5, seed = 3 }

[space]
"learner.n_step" = { values = [1, 2] }
"network.dropout" = { uniform = [0.0, 0.5] }
"network.torso.width" = { int_uniform = [4, 12] }
"#;

/// A folder with the experiment and a sweep over it, in which `changes` were made to the sweep.
fn swept(changes: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("copy.toml"), COPY).unwrap();
    write_sweep(folder.path(), changes);
    folder
}

fn write_sweep(folder: &Path, changes: &[(&str, &str)]) {
    let mut sweep = SWEEP.to_owned();
    for (old, new) in changes {
        assert!(sweep.contains(old), "{old:?} is not in the sweep");
        sweep = sweep.replace(old, new);
    }
    fs::write(folder.join("find.toml"), sweep).unwrap();
}

const FIND: [&str; 5] = ["sweep", "--config", "find.toml", "--parallel", "2"];

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join("runs/sweep/find").join(name)).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The seeds in the lines of progress that name one.
fn told(stderr: &str, seed: u64) -> usize {
    stderr.lines().filter(|line| line.starts_with(&format!("seed {seed}: "))).count()
}

#[test]
fn several_seeds_are_one_table_and_each_the_run_it_is_alone() {
    let folder = tiny(&[]);
    let arguments = ["train", "--config", "tiny.toml", "--seeds", "1..3", "--parallel", "2"];
    let first = dqn(folder.path(), &arguments).ends_with(DONE);
    for part in
        ["DQN sampled of tiny, seeds 1, 2, 3", "| validation | return | ", "| test  ", "(seed ", "| interquartile mean"]
    {
        let part = part.trim_end();
        assert!(first.stdout.contains(part), "{part:?} is missing in:\n{}", first.stdout);
    }
    assert!((1..=3).all(|seed| told(&first.stderr, seed) >= 3), "{}", first.stderr);
    let group = folder.path().join("runs/tiny-seeds");
    assert_eq!(fs::read_to_string(group.join("seeds.md")).unwrap().trim_end(), first.stdout.trim_end());

    // Beside other runs, a run learns what it learns alone.
    dqn(folder.path(), &["train", "--config", "tiny.toml", "--seed", "2", "--run-dir", "alone"]).ends_with(DONE);
    let report = |run: &Path| json(&fs::read_to_string(run.join("eval/report.json")).unwrap())["report"].take();
    assert_eq!(report(&group.join("seed-2")), report(&folder.path().join("alone")));

    // What is finished stays, what is not goes on, and the table is the same.
    fs::remove_file(group.join("seed-3/eval/report.json")).unwrap();
    let again = dqn(folder.path(), &arguments).ends_with(DONE);
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(again.stderr.matches("was there").count(), 2, "{}", again.stderr);
    assert!(again.stderr.contains("seed 3: Going on after 20 of 20 updates."), "{}", again.stderr);

    let outcome = dqn(folder.path(), &[&arguments[..], &["--json", "--quiet"]].concat()).ends_with(DONE);
    let outcome = json(&outcome.stdout);
    assert_eq!((&outcome["finished"], outcome["runs"].as_array().unwrap().len()), (&true.into(), 3));
    let row = &outcome["table"]["rows"][0];
    assert_eq!((&row["split"], &row["metric"]), (&"train".into(), &"return".into()));
    assert_eq!(row["by_seed"].as_array().unwrap().len(), 3);

    let other = [&arguments[..], &["--set", "learner.batch_windows=5"]].concat();
    let refused = dqn(folder.path(), &other).ends_with(BAD_REQUEST);
    // Which of the runs beside each other is refused first is a matter of chance.
    assert!(refused.stderr.contains(" holds a run of other settings"), "{}", refused.stderr);
    assert!(refused.stderr.contains("learner.batch_windows was 4 and is now 5"), "{}", refused.stderr);
}

#[test]
fn seeds_are_given_in_one_way() {
    let folder = tiny(&[]);
    for (seeds, more, part) in [
        ("5..1", None, "holds no seed"),
        ("1..=3", None, "five seeds from 1 to 5"),
        ("1,1", None, "the seed 1 stands there twice"),
        ("1..2", Some(["--seed", "3"]), "cannot be used with"),
        ("1..2", Some(["--resume", "runs/tiny-1"]), "cannot be used with"),
    ] {
        let arguments = ["train", "--config", "tiny.toml", "--seeds", seeds];
        let refused = dqn(folder.path(), &[&arguments[..], more.as_ref().map_or(&[], |more| &more[..])].concat());
        let refused = refused.ends_with(BAD_REQUEST);
        assert!(refused.stderr.contains(part), "{part:?} is missing in:\n{}", refused.stderr);
    }
    let refused = dqn(folder.path(), &["train", "--config", "tiny.toml", "--parallel", "2"]).ends_with(BAD_REQUEST);
    assert!(refused.stderr.contains("--seeds"), "{}", refused.stderr);
}

#[test]
fn a_sweep_halves_ranks_and_names_the_best() {
    let folder = swept(&[]);
    let first = dqn(folder.path(), &FIND).ends_with(DONE);
    for part in [
        "# Sweep find",
        "`return` on validation prompts, the higher the better; seeds 1, 2.",
        "Trials: 5 to 5 updates, 2 to 10 updates, 1 to the end.",
        "| learner.n_step | network.dropout | network.torso.width |",
    ] {
        assert!(first.stdout.contains(part), "{part:?} is missing in:\n{}", first.stdout);
    }
    let table = json(&read(folder.path(), "find.json"));
    let updates: Vec<u64> =
        table["trials"].as_array().unwrap().iter().map(|trial| trial["updates"].as_u64().unwrap()).collect();
    assert_eq!(updates, [24, 10, 5, 5, 5]);
    // The last line makes the best trial once more, to be measured on test prompts.
    let last = first.stdout.trim_end().lines().last().unwrap();
    let set: Vec<&str> = last.split_whitespace().filter(|word| word.contains('=')).collect();
    assert!(
        last.starts_with(&format!("Best, trial {}: --set learner.n_step=", table["trials"][0]["number"])),
        "{last}"
    );
    assert_eq!(table["best_set"], Value::from(set.clone()));
    let mut arguments = vec!["config", "show", "--config", "copy.toml"];
    set.iter().for_each(|assignment| arguments.extend(["--set", assignment]));
    dqn(folder.path(), &arguments).ends_with(DONE);
    assert!(read(folder.path(), "find.svg").contains("network.torso.width</text>"));
    // No part of the text but validation is looked at.
    let milestone = json(&read(folder.path(), "trial-001/seed-1/eval/validation-5.json"));
    assert_eq!(milestone["evaluation"]["split"], "validation");
    assert!(!folder.path().join("runs/sweep/find/trial-001/seed-1/eval/report.json").exists());

    let again = dqn(folder.path(), &FIND).ends_with(DONE);
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(again.stderr.matches("was there").count(), 2 * (5 + 2 + 1), "{}", again.stderr);
    for (change, part) in [
        (("[1, 2] }", "[1, 2, 3] }"), "space.\"learner.n_step\".values was [1, 2] and is now [1, 2, 3]"),
        (("n_trials = 5", "n_trials = 6"), "search.n_trials was 5 and is now 6"),
        (("discount=0.9", "discount=0.8"), "experiment.learner.discount was 0.9 and is now 0.8"),
    ] {
        write_sweep(folder.path(), &[change]);
        dqn(folder.path(), &FIND).must_be_refused(&["find.toml", part, "--run-dir"]);
    }
}

#[test]
fn a_killed_sweep_goes_on_to_the_same_table() {
    let whole = swept(&[]);
    dqn(whole.path(), &FIND).ends_with(DONE);
    let broken = swept(&[]);
    // However far each process comes, what the next finds leads to the same.
    for stage in ["trial-001/seed-1/checkpoints/last.ckpt", "trial-003/seed-1/eval/validation-5.json"] {
        let mut child = Command::new(executable())
            .args(FIND)
            .current_dir(broken.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        while !broken.path().join("runs/sweep/find").join(stage).exists() {
            assert!(begin.elapsed() < Duration::from_secs(120), "{stage} is not there after two minutes");
            sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // As if killed while the folder of a run was made.
    let unbegun = broken.path().join("runs/sweep/find/trial-005/seed-2");
    let _ = fs::remove_dir_all(&unbegun);
    fs::create_dir_all(unbegun.join("checkpoints")).unwrap();
    let ended = dqn(broken.path(), &FIND).ends_with(DONE);
    assert!(ended.stderr.contains("trial 1, seed 1, was there after 5 updates"), "{}", ended.stderr);
    assert_eq!(read(broken.path(), "find.json"), read(whole.path(), "find.json"));
    assert_eq!(read(broken.path(), "find.md"), read(whole.path(), "find.md"));
}

#[test]
fn the_example_finds_settings() {
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/sweeps/example.toml");
    let ran = dqn(folder.path(), &["sweep", "--config", example.to_str().unwrap(), "--json"]).ends_with(DONE);
    let table = json(&ran.stdout);
    assert_eq!((table["trials"].as_array().unwrap().len(), table["best_set"].as_array().unwrap().len()), (9, 3));
}

const GRID: (&str, &str) =
    ("{ kind = \"successive_halving\", n_trials = 5, factor = 2, first_updates = 5, seed = 3 }", "{ kind = \"grid\" }");

#[test]
fn a_trial_that_fails_is_told_and_the_others_go_on() {
    // A Transformer of width 6 with two heads does not exist.
    let space = "\"network.torso\" = { values = [{ kind = \"transformer\", width = 6, n_heads = 2 }, { kind = \"gru\", width = 4 }] }\n#";
    let changes = [
        GRID,
        ("\"network.dropout\" = { uniform = [0.0, 0.5] }\n", ""),
        ("\"learner.n_step\" = { values = [1, 2] }\n", ""),
        ("\"network.torso.width\"", space),
    ];
    let folder = swept(&changes);
    let first = dqn(folder.path(), &FIND).ends_with(DONE);
    for part in
        ["| 1 | failed |", "- trial 1 failed:", "network.torso.width: found 6", "Best, trial 2: --set 'network.torso="]
    {
        assert!(first.stdout.contains(part), "{part:?} is missing in:\n{}", first.stdout);
    }
    let again = dqn(folder.path(), &FIND).ends_with(DONE);
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(again.stderr.matches("failed before").count(), 2, "{}", again.stderr);
    // What fails while learning fails the trial, too; where all do, so does the sweep.
    let diverges = "learner.optimizer={kind=\\\"sgd\\\", learning_rate={kind=\\\"constant\\\", value=10.0}}\", \
                    \"learner.loss={kind=\\\"mse\\\"}";
    let folder = swept(&[
        (
            "{ kind = \"successive_halving\", n_trials = 5, factor = 2, first_updates = 5,",
            "{ kind = \"random\", n_trials = 3,",
        ),
        ("learner.discount=0.9", diverges),
        ("\"learner.n_step\"", "\"learner.reward_scale\""),
        ("{ values = [1, 2] }", "{ values = [1e5, 1e6] }"),
    ]);
    let failed = dqn(folder.path(), &FIND).ends_with(FAILED);
    assert!(failed.stderr.contains("error: every trial failed"), "{}", failed.stderr);
    assert_eq!(failed.stdout.matches("failed:").count(), 3, "{}", failed.stdout);
}

#[test]
fn faults_of_a_sweep_are_told_before_anything_runs() {
    type Row = (&'static [(&'static str, &'static str)], &'static [&'static str]);
    let table: [Row; 13] = [
        (&[("goal", "gaol")], &["find.toml", "gaol: found an unknown key", "`goal`"]),
        (&[("copy.toml", "copie.toml")], &["cannot read copie.toml"]),
        (
            &[("learner.n_step", "learner.n_stepp")],
            &["find.toml: space.\"learner.n_stepp\"", "an unknown key", "`n_step`"],
        ),
        (
            &[("[1, 2] }", "[1, \"two\"] }")],
            &["space.\"learner.n_step\": learner.n_step=\"two\" does not fit", "integer"],
        ),
        (&[("[0.0, 0.5]", "[0.0, 1.5]")], &["space.\"network.dropout\": network.dropout=1.5"]),
        (&[("network.torso.width", "environment.kind.width")], &["space.\"environment.kind.width\"", "not a table"]),
        (&[("[1, 2] }", "[] }")], &["find.toml", "space.\"learner.n_step\".values", "at least 1 item"]),
        (&[GRID], &["find.toml", "space.\"network.dropout\": found a continuous range"]),
        (&[("factor = 2", "factor = 1")], &["find.toml", "search.factor: found the integer 1"]),
        (
            &[("first_updates = 5", "first_updates = 24")],
            &["find.toml: search.first_updates: found 24", "less than the 24"],
        ),
        (&[("learner.discount=0.9", "training.stop_after={steps=50}")], &["find.toml: search.kind", "counts updates"]),
        (&[("\"return\"", "\"bleu\"")], &["find.toml: metric: found \"bleu\"", "allowed: \"return\""]),
        (&[("learner.discount=0.9", "learner.discount=1.9")], &["learner.discount: found the number 1.9"]),
    ];
    for (changes, parts) in table {
        let folder = swept(changes);
        dqn(folder.path(), &FIND).must_be_refused(parts);
        assert!(!folder.path().join("runs").exists(), "something was made in spite of {changes:?}");
    }
    let empty = SWEEP.split_once("\"learner.n_step\"").unwrap().0;
    let folder = swept(&[]);
    fs::write(folder.path().join("find.toml"), empty).unwrap();
    dqn(folder.path(), &FIND).must_be_refused(&["find.toml", "space: found an empty table"]);
}
