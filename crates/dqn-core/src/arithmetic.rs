//! The exponential, written so that loops over it become vector instructions.
//!
//! The standard library calls a routine for each number. This has no branch and no call: its error against that routine,
//! relative to the larger of the result and 1, stays below 4e-7. `NaN` passes through, so that a run that diverges is still
//! noticed.

/// `a * b + c`, in one instruction where `FUSED`.
#[inline(always)]
pub fn add_product<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    // Without the instruction, `mul_add` would call a slow routine.
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x`; 0 below -80, and arguments beyond 88 count as 88. `FUSED` says whether a product and a sum are one instruction.
///
/// The argument is split into `k ln 2 + r` with `|r| <= ln 2 / 2`; a polynomial gives `e^r`, the exponent bits `2^k`.
/// Source: the coefficients are those of Cephes' `expf` (Moshier 1992).
#[inline(always)]
pub fn exp<const FUSED: bool>(x: f32) -> f32 {
    // Adding this number rounds to an integer and leaves that integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let is_nothing = x < LEAST;
    let x = x.clamp(LEAST, 88.0);
    let shifted = add_product::<FUSED>(x, std::f32::consts::LOG2_E, ROUND);
    let k = shifted - ROUND;
    let r = add_product::<FUSED>(k, 2.121_944_4e-4, add_product::<FUSED>(k, -0.693_359_4, x));
    let mut p = 1.987_569_1e-4_f32;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = add_product::<FUSED>(p, r, coefficient);
    }
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    let power = if is_nothing { 0.0 } else { power };
    (add_product::<FUSED>(p * r, r, r) + 1.0) * power
}

/// The argument below which [`exp`] is 0. What is left above it, 1.8e-35, is a normal number also when it is divided by the sum of
/// thousands: products with smaller ones than the normal take some processors a hundred times as long, and a masked place
/// of an attention has one in each.
const LEAST: f32 = -80.0;

/// Numbers treated side by side.
const LANES: usize = 8;

/// The greatest number; minus infinity where there is none but `NaN`.
pub(crate) fn highest(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &value)| *lane = if value > *lane { value } else { *lane });
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The sum in double precision.
pub(crate) fn sum(values: &[f32]) -> f64 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &value)| *lane += f64::from(value));
    }
    lanes.into_iter().chain(rest.iter().map(|&value| f64::from(value))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: impl Fn(f32) -> f32) {
        for x in (-400_000..=400_000).map(|step| step as f32 * 5e-5) {
            let (found, expected) = (f64::from(found(x)), f64::from(x).exp());
            assert!((found - expected).abs() < 4e-7 * expected.max(1.0), "exp({x}) is {found}, not {expected}");
        }
        assert!((found(LEAST) / 1000.0).is_normal() && found(LEAST) > 0.0);
        for x in [-80.001, -87.0, -1e9, f32::NEG_INFINITY] {
            assert_eq!(found(x).to_bits(), 0, "exp({x})");
        }
        assert!(found(f32::NAN).is_nan(), "NaN is hidden");
        assert_eq!(found(0.0), 1.0);
    }

    #[test]
    fn the_exponential_agrees_with_the_standard_library() {
        check(exp::<false>);
        check(exp::<true>);
    }

    #[test]
    fn greatest_numbers_and_sums_are_those_of_all_places() {
        for n in [0, 1, 7, 8, 9, 40, 43] {
            let values: Vec<f32> = (0..n).map(|index| -(index as f32 - 20.5).abs()).collect();
            assert_eq!(highest(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max), "{n}");
            assert_eq!(sum(&values), values.iter().copied().map(f64::from).sum::<f64>(), "{n}");
        }
        assert_eq!(highest(&[f32::NAN; 9]), f32::NEG_INFINITY);
    }
}
