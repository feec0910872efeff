//! The folder of an experiment in stages.
//!
//! ```text
//! stages.json   format of the folder, version of the program that made it, and the backend
//! stages.toml   the stages with every setting: an experiment file itself
//! 1-NAME/       the run of the first stage, once it has begun
//! 2-NAME/       and so on
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::atomic;
use crate::config::ExperimentConfig;
use crate::config::stages::StagedConfig;
use crate::error::TrainError;
use crate::runner;

/// The layout this program makes, and the only one it opens.
pub const STAGES_FORMAT: u32 = 1;

const MARKER_NAME: &str = "stages.json";
const CONFIG_NAME: &str = "stages.toml";

/// What `stages.json` holds.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    format: u32,
    program_version: String,
    backend: String,
}

/// The folder of an experiment in stages.
#[derive(Debug)]
pub struct StagedDirectory {
    path: PathBuf,
    backend: String,
    staged: StagedConfig,
}

impl StagedDirectory {
    /// Makes the folder, which may exist if it is empty.
    ///
    /// # Errors
    /// [`TrainError::CreateRun`] when it cannot be made, [`TrainError::RunExists`] when it is not empty.
    pub fn create(path: &Path, staged: StagedConfig, backend: &str) -> Result<Self, TrainError> {
        let fault = |source| TrainError::CreateRun { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(fault)?;
        // What a process left that was killed while it made the folder is written anew; the marker comes last.
        let is_left_over = |name: &str| [CONFIG_NAME, "stages.toml.partial", "stages.json.partial"].contains(&name);
        for entry in fs::read_dir(path).map_err(fault)? {
            let found = entry.map_err(fault)?.file_name().to_string_lossy().into_owned();
            if !is_left_over(&found) {
                return Err(TrainError::RunExists { path: path.to_owned(), found });
            }
        }
        atomic::write_text(&path.join(CONFIG_NAME), &staged.to_toml()?)?;
        let program_version = env!("CARGO_PKG_VERSION").to_owned();
        let marker = Marker { format: STAGES_FORMAT, program_version, backend: backend.to_owned() };
        let marker = serde_json::to_string(&marker)
            .map_err(|error| TrainError::Internal { message: format!("writing {MARKER_NAME}: {error}") })?;
        atomic::write_text(&path.join(MARKER_NAME), &(marker + "\n"))?;
        Ok(Self { path: path.to_owned(), backend: backend.to_owned(), staged })
    }

    /// Whether the folder at `path` is one of stages.
    pub fn is_at(path: &Path) -> bool {
        path.join(MARKER_NAME).is_file()
    }

    /// Opens the folder.
    ///
    /// # Errors
    /// [`TrainError::NotStages`] when it is none, [`TrainError::RunVersion`] when its layout is of another version, and those of
    /// [`StagedConfig::from_table`] when its settings were changed by hand.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let not_stages = |message| TrainError::NotStages { path: path.to_owned(), message };
        let text = fs::read_to_string(path.join(MARKER_NAME))
            .map_err(|fault| not_stages(format!("{MARKER_NAME} cannot be read: {fault}")))?;
        let marker: Marker = serde_json::from_str(&text)
            .map_err(|fault| not_stages(format!("{MARKER_NAME} does not name format, version and backend: {fault}")))?;
        if marker.format != STAGES_FORMAT {
            return Err(TrainError::RunVersion {
                path: path.to_owned(),
                found: marker.format,
                found_program: marker.program_version,
                supported: STAGES_FORMAT,
                program: env!("CARGO_PKG_VERSION"),
            });
        }
        let config_path = path.join(CONFIG_NAME);
        let text = fs::read_to_string(&config_path)
            .map_err(|source: io::Error| TrainError::Read { path: config_path.clone(), source })?;
        let origin = config_path.display().to_string();
        let staged = StagedConfig::from_table(ExperimentConfig::parse(&text, &origin)?, &text, &origin, &[])?;
        Ok(Self { path: path.to_owned(), backend: marker.backend, staged })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The backend that it was made for.
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// The stages.
    pub fn staged(&self) -> &StagedConfig {
        &self.staged
    }

    /// The folder of the run of the stage at `index`, begun or not.
    ///
    /// # Panics
    /// When there is no such stage.
    pub fn run_path(&self, index: usize) -> PathBuf {
        self.path.join(self.staged.folder_name(index))
    }

    /// The experiments of the stages, in which the runs of earlier ones are whole paths.
    ///
    /// # Errors
    /// [`TrainError::Read`] when the current folder cannot be found.
    pub fn configs(&self) -> Result<Vec<ExperimentConfig>, TrainError> {
        let whole =
            std::path::absolute(&self.path).map_err(|source| TrainError::Read { path: self.path.clone(), source })?;
        Ok(self.staged.in_folder(&whole))
    }

    /// The folder of the run of the last stage that has begun; nothing before the first has.
    pub fn last_begun(&self) -> Option<PathBuf> {
        let runs = (0..self.staged.stages.len()).map(|index| self.run_path(index));
        runs.rev().find(|run| runner::is_begun(run))
    }
}

/// The run that `path` stands for: itself or, where stages lie in it, the last of them that has begun.
///
/// # Errors
/// Those of [`StagedDirectory::open`], and [`TrainError::NotStages`] where no stage has begun.
pub fn run_in(path: &Path) -> Result<PathBuf, TrainError> {
    if !StagedDirectory::is_at(path) {
        return Ok(path.to_owned());
    }
    let directory = StagedDirectory::open(path)?;
    directory.last_begun().ok_or_else(|| TrainError::NoStageBegun { path: path.to_owned() })
}
