//! How a run learned over time, from what it measured: how far it fell back, and when it was good enough.

use std::fmt;
use std::str::FromStr;

use dqn_score::statistics::{first_to_reach, maximum_drawdown};
use serde::Serialize;

use crate::report::Report;
use crate::run::metrics::Record;

/// The return on validation prompts, in the log of every run that evaluates while it trains.
pub const VALIDATION_RETURN: &str = "validation/return";
/// The return of training episodes, in the log of every run that acts.
pub const TRAINING_RETURN: &str = "train/return";

/// Which part of the way from the lowest first to the highest value the threshold is at that no one named. Nine tenths: the
/// last tenth of a learning curve is often noise around its end.
const DEFAULT_PART: f64 = 0.9;

/// A value of a measure at which a run is good enough.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// Name of the measure in the log.
    pub metric: String,
    /// The value.
    pub value: f64,
    /// Whether it is reached from below. Perplexities, losses and errors come down to theirs.
    pub is_higher_better: bool,
}

/// When a run reached a threshold, at the first evaluation that did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// Updates until then.
    pub updates: u64,
    /// Seconds of the run until then, over all the times it was resumed, evaluations included.
    pub wall_seconds: f64,
}

/// How a run learned over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Learning {
    /// The deepest fall of the return curve below the best return before it, see [`return_curve`]; absent where the run
    /// measured no return.
    pub drawdown: Option<f64>,
    /// Mean return on training prompts minus that on test prompts, as its final evaluation has it.
    pub generalisation_gap: Option<f64>,
    /// When it reached the threshold; absent where it did not.
    pub reached: Option<Reached>,
}

impl Threshold {
    /// The threshold `value` of the measure called `metric`.
    pub fn new(metric: &str, value: f64) -> Self {
        let is_lower_better = ["perplexity", "loss", "error"].iter().any(|part| metric.contains(part));
        Self { metric: metric.to_owned(), value, is_higher_better: !is_lower_better }
    }

    /// The threshold for runs for which no one named one: the return nine tenths of the way from the lowest first to the
    /// highest value of all runs, on validation prompts or, where a run has not measured that, of training episodes.
    ///
    /// Absent where there is no return that all have measured, or nothing to be learned between.
    pub fn default_for(runs: &[&[Record]]) -> Option<Self> {
        let metric = [VALIDATION_RETURN, TRAINING_RETURN]
            .into_iter()
            .find(|metric| runs.iter().all(|records| !curve(records, metric).is_empty()))?;
        let curves: Vec<Vec<f64>> = runs.iter().map(|records| values(records, metric)).collect();
        let low = curves.iter().filter_map(|curve| curve.first().copied()).reduce(f64::min)?;
        let high = curves.iter().flatten().copied().reduce(f64::max)?;
        (low < high).then(|| Self::new(metric, low + DEFAULT_PART * (high - low)))
    }

    /// When the run that made `records` first came to the threshold; nothing where it never did.
    pub fn reached(&self, records: &[Record]) -> Option<Reached> {
        let sign = if self.is_higher_better { 1.0 } else { -1.0 };
        let measured = curve(records, &self.metric);
        let places: Vec<(f64, f64)> = (0..).map(f64::from).zip(measured.iter().map(|point| sign * point.1)).collect();
        let place = first_to_reach(&places, sign * self.value)?;
        let record = measured[place as usize].0;
        Some(Reached { updates: record.update, wall_seconds: record.wall_seconds })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_higher_better { '≥' } else { '≤' };
        // Three decimals, as tables have, and no more than there are.
        let value = format!("{:.3}", self.value);
        write!(formatter, "{} {sign} {}", self.metric, value.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Threshold {
    type Err = String;

    /// Reads `METRIC=VALUE`.
    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "it must be the name of a measure in metrics.jsonl, = and a number".to_owned();
        let (metric, value) = text.split_once('=').ok_or_else(form)?;
        let value = value.trim().parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(form)?;
        match metric.trim() {
            "" => Err(form()),
            metric => Ok(Self::new(metric, value)),
        }
    }
}

impl Learning {
    /// What a run measured on the way and at its end, where it has come there, tells.
    pub fn of(records: &[Record], report: Option<&Report>, threshold: Option<&Threshold>) -> Self {
        Self {
            drawdown: return_curve(records).map(|curve| maximum_drawdown(&curve)),
            generalisation_gap: report.and_then(|report| report.generalisation_gap),
            reached: threshold.and_then(|threshold| threshold.reached(records)),
        }
    }
}

/// The returns of a run in order: on validation prompts or, where it has not measured them, of training episodes.
pub fn return_curve(records: &[Record]) -> Option<Vec<f64>> {
    [VALIDATION_RETURN, TRAINING_RETURN].iter().map(|metric| values(records, metric)).find(|values| !values.is_empty())
}

/// The finite values of a measure, each with its record.
fn curve<'a>(records: &'a [Record], metric: &str) -> Vec<(&'a Record, f64)> {
    let of = |record: &'a Record| Some((record, *record.scalars.get(metric).filter(|value| value.is_finite())?));
    records.iter().filter_map(of).collect()
}

fn values(records: &[Record], metric: &str) -> Vec<f64> {
    curve(records, metric).into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(metric: &str, values: &[f64]) -> Vec<Record> {
        let record = |(update, &value): (u64, &f64)| Record {
            update: 10 * update,
            step: 0,
            episode: 0,
            wall_seconds: update as f64 / 2.0,
            scalars: [(metric.to_owned(), value)].into(),
        };
        (1..).zip(values).map(record).collect()
    }

    #[test]
    fn thresholds_are_reached_at_an_evaluation() {
        let run = records("validation/bleu", &[1.0, f64::NAN, 4.0, 3.0, 6.0]);
        for (value, expected) in [(0.5, Some((10, 0.5))), (4.0, Some((30, 1.5))), (5.0, Some((50, 2.5))), (7.0, None)] {
            let found = Threshold::new("validation/bleu", value).reached(&run);
            assert_eq!(found.map(|found| (found.updates, found.wall_seconds)), expected, "{value}");
        }
        // Of a perplexity the lower is the better.
        let run = records("validation/policy_perplexity", &[9.0, 7.0, 5.0]);
        let found = Threshold::new("validation/policy_perplexity", 7.5).reached(&run);
        assert_eq!(found.map(|found| found.updates), Some(20));
        assert_eq!(Threshold::new("validation/return", 0.0).reached(&run), None);
    }

    #[test]
    fn the_default_is_nine_tenths_of_the_way_of_all_runs() {
        let (one, other) = (records(VALIDATION_RETURN, &[0.0, 3.0]), records(VALIDATION_RETURN, &[-2.0, 8.0, 1.0]));
        let found = Threshold::default_for(&[&one, &other]).unwrap();
        assert_eq!((found.metric.as_str(), found.value), (VALIDATION_RETURN, 7.0));
        // A measure that one of them lacks is no measure for both.
        let training = records(TRAINING_RETURN, &[0.0, 1.0]);
        assert_eq!(Threshold::default_for(&[&one, &training]), None);
        assert_eq!(Threshold::default_for(&[&training]).unwrap().value, 0.9);
        assert_eq!(Threshold::default_for(&[&records(VALIDATION_RETURN, &[1.0, 1.0])]), None);
    }

    #[test]
    fn falls_are_those_of_the_return_on_validation_prompts() {
        let mut run = records(VALIDATION_RETURN, &[1.0, 5.0, 3.0, 4.0, 2.5, 6.0]);
        run[0].scalars.insert(TRAINING_RETURN.to_owned(), 100.0);
        run[1].scalars.insert(TRAINING_RETURN.to_owned(), 0.0);
        let threshold = Threshold::new(VALIDATION_RETURN, 5.5);
        let found = Learning::of(&run, None, Some(&threshold));
        let reached = Some(Reached { updates: 60, wall_seconds: 3.0 });
        assert_eq!(found, Learning { drawdown: Some(2.5), generalisation_gap: None, reached });
        let of_training = records(TRAINING_RETURN, &[2.0, 1.0]);
        assert_eq!(Learning::of(&of_training, None, None), Learning { drawdown: Some(1.0), ..Learning::default() });
        assert_eq!(Learning::of(&records("learn/loss", &[1.0]), None, None), Learning::default());
    }

    #[test]
    fn thresholds_are_written_as_a_name_and_a_number() {
        let threshold: Threshold = "validation/return=0.5".parse().unwrap();
        assert_eq!(threshold, Threshold { metric: "validation/return".into(), value: 0.5, is_higher_better: true });
        assert_eq!(threshold.to_string(), "validation/return ≥ 0.5");
        assert_eq!(Threshold::new("learn/loss", 20.0).to_string(), "learn/loss ≤ 20");
        assert!(!"learn/loss=1".parse::<Threshold>().unwrap().is_higher_better);
        for text in ["validation/return", "=1", "a=x", "a=inf", "a="] {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
    }
}
