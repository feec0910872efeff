//! The shapes of answers, as OpenAI documents them; `advantage` and what the model list tells beside are our own.

use serde_json::{Map, Value, json};

use crate::assemble::{Piece, Reported};
use crate::engine::{Alternative, ModelCard};
use crate::scheduler::Finish;

/// Which of the two kinds of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Completion,
    Chat,
}

/// What every part of an answer says.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) style: Style,
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    /// Whether tokens are reported.
    pub(crate) has_log_probabilities: bool,
    /// Whether every part of a stream has a field `usage`, which is null in all but the last.
    pub(crate) is_usage_included: bool,
}

/// Tokens read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) n_prompt: usize,
    pub(crate) n_completion: usize,
}

/// A text that is done.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub(crate) text: String,
    pub(crate) tokens: Vec<Reported>,
    pub(crate) finish: Finish,
}

/// OpenAI's stand-in for a log-probability that JSON cannot hold.
const LEAST: f32 = -9999.0;

impl Head {
    /// A whole answer.
    pub(crate) fn whole(&self, choices: &[Finished], usage: Usage) -> Value {
        let choices: Vec<Value> = choices
            .iter()
            .enumerate()
            .map(|(index, choice)| {
                let reason = reason(choice.finish);
                let reported = self.log_probabilities(&choice.tokens, 0);
                match self.style {
                    Style::Completion => json!({
                        "index": index, "text": choice.text, "logprobs": reported, "finish_reason": reason,
                    }),
                    Style::Chat => json!({
                        "index": index,
                        "message": {"role": "assistant", "content": choice.text, "refusal": null},
                        "logprobs": reported,
                        "finish_reason": reason,
                    }),
                }
            })
            .collect();
        let object = match self.style {
            Style::Completion => "text_completion",
            Style::Chat => "chat.completion",
        };
        json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model,
            "choices": choices, "usage": usage.json(),
        })
    }

    /// The first part of a text in a stream: its speaker, or the prompt where it is echoed.
    pub(crate) fn opening(&self, index: usize, echo: Option<&str>) -> Option<Value> {
        match self.style {
            Style::Completion => echo.map(|text| {
                self.part(json!([{"index": index, "text": text, "logprobs": null, "finish_reason": null}]))
            }),
            Style::Chat => Some(self.part(json!([{
                "index": index,
                "delta": {"role": "assistant", "content": "", "refusal": null},
                "logprobs": null,
                "finish_reason": null,
            }]))),
        }
    }

    /// A piece of a text in a stream, after `offset` characters.
    pub(crate) fn piece(&self, index: usize, piece: &Piece, offset: usize) -> Value {
        let reported = self.log_probabilities(&piece.tokens, offset);
        match self.style {
            Style::Completion => self.part(json!([
                {"index": index, "text": piece.text, "logprobs": reported, "finish_reason": null}
            ])),
            Style::Chat => self.part(json!([
                {"index": index, "delta": {"content": piece.text}, "logprobs": reported, "finish_reason": null}
            ])),
        }
    }

    /// The end of a text in a stream.
    pub(crate) fn closing(&self, index: usize, finish: Finish) -> Value {
        let reason = reason(finish);
        match self.style {
            Style::Completion => {
                self.part(json!([{"index": index, "text": "", "logprobs": null, "finish_reason": reason}]))
            }
            Style::Chat => self.part(json!([{"index": index, "delta": {}, "logprobs": null, "finish_reason": reason}])),
        }
    }

    /// The last part of a stream, where it was asked for.
    pub(crate) fn usage(&self, usage: Usage) -> Option<Value> {
        self.is_usage_included.then(|| {
            let mut part = self.part(json!([]));
            part["usage"] = usage.json();
            part
        })
    }

    fn part(&self, choices: Value) -> Value {
        let object = match self.style {
            Style::Completion => "text_completion",
            Style::Chat => "chat.completion.chunk",
        };
        let mut part = json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices,
        });
        if self.is_usage_included {
            part["usage"] = Value::Null;
        }
        part
    }

    fn log_probabilities(&self, tokens: &[Reported], offset: usize) -> Value {
        if !self.has_log_probabilities {
            return Value::Null;
        }
        match self.style {
            Style::Completion => columns(tokens, offset),
            Style::Chat => json!({"content": tokens.iter().map(row).collect::<Vec<_>>(), "refusal": null}),
        }
    }
}

impl Usage {
    pub(crate) fn json(self) -> Value {
        json!({
            "prompt_tokens": self.n_prompt,
            "completion_tokens": self.n_completion,
            "total_tokens": self.n_prompt + self.n_completion,
        })
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

fn finite(log_probability: f32) -> f32 {
    if log_probability.is_finite() { log_probability.max(LEAST) } else { LEAST }
}

/// Tokens as `/v1/completions` has them: lists side by side.
fn columns(tokens: &[Reported], mut offset: usize) -> Value {
    let mut offsets = Vec::with_capacity(tokens.len());
    for token in tokens {
        offsets.push(offset);
        offset += token.text.chars().count();
    }
    let top = |token: &Reported| -> Map<String, Value> {
        let entry = |other: &Alternative| {
            (String::from_utf8_lossy(&other.piece).into_owned(), Value::from(finite(other.log_probability)))
        };
        // Of alternatives that read the same the likeliest counts, which comes first.
        token.alternatives.iter().rev().map(entry).collect()
    };
    let has_alternatives = tokens.iter().any(|token| !token.alternatives.is_empty());
    let mut columns = json!({
        "tokens": tokens.iter().map(|token| token.text.as_str()).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|token| finite(token.log_probability)).collect::<Vec<_>>(),
        "top_logprobs": has_alternatives.then(|| tokens.iter().map(top).collect::<Vec<_>>()),
        "text_offset": offsets,
    });
    if tokens.iter().any(|token| token.advantage.is_some()) {
        columns["advantages"] = tokens.iter().map(|token| token.advantage).collect();
    }
    columns
}

/// A token as `/v1/chat/completions` has it.
fn row(token: &Reported) -> Value {
    let others = token.alternatives.iter().map(|other| {
        entry(&String::from_utf8_lossy(&other.piece), &other.piece, other.log_probability, other.advantage)
    });
    let mut row = entry(&token.text, &token.bytes, token.log_probability, token.advantage);
    row["top_logprobs"] = others.collect();
    row
}

fn entry(text: &str, bytes: &[u8], log_probability: f32, advantage: Option<f32>) -> Value {
    let mut entry = json!({"token": text, "logprob": finite(log_probability), "bytes": bytes});
    if let Some(advantage) = advantage {
        entry["advantage"] = advantage.into();
    }
    entry
}

/// A model as `/v1/models` lists it.
pub(crate) fn model(card: &ModelCard, max_tokens: usize) -> Value {
    let defaults = &card.defaults;
    json!({
        "id": card.id,
        "object": "model",
        "created": card.created,
        "owned_by": "dqn",
        "context_length": card.context_length,
        "vocabulary_size": card.vocabulary_size,
        "max_tokens": max_tokens,
        "max_logprobs": card.max_alternatives,
        "has_values": card.has_values,
        "has_chat_template": card.chat.is_some(),
        "defaults": {
            "temperature": defaults.temperature,
            "top_p": defaults.top_p,
            "top_k": defaults.top_k,
            "repetition_penalty": defaults.repetition_penalty,
            "beta": card.has_values.then_some(defaults.beta),
        },
    })
}
