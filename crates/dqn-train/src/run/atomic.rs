//! Files that are either the old one or the new one, never something between.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::TrainError;

/// Replaces the file at `path` by what `fill` writes, or leaves it as it was.
///
/// The new content goes to a neighbour of the file, which takes its name once everything has reached the disk. A
/// process that is killed on the way leaves the neighbour behind; the next writing reuses it. Two writers of one path
/// must exclude each other, as the lock of a run directory makes them do.
///
/// # Errors
/// [`TrainError::Write`] with the path and the cause, also when `fill` fails.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), TrainError> {
    let partial = partial(path);
    let written = fill_file(&partial, fill).and_then(|()| fs::rename(&partial, path)).and_then(|()| sync_folder(path));
    written.map_err(|source| {
        // What failed is reported; that the rest of it may stay behind as well adds nothing.
        let _ = fs::remove_file(&partial);
        TrainError::Write { path: path.to_owned(), source }
    })
}

/// Replaces the text file at `path`, or leaves it as it was.
///
/// # Errors
/// [`TrainError::Write`] with the path and the cause.
pub fn write_text(path: &Path, text: &str) -> Result<(), TrainError> {
    write(path, |sink| sink.write_all(text.as_bytes()))
}

/// Makes a change of names in the folder of `path` survive a loss of power.
///
/// # Errors
/// Whatever the system answers.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    // Only Unix lets a folder be opened and flushed; elsewhere renaming is all there is.
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn fill_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut sink = BufWriter::new(File::create(path)?);
    fill(&mut sink)?;
    sink.into_inner()?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        write_text(&path, "seed = 1").unwrap();
        let fault = write(&path, |sink| {
            sink.write_all(&[b'x'; 100_000])?;
            Err(io::ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert!(matches!(&fault, TrainError::Write { path: at, source }
            if *at == path && source.kind() == io::ErrorKind::StorageFull));
        assert!(!fault.is_request_fault());
        assert_eq!(fs::read_to_string(&path).unwrap(), "seed = 1");
        assert_eq!(names(folder.path()), ["config.toml"]);
    }

    #[test]
    fn what_a_killed_process_left_behind_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(partial(&path), "half of a much longer file").unwrap();
        write_text(&path, "seed = 2").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "seed = 2");
        assert_eq!(names(folder.path()), ["config.toml"]);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write_text(&file, "").unwrap();
        let below = file.join("config.toml");
        let fault = write_text(&below, "seed = 1").unwrap_err();
        assert!(fault.to_string().starts_with(&format!("cannot write {}: ", below.display())), "{fault}");
    }
}
