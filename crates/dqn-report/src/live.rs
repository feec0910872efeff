//! A run as it goes on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dqn_train::report::Report;
use dqn_train::run::directory::RunDirectory;
use dqn_train::run::metrics::{JSONL_NAME, Record};
use dqn_train::samples::LoggedSample;

use crate::ReportError;
use crate::curve::Point;
use crate::run_files::{Head, report, report_path};
use crate::tail::Tail;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// A process holds its lock.
    Running,
    /// No process works on it, and it was evaluated at its end.
    Finished,
    /// No process works on it, and it has not come to its end.
    Stopped,
}

/// How far a run had come at one record.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mark {
    /// Parameter updates.
    pub update: u64,
    /// Actions taken in the environment.
    pub step: u64,
    /// Training episodes finished.
    pub episode: u64,
    /// Seconds of the run.
    pub wall_seconds: f64,
}

/// What was measured so far, by measure and not by record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// One for each record.
    pub marks: Vec<Mark>,
    /// The finite values of each measure over updates.
    pub curves: BTreeMap<String, Vec<Point>>,
    /// The newest value of each measure, finite or not.
    pub newest: BTreeMap<String, f64>,
}

impl Measured {
    /// Adds what was measured at one moment.
    pub fn push(&mut self, record: &Record) {
        let &Record { update, step, episode, wall_seconds, .. } = record;
        self.marks.push(Mark { update, step, episode, wall_seconds });
        for (name, &y) in &record.scalars {
            set(&mut self.newest, name, y);
            if y.is_finite() {
                let point = Point { x: update as f64, y };
                match self.curves.get_mut(name) {
                    Some(curve) => curve.push(point),
                    None => drop(self.curves.insert(name.clone(), vec![point])),
                }
            }
        }
    }
}

/// As `insert`, without a new name where there is one.
fn set(values: &mut BTreeMap<String, f64>, name: &str, value: f64) {
    match values.get_mut(name) {
        Some(known) => *known = value,
        None => drop(values.insert(name.to_owned(), value)),
    }
}

/// What the record counts that ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Actions in the environment.
    Steps,
    /// Parameter updates.
    Updates,
    /// Training episodes.
    Episodes,
}

impl Unit {
    const ALL: [Unit; 3] = [Unit::Steps, Unit::Updates, Unit::Episodes];

    /// As configurations name it.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Steps => "steps",
            Unit::Updates => "updates",
            Unit::Episodes => "episodes",
        }
    }

    /// How many of them there were at `mark`.
    pub fn of(self, mark: &Mark) -> u64 {
        match self {
            Unit::Steps => mark.step,
            Unit::Updates => mark.update,
            Unit::Episodes => mark.episode,
        }
    }
}

/// What is known of a run, from its files.
#[derive(Clone, Debug)]
pub struct LiveRun {
    /// Its folder, as it was named.
    pub path: PathBuf,
    /// Name of the experiment.
    pub name: String,
    /// Seed of every random draw.
    pub seed: i64,
    /// The backend it began on.
    pub backend: String,
    /// The resolved settings by key path, each value as TOML.
    pub settings: BTreeMap<String, String>,
    /// What it is doing.
    pub state: RunState,
    /// What was measured.
    pub measured: Measured,
    /// When something was measured last.
    pub measured_at: Option<SystemTime>,
    /// The texts that were written last, all after the same update.
    pub samples: Vec<LoggedSample>,
    /// The final evaluation, of a run that is finished.
    pub report: Option<Report>,
}

impl LiveRun {
    /// After how much of what the run ends.
    pub fn stop_after(&self) -> Option<(Unit, u64)> {
        let of = |unit: Unit| {
            let value = self.settings.get(&format!("training.stop_after.{}", unit.name()))?;
            Some((unit, value.parse().ok()?))
        };
        Unit::ALL.into_iter().find_map(of)
    }

    fn head(&mut self, Head { name, seed, backend, settings, .. }: Head) {
        (self.name, self.seed, self.backend, self.settings) = (name, seed, backend, settings);
    }
}

/// Reads the files of a run again and again, each time only what is new.
#[derive(Debug)]
pub struct Follower {
    metrics: Tail<Record>,
    samples: Tail<LoggedSample>,
    /// When the final evaluation that is known was written.
    reported_at: Option<SystemTime>,
    /// The final evaluation in the folder, of this run or of its life before it was resumed.
    report: Option<Report>,
    /// Whether the run has begun anew, perhaps with other settings, and these could not be read yet.
    has_old_head: bool,
    run: LiveRun,
}

impl Follower {
    /// Opens the folder of a run and reads what there is.
    ///
    /// # Errors
    /// [`ReportError::Run`] when it is no run, a file is missing, or a line of a log is damaged;
    /// [`ReportError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, ReportError> {
        let directory = RunDirectory::open(path)?;
        let Head { name, seed, backend, settings, .. } = Head::read(&directory)?;
        let run = LiveRun {
            path: path.to_owned(),
            name,
            seed,
            backend,
            settings,
            state: RunState::Stopped,
            measured: Measured::default(),
            measured_at: None,
            samples: Vec::new(),
            report: None,
        };
        let mut follower = Self {
            metrics: Tail::new(&directory.metrics_path()),
            samples: Tail::new(&directory.samples_path()),
            reported_at: None,
            report: None,
            has_old_head: false,
            run,
        };
        follower.refresh()?;
        Ok(follower)
    }

    /// What is known of the run.
    pub fn run(&self) -> &LiveRun {
        &self.run
    }

    /// Reads what the run has written since the last time.
    ///
    /// A folder that is gone, or is being made anew, holds a run that has measured nothing.
    ///
    /// # Errors
    /// [`ReportError::Run`] when a file cannot be read, or a line of a log is damaged; [`ReportError::Damaged`].
    pub fn refresh(&mut self) -> Result<(), ReportError> {
        // Before the files: a run that ends in between is shown as running until the next time, and not as stopped.
        // Where the system does not tell of the lock, nobody is taken to hold it.
        let directory = RunDirectory::open(&self.run.path);
        let is_being_written = directory.as_ref().is_ok_and(|directory| directory.is_being_written().unwrap_or(false));
        let metrics = self.metrics.grown()?;
        if metrics.is_anew {
            self.run.measured = Measured::default();
            self.has_old_head = true;
        }
        for record in &metrics.values {
            self.run.measured.push(record);
        }
        self.run.measured_at = match self.run.measured.marks.is_empty() {
            true => None,
            false => modified(&self.run.path.join(JSONL_NAME)),
        };
        if self.has_old_head
            && let Some(head) = directory.as_ref().ok().and_then(|directory| Head::read(directory).ok())
        {
            self.run.head(head);
            self.has_old_head = false;
        }
        self.read_samples()?;
        self.read_report()?;
        self.run.state = match (is_being_written, &self.report) {
            (true, _) => RunState::Running,
            (false, Some(_)) => RunState::Finished,
            (false, None) => RunState::Stopped,
        };
        self.run.report = self.report.clone().filter(|_| self.run.state == RunState::Finished);
        Ok(())
    }

    fn read_samples(&mut self) -> Result<(), ReportError> {
        let samples = self.samples.grown()?;
        if samples.is_anew {
            self.run.samples.clear();
        }
        for sample in samples.values {
            if self.run.samples.first().is_some_and(|first| first.update != sample.update) {
                self.run.samples.clear();
            }
            self.run.samples.push(sample);
        }
        Ok(())
    }

    fn read_report(&mut self) -> Result<(), ReportError> {
        let path = report_path(&self.run.path);
        let written_at = modified(&path);
        if written_at != self.reported_at || written_at.is_none() {
            self.report = report(&path)?;
            self.reported_at = written_at;
        }
        Ok(())
    }
}

/// When a file was written last; nothing where there is none, or the system does not tell.
fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn record(update: u64, name: &str, value: f64) -> Record {
        let scalars = [(name.to_owned(), value)].into();
        Record { update, step: 8 * update, episode: 2 * update, wall_seconds: update as f64 / 2.0, scalars }
    }

    #[test]
    fn measures_are_gathered_by_name() {
        let mut measured = Measured::default();
        for record in [record(1, "a", 0.5), record(2, "b", 3.0), record(3, "a", 0.25), record(4, "a", f64::NAN)] {
            measured.push(&record);
        }
        assert_eq!(measured.curves["a"], [Point { x: 1.0, y: 0.5 }, Point { x: 3.0, y: 0.25 }]);
        assert_eq!(measured.curves["b"], [Point { x: 2.0, y: 3.0 }]);
        assert!(measured.newest["a"].is_nan() && measured.newest["b"] == 3.0);
        assert_eq!(measured.marks[2], Mark { update: 3, step: 24, episode: 6, wall_seconds: 1.5 });
        assert_eq!(Unit::ALL.map(|unit| unit.of(&measured.marks[2])), [24, 3, 6]);
    }

    /// A folder with a run that was begun.
    fn begun(path: &Path, seed: u64) -> RunDirectory {
        let directory = RunDirectory::create(path).unwrap();
        let config = format!("name = \"verse\"\nseed = {seed}\n[training]\nstop_after = {{ episodes = 8 }}\n");
        fs::write(directory.config_path(), config).unwrap();
        fs::write(path.join("origin.json"), r#"{"backend":"flex","corpus":"","others":[]}"#).unwrap();
        directory
    }

    fn append(path: &Path, lines: &str) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(lines.as_bytes()).unwrap();
    }

    fn line(update: u64) -> String {
        serde_json::to_string(&record(update, "train/return", update as f64)).unwrap() + "\n"
    }

    #[test]
    fn a_run_is_followed_through_its_life() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let directory = begun(&path, 7);
        let mut follower = Follower::open(&path).unwrap();
        let run = follower.run();
        assert_eq!((run.name.as_str(), run.seed, run.backend.as_str()), ("verse", 7, "flex"));
        assert_eq!((run.state, run.stop_after()), (RunState::Running, Some((Unit::Episodes, 8))));
        assert_eq!(run.measured_at, None);

        append(&directory.metrics_path(), &(line(1) + &line(2) + "{\"update\":3,"));
        let sample = |update: u64, text: &str| {
            format!("{{\"update\":{update},\"prompt\":\"\",\"text\":\"{text}\",\"episode_return\":0.5}}\n")
        };
        append(&directory.samples_path(), &[sample(1, "a"), sample(2, "春"), sample(2, "风")].concat());
        follower.refresh().unwrap();
        let texts = |follower: &Follower| -> Vec<String> {
            follower.run().samples.iter().map(|sample| sample.text.clone()).collect()
        };
        assert_eq!((follower.run().measured.marks.len(), texts(&follower)), (2, vec!["春".into(), "风".into()]));
        assert!(follower.run().measured_at.is_some());

        // Killed, and resumed from a checkpoint after the first record.
        let (metrics_path, samples_path) = (directory.metrics_path(), directory.samples_path());
        drop(directory);
        follower.refresh().unwrap();
        assert_eq!(follower.run().state, RunState::Stopped);
        let directory = RunDirectory::open_for_writing(&path).unwrap();
        fs::write(&metrics_path, line(1)).unwrap();
        fs::write(&samples_path, sample(1, "a")).unwrap();
        follower.refresh().unwrap();
        assert_eq!((follower.run().measured.marks.len(), texts(&follower)), (1, vec!["a".to_owned()]));
        assert_eq!(follower.run().state, RunState::Running);

        // An evaluation beside a lock is of the life before.
        let report = r#"{"report":{"rows":[],"generalisation_gap":null,"fitted_temperature":null,"samples":[],
            "progress":{"steps":1,"updates":1,"episodes":1}}}"#;
        fs::write(report_path(&path), report).unwrap();
        follower.refresh().unwrap();
        assert_eq!((follower.run().state, follower.run().report.is_some()), (RunState::Running, false));
        drop(directory);
        follower.refresh().unwrap();
        assert_eq!((follower.run().state, follower.run().report.is_some()), (RunState::Finished, true));

        // Gone, and begun anew with another seed.
        fs::remove_dir_all(&path).unwrap();
        follower.refresh().unwrap();
        assert_eq!((follower.run().state, follower.run().measured.marks.len()), (RunState::Stopped, 0));
        let _directory = begun(&path, 8);
        append(&metrics_path, &line(1));
        follower.refresh().unwrap();
        assert_eq!((follower.run().seed, follower.run().measured.marks.len()), (8, 1));
        assert_eq!((follower.run().state, texts(&follower).len()), (RunState::Running, 0));
    }

    #[test]
    fn what_is_no_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let fault = Follower::open(folder.path()).unwrap_err().to_string();
        assert!(fault.contains("is not a run directory"), "{fault}");
    }
}
