//! A run that was interrupted ends where an undisturbed one ends, bit for bit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use dqn_mdp::Seed;
use dqn_train::config::ExperimentConfig;
use dqn_train::experiment::Experiment;
use dqn_train::run::checkpoint::Which;
use dqn_train::run::directory::RunDirectory;
use dqn_train::runner::{self, Event, Observer, RunEnd};
use dqn_train::training::Training;
use rand::RngExt;

const CONFIG: &str = r#"
    [corpus]
    source = { builtin = "verse-zh" }
    [split]
    [tokenizer]
    kind = "char"
    max_tokens = 120
    [environment]
    kind = "generation"
    n_prompt_tokens = 1
    max_tokens = 8
    [[reward.terms]]
    kind = "reference_lm"
    [[reward.terms]]
    kind = "repetition"
    [prior]
    kind = "ngram"
    [positions]
    kind = "clauses"
    delimiters = ["，"]
    [network]
    embedding_width = 8
    torso = { kind = "gru", width = 12 }
    dropout = 0.1
    [learner]
    bootstrap = { kind = "kl", temperature = 0.1 }
    optimizer = { kind = "adam", learning_rate = { kind = "linear", start = 3e-3, end = 0.0, over = { updates = 24 } } }
    batch_windows = 8
    window_steps = 4
    context_tokens = 3
    target_update = { kind = "hard", every_updates = 5 }
    [replay]
    capacity_steps = 150
    warmup_steps = 40
    [exploration]
    kind = "boltzmann"
    temperature = { kind = "exponential", start = 0.2, end = 0.1, over = { steps = 300 } }
    [training]
    parallel_episodes = 4
    updates_per_round = 2
    stop_after = { updates = 24 }
    checkpoint_every_updates = 4
    evaluate_every_updates = 6
    [evaluation]
    n_episodes = 4
    n_episodes_while_training = 4
"#;

/// The same task with phrases for actions, few of them candidates, valued by their text.
fn by_text() -> String {
    let actions = "actions = { kind = \"phrases\", mining = { max_phrases = 20 }, candidates = { top_k = 9 } }\n";
    let config = CONFIG.replace("dropout = 0.1", "head = { kind = \"relevance\", width = 6 }");
    format!("{actions}{config}")
}

/// Asks the run to stop after some rounds.
struct StopAfter<'a> {
    rounds_left: Option<usize>,
    stop: &'a AtomicBool,
}

impl Observer for StopAfter<'_> {
    fn on(&mut self, event: Event<'_>) {
        if let (Event::Round { .. }, Some(left)) = (event, &mut self.rounds_left) {
            *left = left.saturating_sub(1);
            self.stop.store(*left == 0, Ordering::SeqCst);
        }
    }
}

fn run(experiment: &Experiment, path: &Path, device: &Device, resume: bool, rounds: Option<usize>) -> bool {
    let stop = AtomicBool::new(false);
    let directory = match resume {
        true => RunDirectory::open_for_writing(path).unwrap(),
        false => runner::create(path, experiment, "test").unwrap(),
    };
    let mut observer = StopAfter { rounds_left: rounds, stop: &stop };
    let end = runner::run(experiment, &directory, device, resume, &stop, &mut observer).unwrap();
    matches!(end, RunEnd::Finished(_))
}

/// Bits of every value of one column of the metrics that does not depend on the clock.
fn metrics(path: &Path) -> Vec<(u64, String, u64)> {
    let records = dqn_train::run::metrics::read_records(&path.join("metrics.jsonl")).unwrap();
    let timeless = |name: &String| !name.starts_with("speed/");
    records
        .iter()
        .flat_map(|record| {
            let values = record.scalars.iter().filter(|(name, _)| timeless(name));
            values.map(|(name, value)| (record.update, name.clone(), value.to_bits())).collect::<Vec<_>>()
        })
        .collect()
}

/// A run of `config`, undisturbed and interrupted: twice by request, `rounds` after its begin and again later, then once
/// so that what was learned after the last checkpoint is lost, as when the process is killed.
fn check(config: &str, device: &Device, rounds: [usize; 3]) {
    let experiment =
        Experiment::build(ExperimentConfig::from_toml(config, "test", &[]).unwrap(), None, device).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    assert!(run(&experiment, &whole, device, false, None));

    assert!(!run(&experiment, &broken, device, false, Some(rounds[0])));
    assert!(!run(&experiment, &broken, device, true, Some(rounds[1])));
    let checkpoints = RunDirectory::open(&broken).unwrap().checkpoints();
    let last = std::fs::read(checkpoints.path(Which::Last)).unwrap();
    assert!(!run(&experiment, &broken, device, true, Some(rounds[2])));
    std::fs::write(checkpoints.path(Which::Last), last).unwrap();
    assert!(run(&experiment, &broken, device, true, None));

    let parts = |path: &Path| RunDirectory::open(path).unwrap().checkpoints().load(Which::Last).unwrap().parts;
    let (expected, found) = (parts(&whole), parts(&broken));
    for name in ["online", "target", "replay", "state"] {
        assert!(expected.get(name) == found.get(name), "the part {name:?} differs");
    }
    assert_eq!(metrics(&broken), metrics(&whole));
    let samples = |path: &Path| std::fs::read_to_string(path.join("samples.jsonl")).unwrap();
    assert_eq!(samples(&broken), samples(&whole));
    assert!(!samples(&whole).is_empty());
}

#[test]
fn a_run_that_pauses_to_be_measured_ends_as_if_it_had_not() {
    let device = Device::flex();
    let experiment =
        Experiment::build(ExperimentConfig::from_toml(CONFIG, "test", &[]).unwrap(), None, &device).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (whole, paused) = (folder.path().join("whole"), folder.path().join("paused"));
    let stop = AtomicBool::new(false);
    let mut observer = StopAfter { rounds_left: None, stop: &stop };
    let directory = runner::create(&whole, &experiment, "test").unwrap();
    let end = runner::run(&experiment, &directory, &device, false, &stop, &mut observer).unwrap();
    let RunEnd::Finished(report) = end else { panic!("nobody stopped the run") };
    drop(directory);

    let directory = runner::create(&paused, &experiment, "test").unwrap();
    let mut until = |resume: bool, until_updates: Option<u64>| {
        runner::run_until(&experiment, &directory, &device, resume, until_updates, &stop, &mut observer)
            .unwrap()
            .unwrap()
    };
    // A round makes two updates, so that the pause comes after the eighth.
    let early = until(false, Some(7));
    assert_eq!(early.progress.updates, 8);
    // Asked for what it has done already, it does no more and measures the same.
    assert_eq!(until(true, Some(8)), early);
    assert_eq!(until(true, Some(20)).progress.updates, 20);
    let last = until(true, None);
    assert_eq!(last.progress, report.progress);
    let split = dqn_text::split::Split::Validation;
    let row = report.rows.iter().find(|row| row.split == split && row.policy == report.learned[0]).unwrap();
    assert_eq!(&last.evaluation, row);
    assert_ne!(early.evaluation.episode_return, last.evaluation.episode_return);

    let parts = |path: &Path| RunDirectory::open(path).unwrap().checkpoints().load(Which::Last).unwrap().parts;
    let (expected, found) = (parts(&whole), parts(&paused));
    for name in ["online", "target", "replay", "state"] {
        assert!(expected.get(name) == found.get(name), "the part {name:?} differs");
    }
    assert_eq!(metrics(&paused), metrics(&whole));
    // The steps of a batch are told apart in the first update, the eleventh and the twenty-first.
    let measured = metrics(&whole).into_iter().filter(|(_, name, _)| name == "learn/td_error_p95");
    assert_eq!(measured.map(|(update, ..)| update).collect::<Vec<_>>(), [2, 12, 22]);
}

#[test]
fn runs_beside_each_other_learn_what_each_learns_alone() {
    let folder = tempfile::tempdir().unwrap();
    let online = |name: String, dropout: &str| {
        let (path, device) = (folder.path().join(name), Device::flex());
        let config = CONFIG.replace("dropout = 0.1", &format!("dropout = {dropout}"));
        let config = ExperimentConfig::from_toml(&config, "test", &[]).unwrap();
        assert!(run(&Experiment::build(config, None, &device).unwrap(), &path, &device, false, None));
        RunDirectory::open(&path).unwrap().checkpoints().load(Which::Last).unwrap().parts.remove("online").unwrap()
    };
    let dropouts = (0_usize..).zip(["0.1", "0.0", "0.1", "0.3"]);
    let alone: Vec<_> = dropouts.clone().map(|(index, one)| online(format!("alone-{index}"), one)).collect();
    let online = &online;
    let beside: Vec<_> = std::thread::scope(|scope| {
        let begin = |(index, one): (usize, _)| scope.spawn(move || online(format!("beside-{index}"), one));
        let runs: Vec<_> = dropouts.map(begin).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(alone == beside, "what a run draws depends on those beside it");
    assert!(alone[0] == alone[2] && alone[0] != alone[1] && alone[0] != alone[3]);
}

#[test]
fn resumed_runs_end_in_the_same_bits_on_flex() {
    check(CONFIG, &Device::flex(), [6, 2, 2]);
}

#[test]
fn resumed_runs_that_value_actions_by_text_end_in_the_same_bits() {
    check(&by_text(), &Device::flex(), [6, 2, 2]);
}

#[test]
#[expect(deprecated, reason = "burn-ndarray is one of the backends this project promises")]
fn resumed_runs_end_in_the_same_bits_on_ndarray() {
    check(CONFIG, &Device::ndarray(), [6, 2, 2]);
}

/// Ten updates, one a round, of a small network; what is missing are the tables `network`, `learner` and those after them.
const VARIANT: &str = r#"
    [corpus]
    source = { builtin = "verse-zh" }
    [split]
    [tokenizer]
    kind = "char"
    max_tokens = 60
    [environment]
    kind = "generation"
    n_prompt_tokens = 1
    max_tokens = 6
    [[reward.terms]]
    kind = "repetition"
    [evaluation]
    n_episodes = 2
    n_episodes_while_training = 2
"#;

/// The rhythm of a run that plays.
const PLAYED: &str = r#"
    parallel_episodes = 4
    stop_after = { updates = 10 }
    checkpoint_every_updates = 3
    evaluate_every_updates = 4
"#;

/// A variant is interrupted at rounds drawn by its name: anywhere, also where no checkpoint was due.
fn check_variant(name: &str, tables: &str) {
    let mut rng = Seed(1).stream(name);
    let rounds = [rng.random_range(1..5), rng.random_range(1..3), rng.random_range(1..3)];
    check(&format!("{VARIANT}{tables}"), &Device::flex(), rounds);
}

#[test]
fn a_rainbow_resumes_with_its_priorities_and_noise() {
    let tables = r#"
        [network]
        embedding_width = 8
        torso = { kind = "gru", width = 8 }
        distribution = { kind = "categorical", low = -2.0, high = 2.0, n_atoms = 7 }
        noise = 0.5
        [learner]
        bootstrap = { kind = "double" }
        n_step = 3
        batch_windows = 6
        window_steps = 3
        target_update = { kind = "hard", every_updates = 4 }
        [replay]
        capacity_steps = 40
        warmup_steps = 1
        priority = { alpha = 0.6, beta = { kind = "linear", start = 0.4, end = 1.0, over = { updates = 10 } } }
        [exploration]
        kind = "epsilon_greedy"
        epsilon = { kind = "constant", value = 0.0 }
        [training]"#;
    check_variant("rainbow", &format!("{tables}{PLAYED}"));
}

#[test]
fn implicit_quantiles_resume_with_their_levels() {
    let tables = r#"
        [network]
        embedding_width = 8
        torso = { kind = "mlp", window_tokens = 3, hidden = [8] }
        distribution = { kind = "implicit", n_cosines = 4, n_samples = 3, n_target_samples = 2, n_acting_samples = 4 }
        [learner]
        bootstrap = { kind = "double" }
        batch_windows = 6
        window_steps = 2
        target_update = { kind = "polyak", rate = 0.1 }
        optimizer = { kind = "rms_prop", learning_rate = { kind = "constant", value = 1e-3 }, momentum = 0.5 }
        [replay]
        capacity_steps = 40
        warmup_steps = 1
        [training]"#;
    check_variant("implicit", &format!("{tables}{PLAYED}"));
}

#[test]
fn imitation_of_text_resumes() {
    check_variant(
        "imitation",
        r#"
        [network]
        embedding_width = 8
        torso = { kind = "gru", width = 8 }
        head = { kind = "scalar" }
        dropout = 0.2
        [learner]
        objective = { kind = "imitation" }
        batch_windows = 6
        window_steps = 6
        [exploration]
        kind = "boltzmann"
        temperature = { kind = "constant", value = 1.0 }
        [training]
        source = { kind = "text", best_fraction = 0.5 }
        stop_after = { updates = 10 }
        checkpoint_every_updates = 3
        evaluate_every_updates = 4"#,
    );
}

#[test]
fn lambda_returns_of_fresh_episodes_resume() {
    let tables = r#"
        [network]
        embedding_width = 8
        torso = { kind = "gru", width = 8 }
        layer_norm = true
        [learner]
        bootstrap = { kind = "max" }
        lambda = 0.65
        target_update = { kind = "hard", every_updates = 1 }
        batch_windows = 6
        window_steps = 6
        [replay]
        warmup_steps = 1
        only_fresh = true
        [training]
        updates_per_round = 2
        parallel_episodes = 4
        stop_after = { updates = 20 }
        checkpoint_every_updates = 3
        evaluate_every_updates = 8"#;
    check_variant("pqn", tables);
}

#[test]
fn a_discriminator_resumes_with_what_it_has_learned_and_remembers() {
    let config = CONFIG.replace("max_tokens = 120", "max_tokens = 2000").replace("max_tokens = 8", "max_tokens = 14");
    let discriminator = "[discriminator]\nbatch_texts = 6\nupdates_before = 2\nremembered_texts = 9\n[evaluation]";
    check(&config.replace("[evaluation]", discriminator), &Device::flex(), [5, 3, 2]);
}

/// The other settings are those of a textbook DQN.
fn check_torso(torso: &str) {
    let tables = format!(
        r#"
        [network]
        embedding_width = 8
        torso = {torso}
        [learner]
        batch_windows = 6
        window_steps = 3
        context_tokens = 2
        optimizer = {{ kind = "adam_w", learning_rate = {{ kind = "constant", value = 1e-3 }} }}
        [replay]
        capacity_steps = 40
        warmup_steps = 1
        [training]"#
    );
    check_variant(torso, &format!("{tables}{PLAYED}"));
}

#[test]
fn every_torso_resumes() {
    check_torso(r#"{ kind = "lstm", width = 8, n_layers = 2 }"#);
    check_torso(r#"{ kind = "cnn", width = 8, kernel_size = 2, n_layers = 2 }"#);
    check_torso(r#"{ kind = "transformer", width = 8, n_heads = 2, n_layers = 1, expansion = 2 }"#);
}

#[test]
fn a_checkpoint_of_another_variant_is_refused() {
    let built = |distribution: &str| {
        let tables = format!(
            "[network]\nembedding_width = 4\ntorso = {{ kind = \"gru\", width = 4 }}\n{distribution}\n[learner]\nbootstrap = {{ kind = \"max\" }}"
        );
        Experiment::build(
            ExperimentConfig::from_toml(&format!("{VARIANT}{tables}"), "test", &[]).unwrap(),
            None,
            &Device::flex(),
        )
        .unwrap()
    };
    let implicit = "distribution = { kind = \"implicit\", n_cosines = 4 }";
    let categorical = "distribution = { kind = \"categorical\", low = -1.0, high = 1.0, n_atoms = 5 }";
    let (saved, other) = (built(implicit), built(categorical));
    let device = Device::flex();
    let parts = Training::new(&saved, &device).unwrap().save().unwrap();
    let refused = Training::new(&other, &device).unwrap().load(&parts).unwrap_err().to_string();
    assert!(refused.contains("online"), "{refused}");
    Training::new(&saved, &device).unwrap().load(&parts).unwrap();
}

/// A game learned from scripted moves, and from episodes of its own after `play_after` updates.
fn check_game(objective: &str, play_after: Option<u64>) {
    let play_after = play_after.map_or_else(String::new, |updates| format!("play_after_updates = {updates}"));
    let config = format!(
        r#"
        [environment]
        kind = "maze"
        map = {{ name = "umaze" }}
        starts = "all"
        max_steps = 8
        [tokenizer]
        kind = "line"
        [network]
        embedding_width = 8
        torso = {{ kind = "gru", width = 8 }}
        [learner]
        {objective}
        imitation = 0.5
        batch_windows = 4
        window_steps = 3
        [training]
        source = {{ kind = "scripted", player = {{ kind = "mixture", skill = 0.5 }}, n_episodes = 9 }}
        {play_after}
        parallel_episodes = 2
        stop_after = {{ updates = 10 }}
        checkpoint_every_updates = 3
        evaluate_every_updates = 4
        [evaluation]
        n_episodes = 2
        n_episodes_while_training = 2
        "#
    );
    check(&config, &Device::flex(), [2, 2, 2]);
}

#[test]
fn ilql_resumes_although_its_log_is_not_saved() {
    check_game(r#"objective = { kind = "ilql" }"#, None);
}

#[test]
fn learning_from_a_log_and_then_from_play_resumes() {
    check_game(r#"objective = { kind = "td" }"#, Some(4));
}

#[test]
fn a_log_that_is_read_as_learning_goes_on_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let line = |at: usize| {
        let turns = format!(r#"[["k\n", false], ["n\n", true], ["{}\n", true]]"#, ["a", "b"][at % 2]);
        format!(r#"{{"turns": {turns}, "rewards": [0, {}], "outcome": "terminated"}}"#, at % 2)
    };
    std::fs::write(&path, (0..9).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    let config = format!(
        r#"
        [environment]
        kind = "random_walk"
        [tokenizer]
        kind = "line"
        [network]
        embedding_width = 8
        torso = {{ kind = "gru", width = 8 }}
        [learner]
        batch_windows = 3
        window_steps = 1
        [replay]
        capacity_steps = 8
        [training]
        source = {{ kind = "log", path = {path:?}, stream = true }}
        stop_after = {{ updates = 10 }}
        checkpoint_every_updates = 3
        evaluate_every_updates = 4
        [evaluation]
        n_episodes = 2
        n_episodes_while_training = 2
        "#
    );
    check(&config, &Device::flex(), [2, 2, 2]);
}

/// A file of the repository's own data.
fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data").join(name).display().to_string()
}

#[test]
fn translation_resumes() {
    let [training, held_out] = ["translation-small/validation.tsv", "translation-small/test.tsv"].map(data);
    let config = format!(
        r#"
        [environment]
        kind = "translation"
        pairs = {{ kind = "tables", training = "{training}", validation = "{held_out}", test = "{held_out}" }}
        max_tokens = 6
        [tokenizer]
        kind = "char"
        [prior]
        kind = "ngram"
        [[reward.terms]]
        kind = "similarity"
        metric = {{ kind = "chrf" }}
        when = "difference"
        [network]
        embedding_width = 8
        encoder = {{ embedding_width = 8, layers = {{ kind = "gru", width = 8 }}, n_attention_heads = 2 }}
        torso = {{ kind = "gru", width = 8 }}
        dropout = 0.1
        [learner]
        bootstrap = {{ kind = "kl", temperature = 0.1 }}
        batch_windows = 6
        window_steps = 3
        context_tokens = 2
        [replay]
        capacity_steps = 150
        warmup_steps = 10
        [exploration]
        kind = "boltzmann"
        temperature = {{ kind = "constant", value = 0.1 }}
        from_prior = true
        [training]
        parallel_episodes = 4
        stop_after = {{ updates = 14 }}
        checkpoint_every_updates = 3
        evaluate_every_updates = 5
        [evaluation]
        n_episodes = 4
        n_episodes_while_training = 4"#
    );
    check(&config, &Device::flex(), [5, 3, 2]);
}

#[test]
fn speech_with_masks_over_recordings_resumes() {
    let [training, held_out] = ["speech-smoke/training.tsv", "speech-smoke/test.tsv"].map(data);
    let config = format!(
        r#"
        [environment]
        kind = "speech"
        training = "{training}"
        validation = "{held_out}"
        test = "{held_out}"
        features = {{ n_mels = 8 }}
        augmentation = {{ max_mask_mels = 3 }}
        max_tokens = 4
        [tokenizer]
        kind = "word"
        [[reward.terms]]
        kind = "similarity"
        metric = {{ kind = "error_rate" }}
        [network]
        embedding_width = 8
        encoder = {{ embedding_width = 8, layers = {{ kind = "transformer", width = 8, n_heads = 2, n_layers = 1, expansion = 2 }} }}
        torso = {{ kind = "transformer", width = 8, n_heads = 2, n_layers = 1, expansion = 2 }}
        head = {{ kind = "scalar" }}
        dropout = 0.1
        [learner]
        objective = {{ kind = "imitation" }}
        batch_windows = 4
        window_steps = 4
        [replay]
        length_pool_batches = 2
        [exploration]
        kind = "epsilon_greedy"
        epsilon = {{ kind = "constant", value = 0.0 }}
        [training]
        source = {{ kind = "text" }}
        stop_after = {{ updates = 14 }}
        checkpoint_every_updates = 3
        evaluate_every_updates = 5
        [evaluation]
        n_episodes = 4
        n_episodes_while_training = 4"#
    );
    check(&config, &Device::flex(), [5, 3, 2]);
}

/// An experiment file of the smoke test with other values, at the beginning of a run of 14 updates.
fn smoke(name: &str, changes: &[(&str, &str)]) -> String {
    let folder = Path::new("../../configs/smoke");
    let mut config = std::fs::read_to_string(folder.join(name)).unwrap();
    let log = folder.join("pretrained.jsonl").display().to_string();
    let rhythm = "stop_after = { updates = 14 }\ncheckpoint_every_updates = 3\nevaluate_every_updates = 5";
    let usual = [
        ("pretrained.jsonl", log.as_str()),
        ("stop_after = { updates = 20 }\nevaluate_every_updates = 10", rhythm),
        ("stop_after = { updates = 10 }", rhythm),
    ];
    for (from, to) in usual {
        config = config.replace(from, to);
    }
    for (from, to) in changes {
        assert!(config.contains(from), "{name}: {from}");
        config = config.replace(from, to);
    }
    config
}

#[test]
fn groups_of_texts_resume_in_parts_of_batches() {
    let parts = ("batch_windows = 8", "batch_windows = 8\nmicro_batch_windows = 4");
    check(&smoke("group-consistency.toml", &[parts]), &Device::flex(), [5, 3, 2]);
}

#[test]
fn optimal_completion_resumes() {
    check(&smoke("optimal-completion.toml", &[]), &Device::flex(), [5, 3, 2]);
}

/// Heads on a frozen model, whose kept states are gone after an interruption, and adapters in it.
const ON_A_MODEL: [&[(&str, &str)]; 2] = [
    &[("[learner]", "[learner]\nobjective = { kind = \"ilql\" }")],
    &[
        (
            "/llama\" }\nhead = { kind = \"scalar\" }",
            "/llama\", lora = { rank = 2, alpha = 4.0 } }\nhead = { kind = \"language_model\" }",
        ),
        ("[learner]", "[learner]\nobjective = { kind = \"imitation\" }"),
        (
            "[training]",
            "[exploration]\nkind = \"boltzmann\"\ntemperature = { kind = \"constant\", value = 1.0 }\n[training]",
        ),
    ],
];

#[test]
fn learning_on_a_pretrained_model_resumes() {
    for changes in ON_A_MODEL {
        check(&smoke("pretrained.toml", changes), &Device::flex(), [1, 1, 1]);
    }
}

#[test]
fn another_model_in_the_place_of_the_first_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (model, path) = (folder.path().join("model"), folder.path().join("run"));
    let golden = Path::new("../../crates/dqn-model/tests/golden/pretrained");
    let put = |name: &str| {
        std::fs::create_dir_all(&model).unwrap();
        for entry in std::fs::read_dir(golden.join(name)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
        }
    };
    put("llama");
    let changed = ("../../crates/dqn-model/tests/golden/pretrained/llama", model.to_str().unwrap());
    let config = ExperimentConfig::from_toml(&smoke("pretrained.toml", &[changed]), "test", &[]).unwrap();
    let device = Device::flex();
    let experiment = Experiment::build(config, None, &device).unwrap();
    assert!(run(&experiment, &path, &device, false, None));
    let open = || runner::open_experiment(&RunDirectory::open(&path).unwrap(), &device).map(|_| ());
    open().unwrap();
    // One number of the parameters is another one.
    let weights = model.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let refused = open().unwrap_err().to_string();
    assert!(refused.contains(&experiment.others[0]), "{refused}");
}
