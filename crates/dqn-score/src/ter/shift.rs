//! Shifts of words that bring a hypothesis nearer to a reference.

use std::ops::Range;

use super::edit_matrix::EditMatrix;

/// The most words that a shift moves, from Tercom.
const MAX_SHIFT_SIZE: usize = 10;
/// How far apart the places of equal words in hypothesis and reference may be, in words, from Tercom.
const MAX_SHIFT_DISTANCE: usize = 50;
/// How many shifts are tried for one hypothesis, from sacreBLEU.
const MAX_SHIFT_CANDIDATES: usize = 1000;

/// A move of the `length` words from `start` on to the front of the word at `target`.
#[derive(Clone, Copy, Debug)]
struct Shift {
    start: usize,
    length: usize,
    target: usize,
}

impl Shift {
    /// The positions that change among `n_words` words.
    ///
    /// A target within the words that are moved counts words after them, as in Tercom.
    fn changed(self, n_words: usize) -> Range<usize> {
        let Self { start, length, target } = self;
        let end = start + length;
        if target < start {
            target..end
        } else if target > end {
            start..target
        } else {
            start..n_words.min(target + length)
        }
    }

    fn apply(self, words: &mut [u32]) {
        let changed = self.changed(words.len());
        let words = &mut words[changed];
        if self.target < self.start {
            words.rotate_right(self.length);
        } else {
            words.rotate_left(self.length);
        }
    }
}

/// The number of shifts and other edits that turn `hypothesis` into `reference`.
///
/// The best shift is made again and again until none helps.
///
/// Source: Snover et al. 2006, algorithm 1, with the limits of Tercom and sacreBLEU.
pub(super) fn n_edits(hypothesis: &[u32], reference: &[u32]) -> u64 {
    if reference.is_empty() {
        return hypothesis.len() as u64;
    }
    let mut words = hypothesis.to_vec();
    let (mut n_shifts, mut n_candidates) = (0, 0);
    loop {
        let matrix = EditMatrix::new(&words, reference);
        let best = best_shift(&matrix, &mut n_candidates);
        match best {
            // At the limit even the best shift found is not made, as in sacreBLEU.
            Some((gain, shift)) if gain > 0 && n_candidates < MAX_SHIFT_CANDIDATES => {
                shift.apply(&mut words);
                n_shifts += 1;
            }
            _ => return n_shifts + u64::from(matrix.distance()),
        }
    }
}

/// The shift that saves the most edits, and how many it saves.
///
/// Of equally good ones the longest counts, then the one of the first words, then the one to the first place: the order in
/// which they are tried.
fn best_shift(matrix: &EditMatrix<'_>, n_candidates: &mut usize) -> Option<(i64, Shift)> {
    let alignment = matrix.alignment();
    let mut words = matrix.hypothesis().to_vec();
    let mut best = None;
    for (start, start_in_reference, length) in equal_runs(matrix.hypothesis(), matrix.reference()) {
        let is_wrong = alignment.hypothesis_errors[start..start + length].contains(&true);
        let is_missing = alignment.reference_errors[start_in_reference..start_in_reference + length].contains(&true);
        let stays = (start + 1..=start + length).contains(&alignment.target[start_in_reference]);
        if !is_wrong || !is_missing || stays {
            continue;
        }
        // In front of what the run is aligned to, and after each of its words.
        let front = start_in_reference.checked_sub(1).map_or(0, |before| alignment.target[before]);
        let mut previous = None;
        let after = &alignment.target[start_in_reference..start_in_reference + length];
        for target in std::iter::once(front).chain(after.iter().copied()) {
            if previous.replace(target) == Some(target) {
                continue;
            }
            let shift = Shift { start, length, target };
            let changed = shift.changed(words.len());
            shift.apply(&mut words);
            let distance = matrix.distance_with(&words, changed.clone());
            words[changed.clone()].copy_from_slice(&matrix.hypothesis()[changed]);
            let gain = i64::from(matrix.distance()) - i64::from(distance);
            if best.is_none_or(|(most, longest): (i64, Shift)| (gain, length) > (most, longest.length)) {
                best = Some((gain, shift));
            }
            *n_candidates += 1;
        }
        if *n_candidates >= MAX_SHIFT_CANDIDATES {
            break;
        }
    }
    best
}

/// All runs of equal words near each other: their starts in hypothesis and reference, and their length.
fn equal_runs<'a>(
    hypothesis: &'a [u32],
    reference: &'a [u32],
) -> impl Iterator<Item = (usize, usize, usize)> + use<'a> {
    (0..hypothesis.len()).flat_map(move |start| {
        let first = start.saturating_sub(MAX_SHIFT_DISTANCE);
        let end = reference.len().min(start + MAX_SHIFT_DISTANCE + 1);
        (first..end).flat_map(move |start_in_reference| {
            let pairs = hypothesis[start..].iter().zip(&reference[start_in_reference..]).take(MAX_SHIFT_SIZE);
            let longest = pairs.take_while(|(a, b)| a == b).count();
            (1..=longest).map(move |length| (start, start_in_reference, length))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_by_hand() {
        let table: [(usize, usize, usize, &[u32]); 6] = [
            (3, 2, 1, &[0, 3, 4, 1, 2, 5]),
            (1, 2, 5, &[0, 3, 4, 1, 2, 5]),
            (1, 2, 6, &[0, 3, 4, 5, 1, 2]),
            (1, 2, 1, &[0, 1, 2, 3, 4, 5]),
            (1, 2, 2, &[0, 3, 1, 2, 4, 5]),
            (3, 2, 5, &[0, 1, 2, 5, 3, 4]),
        ];
        for (start, length, target, expected) in table {
            let shift = Shift { start, length, target };
            let mut words = [0, 1, 2, 3, 4, 5];
            shift.apply(&mut words);
            assert_eq!(words, expected, "{shift:?}");
        }
    }

    #[test]
    fn a_moved_run_is_one_edit() {
        let table: [(&[u32], &[u32], u64); 5] = [
            (&[3, 4, 0, 1, 2], &[0, 1, 2, 3, 4], 1),
            (&[3, 4, 0, 1, 9], &[0, 1, 2, 3, 4], 2),
            (&[1, 0, 3, 2], &[0, 1, 2, 3], 2),
            (&[0, 1], &[], 2),
            (&[], &[0, 1], 2),
        ];
        for (hypothesis, reference, expected) in table {
            assert_eq!(n_edits(hypothesis, reference), expected, "{hypothesis:?} to {reference:?}");
        }
    }

    #[test]
    fn words_are_sought_up_to_a_distance() {
        for (distance, expected) in [(50, 1), (51, 2)] {
            let hypothesis: Vec<u32> = (0..80).collect();
            let mut reference = hypothesis.clone();
            reference[..=distance].rotate_left(1);
            assert_eq!(n_edits(&hypothesis, &reference), expected, "a word moved by {distance}");
        }
    }
}
