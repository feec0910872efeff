//! How often the token of greatest saliency is the one that decides, in a run of a task where that is known.
//!
//! ```text
//! cargo run --release -p dqn-train --example deciding_token -- runs/copy-1 200
//! ```
//!
//! In the task `copy` the output in place i is decided by input i, in `memory` the answer by the cue, and in texts learned by
//! heart the next token by the one place that alone tells it in all of them, where there is such a place. Only right actions
//! count, and only states with two tokens or more after `<bos>`.

#![allow(clippy::print_stdout, reason = "the table is what it is run for")]

use std::collections::HashMap;
use std::error::Error;

use burn::tensor::Device;
use dqn_core::Progress;
use dqn_env::EnvironmentConfig;
use dqn_mdp::{Seed, Start, TokenId, Trajectory};
use dqn_model::TextQNetwork;
use dqn_text::split::Split;
use dqn_train::TrainError;
use dqn_train::experiment::Experiment;
use dqn_train::explain::{Method, Replacement, explain_episode};
use dqn_train::play::{NetworkPlayer, play};
use dqn_train::run::checkpoint::Which;
use dqn_train::run::directory::RunDirectory;
use dqn_train::runner;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [run, n_episodes] = arguments.as_slice() else { return Err("usage: deciding_token RUN EPISODES".into()) };
    let (directory, device) = (RunDirectory::open(run)?, Device::flex());
    let (experiment, _) = runner::open_experiment(&directory, &device)?;
    let (network, progress) = runner::load_network(&directory, &experiment, Which::Last, &device)?;
    let episodes = episodes(&experiment, &network, progress, n_episodes.parse()?)?;
    println!("| saliency | positions | share |\n|---|---:|---:|");
    for (name, method) in [
        ("occlusion with other tokens", Method::Occlusion(Replacement::Vocabulary)),
        ("occlusion with <unk>", Method::Occlusion(Replacement::Unknown)),
        ("gradient", Method::Gradient),
        ("attention", Method::Attention),
    ] {
        let (mut n_known, mut n_found) = (0, 0);
        for episode in &episodes {
            let explanation = match explain_episode(&experiment, &network, progress, episode, 1, method) {
                Err(TrainError::NotOffered { .. }) => continue,
                explanation => explanation?,
            };
            for (index, step) in explanation.steps.iter().enumerate() {
                let known = deciding(&experiment, episode, index);
                if let Some(known) = known.filter(|_| step.place > 1 && episode.rewards[index] > 0.0) {
                    n_known += 1;
                    n_found += usize::from(step.deciding() == Some(known));
                }
            }
        }
        if n_known > 0 {
            println!("| {name} | {n_known} | {:.1} % |", 100.0 * n_found as f64 / n_known as f64);
        }
    }
    Ok(())
}

/// The place of the token that decides in step `index` of `episode`, where it is known.
fn deciding(experiment: &Experiment, episode: &Trajectory, index: usize) -> Option<usize> {
    match &experiment.config.environment {
        EnvironmentConfig::Copy { .. } => Some(1 + index),
        EnvironmentConfig::Memory { .. } => Some(1),
        EnvironmentConfig::NextToken { .. } => {
            let texts = &experiment.text.as_ref()?.part(Split::Validation).examples;
            only_telling(texts, episode.decisions[index] as usize).map(|place| place + 1)
        }
        _ => None,
    }
}

/// The one place before `next` whose token tells the token at `next` in all of `texts`.
fn only_telling(texts: &[Vec<TokenId>], next: usize) -> Option<usize> {
    let tells = |place: &usize| {
        let mut told = HashMap::new();
        texts
            .iter()
            .filter(|text| text.len() > next)
            .all(|text| *told.entry(text[*place]).or_insert(text[next]) == text[next])
    };
    let mut telling = (0..next).filter(tells);
    telling.next().filter(|_| telling.next().is_none())
}

/// Greedy episodes from the first validation starts.
fn episodes(
    experiment: &Experiment,
    network: &TextQNetwork,
    progress: Progress,
    n_episodes: usize,
) -> Result<Vec<Trajectory>, Box<dyn Error>> {
    let task = experiment.task(Split::Validation)?;
    let n_episodes = n_episodes.min(task.environments(1)?[0].n_starts());
    let starts: Vec<Start> = (0..n_episodes).map(Start::Indexed).collect();
    let (policy, mut rng) = (experiment.learned_policies(progress)[0].policy, Seed(0).stream("example"));
    let mut player = NetworkPlayer::new(network, policy, None, &experiment.encoder, &mut rng);
    Ok(play(&mut task.environments(n_episodes)?, &starts, &mut player)?)
}
