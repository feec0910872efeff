//! Actions: what a policy may write in one decision.

use std::collections::{HashMap, HashSet};

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

    /// This table with an action more for each of `more` that no action writes yet.
    ///
    /// # Panics
    /// When one of `more` writes nothing.
    pub fn with(mut self, more: impl IntoIterator<Item = Vec<TokenId>>) -> Self {
        let mut known: HashSet<Vec<TokenId>> = self.tokens.iter().cloned().collect();
        self.tokens.extend(more.into_iter().filter(|tokens| known.insert(tokens.clone())));
        Self::new(self.tokens)
    }

    /// Number of tokens that the longest action writes.
    pub fn longest(&self) -> usize {
        self.tokens.iter().map(Vec::len).max().unwrap_or(0)
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

/// Divides texts into actions.
#[derive(Clone, Debug)]
pub struct Segmenter<'a> {
    actions: HashMap<&'a [TokenId], ActionId>,
    longest: usize,
}

impl<'a> Segmenter<'a> {
    /// A segmenter into the actions of `table`; of actions that write the same, the first is meant.
    pub fn new(table: &'a ActionTable) -> Self {
        let mut actions = HashMap::with_capacity(table.len());
        table.iter().for_each(|(action, tokens)| {
            actions.entry(tokens).or_insert(action);
        });
        Self { actions, longest: table.longest() }
    }

    /// The actions that write `text`: from left to right always the longest that fits (greedy longest match).
    ///
    /// `None` where no action fits what is left. Where short actions are missing this may happen although another
    /// division exists; a table that holds every single token of the text divides it always.
    pub fn segment(&self, text: &[TokenId]) -> Option<Vec<ActionId>> {
        let mut actions = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let longest = self.longest.min(rest.len());
            let (length, action) =
                (1..=longest).rev().find_map(|length| Some((length, *self.actions.get(&rest[..length])?)))?;
            actions.push(action);
            rest = &rest[length..];
        }
        Some(actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(tokens: &[u32]) -> Vec<TokenId> {
        tokens.iter().copied().map(TokenId).collect()
    }

    #[test]
    fn texts_are_divided_by_the_longest_match() {
        // Actions 0 to 5; the last writes what the second does.
        let table =
            ActionTable::new(vec![ids(&[4]), ids(&[5]), ids(&[4, 5]), ids(&[4, 5, 6]), ids(&[6, 4]), ids(&[5])]);
        let segmenter = Segmenter::new(&table);
        let check = |text: &[u32], expected: Option<&[u32]>| {
            let expected = expected.map(|actions| actions.iter().copied().map(ActionId).collect::<Vec<_>>());
            assert_eq!(segmenter.segment(&ids(text)), expected, "{text:?}");
        };
        check(&[], Some(&[]));
        check(&[4, 5, 6, 5, 4], Some(&[3, 1, 0]));
        check(&[4, 5, 4, 4, 5], Some(&[2, 0, 2]));
        // 4 5 | 6 4 would do, but the longest match is 4 5 6, and then 4.
        check(&[4, 5, 6, 4], Some(&[3, 0]));
        // After 4 5 6 nothing writes 6; 4 5 | 6 4 was never possible.
        check(&[4, 5, 6, 6], None);
        check(&[7], None);
        assert_eq!(table.longest(), 3);
    }

    #[test]
    fn actions_are_added_once() {
        let table = ActionTable::of_tokens([TokenId(3), TokenId(4)]);
        let more = table.with([ids(&[4, 4]), ids(&[3]), ids(&[4, 4]), ids(&[5])]);
        assert_eq!(more, ActionTable::new(vec![ids(&[3]), ids(&[4]), ids(&[4, 4]), ids(&[5])]));
    }

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
