//! A search for settings: what is tried, how it is compared, and what was found.

mod halving;
mod space;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Table;

pub use halving::{Rung, rungs};
pub use space::{ParameterRange, Settings};
pub use table::{SweepTable, TrialResult};

use crate::TrainError;
use crate::config::check::{self, Lines, Problem};
use crate::config::layers::{Difference, first_difference};
use crate::evaluation_metric::EvaluationMetric;

/// Most trials of a grid: more are a slip of the pen.
const MAX_GRID: u128 = 10_000;

/// What a sweep file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepConfig {
    /// The experiment whose settings are searched; a relative path starts at the sweep file.
    pub experiment: PathBuf,
    /// Changes to it in every trial, as `--set` takes them.
    #[serde(default)]
    pub set: Vec<String>,
    /// Seeds of every trial, which is compared by its mean over them.
    #[schemars(length(min = 1))]
    pub seeds: Vec<u64>,
    /// What trials are compared by, on validation prompts.
    pub metric: EvaluationMetric,
    /// Whether more or less of it is better.
    pub goal: Goal,
    /// Which settings are tried, and for how long.
    pub search: Search,
    /// The ranges of the settings by their keys in the experiment file.
    pub space: BTreeMap<String, ParameterRange>,
}

/// Which end of a metric is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The higher the better.
    Maximize,
    /// The lower the better.
    Minimize,
}

impl Goal {
    /// A value turned so that the higher is the better; what is no number is worse than any.
    pub fn utility(self, value: f64) -> f64 {
        match self {
            _ if value.is_nan() => f64::NEG_INFINITY,
            Goal::Maximize => value,
            Goal::Minimize => -value,
        }
    }
}

/// Which settings are tried, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Search {
    /// Every combination of the values.
    Grid {},
    /// Settings drawn at random (Bergstra and Bengio 2012).
    Random {
        /// How many.
        #[schemars(range(min = 1, max = 10000))]
        n_trials: usize,
        /// Seed of the draws.
        #[serde(default = "default_seed")]
        seed: u64,
    },
    /// Settings drawn at random, of which the better part goes on from rung to rung (Jamieson and Talwalkar 2016).
    SuccessiveHalving {
        /// How many begin.
        #[schemars(range(min = 2, max = 10000))]
        n_trials: usize,
        /// One in so many goes on to the next rung, which is so many times as long.
        #[schemars(range(min = 2, max = 1000))]
        factor: u64,
        /// Updates of the first rung. The last ends with the run, at `training.stop_after` of the experiment.
        #[schemars(range(min = 1))]
        first_updates: u64,
        /// Seed of the draws.
        #[serde(default = "default_seed")]
        seed: u64,
    },
}

fn default_seed() -> u64 {
    1
}

/// One combination of settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number, from 1.
    pub number: usize,
    /// Its settings.
    pub settings: Settings,
}

impl Trial {
    /// Its settings as `--set` takes them.
    pub fn assignments(&self) -> Vec<String> {
        assignments(&self.settings)
    }
}

/// Settings as `--set` takes them.
pub fn assignments(settings: &Settings) -> Vec<String> {
    settings.iter().map(|(key, value)| assignment(key, value)).collect()
}

/// One setting as `--set` takes it.
pub fn assignment(key: &str, value: &Value) -> String {
    format!("{key}={}", shown(value))
}

/// A value as TOML writes it.
pub(crate) fn shown(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| value.to_string(), |value| value.to_string())
}

impl SweepConfig {
    /// Reads a sweep file, which `origin` names in messages.
    ///
    /// # Errors
    /// [`TrainError::ConfigSyntax`] for a text that is not TOML, [`TrainError::InvalidConfig`] with every fault of the
    /// content that can be told without the experiment.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, TrainError> {
        let syntax =
            |error: toml::de::Error| TrainError::ConfigSyntax { origin: origin.to_owned(), message: error.to_string() };
        let table: Table = text.parse().map_err(syntax)?;
        let refuse = |mut problems: Vec<Problem>| {
            Lines::of(text).locate(&mut problems);
            Err(TrainError::InvalidConfig { origin: origin.to_owned(), problems })
        };
        let problems = check::check(&table, &schemars::schema_for!(SweepConfig).to_value());
        if !problems.is_empty() {
            return refuse(problems);
        }
        let config: Self = table.try_into().map_err(syntax)?;
        let problems = config.faults();
        if problems.is_empty() { Ok(config) } else { refuse(problems) }
    }

    /// The place of a searched key in the file.
    pub fn place(key: &str) -> String {
        format!("space.{}", check::below("", key))
    }

    fn faults(&self) -> Vec<Problem> {
        let problem = |path: String, found: String, message: &str| Problem {
            path,
            found,
            message: format!("allowed: {message}"),
            line: None,
        };
        let mut faults = Vec::new();
        let mut seeds = self.seeds.clone();
        seeds.sort_unstable();
        if let Some(pair) = seeds.windows(2).find(|pair| pair[0] == pair[1]) {
            faults.push(problem("seeds".to_owned(), format!("{} twice", pair[0]), "seeds that differ from each other"));
        }
        if self.space.is_empty() {
            faults.push(problem("space".to_owned(), "an empty table".to_owned(), "at least one key with its range"));
        }
        for (key, range) in &self.space {
            if let Some((found, allowed)) = range.fault() {
                faults.push(problem(Self::place(key), found, allowed));
            }
            if key == "seed" {
                faults.push(problem(
                    Self::place(key),
                    "a range".to_owned(),
                    "seeds stand in `seeds`, not in the space",
                ));
            }
            match self.search {
                Search::Grid {} if range.len().is_none() => {
                    let allowed = "`values` or `int_uniform`, whose values a grid can go through; or another search";
                    faults.push(problem(Self::place(key), "a continuous range".to_owned(), allowed));
                }
                Search::SuccessiveHalving { .. } if key == "training" || key.starts_with("training.stop_after") => {
                    let allowed = "the other searches; successive halving itself decides how long a trial runs";
                    faults.push(problem(Self::place(key), "a range".to_owned(), allowed));
                }
                _ => {}
            }
        }
        if let Search::Grid {} = self.search {
            let n_points = self.space.values().filter_map(ParameterRange::len).try_fold(1_u128, u128::checked_mul);
            if n_points.is_none_or(|n_points| n_points > MAX_GRID) {
                let found =
                    n_points.map_or_else(|| "a grid".to_owned(), |n_points| format!("a grid of {n_points} trials"));
                faults.push(problem("space".to_owned(), found, "a grid of at most 10000 trials; or another search"));
            }
        }
        faults
    }

    /// All trials, in the order of their numbers: a function of the file alone.
    pub fn trials(&self) -> Vec<Trial> {
        let settings: Vec<Settings> = match self.search {
            Search::Grid {} => space::grid(&self.space),
            Search::Random { n_trials, seed } | Search::SuccessiveHalving { n_trials, seed, .. } => {
                (1..=n_trials).map(|trial| space::drawn(&self.space, seed, trial)).collect()
            }
        };
        (1..).zip(settings).map(|(number, settings)| Trial { number, settings }).collect()
    }

    /// The stages of the search over runs of `last_updates` updates.
    pub fn rungs(&self, last_updates: u64) -> Vec<Rung> {
        match self.search {
            Search::Grid {} | Search::Random { .. } => {
                vec![Rung { n_trials: self.trials().len(), until_updates: None }]
            }
            Search::SuccessiveHalving { n_trials, factor, first_updates, .. } => {
                rungs(n_trials, factor, first_updates, last_updates)
            }
        }
    }

    /// What may not change between two sweeps that share their runs, with `base`, the experiment without the searched
    /// settings.
    ///
    /// More trials of a random search, other seeds and another metric are another look at the same runs; in successive
    /// halving all of them decide which trials go on.
    ///
    /// # Errors
    /// When a value cannot be written as TOML.
    pub fn identity(&self, base: &Table) -> Result<Table, TrainError> {
        let message = |error: toml::ser::Error| TrainError::Internal {
            message: format!("the description of a sweep cannot be written: {error}"),
        };
        let mut identity = Table::try_from(self).map_err(message)?;
        identity.remove("set");
        if !matches!(self.search, Search::SuccessiveHalving { .. }) {
            for key in ["seeds", "metric", "goal"] {
                identity.remove(key);
            }
            if let Some(toml::Value::Table(search)) = identity.get_mut("search") {
                search.remove("n_trials");
            }
        }
        identity.insert("experiment".to_owned(), toml::Value::Table(base.clone()));
        Ok(identity)
    }
}

/// Where the identities of two sweeps differ first; what is searched comes before the rest.
pub fn changed(before: &Table, now: &Table) -> Option<Difference> {
    let only_space = |table: &Table| {
        let space = table.get("space").cloned();
        Table::from_iter(space.map(|space| ("space".to_owned(), space)))
    };
    first_difference(&only_space(before), &only_space(now)).or_else(|| first_difference(before, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
experiment = "base.toml"
seeds = [1, 2]
metric = "return"
goal = "maximize"
search = { kind = "random", n_trials = 3 }

[space]
"learner.n_step" = { values = [1, 3] }
"learner.bootstrap" = { values = [{ kind = "max" }, { kind = "double" }] }
"network.dropout" = { uniform = [0, 0.5] }
"#;

    fn read(changes: &[(&str, &str)]) -> Result<SweepConfig, String> {
        let mut text = FILE.to_owned();
        for (old, new) in changes {
            assert!(text.contains(old), "{old:?}");
            text = text.replace(old, new);
        }
        SweepConfig::from_toml(&text, "sweep.toml").map_err(|error| error.to_string())
    }

    const HALVING: (&str, &str) = (
        "{ kind = \"random\", n_trials = 3 }",
        "{ kind = \"successive_halving\", n_trials = 9, factor = 3, first_updates = 10 }",
    );

    #[test]
    fn trials_are_a_function_of_the_file() {
        let config = read(&[]).unwrap();
        let trials = config.trials();
        assert_eq!((trials.len(), &trials), (3, &read(&[]).unwrap().trials()));
        assert_eq!(trials.iter().map(|trial| trial.number).collect::<Vec<_>>(), [1, 2, 3]);
        // More trials leave the first as they were.
        assert_eq!(read(&[("n_trials = 3", "n_trials = 5")]).unwrap().trials()[..3], trials[..]);
        assert_ne!(read(&[("n_trials = 3", "n_trials = 3, seed = 2")]).unwrap().trials(), trials);
        assert_eq!(config.rungs(100), [Rung { n_trials: 3, until_updates: None }]);
        let halving = read(&[HALVING]).unwrap();
        let until: Vec<_> = halving.rungs(100).iter().map(|rung| rung.until_updates).collect();
        assert_eq!(until, [Some(10), Some(30), None]);
    }

    #[test]
    fn settings_are_assignments_that_an_override_takes() {
        let settings = Settings::from([
            ("learner.bootstrap".to_owned(), serde_json::json!({ "kind": "double" })),
            ("learner.n_step".to_owned(), serde_json::json!(3)),
            ("name".to_owned(), serde_json::json!("a b")),
            ("network.dropout".to_owned(), serde_json::json!(0.25)),
            ("torso.hidden".to_owned(), serde_json::json!([4, 8])),
        ]);
        let mut table = Table::new();
        for assignment in assignments(&settings) {
            check::apply_override(&mut table, &assignment).unwrap();
        }
        let expected = "name = \"a b\"\n[learner]\nbootstrap = { kind = \"double\" }\nn_step = 3\n[network]\n\
                        dropout = 0.25\n[torso]\nhidden = [4, 8]\n";
        assert_eq!(table, expected.parse::<Table>().unwrap());
    }

    #[test]
    fn each_fault_is_told_with_its_key() {
        type Row = (&'static [(&'static str, &'static str)], &'static [&'static str]);
        let table: [Row; 14] = [
            (&[("goal =", "gaol = 1\ngoal =")], &["line 5: gaol", "an unknown key", "`goal`"]),
            (&[("[1, 2]", "[]")], &["seeds", "at least 1 item"]),
            (&[("[1, 2]", "[2, 2]")], &["seeds: found 2 twice"]),
            (&[("\"return\"", "\"reward\"")], &["metric", "\"reward\"", "\"return\", \"score\""]),
            (&[("\"random\"", "\"annealing\"")], &["search.kind", "annealing", "\"successive_halving\""]),
            (&[("{ values = [1, 3] }", "{ values = [] }")], &["space.\"learner.n_step\".values", "at least 1 item"]),
            (&[("{ values = [1, 3] }", "{ value = 1 }")], &["space.\"learner.n_step\".value", "`values`"]),
            (&[("[0, 0.5]", "[0.5, 0.0]")], &["line 11: space.\"network.dropout\"", "[0.5, 0.0]", "lower one first"]),
            (
                &[("{ kind = \"random\", n_trials = 3 }", "{ kind = \"grid\" }")],
                &["space.\"network.dropout\": found a continuous range", "`values` or `int_uniform`"],
            ),
            (
                &[
                    ("{ kind = \"random\", n_trials = 3 }", "{ kind = \"grid\" }"),
                    ("{ uniform = [0, 0.5] }", "{ int_uniform = [1, 5001] }"),
                ],
                &["space: found a grid of 20004 trials"],
            ),
            (&[HALVING, ("factor = 3", "factor = 1")], &["search.factor: found the integer 1", "from 2"]),
            (&[HALVING, ("first_updates = 10", "first_updates = 0")], &["search.first_updates", "at least 1"]),
            (
                &[HALVING, ("learner.n_step", "training.stop_after.updates")],
                &["space.\"training.stop_after.updates\"", "itself decides"],
            ),
            (&[("learner.n_step", "seed")], &["space.seed", "`seeds`"]),
        ];
        for (changes, parts) in table {
            let fault = read(changes).unwrap_err();
            assert!(fault.starts_with("sweep.toml has 1 problem:"), "{fault}");
            for part in parts {
                assert!(fault.contains(part), "{part:?} is missing in:\n{fault}");
            }
        }
        let empty = FILE.split_once("\"learner.n_step\"").unwrap().0;
        let fault = SweepConfig::from_toml(empty, "sweep.toml").unwrap_err();
        assert!(fault.to_string().contains("space: found an empty table"), "{fault}");
        assert!(fault.is_request_fault());
    }

    #[test]
    fn what_decides_the_runs_may_not_change() {
        let base: Table = "[learner]\ndiscount = 0.9".parse().unwrap();
        let identity = |changes: &[(&str, &str)]| read(changes).unwrap().identity(&base).unwrap();
        let difference = |changes: &[(&str, &str)]| changed(&identity(&[]), &identity(changes));
        assert_eq!(difference(&[("n_trials = 3", "n_trials = 9"), ("[1, 2]", "[1, 2, 3]"), ("base", "other")]), None);
        let found = difference(&[("[1, 3]", "[1, 4]"), ("n_trials = 3", "n_trials = 3, seed = 2")]).unwrap();
        assert_eq!(found.path, "space.\"learner.n_step\".values");
        assert_eq!(difference(&[("n_trials = 3", "n_trials = 3, seed = 2")]).unwrap().path, "search.seed");
        let other = read(&[]).unwrap().identity(&"[learner]\ndiscount = 0.8".parse().unwrap()).unwrap();
        let found = changed(&identity(&[]), &other).unwrap().to_string();
        assert_eq!(found, "experiment.learner.discount was 0.9 and is now 0.8");
        // Which trials go on depends on all of these.
        for change in [("[1, 2]", "[1]"), ("\"maximize\"", "\"minimize\""), ("n_trials = 9", "n_trials = 8")] {
            assert!(changed(&identity(&[HALVING]), &identity(&[HALVING, change])).is_some(), "{change:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_worse_than_any() {
        assert_eq!((Goal::Maximize.utility(2.0), Goal::Minimize.utility(2.0)), (2.0, -2.0));
        for goal in [Goal::Maximize, Goal::Minimize] {
            assert_eq!(goal.utility(f64::NAN), f64::NEG_INFINITY);
        }
    }
}
