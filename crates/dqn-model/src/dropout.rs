//! Dropout inside the torsos.

use burn::nn::Dropout;
use burn::tensor::Tensor;
#[cfg(feature = "flex")]
use burn::tensor::{Device, Distribution, TensorData};
#[cfg(feature = "flex")]
use rand::{Rng, SeedableRng};
#[cfg(feature = "flex")]
use rand_chacha::ChaCha8Rng;

#[cfg(feature = "flex")]
use crate::fused;

/// `values` with a share of them set to 0 and the others grown to keep the mean (Srivastava et al. 2014), while learning and
/// where there is a dropout at all.
pub(crate) fn dropped<const D: usize>(dropout: Option<&Dropout>, values: Tensor<D>) -> Tensor<D> {
    match dropout {
        #[cfg(feature = "flex")]
        Some(dropout)
            if values.device().is_autodiff()
                && dropout.training.is_enabled()
                && fused::can_record(&values.device()) =>
        {
            let mask = mask(dropout.prob, values.dims(), &values.device());
            values * mask
        }
        Some(dropout) => dropout.forward(values),
        None => values,
    }
}

/// Steps of a probability that are told apart.
#[cfg(feature = "flex")]
const STEPS: f64 = 65_536.0;

/// 0 with the given probability, to the nearest of [`STEPS`], else what keeps the mean.
///
/// The backend's generator draws number by number, which takes longer than a layer; so it is asked for a seed only.
#[cfg(feature = "flex")]
fn mask<const D: usize>(probability: f64, shape: [usize; D], device: &Device) -> Tensor<D> {
    let device = device.clone().inner();
    let drawn: Vec<f32> = Tensor::<1>::random([4], Distribution::Uniform(0.0, 1.0), &device)
        .try_into_vec_as()
        .expect("what is drawn are 32-bit floats");
    let mut seed = [0; 32];
    for (bytes, value) in seed.chunks_exact_mut(4).zip(drawn) {
        bytes.copy_from_slice(&value.to_bits().to_le_bytes());
    }
    let n_dropped = (probability * STEPS).round().min(STEPS - 1.0);
    let kept = (STEPS / (STEPS - n_dropped)) as f32;
    let n_dropped = n_dropped as u16;
    let mut bytes = vec![0; 2 * shape.iter().product::<usize>()];
    ChaCha8Rng::from_seed(seed).fill_bytes(&mut bytes);
    let (pairs, _) = bytes.as_chunks::<2>();
    let values = pairs.iter().map(|&pair| if u16::from_le_bytes(pair) < n_dropped { 0.0 } else { kept }).collect();
    // A mask has no gradient of its own; it only has to lie where the values lie.
    Tensor::from_inner(Tensor::<D>::from_data(TensorData::new::<f32, _>(values, shape), &device))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::nn::DropoutConfig;

    use super::*;

    fn numbers(values: Tensor<2>) -> Vec<f32> {
        values.try_into_vec_as().expect("32-bit floats")
    }

    #[test]
    fn a_share_is_dropped_and_the_mean_is_kept() {
        let device = Device::flex().autodiff();
        let ones = || Tensor::<2>::ones([400, 500], &device);
        let found = numbers(dropped(Some(&DropoutConfig::new(0.3).init()), ones()));
        let n_dropped = found.iter().filter(|&&value| value == 0.0).count();
        // Of 200,000 draws the share is within five deviations of .3, .001 each.
        assert!((n_dropped as f64 / 200_000.0 - 0.3).abs() < 0.0052, "{n_dropped}");
        assert!(found.iter().all(|&value| value == 0.0 || (value - 1.0 / 0.7).abs() < 1e-4));
        let other = numbers(dropped(Some(&DropoutConfig::new(0.3).init()), ones()));
        assert_ne!(found, other, "every pass drops others");
    }

    #[test]
    fn nothing_is_dropped_without_a_graph() {
        let ones = Tensor::<2>::ones([20, 20], &Device::flex());
        let found = numbers(dropped(Some(&DropoutConfig::new(0.5).init()), ones));
        assert!(found.iter().all(|&value| value == 1.0));
    }

    #[test]
    fn the_gradient_passes_where_nothing_is_dropped() {
        let device = Device::flex().autodiff();
        let values = Tensor::<2>::ones([10, 10], &device).require_grad();
        let found = dropped(Some(&DropoutConfig::new(0.5).init()), values.clone());
        let gradients = found.clone().sum().backward();
        let gradient = numbers(values.grad(&gradients).unwrap());
        assert_eq!(gradient, numbers(found.inner()));
    }
}
