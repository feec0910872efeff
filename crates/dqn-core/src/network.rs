//! The contract between algorithms and Q-networks.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use dqn_mdp::Seed;

use crate::bootstrap::log_sum_exp;
use crate::distribution::Distribution;
use crate::policy::Decoding;
use crate::source_batch::SourceInput;

/// What a network reads for a batch of windows.
#[derive(Clone, Debug)]
pub struct SequenceInput {
    /// Token ids, padded on the right: `[batch, time]`.
    pub tokens: Tensor<2, Int>,
    /// Position ids of the same tokens, see [`dqn_mdp::PositionEncoder`]: `[batch, time]`.
    pub positions: Tensor<2, Int>,
    /// For each state asked about, the index of its last token: `[batch, states]`.
    pub decisions: Tensor<2, Int>,
    /// What the texts are about, where the task has sources: `[batch, ...]`.
    pub source: Option<SourceInput>,
}

impl SequenceInput {
    /// The same input on a device that records the operations on it for backpropagation.
    pub fn lifted(self) -> Self {
        Self {
            tokens: Tensor::from_inner(self.tokens),
            positions: Tensor::from_inner(self.positions),
            decisions: Tensor::from_inner(self.decisions),
            source: self.source.map(SourceInput::lifted),
        }
    }
}

/// What a network learns beside the values of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Companions {
    /// The policy that made the data.
    pub has_policy: bool,
    /// A second value of every action and a value of the state, as ILQL has them.
    pub has_second: bool,
}

/// One more token for each of several texts.
#[derive(Clone, Debug)]
pub struct StepInput {
    /// Token ids: `[batch]`.
    pub tokens: Tensor<1, Int>,
    /// Position ids of the same tokens: `[batch]`.
    pub positions: Tensor<1, Int>,
}

/// A network that values every action in every state of a text.
///
/// The work is divided so that an update pays only for what it uses: `features` reads the text once, `q_taken` values
/// one action a state with gradient, `q_values` values all of them where no gradient is wanted. Acting goes through
/// `start` and `step`, whose cost does not grow with the length of the text.
pub trait QNetwork: Module + Sync {
    /// What the network remembers of the texts it reads token by token.
    type DecodeState: Clone + Send;

    /// Number of actions.
    fn n_actions(&self) -> usize;

    /// The features of the states asked about.
    ///
    /// # Shapes
    /// - returns `[batch, states, width]`
    fn features(&self, input: &SequenceInput) -> Tensor<3>;

    /// What the network says of the return of an action.
    fn distribution(&self) -> Distribution {
        Distribution::Mean
    }

    /// The distribution of the return of one action in each state, as [`Distribution`] describes it.
    ///
    /// # Shapes
    /// - `features`: `[batch, states, width]`
    /// - `actions`: `[batch, states]`
    /// - returns `[batch, states, atoms]`
    fn atoms_taken(&self, features: Tensor<3>, actions: Tensor<2, Int>) -> Tensor<3> {
        self.q_taken(features, actions).unsqueeze_dim(2)
    }

    /// The returns of one action in each state at the levels asked for, of a network whose answer is
    /// [`Distribution::Implicit`].
    ///
    /// # Shapes
    /// - `features`: `[batch, states, width]`
    /// - `actions`: `[batch, states]`
    /// - `levels`: `[batch, states, samples]`, from 0 to 1
    /// - returns `[batch, states, samples]`
    ///
    /// # Panics
    /// When the network's answer is another one.
    fn returns_at(&self, features: Tensor<3>, actions: Tensor<2, Int>, levels: Tensor<3>) -> Tensor<3> {
        let _ = (features, actions, levels);
        panic!("{:?} has no levels to be asked for", self.distribution());
    }

    /// What the network learns beside its values.
    fn companions(&self) -> Companions {
        Companions::default()
    }

    /// The value of every action by the second opinion, of a network with [`Companions::has_second`].
    ///
    /// # Shapes
    /// - as [`QNetwork::q_values`]
    ///
    /// # Panics
    /// When the network has none.
    fn second_q_values(&self, features: Tensor<3>) -> Tensor<3> {
        let _ = features;
        panic!("the network has no second value of an action")
    }

    /// The value of one action in each state by the second opinion, of a network with [`Companions::has_second`].
    ///
    /// # Shapes
    /// - as [`QNetwork::q_taken`]
    ///
    /// # Panics
    /// When the network has none.
    fn second_q_taken(&self, features: Tensor<3>, actions: Tensor<2, Int>) -> Tensor<2> {
        let _ = (features, actions);
        panic!("the network has no second value of an action")
    }

    /// The value of each state, of a network with [`Companions::has_second`].
    ///
    /// # Shapes
    /// - `features`: `[batch, states, width]`
    /// - returns `[batch, states]`
    ///
    /// # Panics
    /// When the network has none.
    fn state_values(&self, features: Tensor<3>) -> Tensor<2> {
        let _ = features;
        panic!("the network has no value of a state")
    }

    /// The policy that made the data, as logits, of a network with [`Companions::has_policy`].
    ///
    /// # Shapes
    /// - `features`: `[batch, states, width]`
    /// - returns `[batch, states, actions]`
    ///
    /// # Panics
    /// When the network has none.
    fn policy_logits(&self, features: Tensor<3>) -> Tensor<3> {
        let _ = features;
        panic!("the network has no policy of the data")
    }

    /// The same network, whose values from now on are the preferences of `decoding`, or values again.
    ///
    /// A network without a policy of the data stays as it is. Such a network acts and is not learned with.
    fn decoding(self, decoding: Option<Decoding>) -> Self {
        let _ = decoding;
        self
    }

    /// The same network with new noise in its noisy parts (Fortunato et al. 2018), or with none; a network without such
    /// parts stays as it is.
    fn with_noise(self, noise: Option<Seed>) -> Self {
        let _ = noise;
        self
    }

    /// The same network with only the actions `considered`, which it counts from 0 in their order, or with all of them.
    ///
    /// A network that values actions by their text saves the work for the others where few of very many are candidates;
    /// any other may stay as it is, and then learns from batches of all actions only.
    fn considering(self, considered: Option<&[i64]>) -> Self {
        let _ = considered;
        self
    }

    /// The same network, to act with: what depends on its parameters only is computed once.
    ///
    /// Such a network is not learned with, since it would not notice that its parameters change.
    fn for_acting(self) -> Self {
        self
    }

    /// The value of every action.
    ///
    /// # Shapes
    /// - `features`: `[batch, states, width]`
    /// - returns `[batch, states, actions]`
    fn q_values(&self, features: Tensor<3>) -> Tensor<3>;

    /// The action of the highest value in each state, the first of several.
    ///
    /// # Shapes
    /// - `features`: `[batch, states, width]`
    /// - `mask`: 0 for allowed actions, a very small number for others: `[batch, states, actions]`
    /// - returns `[batch, states]`
    fn best_actions(&self, features: Tensor<3>, mask: Option<Tensor<3>>) -> Tensor<2, Int> {
        best_of(self.q_values(features), mask)
    }

    /// The value of one action in each state.
    ///
    /// # Shapes
    /// - `features`: `[batch, states, width]`
    /// - `actions`: `[batch, states]`
    /// - returns `[batch, states]`, equal to `q_values` gathered at `actions`
    fn q_taken(&self, features: Tensor<3>, actions: Tensor<2, Int>) -> Tensor<2>;

    /// `log sum_a exp(scale * x_a)` of values of all actions, with its graph.
    ///
    /// # Shapes
    /// - `values`: `[batch, states, actions]`
    /// - returns `[batch, states]`
    fn log_sum_exp(values: Tensor<3>, scale: f64) -> Tensor<2> {
        log_sum_exp(values, scale)
    }

    /// Reads texts from their beginning up to the one state asked about in each, and values its actions.
    ///
    /// # Shapes
    /// - `input.decisions`: `[batch, 1]`
    /// - returns `[batch, actions]`
    fn start(&self, input: &SequenceInput) -> (Self::DecodeState, Tensor<2>);

    /// Reads one more token of each text and values the actions of the new states.
    ///
    /// # Shapes
    /// - returns `[batch, actions]`
    fn step(&self, input: &StepInput, state: &mut Self::DecodeState) -> Tensor<2>;

    /// Reads one more token of each text whose values nobody asks for.
    fn skip(&self, input: &StepInput, state: &mut Self::DecodeState) {
        self.step(input, state);
    }

    /// Keeps the rows `rows` of a decode state, in that order; a row may be named more than once.
    fn select(&self, state: Self::DecodeState, rows: Tensor<1, Int>) -> Self::DecodeState;

    /// The rows of one decode state and after them those of another.
    fn join(&self, one: Self::DecodeState, other: Self::DecodeState) -> Self::DecodeState;

    /// Where the parameters live.
    fn device(&self) -> Device;
}

/// The action of the highest value, as [`QNetwork::best_actions`] describes it, from the values of all.
pub fn best_of(q_values: Tensor<3>, mask: Option<Tensor<3>>) -> Tensor<2, Int> {
    let allowed = match mask {
        Some(mask) => q_values + mask,
        None => q_values,
    };
    allowed.argmax(2).squeeze_dim(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_and_double_take_the_value_of_the_best_allowed_action() {
        let device = Device::flex();
        let tensor = |values: [[[f32; 3]; 2]; 1]| Tensor::<3>::from_data(values, &device);
        let target = tensor([[[1.0, 3.0, 2.0], [0.0, -1.0, -2.0]]]);
        let online = tensor([[[9.0, 0.0, 1.0], [0.0, 5.0, 9.0]]]);
        let mask = tensor([[[0.0, -1e9, 0.0], [0.0, 0.0, -1e9]]]);
        for (judge, mask, expected) in [
            (&target, None, [3.0, 0.0]),
            (&target, Some(&mask), [2.0, 0.0]),
            (&online, None, [1.0, -2.0]),
            (&online, Some(&mask), [1.0, -1.0]),
        ] {
            let best = best_of(judge.clone(), mask.cloned());
            let found: Vec<f32> = target.clone().gather(2, best.unsqueeze_dim(2)).try_into_vec_as().unwrap();
            assert_eq!(found, expected);
        }
    }
}
