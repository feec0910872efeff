//! What a request asks for.

use serde_json::{Map, Value};

use crate::chat::{self, Message};
use crate::config::Limits;
use crate::engine::{ModelCard, Sampling};
use crate::fields::{Fields, unsupported, wrong};
use crate::refusal::Refusal;

/// Most stop strings, and characters of each.
const MOST_STOPS: usize = 16;
const MOST_STOP_CHARACTERS: usize = 256;
/// Tokens of a completion that names no number; OpenAI's documented default.
const COMPLETION_TOKENS: usize = 16;
/// Above this a step of beta is no more than taking the best value.
const MOST_BETA: f64 = 1000.0;

/// Fields that clients send and that change no answer.
const HARMLESS: [&str; 9] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prediction",
    "parallel_tool_calls",
];

/// What is continued.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
    Chat(Vec<Message>),
}

/// How an answer is streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) is_usage_included: bool,
}

/// A request that was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Order {
    pub(crate) prompts: Vec<Prompt>,
    /// Texts for each prompt.
    pub(crate) n: usize,
    /// Settings of the first text; the others differ in their seed.
    pub(crate) sampling: Sampling,
    /// Whether the number of tokens is the client's, and not a default that may be lowered to what there is room for.
    pub(crate) is_length_asked: bool,
    pub(crate) stops: Vec<String>,
    pub(crate) stream: Option<Stream>,
    /// Whether tokens are reported with their log-probabilities.
    pub(crate) has_log_probabilities: bool,
    /// Whether an answer begins with the prompt.
    pub(crate) is_echoed: bool,
}

/// Reads the body of `/v1/completions`.
pub(crate) fn completion(object: Map<String, Value>, card: &ModelCard, limits: &Limits) -> Result<Order, Refusal> {
    let mut fields = Fields::new(object);
    model(&mut fields, card)?;
    let prompts = prompts(fields.any("prompt"), card)?;
    let n_alternatives = fields.count("logprobs", 0, 5)?;
    let is_echoed = fields.flag("echo")?.unwrap_or(false);
    if is_echoed && n_alternatives.is_some() {
        let message = "logprobs are those of generated tokens only; leave echo or logprobs out";
        return Err(Refusal::field("echo", message));
    }
    let n_tokens = fields.count("max_tokens", 1, limits.max_tokens)?;
    fields.neutral("suffix", |suffix| suffix == "")?;
    let order = rest(&mut fields, card, limits, ("logprobs", n_alternatives), n_tokens)?;
    // The best of as many texts as are asked for are all of them.
    fields.neutral("best_of", |best_of| best_of.as_u64() == Some(order.n as u64))?;
    fields.finish(&HARMLESS)?;
    fits(Order { prompts, is_echoed, ..order }, n_tokens.unwrap_or(COMPLETION_TOKENS.min(limits.max_tokens)), limits)
}

/// Reads the body of `/v1/chat/completions`.
pub(crate) fn chat(object: Map<String, Value>, card: &ModelCard, limits: &Limits) -> Result<Order, Refusal> {
    let mut fields = Fields::new(object);
    model(&mut fields, card)?;
    if card.chat.is_none() {
        let message = format!(
            "the model {} has no chat template, so that it is not known how it reads messages; use /v1/completions, or \
             start the server with a template",
            card.id
        );
        return Err(Refusal::field("messages", message).with_code("no_chat_template"));
    }
    let messages = chat::messages(fields.any("messages"))?;
    let is_reported = fields.flag("logprobs")?.unwrap_or(false);
    let n_alternatives = fields.count("top_logprobs", 0, 20)?;
    if n_alternatives.is_some() && !is_reported {
        return Err(Refusal::field("top_logprobs", "top_logprobs needs logprobs to be true"));
    }
    let n_reported = is_reported.then(|| n_alternatives.unwrap_or(0));
    let n_tokens = match (
        fields.count("max_tokens", 1, limits.max_tokens)?,
        fields.count("max_completion_tokens", 1, limits.max_tokens)?,
    ) {
        (Some(older), Some(newer)) if older != newer => {
            let message = format!("max_tokens is {older} and max_completion_tokens is {newer}; give one of them");
            return Err(Refusal::field("max_tokens", message));
        }
        (older, newer) => newer.or(older),
    };
    fields.neutral("tools", |tools| tools.as_array().is_some_and(Vec::is_empty))?;
    fields.neutral("functions", |functions| functions.as_array().is_some_and(Vec::is_empty))?;
    fields.neutral("tool_choice", |choice| choice == "none" || choice == "auto")?;
    fields.neutral("function_call", |choice| choice == "none" || choice == "auto")?;
    fields.neutral("response_format", |format| format["type"] == "text")?;
    fields.neutral("modalities", |modalities| modalities.as_array().is_some_and(|list| list == &["text"]))?;
    let order = rest(&mut fields, card, limits, ("top_logprobs", n_reported), n_tokens)?;
    fields.finish(&HARMLESS)?;
    fits(Order { prompts: vec![Prompt::Chat(messages)], ..order }, n_tokens.unwrap_or(limits.max_tokens), limits)
}

/// The name of the one model; where there is none, it is meant.
fn model(fields: &mut Fields, card: &ModelCard) -> Result<(), Refusal> {
    match fields.text("model")? {
        Some(name) if name != card.id => Err(no_such_model(&name, card)),
        _ => Ok(()),
    }
}

pub(crate) fn no_such_model(name: &str, card: &ModelCard) -> Refusal {
    let name: String = name.chars().take(100).collect();
    let message = format!("the model {name:?} does not exist; this server has {:?}", card.id);
    let refusal = Refusal::new(axum::http::StatusCode::NOT_FOUND, Some("model_not_found"), message);
    Refusal { param: Some("model".to_owned()), ..refusal }
}

/// A text, tokens, or a list of either.
fn prompts(value: Option<Value>, card: &ModelCard) -> Result<Vec<Prompt>, Refusal> {
    let expected = "a string, a list of strings, a list of tokens or a list of lists of tokens";
    match value {
        None => Err(Refusal::field("prompt", format!("prompt is missing; it must be {expected}"))),
        Some(Value::String(text)) => Ok(vec![Prompt::Text(text)]),
        Some(Value::Array(list)) if list.first().is_some_and(Value::is_number) => Ok(vec![tokens(&list, card)?]),
        Some(Value::Array(list)) if !list.is_empty() => list
            .into_iter()
            .map(|prompt| match prompt {
                Value::String(text) => Ok(Prompt::Text(text)),
                Value::Array(list) => tokens(&list, card),
                other => Err(wrong("prompt", expected, &other)),
            })
            .collect(),
        Some(other) => Err(wrong("prompt", expected, &other)),
    }
}

fn tokens(list: &[Value], card: &ModelCard) -> Result<Prompt, Refusal> {
    let expected = format!("tokens below {}, the size of the vocabulary", card.vocabulary_size);
    let token = |value: &Value| {
        let known = value.as_u64().filter(|token| *token < card.vocabulary_size as u64);
        known.and_then(|token| u32::try_from(token).ok()).ok_or_else(|| wrong("prompt", &expected, value))
    };
    Ok(Prompt::Tokens(list.iter().map(token).collect::<Result<_, _>>()?))
}

/// The fields that both kinds of requests have.
fn rest(
    fields: &mut Fields,
    card: &ModelCard,
    limits: &Limits,
    (name, n_alternatives): (&str, Option<usize>),
    n_tokens: Option<usize>,
) -> Result<Order, Refusal> {
    if let Some(n) = n_alternatives.filter(|n| *n > card.max_alternatives) {
        let most = card.max_alternatives;
        let message = format!("{name} asks for {n} alternatives beside each token; this model reports at most {most}");
        return Err(Refusal::field(name, message));
    }
    let sampling = sampling(fields, card, n_alternatives.unwrap_or(0))?;
    fields.neutral("logit_bias", |bias| bias.as_object().is_some_and(Map::is_empty))?;
    Ok(Order {
        prompts: Vec::new(),
        n: fields.count("n", 1, limits.texts_per_request)?.unwrap_or(1),
        sampling,
        is_length_asked: n_tokens.is_some(),
        stops: stops(fields.any("stop"))?,
        stream: stream(fields)?,
        has_log_probabilities: n_alternatives.is_some(),
        is_echoed: false,
    })
}

fn sampling(fields: &mut Fields, card: &ModelCard, n_alternatives: usize) -> Result<Sampling, Refusal> {
    let defaults = &card.defaults;
    let top_p = fields.number("top_p", f64::MIN_POSITIVE, 1.0)?.unwrap_or(defaults.top_p);
    let top_k = match fields.any("top_k") {
        None => defaults.top_k,
        // Both are in use for no limit.
        Some(value) if value.as_i64().is_some_and(|k| k == 0 || k == -1) => None,
        Some(value) => match value.as_u64().and_then(|k| usize::try_from(k).ok()) {
            Some(k) => Some(k),
            None => return Err(wrong("top_k", "a whole number above 0, or 0 for no limit", &value)),
        },
    };
    let mut penalty = |name: &str| match fields.number(name, -2.0, 2.0)?.unwrap_or(0.0) {
        penalty if penalty != 0.0 && !card.has_count_penalties => {
            let message = format!("{name} is not kept to by this model; leave it out, or use repetition_penalty");
            Err(Refusal::field(name, message).with_code("unsupported_field"))
        }
        penalty => Ok(penalty),
    };
    let (presence_penalty, frequency_penalty) = (penalty("presence_penalty")?, penalty("frequency_penalty")?);
    let beta = match fields.number("beta", 0.0, MOST_BETA)? {
        Some(beta) if beta > 0.0 && !card.has_values => {
            let message = format!("the model {} has no values that beta could weigh; leave beta out", card.id);
            return Err(Refusal::field("beta", message).with_code("no_values"));
        }
        Some(beta) => beta,
        None if card.has_values => defaults.beta,
        None => 0.0,
    };
    let seed = match fields.any("seed") {
        None => rand::random(),
        Some(value) => match (value.as_u64(), value.as_i64()) {
            (Some(seed), _) => seed,
            (None, Some(seed)) => seed.cast_unsigned(),
            (None, None) => return Err(wrong("seed", "a whole number of 64 bits", &value)),
        },
    };
    Ok(Sampling {
        temperature: fields.number("temperature", 0.0, 2.0)?.unwrap_or(defaults.temperature),
        top_p,
        top_k,
        repetition_penalty: fields.number("repetition_penalty", 0.01, 100.0)?.unwrap_or(defaults.repetition_penalty),
        presence_penalty,
        frequency_penalty,
        beta,
        seed,
        max_tokens: 0,
        n_alternatives,
    })
}

fn stops(value: Option<Value>) -> Result<Vec<String>, Refusal> {
    let expected = format!("a string or a list of at most {MOST_STOPS} strings");
    let texts = match value {
        None => Vec::new(),
        Some(Value::Array(list)) if list.len() <= MOST_STOPS => list,
        Some(text @ Value::String(_)) => vec![text],
        Some(other) => return Err(wrong("stop", &expected, &other)),
    };
    let stop = |value: Value| match value {
        Value::String(text) if !text.is_empty() && text.chars().count() <= MOST_STOP_CHARACTERS => Ok(text),
        other => Err(wrong("stop", &format!("of strings with 1 to {MOST_STOP_CHARACTERS} characters"), &other)),
    };
    texts.into_iter().map(stop).collect()
}

fn stream(fields: &mut Fields) -> Result<Option<Stream>, Refusal> {
    let is_streamed = fields.flag("stream")?.unwrap_or(false);
    let options = match fields.any("stream_options") {
        None => None,
        Some(_) if !is_streamed => {
            return Err(Refusal::field("stream_options", "stream_options needs stream to be true"));
        }
        Some(Value::Object(options)) => Some(options),
        Some(other) => return Err(wrong("stream_options", "an object", &other)),
    };
    let mut options = Fields::new(options.unwrap_or_default());
    let is_usage_included = options.flag("include_usage")?.unwrap_or(false);
    options.finish(&["include_obfuscation"]).map_err(|refusal| {
        refusal
            .param
            .map_or_else(|| unsupported("stream_options"), |name| unsupported(&format!("stream_options.{name}")))
    })?;
    Ok(is_streamed.then_some(Stream { is_usage_included }))
}

/// Sets the number of tokens, and sees to it that there are not too many texts.
fn fits(mut order: Order, max_tokens: usize, limits: &Limits) -> Result<Order, Refusal> {
    order.sampling.max_tokens = max_tokens;
    let n_texts = order.prompts.len().saturating_mul(order.n);
    if n_texts > limits.texts_per_request {
        let most = limits.texts_per_request;
        let message = format!("{n_texts} texts are asked for, prompts times n; a request may ask for {most}");
        return Err(Refusal::field("n", message));
    }
    Ok(order)
}
