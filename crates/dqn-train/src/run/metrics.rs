//! The numbers of a run over time: as JSON lines, as a table, and for TensorBoard.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize};

use super::lines::{LineLog, read_json};
use super::tensorboard::EventWriter;
use crate::error::TrainError;

/// Name of the file of JSON lines, one [`Record`] each.
pub const JSONL_NAME: &str = "metrics.jsonl";
/// Name of the table.
pub const CSV_NAME: &str = "metrics.csv";

/// How the names of quantiles end, in the order of [`dqn_core::spread::SPREAD_LEVELS`].
pub const QUANTILE_ENDINGS: [&str; 5] = ["_p05", "_p25", "_p50", "_p75", "_p95"];

/// Columns of the table. One row for each scalar, so that a new scalar never changes the header.
const CSV_COLUMNS: [&str; 6] = ["update", "step", "episode", "wall_seconds", "name", "value"];

/// What was measured at one moment of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Parameter updates so far.
    pub update: u64,
    /// Actions taken in the environment so far.
    pub step: u64,
    /// Training episodes finished so far.
    pub episode: u64,
    /// Time spent training so far, over all the times the run was resumed.
    pub wall_seconds: f64,
    /// The values by name; a value that is not finite is `null` in the file, and reads back as not a number.
    #[serde(deserialize_with = "scalars")]
    pub scalars: BTreeMap<String, f64>,
}

fn scalars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let scalars = BTreeMap::<String, Option<f64>>::deserialize(deserializer)?;
    Ok(scalars.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}

/// The records in the file of JSON lines at `path`; a last line without its end is left out.
///
/// # Errors
/// [`TrainError::Read`] when the file cannot be read, [`TrainError::LogLine`] when a line is no record.
pub fn read_records(path: &Path) -> Result<Vec<Record>, TrainError> {
    read_json(path)
}

/// Appends records to the three logs of a run.
#[derive(Debug)]
pub struct MetricsWriter {
    folder: PathBuf,
    jsonl: LineLog,
    csv: LineLog,
    events: EventWriter<File>,
}

impl MetricsWriter {
    /// Opens the logs in `folder`: new ones, or those of an earlier process, cut back to their first `resume_at`
    /// records.
    ///
    /// A checkpoint remembers [`MetricsWriter::n_records`]; resuming with that number leaves no record of what the
    /// checkpoint does not cover. TensorBoard gets a new file, which tells it to forget the later steps of the old
    /// ones.
    ///
    /// # Errors
    /// [`TrainError::Write`] when a log cannot be opened or cut, [`TrainError::LogLine`] when a record that is to be
    /// kept is damaged.
    pub fn open(folder: &Path, resume_at: Option<u64>) -> Result<Self, TrainError> {
        let jsonl_path = folder.join(JSONL_NAME);
        let jsonl = LineLog::open(&jsonl_path, resume_at.unwrap_or(0))?;
        let kept = read_records(&jsonl_path)?;

        let n_rows = kept.iter().map(|record| record.scalars.len() as u64).sum::<u64>();
        // Before the first record the table has its header or, killed earlier still, not even that.
        let mut csv = LineLog::open(&folder.join(CSV_NAME), if resume_at.is_some() { 1 + n_rows } else { 0 })?;
        if csv.n_lines() == 0 {
            csv.append(&(CSV_COLUMNS.join(",") + "\n"))?;
        }

        let purge_from = resume_at.map(|_| kept.last().map_or(0, |record| record.update + 1));
        let events = EventWriter::create(folder, unix_seconds(), purge_from)
            .map_err(|(path, source)| TrainError::Write { path, source })?;
        Ok(Self { folder: folder.to_owned(), jsonl, csv, events })
    }

    /// How many records the logs hold.
    pub fn n_records(&self) -> u64 {
        self.jsonl.n_lines()
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`TrainError::Write`] when a log cannot be written.
    pub fn append(&mut self, record: &Record) -> Result<(), TrainError> {
        self.jsonl.append_json(record)?;
        let rows = rows(record).map_err(|source| self.fault(CSV_NAME, source))?;
        self.csv.append(&rows)?;
        let scalars = record.scalars.iter().map(|(name, &value)| (name.as_str(), value));
        self.events
            .scalars(unix_seconds(), record.update, scalars)
            .map_err(|source| self.fault("events.out.tfevents", source))
    }

    /// Shows a text, such as samples, in TensorBoard.
    ///
    /// # Errors
    /// [`TrainError::Write`] when the file of events cannot be written.
    pub fn text(&mut self, update: u64, name: &str, text: &str) -> Result<(), TrainError> {
        self.events.text(unix_seconds(), update, name, text).map_err(|source| self.fault("events.out.tfevents", source))
    }

    /// Waits until everything appended has reached the disk; due before a checkpoint that counts on it.
    ///
    /// # Errors
    /// [`TrainError::Write`] when it has not.
    pub fn sync(&self) -> Result<(), TrainError> {
        self.jsonl.sync()?;
        self.csv.sync()
    }

    fn fault(&self, name: &str, source: io::Error) -> TrainError {
        TrainError::Write { path: self.folder.join(name), source }
    }
}

/// The rows of the table for one record, each with its line end.
fn rows(record: &Record) -> io::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (name, value) in &record.scalars {
        debug_assert!(!name.contains('\n'), "a name of two lines: {name:?}");
        let value = if value.is_finite() { value.to_string() } else { String::new() };
        writer.write_record([
            &record.update.to_string(),
            &record.step.to_string(),
            &record.episode.to_string(),
            &record.wall_seconds.to_string(),
            name,
            &value,
        ])?;
    }
    let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

fn unix_seconds() -> f64 {
    // A clock set before 1970 is wrong anyway, and no reason to stop.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |duration| duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn record(update: u64, scalars: &[(&str, f64)]) -> Record {
        let scalars = scalars.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        Record { update, step: update * 8, episode: update / 2, wall_seconds: update as f64 / 4.0, scalars }
    }

    fn three() -> [Record; 3] {
        [
            record(1, &[("loss", 0.5)]),
            record(2, &[("loss", f64::INFINITY), ("a, \"b\"", 1e-7)]),
            record(3, &[("loss", 0.1 + 0.2), ("new", -3.0)]),
        ]
    }

    fn texts(folder: &Path) -> [String; 2] {
        [JSONL_NAME, CSV_NAME].map(|name| fs::read_to_string(folder.join(name)).unwrap())
    }

    #[test]
    fn a_record_is_a_line_of_json_and_a_row_for_each_scalar() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = MetricsWriter::open(folder.path(), None).unwrap();
        for record in three() {
            writer.append(&record).unwrap();
        }
        assert_eq!(writer.n_records(), 3);
        let [jsonl, csv] = texts(folder.path());
        assert_eq!(
            jsonl.lines().nth(1).unwrap(),
            r#"{"update":2,"step":16,"episode":1,"wall_seconds":0.5,"scalars":{"a, \"b\"":1e-7,"loss":null}}"#
        );
        assert_eq!(
            csv,
            "update,step,episode,wall_seconds,name,value\n\
             1,8,0,0.25,loss,0.5\n\
             2,16,1,0.5,\"a, \"\"b\"\"\",0.0000001\n\
             2,16,1,0.5,loss,\n\
             3,24,1,0.75,loss,0.30000000000000004\n\
             3,24,1,0.75,new,-3\n"
        );
        let read = read_records(&folder.path().join(JSONL_NAME)).unwrap();
        assert!(read[1].scalars["loss"].is_nan());
        assert_eq!((&read[0], &read[2]), (&three()[0], &three()[2]));
    }

    #[test]
    fn a_resumed_log_is_the_log_of_an_undisturbed_run() {
        let undisturbed = tempfile::tempdir().unwrap();
        let mut writer = MetricsWriter::open(undisturbed.path(), None).unwrap();
        for record in three() {
            writer.append(&record).unwrap();
        }
        for n_kept in 0..=3 {
            for half in ["", "{\"update\":4,\"st"] {
                let resumed = tempfile::tempdir().unwrap();
                let mut writer = MetricsWriter::open(resumed.path(), None).unwrap();
                for record in three() {
                    writer.append(&record).unwrap();
                }
                drop(writer);
                for name in [JSONL_NAME, CSV_NAME] {
                    let mut file = fs::OpenOptions::new().append(true).open(resumed.path().join(name)).unwrap();
                    file.write_all(half.as_bytes()).unwrap();
                }
                let mut writer = MetricsWriter::open(resumed.path(), Some(n_kept)).unwrap();
                for record in three().iter().skip(n_kept as usize) {
                    writer.append(record).unwrap();
                }
                assert_eq!(texts(resumed.path()), texts(undisturbed.path()), "{n_kept} kept, {half:?} left");
            }
        }
    }

    #[test]
    fn a_damaged_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JSONL_NAME);
        let good = serde_json::to_string(&three()[0]).unwrap();
        fs::write(&path, format!("{good}\n{}\n{good}\n", good.replace("loss", "lo\"ss"))).unwrap();
        let fault = read_records(&path).unwrap_err();
        assert!(matches!(fault, TrainError::LogLine { line: 2, .. }), "{fault}");
    }
}
