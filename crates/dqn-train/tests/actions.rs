//! Actions of several tokens, candidates and values by text: from a configuration to episodes, batches and measures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;

use burn::tensor::Device;
use dqn_core::{DqnLearner, Learner, Policy, Prior, Progress, QNetwork, Window};
use dqn_mdp::{Seed, Trajectory};
use dqn_text::split::Split;
use dqn_train::config::ExperimentConfig;
use dqn_train::evaluation::{Evaluator, PolicyPerplexity};
use dqn_train::experiment::Experiment;
use dqn_train::generate::{GenerateRequest, Strategy, generate};
use dqn_train::play::{NetworkPlayer, View};

const MAX_TOKENS: usize = 12;

/// Verse in which `actions` can be written, with a head of this kind; `more` adds to the learner.
fn experiment(actions: &str, head: &str, more: &str) -> Experiment {
    // The soft value and a policy that is learned whole know no prior, so acting may know none either.
    let from_prior = !["soft", "imitation"].iter().any(|word| more.contains(word));
    let text = format!(
        r#"
        actions = {actions}
        corpus = {{ source = {{ builtin = "verse-zh" }} }}
        split = {{}}
        tokenizer = {{ kind = "char", max_tokens = 800 }}
        environment = {{ kind = "generation", n_prompt_tokens = 1, max_tokens = {MAX_TOKENS}, min_tokens = 3 }}
        reward = {{ terms = [{{ kind = "reference_lm" }}] }}
        prior = {{ kind = "ngram" }}
        exploration = {{ kind = "boltzmann", from_prior = {from_prior}, temperature = {{ kind = "constant", value = 0.5 }} }}
        [network]
        embedding_width = 8
        torso = {{ kind = "gru", width = 12 }}
        head = {{ kind = "{head}", init_deviation = 0.3 }}
        [learner]
        window_steps = 4
        optimizer = {{ kind = "sgd", learning_rate = {{ kind = "constant", value = 0.1 }} }}
        {more}
        [evaluation]
        n_episodes = 24
        "#
    );
    Experiment::build(ExperimentConfig::from_toml(&text, "test", &[]).unwrap(), None, &Device::flex()).unwrap()
}

const PHRASES: &str = r#"{ kind = "phrases", mining = { max_phrases = 400, threshold = 5.0 } }"#;
const CANDIDATES: &str =
    r#"{ kind = "phrases", mining = { max_phrases = 400, threshold = 5.0 }, candidates = { top_k = 7 } }"#;
const BOLTZMANN: Policy = Policy::Boltzmann { temperature: 0.5 };

fn episodes(experiment: &Experiment, split: Split) -> Vec<Trajectory> {
    let network = experiment.network(&Device::flex()).for_acting();
    Evaluator::new(experiment, split, 24).unwrap().network_episodes(&network, BOLTZMANN).unwrap()
}

#[test]
fn phrases_fill_a_text_exactly_and_are_never_cut() {
    let experiment = experiment(PHRASES, "dueling", "");
    assert!(experiment.actions.longest() > 2);
    let mut n_long = 0;
    for episode in episodes(&experiment, Split::Test) {
        assert!(episode.tokens.len() <= MAX_TOKENS + 1);
        let written: Vec<_> = episode.actions.iter().flat_map(|&action| experiment.actions.tokens(action)).collect();
        assert_eq!(written, episode.written().iter().collect::<Vec<_>>());
        n_long += episode.actions.iter().filter(|&&action| experiment.actions.tokens(action).len() > 1).count();
    }
    assert!(n_long > 0, "no phrase was written");
}

#[test]
fn candidates_bind_what_is_played_and_hold_what_people_wrote() {
    let experiment = experiment(CANDIDATES, "scalar", "");
    let prior = experiment.prior.clone().unwrap();
    let n_actions = experiment.actions.len();
    for episode in episodes(&experiment, Split::Validation) {
        for (state, &action) in episode.actions.iter().enumerate() {
            let allowed = &episode.allowed[state];
            assert!(allowed.allows(action));
            assert!(allowed.count(n_actions) <= 7);
            let mut log_probs = vec![0.0; n_actions];
            prior.log_probs(episode.state(state), &mut log_probs);
            let least = allowed.iter(n_actions).map(|action| log_probs[action.index()]).fold(0.0, f32::min);
            let room = MAX_TOKENS + 1 - (episode.decisions[state] as usize + 1);
            let fits = |action: &usize| experiment.actions.tokens(dqn_mdp::ActionId(*action as u32)).len() <= room;
            let n_better = (1..n_actions).filter(fits).filter(|&action| log_probs[action] > least).count();
            assert!(n_better < 7, "{n_better} actions are likelier than a candidate");
        }
    }
    let human = experiment.task(Split::Validation).unwrap().human_episodes().unwrap();
    assert!(human.episodes.len() > 10);
    for episode in &human.episodes {
        for (state, &action) in episode.actions.iter().enumerate() {
            assert!(episode.allowed[state].allows(action));
            assert!(episode.allowed[state].count(n_actions) <= 8);
        }
    }
    let network = experiment.network(&Device::flex());
    assert!(PolicyPerplexity::of(&experiment, &network, Split::Validation, 0.5).unwrap().is_none());
}

#[test]
fn texts_that_no_actions_write_are_left_out_and_counted() {
    let sentences = r#"{ kind = "sentences", source = { texts = ["山", "水"] } }"#;
    let experiment = experiment(sentences, "scalar", "");
    let human = experiment.task(Split::Train).unwrap().human_episodes().unwrap();
    let task = experiment.task(Split::Train).unwrap();
    let n_starts = task.environments(1).unwrap()[0].n_starts();
    assert!(human.n_left_out > 0 && human.episodes.len() + human.n_left_out == n_starts);
    let whole = self::experiment(PHRASES, "scalar", "").task(Split::Train).unwrap().human_episodes().unwrap();
    assert!(whole.n_left_out < human.n_left_out);
}

#[test]
fn perplexity_counts_tokens_whatever_the_actions() {
    let experiment = experiment(PHRASES, "dueling", "");
    let network = experiment.network(&Device::flex());
    let found = PolicyPerplexity::of(&experiment, &network, Split::Validation, 0.5).unwrap().unwrap();
    let task = experiment.task(Split::Validation).unwrap().distinct(24, Seed(experiment.config.evaluation.seed));
    let human = task.human_episodes().unwrap().episodes;
    assert!(human.iter().any(|episode| episode.written().len() > episode.len()), "no phrase was taken");
    let mut rng = Seed(0).stream("test");
    let prior = experiment.acting_prior(BOLTZMANN);
    let mut player = NetworkPlayer::new(&network, BOLTZMANN, prior, &experiment.encoder, &mut rng);
    let (mut nll, mut n_tokens) = (0.0, 0);
    for episode in &human {
        n_tokens += episode.tokens.len() - episode.n_start_tokens;
        for (state, action) in episode.actions.iter().enumerate() {
            let text = &episode.tokens[..=episode.decisions[state] as usize];
            let view = View { text, source: None, allowed: &episode.allowed[state] };
            nll -= player.log_probs(&[view], None, 0.5)[0][action.index()];
        }
    }
    let expected = (nll / n_tokens as f64).exp();
    let at = found.temperatures.iter().position(|&temperature| temperature == 0.5).unwrap();
    assert!(
        (found.perplexities[at] - expected).abs() < 1e-3 * expected,
        "{} is not {expected}",
        found.perplexities[at]
    );
}

#[test]
fn a_beam_gives_different_texts_within_the_limit() {
    for actions in [PHRASES, CANDIDATES] {
        let experiment = experiment(actions, "relevance", "");
        let network = experiment.network(&Device::flex()).for_acting();
        let request = GenerateRequest {
            prompt: None,
            n: 5,
            strategy: Strategy::Beam { width: 9, length_exponent: 1.0 },
            temperature: Some(0.5),
            seed: 0,
        };
        let found = generate(&experiment, &network, Progress::default(), &request).unwrap();
        let texts: HashSet<&str> = found.iter().map(|generated| generated.text.as_str()).collect();
        assert_eq!((found.len(), texts.len()), (5, 5));
        for generated in &found {
            assert!(generated.n_tokens < MAX_TOKENS);
            let n_written = generated.text.chars().count() - generated.prompt.chars().count();
            // <eos>, which ends all but truncated texts, writes nothing.
            assert!([n_written, n_written + 1].contains(&generated.n_tokens), "{generated:?}");
        }
    }
}

/// One update is the same about the candidates of its batch as about all actions.
#[test]
fn updates_about_candidates_are_updates_about_all() {
    for learner in [
        r#"bootstrap = { kind = "max" }"#,
        "bootstrap = { kind = \"double\" }\nn_step = 2",
        r#"bootstrap = { kind = "kl", temperature = 0.3 }"#,
        "bootstrap = { kind = \"soft\", temperature = 0.3 }\nmunchausen = {}",
        "bootstrap = { kind = \"soft\", temperature = 0.3 }\nobjective = { kind = \"path_consistency\" }",
        r#"objective = { kind = "imitation" }"#,
        "bootstrap = { kind = \"double\" }\nconservatism = 0.5",
    ] {
        let experiment = experiment(CANDIDATES, "relevance", learner);
        assert!(experiment.learns_of_candidates());
        let episodes = episodes(&experiment, Split::Train);
        let windows: Vec<Window<'_>> = episodes
            .iter()
            .map(|trajectory| Window {
                trajectory,
                start: trajectory.len() / 3,
                len: trajectory.len() - trajectory.len() / 3,
            })
            .collect();
        let prior = experiment.prior.as_deref().map(|prior| prior as &dyn Prior);
        let builder = experiment.batch_builder();
        let batches = [builder.build(&windows, prior), builder.build_of_allowed(&windows, prior)];
        let n_considered = batches[1].considered.as_ref().unwrap().len();
        assert!(n_considered < experiment.actions.len());
        let device = Device::flex().autodiff();
        let results = batches.map(|batch| {
            let mut learner = DqnLearner::new(experiment.config.learner.clone(), experiment.network(&device), Seed(1));
            // A target that differs from the online network.
            let first = learner.update(batch.clone(), Progress::default()).unwrap();
            let second = learner.update(batch, Progress { updates: 1, ..Progress::default() }).unwrap();
            assert_eq!(learner.acting().n_actions(), experiment.actions.len());
            [first.loss, first.mean_target, first.gradient_norm, second.loss, second.mean_q, second.mean_target]
        });
        for (all, few) in results[0].iter().zip(results[1]) {
            assert!((all - few).abs() < 1e-4 * (1.0 + all.abs()), "{learner}: {results:?}");
        }
    }
}
