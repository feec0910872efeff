//! Translation: a sentence is given, and its translation is to be written.

use std::path::{Path, PathBuf};

use dqn_text::parallel::{self, DividedPairs, Pair, Side};
use dqn_text::tokenizer::TokenizerConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;

/// Settings of the task `translation`.
///
/// The texts of all distinct sources are the starts; a source that has several translations is judged by all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TranslationConfig {
    /// Where the pairs come from.
    pub pairs: PairsSource,
    /// How sources become tokens; the section `tokenizer` is for what is written. Default words.
    #[serde(default = "default_tokenizer")]
    pub source_tokenizer: TokenizerConfig,
    /// Tokens of a source that are read; the rest of a longer one is not. Default 64.
    #[serde(default = "default_source_tokens")]
    #[schemars(range(min = 1))]
    pub max_source_tokens: usize,
    /// Most tokens of a translation, its end included. Pairs with longer ones are not learned from. Default 64.
    #[serde(default = "default_max_tokens")]
    #[schemars(range(min = 1))]
    pub max_tokens: usize,
    /// Turn capital letters into small ones on both sides, references included, so that BLEU is that of small letters.
    /// Default false.
    #[serde(default)]
    pub lowercase: bool,
}

fn default_tokenizer() -> TokenizerConfig {
    TokenizerConfig::Word { max_tokens: 8_000, min_count: 1, lowercase: false, chinese: Default::default() }
}

fn default_source_tokens() -> usize {
    64
}

fn default_max_tokens() -> usize {
    64
}

/// Where pairs come from; relative paths start at the experiment file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PairsSource {
    /// One table, divided here: sentences of one side are dealt out with all their translations, and held-out pairs whose
    /// other side is learned from are left out.
    Table {
        /// The file, with tabs between its columns.
        path: PathBuf,
        /// The column of the sources, counted from 0. Default 0.
        #[serde(default)]
        source_column: usize,
        /// The column of the translations. Default 1.
        #[serde(default = "default_target_column")]
        target_column: usize,
        /// The column whose distinct texts are dealt out, so that both directions are divided alike. Default 0.
        #[serde(default)]
        divide_by_column: usize,
        /// Distinct texts for validation. Default 500.
        #[serde(default = "default_held_out")]
        #[schemars(range(min = 1))]
        n_validation: usize,
        /// Distinct texts for the test. Default 500.
        #[serde(default = "default_held_out")]
        #[schemars(range(min = 1))]
        n_test: usize,
        /// Seed of the order in which they are dealt out. Default 0, apart from the run's seed so that runs are compared on
        /// the same test.
        #[serde(default)]
        seed: u64,
    },
    /// A table for each part.
    Tables {
        /// To learn from.
        training: PathBuf,
        /// To tune on.
        validation: PathBuf,
        /// To report on.
        test: PathBuf,
        /// The column of the sources, counted from 0. Default 0.
        #[serde(default)]
        source_column: usize,
        /// The column of the translations. Default 1.
        #[serde(default = "default_target_column")]
        target_column: usize,
    },
    /// Two files for each part, which belong together line by line.
    Lines {
        /// To learn from.
        training: PairedFiles,
        /// To tune on.
        validation: PairedFiles,
        /// To report on.
        test: PairedFiles,
    },
}

fn default_target_column() -> usize {
    1
}

fn default_held_out() -> usize {
    500
}

/// Two files that belong together line by line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairedFiles {
    /// One source a line.
    pub source: PathBuf,
    /// One translation a line.
    pub target: PathBuf,
}

impl TranslationConfig {
    /// The paths of the files.
    pub fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        match &mut self.pairs {
            PairsSource::Table { path, .. } => vec![path],
            PairsSource::Tables { training, validation, test, .. } => vec![training, validation, test],
            PairsSource::Lines { training, validation, test } => [training, validation, test]
                .into_iter()
                .flat_map(|files| [&mut files.source, &mut files.target])
                .collect(),
        }
    }

    /// Reads the pairs of all parts.
    ///
    /// # Errors
    /// When a file cannot be read, is no text of pairs, or too few pairs are there to be divided.
    pub fn read(&self) -> Result<DividedPairs, EnvError> {
        let mut divided = match &self.pairs {
            PairsSource::Table { path, source_column, target_column, divide_by_column, n_validation, n_test, seed } => {
                let by = match divide_by_column {
                    column if column == source_column => Side::Source,
                    column if column == target_column => Side::Target,
                    column => {
                        let allowed = "the column of the sources or that of the translations";
                        return Err(EnvError::game_value(
                            "task translation",
                            "pairs.divide_by_column",
                            column,
                            allowed,
                        ));
                    }
                };
                let (origin, bytes) = bytes(path)?;
                let pairs = parallel::from_tsv(&origin, &bytes, [*source_column, *target_column])?;
                parallel::divide(&origin, pairs, by, [*n_validation, *n_test], *seed)?
            }
            PairsSource::Tables { training, validation, test, source_column, target_column } => {
                let part = |path: &PathBuf| -> Result<Vec<Pair>, EnvError> {
                    let (origin, bytes) = bytes(path)?;
                    Ok(parallel::from_tsv(&origin, &bytes, [*source_column, *target_column])?)
                };
                whole([part(training)?, part(validation)?, part(test)?])
            }
            PairsSource::Lines { training, validation, test } => {
                let part = |PairedFiles { source, target }: &PairedFiles| -> Result<Vec<Pair>, EnvError> {
                    let (source, target) = (bytes(source)?, bytes(target)?);
                    Ok(parallel::from_lines((&source.0, &source.1), (&target.0, &target.1))?)
                };
                whole([part(training)?, part(validation)?, part(test)?])
            }
        };
        if self.lowercase {
            let parts = [&mut divided.training, &mut divided.validation, &mut divided.test];
            for Pair { source, target } in parts.into_iter().flatten() {
                (*source, *target) = (source.to_lowercase(), target.to_lowercase());
            }
        }
        Ok(divided)
    }
}

fn whole([training, validation, test]: [Vec<Pair>; 3]) -> DividedPairs {
    DividedPairs { training, validation, test, n_left_out: 0 }
}

fn bytes(path: &Path) -> Result<(String, Vec<u8>), EnvError> {
    let origin = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => Ok((origin, bytes)),
        Err(source) => Err(EnvError::PairsFile { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(folder: &Path, pairs: serde_json::Value, lowercase: bool) -> Result<DividedPairs, EnvError> {
        let mut config: TranslationConfig =
            serde_json::from_value(json!({ "pairs": pairs, "lowercase": lowercase })).unwrap();
        config.paths_mut().into_iter().for_each(|path| *path = folder.join(&*path));
        config.read()
    }

    #[test]
    fn pairs_come_from_tables_and_lines() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.tsv", "A dog\tEin Hund\nA cat\tEine Katze\n");
        write("b.tsv", "A cow\tEine Kuh\n");
        write("c.tsv", "A bird\tEin Vogel\n");
        write("a.en", "A dog\nA cat\n");
        write("a.de", "Ein Hund\nEine Katze\n");
        let tables = json!({ "kind": "tables", "training": "a.tsv", "validation": "b.tsv", "test": "c.tsv" });
        let found = read(folder.path(), tables, true).unwrap();
        assert_eq!(found.training[1], Pair { source: "a cat".to_owned(), target: "eine katze".to_owned() });
        assert_eq!((found.validation.len(), found.test.len()), (1, 1));
        let files = json!({ "source": "a.de", "target": "a.en" });
        let lines = json!({ "kind": "lines", "training": files, "validation": files, "test": files });
        let found = read(folder.path(), lines, false).unwrap();
        assert_eq!(found.test[0], Pair { source: "Ein Hund".to_owned(), target: "A dog".to_owned() });
    }

    #[test]
    fn both_directions_of_a_table_are_divided_alike() {
        let folder = tempfile::tempdir().unwrap();
        let text: String = (0..30).map(|index| format!("{}\tw{index}\n", "x".repeat(1 + index / 2))).collect();
        std::fs::write(folder.path().join("t.tsv"), text).unwrap();
        let table = |source, target| {
            json!({ "kind": "table", "path": "t.tsv", "source_column": source, "target_column": target,
                    "n_validation": 3, "n_test": 4 })
        };
        let there = read(folder.path(), table(0, 1), false).unwrap();
        let back = read(folder.path(), table(1, 0), false).unwrap();
        let turned: Vec<Pair> = back
            .test
            .iter()
            .map(|Pair { source, target }| Pair { source: target.clone(), target: source.clone() })
            .collect();
        assert_eq!(there.test, turned);
        assert_eq!(there.test.len(), 8, "two translations of each of four texts");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = read(folder.path(), json!({ "kind": "table", "path": "no.tsv" }), false).unwrap_err();
        assert!(missing.to_string().contains("no.tsv"), "{missing}");
        let other = json!({ "kind": "table", "path": "no.tsv", "divide_by_column": 2 });
        let message = read(folder.path(), other, false).unwrap_err().to_string();
        assert!(message.contains("pairs.divide_by_column") && message.contains('2'), "{message}");
    }
}
