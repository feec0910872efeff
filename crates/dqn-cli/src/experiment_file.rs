//! From an experiment file and the command line to a checked configuration.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dqn_train::builtin::DEFAULT_EXPERIMENT;
use dqn_train::config::{ActionsConfig, CorpusSource, ExperimentConfig};

use crate::args::ExperimentFile;
use crate::input;

/// Name of the experiment that ships with the program, in messages.
const DEFAULT_ORIGIN: &str = "the default experiment";

/// Reads and checks an experiment; paths in it are whole paths afterwards, so that a run can be opened from anywhere.
pub(crate) fn load(file: &ExperimentFile) -> anyhow::Result<ExperimentConfig> {
    let (text, folder) = match &file.config {
        Some(path) => (input::text(Some(path))?, path.parent().map_or_else(PathBuf::new, Path::to_path_buf)),
        None => (DEFAULT_EXPERIMENT.to_owned(), PathBuf::new()),
    };
    let mut config = ExperimentConfig::from_toml(&text, &origin(file), &file.set)?;
    let sections = [&mut config.corpus, &mut config.vocabulary].into_iter().flatten();
    let sentences = match &mut config.actions {
        ActionsConfig::Sentences { source, .. } => source.as_mut(),
        _ => None,
    };
    for source in sections.map(|section| &mut section.source).chain(sentences) {
        resolve(source, &folder)?;
    }
    Ok(config)
}

/// Where an experiment comes from, in words.
pub(crate) fn origin(file: &ExperimentFile) -> String {
    file.config.as_ref().map_or_else(|| DEFAULT_ORIGIN.to_owned(), |path| path.display().to_string())
}

/// A relative path starts at the folder of the experiment file.
fn resolve(source: &mut CorpusSource, folder: &Path) -> anyhow::Result<()> {
    if let CorpusSource::Path(path) = source {
        *path = std::path::absolute(folder.join(&path)).context("the current folder cannot be found")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_start_at_the_experiment_file() {
        let here = std::env::current_dir().unwrap();
        for (path, folder, expected) in [
            ("poems.txt", "experiments", here.join("experiments/poems.txt")),
            ("poems.txt", "", here.join("poems.txt")),
            ("/data/poems.txt", "experiments", PathBuf::from("/data/poems.txt")),
        ] {
            let mut source = CorpusSource::Path(path.into());
            resolve(&mut source, Path::new(folder)).unwrap();
            assert_eq!(source, CorpusSource::Path(expected), "{path} in {folder:?}");
        }
    }

    #[test]
    fn the_default_experiment_is_sound() {
        let config = load(&ExperimentFile::default()).unwrap();
        assert_eq!(config.name, "verse-zh");
    }
}
