//! The lines in which both sides report what they measured.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// One case, measured once.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measurement {
    /// Such as `learn/gru/1000`.
    pub(super) case: String,
    /// Median of one run.
    pub(super) milliseconds: f64,
    pub(super) threads: usize,
    pub(super) transitions_per_second: f64,
}

impl Measurement {
    /// Transitions of one run.
    pub(super) fn n_transitions(&self) -> f64 {
        self.milliseconds / 1e3 * self.transitions_per_second
    }
}

/// Reads JSON lines, one for each measurement; `program` is named where they are wrong.
///
/// # Errors
/// When a line is no measurement, or holds a figure that is not positive.
pub(super) fn parse(program: &str, output: &str) -> Result<Vec<Measurement>> {
    let lines = output.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let wrong = || format!("{program} printed a line that is no measurement: {line}");
            let measurement: Measurement = serde_json::from_str(line).with_context(wrong)?;
            let figures = [measurement.milliseconds, measurement.transitions_per_second];
            ensure!(figures.iter().all(|&figure| figure > 0.0) && measurement.threads > 0, wrong());
            Ok(measurement)
        })
        .collect()
}

/// The fastest measurement of `case`.
pub(super) fn best<'a>(measurements: &'a [Measurement], case: &str) -> Option<&'a Measurement> {
    let of_case = measurements.iter().filter(|measurement| measurement.case == case);
    of_case.min_by(|one, other| one.milliseconds.total_cmp(&other.milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(case: &str, milliseconds: f64, threads: usize) -> Measurement {
        Measurement { case: case.to_owned(), milliseconds, threads, transitions_per_second: 2048e3 / milliseconds }
    }

    #[test]
    fn json_lines_become_measurements() {
        let output = r#"{"case": "learn/gru/1000", "milliseconds": 64.0, "threads": 2, "transitions_per_second": 32000.0}

{"case":"act/mlp/8000","milliseconds":512,"threads":1,"transitions_per_second":4000}
"#;
        let found = parse("a program", output).unwrap();
        assert_eq!(found[0], measured("learn/gru/1000", 64.0, 2));
        assert_eq!(found[1], measured("act/mlp/8000", 512.0, 1));
        assert_eq!(found.len(), 2);
        assert!((found[0].n_transitions() - 2048.0).abs() < 1e-9);
        assert_eq!(parse("a program", "").unwrap(), []);
    }

    #[test]
    fn other_lines_are_shown() {
        let table = [
            "a warning",
            r#"{"case": "learn/gru/1000", "milliseconds": 64.0, "threads": 2}"#,
            r#"{"case": "a", "milliseconds": 0.0, "threads": 2, "transitions_per_second": 1.0}"#,
            r#"{"case": "a", "milliseconds": 1.0, "threads": 0, "transitions_per_second": 1.0}"#,
            r#"{"case": "a", "milliseconds": NaN, "threads": 1, "transitions_per_second": 1.0}"#,
            r#"{"case": "a", "milliseconds": 1.0, "threads": 1, "transitions_per_second": 1.0, "mode": "eager"}"#,
        ];
        for line in table {
            let message = parse("a program", line).unwrap_err().to_string();
            assert!(message.contains("a program") && message.contains(line), "{message}");
        }
    }

    #[test]
    fn the_fastest_of_a_case_counts() {
        let all = [measured("a", 3.0, 1), measured("b", 1.0, 1), measured("a", 2.0, 2), measured("a", 2.5, 1)];
        assert_eq!(best(&all, "a"), Some(&all[2]));
        assert_eq!(best(&all, "c"), None);
    }
}
