//! Text files and standard input.

use std::io::{self, Read};
use std::path::Path;

use dqn_text::corpus::{Corpus, CorpusConfig, DocumentUnit, ExampleUnit};
use dqn_train::TrainError;

use crate::failure::BadRequest;

/// The text of a file; of standard input where none is named.
pub(crate) fn text(path: Option<&Path>) -> anyhow::Result<String> {
    let (origin, bytes) = match path {
        Some(path) => (path.display().to_string(), bytes(path)?),
        None => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes)?;
            ("standard input".to_owned(), bytes)
        }
    };
    let text = String::from_utf8(bytes).map_err(|fault| {
        let offset = fault.utf8_error().valid_up_to();
        let (before, byte) = (&fault.as_bytes()[..offset], fault.as_bytes()[offset]);
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        BadRequest(format!("{origin} is not UTF-8: byte {byte:#04x} at offset {offset}, line {line}"))
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The lines of a file that hold more than white space, in Unicode composition form.
pub(crate) fn sequences(path: &Path) -> anyhow::Result<Vec<String>> {
    let config = CorpusConfig { document: DocumentUnit::Line, example: ExampleUnit::Line, ..CorpusConfig::default() };
    let corpus = Corpus::from_bytes(&path.display().to_string(), &bytes(path)?, &config)?;
    Ok(corpus.documents.into_iter().flat_map(|document| document.examples).collect())
}

/// The lines of a file, or of standard input where it is called `-`.
pub(crate) fn lines(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = text((path != Path::new("-")).then_some(path))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn bytes(path: &Path) -> Result<Vec<u8>, TrainError> {
    std::fs::read(path).map_err(|source| TrainError::Read { path: path.to_owned(), source })
}
