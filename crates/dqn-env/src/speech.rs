//! Speech recognition: a recording is given, and what is said in it is to be written.

use std::path::{Path, PathBuf};

use dqn_audio::{Frames, LogMel, LogMelConfig, SpecAugmentConfig, Waveform};
use dqn_text::speech::{SpeechClip, SpeechManifest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;

/// Settings of the task `speech`.
///
/// Manifests have a recording a line, `path<TAB>transcript` or `path<TAB>transcript<TAB>speaker`, with paths that start at
/// the manifest; a path of several files of one folder, divided by `+`, stands for their sounds one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpeechConfig {
    /// The manifest to learn from; relative paths start at the experiment file.
    pub training: PathBuf,
    /// The manifest to tune on.
    pub validation: PathBuf,
    /// The manifest to report on.
    pub test: PathBuf,
    /// What is made of a sound. Recordings of any rate are brought to that of the features.
    #[serde(default)]
    pub features: LogMelConfig,
    /// What of a recording is brought to mean 0 and variance 1. Default `clip`.
    #[serde(default)]
    pub normalize: Normalize,
    /// Other speeds at which the training recordings are learned from, too, for example `[0.9, 1.1]` (Ko et al. 2015).
    /// Default none.
    #[serde(default)]
    #[schemars(inner(range(min = 0.5, max = 2.0)))]
    pub speeds: Vec<f64>,
    /// Hide parts of a recording while learning. Leave it out to hide nothing.
    #[serde(default)]
    pub augmentation: Option<SpecAugmentConfig>,
    /// Silence between the sounds of a recording of several files, in seconds. Default 0.1.
    #[serde(default = "default_gap_seconds")]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub gap_seconds: f64,
    /// Most tokens of a transcript, its end included. Recordings with longer ones are not learned from. Default 64.
    #[serde(default = "default_max_tokens")]
    #[schemars(range(min = 1))]
    pub max_tokens: usize,
}

fn default_gap_seconds() -> f64 {
    0.1
}

fn default_max_tokens() -> usize {
    64
}

/// What of a recording is brought to mean 0 and variance 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalize {
    /// Nothing.
    None,
    /// All of it together: how loud it is does not matter, and which bands are loud remains. A word of a third of a second
    /// is known by these.
    #[default]
    Clip,
    /// Each band for itself (cepstral mean and variance normalisation): through which microphone it came does not matter
    /// either. It takes recordings of several seconds, whose mean says nothing of the words.
    Bands,
}

/// A recording as a network reads it, and what is said.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    /// The features.
    pub frames: Frames,
    /// The words.
    pub transcript: String,
}

/// The recordings of all parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterances {
    /// To learn from; those at other speeds come after those at their own.
    pub training: Vec<Utterance>,
    /// To tune on.
    pub validation: Vec<Utterance>,
    /// To report on.
    pub test: Vec<Utterance>,
}

/// From a recording to what a network reads.
#[derive(Clone)]
pub struct Listener {
    log_mel: LogMel,
    sample_rate_hz: u32,
    normalize: Normalize,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sample_rate_hz, normalize, .. } = self;
        out.debug_struct("Listener").field("sample_rate_hz", sample_rate_hz).field("normalize", normalize).finish()
    }
}

impl Listener {
    /// The features of a sound.
    ///
    /// # Errors
    /// When it cannot be resampled.
    pub fn frames(&self, waveform: &Waveform) -> Result<Frames, EnvError> {
        let mut frames = self.log_mel.frames(&waveform.resampled(self.sample_rate_hz)?)?;
        match self.normalize {
            Normalize::None => {}
            Normalize::Clip => frames.normalize_whole(),
            Normalize::Bands => frames.normalize(),
        }
        Ok(frames)
    }

    /// The features of a WAV or FLAC file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &Path) -> Result<Frames, EnvError> {
        self.frames(&Waveform::read(path)?)
    }
}

impl SpeechConfig {
    /// The paths of the manifests.
    pub fn paths_mut(&mut self) -> Vec<&mut PathBuf> {
        vec![&mut self.training, &mut self.validation, &mut self.test]
    }

    /// What makes features of recordings.
    ///
    /// # Errors
    /// For features that cannot be made.
    pub fn listener(&self) -> Result<Listener, EnvError> {
        Ok(Listener {
            log_mel: LogMel::new(&self.features)?,
            sample_rate_hz: self.features.sample_rate_hz,
            normalize: self.normalize,
        })
    }

    /// Reads the recordings of all parts. Their features are all in memory, 16 kB for a second at the default settings.
    ///
    /// # Errors
    /// When a manifest or a recording cannot be read.
    pub fn read(&self) -> Result<Utterances, EnvError> {
        let listener = self.listener()?;
        let speeds: Vec<f64> = [1.0].into_iter().chain(self.speeds.iter().copied()).collect();
        let part = |manifest: &Path, speeds: &[f64]| -> Result<Vec<Utterance>, EnvError> {
            let mut of_speed: Vec<Vec<Utterance>> = vec![Vec::new(); speeds.len()];
            for clip in SpeechManifest::open(manifest)? {
                let SpeechClip { path, transcript, .. } = clip?;
                let waveform = self.sound(&path)?;
                for (utterances, &speed) in of_speed.iter_mut().zip(speeds) {
                    let frames = match speed {
                        1.0 => listener.frames(&waveform)?,
                        _ => listener.frames(&waveform.at_speed(speed)?)?,
                    };
                    utterances.push(Utterance { frames, transcript: transcript.clone() });
                }
            }
            Ok(of_speed.concat())
        };
        Ok(Utterances {
            training: part(&self.training, &speeds)?,
            validation: part(&self.validation, &[1.0])?,
            test: part(&self.test, &[1.0])?,
        })
    }

    /// The sound of one file, or of several one after the other.
    fn sound(&self, path: &Path) -> Result<Waveform, EnvError> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.contains('+') || path.is_file() {
            return Ok(Waveform::read(path)?);
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let read = |name| Ok(Waveform::read(folder.join(name))?.resampled(self.features.sample_rate_hz)?);
        let clips = name.split('+').map(read).collect::<Result<Vec<_>, EnvError>>()?;
        Ok(Waveform::join(&clips, self.gap_seconds)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A second of a tone at 8 kHz, as a 16-bit WAV file.
    fn tone(path: &Path, hertz: f64) {
        let samples = (0..8000).map(|index| (f64::from(index) * hertz / 8000.0 * std::f64::consts::TAU).sin());
        let data: Vec<u8> = samples.flat_map(|sample| ((sample * 20_000.0) as i16).to_le_bytes()).collect();
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((36 + data.len() as u32).to_le_bytes());
        bytes.extend(b"WAVEfmt ");
        bytes.extend(16_u32.to_le_bytes());
        bytes.extend([1_u16, 1].iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend([8000_u32, 16_000].iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend([2_u16, 16].iter().flat_map(|value| value.to_le_bytes()));
        bytes.extend(b"data");
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(data);
        std::fs::write(path, bytes).unwrap();
    }

    fn config(folder: &Path, manifest: &str, more: serde_json::Value) -> SpeechConfig {
        std::fs::write(folder.join("m.tsv"), manifest).unwrap();
        let mut value = json!({ "training": "m.tsv", "validation": "m.tsv", "test": "m.tsv" });
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut config: SpeechConfig = serde_json::from_value(value).unwrap();
        config.paths_mut().into_iter().for_each(|path| *path = folder.join(&*path));
        config
    }

    #[test]
    fn recordings_are_joined_and_learned_from_at_other_speeds() {
        let folder = tempfile::tempdir().unwrap();
        tone(&folder.path().join("a.wav"), 440.0);
        tone(&folder.path().join("b.wav"), 880.0);
        let manifest = "a.wav\tone\na.wav+b.wav\tone two\tsomeone\n";
        let found = config(folder.path(), manifest, json!({ "speeds": [2.0] })).read().unwrap();
        let lengths = |part: &[Utterance]| -> Vec<usize> { part.iter().map(|one| one.frames.n_frames()).collect() };
        // A hop of 80 samples: 8,000 of them, then 16,800; at twice the speed half as many.
        assert_eq!(lengths(&found.training), [101, 211, 51, 106]);
        assert_eq!(lengths(&found.test), [101, 211]);
        assert_eq!(found.training[3].transcript, "one two");
    }

    #[test]
    fn what_is_normalised_has_mean_zero() {
        let folder = tempfile::tempdir().unwrap();
        tone(&folder.path().join("a.wav"), 440.0);
        let means = |normalize: &str| {
            let more = json!({ "normalize": normalize });
            let found = config(folder.path(), "a.wav\tone\n", more).read().unwrap();
            let frames = &found.test[0].frames;
            let values = frames.values();
            let of_first_band: f32 = values.iter().step_by(frames.n_mels()).sum();
            [values.iter().sum::<f32>() / values.len() as f32, of_first_band / frames.n_frames() as f32]
        };
        assert!(means("none")[0] < -1.0);
        let [whole, band] = means("clip");
        assert!(whole.abs() < 1e-4 && band.abs() > 0.05, "{whole}, {band}");
        assert!(means("bands").iter().all(|mean| mean.abs() < 1e-4));
    }

    #[test]
    fn a_missing_recording_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = config(folder.path(), "gone.wav\tone\n", json!({})).read().unwrap_err();
        assert!(error.to_string().contains("gone.wav"), "{error}");
    }
}
