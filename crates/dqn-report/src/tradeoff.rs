//! What a reward costs: returns over divergence, as a figure of its own.

use std::fmt::Write as _;

use dqn_train::stats::Interval;

use crate::chart::{self, Line, escaped};
use crate::curve::Column;

/// Ways to write that differ in one setting.
#[derive(Clone, Debug)]
pub struct Tradeoff {
    /// What they are called together.
    pub name: String,
    /// For each setting the divergence from the policy of the data, in nats a text, and the return.
    pub points: Vec<(f64, Interval)>,
}

/// Colours of lines in figures that no page gives any, those of the page by day.
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#b4478a", "#c48a00", "#3ba3dd", "#6b57b5", "#77808a"];

/// An SVG file called `title` with the return of all `curves` over their divergence, in the order of divergence.
pub fn svg(title: &str, curves: &[Tradeoff]) -> String {
    let line = |(colour, curve): (usize, &Tradeoff)| {
        let column = |&(x, value): &(f64, Interval)| Column { x, middle: value.mean, low: value.low, high: value.high };
        let mut columns: Vec<Column> = curve.points.iter().map(column).collect();
        columns.sort_by(|one, other| one.x.total_cmp(&other.x));
        Line { label: curve.name.clone(), colour, columns }
    };
    let lines: Vec<Line> = curves.iter().enumerate().map(line).collect();
    let figure = chart::tradeoff(title, &lines);
    let (head, body) = figure.split_once('>').expect("a figure begins with its element");
    let head = head.replacen("<svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"", 1);
    let mut style = "svg{font-family:sans-serif;background:#fff}text{fill:#555;font-size:11.5px}.end{text-anchor:end}\
                     .middle{text-anchor:middle}.grid path{stroke:#ddd}.axis path{stroke:#777;fill:none}\
                     .line{fill:none;stroke-width:1.75}.band{opacity:.18;stroke:none}.strips rect{fill:transparent}"
        .to_owned();
    for (index, colour) in COLOURS.iter().enumerate() {
        let _ = write!(style, ".line.c{index}{{stroke:{colour}}}.band.c{index},.mark.c{index}{{fill:{colour}}}");
    }
    let mut names = String::new();
    for (index, line) in lines.iter().enumerate() {
        let (y, class) = (24 + 15 * index, chart::colour_class(line.colour));
        let _ = write!(
            names,
            "<circle class=\"mark {class}\" cx=\"68\" cy=\"{}\" r=\"3.5\"/><text x=\"77\" y=\"{y}\">{}</text>",
            y - 4,
            escaped(&line.label)
        );
    }
    let body = body.strip_suffix("</svg>").expect("a figure ends with its element");
    format!("{head}><style>{style}</style>{body}{names}</svg>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_stands_alone_and_names_its_curves() {
        let at = |mean: f64| Interval { mean, low: mean - 0.1, high: mean + 0.1 };
        let curves = [
            Tradeoff { name: "steered & \"free\"".to_owned(), points: vec![(2.0, at(0.5)), (0.0, at(0.1))] },
            Tradeoff { name: "best of n".to_owned(), points: vec![(1.2, at(0.4))] },
        ];
        let found = svg("return over divergence", &curves);
        let document = roxmltree::Document::parse(&found).unwrap();
        let of_class = |name: &str| {
            let is_of = |node: &roxmltree::Node<'_, '_>| {
                node.attribute("class").is_some_and(|class| class.split(' ').any(|word| word == name))
            };
            document.descendants().filter(is_of).count()
        };
        assert_eq!(document.root_element().tag_name().namespace(), Some("http://www.w3.org/2000/svg"));
        // Three points and the names of two curves; each curve has a line and a band, if of no width.
        assert_eq!((of_class("mark"), of_class("line"), of_class("band")), (5, 2, 2), "{found}");
        let texts: Vec<_> = document.descendants().filter_map(|node| node.text()).collect();
        assert!(texts.contains(&"steered & \"free\""), "{texts:?}");
        assert!(texts.iter().any(|text| text.contains("KL")), "{texts:?}");
        // The curve is drawn from the least divergence on, wherever it was listed.
        let line = document.descendants().find(|node| node.attribute("class") == Some("line c0")).unwrap();
        let path: Vec<&str> =
            line.attribute("d").unwrap().split(['M', 'L', ' ']).filter(|word| !word.is_empty()).collect();
        assert!(path[0].parse::<f64>().unwrap() < path[2].parse::<f64>().unwrap(), "{path:?}");
    }
}
