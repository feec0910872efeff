//! A log that is read while it is written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use dqn_train::TrainError;
use serde::de::DeserializeOwned;

use crate::ReportError;

/// Most bytes that are read at a time, so that a long log is not in memory twice.
const PIECE_BYTES: u64 = 1 << 22;

/// What a log has got since it was last looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Grown<T> {
    /// Whether what was read before is no longer in the log, so that `values` are all there is.
    pub is_anew: bool,
    /// The new values, in order.
    pub values: Vec<T>,
}

/// Follows a log of JSON lines.
///
/// A line without its end is being written, and left for later. A run that is resumed cuts its log back to its last
/// checkpoint, and one that begins anew empties it: a log that is shorter than what was read, or whose last line read is
/// not where it was, is read again from its beginning.
#[derive(Debug)]
pub struct Tail<T> {
    path: PathBuf,
    /// Bytes read so far: whole lines.
    offset: u64,
    /// Lines read so far.
    n_lines: u64,
    /// The last of them, with its end.
    last_line: Vec<u8>,
    values: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Tail<T> {
    /// Follows the log at `path` from its beginning; it need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, n_lines: 0, last_line: Vec::new(), values: PhantomData }
    }

    /// What the log has got since the last call. A log that is gone has been emptied.
    ///
    /// # Errors
    /// [`ReportError::Run`] when the log cannot be read, or a whole line of it is no such value.
    pub fn grown(&mut self) -> Result<Grown<T>, ReportError> {
        let fault = |path: &Path, source| TrainError::Read { path: path.to_owned(), source };
        let mut file = match File::open(&self.path) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(self.emptied()),
            file => file.map_err(|source| fault(&self.path, source))?,
        };
        let is_anew = !self.continues(&mut file).map_err(|source| fault(&self.path, source))?;
        if is_anew {
            self.forget();
        }
        let mut values = Vec::new();
        loop {
            let lines = self.whole_lines(&mut file).map_err(|source| fault(&self.path, source))?;
            if lines.is_empty() {
                return Ok(Grown { is_anew, values });
            }
            self.parse(&lines, &mut values)?;
        }
    }

    fn emptied(&mut self) -> Grown<T> {
        let is_anew = self.offset > 0;
        self.forget();
        Grown { is_anew, values: Vec::new() }
    }

    fn forget(&mut self) {
        (self.offset, self.n_lines) = (0, 0);
        self.last_line.clear();
    }

    /// Whether the last line read is where it was.
    fn continues(&self, file: &mut File) -> io::Result<bool> {
        if file.metadata()?.len() < self.offset {
            return Ok(false);
        }
        let mut found = vec![0; self.last_line.len()];
        file.seek(SeekFrom::Start(self.offset - found.len() as u64))?;
        match file.read_exact(&mut found) {
            // Cut between the two looks.
            Err(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            result => result.map(|()| found == self.last_line),
        }
    }

    /// Whole lines from where reading has come to, about a piece of them; empty where there is none.
    fn whole_lines(&self, file: &mut File) -> io::Result<Vec<u8>> {
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        loop {
            let n_read = file.take(PIECE_BYTES).read_to_end(&mut bytes)?;
            match bytes.iter().rposition(|&byte| byte == b'\n') {
                Some(end) => bytes.truncate(end + 1),
                None if n_read == 0 => bytes.clear(),
                // A line that is longer than a piece.
                None => continue,
            }
            return Ok(bytes);
        }
    }

    fn parse(&mut self, lines: &[u8], values: &mut Vec<T>) -> Result<(), ReportError> {
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let value = serde_json::from_slice(line).map_err(|fault| TrainError::LogLine {
                path: self.path.clone(),
                line: self.n_lines + 1,
                message: fault.to_string(),
            })?;
            values.push(value);
            self.n_lines += 1;
            self.offset += line.len() as u64;
            self.last_line.clear();
            self.last_line.extend_from_slice(line);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_log_is_followed_as_it_grows_and_is_cut_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let mut tail = Tail::<u32>::new(&path);
        // What the log holds, whether what was read before is void, and what is new.
        let table: [(Option<&str>, bool, &[u32]); 13] = [
            (None, false, &[]),
            (Some(""), false, &[]),
            (Some("1\n2"), false, &[1]),
            (Some("1\n23\n"), false, &[23]),
            (Some("1\n23\n"), false, &[]),
            (Some("1\n23\n4\n5\n6"), false, &[4, 5]),
            // Cut back to a checkpoint.
            (Some("1\n23\n"), true, &[1, 23]),
            // Cut back and already longer again.
            (Some("1\n77\n8\n"), true, &[1, 77, 8]),
            (Some("1\n77\n8\n9\n"), false, &[9]),
            // Gone, and begun anew.
            (None, true, &[]),
            (None, false, &[]),
            (Some("5\n"), false, &[5]),
            (Some(""), true, &[]),
        ];
        for (content, is_anew, values) in table {
            match content {
                Some(content) => fs::write(&path, content).unwrap(),
                None => drop(fs::remove_file(&path)),
            }
            let found = tail.grown().unwrap();
            assert_eq!(found, Grown { is_anew, values: values.to_vec() }, "{content:?}");
        }
    }

    #[test]
    fn a_line_longer_than_a_piece_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let long = "字".repeat(PIECE_BYTES as usize / 2);
        fs::write(&path, format!("\"a\"\n\"{long}\"\n\"b\"\n")).unwrap();
        let found = Tail::<String>::new(&path).grown().unwrap();
        assert_eq!(found.values, ["a".to_owned(), long, "b".to_owned()]);
    }

    #[test]
    fn a_damaged_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        fs::write(&path, "1\n2\n").unwrap();
        let mut tail = Tail::<u32>::new(&path);
        tail.grown().unwrap();
        fs::write(&path, "1\n2\n3\nx\n").unwrap();
        let fault = tail.grown().unwrap_err().to_string();
        assert!(fault.starts_with(&format!("line 4 of {} is damaged", path.display())), "{fault}");
    }
}
