//! `generate`: writing with what a run has learned.

use dqn_core::Policy;
use dqn_train::generate::{GenerateRequest, Strategy, generate};

use crate::args::{Generate, GenerateStrategy};
use crate::console::Console;
use crate::failure::BadRequest;
use crate::saved_run::SavedRun;

/// Texts that the beam search follows at a time where nothing else is said.
const BEAM_WIDTH: usize = 8;

pub(crate) fn run(args: &Generate, console: Console) -> anyhow::Result<()> {
    let SavedRun { experiment, network, progress, .. } = SavedRun::open(&args.run)?;
    let explored = experiment.config.exploration.policy(progress);
    let strategy = args.strategy.unwrap_or(match explored {
        Policy::Boltzmann { .. } | Policy::BoltzmannMode { .. } => GenerateStrategy::Boltzmann,
        Policy::EpsilonGreedy { .. } | Policy::Greedy => GenerateStrategy::Greedy,
    });
    if args.beam_width.is_some() && strategy != GenerateStrategy::Beam {
        return Err(BadRequest("--beam-width is for --strategy beam".to_owned()).into());
    }
    let has_prior = experiment.acting_prior(Policy::Boltzmann { temperature: 1.0 }).is_some();
    if args.temperature.is_some() && strategy == GenerateStrategy::Greedy && !has_prior {
        let why = "--temperature changes nothing under --strategy greedy, as this run acts without a prior policy";
        return Err(BadRequest(why.to_owned()).into());
    }
    let strategy = match strategy {
        GenerateStrategy::Greedy => Strategy::Greedy,
        GenerateStrategy::Boltzmann => Strategy::Boltzmann,
        GenerateStrategy::Beam => {
            Strategy::Beam { width: args.beam_width.unwrap_or(BEAM_WIDTH).max(args.n), length_exponent: 1.0 }
        }
    };
    let request = GenerateRequest {
        prompt: args.prompt.clone(),
        n: args.n,
        strategy,
        temperature: args.temperature,
        seed: args.seed,
    };
    for text in generate(&experiment, &network, progress, &request)? {
        match args.json {
            true => console.json(&text)?,
            false if experiment.is_unjudged() => console.result(&text.text)?,
            false => console.result(&format!("{:>8.3}  {}", text.episode_return, text.text))?,
        }
    }
    Ok(())
}
