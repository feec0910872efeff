//! Combinations of values that do not make sense, each with its place.

use dqn_core::bootstrap::Bootstrap;
use dqn_core::objective::Objective;
use dqn_core::policy::Exploration;
use dqn_core::schedule::Span;
use dqn_core::{Distribution, ReplayConfig};
use dqn_env::EnvironmentConfig;
use dqn_model::{EncoderLayers, HeadConfig, TorsoConfig};
use dqn_text::tokenizer::TokenizerConfig;

use super::{ActionsConfig, CandidatesConfig, EpisodeSource, ExperimentConfig, Metric, PriorConfig, Problem};

const UNEVEN_HEADS: &str = "the width must be a multiple of twice the number of heads";

/// What was found so far.
#[derive(Default)]
pub(super) struct Faults(Vec<Problem>);

impl Faults {
    /// `found` stands at `path`, where only what `allowed` says makes sense.
    pub(super) fn note(&mut self, path: &str, found: String, allowed: &str) {
        self.0.push(Problem { path: path.to_owned(), found, message: allowed.to_owned(), line: None });
    }

    /// Notes a schedule that leaves `least` to `most`.
    fn note_outside(&mut self, path: &str, bounds: (f64, f64), [least, most]: [f64; 2], allowed: &str) {
        if bounds.0 < least || bounds.1 > most {
            self.note(path, format!("from {} to {}", bounds.0, bounds.1), allowed);
        }
    }
}

impl ExperimentConfig {
    /// Combinations of values that do not make sense, each with its place.
    pub fn faults(&self) -> Vec<Problem> {
        let mut faults = Faults::default();
        let is_generation = self.environment.is_free_writing();
        if let Some(extends) = &self.extends {
            faults.note("extends", extends.clone(), "only an experiment file can change another one");
        }
        self.text_faults(is_generation, &mut faults);
        self.reward_faults(is_generation, &mut faults);
        self.network_faults(&mut faults);
        self.source_faults(is_generation, &mut faults);
        self.evaluation_faults(is_generation, &mut faults);
        self.learner_faults(&mut faults);
        self.pretrained_faults(&mut faults);
        self.replay_faults(&mut faults);
        self.action_faults(is_generation, &mut faults);
        self.exploration_faults(&mut faults);
        faults.0
    }

    /// Whether the environment is made of a `[corpus]`.
    fn needs_text(&self) -> bool {
        matches!(self.environment, EnvironmentConfig::NextToken { .. } | EnvironmentConfig::Generation { .. })
    }

    /// What does not make sense about the text, its parts, and what else is learned from it.
    fn text_faults(&self, is_generation: bool, faults: &mut Faults) {
        let has_sources = self.environment.has_sources();
        if self.needs_text() && self.corpus.is_none() {
            let why = "this environment needs a text: [corpus] source = { path = \"...\" }";
            faults.note("corpus", "nothing".to_owned(), why);
        }
        if !self.needs_text() && self.corpus.is_some() {
            let why = "this environment brings its own text; remove the section";
            faults.note("corpus", "a text".to_owned(), why);
        }
        if has_sources && self.split.is_some() {
            let why = "environment says how its pairs are divided: remove the section";
            faults.note("split", "a table".to_owned(), why);
        }
        if is_generation && !has_sources && self.split.is_none() {
            let why = "generation is judged on held-out text: add a [split] section";
            faults.note("split", "nothing".to_owned(), why);
        }
        let is_pretrained_prior = matches!(self.prior, Some(PriorConfig::Pretrained { .. }));
        if self.prior.is_some() && !self.needs_text() && !has_sources && !is_pretrained_prior {
            faults.note("prior", "a prior".to_owned(), "a prior over text needs a [corpus]");
        }
    }

    /// What does not make sense about what texts are rewarded for.
    fn reward_faults(&self, is_generation: bool, faults: &mut Faults) {
        let has_terms = self.reward.as_ref().is_some_and(|reward| !reward.terms.is_empty());
        if is_generation && !has_terms {
            faults.note("reward.terms", "nothing".to_owned(), "generation needs at least one [[reward.terms]]");
        }
        if !is_generation && has_terms {
            faults.note("reward.terms", "terms".to_owned(), "this environment gives its own reward; remove the terms");
        }
        let Some(discriminator) = &self.discriminator else { return };
        if !is_generation || !matches!(self.training.source, EpisodeSource::Play) {
            let why = "it tells texts of people from those of a policy: it needs environment.kind = \"generation\" and \
                       training.source = \"play\"";
            faults.note("discriminator", "a table".to_owned(), why);
        }
        if let Some(network) = &discriminator.network
            && network.distribution != Distribution::Mean
        {
            let why = "it answers with probabilities and not with returns: use \"mean\"";
            faults.note("discriminator.network.distribution", "a distribution".to_owned(), why);
        }
    }

    /// What does not make sense about how what was learned is judged, and when learning ends by that.
    fn evaluation_faults(&self, is_generation: bool, faults: &mut Faults) {
        let evaluation = &self.evaluation;
        if evaluation.classifier_updates > 0 && !is_generation {
            let why = "only tasks of free writing have texts that people wrote: use 0";
            faults.note("evaluation.classifier_updates", evaluation.classifier_updates.to_string(), why);
        }
        if evaluation.metric != Metric::Return && !is_generation {
            let why = "only tasks of free writing have texts that people wrote: use \"return\"";
            faults.note("evaluation.metric", evaluation.metric.name().to_owned(), why);
        } else if evaluation.metric.needs_sources() && !self.environment.has_sources() {
            let why = "only tasks with sources have one answer to each: use \"bleu\" or \"return\"";
            faults.note("evaluation.metric", evaluation.metric.name().to_owned(), why);
        }
        if self.training.early_stopping.is_some() && self.training.evaluate_every_updates == 0 {
            let why = "it goes by evaluations while training: set training.evaluate_every_updates";
            faults.note("training.early_stopping", "a table".to_owned(), why);
        }
    }

    /// What does not make sense about what is learned, and how values are weighed afterwards.
    fn learner_faults(&self, faults: &mut Faults) {
        if self.learner.bootstrap.needs_prior() && self.prior.is_none() {
            let kind = if self.learner.bootstrap.weighs_prior() { "kl" } else { "soft, with rewards_prior" };
            faults.note("learner.bootstrap", kind.to_owned(), "KL control needs a [prior] section");
        }
        if self.decoding.is_some() && !self.companions().has_policy {
            let why = "it weighs values against the policy of the data, which only learner.imitation teaches";
            faults.note("decoding", "a table".to_owned(), why);
        }
        let has_model = self.network.torso.pretrained().is_some();
        for (path, found, why) in self.learner.faults(self.network.distribution) {
            // A pretrained model is the policy of the data without being taught it.
            if !(has_model && path == "learner.imitation" && self.learner.imitation == 0.0) {
                faults.note(path, found, why);
            }
        }
        let rate = self.learner.optimizer.learning_rate().bounds();
        faults.note_outside("learner.optimizer.learning_rate", rate, [0.0, 10.0], "a step size from 0 to 10");
    }

    /// What does not make sense about what is kept to learn from, and how it is drawn.
    fn replay_faults(&self, faults: &mut Faults) {
        let ReplayConfig { priority, rewarded_fraction, length_pool_batches, .. } = &self.replay;
        if priority.is_some() && *rewarded_fraction > 0.0 {
            let why = "windows are drawn either by priority or by reward: remove one of both";
            faults.note("replay.rewarded_fraction", rewarded_fraction.to_string(), why);
        }
        let most_fresh = self.environment.max_tokens().map(|most| most * self.training.parallel_episodes);
        if let Some(most) = most_fresh.filter(|&most| self.replay.only_fresh && self.replay.warmup_steps > most) {
            let why =
                format!("a round of fresh episodes has {most} steps at most, so that nothing would ever be learned");
            faults.note("replay.warmup_steps", self.replay.warmup_steps.to_string(), &why);
        }
        if *length_pool_batches > 1 && (priority.is_some() || *rewarded_fraction > 0.0) {
            let why = "a pool is drawn uniformly, neither by priority nor by reward: use 1";
            faults.note("replay.length_pool_batches", length_pool_batches.to_string(), why);
        }
        if let Some(priority) = priority {
            let why = "an exponent from 0 to 1";
            faults.note_outside("replay.priority.beta", priority.beta.bounds(), [0.0, 1.0], why);
        }
    }

    /// What does not make sense about how actions are tried.
    fn exploration_faults(&self, faults: &mut Faults) {
        match &self.exploration {
            Exploration::EpsilonGreedy { epsilon, from_prior } => {
                if *from_prior && self.prior.is_none() {
                    let why = "drawing from the prior needs a [prior] section";
                    faults.note("exploration.from_prior", "true".to_owned(), why);
                }
                let bounds = epsilon.bounds();
                faults.note_outside("exploration.epsilon", bounds, [0.0, 1.0], "a probability from 0 to 1");
            }
            Exploration::Boltzmann { temperature, from_prior } => {
                let weighs_prior = *from_prior && self.prior.is_some();
                if weighs_prior && matches!(self.learner.bootstrap, Bootstrap::Soft { .. }) {
                    let why =
                        "the bootstrap soft values a policy that knows no prior: set from_prior = false, or use kl";
                    faults.note("exploration.from_prior", "true".to_owned(), why);
                }
                if weighs_prior && self.learner.objective.teaches_logits() {
                    let why = "this objective learns the whole policy, in which a prior would be weighed a second time: set \
                               from_prior = false";
                    faults.note("exploration.from_prior", "true".to_owned(), why);
                }
                let bounds = temperature.bounds();
                faults.note_outside("exploration.temperature", bounds, [1e-9, f64::MAX], "a temperature above 0");
            }
        }
    }

    /// What does not make sense about the torso, and the part of the network that reads sources.
    fn network_faults(&self, faults: &mut Faults) {
        let network = &self.network;
        if let TorsoConfig::Transformer(transformer) = &network.torso
            && !transformer.is_divisible()
        {
            faults.note("network.torso.width", transformer.width.to_string(), UNEVEN_HEADS);
        }
        if !self.environment.has_sources() {
            if network.encoder.is_some() {
                let why = "texts of this environment are about no source that it could read: remove it";
                faults.note("network.encoder", "a table".to_owned(), why);
            }
            return;
        }
        if self.discriminator.is_some() {
            let why = "it would judge texts without what they are about: remove the section";
            faults.note("discriminator", "a table".to_owned(), why);
        }
        if !network.torso.takes_source() {
            let why = "texts of this environment are about sources: use \"gru\", \"lstm\", \"cnn\" or \"transformer\"";
            faults.note("network.torso.kind", "another torso".to_owned(), why);
        }
        let encoder = network.encoder.clone().unwrap_or_default();
        match &encoder.layers {
            EncoderLayers::Transformer(layers) if !layers.is_divisible() => {
                faults.note("network.encoder.layers.width", layers.width.to_string(), UNEVEN_HEADS);
            }
            EncoderLayers::Gru(layers) if !layers.width.is_multiple_of(2) => {
                let why = "an even width: half of it falls to each direction";
                faults.note("network.encoder.layers.width", layers.width.to_string(), why);
            }
            EncoderLayers::Gru(_) | EncoderLayers::Transformer(_) => {}
        }
        if !network.torso.attends_itself() && !network.torso.width().is_multiple_of(encoder.n_attention_heads) {
            let why = "the width of the torso must be a multiple of it";
            faults.note("network.encoder.n_attention_heads", encoder.n_attention_heads.to_string(), why);
        }
    }

    /// What does not make sense about where episodes come from.
    fn source_faults(&self, is_generation: bool, faults: &mut Faults) {
        let training = &self.training;
        if let EnvironmentConfig::Responses { .. } = self.environment
            && !matches!(training.source, EpisodeSource::Text { .. })
        {
            let why = "responses are learned from their log: source = { kind = \"text\" }";
            faults.note("training.source", "another source".to_owned(), why);
        }
        let kind = match &training.source {
            EpisodeSource::Play => {
                if let Some(updates) = training.play_after_updates {
                    let why = "the policy plays from the beginning: this is for the sources log and scripted";
                    faults.note("training.play_after_updates", updates.to_string(), why);
                }
                return;
            }
            EpisodeSource::Text { .. } => "text",
            EpisodeSource::Log { .. } => "log",
            EpisodeSource::Scripted { .. } => "scripted",
        };
        let found = || kind.to_owned();
        if let EpisodeSource::Log { stream: true, filter, .. } = &training.source {
            if filter.best_fraction < 1.0 {
                let why =
                    "which episodes are the best is known only after all are read: use min_return, or stream = false";
                faults.note("training.source.filter.best_fraction", filter.best_fraction.to_string(), why);
            }
            if training.play_after_updates.is_some() {
                let why = "what is played and what is read on would drive each other out of replay: use stream = false";
                faults.note("training.source.stream", "true".to_owned(), why);
            }
        }
        let is_log = matches!(self.environment, EnvironmentConfig::Responses { .. });
        if kind == "text" && !is_generation && !is_log {
            faults.note("training.source", found(), "only tasks of free writing have examples that people wrote");
        }
        let has_text = self.environment.is_game()
            || matches!(self.environment, EnvironmentConfig::Generation { .. } | EnvironmentConfig::Translation(_));
        if kind == "log" && !has_text {
            faults.note("training.source", found(), "this task has no tokenizer that a log could be read with");
        }
        if kind == "scripted" && !self.environment.is_game() {
            faults.note("training.source", found(), "only games have scripted players: use the environment of a game");
        }
        if let (Some(updates), "text") = (training.play_after_updates, kind) {
            let why = "only the sources log and scripted can go on to play";
            faults.note("training.play_after_updates", updates.to_string(), why);
        }
        if training.play_after_updates.is_none() && !matches!(training.stop_after, Span::Updates(_)) {
            faults.note("training.stop_after", found(), "nothing is played from this source: count updates");
        }
        if self.replay.only_fresh {
            faults.note("replay.only_fresh", "true".to_owned(), "this source brings no fresh episodes: remove it");
        }
    }

    /// What does not make sense about groups of episodes.
    fn group_faults(&self, is_generation: bool, faults: &mut Faults) {
        let n_each = self.training.episodes_per_start;
        if n_each == 1 && self.training.source == EpisodeSource::Play {
            let why = "group_consistency compares episodes of the same start: use 2 or more";
            faults.note("training.episodes_per_start", n_each.to_string(), why);
        }
        let longest = self.environment.max_tokens().filter(|_| is_generation);
        let window = self.learner.window_steps;
        if let Some(longest) = longest.filter(|&longest| longest > window) {
            let why = format!("group_consistency learns from whole episodes, which may have {longest} steps: use that");
            faults.note("learner.window_steps", window.to_string(), &why);
        }
        let ReplayConfig { rewarded_fraction, length_pool_batches, priority, .. } = &self.replay;
        let is_plain = *rewarded_fraction == 0.0 && *length_pool_batches == 1 && priority.is_none();
        if !is_plain {
            let why =
                "group_consistency draws whole groups: leave out rewarded_fraction, length_pool_batches and priority";
            faults.note("learner.objective.kind", "group_consistency".to_owned(), why);
        }
        if self.actions.candidates().is_some() || !is_generation {
            let why = "only tasks of free writing over all actions have groups of episodes";
            faults.note("learner.objective.kind", "group_consistency".to_owned(), why);
        }
    }

    /// What does not make sense about actions, their head, and prompts of lines.
    fn action_faults(&self, is_generation: bool, faults: &mut Faults) {
        if is_generation && self.actions == ActionsConfig::Corpus {
            faults.note(
                "actions.kind",
                "corpus".to_owned(),
                "generation must be able to write <eos>: use \"vocabulary\"",
            );
        }
        if let Some(kind) = self.actions.many_token_kind()
            && !is_generation
        {
            faults.note("actions.kind", kind.to_owned(), "only tasks of free writing have actions of several tokens");
        }
        if let (ActionsConfig::Words { .. }, TokenizerConfig::Word { .. }) = (&self.actions, &self.tokenizer) {
            faults.note(
                "actions.kind",
                "words".to_owned(),
                "a word is one token of this tokenizer: use \"vocabulary\"",
            );
        }
        if let Some(CandidatesConfig { top_k }) = self.actions.candidates() {
            if self.prior.is_none() {
                faults.note(
                    "actions.candidates.top_k",
                    top_k.to_string(),
                    "candidates are chosen by a [prior]: add the section",
                );
            }
            if !is_generation {
                faults.note(
                    "actions.candidates.top_k",
                    top_k.to_string(),
                    "only tasks of free writing have candidates",
                );
            }
        }
        if self.learner.objective == (Objective::GroupConsistency {}) {
            self.group_faults(is_generation, faults);
        }
        let (n_parallel, n_each) = (self.training.parallel_episodes, self.training.episodes_per_start);
        if !n_parallel.is_multiple_of(n_each) {
            let why = format!("it must divide training.parallel_episodes, which is {n_parallel}");
            faults.note("training.episodes_per_start", n_each.to_string(), &why);
        }
        if self.learner.objective == (Objective::OptimalCompletion {}) {
            let found = || "optimal_completion".to_owned();
            if !is_generation {
                let why = "only tasks of free writing have references to come near to";
                faults.note("learner.objective.kind", found(), why);
            }
            if self.actions.many_token_kind().is_some() || self.actions.candidates().is_some() {
                let why =
                    "it counts edits of tokens: every token must be an action of its own, use the actions vocabulary";
                faults.note("learner.objective.kind", found(), why);
            }
        }
        if let HeadConfig::Relevance(_) | HeadConfig::Tied { .. } = self.network.head {
            if self.network.distribution != Distribution::Mean {
                let why = "the heads relevance and tied say one value of an action: remove it";
                faults.note("network.distribution", "a distribution".to_owned(), why);
            }
            if let Some(noise) = self.network.noise {
                let why = "the heads relevance and tied have no noisy weights: remove it";
                faults.note("network.noise", noise.to_string(), why);
            }
        }
        if let HeadConfig::Policy { temperature, .. } = self.network.head {
            if self.network.distribution != Distribution::Mean {
                let why = "a policy has one probability of an action: remove it";
                faults.note("network.distribution", "a distribution".to_owned(), why);
            }
            if self.learner.bootstrap.temperature() != Some(temperature)
                || self.learner.bootstrap.weighs_prior()
                || !matches!(self.learner.objective, Objective::Td {} | Objective::PathConsistency { .. })
            {
                let why = "the head of a policy needs the objective td or path_consistency, the bootstrap soft, and its \
                           temperature";
                faults.note("network.head.temperature", temperature.to_string(), why);
            }
        }
        if let (HeadConfig::Tied { .. }, Some(kind)) = (&self.network.head, self.actions.many_token_kind()) {
            let why = format!("the actions {kind} write several tokens, which have no one vector: use relevance");
            faults.note("network.head.kind", "tied".to_owned(), &why);
        }
        if let EnvironmentConfig::Generation {
            n_prompt_lines: Some(_), n_prompt_tokens: n_prompt_tokens @ 1.., ..
        } = self.environment
        {
            let why = "0 where the prompt is counted in lines by n_prompt_lines";
            faults.note("environment.n_prompt_tokens", n_prompt_tokens.to_string(), why);
        }
    }
}
