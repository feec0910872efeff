//! Whole updates: what the learner reports of a batch, and how it moves the parameters, against the definitions applied
//! to the episodes themselves.
//!
//! The gradient is that of the reference's loss by finite differences, its targets held fixed: a target through which a
//! gradient leaked would show here, as would a wrong slope of any loss.

use std::collections::BTreeMap;

use burn::tensor::Device;
use dqn_core::batch::Aims;
use dqn_core::bootstrap::Bootstrap;
use dqn_core::learner::ONLINE;
use dqn_core::loss::Loss;
use dqn_core::objective::{Munchausen, Objective};
use dqn_core::optimizer::OptimizerConfig;
use dqn_core::target_network::{ActingNetwork, TargetUpdate};
use dqn_core::{
    BatchBuilder, Distribution, DqnConfig, DqnLearner, Learner, Prior, Progress, Schedule, SequenceBatch, Window,
};
use dqn_mdp::{ActionId, Outcome, PositionEncoder, Seed, Trajectory};
use proptest::prelude::*;
use rand::RngExt;

use crate::episodes::{AnyPrior, N_ACTIONS, N_TOKENS, episode, text};
use crate::network::{Table, TableNetwork};
use crate::reference::{
    Link, huber, lambda_return, log_sum_exp, midpoints, n_step_return, path_error, project, quantile_huber, rescale,
    softmax, support, unscale,
};

/// A batch of windows, and the two networks that answer for it.
struct Truth<'a> {
    config: &'a DqnConfig,
    online: Table,
    target: Table,
    windows: Vec<Window<'a>>,
    weights: Vec<f64>,
    /// For each window and step, levels of implicit quantiles of the action taken.
    levels: Vec<Vec<Vec<f64>>>,
    /// For each window and state, those of the best action.
    target_levels: Vec<Vec<Vec<f64>>>,
    /// For each window and step, the actions that are optimal in its state.
    aims: Vec<Vec<Vec<usize>>>,
    /// How many windows, one after the other, have one start.
    groups: Vec<usize>,
}

/// What does not move with the online network's parameters.
enum Goal {
    Value(f64),
    Projected { projected: Vec<f64>, mean: f64 },
    Returns { levels: Vec<f64>, returns: Vec<f64> },
    Implicit { target: f64, judged: f64 },
    Path { links: Vec<Link>, advantages: Vec<f64>, first_value: f64 },
    Aims(Vec<usize>),
    Group,
    None,
}

struct Answer {
    penalty: f64,
    error: f64,
    q_taken: f64,
    target: f64,
}

fn mean(distribution: Distribution, outputs: &[f64]) -> f64 {
    match distribution {
        Distribution::Mean | Distribution::Implicit { .. } => outputs[0],
        Distribution::Quantile { .. } => outputs.iter().sum::<f64>() / outputs.len() as f64,
        Distribution::Categorical { low, high, n_atoms } => {
            softmax(outputs).iter().zip(support(low, high, n_atoms)).map(|(p, z)| p * z).sum()
        }
    }
}

fn last_token(episode: &Trajectory, state: usize) -> usize {
    text(episode, state).last().unwrap().index()
}

fn q_value(table: &Table, episode: &Trajectory, state: usize, action: usize) -> f64 {
    mean(table.distribution, &table.outputs(last_token(episode, state), action))
}

fn allowed(episode: &Trajectory, state: usize) -> Vec<usize> {
    (0..N_ACTIONS).filter(|&action| episode.allowed[state].allows(ActionId(action as u32))).collect()
}

fn best_action(table: &Table, episode: &Trajectory, state: usize) -> usize {
    let value = |action: &usize| q_value(table, episode, state, *action);
    allowed(episode, state).into_iter().max_by(|one, other| value(one).total_cmp(&value(other))).unwrap()
}

fn returns_at(outputs: &[f64], levels: &[f64]) -> Vec<f64> {
    levels.iter().map(|level| outputs[0] + outputs[1] * (level - 0.5)).collect()
}

impl Truth<'_> {
    /// The value of a state by the target network, or by `table` where it judges itself.
    fn value(&self, table: &Table, episode: &Trajectory, state: usize) -> f64 {
        let q = |action: usize| q_value(table, episode, state, action);
        let soft = |temperature: f64, log_weight: &dyn Fn(usize) -> f64| {
            let allowed = allowed(episode, state);
            let exponents: Vec<f64> =
                allowed.iter().map(|&action| q(action) / temperature + log_weight(action)).collect();
            temperature * log_sum_exp(exponents.into_iter())
        };
        if let Objective::Ilql { .. } = self.config.objective {
            return self.target.state_value(last_token(episode, state));
        }
        match self.config.bootstrap {
            Bootstrap::Max {} => q(best_action(table, episode, state)),
            Bootstrap::Double {} => q(best_action(&self.online, episode, state)),
            Bootstrap::Soft { temperature, .. } => soft(temperature, &|_| 0.0),
            Bootstrap::Kl { temperature } => {
                soft(temperature, &|action| AnyPrior::log_prob(text(episode, state), action))
            }
        }
    }

    /// The steps of an episode from `first` on, with the values of `table`.
    fn links(&self, table: &Table, episode: &Trajectory, first: usize) -> Vec<Link> {
        let link = |step: usize| {
            let action = episode.actions[step].index();
            let mut link = Link {
                reward: self.config.reward_scale * f64::from(episode.rewards[step]),
                later: 0.0,
                terminates: step + 1 == episode.len() && episode.outcome == Outcome::Terminated,
                next_value: self.value(table, episode, step + 1),
            };
            if let Some(temperature) = self.config.bootstrap.temperature() {
                let value = self.value(table, episode, step);
                link.later = value - q_value(table, episode, step, action);
                if let Bootstrap::Soft { rewards_prior: true, .. } = self.config.bootstrap {
                    link.reward += temperature * AnyPrior::log_prob(text(episode, step), action);
                }
                if let Some(Munchausen { alpha, floor }) = self.config.munchausen {
                    let log_prior = match self.config.bootstrap {
                        Bootstrap::Kl { .. } => AnyPrior::log_prob(text(episode, step), action),
                        _ => 0.0,
                    };
                    link.reward += alpha * (temperature * log_prior - link.later).clamp(floor, 0.0);
                }
            }
            if let Some(epsilon) = self.config.value_rescaling {
                link.next_value = unscale(link.next_value, epsilon);
            }
            if let Some([low, high]) = self.config.value_bounds {
                let scale = self.config.reward_scale;
                link.next_value = link.next_value.clamp(scale * low, scale * high);
            }
            link
        };
        (first..episode.len()).map(link).collect()
    }

    fn advantages(&self, table: &Table, window: &Window<'_>) -> Vec<f64> {
        let advantage = |step: usize| {
            let action = window.trajectory.actions[step].index();
            q_value(table, window.trajectory, step, action) - self.value(table, window.trajectory, step)
        };
        (window.start..window.start + window.len).map(advantage).collect()
    }

    /// Minus the value of its start by window `row`: its advantages less its rewards.
    fn said_of_start(&self, row: usize, table: &Table) -> f64 {
        let window = &self.windows[row];
        let links = self.links(table, window.trajectory, window.start);
        let rewards: f64 = links[..window.len].iter().map(|link| link.reward).sum();
        self.advantages(table, window).iter().sum::<f64>() - rewards
    }

    fn mean_of_group(&self, row: usize, table: &Table) -> f64 {
        let mut first = 0;
        let size = self.groups.iter().find(|&&size| {
            first += size;
            row < first
        });
        let size = *size.expect("every window is in a group");
        (first - size..first).map(|other| self.said_of_start(other, table)).sum::<f64>() / size as f64
    }

    fn goal(&self, row: usize, index: usize) -> Goal {
        let window = &self.windows[row];
        let (episode, step) = (window.trajectory, window.start + index);
        let links = self.links(&self.target, episode, step);
        let DqnConfig { discount, n_step, .. } = *self.config;
        let compress = |value: f64| self.config.value_rescaling.map_or(value, |epsilon| rescale(value, epsilon));
        let expand = |value: f64| self.config.value_rescaling.map_or(value, |epsilon| unscale(value, epsilon));
        match self.config.objective {
            Objective::Imitation {} => return Goal::None,
            Objective::GroupConsistency {} => return Goal::Group,
            Objective::OptimalCompletion {} => return Goal::Aims(self.aims[row][index].clone()),
            Objective::PathConsistency { .. } => {
                let advantages = self.advantages(&self.target, window)[index..].to_vec();
                return Goal::Path { links, advantages, first_value: self.value(&self.target, episode, step) };
            }
            Objective::Ilql { .. } => {
                let (token, action) = (last_token(episode, step), episode.actions[step].index());
                let judged = self.target.outputs(token, action)[0].min(self.target.second(token, action));
                return Goal::Implicit { target: n_step_return(&links, n_step, discount), judged };
            }
            Objective::Td {} => {}
        }
        if self.online.distribution == Distribution::Mean {
            let y = match self.config.lambda {
                Some(lambda) => lambda_return(&links[..window.len - index], lambda, discount),
                None => n_step_return(&links, n_step, discount),
            };
            return Goal::Value(compress(y));
        }
        let ahead = n_step.min(links.len());
        let next = step + ahead;
        let judge = if self.config.bootstrap == (Bootstrap::Double {}) { &self.online } else { &self.target };
        let outputs = self.target.outputs(last_token(episode, next), best_action(judge, episode, next));
        let moved = |value: f64| {
            let mut links = links[..ahead].to_vec();
            links[ahead - 1].next_value = expand(value);
            compress(n_step_return(&links, ahead, discount))
        };
        match self.online.distribution {
            Distribution::Mean => Goal::None,
            Distribution::Categorical { low, high, n_atoms } => {
                let returns: Vec<f64> = support(low, high, n_atoms).into_iter().map(moved).collect();
                let probabilities = softmax(&outputs);
                let mean = returns.iter().zip(&probabilities).map(|(z, p)| z * p).sum();
                Goal::Projected { projected: project(&returns, &probabilities, low, high), mean }
            }
            Distribution::Quantile { n_quantiles } => {
                Goal::Returns { levels: midpoints(n_quantiles), returns: outputs.into_iter().map(moved).collect() }
            }
            Distribution::Implicit { .. } => {
                let returns = returns_at(&outputs, &self.target_levels[row][index + ahead]);
                Goal::Returns {
                    levels: self.levels[row][index].clone(),
                    returns: returns.into_iter().map(moved).collect(),
                }
            }
        }
    }

    fn penalty(&self, error: f64) -> f64 {
        match self.config.loss {
            Loss::Huber { delta } => huber(error, delta),
            Loss::Mse {} => error * error,
        }
    }

    /// What a network with the parameters of `moving` answers to a goal.
    fn answer(&self, row: usize, index: usize, goal: &Goal, moving: &Table) -> Answer {
        let window = &self.windows[row];
        let (episode, step) = (window.trajectory, window.start + index);
        let action = episode.actions[step].index();
        let outputs = moving.outputs(last_token(episode, step), action);
        let q_taken = mean(moving.distribution, &outputs);
        let value = |action: usize| q_value(moving, episode, step, action);
        let cross_entropy_of = |q: f64| {
            let values: Vec<f64> = allowed(episode, step).into_iter().map(value).collect();
            log_sum_exp(values.into_iter()) - q
        };
        let cross_entropy = || cross_entropy_of(q_taken);
        let policy_loss = || {
            let token = last_token(episode, step);
            let logits = allowed(episode, step).into_iter().map(|action| moving.logit(token, action));
            log_sum_exp(logits.collect::<Vec<_>>().into_iter()) - moving.logit(token, action)
        };
        let imitation = match self.config.imitation {
            0.0 => 0.0,
            weight => weight * policy_loss(),
        };
        match goal {
            Goal::Implicit { target, judged } => {
                let Objective::Ilql { expectile } = self.config.objective else { panic!("only ILQL is implicit") };
                let token = last_token(episode, step);
                let second = moving.second(token, action);
                let difference = judged - moving.state_value(token);
                let weight = if difference > 0.0 { expectile } else { 1.0 - expectile };
                let conservatism = match self.config.conservatism {
                    0.0 => 0.0,
                    weight => {
                        let seconds = allowed(episode, step).into_iter().map(|action| moving.second(token, action));
                        let seconds = log_sum_exp(seconds.collect::<Vec<_>>().into_iter()) - second;
                        weight * (cross_entropy() + seconds)
                    }
                };
                let error = q_taken - target;
                let penalty = self.penalty(error)
                    + self.penalty(second - target)
                    + weight * difference * difference
                    + conservatism
                    + imitation;
                Answer { penalty, error, q_taken, target: *target }
            }
            Goal::None => {
                let penalty = cross_entropy();
                Answer { penalty, error: penalty, q_taken, target: q_taken }
            }
            Goal::Group => {
                let error = self.said_of_start(row, moving) - self.mean_of_group(row, moving);
                let penalty = self.penalty(error) / window.len as f64;
                Answer { penalty, error, q_taken, target: q_taken - error }
            }
            Goal::Aims(aims) => {
                let all: f64 = aims.iter().map(|&aim| cross_entropy_of(value(aim))).sum();
                let penalty = all / aims.len().max(1) as f64;
                Answer { penalty, error: penalty, q_taken, target: q_taken }
            }
            Goal::Value(target) => {
                let error = q_taken - target;
                let conservatism = match self.config.conservatism {
                    0.0 => 0.0,
                    weight => weight * cross_entropy(),
                };
                Answer { penalty: self.penalty(error) + conservatism + imitation, error, q_taken, target: *target }
            }
            Goal::Projected { projected, mean } => {
                let log_probabilities: Vec<f64> = softmax(&outputs).iter().map(|p| p.ln()).collect();
                let penalty: f64 = -projected.iter().zip(&log_probabilities).map(|(m, log)| m * log).sum::<f64>();
                let entropy: f64 = -projected.iter().filter(|m| **m > 0.0).map(|m| m * m.ln()).sum::<f64>();
                Answer { penalty, error: penalty - entropy, q_taken, target: *mean }
            }
            Goal::Returns { levels, returns } => {
                let Loss::Huber { delta } = self.config.loss else { panic!("quantiles are learned by the Huber loss") };
                let quantiles = match moving.distribution {
                    Distribution::Implicit { .. } => returns_at(&outputs, levels),
                    _ => outputs,
                };
                let q_taken = quantiles.iter().sum::<f64>() / quantiles.len() as f64;
                let target = returns.iter().sum::<f64>() / returns.len() as f64;
                let penalty = quantile_huber(&quantiles, levels, returns, delta);
                Answer { penalty, error: q_taken - target, q_taken, target }
            }
            Goal::Path { links, advantages, first_value } => {
                let n = match self.config.objective {
                    Objective::PathConsistency { multi_step: true } => window.len - index,
                    _ => 1,
                };
                let discount = self.config.discount;
                let own = &self.advantages(moving, window)[index..];
                let error = path_error(own, links, *first_value, n, discount);
                let own_links = self.links(moving, episode, step);
                let own_value = self.value(moving, episode, step);
                let reversed = path_error(advantages, &own_links, own_value, n, discount);
                let penalty = (self.penalty(error) + self.penalty(reversed)) / 2.0;
                Answer { penalty, error, q_taken, target: q_taken - error }
            }
        }
    }

    fn goals(&self) -> Vec<Vec<Goal>> {
        let of = |row: usize| (0..self.windows[row].len).map(|index| self.goal(row, index)).collect();
        (0..self.windows.len()).map(of).collect()
    }

    fn answers(&self, goals: &[Vec<Goal>], moving: &Table) -> Vec<Vec<Answer>> {
        let of = |(row, goals): (usize, &Vec<Goal>)| {
            goals.iter().enumerate().map(|(index, goal)| self.answer(row, index, goal, moving)).collect()
        };
        goals.iter().enumerate().map(of).collect()
    }

    fn loss(&self, goals: &[Vec<Goal>], moving: &Table) -> f64 {
        let answers = self.answers(goals, moving);
        let n: usize = answers.iter().map(Vec::len).sum();
        let weighted = answers
            .iter()
            .zip(&self.weights)
            .map(|(row, weight)| weight * row.iter().map(|answer| answer.penalty).sum::<f64>());
        weighted.sum::<f64>() / n as f64
    }

    /// The gradient of the loss by finite differences, in the order of [`Table::parameters`].
    fn gradient(&self, goals: &[Vec<Goal>]) -> Vec<f64> {
        let size = 1e-6;
        let n_parameters = self.online.parameters().count();
        let slope = |index: usize| {
            let at = |shift: f64| {
                let mut moving = self.online.clone();
                *moving.parameter_mut(index) += shift;
                self.loss(goals, &moving)
            };
            (at(size) - at(-size)) / (2.0 * size)
        };
        (0..n_parameters).map(slope).collect()
    }
}

/// Draws of the levels of an update, `[windows][positions][samples]`.
fn draw_levels(rng: &mut impl rand::Rng, [windows, positions, samples]: [usize; 3]) -> Vec<Vec<Vec<f64>>> {
    let mut row = |n: usize| -> Vec<f64> { (0..n).map(|_| f64::from(rng.random::<f32>())).collect() };
    (0..windows).map(|_| (0..positions).map(|_| row(samples)).collect()).collect()
}

fn close(what: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() < 5e-4 * (1.0 + expected.abs()), "{what}: {found} instead of {expected}");
}

/// The same aims as a batch has them, with windows of at most `n_steps` steps.
fn aims_of(aims: &[Vec<Vec<usize>>], n_steps: usize) -> Aims {
    let mut of_batch = Aims { n_aims: N_ACTIONS, actions: Vec::new(), weights: Vec::new() };
    for window in aims {
        for index in 0..n_steps {
            let of_step = window.get(index).map_or(&[][..], Vec::as_slice);
            let padded = |values: Vec<f32>| values.into_iter().chain(std::iter::repeat(0.0)).take(N_ACTIONS);
            of_batch.actions.extend(padded(of_step.iter().map(|&aim| aim as f32).collect()).map(|aim| aim as i64));
            of_batch.weights.extend(padded(vec![1.0 / of_step.len() as f32; of_step.len()]));
        }
    }
    of_batch
}

/// One update on random episodes, with `settings` and whatever else `seed` draws.
fn check(seed: u64, distribution: Distribution, settings: DqnConfig) {
    let mut rng = Seed(seed).stream("case");
    let mut config = settings;
    config.discount = [0.0, 0.6, 1.0][rng.random_range(0..3)];
    if let Objective::GroupConsistency {} = config.objective {
        config.discount = 1.0;
    }
    config.reward_scale = [0.5, 1.0][rng.random_range(0..2)];
    config.optimizer = OptimizerConfig::Sgd {
        learning_rate: Schedule::Constant { value: 1.0 },
        momentum: 0.0,
        nesterov: false,
        l2: 0.0,
    };
    config.target_update = TargetUpdate::Hard { every_updates: 1_000_000 };
    config.max_gradient_norm = rng.random_bool(0.3).then(|| rng.random_range(0.1..2.0));
    config.max_gradient_value = rng.random_bool(0.3).then(|| rng.random_range(0.05..1.0));
    // The parts of a batch draw levels of their own, which the reference does not know.
    let is_drawn = matches!(distribution, Distribution::Implicit { .. });
    config.micro_batch_windows = [None, Some(1), Some(2)][rng.random_range(0..3)].filter(|_| !is_drawn);
    assert_eq!(config.faults(distribution), []);

    let is_masked = rng.random_bool(0.7);
    let lengths: Vec<usize> = (0..rng.random_range(1..4)).map(|_| rng.random_range(1..7)).collect();
    let episodes: Vec<Trajectory> = lengths.iter().map(|&n| episode(n, is_masked, &mut rng)).collect();
    let windows: Vec<Window<'_>> = episodes
        .iter()
        .map(|trajectory| {
            let start = rng.random_range(0..trajectory.len());
            Window { trajectory, start, len: rng.random_range(1..=trajectory.len() - start) }
        })
        .collect();
    let weights: Vec<f32> = windows.iter().map(|_| rng.random_range(0.2..1.0)).collect();
    let builder = BatchBuilder {
        encoder: PositionEncoder::None.into(),
        n_actions: N_ACTIONS,
        reward_scale: config.reward_scale as f32,
        discount: config.discount as f32,
        n_step: config.n_step,
        context_tokens: rng.random_range(0..4),
    };
    let prior = config.bootstrap.weighs_prior().then_some(&AnyPrior as &dyn Prior);
    let mut batch = builder.build(&windows, prior).weighted(weights.clone());
    if config.bootstrap.rewards_prior() {
        batch = batch.with_prior_of_taken(&windows, &AnyPrior, N_ACTIONS);
    }

    let companions = config.companions().has_policy;
    let mut table = || Table::random(N_TOKENS, N_ACTIONS, distribution, companions, &mut rng);
    let (online, target) = (table(), table());
    let (noise, progress) = (Seed(seed), Progress { updates: 20, ..Progress::default() });
    let mut levels_rng = noise.stream("levels 20");
    let (mut levels, mut target_levels) = (Vec::new(), Vec::new());
    if let Distribution::Implicit { n_samples, n_target_samples, .. } = distribution {
        levels = draw_levels(&mut levels_rng, [batch.n_windows, batch.n_steps, n_samples]);
        target_levels = draw_levels(&mut levels_rng, [batch.n_windows, batch.n_states, n_target_samples]);
    }
    let weights = weights.into_iter().map(f64::from).collect();
    let n_together = rng.random_range(0..=windows.len());
    let groups: Vec<usize> = [n_together, windows.len() - n_together].into_iter().filter(|&size| size > 0).collect();
    let mut any_aims = |window: &Window<'_>, index: usize| {
        let mut actions = allowed(window.trajectory, window.start + index);
        actions.retain(|_| rng.random_bool(0.4));
        actions
    };
    let aims: Vec<Vec<Vec<usize>>> =
        windows.iter().map(|window| (0..window.len).map(|index| any_aims(window, index)).collect()).collect();
    let batch = match config.objective {
        Objective::OptimalCompletion {} => SequenceBatch { aims: Some(aims_of(&aims, batch.n_steps)), ..batch },
        Objective::GroupConsistency {} => batch.in_groups(groups.clone()),
        _ => batch,
    };
    let truth = Truth {
        config: &config,
        online,
        target,
        windows: windows.clone(),
        weights,
        levels,
        target_levels,
        aims,
        groups,
    };

    let mut learner = learner_of(&truth.online, &truth.target, &config, noise);
    let stats = learner.update(batch, progress).unwrap();
    let goals = truth.goals();
    let answers = truth.answers(&goals, &truth.online);
    let all = || answers.iter().flatten();
    let n = all().count();
    let mean = |of: &dyn Fn(&Answer) -> f64| all().map(of).sum::<f64>() / n as f64;
    assert_eq!(stats.n_transitions, n);
    close("loss", stats.loss.into(), truth.loss(&goals, &truth.online));
    close("mean q", stats.mean_q.into(), mean(&|answer| answer.q_taken));
    close("mean target", stats.mean_target.into(), mean(&|answer| answer.target));
    close("mean error", stats.mean_td_error.into(), mean(&|answer| answer.error.abs()));
    let drift = |row: usize, index: usize| {
        let (episode, step) = (truth.windows[row].trajectory, truth.windows[row].start + index);
        let value = |table| q_value(table, episode, step, episode.actions[step].index());
        (value(&truth.online) - value(&truth.target)).abs()
    };
    let drifts = (0..windows.len()).flat_map(|row| (0..windows[row].len).map(move |index| (row, index)));
    let drift = drifts.map(|(row, index)| drift(row, index)).sum::<f64>() / n as f64;
    match config.objective {
        Objective::Imitation {} | Objective::OptimalCompletion {} | Objective::GroupConsistency {} => {
            assert_eq!(stats.target_drift, None)
        }
        _ => close("target drift", stats.target_drift.unwrap().into(), drift),
    }
    let spread = stats.spread.unwrap();
    for (level, index) in [(0.05, 0), (0.25, 1), (0.5, 2), (0.75, 3), (0.95, 4)] {
        close("error quantile", spread.td_error[index].into(), quantile(all().map(|answer| answer.error.abs()), level));
        close("q quantile", spread.q[index].into(), quantile(all().map(|answer| answer.q_taken), level));
    }
    for (row, answers) in answers.iter().enumerate() {
        let errors = answers.iter().map(|answer| answer.error.abs());
        close("max error", stats.max_errors[row].into(), errors.clone().fold(0.0, f64::max));
        close("mean error", stats.mean_errors[row].into(), errors.sum::<f64>() / answers.len() as f64);
    }

    let mut gradient = truth.gradient(&goals);
    if let Some(most) = config.max_gradient_value {
        gradient.iter_mut().for_each(|slope| *slope = slope.clamp(-most, most));
    }
    let norm = gradient.iter().map(|slope| slope * slope).sum::<f64>().sqrt();
    close("gradient norm", stats.gradient_norm.into(), norm);
    if let Some(most) = config.max_gradient_norm {
        gradient.iter_mut().for_each(|slope| *slope *= (most / norm.max(1e-30)).min(1.0));
    }
    let moved = learner.acting().table();
    let by_target = DqnConfig { acting: ActingNetwork::Target, ..config.clone() };
    let kept = learner_of(&truth.online, &truth.target, &by_target, noise).acting().table();
    for (kept, target) in kept.parameters().zip(truth.target.parameters()) {
        close("the target network acts", kept, target);
    }
    let before_and_after = truth.online.parameters().zip(moved.parameters());
    for (index, ((before, after), slope)) in before_and_after.zip(gradient).enumerate() {
        close(&format!("gradient of parameter {index}"), before - after, slope);
    }
}

/// A learner whose networks differ.
fn learner_of(online: &Table, target: &Table, config: &DqnConfig, noise: Seed) -> DqnLearner<TableNetwork> {
    let device = Device::flex().autodiff();
    let learner = |table: &Table| DqnLearner::new(config.clone(), table.network(&device), noise);
    let mut parts: BTreeMap<_, _> = learner(target).save().unwrap();
    let mut of_online = learner(online);
    let own = of_online.save().unwrap();
    parts.extend(own.into_iter().filter(|(name, _)| name == ONLINE));
    of_online.load(&parts).unwrap();
    of_online
}

fn losses() -> impl Strategy<Value = Loss> {
    prop_oneof![(0.3..2.0_f64).prop_map(|delta| Loss::Huber { delta }), Just(Loss::Mse {})]
}

fn greedy() -> impl Strategy<Value = Bootstrap> {
    prop::sample::select(vec![Bootstrap::Max {}, Bootstrap::Double {}])
}

fn soft() -> impl Strategy<Value = Bootstrap> {
    let temperatures = 0.3..2.0_f64;
    prop_oneof![
        (temperatures.clone(), any::<bool>())
            .prop_map(|(temperature, rewards_prior)| Bootstrap::Soft { temperature, rewards_prior }),
        temperatures.prop_map(|temperature| Bootstrap::Kl { temperature }),
    ]
}

fn munchausen() -> impl Strategy<Value = Option<Munchausen>> {
    prop::option::of((0.1..1.0_f64, -3.0..-0.5_f64).prop_map(|(alpha, floor)| Munchausen { alpha, floor }))
}

/// How a return is cut: after so many steps, or mixed by a lambda.
fn cuts() -> impl Strategy<Value = (usize, Option<f64>)> {
    prop_oneof![
        (1_usize..9).prop_map(|n_step| (n_step, None)),
        prop::sample::select(vec![0.0, 0.4, 1.0]).prop_map(|lambda| (1, Some(lambda))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn td_errors(
        seed: u64,
        loss in losses(),
        bootstrap in greedy(),
        (n_step, lambda) in cuts(),
        value_rescaling in prop::option::of(1e-3..0.1_f64),
        conservatism in prop::sample::select(vec![0.0, 0.7]),
        imitation in prop::sample::select(vec![0.0, 0.4]),
        value_bounds in prop::option::of(Just([-0.5, 0.7])),
    ) {
        let base = DqnConfig { loss, bootstrap, n_step, lambda, imitation, value_bounds, ..DqnConfig::default() };
        check(seed, Distribution::Mean, DqnConfig { value_rescaling, conservatism, ..base });
    }

    #[test]
    fn implicit_q_learning(
        seed: u64,
        loss in losses(),
        expectile in 0.05..0.95_f64,
        n_step in 1_usize..9,
        conservatism in prop::sample::select(vec![0.0, 0.7]),
        imitation in prop::sample::select(vec![1.0, 0.4]),
        value_bounds in prop::option::of(Just([-0.5, 0.7])),
    ) {
        let objective = Objective::Ilql { expectile };
        let base = DqnConfig { objective, value_bounds, loss, n_step, conservatism, imitation, ..DqnConfig::default() };
        check(seed, Distribution::Mean, base);
    }

    #[test]
    fn soft_td_errors(
        seed: u64,
        loss in losses(),
        bootstrap in soft(),
        (n_step, lambda) in cuts(),
        munchausen in munchausen(),
        conservatism in prop::sample::select(vec![0.0, 0.7]),
    ) {
        let base = DqnConfig { loss, bootstrap, n_step, lambda, ..DqnConfig::default() };
        check(seed, Distribution::Mean, DqnConfig { munchausen, conservatism, ..base });
    }

    #[test]
    fn path_consistency(seed: u64, loss in losses(), bootstrap in soft(), multi_step: bool) {
        let objective = Objective::PathConsistency { multi_step };
        check(seed, Distribution::Mean, DqnConfig { objective, loss, bootstrap, ..DqnConfig::default() });
    }

    #[test]
    fn imitation(seed: u64) {
        check(seed, Distribution::Mean, DqnConfig { objective: Objective::Imitation {}, ..DqnConfig::default() });
    }

    #[test]
    fn group_consistency(seed: u64, loss in losses(), bootstrap in soft()) {
        let objective = Objective::GroupConsistency {};
        check(seed, Distribution::Mean, DqnConfig { objective, loss, bootstrap, ..DqnConfig::default() });
    }

    #[test]
    fn optimal_completion(seed: u64) {
        check(seed, Distribution::Mean, DqnConfig { objective: Objective::OptimalCompletion {}, ..DqnConfig::default() });
    }

    #[test]
    fn categorical_distributions(
        seed: u64,
        bootstrap in greedy(),
        n_step in 1_usize..9,
        low in -5.0..-0.5_f64,
        width in 1.0..9.0_f64,
        n_atoms in 2_usize..6,
        value_rescaling in prop::option::of(1e-3..0.1_f64),
    ) {
        let distribution = Distribution::Categorical { low, high: low + width, n_atoms };
        check(seed, distribution, DqnConfig { bootstrap, n_step, value_rescaling, ..DqnConfig::default() });
    }

    #[test]
    fn quantiles(
        seed: u64,
        bootstrap in greedy(),
        n_step in 1_usize..9,
        delta in 0.3..2.0_f64,
        n_quantiles in 1_usize..6,
        value_rescaling in prop::option::of(1e-3..0.1_f64),
    ) {
        let base = DqnConfig { bootstrap, n_step, value_rescaling, ..DqnConfig::default() };
        check(seed, Distribution::Quantile { n_quantiles }, DqnConfig { loss: Loss::Huber { delta }, ..base });
    }

    #[test]
    fn implicit_quantiles(
        seed: u64,
        bootstrap in greedy(),
        n_step in 1_usize..9,
        delta in 0.3..2.0_f64,
        n_samples in 1_usize..5,
        n_target_samples in 1_usize..5,
        value_rescaling in prop::option::of(1e-3..0.1_f64),
    ) {
        let distribution =
            Distribution::Implicit { n_cosines: 1, n_samples, n_target_samples, n_acting_samples: 4 };
        let base = DqnConfig { bootstrap, n_step, value_rescaling, ..DqnConfig::default() };
        check(seed, distribution, DqnConfig { loss: Loss::Huber { delta }, ..base });
    }
}

#[test]
fn the_network_of_these_tests_keeps_its_contract() {
    use burn::tensor::{Int, Tensor};
    use dqn_core::{QNetwork, SequenceInput, StepInput};
    let device = Device::flex();
    let implicit = Distribution::Implicit { n_cosines: 1, n_samples: 2, n_target_samples: 2, n_acting_samples: 4 };
    let categorical = Distribution::Categorical { low: -1.0, high: 2.0, n_atoms: 4 };
    for distribution in [Distribution::Mean, categorical, Distribution::Quantile { n_quantiles: 3 }, implicit] {
        let table = Table::random(N_TOKENS, N_ACTIONS, distribution, false, &mut Seed(1).stream("table"));
        let network = table.network(&device);
        assert_eq!(network.table().parameters().collect::<Vec<_>>(), table.parameters().collect::<Vec<_>>());
        let tokens = || Tensor::<2, Int>::from_data([[3, 5, 0]], &device);
        let decisions = Tensor::from_data([[1]], &device);
        let (mut state, q) =
            network.start(&SequenceInput { tokens: tokens(), positions: tokens(), decisions, source: None });
        let token = || Tensor::<1, Int>::from_data([2], &device);
        let after = network.step(&StepInput { tokens: token(), positions: token() }, &mut state);
        for (values, token) in [(q, 5), (after, 2)] {
            let values: Vec<f32> = values.try_into_vec_as().unwrap();
            assert_eq!(values.len(), network.n_actions());
            for (action, value) in values.iter().enumerate() {
                close("value", f64::from(*value), mean(distribution, &table.outputs(token, action)));
            }
        }
        network.select(state, token());
    }
}

/// What a share `level` of the values lies below, linear between two of them.
fn quantile(values: impl Iterator<Item = f64>, level: f64) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len() as f64 - 1.0;
    // Each value is worth what of its place is nearer to the quantile's than its neighbours'.
    let weight = |index: usize| (1.0 - (last * level - index as f64).abs()).max(0.0);
    sorted.iter().enumerate().map(|(index, value)| weight(index) * value).sum()
}
