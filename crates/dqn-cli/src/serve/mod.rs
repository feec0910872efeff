//! A pretrained language model as what a server lets write.

mod engine;
mod speaker;

pub(crate) use engine::{Settings, TextEngine};
pub(crate) use speaker::Speaker;
