//! Games as environments over tokens.

use std::collections::HashMap;
use std::sync::Arc;

use dqn_mdp::{ActionMask, Environment, MdpError, Outcome, Prompt, Start, State, Step};
use dqn_text::{ActionId, ActionTable, Special, TokenId, Tokenizer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Game;
use crate::EnvError;

/// What one action of a game is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Play {
    /// A whole command. This is the default.
    #[default]
    #[serde(rename = "whole_action")]
    Whole,
    /// One token of a command.
    #[serde(rename = "token_by_token")]
    Tokens,
}

/// A game as an environment over tokens.
///
/// ```text
/// state   <bos>, the text shown first, then command and answer in turns
/// action  Whole: action i is command i. Tokens: the distinct tokens of all commands, in the order of their ids
/// step    observes what the action writes and, when that completes a command, the answer; the reward is 0 until then
/// ```
///
/// Token by token a command is complete when its tokens are those of one, when its text ends in a line break, or when
/// it is as long as the longest command. What is no command is handed over as the text of its tokens, of which the game
/// may make what it likes.
pub struct TextGame {
    game: Box<dyn Game>,
    tokenizer: Arc<dyn Tokenizer + Send + Sync>,
    play: Play,
    actions: ActionTable,
    /// The tokens of each command.
    commands: HashMap<Vec<TokenId>, usize>,
    longest: usize,
    /// The tokens of the command that is being written.
    written: Vec<TokenId>,
    is_on: bool,
}

impl TextGame {
    /// `game` over the tokens of `tokenizer`.
    ///
    /// # Errors
    /// [`EnvError::CommandUnknown`], [`EnvError::CommandsAlike`] and [`EnvError::CommandEmpty`] for a tokenizer that
    /// does not write every command in its own way, [`EnvError::CommandOpen`] where a command token by token would be
    /// the beginning of another (as "take bowl" without its line break is), [`EnvError::GameText`] when it fails on a
    /// command.
    pub fn new(game: Box<dyn Game>, tokenizer: Arc<dyn Tokenizer + Send + Sync>, play: Play) -> Result<Self, EnvError> {
        let encode = |text: &String| {
            tokenizer.encode(text).map_err(|source| EnvError::GameText { text: text.clone(), source: Box::new(source) })
        };
        let table: Vec<Vec<TokenId>> = game.commands().iter().map(encode).collect::<Result<_, _>>()?;
        let mut commands = HashMap::new();
        for (index, (tokens, command)) in table.iter().zip(game.commands()).enumerate() {
            if tokens.is_empty() {
                return Err(EnvError::CommandEmpty { command: command.clone() });
            }
            if tokens.contains(&Special::Unk.id()) {
                let tokens = tokens.iter().map(|&token| tokenizer.vocab().token(token).to_owned()).collect();
                return Err(EnvError::CommandUnknown { command: command.clone(), tokens });
            }
            if let Some(first) = commands.insert(tokens.clone(), index) {
                let first = game.commands()[first].clone();
                return Err(EnvError::CommandsAlike { first, second: command.clone() });
            }
        }
        if play == Play::Tokens {
            for (tokens, long) in table.iter().zip(game.commands()) {
                if let Some(&short) = (1..tokens.len()).find_map(|n_tokens| commands.get(&tokens[..n_tokens])) {
                    let short = game.commands()[short].clone();
                    return Err(EnvError::CommandOpen { short, long: long.clone() });
                }
            }
        }
        let longest = table.iter().map(Vec::len).max().unwrap_or(0);
        let actions = match play {
            Play::Whole => ActionTable::new(table),
            Play::Tokens => {
                let mut tokens: Vec<TokenId> = table.concat();
                tokens.sort_unstable();
                tokens.dedup();
                ActionTable::of_tokens(tokens)
            }
        };
        Ok(Self { game, tokenizer, play, actions, commands, longest, written: Vec::new(), is_on: false })
    }

    /// What one action is.
    pub fn play(&self) -> Play {
        self.play
    }

    /// The game.
    pub fn game(&self) -> &dyn Game {
        self.game.as_ref()
    }

    /// The tokens of a text of the game.
    ///
    /// # Panics
    /// When the tokenizer fails, though it has encoded every command.
    fn encode(&self, text: &str) -> Vec<TokenId> {
        self.tokenizer.encode(text).expect("the tokenizer has encoded the commands and encodes the answers")
    }

    /// The command that the tokens written are, when they are a complete one.
    fn complete(&self) -> Option<String> {
        if let Some(&index) = self.commands.get(&self.written) {
            return Some(self.game.commands()[index].clone());
        }
        let text = self.tokenizer.decode(&self.written);
        (text.ends_with('\n') || self.written.len() >= self.longest).then_some(text)
    }
}

impl Clone for TextGame {
    fn clone(&self) -> Self {
        Self {
            game: self.game.boxed_clone(),
            tokenizer: Arc::clone(&self.tokenizer),
            play: self.play,
            actions: self.actions.clone(),
            commands: self.commands.clone(),
            longest: self.longest,
            written: self.written.clone(),
            is_on: self.is_on,
        }
    }
}

impl Environment for TextGame {
    fn score(&self) -> Option<f64> {
        self.game.score()
    }

    fn actions(&self) -> &ActionTable {
        &self.actions
    }

    fn n_starts(&self) -> usize {
        self.game.n_starts()
    }

    fn reset(&mut self, start: Start) -> Result<State, MdpError> {
        let text = self.game.reset(start)?;
        self.written.clear();
        self.is_on = true;
        Ok(State::of(&Prompt::from(self.encode(&text))))
    }

    fn step(&mut self, action: ActionId) -> Result<Step, MdpError> {
        if !self.is_on {
            return Err(MdpError::EpisodeOver { action });
        }
        if action.index() >= self.actions.len() {
            return Err(MdpError::Forbidden { action });
        }
        let mut observed = self.actions.tokens(action).to_vec();
        self.written.extend(&observed);
        let Some(command) = self.complete() else {
            return Ok(Step { reward: 0.0, observed, outcome: Outcome::Continues });
        };
        let turn = self.game.act(&command);
        self.written.clear();
        self.is_on = !turn.outcome.is_end();
        observed.extend(self.encode(&turn.text));
        Ok(Step { reward: turn.reward, observed, outcome: turn.outcome })
    }

    fn allowed(&self) -> ActionMask {
        // What a token may be depends on the rest of its command, so only whole commands are narrowed.
        let allowed = self.game.allowed().filter(|_| self.play == Play::Whole);
        match allowed {
            Some(commands) => {
                ActionMask::only(self.actions.len(), commands.into_iter().map(|index| ActionId(index as u32)))
            }
            None => ActionMask::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use dqn_mdp::Seed;
    use dqn_text::tokenizer::TokenizerConfig;
    use rand::RngExt;
    use serde_json::json;

    use super::super::tests::games;
    use super::super::{GamePlayer, MazeConfig, record};
    use super::*;

    fn tokenizer(game: &dyn Game, config: serde_json::Value) -> Arc<dyn Tokenizer + Send + Sync> {
        let texts = game.texts();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let config: TokenizerConfig = serde_json::from_value(config).unwrap();
        Arc::new(config.train(&texts).unwrap())
    }

    fn umaze() -> Box<dyn Game> {
        let config = json!({ "map": { "name": "umaze" }, "observation": "partial" });
        serde_json::from_value::<MazeConfig>(config).unwrap().build().unwrap()
    }

    #[test]
    fn whole_commands_and_their_answers_are_written_as_tokens() {
        let tokenizer = tokenizer(umaze().as_ref(), json!({ "kind": "char" }));
        let mut game = TextGame::new(umaze(), tokenizer.clone(), Play::Whole).unwrap();
        let state = game.reset(Start::Indexed(0)).unwrap();
        assert_eq!(state.tokens[0], Special::Bos.id());
        let first = "There are walls to your right, to your left, below you.\n";
        assert_eq!(tokenizer.decode(&state.tokens), first);
        assert_eq!((game.actions().len(), game.n_starts(), game.allowed()), (4, 1, ActionMask::All));
        let step = game.step(ActionId(2)).unwrap();
        assert_eq!(tokenizer.decode(&step.observed), "move up\nThere are walls to your right, to your left.\n");
        assert_eq!((step.reward, step.outcome), (-1.0, Outcome::Continues));
        assert!(matches!(game.step(ActionId(4)), Err(MdpError::Forbidden { action: ActionId(4) })));
    }

    #[test]
    fn token_by_token_only_the_last_token_of_a_command_is_answered() {
        let tokenizer = tokenizer(umaze().as_ref(), json!({ "kind": "char" }));
        let mut game = TextGame::new(umaze(), tokenizer.clone(), Play::Tokens).unwrap();
        let written: Vec<&str> = game.actions().iter().map(|(_, tokens)| tokenizer.vocab().token(tokens[0])).collect();
        // The letters of "move", "left", "right", "up" and "down", the space and the line break.
        assert_eq!(written.len(), "movelftrighupdwn".len() + 2);
        assert!(game.actions().iter().map(|(_, tokens)| tokens[0]).is_sorted());
        game.reset(Start::Indexed(0)).unwrap();
        let mut write = |text: &str| -> Vec<Step> {
            let tokens = tokenizer.encode(text).unwrap();
            tokens
                .into_iter()
                .map(|token| {
                    let action = game.actions().action_of(token).unwrap();
                    game.step(action).unwrap()
                })
                .collect()
        };
        let steps = write("move up\n");
        let (last, before) = steps.split_last().unwrap();
        let one = |step: &Step| step.reward == 0.0 && step.observed.len() == 1 && step.outcome == Outcome::Continues;
        assert!(before.iter().all(one));
        assert_eq!(last.reward, -1.0);
        assert_eq!(tokenizer.decode(&last.observed), "\nThere are walls to your right, to your left.\n");
        // No command: by its line break, and by being as long as "move right\n".
        for (text, n_tokens) in [("up\n", 3), ("mmmmmmmmmmm", 11)] {
            let steps = write(text);
            assert_eq!(steps.len(), n_tokens);
            assert!(steps[..n_tokens - 1].iter().all(one));
            assert_eq!(steps[n_tokens - 1].reward, -4.0);
        }
    }

    #[test]
    fn whole_commands_and_tokens_play_the_same_episodes() {
        for kind in [json!({ "kind": "char" }), json!({ "kind": "bpe" }), json!({ "kind": "word" })] {
            for ((name, mut scripted), ((_, whole), (_, tokens))) in
                games().into_iter().zip(games().into_iter().zip(games()))
            {
                let tokenizer = tokenizer(scripted.as_ref(), kind.clone());
                let mut whole = TextGame::new(whole, tokenizer.clone(), Play::Whole).unwrap();
                let tokens = TextGame::new(tokens, tokenizer.clone(), Play::Tokens);
                if kind["kind"] == "word" && name.contains("house") {
                    let error = tokens.err().unwrap().to_string();
                    let expected =
                        "the tokens of \"take stale food\\n\" are the beginning of those of \"take stale food from";
                    assert!(error.starts_with(expected), "{error}");
                    continue;
                }
                let mut tokens = tokens.unwrap();
                for seed in 0..10 {
                    let start = Start::Drawn(Seed(seed));
                    let mut rng = Seed(seed).stream("test");
                    let player = GamePlayer::Mixture { skill: 0.3 };
                    let episode = record(scripted.as_mut(), player, start, &mut rng).unwrap();
                    let mut state = whole.reset(start).unwrap().tokens;
                    let mut other = tokens.reset(start).unwrap().tokens;
                    let mut outcome = Outcome::Continues;
                    let commands = episode.turns.iter().filter(|(_, is_command)| *is_command);
                    for ((command, _), &reward) in commands.zip(&episode.rewards) {
                        let index = scripted.commands().iter().position(|known| known == command).unwrap();
                        let step = whole.step(ActionId(index as u32)).unwrap();
                        assert_eq!(step.reward, reward, "{name} {kind}");
                        state.extend(&step.observed);
                        let mut total = 0.0;
                        for &token in whole.actions().tokens(ActionId(index as u32)) {
                            let action = tokens.actions().action_of(token).unwrap();
                            let step = tokens.step(action).unwrap();
                            total += step.reward;
                            other.extend(&step.observed);
                            outcome = step.outcome;
                        }
                        assert_eq!((total, outcome), (reward, step.outcome), "{name} {kind}");
                    }
                    assert_eq!(outcome, episode.outcome);
                    assert_eq!(state, other, "{name} {kind}");
                    assert!(whole.step(ActionId(0)).is_err() && tokens.step(ActionId(0)).is_err());
                    assert_eq!(tokens.game().score(), episode.score);
                    assert!(!state.contains(&Special::Unk.id()), "{name} {kind}");
                    if kind["kind"] == "char" {
                        let texts: Vec<&str> = episode.turns.iter().map(|(text, _)| text.as_str()).collect();
                        assert_eq!(tokenizer.decode(&state), texts.concat(), "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn any_tokens_are_taken() {
        for (name, game) in games() {
            let tokenizer = tokenizer(game.as_ref(), json!({ "kind": "char" }));
            let mut game = TextGame::new(game, tokenizer, Play::Tokens).unwrap();
            let mut rng = Seed(2).stream("test");
            let n_actions = game.actions().len() as u32;
            for seed in 0..3 {
                game.reset(Start::Drawn(Seed(seed))).unwrap();
                let n_steps = (0..2_000)
                    .take_while(|_| {
                        let step = game.step(ActionId(rng.random_range(0..n_actions))).unwrap();
                        step.outcome == Outcome::Continues
                    })
                    .count();
                assert!(n_steps < 2_000, "{name} does not end");
            }
        }
    }

    #[test]
    fn tokenizers_that_confuse_commands_are_refused() {
        let message = |texts: &[&str], config: serde_json::Value| {
            let config: TokenizerConfig = serde_json::from_value(config).unwrap();
            let tokenizer = Arc::new(config.train(texts).unwrap());
            TextGame::new(umaze(), tokenizer, Play::Whole).err().unwrap().to_string()
        };
        assert_eq!(
            message(&["move left right"], json!({ "kind": "word" })),
            "the command \"move up\\n\" is [\"move\", \"<unk>\"] in the vocabulary; \
             every command must be written without <unk>"
        );
        assert!(message(&["left"], json!({ "kind": "char" })).contains("\"move left\\n\""));
    }

    #[test]
    fn play_is_named_in_settings() {
        for (play, name) in [(Play::Whole, "whole_action"), (Play::Tokens, "token_by_token")] {
            assert_eq!(serde_json::to_value(play).unwrap(), json!(name));
            assert_eq!(serde_json::from_value::<Play>(json!(name)).unwrap(), play);
        }
        assert_eq!(Play::default(), Play::Whole);
    }
}
