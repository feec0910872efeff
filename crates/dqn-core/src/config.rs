//! The settings of a learner, and which of them exclude each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bootstrap::Bootstrap;
use crate::distribution::Distribution;
use crate::loss::Loss;
use crate::network::Companions;
use crate::objective::{Munchausen, Objective};
use crate::optimizer::OptimizerConfig;
use crate::schedule::Schedule;
use crate::target_network::{ActingNetwork, TargetUpdate};

/// The settings of an update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DqnConfig {
    /// What is made small.
    #[serde(default = "default_objective")]
    pub objective: Objective,
    /// How the value of the next state is estimated.
    #[serde(default = "default_bootstrap")]
    pub bootstrap: Bootstrap,
    /// The penalty of a TD error.
    #[serde(default = "default_loss")]
    pub loss: Loss,
    /// How the target network follows the online network.
    #[serde(default = "default_target_update")]
    pub target_update: TargetUpdate,
    /// Which of both networks acts, is evaluated, and writes after learning: `online` or `target`.
    #[serde(default)]
    pub acting: ActingNetwork,
    /// The optimizer.
    #[serde(default = "default_optimizer")]
    pub optimizer: OptimizerConfig,
    /// Largest norm of all gradients together; larger ones are scaled down. Leave it out for no limit.
    #[serde(default)]
    #[schemars(range(min = 1e-9))]
    pub max_gradient_norm: Option<f64>,
    /// Largest size of an element of a gradient; larger ones are cut, before the norm is taken. Leave it out for no
    /// limit.
    #[serde(default)]
    #[schemars(range(min = 1e-9))]
    pub max_gradient_value: Option<f64>,
    /// What rewards are multiplied by before anything is learned from them; values are in units of reward times this. Small
    /// values are reached in fewer updates and stay where the Huber loss is quadratic. Reports divide by it.
    #[serde(default = "default_reward_scale")]
    #[schemars(range(min = 1e-6, max = 1e6))]
    pub reward_scale: f64,
    /// Least and highest value a state can have, in units of reward, where the task bounds them: values of the target network
    /// beyond are counted as these. It keeps offline learning from running away. Leave it out for no bounds.
    #[serde(default)]
    pub value_bounds: Option<[f64; 2]>,
    /// Discount of one step, from 0 to 1; 1 suits texts of limited length.
    #[serde(default = "default_discount")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub discount: f64,
    /// Steps whose rewards enter a TD target before its value does. As many as the longest episode has give Monte-Carlo
    /// returns.
    #[serde(default = "default_n_step")]
    #[schemars(range(min = 1, max = 1000))]
    pub n_step: usize,
    /// Mix returns of all lengths within the window: 0 is the one-step target, 1 sums rewards up to the end of the window
    /// (Q(lambda) of Peng and Williams 1996). Leave it out for `n_step`.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub lambda: Option<f64>,
    /// Add the log-probability of each action to its reward. Needs the bootstrap `soft` or `kl`, whose temperature it
    /// shares.
    #[serde(default)]
    pub munchausen: Option<Munchausen>,
    /// Weight of the conservative penalty `log sum_a exp Q(a) - Q(a taken)`, which keeps the values of actions without
    /// data low (CQL(H), Kumar et al. 2020, eq. 4); 0 for none.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub conservatism: f64,
    /// Weight of the cross-entropy of the actions taken under a policy of their own beside the values, which decoding weighs
    /// the values with (`[decoding]`); 0 for no such policy. For `ilql`, and for values of logged episodes.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub imitation: f64,
    /// Learn values compressed by `sign(x) (sqrt(|x| + 1) - 1) + epsilon x` (Pohlen et al. 2018); this is its epsilon.
    /// Leave it out to learn them as they are.
    #[serde(default)]
    #[schemars(range(min = 1e-6, max = 1.0))]
    pub value_rescaling: Option<f64>,
    /// Windows in a batch.
    #[serde(default = "default_batch_windows")]
    #[schemars(range(min = 1, max = 65536))]
    pub batch_windows: usize,
    /// Windows that go through the network at a time: the gradients of the parts of a batch are added up before the optimizer
    /// takes its step (gradient accumulation), so that memory is that of one part. Groups of texts of one start stay
    /// together. Leave it out for the whole batch at once.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65536))]
    pub micro_batch_windows: Option<usize>,
    /// Steps in a window: 1 learns from single transitions as in the textbook, more from a whole stretch in one pass.
    #[serde(default = "default_window_steps")]
    #[schemars(range(min = 1, max = 65536))]
    pub window_steps: usize,
    /// Tokens before a window that the network reads as context without learning from them; 0 reads the whole text.
    #[serde(default)]
    pub context_tokens: usize,
}

fn default_objective() -> Objective {
    Objective::Td {}
}

fn default_bootstrap() -> Bootstrap {
    Bootstrap::Double {}
}

fn default_loss() -> Loss {
    Loss::Huber { delta: 1.0 }
}

fn default_target_update() -> TargetUpdate {
    TargetUpdate::Hard { every_updates: 100 }
}

fn default_optimizer() -> OptimizerConfig {
    OptimizerConfig::Adam {
        learning_rate: Schedule::Constant { value: 1e-3 },
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
        l2: 0.0,
    }
}

fn default_reward_scale() -> f64 {
    1.0
}

fn default_discount() -> f64 {
    1.0
}

fn default_n_step() -> usize {
    1
}

fn default_batch_windows() -> usize {
    64
}

fn default_window_steps() -> usize {
    32
}

impl Default for DqnConfig {
    fn default() -> Self {
        Self {
            objective: default_objective(),
            bootstrap: default_bootstrap(),
            loss: default_loss(),
            target_update: default_target_update(),
            acting: ActingNetwork::Online,
            optimizer: default_optimizer(),
            max_gradient_norm: None,
            max_gradient_value: None,
            reward_scale: default_reward_scale(),
            value_bounds: None,
            discount: default_discount(),
            n_step: default_n_step(),
            lambda: None,
            munchausen: None,
            conservatism: 0.0,
            imitation: 0.0,
            value_rescaling: None,
            batch_windows: default_batch_windows(),
            micro_batch_windows: None,
            window_steps: default_window_steps(),
            context_tokens: 0,
        }
    }
}

impl DqnConfig {
    /// What the network must learn beside its values.
    pub fn companions(&self) -> Companions {
        let has_second = matches!(self.objective, Objective::Ilql { .. });
        Companions { has_policy: self.imitation > 0.0 || has_second, has_second }
    }

    /// Combinations that the mathematics does not allow, with each other and with networks that answer with
    /// `distribution`: the key, its value, and the reason.
    pub fn faults(&self, distribution: Distribution) -> Vec<(&'static str, String, &'static str)> {
        let mut faults = Vec::new();
        if distribution != Distribution::Mean {
            faults.extend(self.distribution_faults(distribution));
        }
        let is_soft = self.bootstrap.temperature().is_some();
        if let Some(lambda) = self.lambda
            && self.n_step != 1
        {
            let why = "lambda mixes returns of every length, n_step names one: set n_step = 1 or remove lambda";
            faults.push(("learner.lambda", lambda.to_string(), why));
        }
        if self.munchausen.is_some() && !is_soft {
            let why = "it adds temperature * log pi(a), and only the bootstraps soft and kl define such a policy";
            faults.push(("learner.munchausen", "a table".to_owned(), why));
        }
        if let Some(epsilon) = self.value_rescaling
            && is_soft
        {
            let why = "a temperature prices nats in units of reward, which compressed values no longer have";
            faults.push(("learner.value_rescaling", epsilon.to_string(), why));
        }
        if let Some([low, high]) = self.value_bounds
            && (low >= high || !low.is_finite() || !high.is_finite())
        {
            let why = "two finite numbers, the lower one first";
            faults.push(("learner.value_bounds", format!("[{low}, {high}]"), why));
        }
        let is_td = self.objective == Objective::Td {};
        let is_ilql = matches!(self.objective, Objective::Ilql { .. });
        if is_ilql && is_soft {
            let why = "ilql has a value of the state and asks no bootstrap: leave it at max or double";
            faults.push(("learner.bootstrap", "a soft value".to_owned(), why));
        }
        if is_ilql && self.imitation == 0.0 {
            let why = "ilql decodes by the policy of the data, which this weight teaches: give it 1";
            faults.push(("learner.imitation", self.imitation.to_string(), why));
        }
        if self.imitation > 0.0 && !is_td && !is_ilql {
            let why = "only the objectives td and ilql have a policy beside their values";
            faults.push(("learner.imitation", self.imitation.to_string(), why));
        }
        if let Objective::PathConsistency { .. } = self.objective {
            let found = || "path_consistency".to_owned();
            if !is_soft {
                let why = "path consistency compares soft values: use the bootstrap soft or kl";
                faults.push(("learner.objective", found(), why));
            }
            if self.n_step != 1 {
                let why = "path consistency needs n_step = 1; multi_step = true compares longer stretches";
                faults.push(("learner.objective", found(), why));
            }
        }
        if self.objective == (Objective::GroupConsistency {}) {
            let found = || "group_consistency".to_owned();
            if !is_soft {
                let why = "group consistency compares log-probabilities at a temperature: use the bootstrap soft or kl";
                faults.push(("learner.objective", found(), why));
            }
            if self.n_step != 1 {
                faults.push((
                    "learner.objective",
                    found(),
                    "group consistency sums all rewards itself: use n_step = 1",
                ));
            }
            if self.discount != 1.0 {
                let why = "group consistency compares the sum of all rewards of a text: use discount = 1";
                faults.push(("learner.objective", found(), why));
            }
        }
        if let Some(part) = self.micro_batch_windows
            && part >= self.batch_windows
        {
            let why =
                "the parts of a batch are smaller than the batch: fewer than learner.batch_windows, or leave it out";
            faults.push(("learner.micro_batch_windows", part.to_string(), why));
        }
        let td_only = [
            ("learner.lambda", self.lambda.is_some()),
            ("learner.munchausen", self.munchausen.is_some()),
            ("learner.conservatism", self.conservatism > 0.0 && !is_ilql),
            ("learner.value_bounds", self.value_bounds.is_some() && !is_ilql),
            ("learner.value_rescaling", self.value_rescaling.is_some()),
        ];
        for (key, _) in td_only.into_iter().filter(|(_, is_set)| *is_set && !is_td) {
            faults.push((
                key,
                "a value".to_owned(),
                "it changes TD targets or their loss: only the objective td has them",
            ));
        }
        faults
    }

    fn distribution_faults(&self, distribution: Distribution) -> Vec<(&'static str, String, &'static str)> {
        let mut faults = Vec::new();
        let mut fault = |found: Option<String>, key: &'static str, why: &'static str| {
            faults.extend(found.map(|found| (key, found, why)));
        };
        let why = "a soft value weighs the means of all actions; it has no distribution of its own: use max or double";
        let found = match self.bootstrap {
            Bootstrap::Soft { .. } => Some("soft".to_owned()),
            Bootstrap::Kl { .. } => Some("kl".to_owned()),
            Bootstrap::Max {} | Bootstrap::Double {} => None,
        };
        fault(found, "learner.bootstrap", why);
        let why = "only TD targets have distributions; the network must answer with the mean";
        let found = match self.objective {
            Objective::PathConsistency { .. } => Some("path_consistency".to_owned()),
            Objective::GroupConsistency {} => Some("group_consistency".to_owned()),
            Objective::Imitation {} => Some("imitation".to_owned()),
            Objective::OptimalCompletion {} => Some("optimal_completion".to_owned()),
            Objective::Ilql { .. } => Some("ilql".to_owned()),
            Objective::Td {} => None,
        };
        fault(found, "learner.objective", why);
        let why = "the mixture of returns of many lengths is defined for their means only";
        fault(self.lambda.map(|lambda| lambda.to_string()), "learner.lambda", why);
        let why = "the penalty compares means: the network must answer with the mean";
        let weight = self.conservatism;
        fault((weight > 0.0).then(|| weight.to_string()), "learner.conservatism", why);
        let why = "they bound the mean of a value; a categorical distribution has its own low and high";
        fault(self.value_bounds.map(|[low, high]| format!("[{low}, {high}]")), "learner.value_bounds", why);
        let why = "the policy of the data is learned beside means only";
        let weight = self.imitation;
        fault((weight > 0.0).then(|| weight.to_string()), "learner.imitation", why);
        let is_quantile = matches!(distribution, Distribution::Quantile { .. } | Distribution::Implicit { .. });
        let is_squared = is_quantile && self.loss == Loss::Mse {};
        fault(is_squared.then(|| "mse".to_owned()), "learner.loss", "quantiles are learned by the Huber loss");
        if let Distribution::Categorical { low, high, .. } = distribution {
            let found = (low >= high).then(|| format!("low = {low}, high = {high}"));
            fault(found, "network.distribution", "the lowest atom must lie below the highest");
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(distribution: Distribution, config: DqnConfig, expected: &[&str]) {
        let faults = config.faults(distribution);
        let keys: Vec<&str> = faults.iter().map(|fault| fault.0).collect();
        assert_eq!(keys, expected, "{config:?}");
    }

    #[test]
    fn implicit_quantiles_are_refused_what_has_no_distribution() {
        let implicit =
            Distribution::Implicit { n_cosines: 64, n_samples: 8, n_target_samples: 8, n_acting_samples: 32 };
        let base = DqnConfig::default;
        check(implicit, base(), &[]);
        check(implicit, DqnConfig { value_rescaling: Some(1e-3), n_step: 3, ..base() }, &[]);
        let soft = Bootstrap::Soft { temperature: 0.1, rewards_prior: false };
        check(implicit, DqnConfig { bootstrap: soft, ..base() }, &["learner.bootstrap"]);
        check(implicit, DqnConfig { objective: Objective::Imitation {}, ..base() }, &["learner.objective"]);
        check(implicit, DqnConfig { lambda: Some(0.5), ..base() }, &["learner.lambda"]);
        check(implicit, DqnConfig { conservatism: 0.5, ..base() }, &["learner.conservatism"]);
        check(implicit, DqnConfig { loss: Loss::Mse {}, ..base() }, &["learner.loss"]);
        check(Distribution::Mean, DqnConfig { loss: Loss::Mse {}, ..base() }, &[]);
    }

    #[test]
    fn bounds_of_values_are_refused_where_nothing_reads_them() {
        let check = |objective, expected: &[&str]| {
            let bounded =
                DqnConfig { objective, imitation: 0.0, value_bounds: Some([-1.0, 1.0]), ..DqnConfig::default() };
            let faults = bounded.faults(Distribution::Mean);
            let keys: Vec<&str> = faults.iter().map(|fault| fault.0).collect();
            assert_eq!(keys, expected, "{objective:?}");
        };
        check(Objective::Td {}, &[]);
        check(Objective::Imitation {}, &["learner.value_bounds"]);
        // That it teaches no policy of the data is another fault.
        check(Objective::Ilql { expectile: 0.8 }, &["learner.imitation"]);
    }
}
