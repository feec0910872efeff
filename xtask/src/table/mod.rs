//! A table over seeds: every row trained with every seed, measured and summed up.
//!
//! A file of configs/tables says which experiments are compared and what is read of their evaluation. A run that is
//! finished is never made again: `target/tables` keeps it with the program and the settings that made it, and where both
//! are the same, an interrupted table goes on where it stopped.

mod page;
mod statistics;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::page::{Origin, RowResult};
use crate::process::{Built, Program, target_folder};

/// Where the tables are described.
const TABLES: &str = "configs/tables";
/// Where their pages are written.
const PAGES: &str = "docs/tables";

/// What to make.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The description, a file of configs/tables.
    file: PathBuf,
    /// Use the release dqn-cli that the last build left.
    #[arg(long)]
    no_build: bool,
    /// Runs made at a time, which share the cores; what they learn does not depend on it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
}

/// What a table compares.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// Heading of the page.
    title: String,
    /// What a reader must know of the rows.
    text: Option<String>,
    /// The part of the text, or of the starts, that is evaluated on.
    #[serde(default = "default_split")]
    split: String,
    /// Seeds of the runs.
    seeds: Vec<u64>,
    /// What is read of each evaluation.
    columns: Vec<Column>,
    /// The experiments.
    rows: Vec<Row>,
}

fn default_split() -> String {
    "test".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    /// Heading of the column.
    name: String,
    /// Where the number stands in what `dqn-cli eval --json` prints of the split, such as `episode_return.mean`.
    path: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    name: String,
    /// The experiment file, from the root of the workspace.
    config: String,
    /// Changes to it, as `--set` takes them.
    #[serde(default)]
    set: Vec<String>,
    /// The row that the first column of this one is compared with.
    against: Option<String>,
}

impl Row {
    /// What the program is told of the experiment.
    fn arguments(&self) -> Vec<String> {
        let sets = self.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]);
        ["--config".to_owned(), self.config.clone()].into_iter().chain(sets).collect()
    }

    /// The folder of its runs.
    fn folder(&self) -> String {
        let plain = |letter: char| if letter.is_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
        self.name.chars().map(plain).collect()
    }
}

impl Table {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let table: Self = toml::from_str(&text).with_context(|| format!("cannot parse {}", path.display()))?;
        table.check().with_context(|| format!("{} is no table", path.display()))?;
        Ok(table)
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.seeds.is_empty(), "`seeds` is empty; at least one is needed");
        ensure!(!self.columns.is_empty(), "`columns` is empty; at least one is needed");
        ensure!(!self.rows.is_empty(), "there are no [[rows]]; at least one is needed");
        let mut folders = HashSet::new();
        for row in &self.rows {
            ensure!(
                folders.insert(row.folder()),
                "two rows are called {:?}, or the same but for signs; names must differ in their letters and digits",
                row.name
            );
        }
        for row in &self.rows {
            if let Some(against) = &row.against {
                let is_there = self.rows.iter().any(|other| other.name == *against);
                ensure!(is_there, "row {:?} is compared with {against:?}, which is no row", row.name);
            }
        }
        let distinct: HashSet<u64> = self.seeds.iter().copied().collect();
        ensure!(distinct.len() == self.seeds.len(), "`seeds` names a seed twice");
        Ok(())
    }
}

/// Trains what is not trained yet, then prints and writes the page.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let table = Table::read(&options.file)?;
    let name = options.file.file_stem().context("a table is a file")?.to_string_lossy().into_owned();
    let program = Program::release(root, Built::from_flag(options.no_build))?;
    println!("program: {}", program.executable().display());
    // Every fault of the settings is found before anything is trained.
    check_rows(&program, &table)?;
    let parallel = usize::from(options.parallel);
    let trainer = Trainer {
        stamp: program_hash(program.executable())?,
        program: &program,
        folder: target_folder(root)?.join("tables").join(&name),
        table: &table,
        n_threads: (parallel > 1).then(|| (n_cores().unwrap_or(1) / parallel).max(1)),
    };
    let results = trainer.rows(parallel)?;
    let machine = machine(parallel, trainer.n_threads);
    let origin = Origin { command: command(&options.file), commit: commit(root), machine };
    let page = page::markdown(&table, &results, &origin);
    print!("\n{page}");
    let path = root.join(PAGES).join(format!("{name}.md"));
    std::fs::create_dir_all(root.join(PAGES)).with_context(|| format!("cannot create {PAGES}"))?;
    std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    println!("\n{} written", path.display());
    Ok(())
}

/// Checks every table of configs/tables and the settings of its rows; returns the number of rows.
pub(crate) fn check_all(root: &Path, program: &Program) -> Result<usize> {
    let mut n_rows = 0;
    for path in tables(root)? {
        let table = Table::read(&path)?;
        check_rows(program, &table).with_context(|| format!("in {}", path.display()))?;
        n_rows += table.rows.len();
    }
    Ok(n_rows)
}

fn tables(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join(TABLES);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        paths.push(entry.with_context(|| format!("cannot list {}", folder.display()))?.path());
    }
    paths.sort();
    Ok(paths)
}

fn check_rows(program: &Program, table: &Table) -> Result<()> {
    for row in &table.rows {
        resolved(program, row, table.seeds[0]).with_context(|| format!("row {:?} is no experiment", row.name))?;
    }
    Ok(())
}

/// The whole configuration of a run, defaults included.
fn resolved(program: &Program, row: &Row, seed: u64) -> Result<String> {
    let mut arguments = vec!["config".to_owned(), "show".to_owned()];
    arguments.extend(row.arguments());
    arguments.extend(["--set".to_owned(), format!("seed={seed}")]);
    program.output(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// What a run was made by; kept beside it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Stamp {
    /// sha256 of the program.
    program: String,
    /// The whole configuration.
    config: String,
}

struct Trainer<'a> {
    stamp: String,
    program: &'a Program,
    folder: PathBuf,
    table: &'a Table,
    /// Of each run, where it does not take as many as it likes.
    n_threads: Option<usize>,
}

/// A row and a seed, with seconds of training and the value of each column, once they are known.
type Outcome = Option<Result<(f64, Vec<f64>)>>;

impl Trainer<'_> {
    /// Every row with every seed, some at a time; after a failure no more are begun.
    fn rows(&self, parallel: usize) -> Result<Vec<RowResult>> {
        let jobs: Vec<(&Row, u64)> =
            self.table.rows.iter().flat_map(|row| self.table.seeds.iter().map(move |&seed| (row, seed))).collect();
        let next = AtomicUsize::new(0);
        let outcomes: Vec<Mutex<Outcome>> = jobs.iter().map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for _ in 0..parallel {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some((&(row, seed), outcome)) = jobs.get(index).zip(outcomes.get(index)) else { break };
                        let found = self.seed(row, seed).with_context(|| format!("row {:?}, seed {seed}", row.name));
                        match &found {
                            Ok((seconds, values)) => {
                                let shown: Vec<String> = values.iter().map(|value| format!("{value:.3}")).collect();
                                println!("{}, seed {seed}: {} after {seconds:.0} s", row.name, shown.join(", "));
                            }
                            Err(_) => next.store(jobs.len(), Ordering::Relaxed),
                        }
                        *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
                    }
                });
            }
        });
        let found: Vec<(f64, Vec<f64>)> = outcomes
            .into_iter()
            .filter_map(|outcome| outcome.into_inner().unwrap_or_else(PoisonError::into_inner))
            .collect::<Result<_>>()?;
        Ok(found.chunks(self.table.seeds.len()).map(|seeds| self.row(seeds)).collect())
    }

    /// What the seeds of a row found.
    fn row(&self, seeds: &[(f64, Vec<f64>)]) -> RowResult {
        let column = |index: usize| seeds.iter().map(|(_, values)| values[index]).collect();
        RowResult {
            columns: (0..self.table.columns.len()).map(column).collect(),
            wall_seconds: seeds.iter().map(|(seconds, _)| *seconds).collect(),
        }
    }

    /// Seconds of training, and the value of each column.
    fn seed(&self, row: &Row, seed: u64) -> Result<(f64, Vec<f64>)> {
        let folder = self.folder.join(row.folder()).join(format!("seed-{seed}"));
        let stamp = Stamp { program: self.stamp.clone(), config: resolved(self.program, row, seed)? };
        claim(&folder, &stamp)?;
        let run = folder.join("run");
        let report = run.join("eval/report.json");
        if !report.is_file() {
            self.train(row, seed, &run)?;
        }
        let seconds = number(&read_json(&report)?, "speed.wall_seconds").context("in the report of the run")?;
        let evaluation = folder.join(format!("{}.json", self.table.split));
        let found = match read_json(&evaluation) {
            Ok(found) => found,
            Err(_) => {
                let printed =
                    self.program.output(&["eval", path_text(&run)?, "--split", &self.table.split, "--json"])?;
                std::fs::write(&evaluation, &printed)
                    .with_context(|| format!("cannot write {}", evaluation.display()))?;
                read_json(&evaluation)?
            }
        };
        let of_split = found.get(0).context("`dqn-cli eval --json` printed no split")?;
        let values = self.table.columns.iter().map(|column| number(of_split, &column.path)).collect::<Result<_>>()?;
        Ok((seconds, values))
    }

    /// Trains from where an interrupted run stopped, or from the beginning.
    fn train(&self, row: &Row, seed: u64, run: &Path) -> Result<()> {
        let run_text = path_text(run)?;
        let mut arguments = vec!["--quiet".to_owned(), "train".to_owned()];
        // Until it has this file a run has nothing to go on from.
        if run.join("origin.json").is_file() {
            arguments.extend(["--resume".to_owned(), run_text.to_owned()]);
        } else {
            remove(run)?;
            arguments.extend(row.arguments());
            arguments.extend(["--seed".to_owned(), seed.to_string(), "--run-dir".to_owned(), run_text.to_owned()]);
        }
        self.program.output_with(self.n_threads, &arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(())
    }
}

/// Makes `folder` one for runs by `stamp`: what another program or other settings left there is removed.
fn claim(folder: &Path, stamp: &Stamp) -> Result<()> {
    let path = folder.join("stamp.json");
    let found = std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Stamp>(&text).ok());
    if found.as_ref() == Some(stamp) {
        return Ok(());
    }
    remove(folder)?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let text = serde_json::to_string(stamp).context("cannot write a stamp as JSON")?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// The number at a path such as `episode_return.mean`.
fn number(value: &Value, path: &str) -> Result<f64> {
    let mut found = value;
    for key in path.split('.') {
        found = match found.get(key) {
            Some(inner) => inner,
            None => bail!("`{path}` leads nowhere: there is no `{key}` in {}", shortened(found)),
        };
    }
    found.as_f64().with_context(|| format!("`{path}` leads to {}; a number is needed", shortened(found)))
}

fn shortened(value: &Value) -> String {
    const MAX_CHARACTERS: usize = 200;
    let text = value.to_string();
    match text.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

fn program_hash(executable: &Path) -> Result<String> {
    let bytes = std::fs::read(executable).with_context(|| format!("cannot read {}", executable.display()))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn command(file: &Path) -> String {
    format!("cargo xtask table {}", file.display())
}

/// The commit the workspace is at, and whether it has been changed since, the pages aside.
fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let pages = format!(":!{PAGES}");
    match git(&["status", "--porcelain", "--", ".", &pages]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit} with changes"),
    }
}

fn n_cores() -> Option<usize> {
    std::thread::available_parallelism().ok().map(usize::from)
}

/// What the seconds depend on: the number of cores, and how runs share them.
fn machine(parallel: usize, n_threads: Option<usize>) -> String {
    let cores = match n_cores() {
        Some(1) => "one core".to_owned(),
        Some(cores) => format!("{cores} cores"),
        None => "an unknown number of cores".to_owned(),
    };
    match n_threads {
        Some(1) => format!("{cores}, {parallel} runs at a time with one thread each"),
        Some(n_threads) => format!("{cores}, {parallel} runs at a time with {n_threads} threads each"),
        None => cores,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_page_says_how_runs_shared_the_machine() {
        assert!(machine(1, None).ends_with("core") || machine(1, None).ends_with("cores"));
        assert!(machine(2, Some(1)).ends_with(", 2 runs at a time with one thread each"));
        assert!(machine(2, Some(4)).ends_with(", 2 runs at a time with 4 threads each"));
    }

    #[test]
    fn the_tables_of_this_workspace_are_sound() {
        let root = crate::process::workspace_root();
        let paths = tables(&root).unwrap();
        assert!(!paths.is_empty());
        for path in paths {
            for row in Table::read(&path).unwrap().rows {
                assert!(root.join(&row.config).is_file(), "{}: {} is missing", path.display(), row.config);
            }
        }
    }

    fn fault(replaced: &str, by: &str) -> String {
        let text = r#"
            title = "T"
            seeds = [1, 2]
            columns = [{ name = "return", path = "episode_return.mean" }]
            [[rows]]
            name = "first"
            config = "a.toml"
            [[rows]]
            name = "second"
            config = "a.toml"
            against = "first"
        "#;
        assert!(text.contains(replaced), "{replaced}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(&path, text.replacen(replaced, by, 1)).unwrap();
        match Table::read(&path) {
            Ok(_) => "none".to_owned(),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn faults_of_a_table_are_named() {
        assert_eq!(fault("title", "title"), "none");
        for (replaced, by, part) in [
            ("seeds = [1, 2]", "seeds = []", "`seeds` is empty"),
            ("seeds = [1, 2]", "seeds = [2, 2]", "a seed twice"),
            ("name = \"second\"", "name = \"First\"", "two rows are called \"First\""),
            ("against = \"first\"", "against = \"third\"", "compared with \"third\""),
            ("title", "titel", "unknown field `titel`"),
            ("[{ name = \"return\", path = \"episode_return.mean\" }]", "[]", "`columns` is empty"),
        ] {
            let found = fault(replaced, by);
            assert!(found.contains(part), "{by}: {found}");
        }
    }

    #[test]
    fn numbers_are_found_by_their_path() {
        let value = json!({ "episode_return": { "mean": 0.5, "low": null }, "n": 3 });
        assert_eq!(number(&value, "episode_return.mean").unwrap(), 0.5);
        assert_eq!(number(&value, "n").unwrap(), 3.0);
        let message = |path| number(&value, path).unwrap_err().to_string();
        assert_eq!(message("episode_return.low"), "`episode_return.low` leads to null; a number is needed");
        assert!(message("episode_return.median").starts_with("`episode_return.median` leads nowhere: there is no"));
    }

    #[test]
    fn what_another_program_left_is_removed_and_what_this_one_left_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("seed-1");
        let stamp = |program: &str, config: &str| Stamp { program: program.to_owned(), config: config.to_owned() };
        let left = folder.join("left");
        claim(&folder, &stamp("p", "c")).unwrap();
        std::fs::write(&left, "x").unwrap();
        claim(&folder, &stamp("p", "c")).unwrap();
        assert!(left.is_file());
        for other in [stamp("p", "d"), stamp("q", "d")] {
            std::fs::write(&left, "x").unwrap();
            claim(&folder, &other).unwrap();
            assert!(!left.exists(), "{other:?}");
        }
    }
}
