//! Where in its line a token stands, as a feature of the state.
//!
//! A recurrent network can learn to count, but slowly: without these features the form of verse is not learned within
//! the budget of the default experiment. They are a function of the tokens alone, so they add nothing to the state.

use dqn_text::TokenId;
use serde::{Deserialize, Serialize};

/// Gives every prefix of a text a small id that describes the place of its last token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PositionEncoder {
    /// No features: every place has the id 0.
    None,
    /// The text falls into clauses divided by delimiter tokens. The id tells the index of the clause, the number of
    /// tokens written in it, and the length of the first clause, each clipped at a maximum.
    Clauses {
        /// Tokens that end a clause.
        delimiters: Vec<TokenId>,
        /// Largest index of a clause that is told apart.
        max_clauses: u32,
        /// Largest number of tokens in a clause that is told apart.
        max_length: u32,
    },
    /// The id is the number of tokens since `<bos>`, `<bos>` included, modulo a period: for texts made of rows of so many
    /// tokens.
    Cycle {
        /// Tokens of a row.
        period_tokens: u32,
    },
}

impl PositionEncoder {
    /// The tokens that end a clause, where clauses are told apart.
    pub fn delimiters(&self) -> &[TokenId] {
        match self {
            PositionEncoder::Clauses { delimiters, .. } => delimiters,
            PositionEncoder::None | PositionEncoder::Cycle { .. } => &[],
        }
    }
}

/// The place reached in one text; feeds on one token at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    n_tokens: u32,
    clause: u32,
    length: u32,
    first_length: u32,
}

impl PositionEncoder {
    /// Number of distinct ids.
    pub fn n_ids(&self) -> usize {
        match *self {
            PositionEncoder::None => 1,
            PositionEncoder::Cycle { period_tokens } => period_tokens as usize,
            PositionEncoder::Clauses { max_clauses, max_length, .. } => {
                let lengths = max_length as usize + 1;
                (max_clauses as usize + 1) * lengths * lengths
            }
        }
    }

    /// Moves `position` past `token` and returns the id of the new place.
    ///
    /// The first token of a text is `<bos>` and counts for nothing.
    pub fn push(&self, position: &mut Position, token: TokenId) -> u32 {
        let (delimiters, max_clauses, max_length) = match self {
            PositionEncoder::None => return 0,
            PositionEncoder::Cycle { period_tokens } => {
                let id = position.n_tokens % period_tokens;
                position.n_tokens += 1;
                return id;
            }
            PositionEncoder::Clauses { delimiters, max_clauses, max_length } => (delimiters, max_clauses, max_length),
        };
        if position.n_tokens > 0 {
            if delimiters.contains(&token) {
                if position.clause == 0 {
                    position.first_length = position.length;
                }
                position.clause += 1;
                position.length = 0;
            } else {
                position.length += 1;
            }
        }
        position.n_tokens += 1;
        let [clause, length, first] = [
            position.clause.min(*max_clauses),
            position.length.min(*max_length),
            position.first_length.min(*max_length),
        ];
        (clause * (max_length + 1) + length) * (max_length + 1) + first
    }

    /// The id of every prefix of `tokens`, one for each token.
    pub fn ids(&self, tokens: &[TokenId]) -> Vec<u32> {
        let mut position = Position::default();
        tokens.iter().map(|&token| self.push(&mut position, token)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_clause_length_and_first_length() {
        let comma = TokenId(9);
        let encoder = PositionEncoder::Clauses { delimiters: vec![comma], max_clauses: 2, max_length: 3 };
        let text = [2, 5, 6, 9, 7, 8, 8, 8, 8, 9, 9].map(TokenId);
        // (clause, length, first length), each clipped: clauses at 2, lengths at 3.
        let places = [
            (0, 0, 0),
            (0, 1, 0),
            (0, 2, 0),
            (1, 0, 2),
            (1, 1, 2),
            (1, 2, 2),
            (1, 3, 2),
            (1, 3, 2),
            (1, 3, 2),
            (2, 0, 2),
            (2, 0, 2),
        ];
        let expected: Vec<u32> =
            places.iter().map(|(clause, length, first)| (clause * 4 + length) * 4 + first).collect();
        assert_eq!(encoder.ids(&text), expected);
        assert!(expected.iter().all(|&id| (id as usize) < encoder.n_ids()));
        assert_eq!(PositionEncoder::None.ids(&text), [0; 11]);
    }

    #[test]
    fn a_cycle_counts_tokens_modulo_its_period() {
        let encoder = PositionEncoder::Cycle { period_tokens: 3 };
        assert_eq!(encoder.ids(&[2, 9, 9, 5, 7, 8, 4].map(TokenId)), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(encoder.n_ids(), 3);
    }
}
