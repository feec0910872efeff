//! Many texts at once, a token each per step, from what a [`Speaker`] says.

use std::collections::HashSet;
use std::sync::Arc;

use dqn_core::{Sampling as Draws, SamplingScratch};
use dqn_model::pretrained::LmState;
use dqn_serve::{
    Alternative, ChatTemplate, Codec, Defaults, Engine, EngineError, ModelCard, Sampling, Slot, TextKind, Written,
};
use dqn_text::TokenId;
use dqn_text::tokenizer::Detokenizer;
use dqn_train::language_model::LanguageModel;
use dqn_train::writing::{SeenTokens, for_each_text, seed_of};
use rand_chacha::ChaCha8Rng;

use super::speaker::{Said, Speaker, failed, refused};

/// Most alternatives that are told beside a token: what OpenAI allows.
const MAX_ALTERNATIVES: usize = 20;

/// What a server tells of its model and cannot be read from it.
pub(crate) struct Settings {
    /// The name that requests give.
    pub(crate) id: String,
    /// When the model was made, in seconds since 1970.
    pub(crate) created: u64,
    /// Most texts at a time.
    pub(crate) n_slots: usize,
    /// How a conversation becomes a text.
    pub(crate) chat: Option<ChatTemplate>,
    /// What holds where a request says nothing.
    pub(crate) defaults: Defaults,
}

/// An engine over a language model.
pub(crate) struct TextEngine {
    speaker: Speaker,
    settings: Settings,
    /// The texts that were read, in the order of the rows of `read`.
    running: Vec<Writing>,
    read: Option<LmState>,
    /// Texts that were admitted since the last step, with what was said of their first token.
    fresh: Vec<(Writing, LmState, Said)>,
    scratch: SamplingScratch,
}

/// A text that is written.
struct Writing {
    slot: Slot,
    sampling: Sampling,
    rng: ChaCha8Rng,
    seen: SeenTokens,
    detokenizer: Detokenizer,
    /// The token that is read next.
    last: TokenId,
}

impl TextEngine {
    pub(crate) fn new(speaker: Speaker, settings: Settings) -> Self {
        let (running, fresh) = (Vec::new(), Vec::new());
        Self { speaker, settings, running, read: None, fresh, scratch: SamplingScratch::default() }
    }

    fn free_slot(&self) -> Slot {
        let taken: HashSet<usize> = self
            .running
            .iter()
            .chain(self.fresh.iter().map(|(writing, ..)| writing))
            .map(|writing| writing.slot.0)
            .collect();
        Slot((0..).find(|slot| !taken.contains(slot)).expect("there are more numbers than slots"))
    }
}

impl Engine for TextEngine {
    fn card(&self) -> ModelCard {
        let config = self.speaker.model.lm.config();
        ModelCard {
            id: self.settings.id.clone(),
            created: self.settings.created,
            context_length: config.n_positions,
            vocabulary_size: config.vocab_size,
            n_slots: self.settings.n_slots,
            has_values: self.speaker.values.is_some(),
            max_alternatives: MAX_ALTERNATIVES,
            has_count_penalties: false,
            chat: self.settings.chat.clone(),
            defaults: self.settings.defaults,
        }
    }

    fn codec(&self) -> Arc<dyn Codec> {
        Arc::new(ModelCodec(Arc::clone(&self.speaker.model)))
    }

    fn admit(&mut self, prompt: &[u32], sampling: &Sampling) -> Result<Slot, EngineError> {
        let prompt: Vec<TokenId> = prompt.iter().copied().map(TokenId).collect();
        let draws = draws(sampling);
        draws.check().map_err(refused)?;
        let (read, said) = self.speaker.start(&prompt, sampling.max_tokens)?;
        let slot = self.free_slot();
        let mut writing = Writing {
            slot,
            sampling: *sampling,
            rng: seed_of(sampling.seed, 0, 0).stream("writing"),
            seen: SeenTokens::default(),
            detokenizer: Detokenizer::after(&prompt),
            last: TokenId(0),
        };
        prompt.iter().for_each(|&token| writing.seen.add(token));
        self.fresh.push((writing, read, said));
        Ok(slot)
    }

    fn step(&mut self) -> Result<Vec<Written>, EngineError> {
        let mut said = Vec::new();
        if let Some(read) = &mut self.read {
            let tokens: Vec<TokenId> = self.running.iter().map(|writing| writing.last).collect();
            said.push(self.speaker.step(&tokens, read)?);
        }
        for (writing, read, first) in self.fresh.drain(..) {
            self.read = Some(match self.read.take() {
                Some(old) => old.join(read),
                None => read,
            });
            self.running.push(writing);
            said.push(first);
        }
        let model = Arc::clone(&self.speaker.model);
        let n_tokens = model.lm.config().vocab_size;
        let rows = said.iter().flat_map(|said| {
            let advantages = said.advantages.as_ref().map(|values| values.chunks_exact(n_tokens));
            let mut advantages = advantages.into_iter().flatten();
            said.logits.chunks_exact(n_tokens).map(move |logits| (logits, advantages.next()))
        });
        let texts: Vec<_> = self.running.iter_mut().zip(rows).collect();
        let n_logits = texts.len() * n_tokens;
        for_each_text(texts, n_logits, &mut self.scratch, |(writing, (logits, advantages)), scratch| {
            writing.write(&model, logits, advantages, scratch)
        })
    }

    fn release(&mut self, slot: Slot) {
        self.fresh.retain(|(writing, ..)| writing.slot != slot);
        if self.running.iter().any(|writing| writing.slot == slot) {
            let stays: Vec<usize> = (0..self.running.len()).filter(|&row| self.running[row].slot != slot).collect();
            self.read = self.read.take().and_then(|read| read.select(&stays));
            self.running.retain(|writing| writing.slot != slot);
        }
    }
}

impl Writing {
    /// Chooses the next token by `log pi + beta (Q - V)`.
    fn write(
        &mut self,
        model: &LanguageModel,
        logits: &[f32],
        advantages: Option<&[f32]>,
        scratch: &mut SamplingScratch,
    ) -> Result<Written, EngineError> {
        let beta = self.sampling.beta as f32;
        let weighed: Option<Vec<f32>> = advantages.filter(|_| beta != 0.0).map(|advantages| {
            logits.iter().zip(advantages).map(|(logit, advantage)| logit + beta * advantage).collect()
        });
        let preferences = weighed.as_deref().unwrap_or(logits);
        let chosen = draws(&self.sampling).choose(preferences, self.seen.tokens(), &mut self.rng, scratch);
        let token = chosen.ok_or_else(|| failed(&"the model does not answer with numbers"))?;
        let is_end = model.eos.contains(&TokenId(token));
        let piece = if is_end {
            self.detokenizer.finish(&model.tokenizer)
        } else {
            self.seen.add(TokenId(token));
            self.last = TokenId(token);
            self.detokenizer.push(&model.tokenizer, TokenId(token))
        };
        let log_sum = log_sum_exp(logits);
        Ok(Written {
            slot: self.slot,
            token,
            piece: piece.into_bytes(),
            log_probability: logits[token as usize] - log_sum,
            advantage: advantages.map(|advantages| advantages[token as usize]),
            alternatives: alternatives(self.sampling.n_alternatives, model, logits, advantages, log_sum),
            is_end,
        })
    }
}

/// The likeliest tokens, the likeliest first.
fn alternatives(
    n: usize,
    model: &LanguageModel,
    logits: &[f32],
    advantages: Option<&[f32]>,
    log_sum: f32,
) -> Vec<Alternative> {
    if n == 0 {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&one, &other| logits[other].total_cmp(&logits[one]));
    let told = |&token: &usize| Alternative {
        token: token as u32,
        piece: model.tokenizer.decode(&[TokenId(token as u32)]).into_bytes(),
        log_probability: logits[token] - log_sum,
        advantage: advantages.map(|advantages| advantages[token]),
    };
    order.iter().take(n).map(told).collect()
}

fn log_sum_exp(logits: &[f32]) -> f32 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    highest + logits.iter().map(|logit| (logit - highest).exp()).sum::<f32>().ln()
}

fn draws(sampling: &Sampling) -> Draws {
    Draws {
        temperature: sampling.temperature,
        top_k: sampling.top_k,
        top_p: Some(sampling.top_p),
        repetition_penalty: sampling.repetition_penalty,
    }
}

/// The tokenizer of a model.
struct ModelCodec(Arc<LanguageModel>);

impl Codec for ModelCodec {
    fn encode(&self, text: &str, kind: TextKind) -> Result<Vec<u32>, EngineError> {
        let tokens = match kind {
            TextKind::Plain => self.0.prompt(text).map_err(refused)?,
            TextKind::Templated => self.0.tokenizer.encode_bare(text).map_err(refused)?,
        };
        Ok(tokens.into_iter().map(|token| token.0).collect())
    }

    fn decode(&self, tokens: &[u32]) -> String {
        self.0.tokenizer.decode(&tokens.iter().copied().map(TokenId).collect::<Vec<_>>())
    }
}
