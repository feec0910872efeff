//! The result of a run: what was learned, beside everything it is compared with.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;
use dqn_core::{Policy, Progress, QNetwork};
use dqn_env::EnvironmentConfig;
use dqn_mdp::Trajectory;
use dqn_model::TextQNetwork;
use dqn_text::split::Split;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::evaluation::{Evaluation, Evaluator, PolicyPerplexity};
use crate::experiment::{Experiment, Learned};
use crate::stats::paired_difference;
use crate::steering::divergence_from_prior;

/// The splits a result is reported on: one where all parts of the run see the same text.
pub fn reported(experiment: &Experiment) -> &'static [Split] {
    let draws_starts = matches!(experiment.config.environment, EnvironmentConfig::Copy { .. });
    match experiment.config.split.is_some()
        || experiment.config.environment.has_sources()
        || draws_starts
        || experiment.is_unjudged()
    {
        true => &[Split::Train, Split::Validation, Split::Test],
        false => &[Split::Train],
    }
}

/// Everything an evaluation of a run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// One row for each policy and split.
    pub rows: Vec<Evaluation>,
    /// Names of the rows of what was learned: as it acts, and then in other ways.
    #[serde(default)]
    pub learned: Vec<String>,
    /// Mean return on training prompts minus that on test prompts, under the first learned policy.
    pub generalisation_gap: Option<f64>,
    /// The temperature, in units of Q, at which the policy predicts validation text best.
    pub fitted_temperature: Option<f64>,
    /// Texts written from the same prompts before and after learning.
    pub samples: Vec<Sample>,
    /// How far the run had come.
    pub progress: Progress,
}

/// One prompt and what was written from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The prompt or, where texts are about sources, the source.
    pub prompt: String,
    /// The whole text before learning.
    pub before: String,
    /// Return of that text.
    pub before_return: f32,
    /// The whole text after learning.
    pub after: String,
    /// Return of that text.
    pub after_return: f32,
}

/// Name of the row of the network before its first update.
pub const BEFORE: &str = "before learning";

/// Evaluates a network on `splits`, beside the baselines; nothing where `stop` is set before the end.
///
/// # Errors
/// When a split offers no starts, or an environment or reward fails.
pub fn evaluate(
    experiment: &Experiment,
    network: &TextQNetwork,
    progress: Progress,
    splits: &[Split],
    device: &Device,
    stop: &AtomicBool,
) -> Result<Option<Report>, TrainError> {
    let policies = experiment.learned_policies(progress);
    let untrained = experiment.network(device).for_acting().decoding(policies[0].decoding);
    let learned = policies.iter().map(|policy| policy.name.clone()).collect();
    let mut report = Report {
        rows: Vec::new(),
        learned,
        generalisation_gap: None,
        fitted_temperature: None,
        samples: Vec::new(),
        progress,
    };
    let perplexity = |split| PolicyPerplexity::of(experiment, network, split, acting_temperature(&policies));
    let validation = perplexity(Split::Validation)?;
    let fitted = validation.as_ref().map(PolicyPerplexity::best);
    report.fitted_temperature = validation.as_ref().zip(fitted).map(|(found, index)| found.temperatures[index]);
    let stopped = || stop.load(Ordering::SeqCst);
    for &split in splits {
        let evaluator = Evaluator::new(experiment, split, experiment.config.evaluation.n_episodes)?;
        let mut evaluator = evaluator.classifying(network.device());
        report.rows.extend(evaluator.baselines()?);
        let (before, before_episodes) = evaluator.network(BEFORE, &untrained, policies[0].policy)?;
        report.rows.push(before);
        if stopped() {
            return Ok(None);
        }
        let (mut first, episodes) = measure_first(experiment, &mut evaluator, network, &policies[0])?;
        let found = match split {
            Split::Validation => validation.as_ref().map(|found| found.perplexities.clone()),
            Split::Train | Split::Test | Split::Judge => perplexity(split)?.map(|found| found.perplexities),
        };
        first.policy_perplexity = found.zip(fitted).map(|(perplexities, index)| perplexities[index]);
        if split == splits[splits.len() - 1] {
            report.samples = samples(experiment, &before_episodes, &episodes);
        }
        report.rows.push(first);
        for Learned { name, policy, decoding } in &policies[1..] {
            report.rows.push(evaluator.network(name, &network.clone().decoding(*decoding), *policy)?.0);
        }
        compare(&mut report.rows, split, &policies[0].name, experiment.config.evaluation.seed);
        report.rows.extend(evaluator.human()?);
        if stopped() {
            return Ok(None);
        }
    }
    report.generalisation_gap = gap(&report.rows, &policies[0].name);
    Ok(Some(report))
}

/// What a network is worth on validation prompts, as it acts; no other part of the text is looked at.
///
/// # Errors
/// As [`evaluate`].
pub fn validate(experiment: &Experiment, network: &TextQNetwork, progress: Progress) -> Result<Evaluation, TrainError> {
    let policies = experiment.learned_policies(progress);
    let mut evaluator = Evaluator::new(experiment, Split::Validation, experiment.config.evaluation.n_episodes)?;
    let (row, _) = measure_first(experiment, &mut evaluator, network, &policies[0])?;
    let found = PolicyPerplexity::of(experiment, network, Split::Validation, acting_temperature(&policies))?;
    Ok(Evaluation { policy_perplexity: found.map(|found| found.perplexities[found.best()]), ..row })
}

/// The first learned policy with everything but its perplexity, and its episodes.
fn measure_first(
    experiment: &Experiment,
    evaluator: &mut Evaluator<'_>,
    network: &TextQNetwork,
    Learned { name, policy, decoding }: &Learned,
) -> Result<(Evaluation, Vec<Trajectory>), TrainError> {
    let (mut row, episodes) = evaluator.network(name, &network.clone().decoding(*decoding), *policy)?;
    row.divergence = divergence_from_prior(experiment, network, *policy, &episodes);
    row.held_out = evaluator.held_out(network, *decoding, *policy)?;
    row.diagnostics = evaluator.diagnose(&network.clone().decoding(None), &episodes)?;
    Ok((row, episodes))
}

/// The temperature of the first policy, or one unit of Q where it is greedy.
pub(crate) fn acting_temperature(policies: &[Learned]) -> f64 {
    match policies[0].policy {
        Policy::Boltzmann { temperature } | Policy::BoltzmannMode { temperature } => temperature,
        Policy::Greedy | Policy::EpsilonGreedy { .. } => 1.0,
    }
}

fn samples(experiment: &Experiment, before: &[Trajectory], after: &[Trajectory]) -> Vec<Sample> {
    let sample = |(before, after): (&Trajectory, &Trajectory)| Sample {
        prompt: experiment.shown_start(before),
        before: experiment.render(&before.tokens),
        before_return: before.episode_return(),
        after: experiment.render(&after.tokens),
        after_return: after.episode_return(),
    };
    before.iter().zip(after).take(experiment.config.evaluation.n_samples).map(sample).collect()
}

/// Tells every row of `split` by how much the policy called `policy` exceeds it from the same starts.
fn compare(rows: &mut [Evaluation], split: Split, policy: &str, seed: u64) {
    let is_learned = |row: &&Evaluation| row.split == split && row.policy == policy;
    let Some(learned) = rows.iter().find(is_learned).map(|row| row.returns.clone()) else { return };
    if rows.iter().any(|row| row.unjudged) {
        return;
    }
    // A player who played each start several times is not paired.
    let is_other = |row: &&mut Evaluation| row.split == split && row.policy != policy;
    for row in rows.iter_mut().filter(is_other).filter(|row| row.returns.len() == learned.len()) {
        row.learned_minus = Some(paired_difference(&learned, &row.returns, seed).difference);
    }
}

fn gap(rows: &[Evaluation], policy: &str) -> Option<f64> {
    if rows.iter().any(|row| row.unjudged) {
        return None;
    }
    let mean = |split: Split| {
        rows.iter().find(|row| row.policy == policy && row.split == split).map(|row| row.episode_return.mean)
    };
    Some(mean(Split::Train)? - mean(Split::Test)?)
}
