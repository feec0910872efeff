//! `config show|check|schema`: experiment files.

use anyhow::Context;
use dqn_train::config::{ExperimentConfig, reference};

use crate::args::Config;
use crate::console::Console;
use crate::experiment_file;

pub(crate) fn run(command: &Config, console: Console) -> anyhow::Result<()> {
    match command {
        Config::Show(file) => console.result(experiment_file::load(file)?.to_toml()?.trim_end()),
        Config::Check(file) => {
            experiment_file::load(file)?;
            console.result(&format!("{}: no fault found", experiment_file::origin(file)))
        }
        Config::Schema { markdown: true } => {
            let page = reference::markdown(&ExperimentConfig::schema(), "Configuration");
            console.result(page.trim_end())
        }
        Config::Schema { markdown: false } => {
            let schema = serde_json::to_string_pretty(&ExperimentConfig::schema());
            console.result(&schema.context("cannot write the schema as JSON")?)
        }
    }
}
