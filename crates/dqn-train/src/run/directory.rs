//! The folder of a run.
//!
//! ```text
//! run.json        format of the folder and version of the program that made it
//! lock            held by the process that writes
//! config.toml     the resolved configuration
//! tokenizer.json  the tokenizer
//! source_tokenizer.json  that of the sentences that are translated
//! metrics.jsonl, metrics.csv, events.out.tfevents.*
//! samples.jsonl   texts the policy wrote on the way
//! checkpoints/    last, previous, best and numbered ones
//! eval/           results of evaluations
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::atomic;
use super::checkpoint::CheckpointStore;
use super::lines::LineLog;
use super::stages::StagedDirectory;
use crate::error::TrainError;

/// The layout this program makes, and the only one it opens.
pub const RUN_FORMAT: u32 = 1;

const MARKER_NAME: &str = "run.json";
const LOCK_NAME: &str = "lock";

/// How often and at what distance the lock is tried for before another process is taken to hold it for good.
const N_LOCK_TRIES: u32 = 4;
const LOCK_TRY_EVERY: Duration = Duration::from_millis(5);

/// What `run.json` holds.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    format: u32,
    program_version: String,
}

/// The folder of a run, for reading or, while the lock is held, for writing.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    program_version: String,
    lock: Option<File>,
}

impl RunDirectory {
    /// Makes the folder of a new run, and holds its lock until this is dropped.
    ///
    /// The folder may exist if it is empty.
    ///
    /// # Errors
    /// [`TrainError::CreateRun`] when it cannot be made, [`TrainError::RunExists`] when it is not empty,
    /// [`TrainError::RunLocked`] when another process makes it at the same time.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, TrainError> {
        let path = path.into();
        let fault = |source| TrainError::CreateRun { path: path.clone(), source };
        fs::create_dir_all(&path).map_err(fault)?;
        // First a look, so that a folder of something else is not even given a lock file; then a look under the lock.
        refuse_content(&path)?;
        let lock = lock(&path)?;
        refuse_content(&path)?;
        let program_version = env!("CARGO_PKG_VERSION").to_owned();
        let run = Self { path: path.clone(), program_version: program_version.clone(), lock: Some(lock) };
        for folder in [run.checkpoints_path(), run.eval_path()] {
            fs::create_dir(folder).map_err(fault)?;
        }
        let marker = Marker { format: RUN_FORMAT, program_version };
        let marker = serde_json::to_string(&marker).map_err(|source| fault(source.into()))?;
        atomic::write_text(&path.join(MARKER_NAME), &(marker + "\n"))?;
        Ok(run)
    }

    /// Empties the folder of a run whose process was killed while it made it; a folder with anything else in it is left
    /// as it is.
    ///
    /// # Errors
    /// [`TrainError::RunLocked`] when another process makes it just now, [`TrainError::CreateRun`] when it cannot be
    /// emptied.
    pub fn discard_unbegun(path: &Path) -> Result<(), TrainError> {
        // In this order: a folder in which checkpoints lie is refused before anything of it is gone.
        const MADE: [&str; 12] = [
            "checkpoints",
            "eval",
            "config.toml",
            "config.toml.partial",
            "tokenizer.json",
            "tokenizer.json.partial",
            "source_tokenizer.json",
            "source_tokenizer.json.partial",
            "origin.json.partial",
            MARKER_NAME,
            "run.json.partial",
            LOCK_NAME,
        ];
        let fault = |source| TrainError::CreateRun { path: path.to_owned(), source };
        let names = entries(path).map_err(fault)?;
        if names.is_empty() || !names.iter().all(|name| MADE.contains(&name.as_str())) {
            return Ok(());
        }
        let _lock = lock(path)?;
        for path in MADE.iter().filter(|name| **name != LOCK_NAME).map(|name| path.join(name)) {
            match path.is_dir() {
                // Only an empty folder can be removed so.
                true => fs::remove_dir(path),
                false if path.exists() => fs::remove_file(path),
                false => Ok(()),
            }
            .map_err(fault)?;
        }
        Ok(())
    }

    /// Whether the folder of a run lies at `path`.
    pub fn is_one(path: &Path) -> bool {
        path.join(MARKER_NAME).is_file()
    }

    /// Opens the folder of a run for reading.
    ///
    /// # Errors
    /// [`TrainError::NotARun`] when it is none, [`TrainError::RunVersion`] when its layout is of another version.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, TrainError> {
        let path = path.into();
        let not_a_run = |message| TrainError::NotARun { path: path.clone(), message };
        if StagedDirectory::is_at(&path) {
            let why = "it holds stages; name the run of one of them, a folder in it such as 1-NAME";
            return Err(not_a_run(why.to_owned()));
        }
        let text = fs::read_to_string(path.join(MARKER_NAME))
            .map_err(|fault| not_a_run(format!("{MARKER_NAME} cannot be read: {fault}")))?;
        let marker: Marker = serde_json::from_str(&text)
            .map_err(|fault| not_a_run(format!("{MARKER_NAME} does not name format and version: {fault}")))?;
        if marker.format != RUN_FORMAT {
            return Err(TrainError::RunVersion {
                path,
                found: marker.format,
                found_program: marker.program_version,
                supported: RUN_FORMAT,
                program: env!("CARGO_PKG_VERSION"),
            });
        }
        Ok(Self { path, program_version: marker.program_version, lock: None })
    }

    /// Opens the folder of a run for writing, and holds its lock until this is dropped.
    ///
    /// # Errors
    /// Those of [`RunDirectory::open`], and [`TrainError::RunLocked`] when another process writes to it.
    pub fn open_for_writing(path: impl Into<PathBuf>) -> Result<Self, TrainError> {
        let mut run = Self::open(path)?;
        run.lock = Some(lock(&run.path)?);
        Ok(run)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Version of the program that made the folder.
    pub fn program_version(&self) -> &str {
        &self.program_version
    }

    /// When the folder was made, as its marker has it; nothing where the system does not tell.
    pub fn made_at(&self) -> Option<SystemTime> {
        self.path.join(MARKER_NAME).metadata().and_then(|marker| marker.modified()).ok()
    }

    /// Whether this holds the lock, and may write what a training process writes.
    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether a process holds the lock just now, this one included.
    ///
    /// To tell, the lock is taken for a moment where it is free; a writer that begins in this moment waits for it.
    ///
    /// # Errors
    /// [`TrainError::Read`] when the system does not tell.
    pub fn is_being_written(&self) -> Result<bool, TrainError> {
        let path = self.path.join(LOCK_NAME);
        let fault = |source| TrainError::Read { path: path.clone(), source };
        let file = match File::open(&path) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file.map_err(fault)?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(fault(source)),
        }
    }

    /// The file of the resolved configuration.
    pub fn config_path(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The file of the tokenizer.
    pub fn tokenizer_path(&self) -> PathBuf {
        self.path.join("tokenizer.json")
    }

    /// The file of the tokenizer of the sentences that texts are about; none where they are about none.
    pub fn source_tokenizer_path(&self) -> PathBuf {
        self.path.join("source_tokenizer.json")
    }

    /// The file of metrics as JSON lines.
    pub fn metrics_path(&self) -> PathBuf {
        self.path.join(super::metrics::JSONL_NAME)
    }

    /// The file of samples as JSON lines.
    pub fn samples_path(&self) -> PathBuf {
        self.path.join("samples.jsonl")
    }

    /// The folder of checkpoints.
    pub fn checkpoints_path(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The folder of the results of evaluations.
    pub fn eval_path(&self) -> PathBuf {
        self.path.join("eval")
    }

    /// The checkpoints.
    pub fn checkpoints(&self) -> CheckpointStore {
        CheckpointStore::new(self.checkpoints_path())
    }

    /// The log of samples: a new one, or that of an earlier process, cut back to its first `resume_at` samples.
    ///
    /// # Errors
    /// [`TrainError::Write`] when it cannot be opened or cut.
    pub fn samples(&self, resume_at: Option<u64>) -> Result<LineLog, TrainError> {
        LineLog::open(&self.samples_path(), resume_at.unwrap_or(0))
    }
}

/// The first of `base/name-1`, `base/name-2`, ... after all that are there.
///
/// A number is not used again when an older run was deleted, so that names stay in the order of the runs.
///
/// # Errors
/// [`TrainError::Read`] when `base` is there, but cannot be listed.
pub fn next_free(base: &Path, name: &str) -> Result<PathBuf, TrainError> {
    let mut last = 0;
    for found in entries(base).map_err(|source| TrainError::Read { path: base.to_owned(), source })? {
        let number = found.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')?.parse().ok());
        last = last.max(number.unwrap_or(0_u64));
    }
    Ok(base.join(format!("{name}-{}", last.saturating_add(1))))
}

/// The sorted names in a folder; none where there is no folder.
fn entries(folder: &Path) -> io::Result<Vec<String>> {
    let listed = match fs::read_dir(folder) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?,
    };
    let mut names = listed
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn refuse_content(path: &Path) -> Result<(), TrainError> {
    let names = entries(path).map_err(|source| TrainError::CreateRun { path: path.to_owned(), source })?;
    match names.into_iter().find(|name| name != LOCK_NAME) {
        None => Ok(()),
        Some(found) => Err(TrainError::RunExists { path: path.to_owned(), found }),
    }
}

/// Takes a lock, past those who only look whether it is free: they hold it for a moment.
fn try_lock_for_a_while(file: &File) -> Result<(), TryLockError> {
    for _ in 0..N_LOCK_TRIES - 1 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_TRY_EVERY),
            result => return result,
        }
    }
    file.try_lock()
}

/// Takes the lock of a run; the system gives it back when the process ends, however it ends.
fn lock(folder: &Path) -> Result<File, TrainError> {
    let path = folder.join(LOCK_NAME);
    let fault = |source| TrainError::Write { path: path.clone(), source };
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(fault)?;
    match try_lock_for_a_while(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The file names the process only as a courtesy; some systems let nobody read a locked file.
            let holder = match file.read_to_string(&mut holder) {
                Ok(n_bytes) if n_bytes > 0 => format!("process {}", holder.trim_end()),
                _ => "another process".to_owned(),
            };
            return Err(TrainError::RunLocked { path: folder.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(fault(source)),
    }
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()))
        .map_err(fault)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::Which;
    use super::*;

    #[test]
    fn a_run_is_made_once_and_opened_often() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs/verse-1");
        let made = RunDirectory::create(&path).unwrap();
        assert!(made.is_locked() && made.checkpoints_path().is_dir() && made.eval_path().is_dir());
        drop(made);
        let fault = RunDirectory::create(&path).unwrap_err();
        assert!(matches!(&fault, TrainError::RunExists { found, .. } if found == "checkpoints"), "{fault}");
        let opened = RunDirectory::open(&path).unwrap();
        assert_eq!((opened.path(), opened.is_locked()), (path.as_path(), false));
        assert_eq!(opened.program_version(), env!("CARGO_PKG_VERSION"));
        assert!(RunDirectory::open_for_writing(&path).unwrap().is_locked());
    }

    #[test]
    fn a_folder_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "").unwrap();
        let fault = RunDirectory::create(folder.path()).unwrap_err();
        assert!(matches!(&fault, TrainError::RunExists { found, .. } if found == "thesis.txt"), "{fault}");
        assert!(matches!(RunDirectory::open(folder.path()), Err(TrainError::NotARun { .. })));
        assert_eq!(entries(folder.path()).unwrap(), ["thesis.txt"]);
        let fault = RunDirectory::create(folder.path().join("thesis.txt/run")).unwrap_err();
        assert!(matches!(fault, TrainError::CreateRun { .. }) && fault.is_request_fault());
    }

    #[test]
    fn two_writers_exclude_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let first = RunDirectory::create(&path).unwrap();
        let fault = RunDirectory::open_for_writing(&path).unwrap_err();
        let expected = format!("process {}", std::process::id());
        assert!(matches!(&fault, TrainError::RunLocked { holder, .. } if *holder == expected), "{fault}");
        let reader = RunDirectory::open(&path).unwrap();
        assert!(reader.is_being_written().unwrap());
        drop(first);
        assert!(!reader.is_being_written().unwrap());
        drop(RunDirectory::open_for_writing(&path).unwrap());
        fs::remove_file(path.join(LOCK_NAME)).unwrap();
        assert!(!reader.is_being_written().unwrap());
    }

    #[test]
    fn a_look_at_the_lock_keeps_no_writer_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        drop(RunDirectory::create(&path).unwrap());
        let looking = File::open(path.join(LOCK_NAME)).unwrap();
        looking.lock_shared().unwrap();
        let looker = thread::spawn(move || {
            thread::sleep(LOCK_TRY_EVERY);
            drop(looking);
        });
        RunDirectory::open_for_writing(&path).unwrap();
        looker.join().unwrap();
    }

    #[test]
    fn another_layout_names_both_versions() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MARKER_NAME), r#"{"format":9,"program_version":"4.2.0"}"#).unwrap();
        let fault = RunDirectory::open_for_writing(folder.path()).unwrap_err();
        let version = env!("CARGO_PKG_VERSION");
        let expected =
            format!("has format 9, written by version 4.2.0; this is version {version}, which reads format 1");
        assert!(fault.to_string().ends_with(&expected), "{fault}");
        fs::write(folder.path().join(MARKER_NAME), r#"{"format":"nine"}"#).unwrap();
        assert!(matches!(RunDirectory::open(folder.path()), Err(TrainError::NotARun { .. })));
    }

    #[test]
    fn a_folder_that_was_being_made_is_emptied_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let run = RunDirectory::create(&path).unwrap();
        fs::write(run.config_path(), "seed = 1").unwrap();
        fs::write(path.join("origin.json.partial"), "{").unwrap();
        assert!(matches!(RunDirectory::discard_unbegun(&path), Err(TrainError::RunLocked { .. })));
        drop(run);
        RunDirectory::discard_unbegun(&path).unwrap();
        let run = RunDirectory::create(&path).unwrap();
        // A checkpoint shows that something was learned.
        fs::write(run.checkpoints().path(Which::Last), "").unwrap();
        drop(run);
        assert!(matches!(RunDirectory::discard_unbegun(&path), Err(TrainError::CreateRun { .. })));
        assert_eq!(entries(&path).unwrap(), ["checkpoints", "eval", LOCK_NAME, MARKER_NAME]);
        fs::write(path.join("metrics.jsonl"), "").unwrap();
        RunDirectory::discard_unbegun(&path).unwrap();
        assert!(matches!(RunDirectory::create(&path), Err(TrainError::RunExists { .. })));
        RunDirectory::discard_unbegun(&folder.path().join("nothing")).unwrap();
    }

    #[test]
    fn samples_are_cut_back_to_what_is_covered() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path().join("run")).unwrap();
        let mut samples = run.samples(None).unwrap();
        for text in ["a", "b", "c"] {
            samples.append_json(&text).unwrap();
        }
        assert_eq!(run.samples(Some(2)).unwrap().n_lines(), 2);
        assert_eq!(fs::read_to_string(run.samples_path()).unwrap(), "\"a\"\n\"b\"\n");
    }

    #[test]
    fn names_of_runs_count_up() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("runs");
        assert_eq!(next_free(&base, "verse").unwrap(), base.join("verse-1"));
        for name in ["verse-2", "verse-10", "verse-x", "verse", "prose-30", "verse-1-old"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        assert_eq!(next_free(&base, "verse").unwrap(), base.join("verse-11"));
    }
}
