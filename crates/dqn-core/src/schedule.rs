//! Quantities that change while a run goes on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far a run has come, in each of the units a schedule may count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Actions taken in the environment while training.
    pub steps: u64,
    /// Parameter updates.
    pub updates: u64,
    /// Finished training episodes.
    pub episodes: u64,
}

/// A length of time in a run, in a stated unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Span {
    /// So many actions in the environment.
    Steps(#[schemars(range(min = 1))] u64),
    /// So many parameter updates.
    Updates(#[schemars(range(min = 1))] u64),
    /// So many finished training episodes.
    Episodes(#[schemars(range(min = 1))] u64),
}

impl Span {
    /// Which part of this span has passed, from 0 to 1.
    pub fn passed_fraction(self, progress: Progress) -> f64 {
        let (passed, whole) = match self {
            Span::Steps(whole) => (progress.steps, whole),
            Span::Updates(whole) => (progress.updates, whole),
            Span::Episodes(whole) => (progress.episodes, whole),
        };
        (passed as f64 / whole as f64).min(1.0)
    }
}

/// A number as a function of progress.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Always the same.
    Constant {
        /// The value.
        value: f64,
    },
    /// From `start` to `end` in a straight line, then `end`.
    Linear {
        /// Value at the beginning.
        start: f64,
        /// Value from the end of the span on.
        end: f64,
        /// How long the change takes, for example `{ updates = 10000 }`.
        over: Span,
    },
    /// From `start` to `end` by a constant factor, then `end`; both must be above 0.
    Exponential {
        /// Value at the beginning, above 0.
        #[schemars(range(min = 1e-12))]
        start: f64,
        /// Value from the end of the span on, above 0.
        #[schemars(range(min = 1e-12))]
        end: f64,
        /// How long the change takes, for example `{ episodes = 200 }`.
        over: Span,
    },
    /// From `start` to `end` along half a cosine, then `end` (Loshchilov and Hutter 2017, eq. 5, without restarts).
    Cosine {
        /// Value at the beginning.
        start: f64,
        /// Value from the end of the span on.
        end: f64,
        /// How long the change takes.
        over: Span,
    },
    /// From 0 up to `peak` in a straight line, then down to `end` along half a cosine (Vaswani et al. 2017 warm up so).
    WarmUp {
        /// Value at the end of the rise.
        peak: f64,
        /// Value from the end of the span on.
        end: f64,
        /// How long rise and fall take together.
        over: Span,
        /// Share of the span that the rise takes, above 0 and below 1.
        #[schemars(range(min = 1e-6, max = 0.999999))]
        rise: f64,
    },
}

/// From `start` at `fraction` 0 to `end` at 1 along half a cosine.
fn cosine(start: f64, end: f64, fraction: f64) -> f64 {
    end + (start - end) * (1.0 + (std::f64::consts::PI * fraction).cos()) / 2.0
}

impl Schedule {
    /// The value at this point of the run.
    ///
    /// ```text
    /// linear:       start + (end - start) * f
    /// exponential:  start * (end / start)^f        f = passed fraction of the span
    /// cosine:       end + (start - end) * (1 + cos(pi f)) / 2
    /// warm_up:      peak * f / rise while f < rise, then the cosine from peak to end over the rest
    /// ```
    pub fn value(&self, progress: Progress) -> f64 {
        match *self {
            Schedule::Constant { value } => value,
            Schedule::Linear { start, end, over } => start + (end - start) * over.passed_fraction(progress),
            Schedule::Exponential { start, end, over } => start * (end / start).powf(over.passed_fraction(progress)),
            Schedule::Cosine { start, end, over } => cosine(start, end, over.passed_fraction(progress)),
            Schedule::WarmUp { peak, end, over, rise } => match over.passed_fraction(progress) {
                fraction if fraction < rise => peak * fraction / rise,
                fraction => cosine(peak, end, (fraction - rise) / (1.0 - rise)),
            },
        }
    }

    /// The smallest and the largest value the schedule takes.
    pub fn bounds(&self) -> (f64, f64) {
        match *self {
            Schedule::Constant { value } => (value, value),
            Schedule::Linear { start, end, .. }
            | Schedule::Exponential { start, end, .. }
            | Schedule::Cosine { start, end, .. } => (start.min(end), start.max(end)),
            Schedule::WarmUp { peak, end, .. } => (peak.min(end).min(0.0), peak.max(end).max(0.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_schedule_reads_the_unit_it_names() {
        let progress = Progress { steps: 50, updates: 20, episodes: 5 };
        let linear = |over| Schedule::Linear { start: 1.0, end: 0.0, over }.value(progress);
        assert_eq!(linear(Span::Steps(100)), 0.5);
        assert_eq!(linear(Span::Updates(100)), 0.8);
        assert_eq!(linear(Span::Episodes(5)), 0.0);
        assert_eq!(linear(Span::Episodes(2)), 0.0);
    }

    #[test]
    fn cosine_and_warm_up_by_hand() {
        let at = |schedule: Schedule, steps| schedule.value(Progress { steps, ..Progress::default() });
        let cosine = Schedule::Cosine { start: 3.0, end: 1.0, over: Span::Steps(100) };
        for (steps, expected) in [(0, 3.0), (25, 2.0 + 0.5_f64.sqrt()), (50, 2.0), (100, 1.0), (200, 1.0)] {
            assert!((at(cosine, steps) - expected).abs() < 1e-12, "cosine at {steps}: {}", at(cosine, steps));
        }
        let warm_up = Schedule::WarmUp { peak: 4.0, end: 2.0, over: Span::Steps(100), rise: 0.2 };
        for (steps, expected) in [(0, 0.0), (10, 2.0), (20, 4.0), (60, 3.0), (100, 2.0), (101, 2.0)] {
            assert!((at(warm_up, steps) - expected).abs() < 1e-12, "warm-up at {steps}: {}", at(warm_up, steps));
        }
        assert_eq!(warm_up.bounds(), (0.0, 4.0));
    }

    #[test]
    fn exponential_passes_through_the_geometric_mean() {
        let schedule = Schedule::Exponential { start: 1.0, end: 0.01, over: Span::Steps(10) };
        let at = |steps| schedule.value(Progress { steps, ..Progress::default() });
        for (steps, expected) in [(0, 1.0), (5, 0.1), (10, 0.01), (20, 0.01)] {
            assert!((at(steps) - expected).abs() < 1e-12, "at {steps}: {}", at(steps));
        }
        assert_eq!(schedule.bounds(), (0.01, 1.0));
    }
}
