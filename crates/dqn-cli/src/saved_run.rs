//! A run on the disk, opened to be used.

use burn::tensor::Device;
use dqn_core::Progress;
use dqn_model::TextQNetwork;
use dqn_train::experiment::Experiment;
use dqn_train::run::directory::RunDirectory;
use dqn_train::runner::{self, Origin};

use crate::args::{BackendChoice, RunChoice};
use crate::backend::Backend;
use crate::failure::BadRequest;

/// A run and the network of one of its checkpoints.
pub(crate) struct SavedRun {
    pub(crate) experiment: Experiment,
    pub(crate) device: Device,
    pub(crate) network: TextQNetwork,
    pub(crate) progress: Progress,
}

impl SavedRun {
    pub(crate) fn open(choice: &RunChoice) -> anyhow::Result<Self> {
        let directory = RunDirectory::open(&choice.run)?;
        let device = backend(&choice.backend, &runner::origin(&directory)?)?.device()?;
        let (experiment, _) = runner::open_experiment(&directory, &device)?;
        let (network, progress) = runner::load_network(&directory, &experiment, choice.checkpoint, &device)?;
        Ok(Self { experiment, device, network, progress })
    }
}

/// The backend to go on with: the one asked for or, where none is, the one the run began on if it is compiled in.
pub(crate) fn backend(choice: &BackendChoice, origin: &Origin) -> Result<Backend, BadRequest> {
    match &choice.backend {
        Some(name) => Backend::choose(Some(name)),
        None => Backend::choose(Some(&origin.backend)).or_else(|_| Backend::choose(None)),
    }
}
