//! Manifests of the spoken digits of FSDD: which recording says what, by whom, and which part it belongs to.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::draw::Draw;
use super::numerals;

/// Another seed draws other connected digits.
const SEED: u8 = 3;
const N_CONNECTED: [(Part, usize); 3] = [(Part::Training, 2_000), (Part::Validation, 200), (Part::Test, 300)];
const MIN_DIGITS: u32 = 3;
const MAX_DIGITS: u32 = 6;

/// What a recording is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Training,
    Validation,
    Test,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// A recording, told from its file name `{digit}_{speaker}_{index}.wav`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Recording {
    file: String,
    digit: u32,
    speaker: String,
    index: u32,
}

impl Recording {
    fn parse(file: &str) -> Result<Self> {
        let parts = file.strip_suffix(".wav").map(|name| name.split('_').collect::<Vec<_>>());
        let Some([digit, speaker, index]) = parts.as_deref() else {
            bail!("{file:?} is not named {{digit}}_{{speaker}}_{{index}}.wav");
        };
        let number = |text: &str| text.parse().with_context(|| format!("{file:?} holds {text:?} for a number"));
        let (digit, index) = (number(digit)?, number(index)?);
        if digit > 9 {
            bail!("{file:?} says {digit}, which is no digit");
        }
        Ok(Self { file: file.to_owned(), digit, speaker: (*speaker).to_owned(), index })
    }

    /// The test set is that of the collection, index 0 to 4; of the others the last two are for validation.
    fn part(&self) -> Part {
        match self.index {
            0..=4 => Part::Test,
            5..=12 => Part::Training,
            _ => Part::Validation,
        }
    }

    /// Where one speaker is left out, his recordings are the test, and the test set of the others is for training.
    fn part_without(&self, speaker: &str) -> Part {
        match self.part() {
            _ if self.speaker == speaker => Part::Test,
            Part::Test => Part::Training,
            part => part,
        }
    }
}

/// The manifests for the recordings `files`, by their names: rows of path, transcript and speaker.
pub(super) fn manifests(files: &[String]) -> Result<BTreeMap<String, String>> {
    let mut recordings = files.iter().map(|file| Recording::parse(file)).collect::<Result<Vec<_>>>()?;
    recordings
        .sort_by(|one, other| (&one.speaker, one.digit, one.index).cmp(&(&other.speaker, other.digit, other.index)));
    let mut manifests = BTreeMap::new();
    for part in [Part::Training, Part::Validation, Part::Test] {
        manifests.insert(format!("{}.tsv", part.name()), rows(&recordings, |recording| recording.part() == part));
    }
    let speakers: BTreeSet<&str> = recordings.iter().map(|recording| recording.speaker.as_str()).collect();
    for speaker in &speakers {
        for part in [Part::Training, Part::Validation, Part::Test] {
            let name = match part {
                Part::Test => format!("only-{speaker}.tsv"),
                _ => format!("without-{speaker}-{}.tsv", part.name()),
            };
            manifests.insert(name, rows(&recordings, |recording| recording.part_without(speaker) == part));
        }
    }
    let mut draw = Draw::new(SEED);
    for (part, n_rows) in N_CONNECTED {
        let text = connected(&mut draw, &recordings, part, n_rows)?;
        manifests.insert(format!("connected-{}.tsv", part.name()), text);
    }
    Ok(manifests)
}

fn rows(recordings: &[Recording], is_wanted: impl Fn(&Recording) -> bool) -> String {
    let wanted = recordings.iter().filter(|recording| is_wanted(recording));
    wanted.map(|recording| row(&[recording])).collect()
}

/// Recordings that are heard one after the other, their words, and who says them.
fn row(recordings: &[&Recording]) -> String {
    let paths: Vec<&str> = recordings.iter().map(|recording| recording.file.as_str()).collect();
    let words: Vec<String> = recordings.iter().map(|recording| numerals::english(recording.digit)).collect();
    let speaker = recordings.first().map_or("", |recording| &recording.speaker);
    format!("{}\t{}\t{speaker}\n", paths.join("+"), words.join(" "))
}

/// Rows of three to six digits of one speaker, drawn with repetition from a part; no row occurs twice.
fn connected(draw: &mut Draw, recordings: &[Recording], part: Part, n_rows: usize) -> Result<String> {
    let mut by_speaker: BTreeMap<&str, Vec<&Recording>> = BTreeMap::new();
    for recording in recordings.iter().filter(|recording| recording.part() == part) {
        by_speaker.entry(&recording.speaker).or_default().push(recording);
    }
    let by_speaker: Vec<Vec<&Recording>> = by_speaker.into_values().collect();
    if by_speaker.is_empty() {
        bail!("no recording belongs to the {} part, whose indices are told in data/README.md", part.name());
    }
    let (mut text, mut seen) = (String::new(), BTreeSet::new());
    // A collection of few recordings has fewer rows than are wanted: the draws must end.
    for _ in 0..n_rows * 100 {
        if seen.len() == n_rows {
            break;
        }
        let choices = draw.one_of(&by_speaker);
        let n_digits = draw.between(MIN_DIGITS, MAX_DIGITS);
        let chosen: Vec<&Recording> = (0..n_digits).map(|_| *draw.one_of(choices)).collect();
        let row = row(&chosen);
        if seen.insert(row.clone()) {
            text.push_str(&row);
        }
    }
    if seen.len() < n_rows {
        bail!("the {} recordings give {} rows of connected digits, and {n_rows} are wanted", part.name(), seen.len());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<String> {
        let mut files = Vec::new();
        for speaker in ["ann", "bob"] {
            for digit in 0..10 {
                files.extend((0..15).map(|index| format!("{digit}_{speaker}_{index}.wav")));
            }
        }
        files
    }

    fn paths(text: &str) -> BTreeSet<&str> {
        text.lines().flat_map(|line| line.split('\t').next().unwrap().split('+')).collect()
    }

    #[test]
    fn a_name_tells_digit_speaker_and_part() {
        for (index, part) in [(0, Part::Test), (4, Part::Test), (5, Part::Training), (12, Part::Training)] {
            let recording = Recording::parse(&format!("7_ann_{index}.wav")).unwrap();
            assert_eq!((recording.digit, recording.speaker.as_str(), recording.part()), (7, "ann", part));
        }
        assert_eq!(Recording::parse("0_ann_13.wav").unwrap().part(), Part::Validation);
        for (name, complaint) in [("7_ann.wav", "not named"), ("x_ann_1.wav", "\"x\""), ("12_ann_1.wav", "no digit")] {
            let fault = format!("{:#}", Recording::parse(name).unwrap_err());
            assert!(fault.contains(complaint), "{fault}");
        }
    }

    #[test]
    fn parts_divide_the_recordings_and_a_speaker_can_be_left_out() {
        let manifests = manifests(&files()).unwrap();
        assert_eq!(manifests.len(), 3 + 2 * 3 + 3);
        let count = |name: &str| manifests[name].lines().count();
        assert_eq!([count("training.tsv"), count("validation.tsv"), count("test.tsv")], [160, 40, 100]);
        assert_eq!(
            [count("without-ann-training.tsv"), count("without-ann-validation.tsv"), count("only-ann.tsv")],
            [130, 20, 150]
        );
        assert!(manifests["test.tsv"].starts_with("0_ann_0.wav\tzero\tann\n"));
        assert!(manifests["without-ann-training.tsv"].lines().all(|line| line.ends_with("\tbob")));
        assert!(manifests["only-ann.tsv"].lines().all(|line| line.ends_with("\tann")));
    }

    #[test]
    fn connected_digits_come_from_one_speaker_and_their_own_part() {
        let manifests = manifests(&files()).unwrap();
        for (part, n_rows) in N_CONNECTED {
            let text = &manifests[&format!("connected-{}.tsv", part.name())];
            assert_eq!(text.lines().collect::<BTreeSet<_>>().len(), n_rows);
            assert!(paths(text).is_subset(&paths(&manifests[&format!("{}.tsv", part.name())])));
            for line in text.lines() {
                let [files, words, speaker] = line.split('\t').collect::<Vec<_>>()[..] else {
                    panic!("{line:?} has not three columns");
                };
                let recordings: Vec<Recording> = files.split('+').map(|file| Recording::parse(file).unwrap()).collect();
                assert!((3..=6).contains(&recordings.len()), "{line}");
                assert!(recordings.iter().all(|recording| recording.speaker == speaker), "{line}");
                let names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
                let said: Vec<&str> =
                    recordings.iter().map(|recording| names[usize::try_from(recording.digit).unwrap()]).collect();
                assert_eq!(said.join(" "), words);
            }
        }
    }

    #[test]
    fn too_few_recordings_are_a_fault() {
        let fault = manifests(&["1_ann_0.wav".to_owned()]).unwrap_err().to_string();
        assert!(fault.contains("no recording belongs to the training part"), "{fault}");
    }
}
