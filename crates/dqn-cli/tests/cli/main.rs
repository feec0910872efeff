//! The program as its users meet it: arguments in, text, files and exit codes out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod configs;
mod explain;
mod faults;
mod games;
mod interrupts;
mod models;
mod program;
mod reports;
mod runs;
mod scores;
mod serving;
mod stages;
mod sweeps;
mod terminal;
mod texts;
mod watch;
