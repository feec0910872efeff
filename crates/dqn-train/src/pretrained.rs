//! Pretrained models as parts of an experiment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use dqn_core::{Companions, InputShape};
use dqn_mdp::{ActionTable, Seed, TokenId};
use dqn_model::pretrained::{
    HiddenStates, ModelConfig, PretrainedBase, PretrainedConfig, PretrainedError, PretrainedFiles,
};
use dqn_model::{HeadConfig, NetworkConfig, TextQNetwork, TorsoConfig};

use crate::TrainError;
use crate::memory::MemoryEstimate;

/// A model that was read, and the blake3 of its files in hexadecimal.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) base: Arc<PretrainedBase>,
    pub(crate) fingerprint: String,
}

/// What an experiment asks of a model.
pub(crate) struct Needs<'a> {
    /// For each token of the vocabulary its id in the model.
    pub(crate) model_ids: &'a [TokenId],
    /// Tokens of the longest text that it is to read.
    pub(crate) longest: usize,
    /// What networks on it read.
    pub(crate) states: HiddenStates,
    /// Megabytes of these that are kept.
    pub(crate) kept_megabytes: u64,
}

/// Reads the model in `folder`.
///
/// # Errors
/// [`TrainError::DoesNotFit`] when that needs more than is free by `memory`, and [`TrainError::Pretrained`] when it cannot be
/// read, is of another tokenizer or reads shorter texts only.
pub(crate) fn open(
    folder: &Path,
    Needs { model_ids, longest, states, kept_megabytes }: Needs<'_>,
    memory: impl FnOnce(&ModelConfig) -> MemoryEstimate,
    device: &Device,
) -> Result<Opened, TrainError> {
    let files = PretrainedFiles::open(folder)?;
    memory(files.config()).check(folder)?;
    let n_positions = files.config().n_positions;
    if longest > n_positions {
        return Err(PretrainedError::TooLong { n_tokens: longest, n_positions }.into());
    }
    let fingerprint = fingerprint(folder)?;
    let base = PretrainedBase::new(files.load(device)?, model_ids.to_vec(), states)?;
    let base = base
        .keeping(kept_megabytes * 1_000_000)
        .map_err(|source| TrainError::Write { path: std::env::temp_dir(), source })?;
    Ok(Opened { base: Arc::new(base), fingerprint })
}

/// The model as a network whose values are its logits.
pub(crate) fn as_network(
    base: &Arc<PretrainedBase>,
    shape: InputShape,
    actions: &ActionTable,
    device: &Device,
) -> TextQNetwork {
    let torso = PretrainedConfig {
        folder: PathBuf::new(),
        trained_blocks: 0,
        lora: None,
        states: base.states(),
        kept_megabytes: 0,
    };
    let config = NetworkConfig {
        torso: TorsoConfig::Pretrained(torso),
        head: HeadConfig::LanguageModel {},
        ..NetworkConfig::default()
    };
    // Nothing of it is drawn but the number that tells its device.
    config.init_on(Some(base), shape, actions, Companions::default(), &mut Seed(0).stream("prior"), device)
}

/// blake3 of the configuration and of all safetensors of a folder, with their names, in hexadecimal.
fn fingerprint(folder: &Path) -> Result<String, TrainError> {
    let unread = |path: &Path| {
        let path = path.to_owned();
        |source| TrainError::Read { path, source }
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unread(folder))? {
        let path = entry.map_err(unread(folder))?.path();
        let is_part = path.extension().is_some_and(|end| end == "safetensors" || end == "json")
            && path.file_name().is_none_or(|name| name != "generation_config.json");
        files.extend(is_part.then_some(path));
    }
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for path in files {
        hasher.update(path.file_name().map_or(&[], |name| name.as_encoded_bytes()));
        hasher.update_reader(std::fs::File::open(&path).map_err(unread(&path))?).map_err(unread(&path))?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}
