//! Sound files of one channel with 16 bits a sample (RIFF WAVE, PCM).

use anyhow::{Context, Result, bail};

/// How many zero crossings of the low-pass filter are kept on each side.
const N_CROSSINGS: f64 = 16.0;
/// The filter passes up to this part of the lower Nyquist frequency.
const PASS_FRACTION: f64 = 0.9;

/// Samples with their rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wave {
    /// Samples a second.
    pub(super) rate: u32,
    pub(super) samples: Vec<i16>,
}

impl Wave {
    /// Reads a file; chunks other than `fmt ` and `data` are passed over.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.get(..4) != Some(b"RIFF".as_slice()) || bytes.get(8..12) != Some(b"WAVE".as_slice()) {
            bail!("this is no RIFF WAVE file of {} bytes", bytes.len());
        }
        let (mut rate, mut rest) = (None, &bytes[12..]);
        while let Some((header, body)) = rest.split_at_checked(8) {
            let size = usize::try_from(u32_at(header, 4)?)?;
            let chunk = body.get(..size).context("a chunk is longer than the file")?;
            match &header[..4] {
                b"fmt " => rate = Some(rate_of(chunk)?),
                b"data" => {
                    let rate = rate.context("the samples stand before their format")?;
                    let samples = chunk.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
                    return Ok(Self { rate, samples });
                }
                _ => {}
            }
            // A chunk of odd length is followed by a byte that says nothing.
            rest = body.get(size + size % 2..).unwrap_or_default();
        }
        bail!("the file holds no samples")
    }

    /// The file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let n_bytes = u32::try_from(2 * self.samples.len()).expect("a clip of seconds is far below 4 GiB");
        let mut bytes = Vec::new();
        bytes.extend(b"RIFF");
        bytes.extend((36 + n_bytes).to_le_bytes());
        bytes.extend(b"WAVEfmt ");
        // The size of the format; PCM and one channel; samples and bytes a second; bytes a frame and bits a sample.
        bytes.extend(16_u32.to_le_bytes());
        bytes.extend([1_u16, 1].map(u16::to_le_bytes).concat());
        bytes.extend([self.rate, 2 * self.rate].map(u32::to_le_bytes).concat());
        bytes.extend([2_u16, 16].map(u16::to_le_bytes).concat());
        bytes.extend(b"data");
        bytes.extend(n_bytes.to_le_bytes());
        bytes.extend(self.samples.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    /// How long it lasts.
    pub(super) fn seconds(&self) -> f64 {
        to_f64(self.samples.len()) / f64::from(self.rate)
    }

    /// The same at a lower rate, through a low-pass filter with a Hann window:
    ///
    /// ```text
    /// y[i] = sum_k w(t - k) x[k] / sum_k w(t - k),  t = i * rate / new rate
    /// w(d) = sinc(c d) * (1 + cos(pi c d / 16)) / 2,  |c d| < 16,  c = 0.9 * new rate / rate
    /// ```
    pub(super) fn resampled(&self, rate: u32) -> Self {
        let step = f64::from(self.rate) / f64::from(rate);
        let cutoff = PASS_FRACTION / step;
        let n_samples = u64::try_from(self.samples.len()).expect("a usize has at most 64 bits") * u64::from(rate);
        let samples = (0..n_samples / u64::from(self.rate)).map(|place| self.filtered(place, step, cutoff)).collect();
        Self { rate, samples }
    }

    fn filtered(&self, place: u64, step: f64, cutoff: f64) -> i16 {
        #[allow(clippy::cast_precision_loss, reason = "clips are far shorter than 2^52 samples")]
        let time = place as f64 * step;
        let reach = N_CROSSINGS / cutoff;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the length of a clip")]
        let (first, last) = ((time - reach).ceil().max(0.0) as usize, (time + reach).floor() as usize);
        let (mut sum, mut total) = (0.0, 0.0);
        for (index, &sample) in self.samples.iter().enumerate().take(last + 1).skip(first) {
            let weight = weight(cutoff * (time - to_f64(index)));
            sum += weight * f64::from(sample);
            total += weight;
        }
        #[allow(clippy::cast_possible_truncation, reason = "a float becomes the nearest i16 there is")]
        let sample = (sum / total).round() as i16;
        sample
    }
}

fn weight(distance: f64) -> f64 {
    let angle = std::f64::consts::PI * distance;
    let sinc = if distance == 0.0 { 1.0 } else { angle.sin() / angle };
    sinc * f64::midpoint(1.0, (angle / N_CROSSINGS).cos())
}

#[allow(clippy::cast_precision_loss, reason = "clips are far shorter than 2^52 samples")]
fn to_f64(count: usize) -> f64 {
    count as f64
}

/// The rate in a format chunk of the one kind that is read.
fn rate_of(chunk: &[u8]) -> Result<u32> {
    let u16_at = |place: usize| -> Result<u16> {
        let bytes = chunk.get(place..place + 2).context("the format chunk is too short")?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    };
    let (format, n_channels, n_bits) = (u16_at(0)?, u16_at(2)?, u16_at(14)?);
    if (format, n_channels, n_bits) != (1, 1, 16) {
        bail!("format {format}, {n_channels} channels, {n_bits} bits; 1, 1 and 16 are read");
    }
    match u32_at(chunk, 4)? {
        0 => bail!("0 samples a second"),
        rate => Ok(rate),
    }
}

fn u32_at(bytes: &[u8], place: usize) -> Result<u32> {
    let bytes = bytes.get(place..place + 4).context("the file ends within a number")?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, rate: u32) -> Wave {
        let sample = |index: u32| 10_000.0 * (std::f64::consts::TAU * hertz * f64::from(index) / f64::from(rate)).sin();
        #[allow(clippy::cast_possible_truncation, reason = "the amplitude is 10,000")]
        let samples = (0..rate / 2).map(|index| sample(index).round() as i16).collect();
        Wave { rate, samples }
    }

    fn loudness(wave: &Wave) -> f64 {
        let squares: f64 = wave.samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        (squares / to_f64(wave.samples.len())).sqrt()
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let wave = Wave { rate: 22_050, samples: vec![0, 1, -1, i16::MAX, i16::MIN] };
        let bytes = wave.to_bytes();
        assert_eq!(bytes.len(), 44 + 10);
        assert_eq!(Wave::parse(&bytes).unwrap(), wave);
    }

    #[test]
    fn damage_is_told() {
        let bytes = tone(100.0, 8_000).to_bytes();
        let stereo = [&bytes[..22], &[2], &bytes[23..]].concat();
        for (bytes, complaint) in [
            (&b"RIFX"[..], "no RIFF"),
            (&bytes[..50], "longer than the file"),
            (&bytes[..36], "no samples"),
            (&stereo, "2 channels"),
        ] {
            let fault = format!("{:#}", Wave::parse(bytes).unwrap_err());
            assert!(fault.contains(complaint), "{fault}");
        }
    }

    #[test]
    fn a_low_tone_stays_and_a_high_one_goes() {
        let (low, expected) = (tone(440.0, 22_050).resampled(8_000), tone(440.0, 8_000));
        assert!((low.seconds() - 0.5).abs() < 0.001);
        // Away from the ends, where the filter sees only one side.
        for (found, expected) in low.samples.iter().zip(&expected.samples).skip(100).take(3_000) {
            assert!((i32::from(*found) - i32::from(*expected)).abs() < 20, "{found} {expected}");
        }
        // Above 4 kHz, which 8,000 samples a second cannot hold.
        assert!(loudness(&tone(6_000.0, 22_050).resampled(8_000)) < 0.01 * loudness(&tone(440.0, 8_000)));
    }
}
