//! The encoder: reads the source of a text before its first action.

use burn::module::{Module, Param};
use burn::nn::Dropout;
use burn::tensor::activation::gelu;
use burn::tensor::module::{conv1d, embedding};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Int, Tensor};
use dqn_core::batch::FORBIDDEN;
use dqn_core::{SourceInput, SourceValues};
use dqn_mdp::SourceKind;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dropout::dropped;
use crate::gru::{Gru, GruConfig};
use crate::init::Init;
use crate::transformer::{Transformer, TransformerConfig};

/// The part of the network that reads the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderConfig {
    /// Length of the vector of a token of the source, and the channels of the convolutions over its frames.
    #[schemars(range(min = 1, max = 65536))]
    pub embedding_width: usize,
    /// Convolutions over the frames of a source that is no text, each over three frames with a stride of two and a GELU
    /// behind it: two of them leave a quarter of the frames (as in Radford et al. 2023, who stride once).
    #[schemars(range(min = 0, max = 4))]
    pub n_convolutions: usize,
    /// The layers behind.
    pub layers: EncoderLayers,
    /// Heads of the attention to the source, where the torso brings none of its own; an even part of its width falls to
    /// each.
    #[schemars(range(min = 1, max = 256))]
    pub n_attention_heads: usize,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self {
            embedding_width: 128,
            n_convolutions: 2,
            layers: EncoderLayers::Transformer(TransformerConfig::default()),
            n_attention_heads: 4,
        }
    }
}

/// The layers of an encoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum EncoderLayers {
    /// Gated recurrent units in both directions, half of the width each (Schuster and Paliwal 1997; Bahdanau et al. 2015).
    Gru(GruConfig),
    /// Self-attention of every place to all (Vaswani et al. 2017).
    Transformer(TransformerConfig),
}

impl EncoderConfig {
    /// Length of the vector of a place.
    pub fn width(&self) -> usize {
        match &self.layers {
            EncoderLayers::Gru(config) => config.width,
            EncoderLayers::Transformer(config) => config.width,
        }
    }
}

/// A network that reads sources.
#[derive(Module, Debug)]
pub(crate) struct Encoder {
    front: Front,
    dropout: Option<Dropout>,
    layers: Layers,
}

#[derive(Module, Debug)]
enum Front {
    /// A vector for each token: `[tokens, width]`.
    Tokens(Param<Tensor<2>>),
    Frames(Convolutions),
}

#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a network holds one of them, once")]
enum Layers {
    Gru(BidirectionalGru),
    Transformer(Transformer),
}

/// What an encoder has read.
pub(crate) struct Encoded {
    /// `[batch, places, width]`
    pub(crate) places: Tensor<3>,
    /// [`FORBIDDEN`] where a source is padded, else 0: `[batch, places]`.
    pub(crate) mask: Tensor<2>,
}

impl Encoder {
    pub(crate) fn new<R: Rng>(
        config: &EncoderConfig,
        kind: SourceKind,
        dropout: Option<Dropout>,
        init: &mut Init<'_, R>,
    ) -> Self {
        let (front, n_inputs) = match kind {
            SourceKind::Tokens { n_tokens } => {
                (Front::Tokens(init.normal([n_tokens, config.embedding_width], 1.0)), config.embedding_width)
            }
            SourceKind::Frames { n_channels } => {
                let front = Convolutions::new(config, n_channels, init);
                (Front::Frames(front), if config.n_convolutions > 0 { config.embedding_width } else { n_channels })
            }
        };
        let layers = match &config.layers {
            EncoderLayers::Gru(layers) => Layers::Gru(BidirectionalGru::new(layers, n_inputs, dropout.clone(), init)),
            EncoderLayers::Transformer(layers) => {
                Layers::Transformer(Transformer::new(layers, n_inputs, None, dropout.clone(), init))
            }
        };
        Self { front, dropout, layers }
    }

    pub(crate) fn for_acting(self) -> Self {
        let layers = match self.layers {
            Layers::Transformer(layers) => Layers::Transformer(layers.for_acting()),
            others @ Layers::Gru(_) => others,
        };
        Self { layers, ..self }
    }

    /// Reads a batch of sources.
    ///
    /// # Panics
    /// When they are of another kind than the encoder was made for.
    pub(crate) fn forward(&self, source: &SourceInput) -> Encoded {
        let (inputs, lengths) = match (&self.front, &source.values) {
            (Front::Tokens(table), SourceValues::Tokens(tokens)) => {
                (embedding(table.val(), tokens.clone()), source.lengths.clone())
            }
            (Front::Frames(convolutions), SourceValues::Frames(frames, _)) => {
                convolutions.forward(frames.clone(), source.lengths.clone())
            }
            _ => panic!("the encoder was made for sources of another kind"),
        };
        let inputs = dropped(self.dropout.as_ref(), inputs);
        let is_padding = is_padding(&lengths, inputs.dims()[1]);
        let mask = is_padding.float().mul_scalar(FORBIDDEN);
        let places = match &self.layers {
            Layers::Gru(layers) => layers.forward(inputs, &lengths),
            Layers::Transformer(layers) => layers.forward_whole(inputs, mask.clone()),
        };
        Encoded { places, mask }
    }
}

/// Whether a place lies behind the end of its row: `[batch, places]`.
fn is_padding(lengths: &Tensor<1, Int>, n_places: usize) -> Tensor<2, burn::tensor::Bool> {
    let batch = lengths.dims()[0];
    let places = Tensor::<1, Int>::arange(0..n_places as i64, &lengths.device()).unsqueeze_dim::<2>(0);
    places.expand([batch, n_places]).greater_equal(lengths.clone().unsqueeze_dim::<2>(1).expand([batch, n_places]))
}

/// Convolutions over frames, each of which halves their number.
#[derive(Module, Debug)]
struct Convolutions {
    layers: Vec<Convolution>,
}

#[derive(Module, Debug)]
struct Convolution {
    /// `[channels, input channels * kernel]`
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

const KERNEL: usize = 3;
const STRIDE: usize = 2;

impl Convolutions {
    fn new<R: Rng>(config: &EncoderConfig, n_channels: usize, init: &mut Init<'_, R>) -> Self {
        let mut n_inputs = n_channels;
        let layers = (0..config.n_convolutions)
            .map(|_| {
                let fan_in = n_inputs * KERNEL;
                n_inputs = config.embedding_width;
                let bound = (6.0 / fan_in as f32).sqrt();
                Convolution {
                    weight: init.uniform([config.embedding_width, fan_in], bound),
                    bias: init.zeros(config.embedding_width),
                }
            })
            .collect();
        Self { layers }
    }

    /// Frames `[batch, frames, channels]` and their lengths `[batch]` after all layers.
    fn forward(&self, frames: Tensor<3>, lengths: Tensor<1, Int>) -> (Tensor<3>, Tensor<1, Int>) {
        let apply = |(frames, lengths): (Tensor<3>, Tensor<1, Int>), layer: &Convolution| {
            // Padding of zeros is what a frame behind the end must look like to the one before it, in every batch.
            let [batch, n_frames, n_channels] = frames.dims();
            let behind = is_padding(&lengths, n_frames).unsqueeze_dim::<3>(2).expand([batch, n_frames, n_channels]);
            let frames = frames.mask_fill(behind, 0.0);
            let n_out = layer.weight.dims()[0];
            let weight = layer.weight.val().reshape([n_out, n_channels, KERNEL]);
            let options = ConvOptions::new([STRIDE], [KERNEL / 2], [1], 1);
            let outputs = conv1d(frames.swap_dims(1, 2), weight, Some(layer.bias.val()), options);
            let lengths = lengths.add_scalar(STRIDE as i64 - 1).div_scalar(STRIDE as i64);
            (gelu(outputs.swap_dims(1, 2)), lengths)
        };
        self.layers.iter().fold((frames, lengths), apply)
    }
}

/// Layers of gated recurrent units that read from both ends.
#[derive(Module, Debug)]
struct BidirectionalGru {
    forward: Vec<Gru>,
    backward: Vec<Gru>,
    dropout: Option<Dropout>,
}

impl BidirectionalGru {
    fn new<R: Rng>(config: &GruConfig, n_inputs: usize, dropout: Option<Dropout>, init: &mut Init<'_, R>) -> Self {
        let half = GruConfig { width: config.width / 2, n_layers: 1 };
        let mut direction = || -> Vec<Gru> {
            (0..config.n_layers)
                .map(|layer| Gru::new(&half, if layer == 0 { n_inputs } else { config.width }, None, init))
                .collect()
        };
        Self { forward: direction(), backward: direction(), dropout }
    }

    /// `[batch, places, inputs]` to `[batch, places, width]`.
    fn forward(&self, inputs: Tensor<3>, lengths: &Tensor<1, Int>) -> Tensor<3> {
        let turned = turned(lengths, inputs.dims()[1]);
        let mut below = inputs;
        for (index, (forward, backward)) in self.forward.iter().zip(&self.backward).enumerate() {
            if index > 0 {
                below = dropped(self.dropout.as_ref(), below);
            }
            let read = |layer: &Gru, inputs| layer.forward(inputs).pop().expect("a GRU has a layer");
            let one = read(forward, below.clone());
            let other = at(read(backward, at(below, &turned)), &turned);
            below = Tensor::cat(vec![one, other], 2);
        }
        below
    }
}

/// For each place of a row the one as far from its end as this is from its beginning; padding stays where it is:
/// `[batch * places]`, rows of the flattened batch.
fn turned(lengths: &Tensor<1, Int>, n_places: usize) -> Tensor<1, Int> {
    let batch = lengths.dims()[0];
    let device = lengths.device();
    let places = Tensor::<1, Int>::arange(0..n_places as i64, &device).unsqueeze_dim::<2>(0).expand([batch, n_places]);
    let from_end = lengths.clone().unsqueeze_dim::<2>(1).sub_scalar(1).expand([batch, n_places]) - places.clone();
    let turned = from_end.mask_where(is_padding(lengths, n_places), places);
    let firsts = Tensor::<1, Int>::arange(0..batch as i64, &device).mul_scalar(n_places as i64);
    (turned + firsts.unsqueeze_dim(1)).reshape([batch * n_places])
}

/// The rows `rows` of a flattened batch, in its shape.
fn at(places: Tensor<3>, rows: &Tensor<1, Int>) -> Tensor<3> {
    let [batch, n_places, width] = places.dims();
    places.reshape([batch * n_places, width]).select(0, rows.clone()).reshape([batch, n_places, width])
}
