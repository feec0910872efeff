//! A treasure that only a determined explorer finds.

use dqn_mdp::{Outcome, Seed};
use rand::RngExt;

use crate::{EnvError, Tabular, Transition};

/// What all steps to the right cost together.
const COST: f32 = 0.01;

/// A square of `size` by `size` cells through which the agent sinks a row a step, one cell to the left or to the right.
///
/// ```text
/// begin   in the upper left corner
/// reward  -0.01 / size for a step to the right, 1 more for the one out of the lower right corner, else 0
/// end     after the step out of the lowest row, which terminates
/// ```
///
/// Only `size` steps to the right find the treasure, and return 0.99; a policy that draws its actions uniformly returns
/// `2^-size - 0.005`. Each step to the right before it costs, so that a greedy agent that has not found it learns to
/// keep left, and one that tries an action at random now and then needs about `2^size` episodes.
///
/// Which of the two actions goes to the right is drawn for each cell with `mapping`, so that no policy that repeats
/// an action finds the treasure. The cell in row `r` and column `c` is state `r * size + c`; at the left edge a step to
/// the left keeps the column, as one to the right does at the right edge.
///
/// Source: Osband et al. 2020, "Behaviour Suite for Reinforcement Learning" (`deep_sea`, deterministic); first in
/// Osband et al. 2016, "Deep Exploration via Bootstrapped DQN", section 5. Differs: the cell is a token instead of an
/// image of the square.
///
/// # Errors
/// [`EnvError::TaskValue`] for a square without cells.
pub fn deep_sea(size: usize, mapping: Seed) -> Result<Tabular, EnvError> {
    EnvError::check_value("deep_sea", "size", size, 1)?;
    let mut rng = mapping.stream("deep sea");
    let rows = (0..size * size).map(|state| {
        let (row, column) = (state / size, state % size);
        let is_last = row + 1 == size;
        let below = |column: usize| if is_last { state } else { state + size - state % size + column };
        let outcome = if is_last { Outcome::Terminated } else { Outcome::Continues };
        let treasure = if is_last && column + 1 == size { 1.0 } else { 0.0 };
        let left = Transition { next: below(column.saturating_sub(1)), reward: 0.0, outcome };
        let reward = treasure - COST / size as f32;
        let right = Transition { next: below((column + 1).min(size - 1)), reward, outcome };
        if rng.random() { vec![Some(left), Some(right)] } else { vec![Some(right), Some(left)] }
    });
    Tabular::new(vec![0], rows.collect(), None)
}

#[cfg(test)]
mod tests {
    use dqn_mdp::{ActionId, Environment, Start};

    use super::*;

    /// The return of going right where `right(step)` and left elsewhere, with the number of steps.
    fn play(size: usize, mapping: u64, right: impl Fn(usize) -> bool) -> (f64, usize) {
        let mut sea = deep_sea(size, Seed(mapping)).unwrap();
        let first = sea.reset(Start::Indexed(0)).unwrap();
        let mut cell = *first.tokens.last().unwrap();
        let (mut total, mut n_steps) = (0.0, 0);
        loop {
            // Only the step to the right costs, or pays.
            let rewards: Vec<f32> = (0..2).map(|action| sea.clone().step(ActionId(action)).unwrap().reward).collect();
            let goes_right = usize::from(rewards[1] != 0.0);
            assert!((rewards[0] != 0.0) != (rewards[1] != 0.0), "one action of two goes to the right");
            let action = if right(n_steps) { goes_right } else { 1 - goes_right };
            let step = sea.step(ActionId(action as u32)).unwrap();
            total += f64::from(step.reward);
            n_steps += 1;
            let next = *step.observed.last().unwrap();
            if step.outcome.is_end() {
                assert_eq!(step.outcome, Outcome::Terminated);
                return (total, n_steps);
            }
            // A row down; a column to the right or, but at the edge, to the left.
            let column = (cell.index() - 4) % size;
            let expected = if right(n_steps - 1) { column + 1 } else { column.saturating_sub(1) };
            assert_eq!((next.index() - 4) / size, n_steps);
            assert_eq!((next.index() - 4) % size, expected);
            cell = next;
        }
    }

    #[test]
    fn only_steps_to_the_right_find_the_treasure() {
        for size in [1, 2, 5, 10] {
            let cost = 0.01 / size as f64;
            let (best, n_steps) = play(size, 3, |_| true);
            assert!((best - 0.99).abs() < 1e-6, "size {size}: {best}");
            assert_eq!(n_steps, size);
            let (never, _) = play(size, 3, |_| false);
            assert_eq!(never, 0.0);
            for left in 0..size {
                let (missed, _) = play(size, 3, |step| step != left);
                assert!((missed + (size - 1) as f64 * cost).abs() < 1e-6, "size {size}, left at {left}: {missed}");
            }
        }
    }

    #[test]
    fn exact_values_are_the_way_to_the_treasure() {
        // On the diagonal of row r the treasure is worth 1 - (size - r) 0.01 / size; off it nothing is worth a step.
        let size = 10;
        let values = deep_sea(size, Seed(0)).unwrap().value_iteration(1.0).unwrap();
        let best = |state: usize| values[state].iter().flatten().copied().fold(f64::MIN, f64::max);
        for row in 0..size {
            let expected = 1.0 - (size - row) as f64 * 0.001;
            assert!((best(row * size + row) - expected).abs() < 1e-6, "row {row}: {}", best(row * size + row));
            for column in 0..row {
                assert!(best(row * size + column).abs() < 1e-9, "row {row}, column {column}");
            }
        }
    }

    #[test]
    fn uniform_actions_return_the_stated_mean() {
        for size in [1, 3, 8] {
            let n_ways = 1_usize << size;
            let total: f64 = (0..n_ways).map(|way| play(size, 5, |step| way >> step & 1 == 1).0).sum();
            let expected = 0.5_f64.powi(size as i32) - 0.005;
            assert!((total / n_ways as f64 - expected).abs() < 1e-6, "size {size}: {}", total / n_ways as f64);
        }
    }

    #[test]
    fn the_mapping_is_drawn_for_each_cell_and_fixed_by_its_seed() {
        let is_right_second = |mapping: u64| -> Vec<bool> {
            let sea = deep_sea(10, Seed(mapping)).unwrap();
            let values = sea.value_iteration(0.0).unwrap();
            values.iter().map(|row| row[1] != Some(0.0)).collect()
        };
        let one = is_right_second(1);
        assert_eq!(one, is_right_second(1));
        assert_ne!(one, is_right_second(2));
        let n_second = one.iter().filter(|&&second| second).count();
        assert!((30..=70).contains(&n_second), "{n_second} of 100");
        let diagonal: Vec<bool> = (0..10).map(|row| one[row * 11]).collect();
        assert!(
            diagonal.contains(&true) && diagonal.contains(&false),
            "repeating an action must not be the best policy"
        );
        assert_eq!(
            deep_sea(0, Seed(0)).unwrap_err().to_string(),
            "the task deep_sea has size = 0; it must be at least 1"
        );
    }
}
