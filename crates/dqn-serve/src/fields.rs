//! Reading the fields of a request one by one, so that what is left at the end is what this server does not know.

use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The fields of a request that were not read yet. Null stands for a field that is not there.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    pub(crate) fn new(mut object: Map<String, Value>) -> Self {
        object.retain(|_, value| !value.is_null());
        Self(object)
    }

    /// A field of any kind.
    pub(crate) fn any(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.any(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, "a string", &other)),
        }
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.any(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(wrong(name, "true or false", &other)),
        }
    }

    /// A number from `least` to `most`.
    pub(crate) fn number(&mut self, name: &str, least: f64, most: f64) -> Result<Option<f64>, Refusal> {
        let Some(value) = self.any(name) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number >= least && number <= most => Ok(Some(number)),
            _ => Err(wrong(name, &format!("a number from {least} to {most}"), &value)),
        }
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn count(&mut self, name: &str, least: usize, most: usize) -> Result<Option<usize>, Refusal> {
        let Some(value) = self.any(name) else { return Ok(None) };
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        match count.filter(|count| (least..=most).contains(count)) {
            Some(count) => Ok(Some(count)),
            None => Err(wrong(name, &format!("a whole number from {least} to {most}"), &value)),
        }
    }

    /// A field that this server keeps to only where it asks for nothing.
    pub(crate) fn neutral(&mut self, name: &str, is_neutral: impl Fn(&Value) -> bool) -> Result<(), Refusal> {
        match self.any(name) {
            Some(value) if !is_neutral(&value) => Err(unsupported(name)),
            _ => Ok(()),
        }
    }

    /// Refuses what was not read, but for fields that change no answer.
    pub(crate) fn finish(mut self, harmless: &[&str]) -> Result<(), Refusal> {
        self.0.retain(|name, _| !harmless.contains(&name.as_str()));
        match self.0.keys().next() {
            Some(name) => Err(unsupported(name)),
            None => Ok(()),
        }
    }
}

/// A field whose value is of another kind or out of range.
pub(crate) fn wrong(name: &str, expected: &str, found: &Value) -> Refusal {
    Refusal::field(name, format!("{name} must be {expected}, but is {}", shown(found)))
}

/// A field that would change the answer, and that this server does not keep to.
pub(crate) fn unsupported(name: &str) -> Refusal {
    let shown: String = name.chars().take(MOST_SHOWN).collect();
    Refusal::field(&shown, format!("{shown} is not supported by this server; leave it out"))
        .with_code("unsupported_field")
}

const MOST_SHOWN: usize = 60;

/// A value as it was found, cut where it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    }
}
