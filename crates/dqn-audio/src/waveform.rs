//! Sound as samples: reading it and joining it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{AudioError, flac, wav};

/// Highest sample rate, in hertz: twice that of the fastest converters.
pub const MAX_SAMPLE_RATE_HZ: u32 = 768_000;

/// Most samples of a waveform, 64 Mi: two hours at 8 kHz, 256 MiB. A bound is needed because FLAC writes an hour of
/// silence in some kilobytes.
pub const MAX_SAMPLES: usize = 1 << 26;

/// Largest file that is read: 1 GiB, more than [`MAX_SAMPLES`] need in two channels of 64 bits.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Longest pause between joined clips.
const MAX_GAP_SECONDS: f64 = 60.0;

/// A clip of sound in one channel. It has a sample at least.
#[derive(Clone, Debug, PartialEq)]
pub struct Waveform {
    samples: Vec<f32>,
    sample_rate_hz: u32,
}

impl Waveform {
    /// The clip with these samples, full scale being -1 to 1.
    ///
    /// # Errors
    /// [`AudioError::SampleRate`] unless the rate is 1 to [`MAX_SAMPLE_RATE_HZ`]; [`AudioError::NoSamples`],
    /// [`AudioError::TooManySamples`] above [`MAX_SAMPLES`], [`AudioError::NotFinite`].
    pub fn new(samples: Vec<f32>, sample_rate_hz: u32) -> Result<Self, AudioError> {
        Self::checked("the waveform", samples, sample_rate_hz)
    }

    /// The same, with a name for errors.
    pub(crate) fn checked(origin: &str, samples: Vec<f32>, sample_rate_hz: u32) -> Result<Self, AudioError> {
        check_rate(origin, sample_rate_hz)?;
        if samples.is_empty() {
            return Err(AudioError::NoSamples { origin: origin.to_owned() });
        }
        if samples.len() > MAX_SAMPLES {
            return Err(AudioError::TooManySamples { origin: origin.to_owned() });
        }
        match samples.iter().position(|sample| !sample.is_finite()) {
            Some(index) => Err(AudioError::NotFinite { origin: origin.to_owned(), index, value: samples[index] }),
            None => Ok(Self { samples, sample_rate_hz }),
        }
    }

    /// Reads a WAV or FLAC file, told apart by content and not by extension; channels are averaged.
    ///
    /// # Errors
    /// [`AudioError::Io`], [`AudioError::FileTooLarge`], and those of [`Self::from_bytes`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, AudioError> {
        let origin = path.as_ref().display().to_string();
        let mut bytes = Vec::new();
        // No more than the limit is taken, so that a device or a pipe does not fill memory.
        let read = File::open(&path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
        match read {
            Err(source) => Err(AudioError::Io { origin, source }),
            Ok(n_bytes) if n_bytes as u64 > MAX_FILE_BYTES => Err(AudioError::FileTooLarge { origin }),
            Ok(_) => Self::from_bytes(&origin, &bytes),
        }
    }

    /// Reads the bytes of a WAV or FLAC file; `origin` names it in errors.
    ///
    /// WAV holds integers of 8, 16, 24 or 32 bits or floats of 32 or 64 bits. Integers are divided by full scale, so
    /// that 16 bits become multiples of `1 / 32768`; floats stay as they are, also where they go beyond full scale.
    /// A data chunk of `u32::MAX` bytes, as programs write that do not know the length before, goes to the end of the
    /// file. The checksum of a FLAC file is checked where it has one.
    ///
    /// # Errors
    /// [`AudioError::UnknownFormat`], [`AudioError::TruncatedHeader`], [`AudioError::TruncatedData`] also when a length
    /// in the header is forged, [`AudioError::UnsupportedEncoding`], [`AudioError::Damaged`], and those of
    /// [`Self::new`].
    pub fn from_bytes(origin: &str, bytes: &[u8]) -> Result<Self, AudioError> {
        match bytes {
            [] => Err(AudioError::NoSamples { origin: origin.to_owned() }),
            [b'f', b'L', b'a', b'C', ..] => flac::decode(origin, bytes),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => wav::decode(origin, bytes),
            _ => Err(not_audio(origin, bytes)),
        }
    }

    /// The samples.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Samples per second.
    pub fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    /// How long it lasts.
    pub fn duration_seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate_hz)
    }

    /// The clips one after the other, with silence of `gap_seconds` between two of them, rounded to samples.
    ///
    /// # Errors
    /// [`AudioError::NothingToJoin`], [`AudioError::MixedRates`], [`AudioError::Gap`] unless the gap is 0 to 60 s,
    /// [`AudioError::TooManySamples`].
    pub fn join(clips: &[Self], gap_seconds: f64) -> Result<Self, AudioError> {
        let rate = clips.first().ok_or(AudioError::NothingToJoin)?.sample_rate_hz;
        if let Some(index) = clips.iter().position(|clip| clip.sample_rate_hz != rate) {
            return Err(AudioError::MixedRates { index, found: clips[index].sample_rate_hz, expected: rate });
        }
        if !(0.0..=MAX_GAP_SECONDS).contains(&gap_seconds) {
            return Err(AudioError::Gap { found: gap_seconds, max: MAX_GAP_SECONDS });
        }
        let n_gap = (gap_seconds * f64::from(rate)).round() as usize;
        let n_samples = clips.iter().map(|clip| clip.samples.len()).sum::<usize>() + n_gap * (clips.len() - 1);
        if n_samples > MAX_SAMPLES {
            return Err(AudioError::TooManySamples { origin: "the joined waveform".to_owned() });
        }
        let mut samples = Vec::with_capacity(n_samples);
        for (index, clip) in clips.iter().enumerate() {
            if index > 0 {
                samples.resize(samples.len() + n_gap, 0.0);
            }
            samples.extend_from_slice(&clip.samples);
        }
        Ok(Self { samples, sample_rate_hz: rate })
    }
}

pub(crate) fn check_rate(origin: &str, sample_rate_hz: u32) -> Result<(), AudioError> {
    match sample_rate_hz {
        1..=MAX_SAMPLE_RATE_HZ => Ok(()),
        found => Err(AudioError::SampleRate { origin: origin.to_owned(), found }),
    }
}

/// Why bytes are no audio file: cut short before it can be told, or something else.
fn not_audio(origin: &str, bytes: &[u8]) -> AudioError {
    let begins_like = |magic: &[u8]| bytes.len() < 12 && magic.starts_with(&bytes[..bytes.len().min(magic.len())]);
    if begins_like(b"RIFF") || begins_like(b"fLaC") {
        let part = "the first bytes, which name the format".to_owned();
        return AudioError::TruncatedHeader { origin: origin.to_owned(), part, n_bytes: bytes.len() };
    }
    let known = match bytes {
        [b'R', b'I', b'F', b'X', ..] => Some("a WAV file with big-endian numbers (RIFX)"),
        [b'R', b'F', b'6', b'4', ..] => Some("a WAV file of more than 4 GB (RF64)"),
        [b'R', b'I', b'F', b'F', ..] => Some("a RIFF file without sound (no WAVE)"),
        [b'O', b'g', b'g', b'S', ..] => Some("an Ogg file"),
        [b'F', b'O', b'R', b'M', ..] => Some("an AIFF file"),
        [b'.', b's', b'n', b'd', ..] => Some("an AU file"),
        [b'N', b'I', b'S', b'T', ..] => Some("a NIST SPHERE file"),
        [b'I', b'D', b'3', ..] => Some("a file that begins with an ID3 tag, as MP3 files do"),
        [0xff, second, ..] if second & 0xe0 == 0xe0 => Some("an MP3 or AAC stream"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some("an MP4 file"),
        _ => None,
    };
    let begin = || format!("of an unknown format (it begins with the bytes {:02x?})", &bytes[..bytes.len().min(4)]);
    AudioError::UnknownFormat { origin: origin.to_owned(), found: known.map_or_else(begin, str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waveform(samples: &[f32], rate: u32) -> Waveform {
        Waveform::new(samples.to_vec(), rate).unwrap()
    }

    #[test]
    fn joining_puts_silence_between() {
        let (one, other) = (waveform(&[0.5, 0.25], 10), waveform(&[-1.0], 10));
        let join = |clips: &[Waveform], gap| Waveform::join(clips, gap).unwrap();
        assert_eq!(join(&[one.clone(), other.clone()], 0.3), waveform(&[0.5, 0.25, 0.0, 0.0, 0.0, -1.0], 10));
        assert_eq!(join(&[one.clone(), other.clone(), other.clone()], 0.0), waveform(&[0.5, 0.25, -1.0, -1.0], 10));
        assert_eq!(join(std::slice::from_ref(&one), 60.0), one, "no gap after the last clip");
        assert_eq!(join(&[other.clone(), one], 0.04).samples().len(), 3, "0.4 samples round to none");
        assert!((other.duration_seconds() - 0.1).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_joined() {
        let (one, other) = (waveform(&[0.5], 8000), waveform(&[0.5], 16000));
        let join = |clips: &[Waveform], gap| Waveform::join(clips, gap).unwrap_err().to_string();
        assert_eq!(join(&[], 0.0), "no clips to join; one at least is needed");
        assert_eq!(
            join(&[one.clone(), one.clone(), other], 0.0),
            "clip 2 has a sample rate of 16000 Hz and the first one has 8000 Hz; resample before joining"
        );
        for gap in [-0.1, 60.5, f64::NAN, f64::INFINITY] {
            let expected = format!("a gap of {gap} seconds between clips; 0 to 60 are allowed");
            assert_eq!(join(&[one.clone(), one.clone()], gap), expected);
        }
        let fast = Waveform::new(vec![0.0], MAX_SAMPLE_RATE_HZ).unwrap();
        assert!(
            join(&[fast.clone(), fast.clone(), fast], 60.0).starts_with("the joined waveform has more than 67108864")
        );
    }

    #[test]
    fn what_is_no_waveform() {
        let new = |samples: Vec<f32>, rate| Waveform::new(samples, rate).unwrap_err().to_string();
        assert_eq!(new(vec![0.0], 0), "the waveform has a sample rate of 0 Hz; 1 to 768000 Hz are allowed");
        assert!(new(vec![0.0], MAX_SAMPLE_RATE_HZ + 1).contains("768001 Hz"));
        assert_eq!(new(vec![], 8000), "the waveform holds no samples");
        assert_eq!(new(vec![0.0, f32::NAN], 8000), "the waveform: sample 1 is NaN; samples must be finite");
        assert!(new(vec![f32::NEG_INFINITY], 8000).contains("sample 0 is -inf"));
    }

    #[test]
    fn other_formats_are_named() {
        let read = |bytes: &[u8]| Waveform::from_bytes("a.wav", bytes).unwrap_err().to_string();
        assert_eq!(read(b""), "a.wav holds no samples");
        assert_eq!(
            read(b"<html>"),
            "a.wav is of an unknown format (it begins with the bytes [3c, 68, 74, 6d]); WAV (RIFF) and FLAC files are \
             read, whatever their extension"
        );
        assert!(read(b"x").contains("begins with the bytes [78]"));
        assert!(read(b"OggS............").starts_with("a.wav is an Ogg file; WAV"));
        assert!(read(b"RIFF....AVI ....").contains("without sound"));
        assert!(read(b"RIFX....WAVE").contains("big-endian"));
        assert!(read(b"ID3.............").contains("ID3"));
        assert!(read(&[0xff, 0xfb, 0, 0]).contains("MP3"));
        for cut in ["R", "RIFF", "RIFF\0\0\0\0WAV", "fL"] {
            let expected = format!("ends at byte {}, in the first bytes, which name the format", cut.len());
            assert!(read(cut.as_bytes()).contains(&expected), "{cut}: {}", read(cut.as_bytes()));
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Waveform::read("no/such/clip.wav").unwrap_err();
        assert!(matches!(error, AudioError::Io { .. }));
        assert!(error.to_string().starts_with("no/such/clip.wav cannot be read: "), "{error}");
    }
}
