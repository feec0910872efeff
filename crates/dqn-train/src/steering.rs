//! What steering by values costs, and what it is compared with: drawing more texts and keeping the best.

use std::time::Instant;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use dqn_core::batch::DeviceBatch;
use dqn_core::{Decoding, Policy, Prior, QNetwork, Window};
use dqn_mdp::{Seed, Trajectory};
use dqn_model::TextQNetwork;
use dqn_text::split::Split;

use crate::TrainError;
use crate::evaluation::{Evaluation, Evaluator};
use crate::experiment::{Experiment, decoded_name};

/// What a steered policy is compared with: texts of the policy of the data, drawn more than once from each prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Redrawing {
    /// Keep the best of so many texts, by what the task's reward says of them; a row for each.
    pub best_of: Vec<usize>,
    /// Draw until a text earns this much, and keep the last of as many as `best_of` has at most.
    pub accepted_return: Option<f64>,
}

/// Evaluates a network on `splits` under each of `decodings`, with what each costs, and beside `redrawing`.
///
/// # Errors
/// When a split offers no starts, or an environment or reward fails.
pub fn sweep(
    experiment: &Experiment,
    network: &TextQNetwork,
    decodings: &[Decoding],
    redrawing: &Redrawing,
    splits: &[Split],
) -> Result<Vec<Evaluation>, TrainError> {
    let mut rows = Vec::new();
    for &split in splits {
        let mut evaluator = Evaluator::new(experiment, split, experiment.config.evaluation.n_episodes)?;
        for &decoding in decodings {
            let name = decoded_name("decoded", decoding);
            let begin = Instant::now();
            let (row, episodes) =
                evaluator.network(&name, &network.clone().decoding(Some(decoding)), decoding.policy())?;
            let seconds = Some(begin.elapsed().as_secs_f64());
            let divergence = Some(divergence(experiment, network, decoding, &episodes));
            rows.push(Evaluation { divergence, seconds, ..row });
        }
        rows.extend(redrawn(&mut evaluator, experiment, network, redrawing)?);
    }
    Ok(rows)
}

/// How the names of policies begin that keep the best of several texts.
pub const BEST_OF: &str = "best of ";

/// The policy of the data as it is, from which texts are drawn.
const DATA: Decoding = Decoding { beta: 0.0, with_policy: true, top_k: None, temperature: 1.0 };

/// Kullback-Leibler divergence of the steered policy from that of the data, in nats a text.
fn divergence(experiment: &Experiment, network: &TextQNetwork, decoding: Decoding, episodes: &[Trajectory]) -> f64 {
    let (steered, data) = (network.clone().decoding(Some(decoding)), network.clone().decoding(Some(DATA)));
    divergence_of(experiment, &network.device(), decoding.policy(), None, episodes, |batch| {
        let preferences = |network: &TextQNetwork| network.q_values(network.features(&batch.input));
        (preferences(&steered), preferences(&data))
    })
}

/// Kullback-Leibler divergence of what a network was taught under `policy` from the prior, in nats a text; none where the
/// experiment has no prior, or a policy that does not draw.
pub(crate) fn divergence_from_prior(
    experiment: &Experiment,
    network: &TextQNetwork,
    policy: Policy,
    episodes: &[Trajectory],
) -> Option<f64> {
    let prior = experiment.prior.as_deref()?;
    let Policy::Boltzmann { temperature } = policy else { return None };
    let weighs_prior = experiment.acting_prior(policy).is_some();
    Some(divergence_of(experiment, &network.device(), policy, Some(prior), episodes, |batch| {
        let q = network.q_values(network.features(&batch.input));
        let log_prior = batch.log_prior.clone().expect("a batch with a prior has its log-probabilities");
        let preferences = match weighs_prior {
            true => q + log_prior.clone().mul_scalar(temperature),
            false => q,
        };
        (preferences, log_prior)
    }))
}

/// Divergence of a policy from another one in the states of `episodes`, which the first one wrote: the sum over the states
/// of each, in the mean.
///
/// ```text
/// D = 1/N sum_i sum_t sum_a pi(a | s_t) log (pi(a | s_t) / pi_b(a | s_t))
/// ```
///
/// `preferences` gives those of both, `[batch, states, actions]`; those of the first are divided by the temperature of
/// `policy`, and all of a policy that does not draw is on the action taken.
fn divergence_of(
    experiment: &Experiment,
    device: &Device,
    policy: Policy,
    prior: Option<&dyn Prior>,
    episodes: &[Trajectory],
    preferences: impl Fn(&DeviceBatch) -> (Tensor<3>, Tensor<3>),
) -> f64 {
    let written: Vec<&Trajectory> = episodes.iter().filter(|episode| !episode.is_empty()).collect();
    let mut total = 0.0;
    for chunk in written.chunks(32) {
        let windows: Vec<Window<'_>> =
            chunk.iter().map(|trajectory| Window { trajectory, start: 0, len: trajectory.len() }).collect();
        let batch = experiment.batch_builder().build(&windows, prior);
        let n_steps = batch.n_steps;
        let batch = batch.upload(device);
        let (own, other) = preferences(&batch);
        let log_probs = |preferences: Tensor<3>| {
            let allowed = match &batch.mask {
                Some(mask) => preferences + mask.clone(),
                None => preferences,
            };
            log_softmax(allowed.narrow(1, 0, n_steps), 2)
        };
        let other = log_probs(other);
        let of_steps = match policy {
            Policy::Boltzmann { temperature } => {
                let own = log_probs(own.div_scalar(temperature));
                (own.clone().exp() * (own - other)).sum_dim(2).squeeze_dim::<2>(2)
            }
            _ => other.gather(2, batch.actions.clone().unsqueeze_dim(2)).squeeze_dim::<2>(2).neg(),
        };
        let sum: f32 = (of_steps * batch.valid.clone()).sum().into_scalar();
        total += f64::from(sum);
    }
    total / episodes.len() as f64
}

/// The rows of `redrawing`.
fn redrawn(
    evaluator: &mut Evaluator<'_>,
    experiment: &Experiment,
    network: &TextQNetwork,
    redrawing: &Redrawing,
) -> Result<Vec<Evaluation>, TrainError> {
    let Some(&most) = redrawing.best_of.iter().max() else { return Ok(Vec::new()) };
    let data = network.clone().decoding(Some(DATA));
    let policy = DATA.policy();
    let mut rng = Seed(experiment.config.evaluation.seed).stream("redrawing");
    let (mut rounds, mut seconds) = (Vec::with_capacity(most), Vec::with_capacity(most));
    for _ in 0..most {
        let begin = Instant::now();
        rounds.push(evaluator.drawn_episodes(&data, policy, &mut rng)?);
        seconds.push(begin.elapsed().as_secs_f64());
    }
    let n_starts = rounds[0].len();
    let mut rows = Vec::new();
    for &n in &redrawing.best_of {
        let best = |start: usize| {
            let texts = rounds[..n].iter().map(|round| &round[start]);
            texts.reduce(|one, other| if other.episode_return() > one.episode_return() { other } else { one })
        };
        let kept: Vec<Trajectory> = (0..n_starts).filter_map(best).cloned().collect();
        rows.push(Evaluation {
            divergence: Some(divergence_of_best(n)),
            seconds: Some(seconds[..n].iter().sum()),
            ..evaluator.measure(&format!("{BEST_OF}{n}"), &kept)?
        });
    }
    if let Some(least) = redrawing.accepted_return {
        let n_drawn = |start: usize| {
            let is_enough = |round: &Vec<Trajectory>| f64::from(round[start].episode_return()) >= least;
            rounds.iter().position(is_enough).map_or(most, |place| place + 1)
        };
        let kept: Vec<Trajectory> = (0..n_starts).map(|start| rounds[n_drawn(start) - 1][start].clone()).collect();
        let mean_drawn = (0..n_starts).map(n_drawn).sum::<usize>() as f64 / n_starts as f64;
        let name = format!("redrawn below {least}, {mean_drawn:.1} of {most} texts");
        let seconds = Some(mean_drawn * seconds.iter().sum::<f64>() / most as f64);
        rows.push(Evaluation { seconds, ..evaluator.measure(&name, &kept)? });
    }
    Ok(rows)
}

/// Divergence of the best of `n` texts from one, in nats: an upper bound, which is met where no two texts are worth the same
/// (Beirami et al. 2024).
fn divergence_of_best(n: usize) -> f64 {
    let n = n as f64;
    n.ln() - (n - 1.0) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_one_text_is_no_choice() {
        assert_eq!(divergence_of_best(1), 0.0);
        assert!((divergence_of_best(8) - (8.0_f64.ln() - 0.875)).abs() < 1e-12);
    }
}
