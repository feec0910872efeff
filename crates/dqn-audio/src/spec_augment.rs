//! Hiding parts of a clip, so that a network does not lean on any one of them.

use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Frames;

/// How much of a clip is hidden. The defaults are those of the policy SM, brought from 80 bands and clips of 15 s to 40
/// bands and clips of a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpecAugmentConfig {
    /// Frequency masks of a clip; 0 leaves them out. Default 2.
    #[schemars(range(max = 64))]
    pub n_frequency_masks: usize,
    /// Most bands that one frequency mask hides. Default 8 of 40 bands, where the paper has 15 of 80.
    #[schemars(range(max = 512))]
    pub max_mask_mels: usize,
    /// Time masks of a clip; 0 leaves them out. Default 2.
    #[schemars(range(max = 64))]
    pub n_time_masks: usize,
    /// Most frames that one time mask hides. Default 20, 0.2 s at a hop of 10 ms; the paper has 70.
    #[schemars(range(max = 100000))]
    pub max_mask_frames: usize,
    /// Largest share of the clip that one time mask hides, which keeps short clips readable. Default 0.2, as in the
    /// paper.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_time_fraction: f64,
}

impl Default for SpecAugmentConfig {
    fn default() -> Self {
        Self { n_frequency_masks: 2, max_mask_mels: 8, n_time_masks: 2, max_mask_frames: 20, max_time_fraction: 0.2 }
    }
}

/// Masks bands and stretches of time of a clip, others each time.
///
/// ```text
/// f ~ U{0..min(F, mels)},              f0 ~ U{0..mels - f}:    bands  f0..f0 + f become 0
/// t ~ U{0..min(T, floor(p * frames))}, t0 ~ U{0..frames - t}:  frames t0..t0 + t become 0
/// ```
///
/// Meant for frames that are normalised, where 0 is the mean of each band. Masks may overlap.
///
/// Source: Park et al. 2019, "SpecAugment", section 2.
///
/// Differs from the paper: no time warping, which helped there least and costs most; a mask may also end at the very
/// last band or frame, which the paper's half-open interval leaves out.
#[derive(Clone, Debug, PartialEq)]
pub struct SpecAugment {
    config: SpecAugmentConfig,
}

impl SpecAugment {
    /// Masks as `config` describes them.
    pub fn new(config: SpecAugmentConfig) -> Self {
        Self { config }
    }

    /// Masks parts of a clip. How many numbers are drawn depends on the configuration only.
    pub fn apply(&self, frames: &mut Frames, rng: &mut impl Rng) {
        let (n_mels, n_frames) = (frames.n_mels(), frames.n_frames());
        for _ in 0..self.config.n_frequency_masks {
            let mels = stretch(n_mels, self.config.max_mask_mels, rng);
            for frame in frames.values_mut().chunks_exact_mut(n_mels) {
                frame[mels.clone()].fill(0.0);
            }
        }
        let share = (self.config.max_time_fraction * n_frames as f64) as usize;
        for _ in 0..self.config.n_time_masks {
            let masked = stretch(n_frames, self.config.max_mask_frames.min(share), rng);
            frames.values_mut()[masked.start * n_mels..masked.end * n_mels].fill(0.0);
        }
    }
}

/// A stretch of `0..length`, of a random number of up to `longest` places.
fn stretch(length: usize, longest: usize, rng: &mut impl Rng) -> std::ops::Range<usize> {
    let masked = rng.random_range(0..=longest.min(length));
    let start = rng.random_range(0..=length - masked);
    start..start + masked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn masked(config: &SpecAugmentConfig, n_mels: usize, n_frames: usize, seed: u64) -> Frames {
        let mut frames = Frames::new(n_mels, vec![1.0; n_mels * n_frames]);
        SpecAugment::new(config.clone()).apply(&mut frames, &mut ChaCha8Rng::seed_from_u64(seed));
        frames
    }

    /// Which of `n` bands or frames are masked throughout.
    fn hidden(frames: &Frames, by_mel: bool) -> Vec<usize> {
        let n_mels = frames.n_mels();
        let value = |mel: usize, frame: usize| frames.values()[frame * n_mels + mel];
        match by_mel {
            true => (0..n_mels).filter(|&mel| (0..frames.n_frames()).all(|frame| value(mel, frame) == 0.0)).collect(),
            false => (0..frames.n_frames()).filter(|&frame| (0..n_mels).all(|mel| value(mel, frame) == 0.0)).collect(),
        }
    }

    fn only(by_mel: bool, longest: usize) -> SpecAugmentConfig {
        SpecAugmentConfig {
            n_frequency_masks: by_mel.into(),
            max_mask_mels: longest,
            n_time_masks: (!by_mel).into(),
            max_mask_frames: longest,
            max_time_fraction: 1.0,
        }
    }

    #[test]
    fn every_length_and_place_occurs_equally() {
        for by_mel in [true, false] {
            let (n_mels, n_frames) = if by_mel { (5, 3) } else { (3, 5) };
            let mut counts = std::collections::BTreeMap::new();
            for seed in 0..6000 {
                *counts.entry(hidden(&masked(&only(by_mel, 2), n_mels, n_frames, seed), by_mel)).or_insert(0) += 1;
            }
            // Nothing, one of five places, or two neighbours at four places; each length a third of the time.
            let expected = |masked: &[usize]| [2000, 400, 500][masked.len()];
            assert_eq!(counts.len(), 1 + 5 + 4, "{counts:?}");
            for (masked, count) in counts {
                let expected = expected(&masked);
                assert!((expected * 8 / 10..expected * 12 / 10).contains(&count), "{masked:?}: {count}");
            }
        }
    }

    #[test]
    fn a_share_of_the_clip_bounds_time_masks() {
        let config = SpecAugmentConfig { max_time_fraction: 0.25, ..only(false, 100) };
        let longest = (0..200).map(|seed| hidden(&masked(&config, 2, 15, seed), false).len()).max();
        assert_eq!(longest, Some(3), "a quarter of 15 frames, rounded down");
        assert!(hidden(&masked(&config, 2, 3, 0), false).is_empty(), "no mask in a clip of three frames");
    }

    #[test]
    fn nothing_is_masked_without_masks() {
        let config = SpecAugmentConfig { n_frequency_masks: 0, n_time_masks: 0, ..SpecAugmentConfig::default() };
        assert_eq!(masked(&config, 4, 9, 1), Frames::new(4, vec![1.0; 36]));
    }

    #[test]
    fn the_seed_decides() {
        let config = SpecAugmentConfig::default();
        assert_eq!(masked(&config, 40, 60, 3), masked(&config, 40, 60, 3));
        assert_ne!(masked(&config, 40, 60, 3), masked(&config, 40, 60, 4));
    }

    #[test]
    fn unknown_settings_are_refused() {
        let read = |text: &str| serde_json::from_str::<SpecAugmentConfig>(text);
        assert_eq!(read("{}").unwrap(), SpecAugmentConfig::default());
        assert!(read(r#"{ "time_warp": 80 }"#).unwrap_err().to_string().contains("unknown field `time_warp`"));
    }

    proptest! {
        #[test]
        fn masks_stay_within_bounds(
            n_mels in 1_usize..12, n_frames in 0_usize..20, n_masks in 0_usize..4, longest in 0_usize..40,
            max_time_fraction in prop_oneof![0.0..=1.0_f64, Just(f64::NAN), Just(-1.0), Just(9.0)], seed: u64,
        ) {
            let config = SpecAugmentConfig {
                n_frequency_masks: n_masks,
                max_mask_mels: longest,
                n_time_masks: n_masks,
                max_mask_frames: longest,
                max_time_fraction,
            };
            let frames = masked(&config, n_mels, n_frames, seed);
            prop_assert_eq!((frames.n_mels(), frames.n_frames()), (n_mels, n_frames));
            let (mels, times) = (hidden(&frames, true), hidden(&frames, false));
            for (index, &value) in frames.values().iter().enumerate() {
                let is_hidden = mels.contains(&(index % n_mels)) || times.contains(&(index / n_mels));
                prop_assert_eq!(value, if is_hidden { 0.0 } else { 1.0 }, "whole bands or frames, or nothing");
            }
            let share = (max_time_fraction * n_frames as f64) as usize;
            if mels.len() < n_mels {
                prop_assert!(times.len() <= n_masks * longest.min(share).min(n_frames));
            }
            if times.len() < n_frames {
                prop_assert!(mels.len() <= n_masks * longest.min(n_mels));
            }
        }
    }
}
