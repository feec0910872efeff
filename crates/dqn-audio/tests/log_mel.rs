//! Log-mel features against librosa 0.11.0.

use dqn_audio::{LogMel, LogMelConfig, Waveform};
use proptest::prelude::*;
use serde::Deserialize;

/// What golden/make_log_mel.py writes.
#[derive(Deserialize)]
struct Golden {
    tool: String,
    version: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: LogMelConfig,
    samples: Vec<i32>,
    n_frames: usize,
    values: Vec<f32>,
}

const TOLERANCE: f32 = 1e-4;

#[test]
fn features_equal_those_of_librosa() {
    let golden: Golden = serde_json::from_str(include_str!("golden/log_mel.json")).unwrap();
    assert_eq!((golden.tool.as_str(), golden.version.as_str()), ("librosa", "0.11.0"));
    assert_eq!(golden.cases.len(), 33);
    for Case { name, config, samples, n_frames, values } in golden.cases {
        let samples = samples.into_iter().map(|sample| sample as f32 / 32768.0).collect();
        let waveform = Waveform::new(samples, config.sample_rate_hz).unwrap();
        let frames = LogMel::new(&config).unwrap().frames(&waveform).unwrap();
        assert_eq!((frames.n_frames(), frames.n_mels()), (n_frames, config.n_mels), "{name}");
        for (index, (found, expected)) in frames.values().iter().zip(&values).enumerate() {
            let (frame, mel) = (index / config.n_mels, index % config.n_mels);
            assert!((found - expected).abs() < TOLERANCE, "{name}, [{frame}, {mel}]: {found}, expected {expected}");
        }
    }
}

proptest! {
    /// Twice as loud adds `ln 4` to every value that is not silent, and normalisation takes it away again.
    #[test]
    fn loudness_is_an_offset(samples in prop::collection::vec(-0.4_f32..0.4, 300..900)) {
        let features = LogMel::new(&LogMelConfig::default()).unwrap();
        let frames = |gain: f32| {
            let samples = samples.iter().map(|sample| sample * gain).collect();
            features.frames(&Waveform::new(samples, 8000).unwrap()).unwrap()
        };
        let (mut quiet, mut loud) = (frames(1.0), frames(2.0));
        for (quiet, loud) in quiet.values().iter().zip(loud.values()) {
            prop_assert!((loud - quiet - 4.0_f32.ln()).abs() < 1e-4);
        }
        quiet.normalize();
        loud.normalize();
        for (quiet, loud) in quiet.values().iter().zip(loud.values()) {
            prop_assert!((loud - quiet).abs() < 1e-3);
        }
    }

    /// A clip that begins a hop later gives the same frames, one later, away from its ends.
    #[test]
    fn frames_move_with_the_clip(samples in prop::collection::vec(-1.0_f32..1.0, 600..900)) {
        let features = LogMel::new(&LogMelConfig::default()).unwrap();
        let later = [vec![0.0; 80], samples.clone()].concat();
        let frames = features.frames(&Waveform::new(samples, 8000).unwrap()).unwrap();
        let later = features.frames(&Waveform::new(later, 8000).unwrap()).unwrap();
        prop_assert_eq!(&later.values()[40..], frames.values());
    }
}
