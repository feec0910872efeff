//! `train`: an experiment from its file to its report.

use std::path::{Path, PathBuf};

use anyhow::Context;
use burn::module::Module;
use burn::tensor::Device;
use dqn_text::Tokenizer;
use dqn_text::split::Split;
use dqn_train::experiment::Experiment;
use dqn_train::report::Report;
use dqn_train::run::checkpoint::Which;
use dqn_train::run::directory::{RunDirectory, next_free};
use dqn_train::run::stages::StagedDirectory;
use dqn_train::run::{atomic, metrics};
use dqn_train::runner::{self, RunEnd};
use serde::Serialize;

use crate::args::{Seeds, Train};
use crate::backend::Backend;
use crate::commands::{seeds, stages};
use crate::console::Console;
use crate::experiment_file::{self, Described};
use crate::failure::Ending;
use crate::progress::RunProgress;
use crate::summary::{self, RunReport, Speed, SplitResult};
use crate::{interrupt, saved_run};

/// Where runs lie that are given no place.
pub(super) const RUNS: &str = "runs";

/// What `train --json` tells.
#[derive(Serialize)]
struct Outcome {
    /// The folder of the run.
    run: PathBuf,
    /// Whether it reached its end; otherwise it can be resumed.
    finished: bool,
    updates: u64,
    /// One object for each split, as by `eval --json`; nothing before the end.
    evaluation: Vec<SplitResult>,
}

pub(crate) fn run(args: &Train, console: Console) -> anyhow::Result<Ending> {
    if let Some(Seeds(seeds)) = &args.seeds {
        return seeds::run(args, seeds, console);
    }
    if let Some(path) = args.resume.as_deref().filter(|path| StagedDirectory::is_at(path)) {
        return stages::resume(args, path, console);
    }
    let (experiment, directory, backend, device) = match &args.resume {
        Some(path) => {
            let directory = RunDirectory::open_for_writing(path)?;
            let origin = runner::origin(&directory)?;
            let backend = saved_run::backend(&args.backend, &origin.backend)?;
            let device = backend.device()?;
            let (experiment, _) = runner::open_experiment(&directory, &device)?;
            if backend.name() != origin.backend {
                tracing::warn!(
                    "the run began on {} and goes on on {}; it will not end in the same bits",
                    origin.backend,
                    backend.name()
                );
            }
            (experiment, directory, backend, device)
        }
        None => {
            let mut config = match experiment_file::describe(&args.experiment)? {
                Described::Run(config) => *config,
                Described::Stages(staged) => return stages::begin(args, staged, console),
            };
            let backend = Backend::choose(args.backend.backend.as_deref())?;
            if let Some(seed) = args.seed {
                config.seed = seed;
            }
            let device = backend.device()?;
            let experiment = Experiment::build(config, None, &device)?;
            let path = match &args.run_dir {
                Some(path) => path.clone(),
                None => next_free(Path::new(RUNS), &experiment.config.name)?,
            };
            let directory = runner::create(&path, &experiment, backend.name())?;
            (experiment, directory, backend, device)
        }
    };
    console.note(&header(&experiment, &directory, backend, &device));
    let stop = interrupt::listen(console)?;
    let mut progress = RunProgress::new(console, &experiment.config, args.json, "");
    let end = runner::run(&experiment, &directory, &device, args.resume.is_some(), stop, &mut progress)?;
    drop(progress);
    match end {
        RunEnd::Finished(report) => finish(&experiment, &directory, &report, args.json, console),
        RunEnd::Interrupted { progress } => {
            let run = directory.path();
            if args.json {
                let (run, updates) = (run.to_owned(), progress.updates);
                console.json(&Outcome { run, finished: false, updates, evaluation: Vec::new() })?;
            }
            console.note(&format!(
                "Stopped and saved after {} updates. Go on with: dqn-cli train --resume {}",
                progress.updates,
                summary::shell_word(&run.display().to_string())
            ));
            Ok(Ending::Interrupted)
        }
    }
}

/// Keeps the report in the run; returns it as text.
pub(crate) fn store(directory: &RunDirectory, report: &Report) -> anyhow::Result<String> {
    let speed = Speed::of(&metrics::read_records(&directory.metrics_path())?);
    let run_report = RunReport { speed, report };
    let text = summary::text(&run_report);
    let as_json = serde_json::to_string_pretty(&run_report).context("cannot write the report as JSON")?;
    atomic::write_text(&directory.eval_path().join("report.json"), &(as_json + "\n"))?;
    atomic::write_text(&directory.eval_path().join("report.txt"), &format!("{text}\n"))?;
    Ok(text)
}

/// Keeps the report in the run, and prints it.
fn finish(
    experiment: &Experiment,
    directory: &RunDirectory,
    report: &Report,
    json: bool,
    console: Console,
) -> anyhow::Result<Ending> {
    let text = store(directory, report)?;
    if json {
        let policies = experiment.learned_policies(report.progress);
        console.json(&Outcome {
            run: directory.path().to_owned(),
            finished: true,
            updates: report.progress.updates,
            evaluation: summary::split_results(report, &policies[0].name),
        })?;
    } else {
        console.result(&format!("\n{text}"))?;
    }
    let has_best = directory.checkpoints().path(Which::Best).is_file();
    console.note(&format!(
        "\n{}",
        summary::next_steps(&directory.path().display().to_string(), has_best, &experiment.config.environment, report)
    ));
    Ok(Ending::Done)
}

/// What is about to run.
pub(super) fn header(experiment: &Experiment, directory: &RunDirectory, backend: Backend, device: &Device) -> String {
    let config = &experiment.config;
    let n_parameters = experiment.network(device).num_params();
    let mut lines = vec![
        format!("experiment  {}, seed {}", config.name, config.seed),
        format!("backend     {}: {}", backend.name(), backend.description()),
        format!("network     {n_parameters} parameters, {} actions", experiment.actions.len()),
    ];
    if let Some(text) = &experiment.text {
        let size = |split: Split| {
            let examples = &text.part(split).examples;
            (examples.len(), examples.iter().map(Vec::len).sum::<usize>())
        };
        let is_divided = config.split.is_some() || config.environment.has_sources();
        let sizes = match is_divided {
            true => {
                let part = |&split: &Split| {
                    let (n_examples, n_tokens) = size(split);
                    format!("{split} {n_examples} ({n_tokens} tokens)")
                };
                let parts: Vec<String> = Split::ALL.iter().map(part).collect();
                format!("examples: {}", parts.join(", "))
            }
            false => {
                let (n_examples, n_tokens) = size(Split::Train);
                format!("examples: {n_examples} ({n_tokens} tokens), undivided")
            }
        };
        lines.push(format!("text        {sizes}"));
        lines.push(format!(
            "vocabulary  {} tokens ({}), {} repeated examples kept out of other parts",
            text.tokenizer.vocab().len(),
            text.tokenizer.kind(),
            text.n_moved_duplicates
        ));
    }
    lines.push(format!("run         {}", directory.path().display()));
    lines.join("\n")
}
