//! What can go wrong with the folder of a pretrained model, and with texts that are given to it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A folder that is no model this program can read, or a text that the model cannot read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PretrainedError {
    /// What was named is no folder.
    #[error("{} is not a folder; name the folder that holds config.json, model.safetensors and tokenizer.json", path.display())]
    NotAFolder {
        /// What was named.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A model was to be written where something is already.
    #[error("{} exists and is not an empty folder; name another one", path.display())]
    OutputExists {
        /// The folder.
        path: PathBuf,
    },
    /// A JSON file is none, or has another form.
    #[error("{}: {message}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        message: String,
    },
    /// A setting of the model is wrong or not supported.
    #[error("{}: {key} is {found}; {allowed}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: String,
        /// Its value, as JSON, or that it is missing.
        found: String,
        /// What is allowed.
        allowed: String,
    },
    /// A folder holds no parameters.
    #[error(
        "{} holds neither model.safetensors nor model.safetensors.index.json; {}", path.display(),
        if found.is_empty() { "it is empty".to_owned() } else { format!("it holds {}", found.join(", ")) }
    )]
    NoWeights {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        found: Vec<String>,
    },
    /// A folder holds parameters only in forms that are not read.
    #[error(
        "{} holds its parameters only as {}, and pickled files are not read: unpickling one can run any code that its \
         author put there; save it as safetensors (`save_pretrained` of transformers does)", path.display(), files.join(", ")
    )]
    Pickled {
        /// The folder.
        path: PathBuf,
        /// The files.
        files: Vec<String>,
    },
    /// A safetensors file does not have the form it must have.
    #[error("{} is no sound safetensors file: {message}", path.display())]
    SafeTensors {
        /// The file.
        path: PathBuf,
        /// What was found, and what is allowed.
        message: String,
    },
    /// An index and the files it lists contradict each other.
    #[error("{}: {message}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What was found, and what is allowed.
        message: String,
    },
    /// The tensors of the files are not those that the configuration asks for.
    #[error("the tensors in {} are not those of the model that its config.json describes:{}", path.display(), listed(faults))]
    Tensors {
        /// The folder.
        path: PathBuf,
        /// Each tensor that is missing, unexpected, of another shape or of another kind.
        faults: Vec<TensorFault>,
    },
    /// A text has no tokens.
    #[error("a text without a token cannot be read; at least one is needed, such as the one that begins texts")]
    NoTokens,
    /// A text is longer than the model can read.
    #[error("a text of {n_tokens} tokens is too long: the model reads up to {n_positions}")]
    TooLong {
        /// Tokens of the text.
        n_tokens: usize,
        /// Tokens the model reads.
        n_positions: usize,
    },
    /// A token is none of the model's.
    #[error("token {token} is none of the model's, which are 0 to {}", vocab_size - 1)]
    UnknownToken {
        /// The token.
        token: u32,
        /// How many the model has.
        vocab_size: usize,
    },
}

impl PretrainedError {
    /// Whether what was asked for is wrong, rather than the machine having failed.
    pub fn is_request_fault(&self) -> bool {
        !matches!(self, Self::Write { .. })
    }
}

/// A tensor that is not as the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TensorFault {
    /// It is not there.
    Missing {
        /// Its name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// It has no place in the model.
    Unexpected {
        /// Its name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// It has another shape.
    Misshapen {
        /// Its name.
        name: String,
        /// The shape it has.
        found: Vec<usize>,
        /// The shape it must have.
        expected: Vec<usize>,
    },
    /// Its numbers are of a kind that is not read.
    Kind {
        /// Its name.
        name: String,
        /// The kind.
        found: &'static str,
    },
    /// It is there under two names.
    Twice {
        /// The name without its prefix.
        name: String,
    },
}

impl fmt::Display for TensorFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, shape } => write!(formatter, "{name} {shape:?} is missing"),
            Self::Unexpected { name, shape } => write!(formatter, "{name} {shape:?} has no place in it"),
            Self::Misshapen { name, found, expected } => {
                write!(formatter, "{name} has the shape {found:?}, expected {expected:?}")
            }
            Self::Kind { name, found } => write!(formatter, "{name} is of {found}; F32, F16 and BF16 are read"),
            Self::Twice { name } => write!(formatter, "{name} is there with and without the prefix \"transformer.\""),
        }
    }
}

/// Faults shown before the rest is only counted.
const MAX_SHOWN: usize = 20;

fn listed(faults: &[TensorFault]) -> String {
    let mut text: String = faults.iter().take(MAX_SHOWN).map(|fault| format!("\n  {fault}")).collect();
    if faults.len() > MAX_SHOWN {
        text += &format!("\n  and {} more", faults.len() - MAX_SHOWN);
    }
    text
}
