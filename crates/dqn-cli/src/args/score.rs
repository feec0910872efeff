//! Arguments of `score`.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dqn_score::{BleuTokenizer, RougeKind, RougeTokenizer};
use serde::Serialize;

use super::not_negative;
use crate::commands::score::lines::ErrorRate;

#[derive(Debug, Args)]
pub(crate) struct Score {
    /// One or several of: bleu, chrf, chrf++, ter (as sacreBLEU has them); rouge1, rouge2, rougeL, rougeLsum (F-measures as
    /// rouge-score has them); wer, cer, mer, wil, wip (as jiwer has them); repetition (share of tokens that stand earlier in
    /// their line); distinct-N (share of different N-grams, such as distinct-2); self-bleu (as Texygen has it); novelty-N
    /// (share of N-grams that do not stand in the training text)
    #[arg(value_name = "METRIC", value_parser = metric, num_args = 1.., required = true)]
    pub(crate) metrics: Vec<Metric>,
    /// Texts to score, one a line; several files are those of several seeds, whose mean score counts
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub(crate) hypotheses: Vec<PathBuf>,
    /// Texts to compare with, line by line; several files give several references
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) references: Vec<PathBuf>,
    /// Texts of another system, line by line, in as many files: its score is shown beside, and whether the difference could
    /// be chance, with the lines drawn that are the same for all files
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) against: Vec<PathBuf>,
    /// How that is tested: bootstrap (Koehn 2004) or randomization (Riezler and Maxwell 2005) [default: bootstrap]
    #[arg(long, value_name = "TEST")]
    pub(crate) paired: Option<PairedTest>,
    /// Resamples of the bootstrap [default: 1000] and trials of the randomization [default: 10000]; 0 leaves intervals out
    #[arg(long, value_name = "N")]
    pub(crate) resamples: Option<usize>,
    /// Seed of resamples and trials
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// novelty-N: the text whose n-grams are known, one sequence a line
    #[arg(long, value_name = "FILE")]
    pub(crate) training: Option<PathBuf>,
    /// BLEU and what counts tokens: how lines are divided, 13a, zh, char or none
    #[arg(long, value_name = "TOKENIZER", default_value = "13a")]
    pub(crate) tokenize: BleuTokenizer,
    /// BLEU: what stands in for an order without a match [default: exp]
    #[arg(long, value_name = "METHOD")]
    pub(crate) smoothing: Option<SmoothingMethod>,
    /// BLEU: the matches of smoothing floor [default: 0.1] or what add-k adds [default: 1]
    #[arg(long, value_name = "X", requires = "smoothing", value_parser = not_negative)]
    pub(crate) smoothing_value: Option<f64>,
    /// ROUGE: words, stems (words without endings) or characters (for Chinese) [default: words]
    #[arg(long, value_name = "TOKENIZER")]
    pub(crate) rouge_tokenizer: Option<RougeWords>,
    /// TER: tell upper from lower case
    #[arg(long)]
    pub(crate) case_sensitive: bool,
    /// Take upper and lower case as the same, in BLEU, chrF and what counts tokens
    #[arg(long)]
    pub(crate) lowercase: bool,
    /// Print one JSON object for each metric, on a line each, and nothing else on standard output: {metric, score, interval,
    /// against, signature, n}
    #[arg(long)]
    pub(crate) json: bool,
}

/// What texts are scored by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    Bleu,
    Chrf { word_order: usize },
    Ter,
    Rouge(RougeKind),
    ErrorRate(ErrorRate),
    Repetition,
    Distinct(usize),
    SelfBleu,
    Novelty(usize),
}

impl Metric {
    /// Whether it compares with references.
    pub(crate) fn has_references(&self) -> bool {
        match self {
            Self::Bleu | Self::Chrf { .. } | Self::Ter | Self::Rouge(_) | Self::ErrorRate(_) => true,
            Self::Repetition | Self::Distinct(_) | Self::SelfBleu | Self::Novelty(_) => false,
        }
    }

    /// Whether it is made of the scores of lines.
    pub(crate) fn is_of_lines(&self) -> bool {
        self.has_references() || matches!(self, Self::Repetition)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bleu => formatter.write_str("bleu"),
            Self::Chrf { word_order: 0 } => formatter.write_str("chrf"),
            Self::Chrf { .. } => formatter.write_str("chrf++"),
            Self::Ter => formatter.write_str("ter"),
            Self::Rouge(kind) => formatter.write_str(kind.name()),
            Self::ErrorRate(rate) => formatter.write_str(rate.name()),
            Self::Repetition => formatter.write_str("repetition"),
            Self::Distinct(n) => write!(formatter, "distinct-{n}"),
            Self::SelfBleu => formatter.write_str("self-bleu"),
            Self::Novelty(n) => write!(formatter, "novelty-{n}"),
        }
    }
}

/// How two systems are told apart from chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PairedTest {
    /// Lines drawn with replacement.
    Bootstrap,
    /// Lines of both systems swapped at random.
    Randomization,
}

impl fmt::Display for PairedTest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bootstrap => "paired bootstrap",
            Self::Randomization => "paired approximate randomization",
        })
    }
}

/// How lines are divided for ROUGE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RougeWords {
    /// Runs of letters and digits.
    Words,
    /// Words without their endings.
    Stems,
    /// Single letters and digits of any script.
    Characters,
}

impl From<RougeWords> for RougeTokenizer {
    fn from(words: RougeWords) -> Self {
        match words {
            RougeWords::Words => Self::Words,
            RougeWords::Stems => Self::Stems,
            RougeWords::Characters => Self::Characters,
        }
    }
}

/// How BLEU is smoothed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SmoothingMethod {
    /// Half a match for the first order without any, a quarter for the next.
    Exp,
    /// A fixed number of matches instead of none.
    Floor,
    /// A number added to matches and n-grams of every order above 1.
    AddK,
    /// Nothing: one order without a match makes the score 0.
    None,
}

fn metric(text: &str) -> Result<Metric, String> {
    let named = [
        Metric::Bleu,
        Metric::Chrf { word_order: 0 },
        Metric::Chrf { word_order: 2 },
        Metric::Ter,
        Metric::Repetition,
        Metric::SelfBleu,
    ];
    let named = named.into_iter().chain(RougeKind::ALL.map(Metric::Rouge)).chain(ErrorRate::ALL.map(Metric::ErrorRate));
    let with_number = || {
        let (name, n) = text.split_once('-')?;
        let n = n.parse().ok().filter(|&n| n > 0)?;
        match name {
            "distinct" => Some(Metric::Distinct(n)),
            "novelty" => Some(Metric::Novelty(n)),
            _ => None,
        }
    };
    let found = named.clone().find(|metric| metric.to_string() == text).or_else(with_number);
    found.ok_or_else(|| {
        let names: Vec<String> = named.map(|metric| metric.to_string()).collect();
        format!("it must be distinct-N or novelty-N with N of at least 1, or one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_as_documented() {
        for (text, expected) in [
            ("bleu", Some(Metric::Bleu)),
            ("repetition", Some(Metric::Repetition)),
            ("distinct-2", Some(Metric::Distinct(2))),
            ("distinct-0", None),
            ("distinct-", None),
            ("distinct", None),
            ("bleu-4", None),
            ("chrf++", Some(Metric::Chrf { word_order: 2 })),
            ("rougeL", Some(Metric::Rouge(RougeKind::RougeL))),
            ("cer", Some(Metric::ErrorRate(ErrorRate::Character))),
            ("novelty-4", Some(Metric::Novelty(4))),
            ("novelty-x", None),
        ] {
            assert_eq!(metric(text).ok(), expected, "{text}");
        }
    }
}
