//! What a model is, read from the `config.json` of its folder.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::error::PretrainedError;
use super::keys::Keys;
use super::rope::{Rope, RopeScaling};
use super::weights::read_json;

/// The file of a folder that says what its model is.
pub(super) const CONFIG: &str = "config.json";
/// The file that may say more about how it writes.
const GENERATION_CONFIG: &str = "generation_config.json";

/// A family of models that share names and layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Llama (Touvron et al. 2023).
    Llama,
    /// Mistral (Jiang et al. 2023) without its sliding window: a Llama by other names.
    Mistral,
    /// Qwen2 (Yang et al. 2024): a Llama whose queries, keys and values have biases.
    Qwen2,
    /// GPT-2 (Radford et al. 2019).
    Gpt2,
}

impl Family {
    /// All families by their `model_type`.
    const ALL: [(&'static str, Family); 4] =
        [("llama", Family::Llama), ("mistral", Family::Mistral), ("qwen2", Family::Qwen2), ("gpt2", Family::Gpt2)];

    /// Its `model_type`.
    pub fn name(self) -> &'static str {
        match self {
            Family::Llama => "llama",
            Family::Mistral => "mistral",
            Family::Qwen2 => "qwen2",
            Family::Gpt2 => "gpt2",
        }
    }

    /// Whether it is GPT-2, with learned positions, layer norms and one hidden layer without gate.
    pub fn is_gpt2(self) -> bool {
        self == Family::Gpt2
    }
}

/// Sizes and settings of a causal language model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelConfig {
    /// The family.
    pub family: Family,
    /// Tokens it knows.
    pub vocab_size: usize,
    /// Length of a token's vector between the blocks.
    pub width: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Heads of attention in each block.
    pub n_heads: usize,
    /// Heads of keys and values, each of which serves `n_heads / n_key_value_heads` heads of queries.
    pub n_key_value_heads: usize,
    /// Length of the vector of a head.
    pub head_width: usize,
    /// Units of the hidden layer of a block.
    pub hidden_width: usize,
    /// Longest text, in tokens.
    pub n_positions: usize,
    /// What is added to a variance or mean square before its root is taken.
    pub norm_epsilon: f64,
    /// Rotary positions; none where positions are learned.
    pub rope: Option<Rope>,
    /// Whether queries, keys and values have biases.
    pub has_query_biases: bool,
    /// Whether what attention gathers is projected with a bias.
    pub has_attention_output_bias: bool,
    /// Whether the hidden layer has biases.
    pub has_hidden_biases: bool,
    /// Whether the output layer is the table of token vectors.
    pub is_tied: bool,
    /// The token that begins texts.
    pub bos_token: Option<u32>,
    /// The tokens that end texts.
    pub eos_tokens: Vec<u32>,
}

/// Largest numbers of a configuration: far beyond any model, and small enough that no product of two overflows.
const MAX_VOCAB: usize = 1 << 24;
const MAX_WIDTH: usize = 1 << 20;
const MAX_LAYERS: usize = 1 << 12;
const MAX_POSITIONS: usize = 1 << 28;

impl ModelConfig {
    /// Reads `config.json` in `folder` and, where it is there, what `generation_config.json` says of the ends of texts.
    ///
    /// # Errors
    /// [`PretrainedError::NotAFolder`], [`PretrainedError::Read`], [`PretrainedError::Json`], and
    /// [`PretrainedError::Config`] for a setting that is missing, out of range, or of a kind that is not computed here.
    pub fn read(folder: &Path) -> Result<Self, PretrainedError> {
        if !folder.is_dir() {
            return Err(PretrainedError::NotAFolder { path: folder.to_owned() });
        }
        let path = folder.join(CONFIG);
        let mut config = Self::from_json(&path, &read_json(&path)?)?;
        let path = folder.join(GENERATION_CONFIG);
        if path.is_file() {
            let map: Map<String, Value> = read_json(&path)?;
            let keys = Keys { path: &path, prefix: "", map: &map };
            let eos = keys.tokens("eos_token_id", config.vocab_size)?;
            if !eos.is_empty() {
                config.eos_tokens = eos;
            }
            config.bos_token = keys.tokens("bos_token_id", config.vocab_size)?.first().copied().or(config.bos_token);
        }
        Ok(config)
    }

    /// The model that the content of a `config.json` describes; `path` names it in errors.
    ///
    /// # Errors
    /// [`PretrainedError::Config`].
    pub fn from_json(path: &Path, map: &Map<String, Value>) -> Result<Self, PretrainedError> {
        let keys = Keys { path, prefix: "", map };
        let families = Family::ALL.map(|(name, _)| name);
        let family = Family::ALL.iter().find(|(name, _)| keys.get("model_type").and_then(Value::as_str) == Some(name));
        let Some(&(_, family)) = family else {
            return Err(keys.fault("model_type", format!("supported: {}", super::keys::quoted(&families))));
        };
        keys.refuse("quantization_config", &[], "quantised parameters are not read")?;
        if family.is_gpt2() { gpt2(keys) } else { llama(family, keys) }
    }

    /// Width of all heads of queries side by side.
    pub fn query_width(&self) -> usize {
        self.n_heads * self.head_width
    }

    /// Width of all heads of keys, or of values, side by side.
    pub fn key_value_width(&self) -> usize {
        self.n_key_value_heads * self.head_width
    }

    /// How many numbers the model learns.
    pub fn n_parameters(&self) -> usize {
        let linear = |inputs: usize, outputs: usize, has_bias: bool| (inputs + usize::from(has_bias)) * outputs;
        let norm = if self.family.is_gpt2() { 2 * self.width } else { self.width };
        let n_hidden_inputs = if self.family.is_gpt2() { 1 } else { 2 };
        let heads = self.query_width() + 2 * self.key_value_width();
        let block = 2 * norm
            + linear(self.width, heads, self.has_query_biases)
            + linear(self.query_width(), self.width, self.has_attention_output_bias)
            + n_hidden_inputs * linear(self.width, self.hidden_width, self.has_hidden_biases)
            + linear(self.hidden_width, self.width, self.has_hidden_biases);
        let tables = if self.is_tied { 1 } else { 2 } * self.vocab_size;
        let places = if self.rope.is_none() { self.n_positions } else { 0 };
        (tables + places) * self.width + self.n_layers * block + norm
    }

    /// Bytes that the keys and values of one token take in a decode state.
    pub fn cache_bytes_per_token(&self) -> usize {
        self.n_layers * 2 * self.key_value_width() * size_of::<f32>()
    }
}

/// A Llama, or what is one by another name.
fn llama(family: Family, keys: Keys<'_>) -> Result<ModelConfig, PretrainedError> {
    keys.word("hidden_act", &["silu", "swish"])?;
    let full = "only attention to all that came before is computed here";
    match family {
        Family::Mistral => keys.refuse("sliding_window", &[], full)?,
        _ => keys.refuse("use_sliding_window", &[json!(false)], full)?,
    }
    if let Some(layers) = keys.get("layer_types")
        && layers.as_array().is_none_or(|layers| layers.iter().any(|layer| layer != "full_attention"))
    {
        return Err(keys.fault("layer_types", full));
    }
    let width = keys.size("hidden_size", 1..=MAX_WIDTH)?;
    let n_heads = keys.size("num_attention_heads", 1..=width)?;
    let n_key_value_heads = keys.optional_size("num_key_value_heads", 1..=n_heads)?.unwrap_or(n_heads);
    if !n_heads.is_multiple_of(n_key_value_heads) {
        return Err(
            keys.fault("num_key_value_heads", format!("it must divide num_attention_heads, which is {n_heads}"))
        );
    }
    let head_width = match keys.optional_size("head_dim", 2..=MAX_WIDTH)? {
        Some(head_width) => head_width,
        None if width.is_multiple_of(n_heads) => width / n_heads,
        None => return Err(keys.fault("num_attention_heads", format!("it must divide hidden_size, which is {width}"))),
    };
    if !head_width.is_multiple_of(2) || n_heads * head_width > MAX_WIDTH {
        let found =
            format!("the width of a head, {head_width} here, must be even, and all heads at most {MAX_WIDTH} wide");
        return Err(keys.fault(if keys.get("head_dim").is_some() { "head_dim" } else { "num_attention_heads" }, found));
    }
    let has_biases = keys.flag("attention_bias", false)?;
    let n_positions = keys.size("max_position_embeddings", 1..=MAX_POSITIONS)?;
    let vocab_size = keys.size("vocab_size", 1..=MAX_VOCAB)?;
    Ok(ModelConfig {
        family,
        vocab_size,
        width,
        n_layers: keys.size("num_hidden_layers", 1..=MAX_LAYERS)?,
        n_heads,
        n_key_value_heads,
        head_width,
        hidden_width: keys.size("intermediate_size", 1..=MAX_WIDTH)?,
        n_positions,
        norm_epsilon: keys.number("rms_norm_eps", 0.0..=1.0, Some(1e-6))?,
        rope: Some(rope(keys, n_positions)?),
        has_query_biases: family == Family::Qwen2 || has_biases,
        has_attention_output_bias: family != Family::Qwen2 && has_biases,
        has_hidden_biases: keys.flag("mlp_bias", false)?,
        is_tied: keys.flag("tie_word_embeddings", false)?,
        bos_token: keys.tokens("bos_token_id", vocab_size)?.first().copied(),
        eos_tokens: keys.tokens("eos_token_id", vocab_size)?,
    })
}

/// How places are told, under the names of transformers 5 (`rope_parameters`) and of those before.
fn rope(keys: Keys<'_>, n_positions: usize) -> Result<Rope, PretrainedError> {
    let (name, prefix) = match keys.get("rope_parameters") {
        Some(_) => ("rope_parameters", "rope_parameters."),
        None => ("rope_scaling", "rope_scaling."),
    };
    let base = keys.number("rope_theta", 1.0..=1e12, Some(10_000.0))?;
    keys.refuse("partial_rotary_factor", &[json!(1.0), json!(1)], "whole heads are turned here")?;
    let Some(scaling) = keys.object(name, prefix)? else { return Ok(Rope { base, scaling: RopeScaling::None }) };
    scaling.refuse("partial_rotary_factor", &[json!(1.0), json!(1)], "whole heads are turned here")?;
    let base = scaling.number("rope_theta", 1.0..=1e12, Some(base))?;
    // "type" is what the first configurations called it.
    let kind_key = if scaling.get("rope_type").is_some() { "rope_type" } else { "type" };
    let factor = || scaling.number("factor", 1.0..=1e6, None);
    let scaling = match scaling.word(kind_key, &["default", "linear", "llama3"])? {
        "linear" => RopeScaling::Linear { factor: factor()? },
        "llama3" => {
            let low_frequency_factor = scaling.number("low_freq_factor", 0.0..=1e6, None)?;
            let high_frequency_factor = scaling.number("high_freq_factor", 0.0..=1e6, None)?;
            if high_frequency_factor <= low_frequency_factor {
                return Err(scaling.fault("high_freq_factor", "it must be above low_freq_factor"));
            }
            let original = scaling.optional_size("original_max_position_embeddings", 1..=MAX_POSITIONS)?;
            RopeScaling::Llama3 {
                factor: factor()?,
                low_frequency_factor,
                high_frequency_factor,
                original_positions: original.unwrap_or(n_positions),
            }
        }
        _ => RopeScaling::None,
    };
    Ok(Rope { base, scaling })
}

fn gpt2(keys: Keys<'_>) -> Result<ModelConfig, PretrainedError> {
    keys.word("activation_function", &["gelu_new", "gelu_pytorch_tanh"])?;
    keys.refuse("scale_attn_weights", &[json!(true)], "scores are divided by the root of the width of a head here")?;
    let unscaled = "scores do not depend on the layer here";
    keys.refuse("scale_attn_by_inverse_layer_idx", &[json!(false)], unscaled)?;
    keys.refuse("add_cross_attention", &[json!(false)], "only models that read one text are read")?;
    let width = keys.size("n_embd", 1..=MAX_WIDTH)?;
    let n_heads = keys.size("n_head", 1..=width)?;
    if !width.is_multiple_of(n_heads) {
        return Err(keys.fault("n_head", format!("it must divide n_embd, which is {width}")));
    }
    let vocab_size = keys.size("vocab_size", 1..=MAX_VOCAB)?;
    Ok(ModelConfig {
        family: Family::Gpt2,
        vocab_size,
        width,
        n_layers: keys.size("n_layer", 1..=MAX_LAYERS)?,
        n_heads,
        n_key_value_heads: n_heads,
        head_width: width / n_heads,
        hidden_width: keys.optional_size("n_inner", 1..=4 * MAX_WIDTH)?.unwrap_or(4 * width),
        n_positions: keys.size("n_positions", 1..=MAX_POSITIONS)?,
        norm_epsilon: keys.number("layer_norm_epsilon", 0.0..=1.0, Some(1e-5))?,
        rope: None,
        has_query_biases: true,
        has_attention_output_bias: true,
        has_hidden_biases: true,
        is_tied: keys.flag("tie_word_embeddings", true)?,
        bos_token: keys.tokens("bos_token_id", vocab_size)?.first().copied(),
        eos_tokens: keys.tokens("eos_token_id", vocab_size)?,
    })
}
