//! A model that reads and writes: decode states of many texts, which go on by a token at a time.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_mdp::TokenId;

use super::cache::KeyValues;
use super::config::ModelConfig;
use super::error::PretrainedError;
use super::model::CausalLm;
use super::states::{HiddenStates, last_of};
#[cfg(feature = "flex")]
use crate::fused;

/// A causal language model to read and write with: what depends on its parameters only is computed once, and no graph is
/// recorded.
///
/// On burn-flex its weights are packed for one kernel and its texts are read without padding; on any other backend it
/// computes in plain tensors. Copies share the weights.
#[derive(Clone, Debug)]
pub struct ActingLm {
    config: ModelConfig,
    device: Device,
    weights: Weights,
    states: HiddenStates,
}

#[derive(Clone, Debug)]
enum Weights {
    #[cfg(feature = "flex")]
    Packed(Arc<fused::Decoder>),
    Plain(Arc<CausalLm>),
}

/// What is kept of texts that a model has read: keys and values of their tokens.
///
/// Texts may have different lengths. Its rows are the texts, in the order in which they were given.
#[derive(Clone, Debug)]
pub struct LmState {
    texts: Texts,
}

#[derive(Clone, Debug)]
enum Texts {
    #[cfg(feature = "flex")]
    Packed(Vec<fused::Memory>),
    Plain(Box<KeyValues>),
}

impl CausalLm {
    /// The same model, to read and write with. One that records a graph is made one that does not by
    /// `burn::module::Module::valid` first.
    ///
    /// Layers are taken over one after the other, so that the parameters are not in memory twice.
    pub fn for_acting(self) -> ActingLm {
        let (config, device, states) = (self.config().clone(), self.device(), HiddenStates::Last);
        #[cfg(feature = "flex")]
        if fused::can_act(&device) {
            let weights = Weights::Packed(Arc::new(super::packing::decoder(self)));
            return ActingLm { config, device, weights, states };
        }
        ActingLm { config, device, weights: Weights::Plain(Arc::new(self)), states }
    }
}

impl ActingLm {
    /// The same model, which answers with these hidden states: rows of [`HiddenStates::width`] features, where it says
    /// `width`.
    pub fn showing(self, states: HiddenStates) -> Self {
        Self { states, ..self }
    }

    /// Sizes and settings.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where hidden states and logits are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Reads the beginnings of texts: what is kept of them, and the hidden state after each.
    ///
    /// Room for `n_more` tokens of each text is allocated at once; a text may become longer.
    ///
    /// # Shapes
    /// - returns `[texts, width]` beside the state
    ///
    /// # Errors
    /// [`PretrainedError::NoTokens`], [`PretrainedError::TooLong`] and [`PretrainedError::UnknownToken`]. No texts at all
    /// are [`PretrainedError::NoTokens`] as well.
    pub fn start(&self, prompts: &[&[TokenId]], n_more: usize) -> Result<(LmState, Tensor<2>), PretrainedError> {
        self.check(prompts, |_| 0)?;
        let n_more = n_more.min(self.config.n_positions);
        match &self.weights {
            #[cfg(feature = "flex")]
            Weights::Packed(decoder) => {
                let room = |prompt: &&[TokenId]| (prompt.len() + n_more).min(self.config.n_positions);
                let mut memories: Vec<fused::Memory> =
                    prompts.iter().map(|prompt| fused::Memory::new(decoder.sizes, room(prompt))).collect();
                let prompt_ids = ids(prompts);
                let hidden = decoder.read(&mut memories, &slices(&prompt_ids), self.states == HiddenStates::All);
                let width = self.states.width(&self.config);
                let mut n_read = 0;
                let mut ends = Vec::with_capacity(prompts.len() * width);
                for prompt in prompts {
                    n_read += prompt.len();
                    ends.extend_from_slice(&hidden[(n_read - 1) * width..n_read * width]);
                }
                Ok((LmState { texts: Texts::Packed(memories) }, self.tensor(ends, prompts.len())))
            }
            Weights::Plain(lm) => {
                let (cache, hidden) =
                    KeyValues::start(lm, self.padded(prompts), &lengths(prompts), n_more, self.states);
                let [batch, time, width] = hidden.dims();
                let ends = prompts.iter().enumerate().map(|(row, prompt)| (row * time + prompt.len() - 1) as i64);
                let ends = TensorData::new(ends.collect::<Vec<i64>>(), [batch]);
                let ends = Tensor::<1, Int>::from_data(ends, &self.device);
                let hidden = hidden.reshape([batch * time, width]).select(0, ends);
                Ok((LmState { texts: Texts::Plain(Box::new(cache)) }, hidden))
            }
        }
    }

    /// Reads one more token of each text: the hidden state after it.
    ///
    /// # Shapes
    /// - returns `[texts, width]`
    ///
    /// # Errors
    /// [`PretrainedError::TooLong`] when a text is as long as the model can read already, and
    /// [`PretrainedError::UnknownToken`]; the state is as it was.
    ///
    /// # Panics
    /// When there is not one token for each text, or when the state is that of a model on another backend.
    pub fn step(&self, tokens: &[TokenId], state: &mut LmState) -> Result<Tensor<2>, PretrainedError> {
        let n_before = state.lengths();
        assert_eq!(tokens.len(), n_before.len(), "one token for each text");
        let rows: Vec<&[TokenId]> = tokens.chunks(1).collect();
        self.check(&rows, |row| n_before[row])?;
        match (&self.weights, &mut state.texts) {
            #[cfg(feature = "flex")]
            (Weights::Packed(decoder), Texts::Packed(memories)) => {
                let ids: Vec<u32> = tokens.iter().map(|token| token.0).collect();
                let hidden =
                    decoder.read(memories, &ids.chunks(1).collect::<Vec<_>>(), self.states == HiddenStates::All);
                Ok(self.tensor(hidden, tokens.len()))
            }
            (Weights::Plain(lm), Texts::Plain(cache)) => Ok(cache.step(lm, self.padded(&rows), self.states)),
            #[cfg(feature = "flex")]
            _ => panic!("the state is that of a model on another backend"),
        }
    }

    /// Hidden states of all tokens of whole texts, one text after the other, as [`CausalLm::hidden`] has them.
    ///
    /// # Shapes
    /// - returns `[tokens of all texts, width]`
    ///
    /// # Errors
    /// Those of [`ActingLm::start`].
    pub fn hidden(&self, texts: &[&[TokenId]]) -> Result<Tensor<2>, PretrainedError> {
        self.check(texts, |_| 0)?;
        match &self.weights {
            #[cfg(feature = "flex")]
            Weights::Packed(decoder) => {
                let memory = |text: &&[TokenId]| fused::Memory::new(decoder.sizes, text.len());
                let mut memories: Vec<fused::Memory> = texts.iter().map(memory).collect();
                let text_ids = ids(texts);
                let hidden = decoder.read(&mut memories, &slices(&text_ids), self.states == HiddenStates::All);
                let n_rows = texts.iter().map(|text| text.len()).sum();
                Ok(self.tensor(hidden, n_rows))
            }
            Weights::Plain(lm) => {
                let hidden = lm.hidden_and_memory(self.padded(texts), self.states, |_, heads| heads);
                let [batch, time, width] = hidden.dims();
                let rows = texts.iter().enumerate().flat_map(|(row, text)| row * time..row * time + text.len());
                let rows: Vec<i64> = rows.map(|row| row as i64).collect();
                let n_rows = rows.len();
                let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [n_rows]), &self.device);
                Ok(hidden.reshape([batch * time, width]).select(0, rows))
            }
        }
    }

    /// What the output layer makes of hidden states.
    ///
    /// # Shapes
    /// - `hidden`: `[rows, width]`, or as wide as what this model answers with
    /// - returns `[rows, vocab]`
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        let hidden = last_of(hidden, self.config.width);
        match &self.weights {
            #[cfg(feature = "flex")]
            Weights::Packed(decoder) => {
                let n_rows = hidden.dims()[0];
                let hidden = hidden.try_into_vec_as::<f32>().expect("hidden states are 32-bit floats");
                let logits = TensorData::new(decoder.logits(&hidden), [n_rows, self.config.vocab_size]);
                Tensor::from_data(logits, &self.device)
            }
            Weights::Plain(lm) => lm.logits(hidden),
        }
    }

    /// Whether the model can read a text.
    ///
    /// # Errors
    /// [`PretrainedError::NoTokens`], [`PretrainedError::TooLong`] and [`PretrainedError::UnknownToken`].
    pub fn check_text(&self, text: &[TokenId]) -> Result<(), PretrainedError> {
        self.check(&[text], |_| 0)
    }

    /// Holds texts, which go on from so many tokens, against the model.
    fn check(&self, texts: &[&[TokenId]], n_before: impl Fn(usize) -> usize) -> Result<(), PretrainedError> {
        let ModelConfig { n_positions, vocab_size, .. } = self.config;
        if texts.is_empty() || texts.iter().any(|text| text.is_empty()) {
            return Err(PretrainedError::NoTokens);
        }
        for (row, text) in texts.iter().enumerate() {
            let n_tokens = n_before(row) + text.len();
            if n_tokens > n_positions {
                return Err(PretrainedError::TooLong { n_tokens, n_positions });
            }
            if let Some(&TokenId(token)) = text.iter().find(|token| token.index() >= vocab_size) {
                return Err(PretrainedError::UnknownToken { token, vocab_size });
            }
        }
        Ok(())
    }

    /// Rows as a tensor: `[n_rows, features]`.
    #[cfg(feature = "flex")]
    fn tensor(&self, rows: Vec<f32>, n_rows: usize) -> Tensor<2> {
        Tensor::from_data(TensorData::new(rows, [n_rows, self.states.width(&self.config)]), &self.device)
    }

    /// Texts of different lengths, filled up on the right: `[texts, longest]`.
    fn padded(&self, texts: &[&[TokenId]]) -> Tensor<2, Int> {
        let time = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let token = |text: &[TokenId], place: usize| text.get(place).map_or(0, |token| i64::from(token.0));
        let all = texts.iter().flat_map(|text| (0..time).map(move |place| token(text, place)));
        Tensor::from_data(TensorData::new(all.collect::<Vec<i64>>(), [texts.len(), time]), &self.device)
    }
}

#[cfg(feature = "flex")]
fn ids(texts: &[&[TokenId]]) -> Vec<Vec<u32>> {
    texts.iter().map(|text| text.iter().map(|token| token.0).collect()).collect()
}

#[cfg(feature = "flex")]
fn slices(texts: &[Vec<u32>]) -> Vec<&[u32]> {
    texts.iter().map(Vec::as_slice).collect()
}

fn lengths(texts: &[&[TokenId]]) -> Vec<usize> {
    texts.iter().map(|text| text.len()).collect()
}

impl LmState {
    /// Tokens of each text.
    pub fn lengths(&self) -> Vec<usize> {
        match &self.texts {
            #[cfg(feature = "flex")]
            Texts::Packed(memories) => memories.iter().map(fused::Memory::n_tokens).collect(),
            Texts::Plain(cache) => cache.lengths().to_vec(),
        }
    }

    /// How many texts there are.
    pub fn n_texts(&self) -> usize {
        self.lengths().len()
    }

    /// The texts of the rows `rows`, in that order; a row may be named several times or not at all. None are left where no
    /// row is named.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn select(self, rows: &[usize]) -> Option<Self> {
        if rows.is_empty() {
            return None;
        }
        let texts = match self.texts {
            #[cfg(feature = "flex")]
            Texts::Packed(memories) => {
                let mut n_left = vec![0_usize; memories.len()];
                rows.iter().for_each(|&row| n_left[row] += 1);
                let mut memories: Vec<Option<fused::Memory>> = memories.into_iter().map(Some).collect();
                // What is named for the last time is moved, not copied.
                let mut take = |row: usize| {
                    n_left[row] -= 1;
                    let memory = if n_left[row] == 0 { memories[row].take() } else { memories[row].clone() };
                    memory.expect("a row is there until it is named for the last time")
                };
                Texts::Packed(rows.iter().map(|&row| take(row)).collect())
            }
            Texts::Plain(cache) => Texts::Plain(Box::new(cache.select(rows))),
        };
        Some(Self { texts })
    }

    /// The texts of this state and after them those of `other`.
    ///
    /// # Panics
    /// When they are of models on different backends.
    pub fn join(self, other: Self) -> Self {
        let texts = match (self.texts, other.texts) {
            #[cfg(feature = "flex")]
            (Texts::Packed(mut memories), Texts::Packed(others)) => {
                memories.extend(others);
                Texts::Packed(memories)
            }
            (Texts::Plain(cache), Texts::Plain(other)) => Texts::Plain(Box::new(cache.join(*other))),
            #[cfg(feature = "flex")]
            _ => panic!("the states are of models on different backends"),
        };
        Self { texts }
    }
}
