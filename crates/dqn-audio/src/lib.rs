//! From an audio file to the frames a network reads.
//!
//! Read the modules in the order in which a clip passes through them: a [`Waveform`] is read from a WAV or FLAC file,
//! brought to one rate, perhaps to another speed, and joined with others; [`LogMel`] makes [`Frames`] of it, which are
//! normalised per clip, and [`SpecAugment`] hides parts of them while a network learns.
//!
//! What it does not do: other formats, recording, streams longer than memory, deltas of features, stacking or leaving
//! out of frames (the network's part), time warping, volume perturbation (normalisation takes it back), noise.

mod error;
mod flac;
mod frames;
mod log_mel;
mod mel_filters;
mod resample;
mod spec_augment;
mod wav;
mod waveform;

pub use error::AudioError;
pub use frames::Frames;
pub use log_mel::{LogMel, LogMelConfig};
pub use spec_augment::{SpecAugment, SpecAugmentConfig};
pub use waveform::{MAX_FILE_BYTES, MAX_SAMPLE_RATE_HZ, MAX_SAMPLES, Waveform};
