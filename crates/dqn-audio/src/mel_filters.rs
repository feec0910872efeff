//! The mel scale and its triangular filters.

/// Slaney's mel scale: linear to 1 kHz, 3 mels each 200 Hz, then 27 mels each factor of 6.4.
const HZ_PER_MEL: f64 = 200.0 / 3.0;
const BREAK_HZ: f64 = 1000.0;
const BREAK_MEL: f64 = BREAK_HZ / HZ_PER_MEL;
const FACTOR: f64 = 6.4;
const MELS_PER_FACTOR: f64 = 27.0;

fn mel_of_hz(hz: f64) -> f64 {
    if hz < BREAK_HZ { hz / HZ_PER_MEL } else { BREAK_MEL + (hz / BREAK_HZ).ln() / FACTOR.ln() * MELS_PER_FACTOR }
}

fn hz_of_mel(mel: f64) -> f64 {
    if mel < BREAK_MEL { mel * HZ_PER_MEL } else { BREAK_HZ * FACTOR.powf((mel - BREAK_MEL) / MELS_PER_FACTOR) }
}

/// One filter: what it makes of the powers from `first_bin` on, the others counting nothing.
#[derive(Clone, Debug)]
pub(crate) struct MelFilter {
    pub(crate) first_bin: usize,
    /// None for a filter between two bins.
    pub(crate) weights: Vec<f64>,
    pub(crate) low_hz: f64,
    pub(crate) high_hz: f64,
}

impl MelFilter {
    /// The filter's sum over a power spectrum.
    pub(crate) fn apply(&self, power: &[f64]) -> f64 {
        self.weights.iter().zip(&power[self.first_bin..]).map(|(weight, power)| weight * power).sum()
    }
}

/// Triangles of equal width on the mel scale, each from the peak of the one before to the peak of the one after, with
/// area 1 over frequency, so that a flat spectrum gives the same in all channels.
///
/// ```text
/// w_m(f) = 2 / (f_{m+1} - f_{m-1}) * max(0, min((f - f_{m-1}) / (f_m - f_{m-1}), (f_{m+1} - f) / (f_{m+1} - f_m)))
/// ```
///
/// Source: Slaney 1998, Auditory Toolbox; as `librosa.filters.mel` computes them.
pub(crate) fn mel_filters(
    n_mels: usize,
    low_hz: f64,
    high_hz: f64,
    n_bins: usize,
    resolution_hz: f64,
) -> Vec<MelFilter> {
    let (low_mel, high_mel) = (mel_of_hz(low_hz), mel_of_hz(high_hz));
    let edge = |index: usize| hz_of_mel(low_mel + (high_mel - low_mel) * index as f64 / (n_mels + 1) as f64);
    let filter = |mel: usize| {
        let (low, peak, high) = (edge(mel), edge(mel + 1), edge(mel + 2));
        let weight = |bin: usize| {
            let hz = bin as f64 * resolution_hz;
            ((hz - low) / (peak - low)).min((high - hz) / (high - peak)) * 2.0 / (high - low)
        };
        let first_bin = (0..n_bins).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
        let weights = (first_bin..n_bins).map(weight).take_while(|&weight| weight > 0.0).collect();
        MelFilter { first_bin, weights, low_hz: low, high_hz: high }
    };
    (0..n_mels).map(filter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_by_hand() {
        for (hz, mel) in [(0.0, 0.0), (200.0, 3.0), (1000.0, 15.0), (6400.0, 42.0)] {
            assert!((mel_of_hz(hz) - mel).abs() < 1e-9, "{hz} Hz");
            assert!((hz_of_mel(mel) - hz).abs() < 1e-9, "{mel} mels");
        }
    }

    #[test]
    fn triangles_by_hand() {
        // Edges at 0, 200, 400 and 600 Hz, bins each 100 Hz.
        let filters = mel_filters(2, 0.0, 600.0, 11, 100.0);
        for (filter, first_bin, low_hz) in [(&filters[0], 1, 0.0), (&filters[1], 3, 200.0)] {
            assert_eq!(filter.first_bin, first_bin);
            assert_eq!(filter.weights.len(), 3);
            let expected = [0.5, 1.0, 0.5].map(|height| height * 2.0 / 400.0);
            assert!(filter.weights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{filter:?}");
            assert!((filter.low_hz - low_hz).abs() < 1e-9 && (filter.high_hz - low_hz - 400.0).abs() < 1e-9);
        }
        let power: Vec<f64> = (0..11).map(|bin| if bin == 3 { 400.0 } else { 0.0 }).collect();
        assert!((filters[0].apply(&power) - 1.0).abs() < 1e-12, "bin 3 lies at half height of both");
        assert!((filters[1].apply(&power) - 1.0).abs() < 1e-12);
    }
}
