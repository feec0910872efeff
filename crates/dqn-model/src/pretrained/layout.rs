//! Where each parameter of the model lies in the files of its family: one table for reading and writing.

use super::config::{Family, ModelConfig};

/// A layer that has parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Embedding,
    Positions,
    AttentionNorm(usize),
    Query(usize),
    Key(usize),
    Value(usize),
    AttentionOutput(usize),
    HiddenNorm(usize),
    Gate(usize),
    Up(usize),
    Down(usize),
    Norm,
    Output,
}

/// Which parameter of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Weight,
    Bias,
}

/// A parameter of the model.
pub(super) type Slot = (Part, Kind);

/// A tensor of the files.
#[derive(Debug)]
pub(super) struct Stored {
    /// Its name, without the prefix that GPT-2's may have.
    pub(super) name: String,
    /// Its shape in the file.
    pub(super) shape: Vec<usize>,
    /// Whether the file has `[outputs, inputs]`, where the model has `[inputs, outputs]`.
    pub(super) is_transposed: bool,
    /// The parameters in it, side by side in columns of the last dimension.
    pub(super) slots: Vec<Slot>,
}

/// What GPT-2's names begin with, unless it was saved without its output.
pub(super) const GPT2_PREFIX: &str = "transformer.";
/// The output layer, which is not under that prefix.
pub(super) const OUTPUT: &str = "lm_head.weight";

/// All tensors of a model.
pub(super) fn layout(config: &ModelConfig) -> Vec<Stored> {
    let mut tensors = if config.family.is_gpt2() { gpt2(config) } else { llama(config) };
    if !config.is_tied {
        tensors.push(stored(OUTPUT, [config.vocab_size, config.width], [(Part::Output, Kind::Weight)]));
    }
    tensors
}

/// Whether a tensor says nothing that the model has to be told, and why.
pub(super) fn ignorable(config: &ModelConfig, name: &str) -> Option<&'static str> {
    if name == OUTPUT && config.is_tied {
        return Some("the output layer is the table of token vectors");
    }
    let is_buffer = match config.family {
        Family::Gpt2 => name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"),
        _ => name.ends_with(".rotary_emb.inv_freq"),
    };
    let why = match config.family {
        Family::Gpt2 => "a mask, not learned",
        _ => "speeds of rotation, not learned",
    };
    is_buffer.then_some(why)
}

fn stored<const RANK: usize, const SLOTS: usize>(name: &str, shape: [usize; RANK], slots: [Slot; SLOTS]) -> Stored {
    Stored { name: name.to_owned(), shape: shape.to_vec(), is_transposed: false, slots: slots.to_vec() }
}

fn llama(config: &ModelConfig) -> Vec<Stored> {
    let width = config.width;
    let mut tensors = vec![
        stored("model.embed_tokens.weight", [config.vocab_size, width], [(Part::Embedding, Kind::Weight)]),
        stored("model.norm.weight", [width], [(Part::Norm, Kind::Weight)]),
    ];
    let (queries, keys, hidden) = (config.query_width(), config.key_value_width(), config.hidden_width);
    for layer in 0..config.n_layers {
        for (name, part) in
            [("input_layernorm", Part::AttentionNorm(layer)), ("post_attention_layernorm", Part::HiddenNorm(layer))]
        {
            tensors.push(stored(&format!("model.layers.{layer}.{name}.weight"), [width], [(part, Kind::Weight)]));
        }
        let (of_queries, of_hidden) = (config.has_query_biases, config.has_hidden_biases);
        for (name, part, inputs, outputs, has_bias) in [
            ("self_attn.q_proj", Part::Query(layer), width, queries, of_queries),
            ("self_attn.k_proj", Part::Key(layer), width, keys, of_queries),
            ("self_attn.v_proj", Part::Value(layer), width, keys, of_queries),
            ("self_attn.o_proj", Part::AttentionOutput(layer), queries, width, config.has_attention_output_bias),
            ("mlp.gate_proj", Part::Gate(layer), width, hidden, of_hidden),
            ("mlp.up_proj", Part::Up(layer), width, hidden, of_hidden),
            ("mlp.down_proj", Part::Down(layer), hidden, width, of_hidden),
        ] {
            let name = format!("model.layers.{layer}.{name}");
            let weight = stored(&format!("{name}.weight"), [outputs, inputs], [(part, Kind::Weight)]);
            tensors.push(Stored { is_transposed: true, ..weight });
            if has_bias {
                tensors.push(stored(&format!("{name}.bias"), [outputs], [(part, Kind::Bias)]));
            }
        }
    }
    tensors
}

fn gpt2(config: &ModelConfig) -> Vec<Stored> {
    let (width, hidden) = (config.width, config.hidden_width);
    let mut tensors = vec![
        stored("wte.weight", [config.vocab_size, width], [(Part::Embedding, Kind::Weight)]),
        stored("wpe.weight", [config.n_positions, width], [(Part::Positions, Kind::Weight)]),
        stored("ln_f.weight", [width], [(Part::Norm, Kind::Weight)]),
        stored("ln_f.bias", [width], [(Part::Norm, Kind::Bias)]),
    ];
    for layer in 0..config.n_layers {
        for (name, part) in [("ln_1", Part::AttentionNorm(layer)), ("ln_2", Part::HiddenNorm(layer))] {
            tensors.push(stored(&format!("h.{layer}.{name}.weight"), [width], [(part, Kind::Weight)]));
            tensors.push(stored(&format!("h.{layer}.{name}.bias"), [width], [(part, Kind::Bias)]));
        }
        let heads = vec![Part::Query(layer), Part::Key(layer), Part::Value(layer)];
        for (name, parts, inputs, outputs) in [
            ("attn.c_attn", heads, width, 3 * width),
            ("attn.c_proj", vec![Part::AttentionOutput(layer)], width, width),
            ("mlp.c_fc", vec![Part::Up(layer)], width, hidden),
            ("mlp.c_proj", vec![Part::Down(layer)], hidden, width),
        ] {
            let slots = |kind: Kind| parts.iter().map(|&part| (part, kind)).collect();
            let name = format!("h.{layer}.{name}");
            let weight = stored(&format!("{name}.weight"), [inputs, outputs], []);
            tensors.push(Stored { slots: slots(Kind::Weight), ..weight });
            let bias = stored(&format!("{name}.bias"), [outputs], []);
            tensors.push(Stored { slots: slots(Kind::Bias), ..bias });
        }
    }
    tensors
}
