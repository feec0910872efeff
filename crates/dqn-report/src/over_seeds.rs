//! What several runs say together, as the page shows it.

use dqn_train::evaluation::Evaluation;
use dqn_train::learning::{Learning, Threshold};
use serde::Serialize;

use crate::axis::{count, duration};
use crate::chart::{self, Line, colour_class, interval_mark};
use crate::columns::interval;
use crate::compare::{Comparison, GroupMean, GroupReturns};
use crate::curve::Column;
use crate::groups::Group;
use crate::page::{Swatch, TableView, table};

/// Thresholds at equal distances at which a profile is drawn, besides the returns themselves, where it steps.
const N_THRESHOLDS: usize = 61;

/// The runs on one split.
#[derive(Serialize)]
pub(crate) struct ComparedView {
    split: &'static str,
    table: TableView,
    means: Vec<MeanRow>,
    improvements: Vec<ImprovementRow>,
    profile: Option<ProfileView>,
}

#[derive(Serialize)]
struct MeanRow {
    experiment: String,
    n_runs: usize,
    mark: String,
    mean: String,
    middle: String,
    deviation: String,
    worst: String,
}

#[derive(Serialize)]
struct ImprovementRow {
    experiment: String,
    over: String,
    mark: String,
    probability: String,
}

/// The shares of runs above a return.
#[derive(Serialize)]
struct ProfileView {
    svg: String,
    legend: Vec<Swatch>,
}

/// How the runs learned over time.
#[derive(Serialize)]
pub(crate) struct LearningView {
    /// The threshold in words, where there is one.
    threshold: Option<String>,
    rows: Vec<LearningRow>,
}

#[derive(Serialize)]
struct LearningRow {
    class: String,
    name: String,
    drawdown: String,
    gap: String,
    updates: String,
    seconds: String,
}

/// With a minus sign instead of a hyphen.
fn set(text: &str) -> String {
    text.replace('-', "−")
}

/// The comparisons; one of a single run shows nothing that the results do not.
pub(crate) fn compared(comparisons: &[Comparison]) -> Vec<ComparedView> {
    comparisons.iter().map(view).collect()
}

fn view(comparison: &Comparison) -> ComparedView {
    let rows: Vec<&Evaluation> = comparison.runs.iter().map(|run| &run.evaluation).collect();
    let names = comparison.runs.iter().map(|run| (format!("{}, seed {}", run.experiment, run.seed), false));
    let split = comparison.split.name();
    let intervals = || comparison.means.iter().map(|mean| mean.episode_return);
    let low = intervals().map(|interval| interval.low).fold(f64::INFINITY, f64::min);
    let high = intervals().map(|interval| interval.high).fold(f64::NEG_INFINITY, f64::max);
    let improvements = comparison.improvements.iter().map(|pair| ImprovementRow {
        experiment: pair.experiment.clone(),
        over: pair.over.clone(),
        mark: interval_mark(pair.probability, 0.0, 1.0),
        probability: interval(pair.probability),
    });
    let caption = format!("What each run has learned, on {split} prompts");
    ComparedView {
        split,
        table: table(caption, &rows, names.collect()),
        means: comparison.means.iter().map(|mean| mean_row(mean, low, high)).collect(),
        improvements: improvements.collect(),
        profile: profile(split, &comparison.returns),
    }
}

fn mean_row(mean: &GroupMean, low: f64, high: f64) -> MeanRow {
    let middle = mean.interquartile_interval;
    MeanRow {
        experiment: mean.experiment.clone(),
        n_runs: mean.n_runs,
        mark: interval_mark(mean.episode_return, low, high),
        mean: set(&interval(mean.episode_return)),
        middle: set(&format!("{:.3} [{:.3}, {:.3}]", mean.interquartile_mean, middle.low, middle.high)),
        deviation: format!("{:.3}", mean.standard_deviation),
        worst: set(&format!("{:.3} (seed {})", mean.worst, mean.worst_seed)),
    }
}

/// The performance profiles of experiments with several runs each, where there are two or more.
fn profile(split: &str, groups: &[GroupReturns]) -> Option<ProfileView> {
    let all: Vec<f64> = groups.iter().flat_map(|group| group.returns.iter().copied()).collect();
    let (low, high) = (all.iter().copied().reduce(f64::min)?, all.iter().copied().reduce(f64::max)?);
    if groups.len() < 2 || low == high {
        return None;
    }
    let margin = (high - low) / 20.0;
    let place = |index: usize| {
        let part = index as f64 / (N_THRESHOLDS - 1) as f64;
        (low - margin) * (1.0 - part) + (high + margin) * part
    };
    let mut thresholds: Vec<f64> = (0..N_THRESHOLDS).map(place).chain(all).collect();
    thresholds.sort_by(f64::total_cmp);
    thresholds.dedup();
    let line = |group: &GroupReturns| {
        let shares = group.profile(&thresholds);
        let column = |(&x, share): (&f64, dqn_train::stats::Interval)| Column {
            x,
            middle: share.mean,
            low: share.low.min(share.mean),
            high: share.high.max(share.mean),
        };
        let columns = thresholds.iter().zip(shares).map(column).collect();
        Line { label: group.experiment.clone(), colour: group.place, columns }
    };
    let lines: Vec<Line> = groups.iter().map(line).collect();
    let legend = lines.iter().map(|line| Swatch { class: colour_class(line.colour), label: line.label.clone() });
    Some(ProfileView {
        legend: legend.collect(),
        svg: chart::profile(&format!("Share of runs above a return on {split} prompts"), &lines),
    })
}

/// How every run learned over time, where there is something to tell.
pub(crate) fn learning(groups: &[Group<'_>], threshold: Option<&Threshold>) -> Option<LearningView> {
    let mut rows = Vec::new();
    let mut has_something = false;
    for (colour, group) in groups.iter().enumerate() {
        for run in &group.runs {
            let learning = Learning::of(&run.records, run.report.as_ref(), threshold);
            has_something |= learning != Learning::default();
            let figure = |value: Option<f64>| value.map_or_else(String::new, |value| set(&format!("{value:.3}")));
            let reached = learning.reached;
            let updates = match threshold {
                Some(_) => reached.map_or_else(|| "never".to_owned(), |reached| count(reached.updates)),
                None => String::new(),
            };
            rows.push(LearningRow {
                class: colour_class(colour),
                name: format!("{}, seed {}", group.label, run.seed),
                drawdown: figure(learning.drawdown),
                gap: figure(learning.generalisation_gap),
                updates,
                seconds: reached.map_or_else(String::new, |reached| duration(reached.wall_seconds)),
            });
        }
    }
    has_something.then(|| LearningView { threshold: threshold.map(|threshold| set(&threshold.to_string())), rows })
}
