//! Playing a game with a script.

use dqn_mdp::{MdpError, Outcome, Start};
use rand_chacha::ChaCha8Rng;

use super::{Game, GamePlayer};

/// An episode as it was played.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEpisode {
    /// The texts in their order, each with whether it is a command of the player; what the game left empty is not here.
    pub turns: Vec<(String, bool)>,
    /// The reward of each command.
    pub rewards: Vec<f32>,
    /// How the episode ended.
    pub outcome: Outcome,
    /// What the game says of it beside its return.
    pub score: Option<f64>,
}

impl RecordedEpisode {
    /// The sum of the rewards, undiscounted.
    pub fn episode_return(&self) -> f64 {
        self.rewards.iter().copied().map(f64::from).sum()
    }
}

/// Plays one episode of `game` from `start` as `player`, who draws from `rng`.
///
/// # Errors
/// [`MdpError::NoSuchStart`] for an index beyond the starts of the game.
///
/// # Panics
/// For a player that [`GamePlayer::check`] refuses.
pub fn record(
    game: &mut dyn Game,
    player: GamePlayer,
    start: Start,
    rng: &mut ChaCha8Rng,
) -> Result<RecordedEpisode, MdpError> {
    let mut turns = vec![(game.reset(start)?, false)];
    let mut rewards = Vec::new();
    loop {
        let index = game.suggest(player, rng);
        let command = game.commands()[index].clone();
        let turn = game.act(&command);
        turns.push((command, true));
        turns.push((turn.text, false));
        rewards.push(turn.reward);
        if turn.outcome.is_end() {
            turns.retain(|(text, _)| !text.is_empty());
            return Ok(RecordedEpisode { turns, rewards, outcome: turn.outcome, score: game.score() });
        }
    }
}
