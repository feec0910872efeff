//! Draws that are the same on every machine and with every version of the crates.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A stream of draws: ChaCha8, of which only the defined output is used, so that a data set keeps its bytes.
#[derive(Debug)]
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream with the key of 32 times `seed`.
    pub(super) fn new(seed: u8) -> Self {
        Self(ChaCha8Rng::from_seed([seed; 32]))
    }

    /// A number from 0 to `n` - 1. The remainder favours small numbers by less than `n` in 2^64.
    ///
    /// # Panics
    /// For `n` = 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).expect("a usize has at most 64 bits");
        usize::try_from(self.0.next_u64() % n).expect("less than n, which is a usize")
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u32, high: u32) -> u32 {
        let width = usize::try_from(high - low + 1).expect("a u32 is a usize");
        low + u32::try_from(self.below(width)).expect("at most high - low, which is a u32")
    }

    /// True in `n` of `of` cases.
    pub(super) fn chance(&mut self, n: usize, of: usize) -> bool {
        self.below(of) < n
    }

    /// One of the choices, of which there is at least one.
    pub(super) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// Puts items in a random order (Fisher and Yates).
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let chosen = self.below(end + 1);
            items.swap(end, chosen);
        }
    }
}
