//! What is read as a language model is one that can be asked, or an error.
#![no_main]

use dqn_score::NgramLm;
use dqn_text::{TokenId, Vocab};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let vocab = Vocab::new(["a", "b", "c"].map(str::to_owned)).expect("three tokens are a vocabulary");
    if let Ok(model) = NgramLm::read_arpa(bytes, "fuzz", &vocab) {
        let text: Vec<TokenId> = (0..vocab.len() as u32).map(TokenId).collect();
        model.perplexity(&[(&text, 1)]);
    }
});
