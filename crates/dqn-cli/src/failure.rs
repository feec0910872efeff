//! How a command ends: exit codes, and what is said when it fails.

use std::any::Any;
use std::io::{self, Write};
use std::process::ExitCode;

use dqn_env::log::LogFault;
use dqn_report::ReportError;
use dqn_score::ScoreError;
use dqn_text::TextError;
use dqn_train::TrainError;

/// The run failed.
const FAILED: u8 = 1;
/// The request was wrong. clap ends with the same code.
const BAD_REQUEST: u8 = 2;
/// Stopped by a signal, as shells count it: 128 and the number of SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// How a command that did not fail came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It did what was asked.
    Done,
    /// It was asked to stop, and saved what it had.
    Interrupted,
}

impl Ending {
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Ending::Done => ExitCode::SUCCESS,
            Ending::Interrupted => ExitCode::from(INTERRUPTED),
        }
    }
}

/// What was asked for cannot be done, and another request could be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadRequest(pub(crate) String);

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

/// Tells what went wrong, on standard error, and chooses the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        // Whoever read the output has seen enough, as in `dqn-cli ... | head`.
        return ExitCode::SUCCESS;
    }
    // If standard error cannot be written to either, only the exit code is left to tell.
    let _ = writeln!(io::stderr().lock(), "error: {}", described(error));
    ExitCode::from(code(error))
}

/// The messages of an error and its causes, one a line; a cause that a message before it tells already is left out.
pub(crate) fn described(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let message = cause.to_string();
        if text.is_empty() {
            text = message;
        } else if !text.contains(&message) {
            text += &format!("\n  because: {message}");
        }
    }
    text
}

fn code(error: &anyhow::Error) -> u8 {
    let is_request_fault = error.chain().any(|cause| {
        cause.is::<BadRequest>()
            || cause.is::<ReportError>()
            || cause.downcast_ref::<TrainError>().is_some_and(TrainError::is_request_fault)
            || cause.is::<LogFault>()
            || cause.downcast_ref::<TextError>().is_some_and(|fault| !is_writing(fault))
            || cause.downcast_ref::<ScoreError>().is_some_and(|fault| !matches!(fault, ScoreError::WriteArpa { .. }))
    });
    if is_request_fault { BAD_REQUEST } else { FAILED }
}

fn is_writing(fault: &TextError) -> bool {
    matches!(fault, TextError::TokenizerFile { action: "write", .. })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let fault = error.root_cause().downcast_ref::<io::Error>();
    fault.is_some_and(|fault| fault.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    fn missing() -> io::Error {
        io::Error::new(io::ErrorKind::NotFound, "no such file")
    }

    #[test]
    fn faults_of_the_request_are_told_from_faults_of_the_run() {
        let read = TrainError::Read { path: "a".into(), source: missing() };
        let write = TrainError::Write { path: "a".into(), source: missing() };
        let order = ScoreError::Order { found: 9, minimum: 2, maximum: 5 };
        let table: [(anyhow::Error, u8); 7] = [
            (BadRequest("no".to_owned()).into(), BAD_REQUEST),
            (read.into(), BAD_REQUEST),
            (write.into(), FAILED),
            (order.into(), BAD_REQUEST),
            (ScoreError::WriteArpa { source: missing() }.into(), FAILED),
            (TextError::EmptyCorpus { origin: "a".to_owned() }.into(), BAD_REQUEST),
            (missing().into(), FAILED),
        ];
        for (error, expected) in table {
            assert_eq!(code(&error), expected, "{error}");
            assert_eq!(code(&error.context("while doing something")), expected);
        }
    }

    #[test]
    fn causes_are_told_once() {
        let read: anyhow::Error = TrainError::Read { path: "a".into(), source: missing() }.into();
        assert_eq!(described(&read), "cannot read a: no such file");
        let write: anyhow::Error = Err::<(), _>(ScoreError::WriteArpa { source: missing() }).context("b").unwrap_err();
        assert_eq!(described(&write), "b\n  because: cannot write the ARPA text\n  because: no such file");
    }

    #[test]
    fn a_reader_who_has_seen_enough_is_no_fault() {
        let error = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("cannot write the result");
        assert!(is_broken_pipe(&error));
        assert!(!is_broken_pipe(&missing().into()));
    }
}
