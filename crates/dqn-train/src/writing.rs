//! Texts written by a pretrained language model, token by token and many together.
//!
//! A [`Writer`] takes requests at any time, writes one token of every running text a step, and hands out what can be shown of
//! each. Texts join and leave while others go on, and none of them depends on the others: each draws from its own random
//! stream.

use std::collections::{HashSet, VecDeque};

use dqn_core::{Sampling, SamplingScratch};
use dqn_mdp::Seed;
use dqn_model::pretrained::LmState;
use dqn_text::TokenId;
use dqn_text::tokenizer::{Detokenizer, StopStrings};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::TrainError;
use crate::language_model::LanguageModel;

/// Tokens that room is made for at once; a longer text is given more when it needs it.
const MAX_ROOM: usize = 1024;

/// A text to be written.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// What it goes on from; at least one token.
    pub prompt: Vec<TokenId>,
    /// Most tokens that are written; one is in any case.
    pub n_tokens: usize,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// The text ends before the first of these that comes.
    pub stop: Vec<String>,
    /// Where its draws come from: the same seed writes the same text.
    pub seed: Seed,
}

/// Where the draws of a text come from that is one of several: the copy `copy` of what follows the prompt `line`, both
/// counted from 0, of a request with the seed `seed`.
pub fn seed_of(seed: u64, line: usize, copy: usize) -> Seed {
    Seed(Seed(seed).stream(&format!("prompt {line} text {copy}")).random())
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The model ended it.
    Eos,
    /// A stop string came.
    Stop,
    /// It has as many tokens as were asked for, or as the model can read.
    Length,
}

/// What a step wrote of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which text, as [`Writer::admit`] numbered it.
    pub text: u64,
    /// What can be shown; empty while a character or what may be a stop string is not complete.
    pub shown: String,
    /// Tokens written so far, the one that ends a text included.
    pub n_tokens: usize,
    /// Whether it is over, and why.
    pub ending: Option<Ending>,
}

/// The tokens that stand in a text, each once, for the penalty of repetition.
#[derive(Clone, Debug, Default)]
pub struct SeenTokens {
    tokens: Vec<u32>,
    known: HashSet<u32>,
}

impl SeenTokens {
    /// Adds a token that the text has now.
    pub fn add(&mut self, token: TokenId) {
        if self.known.insert(token.0) {
            self.tokens.push(token.0);
        }
    }

    /// The tokens in the order in which they came first.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }
}

/// A text that is being written.
#[derive(Debug)]
struct Writing {
    number: u64,
    request: WriteRequest,
    rng: ChaCha8Rng,
    seen: SeenTokens,
    detokenizer: Detokenizer,
    stop: StopStrings,
    n_tokens: usize,
    /// The token that is read next.
    last: TokenId,
}

/// Logits from which on the texts of a step are divided among threads: for fewer, waking them takes longer.
const PARALLEL_LOGITS: usize = 1 << 16;

/// What `write` makes of each of several texts, about which `n_logits` numbers were said in all; on several threads where
/// these are many.
///
/// # Errors
/// The first error of `write`.
pub fn for_each_text<T: Send, R: Send, E: Send>(
    texts: Vec<T>,
    n_logits: usize,
    scratch: &mut SamplingScratch,
    write: impl Fn(T, &mut SamplingScratch) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    match n_logits < PARALLEL_LOGITS {
        true => texts.into_iter().map(|text| write(text, scratch)).collect(),
        false => {
            let own_scratch = |scratch: &mut SamplingScratch, text| write(text, scratch);
            texts.into_par_iter().map_init(SamplingScratch::default, own_scratch).collect()
        }
    }
}

/// Writes texts together.
#[derive(Debug)]
pub struct Writer<'a> {
    model: &'a LanguageModel,
    max_texts: usize,
    next_number: u64,
    waiting: VecDeque<Writing>,
    running: Vec<Writing>,
    /// Of the running texts, in their order.
    state: Option<LmState>,
    scratch: SamplingScratch,
}

impl<'a> Writer<'a> {
    /// A writer of up to `max_texts` texts at a time; more wait for their turn.
    ///
    /// # Panics
    /// When `max_texts` is 0.
    pub fn new(model: &'a LanguageModel, max_texts: usize) -> Self {
        assert!(max_texts > 0, "a writer writes at least one text");
        let (waiting, running) = (VecDeque::new(), Vec::new());
        Self { model, max_texts, next_number: 0, waiting, running, state: None, scratch: SamplingScratch::default() }
    }

    /// Takes a request; the number of its text tells its pieces from others.
    ///
    /// # Errors
    /// [`TrainError::Pretrained`] for a prompt without tokens, with tokens the model does not know, or longer than it reads;
    /// [`TrainError::Sampling`] for settings out of range.
    pub fn admit(&mut self, request: WriteRequest) -> Result<u64, TrainError> {
        request.sampling.check()?;
        self.model.lm.check_text(&request.prompt)?;
        let number = self.next_number;
        self.next_number += 1;
        let mut writing = Writing {
            number,
            rng: request.seed.stream("writing"),
            seen: SeenTokens::default(),
            detokenizer: Detokenizer::after(&request.prompt),
            stop: StopStrings::new(request.stop.iter().cloned()),
            n_tokens: 0,
            last: TokenId(0),
            request,
        };
        writing.request.prompt.iter().for_each(|&token| writing.seen.add(token));
        self.waiting.push_back(writing);
        Ok(number)
    }

    /// Gives up a text, whether it is written or waits; nothing more comes of it.
    pub fn cancel(&mut self, text: u64) {
        self.waiting.retain(|writing| writing.number != text);
        if self.running.iter().any(|writing| writing.number == text) {
            let stays: Vec<usize> = (0..self.running.len()).filter(|&row| self.running[row].number != text).collect();
            self.keep(&stays);
        }
    }

    /// Texts that are written or wait.
    pub fn n_open(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// Writes one token of every running text, and the first of those whose turn has come.
    ///
    /// # Errors
    /// [`TrainError::Pretrained`] when the model refuses a text, and [`TrainError::NoLogits`] when it does not answer with
    /// numbers.
    pub fn step(&mut self) -> Result<Vec<Piece>, TrainError> {
        let lm = &self.model.lm;
        let mut hidden = Vec::new();
        if let Some(state) = &mut self.state {
            let tokens: Vec<TokenId> = self.running.iter().map(|writing| writing.last).collect();
            hidden.push(lm.step(&tokens, state)?);
        }
        let n_new = self.waiting.len().min(self.max_texts - self.running.len());
        if n_new > 0 {
            let new: Vec<Writing> = self.waiting.drain(..n_new).collect();
            let prompts: Vec<&[TokenId]> = new.iter().map(|writing| writing.request.prompt.as_slice()).collect();
            let n_more = new.iter().map(|writing| writing.request.n_tokens).max().unwrap_or(0).min(MAX_ROOM);
            let (state, ends) = lm.start(&prompts, n_more)?;
            hidden.push(ends);
            self.state = Some(match self.state.take() {
                Some(old) => old.join(state),
                None => state,
            });
            self.running.extend(new);
        }
        if hidden.is_empty() {
            return Ok(Vec::new());
        }
        let logits = lm.logits(burn::tensor::Tensor::cat(hidden, 0));
        let logits = logits.try_into_vec_as::<f32>().expect("logits are 32-bit floats");
        let vocab_size = lm.config().vocab_size;
        let (model, n_logits) = (self.model, logits.len());
        let texts = self.running.iter_mut().zip(logits.chunks_exact(vocab_size)).collect();
        let pieces = for_each_text(texts, n_logits, &mut self.scratch, |(writing, logits), scratch| {
            writing.write(model, logits, scratch)
        })?;
        let stays: Vec<usize> = (0..pieces.len()).filter(|&row| pieces[row].ending.is_none()).collect();
        if stays.len() < pieces.len() {
            self.keep(&stays);
        }
        Ok(pieces)
    }

    /// Keeps the running texts of these rows, which are in order.
    fn keep(&mut self, rows: &[usize]) {
        self.state = self.state.take().and_then(|state| state.select(rows));
        let mut row = 0;
        self.running.retain(|_| {
            row += 1;
            rows.binary_search(&(row - 1)).is_ok()
        });
    }
}

impl Writing {
    /// Chooses the next token, and what of the text can be shown with it.
    fn write(
        &mut self,
        model: &LanguageModel,
        logits: &[f32],
        scratch: &mut SamplingScratch,
    ) -> Result<Piece, TrainError> {
        let token = self.request.sampling.choose(logits, self.seen.tokens(), &mut self.rng, scratch);
        let token = TokenId(token.ok_or(TrainError::NoLogits { n_tokens: self.request.prompt.len() + self.n_tokens })?);
        self.n_tokens += 1;
        let mut ending = None;
        let mut shown = String::new();
        if model.eos.contains(&token) {
            ending = Some(Ending::Eos);
        } else {
            self.seen.add(token);
            self.last = token;
            let (text, is_stop) = self.stop.push(&self.detokenizer.push(&model.tokenizer, token));
            shown = text;
            let is_full = self.request.prompt.len() + self.n_tokens >= model.lm.config().n_positions;
            if is_stop {
                ending = Some(Ending::Stop);
            } else if self.n_tokens >= self.request.n_tokens || is_full {
                ending = Some(Ending::Length);
            }
        }
        if matches!(ending, Some(Ending::Eos | Ending::Length)) {
            // What waits for the rest of a character, and may end in a stop string itself.
            let (text, is_stop) = self.stop.push(&self.detokenizer.finish(&model.tokenizer));
            shown += &text;
            match is_stop {
                true => ending = Some(Ending::Stop),
                false => shown += &self.stop.finish(),
            }
        }
        Ok(Piece { text: self.number, shown, n_tokens: self.n_tokens, ending })
    }
}
