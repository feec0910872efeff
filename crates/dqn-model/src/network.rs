//! The whole network: embedding, torso, head.

use std::sync::Arc;

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, LayerNorm};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};
use dqn_core::bootstrap::log_sum_exp;
use dqn_core::network::Companions;
use dqn_core::network::best_of;
use dqn_core::policy::Decoding;
use dqn_core::{Distribution, InputShape, QNetwork, SequenceInput, StepInput};
use dqn_mdp::{ActionTable, Seed};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::GruConfig;
use crate::action_values::{ActionValues, HeadShape};
use crate::dropout::dropped;
use crate::embedding::TokenEmbedding;
use crate::encoder::EncoderConfig;
#[cfg(feature = "flex")]
use crate::fused;
use crate::head::HeadConfig;
use crate::init::{Init, NumberParameters};
use crate::linear::{Activation, Linear};
use crate::norm::{layer_norm, normalise};
use crate::pretrained::{CausalLm, LanguageModelHead, PretrainedBase};
use crate::quantile_embedding::QuantileEmbedding;
use crate::source_attention::Conditioning;
use crate::source_reader::{DecodeState, SourceReader};
use crate::torso::{Torso, TorsoConfig};

const NO_SECOND: &str = "a checked configuration gives ILQL a second value";

/// The Q-network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Length of the vector of a token.
    #[schemars(range(min = 1, max = 65536))]
    pub embedding_width: usize,
    /// The part that reads what the text is about, in tasks with sources.
    pub encoder: Option<EncoderConfig>,
    /// The part that reads the text.
    pub torso: TorsoConfig,
    /// The part that values actions.
    pub head: HeadConfig,
    /// Width of a rectified layer of its own before each head (for `scalar`, `dueling` and `policy`, and the state value of
    /// ILQL). Leave it out for none.
    #[schemars(range(min = 1, max = 65536))]
    pub head_hidden: Option<usize>,
    /// What the head says of the return of an action.
    pub distribution: Distribution,
    /// Explore by noise in the weights of the head, of this initial scale (sigma_0 in Fortunato et al. 2018, who use .5).
    /// New noise is drawn for each round of episodes and for each update; evaluation has none. Leave it out for none.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub noise: Option<f64>,
    /// Normalise the features of a state before the head (Ba et al. 2016).
    pub layer_norm: bool,
    /// Share of features set to 0 while learning, from 0 to below 1 (Srivastava et al. 2014): those that the head reads, and
    /// inside the torso those between stacked layers, those a convolution adds, and those a Transformer's attention and
    /// hidden layer add.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub dropout: f64,
}

/// Added to the log-probability of an action that is not among the likeliest, in place of its preference.
const UNLIKELY: f32 = -1e6;

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            embedding_width: 128,
            encoder: None,
            torso: TorsoConfig::Gru(GruConfig::default()),
            head: HeadConfig::Dueling { init_deviation: 0.01 },
            head_hidden: None,
            distribution: Distribution::Mean,
            noise: None,
            layer_norm: false,
            dropout: 0.0,
        }
    }
}

impl NetworkConfig {
    /// A network for `actions` with parameters drawn from `rng`, and with what it is to learn beside its values.
    ///
    /// Where the task has sources and the configuration no encoder, one of the default shape reads them.
    ///
    /// # Panics
    /// When the torso is a pretrained model, which [`NetworkConfig::init_on`] is given.
    pub fn init(
        &self,
        shape: InputShape,
        actions: &ActionTable,
        companions: Companions,
        rng: &mut impl Rng,
        device: &Device,
    ) -> TextQNetwork {
        self.init_on(None, shape, actions, companions, rng, device)
    }

    /// [`NetworkConfig::init`] with the pretrained model that the torso is, where it is one.
    ///
    /// The policy of the data is then that model's own.
    ///
    /// # Panics
    /// When the torso is a pretrained model and `base` is none, or shows other states than the torso names.
    pub fn init_on(
        &self,
        base: Option<&Arc<PretrainedBase>>,
        InputShape { n_tokens, n_positions, source }: InputShape,
        actions: &ActionTable,
        companions: Companions,
        rng: &mut impl Rng,
        device: &Device,
    ) -> TextQNetwork {
        let mut init = Init { rng, device };
        let base = base.filter(|_| self.torso.pretrained().is_some());
        let width = base.map_or(self.torso.width(), |base| base.width());
        let dropout = (self.dropout > 0.0).then(|| DropoutConfig::new(self.dropout).init());
        let encoder = self.encoder.clone().unwrap_or_default();
        let embedding = match base {
            // The model has vectors of its own. One number stays, which tells the device of a network without parameters.
            Some(_) => TokenEmbedding::new(1, 1, 1, &mut init),
            None => TokenEmbedding::new(n_tokens, n_positions, self.embedding_width, &mut init),
        };
        let source_reader = source.map(|kind| {
            SourceReader::new(&encoder, kind, &self.torso, self.embedding_width, dropout.clone(), &mut init)
        });
        let source_width = source.map(|_| encoder.width());
        let torso = self.torso.build(self.embedding_width, source_width, dropout.clone(), base, &mut init);
        let shape = HeadShape { width, actions, base };
        let state_width = self.head_hidden.unwrap_or(width);
        let network = TextQNetwork {
            embedding,
            source: source_reader,
            torso,
            norm: self.layer_norm.then(|| layer_norm(width, device)),
            dropout,
            quantiles: QuantileEmbedding::of(self.distribution, width, &mut init),
            values: ActionValues::new(self, &shape, &mut init),
            second: companions.has_second.then(|| ActionValues::new(self, &shape, &mut init)),
            state_value: companions.has_second.then(|| Linear::new(state_width, 1, 3.0, &mut init)),
            state_hidden: self
                .head_hidden
                .filter(|_| companions.has_second)
                .map(|hidden| Linear::new(width, hidden, 6.0, &mut init)),
            policy: companions.has_policy.then(|| match base {
                Some(base) => ActionValues::LanguageModel(LanguageModelHead::new(base, actions)),
                None => ActionValues::new(self, &shape, &mut init),
            }),
            decoding: None,
        };
        network.map(&mut NumberParameters { next: 1 })
    }
}

/// A Q-network over token sequences.
#[derive(Module, Debug)]
pub struct TextQNetwork {
    embedding: TokenEmbedding,
    /// Reads what the texts are about, where the task has sources.
    source: Option<SourceReader>,
    torso: Torso,
    norm: Option<LayerNorm>,
    dropout: Option<Dropout>,
    quantiles: Option<QuantileEmbedding>,
    values: ActionValues,
    /// A second opinion on them, where it is learned.
    second: Option<ActionValues>,
    /// The value of a state, where it is learned.
    state_value: Option<Linear>,
    /// The rectified layer before it, where there is one.
    state_hidden: Option<Linear>,
    /// The policy that made the data, as logits, where it is learned.
    policy: Option<ActionValues>,
    /// How the values and that policy are weighed in a network that only acts.
    #[module(skip)]
    decoding: Option<Decoding>,
}

impl TextQNetwork {
    /// This network with the head of `other`.
    pub fn with_head_of(self, other: Self) -> Self {
        Self {
            values: other.values,
            second: other.second,
            state_value: other.state_value,
            state_hidden: other.state_hidden,
            policy: other.policy,
            quantiles: other.quantiles,
            ..self
        }
    }

    /// This network with all of `other`, whose values are logits: these become the policy of the data where this network has
    /// one, or its head where that is a policy itself. Values stay this network's.
    pub fn with_policy_of(self, other: Self) -> Self {
        let (values, policy) = match (self.policy, self.values, other.values) {
            (Some(_), own, logits) => (own, Some(logits)),
            (None, ActionValues::Linear(own), ActionValues::Linear(logits)) => {
                (ActionValues::Linear(own.with_logits_of(logits)), None)
            }
            (None, own, _) => (own, None),
        };
        let Self { second, state_value, state_hidden, .. } = self;
        Self { values, second, state_value, state_hidden, policy, ..other }.map(&mut NumberParameters { next: 1 })
    }

    /// For each block of a Transformer what each place attends to: `[batch, heads, time, time]`; nothing for other torsos.
    pub fn attention(&self, input: &SequenceInput) -> Option<Vec<Tensor<4>>> {
        let source = self.conditioning(input);
        self.torso.attention(&self.embedding, input, source.as_ref())
    }

    /// What the sources of `input` say.
    fn conditioning(&self, input: &SequenceInput) -> Option<Conditioning> {
        let (reader, source) = self.source.as_ref().zip(input.source.as_ref())?;
        Some(reader.read(&self.torso, source))
    }

    /// What the torso says of the states asked about, with what they gather from their sources: `[batch, states, width]`.
    fn read(&self, embedding: &TokenEmbedding, input: &SequenceInput, source: Option<&Conditioning>) -> Tensor<3> {
        let features = self.torso.forward(embedding, input, source);
        self.gathered(features, source)
    }

    fn gathered(&self, features: Tensor<3>, source: Option<&Conditioning>) -> Tensor<3> {
        match (&self.source, source) {
            (Some(reader), Some(source)) => reader.finish(features, source),
            _ => features,
        }
    }

    /// The gradient of `Q(s, chosen) - Q(s, rival)` by the vector of every token of the text, the position's left out, and
    /// these vectors; of a network that decodes, that of the difference of the preferences.
    ///
    /// The vector a token has elsewhere (in other places, or as part of an action) counts as another one. `None` for a torso
    /// that reads tokens otherwise than by their vectors.
    ///
    /// # Shapes
    /// - `input.decisions`: `[batch, 1]`; `chosen`, `rival`: `[batch]`; the network and all of them on an autodiff device
    /// - returns `[batch, time, embedding width]` twice, without a graph
    ///
    /// # Panics
    /// When the network is on a device without autodiff, or was made to act ([`QNetwork::for_acting`]).
    pub fn token_gradients(
        &self,
        input: &SequenceInput,
        chosen: Tensor<1, Int>,
        rival: Tensor<1, Int>,
    ) -> Option<[Tensor<3>; 2]> {
        if !self.torso.reads_vectors() {
            return None;
        }
        let [batch, time] = input.tokens.dims();
        let (embedding, tokens) = self.embedding.of_places(input.tokens.clone());
        let source = self.conditioning(input);
        let input = &SequenceInput { tokens, ..input.clone() };
        let features = self.finish(self.read(&embedding, input, source.as_ref()));
        let values = self.values_of(features.squeeze_dim(1));
        let of = |actions: Tensor<1, Int>| values.clone().gather(1, actions.unsqueeze_dim(1));
        let gradients = (of(chosen) - of(rival)).sum().backward();
        let gradient = embedding.token_gradient(&gradients).expect("the values depend on the vectors of the text");
        let vectors = embedding.rows(Tensor::<1, Int>::arange(0..(batch * time) as i64 + 1, &input.tokens.device()));
        Some([gradient, vectors.inner()].map(|rows| {
            let width = rows.dims()[1];
            rows.narrow(0, 1, batch * time).reshape([batch, time, width])
        }))
    }

    /// The value of every action, or the preferences of a network that decodes: `[rows, width]` to `[rows, actions]`.
    fn values_of(&self, features: Tensor<2>) -> Tensor<2> {
        let features = self.acting_features(features);
        let values = self.values.q_values(&self.embedding, features.clone());
        match (&self.policy, self.decoding) {
            (Some(policy), Some(decoding)) => self.preferences(values, policy, features, decoding),
            _ => values,
        }
    }

    /// See [`Decoding`]: `[rows, actions]`.
    fn preferences(
        &self,
        values: Tensor<2>,
        policy: &ActionValues,
        features: Tensor<2>,
        decoding: Decoding,
    ) -> Tensor<2> {
        let values = self.beyond_state(values, &features);
        let log_policy = log_softmax(policy.q_values(&self.embedding, features), 1);
        let preferences = values.mul_scalar(decoding.beta);
        let preferences = match decoding.with_policy {
            true => preferences + log_policy.clone(),
            false => preferences,
        };
        let n_actions = log_policy.dims()[1];
        match decoding.top_k.filter(|&top_k| top_k < n_actions) {
            Some(top_k) => {
                let least = log_policy.clone().topk(top_k, 1).narrow(1, top_k - 1, 1);
                let is_unlikely = log_policy.clone().lower(least.repeat_dim(1, n_actions));
                // Where a mask leaves none of the likeliest, the likeliest of the rest are preferred.
                preferences.mask_where(is_unlikely, log_policy + UNLIKELY)
            }
            None => preferences,
        }
    }

    /// What each action is worth beyond the state: the smaller of two values where there are two, less the value of the
    /// state where it is learned, else less their mean under `policy`.
    ///
    /// # Shapes
    /// - `features`: `[rows, width]`, what the torso says
    /// - `policy`: `[rows, actions]`, probabilities
    /// - returns `[rows, actions]`
    pub fn advantages(&self, features: Tensor<2>, policy: Tensor<2>) -> Tensor<2> {
        let features = self.acting_features(self.finish(features));
        let values = self.values.q_values(&self.embedding, features.clone());
        let values = self.beyond_state(values, &features);
        match &self.state_value {
            Some(_) => values,
            // Actions that hardly ever come, whose values nobody has learned, do not count.
            None => values.clone() - (values * policy).sum_dim(1),
        }
    }

    /// The pretrained model that the torso is, with what was learned in its weights; none for another torso.
    pub fn language_model(&self) -> Option<CausalLm> {
        match &self.torso {
            Torso::Pretrained(torso) => Some(torso.merged()),
            _ => None,
        }
    }

    /// The smaller of two values where there are two, less the value of the state where it is learned: `[rows, actions]`.
    fn beyond_state(&self, values: Tensor<2>, features: &Tensor<2>) -> Tensor<2> {
        let values = match &self.second {
            Some(second) => values.min_pair(second.q_values(&self.embedding, features.clone())),
            None => values,
        };
        match &self.state_value {
            Some(state_value) => values - self.state_value_of(state_value, features.clone()),
            None => values,
        }
    }

    /// `[rows, width]` to `[rows, 1]`.
    fn state_value_of(&self, state_value: &Linear, features: Tensor<2>) -> Tensor<2> {
        let features = match &self.state_hidden {
            Some(hidden) => hidden.forward(features, Activation::Relu),
            None => features,
        };
        state_value.forward(features, Activation::Identity)
    }

    /// What the head says of one action in each row: `[rows, atoms]`.
    fn atoms_of(&self, features: Tensor<2>, actions: Tensor<1, Int>) -> Tensor<2> {
        self.values.atoms_taken(&self.embedding, self.acting_features(features), actions)
    }

    /// The values of all actions by one of the heads beside the first: `[batch, states, width]` to
    /// `[batch, states, actions]`.
    fn by(&self, head: &ActionValues, features: Tensor<3>) -> Tensor<3> {
        let [batch, states, width] = features.dims();
        let values = head.q_values(&self.embedding, features.reshape([batch * states, width]));
        values.reshape([batch, states, head.n_actions()])
    }

    fn finish<const D: usize>(&self, features: Tensor<D>) -> Tensor<D> {
        let features = match &self.norm {
            Some(norm) => normalise(norm, features),
            None => features,
        };
        dropped(self.dropout.as_ref(), features)
    }

    /// Features to value actions by, the same in shape; see [`QuantileEmbedding::acting`].
    fn acting_features(&self, features: Tensor<2>) -> Tensor<2> {
        match &self.quantiles {
            Some(quantiles) => quantiles.acting(features),
            None => features,
        }
    }
}

impl QNetwork for TextQNetwork {
    type DecodeState = DecodeState;

    fn n_actions(&self) -> usize {
        self.values.n_actions()
    }

    fn companions(&self) -> Companions {
        Companions { has_policy: self.policy.is_some(), has_second: self.second.is_some() }
    }

    fn second_q_values(&self, features: Tensor<3>) -> Tensor<3> {
        self.by(self.second.as_ref().expect(NO_SECOND), features)
    }

    fn second_q_taken(&self, features: Tensor<3>, actions: Tensor<2, Int>) -> Tensor<2> {
        let [batch, states, width] = features.dims();
        let second = self.second.as_ref().expect(NO_SECOND);
        let (features, actions) = (features.reshape([batch * states, width]), actions.reshape([batch * states]));
        second.atoms_taken(&self.embedding, features, actions).reshape([batch, states])
    }

    fn state_values(&self, features: Tensor<3>) -> Tensor<2> {
        let [batch, states, width] = features.dims();
        let state_value = self.state_value.as_ref().expect(NO_SECOND);
        self.state_value_of(state_value, features.reshape([batch * states, width])).reshape([batch, states])
    }

    fn policy_logits(&self, features: Tensor<3>) -> Tensor<3> {
        self.by(
            self.policy.as_ref().expect("a checked configuration gives this learner a policy of the data"),
            features,
        )
    }

    fn decoding(self, decoding: Option<Decoding>) -> Self {
        Self { decoding, ..self }
    }

    fn features(&self, input: &SequenceInput) -> Tensor<3> {
        let source = self.conditioning(input);
        self.finish(self.read(&self.embedding, input, source.as_ref()))
    }

    fn q_values(&self, features: Tensor<3>) -> Tensor<3> {
        let [batch, states, width] = features.dims();
        let values = self.values_of(features.reshape([batch * states, width]));
        values.reshape([batch, states, self.n_actions()])
    }

    fn best_actions(&self, features: Tensor<3>, mask: Option<Tensor<3>>) -> Tensor<2, Int> {
        let [batch, states, width] = features.dims();
        if let ActionValues::Linear(head) = &self.values {
            let rows = self.acting_features(features.clone().reshape([batch * states, width]));
            let mask = mask.clone().map(|mask| mask.reshape([batch * states, head.n_actions()]));
            if let Some(best) = head.best_actions(&rows, mask) {
                return best.reshape([batch, states]);
            }
        }
        best_of(self.q_values(features), mask)
    }

    fn q_taken(&self, features: Tensor<3>, actions: Tensor<2, Int>) -> Tensor<2> {
        let [batch, states, _] = features.dims();
        self.distribution().mean(self.atoms_taken(features, actions)).reshape([batch, states])
    }

    fn log_sum_exp(values: Tensor<3>, scale: f64) -> Tensor<2> {
        #[cfg(feature = "flex")]
        if fused::can_record(&values.device()) {
            return fused::log_sum_exp(values, scale);
        }
        log_sum_exp(values, scale)
    }

    fn distribution(&self) -> Distribution {
        match &self.values {
            ActionValues::Linear(head) => head.distribution(),
            ActionValues::Relevance(_) | ActionValues::Tied(_) | ActionValues::LanguageModel(_) => Distribution::Mean,
        }
    }

    fn atoms_taken(&self, features: Tensor<3>, actions: Tensor<2, Int>) -> Tensor<3> {
        let [batch, states, width] = features.dims();
        let atoms = self.atoms_of(features.reshape([batch * states, width]), actions.reshape([batch * states]));
        let n_atoms = atoms.dims()[1];
        atoms.reshape([batch, states, n_atoms])
    }

    fn returns_at(&self, features: Tensor<3>, actions: Tensor<2, Int>, levels: Tensor<3>) -> Tensor<3> {
        let quantiles = self.quantiles.as_ref().expect("only implicit quantiles are asked for at levels");
        let [batch, states, width] = features.dims();
        let n_levels = levels.dims()[2];
        let rows = batch * states;
        let features = quantiles.at(features.reshape([rows, width]), levels.reshape([rows, n_levels]));
        let actions = actions.reshape([rows, 1]).repeat_dim(1, n_levels);
        let ActionValues::Linear(head) = &self.values else {
            panic!("a checked configuration gives quantiles a linear head")
        };
        let returns = head.q_taken(features, actions.reshape([rows * n_levels]));
        returns.reshape([batch, states, n_levels])
    }

    fn with_noise(self, noise: Option<Seed>) -> Self {
        let values = match self.values {
            ActionValues::Linear(head) => ActionValues::Linear(head.with_noise(noise)),
            others @ (ActionValues::Relevance(_) | ActionValues::Tied(_) | ActionValues::LanguageModel(_)) => others,
        };
        Self { values, ..self }
    }

    fn considering(self, considered: Option<&[i64]>) -> Self {
        Self {
            values: self.values.considering(considered),
            second: self.second.map(|head| head.considering(considered)),
            policy: self.policy.map(|head| head.considering(considered)),
            ..self
        }
    }

    fn for_acting(self) -> Self {
        Self {
            values: self.values.for_acting(&self.embedding),
            second: self.second.map(|head| head.for_acting(&self.embedding)),
            state_value: self.state_value.map(Linear::for_acting),
            state_hidden: self.state_hidden.map(Linear::for_acting),
            policy: self.policy.map(|head| head.for_acting(&self.embedding)),
            source: self.source.map(SourceReader::for_acting),
            torso: self.torso.for_acting(),
            ..self
        }
    }

    fn start(&self, input: &SequenceInput) -> (DecodeState, Tensor<2>) {
        let source = self.conditioning(input);
        let (torso, features) = self.torso.start(&self.embedding, input, source.as_ref());
        let features = self.gathered(features.unsqueeze_dim(1), source.as_ref()).squeeze_dim(1);
        (DecodeState { torso, source }, self.values_of(self.finish(features)))
    }

    fn step(&self, input: &StepInput, state: &mut DecodeState) -> Tensor<2> {
        let features = self.torso.step(&self.embedding, input, &mut state.torso, state.source.as_ref());
        let features = self.gathered(features.unsqueeze_dim(1), state.source.as_ref()).squeeze_dim(1);
        self.values_of(self.finish(features))
    }

    fn skip(&self, input: &StepInput, state: &mut DecodeState) {
        self.torso.skip(&self.embedding, input, &mut state.torso, state.source.as_ref());
    }

    fn select(&self, state: DecodeState, rows: Tensor<1, Int>) -> DecodeState {
        state.select(rows)
    }

    fn join(&self, one: DecodeState, other: DecodeState) -> DecodeState {
        one.join(other)
    }

    fn device(&self) -> Device {
        self.devices().into_iter().next().expect("a network has parameters")
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use dqn_mdp::{SourceKind, TokenId};
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::{
        ActionEncoder, BagConfig, BagFeatures, CnnConfig, LstmConfig, MlpConfig, RelevanceConfig, TransformerConfig,
    };

    const N_TOKENS: usize = 11;
    const N_POSITIONS: usize = 5;

    fn shape(source: Option<SourceKind>) -> InputShape {
        InputShape { n_tokens: N_TOKENS, n_positions: N_POSITIONS, source }
    }

    /// Seven actions of one to three tokens.
    fn actions() -> ActionTable {
        let tokens: [&[u32]; 7] = [&[3], &[4], &[5, 4], &[4, 5], &[6, 7, 8], &[10], &[9, 9]];
        ActionTable::new(tokens.iter().map(|tokens| tokens.iter().copied().map(TokenId).collect()).collect())
    }

    fn network(torso: TorsoConfig, head: HeadConfig, layer_norm: bool, device: &Device) -> TextQNetwork {
        distributional(torso, head, Distribution::Mean, layer_norm, device)
    }

    fn distributional(
        torso: TorsoConfig,
        head: HeadConfig,
        distribution: Distribution,
        layer_norm: bool,
        device: &Device,
    ) -> TextQNetwork {
        let config =
            NetworkConfig { embedding_width: 6, torso, head, distribution, layer_norm, ..NetworkConfig::default() };
        let actions = match head {
            HeadConfig::Tied { .. } => ActionTable::of_tokens((3..10).map(TokenId)),
            _ => actions(),
        };
        config.init(shape(None), &actions, Companions::default(), &mut Seed(5).stream("init"), device)
    }

    fn torsos() -> Vec<TorsoConfig> {
        vec![
            TorsoConfig::Mlp(MlpConfig { window_tokens: 3, hidden: vec![8, 9] }),
            TorsoConfig::Mlp(MlpConfig { window_tokens: 1, hidden: vec![8] }),
            TorsoConfig::Gru(GruConfig { width: 8, n_layers: 1 }),
            TorsoConfig::Gru(GruConfig { width: 8, n_layers: 2 }),
            TorsoConfig::Lstm(LstmConfig { width: 8, n_layers: 2 }),
            TorsoConfig::Cnn(CnnConfig { width: 8, kernel_size: 2, n_layers: 2 }),
            TorsoConfig::Cnn(CnnConfig { width: 8, kernel_size: 3, n_layers: 3 }),
            TorsoConfig::Transformer(TransformerConfig { width: 8, n_heads: 2, n_layers: 2, expansion: 2 }),
            TorsoConfig::Bag(BagConfig { features: BagFeatures::Ngrams { n_tokens: 2 }, width: 9, hidden: vec![8, 7] }),
            TorsoConfig::Bag(BagConfig {
                features: BagFeatures::Pairs { distance_tokens: 2, n_vectors: 600 },
                width: 9,
                hidden: vec![8],
            }),
        ]
    }

    fn heads() -> [HeadConfig; 6] {
        [
            HeadConfig::Scalar { init_deviation: 0.5 },
            HeadConfig::Dueling { init_deviation: 0.5 },
            HeadConfig::Relevance(RelevanceConfig { width: 5, init_deviation: 0.5, ..RelevanceConfig::default() }),
            HeadConfig::Tied { init_deviation: 0.5 },
            HeadConfig::Relevance(RelevanceConfig { encoder: ActionEncoder::Mlp, width: 5, init_deviation: 0.5 }),
            HeadConfig::Policy { temperature: 0.5, init_deviation: 0.5, from_model: false },
        ]
    }

    fn implicit() -> Distribution {
        Distribution::Implicit { n_cosines: 6, n_samples: 3, n_target_samples: 2, n_acting_samples: 4 }
    }

    fn distributions() -> [Distribution; 4] {
        let categorical = Distribution::Categorical { low: -2.0, high: 3.0, n_atoms: 5 };
        [Distribution::Mean, categorical, Distribution::Quantile { n_quantiles: 4 }, implicit()]
    }

    struct Texts {
        tokens: Vec<Vec<i64>>,
        positions: Vec<Vec<i64>>,
    }

    impl Texts {
        fn random(batch: usize, time: usize, seed: u64) -> Self {
            let mut rng = Seed(seed).stream("texts");
            let mut draw = |n: usize| -> Vec<Vec<i64>> {
                (0..batch).map(|_| (0..time).map(|_| rng.random_range(0..n as i64)).collect()).collect()
            };
            Self { tokens: draw(N_TOKENS), positions: draw(N_POSITIONS) }
        }

        fn input(&self, time: usize, decisions: &[Vec<i64>], device: &Device) -> SequenceInput {
            let cut = |rows: &[Vec<i64>]| rows.iter().map(|row| row[..time].to_vec()).collect::<Vec<_>>();
            SequenceInput {
                tokens: matrix(&cut(&self.tokens), device),
                positions: matrix(&cut(&self.positions), device),
                decisions: matrix(decisions, device),
                source: None,
            }
        }

        fn column(&self, time: usize, device: &Device) -> StepInput {
            let column = |rows: &[Vec<i64>]| {
                let values: Vec<i64> = rows.iter().map(|row| row[time]).collect();
                let len = values.len();
                Tensor::from_data(TensorData::new(values, [len]), device)
            };
            StepInput { tokens: column(&self.tokens), positions: column(&self.positions) }
        }
    }

    #[test]
    fn token_gradients_are_slopes() {
        let device = Device::flex().autodiff();
        // Tokens that occur once: a row of the table is then the vector of one place.
        let tokens = matrix(&[vec![2, 7, 4, 9, 3]], &device);
        let input = SequenceInput {
            positions: matrix(&[vec![0, 1, 2, 1, 0]], &device),
            decisions: matrix(&[vec![3]], &device),
            source: None,
            tokens,
        };
        let index = |action: i64| Tensor::<1, Int>::from_data([action], &device);
        let head = HeadConfig::Scalar { init_deviation: 0.5 };
        let mut n_without = 0;
        for torso in torsos() {
            let network = network(torso.clone(), head, true, &device);
            let Some([gradient, vectors]) = network.token_gradients(&input, index(2), index(5)) else {
                n_without += 1;
                continue;
            };
            let difference = |network: &TextQNetwork| -> f32 {
                let values: Vec<f32> = network.q_values(network.features(&input)).try_into_vec_as().unwrap();
                values[2] - values[5]
            };
            let rows: Vec<f32> = gradient.try_into_vec_as().unwrap();
            let expected_vectors = network.embedding.of_tokens(input.tokens.clone()).inner();
            assert_close(vectors.squeeze_dim(0), expected_vectors.squeeze_dim(0), "vectors");
            for (place, token) in [2, 7, 4, 9, 3].into_iter().enumerate() {
                let row = &rows[place * 6..][..6];
                let length = row.iter().map(|entry| entry * entry).sum::<f32>().sqrt();
                if place == 4 {
                    assert_eq!(length, 0.0, "{torso:?}: what comes later changes nothing");
                    continue;
                }
                // Along the gradient the slope is its length; elsewhere than at kinks of rectifiers.
                let moved = |by: f32| {
                    let mut network = network.clone();
                    let mut table: Vec<f32> =
                        network.embedding.rows(all_tokens(&device)).inner().try_into_vec_as().unwrap();
                    let scale = if length > 0.0 { by / length } else { 0.0 };
                    table[token * 6..][..6].iter_mut().zip(row).for_each(|(entry, slope)| *entry += scale * slope);
                    network.embedding = network
                        .embedding
                        .with_tokens(Tensor::from_data(TensorData::new(table, [N_TOKENS, 6]), &device));
                    difference(&network)
                };
                let step = 1e-2;
                let slope = (moved(step) - moved(-step)) / (2.0 * step);
                assert!((slope - length).abs() < 0.03 * length.max(0.1), "{torso:?}, {place}: {slope}, not {length}");
            }
        }
        assert_eq!(n_without, 1, "pairs of tokens have no gradient by token");
    }

    fn all_tokens(device: &Device) -> Tensor<1, Int> {
        Tensor::arange(0..N_TOKENS as i64, device)
    }

    #[test]
    fn attention_is_shared_out_over_what_was_read() {
        let device = Device::flex();
        let input = Texts::random(2, 4, 1).input(4, &[vec![3], vec![3]], &device);
        for torso in torsos() {
            let is_transformer = matches!(torso, TorsoConfig::Transformer(_));
            let network = network(torso, HeadConfig::Scalar { init_deviation: 0.5 }, false, &device);
            let Some(blocks) = network.attention(&input) else {
                assert!(!is_transformer);
                continue;
            };
            assert_eq!((is_transformer, blocks.len(), blocks[0].dims()), (true, 2, [2, 2, 4, 4]));
            for weights in blocks {
                let weights: Vec<f32> = weights.try_into_vec_as().unwrap();
                for (index, row) in weights.chunks_exact(4).enumerate() {
                    assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                    assert!(row[index % 4 + 1..].iter().all(|&weight| weight == 0.0), "{row:?}");
                    assert!(row[..=index % 4].iter().all(|&weight| weight > 0.0), "{row:?}");
                }
            }
        }
    }

    fn matrix(rows: &[Vec<i64>], device: &Device) -> Tensor<2, Int> {
        let shape = [rows.len(), rows[0].len()];
        Tensor::from_data(TensorData::new(rows.concat(), shape), device)
    }

    fn assert_close(found: Tensor<2>, expected: Tensor<2>, context: &str) {
        // Relative where values are large: a bag adds up many of them.
        let size: f32 = expected.clone().abs().max().into_scalar();
        let difference: f32 = (found - expected).abs().max().into_scalar();
        assert!(difference < 1e-5 * size.max(1.0), "{context}: differs by {difference} at {size}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn token_by_token_equals_the_whole_sequence(batch in 1_usize..4, time in 1_usize..7, seed: u64) {
            let device = Device::flex();
            let texts = Texts::random(batch, time, seed);
            let first = 1 + seed as usize % time;
            for torso in torsos() {
                for (head, distribution) in heads().into_iter().zip([Distribution::Mean, implicit()]) {
                    let network = distributional(torso.clone(), head, distribution, true, &device);
                    let all: Vec<Vec<i64>> = vec![(0..time as i64).collect(); batch];
                    let whole = network.q_values(network.features(&texts.input(time, &all, &device)));
                    let at = |index: usize| whole.clone().narrow(1, index, 1).squeeze_dim::<2>(1);
                    let start = texts.input(first, &vec![vec![first as i64 - 1]; batch], &device);
                    for network in [network.clone(), network.clone().for_acting()] {
                        let (mut state, q) = network.start(&start);
                        assert_close(q, at(first - 1), "start");
                        for index in first..time {
                            let mut skipped = state.clone();
                            let q = network.step(&texts.column(index, &device), &mut state);
                            assert_close(q, at(index), "step");
                            if index + 1 < time {
                                network.skip(&texts.column(index, &device), &mut skipped);
                                let q = network.step(&texts.column(index + 1, &device), &mut skipped);
                                assert_close(q, at(index + 1), "step after a token whose values were not asked for");
                            }
                        }
                    }
                }
            }
        }

        #[test]
        fn the_value_of_taken_actions_is_gathered_from_all_values(seed: u64) {
            let device = Device::flex();
            let texts = Texts::random(3, 5, seed);
            let decisions = vec![vec![0, 2, 4], vec![1, 1, 3], vec![4, 0, 2]];
            let actions = matrix(&[vec![0, 6, 3], vec![2, 2, 5], vec![1, 4, 0]], &device);
            for torso in torsos() {
                for head in heads() {
                    let is_linear = matches!(head, HeadConfig::Scalar { .. } | HeadConfig::Dueling { .. });
                    for distribution in distributions().into_iter().take(if is_linear { 3 } else { 1 }) {
                        let network = distributional(torso.clone(), head, distribution, false, &device);
                        let features = network.features(&texts.input(5, &decisions, &device));
                        let all = network.q_values(features.clone());
                        let expected = all.clone().gather(2, actions.clone().unsqueeze_dim(2)).squeeze_dim::<2>(2);
                        assert_close(network.q_taken(features.clone(), actions.clone()), expected.clone(), "q_taken");
                        let atoms = network.atoms_taken(features.clone(), actions.clone());
                        assert_close(distribution.mean(atoms).squeeze_dim(2), expected, "mean of atoms");
                        let acting = network.clone().for_acting().q_values(features.clone());
                        let rows = |values: Tensor<3>| values.reshape([9, -1]);
                        assert_close(rows(acting), rows(all.clone()), "acting");
                        let best = network.best_actions(features, None);
                        let highest = all.clone().gather(2, best.unsqueeze_dim(2)).squeeze_dim::<2>(2);
                        assert_close(highest, all.max_dim(2).squeeze_dim(2), "best actions");
                    }
                }
            }
        }
    }

    #[test]
    fn implicit_values_are_means_over_evenly_spaced_levels() {
        let device = Device::flex();
        let texts = Texts::random(2, 5, 3);
        let decisions = vec![vec![0, 2, 4]; 2];
        let actions = matrix(&[vec![0, 6, 3], vec![2, 2, 5]], &device);
        for torso in torsos() {
            for head in heads().into_iter().take(2) {
                let network = distributional(torso.clone(), head, implicit(), false, &device);
                let features = network.features(&texts.input(5, &decisions, &device));
                let levels = Tensor::<3>::from_data([[[0.125, 0.375, 0.625, 0.875]]], &device).expand([2, 3, 4]);
                let returns = network.returns_at(features.clone(), actions.clone(), levels.clone());
                let expected = network.q_taken(features.clone(), actions.clone());
                assert_close(returns.clone().mean_dim(2).squeeze_dim(2), expected, "mean over levels");
                // The levels reach their own answers: in reverse order they give the answers in reverse order.
                let reversed = network.returns_at(features, actions.clone(), levels.flip([2]));
                let [first, last] = [returns.clone().narrow(2, 0, 1), reversed.narrow(2, 3, 1)];
                assert_close(first.clone().squeeze_dim(2), last.squeeze_dim(2), "order of levels");
                let spread: f32 = (first - returns.narrow(2, 3, 1)).abs().max().into_scalar();
                assert!(spread > 1e-3, "the level changes nothing: {spread}");
            }
        }
    }

    /// A network with all companions, and the logits and values that its preferences are made of, `[rows, actions]` each.
    struct Decoded {
        network: TextQNetwork,
        input: SequenceInput,
        log_policy: Tensor<2>,
        advantages: Tensor<2>,
    }

    fn decoded(head: HeadConfig) -> Decoded {
        let device = Device::flex();
        let torso = TorsoConfig::Gru(GruConfig { width: 8, n_layers: 1 });
        let config = NetworkConfig { embedding_width: 6, torso, head, ..NetworkConfig::default() };
        let companions = Companions { has_policy: true, has_second: true };
        let network = config.init(shape(None), &actions(), companions, &mut Seed(5).stream("init"), &device);
        let input = Texts::random(3, 4, 8).input(4, &vec![vec![3]; 3], &device);
        let features = network.features(&input);
        let flat = |values: Tensor<3>| values.squeeze_dim::<2>(1);
        let first = flat(network.q_values(features.clone()));
        let second = flat(network.second_q_values(features.clone()));
        let value = network.state_values(features.clone());
        let log_policy = log_softmax(flat(network.policy_logits(features)), 1);
        Decoded { network, input, log_policy, advantages: first.min_pair(second) - value }
    }

    #[test]
    fn preferences_weigh_the_policy_of_the_data_and_the_smaller_of_two_values() {
        for head in [heads()[0], heads()[1], heads()[2], heads()[4]] {
            let Decoded { network, input, log_policy, advantages } = decoded(head);
            let preferences = |decoding: Decoding| {
                let network = network.clone().decoding(Some(decoding));
                let (_, plain) = network.start(&input);
                let (_, packed) = network.for_acting().start(&input);
                assert_close(packed, plain.clone(), "acting");
                plain
            };
            let decoding = Decoding { beta: 3.0, with_policy: true, top_k: None, temperature: 0.0 };
            let expected = log_policy.clone() + advantages.clone().mul_scalar(3.0);
            assert_close(preferences(decoding), expected.clone(), "log policy + beta advantage");
            let alone = preferences(Decoding { with_policy: false, ..decoding });
            assert_close(alone, advantages.mul_scalar(3.0), "values alone");
            let imitating = preferences(Decoding { beta: 0.0, ..decoding });
            assert_close(imitating, log_policy.clone(), "beta 0 imitates");
            let likeliest: Vec<f32> = preferences(Decoding { top_k: Some(2), ..decoding }).try_into_vec_as().unwrap();
            let log_policy: Vec<f32> = log_policy.try_into_vec_as().unwrap();
            let expected: Vec<f32> = expected.try_into_vec_as().unwrap();
            for ((found, log_policy), expected) in likeliest.chunks(7).zip(log_policy.chunks(7)).zip(expected.chunks(7))
            {
                let n_likelier = |action: usize| log_policy.iter().filter(|&&other| other > log_policy[action]).count();
                for action in 0..7 {
                    let (expected, within) = match n_likelier(action) < 2 {
                        true => (expected[action], 1e-4),
                        false => (UNLIKELY + log_policy[action], 0.1),
                    };
                    assert!((found[action] - expected).abs() < within, "{} for {expected}", found[action]);
                }
            }
        }
    }

    #[test]
    fn padding_on_the_right_changes_nothing() {
        let device = Device::flex();
        let texts = Texts::random(2, 6, 9);
        let decisions = vec![vec![0, 1, 2]; 2];
        for torso in torsos() {
            let network = network(torso, heads()[1], false, &device);
            let short = network.features(&texts.input(3, &decisions, &device));
            let long = network.features(&texts.input(6, &decisions, &device));
            let [batch, states, width] = short.dims();
            assert_close(long.reshape([batch * states, width]), short.reshape([batch * states, width]), "padding");
        }
    }

    #[test]
    fn the_order_of_tokens_matters() {
        let device = Device::flex();
        let ordered = Texts { tokens: vec![vec![1, 2, 3]], positions: vec![vec![0, 0, 0]] };
        let swapped = Texts { tokens: vec![vec![2, 1, 3]], positions: vec![vec![0, 0, 0]] };
        let seeing = torsos().into_iter().filter(|torso| match torso {
            TorsoConfig::Mlp(mlp) => mlp.window_tokens >= 3,
            _ => true,
        });
        for torso in seeing {
            let network = network(torso, heads()[0], false, &device);
            let values = |texts: &Texts| -> Vec<f32> {
                network.start(&texts.input(3, &[vec![2]], &device)).1.try_into_vec_as().unwrap()
            };
            assert_ne!(values(&ordered), values(&swapped));
        }
    }

    #[test]
    #[expect(deprecated, reason = "burn-ndarray is one of the backends this project promises")]
    fn backends_begin_with_the_same_parameters() {
        let values = |device: &Device| -> Vec<f32> {
            let network = network(torsos().remove(2), heads()[1], false, device);
            network.start(&Texts::random(2, 4, 1).input(4, &[vec![3], vec![3]], device)).1.try_into_vec_as().unwrap()
        };
        for (flex, ndarray) in values(&Device::flex()).iter().zip(values(&Device::ndarray())) {
            assert!((flex - ndarray).abs() < 1e-5);
        }
    }

    #[test]
    fn rows_of_a_decode_state_can_be_dropped() {
        let device = Device::flex();
        let texts = Texts::random(3, 4, 2);
        for torso in torsos() {
            let network = network(torso, heads()[0], false, &device);
            let (state, _) = network.start(&texts.input(3, &vec![vec![2]; 3], &device));
            let mut whole = state.clone();
            let expected = network.step(&texts.column(3, &device), &mut whole);
            let rows = || Tensor::<1, Int>::from_data([2, 0], &device);
            let mut kept = network.select(state, rows());
            let StepInput { tokens, positions } = texts.column(3, &device);
            let input = StepInput { tokens: tokens.select(0, rows()), positions: positions.select(0, rows()) };
            assert_close(network.step(&input, &mut kept), expected.select(0, rows()), "selected rows");
        }
    }

    #[test]
    fn texts_of_different_lengths_go_on_together() {
        let device = Device::flex();
        let texts = Texts::random(2, 6, 4);
        for torso in torsos() {
            let network = network(torso, heads()[1], false, &device);
            // The first text has two tokens and the second five; both go on with the token in the last column.
            let (mut state, _) = network.start(&texts.input(5, &[vec![1], vec![4]], &device));
            let together = network.step(&texts.column(5, &device), &mut state);
            for (row, len) in [(0, 2), (1, 5)] {
                let alone = |rows: &[Vec<i64>]| vec![[&rows[row][..len], &rows[row][5..]].concat()];
                let text = Texts { tokens: alone(&texts.tokens), positions: alone(&texts.positions) };
                let (_, expected) = network.start(&text.input(len + 1, &[vec![len as i64]], &device));
                assert_close(together.clone().narrow(0, row, 1), expected, "texts of different lengths");
            }
        }
    }
    #[test]
    fn texts_that_are_at_different_places_are_joined() {
        let device = Device::flex();
        let texts = Texts::random(3, 6, 4);
        for torso in torsos() {
            let network = network(torso, heads()[2], false, &device);
            let (mut state, _) = network.start(&texts.input(3, &vec![vec![2]; 3], &device));
            let rows =
                |rows: &[i64]| Tensor::<1, Int>::from_data(TensorData::new(rows.to_vec(), [rows.len()]), &device);
            // The third text reads two tokens more than the others, which read theirs together with its last one.
            let column = |time: usize, of: &[i64]| {
                let StepInput { tokens, positions } = texts.column(time, &device);
                StepInput { tokens: tokens.select(0, rows(of)), positions: positions.select(0, rows(of)) }
            };
            let mut ahead = network.select(state.clone(), rows(&[2]));
            network.step(&column(3, &[2]), &mut ahead);
            network.step(&column(4, &[2]), &mut ahead);
            state = network.join(ahead, network.select(state, rows(&[1, 0])));
            let together = network.step(&column(5, &[2, 1, 0]), &mut state);
            for (at, row, len) in [(0, 2, 5), (1, 1, 3), (2, 0, 3)] {
                let alone = |rows: &[Vec<i64>]| vec![[&rows[row][..len], &rows[row][5..]].concat()];
                let text = Texts { tokens: alone(&texts.tokens), positions: alone(&texts.positions) };
                let (_, expected) = network.start(&text.input(len + 1, &[vec![len as i64]], &device));
                assert_close(together.clone().narrow(0, at, 1), expected, "joined texts");
            }
        }
    }
}
