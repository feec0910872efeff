//! The discriminator: it tells verses of people from those of a policy that has learned nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use burn::tensor::Device;
use dqn_mdp::Trajectory;
use dqn_text::split::Split;
use dqn_train::config::ExperimentConfig;
use dqn_train::discriminator::taken_for_human;
use dqn_train::experiment::Experiment;
use dqn_train::training::Training;

const CONFIG: &str = r#"
    [corpus]
    source = { builtin = "verse-zh" }
    [split]
    [tokenizer]
    kind = "char"
    [environment]
    kind = "generation"
    n_prompt_tokens = 1
    max_tokens = 14
    [[reward.terms]]
    kind = "repetition"
    weight = 0.0
    [discriminator]
    weight = 0.5
    bound_nats = 2.0
    updates_before = 200
    updates_per_round = 5
    [network]
    embedding_width = 16
    torso = { kind = "gru", width = 16 }
    [learner]
    bootstrap = { kind = "double" }
    [replay]
    warmup_steps = 100000
    [exploration]
    kind = "epsilon_greedy"
    epsilon = { kind = "constant", value = 1.0 }
    [training]
    parallel_episodes = 128
    stop_after = { updates = 1 }
"#;

fn build(overrides: &[&str]) -> Experiment {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    Experiment::build(ExperimentConfig::from_toml(CONFIG, "test", &overrides).unwrap(), None, &Device::flex()).unwrap()
}

/// The episodes of a few rounds, of which the first ones come first.
fn rounds(experiment: &Experiment, n_rounds: usize) -> Vec<Vec<Trajectory>> {
    let mut training = Training::new(experiment, &Device::flex()).unwrap();
    let mut all = Vec::new();
    for _ in 0..n_rounds {
        let round = training.round().unwrap();
        let stats = round.discriminator.expect("a round of episodes has one");
        // Random characters are no verse: after 200 updates they are seldom taken for one.
        assert!(stats.taken_for_human < 0.2, "{stats:?}");
        assert!(stats.mean_log_odds < -0.5 && stats.loss.unwrap() < 0.5, "{stats:?}");
        all.push(round.episodes);
    }
    all
}

#[test]
fn what_it_says_is_the_reward_of_the_last_step() {
    let episodes = rounds(&build(&[]), 2).concat();
    for episode in &episodes {
        let (last, before) = episode.rewards.split_last().unwrap();
        assert!(before.iter().all(|&reward| reward == 0.0));
        assert!((-1.0..=1.0).contains(last), "half of log-odds within 2 nats: {last}");
        assert_eq!(episode.term_returns, [0.0, *last]);
    }
    // The probability of the same log-odds, which parameters and texts that are drawn alike have in the first round.
    let odds = rounds(&build(&[]), 1).concat();
    let probable = rounds(&build(&["discriminator.reward=\"probability\""]), 1).concat();
    for (odds, probable) in odds.iter().zip(&probable) {
        assert_eq!(odds.tokens, probable.tokens);
        let [odds, probable] = [odds, probable].map(|episode| f64::from(*episode.rewards.last().unwrap()) / 0.5);
        assert!((probable - 1.0 / (1.0 + (-odds).exp())).abs() < 1e-6, "{odds} and {probable}");
    }
}

#[test]
fn a_fresh_classifier_is_fooled_by_people_only() {
    let experiment = build(&[]);
    let task = experiment.task(Split::Train).unwrap().distinct(200, dqn_mdp::Seed(1));
    let share = |episodes: &[Trajectory]| {
        taken_for_human(&experiment, &task, episodes, 100, &Device::flex()).unwrap().expect("people wrote verses")
    };
    let of_people = share(&task.human_episodes().unwrap().episodes);
    assert!((0.2..=0.8).contains(&of_people), "{of_people}");
    let of_chance = share(&rounds(&experiment, 2).concat());
    assert!(of_chance < 0.1, "{of_chance}");
}

#[test]
fn it_needs_people_and_a_policy() {
    let refused = |overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        ExperimentConfig::from_toml(CONFIG, "test", &overrides).unwrap_err().to_string()
    };
    let error = refused(&["training.source={kind=\"text\"}"]);
    assert!(error.contains("discriminator: found a table"), "{error}");
    let error = refused(&["discriminator.network={distribution={kind=\"quantile\", n_atoms=5}}"]);
    assert!(error.contains("discriminator.network.distribution"), "{error}");
    let error = refused(&["discriminator.bound_nats=0.0"]);
    assert!(error.contains("discriminator.bound_nats"), "{error}");
    let experiment = build(&["tokenizer.max_tokens=7"]);
    let error = Training::new(&experiment, &Device::flex()).err().unwrap().to_string();
    assert!(error.contains("none of the training texts can be written"), "{error}");
}
