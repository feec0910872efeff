//! The command line of dqn: it reads what is asked for, calls the libraries, and reports.

#![recursion_limit = "256"]

mod args;
mod backend;
mod commands;
mod console;
mod experiment_file;
mod failure;
mod input;
mod interrupt;
mod logging;
mod parallel_runs;
mod progress;
mod saved_run;
mod serve;
mod summary;
mod table;
mod watch;

use std::process::ExitCode;

use clap::Parser;

/// Tensors come and go by the thousand; this allocator gives the memory back and out faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = args::Arguments::parse();
    logging::start(arguments.verbosity);
    let console = console::Console::new(arguments.verbosity.quiet);
    match commands::run(arguments.command, console) {
        Ok(ending) => ending.exit_code(),
        Err(error) => failure::report(&error),
    }
}
