//! The algorithms against references that share no code with them: plain loops over plain slices in 64 bits, written from
//! the definitions, and held to hand tables themselves.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod episodes;
mod learner;
mod network;
mod numbers;
mod optimizers;
mod reference;
mod sampling;
