//! Finding everything that is wrong with a configuration, at once and in words.
//!
//! serde stops at the first fault and loses its place in tagged enums. Here a document is compared with the JSON Schema
//! of its type instead; what passes is then read by serde. The two agree because the schema is derived from the type.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::schema::{Choice, Form, Name, Node, describe, one_of, quoted};
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

    /// Gives each problem the line of its place or, where nothing stands there, of the table that should hold it.
    pub fn locate(&self, problems: &mut [Problem]) {
        for problem in problems {
            let path = &problem.path;
            let parent = || path.rfind(['.', '[']).and_then(|end| self.0.get(&path[..end]));
            let missing = problem.found == NOTHING;
            problem.line = self.0.get(path).or_else(|| parent().filter(|_| missing)).copied();
        }
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
/// strings, optional values, and enums that serde tags inside, outside or not at all. Patterns of strings are not
/// compared.
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
                if !counts(node, "minLength", "maxLength", text.chars().count()) {
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
        Value::Array(items) => format!("an array of {} items", items.len()),
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
fn below(path: &str, key: &str) -> String {
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
