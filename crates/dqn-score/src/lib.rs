//! Scores over tokens and strings: BLEU, chrF, TER, ROUGE, error rates, diversity, and the n-gram language model.
//!
//! Everything here is a pure function of texts: no reward, no network, no file is opened. [`Bleu`], [`Chrf`] and [`Ter`]
//! compare strings as sacreBLEU does and [`Rouge`] as rouge-score does, [`AlignmentUnit`] counts errors as jiwer does;
//! [`token_bleu`], [`rouge_n`], [`rouge_l`] and [`align`] compare token sequences. [`paired_bootstrap`] and
//! [`paired_randomization`] tell whether two systems differ by more than chance. [`distinct_n`] and its neighbours look at
//! variety, and [`NgramLm`] says how likely a text is under a modified Kneser-Ney model. What the scores of several runs say
//! together is in [`statistics`].

mod arpa;
mod bleu;
mod bleu_tokenizer;
mod chrf;
mod diversity;
mod error;
mod error_rate;
mod kneser_ney;
mod metric;
mod ngram;
mod porter;
mod rouge;
mod self_bleu;
mod significance;
pub mod statistics;
mod ter;

pub use bleu::{Bleu, BleuConfig, BleuScore, BleuStatistics, Smoothing, token_bleu};
pub use bleu_tokenizer::BleuTokenizer;
pub use chrf::{Chrf, ChrfConfig, ChrfStatistics, OrderMatches};
pub use diversity::{NgramIndex, distinct_n, repetition_fraction, unique_fraction};
pub use error::ScoreError;
pub use error_rate::{AlignmentCounts, AlignmentUnit, align};
pub use metric::{CorpusMetric, MeanOverSystems, OfSystems};
pub use ngram::{NgramConfig, NgramLm};
pub use rouge::{Rouge, RougeKind, RougeScore, RougeTokenizer, rouge_l, rouge_l_sum, rouge_n};
pub use self_bleu::self_bleu;
pub use significance::{
    ConfidenceInterval, PairedBootstrap, PairedRandomization, bootstrap_interval, bootstrap_resamples,
    paired_bootstrap, paired_randomization, random_swaps,
};
pub use ter::{Ter, TerConfig, TerScore, TerStatistics};
