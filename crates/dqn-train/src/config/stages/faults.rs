//! What does not make sense about a stage beside the others, and the problems of all of them together.

use std::path::Path;

use dqn_core::schedule::Span;

use super::{KEY, REFERENCE, Stage, StageSection, reference};
use crate::config::check::Problem;
use crate::config::{ExperimentConfig, SavedCheckpoint};

/// Where a stage names another one that it cannot go by.
pub(super) fn reference_faults(
    config: &ExperimentConfig,
    index: usize,
    sections: &[StageSection],
    earlier: &[Option<Stage>],
) -> Vec<Problem> {
    let place_of = |name: &str| sections.iter().position(|section| section.name == name);
    let fault = |(place, run, checkpoint): (&str, &Path, SavedCheckpoint)| {
        let name = reference(run)?;
        let named = place_of(name);
        let why_not = match named {
            None => "there is no such stage".to_owned(),
            Some(named) if named == index => "that is this stage itself".to_owned(),
            Some(named) if named > index => "that stage comes later".to_owned(),
            Some(named) => {
                let training = &earlier[named].as_ref()?.config.training;
                let is_kept = match training.stop_after {
                    Span::Updates(updates) => (1..=updates).contains(&training.evaluate_every_updates),
                    Span::Steps(_) | Span::Episodes(_) => training.evaluate_every_updates > 0,
                };
                if is_kept || checkpoint == SavedCheckpoint::Last {
                    return None;
                }
                return Some(Problem {
                    path: place.to_owned(),
                    found: format!("the checkpoint \"best\" of {name}, which keeps none"),
                    message: format!(
                        "allowed: checkpoint = \"last\", or a training.evaluate_every_updates of {name} that is above 0 and \
                         comes before its end (found {})",
                        training.evaluate_every_updates
                    ),
                    line: None,
                });
            }
        };
        let allowed: Vec<String> =
            sections[..index].iter().map(|section| format!("\"{REFERENCE}{}\"", section.name)).collect();
        let allowed = match allowed.is_empty() {
            true => "the folder of a run; no stage comes before this one".to_owned(),
            false => format!("{} or the folder of a run", allowed.join(", ")),
        };
        Some(Problem {
            path: place.to_owned(),
            found: format!("\"{REFERENCE}{name}\""),
            message: format!("{why_not}; allowed: {allowed}"),
            line: None,
        })
    };
    config.other_runs().into_iter().filter_map(fault).collect()
}

/// The problems of all stages together: one that every stage has stands there once, any other one under the name of its
/// stage.
pub(super) fn joined(by_stage: Vec<Vec<Problem>>, sections: &[StageSection]) -> Vec<Problem> {
    let (first, rest) = by_stage.split_first().expect("a file with stages has at least one");
    let is_shared = |problem: &Problem| !rest.is_empty() && rest.iter().all(|stage| stage.contains(problem));
    let shared: Vec<Problem> = first.iter().filter(|problem| is_shared(problem)).cloned().collect();
    let own = by_stage.iter().zip(sections).flat_map(|(problems, section)| {
        problems
            .iter()
            .filter(|problem| !shared.contains(problem))
            .map(|problem| Problem { path: format!("{KEY}.{}.{}", section.name, problem.path), ..problem.clone() })
    });
    let mut all: Vec<Problem> = shared.iter().cloned().chain(own).collect();
    all.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
    all
}
