//! Which environment a run uses, as its configuration says it.

use std::path::PathBuf;

use dqn_mdp::{Environment, Seed};
use dqn_text::Vocab;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::deep_sea::deep_sea;
use crate::game::{Game, MazeConfig, NavigationConfig, Play, RandomWalkConfig, WordSource, WordleConfig};
use crate::log::OnFault;
use crate::{CopyString, EnvError, Limit, Memory, ProbeName, SpeechConfig, Tabular, TabularName, TranslationConfig};

/// The task a policy learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EnvironmentConfig {
    /// Write hidden texts from memory: each right token earns 1, a wrong one ends the episode.
    NextToken {
        /// Tokens of each text that are given in the first state; every text must be longer. Default 0: the first
        /// state is empty, which suits a single text.
        #[serde(default)]
        n_prompt_tokens: usize,
    },
    /// Write freely after a prompt, up to `<eos>` (which terminates) or to a limit. The reward comes from the reward terms.
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
        /// What it means for a text to reach `max_tokens`.
        #[serde(default)]
        limit: Limit,
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
    /// Write a random string once more: each right symbol earns `1 / length`, a wrong one ends the episode. Training,
    /// validation and test draw their strings apart from each other.
    Copy {
        /// Symbols of a string. Default 8, of 10: too many strings to know each.
        #[serde(default = "default_length")]
        #[schemars(range(min = 1, max = 10000))]
        length: usize,
        /// Symbols to choose from. Default 10.
        #[serde(default = "default_n_symbols")]
        #[schemars(range(min = 2, max = 100000))]
        n_symbols: usize,
    },
    /// A cue, a corridor in which only going on is allowed, and a junction at which the answer that equals the cue earns
    /// 1: a network that reads no more than the last `delay + 1` tokens can only guess.
    Memory {
        /// Steps of the corridor. Default 20.
        #[serde(default = "default_delay")]
        #[schemars(range(min = 1, max = 100000))]
        delay: usize,
        /// Cues, and answers. Default 2, left and right.
        #[serde(default = "default_n_cues")]
        #[schemars(range(min = 2, max = 100000))]
        n_cues: usize,
    },
    /// A square in which only as many steps to the right as it has columns find a treasure, and each step to the right
    /// before it costs: who tries an action at random now and then needs about `2^size` episodes.
    DeepSea {
        /// Rows and columns. Default 10, the smallest of Osband et al. 2020.
        #[serde(default = "default_size")]
        #[schemars(range(min = 1, max = 100))]
        size: usize,
        /// Seed of the draw that tells for each cell which action goes to the right. Default 0, apart from the run's seed
        /// so that runs are compared on the same square.
        #[serde(default)]
        mapping_seed: u64,
    },
    /// Respond to prompts, learned from a log of prompts, responses and rewards. Nothing judges what is written later: a run
    /// reports how well its values and its policy rank held-out responses.
    Responses {
        /// The log, JSONL with one `{"prompt": ..., "response": ..., "reward": ...}` a line; a relative path starts at the
        /// experiment file.
        path: PathBuf,
        /// What happens at a line that holds no such episode. Default `stop`.
        #[serde(default)]
        on_fault: OnFault,
        /// Most tokens of a response, its end included; longer ones are left out. Default 64.
        #[serde(default = "default_response_tokens")]
        #[schemars(range(min = 1))]
        max_tokens: usize,
    },
    /// Translate a sentence. The reward comes from the reward terms, which know the translations that people wrote; the
    /// network needs an encoder.
    Translation(TranslationConfig),
    /// Write down what is said in a recording. The reward comes from the reward terms, which know the transcripts; the
    /// network needs an encoder.
    Speech(SpeechConfig),
    /// A maze told in text: where one stands, and the walls around; each step costs 1 until the goal (LMRL-Gym).
    Maze(MazeConfig),
    /// A hidden word to be found by guesses, each answered letter by letter; each wrong guess costs 1 (LMRL-Gym).
    Wordle(WordleConfig),
    /// A walk on a graph, node by node, which ought to be short (trlx).
    RandomWalk(RandomWalkConfig),
    /// A house of eight rooms in which food is to be carried to the fridge (LMRL-Gym).
    Navigation(NavigationConfig),
}

/// A task that brings its own text.
pub struct SelfContained {
    /// The vocabulary of its states.
    pub vocab: Vocab,
    /// The task.
    pub environment: Box<dyn Environment>,
}

/// A game, and what one action of it is.
pub struct PlayedGame {
    /// The game.
    pub game: Box<dyn Game>,
    /// What one action is.
    pub play: Play,
}

impl EnvironmentConfig {
    /// Whether the task is a game played in text.
    pub fn is_game(&self) -> bool {
        matches!(self, Self::Maze(_) | Self::Wordle(_) | Self::RandomWalk(_) | Self::Navigation(_))
    }

    /// The game, where the task is one, and what an action of it is.
    ///
    /// # Errors
    /// [`EnvError`] for settings that make no game.
    pub fn game(&self) -> Result<Option<PlayedGame>, EnvError> {
        let (game, play) = match self {
            Self::Maze(config) => (config.build()?, config.play),
            Self::Wordle(config) => (config.build()?, config.play),
            Self::RandomWalk(config) => (config.build()?, config.play),
            Self::Navigation(config) => (config.build()?, config.play),
            _ => return Ok(None),
        };
        Ok(Some(PlayedGame { game, play }))
    }

    /// Whether texts of the task are about sources.
    pub fn has_sources(&self) -> bool {
        matches!(self, Self::Translation(_) | Self::Speech(_))
    }

    /// Most tokens that an episode writes, its end included, where texts are written freely.
    pub fn max_tokens(&self) -> Option<usize> {
        match self {
            Self::Generation { max_tokens, .. } | Self::Responses { max_tokens, .. } => Some(*max_tokens),
            Self::Translation(config) => Some(config.max_tokens),
            Self::Speech(config) => Some(config.max_tokens),
            _ => None,
        }
    }

    /// Whether texts are written freely and judged by reward terms.
    pub fn is_free_writing(&self) -> bool {
        matches!(self, Self::Generation { .. }) || self.has_sources()
    }

    /// The paths of the files that the task reads.
    pub fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Wordle(WordleConfig { words: WordSource::Path(path), .. }) | Self::Responses { path, .. } => {
                vec![path]
            }
            Self::Translation(config) => config.paths_mut(),
            Self::Speech(config) => config.paths_mut(),
            _ => Vec::new(),
        }
    }

    /// The task, where it needs no corpus and is no game. `indexed` is the seed of the starts that an index names, where the task draws
    /// them.
    ///
    /// # Errors
    /// [`EnvError::TaskValue`] for a value that makes no task.
    pub fn self_contained(&self, indexed: Seed) -> Result<Option<SelfContained>, EnvError> {
        let of_table = |table: Tabular| SelfContained { vocab: table.vocab().clone(), environment: Box::new(table) };
        Ok(Some(match *self {
            Self::NextToken { .. }
            | Self::Generation { .. }
            | Self::Responses { .. }
            | Self::Translation(_)
            | Self::Speech(_) => {
                return Ok(None);
            }
            Self::Maze(_) | Self::Wordle(_) | Self::RandomWalk(_) | Self::Navigation(_) => return Ok(None),
            Self::Probe { name } => of_table(name.build()),
            Self::Tabular { name } => of_table(name.build()),
            Self::DeepSea { size, mapping_seed } => of_table(deep_sea(size, Seed(mapping_seed))?),
            Self::Copy { length, n_symbols } => {
                let task = CopyString::new(length, n_symbols, indexed)?;
                SelfContained { vocab: task.vocab().clone(), environment: Box::new(task) }
            }
            Self::Memory { delay, n_cues } => {
                let task = Memory::new(delay, n_cues)?;
                SelfContained { vocab: task.vocab().clone(), environment: Box::new(task) }
            }
        }))
    }
}

fn default_length() -> usize {
    8
}

fn default_n_symbols() -> usize {
    10
}

fn default_delay() -> usize {
    20
}

fn default_n_cues() -> usize {
    2
}

fn default_response_tokens() -> usize {
    64
}

fn default_size() -> usize {
    10
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
                min_tokens: 3,
                limit: Limit::Truncates
            })
        );
        assert_eq!(
            read(json!({ "kind": "tabular", "name": "gate" })),
            Ok(EnvironmentConfig::Tabular { name: TabularName::Gate })
        );
        assert_eq!(read(json!({ "kind": "copy" })), Ok(EnvironmentConfig::Copy { length: 8, n_symbols: 10 }));
        assert_eq!(
            read(json!({ "kind": "memory", "delay": 5 })),
            Ok(EnvironmentConfig::Memory { delay: 5, n_cues: 2 })
        );
        assert_eq!(read(json!({ "kind": "deep_sea" })), Ok(EnvironmentConfig::DeepSea { size: 10, mapping_seed: 0 }));
        let error = read(json!({ "kind": "next_token", "max_tokens": 3 })).unwrap_err();
        assert!(error.contains("unknown field `max_tokens`"), "{error}");
        let error = read(json!({ "kind": "probe", "name": "gate" })).unwrap_err();
        assert!(error.contains("unknown variant `gate`"), "{error}");
    }

    #[test]
    fn tasks_without_a_corpus_bring_their_vocabulary() {
        for (config, n_tokens, n_actions, n_starts) in [
            (EnvironmentConfig::Probe { name: ProbeName::ActionReward }, 4 + 1 + 2, 2, 1),
            (EnvironmentConfig::Tabular { name: TabularName::Gate }, 4 + 3 + 2, 2, 3),
            (EnvironmentConfig::Copy { length: 3, n_symbols: 5 }, 4 + 5 + 1, 5, 125),
            (EnvironmentConfig::Memory { delay: 3, n_cues: 4 }, 4 + 4 + 2, 1 + 4, 4),
            (EnvironmentConfig::DeepSea { size: 3, mapping_seed: 0 }, 4 + 9 + 2, 2, 1),
        ] {
            let SelfContained { vocab, environment } = config.self_contained(Seed(0)).unwrap().unwrap();
            let found = (vocab.len(), environment.actions().len(), environment.n_starts());
            assert_eq!(found, (n_tokens, n_actions, n_starts), "{config:?}");
        }
        let over_text = EnvironmentConfig::NextToken { n_prompt_tokens: 0 };
        assert!(over_text.self_contained(Seed(0)).unwrap().is_none());
        let empty = EnvironmentConfig::Copy { length: 0, n_symbols: 5 };
        assert!(matches!(empty.self_contained(Seed(0)), Err(EnvError::TaskValue { key: "length", .. })));
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
