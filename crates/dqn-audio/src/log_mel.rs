//! Log-mel features: how loud each of some bands is, frame by frame.

use std::fmt;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mel_filters::{MelFilter, mel_filters};
use crate::waveform::check_rate;
use crate::{AudioError, Frames, Waveform};

/// Power below which a band is silent.
const MIN_POWER: f64 = 1e-10;
const MAX_MILLISECONDS: f64 = 1000.0;
const MAX_MELS: usize = 512;

/// Which features are made of a waveform. The defaults suit speech at 8 kHz, as on the telephone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogMelConfig {
    /// Sample rate of the waveforms, in hertz. Default 8000.
    #[schemars(range(min = 1, max = 768000))]
    pub sample_rate_hz: u32,
    /// Length of the Hann window, in milliseconds. The transform takes as many samples as the next power of two has,
    /// the window in their middle. Default 25, as in Kaldi.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 0.0))]
    pub window_milliseconds: f64,
    /// From one frame to the next, in milliseconds. Default 10, as in Kaldi.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 0.0))]
    pub hop_milliseconds: f64,
    /// Bands. Default 40, as in Kaldi's recipes for networks.
    #[schemars(range(min = 1, max = 512))]
    pub n_mels: usize,
    /// Lower end of the lowest band, in hertz. Default 20, as in Kaldi: below there is hum only.
    #[schemars(range(min = 0.0))]
    pub low_hz: f64,
    /// Upper end of the highest band, in hertz; leave it out for half of the sample rate.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub high_hz: Option<f64>,
}

impl Default for LogMelConfig {
    fn default() -> Self {
        Self {
            sample_rate_hz: 8000,
            window_milliseconds: 25.0,
            hop_milliseconds: 10.0,
            n_mels: 40,
            low_hz: 20.0,
            high_hz: None,
        }
    }
}

/// Makes log-mel features of waveforms.
///
/// ```text
/// x_tm = ln max(1e-10, sum_k w_m(f_k) |sum_i hann_i s_{t hop + i - n_fft/2} exp(-2 pi j i k / n_fft)|^2)
/// ```
///
/// The window lies around the sample `t hop` of frame `t`, and samples outside of the clip are 0: a clip of `n` samples
/// has `1 + floor(n / hop)` frames, also when it is shorter than a window. The window is periodic, the filters are
/// Slaney's, and no frame is emphasised or dithered before.
///
/// Source: `librosa.feature.melspectrogram` 0.11 (`center=True`, `pad_mode="constant"`, `power=2`, `htk=False`,
/// `norm="slaney"`), with `numpy.log(numpy.maximum(_, 1e-10))`; equal to it within `1e-4`.
#[derive(Clone)]
pub struct LogMel {
    sample_rate_hz: u32,
    n_hop_samples: usize,
    window: Vec<f64>,
    filters: Vec<MelFilter>,
    fft: Arc<dyn RealToComplex<f64>>,
}

impl LogMel {
    /// Features as `config` describes them.
    ///
    /// # Errors
    /// [`AudioError::SampleRate`]; [`AudioError::Setting`] for a value out of range; [`AudioError::SilentChannel`] when
    /// there are so many bands that one falls between two frequencies of the transform.
    pub fn new(config: &LogMelConfig) -> Result<Self, AudioError> {
        let rate = f64::from(config.sample_rate_hz);
        let high_hz = check(config)?;
        let n_samples = |milliseconds: f64| (milliseconds * rate / 1000.0).round() as usize;
        let n_window = n_samples(config.window_milliseconds).max(2);
        let n_fft = n_window.next_power_of_two();
        let resolution_hz = rate / n_fft as f64;
        let filters = mel_filters(config.n_mels, config.low_hz, high_hz, n_fft / 2 + 1, resolution_hz);
        if let Some(channel) = filters.iter().position(|filter| filter.weights.is_empty()) {
            let &MelFilter { low_hz, high_hz, .. } = &filters[channel];
            let &LogMelConfig { n_mels, window_milliseconds, .. } = config;
            return Err(AudioError::SilentChannel {
                n_mels,
                channel,
                low_hz,
                high_hz,
                window_milliseconds,
                resolution_hz,
            });
        }
        let hann = |index: usize| 0.5 - 0.5 * (std::f64::consts::TAU * index as f64 / n_window as f64).cos();
        Ok(Self {
            sample_rate_hz: config.sample_rate_hz,
            n_hop_samples: n_samples(config.hop_milliseconds).max(1),
            window: (0..n_window).map(hann).collect(),
            filters,
            fft: RealFftPlanner::new().plan_fft_forward(n_fft),
        })
    }

    /// Values of a frame.
    pub fn n_mels(&self) -> usize {
        self.filters.len()
    }

    /// Frames of a clip of `n_samples` samples.
    pub fn n_frames(&self, n_samples: usize) -> usize {
        1 + n_samples / self.n_hop_samples
    }

    /// The features of a clip, not normalised.
    ///
    /// # Errors
    /// [`AudioError::FeatureRate`] when the clip has another sample rate than the configuration.
    pub fn frames(&self, waveform: &Waveform) -> Result<Frames, AudioError> {
        if waveform.sample_rate_hz() != self.sample_rate_hz {
            return Err(AudioError::FeatureRate { found: waveform.sample_rate_hz(), expected: self.sample_rate_hz });
        }
        let samples = waveform.samples();
        let n_fft = self.fft.len();
        let mut windowed = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = vec![0.0; spectrum.len()];
        let mut values = Vec::with_capacity(self.n_frames(samples.len()) * self.n_mels());
        // Where the window begins in the transform.
        let n_before = (n_fft - self.window.len()) / 2;
        for frame in 0..self.n_frames(samples.len()) {
            // Where the transform begins, counted from half a transform before the clip.
            let start = frame * self.n_hop_samples;
            // The transform overwrites its input.
            windowed.fill(0.0);
            for (index, weight) in (n_before..).zip(&self.window) {
                let place = (start + index).checked_sub(n_fft / 2);
                let sample = place.and_then(|place| samples.get(place)).copied().unwrap_or(0.0);
                windowed[index] = weight * f64::from(sample);
            }
            self.fft
                .process_with_scratch(&mut windowed, &mut spectrum, &mut scratch)
                .expect("the vectors have the lengths that the transform gave them");
            for (power, value) in power.iter_mut().zip(&spectrum) {
                *power = value.norm_sqr();
            }
            values.extend(self.filters.iter().map(|filter| filter.apply(&power).max(MIN_POWER).ln() as f32));
        }
        Ok(Frames::new(self.n_mels(), values))
    }
}

impl fmt::Debug for LogMel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LogMel")
            .field("sample_rate_hz", &self.sample_rate_hz)
            .field("n_hop_samples", &self.n_hop_samples)
            .field("n_window_samples", &self.window.len())
            .field("n_mels", &self.filters.len())
            .finish_non_exhaustive()
    }
}

/// Holds the settings to their ranges, and answers with the upper end of the highest band.
fn check(config: &LogMelConfig) -> Result<f64, AudioError> {
    check_rate("the configuration of the features", config.sample_rate_hz)?;
    let fault = |field, found, expected| Err(AudioError::Setting { field, found, expected });
    for (field, found) in
        [("window_milliseconds", config.window_milliseconds), ("hop_milliseconds", config.hop_milliseconds)]
    {
        if !(found > 0.0 && found <= MAX_MILLISECONDS) {
            return fault(field, found, format!("above 0 and up to {MAX_MILLISECONDS} are allowed"));
        }
    }
    if !(1..=MAX_MELS).contains(&config.n_mels) {
        return fault("n_mels", config.n_mels as f64, format!("1 to {MAX_MELS} are allowed"));
    }
    let nyquist = f64::from(config.sample_rate_hz) / 2.0;
    let high_hz = config.high_hz.unwrap_or(nyquist);
    if !(high_hz > 0.0 && high_hz <= nyquist) {
        let expected = format!("above 0 and up to {nyquist}, half of sample_rate_hz, are allowed");
        return fault("high_hz", high_hz, expected);
    }
    if !(config.low_hz >= 0.0 && config.low_hz < high_hz) {
        return fault("low_hz", config.low_hz, format!("0 and more are allowed, and less than high_hz = {high_hz}"));
    }
    Ok(high_hz)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut LogMelConfig)) -> String {
        let mut config = LogMelConfig::default();
        change(&mut config);
        LogMel::new(&config).unwrap_err().to_string()
    }

    #[test]
    fn settings_out_of_range() {
        assert!(fault(|config| config.sample_rate_hz = 0).contains("0 Hz; 1 to 768000"));
        for value in [0.0, -1.0, 1000.5, f64::NAN] {
            let expected = format!("milliseconds = {value}: above 0 and up to 1000 are allowed");
            assert_eq!(fault(|config| config.window_milliseconds = value), format!("window_{expected}"));
            assert_eq!(fault(|config| config.hop_milliseconds = value), format!("hop_{expected}"));
        }
        assert_eq!(fault(|config| config.n_mels = 0), "n_mels = 0: 1 to 512 are allowed");
        assert_eq!(
            fault(|config| config.high_hz = Some(4000.5)),
            "high_hz = 4000.5: above 0 and up to 4000, half of sample_rate_hz, are allowed"
        );
        assert!(fault(|config| config.low_hz = -1.0).starts_with("low_hz = -1: 0 and more"));
        assert!(fault(|config| config.low_hz = 4000.0).ends_with("less than high_hz = 4000"));
        assert!(fault(|config| config.low_hz = f64::NAN).starts_with("low_hz = NaN"));
    }

    #[test]
    fn a_channel_that_would_be_silent() {
        let found = fault(|config| config.n_mels = 200);
        assert!(found.starts_with("n_mels = 200: channel 1, 31."), "{found}");
        assert!(found.contains("that a window of 25 ms resolves (31.2 Hz apart); take fewer channels"), "{found}");
    }

    #[test]
    fn another_rate_is_refused() {
        let features = LogMel::new(&LogMelConfig::default()).unwrap();
        let error = features.frames(&Waveform::new(vec![0.0; 100], 16_000).unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the waveform has 16000 Hz and the features are made for 8000 Hz; resample it before"
        );
    }

    #[test]
    fn frames_of_a_clip() {
        let features = LogMel::new(&LogMelConfig::default()).unwrap();
        for (n_samples, n_frames) in [(1, 1), (79, 1), (80, 2), (8000, 101)] {
            let frames = features.frames(&Waveform::new(vec![0.5; n_samples], 8000).unwrap()).unwrap();
            assert_eq!((frames.n_frames(), frames.n_mels()), (n_frames, 40));
            assert_eq!(features.n_frames(n_samples), n_frames);
        }
    }

    #[test]
    fn unknown_settings_are_refused() {
        let read = |text: &str| serde_json::from_str::<LogMelConfig>(text);
        assert_eq!(read("{}").unwrap(), LogMelConfig::default());
        assert!(read(r#"{ "n_mfcc": 13 }"#).unwrap_err().to_string().contains("unknown field `n_mfcc`"));
    }
}
