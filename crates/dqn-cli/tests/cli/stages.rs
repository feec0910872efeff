//! Experiment files with stages: one run after another, stopped, killed and gone on with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dqn_train::run::checkpoint::Which;
use dqn_train::run::directory::RunDirectory;
use serde_json::Value;
use tempfile::TempDir;

#[cfg(unix)]
use crate::interrupts::{interrupt, start, wait_until};
#[cfg(unix)]
use crate::program::INTERRUPTED;
use crate::program::{DONE, dqn, tiny};

/// The stages of the tiny experiment: maximum likelihood, then KL control towards what it learned.
const STAGES: &str = r#"
[[stages]]
name = "mle"
[stages.settings]
learner = { objective = { kind = "imitation" }, bootstrap = { kind = "max" } }
exploration.temperature = { kind = "constant", value = 1.0 }
exploration.from_prior = false
training.source = { kind = "text" }

[[stages]]
name = "dqn"
[stages.settings]
prior = { kind = "network", run = "stage:mle" }
training.initial = { run = "stage:mle" }
"#;

/// A folder with `recipe.toml`: the tiny experiment in these stages, after `changes` to it.
fn recipe(stages: &str, changes: &[(&str, &str)]) -> TempDir {
    let folder = tiny(changes);
    let shared = fs::read_to_string(folder.path().join("tiny.toml")).unwrap();
    fs::write(folder.path().join("recipe.toml"), shared + stages).unwrap();
    folder
}

/// The line of `recipe.toml` in which `text` stands first, counted from 1.
fn line_of(folder: &TempDir, text: &str) -> String {
    let recipe = fs::read_to_string(folder.path().join("recipe.toml")).unwrap();
    let index = recipe.lines().position(|line| line.contains(text)).unwrap();
    format!("line {}: ", index + 1)
}

/// Checks that the recipe is refused, by `config check` and by `train`, and that nothing is made.
#[track_caller]
fn refused(stages: &str, parts: &[&str]) {
    let folder = recipe(stages, &[]);
    dqn(folder.path(), &["config", "check", "--config", "recipe.toml"]).must_be_refused(parts);
    refused_by_train(&folder, parts);
}

#[track_caller]
fn refused_by_train(folder: &TempDir, parts: &[&str]) {
    dqn(folder.path(), &["train", "--config", "recipe.toml", "--run-dir", "run"]).must_be_refused(parts);
    assert!(!folder.path().join("run").exists(), "a folder was made");
}

#[test]
fn faulty_stages_are_refused_before_anything_is_made() {
    refused(&STAGES.replace("\"dqn\"", "\"mle\""), &["stages[1].name: found \"mle\", as in stages[0]"]);
    refused(
        &STAGES.replace("run = \"stage:mle\"", "run = \"stage:dqn\""),
        &["stages.dqn.prior.run: found \"stage:dqn\"; that is this stage itself", "\"stage:mle\""],
    );
    refused(
        &STAGES.replace("training.source", "training.initial = { run = \"stage:dqn\" }\ntraining.source"),
        &["stages.mle.training.initial.run", "that stage comes later", "no stage comes before"],
    );
    let folder = recipe("", &[("name = \"tiny\"", "name = \"tiny\"\nstages = []")]);
    refused_by_train(&folder, &["recipe.toml has 1 problem", "stages: found an array of 0 items", "at least 1"]);

    let folder = recipe(&STAGES.replace("training.initial", "training.inital"), &[]);
    let line = line_of(&folder, "training.inital");
    refused_by_train(&folder, &[&format!("{line}stages.dqn.training.inital: found an unknown key"), "`initial`"]);
    let folder = recipe(STAGES, &[("max_tokens = 6", "max_tokens = \"six\"")]);
    let line = line_of(&folder, "max_tokens = \"six\"");
    refused_by_train(&folder, &["has 1 problem", &format!("{line}environment.max_tokens: found the string \"six\"")]);
}

#[test]
fn stages_that_do_not_fit_each_other_are_refused_before_the_first_begins() {
    let other = |settings: &str| recipe(&format!("{STAGES}{settings}\n"), &[]);
    refused_by_train(&other("network.embedding_width = 9"), &["stage dqn", "the run stage:mle"]);
    refused_by_train(
        &other("tokenizer = { kind = \"char\", max_tokens = 8 }"),
        &["stage dqn", "the run stage:mle has", "tokenizer and actions"],
    );
    refused_by_train(&other("corpus.source = { path = \"none.txt\" }"), &["stage dqn", "none.txt"]);
}

#[test]
fn commands_that_need_one_run_say_so() {
    let folder = recipe(STAGES, &[]);
    let sweep = r#"
experiment = "recipe.toml"
seeds = [1]
metric = "return"
goal = "maximize"
search = { kind = "grid" }
[space]
"learner.discount" = { values = [0.5] }
"#;
    fs::write(folder.path().join("sweep.toml"), sweep).unwrap();
    dqn(folder.path(), &["sweep", "--config", "sweep.toml"]).must_be_refused(&["recipe.toml has stages", "one run"]);
    dqn(folder.path(), &["train", "--config", "tiny.toml", "--set", "training.initial={run=\"stage:mle\"}"])
        .must_be_refused(&["training.initial.run: found \"stage:mle\"", "[[stages]]"]);
    dqn(folder.path(), &["train", "--config", "recipe.toml", "--set", "stages.ppo.seed=1"])
        .must_be_refused(&["there is no stage \"ppo\"", "mle, dqn"]);
}

#[test]
fn shown_stages_are_a_file_of_the_same_stages() {
    let folder = recipe(STAGES, &[]);
    let arguments = ["config", "show", "--config", "recipe.toml", "--set", "stages.dqn.learner.discount=0.5"];
    let shown = dqn(folder.path(), &arguments).ends_with(DONE).stdout;
    assert_eq!(shown.matches("discount = 0.5\n").count(), 1, "{shown}");
    assert_eq!(shown.matches(folder.path().join("poems.txt").to_str().unwrap()).count(), 2, "{shown}");
    assert!(shown.contains("run = \"stage:mle\""), "{shown}");
    fs::create_dir(folder.path().join("elsewhere")).unwrap();
    fs::write(folder.path().join("elsewhere/shown.toml"), &shown).unwrap();
    let again = dqn(&folder.path().join("elsewhere"), &["config", "show", "--config", "shown.toml"]).ends_with(DONE);
    assert_eq!(again.stdout, shown);
    let checked = dqn(folder.path(), &["config", "check", "--config", "recipe.toml"]).ends_with(DONE);
    assert_eq!(checked.stdout, "recipe.toml: no fault found in the stages mle, dqn\n");
}

#[test]
fn the_folder_of_the_stages_stands_for_the_last_that_has_begun() {
    let folder = recipe(STAGES, &[]);
    let here = folder.path();
    let arguments = ["train", "--config", "recipe.toml", "--run-dir", "run", "--seed", "3", "--json"];
    let trained = dqn(here, &arguments).ends_with(DONE);
    let outcome: Value = serde_json::from_str(&trained.stdout).unwrap();
    assert_eq!((&outcome["run"], &outcome["finished"]), (&"run".into(), &true.into()));
    let places =
        ["mle", "dqn"].map(|name| outcome["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == name));
    for (stage, run) in places.iter().zip(["run/1-mle", "run/2-dqn"]) {
        let stage = stage.unwrap();
        assert_eq!((&stage["run"], &stage["updates"]), (&run.into(), &20.into()));
        assert_eq!(stage["evaluation"].as_array().unwrap().len(), 3);
        let config = fs::read_to_string(here.join(run).join("config.toml")).unwrap();
        assert!(config.contains("seed = 3\n"), "{config}");
    }
    // The second stage went by the best checkpoint of the first.
    let origin: Value = serde_json::from_str(&fs::read_to_string(here.join("run/2-dqn/origin.json")).unwrap()).unwrap();
    let best = parts(&here.join("run/1-mle"), Which::Best);
    let expected = blake3::hash(&best["online"]).to_hex().to_string();
    assert_eq!(origin["others"], serde_json::json!([expected, expected]));

    let of_last = |arguments: &[&str]| {
        let named = dqn(here, arguments).ends_with(DONE);
        let last: Vec<&str> = arguments.iter().map(|&word| if word == "run" { "run/2-dqn" } else { word }).collect();
        assert_eq!(named.stdout, dqn(here, &last).ends_with(DONE).stdout, "{arguments:?}");
        assert!(
            named.stderr.contains("run holds stages; this is the last that has begun, run/2-dqn"),
            "{}",
            named.stderr
        );
    };
    of_last(&["generate", "run", "--n", "2"]);
    of_last(&["eval", "run", "--split", "test"]);
    of_last(&["compare", "run", "run/1-mle"]);
    of_last(&["report", "run"]);
    dqn(here, &["watch", "run", "--once"]).ends_with(DONE);

    // What is finished is not made again, and nothing else is made in its place.
    let again = dqn(here, &["train", "--resume", "run", "--json"]).ends_with(DONE);
    assert_eq!(serde_json::from_str::<Value>(&again.stdout).unwrap(), outcome);
    assert!(again.stderr.contains("mle: was there") && again.stderr.contains("dqn: was there"), "{}", again.stderr);
    dqn(here, &arguments).must_be_refused(&["the run directory run is not empty"]);

    // A plain experiment that names the folder is told what to name.
    dqn(here, &["train", "--config", "tiny.toml", "--set", "training.initial={run=\"run\"}"])
        .must_be_refused(&["it holds stages; name the run of one of them"]);
    // Killed between its making and the first run, the folder has no run yet.
    for stage in ["1-mle", "2-dqn"] {
        fs::remove_dir_all(here.join("run").join(stage)).unwrap();
    }
    dqn(here, &["generate", "run"]).must_be_refused(&["none of them has begun", "train --resume run"]);
}

#[test]
fn seeds_have_their_stages_and_a_table_over_the_last() {
    let folder = recipe(STAGES, &[]);
    let here = folder.path();
    let arguments = ["train", "--config", "recipe.toml", "--seeds", "1,2", "--run-dir", "group"];
    let first = dqn(here, &arguments).ends_with(DONE);
    assert!(first.stdout.contains(" of tiny-dqn, the last stage (dqn), seeds 1, 2;"), "{}", first.stdout);
    for run in ["seed-1/1-mle", "seed-1/2-dqn", "seed-2/1-mle", "seed-2/2-dqn"] {
        assert!(here.join("group").join(run).join("eval/report.json").is_file(), "{run} is not finished");
    }
    let again = dqn(here, &arguments).ends_with(DONE);
    assert_eq!(again.stdout, first.stdout);
    assert!(again.stderr.contains("seed 2, dqn: was there"), "{}", again.stderr);
    let mut other = arguments.to_vec();
    other.extend(["--quiet", "--set", "stages.dqn.learner.discount=0.5"]);
    dqn(here, &other)
        .must_be_refused(&["holds stages of other settings", "stages.dqn.learner.discount was 1.0 and is now 0.5"]);
}

/// The parts of a checkpoint that two undisturbed runs have in common: not the seconds that the runner counts, nor the state
/// of the optimizer, which stands under names that are drawn anew for every process.
fn parts(run: &Path, which: Which) -> BTreeMap<String, Vec<u8>> {
    let mut checkpoint = RunDirectory::open(run).unwrap().checkpoints().load(which).unwrap();
    for name in ["runner", "optimizer"] {
        checkpoint.parts.remove(name).unwrap();
    }
    checkpoint.parts
}

#[cfg(unix)]
#[test]
fn stages_that_were_killed_and_stopped_end_in_the_same_bits() {
    let folder =
        recipe(STAGES, &[("updates = 20", "updates = 400"), ("keep_every_updates = 10", "keep_every_updates = 0")]);
    let here = folder.path();
    let train = |run: &str| dqn(here, &["train", "--config", "recipe.toml", "--run-dir", run]).ends_with(DONE);
    train("whole");
    let is_finished = |run: &str| here.join(run).join("eval/report.json").is_file();

    // The first stage is killed on its way, ...
    let begin = ["train", "--config", "recipe.toml", "--run-dir", "run"];
    let mut child = start(here, "run/1-mle", &begin);
    wait_until(|| here.join("run/1-mle/checkpoints/last.ckpt").is_file());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!is_finished("run/1-mle") && !here.join("run/2-dqn").exists());
    dqn(here, &["eval", "run", "--split", "test"]).ends_with(DONE);
    // ... goes on and is stopped, ...
    let stopped = interrupt(start(here, "run/1-mle", &["train", "--resume", "run"])).ends_with(INTERRUPTED);
    assert!(stopped.stderr.contains("mle: Going on after "), "{}", stopped.stderr);
    assert!(
        stopped.stderr.contains(" updates of stage mle. Go on with: dqn-cli train --resume run"),
        "{}",
        stopped.stderr
    );
    assert!(!is_finished("run/1-mle"));
    // ... and so is the second.
    let stopped = interrupt(start(here, "run/2-dqn", &["train", "--resume", "run", "--json"])).ends_with(INTERRUPTED);
    assert!(
        stopped.stderr.contains(" updates of stage dqn. Go on with: dqn-cli train --resume run"),
        "{}",
        stopped.stderr
    );
    let outcome: Value = serde_json::from_str(&stopped.stdout).unwrap();
    assert_eq!((&outcome["finished"], &outcome["stages"][0]["finished"]), (&false.into(), &true.into()));
    let updates = outcome["stages"][1]["updates"].as_u64().unwrap();
    assert!((1..400).contains(&updates), "{updates}");
    assert!(is_finished("run/1-mle") && !is_finished("run/2-dqn"));
    dqn(here, &["train", "--resume", "run"]).ends_with(DONE);

    for stage in ["1-mle", "2-dqn"] {
        for which in [Which::Last, Which::Best] {
            let [whole, run] = ["whole", "run"].map(|run| parts(&here.join(run).join(stage), which));
            assert!(whole.keys().eq(run.keys()) && whole.len() >= 3, "{:?} and {:?}", whole.keys(), run.keys());
            for (name, bytes) in &whole {
                assert!(*bytes == run[name], "{name} of {which:?} of {stage} differs");
            }
        }
    }
}
