//! Settings of group consistency and optimal completion that cannot work are refused before anything runs.

use std::path::Path;

use dqn_train::config::ExperimentConfig;

fn smoke(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/smoke").join(name);
    std::fs::read_to_string(path).expect("the smoke configuration is there")
}

/// What is said of an experiment in which `old` stands for `new`.
fn refusal(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old:?} is not in the experiment");
    ExperimentConfig::from_toml(&text.replace(old, new), "test", &[]).expect_err(new).to_string()
}

#[test]
fn settings_without_groups_are_refused() {
    let text = smoke("group-consistency.toml");
    ExperimentConfig::from_toml(&text, "test", &[]).unwrap();
    for (old, new, expected) in [
        ("episodes_per_start = 4", "episodes_per_start = 1", "training.episodes_per_start"),
        ("episodes_per_start = 4", "episodes_per_start = 3", "it must divide training.parallel_episodes, which is 8"),
        ("window_steps = 12", "window_steps = 11", "which may have 12 steps"),
        ("warmup_steps = 1", "warmup_steps = 97", "a round of fresh episodes has 96 steps at most"),
        ("only_fresh = true", "only_fresh = true\nrewarded_fraction = 0.5", "group_consistency draws whole groups"),
        ("bootstrap = { kind = \"soft\", temperature = 1.0 }", "", "use the bootstrap soft or kl"),
        ("reward_scale = 10.0", "discount = 0.9", "use discount = 1"),
    ] {
        let found = refusal(&text, old, new);
        assert!(found.contains(expected), "{new}: {found}");
    }
}

#[test]
fn optimal_completion_needs_single_tokens_and_references() {
    let text = smoke("optimal-completion.toml");
    ExperimentConfig::from_toml(&text, "test", &[]).unwrap();
    let found = refusal(&text, "[reward]", "[actions]\nkind = \"words\"\nmax_words = 50\n\n[reward]");
    assert!(found.contains("every token must be an action of its own"), "{found}");
    let aiming = "[learner]\nobjective = { kind = \"optimal_completion\" }\n";
    let found = refusal(&smoke("next-token.toml"), "[learner]\n", aiming);
    assert!(found.contains("only tasks of free writing have references"), "{found}");
}
