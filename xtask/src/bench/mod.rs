//! The benchmarks: criterion's and memory, or this project beside PyTorch.

mod against_pytorch;
mod measurement;
mod table;

use std::path::Path;

use anyhow::Result;

use crate::process::Tool;

/// What `cargo xtask bench` runs.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Measure this project and PyTorch side by side, and write docs/tables/against-pytorch.md.
    #[arg(long)]
    against_pytorch: bool,
    /// The Python that can import PyTorch.
    #[arg(long, value_name = "PATH", default_value = "python3", requires = "against_pytorch")]
    python: String,
    /// How often each case is measured with each number of threads; the fastest counts.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    #[arg(requires = "against_pytorch")]
    rounds: u32,
    /// How long each measurement lasts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = seconds, requires = "against_pytorch")]
    seconds: f64,
    /// A filter and other arguments for criterion; beside PyTorch, parts of the names of the cases to run, and then
    /// nothing is written.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let found = text.parse().ok().filter(|seconds| (0.01..=600.0).contains(seconds));
    found.ok_or_else(|| "a number of seconds from 0.01 to 600 is wanted".to_owned())
}

/// Runs the benchmarks.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    if options.against_pytorch {
        return against_pytorch::run(root, options);
    }
    // The whole workspace, so that the dependencies are those of the release build. Memory comes last, in a run of its
    // own: cargo would put its benchmarks in the order of their names.
    for benchmark in ["learning", "memory"] {
        let command = format!("cargo bench --workspace --bench {benchmark} --");
        Tool::new(root, &command).arguments(&options.arguments).run()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        options: Options,
    }

    fn parse(line: &str) -> Result<Options, clap::Error> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        Arguments::try_parse_from(words).map(|arguments| arguments.options)
    }

    #[test]
    fn what_is_not_an_option_goes_to_criterion() {
        let options = parse("learn/gru --save-baseline mine").unwrap();
        assert!(!options.against_pytorch);
        assert_eq!(options.arguments, ["learn/gru", "--save-baseline", "mine"]);
        assert_eq!(parse("--quick").unwrap().arguments, ["--quick"]);
    }

    #[test]
    fn options_beside_pytorch_come_before_the_cases() {
        let options = parse("--against-pytorch --python bin/python --rounds 3 --seconds 0.5 learn/gru act").unwrap();
        assert!(options.against_pytorch);
        assert_eq!((options.python.as_str(), options.rounds, options.seconds), ("bin/python", 3, 0.5));
        assert_eq!(options.arguments, ["learn/gru", "act"]);
    }

    #[test]
    fn impossible_settings_are_refused() {
        for line in ["--python python3", "--against-pytorch --rounds 0", "--against-pytorch --seconds nan"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
