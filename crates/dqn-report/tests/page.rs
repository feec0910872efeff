//! The page about runs, read back as a document.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use dqn_report::{Page, ReportError, RunFiles};
use dqn_train::run::metrics::Record;
use dqn_train::samples::{LoggedSample, Piece, Reference};
use roxmltree::{Document, Node, ParsingOptions};
use serde_json::json;

/// A text that would be markup if it were let.
const MARKUP: &str = "<script>alert('1 & 2')</script>\u{1}";

/// A folder with a run of three records.
fn run(base: &Path, folder: &str, seed: u64, n_step: u64) -> PathBuf {
    let path = base.join(folder);
    fs::create_dir_all(path.join("eval")).unwrap();
    fs::write(path.join("run.json"), r#"{"format":1,"program_version":"0.9.9"}"#).unwrap();
    fs::write(path.join("origin.json"), r#"{"backend":"flex","corpus":"","others":[]}"#).unwrap();
    let config = format!("name = \"<b>verse</b>\"\nseed = {seed}\n[learner]\nn_step = {n_step}\ndiscount = 0.5\n");
    fs::write(path.join("config.toml"), config).unwrap();
    let record = |update: u64, loss: Option<f64>| {
        let scalars = json!({
            "learn/loss": loss, "learn/q_by_<kind>": 1.5, "validation/return": seed, "reward/form": -0.5,
            "reward/bleu": 1.0, "odd": null,
            "learn/q_p05": -2.0, "learn/q_p25": -1.0, "learn/q_p50": 0.0, "learn/q_p75": 1.0, "learn/q_p95": loss,
            "learn/odd_p05": 1.0,
        });
        let record =
            json!({"update": update, "step": 8 * update, "episode": 0, "wall_seconds": 0.5, "scalars": scalars});
        format!("{record}\n")
    };
    let records = [record(0, Some(4.0)), record(1, None), record(2, Some(2.0))].concat();
    fs::write(path.join("metrics.jsonl"), records + "{\"half").unwrap();
    let sample = json!({"update": 2, "prompt": "<i>", "text": format!("<i>{MARKUP}"), "episode_return": 0.25});
    fs::write(path.join("samples.jsonl"), format!("{sample}\n")).unwrap();
    let row = |policy: &str, mean: f64| {
        json!({"policy": policy, "split": "train", "terms": {"form": 0.125}, "n_steps": 3.0, "n_episodes": 4, "seed": 0,
            "episode_return": {"mean": mean, "low": mean - 1.0, "high": mean + 1.0}})
    };
    let report = json!({"speed": null, "report": {
        "rows": [row("random & <bad>", -5.0), row("DQN", seed as f64)], "learned": ["DQN"],
        "samples": [{"prompt": "a", "before": "ab", "before_return": 0.0, "after": MARKUP, "after_return": 1.0}],
        "generalisation_gap": 0.5, "fitted_temperature": null, "progress": {"steps": 16, "updates": 2, "episodes": 0},
    }});
    fs::write(path.join("eval/report.json"), report.to_string()).unwrap();
    path
}

fn page(paths: &[PathBuf]) -> Page {
    Page::new(&RunFiles::read_all(paths).unwrap())
}

fn document(page: &Page) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(&page.html, options).unwrap_or_else(|fault| panic!("{fault}\n{}", page.html))
}

/// The text of a node and of everything below it.
fn text(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|node| if node.is_text() { node.text() } else { None }).collect()
}

fn elements<'a>(document: &'a Document<'_>, name: &str) -> Vec<Node<'a, 'a>> {
    document.descendants().filter(|node| node.tag_name().name() == name).collect()
}

/// The chart of a measure.
fn chart<'a>(document: &'a Document<'_>, key: &str) -> Node<'a, 'a> {
    let found = document.descendants().find(|node| node.attribute("data-series") == Some(key));
    found.unwrap_or_else(|| panic!("there is no chart of {key}"))
}

fn with_class<'a>(node: Node<'a, 'a>, class: &str) -> Vec<Node<'a, 'a>> {
    let has =
        |node: &Node<'_, '_>| node.attribute("class").is_some_and(|classes| classes.split(' ').any(|c| c == class));
    node.descendants().filter(has).collect()
}

#[test]
fn everything_that_was_measured_has_a_chart() {
    let base = tempfile::tempdir().unwrap();
    let page = page(&[run(base.path(), "a", 1, 1)]);
    let document = document(&page);
    let keys = [
        "learn/loss",
        "learn/q_by_<kind>",
        "learn/q_p…",
        "learn/odd_p05",
        "validation/return",
        "reward/form",
        "reward/bleu",
        "odd",
        "reward/",
        "wall_seconds",
        "step",
    ];
    for key in keys {
        let svg = chart(&document, key).descendants().find(|node| node.tag_name().name() == "svg");
        let title = svg.unwrap().children().find(|node| node.tag_name().name() == "title").unwrap();
        assert!(text(title).ends_with("over updates"), "{key}");
    }
    assert_eq!(page.n_charts, keys.len(), "there is a chart of something else");
    // Of the losses 4, nothing and 2 two can be drawn; of the odd values none.
    let loss = chart(&document, "learn/loss");
    assert_eq!(with_class(loss, "mark").len(), 2);
    assert!(text(loss).contains("1 value not finite, left out"), "{}", text(loss));
    assert!(text(loss).contains("update 2\n2"), "{}", text(loss));
    assert_eq!(with_class(chart(&document, "odd"), "line").len(), 0);
    assert!(text(chart(&document, "odd")).contains("3 values not finite"));
    // Three quantiles of Q below and above the median are two bands; where one is not finite there is none.
    let fan = chart(&document, "learn/q_p…");
    assert_eq!((with_class(fan, "band").len(), with_class(fan, "line").len()), (2, 1));
    assert!(text(fan).contains("update 0\n95 %: 4\n75 %: 1\nmedian: 0\n25 %: −1\n5 %: −2"), "{}", text(fan));
    assert!(text(fan).contains("1 value not finite, left out"), "{}", text(fan));
    // One term upwards from 0, one downwards, and their sum.
    let terms = chart(&document, "reward/");
    assert_eq!((with_class(terms, "line").len(), text(terms).contains("form: −0.5")), (1, true));
}

#[test]
fn texts_stay_texts_and_nothing_is_asked_from_elsewhere() {
    let base = tempfile::tempdir().unwrap();
    let page = page(&[run(base.path(), "a", 1, 1)]);
    let document = document(&page);
    for forbidden in ["script", "iframe", "img", "object", "embed", "b", "i", "bad"] {
        assert_eq!(elements(&document, forbidden).len(), 0, "{forbidden}");
    }
    for node in document.descendants() {
        for attribute in node.attributes() {
            let is_link = ["href", "src", "data", "action"].contains(&attribute.name());
            let is_own = attribute.value().starts_with('#') || attribute.value() == "data:,";
            assert!(!is_link || is_own, "{} = {}", attribute.name(), attribute.value());
        }
    }
    let style = text(elements(&document, "style")[0]);
    assert!(!style.contains("url(") && !style.contains("@import"), "{style}");
    let title = text(elements(&document, "h1")[0]);
    assert_eq!(title, "<b>verse</b>");
    let body = text(elements(&document, "body")[0]);
    for part in ["<script>alert('1 & 2')</script>␁", "random & <bad>", "dqn-cli 0.9.9", "0.125", "0.500", "n_step = 1"]
    {
        assert!(body.contains(part), "{part:?} is missing");
    }
    // What a link of the navigation leads to is there.
    for link in elements(&document, "a") {
        let target = link.attribute("href").unwrap().trim_start_matches('#');
        assert!(document.descendants().any(|node| node.attribute("id") == Some(target)), "{target}");
    }
}

#[test]
fn runs_that_differ_in_their_seed_are_one_line_with_a_band() {
    let base = tempfile::tempdir().unwrap();
    let paths = [run(base.path(), "a", 1, 1), run(base.path(), "b", 3, 1), run(base.path(), "c", 7, 5)];
    let page = page(&paths);
    let document = document(&page);
    let returns = chart(&document, "validation/return");
    let svg = returns.descendants().find(|node| node.tag_name().name() == "svg").unwrap();
    assert_eq!((with_class(svg, "line").len(), with_class(svg, "band").len()), (2, 1));
    assert!(text(svg).contains("<b>verse</b> (learner.n_step=1): 2 (1 to 3)"), "{}", text(svg));
    let differences = with_class(document.root(), "settings")[0];
    let rows: Vec<String> = differences
        .descendants()
        .filter(|node| node.tag_name().name() == "tr")
        .map(|row| row.children().map(text).filter(|cell| !cell.trim().is_empty()).collect::<Vec<_>>().join("|"))
        .collect();
    assert_eq!(rows[1..], ["learner.n_step|1|5", "seed|1, 3|7"]);
    let body = text(elements(&document, "body")[0]);
    // The mean over seeds 1 and 3.
    assert!(body.contains("2.000 [1.000, 3.000]"));
}

#[test]
fn what_actions_wrote_is_coloured_by_its_advantage() {
    let base = tempfile::tempdir().unwrap();
    let path = run(base.path(), "a", 1, 1);
    let sample = json!({"update": 3, "prompt": "go", "text": "go <west> A wall.", "episode_return": 0.5,
        "advantage_over": "prior", "pieces": [{"text": "go"}, {"text": " <west>", "q": 2.0, "advantage": -0.5},
        {"text": " A wall."}, {"text": "", "q": 1.5, "advantage": 0.25}]});
    let old = fs::read_to_string(path.join("samples.jsonl")).unwrap();
    fs::write(path.join("samples.jsonl"), format!("{old}{sample}\n")).unwrap();
    let page = page(&[path]);
    let document = document(&page);
    let section = document.descendants().find(|node| node.attribute("id") == Some("samples")).unwrap();
    let coloured: Vec<(Option<&str>, Option<&str>, String)> = section
        .descendants()
        .filter(|node| node.tag_name().name() == "u" && node.attribute("title").is_some())
        .map(|node| (node.attribute("class"), node.attribute("title"), text(node)))
        .collect();
    let expected =
        [(Some("b4"), Some("Q 2, A −0.5"), "<west>".to_owned()), (Some("a2"), Some("Q 1.5, A +0.25"), "∎".to_owned())];
    assert_eq!(coloured, expected);
    let scale = with_class(section, "scale")[0];
    assert_eq!((text(scale).starts_with("−0.5"), text(scale).ends_with("+0.5")), (true, true), "{}", text(scale));
    assert!(text(section).contains("weighed by the prior"));
    // Each colour of the page has a rule for the screen and one for paper.
    let style = text(elements(&document, "style")[0]);
    for class in ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4"] {
        assert_eq!(style.matches(&format!(".{class} {{")).count(), 2, "{class}");
    }
}

#[test]
fn a_run_that_goes_on_is_shown_as_far_as_it_has_come() {
    let base = tempfile::tempdir().unwrap();
    let path = run(base.path(), "a", 1, 1);
    fs::remove_file(path.join("eval/report.json")).unwrap();
    fs::remove_file(path.join("samples.jsonl")).unwrap();
    let page = page(&[path]);
    let document = document(&page);
    assert!(text(elements(&document, "main")[0]).contains("No run has come to its end"));
    assert!(!document.descendants().any(|node| node.attribute("id") == Some("samples")));
}

#[test]
fn damaged_files_are_named() {
    let base = tempfile::tempdir().unwrap();
    let path = run(base.path(), "a", 1, 1);
    let check = |file: &str, content: &str, parts: &[&str]| {
        let file = path.join(file);
        let before = fs::read(&file).unwrap();
        fs::write(&file, content).unwrap();
        let fault = RunFiles::read(&path).unwrap_err().to_string();
        fs::write(&file, before).unwrap();
        assert!(fault.contains(&file.display().to_string()), "{fault}");
        parts.iter().for_each(|part| assert!(fault.contains(part), "{part:?} is not in: {fault}"));
    };
    let good = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let first = good.lines().next().unwrap();
    check("metrics.jsonl", &format!("{first}\n{{\"update\": x}}\n"), &["line 2 of"]);
    check("metrics.jsonl", "", &["holds no measurement"]);
    check("samples.jsonl", "{}\n", &["line 1 of", "missing field"]);
    check("eval/report.json", "{\n\"report\": 1}", &["line 2"]);
    check("config.toml", "name = \"a\"\nseed = \n", &["line 2"]);
    check("config.toml", "name = 5\nseed = 1\n", &["name must be a text"]);
    fs::remove_file(path.join("metrics.jsonl")).unwrap();
    let fault = RunFiles::read(&path).unwrap_err().to_string();
    assert!(fault.starts_with("cannot read") && fault.contains("metrics.jsonl"), "{fault}");
    let fault = RunFiles::read(&base.path().join("nowhere")).unwrap_err().to_string();
    assert!(fault.contains("nowhere is not a run directory"), "{fault}");
    let path = run(base.path(), "a", 1, 1);
    let twice = [path.clone(), base.path().join("a/../a")];
    assert!(matches!(RunFiles::read_all(&twice), Err(ReportError::NamedTwice { .. })));
}

#[test]
fn a_long_run_makes_a_small_page() {
    let base = tempfile::tempdir().unwrap();
    let mut run = RunFiles::read(&run(base.path(), "a", 1, 1)).unwrap();
    let names: Vec<String> = (0..12).map(|index| format!("learn/measure_{index}")).collect();
    let record = |update: u64| {
        // Values that neighbours do not share, so that nothing is short by accident.
        let value = |index: usize| (update as f64 * (0.37 + index as f64)).sin() * 1.234_567e3;
        let scalars = names.iter().enumerate().map(|(index, name)| (name.clone(), value(index))).collect();
        Record { update, step: update, episode: update / 7, wall_seconds: update as f64 * 0.01, scalars }
    };
    run.records = (0..100_000).map(record).collect();
    let piece =
        |index: usize| Piece { text: "春".to_owned(), q: Some(-0.123_456), advantage: Some(index as f32 - 999.5) };
    let sample = |index: u64| LoggedSample {
        update: index,
        prompt: format!("{}", index % 8),
        text: "春".repeat(2_000),
        episode_return: 0.5,
        advantage_over: Some(Reference::Uniform),
        pieces: (0..2_000).map(piece).collect(),
    };
    let page = Page::new(std::slice::from_ref(&run));
    assert!(page.html.len() < 600_000, "{} bytes", page.html.len());
    run.samples = (0..90).map(sample).collect();
    let page = Page::new(&[run]);
    assert!(page.html.len() < 2_000_000, "{} bytes", page.html.len());
    assert_eq!(page.n_charts, 15);
    document(&page);
}

#[test]
fn experiments_of_several_seeds_are_compared() {
    let base = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = [("a1", 1, 1), ("a2", 2, 1), ("b3", 3, 3), ("b4", 4, 3)]
        .map(|(folder, seed, n_step)| run(base.path(), folder, seed, n_step))
        .to_vec();
    let page = page(&paths);
    let document = document(&page);
    let rows: Vec<Vec<String>> = document
        .descendants()
        .filter(|node| node.has_tag_name("tr"))
        .map(|row| row.children().filter(Node::is_element).map(|cell| text(cell).trim().to_owned()).collect())
        .collect();
    let row = |cells: &[&str]| rows.iter().any(|row| cells.iter().all(|cell| row.iter().any(|found| found == cell)));
    // The runs have learned to earn their seeds.
    assert!(row(&["2", "1.500 [1.000, 2.000]", "0.707", "1.000 (seed 1)"]), "{rows:?}");
    assert!(
        row(&["1.000 [1.000, 1.000]", "<b>verse</b> (learner.n_step=3)", "<b>verse</b> (learner.n_step=1)"]),
        "{rows:?}"
    );
    // From 1 to 4, nine tenths of the way: only the last run comes there, at its first record.
    assert!(row(&["<b>verse</b> (learner.n_step=3), seed 4", "0.000", "0.500", "0", "0.5 s"]), "{rows:?}");
    assert!(row(&["<b>verse</b> (learner.n_step=3), seed 3", "never"]), "{rows:?}");
    let profile = |document: &Document<'_>| {
        document.descendants().filter(|node| node.attribute("data-profile") == Some("train")).count()
    };
    assert_eq!(profile(&document), 1);
    // One experiment alone has nothing to be compared with.
    let one = self::page(&paths[..2]);
    assert_eq!(profile(&self::document(&one)), 0);
    assert!(one.html.contains("0.707") && !one.html.contains("better than"));
}

#[test]
fn a_threshold_is_named_by_its_measure() {
    let base = tempfile::tempdir().unwrap();
    let runs = RunFiles::read_all(&[run(base.path(), "a", 1, 1)]).unwrap();
    let threshold = "learn/loss=3".parse().unwrap();
    let page = Page::with_threshold(&runs, Some(&threshold));
    assert!(page.html.contains("updates until learn&#x2f;loss ≤ 3"), "{}", page.html);
    let refused = dqn_report::compare::threshold(&runs, Some("nothing=1".parse().unwrap())).unwrap_err();
    assert!(matches!(refused, ReportError::NotMeasured { .. }), "{refused}");
}
