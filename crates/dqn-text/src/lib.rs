//! From text to tokens: vocabularies, tokenizers, corpora and their splits.
//!
//! Read the modules in the order in which a text passes through them: a [`corpus`] is read and normalised, its
//! documents are divided by [`split`], a [`tokenizer`] turns them into [`TokenId`]s of a [`Vocab`], and an
//! [`action`] table says which tokens each action writes.

pub mod action;
pub mod corpus;
mod error;
mod script;
pub mod split;
pub mod tokenizer;
mod vocab;

pub use action::{ActionId, ActionTable};
pub use error::TextError;
pub use tokenizer::Tokenizer;
pub use vocab::{Special, TokenId, Vocab};
