//! From measurements to the tables of docs/tables/against-pytorch.md.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

use super::measurement::{Measurement, best};

/// The networks, with what learning must reach: transitions a second over PyTorch's.
pub(super) const NETWORKS: [(&str, f64); 5] =
    [("mlp", 1.3), ("gru", 2.3), ("lstm", 1.1), ("cnn", 1.2), ("transformer", 1.8)];
/// What acting must reach, for every network.
const ACTING_BAR: f64 = 1.5;
/// What the sequence batch must reach: transitions a second over those of single transitions.
const SEQUENCE_BAR: f64 = 15.0;
/// Beyond this factor the cost of a token has grown, and not wavered.
const GROWTH_BAR: f64 = 1.2;

pub(super) const VOCABULARIES: [usize; 2] = [1_000, 8_000];
/// Tokens already read when the cost of one more is measured.
pub(super) const POSITIONS: [usize; 6] = [1, 16, 64, 128, 256, 512];

/// The cases of both sides, each with its bar.
pub(super) fn shared_cases() -> Vec<(String, f64)> {
    let mut cases = Vec::new();
    for (verb, acting_bar) in [("learn", None), ("act", Some(ACTING_BAR))] {
        for (network, learning_bar) in NETWORKS {
            let bar = acting_bar.unwrap_or(learning_bar);
            cases.extend(VOCABULARIES.map(|vocabulary| (format!("{verb}/{network}/{vocabulary}"), bar)));
        }
    }
    cases
}

/// Whether values of single actions occur in a case, which PyTorch has two ways to.
pub(super) fn has_rows(case: &str) -> bool {
    case.starts_with("learn/")
}

/// The cases that only this project has.
pub(super) fn own_cases() -> Vec<String> {
    let naive = NETWORKS.iter().flat_map(|(network, _)| VOCABULARIES.map(|size| format!("naive/{network}/{size}")));
    let position =
        NETWORKS.iter().flat_map(|(network, _)| POSITIONS.map(|place| format!("position/{network}/{place}")));
    naive.chain(position).collect()
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) ours: Vec<Measurement>,
    pub(super) pytorch: Vec<Measurement>,
    /// PyTorch with the values of single actions from their rows of the head.
    pub(super) by_rows: Vec<Measurement>,
}

impl Results {
    /// The tables of all that was measured.
    ///
    /// # Errors
    /// When the two sides counted different transitions in a case.
    pub(super) fn tables(&self) -> Result<String> {
        let tables = [self.against_pytorch()?, self.against_naive(), self.by_position()];
        Ok(tables.into_iter().flatten().collect::<Vec<_>>().join("\n"))
    }

    fn against_pytorch(&self) -> Result<Option<String>> {
        let mut rows = String::new();
        for (case, bar) in shared_cases() {
            let (Some(ours), Some(pytorch)) = (best(&self.ours, &case), best(&self.pytorch, &case)) else { continue };
            ensure_same_work(ours, pytorch).with_context(|| format!("{case} cannot be compared"))?;
            let over = |other: &Measurement| ours.transitions_per_second / other.transitions_per_second;
            let ratio = over(pytorch);
            let by_rows = match best(&self.by_rows, &case) {
                Some(by_rows) => format!("{} | {:.2}", shown(by_rows.milliseconds), over(by_rows)),
                None => " | ".to_owned(),
            };
            let (our_time, their_time) = (shown(ours.milliseconds), shown(pytorch.milliseconds));
            let (our_threads, their_threads, met) = (ours.threads, pytorch.threads, met(ratio >= bar));
            row(
                &mut rows,
                format_args!(
                    "{case} | {our_time} | {our_threads} | {their_time} | {their_threads} | {ratio:.2} | {bar} | {met} | \
                     {by_rows}"
                ),
            );
        }
        Ok(titled(
            "## Against PyTorch",
            "Milliseconds of an update or a pass of acting; the ratio is ours over PyTorch's in transitions a second. PyTorch \
             gathers the values of single actions from those of all, as DQN is usually written; by rows it computes those \
             alone, as this project does.",
            "| case | ours ms | threads | PyTorch ms | threads | ratio | bar | met? | by rows ms | ratio |",
            rows,
        ))
    }

    fn against_naive(&self) -> Option<String> {
        let mut rows = String::new();
        for (network, _) in NETWORKS {
            for vocabulary in VOCABULARIES {
                let [sequence, naive] =
                    ["learn", "naive"].map(|verb| best(&self.ours, &format!("{verb}/{network}/{vocabulary}")));
                let (Some(sequence), Some(naive)) = (sequence, naive) else { continue };
                let [sequence, naive] = [sequence, naive].map(|measurement| measurement.transitions_per_second);
                let ratio = sequence / naive;
                let met = met(ratio >= SEQUENCE_BAR);
                row(
                    &mut rows,
                    format_args!(
                        "{network} | {vocabulary} | {sequence:.0} | {naive:.0} | {ratio:.1} | {SEQUENCE_BAR} | {met}"
                    ),
                );
            }
        }
        titled(
            "## The sequence batch against single transitions",
            "Transitions learned a second. The MLP sees 16 tokens in either case, so it has little text to read anew.",
            "| network | vocabulary | sequence batch | single transitions | ratio | bar | met? |",
            rows,
        )
    }

    fn by_position(&self) -> Option<String> {
        let mut rows = String::new();
        for (network, _) in NETWORKS {
            let at = |position: usize| best(&self.ours, &format!("position/{network}/{position}"));
            let Some(times) = POSITIONS.into_iter().map(at).collect::<Option<Vec<_>>>() else { continue };
            let times: Vec<f64> = times.into_iter().map(|measurement| measurement.milliseconds).collect();
            let growth = times[times.len() - 1] / times[0];
            let verdict = match network {
                "transformer" => "grows by attention",
                _ => met(growth <= GROWTH_BAR),
            };
            let times: Vec<String> = times.into_iter().map(shown).collect();
            row(&mut rows, format_args!("{network} | {} | {growth:.2} | {verdict}", times.join(" | ")));
        }
        let positions: Vec<String> = POSITIONS.iter().map(usize::to_string).collect();
        titled(
            "## One more token, by the tokens before it",
            &format!(
                "Milliseconds for one token of 32 texts at a vocabulary of 1,000; met where the last costs at most {GROWTH_BAR} \
                 times the first."
            ),
            &format!("| network | {} | growth | met? |", positions.join(" | ")),
            rows,
        )
    }
}

/// Both sides must have learned from, or acted, equally many transitions.
fn ensure_same_work(ours: &Measurement, pytorch: &Measurement) -> Result<()> {
    let (ours, pytorch) = (ours.n_transitions(), pytorch.n_transitions());
    ensure!((ours / pytorch - 1.0).abs() < 0.01, "one run has {ours:.0} transitions here and {pytorch:.0} in PyTorch");
    Ok(())
}

fn met(is_met: bool) -> &'static str {
    if is_met { "yes" } else { "no" }
}

fn row(rows: &mut String, cells: std::fmt::Arguments<'_>) {
    writeln!(rows, "| {cells} |").expect("a string takes every text");
}

/// Three digits, which is more than the noise allows.
fn shown(milliseconds: f64) -> String {
    match milliseconds {
        small if small < 1.0 => format!("{small:.3}"),
        middle if middle < 10.0 => format!("{middle:.2}"),
        large if large < 100.0 => format!("{large:.1}"),
        huge => format!("{huge:.0}"),
    }
}

fn titled(title: &str, caption: &str, header: &str, rows: String) -> Option<String> {
    let rule = "|---".repeat(header.matches('|').count() - 1);
    (!rows.is_empty()).then(|| format!("{title}\n\n{caption}\n\n{header}\n{rule}|\n{rows}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(case: &str, milliseconds: f64, threads: usize, n_transitions: f64) -> Measurement {
        let transitions_per_second = n_transitions / milliseconds * 1e3;
        Measurement { case: case.to_owned(), milliseconds, threads, transitions_per_second }
    }

    #[test]
    fn every_case_has_its_bar() {
        let cases = shared_cases();
        assert_eq!(cases.len(), 20);
        for (case, expected) in [
            ("learn/mlp/1000", 1.3),
            ("learn/gru/8000", 2.3),
            ("learn/lstm/1000", 1.1),
            ("learn/cnn/8000", 1.2),
            ("learn/transformer/1000", 1.8),
            ("act/mlp/8000", 1.5),
            ("act/transformer/1000", 1.5),
        ] {
            let bar = cases.iter().find(|(name, _)| name == case).map(|(_, bar)| *bar);
            assert_eq!(bar, Some(expected), "{case}");
        }
        assert_eq!(own_cases().len(), 10 + 30);
    }

    #[test]
    fn the_best_of_each_side_is_compared() {
        let results = Results {
            ours: vec![measured("learn/gru/1000", 50.0, 1, 2048.0), measured("learn/gru/1000", 30.0, 2, 2048.0)],
            pytorch: vec![measured("learn/gru/1000", 66.0, 1, 2048.0), measured("learn/gru/1000", 75.0, 2, 2048.0)],
            by_rows: vec![measured("learn/gru/1000", 45.0, 2, 2048.0)],
        };
        let tables = results.tables().unwrap();
        let lines: Vec<&str> = tables.lines().collect();
        assert_eq!(lines.len(), 7, "{tables}");
        assert_eq!(
            lines[4],
            "| case | ours ms | threads | PyTorch ms | threads | ratio | bar | met? | by rows ms | ratio |"
        );
        assert_eq!(lines[5], "|---|---|---|---|---|---|---|---|---|---|");
        assert_eq!(lines[6], "| learn/gru/1000 | 30.0 | 2 | 66.0 | 1 | 2.20 | 2.3 | no | 45.0 | 1.50 |");
    }

    #[test]
    fn a_bar_is_met_when_it_is_reached() {
        for (milliseconds, end) in [(100.0, "1.50 | 1.5 | yes |  |  |"), (101.0, "1.49 | 1.5 | no |  |  |")] {
            let results = Results {
                ours: vec![measured("act/cnn/8000", milliseconds, 1, 1024.0)],
                pytorch: vec![measured("act/cnn/8000", 150.0, 1, 1024.0)],
                ..Results::default()
            };
            let tables = results.tables().unwrap();
            assert!(tables.trim_end().ends_with(end), "{tables}");
        }
    }

    #[test]
    fn different_work_is_not_compared() {
        let results = Results {
            ours: vec![measured("learn/mlp/1000", 10.0, 1, 2048.0)],
            pytorch: vec![measured("learn/mlp/1000", 10.0, 1, 64.0)],
            ..Results::default()
        };
        let message = format!("{:#}", results.tables().unwrap_err());
        assert_eq!(message, "learn/mlp/1000 cannot be compared: one run has 2048 transitions here and 64 in PyTorch");
    }

    #[test]
    fn the_sequence_batch_is_compared_by_transitions() {
        // A fifth of the time for a 32nd of the transitions: 6.4 times as many a second.
        let results = Results {
            ours: vec![measured("learn/mlp/8000", 50.0, 2, 2048.0), measured("naive/mlp/8000", 10.0, 1, 64.0)],
            ..Results::default()
        };
        let tables = results.tables().unwrap();
        assert!(tables.ends_with("| mlp | 8000 | 40960 | 6400 | 6.4 | 15 | no |\n"), "{tables}");
    }

    #[test]
    fn growth_is_the_last_position_over_the_first() {
        let times = [2.0, 2.0, 2.1, 2.2, 2.3, 2.4];
        let of = |network: &str, factor: f64| -> Vec<Measurement> {
            let times = POSITIONS.iter().zip(times);
            times
                .map(|(place, time)| measured(&format!("position/{network}/{place}"), factor * time, 1, 32.0))
                .collect()
        };
        let ours = [of("gru", 1.0), of("transformer", 10.0), of("cnn", 1.0)[..5].to_vec()].concat();
        let tables = Results { ours, ..Results::default() }.tables().unwrap();
        let rows: Vec<&str> = tables.lines().skip(6).collect();
        assert_eq!(
            rows,
            [
                "| gru | 2.00 | 2.00 | 2.10 | 2.20 | 2.30 | 2.40 | 1.20 | yes |",
                "| transformer | 20.0 | 20.0 | 21.0 | 22.0 | 23.0 | 24.0 | 1.20 | grows by attention |",
            ]
        );
    }

    #[test]
    fn without_measurements_there_is_no_table() {
        assert_eq!(Results::default().tables().unwrap(), "");
    }
}
