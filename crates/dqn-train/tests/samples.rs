//! What the log of samples holds, against the explanation of the same episode.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use burn::tensor::Device;
use dqn_core::{Progress, QNetwork};
use dqn_mdp::{Seed, Start, Trajectory};
use dqn_model::TextQNetwork;
use dqn_text::split::Split;
use dqn_train::config::ExperimentConfig;
use dqn_train::experiment::Experiment;
use dqn_train::explain::{Method, Replacement, StepView, explain_episode};
use dqn_train::play::{NetworkPlayer, play};
use dqn_train::samples::{Reference, logged};

const BEGIN: Progress = Progress { updates: 0, steps: 0, episodes: 0 };

fn episodes(experiment: &Experiment, network: &TextQNetwork) -> Vec<Trajectory> {
    let task = experiment.task(Split::Validation).unwrap().distinct(3, Seed(5));
    let mut environments = task.environments(2).unwrap();
    let mut rng = Seed(5).stream("test");
    let policy = experiment.learned_policies(BEGIN)[0].policy;
    let prior = experiment.acting_prior(policy);
    let mut player = NetworkPlayer::new(network, policy, prior, &experiment.encoder, &mut rng);
    play(&mut environments, &[Start::Indexed(0), Start::Indexed(0)], &mut player).unwrap()
}

/// Value less the mean over the allowed actions, from an explanation that lists all of them.
fn advantage(step: &StepView, reference: Reference) -> f64 {
    let weight = |view: &dqn_train::explain::ActionView| match reference {
        Reference::Uniform => 1.0 / step.n_allowed as f64,
        Reference::Prior => f64::from(view.prior_probability.unwrap()),
    };
    let mean: f64 = step.top.iter().map(|view| weight(view) * f64::from(view.q)).sum();
    f64::from(step.taken.q) - mean
}

#[test]
fn every_smoke_config_logs_the_values_that_explain_finds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/smoke");
    let (mut n_prior, mut n_uniform, mut n_silent, mut n_answered) = (0, 0, 0, 0);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let is_config = path.extension().is_some_and(|extension| extension == "toml");
        let mut config = std::fs::read_to_string(&path).unwrap();
        if !is_config || config.contains("extends") || config.contains("[[stages]]") {
            continue;
        }
        for log in ["responses.jsonl", "walk.jsonl", "pretrained.jsonl"] {
            config = config.replace(&format!("{log:?}"), &format!("{:?}", folder.join(log).display().to_string()));
        }
        let context = path.file_name().unwrap().to_string_lossy().into_owned();
        let config = ExperimentConfig::from_toml(&config, "test", &[]).unwrap();
        let knows_values = config.learner.objective.knows_values();
        let experiment = Experiment::build(config, None, &Device::flex()).unwrap();
        let learned = experiment.learned_policies(BEGIN).swap_remove(0);
        let network = experiment.network(&Device::flex()).with_noise(None).for_acting();
        let network = network.decoding(experiment.decoding());
        for episode in episodes(&experiment, &network) {
            let sample = logged(&experiment, &network, learned.policy, &episode, 7);
            assert_eq!((sample.update, &sample.text), (7, &experiment.render(&episode.tokens)), "{context}");
            let Some(reference) = sample.advantage_over else {
                assert!(!knows_values && sample.pieces.is_empty(), "{context}");
                n_silent += 1;
                continue;
            };
            let whole: String = sample.pieces.iter().map(|piece| piece.text.as_str()).collect();
            assert_eq!(whole, sample.text, "{context}");
            let valued: Vec<_> = sample.pieces.iter().filter(|piece| piece.q.is_some()).collect();
            assert_eq!(valued.len(), episode.len(), "{context}: a value for each decision");
            n_answered += usize::from(sample.pieces.len() > valued.len() + 1);
            let n_actions = experiment.actions.len();
            // A pretrained model reads tokens by vectors that are not trained and have no gradient.
            let method = match experiment.config.network.torso.pretrained() {
                Some(_) => Method::Occlusion(Replacement::Vocabulary),
                None => Method::Gradient,
            };
            let explained = explain_episode(&experiment, &network, BEGIN, &episode, n_actions, method).unwrap();
            for (piece, step) in valued.iter().zip(&explained.steps) {
                let (q, expected) = (f64::from(step.taken.q), advantage(step, reference));
                let [found_q, found] = [piece.q, piece.advantage].map(|value| f64::from(value.unwrap()));
                assert!((found_q - q).abs() < 1e-4, "{context}: Q {found_q} instead of {q}");
                assert!((found - expected).abs() < 1e-3, "{context}: {found} instead of {expected}");
            }
            *if reference == Reference::Prior { &mut n_prior } else { &mut n_uniform } += 1;
        }
    }
    assert!(
        n_prior > 2 && n_uniform > 10 && n_silent > 0 && n_answered > 0,
        "{n_prior} {n_uniform} {n_silent} {n_answered}"
    );
}
