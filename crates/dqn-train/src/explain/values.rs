//! What a network says of the actions in the states of an episode.

use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_core::policy::preferences;
use dqn_core::{Policy, QNetwork, SequenceInput};
use dqn_mdp::{ActionId, ActionMask, StateRef, TokenId, Trajectory};
use dqn_model::{HeadConfig, TextQNetwork};

use super::{ActionView, Baseline, PriorKind, StepView, shown};
use crate::experiment::{Experiment, Learned};

/// The answers of a network about all states of an episode, a row of all actions for each.
pub(super) struct Values {
    pub(super) baseline: Baseline,
    pub(super) prior: Option<PriorKind>,
    policy: Policy,
    n_actions: usize,
    q: Vec<f32>,
    state_values: Option<Vec<f32>>,
    /// What the policy compares.
    preferences: Vec<f32>,
    /// Log-probabilities, up to a constant for each state.
    log_prior: Option<Vec<f32>>,
}

/// A preference below this is that of an action which the decoding rules out.
const RULED_OUT: f32 = 0.5 * dqn_core::batch::FORBIDDEN;

/// The temperature of a policy that has one.
pub(super) fn temperature(policy: Policy) -> Option<f64> {
    match policy {
        Policy::Boltzmann { temperature } | Policy::BoltzmannMode { temperature } => Some(temperature),
        Policy::Greedy | Policy::EpsilonGreedy { .. } => None,
    }
}

impl Values {
    pub(super) fn of(
        experiment: &Experiment,
        network: &TextQNetwork,
        episode: &Trajectory,
        Learned { policy, decoding, .. }: &Learned,
    ) -> Self {
        let plain = network.clone().decoding(None);
        let n_actions = plain.n_actions();
        let input = whole(experiment, episode, &network.device());
        let features = plain.features(&input);
        let first = plain.q_values(features.clone());
        let has_second = plain.companions().has_second;
        let state_values = match (has_second, experiment.config.network.head) {
            (true, _) => Some(plain.state_values(features.clone())),
            (false, HeadConfig::Dueling { .. }) => Some(first.clone().mean_dim(2).squeeze_dim(2)),
            (false, _) => None,
        };
        let q = match has_second {
            true => first.min_pair(plain.second_q_values(features.clone())),
            false => first,
        };
        let q = numbers(q);
        let data_policy = plain.companions().has_policy.then(|| numbers(plain.policy_logits(features.clone())));
        let acting_prior = experiment.acting_prior(*policy);
        let known = experiment.prior.as_deref().map(|prior| {
            let mut rows = vec![0.0; q.len()];
            let states: Vec<StateRef<'_>> = (0..episode.len()).map(|step| episode.state(step)).collect();
            prior.log_probs_of(&states, rows.chunks_exact_mut(n_actions).collect());
            rows
        });
        let compared = match decoding {
            Some(_) => numbers(network.clone().decoding(*decoding).q_values(features)),
            None => q.clone(),
        };
        let compared = match temperature(*policy) {
            Some(temperature) => {
                let prior = known.as_deref().filter(|_| acting_prior.is_some());
                let mut weighed = Vec::new();
                preferences(&compared, prior, temperature, &mut weighed);
                weighed
            }
            None => compared,
        };
        let kind = match (&data_policy, &known) {
            (Some(_), _) => Some(PriorKind::DataPolicy),
            (None, Some(_)) => Some(PriorKind::Prior),
            (None, None) => None,
        };
        Self {
            baseline: if state_values.is_some() { Baseline::StateValue } else { Baseline::MaxQ },
            prior: kind,
            policy: *policy,
            n_actions,
            q,
            state_values: state_values.map(numbers),
            preferences: compared,
            log_prior: data_policy.or(known),
        }
    }

    /// What is told of each step, but for its saliency.
    pub(super) fn steps(&self, experiment: &Experiment, episode: &Trajectory, n_top: usize) -> Vec<StepView> {
        (0..episode.len()).map(|step| self.step(experiment, episode, step, n_top)).collect()
    }

    fn step(&self, experiment: &Experiment, episode: &Trajectory, step: usize, n_top: usize) -> StepView {
        let row = |values: &[f32]| values[step * self.n_actions..][..self.n_actions].to_vec();
        let (q, preferences, mask) = (row(&self.q), row(&self.preferences), &episode.allowed[step]);
        let max_q = mask.iter(self.n_actions).map(|action| q[action.index()]).fold(f32::NEG_INFINITY, f32::max);
        let state_value = self.state_values.as_ref().map(|values| values[step]);
        let ordered = |mut actions: Vec<ActionId>| {
            let by = |one: &ActionId, other: &ActionId| {
                preferences[other.index()].total_cmp(&preferences[one.index()]).then(one.cmp(other))
            };
            actions.sort_by(by);
            actions
        };
        let allowed = ordered(mask.iter(self.n_actions).collect());
        let probabilities = match self.policy {
            Policy::Boltzmann { .. } => softmax(&preferences, mask),
            Policy::Greedy | Policy::EpsilonGreedy { .. } | Policy::BoltzmannMode { .. } => {
                let mut certain = vec![0.0; self.n_actions];
                certain[allowed[0].index()] = 1.0;
                certain
            }
        };
        let priors = self.log_prior.as_ref().map(|log_prior| softmax(&row(log_prior), mask));
        let view = |&action: &ActionId| {
            let index = action.index();
            let is_allowed = mask.allows(action);
            ActionView {
                action: action.0,
                text: shown(experiment, experiment.actions.tokens(action)),
                allowed: is_allowed,
                rank: allowed.iter().position(|&other| other == action).map(|place| place + 1),
                q: q[index],
                advantage: q[index] - state_value.unwrap_or(max_q),
                preference: Some(preferences[index]).filter(|&preference| preference > RULED_OUT),
                probability: probabilities[index],
                prior_probability: priors.as_ref().map(|priors| priors[index]),
            }
        };
        let best = preferences[allowed[0].index()];
        let masked = (0..self.n_actions as u32).map(ActionId);
        let masked = masked.filter(|&action| !mask.allows(action) && preferences[action.index()] > best);
        StepView {
            place: episode.decisions[step] as usize,
            max_q,
            state_value,
            n_allowed: allowed.len(),
            taken: view(&episode.actions[step]),
            top: allowed.iter().take(n_top).map(view).collect(),
            masked: ordered(masked.collect()).iter().take(n_top).map(view).collect(),
            margin: None,
            saliency: None,
            source_saliency: None,
        }
    }
}

/// `exp(logits)` divided by its sum over the allowed actions; 0 for the others.
fn softmax(logits: &[f32], mask: &ActionMask) -> Vec<f32> {
    let highest = mask.iter(logits.len()).map(|action| logits[action.index()]).fold(f32::NEG_INFINITY, f32::max);
    let mut weights = vec![0.0_f32; logits.len()];
    for action in mask.iter(logits.len()) {
        weights[action.index()] = (logits[action.index()] - highest).exp();
    }
    let total: f32 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

/// The input that asks for every state in which an action was taken.
fn whole(experiment: &Experiment, episode: &Trajectory, device: &Device) -> SequenceInput {
    input(experiment, episode, std::slice::from_ref(&episode.tokens), device)
}

/// The input that asks for every state of `episode` in each of `texts`, which differ from its own in tokens only.
///
/// # Shapes
/// - returns `[texts, tokens up to the last state]`, with `decisions` of `[texts, steps]`
pub(super) fn input(
    experiment: &Experiment,
    episode: &Trajectory,
    texts: &[Vec<TokenId>],
    device: &Device,
) -> SequenceInput {
    let n_tokens = episode.decisions.last().map_or(0, |&last| last as usize + 1);
    // What is replaced keeps its place: delimiters, say, still end their clauses.
    let places = experiment.encoder.positions.ids(&episode.tokens[..n_tokens]);
    let tokens = texts.iter().flat_map(|text| text[..n_tokens].iter().map(|token| i64::from(token.0)));
    SequenceInput {
        tokens: matrix(tokens.collect(), texts.len(), device),
        positions: repeated(places.iter().map(|&place| i64::from(place)), texts.len(), device),
        decisions: repeated(episode.decisions.iter().map(|&last| i64::from(last)), texts.len(), device),
        source: experiment.encoder.sources_of(texts.iter().map(|_| episode.source)).map(|source| source.upload(device)),
    }
}

fn repeated(row: impl Iterator<Item = i64>, n_rows: usize, device: &Device) -> Tensor<2, Int> {
    matrix(row.collect::<Vec<i64>>().repeat(n_rows), n_rows, device)
}

pub(super) fn matrix(values: Vec<i64>, n_rows: usize, device: &Device) -> Tensor<2, Int> {
    let n_columns = values.len() / n_rows;
    Tensor::from_data(TensorData::new(values, [n_rows, n_columns]), device)
}

pub(super) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_to_vec().expect("values are 32-bit floats")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_shared_out_over_what_is_allowed() {
        let logits = [0.0, 2.0_f32.ln(), 50.0, 4.0_f32.ln()];
        let found = softmax(&logits, &ActionMask::all_but(4, &[ActionId(2)]));
        for (found, expected) in found.iter().zip([1.0 / 7.0, 2.0 / 7.0, 0.0, 4.0 / 7.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
    }
}
