//! `transcribe`: recordings into what is said in them.

use dqn_train::answer::{answer, recording};

use super::translate::request;
use crate::args::Transcribe;
use crate::console::Console;
use crate::saved_run::SavedRun;

pub(crate) fn run(args: &Transcribe, console: Console) -> anyhow::Result<()> {
    let request = request(&args.decoding)?;
    let SavedRun { experiment, network, progress, .. } = SavedRun::open_to_answer(&args.run)?;
    let sources = args.files.iter().map(|file| recording(&experiment, file)).collect::<Result<Vec<_>, _>>()?;
    for answer in answer(experiment, &network, progress, sources, request)? {
        match args.decoding.json {
            true => console.json(&answer)?,
            false => console.result(&answer.text)?,
        }
    }
    Ok(())
}
