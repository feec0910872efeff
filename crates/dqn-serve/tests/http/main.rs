//! The server as its clients see it, over an engine that anyone can foretell.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod cancel;
mod client;
mod fake;
mod limits;
mod load;
mod log;
mod refusals;
mod shutdown;
mod streaming;
