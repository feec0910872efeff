//! Axes: round ends, round ticks, and numbers as people write them.

/// How values are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Equal differences take equal room.
    Linear,
    /// Equal ratios take equal room.
    Logarithmic,
}

/// Values are shown on a logarithmic axis when nine tenths of them are further apart than this ratio. The others do not
/// count: a first value next to 0, as a difference that has yet to grow has it, would press all others together.
const WIDE: f64 = 1e3;

/// An axis from one end to the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    pub(crate) scale: Scale,
    /// Where the ticks stand and what is written there.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis with round ends that holds all of `values`, logarithmic where they are positive and far apart.
    pub(crate) fn around(values: impl Iterator<Item = f64> + Clone) -> Self {
        let (low, high) = ends(values.clone());
        if low > 0.0 && most_lie_wide(values) {
            return Self::logarithmic(low, high);
        }
        let (low, high) = if low < high { (low, high) } else { widened(low) };
        let step = round_step((high - low) / 5.0);
        Self::linear((low / step).floor() * step, (high / step).ceil() * step, step)
    }

    /// An axis from the least to the highest of `values`.
    pub(crate) fn exactly(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = ends(values);
        let high = if low < high { high } else { low + 1.0 };
        Self::linear(low, high, round_step((high - low) / 5.0))
    }

    /// A linear axis with round ends that holds 0 and all of `values`.
    pub(crate) fn spanning_zero(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = ends(values.chain([0.0]));
        let (low, high) = if low < high { (low, high) } else { widened(low) };
        let step = round_step((high - low) / 5.0);
        Self::linear((low / step).floor() * step, (high / step).ceil() * step, step)
    }

    fn linear(low: f64, high: f64, step: f64) -> Self {
        let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
        // A multiple, and no sum: a sum would gather roundings.
        let ticks = (first..=last).map(|index| index as f64 * step);
        let size = low.abs().max(high.abs());
        Self { low, high, scale: Scale::Linear, ticks: ticks.map(|tick| (tick, label(tick, step, size))).collect() }
    }

    fn logarithmic(low: f64, high: f64) -> Self {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let every = ((last - first) / 5 + 1) as usize;
        let ticks = (first..=last).step_by(every).map(|power| (10_f64.powi(power), power_label(power))).collect();
        Self { low: 10_f64.powi(first), high: 10_f64.powi(last), scale: Scale::Logarithmic, ticks }
    }

    /// Where a value lies: 0 at the lower end, 1 at the upper one.
    pub(crate) fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value / self.low).log10() / (self.high / self.low).log10(),
        }
    }
}

/// The least and the highest of `values`; 0 and 0 where there are none.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let ends = values.fold(None, |ends, value| match ends {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    });
    ends.unwrap_or((0.0, 0.0))
}

/// Whether the middle nine tenths of positive `values` are further apart than [`WIDE`].
fn most_lie_wide(values: impl Iterator<Item = f64>) -> bool {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let n_cut = sorted.len() / 20;
    matches!(&sorted[n_cut..sorted.len() - n_cut], [low, .., high] if high / low > WIDE)
}

/// A range around one value.
fn widened(value: f64) -> (f64, f64) {
    let half = value.abs() / 10.0;
    if value == 0.0 { (0.0, 1.0) } else { (value - half, value + half) }
}

/// The least of 1, 2, 5 times a power of ten that is not below `raw`, which must be positive.
fn round_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= raw * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// A tick of an axis whose ticks are `step` apart and no larger than `size`, by which all have one unit.
fn label(tick: f64, step: f64, size: f64) -> String {
    let text = if !(1e-4..1e9).contains(&size) {
        scientific(tick, 0)
    } else if size >= 1e6 {
        format!("{}M", decimals(tick / 1e6, step / 1e6))
    } else if size >= 1e4 {
        format!("{}k", decimals(tick / 1e3, step / 1e3))
    } else {
        decimals(tick, step)
    };
    if tick == 0.0 { "0".to_owned() } else { text.replace('-', "−") }
}

/// `value` with as many decimals as `step` needs.
fn decimals(value: f64, step: f64) -> String {
    let n = (-(step.log10() + 1e-9).floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.n$}")
}

fn power_label(power: i32) -> String {
    match power {
        -2..=3 => decimals(10_f64.powi(power), 10_f64.powi(power)),
        power => format!("10{}", superscript(power)),
    }
}

fn superscript(number: i32) -> String {
    let raised = |letter: char| match letter {
        '-' => '⁻',
        digit => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit.to_digit(10).unwrap_or(0) as usize],
    };
    number.to_string().chars().map(raised).collect()
}

/// `value` as a multiple of a power of ten.
fn scientific(value: f64, n_decimals: usize) -> String {
    let text = format!("{value:.n_decimals$e}");
    match text.split_once('e') {
        Some((factor, power)) => format!("{factor}·10{}", superscript(power.parse().unwrap_or(0))),
        None => text,
    }
}

/// A value with four digits that count.
pub fn number(value: f64) -> String {
    let size = value.abs();
    let text = if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e7).contains(&size) {
        scientific(value, 3)
    } else {
        let n = (3.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
        let text = format!("{value:.n$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    text.replace('-', "−")
}

/// A count with its thousands divided by thin spaces.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A time span in its two largest units.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{} s", number(seconds)),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticks(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        let table: [(&[f64], &[&str]); 9] = [
            (&[0.0, 1.0], &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (&[-77.0, -101.0], &["−105", "−100", "−95", "−90", "−85", "−80", "−75"]),
            (&[0.001, 0.0043], &["0.001", "0.002", "0.003", "0.004", "0.005"]),
            (&[0.0, 40_000.0], &["0", "10k", "20k", "30k", "40k"]),
            (&[0.0, 2.5e6], &["0", "0.5M", "1.0M", "1.5M", "2.0M", "2.5M"]),
            (&[0.0, 4e-6], &["0", "1·10⁻⁶", "2·10⁻⁶", "3·10⁻⁶", "4·10⁻⁶"]),
            (&[1e-5, 5e3], &["10⁻⁵", "10⁻³", "0.1", "10", "1000"]),
            (&[7.0], &["6.0", "6.5", "7.0", "7.5", "8.0"]),
            (&[], &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ];
        for (values, expected) in table {
            let axis = Axis::around(values.iter().copied());
            assert_eq!(ticks(&axis), expected, "{values:?}");
        }
        let one_beginner: Vec<f64> = [1e-9].into_iter().chain([4.0; 30]).collect();
        assert_eq!(Axis::around(one_beginner.into_iter()).scale, Scale::Linear);
        assert_eq!(ticks(&Axis::exactly([0.0, 1500.0].into_iter())), ["0", "500", "1000", "1500"]);
    }

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (-1.23456, "−1.235"),
            (1234.56, "1235"),
            (123_456.0, "123456"),
            (0.05, "0.05"),
            (1.5e-7, "1.500·10⁻⁷"),
            (2e9, "2.000·10⁹"),
        ] {
            assert_eq!(number(value), expected);
        }
        assert_eq!((count(7), count(1_234_567)), ("7".to_owned(), "1\u{202f}234\u{202f}567".to_owned()));
        let spans = [(0.5, "0.5 s"), (59.9, "1 min 0 s"), (3_725.0, "1 h 2 min")];
        assert!(spans.iter().all(|&(seconds, expected)| duration(seconds) == expected));
    }

    proptest! {
        #[test]
        fn an_axis_holds_its_values(values in proptest::collection::vec(-1e9_f64..1e9, 1..20)) {
            for axis in [Axis::around(values.iter().copied()), Axis::exactly(values.iter().copied())] {
                prop_assert!((2..=12).contains(&axis.ticks.len()) || values.len() == 1, "{axis:?}");
                for &value in &values {
                    prop_assert!((-1e-9..=1.0 + 1e-9).contains(&axis.place(value)), "{value} on {axis:?}");
                }
            }
        }
    }
}
