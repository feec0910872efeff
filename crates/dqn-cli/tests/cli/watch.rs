//! `watch` on a small run, without a terminal.

use std::fs;

use crate::program::{DONE, copied_run, dqn, trained};

#[test]
fn one_frame_is_printed_as_text() {
    let told = dqn(trained(), &["watch", "runs/tiny-1", "--once"]).ends_with(DONE);
    assert_eq!(told.stderr, "");
    for part in [
        "tiny, seed 1, ",
        "finished, measured ",
        "20 of 20 updates (100 %)",
        " elapsed",
        " episodes, acting ",
        "Training return: ",
        "test return ",
        "  95 % ",
        "Reward terms",
        "reference_lm ",
        "Samples after 20 updates",
        "q quit",
    ] {
        assert!(told.stdout.contains(part), "{part:?} is missing in:\n{}", told.stdout);
    }
    assert!(told.stdout.lines().count() <= 24 && !told.stdout.contains('\u{1b}'), "{}", told.stdout);
    // What the curve is drawn with.
    assert!(told.stdout.chars().any(|letter| ('\u{2801}'..='\u{28ff}').contains(&letter)), "{}", told.stdout);
}

#[test]
fn a_run_that_is_not_over_is_told_from_one_that_is() {
    let (folder, run) = copied_run();
    fs::remove_file(run.join("eval/report.json")).unwrap();
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let half = &metrics[..metrics.len() - metrics.lines().last().unwrap().len() / 2];
    fs::write(run.join("metrics.jsonl"), half).unwrap();
    let stopped = dqn(folder.path(), &["watch", "run", "--once"]).ends_with(DONE).stdout;
    assert!(stopped.contains("stopped, measured ") && !stopped.contains("test return"), "{stopped}");
    // A run that has only begun has nothing to show yet, and is no fault.
    fs::write(run.join("metrics.jsonl"), "").unwrap();
    let begun = dqn(folder.path(), &["watch", "run", "--once"]).ends_with(DONE).stdout;
    assert!(begun.contains("nothing measured yet"), "{begun}");
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let (folder, run) = copied_run();
    dqn(folder.path(), &["watch", "run"]).must_be_refused(&["standard output is none", "--once"]);
    for more in [&[][..], &["--once"]] {
        let arguments = [&["watch", "nowhere"][..], more].concat();
        dqn(folder.path(), &arguments).must_be_refused(&["nowhere is not a run directory"]);
    }
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    fs::write(run.join("metrics.jsonl"), metrics.replacen("\n{", "\nx{", 1)).unwrap();
    dqn(folder.path(), &["watch", "run", "--once"]).must_be_refused(&["line 2 of run/metrics.jsonl is damaged"]);
}
