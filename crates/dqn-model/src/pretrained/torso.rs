//! A pretrained model as the part of a Q-network that reads the text.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
#[cfg(feature = "flex")]
use std::sync::{Mutex, PoisonError};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_core::{SequenceInput, StepInput};
use dqn_mdp::TokenId;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::acting::{ActingLm, LmState};
use super::adapter::{self, Adapter, LoraConfig};
use super::error::PretrainedError;
#[cfg(feature = "flex")]
use super::kept::KeptStates;
use super::layers::{Block, Norm, Pass, Turn};
use super::model::{CausalLm, causal_mask};
use super::states::{Features, HiddenStates};
#[cfg(feature = "flex")]
use crate::fused;
use crate::init::Init;
use crate::torso::at_decisions;

/// Tokens that room is made for when a text begins; a longer one is given more.
const ROOM_TOKENS: usize = 128;

const FITS: &str = "texts were found to fit the model when the experiment was built";

/// A pretrained causal language model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PretrainedConfig {
    /// The folder of the model: `config.json`, safetensors and `tokenizer.json`; a relative path starts at the experiment
    /// file. Its tokenizer must be that of the experiment.
    pub folder: PathBuf,
    /// How many of its blocks are trained, counted from the last one, and with them the norm behind them; a number beyond
    /// them all trains all. What is not trained has no gradient, no optimizer state and no place in checkpoints. The
    /// vectors of tokens and the output layer are never trained.
    #[serde(default)]
    pub trained_blocks: usize,
    /// Train low-rank adapters beside all projections of all blocks instead. Leave it out for none.
    #[serde(default)]
    pub lora: Option<LoraConfig>,
    /// Which hidden states are the features of a state: `last`, or `all` for those below it as well. Heads that are the
    /// model's own output layer read the last in any case.
    #[serde(default)]
    pub states: HiddenStates,
    /// Megabytes of a temporary file, in the folder that `TMPDIR` names, in which the hidden states of a frozen model are
    /// kept, so that texts that are learned from again are not read again; 0 keeps none. For texts that are there before
    /// (`training.source` is `text` or `log`), on the backend `flex`.
    #[serde(default = "kept_by_default")]
    pub kept_megabytes: u64,
}

fn kept_by_default() -> u64 {
    4096
}

impl PretrainedConfig {
    /// Whether nothing of the model is trained.
    pub fn is_frozen(&self) -> bool {
        self.trained_blocks == 0 && self.lora.is_none()
    }
}

/// A model whose parameters stay as they are, shared by all networks that are put on it.
#[derive(Debug)]
pub struct PretrainedBase {
    lm: CausalLm,
    states: HiddenStates,
    /// For each token of the vocabulary its id in the model.
    model_ids: Vec<TokenId>,
    /// The same on the device.
    table: Tensor<1, Int>,
    acting: OnceLock<ActingLm>,
    /// What was read last: the target network is asked about the batch that the online network has just read.
    #[cfg(feature = "flex")]
    last: Mutex<Option<LastRead>>,
    /// Hidden states of texts that are learned from again.
    #[cfg(feature = "flex")]
    kept: Option<KeptStates>,
}

#[cfg(feature = "flex")]
#[derive(Debug)]
struct LastRead {
    tokens: Vec<i64>,
    decisions: Vec<i64>,
    features: Tensor<3>,
}

impl PretrainedBase {
    /// The model `lm`, whose tokens a vocabulary numbers so that its token `i` is `model_ids[i]`, and whose states `states`
    /// are the features of all networks that are put on it.
    ///
    /// # Errors
    /// [`PretrainedError::UnknownToken`] when the vocabulary is that of another model.
    pub fn new(lm: CausalLm, model_ids: Vec<TokenId>, states: HiddenStates) -> Result<Self, PretrainedError> {
        let vocab_size = lm.config().vocab_size;
        if let Some(&TokenId(token)) = model_ids.iter().find(|id| id.index() >= vocab_size) {
            return Err(PretrainedError::UnknownToken { token, vocab_size });
        }
        let ids: Vec<i64> = model_ids.iter().map(|id| i64::from(id.0)).collect();
        let n_tokens = ids.len();
        let table = Tensor::from_data(TensorData::new(ids, [n_tokens]), &lm.device());
        Ok(Self {
            lm,
            states,
            model_ids,
            table,
            acting: OnceLock::new(),
            #[cfg(feature = "flex")]
            last: Mutex::new(None),
            #[cfg(feature = "flex")]
            kept: None,
        })
    }

    /// The same model, which keeps up to `most_bytes` of hidden states in a temporary file where it is frozen and the
    /// backend is flex.
    ///
    /// # Errors
    /// When there is no place for the file.
    #[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "flex alone keeps"))]
    pub fn keeping(self, most_bytes: u64) -> std::io::Result<Self> {
        #[cfg(feature = "flex")]
        return Ok(Self {
            kept: (most_bytes > 0).then(|| KeptStates::new(self.width(), most_bytes)).transpose()?,
            ..self
        });
        #[cfg(not(feature = "flex"))]
        Ok(self)
    }

    /// Which of its hidden states are features.
    pub fn states(&self) -> HiddenStates {
        self.states
    }

    /// The model.
    pub fn lm(&self) -> &CausalLm {
        &self.lm
    }

    /// Number of features of a state.
    pub fn width(&self) -> usize {
        self.states.width(self.lm.config())
    }

    /// The rows of the output layer that belong to tokens of the vocabulary: `[tokens, width]`.
    pub(super) fn output_rows(&self, tokens: &[TokenId]) -> Tensor<2> {
        let ids: Vec<i64> = tokens.iter().map(|token| i64::from(self.model_ids[token.index()].0)).collect();
        let n_rows = ids.len();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [n_rows]), &self.lm.device());
        self.lm.output.as_ref().unwrap_or(&self.lm.embedding).val().select(0, ids)
    }

    fn acting(&self) -> ActingLm {
        self.acting.get_or_init(|| self.lm.clone().for_acting().showing(self.states)).clone()
    }

    fn ids(&self, tokens: &[i64]) -> Vec<TokenId> {
        tokens.iter().map(|&token| self.model_ids[token as usize]).collect()
    }
}

/// A pretrained model with what is trained of it.
#[derive(Module, Debug)]
pub struct PretrainedTorso {
    /// The last blocks, where they are trained.
    trained: Vec<Block>,
    /// The norm behind them.
    norm: Option<Norm>,
    /// For each projection of each block, where adapters are trained.
    adapters: Vec<Adapter>,
    #[module(skip)]
    base: Arc<PretrainedBase>,
    /// The model with what was learned, in a torso that only acts.
    #[module(skip)]
    acting: Option<ActingLm>,
}

/// What is kept of texts that are read token by token.
#[derive(Clone, Debug)]
pub struct PretrainedState {
    lm: ActingLm,
    /// None where all texts were left out.
    texts: Option<LmState>,
}

impl PretrainedTorso {
    /// # Panics
    /// When the features of `base` are other states than those of `config`.
    pub(crate) fn new<R: Rng>(config: &PretrainedConfig, base: &Arc<PretrainedBase>, init: &mut Init<'_, R>) -> Self {
        assert_eq!(config.states, base.states, "the model of a torso shows the states that its configuration names");
        let lm = &base.lm;
        let first = lm.blocks.len() - config.trained_blocks.min(lm.blocks.len());
        let trained = lm.blocks[first..].to_vec().map(&mut Copied { device: init.device });
        let norm = (!trained.is_empty()).then(|| lm.norm.clone().map(&mut Copied { device: init.device }));
        let adapters = config.lora.map_or_else(Vec::new, |lora| adapter::of_blocks(lora, &lm.blocks, init));
        Self { trained, norm, adapters, base: Arc::clone(base), acting: None }
    }

    fn is_frozen(&self) -> bool {
        self.trained.is_empty() && self.adapters.is_empty()
    }

    /// Adapters of one block.
    fn adapters_of(&self, layer: usize) -> &[Adapter] {
        let n_each = self.adapters.len() / self.base.lm.blocks.len();
        &self.adapters[layer * n_each..(layer + 1) * n_each]
    }

    pub(crate) fn for_acting(self) -> Self {
        Self { acting: Some(self.acting_lm()), ..self }
    }

    fn acting_lm(&self) -> ActingLm {
        match &self.acting {
            Some(lm) => lm.clone(),
            None if self.is_frozen() => self.base.acting(),
            None => self.merged().for_acting().showing(self.base.states),
        }
    }

    /// The model with what was learned in its weights, without a graph.
    pub(crate) fn merged(&self) -> CausalLm {
        let mut lm = self.base.lm.clone();
        let first = lm.blocks.len() - self.trained.len();
        let records = |module: &Vec<Block>| module.devices().iter().any(Device::is_autodiff);
        let trained = if records(&self.trained) { self.trained.valid() } else { self.trained.clone() };
        for (block, learned) in lm.blocks[first..].iter_mut().zip(trained) {
            *block = learned;
        }
        if let Some(norm) = &self.norm {
            lm.norm = if norm.weight.device().is_autodiff() { norm.valid() } else { norm.clone() };
        }
        if !self.adapters.is_empty() {
            let records = self.adapters[0].down.device().is_autodiff();
            let adapters = if records { self.adapters.valid() } else { self.adapters.clone() };
            let plain = Self { trained: Vec::new(), norm: None, adapters, base: Arc::clone(&self.base), acting: None };
            let blocks = std::mem::take(&mut lm.blocks).into_iter().enumerate();
            lm.blocks = blocks.map(|(layer, block)| adapter::merged(block, plain.adapters_of(layer))).collect();
        }
        lm
    }

    /// Features of the states asked about: `[batch, states, width]`.
    pub(crate) fn forward(&self, input: &SequenceInput) -> Tensor<3> {
        let SequenceInput { tokens, decisions, .. } = input.clone();
        let records = tokens.device().is_autodiff();
        let plain = |tensor: Tensor<2, Int>| if records { tensor.inner() } else { tensor };
        #[cfg(feature = "flex")]
        if (self.is_frozen() || self.acting.is_some()) && fused::can_act(&self.base.lm.device()) {
            let features = self.packed_features(plain(tokens), plain(decisions));
            return if records { Tensor::from_inner(features) } else { features };
        }
        at_decisions(self.read(plain(tokens), records), decisions)
    }

    /// Features of all places, with a graph over what is trained where `records`: `[batch, time, width]`.
    fn read(&self, tokens: Tensor<2, Int>, records: bool) -> Tensor<3> {
        let lm = &self.base.lm;
        let ([batch, time], device) = (tokens.dims(), tokens.device());
        let ids = self.base.table.clone().select(0, tokens.reshape([batch * time])).reshape([batch, time]);
        let places = Tensor::<1, Int>::arange(0..time as i64, &device).unsqueeze_dim::<2>(0);
        let mut rows = lm.embedded(ids, places.clone());
        let turn = Turn::new(lm.config(), places.float(), &device);
        let mut pass = Pass { config: lm.config(), turn, mask: causal_mask(time, &device) };
        let n_below = match self.adapters.is_empty() {
            true => lm.blocks.len() - self.trained.len(),
            false => 0,
        };
        let mut features = Features::new(self.base.states, lm.config());
        for block in &lm.blocks[..n_below] {
            features.take(&rows);
            rows = block.forward(rows, &pass, |heads| heads);
        }
        if records {
            rows = Tensor::from_inner(rows);
            (pass, features) = (pass.lifted(), features.lifted());
        }
        for (layer, block) in lm.blocks.iter().enumerate().skip(n_below) {
            features.take(&rows);
            rows = match self.trained.get(layer - n_below) {
                Some(block) => block.forward(rows, &pass, |heads| heads),
                None => {
                    adapter::beside(constant(block, records), self.adapters_of(layer))
                        .forward(rows, &pass, |heads| heads)
                }
            };
        }
        features.with(match &self.norm {
            Some(norm) => norm.forward(rows),
            None => constant(&lm.norm, records).forward(rows),
        })
    }

    /// [`PretrainedTorso::forward`] by the packed model, which reads texts without their padding.
    #[cfg(feature = "flex")]
    fn packed_features(&self, tokens: Tensor<2, Int>, decisions: Tensor<2, Int>) -> Tensor<3> {
        let ([batch, time], [_, n_states]) = (tokens.dims(), decisions.dims());
        let device = tokens.device();
        let (tokens, decisions) = (numbers(tokens), numbers(decisions));
        if self.is_frozen() {
            let last = self.base.last.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(last) = &*last
                && last.tokens == tokens
                && last.decisions == decisions
                && last.features.dims() == [batch, n_states, self.base.width()]
            {
                return last.features.clone();
            }
        }
        let lm = self.acting_lm();
        let (mut texts, mut rows, mut n_read) = (Vec::with_capacity(batch), Vec::with_capacity(batch * n_states), 0);
        for (text, asked) in tokens.chunks_exact(time).zip(decisions.chunks_exact(n_states)) {
            let n_tokens = asked.iter().max().map_or(1, |&last| last as usize + 1);
            rows.extend(asked.iter().map(|&place| n_read as i64 + place));
            texts.push(self.base.ids(&text[..n_tokens]));
            n_read += n_tokens;
        }
        let texts: Vec<&[TokenId]> = texts.iter().map(Vec::as_slice).collect();
        let read = |texts: &[&[TokenId]]| lm.hidden(texts).expect(FITS);
        let hidden = match self.base.kept.as_ref().filter(|_| self.is_frozen()) {
            Some(kept) => kept.hidden(&texts, &device, read),
            None => read(&texts),
        };
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [batch * n_states]), &device);
        let features = hidden.select(0, rows).reshape([batch, n_states, self.base.width()]);
        if self.is_frozen() {
            let read = LastRead { tokens, decisions, features: features.clone() };
            *self.base.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
        }
        features
    }

    /// Reads texts up to the one state asked about in each; its features: `[batch, width]`.
    pub(crate) fn start(&self, input: &SequenceInput) -> (PretrainedState, Tensor<2>) {
        let records = input.tokens.device().is_autodiff();
        let time = input.tokens.dims()[1];
        let (tokens, decisions) = (numbers(input.tokens.clone()), numbers(input.decisions.clone()));
        let texts = tokens.chunks_exact(time).zip(&decisions);
        let texts: Vec<Vec<TokenId>> = texts.map(|(text, &last)| self.base.ids(&text[..=last as usize])).collect();
        let lm = self.acting_lm();
        let texts: Vec<&[TokenId]> = texts.iter().map(Vec::as_slice).collect();
        let (texts, features) = lm.start(&texts, ROOM_TOKENS).expect(FITS);
        let features = if records { Tensor::from_inner(features) } else { features };
        (PretrainedState { lm, texts: Some(texts) }, features)
    }

    /// Reads one more token of each text; the features of the new states: `[batch, width]`.
    pub(crate) fn step(&self, input: &StepInput, state: &mut PretrainedState) -> Tensor<2> {
        let records = input.tokens.device().is_autodiff();
        let tokens = self.base.ids(&numbers(input.tokens.clone()));
        let texts = state.texts.as_mut().expect("a token is read of a text that is there");
        let features = state.lm.step(&tokens, texts).expect(FITS);
        if records { Tensor::from_inner(features) } else { features }
    }
}

impl PretrainedState {
    /// The rows `rows`, in that order.
    pub(crate) fn select(self, rows: Tensor<1, Int>) -> Self {
        let rows: Vec<usize> = numbers(rows).into_iter().map(|row| row as usize).collect();
        Self { texts: self.texts.and_then(|texts| texts.select(&rows)), lm: self.lm }
    }

    /// The rows of this state and after them those of `other`.
    pub(crate) fn join(self, other: Self) -> Self {
        let texts = match (self.texts, other.texts) {
            (Some(one), Some(other)) => Some(one.join(other)),
            (one, other) => one.or(other),
        };
        Self { lm: self.lm, texts }
    }
}

/// Whole numbers of a tensor, on the host.
fn numbers<const D: usize>(tensor: Tensor<D, Int>) -> Vec<i64> {
    tensor.into_data().convert::<i64>().try_to_vec().expect("ids were made 64-bit integers")
}

/// A module whose parameters get no gradient, on the device that records a graph where `records`.
fn constant<M: Module>(module: &M, records: bool) -> M {
    match records {
        true => module.clone().map(&mut Lifted),
        false => module.clone(),
    }
}

struct Lifted;

impl ModuleMapper for Lifted {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id = param.id;
        Param::initialized(id, Tensor::from_inner(param.val()))
    }
}

/// Copies parameters to a device, to be trained there.
struct Copied<'a> {
    device: &'a Device,
}

impl ModuleMapper for Copied<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        Param::from_data(param.val().into_data(), self.device)
    }
}
