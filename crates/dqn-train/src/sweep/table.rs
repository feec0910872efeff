//! What a search has found, as a table and a picture.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Goal, ParameterRange, Rung, Settings, SweepConfig, shown};
use crate::evaluation_metric::EvaluationMetric;
use crate::leaderboard::escaped;
use crate::stats::{Interval, bootstrap_mean};

/// How far one trial has come.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrialResult {
    /// Its number, from 1.
    pub number: usize,
    /// Its settings.
    pub settings: Settings,
    /// The last rung that it was measured at, counted from 0.
    pub rung: usize,
    /// Updates by then, of the first seed; absent where it was measured at no rung.
    pub updates: Option<u64>,
    /// The metric of each seed there, in the order of the seeds; empty where it was measured at no rung.
    pub by_seed: Vec<f64>,
    /// Why it did not go on, where a run of it failed.
    pub failure: Option<String>,
}

impl TrialResult {
    /// Mean over the seeds with its 95 % bootstrap interval.
    pub fn value(&self) -> Option<Interval> {
        (!self.by_seed.is_empty()).then(|| bootstrap_mean(&self.by_seed, 0))
    }

    fn utility(&self, goal: Goal) -> f64 {
        self.value().map_or(f64::NEG_INFINITY, |value| goal.utility(value.mean))
    }
}

/// A search and its trials.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepTable {
    /// Name of the sweep.
    pub name: String,
    /// What trials are compared by, on validation prompts.
    pub metric: EvaluationMetric,
    /// Which end of it is the better one.
    pub goal: Goal,
    /// Seeds of every trial.
    pub seeds: Vec<u64>,
    /// The stages of the search.
    pub rungs: Vec<Rung>,
    /// The trials: those that came farther first, of those the better ones first, and those that failed last.
    pub trials: Vec<TrialResult>,
}

/// Puts trials in the order of their places; equals keep the order of their numbers.
pub(super) fn rank(trials: &mut [TrialResult], goal: Goal) {
    trials.sort_by(|one, other| {
        let by_failure = one.failure.is_some().cmp(&other.failure.is_some());
        let by_rung = other.rung.cmp(&one.rung);
        let by_value = other.utility(goal).total_cmp(&one.utility(goal));
        by_failure.then(by_rung).then(by_value).then(one.number.cmp(&other.number))
    });
}

impl SweepTable {
    /// The table of the `trials` of a sweep.
    pub fn new(name: &str, config: &SweepConfig, rungs: Vec<Rung>, mut trials: Vec<TrialResult>) -> Self {
        rank(&mut trials, config.goal);
        let (metric, goal, seeds) = (config.metric, config.goal, config.seeds.clone());
        Self { name: name.to_owned(), metric, goal, seeds, rungs, trials }
    }

    /// The numbers of the trials that go on from `rung` to the next: the best of those that came there.
    pub fn survivors(config: &SweepConfig, rungs: &[Rung], rung: usize, trials: &[TrialResult]) -> Vec<usize> {
        let Some(next) = rungs.get(rung + 1) else { return Vec::new() };
        let mut there: Vec<TrialResult> =
            trials.iter().filter(|trial| trial.rung == rung && trial.failure.is_none()).cloned().collect();
        rank(&mut there, config.goal);
        let mut numbers: Vec<usize> = there.iter().take(next.n_trials).map(|trial| trial.number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// The best trial, where one did not fail.
    pub fn best(&self) -> Option<&TrialResult> {
        self.trials.first().filter(|trial| trial.failure.is_none() && !trial.by_seed.is_empty())
    }

    /// The table as Markdown; `best` are the best settings in words, where there are any.
    pub fn markdown(&self, command: &str, best: Option<&str>) -> String {
        let goal = match self.goal {
            Goal::Maximize => "the higher the better",
            Goal::Minimize => "the lower the better",
        };
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let mut page = format!(
            "# Sweep {}\n\n`{}` on validation prompts, {goal}; seeds {}. Made by `{command}`.\n\n",
            self.name,
            self.metric,
            seeds.join(", ")
        );
        if self.rungs.len() > 1 {
            let rung = |rung: &Rung| match rung.until_updates {
                Some(updates) => format!("{} to {updates} updates", rung.n_trials),
                None => format!("{} to the end", rung.n_trials),
            };
            let rungs: Vec<String> = self.rungs.iter().map(rung).collect();
            let _ = writeln!(page, "Trials: {}. Those of different updates do not compare.\n", rungs.join(", "));
        }
        let keys: Vec<&String> = self.trials.first().map(|trial| trial.settings.keys().collect()).unwrap_or_default();
        page += "| trial | mean [95 % interval] | worst seed | updates |";
        keys.iter().for_each(|key| {
            let _ = write!(page, " {key} |");
        });
        page += "\n|---:|---:|---:|---:|";
        page += &"---:|".repeat(keys.len());
        page.push('\n');
        for trial in &self.trials {
            let value = trial.value().map_or_else(String::new, |Interval { mean, low, high }| match low == high {
                true => format!("{mean:.4}"),
                false => format!("{mean:.4} [{low:.4}, {high:.4}]"),
            });
            let worst = trial.by_seed.iter().copied();
            let worst = worst.min_by(|&one, &other| self.goal.utility(one).total_cmp(&self.goal.utility(other)));
            let worst = worst.map_or_else(String::new, |value| format!("{value:.4}"));
            let updates = trial.updates.map_or_else(String::new, |updates| updates.to_string());
            let value = if trial.failure.is_some() { format!("failed {value}") } else { value };
            let _ = write!(page, "| {} | {} | {worst} | {updates} |", trial.number, value.trim_end());
            for key in &keys {
                let _ = write!(page, " {} |", trial.settings.get(*key).map(shown).unwrap_or_default());
            }
            page.push('\n');
        }
        let failures = self.trials.iter().filter_map(|trial| Some((trial.number, trial.failure.as_ref()?)));
        let failures: Vec<String> = failures
            .map(|(number, message)| {
                let lines: Vec<&str> = message.lines().map(str::trim).collect();
                format!("- trial {number} failed: {}\n", lines.join(" "))
            })
            .collect();
        if !failures.is_empty() {
            let _ = write!(page, "\n{}", failures.concat());
        }
        if let Some(best) = best {
            let _ = writeln!(page, "\n{best}");
        }
        page
    }

    /// The metric against each searched setting, one panel a setting, one point a trial; those that came less far are
    /// fainter, the best is orange.
    pub fn svg(&self, config: &SweepConfig) -> String {
        const PANEL: [f64; 2] = [300.0, 220.0];
        const N_COLUMNS: usize = 3;
        let measured: Vec<(&TrialResult, f64)> = self
            .trials
            .iter()
            .filter_map(|trial| Some((trial, trial.value()?.mean)).filter(|(_, value)| value.is_finite()))
            .collect();
        let best = self.best().map(|trial| trial.number);
        let low = measured.iter().map(|&(_, value)| value).fold(f64::INFINITY, f64::min);
        let high = measured.iter().map(|&(_, value)| value).fold(f64::NEG_INFINITY, f64::max);
        let n_panels = config.space.len();
        let (n_columns, n_rows) = (n_panels.min(N_COLUMNS), n_panels.div_ceil(N_COLUMNS));
        let (width, height) = (PANEL[0] * n_columns as f64 + 20.0, PANEL[1] * n_rows as f64 + 36.0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <title>{name}</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
             <text x=\"12\" y=\"22\" font-size=\"13\" font-weight=\"bold\">{name}: {metric} on validation prompts</text>\n",
            name = escaped(&self.name),
            metric = self.metric,
        );
        for (index, (key, range)) in config.space.iter().enumerate() {
            let (left, top) =
                (PANEL[0] * (index % N_COLUMNS) as f64 + 60.0, PANEL[1] * (index / N_COLUMNS) as f64 + 46.0);
            let (right, bottom) = (left + PANEL[0] - 70.0, top + PANEL[1] - 60.0);
            let x = |share: f64| left + 8.0 + share * (right - left - 16.0);
            let y = |value: f64| bottom - 8.0 - place(value, low, high) * (bottom - top - 16.0);
            let _ = writeln!(
                svg,
                "<path d=\"M{left} {top}V{bottom}H{right}\" stroke=\"#888\" fill=\"none\"/>\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                (left + right) / 2.0,
                bottom + 30.0,
                escaped(key)
            );
            if low <= high {
                for value in if low < high { vec![low, high] } else { vec![low] } {
                    let (x, y) = (left - 6.0, y(value) + 4.0);
                    let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{value:.3}</text>");
                }
            }
            for (share, label) in ticks(range) {
                let (x, y) = (x(share), bottom + 14.0);
                let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", escaped(&label));
            }
            // The better ones lie on top.
            for (trial, value) in measured.iter().rev() {
                let Some(share) = trial.settings.get(key).and_then(|value| share(range, value)) else { continue };
                let colour = if Some(trial.number) == best { "#d9822b" } else { "#2f6db5" };
                let opacity = (trial.rung + 1) as f64 / self.rungs.len() as f64;
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\" fill-opacity=\"{opacity:.2}\"/>",
                    x(share),
                    y(*value)
                );
            }
        }
        svg += "</svg>\n";
        svg
    }
}

/// Where a value lies between two ends, from 0 to 1; in the middle where the ends are equal.
fn place(value: f64, low: f64, high: f64) -> f64 {
    if high > low { (value - low) / (high - low) } else { 0.5 }
}

/// Where a value lies in its range, from 0 to 1: on the scale it was drawn on, or by its number among those listed.
fn share(range: &ParameterRange, value: &serde_json::Value) -> Option<f64> {
    Some(match range {
        ParameterRange::Values(values) => {
            let index = values.iter().position(|listed| listed == value)?;
            place(index as f64, 0.0, values.len() as f64 - 1.0)
        }
        ParameterRange::Uniform([low, high]) => place(value.as_f64()?, *low, *high),
        ParameterRange::LogUniform([low, high]) => place(value.as_f64()?.ln(), low.ln(), high.ln()),
        ParameterRange::IntUniform([low, high]) => place(value.as_f64()?, *low as f64, *high as f64),
    })
}

/// The labels of an axis and their places on it.
fn ticks(range: &ParameterRange) -> Vec<(f64, String)> {
    const MAX_CHARACTERS: usize = 12;
    let label = |value: &serde_json::Value| {
        let text = match value.get("kind").and_then(serde_json::Value::as_str) {
            Some(kind) => kind.to_owned(),
            None => shown(value).trim_matches('"').to_owned(),
        };
        text.chars().take(MAX_CHARACTERS).collect()
    };
    range.probes().iter().filter_map(|value| Some((share(range, value)?, label(value)))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(goal: &str) -> SweepConfig {
        let text = format!(
            "experiment = \"a.toml\"\nseeds = [1, 2]\nmetric = \"return\"\ngoal = \"{goal}\"\n\
             search = {{ kind = \"successive_halving\", n_trials = 4, factor = 2, first_updates = 5 }}\n\
             [space]\n\"a.rate\" = {{ log_uniform = [1e-4, 1e-2] }}\n\
             \"b\" = {{ values = [{{ kind = \"max\" }}, {{ kind = \"double\" }}] }}\n"
        );
        SweepConfig::from_toml(&text, "test").unwrap()
    }

    fn trial(number: usize, rung: usize, by_seed: &[f64], failure: Option<&str>) -> TrialResult {
        TrialResult {
            number,
            settings: Settings::from([
                ("a.rate".to_owned(), json!(0.001)),
                ("b".to_owned(), json!({ "kind": "double" })),
            ]),
            rung,
            updates: (!by_seed.is_empty()).then_some(5 << rung),
            by_seed: by_seed.to_vec(),
            failure: failure.map(str::to_owned),
        }
    }

    fn table(goal: &str) -> SweepTable {
        let config = config(goal);
        let trials = vec![
            trial(1, 0, &[9.0, 9.0], None),
            trial(2, 1, &[1.0, 3.0], None),
            trial(3, 0, &[], Some("width 3:\n  not even")),
            trial(4, 1, &[2.0, 2.5], None),
        ];
        SweepTable::new("a < b", &config, config.rungs(10), trials)
    }

    #[test]
    fn trials_that_came_farther_and_are_better_come_first() {
        let numbers = |table: &SweepTable| table.trials.iter().map(|trial| trial.number).collect::<Vec<_>>();
        assert_eq!(numbers(&table("maximize")), [4, 2, 1, 3]);
        assert_eq!(numbers(&table("minimize")), [2, 4, 1, 3]);
        assert_eq!(table("maximize").best().map(|trial| trial.number), Some(4));
        let config = config("maximize");
        let failed = SweepTable::new("a", &config, config.rungs(10), vec![trial(1, 0, &[], Some("why"))]);
        assert_eq!(failed.best(), None);
    }

    #[test]
    fn the_better_half_goes_on_and_equals_by_their_numbers() {
        let rungs = [4, 2].map(|n_trials| Rung { n_trials, until_updates: Some(5) });
        let trials = [
            trial(1, 0, &[1.0, f64::NAN], None),
            trial(2, 0, &[3.0, 1.0], None),
            trial(3, 0, &[2.0, 2.0], None),
            trial(4, 0, &[2.0, 2.0], None),
        ];
        assert_eq!(SweepTable::survivors(&config("maximize"), &rungs, 0, &trials), [2, 3]);
        assert!(SweepTable::survivors(&config("maximize"), &rungs, 1, &trials).is_empty());
        let failed = [trial(1, 0, &[9.0, 9.0], Some("why")), trial(2, 0, &[1.0, 1.0], None)];
        assert_eq!(SweepTable::survivors(&config("maximize"), &rungs, 0, &failed), [2]);
    }

    #[test]
    fn the_page_tells_values_settings_and_failures() {
        let page = table("maximize").markdown("dqn-cli sweep", Some("Best: trial 4"));
        for part in [
            "`return` on validation prompts, the higher the better; seeds 1, 2. Made by `dqn-cli sweep`.",
            "Trials: 4 to 5 updates, 2 to the end.",
            "| trial | mean [95 % interval] | worst seed | updates | a.rate | b |\n",
            "| 4 | 2.2500 [2.0000, 2.5000] | 2.0000 | 10 | 0.001 | { kind = \"double\" } |\n| 2 | 2.0000 [",
            "| 1 | 9.0000 | 9.0000 | 5 |",
            "| 3 | failed |  |  |",
            "- trial 3 failed: width 3: not even\n",
        ] {
            assert!(page.contains(part), "{part:?} is missing in:\n{page}");
        }
        assert!(page.ends_with("\nBest: trial 4\n"), "{page}");
    }

    #[test]
    fn the_picture_has_a_panel_for_each_setting_and_a_point_for_each_trial() {
        let table = table("maximize");
        let svg = table.svg(&config("maximize"));
        assert!(svg.contains("a &lt; b") && svg.contains(">double</text>"), "{svg}");
        // Two panels of the three trials that were measured; the best one is orange.
        assert_eq!((svg.matches("<circle").count(), svg.matches("#d9822b").count()), (6, 2));
        // A rate of 1e-3 lies in the middle of 1e-4 to 1e-2.
        assert!((share(&ParameterRange::LogUniform([1e-4, 1e-2]), &json!(1e-3)).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(share(&ParameterRange::Values(vec![json!(1), json!(3), json!(9)]), &json!(3)), Some(0.5));
        assert_eq!(place(2.0, 2.0, 2.0), 0.5);
    }
}
