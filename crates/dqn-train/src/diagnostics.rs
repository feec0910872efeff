//! What the values of a network are like, beside what its policy earns.

use dqn_core::{QNetwork, Window};
use dqn_env::game::{Game, GamePlayer};
use dqn_mdp::{ActionId, Environment, Outcome, Seed, Start, Trajectory};
use dqn_model::TextQNetwork;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::experiment::Experiment;

/// Measures of the values in the states of evaluation episodes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// Mean of Q(s, a) of the actions taken.
    pub mean_q: f64,
    /// Mean of Q(s, a) less the discounted return that followed, over episodes that ended by the rules of the task: above 0
    /// the network over-estimates (van Hasselt et al. 2016, figure 3). Absent where no episode ended so.
    pub over_estimation: Option<f64>,
    /// Mean difference of the highest and the second highest value of the allowed actions.
    pub action_gap: Option<f64>,
    /// Share of pairs of a state in the expert's own episodes and another action in which the expert's action has the
    /// higher value (Snell et al. 2022, section 5). The states are the same for every policy. Absent where there is no
    /// expert.
    pub rank_accuracy: Option<f64>,
    /// Share of actions that were not allowed.
    pub masked_fraction: f64,
}

/// Episodes whose values are asked for together.
const CHUNK: usize = 64;

/// Measures the values of `network` in the states of `episodes`, and how they rank the actions of `expert`, the episodes of
/// an expert, which may be none.
pub(crate) fn diagnose(
    experiment: &Experiment,
    network: &TextQNetwork,
    episodes: &[Trajectory],
    expert: &[Trajectory],
) -> Diagnostics {
    let (discount, scale) = (experiment.config.learner.discount, experiment.config.learner.reward_scale);
    let (mut taken, mut errors, mut gaps) = (Mean::default(), Mean::default(), Mean::default());
    let (mut ranks, mut masked) = (Mean::default(), Mean::default());
    for_each_state(experiment, network, episodes, |episode, step, q| {
        let value = f64::from(q[episode.actions[step].index()]) / scale;
        taken.add(value);
        if episode.outcome == Outcome::Terminated {
            errors.add(value - discounted_return(&episode.rewards[step..], discount));
        }
        let allowed = &episode.allowed[step];
        masked.add(1.0 - allowed.count(q.len()) as f64 / q.len() as f64);
        let mut best = [f32::NEG_INFINITY; 2];
        for action in allowed.iter(q.len()) {
            let value = q[action.index()];
            if value > best[0] {
                best = [value, best[0]];
            } else if value > best[1] {
                best[1] = value;
            }
        }
        if best[1].is_finite() {
            gaps.add(f64::from(best[0] - best[1]) / scale);
        }
    });
    for_each_state(experiment, network, expert, |episode, step, q| {
        let best = episode.actions[step];
        let others = episode.allowed[step].iter(q.len()).filter(|&action| action != best);
        others.for_each(|other| ranks.add(f64::from(u8::from(q[best.index()] > q[other.index()]))));
    });
    Diagnostics {
        mean_q: taken.value().unwrap_or(0.0),
        over_estimation: errors.value(),
        action_gap: gaps.value(),
        rank_accuracy: ranks.value(),
        masked_fraction: masked.value().unwrap_or(0.0),
    }
}

/// Calls `visit` with each step of `episodes` and the values of all actions in the state before it.
fn for_each_state(
    experiment: &Experiment,
    network: &TextQNetwork,
    episodes: &[Trajectory],
    mut visit: impl FnMut(&Trajectory, usize, &[f32]),
) {
    let builder = experiment.batch_builder();
    let n_actions = experiment.actions.len();
    for episodes in episodes.chunks(CHUNK) {
        let whole = |trajectory| Window { trajectory, start: 0, len: Trajectory::len(trajectory) };
        let windows: Vec<Window<'_>> = episodes.iter().filter(|episode| !episode.is_empty()).map(whole).collect();
        if windows.is_empty() {
            continue;
        }
        let batch = builder.build(&windows, None);
        let n_states = batch.n_states;
        let batch = batch.upload(&network.device());
        let q = network.q_values(network.features(&batch.input));
        let q: Vec<f32> = q.into_data().convert::<f32>().try_to_vec().expect("Q-values are 32-bit floats");
        for (row, window) in windows.iter().enumerate() {
            for step in 0..window.len {
                visit(window.trajectory, step, &q[(row * n_states + step) * n_actions..][..n_actions]);
            }
        }
    }
}

/// The episodes of the game's expert from the first `n_starts` starts, as the learner would have met them.
///
/// # Errors
/// When the game refuses a start, or the environment an action.
pub(crate) fn expert_episodes(
    game: &mut dyn Game,
    environment: &mut dyn Environment,
    n_starts: usize,
) -> Result<Vec<Trajectory>, TrainError> {
    let mut rng = Seed(0).stream("expert");
    let mut played = Vec::with_capacity(n_starts);
    for start in (0..n_starts).map(Start::Indexed) {
        game.reset(start)?;
        let mut episode = Trajectory::begin(environment.reset(start)?, environment.allowed());
        while !episode.outcome.is_end() {
            let index = game.suggest(GamePlayer::Expert {}, &mut rng);
            let command = game.commands()[index].clone();
            game.act(&command);
            let action = ActionId(index as u32);
            episode.push(action, &environment.step(action)?, environment.allowed());
        }
        played.push(episode);
    }
    Ok(played)
}

/// The discounted sum of `rewards`.
fn discounted_return(rewards: &[f32], discount: f64) -> f64 {
    rewards.iter().rev().fold(0.0, |follows, &reward| f64::from(reward) + discount * follows)
}

/// A mean that grows.
#[derive(Default)]
struct Mean {
    sum: f64,
    n: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.n += 1;
    }

    fn value(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_are_discounted_from_the_end() {
        assert_eq!(discounted_return(&[1.0, 0.0, 4.0], 0.5), 2.0);
        assert_eq!(discounted_return(&[1.0, 2.0], 0.0), 1.0);
        assert_eq!(discounted_return(&[], 0.5), 0.0);
    }
}
