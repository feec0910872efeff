//! What can go wrong when runs are read.

use std::path::PathBuf;

use dqn_train::TrainError;
use thiserror::Error;

/// Why there is no report about a run; always a fault of what was asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A folder is no run, or a file of it cannot be read.
    #[error(transparent)]
    Run(#[from] TrainError),
    /// A run has measured nothing.
    #[error("{} holds no measurement; a run has one as soon as it has played or learned once", path.display())]
    NoMetrics {
        /// The file of measurements.
        path: PathBuf,
    },
    /// A file of a run is not what its name says.
    #[error("{} is damaged: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where where that is known.
        message: String,
    },
    /// One run was named twice.
    #[error("{} and {} are the same run; name each once", first.display(), second.display())]
    NamedTwice {
        /// Its first name.
        first: PathBuf,
        /// Its second name.
        second: PathBuf,
    },
    /// A threshold is of a measure that no run has taken.
    #[error("no run has measured {metric}; measured was: {measured}")]
    NotMeasured {
        /// Name of the measure.
        metric: String,
        /// The names of all that were measured.
        measured: String,
    },
    /// A run that has not come to its end is to be compared.
    #[error("{} does not exist; a run is evaluated when it ends: dqn-cli train --resume {}", path.display(), run.display())]
    NotEvaluated {
        /// The run.
        run: PathBuf,
        /// The file of its evaluation.
        path: PathBuf,
    },
}
