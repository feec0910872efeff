//! Settings by their keys, with errors that name file, key, value and what is allowed.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::{Map, Value};

use super::error::PretrainedError;

/// An object of a JSON file.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    pub(super) path: &'a Path,
    /// What stands before the keys of this object, such as `rope_parameters.`.
    pub(super) prefix: &'static str,
    pub(super) map: &'a Map<String, Value>,
}

impl<'a> Keys<'a> {
    /// The value of a key; one that is null is not there.
    pub(super) fn get(self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The error that says what `key` may be.
    pub(super) fn fault(self, key: &str, allowed: impl Into<String>) -> PretrainedError {
        let found = self.map.get(key).map_or_else(|| "missing".to_owned(), shown);
        let key = format!("{}{key}", self.prefix);
        PretrainedError::Config { path: self.path.to_owned(), key, found, allowed: allowed.into() }
    }

    /// A whole number of a key that may be missing.
    pub(super) fn optional_size(
        self,
        key: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, PretrainedError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let found = value.as_u64().and_then(|value| usize::try_from(value).ok()).filter(|size| range.contains(size));
        let allowed = || format!("it must be a whole number from {} to {}", range.start(), range.end());
        found.map(Some).ok_or_else(|| self.fault(key, allowed()))
    }

    /// A whole number.
    pub(super) fn size(self, key: &str, range: RangeInclusive<usize>) -> Result<usize, PretrainedError> {
        let allowed = format!("it must be a whole number from {} to {}", range.start(), range.end());
        self.optional_size(key, range)?.ok_or_else(|| self.fault(key, allowed))
    }

    /// A number, `default` where the key is missing.
    pub(super) fn number(
        self,
        key: &str,
        range: RangeInclusive<f64>,
        default: Option<f64>,
    ) -> Result<f64, PretrainedError> {
        let allowed = || self.fault(key, format!("it must be a number from {} to {}", range.start(), range.end()));
        match (self.get(key), default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(allowed()),
            (Some(value), _) => value.as_f64().filter(|number| range.contains(number)).ok_or_else(allowed),
        }
    }

    /// A truth value, `default` where the key is missing.
    pub(super) fn flag(self, key: &str, default: bool) -> Result<bool, PretrainedError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.fault(key, "it must be true or false")),
        }
    }

    /// One of some words, the first of them where the key is missing.
    pub(super) fn word(self, key: &str, allowed: &[&'static str]) -> Result<&'static str, PretrainedError> {
        let Some(value) = self.get(key) else { return Ok(allowed[0]) };
        let found = allowed.iter().find(|word| value.as_str() == Some(word));
        found.copied().ok_or_else(|| self.fault(key, format!("supported: {}", quoted(allowed))))
    }

    /// An object; one that is empty is not there.
    pub(super) fn object(self, key: &str, prefix: &'static str) -> Result<Option<Keys<'a>>, PretrainedError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) if map.is_empty() => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Keys { path: self.path, prefix, map })),
            Some(_) => Err(self.fault(key, "it must be an object")),
        }
    }

    /// Refuses a setting that changes the model in a way that is not computed here.
    pub(super) fn refuse(self, key: &str, unless: &[Value], why: &str) -> Result<(), PretrainedError> {
        match self.get(key) {
            Some(value) if !unless.contains(value) => Err(self.fault(key, why)),
            _ => Ok(()),
        }
    }

    /// Token ids of a key that holds one, several, or none.
    pub(super) fn tokens(self, key: &str, vocab_size: usize) -> Result<Vec<u32>, PretrainedError> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let token = |value: &Value| {
            let id = value.as_u64().filter(|&id| id < vocab_size as u64);
            id.map(|id| id as u32)
                .ok_or_else(|| self.fault(key, format!("tokens are whole numbers below {vocab_size}")))
        };
        match value {
            Value::Array(values) => values.iter().map(token).collect(),
            value => Ok(vec![token(value)?]),
        }
    }
}

/// Words in quotes with commas between them.
pub(super) fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}

/// A value as JSON, cut where it is long.
fn shown(value: &Value) -> String {
    const MAX_CHARS: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
