//! The texts and the experiment that ship inside the program, so that it runs from any folder.

use crate::TrainError;

const TEXTS: [(&str, &str); 2] = [
    ("verse-zh", include_str!("../../../data/verse-zh.txt")),
    ("prose-en", include_str!("../../../data/prose-en.txt")),
];

/// The experiment that runs when none is named.
pub const DEFAULT_EXPERIMENT: &str = include_str!("../../../configs/default.toml");

/// The text called `name`.
///
/// # Errors
/// [`TrainError::UnknownBuiltin`] with the names there are.
pub fn text(name: &str) -> Result<&'static str, TrainError> {
    TEXTS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text).ok_or_else(|| TrainError::UnknownBuiltin {
        name: name.to_owned(),
        known: TEXTS.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", "),
    })
}
