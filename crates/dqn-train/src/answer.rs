//! Answers to sources that people give: translations, transcripts.

use std::path::Path;

use dqn_core::{Progress, QNetwork};
use dqn_mdp::{Environment, Prompt, Seed, Source, SourceId, Start, Trajectory};
use dqn_model::TextQNetwork;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::experiment::Experiment;
use crate::generate::{Search, Strategy, acting, beam_search};
use crate::play::{NetworkPlayer, play};

/// How sources are answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnswerRequest {
    /// How actions are chosen.
    pub strategy: Strategy,
    /// Temperature in units of Q; without it the one that exploration ended with.
    pub temperature: Option<f64>,
    /// Seed of the draws.
    pub seed: u64,
}

/// What was written about a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Its tokens, its end included.
    pub n_tokens: usize,
    /// Whether it was cut at the limit of the task.
    pub truncated: bool,
}

/// Sources that are answered together.
const BATCH: usize = 64;

/// The source of a sentence, for a run that translates.
///
/// # Errors
/// [`TrainError::NotOffered`] for another run, [`TrainError::EmptySource`].
pub fn sentence(experiment: &Experiment, text: &str) -> Result<Source, TrainError> {
    experiment.sourced().ok_or_else(about_none)?.reader.sentence(text)
}

/// The source of a WAV or FLAC file, for a run that writes down speech.
///
/// # Errors
/// [`TrainError::NotOffered`] for another run, and when the file cannot be read.
pub fn recording(experiment: &Experiment, path: &Path) -> Result<Source, TrainError> {
    experiment.sourced().ok_or_else(about_none)?.reader.recording(path)
}

/// The source that a person gives as text, a sentence or the path of a recording, whichever the run writes about.
///
/// # Errors
/// As [`sentence`] and [`recording`].
pub fn given(experiment: &Experiment, given: &str) -> Result<Source, TrainError> {
    match experiment.source_tokenizer() {
        Some(_) => sentence(experiment, given),
        None => recording(experiment, Path::new(given)),
    }
}

fn about_none() -> TrainError {
    TrainError::NotOffered {
        what: "a source".to_owned(),
        why: "only runs in the environments \"translation\" and \"speech\" write about something given".to_owned(),
    }
}

/// What the network writes about each of `sources`, in their order.
///
/// # Errors
/// [`TrainError::NotOffered`] for a run whose task has no sources, and when the task refuses an action.
pub fn answer(
    experiment: Experiment,
    network: &TextQNetwork,
    progress: Progress,
    sources: Vec<Source>,
    request: AnswerRequest,
) -> Result<Vec<Answer>, TrainError> {
    let n_sources = sources.len();
    let unnamed = sources.into_iter().map(|source| (source, String::new())).collect();
    let (experiment, first) = experiment.asked_about(unnamed)?;
    let (policy, temperature) = acting(&experiment, progress, request.strategy, request.temperature);
    let mut rng = Seed(request.seed).stream("generate");
    let prior = experiment.acting_prior(policy);
    let network = &network.clone().decoding(experiment.decoding());
    let ids: Vec<Prompt> = (0..n_sources as u32).map(|index| Prompt::from(SourceId(first.0 + index))).collect();
    let mut answers = Vec::with_capacity(n_sources);
    for prompts in ids.chunks(BATCH) {
        // The masks of such a task are worked out once.
        let task = experiment.writing_about(prompts.into())?;
        let environment = || Box::new(task.clone()) as Box<dyn Environment>;
        let mut player = NetworkPlayer::new(network, policy, prior, &experiment.encoder, &mut rng);
        let episodes: Vec<Trajectory> = match request.strategy {
            Strategy::Beam { width, length_exponent } => {
                let search = Search { temperature, width, length_exponent };
                let mut environment = environment();
                let mut episodes = Vec::with_capacity(prompts.len());
                for start in 0..prompts.len() {
                    episodes.extend(beam_search(&mut environment, start, &mut player, search, 1)?);
                }
                episodes
            }
            Strategy::Greedy | Strategy::Boltzmann => {
                let starts: Vec<Start> = (0..prompts.len()).map(Start::Indexed).collect();
                let mut environments: Vec<Box<dyn Environment>> = prompts.iter().map(|_| environment()).collect();
                play(&mut environments, &starts, &mut player)?
            }
        };
        answers.extend(episodes.iter().map(|episode| Answer {
            text: experiment.render(episode.written()),
            n_tokens: episode.written().len(),
            truncated: episode.outcome == dqn_mdp::Outcome::Truncated,
        }));
    }
    Ok(answers)
}
