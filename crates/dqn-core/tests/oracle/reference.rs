//! The definitions, one value at a time.

/// `log sum exp`, without its overflow.
pub(crate) fn log_sum_exp(exponents: impl Iterator<Item = f64> + Clone) -> f64 {
    let highest = exponents.clone().fold(f64::NEG_INFINITY, f64::max);
    highest + exponents.map(|exponent| (exponent - highest).exp()).sum::<f64>().ln()
}

pub(crate) fn softmax(logits: &[f64]) -> Vec<f64> {
    let normalizer = log_sum_exp(logits.iter().copied());
    logits.iter().map(|logit| (logit - normalizer).exp()).collect()
}

/// The returns of a categorical distribution.
pub(crate) fn support(low: f64, high: f64, n_atoms: usize) -> Vec<f64> {
    (0..n_atoms).map(|atom| low + (high - low) * atom as f64 / (n_atoms - 1) as f64).collect()
}

/// Algorithm 1 of Bellemare et al. 2017: what lies between two atoms is shared between them.
pub(crate) fn project(returns: &[f64], probabilities: &[f64], low: f64, high: f64) -> Vec<f64> {
    let n_atoms = returns.len();
    let mut projected = vec![0.0; n_atoms];
    for (moved, probability) in returns.iter().zip(probabilities) {
        let place = (moved.clamp(low, high) - low) / (high - low) * (n_atoms - 1) as f64;
        let below = (place.floor() as usize).min(n_atoms - 1);
        let above = (below + 1).min(n_atoms - 1);
        let share = place - below as f64;
        projected[below] += probability * (1.0 - share);
        projected[above] += probability * share;
    }
    projected
}

pub(crate) fn huber(error: f64, delta: f64) -> f64 {
    if error.abs() <= delta { error * error / 2.0 } else { delta * (error.abs() - delta / 2.0) }
}

/// The quantile regression loss of Dabney et al. 2018: each quantile against each return of the target.
pub(crate) fn quantile_huber(quantiles: &[f64], levels: &[f64], returns: &[f64], delta: f64) -> f64 {
    let mut sum = 0.0;
    for (quantile, level) in quantiles.iter().zip(levels) {
        for moved in returns {
            let error = moved - quantile;
            let tilt = if error < 0.0 { 1.0 - level } else { *level };
            sum += tilt * huber(error, delta) / delta;
        }
    }
    sum / returns.len() as f64
}

/// The middles of `n` equal parts of 0 to 1.
pub(crate) fn midpoints(n: usize) -> Vec<f64> {
    (1..=n).map(|index| (2 * index - 1) as f64 / (2 * n) as f64).collect()
}

/// `h` of Pohlen et al. 2018.
pub(crate) fn rescale(value: f64, epsilon: f64) -> f64 {
    value.signum() * ((value.abs() + 1.0).sqrt() - 1.0) + epsilon * value
}

/// Its inverse, by bisection: `h` rises.
pub(crate) fn unscale(value: f64, epsilon: f64) -> f64 {
    let (mut low, mut high) = (-1e7, 1e7);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if rescale(middle, epsilon) < value { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// What a step of an episode gives, and what is known of the state it leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// Its reward, with all that the step earns as the first of a return.
    pub(crate) reward: f64,
    /// What it earns besides as a later step of a return.
    pub(crate) later: f64,
    /// Whether nothing follows.
    pub(crate) terminates: bool,
    /// Value of the state it leads to.
    pub(crate) next_value: f64,
}

/// The return of the first `n` of `links`, and then the value.
pub(crate) fn n_step_return(links: &[Link], n: usize, discount: f64) -> f64 {
    let mut sum = 0.0;
    let mut factor = 1.0;
    for (index, link) in links.iter().take(n).enumerate() {
        sum += factor * (link.reward + if index > 0 { link.later } else { 0.0 });
        factor *= discount;
        if link.terminates {
            return sum;
        }
    }
    sum + factor * links[n.min(links.len()) - 1].next_value
}

/// The lambda-return in its forward view: a mixture of the returns of all lengths.
pub(crate) fn lambda_return(links: &[Link], lambda: f64, discount: f64) -> f64 {
    let longest = links.len();
    let mixed: f64 =
        (1..longest).map(|n| (1.0 - lambda) * lambda.powi(n as i32 - 1) * n_step_return(links, n, discount)).sum();
    mixed + lambda.powi(longest as i32 - 1) * n_step_return(links, longest, discount)
}

/// How far `advantages` are from agreeing with rewards and values over the first `n` steps (Guo et al. 2021).
pub(crate) fn path_error(advantages: &[f64], links: &[Link], first_value: f64, n: usize, discount: f64) -> f64 {
    let sum: f64 = advantages[..n].iter().enumerate().map(|(l, advantage)| discount.powi(l as i32) * advantage).sum();
    let bare: Vec<Link> = links.iter().map(|link| Link { later: 0.0, ..*link }).collect();
    sum - n_step_return(&bare, n, discount) + first_value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }

    #[test]
    fn sums_and_projections_by_hand() {
        close(log_sum_exp([0.0, 0.0, 2.0_f64.ln()].into_iter()), 4.0_f64.ln());
        assert_eq!(support(-1.0, 2.0, 4), [-1.0, 0.0, 1.0, 2.0]);
        for (found, expected) in softmax(&[1000.0, 1000.0]).iter().zip([0.5, 0.5]) {
            close(*found, expected);
        }
        // A return of 1.25 gives three quarters to 1; returns beyond the ends stay at the ends.
        assert_eq!(project(&[1.25, -7.0, 9.0], &[0.5, 0.25, 0.25], 0.0, 2.0), [0.25, 0.375, 0.375]);
    }

    #[test]
    fn losses_by_hand() {
        assert_eq!([0.5, -1.0, 3.0, -3.0].map(|error| huber(error, 1.0)), [0.125, 0.5, 2.5, 2.5]);
        assert_eq!(midpoints(2), [0.25, 0.75]);
        // u = (0 - 1, 3 - 1) and (0 - 2, 3 - 2).
        let expected = (0.75 * 0.5 + 0.25 * 1.5) / 2.0 + (0.25 * 1.5 + 0.75 * 0.5) / 2.0;
        close(quantile_huber(&[1.0, 2.0], &[0.25, 0.75], &[0.0, 3.0], 1.0), expected);
    }

    #[test]
    fn rescaling_by_hand_and_back() {
        close(rescale(3.0, 0.001), 1.003);
        close(rescale(-8.0, 0.001), -2.008);
        assert!((unscale(1.003, 0.001) - 3.0).abs() < 1e-9);
        assert!((unscale(-2.008, 0.001) + 8.0).abs() < 1e-9);
    }

    /// Rewards 1, 2, 4, then values 20, 30, 40.
    fn links(terminates: bool) -> [Link; 3] {
        [(1.0, 20.0, false), (2.0, 30.0, false), (4.0, 40.0, terminates)].map(|(reward, next_value, terminates)| Link {
            reward,
            later: 8.0,
            terminates,
            next_value,
        })
    }

    #[test]
    fn returns_by_hand() {
        let plain = |terminates| links(terminates).map(|link| Link { later: 0.0, ..link });
        assert_eq!(n_step_return(&plain(false), 1, 0.5), 11.0);
        assert_eq!(n_step_return(&plain(false), 2, 0.5), 1.0 + 1.0 + 7.5);
        assert_eq!(n_step_return(&plain(false), 9, 0.5), 1.0 + 1.0 + 1.0 + 5.0);
        assert_eq!(n_step_return(&plain(true), 9, 0.5), 3.0);
        assert_eq!(n_step_return(&links(true), 9, 1.0), 7.0 + 16.0);
        // y_1 = 2 + (30 + 24) / 4, y_0 = 1 + (20 + y_1) / 4.
        close(lambda_return(&plain(false), 0.5, 0.5), 1.0 + (20.0 + 15.5) / 4.0);
        close(lambda_return(&plain(false), 0.0, 0.5), 11.0);
        close(lambda_return(&plain(true), 1.0, 0.5), 3.0);
    }

    #[test]
    fn path_errors_by_hand() {
        let advantages = [-1.0, -2.0, -4.0];
        // A - (r + discount V' - V), over one step and over all.
        close(path_error(&advantages, &links(false), 10.0, 1, 0.5), -1.0 - 11.0 + 10.0);
        close(path_error(&advantages, &links(false), 10.0, 3, 0.5), -3.0 - 8.0 + 10.0);
        close(path_error(&advantages, &links(true), 10.0, 3, 0.5), -3.0 - 3.0 + 10.0);
    }
}
