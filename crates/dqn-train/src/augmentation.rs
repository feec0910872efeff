//! Other views of the sources of a batch, drawn anew for each update.

use dqn_audio::{Frames, SpecAugment};
use dqn_core::{SourceBatch, SourceValues};
use rand::Rng;

/// Hides parts of the recordings of a batch, of each others, the same for all texts about one; sources of tokens stay as
/// they are.
pub(crate) fn hide_parts(batch: &mut SourceBatch, augment: &SpecAugment, rng: &mut impl Rng) {
    let SourceValues::Frames(values, n_channels) = &mut batch.values else { return };
    let n_channels = *n_channels;
    let row_len = values.len() / batch.lengths.len();
    for (row, &length) in values.chunks_exact_mut(row_len).zip(&batch.lengths) {
        let said = &mut row[..length * n_channels];
        let mut frames = Frames::new(n_channels, said.to_vec());
        augment.apply(&mut frames, rng);
        said.copy_from_slice(frames.values());
    }
}

#[cfg(test)]
mod tests {
    use dqn_audio::SpecAugmentConfig;
    use dqn_mdp::Seed;

    use super::*;

    #[test]
    fn only_what_is_said_is_hidden() {
        let config = SpecAugmentConfig {
            n_frequency_masks: 1,
            max_mask_mels: 2,
            n_time_masks: 1,
            max_mask_frames: 4,
            max_time_fraction: 0.5,
        };
        let values = SourceValues::Frames(vec![1.0; 2 * 8 * 3], 3);
        let mut batch = SourceBatch { values, lengths: vec![8, 4], rows: None };
        let mut rng = Seed(3).stream("augmentation");
        let mut n_hidden = 0;
        for _ in 0..20 {
            let mut hidden = batch.clone();
            hide_parts(&mut hidden, &SpecAugment::new(config.clone()), &mut rng);
            let SourceValues::Frames(values, 3) = &hidden.values else { panic!("they are frames") };
            assert!(values[8 * 3 + 4 * 3..].iter().all(|&value| value == 1.0), "padding is left alone");
            n_hidden += values.iter().filter(|&&value| value == 0.0).count();
        }
        assert!(n_hidden > 100, "{n_hidden} values of 720 were hidden");
        let before = batch.clone();
        batch.values = SourceValues::Tokens(vec![4; 16]);
        hide_parts(&mut batch, &SpecAugment::new(config), &mut rng);
        assert_eq!((batch.values, batch.lengths), (SourceValues::Tokens(vec![4; 16]), before.lengths));
    }
}
