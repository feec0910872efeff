//! The result of a run in words and as JSON.

use dqn_core::Progress;
use dqn_env::EnvironmentConfig;
use dqn_text::split::Split;
use dqn_train::evaluation::{Answers, Evaluation};
use dqn_train::report::{BEFORE, Report};
use dqn_train::run::metrics::Record;
use dqn_train::stats::Interval;
use serde::Serialize;

use crate::table;

/// Everything that is known of a finished run, as `eval/report.json` has it.
#[derive(Debug, Serialize)]
pub(crate) struct RunReport<'a> {
    /// Time and speed; nothing where the metrics hold no round.
    pub(crate) speed: Option<Speed>,
    pub(crate) report: &'a Report,
}

/// How fast a run was, over all the times it was resumed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Speed {
    /// Seconds of training and of the evaluations in between.
    pub(crate) wall_seconds: f64,
    /// Actions taken in a second of acting; each writes a token or more. Absent where the run learned from text.
    pub(crate) acting_steps_per_second: Option<f64>,
    /// Actions taken in a second of the whole.
    pub(crate) steps_per_second: Option<f64>,
}

impl Speed {
    /// The speed that the metrics of a run tell.
    pub(crate) fn of(records: &[Record]) -> Option<Self> {
        let last = records.last()?;
        let (mut n_steps, mut acting_seconds) = (0, 0.0);
        for record in records {
            if let Some(speed) = record.scalars.get("speed/acting_steps_per_second").filter(|speed| **speed > 0.0) {
                acting_seconds += (record.step - n_steps) as f64 / speed;
                n_steps = record.step;
            }
        }
        let rate = |n_steps: u64, seconds: f64| (n_steps > 0 && seconds > 0.0).then(|| n_steps as f64 / seconds);
        Some(Self {
            wall_seconds: last.wall_seconds,
            acting_steps_per_second: rate(n_steps, acting_seconds),
            steps_per_second: rate(last.step, last.wall_seconds),
        })
    }
}

/// What `eval --json` tells of a split: measures of the first learned policy, and then all of every policy.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct SplitResult {
    split: Split,
    episode_return: Interval,
    policy_perplexity: Option<f64>,
    reference_perplexity: Option<f64>,
    bleu: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<Answers>,
    distinct_2: Option<f64>,
    taken_for_human: Option<f64>,
    n_episodes: usize,
    seed: u64,
    policies: Vec<Evaluation>,
}

/// The results on each split; `policy` is the first learned one.
pub(crate) fn split_results(report: &Report, policy: &str) -> Vec<SplitResult> {
    let learned = report.rows.iter().filter(|row| row.policy == policy);
    learned
        .map(|row| SplitResult {
            split: row.split,
            episode_return: row.episode_return,
            policy_perplexity: row.policy_perplexity,
            reference_perplexity: row.reference_perplexity,
            bleu: row.bleu,
            answers: row.answers,
            distinct_2: row.distinct_2,
            taken_for_human: row.taken_for_human,
            n_episodes: row.n_episodes,
            seed: row.seed,
            policies: report.rows.iter().filter(|other| other.split == row.split).cloned().collect(),
        })
        .collect()
}

/// The whole report as text.
pub(crate) fn text(RunReport { speed, report }: &RunReport<'_>) -> String {
    let mut blocks = tables(report);
    let Progress { steps, updates, episodes } = report.progress;
    let mut facts = Vec::new();
    if let Some(gap) = report.generalisation_gap {
        facts.push(format!("Generalisation gap (return on train prompts minus test prompts): {gap:.3}"));
    }
    if let Some(temperature) = report.fitted_temperature {
        facts.push(format!("Policy perplexity is at temperature {temperature:.4}, fitted on validation text"));
    }
    if let Some(signature) = report.rows.iter().find_map(|row| row.bleu_signature.as_ref()) {
        facts.push(format!("BLEU signature: {signature}"));
    }
    facts.push(match episodes {
        0 => format!("Learned in {updates} updates from what was there before; nothing was played"),
        _ => format!("Learned from {episodes} episodes of {steps} steps, in {updates} updates"),
    });
    if let Some(Speed { wall_seconds, acting_steps_per_second, steps_per_second }) = speed {
        let mut fact = format!("Wall time {wall_seconds:.1} s");
        if let (Some(whole), Some(acting)) = (steps_per_second, acting_steps_per_second) {
            fact += &format!("; {whole:.0} steps/s, and {acting:.0} steps/s of the time spent acting");
        }
        facts.push(fact);
    }
    blocks.push(facts.join("\n"));
    blocks.extend(samples(report));
    blocks.join("\n\n")
}

/// A table for each split, and the terms of the reward on the last of them.
pub(crate) fn tables(report: &Report) -> Vec<String> {
    let mut splits: Vec<Split> = report.rows.iter().map(|row| row.split).collect();
    splits.dedup();
    let of = |split: Split| -> Vec<&Evaluation> { report.rows.iter().filter(|row| row.split == split).collect() };
    let mut blocks: Vec<String> = splits
        .iter()
        .map(|&split| {
            let rows = of(split);
            let n_episodes = rows.iter().map(|row| row.n_episodes).max().unwrap_or(0);
            let plural = if n_episodes == 1 { "" } else { "s" };
            format!("On {split} prompts ({n_episodes} episode{plural}):\n\n{}", table::evaluations("policy", &rows))
        })
        .collect();
    if let Some((split, terms)) = splits.last().and_then(|&split| Some((split, table::terms(&of(split))?))) {
        blocks.push(format!("What each term of the reward gave on {split} prompts:\n\n{terms}"));
    }
    blocks
}

fn samples(report: &Report) -> Option<String> {
    let is_judged = report.rows.iter().all(|row| !row.unjudged);
    let shown = |text: &str, episode_return: f32| match is_judged {
        true => format!("{}  (return {episode_return:.3})", on_one_line(text)),
        false => on_one_line(text),
    };
    let lines = report.samples.iter().map(|sample| {
        let before = shown(&sample.before, sample.before_return);
        // A source is no beginning of the texts about it.
        let source = match sample.after.starts_with(&sample.prompt) {
            true => String::new(),
            false => format!("  {}\n", on_one_line(&sample.prompt)),
        };
        format!("{source}  {before}\n    -> {}", shown(&sample.after, sample.after_return))
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| format!("Samples {BEFORE} and after, from the same prompts:\n\n{}", lines.join("\n")))
}

/// Most characters of a text that is shown as a sample.
const SAMPLE_CHARACTERS: usize = 200;

/// A text as one line, cut where it is long.
fn on_one_line(text: &str) -> String {
    let text = text.trim_end().replace('\n', " / ");
    match text.char_indices().nth(SAMPLE_CHARACTERS) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}

/// Commands to go on with, each with its purpose; `has_best` where the run kept its best network on the way.
pub(crate) fn next_steps(run: &str, has_best: bool, environment: &EnvironmentConfig, report: &Report) -> String {
    let config = shell_word(&format!("{run}/config.toml"));
    let run = shell_word(run);
    let (checkpoint, purpose) = match has_best {
        true => (" --checkpoint best", "measure the best network on the way"),
        false => ("", "measure it again"),
    };
    let prompt = report.samples.iter().map(|sample| sample.prompt.as_str()).find(|prompt| !prompt.is_empty());
    let option = |name: &str| prompt.map_or_else(String::new, |prompt| format!(" --{name} {}", shell_word(prompt)));
    let write = match environment {
        EnvironmentConfig::Translation(_) => format!("dqn-cli translate {run}{}", option("text")),
        EnvironmentConfig::Speech(_) => format!("dqn-cli transcribe {run} recording.wav"),
        _ => format!("dqn-cli generate {run}{} --n 5", option("prompt")),
    };
    let commands = [
        ("write more", write),
        (purpose, format!("dqn-cli eval {run}{checkpoint}")),
        ("change something", format!("dqn-cli config show --config {config} > my.toml")),
        ("and run that", "dqn-cli train --config my.toml".to_owned()),
        ("look at everything in a browser", format!("dqn-cli report {run} --open")),
        ("look at the curves", format!("tensorboard --logdir {run}")),
    ];
    let lines: Vec<String> = commands.iter().map(|(purpose, command)| format!("  {purpose:35}  {command}")).collect();
    format!("The run lies in {run}. Try next:\n{}", lines.join("\n"))
}

/// A word as a shell reads it back.
pub(crate) fn shell_word(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_./=,:+".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dqn_train::report::Sample;

    use super::*;
    use crate::table::tests::row;

    fn memory() -> EnvironmentConfig {
        EnvironmentConfig::Memory { delay: 2, n_cues: 2 }
    }

    fn report() -> Report {
        let sample = Sample {
            prompt: "春 风".to_owned(),
            before: "春风aa".to_owned(),
            before_return: -1.0,
            after: "春风又绿".to_owned(),
            after_return: 0.5,
        };
        Report {
            learned: Vec::new(),
            rows: vec![
                row("uniform random", Split::Train, -2.0),
                row("DQN sampled", Split::Train, 1.0),
                row("uniform random", Split::Test, -2.0),
                row("DQN sampled", Split::Test, 0.75),
            ],
            generalisation_gap: Some(0.25),
            fitted_temperature: None,
            samples: vec![sample],
            progress: Progress { steps: 640, updates: 20, episodes: 40 },
        }
    }

    fn record(step: u64, wall_seconds: f64, speed: Option<f64>) -> Record {
        let scalars = speed.map(|speed| ("speed/acting_steps_per_second".to_owned(), speed));
        Record { update: 0, step, episode: 0, wall_seconds, scalars: BTreeMap::from_iter(scalars) }
    }

    #[test]
    fn speed_weighs_rounds_by_their_time() {
        // 100 tokens in 1 s and 300 tokens in 1 s of acting; 400 in 4 s of everything.
        let records = [record(100, 1.5, Some(100.0)), record(100, 2.0, None), record(400, 4.0, Some(300.0))];
        let expected = Speed { wall_seconds: 4.0, acting_steps_per_second: Some(200.0), steps_per_second: Some(100.0) };
        assert_eq!(Speed::of(&records), Some(expected));
        assert_eq!(Speed::of(&[]), None);
        let of_text = Speed { wall_seconds: 1.0, acting_steps_per_second: None, steps_per_second: None };
        assert_eq!(Speed::of(&[record(0, 1.0, None)]), Some(of_text));
    }

    #[test]
    fn the_text_has_a_block_for_each_split_and_the_facts() {
        let speed =
            Some(Speed { wall_seconds: 12.0, acting_steps_per_second: Some(900.0), steps_per_second: Some(53.3) });
        let text = text(&RunReport { speed, report: &report() });
        let places: Vec<usize> = [
            "On train prompts (2 episodes):",
            "On test prompts",
            "minus test prompts): 0.250",
            "40 episodes of 640 steps, in 20 updates",
            "Wall time 12.0 s; 53 steps/s, and 900",
            "春风aa  (return -1.000)\n    -> 春风又绿  (return 0.500)",
        ]
        .map(|part| text.find(part).unwrap_or_else(|| panic!("{part:?} is missing in:\n{text}")))
        .to_vec();
        assert!(places.is_sorted(), "{places:?}");
        assert!(!text.contains("term of the reward"));
    }

    #[test]
    fn json_has_one_object_for_each_split() {
        let report = report();
        let found = serde_json::to_value(split_results(&report, "DQN sampled")).unwrap();
        let [train, test] = [&report.rows[..2], &report.rows[2..]];
        let expected = serde_json::json!([
            {"split": "train", "episode_return": {"mean": 1.0, "low": 0.5, "high": 1.5}, "policy_perplexity": null,
             "reference_perplexity": null, "bleu": null, "distinct_2": null, "taken_for_human": null, "n_episodes": 2, "seed": 0,
             "policies": train},
            {"split": "test", "episode_return": {"mean": 0.75, "low": 0.25, "high": 1.25}, "policy_perplexity": null,
             "reference_perplexity": null, "bleu": null, "distinct_2": null, "taken_for_human": null, "n_episodes": 2, "seed": 0,
             "policies": test},
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn commands_can_be_pasted_into_a_shell() {
        for (word, expected) in
            [("runs/a-1", "runs/a-1"), ("my runs", "'my runs'"), ("春风", "春风"), ("it's", r"'it'\''s'"), ("", "''")]
        {
            assert_eq!(shell_word(word), expected);
        }
        let steps = next_steps("my runs/a", false, &memory(), &report());
        assert!(steps.contains("dqn-cli generate 'my runs/a' --prompt '春 风' --n 5"), "{steps}");
        assert!(steps.contains("config show --config 'my runs/a/config.toml' > my.toml"), "{steps}");
        assert!(!steps.contains("--checkpoint best"), "{steps}");
        assert!(next_steps("a", true, &memory(), &report()).contains("dqn-cli eval a --checkpoint best"));
    }
}
