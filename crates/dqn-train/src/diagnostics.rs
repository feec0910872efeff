//! What the values of a network are like, beside what its policy earns.

use dqn_core::{QNetwork, Window};
use dqn_env::game::{Game, GamePlayer};
use dqn_mdp::{ActionId, Outcome, Seed, Start, Trajectory};
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
    /// Share of pairs of a state and another action in which the expert's action has the higher value (Snell et al. 2022,
    /// section 5). Absent where there is no expert.
    pub rank_accuracy: Option<f64>,
    /// Share of actions that were not allowed.
    pub masked_fraction: f64,
}

/// Episodes whose values are asked for together.
const CHUNK: usize = 64;

/// Measures the values of `network` in the states of `episodes`; `experts` names the expert's action in each state, for
/// each episode, or is empty.
pub(crate) fn diagnose(
    experiment: &Experiment,
    network: &TextQNetwork,
    episodes: &[Trajectory],
    experts: &[Vec<ActionId>],
) -> Diagnostics {
    let builder = experiment.batch_builder();
    let (n_actions, scale) = (experiment.actions.len(), experiment.config.learner.reward_scale);
    let (mut taken, mut errors, mut gaps) = (Mean::default(), Mean::default(), Mean::default());
    let (mut ranks, mut masked) = (Mean::default(), Mean::default());
    for (chunk, episodes) in episodes.chunks(CHUNK).enumerate() {
        let window = |trajectory| Window { trajectory, start: 0, len: Trajectory::len(trajectory) };
        let windows: Vec<Window<'_>> = episodes.iter().filter(|episode| !episode.is_empty()).map(window).collect();
        if windows.is_empty() {
            continue;
        }
        let batch = builder.build(&windows, None);
        let n_states = batch.n_states;
        let batch = batch.upload(&network.device());
        let q = network.q_values(network.features(&batch.input));
        let q: Vec<f32> = q.into_data().convert::<f32>().try_to_vec().expect("Q-values are 32-bit floats");
        for (row, window) in windows.iter().enumerate() {
            let episode = window.trajectory;
            let returns = discounted_returns(&episode.rewards, experiment.config.learner.discount);
            for (step, (&action, &follows)) in episode.actions.iter().zip(&returns).enumerate() {
                let q = &q[(row * n_states + step) * n_actions..][..n_actions];
                let value = f64::from(q[action.index()]) / scale;
                taken.add(value);
                if episode.outcome == Outcome::Terminated {
                    errors.add(value - follows);
                }
                let allowed = &episode.allowed[step];
                masked.add(1.0 - allowed.count(n_actions) as f64 / n_actions as f64);
                let mut best = [f32::NEG_INFINITY; 2];
                for action in allowed.iter(n_actions) {
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
                if let Some(expert) = experts.get(chunk * CHUNK + row).and_then(|experts| experts.get(step)) {
                    let others = allowed.iter(n_actions).filter(|action| action != expert);
                    others.for_each(|other| ranks.add(f64::from(u8::from(q[expert.index()] > q[other.index()]))));
                }
            }
        }
    }
    Diagnostics {
        mean_q: taken.value().unwrap_or(0.0),
        over_estimation: errors.value(),
        action_gap: gaps.value(),
        rank_accuracy: ranks.value(),
        masked_fraction: masked.value().unwrap_or(0.0),
    }
}

/// What the expert of a game would do in each state of `episodes`, the first of which began at start 0.
///
/// # Errors
/// When the game refuses a start.
pub(crate) fn expert_actions(game: &mut dyn Game, episodes: &[Trajectory]) -> Result<Vec<Vec<ActionId>>, TrainError> {
    let mut rng = Seed(0).stream("expert");
    let mut all = Vec::with_capacity(episodes.len());
    for (start, episode) in episodes.iter().enumerate() {
        game.reset(Start::Indexed(start))?;
        let mut suggested = Vec::with_capacity(episode.len());
        for &action in &episode.actions {
            suggested.push(ActionId(game.suggest(GamePlayer::Expert {}, &mut rng) as u32));
            let command = game.commands()[action.index()].clone();
            game.act(&command);
        }
        all.push(suggested);
    }
    Ok(all)
}

/// The discounted sum of the rewards from each step on.
fn discounted_returns(rewards: &[f32], discount: f64) -> Vec<f64> {
    let mut returns = vec![0.0; rewards.len()];
    let mut follows = 0.0;
    for (place, &reward) in returns.iter_mut().zip(rewards).rev() {
        follows = f64::from(reward) + discount * follows;
        *place = follows;
    }
    returns
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
        assert_eq!(discounted_returns(&[1.0, 0.0, 4.0], 0.5), [2.0, 2.0, 4.0]);
        assert_eq!(discounted_returns(&[1.0, 2.0], 0.0), [1.0, 2.0]);
        assert_eq!(discounted_returns(&[1.0, 2.0], 1.0), [3.0, 2.0]);
    }
}
