//! Resampling and speed, seen on sines: their frequency, their amplitude, and what must not appear.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::f64::consts::TAU;

use dqn_audio::Waveform;
use proptest::prelude::*;

fn sine(hz: f64, rate: u32, n_samples: usize) -> Waveform {
    let sample = |index: usize| (0.5 * (TAU * hz * index as f64 / f64::from(rate)).sin()) as f32;
    Waveform::new((0..n_samples).map(sample).collect(), rate).unwrap()
}

/// The largest difference from a sine of amplitude 0.5, away from the ends by `margin` samples.
fn distance(found: &Waveform, hz: f64, margin: usize) -> f32 {
    let expected = sine(hz, found.sample_rate_hz(), found.samples().len());
    let inner = margin..found.samples().len() - margin;
    let pairs = found.samples()[inner.clone()].iter().zip(&expected.samples()[inner]);
    pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
}

const RATES: [(u32, u32); 8] = [
    (8000, 16000),
    (16000, 8000),
    (44100, 8000),
    (48000, 8000),
    (8000, 44100),
    (22050, 16000),
    (11025, 8000),
    (8000, 8001),
];

#[test]
fn a_sine_stays_the_same_sine() {
    for (from, to) in RATES {
        for hz in [100.0, 440.0, 0.4 * f64::from(from.min(to))] {
            let found = sine(hz, from, from as usize / 2).resampled(to).unwrap();
            assert_eq!(found.sample_rate_hz(), to);
            let n_samples = (u64::from(from / 2) * u64::from(to)).div_ceil(from.into());
            assert_eq!(found.samples().len() as u64, n_samples);
            let distance = distance(&found, hz, 600);
            assert!(distance < 1e-3, "{hz} Hz from {from} to {to} Hz: {distance}");
        }
    }
}

#[test]
fn what_the_new_rate_cannot_hold_is_taken_out() {
    for (from, to) in RATES.into_iter().filter(|(from, to)| from > to) {
        for hz in [0.55 * f64::from(to), 0.49 * f64::from(from)] {
            let found = sine(hz, from, from as usize / 2).resampled(to).unwrap();
            let inner = &found.samples()[600..found.samples().len() - 600];
            let loudest = inner.iter().fold(0.0_f32, |loudest, sample| loudest.max(sample.abs()));
            assert!(loudest < 5e-4, "{hz} Hz from {from} to {to} Hz: {loudest}");
        }
    }
}

#[test]
fn equal_rates_change_nothing() {
    let waveform = sine(1000.0, 8000, 333);
    assert_eq!(waveform.resampled(8000).unwrap(), waveform);
    assert_eq!(waveform.at_speed(1.0004).unwrap(), waveform, "speeds are rounded to thousandths");
}

#[test]
fn speed_moves_the_pitch() {
    for speed in [0.25, 0.9, 1.1, 1.234, 4.0] {
        let found = sine(300.0, 8000, 9000).at_speed(speed).unwrap();
        assert_eq!(found.sample_rate_hz(), 8000);
        assert_eq!(found.samples().len(), (9000.0 / speed).ceil() as usize);
        let distance = distance(&found, 300.0 * speed, 600);
        assert!(distance < 1e-3, "at speed {speed}: {distance}");
    }
}

#[test]
fn what_is_no_rate_and_no_speed() {
    let waveform = sine(300.0, 8000, 100);
    let resampled = |rate| waveform.resampled(rate).unwrap_err().to_string();
    assert_eq!(resampled(0), "the resampled waveform has a sample rate of 0 Hz; 1 to 768000 Hz are allowed");
    assert!(resampled(768_001).contains("768001 Hz"));
    assert_eq!(resampled(31), "cannot resample from 8000 to 31 Hz; the rates may differ by a factor of 256");
    assert_eq!(waveform.resampled(32).unwrap().samples().len(), 1);
    for speed in [0.0, -1.0, 0.2, 4.1, f64::NAN] {
        let error = waveform.at_speed(speed).unwrap_err().to_string();
        assert_eq!(error, format!("a speed of {speed}; 0.25 to 4 are allowed"));
    }
    let long = Waveform::new(vec![0.0; 300_000], 3000).unwrap();
    assert!(long.resampled(768_000).unwrap_err().to_string().contains("more than 67108864 samples"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn lengths_of_short_clips(
        n_samples in 1_usize..3000, from in 4000_u32..50_000, to in 4000_u32..50_000, speed in 0.5_f64..2.0,
    ) {
        let waveform = sine(100.0, from, n_samples);
        let expected = (n_samples as u64 * u64::from(to)).div_ceil(from.into());
        prop_assert_eq!(waveform.resampled(to).unwrap().samples().len() as u64, expected);
        let parts = (speed * 1000.0).round() as usize;
        let expected = (n_samples * 1000).div_ceil(parts);
        prop_assert_eq!(waveform.at_speed(speed).unwrap().samples().len(), expected);
    }
}
