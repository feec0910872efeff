//! Numbers in words, spoken by the synthesiser espeak-ng.
//!
//! The plan says which number which voice speaks at which speed, and depends on nothing outside; so manifests are the same
//! everywhere, and only the sound depends on the version of espeak-ng.

mod espeak;
mod plan;
mod wave;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

pub(super) use self::espeak::Espeak;
use self::plan::Clip;
use self::wave::Wave;

/// A longer clip is a fault of the plan.
const MAX_SECONDS: f64 = 3.0;
/// The rate of the shipped clips, that of a telephone: they are small. The others keep the rate of espeak-ng.
const SMOKE_HZ: u32 = 8_000;

/// Speaks the data set `name` into `folder`: clips, manifests, and, of what is not shipped, a note on its making.
pub(super) fn synthesise(espeak: &Espeak, name: &str, folder: &Path) -> Result<()> {
    let (clips, rate) = match name {
        "spoken-numbers" => (plan::spoken_numbers()?, None),
        "speech-smoke" => (plan::speech_smoke(), Some(SMOKE_HZ)),
        _ => bail!("there is no plan for {name:?}; there are spoken-numbers and speech-smoke"),
    };
    for clip in &clips {
        let path = folder.join(&clip.file);
        super::create_folder_of(&path)?;
        espeak.speak(clip, &path)?;
        finish(&path, rate).with_context(|| format!("{} says {:?}", path.display(), clip.transcript))?;
    }
    for (manifest, text) in manifests(&clips) {
        write(&folder.join(manifest), text.as_bytes())?;
    }
    if rate.is_none() {
        let note = format!("Spoken by espeak-ng {}; data/README.md says how.\n", espeak.version());
        write(&folder.join("README"), note.as_bytes())?;
    }
    Ok(())
}

/// Checks what espeak-ng wrote, and writes it again at another rate where one is wanted.
fn finish(path: &Path, rate: Option<u32>) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let wave = Wave::parse(&bytes)?;
    let seconds = wave.seconds();
    if !(0.1..=MAX_SECONDS).contains(&seconds) {
        bail!("it lasts {seconds:.2} seconds; from 0.1 to {MAX_SECONDS} are allowed");
    }
    match rate {
        Some(rate) => write(path, &wave.resampled(rate).to_bytes()),
        None => Ok(()),
    }
}

/// Rows of path, transcript and voice, by the name of their file.
fn manifests(clips: &[Clip]) -> BTreeMap<&str, String> {
    let mut manifests: BTreeMap<&str, String> = BTreeMap::new();
    for clip in clips {
        let row = format!("{}\t{}\t{}\n", clip.file, clip.transcript, clip.speaker());
        manifests.entry(&clip.manifest).or_default().push_str(&row);
    }
    manifests
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
