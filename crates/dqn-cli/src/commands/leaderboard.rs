//! `leaderboard`: methods beside each other, over seeds.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use burn::tensor::Device;
use dqn_train::config::ExperimentConfig;
use dqn_train::leaderboard::{Finished, LeaderboardConfig, Method};
use dqn_train::run::{atomic, metrics};

use crate::args::{ExperimentFile, Leaderboard};
use crate::backend::Backend;
use crate::console::Console;
use crate::failure::{BadRequest, Ending};
use crate::parallel_runs::{FinishedRun, INTERRUPTED_NOTE, KeptRun, Quiet, in_parallel};
use crate::summary::shell_word;
use crate::{experiment_file, input, interrupt};

/// Where the runs lie that are given no place.
const RUNS: &str = "runs/leaderboard";

pub(crate) fn run(args: &Leaderboard, console: Console) -> anyhow::Result<Ending> {
    let backend = Backend::choose(args.backend.backend.as_deref())?;
    let stop = interrupt::listen(console)?;
    for path in &args.config {
        let board = Board::open(path, args)?;
        let device = backend.device()?;
        let Some(runs) = board.all_runs(args.parallel, backend, &device, stop, console)? else {
            console.note(INTERRUPTED_NOTE);
            return Ok(Ending::Interrupted);
        };
        let found = board.config.leaderboard(&runs);
        let command = format!("dqn-cli leaderboard --config {}", shell_word(&path.display().to_string()));
        let page = found.markdown(&command);
        let json = serde_json::to_string_pretty(&found).context("cannot write the leaderboard as JSON")?;
        for (extension, text) in [("md", page.as_str()), ("json", &(json + "\n")), ("svg", &found.svg())] {
            atomic::write_text(&board.output(extension), text)?;
        }
        match args.json {
            true => console.json(&found)?,
            false => console.result(&page)?,
        }
        console.note(&format!("The table lies in {} (and .json, .svg)", board.output("md").display()));
    }
    Ok(Ending::Done)
}

/// A leaderboard and where its runs lie.
struct Board {
    config: LeaderboardConfig,
    /// The folder of its file.
    folder: PathBuf,
    /// Where its runs lie.
    runs: PathBuf,
    /// The name of its files, without an extension.
    output: PathBuf,
    /// What every run changes.
    set: Vec<String>,
}

impl Board {
    fn open(path: &Path, args: &Leaderboard) -> anyhow::Result<Self> {
        let text = input::text(Some(path))?;
        let invalid = |what: String| BadRequest(format!("{}: {what}", path.display()));
        let config: LeaderboardConfig = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let name = path.file_stem().map_or_else(|| "leaderboard".into(), |name| name.to_string_lossy().into_owned());
        let mut seeds = config.seeds.clone();
        seeds.sort_unstable();
        seeds.dedup();
        if seeds.is_empty() || seeds.len() != config.seeds.len() {
            return Err(invalid("seeds must name at least one, and none twice".to_owned()).into());
        }
        let mut folders: Vec<String> = config.methods.iter().map(folder_of).collect();
        folders.sort();
        folders.dedup();
        if folders.is_empty() || folders.len() != config.methods.len() {
            let why = "there must be [[methods]], whose names differ in their letters and digits";
            return Err(invalid(why.to_owned()).into());
        }
        let runs = args.run_dir.clone().unwrap_or_else(|| PathBuf::from(RUNS)).join(&name);
        let output = match &args.output {
            Some(folder) => folder.join(&name),
            None => runs.join(&name),
        };
        std::fs::create_dir_all(&runs).with_context(|| format!("cannot create {}", runs.display()))?;
        let parent = output.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        std::fs::create_dir_all(&parent).with_context(|| format!("cannot create {}", parent.display()))?;
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        Ok(Self { config, folder, runs, output, set: args.set.clone() })
    }

    fn output(&self, extension: &str) -> PathBuf {
        self.output.with_extension(extension)
    }

    /// The experiment of a method with a seed.
    fn experiment(&self, method: &Method, seed: u64) -> anyhow::Result<ExperimentConfig> {
        let set = method.set.iter().chain(&self.set).cloned().collect();
        let file = ExperimentFile { config: Some(self.folder.join(&method.config)), set };
        let mut config = experiment_file::load(&file).with_context(|| format!("method {:?}", method.name))?;
        config.seed = seed;
        Ok(config)
    }

    /// The finished runs of all methods and seeds; nothing where `stop` was set.
    fn all_runs(
        &self,
        parallel: usize,
        backend: Backend,
        device: &Device,
        stop: &AtomicBool,
        console: Console,
    ) -> anyhow::Result<Option<Vec<Vec<Finished>>>> {
        let jobs: Vec<(usize, u64)> = (0..self.config.methods.len())
            .flat_map(|method| self.config.seeds.iter().map(move |&seed| (method, seed)))
            .collect();
        // Every fault of the settings is found before anything is trained.
        for &(method, seed) in &jobs {
            self.experiment(&self.config.methods[method], seed)?;
        }
        let work = |&(method, seed): &(usize, u64)| {
            let finished = self.finished(&self.config.methods[method], seed, backend, device, stop, console)?;
            Ok(finished.map(|finished| (method, finished)))
        };
        let Some(found) = in_parallel(&jobs, parallel, stop, work)? else { return Ok(None) };
        let mut runs = vec![Vec::new(); self.config.methods.len()];
        for (method, finished) in found {
            runs[method].push(finished);
        }
        Ok(Some(runs))
    }

    /// A finished run: one that lies there, or a new one, or one that goes on; nothing where `stop` was set.
    fn finished(
        &self,
        method: &Method,
        seed: u64,
        backend: Backend,
        device: &Device,
        stop: &AtomicBool,
        console: Console,
    ) -> anyhow::Result<Option<Finished>> {
        let path = self.runs.join(format!("{}-{seed}", folder_of(method)));
        let run = KeptRun::open(&path, self.experiment(method, seed)?, backend, device)?;
        let Some(FinishedRun { report, wall_seconds, was_there }) = run.finish(device, stop, &mut Quiet)? else {
            return Ok(None);
        };
        let records = metrics::read_records(&run.directory.metrics_path())?;
        let on_the_way = records.iter().filter_map(|record| record.scalars.get("validation/return").copied()).collect();
        let behavior_returns = run.experiment.behavior()?.map(|data| data.returns.clone()).unwrap_or_default();
        let finished = Finished { seed, report, wall_seconds, on_the_way, behavior_returns };
        let what = if was_there { "was there" } else { "is done" };
        let learned = finished.report.learned.first().and_then(|name| {
            let row = finished.report.rows.iter().find(|row| row.policy == *name)?;
            Some(format!(": return {:.3}", row.episode_return.mean))
        });
        let learned = learned.unwrap_or_default();
        console.note(&format!("{}, seed {seed}, {what}{learned}, {wall_seconds:.1} s", method.name));
        Ok(Some(finished))
    }
}

/// The folder of a method's runs, but for the seed.
fn folder_of(method: &Method) -> String {
    let plain = |letter: char| if letter.is_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    method.name.chars().map(plain).collect()
}
