//! Help, completions, colours and pipes.

use std::process::{Command, Stdio};

use crate::program::{DONE, command, dqn, executable, ran};

#[test]
fn every_command_explains_its_options() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        "train",
        "eval",
        "explain",
        "generate",
        "score",
        "lm",
        "tokenizer",
        "config",
        "backends",
        "completions",
        "watch",
        "report",
        "compare",
    ] {
        let help = dqn(folder.path(), &[command, "--help"]).ends_with(DONE).stdout;
        assert!(help.contains("Usage: dqn-cli"), "{help}");
        // An option without an explanation is followed by nothing, or by the next option.
        let lines: Vec<&str> = help.lines().collect();
        for pair in lines.windows(2) {
            let option = pair[0].trim_start();
            let told = option.contains("  ") || (!pair[1].trim().is_empty() && !pair[1].trim_start().starts_with("--"));
            assert!(!option.starts_with("--") || told, "{command} {option} has no explanation");
        }
    }
}

#[test]
fn completions_name_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = dqn(folder.path(), &["completions", shell]).ends_with(DONE).stdout;
        for word in ["dqn-cli", "generate", "tokenizer", "beam-width", "watch", "threshold"] {
            assert!(script.contains(word), "{word} is missing for {shell}");
        }
    }
}

#[test]
fn no_color_wins_over_a_demand_for_colours() {
    let folder = tempfile::tempdir().unwrap();
    let help = |variables: &[(&str, &str)]| {
        let mut command = command(folder.path());
        command.arg("--help").envs(variables.iter().copied());
        ran(command.output().unwrap()).ends_with(DONE).stdout
    };
    assert!(help(&[("CLICOLOR_FORCE", "1")]).contains('\u{1b}'));
    assert!(!help(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\u{1b}'));
    assert!(!help(&[]).contains('\u{1b}'));
}

#[test]
fn a_reader_who_goes_away_is_no_failure() {
    let mut child = Command::new(executable())
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(DONE), &b""[..]));
}

#[test]
fn the_version_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let version = dqn(folder.path(), &["--version"]).ends_with(DONE).stdout;
    assert_eq!(version, format!("dqn-cli {}\n", env!("CARGO_PKG_VERSION")));
}
