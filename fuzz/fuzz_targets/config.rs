//! Any text is an experiment that can be written out and read again as the same, or an error that can be shown.
#![no_main]

use dqn_train::TrainError;
use dqn_train::builtin::DEFAULT_EXPERIMENT;
use dqn_train::config::ExperimentConfig;
use dqn_train::config::layers::merge;
use libfuzzer_sys::fuzz_target;

/// Reads an experiment as the program does, but for files that extend other files.
fn read(text: &str) -> Result<ExperimentConfig, TrainError> {
    let mut table = ExperimentConfig::parse(text, "fuzz")?;
    if table.get("extends").and_then(|base| base.as_str()) == Some("default") {
        table.remove("extends");
        table = merge(ExperimentConfig::parse(DEFAULT_EXPERIMENT, "the default experiment")?, table);
    }
    ExperimentConfig::from_table(table, text, "fuzz", &[])
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match read(text) {
        Ok(config) => {
            let written = config.to_toml().expect("what was read can be written");
            let again = ExperimentConfig::from_toml(&written, "fuzz", &[]).expect("what was written can be read");
            assert_eq!(again, config);
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
});
