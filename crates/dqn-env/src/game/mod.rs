//! Games played in text: a maze, a word to guess, walks on a graph, and a house to find one's way in.
//!
//! A [`Game`] shows a text, takes a command and answers with a text, and knows nothing of tokens. [`TextGame`] makes an
//! environment of it, and [`record()`] plays it with one of its [scripted players](GamePlayer), which is how logs to
//! learn from are made.

mod maze;
mod navigation;
mod random_walk;
mod record;
mod text_game;
mod wordle;

use dqn_mdp::{MdpError, Outcome, Start};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::maze::{Maze, MazeConfig, MazeMap, MazeName, MazeObservation, MazeRows, MazeStarts};
pub use self::navigation::{Navigation, NavigationConfig, NavigationObservation};
pub use self::random_walk::{RandomWalk, RandomWalkConfig, WalkReward, optimality};
pub use self::record::{RecordedEpisode, record};
pub use self::text_game::{Play, TextGame};
pub use self::wordle::{BuiltinWords, WordSource, Wordle, WordleConfig};
use crate::EnvError;

/// A game played in text: it shows a text, takes a command, answers with a text.
///
/// The same start and the same commands lead to the same texts and rewards.
pub trait Game: Send {
    /// All whole commands in their order, each ending in a line break; the same in every state and episode.
    fn commands(&self) -> &[String];

    /// How many distinct starts [`Start::Indexed`] may name, at least 1.
    fn n_starts(&self) -> usize;

    /// Begins an episode and returns the text shown first.
    ///
    /// # Errors
    /// [`MdpError::NoSuchStart`] for an index beyond [`Game::n_starts`].
    fn reset(&mut self, start: Start) -> Result<String, MdpError>;

    /// Takes a command, which may be any text; each game says what it does with one that is none of its commands.
    ///
    /// # Panics
    /// Before the first episode and after the end of one.
    fn act(&mut self, command: &str) -> Turn;

    /// The index among [`Game::commands`] of what `player` does now.
    ///
    /// A player may keep something in mind for the rest of the episode, which is why this is no `&self`; it never
    /// changes what [`Game::act`] answers.
    ///
    /// # Panics
    /// Outside an episode, and for a [`GamePlayer::Mixture`] that [`GamePlayer::check`] refuses.
    fn suggest(&mut self, player: GamePlayer, rng: &mut ChaCha8Rng) -> usize;

    /// Texts that together hold every word and character of observations and commands: what a tokenizer is made from.
    fn texts(&self) -> Vec<String>;

    /// The indices among [`Game::commands`] of what may be done now, where the game narrows it and an episode is on.
    fn allowed(&self) -> Option<Vec<usize>> {
        None
    }

    /// Another game like this one, with whatever it has worked out shared.
    fn boxed_clone(&self) -> Box<dyn Game>;

    /// What the game itself says of the episode so far, where that is not the return.
    fn score(&self) -> Option<f64> {
        None
    }
}

/// What a game answers to a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// The reward.
    pub reward: f32,
    /// The text shown after the command; empty where the game says nothing.
    pub text: String,
    /// Whether and how the episode ended.
    pub outcome: Outcome,
}

/// A player that follows a script: the behaviour of logs, and the lines to compare a learner with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum GamePlayer {
    /// Each sensible command as likely as another: in the maze the four moves, in Wordle every word, on a walk the
    /// edges that leave the node, in navigation the commands that do something.
    Random {},
    /// A good command: in the maze and on a walk a step of a shortest path, in Wordle a random word that fits all
    /// answers so far, in navigation the next command of the shortest walkthrough.
    Skilled {},
    /// The best that is known: in Wordle the word whose answer tells most, elsewhere as `skilled`.
    Expert {},
    /// The expert's first two commands, and then the second again and again: it begins well and never ends (Snell et al.
    /// 2022, section 5, for Wordle). [`record()`] plays so; asked in the middle of an episode it answers as the expert.
    Adversarial {},
    /// As `skilled` with a probability, drawn for each command, else as `random`. In navigation the skill shows in some
    /// rooms only, which are drawn for each episode; see the game.
    Mixture {
        /// The probability, from 0 to 1.
        #[schemars(range(min = 0.0, max = 1.0))]
        skill: f64,
    },
}

impl GamePlayer {
    /// Refuses a skill that is no probability.
    ///
    /// # Errors
    /// [`EnvError::GameValue`].
    pub fn check(self) -> Result<(), EnvError> {
        match self {
            Self::Mixture { skill } if !(0.0..=1.0).contains(&skill) => {
                Err(EnvError::game_value("player", "skill", skill, "from 0 to 1"))
            }
            _ => Ok(()),
        }
    }

    /// How the next command is chosen; draws only for a mixture.
    fn choice(self, rng: &mut ChaCha8Rng) -> Choice {
        match self {
            Self::Random {} => Choice::Random,
            Self::Skilled {} => Choice::Skilled,
            Self::Expert {} | Self::Adversarial {} => Choice::Expert,
            Self::Mixture { skill } if rng.random_bool(skill) => Choice::Skilled,
            Self::Mixture { .. } => Choice::Random,
        }
    }
}

/// How one command is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Random,
    Skilled,
    Expert,
}

/// What `act` and `suggest` are owed.
const IN_EPISODE: &str = "an episode is on: `reset` begins one and the end of an episode ends it";

#[cfg(test)]
mod tests {
    use dqn_mdp::Seed;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Every game in every mode it has.
    pub(super) fn games() -> Vec<(String, Box<dyn Game>)> {
        let maze = |value| serde_json::from_value::<MazeConfig>(value).unwrap().build().unwrap();
        let walk = |value| serde_json::from_value::<RandomWalkConfig>(value).unwrap().build().unwrap();
        let house = |value| serde_json::from_value::<NavigationConfig>(value).unwrap().build().unwrap();
        let games: [(&str, Box<dyn Game>); 9] = [
            ("maze", maze(json!({ "max_steps": 30 }))),
            ("partial maze", maze(json!({ "observation": "partial", "max_steps": 30 }))),
            ("umaze", maze(json!({ "map": { "name": "umaze" }, "starts": "all" }))),
            ("wordle", WordleConfig::default().build().unwrap()),
            ("walk", walk(json!({}))),
            ("walk by optimality", walk(json!({ "reward": "optimality" }))),
            ("house", house(json!({}))),
            ("bare house", house(json!({ "distractors": false }))),
            ("partial house", house(json!({ "observation": "partial" }))),
        ];
        games.into_iter().map(|(name, game)| (name.to_owned(), game)).collect()
    }

    /// The first text and all turns under commands picked by `picks`, with some that are no command.
    fn play(game: &mut dyn Game, start: Start, picks: &[usize]) -> (String, Vec<Turn>) {
        let first = game.reset(start).unwrap();
        let mut turns = Vec::new();
        for &pick in picks {
            let commands = game.commands();
            let command = commands.get(pick % (commands.len() + 1)).map_or("nonsense", String::as_str).to_owned();
            turns.push(game.act(&command));
            if turns.last().is_some_and(|turn| turn.outcome.is_end()) {
                break;
            }
        }
        (first, turns)
    }

    proptest! {
        #[test]
        fn the_same_start_and_commands_make_the_same_episode(
            seed: u64, index: usize, picks in prop::collection::vec(any::<usize>(), 1..60)
        ) {
            let fresh = games();
            for ((name, mut game), (_, mut other)) in games().into_iter().zip(fresh) {
                for start in [Start::Drawn(Seed(seed)), Start::Indexed(index % game.n_starts())] {
                    let once = play(game.as_mut(), start, &picks);
                    prop_assert_eq!(&once, &play(game.as_mut(), start, &picks), "{}", name);
                    prop_assert_eq!(&once, &play(other.as_mut(), start, &picks), "{}", name);
                    // What a player is asked in between changes nothing.
                    let mut rng = Seed(seed).stream("test");
                    game.reset(start).unwrap();
                    for player in [GamePlayer::Random {}, GamePlayer::Skilled {}, GamePlayer::Mixture { skill: 0.5 }] {
                        prop_assert!(game.suggest(player, &mut rng) < game.commands().len());
                    }
                    let first = once.1.first().unwrap();
                    let commands = game.commands();
                    let pick = picks[0] % (commands.len() + 1);
                    let command = commands.get(pick).map_or("nonsense", String::as_str).to_owned();
                    prop_assert_eq!(&game.act(&command), first, "{}", name);
                }
            }
        }
    }

    #[test]
    fn commands_are_distinct_lines_and_starts_are_counted() {
        for (name, mut game) in games() {
            let mut commands = game.commands().to_vec();
            assert!(commands.iter().all(|command| command.find('\n') == Some(command.len() - 1)), "{name}");
            let n_commands = commands.len();
            commands.sort();
            commands.dedup();
            assert_eq!(commands.len(), n_commands, "{name}");
            let n_starts = game.n_starts();
            let error = game.reset(Start::Indexed(n_starts)).unwrap_err();
            assert!(matches!(error, MdpError::NoSuchStart { index, .. } if index == n_starts), "{name}");
        }
    }

    #[test]
    fn the_texts_of_a_game_hold_every_word_it_says() {
        for (name, mut game) in games() {
            let texts = game.texts().concat();
            let known: std::collections::HashSet<&str> = texts.split_whitespace().collect();
            for seed in 0..40 {
                let mut rng = Seed(seed).stream("test");
                let player = GamePlayer::Mixture { skill: 0.5 };
                let episode = record(game.as_mut(), player, Start::Drawn(Seed(seed)), &mut rng).unwrap();
                for word in episode.turns.iter().flat_map(|(text, _)| text.split_whitespace()) {
                    assert!(known.contains(word), "{name}: {word:?}");
                }
            }
        }
    }

    #[test]
    fn players_are_read_from_settings_and_checked() {
        let read = |value| serde_json::from_value::<GamePlayer>(value);
        assert_eq!(read(json!({ "kind": "random" })).unwrap(), GamePlayer::Random {});
        assert_eq!(read(json!({ "kind": "mixture", "skill": 0.1 })).unwrap(), GamePlayer::Mixture { skill: 0.1 });
        assert!(read(json!({ "kind": "skilled", "skill": 0.1 })).is_err());
        assert!(read(json!({ "kind": "mixture" })).is_err());
        assert!(GamePlayer::Mixture { skill: 1.0 }.check().is_ok());
        for skill in [-0.1, 1.5, f64::NAN] {
            let error = GamePlayer::Mixture { skill }.check().unwrap_err().to_string();
            assert_eq!(error, format!("the player has skill = {skill}; it must be from 0 to 1"));
        }
    }
}
