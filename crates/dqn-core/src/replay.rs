//! Replay: the recent episodes, from which windows are drawn.

use std::collections::VecDeque;

use dqn_mdp::Trajectory;
use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What replay keeps and how it draws.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayConfig {
    /// Steps kept; the oldest episodes are dropped whole when there are more (Mnih et al. 2015 kept a million).
    #[schemars(range(min = 1))]
    pub capacity_steps: usize,
    /// Updates begin when replay holds this many steps.
    #[schemars(range(min = 1))]
    pub warmup_steps: usize,
    /// Share of each batch drawn from windows that hold a step with a positive reward, from 0 to 1
    /// (Narasimhan et al. 2015, section 4.3, use .25). 0 draws uniformly.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rewarded_fraction: f64,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self { capacity_steps: 100_000, warmup_steps: 1_000, rewarded_fraction: 0.0 }
    }
}

/// Some consecutive steps of a stored episode.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// The episode.
    pub trajectory: &'a Trajectory,
    /// Index of the first step.
    pub start: usize,
    /// Number of steps, at least 1.
    pub len: usize,
}

/// A stored episode and the running numbers of its windows.
///
/// Windows are numbered through the life of the replay; an episode holds the numbers from `first_window` up to that of
/// its successor. A window is found from its number by bisection, and dropping the oldest episode renumbers nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stored {
    trajectory: Trajectory,
    first_window: u64,
    first_rewarded: u64,
    /// Starts of the windows that hold a positive reward.
    rewarded_starts: Vec<u32>,
}

/// A ring of whole episodes.
///
/// An episode of `n` steps offers `max(1, n - window_steps + 1)` windows; every window is equally likely. With
/// `window_steps = 1` this is the uniform replay of single transitions of Mnih et al. 2015.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    config: ReplayConfig,
    window_steps: usize,
    stored: VecDeque<Stored>,
    n_steps: usize,
    next_window: u64,
    next_rewarded: u64,
}

impl Replay {
    /// An empty replay that draws windows of `window_steps` steps.
    ///
    /// # Panics
    /// When `window_steps` is 0.
    pub fn new(config: ReplayConfig, window_steps: usize) -> Self {
        assert!(window_steps > 0, "a window has at least one step");
        Self { config, window_steps, stored: VecDeque::new(), n_steps: 0, next_window: 0, next_rewarded: 0 }
    }

    /// Stores an episode and drops the oldest ones beyond the capacity; an episode without steps is not stored.
    pub fn push(&mut self, trajectory: Trajectory) {
        if trajectory.is_empty() {
            return;
        }
        let n_windows = (trajectory.len() + 1).saturating_sub(self.window_steps).max(1);
        let is_rewarded = |start: &usize| {
            let end = (start + self.window_steps).min(trajectory.len());
            trajectory.rewards[*start..end].iter().any(|&reward| reward > 0.0)
        };
        let rewarded_starts = match self.config.rewarded_fraction > 0.0 {
            true => (0..n_windows).filter(is_rewarded).map(|start| start as u32).collect(),
            false => Vec::new(),
        };
        self.n_steps += trajectory.len();
        let (first_window, first_rewarded) = (self.next_window, self.next_rewarded);
        self.next_window += n_windows as u64;
        self.next_rewarded += rewarded_starts.len() as u64;
        self.stored.push_back(Stored { trajectory, first_window, first_rewarded, rewarded_starts });
        while self.n_steps > self.config.capacity_steps && self.stored.len() > 1 {
            let dropped = self.stored.pop_front().expect("more than one episode is stored");
            self.n_steps -= dropped.trajectory.len();
        }
    }

    /// Steps held.
    pub fn n_steps(&self) -> usize {
        self.n_steps
    }

    /// Episodes held, oldest first.
    pub fn episodes(&self) -> impl ExactSizeIterator<Item = &Trajectory> {
        self.stored.iter().map(|stored| &stored.trajectory)
    }

    /// Whether there is enough to learn from.
    pub fn is_warm(&self) -> bool {
        self.n_steps >= self.config.warmup_steps.min(self.config.capacity_steps)
    }

    /// Draws `n` windows, with replacement.
    ///
    /// # Panics
    /// When replay is empty.
    pub fn sample(&self, n: usize, rng: &mut impl Rng) -> Vec<Window<'_>> {
        let front = self.stored.front().expect("sampling from an empty replay");
        let rewarded = front.first_rewarded..self.next_rewarded;
        let n_rewarded = match rewarded.is_empty() {
            true => 0,
            false => (n as f64 * self.config.rewarded_fraction).round() as usize,
        };
        let any = front.first_window..self.next_window;
        (0..n)
            .map(|index| match index < n_rewarded {
                true => self.rewarded_window(rng.random_range(rewarded.clone())),
                false => self.window(rng.random_range(any.clone())),
            })
            .collect()
    }

    fn window(&self, number: u64) -> Window<'_> {
        let stored = &self.stored[self.stored.partition_point(|stored| stored.first_window <= number) - 1];
        self.window_at(stored, (number - stored.first_window) as usize)
    }

    fn rewarded_window(&self, number: u64) -> Window<'_> {
        let stored = &self.stored[self.stored.partition_point(|stored| stored.first_rewarded <= number) - 1];
        let start = stored.rewarded_starts[(number - stored.first_rewarded) as usize];
        self.window_at(stored, start as usize)
    }

    fn window_at<'a>(&self, stored: &'a Stored, start: usize) -> Window<'a> {
        let len = self.window_steps.min(stored.trajectory.len() - start);
        Window { trajectory: &stored.trajectory, start, len }
    }
}

#[cfg(test)]
mod tests {
    use dqn_mdp::{ActionId, ActionMask, Outcome, Seed, State, Step, TokenId};
    use proptest::prelude::*;

    use super::*;

    /// An episode whose action ids are `first`, `first + 1`, ... and whose reward is positive where the id is a
    /// multiple of 5.
    fn episode(first: u32, n_steps: usize) -> Trajectory {
        let mut episode = Trajectory::begin(State { tokens: vec![TokenId(2)] }, ActionMask::All);
        for index in 0..n_steps as u32 {
            let action = ActionId(first + index);
            let outcome = if index + 1 == n_steps as u32 { Outcome::Terminated } else { Outcome::Continues };
            let reward = if action.0.is_multiple_of(5) { 1.0 } else { 0.0 };
            episode.push(action, &Step { reward, observed: vec![TokenId(4)], outcome }, ActionMask::All);
        }
        episode
    }

    fn filled(capacity_steps: usize, window_steps: usize, rewarded_fraction: f64, lengths: &[usize]) -> Replay {
        let config = ReplayConfig { capacity_steps, warmup_steps: 1, rewarded_fraction };
        let mut replay = Replay::new(config, window_steps);
        let mut first = 0;
        for &length in lengths {
            replay.push(episode(first, length));
            first += length as u32;
        }
        replay
    }

    #[test]
    fn single_steps_are_drawn_uniformly() {
        let replay = filled(1_000, 1, 0.0, &[1, 7, 2]);
        let mut counts = [0_u32; 10];
        for window in replay.sample(50_000, &mut Seed(1).stream("replay")) {
            assert_eq!(window.len, 1);
            counts[window.trajectory.actions[window.start].index()] += 1;
        }
        assert!(counts.iter().all(|&count| (4_700..5_300).contains(&count)), "{counts:?}");
    }

    #[test]
    fn the_oldest_episodes_make_room() {
        let replay = filled(10, 3, 0.0, &[4, 4, 4, 4]);
        let firsts: Vec<u32> = replay.episodes().map(|episode| episode.actions[0].0).collect();
        assert_eq!((firsts, replay.n_steps()), (vec![8, 12], 8));
    }

    #[test]
    fn the_asked_share_holds_a_reward() {
        let replay = filled(1_000, 1, 0.25, &[50, 50]);
        let windows = replay.sample(40, &mut Seed(1).stream("replay"));
        let rewarded = |window: &Window<'_>| window.trajectory.rewards[window.start] > 0.0;
        assert!(windows[..10].iter().all(rewarded));
        assert!(!windows[10..].iter().all(rewarded));
    }

    proptest! {
        #[test]
        fn windows_stay_inside_stored_episodes(
            lengths in prop::collection::vec(0_usize..12, 1..20),
            window_steps in 1_usize..8,
            capacity in 1_usize..60,
            fraction in prop::sample::select(vec![0.0, 0.5, 1.0]),
            seed: u64,
        ) {
            let replay = filled(capacity, window_steps, fraction, &lengths);
            prop_assert_eq!(replay.n_steps(), replay.episodes().map(Trajectory::len).sum::<usize>());
            prop_assert!(replay.n_steps() <= capacity || replay.episodes().len() == 1);
            if replay.n_steps() > 0 {
                for window in replay.sample(32, &mut Seed(seed).stream("replay")) {
                    prop_assert!(window.len >= 1 && window.start + window.len <= window.trajectory.len());
                    prop_assert_eq!(window.len, window_steps.min(window.trajectory.len()));
                }
            }
        }
    }
}
