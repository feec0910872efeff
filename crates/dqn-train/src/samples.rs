//! Texts written during a run, with what the network made of every decision in them.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use dqn_core::{BatchBuilder, Policy, QNetwork, Window};
use dqn_mdp::Trajectory;
use dqn_model::TextQNetwork;
use serde::{Deserialize, Serialize};

use crate::experiment::Experiment;

/// Most decisions of a text that are valued; a longer one is logged whole, its rest without values.
pub const MOST_VALUED_STEPS: usize = 300;

/// A text written during a run, as the log of samples holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoggedSample {
    /// Parameter updates so far.
    pub update: u64,
    /// How the text begins.
    pub prompt: String,
    /// All of it.
    pub text: String,
    /// Its return.
    pub episode_return: f32,
    /// What advantages are differences from; absent where the network learns no values, and in runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advantage_over: Option<Reference>,
    /// The text in pieces, which make it when put together; empty where there is no [`LoggedSample::advantage_over`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Piece>,
}

/// Which actions the value of a state is the mean of.
///
/// A greedy policy takes the action of highest value: the difference from the highest value would be 0 everywhere. The
/// mean over what else could have been written tells by how much a choice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// All allowed actions alike, the baseline of dueling heads (Wang et al. 2016, eq. 9).
    Uniform,
    /// The allowed actions as the prior weighs them, where the policy acts by a prior.
    Prior,
}

/// A stretch of a text: what one action wrote, or what was given or answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// How it reads; empty for an action that writes nothing, such as the end.
    pub text: String,
    /// Value of the action, in units of scaled rewards; absent for what no action wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<f32>,
    /// That value less the mean over [`LoggedSample::advantage_over`] in the same state; absent likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advantage: Option<f32>,
}

/// What the log holds of `episode`, which `network` wrote under `policy` after `update` updates.
///
/// This is one pass of the network over the text. The values that it was written by would not do: under a decoding they
/// are preferences, in which the policy of the data has its part.
pub fn logged(
    experiment: &Experiment,
    network: &TextQNetwork,
    policy: Policy,
    episode: &Trajectory,
    update: u64,
) -> LoggedSample {
    let values = values(experiment, network, policy, episode);
    LoggedSample {
        update,
        prompt: experiment.shown_start(episode),
        text: experiment.render(&episode.tokens),
        episode_return: episode.episode_return(),
        advantage_over: values.as_ref().map(|(reference, _)| *reference),
        pieces: values.map_or_else(Vec::new, |(_, values)| pieces(experiment, episode, &values)),
    }
}

/// Value and advantage of the first actions of an episode; nothing where the network learns no values or none was taken.
///
/// ```text
/// A(s, a) = Q(s, a) - sum_b w(b) Q(s, b),   w(b) = prior(b) / sum_c prior(c), or 1 / n without a prior
/// ```
///
/// with the sums over the allowed actions, and the less of both values where the network has two.
fn values(
    experiment: &Experiment,
    network: &TextQNetwork,
    policy: Policy,
    episode: &Trajectory,
) -> Option<(Reference, Vec<[f32; 2]>)> {
    let is_values = experiment.config.learner.objective.knows_values();
    if !is_values || episode.is_empty() {
        return None;
    }
    let prior = experiment.acting_prior(policy);
    let n_steps = episode.len().min(MOST_VALUED_STEPS);
    // The text from its beginning, as it was read when it was written.
    let builder = BatchBuilder { context_tokens: 0, ..experiment.batch_builder() };
    let batch = builder.build(&[Window { trajectory: episode, start: 0, len: n_steps }], prior);
    let batch = batch.upload(&network.device());
    let plain = network.clone().decoding(None);
    let features = plain.features(&batch.input);
    let q = match plain.companions().has_second {
        true => plain.q_values(features.clone()).min_pair(plain.second_q_values(features)),
        false => plain.q_values(features),
    };
    let biases = [&batch.log_prior, &batch.mask].into_iter().flatten();
    let weights = softmax(biases.fold(q.zeros_like(), |sum, bias| sum + bias.clone()), 2);
    let mean = (weights * q.clone()).sum_dim(2).narrow(1, 0, n_steps);
    let taken = q.narrow(1, 0, n_steps).gather(2, batch.actions.unsqueeze_dim::<3>(2));
    let both: Tensor<3> = Tensor::cat(vec![taken.clone(), taken - mean], 2);
    let both: Vec<f32> = both.into_data().convert::<f32>().try_to_vec().expect("values are 32-bit floats");
    let reference = if prior.is_some() { Reference::Prior } else { Reference::Uniform };
    Some((reference, both.as_chunks().0.to_vec()))
}

/// The text of an episode in pieces, the first of its actions with their values.
fn pieces(experiment: &Experiment, episode: &Trajectory, values: &[[f32; 2]]) -> Vec<Piece> {
    let (mut pieces, mut text) = (Vec::new(), String::new());
    let mut add = |end: usize, values: Option<[f32; 2]>| {
        append(&mut pieces, &mut text, experiment.render(&episode.tokens[..end]), values);
    };
    add(episode.n_start_tokens, None);
    for (step, &of_step) in values.iter().enumerate() {
        let [begin, next] = [step, step + 1].map(|step| after_decision(episode, step));
        let end = (begin + experiment.actions.tokens(episode.actions[step]).len()).min(next);
        add(end, Some(of_step));
        if end < next {
            add(next, None);
        }
    }
    if after_decision(episode, values.len()) < episode.tokens.len() {
        add(episode.tokens.len(), None);
    }
    pieces.retain(|piece: &Piece| !piece.text.is_empty() || piece.q.is_some());
    pieces
}

/// Index of the first token that the action of a step writes; the length of the text after the last step.
fn after_decision(episode: &Trajectory, step: usize) -> usize {
    episode.decisions.get(step).map_or(episode.tokens.len(), |&last| last as usize + 1)
}

/// Adds what `whole` has more than `text` as a piece, and makes `text` the whole.
///
/// Tokens that are parts of a character read otherwise once it is complete: what changed is taken from the pieces before.
fn append(pieces: &mut Vec<Piece>, text: &mut String, whole: String, values: Option<[f32; 2]>) {
    let same = text.chars().zip(whole.chars()).take_while(|(one, other)| one == other);
    let n_same: usize = same.map(|(letter, _)| letter.len_utf8()).sum();
    let mut n_changed = text.len() - n_same;
    for piece in pieces.iter_mut().rev() {
        let n_cut = n_changed.min(piece.text.len());
        piece.text.truncate(piece.text.len() - n_cut);
        n_changed -= n_cut;
    }
    let finite = |index: usize| values.map(|values| values[index]).filter(|value| value.is_finite());
    pieces.push(Piece { text: whole[n_same..].to_owned(), q: finite(0), advantage: finite(1) });
    *text = whole;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_text_even_where_a_character_is_written_in_parts() {
        let (mut pieces, mut text) = (Vec::new(), String::new());
        let wholes = ["a", "a\u{fffd}", "a\u{fffd}\u{fffd}", "a春", "a春", "a春 b"];
        for (index, whole) in wholes.into_iter().enumerate() {
            append(&mut pieces, &mut text, whole.to_owned(), (index > 0).then_some([index as f32, f32::NAN]));
            assert_eq!(pieces.iter().map(|piece| piece.text.as_str()).collect::<String>(), whole);
        }
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(texts, ["a", "", "", "春", "", " b"]);
        assert_eq!((pieces[0].q, pieces[3].q, pieces[3].advantage), (None, Some(3.0), None));
    }

    #[test]
    fn samples_of_earlier_versions_are_read() {
        let line = r#"{"update":2,"prompt":"a","text":"ab","episode_return":0.5}"#;
        let sample: LoggedSample = serde_json::from_str(line).unwrap();
        assert_eq!((sample.advantage_over, sample.pieces.len()), (None, 0));
        assert_eq!(serde_json::to_string(&sample).unwrap(), line);
    }
}
