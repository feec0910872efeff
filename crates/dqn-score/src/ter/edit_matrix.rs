//! The Levenshtein distance sought near the diagonal.

use std::ops::Range;

/// How far from the diagonal cells are looked at, in cells.
///
/// Source: Tercom's beam width, with sacreBLEU's meaning.
const BEAM_WIDTH: usize = 25;
/// The cost of cells that are not looked at; it can be added to without overflow.
const UNREACHED: u32 = u32::MAX / 2;

/// What the last step to a cell does to the hypothesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    /// A word is kept or replaced.
    Replace { changed: bool },
    /// A word of the hypothesis is deleted.
    Delete,
    /// A word of the reference is inserted.
    Insert,
}

/// The cells of one row that are looked at.
#[derive(Clone, Debug, Default)]
struct Row {
    /// The column of the first cell.
    first: usize,
    costs: Vec<u32>,
    edits: Vec<Edit>,
}

impl Row {
    fn cost(&self, column: usize) -> u32 {
        self.costs.get(column.wrapping_sub(self.first)).copied().unwrap_or(UNREACHED)
    }

    /// By how much each cost is above that of the same cell in `other`, when it is the same number everywhere.
    fn above(&self, other: &Self) -> Option<i64> {
        let mut differences = self.costs.iter().zip(&other.costs).map(|(a, b)| i64::from(*a) - i64::from(*b));
        let first = differences.next()?;
        differences.all(|difference| difference == first).then_some(first)
    }
}

/// Which words of a hypothesis stand for which words of a reference after the fewest edits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Alignment {
    /// For each word of the reference, how many words of the hypothesis end no later than the one it is aligned to.
    pub(super) target: Vec<usize>,
    /// Which words of the hypothesis are deleted or replaced.
    pub(super) hypothesis_errors: Vec<bool>,
    /// Which words of the reference are inserted or replace another.
    pub(super) reference_errors: Vec<bool>,
}

/// The part near the diagonal of the matrix of edit distances between all prefixes of a hypothesis and of a reference.
pub(super) struct EditMatrix<'a> {
    hypothesis: &'a [u32],
    reference: &'a [u32],
    /// Words of the reference for each word of the hypothesis: the slope of the diagonal.
    length_ratio: f64,
    beam_width: usize,
    /// One row for each number of words of the hypothesis, from 0.
    rows: Vec<Row>,
}

impl<'a> EditMatrix<'a> {
    pub(super) fn new(hypothesis: &'a [u32], reference: &'a [u32]) -> Self {
        let length_ratio = if hypothesis.is_empty() { 1.0 } else { reference.len() as f64 / hypothesis.len() as f64 };
        // A steep diagonal needs a wider beam, or the rows would not overlap.
        let half_step = length_ratio / 2.0;
        let beam_width =
            if half_step > BEAM_WIDTH as f64 { (half_step + BEAM_WIDTH as f64).ceil() as usize } else { BEAM_WIDTH };
        let n_columns = reference.len() + 1;
        let first = Row { first: 0, costs: (0..n_columns as u32).collect(), edits: vec![Edit::Insert; n_columns] };
        let mut matrix = Self { hypothesis, reference, length_ratio, beam_width, rows: vec![first] };
        for (index, word) in hypothesis.iter().enumerate() {
            let mut row = Row::default();
            matrix.fill(&mut row, index + 1, *word, &matrix.rows[index]);
            matrix.rows.push(row);
        }
        matrix
    }

    pub(super) fn hypothesis(&self) -> &'a [u32] {
        self.hypothesis
    }

    pub(super) fn reference(&self) -> &'a [u32] {
        self.reference
    }

    /// The edit distance.
    pub(super) fn distance(&self) -> u32 {
        self.rows[self.hypothesis.len()].cost(self.reference.len())
    }

    /// The edit distance of `words`, which are the hypothesis but for the positions `changed`.
    ///
    /// Rows before the change are those of the matrix. Rows after it depend on differences of costs alone: once a row is
    /// the matrix's row plus a number, so are all that follow, and the distance is the matrix's plus that number. A long
    /// line therefore costs about as much as its changed part.
    pub(super) fn distance_with(&self, words: &[u32], changed: Range<usize>) -> u32 {
        let mut above = self.rows[changed.start].clone();
        let mut row = Row::default();
        for (index, word) in words.iter().enumerate().skip(changed.start) {
            self.fill(&mut row, index + 1, *word, &above);
            std::mem::swap(&mut row, &mut above);
            if index + 1 >= changed.end
                && let Some(difference) = above.above(&self.rows[index + 1])
            {
                return (i64::from(self.distance()) + difference) as u32;
            }
        }
        above.cost(self.reference.len())
    }

    pub(super) fn alignment(&self) -> Alignment {
        let (mut row, mut column) = (self.hypothesis.len(), self.reference.len());
        let mut target = vec![0; column];
        let (mut hypothesis_errors, mut reference_errors) = (vec![false; row], vec![false; column]);
        while row > 0 || column > 0 {
            let cells = &self.rows[row];
            let edit = cells.edits[column - cells.first];
            let is_error = edit != Edit::Replace { changed: false };
            if edit != Edit::Delete {
                target[column - 1] = row;
                reference_errors[column - 1] = is_error;
                column -= 1;
            }
            if edit != Edit::Insert {
                hypothesis_errors[row - 1] = is_error;
                row -= 1;
            }
        }
        Alignment { target, hypothesis_errors, reference_errors }
    }

    /// Fills the row `index`, which ends with the word `word` of a hypothesis, from the row above it.
    fn fill(&self, row: &mut Row, index: usize, word: u32, above: &Row) {
        let columns = self.columns(index);
        row.first = columns.start;
        row.costs.clear();
        row.edits.clear();
        let mut left = UNREACHED;
        // The cost above and to the left; there is none in the first column.
        let mut diagonal = columns.start.checked_sub(1).map_or(UNREACHED, |column| above.cost(column));
        for column in columns {
            let changed = column == 0 || word != self.reference[column - 1];
            let up = above.cost(column);
            // Of equally good edits the first counts: keep or replace, then delete, then insert.
            let (mut cost, mut edit) = (diagonal + u32::from(changed), Edit::Replace { changed });
            if up + 1 < cost {
                (cost, edit) = (up + 1, Edit::Delete);
            }
            if left + 1 < cost {
                (cost, edit) = (left + 1, Edit::Insert);
            }
            row.costs.push(cost);
            row.edits.push(edit);
            (left, diagonal) = (cost, up);
        }
    }

    /// The columns of row `index` that are looked at.
    fn columns(&self, index: usize) -> Range<usize> {
        let diagonal = (index as f64 * self.length_ratio).floor() as usize;
        let n_columns = self.reference.len() + 1;
        let end = if index == self.hypothesis.len() { n_columns } else { n_columns.min(diagonal + self.beam_width) };
        diagonal.saturating_sub(self.beam_width)..end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_matrix_by_hand() {
        // a b c d -> b x d e: a is deleted, c replaced, e inserted.
        let matrix = EditMatrix::new(&[0, 1, 2, 3], &[1, 9, 3, 4]);
        assert_eq!(matrix.distance(), 3);
        let expected = Alignment {
            target: vec![2, 3, 4, 4],
            hypothesis_errors: vec![true, false, true, false],
            reference_errors: vec![false, true, false, true],
        };
        assert_eq!(matrix.alignment(), expected);
        assert_eq!(EditMatrix::new(&[], &[1, 2]).distance(), 2);
    }

    #[test]
    fn what_is_far_from_the_diagonal_is_not_found() {
        // 60 words moved to the front match on a diagonal that is 60 away: beyond the beam.
        let reference: Vec<u32> = (0..200).collect();
        let hypothesis: Vec<u32> = (60..200).chain(1000..1060).collect();
        assert_eq!(EditMatrix::new(&hypothesis, &reference).distance(), 200);
        let hypothesis: Vec<u32> = (20..200).chain(1000..1020).collect();
        assert_eq!(EditMatrix::new(&hypothesis, &reference).distance(), 40);
    }

    proptest! {
        /// Stopping early never changes a distance.
        #[test]
        fn a_changed_hypothesis_costs_what_its_own_matrix_says(
            hypothesis in prop::collection::vec(0_u32..4, 1..120),
            reference in prop::collection::vec(0_u32..4, 1..120),
            start in 0_usize..120,
            replacement in prop::collection::vec(0_u32..4, 1..12),
        ) {
            let start = start % hypothesis.len();
            let end = hypothesis.len().min(start + replacement.len());
            let mut words = hypothesis.clone();
            words[start..end].copy_from_slice(&replacement[..end - start]);
            let found = EditMatrix::new(&hypothesis, &reference).distance_with(&words, start..end);
            prop_assert_eq!(found, EditMatrix::new(&words, &reference).distance());
        }
    }
}
