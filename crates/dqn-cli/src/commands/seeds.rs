//! `train --seeds`: one experiment with several seeds, and a table over them.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dqn_train::config::ExperimentConfig;
use dqn_train::run::{atomic, metrics};
use dqn_train::seeds::{SeedRun, SeedTable};
use serde::Serialize;

use super::train::RUNS;
use crate::args::Train;
use crate::backend::Backend;
use crate::console::Console;
use crate::failure::Ending;
use crate::parallel_runs::{FinishedRun, INTERRUPTED_NOTE, KeptRun, in_parallel};
use crate::progress::RunProgress;
use crate::{experiment_file, interrupt};

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
    let config = experiment_file::load(&args.experiment)?;
    let folder = match &args.run_dir {
        Some(folder) => folder.clone(),
        None => Path::new(RUNS).join(format!("{}-seeds", config.name)),
    };
    let path = |seed: u64| folder.join(format!("seed-{seed}"));
    let paths = || seeds.iter().map(|&seed| path(seed)).collect();
    let device = backend.device()?;
    let parallel = args.parallel.unwrap_or_else(|| backend.parallel_runs(seeds.len()));
    let listed: Vec<String> = seeds.iter().map(u64::to_string).collect();
    console.note(&format!(
        "experiment  {}, seeds {}, {parallel} at a time\nbackend     {}: {}\nruns        {}",
        config.name,
        listed.join(", "),
        backend.name(),
        backend.description(),
        folder.display()
    ));
    let stop = interrupt::listen(console)?;
    let work = |&seed: &u64| -> anyhow::Result<Option<SeedRun>> {
        let run = KeptRun::open(&path(seed), ExperimentConfig { seed, ..config.clone() }, backend, &device)?;
        let mut progress = RunProgress::new(console, &run.experiment.config, true, &format!("seed {seed}: "));
        let finished = run.finish(&device, stop, &mut progress)?;
        drop(progress);
        let Some(FinishedRun { report, wall_seconds, was_there }) = finished else { return Ok(None) };
        let what = if was_there { "was there" } else { "is done" };
        console.note(&format!("seed {seed}: {what}, {wall_seconds:.1} s"));
        let records = metrics::read_records(&run.directory.metrics_path())?;
        Ok(Some(SeedRun { seed, report, records, wall_seconds }))
    };
    let Some(runs) = in_parallel(seeds, parallel, stop, work)? else {
        if args.json {
            console.json(&Outcome { runs: paths(), finished: false, table: None })?;
        }
        console.note(INTERRUPTED_NOTE);
        return Ok(Ending::Interrupted);
    };
    let table = SeedTable::new(&config.name, &runs, args.threshold.clone());
    let page = format!(
        "{} of {}, seeds {}; means with their 95 % bootstrap intervals over the seeds.\n\n{}",
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
