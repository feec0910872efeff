//! Plain text, read into documents of examples.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::TextError;

/// How a text file is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CorpusConfig {
    /// What a document is: documents are the units that are divided between training and testing.
    pub document: DocumentUnit,
    /// What an example is: one text to learn from, within a document.
    pub example: ExampleUnit,
    /// Unicode normalisation of the text.
    pub normalization: Normalization,
}

/// What a document is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DocumentUnit {
    /// The whole file.
    File,
    /// A stretch between blank lines.
    #[default]
    BlankLine,
    /// Every line.
    Line,
}

/// What an example is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExampleUnit {
    /// The whole document, its lines joined by line feeds.
    Document,
    /// A stretch of the document between blank lines, its lines joined by spaces.
    Paragraph,
    /// Every line.
    #[default]
    Line,
}

/// Unicode normalisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// The text as it is.
    None,
    /// Canonical composition: different spellings of one character become one.
    #[default]
    Nfc,
    /// Compatibility composition: full-width letters, ligatures and the like become plain ones.
    Nfkc,
}

/// A text, divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// Where it came from.
    pub origin: String,
    /// Its documents, none of them empty.
    pub documents: Vec<Document>,
}

/// One document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Document {
    /// Its examples, none of them empty, without white space at either end.
    pub examples: Vec<String>,
}

impl Corpus {
    /// Reads UTF-8 text; `origin` names it in errors.
    ///
    /// A byte order mark is dropped; CRLF and CR count as line feeds.
    ///
    /// # Errors
    /// [`TextError::NotUtf8`] with the place of the first wrong byte, [`TextError::EmptyCorpus`] when nothing but white
    /// space is left.
    pub fn from_bytes(origin: &str, bytes: &[u8], config: &CorpusConfig) -> Result<Self, TextError> {
        let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(origin, bytes, error.valid_up_to()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
        let text = match config.normalization {
            Normalization::None => text,
            Normalization::Nfc => text.nfc().collect(),
            Normalization::Nfkc => text.nfkc().collect(),
        };
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let documents: Vec<Document> = match config.document {
            DocumentUnit::File => vec![lines.as_slice()],
            DocumentUnit::BlankLine => lines.split(|line| line.is_empty()).collect(),
            DocumentUnit::Line => lines.chunks(1).collect(),
        }
        .into_iter()
        .map(|lines| Document { examples: examples(lines, config.example) })
        .filter(|document| !document.examples.is_empty())
        .collect();
        match documents.is_empty() {
            true => Err(TextError::EmptyCorpus { origin: origin.to_owned() }),
            false => Ok(Self { origin: origin.to_owned(), documents }),
        }
    }
}

fn examples(lines: &[&str], unit: ExampleUnit) -> Vec<String> {
    let examples: Vec<String> = match unit {
        ExampleUnit::Document => vec![lines.join("\n").trim().to_owned()],
        ExampleUnit::Paragraph => lines.split(|line| line.is_empty()).map(|lines| lines.join(" ")).collect(),
        ExampleUnit::Line => lines.iter().map(|line| (*line).to_owned()).collect(),
    };
    examples.into_iter().filter(|example| !example.is_empty()).collect()
}

fn not_utf8(origin: &str, bytes: &[u8], offset: usize) -> TextError {
    let before = String::from_utf8_lossy(&bytes[..offset]);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    TextError::NotUtf8 {
        origin: origin.to_owned(),
        offset,
        line: 1 + before.matches('\n').count(),
        column: 1 + before[line_start..].chars().count(),
        byte: bytes[offset],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, document: DocumentUnit, example: ExampleUnit, expected: &[&[&str]]) {
        let config = CorpusConfig { document, example, normalization: Normalization::Nfc };
        let corpus = Corpus::from_bytes("test", text.as_bytes(), &config).unwrap();
        let found: Vec<Vec<&str>> =
            corpus.documents.iter().map(|document| document.examples.iter().map(String::as_str).collect()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn documents_and_examples() {
        use DocumentUnit::{BlankLine, File};
        let text = "\u{feff}a\r\n b \r\n\r\n\r\nc\rd\n";
        check(text, BlankLine, ExampleUnit::Line, &[&["a", "b"], &["c", "d"]]);
        check(text, BlankLine, ExampleUnit::Document, &[&["a\nb"], &["c\nd"]]);
        check(text, File, ExampleUnit::Paragraph, &[&["a b", "c d"]]);
        check(text, File, ExampleUnit::Line, &[&["a", "b", "c", "d"]]);
        check(text, DocumentUnit::Line, ExampleUnit::Line, &[&["a"], &["b"], &["c"], &["d"]]);
        check("e\u{301}", File, ExampleUnit::Line, &[&["\u{e9}"]]);
    }

    #[test]
    fn faults_name_the_place() {
        let read = |bytes: &[u8]| Corpus::from_bytes("x.txt", bytes, &CorpusConfig::default()).unwrap_err().to_string();
        assert_eq!(
            read(b"ab\nc\xe4\xbd\xa0\xff"),
            "x.txt is not UTF-8: byte 0xff at offset 7, line 2, column 3; convert the file to UTF-8"
        );
        assert_eq!(read(b" \r\n\n"), "x.txt holds no text");
    }
}
