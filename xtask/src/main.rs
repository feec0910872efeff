//! Development chores, run as `cargo xtask VERB`.
//!
//! Everything that keeps the repository in order is an ordinary Rust function here, so that a fresh machine needs
//! nothing but rustup: continuous integration runs the same `cargo xtask ci` as a developer does before a commit.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "reporting on the terminal is what this program does")]

mod bench;
mod ci;
mod data;
mod docs;
mod process;
mod smoke;
mod table;
mod tidy;
mod variants;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::process::{Built, Unmet};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Development chores of this workspace")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Every check a commit must pass, cheapest first, stopping at the first failure.
    Ci,
    /// The tests: cargo-nextest where installed, else cargo test; then the documentation examples.
    Test {
        /// Passed on to the test runner; the documentation examples are then left out.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The rules of ARCHITECTURE.md: layers, dependencies, module names, leftovers, data.
    Tidy,
    /// Train, evaluate, generate and explain with the real program on every file of configs/smoke.
    Smoke(smoke::Options),
    /// Train every row of a file of configs/tables with every seed, and write the page to docs/tables.
    Table(table::Options),
    /// The texts in data/ and the data sets a user can bring.
    Data {
        #[command(subcommand)]
        verb: DataVerb,
    },
    /// The benchmarks of dqn-train and its memory, or this project beside PyTorch.
    Bench(bench::Options),
    /// Write docs/config.md and docs/config.schema.json from the program.
    Docs {
        /// Write nothing; fail where a file differs from what would be written.
        #[arg(long)]
        check: bool,
        /// Use the dqn-cli that the last build left.
        #[arg(long)]
        no_build: bool,
    },
}

#[derive(Subcommand)]
enum DataVerb {
    /// What data/manifest.toml knows, and what of it is here.
    List,
    /// Build a data set, from a folder that holds its source or from a grammar.
    Prepare {
        /// The name in data/manifest.toml.
        name: String,
        /// The unpacked package or the downloaded copy; not needed for what a grammar writes.
        #[arg(long, value_name = "FOLDER")]
        from: Option<PathBuf>,
    },
    /// Let espeak-ng speak a data set of numbers in words.
    Synthesise {
        /// spoken-numbers, or speech-smoke, which is shipped.
        name: String,
        /// The program, where it is not on the search path.
        #[arg(long, value_name = "PATH")]
        espeak: Option<PathBuf>,
    },
    /// Compare every file that is here with the manifest.
    Verify,
}

/// Exits with 1 where a check failed, and with 2 where the request cannot be met.
fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if error.is::<Unmet>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    let root = process::workspace_root();
    match verb {
        Verb::Ci => ci::run(&root),
        Verb::Test { arguments } => ci::test(&root, &arguments),
        Verb::Tidy => tidy::run(&root),
        Verb::Smoke(options) => smoke::run(&root, &options),
        Verb::Table(options) => table::run(&root, &options),
        Verb::Data { verb: DataVerb::List } => data::list(&root),
        Verb::Data { verb: DataVerb::Prepare { name, from } } => data::prepare(&root, &name, from.as_deref()),
        Verb::Data { verb: DataVerb::Synthesise { name, espeak } } => data::synthesise(&root, &name, espeak.as_deref()),
        Verb::Data { verb: DataVerb::Verify } => data::verify(&root),
        Verb::Bench(options) => bench::run(&root, &options),
        Verb::Docs { check, no_build } => docs::run(&root, check, Built::from_flag(no_build)),
    }
}
