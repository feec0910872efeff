//! A run as a directory: what is written while it goes on, and how it is read again.

pub mod atomic;
pub mod checkpoint;
pub mod directory;
pub mod lines;
pub mod metrics;
pub mod stages;
pub mod tensorboard;
