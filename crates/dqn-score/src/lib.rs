//! Scores over tokens and strings: BLEU, chrF, TER, significance, diversity, and the n-gram language model.
//!
//! Everything here is a pure function of texts: no reward, no network, no file is opened. [`Bleu`],
//! [`Chrf`] and [`Ter`] compare strings as sacreBLEU does, [`token_bleu`] compares token sequences,
//! [`paired_bootstrap`] and [`paired_randomization`] tell whether two systems differ by more than chance,
//! [`distinct_n`] and its neighbours look at variety, and [`NgramLm`] says how likely a text is under a modified Kneser-Ney model.

mod arpa;
mod bleu;
mod bleu_tokenizer;
mod chrf;
mod diversity;
mod error;
mod kneser_ney;
mod metric;
mod ngram;
mod significance;
mod ter;

pub use bleu::{Bleu, BleuConfig, BleuScore, BleuStatistics, Smoothing, token_bleu};
pub use bleu_tokenizer::BleuTokenizer;
pub use chrf::{Chrf, ChrfConfig, ChrfStatistics, OrderMatches};
pub use diversity::{NgramIndex, distinct_n, repetition_fraction, unique_fraction};
pub use error::ScoreError;
pub use metric::CorpusMetric;
pub use ngram::{NgramConfig, NgramLm};
pub use significance::{
    ConfidenceInterval, PairedBootstrap, PairedRandomization, bootstrap_interval, bootstrap_resamples,
    paired_bootstrap, paired_randomization, random_swaps,
};
pub use ter::{Ter, TerConfig, TerScore, TerStatistics};
