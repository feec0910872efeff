//! Final evaluations of several runs beside each other.

use std::path::PathBuf;

use dqn_score::statistics::{
    Bootstrap, ConfidenceInterval, interquartile_mean, performance_profile, probability_of_improvement, seed_spread,
};
use dqn_text::split::Split;
use dqn_train::evaluation::Evaluation;
use dqn_train::learning::{Learning, Threshold};
use dqn_train::run::metrics::Record;
use dqn_train::stats::{Interval, bootstrap_mean, improvement, interquartile_interval};
use serde::Serialize;

use crate::groups::{Group, groups};
use crate::run_files::report_path;
use crate::{ReportError, RunFiles};

/// What the runs have learned, on one split.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The split.
    pub split: Split,
    /// One row for each run that was evaluated on it, in the order given.
    pub runs: Vec<Compared>,
    /// One row for each experiment with several such runs whose return is known.
    pub means: Vec<GroupMean>,
    /// One row for each pair of these experiments, the one whose runs are more often the better first.
    pub improvements: Vec<Improvement>,
    /// The returns of the runs of these experiments, for their profiles; not stored.
    #[serde(skip)]
    pub returns: Vec<GroupReturns>,
}

/// What one run has learned.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// The folder of the run.
    pub run: PathBuf,
    /// The name of the experiment and, where another has it too, the settings in which they differ.
    pub experiment: String,
    /// Seed of the run.
    pub seed: i64,
    /// Updates of the run.
    pub updates: u64,
    /// How it learned over time.
    pub learning: Learning,
    /// The learned policy as it acts.
    pub evaluation: Evaluation,
}

/// The mean over the runs of one experiment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupMean {
    /// As [`Compared::experiment`].
    pub experiment: String,
    /// Number of runs.
    pub n_runs: usize,
    /// Mean of the runs' mean returns with its 95 % bootstrap interval over runs.
    pub episode_return: Interval,
    /// Mean of the middle half of the runs' mean returns.
    pub interquartile_mean: f64,
    /// Its 95 % bootstrap interval over runs.
    pub interquartile_interval: ConfidenceInterval,
    /// Standard deviation over the runs.
    pub standard_deviation: f64,
    /// The least of the runs' mean returns, ...
    pub worst: f64,
    /// ... and the seed of the run that has it.
    pub worst_seed: i64,
}

/// How likely a run of one experiment is better than a run of another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Improvement {
    /// As [`Compared::experiment`].
    pub experiment: String,
    /// The other one.
    pub over: String,
    /// The probability that the return of a run of the first is above that of a run of the other, equal ones counted half,
    /// with its 95 % bootstrap interval over runs.
    pub probability: Interval,
}

/// The mean returns of the runs of one experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupReturns {
    /// As [`Compared::experiment`].
    pub experiment: String,
    /// Its place among all experiments.
    pub place: usize,
    /// One for each run.
    pub returns: Vec<f64>,
}

impl GroupReturns {
    /// The share of the runs above each of `thresholds`, with its 95 % bootstrap interval.
    pub fn profile(&self, thresholds: &[f64]) -> Vec<Interval> {
        let shares = performance_profile(&[&self.returns], thresholds);
        // As often as rliable draws for profiles.
        let bootstrap = Bootstrap { n_resamples: 2_000, ..Bootstrap::default() };
        let intervals = bootstrap.performance_profile(&[&self.returns], thresholds);
        let interval = |(mean, ConfidenceInterval { low, high })| Interval { mean, low, high };
        shares.into_iter().zip(intervals).map(interval).collect()
    }
}

/// Compares finished runs on every split that one of them was evaluated on; when they reached `threshold` is told besides.
///
/// # Errors
/// [`ReportError::NotEvaluated`] when a run has not come to its end.
pub fn compare(runs: &[RunFiles], threshold: Option<&Threshold>) -> Result<Vec<Comparison>, ReportError> {
    for run in runs {
        if run.report.is_none() {
            return Err(ReportError::NotEvaluated { run: run.path.clone(), path: report_path(&run.path) });
        }
    }
    Ok(comparisons(&groups(runs), threshold))
}

/// The threshold that runs are compared by: the one asked for or, without one, that of [`Threshold::default_for`].
///
/// # Errors
/// [`ReportError::NotMeasured`] when none of the runs has measured what is asked for.
pub fn threshold(runs: &[RunFiles], asked: Option<Threshold>) -> Result<Option<Threshold>, ReportError> {
    let Some(threshold) = asked else {
        return Ok(Threshold::default_for(&runs.iter().map(|run| run.records.as_slice()).collect::<Vec<&[Record]>>()));
    };
    let mut names: Vec<&String> =
        runs.iter().flat_map(|run| &run.records).flat_map(|record| record.scalars.keys()).collect();
    names.sort();
    names.dedup();
    if names.contains(&&threshold.metric) {
        return Ok(Some(threshold));
    }
    let measured = names.into_iter().cloned().collect::<Vec<_>>().join(", ");
    Err(ReportError::NotMeasured { metric: threshold.metric, measured })
}

/// Compares the finished ones among the runs of `groups`.
pub(crate) fn comparisons(groups: &[Group<'_>], threshold: Option<&Threshold>) -> Vec<Comparison> {
    let on_split = |split: Split| {
        let runs: Vec<Compared> = groups.iter().flat_map(|group| compared(group, split, threshold)).collect();
        let means = groups.iter().filter_map(|group| group_mean(&group.label, &runs)).collect();
        let returns = |(place, group): (usize, &Group<'_>)| {
            let returns: Vec<f64> = judged(&group.label, &runs).map(|(_, value)| value).collect();
            (returns.len() > 1).then(|| GroupReturns { experiment: group.label.clone(), place, returns })
        };
        let returns: Vec<GroupReturns> = groups.iter().enumerate().filter_map(returns).collect();
        Comparison { split, runs, means, improvements: improvements(&returns), returns }
    };
    Split::ALL.into_iter().map(on_split).filter(|comparison| !comparison.runs.is_empty()).collect()
}

fn compared(group: &Group<'_>, split: Split, threshold: Option<&Threshold>) -> Vec<Compared> {
    let row = |run: &&RunFiles| {
        let evaluation = run.learned().into_iter().find(|row| row.split == split)?.clone();
        Some(Compared {
            run: run.path.clone(),
            experiment: group.label.clone(),
            seed: run.seed,
            updates: run.last().update,
            learning: Learning::of(&run.records, run.report.as_ref(), threshold),
            evaluation,
        })
    };
    group.runs.iter().filter_map(row).collect()
}

/// Seeds and mean returns of the runs of an experiment whose return is known.
fn judged<'a>(label: &'a str, runs: &'a [Compared]) -> impl Iterator<Item = (i64, f64)> + 'a {
    let own = runs.iter().filter(move |run| run.experiment == label && !run.evaluation.unjudged);
    own.map(|run| (run.seed, run.evaluation.episode_return.mean))
}

fn group_mean(label: &str, runs: &[Compared]) -> Option<GroupMean> {
    let (seeds, returns): (Vec<i64>, Vec<f64>) = judged(label, runs).unzip();
    (returns.len() > 1).then(|| {
        let spread = seed_spread(&returns);
        GroupMean {
            experiment: label.to_owned(),
            n_runs: returns.len(),
            episode_return: bootstrap_mean(&returns, 0),
            interquartile_mean: interquartile_mean(&returns),
            interquartile_interval: interquartile_interval(&returns, 0),
            standard_deviation: spread.standard_deviation,
            worst: spread.worst,
            worst_seed: seeds[spread.worst_seed],
        }
    })
}

fn improvements(groups: &[GroupReturns]) -> Vec<Improvement> {
    let pair = |(one, other): (&GroupReturns, &GroupReturns)| {
        let (one, other) = match probability_of_improvement(&[&one.returns], &[&other.returns]) < 0.5 {
            true => (other, one),
            false => (one, other),
        };
        Improvement {
            experiment: one.experiment.clone(),
            over: other.experiment.clone(),
            probability: improvement(&one.returns, &other.returns, 0),
        }
    };
    let pairs = |(place, one)| groups[place + 1..].iter().map(move |other| (one, other));
    groups.iter().enumerate().flat_map(pairs).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use dqn_train::report::Report;

    use super::*;
    use crate::groups::tests::run;

    /// A run that has learned to earn `mean` on training and test prompts.
    fn finished(name: &str, seed: i64, mean: f64) -> RunFiles {
        let row = |policy: &str, split: &str, mean: f64| {
            serde_json::json!({
                "policy": policy, "split": split, "terms": {}, "n_steps": 3.0, "n_episodes": 4, "seed": 0,
                "episode_return": { "mean": mean, "low": mean - 1.0, "high": mean + 1.0 },
            })
        };
        let report = serde_json::json!({
            "rows": [row("random", "train", -5.0), row("DQN", "train", mean), row("DQN", "test", mean - 1.0)],
            "learned": ["DQN"], "samples": [], "generalisation_gap": null, "fitted_temperature": null,
            "progress": { "steps": 1, "updates": 1, "episodes": 1 },
        });
        let report: Report = serde_json::from_value(report).unwrap();
        RunFiles { report: Some(report), ..run(name, seed, &[]) }
    }

    #[test]
    fn what_was_learned_stands_beside_each_other() {
        let runs = [finished("maze", 1, 2.0), finished("walk", 1, 7.0), finished("maze", 2, 4.0)];
        let found = compare(&runs, None).unwrap();
        assert_eq!(found.iter().map(|comparison| comparison.split).collect::<Vec<_>>(), [Split::Train, Split::Test]);
        let returns: Vec<(&str, i64, f64)> = found[1]
            .runs
            .iter()
            .map(|row| (row.experiment.as_str(), row.seed, row.evaluation.episode_return.mean))
            .collect();
        assert_eq!(returns, [("maze", 1, 1.0), ("maze", 2, 3.0), ("walk", 1, 6.0)]);
        // Two values have the resamples 1, 2, 2, 3.
        let expected = Interval { mean: 2.0, low: 1.0, high: 3.0 };
        let expected = GroupMean {
            experiment: "maze".into(),
            n_runs: 2,
            episode_return: expected,
            interquartile_mean: 2.0,
            interquartile_interval: ConfidenceInterval { low: 1.0, high: 3.0 },
            standard_deviation: 2.0_f64.sqrt(),
            worst: 1.0,
            worst_seed: 1,
        };
        assert_eq!((&found[1].means, found[1].improvements.len()), (&vec![expected], 0));
    }

    #[test]
    fn experiments_are_compared_pair_by_pair() {
        let returns = [("maze", 1, 2.0), ("maze", 2, 4.0), ("maze", 3, 6.0), ("walk", 4, 4.0), ("walk", 5, 9.0)];
        let runs: Vec<RunFiles> = returns.iter().map(|&(name, seed, mean)| finished(name, seed, mean)).collect();
        let found = compare(&runs, None).unwrap();
        let improvement = &found[0].improvements[0];
        assert_eq!((improvement.experiment.as_str(), improvement.over.as_str()), ("walk", "maze"));
        // Of the six pairs walk wins four (9 thrice, 4 once), one is even, and maze wins one.
        assert_eq!(improvement.probability.mean, 4.5 / 6.0);
        assert!(improvement.probability.low < 0.75 && improvement.probability.high == 1.0, "{improvement:?}");
        // Two of three runs are above 3, and no run is above its own return.
        let profile: Vec<f64> = found[0].returns[0].profile(&[1.0, 3.0, 6.0]).iter().map(|share| share.mean).collect();
        assert_eq!((found[0].returns[0].experiment.as_str(), profile), ("maze", vec![1.0, 2.0 / 3.0, 0.0]));
        let lows: Vec<f64> = found[0].returns[0].profile(&[1.0, 3.0]).iter().map(|share| share.low).collect();
        assert_eq!(lows, [1.0, 0.0]);
        assert_eq!((found[0].returns[1].place, &found[0].returns[1].returns), (1, &vec![4.0, 9.0]));
    }

    #[test]
    fn thresholds_of_what_was_not_measured_are_refused() {
        let mut run = finished("maze", 1, 2.0);
        for (update, value) in [(1, 0.0), (2, 0.8), (3, 1.0)] {
            let scalars = [("validation/return".to_owned(), value)].into();
            run.records.push(Record { update, step: 0, episode: 0, wall_seconds: update as f64, scalars });
        }
        let runs = [run];
        let default = threshold(&runs, None).unwrap().unwrap();
        assert_eq!(default, Threshold::new("validation/return", 0.9));
        let found = compare(&runs, Some(&default)).unwrap();
        assert_eq!(found[0].runs[0].learning.reached.unwrap().updates, 3);
        let named = Threshold::new("validation/return", 0.5);
        assert_eq!(threshold(&runs, Some(named.clone())).unwrap(), Some(named));
        let fault = threshold(&runs, Some(Threshold::new("validation/blue", 0.5))).unwrap_err().to_string();
        assert_eq!(fault, "no run has measured validation/blue; measured was: validation/return");
    }

    #[test]
    fn a_run_without_an_end_is_named() {
        let runs = [finished("maze", 1, 2.0), run("maze", 2, &[])];
        let fault = compare(&runs, None).unwrap_err().to_string();
        assert!(fault.starts_with("runs/maze-2/eval/report.json does not exist"), "{fault}");
    }
}
