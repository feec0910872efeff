//! Numbers that change, and draws in proportion to them.

use serde::{Deserialize, Serialize};

/// Non-negative weights with their sums, a complete binary tree over a power of two of leaves.
///
/// Sums are 64-bit: with 32 bits they drift from their parts after some million changes, and draws fall on weights of
/// zero. Changing and drawing cost one path from root to leaf.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SumTree {
    /// The root at 1, the children of `i` at `2 i` and `2 i + 1`, the leaves in the second half.
    nodes: Vec<f64>,
}

impl SumTree {
    /// A tree of at least `n_leaves` weights of zero.
    pub fn new(n_leaves: usize) -> Self {
        Self { nodes: vec![0.0; 2 * n_leaves.max(1).next_power_of_two()] }
    }

    /// Number of weights, a power of two.
    pub fn len(&self) -> usize {
        self.nodes.len() / 2
    }

    /// Whether all weights are zero.
    pub fn is_empty(&self) -> bool {
        self.total() <= 0.0
    }

    /// The weight at `leaf`.
    pub fn get(&self, leaf: usize) -> f64 {
        self.nodes[self.len() + leaf]
    }

    /// Sum of all weights.
    pub fn total(&self) -> f64 {
        self.nodes[1]
    }

    /// Changes the weight at `leaf`.
    ///
    /// # Panics
    /// When the weight is negative or not finite.
    pub fn set(&mut self, leaf: usize, weight: f64) {
        assert!(weight.is_finite() && weight >= 0.0, "a weight of {weight}");
        let mut node = self.len() + leaf;
        self.nodes[node] = weight;
        while node > 1 {
            node /= 2;
            // Every sum is taken anew from its parts, so that errors do not add up.
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1];
        }
    }

    /// The first leaf whose weights up to and with its own exceed `prefix`, never one of weight zero.
    ///
    /// # Panics
    /// When all weights are zero.
    pub fn find(&self, prefix: f64) -> usize {
        assert!(!self.is_empty(), "drawing from weights that are all zero");
        let (mut node, mut left) = (1, prefix);
        while node < self.len() {
            let (first, second) = (2 * node, 2 * node + 1);
            // Rounding can leave a prefix beyond the last weight; the empty half is never entered.
            if self.nodes[second] <= 0.0 || (left < self.nodes[first] && self.nodes[first] > 0.0) {
                node = first;
            } else {
                left -= self.nodes[first];
                node = second;
            }
        }
        node - self.len()
    }
}

#[cfg(test)]
mod tests {
    use dqn_mdp::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;

    /// The draw by going through all weights.
    fn oracle(weights: &[f64], prefix: f64) -> usize {
        let mut sum = 0.0;
        weights
            .iter()
            .position(|weight| {
                sum += weight;
                prefix < sum
            })
            .expect("the prefix is below the total")
    }

    /// The sum of a power of two of weights, half by half: the order that decides its rounding.
    fn sum(weights: &[f64]) -> f64 {
        match weights {
            [only] => *only,
            _ => {
                let (left, right) = weights.split_at(weights.len() / 2);
                sum(left) + sum(right)
            }
        }
    }

    /// The draw by halving all weights.
    fn halving_oracle(mut weights: &[f64], mut prefix: f64) -> usize {
        let mut place = 0;
        while let [_, _, ..] = weights {
            let (left, right) = weights.split_at(weights.len() / 2);
            let of_left = sum(left);
            if right.iter().all(|&weight| weight == 0.0) || prefix < of_left {
                weights = left;
            } else {
                (weights, prefix, place) = (right, prefix - of_left, place + left.len());
            }
        }
        place
    }

    #[test]
    fn a_million_changes_and_draws_of_any_weights_are_exact() {
        let mut rng = Seed(2).stream("tree");
        let mut tree = SumTree::new(32);
        let mut weights = vec![0.0_f64; 32];
        for _ in 0..1_000_000 {
            let leaf = rng.random_range(0..32);
            let weight = match rng.random_range(0..4_u32) {
                0 => 0.0,
                size => rng.random::<f64>() * 1e3_f64.powi(size as i32 - 2),
            };
            tree.set(leaf, weight);
            weights[leaf] = weight;
            assert_eq!(tree.total(), sum(&weights));
            if tree.total() > 0.0 {
                let prefix = rng.random::<f64>() * tree.total();
                assert_eq!(tree.find(prefix), halving_oracle(&weights, prefix));
            }
        }
    }

    #[test]
    fn a_million_changes_and_draws_are_exact() {
        let mut rng = Seed(1).stream("tree");
        let mut tree = SumTree::new(29);
        let mut weights = vec![0.0_f64; 32];
        for _ in 0..1_000_000 {
            let leaf = rng.random_range(0..29);
            // Multiples of a power of two are summed without rounding, so any difference is a fault.
            let weight = f64::from(rng.random_range(0..1_u32 << 20)) / 1024.0 * f64::from(rng.random_range(0..3_u32));
            tree.set(leaf, weight);
            weights[leaf] = weight;
            let total: f64 = weights.iter().sum();
            assert_eq!(tree.total(), total);
            if total > 0.0 {
                let prefix = rng.random::<f64>() * total;
                assert_eq!(tree.find(prefix), oracle(&weights, prefix));
            }
        }
    }

    proptest! {
        #[test]
        fn zero_weights_are_never_drawn(
            weights in prop::collection::vec(prop_oneof![Just(0.0), 1e-12..1e12_f64], 1..40),
            fraction in 0.0..=1.0_f64,
        ) {
            let mut tree = SumTree::new(weights.len());
            for (leaf, &weight) in weights.iter().enumerate() {
                tree.set(leaf, weight);
            }
            if !tree.is_empty() {
                prop_assert!(tree.get(tree.find(fraction * tree.total())) > 0.0);
            }
        }
    }
}
