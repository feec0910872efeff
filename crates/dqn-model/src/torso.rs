//! Torsos: from a text to the features of its states.

use std::sync::Arc;

use burn::module::Module;
use burn::nn::Dropout;
use burn::tensor::{Int, Tensor};
use dqn_core::{SequenceInput, StepInput};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bag::{Bag, BagConfig, BagState};
use crate::cnn::{Cnn, CnnConfig, History};
use crate::embedding::TokenEmbedding;
use crate::gru::{Gru, GruConfig};
use crate::init::Init;
use crate::lstm::{Lstm, LstmConfig, Memory};
use crate::mlp::{Mlp, MlpConfig, TokenWindow};
use crate::pretrained::{PretrainedBase, PretrainedConfig, PretrainedState, PretrainedTorso};
use crate::source_attention::Conditioning;
use crate::transformer::{KeyValueCache, Transformer, TransformerConfig};

/// The part of the network that reads the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TorsoConfig {
    /// Rectified layers over the last tokens; blind to what lies further back.
    Mlp(MlpConfig),
    /// Gated recurrent units over the whole text (Cho et al. 2014).
    Gru(GruConfig),
    /// Long short-term memories over the whole text (Hochreiter and Schmidhuber 1997).
    Lstm(LstmConfig),
    /// Dilated causal convolutions over the last tokens (Bai et al. 2018).
    Cnn(CnnConfig),
    /// Causal self-attention over the whole text (Vaswani et al. 2017).
    Transformer(TransformerConfig),
    /// Features of the n-grams of the whole text, added up (Kim 2014; Iyyer et al. 2015); blind to their order.
    Bag(BagConfig),
    /// A pretrained language model, whose hidden states are the features: see [docs/pretrained.md](pretrained.md).
    Pretrained(PretrainedConfig),
}

impl TorsoConfig {
    /// Number of features of a state; 0 for a pretrained model, whose folder tells.
    pub fn width(&self) -> usize {
        match self {
            TorsoConfig::Mlp(config) => config.hidden.last().copied().unwrap_or(0),
            TorsoConfig::Gru(config) => config.width,
            TorsoConfig::Lstm(config) => config.width,
            TorsoConfig::Cnn(config) => config.width,
            TorsoConfig::Transformer(config) => config.width,
            TorsoConfig::Bag(config) => config.hidden.last().copied().unwrap_or(0),
            TorsoConfig::Pretrained(_) => 0,
        }
    }

    /// Whether the torso can read what a source says: those that see every token as its vector.
    pub fn takes_source(&self) -> bool {
        match self {
            TorsoConfig::Gru(_) | TorsoConfig::Lstm(_) | TorsoConfig::Cnn(_) | TorsoConfig::Transformer(_) => true,
            TorsoConfig::Mlp(_) | TorsoConfig::Bag(_) | TorsoConfig::Pretrained(_) => false,
        }
    }

    /// The pretrained model, where it is one.
    pub fn pretrained(&self) -> Option<&PretrainedConfig> {
        match self {
            TorsoConfig::Pretrained(config) => Some(config),
            _ => None,
        }
    }

    /// Whether the torso itself attends to the source.
    pub fn attends_itself(&self) -> bool {
        matches!(self, TorsoConfig::Transformer(_))
    }

    pub(crate) fn build<R: Rng>(
        &self,
        embedding_width: usize,
        source_width: Option<usize>,
        dropout: Option<Dropout>,
        base: Option<&Arc<PretrainedBase>>,
        init: &mut Init<'_, R>,
    ) -> Torso {
        match self {
            TorsoConfig::Pretrained(config) => {
                let base = base.expect("a pretrained torso is given its model");
                Torso::Pretrained(PretrainedTorso::new(config, base, init))
            }
            TorsoConfig::Mlp(config) => Torso::Mlp(Mlp::new(config, embedding_width, dropout, init)),
            TorsoConfig::Gru(config) => Torso::Gru(Gru::new(config, embedding_width, dropout, init)),
            TorsoConfig::Lstm(config) => Torso::Lstm(Lstm::new(config, embedding_width, dropout, init)),
            TorsoConfig::Cnn(config) => Torso::Cnn(Cnn::new(config, embedding_width, dropout, init)),
            TorsoConfig::Transformer(config) => {
                Torso::Transformer(Transformer::new(config, embedding_width, source_width, dropout, init))
            }
            TorsoConfig::Bag(config) => Torso::Bag(Bag::new(config, embedding_width, dropout, init)),
        }
    }
}

/// A network that reads tokens.
#[derive(Module, Debug)]
pub enum Torso {
    /// See [`TorsoConfig::Mlp`].
    Mlp(Mlp),
    /// See [`TorsoConfig::Gru`].
    Gru(Gru),
    /// See [`TorsoConfig::Lstm`].
    Lstm(Lstm),
    /// See [`TorsoConfig::Cnn`].
    Cnn(Cnn),
    /// See [`TorsoConfig::Transformer`].
    Transformer(Transformer),
    /// See [`TorsoConfig::Bag`].
    Bag(Bag),
    /// See [`TorsoConfig::Pretrained`].
    Pretrained(PretrainedTorso),
}

/// What a torso remembers of the texts it reads token by token.
#[derive(Clone, Debug)]
pub enum TorsoState {
    /// The last tokens.
    Mlp(TokenWindow),
    /// For each layer the hidden state: `[batch, width]`.
    Gru(Vec<Tensor<2>>),
    /// For each layer hidden state and cell.
    Lstm(Vec<Memory<2>>),
    /// For each layer the last inputs that it will look back to, `(kernel_size - 1) 2^layer` of them.
    Cnn(Vec<History>),
    /// Keys and values of all tokens.
    Transformer(KeyValueCache),
    /// The last tokens, and the sum over all n-grams.
    Bag(BagState),
    /// Keys and values of all tokens.
    Pretrained(PretrainedState),
}

impl Torso {
    /// The same torso, to act with: what depends on its parameters only is computed once.
    pub(crate) fn for_acting(self) -> Self {
        match self {
            Torso::Mlp(mlp) => Torso::Mlp(mlp.for_acting()),
            Torso::Gru(gru) => Torso::Gru(gru.for_acting()),
            Torso::Lstm(lstm) => Torso::Lstm(lstm.for_acting()),
            Torso::Cnn(cnn) => Torso::Cnn(cnn.for_acting()),
            Torso::Transformer(transformer) => Torso::Transformer(transformer.for_acting()),
            Torso::Bag(bag) => Torso::Bag(bag.for_acting()),
            Torso::Pretrained(lm) => Torso::Pretrained(lm.for_acting()),
        }
    }

    /// Whether tokens are read as their vectors alone, so that a gradient by these says what depends on them.
    pub(crate) fn reads_vectors(&self) -> bool {
        match self {
            Torso::Bag(bag) => bag.reads_vectors(),
            Torso::Pretrained(_) => false,
            Torso::Mlp(_) | Torso::Gru(_) | Torso::Lstm(_) | Torso::Cnn(_) | Torso::Transformer(_) => true,
        }
    }

    /// For each block of a Transformer what each place attends to: `[batch, heads, time, time]`; of others nothing.
    pub(crate) fn attention(
        &self,
        embedding: &TokenEmbedding,
        input: &SequenceInput,
        source: Option<&Conditioning>,
    ) -> Option<Vec<Tensor<4>>> {
        let Torso::Transformer(transformer) = self else { return None };
        Some(transformer.attention(vectors(embedding, input, source), source))
    }

    /// For each attention of the torso's own to a source what it keeps of it; see [`Transformer::memories`].
    pub(crate) fn memories(&self, encoded: &Tensor<3>) -> Vec<Tensor<3>> {
        match self {
            Torso::Transformer(transformer) => transformer.memories(encoded),
            Torso::Mlp(_) | Torso::Gru(_) | Torso::Lstm(_) | Torso::Cnn(_) | Torso::Bag(_) | Torso::Pretrained(_) => {
                Vec::new()
            }
        }
    }

    /// Features of the states asked about: `[batch, states, width]`.
    pub(crate) fn forward(
        &self,
        embedding: &TokenEmbedding,
        input: &SequenceInput,
        source: Option<&Conditioning>,
    ) -> Tensor<3> {
        let SequenceInput { tokens, positions, decisions, .. } = input.clone();
        let vectors = || vectors(embedding, input, source);
        match self {
            Torso::Mlp(mlp) => mlp.forward(embedding, tokens, positions, decisions),
            Torso::Gru(gru) => {
                let mut layers = gru.forward(vectors());
                let last = layers.pop().expect("a GRU has at least one layer");
                at_decisions(last, decisions)
            }
            Torso::Lstm(lstm) => at_decisions(lstm.forward(vectors()), decisions),
            Torso::Cnn(cnn) => {
                let mut layers = cnn.forward(vectors());
                at_decisions(layers.pop().expect("the output of the last layer"), decisions)
            }
            Torso::Transformer(transformer) => at_decisions(transformer.forward(vectors(), source), decisions),
            Torso::Bag(bag) => bag.forward(embedding, tokens, positions, decisions),
            Torso::Pretrained(lm) => lm.forward(input),
        }
    }

    /// Reads texts up to the one state asked about in each; its features: `[batch, width]`.
    pub(crate) fn start(
        &self,
        embedding: &TokenEmbedding,
        input: &SequenceInput,
        source: Option<&Conditioning>,
    ) -> (TorsoState, Tensor<2>) {
        let SequenceInput { tokens, positions, decisions, .. } = input.clone();
        let vectors = || vectors(embedding, input, source);
        match self {
            Torso::Mlp(mlp) => {
                let window = mlp.window(tokens, positions, decisions);
                let features = mlp.features(embedding, &window);
                (TorsoState::Mlp(window), features)
            }
            Torso::Gru(gru) => {
                let layers = gru.forward(vectors());
                let hidden: Vec<Tensor<2>> =
                    layers.into_iter().map(|layer| at_decisions(layer, decisions.clone()).squeeze_dim(1)).collect();
                let features = hidden.last().cloned().expect("a GRU has at least one layer");
                (TorsoState::Gru(hidden), features)
            }
            Torso::Lstm(lstm) => {
                let last = |layers: Tensor<3>| at_decisions(layers, decisions.clone()).squeeze_dim::<2>(1);
                let memories: Vec<Memory<2>> = lstm
                    .memories(vectors())
                    .into_iter()
                    .map(|memory| Memory { hidden: last(memory.hidden), cell: last(memory.cell) })
                    .collect();
                let features = memories.last().expect("an LSTM has at least one layer").hidden.clone();
                (TorsoState::Lstm(memories), features)
            }
            Torso::Cnn(cnn) => {
                let mut layers = cnn.forward(vectors());
                let history = cnn.history(&layers, decisions.clone());
                let output = layers.pop().expect("the output of the last layer");
                (TorsoState::Cnn(history), at_decisions(output, decisions).squeeze_dim(1))
            }
            Torso::Transformer(transformer) => {
                let (features, blocks) = transformer.start(vectors(), source);
                let cache = transformer.cache(blocks, decisions.clone());
                (TorsoState::Transformer(cache), at_decisions(features, decisions).squeeze_dim(1))
            }
            Torso::Bag(bag) => {
                let (state, features) = bag.start(embedding, tokens, positions, decisions);
                (TorsoState::Bag(state), features)
            }
            Torso::Pretrained(lm) => {
                let (state, features) = lm.start(input);
                (TorsoState::Pretrained(state), features)
            }
        }
    }

    /// [`Torso::step`] without the features, for torsos that remember less than those.
    ///
    /// # Panics
    /// When `state` is of another torso.
    pub(crate) fn skip(
        &self,
        embedding: &TokenEmbedding,
        input: &StepInput,
        state: &mut TorsoState,
        source: Option<&Conditioning>,
    ) {
        match (self, state) {
            (Torso::Mlp(_), TorsoState::Mlp(window)) => window.push(input.tokens.clone(), input.positions.clone()),
            (Torso::Bag(bag), TorsoState::Bag(state)) => {
                bag.skip(embedding, input.tokens.clone(), input.positions.clone(), state);
            }
            (_, state) => {
                self.step(embedding, input, state, source);
            }
        }
    }

    /// Reads one more token of each text; the features of the new states: `[batch, width]`.
    ///
    /// # Panics
    /// When `state` is of another torso.
    pub(crate) fn step(
        &self,
        embedding: &TokenEmbedding,
        input: &StepInput,
        state: &mut TorsoState,
        source: Option<&Conditioning>,
    ) -> Tensor<2> {
        let StepInput { tokens, positions } = input.clone();
        let vectors = || {
            let (tokens, positions) = (tokens.clone().unsqueeze_dim(1), positions.clone().unsqueeze_dim(1));
            let vectors = embedding.forward(tokens, positions).squeeze_dim::<2>(1);
            match source.and_then(|source| source.summary.clone()) {
                Some(summary) => vectors + summary,
                None => vectors,
            }
        };
        match (self, state) {
            (Torso::Mlp(mlp), TorsoState::Mlp(window)) => {
                window.push(tokens.clone(), positions.clone());
                mlp.features(embedding, window)
            }
            (Torso::Gru(gru), TorsoState::Gru(hidden)) => gru.step(vectors(), hidden),
            (Torso::Lstm(lstm), TorsoState::Lstm(memories)) => lstm.step(vectors(), memories),
            (Torso::Cnn(cnn), TorsoState::Cnn(history)) => cnn.step(vectors(), history),
            (Torso::Transformer(transformer), TorsoState::Transformer(cache)) => {
                transformer.step(vectors(), cache, source)
            }
            (Torso::Bag(bag), TorsoState::Bag(state)) => bag.step(embedding, tokens.clone(), positions.clone(), state),
            (Torso::Pretrained(lm), TorsoState::Pretrained(state)) => lm.step(input, state),
            _ => panic!("the decode state belongs to another torso"),
        }
    }
}

impl TorsoState {
    /// The rows `rows`, in that order.
    pub(crate) fn select(self, rows: Tensor<1, Int>) -> Self {
        match self {
            TorsoState::Mlp(window) => TorsoState::Mlp(window.select(rows)),
            TorsoState::Gru(hidden) => {
                TorsoState::Gru(hidden.into_iter().map(|layer| layer.select(0, rows.clone())).collect())
            }
            TorsoState::Lstm(memories) => {
                let chosen = |Memory { hidden, cell }: Memory<2>| Memory {
                    hidden: hidden.select(0, rows.clone()),
                    cell: cell.select(0, rows.clone()),
                };
                TorsoState::Lstm(memories.into_iter().map(chosen).collect())
            }
            TorsoState::Cnn(history) => {
                let chosen = |layer: History| layer.into_iter().map(|input| input.select(0, rows.clone())).collect();
                TorsoState::Cnn(history.into_iter().map(chosen).collect())
            }
            TorsoState::Transformer(cache) => TorsoState::Transformer(cache.select(rows)),
            TorsoState::Bag(state) => TorsoState::Bag(state.select(rows)),
            TorsoState::Pretrained(state) => TorsoState::Pretrained(state.select(rows)),
        }
    }

    /// The rows of this state and after them those of `other`.
    ///
    /// # Panics
    /// When the two are of different torsos.
    pub(crate) fn join(self, other: Self) -> Self {
        fn both<const D: usize>(one: Tensor<D>, other: Tensor<D>) -> Tensor<D> {
            Tensor::cat(vec![one, other], 0)
        }
        fn layers<C, const D: usize>(one: C, other: C) -> C
        where
            C: IntoIterator<Item = Tensor<D>> + FromIterator<Tensor<D>>,
        {
            one.into_iter().zip(other).map(|(one, other)| both(one, other)).collect()
        }
        match (self, other) {
            (TorsoState::Mlp(one), TorsoState::Mlp(other)) => TorsoState::Mlp(one.join(other)),
            (TorsoState::Gru(one), TorsoState::Gru(other)) => TorsoState::Gru(layers(one, other)),
            (TorsoState::Lstm(one), TorsoState::Lstm(other)) => {
                let pairs = one.into_iter().zip(other);
                let memory = |(one, other): (Memory<2>, Memory<2>)| Memory {
                    hidden: both(one.hidden, other.hidden),
                    cell: both(one.cell, other.cell),
                };
                TorsoState::Lstm(pairs.map(memory).collect())
            }
            (TorsoState::Cnn(one), TorsoState::Cnn(other)) => {
                TorsoState::Cnn(one.into_iter().zip(other).map(|(one, other)| layers(one, other)).collect())
            }
            (TorsoState::Transformer(one), TorsoState::Transformer(other)) => TorsoState::Transformer(one.join(other)),
            (TorsoState::Bag(one), TorsoState::Bag(other)) => TorsoState::Bag(one.join(other)),
            (TorsoState::Pretrained(one), TorsoState::Pretrained(other)) => TorsoState::Pretrained(one.join(other)),
            _ => panic!("the decode states belong to different torsos"),
        }
    }
}

/// The vectors that a torso reads, with the summary of the source where there is one: `[batch, time, width]`.
fn vectors(embedding: &TokenEmbedding, input: &SequenceInput, source: Option<&Conditioning>) -> Tensor<3> {
    let vectors = embedding.forward(input.tokens.clone(), input.positions.clone());
    match source.and_then(|source| source.summary.clone()) {
        Some(summary) => vectors + summary.unsqueeze_dim(1),
        None => vectors,
    }
}

/// The rows of `outputs` at `decisions`.
///
/// # Shapes
/// - `outputs`: `[batch, time, width]`; `decisions`: `[batch, states]`
/// - returns `[batch, states, width]`
pub(crate) fn at_decisions(outputs: Tensor<3>, decisions: Tensor<2, Int>) -> Tensor<3> {
    let [batch, time, width] = outputs.dims();
    let states = decisions.dims()[1];
    // Whole rows are selected from the flattened batch: a gather would need an index for every feature.
    let starts = Tensor::<1, Int>::arange(0..batch as i64, &decisions.device()).mul_scalar(time as i64);
    let rows = (decisions + starts.unsqueeze_dim(1)).reshape([batch * states]);
    outputs.reshape([batch * time, width]).select(0, rows).reshape([batch, states, width])
}
