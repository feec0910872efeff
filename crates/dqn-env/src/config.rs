//! Which environment a run uses, as its configuration says it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ProbeName, TabularName};

/// The task a policy learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EnvironmentConfig {
    /// Write hidden texts from memory: each right token earns 1, a wrong one ends the episode.
    NextToken {
        /// Tokens of each text that are given in the first state; every text must be longer. Default 0: the first
        /// state is empty, which suits a single text.
        #[serde(default)]
        n_prompt_tokens: usize,
    },
    /// Write freely after a prompt, up to `<eos>` (which terminates) or to a limit (which truncates). The reward comes
    /// from the reward terms.
    Generation {
        /// Tokens at the beginning of each text of the corpus that are given as the prompt; 0 leaves the prompt empty.
        /// Default 2, as in the probe on Chinese verse that the default experiment goes back to.
        #[serde(default = "default_n_prompt_tokens")]
        n_prompt_tokens: usize,
        /// Lines at the beginning of each text that are given as the prompt, in place of a number of tokens; needs
        /// texts of several lines (`example = "document"`) and `n_prompt_tokens = 0`. Leave it out to count tokens.
        #[serde(default)]
        #[schemars(range(min = 1))]
        n_prompt_lines: Option<usize>,
        /// Largest number of tokens after `<bos>`, the prompt and `<eos>` included. Default 16: two clauses of seven
        /// characters, the delimiter between them and `<eos>`.
        #[serde(default = "default_max_tokens")]
        #[schemars(range(min = 1))]
        max_tokens: usize,
        /// Tokens after `<bos>`, the prompt included, before which `<eos>` is not allowed; below `max_tokens`.
        /// Default 0: a text may end at once.
        #[serde(default)]
        min_tokens: usize,
    },
    /// One of five tiny tasks that each show one fault of a learner.
    Probe {
        /// Which one.
        name: ProbeName,
    },
    /// One of three small tables whose exact values are known.
    Tabular {
        /// Which one.
        name: TabularName,
    },
}

fn default_n_prompt_tokens() -> usize {
    2
}

fn default_max_tokens() -> usize {
    16
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: serde_json::Value) -> Result<EnvironmentConfig, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_fill_in_and_unknown_keys_are_refused() {
        assert_eq!(read(json!({ "kind": "next_token" })), Ok(EnvironmentConfig::NextToken { n_prompt_tokens: 0 }));
        assert_eq!(
            read(json!({ "kind": "generation", "min_tokens": 3 })),
            Ok(EnvironmentConfig::Generation {
                n_prompt_tokens: 2,
                n_prompt_lines: None,
                max_tokens: 16,
                min_tokens: 3
            })
        );
        assert_eq!(
            read(json!({ "kind": "tabular", "name": "gate" })),
            Ok(EnvironmentConfig::Tabular { name: TabularName::Gate })
        );
        let error = read(json!({ "kind": "next_token", "max_tokens": 3 })).unwrap_err();
        assert!(error.contains("unknown field `max_tokens`"), "{error}");
        let error = read(json!({ "kind": "probe", "name": "gate" })).unwrap_err();
        assert!(error.contains("unknown variant `gate`"), "{error}");
    }

    #[test]
    fn the_schema_states_ranges_and_defaults() {
        let schema = serde_json::to_value(schemars::schema_for!(EnvironmentConfig)).unwrap();
        let generation = &schema["oneOf"][1]["properties"];
        assert_eq!(generation["kind"]["const"], "generation");
        assert_eq!(generation["max_tokens"]["minimum"], 1);
        let defaults = ["n_prompt_tokens", "max_tokens", "min_tokens"].map(|key| generation[key]["default"].clone());
        assert_eq!(defaults, [json!(2), json!(16), json!(0)]);
    }
}
