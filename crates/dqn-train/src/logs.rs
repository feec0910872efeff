//! Logged episodes: those of a file, and those that a scripted player plays before learning begins.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use dqn_core::{Progress, QNetwork};
use dqn_env::game::{Game, GamePlayer, RecordedEpisode, record};
use dqn_env::log::{
    LogReader, LogTranslator, LoggedEpisode, LoggedOutcome, LoggedTokens, LoggedTriple, LoggedTurn, LoggedTurns,
    OnFault,
};
use dqn_mdp::{ActionTable, Outcome, Seed, Start, Trajectory};
use dqn_model::TextQNetwork;
use dqn_text::Tokenizer;
use dqn_text::split::Split;
use rand::RngExt;

use crate::TrainError;
use crate::experiment::Experiment;
use crate::generate::{Strategy, acting};
use crate::play::{NetworkPlayer, play};

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
pub(crate) fn read(path: &Path, on_fault: OnFault, translator: &LogTranslator<'_>) -> Result<Logs, TrainError> {
    let mut reader = LogReader::open(path, on_fault)?;
    let mut episodes = Vec::new();
    while let Some(episode) = reader.next_trajectory(translator)? {
        episodes.push(episode);
    }
    Ok(Logs { behavior: behavior(&episodes, None, reader.n_skipped()), episodes })
}

/// A log that is read as learning goes on, again from its beginning after its end.
pub(crate) struct LogStream<'a> {
    path: &'a Path,
    on_fault: OnFault,
    least: f32,
    translator: LogTranslator<'a>,
    reader: LogReader<BufReader<File>>,
    /// Episodes of the present pass that were kept.
    n_kept_in_pass: u64,
    /// The highest return so far.
    highest: f32,
    /// Episodes handed out.
    n_read: u64,
}

impl<'a> LogStream<'a> {
    /// A stream of the episodes that return at least `least`, before the first of them.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open(
        path: &'a Path,
        on_fault: OnFault,
        least: Option<f64>,
        translator: LogTranslator<'a>,
    ) -> Result<Self, TrainError> {
        let reader = LogReader::open(path, on_fault)?;
        let least = least.map_or(f32::NEG_INFINITY, |least| least as f32);
        Ok(Self { path, on_fault, least, translator, reader, n_kept_in_pass: 0, highest: f32::NEG_INFINITY, n_read: 0 })
    }

    /// Episodes handed out so far.
    pub(crate) fn n_read(&self) -> u64 {
        self.n_read
    }

    /// The next episode.
    ///
    /// # Errors
    /// When the log cannot be read, a line is no episode (under [`OnFault::Stop`]), or a whole pass holds none to keep.
    pub(crate) fn next(&mut self) -> Result<Trajectory, TrainError> {
        loop {
            match self.reader.next_trajectory(&self.translator)? {
                Some(episode) if episode.episode_return() >= self.least => {
                    self.n_kept_in_pass += 1;
                    self.n_read += 1;
                    return Ok(episode);
                }
                Some(episode) => self.highest = self.highest.max(episode.episode_return()),
                None if self.n_kept_in_pass == 0 => {
                    return Err(TrainError::NothingKept {
                        n_episodes: self.reader.n_episodes() as usize,
                        min_return: f64::from(self.least),
                        highest: f64::from(self.highest),
                    });
                }
                None => {
                    self.reader = LogReader::open(self.path, self.on_fault)?;
                    self.n_kept_in_pass = 0;
                }
            }
        }
    }

    /// Whether the last episode was the first of a pass after the first one.
    pub(crate) fn began_anew(&self) -> bool {
        self.n_kept_in_pass == 1 && self.n_read > 1
    }
}

/// What the policy that made a log earned, read without keeping the episodes.
///
/// # Errors
/// As [`read`].
pub(crate) fn behavior_of(
    path: &Path,
    on_fault: OnFault,
    translator: &LogTranslator<'_>,
) -> Result<BehaviorData, TrainError> {
    let mut reader = LogReader::open(path, on_fault)?;
    let (mut returns, mut n_steps) = (Vec::new(), 0);
    while let Some(episode) = reader.next_trajectory(translator)? {
        returns.push(f64::from(episode.episode_return()));
        n_steps += episode.len();
    }
    let n_steps = n_steps as f64 / returns.len() as f64;
    Ok(BehaviorData { returns, scores: None, n_skipped: reader.n_skipped(), n_steps })
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
    LoggedTurns { id: None, turns, rewards: recorded.rewards, outcome: recorded.outcome.into() }.into()
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

/// What is written for a log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRequest {
    /// Texts from each start.
    pub n_texts: usize,
    /// Only from the first so many starts of the training part; from all without it.
    pub n_starts: Option<usize>,
    /// Temperature in units of Q; without it the one that exploration ended with.
    pub temperature: Option<f64>,
    /// Seed of the draws.
    pub seed: u64,
    /// Token ids with the reward of each in place of texts with the sum of their rewards.
    pub as_token_ids: bool,
}

/// Texts that are written at a time.
const BATCH: usize = 128;

/// Lets `network` write from the prompts or about the sources of the training part, and hands out each text with its start
/// and its rewards. Returns how many have no shape in a log: those about a source that were cut at the limit.
///
/// # Errors
/// [`TrainError::NotOffered`] for a task that is no free writing, for token ids of texts about sources, and what an environment,
/// a reward and `take` refuse.
pub fn sample_texts(
    experiment: &Experiment,
    network: &TextQNetwork,
    progress: Progress,
    request: &SampleRequest,
    mut take: impl FnMut(LoggedEpisode) -> Result<(), TrainError>,
) -> Result<usize, TrainError> {
    let task = experiment.task(Split::Train)?;
    if task.prompts.is_none() {
        return Err(TrainError::NotOffered {
            what: "a log of texts".to_owned(),
            why: "only tasks of free writing begin with prompts or sources; games have data generate".to_owned(),
        });
    }
    if request.as_token_ids && experiment.sourced().is_some() {
        return Err(TrainError::NotOffered {
            what: "a log of token ids".to_owned(),
            why: "texts about sources are logged with what they are about, which only prompts can name".to_owned(),
        });
    }
    let mut reward = experiment.reward(&task)?;
    let n_known = task.environments(1)?[0].n_starts();
    let n_starts = request.n_starts.map_or(n_known, |n_starts| n_starts.min(n_known));
    let (policy, _) = acting(experiment, progress, Strategy::Boltzmann, request.temperature);
    let mut rng = Seed(request.seed).stream("log of texts");
    let network = &network.clone().decoding(experiment.decoding());
    let mut player =
        NetworkPlayer::new(network, policy, experiment.acting_prior(policy), &experiment.encoder, &mut rng);
    let starts: Vec<Start> =
        (0..n_starts).flat_map(|start| std::iter::repeat_n(Start::Indexed(start), request.n_texts)).collect();
    let mut environments = task.environments(BATCH.min(starts.len()))?;
    let mut n_left_out = 0;
    for starts in starts.chunks(BATCH) {
        let mut episodes = play(&mut environments[..starts.len()], starts, &mut player)?;
        if let Some(reward) = &mut reward {
            reward.judge(&mut episodes)?;
        }
        for episode in &episodes {
            let logged = match request.as_token_ids {
                true => Some(LoggedTokens::from(episode).into()),
                false => logged_text(experiment, episode),
            };
            match logged {
                Some(text) => take(text)?,
                None => n_left_out += 1,
            }
        }
    }
    Ok(n_left_out)
}

/// A text as a log has it. One about a source that was cut at the limit of the task has no shape there: a triple has ended.
fn logged_text(experiment: &Experiment, episode: &Trajectory) -> Option<LoggedEpisode> {
    let (prompt, response) = (experiment.shown_start(episode), experiment.render(episode.written()));
    let reward = episode.episode_return();
    if episode.outcome == Outcome::Terminated {
        return Some(LoggedEpisode::Triple(LoggedTriple { id: None, prompt, response, reward }));
    }
    let shown = (!prompt.is_empty()).then_some(LoggedTurn { text: prompt, is_action: false });
    let turns = shown.into_iter().chain([LoggedTurn { text: response, is_action: true }]).collect();
    let cut = LoggedTurns { id: None, turns, rewards: vec![reward], outcome: LoggedOutcome::Truncated };
    episode.source.is_none().then_some(cut.into())
}
