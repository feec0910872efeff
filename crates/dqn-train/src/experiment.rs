//! From a checked configuration to the objects of a run.

mod answering;
mod task;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use burn::tensor::Device;
use dqn_core::objective::Objective;
use dqn_core::policy::Exploration;
use dqn_core::{BatchBuilder, Completions, Decoding, Policy, Prior, Progress, QNetwork, StateEncoder, learner};
use dqn_env::game::{Game, Play, TextGame};
use dqn_env::log::LogTranslator;
use dqn_env::reward::LineForm;
use dqn_env::{EnvironmentConfig, Generation, Limit, PlayedGame, RewardContext, RewardSum, SelfContained};
use dqn_mdp::{
    ActionTable, Environment, PositionEncoder, Prompt, Seed, Source, SourceId, Sources, TokenId, Trajectory,
};
use dqn_model::pretrained::{ModelConfig, PretrainedBase};
use dqn_model::{HeadConfig, NetworkConfig, TextQNetwork};
use dqn_score::{NgramConfig, NgramLm};
use dqn_text::split::Split;
use dqn_text::tokenizer::TextTokenizer;
use dqn_text::{Special, Tokenizer, Vocab};
use rand::RngExt;

use crate::candidates::Candidates;
use crate::config::{
    CandidatesConfig, EpisodeSource, ExperimentConfig, InitialParameters, PositionConfig, PriorConfig,
};
use crate::discriminator;
use crate::logs::{self, BehaviorData, LogStream, Logs};
use crate::memory::{BatchSize, MemoryEstimate};
use crate::other_run::{NetworkPrior, OtherRun};
use crate::prior::NgramPrior;
use crate::responses::{LoggedResponses, Responses};
use crate::sourced::{SourceReading, Sourced};
use crate::text::{Part, PromptLength, Prompts, TextData};
use crate::{TrainError, actions, pretrained, training};

pub use task::{HumanEpisodes, Task};
use task::{TaskKind, self_contained};

/// Everything a run is made of, except what it has learned.
pub struct Experiment {
    /// The configuration it was built from.
    pub config: ExperimentConfig,
    /// The text, where the task has one.
    pub text: Option<TextData>,
    /// What may be done.
    pub actions: Arc<ActionTable>,
    /// Makes what the network reads of the states.
    pub encoder: StateEncoder,
    /// The prior policy, where one is configured.
    pub prior: Option<Arc<dyn Prior>>,
    /// blake3 of the parameters taken from other runs, in hexadecimal; empty where none are.
    pub others: Vec<String>,
    /// The language model that judges what was written; trained on text that reward and prior have not seen.
    pub judge: Option<Arc<NgramLm>>,
    /// The form that the reward asks of a line, where it asks for one.
    pub form: Option<LineForm>,
    /// What narrows every state to its likeliest actions, where something does.
    pub candidates: Option<Arc<Candidates>>,
    /// The pretrained model that the torso is, where it is one.
    base: Option<Arc<PretrainedBase>>,
    initial: Option<(Box<OtherRun>, InitialParameters)>,
    vocab: Vocab,
    reward_context: Option<TextRewards>,
    reward_names: Vec<String>,
    sourced: Option<SourcedTask>,
    /// The prior, where it is a network: it reads sources.
    network_prior: Option<NetworkPrior>,
    game: Option<GameText>,
    fingerprint: String,
    behavior: OnceLock<BehaviorData>,
    responses: HashMap<Split, LoggedResponses>,
}

/// What makes tokens of the texts of a run, as the run keeps it.
#[derive(Clone, Debug)]
pub struct Tokenizers {
    /// Of what is written.
    pub texts: TextTokenizer,
    /// Of the sentences that are written about, where a task has such and the run kept theirs.
    pub sources: Option<TextTokenizer>,
}

/// What texts are written about, where the task has sources.
pub(crate) struct SourcedTask {
    /// What reads a source that a person gives.
    pub(crate) reader: SourceReading,
    shown: Arc<[String]>,
    prompts: HashMap<Split, Prompts>,
}

impl SourcedTask {
    /// The source texts by their ids; none where sources are recordings.
    fn sentences(&self) -> Arc<[String]> {
        match self.reader {
            SourceReading::Text { .. } => Arc::clone(&self.shown),
            SourceReading::Sound { .. } => Arc::default(),
        }
    }

    /// The sources of a part by what a person is shown of them.
    fn named(&self, split: Split) -> HashMap<String, SourceId> {
        let prompts = self.prompts.get(&split).into_iter().flat_map(|prompts| prompts.prompts.iter());
        let named = |source: SourceId| Some((self.shown.get(source.index())?.clone(), source));
        prompts.filter_map(|prompt| named(prompt.source?)).collect()
    }
}

impl Sourced {
    fn into_parts(self) -> (TextData, Option<(Arc<Sources>, SourcedTask)>) {
        let Self { sources, reader, text, shown, prompts } = self;
        (text, Some((sources, SourcedTask { reader, shown: shown.into(), prompts })))
    }
}

/// A game and how its texts become tokens.
struct GameText {
    prototype: TextGame,
    tokenizer: Arc<TextTokenizer>,
}

/// A policy that what was learned is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// What it is called.
    pub name: String,
    /// How actions are chosen.
    pub policy: Policy,
    /// How values are weighed against the policy of the data, where the network learns one.
    pub decoding: Option<Decoding>,
}

/// What reward terms over text are built from.
struct TextRewards {
    reference_lm: Arc<NgramLm>,
    centre_nats: f64,
}

impl Experiment {
    /// Builds what `config` describes.
    ///
    /// `tokenizers` are given where a run already has them; networks of other runs are put on `device`.
    ///
    /// # Errors
    /// When the text cannot be used, the reward does not fit it, or a run named as prior or beginning does not fit.
    pub fn build(
        config: ExperimentConfig,
        tokenizers: Option<Tokenizers>,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let (tokenizer, of_sources) = tokenizers.map(|Tokenizers { texts, sources }| (texts, sources)).unzip();
        let of_sources = of_sources.flatten();
        let mut experiment = match (&config.corpus, config.environment.game()?) {
            (None, None) if matches!(config.environment, EnvironmentConfig::Responses { .. }) => {
                Self::of_responses(config, tokenizer)?
            }
            (Some(_), _) => Self::over_text(config, tokenizer, None)?,
            (None, _) if config.environment.has_sources() => Self::over_text(config, tokenizer, of_sources)?,
            (None, Some(game)) => Self::of_game(config, game, tokenizer)?,
            (None, None) => Self::without_text(config)?,
        };
        if let EpisodeSource::Log { path, .. } = &experiment.config.training.source {
            let both = format!("{} {}", experiment.fingerprint, fingerprint_of(path)?);
            experiment.fingerprint = blake3::hash(both.as_bytes()).to_hex().to_string();
        }
        experiment.take_pretrained(device)?;
        experiment.take_from_other_runs(device)?;
        experiment.narrow_to_candidates();
        Ok(experiment)
    }

    fn over_text(
        config: ExperimentConfig,
        tokenizer: Option<TextTokenizer>,
        of_sources: Option<TextTokenizer>,
    ) -> Result<Self, TrainError> {
        let (mut text, sourced) = match (&config.corpus, &config.environment) {
            (Some(section), _) => (TextData::read(&config, section, tokenizer)?, None),
            (None, EnvironmentConfig::Translation(translation)) => {
                Sourced::translation(translation, &config.tokenizer, tokenizer, of_sources)?.into_parts()
            }
            (None, EnvironmentConfig::Speech(speech)) => {
                Sourced::speech(speech, &config.tokenizer, tokenizer)?.into_parts()
            }
            (None, _) => return Self::without_text(config),
        };
        let vocab = text.tokenizer.vocab().clone();
        let actions = Arc::new(actions::table(&config.actions, &mut text)?);
        let lm = |order: usize, split: Split| -> Result<Arc<NgramLm>, TrainError> {
            Ok(Arc::new(NgramLm::train(&NgramConfig { order }, &vocab, &text.part(split).examples)?))
        };
        let prior_lm = match &config.prior {
            Some(PriorConfig::Ngram { order }) => Some(lm(*order, Split::Train)?),
            Some(PriorConfig::Network { .. } | PriorConfig::Pretrained { .. }) | None => None,
        };
        let (mut judge, mut reward_context) = (None, None);
        if let Some(length) = prompt_length(&config.environment) {
            let reference_lm = match &prior_lm {
                Some(lm) => Arc::clone(lm),
                None => lm(config.judge.order, Split::Train)?,
            };
            let centre_nats = mean_nll(&reference_lm, text.part(Split::Validation), length);
            reward_context = Some(TextRewards { reference_lm, centre_nats });
            if !text.part(Split::Judge).examples.is_empty() {
                judge = Some(lm(config.judge.order, Split::Judge)?);
            }
        }
        let positions = position_encoder(&config.positions, &vocab)?;
        let (sources, sourced) = sourced.unzip();
        let encoder = StateEncoder { positions, sources };
        let form = match &config.reward {
            Some(reward) => reward.line_form(&RewardContext::of_tokenizer(&text.tokenizer))?,
            None => None,
        };
        let prior = prior_lm.map(|lm| Arc::new(NgramPrior::new(lm, Arc::clone(&actions))) as Arc<dyn Prior>);
        let mut experiment = Self {
            config,
            candidates: None,
            actions,
            encoder,
            prior,
            others: Vec::new(),
            judge,
            form,
            base: None,
            initial: None,
            vocab,
            reward_context,
            reward_names: Vec::new(),
            fingerprint: text.fingerprint.clone(),
            text: Some(text),
            sourced,
            network_prior: None,
            game: None,
            behavior: OnceLock::new(),
            responses: HashMap::new(),
        };
        // Faults of the reward are found before anything is learned.
        let reward = experiment.reward(&experiment.task(Split::Train)?)?;
        experiment.reward_names = reward.as_ref().map(RewardSum::names).unwrap_or_default();
        experiment
            .reward_names
            .extend(experiment.config.discriminator.as_ref().map(|_| discriminator::TERM.to_owned()));
        Ok(experiment)
    }

    fn without_text(config: ExperimentConfig) -> Result<Self, TrainError> {
        let SelfContained { vocab, environment } = self_contained(&config.environment, Seed(0))?;
        let actions = environment.actions().clone();
        Self::of_actions(config, vocab, actions)
    }

    fn of_responses(config: ExperimentConfig, tokenizer: Option<TextTokenizer>) -> Result<Self, TrainError> {
        let EnvironmentConfig::Responses { path, on_fault, max_tokens } = config.environment.clone() else {
            return Self::without_text(config);
        };
        let responses = Responses::read(&path, on_fault, &config.split.clone().unwrap_or_default())?;
        if responses.n_skipped > 0 {
            tracing::warn!("{} lines of the log hold no response and were skipped", responses.n_skipped);
        }
        let tokenizer = match tokenizer {
            Some(tokenizer) => tokenizer,
            None => {
                let pieces = [Split::Train, Split::Judge].map(|split| responses.pieces(split));
                config.tokenizer.train(&pieces.concat())?
            }
        };
        let fingerprint = fingerprint_of(&path)?;
        let texts = Split::ALL.into_iter().map(|split| (split, responses.texts(split))).collect();
        let mut text = TextData::of_parts(&texts, tokenizer, fingerprint)?;
        let actions = actions::table(&config.actions, &mut text)?;
        let part = |split| Ok((split, responses.part(split, &text.tokenizer, &actions, max_tokens)?));
        let parts = Split::ALL.into_iter().map(part).collect::<Result<HashMap<_, _>, TrainError>>()?;
        let judge = match text.part(Split::Judge).examples.as_slice() {
            [] => None,
            examples => {
                let order = config.judge.order;
                Some(Arc::new(NgramLm::train(&NgramConfig { order }, text.tokenizer.vocab(), examples)?))
            }
        };
        let (vocab, fingerprint) = (text.tokenizer.vocab().clone(), text.fingerprint.clone());
        let experiment = Self::of_actions(config, vocab, actions)?;
        Ok(Self { text: Some(text), judge, fingerprint, responses: parts, ..experiment })
    }

    fn of_game(
        config: ExperimentConfig,
        PlayedGame { game, play }: PlayedGame,
        tokenizer: Option<TextTokenizer>,
    ) -> Result<Self, TrainError> {
        let texts = game.texts();
        let tokenizer = match tokenizer {
            Some(tokenizer) => tokenizer,
            None => config.tokenizer.train(&texts.iter().map(String::as_str).collect::<Vec<_>>())?,
        };
        let tokenizer = Arc::new(tokenizer);
        let prototype = TextGame::new(game, Arc::clone(&tokenizer) as Arc<dyn Tokenizer>, play)?;
        let mut hasher = blake3::Hasher::new();
        texts.iter().for_each(|text| {
            hasher.update(text.as_bytes());
        });
        let (vocab, actions) = (tokenizer.vocab().clone(), prototype.actions().clone());
        let experiment = Self::of_actions(config, vocab, actions)?;
        let fingerprint = hasher.finalize().to_hex().to_string();
        Ok(Self { game: Some(GameText { prototype, tokenizer }), fingerprint, ..experiment })
    }

    fn of_actions(config: ExperimentConfig, vocab: Vocab, actions: ActionTable) -> Result<Self, TrainError> {
        let actions = Arc::new(actions);
        let encoder = position_encoder(&config.positions, &vocab)?.into();
        Ok(Self {
            config,
            candidates: None,
            text: None,
            sourced: None,
            network_prior: None,
            actions,
            encoder,
            prior: None,
            others: Vec::new(),
            judge: None,
            form: None,
            base: None,
            initial: None,
            vocab,
            reward_context: None,
            reward_names: Vec::new(),
            game: None,
            fingerprint: String::new(),
            behavior: OnceLock::new(),
            responses: HashMap::new(),
        })
    }

    fn narrow_to_candidates(&mut self) {
        if let (Some(prior), Some(CandidatesConfig { top_k })) = (&self.prior, self.config.actions.candidates()) {
            self.candidates = Some(Arc::new(Candidates::new(Arc::clone(prior), self.actions.len(), top_k)));
        }
    }

    /// Reads the pretrained models that torso and prior are.
    fn take_pretrained(&mut self, device: &Device) -> Result<(), TrainError> {
        let torso = self.config.network.torso.pretrained().map(|config| config.folder.clone());
        let prior = match &self.config.prior {
            Some(PriorConfig::Pretrained { folder }) => Some(folder.clone()),
            _ => None,
        };
        if torso.is_none() && prior.is_none() {
            return Ok(());
        }
        let Some(TextTokenizer::Model(tokenizer)) = self.tokenizer() else {
            let message = "a pretrained model was accepted for a task without its tokenizer".to_owned();
            return Err(TrainError::Internal { message });
        };
        let model_ids = tokenizer.model_ids().to_vec();
        let longest = self.longest_text()?;
        let batch = BatchSize::of(&self.config.learner, longest, self.actions.len());
        // What is played once is not read again.
        let is_read_again =
            matches!(self.config.training.source, EpisodeSource::Text { .. } | EpisodeSource::Log { .. });
        let mut open = |folder: &Path| {
            let learned_on = self.config.network.torso.pretrained().filter(|torso| torso.folder == folder);
            let kept_megabytes =
                learned_on.filter(|torso| is_read_again && torso.is_frozen()).map_or(0, |torso| torso.kept_megabytes);
            let memory = |model: &ModelConfig| match learned_on {
                Some(torso) => MemoryEstimate::of_learning(model, torso, &self.config.learner, batch),
                None => MemoryEstimate::of_writing(model),
            };
            let states = learned_on.map_or_else(Default::default, |torso| torso.states);
            let needs = pretrained::Needs { model_ids: &model_ids, longest, states, kept_megabytes };
            pretrained::open(folder, needs, memory, device)
        };
        let torso = torso.as_deref().map(&mut open).transpose()?;
        let prior = match (prior.as_deref(), self.config.network.torso.pretrained(), &torso) {
            // One model in memory serves both.
            (Some(folder), Some(config), Some(torso)) if folder == config.folder => Some(torso.clone()),
            (folder, ..) => folder.map(&mut open).transpose()?,
        };
        self.others.extend(torso.iter().chain(&prior).map(|opened| opened.fingerprint.clone()));
        if let Some(prior) = prior {
            let network =
                pretrained::as_network(&prior.base, self.encoder.shape(self.vocab.len()), &self.actions, device);
            self.set_network_prior(NetworkPrior::new(network.for_acting(), self.encoder.clone()));
        }
        self.base = torso.map(|opened| opened.base);
        Ok(())
    }

    /// Tokens of the longest text that an episode can become, `<bos>` included, where that is limited.
    fn longest_text(&self) -> Result<usize, TrainError> {
        let mut longest = 0;
        for split in [Split::Train, Split::Validation, Split::Test] {
            match self.task(split) {
                Ok(task) => longest = longest.max(task.max_tokens().map_or(0, |most| most + 1)),
                // A part without prompts is refused where it is needed.
                Err(TrainError::NoPrompts { .. } | TrainError::NoPromptLines { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(longest)
    }

    fn take_from_other_runs(&mut self, device: &Device) -> Result<(), TrainError> {
        let open = |run: &Path, checkpoint| {
            let other = OtherRun::open(run, checkpoint, &self.vocab, &self.actions, device)?;
            self.same_sources(&other.experiment, run)?;
            Ok::<_, TrainError>(other)
        };
        let prior = match &self.config.prior {
            Some(PriorConfig::Network { run, checkpoint }) => Some(open(run, *checkpoint)?),
            Some(PriorConfig::Ngram { .. } | PriorConfig::Pretrained { .. }) | None => None,
        };
        let initial = match &self.config.training.initial {
            Some(initial) => Some((Box::new(open(&initial.run, initial.checkpoint)?), initial.clone())),
            None => None,
        };
        if let Some((other, initial)) = &initial {
            other.parameters_for(self.random_network(device), &self.config.network, initial)?;
        }
        if let Some(prior) = prior {
            self.others.push(prior.fingerprint);
            // What it reads are the sources of this run, by their ids here.
            let prior = NetworkPrior::new(prior.network.for_acting(), prior.experiment.encoder);
            self.set_network_prior(prior.reading(self.encoder.sources.clone()));
        }
        self.others.extend(initial.iter().map(|(other, _)| other.fingerprint.clone()));
        self.initial = initial;
        Ok(())
    }

    /// # Errors
    /// [`TrainError::OtherSources`] when the network of another run reads sources that mean something else.
    pub(crate) fn same_sources(&self, other: &Experiment, run: &Path) -> Result<(), TrainError> {
        let reading = |experiment: &Experiment| experiment.sourced.as_ref().map(|sourced| sourced.reader.meaning());
        match reading(self) == reading(other) {
            true => Ok(()),
            false => Err(TrainError::OtherSources { run: run.to_owned() }),
        }
    }

    /// The vocabulary of the states.
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// What turns text into tokens, where the task has text.
    pub fn tokenizer(&self) -> Option<&TextTokenizer> {
        match (&self.text, &self.game) {
            (Some(text), _) => Some(&text.tokenizer),
            (None, Some(game)) => Some(&game.tokenizer),
            (None, None) => None,
        }
    }

    /// What turns the sentences that texts are about into tokens, where they are about sentences.
    pub fn source_tokenizer(&self) -> Option<&TextTokenizer> {
        match &self.sourced.as_ref()?.reader {
            SourceReading::Text { tokenizer, .. } => Some(tokenizer),
            SourceReading::Sound { .. } => None,
        }
    }

    /// The same experiment with more sources, which nobody has written about, each with what a person is shown of it; and the id
    /// of the first of them.
    ///
    /// # Errors
    /// [`TrainError::NotOffered`] where texts are about no sources.
    pub(crate) fn asked_about(mut self, more: Vec<(Source, String)>) -> Result<(Self, SourceId), TrainError> {
        let Some(sources) = &self.encoder.sources else {
            return Err(TrainError::NotOffered {
                what: "a source".to_owned(),
                why: "the texts of this run are about none".to_owned(),
            });
        };
        let first = SourceId(sources.len() as u32);
        let (more, shown): (Vec<Source>, Vec<String>) = more.into_iter().unzip();
        self.encoder.sources = Some(Arc::new(sources.with(more)));
        if let Some(sourced) = &mut self.sourced {
            // A run that was opened without its data has no sources and shows none.
            sourced.shown = sourced.shown.iter().cloned().chain(shown).collect();
        }
        if let Some(prior) = self.network_prior.take() {
            self.set_network_prior(prior.reading(self.encoder.sources.clone()));
        }
        Ok((self, first))
    }

    /// The task of writing about the sources of `prompts`.
    pub(crate) fn writing_about(&self, prompts: Arc<[Prompt]>) -> Result<Generation, TrainError> {
        let message = || "another task was taken for writing about sources".to_owned();
        let max_tokens = self.config.environment.max_tokens();
        let max_tokens = max_tokens.ok_or_else(|| TrainError::Internal { message: message() })?;
        Ok(Generation::new(prompts, Arc::clone(&self.actions), max_tokens)?)
    }

    fn set_network_prior(&mut self, prior: NetworkPrior) {
        self.prior = Some(Arc::new(prior.clone()));
        self.network_prior = Some(prior);
    }

    /// What texts are about, where the task has sources.
    pub(crate) fn sourced(&self) -> Option<&SourcedTask> {
        self.sourced.as_ref()
    }

    /// The game that is played, where one is.
    pub fn game(&self) -> Option<Box<dyn Game>> {
        self.game.as_ref().map(|game| game.prototype.game().boxed_clone())
    }

    /// Whether an action is a whole command of a game.
    pub fn plays_whole_commands(&self) -> bool {
        self.game.as_ref().is_some_and(|game| game.prototype.play() == Play::Whole)
    }

    /// blake3 of what the task is made of, in hexadecimal; empty where it comes with the program.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// How values are weighed against the policy of the data, where the network learns one.
    pub fn decoding(&self) -> Option<Decoding> {
        self.config.companions().has_policy.then(|| self.config.decoding.unwrap_or_default())
    }

    /// The logged episodes that are learned from.
    ///
    /// # Errors
    /// When the log cannot be read, does not fit the task, or the filter keeps nothing of it.
    pub fn logged_episodes(&self) -> Result<Vec<Trajectory>, TrainError> {
        let Logs { episodes, behavior } = self.logs()?;
        if behavior.n_skipped > 0 {
            tracing::warn!("{} lines of the log hold no episode and were skipped", behavior.n_skipped);
        }
        // Whoever was first has set it; it is the same.
        self.behavior.get_or_init(|| behavior);
        match self.config.training.source.filter() {
            Some(filter) => training::kept(episodes, filter),
            None => Ok(episodes),
        }
    }

    /// What the policy that made the log earned, where there is a log.
    ///
    /// # Errors
    /// As [`Experiment::logged_episodes`].
    pub fn behavior(&self) -> Result<Option<&BehaviorData>, TrainError> {
        if self.config.training.source.filter().is_none() {
            return Ok(None);
        }
        if self.behavior.get().is_none() {
            let behavior = match &self.config.training.source {
                EpisodeSource::Log { path, on_fault, stream: true, .. } => {
                    logs::behavior_of(path, *on_fault, &self.log_translator()?)?
                }
                _ => self.logs()?.behavior,
            };
            self.behavior.get_or_init(|| behavior);
        }
        Ok(self.behavior.get())
    }

    /// The log as it is read while learning goes on, where it is.
    pub(crate) fn log_stream(&self) -> Result<Option<LogStream<'_>>, TrainError> {
        let EpisodeSource::Log { path, on_fault, filter, stream: true } = &self.config.training.source else {
            return Ok(None);
        };
        LogStream::open(path, *on_fault, filter.min_return, self.log_translator()?).map(Some)
    }

    fn log_tokenizer(&self) -> Result<&TextTokenizer, TrainError> {
        let message = || "a log was accepted for a task without a tokenizer".to_owned();
        self.tokenizer().ok_or_else(|| TrainError::Internal { message: message() })
    }

    /// What makes episodes of this task of those of a log. In a task with sources a log may be about those of the training
    /// part.
    ///
    /// # Errors
    /// [`TrainError::Internal`] for a task without a tokenizer.
    pub fn log_translator(&self) -> Result<LogTranslator<'_>, TrainError> {
        let translator = LogTranslator::new(self.log_tokenizer()?, &self.actions);
        Ok(translator.about(self.sourced.as_ref().map(|sourced| Arc::new(sourced.named(Split::Train)))))
    }

    fn logs(&self) -> Result<Logs, TrainError> {
        let no_text = || TrainError::Internal { message: "a log was asked for that there is not".to_owned() };
        let tokenizer = self.log_tokenizer()?;
        match &self.config.training.source {
            EpisodeSource::Log { path, on_fault, .. } => logs::read(path, *on_fault, &self.log_translator()?),
            EpisodeSource::Scripted { player, n_episodes, .. } => {
                let mut game = self.game().ok_or_else(no_text)?;
                logs::scripted(&mut *game, *player, *n_episodes, Seed(self.config.seed), tokenizer, &self.actions)
            }
            EpisodeSource::Play | EpisodeSource::Text { .. } => Err(no_text()),
        }
    }

    /// The episodes of one part of the text.
    ///
    /// # Errors
    /// When that part holds no text an episode can begin with.
    pub fn task(&self, split: Split) -> Result<Task, TrainError> {
        let actions = Arc::clone(&self.actions);
        let candidates = self.candidates.clone();
        let task = |environment, prompts| Task { environment, actions, candidates, prompts, logged: None };
        let part = |text: &Option<TextData>| match text {
            Some(text) => Ok(text.part(split).clone()),
            None => Err(TrainError::Internal { message: "a task over text was built without one".to_owned() }),
        };
        if let Some(game) = &self.game {
            return Ok(task(TaskKind::Game(game.prototype.clone()), None));
        }
        if let EnvironmentConfig::Responses { max_tokens, .. } = self.config.environment {
            let found = self.responses.get(&split).filter(|found| found.prompts.is_some());
            let found = found.ok_or(TrainError::NoPrompts { split, n_prompt_tokens: 0 })?;
            let kind = TaskKind::Generation {
                max_tokens: found.longest_prompt + max_tokens,
                min_tokens: 0,
                limit: Limit::Truncates,
            };
            let logged = Some((Arc::clone(&found.episodes), found.n_left_out));
            return Ok(Task { logged, ..task(kind, found.prompts.clone()) });
        }
        if let (Some(sourced), Some(max_tokens)) = (&self.sourced, self.config.environment.max_tokens()) {
            let kind = TaskKind::Generation { max_tokens, min_tokens: 0, limit: Limit::Truncates };
            let prompts = sourced.prompts.get(&split).cloned();
            let prompts = prompts.ok_or(TrainError::NoPrompts { split, n_prompt_tokens: 0 })?;
            return Ok(task(kind, Some(prompts)));
        }
        Ok(match &self.config.environment {
            environment @ &EnvironmentConfig::Generation {
                n_prompt_tokens,
                n_prompt_lines,
                max_tokens,
                min_tokens,
                limit,
            } => {
                let delimiters = self.encoder.positions.delimiters();
                let length = prompt_length(environment).unwrap_or(PromptLength::Tokens(n_prompt_tokens));
                let prompts = Prompts::of(&part(&self.text)?, length, delimiters);
                if prompts.prompts.is_empty() {
                    return Err(match n_prompt_lines {
                        Some(n_prompt_lines) => TrainError::NoPromptLines { split, n_prompt_lines },
                        None => TrainError::NoPrompts { split, n_prompt_tokens },
                    });
                }
                let kind = TaskKind::Generation { max_tokens, min_tokens, limit };
                task(kind, Some(prompts))
            }
            EnvironmentConfig::NextToken { n_prompt_tokens, .. } => {
                let texts = part(&self.text)?.examples;
                let kind = TaskKind::NextToken { texts: texts.into(), n_prompt_tokens: *n_prompt_tokens };
                task(kind, None)
            }
            EnvironmentConfig::Probe { .. }
            | EnvironmentConfig::Tabular { .. }
            | EnvironmentConfig::Copy { .. }
            | EnvironmentConfig::Memory { .. }
            | EnvironmentConfig::DeepSea { .. }
            | EnvironmentConfig::Responses { .. }
            | EnvironmentConfig::Translation(_)
            | EnvironmentConfig::Speech(_)
            | EnvironmentConfig::Maze(_)
            | EnvironmentConfig::Wordle(_)
            | EnvironmentConfig::RandomWalk(_)
            | EnvironmentConfig::Navigation(_) => {
                // Each part has strings of its own; those of training are only evaluated on.
                let starts = Seed(self.config.evaluation.seed).stream(&format!("starts {split}")).random();
                task(TaskKind::SelfContained(Box::new(self.config.environment.clone()), Seed(starts)), None)
            }
        })
    }

    /// Whether nothing judges what is written: its return is not known.
    pub fn is_unjudged(&self) -> bool {
        matches!(self.config.environment, EnvironmentConfig::Responses { .. })
    }

    /// The judge of episodes of `task`, where the environment gives no reward of its own.
    ///
    /// # Errors
    /// When a term cannot be built from this text.
    pub fn reward(&self, task: &Task) -> Result<Option<RewardSum>, TrainError> {
        let (Some(reward), Some(context), Some(text)) = (&self.config.reward, &self.reward_context, &self.text) else {
            return Ok(None);
        };
        let references = task.prompts.as_ref().map(Prompts::continuations);
        let context = RewardContext {
            tokenizer: &text.tokenizer,
            reference_lm: Some(Arc::clone(&context.reference_lm)),
            centre_nats: Some(context.centre_nats),
            references: references.unwrap_or_default(),
            sources: self.sourced.as_ref().map(SourcedTask::sentences).unwrap_or_default(),
        };
        Ok(Some(reward.build(&context)?))
    }

    /// The names of the reward terms, in the order of [`Trajectory::term_returns`].
    pub fn reward_names(&self) -> &[String] {
        &self.reward_names
    }

    /// Epsilon or temperature, whichever the exploration has, at this point of the run.
    pub fn exploration_value(&self, progress: Progress) -> f64 {
        match self.config.exploration.policy(progress) {
            Policy::EpsilonGreedy { epsilon } => epsilon,
            Policy::Boltzmann { temperature } | Policy::BoltzmannMode { temperature } => temperature,
            Policy::Greedy => 0.0,
        }
    }

    /// A network with its first parameters.
    pub fn network(&self, device: &Device) -> TextQNetwork {
        let network = self.random_network(device);
        match &self.initial {
            Some((other, initial)) => other
                .parameters_for(network, &self.config.network, initial)
                .expect("the parameters were found to fit when the experiment was built"),
            None => network,
        }
    }

    pub(crate) fn random_network(&self, device: &Device) -> TextQNetwork {
        self.random_network_of(&self.config.network, device)
    }

    fn random_network_of(&self, shape: &NetworkConfig, device: &Device) -> TextQNetwork {
        let mut rng = Seed(self.config.seed).stream("init");
        let input = self.encoder.shape(self.vocab.len());
        shape.init_on(self.base.as_ref(), input, &self.actions, self.config.companions(), &mut rng, device)
    }

    /// `network` with a graph and without dropout, to take gradients of what it says.
    ///
    /// # Errors
    /// When it is no network of this experiment.
    pub(crate) fn differentiable(&self, network: &TextQNetwork) -> Result<TextQNetwork, TrainError> {
        let shape = NetworkConfig { dropout: 0.0, ..self.config.network.clone() };
        let fresh = self.random_network_of(&shape, &network.device().autodiff());
        Ok(learner::with_parameters_of(fresh, network)?)
    }

    /// Turns windows into batches as this experiment's learner wants them.
    pub fn batch_builder(&self) -> BatchBuilder {
        BatchBuilder {
            encoder: self.encoder.clone(),
            n_actions: self.actions.len(),
            reward_scale: self.config.learner.reward_scale as f32,
            discount: self.config.learner.discount as f32,
            n_step: self.config.learner.n_step,
            context_tokens: self.config.learner.context_tokens,
        }
    }

    /// What is optimal in the states of `task`, where that is learned.
    pub fn completions(&self, task: &Task) -> Option<Completions> {
        let prompts =
            task.prompts.as_ref().filter(|_| self.config.learner.objective == Objective::OptimalCompletion {})?;
        Some(Completions::new(prompts.continuations(), &self.actions, Special::Eos.id()))
    }

    /// Whether an update is about the candidates of its batch only, instead of all actions.
    ///
    /// So it is where actions are valued by their text: there the work grows with their number.
    pub fn learns_of_candidates(&self) -> bool {
        self.candidates.is_some() && matches!(self.config.network.head, HeadConfig::Relevance(_))
    }

    /// The prior as acting under `policy` weighs it.
    pub fn acting_prior(&self, policy: Policy) -> Option<&dyn Prior> {
        let from_prior = match self.config.exploration {
            Exploration::EpsilonGreedy { from_prior, .. } | Exploration::Boltzmann { from_prior, .. } => from_prior,
        };
        let uses = match policy {
            Policy::Greedy => false,
            Policy::EpsilonGreedy { .. } | Policy::Boltzmann { .. } | Policy::BoltzmannMode { .. } => from_prior,
        };
        self.prior.as_deref().filter(|_| uses)
    }

    /// The policies that what was learned is judged by, each with its name.
    ///
    /// A Boltzmann explorer is judged sampled, at the temperature it ends with, and by its most probable action; an
    /// epsilon-greedy one by its best action, without epsilon.
    ///
    /// A network that learns the policy of its data is judged as it decodes, by its values alone, and by that policy alone.
    pub fn learned_policies(&self, progress: Progress) -> Vec<Learned> {
        let what = match self.config.learner.objective {
            Objective::Imitation {} => "imitation",
            Objective::OptimalCompletion {} => "optimal completion",
            Objective::Ilql { .. } => "ILQL",
            Objective::Td {} | Objective::PathConsistency { .. } | Objective::GroupConsistency {} => "DQN",
        };
        if let Some(decoding) = self.decoding() {
            let learned = |name: String, decoding: Decoding| Learned {
                name,
                policy: decoding.policy(),
                decoding: Some(decoding),
            };
            return vec![
                learned(decoded_name(what, decoding), decoding),
                learned(
                    format!("{what}, values alone"),
                    Decoding { beta: 1.0, with_policy: false, top_k: None, temperature: 0.0 },
                ),
                learned(
                    "policy of the data".to_owned(),
                    Decoding { beta: 0.0, with_policy: true, temperature: 0.0, ..decoding },
                ),
            ];
        }
        let learned = |how: &str, policy| Learned { name: format!("{what} {how}"), policy, decoding: None };
        match self.config.exploration.policy(progress) {
            Policy::Boltzmann { temperature } | Policy::BoltzmannMode { temperature } => vec![
                learned("sampled", Policy::Boltzmann { temperature }),
                learned("argmax", Policy::BoltzmannMode { temperature }),
            ],
            Policy::EpsilonGreedy { .. } | Policy::Greedy => vec![learned("greedy", Policy::Greedy)],
        }
    }

    /// What a person is shown of how an episode began: its source or, where it has none, its first tokens.
    pub fn shown_start(&self, episode: &Trajectory) -> String {
        match (&self.sourced, episode.source) {
            (Some(sourced), Some(source)) => sourced.shown.get(source.index()).cloned().unwrap_or_default(),
            _ => self.render(episode.start()),
        }
    }

    /// The text of a sequence of tokens.
    pub fn render(&self, tokens: &[TokenId]) -> String {
        match self.tokenizer() {
            Some(tokenizer) => tokenizer.decode(tokens),
            None => {
                let texts: Vec<&str> = tokens
                    .iter()
                    .filter(|token| **token != Special::Bos.id() && **token != Special::Eos.id())
                    .map(|&token| self.vocab.token(token))
                    .collect();
                texts.join(" ")
            }
        }
    }
}

/// blake3 of a file, in hexadecimal.
fn fingerprint_of(path: &Path) -> Result<String, TrainError> {
    let unread = |source| TrainError::Read { path: path.to_owned(), source };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path).map_err(unread)?).map_err(unread)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// What a policy that decodes so is called.
pub(crate) fn decoded_name(what: &str, Decoding { beta, with_policy, top_k, temperature }: Decoding) -> String {
    let mut name = format!("{what}, beta {beta}");
    if !with_policy {
        name += " of values alone";
    }
    if let Some(top_k) = top_k {
        name += &format!(", top {top_k}");
    }
    if temperature > 0.0 {
        name += &format!(", temperature {temperature}");
    }
    name
}

/// How much of a text is its prompt, where episodes begin with one.
fn prompt_length(environment: &EnvironmentConfig) -> Option<PromptLength> {
    match *environment {
        EnvironmentConfig::Generation { n_prompt_lines: Some(n_lines), .. } => Some(PromptLength::Lines(n_lines)),
        EnvironmentConfig::Generation { n_prompt_tokens, .. } => Some(PromptLength::Tokens(n_prompt_tokens)),
        EnvironmentConfig::Translation(_) | EnvironmentConfig::Speech(_) => Some(PromptLength::Tokens(0)),
        _ => None,
    }
}

fn position_encoder(config: &PositionConfig, vocab: &Vocab) -> Result<PositionEncoder, TrainError> {
    let (delimiters, max_clauses, max_length) = match config {
        PositionConfig::None => return Ok(PositionEncoder::None),
        PositionConfig::Cycle { period_tokens } => {
            return Ok(PositionEncoder::Cycle { period_tokens: *period_tokens });
        }
        PositionConfig::Clauses { delimiters, max_clauses, max_length } => (delimiters, max_clauses, max_length),
    };
    let id = |delimiter: &String| {
        vocab.id(delimiter).ok_or_else(|| TrainError::UnknownDelimiter { delimiter: delimiter.clone() })
    };
    let delimiters = delimiters.iter().map(id).collect::<Result<_, _>>()?;
    Ok(PositionEncoder::Clauses { delimiters, max_clauses: *max_clauses, max_length: *max_length })
}

/// Mean negative log-likelihood, in nats a token, of the texts after their prompts.
fn mean_nll(lm: &NgramLm, part: &Part, length: PromptLength) -> f64 {
    let framed = |(example, n_context): (&Vec<TokenId>, usize)| {
        ([&[Special::Bos.id()], example.as_slice(), &[Special::Eos.id()]].concat(), n_context + 1)
    };
    let framed: Vec<(Vec<TokenId>, usize)> = part.with_prompts(length).map(framed).collect();
    let sequences: Vec<(&[TokenId], usize)> = framed.iter().map(|(text, n)| (text.as_slice(), *n)).collect();
    lm.perplexity(&sequences).ln()
}
