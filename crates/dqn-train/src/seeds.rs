//! One experiment over several seeds: how much of a result is the method and how much is chance.

use std::fmt::Write as _;

use dqn_score::statistics::{ConfidenceInterval, interquartile_mean, standard_deviation};
use dqn_text::split::Split;
use serde::Serialize;

use crate::evaluation::Evaluation;
use crate::evaluation_metric::EvaluationMetric;
use crate::learning::{Learning, Threshold};
use crate::report::Report;
use crate::run::metrics::Record;
use crate::stats::{Interval, bootstrap_mean, interquartile_interval};

/// A finished run and its seed.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedRun {
    /// Its seed.
    pub seed: u64,
    /// What it is worth.
    pub report: Report,
    /// What it measured on the way.
    pub records: Vec<Record>,
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
    /// The value at which a run counts as good enough; absent where the runs measured no return on the way.
    pub threshold: Option<Threshold>,
    /// How each run learned over time, in the order of the seeds.
    pub learning: Vec<SeedLearning>,
}

/// How the run of one seed learned over time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SeedLearning {
    /// The seed.
    pub seed: u64,
    /// Seconds of training and of the evaluations in between.
    pub wall_seconds: f64,
    /// The rest.
    pub learning: Learning,
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
    /// Its 95 % bootstrap interval.
    pub interquartile_interval: ConfidenceInterval,
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
    /// The table of finished runs of the experiment called `experiment`; without a threshold that of
    /// [`Threshold::default_for`].
    ///
    /// # Panics
    /// When there is no run, or a run names no learned policy.
    pub fn new(experiment: &str, runs: &[SeedRun], threshold: Option<Threshold>) -> Self {
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
                interquartile_interval: interquartile_interval(&by_seed, 0),
                standard_deviation: (by_seed.len() > 1).then(|| standard_deviation(&by_seed)),
                worst_seed: worst_run.seed,
                worst,
                by_seed,
            })
        };
        let of_split = |&split: &Split| EvaluationMetric::ALL.into_iter().filter_map(move |metric| row(split, metric));
        let rows = splits.iter().flat_map(of_split).collect();
        let records: Vec<&[Record]> = runs.iter().map(|run| run.records.as_slice()).collect();
        let threshold = threshold.or_else(|| Threshold::default_for(&records));
        let learning = |run: &SeedRun| SeedLearning {
            seed: run.seed,
            wall_seconds: run.wall_seconds,
            learning: Learning::of(&run.records, Some(&run.report), threshold.as_ref()),
        };
        Self {
            experiment: experiment.to_owned(),
            policy,
            seeds: runs.iter().map(|run| run.seed).collect(),
            rows,
            learning: runs.iter().map(learning).collect(),
            threshold,
        }
    }

    /// The two tables as Markdown, without a heading: the metrics over the seeds, and how each seed learned.
    pub fn markdown(&self) -> String {
        format!("{}\n{}", self.metrics_markdown(), self.learning_markdown())
    }

    fn learning_markdown(&self) -> String {
        let mut table = String::from("| seed | drawdown | generalisation gap | wall seconds |");
        let mut rule = String::from("|---:|---:|---:|---:|");
        if let Some(threshold) = &self.threshold {
            let _ = write!(table, " updates until {threshold} | seconds until then |");
            rule += "---:|---:|";
        }
        let _ = writeln!(table, "\n{rule}");
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
        for SeedLearning { seed, wall_seconds, learning } in &self.learning {
            let (drawdown, gap) = (number(learning.drawdown), number(learning.generalisation_gap));
            let _ = write!(table, "| {seed} | {drawdown} | {gap} | {wall_seconds:.1} |");
            let _ = match (&self.threshold, learning.reached) {
                (None, _) => Ok(()),
                (Some(_), Some(reached)) => write!(table, " {} | {:.1} |", reached.updates, reached.wall_seconds),
                (Some(_), None) => write!(table, " never |  |"),
            };
            table.push('\n');
        }
        table
    }

    fn metrics_markdown(&self) -> String {
        let mut table = String::from(
            "| split | metric | mean [95 % interval] | interquartile mean [95 % interval] | standard deviation | worst seed \
             |\n|---|---|---:|---:|---:|---:|\n",
        );
        for row in &self.rows {
            let Interval { mean, low, high } = row.value;
            let ConfidenceInterval { low: middle_low, high: middle_high } = row.interquartile_interval;
            let deviation = row.standard_deviation.map_or_else(String::new, |value| format!("{value:.3}"));
            let _ = writeln!(
                table,
                "| {} | {} | {mean:.3} [{low:.3}, {high:.3}] | {:.3} [{middle_low:.3}, {middle_high:.3}] | {deviation} \
                 | {:.3} (seed {}) |",
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
            generalisation_gap: (seed == 2).then_some(0.25),
            fitted_temperature: None,
            samples: Vec::new(),
            progress: Progress::default(),
        };
        let record = |(update, value): (u64, f64)| Record {
            update,
            step: 0,
            episode: 0,
            wall_seconds: update as f64 / 2.0,
            scalars: [("validation/return".to_owned(), value)].into(),
        };
        let records = [(10, 0.0), (20, episode_return), (30, episode_return - 1.5)].map(record).to_vec();
        SeedRun { seed, report, records, wall_seconds: 1.0 }
    }

    #[test]
    fn rows_are_what_a_person_computes() {
        let runs = [run(1, 4.0, Some(9.0)), run(2, 2.0, Some(7.0)), run(3, 6.0, Some(8.0)), run(4, 100.0, Some(9.0))];
        let table = SeedTable::new("verse", &runs, None);
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
        // The interval of the middle half reaches from where both of it are the least to where they are the greatest.
        assert!(markdown.contains("] | 5.000 [2.000, 100.000] | 48.028 | 2.000 (seed 2) |"), "{markdown}");
        let alone = SeedTable::new("verse", &runs[..1], None).markdown();
        let row = "| test | return | 4.000 [4.000, 4.000] | 4.000 [4.000, 4.000] |  | 4.000 (seed 1) |";
        assert!(alone.contains(row), "{alone}");
    }

    #[test]
    fn learning_over_time_is_told_seed_by_seed() {
        let runs = [run(1, 4.0, None), run(2, 2.0, None), run(3, 1.0, None)];
        let named = SeedTable::new("verse", &runs, Some(Threshold::new("validation/return", 2.0)));
        let markdown = named.markdown();
        for row in [
            "| seed | drawdown | generalisation gap | wall seconds | updates until validation/return ≥ 2 | seconds until",
            "| 1 | 1.500 |  | 1.0 | 20 | 10.0 |",
            "| 2 | 1.500 | 0.250 | 1.0 | 20 | 10.0 |",
            "| 3 | 1.500 |  | 1.0 | never |  |",
        ] {
            assert!(markdown.contains(row), "{row} is missing in:\n{markdown}");
        }
        // Nine tenths of the way from 0 to 4.
        let table = SeedTable::new("verse", &runs, None);
        assert_eq!(table.threshold.as_ref().unwrap().value, 3.6);
        assert_eq!(table.learning.iter().filter(|seed| seed.learning.reached.is_some()).count(), 1);
    }
}
