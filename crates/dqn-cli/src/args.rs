//! What may stand on the command line.

mod model;
mod score;
mod serve;
mod text;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use dqn_env::game::GamePlayer;
use dqn_text::split::Split;
use dqn_train::learning::Threshold;
use dqn_train::run::checkpoint::Which;

pub(crate) use self::model::{Model, ModelExport, ModelGenerate, ModelInspect, ModelStrategy};
pub(crate) use self::score::{Metric, PairedTest, Score, SmoothingMethod};
pub(crate) use self::serve::Serve;
pub(crate) use self::text::{Lm, LmPerplexity, LmTrain, Tokenizer, TokenizerKind, TokenizerTrain, TokenizerUse};

/// Deep Q-networks that learn to write.
///
/// Without a command the default experiment runs: a network learns to write Chinese couplets, in a few minutes and from
/// any folder. Exit codes: 0 done, 1 the run failed, 2 the request was wrong, 130 stopped by Ctrl-C after saving.
#[derive(Debug, Parser)]
#[command(name = "dqn-cli", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// How much is told on the way.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Verbosity {
    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Tell more of what goes on; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an experiment, or go on with one
    Train(Train),
    /// Measure what a run has learned, beside what it is compared with
    Eval(Eval),
    /// Show why a run acts as it does in a text: values, alternatives, and the tokens that decide
    Explain(Explain),
    /// Write with what a run has learned
    Generate(Generate),
    /// Translate sentences with a run that has learned to
    Translate(Translate),
    /// Write down what is said in recordings with a run that has learned to
    Transcribe(Transcribe),
    /// Score texts, one a line: BLEU as sacreBLEU has it, variety, repetition
    Score(Score),
    /// Train an n-gram language model, or measure a text with one
    #[command(subcommand)]
    Lm(Lm),
    /// Show, write with or copy a pretrained language model: a folder with config.json, safetensors and tokenizer.json
    #[command(subcommand)]
    Model(Model),
    /// Let programs and people write with a pretrained language model: a server in the manner of OpenAI, and a page
    Serve(Serve),
    /// Make a tokenizer, or use one
    #[command(subcommand)]
    Tokenizer(Tokenizer),
    /// Search for settings: a grid, at random, or by successive halving, judged on validation prompts
    Sweep(Search),
    /// Compare methods on the same task, data and seeds, beside scripted players and published figures
    Leaderboard(Leaderboard),
    /// Show a run in the terminal while it goes on: progress, curves, newest scores and samples
    Watch(Watch),
    /// Write one HTML page about runs: curves, results, samples and settings. It needs no network, and any browser shows it
    Report(Report),
    /// Print what several runs have learned beside each other
    Compare(Compare),
    /// Make, check or describe logs of episodes to learn from
    #[command(subcommand)]
    Data(Data),
    /// Show, check or explain experiment files
    #[command(subcommand)]
    Config(Config),
    /// List the backends: which are compiled in, and how to compile the others
    Backends,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Default, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) experiment: ExperimentFile,
    /// Folder of the new run, or of the runs of its stages; without it runs/NAME-N in the current folder
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
    /// Go on with this run, from its last checkpoint and with its own configuration; in a folder of stages with the first
    /// that is not finished
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "set", "run_dir", "seed"])]
    pub(crate) resume: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) backend: BackendChoice,
    /// Seed of every random draw, instead of the file's
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Make a run with each of these seeds and a table over them: 1..5 are the five seeds from 1 to 5, and 1,4,7 these
    /// three. The runs lie in seed-N below --run-dir [default: runs/NAME-seeds]; finished ones are not made again, and
    /// unfinished ones go on. The table of a file with stages is over the last stage
    #[arg(long, value_name = "A..B|A,B,...", value_parser = seeds, conflicts_with_all = ["seed", "resume"])]
    pub(crate) seeds: Option<Seeds>,
    /// With --seeds, runs made at a time, which share the cores [default: one a core; on a graphics card 1]
    #[arg(long, value_name = "N", requires = "seeds", value_parser = at_least_one)]
    pub(crate) parallel: Option<usize>,
    /// With --seeds, tell when each run reached this value of a measure in its metrics.jsonl; perplexities, losses and
    /// errors come down to it [default: the return nine tenths of the way from the lowest first to the highest of all runs]
    #[arg(long, value_name = "METRIC=VALUE", requires = "seeds")]
    pub(crate) threshold: Option<Threshold>,
    /// Print the result as one JSON object and nothing else on standard output:
    /// {run, finished, updates, evaluation}, the last as by `eval --json`; of a file with stages {run, finished, stages:
    /// [{stage, run, finished, updates, evaluation}]}; with --seeds {runs, finished, table}
    #[arg(long)]
    pub(crate) json: bool,
}

/// Seeds of runs, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seeds(pub(crate) Vec<u64>);

/// An experiment file and changes to it.
#[derive(Debug, Default, Args)]
pub(crate) struct ExperimentFile {
    /// Experiment file; without it the default experiment
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Change a value of the file, for example learner.n_step=3; may be repeated. In a file with stages it changes all of
    /// them, and stages.NAME.learner.n_step=3 one
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct BackendChoice {
    /// What computes: flex, ndarray, wgpu, cuda, or auto for the first of these that is compiled in. A run that exists
    /// uses its own where none is named
    #[arg(long, value_name = "BACKEND")]
    pub(crate) backend: Option<String>,
}

/// A run and one of its checkpoints.
#[derive(Debug, Args)]
pub(crate) struct RunChoice {
    /// Folder of the run; a folder of stages stands for the last of them that has begun
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// The network after this checkpoint: last, best (on validation prompts), or a number of updates that was kept
    #[arg(long, value_name = "last|best|N", default_value = "last", value_parser = checkpoint)]
    pub(crate) checkpoint: Which,
    #[command(flatten)]
    pub(crate) backend: BackendChoice,
}

#[derive(Debug, Args)]
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) run: RunChoice,
    /// Part of the text whose prompts are used; may be repeated. Without it all three, or train alone where the
    /// experiment does not divide its text
    #[arg(long, value_name = "SPLIT")]
    pub(crate) split: Vec<EvalSplit>,
    /// Seed of the texts that are drawn and of the starts of games [default: evaluation.seed of the experiment]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Evaluate once for each value of a setting of the decoding, for example `beta=1,4,16`: beta, top_k or temperature.
    /// For runs that learn the policy of their data
    #[arg(long, value_name = "KEY=A,B,...", value_parser = sweep)]
    pub(crate) sweep: Option<Sweep>,
    /// Beside the rows of --sweep, the best of so many texts that the policy of the data draws from each prompt, by what the
    /// reward says of them: for example 2,4,8
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = at_least_one, requires = "sweep")]
    pub(crate) best_of: Vec<usize>,
    /// Beside the rows of --best-of, the first of at most as many texts that earns this much, or the last
    #[arg(long, value_name = "RETURN", allow_negative_numbers = true, requires = "best_of")]
    pub(crate) accept: Option<f64>,
    /// Draw returns over divergence, of --sweep and of --best-of, as an SVG file; of several parts of the text the last
    #[arg(long, value_name = "FILE", requires = "sweep")]
    pub(crate) figure: Option<PathBuf>,
    /// Print a JSON array on one line and nothing else on standard output, for each split {split, episode_return: {mean,
    /// low, high}, policy_perplexity, reference_perplexity, bleu, distinct_2, taken_for_human, n_episodes, seed, policies};
    /// what a task does not have is null. These are measures of the learned policy; policies are the rows of
    /// eval/report.json with all measures of that one and of those it is compared with
    #[arg(long)]
    pub(crate) json: bool,
}

/// A part of the text that may be evaluated on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EvalSplit {
    /// What was learned from.
    Train,
    /// What was tuned on.
    Validation,
    /// What nothing else has seen.
    Test,
}

impl From<EvalSplit> for Split {
    fn from(split: EvalSplit) -> Self {
        match split {
            EvalSplit::Train => Split::Train,
            EvalSplit::Validation => Split::Validation,
            EvalSplit::Test => Split::Test,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) run: RunChoice,
    /// A whole episode: a prompt and what follows it, the transcript of a game, or a text to be written from memory.
    /// Without it what the run itself prefers, from the prompt or from the first validation start
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// How the text begins, where it does not begin with as many tokens or lines as the prompts of the experiment
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// What the text is about: the sentence that is translated, or the recording that is written down [default: the first
    /// of the validation part]
    #[arg(long, value_name = "TEXT|FILE")]
    pub(crate) source: Option<String>,
    /// Alternatives told of each step
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    pub(crate) top: usize,
    /// How the tokens that decide are found
    #[arg(long, value_name = "METHOD", default_value = "occlusion")]
    pub(crate) method: ExplainMethod,
    /// What stands in place of an occluded token [default: vocabulary]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) replacement: Option<ExplainReplacement>,
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ExplainFormat,
    /// File to write instead of standard output; one that exists is replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// How the tokens that decide are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainMethod {
    /// By how much the action is preferred less when another token stands in a place.
    Occlusion,
    /// By the gradient of the preference by the vectors of the tokens.
    Gradient,
    /// By what a Transformer attends to.
    Attention,
}

/// What stands in place of an occluded token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainReplacement {
    /// Other tokens of the vocabulary; the mean over them counts.
    Vocabulary,
    /// The token `<unk>`.
    Unk,
}

/// How an explanation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainFormat {
    /// For a terminal, shaded where that shows colours.
    Text,
    /// One JSON object, as docs/explain.md describes it.
    Json,
    /// A page of its own.
    Html,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    #[command(flatten)]
    pub(crate) run: RunChoice,
    /// How the texts begin; without it the prompts of the test part
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// Number of texts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub(crate) n: usize,
    /// How tokens are chosen; without it as the run explored: boltzmann, or greedy after epsilon-greedy
    #[arg(long, value_name = "STRATEGY")]
    pub(crate) strategy: Option<GenerateStrategy>,
    /// Texts that the beam search follows at a time [default: 8, or N where that is more]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) beam_width: Option<usize>,
    /// Temperature in units of Q [default: the one that exploration ended with]
    #[arg(long, value_name = "X", value_parser = temperature)]
    pub(crate) temperature: Option<f64>,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Print one JSON object a text and nothing else on standard output: {prompt, text, episode_return, n_tokens}
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Translate {
    #[command(flatten)]
    pub(crate) run: RunChoice,
    /// A sentence
    #[arg(long, value_name = "TEXT", required_unless_present = "file", conflicts_with = "file")]
    pub(crate) text: Option<String>,
    /// A file of sentences, one a line; - reads them from standard input. Each gives one line, in their order
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) decoding: AnswerDecoding,
}

#[derive(Debug, Args)]
pub(crate) struct Transcribe {
    #[command(flatten)]
    pub(crate) run: RunChoice,
    /// WAV or FLAC files of any rate. Each gives one line, in their order
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) decoding: AnswerDecoding,
}

/// How an answer is written.
#[derive(Debug, Args)]
pub(crate) struct AnswerDecoding {
    /// How tokens are chosen
    #[arg(long, value_name = "STRATEGY", default_value = "greedy")]
    pub(crate) strategy: GenerateStrategy,
    /// Texts that the beam search follows at a time [default: 5]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) beam_width: Option<usize>,
    /// Exponent of the length in log p / length^X, by which the beam search compares finished texts [default: 1]
    #[arg(long, value_name = "X", value_parser = not_negative)]
    pub(crate) length_exponent: Option<f64>,
    /// Temperature in units of Q [default: the one that exploration ended with]
    #[arg(long, value_name = "X", value_parser = temperature)]
    pub(crate) temperature: Option<f64>,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Print one JSON object a text and nothing else on standard output: {text, n_tokens, truncated}
    #[arg(long)]
    pub(crate) json: bool,
}

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GenerateStrategy {
    /// The most preferred token at every step.
    Greedy,
    /// A token drawn in proportion to prior times exp(Q / temperature).
    Boltzmann,
    /// The most probable texts that a beam search finds.
    Beam,
}

/// Values of one setting of the decoding.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sweep {
    pub(crate) key: SweepKey,
    pub(crate) values: Vec<f64>,
}

/// A setting of the decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SweepKey {
    Beta,
    TopK,
    Temperature,
}

/// Arguments of `leaderboard`.
#[derive(Debug, Args)]
pub(crate) struct Leaderboard {
    /// The description, a TOML file such as those of configs/leaderboard; several make several tables
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) config: Vec<PathBuf>,
    /// Folder of the runs, one below it for each leaderboard; runs that are there are gone on with or not made again
    /// [default: runs/leaderboard]
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
    /// Folder for the table as Markdown, JSON and SVG; without it beside the runs
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Change a value in the experiment of every method; may be repeated
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Runs made at a time, which share the cores
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub(crate) parallel: usize,
    #[command(flatten)]
    pub(crate) backend: BackendChoice,
    /// Print the table as JSON on one line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Folder of the run, going on, finished or stopped
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Print one frame as plain text and end: as large as the terminal or, without one, 80 columns by 24 lines
    #[arg(long)]
    pub(crate) once: bool,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Folders of the runs, finished or not; those that differ in their seed only are drawn as one curve
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// The page to write; an earlier report is replaced, any other file is left alone [default: report.html in the run's
    /// folder or, for several runs, in the current one]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Tell when each run reached this value of a measure in its metrics.jsonl; perplexities, losses and errors come down to
    /// it [default: the return nine tenths of the way from the lowest first to the highest of all runs]
    #[arg(long, value_name = "METRIC=VALUE")]
    pub(crate) threshold: Option<Threshold>,
    /// Show the page in the browser
    #[arg(long)]
    pub(crate) open: bool,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Folders of finished runs
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Tell when each run reached this value of a measure in its metrics.jsonl; perplexities, losses and errors come down to
    /// it [default: the return nine tenths of the way from the lowest first to the highest of all runs]
    #[arg(long, value_name = "METRIC=VALUE")]
    pub(crate) threshold: Option<Threshold>,
    /// Print a JSON array on one line and nothing else on standard output, for each split {split, runs: [{run, experiment,
    /// seed, updates, learning, evaluation}], means: [{experiment, n_runs, episode_return: {mean, low, high},
    /// interquartile_mean, standard_deviation, worst, worst_seed}], improvements: [{experiment, over, probability}]}
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `sweep`.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// The description, a TOML file such as those of configs/sweeps
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Folder of the runs, one below it for each sweep; runs that are there are gone on with or not made again
    /// [default: runs/sweep]
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
    /// Folder for the table as Markdown, JSON and SVG; without it beside the runs
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Change a value in the experiment of every trial; may be repeated
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Runs made at a time, which share the cores [default: one a core; on a graphics card 1]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) parallel: Option<usize>,
    #[command(flatten)]
    pub(crate) backend: BackendChoice,
    /// Print the table as JSON on one line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do with logs of episodes.
#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Let a scripted player of a game play, and write its episodes as JSONL
    Generate(DataGenerate),
    /// Let a run write from the prompts or sources it learned from, and write texts and their rewards as JSONL
    Sample(DataSample),
    /// Hold every line of a log against the format and, where an experiment is named, against its task
    Check(DataCheck),
    /// Tell what a log holds: episodes, returns, lengths
    Stats(DataStats),
    /// Print the JSON Schema of a line of a log
    Schema,
}

/// Arguments of `data generate`.
#[derive(Debug, Args)]
pub(crate) struct DataGenerate {
    #[command(flatten)]
    pub(crate) experiment: ExperimentFile,
    /// Who plays: random, skilled, expert, adversarial, or mixture:P, which is skilled with probability P
    #[arg(long, value_name = "PLAYER", value_parser = player)]
    pub(crate) player: GamePlayer,
    /// Number of episodes
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) episodes: usize,
    /// Seed of starts and draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The file to write; one that exists is refused
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// Arguments of `data sample`.
#[derive(Debug, Args)]
pub(crate) struct DataSample {
    #[command(flatten)]
    pub(crate) run: RunChoice,
    /// Texts from each prompt or about each source
    #[arg(long, value_name = "N", value_parser = at_least_one, default_value = "1")]
    pub(crate) n_texts: usize,
    /// Write from the first N prompts or sources of the training part [default: all]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) n_starts: Option<usize>,
    /// Temperature in units of Q [default: the one that exploration ended with]
    #[arg(long, value_name = "X", value_parser = temperature)]
    pub(crate) temperature: Option<f64>,
    /// Write token ids with what each of them earned, in place of texts with what they earned altogether
    #[arg(long)]
    pub(crate) token_ids: bool,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The file to write; one that exists is refused
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// Arguments of `data check`.
#[derive(Debug, Args)]
pub(crate) struct DataCheck {
    /// The log
    #[arg(value_name = "FILE")]
    pub(crate) log: PathBuf,
    #[command(flatten)]
    pub(crate) experiment: ExperimentFile,
    /// Count lines that hold no episode, show the first of them and go on, instead of ending at the first
    #[arg(long)]
    pub(crate) skip: bool,
}

/// Arguments of `data stats`.
#[derive(Debug, Args)]
pub(crate) struct DataStats {
    /// The log
    #[arg(value_name = "FILE")]
    pub(crate) log: PathBuf,
    /// Count lines that hold no episode and go on, instead of ending at the first
    #[arg(long)]
    pub(crate) skip: bool,
    /// Print a JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print an experiment with every value, defaults included
    Show(ExperimentFile),
    /// Tell everything that is wrong with an experiment file; exit code 2 if something is
    Check(ExperimentFile),
    /// Print the JSON Schema of experiment files
    Schema {
        /// Print a reference for people instead, in Markdown
        #[arg(long)]
        markdown: bool,
    },
}

fn checkpoint(text: &str) -> Result<Which, String> {
    match text {
        "last" => Ok(Which::Last),
        "best" => Ok(Which::Best),
        _ => text.parse().map(Which::Numbered).map_err(|_| "it must be last, best or a number of updates".to_owned()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "it must be a whole number of at least 1".to_owned())
}

/// Most seeds of one call: more are a slip of the pen.
const MAX_SEEDS: usize = 10_000;

fn seeds(text: &str) -> Result<Seeds, String> {
    let form = "it must be a range such as 1..5, which is the five seeds from 1 to 5, or numbers divided by commas";
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?}: {form}"));
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once("..") {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if first > last {
            return Err(format!("{part:?} holds no seed: the lower one comes first"));
        }
        let room = MAX_SEEDS - seeds.len();
        if last - first >= room as u64 {
            return Err(format!("{text:?} holds more than {MAX_SEEDS} seeds"));
        }
        seeds.extend(first..=last);
    }
    let mut sorted = seeds.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("the seed {} stands there twice", pair[0])),
        None => Ok(Seeds(seeds)),
    }
}

fn temperature(text: &str) -> Result<f64, String> {
    let positive = text.parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0);
    positive.ok_or_else(|| "it must be a number above 0".to_owned())
}

fn sweep(text: &str) -> Result<Sweep, String> {
    let form = || "it must be beta=, top_k= or temperature=, and then values divided by commas".to_owned();
    let (key, values) = text.split_once('=').ok_or_else(form)?;
    let key = match key {
        "beta" => SweepKey::Beta,
        "top_k" => SweepKey::TopK,
        "temperature" => SweepKey::Temperature,
        _ => return Err(form()),
    };
    let value = |text: &str| match key {
        SweepKey::TopK => at_least_one(text).map(|n| n as f64),
        SweepKey::Beta | SweepKey::Temperature => not_negative(text),
    };
    let values = values.split(',').map(|text| value(text).map_err(|why| format!("{text:?}: {why}")));
    Ok(Sweep { key, values: values.collect::<Result<_, _>>()? })
}

fn player(text: &str) -> Result<GamePlayer, String> {
    let form = || "it must be random, skilled, expert, adversarial, or mixture:P with P from 0 to 1".to_owned();
    match text.split_once(':') {
        None if text == "random" => Ok(GamePlayer::Random {}),
        None if text == "skilled" => Ok(GamePlayer::Skilled {}),
        None if text == "expert" => Ok(GamePlayer::Expert {}),
        None if text == "adversarial" => Ok(GamePlayer::Adversarial {}),
        Some(("mixture", skill)) => {
            let skill = skill.parse().ok().filter(|skill| (0.0..=1.0).contains(skill)).ok_or_else(form)?;
            Ok(GamePlayer::Mixture { skill })
        }
        _ => Err(form()),
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
    number.ok_or_else(|| "it must be a number of at least 0".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn checkpoints_are_named_or_numbered() {
        for (text, expected) in [
            ("last", Some(Which::Last)),
            ("best", Some(Which::Best)),
            ("40", Some(Which::Numbered(40))),
            ("-1", None),
            ("newest", None),
        ] {
            assert_eq!(checkpoint(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn ranges_of_seeds_include_both_ends() {
        for (text, expected) in [
            ("1..5", Some(vec![1, 2, 3, 4, 5])),
            ("1,4,7", Some(vec![1, 4, 7])),
            ("7,1..3", Some(vec![7, 1, 2, 3])),
            ("3..3", Some(vec![3])),
            ("1..=5", None),
            ("5..1", None),
            ("1,1", None),
            ("1..3,2", None),
            ("", None),
            ("1..", None),
            ("0..18446744073709551615", None),
        ] {
            assert_eq!(seeds(text).ok().map(|seeds| seeds.0), expected, "{text}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert!(at_least_one("0").is_err() && at_least_one("1").is_ok());
        assert!(temperature("0").is_err() && temperature("inf").is_err() && temperature("0.07").is_ok());
        assert!(not_negative("-0.1").is_err() && not_negative("NaN").is_err() && not_negative("0").is_ok());
    }
}
