//! What a policy is worth: measures over finished episodes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use burn::tensor::Device;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use dqn_core::batch::DeviceBatch;
use dqn_core::{Decoding, Policy, Prior, QNetwork, Window};
use dqn_env::RewardSum;
use dqn_env::game::{Game, GamePlayer, record};
use dqn_mdp::{Prompt, Seed, Start, TokenId, Trajectory};
use dqn_model::TextQNetwork;
use dqn_score::{
    AlignmentCounts, AlignmentUnit, Bleu, BleuConfig, Chrf, ChrfConfig, NgramIndex, distinct_n, unique_fraction,
};
use dqn_text::Special;
use dqn_text::split::Split;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::config::PriorConfig;
use crate::diagnostics::{Diagnostics, diagnose, expert_episodes};
use crate::discriminator::taken_for_human;
use crate::experiment::{Experiment, HumanEpisodes, Task};
use crate::logs::BehaviorData;
use crate::play::{FollowedPrior, Narrowing, NetworkPlayer, Player, ScriptedPlayer, View, play};
use crate::stats::{Interval, bootstrap_mean, rank_correlation};

/// Episodes that are played at a time: what the network remembers of more would no longer stay near the processor.
const PLAYED_TOGETHER: usize = 128;

/// What one policy did on the prompts of one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Name of the policy.
    pub policy: String,
    /// Where the prompts come from.
    pub split: Split,
    /// Mean return with its 95 % bootstrap interval.
    pub episode_return: Interval,
    /// Return of every episode, in the order of the starts; not stored.
    #[serde(skip)]
    pub returns: Vec<f64>,
    /// Mean return of the learned policy minus that of this one from the same starts, with its 95 % paired bootstrap
    /// interval; absent for the learned policy itself and for what people wrote.
    pub learned_minus: Option<Interval>,
    /// Mean of what the game itself says of an episode, where that is not the return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Whether nothing judged what was written, so that its return is not known.
    #[serde(default)]
    pub unjudged: bool,
    /// How well held-out responses are told apart, where the task is a log of responses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// What the values are like, for the learned policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<Diagnostics>,
    /// Mean of each reward term's share of the return.
    pub terms: BTreeMap<String, f64>,
    /// Share of texts in the form that the reward asks for.
    pub form_kept: Option<f64>,
    /// Perplexity per token of held-out text under the policy: how well it predicts what people wrote. With actions of
    /// several tokens an upper bound, see [`PolicyPerplexity::of`].
    pub policy_perplexity: Option<f64>,
    /// Perplexity of what was written under the judge, a language model on other text than reward and prior.
    pub reference_perplexity: Option<f64>,
    /// Corpus BLEU against the texts people wrote from the same prompts, from 0 to 100.
    pub bleu: Option<f64>,
    /// Signature of that BLEU.
    pub bleu_signature: Option<String>,
    /// How near to what people wrote about the same sources, where the task has sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// Share of distinct bigrams among all bigrams written.
    pub distinct_2: Option<f64>,
    /// Share of distinct texts.
    pub unique: Option<f64>,
    /// Share of 5-grams that stand in the training text.
    pub copied_5: Option<f64>,
    /// Share of held-out texts that a fresh classifier takes for people's, .5 where it cannot tell them apart; see
    /// [`taken_for_human`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_for_human: Option<f64>,
    /// Kullback-Leibler divergence in nats a text: from the policy of the data where it was steered by values, from the prior
    /// where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<f64>,
    /// Seconds that writing and judging the texts took, where that is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Mean number of steps of an episode.
    pub n_steps: f64,
    /// Number of episodes.
    pub n_episodes: usize,
    /// Seed of prompts and sampling.
    pub seed: u64,
}

/// How near what was written about sources is to what people wrote about them; of several texts of theirs the nearest
/// counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// Share of texts that are exactly theirs.
    pub exact: f64,
    /// Corpus chrF, from 0 to 100, as sacreBLEU has it.
    pub chrf: f64,
    /// Word error rate: the edits of all texts divided by the words of theirs.
    pub word_error_rate: f64,
    /// Character error rate.
    pub character_error_rate: f64,
}

impl Answers {
    /// Measures `hypotheses`, each with at least one reference.
    ///
    /// # Errors
    /// As [`Chrf::corpus`].
    pub fn of(hypotheses: &[&str], references: &[Vec<&str>]) -> Result<Self, TrainError> {
        let pairs = || hypotheses.iter().zip(references);
        let exact = pairs().filter(|(hypothesis, references)| references.contains(hypothesis)).count();
        let error_rate = |unit: AlignmentUnit| {
            let nearest = pairs().filter_map(|(hypothesis, references)| {
                let counts = references.iter().map(|reference| unit.align(hypothesis, reference));
                counts.min_by_key(AlignmentCounts::errors)
            });
            let add = |(errors, length), counts: AlignmentCounts| {
                (errors + counts.errors(), length + counts.reference_length())
            };
            let (errors, length) = nearest.fold((0, 0), add);
            errors as f64 / length.max(1) as f64
        };
        Ok(Self {
            exact: exact as f64 / hypotheses.len() as f64,
            chrf: Chrf::new(ChrfConfig::default())?.corpus(hypotheses, references)?,
            word_error_rate: error_rate(AlignmentUnit::Words),
            character_error_rate: error_rate(AlignmentUnit::Characters),
        })
    }
}

/// How a network ranks logged responses that it has not learned from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Rank correlation (Spearman 1904) of the value of a response's last action with its reward; absent where values are
    /// logits.
    pub value_correlation: Option<f64>,
    /// Rank correlation of the mean log-probability of a response's actions under the policy with its reward.
    pub policy_correlation: f64,
    /// Mean reward of the quarter of the responses that the policy finds likeliest by that mean.
    pub preferred_reward: f64,
    /// Mean reward of all.
    pub mean_reward: f64,
    /// Number of responses.
    pub n_responses: usize,
}

/// Texts, and beside each what people wrote from its prompt.
struct Beside {
    written: Vec<String>,
    /// Shared by the texts from one prompt.
    references: Vec<Arc<Vec<String>>>,
}

/// Plays and measures policies on the prompts of one split.
pub struct Evaluator<'a> {
    experiment: &'a Experiment,
    split: Split,
    task: Task,
    reward: Option<RewardSum>,
    copies: Option<NgramIndex<TokenId>>,
    n_episodes: usize,
    /// What the game says of the episodes played last.
    scores: Vec<f64>,
    /// Where a classifier learns to tell the texts from people's, if at all.
    classifies_on: Option<Device>,
}

impl<'a> Evaluator<'a> {
    /// An evaluator on at most `n_episodes` distinct starts of `split`.
    ///
    /// # Errors
    /// When the split offers no starts.
    pub fn new(experiment: &'a Experiment, split: Split, n_episodes: usize) -> Result<Self, TrainError> {
        let task = experiment.task(split)?.distinct(n_episodes, Seed(experiment.config.evaluation.seed));
        let n_starts = task.environments(1)?[0].n_starts();
        let copies = experiment.text.as_ref().filter(|_| task.prompts.is_some()).map(|text| {
            let examples: Vec<&[TokenId]> = text.part(Split::Train).examples.iter().map(Vec::as_slice).collect();
            NgramIndex::new(5, &examples, &ignored_in_copies(experiment))
        });
        Ok(Self {
            experiment,
            split,
            reward: experiment.reward(&task)?,
            task,
            copies,
            n_episodes: n_episodes.min(n_starts),
            scores: Vec::new(),
            classifies_on: None,
        })
    }

    /// Measures texts with a classifier, too, where the experiment asks for one.
    pub fn classifying(mut self, device: Device) -> Self {
        self.classifies_on = (self.experiment.config.evaluation.classifier_updates > 0).then_some(device);
        self
    }

    /// Number of episodes of one evaluation.
    pub fn n_episodes(&self) -> usize {
        self.n_episodes
    }

    /// Plays one episode from every start.
    ///
    /// # Errors
    /// When an environment or a reward fails.
    pub fn episodes(&mut self, player: &mut dyn Player) -> Result<Vec<Trajectory>, TrainError> {
        let mut environments = self.task.environments(self.n_episodes)?;
        let starts: Vec<Start> = (0..self.n_episodes).map(Start::Indexed).collect();
        let mut episodes = Vec::with_capacity(starts.len());
        for (environments, starts) in environments.chunks_mut(PLAYED_TOGETHER).zip(starts.chunks(PLAYED_TOGETHER)) {
            episodes.extend(play(environments, starts, player)?);
        }
        self.scores = environments.iter().filter_map(|environment| environment.score()).collect();
        self.judge(&mut episodes)?;
        Ok(episodes)
    }

    fn judge(&mut self, episodes: &mut [Trajectory]) -> Result<(), TrainError> {
        if let Some(reward) = &mut self.reward {
            reward.judge(episodes)?;
        }
        Ok(())
    }

    /// Episodes of a network under `policy`.
    ///
    /// # Errors
    /// As [`Evaluator::episodes`].
    pub fn network_episodes(&mut self, network: &TextQNetwork, policy: Policy) -> Result<Vec<Trajectory>, TrainError> {
        let mut rng = Seed(self.experiment.config.evaluation.seed).stream("evaluation");
        self.drawn_episodes(network, policy, &mut rng)
    }

    /// Episodes of a network under `policy`, which draws from `rng`.
    ///
    /// # Errors
    /// As [`Evaluator::episodes`].
    pub fn drawn_episodes(
        &mut self,
        network: &TextQNetwork,
        policy: Policy,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Trajectory>, TrainError> {
        let experiment = self.experiment;
        let prior = experiment.acting_prior(policy);
        self.episodes(&mut NetworkPlayer::new(network, policy, prior, &experiment.encoder, rng))
    }

    /// What the network is worth under `policy`.
    ///
    /// # Errors
    /// As [`Evaluator::episodes`].
    pub fn network(
        &mut self,
        name: &str,
        network: &TextQNetwork,
        policy: Policy,
    ) -> Result<(Evaluation, Vec<Trajectory>), TrainError> {
        let episodes = self.network_episodes(network, policy)?;
        let unjudged = self.experiment.is_unjudged();
        Ok((Evaluation { score: mean_score(&self.scores), unjudged, ..self.measure(name, &episodes)? }, episodes))
    }

    /// What the values of a network are like in the states of its `episodes`, and in those of a game's expert.
    ///
    /// Where texts are written freely there is no telling: each is long, and nothing is known of the other actions.
    ///
    /// # Errors
    /// When the game refuses a start, or the environment an action.
    pub fn diagnose(&self, network: &TextQNetwork, episodes: &[Trajectory]) -> Result<Option<Diagnostics>, TrainError> {
        let is_values = self.experiment.config.learner.objective.knows_values();
        if self.task.prompts.is_some() || !is_values {
            return Ok(None);
        }
        let expert = match self.experiment.game() {
            Some(mut game) if self.experiment.plays_whole_commands() => {
                let mut environment = self.task.environments(1)?.remove(0);
                expert_episodes(&mut *game, &mut *environment, self.n_episodes)?
            }
            _ => Vec::new(),
        };
        Ok(Some(diagnose(self.experiment, network, episodes, &expert)))
    }

    /// How `network` ranks the logged responses to the prompts of the split, where the task is a log of responses.
    ///
    /// # Errors
    /// As [`Evaluator::episodes`].
    pub fn held_out(
        &self,
        network: &TextQNetwork,
        decoding: Option<Decoding>,
        policy: Policy,
    ) -> Result<Option<HeldOut>, TrainError> {
        let experiment = self.experiment;
        if !experiment.is_unjudged() {
            return Ok(None);
        }
        let logged = self.task.human_episodes()?.episodes;
        let temperature = match policy {
            Policy::Boltzmann { temperature } | Policy::BoltzmannMode { temperature } => temperature,
            Policy::Greedy | Policy::EpsilonGreedy { .. } => 1.0,
        };
        let is_values = experiment.config.learner.objective.knows_values();
        let (valued, deciding) = (network.clone().decoding(None), network.clone().decoding(decoding));
        let (mut rewards, mut values, mut likelihoods) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in logged.chunks(64) {
            let windows: Vec<Window<'_>> =
                chunk.iter().map(|trajectory| Window { trajectory, start: 0, len: trajectory.len() }).collect();
            let batch = experiment.batch_builder().build(&windows, None);
            let (n_steps, n_states) = (batch.n_steps, batch.n_states);
            let batch = batch.upload(&network.device());
            let q = deciding.q_values(deciding.features(&batch.input));
            let log_probs = log_softmax(q.div_scalar(temperature).narrow(1, 0, n_steps), 2);
            let taken = log_probs.gather(2, batch.actions.clone().unsqueeze_dim(2)).squeeze_dim::<2>(2);
            let taken: Vec<f32> = taken.into_data().convert::<f32>().try_to_vec().expect("they are 32-bit floats");
            let features = valued.features(&batch.input);
            let states = valued.q_taken(features, batch.state_actions.clone());
            let states: Vec<f32> = states.into_data().convert::<f32>().try_to_vec().expect("they are 32-bit floats");
            for (row, episode) in chunk.iter().enumerate() {
                let of_row = &taken[row * n_steps..][..episode.len()];
                rewards.push(f64::from(episode.episode_return()));
                values.push(f64::from(states[row * n_states + episode.len() - 1]));
                likelihoods.push(of_row.iter().copied().map(f64::from).sum::<f64>() / episode.len() as f64);
            }
        }
        let mut order: Vec<usize> = (0..rewards.len()).collect();
        order.sort_by(|&one, &other| likelihoods[other].total_cmp(&likelihoods[one]));
        let n_preferred = rewards.len().div_ceil(4);
        let preferred: f64 = order.iter().take(n_preferred).map(|&index| rewards[index]).sum();
        Ok(Some(HeldOut {
            value_correlation: is_values.then(|| rank_correlation(&values, &rewards)),
            policy_correlation: rank_correlation(&likelihoods, &rewards),
            preferred_reward: preferred / n_preferred as f64,
            mean_reward: rewards.iter().sum::<f64>() / rewards.len() as f64,
            n_responses: rewards.len(),
        }))
    }

    /// The policies every result is compared with: random, the prior, and the prior within the form.
    ///
    /// # Errors
    /// As [`Evaluator::episodes`].
    pub fn baselines(&mut self) -> Result<Vec<Evaluation>, TrainError> {
        let experiment = self.experiment;
        if let Some(game) = experiment.game() {
            return self.players(game);
        }
        let mut rows = Vec::new();
        let n_actions = experiment.actions.len();
        let seed = Seed(experiment.config.evaluation.seed);
        let prior = experiment.prior.as_deref();
        let [sampling, forced] = match &experiment.config.prior {
            Some(PriorConfig::Network { .. }) => ["prior network sampling", "prior network, form forced"],
            Some(PriorConfig::Pretrained { .. }) => ["pretrained model sampling", "pretrained model, form forced"],
            Some(PriorConfig::Ngram { .. }) | None => ["n-gram sampling", "n-gram, form forced"],
        };
        let mut scripted = |evaluator: &mut Self,
                            name: &str,
                            prior: Option<&dyn Prior>,
                            narrow: Option<&Narrowing<'_>>|
         -> Result<(), TrainError> {
            let mut rng = seed.stream(name);
            let prior = prior.map(FollowedPrior::new);
            let episodes = evaluator.episodes(&mut ScriptedPlayer { prior, narrow, n_actions, rng: &mut rng })?;
            let unjudged = experiment.is_unjudged();
            rows.push(Evaluation { unjudged, ..evaluator.measure(name, &episodes)? });
            Ok(())
        };
        scripted(self, "uniform random", None, None)?;
        if let Some(prior) = prior {
            scripted(self, sampling, Some(prior), None)?;
            if let Some(form) = &experiment.form {
                let length = form.clause_lengths().first().copied().unwrap_or(1);
                let narrow = |view: &View<'_>| form.allowed(view.text, length, &experiment.actions, view.allowed);
                scripted(self, forced, Some(prior), Some(&narrow))?;
            }
        }
        Ok(rows)
    }

    /// The scripted players of a game, and what was earned in the log.
    fn players(&self, mut game: Box<dyn Game>) -> Result<Vec<Evaluation>, TrainError> {
        let mut rows = Vec::new();
        let players = [
            ("random player", GamePlayer::Random {}),
            ("skilled player", GamePlayer::Skilled {}),
            ("expert player", GamePlayer::Expert {}),
        ];
        for (name, player) in players {
            let mut rng = Seed(self.experiment.config.evaluation.seed).stream(name);
            // Chance is averaged over several episodes from each start; the expert leaves nothing to it.
            let n_rounds = match player {
                GamePlayer::Expert {} => 1,
                _ => SCRIPTED_EPISODES.div_ceil(self.n_episodes),
            };
            let (mut returns, mut scores, mut n_steps) = (Vec::new(), Vec::new(), 0);
            for start in (0..n_rounds).flat_map(|_| 0..self.n_episodes) {
                let recorded = record(&mut *game, player, Start::Indexed(start), &mut rng)?;
                returns.push(recorded.episode_return());
                scores.extend(recorded.score);
                n_steps += recorded.rewards.len();
            }
            let n_steps = n_steps as f64 / returns.len() as f64;
            rows.push(Evaluation { score: mean_score(&scores), ..self.of_returns(name, returns, n_steps) });
        }
        if let Some(BehaviorData { returns, scores, n_steps, .. }) = self.experiment.behavior()? {
            let score = scores.as_deref().and_then(mean_score);
            rows.push(Evaluation { score, ..self.of_returns("behavior data", returns.clone(), *n_steps) });
        }
        Ok(rows)
    }

    /// What is known of a policy from its returns alone.
    fn of_returns(&self, name: &str, returns: Vec<f64>, n_steps: f64) -> Evaluation {
        let seed = self.experiment.config.evaluation.seed;
        Evaluation {
            policy: name.to_owned(),
            split: self.split,
            episode_return: bootstrap_mean(&returns, seed),
            learned_minus: None,
            score: None,
            unjudged: false,
            held_out: None,
            diagnostics: None,
            terms: BTreeMap::new(),
            form_kept: None,
            policy_perplexity: None,
            reference_perplexity: None,
            bleu: None,
            bleu_signature: None,
            answers: None,
            distinct_2: None,
            unique: None,
            copied_5: None,
            taken_for_human: None,
            divergence: None,
            seconds: None,
            n_steps,
            n_episodes: returns.len(),
            returns,
            seed,
        }
    }

    /// What people wrote from the same prompts: all of it, and the part that keeps the form.
    ///
    /// # Errors
    /// As [`Evaluator::episodes`].
    pub fn human(&mut self) -> Result<Vec<Evaluation>, TrainError> {
        let HumanEpisodes { mut episodes, n_left_out } = self.task.human_episodes()?;
        if n_left_out > 0 {
            let n_starts = episodes.len() + n_left_out;
            tracing::info!(
                "from {n_left_out} of {n_starts} {} prompts people wrote nothing that the actions can write within the limit",
                self.split
            );
        }
        self.judge(&mut episodes)?;
        let mut rows = Vec::new();
        let in_form: Vec<Trajectory> = match &self.experiment.form {
            Some(form) => episodes.iter().filter(|episode| form.kept(&episode.tokens)).cloned().collect(),
            None => Vec::new(),
        };
        for (name, episodes) in [("human", &episodes), ("human, form kept", &in_form)] {
            if !episodes.is_empty() {
                // They are their own references.
                rows.push(Evaluation {
                    bleu: None,
                    bleu_signature: None,
                    answers: None,
                    ..self.measure(name, episodes)?
                });
            }
        }
        Ok(rows)
    }

    /// The measures of finished episodes.
    ///
    /// # Errors
    /// When BLEU cannot be computed.
    pub fn measure(&self, name: &str, episodes: &[Trajectory]) -> Result<Evaluation, TrainError> {
        let experiment = self.experiment;
        let returns: Vec<f64> = episodes.iter().map(|episode| f64::from(episode.episode_return())).collect();
        let is_text = self.task.prompts.is_some();
        let written: Vec<&[TokenId]> = episodes.iter().map(Trajectory::written).collect();
        let names = self.reward.as_ref().map(RewardSum::names).unwrap_or_default();
        let mean_term = |index: usize| {
            let total: f64 = episodes.iter().map(|episode| f64::from(episode.term_returns[index])).sum();
            total / episodes.len() as f64
        };
        let terms = names.iter().enumerate().map(|(index, name)| (name.clone(), mean_term(index))).collect();
        let texts = self.beside_references(episodes);
        let texts = texts.as_ref().map(|Beside { written, references }| {
            let written: Vec<&str> = written.iter().map(String::as_str).collect();
            let references: Vec<Vec<&str>> =
                references.iter().map(|texts| texts.iter().map(String::as_str).collect()).collect();
            (written, references)
        });
        let bleu = texts.as_ref().map(|(written, references)| self.bleu(written, references)).transpose()?;
        let (bleu, bleu_signature) = bleu.unzip();
        let answers = match &texts {
            Some((written, references)) if experiment.encoder.sources.is_some() => {
                Some(Answers::of(written, references)?)
            }
            _ => None,
        };
        let classify = |device| {
            let n_updates = experiment.config.evaluation.classifier_updates;
            taken_for_human(experiment, &self.task, episodes, n_updates, device)
        };
        let taken_for_human = self.classifies_on.as_ref().filter(|_| is_text).map(classify).transpose()?.flatten();
        let n_steps = episodes.iter().map(|episode| episode.len() as f64).sum::<f64>() / episodes.len() as f64;
        Ok(Evaluation {
            terms,
            form_kept: experiment.form.as_ref().filter(|_| is_text).map(|form| {
                let kept = episodes.iter().filter(|episode| form.kept(&episode.tokens)).count();
                kept as f64 / episodes.len() as f64
            }),
            reference_perplexity: experiment.judge.as_ref().filter(|_| is_text).map(|judge| {
                let texts: Vec<(&[TokenId], usize)> =
                    episodes.iter().map(|episode| (episode.tokens.as_slice(), episode.n_start_tokens)).collect();
                judge.perplexity(&texts)
            }),
            bleu,
            bleu_signature,
            answers,
            distinct_2: is_text.then(|| distinct_n(&written, 2)),
            unique: is_text.then(|| unique_fraction(&written)),
            copied_5: self.copies.as_ref().map(|copies| {
                let texts: Vec<&[TokenId]> = episodes.iter().map(|episode| &episode.tokens[1..]).collect();
                copies.copied_fraction(&texts)
            }),
            taken_for_human,
            ..self.of_returns(name, returns, n_steps)
        })
    }

    /// The texts of episodes, and beside each what people wrote from its prompt, where the task has prompts.
    fn beside_references(&self, episodes: &[Trajectory]) -> Option<Beside> {
        let prompts = self.task.prompts.as_ref()?;
        let render = |tokens: &[TokenId]| self.experiment.render(tokens);
        let mut rendered: HashMap<Prompt, Arc<Vec<String>>> = HashMap::new();
        let mut references = Vec::with_capacity(episodes.len());
        for prompt in episodes.iter().map(Trajectory::prompt) {
            let texts = || match &prompts.written {
                Some(written) => written[&prompt].clone(),
                None => prompts.references[&prompt].iter().map(|text| render(text)).collect(),
            };
            let found = rendered.entry(prompt.clone()).or_insert_with(|| Arc::new(texts()));
            references.push(Arc::clone(found));
        }
        let written = episodes.iter().map(|episode| render(&episode.tokens)).collect();
        Some(Beside { written, references })
    }

    fn bleu(&self, hypotheses: &[&str], references: &[Vec<&str>]) -> Result<(f64, String), TrainError> {
        let config = BleuConfig { tokenize: self.experiment.config.evaluation.bleu_tokenizer, ..BleuConfig::default() };
        let bleu = Bleu::new(config);
        let n_references: HashSet<usize> = references.iter().map(Vec::len).collect();
        let score = bleu.corpus(hypotheses, references)?;
        let signature = match n_references.len() {
            1 => bleu.signature(references[0].len()),
            _ => bleu.signature(None),
        };
        Ok((score.score, signature))
    }
}

/// Episodes over which the chance of a scripted player is averaged, at least.
const SCRIPTED_EPISODES: usize = 1_000;

fn mean_score(scores: &[f64]) -> Option<f64> {
    (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

/// Tokens across which a 5-gram does not count as copied: `<unk>`, the ends, and the delimiters of clauses.
fn ignored_in_copies(experiment: &Experiment) -> Vec<TokenId> {
    let mut ignored = Special::ALL.map(Special::id).to_vec();
    ignored.extend(experiment.encoder.positions.delimiters());
    ignored
}

/// Temperatures at which the policy's perplexity is tried, as multiples of the one it acts at.
const TEMPERATURE_FACTORS: [f64; 13] = [0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 16.0, 64.0, 1024.0];

/// Cross-entropy of the Boltzmann policy on held-out text, at several temperatures.
pub struct PolicyPerplexity {
    /// Temperatures, in units of Q.
    pub temperatures: Vec<f64>,
    /// Perplexity at each of them.
    pub perplexities: Vec<f64>,
}

impl PolicyPerplexity {
    /// The policy's perplexity on what people wrote from the prompts of `split`, at multiples of `temperature`.
    ///
    /// Perplexity is per token. Where actions write several tokens, texts are divided by the longest match; since other
    /// divisions write the same text, this is an upper bound of the perplexity of the texts.
    ///
    /// `None` where nobody wrote anything from them, and where candidates narrow the states: what people wrote is then
    /// added to the candidates, which a policy that predicts cannot know.
    ///
    /// # Errors
    /// When an environment refuses what people wrote.
    pub fn of(
        experiment: &Experiment,
        network: &TextQNetwork,
        split: Split,
        temperature: f64,
    ) -> Result<Option<Self>, TrainError> {
        let evaluation = &experiment.config.evaluation;
        let task = experiment.task(split)?.distinct(evaluation.n_episodes, Seed(evaluation.seed));
        let human = task.human_episodes()?.episodes;
        if human.is_empty() || experiment.candidates.is_some() {
            return Ok(None);
        }
        let temperatures: Vec<f64> = TEMPERATURE_FACTORS.iter().map(|factor| factor * temperature).collect();
        let mut nll = vec![0.0; temperatures.len()];
        let mut n_tokens = 0.0_f64;
        let prior = experiment.acting_prior(Policy::Boltzmann { temperature });
        for chunk in human.chunks(64) {
            let windows: Vec<Window<'_>> =
                chunk.iter().map(|trajectory| Window { trajectory, start: 0, len: trajectory.len() }).collect();
            let batch = experiment.batch_builder().build(&windows, prior);
            n_tokens += chunk.iter().map(|episode| episode.written().len() as f64).sum::<f64>();
            let n_steps = batch.n_steps;
            let batch = batch.upload(&network.device());
            let q = network.q_values(network.features(&batch.input));
            for (nll, &temperature) in nll.iter_mut().zip(&temperatures) {
                *nll += cross_entropy(&q, &batch, n_steps, temperature);
            }
        }
        let perplexities = nll.iter().map(|nll| (nll / n_tokens).exp()).collect();
        Ok(Some(Self { temperatures, perplexities }))
    }

    /// Perplexity at the temperature that was given.
    pub fn unscaled(&self) -> f64 {
        let index = TEMPERATURE_FACTORS.iter().position(|&factor| factor == 1.0).expect("1 is among the factors");
        self.perplexities[index]
    }

    /// Index of the temperature that predicts best.
    pub fn best(&self) -> usize {
        let by_value = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
        let indexed: Vec<(usize, f64)> = self.perplexities.iter().copied().enumerate().collect();
        indexed.iter().min_by(by_value).map_or(0, |&(index, _)| index)
    }
}

/// Sum over valid steps of the negative log-probability of the action taken, in nats.
fn cross_entropy(q: &Tensor<3>, batch: &DeviceBatch, n_steps: usize, temperature: f64) -> f64 {
    let biases: Vec<&Tensor<3>> = [&batch.log_prior, &batch.mask].into_iter().flatten().collect();
    let (preferences, scale) = match biases.is_empty() {
        true => (q.clone(), temperature.recip()),
        false => {
            let scaled = q.clone().div_scalar(temperature);
            (biases.into_iter().fold(scaled, |sum, bias| sum + bias.clone()), 1.0)
        }
    };
    let sums = TextQNetwork::log_sum_exp(preferences.clone(), scale);
    let actions = batch.state_actions.clone().unsqueeze_dim(2);
    let log_probs = preferences.gather(2, actions).squeeze_dim::<2>(2).mul_scalar(scale) - sums;
    let total: f32 = (log_probs.narrow(1, 0, n_steps) * batch.valid.clone()).sum().into_scalar();
    -f64::from(total)
}
