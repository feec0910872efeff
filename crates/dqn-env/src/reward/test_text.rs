//! Text for the tests of the terms.

use dqn_mdp::{ActionId, ActionMask, Outcome, State, Step, Trajectory};
use dqn_text::{Special, TextError, TokenId, Tokenizer, Vocab};

/// One character a token; `。` ends a text.
#[derive(Clone, Debug)]
pub(super) struct Characters {
    vocab: Vocab,
}

impl Characters {
    /// The tokenizer whose vocabulary is the characters of `known`.
    pub(super) fn new(known: &str) -> Self {
        Self { vocab: Vocab::new(known.chars().map(String::from)).expect("the words of the tests are distinct") }
    }

    /// The tokens of `text`, `。` read as `<eos>`.
    pub(super) fn ids(&self, text: &str) -> Vec<TokenId> {
        let id = |token: char| match token {
            '。' => Special::Eos.id(),
            token => self.vocab.id(&token.to_string()).unwrap_or(Special::Unk.id()),
        };
        text.chars().map(id).collect()
    }

    /// The episode in which `written` was written after `prompt`, one token a step.
    pub(super) fn episode(&self, prompt: &str, written: &str) -> Trajectory {
        let start: Vec<TokenId> = [Special::Bos.id()].into_iter().chain(self.ids(prompt)).collect();
        let written = self.ids(written);
        let outcome = if written.ends_with(&[Special::Eos.id()]) { Outcome::Terminated } else { Outcome::Truncated };
        episode_of(&start, &written.chunks(1).collect::<Vec<_>>(), outcome)
    }
}

impl Tokenizer for Characters {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        let id = |token: char| self.vocab.id(&token.to_string()).unwrap_or(Special::Unk.id());
        Ok(text.chars().map(id).collect())
    }

    fn decode(&self, ids: &[TokenId]) -> String {
        ids.iter().filter(|&&id| !self.vocab.is_special(id)).map(|&id| self.vocab.token(id)).collect()
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }
}

/// The episode that begins with `start` and of whose steps each wrote one of `steps`.
pub(super) fn episode_of(start: &[TokenId], steps: &[&[TokenId]], outcome: Outcome) -> Trajectory {
    let mut episode = Trajectory::begin(State::from(start.to_vec()), ActionMask::All);
    for (index, written) in steps.iter().enumerate() {
        let outcome = if index + 1 == steps.len() { outcome } else { Outcome::Continues };
        let step = Step { reward: 0.0, observed: written.to_vec(), outcome };
        episode.push(ActionId(0), &step, ActionMask::All);
    }
    episode
}
