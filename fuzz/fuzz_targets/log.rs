//! Any bytes are a log of which each line is an episode or counted as a fault, whose message can be written.
#![no_main]

use dqn_env::log::{LogReader, OnFault};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for on_fault in [OnFault::Stop, OnFault::Skip] {
        let mut reader = LogReader::new(bytes, "fuzz", on_fault).max_line_bytes(4096);
        for episode in reader.by_ref() {
            if let Err(fault) = episode {
                let _ = fault.to_string();
            }
        }
        assert!(reader.n_episodes() + reader.n_skipped() <= reader.n_lines());
    }
});
