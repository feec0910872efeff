//! The page: everything that is known of the runs, set as HTML.

use std::collections::BTreeMap;
use std::time::SystemTime;

use dqn_text::split::Split;
use dqn_train::evaluation::Evaluation;
use dqn_train::learning::Threshold;
use dqn_train::report::Report;
use dqn_train::run::metrics::Record;
use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use serde::Serialize;

use crate::RunFiles;
use crate::advantage::{MOST_COLOURED, Shade};
use crate::axis::{count, duration};
use crate::chart::{colour_class, interval_mark};
use crate::columns::columns_of;
use crate::compare::comparisons;
use crate::groups::{Difference, Group, differences, groups};
use crate::over_seeds::{ComparedView, LearningView, compared, learning};
use crate::panels::{Panel, Section, sections};
use crate::samples::{Prompt, Shown, Text, prompts, shown_return};

/// What the head of every page says, by which one is told from other files.
pub const GENERATOR: &str = "dqn-cli report";

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// A page about runs.
#[derive(Clone, Debug)]
pub struct Page {
    /// The document.
    pub html: String,
    /// Number of its charts.
    pub n_charts: usize,
}

impl Page {
    /// The page about `runs`, with the threshold of [`Threshold::default_for`].
    ///
    /// # Panics
    /// When there are no runs.
    pub fn new(runs: &[RunFiles]) -> Self {
        let records: Vec<&[Record]> = runs.iter().map(|run| run.records.as_slice()).collect();
        Self::with_threshold(runs, Threshold::default_for(&records).as_ref())
    }

    /// The page about `runs`, which tells when each of them reached `threshold`.
    ///
    /// # Panics
    /// When there are no runs.
    pub fn with_threshold(runs: &[RunFiles], threshold: Option<&Threshold>) -> Self {
        assert!(!runs.is_empty(), "a page about no runs");
        let groups = groups(runs);
        let sections: Vec<SectionView> = sections(runs, &groups).into_iter().map(SectionView::from).collect();
        let n_charts = sections.iter().map(|section| section.panels.len()).sum();
        let view = View {
            generator: GENERATOR,
            version: env!("CARGO_PKG_VERSION"),
            style: STYLE,
            title: title(&groups),
            has_bands: groups.iter().any(|group| group.runs.len() > 1),
            facts: facts(runs),
            legend: legend(&groups),
            runs: run_rows(&groups),
            comparisons: if runs.len() > 1 { compared(&comparisons(&groups, threshold)) } else { Vec::new() },
            learning: learning(&groups, threshold),
            results: results(&groups),
            sections,
            samples: samples(&groups),
            differences: differences(&groups).iter().map(difference_row).collect(),
            settings: groups.iter().map(settings).collect(),
        };
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.expect("only the white space differs from the usual syntax"));
        environment.add_template("page.html", TEMPLATE).expect("the template of the program is well-formed");
        let template = environment.get_template("page.html").expect("the template was added");
        let html = template.render(Serde(view)).expect("the template asks for nothing but what the view has");
        Self { html, n_charts }
    }
}

/// Everything that the template shows.
#[derive(Serialize)]
struct View {
    generator: &'static str,
    version: &'static str,
    style: &'static str,
    title: String,
    /// Whether bands are over runs.
    has_bands: bool,
    facts: Vec<Fact>,
    /// Names of the groups with their colours; none where there is one group.
    legend: Vec<Swatch>,
    runs: Vec<RunRow>,
    comparisons: Vec<ComparedView>,
    learning: Option<LearningView>,
    results: Vec<ResultView>,
    sections: Vec<SectionView>,
    samples: Vec<SamplesView>,
    differences: Vec<DifferenceRow>,
    settings: Vec<SettingsView>,
}

#[derive(Serialize)]
struct Fact {
    name: String,
    value: String,
}

#[derive(Serialize)]
pub(crate) struct Swatch {
    pub(crate) class: String,
    pub(crate) label: String,
}

#[derive(Serialize)]
struct RunRow {
    class: String,
    experiment: String,
    seed: i64,
    folder: String,
    updates: String,
    steps: String,
    episodes: String,
    wall_time: String,
    measured: String,
    program: String,
    state: &'static str,
}

/// A table of evaluations.
#[derive(Serialize)]
pub(crate) struct TableView {
    caption: String,
    heads: Vec<String>,
    rows: Vec<TableRow>,
}

#[derive(Serialize)]
struct TableRow {
    name: String,
    is_learned: bool,
    /// The return as a mark; empty where nothing judged it.
    mark: String,
    cells: Vec<String>,
}

/// The final evaluation of one run.
#[derive(Serialize)]
struct ResultView {
    label: String,
    is_open: bool,
    tables: Vec<TableView>,
    terms: Option<TermsView>,
    facts: Vec<String>,
    samples: Vec<BeforeAfter>,
    is_judged: bool,
}

#[derive(Serialize)]
struct TermsView {
    split: &'static str,
    heads: Vec<String>,
    rows: Vec<TableRow>,
}

#[derive(Serialize)]
struct BeforeAfter {
    before: Text,
    before_return: String,
    after: Text,
    after_return: String,
}

#[derive(Serialize)]
struct SectionView {
    id: &'static str,
    title: &'static str,
    panels: Vec<PanelView>,
}

#[derive(Serialize)]
struct PanelView {
    title: String,
    unit: String,
    key: String,
    svg: String,
    legend: Vec<Swatch>,
    note: Option<String>,
}

#[derive(Serialize)]
struct SamplesView {
    label: String,
    prompts: Vec<Prompt>,
    n_left_out: usize,
    is_judged: bool,
    colours: Option<ColoursView>,
}

/// What the colours of texts mean.
#[derive(Serialize)]
struct ColoursView {
    legend: Vec<Shade>,
    reference: &'static str,
}

#[derive(Serialize)]
struct DifferenceRow {
    key: String,
    values: Vec<String>,
}

#[derive(Serialize)]
struct SettingsView {
    label: String,
    seeds: String,
    config: String,
}

impl From<Section> for SectionView {
    fn from(Section { id, title, panels }: Section) -> Self {
        Self { id, title, panels: panels.into_iter().map(PanelView::from).collect() }
    }
}

impl From<Panel> for PanelView {
    fn from(Panel { title, unit, key, svg, legend, note }: Panel) -> Self {
        let swatch = |(colour, label)| Swatch { class: colour_class(colour), label };
        Self { title, unit, key, svg, legend: legend.into_iter().enumerate().map(swatch).collect(), note }
    }
}

/// A moment as a date and a time of day in universal time.
fn moment(time: Option<SystemTime>) -> String {
    let text = time.map(|time| humantime::format_rfc3339_seconds(time).to_string());
    text.map_or_else(String::new, |text| text.replace('T', " ").replace('Z', " UTC"))
}

/// The different ones of `values`, in order, divided by commas.
fn listed(values: impl Iterator<Item = String>) -> String {
    let mut different: Vec<String> = Vec::new();
    for value in values {
        if !different.contains(&value) {
            different.push(value);
        }
    }
    different.join(", ")
}

/// A range of counts.
fn range(values: impl Iterator<Item = u64> + Clone) -> String {
    let (low, high) = (values.clone().min().unwrap_or(0), values.max().unwrap_or(0));
    if low == high { count(low) } else { format!("{} to {}", count(low), count(high)) }
}

/// The names of the experiments or, where they are too long for a heading, their number.
fn title(groups: &[Group<'_>]) -> String {
    const MOST_CHARACTERS: usize = 60;
    let names = listed(groups.iter().map(|group| group.runs[0].name.clone()));
    let is_short = groups.len() == 1 || names.chars().count() <= MOST_CHARACTERS;
    if is_short { names } else { format!("{} experiments", groups.len()) }
}

fn facts(runs: &[RunFiles]) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push(Fact { name: name.to_owned(), value });
    if let [run] = runs {
        if let Some(row) = run.learned().last().filter(|row| !row.unjudged) {
            let interval = row.episode_return;
            fact(
                &format!("Return on {} prompts", row.split),
                format!("{:.3} [{:.3}, {:.3}]", interval.mean, interval.low, interval.high),
            );
        }
        fact("Run", run.path.display().to_string());
    } else {
        fact("Runs", count(runs.len() as u64));
    }
    fact(if runs.len() == 1 { "Seed" } else { "Seeds" }, listed(runs.iter().map(|run| run.seed.to_string())));
    fact("Updates", range(runs.iter().map(|run| run.last().update)));
    fact("Steps", range(runs.iter().map(|run| run.last().step)));
    fact("Episodes", range(runs.iter().map(|run| run.last().episode)));
    fact(
        if runs.len() == 1 { "Wall time" } else { "Wall time of all" },
        duration(runs.iter().map(|run| run.last().wall_seconds).sum()),
    );
    fact("Begun", moment(runs.iter().filter_map(|run| run.begun).min()));
    fact("Last measured", moment(runs.iter().filter_map(|run| run.measured).max()));
    fact("Backend", listed(runs.iter().map(|run| run.backend.clone())));
    fact("Program", listed(runs.iter().map(|run| format!("dqn-cli {}", run.program_version))));
    // A run that only learns from a log takes no steps; a system may not tell when a file was written.
    let is_empty =
        |fact: &Fact| fact.value.is_empty() || ["Steps", "Episodes"].contains(&fact.name.as_str()) && fact.value == "0";
    facts.retain(|fact| !is_empty(fact));
    facts
}

fn legend(groups: &[Group<'_>]) -> Vec<Swatch> {
    let swatch = |(colour, group): (usize, &Group<'_>)| {
        let n_runs = group.runs.len();
        let runs = if n_runs == 1 { String::new() } else { format!(", {n_runs} runs") };
        Swatch { class: colour_class(colour), label: format!("{}{runs}", group.label) }
    };
    if groups.len() > 1 { groups.iter().enumerate().map(swatch).collect() } else { Vec::new() }
}

fn run_rows(groups: &[Group<'_>]) -> Vec<RunRow> {
    let row = |colour: usize, label: &str, run: &RunFiles| RunRow {
        class: colour_class(colour),
        experiment: label.to_owned(),
        seed: run.seed,
        folder: run.path.display().to_string(),
        updates: count(run.last().update),
        steps: count(run.last().step),
        episodes: count(run.last().episode),
        wall_time: duration(run.last().wall_seconds),
        measured: moment(run.measured),
        program: run.program_version.clone(),
        state: if run.report.is_some() { "finished" } else { "not finished" },
    };
    let rows = |(colour, group): (usize, &Group<'_>)| {
        group.runs.iter().map(|run| row(colour, &group.label, run)).collect::<Vec<_>>()
    };
    groups.iter().enumerate().flat_map(rows).collect()
}

/// A table of evaluations whose rows are called `names`.
pub(crate) fn table(caption: String, rows: &[&Evaluation], names: Vec<(String, bool)>) -> TableView {
    let columns = columns_of(rows);
    let judged = || rows.iter().filter(|row| !row.unjudged).map(|row| row.episode_return);
    let low = judged().map(|interval| interval.low).fold(f64::INFINITY, f64::min);
    let high = judged().map(|interval| interval.high).fold(f64::NEG_INFINITY, f64::max);
    let row = |(row, (name, is_learned)): (&&Evaluation, (String, bool))| TableRow {
        name,
        is_learned,
        mark: if row.unjudged { String::new() } else { interval_mark(row.episode_return, low, high) },
        cells: columns.iter().map(|(_, cell)| cell(row).unwrap_or_default().replace('-', "−")).collect(),
    };
    // No line ends after these hyphens.
    let heads = columns.iter().map(|(head, _)| head.replace('-', "\u{2011}")).collect();
    TableView { caption, heads, rows: rows.iter().zip(names).map(row).collect() }
}

fn run_label(group: &Group<'_>, run: &RunFiles) -> String {
    format!("{}, seed {}", group.label, run.seed)
}

fn results(groups: &[Group<'_>]) -> Vec<ResultView> {
    let n_runs: usize = groups.iter().map(|group| group.runs.len()).sum();
    let result = |group: &Group<'_>, run: &RunFiles| {
        let report = run.report.as_ref()?;
        Some(result(run_label(group, run), n_runs == 1, report))
    };
    groups.iter().flat_map(|group| group.runs.iter().filter_map(|run| result(group, run)).collect::<Vec<_>>()).collect()
}

fn result(label: String, is_open: bool, report: &Report) -> ResultView {
    let mut splits: Vec<Split> = report.rows.iter().map(|row| row.split).collect();
    splits.dedup();
    let of = |split: Split| report.rows.iter().filter(|row| row.split == split).collect::<Vec<_>>();
    let names = |rows: &[&Evaluation]| {
        rows.iter().map(|row| (row.policy.clone(), report.learned.first() == Some(&row.policy))).collect()
    };
    let tables = splits.iter().map(|&split| {
        let rows = of(split);
        let n_episodes = rows.iter().map(|row| row.n_episodes).max().unwrap_or(0);
        let plural = if n_episodes == 1 { "" } else { "s" };
        table(format!("On {split} prompts, {n_episodes} episode{plural}"), &rows, names(&rows))
    });
    let mut facts = Vec::new();
    if let Some(gap) = report.generalisation_gap {
        facts.push(format!("Generalisation gap (return on train prompts minus test prompts): {gap:.3}"));
    }
    if let Some(temperature) = report.fitted_temperature {
        facts.push(format!("Policy perplexity is at temperature {temperature:.4}, fitted on validation text"));
    }
    if let Some(signature) = report.rows.iter().find_map(|row| row.bleu_signature.as_ref()) {
        facts.push(format!("BLEU signature: {signature}"));
    }
    let samples = report.samples.iter().map(|sample| BeforeAfter {
        before: Text::new(&sample.prompt, &sample.before),
        before_return: shown_return(sample.before_return),
        after: Text::new(&sample.prompt, &sample.after),
        after_return: shown_return(sample.after_return),
    });
    ResultView {
        label,
        is_open,
        tables: tables.collect(),
        terms: splits.last().and_then(|&split| terms(split, &of(split), names(&of(split)))),
        facts,
        samples: samples.collect(),
        is_judged: is_judged(report),
    }
}

fn is_judged(report: &Report) -> bool {
    report.rows.iter().all(|row| !row.unjudged)
}

/// What each term of the reward gave each policy, on the average of its episodes.
fn terms(split: Split, rows: &[&Evaluation], names: Vec<(String, bool)>) -> Option<TermsView> {
    let heads: BTreeMap<&String, ()> = rows.iter().flat_map(|row| row.terms.keys()).map(|name| (name, ())).collect();
    let heads: Vec<String> = heads.into_keys().cloned().collect();
    let cells = |row: &Evaluation| {
        let cell = |name| row.terms.get(name).map_or_else(String::new, |share| format!("{share:.3}").replace('-', "−"));
        heads.iter().map(cell).collect()
    };
    let rows = rows
        .iter()
        .zip(names)
        .map(|(row, (name, is_learned))| TableRow { name, is_learned, mark: String::new(), cells: cells(row) })
        .collect();
    (!heads.is_empty()).then_some(TermsView { split: split.name(), heads, rows })
}

/// Samples of the first run of each group that has some.
fn samples(groups: &[Group<'_>]) -> Vec<SamplesView> {
    let mut n_coloured = MOST_COLOURED;
    let view = |group: &Group<'_>| {
        let run = group.runs.iter().find(|run| !run.samples.is_empty())?;
        let is_judged = run.report.as_ref().is_none_or(is_judged);
        let Shown { prompts, n_left_out, colours } = prompts(&run.samples, is_judged, &mut n_coloured);
        let colours = colours.map(|colours| ColoursView { legend: colours.legend(), reference: colours.reference() });
        Some(SamplesView { label: run_label(group, run), prompts, n_left_out, is_judged, colours })
    };
    groups.iter().filter_map(view).collect()
}

fn difference_row(difference: &Difference) -> DifferenceRow {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
    DifferenceRow { key: difference.key.clone(), values: difference.values.iter().map(value).collect() }
}

fn settings(group: &Group<'_>) -> SettingsView {
    SettingsView { label: group.label.clone(), seeds: group.seeds(), config: group.runs[0].config.clone() }
}
