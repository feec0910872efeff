//! Why a line is no episode, in words that name the place.
//!
//! Reading is one pass of serde straight into the types; only a line that this refuses is looked at again.

use serde_json::Value;
use serde_json::error::Category;

use super::episode::KEYS;
use super::fault::{LogProblem, shortened};

/// The fault of `line`, which serde refused with `error`, and its column in characters.
pub(super) fn diagnose(line: &str, error: &serde_json::Error) -> (Option<usize>, LogProblem) {
    let full = error.to_string();
    let message = full.split(" at line ").next().unwrap_or(&full).to_owned();
    if error.classify() == Category::Data {
        let value = serde_json::from_str(line).ok();
        let problem = value.as_ref().and_then(wrong_part);
        return (None, problem.unwrap_or(LogProblem::NotEpisode { message }));
    }
    // serde_json counts bytes from 1.
    let at = line.floor_char_boundary(error.column().saturating_sub(1));
    let column = Some(1 + line[..at].chars().count());
    let literal = literal_at(line, at);
    let is_wide = message == "number out of range";
    if is_wide || matches!(literal.trim_start_matches('-').to_lowercase().as_str(), "nan" | "inf" | "infinity") {
        return (column, LogProblem::NotANumber { found: literal.to_owned() });
    }
    (column, LogProblem::NotJson { message })
}

/// The number or word around the byte `at`.
fn literal_at(line: &str, at: usize) -> &str {
    let belongs = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
    let begin = line[..at].trim_end_matches(belongs).len();
    let end = at + line[at..].len() - line[at..].trim_start_matches(belongs).len();
    &line[begin..end]
}

fn wrong_part(line: &Value) -> Option<LogProblem> {
    let Some(object) = line.as_object() else { return Some(LogProblem::NotObject { found: kind(line) }) };
    if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Some(LogProblem::UnknownKey { key: key.clone(), known: &KEYS });
    }
    object.iter().filter(|(_, value)| !value.is_null()).find_map(|(key, value)| wrong_value(key, value))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

const TEXT: (fn(&Value) -> bool, &str) = (Value::is_string, "a text");
const NUMBER: (fn(&Value) -> bool, &str) = (Value::is_number, "a number");
const FLAG: (fn(&Value) -> bool, &str) = (Value::is_boolean, "true or false");
const TOKEN: (fn(&Value) -> bool, &str) =
    (|value| value.as_u64().is_some_and(|id| u32::try_from(id).is_ok()), "a token id, a whole number from 0");
const OUTCOME: (fn(&Value) -> bool, &str) =
    (|value| value == "terminated" || value == "truncated", "\"terminated\" or \"truncated\"");
const TURN: (fn(&Value) -> bool, &str) =
    (|value| value.as_array().is_some_and(|pair| pair.len() == 2), "a pair [text, is_action]");

fn wrong_value(key: &str, value: &Value) -> Option<LogProblem> {
    match key {
        "turns" => wrong_entry(key, value, TURN, "a list of pairs [text, is_action]")
            .or_else(|| value.as_array()?.iter().enumerate().find_map(wrong_turn)),
        "tokens" => wrong_entry(key, value, TOKEN, "a list of token ids"),
        "is_action" => wrong_entry(key, value, FLAG, "a list of true and false"),
        "rewards" => wrong_entry(key, value, NUMBER, "a list of numbers"),
        "outcome" => wrong(key.to_owned(), value, OUTCOME),
        "reward" => wrong(key.to_owned(), value, NUMBER),
        _ => wrong(key.to_owned(), value, TEXT),
    }
}

fn wrong_turn((index, turn): (usize, &Value)) -> Option<LogProblem> {
    let wrong_half = |half: usize, expected| wrong(format!("turns[{index}][{half}]"), &turn[half], expected);
    wrong_half(0, TEXT).or_else(|| wrong_half(1, FLAG))
}

fn wrong_entry(
    key: &str,
    value: &Value,
    expected: (fn(&Value) -> bool, &'static str),
    list: &'static str,
) -> Option<LogProblem> {
    let Some(entries) = value.as_array() else { return wrong(key.to_owned(), value, (Value::is_array, list)) };
    entries.iter().enumerate().find_map(|(index, entry)| wrong(format!("{key}[{index}]"), entry, expected))
}

fn wrong(at: String, value: &Value, (is_right, allowed): (fn(&Value) -> bool, &'static str)) -> Option<LogProblem> {
    let found = match value {
        Value::String(text) => shortened(text),
        Value::Array(_) | Value::Object(_) => kind(value).to_owned(),
        short => short.to_string(),
    };
    (!is_right(value)).then_some(LogProblem::Value { at, found, allowed })
}
