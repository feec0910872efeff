//! Features of a clip, frame by frame.

/// Standard deviation below which a channel carries nothing but rounding.
const MIN_DEVIATION: f64 = 1e-5;

/// Features of a clip.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    n_mels: usize,
    values: Vec<f32>,
}

impl Frames {
    /// The frames with these values, frame after frame.
    ///
    /// # Shapes
    /// - `values`: `[frames, mels]`, row-major
    ///
    /// # Panics
    /// When `n_mels` is 0, or the values are not whole frames.
    pub fn new(n_mels: usize, values: Vec<f32>) -> Self {
        assert!(n_mels > 0 && values.len().is_multiple_of(n_mels), "{} values in frames of {n_mels}", values.len());
        Self { n_mels, values }
    }

    /// Values of a frame.
    pub fn n_mels(&self) -> usize {
        self.n_mels
    }

    /// How many frames there are.
    pub fn n_frames(&self) -> usize {
        self.values.len() / self.n_mels
    }

    /// All values, `[frames, mels]`, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, `[frames, mels]`, row-major, to change them.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// All values, `[frames, mels]`, row-major.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// Normalises the clip: every channel gets mean 0 and variance 1 over its frames (CMVN per utterance).
    ///
    /// ```text
    /// x'_tm = (x_tm - mean_t x_tm) / sqrt(mean_t (x_tm - mean)^2)
    /// ```
    ///
    /// A channel whose standard deviation is below `1e-5`, as in digital silence or a single frame, becomes 0. Loudness
    /// adds the same to all values of a channel of log-mel features, so it leaves with the mean.
    pub fn normalize(&mut self) {
        let n_frames = self.n_frames() as f64;
        for mel in 0..self.n_mels {
            let channel = || self.values.iter().skip(mel).step_by(self.n_mels).copied().map(f64::from);
            let mean = channel().sum::<f64>() / n_frames;
            let deviation = (channel().map(|value| (value - mean).powi(2)).sum::<f64>() / n_frames).sqrt();
            for value in self.values.iter_mut().skip(mel).step_by(self.n_mels) {
                *value = if deviation < MIN_DEVIATION { 0.0 } else { ((f64::from(*value) - mean) / deviation) as f32 };
            }
        }
    }

    /// Normalises the clip as a whole: all its values together get mean 0 and variance 1, so that loudness leaves and the
    /// channels keep their differences. A clip whose standard deviation is below `1e-5` becomes 0.
    pub fn normalize_whole(&mut self) {
        let n_values = self.values.len().max(1) as f64;
        let values = || self.values.iter().copied().map(f64::from);
        let mean = values().sum::<f64>() / n_values;
        let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / n_values).sqrt();
        for value in &mut self.values {
            *value = if deviation < MIN_DEVIATION { 0.0 } else { ((f64::from(*value) - mean) / deviation) as f32 };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn normalisation_by_hand() {
        let mut frames = Frames::new(2, vec![1.0, 7.0, 3.0, 7.0, 5.0, 7.0, 7.0, 7.0]);
        assert_eq!((frames.n_frames(), frames.n_mels()), (4, 2));
        frames.normalize();
        // Mean 4 and variance (9 + 1 + 1 + 9) / 4 = 5; the second channel does not change.
        let expected = [-3.0, -1.0, 1.0, 3.0].map(|value| (value / 5.0_f64.sqrt()) as f32);
        assert_eq!(frames.values(), [expected[0], 0.0, expected[1], 0.0, expected[2], 0.0, expected[3], 0.0]);
        let mut single = Frames::new(3, vec![-4.0, 0.5, 9.0]);
        single.normalize();
        assert_eq!(single.into_values(), [0.0; 3]);
        let mut none = Frames::new(3, Vec::new());
        none.normalize();
        assert_eq!(none.n_frames(), 0);
    }

    #[test]
    fn normalisation_of_a_whole_clip_by_hand() {
        let mut frames = Frames::new(2, vec![1.0, 3.0, 5.0, 7.0]);
        frames.normalize_whole();
        // Mean 4 and variance (9 + 1 + 1 + 9) / 4 = 5.
        let expected = [-3.0, -1.0, 1.0, 3.0].map(|value| (value / 5.0_f64.sqrt()) as f32);
        assert_eq!(frames.values(), expected);
        let mut silent = Frames::new(2, vec![-23.0; 6]);
        silent.normalize_whole();
        assert_eq!(silent.into_values(), [0.0; 6]);
        let mut none = Frames::new(3, Vec::new());
        none.normalize_whole();
        assert_eq!(none.n_frames(), 0);
    }

    proptest! {
        #[test]
        fn mean_and_variance(
            n_mels in 1_usize..6, n_frames in 1_usize..30, values in prop::collection::vec(-30.0_f32..10.0, 180),
        ) {
            let mut frames = Frames::new(n_mels, values[..n_mels * n_frames].to_vec());
            let before = frames.clone();
            frames.normalize();
            for mel in 0..n_mels {
                let moments = |frames: &Frames| {
                    let channel: Vec<f64> =
                        frames.values()[mel..].iter().step_by(n_mels).map(|&value| value.into()).collect();
                    let mean = channel.iter().sum::<f64>() / channel.len() as f64;
                    (mean, channel.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / channel.len() as f64)
                };
                let (mean, variance) = moments(&frames);
                prop_assert!(mean.abs() < 1e-5, "mean {mean}");
                let expected = if moments(&before).1.sqrt() < MIN_DEVIATION { 0.0 } else { 1.0 };
                prop_assert!((variance - expected).abs() < 1e-4, "variance {variance}");
            }
            let once = frames.clone();
            frames.normalize();
            let same = frames.values().iter().zip(once.values()).all(|(a, b)| (a - b).abs() < 1e-4);
            prop_assert!(same, "normalising twice changes something");
        }
    }
}
