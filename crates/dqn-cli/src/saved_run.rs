//! A run on the disk, opened to be used.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dqn_core::Progress;
use dqn_model::TextQNetwork;
use dqn_train::TrainError;
use dqn_train::experiment::Experiment;
use dqn_train::run::checkpoint::Which;
use dqn_train::run::directory::RunDirectory;
use dqn_train::run::stages::run_in;
use dqn_train::runner;

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
        Self::opened(choice, |directory, device| Ok(runner::open_experiment(directory, device)?.0))
    }

    /// A run that is to write about what people give; the data that it learned from need not be there.
    pub(crate) fn open_to_answer(choice: &RunChoice) -> anyhow::Result<Self> {
        Self::opened(choice, runner::open_to_answer)
    }

    fn opened(
        choice: &RunChoice,
        experiment: impl FnOnce(&RunDirectory, &Device) -> Result<Experiment, TrainError>,
    ) -> anyhow::Result<Self> {
        let directory = RunDirectory::open(place(&choice.run)?)?;
        let device = backend(&choice.backend, &runner::origin(&directory)?.backend)?.device()?;
        let experiment = experiment(&directory, &device)?;
        let (network, progress) = runner::load_network(&directory, &experiment, choice.checkpoint, &device)?;
        Ok(Self { experiment, device, network, progress })
    }
}

/// Whether a folder that may be a model's or a run's is a run's.
pub(crate) fn is_run(folder: &Path) -> anyhow::Result<bool> {
    Ok(!folder.join("config.json").is_file() && RunDirectory::is_one(&run_in(folder)?))
}

/// Refuses a checkpoint that was named of the folder of a model.
pub(crate) fn refuse_checkpoint(checkpoint: Option<Which>) -> Result<(), BadRequest> {
    match checkpoint {
        Some(_) => Err(BadRequest("--checkpoint is for runs, and this is a folder of a model".to_owned())),
        None => Ok(()),
    }
}

/// Where the run lies that a person names: there or, where stages lie there, in the last of them that has begun.
pub(crate) fn place(named: &Path) -> anyhow::Result<PathBuf> {
    let run = run_in(named)?;
    if run != named {
        tracing::info!("{} holds stages; this is the last that has begun, {}", named.display(), run.display());
    }
    Ok(run)
}

/// The backend to go on with: the one asked for or, where none is, the one the run began on if it is compiled in.
pub(crate) fn backend(choice: &BackendChoice, began_on: &str) -> Result<Backend, BadRequest> {
    match &choice.backend {
        Some(name) => Backend::choose(Some(name)),
        None => Backend::choose(Some(began_on)).or_else(|_| Backend::choose(None)),
    }
}
