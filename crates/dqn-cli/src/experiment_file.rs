//! From an experiment file and the command line to a checked configuration.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dqn_train::builtin::DEFAULT_EXPERIMENT;
use dqn_train::config::check;
use dqn_train::config::layers::merge;
use dqn_train::config::stages::{self, StagedConfig};
use dqn_train::config::{ActionsConfig, CorpusSource, EpisodeSource, ExperimentConfig, PriorConfig};
use toml::{Table, Value};

use crate::args::ExperimentFile;
use crate::failure::BadRequest;
use crate::input;

/// Name of the experiment that ships with the program, in messages.
const DEFAULT_ORIGIN: &str = "the default experiment";

/// How many files may change one another: a circle of them is longer than any.
const MAX_LAYERS: usize = 16;

/// What an experiment file describes.
pub(crate) enum Described {
    /// One run.
    Run(Box<ExperimentConfig>),
    /// Several, one after another.
    Stages(StagedConfig),
}

/// Reads and checks an experiment; paths in it are whole paths afterwards, so that a run can be opened from anywhere.
pub(crate) fn describe(file: &ExperimentFile) -> anyhow::Result<Described> {
    let (table, text) = read(file)?;
    // What an override names starts at the folder of the experiment file as well.
    let folder = folder(file.config.as_deref());
    let whole = |config: &mut ExperimentConfig| {
        config.model_folders_mut().into_iter().try_for_each(|path| make_whole(path, &folder))?;
        let mut named = paths(config).into_iter().filter(|path| stages::reference(path).is_none());
        named.try_for_each(|path| make_whole(path, &folder))
    };
    if stages::has_stages(&table) {
        let mut staged = StagedConfig::from_table(table, &text, &origin(file), &file.set)?;
        staged.stages.iter_mut().try_for_each(|stage| whole(&mut stage.config))?;
        return Ok(Described::Stages(staged));
    }
    let mut config = ExperimentConfig::from_table(table, &text, &origin(file), &file.set)?;
    whole(&mut config)?;
    Ok(Described::Run(Box::new(config)))
}

/// Reads and checks an experiment of one run, as [`describe`] does.
pub(crate) fn load(file: &ExperimentFile) -> anyhow::Result<ExperimentConfig> {
    match describe(file)? {
        Described::Run(config) => Ok(*config),
        Described::Stages(_) => {
            let why = "has stages, which `train` and `config` know; here a file that describes one run is needed";
            Err(BadRequest(format!("{} {why}", origin(file))).into())
        }
    }
}

/// The table of an experiment with the changes to it, unchecked.
pub(crate) fn table(file: &ExperimentFile) -> anyhow::Result<Table> {
    let (mut table, _) = read(file)?;
    file.set.iter().try_for_each(|assignment| check::apply_override(&mut table, assignment))?;
    Ok(table)
}

/// The table of an experiment file without the changes to it, and the text of the file.
fn read(file: &ExperimentFile) -> anyhow::Result<(Table, String)> {
    let text = match &file.config {
        Some(path) => input::text(Some(path))?,
        None => DEFAULT_EXPERIMENT.to_owned(),
    };
    Ok((layered(&text, file.config.as_deref(), &origin(file), MAX_LAYERS)?, text))
}

/// The table of an experiment file, put over the one it extends.
fn layered(text: &str, path: Option<&Path>, origin: &str, layers_left: usize) -> anyhow::Result<Table> {
    let mut table = ExperimentConfig::parse(text, origin)?;
    resolve(&mut table, &folder(path))?;
    let Some(base) = table.get("extends").and_then(Value::as_str).map(str::to_owned) else { return Ok(table) };
    if layers_left == 0 {
        let fault = format!(
            "{origin}: extends = {base:?}: at most {MAX_LAYERS} files may extend one another; is there a circle?"
        );
        return Err(BadRequest(fault).into());
    }
    table.remove("extends");
    let base = match base.as_str() {
        "default" => layered(DEFAULT_EXPERIMENT, None, DEFAULT_ORIGIN, layers_left - 1)?,
        _ => {
            let base = folder(path).join(base);
            let text = input::text(Some(&base)).with_context(|| format!("{origin} extends {}", base.display()))?;
            layered(&text, Some(&base), &base.display().to_string(), layers_left - 1)?
        }
    };
    Ok(merge(base, table))
}

fn folder(path: Option<&Path>) -> PathBuf {
    path.and_then(Path::parent).map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Where an experiment comes from, in words.
pub(crate) fn origin(file: &ExperimentFile) -> String {
    file.config.as_ref().map_or_else(|| DEFAULT_ORIGIN.to_owned(), |path| path.display().to_string())
}

/// Where paths stand in an experiment file.
const PATHS: [&[&str]; 24] = [
    &["tokenizer", "folder"],
    &["network", "torso", "folder"],
    &["prior", "folder"],
    &["corpus", "source", "path"],
    &["vocabulary", "source", "path"],
    &["actions", "source", "path"],
    &["prior", "run"],
    &["training", "initial", "run"],
    &["training", "source", "path"],
    &["environment", "words", "path"],
    &["environment", "path"],
    &["environment", "training"],
    &["environment", "validation"],
    &["environment", "test"],
    &["environment", "pairs", "path"],
    &["environment", "pairs", "training"],
    &["environment", "pairs", "validation"],
    &["environment", "pairs", "test"],
    &["environment", "pairs", "training", "source"],
    &["environment", "pairs", "training", "target"],
    &["environment", "pairs", "validation", "source"],
    &["environment", "pairs", "validation", "target"],
    &["environment", "pairs", "test", "source"],
    &["environment", "pairs", "test", "target"],
];

/// Where paths stand in a term of the reward.
const TERM_PATHS: [&[&str]; 2] = [&["lexicon", "path"], &["transport", "folder"]];

/// Makes the paths in a table whole; a relative one starts at the folder of the file it stands in.
fn resolve(table: &mut Table, folder: &Path) -> anyhow::Result<()> {
    resolve_places(table, &PATHS, folder)?;
    let stages = table.get_mut(stages::KEY).and_then(Value::as_array_mut).into_iter().flatten();
    for settings in stages.filter_map(|stage| stage.get_mut("settings")?.as_table_mut()) {
        resolve(settings, folder)?;
    }
    let terms = table.get_mut("reward").and_then(|reward| reward.get_mut("terms")).and_then(Value::as_array_mut);
    for term in terms.into_iter().flatten().filter_map(Value::as_table_mut) {
        // A program runs in the folder of the file that names it, whichever file extends that one.
        let transport = term.get_mut("transport").and_then(Value::as_table_mut);
        if let Some(command) = transport.filter(|transport| transport.contains_key("program")) {
            command.entry("folder").or_insert_with(|| ".".into());
        }
        resolve_places(term, &TERM_PATHS, folder)?;
    }
    Ok(())
}

fn resolve_places(table: &mut Table, places: &[&[&str]], folder: &Path) -> anyhow::Result<()> {
    for place in places {
        let (last, tables) = place.split_last().expect("a place has a name");
        let within = tables.iter().try_fold(&mut *table, |table, &name| table.get_mut(name)?.as_table_mut());
        if let Some(Value::String(path)) = within.and_then(|table| table.get_mut(*last)) {
            // The run of a stage lies where its folder will be.
            if *last == "run" && stages::reference(Path::new(path)).is_some() {
                continue;
            }
            let mut whole = PathBuf::from(&*path);
            make_whole(&mut whole, folder)?;
            *path = whole.to_string_lossy().into_owned();
        }
    }
    Ok(())
}

/// The paths of an experiment.
fn paths(config: &mut ExperimentConfig) -> Vec<&mut PathBuf> {
    let mut paths = Vec::new();
    let sections = [&mut config.corpus, &mut config.vocabulary].into_iter().flatten();
    let sentences = match &mut config.actions {
        ActionsConfig::Sentences { source, .. } => source.as_mut(),
        _ => None,
    };
    for source in sections.map(|section| &mut section.source).chain(sentences) {
        if let CorpusSource::Path(path) = source {
            paths.push(path);
        }
    }
    if let Some(PriorConfig::Network { run, .. }) = &mut config.prior {
        paths.push(run);
    }
    if let EpisodeSource::Log { path, .. } = &mut config.training.source {
        paths.push(path);
    }
    paths.extend(config.environment.paths_mut());
    paths.extend(config.reward.iter_mut().flat_map(|reward| reward.paths_mut()));
    paths.extend(config.training.initial.as_mut().map(|initial| &mut initial.run));
    paths
}

fn make_whole(path: &mut PathBuf, folder: &Path) -> anyhow::Result<()> {
    *path = std::path::absolute(folder.join(&*path)).context("the current folder cannot be found")?;
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
            let mut table: Table = format!("[corpus]\nsource = {{ path = \"{path}\" }}").parse().unwrap();
            resolve(&mut table, Path::new(folder)).unwrap();
            let found = table["corpus"]["source"]["path"].as_str().unwrap();
            assert_eq!(Path::new(found), expected, "{path} in {folder:?}");
        }
    }

    #[test]
    fn programs_and_lexicons_of_rewards_start_at_the_experiment_file() {
        let term = |inner: &str| format!("[[reward.terms]]\nkind = \"external\"\n{inner}\n");
        let command = "kind = \"command\", program = [\"sh\"]";
        let terms = [
            term(&format!("transport = {{ {command} }}")),
            term(&format!("transport = {{ {command}, folder = \"scorers\" }}")),
            term("transport = { kind = \"http\", url = \"http://localhost\" }"),
            term("lexicon = { path = \"words.txt\" }"),
        ];
        let mut table: Table = terms.concat().parse().unwrap();
        resolve(&mut table, Path::new("experiments")).unwrap();
        let here = std::env::current_dir().unwrap().join("experiments");
        let terms = table["reward"]["terms"].as_array().unwrap();
        let path = |term: usize, table: &str, key: &str| {
            terms[term][table].get(key).and_then(Value::as_str).map(PathBuf::from)
        };
        assert_eq!(path(0, "transport", "folder"), Some(here.clone()));
        assert_eq!(path(1, "transport", "folder"), Some(here.join("scorers")));
        assert_eq!(path(2, "transport", "folder"), None);
        assert_eq!(path(3, "lexicon", "path"), Some(here.join("words.txt")));
    }

    #[test]
    fn the_default_experiment_is_sound() {
        let config = load(&ExperimentFile::default()).unwrap();
        assert_eq!(config.name, "verse-zh");
    }

    fn loaded(files: &[(&str, &str)]) -> Result<ExperimentConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let file = ExperimentFile { config: Some(folder.path().join(files[0].0)), ..Default::default() };
        load(&file).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_file_may_change_another_one() {
        let changed =
            "extends = \"base.toml\"\nname = \"mine\"\n[learner]\nn_step = 3\nbootstrap = { kind = \"max\" }\n";
        let base = "extends = \"default\"\nseed = 9\n[learner]\ndiscount = 0.5\n";
        let config = loaded(&[("mine.toml", changed), ("base.toml", base)]).unwrap();
        assert_eq!((config.name.as_str(), config.seed, config.extends.clone()), ("mine", 9, None));
        assert_eq!((config.learner.n_step, config.learner.discount), (3, 0.5));
        assert_eq!(config.learner.bootstrap, dqn_core::bootstrap::Bootstrap::Max {});
        // What neither file names is the default experiment's.
        assert_eq!(config.training.parallel_episodes, 64);
    }

    #[test]
    fn files_that_extend_nothing_or_themselves_are_refused() {
        let fault = loaded(&[("a.toml", "extends = \"b.toml\"\n")]).unwrap_err();
        assert!(fault.contains("a.toml extends") && fault.contains("b.toml"), "{fault}");
        let fault = loaded(&[("a.toml", "extends = \"b.toml\""), ("b.toml", "extends = \"a.toml\"")]).unwrap_err();
        assert!(fault.contains("circle"), "{fault}");
        let fault = loaded(&[("a.toml", "extends = \"default\"\n[learner]\nn_stepp = 3\n")]).unwrap_err();
        assert!(fault.contains("n_stepp") && fault.contains("line 3"), "{fault}");
    }
}
