//! Writing with what was learned.

use std::collections::HashSet;

use dqn_core::{Policy, Progress, QNetwork};
use dqn_env::EnvironmentConfig;
use dqn_mdp::{ActionId, Environment, Seed, Start, TokenId, Trajectory};
use dqn_model::TextQNetwork;
use dqn_text::Tokenizer;
use dqn_text::split::Split;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::experiment::Experiment;
use crate::play::{NetworkPlayer, View, play};

/// How the next action is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Strategy {
    /// The most preferred action at every step.
    Greedy,
    /// An action drawn from the Boltzmann policy at every step.
    Boltzmann,
    /// The text of highest probability under the Boltzmann policy that a search over `width` texts at a time finds.
    Beam {
        /// Texts kept at every step, at least 1.
        width: usize,
        /// The exponent `a` of the length in `log p / length^a`, by which finished texts are compared: 1 compares means a
        /// token, 0 probabilities, which favour short texts.
        length_exponent: f64,
    },
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// How the text begins; without it the prompts of the test part are used, in their order.
    pub prompt: Option<String>,
    /// Number of texts.
    pub n: usize,
    /// How actions are chosen.
    pub strategy: Strategy,
    /// Temperature in units of Q; without it the one that exploration ended with.
    pub temperature: Option<f64>,
    /// Seed of the draws.
    pub seed: u64,
}

/// A text that was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// How it began.
    pub prompt: String,
    /// All of it.
    pub text: String,
    /// What the reward gives it.
    pub episode_return: f32,
    /// Tokens written after the prompt.
    pub n_tokens: usize,
}

/// Writes texts.
///
/// Under [`Strategy::Beam`] the first prompt gives its `n` best texts; the other strategies write one text for each of
/// the first `n` prompts, beginning again where there are fewer.
///
/// # Errors
/// [`TrainError::UnknownInPrompt`] for a prompt with text outside the vocabulary, and when the task refuses it.
pub fn generate(
    experiment: &Experiment,
    network: &TextQNetwork,
    progress: Progress,
    request: &GenerateRequest,
) -> Result<Vec<Generated>, TrainError> {
    let mut task = experiment.task(Split::Test)?.distinct(usize::MAX, Seed(experiment.config.evaluation.seed));
    if let Some(prompt) = &request.prompt {
        task = task.with_prompt(encode_prompt(experiment, prompt)?.into())?;
    }
    let (policy, temperature) = acting(experiment, progress, request.strategy, request.temperature);
    let mut environments = task.environments(request.n.max(1))?;
    let n_starts = environments[0].n_starts();
    let mut rng = Seed(request.seed).stream("generate");
    let prior = experiment.acting_prior(policy);
    let network = &network.clone().decoding(experiment.decoding());
    let mut player = NetworkPlayer::new(network, policy, prior, &experiment.encoder, &mut rng);
    let mut episodes = match request.strategy {
        Strategy::Beam { width, length_exponent } => {
            let search = Search { temperature, width: width.max(request.n), length_exponent };
            beam_search(&mut environments[0], 0, &mut player, search, request.n)?
        }
        Strategy::Greedy | Strategy::Boltzmann => {
            let starts: Vec<Start> = (0..request.n).map(|index| Start::Indexed(index % n_starts)).collect();
            environments.truncate(request.n);
            play(&mut environments, &starts, &mut player)?
        }
    };
    if let Some(mut reward) = experiment.reward(&task)? {
        reward.judge(&mut episodes)?;
    }
    let generated = |episode: &Trajectory| Generated {
        prompt: experiment.shown_start(episode),
        text: experiment.render(&episode.tokens),
        episode_return: episode.episode_return(),
        n_tokens: episode.written().len(),
    };
    Ok(episodes.iter().map(generated).collect())
}

/// The policy that chooses actions by `strategy`, and its temperature in units of Q.
pub(crate) fn acting(
    experiment: &Experiment,
    progress: Progress,
    strategy: Strategy,
    temperature: Option<f64>,
) -> (Policy, f64) {
    let temperature = match (temperature, experiment.config.exploration.policy(progress)) {
        (Some(temperature), _) => temperature,
        (None, Policy::Boltzmann { temperature } | Policy::BoltzmannMode { temperature }) => temperature,
        (None, Policy::EpsilonGreedy { .. } | Policy::Greedy) => 1.0,
    };
    let uses_prior = experiment.acting_prior(Policy::Boltzmann { temperature }).is_some();
    let policy = match strategy {
        Strategy::Greedy if uses_prior => Policy::BoltzmannMode { temperature },
        Strategy::Greedy => Policy::Greedy,
        Strategy::Boltzmann | Strategy::Beam { .. } => Policy::Boltzmann { temperature },
    };
    (policy, temperature)
}

/// The tokens of a prompt.
///
/// # Errors
/// [`TrainError::NotOffered`] where episodes begin with no prompt, [`TrainError::UnknownInPrompt`].
pub(crate) fn encode_prompt(experiment: &Experiment, prompt: &str) -> Result<Vec<TokenId>, TrainError> {
    let (Some(text), EnvironmentConfig::Generation { .. } | EnvironmentConfig::Responses { .. }) =
        (&experiment.text, &experiment.config.environment)
    else {
        return Err(TrainError::NotOffered {
            what: "a prompt".to_owned(),
            why: "only runs in the environments \"generation\" and \"responses\" write from prompts".to_owned(),
        });
    };
    let unknown = text.tokenizer.unknown(prompt);
    if !unknown.is_empty() {
        let unknown = unknown.iter().map(|unit| format!("{unit:?}")).collect();
        return Err(TrainError::UnknownInPrompt { prompt: prompt.to_owned(), unknown });
    }
    Ok(text.tokenizer.encode(prompt)?)
}

/// How a beam search goes about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// In units of Q.
    pub(crate) temperature: f64,
    /// Texts kept at every step.
    pub(crate) width: usize,
    /// See [`Strategy::Beam`].
    pub(crate) length_exponent: f64,
}

/// The best `n` texts that a search finds from one start of `environment`.
///
/// Where several ways to divide a text into actions lead to it, the likeliest counts for it.
pub(crate) fn beam_search(
    environment: &mut Box<dyn Environment>,
    start: usize,
    player: &mut NetworkPlayer<'_, TextQNetwork>,
    Search { temperature, width, length_exponent }: Search,
    n: usize,
) -> Result<Vec<Trajectory>, TrainError> {
    let state = environment.reset(Start::Indexed(start))?;
    let mut beam = vec![Candidate { episode: Trajectory::begin(state, environment.allowed()), log_prob: 0.0 }];
    let mut parents: Option<Vec<usize>> = None;
    let mut finished: Vec<Candidate> = Vec::new();
    while !beam.is_empty() {
        let log_probs = player.log_probs(&views(&beam), parents.as_deref(), temperature);
        let mut extensions: Vec<(usize, ActionId, f64)> = Vec::new();
        for (row, (candidate, log_probs)) in beam.iter().zip(&log_probs).enumerate() {
            let possible = (0..).map(ActionId).zip(log_probs.iter().copied()).filter(|(_, log)| log.is_finite());
            let mut best: Vec<(ActionId, f64)> = possible.collect();
            best.sort_by(|a, b| b.1.total_cmp(&a.1));
            extensions.extend(best.iter().take(width).map(|&(action, log)| (row, action, candidate.log_prob + log)));
        }
        extensions.sort_by(|a, b| b.2.total_cmp(&a.2));
        let mut next: Vec<Candidate> = Vec::new();
        let mut rows = Vec::new();
        let mut written = HashSet::new();
        for &(row, action, log_prob) in &extensions {
            if written.len() == width {
                break;
            }
            let actions: Vec<ActionId> = beam[row].episode.actions.iter().copied().chain([action]).collect();
            let candidate = Candidate { episode: take(environment.as_mut(), start, &actions)?, log_prob };
            if !written.insert(candidate.episode.tokens.clone()) {
                continue;
            }
            if candidate.episode.outcome.is_end() {
                finished.push(candidate);
            } else {
                next.push(candidate);
                rows.push(row);
            }
        }
        (beam, parents) = (next, Some(rows));
    }
    finished.sort_by(|a, b| b.score(length_exponent).total_cmp(&a.score(length_exponent)));
    let mut written = HashSet::new();
    finished.retain(|candidate| written.insert(candidate.episode.tokens.clone()));
    finished.truncate(n);
    Ok(finished.into_iter().map(|candidate| candidate.episode).collect())
}

/// A text under construction.
struct Candidate {
    episode: Trajectory,
    log_prob: f64,
}

impl Candidate {
    fn score(&self, length_exponent: f64) -> f64 {
        self.log_prob / (self.episode.written().len() as f64).powf(length_exponent)
    }
}

fn views(beam: &[Candidate]) -> Vec<View<'_>> {
    beam.iter().map(|candidate| View::of(&candidate.episode)).collect()
}

/// The unfinished or finished episode that `actions` lead to from a start.
fn take(environment: &mut dyn Environment, start: usize, actions: &[ActionId]) -> Result<Trajectory, TrainError> {
    let state = environment.reset(Start::Indexed(start))?;
    let mut episode = Trajectory::begin(state, environment.allowed());
    for &action in actions {
        let step = environment.step(action)?;
        episode.push(action, &step, environment.allowed());
    }
    Ok(episode)
}
