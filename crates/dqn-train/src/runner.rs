//! A run from its beginning or its last checkpoint to its end: the loop, and everything attached to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use dqn_core::{CoreError, Policy, Progress, QNetwork, Spread, UpdateStats, learner};
use dqn_mdp::Trajectory;
use dqn_model::TextQNetwork;
use dqn_text::split::Split;
use dqn_text::tokenizer::{TextTokenizer, TokenizerConfig};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::config::{EpisodeSource, ExperimentConfig, Metric};
use crate::discriminator::DiscriminatorStats;
use crate::evaluation::{Evaluation, Evaluator, PolicyPerplexity};
use crate::experiment::{Experiment, Tokenizers};
use crate::report::{Report, acting_temperature, evaluate, reported, validate};
use crate::run::atomic;
use crate::run::checkpoint::{Checkpoint, CheckpointHeader, CheckpointStore, Newest, Which, config_hash};
use crate::run::directory::RunDirectory;
use crate::run::lines::LineLog;
use crate::run::metrics::{MetricsWriter, QUANTILE_ENDINGS, Record};
use crate::samples;
use crate::training::{Round, Training};

/// What a run tells while it goes on.
pub enum Event<'a> {
    /// The run goes on from a checkpoint.
    Resumed {
        /// How far it had come.
        progress: Progress,
        /// Why the newest checkpoint was not taken, where an older one was.
        skipped: Option<TrainError>,
    },
    /// Episodes were played and perhaps learned from.
    Round {
        /// How far the run has come.
        progress: Progress,
        /// What happened.
        round: &'a Round,
        /// Present exploration: epsilon or temperature.
        exploration: f64,
    },
    /// The policy was measured on validation prompts.
    Evaluated(&'a Evaluation),
    /// A checkpoint was written.
    Saved {
        /// How far the run had come.
        progress: Progress,
    },
}

/// Watches a run.
pub trait Observer {
    /// Is told what happens, in order.
    fn on(&mut self, event: Event<'_>);
}

/// How a run ended.
pub enum RunEnd {
    /// It reached its end; this is what it is worth.
    Finished(Box<Report>),
    /// It was asked to stop and saved where it was.
    Interrupted {
        /// How far it had come.
        progress: Progress,
    },
}

/// What the runner itself keeps in a checkpoint.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct RunnerState {
    /// Seconds of the run before the last start.
    wall_seconds: f64,
    /// Best value of the metric on validation prompts.
    best: Option<f64>,
    /// Evaluations since it last got better by what counts as an improvement, and its value then.
    n_without_improvement: u64,
    improved: Option<f64>,
    /// Multiples of each rhythm that have passed.
    n_evaluations: u64,
    n_checkpoints: u64,
    n_kept: u64,
    /// Records in the metrics, which resuming cuts them back to.
    n_records: u64,
    /// Lines in the log of samples, likewise.
    n_samples: u64,
    progress: Progress,
}

const RUNNER: &str = "runner";

/// Begins a run in a new directory.
///
/// # Errors
/// When the directory exists and holds something, or cannot be written.
pub fn create(path: &Path, experiment: &Experiment, backend: &str) -> Result<RunDirectory, TrainError> {
    let directory = RunDirectory::create(path)?;
    atomic::write_text(&directory.config_path(), &experiment.config.to_toml()?)?;
    if let Some(tokenizer) = experiment.tokenizer() {
        atomic::write_text(&directory.tokenizer_path(), &tokenizer.to_json())?;
    }
    if let Some(tokenizer) = experiment.source_tokenizer() {
        atomic::write_text(&directory.source_tokenizer_path(), &tokenizer.to_json())?;
    }
    let origin =
        Origin { backend: backend.to_owned(), corpus: fingerprint(experiment), others: experiment.others.clone() };
    let origin = serde_json::to_string_pretty(&origin)
        .map_err(|error| TrainError::Internal { message: format!("writing the origin of a run: {error}") })?;
    atomic::write_text(&directory.path().join(ORIGIN_NAME), &origin)?;
    Ok(directory)
}

const ORIGIN_NAME: &str = "origin.json";

/// What a run was made from, besides its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The backend it began on.
    pub backend: String,
    /// blake3 of the corpus, of the texts of the game, and of the log, in hexadecimal; empty without them.
    pub corpus: String,
    /// blake3 of the parameters of other runs that it goes by, in hexadecimal.
    pub others: Vec<String>,
}

fn fingerprint(experiment: &Experiment) -> String {
    experiment.fingerprint().to_owned()
}

/// What an existing run was made from.
///
/// # Errors
/// When the directory does not tell.
pub fn origin(directory: &RunDirectory) -> Result<Origin, TrainError> {
    let text = read(&directory.path().join(ORIGIN_NAME))?;
    serde_json::from_str(&text).map_err(|error| TrainError::NotARun {
        path: directory.path().to_owned(),
        message: format!("{ORIGIN_NAME} does not tell what the run was made from: {error}"),
    })
}

/// Whether the folder at `path` holds a run that was begun.
pub fn is_begun(path: &Path) -> bool {
    // It is written last.
    path.join(ORIGIN_NAME).is_file()
}

/// The experiment of an existing run.
///
/// # Errors
/// When the directory is not a run of this version, or the corpus is not the one the run began with.
pub fn open_experiment(directory: &RunDirectory, device: &Device) -> Result<(Experiment, Origin), TrainError> {
    let origin = origin(directory)?;
    let config = config(directory)?;
    let tokenizers = tokenizers(directory, &config)?;
    let experiment = Experiment::build(config, tokenizers, device)?;
    let found = fingerprint(&experiment);
    if found != origin.corpus {
        return Err(TrainError::OtherCorpus { expected: origin.corpus, found });
    }
    if experiment.others != origin.others {
        let (expected, found) = (origin.others.join(" and "), experiment.others.join(" and "));
        return Err(TrainError::OtherParameters { expected, found });
    }
    Ok((experiment, origin))
}

/// The experiment of an existing run, to write about what people give, like a sentence to translate: without the data that
/// it learned from, where writing does not need them.
///
/// # Errors
/// As [`open_experiment`].
pub fn open_to_answer(directory: &RunDirectory, device: &Device) -> Result<Experiment, TrainError> {
    let config = config(directory)?;
    let alone = match tokenizers(directory, &config)? {
        Some(tokenizers) => Experiment::for_answers(&config, &tokenizers, device)?,
        None => None,
    };
    match alone {
        Some(experiment) => Ok(experiment),
        None => Ok(open_experiment(directory, device)?.0),
    }
}

fn config(directory: &RunDirectory) -> Result<ExperimentConfig, TrainError> {
    let path = directory.config_path();
    ExperimentConfig::from_toml(&read(&path)?, &path.display().to_string(), &[])
}

/// The tokenizers that a run keeps, where its task has any.
fn tokenizers(directory: &RunDirectory, config: &ExperimentConfig) -> Result<Option<Tokenizers>, TrainError> {
    let path = directory.tokenizer_path();
    let is_pretrained = matches!(config.tokenizer, TokenizerConfig::Pretrained { .. }) && path.is_file();
    let environment = &config.environment;
    if config.corpus.is_none() && !environment.is_game() && !environment.has_sources() && !is_pretrained {
        return Ok(None);
    }
    let of_sources = directory.source_tokenizer_path();
    Ok(Some(Tokenizers {
        texts: TextTokenizer::load(&path)?,
        sources: of_sources.is_file().then(|| TextTokenizer::load(&of_sources)).transpose()?,
    }))
}

fn read(path: &Path) -> Result<String, TrainError> {
    std::fs::read_to_string(path).map_err(|source| TrainError::Read { path: path.to_owned(), source })
}

/// The network of a run as one of its checkpoints has it, without a graph.
///
/// # Errors
/// When the checkpoint is missing, damaged or of another network.
pub fn load_network(
    directory: &RunDirectory,
    experiment: &Experiment,
    which: Which,
    device: &Device,
) -> Result<(TextQNetwork, Progress), TrainError> {
    let store = directory.checkpoints();
    let checkpoint = match (store.load(which), which) {
        // Killed between two renames a run has no last checkpoint, and the one before it is the newest.
        (Err(TrainError::NoCheckpoint { .. }), Which::Last) => store.load_newest()?.checkpoint,
        (loaded, _) => loaded?,
    };
    let network = learner::load_parameters(
        experiment.network(device),
        experiment.config.learner.acting.part(),
        &checkpoint.parts,
    )?;
    Ok((network.for_acting(), runner_state(&checkpoint)?.progress))
}

fn runner_state(checkpoint: &Checkpoint) -> Result<RunnerState, TrainError> {
    let missing = || CoreError::MissingPart { part: RUNNER.to_owned() };
    let bytes = checkpoint.parts.get(RUNNER).ok_or_else(missing)?;
    let unfit = |error: postcard::Error| CoreError::Unfit { part: RUNNER.to_owned(), message: error.to_string() };
    Ok(postcard::from_bytes(bytes).map_err(unfit)?)
}

/// Runs an experiment to its end, or until `stop` is set.
///
/// With `resume` it goes on from the last checkpoint, on a CPU backend bit for bit as if it had never stopped.
///
/// # Errors
/// When a file cannot be read or written, or the run fails.
pub fn run(
    experiment: &Experiment,
    directory: &RunDirectory,
    device: &Device,
    resume: bool,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<RunEnd, TrainError> {
    let (training, is_there) = advance(experiment, directory, device, resume, None, stop, observer)?;
    let progress = training.progress();
    if !is_there {
        return Ok(RunEnd::Interrupted { progress });
    }
    Ok(match evaluate(experiment, training.network(), progress, reported(experiment), device, stop)? {
        Some(report) => RunEnd::Finished(Box::new(report)),
        None => RunEnd::Interrupted { progress },
    })
}

/// A run that has come as far as it was asked to, and what it is worth on validation prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Milestone {
    /// How far the run had come.
    pub progress: Progress,
    /// What was learned by then.
    pub evaluation: Evaluation,
}

/// Runs an experiment to the end of the round in which it has made `until_updates` updates, or to its own end where that
/// comes first or nothing is named, and measures it on validation prompts alone; nothing where `stop` was set before.
///
/// The pause leaves no trace: configuration and schedules are those of the whole run, which goes on from here with
/// `resume`, here or in [`run`], as if it had not paused.
///
/// # Errors
/// As [`run`].
pub fn run_until(
    experiment: &Experiment,
    directory: &RunDirectory,
    device: &Device,
    resume: bool,
    until_updates: Option<u64>,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Option<Milestone>, TrainError> {
    let (training, is_there) = advance(experiment, directory, device, resume, until_updates, stop, observer)?;
    if !is_there {
        return Ok(None);
    }
    let progress = training.progress();
    Ok(Some(Milestone { progress, evaluation: validate(experiment, training.network(), progress)? }))
}

/// The saved run after `until_updates` updates or at its end, and whether it has come there; it has not where `stop` was
/// set.
fn advance<'a>(
    experiment: &'a Experiment,
    directory: &RunDirectory,
    device: &Device,
    resume: bool,
    until_updates: Option<u64>,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<(Training<'a>, bool), TrainError> {
    assert!(directory.is_locked(), "a run writes to its directory only while it holds the lock");
    let store = directory.checkpoints();
    let mut training = Training::new(experiment, device)?;
    let mut state = RunnerState::default();
    if resume {
        match store.load_newest() {
            Ok(Newest { checkpoint, path, skipped }) => {
                if checkpoint.header.config_hash != config_hash(&experiment.config.to_toml()?) {
                    return Err(TrainError::OtherConfig { path, config: directory.config_path() });
                }
                training.load(&checkpoint.parts)?;
                state = runner_state(&checkpoint)?;
                observer.on(Event::Resumed { progress: training.progress(), skipped });
            }
            // Killed before its first checkpoint, a run begins again.
            Err(TrainError::NoCheckpoint { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let metrics = MetricsWriter::open(directory.path(), resume.then_some(state.n_records))?;
    let samples = directory.samples(resume.then_some(state.n_samples))?;
    let mut runner = Runner { experiment, store, metrics, samples, state, begin: Instant::now() };
    let is_there = |training: &Training<'_>| {
        training.is_over() || until_updates.is_some_and(|until| training.progress().updates >= until)
    };
    while !is_there(&training) && !runner.stops_early() {
        let round = training.round()?;
        runner.record(&training, &round)?;
        let exploration = experiment.exploration_value(training.progress());
        observer.on(Event::Round { progress: training.progress(), round: &round, exploration });
        if runner.is_due(training.progress(), |state| &mut state.n_evaluations, |every| every.evaluate_every_updates) {
            let evaluation = runner.evaluate(&training)?;
            observer.on(Event::Evaluated(&evaluation));
        }
        let stopped = stop.load(Ordering::SeqCst);
        let due = runner.is_due(
            training.progress(),
            |state| &mut state.n_checkpoints,
            |every| every.checkpoint_every_updates,
        );
        if due || stopped {
            runner.save(&training)?;
            observer.on(Event::Saved { progress: training.progress() });
        }
        if stopped {
            return Ok((training, false));
        }
    }
    runner.save(&training)?;
    observer.on(Event::Saved { progress: training.progress() });
    Ok((training, true))
}

struct Runner<'a> {
    experiment: &'a Experiment,
    store: CheckpointStore,
    metrics: MetricsWriter,
    samples: LineLog,
    state: RunnerState,
    begin: Instant,
}

/// The value of a metric, turned so that the higher is the better.
fn value(metric: Metric, evaluation: &Evaluation) -> Option<f64> {
    match metric {
        Metric::Return => Some(evaluation.episode_return.mean),
        Metric::PolicyPerplexity => evaluation.policy_perplexity.map(|perplexity| -perplexity),
        Metric::ReferencePerplexity => evaluation.reference_perplexity.map(|perplexity| -perplexity),
        Metric::Bleu => evaluation.bleu,
        Metric::Chrf => evaluation.answers.map(|answers| answers.chrf),
        Metric::Exact => evaluation.answers.map(|answers| answers.exact),
        Metric::WordErrorRate => evaluation.answers.map(|answers| -answers.word_error_rate),
        Metric::CharacterErrorRate => evaluation.answers.map(|answers| -answers.character_error_rate),
    }
}

impl Runner<'_> {
    fn wall_seconds(&self) -> f64 {
        self.state.wall_seconds + self.begin.elapsed().as_secs_f64()
    }

    /// Whether another multiple of a rhythm was passed since it was last due; marks it as done.
    fn is_due(
        &mut self,
        progress: Progress,
        last: impl Fn(&mut RunnerState) -> &mut u64,
        every: impl Fn(&crate::config::TrainingConfig) -> u64,
    ) -> bool {
        let every = every(&self.experiment.config.training);
        let Some(reached) = progress.updates.checked_div(every) else { return false };
        let last = last(&mut self.state);
        let is_due = reached > *last;
        *last = reached;
        is_due
    }

    fn record(&mut self, training: &Training<'_>, round: &Round) -> Result<(), TrainError> {
        let mut scalars = BTreeMap::new();
        let episodes = &round.episodes;
        let mean = |value: &dyn Fn(&Trajectory) -> f64| episodes.iter().map(value).sum::<f64>() / episodes.len() as f64;
        if !episodes.is_empty() {
            scalars.insert("train/return".to_owned(), mean(&|episode| f64::from(episode.episode_return())));
            scalars.insert("train/episode_steps".to_owned(), mean(&|episode| episode.len() as f64));
            for (index, name) in self.experiment.reward_names().iter().enumerate() {
                let share = mean(&|episode| f64::from(episode.term_returns.get(index).copied().unwrap_or(0.0)));
                scalars.insert(format!("reward/{name}"), share);
            }
            let n_steps: usize = episodes.iter().map(Trajectory::len).sum();
            scalars.insert("speed/acting_steps_per_second".to_owned(), n_steps as f64 / round.acting_seconds);
        }
        if let Some(DiscriminatorStats { loss, mean_log_odds, taken_for_human }) = round.discriminator {
            scalars.extend(loss.map(|loss| ("discriminator/loss".to_owned(), loss)));
            scalars.insert("discriminator/mean_log_odds".to_owned(), mean_log_odds);
            scalars.insert("discriminator/taken_for_human".to_owned(), taken_for_human);
        }
        scalars.insert("explore/value".to_owned(), self.experiment.exploration_value(training.progress()));
        if !round.updates.is_empty() {
            let mean = |value: &dyn Fn(&UpdateStats) -> f64| {
                round.updates.iter().map(value).sum::<f64>() / round.updates.len() as f64
            };
            scalars.insert("learn/loss".to_owned(), mean(&|stats| f64::from(stats.loss)));
            scalars.insert("learn/mean_q".to_owned(), mean(&|stats| f64::from(stats.mean_q)));
            scalars.insert("learn/mean_target".to_owned(), mean(&|stats| f64::from(stats.mean_target)));
            scalars.insert("learn/mean_td_error".to_owned(), mean(&|stats| f64::from(stats.mean_td_error)));
            let drifts: Vec<f64> = round.updates.iter().filter_map(|stats| stats.target_drift).map(f64::from).collect();
            if !drifts.is_empty() {
                scalars.insert("learn/target_drift".to_owned(), drifts.iter().sum::<f64>() / drifts.len() as f64);
            }
            scalars.insert("learn/masked_fraction".to_owned(), mean(&|stats| f64::from(stats.masked_fraction)));
            scalars.insert("learn/gradient_norm".to_owned(), mean(&|stats| f64::from(stats.gradient_norm)));
            // What was measured last stands for the round: quantiles of several updates have no mean.
            if let Some(Spread { td_error, q }) = round.updates.iter().rev().find_map(|stats| stats.spread) {
                for (name, quantiles) in [("learn/td_error", td_error), ("learn/q", q)] {
                    let named = QUANTILE_ENDINGS.iter().zip(quantiles);
                    scalars.extend(named.map(|(ending, value)| (format!("{name}{ending}"), f64::from(value))));
                }
            }
            let learned: usize = round.updates.iter().map(|stats| stats.n_transitions).sum();
            scalars.insert("speed/learned_transitions_per_second".to_owned(), learned as f64 / round.learning_seconds);
        }
        self.write(training.progress(), scalars)
    }

    fn write(&mut self, progress: Progress, scalars: BTreeMap<String, f64>) -> Result<(), TrainError> {
        self.metrics.append(&Record {
            update: progress.updates,
            step: progress.steps,
            episode: progress.episodes,
            wall_seconds: self.wall_seconds(),
            scalars,
        })
    }

    /// Whether validation has not become better for as long as the run has patience.
    fn stops_early(&self) -> bool {
        let patience = self.experiment.config.training.early_stopping.map(|stopping| stopping.patience_evaluations);
        patience.is_some_and(|patience| self.state.n_without_improvement >= patience)
    }

    /// Measures the policy on validation prompts and keeps it if it is the best so far.
    fn evaluate(&mut self, training: &Training<'_>) -> Result<Evaluation, TrainError> {
        let config = &self.experiment.config;
        let n_episodes = config.evaluation.n_episodes_while_training;
        let mut evaluator = Evaluator::new(self.experiment, Split::Validation, n_episodes)?;
        let policies = self.experiment.learned_policies(training.progress());
        let (mut evaluation, episodes) =
            evaluator.network(&policies[0].name, training.network(), policies[0].policy)?;
        let learns_text = matches!(config.training.source, EpisodeSource::Text { .. });
        if learns_text || config.evaluation.metric == Metric::PolicyPerplexity {
            let temperature = acting_temperature(&policies);
            let network = training.network();
            let found = PolicyPerplexity::of(self.experiment, network, Split::Validation, temperature)?;
            evaluation.policy_perplexity = found.map(|found| found.unscaled());
        }
        self.log_samples(training, policies[0].policy, &episodes)?;
        let mut scalars = BTreeMap::new();
        scalars.insert("validation/return".to_owned(), evaluation.episode_return.mean);
        let others = [
            ("validation/form_kept", evaluation.form_kept),
            ("validation/policy_perplexity", evaluation.policy_perplexity),
            ("validation/reference_perplexity", evaluation.reference_perplexity),
            ("validation/bleu", evaluation.bleu),
            ("validation/chrf", evaluation.answers.map(|answers| answers.chrf)),
            ("validation/exact", evaluation.answers.map(|answers| answers.exact)),
            ("validation/word_error_rate", evaluation.answers.map(|answers| answers.word_error_rate)),
            ("validation/character_error_rate", evaluation.answers.map(|answers| answers.character_error_rate)),
            ("validation/distinct_2", evaluation.distinct_2),
            ("validation/epochs", training.epochs()),
        ];
        scalars.extend(others.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?))));
        self.write(training.progress(), scalars)?;
        if let Some(value) = value(config.evaluation.metric, &evaluation) {
            self.note_improvement(value);
            if self.state.best.is_none_or(|best| value > best) {
                self.state.best = Some(value);
                self.store.save_best(&self.checkpoint(training)?)?;
            }
        }
        Ok(evaluation)
    }

    fn note_improvement(&mut self, value: f64) {
        let Some(stopping) = self.experiment.config.training.early_stopping else { return };
        if self.state.improved.is_none_or(|improved| value > improved + stopping.min_improvement) {
            (self.state.improved, self.state.n_without_improvement) = (Some(value), 0);
        } else {
            self.state.n_without_improvement += 1;
        }
    }

    fn log_samples(
        &mut self,
        training: &Training<'_>,
        policy: Policy,
        episodes: &[Trajectory],
    ) -> Result<(), TrainError> {
        let update = training.progress().updates;
        let mut shown = String::new();
        for episode in episodes.iter().take(self.experiment.config.evaluation.n_samples) {
            let sample = samples::logged(self.experiment, training.network(), policy, episode, update);
            shown += &format!("{} ({:.3})  \n", sample.text, sample.episode_return);
            self.samples.append_json(&sample)?;
        }
        self.metrics.text(update, "validation/samples", &shown)
    }

    fn save(&mut self, training: &Training<'_>) -> Result<(), TrainError> {
        self.metrics.sync()?;
        self.samples.sync()?;
        let is_kept = self.is_due(training.progress(), |state| &mut state.n_kept, |every| every.keep_every_updates);
        let checkpoint = self.checkpoint(training)?;
        self.store.save_last(&checkpoint)?;
        if is_kept {
            self.store.save_numbered(&checkpoint)?;
        }
        Ok(())
    }

    fn checkpoint(&self, training: &Training<'_>) -> Result<Checkpoint, TrainError> {
        let mut parts = training.save()?;
        let state = RunnerState {
            wall_seconds: self.wall_seconds(),
            n_records: self.metrics.n_records(),
            n_samples: self.samples.n_lines(),
            progress: training.progress(),
            ..self.state
        };
        let internal = |error: postcard::Error| TrainError::Internal { message: format!("saving the run: {error}") };
        parts.insert(RUNNER.to_owned(), postcard::to_stdvec(&state).map_err(internal)?);
        let header = CheckpointHeader::new(&self.experiment.config.to_toml()?, training.progress().updates);
        Ok(Checkpoint { header, parts })
    }
}
