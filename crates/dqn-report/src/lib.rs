//! One self-contained HTML page about runs, made from the files of their directories alone.
//!
//! Read in the order of the data: [`run_files`] reads what a run wrote, [`groups`] puts runs together that differ in
//! their seed only, [`curve`] thins what was measured to what can be seen, `axis` and `chart` draw it,
//! [`columns`] and [`compare`] show evaluations as tables, and [`page`] sets everything.
//!
//! [`live`] follows a run while it goes on, through [`tail`].
//!
//! The page holds no script, and asks for nothing from elsewhere. It is well-formed XML besides, so that a test can read
//! it back.

mod advantage;
mod axis;
mod chart;
pub mod columns;
pub mod compare;
pub mod curve;
mod error;
pub mod groups;
pub mod live;
mod over_seeds;
pub mod page;
mod panels;
pub mod run_files;
mod samples;
pub mod tail;
pub mod tradeoff;

pub use axis::{count, duration, number};
pub use error::ReportError;
pub use page::Page;
pub use run_files::RunFiles;
