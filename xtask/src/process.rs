//! Running other programs: cargo, and the program this workspace builds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The folder that holds the workspace's Cargo.toml.
///
/// Cargo says at run time where the crate it runs lies; what it said at compile time may name another clone that shares
/// the target folder.
pub(crate) fn workspace_root() -> PathBuf {
    let crate_folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let crate_folder = Path::new(&crate_folder);
    crate_folder.parent().unwrap_or(crate_folder).to_path_buf()
}

/// Whether `dqn-cli` is built first or taken as the last build left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Built {
    /// Build it first.
    Now,
    /// Continuous integration has just built the whole workspace; building one package alone could choose other
    /// features of shared dependencies and compile them anew.
    Already,
}

impl Built {
    /// What a `--no-build` flag means.
    pub(crate) fn from_flag(no_build: bool) -> Self {
        if no_build { Self::Already } else { Self::Now }
    }
}

/// What was asked for and cannot be had on this machine as it is; the message says what to do.
#[derive(Debug)]
pub(crate) struct Unmet(pub(crate) String);

impl std::fmt::Display for Unmet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unmet {}

/// A command to be run in the workspace root.
#[derive(Debug)]
pub(crate) struct Tool {
    root: PathBuf,
    words: Vec<String>,
}

impl Tool {
    /// The command `line`, whose words hold no spaces.
    pub(crate) fn new(root: &Path, line: &str) -> Self {
        Self { root: root.to_path_buf(), words: line.split_whitespace().map(str::to_owned).collect() }
    }

    /// Adds arguments as they are.
    pub(crate) fn arguments(mut self, more: &[String]) -> Self {
        self.words.extend_from_slice(more);
        self
    }

    /// Runs it with the terminal's output.
    pub(crate) fn run(&self) -> Result<()> {
        let status = self.command()?.status().with_context(|| format!("cannot start `{self}`"))?;
        if !status.success() {
            bail!("`{self}` ended with {status}");
        }
        Ok(())
    }

    /// Runs it and returns what it printed; its complaints go to the terminal.
    pub(crate) fn output(&self) -> Result<String> {
        let output = self.command()?.stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot start `{self}`"))?;
        if !output.status.success() {
            bail!("`{self}` ended with {}", output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{self}` printed something that is not UTF-8"))
    }

    /// Runs it silently and says whether it succeeded: for asking whether a tool is installed.
    pub(crate) fn succeeds(&self) -> bool {
        self.command().is_ok_and(|mut command| {
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        })
    }

    fn command(&self) -> Result<Command> {
        let (program, arguments) = self.words.split_first().context("a command without a word")?;
        let mut command = match std::env::var_os("CARGO") {
            // Cargo names itself to the programs it runs, so that the same toolchain is used.
            Some(cargo) if program == "cargo" => Command::new(cargo),
            _ => Command::new(program),
        };
        command.args(arguments).current_dir(&self.root).stdin(Stdio::null());
        Ok(command)
    }
}

impl std::fmt::Display for Tool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.words.join(" "))
    }
}

/// The built `dqn-cli`.
#[derive(Debug)]
pub(crate) struct Program {
    root: PathBuf,
    executable: PathBuf,
}

impl Program {
    /// The program of the dev profile, with the features `backend` needs.
    pub(crate) fn prepare(root: &Path, backend: Option<&str>, built: Built) -> Result<Self> {
        if built == Built::Now {
            // The whole workspace where the default features do: for one package alone cargo would choose other features
            // of the dependencies, and build them all again.
            let build = match backend.filter(|&backend| !DEFAULT_BACKENDS.contains(&backend)) {
                Some(backend) => format!("cargo build --package dqn-cli --no-default-features --features {backend}"),
                None => "cargo build --workspace --all-targets".to_owned(),
            };
            Tool::new(root, &build).run()?;
        }
        Self::find(root, "debug", "cargo build --workspace")
    }

    /// The program of the release profile, for runs whose time matters.
    pub(crate) fn release(root: &Path, built: Built) -> Result<Self> {
        const BUILD: &str = "cargo build --release --workspace";
        if built == Built::Now {
            Tool::new(root, BUILD).run()?;
        }
        Self::find(root, "release", BUILD)
    }

    /// What a build left in the folder of its profile.
    fn find(root: &Path, profile: &str, build: &str) -> Result<Self> {
        let executable = target_folder(root)?.join(profile).join(format!("dqn-cli{}", std::env::consts::EXE_SUFFIX));
        if !executable.is_file() {
            bail!("{} is missing; build it with `{build}`", executable.display());
        }
        Ok(Self { root: root.to_path_buf(), executable })
    }

    /// Where it lies.
    pub(crate) fn executable(&self) -> &Path {
        &self.executable
    }

    /// Runs `dqn-cli ARGUMENTS` and returns what it printed; its complaint becomes the error.
    pub(crate) fn output(&self, arguments: &[&str]) -> Result<String> {
        self.output_with(None, arguments)
    }

    /// The same with a number of threads, or with as many as it takes by itself.
    pub(crate) fn output_with(&self, n_threads: Option<usize>, arguments: &[&str]) -> Result<String> {
        let shown = format!("dqn-cli {}", arguments.join(" "));
        let threads = n_threads.map(|n_threads| ("RAYON_NUM_THREADS", n_threads.to_string()));
        let output = Command::new(&self.executable)
            .args(arguments)
            .envs(threads)
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start `{shown}`"))?;
        if !output.status.success() {
            bail!("`{shown}` ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed something that is not UTF-8"))
    }
}

/// The backends in the default features of `dqn-cli`.
const DEFAULT_BACKENDS: [&str; 2] = ["ndarray", "flex"];

/// Where cargo puts what it builds.
pub(crate) fn target_folder(root: &Path) -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(root)
        .no_deps()
        .exec()
        .context("cannot read the workspace's metadata")?;
    Ok(metadata.target_directory.into())
}
