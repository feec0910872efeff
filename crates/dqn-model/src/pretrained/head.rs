//! The output layer of a pretrained model as values of actions.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use dqn_mdp::ActionTable;

use super::states::last_of;
use super::torso::PretrainedBase;
#[cfg(feature = "flex")]
use crate::fused;
#[cfg(feature = "flex")]
use crate::linear::Activation;

/// The logits that a pretrained model has for the tokens of actions. It has no parameters of its own: the output layer is
/// the model's, and stays as it is.
#[derive(Module, Debug)]
pub struct LanguageModelHead {
    /// A row for each action: `[actions, width]`.
    #[module(skip)]
    weight: Tensor<2>,
    /// The same in a head that only acts, and a bias of zeros.
    #[cfg(feature = "flex")]
    #[module(skip)]
    packed: Option<(fused::Packed, Tensor<1>)>,
}

impl LanguageModelHead {
    /// The output layer of `base` for the actions of `table`.
    ///
    /// # Panics
    /// When an action writes other than one token.
    pub(crate) fn new(base: &PretrainedBase, table: &ActionTable) -> Self {
        let token = |tokens: &[dqn_mdp::TokenId]| match *tokens {
            [token] => token,
            _ => panic!("a language model has logits of single tokens; this action writes {}", tokens.len()),
        };
        let tokens: Vec<_> = table.iter().map(|(_, tokens)| token(tokens)).collect();
        Self {
            weight: base.output_rows(&tokens),
            #[cfg(feature = "flex")]
            packed: None,
        }
    }

    /// Number of actions.
    pub fn n_actions(&self) -> usize {
        self.weight.dims()[0]
    }

    pub(crate) fn for_acting(self) -> Self {
        #[cfg(feature = "flex")]
        if fused::can_act(&self.weight.device()) {
            let zeros = Tensor::zeros([self.n_actions()], &self.weight.device());
            return Self { packed: Some((fused::Packed::of_transpose(self.weight.clone()), zeros)), ..self };
        }
        self
    }

    /// `[rows, features]` to `[rows, actions]`.
    pub(crate) fn logits(&self, features: Tensor<2>) -> Tensor<2> {
        let features = self.last_of(features);
        let records = features.device().is_autodiff();
        #[cfg(feature = "flex")]
        if let (Some((weight, zeros)), false) = (&self.packed, records) {
            return fused::packed_linear(features, weight.clone(), zeros.clone(), Activation::Identity);
        }
        features.matmul(self.rows(records).transpose())
    }

    /// The logit of one action in each row: `[rows]`.
    ///
    /// # Shapes
    /// - `features`: `[rows, features]`; `actions`: `[rows]`
    pub(crate) fn logits_taken(&self, features: Tensor<2>, actions: Tensor<1, Int>) -> Tensor<1> {
        let rows = self.rows(features.device().is_autodiff()).select(0, actions);
        let features = self.last_of(features);
        (features * rows).sum_dim(1).squeeze_dim(1)
    }

    /// The state that an output layer reads.
    fn last_of(&self, features: Tensor<2>) -> Tensor<2> {
        last_of(features, self.weight.dims()[1])
    }

    fn rows(&self, records: bool) -> Tensor<2> {
        if records { Tensor::from_inner(self.weight.clone()) } else { self.weight.clone() }
    }
}
