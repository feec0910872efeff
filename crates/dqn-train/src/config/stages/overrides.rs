//! Changes to the settings of all stages, or of one.

use toml::Table;

use super::{KEY, StageSection};
use crate::TrainError;
use crate::config::check;

/// An override, and the stage that it is for.
pub(super) struct Override<'a> {
    /// As it was given.
    given: &'a str,
    /// The assignment within a stage.
    pub(super) assignment: &'a str,
    /// The only stage that it changes, where it does not change all.
    stage: Option<&'a str>,
}

impl<'a> Override<'a> {
    /// Reads `key.path=value` or `stages.NAME.key.path=value`.
    pub(super) fn read(given: &'a str, sections: &[StageSection]) -> Result<Self, TrainError> {
        let path = given.split_once('=').map_or(given, |(path, _)| path).trim();
        let within = path.strip_prefix(KEY).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        if within.is_none() {
            return Ok(Self { given, assignment: given, stage: None });
        }
        let names: Vec<&str> = sections.iter().map(|section| section.name.as_str()).collect();
        let fault = |what: String| {
            let message =
                format!("{what}; write `{KEY}.NAME.key.path=value` with one of the stages {}", names.join(", "));
            TrainError::Override { assignment: given.to_owned(), message }
        };
        let (name, assignment) = given
            .trim_start()
            .strip_prefix("stages.")
            .and_then(|rest| rest.split_once('.'))
            .filter(|(name, _)| !name.contains(['=', '[']))
            .ok_or_else(|| fault("it names no key of a stage".to_owned()))?;
        match names.contains(&name) {
            true => Ok(Self { given, assignment, stage: Some(name) }),
            false => Err(fault(format!("there is no stage {name:?}"))),
        }
    }

    /// Whether it renames the whole, and thereby every stage.
    pub(super) fn is_of_name(&self) -> bool {
        let path = self.assignment.split_once('=').map(|(path, _)| path.trim());
        self.stage.is_none() && path == Some("name")
    }

    /// Whether it changes the settings of this stage.
    pub(super) fn concerns(&self, stage: &str) -> bool {
        self.stage.map_or(!self.is_of_name(), |only| only == stage)
    }

    /// Writes its value into the table of a stage.
    pub(super) fn apply(&self, table: &mut Table) -> Result<(), TrainError> {
        check::apply_override(table, self.assignment).map_err(|error| match error {
            TrainError::Override { message, .. } => TrainError::Override { assignment: self.given.to_owned(), message },
            other => other,
        })
    }
}
