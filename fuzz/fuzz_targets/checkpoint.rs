//! Any bytes are a checkpoint no larger than themselves, or an error that can be shown.
#![no_main]

use std::path::Path;

use dqn_train::run::checkpoint::{CHECKPOINT_FORMAT, Checkpoint};
use libfuzzer_sys::fuzz_target;

/// Bytes before the checksum, and those before the body.
const HASH_START: usize = 20;
const BODY_START: usize = HASH_START + blake3::OUT_LEN;

fn read(bytes: &[u8]) {
    match Checkpoint::from_bytes(bytes, Path::new("fuzz.ckpt")) {
        Ok(checkpoint) => {
            let n_bytes: usize = checkpoint.parts.iter().map(|(name, part)| name.len() + part.len()).sum();
            assert!(n_bytes < bytes.len());
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // Hardly any bytes have the right checksum by chance: the same body once more, under a prelude that fits it.
    let Some(body) = bytes.get(BODY_START..) else { return };
    let mut sealed = bytes.to_vec();
    sealed[..8].copy_from_slice(b"DQNTEXT\n");
    sealed[8..12].copy_from_slice(&CHECKPOINT_FORMAT.to_le_bytes());
    sealed[12..HASH_START].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    let hash = blake3::hash(&[&sealed[..HASH_START], body].concat());
    sealed[HASH_START..BODY_START].copy_from_slice(hash.as_bytes());
    read(&sealed);
});
