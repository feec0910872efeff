//! What is shown of a run, in words and curves.

use std::time::{Duration, SystemTime};

use dqn_report::curve::Point;
use dqn_report::live::{LiveRun, Mark, RunState, Unit};
use dqn_report::{count, duration, number};
use dqn_train::stats::Interval;

/// The curves that come first, by their names in the log.
const FIRST_CURVES: [(&str, &str); 4] = [
    ("train/return", "Training return"),
    ("validation/return", "Validation return"),
    ("learn/loss", "Loss"),
    (EXPLORATION, "Exploration"),
];
const EXPLORATION: &str = "explore/value";
const VALIDATION_RETURN: &str = "validation/return";
const REWARD: &str = "reward/";
const SPEED: &str = "speed/";

/// What stands where nothing was measured.
const NOTHING: &str = "nothing measured yet";

/// Everything that is shown of a run at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct View<'a> {
    /// Experiment, seed and backend.
    pub(crate) title: String,
    pub(crate) state: RunState,
    /// The state in a word, and when something was measured last.
    pub(crate) state_text: String,
    /// Which part of the run has passed, where that is known; 0 to 1.
    pub(crate) fraction: Option<f64>,
    /// How far the run has come in the unit that ends it.
    pub(crate) passed: String,
    /// Elapsed and left.
    pub(crate) time: String,
    /// The other units, and how fast they come.
    pub(crate) counts: String,
    /// The curves that there are, the main ones first.
    pub(crate) curves: Vec<CurveView<'a>>,
    /// The newest value of everything but rewards and speeds.
    pub(crate) scores: Vec<Row>,
    /// The newest value of each term of the reward.
    pub(crate) terms: Vec<Row>,
    /// After which update the samples were written.
    pub(crate) samples_title: String,
    /// The newest texts, each with its return.
    pub(crate) samples: Vec<Row>,
}

/// A measure over updates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CurveView<'a> {
    /// Its name in the log.
    pub(crate) key: &'a str,
    pub(crate) title: String,
    /// Its finite values, in the order of updates; at least one.
    pub(crate) points: &'a [Point],
    /// Its newest value.
    pub(crate) newest: String,
}

/// A name and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Row {
    fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

impl<'a> View<'a> {
    /// What is shown of `run` at the time `now`.
    pub(crate) fn new(run: &'a LiveRun, now: SystemTime) -> Self {
        let last = run.measured.marks.last().copied();
        let end = run.stop_after();
        let fraction = last.zip(end).map(|(last, (unit, whole))| {
            let passed = unit.of(&last) as f64 / whole.max(1) as f64;
            passed.min(1.0)
        });
        let samples = run.samples.iter().map(|sample| {
            let shown = on_one_line(&sample.text);
            Row::new(number(f64::from(sample.episode_return)), shown)
        });
        Self {
            title: format!("{}, seed {}, {}", on_one_line(&run.name), run.seed, run.backend),
            state: run.state,
            state_text: state_text(run, fraction, now),
            fraction,
            passed: passed(last, end, fraction),
            time: last.map_or_else(String::new, |last| time(run, last, end)),
            counts: last.map_or_else(String::new, |last| counts(run, last, end)),
            curves: curves(run),
            scores: scores(run),
            terms: named_by(run, REWARD),
            samples_title: match run.samples.first() {
                Some(sample) => format!("Samples after {}", plural(sample.update, "update")),
                None => "Samples".to_owned(),
            },
            samples: samples.collect(),
        }
    }
}

fn state_text(run: &LiveRun, fraction: Option<f64>, now: SystemTime) -> String {
    let word = match run.state {
        RunState::Running if fraction.is_some_and(|fraction| fraction >= 1.0) => "evaluating",
        RunState::Running => "running",
        RunState::Stopped => "stopped",
        RunState::Finished => "finished",
    };
    // A clock that was set back makes a file of the future; it was written just now.
    let age = run.measured_at.map(|at| now.duration_since(at).unwrap_or(Duration::ZERO).as_secs_f64().floor());
    match age {
        Some(age) => format!("{word}, measured {} ago", duration(age)),
        None => word.to_owned(),
    }
}

fn passed(last: Option<Mark>, end: Option<(Unit, u64)>, fraction: Option<f64>) -> String {
    match (last, end, fraction) {
        (Some(last), Some((unit, whole)), Some(fraction)) => {
            let percent = (100.0 * fraction).floor();
            format!("{} of {} {} ({percent} %)", grouped(unit.of(&last)), grouped(whole), unit.name())
        }
        (Some(last), ..) => plural(last.update, "update"),
        (None, ..) => NOTHING.to_owned(),
    }
}

fn time(run: &LiveRun, last: Mark, end: Option<(Unit, u64)>) -> String {
    let elapsed = format!("{} elapsed", duration(last.wall_seconds));
    let left = end.filter(|_| run.state != RunState::Finished);
    match left.and_then(|(unit, whole)| seconds_left(&run.measured.marks, unit, whole)) {
        Some(left) if left > 0.0 => format!("{elapsed}, about {} left", duration(left)),
        _ => elapsed,
    }
}

/// Seconds until the end, as fast as the second half of what has passed was: the first may have been warming up.
///
/// ```text
/// left = (whole - passed) (t_now - t_half) / (passed - passed_half)
/// ```
fn seconds_left(marks: &[Mark], unit: Unit, whole: u64) -> Option<f64> {
    let last = marks.last()?;
    let passed = unit.of(last);
    let half = &marks[marks.partition_point(|mark| unit.of(mark) < passed.div_ceil(2))];
    let (n_since, seconds) = (passed - unit.of(half), last.wall_seconds - half.wall_seconds);
    let seconds_each = (n_since > 0 && seconds > 0.0).then(|| seconds / n_since as f64)?;
    Some(whole.saturating_sub(passed) as f64 * seconds_each)
}

fn counts(run: &LiveRun, last: Mark, end: Option<(Unit, u64)>) -> String {
    let shown = |unit: Unit| unit.of(&last) > 0 && end.is_none_or(|(ends, _)| ends != unit);
    let units = [(Unit::Updates, "update"), (Unit::Steps, "step"), (Unit::Episodes, "episode")];
    let mut parts: Vec<String> =
        units.into_iter().filter(|(unit, _)| shown(*unit)).map(|(unit, name)| plural(unit.of(&last), name)).collect();
    let speeds = [("acting", "acting_steps_per_second", "steps"), ("learning", SPEED_LEARNED, "transitions")];
    for (what, name, of) in speeds {
        if let Some(speed) = run.measured.newest.get(&format!("{SPEED}{name}")).filter(|speed| speed.is_finite()) {
            parts.push(format!("{what} {} {of}/s", grouped(speed.round() as u64)));
        }
    }
    parts.join(", ")
}

const SPEED_LEARNED: &str = "learned_transitions_per_second";

fn curves(run: &LiveRun) -> Vec<CurveView<'_>> {
    let rank = |key: &str| FIRST_CURVES.iter().position(|(first, _)| *first == key).unwrap_or(FIRST_CURVES.len());
    let mut curves: Vec<CurveView<'_>> = run
        .measured
        .curves
        .iter()
        .map(|(key, points)| {
            let newest = run.measured.newest.get(key).copied().unwrap_or(f64::NAN);
            CurveView { key, title: title(run, key), points, newest: shown(newest) }
        })
        .collect();
    // The sort is stable, and the others are in the order of their names.
    curves.sort_by_key(|curve| rank(curve.key));
    curves
}

fn title(run: &LiveRun, key: &str) -> String {
    let kind = run.settings.get("exploration.kind").map(String::as_str);
    match (key, kind) {
        (EXPLORATION, Some("\"epsilon_greedy\"")) => "Epsilon".to_owned(),
        (EXPLORATION, Some("\"boltzmann\"")) => "Temperature".to_owned(),
        _ => match FIRST_CURVES.iter().find(|(first, _)| *first == key) {
            Some((_, title)) => (*title).to_owned(),
            None => on_one_line(key),
        },
    }
}

fn scores(run: &LiveRun) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(report) = &run.report {
        let policy = report.learned.first();
        let learned = report.rows.iter().filter(|row| Some(&row.policy) == policy && !row.unjudged);
        for row in learned {
            let Interval { mean, low, high } = row.episode_return;
            rows.push(Row::new(format!("{} return", row.split), number(mean)));
            rows.push(Row::new("  95 %", format!("{} to {}", number(low), number(high))));
        }
    }
    let newest = &run.measured.newest;
    let best = run.measured.curves.get(VALIDATION_RETURN).and_then(|points| {
        let highest = points.iter().map(|point| point.y).reduce(f64::max)?;
        (points.len() > 1).then_some(highest)
    });
    let first = FIRST_CURVES.iter().filter_map(|&(key, _)| Some((key, *newest.get(key)?)));
    for (key, value) in first {
        rows.push(Row::new(title(run, key), shown(value)));
        if key == VALIDATION_RETURN {
            rows.extend(best.map(|best| Row::new("  best so far", number(best))));
        }
    }
    let is_other = |key: &str| {
        !key.starts_with(REWARD) && !key.starts_with(SPEED) && FIRST_CURVES.iter().all(|(first, _)| *first != key)
    };
    // What is measured on validation prompts is what the others are for.
    for is_validation in [true, false] {
        let others = newest.iter().filter(|(key, _)| is_other(key) && key.starts_with("validation/") == is_validation);
        rows.extend(others.map(|(key, &value)| Row::new(on_one_line(key), shown(value))));
    }
    rows
}

fn named_by(run: &LiveRun, prefix: &str) -> Vec<Row> {
    let of = |(key, &value): (&String, &f64)| Some(Row::new(on_one_line(key.strip_prefix(prefix)?), shown(value)));
    run.measured.newest.iter().filter_map(of).collect()
}

fn shown(value: f64) -> String {
    if value.is_finite() { number(value) } else { "not finite".to_owned() }
}

/// A text on one line; what would steer the terminal is a dot.
fn on_one_line(text: &str) -> String {
    let shown = |letter: char| if letter.is_control() { '·' } else { letter };
    text.trim_end().replace('\n', " / ").chars().map(shown).collect()
}

/// A count with commas, which every terminal has.
fn grouped(n: u64) -> String {
    count(n).replace('\u{202f}', ",")
}

fn plural(n: u64, name: &str) -> String {
    format!("{} {name}{}", grouped(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use dqn_report::live::Measured;
    use dqn_train::run::metrics::Record;
    use dqn_train::samples::LoggedSample;

    use super::*;

    /// A run of 200 updates that has made `n` times ten, one record each, the first five of which took ten times longer.
    pub(crate) fn live(n: u64) -> LiveRun {
        let mut measured = Measured::default();
        let mut wall_seconds = 0.0;
        for round in 1..=n {
            wall_seconds += if round <= 5 { 20.0 } else { 2.0 };
            let mut scalars: BTreeMap<String, f64> = [
                ("train/return", (round as f64 / 3.0).sin()),
                ("learn/loss", 1.0 / round as f64),
                ("explore/value", 0.5),
                ("reward/form", -0.25),
                ("reward/bleu", 1.5),
                ("speed/acting_steps_per_second", 1234.4),
                ("learn/mean_q", f64::NAN),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
            if round % 4 == 0 {
                scalars.insert("validation/return".to_owned(), 10.0 - round as f64);
                scalars.insert("validation/bleu".to_owned(), 12.5);
            }
            measured.push(&Record { update: 10 * round, step: 800 * round, episode: round, wall_seconds, scalars });
        }
        let sample = |text: &str| LoggedSample {
            update: 1_080,
            prompt: "春".to_owned(),
            text: text.to_owned(),
            episode_return: 0.5,
            advantage_over: None,
            pieces: Vec::new(),
        };
        let settings = [("training.stop_after.updates", "200"), ("exploration.kind", "\"epsilon_greedy\"")];
        LiveRun {
            path: "runs/verse-1".into(),
            name: "verse".to_owned(),
            seed: 3,
            backend: "flex".to_owned(),
            settings: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            state: RunState::Running,
            measured,
            measured_at: Some(SystemTime::UNIX_EPOCH),
            samples: vec![sample("春风又绿江南岸，\n明月何时照我还。"), sample("春\u{1b}[31mred")],
            report: None,
        }
    }

    pub(crate) fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn figures_are_what_a_person_computes() {
        let run = live(12);
        let view = View::new(&run, at(75));
        assert_eq!(view.title, "verse, seed 3, flex");
        assert_eq!(view.state_text, "running, measured 1 min 15 s ago");
        assert_eq!((view.passed.as_str(), view.fraction), ("120 of 200 updates (60 %)", Some(0.6)));
        // From update 60 on, ten updates take 2 s; eighty are left.
        assert_eq!(view.time, "1 min 54 s elapsed, about 16 s left");
        assert_eq!(view.counts, "9,600 steps, 12 episodes, acting 1,234 steps/s");
        let curves: Vec<&str> = view.curves.iter().map(|curve| curve.title.as_str()).collect();
        let main = ["Training return", "Validation return", "Loss", "Epsilon", "reward/bleu", "reward/form"];
        assert_eq!(curves[..6], main);
        // What was never finite has no curve.
        assert_eq!(curves[6..], ["speed/acting_steps_per_second", "validation/bleu"]);
        let scores: Vec<(&str, &str)> = view.scores.iter().map(|row| (row.name.as_str(), row.value.as_str())).collect();
        let expected = [
            ("Training return", "−0.7568"),
            ("Validation return", "−2"),
            ("  best so far", "6"),
            ("Loss", "0.08333"),
            ("Epsilon", "0.5"),
            ("validation/bleu", "12.5"),
            ("learn/mean_q", "not finite"),
        ];
        assert_eq!(scores, expected);
        assert_eq!(view.terms, [Row::new("bleu", "1.5"), Row::new("form", "−0.25")]);
        assert_eq!(view.samples_title, "Samples after 1,080 updates");
        assert!(view.samples.iter().all(|row| !row.value.contains(char::is_control)), "{:?}", view.samples);
    }

    #[test]
    fn states_have_a_word_each() {
        let mut run = live(20);
        assert_eq!(View::new(&run, at(0)).state_text, "evaluating, measured 0 s ago");
        run.state = RunState::Finished;
        assert_eq!(View::new(&run, at(3)).state_text, "finished, measured 3 s ago");
        assert_eq!(View::new(&run, at(3)).time, "2 min 10 s elapsed");
        let mut run = live(3);
        run.state = RunState::Stopped;
        assert_eq!(View::new(&run, at(3)).state_text, "stopped, measured 3 s ago");
        let nothing = LiveRun { measured: Measured::default(), measured_at: None, samples: Vec::new(), ..run };
        let view = View::new(&nothing, at(3));
        assert_eq!((view.state_text.as_str(), view.passed.as_str()), ("stopped", NOTHING));
        assert!(view.curves.is_empty() && view.scores.is_empty() && view.time.is_empty());
    }

    #[test]
    fn the_end_is_told_from_the_second_half() {
        let mark = |update, wall_seconds| Mark { update, step: 0, episode: 0, wall_seconds };
        for (marks, expected) in [
            (&[][..], None),
            (&[mark(10, 5.0)], None),
            (&[mark(0, 1.0), mark(0, 2.0)], None),
            (&[mark(10, 5.0), mark(20, 9.0)], Some(0.4 * 80.0)),
            (&[mark(10, 50.0), mark(50, 60.0), mark(100, 70.0)], Some(0.0)),
            (&[mark(1, 50.0), mark(40, 60.0), mark(80, 70.0)], Some(0.25 * 20.0)),
        ] {
            assert_eq!(seconds_left(marks, Unit::Updates, 100), expected, "{marks:?}");
        }
        // A run that learned from a log took no steps.
        assert_eq!(seconds_left(&[mark(1, 1.0), mark(2, 2.0)], Unit::Steps, 100), None);
    }
}
