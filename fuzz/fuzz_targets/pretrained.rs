//! Any bytes are a safetensors header whose tensors lie within the file, or an error that can be shown; any object is a model of
//! sizes that can be counted, or an error.
#![no_main]

use std::path::Path;

use dqn_model::pretrained::{ModelConfig, read_header};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8]) {
    match read_header(Path::new("fuzz"), bytes, bytes.len() as u64) {
        Ok(tensors) => {
            let mut end = 0;
            for tensor in tensors {
                assert!(tensor.start >= end, "tensors do not overlap");
                end = tensor.start + tensor.n_bytes;
                let n_numbers: usize = tensor.shape.iter().product();
                assert_eq!(n_numbers as u64 * tensor.kind.n_bytes(), tensor.n_bytes);
            }
            assert!(end <= bytes.len() as u64, "tensors lie within the file");
        }
        Err(fault) => assert!(fault.to_string().starts_with("fuzz")),
    }
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // Hardly any bytes begin with the length of a header by chance: the same once more, as a header before some numbers.
    for n_numbers in [0, 8, 64] {
        read(&[&(bytes.len() as u64).to_le_bytes(), bytes, &vec![0; n_numbers]].concat());
    }
    if let Ok(map) = serde_json::from_slice(bytes) {
        match ModelConfig::from_json(Path::new("fuzz"), &map) {
            Ok(config) => assert!(config.n_parameters() > 0 && config.cache_bytes_per_token() > 0),
            Err(fault) => assert!(fault.to_string().starts_with("fuzz")),
        }
    }
});
