//! The best ways to go on with a text, where it is known what it should have said.

use std::collections::HashMap;
use std::sync::Arc;

use dqn_mdp::{ActionId, ActionTable, Prompt, TokenId, Trajectory};

/// The optimal actions of every state of a text under the edit distance to its references.
///
/// The return of a text is minus its edit distance, in tokens, to the nearest reference. After a prefix no completion can
/// do better than the least distance `m` of the prefix to a beginning of a reference, and one that goes on with the rest of
/// that reference does as well:
///
/// ```text
/// m = min_i d(prefix, reference[..i])       Q*(prefix, a) = -m      where a = reference[i] for an i with that distance
///                                                         = -m - 1  for another token
/// ```
///
/// The end of the text counts as the last token of every reference. Source: Sabour et al. 2019, optimal Q-values.
#[derive(Clone, Debug)]
pub struct Completions {
    references: Arc<HashMap<Prompt, Vec<Vec<TokenId>>>>,
    action_of: HashMap<TokenId, ActionId>,
    end: TokenId,
}

impl Completions {
    /// The completions towards `references`, what should follow each prompt, that end with `end`.
    pub fn new(references: Arc<HashMap<Prompt, Vec<Vec<TokenId>>>>, actions: &ActionTable, end: TokenId) -> Self {
        let of_one = |(action, tokens): (ActionId, &[TokenId])| match tokens {
            &[token] => Some((token, action)),
            _ => None,
        };
        Self { references, action_of: actions.iter().filter_map(of_one).collect(), end }
    }

    /// The optimal actions of each step of an episode, in ascending order.
    ///
    /// None where only a token that no action writes would be optimal, or where the episode's prompt has no reference.
    pub fn best_actions(&self, episode: &Trajectory) -> Vec<Vec<ActionId>> {
        let references = self.references.get(&episode.prompt()).map_or(&[][..], Vec::as_slice);
        let mut rows: Vec<Vec<u32>> =
            references.iter().map(|reference| (0..=reference.len() as u32).collect()).collect();
        let mut n_read = episode.n_start_tokens;
        let best = |&decision: &u32| {
            let n_written = decision as usize + 1;
            for &token in &episode.tokens[n_read..n_written] {
                references.iter().zip(&mut rows).for_each(|(reference, row)| read(reference, row, token));
            }
            n_read = n_written;
            self.of_rows(references, &rows)
        };
        episode.decisions.iter().map(best).collect()
    }

    fn of_rows(&self, references: &[Vec<TokenId>], rows: &[Vec<u32>]) -> Vec<ActionId> {
        let least = rows.iter().flatten().min();
        let of_reference = |(reference, row): (&Vec<TokenId>, &Vec<u32>)| {
            let next = reference.iter().copied().chain([self.end]);
            let best = next.zip(row.clone()).filter(|(_, distance)| Some(distance) == least);
            best.filter_map(|(token, _)| self.action_of.get(&token).copied()).collect::<Vec<_>>()
        };
        let mut actions: Vec<ActionId> = references.iter().zip(rows).flat_map(of_reference).collect();
        actions.sort();
        actions.dedup();
        actions
    }
}

/// Turns the distances of a prefix to every beginning of `reference` into those of the prefix with `token` after it.
fn read(reference: &[TokenId], row: &mut [u32], token: TokenId) {
    let mut diagonal = row[0];
    row[0] += 1;
    for (index, &expected) in reference.iter().enumerate() {
        let above = row[index + 1];
        let replaced = diagonal + u32::from(expected != token);
        row[index + 1] = replaced.min(above + 1).min(row[index] + 1);
        diagonal = above;
    }
}

#[cfg(test)]
mod tests {
    use dqn_mdp::{ActionMask, Outcome, SourceId, State, Step};
    use proptest::prelude::*;

    use super::*;

    const END: TokenId = TokenId(9);

    fn tokens(text: &[u32]) -> Vec<TokenId> {
        text.iter().copied().map(TokenId).collect()
    }

    /// The completions towards `references`, of actions 0 to 9 that write the tokens of these numbers.
    fn completions(references: &[&[u32]]) -> Completions {
        let references = references.iter().map(|reference| tokens(reference)).collect();
        let prompts = HashMap::from([(Prompt::from(SourceId(3)), references)]);
        Completions::new(Arc::new(prompts), &ActionTable::of_tokens((0..10).map(TokenId)), END)
    }

    fn episode(written: &[u32]) -> Trajectory {
        let start = State { source: Some(SourceId(3)), ..State::from(tokens(&[2])) };
        let mut episode = Trajectory::begin(start, ActionMask::All);
        for (index, &token) in written.iter().enumerate() {
            let outcome = if index + 1 == written.len() { Outcome::Truncated } else { Outcome::Continues };
            let step = Step { reward: 0.0, observed: vec![TokenId(token)], outcome };
            episode.push(ActionId(token), &step, ActionMask::All);
        }
        episode
    }

    fn best(references: &[&[u32]], written: &[u32]) -> Vec<Vec<u32>> {
        let best = completions(references).best_actions(&episode(written));
        best.into_iter().map(|actions| actions.into_iter().map(|action| action.0).collect()).collect()
    }

    #[test]
    fn optimal_actions_by_hand() {
        // As written so far, the reference itself goes on.
        assert_eq!(best(&[&[4, 5, 6]], &[4, 5, 6, 9]), [vec![4], vec![5], vec![6], vec![9]]);
        // 7 was put before 4 or stands in its place: either 4 or 5 is next.
        assert_eq!(best(&[&[4, 5, 6]], &[7, 5, 6]), [vec![4], vec![4, 5], vec![6]]);
        // 5 is one edit from each of "", "4" and "4 5"; that 6 follows says that 4 was left out.
        assert_eq!(best(&[&[4, 5, 6]], &[5, 6, 9]), [vec![4], vec![4, 5, 6], vec![9]]);
        // Beyond the end every token is one more edit: ending is the best, and so it stays.
        assert_eq!(best(&[&[4]], &[4, 7, 7, 7])[1..], [[9], [9], [9]]);
        // The nearest of several references counts, and all that are as near.
        assert_eq!(best(&[&[4, 5], &[6, 7]], &[6, 5, 9]), [vec![4, 6], vec![7], vec![7, 9]]);
        assert_eq!(best(&[&[]], &[9]), [[9]]);
    }

    #[test]
    fn what_no_action_writes_is_no_aim() {
        assert_eq!(best(&[&[20, 5]], &[5]), [Vec::<u32>::new()]);
        let other = Trajectory { source: Some(SourceId(4)), ..episode(&[5]) };
        assert_eq!(completions(&[&[4]]).best_actions(&other), [[]]);
    }

    /// The edit distance by its recursion.
    fn distance(one: &[u32], other: &[u32]) -> u32 {
        match (one.split_first(), other.split_first()) {
            (None, _) => other.len() as u32,
            (_, None) => one.len() as u32,
            (Some((first, one_rest)), Some((second, other_rest))) => {
                let replaced = distance(one_rest, other_rest) + u32::from(first != second);
                replaced.min(distance(one_rest, other) + 1).min(distance(one, other_rest) + 1)
            }
        }
    }

    /// Minus the least distance that any completion of at most `n_left` tokens out of three reaches.
    fn value(prefix: &mut Vec<u32>, reference: &[u32], n_left: usize) -> i64 {
        let mut best = -i64::from(distance(prefix, reference));
        if n_left > 0 {
            for token in 4..7 {
                prefix.push(token);
                best = best.max(value(prefix, reference, n_left - 1));
                prefix.pop();
            }
        }
        best
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn optimal_actions_are_those_whose_best_completion_is_the_best(
            reference in prop::collection::vec(4_u32..7, 0..4),
            prefix in prop::collection::vec(4_u32..7, 0..4),
        ) {
            let mut written = prefix.clone();
            written.push(4);
            let found = best(&[&reference], &written).pop().unwrap();
            // The end is one more token of text and reference, which only a text that has ended may write.
            let ending = -i64::from(distance(&prefix, &reference));
            let going_on = |token: u32| {
                let mut longer = prefix.clone();
                longer.push(token);
                value(&mut longer, &reference, 3)
            };
            let highest = (4..7).map(going_on).max().unwrap().max(ending);
            let mut expected: Vec<u32> = (4..7).filter(|&token| going_on(token) == highest).collect();
            if ending == highest {
                expected.push(9);
            }
            prop_assert_eq!(found, expected);
        }
    }
}
