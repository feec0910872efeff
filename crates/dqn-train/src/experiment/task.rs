//! Tasks: environments, and the starts to evaluate them on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dqn_env::game::TextGame;
use dqn_env::{EnvironmentConfig, Generation, Limit, NextToken, SelfContained};
use dqn_mdp::{ActionTable, Environment, Prompt, Seed, Start, TokenId, Trajectory};
use dqn_text::{Segmenter, Special};

use crate::TrainError;
use crate::candidates::{Candidates, OfCandidates};
use crate::play::{FixedPlayer, play};
use crate::text::Prompts;

/// Episodes of one kind: environments and the starts to evaluate them on.
pub struct Task {
    pub(super) environment: TaskKind,
    pub(super) actions: Arc<ActionTable>,
    pub(super) candidates: Option<Arc<Candidates>>,
    /// The prompts, where episodes begin with one.
    pub prompts: Option<Prompts>,
    /// What was logged from them, with its rewards, and how many responses are too long, where the task is a log.
    pub(super) logged: Option<(Arc<[Trajectory]>, usize)>,
}

/// What is done in them.
pub(super) enum TaskKind {
    Generation {
        max_tokens: usize,
        min_tokens: usize,
        limit: Limit,
    },
    NextToken {
        texts: Arc<[Vec<TokenId>]>,
        n_prompt_tokens: usize,
    },
    /// The seed is that of the starts an index names.
    SelfContained(Box<EnvironmentConfig>, Seed),
    Game(TextGame),
}

impl Task {
    /// The same task on at most `most` of its distinct starts, in an order drawn with `seed`.
    pub fn distinct(&self, most: usize, seed: Seed) -> Self {
        let environment = match &self.environment {
            &TaskKind::Generation { max_tokens, min_tokens, limit } => {
                TaskKind::Generation { max_tokens, min_tokens, limit }
            }
            TaskKind::NextToken { texts, n_prompt_tokens } => {
                TaskKind::NextToken { texts: Arc::clone(texts), n_prompt_tokens: *n_prompt_tokens }
            }
            TaskKind::SelfContained(config, starts) => TaskKind::SelfContained(config.clone(), *starts),
            TaskKind::Game(game) => TaskKind::Game(game.clone()),
        };
        let prompts = self.prompts.as_ref().map(|prompts| prompts.distinct(most, seed));
        let (actions, candidates) = (Arc::clone(&self.actions), self.candidates.clone());
        Self { environment, actions, candidates, prompts, logged: self.logged.clone() }
    }

    /// The same task from the one start `prompt`.
    ///
    /// # Errors
    /// When the prompt leaves no room to write.
    pub fn with_prompt(mut self, prompt: Prompt) -> Result<Self, TrainError> {
        self.prompts = Some(Prompts {
            references: HashMap::from([(prompt.clone(), Vec::new())]).into(),
            written: None,
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
        match &self.environment {
            // The masks of such a task are worked out once.
            TaskKind::Generation { .. } => {
                let generation = self.generation()?;
                Ok((0..n).map(|_| self.narrowed(generation.clone())).collect())
            }
            _ => (0..n).map(|_| self.environment()).collect(),
        }
    }

    fn environment(&self) -> Result<Box<dyn Environment>, TrainError> {
        let actions = Arc::clone(&self.actions);
        Ok(match &self.environment {
            TaskKind::Generation { .. } => self.narrowed(self.generation()?),
            TaskKind::NextToken { texts, n_prompt_tokens } => {
                Box::new(NextToken::with_prompt(Arc::clone(texts), actions, *n_prompt_tokens)?)
            }
            TaskKind::SelfContained(config, starts) => self_contained(config, *starts)?.environment,
            TaskKind::Game(game) => Box::new(game.clone()),
        })
    }

    /// The most tokens of a text after `<bos>`, where texts are written freely.
    pub(crate) fn max_tokens(&self) -> Option<usize> {
        match self.environment {
            TaskKind::Generation { max_tokens, .. } => Some(max_tokens),
            TaskKind::NextToken { .. } | TaskKind::SelfContained(..) | TaskKind::Game(_) => None,
        }
    }

    /// The task of writing freely, all actions allowed.
    pub(crate) fn generation(&self) -> Result<Generation, TrainError> {
        let TaskKind::Generation { max_tokens, min_tokens, limit } = self.environment else {
            return Err(TrainError::Internal { message: "another task was taken for generation".to_owned() });
        };
        let prompts = self.prompts.as_ref().map(|prompts| Arc::clone(&prompts.prompts)).unwrap_or_default();
        let generation = Generation::new(prompts, Arc::clone(&self.actions), max_tokens)?;
        Ok(generation.with_min_tokens(min_tokens)?.with_limit(limit))
    }

    /// `generation` with its candidates only, where there are candidates.
    fn narrowed(&self, generation: Generation) -> Box<dyn Environment> {
        match &self.candidates {
            Some(candidates) => Box::new(OfCandidates::new(generation, Arc::clone(candidates))),
            None => Box::new(generation),
        }
    }

    /// What people wrote from the starts of this task, played as episodes: the first text of each prompt that fits the
    /// limit and can be divided into actions by the longest match; so it holds no `<unk>`.
    ///
    /// Each action taken is among the candidates of its state.
    ///
    /// # Errors
    /// When an environment refuses what people wrote.
    pub fn human_episodes(&self) -> Result<HumanEpisodes, TrainError> {
        if let Some((episodes, n_left_out)) = &self.logged {
            let is_chosen: HashSet<&Prompt> = self.prompts.iter().flat_map(|prompts| prompts.prompts.iter()).collect();
            let chosen = episodes.iter().filter(|episode| is_chosen.contains(&episode.prompt()));
            return Ok(HumanEpisodes { episodes: chosen.cloned().collect(), n_left_out: *n_left_out });
        }
        let (TaskKind::Generation { max_tokens, min_tokens, .. }, Some(prompts)) = (&self.environment, &self.prompts)
        else {
            return Ok(HumanEpisodes { episodes: Vec::new(), n_left_out: 0 });
        };
        let segmenter = Segmenter::new(&self.actions);
        let mut episodes = Vec::new();
        let mut n_left_out = 0;
        let mut environments: [Box<dyn Environment>; 1] = [Box::new(self.generation()?)];
        for (index, prompt) in prompts.prompts.iter().enumerate() {
            let texts = &prompts.references[prompt];
            let fitting = texts.iter().filter(|text| (*min_tokens..*max_tokens).contains(&text.len()));
            let written = fitting
                .into_iter()
                .find_map(|text| segmenter.segment(&[&text[prompt.tokens.len()..], &[Special::Eos.id()]].concat()));
            match written {
                Some(actions) => {
                    let mut player = FixedPlayer::new(actions);
                    episodes.extend(play(&mut environments, &[Start::Indexed(index)], &mut player)?);
                }
                None => n_left_out += usize::from(!texts.is_empty()),
            }
        }
        if let Some(candidates) = &self.candidates {
            episodes.iter_mut().for_each(|episode| candidates.restrict(episode));
        }
        Ok(HumanEpisodes { episodes, n_left_out })
    }
}

/// What people wrote from the starts of a task.
pub struct HumanEpisodes {
    /// One episode for each start from which a text could be written.
    pub episodes: Vec<Trajectory>,
    /// Starts from which people wrote nothing that fits the limit and the actions.
    pub n_left_out: usize,
}

/// What an environment is made of that needs no text.
pub(super) fn self_contained(config: &EnvironmentConfig, starts: Seed) -> Result<SelfContained, TrainError> {
    let message = || "a task over text was accepted without a corpus".to_owned();
    config.self_contained(starts)?.ok_or_else(|| TrainError::Internal { message: message() })
}
