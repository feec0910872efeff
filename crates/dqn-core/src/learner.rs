//! The learner: one update from one batch.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::{Bytes, Tensor};
use dqn_mdp::Seed;
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batch::{DeviceBatch, SequenceBatch};
use crate::bootstrap::{Bootstrap, StateValues};
use crate::error::CoreError;
use crate::loss::Loss;
use crate::network::QNetwork;
use crate::optimizer::{OptimizerConfig, clip_by_global_norm};
use crate::schedule::Progress;
use crate::target::TdTarget;
use crate::target_network::TargetUpdate;

/// What one update did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateStats {
    /// Mean loss over the steps of the batch.
    pub loss: f32,
    /// Mean value of the actions taken, before the update.
    pub mean_q: f32,
    /// Mean TD target.
    pub mean_target: f32,
    /// Mean absolute TD error.
    pub mean_td_error: f32,
    /// Norm of all gradients together, before clipping.
    pub gradient_norm: f32,
    /// Steps learned from.
    pub n_transitions: usize,
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

/// The settings of an update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DqnConfig {
    /// How the value of the next state is estimated.
    #[serde(default = "default_bootstrap")]
    pub bootstrap: Bootstrap,
    /// The penalty of a TD error.
    #[serde(default = "default_loss")]
    pub loss: Loss,
    /// How the target network follows the online network.
    #[serde(default = "default_target_update")]
    pub target_update: TargetUpdate,
    /// The optimizer.
    #[serde(default = "default_optimizer")]
    pub optimizer: OptimizerConfig,
    /// Largest norm of all gradients together; larger ones are scaled down. Leave it out for no limit.
    #[serde(default)]
    #[schemars(range(min = 1e-9))]
    pub max_gradient_norm: Option<f64>,
    /// Discount of one step, from 0 to 1; 1 suits texts of limited length.
    #[serde(default = "default_discount")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub discount: f64,
    /// Steps whose rewards enter a TD target before its value does.
    #[serde(default = "default_n_step")]
    #[schemars(range(min = 1, max = 1000))]
    pub n_step: usize,
    /// Windows in a batch.
    #[serde(default = "default_batch_windows")]
    #[schemars(range(min = 1, max = 65536))]
    pub batch_windows: usize,
    /// Steps in a window: 1 learns from single transitions as in the textbook, more from a whole stretch in one pass.
    #[serde(default = "default_window_steps")]
    #[schemars(range(min = 1, max = 65536))]
    pub window_steps: usize,
    /// Tokens before a window that the network reads as context without learning from them; 0 reads the whole text.
    #[serde(default)]
    pub context_tokens: usize,
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
        learning_rate: crate::schedule::Schedule::Constant { value: 1e-3 },
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
    }
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
            bootstrap: default_bootstrap(),
            loss: default_loss(),
            target_update: default_target_update(),
            optimizer: default_optimizer(),
            max_gradient_norm: None,
            discount: default_discount(),
            n_step: default_n_step(),
            batch_windows: default_batch_windows(),
            window_steps: default_window_steps(),
            context_tokens: 0,
        }
    }
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
    /// What the network itself draws (dropout) depends on `noise` and the number of the update only, so that it is the
    /// same in a resumed run.
    pub fn new(config: DqnConfig, network: N, noise: Seed) -> Self {
        Self { target: network.valid(), optimizer: config.optimizer.init(), online: network, config, noise }
    }

    /// The online network without a graph, to act with.
    pub fn acting(&self) -> N {
        self.online.valid()
    }

    /// TD targets of all steps: `[batch, steps]`.
    fn targets(&self, batch: &DeviceBatch, online_features: &Tensor<3>) -> Tensor<2> {
        let bootstrap = self.config.bootstrap;
        let q_online = bootstrap.needs_online().then(|| {
            let features = online_features.clone().inner();
            self.online.valid().q_values(features)
        });
        let values = StateValues {
            q_target: self.target.q_values(self.target.features(&batch.input)),
            q_online,
            log_prior: batch.log_prior.clone(),
            mask: batch.mask.clone(),
        };
        let target = TdTarget {
            returns: batch.returns.clone(),
            discounts: batch.discounts.clone(),
            values: values.value(bootstrap),
            bootstrap_states: batch.bootstrap_states.clone(),
        };
        target.value()
    }
}

impl<N: QNetwork> Learner for DqnLearner<N> {
    fn update(&mut self, batch: SequenceBatch, progress: Progress) -> Result<UpdateStats, CoreError> {
        let (n_transitions, n_steps) = (batch.n_transitions(), batch.n_steps);
        let device = self.target.device();
        device.seed(self.noise.stream(&format!("noise {}", progress.updates)).random());
        let batch = batch.upload(&device);
        let features = self.online.features(&batch.input.clone().lifted());
        let target = self.targets(&batch, &features);

        let at_steps = features.narrow(1, 0, n_steps);
        let q_taken = self.online.q_taken(at_steps, Tensor::from_inner(batch.actions));
        let td_error = q_taken.clone() - Tensor::from_inner(target.clone());
        let loss = self.config.loss.mean(td_error.clone(), Tensor::from_inner(batch.valid.clone()));

        let mut gradients = GradientsParams::from_grads(loss.backward(), &self.online);
        let gradient_norm = clip_by_global_norm(&mut gradients, &self.online, self.config.max_gradient_norm);
        let learning_rate = self.config.optimizer.learning_rate().value(progress);
        self.online = self.optimizer.step(learning_rate, self.online.clone(), gradients);
        self.target = self.config.target_update.apply(self.target.clone(), &self.online.valid(), progress.updates + 1);

        let mean = |values: Tensor<2>| (values * batch.valid.clone()).sum() / batch.valid.clone().sum();
        let scalars = Tensor::cat(
            vec![loss.inner(), mean(q_taken.inner()), mean(target), mean(td_error.inner().abs()), gradient_norm],
            0,
        );
        let scalars: Vec<f32> =
            scalars.into_data().convert::<f32>().try_to_vec().expect("the scalars are 32-bit floats");
        let [loss, mean_q, mean_target, mean_td_error, gradient_norm] =
            scalars.try_into().expect("five scalars were read back");
        if !loss.is_finite() {
            return Err(CoreError::NotFinite { update: progress.updates + 1, loss });
        }
        Ok(UpdateStats { loss, mean_q, mean_target, mean_td_error, gradient_norm, n_transitions })
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
const TARGET: &str = "target";
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

fn part<'a>(name: &str, parts: &'a BTreeMap<String, Vec<u8>>) -> Result<&'a [u8], CoreError> {
    let part = parts.get(name).ok_or_else(|| CoreError::MissingPart { part: name.to_owned() })?;
    Ok(part)
}

fn unfit(part: &str, error: &RecordError) -> CoreError {
    CoreError::Unfit { part: part.to_owned(), message: error.to_string() }
}
