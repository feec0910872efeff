//! What is read as a tokenizer encodes and decodes any text without a panic.
#![no_main]

use dqn_text::Tokenizer;
use dqn_text::tokenizer::TextTokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(tokenizer) = TextTokenizer::from_json(text, "fuzz")
        && let Ok(tokens) = tokenizer.encode(text)
    {
        tokenizer.decode(&tokens);
    }
});
