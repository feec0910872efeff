//! The model: from tokens to hidden states, and from these to logits.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_core::batch::FORBIDDEN;

use super::config::ModelConfig;
use super::layers::{Block, Norm, Pass, Projection, Turn};
use super::layout::{Kind, Part, Slot};
use super::states::{Features, HiddenStates};

/// A causal language model: a table of token vectors, blocks, a norm, and an output layer.
///
/// Its fields are open, so that heads, adapters and learners can be put on it.
#[derive(Module, Debug)]
pub struct CausalLm {
    /// A vector for each token: `[vocab, width]`.
    pub embedding: Param<Tensor<2>>,
    /// A vector for each place, in GPT-2: `[positions, width]`.
    pub positions: Option<Param<Tensor<2>>>,
    /// The blocks, the lowest first.
    pub blocks: Vec<Block>,
    /// Before the output layer, and before heads.
    pub norm: Norm,
    /// A vector for each token that hidden states are compared with, `[vocab, width]`; none where it is `embedding`.
    pub output: Option<Param<Tensor<2>>>,
    #[module(skip)]
    config: ModelConfig,
}

impl CausalLm {
    /// A model of parameters that `take` gives, in the layout of the model.
    pub(super) fn of<E>(
        config: ModelConfig,
        device: &Device,
        mut take: impl FnMut(Slot) -> Result<TensorData, E>,
    ) -> Result<Self, E> {
        let mut parts = Parts { config: &config, device, take: &mut take };
        let embedding = parts.matrix(Part::Embedding)?;
        let positions = config.rope.is_none().then(|| parts.matrix(Part::Positions)).transpose()?;
        let blocks = (0..config.n_layers).map(|layer| parts.block(layer)).collect::<Result<_, E>>()?;
        let norm = parts.norm(Part::Norm)?;
        let output = (!config.is_tied).then(|| parts.matrix(Part::Output)).transpose()?;
        Ok(Self { embedding, positions, blocks, norm, output, config })
    }

    /// Sizes and settings.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where its parameters are.
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// The hidden states of all places, after the last norm: what the output layer and heads read.
    ///
    /// Each place sees itself and those before it. Texts shorter than `time` are padded on the right with any token: what
    /// stands there changes nothing before it, and its own hidden states mean nothing.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, time]`
    /// - returns `[batch, time, width]`
    ///
    /// # Panics
    /// When `time` is above [`ModelConfig::n_positions`].
    pub fn hidden(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        self.hidden_and_memory(tokens, HiddenStates::Last, |_, heads| heads)
    }

    /// [`CausalLm::hidden`] of the states `states`; `remember` is shown the keys and values of each block.
    pub(super) fn hidden_and_memory(
        &self,
        tokens: Tensor<2, Int>,
        states: HiddenStates,
        remember: impl FnMut(usize, [Tensor<4>; 2]) -> [Tensor<4>; 2],
    ) -> Tensor<3> {
        let (time, device) = (tokens.dims()[1], tokens.device());
        let places = Tensor::<1, Int>::arange(0..time as i64, &device).unsqueeze_dim(0);
        self.read(tokens, places, causal_mask(time, &device), states, remember)
    }

    /// What the first block reads: the vectors of tokens and of their places.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, time]`; `places`: `[batch or 1, time]`
    /// - returns `[batch, time, width]`
    pub(super) fn embedded(&self, tokens: Tensor<2, Int>, places: Tensor<2, Int>) -> Tensor<3> {
        let rows = gathered(&self.embedding, tokens);
        match &self.positions {
            Some(table) => rows + gathered(table, places),
            None => rows,
        }
    }

    /// Hidden states of tokens at given places, which attend to what `remember` answers with.
    ///
    /// # Shapes
    /// - `tokens`: `[batch, time]`; `places`: `[batch or 1, time]`; `mask`: `[batch or 1, 1, time, places attended to]`
    pub(super) fn read(
        &self,
        tokens: Tensor<2, Int>,
        places: Tensor<2, Int>,
        mask: Tensor<4>,
        states: HiddenStates,
        mut remember: impl FnMut(usize, [Tensor<4>; 2]) -> [Tensor<4>; 2],
    ) -> Tensor<3> {
        let device = tokens.device();
        let mut rows = self.embedded(tokens, places.clone());
        let turn = Turn::new(&self.config, places.float(), &device);
        let pass = Pass { config: &self.config, turn, mask };
        let mut features = Features::new(states, &self.config);
        for (layer, block) in self.blocks.iter().enumerate() {
            features.take(&rows);
            rows = block.forward(rows, &pass, |heads| remember(layer, heads));
        }
        features.with(self.norm.forward(rows))
    }

    /// What the output layer makes of hidden states.
    ///
    /// # Shapes
    /// - `hidden`: `[rows, width]`
    /// - returns `[rows, vocab]`
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        hidden.matmul(self.output.as_ref().unwrap_or(&self.embedding).val().transpose())
    }

    /// A parameter, in the layout of the model.
    pub(super) fn parameter(&self, (part, kind): Slot) -> TensorData {
        let vector = |vector: &Param<Tensor<1>>| vector.val().into_data();
        let matrix = |matrix: &Param<Tensor<2>>| matrix.val().into_data();
        let absent = "the layout lists what the model has";
        let of_norm = |norm: &Norm| match kind {
            Kind::Weight => vector(&norm.weight),
            Kind::Bias => vector(norm.bias.as_ref().expect(absent)),
        };
        let of_projection = |projection: &Projection| match kind {
            Kind::Weight => matrix(&projection.weight),
            Kind::Bias => vector(projection.bias.as_ref().expect(absent)),
        };
        match part {
            Part::Embedding => matrix(&self.embedding),
            Part::Positions => matrix(self.positions.as_ref().expect(absent)),
            Part::Output => matrix(self.output.as_ref().expect(absent)),
            Part::Norm => of_norm(&self.norm),
            Part::AttentionNorm(layer) => of_norm(&self.blocks[layer].attention_norm),
            Part::HiddenNorm(layer) => of_norm(&self.blocks[layer].hidden_norm),
            Part::Query(layer) => of_projection(&self.blocks[layer].query),
            Part::Key(layer) => of_projection(&self.blocks[layer].key),
            Part::Value(layer) => of_projection(&self.blocks[layer].value),
            Part::AttentionOutput(layer) => of_projection(&self.blocks[layer].attention_output),
            Part::Gate(layer) => of_projection(self.blocks[layer].gate.as_ref().expect(absent)),
            Part::Up(layer) => of_projection(&self.blocks[layer].up),
            Part::Down(layer) => of_projection(&self.blocks[layer].down),
        }
    }
}

/// What is added to the scores of places, so that none sees those after it: `[1, 1, time, time]`.
pub(super) fn causal_mask(time: usize, device: &Device) -> Tensor<4> {
    let places = Tensor::<1, Int>::arange(0..time as i64, device);
    let later = places.clone().unsqueeze_dim::<2>(0).greater(places.unsqueeze_dim::<2>(1));
    later.float().mul_scalar(FORBIDDEN).reshape([1, 1, time, time])
}

/// The rows of a table that indices name: `[batch, time]` to `[batch, time, width]`.
fn gathered(table: &Param<Tensor<2>>, indices: Tensor<2, Int>) -> Tensor<3> {
    let ([batch, time], [_, width]) = (indices.dims(), table.dims());
    table.val().select(0, indices.reshape([batch * time])).reshape([batch, time, width])
}

/// Builds layers of what `take` gives.
struct Parts<'a, T> {
    config: &'a ModelConfig,
    device: &'a Device,
    take: &'a mut T,
}

impl<E, T: FnMut(Slot) -> Result<TensorData, E>> Parts<'_, T> {
    fn matrix(&mut self, part: Part) -> Result<Param<Tensor<2>>, E> {
        Ok(Param::from_data((self.take)((part, Kind::Weight))?, self.device))
    }

    fn vector(&mut self, part: Part, kind: Kind) -> Result<Param<Tensor<1>>, E> {
        Ok(Param::from_data((self.take)((part, kind))?, self.device))
    }

    fn norm(&mut self, part: Part) -> Result<Norm, E> {
        let bias = self.config.family.is_gpt2().then(|| self.vector(part, Kind::Bias)).transpose()?;
        Ok(Norm { weight: self.vector(part, Kind::Weight)?, bias, epsilon: self.config.norm_epsilon })
    }

    fn projection(&mut self, part: Part, has_bias: bool) -> Result<Projection, E> {
        let bias = has_bias.then(|| self.vector(part, Kind::Bias)).transpose()?;
        Ok(Projection { weight: self.matrix(part)?, bias, adapter: None })
    }

    fn block(&mut self, layer: usize) -> Result<Block, E> {
        let config = self.config;
        let (of_queries, of_hidden) = (config.has_query_biases, config.has_hidden_biases);
        let has_gate = !config.family.is_gpt2();
        Ok(Block {
            attention_norm: self.norm(Part::AttentionNorm(layer))?,
            query: self.projection(Part::Query(layer), of_queries)?,
            key: self.projection(Part::Key(layer), of_queries)?,
            value: self.projection(Part::Value(layer), of_queries)?,
            attention_output: self.projection(Part::AttentionOutput(layer), config.has_attention_output_bias)?,
            hidden_norm: self.norm(Part::HiddenNorm(layer))?,
            gate: has_gate.then(|| self.projection(Part::Gate(layer), of_hidden)).transpose()?,
            up: self.projection(Part::Up(layer), of_hidden)?,
            down: self.projection(Part::Down(layer), of_hidden)?,
        })
    }
}
