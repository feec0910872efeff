//! Where text goes: results to standard output, everything else to standard error.

use std::io::{self, Write};

use anyhow::Context;
use serde::Serialize;
use tracing_indicatif::suspend_tracing_indicatif;

/// The two streams, shared with progress bars.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    quiet: bool,
}

impl Console {
    /// A console that, when `quiet`, keeps notes to itself.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Prints a line, or several, of what was asked for.
    pub(crate) fn result(self, text: &str) -> anyhow::Result<()> {
        suspend_tracing_indicatif(|| {
            let mut stdout = io::stdout().lock();
            writeln!(stdout, "{text}").and_then(|()| stdout.flush())
        })
        .context("cannot write to standard output")
    }

    /// Prints a piece of a line at once.
    pub(crate) fn piece(self, text: &str) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("cannot write to standard output")
    }

    /// Prints a result as JSON on one line.
    pub(crate) fn json(self, value: &impl Serialize) -> anyhow::Result<()> {
        self.result(&serde_json::to_string(value).context("cannot write the result as JSON")?)
    }

    /// Tells something about the way to the result.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            // A note that cannot be written is no reason to end a run.
            let _ = suspend_tracing_indicatif(|| writeln!(io::stderr().lock(), "{text}"));
        }
    }
}
