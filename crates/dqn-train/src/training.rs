//! The training loop: the seven steps of deep Q-learning, a round at a time.
//!
//! 1. initialise — [`Training::new`]: online and target network, replay, random streams
//! 2. encode the state — [`crate::play`]: text to tokens and positions
//! 3. select — [`dqn_core::policy`]: epsilon-greedy or Boltzmann over the allowed actions
//! 4. act — [`dqn_mdp::Environment::step`]
//! 5. score — [`dqn_env::RewardSum::judge`], then into replay
//! 6. target and loss — [`dqn_core::target`], [`dqn_core::learner`]
//! 7. sync — [`dqn_core::target_network`]
//!
//! The loop only loops: logging, evaluation and checkpoints are done around it, by [`crate::runner`].

use std::collections::BTreeMap;

use burn::tensor::Device;
use dqn_audio::SpecAugment;
use dqn_core::objective::Objective;
use dqn_core::{BatchBuilder, Completions, DqnLearner, Learner, Progress, QNetwork, Replay, UpdateStats};
use dqn_env::{EnvironmentConfig, RewardSum};
use dqn_mdp::{Environment, RandomStreams, Seed, Start, Trajectory};
use dqn_model::TextQNetwork;
use dqn_text::split::Split;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::augmentation::hide_parts;
use crate::config::{EpisodeSource, ExperimentConfig, FilterConfig};
use crate::discriminator::{Discriminator, DiscriminatorStats};
use crate::experiment::{Experiment, HumanEpisodes};
use crate::logs::LogStream;
use crate::play::{NetworkPlayer, play};
use crate::turn::Turn;

/// What happened in one round.
pub struct Round {
    /// The episodes played, judged.
    pub episodes: Vec<Trajectory>,
    /// What the episodes taught the discriminator, where there is one.
    pub discriminator: Option<DiscriminatorStats>,
    /// The updates made.
    pub updates: Vec<UpdateStats>,
    /// Seconds spent playing.
    pub acting_seconds: f64,
    /// Seconds spent learning.
    pub learning_seconds: f64,
}

/// A run between two rounds.
pub struct Training<'a> {
    experiment: &'a Experiment,
    learner: DqnLearner<TextQNetwork>,
    acting: TextQNetwork,
    environments: Vec<Box<dyn Environment>>,
    reward: Option<RewardSum>,
    discriminator: Option<Discriminator>,
    builder: BatchBuilder,
    /// Hides parts of recordings, where that is asked for.
    augment: Option<SpecAugment>,
    /// What is optimal in each state, where that is learned.
    completions: Option<Completions>,
    replay: Replay,
    /// The log, where it is read as learning goes on.
    stream: Option<LogStream<'a>>,
    state: State,
}

/// The small part of a run's state; the large parts are the learner's and replay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    progress: Progress,
    streams: RandomStreams,
    /// Episodes read from a log that is read as learning goes on.
    #[serde(default)]
    n_logged: u64,
}

const STATE: &str = "state";
const REPLAY: &str = "replay";

impl<'a> Training<'a> {
    /// Step 1, initialise: a run before its first episode.
    ///
    /// # Errors
    /// When the training text offers no starts or the reward does not fit it.
    pub fn new(experiment: &'a Experiment, device: &Device) -> Result<Self, TrainError> {
        let config = &experiment.config;
        let seed = Seed(config.seed);
        let network = experiment.network(&device.clone().autodiff());
        let learner = DqnLearner::new(config.learner.clone(), network, seed);
        let task = experiment.task(Split::Train)?;
        let mut reward = experiment.reward(&task)?;
        let replay = match &config.training.source {
            EpisodeSource::Play => Replay::new(config.replay.clone(), config.learner.window_steps),
            EpisodeSource::Log { stream: true, .. } => Replay::new(config.replay.clone(), config.learner.window_steps),
            EpisodeSource::Log { .. } | EpisodeSource::Scripted { .. } => {
                filled_replay(config, experiment.logged_episodes()?)
            }
            &EpisodeSource::Text { best_fraction } => {
                let HumanEpisodes { mut episodes, n_left_out } = task.human_episodes()?;
                if episodes.is_empty() {
                    return Err(TrainError::NothingToImitate { n_texts: n_left_out });
                }
                if n_left_out > 0 {
                    tracing::info!("{n_left_out} training texts are left out: no actions write them within the limit");
                }
                if let Some(reward) = &mut reward {
                    reward.judge(&mut episodes)?;
                }
                filled_replay(config, best_of(episodes, best_fraction))
            }
        };
        let mut training = Self {
            acting: learner.acting().decoding(experiment.decoding()),
            learner,
            completions: experiment.completions(&task),
            environments: task.environments(config.training.parallel_episodes)?,
            reward,
            discriminator: Discriminator::new(experiment, &task, device)?,
            builder: experiment.batch_builder(),
            augment: match &config.environment {
                EnvironmentConfig::Speech(speech) => speech.augmentation.clone().map(SpecAugment::new),
                _ => None,
            },
            replay,
            stream: experiment.log_stream()?,
            state: State { progress: Progress::default(), streams: RandomStreams::new(seed), n_logged: 0 },
            experiment,
        };
        training.fill_from_stream()?;
        Ok(training)
    }

    /// Fills replay with the beginning of a log that is read as learning goes on, or with all of it where it is short.
    fn fill_from_stream(&mut self) -> Result<(), TrainError> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let capacity = self.experiment.config.replay.capacity_steps;
        let mut n_steps = 0;
        while n_steps < capacity {
            let episode = stream.next()?;
            if stream.began_anew() {
                // The log is shorter than replay: it is all there, once.
                self.replay.push(episode);
                break;
            }
            n_steps += episode.len();
            self.replay.push(episode);
        }
        self.state.n_logged = stream.n_read();
        Ok(())
    }

    /// Reads on in the log, by as many steps as an update learns from.
    fn read_on(&mut self) -> Result<(), TrainError> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let learner = &self.experiment.config.learner;
        let mut n_left = (learner.batch_windows * learner.window_steps) as i64;
        while n_left > 0 {
            let episode = stream.next()?;
            n_left -= episode.len() as i64;
            self.replay.push(episode);
        }
        self.state.n_logged = stream.n_read();
        Ok(())
    }

    /// How far the run has come.
    pub fn progress(&self) -> Progress {
        self.state.progress
    }

    /// Passes over the text or log so far, where the run learns from one and does not play.
    pub fn epochs(&self) -> Option<f64> {
        let config = &self.experiment.config;
        if !config.training.is_offline() {
            return None;
        }
        let n_windows = self.state.progress.updates as f64 * config.learner.batch_windows as f64;
        Some(n_windows * self.replay.mean_window_steps() / self.replay.n_steps() as f64)
    }

    /// The network as it acts now.
    pub fn network(&self) -> &TextQNetwork {
        &self.acting
    }

    /// Whether the run has reached its end.
    pub fn is_over(&self) -> bool {
        self.experiment.config.training.stop_after.passed_fraction(self.progress()) >= 1.0
    }

    /// One round: episodes together, then updates.
    ///
    /// # Errors
    /// When an environment, a reward or the learner fails.
    pub fn round(&mut self) -> Result<Round, TrainError> {
        let begin = std::time::Instant::now();
        let training = &self.experiment.config.training;
        let plays = match training.play_after_updates {
            Some(after) => self.state.progress.updates >= after,
            None => !training.is_offline(),
        };
        let (episodes, discriminator) = if plays { self.act()? } else { (Vec::new(), None) };
        self.replay.begin_round();
        for episode in &episodes {
            self.state.progress.steps += episode.len() as u64;
            self.state.progress.episodes += 1;
            self.replay.push(episode.clone());
        }
        let acting_seconds = begin.elapsed().as_secs_f64();
        let begin = std::time::Instant::now();
        let mut updates = Vec::new();
        if self.replay.is_warm() || !plays {
            for _ in 0..self.experiment.config.training.updates_per_round {
                if self.is_over() {
                    break;
                }
                updates.push(self.learn()?);
            }
            self.acting = self.learner.acting().decoding(self.experiment.decoding());
        }
        Ok(Round { episodes, discriminator, updates, acting_seconds, learning_seconds: begin.elapsed().as_secs_f64() })
    }

    /// Steps 2 to 5: encode, select, act, score.
    fn act(&mut self) -> Result<(Vec<Trajectory>, Option<DiscriminatorStats>), TrainError> {
        let policy = self.experiment.config.exploration.policy(self.state.progress);
        let streams = &mut self.state.streams;
        let n_each = self.experiment.config.training.episodes_per_start;
        let mut starts: Vec<Start> = Vec::with_capacity(self.environments.len());
        while starts.len() < self.environments.len() {
            let start = Start::Drawn(streams.draw_seed("environment"));
            starts.extend(std::iter::repeat_n(start, n_each));
        }
        let prior = self.experiment.acting_prior(policy);
        let noise = self.experiment.config.network.noise.map(|_| streams.draw_seed("noise"));
        let rng = streams.stream("behavior");
        let noisy = noise.map(|noise| self.acting.clone().with_noise(Some(noise)).for_acting());
        let network = noisy.as_ref().unwrap_or(&self.acting);
        let mut player = NetworkPlayer::new(network, policy, prior, &self.experiment.encoder, rng);
        let mut episodes = play(&mut self.environments, &starts, &mut player)?;
        drop(player);
        if let Some(reward) = &mut self.reward {
            reward.judge(&mut episodes)?;
        }
        let stats = match &mut self.discriminator {
            Some(discriminator) => {
                Some(discriminator.round(&mut episodes, self.state.streams.stream("discriminator"))?)
            }
            None => None,
        };
        Ok((episodes, stats))
    }

    /// Steps 6 and 7: target, loss and update, sync.
    fn learn(&mut self) -> Result<UpdateStats, TrainError> {
        let config = &self.experiment.config.learner;
        let progress = self.state.progress;
        let rng = self.state.streams.stream("replay");
        let (sample, groups) = match config.objective {
            Objective::GroupConsistency {} => {
                let (sample, groups) = self.replay.sample_groups(config.batch_windows, rng);
                (sample, Some(groups))
            }
            _ => (self.replay.sample(config.batch_windows, progress, rng), None),
        };
        let prior = self.experiment.prior.as_deref();
        let weighed = prior.filter(|_| config.bootstrap.weighs_prior());
        let mut batch = match self.experiment.learns_of_candidates() {
            true => self.builder.build_of_allowed(&sample.windows, weighed),
            false => self.builder.build(&sample.windows, weighed),
        };
        if let Some(prior) = prior.filter(|_| config.bootstrap.rewards_prior()) {
            batch = batch.with_prior_of_taken(&sample.windows, prior, self.builder.n_actions);
        }
        if let Some(groups) = groups {
            batch = batch.in_groups(groups);
        }
        if let Some(completions) = &self.completions {
            batch = batch.aiming(&sample.windows, completions);
        }
        if let (Some(augment), Some(source)) = (&self.augment, &mut batch.source) {
            hide_parts(source, augment, self.state.streams.stream("augmentation"));
        }
        let numbers = sample.numbers;
        let _turn = Turn::take(self.experiment.config.network.dropout > 0.0);
        let stats = self.learner.update(batch.weighted(sample.weights), progress)?;
        self.replay.update_priorities(&numbers, &stats.max_errors, &stats.mean_errors);
        self.state.progress.updates += 1;
        self.read_on()?;
        Ok(stats)
    }

    /// Everything the rest of the run depends on, as named parts of a checkpoint.
    ///
    /// # Errors
    /// When a part cannot be written.
    pub fn save(&self) -> Result<BTreeMap<String, Vec<u8>>, TrainError> {
        let mut parts = self.learner.save()?;
        if let Some(discriminator) = &self.discriminator {
            parts.extend(discriminator.save()?);
        }
        let internal = |what: &str, error: String| TrainError::Internal { message: format!("{what}: {error}") };
        let state = serde_json::to_vec(&self.state).map_err(|error| internal("saving the state", error.to_string()))?;
        parts.insert(STATE.to_owned(), state);
        if self.saves_replay() {
            let replay = postcard::to_stdvec(&self.replay);
            parts.insert(REPLAY.to_owned(), replay.map_err(|error| internal("saving replay", error.to_string()))?);
        }
        Ok(parts)
    }

    /// Whether replay changes while the run goes on: what is read from a text or log is read again when it is resumed.
    fn saves_replay(&self) -> bool {
        !self.experiment.config.training.is_offline() || self.experiment.config.replay.priority.is_some()
    }

    /// Takes up where [`Training::save`] left off.
    ///
    /// # Errors
    /// When a part is missing or does not fit this experiment.
    pub fn load(&mut self, parts: &BTreeMap<String, Vec<u8>>) -> Result<(), TrainError> {
        let part =
            |name: &str| parts.get(name).ok_or_else(|| dqn_core::CoreError::MissingPart { part: name.to_owned() });
        let unfit = |name: &str, message: String| dqn_core::CoreError::Unfit { part: name.to_owned(), message };
        let state = serde_json::from_slice(part(STATE)?).map_err(|error| unfit(STATE, error.to_string()))?;
        let replay = match self.saves_replay() {
            true => Some(postcard::from_bytes(part(REPLAY)?).map_err(|error| unfit(REPLAY, error.to_string()))?),
            false => None,
        };
        self.learner.load(parts)?;
        if let Some(discriminator) = &mut self.discriminator {
            discriminator.load(parts)?;
        }
        self.state = state;
        if let Some(stream) = &mut self.stream {
            // Replay is what was read last; reading it all again makes it so.
            while stream.n_read() < self.state.n_logged {
                self.replay.push(stream.next()?);
            }
        }
        if let Some(replay) = replay {
            self.replay.resume(replay);
        }
        self.acting = self.learner.acting().decoding(self.experiment.decoding());
        Ok(())
    }
}

/// The episodes that `filter` keeps, in their order.
///
/// # Errors
/// [`TrainError::NothingKept`] when it keeps none.
pub(crate) fn kept(episodes: Vec<Trajectory>, filter: FilterConfig) -> Result<Vec<Trajectory>, TrainError> {
    let n_episodes = episodes.len();
    let least = filter.min_return.unwrap_or(f64::NEG_INFINITY);
    let highest = episodes.iter().map(|episode| f64::from(episode.episode_return())).fold(f64::NEG_INFINITY, f64::max);
    let kept: Vec<Trajectory> =
        episodes.into_iter().filter(|episode| f64::from(episode.episode_return()) >= least).collect();
    if kept.is_empty() {
        return Err(TrainError::NothingKept { n_episodes, min_return: least, highest });
    }
    Ok(best_of(kept, filter.best_fraction))
}

/// The `fraction` of the episodes with the highest returns, in their order; at least one.
fn best_of(episodes: Vec<Trajectory>, fraction: f64) -> Vec<Trajectory> {
    let n_kept = ((episodes.len() as f64 * fraction).ceil() as usize).max(1);
    let mut ranks: Vec<usize> = (0..episodes.len()).collect();
    ranks.sort_by(|&one, &other| episodes[other].episode_return().total_cmp(&episodes[one].episode_return()));
    let kept: std::collections::HashSet<usize> = ranks.into_iter().take(n_kept).collect();
    episodes.into_iter().enumerate().filter(|(index, _)| kept.contains(index)).map(|(_, episode)| episode).collect()
}

/// A replay of all `episodes`, however many steps they have.
fn filled_replay(config: &ExperimentConfig, episodes: Vec<Trajectory>) -> Replay {
    let n_steps: usize = episodes.iter().map(Trajectory::len).sum();
    let capacity_steps = config.replay.capacity_steps.max(n_steps);
    let settings = dqn_core::ReplayConfig { capacity_steps, ..config.replay.clone() };
    let mut replay = Replay::new(settings, config.learner.window_steps);
    episodes.into_iter().for_each(|episode| replay.push(episode));
    replay
}

#[cfg(test)]
mod tests {
    use dqn_mdp::{ActionId, ActionMask, Outcome, State, Step, TokenId};

    use super::*;

    #[test]
    fn the_best_episodes_are_kept_in_their_order() {
        let episode = |reward: f32| {
            let mut episode = Trajectory::begin(State::from(vec![TokenId(2)]), ActionMask::All);
            let step = Step { reward, observed: vec![TokenId(4)], outcome: Outcome::Terminated };
            episode.push(ActionId(0), &step, ActionMask::All);
            episode
        };
        let episodes = || [3.0, -1.0, 5.0, 4.0].map(episode).to_vec();
        let returns = |fraction: f64| -> Vec<f32> {
            best_of(episodes(), fraction).iter().map(Trajectory::episode_return).collect()
        };
        assert_eq!(returns(1.0), [3.0, -1.0, 5.0, 4.0]);
        assert_eq!(returns(0.5), [5.0, 4.0]);
        assert_eq!(returns(0.51), [3.0, 5.0, 4.0]);
        assert_eq!(returns(0.01), [5.0]);
    }
}
