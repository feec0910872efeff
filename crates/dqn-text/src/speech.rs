//! Lists of recordings and what is said in them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::TextError;

/// Longest line of a manifest: 1 MiB, far more than a path and a transcript have.
pub const MAX_MANIFEST_LINE_BYTES: usize = 1 << 20;

/// What columns there are, for errors.
const COLUMNS: &str = "a line is path<TAB>transcript or path<TAB>transcript<TAB>speaker";

/// A recording with its transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeechClip {
    /// The audio file. A relative path of the manifest has got the manifest's folder before it.
    pub path: PathBuf,
    /// What is said, without white space at either end.
    pub transcript: String,
    /// Who says it, where the manifest tells.
    pub speaker: Option<String>,
}

/// The recordings of a manifest, in their order.
///
/// A manifest is UTF-8 text with a recording a line, `path<TAB>transcript` or `path<TAB>transcript<TAB>speaker`; blank
/// lines are passed over, and white space around a column does not count. Manifests of any size are read: one line is
/// in memory at a time. Whether the files are there, their reader will tell. After an error there is nothing more.
///
/// # Errors
/// As items: [`TextError::Manifest`] for the first line that is no recording, [`TextError::NoClips`] at the end when
/// there was none, and [`TextError::ManifestFile`] when the manifest cannot be read.
#[derive(Debug)]
pub struct SpeechManifest<R> {
    origin: String,
    folder: PathBuf,
    input: R,
    line: Vec<u8>,
    n_lines: usize,
    n_clips: usize,
    is_over: bool,
}

impl SpeechManifest<BufReader<File>> {
    /// Opens the manifest at `path`.
    ///
    /// # Errors
    /// [`TextError::ManifestFile`].
    pub fn open(path: &Path) -> Result<Self, TextError> {
        match File::open(path) {
            Ok(file) => Ok(Self::new(BufReader::new(file), path)),
            Err(source) => Err(TextError::ManifestFile { origin: path.display().to_string(), source }),
        }
    }
}

impl<R: BufRead> SpeechManifest<R> {
    /// The manifest that `input` holds; `path` names it in errors, and its folder is where relative paths begin.
    pub fn new(input: R, path: &Path) -> Self {
        Self {
            origin: path.display().to_string(),
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            input,
            line: Vec::new(),
            n_lines: 0,
            n_clips: 0,
            is_over: false,
        }
    }

    /// Reads the next line; false at the end.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        // The longest line, a carriage return and a line feed: one byte more is too long.
        let most = MAX_MANIFEST_LINE_BYTES as u64 + 2;
        let n_read = self.input.by_ref().take(most).read_until(b'\n', &mut self.line)?;
        self.n_lines += 1;
        Ok(n_read > 0)
    }

    fn next_clip(&mut self) -> Result<Option<SpeechClip>, TextError> {
        loop {
            match self.read_line() {
                Err(source) => return Err(TextError::ManifestFile { origin: self.origin.clone(), source }),
                Ok(false) if self.n_clips == 0 => return Err(TextError::NoClips { origin: self.origin.clone() }),
                Ok(false) => return Ok(None),
                Ok(true) => {}
            }
            let clip = parse(&self.line, self.n_lines == 1, &self.folder).map_err(|message| TextError::Manifest {
                origin: self.origin.clone(),
                line: self.n_lines,
                message,
            })?;
            if clip.is_some() {
                self.n_clips += 1;
                return Ok(clip);
            }
        }
    }
}

impl<R: BufRead> Iterator for SpeechManifest<R> {
    type Item = Result<SpeechClip, TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let clip = self.next_clip().transpose();
        self.is_over = !matches!(clip, Some(Ok(_)));
        clip
    }
}

/// The recording of a line, if the line is not blank, or what is wrong with it.
fn parse(line: &[u8], is_first: bool, folder: &Path) -> Result<Option<SpeechClip>, String> {
    if line.len() > MAX_MANIFEST_LINE_BYTES && !line.ends_with(b"\n") {
        return Err(format!("the line is longer than {MAX_MANIFEST_LINE_BYTES} bytes; {COLUMNS}"));
    }
    let text = std::str::from_utf8(line).map_err(|error| {
        let at = error.valid_up_to();
        let column = 1 + String::from_utf8_lossy(&line[..at]).chars().count();
        format!("byte {:#04x} in column {column} is not UTF-8; convert the file to UTF-8", line[at])
    })?;
    let text = if is_first { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    if let Some(before) = text.find('\0') {
        let column = 1 + text[..before].chars().count();
        return Err(format!("NUL in column {column} is no text; convert the file to UTF-8 if it is UTF-16"));
    }
    if text.trim().is_empty() {
        return Ok(None);
    }
    let columns: Vec<&str> = text.split('\t').map(str::trim).collect();
    let (path, transcript, speaker) = match columns[..] {
        [path, transcript] => (path, transcript, None),
        [path, transcript, speaker] => (path, transcript, Some(speaker)),
        [_] => return Err(format!("the column transcript is missing (there is no tab); {COLUMNS}")),
        _ => return Err(format!("there are {} columns; {COLUMNS}", columns.len())),
    };
    for (name, column) in [("path", Some(path)), ("transcript", Some(transcript)), ("speaker", speaker)] {
        if column == Some("") {
            return Err(format!("the column {name} is empty; {COLUMNS}"));
        }
    }
    Ok(Some(SpeechClip {
        path: folder.join(path),
        transcript: transcript.to_owned(),
        speaker: speaker.map(str::to_owned),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest(text: &[u8]) -> SpeechManifest<&[u8]> {
        SpeechManifest::new(text, Path::new("digits/train.tsv"))
    }

    fn clip(path: &str, transcript: &str, speaker: Option<&str>) -> SpeechClip {
        SpeechClip { path: path.into(), transcript: transcript.to_owned(), speaker: speaker.map(str::to_owned) }
    }

    fn fault(text: &[u8]) -> String {
        let mut manifest = manifest(text);
        let fault = manifest.find_map(Result::err).unwrap();
        assert!(manifest.next().is_none(), "a clip after {fault}");
        fault.to_string()
    }

    #[test]
    fn clips_of_a_manifest() {
        let text = "\u{feff}a.wav\tone two\tann\r\n\n \t \nsub/b c.flac\t 你好 \n/c.wav\tthree\tbob";
        let found: Vec<SpeechClip> = manifest(text.as_bytes()).map(Result::unwrap).collect();
        let expected = [
            clip("digits/a.wav", "one two", Some("ann")),
            clip("digits/sub/b c.flac", "你好", None),
            clip("/c.wav", "three", Some("bob")),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn faults_name_the_line() {
        let form = "a line is path<TAB>transcript or path<TAB>transcript<TAB>speaker";
        for (text, line, message) in [
            ("a.wav\tone\n\nb.wav two\n", 3, format!("the column transcript is missing (there is no tab); {form}")),
            ("\tone\n", 1, format!("the column path is empty; {form}")),
            ("a.wav\tone\nb.wav\t \n", 2, format!("the column transcript is empty; {form}")),
            ("a.wav\tone\t\n", 1, format!("the column speaker is empty; {form}")),
            ("a.wav\tone\tann\tx\n", 1, format!("there are 4 columns; {form}")),
            ("\n你\t\0\n", 2, "NUL in column 3 is no text; convert the file to UTF-8 if it is UTF-16".to_owned()),
        ] {
            assert_eq!(fault(text.as_bytes()), format!("digits/train.tsv, line {line}: {message}"));
        }
        assert_eq!(
            fault(b"a.wav\tone\n\xe4\xbd\xa0\t\xff\n"),
            "digits/train.tsv, line 2: byte 0xff in column 3 is not UTF-8; convert the file to UTF-8"
        );
        for empty in ["", "\n \r\n", "\u{feff}"] {
            assert_eq!(fault(empty.as_bytes()), "digits/train.tsv lists no recordings; at least one line must be one");
        }
    }

    #[test]
    fn a_line_without_end_is_not_read_into_memory() {
        let mut line = b"a.wav\t".to_vec();
        line.resize(MAX_MANIFEST_LINE_BYTES, b'x');
        assert_eq!(manifest(&line).count(), 1);
        assert!(manifest(&line).all(|clip| clip.is_ok()), "as long as it may be");
        assert!(manifest(&[line.clone(), b"\r\n".to_vec()].concat()).all(|clip| clip.is_ok()));
        line.extend(b"xxx\nb.wav\tone\n");
        assert!(fault(&line).contains("line 1: the line is longer than 1048576 bytes"));
    }

    #[test]
    fn a_missing_manifest_is_named() {
        let error = SpeechManifest::open(Path::new("no/such/train.tsv")).unwrap_err().to_string();
        assert!(error.starts_with("no/such/train.tsv cannot be read: "), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            clips in prop::collection::vec(
                ("[a-z./ ]{0,8}[a-z]", "[a-z你' ]{0,8}[a-z]", prop::option::of("[a-z]{1,5}")), 1..6,
            ),
        ) {
            let text: String = clips
                .iter()
                .map(|(path, transcript, speaker)| {
                    let speaker = speaker.as_ref().map_or(String::new(), |speaker| format!("\t{speaker}"));
                    format!("{path}\t{transcript}{speaker}\n")
                })
                .collect();
            let found: Vec<SpeechClip> = manifest(text.as_bytes()).map(Result::unwrap).collect();
            prop_assert_eq!(found.len(), clips.len());
            for (found, (path, transcript, speaker)) in found.iter().zip(&clips) {
                prop_assert_eq!(&found.path, &Path::new("digits").join(path.trim()));
                prop_assert_eq!(&found.transcript, transcript.trim());
                prop_assert_eq!(&found.speaker, speaker);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\t'), Just(b'\n')], 0..60),
        ) {
            for clip in manifest(&bytes) {
                match clip {
                    Ok(clip) => {
                        prop_assert!(!clip.transcript.is_empty());
                        prop_assert!(clip.path.starts_with("digits") || clip.path.is_absolute());
                    }
                    Err(error) => prop_assert!(error.to_string().starts_with("digits/train.tsv")),
                }
            }
        }
    }
}
