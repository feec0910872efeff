//! `config`, and what is said about faulty experiments.

use crate::program::{BAD_REQUEST, DONE, dqn, tiny};

#[test]
fn a_sound_experiment_passes() {
    let folder = tiny(&[]);
    let ran = dqn(folder.path(), &["config", "check", "--config", "tiny.toml"]).ends_with(DONE);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("tiny.toml: no fault found\n", ""));
    dqn(folder.path(), &["config", "check"]).ends_with(DONE);
}

/// How the line of the bootstrap begins.
const KL: &str = "bootstrap = { kind = \"kl\"";

#[test]
fn each_fault_is_refused_with_its_place_and_what_is_allowed() {
    let relevance = |more: &str| format!("[network]\nhead = {{ kind = \"relevance\" }}\n{more}");
    let table: [(&str, &str, &[&str]); 16] = [
        ("n_prompt_tokens = 1", "n_promt_tokens = 1", &["environment.n_promt_tokens", "n_prompt_tokens"]),
        ("max_tokens = 6", "max_tokens = \"six\"", &["environment.max_tokens", "six", "integer"]),
        ("order = 2", "order = 9", &["prior.order: found the integer 9", "from 2 to 5"]),
        ("kind = \"repetition\"", "kind = \"repetitions\"", &["reward.terms[1].kind", "repetitions"]),
        (KL, &format!("n_step = 3\nlambda = 0.5\n{KL}"), &["learner.lambda", "0.5", "n_step = 1"]),
        (KL, &format!("value_rescaling = 0.01\n{KL}"), &["learner.value_rescaling", "0.01", "nats"]),
        (KL, "munchausen = {}\nbootstrap = { kind = \"max\" } # {", &["learner.munchausen", "soft and kl"]),
        ("[network]", "[network]\ndistribution = { kind = \"quantile\" }", &["learner.bootstrap", "max or double"]),
        ("[network]", "[network]\ndistribution = { kind = \"implicit\" }", &["learner.bootstrap", "max or double"]),
        ("[corpus]", "actions = { kind = \"corpus\" }\n[corpus]", &["actions.kind", "corpus", "<eos>"]),
        (
            "[corpus]",
            "tokenizer = { kind = \"word\" }\nactions = { kind = \"words\" }\n[corpus]",
            &["actions.kind", "words", "vocabulary"],
        ),
        (
            "[corpus]",
            "actions = { kind = \"phrases\", mining = { max_tokens = 1 } }\n[corpus]",
            &["actions.mining.max_tokens: found the integer 1", "from 2 to 64"],
        ),
        ("[network]", &relevance("noise = 0.5"), &["network.noise", "0.5", "relevance"]),
        (
            "[network]",
            &relevance("distribution = { kind = \"categorical\", low = 0.0, high = 1.0 }"),
            &["network.distribution", "relevance"],
        ),
        (
            "n_prompt_tokens = 1",
            "n_prompt_tokens = 1\nn_prompt_lines = 1",
            &["environment.n_prompt_tokens", "1", "lines"],
        ),
        ("name = \"tiny\"", "name = tiny", &["tiny.toml is not valid TOML", "name = tiny"]),
    ];
    for (old, new, parts) in table {
        let folder = tiny(&[(old, new)]);
        dqn(folder.path(), &["config", "check", "--config", "tiny.toml"]).must_be_refused(parts);
        dqn(folder.path(), &["train", "--config", "tiny.toml"]).must_be_refused(parts);
        assert!(!folder.path().join("runs").exists(), "a run was made in spite of {new:?}");
    }
}

#[test]
fn candidates_need_a_prior_and_long_actions_a_task_that_takes_them() {
    let refused = |config: &str, parts: &[&str]| {
        let folder = tiny(&[]);
        std::fs::write(folder.path().join("other.toml"), config).unwrap();
        dqn(folder.path(), &["config", "check", "--config", "other.toml"]).must_be_refused(parts);
    };
    let candidates = "actions = { kind = \"vocabulary\", candidates = { top_k = 5 } }";
    let task = "corpus = { source = { texts = [\"a b\"] } }\nenvironment = { kind = \"next_token\" }";
    refused(
        &format!("{candidates}\n{task}"),
        &["actions.candidates.top_k: found 5", "[prior]", "only tasks of free writing have candidates"],
    );
    refused(
        &format!("actions = {{ kind = \"sentences\" }}\n{task}"),
        &["actions.kind: found sentences", "only tasks of free writing have actions of several tokens"],
    );
}

#[test]
fn a_prior_is_not_weighed_into_a_policy_that_is_learned_whole() {
    let folder = tiny(&[]);
    let learned_whole = ["learner.objective={kind=\"imitation\"}", "learner.bootstrap={kind=\"max\"}"];
    let check = |more: &[&str]| {
        let changes = learned_whole.iter().chain(more).flat_map(|change| ["--set", change]);
        dqn(folder.path(), &["config", "check", "--config", "tiny.toml"].into_iter().chain(changes).collect::<Vec<_>>())
    };
    let ran = check(&[]).ends_with(BAD_REQUEST);
    assert!(ran.stderr.contains("exploration.from_prior: found true"), "{}", ran.stderr);
    check(&["exploration.from_prior=false"]).ends_with(DONE);
}

#[test]
fn several_faults_are_told_at_once() {
    let folder = tiny(&[
        ("n_prompt_tokens = 1", "n_prompt = 1"),
        ("order = 2", "order = 9"),
        ("max_tokens = 6", "max_tokens = true"),
    ]);
    let ran = dqn(folder.path(), &["config", "check", "--config", "tiny.toml"]).ends_with(BAD_REQUEST);
    assert!(ran.stderr.contains("3 problems"), "{}", ran.stderr);
    for place in ["environment.n_prompt", "prior.order", "environment.max_tokens"] {
        assert!(ran.stderr.contains(place), "{place} is missing in:\n{}", ran.stderr);
    }
}

#[test]
fn show_resolves_defaults_and_changes() {
    let folder = tiny(&[]);
    let arguments = ["config", "show", "--config", "tiny.toml", "--set", "learner.discount=0.5", "--set", "name=other"];
    let shown = dqn(folder.path(), &arguments).ends_with(DONE).stdout;
    for line in ["discount = 0.5", "name = \"other\"", "print_episodes = false"] {
        assert!(shown.contains(line), "{line} is missing in:\n{shown}");
    }
    // The path is a whole one, so that what was shown means the same from any folder.
    assert!(shown.contains(folder.path().join("poems.txt").to_str().unwrap()), "{shown}");

    std::fs::create_dir(folder.path().join("elsewhere")).unwrap();
    std::fs::write(folder.path().join("elsewhere/shown.toml"), &shown).unwrap();
    let again = dqn(&folder.path().join("elsewhere"), &["config", "show", "--config", "shown.toml"]).ends_with(DONE);
    assert_eq!(again.stdout, shown);
}

#[test]
fn overrides_are_checked_as_the_file_is() {
    let folder = tiny(&[]);
    let check = |set: &str| dqn(folder.path(), &["config", "check", "--config", "tiny.toml", "--set", set]);
    check("prior.order").must_be_refused(&["prior.order", "="]);
    check("prior.order=7").must_be_refused(&["prior.order: found the integer 7"]);
    check("learner.rate=7").must_be_refused(&["learner.rate"]);
    check("prior.order=3").ends_with(DONE);
}

#[test]
fn the_schema_is_json_and_the_reference_markdown() {
    let folder = tiny(&[]);
    let schema = dqn(folder.path(), &["config", "schema"]).ends_with(DONE).stdout;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert!(schema["properties"]["learner"].is_object());
    let page = dqn(folder.path(), &["config", "schema", "--markdown"]).ends_with(DONE).stdout;
    assert!(page.starts_with("# Configuration\n") && page.contains("n_step"), "{page}");
}
