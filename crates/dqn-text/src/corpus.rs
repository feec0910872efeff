//! Plain text, read into documents of examples.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::TextError;
use crate::script::is_wide;

/// How a text file is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CorpusConfig {
    /// What a document is: documents are the units that are divided between training and testing. By default what
    /// blank lines separate, so that lines that belong together stay together.
    pub document: DocumentUnit,
    /// What an example is: one text to learn from, within a document. By default a line, as in the shipped texts.
    pub example: ExampleUnit,
    /// Unicode normalisation of the text. By default canonical composition (NFC), which changes no meaning.
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
    /// A stretch of the document between blank lines, its lines joined by spaces (Chinese ones without).
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
    /// A byte order mark is dropped; CRLF and CR count as line feeds. White space at either end of a line is dropped.
    ///
    /// # Errors
    /// [`TextError::NotUtf8`] with the place of the first wrong byte; [`TextError::Nul`] when the bytes hold a NUL, as
    /// binary files and UTF-16 do; [`TextError::EmptyCorpus`] when nothing but white space is left.
    pub fn from_bytes(origin: &str, bytes: &[u8], config: &CorpusConfig) -> Result<Self, TextError> {
        let text = plain_text(origin, bytes)?;
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

/// UTF-8 text without its byte order mark, its lines ended by line feeds.
///
/// # Errors
/// [`TextError::NotUtf8`] and [`TextError::Nul`].
pub(crate) fn plain_text(origin: &str, bytes: &[u8]) -> Result<String, TextError> {
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(origin, bytes, error.valid_up_to()))?;
    if let Some(offset) = text.find('\0') {
        let (line, column) = place(&text[..offset]);
        return Err(TextError::Nul { origin: origin.to_owned(), offset, line, column });
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n"))
}

fn examples(lines: &[&str], unit: ExampleUnit) -> Vec<String> {
    let examples: Vec<String> = match unit {
        ExampleUnit::Document => vec![lines.join("\n").trim().to_owned()],
        ExampleUnit::Paragraph => lines.split(|line| line.is_empty()).map(join_lines).collect(),
        ExampleUnit::Line => lines.iter().map(|line| (*line).to_owned()).collect(),
    };
    examples.into_iter().filter(|example| !example.is_empty()).collect()
}

/// One line of several, with a space where two of them meet unless both are Chinese there.
fn join_lines(lines: &[&str]) -> String {
    lines.iter().fold(String::new(), |mut joined, line| {
        let meets_wide = joined.ends_with(is_wide) && line.starts_with(is_wide);
        if !joined.is_empty() && !meets_wide {
            joined.push(' ');
        }
        joined + line
    })
}

fn not_utf8(origin: &str, bytes: &[u8], offset: usize) -> TextError {
    let (line, column) = place(&String::from_utf8_lossy(&bytes[..offset]));
    TextError::NotUtf8 { origin: origin.to_owned(), offset, line, column, byte: bytes[offset] }
}

/// Line and column, both from 1, of what comes after `before`. A byte order mark takes no column.
fn place(before: &str) -> (usize, usize) {
    let before = before.strip_prefix('\u{feff}').unwrap_or(before).replace("\r\n", "\n").replace('\r', "\n");
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (1 + before.matches('\n').count(), 1 + before[line_start..].chars().count())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        check(
            "\u{3000}白日依山尽\n黄河入海流\nby\n王之涣",
            File,
            ExampleUnit::Paragraph,
            &[&["白日依山尽黄河入海流 by 王之涣"]],
        );
    }

    #[test]
    fn normalisation_is_the_one_asked_for() {
        let read = |normalization| {
            let config = CorpusConfig { normalization, ..CorpusConfig::default() };
            Corpus::from_bytes("test", "e\u{301}ＡＢ".as_bytes(), &config)
                .unwrap()
                .documents
                .remove(0)
                .examples
                .remove(0)
        };
        assert_eq!(read(Normalization::None), "e\u{301}ＡＢ");
        assert_eq!(read(Normalization::Nfc), "\u{e9}ＡＢ");
        assert_eq!(read(Normalization::Nfkc), "\u{e9}AB");
        assert_eq!(CorpusConfig::default().normalization, Normalization::Nfc);
    }

    #[test]
    fn faults_name_the_place() {
        let read = |bytes: &[u8]| Corpus::from_bytes("x.txt", bytes, &CorpusConfig::default()).unwrap_err().to_string();
        assert_eq!(
            read(b"ab\nc\xe4\xbd\xa0\xff"),
            "x.txt is not UTF-8: byte 0xff at offset 7, line 2, column 3; convert the file to UTF-8"
        );
        assert!(read(b"\xef\xbb\xbfab\r\rc\xff").contains("0xff at offset 8, line 3, column 2"));
        assert!(read(b"\xe4\xbd").contains("0xe4 at offset 0, line 1, column 1"), "cut short within a character");
        assert!(read(b"a\n\0b").starts_with("x.txt is not plain text: NUL at offset 2, line 2, column 1"));
        assert_eq!(read(b" \r\n\n"), "x.txt holds no text");
        assert_eq!(read(b"\xef\xbb\xbf"), "x.txt holds no text");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            match Corpus::from_bytes("x", &bytes, &CorpusConfig::default()) {
                Ok(corpus) => prop_assert!(corpus.documents.iter().all(|document| !document.examples.is_empty())),
                Err(error) => prop_assert!(error.to_string().starts_with("x ")),
            }
        }

        #[test]
        fn examples_are_trimmed_and_lose_nothing_but_white_space(text in "[ab你。 \\r\\n\u{3000}\u{feff}]{0,30}") {
            let black = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            for document in [DocumentUnit::File, DocumentUnit::BlankLine, DocumentUnit::Line] {
                for example in [ExampleUnit::Document, ExampleUnit::Paragraph, ExampleUnit::Line] {
                    let config = CorpusConfig { document, example, ..CorpusConfig::default() };
                    let corpus = Corpus::from_bytes("x", text.as_bytes(), &config);
                    let examples: Vec<String> =
                        corpus.map_or(Vec::new(), |corpus| corpus.documents.into_iter().flat_map(|d| d.examples).collect());
                    prop_assert!(examples.iter().all(|example| !example.is_empty() && example.trim() == example));
                    prop_assert_eq!(black(&examples.concat()), black(text.strip_prefix('\u{feff}').unwrap_or(&text)));
                }
            }
        }
    }
}
