//! The functions of one number, written so that loops over them become vector instructions.
//!
//! The standard library calls a routine for each element. These have no branch and no call: polynomials and ratios whose
//! absolute error against the standard library stays below 4e-7 (the tests measure it). They let `NaN` through, so that a
//! run that diverges is still noticed.

/// Compiles a loop once for AVX2 with FMA and once for the processor that everything is built for, and chooses when
/// called.
macro_rules! vectorized {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $visibility fn $name($($argument: $type),*) {
            #[inline(always)]
            fn plain($($argument: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($argument: $type),*) {
                    plain($($argument),*)
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has what the function is compiled for.
                    #[allow(unsafe_code, reason = "code for a processor feature is called after asking for it")]
                    return unsafe { wide($($argument),*) };
                }
            }
            plain($($argument),*)
        }
    };
}

pub(super) use vectorized;

/// `e^x`; arguments beyond -87 and 88 count as those.
///
/// The argument is split into `k ln 2 + r` with `|r| <= ln 2 / 2`; a polynomial gives `e^r`, the exponent bits `2^k`.
/// Source: the coefficients are those of Cephes' `expf` (Moshier 1992).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding this number rounds to an integer and leaves that integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (x - k * 0.693_359_4) + k * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4_f32;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    (p * r * r + r + 1.0) * power
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// The error function of `x`, and `e^(-x^2)`, which it needs on the way.
///
/// Source: Abramowitz and Stegun 1964, eq. 7.1.26.
#[inline(always)]
fn erf(x: f32) -> (f32, f32) {
    let size = x.abs();
    let bell = exp(-size * size);
    let t = 1.0 / (1.0 + 0.327_591_1 * size);
    let p = (((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t + 0.254_829_6;
    ((1.0 - p * t * bell).copysign(x), bell)
}

/// `x Phi(x)` with the distribution function of the normal distribution (Hendrycks and Gimpel 2016).
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2).0)
}

/// The derivative of [`gelu`]: `Phi(x) + x phi(x)`.
#[inline(always)]
pub(super) fn gelu_slope(x: f32) -> f32 {
    const HEIGHT: f32 = 0.398_942_3;
    let (erf, bell) = erf(x * std::f32::consts::FRAC_1_SQRT_2);
    0.5 * (1.0 + erf) + HEIGHT * x * bell
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments() -> impl Iterator<Item = f32> {
        (-400_000..=400_000).map(|step| step as f32 * 5e-5)
    }

    fn check(name: &str, found: impl Fn(f32) -> f32, expected: impl Fn(f64) -> f64) {
        for x in arguments() {
            let (found, expected) = (f64::from(found(x)), expected(f64::from(x)));
            let bound = 4e-7 * expected.abs().max(1.0);
            assert!((found - expected).abs() < bound, "{name}({x}) is {found}, not {expected}");
        }
        assert!(found(f32::NAN).is_nan(), "{name} hides NaN");
    }

    #[test]
    fn functions_agree_with_the_standard_library() {
        check("exp", exp, f64::exp);
        check("sigmoid", sigmoid, |x| 1.0 / (1.0 + (-x).exp()));
        check("tanh", tanh, f64::tanh);
    }

    #[test]
    fn extremes_stay_in_range() {
        assert_eq!((sigmoid(1e9), sigmoid(-1e9) < 1e-30), (1.0, true));
        assert_eq!((tanh(1e9), tanh(-1e9)), (1.0, -1.0));
        assert_eq!((exp(0.0), gelu(0.0), gelu(-40.0).abs() < 1e-6, gelu(40.0)), (1.0, 0.0, true, 40.0));
    }

    #[test]
    fn gelu_agrees_with_the_integral_of_the_bell_curve() {
        // The distribution function by the trapezoid rule from -12, in steps of 2^-10.
        let bell = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        let width = 1.0 / 1024.0;
        let mut below = 0.0;
        for step in -12 * 1024..12 * 1024 {
            let x = f64::from(step) * width;
            let (value, slope) = (x * below, below + x * bell(x));
            let (found, found_slope) = (f64::from(gelu(x as f32)), f64::from(gelu_slope(x as f32)));
            assert!((found - value).abs() < 1e-6 * x.abs().max(1.0), "gelu({x}) is {found}, not {value}");
            assert!((found_slope - slope).abs() < 2e-6, "the slope at {x} is {found_slope}, not {slope}");
            below += 0.5 * width * (bell(x) + bell(x + width));
        }
        assert!(gelu(f32::NAN).is_nan() && gelu_slope(f32::NAN).is_nan());
    }
}
