//! WAV files: RIFF chunks around plain samples.
//!
//! Written here and not taken from a crate, because an error has to say what was found: hound and symphonia keep that
//! to themselves. symphonia besides reads 26 channels at most, and hound stumbles over chunks of odd length.

use crate::waveform::check_rate;
use crate::{AudioError, Waveform};

/// Sub-format of `WAVE_FORMAT_EXTENSIBLE` after its first two bytes, which are a format tag.
const SUB_FORMAT_END: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];
const EXTENSIBLE: u16 = 0xfffe;
/// Length of the fmt chunk without and with the extension that holds the sub-format.
const FORMAT_BYTES: usize = 16;
const EXTENDED_FORMAT_BYTES: usize = 40;
/// What programs write as the length of data that they do not know before.
const UNKNOWN_LENGTH: u32 = u32::MAX;

/// What the fmt chunk says.
struct Format {
    n_channels: usize,
    sample_rate_hz: u32,
    encoding: Encoding,
}

#[derive(Clone, Copy)]
enum Encoding {
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
}

impl Encoding {
    fn n_bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// A sample of [`Self::n_bytes`] bytes, full scale being -1 to 1; other lengths give 0.
    fn sample(self, bytes: &[u8]) -> f64 {
        match (self, bytes) {
            (Self::U8, &[a]) => (f64::from(a) - 128.0) / 128.0,
            (Self::I16, &[a, b]) => f64::from(i16::from_le_bytes([a, b])) / 32_768.0,
            // The lowest byte of 32 bits is 0 where there are 24.
            (Self::I24, &[a, b, c]) => f64::from(i32::from_le_bytes([0, a, b, c])) / 2_147_483_648.0,
            (Self::I32, &[a, b, c, d]) => f64::from(i32::from_le_bytes([a, b, c, d])) / 2_147_483_648.0,
            (Self::F32, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
            (Self::F64, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => 0.0,
        }
    }
}

/// The sound of a file that begins with `RIFF....WAVE`.
///
/// The length of the whole, bytes 4 to 8, is not looked at: many programs write it wrong, and the chunks know better.
pub(crate) fn decode(origin: &str, bytes: &[u8]) -> Result<Waveform, AudioError> {
    let cut = |part: String| AudioError::TruncatedHeader { origin: origin.to_owned(), part, n_bytes: bytes.len() };
    let mut rest = bytes.get(12..).unwrap_or_default();
    let mut format = None;
    loop {
        let Some((header, body)) = rest.split_first_chunk::<8>() else {
            return Err(cut(match format {
                Some(_) => "or before, the data chunk".to_owned(),
                None => "or before, the fmt chunk".to_owned(),
            }));
        };
        let (id, length) = (&header[..4], u32::from_le_bytes([header[4], header[5], header[6], header[7]]));
        if id == b"data" {
            let format = format.ok_or_else(|| damaged(origin, "its data chunk comes before its fmt chunk"))?;
            return samples(origin, &format, data(origin, body, length)?);
        }
        let n_bytes = length as usize;
        let Some(chunk) = body.get(..n_bytes) else {
            return Err(cut(format!("the chunk {:?}, which should have {n_bytes} bytes", String::from_utf8_lossy(id))));
        };
        if id == b"fmt " {
            format = Some(read_format(origin, chunk)?);
        }
        // Chunks begin at even places; the byte between is often left out at the end of a file.
        rest = body.get(n_bytes + n_bytes % 2..).unwrap_or_default();
    }
}

/// The data chunk, as long as its header says.
fn data<'a>(origin: &str, body: &'a [u8], length: u32) -> Result<&'a [u8], AudioError> {
    if length == UNKNOWN_LENGTH {
        return Ok(body);
    }
    body.get(..length as usize).ok_or_else(|| AudioError::TruncatedData {
        origin: origin.to_owned(),
        found: body.len() as u64,
        expected: length.into(),
        unit: "bytes",
    })
}

fn samples(origin: &str, format: &Format, data: &[u8]) -> Result<Waveform, AudioError> {
    let &Format { n_channels, sample_rate_hz, encoding } = format;
    let frame_bytes = n_channels * encoding.n_bytes();
    if !data.len().is_multiple_of(frame_bytes) {
        let message = format!("{} bytes of audio data are not whole frames of {frame_bytes} bytes", data.len());
        return Err(damaged(origin, message));
    }
    if data.len() / frame_bytes > crate::MAX_SAMPLES {
        return Err(AudioError::TooManySamples { origin: origin.to_owned() });
    }
    let frame_mean = |frame: &[u8]| {
        let sum: f64 = frame.chunks_exact(encoding.n_bytes()).map(|bytes| encoding.sample(bytes)).sum();
        (sum / n_channels as f64) as f32
    };
    Waveform::checked(origin, data.chunks_exact(frame_bytes).map(frame_mean).collect(), sample_rate_hz)
}

fn read_format(origin: &str, chunk: &[u8]) -> Result<Format, AudioError> {
    let too_short = |needed: usize| {
        damaged(origin, format!("its fmt chunk has {} bytes; at least {needed} are needed", chunk.len()))
    };
    if chunk.len() < FORMAT_BYTES {
        return Err(too_short(FORMAT_BYTES));
    }
    let number = |at: usize| u16::from_le_bytes([chunk[at], chunk[at + 1]]);
    let (n_channels, frame_bytes, n_bits) = (usize::from(number(2)), usize::from(number(12)), number(14));
    let sample_rate_hz = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
    let tag = match number(0) {
        EXTENSIBLE if chunk.len() < EXTENDED_FORMAT_BYTES => return Err(too_short(EXTENDED_FORMAT_BYTES)),
        EXTENSIBLE if chunk[26..EXTENDED_FORMAT_BYTES] != SUB_FORMAT_END => EXTENSIBLE,
        EXTENSIBLE => number(24),
        tag => tag,
    };
    let encoding = match (tag, n_bits) {
        (1, 8) => Encoding::U8,
        (1, 16) => Encoding::I16,
        (1, 24) => Encoding::I24,
        (1, 32) => Encoding::I32,
        (3, 32) => Encoding::F32,
        (3, 64) => Encoding::F64,
        _ => {
            return Err(AudioError::UnsupportedEncoding {
                origin: origin.to_owned(),
                found: encoding_name(tag, n_bits),
            });
        }
    };
    check_rate(origin, sample_rate_hz)?;
    if n_channels == 0 {
        return Err(damaged(origin, "it has 0 channels"));
    }
    let expected = n_channels * encoding.n_bytes();
    if frame_bytes != expected {
        let message =
            format!("{n_channels} channels of {n_bits} bits take {expected} bytes, and it says {frame_bytes}");
        return Err(damaged(origin, message));
    }
    Ok(Format { n_channels, sample_rate_hz, encoding })
}

fn encoding_name(tag: u16, n_bits: u16) -> String {
    match tag {
        1 => format!("integers of {n_bits} bits"),
        3 => format!("floats of {n_bits} bits"),
        2 | 0x11 => "ADPCM samples".to_owned(),
        6 => "A-law samples".to_owned(),
        7 => "mu-law samples".to_owned(),
        0x50 | 0x55 => "MPEG audio".to_owned(),
        EXTENSIBLE => "samples of an unknown sub-format".to_owned(),
        tag => format!("samples of the unknown format {tag:#06x}"),
    }
}

fn damaged(origin: &str, message: impl Into<String>) -> AudioError {
    AudioError::Damaged { origin: origin.to_owned(), message: message.into() }
}
