//! Functions of single numbers.

use burn::tensor::{Device, Tensor, TensorData};
use dqn_core::loss::{Loss, weighted_mean};
use dqn_core::schedule::Span;
use dqn_core::target::{rescale, unscale};
use dqn_core::{Progress, Schedule};
use proptest::prelude::*;

use crate::reference;

fn tensor(values: &[f64]) -> Tensor<2> {
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [1, len]), &Device::flex())
}

fn values(tensor: Tensor<2>) -> Vec<f64> {
    let values: Vec<f32> = tensor.try_into_vec_as().unwrap();
    values.into_iter().map(f64::from).collect()
}

/// The value of `schedule` after `passed` of `whole` steps, in the formula of a straight line or half a circle.
fn scheduled(schedule: &Schedule, passed: u64, whole: u64) -> f64 {
    let part = if passed >= whole { 1.0 } else { passed as f64 / whole as f64 };
    // The height of a point that goes half around a circle, from 1 to 0; cos x = 1 - 2 sin^2(x / 2).
    let wave = |part: f64| 1.0 - (std::f64::consts::FRAC_PI_2 * part).sin().powi(2);
    match *schedule {
        Schedule::Constant { value } => value,
        Schedule::Linear { start, end, .. } => (1.0 - part) * start + part * end,
        Schedule::Exponential { start, end, .. } => ((1.0 - part) * start.ln() + part * end.ln()).exp(),
        Schedule::Cosine { start, end, .. } => wave(part) * start + (1.0 - wave(part)) * end,
        Schedule::WarmUp { peak, rise, .. } if part < rise => peak * (part / rise),
        Schedule::WarmUp { peak, end, rise, .. } => {
            let height = wave((part - rise) / (1.0 - rise));
            height * peak + (1.0 - height) * end
        }
    }
}

fn schedules(whole: u64) -> impl Strategy<Value = Schedule> {
    let over = Span::Steps(whole);
    let two = || (0.01..2.0_f64, 0.01..2.0_f64);
    prop_oneof![
        (0.0..2.0_f64).prop_map(|value| Schedule::Constant { value }),
        two().prop_map(move |(start, end)| Schedule::Linear { start, end, over }),
        two().prop_map(move |(start, end)| Schedule::Exponential { start, end, over }),
        two().prop_map(move |(start, end)| Schedule::Cosine { start, end, over }),
        (two(), 0.01..0.99_f64).prop_map(move |((peak, end), rise)| Schedule::WarmUp { peak, end, over, rise }),
    ]
}

proptest! {
    #[test]
    fn rescaling_is_the_published_function_and_its_inverse(
        all in prop::collection::vec(-300.0..300.0_f64, 1..20),
        epsilon in 1e-3..1.0_f64,
    ) {
        let compressed = values(rescale(tensor(&all), epsilon));
        for (found, value) in compressed.iter().zip(&all) {
            let expected = reference::rescale(*value, epsilon);
            prop_assert!((found - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{found} instead of {expected}");
        }
        for (found, compressed) in values(unscale(tensor(&compressed), epsilon)).iter().zip(&compressed) {
            let expected = reference::unscale(*compressed, epsilon);
            prop_assert!((found - expected).abs() < 1e-3 * (1.0 + expected.abs()), "{found} instead of {expected}");
        }
    }

    #[test]
    fn penalties_are_the_published_ones(
        steps in prop::collection::vec((-5.0..5.0_f64, any::<bool>()), 1..20),
        delta in 0.1..3.0_f64,
        weight in 0.1..1.0_f64,
    ) {
        prop_assume!(steps.iter().any(|(_, valid)| *valid));
        let errors: Vec<f64> = steps.iter().map(|(error, _)| *error).collect();
        let valid: Vec<f64> = steps.iter().map(|(_, valid)| f64::from(u8::from(*valid))).collect();
        for (loss, of) in [
            (Loss::Huber { delta }, &(|error| reference::huber(error, delta)) as &dyn Fn(f64) -> f64),
            (Loss::Mse {}, &|error| error * error),
        ] {
            let penalty = loss.penalty(tensor(&errors));
            for (found, error) in values(penalty.clone()).iter().zip(&errors) {
                prop_assert!((found - of(*error)).abs() < 1e-4, "{found} instead of {}", of(*error));
            }
            let found: f32 = weighted_mean(penalty, tensor(&valid), tensor(&[weight])).into_scalar();
            let counted: Vec<f64> = steps.iter().filter(|(_, valid)| *valid).map(|(error, _)| of(*error)).collect();
            let expected = weight * counted.iter().sum::<f64>() / counted.len() as f64;
            prop_assert!((f64::from(found) - expected).abs() < 1e-4, "{found} instead of {expected}");
        }
    }

    #[test]
    fn schedules_are_their_formulas_and_stay_in_their_bounds(
        (whole, schedule) in (1_u64..1_000).prop_flat_map(|whole| (Just(whole), schedules(whole))),
        passed in 0_u64..2_000,
    ) {
        let found = schedule.value(Progress { steps: passed, updates: 7, episodes: 9 });
        let expected = scheduled(&schedule, passed, whole);
        prop_assert!((found - expected).abs() < 1e-9, "{schedule:?} at {passed}: {found} instead of {expected}");
        let (least, most) = schedule.bounds();
        prop_assert!(found >= least - 1e-12 && found <= most + 1e-12, "{found} outside {least} to {most}");
    }
}
