//! The contract of what writes: many texts at once, one token each per step.

use std::sync::Arc;

/// What an engine is and can do, fixed for its life.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCard {
    /// The name that requests give as `model`.
    pub id: String,
    /// When the model was made, in seconds since 1970.
    pub created: u64,
    /// Most tokens of a prompt and what follows it together.
    pub context_length: usize,
    /// Tokens that a prompt given as numbers may name are below this.
    pub vocabulary_size: usize,
    /// Most texts that the engine writes at a time, at least 1.
    pub n_slots: usize,
    /// Whether there are Q-values, so that `beta` means something and tokens have advantages.
    pub has_values: bool,
    /// Most alternatives that the engine reports beside a token; 0 where it reports none.
    pub max_alternatives: usize,
    /// Whether [`Sampling::presence_penalty`] and [`Sampling::frequency_penalty`] are kept to. Where they are not, a
    /// request with one of them is refused.
    pub has_count_penalties: bool,
    /// How a conversation becomes a text; nothing where the model was not made for conversations.
    pub chat: Option<ChatTemplate>,
    /// What holds where a request says nothing.
    pub defaults: Defaults,
}

/// A Jinja template as `chat_template` of a tokenizer_config.json has it, with what it may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTemplate {
    /// The template.
    pub source: String,
    /// The text of the token that begins a text; empty where there is none.
    pub bos_token: String,
    /// The text of the token that ends a text; empty where there is none.
    pub eos_token: String,
}

/// Settings of requests that do not name them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defaults {
    /// See [`Sampling::temperature`].
    pub temperature: f64,
    /// See [`Sampling::top_p`].
    pub top_p: f64,
    /// See [`Sampling::top_k`].
    pub top_k: Option<usize>,
    /// See [`Sampling::repetition_penalty`].
    pub repetition_penalty: f64,
    /// See [`Sampling::beta`]. Read only where the model has values.
    pub beta: f64,
}

impl Default for Defaults {
    /// What OpenAI documents (temperature 1, top_p 1), and beta 0.
    fn default() -> Self {
        Self { temperature: 1.0, top_p: 1.0, top_k: None, repetition_penalty: 1.0, beta: 0.0 }
    }
}

/// How the tokens of one text are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// From 0 to 2; 0 takes the most preferred token.
    pub temperature: f64,
    /// Only the likeliest tokens that together have this probability may be chosen; above 0, at most 1.
    pub top_p: f64,
    /// Only the so many likeliest tokens may be chosen; at least 1. Nothing allows all.
    pub top_k: Option<usize>,
    /// Divides positive and multiplies negative logits of tokens that the text has already; above 0, 1 changes nothing.
    ///
    /// Source: Keskar et al. 2019, section 4.1.
    pub repetition_penalty: f64,
    /// Taken from the logit of every token that was generated already, from -2 to 2.
    pub presence_penalty: f64,
    /// Taken from the logit of a token for every time it was generated, from -2 to 2.
    pub frequency_penalty: f64,
    /// How much a unit of advantage counts against a nat of log-probability: `log pi + beta (Q - V)`. At least 0, and 0
    /// where the model has no values.
    pub beta: f64,
    /// All draws of this text come from it. Texts with the same prompt, settings and seed are the same, whatever else
    /// is written beside them.
    pub seed: u64,
    /// The text is taken away after this many tokens at the latest, so that no room for more is needed; at least 1.
    pub max_tokens: usize,
    /// How many alternatives to report beside each token, at most [`ModelCard::max_alternatives`].
    pub n_alternatives: usize,
}

/// What a text is that becomes tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// A text as people write it. The codec puts before it what the model expects at a beginning, such as BOS.
    Plain,
    /// What a chat template has made: special tokens are written out in it, and nothing is put before it.
    Templated,
}

/// From text to tokens and back. Requests use it beside the engine's thread, several at a time.
pub trait Codec: Send + Sync {
    /// The tokens of a text.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where the text has no tokens of this model.
    fn encode(&self, text: &str, kind: TextKind) -> Result<Vec<u32>, EngineError>;

    /// The text of tokens, all below the size of the vocabulary, without special tokens.
    fn decode(&self, tokens: &[u32]) -> String;
}

/// A text that is being written, by the place that the engine has given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub usize);

/// A token that a step has written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Whose token it is.
    pub slot: Slot,
    /// The token.
    pub token: u32,
    /// The bytes that it adds to the text. They need not be whole characters; special tokens add none.
    pub piece: Vec<u8>,
    /// Its log-probability under the language model, before temperature, penalties, `top_k`, `top_p` and values.
    pub log_probability: f32,
    /// Q(s, a) - V(s), where the model has values.
    pub advantage: Option<f32>,
    /// The likeliest tokens at this place, the likeliest first, as many as were asked for.
    pub alternatives: Vec<Alternative>,
    /// Whether the text ends with this token, which then usually adds no bytes.
    pub is_end: bool,
}

/// A token that could have stood at a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// The token.
    pub token: u32,
    /// Its bytes.
    pub piece: Vec<u8>,
    /// See [`Written::log_probability`].
    pub log_probability: f32,
    /// See [`Written::advantage`].
    pub advantage: Option<f32>,
}

/// What an engine can answer instead of doing what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The request asks for what this model cannot do; it is told so (status 400).
    #[error("{message}")]
    Refused {
        /// What was found and what would be right.
        message: String,
    },
    /// The engine failed; the texts that it was writing are lost (status 500). The message is logged and not sent.
    #[error("{message}")]
    Failed {
        /// What went wrong.
        message: String,
    },
}

/// What writes many texts at once. One thread calls it: `admit` and `release` between steps.
pub trait Engine: Send {
    /// What the engine is and can do; asked once.
    fn card(&self) -> ModelCard;

    /// From text to tokens and back; asked once.
    fn codec(&self) -> Arc<dyn Codec>;

    /// Begins a text after a prompt, which it reads here. Called while fewer than [`ModelCard::n_slots`] are taken.
    ///
    /// `prompt` has at least one token, all below the size of the vocabulary, and has room for
    /// [`Sampling::max_tokens`] more in the context.
    ///
    /// # Errors
    /// The text is not begun; no slot is taken.
    fn admit(&mut self, prompt: &[u32], sampling: &Sampling) -> Result<Slot, EngineError>;

    /// Writes one token of every text that was admitted and not released, in any order.
    ///
    /// # Errors
    /// All texts are lost; each is released before anything else is asked.
    fn step(&mut self) -> Result<Vec<Written>, EngineError>;

    /// Takes a text away, at its end or before. Its slot may be given again.
    fn release(&mut self, slot: Slot);
}
