//! `train` with a file of stages: runs that are made one after another.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use dqn_train::config::ExperimentConfig;
use dqn_train::config::layers::first_difference;
use dqn_train::config::stages::StagedConfig;
use dqn_train::report::Report;
use dqn_train::run::checkpoint::Which;
use dqn_train::run::directory::next_free;
use dqn_train::run::stages::StagedDirectory;
use dqn_train::runner::{Event, Observer};
use dqn_train::stages::check_fit;
use serde::Serialize;

use super::train::{RUNS, header};
use crate::args::Train;
use crate::backend::Backend;
use crate::console::Console;
use crate::failure::{BadRequest, Ending};
use crate::parallel_runs::{FinishedRun, KeptRun};
use crate::progress::RunProgress;
use crate::summary::{self, SplitResult};
use crate::{input, interrupt, saved_run};

/// What `train --json` tells of a file with stages.
#[derive(Serialize)]
struct Outcome<'a> {
    /// The folder of the stages.
    run: &'a Path,
    /// Whether the last stage reached its end; otherwise they can be resumed.
    finished: bool,
    /// Those that have begun.
    stages: Vec<StageOutcome>,
}

#[derive(Serialize)]
struct StageOutcome {
    stage: String,
    run: PathBuf,
    finished: bool,
    updates: u64,
    /// One object for each split, as by `eval --json`; nothing before the end.
    evaluation: Vec<SplitResult>,
}

/// Begins with the stages of a file.
pub(super) fn begin(args: &Train, mut staged: StagedConfig, console: Console) -> anyhow::Result<Ending> {
    let backend = Backend::choose(args.backend.backend.as_deref())?;
    if let Some(seed) = args.seed {
        set_seed(&mut staged, seed);
    }
    let device = backend.device()?;
    check(&staged, &device)?;
    let path = match &args.run_dir {
        Some(path) => path.clone(),
        None => next_free(Path::new(RUNS), &staged.name)?,
    };
    let directory = StagedDirectory::create(&path, staged, backend.name())?;
    go_on(&directory, backend, &device, args.json, console)
}

/// Goes on with the stages in the folder at `path`.
pub(super) fn resume(args: &Train, path: &Path, console: Console) -> anyhow::Result<Ending> {
    let directory = StagedDirectory::open(path)?;
    let backend = saved_run::backend(&args.backend, directory.backend())?;
    go_on(&directory, backend, &backend.device()?, args.json, console)
}

/// Gives every stage this seed.
pub(super) fn set_seed(staged: &mut StagedConfig, seed: u64) {
    staged.stages.iter_mut().for_each(|stage| stage.config.seed = seed);
}

/// Finds what keeps the stages from being built, or from going by each other, before the first of them begins.
pub(super) fn check(staged: &StagedConfig, device: &Device) -> anyhow::Result<()> {
    check_fit(staged, device).map_err(|(stage, error)| anyhow::Error::from(error).context(format!("stage {stage}")))
}

/// Opens the stages at `path`, or makes their folder; stages of other settings are refused.
pub(super) fn open_or_create(path: &Path, staged: StagedConfig, backend: Backend) -> anyhow::Result<StagedDirectory> {
    if !StagedDirectory::is_at(path) {
        return Ok(StagedDirectory::create(path, staged, backend.name())?);
    }
    let directory = StagedDirectory::open(path)?;
    match different(directory.staged(), &staged)? {
        None => Ok(directory),
        Some(difference) => {
            let why = "remove it, or name another place with --run-dir";
            let fault = format!("{} holds stages of other settings: {difference}; {why}", path.display());
            Err(BadRequest(fault).into())
        }
    }
}

/// Where two experiments in stages differ first, in words.
fn different(was: &StagedConfig, now: &StagedConfig) -> anyhow::Result<Option<String>> {
    let names =
        |staged: &StagedConfig| -> Vec<String> { staged.stages.iter().map(|stage| stage.name.clone()).collect() };
    if names(was) != names(now) {
        return Ok(Some(format!("the stages were {} and are now {}", names(was).join(", "), names(now).join(", "))));
    }
    for (was, now) in was.stages.iter().zip(&now.stages) {
        let table = |config: &ExperimentConfig| -> anyhow::Result<toml::Table> { Ok(config.to_toml()?.parse()?) };
        if let Some(difference) = first_difference(&table(&was.config)?, &table(&now.config)?) {
            return Ok(Some(format!("stages.{}.{difference}", was.name)));
        }
    }
    Ok(None)
}

/// A stage that has come to its end, or was stopped on the way there.
pub(super) struct MadeStage {
    pub(super) run: KeptRun,
    pub(super) finished: Option<FinishedRun>,
    /// How far it was saved, where it was not finished.
    updates: u64,
}

/// Makes the stages in turn, of which finished ones are not made again; returns those that have begun, of which only the last
/// may be unfinished.
///
/// `tell` is told of each when it begins and `made` when it has ended.
pub(super) fn make(
    directory: &StagedDirectory,
    backend: Backend,
    device: &Device,
    stop: &AtomicBool,
    mut observer: impl FnMut(usize, &KeptRun) -> RunProgress,
    mut made: impl FnMut(usize, &MadeStage) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<MadeStage>> {
    let mut stages = Vec::new();
    for (index, config) in directory.configs()?.into_iter().enumerate() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let name = &directory.staged().stages[index].name;
        let in_stage = |error: anyhow::Error| error.context(format!("stage {name}"));
        let run = KeptRun::open(&directory.run_path(index), config, backend, device).map_err(in_stage)?;
        let mut watched = Watched { progress: observer(index, &run), updates: 0 };
        let finished = run.finish(device, stop, &mut watched).map_err(in_stage)?;
        let updates = watched.updates;
        drop(watched);
        let stage = MadeStage { run, finished, updates };
        made(index, &stage)?;
        let goes_on = stage.finished.is_some();
        stages.push(stage);
        if !goes_on {
            break;
        }
    }
    Ok(stages)
}

/// Remembers how far a run was saved.
struct Watched {
    progress: RunProgress,
    updates: u64,
}

impl Observer for Watched {
    fn on(&mut self, event: Event<'_>) {
        if let Event::Saved { progress } = event {
            self.updates = progress.updates;
        }
        self.progress.on(event);
    }
}

fn go_on(
    directory: &StagedDirectory,
    backend: Backend,
    device: &Device,
    json: bool,
    console: Console,
) -> anyhow::Result<Ending> {
    let staged = directory.staged();
    let n_stages = staged.stages.len();
    let name = |index: usize| staged.stages[index].name.as_str();
    let names: Vec<&str> = (0..n_stages).map(name).collect();
    let path = directory.path();
    console.note(&format!("stages      {} of {}, in {}", names.join(", "), staged.name, path.display()));
    let stop = interrupt::listen(console)?;
    let observer = |index: usize, run: &KeptRun| {
        let header = header(&run.experiment, &run.directory, backend, device);
        console.note(&format!("\nstage       {} ({} of {n_stages})\n{header}", name(index), index + 1));
        RunProgress::new(console, &run.experiment.config, json, &format!("{}: ", name(index)))
    };
    let made = |index: usize, stage: &MadeStage| {
        let Some(finished) = &stage.finished else { return Ok(()) };
        if finished.was_there {
            console.note(&format!("{}: was there, {:.1} s", name(index), finished.wall_seconds));
        }
        let is_shown = !finished.was_there || index + 1 == n_stages;
        if json || !is_shown {
            return Ok(());
        }
        let text = input::text(Some(&stage.run.directory.eval_path().join("report.txt")))?;
        console.result(&format!("\nStage {}:\n\n{}", name(index), text.trim_end()))
    };
    let stages = make(directory, backend, device, stop, observer, made)?;
    let last = stages.last().and_then(|stage| Some((stage, &stage.finished.as_ref()?.report)));
    let last = last.filter(|_| stages.len() == n_stages);
    if json {
        let outcomes = stages.iter().zip(&names).map(|(stage, name)| outcome(stage, name)).collect();
        console.json(&Outcome { run: path, finished: last.is_some(), stages: outcomes })?;
    }
    let Some((stage, report)) = last else {
        let where_to = match stages.last() {
            Some(MadeStage { finished: None, updates, .. }) => {
                format!("Stopped and saved after {updates} updates of stage {}", name(stages.len() - 1))
            }
            _ => format!("Stopped before stage {}", name(stages.len())),
        };
        let folder = summary::shell_word(&path.display().to_string());
        console.note(&format!("{where_to}. Go on with: dqn-cli train --resume {folder}"));
        return Ok(Ending::Interrupted);
    };
    let has_best = stage.run.directory.checkpoints().path(Which::Best).is_file();
    let run = stage.run.directory.path().display().to_string();
    let environment = &staged.stages[n_stages - 1].config.environment;
    console.note(&format!("\n{}", summary::next_steps(&run, has_best, environment, report)));
    Ok(Ending::Done)
}

fn outcome(stage: &MadeStage, name: &str) -> StageOutcome {
    let evaluation = |report: &Report| {
        let policy = report.learned.first().map_or("", String::as_str);
        summary::split_results(report, policy)
    };
    let report = stage.finished.as_ref().map(|finished| &finished.report);
    StageOutcome {
        stage: name.to_owned(),
        run: stage.run.directory.path().to_owned(),
        finished: report.is_some(),
        updates: report.map_or(stage.updates, |report| report.progress.updates),
        evaluation: report.map(evaluation).unwrap_or_default(),
    }
}
