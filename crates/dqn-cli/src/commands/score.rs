//! `score`: texts scored line by line.

use dqn_score::{Bleu, BleuConfig, Smoothing, distinct_n, repetition_fraction};
use serde::Serialize;

use crate::args::{Metric, Score, SmoothingMethod};
use crate::console::Console;
use crate::failure::BadRequest;
use crate::input;

/// What `score --json` tells.
#[derive(Serialize)]
struct Scored {
    metric: String,
    /// BLEU from 0 to 100, the others from 0 to 1.
    score: f64,
    /// What must be known to repeat it.
    signature: String,
    /// Number of hypotheses.
    n: usize,
}

pub(crate) fn run(args: &Score, console: Console) -> anyhow::Result<()> {
    let text = input::text(Some(&args.hypotheses))?;
    let hypotheses: Vec<&str> = text.lines().collect();
    if hypotheses.is_empty() {
        return Err(BadRequest(format!("{} holds no line to score", args.hypotheses.display())).into());
    }
    let scored = match args.metric {
        Metric::Bleu => bleu(args, &hypotheses)?,
        Metric::Distinct(n) => {
            refuse_bleu_options(args)?;
            let tokens = tokenized(args, &hypotheses);
            let texts: Vec<&[String]> = tokens.iter().map(Vec::as_slice).collect();
            scored(args, format!("distinct-{n}"), distinct_n(&texts, n), hypotheses.len())
        }
        Metric::Repetition => {
            refuse_bleu_options(args)?;
            let total: f64 = tokenized(args, &hypotheses).iter().map(|tokens| repetition_fraction(tokens)).sum();
            scored(args, "repetition".to_owned(), total / hypotheses.len() as f64, hypotheses.len())
        }
    };
    if args.json {
        return console.json(&scored);
    }
    let Scored { metric, score, signature, n } = scored;
    console.result(&format!("{metric} {score:.4} over {n} lines ({signature})"))
}

fn bleu(args: &Score, hypotheses: &[&str]) -> anyhow::Result<Scored> {
    if args.references.is_empty() {
        return Err(BadRequest("bleu compares with references; name them with --references FILE".to_owned()).into());
    }
    let bleu = Bleu::new(BleuConfig {
        tokenize: args.tokenize,
        smoothing: smoothing(args)?,
        lowercase: args.lowercase,
        ..BleuConfig::default()
    });
    let mut references: Vec<Vec<String>> = vec![Vec::new(); hypotheses.len()];
    for path in &args.references {
        let text = input::text(Some(path))?;
        let n_lines = text.lines().count();
        if n_lines != hypotheses.len() {
            return Err(BadRequest(format!(
                "{} has {n_lines} lines, {} has {}; each hypothesis is compared with the same line of every reference \
                 file",
                path.display(),
                args.hypotheses.display(),
                hypotheses.len()
            ))
            .into());
        }
        for (references, line) in references.iter_mut().zip(text.lines()) {
            references.push(line.to_owned());
        }
    }
    let references: Vec<Vec<&str>> =
        references.iter().map(|references| references.iter().map(String::as_str).collect()).collect();
    Ok(Scored {
        metric: "bleu".to_owned(),
        score: bleu.corpus(hypotheses, &references)?.score,
        signature: bleu.signature(args.references.len()),
        n: hypotheses.len(),
    })
}

fn smoothing(args: &Score) -> Result<Smoothing, BadRequest> {
    Ok(match (args.smoothing, args.smoothing_value) {
        (None | Some(SmoothingMethod::Exp), None) => Smoothing::Exp,
        (Some(SmoothingMethod::None), None) => Smoothing::None,
        (Some(SmoothingMethod::Floor), value) => Smoothing::Floor { value: value.unwrap_or(0.1) },
        (Some(SmoothingMethod::AddK), value) => Smoothing::AddK { value: value.unwrap_or(1.0) },
        (_, Some(_)) => {
            return Err(BadRequest("--smoothing-value is for --smoothing floor and add-k".to_owned()));
        }
    })
}

/// Options that would change nothing are not accepted.
fn refuse_bleu_options(args: &Score) -> Result<(), BadRequest> {
    let given = [("--references", !args.references.is_empty()), ("--smoothing", args.smoothing.is_some())];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(BadRequest(format!("{option} is for the metric bleu"))),
        None => Ok(()),
    }
}

fn tokenized(args: &Score, lines: &[&str]) -> Vec<Vec<String>> {
    let tokens = |line: &&str| match args.lowercase {
        true => args.tokenize.tokenize(&line.to_lowercase()),
        false => args.tokenize.tokenize(line),
    };
    lines.iter().map(tokens).collect()
}

fn scored(args: &Score, metric: String, score: f64, n: usize) -> Scored {
    let case = if args.lowercase { "lc" } else { "mixed" };
    let signature = format!("case:{case}|tok:{}|version:dqn-{}", args.tokenize, env!("CARGO_PKG_VERSION"));
    Scored { metric, score, signature, n }
}
