//! This project and PyTorch, case by case and turn by turn.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::Message;
use serde::Deserialize;

use super::Options;
use super::measurement::{self, Measurement};
use super::table::{self, Results};
use crate::process::{Tool, Unmet};

const SCRIPT: &str = "bench/pytorch/learning.py";
const DOCUMENT: &str = "docs/tables/against-pytorch.md";

/// The versions that the other side names.
#[derive(Deserialize)]
struct Versions {
    torch: String,
    python: String,
}

/// One of the two programs, measured in a process of its own for each case.
struct Side {
    name: &'static str,
    root: PathBuf,
    words: Vec<String>,
    /// Whether threads are an argument, and not an environment variable of rayon's.
    threads_as_argument: bool,
}

impl Side {
    fn ours(root: &Path) -> Result<Self> {
        let program = build(root)?.to_string_lossy().into_owned();
        Ok(Self { name: "ours", root: root.to_path_buf(), words: vec![program], threads_as_argument: false })
    }

    fn pytorch(root: &Path, python: &str) -> Self {
        let words = vec![python.to_owned(), SCRIPT.to_owned()];
        Self { name: "PyTorch", root: root.to_path_buf(), words, threads_as_argument: true }
    }

    /// PyTorch with this project's way to the values of single actions.
    fn pytorch_by_rows(root: &Path, python: &str) -> Self {
        let mut side = Self::pytorch(root, python);
        side.name = "by rows";
        side.words.push("--rows".to_owned());
        side
    }

    fn measure(&self, case: &str, threads: usize, seconds: f64) -> Result<Measurement> {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).args(["--seconds", &seconds.to_string()]);
        match self.threads_as_argument {
            true => command.args(["--threads", &threads.to_string()]),
            false => command.env("RAYON_NUM_THREADS", threads.to_string()),
        };
        command.arg(case).current_dir(&self.root).stdin(Stdio::null()).stderr(Stdio::inherit());
        let shown = format!("`{} {case}`", self.words.join(" "));
        let output = command.output().with_context(|| format!("cannot start {shown}"))?;
        ensure!(output.status.success(), "{shown} ended with {}", output.status);
        let found = measurement::parse(&shown, &String::from_utf8_lossy(&output.stdout))?;
        let [measurement] = <[Measurement; 1]>::try_from(found)
            .map_err(|found| anyhow::anyhow!("{shown} printed {} measurements, not one", found.len()))?;
        ensure!(measurement.case == case, "{shown} measured {}", measurement.case);
        ensure!(measurement.threads == threads, "{shown} ran {} threads, not {threads}", measurement.threads);
        println!("{:<8} {case:<24} {:>10.3} ms  threads {threads}", self.name, measurement.milliseconds);
        Ok(measurement)
    }
}

/// Measures, prints the tables, and writes them where no case was left out.
pub(super) fn run(root: &Path, options: &Options) -> Result<()> {
    let mut shared: Vec<String> = table::shared_cases().into_iter().map(|(case, _)| case).collect();
    let mut own = table::own_cases();
    let is_chosen = |case: &String| {
        options.arguments.is_empty() || options.arguments.iter().any(|part| case.contains(part.as_str()))
    };
    shared.retain(is_chosen);
    own.retain(is_chosen);
    if shared.is_empty() && own.is_empty() {
        let wanted = options.arguments.join(" ");
        bail!(Unmet(format!("no case has `{wanted}` in its name; one is called learn/gru/1000")));
    }
    // Asked first: building this side takes minutes.
    let versions = versions(root, &options.python)?;
    let load = load_average();
    let pytorch = Side::pytorch(root, &options.python);
    let by_rows = Side::pytorch_by_rows(root, &options.python);
    let ours = Side::ours(root)?;

    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    let thread_counts = if n_cores > 1 { vec![1, n_cores] } else { vec![1] };
    let mut results = Results::default();
    for _ in 0..options.rounds {
        for case in &shared {
            for &threads in &thread_counts {
                results.ours.push(ours.measure(case, threads, options.seconds)?);
                results.pytorch.push(pytorch.measure(case, threads, options.seconds)?);
                if table::has_rows(case) {
                    results.by_rows.push(by_rows.measure(case, threads, options.seconds)?);
                }
            }
        }
        for case in &own {
            for &threads in &thread_counts {
                results.ours.push(ours.measure(case, threads, options.seconds)?);
            }
        }
    }
    let tables = results.tables()?;
    println!("\n{tables}");
    if options.arguments.is_empty() {
        let text = format!("{}\n{tables}", preface(root, options, &versions, load.as_deref())?);
        let file = root.join(DOCUMENT);
        let folder = file.parent().unwrap_or(root);
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{DOCUMENT} written");
    }
    Ok(())
}

/// Asks Python for PyTorch's version, which is also the question whether it is there.
fn versions(root: &Path, python: &str) -> Result<Versions> {
    let remedy = format!(
        "install what bench/pytorch/requirements.txt names (`{python} -m pip install -r bench/pytorch/requirements.txt`), \
         or name a Python that has it with --python"
    );
    let output = Command::new(python).args([SCRIPT, "--versions"]).current_dir(root).stdin(Stdio::null()).output();
    let output = output.map_err(|error| Unmet(format!("cannot start `{python}`: {error}; {remedy}")))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let complaint = complaint(&stderr);
        bail!(Unmet(format!("`{python}` cannot run {SCRIPT}: {complaint}; {remedy}")));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).with_context(|| format!("{SCRIPT} --versions printed {text}"))
}

/// The line that says what went wrong: that of the script itself, or the last of a traceback.
fn complaint(stderr: &str) -> &str {
    let own = stderr.lines().find_map(|line| line.strip_prefix("error: "));
    own.or_else(|| stderr.trim().lines().next_back()).unwrap_or("it says nothing")
}

/// Builds this project's side and returns its path.
///
/// The whole workspace is selected, so that the dependencies are those of the release build.
fn build(root: &Path) -> Result<PathBuf> {
    let line = "cargo bench --workspace --bench against_pytorch --no-run --message-format json-render-diagnostics";
    let output = Tool::new(root, line).output()?;
    executable(&output).with_context(|| format!("`{line}` named no executable"))
}

/// The executable of the benchmark, from cargo's messages.
fn executable(messages: &str) -> Option<PathBuf> {
    let artifacts = Message::parse_stream(messages.as_bytes()).filter_map(|message| match message {
        Ok(Message::CompilerArtifact(artifact)) if artifact.target.name == "against_pytorch" => artifact.executable,
        _ => None,
    });
    artifacts.last().map(PathBuf::from)
}

/// What a reader must know of the figures.
fn preface(root: &Path, options: &Options, versions: &Versions, load: Option<&str>) -> Result<String> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let burn = locked_version(&lock, "burn").context("Cargo.lock names no burn")?;
    let rustc = Tool::new(root, "rustc --version").output()?;
    let processor = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| processor(&text));
    let mut text = "# Learning and acting beside PyTorch\n\nWritten by `cargo xtask bench --against-pytorch".to_owned();
    let Options { rounds, seconds, .. } = options;
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    let lines = [
        format!(" --rounds {rounds} --seconds {seconds}`; bench/pytorch/README.md says what is measured.\n\n"),
        format!("- Processor: {}, {n_cores} cores\n", processor.as_deref().unwrap_or("unknown")),
        format!("- Load average before the first measurement: {}\n", load.unwrap_or("unknown")),
        format!("- Ours: burn {burn} on flex, {}\n", rustc.trim()),
        format!("- PyTorch {} in eager mode, Python {}\n", versions.torch, versions.python),
        "- The two sides took turns, with one thread and with one for each core; the fastest median of each side counts.\n"
            .to_owned(),
    ];
    for line in lines {
        write!(text, "{line}")?;
    }
    Ok(text)
}

/// The version of `package` in a Cargo.lock.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let mut lines = lock.lines();
    lines.find(|line| line.strip_prefix("name = ").is_some_and(|name| name.trim_matches('"') == package))?;
    Some(lines.next()?.strip_prefix("version = ")?.trim_matches('"'))
}

/// The name in /proc/cpuinfo, and the widest vectors that both sides can use.
fn processor(cpuinfo: &str) -> Option<String> {
    let value = |key: &str| cpuinfo.lines().find_map(|line| line.strip_prefix(key)?.split_once(": "));
    let (_, name) = value("model name")?;
    let has = |flag: &str| value("flags").is_some_and(|(_, flags)| flags.split_whitespace().any(|found| found == flag));
    let vectors = match (has("avx512f"), has("avx2")) {
        (true, _) => " with AVX-512",
        (false, true) => " with AVX2, without AVX-512",
        (false, false) => "",
    };
    Some(format!("{}{vectors}", name.trim()))
}

/// How busy the machine was over the last minute.
fn load_average() -> Option<String> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_without_pytorch_is_named_with_the_remedy() {
        // A program that starts and fails, and one that does not start.
        for python in ["false", "no-such-python"] {
            let error = versions(&crate::process::workspace_root(), python).err().unwrap();
            assert!(error.is::<Unmet>(), "{error:#}");
            let message = error.to_string();
            for part in [python, "bench/pytorch/requirements.txt", "--python"] {
                assert!(message.contains(part), "{part} is missing in: {message}");
            }
        }
    }

    #[test]
    fn a_complaint_is_one_line() {
        for (stderr, expected) in [
            ("error: PyTorch cannot be imported (no)\ninstall it\n", "PyTorch cannot be imported (no)"),
            ("Traceback (most recent call last):\n  File\nOSError: libx.so\n", "OSError: libx.so"),
            ("", "it says nothing"),
        ] {
            assert_eq!(complaint(stderr), expected);
        }
    }

    #[test]
    fn the_version_beside_the_name_is_found() {
        let lock = "[[package]]\nname = \"burn-core\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"burn\"\nversion = \"0.22.1\"\n";
        assert_eq!(locked_version(lock, "burn"), Some("0.22.1"));
        assert_eq!(locked_version(lock, "bur"), None);
    }

    #[test]
    fn the_processor_is_named_with_its_vectors() {
        let text = |flags: &str| format!("processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu {flags} sse\n");
        for (flags, expected) in [
            ("avx2", "AMD EPYC with AVX2, without AVX-512"),
            ("avx2 avx512f", "AMD EPYC with AVX-512"),
            ("avx", "AMD EPYC"),
        ] {
            assert_eq!(processor(&text(flags)).as_deref(), Some(expected));
        }
        assert_eq!(processor("no such line"), None);
    }

    #[test]
    fn the_executable_is_that_of_the_benchmark() {
        let artifact = |name: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"p","manifest_path":"/p/Cargo.toml","target":{{"kind":["bench"],"crate_types":["bin"],"name":"{name}","src_path":"/p/b.rs","edition":"2024","doc":false,"doctest":false,"test":false}},"profile":{{"opt_level":"3","debuginfo":0,"debug_assertions":false,"overflow_checks":false,"test":true}},"features":[],"filenames":[],"executable":{executable},"fresh":true}}"#
            )
        };
        let messages = [
            artifact("learning", "\"/target/learning\""),
            artifact("against_pytorch", "\"/target/against\""),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        assert_eq!(executable(&messages.join("\n")), Some(PathBuf::from("/target/against")));
        assert_eq!(executable(&messages[0]), None);
    }
}
