//! From an experiment file to a trained, evaluated run that can be stopped and resumed.
//!
//! Read in the order of the data: [`config`] holds the file against its schema, [`experiment`] builds what it
//! describes, [`play`] lets many episodes step together, [`training`] is the loop, [`runner`] attaches files and
//! evaluation to it, and [`evaluation`] and [`report`] say what was learned.

#![recursion_limit = "256"]

mod actions;
pub mod answer;
mod augmentation;
pub mod builtin;
mod candidates;
pub mod config;
mod diagnostics;
pub mod discriminator;
mod error;
pub mod evaluation;
pub mod evaluation_metric;
pub mod experiment;
pub mod explain;
pub mod generate;
pub mod language_model;
pub mod leaderboard;
pub mod learning;
pub mod logs;
pub mod memory;
mod other_run;
pub mod play;
mod pretrained;
mod prior;
mod reading;
pub mod report;
mod responses;
pub mod run;
pub mod runner;
pub mod samples;
pub mod seeds;
mod sourced;
pub mod stages;
pub mod stats;
pub mod steered;
pub mod steering;
pub mod sweep;
pub mod text;
pub mod training;
mod turn;
pub mod writing;

pub use candidates::Candidates;
pub use diagnostics::Diagnostics;
pub use error::TrainError;
pub use prior::NgramPrior;
