//! Events as TensorBoard reads them.
//!
//! A file of events is a series of records in TFRecord framing, each holding one `Event` message. Only what is written
//! here is encoded: file version, start of a session, scalars and texts. There is no reading.
//!
//! ```text
//! record:  length u64 | masked CRC of the length u32 | payload | masked CRC of the payload u32      (little-endian)
//! masked:  (crc >> 15 | crc << 17) + 0xa282ead8                                                     (modulo 2^32)
//! ```
//!
//! Source: the messages `event.proto`, `summary.proto` and `tensor.proto` and the record writer of TensorFlow. The
//! golden file `tests/golden/tensorboard.json` holds what TensorBoard itself reads from `tests/golden/events.golden`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes events to one file.
#[derive(Debug)]
pub struct EventWriter<W> {
    sink: W,
}

impl EventWriter<File> {
    /// Begins a new file of events in `folder`, whose name sorts after those that are there.
    ///
    /// `wall_seconds` is the time since 1970. With `purge_from`, TensorBoard forgets what earlier files of the folder
    /// say about that step and later ones.
    ///
    /// # Errors
    /// The path that could not be written, and what the system answered.
    pub fn create(folder: &Path, wall_seconds: f64, purge_from: Option<u64>) -> Result<Self, (PathBuf, io::Error)> {
        let mut number = 0_u32;
        loop {
            // TensorBoard looks for `tfevents` in the name and reads the files in the order of their names.
            let path = folder.join(format!("events.out.tfevents.{number:06}.dqn-text"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return EventWriter::new(file, wall_seconds, purge_from).map_err(|fault| (path, fault)),
                Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(fault) => return Err((path, fault)),
            }
        }
    }
}

impl<W: Write> EventWriter<W> {
    /// Begins a file of events in `sink`; see [`EventWriter::create`].
    ///
    /// # Errors
    /// Whatever the sink answers.
    pub fn new(mut sink: W, wall_seconds: f64, purge_from: Option<u64>) -> io::Result<Self> {
        let mut version = Message::event(wall_seconds, 0);
        version.bytes(field::event::FILE_VERSION, b"brain.Event:2");
        sink.write_all(&record(&version.0))?;
        if let Some(step) = purge_from {
            let mut session = Message::default();
            session.varint(field::session_log::STATUS, field::session_log::START);
            let mut event = Message::event(wall_seconds, step);
            event.bytes(field::event::SESSION_LOG, &session.0);
            sink.write_all(&record(&event.0))?;
        }
        Ok(Self { sink })
    }

    /// Writes the value of each named curve at `step`; values that are not finite are written as they are.
    ///
    /// # Errors
    /// Whatever the sink answers.
    pub fn scalars<'a>(
        &mut self,
        wall_seconds: f64,
        step: u64,
        scalars: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> io::Result<()> {
        let mut summary = Message::default();
        for (tag, value) in scalars {
            let mut entry = Message::default();
            entry.bytes(field::value::TAG, tag.as_bytes());
            entry.float(field::value::SIMPLE_VALUE, value as f32);
            summary.bytes(field::SUMMARY_VALUE, &entry.0);
        }
        self.summary(wall_seconds, step, &summary)
    }

    /// Writes a text at `step`; TensorBoard shows it as Markdown.
    ///
    /// # Errors
    /// Whatever the sink answers.
    pub fn text(&mut self, wall_seconds: f64, step: u64, tag: &str, text: &str) -> io::Result<()> {
        let mut plugin = Message::default();
        plugin.bytes(field::plugin::NAME, b"text");
        let mut metadata = Message::default();
        metadata.bytes(field::metadata::PLUGIN_DATA, &plugin.0);
        metadata.varint(field::metadata::DATA_CLASS, field::metadata::DATA_CLASS_TENSOR);

        let mut dimension = Message::default();
        dimension.varint(field::DIMENSION_SIZE, 1);
        let mut shape = Message::default();
        shape.bytes(field::SHAPE_DIMENSION, &dimension.0);
        let mut tensor = Message::default();
        tensor.varint(field::tensor::TYPE, field::tensor::TYPE_STRING);
        tensor.bytes(field::tensor::SHAPE, &shape.0);
        tensor.bytes(field::tensor::STRING_VALUE, text.as_bytes());

        let mut entry = Message::default();
        entry.bytes(field::value::TAG, tag.as_bytes());
        entry.bytes(field::value::TENSOR, &tensor.0);
        entry.bytes(field::value::METADATA, &metadata.0);
        let mut summary = Message::default();
        summary.bytes(field::SUMMARY_VALUE, &entry.0);
        self.summary(wall_seconds, step, &summary)
    }

    fn summary(&mut self, wall_seconds: f64, step: u64, summary: &Message) -> io::Result<()> {
        let mut event = Message::event(wall_seconds, step);
        event.bytes(field::event::SUMMARY, &summary.0);
        // Whole records only: a reader that follows the file takes half a record for a broken one.
        self.sink.write_all(&record(&event.0))
    }
}

/// Numbers of the fields, and the values of enumerations, that are written.
mod field {
    pub(super) mod event {
        pub(in super::super) const WALL_TIME: u64 = 1;
        pub(in super::super) const STEP: u64 = 2;
        pub(in super::super) const FILE_VERSION: u64 = 3;
        pub(in super::super) const SUMMARY: u64 = 5;
        pub(in super::super) const SESSION_LOG: u64 = 7;
    }
    pub(super) mod session_log {
        pub(in super::super) const STATUS: u64 = 1;
        pub(in super::super) const START: u64 = 1;
    }
    pub(super) const SUMMARY_VALUE: u64 = 1;
    pub(super) mod value {
        pub(in super::super) const TAG: u64 = 1;
        pub(in super::super) const SIMPLE_VALUE: u64 = 2;
        pub(in super::super) const TENSOR: u64 = 8;
        pub(in super::super) const METADATA: u64 = 9;
    }
    pub(super) mod metadata {
        pub(in super::super) const PLUGIN_DATA: u64 = 1;
        pub(in super::super) const DATA_CLASS: u64 = 4;
        pub(in super::super) const DATA_CLASS_TENSOR: u64 = 2;
    }
    pub(super) mod plugin {
        pub(in super::super) const NAME: u64 = 1;
    }
    pub(super) mod tensor {
        pub(in super::super) const TYPE: u64 = 1;
        pub(in super::super) const TYPE_STRING: u64 = 7;
        pub(in super::super) const SHAPE: u64 = 2;
        pub(in super::super) const STRING_VALUE: u64 = 8;
    }
    pub(super) const SHAPE_DIMENSION: u64 = 2;
    pub(super) const DIMENSION_SIZE: u64 = 1;
}

/// A protocol buffer message under construction.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn event(wall_seconds: f64, step: u64) -> Self {
        let mut event = Self::default();
        event.key(field::event::WALL_TIME, 1);
        event.0.extend_from_slice(&wall_seconds.to_le_bytes());
        event.varint(field::event::STEP, step);
        event
    }

    fn varint(&mut self, number: u64, value: u64) {
        self.key(number, 0);
        self.raw_varint(value);
    }

    fn bytes(&mut self, number: u64, value: &[u8]) {
        self.key(number, 2);
        self.raw_varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn float(&mut self, number: u64, value: f32) {
        self.key(number, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn key(&mut self, number: u64, wire_type: u64) {
        self.raw_varint(number << 3 | wire_type);
    }

    /// Seven bits a byte, lowest first; the top bit says that more follow.
    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

fn record(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(payload.len() + 16);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked_crc(&length).to_le_bytes());
    record.extend_from_slice(payload);
    record.extend_from_slice(&masked_crc(payload).to_le_bytes());
    record
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected, as TFRecord wants it; the CRC-32 of zip files has another polynomial.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut remainder = index as u32;
            let mut bit = 0;
            while bit < 8 {
                remainder = (remainder >> 1) ^ if remainder & 1 == 1 { 0x82f6_3b78 } else { 0 };
                bit += 1;
            }
            table[index] = remainder;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| crc >> 8 ^ TABLE[((crc ^ u32::from(byte)) & 0xff) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_has_its_check_value() {
        // The check value of the catalogue of parametrised CRC algorithms, and the 32 zero bytes of RFC 3720, B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn varints_are_those_of_the_encoding_guide() {
        for (value, expected) in
            [(0, &[0][..]), (127, &[0x7f]), (150, &[0x96, 0x01]), (1 << 35, &[128, 128, 128, 128, 128, 1])]
        {
            let mut message = Message::default();
            message.raw_varint(value);
            assert_eq!(message.0, expected, "{value}");
        }
    }

    /// A first file, and one that goes on from step 20 of it.
    fn fixture() -> Vec<u8> {
        let mut writer = EventWriter::new(Vec::new(), 1_700_000_000.25, None).unwrap();
        writer.scalars(1_700_000_001.5, 10, [("loss", 0.5), ("return/mean", -1.25)]).unwrap();
        writer.scalars(1_700_000_002.5, 20, [("loss", 0.125), ("return/mean", f64::NAN)]).unwrap();
        writer.scalars(1_700_000_003.5, 30, [("loss", 1e30)]).unwrap();
        let first = writer.sink;
        let mut writer = EventWriter::new(Vec::new(), 1_700_000_010.0, Some(21)).unwrap();
        writer.text(1_700_000_011.0, 20, "samples", "春眠不觉晓\n\n*to be*").unwrap();
        writer.scalars(1_700_000_012.0, 1 << 40, [("loss", 0.0625)]).unwrap();
        [first, writer.sink].concat()
    }

    /// `UPDATE_GOLDEN=1 cargo test -p dqn-train tensorboard` writes the file that `check_tensorboard.py` reads.
    #[test]
    fn events_are_the_bytes_that_tensorboard_was_seen_to_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events.golden");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, fixture()).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), fixture());
    }

    #[test]
    fn tensorboard_read_what_was_meant() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tensorboard.json");
        let read: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(read["fixture_bytes"], fixture().len());
        let kinds: Vec<_> =
            read["events"].as_array().unwrap().iter().map(|event| event["what"].as_str().unwrap()).collect();
        let expected = [&["file_version"], &["summary"; 3][..], &["file_version", "session_log"], &["summary"; 2]];
        assert_eq!(kinds, expected.concat());
        // Step 30 of the first file is forgotten, as the second one begins at 21.
        let expected = serde_json::json!({
            "loss": [[1_700_000_001.5, 10, 0.5], [1_700_000_002.5, 20, 0.125], [1_700_000_012.0, 1_u64 << 40, 0.0625]],
            "return/mean": [[1_700_000_001.5, 10, -1.25], [1_700_000_002.5, 20, "nan"]],
        });
        assert_eq!(read["scalars"], expected);
        assert_eq!(read["texts"]["samples"], serde_json::json!([[1_700_000_011.0, 20, ["春眠不觉晓\n\n*to be*"]]]));
    }

    #[test]
    fn a_folder_gets_one_file_more_each_time() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            EventWriter::create(folder.path(), 1.0, None).unwrap();
        }
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["events.out.tfevents.000000.dqn-text", "events.out.tfevents.000001.dqn-text"]);
    }
}
