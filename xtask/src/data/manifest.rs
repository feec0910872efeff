//! What `data/manifest.toml` holds.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;

/// All data sets, shipped or brought.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// In the order `data list` shows them.
    pub(crate) dataset: Vec<DataSet>,
}

/// One data set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataSet {
    /// What `data prepare` calls it.
    pub(crate) name: String,
    /// One line on what it is.
    pub(crate) title: String,
    /// Licence of the text, and of the collection where it has one of its own.
    pub(crate) licence: String,
    /// Where it comes from, with the version.
    pub(crate) origin: String,
    /// In words, what `data prepare` does.
    pub(crate) prepare: String,
    /// What `data prepare` runs.
    pub(crate) recipe: Recipe,
    /// Whether the files are part of the repository.
    pub(crate) shipped: bool,
    /// The prepared files.
    pub(crate) file: Vec<DataFile>,
}

/// A prepared file, or many of one kind.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataFile {
    /// Below `data` where shipped, else below `data/cache/NAME`; a last part `*.wav` stands for all files so named.
    pub(crate) path: String,
    /// For a copied file, its name in the source folder where that differs from `path`.
    pub(crate) from: Option<String>,
    /// SHA-256 of the file; of many, that of the listing `sha256sum` prints for them in byte order of their names.
    pub(crate) sha256: String,
    /// Size, of many the sum.
    pub(crate) bytes: usize,
    /// Number of newlines, for text.
    pub(crate) lines: Option<usize>,
    /// How many files `*` stands for.
    pub(crate) files: Option<usize>,
}

/// What builds a data set from its source folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Recipe {
    /// Chinese verse from the unpacked npm package `chinese-poetry`.
    VerseZh,
    /// English prose from the unpacked Debian package `bible-kjv-text`.
    ProseEn,
    /// English words from the unpacked Debian package `wamerican-small`.
    WordsEn,
    /// A parallel corpus written by a grammar; it has no source.
    TranslationSmall,
    /// The recordings as they are, and manifests that divide them into parts.
    Fsdd,
    /// Numbers in words, spoken by espeak-ng.
    Synthesise,
    /// The files as they are, after their checksums are found right.
    Copy,
}

impl Manifest {
    /// Reads the manifest of the workspace at `root`.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = root.join("data/manifest.toml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not a manifest", path.display()))
    }

    /// The data set `name`.
    pub(crate) fn find(&self, name: &str) -> Result<&DataSet> {
        self.dataset.iter().find(|set| set.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.dataset.iter().map(|set| set.name.as_str()).collect();
            anyhow!("no data set is called {name:?}; data/manifest.toml knows {}", names.join(", "))
        })
    }
}

impl DataFile {
    /// The path without its folders.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or(&self.path, |(_, name)| name)
    }

    /// Whether the file at `path` is it, or one of those it stands for.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        match self.path.rsplit_once("*.") {
            Some((folder, extension)) => path
                .strip_prefix(folder)
                .and_then(|name| name.rsplit_once('.'))
                .is_some_and(|(stem, found)| found == extension && !stem.contains('/')),
            None => path == self.path,
        }
    }

    /// Whether it stands for all files with an extension.
    pub(crate) fn is_pattern(&self) -> bool {
        self.name().starts_with("*.")
    }
}
