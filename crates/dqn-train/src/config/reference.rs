//! The page that lists every key of a configuration, written from its JSON Schema.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value as Json;

use super::schema::{Choice, Form, Node, describe_count, describe_range, quoted};

/// The reference of a configuration as Markdown: a section for each table, a row for each key.
///
/// A type that is used in several places is described once; the other places refer to it.
pub fn markdown(schema: &Json, title: &str) -> String {
    let root = Node::root(schema);
    let mut page = Page { text: format!("# {title}\n"), waiting: VecDeque::new(), described: BTreeMap::new() };
    if let Some(description) = root.description() {
        page.text += &format!("\n{}\n", one_line(description));
    }
    page.text += "\n## Top level\n";
    page.keys(&root, "");
    while let Some((path, node)) = page.waiting.pop_front() {
        page.section(&path, &node);
    }
    page.text
}

struct Page<'a> {
    text: String,
    /// Sections that are still to be written.
    waiting: VecDeque<(String, Node<'a>)>,
    /// The path under which each definition has its section.
    described: BTreeMap<&'a str, String>,
}

impl<'a> Page<'a> {
    fn section(&mut self, path: &str, node: &Node<'a>) {
        self.text += &format!("\n## `{path}`\n");
        if let Some(description) = node.description() {
            self.text += &format!("\n{}\n", one_line(description));
        }
        match node.form() {
            Form::Tagged { tag, variants } => {
                for variant in variants {
                    self.text += &format!("\n### `{path}` with `{tag} = {}`\n", quoted(variant.name));
                    if let Some(description) = variant.description {
                        self.text += &format!("\n{}\n", one_line(description));
                    }
                    self.keys_without(&variant.node, path, Some(tag));
                }
            }
            _ => self.keys(node, path),
        }
    }

    fn keys(&mut self, node: &Node<'a>, path: &str) {
        self.keys_without(node, path, None);
    }

    /// The table of the keys of `node`, but for `left_out`, which the heading has named.
    fn keys_without(&mut self, node: &Node<'a>, path: &str, left_out: Option<&str>) {
        let required = node.required();
        let mut properties = node.properties();
        properties.retain(|&key, _| Some(key) != left_out);
        let others = node.other_keys().filter(|_| properties.is_empty() && left_out.is_none());
        if properties.is_empty() && others.is_none() {
            self.text += "\nNo further keys.\n";
            return;
        }
        self.text += "\n| Key | Value | Range | Default | Meaning |\n|---|---|---|---|---|\n";
        for (key, property) in &properties {
            let default = match (property.get("default"), required.contains(key)) {
                (_, true) => "required".to_owned(),
                (None | Some(Json::Null), false) => "not set".to_owned(),
                (Some(default), false) => format!("`{}`", inline_default(property, default)),
            };
            self.row(&format!("`{key}`"), property, &join(path, key), &default);
        }
        if let Some(others) = others {
            self.row("any name", &others, &join(path, "<name>"), "not set");
        }
    }

    fn row(&mut self, key: &str, node: &Node<'a>, path: &str, default: &str) {
        let value = self.value(node, path);
        let range = range(node).unwrap_or_default();
        let meaning = node.description().map(one_line).unwrap_or_default();
        let cells = [key, &value, &range, default, &meaning].map(|cell| cell.replace('|', "\\|"));
        self.text += &format!("| {} |\n", cells.join(" | "));
    }

    /// What may stand in a place, with a link to the section of a table.
    fn value(&mut self, node: &Node<'a>, path: &str) -> String {
        match node.form() {
            Form::Any => "any value".to_owned(),
            Form::Boolean => "`true` or `false`".to_owned(),
            Form::Integer => "integer".to_owned(),
            Form::Number => "number".to_owned(),
            Form::String => "string".to_owned(),
            Form::Names(names) => alternatives(names.iter().map(|name| match name.description {
                // The description of all names together is the meaning of the key, and stands in its own column.
                Some(description) if Some(description) != node.description() => {
                    format!("`{}` ({})", quoted(name.text), one_line(description).trim_end_matches('.'))
                }
                _ => format!("`{}`", quoted(name.text)),
            })),
            Form::Array => format!("array, each {}", self.value(&node.item(0), &format!("{path}[]"))),
            Form::Table => self.link("table", node, path),
            Form::Tagged { tag, variants } => {
                let names = alternatives(variants.iter().map(|variant| format!("`{}`", quoted(variant.name))));
                format!("{} with `{tag}` {names}", self.link("table", node, path))
            }
            Form::OneKey { names, keyed } => {
                let names: Vec<_> = names.iter().map(|name| format!("`{}`", quoted(name.text))).collect();
                let keyed: Vec<_> = keyed.iter().map(|choice| self.keyed(choice, path)).collect();
                alternatives(names.into_iter().chain(keyed))
            }
            Form::Either(choices) => {
                let choices: Vec<_> = choices.iter().map(|choice| self.value(choice, path)).collect();
                alternatives(choices)
            }
        }
    }

    fn keyed(&mut self, choice: &Choice<'a>, path: &str) -> String {
        let value = self.value(&choice.node, &join(path, choice.name));
        let range = range(&choice.node).map_or(String::new(), |range| format!(", {range}"));
        format!("`{{ {} = ... }}` ({value}{range})", choice.name)
    }

    /// A link to the section of `node`, which is put in the queue where it has none yet.
    fn link(&mut self, text: &str, node: &Node<'a>, path: &str) -> String {
        let described = node.definition().and_then(|definition| self.described.get(definition));
        let path = described.cloned().unwrap_or_else(|| {
            if let Some(definition) = node.definition() {
                self.described.insert(definition, path.to_owned());
            }
            self.waiting.push_back((path.to_owned(), node.clone()));
            path.to_owned()
        });
        format!("[{text}](#{})", anchor(&path))
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn range(node: &Node<'_>) -> Option<String> {
    match node.form() {
        Form::Integer | Form::Number => describe_range(node),
        Form::String => {
            let count = describe_count(node, "minLength", "maxLength", "character");
            let pattern = node.pattern().map(|pattern| format!("matches `{pattern}`"));
            let both: Vec<_> = count.into_iter().chain(pattern).collect();
            (!both.is_empty()).then(|| both.join(", "))
        }
        Form::Array => {
            let count = describe_count(node, "minItems", "maxItems", "item");
            let each = range(&node.item(0)).map(|range| format!("each {range}"));
            let both: Vec<_> = count.into_iter().chain(each).collect();
            (!both.is_empty()).then(|| both.join(", "))
        }
        _ => None,
    }
}

fn alternatives(choices: impl IntoIterator<Item = String>) -> String {
    choices.into_iter().collect::<Vec<_>>().join(" or ")
}

/// A description without its line breaks, which would end the row of a table.
fn one_line(description: &str) -> String {
    description.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A default as TOML writes it in one line, without the keys that have this value of their own accord.
fn inline_default(node: &Node<'_>, default: &Json) -> String {
    let table = match (node.form(), default) {
        (Form::Table, Json::Object(table)) => table,
        _ => return inline(default),
    };
    let properties = node.properties();
    let is_own = |key: &str, value| properties.get(key).and_then(|property| property.get("default")) == Some(value);
    let told = table.iter().filter(|(key, value)| !is_own(key, value));
    inline(&Json::Object(told.map(|(key, value)| (key.clone(), value.clone())).collect()))
}

/// A value as TOML writes it in one line; what is not set is left out of tables.
fn inline(value: &Json) -> String {
    match value {
        Json::String(text) => quoted(text),
        Json::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Json::Object(table) => {
            let set = table.iter().filter(|(_, value)| !value.is_null());
            let entries: Vec<_> = set.map(|(key, value)| format!("{key} = {}", inline(value))).collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
        other => other.to_string(),
    }
}

/// The anchor that GitHub gives the heading of a section.
fn anchor(path: &str) -> String {
    path.chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-'))
        .collect::<String>()
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;

    /// All of
    /// an experiment.
    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        /// Its name | its title.
        #[schemars(length(min = 1))]
        name: String,
        /// Steps.
        #[serde(default = "three")]
        #[schemars(range(min = 1, max = 10))]
        n_step: u32,
        /// What is left to chance.
        #[serde(default)]
        epsilon: Option<Schedule>,
        /// And in the end.
        #[serde(default = "off")]
        last: Schedule,
        /// What is rewarded.
        #[serde(default)]
        terms: Vec<Term>,
        /// By name.
        #[serde(default)]
        weights: BTreeMap<String, f64>,
        /// How samples are drawn.
        #[serde(default)]
        mode: Mode,
        /// How often.
        #[serde(default = "rhythm")]
        rhythm: Rhythm,
    }

    fn three() -> u32 {
        3
    }

    fn rhythm() -> Rhythm {
        Rhythm { every: 2, rounds: Some(7) }
    }

    fn off() -> Schedule {
        Schedule::Off
    }

    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rhythm {
        /// The beat.
        #[serde(default = "two")]
        every: u8,
        rounds: Option<u8>,
    }

    fn two() -> u8 {
        2
    }

    /// A number over time.
    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
    enum Schedule {
        /// A straight line.
        Linear {
            /// At first.
            start: f64,
            /// How long.
            over: Span,
        },
        /// Nothing.
        Off,
    }

    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    enum Span {
        Steps(#[schemars(range(min = 1))] u64),
        Updates(u64),
        Ever,
    }

    /// What is rewarded.
    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Term {
        /// Its factor.
        weight: f64,
    }

    #[derive(Default, JsonSchema, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        /// All alike.
        #[default]
        Uniform,
        /// By their error.
        Prioritized,
    }

    #[test]
    fn every_key_has_its_row() {
        let schema = schemars::schema_for!(Sample).to_value();
        let expected = r##"# Configuration

All of an experiment.

## Top level

| Key | Value | Range | Default | Meaning |
|---|---|---|---|---|
| `epsilon` | [table](#epsilon) with `kind` `"linear"` or `"off"` |  | not set | What is left to chance. |
| `last` | [table](#epsilon) with `kind` `"linear"` or `"off"` |  | `{ kind = "off" }` | And in the end. |
| `mode` | `"uniform"` (All alike) or `"prioritized"` (By their error) |  | `"uniform"` | How samples are drawn. |
| `n_step` | integer | from 1 to 10 | `3` | Steps. |
| `name` | string | at least 1 character | required | Its name \| its title. |
| `rhythm` | [table](#rhythm) |  | `{ rounds = 7 }` | How often. |
| `terms` | array, each [table](#terms) |  | `[]` | What is rewarded. |
| `weights` | [table](#weights) |  | `{}` | By name. |

## `epsilon`

What is left to chance.

### `epsilon` with `kind = "linear"`

A straight line.

| Key | Value | Range | Default | Meaning |
|---|---|---|---|---|
| `over` | `"ever"` or `{ steps = ... }` (integer, at least 1) or `{ updates = ... }` (integer, at least 0) |  | required | How long. |
| `start` | number |  | required | At first. |

### `epsilon` with `kind = "off"`

Nothing.

No further keys.

## `rhythm`

How often.

| Key | Value | Range | Default | Meaning |
|---|---|---|---|---|
| `every` | integer | from 0 to 255 | `2` | The beat. |
| `rounds` | integer | from 0 to 255 | not set |  |

## `terms[]`

What is rewarded.

| Key | Value | Range | Default | Meaning |
|---|---|---|---|---|
| `weight` | number |  | required | Its factor. |

## `weights`

By name.

| Key | Value | Range | Default | Meaning |
|---|---|---|---|---|
| any name | number |  | not set |  |
"##;
        assert_eq!(markdown(&schema, "Configuration"), expected);
    }
}
