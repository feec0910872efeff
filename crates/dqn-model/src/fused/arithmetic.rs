//! The functions of one number, written so that loops over them become vector instructions.
//!
//! As [`exp`] they have no branch and no call: polynomials and ratios whose absolute error against the standard library
//! stays below 4e-7 (the tests measure it). They let `NaN` through, so that a run that diverges is still noticed.

use dqn_core::arithmetic::add_product;
pub(super) use dqn_core::arithmetic::exp;

/// Whether the processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_wide_vectors() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Whether the processor has AVX-512, with what compilers expect beside its foundation.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_widest_vectors() -> bool {
    has_wide_vectors()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
}

/// Compiles a loop for AVX-512, for AVX2 with FMA, and for the processor that everything is built for, and chooses when
/// called. The body knows as `FUSED` whether a product and a sum are one instruction.
macro_rules! vectorized {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "plain slices, whose names say what they are")]
        $visibility fn $name($($argument: $type),*) {
            #[allow(clippy::extra_unused_type_parameters, reason = "not every body asks")]
            #[inline(always)]
            fn plain<const FUSED: bool>($($argument: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                fn widest($($argument: $type),*) {
                    plain::<true>($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn wide($($argument: $type),*) {
                    plain::<true>($($argument),*)
                }
                if $crate::fused::arithmetic::has_widest_vectors() {
                    // SAFETY: the processor has what the function is compiled for.
                    #[allow(unsafe_code, reason = "code for a processor feature is called after asking for it")]
                    return unsafe { widest($($argument),*) };
                }
                if $crate::fused::arithmetic::has_wide_vectors() {
                    // SAFETY: the processor has what the function is compiled for.
                    #[allow(unsafe_code, reason = "code for a processor feature is called after asking for it")]
                    return unsafe { wide($($argument),*) };
                }
            }
            plain::<{ cfg!(target_arch = "aarch64") }>($($argument),*)
        }
    };
}

pub(super) use vectorized;

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FUSED>(-x))
}

/// The hyperbolic tangent.
#[inline(always)]
pub(super) fn tanh<const FUSED: bool>(x: f32) -> f32 {
    1.0 - 2.0 / (exp::<FUSED>(2.0 * x) + 1.0)
}

/// The error function of `x`, and `e^(-x^2)`, which it needs on the way.
///
/// Source: Abramowitz and Stegun 1964, eq. 7.1.26.
#[inline(always)]
fn erf<const FUSED: bool>(x: f32) -> (f32, f32) {
    let size = x.abs();
    let bell = exp::<FUSED>(-size * size);
    let t = 1.0 / add_product::<FUSED>(0.327_591_1, size, 1.0);
    let mut p = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = add_product::<FUSED>(p, t, coefficient);
    }
    ((1.0 - p * t * bell).copysign(x), bell)
}

/// `x Phi(x)` with the distribution function of the normal distribution (Hendrycks and Gimpel 2016).
#[inline(always)]
pub(super) fn gelu<const FUSED: bool>(x: f32) -> f32 {
    0.5 * x * (1.0 + erf::<FUSED>(x * std::f32::consts::FRAC_1_SQRT_2).0)
}

/// The derivative of [`gelu`]: `Phi(x) + x phi(x)`.
#[inline(always)]
pub(super) fn gelu_slope<const FUSED: bool>(x: f32) -> f32 {
    const HEIGHT: f32 = 0.398_942_3;
    let (erf, bell) = erf::<FUSED>(x * std::f32::consts::FRAC_1_SQRT_2);
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
        check("sigmoid", sigmoid::<false>, |x| 1.0 / (1.0 + (-x).exp()));
        check("sigmoid", sigmoid::<true>, |x| 1.0 / (1.0 + (-x).exp()));
        check("tanh", tanh::<false>, f64::tanh);
        check("tanh", tanh::<true>, f64::tanh);
    }

    #[test]
    fn extremes_stay_in_range() {
        assert_eq!((sigmoid::<true>(1e9), sigmoid::<true>(-1e9) < 1e-30), (1.0, true));
        assert_eq!((tanh::<true>(1e9), tanh::<true>(-1e9)), (1.0, -1.0));
        assert_eq!((gelu::<true>(0.0), gelu::<true>(40.0)), (0.0, 40.0));
        assert!(gelu::<true>(-40.0).abs() < 1e-6);
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
            for found in [gelu::<false>(x as f32), gelu::<true>(x as f32)] {
                assert!(
                    (f64::from(found) - value).abs() < 1e-6 * x.abs().max(1.0),
                    "gelu({x}) is {found}, not {value}"
                );
            }
            for found in [gelu_slope::<false>(x as f32), gelu_slope::<true>(x as f32)] {
                assert!((f64::from(found) - slope).abs() < 2e-6, "the slope at {x} is {found}, not {slope}");
            }
            below += 0.5 * width * (bell(x) + bell(x + width));
        }
        assert!(gelu::<true>(f32::NAN).is_nan() && gelu_slope::<true>(f32::NAN).is_nan());
    }
}
