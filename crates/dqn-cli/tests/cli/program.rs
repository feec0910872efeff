//! The program under test, and a small run that several tests look at.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

use assert_cmd::Command;
use tempfile::TempDir;

/// How the program ends when all went well, when the run failed, when the request was wrong, and after Ctrl-C.
pub(crate) const DONE: i32 = 0;
pub(crate) const FAILED: i32 = 1;
pub(crate) const BAD_REQUEST: i32 = 2;
pub(crate) const INTERRUPTED: i32 = 130;

/// Twenty updates on a small text, with everything that a run can have.
pub(crate) const TINY: &str = r#"
name = "tiny"

[corpus]
source = { path = "poems.txt" }

[split]
train = 0.4
judge = 0.2
validation = 0.2
test = 0.2

[environment]
kind = "generation"
n_prompt_tokens = 1
max_tokens = 6

[[reward.terms]]
kind = "reference_lm"

[[reward.terms]]
kind = "repetition"

[prior]
kind = "ngram"
order = 2

[network]
embedding_width = 8
torso = { kind = "gru", width = 8 }

[learner]
bootstrap = { kind = "kl", temperature = 0.1 }
batch_windows = 4
window_steps = 4

[replay]
capacity_steps = 400
warmup_steps = 10

[exploration]
kind = "boltzmann"
temperature = { kind = "constant", value = 0.1 }

[training]
parallel_episodes = 4
stop_after = { updates = 20 }
evaluate_every_updates = 10
checkpoint_every_updates = 5
keep_every_updates = 10

[evaluation]
n_episodes = 4
n_episodes_while_training = 2
n_samples = 1
"#;

/// What the program did.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Checks the exit code; on another one, shows what the program said.
    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Checks that the request was refused with a message that holds each of `parts`, and with nothing else.
    #[track_caller]
    pub(crate) fn must_be_refused(self, parts: &[&str]) {
        let ran = self.ends_with(BAD_REQUEST);
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
        assert_eq!(ran.stdout, "");
        for part in parts {
            assert!(ran.stderr.contains(part), "{part:?} is missing in:\n{}", ran.stderr);
        }
    }
}

/// Runs the program in `folder`.
pub(crate) fn dqn(folder: &Path, arguments: &[&str]) -> Ran {
    ran(command(folder).args(arguments).output().expect("the program starts"))
}

/// The program, to be started in `folder`, and without what the surroundings say about colours.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(executable());
    command.current_dir(folder);
    for name in ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR"] {
        command.env_remove(name);
    }
    command
}

pub(crate) fn executable() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_dqn-cli"))
}

pub(crate) fn ran(output: Output) -> Ran {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A folder with the experiment `tiny.toml` and its text, in which `changes` were made to the experiment.
pub(crate) fn tiny(changes: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut config = TINY.to_owned();
    for (old, new) in changes {
        assert!(config.contains(old), "{old:?} is not in the experiment");
        config = config.replace(old, new);
    }
    std::fs::write(folder.path().join("tiny.toml"), config).unwrap();
    std::fs::write(folder.path().join("poems.txt"), poems()).unwrap();
    folder
}

/// Thirty different poems of two lines over eleven characters.
fn poems() -> String {
    let letters: Vec<char> = "春风明月花江水山夜雨人".chars().collect();
    let line = |seed: usize| -> String { (0..4).map(|place| letters[(seed + place * (seed % 5 + 1)) % 11]).collect() };
    (0..30).map(|poem| format!("{}\n{}\n\n", line(poem), line(7 * poem + 3))).collect()
}

/// The folder in which `runs/tiny-1` lies, which must not be changed.
pub(crate) fn trained() -> &'static Path {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
        let folder = tiny(&[]);
        dqn(folder.path(), &["train", "--config", "tiny.toml"]).ends_with(DONE);
        folder
    });
    FOLDER.path()
}

/// A copy of the trained run, to be changed; its text is the original's.
pub(crate) fn copied_run() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    copy(&trained().join("runs/tiny-1"), &run);
    (folder, run)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
