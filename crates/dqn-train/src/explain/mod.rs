//! Why a network acts as it does in a text: what it values, what it prefers, and which tokens decide.
//!
//! `episode` makes an episode of a text, `values` asks the network about its states and `saliency` about its tokens;
//! [`Explanation`] is all of that as data, and [`html()`] and [`text()`] write it for people. docs/explain.md has the
//! definitions.

mod episode;
mod html;
mod saliency;
mod text;
mod values;

use dqn_core::{Progress, QNetwork};
use dqn_mdp::{Source, SourceId, TokenId, Trajectory};
use dqn_model::TextQNetwork;
use dqn_text::tokenizer::TextTokenizer;
use dqn_text::{Special, Tokenizer};
use serde::{Deserialize, Serialize};

use self::episode::Begin;
use self::saliency::Salient;
use crate::experiment::Experiment;
use crate::{TrainError, answer};

pub use self::html::html;
pub use self::text::{Colours, text};

/// The version of the shape of [`Explanation`]; it grows with every change that a reader has to know of.
pub const FORMAT: u32 = 1;

/// How the tokens that decide are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Replace one token after another and see what becomes of the margin (Zeiler and Fergus 2014; Li et al. 2016).
    Occlusion(Replacement),
    /// The length of the gradient of the margin by the vector of the token (Simonyan et al. 2014).
    Gradient,
    /// What the last block of a Transformer attends to, followed back through the blocks (Abnar and Zuidema 2020).
    Attention,
}

/// What stands in place of a token that is occluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replacement {
    /// Other tokens of the vocabulary, all or ten that are drawn; the mean over them counts.
    Vocabulary,
    /// The one token `<unk>`.
    Unknown,
}

/// What is to be explained.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainRequest {
    /// A whole episode as text; without it the most preferred actions are taken from `prompt` or, where that is missing as
    /// well, from the first validation start.
    pub text: Option<String>,
    /// How the text begins, where episodes have prompts.
    pub prompt: Option<String>,
    /// What the text is about, in tasks with sources: the source of the first validation start, or what [`about`] added.
    pub source: Option<SourceId>,
    /// Number of alternatives that are told of each step.
    pub n_top: usize,
    /// How the tokens that decide are found.
    pub method: Method,
}

/// What a network makes of an episode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// [`FORMAT`].
    pub format: u32,
    /// Parameter updates of the network.
    pub updates: u64,
    /// The policy the run acts by.
    pub policy: String,
    /// Temperature of that policy; absent where it takes the most preferred action.
    pub temperature: Option<f64>,
    /// What advantages are differences from.
    pub advantage_over: Baseline,
    /// What the prior probabilities are those of; absent where there is no prior.
    pub prior: Option<PriorKind>,
    /// How saliency was found.
    pub method: Method,
    /// What every reward was multiplied by before it was learned from; values are in units of rewards so multiplied.
    pub reward_scale: f64,
    /// What the text is about, in tasks with sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<SourceView>,
    /// What stands between tokens when the text is shown.
    pub separator: String,
    /// The text, `<bos>` included.
    pub tokens: Vec<TokenView>,
    /// The decisions, in their order.
    pub steps: Vec<StepView>,
}

/// What advantages are differences from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// The highest value of the allowed actions: advantages are at most 0.
    MaxQ,
    /// The value of the state that the network learns.
    StateValue,
}

/// A policy that was known before values were learned, or is learned beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriorKind {
    /// The prior policy of the experiment.
    Prior,
    /// The policy of the data, which the network learns.
    DataPolicy,
}

/// A token of the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenView {
    /// Its id in the vocabulary.
    pub id: u32,
    /// How it reads.
    pub text: String,
    /// The step whose action wrote it; absent for what was given or answered.
    pub step: Option<usize>,
}

/// What a text is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceView {
    /// What a person is shown of it.
    pub text: String,
    /// How the tokens read that the network is given; none of a recording.
    pub tokens: Vec<String>,
    /// What stands between them.
    pub separator: String,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    /// Index of the last token of the state; the text up to it is what the network read.
    pub place: usize,
    /// The highest value of the allowed actions.
    pub max_q: f32,
    /// The value of the state, where the network learns one.
    pub state_value: Option<f32>,
    /// Actions that the state allows.
    pub n_allowed: usize,
    /// The action taken.
    pub taken: ActionView,
    /// The most preferred allowed actions, in their order.
    pub top: Vec<ActionView>,
    /// Actions that are not allowed and would be preferred to every allowed one, the most preferred first.
    pub masked: Vec<ActionView>,
    /// By how much the network prefers the action taken to the best of the other allowed ones; absent where there is no
    /// other.
    pub margin: Option<f32>,
    /// How much the choice depends on each token of the state, `<bos>` first; absent where there is no other action.
    pub saliency: Option<Vec<f32>>,
    /// How much it depends on each token of the source; found by occlusion, of sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_saliency: Option<Vec<f32>>,
}

impl StepView {
    /// The token of greatest saliency, `<bos>` left out.
    pub fn deciding(&self) -> Option<usize> {
        let saliency = self.saliency.as_ref()?;
        (1..saliency.len()).max_by(|&one, &other| saliency[one].total_cmp(&saliency[other]).then(other.cmp(&one)))
    }
}

/// An action in a state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionView {
    /// Its number in the action table.
    pub action: u32,
    /// What it writes.
    pub text: String,
    /// Whether the state allows it.
    pub allowed: bool,
    /// Its rank among the allowed actions by preference, from 1; absent where it is not allowed.
    pub rank: Option<usize>,
    /// Its value, the mean where the network gives a distribution.
    pub q: f32,
    /// `q` less the baseline of [`Explanation::advantage_over`].
    pub advantage: f32,
    /// What the policy compares; absent where the decoding rules the action out.
    pub preference: Option<f32>,
    /// Its probability under the policy.
    pub probability: f32,
    /// Its probability under the prior, shared out over the allowed actions.
    pub prior_probability: Option<f32>,
}

/// The experiment with a source that a person gives, a sentence or the path of a recording, and what
/// [`ExplainRequest::source`] calls it.
///
/// # Errors
/// [`TrainError::NotOffered`] where texts are about no sources, and what is wrong with the sentence or recording.
pub fn about(experiment: Experiment, given: &str) -> Result<(Experiment, SourceId), TrainError> {
    let source = answer::given(&experiment, given)?;
    experiment.asked_about(vec![(source, given.to_owned())])
}

/// Explains what `network` does in a text.
///
/// # Errors
/// [`TrainError::UnknownInText`], [`TrainError::UnknownInPrompt`] and [`TrainError::NotAnEpisode`] for a text that is no
/// episode of the task, [`TrainError::NotOffered`] for a prompt where there are none and for a method that the network does
/// not offer.
pub fn explain(
    experiment: &Experiment,
    network: &TextQNetwork,
    progress: Progress,
    request: &ExplainRequest,
) -> Result<Explanation, TrainError> {
    let begin = Begin { prompt: request.prompt.as_deref(), source: request.source };
    let episode = match &request.text {
        Some(text) => episode::of_text(experiment, text, begin)?,
        None => episode::preferred(experiment, network, progress, begin)?,
    };
    explain_episode(experiment, network, progress, &episode, request.n_top, request.method)
}

/// [`explain`] for an episode that is there already.
///
/// # Errors
/// [`TrainError::NotAnEpisode`] for an episode without a step, [`TrainError::NotOffered`] for a method that the network
/// does not offer.
pub fn explain_episode(
    experiment: &Experiment,
    network: &TextQNetwork,
    progress: Progress,
    episode: &Trajectory,
    n_top: usize,
    method: Method,
) -> Result<Explanation, TrainError> {
    if episode.is_empty() {
        return Err(TrainError::NotAnEpisode { why: "no action is taken in it".to_owned() });
    }
    let learned = experiment.learned_policies(progress).swap_remove(0);
    let network = network.clone().with_noise(None);
    let values = values::Values::of(experiment, &network, episode, &learned);
    let mut steps = values.steps(experiment, episode, n_top);
    let salient = saliency::of(experiment, &network, episode, learned.decoding, method)?;
    for (step, Salient { margin, of_text, of_source }) in steps.iter_mut().zip(salient) {
        (step.margin, step.saliency, step.source_saliency) = (margin, of_text, of_source);
    }
    Ok(Explanation {
        format: FORMAT,
        updates: progress.updates,
        temperature: values::temperature(learned.policy),
        policy: learned.name,
        advantage_over: values.baseline,
        prior: values.prior,
        method,
        reward_scale: experiment.config.learner.reward_scale,
        about: source_view(experiment, episode),
        separator: separator(experiment.tokenizer()).to_owned(),
        tokens: token_views(experiment, episode),
        steps,
    })
}

/// Tokens of words and of tasks without a tokenizer are divided by spaces.
fn separator(tokenizer: Option<&TextTokenizer>) -> &'static str {
    match tokenizer {
        None | Some(TextTokenizer::Word(_)) => " ",
        Some(TextTokenizer::Char(_) | TextTokenizer::Line(_) | TextTokenizer::Bpe(_) | TextTokenizer::Model(_)) => "",
    }
}

fn source_view(experiment: &Experiment, episode: &Trajectory) -> Option<SourceView> {
    let sources = experiment.encoder.sources.as_ref()?;
    let tokens = match (sources.get(episode.source?), experiment.source_tokenizer()) {
        (Source::Tokens(tokens), Some(tokenizer)) => {
            tokens.iter().map(|&token| tokenizer.decode_after(&[token])).collect()
        }
        _ => Vec::new(),
    };
    let separator = separator(experiment.source_tokenizer()).to_owned();
    Some(SourceView { text: experiment.shown_start(episode), tokens, separator })
}

fn token_views(experiment: &Experiment, episode: &Trajectory) -> Vec<TokenView> {
    let mut steps = vec![None; episode.tokens.len()];
    for (step, (&decision, &action)) in episode.decisions.iter().zip(&episode.actions).enumerate() {
        let begin = decision as usize + 1;
        let next = episode.decisions.get(step + 1).map_or(episode.tokens.len(), |&next| next as usize + 1);
        let end = (begin + experiment.actions.tokens(action).len()).min(next);
        steps[begin..end].fill(Some(step));
    }
    let view =
        |(&token, step): (&TokenId, Option<usize>)| TokenView { id: token.0, text: shown(experiment, &[token]), step };
    episode.tokens.iter().zip(steps).map(view).collect()
}

/// How tokens read; those that write nothing by their names.
fn shown(experiment: &Experiment, tokens: &[TokenId]) -> String {
    let is_silent = |token: &TokenId| *token != Special::Unk.id() && experiment.vocab().is_special(*token);
    let mut text = String::new();
    for stretch in tokens.chunk_by(|one, next| is_silent(one) == is_silent(next)) {
        match experiment.tokenizer() {
            // Each piece as it reads behind others, so that they can be put together.
            Some(tokenizer) if !is_silent(&stretch[0]) => text += &tokenizer.decode_after(stretch),
            _ => {
                let names: Vec<&str> = stretch.iter().map(|&token| experiment.vocab().token(token)).collect();
                text += &names.join(" ");
            }
        }
    }
    text
}
