//! Explanations: of every kind of network and task, and of tasks in which it is known what decides.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use burn::tensor::Device;
use dqn_core::{Progress, QNetwork};
use dqn_env::EnvironmentConfig;
use dqn_mdp::{Seed, Start, Trajectory};
use dqn_model::TextQNetwork;
use dqn_text::split::Split;
use dqn_train::TrainError;
use dqn_train::config::ExperimentConfig;
use dqn_train::experiment::Experiment;
use dqn_train::explain::{
    Baseline, Colours, ExplainRequest, Explanation, FORMAT, Method, Replacement, explain, explain_episode, html, text,
};
use dqn_train::play::{NetworkPlayer, play};
use dqn_train::training::Training;

const OCCLUSION: Method = Method::Occlusion(Replacement::Vocabulary);
const BEGIN: Progress = Progress { updates: 0, steps: 0, episodes: 0 };

fn build(text: &str) -> Experiment {
    Experiment::build(ExperimentConfig::from_toml(text, "test", &[]).unwrap(), None, &Device::flex()).unwrap()
}

fn untrained(experiment: &Experiment) -> TextQNetwork {
    experiment.network(&Device::flex()).for_acting()
}

fn request(text: Option<&str>, method: Method) -> ExplainRequest {
    ExplainRequest { text: text.map(str::to_owned), prompt: None, source: None, n_top: 3, method }
}

/// Everything that holds for any explanation.
fn check(explanation: &Explanation, context: &str) {
    assert_eq!(explanation.format, FORMAT, "{context}");
    assert!(!explanation.steps.is_empty(), "{context}");
    let mut next = 0;
    for token in &explanation.tokens {
        if let Some(step) = token.step {
            assert!(step == next || step + 1 == next, "{context}: steps write one after the other");
            next = step + 1;
        }
    }
    assert_eq!(next, explanation.steps.len(), "{context}");
    for step in &explanation.steps {
        assert!(step.max_q.is_finite() && (1..=3).contains(&step.top.len()), "{context}");
        assert!(step.top.len() == 3.min(step.n_allowed), "{context}");
        assert!(step.top.iter().enumerate().all(|(index, view)| view.allowed && view.rank == Some(index + 1)));
        let preferences: Vec<_> = step.top.iter().filter_map(|view| view.preference).collect();
        assert!(preferences.is_sorted_by(|one, next| one >= next), "{context}: {preferences:?}");
        assert!(step.masked.iter().all(|view| !view.allowed && view.rank.is_none() && view.probability == 0.0));
        let total: f32 = step.top.iter().map(|view| view.probability).sum();
        assert!(total > 0.0 && total < 1.0 + 1e-4, "{context}: {total}");
        for view in step.top.iter().chain([&step.taken]) {
            let baseline = step.state_value.unwrap_or(step.max_q);
            assert!((view.advantage - (view.q - baseline)).abs() < 1e-5, "{context}");
            assert!(!view.text.is_empty(), "{context}: action {} shows nothing", view.action);
            assert_eq!(view.prior_probability.is_some(), explanation.prior.is_some(), "{context}");
        }
        assert_eq!((step.margin.is_some(), step.saliency.is_some()), (step.n_allowed > 1, step.n_allowed > 1));
        if let Some(saliency) = &step.saliency {
            assert_eq!(saliency.len(), step.place + 1, "{context}");
            assert!(saliency.iter().all(|saliency| saliency.is_finite()), "{context}: {saliency:?}");
        }
        let n_in_source = explanation.about.as_ref().map_or(0, |about| about.tokens.len());
        let is_told = n_in_source > 0 && step.n_allowed > 1 && matches!(explanation.method, Method::Occlusion(_));
        assert_eq!(step.source_saliency.as_ref().map(Vec::len), is_told.then_some(n_in_source), "{context}");
    }
    let json = serde_json::to_string(explanation).unwrap();
    assert_eq!(&serde_json::from_str::<Explanation>(&json).unwrap(), explanation, "{context}");
    let page = html(explanation);
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"), "{context}");
    assert!(!page.contains("http") && !page.contains("<script"), "{context}: the page needs nothing else");
    assert_eq!(page.matches("<details").count(), explanation.steps.len(), "{context}");
    let plain = text(explanation, Colours::None);
    assert!(!plain.contains('\u{1b}') && plain.matches("\nstep ").count() == explanation.steps.len(), "{context}");
}

/// The explained text and its beginning, as a user would write them.
fn written(explanation: &Explanation) -> (String, String) {
    let is_special = |id: u32| id < 4;
    let join = |all: bool| {
        let given = |token: &&dqn_train::explain::TokenView| all || token.step.is_none();
        let tokens = explanation.tokens.iter().take_while(given).filter(|token| !is_special(token.id));
        tokens.map(|token| token.text.as_str()).collect::<Vec<_>>().join(&explanation.separator)
    };
    (join(true), join(false))
}

#[test]
fn every_smoke_config_is_explained_and_its_text_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/smoke");
    let (mut n_explained, mut n_going_on) = (0, 0);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let mut config = std::fs::read_to_string(&path).unwrap();
        // Stages are several experiments, and a later one goes on from a run that is not there.
        if config.contains("extends") || config.contains("[[stages]]") {
            n_going_on += 1;
            continue;
        }
        for log in ["responses.jsonl", "walk.jsonl", "pretrained.jsonl"] {
            config = config.replace(&format!("{log:?}"), &format!("{:?}", folder.join(log).display().to_string()));
        }
        let context = path.file_name().unwrap().to_string_lossy().into_owned();
        let experiment = build(&config);
        let network = untrained(&experiment);
        let explained = explain(&experiment, &network, BEGIN, &request(None, OCCLUSION)).unwrap();
        check(&explained, &context);
        let is_of_parts = |kind: &str| kind == "bpe" || kind == "pretrained";
        if experiment.tokenizer().is_some_and(|tokenizer| is_of_parts(tokenizer.kind())) {
            // What was written of parts of words is read as other tokens.
            n_explained += 1;
            continue;
        }
        let (text, prompt) = written(&explained);
        let mut again = request(Some(&text), OCCLUSION);
        if matches!(experiment.config.environment, EnvironmentConfig::Responses { .. }) {
            let refused = explain(&experiment, &network, BEGIN, &again).unwrap_err();
            assert!(refused.to_string().contains("--prompt"), "{refused}");
            again.prompt = Some(prompt);
        }
        let again = explain(&experiment, &network, BEGIN, &again).unwrap_or_else(|error| panic!("{context}: {error}"));
        let actions = |explanation: &Explanation| -> Vec<u32> {
            explanation.steps.iter().map(|step| step.taken.action).collect()
        };
        // Where actions overlap, a text may be divided in another way.
        if experiment.actions.longest() == 1 || experiment.game().is_some() {
            assert_eq!(actions(&again), actions(&explained), "{context}");
        }
        let ids = |explanation: &Explanation| -> Vec<u32> { explanation.tokens.iter().map(|token| token.id).collect() };
        let n_same = ids(&explained).iter().zip(ids(&again)).take_while(|(one, other)| *one == other).count();
        assert!(n_same >= ids(&explained).len().min(ids(&again).len()), "{context}");
        check(&again, &context);
        n_explained += 1;
    }
    assert!(n_explained > 20 && n_going_on == 8, "{n_explained} and {n_going_on}");
}

/// The copy task with a network of these settings.
fn copying(length: usize, n_symbols: usize, network: &str, more: &str) -> Experiment {
    build(&format!(
        r#"
        environment = {{ kind = "copy", length = {length}, n_symbols = {n_symbols} }}
        [network]
        embedding_width = 16
        {network}
        {more}
        "#
    ))
}

const TORSOS: [&str; 7] = [
    "{ kind = 'mlp', window_tokens = 4, hidden = [8] }",
    "{ kind = 'gru', width = 8 }",
    "{ kind = 'lstm', width = 8 }",
    "{ kind = 'cnn', width = 8, kernel_size = 2, n_layers = 2 }",
    "{ kind = 'transformer', width = 8, n_heads = 2, n_layers = 2, expansion = 2 }",
    "{ kind = 'bag', features = { kind = 'ngrams', n_tokens = 2 }, width = 8, hidden = [8] }",
    "{ kind = 'bag', features = { kind = 'pairs', distance_tokens = 1, n_vectors = 500 }, width = 8, hidden = [8] }",
];

#[test]
fn every_torso_head_and_distribution_is_explained_by_every_method() {
    let heads = [
        ("head = { kind = 'scalar', init_deviation = 0.5 }", Baseline::MaxQ),
        ("head = { kind = 'dueling', init_deviation = 0.5 }", Baseline::StateValue),
        ("head = { kind = 'tied', init_deviation = 0.5 }", Baseline::MaxQ),
        ("head = { kind = 'relevance', init_deviation = 0.5, width = 4 }", Baseline::MaxQ),
        (
            "head = { kind = 'dueling', init_deviation = 0.5 }\ndistribution = { kind = 'categorical', low = 0.0, high = 1.0 }",
            Baseline::StateValue,
        ),
        (
            "head = { kind = 'scalar', init_deviation = 0.5 }\ndistribution = { kind = 'quantile', n_quantiles = 4 }",
            Baseline::MaxQ,
        ),
        ("head = { kind = 'scalar', init_deviation = 0.5 }\ndistribution = { kind = 'implicit' }", Baseline::MaxQ),
        (
            "head = { kind = 'scalar', init_deviation = 0.5 }\nnoise = 0.5\nlayer_norm = true\ndropout = 0.3",
            Baseline::MaxQ,
        ),
    ];
    for torso in TORSOS {
        for (head, baseline) in heads {
            let experiment = copying(3, 5, &format!("torso = {torso}\n{head}"), "");
            let network = untrained(&experiment);
            let context = format!("{torso}, {head}");
            for method in [OCCLUSION, Method::Occlusion(Replacement::Unknown), Method::Gradient, Method::Attention] {
                let asked = request(Some("4 0 2 | 4 0 2"), method);
                let offered = match method {
                    Method::Gradient => !torso.contains("pairs"),
                    Method::Attention => torso.contains("transformer"),
                    Method::Occlusion(_) => true,
                };
                match explain(&experiment, &network, BEGIN, &asked) {
                    Ok(explained) => {
                        assert!(offered, "{context}");
                        check(&explained, &context);
                        assert_eq!((explained.advantage_over, explained.steps.len()), (baseline, 3), "{context}");
                        let saliency = explained.steps[2].saliency.as_ref().unwrap();
                        assert!(saliency.iter().any(|saliency| *saliency != 0.0), "{context}: {method:?}");
                    }
                    Err(error) => {
                        assert!(matches!(error, TrainError::NotOffered { .. }), "{context}: {error}");
                        assert!(!offered, "{context}: {error}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_a_network_does_not_see_decides_nothing() {
    let torso =
        "torso = { kind = 'mlp', window_tokens = 2, hidden = [8] }\nhead = { kind = 'scalar', init_deviation = 0.5 }";
    let experiment = copying(4, 5, torso, "");
    let network = untrained(&experiment);
    for method in [OCCLUSION, Method::Gradient] {
        let explained = explain(&experiment, &network, BEGIN, &request(Some("4 0 2 1 | 4 0"), method)).unwrap();
        for step in &explained.steps {
            let saliency = step.saliency.as_ref().unwrap();
            assert!(saliency[..step.place - 1].iter().all(|&saliency| saliency == 0.0), "{saliency:?}");
            assert!(saliency[step.place] != 0.0 && saliency[step.place - 1] != 0.0, "{saliency:?}");
        }
    }
}

#[test]
fn a_text_that_is_no_episode_is_refused_by_what_is_wrong() {
    let experiment = copying(3, 5, "torso = { kind = 'gru', width = 8 }", "");
    let network = untrained(&experiment);
    for (text, expected) in [
        ("4 0 x y | 4", "the text holds \"x\", \"y\", which the run's vocabulary does not know"),
        ("4 0", "it does not begin with a string of 3 symbols"),
        ("4 0 |", "it does not begin with a string of 3 symbols"),
        ("4 0 1 2 3", "it does not begin with \"4 0 1 |\" as the task does"),
        ("4 0 1 | 4 0 1 1", "after \"4 0 1 | 4 0 1\" the episode is over; \"1\" follows"),
        ("4 0 1 | 3 0", "after \"4 0 1 | 3\" the episode is over; \"0\" follows"),
        ("4 0 1 | 4 |", "after \"4 0 1 | 4\" no action writes \"|\""),
        ("4 0 1 |", "no action is taken in it"),
        ("4 0 1 | <eos>", "the text holds \"<eos>\""),
    ] {
        let error = explain(&experiment, &network, BEGIN, &request(Some(text), OCCLUSION)).unwrap_err();
        assert!(error.is_request_fault(), "{error}");
        assert!(error.to_string().contains(expected), "{error}, not {expected}");
    }
    let asked = ExplainRequest { prompt: Some("4".to_owned()), ..request(Some("4 0 1 | 4"), OCCLUSION) };
    let error = explain(&experiment, &network, BEGIN, &asked).unwrap_err();
    assert!(error.to_string().contains("a prompt"), "{error}");
}

#[test]
fn actions_that_are_not_allowed_are_named() {
    let experiment = build(
        r#"
        environment = { kind = "memory", delay = 2, n_cues = 3 }
        network = { torso = { kind = "gru", width = 8 }, head = { kind = "scalar", init_deviation = 1.0 } }
        "#,
    );
    let network = untrained(&experiment);
    let explained = explain(&experiment, &network, BEGIN, &request(Some("c1 . . ? c1"), OCCLUSION)).unwrap();
    let allowed: Vec<usize> = explained.steps.iter().map(|step| step.n_allowed).collect();
    assert_eq!(allowed, [1, 1, 3]);
    assert!(explained.steps[0].saliency.is_none() && explained.steps[0].margin.is_none());
    // Of three answers to each of two questions at least one is preferred to the only allowed action, by chance.
    let masked: Vec<&str> =
        explained.steps[..2].iter().flat_map(|step| &step.masked).map(|view| view.text.as_str()).collect();
    assert!(!masked.is_empty() && masked.iter().all(|text| text.starts_with('c')), "{masked:?}");
    assert!(text(&explained, Colours::None).contains("masked  c"));
    let refused = explain(&experiment, &network, BEGIN, &request(Some("c1 c1"), OCCLUSION)).unwrap_err();
    assert!(refused.to_string().contains("after \"c1\" the task forbids \"c1\""), "{refused}");
}

fn trained(experiment: &Experiment) -> (TextQNetwork, Progress) {
    let mut training = Training::new(experiment, &Device::flex()).unwrap();
    while !training.is_over() {
        training.round().unwrap();
    }
    (training.network().clone(), training.progress())
}

fn greedy(experiment: &Experiment, network: &TextQNetwork, progress: Progress, n_episodes: usize) -> Vec<Trajectory> {
    let task = experiment.task(Split::Validation).unwrap();
    let starts: Vec<Start> = (0..n_episodes).map(Start::Indexed).collect();
    let mut rng = Seed(0).stream("test");
    let policy = experiment.learned_policies(progress)[0].policy;
    let mut player = NetworkPlayer::new(network, policy, None, &experiment.encoder, &mut rng);
    play(&mut task.environments(n_episodes).unwrap(), &starts, &mut player).unwrap()
}

#[test]
fn in_a_copy_the_symbol_that_is_copied_decides() {
    let learning = r#"
        [learner]
        bootstrap = { kind = "max" }
        target_update = { kind = "polyak", rate = 0.02 }
        optimizer = { kind = "adam", learning_rate = { kind = "linear", start = 5e-3, end = 1e-4, over = { updates = 300 } } }
        discount = 0.5
        batch_windows = 64
        window_steps = 3
        [replay]
        warmup_steps = 300
        rewarded_fraction = 0.75
        [exploration]
        kind = "epsilon_greedy"
        epsilon = { kind = "linear", start = 0.3, end = 0.02, over = { updates = 100 } }
        [training]
        parallel_episodes = 64
        stop_after = { updates = 300 }
    "#;
    let torso = "torso = { kind = 'transformer', width = 32, n_heads = 2, n_layers = 2, expansion = 2 }";
    let experiment = copying(3, 5, &format!("{torso}\nhead = {{ kind = 'scalar' }}"), learning);
    let [n_known, n_found] = shares(&experiment, 60, |_, index| Some(1 + index));
    assert!(n_known > 160, "of 180 symbols {n_known} are right");
    assert!(n_found as f64 >= 0.95 * n_known as f64, "{n_found} of {n_known}");
}

/// After training, in how many right steps of so many greedy episodes the token that decides is known, and in how many of
/// these it has the greatest saliency.
fn shares(
    experiment: &Experiment,
    n_episodes: usize,
    deciding: impl Fn(&Trajectory, usize) -> Option<usize>,
) -> [usize; 2] {
    let (network, progress) = trained(experiment);
    let (mut n_known, mut n_found) = (0, 0);
    for episode in greedy(experiment, &network, progress, n_episodes) {
        let explained = explain_episode(experiment, &network, progress, &episode, 1, OCCLUSION).unwrap();
        for (index, step) in explained.steps.iter().enumerate().filter(|(index, _)| episode.rewards[*index] > 0.0) {
            let Some(known) = deciding(&episode, index) else { continue };
            n_known += 1;
            n_found += usize::from(step.deciding() == Some(known));
        }
    }
    [n_known, n_found]
}

/// The experiment of the article.
fn article(overrides: &[&str]) -> Experiment {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/article/hello-world.toml");
    let overrides: Vec<String> = overrides.iter().map(|&assignment| assignment.to_owned()).collect();
    let config = ExperimentConfig::from_toml(&std::fs::read_to_string(path).unwrap(), "article", &overrides).unwrap();
    Experiment::build(config, None, &Device::flex()).unwrap()
}

#[test]
fn in_four_texts_of_the_article_the_half_of_the_prompt_that_differs_decides() {
    // The third character follows from the first alone, the fourth from the second alone.
    let experiment = article(&[
        r#"corpus.source={texts=["你好世界","你来世间","他好人界","他来人间"]}"#,
        "environment.n_prompt_tokens=2",
        "training.stop_after={episodes=2000}",
        r#"learner.optimizer.learning_rate={kind="linear",start=1e-2,end=1e-3,over={episodes=2000}}"#,
        r#"exploration.epsilon={kind="linear",start=1.0,end=0.02,over={episodes=1000}}"#,
        "seed=2",
    ]);
    let [n_known, n_found] = shares(&experiment, 4, |_, index| Some(1 + index));
    // Of the seeds 1 to 20, 17 find all 8, and together they find 155 of 160; guessing finds half.
    assert_eq!(n_known, 8);
    assert!(n_found >= 7, "{n_found} of 8");
}

#[test]
fn the_text_of_the_article_is_explained() {
    let experiment = article(&[]);
    let (network, progress) = trained(&experiment);
    let explained = explain(&experiment, &network, progress, &request(Some("你好世界"), OCCLUSION)).unwrap();
    check(&explained, "article");
    assert!(explained.steps.iter().all(|step| step.taken.rank == Some(1)), "{explained:?}");
    // The value of the start is the sum of the discounted rewards: 1 + .9 + .81 + .729.
    assert!((explained.steps[0].max_q - 3.439).abs() < 0.2, "{}", explained.steps[0].max_q);
    let prefix = explain(&experiment, &network, progress, &request(Some("你好"), OCCLUSION)).unwrap();
    assert_eq!(prefix.steps[..], explained.steps[..2]);
    let refused = explain(&experiment, &network, progress, &request(Some("你世界"), OCCLUSION)).unwrap_err();
    assert!(refused.to_string().contains("after \"你世\" the episode is over; \"界\" follows"), "{refused}");
}
