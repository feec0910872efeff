//! One experiment over several seeds: how much of a result is the method and how much is chance.

use std::fmt::Write as _;

use dqn_score::statistics::{interquartile_mean, standard_deviation};
use dqn_text::split::Split;
use serde::Serialize;

use crate::evaluation::Evaluation;
use crate::evaluation_metric::EvaluationMetric;
use crate::report::Report;
use crate::stats::{Interval, bootstrap_mean};

/// A finished run and its seed.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedRun {
    /// Its seed.
    pub seed: u64,
    /// What it is worth.
    pub report: Report,
    /// Seconds of training and of the evaluations in between.
    pub wall_seconds: f64,
}

/// The figures of an experiment over seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeedTable {
    /// Name of the experiment.
    pub experiment: String,
    /// The policy that the figures are of: what was learned, as it acts.
    pub policy: String,
    /// The seeds, in the order of their runs.
    pub seeds: Vec<u64>,
    /// One row for each split and metric that every run has measured.
    pub rows: Vec<SeedRow>,
}

/// One metric on one split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeedRow {
    /// Where the prompts come from.
    pub split: Split,
    /// The metric.
    pub metric: EvaluationMetric,
    /// Mean over the seeds with its 95 % bootstrap interval.
    pub value: Interval,
    /// Mean of the middle half of the seeds.
    pub interquartile_mean: f64,
    /// Standard deviation over the seeds; absent for one seed.
    pub standard_deviation: Option<f64>,
    /// The seed with the worst value; the first where several have it.
    pub worst_seed: u64,
    /// Its value.
    pub worst: f64,
    /// The value of each seed, in the order of the seeds.
    pub by_seed: Vec<f64>,
}

impl SeedTable {
    /// The table of finished runs of the experiment called `experiment`.
    ///
    /// # Panics
    /// When there is no run, or a run names no learned policy.
    pub fn new(experiment: &str, runs: &[SeedRun]) -> Self {
        let policy = runs[0].report.learned.first().expect("a finished run names what it learned").clone();
        let mut splits: Vec<Split> = runs[0].report.rows.iter().map(|row| row.split).collect();
        splits.dedup();
        let of = |run: &SeedRun, split: Split, metric: EvaluationMetric| {
            let is_learned = |row: &&Evaluation| row.split == split && row.policy == policy;
            metric.of(run.report.rows.iter().find(is_learned)?)
        };
        let row = |split: Split, metric: EvaluationMetric| {
            let by_seed: Vec<f64> = runs.iter().map(|run| of(run, split, metric)).collect::<Option<_>>()?;
            let sign = if metric.is_higher_better() { 1.0 } else { -1.0 };
            let values = runs.iter().zip(&by_seed);
            let (worst_run, &worst) = values.min_by(|one, other| (sign * one.1).total_cmp(&(sign * other.1)))?;
            Some(SeedRow {
                split,
                metric,
                value: bootstrap_mean(&by_seed, 0),
                interquartile_mean: interquartile_mean(&by_seed),
                standard_deviation: (by_seed.len() > 1).then(|| standard_deviation(&by_seed)),
                worst_seed: worst_run.seed,
                worst,
                by_seed,
            })
        };
        let of_split = |&split: &Split| EvaluationMetric::ALL.into_iter().filter_map(move |metric| row(split, metric));
        let rows = splits.iter().flat_map(of_split).collect();
        Self { experiment: experiment.to_owned(), policy, seeds: runs.iter().map(|run| run.seed).collect(), rows }
    }

    /// The table as Markdown, without a heading.
    pub fn markdown(&self) -> String {
        let mut table = String::from(
            "| split | metric | mean [95 % interval] | interquartile mean | standard deviation | worst seed |\n\
             |---|---|---:|---:|---:|---:|\n",
        );
        for row in &self.rows {
            let Interval { mean, low, high } = row.value;
            let deviation = row.standard_deviation.map_or_else(String::new, |value| format!("{value:.3}"));
            let _ = writeln!(
                table,
                "| {} | {} | {mean:.3} [{low:.3}, {high:.3}] | {:.3} | {deviation} | {:.3} (seed {}) |",
                row.split, row.metric, row.interquartile_mean, row.worst, row.worst_seed
            );
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use dqn_core::Progress;

    use super::*;

    fn run(seed: u64, episode_return: f64, perplexity: Option<f64>) -> SeedRun {
        let row = |policy: &str, mean: f64| -> Evaluation {
            let value = serde_json::json!({
                "policy": policy, "split": "test", "terms": {}, "n_steps": 3.0, "n_episodes": 4, "seed": 0,
                "episode_return": { "mean": mean, "low": mean, "high": mean }, "policy_perplexity": perplexity,
                "bleu": (seed > 1).then_some(1.0),
            });
            serde_json::from_value(value).unwrap()
        };
        let report = Report {
            rows: vec![row("human", 100.0), row("DQN sampled", episode_return)],
            learned: vec!["DQN sampled".to_owned(), "DQN argmax".to_owned()],
            generalisation_gap: None,
            fitted_temperature: None,
            samples: Vec::new(),
            progress: Progress::default(),
        };
        SeedRun { seed, report, wall_seconds: 1.0 }
    }

    #[test]
    fn rows_are_what_a_person_computes() {
        let runs = [run(1, 4.0, Some(9.0)), run(2, 2.0, Some(7.0)), run(3, 6.0, Some(8.0)), run(4, 100.0, Some(9.0))];
        let table = SeedTable::new("verse", &runs);
        assert_eq!((table.policy.as_str(), table.seeds.as_slice()), ("DQN sampled", &[1, 2, 3, 4][..]));
        // BLEU is missing in the first run, so it has no row.
        let metrics: Vec<EvaluationMetric> = table.rows.iter().map(|row| row.metric).collect();
        assert_eq!(metrics, [EvaluationMetric::Return, EvaluationMetric::PolicyPerplexity]);
        let found = &table.rows[0];
        assert_eq!((found.value.mean, found.interquartile_mean), (28.0, 5.0));
        // Squared distances from the mean: 576 + 676 + 484 + 5184 = 6920, over 3.
        assert!((found.standard_deviation.unwrap() - (6920.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!((found.worst, found.worst_seed), (2.0, 2));
        // Of a perplexity the highest is the worst, and of equal ones the first.
        assert_eq!((table.rows[1].worst, table.rows[1].worst_seed), (9.0, 1));
        let markdown = table.markdown();
        assert!(markdown.contains("| test | return | 28.000 ["), "{markdown}");
        assert!(markdown.contains("] | 5.000 | 48.028 | 2.000 (seed 2) |"), "{markdown}");
        let alone = SeedTable::new("verse", &runs[..1]);
        assert!(alone.markdown().contains("| test | return | 4.000 [4.000, 4.000] | 4.000 |  | 4.000 (seed 1) |"));
    }
}
