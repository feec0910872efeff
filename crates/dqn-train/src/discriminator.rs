//! A network that tells what people wrote from what a policy wrote, as a reward and as a measure.
//!
//! A text is an episode of one step at its end, whose action says who wrote it. Imitating such episodes is logistic
//! regression on the features of the text, so that the learner of the project trains this network, too.
//!
//! - As a reward ([`Discriminator`]) it learns while the policy does, in turns, after generative adversarial networks
//!   (Goodfellow et al. 2014) and SeqGAN (Yu et al. 2017).
//! - As a measure ([`taken_for_human`]) a fresh one learns from half of the texts and is asked about the other half: a
//!   classifier two-sample test (Lopez-Paz and Oquab 2017).

use std::collections::{BTreeMap, VecDeque};

use burn::tensor::Device;
use dqn_core::objective::Objective;
use dqn_core::optimizer::OptimizerConfig;
use dqn_core::{
    BatchBuilder, Companions, CoreError, Distribution, DqnConfig, DqnLearner, Learner, Progress, QNetwork, Schedule,
    StateEncoder, Window,
};
use dqn_mdp::{ActionId, ActionMask, Outcome, Seed, State, Step, Trajectory};
use dqn_model::{BagConfig, HeadConfig, NetworkConfig, TextQNetwork, TorsoConfig};
use dqn_text::{ActionTable, Special, TokenId};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::experiment::{Experiment, Task};
use crate::turn::Turn;

/// A reward for texts that a network takes for people's, while that network learns to tell them apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiscriminatorConfig {
    /// What its rewards are multiplied by.
    pub weight: f64,
    /// What it says of a text.
    pub reward: DiscriminatorReward,
    /// Log-odds are cut to this size before they become a reward, so that a network that is sure does not drown the rest.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub bound_nats: f64,
    /// The network; without it one with the torso of the Q-network.
    pub network: Option<NetworkConfig>,
    /// Its optimizer; a schedule counts the updates of the discriminator.
    pub optimizer: OptimizerConfig,
    /// Texts in a batch, half of them people's.
    #[schemars(range(min = 2, max = 100000))]
    pub batch_texts: usize,
    /// Updates on the texts of the first round, before any is rewarded.
    pub updates_before: u64,
    /// Updates after each round of episodes.
    pub updates_per_round: u64,
    /// Texts of the policy it learns from, the newest ones.
    #[schemars(range(min = 1, max = 10000000))]
    pub remembered_texts: usize,
}

/// What the discriminator says of a text, where `p` is the probability that people wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiscriminatorReward {
    /// `log p - log (1 - p)` (Fu et al. 2018, eq. 4).
    LogOdds,
    /// `p` (Yu et al. 2017, eq. 4).
    Probability,
}

impl Default for DiscriminatorConfig {
    fn default() -> Self {
        Self {
            weight: 1.0,
            reward: DiscriminatorReward::LogOdds,
            bound_nats: 3.0,
            network: None,
            optimizer: adam(1e-3),
            batch_texts: 64,
            updates_before: 100,
            updates_per_round: 2,
            remembered_texts: 2_000,
        }
    }
}

/// Adam with a constant step size.
fn adam(learning_rate: f64) -> OptimizerConfig {
    OptimizerConfig::Adam {
        learning_rate: Schedule::Constant { value: learning_rate },
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
        l2: 0.0,
    }
}

/// The name under which its share of the reward is logged.
pub const TERM: &str = "discriminator";

/// What a round taught the discriminator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiscriminatorStats {
    /// Mean cross-entropy of its updates in nats; ln 2 where the two kinds cannot be told apart.
    pub loss: Option<f64>,
    /// Mean log-odds of the new texts being people's, before the updates.
    pub mean_log_odds: f64,
    /// Share of the new texts that it takes for people's.
    pub taken_for_human: f64,
}

/// The reward in its turns: judge the new texts, then learn from them.
pub struct Discriminator {
    config: DiscriminatorConfig,
    classifier: Classifier,
    human: Vec<Trajectory>,
    written: VecDeque<Trajectory>,
}

impl Discriminator {
    /// A discriminator that has seen nothing yet, where the experiment asks for one.
    ///
    /// # Errors
    /// [`TrainError::NoHumanTexts`] when none of the texts that people wrote fits the task.
    pub fn new(experiment: &Experiment, task: &Task, device: &Device) -> Result<Option<Self>, TrainError> {
        let Some(config) = &experiment.config.discriminator else { return Ok(None) };
        let human = human_texts(task)?;
        if human.is_empty() {
            return Err(TrainError::NoHumanTexts);
        }
        let network = config.network.clone().unwrap_or_else(|| NetworkConfig {
            head: plain_head(),
            distribution: Distribution::Mean,
            noise: None,
            ..experiment.config.network.clone()
        });
        let seed = Seed(Seed(experiment.config.seed).stream(TERM).random());
        let classifier = Classifier::new(experiment, &network, config.optimizer.clone(), seed, device);
        Ok(Some(Self { config: config.clone(), classifier, human, written: VecDeque::new() }))
    }

    /// Adds the reward to the last step of each of `episodes`, which a policy has just written, and learns from them.
    ///
    /// # Errors
    /// When a loss is not a number.
    pub fn round(&mut self, episodes: &mut [Trajectory], rng: &mut impl Rng) -> Result<DiscriminatorStats, TrainError> {
        let labelled: Vec<Trajectory> = episodes.iter().map(|episode| labelled(&episode.tokens, false)).collect();
        self.written.extend(labelled.iter().cloned());
        let n_forgotten = self.written.len().saturating_sub(self.config.remembered_texts.max(labelled.len()));
        self.written.drain(..n_forgotten);
        if self.classifier.n_updates == 0 {
            self.learn(self.config.updates_before, rng)?;
        }
        let log_odds = self.classifier.log_odds(&labelled);
        for (episode, &log_odds) in episodes.iter_mut().zip(&log_odds) {
            let reward = (self.config.weight * self.reward(f64::from(log_odds))) as f32;
            if let Some(last) = episode.rewards.last_mut() {
                *last += reward;
            }
            episode.term_returns.push(reward);
        }
        let n_texts = log_odds.len() as f64;
        Ok(DiscriminatorStats {
            loss: self.learn(self.config.updates_per_round, rng)?,
            mean_log_odds: log_odds.iter().copied().map(f64::from).sum::<f64>() / n_texts,
            taken_for_human: log_odds.iter().filter(|&&log_odds| log_odds > 0.0).count() as f64 / n_texts,
        })
    }

    fn reward(&self, log_odds: f64) -> f64 {
        let bounded = log_odds.clamp(-self.config.bound_nats, self.config.bound_nats);
        match self.config.reward {
            DiscriminatorReward::LogOdds => bounded,
            DiscriminatorReward::Probability => 1.0 / (1.0 + (-bounded).exp()),
        }
    }

    /// Mean loss of `n_updates` updates.
    fn learn(&mut self, n_updates: u64, rng: &mut impl Rng) -> Result<Option<f64>, TrainError> {
        let mut total = 0.0;
        for _ in 0..n_updates {
            let half = self.config.batch_texts / 2;
            let human: Vec<&Trajectory> = self.human.sample(rng, half).collect();
            let written = self.written.make_contiguous().sample(rng, self.config.batch_texts - half);
            total += self.classifier.learn(human.into_iter().chain(written))?;
        }
        Ok((n_updates > 0).then(|| total / n_updates as f64))
    }

    /// Everything the next round depends on, as named parts of a checkpoint.
    ///
    /// # Errors
    /// When a part cannot be written.
    pub fn save(&self) -> Result<BTreeMap<String, Vec<u8>>, TrainError> {
        let learner = self.classifier.learner.save()?;
        let mut parts: BTreeMap<String, Vec<u8>> =
            learner.into_iter().map(|(name, bytes)| (format!("{TERM}/{name}"), bytes)).collect();
        let memory = postcard::to_stdvec(&(self.classifier.n_updates, &self.written))
            .map_err(|error| TrainError::Internal { message: format!("saving the discriminator's texts: {error}") })?;
        parts.insert(MEMORY.to_owned(), memory);
        Ok(parts)
    }

    /// Takes up where [`Discriminator::save`] left off.
    ///
    /// # Errors
    /// When a part is missing or does not fit.
    pub fn load(&mut self, parts: &BTreeMap<String, Vec<u8>>) -> Result<(), TrainError> {
        let memory = parts.get(MEMORY).ok_or_else(|| CoreError::MissingPart { part: MEMORY.to_owned() })?;
        let (n_updates, written) = postcard::from_bytes(memory)
            .map_err(|error| CoreError::Unfit { part: MEMORY.to_owned(), message: error.to_string() })?;
        let own = |(name, bytes): (&String, &Vec<u8>)| {
            let name = name.strip_prefix(TERM)?.strip_prefix('/')?;
            Some((name.to_owned(), bytes.clone()))
        };
        self.classifier.learner.load(&parts.iter().filter_map(own).collect())?;
        self.classifier.n_updates = n_updates;
        self.written = written;
        Ok(())
    }
}

const MEMORY: &str = "discriminator/memory";

/// Share of `episodes` that a fresh network takes for people's, which learned from every other of them and every other text
/// of `task`, and is asked about the rest: .5 where it cannot tell them apart, 0 where it always can.
///
/// The network reads n-grams, unlike the torsos that policies and discriminators usually have. Absent where people wrote
/// nothing from these starts that fits the task.
///
/// # Errors
/// As [`Discriminator::round`].
pub fn taken_for_human(
    experiment: &Experiment,
    task: &Task,
    episodes: &[Trajectory],
    n_updates: u64,
    device: &Device,
) -> Result<Option<f64>, TrainError> {
    let human = human_texts(task)?;
    if human.is_empty() {
        return Ok(None);
    }
    let written: Vec<Trajectory> = episodes.iter().map(|episode| labelled(&episode.tokens, false)).collect();
    let network = NetworkConfig {
        embedding_width: 32,
        torso: TorsoConfig::Bag(BagConfig::default()),
        head: plain_head(),
        dropout: 0.3,
        ..NetworkConfig::default()
    };
    let seed = Seed(Seed(experiment.config.evaluation.seed).stream("classifier").random());
    let mut rng = seed.stream("batches");
    let mut classifier = Classifier::new(experiment, &network, adam(1e-3), seed, device);
    let every_other = |texts: &[Trajectory], first: usize| -> Vec<Trajectory> {
        texts.iter().skip(first).step_by(2).cloned().collect()
    };
    let (human, seen, asked) = (every_other(&human, 0), every_other(&written, 0), every_other(&written, 1));
    for _ in 0..n_updates {
        let batch = human.sample(&mut rng, CLASSIFIER_BATCH / 2).chain(seen.sample(&mut rng, CLASSIFIER_BATCH / 2));
        classifier.learn(batch)?;
    }
    let log_odds = classifier.log_odds(&asked);
    Ok(Some(log_odds.iter().filter(|&&log_odds| log_odds > 0.0).count() as f64 / log_odds.len().max(1) as f64))
}

const CLASSIFIER_BATCH: usize = 64;

fn plain_head() -> HeadConfig {
    HeadConfig::Scalar { init_deviation: 0.01 }
}

/// What people wrote from the starts of `task`, labelled.
fn human_texts(task: &Task) -> Result<Vec<Trajectory>, TrainError> {
    let human = task.human_episodes()?;
    Ok(human.episodes.iter().map(|episode| labelled(&episode.tokens, true)).collect())
}

/// The episode that asks who wrote `text`.
fn labelled(text: &[TokenId], is_human: bool) -> Trajectory {
    let mut episode = Trajectory::begin(State::from(text.to_vec()), ActionMask::All);
    let answer = Step { reward: 0.0, observed: Vec::new(), outcome: Outcome::Terminated };
    episode.push(ActionId(u32::from(is_human)), &answer, ActionMask::All);
    episode
}

/// A network with two answers and what it takes to train it.
struct Classifier {
    learner: DqnLearner<TextQNetwork>,
    builder: BatchBuilder,
    has_dropout: bool,
    n_updates: u64,
}

impl Classifier {
    fn new(
        experiment: &Experiment,
        network: &NetworkConfig,
        optimizer: OptimizerConfig,
        seed: Seed,
        device: &Device,
    ) -> Self {
        let answers = ActionTable::of_tokens([Special::Bos.id(), Special::Eos.id()]);
        let mut rng = seed.stream("init");
        // It judges the text alone, whatever that is about.
        let encoder = StateEncoder::from(experiment.encoder.positions.clone());
        let sizes = encoder.shape(experiment.vocab().len());
        let has_dropout = network.dropout > 0.0;
        let network = network.init(sizes, &answers, Companions::default(), &mut rng, &device.clone().autodiff());
        let config = DqnConfig {
            objective: Objective::Imitation {},
            optimizer,
            max_gradient_norm: Some(5.0),
            window_steps: 1,
            ..DqnConfig::default()
        };
        // The whole text is read, whatever the policy sees of it.
        let builder =
            BatchBuilder { n_actions: answers.len(), context_tokens: 0, encoder, ..experiment.batch_builder() };
        Self { learner: DqnLearner::new(config, network, seed), builder, has_dropout, n_updates: 0 }
    }

    /// The loss of one update on labelled texts.
    fn learn<'a>(&mut self, texts: impl Iterator<Item = &'a Trajectory>) -> Result<f64, TrainError> {
        let windows: Vec<Window<'_>> = texts.map(whole).collect();
        let progress = Progress { updates: self.n_updates, ..Progress::default() };
        let _turn = Turn::take(self.has_dropout);
        let stats = self.learner.update(self.builder.build(&windows, None), progress)?;
        self.n_updates += 1;
        Ok(f64::from(stats.loss))
    }

    /// For each text `log p - log (1 - p)`, where `p` is the probability that people wrote it.
    fn log_odds(&self, texts: &[Trajectory]) -> Vec<f32> {
        let network = self.learner.acting();
        let mut all = Vec::with_capacity(texts.len());
        for texts in texts.chunks(CHUNK) {
            let windows: Vec<Window<'_>> = texts.iter().map(whole).collect();
            let batch = self.builder.build(&windows, None);
            let n_states = batch.n_states;
            let batch = batch.upload(&network.device());
            let logits = network.q_values(network.features(&batch.input));
            let logits: Vec<f32> = logits.into_data().convert::<f32>().try_to_vec().expect("logits are 32-bit floats");
            all.extend(logits.chunks(2 * n_states).map(|logits| logits[1] - logits[0]));
        }
        all
    }
}

/// Texts asked about together.
const CHUNK: usize = 64;

fn whole(trajectory: &Trajectory) -> Window<'_> {
    Window { trajectory, start: 0, len: trajectory.len() }
}
