//! What can go wrong with a scorer.

use std::io;

/// Why a scorer gave no scores, in words that follow its name.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScorerFault {
    /// The program does not run at all.
    #[error("cannot be started: {0}")]
    NotStarted(io::Error),
    /// The program is over, or has closed its standard output.
    #[error("{how} before it answered{unfinished}; it must answer each line it reads and go on until its input ends")]
    Ended {
        /// How it ended.
        how: String,
        /// What it had written of its answer, in words.
        unfinished: String,
    },
    /// The program wants no more requests.
    #[error("does not read its input: the last request is still waiting; it must read a line, answer it, and so on")]
    NotReading,
    /// There was no answer in time.
    #[error("gave no answer within timeout_seconds = {seconds}")]
    TimedOut {
        /// The time it had.
        seconds: f64,
    },
    /// The answer is longer than any could be.
    #[error("answered with more than {limit} bytes; one answer has at most that many")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The answer is no JSON object.
    #[error(
        "answered {found:?}, which is no answer ({why}); it must be one line with a JSON object such as \
         {{\"id\": {id}, \"scores\": [0.5]}}, and anything else belongs on standard error"
    )]
    NotAnAnswer {
        /// What came.
        found: String,
        /// What is wrong with it.
        why: String,
        /// The request it should have answered.
        id: u64,
    },
    /// The answer belongs to another request.
    #[error("answered with id {found}; the request had id {expected}")]
    OtherId {
        /// The id that came.
        found: String,
        /// The id asked with.
        expected: u64,
    },
    /// There are too few or too many scores.
    #[error("answered {found} scores for {expected} texts; it must give one for each text, in their order")]
    ScoreCount {
        /// How many came.
        found: usize,
        /// How many were asked for.
        expected: usize,
    },
    /// A score is no number a reward could be.
    #[error("gave {found} as score {index} of {n_scores}, counted from 0; it must be a finite number")]
    Score {
        /// What came.
        found: String,
        /// Which score.
        index: usize,
        /// How many scores there are.
        n_scores: usize,
    },
    /// The scorer itself says that it cannot.
    #[error("answered with an error of its own: {message}")]
    Refused {
        /// What it says.
        message: String,
    },
    /// The server answered with another status than 200.
    #[error("answered with status {status} and {body:?}; it must be 200 with the scores")]
    Status {
        /// The status.
        status: u16,
        /// The beginning of what came with it.
        body: String,
    },
    /// The server cannot be reached.
    #[error("cannot be reached: {0}")]
    Connection(ureq::Error),
}

impl ScorerFault {
    /// Whether the scorer answered the request it was asked, only not with scores, so that it can be asked on.
    pub(super) fn is_in_step(&self) -> bool {
        matches!(self, Self::ScoreCount { .. } | Self::Score { .. } | Self::Refused { .. })
    }
}
