//! `train --seeds`: one experiment with several seeds, and a table over them.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dqn_train::config::ExperimentConfig;
use dqn_train::config::stages::StagedConfig;
use dqn_train::run::{atomic, metrics};
use dqn_train::seeds::{SeedRun, SeedTable};
use serde::Serialize;

use super::stages::{self, MadeStage};
use super::train::RUNS;
use crate::args::Train;
use crate::backend::Backend;
use crate::console::Console;
use crate::experiment_file::{self, Described};
use crate::failure::Ending;
use crate::interrupt;
use crate::parallel_runs::{FinishedRun, INTERRUPTED_NOTE, KeptRun, in_parallel};
use crate::progress::RunProgress;

/// What `train --seeds --json` tells.
#[derive(Serialize)]
struct Outcome<'a> {
    /// The folders of the runs, in the order of the seeds.
    runs: Vec<PathBuf>,
    /// Whether all reached their ends; otherwise the same command goes on with them.
    finished: bool,
    /// The table over the seeds; nothing before the end.
    table: Option<&'a SeedTable>,
}

pub(crate) fn run(args: &Train, seeds: &[u64], console: Console) -> anyhow::Result<Ending> {
    let backend = Backend::choose(args.backend.backend.as_deref())?;
    let described = experiment_file::describe(&args.experiment)?;
    let (name, stage) = match &described {
        Described::Run(config) => (&config.name, None),
        Described::Stages(staged) => (&staged.name, staged.stages.last()),
    };
    let folder = match &args.run_dir {
        Some(folder) => folder.clone(),
        None => Path::new(RUNS).join(format!("{name}-seeds")),
    };
    let path = |seed: u64| folder.join(format!("seed-{seed}"));
    let paths = || seeds.iter().map(|&seed| path(seed)).collect();
    let device = backend.device()?;
    if let (Described::Stages(staged), Some(&seed)) = (&described, seeds.first()) {
        // Where the stages of one seed fit each other, those of all do.
        stages::check(&with_seed(staged, seed), &device)?;
    }
    let parallel = args.parallel.unwrap_or_else(|| backend.parallel_runs(seeds.len()));
    let listed: Vec<String> = seeds.iter().map(u64::to_string).collect();
    console.note(&format!(
        "experiment  {name}, seeds {}, {parallel} at a time\nbackend     {}: {}\nruns        {}",
        listed.join(", "),
        backend.name(),
        backend.description(),
        folder.display()
    ));
    let stop = interrupt::listen(console)?;
    let work = |&seed: &u64| -> anyhow::Result<Option<SeedRun>> {
        let (run, finished) = match &described {
            Described::Run(config) => {
                let config = ExperimentConfig { seed, ..(**config).clone() };
                let run = KeptRun::open(&path(seed), config, backend, &device)?;
                let mut progress = RunProgress::new(console, &run.experiment.config, true, &format!("seed {seed}: "));
                let finished = run.finish(&device, stop, &mut progress)?;
                drop(progress);
                let Some(finished) = finished else { return Ok(None) };
                told(seed, None, &finished, console);
                (run, finished)
            }
            Described::Stages(staged) => {
                let directory = stages::open_or_create(&path(seed), with_seed(staged, seed), backend)?;
                let name = |index: usize| staged.stages[index].name.as_str();
                let observer = |index: usize, run: &KeptRun| {
                    let label = format!("seed {seed}, {}: ", name(index));
                    RunProgress::new(console, &run.experiment.config, true, &label)
                };
                let made = |index: usize, stage: &MadeStage| {
                    if let Some(finished) = &stage.finished {
                        told(seed, Some(name(index)), finished, console);
                    }
                    Ok(())
                };
                let mut stages = stages::make(&directory, backend, &device, stop, observer, made)?;
                let last = stages.pop().filter(|_| stages.len() + 1 == staged.stages.len());
                let Some(MadeStage { run, finished: Some(finished), .. }) = last else { return Ok(None) };
                (run, finished)
            }
        };
        let records = metrics::read_records(&run.directory.metrics_path())?;
        let FinishedRun { report, wall_seconds, .. } = finished;
        Ok(Some(SeedRun { seed, report, records, wall_seconds }))
    };
    let Some(runs) = in_parallel(seeds, parallel, stop, work)? else {
        if args.json {
            console.json(&Outcome { runs: paths(), finished: false, table: None })?;
        }
        console.note(INTERRUPTED_NOTE);
        return Ok(Ending::Interrupted);
    };
    let experiment = stage.map_or(name, |stage| &stage.config.name);
    let table = SeedTable::new(experiment, &runs, args.threshold.clone());
    let of_stage = stage.map_or_else(String::new, |stage| format!(", the last stage ({})", stage.name));
    let page = format!(
        "{} of {}{of_stage}, seeds {}; means with their 95 % bootstrap intervals over the seeds.\n\n{}",
        table.policy,
        table.experiment,
        listed.join(", "),
        table.markdown()
    );
    let json = serde_json::to_string_pretty(&table).context("cannot write the table as JSON")?;
    atomic::write_text(&folder.join("seeds.md"), &page)?;
    atomic::write_text(&folder.join("seeds.json"), &(json + "\n"))?;
    match args.json {
        true => console.json(&Outcome { runs: paths(), finished: true, table: Some(&table) })?,
        false => console.result(page.trim_end())?,
    }
    console.note(&format!("The table lies in {} (and .json)", folder.join("seeds.md").display()));
    Ok(Ending::Done)
}

/// The same stages, all with this seed.
fn with_seed(staged: &StagedConfig, seed: u64) -> StagedConfig {
    let mut staged = staged.clone();
    stages::set_seed(&mut staged, seed);
    staged
}

/// Tells that the run of a seed, or of one of its stages, has come to its end.
fn told(seed: u64, stage: Option<&str>, finished: &FinishedRun, console: Console) {
    let what = if finished.was_there { "was there" } else { "is done" };
    let stage = stage.map_or_else(String::new, |stage| format!(", {stage}"));
    console.note(&format!("seed {seed}{stage}: {what}, {:.1} s", finished.wall_seconds));
}
