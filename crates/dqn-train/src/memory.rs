//! Whether a pretrained model, and learning on it, fit into the memory there is: estimated before anything is read.

use std::fmt;
use std::path::Path;

use dqn_core::DqnConfig;
use dqn_core::objective::Objective;
use dqn_model::pretrained::{ModelConfig, PretrainedConfig};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::TrainError;

/// Bytes of a number.
const FLOAT: u64 = size_of::<f32>() as u64;
/// What a parameter that is learned has: itself, its gradient, two moments, and the target network's.
const PER_LEARNED: u64 = 5;
/// Arrays over all states and actions that an update has at a time: values of both networks, mask or prior, and what their
/// soft maximum and its gradient are made of.
const PER_VALUE: u64 = 6;

/// Bytes that a pretrained model, or learning on it, takes at least.
///
/// It counts what grows with the model and the batch, and is meant to be right within a factor of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// The parameters of the model: as they are trained and exported, and once more in the order in which they are read.
    pub model: u64,
    /// What belongs to the parameters that are trained, and what is remembered of them.
    pub learned: u64,
    /// What blocks keep of a part of a batch until their gradients are known.
    pub activations: u64,
    /// Values of all actions in all states of a part of a batch.
    pub values: u64,
}

/// A batch as far as memory goes.
#[derive(Clone, Copy, Debug)]
pub struct BatchSize {
    /// Windows that go through the network at a time.
    pub n_windows: usize,
    /// Tokens of the longest text.
    pub n_tokens: usize,
    /// States of a window.
    pub n_states: usize,
    /// Actions.
    pub n_actions: usize,
}

impl BatchSize {
    /// The largest batch of an experiment whose texts have up to `longest` tokens.
    pub fn of(learner: &DqnConfig, longest: usize, n_actions: usize) -> Self {
        let n_windows = learner.micro_batch_windows.unwrap_or(learner.batch_windows);
        let n_states = (learner.window_steps + learner.n_step).min(longest);
        Self { n_windows, n_tokens: longest, n_states, n_actions }
    }
}

impl MemoryEstimate {
    /// Of writing with a model.
    pub fn of_writing(model: &ModelConfig) -> Self {
        Self { model: 2 * FLOAT * model.n_parameters() as u64, ..Self::default() }
    }

    /// Of learning on a model.
    pub fn of_learning(model: &ModelConfig, torso: &PretrainedConfig, learner: &DqnConfig, batch: BatchSize) -> Self {
        let (n_layers, width) = (model.n_layers as u64, model.width as u64);
        let tables = (model.vocab_size * model.width) as u64 * if model.is_tied { 1 } else { 2 };
        let of_block = (model.n_parameters() as u64).saturating_sub(tables) / n_layers.max(1);
        let n_trained = (torso.trained_blocks as u64).min(n_layers);
        // An adapter of a projection has a row of its inputs and one of its outputs for each rank; there are seven.
        let n_adapted = torso.lora.map_or(0, |lora| n_layers * 7 * lora.rank as u64 * 2 * width);
        let n_learned = n_trained * of_block + n_adapted;
        let n_recorded = if torso.lora.is_some() { n_layers } else { n_trained };
        let n_tokens = (batch.n_windows * batch.n_tokens) as u64;
        let attention = (2 * model.n_heads * batch.n_tokens) as u64;
        let of_token = 8 * width + 4 * model.hidden_width as u64 + attention;
        // The network that acts has what was learned in weights of its own.
        let merged = if n_learned > 0 { 2 * model.n_parameters() as u64 } else { 0 };
        let n_values = (batch.n_windows * batch.n_states * batch.n_actions) as u64;
        let heads = if matches!(learner.objective, Objective::Ilql { .. }) { 2 } else { 1 };
        Self {
            model: Self::of_writing(model).model,
            learned: FLOAT * (PER_LEARNED * n_learned + merged),
            activations: FLOAT * n_tokens * (n_recorded * of_token + 2 * torso.states.width(model) as u64),
            values: FLOAT * PER_VALUE * heads * n_values,
        }
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.model + self.learned + self.activations + self.values
    }

    /// Refuses what needs more than the memory that is free.
    ///
    /// # Errors
    /// [`TrainError::DoesNotFit`]. Where the system does not tell how much is free, nothing is refused.
    pub fn check(self, folder: &Path) -> Result<(), TrainError> {
        self.fits(folder, available())
    }

    fn fits(self, folder: &Path, available: u64) -> Result<(), TrainError> {
        match available > 0 && self.total() > available {
            true => Err(TrainError::DoesNotFit { folder: folder.to_owned(), estimate: self, available }),
            false => Ok(()),
        }
    }
}

/// Bytes that this process may still take, within the limit of its control group; 0 where nobody tells.
fn available() -> u64 {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let Ok(system) = System::new_with_specifics(memory) else { return 0 };
    let free = system.available_memory();
    // What a control group counts as used holds files that can be dropped.
    system.cgroup_limits().map_or(free, |limits| limits.total_memory.saturating_sub(limits.rss).min(free))
}

/// Gigabytes with one digit, megabytes below one.
pub(crate) fn amount(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes => format!("{:.0} MB", bytes / 1e6),
    }
}

impl fmt::Display for MemoryEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.model, "the model"),
            (self.learned, "what is trained of it"),
            (self.activations, "activations of a batch"),
            (self.values, "values of its actions"),
        ];
        write!(f, "about {}", amount(self.total()))?;
        let parts: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", amount(*n))).collect();
        if parts.len() > 1 { write!(f, " ({})", parts.join(", ")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use dqn_model::pretrained::{HiddenStates, LoraConfig};

    use super::*;

    fn model() -> ModelConfig {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dqn-model/tests/golden/pretrained/llama");
        ModelConfig::read(&folder).unwrap()
    }

    fn torso(trained_blocks: usize, lora: Option<LoraConfig>) -> PretrainedConfig {
        PretrainedConfig { folder: "model".into(), trained_blocks, lora, states: HiddenStates::Last, kept_megabytes: 0 }
    }

    const BATCH: BatchSize = BatchSize { n_windows: 10, n_tokens: 20, n_states: 5, n_actions: 1000 };

    fn of(torso: &PretrainedConfig, batch: BatchSize) -> MemoryEstimate {
        MemoryEstimate::of_learning(&model(), torso, &DqnConfig::default(), batch)
    }

    #[test]
    fn what_is_frozen_costs_no_more_than_itself() {
        let (model, frozen) = (model(), of(&torso(0, None), BATCH));
        let n_parameters = model.n_parameters() as u64;
        assert_eq!(frozen.model, 8 * n_parameters);
        assert_eq!(frozen.learned, 0);
        assert_eq!(frozen.activations, 4 * 200 * 2 * model.width as u64);
        assert_eq!(frozen.values, 4 * 6 * 50_000);
        let (all, adapted) =
            (of(&torso(99, None), BATCH), of(&torso(0, Some(LoraConfig { rank: 1, alpha: 1.0 })), BATCH));
        // All blocks with gradient, moments and target, and the model once more to act with.
        assert!(all.learned > 4 * 5 * (n_parameters / 2) && all.learned < 4 * 7 * n_parameters, "{all:?}");
        assert!(adapted.learned < all.learned && adapted.activations == all.activations);
        let half = BatchSize { n_windows: 5, ..BATCH };
        assert_eq!(of(&torso(99, None), half).activations, all.activations / 2);
    }

    #[test]
    fn a_part_of_a_batch_is_what_counts() {
        let learner = DqnConfig { batch_windows: 64, window_steps: 8, n_step: 3, ..DqnConfig::default() };
        assert_eq!(BatchSize::of(&learner, 100, 7).n_states, 11);
        assert_eq!(BatchSize::of(&learner, 9, 7).n_states, 9);
        assert_eq!(BatchSize::of(&learner, 9, 7).n_windows, 64);
        let parts = DqnConfig { micro_batch_windows: Some(4), ..learner };
        assert_eq!(BatchSize::of(&parts, 9, 7).n_windows, 4);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_parts() {
        let estimate =
            MemoryEstimate { model: 6_000_000_000, learned: 0, activations: 30_000_000, values: 1_500_000_000 };
        let refused = estimate.fits(Path::new("big"), 4_000_000_000).unwrap_err();
        assert!(refused.is_request_fault(), "{refused}");
        let expected = [
            "big",
            "about 7.5 GB (6.0 GB the model, 30 MB activations of a batch, 1.5 GB values of its actions)",
            "4.0 GB",
            "learner.micro_batch_windows",
        ];
        for part in expected {
            assert!(refused.to_string().contains(part), "{refused}");
        }
        estimate.fits(Path::new("big"), 8_000_000_000).unwrap();
        estimate.fits(Path::new("big"), 0).unwrap();
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available() > 1_000_000, "{}", available());
    }
}
