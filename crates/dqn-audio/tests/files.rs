//! Reading audio files: against libsndfile, against hound as a writer, and files that are cut short, damaged or forged.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Cursor;

use dqn_audio::{AudioError, Waveform};
use hound::{SampleFormat, WavSpec, WavWriter};
use proptest::prelude::*;
use serde::Deserialize;

/// What golden/make_audio_files.py writes.
#[derive(Deserialize)]
struct Golden {
    tool: String,
    cases: Vec<Case>,
    unsupported: Vec<Unsupported>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    sample_rate_hz: u32,
    file: String,
    samples: Vec<f64>,
}

#[derive(Deserialize)]
struct Unsupported {
    name: String,
    file: String,
}

fn golden() -> Golden {
    let golden: Golden = serde_json::from_str(include_str!("golden/audio_files.json")).unwrap();
    assert_eq!(golden.tool, "soundfile");
    golden
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn golden_file(name: &str) -> Vec<u8> {
    bytes(&golden().cases.iter().find(|case| case.name == name).unwrap().file)
}

fn fault(bytes: &[u8]) -> String {
    Waveform::from_bytes("a.wav", bytes).unwrap_err().to_string()
}

/// A WAV file of 16 bits by hound.
fn wav(samples: &[i16], n_channels: u16) -> Vec<u8> {
    let spec =
        WavSpec { channels: n_channels, sample_rate: 8000, bits_per_sample: 16, sample_format: SampleFormat::Int };
    written(spec, samples)
}

fn written<S: hound::Sample + Copy>(spec: WavSpec, samples: &[S]) -> Vec<u8> {
    let mut buffer = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut buffer, spec).unwrap();
    for &sample in samples {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
    buffer.into_inner()
}

/// The bytes with others at a place.
fn patched(bytes: &[u8], at: usize, others: &[u8]) -> Vec<u8> {
    let mut patched = bytes.to_vec();
    patched[at..at + others.len()].copy_from_slice(others);
    patched
}

#[test]
fn files_of_libsndfile() {
    let golden = golden();
    assert_eq!(golden.cases.len(), 48);
    for Case { name, sample_rate_hz, file, samples } in golden.cases {
        let waveform = Waveform::from_bytes(&name, &bytes(&file)).unwrap();
        assert_eq!(waveform.sample_rate_hz(), sample_rate_hz, "{name}");
        assert_eq!(waveform.samples().len(), samples.len(), "{name}");
        for (&found, expected) in waveform.samples().iter().zip(samples) {
            assert!((f64::from(found) - expected).abs() < 1e-7, "{name}: {found}, expected {expected}");
        }
    }
}

#[test]
fn other_files_of_libsndfile_are_refused_by_name() {
    let found: Vec<(String, String)> =
        golden().unsupported.into_iter().map(|file| (file.name, fault(&bytes(&file.file)))).collect();
    let expected = [
        ("WAV ULAW", "a.wav holds mu-law samples; WAV files are read with integers of 8, 16, 24 or 32 bits and"),
        ("WAV ALAW", "a.wav holds A-law samples;"),
        ("WAV IMA_ADPCM", "a.wav holds ADPCM samples;"),
        ("AIFF PCM_16", "a.wav is an AIFF file; WAV (RIFF) and FLAC files are read, whatever their extension"),
        ("OGG VORBIS", "a.wav is an Ogg file;"),
        ("AU PCM_16", "a.wav is an AU file;"),
    ];
    assert_eq!(found.len(), expected.len());
    for ((name, found), (expected_name, expected)) in found.iter().zip(expected) {
        assert_eq!(name, expected_name);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn the_extension_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mp3");
    std::fs::write(&path, wav(&[100, -200], 1)).unwrap();
    assert_eq!(Waveform::read(&path).unwrap().samples(), [100.0 / 32768.0, -200.0 / 32768.0]);
    let path = folder.path().join("clip.wav");
    std::fs::write(&path, golden_file("mono, FLAC PCM_16")).unwrap();
    assert_eq!(Waveform::read(&path).unwrap().samples().len(), 24);
    std::fs::write(&path, "").unwrap();
    let error = Waveform::read(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("{} holds no samples", path.display()));
    assert!(Waveform::read(folder.path()).unwrap_err().to_string().contains("cannot be read: "));
}

#[test]
fn chunks_before_and_after_the_data_are_skipped() {
    let file = wav(&[1, 2, 3], 1);
    let mut with_chunks = file[..12].to_vec();
    // Three bytes and one of padding, then the format, then the data and a chunk after it.
    with_chunks.extend(b"LIST\x03\0\0\0abc\0");
    with_chunks.extend(&file[12..]);
    with_chunks.extend(b"note\xff\xff\0\0");
    assert_eq!(Waveform::from_bytes("a", &with_chunks).unwrap(), Waveform::from_bytes("a", &file).unwrap());
}

#[test]
fn a_length_that_was_not_known_goes_to_the_end() {
    let file = wav(&[1, 2, 3], 1);
    let piped = patched(&patched(&file, 4, &[0xff; 4]), 40, &[0xff; 4]);
    assert_eq!(Waveform::from_bytes("a", &piped).unwrap(), Waveform::from_bytes("a", &file).unwrap());
}

#[test]
fn wav_files_that_are_cut_short_or_forged() {
    let file = wav(&[1, 2, 3], 1);
    assert_eq!(file.len(), 50, "a header of 44 bytes");
    let data = "a.wav is cut short, or its header is wrong: it should hold";
    assert_eq!(fault(&file[..47]), format!("{data} 6 bytes of audio data and holds 3"));
    assert_eq!(fault(&file[..44]), format!("{data} 6 bytes of audio data and holds 0"));
    let forged = patched(&file, 40, &0xfffffff0_u32.to_le_bytes());
    assert_eq!(fault(&forged), format!("{data} 4294967280 bytes of audio data and holds 6"));
    let header = "a.wav is cut short in its header: it ends at byte";
    assert_eq!(fault(&file[..43]), format!("{header} 43, in or before, the data chunk"));
    assert_eq!(fault(&file[..36]), format!("{header} 36, in or before, the data chunk"));
    assert_eq!(fault(&file[..12]), format!("{header} 12, in or before, the fmt chunk"));
    assert_eq!(fault(&file[..30]), format!("{header} 30, in the chunk \"fmt \", which should have 16 bytes"));
    let forged = patched(&file, 16, &0x7fffffff_u32.to_le_bytes());
    assert_eq!(fault(&forged), format!("{header} 50, in the chunk \"fmt \", which should have 2147483647 bytes"));
    assert_eq!(fault(&wav(&[], 1)), "a.wav holds no samples");
    assert_eq!(
        fault(&[&file[..12], &file[36..]].concat()),
        "a.wav is damaged: its data chunk comes before its fmt chunk"
    );
    let odd = patched(&file[..49], 40, &5_u32.to_le_bytes());
    assert_eq!(fault(&odd), "a.wav is damaged: 5 bytes of audio data are not whole frames of 2 bytes");
}

#[test]
fn wav_headers_that_make_no_sense() {
    let file = wav(&[1, 2, 3], 1);
    let u16_at = |at: usize, value: u16| fault(&patched(&file, at, &value.to_le_bytes()));
    assert_eq!(fault(&patched(&file, 24, &[0; 4])), "a.wav has a sample rate of 0 Hz; 1 to 768000 Hz are allowed");
    assert!(fault(&patched(&file, 24, &[0xff; 4])).contains("4294967295 Hz"));
    assert_eq!(u16_at(22, 0), "a.wav is damaged: it has 0 channels");
    assert_eq!(u16_at(22, 65535), "a.wav is damaged: 65535 channels of 16 bits take 131070 bytes, and it says 2");
    assert_eq!(u16_at(32, 4), "a.wav is damaged: 1 channels of 16 bits take 2 bytes, and it says 4");
    assert!(u16_at(34, 20).starts_with("a.wav holds integers of 20 bits;"));
    assert!(u16_at(34, 0).starts_with("a.wav holds integers of 0 bits;"));
    assert!(u16_at(20, 3).starts_with("a.wav holds floats of 16 bits;"));
    assert!(u16_at(20, 0x1234).starts_with("a.wav holds samples of the unknown format 0x1234;"));
    assert_eq!(u16_at(20, 0xfffe), "a.wav is damaged: its fmt chunk has 16 bytes; at least 40 are needed");
    let extended = golden_file("mono, WAVEX PCM_16");
    assert!(fault(&patched(&extended, 50, &[1])).starts_with("a.wav holds samples of an unknown sub-format;"));
}

#[test]
fn floats_that_are_no_numbers() {
    let spec = WavSpec { channels: 2, sample_rate: 8000, bits_per_sample: 32, sample_format: SampleFormat::Float };
    let file = written(spec, &[0.5_f32, 1.5, f32::NAN, 0.0]);
    assert_eq!(fault(&file), "a.wav: sample 1 is NaN; samples must be finite");
    let file = written(spec, &[0.5_f32, 1.5]);
    assert_eq!(Waveform::from_bytes("a", &file).unwrap().samples(), [1.0], "above full scale is no fault");
}

#[test]
fn flac_files_that_are_cut_short_or_forged() {
    let file = golden_file("chirp, FLAC PCM_16");
    assert_eq!(Waveform::from_bytes("a", &file).unwrap().samples().len(), 4500);
    for n_bytes in 4..file.len() {
        let error = Waveform::from_bytes("a", &file[..n_bytes]).unwrap_err();
        let is_cut =
            matches!(error, AudioError::TruncatedHeader { .. } | AudioError::TruncatedData { expected: 4500, .. });
        assert!(is_cut, "{n_bytes} bytes: {error}");
    }
    // The length: 36 bits that end at byte 25.
    let forged = patched(&file, 22, &[0xff; 4]);
    let found = fault(&forged);
    assert!(found.contains("should hold 4294967295 samples per channel of audio data and holds 4500"), "{found}");
    assert_eq!(
        fault(&patched(&file, 22, &4499_u32.to_be_bytes())),
        "a.wav is damaged: it holds 4500 samples and says 4499"
    );
    assert_eq!(
        fault(&patched(&file, 26, &[0; 15])),
        "a.wav is damaged: its samples do not have the MD5 checksum in its header"
    );
    assert!(Waveform::from_bytes("a", &patched(&file, 26, &[0; 16])).is_ok(), "no checksum is no fault");
    assert_eq!(
        fault(&patched(&file, 18, &[0, 0, file[20] & 0xf])),
        "a.wav has a sample rate of 0 Hz; 1 to 768000 Hz are allowed"
    );
    assert_eq!(
        fault(&patched(&file, 4, &[0x81])),
        "a.wav is damaged: it does not begin with a STREAMINFO block of 34 bytes"
    );
    let empty = patched(&file[..42], 4, &[0x80]);
    assert_eq!(fault(&patched(&empty, 21, &[empty[21] & 0xf0, 0, 0, 0, 0])), "a.wav holds no samples");
    assert!(fault(&empty).contains("should hold 4500 samples per channel of audio data and holds 0"));
}

/// What a damaged byte makes: an error or, where it stands in a place nobody reads, the same sound.
#[test]
fn a_damaged_byte_of_flac_is_found() {
    for name in ["chirp, FLAC PCM_16", "stereo, FLAC PCM_24", "silence, FLAC PCM_16"] {
        let file = golden_file(name);
        let sound = Waveform::from_bytes("a", &file).unwrap();
        for at in 42..file.len() {
            if let Ok(found) = Waveform::from_bytes("a", &patched(&file, at, &[!file[at]])) {
                assert_eq!(found, sound, "{name}, byte {at}");
            }
        }
    }
}

proptest! {
    #[test]
    fn what_hound_writes_is_read_back(
        n_channels in 1_u16..40, n_frames in 1_usize..20,
        bits_per_sample in prop_oneof![Just(8_u16), Just(16), Just(24), Just(32)],
        seed in prop::collection::vec(any::<i32>(), 800),
    ) {
        let samples: Vec<i32> =
            seed[..usize::from(n_channels) * n_frames].iter().map(|sample| sample >> (32 - bits_per_sample)).collect();
        let sample_format = SampleFormat::Int;
        let spec = WavSpec { channels: n_channels, sample_rate: 16000, bits_per_sample, sample_format };
        let waveform = Waveform::from_bytes("a", &written(spec, &samples)).unwrap();
        prop_assert_eq!(waveform.sample_rate_hz(), 16000);
        prop_assert_eq!(waveform.samples().len(), n_frames);
        let scale = f64::from(n_channels) * 2.0_f64.powi(i32::from(bits_per_sample) - 1);
        for (frame, &found) in samples.chunks(n_channels.into()).zip(waveform.samples()) {
            let expected = frame.iter().map(|&sample| f64::from(sample)).sum::<f64>() / scale;
            prop_assert!((f64::from(found) - expected).abs() < 1e-7);
        }
    }

    #[test]
    fn floats_are_read_back(samples in prop::collection::vec(-1.0_f32..1.0, 1..50)) {
        let spec = WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 32, sample_format: SampleFormat::Float };
        let waveform = Waveform::from_bytes("a", &written(spec, &samples)).unwrap();
        prop_assert_eq!(waveform.samples(), samples);
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..80), begin in 0_usize..3) {
        let begins: [&[u8]; 3] = [b"", b"fLaC\x80\0\0\x22", b"RIFF\0\0\0\0WAVE"];
        bytes.splice(..0, begins[begin].iter().copied());
        if let Err(error) = Waveform::from_bytes("a.wav", &bytes) {
            prop_assert!(error.to_string().starts_with("a.wav"));
        }
    }
}
