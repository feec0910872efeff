//! `lm train|perplexity`: n-gram language models in ARPA files.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use dqn_score::{NgramConfig, NgramLm};
use dqn_text::tokenizer::{ChineseWords, TextTokenizer, TokenizerConfig};
use dqn_text::{Special, TokenId, Tokenizer};
use dqn_train::TrainError;
use serde::Serialize;

use crate::args::{Lm, LmPerplexity, LmTrain};
use crate::console::Console;
use crate::failure::BadRequest;
use crate::input;

/// Tokens of a tokenizer made for a model: all that a text of some megabytes holds.
const MAX_TOKENS: usize = 100_000;

pub(crate) fn run(command: &Lm, console: Console) -> anyhow::Result<()> {
    match command {
        Lm::Train(args) => train(args, console),
        Lm::Perplexity(args) => perplexity(args, console),
    }
}

fn train(args: &LmTrain, console: Console) -> anyhow::Result<()> {
    let lines = input::sequences(&args.corpus)?;
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    let tokenizer = match args.tokenizer.to_str() {
        Some("char") => TokenizerConfig::Char { max_tokens: MAX_TOKENS, min_count: 1 }.train(&texts)?,
        Some("word") => {
            let chinese = ChineseWords::default();
            let (max_tokens, min_count, lowercase) = (MAX_TOKENS, 1, false);
            TokenizerConfig::Word { max_tokens, min_count, lowercase, chinese }.train(&texts)?
        }
        _ => TextTokenizer::load(&args.tokenizer)?,
    };
    let sequences: Vec<Vec<TokenId>> = texts.iter().map(|text| tokenizer.encode(text)).collect::<Result<_, _>>()?;
    let lm = NgramLm::train(&NgramConfig { order: args.order }, tokenizer.vocab(), &sequences)?;
    let unwritten = |source| TrainError::Write { path: args.output.clone(), source };
    let mut file = BufWriter::new(File::create(&args.output).map_err(unwritten)?);
    lm.write_arpa(tokenizer.vocab(), &mut file)?;
    file.flush().map_err(unwritten)?;
    let beside = tokenizer_beside(&args.output);
    tokenizer.save(&beside)?;
    console.note(&format!(
        "{}: order {}, {} tokens, {} lines; tokenizer in {}",
        args.output.display(),
        lm.order(),
        tokenizer.vocab().len(),
        sequences.len(),
        beside.display()
    ));
    Ok(())
}

/// How well a model predicts a text.
#[derive(Serialize)]
struct Prediction {
    /// exp of the mean negative log-probability of the known tokens and of the ends of the lines.
    perplexity: f64,
    n_sequences: usize,
    /// Tokens that were predicted, the ends of the lines included.
    n_tokens: usize,
    /// Tokens outside the vocabulary, which were not predicted.
    n_unknown: usize,
}

fn perplexity(args: &LmPerplexity, console: Console) -> anyhow::Result<()> {
    let tokenizer = args.tokenizer.clone().unwrap_or_else(|| tokenizer_beside(&args.model));
    let tokenizer = TextTokenizer::load(&tokenizer)?;
    let file = File::open(&args.model).map_err(|source| TrainError::Read { path: args.model.clone(), source })?;
    let lm = NgramLm::read_arpa(BufReader::new(file), &args.model.display().to_string(), tokenizer.vocab())?;
    let mut framed: Vec<Vec<TokenId>> = Vec::new();
    for line in input::sequences(&args.text)? {
        framed.push([&[Special::Bos.id()], tokenizer.encode(&line)?.as_slice(), &[Special::Eos.id()]].concat());
    }
    let sequences: Vec<(&[TokenId], usize)> = framed.iter().map(|tokens| (tokens.as_slice(), 1)).collect();
    let n_unknown = framed.iter().flatten().filter(|token| **token == Special::Unk.id()).count();
    let prediction = Prediction {
        perplexity: lm.perplexity(&sequences),
        n_sequences: framed.len(),
        n_tokens: framed.iter().map(|tokens| tokens.len() - 1).sum::<usize>() - n_unknown,
        n_unknown,
    };
    if !prediction.perplexity.is_finite() {
        let (model, text) = (args.model.display(), args.text.display());
        return Err(BadRequest(format!("{model} gives {text} no probability at all")).into());
    }
    if args.json {
        return console.json(&prediction);
    }
    let Prediction { perplexity, n_sequences, n_tokens, .. } = prediction;
    console.result(&format!(
        "perplexity {perplexity:.3} over {n_tokens} tokens of {n_sequences} lines; {n_unknown} unknown tokens left out"
    ))
}

/// Where the tokenizer of a model is kept.
fn tokenizer_beside(model: &Path) -> PathBuf {
    model.with_extension("tokenizer.json")
}
