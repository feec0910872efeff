//! Running espeak-ng.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::plan::Clip;
use crate::process::Unmet;

/// The program, found to run.
#[derive(Debug)]
pub(in crate::data) struct Espeak {
    program: PathBuf,
    version: String,
}

impl Espeak {
    /// Asks the program for its version.
    pub(in crate::data) fn find(program: Option<&Path>) -> Result<Self> {
        let program = program.unwrap_or(Path::new("espeak-ng")).to_path_buf();
        let output = Command::new(&program).arg("--version").stdin(Stdio::null()).output().map_err(|error| {
            Unmet(format!(
                "cannot start {} ({error}); install espeak-ng (`apt-get install espeak-ng`, `brew install espeak-ng`) or name \
                 it with --espeak PATH",
                program.display()
            ))
        })?;
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = version_of(&answer).ok_or_else(|| {
            Unmet(format!("{} is not espeak-ng: asked for its version it says {answer:?}", program.display()))
        })?;
        Ok(Self { program, version })
    }

    /// Such as `1.51`.
    pub(in crate::data) fn version(&self) -> &str {
        &self.version
    }

    /// Speaks a clip into the file `path`, without the pause after a sentence.
    pub(super) fn speak(&self, clip: &Clip, path: &Path) -> Result<()> {
        let (speed, pitch) = (clip.words_per_minute.to_string(), clip.pitch.to_string());
        let output = Command::new(&self.program)
            .args(["-z", "-v", &clip.voice, "-s", &speed, "-p", &pitch, "-w"])
            .arg(path)
            .arg(&clip.transcript)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("espeak-ng cannot speak {:?} as {}: {}", clip.transcript, clip.voice, complaint.trim_end());
        }
        Ok(())
    }
}

/// The version in `eSpeak NG text-to-speech: 1.51  Data at: ...`.
fn version_of(answer: &str) -> Option<String> {
    let rest = answer.strip_prefix("eSpeak NG text-to-speech: ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_word_after_the_name() {
        assert_eq!(version_of("eSpeak NG text-to-speech: 1.51  Data at: /usr/lib\n").as_deref(), Some("1.51"));
        assert_eq!(version_of("cargo 1.95.0\n"), None);
    }

    #[test]
    fn a_missing_program_is_told_with_what_to_do() {
        let error = Espeak::find(Some(Path::new("no-such-espeak"))).unwrap_err();
        assert!(error.is::<Unmet>());
        let told = error.to_string();
        assert!(told.contains("no-such-espeak") && told.contains("install") && told.contains("--espeak"), "{told}");
    }
}
