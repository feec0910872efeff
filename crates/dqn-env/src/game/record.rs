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
    let mut last = None;
    loop {
        let index = match (player, last) {
            (GamePlayer::Adversarial {}, Some(second)) if rewards.len() >= 2 => second,
            _ => game.suggest(player, rng),
        };
        last = Some(index);
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

#[cfg(test)]
mod tests {
    use dqn_mdp::Seed;

    use super::*;
    use crate::game::WordleConfig;

    #[test]
    fn the_adversary_begins_as_the_expert_and_repeats_itself() {
        let mut game = WordleConfig::default().build().unwrap();
        let mut rng = Seed(1).stream("test");
        let guesses = |episode: &RecordedEpisode| -> Vec<String> {
            episode.turns.iter().filter(|(_, is_command)| *is_command).map(|(text, _)| text.clone()).collect()
        };
        for start in 0..20 {
            let expert = record(game.as_mut(), GamePlayer::Expert {}, Start::Indexed(start), &mut rng).unwrap();
            let adversary = record(game.as_mut(), GamePlayer::Adversarial {}, Start::Indexed(start), &mut rng).unwrap();
            let (expert, adversary) = (guesses(&expert), guesses(&adversary));
            assert_eq!(adversary[..2.min(adversary.len())], expert[..2.min(expert.len())]);
            assert!(adversary.iter().skip(2).all(|guess| *guess == adversary[1]));
            assert_eq!(adversary.len(), if expert.len() <= 2 { expert.len() } else { 6 });
        }
    }
}
