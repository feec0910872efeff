//! Methods beside each other: on the same task, data, seeds and evaluation, and beside what others published.

use std::fmt::Write as _;
use std::path::PathBuf;

use dqn_text::split::Split;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evaluation::Evaluation;
use crate::report::Report;
use crate::stats::{Interval, bootstrap_mean};

/// What a leaderboard compares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaderboardConfig {
    /// Heading.
    pub title: String,
    /// What a reader must know of the rows.
    #[serde(default)]
    pub text: Option<String>,
    /// Seeds of the runs: each draws data, initial parameters and exploration anew, the same for every method.
    #[schemars(length(min = 1))]
    pub seeds: Vec<u64>,
    /// What is compared.
    #[serde(default)]
    pub measure: Measure,
    /// What 0 and 1 of the normalised score are. Leave it out for no such column.
    #[serde(default)]
    pub scale: Option<Scale>,
    /// The methods, in the order of their rows.
    #[schemars(length(min = 1))]
    pub methods: Vec<Method>,
    /// What others published of the same task.
    #[serde(default)]
    pub published: Vec<Published>,
}

/// What of an episode is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The return.
    #[default]
    Return,
    /// What the game itself says of an episode, such as the optimality of a walk.
    Score,
}

/// The ends of the normalised score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// The value that counts 0.
    pub zero: f64,
    /// The value that counts 1.
    pub one: f64,
}

/// One method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// Name of the row.
    pub name: String,
    /// The experiment file; a relative path starts at the leaderboard file.
    pub config: PathBuf,
    /// Changes to it, as `--set` takes them.
    #[serde(default)]
    pub set: Vec<String>,
}

/// A figure that others published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Name of the row.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Where it stands.
    pub source: String,
}

/// A finished run, as far as a leaderboard reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Its seed.
    pub seed: u64,
    /// What it is worth.
    pub report: Report,
    /// Seconds of training and of the evaluations in between.
    pub wall_seconds: f64,
    /// Mean returns of the evaluations on the way, in their order.
    pub on_the_way: Vec<f64>,
    /// Returns of the logged episodes; empty without a log.
    pub behavior_returns: Vec<f64>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The method, player or publication.
    pub name: String,
    /// What kind of row it is.
    pub kind: RowKind,
    /// Mean over seeds with its 95 % bootstrap interval; over episodes where nothing is learned; without an interval where
    /// others published it.
    pub value: Interval,
    /// The value of each seed, in the order of the seeds; empty where nothing is learned.
    pub by_seed: Vec<f64>,
    /// The worst of the last three evaluations of all seeds.
    pub worst_of_last_three: Option<f64>,
    /// The value on the scale.
    pub normalised: Option<f64>,
    /// Share of the logged episodes that returned less; over all seeds.
    pub data_beaten: Option<f64>,
    /// Mean seconds of a run.
    pub wall_seconds: Option<f64>,
    /// Where the figure stands.
    pub source: Option<String>,
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// A player that learns nothing, or the data.
    Baseline,
    /// A method, trained here.
    Learned,
    /// A figure of others.
    Published,
}

/// A table of methods.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leaderboard {
    /// Heading.
    pub title: String,
    /// What a reader must know.
    pub text: Option<String>,
    /// Seeds of the runs.
    pub seeds: Vec<u64>,
    /// The rows: what learns nothing, what was learned, what was published.
    pub rows: Vec<Row>,
}

impl LeaderboardConfig {
    /// The leaderboard of finished runs, for each method those of all seeds.
    ///
    /// # Panics
    /// When a method has no run, or a run no evaluation.
    pub fn leaderboard(&self, runs: &[Vec<Finished>]) -> Leaderboard {
        assert_eq!(runs.len(), self.methods.len(), "runs of every method");
        let mut rows = self.baselines(runs);
        rows.extend(self.methods.iter().zip(runs).map(|(method, runs)| self.learned(&method.name, runs)));
        rows.extend(self.published.iter().map(|published| Row {
            value: Interval { mean: published.value, low: published.value, high: published.value },
            source: Some(published.source.clone()),
            ..self.row(&published.name, RowKind::Published, published.value)
        }));
        Leaderboard { title: self.title.clone(), text: self.text.clone(), seeds: self.seeds.clone(), rows }
    }

    /// Scripted players and data, from the first run that has each.
    fn baselines(&self, runs: &[Vec<Finished>]) -> Vec<Row> {
        let all = || runs.iter().flatten();
        let known = ["random player", "uniform random", "behavior data", "skilled player", "expert player"];
        let row = |name: &&str| {
            let found = all().find_map(|run| {
                let evaluation = run.report.rows.iter().find(|row| row.policy == *name)?;
                Some((evaluation, self.measured(evaluation)?))
            });
            found.map(|(evaluation, mean)| {
                let value = match self.measure {
                    Measure::Return => evaluation.episode_return,
                    Measure::Score => Interval { mean, low: mean, high: mean },
                };
                let learned = all().flat_map(|run| &run.behavior_returns).copied();
                let is_return = self.measure == Measure::Return;
                Row {
                    value,
                    data_beaten: is_return.then(|| beaten(&learned.collect::<Vec<_>>(), mean)).flatten(),
                    ..self.row(name, RowKind::Baseline, mean)
                }
            })
        };
        known.iter().filter_map(row).collect()
    }

    fn learned(&self, name: &str, runs: &[Finished]) -> Row {
        let value = |run: &Finished| {
            let learned = learned_row(&run.report).expect("a finished run has evaluated what it learned");
            self.measured(learned).unwrap_or(learned.episode_return.mean)
        };
        let by_seed: Vec<f64> = runs.iter().map(value).collect();
        let interval = bootstrap_mean(&by_seed, 0);
        let last = runs.iter().flat_map(|run| run.on_the_way.iter().rev().take(3)).copied();
        let is_return = self.measure == Measure::Return;
        let data_beaten = |run: &Finished| beaten(&run.behavior_returns, value(run));
        let shares: Vec<f64> = runs.iter().filter(|_| is_return).filter_map(data_beaten).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        Row {
            value: interval,
            by_seed,
            worst_of_last_three: is_return.then(|| last.reduce(f64::min)).flatten(),
            data_beaten: (!shares.is_empty()).then(|| mean(&shares)),
            wall_seconds: Some(mean(&runs.iter().map(|run| run.wall_seconds).collect::<Vec<_>>())),
            ..self.row(name, RowKind::Learned, interval.mean)
        }
    }

    fn row(&self, name: &str, kind: RowKind, value: f64) -> Row {
        Row {
            name: name.to_owned(),
            kind,
            value: Interval { mean: value, low: value, high: value },
            by_seed: Vec::new(),
            worst_of_last_three: None,
            normalised: self.scale.map(|Scale { zero, one }| (value - zero) / (one - zero)),
            data_beaten: None,
            wall_seconds: None,
            source: None,
        }
    }

    fn measured(&self, evaluation: &Evaluation) -> Option<f64> {
        match self.measure {
            Measure::Return => Some(evaluation.episode_return.mean),
            Measure::Score => evaluation.score,
        }
    }
}

/// The row of what was learned, as it acts, on the last split: the one that every other is compared with.
fn learned_row(report: &Report) -> Option<&Evaluation> {
    let last = report.rows.last()?.split;
    let of_last = |row: &&Evaluation| row.split == last || (last == Split::Judge);
    let name = report.learned.first()?;
    report.rows.iter().filter(of_last).find(|row| row.policy == *name)
}

/// Share of `returns` below `value`.
fn beaten(returns: &[f64], value: f64) -> Option<f64> {
    let n_below = returns.iter().filter(|&&found| found < value).count();
    (!returns.is_empty()).then(|| n_below as f64 / returns.len() as f64)
}

impl Leaderboard {
    /// The table as Markdown.
    pub fn markdown(&self, command: &str) -> String {
        let mut page = format!("# {}\n\n", self.title);
        if let Some(text) = &self.text {
            let _ = writeln!(page, "{}\n", text.trim());
        }
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let _ = writeln!(page, "Seeds {}. Made by `{command}`.\n", seeds.join(", "));
        page += "| method | mean [95 % interval] | worst seed | worst of the last three evaluations | normalised | data beaten | seconds a run | source |\n";
        page += "|---|---:|---:|---:|---:|---:|---:|---|\n";
        for row in &self.rows {
            let number =
                |value: Option<f64>, digits: usize| value.map_or_else(String::new, |value| format!("{value:.digits$}"));
            let value = match row.kind {
                RowKind::Published => format!("{:.3}", row.value.mean),
                _ if row.value.low == row.value.high => format!("{:.3}", row.value.mean),
                _ => format!("{:.3} [{:.3}, {:.3}]", row.value.mean, row.value.low, row.value.high),
            };
            let beaten = row.data_beaten.map_or_else(String::new, |share| format!("{:.1} %", 100.0 * share));
            let worst = row.by_seed.iter().copied().reduce(f64::min);
            let source = match (row.kind, &row.source) {
                (_, Some(source)) => format!("published: {source}"),
                (RowKind::Baseline, None) => "measured here, nothing learned".to_owned(),
                (RowKind::Learned | RowKind::Published, None) => String::new(),
            };
            let _ = writeln!(
                page,
                "| {} | {value} | {} | {} | {} | {beaten} | {} | {source} |",
                row.name,
                number(worst, 3),
                number(row.worst_of_last_three, 3),
                number(row.normalised, 3),
                number(row.wall_seconds, 1),
            );
        }
        page
    }

    /// The values as bars with their intervals.
    pub fn svg(&self) -> String {
        const LEFT: f64 = 240.0;
        const WIDTH: f64 = 420.0;
        const LINE: f64 = 26.0;
        let low = self.rows.iter().map(|row| row.value.low).fold(f64::INFINITY, f64::min).min(0.0);
        let high = self.rows.iter().map(|row| row.value.high).fold(f64::NEG_INFINITY, f64::max).max(0.0);
        let span = if high > low { high - low } else { 1.0 };
        let x = |value: f64| LEFT + (value - low) / span * WIDTH;
        let height = 40.0 + LINE * self.rows.len() as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <title>{title}</title>\n<rect width=\"760\" height=\"{height}\" fill=\"white\"/>\n\
             <text x=\"12\" y=\"22\" font-weight=\"bold\">{title}</text>\n",
            title = escaped(&self.title)
        );
        for (index, row) in self.rows.iter().enumerate() {
            let y = 36.0 + LINE * index as f64;
            let colour = match row.kind {
                RowKind::Baseline => "#b8b8b8",
                RowKind::Learned => "#2f6db5",
                RowKind::Published => "#d9a441",
            };
            let (from, to) = (x(row.value.mean.min(0.0)), x(row.value.mean.max(0.0)));
            let middle = y + LINE / 2.0;
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
                 <rect x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"{}\">{:.3}</text>",
                LEFT - 10.0,
                middle + 4.0,
                escaped(&row.name),
                y + 4.0,
                (to - from).max(1.0),
                LINE - 8.0,
                LEFT + WIDTH + 14.0,
                middle + 4.0,
                row.value.mean,
            );
            if row.value.high > row.value.low {
                let (low, high) = (x(row.value.low), x(row.value.high));
                let _ = writeln!(
                    svg,
                    "<path d=\"M{low:.1} {middle}H{high:.1}M{low:.1} {top}V{bottom}M{high:.1} {top}V{bottom}\" stroke=\"black\" fill=\"none\"/>",
                    top = middle - 4.0,
                    bottom = middle + 4.0,
                );
            }
        }
        svg += "</svg>\n";
        svg
    }
}

/// Text as it may stand in XML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use dqn_core::Progress;

    use super::*;

    fn evaluation(policy: &str, mean: f64) -> Evaluation {
        let value = serde_json::json!({
            "policy": policy, "split": "train", "terms": {}, "n_steps": 3.0, "n_episodes": 4, "seed": 0,
            "episode_return": { "mean": mean, "low": mean - 1.0, "high": mean + 1.0 },
        });
        serde_json::from_value(value).unwrap()
    }

    fn finished(seed: u64, learned: f64, behavior_returns: Vec<f64>) -> Finished {
        let rows = vec![evaluation("random player", -80.0), evaluation("ILQL, beta 16", learned)];
        let report = Report {
            rows,
            learned: vec!["ILQL, beta 16".to_owned()],
            generalisation_gap: None,
            fitted_temperature: None,
            samples: Vec::new(),
            progress: Progress::default(),
        };
        let on_the_way = vec![-90.0, learned - 2.0, learned - 1.0, learned];
        Finished { seed, report, wall_seconds: 10.0 * seed as f64, on_the_way, behavior_returns }
    }

    fn config() -> LeaderboardConfig {
        let text = r#"
            title = "A <maze>"
            seeds = [1, 2]
            scale = { zero = -80.0, one = 0.0 }
            methods = [{ name = "ILQL", config = "ilql.toml" }]
            published = [{ name = "ILQL of others", value = -7.0, source = "table 1" }]
        "#;
        toml::from_str(text).unwrap()
    }

    #[test]
    fn rows_are_what_a_person_computes() {
        let runs = vec![vec![finished(1, -8.0, vec![-90.0, -70.0, -8.0, -2.0]), finished(2, -12.0, vec![-90.0, -2.0])]];
        let board = config().leaderboard(&runs);
        let names: Vec<&str> = board.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["random player", "ILQL", "ILQL of others"]);
        let learned = &board.rows[1];
        assert_eq!((learned.value.mean, learned.by_seed.clone()), (-10.0, vec![-8.0, -12.0]));
        assert_eq!((learned.value.low, learned.value.high), (-12.0, -8.0));
        assert_eq!(learned.worst_of_last_three, Some(-14.0));
        assert_eq!(learned.normalised, Some(0.875));
        // Half of the first log lies below -8, half of the second below -12.
        assert_eq!(learned.data_beaten, Some(0.5));
        assert_eq!(learned.wall_seconds, Some(15.0));
        assert_eq!(board.rows[0].normalised, Some(0.0));
        let page = board.markdown("dqn-cli leaderboard");
        assert!(
            page.contains("| ILQL | -10.000 [-12.000, -8.000] | -12.000 | -14.000 | 0.875 | 50.0 % | 15.0 |  |"),
            "{page}"
        );
        assert!(page.contains("| ILQL of others | -7.000 |  |  | 0.912 |  |  | published: table 1 |"), "{page}");
        let svg = board.svg();
        assert!(svg.contains("A &lt;maze&gt;") && svg.matches("<rect").count() == 4, "{svg}");
    }
}
