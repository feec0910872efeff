//! `explain`: why a run acts as it does in a text.

use dqn_train::TrainError;
use dqn_train::explain::{Colours, ExplainRequest, Method, Replacement, about, explain, html, text};

use crate::args::{Explain, ExplainFormat, ExplainMethod, ExplainReplacement};
use crate::console::Console;
use crate::failure::BadRequest;
use crate::logging;
use crate::saved_run::SavedRun;

pub(crate) fn run(args: &Explain, console: Console) -> anyhow::Result<()> {
    let replacement = match args.replacement {
        Some(_) if args.method != ExplainMethod::Occlusion => {
            return Err(BadRequest("--replacement is for --method occlusion".to_owned()).into());
        }
        Some(ExplainReplacement::Unk) => Replacement::Unknown,
        Some(ExplainReplacement::Vocabulary) | None => Replacement::Vocabulary,
    };
    let SavedRun { mut experiment, network, progress, .. } = SavedRun::open(&args.run)?;
    let mut source = None;
    if let Some(given) = &args.source {
        let (about_it, id) = about(experiment, given)?;
        (experiment, source) = (about_it, Some(id));
    }
    let request = ExplainRequest {
        text: args.text.clone(),
        prompt: args.prompt.clone(),
        source,
        n_top: args.top,
        method: match args.method {
            ExplainMethod::Occlusion => Method::Occlusion(replacement),
            ExplainMethod::Gradient => Method::Gradient,
            ExplainMethod::Attention => Method::Attention,
        },
    };
    let explanation = explain(&experiment, &network, progress, &request)?;
    let colours = match args.output.is_none() && logging::stdout_has_colours() {
        true => Colours::Ansi,
        false => Colours::None,
    };
    let written = match args.format {
        ExplainFormat::Text => text(&explanation, colours),
        ExplainFormat::Json => serde_json::to_string(&explanation)?,
        ExplainFormat::Html => html(&explanation),
    };
    match &args.output {
        Some(path) => {
            let unwritten = |source| TrainError::Write { path: path.clone(), source };
            std::fs::write(path, format!("{}\n", written.trim_end())).map_err(unwritten)?;
            console.note(&format!("{} steps explained in {}", explanation.steps.len(), path.display()));
            Ok(())
        }
        None => console.result(written.trim_end()),
    }
}
