//! FLAC files, decoded by symphonia.

use std::io::{Cursor, ErrorKind, Read};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions, ReadOnlySource};
use symphonia::default::codecs::FlacDecoder;
use symphonia::default::formats::FlacReader;

use crate::waveform::check_rate;
use crate::{AudioError, MAX_SAMPLES, Waveform};

const MAGIC: &[u8; 4] = b"fLaC";
/// The STREAMINFO block, which is the first and the only one that must be there.
const STREAM_INFO_BYTES: usize = 34;
/// Marks the last block of metadata, in the first byte of its header.
const IS_LAST: u8 = 0x80;

/// A file, divided.
struct Parts<'a> {
    stream_info: &'a [u8; STREAM_INFO_BYTES],
    sample_rate_hz: u32,
    /// Samples per channel; 0 where the file does not say.
    n_samples: u64,
    /// The compressed frames.
    frames: &'a [u8],
}

/// The sound of a file that begins with `fLaC`.
pub(crate) fn decode(origin: &str, bytes: &[u8]) -> Result<Waveform, AudioError> {
    let parts = divide(origin, bytes)?;
    check_rate(origin, parts.sample_rate_hz)?;
    let samples = if parts.frames.is_empty() { Vec::new() } else { decode_frames(origin, &parts)? };
    let found = samples.len() as u64;
    if found < parts.n_samples {
        let (origin, unit) = (origin.to_owned(), "samples per channel");
        return Err(AudioError::TruncatedData { origin, found, expected: parts.n_samples, unit });
    }
    if parts.n_samples > 0 && found > parts.n_samples {
        return Err(damaged(origin, format!("it holds {found} samples and says {}", parts.n_samples)));
    }
    Waveform::checked(origin, samples, parts.sample_rate_hz)
}

/// Finds where metadata ends.
fn divide<'a>(origin: &str, bytes: &'a [u8]) -> Result<Parts<'a>, AudioError> {
    let cut = |part: &str| AudioError::TruncatedHeader {
        origin: origin.to_owned(),
        part: part.to_owned(),
        n_bytes: bytes.len(),
    };
    let mut rest = bytes.get(MAGIC.len()..).unwrap_or_default();
    let mut stream_info = None;
    loop {
        let (header, body) = rest.split_first_chunk::<4>().ok_or_else(|| cut("the blocks of metadata"))?;
        let n_bytes = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        if stream_info.is_none() && (header[0] & !IS_LAST != 0 || n_bytes != STREAM_INFO_BYTES) {
            return Err(damaged(origin, "it does not begin with a STREAMINFO block of 34 bytes"));
        }
        let block = body.get(..n_bytes).ok_or_else(|| cut("a block of metadata"))?;
        let info = *stream_info.get_or_insert(block);
        rest = &body[n_bytes..];
        if header[0] & IS_LAST != 0 {
            // The first block was found to have this length.
            let stream_info = info.first_chunk().ok_or_else(|| cut("the STREAMINFO block"))?;
            return Ok(parts(stream_info, rest));
        }
    }
}

/// Reads the STREAMINFO block: after two lengths of blocks and two of frames, 20 bits of sample rate, 3 of channels, 5
/// of sample size, 36 of length, and the checksum.
///
/// Source: RFC 9639, section 8.2.
fn parts<'a>(stream_info: &'a [u8; STREAM_INFO_BYTES], frames: &'a [u8]) -> Parts<'a> {
    let [.., a, b, c, d, e, f, g, h] = *stream_info.first_chunk::<18>().unwrap_or(&[0; 18]);
    let packed = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    Parts { stream_info, sample_rate_hz: (packed >> 44) as u32, n_samples: packed & ((1 << 36) - 1), frames }
}

fn decode_frames(origin: &str, parts: &Parts<'_>) -> Result<Vec<f32>, AudioError> {
    let fault = |error: Error| damaged(origin, format!("the FLAC decoder says: {error}"));
    // The decoder sees no metadata but STREAMINFO: pictures and tags hold lengths of their own, which may be forged.
    let mut head = MAGIC.to_vec();
    head.extend([IS_LAST, 0, 0, STREAM_INFO_BYTES as u8]);
    head.extend(parts.stream_info);
    let source = ReadOnlySource::new(Cursor::new(head).chain(parts.frames));
    let source = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
    let mut reader = match FlacReader::try_new(source, FormatOptions::default()) {
        Ok(reader) => reader,
        // It looks for the first frame at once.
        Err(error) if is_end(&error) => return Ok(Vec::new()),
        Err(error) => return Err(fault(error)),
    };
    let Some(CodecParameters::Audio(parameters)) = reader.tracks().first().and_then(|track| track.codec_params.clone())
    else {
        return Err(damaged(origin, "it has no track of audio"));
    };
    let mut options = AudioDecoderOptions::default();
    options.verify = true;
    let mut decoder = FlacDecoder::try_new(&parameters, &options).map_err(fault)?;
    let (mut samples, mut interleaved) = (Vec::new(), Vec::<f32>::new());
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(error) if is_end(&error) => break,
            Err(error) => return Err(fault(error)),
        };
        let block = decoder.decode(&packet).map_err(fault)?;
        block.copy_to_vec_interleaved(&mut interleaved);
        let n_channels = block.num_planes().max(1);
        samples.extend(interleaved.chunks_exact(n_channels).map(mean));
        if samples.len() > MAX_SAMPLES {
            return Err(AudioError::TooManySamples { origin: origin.to_owned() });
        }
    }
    // What is cut short has another checksum too; the caller says so better.
    let is_whole = samples.len() as u64 >= parts.n_samples;
    if is_whole && decoder.finalize().verify_ok == Some(false) {
        return Err(damaged(origin, "its samples do not have the MD5 checksum in its header"));
    }
    Ok(samples)
}

fn mean(frame: &[f32]) -> f32 {
    (frame.iter().copied().map(f64::from).sum::<f64>() / frame.len() as f64) as f32
}

fn is_end(error: &Error) -> bool {
    matches!(error, Error::IoError(error) if error.kind() == ErrorKind::UnexpectedEof)
}

fn damaged(origin: &str, message: impl Into<String>) -> AudioError {
    AudioError::Damaged { origin: origin.to_owned(), message: message.into() }
}
