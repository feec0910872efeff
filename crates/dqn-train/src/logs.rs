//! Logged episodes: those of a file, and those that a scripted player plays before learning begins.

use std::path::Path;

use dqn_env::game::{Game, GamePlayer, RecordedEpisode, record};
use dqn_env::log::{LogReader, LogTranslator, LoggedEpisode, LoggedOutcome, LoggedTurn, LoggedTurns, OnFault};
use dqn_mdp::{ActionTable, Outcome, Seed, Start, Trajectory};
use dqn_text::Tokenizer;
use rand::RngExt;

use crate::TrainError;

/// What the policy that made the data earned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BehaviorData {
    /// Return of each episode, before any filter.
    pub returns: Vec<f64>,
    /// What the game itself says of each, where it says something else.
    pub scores: Option<Vec<f64>>,
    /// Lines that held no episode and were skipped.
    pub n_skipped: u64,
    /// Mean number of actions of an episode.
    pub n_steps: f64,
}

/// Logged episodes and what they earned.
pub(crate) struct Logs {
    pub(crate) episodes: Vec<Trajectory>,
    pub(crate) behavior: BehaviorData,
}

/// Reads a log.
///
/// # Errors
/// When the file cannot be read, holds a line that is no episode (under [`OnFault::Stop`]), or an action that the task does
/// not have.
pub(crate) fn read(
    path: &Path,
    on_fault: OnFault,
    tokenizer: &dyn Tokenizer,
    actions: &ActionTable,
) -> Result<Logs, TrainError> {
    let translator = LogTranslator::new(tokenizer, actions);
    let mut reader = LogReader::open(path, on_fault)?;
    let mut episodes = Vec::new();
    while let Some(episode) = reader.next_trajectory(&translator)? {
        episodes.push(episode);
    }
    Ok(Logs { behavior: behavior(&episodes, None, reader.n_skipped()), episodes })
}

/// Lets `player` play `n_episodes`, each with a random stream of its own.
///
/// # Errors
/// When the game refuses a start.
pub fn play_scripted(
    game: &mut dyn Game,
    player: GamePlayer,
    n_episodes: usize,
    seed: Seed,
    mut take: impl FnMut(LoggedEpisode, Option<f64>) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    for index in 0..n_episodes {
        let mut rng = seed.stream(&format!("log {index}"));
        let start = Start::Drawn(Seed(rng.random()));
        let recorded = record(game, player, start, &mut rng)?;
        let score = recorded.score;
        take(logged(recorded), score)?;
    }
    Ok(())
}

/// A recorded episode as a log has it.
fn logged(recorded: RecordedEpisode) -> LoggedEpisode {
    let turns = recorded.turns.into_iter().map(|(text, is_action)| LoggedTurn { text, is_action }).collect();
    let outcome = match recorded.outcome {
        Outcome::Truncated => LoggedOutcome::Truncated,
        Outcome::Terminated | Outcome::Continues => LoggedOutcome::Terminated,
    };
    LoggedTurns { id: None, turns, rewards: recorded.rewards, outcome }.into()
}

/// The episodes of a scripted player, as the task has them.
///
/// # Errors
/// As [`play_scripted`].
pub(crate) fn scripted(
    game: &mut dyn Game,
    player: GamePlayer,
    n_episodes: usize,
    seed: Seed,
    tokenizer: &dyn Tokenizer,
    actions: &ActionTable,
) -> Result<Logs, TrainError> {
    let translator = LogTranslator::new(tokenizer, actions);
    let (mut episodes, mut scores) = (Vec::with_capacity(n_episodes), Vec::new());
    play_scripted(game, player, n_episodes, seed, |episode, score| {
        episodes.push(translator.trajectory(&episode)?);
        scores.extend(score);
        Ok(())
    })?;
    let scores = (scores.len() == episodes.len()).then_some(scores);
    Ok(Logs { behavior: behavior(&episodes, scores, 0), episodes })
}

fn behavior(episodes: &[Trajectory], scores: Option<Vec<f64>>, n_skipped: u64) -> BehaviorData {
    let returns: Vec<f64> = episodes.iter().map(|episode| f64::from(episode.episode_return())).collect();
    let n_steps: usize = episodes.iter().map(Trajectory::len).sum();
    BehaviorData { returns, scores, n_skipped, n_steps: n_steps as f64 / episodes.len() as f64 }
}
