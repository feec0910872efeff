//! A run in the terminal while it goes on: `view` says what is shown, `draw` where, and `screen` keeps it up to date.

pub(crate) mod draw;
pub(crate) mod screen;
pub(crate) mod view;
