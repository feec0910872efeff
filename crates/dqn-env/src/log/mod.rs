//! Episodes that were played before, by whomever, as files: what a policy learns from without playing.
//!
//! A log is UTF-8 JSONL, an episode a line; blank lines are passed over. An episode has one of three shapes:
//!
//! ```text
//! {"turns": [["You see a door.", false], ["open\n", true]], "rewards": [1.0], "outcome": "terminated"}
//! {"tokens": [17, 4, 9], "is_action": [false, true, true], "rewards": [0, 1], "outcome": "truncated"}
//! {"prompt": "2 + 2 = ", "response": "4", "reward": 1}
//! ```
//!
//! Each may have an `id`, and the first two an `outcome`, which is `"terminated"` where it is left out. Read the
//! modules in the order in which a line passes through them: the [`LogReader`] reads it as a [`LoggedEpisode`], of
//! which [`LogStats`] tells what the log holds, and a [`LogTranslator`] makes it the trajectory that replay stores. A [`LogWriter`] writes lines that can be read again.

mod diagnosis;
mod episode;
mod fault;
mod reader;
mod stats;
mod translate;
mod writer;

pub use episode::{LoggedEpisode, LoggedOutcome, LoggedTokens, LoggedTriple, LoggedTurn, LoggedTurns};
pub use fault::{LogFault, LogProblem, OnFault};
pub use reader::{LogReader, MAX_LINE_BYTES};
pub use stats::{LogStats, Spread, StatsPass};
pub use translate::LogTranslator;
pub use writer::LogWriter;

/// The JSON schema of a line of a log.
///
/// It states shapes and keys; that rewards and actions are as many, only the reader checks.
pub fn log_schema() -> serde_json::Value {
    schemars::schema_for!(LoggedEpisode).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_lists_the_shapes_with_their_keys() {
        let schema = log_schema();
        let shapes = schema["anyOf"].as_array().unwrap();
        let definition = |name: &str| {
            let shape = &schema["$defs"][name];
            let keys: Vec<&String> = shape["properties"].as_object().unwrap().keys().collect();
            assert_eq!(shape["additionalProperties"], false, "{name}");
            (serde_json::json!(keys), shape["required"].clone())
        };
        assert_eq!(shapes.len(), 3);
        for (name, keys, required) in [
            ("LoggedTurns", "id outcome rewards turns", "turns rewards"),
            ("LoggedTokens", "id is_action outcome rewards tokens", "tokens is_action rewards"),
            ("LoggedTriple", "id prompt response reward", "prompt response reward"),
        ] {
            let words = |text: &str| serde_json::json!(text.split(' ').collect::<Vec<_>>());
            let (mut found, needed) = definition(name);
            found.as_array_mut().unwrap().sort_by_key(|key| key.to_string());
            assert_eq!((found, needed), (words(keys), words(required)), "{name}");
        }
    }
}
