//! Scores over tokens and strings: BLEU, ROUGE, error rates, diversity, and the n-gram language model.
//!
//! Everything here is a pure function of texts: no reward, no network, no file is opened. [`Bleu`] and [`Rouge`] compare
//! strings as sacreBLEU and rouge-score do, [`AlignmentUnit`] counts errors as jiwer does; [`token_bleu`], [`rouge_n`],
//! [`rouge_l`] and [`align`] compare token sequences. [`distinct_n`] and its neighbours look at variety, and
//! [`NgramLm`] says how likely a text is under a modified Kneser-Ney model. What the scores of several runs say together
//! is in [`statistics`].

mod arpa;
mod bleu;
mod bleu_tokenizer;
mod diversity;
mod error;
mod error_rate;
mod kneser_ney;
mod ngram;
mod porter;
mod rouge;
mod self_bleu;
pub mod statistics;

pub use bleu::{Bleu, BleuConfig, BleuScore, Smoothing, token_bleu};
pub use bleu_tokenizer::BleuTokenizer;
pub use diversity::{NgramIndex, distinct_n, repetition_fraction, unique_fraction};
pub use error::ScoreError;
pub use error_rate::{AlignmentCounts, AlignmentUnit, align};
pub use ngram::{NgramConfig, NgramLm};
pub use rouge::{Rouge, RougeKind, RougeScore, RougeTokenizer, rouge_l, rouge_l_sum, rouge_n};
pub use self_bleu::self_bleu;
