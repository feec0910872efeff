//! Dropout inside the torsos.

use burn::nn::Dropout;
use burn::tensor::Tensor;

/// `values` with a share of them set to 0 and the others grown to keep the mean (Srivastava et al. 2014), while learning and
/// where there is a dropout at all.
pub(crate) fn dropped<const D: usize>(dropout: Option<&Dropout>, values: Tensor<D>) -> Tensor<D> {
    match dropout {
        Some(dropout) => dropout.forward(values),
        None => values,
    }
}
