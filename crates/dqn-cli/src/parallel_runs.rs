//! Several runs at a time in one process, each in a folder that the same command goes on with.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{fs, thread};

use anyhow::Context;
use burn::tensor::Device;
use dqn_train::config::ExperimentConfig;
use dqn_train::config::layers::first_difference;
use dqn_train::experiment::Experiment;
use dqn_train::report::Report;
use dqn_train::run::directory::RunDirectory;
use dqn_train::runner::{self, Event, Observer, RunEnd};
use toml::Table;

use crate::backend::Backend;
use crate::commands::store_report;
use crate::failure::BadRequest;
use crate::input;

/// What is said after Ctrl-C.
pub(crate) const INTERRUPTED_NOTE: &str = "Stopped and saved; the same command goes on where this one stopped";

/// Does all `jobs`, `parallel` at a time, and returns their results in the order of the jobs; nothing where `stop` was set
/// before the last was done, or a job returned nothing.
///
/// After an error no other job begins, those under way come to their end, and the first error is returned.
pub(crate) fn in_parallel<J: Sync, R: Send>(
    jobs: &[J],
    parallel: usize,
    stop: &AtomicBool,
    work: impl Fn(&J) -> anyhow::Result<Option<R>> + Sync,
) -> anyhow::Result<Option<Vec<R>>> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let worker = || -> anyhow::Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::SeqCst);
            let Some(job) = jobs.get(index).filter(|_| !stop.load(Ordering::SeqCst)) else { return Ok(()) };
            let result = work(job).inspect_err(|_| next.store(jobs.len(), Ordering::SeqCst))?;
            if let Some(result) = result {
                results.lock().unwrap_or_else(PoisonError::into_inner).insert(index, result);
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..parallel.min(jobs.len())).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let found = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((found.len() == jobs.len()).then(|| found.into_values().collect()))
}

/// A run in a folder of its own: one that lies there, or a new one.
pub(crate) struct KeptRun {
    pub(crate) experiment: Experiment,
    pub(crate) directory: RunDirectory,
    /// Whether it was begun before.
    pub(crate) was_begun: bool,
}

/// A run that has come to its end.
pub(crate) struct FinishedRun {
    pub(crate) report: Report,
    /// Seconds of training and of the evaluations in between.
    pub(crate) wall_seconds: f64,
    /// Whether it was finished before.
    pub(crate) was_there: bool,
}

impl KeptRun {
    /// Opens the run of `config` at `path`, or begins it.
    ///
    /// A run of other settings is refused.
    pub(crate) fn open(
        path: &Path,
        config: ExperimentConfig,
        backend: Backend,
        device: &Device,
    ) -> anyhow::Result<Self> {
        if !runner::is_begun(path) {
            let experiment = Experiment::build(config, None, device)?;
            RunDirectory::discard_unbegun(path)?;
            let directory = runner::create(path, &experiment, backend.name())?;
            return Ok(Self { experiment, directory, was_begun: false });
        }
        let directory = RunDirectory::open_for_writing(path)?;
        refuse_other_settings(&directory, &config)?;
        let (experiment, origin) = runner::open_experiment(&directory, device)?;
        if backend.name() != origin.backend {
            let (path, now) = (path.display(), backend.name());
            tracing::warn!("{path} began on {} and goes on on {now}; it will not end in the same bits", origin.backend);
        }
        Ok(Self { experiment, directory, was_begun: true })
    }

    /// Runs it to its end and keeps its report, or reads the report where it is finished; nothing where `stop` was set.
    pub(crate) fn finish(
        &self,
        device: &Device,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> anyhow::Result<Option<FinishedRun>> {
        let report_path = self.directory.eval_path().join("report.json");
        let was_there = report_path.is_file();
        if !was_there {
            match runner::run(&self.experiment, &self.directory, device, self.was_begun, stop, observer)? {
                RunEnd::Finished(report) => store_report(&self.directory, &report)?,
                RunEnd::Interrupted { .. } => return Ok(None),
            };
        }
        let text = input::text(Some(&report_path))?;
        let unread = || format!("{} is no report of this version", report_path.display());
        let mut value: serde_json::Value = serde_json::from_str(&text).with_context(unread)?;
        let report: Report = serde_json::from_value(value["report"].take()).with_context(unread)?;
        let wall_seconds = value["speed"]["wall_seconds"].as_f64().unwrap_or(0.0);
        Ok(Some(FinishedRun { report, wall_seconds, was_there }))
    }
}

fn refuse_other_settings(directory: &RunDirectory, config: &ExperimentConfig) -> anyhow::Result<()> {
    let path = directory.config_path();
    let found = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let resolved = config.to_toml()?;
    if found == resolved {
        return Ok(());
    }
    let table = |text: &str| text.parse::<Table>().with_context(|| format!("{} is not valid TOML", path.display()));
    match first_difference(&table(&found)?, &table(&resolved)?) {
        None => Ok(()),
        Some(difference) => {
            let run = directory.path().display();
            let why = "remove it, or name another place with --run-dir";
            Err(BadRequest(format!("{run} holds a run of other settings: {difference}; {why}")).into())
        }
    }
}

/// Watches a run and says nothing.
pub(crate) struct Quiet;

impl Observer for Quiet {
    fn on(&mut self, _event: Event<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let stop = AtomicBool::new(false);
        let jobs: Vec<u32> = (0..50).collect();
        for parallel in [1, 3, 80] {
            let found = in_parallel(&jobs, parallel, &stop, |&job| Ok(Some(job * job))).unwrap().unwrap();
            assert_eq!(found, jobs.iter().map(|job| job * job).collect::<Vec<_>>());
        }
        assert_eq!(in_parallel(&[], 2, &stop, |&job: &u32| Ok(Some(job))).unwrap(), Some(Vec::new()));
    }

    #[test]
    fn a_stop_or_an_error_ends_the_rest() {
        let (stop, n_begun) = (AtomicBool::new(false), AtomicUsize::new(0));
        let begin = |limit: usize| n_begun.fetch_add(1, Ordering::SeqCst) + 1 == limit;
        let jobs = [0; 10];
        let stopped = in_parallel(&jobs, 1, &stop, |_| {
            stop.store(begin(3), Ordering::SeqCst);
            Ok(Some(()))
        });
        assert_eq!((stopped.unwrap(), n_begun.swap(0, Ordering::SeqCst)), (None, 3));
        stop.store(false, Ordering::SeqCst);
        let failed =
            in_parallel(&jobs, 1, &stop, |_| if begin(4) { anyhow::bail!("the fourth") } else { Ok(Some(())) });
        assert_eq!((failed.unwrap_err().to_string().as_str(), n_begun.load(Ordering::SeqCst)), ("the fourth", 4));
    }
}
