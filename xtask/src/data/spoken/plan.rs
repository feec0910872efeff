//! What is spoken, and by which voice.

use std::collections::HashSet;

use anyhow::{Result, bail};

use crate::data::draw::Draw;
use crate::data::numerals;

/// Another seed draws other numbers and voices.
const SEED: u8 = 5;
/// Numbers from 0 up to this one, not included.
const N_NUMBERS: u32 = 1_000;
/// Numbers that only validation or only the test says.
const N_VALIDATION_NUMBERS: usize = 75;
const N_TEST_NUMBERS: usize = 100;
const N_TRAINING: usize = 1_500;
const N_VALIDATION: usize = 150;
const N_TEST: usize = 200;

/// Words a minute; 175 is what espeak-ng takes by itself.
const SPEEDS: [u32; 4] = [155, 170, 185, 200];
/// From 0 to 99; 50 is what espeak-ng takes by itself.
const PITCHES: [u32; 5] = [30, 40, 50, 60, 70];

/// Variants of a voice, men and women, that are heard in training and validation.
const TRAINING_VARIANTS: [&str; 8] = ["m1", "m2", "m3", "m5", "m6", "f1", "f2", "f3"];
/// Those that are heard in the test only.
const TEST_VARIANTS: [&str; 4] = ["m4", "m7", "f4", "f5"];

/// A language with the accents that are heard in training and in the test.
struct Language {
    name: &'static str,
    training_accents: &'static [&'static str],
    test_accents: &'static [&'static str],
    words: fn(u32) -> String,
}

const LANGUAGES: [Language; 2] = [
    Language {
        name: "en",
        training_accents: &["en-gb", "en-us", "en-gb-x-rp"],
        test_accents: &["en-gb", "en-us", "en-gb-scotland"],
        words: numerals::english,
    },
    // The voice `cmn` of espeak-ng 1.51 reads the pinyin of characters as English letters: 三 is "sa-n-one".
    Language {
        name: "cmn",
        training_accents: &["cmn-latn-pinyin"],
        test_accents: &["cmn-latn-pinyin"],
        words: numerals::chinese,
    },
];

/// A recording to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clip {
    /// From the folder of the data set. It holds no `+`, which joins paths in manifests.
    pub(super) file: String,
    /// The manifest it belongs to.
    pub(super) manifest: String,
    /// What is said, and what espeak-ng reads.
    pub(super) transcript: String,
    /// As espeak-ng calls it: `en-gb+m3`.
    pub(super) voice: String,
    pub(super) words_per_minute: u32,
    /// In the scale of espeak-ng, 0 to 99.
    pub(super) pitch: u32,
}

impl Clip {
    /// The voice without the sign that joins paths: `en-gb-m3`.
    pub(super) fn speaker(&self) -> String {
        self.voice.replace('+', "-")
    }
}

/// English and Mandarin numbers: validation has numbers that training has not, the test other numbers and other voices.
pub(super) fn spoken_numbers() -> Result<Vec<Clip>> {
    let mut draw = Draw::new(SEED);
    let mut clips = Vec::new();
    for language in &LANGUAGES {
        // Zero is trained: its English word is in no other number.
        let mut numbers: Vec<u32> = (1..N_NUMBERS).collect();
        draw.shuffle(&mut numbers);
        let test = numbers.split_off(numbers.len() - N_TEST_NUMBERS);
        let validation = numbers.split_off(numbers.len() - N_VALIDATION_NUMBERS);
        numbers.insert(0, 0);
        let known = voices(language.training_accents, &TRAINING_VARIANTS);
        let unknown = voices(language.test_accents, &TEST_VARIANTS);
        for (part, numbers, voices, n_clips) in [
            ("training", &numbers, &known, N_TRAINING),
            ("validation", &validation, &known, N_VALIDATION),
            ("test", &test, &unknown, N_TEST),
        ] {
            clips.extend(part_of(&mut draw, language, part, (numbers, voices), n_clips)?);
        }
    }
    Ok(clips)
}

fn voices(accents: &[&str], variants: &[&str]) -> Vec<String> {
    accents.iter().flat_map(|accent| variants.iter().map(move |variant| format!("{accent}+{variant}"))).collect()
}

/// Each number in turn, until there are enough clips; no voice says a number twice.
fn part_of(
    draw: &mut Draw,
    language: &Language,
    part: &str,
    (numbers, voices): (&[u32], &[String]),
    n_clips: usize,
) -> Result<Vec<Clip>> {
    if n_clips > numbers.len() * voices.len() {
        bail!("{} numbers in {} voices are fewer than {n_clips} clips", numbers.len(), voices.len());
    }
    let (mut clips, mut seen) = (Vec::new(), HashSet::new());
    let mut turns = numbers.iter().cycle();
    while let (true, Some(&number)) = (clips.len() < n_clips, turns.next()) {
        let voice = draw.one_of(voices);
        if !seen.insert((number, voice)) {
            continue;
        }
        clips.push(Clip {
            file: format!("{}/{number:03}-{}.wav", language.name, voice.replace('+', "-")),
            manifest: format!("{}-{part}.tsv", language.name),
            transcript: (language.words)(number),
            voice: voice.clone(),
            words_per_minute: *draw.one_of(&SPEEDS),
            pitch: *draw.one_of(&PITCHES),
        });
    }
    Ok(clips)
}

/// The digits from zero to five by two voices at two speeds: one voice at one speed is the test, the other validation.
pub(super) fn speech_smoke() -> Vec<Clip> {
    let takes = [
        ("training", "en-gb+m3", 150, 45),
        ("training", "en-us+f2", 150, 55),
        ("validation", "en-gb+m3", 190, 50),
        ("test", "en-us+f2", 190, 60),
    ];
    let clip = |(part, voice, words_per_minute, pitch): (&str, &str, u32, u32), digit| Clip {
        file: format!("{digit}-{}-{words_per_minute}.wav", voice.replace('+', "-")),
        manifest: format!("{part}.tsv"),
        transcript: numerals::english(digit),
        voice: voice.to_owned(),
        words_per_minute,
        pitch,
    };
    takes.into_iter().flat_map(|take| (0..=5).map(move |digit| clip(take, digit))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn of<'a>(clips: &'a [Clip], manifest: &str) -> Vec<&'a Clip> {
        clips.iter().filter(|clip| clip.manifest == manifest).collect()
    }

    #[test]
    fn the_test_has_other_voices_and_other_numbers() {
        let clips = spoken_numbers().unwrap();
        for language in ["en", "cmn"] {
            let parts = ["training", "validation", "test"].map(|part| of(&clips, &format!("{language}-{part}.tsv")));
            assert_eq!(parts.each_ref().map(Vec::len), [N_TRAINING, N_VALIDATION, N_TEST]);
            let said = parts.each_ref().map(|part| part.iter().map(|clip| &clip.transcript).collect::<BTreeSet<_>>());
            assert!(said[0].is_disjoint(&said[1]) && said[0].is_disjoint(&said[2]) && said[1].is_disjoint(&said[2]));
            let voices = parts.each_ref().map(|part| part.iter().map(|clip| &clip.voice).collect::<BTreeSet<_>>());
            assert!(voices[1].is_subset(&voices[0]) && voices[0].is_disjoint(&voices[2]));
            let variants =
                |part: usize| voices[part].iter().filter_map(|voice| voice.split_once('+')).map(|pair| pair.1);
            assert!(variants(0).collect::<BTreeSet<_>>().is_disjoint(&variants(2).collect()));
        }
    }

    #[test]
    fn every_word_of_validation_and_test_is_trained() {
        let clips = spoken_numbers().unwrap();
        let words = |manifest: &str| -> BTreeSet<String> {
            let is_english = manifest.starts_with("en");
            let tokens = |clip: &&Clip| -> Vec<String> {
                let text = &clip.transcript;
                if is_english {
                    text.split(' ').map(str::to_owned).collect()
                } else {
                    text.chars().map(String::from).collect()
                }
            };
            of(&clips, manifest).iter().flat_map(tokens).collect()
        };
        for language in ["en", "cmn"] {
            let known = words(&format!("{language}-training.tsv"));
            for part in ["validation", "test"] {
                assert!(words(&format!("{language}-{part}.tsv")).is_subset(&known), "{language} {part}");
            }
        }
    }

    #[test]
    fn every_clip_has_a_file_of_its_own_without_a_plus() {
        for clips in [spoken_numbers().unwrap(), speech_smoke()] {
            let files: BTreeSet<&str> = clips.iter().map(|clip| clip.file.as_str()).collect();
            assert_eq!(files.len(), clips.len());
            assert!(files.iter().all(|file| !file.contains('+')));
        }
        let smoke = speech_smoke();
        assert_eq!((smoke.len(), of(&smoke, "training.tsv").len(), of(&smoke, "test.tsv").len()), (24, 12, 6));
        assert_eq!(smoke[3].transcript, "three");
    }
}
