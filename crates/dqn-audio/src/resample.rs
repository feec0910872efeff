//! Other rates and other speeds, by band-limited interpolation.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

use crate::waveform::check_rate;
use crate::{AudioError, MAX_SAMPLES, Waveform};

/// Sample rates may differ by this factor: 768 kHz comes down to 3 kHz.
const MAX_RATE_FACTOR: u32 = 256;
/// Speeds beyond these are no speech any more.
const MIN_SPEED: f64 = 0.25;
const MAX_SPEED: f64 = 4.0;
/// Speeds are counted in parts of 1, so that they are ratios of small numbers.
const SPEED_PARTS: u32 = 1000;
/// Samples that the filter weighs at least, at the lower of the two rates.
const MIN_FILTER_SAMPLES: usize = 512;

impl Waveform {
    /// The same sound at another rate, `ceil(samples * rate / old rate)` samples long; a copy where the rates are
    /// equal.
    ///
    /// Frequencies that the new rate cannot hold are taken out (windowed-sinc filter of 512 samples or more at the
    /// lower rate), and what is outside of the clip counts as silence.
    ///
    /// # Errors
    /// [`AudioError::SampleRate`], [`AudioError::RateRatio`] when the rates differ by more than a factor of 256,
    /// [`AudioError::TooManySamples`].
    pub fn resampled(&self, sample_rate_hz: u32) -> Result<Self, AudioError> {
        check_rate("the resampled waveform", sample_rate_hz)?;
        let (from, to) = (self.sample_rate_hz(), sample_rate_hz);
        if from == to {
            return Ok(self.clone());
        }
        if from.max(to).div_ceil(from.min(to)) > MAX_RATE_FACTOR {
            return Err(AudioError::RateRatio { from, to, max_factor: MAX_RATE_FACTOR });
        }
        let samples = interpolated(self.samples(), from, to)?;
        Self::checked("the resampled waveform", samples, to)
    }

    /// The same sound `speed` times as fast, pitch and all, `ceil(samples / speed)` samples long; a copy at speed 1.
    /// The speed is rounded to thousandths.
    ///
    /// Speeds of 0.9, 1 and 1.1 triple a small set of speech.
    ///
    /// Source: Ko et al. 2015, "Audio augmentation for speech recognition".
    ///
    /// # Errors
    /// [`AudioError::Speed`] unless it is 0.25 to 4, [`AudioError::TooManySamples`].
    pub fn at_speed(&self, speed: f64) -> Result<Self, AudioError> {
        if !(MIN_SPEED..=MAX_SPEED).contains(&speed) {
            return Err(AudioError::Speed { found: speed, min: MIN_SPEED, max: MAX_SPEED });
        }
        let parts = (speed * f64::from(SPEED_PARTS)).round() as u32;
        if parts == SPEED_PARTS {
            return Ok(self.clone());
        }
        let samples = interpolated(self.samples(), parts, SPEED_PARTS)?;
        Self::checked("the waveform at another speed", samples, self.sample_rate_hz())
    }
}

/// `to` samples in the place of `from`.
fn interpolated(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>, AudioError> {
    let fault = |error: &dyn std::fmt::Display| AudioError::Resampler { message: error.to_string() };
    let n_samples = (samples.len() as u64 * u64::from(to)).div_ceil(from.into());
    let n_samples = usize::try_from(n_samples).unwrap_or(usize::MAX);
    if n_samples > MAX_SAMPLES {
        return Err(AudioError::TooManySamples { origin: "the resampled waveform".to_owned() });
    }
    let divisor = greatest_common_divisor(from, to);
    let (from, to) = ((from / divisor) as usize, (to / divisor) as usize);
    // An even number of samples on both sides: the middle of the filter, and so its delay, is then a whole sample.
    let n_chunk = 2 * from * (MIN_FILTER_SAMPLES / 2).div_ceil(from.min(to));
    // In double precision, as the features are: one instance of the transform to compile, not two.
    let samples: Vec<f64> = samples.iter().copied().map(f64::from).collect();
    let mut resampler =
        Fft::<f64>::new_custom(from, to, n_chunk, 1, 1, WindowFunction::BlackmanHarris2, FixedSync::Both)
            .map_err(|error| fault(&error))?;
    let input = SequentialSlice::new(samples.as_slice(), 1, samples.len()).map_err(|error| fault(&error))?;
    let output = resampler.process_all(&input, samples.len(), None).map_err(|error| fault(&error))?;
    let mut output: Vec<f32> = output.take_data().into_iter().map(|sample| sample as f32).collect();
    // Its length comes from a product of floats, which may be a sample off.
    output.resize(n_samples, 0.0);
    Ok(output)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
