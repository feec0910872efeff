//! Arguments of `model`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use dqn_train::run::checkpoint::Which;

use super::{BackendChoice, at_least_one, temperature};

/// What to do with a pretrained language model.
#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// Show what a folder holds: architecture, sizes, memory, tokenizer. No parameters are read
    Inspect(ModelInspect),
    /// Write on from prompts
    Generate(ModelGenerate),
    /// Write a model, or what a run has made of one, to a new folder, its parameters as 32-bit floats in one file, as
    /// transformers reads it
    Export(ModelExport),
}

#[derive(Debug, Args)]
pub(crate) struct ModelInspect {
    /// Folder of the model
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// Print one JSON object and nothing else on standard output: {config, n_parameters, weights: {n_files, n_bytes, kinds,
    /// ignored}, memory_bytes, cache_bytes_per_token, tokenizer, n_tokens, bos, eos}
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ModelExport {
    /// Folder of the model, or of a run on a pretrained model: adapters are added to the weights they stand beside, and
    /// values are left out
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// The network of a run after this checkpoint: last, best (on validation prompts), or a number of updates that was kept;
    /// without it the last
    #[arg(long, value_name = "last|best|N", value_parser = super::checkpoint)]
    pub(crate) checkpoint: Option<Which>,
    /// Folder to write; one that holds anything is refused
    #[arg(long, value_name = "FOLDER")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ModelGenerate {
    /// Folder of the model
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// How the texts begin; without it and without --file with nothing
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub(crate) prompt: Option<String>,
    /// A file of prompts, one a line; - reads them from standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Number of texts for each prompt
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub(crate) n: usize,
    /// Most tokens of each text; it ends before where the model or a stop string ends it
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = at_least_one)]
    pub(crate) n_tokens: usize,
    /// How tokens are chosen
    #[arg(long, value_name = "STRATEGY", default_value = "greedy")]
    pub(crate) strategy: ModelStrategy,
    /// Logits are divided by it before a token is drawn [default: 1]
    #[arg(long, value_name = "X", value_parser = temperature)]
    pub(crate) temperature: Option<f64>,
    /// Draw only from the N likeliest tokens
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) top_k: Option<usize>,
    /// Draw only from the likeliest tokens that together have the probability X
    #[arg(long, value_name = "X", value_parser = share)]
    pub(crate) top_p: Option<f64>,
    /// Divide logits above 0 of tokens that stand in the text already by X, and multiply those below [default: 1]
    #[arg(long, value_name = "X", value_parser = temperature)]
    pub(crate) repetition_penalty: Option<f64>,
    /// End a text before this one comes; may be repeated
    #[arg(long, value_name = "TEXT", value_parser = not_empty)]
    pub(crate) stop: Vec<String>,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Texts written at a time, which does not change them
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one)]
    pub(crate) parallel: usize,
    /// Print a text while it is written; of several with --json only, as {text, shown} for each piece
    #[arg(long)]
    pub(crate) stream: bool,
    /// Print one JSON object a text, {prompt, text, n_tokens, ending}, one about them all, {n_texts, n_tokens, load_seconds,
    /// seconds, tokens_per_second, seconds_to_first_token, peak_memory_bytes}, and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) backend: BackendChoice,
}

/// How the next token of a language model is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModelStrategy {
    /// The likeliest token at every step.
    Greedy,
    /// A token drawn by its probability.
    Boltzmann,
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|&share: &f64| share > 0.0 && share <= 1.0);
    share.ok_or_else(|| "it must be a number above 0 and at most 1".to_owned())
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}
