//! What can go wrong with text.

use crate::TokenId;
use crate::split::Split;

/// A fault in a text, a vocabulary or a tokenizer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A token occurs twice in a vocabulary.
    #[error("the vocabulary lists the token {token:?} twice")]
    DuplicateToken {
        /// The repeated token.
        token: String,
    },
    /// The vocabulary does not begin with the special tokens.
    #[error("token {} of the vocabulary is {found:?}; it must be {expected:?}", id.0)]
    SpecialToken {
        /// The place in the vocabulary.
        id: TokenId,
        /// What stands there.
        found: String,
        /// What must stand there.
        expected: &'static str,
    },
    /// The vocabulary is shorter than the list of special tokens.
    #[error("the vocabulary has {found} tokens; at least {minimum} are needed")]
    VocabTooSmall {
        /// How many tokens there are.
        found: usize,
        /// How many there must be.
        minimum: usize,
    },
    /// A text is not UTF-8.
    #[error(
        "{origin} is not UTF-8: byte {byte:#04x} at offset {offset}, line {line}, column {column}; convert the file to UTF-8"
    )]
    NotUtf8 {
        /// The file.
        origin: String,
        /// Offset of the first wrong byte.
        offset: usize,
        /// Its line, counted from 1.
        line: usize,
        /// Its column in characters, counted from 1.
        column: usize,
        /// The byte.
        byte: u8,
    },
    /// A text holds a NUL, which no plain text does.
    #[error(
        "{origin} is not plain text: NUL at offset {offset}, line {line}, column {column}; convert the file to UTF-8 if \
         it is UTF-16"
    )]
    Nul {
        /// The file.
        origin: String,
        /// Offset of the first NUL.
        offset: usize,
        /// Its line, counted from 1.
        line: usize,
        /// Its column in characters, counted from 1.
        column: usize,
    },
    /// A text holds nothing but white space.
    #[error("{origin} holds no text")]
    EmptyCorpus {
        /// The file.
        origin: String,
    },
    /// A part of a corpus was named that there is not.
    #[error("there is no part {name:?} of a corpus; there are: train, judge, validation, test")]
    UnknownSplit {
        /// The name.
        name: String,
    },
    /// The shares of a split do not make a whole.
    #[error(
        "split: train, judge, validation and test are {}, {}, {} and {}; they must add up to 1, and all but judge must \
         be above 0",
        shares[0], shares[1], shares[2], shares[3]
    )]
    Shares {
        /// The shares, in the order of the parts.
        shares: [f64; 4],
    },
    /// A corpus cannot be divided.
    #[error(
        "{origin} has {found} distinct document{}, but {needed} parts are asked for; bring more text, or change \
         corpus.reading.document",
        if *found == 1 { "" } else { "s" }
    )]
    TooFewDocuments {
        /// The file.
        origin: String,
        /// How many distinct documents it has.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A part of a corpus has no text of its own.
    #[error(
        "{origin}: every example of the part {part} also stands in an earlier part; bring more text, enlarge \
         split.{part}, or try another split.seed"
    )]
    EmptyPart {
        /// The file.
        origin: String,
        /// The part.
        part: Split,
    },
    /// A tokenizer was to be made from too little.
    #[error("a {kind} tokenizer cannot be made from {n_texts} texts in which no unit occurs {min_count} times or more")]
    NoTokens {
        /// Its kind.
        kind: &'static str,
        /// How many texts there are.
        n_texts: usize,
        /// How often a unit must occur to be kept.
        min_count: usize,
    },
    /// A tokenizer was to be made smaller than its kind allows.
    #[error("tokenizer.max_tokens = {found}: a {kind} tokenizer needs at least {minimum}")]
    MaxTokens {
        /// Its kind.
        kind: &'static str,
        /// The size asked for.
        found: usize,
        /// The smallest size.
        minimum: usize,
    },
    /// A tokenizer file cannot be read or written.
    #[error("cannot {action} the tokenizer {origin}: {message}")]
    TokenizerFile {
        /// What was tried: "read" or "write".
        action: &'static str,
        /// The file.
        origin: String,
        /// What went wrong.
        message: String,
    },
    /// A tokenizer needs a part of the program that was not compiled in.
    #[error("tokenizer.chinese = \"jieba\" needs the cargo feature `jieba`, which this program was built without")]
    NoJieba,
    /// A manifest of recordings cannot be opened or read.
    #[error("{origin} cannot be read: {source}")]
    ManifestFile {
        /// The manifest.
        origin: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line of a manifest is no recording.
    #[error("{origin}, line {line}: {message}")]
    Manifest {
        /// The manifest.
        origin: String,
        /// The line, counted from 1.
        line: usize,
        /// What was found, and what is allowed.
        message: String,
    },
    /// A manifest lists nothing.
    #[error("{origin} lists no recordings; at least one line must be one")]
    NoClips {
        /// The manifest.
        origin: String,
    },
    /// The tokenizers library failed.
    #[error("the BPE tokenizer failed: {message}")]
    Bpe {
        /// What it said.
        message: String,
    },
    /// A line of a table of pairs has too few columns.
    #[error("line {line} of {origin} has {found} columns; column {column}, counted from 0, is needed")]
    PairColumn {
        /// The file.
        origin: String,
        /// The line, counted from 1.
        line: usize,
        /// The column asked for, counted from 0.
        column: usize,
        /// How many there are.
        found: usize,
    },
    /// One of the two texts of a pair is empty.
    #[error("line {line} of {origin} has an empty {side}; every pair needs both texts")]
    EmptyPair {
        /// The file of the source.
        origin: String,
        /// The line, counted from 1.
        line: usize,
        /// Which text: "source" or "target".
        side: &'static str,
    },
    /// Two texts that belong together line by line differ in length.
    #[error(
        "{source_origin} has {n_source} lines and {target_origin} has {n_target}; line by line they belong together"
    )]
    PairLines {
        /// The file of the sources.
        source_origin: String,
        /// The file of the targets.
        target_origin: String,
        /// Lines of the one.
        n_source: usize,
        /// Lines of the other.
        n_target: usize,
    },
    /// A file of pairs holds none.
    #[error("{origin} holds no pairs; at least one is needed")]
    NoPairs {
        /// The file.
        origin: String,
    },
    /// There are too few pairs to divide.
    #[error(
        "{origin} has {n_texts} distinct texts to divide by; at least {needed} are needed, and some whose other side is \
         not learned from"
    )]
    TooFewPairs {
        /// The file.
        origin: String,
        /// Distinct texts of the side that pairs are divided by.
        n_texts: usize,
        /// How many are needed.
        needed: usize,
    },
}
