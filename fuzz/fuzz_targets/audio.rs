//! Any bytes are a waveform of finite samples, or an error that names the file.
#![no_main]

use dqn_audio::{MAX_SAMPLE_RATE_HZ, MAX_SAMPLES, Waveform};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| match Waveform::from_bytes("fuzz", bytes) {
    Ok(waveform) => {
        assert!((1..=MAX_SAMPLES).contains(&waveform.samples().len()));
        assert!((1..=MAX_SAMPLE_RATE_HZ).contains(&waveform.sample_rate_hz()));
        assert!(waveform.samples().iter().all(|sample| sample.is_finite()));
    }
    Err(error) => assert!(error.to_string().starts_with("fuzz")),
});
