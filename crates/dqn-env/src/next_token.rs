//! Hidden texts that a policy must write from memory, one token at a time.

use std::sync::Arc;

use dqn_mdp::{ActionMask, Environment, MdpError, Outcome, Start, State, Step};
use dqn_text::{ActionId, ActionTable, Special, TokenId};

use crate::{EnvError, start};

/// The task of writing the next token of a hidden text.
///
/// ```text
/// state   <bos>, the prompt, and what was written so far
/// reward  1 when the token is the text's next one, else 0
/// end     after a wrong token, and after the text's last token; both terminate
/// ```
///
/// With several texts and no prompt the first state does not tell which text is meant: the best policy then writes
/// the text most likely to be the one. A prompt that differs from text to text makes each of them learnable.
#[derive(Clone, Debug)]
pub struct NextToken {
    texts: Arc<[Vec<TokenId>]>,
    actions: Arc<ActionTable>,
    n_prompt_tokens: usize,
    episode: Option<Episode>,
}

#[derive(Clone, Copy, Debug)]
struct Episode {
    text: usize,
    position: usize,
}

impl NextToken {
    /// The task for `texts`, given without `<bos>` and `<eos>`, of which nothing is given in the first state.
    ///
    /// # Errors
    /// [`EnvError::NoStarts`] without texts, [`EnvError::TextTooShort`] for an empty text, [`EnvError::ActionLength`]
    /// for an action of several tokens, [`EnvError::Unwritable`] for a text with a token that no action writes.
    pub fn new(texts: Arc<[Vec<TokenId>]>, actions: Arc<ActionTable>) -> Result<Self, EnvError> {
        Self::with_prompt(texts, actions, 0)
    }

    /// The task for `texts` whose first `n_prompt_tokens` tokens stand in the first state.
    ///
    /// # Errors
    /// As [`NextToken::new`]; [`EnvError::TextTooShort`] for a text that the prompt gives away, and only tokens after
    /// the prompt need an action.
    pub fn with_prompt(
        texts: Arc<[Vec<TokenId>]>,
        actions: Arc<ActionTable>,
        n_prompt_tokens: usize,
    ) -> Result<Self, EnvError> {
        if texts.is_empty() {
            return Err(EnvError::NoStarts { what: "texts" });
        }
        if let Some((action, tokens)) = actions.iter().find(|(_, tokens)| tokens.len() != 1) {
            return Err(EnvError::ActionLength { action, n_tokens: tokens.len() });
        }
        for (text, tokens) in texts.iter().enumerate() {
            if tokens.len() <= n_prompt_tokens {
                return Err(EnvError::TextTooShort { text, n_tokens: tokens.len(), n_prompt_tokens });
            }
            for (position, &token) in tokens.iter().enumerate().skip(n_prompt_tokens) {
                if actions.action_of(token).is_none() {
                    return Err(EnvError::Unwritable { text, position, token });
                }
            }
        }
        Ok(Self { texts, actions, n_prompt_tokens, episode: None })
    }
}

impl Environment for NextToken {
    fn actions(&self) -> &ActionTable {
        &self.actions
    }

    fn n_starts(&self) -> usize {
        self.texts.len()
    }

    fn reset(&mut self, start: Start) -> Result<State, MdpError> {
        let text = start::index(start, self.texts.len())?;
        self.episode = Some(Episode { text, position: self.n_prompt_tokens });
        let mut tokens = vec![Special::Bos.id()];
        tokens.extend_from_slice(&self.texts[text][..self.n_prompt_tokens]);
        Ok(State::from(tokens))
    }

    fn step(&mut self, action: ActionId) -> Result<Step, MdpError> {
        let episode = self.episode.as_mut().ok_or(MdpError::EpisodeOver { action })?;
        if action.index() >= self.actions.len() {
            return Err(MdpError::Forbidden { action });
        }
        let text = &self.texts[episode.text];
        let written = self.actions.tokens(action)[0];
        let is_right = written == text[episode.position];
        episode.position += 1;
        let goes_on = is_right && episode.position < text.len();
        if !goes_on {
            self.episode = None;
        }
        Ok(Step {
            reward: if is_right { 1.0 } else { 0.0 },
            observed: vec![written],
            outcome: if goes_on { Outcome::Continues } else { Outcome::Terminated },
        })
    }

    fn allowed(&self) -> ActionMask {
        ActionMask::All
    }
}

#[cfg(test)]
mod tests {
    use dqn_mdp::Seed;

    use super::*;

    fn ids(tokens: &[u32]) -> Vec<TokenId> {
        tokens.iter().copied().map(TokenId).collect()
    }

    /// Action `i` writes token `10 + i`.
    fn ten_actions() -> Arc<ActionTable> {
        Arc::new(ActionTable::of_tokens((10..20).map(TokenId)))
    }

    fn task(texts: &[&[u32]], n_prompt_tokens: usize) -> Result<NextToken, EnvError> {
        NextToken::with_prompt(texts.iter().map(|text| ids(text)).collect(), ten_actions(), n_prompt_tokens)
    }

    /// The rewards and outcomes of `actions` from `start`.
    fn play(task: &mut NextToken, start: Start, actions: &[u32]) -> Vec<(f32, Vec<TokenId>, Outcome)> {
        task.reset(start).unwrap();
        let steps = actions.iter().map(|&action| task.step(ActionId(action)).unwrap());
        steps.map(|step| (step.reward, step.observed, step.outcome)).collect()
    }

    #[test]
    fn each_right_token_earns_one_and_the_last_terminates() {
        let mut hello = task(&[&[10, 11, 12, 11]], 0).unwrap();
        assert_eq!(hello.reset(Start::Indexed(0)).unwrap().tokens, ids(&[2]));
        assert_eq!(
            play(&mut hello, Start::Indexed(0), &[0, 1, 2, 1]),
            [
                (1.0, ids(&[10]), Outcome::Continues),
                (1.0, ids(&[11]), Outcome::Continues),
                (1.0, ids(&[12]), Outcome::Continues),
                (1.0, ids(&[11]), Outcome::Terminated),
            ]
        );
        assert!(matches!(hello.step(ActionId(0)), Err(MdpError::EpisodeOver { action: ActionId(0) })));
    }

    #[test]
    fn a_wrong_token_is_observed_earns_nothing_and_terminates() {
        let mut hello = task(&[&[10, 11, 12, 11]], 0).unwrap();
        assert_eq!(
            play(&mut hello, Start::Indexed(0), &[0, 2]),
            [(1.0, ids(&[10]), Outcome::Continues), (0.0, ids(&[12]), Outcome::Terminated)]
        );
        assert!(hello.step(ActionId(2)).is_err());
        assert!(hello.reset(Start::Indexed(0)).is_ok(), "a new episode can begin");
    }

    #[test]
    fn the_prompt_tells_the_texts_apart() {
        let mut two = task(&[&[10, 11, 12], &[13, 14]], 1).unwrap();
        assert_eq!(two.n_starts(), 2);
        assert_eq!(two.reset(Start::Indexed(1)).unwrap().tokens, ids(&[2, 13]));
        assert_eq!(play(&mut two, Start::Indexed(1), &[4]), [(1.0, ids(&[14]), Outcome::Terminated)]);
        assert_eq!(play(&mut two, Start::Indexed(0), &[4]), [(0.0, ids(&[14]), Outcome::Terminated)]);
        let drawn: Vec<_> = (0..20).map(|seed| two.reset(Start::Drawn(Seed(seed))).unwrap()).collect();
        let again: Vec<_> = (0..20).map(|seed| two.reset(Start::Drawn(Seed(seed))).unwrap()).collect();
        assert_eq!(drawn, again);
        assert!(drawn.iter().any(|state| state != &drawn[0]), "both texts are drawn");
        let error = two.reset(Start::Indexed(2)).unwrap_err();
        assert_eq!(error.to_string(), "start 2 does not exist; the environment has 2 starts, counted from 0");
    }

    #[test]
    fn texts_that_cannot_be_written_are_refused() {
        let message = |texts: &[&[u32]], n_prompt| task(texts, n_prompt).unwrap_err().to_string();
        assert_eq!(message(&[], 0), "the environment has no texts; at least one is needed");
        assert_eq!(
            message(&[&[10, 11], &[10]], 1),
            "text 1 has 1 tokens; with n_prompt_tokens = 1 it needs at least one more"
        );
        assert_eq!(message(&[&[10, 1]], 0), "token 1 of text 0 is id 1, which no action writes");
        assert!(task(&[&[1, 10]], 1).is_ok(), "the prompt may hold what no action writes");
        let phrases = Arc::new(ActionTable::new(vec![ids(&[10]), ids(&[10, 11])]));
        let error = NextToken::new(vec![ids(&[10])].into(), phrases).unwrap_err();
        assert_eq!(error.to_string(), "action 1 writes 2 tokens; every action of a next-token task writes exactly one");
    }
}
