//! `compare`: what several runs have learned.

use dqn_report::compare::{Compared, Comparison, compare};
use dqn_report::{RunFiles, columns};
use dqn_train::evaluation::Evaluation;

use crate::args::Compare;
use crate::console::Console;
use crate::table;

pub(crate) fn run(args: &Compare, console: Console) -> anyhow::Result<()> {
    let comparisons = compare(&RunFiles::read_all(&args.runs)?)?;
    if args.json {
        return console.json(&comparisons);
    }
    let blocks: Vec<String> = comparisons.iter().map(block).collect();
    console.result(&blocks.join("\n\n"))
}

/// The table of one split, and the means over seeds.
fn block(comparison: &Comparison) -> String {
    let named = |run: &Compared| Evaluation {
        policy: format!("{}, seed {} ({})", run.experiment, run.seed, run.run.display()),
        ..run.evaluation.clone()
    };
    let rows: Vec<Evaluation> = comparison.runs.iter().map(named).collect();
    let mut text = format!(
        "What was learned, on {} prompts:\n\n{}",
        comparison.split,
        table::evaluations("run", &rows.iter().collect::<Vec<_>>())
    );
    for mean in &comparison.means {
        let interval = columns::interval(mean.episode_return);
        text += &format!("\n\nMean return of the {} runs of {}: {interval}", mean.n_runs, mean.experiment);
    }
    text
}
