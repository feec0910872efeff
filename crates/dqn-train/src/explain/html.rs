//! An explanation as one HTML file that needs no other: light or dark as the reader has it, and readable on a phone.

use std::fmt::Write;

use super::text::{facts, readable};
use super::{ActionView, Explanation, StepView};

const STYLE: &str = "
:root { color-scheme: light dark; --page: #fdfdfb; --ink: #1d1d1b; --faint: #6b6b66; --line: #d9d9d2;
  --good: #2f9e55; --bad: #d64545; --salient: #d99a1c; }
@media (prefers-color-scheme: dark) { :root { --page: #17181a; --ink: #e8e8e4; --faint: #9a9a94; --line: #3a3c40;
  --good: #3fbf6d; --bad: #ef6a6a; --salient: #e0b04a; } }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--page); color: var(--ink);
  font: 1rem/1.6 system-ui, sans-serif; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; }
.facts, figcaption { color: var(--faint); font-size: .9rem; }
.text { font-size: 1.15rem; line-height: 2; overflow-wrap: anywhere; white-space: pre-wrap; }
.text a { color: inherit; text-decoration: none; }
.token { border-radius: .2em; padding: .1em .05em;
  background: color-mix(in srgb, var(--colour, transparent) var(--share, 0%), transparent); }
.wrote { border-bottom: 2px solid var(--line); }
figure { margin: 1rem 0; } svg { width: 100%; height: 8rem; }
details { border-top: 1px solid var(--line); padding: .3rem 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .1rem .6rem .1rem 0; text-align: right; white-space: nowrap; }
th:nth-child(2), td:nth-child(2) { text-align: left; }
.taken { font-weight: 600; } .masked { color: var(--faint); }
";

/// The page.
pub fn html(explanation: &Explanation) -> String {
    let mut page = String::new();
    page += "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
    page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    page += &format!("<title>What decided</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>What decided</h1>\n");
    page += &format!("<p class=\"facts\">{}.</p>\n", escaped(&facts(explanation).join("; ")));
    if let Some(about) = &explanation.about {
        page += &format!("<h2>What it is about</h2>\n<p class=\"text\">{}</p>\n", escaped(&about.text));
    }
    page += "<h2>The text, by advantage</h2>\n";
    page += "<p class=\"facts\">Underlined is what the policy wrote: green above the baseline of its advantage, red below \
             it. Follow a token to its decision.</p>\n";
    page += &by_advantage(explanation);
    page += &values(explanation);
    page += "<h2>Decisions</h2>\n";
    for (index, step) in explanation.steps.iter().enumerate() {
        page += &decision(explanation, index, step);
    }
    page += "</body>\n</html>\n";
    page
}

fn by_advantage(explanation: &Explanation) -> String {
    let largest = explanation.largest_advantage();
    let mut out = "<p class=\"text\">".to_owned();
    for (_, token) in explanation.tokens_from(1) {
        let text = escaped(&token.text);
        match token.step {
            Some(step) => {
                let advantage = explanation.steps[step].taken.advantage;
                let style = colour(advantage / largest, ["var(--good)", "var(--bad)"]);
                out += &format!(
                    "<a href=\"#step-{step}\" title=\"step {step}: advantage {advantage:+.3}\">\
                     <span class=\"token wrote\"{style}>{text}</span></a>"
                );
            }
            None => out += &text,
        }
        out += &explanation.separator;
    }
    out + "</p>\n"
}

/// A background of the first colour above 0 and of the second below; `share` is from -1 to 1.
fn colour(share: f32, [above, below]: [&str; 2]) -> String {
    let percent = (70.0 * share.abs()).round();
    match percent > 0.0 {
        true => format!(" style=\"--colour:{};--share:{percent}%\"", if share > 0.0 { above } else { below }),
        false => String::new(),
    }
}

/// The value over the steps, as a line.
fn values(explanation: &Explanation) -> String {
    let (width, height) = (600.0_f32, 120.0_f32);
    let series: Vec<f32> = explanation.steps.iter().map(|step| step.max_q).collect();
    // 0 is part of the picture, so that small changes look small.
    let (low, high) = series.iter().fold((0.0_f32, 0.0_f32), |(low, high), &value| (low.min(value), high.max(value)));
    let spread = if high > low { high - low } else { 1.0 };
    let across = width / (series.len().max(2) - 1) as f32;
    let mut points = String::new();
    for (index, value) in series.iter().enumerate() {
        let (x, y) = (index as f32 * across, 5.0 + (height - 10.0) * (1.0 - (value - low) / spread));
        // Writing to a string does not fail.
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    format!(
        "<figure>\n<svg viewBox=\"0 0 {width} {height}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"value over the steps\">\n<polyline points=\"{}\" fill=\"none\" stroke=\"currentColor\" \
         stroke-width=\"2\" vector-effect=\"non-scaling-stroke\"/>\n</svg>\n\
         <figcaption>Highest value of the allowed actions over the steps, drawn from {low:.3} to {high:.3}.</figcaption>\n</figure>\n",
        points.trim_end()
    )
}

fn decision(explanation: &Explanation, index: usize, step: &StepView) -> String {
    let taken = &step.taken;
    let rank = taken.rank.map_or_else(|| "masked".to_owned(), |rank| format!("rank {rank} of {}", step.n_allowed));
    let mut out = format!(
        "<details id=\"step-{index}\" open>\n<summary>{index}: <b>{}</b>, {rank}, max Q {:.3}",
        escaped(&readable(&taken.text)),
        step.max_q
    );
    if let Some(value) = step.state_value {
        out += &format!(", state value {value:.3}");
    }
    if let Some(margin) = step.margin {
        out += &format!(", margin {margin:.3}");
    }
    out += "</summary>\n";
    match &step.saliency {
        Some(saliency) => {
            let largest = saliency.iter().skip(1).fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
            out += "<p class=\"text\">";
            for (place, token) in explanation.tokens_from(1).take(step.place) {
                let style = colour(saliency[place] / largest, ["var(--salient)", "var(--bad)"]);
                out += &format!(
                    "<span class=\"token\" title=\"{:+.3}\"{style}>{}</span>{}",
                    saliency[place],
                    escaped(&token.text),
                    explanation.separator
                );
            }
            out += "</p>\n";
        }
        None => out += "<p class=\"facts\">No other action is allowed.</p>\n",
    }
    if let (Some(about), Some(saliency)) = (&explanation.about, &step.source_saliency) {
        let largest = saliency.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
        out += "<p class=\"text\">";
        for (token, saliency) in about.tokens.iter().zip(saliency) {
            let style = colour(saliency / largest, ["var(--salient)", "var(--bad)"]);
            out += &format!("<span class=\"token\" title=\"{saliency:+.3}\"{style}>{}</span>", escaped(token));
            out += &about.separator;
        }
        out += "</p>\n";
    }
    out +=
        "<div class=\"wide\"><table>\n<tr><th>rank</th><th>action</th><th>Q</th><th>advantage</th><th>probability</th>";
    if explanation.prior.is_some() {
        out += "<th>prior</th>";
    }
    out += "</tr>\n";
    let is_shown = step.top.iter().any(|view| view.action == taken.action);
    let others = step.masked.iter().filter(|view| view.action != taken.action);
    for view in step.top.iter().chain((!is_shown).then_some(taken)).chain(others) {
        out += &row(view, view.action == taken.action);
    }
    out + "</table></div>\n</details>\n"
}

fn row(view: &ActionView, is_taken: bool) -> String {
    let class = match (is_taken, view.allowed) {
        (true, _) => " class=\"taken\"",
        (false, true) => "",
        (false, false) => " class=\"masked\"",
    };
    let rank = view.rank.map_or_else(|| "masked".to_owned(), |rank| rank.to_string());
    let prior = view.prior_probability.map(|prior| format!("<td>{prior:.3}</td>")).unwrap_or_default();
    format!(
        "<tr{class}><td>{rank}</td><td>{}</td><td>{:.3}</td><td>{:+.3}</td><td>{:.3}</td>{prior}</tr>\n",
        escaped(&readable(&view.text)),
        view.q,
        view.advantage,
        view.probability
    )
}

/// Text that HTML takes as text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_cannot_be_markup() {
        assert_eq!(escaped("<b>\"a\" & b"), "&lt;b&gt;&quot;a&quot; &amp; b");
    }

    #[test]
    fn colours_tell_the_sign() {
        assert_eq!(colour(1.0, ["x", "y"]), " style=\"--colour:x;--share:70%\"");
        assert_eq!(colour(-0.5, ["x", "y"]), " style=\"--colour:y;--share:35%\"");
        assert_eq!(colour(0.0, ["x", "y"]), "");
    }
}
