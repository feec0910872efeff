//! Scores over tokens and strings: BLEU, diversity, and the n-gram language model.
//!
//! Everything here is a pure function of texts: no reward, no network, no file is opened. [`Bleu`] compares
//! strings as sacreBLEU does, [`token_bleu`] compares token sequences, [`distinct_n`] and its neighbours look at
//! variety, and [`NgramLm`] says how likely a text is under a modified Kneser-Ney model.

mod arpa;
mod bleu;
mod bleu_tokenizer;
mod diversity;
mod error;
mod kneser_ney;
mod ngram;

pub use bleu::{Bleu, BleuConfig, BleuScore, Smoothing, token_bleu};
pub use bleu_tokenizer::BleuTokenizer;
pub use diversity::{NgramIndex, distinct_n, repetition_fraction, unique_fraction};
pub use error::ScoreError;
pub use ngram::{NgramConfig, NgramLm};
