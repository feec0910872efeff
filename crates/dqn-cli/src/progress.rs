//! Tells how a run goes: a bar on a terminal, now and then a line elsewhere.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use dqn_core::Progress;
use dqn_core::policy::Exploration;
use dqn_core::schedule::Span;
use dqn_report::columns;
use dqn_train::config::ExperimentConfig;
use dqn_train::evaluation::Evaluation;
use dqn_train::runner::{Event, Observer};
use indicatif::ProgressStyle;
use tracing_indicatif::span_ext::IndicatifSpanExt;

use crate::console::Console;

/// What spans must come from to be shown as bars.
pub(crate) const TARGET: &str = module_path!();

/// Episodes whose mean return is shown.
const N_RECENT_EPISODES: usize = 100;

/// How often the speed is measured again.
const SPEED_EVERY: Duration = Duration::from_secs(1);

/// Without a terminal a line is due after so much of the run, ...
const LINE_FRACTION: f64 = 0.1;
/// ... but not sooner than this, ...
const LINE_EVERY_AT_LEAST: Duration = Duration::from_secs(3);
/// ... and after this in any case.
const LINE_EVERY_AT_MOST: Duration = Duration::from_secs(10);

/// Watches a run and tells about it.
pub(crate) struct RunProgress {
    console: Console,
    /// What every line begins with.
    label: String,
    stop_after: Span,
    exploration: &'static str,
    /// Whether a line for every episode is a result that was asked for.
    prints_episodes: bool,
    /// The bar, on a terminal.
    bar: Option<tracing::Span>,
    /// Whether the bar has moved, so that the time left can be told.
    bar_moves: bool,
    figures: Figures,
    speed: Speed,
    last_line: (Instant, f64),
    /// Whether the last round was played and saved.
    is_over: bool,
}

/// What is shown of the present.
#[derive(Default)]
struct Figures {
    recent_returns: VecDeque<f32>,
    loss: Option<f32>,
    exploration: f64,
}

/// Tokens a second, over the last second or so.
struct Speed {
    since: Instant,
    n_steps: u64,
    per_second: Option<f64>,
}

impl RunProgress {
    /// With `json`, standard output is left to the result; `label` tells one of several runs from the others.
    pub(crate) fn new(console: Console, config: &ExperimentConfig, json: bool, label: &str) -> Self {
        let stop_after = config.training.stop_after;
        let now = Instant::now();
        Self {
            console,
            label: label.to_owned(),
            stop_after,
            exploration: match config.exploration {
                Exploration::EpsilonGreedy { .. } => "epsilon",
                Exploration::Boltzmann { .. } => "temperature",
            },
            prints_episodes: config.training.print_episodes && !json,
            bar: (io::stderr().is_terminal() && !console.is_quiet()).then(|| bar(stop_after)),
            bar_moves: false,
            figures: Figures::default(),
            speed: Speed { since: now, n_steps: 0, per_second: None },
            last_line: (now, 0.0),
            is_over: false,
        }
    }

    fn show(&mut self, progress: Progress) {
        let now = Instant::now();
        self.speed.measure(progress.steps, now);
        let (passed, whole, unit) = counted(self.stop_after, progress);
        let fraction = self.stop_after.passed_fraction(progress);
        match &self.bar {
            Some(bar) => {
                if passed > 0 && !self.bar_moves {
                    self.bar_moves = true;
                    bar.pb_set_style(&style(unit, true));
                }
                bar.pb_set_position(passed.min(whole));
                bar.pb_set_message(&format!("{}{}", self.label, self.figures()));
            }
            None if is_line_due(now - self.last_line.0, fraction - self.last_line.1) => {
                self.last_line = (now, fraction);
                self.note(&format!("{passed} of {whole} {unit}: {}", self.figures()));
            }
            None => {}
        }
        if fraction >= 1.0 && self.bar.take().is_none() {
            self.note(&format!("{passed} of {whole} {unit}: {}", self.figures()));
        }
    }

    fn note(&self, text: &str) {
        self.console.note(&format!("{}{text}", self.label));
    }

    fn figures(&self) -> String {
        let Figures { recent_returns, loss, exploration } = &self.figures;
        let mut figures = Vec::new();
        if !recent_returns.is_empty() {
            let total: f64 = recent_returns.iter().map(|&value| f64::from(value)).sum();
            figures.push(format!("return {:.3}", total / recent_returns.len() as f64));
        }
        figures.extend(loss.map(|loss| format!("loss {loss:.5}")));
        figures.push(format!("{} {exploration:.3}", self.exploration));
        figures.extend(self.speed.per_second.map(|speed| format!("{speed:.0} steps/s")));
        figures.join(", ")
    }
}

impl Observer for RunProgress {
    fn on(&mut self, event: Event<'_>) {
        match event {
            Event::Resumed { progress, skipped } => {
                if let Some(fault) = skipped {
                    tracing::warn!("the newest checkpoint was left aside: {fault}");
                }
                let (passed, whole, unit) = counted(self.stop_after, progress);
                self.note(&format!("Going on after {passed} of {whole} {unit}."));
                self.speed.n_steps = progress.steps;
                self.last_line.1 = self.stop_after.passed_fraction(progress);
                if let Some(bar) = &self.bar {
                    // What was done before this process says nothing about its speed.
                    bar.pb_set_position(passed.min(whole));
                    bar.pb_reset_eta();
                }
            }
            Event::Round { progress, round, exploration } => {
                let first = progress.episodes - round.episodes.len() as u64 + 1;
                for (number, episode) in (first..).zip(&round.episodes) {
                    let episode_return = episode.episode_return();
                    self.figures.add_return(episode_return);
                    if self.prints_episodes {
                        let line = format!("Episode {number}: Total Reward = {episode_return}");
                        // Standard output that nobody reads any more is no reason to stop learning.
                        self.prints_episodes = self.console.result(&line).is_ok();
                    }
                }
                self.figures.exploration = exploration;
                if let Some(stats) = round.updates.last() {
                    self.figures.loss = Some(stats.loss);
                }
                self.show(progress);
            }
            Event::Evaluated(evaluation) => self.note(&evaluated(evaluation)),
            Event::Saved { progress } => {
                tracing::debug!("saved after {} updates", progress.updates);
                if self.stop_after.passed_fraction(progress) >= 1.0 && !self.is_over {
                    self.is_over = true;
                    self.note("Evaluating what was learned ...");
                }
            }
        }
    }
}

impl Figures {
    fn add_return(&mut self, episode_return: f32) {
        if self.recent_returns.len() == N_RECENT_EPISODES {
            self.recent_returns.pop_front();
        }
        self.recent_returns.push_back(episode_return);
    }
}

impl Speed {
    fn measure(&mut self, n_steps: u64, now: Instant) {
        let elapsed = now - self.since;
        if elapsed >= SPEED_EVERY {
            self.per_second = Some((n_steps - self.n_steps) as f64 / elapsed.as_secs_f64());
            (self.since, self.n_steps) = (now, n_steps);
        }
    }
}

fn bar(stop_after: Span) -> tracing::Span {
    let (_, whole, unit) = counted(stop_after, Progress::default());
    let span = tracing::info_span!("training");
    span.pb_set_style(&style(unit, false));
    span.pb_set_length(whole);
    span.pb_start();
    span
}

fn style(unit: &str, moves: bool) -> ProgressStyle {
    let left = if moves { ", {eta} left" } else { "" };
    let template = format!("{{bar:24}} {{pos}}/{{len}} {unit}{left}: {{msg}}");
    ProgressStyle::with_template(&template).expect("the template has known keys only")
}

/// How far a run has come, how far it goes, and in which unit.
fn counted(stop_after: Span, progress: Progress) -> (u64, u64, &'static str) {
    match stop_after {
        Span::Steps(whole) => (progress.steps, whole, "steps"),
        Span::Updates(whole) => (progress.updates, whole, "updates"),
        Span::Episodes(whole) => (progress.episodes, whole, "episodes"),
    }
}

/// Whether, without a terminal, another line is due so long and such a part of the run after the last.
fn is_line_due(elapsed: Duration, fraction: f64) -> bool {
    elapsed >= LINE_EVERY_AT_MOST || (elapsed >= LINE_EVERY_AT_LEAST && fraction >= LINE_FRACTION)
}

fn evaluated(evaluation: &Evaluation) -> String {
    let figures = [
        Some(match evaluation.unjudged {
            true => format!("{:.1} tokens, not judged", evaluation.n_steps),
            false => format!("return {}", columns::interval(evaluation.episode_return)),
        }),
        evaluation.form_kept.map(|share| format!("form kept {}", columns::percent(share))),
        evaluation.policy_perplexity.map(|perplexity| format!("policy perplexity {perplexity:.1}")),
        evaluation.reference_perplexity.map(|perplexity| format!("judge perplexity {perplexity:.1}")),
        evaluation.distinct_2.map(|share| format!("distinct-2 {share:.3}")),
    ];
    let figures: Vec<String> = figures.into_iter().flatten().collect();
    format!("{} on {} prompts: {}", evaluation.policy, evaluation.split, figures.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_neither_too_often_nor_too_rarely() {
        for (seconds, fraction, expected) in [
            (0.0, 1.0, false),
            (2.9, 0.5, false),
            (3.0, 0.09, false),
            (3.0, 0.1, true),
            (9.9, 0.0, false),
            (10.0, 0.0, true),
        ] {
            let found = is_line_due(Duration::from_secs_f64(seconds), fraction);
            assert_eq!(found, expected, "{seconds} s, {fraction}");
        }
    }

    #[test]
    fn progress_is_counted_in_the_unit_that_ends_the_run() {
        let progress = Progress { steps: 7, updates: 2, episodes: 3 };
        for (stop_after, expected) in [
            (Span::Steps(9), (7, 9, "steps")),
            (Span::Updates(9), (2, 9, "updates")),
            (Span::Episodes(9), (3, 9, "episodes")),
        ] {
            assert_eq!(counted(stop_after, progress), expected);
        }
    }

    #[test]
    fn speed_is_that_of_the_last_second() {
        let begin = Instant::now();
        let mut speed = Speed { since: begin, n_steps: 100, per_second: None };
        speed.measure(150, begin + Duration::from_millis(500));
        assert_eq!(speed.per_second, None);
        speed.measure(300, begin + Duration::from_secs(2));
        assert_eq!(speed.per_second, Some(100.0));
        speed.measure(360, begin + Duration::from_secs(3));
        assert_eq!(speed.per_second, Some(60.0));
    }

    #[test]
    fn the_return_is_that_of_recent_episodes() {
        let mut figures = Figures::default();
        for value in 0..=N_RECENT_EPISODES {
            figures.add_return(value as f32);
        }
        assert_eq!(figures.recent_returns.len(), N_RECENT_EPISODES);
        assert_eq!(figures.recent_returns.front(), Some(&1.0));
    }
}
