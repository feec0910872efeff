//! What can go wrong with audio.

use crate::waveform::{MAX_FILE_BYTES, MAX_SAMPLE_RATE_HZ, MAX_SAMPLES};

/// A fault in an audio file, a waveform or the settings of its features. `origin` names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// A file cannot be read.
    #[error("{origin} cannot be read: {source}")]
    Io {
        /// The file.
        origin: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file is larger than any clip.
    #[error("{origin} is larger than the {MAX_FILE_BYTES} bytes that are read; divide it into clips")]
    FileTooLarge {
        /// The file.
        origin: String,
    },
    /// A file is neither WAV nor FLAC.
    #[error("{origin} is {found}; WAV (RIFF) and FLAC files are read, whatever their extension")]
    UnknownFormat {
        /// The file.
        origin: String,
        /// What it is, as far as its first bytes tell.
        found: String,
    },
    /// A file ends before its samples begin.
    #[error("{origin} is cut short in its header: it ends at byte {n_bytes}, in {part}")]
    TruncatedHeader {
        /// The file.
        origin: String,
        /// What is incomplete or missing.
        part: String,
        /// Length of the file.
        n_bytes: usize,
    },
    /// A file holds fewer samples than its header says.
    #[error(
        "{origin} is cut short, or its header is wrong: it should hold {expected} {unit} of audio data and holds \
         {found}"
    )]
    TruncatedData {
        /// The file.
        origin: String,
        /// What there is.
        found: u64,
        /// What the header says.
        expected: u64,
        /// What is counted: "bytes" or "samples per channel".
        unit: &'static str,
    },
    /// The samples are stored in a way that is not read.
    #[error(
        "{origin} holds {found}; WAV files are read with integers of 8, 16, 24 or 32 bits and floats of 32 or 64 bits; \
         convert the file"
    )]
    UnsupportedEncoding {
        /// The file.
        origin: String,
        /// How they are stored.
        found: String,
    },
    /// A file contradicts its format or itself.
    #[error("{origin} is damaged: {message}")]
    Damaged {
        /// The file.
        origin: String,
        /// In what way.
        message: String,
    },
    /// No samples.
    #[error("{origin} holds no samples")]
    NoSamples {
        /// The file.
        origin: String,
    },
    /// More samples than a clip may have.
    #[error("{origin} has more than {MAX_SAMPLES} samples; divide it into clips")]
    TooManySamples {
        /// The file.
        origin: String,
    },
    /// A sample is infinite or no number.
    #[error("{origin}: sample {index} is {value}; samples must be finite")]
    NotFinite {
        /// The file.
        origin: String,
        /// Its place, from 0.
        index: usize,
        /// The sample.
        value: f32,
    },
    /// A sample rate that no clip has.
    #[error("{origin} has a sample rate of {found} Hz; 1 to {MAX_SAMPLE_RATE_HZ} Hz are allowed")]
    SampleRate {
        /// The file.
        origin: String,
        /// The rate.
        found: u32,
    },
    /// Two sample rates are too far apart.
    #[error("cannot resample from {from} to {to} Hz; the rates may differ by a factor of {max_factor}")]
    RateRatio {
        /// The rate of the waveform.
        from: u32,
        /// The rate asked for.
        to: u32,
        /// The largest factor.
        max_factor: u32,
    },
    /// A speed that is no change of speed.
    #[error("a speed of {found}; {min} to {max} are allowed")]
    Speed {
        /// The speed.
        found: f64,
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// The resampler refused.
    #[error("resampling failed: {message}")]
    Resampler {
        /// What it said.
        message: String,
    },
    /// Nothing to join.
    #[error("no clips to join; one at least is needed")]
    NothingToJoin,
    /// Clips of different rates were to be joined.
    #[error(
        "clip {index} has a sample rate of {found} Hz and the first one has {expected} Hz; resample before joining"
    )]
    MixedRates {
        /// Its place, from 0.
        index: usize,
        /// Its rate.
        found: u32,
        /// The rate of the first.
        expected: u32,
    },
    /// A pause between clips that is none.
    #[error("a gap of {found} seconds between clips; 0 to {max} are allowed")]
    Gap {
        /// The gap.
        found: f64,
        /// The longest.
        max: f64,
    },
    /// A waveform has another rate than the features are made for.
    #[error("the waveform has {found} Hz and the features are made for {expected} Hz; resample it before")]
    FeatureRate {
        /// Its rate.
        found: u32,
        /// The rate of the features.
        expected: u32,
    },
    /// A setting of the features is out of range.
    #[error("{field} = {found}: {expected}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// Its value.
        found: f64,
        /// What is allowed.
        expected: String,
    },
    /// A mel channel lies between two frequencies of the transform, and would be silent for ever.
    #[error(
        "n_mels = {n_mels}: channel {channel}, {low_hz:.1} to {high_hz:.1} Hz, lies between two of the frequencies \
         that a window of {window_milliseconds} ms resolves ({resolution_hz:.1} Hz apart); take fewer channels, a longer \
         window or a wider band"
    )]
    SilentChannel {
        /// Channels asked for.
        n_mels: usize,
        /// The channel, from 0.
        channel: usize,
        /// Its lower end.
        low_hz: f64,
        /// Its upper end.
        high_hz: f64,
        /// The window.
        window_milliseconds: f64,
        /// Distance of two frequencies.
        resolution_hz: f64,
    },
}
