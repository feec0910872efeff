//! Everything a run needs to go on, in one file that is whole or refused.
//!
//! ```text
//! magic (8 bytes) | format u32 | length of the file u64 | BLAKE3 (32 bytes) of all the rest of the file
//! length u64, header as JSON
//! number of parts u64, then for each: length u64, name in UTF-8, length u64, bytes                  (little-endian)
//! ```
//!
//! The first line is the same in every format, so that a file of another format can be told from a damaged one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::atomic;
use crate::error::TrainError;

/// The format this program writes, and the only one it reads.
pub const CHECKPOINT_FORMAT: u32 = 2;

const MAGIC: [u8; 8] = *b"DQNTEXT\n";
const HASH_START: usize = 20;
const PRELUDE_BYTES: usize = HASH_START + blake3::OUT_LEN;

/// What a checkpoint says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointHeader {
    /// Version of the program that wrote it.
    pub program_version: String,
    /// BLAKE3 of the resolved configuration, in hexadecimal digits; see [`config_hash`].
    pub config_hash: String,
    /// Parameter updates made so far.
    pub update: u64,
}

impl CheckpointHeader {
    /// The header this program writes after `update` updates of a run with this resolved configuration.
    pub fn new(config: &str, update: u64) -> Self {
        Self { program_version: env!("CARGO_PKG_VERSION").to_owned(), config_hash: config_hash(config), update }
    }
}

/// What a checkpoint remembers of a configuration, to notice that it was changed.
pub fn config_hash(config: &str) -> String {
    blake3::hash(config.as_bytes()).to_hex().to_string()
}

/// The state of a run, as named parts that only their owners understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// What the checkpoint says about itself.
    pub header: CheckpointHeader,
    /// The parts by name.
    pub parts: BTreeMap<String, Vec<u8>>,
}

impl Checkpoint {
    /// Replaces the file at `path` by this checkpoint, or leaves it as it was.
    ///
    /// # Errors
    /// [`TrainError::Write`] with the path and the cause.
    pub fn write_atomic(&self, path: &Path) -> Result<(), TrainError> {
        atomic::write(path, |sink| self.write(sink))
    }

    /// Reads the checkpoint at `path`.
    ///
    /// The checksum is compared before anything else in the file is believed, and no length in it makes this reserve
    /// more memory than the file is long.
    ///
    /// # Errors
    /// [`TrainError::NoCheckpoint`] or [`TrainError::Read`] when there is nothing to read,
    /// [`TrainError::CheckpointDamaged`] when any byte is not what was written, [`TrainError::CheckpointVersion`] when
    /// the file is whole, but of another format.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let bytes = fs::read(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => TrainError::NoCheckpoint { path: path.to_owned() },
            _ => TrainError::Read { path: path.to_owned(), source },
        })?;
        Self::from_bytes(&bytes, path)
    }

    /// Reads the checkpoint that a file holds; `path` is where the file was found, for messages.
    ///
    /// # Errors
    /// As [`Checkpoint::read`], but for files that are not there.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, TrainError> {
        let damaged = |message| TrainError::CheckpointDamaged { path: path.to_owned(), message };
        let (format, body) = open_envelope(bytes).map_err(damaged)?;
        if format != CHECKPOINT_FORMAT {
            return Err(TrainError::CheckpointVersion {
                path: path.to_owned(),
                found: format,
                supported: CHECKPOINT_FORMAT,
                program: env!("CARGO_PKG_VERSION"),
            });
        }
        Self::from_body(body).map_err(damaged)
    }

    fn write(&self, sink: &mut dyn Write) -> io::Result<()> {
        let header = serde_json::to_vec(&self.header)?;
        // The pieces are hashed and written one by one: a replay buffer need not be held twice.
        let mut pieces = vec![Piece::length(header.len()), Piece::Bytes(&header), Piece::length(self.parts.len())];
        for (name, bytes) in &self.parts {
            pieces.extend([Piece::length(name.len()), Piece::Bytes(name.as_bytes())]);
            pieces.extend([Piece::length(bytes.len()), Piece::Bytes(bytes)]);
        }
        let n_bytes = PRELUDE_BYTES + pieces.iter().map(|piece| piece.bytes().len()).sum::<usize>();
        let start = prelude(CHECKPOINT_FORMAT, n_bytes as u64);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&start);
        for piece in &pieces {
            hasher.update(piece.bytes());
        }
        sink.write_all(&start)?;
        sink.write_all(hasher.finalize().as_bytes())?;
        pieces.iter().try_for_each(|piece| sink.write_all(piece.bytes()))
    }

    /// The checkpoint in the part of a file that follows the checksum, or what is wrong with it.
    fn from_body(body: &[u8]) -> Result<Self, String> {
        let mut unread = Unread(body);
        let header = unread.field("the header")?;
        let header = serde_json::from_slice(header).map_err(|fault| format!("the header cannot be read: {fault}"))?;
        let n_parts = unread.number("the number of parts")?;
        let mut parts = BTreeMap::new();
        for index in 0..n_parts {
            let name = unread.field(&format!("the name of part {index}"))?;
            let name = std::str::from_utf8(name).map_err(|fault| format!("the name of part {index}: {fault}"))?;
            let bytes = unread.field(&format!("part {name:?}"))?;
            if parts.insert(name.to_owned(), bytes.to_vec()).is_some() {
                return Err(format!("there are two parts {name:?}"));
            }
        }
        match unread.0.len() {
            0 => Ok(Self { header, parts }),
            n_left => Err(format!("{n_left} bytes follow the last part")),
        }
    }
}

/// A stretch of a file that is to be written.
enum Piece<'a> {
    Length([u8; 8]),
    Bytes(&'a [u8]),
}

impl Piece<'_> {
    fn length(length: usize) -> Self {
        Piece::Length((length as u64).to_le_bytes())
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Length(bytes) => bytes,
            Piece::Bytes(bytes) => bytes,
        }
    }
}

/// A stretch of a file that is still to be read.
struct Unread<'a>(&'a [u8]);

impl<'a> Unread<'a> {
    fn take(&mut self, n_bytes: u64, what: &str) -> Result<&'a [u8], String> {
        let n_left = self.0.len();
        let split = usize::try_from(n_bytes).ok().and_then(|n_bytes| self.0.split_at_checked(n_bytes));
        let (taken, rest) = split.ok_or_else(|| format!("{what} should have {n_bytes} bytes; {n_left} are left"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, what: &str) -> Result<u64, String> {
        let bytes = self.take(8, what)?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn field(&mut self, what: &str) -> Result<&'a [u8], String> {
        let n_bytes = self.number(&format!("the length of {what}"))?;
        self.take(n_bytes, what)
    }
}

fn prelude(format: u32, n_bytes: u64) -> [u8; HASH_START] {
    let mut start = [0; HASH_START];
    start[..8].copy_from_slice(&MAGIC);
    start[8..12].copy_from_slice(&format.to_le_bytes());
    start[12..].copy_from_slice(&n_bytes.to_le_bytes());
    start
}

/// The format and the body of a file whose length and checksum are right, or what is wrong.
fn open_envelope(bytes: &[u8]) -> Result<(u32, &[u8]), String> {
    let n_bytes = bytes.len();
    let Some((prelude, body)) = bytes.split_at_checked(PRELUDE_BYTES) else {
        return Err(format!("it has {n_bytes} bytes and is cut short; the smallest checkpoint has more"));
    };
    if prelude[..8] != MAGIC {
        let found = prelude[..8].escape_ascii();
        return Err(format!("it begins with \"{found}\", a checkpoint with \"{}\"", MAGIC.escape_ascii()));
    }
    let mut unread = Unread(&prelude[12..HASH_START]);
    let expected = unread.number("the length")?;
    if expected != n_bytes as u64 {
        return Err(format!("it has {n_bytes} bytes and says that it has {expected}"));
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&prelude[..HASH_START]);
    hasher.update(body);
    let (found, expected) = (hasher.finalize(), &prelude[HASH_START..]);
    if found.as_bytes()[..] != *expected {
        let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
        return Err(format!("its checksum is {}; {expected} was written", found.to_hex()));
    }
    let format = prelude[8..12].iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte));
    Ok((format, body))
}

/// Which of the checkpoints of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Last,
    /// The one that was the newest before.
    Previous,
    /// The best by whatever the run judges by.
    Best,
    /// The one kept after so many updates.
    Numbered(u64),
}

/// The newest checkpoint that can be read.
#[derive(Debug)]
pub struct Newest {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Where it was found.
    pub path: PathBuf,
    /// Why a newer one was not taken, if there is one.
    pub skipped: Option<TrainError>,
}

/// The folder of the checkpoints of a run.
#[derive(Clone, Debug)]
pub struct CheckpointStore {
    folder: PathBuf,
}

impl CheckpointStore {
    /// The checkpoints in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The file of a checkpoint, whether it is there or not.
    pub fn path(&self, which: Which) -> PathBuf {
        self.folder.join(match which {
            Which::Last => "last.ckpt".to_owned(),
            Which::Previous => "previous.ckpt".to_owned(),
            Which::Best => "best.ckpt".to_owned(),
            Which::Numbered(update) => format!("update-{update:010}.ckpt"),
        })
    }

    /// Saves a checkpoint as the last one, and keeps the former last one as the previous one.
    ///
    /// Killed at any moment, it leaves at least one of the two whole.
    ///
    /// # Errors
    /// [`TrainError::Write`] with the path and the cause; the former checkpoints are then as they were.
    pub fn save_last(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let (last, previous) = (self.path(Which::Last), self.path(Which::Previous));
        // The new file is complete on the disk before the old one loses its name.
        let next = self.folder.join("next.ckpt");
        checkpoint.write_atomic(&next)?;
        match fs::rename(&last, &previous) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => {
                return Err(TrainError::Write { path: previous, source: fault });
            }
            _ => {}
        }
        fs::rename(&next, &last)
            .and_then(|()| atomic::sync_folder(&last))
            .map_err(|source| TrainError::Write { path: last, source })
    }

    /// Saves a checkpoint as the best one.
    ///
    /// # Errors
    /// [`TrainError::Write`] with the path and the cause; the former best one is then as it was.
    pub fn save_best(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        checkpoint.write_atomic(&self.path(Which::Best))
    }

    /// Saves a checkpoint under the number of its updates.
    ///
    /// # Errors
    /// [`TrainError::Write`] with the path and the cause.
    pub fn save_numbered(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        checkpoint.write_atomic(&self.path(Which::Numbered(checkpoint.header.update)))
    }

    /// Reads one of the checkpoints.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read`].
    pub fn load(&self, which: Which) -> Result<Checkpoint, TrainError> {
        Checkpoint::read(&self.path(which))
    }

    /// Reads the last checkpoint or, when it is missing or damaged, the one before it.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read`] for the last checkpoint, when the one before it cannot be read either.
    pub fn load_newest(&self) -> Result<Newest, TrainError> {
        let fault = match self.load(Which::Last) {
            Ok(checkpoint) => return Ok(Newest { checkpoint, path: self.path(Which::Last), skipped: None }),
            Err(fault) => fault,
        };
        match self.load(Which::Previous) {
            Ok(checkpoint) => {
                // Killed between two renames there is no last checkpoint, and the previous one is the newest.
                let skipped = Some(fault).filter(|fault| !matches!(fault, TrainError::NoCheckpoint { .. }));
                Ok(Newest { checkpoint, path: self.path(Which::Previous), skipped })
            }
            Err(_) => Err(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checkpoint(update: u64) -> Checkpoint {
        let parts = [("online", vec![1, 2, 3]), ("replay", vec![0; 40]), ("温度", Vec::new())];
        Checkpoint {
            header: CheckpointHeader::new("seed = 1", update),
            parts: parts.map(|(name, bytes)| (name.to_owned(), bytes)).into(),
        }
    }

    fn bytes(checkpoint: &Checkpoint) -> Vec<u8> {
        let mut bytes = Vec::new();
        checkpoint.write(&mut bytes).unwrap();
        bytes
    }

    /// Reads a file of `bytes`.
    fn read(bytes: &[u8]) -> Result<Checkpoint, TrainError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.ckpt");
        fs::write(&path, bytes).unwrap();
        let result = Checkpoint::read(&path);
        if let Err(fault) = &result {
            assert!(fault.to_string().contains(&path.display().to_string()), "{fault}");
            assert!(fault.is_request_fault(), "{fault}");
        }
        result
    }

    /// A file whose length and checksum are right, whatever its body says.
    fn sealed(format: u32, body: &[u8]) -> Vec<u8> {
        let start = prelude(format, (PRELUDE_BYTES + body.len()) as u64);
        let hash = blake3::hash(&[&start, body].concat());
        [&start, &hash.as_bytes()[..], body].concat()
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let whole = bytes(&checkpoint(7));
        assert_eq!(read(&whole).unwrap(), checkpoint(7));
        for index in 0..whole.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[index] ^= change;
                let result = read(&changed);
                assert!(matches!(result, Err(TrainError::CheckpointDamaged { .. })), "byte {index}: {result:?}");
            }
        }
    }

    #[test]
    fn every_cut_and_every_addition_is_noticed() {
        let whole = bytes(&checkpoint(7));
        for length in 0..whole.len() {
            let result = read(&whole[..length]);
            assert!(matches!(result, Err(TrainError::CheckpointDamaged { .. })), "length {length}: {result:?}");
        }
        let result = read(&[&whole[..], &[0]].concat());
        assert!(matches!(result, Err(TrainError::CheckpointDamaged { .. })), "{result:?}");
    }

    #[test]
    fn a_forged_length_reserves_nothing() {
        let whole = bytes(&checkpoint(7));
        let body = &whole[PRELUDE_BYTES..];
        assert_eq!(sealed(CHECKPOINT_FORMAT, body), whole);
        let n_header = body[0] as usize;
        // The lengths of the header, of the list of parts, of the first name and of the first part.
        let n_name = "online".len();
        for start in [0, 8 + n_header, 16 + n_header, 24 + n_header + n_name] {
            for forged in [u64::MAX, 1 << 40, body.len() as u64 + 1] {
                let mut body = body.to_vec();
                body[start..start + 8].copy_from_slice(&forged.to_le_bytes());
                let result = read(&sealed(CHECKPOINT_FORMAT, &body));
                assert!(matches!(result, Err(TrainError::CheckpointDamaged { .. })), "at {start}: {result:?}");
            }
        }
    }

    #[test]
    fn another_format_is_told_from_damage() {
        let fault = read(&sealed(CHECKPOINT_FORMAT + 1, b"whatever the future holds")).unwrap_err();
        let version = env!("CARGO_PKG_VERSION");
        assert!(fault.to_string().ends_with(&format!("has format 3; this is version {version}, which reads format 2")));
    }

    #[test]
    fn a_file_of_another_kind_is_told_what_it_is_not() {
        let fault = read(&[b'{'; 100]).unwrap_err();
        assert!(fault.to_string().contains(r#"begins with "{{{{{{{{", a checkpoint with "DQNTEXT\n""#), "{fault}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read(
            parts in proptest::collection::btree_map(".{0,8}", proptest::collection::vec(any::<u8>(), 0..50), 0..5),
            update: u64,
        ) {
            let written = Checkpoint { header: CheckpointHeader::new("", update), parts };
            prop_assert_eq!(read(&bytes(&written)).unwrap(), written);
        }
    }

    #[test]
    fn the_former_last_checkpoint_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path());
        assert!(
            matches!(store.load_newest(), Err(TrainError::NoCheckpoint { path }) if path == store.path(Which::Last))
        );
        for update in 1..=3 {
            store.save_last(&checkpoint(update)).unwrap();
        }
        store.save_best(&checkpoint(1)).unwrap();
        store.save_numbered(&checkpoint(2)).unwrap();
        for (which, update) in [(Which::Last, 3), (Which::Previous, 2), (Which::Best, 1), (Which::Numbered(2), 2)] {
            assert_eq!(store.load(which).unwrap(), checkpoint(update), "{which:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "nothing is left over");
    }

    #[test]
    fn a_damaged_or_missing_last_checkpoint_falls_back_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path());
        store.save_last(&checkpoint(1)).unwrap();
        store.save_last(&checkpoint(2)).unwrap();
        let newest = store.load_newest().unwrap();
        assert_eq!((newest.checkpoint.header.update, newest.skipped.is_none()), (2, true));

        fs::write(store.path(Which::Last), "damage").unwrap();
        let newest = store.load_newest().unwrap();
        assert_eq!((newest.checkpoint.header.update, &newest.path), (1, &store.path(Which::Previous)));
        assert!(matches!(newest.skipped, Some(TrainError::CheckpointDamaged { .. })));

        fs::remove_file(store.path(Which::Last)).unwrap();
        let newest = store.load_newest().unwrap();
        assert_eq!((newest.checkpoint.header.update, newest.skipped.is_none()), (1, true));

        fs::write(store.path(Which::Last), "damage").unwrap();
        fs::write(store.path(Which::Previous), "damage too").unwrap();
        assert!(matches!(store.load_newest(), Err(TrainError::CheckpointDamaged { path, .. })
            if path == store.path(Which::Last)));
    }

    #[test]
    fn a_failed_save_leaves_the_former_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path());
        store.save_last(&checkpoint(1)).unwrap();
        store.save_last(&checkpoint(2)).unwrap();
        // A folder in the way of the new file stands for whatever may keep it from being written.
        fs::create_dir(folder.path().join("next.ckpt.partial")).unwrap();
        let fault = store.save_last(&checkpoint(3)).unwrap_err();
        assert!(matches!(fault, TrainError::Write { .. }), "{fault}");
        assert_eq!(store.load(Which::Last).unwrap(), checkpoint(2));
        assert_eq!(store.load(Which::Previous).unwrap(), checkpoint(1));
    }
}
