//! Games, logs, responses and leaderboards.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{BAD_REQUEST, DONE, dqn};

/// A maze so small that ten updates are a run.
const MAZE: &str = r#"
name = "maze"
environment = { kind = "maze", map = { name = "umaze" }, starts = "all", max_steps = 8 }
tokenizer = { kind = "line" }

[network]
embedding_width = 8
torso = { kind = "mlp", window_tokens = 1, hidden = [16] }

[learner]
objective = { kind = "ilql" }
imitation = 0.5
batch_windows = 8
window_steps = 2

[training]
source = { kind = "log", path = "maze.jsonl" }
stop_after = { updates = 10 }
evaluate_every_updates = 5

[evaluation]
n_episodes = 4
n_episodes_while_training = 4
"#;

const RESPONSES: &str = r#"
name = "responses"
environment = { kind = "responses", path = "mine.jsonl" }
split = { train = 0.6, judge = 0.0, validation = 0.2, test = 0.2 }

[network]
embedding_width = 8
torso = { kind = "gru", width = 8 }

[learner]
imitation = 0.5
batch_windows = 8
window_steps = 4

[training]
source = { kind = "text" }
stop_after = { updates = 10 }
"#;

/// A folder with the maze, and a log of it made by the program.
fn maze() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("play.toml"),
        MAZE.replace(r#"{ kind = "log", path = "maze.jsonl" }"#, r#"{ kind = "play" }"#),
    )
    .unwrap();
    fs::write(folder.path().join("maze.toml"), MAZE).unwrap();
    let made = [
        "data",
        "generate",
        "--config",
        "play.toml",
        "--player",
        "mixture:0.5",
        "--episodes",
        "12",
        "--output",
        "maze.jsonl",
    ];
    let made = dqn(folder.path(), &made).ends_with(DONE);
    assert!(made.stdout.starts_with("maze.jsonl: 12 episodes, mean return -"), "{}", made.stdout);
    folder
}

#[test]
fn a_log_is_made_checked_described_and_learned_from() {
    let folder = maze();
    let checked = dqn(folder.path(), &["data", "check", "maze.jsonl", "--config", "maze.toml"]).ends_with(DONE);
    assert_eq!(checked.stdout.trim(), "maze.jsonl: 12 episodes, all of the task");
    let stats = dqn(folder.path(), &["data", "stats", "maze.jsonl", "--json"]).ends_with(DONE);
    let stats: Value = serde_json::from_str(&stats.stdout).unwrap();
    assert_eq!(stats["n_episodes"], 12);
    assert!(stats["returns"]["mean"].as_f64().unwrap() < 0.0);
    let stats = dqn(folder.path(), &["data", "stats", "maze.jsonl"]).ends_with(DONE);
    assert!(stats.stdout.contains("12 episodes") && stats.stdout.contains("actions an episode"), "{}", stats.stdout);

    let ran = dqn(folder.path(), &["train", "--config", "maze.toml"]).ends_with(DONE);
    for part in [
        "| random player ",
        "| skilled player ",
        "| behavior data ",
        "| ILQL, beta 16 ",
        "| policy of the data ",
        "rank accuracy",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is missing in:\n{}", ran.stdout);
    }
    let sweep = ["eval", "runs/maze-1", "--sweep", "beta=0,2.5", "--best-of", "1,4", "--accept=-3"];
    let swept = dqn(folder.path(), &sweep).ends_with(DONE);
    for part in ["| decoded, beta 0 ", "| decoded, beta 2.5 ", "| best of 1 ", "| best of 4 ", "| redrawn below -3, "] {
        assert!(swept.stdout.contains(part), "{part:?} is missing in:\n{}", swept.stdout);
    }
    let rows = dqn(folder.path(), &[&sweep[..], &["--json"]].concat()).ends_with(DONE);
    let rows: Value = serde_json::from_str(&rows.stdout).unwrap();
    let of = |policy: &str| rows.as_array().unwrap().iter().find(|row| row["policy"] == policy).unwrap().clone();
    let mean = |policy: &str| of(policy)["episode_return"]["mean"].as_f64().unwrap();
    assert!(mean("best of 4") >= mean("best of 1"));
    assert!(of("decoded, beta 2.5")["divergence"].as_f64().unwrap() > 0.0);
    assert_eq!(of("best of 1")["divergence"], 0.0);
    let refused = dqn(folder.path(), &["eval", "runs/maze-1", "--sweep", "alpha=1"]).ends_with(BAD_REQUEST);
    assert!(refused.stderr.contains("beta=, top_k= or temperature="), "{}", refused.stderr);
}

#[test]
fn faults_of_a_log_name_their_place() {
    let folder = maze();
    let log = folder.path().join("maze.jsonl");
    let lines = fs::read_to_string(&log).unwrap();
    fs::write(&log, lines.clone() + "{\"turns\": [[\"a\", true]], \"rewards\": []}\n").unwrap();
    let refused = dqn(folder.path(), &["data", "check", "maze.jsonl"]).ends_with(BAD_REQUEST);
    assert!(refused.stderr.contains("maze.jsonl:13"), "{}", refused.stderr);
    let refused = dqn(folder.path(), &["train", "--config", "maze.toml"]).ends_with(BAD_REQUEST);
    assert!(refused.stderr.contains("maze.jsonl:13"), "{}", refused.stderr);
    let skipped = dqn(folder.path(), &["data", "check", "maze.jsonl", "--skip"]).ends_with(DONE);
    assert!(skipped.stdout.contains("12 episodes; 1 lines skipped"), "{}", skipped.stdout);
    // A command that the task does not have is a fault of the log, too.
    fs::write(&log, lines + "{\"turns\": [[\"fly\\n\", true]], \"rewards\": [1]}\n").unwrap();
    let refused = dqn(folder.path(), &["data", "check", "maze.jsonl", "--config", "maze.toml"]).ends_with(BAD_REQUEST);
    assert!(refused.stderr.contains("maze.jsonl:13") && refused.stderr.contains("fly"), "{}", refused.stderr);
    let again = [
        "data",
        "generate",
        "--config",
        "play.toml",
        "--player",
        "random",
        "--episodes",
        "1",
        "--output",
        "maze.jsonl",
    ];
    let refused = dqn(folder.path(), &again).ends_with(BAD_REQUEST);
    assert!(refused.stderr.contains("exists already"), "{}", refused.stderr);
}

#[test]
fn responses_are_learned_ranked_and_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("responses.toml"), RESPONSES).unwrap();
    let line = |at: usize| {
        let (response, reward) = [("yes", 1.0), ("no", 0.0)][at % 2];
        format!(
            r#"{{"prompt": "{}? ", "response": "{response}", "reward": {reward}}}"#,
            ["a", "b", "c", "ab", "ba"][at / 2 % 5]
        )
    };
    fs::write(folder.path().join("mine.jsonl"), (0..20).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    let ran = dqn(folder.path(), &["train", "--config", "responses.toml"]).ends_with(DONE);
    for part in ["value and reward, rank correlation", "reward of its likeliest quarter", "On test prompts"] {
        assert!(ran.stdout.contains(part), "{part:?} is missing in:\n{}", ran.stdout);
    }
    // Nothing judges what was written, so nothing is claimed of it.
    assert!(!ran.stdout.contains("learned minus it") && !ran.stdout.contains("(return"), "{}", ran.stdout);
    let written = dqn(folder.path(), &["generate", "runs/responses-1", "--prompt", "a? "]).ends_with(DONE);
    assert!(written.stdout.starts_with("a? "), "{}", written.stdout);
    let shares = "split={train=0.9,judge=0.0,validation=0.05,test=0.05}";
    let refused = dqn(folder.path(), &["train", "--config", "responses.toml", "--set", shares]).ends_with(BAD_REQUEST);
    assert!(refused.stderr.contains("5 distinct prompts are too few"), "{}", refused.stderr);
}

#[test]
fn a_leaderboard_trains_what_is_missing_and_compares() {
    let folder = maze();
    let board = r#"
        title = "A small maze"
        seeds = [1, 2]
        scale = { zero = -9.0, one = 0.0 }
        methods = [
            { name = "ILQL", config = "maze.toml" },
            { name = "BC", config = "maze.toml", set = ["learner.objective={kind=\"imitation\"}", "learner.imitation=0.0"] },
        ]
        published = [{ name = "of others", value = -3.5, source = "a table" }]
    "#;
    fs::write(folder.path().join("board.toml"), board).unwrap();
    let arguments = ["leaderboard", "--config", "board.toml", "--parallel", "2"];
    let first = dqn(folder.path(), &arguments).ends_with(DONE);
    for part in
        ["| random player ", "| behavior data ", "| ILQL ", "| BC ", "| of others | -3.500 ", "published: a table"]
    {
        assert!(first.stdout.contains(part), "{part:?} is missing in:\n{}", first.stdout);
    }
    assert_eq!(first.stderr.matches("is done").count(), 4, "{}", first.stderr);
    let again = dqn(folder.path(), &arguments).ends_with(DONE);
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(again.stderr.matches("was there").count(), 4, "{}", again.stderr);
    for extension in ["md", "json", "svg"] {
        assert!(folder.path().join(format!("runs/leaderboard/board/board.{extension}")).is_file());
    }
    let other = ["leaderboard", "--config", "board.toml", "--set", "learner.batch_windows=4"];
    let refused = dqn(folder.path(), &other).ends_with(BAD_REQUEST);
    assert!(refused.stderr.contains("holds a run of other settings"), "{}", refused.stderr);
    fs::write(folder.path().join("board.toml"), board.replace("title", "titel")).unwrap();
    let refused = dqn(folder.path(), &arguments).ends_with(BAD_REQUEST);
    assert!(refused.stderr.contains("board.toml") && refused.stderr.contains("titel"), "{}", refused.stderr);
}
