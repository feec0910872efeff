//! Which of its starts an episode begins with.

use dqn_mdp::{MdpError, Start};
use rand::RngExt;

/// The index `start` names among `n_starts`, drawn uniformly where it gives a seed.
pub(crate) fn index(start: Start, n_starts: usize) -> Result<usize, MdpError> {
    match start {
        Start::Drawn(seed) => Ok(seed.stream("start").random_range(0..n_starts)),
        Start::Indexed(index) if index < n_starts => Ok(index),
        Start::Indexed(index) => Err(MdpError::NoSuchStart { index, n_starts }),
    }
}
