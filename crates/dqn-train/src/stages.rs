//! What the stages of an experiment take from each other, before the first has begun.

use burn::tensor::Device;

use crate::TrainError;
use crate::config::PriorConfig;
use crate::config::stages::{Stage, StagedConfig, reference};
use crate::experiment::Experiment;
use crate::other_run::OtherRun;

/// Builds every stage and refuses one that could not go by what an earlier one will have learned: of another vocabulary,
/// other actions or sources, or a network that its parameters do not fit.
///
/// # Errors
/// The name of the stage, and why it cannot be built; the runs of stages are called `stage:NAME` in it.
pub fn check_fit(staged: &StagedConfig, device: &Device) -> Result<(), (String, TrainError)> {
    let mut earlier: Vec<(&str, OtherRun)> = Vec::new();
    for stage in &staged.stages {
        let untrained = fitting(stage, &earlier, device).map_err(|error| (stage.name.clone(), error))?;
        earlier.push((&stage.name, untrained));
    }
    Ok(())
}

/// The run of a stage before it has learned anything.
fn fitting(stage: &Stage, earlier: &[(&str, OtherRun)], device: &Device) -> Result<OtherRun, TrainError> {
    let mut config = stage.config.clone();
    // The parameters of earlier stages are still to be learned: the rest is built without them.
    if let Some(PriorConfig::Network { run, .. }) = &config.prior
        && reference(run).is_some()
    {
        config.prior = None;
    }
    if config.training.initial.as_ref().is_some_and(|initial| reference(&initial.run).is_some()) {
        config.training.initial = None;
    }
    let experiment = Experiment::build(config, None, device)?;
    for (_, run, _) in stage.config.other_runs() {
        let named = reference(run).and_then(|name| earlier.iter().find(|(stage, _)| *stage == name));
        if let Some((_, other)) = named {
            other.check_reads_alike(&experiment, run)?;
        }
    }
    if let Some(initial) = &stage.config.training.initial
        && let Some(name) = reference(&initial.run)
        && let Some((_, other)) = earlier.iter().find(|(stage, _)| *stage == name)
    {
        other.parameters_for(experiment.random_network(device), &experiment.config.network, initial)?;
    }
    OtherRun::untrained(experiment, device)
}
