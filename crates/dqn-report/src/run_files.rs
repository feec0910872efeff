//! What a run wrote, read again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dqn_train::TrainError;
use dqn_train::evaluation::Evaluation;
use dqn_train::report::Report;
use dqn_train::run::directory::RunDirectory;
use dqn_train::run::lines;
use dqn_train::run::metrics::{self, Record};
use dqn_train::runner;
use dqn_train::samples::LoggedSample;
use serde::Deserialize;

use crate::ReportError;

/// The files of one run.
#[derive(Clone, Debug)]
pub struct RunFiles {
    /// Its folder, as it was named.
    pub path: PathBuf,
    /// Name of the experiment.
    pub name: String,
    /// Seed of every random draw.
    pub seed: i64,
    /// Version of the program that began it.
    pub program_version: String,
    /// The backend it began on.
    pub backend: String,
    /// When it began.
    pub begun: Option<SystemTime>,
    /// When something was measured last.
    pub measured: Option<SystemTime>,
    /// The resolved settings as TOML.
    pub config: String,
    /// The same by key path, each value as TOML.
    pub settings: BTreeMap<String, String>,
    /// Everything that was measured; at least one record.
    pub records: Vec<Record>,
    /// Texts written on the way.
    pub samples: Vec<LoggedSample>,
    /// The final evaluation, where the run came to its end.
    pub report: Option<Report>,
}

/// What `eval/report.json` holds that is shown here.
#[derive(Deserialize)]
struct Stored {
    report: Report,
}

impl RunFiles {
    /// Reads the folder of a run, finished or not.
    ///
    /// # Errors
    /// [`ReportError::Run`] when it is no run, a file is missing, or a line of a log is damaged;
    /// [`ReportError::NoMetrics`], [`ReportError::Damaged`].
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let directory = RunDirectory::open(path)?;
        let Head { name, seed, backend, config, settings } = Head::read(&directory)?;
        let metrics_path = directory.metrics_path();
        let records = metrics::read_records(&metrics_path)?;
        if records.is_empty() {
            return Err(ReportError::NoMetrics { path: metrics_path });
        }
        let samples_path = directory.samples_path();
        let samples = if samples_path.exists() { lines::read_json(&samples_path)? } else { Vec::new() };
        Ok(Self {
            name,
            seed,
            program_version: directory.program_version().to_owned(),
            backend,
            begun: directory.made_at(),
            measured: metrics_path.metadata().and_then(|file| file.modified()).ok(),
            config,
            settings,
            records,
            samples,
            report: report(&report_path(path))?,
            path: path.to_owned(),
        })
    }

    /// Reads the folders of runs.
    ///
    /// # Errors
    /// Those of [`RunFiles::read`], and [`ReportError::NamedTwice`].
    pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>, ReportError> {
        let mut runs: Vec<Self> = Vec::new();
        let mut places: Vec<PathBuf> = Vec::new();
        for path in paths {
            let run = Self::read(path)?;
            let place = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            if let Some(index) = places.iter().position(|other| *other == place) {
                return Err(ReportError::NamedTwice { first: paths[index].clone(), second: path.clone() });
            }
            places.push(place);
            runs.push(run);
        }
        Ok(runs)
    }

    /// What was measured last.
    pub fn last(&self) -> &Record {
        self.records.last().expect("a run that was read has a record")
    }

    /// The evaluations of what was learned, as it acts, one for each split.
    pub fn learned(&self) -> Vec<&Evaluation> {
        let Some(report) = &self.report else { return Vec::new() };
        let name = report.learned.first();
        report.rows.iter().filter(|row| Some(&row.policy) == name).collect()
    }
}

/// What a run settles when it begins.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) name: String,
    pub(crate) seed: i64,
    pub(crate) backend: String,
    pub(crate) config: String,
    pub(crate) settings: BTreeMap<String, String>,
}

impl Head {
    /// # Errors
    /// [`ReportError::Run`] when a file is missing, [`ReportError::Damaged`].
    pub(crate) fn read(directory: &RunDirectory) -> Result<Self, ReportError> {
        let config_path = directory.config_path();
        let config = read(&config_path)?;
        let damaged = |message: String| ReportError::Damaged { path: config_path.clone(), message };
        let table: toml::Table = toml::from_str(&config).map_err(|fault| damaged(fault.to_string()))?;
        let name = table.get("name").and_then(toml::Value::as_str).map(str::to_owned);
        let seed = table.get("seed").and_then(toml::Value::as_integer);
        let (Some(name), Some(seed)) = (name, seed) else {
            return Err(damaged("name must be a text and seed a whole number".to_owned()));
        };
        let mut settings = BTreeMap::new();
        flatten(String::new(), &toml::Value::Table(table), &mut settings);
        Ok(Self { name, seed, backend: runner::origin(directory)?.backend, config, settings })
    }
}

/// Where the run at `path` keeps its final evaluation.
pub(crate) fn report_path(path: &Path) -> PathBuf {
    path.join("eval").join("report.json")
}

/// The final evaluation in the file at `path`; nothing where there is no file.
///
/// # Errors
/// [`ReportError::Run`] when it cannot be read, [`ReportError::Damaged`] when it is no evaluation.
pub(crate) fn report(path: &Path) -> Result<Option<Report>, ReportError> {
    let text = match fs::read_to_string(path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|source| TrainError::Read { path: path.to_owned(), source })?,
    };
    let stored: Stored = serde_json::from_str(&text)
        .map_err(|fault| ReportError::Damaged { path: path.to_owned(), message: fault.to_string() })?;
    Ok(Some(stored.report))
}

fn read(path: &Path) -> Result<String, TrainError> {
    fs::read_to_string(path).map_err(|source| TrainError::Read { path: path.to_owned(), source })
}

/// The values below `value` by key path, such as `learner.n_step` and `reward.terms[0].kind`.
fn flatten(path: String, value: &toml::Value, into: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) if !table.is_empty() => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(path, value, into);
            }
        }
        toml::Value::Array(values) if values.iter().any(toml::Value::is_table) => {
            for (index, value) in values.iter().enumerate() {
                flatten(format!("{path}[{index}]"), value, into);
            }
        }
        value => drop(into.insert(path, value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_a_path_each() {
        let text = "a = 1\nb = [1, 2]\nempty = {}\n[c.d]\ne = \"x\"\n[[f]]\ng = 0.5\n[[f]]\ng = true\n";
        let mut found = BTreeMap::new();
        flatten(String::new(), &toml::Value::Table(toml::from_str(text).unwrap()), &mut found);
        let found: Vec<(&str, &str)> = found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let expected =
            [("a", "1"), ("b", "[1, 2]"), ("c.d.e", "\"x\""), ("empty", "{}"), ("f[0].g", "0.5"), ("f[1].g", "true")];
        assert_eq!(found, expected);
    }
}
