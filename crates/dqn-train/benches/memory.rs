//! Memory: replay a token, and the peak of a process that learns or acts.
//!
//! Each case runs in a process of its own, so that no peak hides another; memory is what the system counts as resident.
//! Replay holds a million tokens in episodes of 32 steps. `cargo xtask bench` prints this at its end; the cases are named
//! as in the benchmark `learning`, and the same filter chooses among them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark reports on the terminal")]

mod shapes;

use std::process::{Command, ExitCode};

use burn::tensor::Device;
use dqn_core::{Replay, ReplayConfig};
use dqn_mdp::Seed;
use regex::Regex;

use crate::shapes::{Acting, Learning, STEPS, VOCABULARIES, Way};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

const REPLAY: &str = "memory/replay";
const N_REPLAY_TOKENS: usize = 1_000_000;
const N_UPDATES: usize = 3;
/// Before the name of the case that a process of its own measures.
const ALONE: &str = "--alone";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.split_first() {
        Some((first, [case])) if first == ALONE => measure(case).map(|line| println!("{line}")),
        _ => measure_all(&words),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Every case that a word of the command line matches, all where no word is one; options are criterion's.
fn measure_all(words: &[String]) -> Result<(), String> {
    let filters = words.iter().filter(|word| !word.starts_with('-'));
    let filters: Vec<Regex> =
        filters.map(|word| Regex::new(word).map_err(|error| error.to_string())).collect::<Result<_, _>>()?;
    let program = std::env::current_exe().map_err(|error| format!("this program has no path: {error}"))?;
    for case in cases() {
        if filters.is_empty() || filters.iter().any(|filter| filter.is_match(&case)) {
            let status = Command::new(&program).args([ALONE, &case]).status();
            let status = status.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
            if !status.success() {
                return Err(format!("{case} ended with {status}"));
            }
        }
    }
    Ok(())
}

fn cases() -> Vec<String> {
    let mut cases = vec![REPLAY.to_owned()];
    for (verb, way) in [("learn", "sequence"), ("act", "incremental")] {
        for vocabulary in VOCABULARIES {
            cases.extend(shapes::torsos().map(|(name, _)| format!("{verb}/{name}/{vocabulary}/flex/{way}")));
        }
    }
    cases
}

fn measure(case: &str) -> Result<String, String> {
    if case == REPLAY {
        return replay();
    }
    let unknown = || format!("there is no case {case}");
    let parts: Vec<&str> = case.split('/').collect();
    let [verb, name, vocabulary, ..] = parts[..] else { return Err(unknown()) };
    let (_, torso) = shapes::torsos().into_iter().find(|(torso, _)| *torso == name).ok_or_else(unknown)?;
    let vocabulary = vocabulary.parse().map_err(|_| unknown())?;
    let device = Device::flex();
    match verb {
        "learn" => {
            let mut learning = Learning::new(&torso, vocabulary, Way::Sequence, &device);
            (0..N_UPDATES).for_each(|_| learning.update());
        }
        _ => Acting::new(&torso, vocabulary, &device).incremental(),
    }
    Ok(format!("{case:<44} peak {:>6.0} MiB", resident(PEAK)? / f64::from(1 << 20)))
}

/// Fills replay and compares the memory of the process before and after.
fn replay() -> Result<String, String> {
    let mut rng = Seed(5).stream("replay");
    let config = ReplayConfig { capacity_steps: N_REPLAY_TOKENS, ..ReplayConfig::default() };
    let before = resident(NOW)?;
    let mut replay = Replay::new(config, STEPS);
    let mut n_tokens = 0;
    while n_tokens < N_REPLAY_TOKENS {
        let episode = shapes::episode(VOCABULARIES[1], &mut rng);
        n_tokens += episode.tokens.len();
        replay.push(episode);
    }
    let bytes_per_token = (resident(NOW)? - before) / n_tokens as f64;
    let n_steps = replay.n_steps();
    Ok(format!("{REPLAY:<44} {bytes_per_token:.1} bytes a token ({n_tokens} tokens, {n_steps} steps)"))
}

/// Largest resident memory so far.
const PEAK: &str = "VmHWM:";
/// Resident memory now.
const NOW: &str = "VmRSS:";

/// Bytes, as Linux counts them for this process.
fn resident(entry: &str) -> Result<f64, String> {
    const STATUS: &str = "/proc/self/status";
    let text = std::fs::read_to_string(STATUS).map_err(|error| format!("cannot read {STATUS}: {error}"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(entry)?.trim().strip_suffix(" kB"));
    let kibibytes: Option<f64> = value.and_then(|value| value.trim().parse().ok());
    Ok(1024.0 * kibibytes.ok_or_else(|| format!("{STATUS} has no {entry}"))?)
}
