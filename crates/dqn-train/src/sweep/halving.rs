//! Successive halving: many trials begin, the better part of them goes on.

/// A stage of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rung {
    /// How many trials take part in it, at most: those that failed before do not.
    pub n_trials: usize,
    /// Updates by which they are compared; nothing for the end of the run.
    pub until_updates: Option<u64>,
}

/// The rungs of successive halving.
///
/// ```text
/// n_i = floor(n / factor^i),  r_i = first_updates * factor^i,   i = 0, 1, ...
/// ```
///
/// The first rung with a single trial, or whose updates are those of the whole run or more, is the last, and its trials
/// run to their end.
///
/// Source: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization"; the
/// rungs are those of a bracket of Li et al. 2018, "Hyperband", algorithm 1.
///
/// Differs from the paper: where trials run out before updates do, the last one gets all updates.
pub fn rungs(n_trials: usize, factor: u64, first_updates: u64, last_updates: u64) -> Vec<Rung> {
    let (mut n, mut updates) = (n_trials, first_updates);
    let mut rungs = Vec::new();
    while n > 1 && updates < last_updates {
        rungs.push(Rung { n_trials: n, until_updates: Some(updates) });
        // One after the other, whole quotients are those by the whole power; but one trial always stays.
        n = usize::try_from(n as u64 / factor).unwrap_or(n).max(1);
        updates = updates.saturating_mul(factor);
    }
    rungs.push(Rung { n_trials: n, until_updates: None });
    rungs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rungs_are_those_of_a_hand_table() {
        type Row = ((usize, u64, u64, u64), &'static [(usize, Option<u64>)]);
        let table: [Row; 7] = [
            // The bracket of Li et al. 2018, table 1: 27 trials, factor 3.
            ((27, 3, 500, 13_500), &[(27, Some(500)), (9, Some(1_500)), (3, Some(4_500)), (1, None)]),
            ((27, 3, 500, 10_000), &[(27, Some(500)), (9, Some(1_500)), (3, Some(4_500)), (1, None)]),
            ((27, 3, 500, 4_500), &[(27, Some(500)), (9, Some(1_500)), (3, None)]),
            ((10, 4, 8, 1_000), &[(10, Some(8)), (2, Some(32)), (1, None)]),
            ((3, 4, 8, 1_000), &[(3, Some(8)), (1, None)]),
            ((1, 2, 8, 1_000), &[(1, None)]),
            ((8, 2, 8, 8), &[(8, None)]),
        ];
        for ((n_trials, factor, first, last), expected) in table {
            let found: Vec<_> = rungs(n_trials, factor, first, last)
                .into_iter()
                .map(|rung| (rung.n_trials, rung.until_updates))
                .collect();
            assert_eq!(found, expected, "{n_trials} trials, factor {factor}, {first} to {last} updates");
        }
    }

    proptest! {
        #[test]
        fn rungs_narrow_while_updates_grow(n in 1_usize..2_000, factor in 2_u64..6, first in 1_u64..100, last in 1_u64..u64::MAX) {
            let rungs = rungs(n, factor, first, last);
            prop_assert_eq!(rungs[0].n_trials, n);
            let (end, before) = rungs.split_last().unwrap();
            prop_assert_eq!(end.until_updates, None);
            for (index, rung) in before.iter().enumerate() {
                let power = factor.pow(index as u32);
                prop_assert_eq!(rung.n_trials as u64, n as u64 / power);
                prop_assert_eq!(rung.until_updates, Some(first * power));
                prop_assert!(first * power < last);
            }
        }
    }
}
