//! The learner: one update from one batch.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::activation::softmax;
use burn::tensor::{Bytes, Int, Tensor};
use dqn_mdp::Seed;
use rand::{Rng, RngExt};

use crate::batch::{DeviceBatch, SequenceBatch};
use crate::bootstrap::{Bootstrap, StateValues};
use crate::config::DqnConfig;
use crate::distribution::{Distribution, MovedAtoms, categorical_loss, draw_levels, midpoints, quantile_huber_loss};
use crate::error::CoreError;
use crate::loss::{Loss, weighted_mean};
use crate::network::QNetwork;
use crate::objective::{Munchausen, Objective, Path, expectile_loss};
use crate::optimizer::{clip_by_global_norm, clip_by_value};
use crate::schedule::Progress;
use crate::spread::{SPREAD_EVERY_UPDATES, Spread};
use crate::target::{TdTarget, extra_returns, rescale, unscale};
use crate::target_network::ActingNetwork;

/// What one update did.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateStats {
    /// Mean loss over the steps of the batch.
    pub loss: f32,
    /// Mean value of the actions taken, before the update.
    pub mean_q: f32,
    /// Mean TD target; under imitation and optimal completion, which have none, the mean value again.
    pub mean_target: f32,
    /// Mean absolute TD error; under imitation and optimal completion the mean cross-entropy.
    pub mean_td_error: f32,
    /// Mean absolute difference of the online and the target network about the actions taken, before the update; none
    /// under objectives that ask no target network.
    pub target_drift: Option<f32>,
    /// Share of the actions of the states of the batch that were not allowed.
    pub masked_fraction: f32,
    /// Norm of all gradients together, before clipping.
    pub gradient_norm: f32,
    /// Steps learned from.
    pub n_transitions: usize,
    /// Largest absolute TD error of each window.
    pub max_errors: Vec<f32>,
    /// Mean absolute TD error of each window.
    pub mean_errors: Vec<f32>,
    /// How the steps of the batch differ, every [`SPREAD_EVERY_UPDATES`] updates.
    pub spread: Option<Spread>,
}

/// Something that learns from batches and can be saved.
pub trait Learner: Send {
    /// Learns from one batch; `progress.updates` counts the updates before this one.
    ///
    /// # Errors
    /// [`CoreError::NotFinite`] when the loss is not a number.
    fn update(&mut self, batch: SequenceBatch, progress: Progress) -> Result<UpdateStats, CoreError>;

    /// Everything the next update depends on, as named parts of a checkpoint.
    ///
    /// # Errors
    /// When a part cannot be written.
    fn save(&self) -> Result<BTreeMap<String, Vec<u8>>, CoreError>;

    /// Takes up where [`Learner::save`] left off.
    ///
    /// # Errors
    /// When a part is missing or belongs to another network.
    fn load(&mut self, parts: &BTreeMap<String, Vec<u8>>) -> Result<(), CoreError>;
}

/// Deep Q-learning with an online and a target network.
///
/// Each network reads the windows of a batch once and answers for all their states; the TD targets of all steps are
/// gathered from those answers (R2D2-style, Kapturowski et al. 2019). A window of one step is the i.i.d. transition of
/// Mnih et al. 2015.
pub struct DqnLearner<N: QNetwork> {
    config: DqnConfig,
    online: N,
    target: N,
    optimizer: ModuleOptimizer,
    noise: Seed,
}

impl<N: QNetwork> DqnLearner<N> {
    /// A learner that begins with the parameters of `network`, which lives on an autodiff device.
    ///
    /// What an update draws (dropout, noisy weights, levels of implicit quantiles) depends on `noise` and the number of
    /// the update only, so that it is the same in a resumed run.
    pub fn new(config: DqnConfig, network: N, noise: Seed) -> Self {
        Self { target: network.valid(), optimizer: config.optimizer.init(), online: network, config, noise }
    }

    /// The network that acts, without a graph and without noise, over all actions.
    pub fn acting(&self) -> N {
        let network = match self.config.acting {
            ActingNetwork::Online => self.online.valid(),
            ActingNetwork::Target => self.target.clone(),
        };
        network.with_noise(None).considering(None).for_acting()
    }

    /// TD targets of all steps, and the target network's values of the actions taken: `[batch, steps]` each.
    fn targets(&self, batch: &DeviceBatch, online_features: &Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let n_steps = batch.valid.dims()[1];
        let DqnConfig { bootstrap, n_step, discount, .. } = self.config;
        let taken;
        let (values, own, later) = match bootstrap.temperature() {
            Some(temperature) => {
                let states = self.target_states(batch);
                let actions = batch.actions.clone().unsqueeze_dim::<3>(2);
                taken = states.q.clone().narrow(1, 0, n_steps).gather(2, actions).squeeze_dim::<2>(2);
                let values = states.value(temperature, N::log_sum_exp);
                let (own, later) = self.soft_extras(batch, &states, &values, temperature);
                (values, own, later)
            }
            None => {
                let features = self.target.features(&batch.input);
                taken = self.target.q_taken(features.clone().narrow(1, 0, n_steps), batch.actions.clone());
                let best = self.best_actions(batch, &features, online_features);
                (self.target.q_taken(features, best), None, None)
            }
        };
        let rescaling = self.config.value_rescaling;
        let target = TdTarget {
            returns: batch.returns.clone(),
            discounts: batch.discounts.clone(),
            values: self.bounded(match rescaling {
                Some(epsilon) => unscale(values, epsilon),
                None => values,
            }),
            bootstrap_states: batch.bootstrap_states.clone(),
        };
        let target = match self.config.lambda {
            Some(lambda) => {
                let returns = match &own {
                    Some(own) => target.returns.clone() + own.clone().narrow(1, 0, target.returns.dims()[1]),
                    None => target.returns.clone(),
                };
                TdTarget { returns, ..target }.lambda_return(lambda, &batch.valid, later.as_ref())
            }
            None => {
                let states = &batch.bootstrap_states;
                match extra_returns(own.as_ref(), later.as_ref(), states, discount, n_step) {
                    Some(extra) => target.value() + extra,
                    None => target.value(),
                }
            }
        };
        let target = match rescaling {
            Some(epsilon) => rescale(target, epsilon),
            None => target,
        };
        (target, taken)
    }

    /// Values of states within the bounds that the task has.
    fn bounded(&self, values: Tensor<2>) -> Tensor<2> {
        let scale = self.config.reward_scale;
        match self.config.value_bounds {
            Some([low, high]) => values.clamp(scale * low, scale * high),
            None => values,
        }
    }

    /// The action whose value the target network is asked for, in each state: `[batch, states]`.
    ///
    /// ```text
    /// max:     V(s) = Q_target(s, argmax_a Q_target(s, a)) = max_a Q_target(s, a)
    /// double:  V(s) = Q_target(s, argmax_a Q_online(s, a))
    /// ```
    ///
    /// Source: Mnih et al. 2015, algorithm 1; van Hasselt et al. 2016, eq. 4.
    fn best_actions(
        &self,
        batch: &DeviceBatch,
        target_features: &Tensor<3>,
        online_features: &Tensor<3>,
    ) -> Tensor<2, Int> {
        let mask = batch.mask.clone();
        match self.config.bootstrap {
            Bootstrap::Max {} => self.target.best_actions(target_features.clone(), mask),
            Bootstrap::Double {} => self.online.valid().best_actions(online_features.clone().inner(), mask),
            Bootstrap::Kl { .. } | Bootstrap::Soft { .. } => panic!("a soft value weighs all actions"),
        }
    }

    /// The target network's view of all states.
    fn target_states(&self, batch: &DeviceBatch) -> StateValues {
        StateValues {
            q: self.target.q_values(self.target.features(&batch.input)),
            log_prior: batch.log_prior.clone().filter(|_| self.config.bootstrap.weighs_prior()),
            mask: batch.mask.clone(),
        }
    }

    /// The online network's own view, with its graph, of the states that `features` are of, the first of each window.
    fn online_states(&self, batch: &DeviceBatch, features: Tensor<3>) -> StateValues {
        let n_states = features.dims()[1];
        let log_prior = batch.log_prior.as_ref().filter(|_| self.config.bootstrap.weighs_prior());
        let log_prior = log_prior.map(|part| Tensor::from_inner(part.clone().narrow(1, 0, n_states)));
        let mask = self.lifted_mask(batch, n_states);
        StateValues { q: self.online.q_values(features), log_prior, mask }
    }

    /// What the action taken in each state earns besides its reward, as the first step of a return (the Munchausen
    /// reward) and as a later one (the price of leaving the prior): `[batch, states]` each.
    fn soft_extras(
        &self,
        batch: &DeviceBatch,
        states: &StateValues,
        values: &Tensor<2>,
        temperature: f64,
    ) -> (Option<Tensor<2>>, Option<Tensor<2>>) {
        let needs_later = self.config.n_step > 1 || self.config.lambda.is_some();
        let prior_rewards = self.prior_rewards(batch);
        if self.config.munchausen.is_none() && prior_rewards.is_none() && !needs_later {
            return (None, None);
        }
        let gathered =
            |of: &Tensor<3>| of.clone().gather(2, batch.state_actions.clone().unsqueeze_dim(2)).squeeze_dim(2);
        // temperature * log(pi(a) / prior(a)), or temperature * log pi(a) without a prior.
        let log_ratio: Tensor<2> = gathered(&states.q) - values.clone();
        let own = self.config.munchausen.map(|Munchausen { alpha, floor }| {
            let log_policy = match &states.log_prior {
                Some(log_prior) => log_ratio.clone() + gathered(log_prior).mul_scalar(temperature),
                None => log_ratio.clone(),
            };
            log_policy.clamp(floor, 0.0).mul_scalar(alpha)
        });
        let own = match (own, prior_rewards) {
            (Some(own), Some(prior)) => Some(own + prior),
            (own, prior) => own.or(prior),
        };
        (own, needs_later.then(|| log_ratio.neg()))
    }

    /// What the prior adds to the reward of the action taken in each state, where it does: `[batch, states]`.
    fn prior_rewards(&self, batch: &DeviceBatch) -> Option<Tensor<2>> {
        let Bootstrap::Soft { temperature, rewards_prior: true } = self.config.bootstrap else { return None };
        let taken = batch.prior_of_taken.clone().expect("a batch for rewards of the prior has its log-probabilities");
        Some(taken.mul_scalar(temperature))
    }

    /// Penalty and error of every step under the objective, with their graph; `levels` names what quantiles are drawn from.
    fn compare(&self, batch: &DeviceBatch, features: Tensor<3>, levels: &str) -> Comparison {
        let n_steps = batch.valid.dims()[1];
        let at_steps = features.clone().narrow(1, 0, n_steps);
        let actions: Tensor<2, Int> = Tensor::from_inner(batch.actions.clone());
        if self.online.distribution() != Distribution::Mean {
            return self.compare_distributions(batch, features, actions, levels);
        }
        let q_taken = self.online.q_taken(at_steps.clone(), actions.clone());
        // With the Q-values as logits, the negative log-probability of the action taken.
        let cross_entropy = |q_taken: Tensor<2>| {
            N::log_sum_exp(self.online_states(batch, at_steps.clone()).masked_values(), 1.0) - q_taken
        };
        let DqnConfig { conservatism, imitation, .. } = self.config;
        match self.config.objective {
            Objective::Td {} => {
                let (target, target_taken) = self.targets(batch, &features);
                let error = q_taken.clone() - Tensor::from_inner(target.clone());
                let mut penalty = self.config.loss.penalty(error.clone());
                if conservatism > 0.0 {
                    penalty = penalty + cross_entropy(q_taken.clone()).mul_scalar(conservatism);
                }
                if imitation > 0.0 {
                    penalty = penalty + self.policy_loss(batch, at_steps.clone(), actions).mul_scalar(imitation);
                }
                let q_taken = q_taken.inner();
                let drift = Some((target_taken - q_taken.clone()).abs());
                Comparison { penalty, error: error.inner(), q_taken, target, drift }
            }
            Objective::Ilql { expectile } => {
                let second = self.online.second_q_taken(at_steps.clone(), actions.clone());
                let values = self.online.state_values(features);
                let target_features = self.target.features(&batch.input);
                let next_values = self.target.state_values(target_features.clone());
                let target_features = target_features.narrow(1, 0, n_steps);
                let target_taken = self.target.q_taken(target_features.clone(), batch.actions.clone());
                let target_second = self.target.second_q_taken(target_features, batch.actions.clone());
                let judged = target_taken.clone().min_pair(target_second);
                let target = TdTarget {
                    returns: batch.returns.clone(),
                    discounts: batch.discounts.clone(),
                    values: self.bounded(next_values),
                    bootstrap_states: batch.bootstrap_states.clone(),
                }
                .value();
                let fixed = Tensor::from_inner(target.clone());
                let error = q_taken.clone() - fixed.clone();
                let penalty =
                    self.config.loss.penalty(error.clone()) + self.config.loss.penalty(second.clone() - fixed);
                let values = values.narrow(1, 0, n_steps);
                let mut penalty = penalty + expectile_loss(Tensor::from_inner(judged), values, expectile);
                if conservatism > 0.0 {
                    let seconds = StateValues {
                        q: self.online.second_q_values(at_steps.clone()),
                        log_prior: None,
                        mask: self.lifted_mask(batch, n_steps),
                    };
                    let both = cross_entropy(q_taken.clone()) + N::log_sum_exp(seconds.masked_values(), 1.0) - second;
                    penalty = penalty + both.mul_scalar(conservatism);
                }
                // Without a weight the policy is a pretrained model's, which is not learned.
                if imitation > 0.0 {
                    penalty = penalty + self.policy_loss(batch, at_steps.clone(), actions).mul_scalar(imitation);
                }
                let q_taken = q_taken.inner();
                let drift = Some((target_taken - q_taken.clone()).abs());
                Comparison { penalty, error: error.inner(), q_taken, target, drift }
            }
            Objective::PathConsistency { multi_step } => {
                let (error, reversed, target_taken) = self.path_errors(batch, &features, &q_taken, multi_step);
                let penalty = self.config.loss.penalty(error.clone()) + self.config.loss.penalty(reversed);
                let (error, q_taken) = (error.inner(), q_taken.inner());
                let penalty = penalty.div_scalar(2.0);
                let target = q_taken.clone() - error.clone();
                let drift = Some((target_taken - q_taken.clone()).abs());
                Comparison { penalty, target, error, q_taken, drift }
            }
            Objective::GroupConsistency {} => {
                let error = self.group_errors(batch, &features, &q_taken);
                let length = Tensor::from_inner(batch.valid.clone().sum_dim(1));
                // Each window counts once, however many steps it has.
                let penalty = self.config.loss.penalty(error.clone()) / length;
                let (error, q_taken) = (error.inner(), q_taken.inner());
                Comparison { penalty, target: q_taken.clone() - error.clone(), error, q_taken, drift: None }
            }
            Objective::Imitation {} => Comparison::of_logits(cross_entropy(q_taken.clone()), q_taken),
            Objective::OptimalCompletion {} => {
                let aims = batch.aims.as_ref().expect("a batch for optimal completion says what is optimal");
                let q = self.online_states(batch, at_steps).masked_values();
                let weights = Tensor::from_inner(aims.weights.clone());
                let aimed = q.clone().gather(2, Tensor::from_inner(aims.actions.clone())) * weights.clone();
                let [aimed, is_known] = [aimed, weights].map(|of_aims| of_aims.sum_dim(2).squeeze_dim::<2>(2));
                Comparison::of_logits(N::log_sum_exp(q, 1.0) * is_known - aimed, q_taken)
            }
        }
    }

    /// Cross-entropy of the actions taken under the policy beside the values: `[batch, steps]`.
    fn policy_loss(&self, batch: &DeviceBatch, at_steps: Tensor<3>, actions: Tensor<2, Int>) -> Tensor<2> {
        let n_steps = batch.valid.dims()[1];
        let logits = self.online.policy_logits(at_steps);
        let taken = logits.clone().gather(2, actions.unsqueeze_dim::<3>(2)).squeeze_dim::<2>(2);
        let logits = match self.lifted_mask(batch, n_steps) {
            Some(mask) => logits + mask,
            None => logits,
        };
        N::log_sum_exp(logits, 1.0) - taken
    }

    /// The mask of the first `n_states` of each window, for use in the graph of the online network.
    fn lifted_mask(&self, batch: &DeviceBatch, n_states: usize) -> Option<Tensor<3>> {
        batch.mask.as_ref().map(|mask| Tensor::from_inner(mask.clone().narrow(1, 0, n_states)))
    }

    /// Errors of the path consistency with the online network's advantages and the target network's values, and the
    /// reverse, and the target network's values of the actions taken: `[batch, steps]` each.
    ///
    /// Advantages alone say nothing of the level of the values, so the second error is needed (Guo et al. 2021).
    fn path_errors(
        &self,
        batch: &DeviceBatch,
        features: &Tensor<3>,
        q_taken: &Tensor<2>,
        multi_step: bool,
    ) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        let n_steps = batch.valid.dims()[1];
        let temperature = self.config.bootstrap.temperature();
        let temperature = temperature.expect("a checked configuration gives path consistency a soft bootstrap");
        let online_values = self.online_states(batch, features.clone()).value(temperature, N::log_sum_exp);
        let target = self.target_states(batch);
        let target_values = target.value(temperature, N::log_sum_exp);
        let at_steps = |values: &Tensor<2>| values.clone().narrow(1, 0, n_steps);
        let actions = batch.actions.clone().unsqueeze_dim::<3>(2);
        let target_taken = target.q.narrow(1, 0, n_steps).gather(2, actions).squeeze_dim::<2>(2);
        let states = Tensor::from_inner(batch.bootstrap_states.clone());
        let rewards = match self.prior_rewards(batch) {
            Some(prior) => batch.returns.clone() + prior.narrow(1, 0, n_steps),
            None => batch.returns.clone(),
        };
        let error = |advantages: Tensor<2>, values: Tensor<2>| {
            let path = Path {
                advantages,
                rewards: Tensor::from_inner(rewards.clone()),
                discounts: Tensor::from_inner(batch.discounts.clone()),
                values: at_steps(&values),
                next_values: values.gather(1, states.clone()),
                valid: Tensor::from_inner(batch.valid.clone()),
            };
            if multi_step { path.multi_step() } else { path.single_step() }
        };
        let advantages = q_taken.clone() - at_steps(&online_values);
        let target_advantages = Tensor::from_inner(target_taken.clone() - at_steps(&target_values));
        let errors = (error(advantages, Tensor::from_inner(target_values)), error(target_advantages, online_values));
        (errors.0, errors.1, target_taken)
    }

    /// By how much each window differs from the mean of its group in what it says of the value of its start, the same at
    /// each of its steps: `[batch, steps]`.
    ///
    /// ```text
    /// d_i = sum_t (Q(s_t, a_t) - V(s_t) - r_t)      e_i = d_i - mean of d over the group
    /// ```
    ///
    /// `Q - V` is `temperature * log pi`, or `temperature * log(pi / prior)` under the bootstrap `kl`. Where a policy is soft
    /// optimal, every `-d_i` is the value of the start. The gradient of half the square is that of REINFORCE with the mean of
    /// the group as baseline, where the windows were drawn from the policy itself. Source: Richter et al. 2020.
    fn group_errors(&self, batch: &DeviceBatch, features: &Tensor<3>, q_taken: &Tensor<2>) -> Tensor<2> {
        let n_steps = batch.valid.dims()[1];
        let temperature = self.config.bootstrap.temperature();
        let temperature = temperature.expect("a checked configuration gives group consistency a soft bootstrap");
        let means = batch.group_means.clone().expect("a batch for group consistency has groups");
        let values =
            self.online_states(batch, features.clone().narrow(1, 0, n_steps)).value(temperature, N::log_sum_exp);
        let rewards = match self.prior_rewards(batch) {
            Some(prior) => batch.returns.clone() + prior.narrow(1, 0, n_steps),
            None => batch.returns.clone(),
        };
        let of_steps =
            (q_taken.clone() - values - Tensor::from_inner(rewards)) * Tensor::from_inner(batch.valid.clone());
        let of_windows = of_steps.sum_dim(1);
        let error = of_windows.clone() - Tensor::from_inner(means).matmul(of_windows);
        error.repeat_dim(1, n_steps)
    }

    /// [`DqnLearner::compare`] for networks that answer with distributions.
    fn compare_distributions(
        &self,
        batch: &DeviceBatch,
        features: Tensor<3>,
        actions: Tensor<2, Int>,
        levels: &str,
    ) -> Comparison {
        let distribution = self.online.distribution();
        let n_steps = batch.valid.dims()[1];
        let mut rng = self.noise.stream(levels);
        // The levels of the actions taken are drawn before those of the states after them.
        let levels = match distribution {
            Distribution::Implicit { n_samples, .. } => {
                let [n_windows, n_steps] = batch.valid.dims();
                draw_levels([n_windows, n_steps, n_samples], &mut rng, &batch.valid.device())
            }
            _ => midpoints(distribution.n_atoms(), &batch.valid.device()).unsqueeze(),
        };
        let (moved, target_taken) = self.moved_atoms(batch, &features, &mut rng);
        let target = match &moved.probabilities {
            Some(probabilities) => (moved.returns.clone() * probabilities.clone()).sum_dim(2).squeeze_dim::<2>(2),
            None => moved.returns.clone().mean_dim(2).squeeze_dim::<2>(2),
        };
        let at_steps = features.narrow(1, 0, n_steps);
        let online_taken = self.online.valid().q_taken(at_steps.clone().inner(), batch.actions.clone());
        let drift = Some((target_taken - online_taken).abs());
        let atoms = match distribution {
            Distribution::Implicit { .. } => {
                self.online.returns_at(at_steps, actions, Tensor::from_inner(levels.clone()))
            }
            _ => self.online.atoms_taken(at_steps, actions),
        };
        let q_taken = distribution.mean(atoms.clone()).squeeze_dim::<2>(2).inner();
        let (penalty, error) = match (distribution, self.config.loss) {
            (Distribution::Categorical { low, high, .. }, _) => categorical_loss(atoms, moved, low, high),
            (_, Loss::Huber { delta }) => {
                (quantile_huber_loss(atoms, levels, moved.returns, delta), q_taken.clone() - target.clone())
            }
            (_, Loss::Mse {}) => panic!("a checked configuration gives quantiles the Huber loss"),
        };
        Comparison { penalty, error, q_taken, target, drift }
    }

    /// Where the atoms of the next states move to, under the action that the bootstrap prefers, and the target network's
    /// values of the actions taken, `[batch, steps]`.
    fn moved_atoms(
        &self,
        batch: &DeviceBatch,
        online_features: &Tensor<3>,
        rng: &mut impl Rng,
    ) -> (MovedAtoms, Tensor<2>) {
        let distribution = self.target.distribution();
        let features = self.target.features(&batch.input);
        let n_steps = batch.valid.dims()[1];
        let taken = self.target.q_taken(features.clone().narrow(1, 0, n_steps), batch.actions.clone());
        let best_actions = self.best_actions(batch, &features, online_features);
        let atoms = match distribution {
            Distribution::Implicit { n_target_samples, .. } => {
                let [n_windows, n_states, _] = features.dims();
                let levels = draw_levels([n_windows, n_states, n_target_samples], rng, &features.device());
                self.target.returns_at(features, best_actions, levels)
            }
            _ => self.target.atoms_taken(features, best_actions),
        };
        let n_atoms = atoms.dims()[2];
        let rows = batch.bootstrap_states.clone().unsqueeze_dim::<3>(2).repeat_dim(2, n_atoms);
        let atoms = atoms.gather(1, rows);
        let (returns, probabilities) = match distribution {
            Distribution::Categorical { .. } => (distribution.returns(&atoms), Some(softmax(atoms, 2))),
            Distribution::Mean | Distribution::Quantile { .. } | Distribution::Implicit { .. } => (atoms, None),
        };
        let move_on = |values: Tensor<3>| {
            batch.returns.clone().unsqueeze_dim::<3>(2) + batch.discounts.clone().unsqueeze_dim::<3>(2) * values
        };
        let returns = match self.config.value_rescaling {
            Some(epsilon) => rescale(move_on(unscale(returns, epsilon)), epsilon),
            None => move_on(returns),
        };
        (MovedAtoms { returns, probabilities }, taken)
    }
}

/// What an objective found, `[batch, steps]` each.
struct Comparison {
    /// With its graph.
    penalty: Tensor<2>,
    error: Tensor<2>,
    q_taken: Tensor<2>,
    target: Tensor<2>,
    /// By how much the target network's values of the actions taken differ from the online network's.
    drift: Option<Tensor<2>>,
}

impl Comparison {
    /// What a cross-entropy found, which has no target.
    fn of_logits(penalty: Tensor<2>, q_taken: Tensor<2>) -> Self {
        let q_taken = q_taken.inner();
        Self { error: penalty.clone().inner(), penalty, target: q_taken.clone(), q_taken, drift: None }
    }
}

/// What was found of a part of a batch, without its graph: `[batch, steps]` each, and the part's share of the loss.
struct Found {
    loss: Tensor<1>,
    error: Tensor<2>,
    q_taken: Tensor<2>,
    target: Tensor<2>,
    drift: Option<Tensor<2>>,
    valid: Tensor<2>,
}

impl Found {
    /// What was found of all parts.
    fn joined(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let all = |of: fn(&Self) -> &Tensor<2>| Tensor::cat(parts.iter().map(|part| of(part).clone()).collect(), 0);
        let drifts: Option<Vec<Tensor<2>>> = parts.iter().map(|part| part.drift.clone()).collect();
        Self {
            loss: Tensor::cat(parts.iter().map(|part| part.loss.clone()).collect(), 0).sum(),
            error: all(|part| &part.error),
            q_taken: all(|part| &part.q_taken),
            target: all(|part| &part.target),
            drift: drifts.map(|drifts| Tensor::cat(drifts, 0)),
            valid: all(|part| &part.valid),
        }
    }
}

/// What follows the number of an update in the name of what its part `index` draws; nothing for the first.
fn part_name(index: usize) -> String {
    if index == 0 { String::new() } else { format!(" part {index}") }
}

impl<N: QNetwork> Learner for DqnLearner<N> {
    fn update(&mut self, batch: SequenceBatch, progress: Progress) -> Result<UpdateStats, CoreError> {
        let (n_transitions, masked_fraction) = (batch.n_transitions(), batch.masked_fraction());
        let spread_over = progress.updates.is_multiple_of(SPREAD_EVERY_UPDATES).then(|| batch.valid.clone());
        let n_windows = batch.n_windows;
        let device = self.target.device();
        let mut noise = self.noise.stream(&format!("noise {}", progress.updates));
        device.seed(noise.random());
        let considered = batch.considered.as_deref();
        self.online = self.online.clone().with_noise(Some(Seed(noise.random()))).considering(considered);
        self.target = self.target.clone().with_noise(Some(Seed(noise.random()))).considering(considered);
        let mut gradients = GradientsAccumulator::new();
        let mut found = Vec::new();
        for part in batch.parts(self.config.micro_batch_windows.unwrap_or(usize::MAX)) {
            let share = part.n_transitions() as f64 / n_transitions as f64;
            let part = part.upload(&device);
            let features = self.online.features(&part.input.clone().lifted());
            let levels = format!("levels {}{}", progress.updates, part_name(found.len()));
            let Comparison { penalty, error, q_taken, target, drift } = self.compare(&part, features, &levels);
            let lifted = |tensor: &Tensor<2>| Tensor::from_inner(tensor.clone());
            let loss = weighted_mean(penalty, lifted(&part.valid), lifted(&part.weights)).mul_scalar(share);
            gradients.accumulate(&self.online, GradientsParams::from_grads(loss.backward(), &self.online));
            found.push(Found { loss: loss.inner(), error, q_taken, target, drift, valid: part.valid });
        }
        let mut gradients = gradients.grads();
        let Found { loss, error, q_taken, target, drift, valid } = Found::joined(found);
        if let Some(max_value) = self.config.max_gradient_value {
            clip_by_value(&mut gradients, &self.online, max_value);
        }
        let gradient_norm = clip_by_global_norm(&mut gradients, &self.online, self.config.max_gradient_norm);
        let learning_rate = self.config.optimizer.learning_rate().value(progress);
        self.online = self.optimizer.step(learning_rate, self.online.clone(), gradients);
        self.target = self.config.target_update.apply(self.target.clone(), &self.online.valid(), progress.updates + 1);

        let mean = |values: Tensor<2>| (values * valid.clone()).sum() / valid.clone().sum();
        let sizes = error.abs() * valid.clone();
        let max_errors = sizes.clone().max_dim(1).squeeze_dim::<1>(1);
        let mean_errors = (sizes.clone().sum_dim(1) / valid.clone().sum_dim(1)).squeeze_dim::<1>(1);
        let has_target = drift.is_some();
        let drift = mean(drift.unwrap_or_else(|| q_taken.zeros_like()));
        // Where the steps themselves are asked for, they come back in the same reading.
        let steps =
            spread_over.as_ref().map(|_| [sizes.clone(), q_taken.clone()].map(|steps| steps.flatten::<1>(0, 1)));
        let mut scalars =
            vec![loss, mean(q_taken), mean(target), mean(sizes), drift, gradient_norm, max_errors, mean_errors];
        scalars.extend(steps.into_iter().flatten());
        let scalars = Tensor::cat(scalars, 0);
        let scalars: Vec<f32> =
            scalars.into_data().convert::<f32>().try_to_vec().expect("the scalars are 32-bit floats");
        let (&[loss, mean_q, mean_target, mean_td_error, drift, gradient_norm], of_windows) =
            scalars.split_first_chunk().expect("six scalars were read back");
        if !loss.is_finite() {
            return Err(CoreError::NotFinite { update: progress.updates + 1, loss });
        }
        let (of_windows, steps) = of_windows.split_at(2 * n_windows);
        let (max_errors, mean_errors) = of_windows.split_at(n_windows);
        let (sizes, q_taken) = steps.split_at(steps.len() / 2);
        let (max_errors, mean_errors) = (max_errors.to_vec(), mean_errors.to_vec());
        Ok(UpdateStats {
            loss,
            mean_q,
            mean_target,
            mean_td_error,
            target_drift: has_target.then_some(drift),
            masked_fraction,
            gradient_norm,
            n_transitions,
            max_errors,
            mean_errors,
            spread: spread_over.map(|valid| Spread::of(sizes, q_taken, &valid)),
        })
    }

    fn save(&self) -> Result<BTreeMap<String, Vec<u8>>, CoreError> {
        let bytes = |part: &str, bytes: Result<Bytes, RecordError>| match bytes {
            Ok(bytes) => Ok((part.to_owned(), bytes.to_vec())),
            Err(error) => Err(unfit(part, &error)),
        };
        [
            bytes(ONLINE, self.online.clone().into_record().into_bytes()),
            bytes(TARGET, self.target.clone().into_record().into_bytes()),
            bytes(OPTIMIZER, self.optimizer.into_bytes()),
        ]
        .into_iter()
        .collect()
    }

    fn load(&mut self, parts: &BTreeMap<String, Vec<u8>>) -> Result<(), CoreError> {
        let online = load_parameters(self.online.clone(), ONLINE, parts)?;
        let target = load_parameters(self.target.clone(), TARGET, parts)?;
        let optimizer = self.config.optimizer.init();
        let optimizer = optimizer
            .from_bytes(Bytes::from_bytes_vec(part(OPTIMIZER, parts)?.to_vec()))
            .map_err(|error| unfit(OPTIMIZER, &error))?;
        (self.online, self.target, self.optimizer) = (online, target, optimizer);
        Ok(())
    }
}

/// Name of the part of a checkpoint that holds the online network.
pub const ONLINE: &str = "online";
/// Name of the part of a checkpoint that holds the target network.
pub const TARGET: &str = "target";
const OPTIMIZER: &str = "optimizer";

/// The network with the parameters stored as `name`.
///
/// # Errors
/// When the part is missing or belongs to a network of another shape.
pub fn load_parameters<N: Module>(network: N, name: &str, parts: &BTreeMap<String, Vec<u8>>) -> Result<N, CoreError> {
    let bytes = Bytes::from_bytes_vec(part(name, parts)?.to_vec());
    let record = ModuleRecord::from_bytes(bytes).map_err(|error| unfit(name, &error))?;
    network.try_load_record(record).map_err(|error| unfit(name, &error))
}

/// `network` with the parameters of `other`, which may be on another device or be made to act.
///
/// # Errors
/// When `other` is a network of another shape.
pub fn with_parameters_of<N: Module>(network: N, other: &N) -> Result<N, CoreError> {
    load_parameters(network, ONLINE, &BTreeMap::from([(ONLINE.to_owned(), parameters(other)?)]))
}

/// The parameters of a network as [`load_parameters`] reads them.
///
/// # Errors
/// When they cannot be written.
pub fn parameters<N: Module>(network: &N) -> Result<Vec<u8>, CoreError> {
    let bytes = network.clone().into_record().into_bytes().map_err(|error| unfit(ONLINE, &error))?;
    Ok(bytes.to_vec())
}

fn part<'a>(name: &str, parts: &'a BTreeMap<String, Vec<u8>>) -> Result<&'a [u8], CoreError> {
    let part = parts.get(name).ok_or_else(|| CoreError::MissingPart { part: name.to_owned() })?;
    Ok(part)
}

fn unfit(part: &str, error: &RecordError) -> CoreError {
    CoreError::Unfit { part: part.to_owned(), message: error.to_string() }
}
