//! At which steps of an episode a term gives what it has to give.

use std::iter;

use dqn_mdp::{TermReward, Trajectory};
use dqn_text::{Special, TokenId, Tokenizer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a term that judges each token gives its reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenWhen {
    /// With each step, for the tokens it wrote.
    #[default]
    Step,
    /// With the last step, for the whole text.
    End,
}

/// When a term that judges a whole text gives its reward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextWhen {
    /// With the last step.
    #[default]
    End,
    /// With each step the change it made, so that the sum over the episode is the score of the text at its end minus
    /// that of the prompt.
    Difference,
}

/// For each step of `episode`, how long the text was after it.
fn lengths_after_steps(episode: &Trajectory) -> impl Iterator<Item = usize> {
    let next_states = episode.decisions.iter().skip(1).map(|&decision| decision as usize + 1);
    next_states.chain(iter::once(episode.tokens.len())).take(episode.len())
}

/// A reward of 0 for each step but the last, which gets `value`.
pub(super) fn at_end(episode: &Trajectory, value: f64) -> TermReward {
    let mut steps = vec![0.0; episode.len()];
    if let Some(last) = steps.last_mut() {
        *last = value as f32;
    }
    TermReward { steps }
}

/// For each step the sum of `values` over the tokens it wrote; there is one value for each written token.
pub(super) fn with_steps(episode: &Trajectory, values: &[f64]) -> TermReward {
    let mut begin = 0;
    let steps = lengths_after_steps(episode).map(|length| {
        let end = length - episode.n_start_tokens;
        let sum: f64 = values[begin..end].iter().sum();
        begin = end;
        sum as f32
    });
    TermReward { steps: steps.collect() }
}

/// How long the beginnings of the text are that a term must value to give its rewards as `when` says.
pub(super) fn valued_lengths(when: TextWhen, episode: &Trajectory) -> Vec<usize> {
    match when {
        _ if episode.is_empty() => Vec::new(),
        TextWhen::End => vec![episode.tokens.len()],
        TextWhen::Difference => iter::once(episode.n_start_tokens).chain(lengths_after_steps(episode)).collect(),
    }
}

/// What a term gives that values the beginnings of [`valued_lengths`] so.
pub(super) fn of_values(when: TextWhen, episode: &Trajectory, values: &[f64]) -> TermReward {
    match when {
        TextWhen::End => at_end(episode, values.last().copied().unwrap_or(0.0)),
        TextWhen::Difference => {
            TermReward { steps: values.windows(2).map(|values| (values[1] - values[0]) as f32).collect() }
        }
    }
}

/// What a term gives that values a text, told apart in `when`, as `score` does for every beginning of the text.
pub(super) fn by_score(when: TextWhen, episode: &Trajectory, score: impl Fn(&[TokenId]) -> f64) -> TermReward {
    let values: Vec<f64> =
        valued_lengths(when, episode).into_iter().map(|length| score(&episode.tokens[..length])).collect();
    of_values(when, episode, &values)
}

/// [`by_score`] of a term that values what was written as a string.
pub(super) fn by_text(
    when: TextWhen,
    episode: &Trajectory,
    tokenizer: &dyn Tokenizer,
    score: impl Fn(&str) -> f64,
) -> TermReward {
    by_score(when, episode, |text| score(&written(episode, text.len(), tokenizer)))
}

/// What was written in the first `length` tokens of an episode, as it reads after its prompt.
pub(super) fn written(episode: &Trajectory, length: usize, tokenizer: &dyn Tokenizer) -> String {
    let tokens = &episode.tokens[episode.n_start_tokens..length];
    // The start has <bos>: with nothing else in it, what is written begins the text.
    if episode.n_start_tokens > 1 { tokenizer.decode_after(tokens) } else { tokenizer.decode(tokens) }
}

/// The mean of `values`, 0 where there are none.
pub(super) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// `tokens` without the `<eos>` at their end.
pub(super) fn without_eos(tokens: &[TokenId]) -> &[TokenId] {
    tokens.strip_suffix(&[Special::Eos.id()]).unwrap_or(tokens)
}

#[cfg(test)]
mod tests {
    use dqn_mdp::Outcome;
    use proptest::prelude::*;

    use super::*;
    use crate::reward::test_text::episode_of;

    fn ids(tokens: &[u32]) -> Vec<TokenId> {
        tokens.iter().copied().map(TokenId).collect()
    }

    #[test]
    fn steps_of_several_tokens_get_the_sum_over_their_tokens() {
        let episode = episode_of(&ids(&[2, 4]), &[&ids(&[5]), &ids(&[6, 7, 8]), &ids(&[9, 3])], Outcome::Terminated);
        let values = [1.0, 2.0, 3.0, 4.0, -5.0, 0.5];
        assert_eq!(with_steps(&episode, &values).steps, [1.0, 9.0, -4.5]);
        assert_eq!(at_end(&episode, 7.0).steps, [0.0, 0.0, 7.0]);
        // The length of the text: 2 in the beginning, then 3, 6 and 8.
        let length = |text: &[TokenId]| text.len() as f64;
        assert_eq!(by_score(TextWhen::Difference, &episode, length).steps, [1.0, 3.0, 2.0]);
        assert_eq!(by_score(TextWhen::End, &episode, length).steps, [0.0, 0.0, 8.0]);
    }

    #[test]
    fn an_episode_without_steps_gets_nothing() {
        let episode = episode_of(&ids(&[2, 4]), &[], Outcome::Continues);
        assert!(with_steps(&episode, &[]).steps.is_empty());
        assert!(at_end(&episode, 1.0).steps.is_empty());
        assert!(by_score(TextWhen::Difference, &episode, |text| text.len() as f64).steps.is_empty());
        assert_eq!(mean(&[]), 0.0);
    }

    proptest! {
        #[test]
        fn differences_sum_to_the_final_score_minus_the_first(
            prompt in prop::collection::vec(4_u32..20, 0..4),
            written in prop::collection::vec(prop::collection::vec(4_u32..20, 1..4), 1..12),
        ) {
            let start: Vec<u32> = [2].into_iter().chain(prompt).collect();
            let written: Vec<Vec<TokenId>> = written.iter().map(|tokens| ids(tokens)).collect();
            let steps: Vec<&[TokenId]> = written.iter().map(Vec::as_slice).collect();
            let episode = episode_of(&ids(&start), &steps, Outcome::Truncated);
            let score = |text: &[TokenId]| text.iter().map(|token| f64::from(token.0).sin()).product::<f64>();
            let given = by_score(TextWhen::Difference, &episode, score).steps;
            prop_assert_eq!(given.len(), episode.len());
            let sum: f64 = given.into_iter().map(f64::from).sum();
            let expected = score(&episode.tokens) - score(episode.start());
            prop_assert!((sum - expected).abs() < 1e-5, "{} is not {}", sum, expected);
        }
    }
}
