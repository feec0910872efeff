//! Texts that are written together come and go without touching each other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dqn_core::Sampling;
use dqn_mdp::Seed;
use dqn_text::TokenId;
use dqn_train::TrainError;
use dqn_train::language_model::{LanguageModel, LanguageModelFiles};
use dqn_train::writing::{Ending, WriteRequest, Writer};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dqn-model/tests/golden/pretrained").join(name)
}

fn model(name: &str) -> LanguageModel {
    LanguageModel::load(&folder(name), &Device::flex()).unwrap()
}

fn request(model: &LanguageModel, prompt: &str, n_tokens: usize, seed: u64) -> WriteRequest {
    let sampling = Sampling { temperature: 1.2, top_p: Some(0.9), repetition_penalty: 1.1, ..Sampling::default() };
    let prompt = model.prompt(prompt).unwrap();
    WriteRequest { prompt, n_tokens, sampling, stop: Vec::new(), seed: Seed(seed) }
}

/// Runs a writer dry: what each text shows, its tokens, and how it ended.
fn finish(writer: &mut Writer<'_>, texts: &mut BTreeMap<u64, (String, usize, Option<Ending>)>) {
    while writer.n_open() > 0 {
        for piece in writer.step().unwrap() {
            let text = texts.entry(piece.text).or_default();
            assert_eq!(text.2, None, "nothing follows an end");
            text.0 += &piece.shown;
            (text.1, text.2) = (piece.n_tokens, piece.ending);
        }
    }
    assert!(writer.step().unwrap().is_empty());
}

fn alone(model: &LanguageModel, request: WriteRequest) -> (String, usize, Option<Ending>) {
    let mut texts = BTreeMap::new();
    let mut writer = Writer::new(model, 1);
    writer.admit(request).unwrap();
    finish(&mut writer, &mut texts);
    texts.remove(&0).unwrap()
}

#[test]
fn texts_come_and_go() {
    let model = model("llama");
    let prompts = ["the cat", "", "a small red bird", "then", "the dog and the"];
    let all: Vec<WriteRequest> = prompts
        .iter()
        .enumerate()
        .map(|(index, prompt)| request(&model, prompt, 5 + 3 * index, 10 + index as u64))
        .collect();
    let mut writer = Writer::new(&model, 3);
    let mut texts = BTreeMap::new();
    for (index, request) in all[..3].iter().enumerate() {
        assert_eq!(writer.admit(request.clone()).unwrap(), index as u64);
    }
    for _ in 0..2 {
        for piece in writer.step().unwrap() {
            let text: &mut (String, usize, Option<Ending>) = texts.entry(piece.text).or_default();
            text.0 += &piece.shown;
            (text.1, text.2) = (piece.n_tokens, piece.ending);
        }
    }
    // One that runs is given up, others come while the rest goes on.
    assert_eq!(writer.n_open(), 3, "all three go on");
    writer.cancel(1);
    texts.remove(&1);
    for (index, request) in all.iter().enumerate().skip(3) {
        assert_eq!(writer.admit(request.clone()).unwrap(), index as u64);
    }
    let given_up = writer.admit(all[0].clone()).unwrap();
    writer.cancel(given_up);
    finish(&mut writer, &mut texts);
    assert_eq!(texts.keys().copied().collect::<Vec<_>>(), [0, 2, 3, 4]);
    for (&text, found) in &texts {
        assert_eq!(*found, alone(&model, all[text as usize].clone()), "text {text}");
    }
}

#[test]
fn pieces_are_the_text_of_the_tokens() {
    let model = model("llama-tied-bf16");
    for seed in 0..20 {
        let request = request(&model, "the cat", 20, seed);
        // The same choices by hand, one pass over the whole text for each.
        let (mut tokens, mut rng) = (request.prompt.clone(), Seed(seed).stream("writing"));
        let n_prompt = tokens.len();
        let mut scratch = Default::default();
        let mut is_over = false;
        while tokens.len() < n_prompt + 20 && tokens.len() < 32 && !is_over {
            let hidden = model.lm.hidden(&[&tokens]).unwrap();
            let last = hidden.dims()[0] - 1;
            let logits = model.lm.logits(hidden.narrow(0, last, 1)).try_into_vec_as::<f32>().unwrap();
            let mut seen: Vec<u32> = tokens.iter().map(|token| token.0).collect();
            seen.sort_unstable();
            seen.dedup();
            let token = TokenId(request.sampling.choose(&logits, &seen, &mut rng, &mut scratch).unwrap());
            is_over = model.eos.contains(&token);
            tokens.push(token);
        }
        let (all, prompt) = (model.tokenizer.decode(&tokens), model.tokenizer.decode(&tokens[..n_prompt]));
        let (text, n_tokens, ending) = alone(&model, request);
        assert_eq!((prompt + &text, n_tokens), (all, tokens.len() - n_prompt), "seed {seed}");
        assert_eq!(ending == Some(Ending::Eos), is_over);
    }
}

#[test]
fn requests_that_cannot_be_met_are_refused_and_others_go_on() {
    let model = model("gpt2");
    let mut writer = Writer::new(&model, 4);
    let sound = request(&model, "the cat", 3, 1);
    writer.admit(sound.clone()).unwrap();
    let refused = |writer: &mut Writer<'_>, change: &dyn Fn(&mut WriteRequest), part: &str| {
        let mut request = sound.clone();
        change(&mut request);
        let error = writer.admit(request).unwrap_err();
        assert!(error.is_request_fault() && error.to_string().contains(part), "{error}");
    };
    refused(&mut writer, &|request| request.prompt.clear(), "a text without a token cannot be read");
    refused(&mut writer, &|request| request.prompt = vec![TokenId(1); 33], "too long");
    refused(&mut writer, &|request| request.prompt.push(TokenId(56)), "token 56 is none of the model's");
    refused(&mut writer, &|request| request.sampling.temperature = f64::NAN, "temperature is NaN");
    refused(&mut writer, &|request| request.sampling.top_k = Some(0), "top_k is 0");
    assert_eq!(writer.n_open(), 1);
    finish(&mut writer, &mut BTreeMap::new());
    // A prompt as long as the model reads is given one token.
    let full = WriteRequest { prompt: vec![TokenId(7); 32], n_tokens: 9, ..sound };
    let (_, n_tokens, ending) = alone(&model, full);
    assert_eq!((n_tokens, ending.is_some()), (1, true));
}

#[test]
fn a_tokenizer_of_another_size_is_refused() {
    let place = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder("llama")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), place.path().join(entry.file_name())).unwrap();
    }
    let path = place.path().join("tokenizer.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    json["model"]["vocab"]["zzz"] = 56.into();
    std::fs::write(&path, json.to_string()).unwrap();
    let error = LanguageModelFiles::open(place.path()).unwrap_err();
    assert!(matches!(error, TrainError::OtherTokenizer { n_tokens: 57, vocab_size: 56, .. }), "{error}");
    assert!(error.is_request_fault());
}
