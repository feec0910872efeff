//! `compare`: what several runs have learned.

use dqn_report::compare::{Compared, Comparison, GroupMean, compare, threshold};
use dqn_report::{RunFiles, columns};
use dqn_train::evaluation::Evaluation;
use dqn_train::learning::Threshold;

use crate::args::Compare;
use crate::console::Console;
use crate::{saved_run, table};

pub(crate) fn run(args: &Compare, console: Console) -> anyhow::Result<()> {
    let paths = args.runs.iter().map(|run| saved_run::place(run)).collect::<Result<Vec<_>, _>>()?;
    let runs = RunFiles::read_all(&paths)?;
    let threshold = threshold(&runs, args.threshold.clone())?;
    let comparisons = compare(&runs, threshold.as_ref())?;
    if args.json {
        return console.json(&comparisons);
    }
    let mut blocks: Vec<String> = comparisons.iter().map(block).collect();
    // A run that was evaluated on several splits learned once.
    let mut learned: Vec<&Compared> = Vec::new();
    for run in comparisons.iter().flat_map(|comparison| &comparison.runs) {
        if learned.iter().all(|other| other.run != run.run) {
            learned.push(run);
        }
    }
    blocks.push(learning(&learned, threshold.as_ref()));
    console.result(&blocks.join("\n\n"))
}

/// The tables of one split: every run, the runs of an experiment together, and experiments pair by pair.
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
    if !comparison.means.is_empty() {
        text += &format!("\n\nReturn over runs, on {} prompts:\n\n{}", comparison.split, means(&comparison.means));
    }
    for pair in &comparison.improvements {
        let probability = columns::interval(pair.probability);
        text += &format!("\n\nA run of {} is better than one of {}: {probability}", pair.experiment, pair.over);
    }
    text
}

fn means(means: &[GroupMean]) -> String {
    let heads = [
        "experiment",
        "runs",
        "mean [95 % interval]",
        "interquartile mean [95 % interval]",
        "standard deviation",
        "worst run",
    ];
    let row = |mean: &GroupMean| {
        let middle = mean.interquartile_interval;
        vec![
            mean.experiment.clone(),
            mean.n_runs.to_string(),
            columns::interval(mean.episode_return),
            format!("{:.3} [{:.3}, {:.3}]", mean.interquartile_mean, middle.low, middle.high),
            format!("{:.3}", mean.standard_deviation),
            format!("{:.3} (seed {})", mean.worst, mean.worst_seed),
        ]
    };
    table::written(heads.map(str::to_owned).to_vec(), means.iter().map(row))
}

/// How each run learned over time.
fn learning(runs: &[&Compared], threshold: Option<&Threshold>) -> String {
    let mut heads = vec!["run".to_owned(), "drawdown".to_owned(), "generalisation gap".to_owned()];
    if let Some(threshold) = threshold {
        heads.extend([format!("updates until {threshold}"), "seconds until then".to_owned()]);
    }
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
    let row = |run: &&Compared| {
        let learning = &run.learning;
        let name = format!("{}, seed {}", run.experiment, run.seed);
        let mut cells = vec![name, number(learning.drawdown), number(learning.generalisation_gap)];
        if threshold.is_some() {
            cells.push(learning.reached.map_or_else(|| "never".to_owned(), |reached| reached.updates.to_string()));
            cells.push(learning.reached.map_or_else(String::new, |reached| format!("{:.1}", reached.wall_seconds)));
        }
        cells
    };
    format!("How each run learned over time:\n\n{}", table::written(heads, runs.iter().map(row)))
}
