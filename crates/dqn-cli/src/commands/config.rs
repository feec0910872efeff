//! `config show|check|schema`: experiment files.

use anyhow::Context;
use dqn_train::config::reference;
use dqn_train::config::stages::file_schema;

use crate::args::Config;
use crate::console::Console;
use crate::experiment_file::{self, Described};

pub(crate) fn run(command: &Config, console: Console) -> anyhow::Result<()> {
    match command {
        Config::Show(file) => {
            let resolved = match experiment_file::describe(file)? {
                Described::Run(config) => config.to_toml()?,
                Described::Stages(staged) => staged.to_toml()?,
            };
            console.result(resolved.trim_end())
        }
        Config::Check(file) => {
            let stages = match experiment_file::describe(file)? {
                Described::Run(_) => String::new(),
                Described::Stages(staged) => {
                    let names: Vec<&str> = staged.stages.iter().map(|stage| stage.name.as_str()).collect();
                    format!(" in the stages {}", names.join(", "))
                }
            };
            console.result(&format!("{}: no fault found{stages}", experiment_file::origin(file)))
        }
        Config::Schema { markdown: true } => {
            let page = reference::markdown(&file_schema(), "Configuration");
            console.result(page.trim_end())
        }
        Config::Schema { markdown: false } => {
            let schema = serde_json::to_string_pretty(&file_schema());
            console.result(&schema.context("cannot write the schema as JSON")?)
        }
    }
}
