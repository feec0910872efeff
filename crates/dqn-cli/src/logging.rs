//! Log lines on standard error that do not break progress bars.

use std::env;
use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_indicatif::IndicatifLayer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use crate::args::Verbosity;
use crate::progress;

/// Starts logging for the whole process.
pub(crate) fn start(verbosity: Verbosity) {
    let bars = IndicatifLayer::new();
    let lines = fmt::layer()
        .with_writer(bars.get_stderr_writer())
        .with_ansi(has_colours(is_set, io::stderr().is_terminal()))
        .without_time()
        .with_target(verbosity.verbose > 0)
        .with_filter(levels(verbosity));
    // Spans of the libraries are no progress bars.
    let bars = bars.with_filter(Targets::new().with_target(progress::TARGET, LevelFilter::INFO));
    registry().with(lines).with(bars).init();
}

/// Whether results on standard output may be coloured.
pub(crate) fn stdout_has_colours() -> bool {
    has_colours(is_set, io::stdout().is_terminal())
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Which lines are shown, by the crate they come from.
fn levels(Verbosity { quiet, verbose }: Verbosity) -> Targets {
    let (ours, others) = match (quiet, verbose) {
        (true, _) => (LevelFilter::ERROR, LevelFilter::ERROR),
        (false, 0) => (LevelFilter::INFO, LevelFilter::WARN),
        (false, 1) => (LevelFilter::DEBUG, LevelFilter::INFO),
        (false, _) => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    Targets::new().with_default(others).with_target("dqn", ours)
}

/// Colours are for terminals; NO_COLOR forbids and CLICOLOR_FORCE demands them, as in the help texts.
fn has_colours(is_set: impl Fn(&str) -> bool, is_terminal: bool) -> bool {
    !is_set("NO_COLOR") && (is_terminal || is_set("CLICOLOR_FORCE"))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn verbosity_counts_for_our_crates_first() {
        for (quiet, verbose, ours, others) in [
            (true, 0, Level::ERROR, Level::ERROR),
            (false, 0, Level::INFO, Level::WARN),
            (false, 1, Level::DEBUG, Level::INFO),
            (false, 2, Level::TRACE, Level::DEBUG),
        ] {
            let levels = levels(Verbosity { quiet, verbose });
            for (target, shown) in [("dqn_train::runner", ours), ("wgpu_core", others)] {
                for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
                    assert_eq!(levels.would_enable(target, &level), level <= shown, "{target} {level} -v {verbose}");
                }
            }
        }
    }

    #[test]
    fn no_color_wins() {
        for (set, is_terminal, expected) in [
            (&[][..], true, true),
            (&[], false, false),
            (&["CLICOLOR_FORCE"], false, true),
            (&["NO_COLOR"], true, false),
            (&["NO_COLOR", "CLICOLOR_FORCE"], true, false),
        ] {
            assert_eq!(has_colours(|name| set.contains(&name), is_terminal), expected, "{set:?} {is_terminal}");
        }
    }
}
