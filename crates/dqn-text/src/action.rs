//! Actions: what a policy may write in one decision.

use serde::{Deserialize, Serialize};

use crate::{Special, TokenId, Vocab};

/// Index of an action in its [`ActionTable`], dense from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionId(pub u32);

impl ActionId {
    /// The id as an index into arrays over the actions.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The actions of a task and the tokens each of them writes.
///
/// An action may write one token or several (a word, a phrase, a sentence).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionTable {
    tokens: Vec<Vec<TokenId>>,
}

impl ActionTable {
    /// A table in which action `i` writes `tokens[i]`.
    ///
    /// # Panics
    /// When the table is empty or an action writes nothing.
    pub fn new(tokens: Vec<Vec<TokenId>>) -> Self {
        assert!(!tokens.is_empty(), "an action table needs at least one action");
        assert!(tokens.iter().all(|written| !written.is_empty()), "every action writes at least one token");
        Self { tokens }
    }

    /// One action for each token that may be written: all but `<pad>`, `<unk>` and `<bos>`.
    ///
    /// Action 0 is `<eos>`; action `i` writes token `i + 3`.
    pub fn of_vocab(vocab: &Vocab) -> Self {
        let writable = |id: &TokenId| ![Special::Pad.id(), Special::Unk.id(), Special::Bos.id()].contains(id);
        Self::of_tokens(vocab.iter().map(|(id, _)| id).filter(writable))
    }

    /// One action for each of `tokens`, in their order.
    ///
    /// # Panics
    /// When `tokens` is empty.
    pub fn of_tokens(tokens: impl IntoIterator<Item = TokenId>) -> Self {
        Self::new(tokens.into_iter().map(|token| vec![token]).collect())
    }

    /// Number of actions.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// False: a table has at least one action.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens that `action` writes.
    ///
    /// # Panics
    /// When `action` is not of this table.
    pub fn tokens(&self, action: ActionId) -> &[TokenId] {
        &self.tokens[action.index()]
    }

    /// The action that writes exactly `token`, if there is one.
    pub fn action_of(&self, token: TokenId) -> Option<ActionId> {
        let of_vocab = token.index().checked_sub(Special::Eos.id().index());
        let likely = of_vocab.filter(|&index| self.tokens.get(index).is_some_and(|written| written == &[token]));
        likely
            .or_else(|| self.tokens.iter().position(|written| written == &[token]))
            .map(|index| ActionId(index as u32))
    }

    /// All actions with the tokens they write, in order.
    pub fn iter(&self) -> impl Iterator<Item = (ActionId, &[TokenId])> {
        (0..).map(ActionId).zip(self.tokens.iter().map(Vec::as_slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vocabulary_table_writes_everything_but_pad_unk_and_bos() {
        let vocab = Vocab::new(["a".to_owned(), "b".to_owned()]).unwrap();
        let table = ActionTable::of_vocab(&vocab);
        let written: Vec<_> = table.iter().map(|(_, tokens)| vocab.token(tokens[0])).collect();
        assert_eq!(written, ["<eos>", "a", "b"]);
        for (action, tokens) in table.iter() {
            assert_eq!(table.action_of(tokens[0]), Some(action));
        }
        assert_eq!(table.action_of(Special::Unk.id()), None);
    }
}
