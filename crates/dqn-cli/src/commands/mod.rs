//! One file a command.

mod backends;
mod compare;
mod completions;
mod config;
mod data;
mod eval;
mod explain;
mod generate;
mod leaderboard;
mod lm;
mod model;
mod report;
pub(crate) mod score;
mod seeds;
mod serve;
mod stages;
mod sweep;
mod tokenizer;
mod train;
mod transcribe;
mod translate;
mod watch;

pub(crate) use train::store as store_report;

use crate::args::{Command, Train};
use crate::console::Console;
use crate::failure::Ending;

/// Does what is asked; without a command, the default experiment.
pub(crate) fn run(command: Option<Command>, console: Console) -> anyhow::Result<Ending> {
    match command.unwrap_or_else(|| Command::Train(Train::default())) {
        Command::Train(args) => return train::run(&args, console),
        Command::Eval(args) => eval::run(&args, console)?,
        Command::Explain(args) => explain::run(&args, console)?,
        Command::Generate(args) => generate::run(&args, console)?,
        Command::Transcribe(args) => transcribe::run(&args, console)?,
        Command::Translate(args) => translate::run(&args, console)?,
        Command::Score(args) => score::run(&args, console)?,
        Command::Model(command) => model::run(&command, console)?,
        Command::Serve(args) => serve::run(&args, console)?,
        Command::Lm(command) => lm::run(&command, console)?,
        Command::Tokenizer(command) => tokenizer::run(&command, console)?,
        Command::Data(command) => data::run(&command, console)?,
        Command::Sweep(args) => return sweep::run(&args, console),
        Command::Leaderboard(args) => return leaderboard::run(&args, console),
        Command::Watch(args) => return watch::run(&args, console),
        Command::Report(args) => report::run(&args, console)?,
        Command::Compare(args) => compare::run(&args, console)?,
        Command::Config(command) => config::run(&command, console)?,
        Command::Backends => backends::run(console)?,
        Command::Completions { shell } => completions::run(shell, console)?,
    }
    Ok(Ending::Done)
}
