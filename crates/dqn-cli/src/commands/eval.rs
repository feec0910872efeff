//! `eval`: what a run has learned.

use std::sync::atomic::AtomicBool;

use dqn_core::Decoding;
use dqn_model::TextQNetwork;
use dqn_report::tradeoff::{self, Tradeoff};
use dqn_text::split::Split;
use dqn_train::evaluation::Evaluation;
use dqn_train::experiment::Experiment;
use dqn_train::report;
use dqn_train::run::atomic;
use dqn_train::steering::{self, Redrawing};

use crate::args::{Eval, Sweep, SweepKey};
use crate::console::Console;
use crate::failure::BadRequest;
use crate::saved_run::SavedRun;
use crate::summary::{self, RunReport};
use crate::table;

pub(crate) fn run(args: &Eval, console: Console) -> anyhow::Result<()> {
    let SavedRun { mut experiment, device, network, progress } = SavedRun::open(&args.run)?;
    if let Some(seed) = args.seed {
        experiment.config.evaluation.seed = seed;
    }
    let splits = match args.split.is_empty() {
        true => report::reported(&experiment).to_vec(),
        false => {
            let mut splits: Vec<Split> = Vec::new();
            for split in args.split.iter().copied().map(Split::from) {
                if !splits.contains(&split) {
                    splits.push(split);
                }
            }
            splits
        }
    };
    if let Some(sweep) = &args.sweep {
        let redrawing = Redrawing { best_of: args.best_of.clone(), accepted_return: args.accept };
        let rows = swept(&experiment, &network, sweep, &redrawing, &splits)?;
        if let (Some(file), Some(&split)) = (&args.figure, splits.last()) {
            atomic::write_text(file, &figure(&experiment.config.name, &rows, split))?;
        }
        return show(&rows, &splits, args.json, console);
    }
    let nobody_stops = AtomicBool::new(false);
    let report = report::evaluate(&experiment, &network, progress, &splits, &device, &nobody_stops)?
        .expect("an evaluation that nobody stops comes to its end");
    if args.json {
        let policies = experiment.learned_policies(progress);
        return console.json(&summary::split_results(&report, &policies[0].name));
    }
    console.result(&summary::text(&RunReport { speed: None, report: &report }))
}

/// One row for each value of a setting of the decoding.
fn swept(
    experiment: &Experiment,
    network: &TextQNetwork,
    sweep: &Sweep,
    redrawing: &Redrawing,
    splits: &[Split],
) -> anyhow::Result<Vec<Evaluation>> {
    let Some(decoding) = experiment.decoding() else {
        let why = "the run learned no policy of its data to weigh values with: set learner.imitation for one";
        return Err(BadRequest(format!("--sweep: {why}")).into());
    };
    let decodings: Vec<Decoding> = sweep
        .values
        .iter()
        .map(|&value| match sweep.key {
            SweepKey::Beta => Decoding { beta: value, ..decoding },
            SweepKey::TopK => Decoding { top_k: Some(value as usize), ..decoding },
            SweepKey::Temperature => Decoding { temperature: value, ..decoding },
        })
        .collect();
    if experiment.is_unjudged() && !redrawing.best_of.is_empty() {
        let why = "nothing judges what is written in this task, so that no text is the best: give it reward terms";
        return Err(BadRequest(format!("--best-of: {why}")).into());
    }
    Ok(steering::sweep(experiment, network, &decodings, redrawing, splits)?)
}

fn show(rows: &[Evaluation], splits: &[Split], as_json: bool, console: Console) -> anyhow::Result<()> {
    if as_json {
        return console.json(&rows);
    }
    let of = |split: Split| -> Vec<&Evaluation> { rows.iter().filter(|row| row.split == split).collect() };
    let blocks: Vec<String> = splits
        .iter()
        .map(|&split| format!("On {split} prompts:\n\n{}", table::evaluations("policy", &of(split))))
        .collect();
    console.result(&blocks.join("\n\n"))
}

/// Returns over divergence on `split`: those of the decodings, and those of texts that were drawn more than once.
fn figure(name: &str, rows: &[Evaluation], split: Split) -> String {
    let of_split = || rows.iter().filter(|row| row.split == split);
    let curve = |name: &str, redrawn: bool| Tradeoff {
        name: name.to_owned(),
        points: of_split()
            .filter(|row| row.policy.starts_with(steering::BEST_OF) == redrawn)
            .filter_map(|row| Some((row.divergence?, row.episode_return)))
            .collect(),
    };
    let curves = [curve("steered by values", false), curve("best of n texts", true)];
    let curves: Vec<Tradeoff> = curves.into_iter().filter(|curve| !curve.points.is_empty()).collect();
    tradeoff::svg(&format!("{name}: return over divergence on {split} prompts"), &curves)
}
