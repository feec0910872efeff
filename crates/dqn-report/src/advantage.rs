//! Which colour a stretch of text has for its advantage.

use dqn_train::samples::{LoggedSample, Piece, Reference};
use serde::Serialize;

use crate::axis::number;

/// Most stretches of a page that are coloured: each takes half a hundred bytes.
pub(crate) const MOST_COLOURED: usize = 10_000;
/// Steps of colour above 0, and as many below.
const N_LEVELS: usize = 4;
/// An advantage below this share of a step is shown as none.
const NEAR_ZERO: f64 = 0.25;
/// The colours end where this share of the advantages do, so that one far out does not pale all others.
const COLOURED_SHARE: f64 = 0.95;
/// Stands for an action that writes nothing, such as the end.
const SILENT: &str = "∎";

/// A stretch of text of one colour.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Stretch {
    pub(crate) text: String,
    /// Class of its colour; nothing where no action wrote it.
    pub(crate) class: Option<String>,
    /// Value and advantage in words; empty likewise.
    pub(crate) values: String,
}

impl Stretch {
    pub(crate) fn plain(text: &str) -> Self {
        Self { text: text.to_owned(), class: None, values: String::new() }
    }
}

/// A colour as the legend has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Shade {
    pub(crate) class: String,
    /// What it stands for.
    pub(crate) text: String,
}

/// The colours of the samples of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Colours {
    /// The advantage at which they end, above 0.
    end: f64,
    reference: Reference,
}

impl Colours {
    /// The colours for some samples; nothing where they have no advantages.
    pub(crate) fn of<'a>(samples: impl Iterator<Item = &'a LoggedSample> + Clone) -> Option<Self> {
        let reference = samples.clone().find_map(|sample| sample.advantage_over)?;
        let advantages = samples.flat_map(|sample| &sample.pieces).filter_map(|piece| piece.advantage);
        let mut sizes: Vec<f64> = advantages.map(|advantage| f64::from(advantage.abs())).collect();
        sizes.sort_by(f64::total_cmp);
        let place = ((sizes.len() as f64 * COLOURED_SHARE).ceil() as usize).saturating_sub(1);
        let end = sizes.get(place).or(sizes.last()).copied().filter(|end| *end > 0.0).unwrap_or(1.0);
        Some(Self { end: rounded_up(end), reference })
    }

    /// The class of an advantage: `a` and a step from 1 above 0, `b` and a step below, `z` next to it.
    fn class(&self, advantage: f64) -> String {
        let steps = advantage.abs() / self.end * N_LEVELS as f64;
        if steps < NEAR_ZERO {
            return "z".to_owned();
        }
        let step = (steps.ceil() as usize).clamp(1, N_LEVELS);
        format!("{}{step}", if advantage > 0.0 { 'a' } else { 'b' })
    }

    /// The colours from the lowest to the highest, those of the ends with their advantages.
    pub(crate) fn legend(&self) -> Vec<Shade> {
        let (end, n_levels) = (self.end, N_LEVELS as i32);
        let shade = |step: i32| {
            let text = match step {
                0 => "0".to_owned(),
                _ if step.abs() == n_levels => signed(f64::from(step.signum()) * end),
                _ => "\u{a0}".to_owned(),
            };
            Shade {
                class: self.class(end * (f64::from(step) - 0.5 * f64::from(step.signum())) / N_LEVELS as f64),
                text,
            }
        };
        (-n_levels..=n_levels).map(shade).collect()
    }

    /// What the advantage is over, in words.
    pub(crate) fn reference(&self) -> &'static str {
        match self.reference {
            Reference::Uniform => "the mean of Q over the actions that s allows",
            Reference::Prior => "the mean of Q over the actions that s allows, weighed by the prior",
        }
    }

    /// A piece as stretches: the white space before what an action wrote stays plain.
    fn stretches(&self, piece: &Piece) -> [Option<Stretch>; 2] {
        let (Some(q), Some(advantage)) = (piece.q, piece.advantage) else {
            return [Some(Stretch::plain(&piece.text)), None];
        };
        let written = piece.text.trim_start_matches(' ');
        let (before, written) = match written {
            "" => ("", if piece.text.is_empty() { SILENT } else { &piece.text }),
            written => (&piece.text[..piece.text.len() - written.len()], written),
        };
        let (q, advantage) = (f64::from(q), f64::from(advantage));
        let coloured = Stretch {
            text: written.to_owned(),
            class: Some(self.class(advantage)),
            values: format!("Q {}, A {}", number(q), signed(advantage)),
        };
        [Some(Stretch::plain(before)).filter(|plain| !plain.text.is_empty()), Some(coloured)]
    }
}

/// The text of a sample as stretches; one without colours where there are none or `n_left`, the number of those that
/// the page may still have, is too small.
pub(crate) fn stretches(sample: &LoggedSample, colours: Option<&Colours>, n_left: &mut usize) -> Vec<Stretch> {
    let n_coloured = sample.pieces.iter().filter(|piece| piece.advantage.is_some()).count();
    match colours {
        Some(colours) if n_coloured > 0 && n_coloured <= *n_left => {
            *n_left -= n_coloured;
            sample.pieces.iter().flat_map(|piece| colours.stretches(piece)).flatten().collect()
        }
        _ => vec![Stretch::plain(&sample.text)],
    }
}

/// A number with its sign.
fn signed(value: f64) -> String {
    let sign = if value > 0.0 { "+" } else { "" };
    format!("{sign}{}", number(value))
}

/// The least number with two digits that count which is not below `value`, above 0.
fn rounded_up(value: f64) -> f64 {
    let unit = 10_f64.powf(value.log10().floor() - 1.0);
    (value / unit - 1e-9).ceil() * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(pieces: &[(&str, Option<f32>)]) -> LoggedSample {
        let piece = |&(text, advantage): &(&str, Option<f32>)| Piece {
            text: text.to_owned(),
            q: advantage.map(|advantage| advantage + 1.0),
            advantage,
        };
        LoggedSample {
            update: 0,
            prompt: String::new(),
            text: pieces.iter().map(|(text, _)| *text).collect(),
            episode_return: 0.0,
            advantage_over: Some(Reference::Prior),
            pieces: pieces.iter().map(piece).collect(),
        }
    }

    #[test]
    fn colours_tell_sign_and_size() {
        // Of a hundred advantages the highest five are beyond the end.
        let pieces: Vec<(&str, Option<f32>)> =
            (1..=100).map(|size| ("x", Some(if size > 95 { 1e6 } else { size as f32 / 95.0 }))).collect();
        let samples = [sample(&pieces)];
        let colours = Colours::of(samples.iter()).unwrap();
        assert_eq!(colours.end, 1.0);
        for (advantage, expected) in [
            (0.0, "z"),
            (0.06, "z"),
            (-0.06, "z"),
            (0.07, "a1"),
            (0.25, "a1"),
            (0.26, "a2"),
            (1.0, "a4"),
            (9.0, "a4"),
            (-0.07, "b1"),
            (-0.51, "b3"),
            (-9.0, "b4"),
        ] {
            assert_eq!(colours.class(advantage), expected, "{advantage}");
        }
        let classes: Vec<String> = colours.legend().into_iter().map(|shade| shade.class).collect();
        assert_eq!(classes, ["b4", "b3", "b2", "b1", "z", "a1", "a2", "a3", "a4"]);
        assert_eq!(colours.legend()[0].text, "−1");
    }

    #[test]
    fn what_no_action_wrote_stays_plain() {
        let sample = sample(&[("go", None), (" north", Some(0.5)), (" A wall.", None), ("", Some(-0.5))]);
        let colours = Colours::of([&sample].into_iter()).unwrap();
        let mut n_left = 3;
        let found = stretches(&sample, Some(&colours), &mut n_left);
        let found: Vec<(&str, Option<&str>)> =
            found.iter().map(|stretch| (stretch.text.as_str(), stretch.class.as_deref())).collect();
        let expected = [("go", None), (" ", None), ("north", Some("a4")), (" A wall.", None), (SILENT, Some("b4"))];
        assert_eq!(found, expected);
        // One place is left, and two are needed.
        assert_eq!(
            (n_left, stretches(&sample, Some(&colours), &mut n_left)),
            (1, vec![Stretch::plain("go north A wall.")])
        );
    }

    #[test]
    fn ends_are_round() {
        for (value, expected) in [(1.0, 1.0), (1.01, 1.1), (0.0123, 0.013), (987.0, 990.0), (0.25, 0.25)] {
            assert!((rounded_up(value) / expected - 1.0).abs() < 1e-9, "{value}");
        }
        let silent = LoggedSample { advantage_over: None, pieces: Vec::new(), ..sample(&[("x", None)]) };
        assert_eq!(Colours::of([&silent].into_iter()), None);
    }
}
