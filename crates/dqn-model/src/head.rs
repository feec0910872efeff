//! Heads: from the features of a state to the values of its actions.

use burn::module::{Module, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use dqn_core::Distribution;
use dqn_mdp::Seed;
use rand::Rng;
use rand::distr::Distribution as _;
use rand_distr::StandardNormal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(feature = "flex")]
use crate::fused;
use crate::init::Init;
use crate::linear::{Activation, Linear};
use crate::pretrained::LanguageModelHead;
use crate::relevance::RelevanceConfig;

/// The part of the network that values actions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum HeadConfig {
    /// One value for each action.
    Scalar {
        /// Standard deviation of the initial weights; a small one begins with all values near 0.
        #[serde(default = "default_init_deviation")]
        #[schemars(range(min = 0.0, max = 10.0))]
        init_deviation: f64,
    },
    /// The value of the state plus the advantage of each action over their mean (Wang et al. 2016, eq. 9).
    Dueling {
        /// Standard deviation of the initial weights; a small one begins with all values near 0.
        #[serde(default = "default_init_deviation")]
        #[schemars(range(min = 0.0, max = 10.0))]
        init_deviation: f64,
    },
    /// The value of the state plus the scaled log-probability of each action, for soft values: the head is a policy
    /// `softmax(f(s) . w_a + b_a)` with a value of the state beside it, and what an update changes is that policy (Schulman et
    /// al. 2017, eq. 27). The value sends no gradient to the torso. The head may begin as a language model: see
    /// `training.initial`.
    Policy {
        /// The temperature of the soft values, in units of reward; that of `learner.bootstrap`.
        #[schemars(range(min = 1e-6))]
        temperature: f64,
        /// Standard deviation of the initial weights.
        #[serde(default = "default_init_deviation")]
        #[schemars(range(min = 0.0, max = 10.0))]
        init_deviation: f64,
        /// Add the logits of the pretrained model that is the torso: with `init_deviation = 0` the policy begins exactly as
        /// the model.
        #[serde(default)]
        from_model: bool,
    },
    /// The product of the features of the state with those of the action's text (He et al. 2016): actions share what is
    /// learned through their words.
    Relevance(RelevanceConfig),
    /// The product of the features of the state with the vector of the action's token, which texts are read with as well
    /// (Press and Wolf 2017). For actions of one token.
    Tied {
        /// Standard deviation of the initial values of features of length 1; a small one begins with all values near 0.
        #[serde(default = "default_init_deviation")]
        #[schemars(range(min = 0.0, max = 10.0))]
        init_deviation: f64,
    },
    /// The logits of the pretrained model that is the torso, by its own output layer; for the objective `imitation`, which
    /// takes values as logits.
    LanguageModel {},
}

impl HeadConfig {
    /// Standard deviation of the initial weights.
    fn init_deviation(&self) -> f64 {
        match *self {
            HeadConfig::Scalar { init_deviation }
            | HeadConfig::Dueling { init_deviation }
            | HeadConfig::Policy { init_deviation, .. }
            | HeadConfig::Tied { init_deviation } => init_deviation,
            HeadConfig::Relevance(config) => config.init_deviation,
            HeadConfig::LanguageModel {} => 0.0,
        }
    }
}

fn default_init_deviation() -> f64 {
    0.01
}

/// Linear values of actions, or linear descriptions of the distributions of their returns.
///
/// The weights lie as one row for each action (for each of its atoms, those of one action together), so that the value of
/// one action costs its rows and not the whole matrix.
#[derive(Module, Debug)]
pub struct Head {
    /// `[actions * atoms, width]`
    weight: Param<Tensor<2>>,
    /// `[actions * atoms]`
    bias: Param<Tensor<1>>,
    state_value: Option<StateValue>,
    noise_scale: Option<NoiseScale>,
    /// What reads the features first, where there is one: a rectified layer.
    hidden: Option<Linear>,
    /// Logits that are added to those of a policy.
    model: Option<LanguageModelHead>,
    #[module(skip)]
    distribution: Distribution,
    /// Where the head is a policy, what a nat of its log-probability is worth.
    #[module(skip)]
    temperature: Option<f64>,
    #[module(skip)]
    noise: Option<Noise>,
    /// The values of all actions as one linear layer, in a head that only acts.
    #[cfg(feature = "flex")]
    #[module(skip)]
    packed: Option<PackedValues>,
}

/// Weights, `[width, outputs]`, and bias, `[outputs]`: an output for each action, or for each of its atoms where the mean
/// of those is not linear.
#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct PackedValues {
    weight: fused::Packed,
    bias: Tensor<1>,
}

#[derive(Module, Debug)]
struct StateValue {
    /// `[width, atoms]`
    weight: Param<Tensor<2>>,
    /// `[atoms]`
    bias: Param<Tensor<1>>,
}

/// How much noise each weight takes (sigma in Fortunato et al. 2018), learned beside the weights.
#[derive(Module, Debug)]
struct NoiseScale {
    /// `[actions * atoms, width]`
    weight: Param<Tensor<2>>,
    /// `[actions * atoms]`
    bias: Param<Tensor<1>>,
}

/// Factorised noise: that of a weight is the product of its output's and its input's (Fortunato et al. 2018, eq. 10).
#[derive(Clone, Debug)]
struct Noise {
    /// One number for each row of weights.
    outputs: Vec<f32>,
    /// One number for each feature.
    inputs: Vec<f32>,
}

impl Noise {
    /// `sign(x) sqrt(|x|)` of normal draws.
    fn draw(n_outputs: usize, n_inputs: usize, seed: Seed) -> Self {
        let mut rng = seed.stream("noisy head");
        let mut draw = |n: usize| -> Vec<f32> {
            let normal = StandardNormal.sample_iter(&mut rng).take(n);
            normal.map(|x: f32| x.signum() * x.abs().sqrt()).collect()
        };
        Self { outputs: draw(n_outputs), inputs: draw(n_inputs) }
    }
}

impl Head {
    pub(crate) fn new<R: Rng>(
        config: HeadConfig,
        distribution: Distribution,
        noise: Option<f64>,
        [width, n_actions]: [usize; 2],
        init: &mut Init<'_, R>,
    ) -> Self {
        let deviation = config.init_deviation() as f32;
        let (has_state_value, temperature) = match config {
            HeadConfig::Dueling { .. } => (true, None),
            HeadConfig::Policy { temperature, .. } => (true, Some(temperature)),
            HeadConfig::Scalar { .. }
            | HeadConfig::Relevance(_)
            | HeadConfig::Tied { .. }
            | HeadConfig::LanguageModel {} => (false, None),
        };
        let n_atoms = distribution.n_atoms();
        let n_rows = n_actions * n_atoms;
        Self {
            weight: init.normal([n_rows, width], deviation),
            bias: init.zeros(n_rows),
            state_value: has_state_value
                .then(|| StateValue { weight: init.normal([width, n_atoms], deviation), bias: init.zeros(n_atoms) }),
            noise_scale: noise.map(|scale| {
                let scale = (scale / (width as f64).sqrt()) as f32;
                NoiseScale { weight: init.constant([n_rows, width], scale), bias: init.vector(vec![scale; n_rows]) }
            }),
            hidden: None,
            model: None,
            distribution,
            temperature,
            noise: None,
            #[cfg(feature = "flex")]
            packed: None,
        }
    }

    /// The same head behind a rectified layer, whose outputs its weights are for.
    pub(crate) fn behind(self, hidden: Option<Linear>) -> Self {
        Self { hidden, ..self }
    }

    /// The same head, which adds the logits of `model` to its own, where it is a policy.
    pub(crate) fn beside(self, model: Option<LanguageModelHead>) -> Self {
        Self { model, ..self }
    }

    /// What the weights are for: the features, or what the layer before them makes of these.
    fn seen(&self, features: Tensor<2>) -> Tensor<2> {
        match &self.hidden {
            Some(hidden) => hidden.forward(features, Activation::Relu),
            None => features,
        }
    }

    /// The same head, to act with: what depends on its parameters only is computed once.
    pub(crate) fn for_acting(self) -> Self {
        let (hidden, model) = (self.hidden.map(Linear::for_acting), self.model.map(LanguageModelHead::for_acting));
        Self { hidden, model, ..self }.packed()
    }

    fn packed(self) -> Self {
        #[cfg(feature = "flex")]
        if fused::can_act(&self.weight.device()) {
            let (weight, bias) = self.single_layer();
            let packed = Some(PackedValues { weight: fused::Packed::of_transpose(weight), bias });
            return Self { packed, ..self };
        }
        self
    }

    /// Weights and bias of one layer that says all, the state's value less the mean advantage included: `[outputs, width]`
    /// and `[outputs]`, as [`PackedValues`] describes the outputs.
    #[cfg(feature = "flex")]
    fn single_layer(&self) -> (Tensor<2>, Tensor<1>) {
        let (parameters, is_mean) = match self.mean_parameters() {
            Some(parameters) => (parameters, true),
            None => (self.parameters(), false),
        };
        // The log-probabilities of a policy are no linear layer; its logits are.
        let state = self.state_value.as_ref().filter(|_| self.temperature.is_none());
        let (Some(state), (weight, bias)) = (state, parameters.clone()) else { return parameters };
        let [n_outputs, width] = weight.dims();
        let n_actions = self.n_actions();
        let (weight, bias) = (
            weight.reshape([n_actions, n_outputs / n_actions, width]),
            bias.reshape([n_actions, n_outputs / n_actions]),
        );
        let (vectors, offsets) = (state.weight.val().transpose(), state.bias.val().unsqueeze_dim::<2>(0));
        let (vectors, offsets) = match is_mean {
            true => (vectors.mean_dim(0), offsets.mean_dim(1)),
            false => (vectors, offsets),
        };
        let vectors = vectors.unsqueeze_dim::<3>(0) - weight.clone().mean_dim(0);
        let offsets = offsets - bias.clone().mean_dim(0);
        ((weight + vectors).reshape([n_outputs, width]), (bias + offsets).reshape([n_outputs]))
    }

    /// Number of actions.
    pub fn n_actions(&self) -> usize {
        self.weight.dims()[0] / self.distribution.n_atoms()
    }

    /// What the head says of a return.
    pub fn distribution(&self) -> Distribution {
        self.distribution
    }

    /// The same head with the noise of `seed`, or without; a head that takes no noise stays as it is.
    pub(crate) fn with_noise(self, seed: Option<Seed>) -> Self {
        if self.noise_scale.is_none() {
            return self;
        }
        let [n_rows, width] = self.weight.dims();
        Self {
            noise: seed.map(|seed| Noise::draw(n_rows, width, seed)),
            // They are those of the head before.
            #[cfg(feature = "flex")]
            packed: None,
            ..self
        }
    }

    /// Weights and bias with their noise: `[actions * atoms, width]` and `[actions * atoms]`.
    fn parameters(&self) -> (Tensor<2>, Tensor<1>) {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let (Some(scale), Some(noise)) = (&self.noise_scale, &self.noise) else { return (weight, bias) };
        let vector =
            |values: &[f32]| Tensor::<1>::from_data(TensorData::new(values.to_vec(), [values.len()]), &weight.device());
        let (outputs, inputs) = (vector(&noise.outputs), vector(&noise.inputs));
        let weight_noise = scale.weight.val() * inputs.unsqueeze_dim(0) * outputs.clone().unsqueeze_dim(1);
        (weight + weight_noise, bias + scale.bias.val() * outputs)
    }

    /// The value of every action: the mean of what the head says of its return.
    ///
    /// ```text
    /// scalar:   Q(s, a) = f(s) . w_a + b_a
    /// dueling:  Q(s, a) = V(s) + A(s, a) - mean_a' A(s, a'),   A as above
    /// policy:   Q(s, a) = V(s) + temperature log softmax_a(f(s) . w_a + b_a [+ logit of the model])
    /// ```
    ///
    /// with one such formula for each atom.
    ///
    /// # Shapes
    /// - `features`: `[rows, width]`
    /// - returns `[rows, actions]`
    pub fn q_values(&self, features: Tensor<2>) -> Tensor<2> {
        let of_model = self.model.as_ref().map(|model| model.logits(features.clone()));
        let features = self.seen(features);
        #[cfg(feature = "flex")]
        if let Some(PackedValues { weight, bias }) = self.packed.clone() {
            return match self.distribution {
                Distribution::Categorical { low, high, n_atoms } => {
                    let support = Distribution::support(low, high, n_atoms, &features.device());
                    fused::expectation(features, weight, bias, support)
                }
                _ => {
                    let answers = fused::packed_linear(features.clone(), weight, bias, Activation::Identity);
                    self.as_policy(features, added(answers, of_model))
                }
            };
        }
        let (weight, bias) = self.parameters();
        let Some((means, mean_bias)) = self.mean_parameters() else {
            let (n_actions, n_atoms) = (self.n_actions(), self.distribution.n_atoms());
            let n_rows = features.dims()[0];
            let logits = features.clone().matmul(weight.clone().transpose()) + bias.clone().unsqueeze();
            let logits = logits.reshape([n_rows, n_actions, n_atoms]);
            let logits = match self.baseline(features, weight, bias) {
                Some(baseline) => logits + baseline.unsqueeze_dim(1),
                None => logits,
            };
            return self.distribution.mean(logits).squeeze_dim(2);
        };
        let values = features.clone().matmul(means.transpose()) + mean_bias.unsqueeze();
        if self.temperature.is_some() {
            return self.as_policy(features, added(values, of_model));
        }
        match self.baseline(features, weight, bias) {
            Some(baseline) => values + baseline.mean_dim(1),
            None => values,
        }
    }

    /// The values of a head that is a policy, from its logits; the answers of any other as they are: `[rows, actions]`.
    fn as_policy(&self, features: Tensor<2>, answers: Tensor<2>) -> Tensor<2> {
        match (self.temperature, &self.state_value) {
            (Some(temperature), Some(state_value)) => {
                // Errors of values are as large as returns, those of log-probabilities by the temperature smaller: the torso
                // learns from the policy, and the value reads what it learns.
                let value = state_value.forward(features.detach());
                log_softmax(answers, 1).mul_scalar(temperature) + value
            }
            _ => answers,
        }
    }

    /// The head of a policy with the logits of `other`, whose values are logits, and its own value of the state.
    pub(crate) fn with_logits_of(self, other: Self) -> Self {
        Self { weight: other.weight, bias: other.bias, ..self }
    }

    /// Weights and bias whose linear answer is the mean of the atoms, `[actions, width]` and `[actions]`, or none where the
    /// mean is not linear.
    fn mean_parameters(&self) -> Option<(Tensor<2>, Tensor<1>)> {
        let (n_actions, n_atoms) = (self.n_actions(), self.distribution.n_atoms());
        let (weight, bias) = self.parameters();
        match self.distribution {
            Distribution::Categorical { .. } => None,
            // Implicit quantiles meet a head of means, at features that already hold the levels.
            Distribution::Mean | Distribution::Implicit { .. } => Some((weight, bias)),
            // The mean of linear answers is the answer of the mean weights.
            Distribution::Quantile { .. } => {
                let width = weight.dims()[1];
                let weight = weight.reshape([n_actions, n_atoms, width]).mean_dim(1).squeeze_dim(1);
                Some((weight, bias.reshape([n_actions, n_atoms]).mean_dim(1).squeeze_dim(1)))
            }
        }
    }

    /// The action of the highest value in each row, the first of several, where the backend has a faster way to it than the
    /// values of all: `[rows, width]` to `[rows]`.
    ///
    /// `mask` is added to the values: `[rows, actions]`.
    pub(crate) fn best_actions(&self, features: &Tensor<2>, mask: Option<Tensor<2>>) -> Option<Tensor<1, Int>> {
        #[cfg(feature = "flex")]
        if fused::can_act(&features.device()) {
            return Some(match (self.mean_parameters(), mask) {
                // What a dueling head adds is the same for every action.
                (Some((weight, bias)), None) if self.model.is_none() => {
                    fused::argmax(self.seen(features.clone()), fused::Packed::of_transpose(weight), bias)
                }
                (_, mask) => {
                    let values = self.clone().for_acting().q_values(features.clone());
                    let allowed = match mask {
                        Some(mask) => values + mask,
                        None => values,
                    };
                    allowed.argmax(1).squeeze_dim(1)
                }
            });
        }
        let _ = (features, mask);
        None
    }

    /// What the head says of one action in each row: `[rows, atoms]`.
    ///
    /// # Shapes
    /// - `features`: `[rows, width]`; `actions`: `[rows]`
    pub fn atoms_taken(&self, features: Tensor<2>, actions: Tensor<1, Int>) -> Tensor<2> {
        let (n_actions, n_atoms) = (self.n_actions(), self.distribution.n_atoms());
        if self.temperature.is_some() {
            return self.q_values(features).gather(1, actions.unsqueeze_dim(1));
        }
        let (features, (weight, bias)) = (self.seen(features), self.parameters());
        let [n_rows, width] = features.dims();
        let rows = weight.clone().reshape([n_actions, n_atoms * width]).select(0, actions.clone());
        let products = features.clone().unsqueeze_dim::<3>(1) * rows.reshape([n_rows, n_atoms, width]);
        let atoms =
            products.sum_dim(2).squeeze_dim::<2>(2) + bias.clone().reshape([n_actions, n_atoms]).select(0, actions);
        match self.baseline(features, weight, bias) {
            Some(baseline) => atoms + baseline,
            None => atoms,
        }
    }

    /// The value of one action in each row: `[rows]`.
    ///
    /// # Shapes
    /// - `features`: `[rows, width]`; `actions`: `[rows]`
    pub fn q_taken(&self, features: Tensor<2>, actions: Tensor<1, Int>) -> Tensor<1> {
        self.distribution.mean(self.atoms_taken(features, actions)).squeeze_dim(1)
    }

    /// The state's value less the mean advantage, for each atom, where the head is dueling: `[rows, atoms]`.
    fn baseline(&self, features: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Option<Tensor<2>> {
        let state_value = self.state_value.as_ref()?;
        let (n_actions, n_atoms) = (self.n_actions(), self.distribution.n_atoms());
        let width = features.dims()[1];
        // Mean advantages come from the mean weights: one product for each row instead of a sum over actions.
        let mean_weight = weight.reshape([n_actions, n_atoms * width]).mean_dim(0).reshape([n_atoms, width]);
        let mean_bias = bias.reshape([n_actions, n_atoms]).mean_dim(0);
        let mean = features.clone().matmul(mean_weight.transpose()) + mean_bias;
        Some(state_value.forward(features) - mean)
    }
}

/// Logits with those of a model added, where there is one: `[rows, actions]`.
fn added(logits: Tensor<2>, of_model: Option<Tensor<2>>) -> Tensor<2> {
    match of_model {
        Some(of_model) => logits + of_model,
        None => logits,
    }
}

impl StateValue {
    fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        features.matmul(self.weight.val()) + self.bias.val().unsqueeze()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use dqn_mdp::Seed;

    use super::*;

    #[test]
    fn dueling_advantages_average_to_the_state_value() {
        let device = Device::flex();
        let mut rng = Seed(5).stream("init");
        let mut init = Init { rng: &mut rng, device: &device };
        let dueling = HeadConfig::Dueling { init_deviation: 0.5 };
        let head = Head::new(dueling, Distribution::Mean, None, [4, 7], &mut init);
        let features = Tensor::<2>::from_data([[1.0, -2.0, 0.5, 3.0], [0.0, 1.0, 1.0, -1.0]], &device);
        let expected = head.state_value.as_ref().unwrap().forward(features.clone());
        let mean = head.q_values(features).mean_dim(1);
        let difference: f32 = (mean - expected).abs().max().into_scalar();
        assert!(difference < 1e-6, "differs by {difference}");
    }

    #[test]
    fn the_soft_value_of_a_policy_is_its_state_value_which_moves_no_features() {
        let device = Device::flex().autodiff();
        let mut init = Init { rng: &mut Seed(5).stream("init"), device: &device };
        let policy = HeadConfig::Policy { temperature: 0.5, init_deviation: 0.5, from_model: false };
        let head = Head::new(policy, Distribution::Mean, None, [4, 7], &mut init);
        let features = Tensor::<2>::from_data([[1.0, -2.0, 0.5, 3.0], [0.0, 1.0, 1.0, -1.0]], &device).require_grad();
        let value = head.state_value.as_ref().unwrap().forward(features.clone());
        let soft = head.q_values(features.clone()).div_scalar(0.5).exp().sum_dim(1).log().mul_scalar(0.5);
        let difference: f32 = (soft.clone() - value).abs().max().into_scalar();
        assert!(difference < 1e-6, "differs by {difference}");
        let gradients = soft.sum().backward();
        let slope = features.grad(&gradients).map_or(0.0, |slope| slope.abs().max().into_scalar::<f32>());
        assert!(slope < 1e-6, "the features follow the value by {slope}");
        let weight = head.state_value.as_ref().unwrap().weight.grad(&gradients).unwrap();
        assert!(weight.abs().max().into_scalar::<f32>() > 0.1, "and the value itself stays");
    }

    #[test]
    fn a_policy_takes_the_logits_of_another_head() {
        let device = Device::flex();
        let mut init = Init { rng: &mut Seed(5).stream("init"), device: &device };
        let mut head = |config| Head::new(config, Distribution::Mean, None, [4, 7], &mut init);
        let logits = head(HeadConfig::Scalar { init_deviation: 1.0 });
        let policy = head(HeadConfig::Policy { temperature: 0.5, init_deviation: 0.01, from_model: false });
        let features = Tensor::<2>::from_data([[1.0, -2.0, 0.5, 3.0]], &device);
        let expected = log_softmax(logits.q_values(features.clone()), 1);
        let found = log_softmax(policy.with_logits_of(logits).q_values(features).div_scalar(0.5), 1);
        assert!((found - expected).abs().max().into_scalar::<f32>() < 1e-6);
    }

    #[test]
    fn one_layer_says_what_the_parts_of_the_head_say() {
        let categorical = Distribution::Categorical { low: -1.0, high: 2.0, n_atoms: 19 };
        for distribution in [Distribution::Mean, categorical, Distribution::Quantile { n_quantiles: 5 }] {
            let policy = HeadConfig::Policy { temperature: 0.5, init_deviation: 1.5, from_model: false };
            let dueling = HeadConfig::Dueling { init_deviation: 1.5 };
            for head in [HeadConfig::Scalar { init_deviation: 1.5 }, dueling, policy] {
                if matches!(head, HeadConfig::Policy { .. }) && distribution != Distribution::Mean {
                    continue;
                }
                let values = |device: Device, acts: bool| -> [Vec<f32>; 2] {
                    let mut init = Init { rng: &mut Seed(5).stream("init"), device: &device };
                    let head = Head::new(head, distribution, Some(0.5), [4, 7], &mut init).with_noise(Some(Seed(3)));
                    let head = if acts { head.for_acting() } else { head };
                    let features = Tensor::<2>::from_data([[1.0, -2.0, 0.5, 3.0], [0.0, 1.0, 1.0, -1.0]], &device);
                    let mask = Tensor::<2>::from_data([[0.0, -1e9, 0.0, 0.0, -1e9, 0.0, 0.0]; 2], &device);
                    let best = |mask: Option<Tensor<2>>| -> Vec<f32> {
                        let values = head.q_values(features.clone());
                        let allowed = mask.clone().map_or(values.clone(), |mask| values + mask);
                        let best = head.best_actions(&features, mask);
                        best.unwrap_or_else(|| allowed.argmax(1).squeeze_dim(1)).float().try_into_vec_as().unwrap()
                    };
                    let best = [best(None), best(Some(mask))].concat();
                    [head.q_values(features.clone()).try_into_vec_as().unwrap(), best]
                };
                // A graph is recorded only in plain tensors.
                let [expected, expected_best] = values(Device::flex().autodiff(), false);
                let [found, found_best] = values(Device::flex(), true);
                let difference = found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs());
                assert!(difference.fold(0.0, f32::max) < 1e-5, "{distribution:?}: {found:?}, not {expected:?}");
                assert_eq!(found_best, expected_best, "{distribution:?}");
            }
        }
    }

    #[test]
    fn noise_moves_the_values_by_its_scale_and_ends_when_taken_away() {
        let device = Device::flex();
        let mut rng = Seed(5).stream("init");
        let mut init = Init { rng: &mut rng, device: &device };
        let scalar = HeadConfig::Scalar { init_deviation: 0.5 };
        let head = Head::new(scalar, Distribution::Mean, Some(0.5), [4, 3], &mut init);
        let features = Tensor::<2>::from_data([[1.0, -2.0, 0.5, 3.0]], &device);
        let values = |head: &Head| -> Vec<f32> { head.q_values(features.clone()).try_into_vec_as().unwrap() };
        let quiet = values(&head);
        let noisy = head.clone().with_noise(Some(Seed(1)));
        let Noise { outputs, inputs } = noisy.noise.clone().unwrap();
        // Every scale begins at 0.5 / sqrt(4).
        let shared: f32 = 1.0 + inputs[0] - 2.0 * inputs[1] + 0.5 * inputs[2] + 3.0 * inputs[3];
        for ((noisy, quiet), output) in values(&noisy).iter().zip(&quiet).zip(outputs) {
            assert!((noisy - quiet - 0.25 * output * shared).abs() < 1e-5);
        }
        assert_eq!(values(&noisy.clone().with_noise(None)), quiet);
        assert_ne!(values(&head.clone().with_noise(Some(Seed(2)))), values(&noisy));
    }
}
