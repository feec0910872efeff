//! An experiment file of several stages, each of them a run that may go by what an earlier one has learned.
//!
//! Every stage is the rest of the file with its own settings put over it, and is checked as a file of its own would be.
//! `stage:NAME`, where a run is named, stands for the run of an earlier stage; [`StagedConfig::in_folder`] says where that
//! lies.

mod faults;
mod overrides;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use toml::{Table, Value};

use super::check::{self, Lines, Problem};
use super::layers::merge;
use super::{ExperimentConfig, default_name};
use crate::TrainError;
use faults::{joined, reference_faults};
use overrides::Override;

/// The key under which a file has its stages.
pub const KEY: &str = "stages";

/// What a path begins with that names the run of a stage.
const REFERENCE: &str = "stage:";

/// A stage as it stands in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSection {
    /// Name of the stage. Later stages name its run by `stage:NAME`; it lies in the folder N-NAME, where N counts from 1.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"))]
    pub name: String,
    /// What is different in this stage: any keys of an experiment file but `extends` and `stages`, put over the rest of
    /// the file as a file is put over the one it extends.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub settings: Table,
}

/// The part of a file that says what its stages are.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sections {
    /// Runs that are made one after another, each with the rest of the file and its own settings: see docs/stages.md. Leave
    /// it out for one run.
    #[schemars(length(min = 1))]
    stages: Vec<StageSection>,
}

/// A stage that is sound in itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Its experiment; the runs of earlier stages are called `stage:NAME` in it.
    pub config: ExperimentConfig,
}

/// An experiment in stages.
#[derive(Clone, Debug, PartialEq)]
pub struct StagedConfig {
    /// Name of the whole; its runs lie in a folder of this name.
    pub name: String,
    /// The stages in their order; at least one.
    pub stages: Vec<Stage>,
}

/// The name of the stage whose run `path` stands for, where it stands for one.
pub fn reference(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(REFERENCE)
}

/// Whether the table of an experiment file has stages, right ones or not.
pub fn has_stages(table: &Table) -> bool {
    table.contains_key(KEY)
}

/// The JSON Schema of experiment files, those with stages among them.
pub fn file_schema() -> Json {
    let mut schema = ExperimentConfig::schema();
    let mut sections = schemars::schema_for!(Sections).to_value();
    for part in ["properties", "$defs"] {
        if let (Some(Json::Object(all)), Json::Object(more)) = (schema.get_mut(part), sections[part].take()) {
            all.extend(more);
        }
    }
    schema
}

impl StagedConfig {
    /// Reads an experiment in stages from the table of a file, of which at least the part that stands in `text` has lines to
    /// complain about.
    ///
    /// An override `key.path=value` changes every stage, `stages.NAME.key.path=value` the one of this name. An experiment
    /// called NAME has stages called NAME-STAGE, where their own settings do not say otherwise.
    ///
    /// # Errors
    /// [`TrainError::Override`] for an override that cannot be applied, [`TrainError::InvalidConfig`] with every fault of every
    /// stage.
    pub fn from_table(mut shared: Table, text: &str, origin: &str, overrides: &[String]) -> Result<Self, TrainError> {
        let lines = Lines::of(text);
        let sections = shared.remove(KEY).unwrap_or_else(|| Value::Array(Vec::new()));
        let sections = read_sections(sections, &lines, origin)?;
        let overrides: Vec<Override<'_>> =
            overrides.iter().map(|assignment| Override::read(assignment, &sections)).collect::<Result<_, _>>()?;
        for change in overrides.iter().filter(|change| change.is_of_name()) {
            change.apply(&mut shared)?;
        }
        let mut name = Some(default_name());
        if let Some(found) = shared.get("name") {
            name = found.as_str().map(str::to_owned);
        }
        let mut stages: Vec<Option<Stage>> = Vec::new();
        let mut problems = Vec::new();
        for (index, section) in sections.iter().enumerate() {
            let mut table = merge(shared.clone(), section.settings.clone());
            if let (false, Some(name)) = (section.settings.contains_key("name"), &name) {
                table.insert("name".to_owned(), format!("{name}-{}", section.name).into());
            }
            let mut lines = lines.overlaid(&format!("{KEY}[{index}].settings"));
            for change in overrides.iter().filter(|change| change.concerns(&section.name)) {
                change.apply(&mut table)?;
                lines.forget(change.assignment);
            }
            let (config, mut found) = match ExperimentConfig::of_schema(table, origin)? {
                Ok(config) => {
                    let mut faults = config.faults();
                    faults.extend(reference_faults(&config, index, &sections, &stages));
                    (Some(config), faults)
                }
                Err(problems) => (None, problems),
            };
            lines.locate(&mut found);
            problems.push(found);
            stages.push(config.map(|config| Stage { name: section.name.clone(), config }));
        }
        let problems = joined(problems, &sections);
        match (name, stages.into_iter().collect::<Option<Vec<_>>>()) {
            (Some(name), Some(stages)) if problems.is_empty() => Ok(Self { name, stages }),
            _ => Err(TrainError::InvalidConfig { origin: origin.to_owned(), problems }),
        }
    }

    /// The experiment as a file that states every value of every stage, defaults included.
    ///
    /// # Errors
    /// When a value cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, TrainError> {
        #[derive(Serialize)]
        struct File<'a> {
            name: &'a str,
            stages: Vec<Section<'a>>,
        }
        #[derive(Serialize)]
        struct Section<'a> {
            name: &'a str,
            settings: &'a ExperimentConfig,
        }
        let stages = self.stages.iter().map(|Stage { name, config }| Section { name, settings: config }).collect();
        toml::to_string_pretty(&File { name: &self.name, stages })
            .map_err(|error| TrainError::Internal { message: format!("the stages cannot be written: {error}") })
    }

    /// The name of the folder in which the run of the stage at `index` lies, such as `2-dqn`.
    ///
    /// # Panics
    /// When there is no such stage.
    pub fn folder_name(&self, index: usize) -> String {
        format!("{}-{}", index + 1, self.stages[index].name)
    }

    /// The experiments of the stages whose runs lie in `folder`: what stood for a run is its place now.
    pub fn in_folder(&self, folder: &Path) -> Vec<ExperimentConfig> {
        let place = |path: &Path| -> Option<PathBuf> {
            let name = reference(path)?;
            let index = self.stages.iter().position(|stage| stage.name == name)?;
            Some(folder.join(self.folder_name(index)))
        };
        let mut configs: Vec<ExperimentConfig> = self.stages.iter().map(|stage| stage.config.clone()).collect();
        for run in configs.iter_mut().flat_map(ExperimentConfig::other_runs_mut) {
            if let Some(place) = place(run) {
                *run = place;
            }
        }
        configs
    }
}

/// The stages of a file, whose form is right and whose names differ.
fn read_sections(stages: Value, lines: &Lines, origin: &str) -> Result<Vec<StageSection>, TrainError> {
    let invalid = |mut problems: Vec<Problem>| {
        lines.locate(&mut problems);
        TrainError::InvalidConfig { origin: origin.to_owned(), problems }
    };
    let table = Table::from_iter([(KEY.to_owned(), stages)]);
    let problems = check::check(&table, &schemars::schema_for!(Sections).to_value());
    if !problems.is_empty() {
        return Err(invalid(problems));
    }
    let sections: Sections = table.try_into().map_err(|error: toml::de::Error| TrainError::ConfigSyntax {
        origin: origin.to_owned(),
        message: error.to_string(),
    })?;
    let sections = sections.stages;
    let twice = |(index, section): (usize, &StageSection)| {
        let first = sections[..index].iter().position(|earlier| earlier.name == section.name)?;
        Some(Problem {
            path: format!("{KEY}[{index}].name"),
            found: format!("{:?}, as in {KEY}[{first}]", section.name),
            message: "allowed: names that differ from each other".to_owned(),
            line: None,
        })
    };
    let problems: Vec<Problem> = sections.iter().enumerate().filter_map(twice).collect();
    if problems.is_empty() { Ok(sections) } else { Err(invalid(problems)) }
}

#[cfg(test)]
mod tests {
    use dqn_core::bootstrap::Bootstrap;
    use dqn_core::schedule::Span;

    use super::super::PriorConfig;
    use super::*;

    const FILE: &str = r#"name = "recipe"
corpus = { source = { texts = ["a b", "b a"] } }
split = {}
environment = { kind = "generation", max_tokens = 4 }
reward = { terms = [{ kind = "reference_lm" }] }
learner = { n_step = 2, discount = 0.5, bootstrap = { kind = "double" } }
training = { evaluate_every_updates = 10, stop_after = { updates = 20 } }

[[stages]]
name = "mle"
[stages.settings]
learner = { objective = { kind = "imitation" }, n_step = 1 }
training.source = { kind = "text" }

[[stages]]
name = "dqn"
[stages.settings]
name = "second"
learner.bootstrap = { kind = "kl", temperature = 0.1 }
prior = { kind = "network", run = "stage:mle" }
training = { initial = { run = "stage:mle" }, stop_after = { steps = 5 } }
"#;

    fn read(text: &str, overrides: &[&str]) -> Result<StagedConfig, String> {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        StagedConfig::from_table(text.parse().unwrap(), text, "recipe.toml", &overrides)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_put_over_the_rest_of_the_file() {
        let staged = read(FILE, &[]).unwrap();
        let [mle, dqn] = [0, 1].map(|index| &staged.stages[index].config);
        assert_eq!((staged.name.as_str(), mle.name.as_str(), dqn.name.as_str()), ("recipe", "recipe-mle", "second"));
        assert_eq!((mle.learner.n_step, dqn.learner.n_step), (1, 2));
        assert_eq!((mle.learner.discount, dqn.learner.discount), (0.5, 0.5));
        // A table of another kind, and one that says one thing, are replaced whole.
        assert_eq!(mle.learner.bootstrap, Bootstrap::Double {});
        assert!(matches!(dqn.learner.bootstrap, Bootstrap::Kl { .. }));
        assert_eq!((mle.training.stop_after, dqn.training.stop_after), (Span::Updates(20), Span::Steps(5)));
        assert_eq!((mle.training.evaluate_every_updates, dqn.training.evaluate_every_updates), (10, 10));
    }

    #[test]
    fn a_written_file_is_read_as_it_was() {
        let staged = read(FILE, &["learner.discount=0.25"]).unwrap();
        let written = staged.to_toml().unwrap();
        assert_eq!(read(&written, &[]).unwrap(), staged);
        assert!(written.contains("run = \"stage:mle\""), "{written}");
    }

    #[test]
    fn references_become_places() {
        let staged = read(FILE, &[]).unwrap();
        let configs = staged.in_folder(Path::new("/runs/recipe-1"));
        let expected = PathBuf::from("/runs/recipe-1/1-mle");
        assert!(matches!(&configs[1].prior, Some(PriorConfig::Network { run, .. }) if *run == expected));
        assert_eq!(configs[1].training.initial.as_ref().unwrap().run, expected);
        assert_eq!(configs[0], staged.stages[0].config);
    }

    #[test]
    fn overrides_change_all_stages_or_the_one_they_name() {
        let table = [
            ("learner.discount=0.25", [0.25, 0.25]),
            ("stages.dqn.learner.discount=0.25", [0.5, 0.25]),
            (" stages.mle.learner.discount = 0.25", [0.25, 0.5]),
        ];
        for (assignment, expected) in table {
            let staged = read(FILE, &[assignment]).unwrap();
            let found = [0, 1].map(|index| staged.stages[index].config.learner.discount);
            assert_eq!(found, expected, "{assignment}");
        }
        // The later one counts.
        let staged = read(FILE, &["stages.dqn.seed=7", "seed=9"]).unwrap();
        assert_eq!([0, 1].map(|index| staged.stages[index].config.seed), [9, 9]);
        let staged = read(FILE, &["name=other"]).unwrap();
        let names = [0, 1].map(|index| staged.stages[index].config.name.as_str());
        assert_eq!((staged.name.as_str(), names), ("other", ["other-mle", "second"]));
    }

    #[test]
    fn overrides_that_name_no_stage_are_refused() {
        for (assignment, what) in [
            ("stages.ppo.seed=1", "there is no stage \"ppo\""),
            ("stages.dqn=1", "it names no key of a stage"),
            ("stages=[]", "it names no key of a stage"),
            ("stages[0].settings.seed=1", "it names no key of a stage"),
            ("stages.dqn=a.b", "it names no key of a stage"),
        ] {
            let fault = read(FILE, &[assignment]).unwrap_err();
            assert!(fault.contains(what) && fault.contains("mle, dqn") && fault.contains(assignment), "{fault}");
        }
        let fault = read(FILE, &["stages.dqn.learner.n_step.x=1"]).unwrap_err();
        assert!(fault.contains("\"stages.dqn.learner.n_step.x=1\""), "{fault}");
    }

    /// The message about the file after a change.
    fn fault(old: &str, new: &str) -> String {
        assert!(FILE.contains(old), "{old:?} is not in the file");
        read(&FILE.replacen(old, new, 1), &[]).unwrap_err()
    }

    #[test]
    fn faults_have_the_place_and_the_line_they_stand_in() {
        let table = [
            // In the settings of one stage, ...
            ("n_step = 1 }", "n_stp = 1 }", "line 12: stages.mle.learner.n_stp: found an unknown key"),
            ("steps = 5", "steps = 0", "line 21: stages.dqn.training.stop_after.steps: found the integer 0"),
            // ... in what all share, told once, ...
            ("discount = 0.5", "discount = 5.0", "has 1 problem:"),
            ("discount = 0.5", "discount = 5.0", "line 6: learner.discount: found the number 5.0"),
            // ... and in what all share and one stage has no use for.
            (
                "split = {}",
                "prior = { kind = \"ngram\", order = 9 }\nsplit = {}",
                "line 3: stages.mle.prior.order: found",
            ),
            ("name = \"dqn\"", "name = \"mle\"", "line 16: stages[1].name: found \"mle\", as in stages[0]"),
            ("name = \"dqn\"", "name = \"d q\"", "line 16: stages[1].name: found the string \"d q\""),
            ("name = \"second\"", "extends = \"default\"", "line 18: stages.dqn.extends: found default"),
            ("name = \"second\"", "stages = []", "line 18: stages.dqn.stages: found an unknown key"),
        ];
        for (old, new, expected) in table {
            let fault = fault(old, new);
            assert!(fault.contains(expected), "{expected:?} is missing in:\n{fault}");
        }
        let fault = read("name = \"a\"\nstages = []", &[]).unwrap_err();
        assert!(
            fault.contains("line 2: stages: found an array of 0 items; allowed: an array of at least 1"),
            "{fault}"
        );
    }

    #[test]
    fn a_stage_goes_by_earlier_ones_that_keep_what_it_asks_for() {
        let allowed = "allowed: \"stage:mle\" or the folder of a run";
        let of_prior = "line 20: stages.dqn.prior.run: found ";
        let prior = |run: &str| format!("prior = {{ kind = \"network\", run = \"stage:{run}\" }}");
        let table = [
            (prior("mle"), prior("dqn"), format!("{of_prior}\"stage:dqn\"; that is this stage itself; {allowed}")),
            (prior("mle"), prior("elm"), format!("{of_prior}\"stage:elm\"; there is no such stage; {allowed}")),
            (
                "training.source".to_owned(),
                "training.initial = { run = \"stage:dqn\" }\ntraining.source".to_owned(),
                "line 13: stages.mle.training.initial.run: found \"stage:dqn\"; that stage comes later; allowed: the folder \
                 of a run; no stage comes before this one"
                    .to_owned(),
            ),
            (
                "training.source".to_owned(),
                "training.evaluate_every_updates = 21\ntraining.source".to_owned(),
                "stages.dqn.prior.run: found the checkpoint \"best\" of mle, which keeps none".to_owned(),
            ),
        ];
        for (old, new, expected) in table {
            let fault = fault(&old, &new);
            assert!(fault.contains(&expected), "{expected:?} is missing in:\n{fault}");
        }
        let last = FILE.replace("run = \"stage:mle\"", "run = \"stage:mle\", checkpoint = \"last\"");
        read(&last, &["stages.mle.training.evaluate_every_updates=0"]).unwrap();
    }

    #[test]
    fn a_file_without_stages_has_none_to_name() {
        let text =
            FILE.split("[[stages]]").next().unwrap().to_owned() + "prior = { kind = \"network\", run = \"stage:mle\" }";
        let fault = ExperimentConfig::from_toml(&text, "plain.toml", &[]).unwrap_err().to_string();
        assert!(
            fault.contains("line 9: prior.run: found \"stage:mle\"; allowed: the folder of a run; only"),
            "{fault}"
        );
    }

    #[test]
    fn the_schema_of_files_has_stages_with_free_settings() {
        let schema = file_schema();
        let stages = FILE.parse::<Table>().unwrap();
        assert_eq!(check::check(&stages, &schema), []);
        let wrong: Table = FILE.replace("name = \"mle\"\n", "nme = \"mle\"\n").parse().unwrap();
        assert!(!check::check(&wrong, &schema).is_empty());
    }
}
