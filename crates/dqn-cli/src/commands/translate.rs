//! `translate`: sentences into the language that a run has learned.

use dqn_train::answer::{AnswerRequest, answer, sentence};
use dqn_train::generate::Strategy;

use crate::args::{AnswerDecoding, GenerateStrategy, Translate};
use crate::console::Console;
use crate::failure::BadRequest;
use crate::input;
use crate::saved_run::SavedRun;

/// Texts that the beam search follows at a time where nothing else is said: usual in translation.
const BEAM_WIDTH: usize = 5;

pub(crate) fn run(args: &Translate, console: Console) -> anyhow::Result<()> {
    let request = request(&args.decoding)?;
    let lines = match (&args.text, &args.file) {
        (Some(text), _) => vec![text.clone()],
        (None, Some(file)) => input::lines(file)?,
        (None, None) => return Err(BadRequest("name a sentence by --text or a file by --file".to_owned()).into()),
    };
    let SavedRun { experiment, network, progress, .. } = SavedRun::open_to_answer(&args.run)?;
    let mut sources = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let source = sentence(&experiment, line);
        sources.push(source.map_err(|error| match args.file {
            Some(_) => anyhow::Error::from(error).context(format!("line {}", index + 1)),
            None => error.into(),
        })?);
    }
    for answer in answer(experiment, &network, progress, sources, request)? {
        match args.decoding.json {
            true => console.json(&answer)?,
            false => console.result(&answer.text)?,
        }
    }
    Ok(())
}

/// What is asked for, where it makes sense together.
pub(crate) fn request(args: &AnswerDecoding) -> Result<AnswerRequest, BadRequest> {
    let is_beam = args.strategy == GenerateStrategy::Beam;
    for (is_given, option) in
        [(args.beam_width.is_some(), "--beam-width"), (args.length_exponent.is_some(), "--length-exponent")]
    {
        if is_given && !is_beam {
            return Err(BadRequest(format!("{option} is for --strategy beam")));
        }
    }
    let strategy = match args.strategy {
        GenerateStrategy::Greedy => Strategy::Greedy,
        GenerateStrategy::Boltzmann => Strategy::Boltzmann,
        GenerateStrategy::Beam => Strategy::Beam {
            width: args.beam_width.unwrap_or(BEAM_WIDTH),
            length_exponent: args.length_exponent.unwrap_or(1.0),
        },
    };
    Ok(AnswerRequest { strategy, temperature: args.temperature, seed: args.seed })
}
