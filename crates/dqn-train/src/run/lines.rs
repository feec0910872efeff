//! Logs of one line an entry, which survive a kill and can be cut back to what a checkpoint covers.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::TrainError;

/// A text file that grows by whole lines.
#[derive(Debug)]
pub struct LineLog {
    path: PathBuf,
    file: File,
    n_lines: u64,
}

impl LineLog {
    /// Opens the log at `path` and keeps its first `keep` lines, or as many whole lines as it has.
    ///
    /// A last line without its end, as a killed process leaves it, is not a whole line. A log that is not there is
    /// made. A log shorter than `keep` (a machine that lost power may forget its end) is gone on with as it is.
    ///
    /// # Errors
    /// [`TrainError::Write`] when the file cannot be opened, read or cut.
    pub fn open(path: &Path, keep: u64) -> Result<Self, TrainError> {
        open_and_cut(path, keep)
            .map(|(file, n_lines)| Self { path: path.to_owned(), file, n_lines })
            .map_err(|source| TrainError::Write { path: path.to_owned(), source })
    }

    /// How many lines the log has.
    pub fn n_lines(&self) -> u64 {
        self.n_lines
    }

    /// Appends `value` as one line of JSON.
    ///
    /// # Errors
    /// [`TrainError::Write`] when the file cannot be written, or the value has no JSON form.
    pub fn append_json(&mut self, value: &impl Serialize) -> Result<(), TrainError> {
        let line = serde_json::to_string(value).map_err(|fault| self.fault(fault.into()))?;
        self.append(&(line + "\n"))
    }

    /// Appends text that consists of whole lines.
    ///
    /// # Errors
    /// [`TrainError::Write`] when the file cannot be written.
    ///
    /// # Panics
    /// In debug builds, when the text does not end with a line end.
    pub fn append(&mut self, lines: &str) -> Result<(), TrainError> {
        debug_assert!(lines.is_empty() || lines.ends_with('\n'), "half a line: {lines:?}");
        // One call of the system for everything: a kill between two calls would leave a part of it.
        self.file.write_all(lines.as_bytes()).map_err(|source| self.fault(source))?;
        self.n_lines += count_lines(lines);
        Ok(())
    }

    /// Waits until everything appended has reached the disk.
    ///
    /// # Errors
    /// [`TrainError::Write`] when it has not.
    pub fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_data().map_err(|source| self.fault(source))
    }

    fn fault(&self, source: io::Error) -> TrainError {
        TrainError::Write { path: self.path.clone(), source }
    }
}

/// The values in the log of JSON lines at `path`; a last line without its end is left out.
///
/// # Errors
/// [`TrainError::Read`] when the file cannot be read, [`TrainError::LogLine`] when a line is no such value.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, TrainError> {
    let text = std::fs::read_to_string(path).map_err(|source| TrainError::Read { path: path.to_owned(), source })?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .zip(1..)
        .map(|(line, number)| {
            serde_json::from_str(line).map_err(|fault| TrainError::LogLine {
                path: path.to_owned(),
                line: number,
                message: fault.to_string(),
            })
        })
        .collect()
}

fn count_lines(text: &str) -> u64 {
    text.bytes().filter(|&byte| byte == b'\n').count() as u64
}

fn open_and_cut(path: &Path, keep: u64) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut reader = BufReader::new(file);
    let (mut n_lines, mut n_bytes, mut line) = (0, 0, Vec::new());
    while n_lines < keep {
        line.clear();
        let n_read = reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            tracing::warn!("{} has {n_lines} whole lines; {keep} were expected", path.display());
            break;
        }
        n_bytes += n_read as u64;
        n_lines += 1;
    }
    let mut file = reader.into_inner();
    file.set_len(n_bytes)?;
    file.seek(SeekFrom::Start(n_bytes))?;
    Ok((file, n_lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a log of `content` with `keep`, appends a line, and compares the file.
    fn check(content: &str, keep: u64, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, content).unwrap();
        let mut log = LineLog::open(&path, keep).unwrap();
        log.append("new\n").unwrap();
        log.sync().unwrap();
        let found = std::fs::read_to_string(&path).unwrap();
        assert_eq!(found, expected, "{content:?} cut to {keep}");
        assert_eq!(log.n_lines(), count_lines(&found));
    }

    #[test]
    fn a_log_is_cut_to_whole_lines() {
        check("a\nbb\nccc\n", 0, "new\n");
        check("a\nbb\nccc\n", 2, "a\nbb\nnew\n");
        check("a\nbb\nccc\n", 3, "a\nbb\nccc\nnew\n");
        check("a\nbb\nhal", 2, "a\nbb\nnew\n");
        check("a\nbb\nhal", 3, "a\nbb\nnew\n");
        check("", 5, "new\n");
        check("你\n好", 2, "你\nnew\n");
    }

    #[test]
    fn a_log_begins_where_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.jsonl");
        let mut log = LineLog::open(&path, 0).unwrap();
        log.append_json(&("text\nof two lines", f64::NAN)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[\"text\\nof two lines\",null]\n");
        assert_eq!(log.n_lines(), 1);
    }
}
