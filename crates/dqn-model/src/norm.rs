//! Layer normalisation.

use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{Device, Tensor};

#[cfg(feature = "flex")]
use crate::fused;

/// Added to the variance (Ba et al. 2016 leave it open; this is PyTorch's).
const EPSILON: f64 = 1e-5;

/// A norm of rows of `width` that begins without effect on normal ones.
pub(crate) fn layer_norm(width: usize, device: &Device) -> LayerNorm {
    LayerNormConfig::new(width).with_epsilon(EPSILON).init(device)
}

/// Normalises the last dimension with a norm that [`layer_norm`] made.
pub(crate) fn normalise<const D: usize>(norm: &LayerNorm, features: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let (true, Some(beta)) = (fused::can_record(&features.device()), &norm.beta) {
        let dims = features.dims();
        let width = dims[D - 1];
        let n_rows = dims[..D - 1].iter().product();
        let rows = features.reshape([n_rows, width]);
        return fused::norm(rows, norm.gamma.val(), beta.val(), EPSILON).reshape(dims);
    }
    norm.forward(features)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::module::Param;
    use proptest::prelude::*;

    use super::*;
    use crate::fused::oracle;

    fn check(shape: [usize; 3], seed: u64) {
        let module = oracle::drawn(seed, |init| {
            let mut norm = layer_norm(shape[2], init.device);
            norm.gamma = init.uniform_vector(shape[2], 2.0);
            norm.beta = Some(init.uniform_vector(shape[2], 1.0));
            (oracle::inputs(shape, init), norm)
        });
        let plain = |(inputs, norm): &(Param<Tensor<3>>, LayerNorm)| norm.forward(inputs.val());
        oracle::check(&module, |(inputs, norm)| normalise(norm, inputs.val()), plain);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_fused_norm_is_the_plain_one(batch in 1_usize..5, time in 1_usize..7, width in 3_usize..40, seed: u64) {
            check([batch, time, width], seed);
        }
    }

    #[test]
    fn a_norm_large_enough_for_several_threads_is_the_plain_one() {
        check([9, 40, 24], 3);
    }
}
