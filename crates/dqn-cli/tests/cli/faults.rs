//! Bad texts, bad folders, damaged runs: refused with the reason, and nothing is left behind.

use std::fs;
use std::path::Path;

use crate::program::{BAD_REQUEST, DONE, FAILED, command, copied_run, dqn, executable, ran, tiny, trained};

fn train_on(text: Option<&[u8]>, parts: &[&str]) {
    let folder = tiny(&[]);
    let poems = folder.path().join("poems.txt");
    match text {
        Some(text) => fs::write(&poems, text).unwrap(),
        None => fs::remove_file(&poems).unwrap(),
    }
    dqn(folder.path(), &["train", "--config", "tiny.toml"]).must_be_refused(parts);
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn texts_that_cannot_be_learned_from_are_refused() {
    train_on(None, &["cannot read", "poems.txt", "No such file"]);
    train_on(Some(b""), &["poems.txt", "holds no text"]);
    train_on(Some(b" \r\n\xef\xbb\xbf\n"), &["poems.txt"]);
    train_on(Some(b"ab\ncd\xff\n"), &["poems.txt is not UTF-8", "0xff", "line 2"]);
    train_on(Some("春风明月\n花江水山\n".as_bytes()), &["poems.txt has 1 distinct document", "4 parts"]);
}

#[test]
fn backends_that_are_unknown_or_not_compiled_in_are_told_apart() {
    let folder = tiny(&[]);
    let train = |backend: &str| dqn(folder.path(), &["train", "--config", "tiny.toml", "--backend", backend]);
    train("tpu").must_be_refused(&["there is no backend \"tpu\"", "flex, ndarray, wgpu, cuda", "compiled in: "]);
    let listed = dqn(folder.path(), &["backends"]).ends_with(DONE).stdout;
    assert_eq!(listed.lines().count(), 4);
    for line in listed.lines().filter(|line| line.contains("not compiled in")) {
        let backend = line.split_whitespace().next().unwrap();
        let flags = format!("--no-default-features --features {backend}");
        train(backend).must_be_refused(&["is not compiled into this program", "which has: ", &flags]);
    }
}

#[test]
fn places_where_no_run_can_be_made_are_refused() {
    let folder = tiny(&[]);
    // A folder below a file can be made by nobody, not even by those whom permissions do not bind.
    let below_a_file = ["train", "--config", "tiny.toml", "--run-dir", "poems.txt/run"];
    dqn(folder.path(), &below_a_file)
        .must_be_refused(&["cannot create the run directory poems.txt/run", "Not a directory"]);
    fs::create_dir(folder.path().join("full")).unwrap();
    fs::write(folder.path().join("full/thesis.txt"), "mine").unwrap();
    let occupied = ["train", "--config", "tiny.toml", "--run-dir", "full"];
    dqn(folder.path(), &occupied).must_be_refused(&["the run directory full is not empty", "thesis.txt"]);
    assert_eq!(fs::read_dir(folder.path().join("full")).unwrap().count(), 1);
    for arguments in
        [&["eval", "full"][..], &["generate", "full"], &["train", "--resume", "full"], &["eval", "nowhere"]]
    {
        dqn(folder.path(), arguments).must_be_refused(&["is not a run directory", "run.json"]);
    }
}

#[test]
fn a_run_of_another_version_must_be_refused() {
    let (folder, run) = copied_run();
    fs::write(run.join("run.json"), r#"{"format":9,"program_version":"4.2.0"}"#).unwrap();
    for arguments in [&["eval", "run"][..], &["generate", "run"], &["train", "--resume", "run"]] {
        dqn(folder.path(), arguments).must_be_refused(&["has format 9, written by version 4.2.0"]);
    }
}

#[test]
fn a_run_whose_text_has_changed_must_be_refused() {
    let folder = tiny(&[("updates = 20", "updates = 1")]);
    dqn(folder.path(), &["train", "--config", "tiny.toml", "--run-dir", "run"]).ends_with(DONE);
    let poems = folder.path().join("poems.txt");
    let longer = fs::read_to_string(&poems).unwrap() + "花月春江\n江月春花\n";
    fs::write(poems, longer).unwrap();
    dqn(folder.path(), &["eval", "run"]).must_be_refused(&["the corpus has changed since the run began"]);
}

#[test]
fn damaged_checkpoints_are_noticed() {
    let (folder, run) = copied_run();
    let last = run.join("checkpoints/last.ckpt");
    let whole = fs::read(&last).unwrap();
    let n_bytes = whole.len();
    for place in [0, 8, 12, 30, 60, n_bytes / 3, n_bytes / 2, n_bytes - 1] {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        fs::write(&last, bytes).unwrap();
        let ran = dqn(folder.path(), &["generate", "run"]).ends_with(BAD_REQUEST);
        assert!(ran.stderr.contains("last.ckpt"), "byte {place}: {}", ran.stderr);
    }
    for n_kept in [0, 10, 40, n_bytes / 2, n_bytes - 1] {
        fs::write(&last, &whole[..n_kept]).unwrap();
        dqn(folder.path(), &["eval", "run"]).must_be_refused(&["last.ckpt is damaged"]);
    }
    // The one before it is whole: the run goes on from there and says so.
    let resumed = dqn(folder.path(), &["train", "--resume", "run"]).ends_with(DONE);
    assert!(resumed.stderr.contains("the newest checkpoint was left aside"), "{}", resumed.stderr);
    dqn(folder.path(), &["generate", "run"]).ends_with(DONE);

    for name in ["last.ckpt", "previous.ckpt"] {
        fs::write(run.join("checkpoints").join(name), b"nothing").unwrap();
    }
    let refused = dqn(folder.path(), &["train", "--resume", "run"]).ends_with(BAD_REQUEST);
    assert!(refused.stderr.contains("last.ckpt is damaged"), "{}", refused.stderr);
}

#[test]
fn checkpoints_that_were_not_kept_are_refused() {
    dqn(trained(), &["eval", "runs/tiny-1", "--checkpoint", "7"])
        .must_be_refused(&["there is no checkpoint", "0000000007"]);
}

/// A limit on the size of files is met like a full disk: a write fails while a run goes on.
#[cfg(unix)]
#[test]
fn a_failed_write_ends_the_run_and_leaves_it_to_be_resumed() {
    let folder = tiny(&[]);
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" train --config tiny.toml --run-dir run";
    let limited = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(executable())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let limited = ran(limited).ends_with(FAILED);
    assert!(limited.stderr.contains("error: cannot write") && limited.stderr.contains("run/"), "{}", limited.stderr);
    assert!(limited.stderr.contains("File too large"), "{}", limited.stderr);
    dqn(folder.path(), &["train", "--resume", "run"]).ends_with(DONE);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_failure_and_no_fault_of_the_request() {
    let folder = tiny(&[]);
    let full = |arguments: &[&str]| {
        let ran = dqn(folder.path(), arguments).ends_with(FAILED);
        assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
    };
    full(&["lm", "train", "--corpus", "poems.txt", "--output", "/dev/full"]);
    full(&["tokenizer", "train", "--corpus", "poems.txt", "--output", "/dev/full"]);
    assert!(!Path::new("/dev/full.tokenizer.json").exists());

    let stdout = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = std::process::Command::new(executable());
    let output = command.args(["config", "show"]).stdout(stdout).output().unwrap();
    let ran = ran(output).ends_with(FAILED);
    assert!(ran.stderr.contains("error: cannot write to standard output"), "{}", ran.stderr);
    assert!(ran.stderr.contains("because: No space left on device"), "{}", ran.stderr);
}

#[test]
fn arguments_that_would_change_nothing_are_refused() {
    let folder = trained();
    let table: [(&[&str], &str); 5] = [
        (&["generate", "runs/tiny-1", "--beam-width", "3"], "--beam-width is for --strategy beam"),
        (&["score", "repetition", "--hypotheses", "poems.txt", "--references", "poems.txt"], "--references is for"),
        (&["score", "distinct-2", "--hypotheses", "poems.txt", "--smoothing", "exp"], "--smoothing is for"),
        (
            &[
                "score",
                "bleu",
                "--hypotheses",
                "poems.txt",
                "--references",
                "poems.txt",
                "--smoothing",
                "exp",
                "--smoothing-value",
                "1",
            ],
            "--smoothing-value is for",
        ),
        (&["tokenizer", "train", "--corpus", "poems.txt", "--output", "t.json", "--lowercase"], "--lowercase is for"),
    ];
    for (arguments, part) in table {
        dqn(folder, arguments).must_be_refused(&[part]);
    }
}

#[test]
fn arguments_out_of_range_are_refused() {
    let folder = trained();
    for arguments in [
        &["generate", "runs/tiny-1", "--temperature", "0"][..],
        &["generate", "runs/tiny-1", "--n", "0"],
        &["eval", "runs/tiny-1", "--split", "judge"],
        &["score", "distinct-0", "--hypotheses", "poems.txt"],
        &["train", "--resume", "runs/tiny-1", "--seed", "3"],
        &["train", "--json", "yes"],
        &["sing"],
    ] {
        let ran = command(folder).args(arguments).output().unwrap();
        let ran = crate::program::ran(ran).ends_with(BAD_REQUEST);
        assert!(ran.stderr.starts_with("error: ") && ran.stdout.is_empty(), "{arguments:?}: {}", ran.stderr);
    }
}
