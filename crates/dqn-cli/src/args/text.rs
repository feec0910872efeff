//! Arguments of what is made from a text: `lm` and `tokenizer`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::at_least_one;

#[derive(Debug, Subcommand)]
pub(crate) enum Lm {
    /// Train a model with modified Kneser-Ney smoothing, and keep its tokenizer beside it
    Train(LmTrain),
    /// Measure how well a model predicts a text
    Perplexity(LmPerplexity),
}

#[derive(Debug, Args)]
pub(crate) struct LmTrain {
    /// Text to learn from, one sequence a line
    #[arg(long, value_name = "FILE")]
    pub(crate) corpus: PathBuf,
    /// ARPA file to write; its tokenizer is written beside it, as NAME.tokenizer.json
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Length of the longest n-grams, 2 to 5
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) order: usize,
    /// How lines become tokens: char, word, or a tokenizer file
    #[arg(long, value_name = "FILE|char|word", default_value = "char")]
    pub(crate) tokenizer: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LmPerplexity {
    /// ARPA file of the model
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// Text to measure, one sequence a line
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    /// Tokenizer file [default: NAME.tokenizer.json beside the model]
    #[arg(long, value_name = "FILE")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Print one JSON object and nothing else on standard output: {perplexity, n_sequences, n_tokens, n_unknown}
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tokenizer {
    /// Make a tokenizer from a text
    Train(TokenizerTrain),
    /// Turn lines of text into lines of token ids
    Encode(TokenizerUse),
    /// Turn lines of token ids into lines of text
    Decode(TokenizerUse),
}

#[derive(Debug, Args)]
pub(crate) struct TokenizerTrain {
    /// Text to make it from
    #[arg(long, value_name = "FILE")]
    pub(crate) corpus: PathBuf,
    /// Tokenizer file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// What a token is
    #[arg(long, value_name = "KIND", default_value = "char")]
    pub(crate) kind: TokenizerKind,
    /// Largest number of tokens, the four special ones included
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(crate) max_tokens: usize,
    /// Rarer characters or words are unknown, rarer pairs are not merged [default: 1, for bpe 2]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) min_count: Option<usize>,
    /// Turn capital letters into small ones; for words only
    #[arg(long)]
    pub(crate) lowercase: bool,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenizerKind {
    /// A character as readers see it.
    Char,
    /// A word or punctuation mark.
    Word,
    /// A line with its line break.
    Line,
    /// A frequent sequence of bytes.
    Bpe,
}

#[derive(Debug, Args)]
pub(crate) struct TokenizerUse {
    /// Tokenizer file
    #[arg(long, value_name = "FILE")]
    pub(crate) tokenizer: PathBuf,
    /// What to convert; without it standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
}
