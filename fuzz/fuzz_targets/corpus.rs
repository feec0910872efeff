//! Any bytes are a corpus without empty examples, or an error.
#![no_main]

use dqn_text::corpus::{Corpus, CorpusConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(corpus) = Corpus::from_bytes("fuzz", bytes, &CorpusConfig::default()) {
        for example in corpus.documents.iter().flat_map(|document| &document.examples) {
            assert!(!example.trim().is_empty());
        }
    }
});
