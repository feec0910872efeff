//! Which tokens a choice depends on.
//!
//! ```text
//! margin(s, a) = z(s, a) - max over allowed b != a of z(s, b)
//! ```
//!
//! with `z` the value of an action or, in a network that decodes, its preference without `top_k`. A change of it that all
//! actions share changes no choice and does not count; where it falls below 0 another action would be taken.

use dqn_core::{Decoding, QNetwork, SequenceInput, SourceBatch};
use dqn_mdp::{ActionId, ActionMask, Seed, Source, SourceId, Sources, TokenId, Trajectory};
use dqn_model::TextQNetwork;
use dqn_text::{Special, Tokenizer, Vocab};
use rand::seq::SliceRandom;

use super::values::{input, matrix, numbers};
use super::{Method, Replacement};
use crate::TrainError;
use crate::experiment::Experiment;

/// Tokens tried in place of an occluded one, where the vocabulary has more.
const N_REPLACEMENTS: usize = 10;

/// Numbers that a pass over several texts may hold at once, roughly: 4 bytes each.
const PASS_NUMBERS: usize = 1 << 23;

/// Numbers that the network is taken to hold for a token.
const NUMBERS_PER_TOKEN: usize = 1 << 10;

/// What is told of a step where another action is allowed.
pub(super) struct Salient {
    /// Its margin.
    pub(super) margin: Option<f32>,
    /// The saliency of each token of its state.
    pub(super) of_text: Option<Vec<f32>>,
    /// That of each token of the source, where it has such and the method tells it.
    pub(super) of_source: Option<Vec<f32>>,
}

/// The margin and the saliency of every step of `episode`.
pub(super) fn of(
    experiment: &Experiment,
    network: &TextQNetwork,
    episode: &Trajectory,
    decoding: Option<Decoding>,
    method: Method,
) -> Result<Vec<Salient>, TrainError> {
    let decoding = decoding.map(|decoding| Decoding { top_k: None, ..decoding });
    let network = network.clone().decoding(decoding);
    let whole = input(experiment, episode, std::slice::from_ref(&episode.tokens), &network.device());
    let values = preferences(&network, episode, &whole);
    let choices: Vec<Option<Choice>> = (0..episode.len()).map(|step| values.choice(episode, 0, step)).collect();
    let saliency = match method {
        Method::Occlusion(replacement) => occlusion(experiment, &network, episode, &choices, replacement),
        Method::Gradient => gradient(experiment, &network, episode, &choices, decoding)?,
        Method::Attention => attention(experiment, &network, episode)?,
    };
    let mut of_source = match method {
        Method::Occlusion(replacement) => source_occlusion(experiment, &network, episode, &choices, replacement),
        Method::Gradient | Method::Attention => None,
    };
    let salient = |(step, (choice, of_text)): (usize, (&Option<Choice>, Vec<f32>))| Salient {
        margin: choice.map(|choice| choice.margin),
        of_text: choice.map(|_| of_text),
        of_source: of_source.as_mut().filter(|_| choice.is_some()).map(|all| std::mem::take(&mut all[step])),
    };
    Ok(choices.iter().zip(saliency).enumerate().map(salient).collect())
}

/// An action taken where others were allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Choice {
    margin: f32,
    /// The best of the other allowed actions.
    rival: ActionId,
}

/// The choice of `taken` among actions of these values; none where no other is allowed.
fn choice(values: &[f32], taken: ActionId, allowed: &ActionMask) -> Option<Choice> {
    let others = allowed.iter(values.len()).filter(|&other| other != taken);
    let rival = others.max_by(|one, other| values[one.index()].total_cmp(&values[other.index()]))?;
    Some(Choice { margin: values[taken.index()] - values[rival.index()], rival })
}

/// Preferences in every state of several texts.
struct Preferences {
    n_steps: usize,
    n_actions: usize,
    values: Vec<f32>,
}

impl Preferences {
    fn choice(&self, episode: &Trajectory, row: usize, step: usize) -> Option<Choice> {
        let values = &self.values[(row * self.n_steps + step) * self.n_actions..][..self.n_actions];
        choice(values, episode.actions[step], &episode.allowed[step])
    }

    /// Adds to the saliency of each step by how much its margin falls where tokens are occluded, a row for each; places that
    /// a step has no saliency of come after its state.
    fn add_falls(
        &self,
        episode: &Trajectory,
        occluded: &[Occluded],
        choices: &[Option<Choice>],
        saliency: &mut [Vec<f32>],
    ) {
        for (row, &Occluded { place, share, .. }) in occluded.iter().enumerate() {
            for (step, (choice, saliency)) in choices.iter().zip(&mut *saliency).enumerate() {
                let Some(of_token) = saliency.get_mut(place) else { continue };
                if let (Some(before), Some(after)) = (choice, self.choice(episode, row, step)) {
                    *of_token += share * (before.margin - after.margin);
                }
            }
        }
    }
}

fn preferences(network: &TextQNetwork, episode: &Trajectory, input: &SequenceInput) -> Preferences {
    let values = numbers(network.q_values(network.features(input)));
    Preferences { n_steps: episode.len(), n_actions: network.n_actions(), values }
}

/// Number of tokens that the network reads before the last decision.
fn n_read(episode: &Trajectory) -> usize {
    episode.decisions.last().map_or(0, |&last| last as usize + 1)
}

/// Saliency by occlusion: for each token of each state the mean fall of the margin when another token stands in its place.
///
/// Networks read from left to right, so one pass over a text with one token replaced answers for all states after it, and
/// many such texts are read together. `<bos>`, with which every text begins, is not replaced.
fn occlusion(
    experiment: &Experiment,
    network: &TextQNetwork,
    episode: &Trajectory,
    choices: &[Option<Choice>],
    replacement: Replacement,
) -> Vec<Vec<f32>> {
    let n_tokens = n_read(episode);
    let occluded = occluded(experiment.vocab(), &episode.tokens[..n_tokens], 1, replacement);
    let mut saliency: Vec<Vec<f32>> = episode.decisions.iter().map(|&last| vec![0.0; last as usize + 1]).collect();
    let per_text = n_tokens * NUMBERS_PER_TOKEN + episode.len() * network.n_actions();
    for chunk in occluded.chunks((PASS_NUMBERS / per_text).max(1)) {
        let texts: Vec<Vec<TokenId>> = chunk.iter().map(|occluded| occluded.of(&episode.tokens)).collect();
        let values = preferences(network, episode, &input(experiment, episode, &texts, &network.device()));
        values.add_falls(episode, chunk, choices, &mut saliency);
    }
    saliency
}

/// [`occlusion`] of the tokens of the source, all of which every state depends on; none where it has no tokens.
fn source_occlusion(
    experiment: &Experiment,
    network: &TextQNetwork,
    episode: &Trajectory,
    choices: &[Option<Choice>],
    replacement: Replacement,
) -> Option<Vec<Vec<f32>>> {
    let (sources, tokenizer) = (experiment.encoder.sources.as_ref()?, experiment.source_tokenizer()?);
    let Source::Tokens(tokens) = sources.get(episode.source?) else { return None };
    let device = network.device();
    let occluded = occluded(tokenizer.vocab(), tokens, 0, replacement);
    let mut saliency = vec![vec![0.0; tokens.len()]; episode.len()];
    let per_text = (tokens.len() + n_read(episode)) * NUMBERS_PER_TOKEN + episode.len() * network.n_actions();
    for chunk in occluded.chunks((PASS_NUMBERS / per_text).max(1)) {
        let others = chunk.iter().map(|occluded| Source::Tokens(occluded.of(tokens))).collect();
        let ids: Vec<SourceId> = (0..chunk.len() as u32).map(SourceId).collect();
        let batch = SourceBatch::of(&Sources::new(sources.kind(), others), &ids);
        let mut input = input(experiment, episode, &vec![episode.tokens.clone(); chunk.len()], &device);
        input.source = Some(batch.upload(&device));
        let values = preferences(network, episode, &input);
        values.add_falls(episode, chunk, choices, &mut saliency);
    }
    Some(saliency)
}

/// Another token in a place of a text.
struct Occluded {
    place: usize,
    token: TokenId,
    /// One over the number of tokens that are tried there.
    share: f32,
}

impl Occluded {
    fn of(&self, tokens: &[TokenId]) -> Vec<TokenId> {
        let mut tokens = tokens.to_vec();
        tokens[self.place] = self.token;
        tokens
    }
}

/// All that is put in place of `tokens`, from the place `first` on.
fn occluded(vocab: &Vocab, tokens: &[TokenId], first: usize, replacement: Replacement) -> Vec<Occluded> {
    let at = |(place, &token): (usize, &TokenId)| {
        let others = replacements(vocab, token, place, replacement);
        let share = 1.0 / others.len() as f32;
        others.into_iter().map(move |token| Occluded { place, token, share })
    };
    tokens.iter().enumerate().skip(first).flat_map(at).collect()
}

/// What is put in place of `token`.
fn replacements(vocab: &Vocab, token: TokenId, place: usize, replacement: Replacement) -> Vec<TokenId> {
    match replacement {
        Replacement::Unknown => vec![Special::Unk.id()],
        Replacement::Vocabulary => {
            let mut others: Vec<TokenId> =
                vocab.iter().map(|(id, _)| id).filter(|&id| id != token && !vocab.is_special(id)).collect();
            if others.len() > N_REPLACEMENTS {
                let mut rng = Seed(place as u64).stream("occlusion");
                let (drawn, _) = others.partial_shuffle(&mut rng, N_REPLACEMENTS);
                return drawn.to_vec();
            }
            if others.is_empty() { vec![Special::Unk.id()] } else { others }
        }
    }
}

/// Saliency by gradient: for each token of each state the length of the gradient of the margin by its vector.
fn gradient(
    experiment: &Experiment,
    network: &TextQNetwork,
    episode: &Trajectory,
    choices: &[Option<Choice>],
    decoding: Option<Decoding>,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let network = experiment.differentiable(network)?.decoding(decoding);
    let device = network.device();
    let n_tokens = n_read(episode);
    let steps: Vec<usize> = (0..episode.len()).collect();
    let mut saliency = Vec::with_capacity(steps.len());
    let per_text = n_tokens * NUMBERS_PER_TOKEN + network.n_actions();
    for chunk in steps.chunks((PASS_NUMBERS / per_text).max(1)) {
        let mut input = input(experiment, episode, &vec![episode.tokens.clone(); chunk.len()], &device);
        let column = |values: Vec<i64>| matrix(values, chunk.len(), &device);
        input.decisions = column(chunk.iter().map(|&step| i64::from(episode.decisions[step])).collect());
        let chosen = column(chunk.iter().map(|&step| i64::from(episode.actions[step].0)).collect());
        // Where there is no rival, the difference of an action and itself has the gradient 0.
        let rival = |&step: &usize| i64::from(choices[step].map_or(episode.actions[step], |choice| choice.rival).0);
        let rivals = column(chunk.iter().map(rival).collect());
        let gradients = network.token_gradients(&input, chosen.squeeze_dim(1), rivals.squeeze_dim(1));
        let [gradient, _] = gradients.ok_or_else(|| TrainError::NotOffered {
            what: "--method gradient".to_owned(),
            why: "this network reads tokens otherwise than by vectors with a gradient of their own; use occlusion"
                .to_owned(),
        })?;
        let lengths = numbers(gradient.powi_scalar(2).sum_dim(2).sqrt());
        for (lengths, &step) in lengths.chunks_exact(n_tokens).zip(chunk) {
            saliency.push(lengths[..=episode.decisions[step] as usize].to_vec());
        }
    }
    Ok(saliency)
}

/// Saliency by attention: attention rollout (Abnar and Zuidema 2020, eq. 1).
///
/// ```text
/// R_0 = I,   R_l = (A_l + I) / 2 R_{l-1}
/// ```
///
/// with `A_l` the attention of block l, averaged over its heads; the identity stands for what passes by the block. Row `t`
/// of the last `R` tells how much of each token arrives at token t. It sums to 1 and says nothing of the action.
fn attention(
    experiment: &Experiment,
    network: &TextQNetwork,
    episode: &Trajectory,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let input = input(experiment, episode, std::slice::from_ref(&episode.tokens), &network.device());
    let blocks = network.attention(&input).ok_or_else(|| TrainError::NotOffered {
        what: "--method attention".to_owned(),
        why: "only Transformers attend; use occlusion or gradient".to_owned(),
    })?;
    let n_tokens = n_read(episode);
    let mut rollout: Vec<f32> =
        (0..n_tokens * n_tokens).map(|cell| f32::from(u8::from(cell / n_tokens == cell % n_tokens))).collect();
    for weights in blocks {
        let weights = numbers(weights.mean_dim(1));
        let row = |(place, weights): (usize, &[f32])| -> Vec<f32> {
            let mut mixed: Vec<f32> = rollout[place * n_tokens..][..n_tokens].to_vec();
            for (below, &weight) in rollout.chunks_exact(n_tokens).zip(weights).take(place + 1) {
                mixed.iter_mut().zip(below).for_each(|(mixed, below)| *mixed += weight * below);
            }
            mixed.iter().map(|mixed| mixed / 2.0).collect()
        };
        rollout = weights.chunks_exact(n_tokens).enumerate().flat_map(row).collect();
    }
    let row = |&last: &u32| rollout[last as usize * n_tokens..][..=last as usize].to_vec();
    Ok(episode.decisions.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_compared_with_the_best_other_allowed_action() {
        let values = [1.0, 5.0, 3.0, 2.0];
        let without_best = ActionMask::all_but(4, &[ActionId(1)]);
        for (taken, allowed, expected) in [
            (1, ActionMask::All, Some((2.0, 2))),
            (0, ActionMask::All, Some((-4.0, 1))),
            (2, without_best.clone(), Some((1.0, 3))),
            // An action that is not allowed can be taken in a text that someone else wrote.
            (1, without_best, Some((2.0, 2))),
            (3, ActionMask::only(4, [ActionId(3)]), None),
        ] {
            let found = choice(&values, ActionId(taken), &allowed);
            let expected = expected.map(|(margin, rival)| Choice { margin, rival: ActionId(rival) });
            assert_eq!(found, expected, "{taken}");
        }
    }
}
