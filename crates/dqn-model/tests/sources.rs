//! Networks that answer to a source: every torso that takes one, both encoders, texts and frames.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "flex")]

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor};
use dqn_core::{Companions, QNetwork, StateEncoder, StepInput};
use dqn_mdp::{ActionTable, Frames, PositionEncoder, Seed, Source, SourceId, SourceKind, Sources, StateRef, TokenId};
use dqn_model::{
    CnnConfig, EncoderConfig, EncoderLayers, GruConfig, HeadConfig, LstmConfig, NetworkConfig, TextQNetwork,
    TorsoConfig, TransformerConfig,
};
use rand::RngExt;

const N_TOKENS: usize = 11;

const TEXT: [TokenId; 5] = [TokenId(2), TokenId(4), TokenId(5), TokenId(9), TokenId(6)];

fn transformer() -> TransformerConfig {
    TransformerConfig { width: 8, n_heads: 2, n_layers: 2, expansion: 2 }
}

fn torsos() -> [TorsoConfig; 4] {
    [
        TorsoConfig::Gru(GruConfig { width: 8, n_layers: 2 }),
        TorsoConfig::Lstm(LstmConfig { width: 8, n_layers: 1 }),
        TorsoConfig::Cnn(CnnConfig { width: 8, kernel_size: 2, n_layers: 2 }),
        TorsoConfig::Transformer(transformer()),
    ]
}

fn encoders() -> [EncoderConfig; 3] {
    let config =
        |n_convolutions, layers| EncoderConfig { embedding_width: 6, n_convolutions, layers, n_attention_heads: 2 };
    [
        config(0, EncoderLayers::Gru(GruConfig { width: 6, n_layers: 2 })),
        config(1, EncoderLayers::Transformer(transformer())),
        config(2, EncoderLayers::Transformer(transformer())),
    ]
}

/// Sources of 9, 2, 1 and 9 entries; the last is the first in reverse.
fn sources(kind: SourceKind) -> StateEncoder {
    let mut rng = Seed(7).stream("sources");
    let mut text = |length: usize| -> Vec<u32> { (0..length).map(|_| rng.random_range(4..7)).collect() };
    let mut texts = [9, 2, 1].map(&mut text).to_vec();
    texts.push(texts[0].iter().rev().copied().collect());
    let source = |text: &Vec<u32>| match kind {
        SourceKind::Tokens { .. } => Source::Tokens(text.iter().copied().map(TokenId).collect()),
        SourceKind::Frames { n_channels } => {
            let frame = |&token: &u32| (0..n_channels).map(move |channel| (token as f32 * (channel + 2) as f32).sin());
            Source::Frames(Frames { n_channels, values: text.iter().flat_map(frame).collect() })
        }
    };
    let sources = Sources::new(kind, texts.iter().map(source).collect());
    StateEncoder { sources: Some(Arc::new(sources)), ..PositionEncoder::None.into() }
}

fn network(torso: TorsoConfig, encoder: EncoderConfig, states: &StateEncoder) -> TextQNetwork {
    let config = NetworkConfig {
        embedding_width: 6,
        encoder: Some(encoder),
        torso,
        head: HeadConfig::Scalar { init_deviation: 0.5 },
        ..NetworkConfig::default()
    };
    let actions = ActionTable::of_tokens((3..10).map(TokenId));
    let mut rng = Seed(5).stream("init");
    config.init(states.shape(N_TOKENS), &actions, Companions::default(), &mut rng, &Device::flex())
}

fn every(check: impl Fn(&TextQNetwork, &StateEncoder, &str)) {
    for kind in [SourceKind::Tokens { n_tokens: 7 }, SourceKind::Frames { n_channels: 3 }] {
        let states = sources(kind);
        for torso in torsos() {
            for encoder in encoders() {
                let name = format!("{torso:?}, {encoder:?}, {kind:?}");
                let network = network(torso.clone(), encoder, &states);
                check(&network, &states, &name);
                check(&network.for_acting(), &states, &format!("{name}, acting"));
            }
        }
    }
}

fn state(end: usize, source: u32) -> StateRef<'static> {
    StateRef { tokens: &TEXT[..end], source: Some(SourceId(source)) }
}

fn numbers(tensor: Tensor<2>) -> Vec<f32> {
    tensor.try_into_vec_as().unwrap()
}

/// The values after every prefix of the text about each of `about`, a row for each of them.
fn values(network: &TextQNetwork, states: &StateEncoder, about: &[u32]) -> Vec<Vec<f32>> {
    let of_source = |&source: &u32| (1..=TEXT.len()).map(|end| state(end, source)).collect();
    let episodes: Vec<Vec<StateRef<'_>>> = about.iter().map(of_source).collect();
    let episodes: Vec<&[StateRef<'_>]> = episodes.iter().map(Vec::as_slice).collect();
    let q = network.q_values(network.features(&states.input(&episodes, &Device::flex())));
    let [batch, n_states, n_actions] = q.dims();
    let all = numbers(q.reshape([batch * n_states, n_actions]));
    all.chunks(n_actions).map(<[f32]>::to_vec).collect()
}

fn assert_close(found: &[f32], expected: &[f32], context: &str) {
    assert_eq!(found.len(), expected.len(), "{context}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "{context}: {found}, not {expected}");
    }
}

/// The next token of each of `n` texts.
fn next(place: usize, n: usize) -> StepInput {
    let device = Device::flex();
    let tokens = Tensor::<1, Int>::full([n], i64::from(TEXT[place].0), &device);
    StepInput { tokens, positions: Tensor::zeros([n], &device) }
}

#[test]
fn token_by_token_equals_the_whole_sequence() {
    every(|network, states, name| {
        let expected = values(network, states, &[0, 1]);
        let starts = [0, 1].map(|source| [state(1, source)]);
        let input = states.input(&starts.each_ref().map(<[_; 1]>::as_slice), &Device::flex());
        let (mut memory, mut q) = network.start(&input);
        for place in 0..TEXT.len() {
            if place > 0 {
                q = network.step(&next(place, 2), &mut memory);
            }
            let expected = [expected[place].clone(), expected[TEXT.len() + place].clone()].concat();
            assert_close(&numbers(q.clone()), &expected, name);
        }
    });
}

#[test]
fn the_padding_of_a_source_changes_nothing() {
    every(|network, states, name| {
        let together = values(network, states, &[1, 0, 2]).concat();
        let alone = [1, 0, 2].map(|source| values(network, states, &[source]).concat()).concat();
        assert_close(&together, &alone, name);
    });
}

#[test]
fn a_source_of_several_texts_is_that_of_each() {
    every(|network, states, name| {
        let about = [1, 0, 1, 2, 0];
        let alone = about.map(|source| values(network, states, &[source]).concat()).concat();
        assert_close(&values(network, states, &about).concat(), &alone, name);
    });
}

#[test]
fn what_a_source_says_and_in_which_order_matters() {
    every(|network, states, name| {
        let [found, other, reversed] = [0, 1, 3].map(|source| values(network, states, &[source]).concat());
        let differ = |one: &[f32], other: &[f32]| one.iter().zip(other).any(|(one, other)| (one - other).abs() > 1e-4);
        assert!(differ(&found, &other), "{name}: another source has the same values");
        assert!(differ(&found, &reversed), "{name}: the reversed source has the same values");
    });
}

#[test]
fn texts_about_sources_of_different_lengths_are_joined_and_chosen_from() {
    every(|network, states, name| {
        let start = |source| network.start(&states.input(&[&[state(2, source)]], &Device::flex())).0;
        let joined = network.join(network.join(start(1), start(0)), start(2));
        let mut memory = network.select(joined, Tensor::from_data([2, 1, 1], &Device::flex()));
        let found = numbers(network.step(&next(2, 3), &mut memory));
        let third = |source| values(network, states, &[source]).swap_remove(2);
        assert_close(&found, &[third(2), third(0), third(0)].concat(), name);
    });
}
