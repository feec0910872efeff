//! Draws from replay against the list of all windows and their priorities.

use dqn_core::replay::PriorityConfig;
use dqn_core::{Progress, Replay, ReplayConfig, Schedule};
use dqn_mdp::{Seed, Trajectory};
use proptest::prelude::*;
use rand::RngExt;

use crate::episodes::episode;

/// A stored window: its episode's place in the order of arrival, its first step, its priority before the exponent.
#[derive(Clone, Copy, Debug)]
struct Listed {
    episode: usize,
    start: usize,
    priority: f64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn windows_are_drawn_in_proportion_to_their_priority(
        lengths in prop::collection::vec(1_usize..9, 1..12),
        window_steps in 1_usize..4,
        capacity_steps in 8_usize..40,
        alpha in prop::sample::select(vec![0.0, 0.6, 1.0]),
        beta in prop::sample::select(vec![0.0, 0.4, 1.0]),
        eta in prop::sample::select(vec![0.0, 0.9, 1.0]),
        seed: u64,
    ) {
        let epsilon = 1e-3;
        let priority = Some(PriorityConfig { alpha, beta: Schedule::Constant { value: beta }, eta, epsilon });
        let config = ReplayConfig { capacity_steps, warmup_steps: 1, priority, ..ReplayConfig::default() };
        let mut replay = Replay::new(config, window_steps);
        let mut rng = Seed(seed).stream("case");
        let (mut listed, mut episodes) = (Vec::<Listed>::new(), Vec::<Trajectory>::new());
        let mut highest = 1.0_f64;
        for length in lengths {
            let arrived = episode(length, false, &mut rng);
            replay.push(arrived.clone());
            episodes.push(arrived);
            let n_windows = if length > window_steps { length - window_steps + 1 } else { 1 };
            let new = |start| Listed { episode: episodes.len() - 1, start, priority: highest };
            listed.extend((0..n_windows).map(new));
            // The oldest leave whole until the rest fits.
            let held = |listed: &[Listed]| -> usize {
                (listed[0].episode..episodes.len()).map(|index| episodes[index].len()).sum()
            };
            while held(&listed) > capacity_steps && listed[0].episode + 1 < episodes.len() {
                let oldest = listed[0].episode;
                listed.retain(|window| window.episode > oldest);
            }
            let oldest = listed[0].episode;
            let find = |trajectory: &Trajectory, start: usize, listed: &[Listed]| -> usize {
                let place = replay.episodes().position(|stored| std::ptr::eq(stored, trajectory)).unwrap();
                let of = |window: &Listed| window.episode == oldest + place && window.start == start;
                listed.iter().position(of).unwrap()
            };

            // One draw from each of n equal parts of the sum: a window is met as often as parts lie within its own, and
            // at most once more at either end.
            let n = 400;
            let sample = replay.sample(n, Progress::default(), &mut rng);
            let total: f64 = listed.iter().map(|window| window.priority.powf(alpha)).sum();
            let probability = |index: usize| listed[index].priority.powf(alpha) / total;
            let mut counts = vec![0_usize; listed.len()];
            let drawn: Vec<usize> =
                sample.windows.iter().map(|window| find(window.trajectory, window.start, &listed)).collect();
            let weight = |index: usize| (listed.len() as f64 * probability(index)).powf(-beta);
            let largest = drawn.iter().map(|&index| weight(index)).fold(0.0, f64::max);
            for (&index, found) in drawn.iter().zip(&sample.weights) {
                counts[index] += 1;
                let expected = weight(index) / largest;
                prop_assert!((f64::from(*found) - expected).abs() < 1e-5, "weight {found} instead of {expected}");
            }
            for (index, &count) in counts.iter().enumerate() {
                let expected = n as f64 * probability(index);
                prop_assert!((count as f64 - expected).abs() <= 2.0, "{count} draws, {expected} expected");
            }

            // Some of the windows are learned from.
            let chosen: Vec<usize> = (0..5).map(|_| rng.random_range(0..drawn.len())).collect();
            let numbers: Vec<u64> = chosen.iter().map(|&draw| sample.numbers[draw]).collect();
            let errors: Vec<(f32, f32)> =
                chosen.iter().map(|_| (rng.random_range(0.5..3.0), rng.random_range(0.0..0.5))).collect();
            let (max, mean): (Vec<f32>, Vec<f32>) = errors.iter().copied().unzip();
            for (&draw, (max, mean)) in chosen.iter().zip(errors) {
                let priority = eta * f64::from(max) + (1.0 - eta) * f64::from(mean) + epsilon;
                listed[drawn[draw]].priority = priority;
                highest = highest.max(priority);
            }
            replay.update_priorities(&numbers, &max, &mean);
        }
    }

    #[test]
    fn without_priorities_every_window_is_as_likely(
        lengths in prop::collection::vec(1_usize..6, 1..5),
        window_steps in 1_usize..4,
        seed: u64,
    ) {
        let mut rng = Seed(seed).stream("case");
        let mut replay = Replay::new(ReplayConfig::default(), window_steps);
        lengths.iter().for_each(|&length| replay.push(episode(length, false, &mut rng)));
        let n_windows: usize =
            lengths.iter().map(|&length| if length > window_steps { length - window_steps + 1 } else { 1 }).sum();
        let n = 20_000;
        let sample = replay.sample(n, Progress::default(), &mut rng);
        let mut counts = std::collections::BTreeMap::<(usize, usize), usize>::new();
        for window in &sample.windows {
            let place = replay.episodes().position(|stored| std::ptr::eq(stored, window.trajectory)).unwrap();
            *counts.entry((place, window.start)).or_default() += 1;
        }
        prop_assert_eq!(counts.len(), n_windows);
        // Six deviations of a count.
        let expected = n as f64 / n_windows as f64;
        let slack = 6.0 * expected.sqrt();
        prop_assert!(counts.values().all(|&count| (count as f64 - expected).abs() < slack), "{counts:?}");
        prop_assert!(sample.weights.iter().all(|&weight| weight == 1.0));
    }
}
