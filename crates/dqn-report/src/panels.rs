//! Which charts the page shows: everything that was measured, the known measures first and with their units.

use std::collections::BTreeSet;

use dqn_train::run::metrics::{QUANTILE_ENDINGS, Record};

use crate::RunFiles;
use crate::axis::Scale;
use crate::chart::{self, Line};
use crate::curve::{MAX_COLUMNS, Point, Shares, combined, thinned_shares};
use crate::groups::Group;

/// A measure that the program is known to take: its name in the log, its title and its unit.
type Known = (&'static str, &'static str, &'static str);

const KNOWN: [Known; 29] = [
    ("validation/return", "Return", "mean over evaluation episodes"),
    ("validation/form_kept", "Form kept", "share of texts"),
    ("validation/policy_perplexity", "Policy perplexity", "of held-out text, per token"),
    ("validation/reference_perplexity", "Judge perplexity", "of what was written, per token"),
    ("validation/bleu", "BLEU", "0 to 100"),
    ("validation/chrf", "chrF", "0 to 100"),
    ("validation/exact", "Exact", "share of texts"),
    ("validation/word_error_rate", "Word error rate", "edits a word"),
    ("validation/character_error_rate", "Character error rate", "edits a character"),
    ("validation/distinct_2", "Distinct-2", "share of bigrams"),
    ("validation/epochs", "Epochs", "passes over the data"),
    ("learn/loss", "Loss", "mean of the updates"),
    ("learn/mean_td_error", "TD error", "mean absolute, in units of Q"),
    ("learn/td_error_p05", "Spread of the TD error", "absolute; middle 50 % and 90 % of a batch"),
    ("learn/mean_q", "Q of the actions taken", "mean, in units of Q"),
    ("learn/q_p05", "Spread of Q", "middle 50 % and 90 % of a batch"),
    ("learn/mean_target", "TD target", "mean, in units of Q"),
    ("learn/target_drift", "Target drift", "online less target network"),
    ("learn/gradient_norm", "Gradient norm", "before clipping"),
    ("learn/learning_rate", "Learning rate", ""),
    ("learn/masked_fraction", "Masked actions", "share"),
    ("train/return", "Return", "mean over training episodes"),
    ("train/episode_steps", "Episode length", "steps"),
    ("explore/value", "Exploration", "epsilon or temperature"),
    ("speed/acting_steps_per_second", "Acting", "steps per second"),
    ("speed/learned_transitions_per_second", "Learning", "transitions per second"),
    (WALL_SECONDS, "Wall time", "seconds of the run"),
    (STEP, "Steps taken", "actions in the environment"),
    (EPISODE, "Episodes finished", "training episodes"),
];

/// The fields of a record besides its scalars, named as they are not.
const WALL_SECONDS: &str = "wall_seconds";
const STEP: &str = "step";
const EPISODE: &str = "episode";

/// A heading with its charts.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    /// Its place in the page.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) panels: Vec<Panel>,
}

/// A chart with its caption.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) unit: String,
    /// Name of the measure in the log.
    pub(crate) key: String,
    pub(crate) svg: String,
    /// Names of what has a colour of its own in this chart alone, in the order of the colours.
    pub(crate) legend: Vec<String>,
    /// What a reader must know.
    pub(crate) note: Option<String>,
}

/// The sections: their place, title and the beginnings of the names they hold.
const SECTIONS: [(&str, &str, &[&str]); 5] = [
    ("evaluation", "Evaluation while training", &["validation/"]),
    ("learning", "Learning", &["learn/"]),
    ("episodes", "Training episodes", &["train/", "explore/"]),
    ("reward", "Reward terms", &[REWARD]),
    ("throughput", "Throughput", &["speed/"]),
];
const OTHER: (&str, &str) = ("other", "Other measures");
const REWARD: &str = "reward/";

/// Every measure of `runs` as a chart, in sections; sections without a measure are left out.
pub(crate) fn sections(runs: &[RunFiles], groups: &[Group<'_>]) -> Vec<Section> {
    let names: BTreeSet<&str> =
        runs.iter().flat_map(|run| &run.records).flat_map(|record| record.scalars.keys()).map(String::as_str).collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    let rank = |name: &str| KNOWN.iter().position(|(known, ..)| *known == name).unwrap_or(KNOWN.len());
    names.sort_by_key(|name| rank(name));
    let belongs = |prefixes: &[&str], name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let mut sections: Vec<Section> = SECTIONS
        .iter()
        .map(|&(id, title, prefixes)| {
            let mut panels = Vec::new();
            if prefixes.contains(&REWARD) {
                panels.extend(groups.iter().filter_map(|group| stacked(group, groups.len() > 1)));
            }
            let own = names.iter().filter(|name| belongs(prefixes, name));
            panels.extend(own.flat_map(|name| panels_of(name, &names, groups)));
            if id == "throughput" {
                let fields = [WALL_SECONDS, STEP, EPISODE];
                panels.extend(fields.iter().filter(|name| is_shown(runs, name)).map(|name| panel(name, groups)));
            }
            Section { id, title, panels }
        })
        .collect();
    let others = names.iter().filter(|name| !SECTIONS.iter().any(|(_, _, prefixes)| belongs(prefixes, name)));
    let (id, title) = OTHER;
    sections.push(Section { id, title, panels: others.map(|name| panel(name, groups)).collect() });
    sections.retain(|section| !section.panels.is_empty());
    sections
}

/// The charts of a measure: one, or a fan for each experiment where it is one of several quantiles, which are drawn
/// once, where the lowest of them stands.
fn panels_of(name: &str, names: &[&str], groups: &[Group<'_>]) -> Vec<Panel> {
    let is_named =
        |base: &str| QUANTILE_ENDINGS.iter().all(|ending| names.contains(&format!("{base}{ending}").as_str()));
    let base = QUANTILE_ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).filter(|base| is_named(base));
    match base {
        None => vec![panel(name, groups)],
        Some(base) if name.ends_with(QUANTILE_ENDINGS[0]) => {
            let fans = groups.iter().enumerate();
            fans.filter_map(|(colour, group)| fan(base, group, colour, groups.len() > 1)).collect()
        }
        Some(_) => Vec::new(),
    }
}

/// Quantiles over updates; nothing where the group has none.
fn fan(base: &str, group: &Group<'_>, colour: usize, is_named: bool) -> Option<Panel> {
    let names = QUANTILE_ENDINGS.map(|ending| format!("{base}{ending}"));
    let of_record = |record: &Record| {
        let values: Vec<f64> = names.iter().filter_map(|name| value(record, name)).collect();
        Some((record.update as f64, <[f64; 5]>::try_from(values).ok()?))
    };
    let (mut n_measured, mut n_left_out) = (0, 0);
    let mut runs: Vec<[Vec<Point>; 5]> = Vec::new();
    for run in &group.runs {
        let mut measured: Vec<(f64, [f64; 5])> = run.records.iter().filter_map(of_record).collect();
        let n = measured.len();
        n_measured += n;
        // Quantiles belong together: where one is not finite there is no band.
        measured.retain(|(_, values)| values.iter().all(|value| value.is_finite()));
        n_left_out += n - measured.len();
        measured.sort_by(|one, other| one.0.total_cmp(&other.0));
        runs.push(std::array::from_fn(|index| {
            measured.iter().map(|&(x, values)| Point { x, y: values[index] }).collect()
        }));
    }
    if n_measured == 0 {
        return None;
    }
    let curves = std::array::from_fn(|index| {
        combined(&runs.iter().map(|run| run[index].clone()).collect::<Vec<_>>(), MAX_COLUMNS)
    });
    let (title, unit) = titled(&names[0]);
    let (named, unit) = match is_named {
        true => (format!("{title}, {}", group.label), format!("{}; middle 50 % and 90 %", group.label)),
        false => (title.clone(), unit),
    };
    let (svg, scale) = chart::fan(&format!("{named} over updates"), &curves, colour);
    Some(Panel { title, unit, key: format!("{base}_p…"), svg, legend: Vec::new(), note: remarks(scale, n_left_out) })
}

/// What a reader must know of a chart with this axis that leaves out some values.
fn remarks(scale: Scale, n_left_out: usize) -> Option<String> {
    let mut remarks = Vec::new();
    if scale == Scale::Logarithmic {
        remarks.push("logarithmic axis".to_owned());
    }
    if n_left_out > 0 {
        let values = if n_left_out == 1 { "value" } else { "values" };
        remarks.push(format!("{n_left_out} {values} not finite, left out"));
    }
    (!remarks.is_empty()).then(|| remarks.join("; "))
}

/// Title and unit of a measure.
fn titled(name: &str) -> (String, String) {
    let known = KNOWN.iter().find(|(known, ..)| *known == name);
    let title = known.map_or_else(|| spelled_out(name), |(_, title, _)| (*title).to_owned());
    (title, known.map_or("", |(.., unit)| unit).to_owned())
}

/// Whether a field of the records says anything: a run that only learns from a log takes no steps.
fn is_shown(runs: &[RunFiles], name: &str) -> bool {
    runs.iter().flat_map(|run| &run.records).any(|record| value(record, name).is_some_and(|value| value != 0.0))
}

/// A scalar of a record, or another field of it.
fn value(record: &Record, name: &str) -> Option<f64> {
    match name {
        WALL_SECONDS => Some(record.wall_seconds),
        STEP => Some(record.step as f64),
        EPISODE => Some(record.episode as f64),
        name => record.scalars.get(name).copied(),
    }
}

/// The finite values of a measure over updates, and how many others there are.
fn points(run: &RunFiles, name: &str) -> (Vec<Point>, usize) {
    let of_record = |record: &Record| value(record, name).map(|y| Point { x: record.update as f64, y });
    let mut points: Vec<Point> = run.records.iter().filter_map(of_record).collect();
    let n_all = points.len();
    points.retain(|point| point.y.is_finite());
    points.sort_by(|one, other| one.x.total_cmp(&other.x));
    let n_left_out = n_all - points.len();
    (points, n_left_out)
}

fn panel(name: &str, groups: &[Group<'_>]) -> Panel {
    let mut n_left_out = 0;
    let lines: Vec<Line> = groups
        .iter()
        .enumerate()
        .map(|(colour, group)| {
            let runs = group.runs.iter().map(|run| {
                let (points, n) = points(run, name);
                n_left_out += n;
                points
            });
            let columns = combined(&runs.collect::<Vec<_>>(), MAX_COLUMNS);
            let label = if groups.len() > 1 { group.label.clone() } else { String::new() };
            Line { label, colour, columns }
        })
        .filter(|line| !line.columns.is_empty())
        .collect();
    let (title, unit) = titled(name);
    let (svg, scale) = chart::lines(&format!("{title} over updates"), &lines);
    let note = remarks(scale, n_left_out);
    Panel { title, unit, key: name.to_owned(), svg, legend: Vec::new(), note }
}

/// The last part of a name as a heading.
fn spelled_out(name: &str) -> String {
    let words = name.rsplit('/').next().unwrap_or(name).replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The terms of the reward of a group on each other; nothing where there is one term or none.
fn stacked(group: &Group<'_>, is_named: bool) -> Option<Panel> {
    let records = || group.runs.iter().flat_map(|run| &run.records);
    let names: BTreeSet<&str> =
        records().flat_map(|record| record.scalars.keys()).filter_map(|name| name.strip_prefix(REWARD)).collect();
    if names.len() < 2 {
        return None;
    }
    let of_record = |record: &Record| {
        let share = |name: &&str| record.scalars.get(&format!("{REWARD}{name}")).copied().filter(|v| v.is_finite());
        Some(Shares { x: record.update as f64, values: names.iter().map(share).collect::<Option<_>>()? })
    };
    let mut shares: Vec<Shares> = records().filter_map(of_record).collect();
    shares.sort_by(|one, other| one.x.total_cmp(&other.x));
    let shares = thinned_shares(&shares, MAX_COLUMNS);
    let legend: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let title = if is_named { format!("All terms, {}", group.label) } else { "All terms".to_owned() };
    Some(Panel {
        svg: chart::stack(&format!("{title} over updates"), &legend, &shares),
        title,
        unit: "mean of the training episodes; line: their sum".to_owned(),
        key: REWARD.to_owned(),
        legend,
        note: None,
    })
}
