//! Pretrained models compute what `transformers` computes, in every way there is to read a text.
//!
//! The models and what is expected of them are made by `golden/pretrained.py`. With `DQN_STORIES260K` set to the folder of a
//! real model, the same is asked of it (`golden/stories260k.py`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use dqn_mdp::TokenId;
use dqn_model::pretrained::{ActingLm, CausalLm, PretrainedError};
use serde::Deserialize;

/// Largest difference of a logit.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    models: BTreeMap<String, Vec<Text>>,
}

#[derive(Deserialize)]
struct Text {
    tokens: Vec<u32>,
    logits: Vec<Vec<f32>>,
    greedy: Vec<u32>,
}

impl Text {
    fn tokens(&self) -> Vec<TokenId> {
        self.tokens.iter().copied().map(TokenId).collect()
    }
}

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn folder(name: &str) -> PathBuf {
    golden_folder().join("pretrained").join(name)
}

fn golden() -> Golden {
    serde_json::from_slice(&std::fs::read(golden_folder().join("pretrained.json")).unwrap()).unwrap()
}

/// Every golden model by its name and folder and, where one is named, the real one.
fn all() -> Vec<(String, PathBuf, Vec<Text>)> {
    let mut all: Vec<_> =
        golden().models.into_iter().map(|(name, texts)| (name.clone(), folder(&name), texts)).collect();
    assert_eq!(all.len(), 6);
    if let Some(real) = real_model() {
        let text = std::fs::read(golden_folder().join("stories260k.json")).unwrap();
        let golden: Golden = serde_json::from_slice(&text).unwrap();
        all.extend(golden.models.into_iter().map(|(name, texts)| (name, real.clone(), texts)));
    }
    all
}

/// The folder of stories260k, which is too large for this repository.
fn real_model() -> Option<PathBuf> {
    let folder = std::env::var_os("DQN_STORIES260K").map(PathBuf::from);
    if folder.is_none() {
        // A test may print: this is how a person learns that a part was left out.
        #[allow(clippy::print_stderr, reason = "a part that is skipped is told")]
        {
            eprintln!("skipped for the real model: DQN_STORIES260K names no folder");
        }
    }
    folder
}

fn devices() -> [(&'static str, Device); 2] {
    [("flex", Device::flex()), ("ndarray", Device::ndarray())]
}

fn rows(tensor: Tensor<2>) -> Vec<Vec<f32>> {
    let [_, width] = tensor.dims();
    tensor.try_into_vec_as::<f32>().unwrap().chunks(width).map(<[f32]>::to_vec).collect()
}

fn check(what: &str, found: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (token, (found, expected)) in found.iter().zip(expected).enumerate() {
            let is_close = (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0);
            assert!(is_close, "{what}, place {place}, token {token}: {found}, not {expected}");
        }
    }
}

fn best(logits: &[f32]) -> TokenId {
    let best = logits.iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1)).unwrap();
    TokenId(best.0 as u32)
}

fn acting(folder: &Path, device: &Device) -> ActingLm {
    CausalLm::load(folder, device).unwrap().for_acting()
}

#[test]
fn logits_are_those_of_transformers() {
    for (name, folder, texts) in all() {
        for (backend, device) in devices() {
            let plain = CausalLm::load(&folder, &device).unwrap();
            for text in &texts {
                let tokens: Vec<i64> = text.tokens.iter().map(|&token| i64::from(token)).collect();
                let n = tokens.len();
                let tokens = Tensor::<2, Int>::from_data(TensorData::new(tokens, [1, n]), &device);
                let hidden = plain.hidden(tokens).squeeze_dim::<2>(0);
                check(&format!("{name} on {backend}"), &rows(plain.logits(hidden)), &text.logits);
            }
            let acting = plain.for_acting();
            let tokens: Vec<Vec<TokenId>> = texts.iter().map(Text::tokens).collect();
            let tokens: Vec<&[TokenId]> = tokens.iter().map(Vec::as_slice).collect();
            let expected: Vec<Vec<f32>> = texts.iter().flat_map(|text| text.logits.clone()).collect();
            let found = rows(acting.logits(acting.hidden(&tokens).unwrap()));
            check(&format!("{name}, acting on {backend}"), &found, &expected);
        }
    }
}

#[test]
fn greedy_texts_are_those_of_transformers_token_by_token_and_in_batches() {
    for (name, folder, texts) in all() {
        for (backend, device) in devices() {
            let lm = acting(&folder, &device);
            let prompts: Vec<Vec<TokenId>> = texts.iter().map(Text::tokens).collect();
            let prompts: Vec<&[TokenId]> = prompts.iter().map(Vec::as_slice).collect();
            let (mut state, mut hidden) = lm.start(&prompts, 4).unwrap();
            let mut written: Vec<Vec<u32>> = vec![Vec::new(); texts.len()];
            let n = texts.iter().map(|text| text.greedy.len()).min().unwrap();
            for step in 0..n {
                let tokens: Vec<TokenId> = rows(lm.logits(hidden)).iter().map(|logits| best(logits)).collect();
                written.iter_mut().zip(&tokens).for_each(|(written, token)| written.push(token.0));
                if step + 1 == n {
                    break;
                }
                hidden = lm.step(&tokens, &mut state).unwrap();
            }
            for (written, text) in written.iter().zip(&texts) {
                assert_eq!(*written, text.greedy[..n], "{name} on {backend} after {:?}", text.tokens);
            }
        }
    }
}

/// Texts that are read in one, cut in a prompt and single tokens, sorted, doubled, joined by others and left by some have
/// the hidden states of whole texts.
#[test]
fn decode_states_can_be_sorted_and_joined() {
    for name in ["llama-tied-bf16", "gpt2", "qwen2-sharded"] {
        for (backend, device) in devices() {
            let lm = acting(&folder(name), &device);
            let text = |seed: u32, n: u32| (0..n).map(|place| TokenId((seed * 7 + place * 5) % 56)).collect::<Vec<_>>();
            let texts = [text(1, 12), text(2, 9), text(3, 14), text(4, 11)];
            let whole = |index: usize, n: usize| {
                let hidden = rows(lm.hidden(&[&texts[index][..n]]).unwrap());
                hidden.last().unwrap().clone()
            };
            let (state, _) = lm.start(&[&texts[0][..3], &texts[1][..5]], 0).unwrap();
            let (other, hidden) = lm.start(&[&texts[2][..7], &texts[3][..1]], 2).unwrap();
            check(name, &rows(hidden), &[whole(2, 7), whole(3, 1)]);
            // Text 1, text 0 twice, then texts 2 and 3: the copies of text 0 go on in different ways.
            let mut state = state.select(&[1, 0, 0]).unwrap().join(other);
            assert_eq!((state.lengths(), state.n_texts()), (vec![5, 3, 3, 7, 1], 5));
            let step = |state: &mut _, tokens: [TokenId; 5]| rows(lm.step(&tokens, state).unwrap());
            let found = step(&mut state, [texts[1][5], texts[0][3], texts[3][0], texts[2][7], texts[3][1]]);
            check(name, &[found[0].clone(), found[1].clone()], &[whole(1, 6), whole(0, 4)]);
            check(name, &found[3..], &[whole(2, 8), whole(3, 2)]);
            let branch = [&texts[0][..3], &texts[3][..1]].concat();
            check(name, &found[2..3], &rows(lm.hidden(&[&branch]).unwrap())[3..]);
            // Some end; the others go on beyond the room they had.
            let mut state = state.select(&[4, 1]).unwrap();
            for n in 2..10 {
                let found = rows(lm.step(&[texts[3][n], texts[0][n + 2]], &mut state).unwrap());
                check(&format!("{name} on {backend}"), &found, &[whole(3, n + 1), whole(0, n + 3)]);
            }
            assert!(state.select(&[]).is_none());
        }
    }
}

/// On burn-flex a text gets the same bits whoever it is read with, and however it is cut.
#[test]
fn a_text_does_not_depend_on_its_batch() {
    let lm = acting(&folder("llama"), &Device::flex());
    let text: Vec<TokenId> = (0..20).map(|place| TokenId(place * 11 % 56)).collect();
    let other: Vec<TokenId> = (0..13).map(|place| TokenId(place * 3 % 56)).collect();
    let alone = rows(lm.hidden(&[&text]).unwrap());
    assert_eq!(rows(lm.hidden(&[&other, &text, &other]).unwrap())[13..33], alone);
    let (mut state, hidden) = lm.start(&[&other, &text[..5]], 3).unwrap();
    assert_eq!(rows(hidden)[1], alone[4]);
    for (place, expected) in alone.iter().enumerate().skip(5) {
        assert_eq!(rows(lm.step(&[other[place % 13], text[place]], &mut state).unwrap())[1], *expected);
    }
}

#[test]
fn a_graph_reaches_every_parameter() {
    use burn::module::Module;
    for name in ["llama", "gpt2", "llama-tied-bf16"] {
        let device = Device::flex().autodiff();
        let lm = CausalLm::load(&folder(name), &device).unwrap();
        let tokens = Tensor::<2, Int>::from_data([[3, 9, 27, 4], [11, 5, 5, 50]], &device);
        let hidden = lm.hidden(tokens);
        let width = hidden.dims()[2];
        let gradients = lm.logits(hidden.reshape([8, width])).square().mean().backward();
        let block = &lm.blocks[0];
        for (what, weight) in [("query", &block.query.weight), ("up", &block.up.weight), ("down", &block.down.weight)] {
            let gradient = weight.grad(&gradients).unwrap();
            assert!(gradient.abs().sum().into_scalar::<f32>() > 1e-6, "{name}: nothing reaches {what}");
        }
        assert!(lm.embedding.grad(&gradients).is_some());
        // The same model without a graph acts.
        lm.valid().for_acting().hidden(&[&[TokenId(1)]]).unwrap();
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let lm = acting(&folder("gpt2"), &Device::flex());
    let long = vec![TokenId(1); 33];
    let text = |error: PretrainedError| error.to_string();
    assert_eq!(text(lm.start(&[&long], 0).unwrap_err()), "a text of 33 tokens is too long: the model reads up to 32");
    assert_eq!(text(lm.hidden(&[&[TokenId(56)]]).unwrap_err()), "token 56 is none of the model's, which are 0 to 55");
    assert!(matches!(lm.start(&[&[TokenId(1)], &[]], 0), Err(PretrainedError::NoTokens)));
    let (mut state, _) = lm.start(&[&long[..32]], 5).unwrap();
    assert!(matches!(lm.step(&[TokenId(1)], &mut state), Err(PretrainedError::TooLong { n_tokens: 33, .. })));
    assert_eq!(state.lengths(), [32]);
}

#[test]
fn what_is_exported_is_read_again_bit_for_bit() {
    for name in golden().models.into_keys() {
        let device = Device::flex();
        let lm = CausalLm::load(&folder(&name), &device).unwrap();
        let place = tempfile::tempdir().unwrap();
        let output = place.path().join("copy");
        lm.export(&folder(&name), &output).unwrap();
        assert!(output.join("tokenizer.json").is_file());
        let again = CausalLm::load(&output, &device).unwrap();
        assert_eq!(again.config(), lm.config());
        let tokens = || Tensor::<2, Int>::from_data([[1, 2, 3, 4, 5, 6, 7]], &device);
        let numbers = |lm: &CausalLm| lm.hidden(tokens()).try_into_vec_as::<f32>().unwrap();
        assert_eq!(numbers(&again), numbers(&lm), "{name}");
        let written = std::fs::read(output.join("model.safetensors")).unwrap();
        again.export(&output, &place.path().join("second")).unwrap();
        assert_eq!(std::fs::read(place.path().join("second/model.safetensors")).unwrap(), written);
        // The crate of the format reads it, too, and finds 32-bit floats.
        let tensors = safetensors::SafeTensors::deserialize(&written).unwrap();
        assert!(tensors.iter().all(|(_, tensor)| tensor.dtype() == safetensors::Dtype::F32));
        assert!(matches!(lm.export(&folder(&name), &output), Err(PretrainedError::OutputExists { .. })));
    }
}
