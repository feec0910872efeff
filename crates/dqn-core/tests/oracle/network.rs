//! A network whose answers can be computed by hand: the product of a row for the last token and a row for the action.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_core::{Companions, Distribution, QNetwork, SequenceInput, StepInput};
use rand::{Rng, RngExt};

/// Width of the rows.
pub(crate) const WIDTH: usize = 3;

/// The parameters of a [`TableNetwork`] as plain numbers.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// `[n_tokens * WIDTH]`
    pub(crate) tokens: Vec<f64>,
    /// `[n_outputs * WIDTH]`, the outputs of one action together; with companions the second values, the logits of the
    /// policy, and the value of the state below them.
    pub(crate) actions: Vec<f64>,
    pub(crate) distribution: Distribution,
    pub(crate) companions: bool,
}

/// Rows below those of the values, of a network with companions.
fn rows_of_companions(n_actions: usize) -> usize {
    2 * n_actions + 1
}

/// Numbers that describe one action: a mean, logits, quantiles; of an implicit distribution its mean and its slope.
pub(crate) fn n_outputs(distribution: Distribution) -> usize {
    match distribution {
        Distribution::Implicit { .. } => 2,
        _ => distribution.n_atoms(),
    }
}

impl Table {
    /// Numbers that 32-bit floats hold exactly.
    pub(crate) fn random(
        n_tokens: usize,
        n_actions: usize,
        distribution: Distribution,
        companions: bool,
        rng: &mut impl Rng,
    ) -> Self {
        let mut draw = |rows: usize| (0..rows * WIDTH).map(|_| f64::from(rng.random_range(-1.5..1.5_f32))).collect();
        let n_more = if companions { rows_of_companions(n_actions) } else { 0 };
        let (tokens, actions) = (draw(n_tokens), draw(n_actions * n_outputs(distribution) + n_more));
        Self { tokens, actions, distribution, companions }
    }

    /// The product of a row of the actions with that of a token.
    fn product(&self, token: usize, row: usize) -> f64 {
        let features = &self.tokens[token * WIDTH..][..WIDTH];
        self.actions[row * WIDTH..][..WIDTH].iter().zip(features).map(|(weight, feature)| weight * feature).sum()
    }

    /// Where the companions begin, each as many rows as there are actions.
    fn n_actions(&self) -> usize {
        (self.actions.len() / WIDTH - 1) / 3
    }

    /// The second value of `action` after `token`, with companions.
    pub(crate) fn second(&self, token: usize, action: usize) -> f64 {
        self.product(token, self.n_actions() + action)
    }

    /// The logit of `action` after `token`, with companions.
    pub(crate) fn logit(&self, token: usize, action: usize) -> f64 {
        self.product(token, 2 * self.n_actions() + action)
    }

    /// The value of the state after `token`, with companions.
    pub(crate) fn state_value(&self, token: usize) -> f64 {
        self.product(token, 3 * self.n_actions())
    }

    /// What the network says of `action` after `token`.
    pub(crate) fn outputs(&self, token: usize, action: usize) -> Vec<f64> {
        let n_outputs = n_outputs(self.distribution);
        (0..n_outputs).map(|output| self.product(token, action * n_outputs + output)).collect()
    }

    /// Every parameter, those of the tokens first.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = f64> {
        self.tokens.iter().chain(&self.actions).copied()
    }

    /// The parameter at `index` of [`Table::parameters`].
    pub(crate) fn parameter_mut(&mut self, index: usize) -> &mut f64 {
        let n_tokens = self.tokens.len();
        if index < n_tokens { &mut self.tokens[index] } else { &mut self.actions[index - n_tokens] }
    }

    pub(crate) fn network(&self, device: &Device) -> TableNetwork {
        let parameter = |values: &[f64]| {
            let rows: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            Param::from_data(TensorData::new(rows, [values.len() / WIDTH, WIDTH]), device)
        };
        TableNetwork {
            tokens: parameter(&self.tokens),
            actions: parameter(&self.actions),
            distribution: self.distribution,
            companions: self.companions,
        }
    }
}

#[derive(Module, Debug)]
pub(crate) struct TableNetwork {
    tokens: Param<Tensor<2>>,
    actions: Param<Tensor<2>>,
    #[module(skip)]
    distribution: Distribution,
    #[module(skip)]
    companions: bool,
}

impl TableNetwork {
    pub(crate) fn table(&self) -> Table {
        let plain = |parameter: &Param<Tensor<2>>| -> Vec<f64> {
            let values: Vec<f32> = parameter.val().try_into_vec_as().unwrap();
            values.into_iter().map(f64::from).collect()
        };
        let (tokens, actions) = (plain(&self.tokens), plain(&self.actions));
        Table { tokens, actions, distribution: self.distribution, companions: self.companions }
    }

    /// `[batch, states, actions, outputs]`
    fn all_outputs(&self, features: Tensor<3>) -> Tensor<4> {
        let [batch, states, width] = features.dims();
        let rows = self.actions.val().narrow(0, 0, self.n_actions() * n_outputs(self.distribution));
        let outputs = features.reshape([batch * states, width]).matmul(rows.transpose());
        outputs.reshape([batch, states, self.n_actions(), n_outputs(self.distribution)])
    }

    fn outputs_taken(&self, features: Tensor<3>, actions: Tensor<2, Int>) -> Tensor<3> {
        let all = self.all_outputs(features);
        let n_outputs = all.dims()[3];
        let index = actions.unsqueeze_dim::<3>(2).unsqueeze_dim::<4>(3).repeat_dim(3, n_outputs);
        all.gather(2, index).squeeze_dim(2)
    }

    /// The products with some of the rows: `[batch, states, n]`.
    fn products(&self, features: Tensor<3>, first: usize, n: usize) -> Tensor<3> {
        let [batch, states, width] = features.dims();
        let rows = self.actions.val().narrow(0, first, n);
        features.reshape([batch * states, width]).matmul(rows.transpose()).reshape([batch, states, n])
    }

    fn features_of(&self, tokens: Tensor<1, Int>) -> Tensor<2> {
        self.tokens.val().select(0, tokens)
    }

    /// The values after one token of each text: `[batch, actions]`.
    fn values_after(&self, tokens: Tensor<1, Int>) -> Tensor<2> {
        self.q_values(self.features_of(tokens).unsqueeze_dim(1)).squeeze_dim(1)
    }
}

impl QNetwork for TableNetwork {
    type DecodeState = ();

    fn n_actions(&self) -> usize {
        let n_rows = self.actions.dims()[0];
        if self.companions { (n_rows - 1) / 3 } else { n_rows / n_outputs(self.distribution) }
    }

    fn companions(&self) -> Companions {
        Companions { has_policy: self.companions, has_second: self.companions }
    }

    fn second_q_values(&self, features: Tensor<3>) -> Tensor<3> {
        self.products(features, self.n_actions(), self.n_actions())
    }

    fn second_q_taken(&self, features: Tensor<3>, actions: Tensor<2, Int>) -> Tensor<2> {
        self.second_q_values(features).gather(2, actions.unsqueeze_dim(2)).squeeze_dim(2)
    }

    fn policy_logits(&self, features: Tensor<3>) -> Tensor<3> {
        self.products(features, 2 * self.n_actions(), self.n_actions())
    }

    fn state_values(&self, features: Tensor<3>) -> Tensor<2> {
        self.products(features, 3 * self.n_actions(), 1).squeeze_dim(2)
    }

    fn features(&self, input: &SequenceInput) -> Tensor<3> {
        let [batch, states] = input.decisions.dims();
        let last = input.tokens.clone().gather(1, input.decisions.clone());
        self.features_of(last.reshape([batch * states])).reshape([batch, states, WIDTH])
    }

    fn distribution(&self) -> Distribution {
        self.distribution
    }

    fn atoms_taken(&self, features: Tensor<3>, actions: Tensor<2, Int>) -> Tensor<3> {
        self.outputs_taken(features, actions)
    }

    fn returns_at(&self, features: Tensor<3>, actions: Tensor<2, Int>, levels: Tensor<3>) -> Tensor<3> {
        // The return rises in a straight line through its mean at the level 1/2.
        let outputs = self.outputs_taken(features, actions);
        outputs.clone().narrow(2, 0, 1) + outputs.narrow(2, 1, 1) * levels.sub_scalar(0.5)
    }

    fn q_values(&self, features: Tensor<3>) -> Tensor<3> {
        let outputs = self.all_outputs(features);
        let means = match self.distribution {
            Distribution::Implicit { .. } => outputs.narrow(3, 0, 1),
            distribution => distribution.mean(outputs),
        };
        means.squeeze_dim(3)
    }

    fn q_taken(&self, features: Tensor<3>, actions: Tensor<2, Int>) -> Tensor<2> {
        self.q_values(features).gather(2, actions.unsqueeze_dim(2)).squeeze_dim(2)
    }

    fn start(&self, input: &SequenceInput) -> ((), Tensor<2>) {
        let last = input.tokens.clone().gather(1, input.decisions.clone());
        ((), self.values_after(last.squeeze_dim(1)))
    }

    fn step(&self, input: &StepInput, (): &mut ()) -> Tensor<2> {
        self.values_after(input.tokens.clone())
    }

    fn join(&self, (): (), (): ()) {}

    fn select(&self, (): (), _rows: Tensor<1, Int>) {}

    fn device(&self) -> Device {
        self.tokens.device()
    }
}
