//! `report`: a page about runs.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use dqn_report::compare::threshold;
use dqn_report::page::GENERATOR;
use dqn_report::{Page, RunFiles};
use dqn_train::run::atomic;

use crate::args::Report;
use crate::console::Console;
use crate::failure::BadRequest;
use crate::saved_run;

/// Name of the page where none is given.
const NAME: &str = "report.html";

/// How much of a file is looked at to tell whether it is a page of ours: its head.
const HEAD_BYTES: u64 = 512;

pub(crate) fn run(args: &Report, console: Console) -> anyhow::Result<()> {
    let paths = args.runs.iter().map(|run| saved_run::place(run)).collect::<Result<Vec<_>, _>>()?;
    let output = match (&args.output, paths.as_slice()) {
        (Some(output), _) => output.clone(),
        (None, [run]) => run.join(NAME),
        (None, _) => PathBuf::from(NAME),
    };
    let runs = RunFiles::read_all(&paths)?;
    if !may_be_replaced(&output) {
        let why = "exists and is no report of runs; name another file with --output";
        return Err(BadRequest(format!("{} {why}", output.display())).into());
    }
    let threshold = threshold(&runs, args.threshold.clone())?;
    let page = Page::with_threshold(&runs, threshold.as_ref());
    atomic::write_text(&output, &page.html)?;
    let n_runs = runs.len();
    let plural = if n_runs == 1 { "" } else { "s" };
    let kilobytes = page.html.len().div_ceil(1_000);
    console.result(&format!("{}: {n_runs} run{plural}, {} charts, {kilobytes} kB", output.display(), page.n_charts))?;
    if args.open {
        open::that_detached(&output).with_context(|| format!("no program opened {}", output.display()))?;
    }
    Ok(())
}

/// Whether there is no file at `path`, or an earlier page of ours.
fn may_be_replaced(path: &Path) -> bool {
    let mut head = Vec::new();
    match File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head)) {
        Err(fault) => fault.kind() == io::ErrorKind::NotFound,
        Ok(_) => String::from_utf8_lossy(&head).contains(&format!("content=\"{GENERATOR}\"")),
    }
}
