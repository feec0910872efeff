//! `eval`: what a run has learned.

use std::sync::atomic::AtomicBool;

use dqn_text::split::Split;
use dqn_train::report;

use crate::args::Eval;
use crate::console::Console;
use crate::saved_run::SavedRun;
use crate::summary::{self, RunReport};

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
    let nobody_stops = AtomicBool::new(false);
    let report = report::evaluate(&experiment, &network, progress, &splits, &device, &nobody_stops)?
        .expect("an evaluation that nobody stops comes to its end");
    if args.json {
        let (policy, _) = experiment.learned_policies(progress)[0];
        return console.json(&summary::split_results(&report, policy));
    }
    console.result(&summary::text(&RunReport { speed: None, report: &report }))
}
