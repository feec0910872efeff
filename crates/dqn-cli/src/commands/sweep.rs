//! `sweep`: a search for settings, judged on validation prompts.

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use burn::tensor::Device;
use dqn_core::Progress;
use dqn_core::schedule::Span;
use dqn_train::TrainError;
use dqn_train::config::{ExperimentConfig, check};
use dqn_train::evaluation::Evaluation;
use dqn_train::evaluation_metric::EvaluationMetric;
use dqn_train::experiment::Experiment;
use dqn_train::report;
use dqn_train::run::atomic;
use dqn_train::runner::{self, Milestone};
use dqn_train::sweep::{self, Rung, Search as SearchKind, Settings, SweepConfig, SweepTable, Trial, TrialResult};
use serde::Serialize;
use toml::Table;

use crate::args::{ExperimentFile, Search};
use crate::backend::Backend;
use crate::console::Console;
use crate::failure::{BadRequest, Ending, described, panic_message};
use crate::parallel_runs::{INTERRUPTED_NOTE, KeptRun, Quiet, in_parallel};
use crate::summary::shell_word;
use crate::{experiment_file, input, interrupt};

/// Where the runs lie that are given no place.
const RUNS: &str = "runs/sweep";

/// Episodes that show which metrics a task has.
const N_PROBED_EPISODES: usize = 16;

/// What is written as JSON.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    table: &'a SweepTable,
    /// The best settings as `--set` takes them; nothing where every trial failed.
    best_set: Option<Vec<String>>,
}

pub(crate) fn run(args: &Search, console: Console) -> anyhow::Result<Ending> {
    let backend = Backend::choose(args.backend.backend.as_deref())?;
    let plan = Plan::open(args)?;
    let device = backend.device()?;
    let rungs = plan.check(&device)?;
    plan.claim()?;
    let stop = interrupt::listen(console)?;
    let n_runs = plan.trials.len() * plan.config.seeds.len();
    let parallel = args.parallel.unwrap_or_else(|| backend.parallel_runs(n_runs));
    console.note(&format!(
        "{n_runs} runs of {} trials, {parallel} at a time, in {}",
        plan.trials.len(),
        plan.runs.display()
    ));
    let running = Running { plan: &plan, backend, device: &device, stop, console };
    let Some(trials) = running.all(&rungs, parallel)? else {
        console.note(INTERRUPTED_NOTE);
        return Ok(Ending::Interrupted);
    };
    let table = SweepTable::new(&plan.name, &plan.config, rungs, trials);
    let best = table.best().map(|trial| {
        let set = sweep::assignments(&trial.settings).into_iter().map(|set| format!("--set {}", shell_word(&set)));
        format!("Best, trial {}: {}", trial.number, set.collect::<Vec<_>>().join(" "))
    });
    let command = format!("dqn-cli sweep --config {}", shell_word(&args.config.display().to_string()));
    let page = table.markdown(&command, best.as_deref());
    let best_set = table.best().map(|trial| sweep::assignments(&trial.settings));
    let found = Found { table: &table, best_set };
    let json = serde_json::to_string_pretty(&found).context("cannot write the table as JSON")?;
    for (extension, text) in [("md", page.as_str()), ("json", &(json + "\n")), ("svg", &table.svg(&plan.config))] {
        atomic::write_text(&plan.output(extension), text)?;
    }
    match args.json {
        true => console.json(&found)?,
        false => console.result(page.trim_end())?,
    }
    console.note(&format!("The table lies in {} (and .json, .svg)", plan.output("md").display()));
    if best.is_none() {
        anyhow::bail!("every trial failed; what each said stands in {}", plan.output("md").display());
    }
    Ok(Ending::Done)
}

/// A sweep and where its runs lie.
struct Plan {
    config: SweepConfig,
    trials: Vec<Trial>,
    /// The sweep file, for messages.
    origin: String,
    /// Its name without folder and extension.
    name: String,
    /// The experiment without the searched settings.
    base: ExperimentFile,
    /// Where its runs lie.
    runs: PathBuf,
    /// The name of its tables, without an extension.
    output: PathBuf,
}

impl Plan {
    fn open(args: &Search) -> anyhow::Result<Self> {
        let path = &args.config;
        let origin = path.display().to_string();
        let config = SweepConfig::from_toml(&input::text(Some(path))?, &origin)?;
        let name = path.file_stem().map_or_else(|| "sweep".into(), |name| name.to_string_lossy().into_owned());
        let runs = args.run_dir.clone().unwrap_or_else(|| PathBuf::from(RUNS)).join(&name);
        let output = args.output.as_ref().unwrap_or(&runs).join(&name);
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        let set = config.set.iter().chain(&args.set).cloned().collect();
        let base = ExperimentFile { config: Some(folder.join(&config.experiment)), set };
        Ok(Self { trials: config.trials(), config, origin, name, base, runs, output })
    }

    fn output(&self, extension: &str) -> PathBuf {
        // Not `with_extension`, which would cut a name that has a point.
        let mut path = self.output.clone().into_os_string();
        path.push(format!(".{extension}"));
        path.into()
    }

    fn invalid(&self, what: &str) -> BadRequest {
        BadRequest(format!("{}: {what}", self.origin))
    }

    fn file(&self, settings: &Settings) -> ExperimentFile {
        let set = self.base.set.iter().cloned().chain(sweep::assignments(settings)).collect();
        ExperimentFile { config: self.base.config.clone(), set }
    }

    /// The experiment of a trial with a seed.
    fn experiment(&self, trial: &Trial, seed: u64) -> anyhow::Result<ExperimentConfig> {
        let mut config = experiment_file::load(&self.file(&trial.settings))?;
        config.seed = seed;
        Ok(config)
    }

    /// Finds the faults of the file that only the experiment shows; returns the stages of the search.
    fn check(&self, device: &Device) -> anyhow::Result<Vec<Rung>> {
        self.check_keys()?;
        let experiment = self.sound_experiment(device)?;
        let last_updates = match (experiment.config.training.stop_after, self.config.search) {
            (Span::Updates(updates), SearchKind::SuccessiveHalving { first_updates, .. })
                if first_updates >= updates =>
            {
                let what = format!(
                    "search.first_updates: found {first_updates}; allowed: less than the {updates} updates of \
                     training.stop_after in the experiment, at which the last rung ends"
                );
                return Err(self.invalid(&what).into());
            }
            (Span::Updates(updates), _) => updates,
            (_, SearchKind::SuccessiveHalving { .. }) => {
                let what = "search.kind: found \"successive_halving\", which counts updates; allowed: an experiment \
                            with training.stop_after = { updates = N }, or another search";
                return Err(self.invalid(what).into());
            }
            (Span::Steps(_) | Span::Episodes(_), _) => u64::MAX,
        };
        self.check_metric(experiment, device)?;
        Ok(self.config.rungs(last_updates))
    }

    /// Refuses a searched key one of whose values no trial could have: a key that is not there, or a value out of range.
    ///
    /// A value that fits some trials and not others, such as a key that belongs to one kind of network, is left to them.
    fn check_keys(&self) -> anyhow::Result<()> {
        let schema = ExperimentConfig::schema();
        for (key, range) in &self.config.space {
            for probe in range.probes() {
                let mut first = None;
                for trial in &self.trials {
                    let mut settings = trial.settings.clone();
                    settings.insert(key.clone(), probe.clone());
                    match self.objection(key, &settings, &schema)? {
                        None => {
                            first = None;
                            break;
                        }
                        objection => first = first.or(objection),
                    }
                }
                if let Some(objection) = first {
                    let (place, set) = (SweepConfig::place(key), sweep::assignment(key, &probe));
                    return Err(self
                        .invalid(&format!("{place}: {set} does not fit the experiment: {objection}"))
                        .into());
                }
            }
        }
        Ok(())
    }

    /// What the form of experiment files has against the value of `key` in these settings.
    fn objection(&self, key: &str, settings: &Settings, schema: &serde_json::Value) -> anyhow::Result<Option<String>> {
        let table = match experiment_file::table(&self.file(settings)) {
            Ok(table) => table,
            Err(error) => match error.downcast_ref::<TrainError>() {
                Some(TrainError::Override { assignment, message }) if is_of_key(assignment, key) => {
                    return Ok(Some(message.clone()));
                }
                _ => return Err(error),
            },
        };
        let problems = check::check(&table, schema);
        Ok(problems.iter().find(|problem| is_of_key(&problem.path, key)).map(ToString::to_string))
    }

    /// The experiment of the first trial that is one.
    fn sound_experiment(&self, device: &Device) -> anyhow::Result<Experiment> {
        let mut first = None;
        for trial in &self.trials {
            let built = self
                .experiment(trial, self.config.seeds[0])
                .and_then(|config| Ok(Experiment::build(config, None, device)?));
            match built {
                Ok(experiment) => return Ok(experiment),
                Err(error) if depends_on_settings(&error) => first = first.or(Some((trial.number, error))),
                Err(error) => return Err(error),
            }
        }
        let (number, error) = first.expect("there is a trial, and it was no experiment");
        Err(error.context(self.invalid(&format!("no trial is a sound experiment, from trial {number} on"))))
    }

    /// Refuses a metric that the experiment does not have.
    fn check_metric(&self, mut experiment: Experiment, device: &Device) -> anyhow::Result<()> {
        let evaluation = &mut experiment.config.evaluation;
        evaluation.n_episodes = evaluation.n_episodes.min(N_PROBED_EPISODES);
        let network = experiment.network(device);
        let found: Evaluation = report::validate(&experiment, &network, Progress::default())?;
        if self.config.metric.of(&found).is_some() {
            return Ok(());
        }
        let has = EvaluationMetric::ALL.into_iter().filter(|metric| metric.of(&found).is_some());
        let has: Vec<String> = has.map(|metric| format!("{:?}", metric.name())).collect();
        let metric = self.config.metric;
        let what = format!(
            "metric: found {:?}, which is not measured in this experiment; allowed: {}",
            metric.name(),
            has.join(", ")
        );
        Err(self.invalid(&what).into())
    }

    /// Makes the folder of the runs this sweep's own, or finds that it is.
    fn claim(&self) -> anyhow::Result<()> {
        let path = self.runs.join("sweep.toml");
        let identity = self.config.identity(&experiment_file::table(&self.base)?)?;
        if path.is_file() {
            let before: Table =
                input::text(Some(&path))?.parse().with_context(|| format!("cannot read {}", path.display()))?;
            if let Some(difference) = sweep::changed(&before, &identity) {
                let what = format!(
                    "{difference}; {} holds the runs of the former sweep: remove it, or name another place with --run-dir",
                    self.runs.display()
                );
                return Err(self.invalid(&what).into());
            }
        }
        let output = self.output.parent().unwrap_or(&self.runs);
        for folder in [&self.runs, output] {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let text = toml::to_string_pretty(&identity).context("cannot write the sweep as TOML")?;
        Ok(atomic::write_text(&path, &text)?)
    }
}

/// Whether a path or an assignment is about `key`: the same place, one within it, or one that it lies in.
fn is_of_key(place: &str, key: &str) -> bool {
    let is_within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', '=']))
    };
    is_within(place, key) || is_within(key, place)
}

/// Whether a fault is that of a trial, so that others may do without it.
fn depends_on_settings(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Panicked>() || cause.downcast_ref::<TrainError>().is_some_and(TrainError::depends_on_settings)
    })
}

/// A run that broke a promise of the program or its libraries, such as to have memory enough.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Panicked(String);

/// A sweep under way.
struct Running<'a> {
    plan: &'a Plan,
    backend: Backend,
    device: &'a Device,
    stop: &'a AtomicBool,
    console: Console,
}

/// What a run of a trial was measured at, or why it failed.
type Measured = Result<(u64, f64), String>;

impl Running<'_> {
    /// The results of all trials; nothing where `stop` was set.
    fn all(&self, rungs: &[Rung], parallel: usize) -> anyhow::Result<Option<Vec<TrialResult>>> {
        let Plan { config, trials, .. } = self.plan;
        let begin = |Trial { number, settings }: &Trial| TrialResult {
            number: *number,
            settings: settings.clone(),
            rung: 0,
            updates: None,
            by_seed: Vec::new(),
            failure: None,
        };
        let mut results: Vec<TrialResult> = trials.iter().map(begin).collect();
        let mut going: Vec<usize> = trials.iter().map(|trial| trial.number).collect();
        for (index, rung) in rungs.iter().enumerate() {
            let jobs: Vec<(&Trial, u64)> = going
                .iter()
                .flat_map(|number| config.seeds.iter().map(move |&seed| (&trials[number - 1], seed)))
                .collect();
            let work = |&(trial, seed): &(&Trial, u64)| self.measured(trial, seed, rung);
            let Some(found) = in_parallel(&jobs, parallel, self.stop, work)? else { return Ok(None) };
            for (number, of_seeds) in going.iter().zip(found.chunks(config.seeds.len())) {
                let result = &mut results[number - 1];
                match of_seeds.iter().cloned().collect::<Result<Vec<_>, String>>() {
                    Ok(of_seeds) => {
                        result.rung = index;
                        result.updates = of_seeds.first().map(|&(updates, _)| updates);
                        result.by_seed = of_seeds.into_iter().map(|(_, value)| value).collect();
                    }
                    Err(message) => result.failure = Some(message),
                }
            }
            going = SweepTable::survivors(config, rungs, index, &results);
        }
        Ok(Some(results))
    }

    /// What a run of a trial is worth at a rung: as it was found before, or newly measured; nothing where `stop` was set.
    fn measured(&self, trial: &Trial, seed: u64, rung: &Rung) -> anyhow::Result<Option<Measured>> {
        let folder = self.plan.runs.join(format!("trial-{:03}", trial.number));
        let path = folder.join(format!("seed-{seed}"));
        let stage = rung.until_updates.map_or_else(|| "end".to_owned(), |updates| updates.to_string());
        let milestone_path = path.join("eval").join(format!("validation-{stage}.json"));
        let failure_path = folder.join(format!("seed-{seed}-failure.txt"));
        let name = format!("trial {}, seed {seed}", trial.number);
        let (milestone, what) = if milestone_path.is_file() {
            let unread = || format!("{} is no evaluation of this version", milestone_path.display());
            (serde_json::from_str(&input::text(Some(&milestone_path))?).with_context(unread)?, "was there")
        } else if failure_path.is_file() {
            let message = input::text(Some(&failure_path))?.trim_end().to_owned();
            self.console.note(&format!("{name}, failed before: {message}"));
            return Ok(Some(Err(message)));
        } else {
            match self.attempt(&path, trial, seed, rung) {
                Ok(None) => return Ok(None),
                Ok(Some(milestone)) => {
                    let json =
                        serde_json::to_string_pretty(&milestone).context("cannot write an evaluation as JSON")?;
                    atomic::write_text(&milestone_path, &(json + "\n"))?;
                    (milestone, "is done")
                }
                Err(error) if depends_on_settings(&error) => {
                    let message = described(&error);
                    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
                    atomic::write_text(&failure_path, &format!("{message}\n"))?;
                    self.console.note(&format!("{name}, failed: {message}"));
                    return Ok(Some(Err(message)));
                }
                Err(error) => return Err(error.context(name)),
            }
        };
        let Milestone { progress, evaluation } = milestone;
        let (metric, updates) = (self.plan.config.metric, progress.updates);
        let value = metric.of(&evaluation).unwrap_or(f64::NAN);
        self.console.note(&format!("{name}, {what} after {updates} updates: {metric} {value:.4}"));
        Ok(Some(Ok((updates, value))))
    }

    /// Runs a trial to a rung; nothing where `stop` was set.
    fn attempt(&self, path: &Path, trial: &Trial, seed: u64, rung: &Rung) -> anyhow::Result<Option<Milestone>> {
        let attempt = || -> anyhow::Result<Option<Milestone>> {
            let run = KeptRun::open(path, self.plan.experiment(trial, seed)?, self.backend, self.device)?;
            let KeptRun { experiment, directory, was_begun } = &run;
            let (device, until, stop) = (self.device, rung.until_updates, self.stop);
            Ok(runner::run_until(experiment, directory, device, *was_begun, until, stop, &mut Quiet)?)
        };
        // A network too large for the memory of a card, or a shape that a library refuses, is a trial that failed.
        panic::catch_unwind(AssertUnwindSafe(attempt))
            .unwrap_or_else(|panic| Err(Panicked(panic_message(&*panic)).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_of_a_key_where_one_lies_in_the_other() {
        for (place, key, expected) in [
            ("learner.n_step", "learner.n_step", true),
            ("learner.n_step=3", "learner.n_step", true),
            ("learner.optimiser", "learner.optimiser.rate", true),
            ("reward.terms[1].weight", "reward.terms", true),
            ("learner.n_steps", "learner.n_step", false),
            ("learner.optimizer.kind", "learner.optimizer.rate", false),
        ] {
            assert_eq!(is_of_key(place, key), expected, "{place}, {key}");
        }
    }

    #[test]
    fn faults_of_a_trial_are_told_from_faults_of_the_surroundings() {
        let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let of_trial: [anyhow::Error; 2] =
            [Panicked("out of memory".to_owned()).into(), TrainError::NoActions { kind: "words" }.into()];
        for error in of_trial {
            assert!(depends_on_settings(&error.context("trial 1")));
        }
        let of_files: [anyhow::Error; 3] = [
            TrainError::Read { path: "a".into(), source: missing() }.into(),
            TrainError::RunLocked { path: "a".into(), holder: "process 1".to_owned() }.into(),
            BadRequest("a run of other settings".to_owned()).into(),
        ];
        for error in of_files {
            assert!(!depends_on_settings(&error.context("trial 1")));
        }
    }
}
