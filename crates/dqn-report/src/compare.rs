//! Final evaluations of several runs beside each other.

use std::path::PathBuf;

use dqn_text::split::Split;
use dqn_train::evaluation::Evaluation;
use dqn_train::stats::{Interval, bootstrap_mean};
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
}

/// Compares finished runs on every split that one of them was evaluated on.
///
/// # Errors
/// [`ReportError::NotEvaluated`] when a run has not come to its end.
pub fn compare(runs: &[RunFiles]) -> Result<Vec<Comparison>, ReportError> {
    for run in runs {
        if run.report.is_none() {
            return Err(ReportError::NotEvaluated { run: run.path.clone(), path: report_path(&run.path) });
        }
    }
    Ok(comparisons(&groups(runs)))
}

/// Compares the finished ones among the runs of `groups`.
pub(crate) fn comparisons(groups: &[Group<'_>]) -> Vec<Comparison> {
    let on_split = |split: Split| {
        let runs: Vec<Compared> = groups.iter().flat_map(|group| compared(group, split)).collect();
        let means = groups.iter().filter_map(|group| group_mean(&group.label, &runs)).collect();
        Comparison { split, runs, means }
    };
    Split::ALL.into_iter().map(on_split).filter(|comparison| !comparison.runs.is_empty()).collect()
}

fn compared(group: &Group<'_>, split: Split) -> Vec<Compared> {
    let row = |run: &&RunFiles| {
        let evaluation = run.learned().into_iter().find(|row| row.split == split)?.clone();
        Some(Compared {
            run: run.path.clone(),
            experiment: group.label.clone(),
            seed: run.seed,
            updates: run.last().update,
            evaluation,
        })
    };
    group.runs.iter().filter_map(row).collect()
}

fn group_mean(label: &str, runs: &[Compared]) -> Option<GroupMean> {
    let own = runs.iter().filter(|run| run.experiment == label && !run.evaluation.unjudged);
    let returns: Vec<f64> = own.map(|run| run.evaluation.episode_return.mean).collect();
    (returns.len() > 1).then(|| GroupMean {
        experiment: label.to_owned(),
        n_runs: returns.len(),
        episode_return: bootstrap_mean(&returns, 0),
    })
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
        let found = compare(&runs).unwrap();
        assert_eq!(found.iter().map(|comparison| comparison.split).collect::<Vec<_>>(), [Split::Train, Split::Test]);
        let returns: Vec<(&str, i64, f64)> = found[1]
            .runs
            .iter()
            .map(|row| (row.experiment.as_str(), row.seed, row.evaluation.episode_return.mean))
            .collect();
        assert_eq!(returns, [("maze", 1, 1.0), ("maze", 2, 3.0), ("walk", 1, 6.0)]);
        // Two values have the resamples 1, 2, 2, 3.
        let expected = Interval { mean: 2.0, low: 1.0, high: 3.0 };
        assert_eq!(found[1].means, [GroupMean { experiment: "maze".into(), n_runs: 2, episode_return: expected }]);
    }

    #[test]
    fn a_run_without_an_end_is_named() {
        let runs = [finished("maze", 1, 2.0), run("maze", 2, &[])];
        let fault = compare(&runs).unwrap_err().to_string();
        assert!(fault.starts_with("runs/maze-2/eval/report.json does not exist"), "{fault}");
    }
}
