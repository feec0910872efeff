//! Distributions of returns in place of their means.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use rand::distr::{Distribution as _, StandardUniform};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a network says of the return of an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Distribution {
    /// Its mean.
    #[default]
    Mean,
    /// The probability of each of some evenly spaced returns, the atoms (C51, Bellemare et al. 2017).
    Categorical {
        /// The lowest atom: below every return the task can give.
        low: f64,
        /// The highest atom.
        high: f64,
        /// Number of atoms; 51 in the paper.
        #[serde(default = "default_atoms")]
        #[schemars(range(min = 2, max = 1001))]
        n_atoms: usize,
    },
    /// The returns at some evenly spaced probabilities, the quantiles (QR-DQN, Dabney et al. 2018).
    Quantile {
        /// Number of quantiles; 200 in the paper.
        #[serde(default = "default_quantiles")]
        #[schemars(range(min = 1, max = 1001))]
        n_quantiles: usize,
    },
    /// The return at any probability it is asked for, a level; levels are drawn anew for each update (IQN, Dabney et al.
    /// 2018b).
    Implicit {
        /// Cosines that tell the network the level; 64 in the paper.
        #[serde(default = "default_cosines")]
        #[schemars(range(min = 1, max = 1001))]
        n_cosines: usize,
        /// Levels drawn for the action taken in a state; 8 in the paper (N).
        #[serde(default = "default_samples")]
        #[schemars(range(min = 1, max = 1001))]
        n_samples: usize,
        /// Levels drawn for the state after it; 8 in the paper (N').
        #[serde(default = "default_samples")]
        #[schemars(range(min = 1, max = 1001))]
        n_target_samples: usize,
        /// Levels whose mean is the value of an action, in acting and in the choice of the next action; 32 in the paper
        /// (K). Other than there they are evenly spaced and not drawn, so that a text is valued the same each time.
        #[serde(default = "default_acting_samples")]
        #[schemars(range(min = 1, max = 1001))]
        n_acting_samples: usize,
    },
}

fn default_cosines() -> usize {
    64
}

fn default_samples() -> usize {
    8
}

fn default_acting_samples() -> usize {
    32
}

fn default_atoms() -> usize {
    51
}

fn default_quantiles() -> usize {
    32
}

impl Distribution {
    /// Numbers that describe the return of one action; of an implicit distribution, its return at one level.
    pub fn n_atoms(self) -> usize {
        match self {
            Distribution::Mean | Distribution::Implicit { .. } => 1,
            Distribution::Categorical { n_atoms, .. } => n_atoms,
            Distribution::Quantile { n_quantiles } => n_quantiles,
        }
    }

    /// The returns that a categorical distribution gives probabilities to: `[atoms]`.
    pub fn support(low: f64, high: f64, n_atoms: usize, device: &Device) -> Tensor<1> {
        let spacing = (high - low) / (n_atoms - 1) as f64;
        let atoms: Vec<f32> = (0..n_atoms).map(|atom| (low + spacing * atom as f64) as f32).collect();
        Tensor::from_data(TensorData::new(atoms, [n_atoms]), device)
    }

    /// The returns behind a categorical distribution's logits, in their shape.
    pub(crate) fn returns(self, logits: &Tensor<3>) -> Tensor<3> {
        match self {
            Distribution::Categorical { low, high, n_atoms } => {
                let support = Self::support(low, high, n_atoms, &logits.device());
                support.reshape([1, 1, n_atoms]).expand(logits.dims())
            }
            Distribution::Mean | Distribution::Quantile { .. } | Distribution::Implicit { .. } => logits.clone(),
        }
    }

    /// Expected returns.
    ///
    /// # Shapes
    /// - `atoms`: `[.., atoms]`, logits of a categorical distribution, the values themselves of the others
    /// - returns the same with a last dimension of 1
    pub fn mean<const D: usize>(self, atoms: Tensor<D>) -> Tensor<D> {
        match self {
            Distribution::Mean => atoms,
            Distribution::Quantile { .. } | Distribution::Implicit { .. } => atoms.mean_dim(D - 1),
            Distribution::Categorical { low, high, n_atoms } => {
                let support = Self::support(low, high, n_atoms, &atoms.device());
                (softmax(atoms, D - 1) * support.unsqueeze()).sum_dim(D - 1)
            }
        }
    }
}

/// The middles of `n` equal parts of the probabilities from 0 to 1: `[n]`.
pub fn midpoints(n: usize, device: &Device) -> Tensor<1> {
    let levels: Vec<f32> = (0..n).map(|index| (index as f32 + 0.5) / n as f32).collect();
    Tensor::from_data(TensorData::new(levels, [n]), device)
}

/// Levels from 0 to below 1, drawn uniformly on the host in the order of the shape.
pub fn draw_levels(shape: [usize; 3], rng: &mut impl Rng, device: &Device) -> Tensor<3> {
    let levels: Vec<f32> = StandardUniform.sample_iter(rng).take(shape.iter().product()).collect();
    Tensor::from_data(TensorData::new(levels, shape), device)
}

/// The distribution of a target: where each atom of the next state's distribution moves to.
#[derive(Clone, Debug)]
pub struct MovedAtoms {
    /// The moved returns: `[batch, steps, atoms]`.
    pub returns: Tensor<3>,
    /// Their probabilities; equal ones where absent: `[batch, steps, atoms]`.
    pub probabilities: Option<Tensor<3>>,
}

/// The cross-entropy of categorical distributions against moved atoms projected onto the support, and that less the
/// entropy of the projection, the Kullback-Leibler divergence.
///
/// ```text
/// m_i = sum_j p_j clip(1 - |clip(r_j, low, high) - z_i| / spacing, 0, 1)
/// loss = - sum_i m_i log softmax(logits)_i
/// ```
///
/// Source: Bellemare et al. 2017, eq. 7 and algorithm 1.
///
/// # Shapes
/// - `logits`: `[batch, steps, atoms]`; `target` carries no graph
/// - returns the loss and the divergence, `[batch, steps]` each
pub fn categorical_loss(logits: Tensor<3>, target: MovedAtoms, low: f64, high: f64) -> (Tensor<2>, Tensor<2>) {
    let projected = project(target, low, high);
    let log_projected = projected.clone().clamp_min(1e-30).log();
    let negative_entropy = (projected.clone() * log_projected).sum_dim(2).squeeze_dim::<2>(2);
    let loss = (log_softmax(logits, 2) * Tensor::from_inner(projected)).sum_dim(2).squeeze_dim::<2>(2).neg();
    let divergence = loss.clone().inner() + negative_entropy;
    (loss, divergence)
}

/// Moves probabilities to the atoms nearest to their returns, in proportion to how near: `[batch, steps, atoms]`.
fn project(target: MovedAtoms, low: f64, high: f64) -> Tensor<3> {
    let n_atoms = target.returns.dims()[2];
    let spacing = (high - low) / (n_atoms - 1) as f64;
    let support = Distribution::support(low, high, n_atoms, &target.returns.device());
    let returns = target.returns.clamp(low, high).unsqueeze_dim::<4>(2);
    let distance = (returns - support.reshape([1, 1, n_atoms, 1])).abs().div_scalar(spacing);
    let share = distance.neg().add_scalar(1.0).clamp(0.0, 1.0);
    match target.probabilities {
        Some(probabilities) => (share * probabilities.unsqueeze_dim::<4>(2)).sum_dim(3).squeeze_dim(3),
        None => share.mean_dim(3).squeeze_dim(3),
    }
}

/// The quantile Huber loss.
///
/// ```text
/// loss = sum_i mean_j |tau_i - [u_ij < 0]| L(u_ij) / delta,   u_ij = r_j - theta_i
/// ```
///
/// with `L` the Huber penalty and `tau` the level of each quantile: `(i - 1/2) / N` where they are fixed, drawn from 0 to
/// 1 where they are implicit. Source: Dabney et al. 2018a, eq. 10 and algorithm 1; Dabney et al. 2018b, eq. 3.
///
/// # Shapes
/// - `quantiles`: `[batch, steps, quantiles]`; `target`: `[batch, steps, atoms]`, without a graph
/// - `levels`: `[batch, steps, quantiles]` or `[1, 1, quantiles]`, without a graph
/// - returns `[batch, steps]`
pub fn quantile_huber_loss(quantiles: Tensor<3>, levels: Tensor<3>, target: Tensor<3>, delta: f64) -> Tensor<2> {
    let errors = Tensor::from_inner(target).unsqueeze_dim::<4>(2) - quantiles.unsqueeze_dim::<4>(3);
    let is_below = errors.clone().inner().lower_elem(0.0).float();
    let tilt = (levels.unsqueeze_dim::<4>(3) - is_below).abs();
    let size = errors.abs();
    let inner = size.clone().clamp_max(delta);
    let penalty = inner.clone().powi_scalar(2).div_scalar(2.0) + (size - inner).mul_scalar(delta);
    let loss = penalty.div_scalar(delta) * Tensor::from_inner(tilt);
    loss.mean_dim(3).sum_dim(2).squeeze_dim::<3>(3).squeeze_dim(2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tensor(values: &[f32], device: &Device) -> Tensor<3> {
        Tensor::from_data(TensorData::new(values.to_vec(), [1, 1, values.len()]), device)
    }

    /// The projection as algorithm 1 of Bellemare et al. 2017 writes it, one atom after the other.
    fn projection_oracle(returns: &[f32], probabilities: &[f32], low: f64, high: f64) -> Vec<f64> {
        let n_atoms = returns.len();
        let spacing = (high - low) / (n_atoms - 1) as f64;
        let mut projected = vec![0.0; n_atoms];
        for (&moved, &probability) in returns.iter().zip(probabilities) {
            let place = ((f64::from(moved).clamp(low, high) - low) / spacing).clamp(0.0, (n_atoms - 1) as f64);
            let (below, above) = (place.floor() as usize, place.ceil() as usize);
            if below == above {
                projected[below] += f64::from(probability);
            } else {
                projected[below] += f64::from(probability) * (above as f64 - place);
                projected[above] += f64::from(probability) * (place - below as f64);
            }
        }
        projected
    }

    fn projected(returns: &[f32], probabilities: &[f32], low: f64, high: f64) -> Vec<f32> {
        let device = Device::flex();
        let target =
            MovedAtoms { returns: tensor(returns, &device), probabilities: Some(tensor(probabilities, &device)) };
        project(target, low, high).try_into_vec_as().unwrap()
    }

    #[test]
    fn projections_by_hand() {
        // Atoms 0, 1, 2: a return of 1.25 gives three quarters to 1; returns beyond the ends stay at the ends.
        assert_eq!(projected(&[1.25, -7.0, 9.0], &[0.5, 0.25, 0.25], 0.0, 2.0), [0.25, 0.375, 0.375]);
        assert_eq!(projected(&[0.0, 1.0, 2.0], &[0.5, 0.25, 0.25], 0.0, 2.0), [0.5, 0.25, 0.25]);
        assert_eq!(projection_oracle(&[1.25, -7.0, 9.0], &[0.5, 0.25, 0.25], 0.0, 2.0), [0.25, 0.375, 0.375]);
    }

    #[test]
    fn means_by_hand() {
        let device = Device::flex();
        let mean = |distribution: Distribution, atoms: &[f32]| -> f32 {
            distribution.mean(tensor(atoms, &device)).into_scalar()
        };
        assert_eq!(mean(Distribution::Quantile { n_quantiles: 3 }, &[1.0, 2.0, 6.0]), 3.0);
        let categorical = Distribution::Categorical { low: -1.0, high: 1.0, n_atoms: 3 };
        let found = mean(categorical, &[0.0, f32::ln(2.0), 0.0]);
        assert!(found.abs() < 1e-6);
        let found = mean(categorical, &[0.0, 0.0, f32::ln(2.0)]);
        assert!((found - 0.25).abs() < 1e-6, "{found}");
    }

    #[test]
    fn quantile_loss_by_hand() {
        let device = Device::flex().autodiff();
        // Levels 1/4 and 3/4; targets 0 and 3. u = (0 - 1, 3 - 1) and (0 - 2, 3 - 2); delta 1.
        let quantiles = tensor(&[1.0, 2.0], &device);
        let target = tensor(&[0.0, 3.0], &Device::flex());
        let at = |levels: Tensor<3>| -> f32 {
            quantile_huber_loss(quantiles.clone(), levels, target.clone(), 1.0).into_scalar()
        };
        let expected = (0.75 * 0.5 + 0.25 * 1.5) / 2.0 + (0.25 * 1.5 + 0.75 * 0.5) / 2.0;
        let found = at(midpoints(2, &Device::flex()).reshape([1, 1, 2]));
        assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        // The same at drawn levels, here 0.1 and 0.6.
        let expected = (0.9 * 0.5 + 0.1 * 1.5) / 2.0 + (0.4 * 1.5 + 0.6 * 0.5) / 2.0;
        let found = at(tensor(&[0.1, 0.6], &Device::flex()));
        assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
    }

    #[test]
    fn levels_by_hand_and_by_seed() {
        let device = Device::flex();
        let values = |levels: Tensor<3>| -> Vec<f32> { levels.try_into_vec_as().unwrap() };
        assert_eq!(values(midpoints(4, &device).reshape([1, 1, 4])), [0.125, 0.375, 0.625, 0.875]);
        let drawn = |seed| values(draw_levels([2, 3, 5], &mut dqn_mdp::Seed(seed).stream("levels"), &device));
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert!(drawn(1).iter().all(|level| (0.0..1.0).contains(level)));
        let mean = drawn(1).iter().sum::<f32>() / 30.0;
        assert!((0.3..0.7).contains(&mean), "{mean}");
    }

    proptest! {
        #[test]
        fn projections_equal_the_published_algorithm(
            atoms in prop::collection::vec((-8.0..8.0_f32, 0.01..1.0_f32), 2..20),
            low in -5.0..0.0_f64,
            width in 0.5..9.0_f64,
        ) {
            let total: f32 = atoms.iter().map(|atom| atom.1).sum();
            let (returns, probabilities): (Vec<f32>, Vec<f32>) = atoms.iter().map(|atom| (atom.0, atom.1 / total)).unzip();
            let expected = projection_oracle(&returns, &probabilities, low, low + width);
            for (found, expected) in projected(&returns, &probabilities, low, low + width).iter().zip(&expected) {
                prop_assert!((f64::from(*found) - expected).abs() < 1e-4, "{} instead of {}", found, expected);
            }
        }

        #[test]
        fn gradients_are_finite_differences(
            answers in prop::collection::vec(-2.0..2.0_f32, 3),
            returns in prop::collection::vec(-2.0..2.0_f32, 3),
        ) {
            let device = Device::flex();
            let categorical = |logits: Tensor<3>| {
                let target = MovedAtoms { returns: tensor(&returns, &device), probabilities: None };
                categorical_loss(logits, target, -1.0, 1.0).0
            };
            let levels = || midpoints(3, &device).reshape([1, 1, 3]);
            let quantile =
                |quantiles: Tensor<3>| quantile_huber_loss(quantiles, levels(), tensor(&returns, &device), 0.5);
            let losses: [&dyn Fn(Tensor<3>) -> Tensor<2>; 2] = [&categorical, &quantile];
            let recording = device.clone().autodiff();
            for loss in losses {
                let leaf = tensor(&answers, &recording).require_grad();
                let gradients = loss(leaf.clone()).sum().backward();
                let found: Vec<f32> = leaf.grad(&gradients).unwrap().try_into_vec_as().unwrap();
                for (index, found) in found.iter().enumerate() {
                    let at = |shift: f32| -> f32 {
                        let mut moved = answers.clone();
                        moved[index] += shift;
                        loss(tensor(&moved, &recording)).sum().into_scalar()
                    };
                    let expected = (at(1e-2) - at(-1e-2)) / 2e-2;
                    // The quantile loss has kinks, at most one slope of 1 / 3 wide within the difference.
                    prop_assert!((found - expected).abs() < 2e-2, "{} instead of {}", found, expected);
                }
            }
        }
    }
}
