//! This project's side of `cargo xtask bench --against-pytorch`: the cases that are named, as JSON lines.
//!
//! `learn/NETWORK/VOCABULARY` and `act/NETWORK/VOCABULARY` are the cases of bench/pytorch/learning.py, with the same
//! shapes, warm-up and median. PyTorch has no part in `naive/NETWORK/VOCABULARY`, the update from 64 single
//! transitions, and `position/NETWORK/TOKENS`, one token of 32 texts after so many. All run on flex, with as many
//! threads as RAYON_NUM_THREADS says.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark reports on the terminal")]

mod shapes;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use serde_json::json;

use crate::shapes::{Acting, Learning, Reading, Way};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DEFAULT_SECONDS: f64 = 3.0;

fn main() -> ExitCode {
    let (seconds, cases) = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    let threads = n_threads();
    for case in cases {
        let Some((mut run, n_transitions)) = routine(&case) else {
            eprintln!("error: there is no case {case}; one is called learn/gru/1000");
            return ExitCode::from(2);
        };
        let median = median_duration(&mut run, Duration::from_secs_f64(seconds)).as_secs_f64();
        let line = json!({
            "case": case,
            "milliseconds": (1e7 * median).round() / 1e4,
            "threads": threads,
            "transitions_per_second": (10.0 * n_transitions as f64 / median).round() / 10.0,
        });
        println!("{line}");
    }
    ExitCode::SUCCESS
}

/// Seconds for each case, and the cases; cargo adds `--bench`.
fn arguments(mut words: impl Iterator<Item = String>) -> Result<(f64, Vec<String>), String> {
    let (mut seconds, mut cases) = (DEFAULT_SECONDS, Vec::new());
    while let Some(word) = words.next() {
        match word.as_str() {
            "--bench" => {}
            "--seconds" => {
                let value = words.next().unwrap_or_default();
                let parsed = value.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
                seconds = parsed.ok_or(format!("--seconds wants a number from 0 to 3600, not `{value}`"))?;
            }
            option if option.starts_with('-') => return Err(format!("there is no option {option}")),
            case => cases.push(case.to_owned()),
        }
    }
    Ok((seconds, cases))
}

/// As rayon counts them.
fn n_threads() -> usize {
    let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|value| value.parse().ok()).filter(|&n| n > 0);
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// What is timed in `case`, and the transitions of one run of it.
fn routine(case: &str) -> Option<(Box<dyn FnMut()>, usize)> {
    let mut parts = case.split('/');
    let (verb, name, size) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
    if parts.next().is_some() {
        return None;
    }
    let (_, torso) = shapes::torsos().into_iter().find(|(torso, _)| *torso == name)?;
    let device = Device::flex();
    let learning = |way: Way| -> (Box<dyn FnMut()>, usize) {
        let mut learning = Learning::new(&torso, size, way, &device);
        (Box::new(move || learning.update()), way.n_transitions())
    };
    match verb {
        "learn" => Some(learning(Way::Sequence)),
        "naive" => Some(learning(Way::Naive)),
        "act" => {
            let acting = Acting::new(&torso, size, &device);
            Some((Box::new(move || acting.incremental()), Acting::N_TRANSITIONS))
        }
        "position" => {
            let mut reading = Reading::new(&torso, size, &device);
            Some((Box::new(move || reading.step()), Reading::N_TEXTS))
        }
        _ => None,
    }
}

/// Median of as many runs as the budget holds, at least five, after a fifth of the budget to warm up.
fn median_duration(run: &mut dyn FnMut(), budget: Duration) -> Duration {
    let begin = Instant::now();
    let mut n_warm = 0;
    while n_warm < 2 || begin.elapsed() < budget / 5 {
        run();
        n_warm += 1;
    }
    let begin = Instant::now();
    let mut durations = Vec::new();
    while durations.len() < 5 || begin.elapsed() < budget {
        let before = Instant::now();
        run();
        durations.push(before.elapsed());
    }
    durations.sort_unstable();
    let (below, above) = (durations[(durations.len() - 1) / 2], durations[durations.len() / 2]);
    (below + above) / 2
}
