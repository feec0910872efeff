//! Learned values against exact ones: the whole path from a configuration to a network, on tasks whose values are
//! known.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use burn::tensor::Device;
use dqn_core::QNetwork;
use dqn_env::{ProbeName, Tabular, TabularName};
use dqn_mdp::{ActionId, StateRef};
use dqn_train::config::ExperimentConfig;
use dqn_train::experiment::Experiment;
use dqn_train::training::Training;

/// A learner of small tables: `environment` names the task, `learner` adds to its settings and `network` to those of the
/// network.
fn experiment(environment: &str, discount: f64, learner: &str) -> Experiment {
    experiment_with(environment, discount, learner, "")
}

fn experiment_with(environment: &str, discount: f64, learner: &str, network: &str) -> Experiment {
    let head = if network.contains("head") { "" } else { r#"head = { kind = "dueling" }"# };
    let text = format!(
        r#"
        environment = {environment}
        [network]
        embedding_width = 16
        torso = {{ kind = "mlp", window_tokens = 1, hidden = [32] }}
        {head}
        {network}
        [learner]
        discount = {discount}
        window_steps = 1
        batch_windows = 32
        target_update = {{ kind = "polyak", rate = 0.05 }}
        optimizer = {{ kind = "adam", learning_rate = {{ kind = "linear", start = 5e-3, end = 1e-5, over = {{ updates = 2500 }} }} }}
        {learner}
        [replay]
        capacity_steps = 2000
        warmup_steps = 32
        [exploration]
        kind = "epsilon_greedy"
        epsilon = {{ kind = "constant", value = 1.0 }}
        [training]
        parallel_episodes = 8
        updates_per_round = 2
        stop_after = {{ updates = 2500 }}
        "#
    );
    Experiment::build(ExperimentConfig::from_toml(&text, "test", &[]).unwrap(), None, &Device::flex()).unwrap()
}

/// The values of all states and actions at the end of training.
fn learned(experiment: &Experiment, table: &Tabular) -> Vec<f64> {
    let device = Device::flex();
    let mut training = Training::new(experiment, &device).unwrap();
    while !training.is_over() {
        training.round().unwrap();
    }
    let states: Vec<_> = (0..table.n_states()).map(|index| table.state(index).tokens).collect();
    let states: Vec<StateRef<'_>> = states.iter().map(|tokens| tokens[..].into()).collect();
    let input = experiment.encoder.input(&states.chunks(1).collect::<Vec<_>>(), &device);
    let (_, q) = training.network().start(&input);
    let q: Vec<f32> = q.try_into_vec_as().unwrap();
    q.into_iter().map(f64::from).collect()
}

fn check(environment: &str, table: &Tabular, discount: f64, learner: &str) {
    check_network(environment, table, discount, learner, "");
}

fn check_network(environment: &str, table: &Tabular, discount: f64, learner: &str, network: &str) {
    let experiment = experiment_with(environment, discount, learner, network);
    let q = learned(&experiment, table);
    let n_actions = experiment.actions.len();
    for (state, row) in table.value_iteration(discount).unwrap().iter().enumerate() {
        for (action, expected) in row.iter().enumerate() {
            let Some(expected) = *expected else { continue };
            assert!(table.allowed_in(state).allows(ActionId(action as u32)));
            let found = q[state * n_actions + action];
            assert!(
                (found - expected).abs() < 1e-2,
                "{environment}, {learner}: Q(s{state}, a{action}) is {found}, exactly {expected}"
            );
        }
    }
}

fn check_tabular(name: TabularName, written: &str, discount: f64, learner: &str) {
    check(&format!(r#"{{ kind = "tabular", name = "{written}" }}"#), &name.build(), discount, learner);
}

#[test]
fn truncation_keeps_the_value() {
    check_tabular(TabularName::Corridor, "corridor", 1.0, r#"bootstrap = { kind = "max" }"#);
    check_tabular(TabularName::Corridor, "corridor", 0.8, r#"bootstrap = { kind = "double" }"#);
}

#[test]
fn forbidden_actions_do_not_enter_the_bootstrap() {
    check_tabular(TabularName::Gate, "gate", 1.0, r#"bootstrap = { kind = "max" }"#);
    check_tabular(TabularName::Gate, "gate", 0.5, r#"bootstrap = { kind = "double" }"#);
}

#[test]
fn a_discount_below_one_makes_endless_values_finite() {
    check_tabular(TabularName::Treadmill, "treadmill", 0.7, r#"bootstrap = { kind = "double" }"#);
}

#[test]
fn the_squared_error_finds_the_same_values() {
    check_tabular(TabularName::Gate, "gate", 0.5, r#"loss = { kind = "mse" }"#);
}

#[test]
fn priorities_do_not_bias_the_values() {
    // Where rewards and moves are certain, a biased mean could hide: all targets of a pair agree. What is tested is that
    // the rarely drawn pairs arrive too.
    let replay = "[replay.priority]\nalpha = 0.6\nbeta = { kind = \"constant\", value = 1.0 }\n[learner.bootstrap]\nkind = \"double\"";
    check_tabular(TabularName::Gate, "gate", 0.5, replay);
}

#[test]
fn rescaled_values_are_the_compressed_exact_ones() {
    let experiment = experiment(r#"{ kind = "tabular", name = "corridor" }"#, 0.8, "value_rescaling = 0.01");
    let table = TabularName::Corridor.build();
    let found = learned(&experiment, &table);
    for (state, row) in table.value_iteration(0.8).unwrap().iter().enumerate() {
        for (action, expected) in row.iter().enumerate() {
            let Some(expected) = *expected else { continue };
            let compressed = expected.signum() * ((expected.abs() + 1.0).sqrt() - 1.0) + 0.01 * expected;
            let found = found[state * experiment.actions.len() + action];
            assert!((found - compressed).abs() < 1e-2, "Q(s{state}, a{action}) is {found}, exactly {compressed}");
        }
    }
}

#[test]
fn a_cold_soft_value_is_the_maximum() {
    check_tabular(TabularName::Gate, "gate", 0.5, r#"bootstrap = { kind = "soft", temperature = 1e-3 }"#);
    let consistent = r#"bootstrap = { kind = "soft", temperature = 1e-3 }
        objective = { kind = "path_consistency" }"#;
    check_tabular(TabularName::Corridor, "corridor", 0.8, consistent);
}

#[test]
fn distributions_have_the_exact_means() {
    let table = TabularName::Gate.build();
    let gate = r#"{ kind = "tabular", name = "gate" }"#;
    // A categorical mean can only be exact where the atoms reach around all returns.
    let categorical = r#"distribution = { kind = "categorical", low = -4.0, high = 4.0, n_atoms = 33 }"#;
    check_network(gate, &table, 0.5, r#"bootstrap = { kind = "double" }"#, categorical);
    let quantile = r#"distribution = { kind = "quantile", n_quantiles = 8 }"#;
    check_network(gate, &table, 0.5, r#"bootstrap = { kind = "max" }"#, quantile);
}

#[test]
fn implicit_distributions_have_the_exact_means() {
    let implicit = r#"distribution = { kind = "implicit", n_cosines = 16 }"#;
    let gate = r#"{ kind = "tabular", name = "gate" }"#;
    check_network(gate, &TabularName::Gate.build(), 0.5, r#"bootstrap = { kind = "double" }"#, implicit);
    let probe = r#"{ kind = "probe", name = "observed_action_reward" }"#;
    let [.., name] = ProbeName::ALL;
    check_network(probe, &name.build(), 0.99, r#"bootstrap = { kind = "max" }"#, implicit);
}

#[test]
fn noise_leaves_the_values_exact() {
    let table = TabularName::Corridor.build();
    check_network(r#"{ kind = "tabular", name = "corridor" }"#, &table, 0.8, "", "noise = 0.1");
}

#[test]
fn values_by_the_text_of_actions_are_exact() {
    let relevance = r#"head = { kind = "relevance", width = 16 }"#;
    let table = TabularName::Gate.build();
    let gate = r#"{ kind = "tabular", name = "gate" }"#;
    check_network(gate, &table, 0.5, r#"bootstrap = { kind = "double" }"#, relevance);
    let table = TabularName::Corridor.build();
    check_network(r#"{ kind = "tabular", name = "corridor" }"#, &table, 0.8, "", relevance);
}

#[test]
fn the_probes_reach_their_values() {
    let written =
        ["constant_reward", "observed_reward", "discounted_reward", "action_reward", "observed_action_reward"];
    for (name, written) in ProbeName::ALL.into_iter().zip(written) {
        check(&format!(r#"{{ kind = "probe", name = "{written}" }}"#), &name.build(), 0.99, "");
    }
}
