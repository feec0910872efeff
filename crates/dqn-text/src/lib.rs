//! From text to tokens: vocabularies, tokenizers, corpora and their splits.
//!
//! Read the modules in the order in which a text passes through them: a [`corpus`] is read and normalised, its
//! documents are divided by [`split`] ([`parallel`] texts divide themselves), a [`tokenizer`] turns them into [`TokenId`]s of a [`Vocab`], and an
//! [`action`] table says which tokens each action writes; the [`words`] and [`phrases`] of a text can be actions too.
//! Texts that are spoken come from a manifest of recordings ([`speech`]).

pub mod action;
pub mod corpus;
mod error;
pub mod parallel;
pub mod phrases;
mod script;
pub mod speech;
pub mod split;
pub mod tokenizer;
mod vocab;
pub mod words;

pub use action::{ActionId, ActionTable, Segmenter};
pub use error::TextError;
pub use tokenizer::Tokenizer;
pub use vocab::{Special, TokenId, Vocab};
