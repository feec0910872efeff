//! `eval`: what a run has learned.

use std::sync::atomic::AtomicBool;

use dqn_core::Decoding;
use dqn_model::TextQNetwork;
use dqn_text::split::Split;
use dqn_train::evaluation::Evaluation;
use dqn_train::experiment::Experiment;
use dqn_train::report;
use dqn_train::steering::{self, Redrawing};

use crate::args::{Eval, Sweep, SweepKey};
use crate::console::Console;
use crate::failure::BadRequest;
use crate::saved_run::SavedRun;
use crate::summary::{self, RunReport};
use crate::table;

pub(crate) fn run(args: &Eval, console: Console) -> anyhow::Result<()> {
    let SavedRun { experiment, device, network, progress } = SavedRun::open(&args.run)?;
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
        return swept(&experiment, &network, sweep, &redrawing, &splits, args.json, console);
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
    as_json: bool,
    console: Console,
) -> anyhow::Result<()> {
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
    let rows = steering::sweep(experiment, network, &decodings, redrawing, splits)?;
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
