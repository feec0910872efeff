//! Ctrl-C: the first asks the run to stop, the second ends the process.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::console::Console;
use crate::failure::INTERRUPTED;

static STOP: AtomicBool = AtomicBool::new(false);

/// Listens to requests of the system to end, without a word: the terminal is drawn on, and Ctrl-C is a key there.
pub(crate) fn flag() -> anyhow::Result<&'static AtomicBool> {
    ctrlc::set_handler(|| STOP.store(true, Ordering::SeqCst)).context("cannot listen to requests to end")?;
    Ok(&STOP)
}

/// Listens to Ctrl-C, and to requests of the system to end, from now on; the flag tells whether one has come.
pub(crate) fn listen(console: Console) -> anyhow::Result<&'static AtomicBool> {
    ctrlc::set_handler(move || {
        if STOP.swap(true, Ordering::SeqCst) {
            process::exit(i32::from(INTERRUPTED));
        }
        console.note("Stopping after this round, and saving. Ctrl-C again ends at once.");
    })
    .context("cannot listen to Ctrl-C")?;
    Ok(&STOP)
}
