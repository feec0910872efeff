//! From a checked configuration to the objects of a run.

use std::collections::HashMap;
use std::sync::Arc;

use dqn_core::policy::Exploration;
use dqn_core::{BatchBuilder, Policy, Prior, Progress};
use dqn_env::reward::LineForm;
use dqn_env::{EnvironmentConfig, Generation, NextToken, RewardContext, RewardSum, SelfContained};
use dqn_mdp::{ActionTable, Environment, PositionEncoder, Seed, Start, TokenId, Trajectory};
use dqn_model::TextQNetwork;
use dqn_score::{NgramConfig, NgramLm};
use dqn_text::split::Split;
use dqn_text::tokenizer::TextTokenizer;
use dqn_text::{Special, Tokenizer, Vocab};
use rand::RngExt;

use crate::TrainError;
use crate::config::{ActionsConfig, ExperimentConfig, PositionConfig, PriorConfig};
use crate::play::play;
use crate::prior::NgramPrior;
use crate::text::{Prompts, TextData};

/// Everything a run is made of, except what it has learned.
pub struct Experiment {
    /// The configuration it was built from.
    pub config: ExperimentConfig,
    /// The text, where the task has one.
    pub text: Option<TextData>,
    /// What may be done.
    pub actions: Arc<ActionTable>,
    /// Position features of the network.
    pub positions: PositionEncoder,
    /// The prior policy, where one is configured.
    pub prior: Option<Arc<NgramPrior>>,
    /// The language model that judges what was written; trained on text that reward and prior have not seen.
    pub judge: Option<Arc<NgramLm>>,
    /// The form that the reward asks of a line, where it asks for one.
    pub form: Option<LineForm>,
    vocab: Vocab,
    reward_context: Option<TextRewards>,
    reward_names: Vec<String>,
}

/// What reward terms over text are built from.
struct TextRewards {
    reference_lm: Arc<NgramLm>,
    centre_nats: f64,
}

/// Episodes of one kind: environments and the starts to evaluate them on.
pub struct Task {
    environment: TaskKind,
    actions: Arc<ActionTable>,
    /// The prompts, where episodes begin with one.
    pub prompts: Option<Prompts>,
}

enum TaskKind {
    Generation {
        max_tokens: usize,
        min_tokens: usize,
    },
    NextToken {
        texts: Arc<[Vec<TokenId>]>,
        n_prompt_tokens: usize,
    },
    /// The seed is that of the starts an index names.
    SelfContained(EnvironmentConfig, Seed),
}

impl Experiment {
    /// Builds what `config` describes.
    ///
    /// `tokenizer` is given where a run already has one.
    ///
    /// # Errors
    /// When the text cannot be used or the reward does not fit it.
    pub fn build(config: ExperimentConfig, tokenizer: Option<TextTokenizer>) -> Result<Self, TrainError> {
        let Some(section) = &config.corpus else { return Self::without_text(config) };
        let text = TextData::read(&config, section, tokenizer)?;
        let vocab = text.tokenizer.vocab().clone();
        let actions = Arc::new(match config.actions {
            ActionsConfig::Corpus => {
                let mut used: Vec<TokenId> = text.part(Split::Train).examples.concat();
                used.sort();
                used.dedup();
                ActionTable::of_tokens(used)
            }
            ActionsConfig::Vocabulary => ActionTable::of_vocab(&vocab),
        });
        let lm = |order: usize, split: Split| -> Result<Arc<NgramLm>, TrainError> {
            Ok(Arc::new(NgramLm::train(&NgramConfig { order }, &vocab, &text.part(split).examples)?))
        };
        let prior_lm = match &config.prior {
            Some(PriorConfig::Ngram { order }) => Some(lm(*order, Split::Train)?),
            None => None,
        };
        let (mut judge, mut reward_context) = (None, None);
        if let EnvironmentConfig::Generation { n_prompt_tokens, .. } = config.environment {
            let reference_lm = match &prior_lm {
                Some(lm) => Arc::clone(lm),
                None => lm(config.judge.order, Split::Train)?,
            };
            let centre_nats = mean_nll(&reference_lm, &text.part(Split::Validation).examples, n_prompt_tokens);
            reward_context = Some(TextRewards { reference_lm, centre_nats });
            if !text.part(Split::Judge).examples.is_empty() {
                judge = Some(lm(config.judge.order, Split::Judge)?);
            }
        }
        let positions = position_encoder(&config.positions, &vocab)?;
        let form = match &config.reward {
            Some(reward) => reward.line_form(&RewardContext::of_tokenizer(&text.tokenizer))?,
            None => None,
        };
        let prior = prior_lm.map(|lm| Arc::new(NgramPrior::new(lm, Arc::clone(&actions))));
        let mut experiment = Self {
            config,
            actions,
            positions,
            prior,
            judge,
            form,
            vocab,
            reward_context,
            reward_names: Vec::new(),
            text: Some(text),
        };
        // Faults of the reward are found before anything is learned.
        let reward = experiment.reward(&experiment.task(Split::Train)?)?;
        experiment.reward_names = reward.as_ref().map(RewardSum::names).unwrap_or_default();
        Ok(experiment)
    }

    fn without_text(config: ExperimentConfig) -> Result<Self, TrainError> {
        let SelfContained { vocab, environment } = self_contained(&config.environment, Seed(0))?;
        let actions = Arc::new(environment.actions().clone());
        let positions = position_encoder(&config.positions, &vocab)?;
        Ok(Self {
            config,
            text: None,
            actions,
            positions,
            prior: None,
            judge: None,
            form: None,
            vocab,
            reward_context: None,
            reward_names: Vec::new(),
        })
    }

    /// The vocabulary of the states.
    pub fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    /// The episodes of one part of the text.
    ///
    /// # Errors
    /// When that part holds no text an episode can begin with.
    pub fn task(&self, split: Split) -> Result<Task, TrainError> {
        let actions = Arc::clone(&self.actions);
        let task = |environment, prompts| Task { environment, actions, prompts };
        let part = |text: &Option<TextData>| match text {
            Some(text) => Ok(text.part(split).clone()),
            None => Err(TrainError::Internal { message: "a task over text was built without one".to_owned() }),
        };
        Ok(match &self.config.environment {
            EnvironmentConfig::Generation { n_prompt_tokens, max_tokens, min_tokens } => {
                let delimiters = match &self.positions {
                    PositionEncoder::Clauses { delimiters, .. } => delimiters.as_slice(),
                    PositionEncoder::None => &[],
                };
                let prompts = Prompts::of(&part(&self.text)?, *n_prompt_tokens, delimiters);
                if prompts.prompts.is_empty() {
                    return Err(TrainError::NoPrompts { split, n_prompt_tokens: *n_prompt_tokens });
                }
                let kind = TaskKind::Generation { max_tokens: *max_tokens, min_tokens: *min_tokens };
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
            | EnvironmentConfig::DeepSea { .. } => {
                // Each part has strings of its own; those of training are only evaluated on.
                let starts = Seed(self.config.evaluation.seed).stream(&format!("starts {split}")).random();
                task(TaskKind::SelfContained(self.config.environment, Seed(starts)), None)
            }
        })
    }

    /// The judge of episodes of `task`, where the environment gives no reward of its own.
    ///
    /// # Errors
    /// When a term cannot be built from this text.
    pub fn reward(&self, task: &Task) -> Result<Option<RewardSum>, TrainError> {
        let (Some(reward), Some(context), Some(text)) = (&self.config.reward, &self.reward_context, &self.text) else {
            return Ok(None);
        };
        let continuations = |prompts: &Prompts| {
            let after = |(prompt, texts): (&Vec<TokenId>, &Vec<Vec<TokenId>>)| {
                (prompt.clone(), texts.iter().map(|text| text[prompt.len()..].to_vec()).collect())
            };
            Arc::new(prompts.references.iter().map(after).collect())
        };
        let references = task.prompts.as_ref().map(continuations);
        let context = RewardContext {
            tokenizer: &text.tokenizer,
            reference_lm: Some(Arc::clone(&context.reference_lm)),
            centre_nats: Some(context.centre_nats),
            references: references.unwrap_or_default(),
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
    pub fn network(&self, device: &burn::tensor::Device) -> TextQNetwork {
        let mut rng = Seed(self.config.seed).stream("init");
        let (n_tokens, n_positions) = (self.vocab.len(), self.positions.n_ids());
        self.config.network.init(n_tokens, n_positions, self.actions.len(), &mut rng, device)
    }

    /// Turns windows into batches as this experiment's learner wants them.
    pub fn batch_builder(&self) -> BatchBuilder {
        BatchBuilder {
            positions: self.positions.clone(),
            n_actions: self.actions.len(),
            discount: self.config.learner.discount as f32,
            n_step: self.config.learner.n_step,
            context_tokens: self.config.learner.context_tokens,
        }
    }

    /// The prior as acting under `policy` weighs it.
    pub fn acting_prior(&self, policy: Policy) -> Option<&dyn Prior> {
        let from_prior = match self.config.exploration {
            Exploration::EpsilonGreedy { from_prior, .. } => from_prior,
            Exploration::Boltzmann { .. } => true,
        };
        let uses = match policy {
            Policy::Greedy => false,
            Policy::EpsilonGreedy { .. } | Policy::Boltzmann { .. } | Policy::BoltzmannMode { .. } => from_prior,
        };
        self.prior.as_deref().filter(|_| uses).map(|prior| prior as &dyn Prior)
    }

    /// The policies that what was learned is judged by, each with its name.
    ///
    /// A Boltzmann explorer is judged sampled, at the temperature it ends with, and by its most probable action; an
    /// epsilon-greedy one by its best action, without epsilon.
    pub fn learned_policies(&self, progress: Progress) -> Vec<(&'static str, Policy)> {
        match self.config.exploration.policy(progress) {
            Policy::Boltzmann { temperature } | Policy::BoltzmannMode { temperature } => vec![
                ("DQN sampled", Policy::Boltzmann { temperature }),
                ("DQN argmax", Policy::BoltzmannMode { temperature }),
            ],
            Policy::EpsilonGreedy { .. } | Policy::Greedy => vec![("DQN greedy", Policy::Greedy)],
        }
    }

    /// The text of a sequence of tokens.
    pub fn render(&self, tokens: &[TokenId]) -> String {
        match &self.text {
            Some(text) => text.tokenizer.decode(tokens),
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

impl Task {
    /// The same task on at most `most` of its distinct starts, in an order drawn with `seed`.
    pub fn distinct(&self, most: usize, seed: Seed) -> Self {
        let environment = match &self.environment {
            TaskKind::Generation { max_tokens, min_tokens } => {
                TaskKind::Generation { max_tokens: *max_tokens, min_tokens: *min_tokens }
            }
            TaskKind::NextToken { texts, n_prompt_tokens } => {
                TaskKind::NextToken { texts: Arc::clone(texts), n_prompt_tokens: *n_prompt_tokens }
            }
            TaskKind::SelfContained(config, starts) => TaskKind::SelfContained(*config, *starts),
        };
        let prompts = self.prompts.as_ref().map(|prompts| prompts.distinct(most, seed));
        Self { environment, actions: Arc::clone(&self.actions), prompts }
    }

    /// The same task from the one start `prompt`.
    ///
    /// # Errors
    /// When the prompt leaves no room to write.
    pub fn with_prompt(mut self, prompt: Vec<TokenId>) -> Result<Self, TrainError> {
        self.prompts = Some(Prompts {
            references: HashMap::from([(prompt.clone(), Vec::new())]).into(),
            prompts: [prompt].into(),
        });
        self.environment()?;
        Ok(self)
    }

    /// `n` environments of this task.
    ///
    /// # Errors
    /// When a prompt or text does not fit the limits of the task.
    pub fn environments(&self, n: usize) -> Result<Vec<Box<dyn Environment>>, TrainError> {
        (0..n).map(|_| self.environment()).collect()
    }

    fn environment(&self) -> Result<Box<dyn Environment>, TrainError> {
        let actions = Arc::clone(&self.actions);
        Ok(match &self.environment {
            TaskKind::Generation { max_tokens, min_tokens } => {
                let prompts = self.prompts.as_ref().map(|prompts| Arc::clone(&prompts.prompts)).unwrap_or_default();
                Box::new(Generation::new(prompts, actions, *max_tokens)?.with_min_tokens(*min_tokens)?)
            }
            TaskKind::NextToken { texts, n_prompt_tokens } => {
                Box::new(NextToken::with_prompt(Arc::clone(texts), actions, *n_prompt_tokens)?)
            }
            TaskKind::SelfContained(config, starts) => self_contained(config, *starts)?.environment,
        })
    }

    /// What people wrote from the starts of this task, played as episodes: the first text of each prompt that holds no
    /// `<unk>` and fits the limit.
    ///
    /// # Errors
    /// When an environment refuses what people wrote.
    pub fn human_episodes(&self) -> Result<Vec<Trajectory>, TrainError> {
        let (TaskKind::Generation { max_tokens, .. }, Some(prompts)) = (&self.environment, &self.prompts) else {
            return Ok(Vec::new());
        };
        let mut episodes = Vec::new();
        let mut environments = self.environments(1)?;
        for (index, prompt) in prompts.prompts.iter().enumerate() {
            let written = prompts.references[prompt].iter().filter(|text| text.len() < *max_tokens).find_map(|text| {
                let rest = text[prompt.len()..].iter().copied().chain([Special::Eos.id()]);
                rest.map(|token| self.actions.action_of(token)).collect::<Option<Vec<_>>>()
            });
            if let Some(actions) = written {
                let mut player = crate::play::FixedPlayer::new(actions);
                episodes.extend(play(&mut environments, &[Start::Indexed(index)], &mut player)?);
            }
        }
        Ok(episodes)
    }
}

fn self_contained(config: &EnvironmentConfig, starts: Seed) -> Result<SelfContained, TrainError> {
    let message = || "a task over text was accepted without a corpus".to_owned();
    config.self_contained(starts)?.ok_or_else(|| TrainError::Internal { message: message() })
}

fn position_encoder(config: &PositionConfig, vocab: &Vocab) -> Result<PositionEncoder, TrainError> {
    let PositionConfig::Clauses { delimiters, max_clauses, max_length } = config else {
        return Ok(PositionEncoder::None);
    };
    let id = |delimiter: &String| {
        vocab.id(delimiter).ok_or_else(|| TrainError::UnknownDelimiter { delimiter: delimiter.clone() })
    };
    let delimiters = delimiters.iter().map(id).collect::<Result<_, _>>()?;
    Ok(PositionEncoder::Clauses { delimiters, max_clauses: *max_clauses, max_length: *max_length })
}

/// Mean negative log-likelihood, in nats a token, of the texts after their first `n_context` tokens.
fn mean_nll(lm: &NgramLm, examples: &[Vec<TokenId>], n_context: usize) -> f64 {
    let framed: Vec<Vec<TokenId>> = examples
        .iter()
        .filter(|example| example.len() > n_context)
        .map(|example| [&[Special::Bos.id()], example.as_slice(), &[Special::Eos.id()]].concat())
        .collect();
    let sequences: Vec<(&[TokenId], usize)> = framed.iter().map(|text| (text.as_slice(), n_context + 1)).collect();
    lm.perplexity(&sequences).ln()
}
