//! Charts as SVG that takes its colours from the page around it.

use std::fmt::Write as _;

use dqn_train::stats::Interval;

use crate::axis::{Axis, Scale, number};
use crate::curve::{Column, Shares};

/// Size of a chart in units of its own; the page scales it to the room there is.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 236.0;
/// Room around the plotted area for ticks and their labels.
const LEFT: f64 = 54.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;

const UPDATES: &str = "updates";

/// Colours of the page; lines after the last one begin again, dashed.
const N_COLOURS: usize = 8;

/// Most columns that are marked one by one.
const MOST_MARKS: usize = 30;
/// Most places that say their values when pointed at.
const MOST_STRIPS: usize = 60;

/// A curve and what it is called.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) label: String,
    /// Which of the colours of the page.
    pub(crate) colour: usize,
    pub(crate) columns: Vec<Column>,
}

/// Text as it may stand in a document, in an attribute too.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

/// The class that colours a line or an area.
pub(crate) fn colour_class(colour: usize) -> String {
    let dashed = if colour >= N_COLOURS { " dashed" } else { "" };
    format!("c{}{dashed}", colour % N_COLOURS)
}

/// The plotted area between its axes.
struct Frame {
    /// What the horizontal axis counts.
    x_name: &'static str,
    x: Axis,
    y: Axis,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    /// A chart called `title` with `marks` between its axes.
    fn svg(&self, title: &str, marks: &str) -> String {
        let title = escaped(title);
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>"
        );
        svg += "<g class=\"grid\">";
        for (tick, _) in &self.y.ticks {
            let _ = write!(svg, "<path d=\"M{LEFT} {y:.1}H{}\"/>", WIDTH - RIGHT, y = self.y(*tick));
        }
        svg += "</g><g class=\"axis\">";
        let floor = HEIGHT - BOTTOM;
        let _ = write!(svg, "<path d=\"M{LEFT} {floor}H{}\"/>", WIDTH - RIGHT);
        for (tick, _) in &self.x.ticks {
            let _ = write!(svg, "<path d=\"M{x:.1} {floor}v4\"/>", x = self.x(*tick));
        }
        svg += "</g><g class=\"ticks\">";
        for (tick, label) in &self.y.ticks {
            let (x, y) = (LEFT - 8.0, self.y(*tick) + 4.0);
            let _ = write!(svg, "<text x=\"{x}\" y=\"{y:.1}\" class=\"end\">{label}</text>");
        }
        for (tick, label) in &self.x.ticks {
            let (x, y) = (self.x(*tick), floor + 17.0);
            let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{y}\" class=\"middle\">{label}</text>");
        }
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" class=\"end name\">{}</text>",
            WIDTH - RIGHT,
            floor + 33.0,
            self.x_name
        );
        svg += "</g>";
        svg += marks;
        svg += "</svg>";
        svg
    }

    /// Places that say what `values` tells of them when pointed at.
    fn strips(&self, xs: &[f64], values: impl Fn(f64) -> String) -> String {
        let mut xs = xs.to_vec();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let every = xs.len().div_ceil(MOST_STRIPS).max(1);
        let xs: Vec<f64> = xs.into_iter().step_by(every).collect();
        let mut svg = "<g class=\"strips\">".to_owned();
        for (index, &x) in xs.iter().enumerate() {
            let middle = |other: usize| xs.get(other).map(|&other| (self.x(x) + self.x(other)) / 2.0);
            let left = index.checked_sub(1).and_then(middle).unwrap_or(LEFT);
            let right = middle(index + 1).unwrap_or(WIDTH - RIGHT);
            let _ = write!(
                svg,
                "<rect x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"><title>{}</title></rect>",
                right - left,
                HEIGHT - TOP - BOTTOM,
                escaped(&values(x))
            );
        }
        svg + "</g>"
    }
}

/// A polygon or line through points of the page.
fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in points {
        let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { 'M' } else { 'L' });
    }
    path
}

fn bands(frame: &Frame, lines: &[Line]) -> String {
    let mut marks = String::new();
    for Line { columns, colour, .. } in lines {
        let class = colour_class(*colour);
        if columns.iter().any(|column| column.low < column.high) {
            let upper = columns.iter().map(|column| (frame.x(column.x), frame.y(column.high)));
            let lower = columns.iter().rev().map(|column| (frame.x(column.x), frame.y(column.low)));
            let _ = write!(marks, "<path class=\"band {class}\" d=\"{}Z\"/>", path(upper.chain(lower)));
        }
    }
    marks
}

/// Shares from 0 to 1 above a return, each with its band, as a line that steps down.
pub(crate) fn profile(title: &str, lines: &[Line]) -> String {
    let columns = || lines.iter().flat_map(|line| &line.columns);
    let xs: Vec<f64> = columns().map(|column| column.x).collect();
    let frame =
        Frame { x_name: "return", x: Axis::exactly(xs.iter().copied()), y: Axis::spanning_zero([1.0].into_iter()) };
    let mut marks = bands(&frame, lines);
    for Line { columns, colour, .. } in lines {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for column in columns {
            // A share holds until the return at which it falls.
            points.extend(points.last().map(|&(_, y)| (frame.x(column.x), y)));
            points.push((frame.x(column.x), frame.y(column.middle)));
        }
        let _ = write!(marks, "<path class=\"line {}\" d=\"{}\"/>", colour_class(*colour), path(points.into_iter()));
    }
    marks += &frame.strips(&xs, |x| {
        let mut text = format!("above {}", number(x));
        for line in lines {
            if let Some(column) = nearest(&line.columns, x) {
                let _ = write!(text, "\n{}{}", labelled(&line.label), number(column.middle));
            }
        }
        text
    });
    frame.svg(title, &marks)
}

/// Curves over updates, each with the band of its columns; whether the axis of values is logarithmic.
pub(crate) fn lines(title: &str, lines: &[Line]) -> (String, Scale) {
    let columns = || lines.iter().flat_map(|line| &line.columns);
    let frame = Frame {
        x_name: UPDATES,
        x: Axis::exactly(columns().map(|column| column.x)),
        y: Axis::around(columns().flat_map(|column| [column.low, column.high])),
    };
    let mut marks = bands(&frame, lines);
    for Line { columns, colour, .. } in lines {
        let class = colour_class(*colour);
        let line = path(columns.iter().map(|column| (frame.x(column.x), frame.y(column.middle))));
        let _ = write!(marks, "<path class=\"line {class}\" d=\"{line}\"/>");
        if columns.len() <= MOST_MARKS {
            for column in columns {
                let (x, y) = (frame.x(column.x), frame.y(column.middle));
                let _ = write!(marks, "<circle class=\"mark {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.4\"/>");
            }
        }
    }
    let xs: Vec<f64> = columns().map(|column| column.x).collect();
    marks += &frame.strips(&xs, |x| {
        let mut text = format!("update {}", number(x));
        for line in lines {
            if let Some(column) = nearest(&line.columns, x) {
                let _ = write!(text, "\n{}{}", labelled(&line.label), number(column.middle));
                if column.low < column.high {
                    let _ = write!(text, " ({} to {})", number(column.low), number(column.high));
                }
            }
        }
        text
    });
    (frame.svg(title, &marks), frame.y.scale)
}

/// Values over the divergence that they cost, each with its band.
pub(crate) fn tradeoff(title: &str, lines: &[Line]) -> String {
    let columns = || lines.iter().flat_map(|line| &line.columns);
    let frame = Frame {
        x_name: "KL from the policy of the data, nats a text",
        x: Axis::spanning_zero(columns().map(|column| column.x)),
        y: Axis::around(columns().flat_map(|column| [column.low, column.high])),
    };
    let mut marks = bands(&frame, lines);
    for Line { label, columns, colour } in lines {
        let class = colour_class(*colour);
        let line = path(columns.iter().map(|column| (frame.x(column.x), frame.y(column.middle))));
        let _ = write!(marks, "<path class=\"line {class}\" d=\"{line}\"/>");
        for column in columns {
            let (x, y) = (frame.x(column.x), frame.y(column.middle));
            let said = format!("{}{} at {} nats", labelled(label), number(column.middle), number(column.x));
            let _ = write!(
                marks,
                "<circle class=\"mark {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.8\"><title>{}</title></circle>",
                escaped(&said)
            );
        }
    }
    frame.svg(title, &marks)
}

/// Five quantiles over updates, from the lowest to the highest, at the same places: the middle one as a line, each of the
/// others with its opposite as a band; whether the axis of values is logarithmic.
pub(crate) fn fan(title: &str, curves: &[Vec<Column>; 5], colour: usize) -> (String, Scale) {
    const NAMES: [&str; 5] = ["5 %", "25 %", "median", "75 %", "95 %"];
    let columns = || curves.iter().flatten();
    let frame = Frame {
        x_name: UPDATES,
        x: Axis::exactly(columns().map(|column| column.x)),
        y: Axis::around(columns().map(|column| column.middle)),
    };
    let class = colour_class(colour);
    let place = |column: &Column| (frame.x(column.x), frame.y(column.middle));
    let mut marks = String::new();
    for (low, high) in [(0, 4), (1, 3)].into_iter().filter(|_| !curves[0].is_empty()) {
        let outline = path(curves[high].iter().map(place).chain(curves[low].iter().rev().map(place)));
        let _ = write!(marks, "<path class=\"band {class}\" d=\"{outline}Z\"/>");
    }
    let _ = write!(marks, "<path class=\"line {class}\" d=\"{}\"/>", path(curves[2].iter().map(place)));
    let xs: Vec<f64> = curves[2].iter().map(|column| column.x).collect();
    marks += &frame.strips(&xs, |x| {
        let mut text = format!("update {}", number(x));
        for (name, curve) in NAMES.iter().zip(curves).rev() {
            if let Some(column) = nearest(curve, x) {
                let _ = write!(text, "\n{name}: {}", number(column.middle));
            }
        }
        text
    });
    (frame.svg(title, &marks), frame.y.scale)
}

fn labelled(label: &str) -> String {
    if label.is_empty() { String::new() } else { format!("{label}: ") }
}

/// The column nearest to `x` among columns in the order of x.
fn nearest(columns: &[Column], x: f64) -> Option<&Column> {
    columns.iter().min_by(|one, other| (one.x - x).abs().total_cmp(&(other.x - x).abs()))
}

/// Shares of a sum over updates, positive ones upwards from 0 and negative ones downwards, and the sum as a line.
pub(crate) fn stack(title: &str, names: &[String], shares: &[Shares]) -> String {
    let towers: Vec<Vec<(f64, f64)>> = shares.iter().map(|share| tower(&share.values)).collect();
    let sums = || shares.iter().map(|share| share.values.iter().sum::<f64>());
    let ends = towers.iter().flatten().flat_map(|&(low, high)| [low, high]);
    let frame = Frame {
        x_name: UPDATES,
        x: Axis::exactly(shares.iter().map(|share| share.x)),
        y: Axis::spanning_zero(ends.chain(sums())),
    };
    let mut marks = String::new();
    for index in 0..names.len() {
        let floor = shares.iter().zip(&towers).map(|(share, tower)| (frame.x(share.x), frame.y(tower[index].0)));
        let roof = shares.iter().zip(&towers).rev().map(|(share, tower)| (frame.x(share.x), frame.y(tower[index].1)));
        let _ = write!(marks, "<path class=\"area {}\" d=\"{}Z\"/>", colour_class(index), path(floor.chain(roof)));
    }
    let line = path(shares.iter().zip(sums()).map(|(share, sum)| (frame.x(share.x), frame.y(sum))));
    let _ = write!(marks, "<path class=\"line sum\" d=\"{line}\"/>");
    let xs: Vec<f64> = shares.iter().map(|share| share.x).collect();
    marks += &frame.strips(&xs, |x| {
        let mut text = format!("update {}", number(x));
        let found = shares.iter().min_by(|one, other| (one.x - x).abs().total_cmp(&(other.x - x).abs()));
        for (name, value) in names.iter().zip(found.iter().flat_map(|found| &found.values)) {
            let _ = write!(text, "\n{name}: {}", number(*value));
        }
        text
    });
    frame.svg(title, &marks)
}

/// The range of each share when positive ones are set on each other upwards and negative ones downwards.
fn tower(values: &[f64]) -> Vec<(f64, f64)> {
    let (mut bottom, mut top) = (0.0, 0.0);
    let range = |&value: &f64| {
        let end = if value < 0.0 { &mut bottom } else { &mut top };
        let begin = *end;
        *end += value;
        (begin, *end)
    };
    values.iter().map(range).collect()
}

/// A mean with its interval as a mark in a cell of a table, on a common axis from `low` to `high`.
pub(crate) fn interval_mark(value: Interval, low: f64, high: f64) -> String {
    const WIDTH: f64 = 120.0;
    let span = if high > low { high - low } else { 1.0 };
    let x = |value: f64| 6.0 + (value - low) / span * (WIDTH - 12.0);
    format!(
        "<svg class=\"interval\" viewBox=\"0 0 {WIDTH} 14\" aria-hidden=\"true\">\
         <path d=\"M{:.1} 7H{:.1}\"/><circle cx=\"{:.1}\" cy=\"7\" r=\"3\"/></svg>",
        x(value.low),
        x(value.high),
        x(value.mean)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_texts_stays_text() {
        assert_eq!(escaped("<b a='1' c=\"2\">&"), "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;");
    }

    #[test]
    fn shares_stand_on_each_other() {
        assert_eq!(tower(&[1.0, -2.0, 3.0, -0.5]), [(0.0, 1.0), (0.0, -2.0), (1.0, 4.0), (-2.0, -2.5)]);
    }

    #[test]
    fn the_ninth_line_is_dashed() {
        assert_eq!((colour_class(0), colour_class(7), colour_class(8)), ("c0".into(), "c7".into(), "c0 dashed".into()));
    }
}
