//! `model inspect|generate|export`: pretrained language models as people have them, in folders.

use std::time::{Duration, Instant};

use dqn_core::Sampling;
use dqn_mdp::TokenId;
use dqn_train::language_model::{Inspection, LanguageModel, LanguageModelFiles, NamedToken};
use dqn_train::run::checkpoint::Which;
use dqn_train::steered::trained_model;
use dqn_train::writing::{Ending, Piece, WriteRequest, Writer, seed_of};
use serde::Serialize;

use crate::args::{BackendChoice, Model, ModelExport, ModelGenerate, ModelInspect, ModelStrategy, RunChoice};
use crate::backend::Backend;
use crate::console::Console;
use crate::failure::BadRequest;
use crate::input;
use crate::saved_run::{self, SavedRun};

pub(crate) fn run(command: &Model, console: Console) -> anyhow::Result<()> {
    match command {
        Model::Inspect(args) => inspect(args, console),
        Model::Generate(args) => generate(args, console),
        Model::Export(args) => export(args, console),
    }
}

fn inspect(args: &ModelInspect, console: Console) -> anyhow::Result<()> {
    let inspection = LanguageModelFiles::open(&args.folder)?.inspection();
    match args.json {
        true => console.json(&inspection),
        false => console.result(&described(&inspection)),
    }
}

/// An inspection as lines for people.
fn described(inspection: &Inspection) -> String {
    let Inspection { config, weights, .. } = inspection;
    let output = if config.is_tied { "the table of token vectors" } else { "a table of its own" };
    let bos = inspection.bos.as_ref().map_or_else(|| "none".to_owned(), written);
    let eos: Vec<String> = inspection.eos.iter().map(written).collect();
    let mut lines = vec![
        ("family", config.family.name().to_owned()),
        ("parameters", format!("{}", inspection.n_parameters)),
        ("blocks", format!("{}, each {} wide", config.n_layers, config.width)),
        (
            "heads",
            format!(
                "{} of queries, {} of keys and values, each {} wide",
                config.n_heads, config.n_key_value_heads, config.head_width
            ),
        ),
        ("hidden layer", format!("{} units", config.hidden_width)),
        ("longest text", format!("{} tokens", config.n_positions)),
        ("output layer", output.to_owned()),
        ("vocabulary", format!("{} tokens", config.vocab_size)),
        ("tokenizer", format!("{}, {} tokens", inspection.tokenizer, inspection.n_tokens)),
        ("texts begin with", bos),
        ("texts end with", if eos.is_empty() { "none".to_owned() } else { eos.join(", ") }),
        (
            "on disk",
            format!("{} in {} of {}", bytes(weights.n_bytes), files(weights.n_files), weights.kinds.join(" and ")),
        ),
        (
            "in memory",
            format!(
                "{} as 32-bit floats, and {} for each token of a text",
                bytes(inspection.memory_bytes as u64),
                bytes(inspection.cache_bytes_per_token as u64)
            ),
        ),
    ];
    for (name, why) in &weights.ignored {
        lines.push(("ignored", format!("{name}: {why}")));
    }
    lines.iter().map(|(key, value)| format!("{:<17}{value}", format!("{key}:"))).collect::<Vec<_>>().join("\n")
}

fn written(token: &NamedToken) -> String {
    format!("{} ({})", token.name.as_deref().unwrap_or("no token of the tokenizer"), token.id)
}

fn files(n: usize) -> String {
    format!("{n} file{}", if n == 1 { "" } else { "s" })
}

/// A number of bytes in the unit that leaves few digits.
fn bytes(n: u64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    match units.iter().find(|(_, size)| n as f64 >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", n as f64 / size),
        None => format!("{n} bytes"),
    }
}

fn export(args: &ModelExport, console: Console) -> anyhow::Result<()> {
    let (origin, lm) = match saved_run::is_run(&args.folder)? {
        true => {
            let checkpoint = args.checkpoint.unwrap_or(Which::Last);
            let backend = BackendChoice::default();
            let SavedRun { experiment, network, .. } =
                SavedRun::open(&RunChoice { run: args.folder.clone(), checkpoint, backend })?;
            let (files, lm) = trained_model(&experiment, &network)?;
            (files.folder, lm)
        }
        false => {
            saved_run::refuse_checkpoint(args.checkpoint)?;
            let device = Backend::choose(None)?.device()?;
            (args.folder.clone(), LanguageModelFiles::open(&args.folder)?.files.load(&device)?)
        }
    };
    lm.export(&origin, &args.output).map_err(dqn_train::TrainError::from)?;
    console.note(&format!("{} written", args.output.display()));
    Ok(())
}

/// A finished text.
#[derive(Serialize)]
struct Text<'a> {
    prompt: &'a str,
    text: String,
    n_tokens: usize,
    ending: Option<Ending>,
}

/// A piece of a text.
#[derive(Serialize)]
struct Shown<'a> {
    /// Which text, counted from 0.
    text: u64,
    shown: &'a str,
}

/// How long it took, for all texts together.
#[derive(Serialize)]
struct Pace {
    n_texts: usize,
    n_tokens: usize,
    /// Reading the model.
    load_seconds: f64,
    /// Reading prompts and writing texts.
    seconds: f64,
    tokens_per_second: f64,
    seconds_to_first_token: f64,
    peak_memory_bytes: Option<u64>,
}

fn generate(args: &ModelGenerate, console: Console) -> anyhow::Result<()> {
    let sampling = sampling(args)?;
    let prompts = match (&args.file, &args.prompt) {
        (Some(file), _) => input::lines(file)?,
        (None, prompt) => vec![prompt.clone().unwrap_or_default()],
    };
    if prompts.is_empty() {
        return Err(BadRequest("there are no prompts in the file".to_owned()).into());
    }
    let n_texts = prompts.len() * args.n;
    if args.stream && !args.json && n_texts > 1 {
        let why =
            format!("--stream shows one text, and {n_texts} are asked for; with --json it tells their pieces apart");
        return Err(BadRequest(why).into());
    }
    let files = LanguageModelFiles::open(&args.folder)?;
    let device = Backend::choose(args.backend.backend.as_deref())?.device()?;
    let start = Instant::now();
    let model = files.load(&device)?;
    let load_seconds = start.elapsed().as_secs_f64();
    let requests = requests(args, &model, &prompts, sampling)?;
    let mut writer = Writer::new(&model, args.parallel);
    for request in requests {
        writer.admit(request)?;
    }
    let start = Instant::now();
    let mut out = Output { args, console, prompts: &prompts, texts: Vec::new(), n_told: 0 };
    out.texts.resize_with(n_texts, || (String::new(), 0, None));
    let mut first: Option<Duration> = None;
    if args.stream && !args.json {
        console.piece(&prompts[0])?;
    }
    while writer.n_open() > 0 {
        let pieces = writer.step()?;
        first.get_or_insert_with(|| start.elapsed());
        for piece in &pieces {
            out.take(piece)?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let n_tokens = out.texts.iter().map(|(_, n_tokens, _)| n_tokens).sum();
    let pace = Pace {
        n_texts,
        n_tokens,
        load_seconds,
        seconds,
        tokens_per_second: n_tokens as f64 / seconds,
        seconds_to_first_token: first.unwrap_or_default().as_secs_f64(),
        peak_memory_bytes: peak_memory_bytes(),
    };
    if args.json { console.json(&pace) } else { Ok(()) }
}

/// How tokens are drawn, where what is asked for makes sense together.
fn sampling(args: &ModelGenerate) -> Result<Sampling, BadRequest> {
    let greedy = args.strategy == ModelStrategy::Greedy;
    let drawing = [
        (args.temperature.is_some(), "--temperature"),
        (args.top_k.is_some(), "--top-k"),
        (args.top_p.is_some(), "--top-p"),
    ];
    if let Some((_, option)) = drawing.iter().find(|(is_given, _)| *is_given && greedy) {
        return Err(BadRequest(format!(
            "{option} changes nothing under --strategy greedy; draw with --strategy boltzmann"
        )));
    }
    Ok(Sampling {
        temperature: if greedy { 0.0 } else { args.temperature.unwrap_or(1.0) },
        top_k: args.top_k,
        top_p: args.top_p,
        repetition_penalty: args.repetition_penalty.unwrap_or(1.0),
    })
}

/// What the writer is asked for; each text has a seed of its own, whatever else is written.
fn requests(
    args: &ModelGenerate,
    model: &LanguageModel,
    prompts: &[String],
    sampling: Sampling,
) -> anyhow::Result<Vec<WriteRequest>> {
    let mut requests = Vec::with_capacity(prompts.len() * args.n);
    for (line, prompt) in prompts.iter().enumerate() {
        let tokens: Vec<TokenId> = model.prompt(prompt)?;
        if let Err(error) = model.lm.check_text(&tokens) {
            let error = anyhow::Error::from(dqn_train::TrainError::from(error));
            return Err(if args.file.is_some() { error.context(format!("line {}", line + 1)) } else { error });
        }
        for copy in 0..args.n {
            requests.push(WriteRequest {
                prompt: tokens.clone(),
                n_tokens: args.n_tokens,
                sampling,
                stop: args.stop.clone(),
                seed: seed_of(args.seed, line, copy),
            });
        }
    }
    Ok(requests)
}

/// Prints texts in their order, or pieces as they come.
struct Output<'a> {
    args: &'a ModelGenerate,
    console: Console,
    prompts: &'a [String],
    /// What each text has so far, its tokens, and how it ended.
    texts: Vec<(String, usize, Option<Ending>)>,
    /// Texts that were told already.
    n_told: usize,
}

impl Output<'_> {
    fn take(&mut self, piece: &Piece) -> anyhow::Result<()> {
        let (text, n_tokens, ending) = &mut self.texts[piece.text as usize];
        text.push_str(&piece.shown);
        (*n_tokens, *ending) = (piece.n_tokens, piece.ending);
        if self.args.stream && !piece.shown.is_empty() {
            match self.args.json {
                true => self.console.json(&Shown { text: piece.text, shown: &piece.shown })?,
                false => self.console.piece(&piece.shown)?,
            }
        }
        while let Some((text, n_tokens, ending @ Some(_))) = self.texts.get(self.n_told) {
            let prompt = &self.prompts[self.n_told / self.args.n];
            let (n_tokens, ending) = (*n_tokens, *ending);
            match (self.args.json, self.args.stream) {
                (true, _) => self.console.json(&Text { prompt, text: text.clone(), n_tokens, ending })?,
                (false, true) => self.console.result("")?,
                (false, false) => self.console.result(&format!("{prompt}{text}"))?,
            }
            self.n_told += 1;
        }
        Ok(())
    }
}

/// The most memory that this process has had at once, where the system tells it.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kilobytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_few_digits() {
        let table = [(999, "999 bytes"), (1_000, "1.0 kB"), (60_816_028, "60.8 MB"), (2_471_645_608, "2.5 GB")];
        for (n, expected) in table {
            assert_eq!(bytes(n), expected);
        }
    }
}
