//! Finding everything that is wrong with a configuration, at once and in words.
//!
//! serde stops at the first fault and loses its place in tagged enums. Here a document is compared with the JSON Schema
//! of its type instead; what passes is then read by serde. The two agree because the schema is derived from the type.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use regex::Regex;
use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::layers::ONE_KEY;
use super::schema::{Choice, Form, Name, Node, describe, one_of, plural, quoted};
use crate::error::TrainError;

/// How many letters may be wrong in a word for it to be taken for another.
const MAX_DISTANCE: usize = 2;

/// What stands in a place that holds nothing.
const NOTHING: &str = "nothing";

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `reward.terms[2].weight`.
    pub path: String,
    /// What stands there.
    pub found: String,
    /// What may stand there instead.
    pub message: String,
    /// In which line of the file, counted from 1, where that is known; see [`Lines::locate`].
    pub line: Option<usize>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        write!(formatter, "{}: found {}; {}", self.path, self.found, self.message)
    }
}

/// In which lines of a file its keys and items stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(BTreeMap<String, usize>);

impl Lines {
    /// The lines of the TOML document `text`; none when it is not TOML.
    pub fn of(text: &str) -> Self {
        let mut lines = Self::default();
        if let Ok(table) = DeTable::parse(text) {
            lines.note_table(table.get_ref(), "", &LineStarts::of(text));
        }
        lines
    }

    /// Forgets the place that an override of the form `key.path=value` has changed: what is wrong there does not stand
    /// in the file.
    pub fn forget(&mut self, assignment: &str) {
        let changed = assignment.split_once('=').map_or(assignment, |(path, _)| path).trim();
        self.0.retain(|path, _| {
            !path.strip_prefix(changed).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        });
    }

    /// The lines of a document in which the table at `place` was put over the rest of it.
    pub(super) fn overlaid(&self, place: &str) -> Self {
        let within = |path: &str| path.strip_prefix(place)?.strip_prefix('.').map(str::to_owned);
        let above = self.0.iter().filter_map(|(path, &line)| Some((within(path)?, line)));
        let mut lines = self.0.clone();
        lines.extend(above);
        Self(lines)
    }

    /// Gives each problem the line of its place or, where nothing stands there, of the table that should hold it, and
    /// puts them in the order of the lines.
    pub fn locate(&self, problems: &mut [Problem]) {
        for problem in &mut *problems {
            let path = &problem.path;
            let parent = || path.rfind(['.', '[']).and_then(|end| self.0.get(&path[..end]));
            let missing = problem.found == NOTHING;
            problem.line = self.0.get(path).or_else(|| parent().filter(|_| missing)).copied();
        }
        // What has no line is the file's as a whole, and comes last.
        problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
    }

    fn note_table(&mut self, table: &DeTable<'_>, path: &str, starts: &LineStarts) {
        for (key, value) in table {
            let path = below(path, key.get_ref());
            self.0.insert(path.clone(), starts.line(key.span().start));
            self.note_within(value.get_ref(), &path, starts);
        }
    }

    fn note_within(&mut self, value: &DeValue<'_>, path: &str, starts: &LineStarts) {
        match value {
            DeValue::Table(table) => self.note_table(table, path, starts),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.0.insert(path.clone(), starts.line(item.span().start));
                    self.note_within(item.get_ref(), &path, starts);
                }
            }
            _ => {}
        }
    }
}

/// Where the lines of a text begin.
struct LineStarts(Vec<usize>);

impl LineStarts {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(end, _)| end + 1).collect())
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.0.partition_point(|&start| start <= offset)
    }
}

/// Everything in which `document` departs from `schema`, in the order of the keys.
///
/// `schema` is one that schemars derives from a configuration type: objects and maps, arrays, numbers with limits,
/// strings, optional values, and enums that serde tags inside, outside or not at all.
pub fn check(document: &Table, schema: &Json) -> Vec<Problem> {
    let mut checker = Checker::default();
    checker.table(document, &Node::root(schema), "");
    checker.problems
}

#[derive(Default)]
struct Checker {
    problems: Vec<Problem>,
}

impl Checker {
    fn value(&mut self, value: &Value, node: &Node<'_>, path: &str) {
        match (node.form(), value) {
            (Form::Any, _) | (Form::Boolean, Value::Boolean(_)) => {}
            (Form::Integer, Value::Integer(found)) => self.number(*found as f64, value, node, path),
            (Form::Number, Value::Integer(found)) => self.number(*found as f64, value, node, path),
            (Form::Number, Value::Float(found)) => self.number(*found, value, node, path),
            (Form::String, Value::String(text)) => {
                if !counts(node, "minLength", "maxLength", text.chars().count()) || !matches_pattern(text, node) {
                    self.refuse(value, node, path);
                }
            }
            (Form::Names(names), Value::String(text)) => {
                if !names.iter().any(|name| name.text == text) {
                    self.unknown_name(text, &names, describe(node), path);
                }
            }
            (Form::Array, Value::Array(items)) => self.array(items, value, node, path),
            (Form::Table, Value::Table(table)) => self.table(table, node, path),
            (Form::Tagged { tag, variants }, Value::Table(table)) => self.tagged(table, tag, &variants, path),
            (Form::OneKey { names, keyed }, Value::String(text)) => {
                if !names.iter().any(|name| name.text == text) {
                    let choices = names.iter().copied().chain(keyed.iter().map(name)).collect::<Vec<_>>();
                    self.unknown_name(text, &choices, describe(node), path);
                }
            }
            (Form::OneKey { keyed, .. }, Value::Table(table)) => self.one_key(table, &keyed, node, path),
            (Form::Either(choices), _) => self.either(value, &choices, node, path),
            _ => self.refuse(value, node, path),
        }
    }

    fn number(&mut self, found: f64, value: &Value, node: &Node<'_>, path: &str) {
        let (low, high) = node.limits();
        let is_above = low.is_none_or(|low| found > low.value || found == low.value && !low.is_exclusive);
        let is_below = high.is_none_or(|high| found < high.value || found == high.value && !high.is_exclusive);
        if !(found.is_finite() && is_above && is_below) {
            self.refuse(value, node, path);
        }
    }

    fn array(&mut self, items: &[Value], value: &Value, node: &Node<'_>, path: &str) {
        if !counts(node, "minItems", "maxItems", items.len()) {
            self.refuse(value, node, path);
        }
        let is_set = node.get("uniqueItems").and_then(Json::as_bool) == Some(true);
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match items[..index].iter().position(|earlier| is_set && earlier == item) {
                Some(earlier) => {
                    let found = format!("{}, as in item {earlier}", found(item));
                    self.note(&path, found, "items that differ from each other".to_owned(), None);
                }
                None => self.value(item, &node.item(index), &path),
            }
        }
    }

    fn table(&mut self, table: &Table, node: &Node<'_>, path: &str) {
        let properties = node.properties();
        let required: BTreeSet<_> = node.required().into_iter().collect();
        for key in required.into_iter().filter(|&key| !table.contains_key(key)) {
            let allowed = properties.get(key).map_or("any value".to_owned(), describe);
            self.note(&below(path, key), NOTHING.to_owned(), allowed, None);
        }
        let others = node.other_keys();
        for (key, value) in table {
            let path = below(path, key);
            match (properties.get(key.as_str()), &others) {
                (Some(node), _) | (None, Some(node)) => self.value(value, node, &path),
                (None, None) => self.unknown_key(key, properties.keys().copied(), &path),
            }
        }
    }

    fn tagged(&mut self, table: &Table, tag: &str, variants: &[Choice<'_>], path: &str) {
        let tag_path = below(path, tag);
        let names: Vec<_> = variants.iter().map(name).collect();
        let allowed = one_of(names.iter().map(|name| name.text));
        match table.get(tag) {
            None => self.note(&tag_path, NOTHING.to_owned(), allowed, None),
            Some(Value::String(found)) => match variants.iter().find(|variant| variant.name == found) {
                Some(variant) => self.table(table, &variant.node, path),
                None => self.unknown_name(found, &names, allowed, &tag_path),
            },
            Some(other) => self.note(&tag_path, found(other), allowed, None),
        }
    }

    fn one_key(&mut self, table: &Table, keyed: &[Choice<'_>], node: &Node<'_>, path: &str) {
        let mut n_known = 0;
        for (key, value) in table {
            let path = below(path, key);
            match keyed.iter().find(|choice| choice.name == key) {
                Some(choice) => {
                    n_known += 1;
                    self.value(value, &choice.node, &path);
                }
                None => self.unknown_key(key, keyed.iter().map(|choice| choice.name), &path),
            }
        }
        if n_known > 1 || table.is_empty() {
            let found = format!("a table with {n_known} of these keys");
            self.note(path, found, describe(node), None);
        }
    }

    /// Reports against the choice that fits best, which is the only one there is for the type of the value, or the one
    /// with the fewest problems.
    fn either(&mut self, value: &Value, choices: &[Node<'_>], node: &Node<'_>, path: &str) {
        let of_type = choices.iter().filter(|choice| accepts_type(value, &choice.form()));
        let reports = of_type.map(|choice| {
            let mut checker = Checker::default();
            checker.value(value, choice, path);
            checker.problems
        });
        match reports.min_by_key(Vec::len) {
            Some(problems) => self.problems.extend(problems),
            None => self.refuse(value, node, path),
        }
    }

    fn refuse(&mut self, value: &Value, node: &Node<'_>, path: &str) {
        self.note(path, found(value), describe(node), None);
    }

    fn unknown_key<'a>(&mut self, key: &str, known: impl Iterator<Item = &'a str>, path: &str) {
        let known: Vec<_> = known.collect();
        let hint = nearest(key, known.iter().copied()).map(|near| format!("`{near}`"));
        let allowed = match known.len() {
            0 => "no keys here".to_owned(),
            _ => format!("the keys {}", known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")),
        };
        self.note(path, "an unknown key".to_owned(), allowed, hint);
    }

    fn unknown_name(&mut self, found: &str, known: &[Name<'_>], allowed: String, path: &str) {
        let hint = nearest(found, known.iter().map(|name| name.text)).map(quoted);
        // The right name in the wrong form is no slip of the pen; what is allowed shows the form.
        let hint = hint.filter(|hint| *hint != quoted(found));
        self.note(path, shortened(&quoted(found)), allowed, hint);
    }

    fn note(&mut self, path: &str, found: String, allowed: String, hint: Option<String>) {
        let hint = hint.map_or(String::new(), |hint| format!(" (did you mean {hint}?)"));
        let message = format!("allowed: {allowed}{hint}");
        self.problems.push(Problem { path: path.to_owned(), found, message, line: None });
    }
}

fn name<'a>(choice: &Choice<'a>) -> Name<'a> {
    Name { text: choice.name, description: choice.description }
}

fn counts(node: &Node<'_>, minimum: &str, maximum: &str, n: usize) -> bool {
    node.count(minimum).is_none_or(|minimum| n >= minimum) && node.count(maximum).is_none_or(|maximum| n <= maximum)
}

/// Whether a string matches the pattern of its place. A pattern that is no regular expression is matched by nothing,
/// which the first check of any file would show.
fn matches_pattern(text: &str, node: &Node<'_>) -> bool {
    node.pattern().is_none_or(|pattern| Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text)))
}

fn accepts_type(value: &Value, form: &Form<'_>) -> bool {
    match form {
        Form::Any => true,
        Form::Boolean => value.is_bool(),
        Form::Integer => value.is_integer(),
        Form::Number => value.is_integer() || value.is_float(),
        Form::String | Form::Names(_) => value.is_str(),
        Form::Array => value.is_array(),
        Form::Table | Form::Tagged { .. } => value.is_table(),
        Form::OneKey { .. } => value.is_str() || value.is_table(),
        Form::Either(choices) => choices.iter().any(|choice| accepts_type(value, &choice.form())),
    }
}

/// What stands in a place, in words.
fn found(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the string {}", shortened(&quoted(text))),
        Value::Integer(number) => format!("the integer {number}"),
        Value::Float(_) => format!("the number {value}"),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(time) => format!("the date or time {time}"),
        Value::Array(items) => format!("an array of {}", plural(items.len(), "item")),
        Value::Table(_) => "a table".to_owned(),
    }
}

fn shortened(text: &str) -> String {
    const MAX_CHARACTERS: usize = 60;
    match text.char_indices().nth(MAX_CHARACTERS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// The path of `key` in the table at `path`.
pub(crate) fn below(path: &str, key: &str) -> String {
    let is_bare =
        !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'));
    let key = if is_bare { key.to_owned() } else { quoted(key) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// The first of the names with the smallest edit distance to `word`, if it is small.
fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Two letters changed in a word of three leave nothing of it.
    let limit = MAX_DISTANCE.min(word.chars().count().saturating_sub(1));
    names
        .map(|name| (edit_distance(word, name), name))
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

/// The number of letters to insert, delete, replace or swap with their neighbour to make one word of the other.
///
/// ```text
/// d(i, j) = min { d(i-1, j) + 1,  d(i, j-1) + 1,  d(i-1, j-1) + [a_i != b_j],
///                 d(i-2, j-2) + 1 where a_i = b_{j-1} and a_{i-1} = b_j }
/// ```
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut distance = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                distance = distance.min(rows[i - 2][j - 2] + 1);
            }
            row.push(distance);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// One step on the way to a place.
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Writes the value of `key.path=value` into `table`.
///
/// The value is read as TOML and, where it is none, taken as a string, so that `name=hello` needs no quotes. Tables on
/// the way are made where they are missing; `terms[1].weight=3` changes an item that is there. Nothing else changes:
/// whether the keys next to a new `kind` still fit is for [`check`] to say.
///
/// # Errors
/// [`TrainError::Override`] when the assignment has no `=`, its path cannot be read, leads through something that is
/// no table, or to an item that is not there.
pub fn apply_override(table: &mut Table, assignment: &str) -> Result<(), TrainError> {
    let fault = |message: String| TrainError::Override { assignment: assignment.to_owned(), message };
    let (path, text) =
        assignment.split_once('=').ok_or_else(|| fault("there is no `=`; write `key.path=value`".to_owned()))?;
    let steps = steps(path.trim()).map_err(fault)?;
    let text = text.trim();
    let value = text.parse().unwrap_or_else(|_| Value::String(text.to_owned()));

    let mut changed = Value::Table(table.clone());
    let mut place = &mut changed;
    let mut walked = String::new();
    for step in &steps {
        place = match (step, place) {
            (Step::Key(key), Value::Table(table)) => {
                // What says one thing by its only key says another one from now on.
                let says_one_thing = walked.rsplit('.').next().is_some_and(|name| ONE_KEY.contains(&name));
                if says_one_thing && !table.contains_key("kind") && !table.contains_key(*key) {
                    table.clear();
                }
                walked = below(&walked, key);
                table.entry(*key).or_insert_with(|| Value::Table(Table::new()))
            }
            (Step::Index(index), Value::Array(items)) => {
                let n_items = items.len();
                let item = items.get_mut(*index);
                let item = item.ok_or_else(|| {
                    fault(format!("`{walked}` has {n_items} items, counted from 0; {index} is not there"))
                })?;
                walked = format!("{walked}[{index}]");
                item
            }
            (Step::Key(key), other) => {
                return Err(fault(format!("`{walked}` is {}, not a table in which `{key}` could be", found(other))));
            }
            (Step::Index(_), other) => return Err(fault(format!("`{walked}` is {}, not an array", found(other)))),
        };
    }
    *place = value;
    if let Value::Table(changed) = changed {
        *table = changed;
    }
    Ok(())
}

/// The steps of a path such as `reward.terms[1].weight`, or what is wrong with it.
fn steps(path: &str) -> Result<Vec<Step<'_>>, String> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (key, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        let is_bare = key.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'));
        if key.is_empty() || !is_bare {
            return Err(format!("{key:?} is not a key; a key has the letters a-z, A-Z, 0-9, `_` and `-`"));
        }
        steps.push(Step::Key(key));
        for index in indices.split_inclusive(']') {
            let number = index.strip_prefix('[').and_then(|index| index.strip_suffix(']')?.parse().ok());
            steps.push(Step::Index(
                number.ok_or_else(|| format!("{index:?} is not the number of an item; write `[0]`"))?,
            ));
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;

    /// A configuration with every spelling that schemas have.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(default)]
        #[schemars(length(min = 1, max = 8))]
        name: Option<String>,
        #[schemars(range(min = 1, max = 10))]
        n_step: u32,
        #[serde(default)]
        #[schemars(regex(pattern = r"^[a-z][0-9]$"))]
        code: Option<String>,
        #[serde(default)]
        level: i8,
        #[serde(default)]
        #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
        rate: Option<f64>,
        #[serde(default)]
        is_double: bool,
        #[serde(default)]
        epsilon: Option<Schedule>,
        #[serde(default)]
        prior: Option<Prior>,
        #[serde(default)]
        mode: Mode,
        #[serde(default)]
        metric: Metric,
        #[serde(default)]
        #[schemars(length(max = 3))]
        terms: Vec<Term>,
        #[serde(default)]
        weights: BTreeMap<String, f64>,
        #[serde(default)]
        seeds: Option<Seeds>,
        #[serde(default)]
        pair: Option<(u8, bool)>,
        #[serde(default)]
        splits: BTreeSet<String>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
    enum Schedule {
        /// The same all the time.
        Constant { value: f64 },
        /// A straight line.
        Linear { start: f64, end: f64, over: Span },
        /// Nothing at all.
        Off,
        /// By a table of its own.
        Listed(Term),
    }

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    enum Span {
        /// So many steps.
        Steps(#[schemars(range(min = 1))] u64),
        Updates(#[schemars(range(min = 1))] u64),
        Ever,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
    enum Prior {
        Ngram {
            #[schemars(range(min = 1))]
            n: u8,
        },
    }

    #[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        #[default]
        Uniform,
        Prioritized,
    }

    #[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Metric {
        /// The mean.
        #[default]
        Mean,
        /// The one in the middle.
        Median,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Term {
        weight: f64,
        #[serde(default)]
        words: Vec<String>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(untagged)]
    enum Seeds {
        One(#[schemars(range(min = 0, max = 99))] i64),
        Many(Vec<u32>),
        Named(Term),
    }

    fn schema() -> Json {
        schemars::schema_for!(Sample).to_value()
    }

    /// What is reported for a document, one line a problem.
    fn report(text: &str) -> Vec<String> {
        let mut problems = check(&text.parse().unwrap(), &schema());
        Lines::of(text).locate(&mut problems);
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_document_that_says_everything_passes() {
        let text = r#"
            name = "verse"
            n_step = 3
            level = -128
            rate = 1
            is_double = true
            epsilon = { kind = "linear", start = 1, end = 0.1, over = { steps = 100 } }
            mode = "prioritized"
            metric = "median"
            weights = { "a key" = 1, b = 0.5 }
            seeds = [1, 2]
            pair = [255, false]
            splits = ["train", "test"]
            [[terms]]
            weight = 1
            [[terms]]
            weight = -0.5
            words = ["a"]
        "#;
        assert_eq!(report(text), [] as [&str; 0]);
        toml::from_str::<Sample>(text).unwrap();
        for entry in ENTRIES {
            let mut document: Table = "n_step = 1".parse().unwrap();
            document.extend(entry.parse::<Table>().unwrap());
            assert_eq!(check(&document, &schema()), [], "{entry}");
            document.try_into::<Sample>().unwrap();
        }
    }

    #[test]
    fn everything_wrong_is_reported_at_once() {
        let text = "n_steps = 3
epsilon = { kind = 'liner' }
rate = 0
[[terms]]
weight = 'x'
[[terms]]
wieght = 2
";
        let keys = "`code`, `epsilon`, `is_double`, `level`, `metric`, `mode`, `n_step`, `name`, `pair`, `prior`, `rate`, \
                    `seeds`, `splits`, `terms`, `weights`";
        let expected = [
            &format!("line 1: n_steps: found an unknown key; allowed: the keys {keys} (did you mean `n_step`?)"),
            "line 2: epsilon.kind: found \"liner\"; allowed: one of \"constant\", \"linear\", \"off\", \"listed\" \
             (did you mean \"linear\"?)",
            "line 3: rate: found the integer 0; allowed: a number above 0, at most 1",
            "line 5: terms[0].weight: found the string \"x\"; allowed: a number",
            "line 6: terms[1].weight: found nothing; allowed: a number",
            "line 7: terms[1].wieght: found an unknown key; allowed: the keys `weight`, `words` (did you mean `weight`?)",
            "n_step: found nothing; allowed: an integer from 1 to 10",
        ];
        assert_eq!(report(text), expected);
    }

    /// Compares what is reported for a document of this line, and of `n_step` where that is another.
    fn line(line: &str, expected: &[&str]) {
        let text = if line.starts_with("n_step") { line.to_owned() } else { format!("n_step = 1\n{line}") };
        let mut problems = check(&text.parse().unwrap(), &schema());
        Lines::default().locate(&mut problems);
        let found: Vec<_> = problems.iter().map(Problem::to_string).collect();
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn numbers_have_limits() {
        let n_step = |found: &str| format!("n_step: found {found}; allowed: an integer from 1 to 10");
        line("n_step = 0", &[&n_step("the integer 0")]);
        line("n_step = 11", &[&n_step("the integer 11")]);
        line("n_step = 3.0", &[&n_step("the number 3.0")]);
        line("n_step = '3'", &[&n_step("the string \"3\"")]);
        line("n_step = 1979-05-27", &[&n_step("the date or time 1979-05-27")]);
        line("n_step = 10", &[]);
        line("level = 127", &[]);
        line("level = 128", &["level: found the integer 128; allowed: an integer from -128 to 127"]);
        line("level = -129", &["level: found the integer -129; allowed: an integer from -128 to 127"]);
        line("rate = 1.0", &[]);
        for found in ["0.0", "1.5", "nan", "inf", "-inf"] {
            let expected = format!("rate: found the number {found}; allowed: a number above 0, at most 1");
            line(&format!("rate = {found}"), &[&expected]);
        }
    }

    #[test]
    fn strings_have_lengths_and_patterns() {
        line("name = '四个汉字四个汉字'", &[]);
        line("name = ''", &["name: found the string \"\"; allowed: a string of 1 to 8 characters"]);
        line("name = '123456789'", &["name: found the string \"123456789\"; allowed: a string of 1 to 8 characters"]);
        line("code = 'a9'", &[]);
        line("code = '9a'", &["code: found the string \"9a\"; allowed: a string that matches ^[a-z][0-9]$"]);
        line("is_double = 1", &["is_double: found the integer 1; allowed: true or false"]);
    }

    #[test]
    fn names_are_listed_and_the_nearest_is_offered() {
        let mode = |found: &str| format!("mode: found {found}; allowed: one of \"uniform\", \"prioritized\"");
        line("mode = 'other'", &[&mode("\"other\"")]);
        line("mode = 'uniforn'", &[&(mode("\"uniforn\"") + " (did you mean \"uniform\"?)")]);
        line("mode = 1", &[&mode("the integer 1")]);
        let metric = |found: &str| format!("metric: found {found}; allowed: one of \"mean\", \"median\"");
        line("metric = 'medain'", &[&(metric("\"medain\"") + " (did you mean \"median\"?)")]);
        line("metric = {}", &[&metric("a table")]);
    }

    #[test]
    fn a_tagged_table_is_told_by_its_kind() {
        let kinds = "one of \"constant\", \"linear\", \"off\", \"listed\"";
        line("epsilon = 0.1", &[&format!("epsilon: found the number 0.1; allowed: a table with `kind` {kinds}")]);
        line("epsilon = {}", &[&format!("epsilon.kind: found nothing; allowed: {kinds}")]);
        line("epsilon = { value = 1 }", &[&format!("epsilon.kind: found nothing; allowed: {kinds}")]);
        line("epsilon = { kind = 1 }", &[&format!("epsilon.kind: found the integer 1; allowed: {kinds}")]);
        line("epsilon = { kind = 'constant' }", &["epsilon.value: found nothing; allowed: a number"]);
        line(
            "epsilon = { kind = 'constant', value = 1, start = 2 }",
            &["epsilon.start: found an unknown key; allowed: the keys `kind`, `value`"],
        );
        line(
            "epsilon = { kind = 'off', value = 1 }",
            &["epsilon.value: found an unknown key; allowed: the keys `kind`"],
        );
        line(
            "epsilon = { kind = 'listed', wight = 1 }",
            &[
                "epsilon.weight: found nothing; allowed: a number",
                "epsilon.wight: found an unknown key; allowed: the keys `kind`, `weight`, `words` \
                 (did you mean `weight`?)",
            ],
        );
    }

    #[test]
    fn an_outside_tag_is_one_key() {
        let over = |found: &str, expected: &str| {
            line(&format!("epsilon = {{ kind = 'linear', start = 1, end = 0, over = {found} }}"), &[expected]);
        };
        let allowed =
            "allowed: \"ever\" or { steps = an integer of at least 1 } or { updates = an integer of at least 1 }";
        over("5", &format!("epsilon.over: found the integer 5; {allowed}"));
        over("'steps'", &format!("epsilon.over: found \"steps\"; {allowed}"));
        over("'evr'", &format!("epsilon.over: found \"evr\"; {allowed} (did you mean \"ever\"?)"));
        over("{}", &format!("epsilon.over: found a table with 0 of these keys; {allowed}"));
        over("{ steps = 1, updates = 2 }", &format!("epsilon.over: found a table with 2 of these keys; {allowed}"));
        over("{ steps = 0 }", "epsilon.over.steps: found the integer 0; allowed: an integer of at least 1");
        over(
            "{ step = 1 }",
            "epsilon.over.step: found an unknown key; allowed: the keys `steps`, `updates` (did you mean `steps`?)",
        );
    }

    #[test]
    fn arrays_and_maps_are_entered() {
        line("terms = 1", &["terms: found the integer 1; allowed: an array of at most 3 items, each a table"]);
        line("terms = [1]", &["terms[0]: found the integer 1; allowed: a table"]);
        line(
            "terms = [{ weight = 1 }, { weight = 1, words = ['a', 1] }]",
            &["terms[1].words[1]: found the integer 1; allowed: a string"],
        );
        line(
            "terms = [{ weight = 1 }, { weight = 1 }, { weight = 1 }, { weight = 1 }]",
            &["terms: found an array of 4 items; allowed: an array of at most 3 items, each a table"],
        );
        line(
            "weights = { a = 'x', 'b c' = true }",
            &["weights.a: found the string \"x\"; allowed: a number", "weights.\"b c\": found true; allowed: a number"],
        );
        line("pair = [256, true]", &["pair[0]: found the integer 256; allowed: an integer from 0 to 255"]);
        line("pair = [1, 2]", &["pair[1]: found the integer 2; allowed: true or false"]);
        line(
            "pair = [1]",
            &["pair: found an array of 1 item; allowed: an array of an integer from 0 to 255 and true or false"],
        );
        line(
            "splits = ['a', 'b', 'a']",
            &["splits[2]: found the string \"a\", as in item 0; allowed: items that differ from each other"],
        );
    }

    #[test]
    fn without_a_tag_the_type_decides() {
        line("seeds = 100", &["seeds: found the integer 100; allowed: an integer from 0 to 99"]);
        line("seeds = [1, -1]", &["seeds[1]: found the integer -1; allowed: an integer from 0 to 4294967295"]);
        line(
            "seeds = { weight = 1, words = 2 }",
            &["seeds.words: found the integer 2; allowed: an array of items, each a string"],
        );
        line(
            "seeds = 'x'",
            &["seeds: found the string \"x\"; allowed: an integer from 0 to 99 or an array of items, each an integer \
               from 0 to 4294967295 or a table"],
        );
    }

    #[test]
    fn words_are_near_by_slips_of_the_pen() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "ab", 1),
            ("abc", "xabc", 1),
            ("abc", "axc", 1),
            ("kitten", "sitting", 3),
            ("温度", "温", 1),
        ] {
            assert_eq!((edit_distance(a, b), edit_distance(b, a)), (expected, expected), "{a} and {b}");
        }
        assert_eq!(nearest("n_stp", ["seed", "n_step"].into_iter()), Some("n_step"));
        assert_eq!(nearest("n_st", ["seed", "n_step"].into_iter()), Some("n_step"));
        assert_eq!(nearest("n_s", ["seed", "n_step"].into_iter()), None);
        assert_eq!(nearest("x", ["y", "xy"].into_iter()), None, "one letter is no word to be near to");
    }

    /// Applies an override to a document and compares what becomes of it.
    fn overridden(assignment: &str, expected: Result<&str, &str>) {
        let before: Table =
            "seed = 1\n[a]\nkind = 'x'\nb = 2\n[[terms]]\nweight = 1\n[[terms]]\nweight = 2\n".parse().unwrap();
        let mut table = before.clone();
        let result = apply_override(&mut table, assignment);
        match (result, expected) {
            (Ok(()), Ok(expected)) => {
                let mut wanted = before;
                for (key, value) in expected.parse::<Table>().unwrap() {
                    wanted.insert(key, value);
                }
                assert_eq!(table, wanted, "{assignment}");
            }
            (Err(TrainError::Override { assignment: named, message }), Err(expected)) => {
                assert_eq!((named.as_str(), message.as_str()), (assignment, expected));
                assert_eq!(table, before, "{assignment}");
            }
            (result, _) => panic!("{assignment}: {result:?}"),
        }
    }

    #[test]
    fn an_override_changes_one_place() {
        overridden("seed=2", Ok("seed = 2"));
        overridden(" seed = 2 ", Ok("seed = 2"));
        overridden("name=hello", Ok("name = 'hello'"));
        overridden("name='2'", Ok("name = '2'"));
        overridden("name=a=b", Ok("name = 'a=b'"));
        overridden("name=1\nseed=2", Ok("name = \"1\\nseed=2\""));
        overridden("a.kind=y", Ok("a = { kind = 'y', b = 2 }"));
        overridden("a={kind='y'}", Ok("a = { kind = 'y' }"));
        overridden("new.x.y=[1,2]", Ok("new = { x = { y = [1, 2] } }"));
        overridden("terms[1].weight=3.5", Ok("terms = [{ weight = 1 }, { weight = 3.5 }]"));
        overridden("terms[0]={weight=9}", Ok("terms = [{ weight = 9 }, { weight = 2 }]"));
    }

    #[test]
    fn an_override_of_what_says_one_thing_says_another() {
        let table = [
            ("source = { builtin = 'a' }", "source.path=b", "source = { path = 'b' }"),
            ("source = { path = 'a' }", "source.path=b", "source = { path = 'b' }"),
            ("x = { words = { builtin = 'a' } }", "x.words.path=b", "x = { words = { path = 'b' } }"),
            ("source = { kind = 'a' }", "source.path=b", "source = { kind = 'a', path = 'b' }"),
        ];
        for (base, assignment, expected) in table {
            let [mut base, expected] = [base, expected].map(|text| text.parse::<Table>().unwrap());
            apply_override(&mut base, assignment).unwrap();
            assert_eq!(base, expected, "{assignment}");
        }
    }

    #[test]
    fn an_override_that_leads_nowhere_changes_nothing() {
        overridden("seed", Err("there is no `=`; write `key.path=value`"));
        overridden("=1", Err("\"\" is not a key; a key has the letters a-z, A-Z, 0-9, `_` and `-`"));
        overridden("a..b=1", Err("\"\" is not a key; a key has the letters a-z, A-Z, 0-9, `_` and `-`"));
        overridden("a b=1", Err("\"a b\" is not a key; a key has the letters a-z, A-Z, 0-9, `_` and `-`"));
        overridden("terms[x].weight=1", Err("\"[x]\" is not the number of an item; write `[0]`"));
        overridden("terms[0=1", Err("\"[0\" is not the number of an item; write `[0]`"));
        overridden("terms[2].weight=1", Err("`terms` has 2 items, counted from 0; 2 is not there"));
        overridden("terms.weight=1", Err("`terms` is an array of 2 items, not a table in which `weight` could be"));
        overridden("seed.x=1", Err("`seed` is the integer 1, not a table in which `x` could be"));
        overridden("a[0]=1", Err("`a` is a table, not an array"));
    }

    #[test]
    fn an_overridden_place_has_no_line() {
        let text = "n_step = 1\n[[terms]]\nweight = 'x'\n[[terms]]\nweight = 'y'\n";
        let mut lines = Lines::of(text);
        let mut table: Table = text.parse().unwrap();
        apply_override(&mut table, "terms[1].weight=z").unwrap();
        lines.forget("terms[1].weight=z");
        let mut problems = check(&table, &schema());
        lines.locate(&mut problems);
        let places: Vec<_> = problems.iter().map(|problem| (problem.path.as_str(), problem.line)).collect();
        assert_eq!(places, [("terms[0].weight", Some(3)), ("terms[1].weight", None)]);
    }

    /// A right value for each key, and for some keys of several forms.
    const ENTRIES: &[&str] = &[
        "name = 'verse'",
        "code = 'a1'",
        "n_step = 3",
        "level = -5",
        "rate = 0.5",
        "is_double = true",
        "epsilon = { kind = 'constant', value = 1 }",
        "epsilon = { kind = 'linear', start = 1, end = 0.5, over = { steps = 3 } }",
        "epsilon = { kind = 'linear', start = 1, end = 0.5, over = 'ever' }",
        "epsilon = { kind = 'off' }",
        "epsilon = { kind = 'listed', weight = 1, words = ['a'] }",
        "prior = { kind = 'ngram', n = 3 }",
        "mode = 'prioritized'",
        "metric = 'median'",
        "terms = [{ weight = 1 }, { weight = 2, words = [] }]",
        "weights = { a = 1, b = 0.5 }",
        "seeds = 7",
        "seeds = [1, 2]",
        "seeds = { weight = 1 }",
        "pair = [1, true]",
        "splits = ['train', 'test']",
    ];

    /// A place within a value: the whole of it, or an item of it, or a place within that.
    fn place(value: &mut Value, index: usize) -> &mut Value {
        let n_items = match value {
            Value::Table(table) => table.len(),
            Value::Array(items) => items.len(),
            _ => 0,
        };
        let item = index % (n_items + 1);
        if item == n_items {
            return value;
        }
        let inner = match value {
            Value::Table(table) => table.iter_mut().map(|(_, inner)| inner).nth(item),
            Value::Array(items) => items.get_mut(item),
            _ => None,
        };
        place(inner.unwrap(), index / (n_items + 1))
    }

    /// A value as it may stand somewhere in [`ENTRIES`], or a whole one of them.
    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            (-300_i64..300).prop_map(Value::Integer),
            proptest::sample::select(vec![0.0, 0.5, -1.0, 1e300, f64::NAN, f64::INFINITY]).prop_map(Value::Float),
            any::<bool>().prop_map(Value::Boolean),
            proptest::sample::select(vec!["", "off", "constant", "ever", "median", "uniform", "b2", "steps"])
                .prop_map(Value::from),
            Just(Value::Array(Vec::new())),
            Just(Value::Table(Table::new())),
            proptest::sample::select(ENTRIES).prop_map(|entry| {
                let entry: Table = entry.parse().unwrap();
                entry.into_iter().next().unwrap().1
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// One place of a right document is replaced by a value that may be right there too.
        #[test]
        fn what_passes_is_read_by_serde(
            entry in proptest::sample::select(ENTRIES),
            index in 0_usize..1_000,
            value in any_value(),
        ) {
            let mut document: Table = "n_step = 1".parse().unwrap();
            document.extend(entry.parse::<Table>().unwrap());
            let key = entry.split(' ').next().unwrap();
            *place(&mut document[key], index) = value;
            if check(&document, &schema()).is_empty() {
                let read = document.clone().try_into::<Sample>();
                prop_assert!(read.is_ok(), "{document}: {read:?}");
            }
        }
    }
}
