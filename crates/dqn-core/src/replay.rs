//! Replay: the recent episodes, from which windows are drawn.

use std::collections::{HashSet, VecDeque};

use dqn_mdp::{ActionMask, Trajectory};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::schedule::{Progress, Schedule, Span};
use crate::sum_tree::SumTree;

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
    /// Forget all episodes before each round of new ones, so that only what the present policy wrote is learned from
    /// (no replay, as in Gallici et al. 2024).
    pub only_fresh: bool,
    /// Draw so many times the windows of a batch, sort them by the length of their texts, and take one of these parts: every
    /// window is as likely as before, and less of a batch is padding. 1 takes them as they are drawn.
    #[schemars(range(min = 1, max = 1024))]
    pub length_pool_batches: usize,
    /// Draw windows in proportion to how wrong their values were. Leave it out to draw uniformly.
    pub priority: Option<PriorityConfig>,
}

/// Prioritized replay (Schaul et al. 2016), over windows as in Kapturowski et al. 2019.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PriorityConfig {
    /// How far priorities matter: a window is drawn in proportion to `priority^alpha`; 0 draws uniformly.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: f64,
    /// How far importance weights `(N P)^-beta / max` make up for it, from 0 to 1.
    pub beta: Schedule,
    /// Share of the largest TD error of a window in its priority; the mean has the rest.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub eta: f64,
    /// Added to every priority, so that none is 0.
    #[schemars(range(min = 1e-12))]
    pub epsilon: f64,
}

impl Default for PriorityConfig {
    fn default() -> Self {
        let beta = Schedule::Linear { start: 0.4, end: 1.0, over: Span::Updates(10_000) };
        Self { alpha: 0.6, beta, eta: 0.9, epsilon: 1e-6 }
    }
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            capacity_steps: 100_000,
            warmup_steps: 1_000,
            rewarded_fraction: 0.0,
            only_fresh: false,
            length_pool_batches: 1,
            priority: None,
        }
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

/// Windows drawn from replay.
#[derive(Clone, Debug)]
pub struct Sample<'a> {
    /// The windows.
    pub windows: Vec<Window<'a>>,
    /// Their numbers in the life of the replay, by which [`Replay::update_priorities`] finds them again.
    pub numbers: Vec<u64>,
    /// Importance weight of each, at most 1; all 1 where windows are drawn uniformly.
    pub weights: Vec<f32>,
}

/// A stored episode and the running numbers of its windows.
///
/// The ring holds it boxed, so that the ring's room to grow is one of pointers.
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
///
/// # Units
/// Where a step writes one token, a token takes 16 bytes ([`Trajectory`]), and an episode 250 to 350 more with the heads
/// of its lists: about 16 bytes a token in texts of a thousand tokens, 27 in lines of twenty-five. Priorities add 16 bytes
/// for each step of the capacity, rounded up to a power of two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Not saved: it is the experiment's, and its schedule could not be read from a format that does not describe itself.
    #[serde(skip)]
    config: ReplayConfig,
    window_steps: usize,
    #[serde(deserialize_with = "with_shared_masks")]
    stored: VecDeque<Box<Stored>>,
    n_steps: usize,
    next_window: u64,
    next_rewarded: u64,
    priorities: Option<Priorities>,
}

/// Reads episodes that take as little memory as those that were written: their equal masks share one allocation, and
/// their lists have no room to grow.
fn with_shared_masks<'de, D: Deserializer<'de>>(source: D) -> Result<VecDeque<Box<Stored>>, D::Error> {
    let mut all = VecDeque::<Box<Stored>>::deserialize(source)?;
    let mut known: HashSet<ActionMask> = HashSet::new();
    for stored in &mut all {
        stored.trajectory.share_masks(&mut known);
        stored.trajectory.shrink_to_fit();
        stored.rewarded_starts.shrink_to_fit();
    }
    Ok(all)
}

/// `priority^alpha` of every stored window, at its number modulo the size of the tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Priorities {
    tree: SumTree,
    /// The largest priority met so far: that of windows not yet learned from.
    highest: f64,
}

impl Priorities {
    fn leaf(&self, number: u64) -> usize {
        (number % self.tree.len() as u64) as usize
    }
}

impl Replay {
    /// An empty replay that draws windows of `window_steps` steps.
    ///
    /// # Panics
    /// When `window_steps` is 0.
    pub fn new(config: ReplayConfig, window_steps: usize) -> Self {
        assert!(window_steps > 0, "a window has at least one step");
        let tree = || Priorities { tree: SumTree::new(config.capacity_steps), highest: 1.0 };
        let priorities = config.priority.as_ref().map(|_| tree());
        Self { config, window_steps, stored: VecDeque::new(), n_steps: 0, next_window: 0, next_rewarded: 0, priorities }
    }

    /// Takes up what `saved`, read from a checkpoint, holds; the settings stay those of this replay.
    pub fn resume(&mut self, saved: Replay) {
        *self = Self { config: std::mem::take(&mut self.config), ..saved };
    }

    /// Stores an episode and drops the oldest ones beyond the capacity; an episode without steps is not stored.
    pub fn push(&mut self, mut trajectory: Trajectory) {
        if trajectory.is_empty() {
            return;
        }
        trajectory.shrink_to_fit();
        let n_windows = self.n_windows_of(&trajectory);
        let is_rewarded = |start: &usize| {
            let end = (start + self.window_steps).min(trajectory.len());
            trajectory.rewards[*start..end].iter().any(|&reward| reward > 0.0)
        };
        let rewarded_starts = match self.config.rewarded_fraction > 0.0 {
            true => (0..n_windows).filter(is_rewarded).map(|start| start as u32).collect(),
            false => Vec::new(),
        };
        // Room is made first: then no two stored windows share a leaf of the tree of priorities.
        while self.n_steps + trajectory.len() > self.config.capacity_steps && !self.stored.is_empty() {
            self.drop_oldest();
        }
        self.n_steps += trajectory.len();
        let (first_window, first_rewarded) = (self.next_window, self.next_rewarded);
        self.next_window += n_windows as u64;
        self.next_rewarded += rewarded_starts.len() as u64;
        if let (Some(priorities), Some(config)) = (&mut self.priorities, &self.config.priority) {
            if n_windows > priorities.tree.len() {
                // An episode longer than the capacity is alone; nothing else has to move.
                priorities.tree = SumTree::new(n_windows);
            }
            let weight = priorities.highest.powf(config.alpha);
            for number in first_window..self.next_window {
                let leaf = priorities.leaf(number);
                priorities.tree.set(leaf, weight);
            }
        }
        self.stored.push_back(Box::new(Stored { trajectory, first_window, first_rewarded, rewarded_starts }));
    }

    fn n_windows_of(&self, episode: &Trajectory) -> usize {
        (episode.len() + 1).saturating_sub(self.window_steps).max(1)
    }

    fn drop_oldest(&mut self) {
        let dropped = self.stored.pop_front().expect("an episode is stored");
        self.n_steps -= dropped.trajectory.len();
        if let Some(priorities) = &mut self.priorities {
            let next = self.stored.front().map_or(self.next_window, |stored| stored.first_window);
            for number in dropped.first_window..next {
                let leaf = priorities.leaf(number);
                priorities.tree.set(leaf, 0.0);
            }
        }
    }

    /// Prepares for a round of new episodes: forgets the old ones where only fresh ones are learned from.
    pub fn begin_round(&mut self) {
        while self.config.only_fresh && !self.stored.is_empty() {
            self.drop_oldest();
        }
    }

    /// Steps held.
    pub fn n_steps(&self) -> usize {
        self.n_steps
    }

    /// Steps of a window drawn uniformly, in the mean: fewer than a window may have where episodes are shorter.
    ///
    /// # Panics
    /// When replay is empty.
    pub fn mean_window_steps(&self) -> f64 {
        let (mut n_steps, mut n_windows) = (0, 0);
        for episode in self.episodes() {
            let n_of_episode = self.n_windows_of(episode);
            n_windows += n_of_episode;
            n_steps += n_of_episode * self.window_steps.min(episode.len());
        }
        assert!(n_windows > 0, "an empty replay has no windows");
        n_steps as f64 / n_windows as f64
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
    /// With priorities the draws are stratified: one from each `n`-th part of their sum (Schaul et al. 2016, appendix
    /// B.2.1).
    ///
    /// # Panics
    /// When replay is empty.
    pub fn sample(&self, n: usize, progress: Progress, rng: &mut impl Rng) -> Sample<'_> {
        if let (Some(priorities), Some(config)) = (&self.priorities, &self.config.priority) {
            return self.sample_by_priority(n, priorities, config.beta.value(progress), rng);
        }
        let front = self.stored.front().expect("sampling from an empty replay");
        let rewarded = front.first_rewarded..self.next_rewarded;
        let n_rewarded = match rewarded.is_empty() {
            true => 0,
            false => (n as f64 * self.config.rewarded_fraction).round() as usize,
        };
        let any = front.first_window..self.next_window;
        let n_batches = self.config.length_pool_batches;
        let mut numbers: Vec<u64> = (0..n_batches)
            .flat_map(|_| 0..n)
            .map(|index| match index < n_rewarded {
                true => self.number_of_rewarded(rng.random_range(rewarded.clone())),
                false => rng.random_range(any.clone()),
            })
            .collect();
        if n_batches > 1 {
            numbers.sort_by_key(|&number| self.window(number).trajectory.tokens.len());
            let part = rng.random_range(0..n_batches);
            numbers = numbers[part * n..(part + 1) * n].to_vec();
        }
        self.numbered(numbers, vec![1.0; n])
    }

    /// Draws whole episodes in groups of the same start, at most `n` of them, and how many of them each group has.
    ///
    /// A group is what stands together in replay. Each is drawn at most once, and one alone may be larger than `n`.
    ///
    /// # Panics
    /// When replay is empty or an episode is longer than a window.
    pub fn sample_groups(&self, n: usize, rng: &mut impl Rng) -> (Sample<'_>, Vec<usize>) {
        // In their order, wherever in the ring the oldest lies: a resumed run, whose ring begins anew, draws the same groups.
        let stored: Vec<&Stored> = self.stored.iter().map(Box::as_ref).collect();
        let mut groups: Vec<&[&Stored]> =
            stored.chunk_by(|one, other| one.trajectory.shares_start(&other.trajectory)).collect();
        assert!(!groups.is_empty(), "sampling from an empty replay");
        groups.shuffle(rng);
        let (mut numbers, mut sizes) = (Vec::new(), Vec::new());
        for group in groups {
            if !sizes.is_empty() && numbers.len() + group.len() > n {
                break;
            }
            numbers.extend(group.iter().map(|stored| stored.first_window));
            sizes.push(group.len());
        }
        let weights = vec![1.0; numbers.len()];
        let sample = self.numbered(numbers, weights);
        let is_whole = |window: &Window<'_>| window.len == window.trajectory.len();
        assert!(sample.windows.iter().all(is_whole), "a window holds a whole episode");
        (sample, sizes)
    }

    fn sample_by_priority(&self, n: usize, priorities: &Priorities, beta: f64, rng: &mut impl Rng) -> Sample<'_> {
        let front = self.stored.front().expect("sampling from an empty replay").first_window;
        let n_windows = (self.next_window - front) as f64;
        let (tree, total) = (&priorities.tree, priorities.tree.total());
        let (mut numbers, mut weights) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for part in 0..n {
            let leaf = tree.find((part as f64 + rng.random::<f64>()) / n as f64 * total);
            // Of the numbers that share the leaf, the stored one is the first from the oldest window on.
            let ahead = (leaf as u64 + tree.len() as u64 - front % tree.len() as u64) % tree.len() as u64;
            numbers.push(front + ahead);
            weights.push((n_windows * tree.get(leaf) / total).powf(-beta));
        }
        let highest = weights.iter().copied().fold(0.0, f64::max);
        self.numbered(numbers, weights.iter().map(|weight| (weight / highest) as f32).collect())
    }

    fn numbered(&self, numbers: Vec<u64>, weights: Vec<f32>) -> Sample<'_> {
        Sample { windows: numbers.iter().map(|&number| self.window(number)).collect(), numbers, weights }
    }

    /// Sets the priorities of windows that were learned from to
    /// `eta * max |TD error| + (1 - eta) * mean |TD error| + epsilon` (Kapturowski et al. 2019, section 2.3).
    ///
    /// `numbers` are those of the windows; without prioritized replay nothing happens.
    pub fn update_priorities(&mut self, numbers: &[u64], max_errors: &[f32], mean_errors: &[f32]) {
        let (Some(priorities), Some(config)) = (&mut self.priorities, &self.config.priority) else { return };
        for ((&number, &max), &mean) in numbers.iter().zip(max_errors).zip(mean_errors) {
            let priority = config.eta * f64::from(max) + (1.0 - config.eta) * f64::from(mean) + config.epsilon;
            priorities.highest = priorities.highest.max(priority);
            let leaf = priorities.leaf(number);
            priorities.tree.set(leaf, priority.powf(config.alpha));
        }
    }

    fn window(&self, number: u64) -> Window<'_> {
        let stored = &self.stored[self.stored.partition_point(|stored| stored.first_window <= number) - 1];
        let start = (number - stored.first_window) as usize;
        let len = self.window_steps.min(stored.trajectory.len() - start);
        Window { trajectory: &stored.trajectory, start, len }
    }

    fn number_of_rewarded(&self, index: u64) -> u64 {
        let stored = &self.stored[self.stored.partition_point(|stored| stored.first_rewarded <= index) - 1];
        stored.first_window + u64::from(stored.rewarded_starts[(index - stored.first_rewarded) as usize])
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
        let mut episode = Trajectory::begin(State::from(vec![TokenId(2)]), ActionMask::All);
        for index in 0..n_steps as u32 {
            let action = ActionId(first + index);
            let outcome = if index + 1 == n_steps as u32 { Outcome::Terminated } else { Outcome::Continues };
            let reward = if action.0.is_multiple_of(5) { 1.0 } else { 0.0 };
            episode.push(action, &Step { reward, observed: vec![TokenId(4)], outcome }, ActionMask::All);
        }
        episode
    }

    fn filled(capacity_steps: usize, window_steps: usize, rewarded_fraction: f64, lengths: &[usize]) -> Replay {
        let config = ReplayConfig { capacity_steps, warmup_steps: 1, rewarded_fraction, ..ReplayConfig::default() };
        let mut replay = Replay::new(config, window_steps);
        let mut first = 0;
        for &length in lengths {
            replay.push(episode(first, length));
            first += length as u32;
        }
        replay
    }

    #[test]
    fn short_episodes_make_short_windows() {
        let mut replay = Replay::new(ReplayConfig::default(), 4);
        replay.push(episode(0, 2));
        assert_eq!(replay.mean_window_steps(), 2.0);
        // Six steps have three windows of four.
        replay.push(episode(10, 6));
        assert_eq!(replay.mean_window_steps(), (2.0 + 3.0 * 4.0) / 4.0);
    }

    #[test]
    fn groups_are_drawn_whole_and_once() {
        let mut replay = Replay::new(ReplayConfig::default(), 9);
        let started = |token: u32, first: u32| {
            let mut episode = episode(first, 2);
            episode.tokens[0] = TokenId(token);
            episode
        };
        for (first, token) in [7, 7, 7, 8, 9, 9].into_iter().enumerate() {
            replay.push(started(token, 10 * first as u32));
        }
        let mut rng = Seed(2).stream("test");
        let mut firsts = HashSet::new();
        for _ in 0..50 {
            let (sample, sizes) = replay.sample_groups(5, &mut rng);
            let starts: Vec<u32> = sample.windows.iter().map(|window| window.trajectory.tokens[0].0).collect();
            let groups: Vec<(u32, usize)> =
                starts.chunk_by(|one, other| one == other).map(|g| (g[0], g.len())).collect();
            assert_eq!(groups.iter().map(|group| group.1).collect::<Vec<_>>(), sizes);
            assert!(groups.iter().all(|group| [(7, 3), (8, 1), (9, 2)].contains(group)), "{groups:?}");
            assert!(starts.len() <= 5 && groups.len() >= 2);
            firsts.insert(groups[0].0);
        }
        assert_eq!(firsts.len(), 3);
        // The ring may be cut anywhere: a group lies on both sides of its end and is one all the same.
        for first in 0..20 {
            replay.drop_oldest();
            replay.push(started(20 + first / 3, 100 + 10 * first));
            let (_, mut sizes) = replay.sample_groups(6, &mut rng);
            let (_, mut resumed) =
                Replay { stored: replay.stored.iter().cloned().collect::<Vec<_>>().into(), ..replay.clone() }
                    .sample_groups(6, &mut rng);
            sizes.sort();
            resumed.sort();
            assert_eq!(sizes, resumed);
        }
        // One that is too large comes alone.
        assert!((0..20).all(|_| replay.sample_groups(1, &mut rng).1.len() == 1));
    }

    #[test]
    fn single_steps_are_drawn_uniformly() {
        let replay = filled(1_000, 1, 0.0, &[1, 7, 2]);
        let mut counts = [0_u32; 10];
        for window in replay.sample(50_000, Progress::default(), &mut Seed(1).stream("replay")).windows {
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
        let windows = replay.sample(40, Progress::default(), &mut Seed(1).stream("replay")).windows;
        let rewarded = |window: &Window<'_>| window.trajectory.rewards[window.start] > 0.0;
        assert!(windows[..10].iter().all(rewarded));
        assert!(!windows[10..].iter().all(rewarded));
    }

    #[test]
    fn batches_of_alike_length_draw_every_window_as_often() {
        let lengths: Vec<usize> = (1..=20).collect();
        let mut replay = filled(1_000, 20, 0.0, &lengths);
        replay.config.length_pool_batches = 5;
        let mut rng = Seed(1).stream("replay");
        let (mut counts, mut spread) = (vec![0.0_f64; 20], 0);
        for _ in 0..5_000 {
            let sample = replay.sample(4, Progress::default(), &mut rng);
            let lengths = sample.windows.iter().map(|window| window.len);
            spread += lengths.clone().max().unwrap() - lengths.clone().min().unwrap();
            lengths.for_each(|length| counts[length - 1] += 1.0);
        }
        // 20,000 draws, 1,000 of each; the deviation is 31 where they are independent and twice that in batches.
        assert!(counts.iter().all(|count| (count - 1_000.0).abs() < 250.0), "{counts:?}");
        assert!((spread as f64) < 5_000.0 * 6.0, "four of twenty lengths drawn at random lie 12 apart: {spread}");
    }

    fn prioritized(capacity_steps: usize, alpha: f64, beta: f64) -> Replay {
        let beta = Schedule::Constant { value: beta };
        let priority = Some(PriorityConfig { alpha, beta, eta: 0.75, epsilon: 0.5 });
        Replay::new(ReplayConfig { capacity_steps, warmup_steps: 1, priority, ..ReplayConfig::default() }, 1)
    }

    #[test]
    fn windows_are_drawn_by_priority_and_weighed_against_it() {
        let mut replay = prioritized(8, 0.5, 1.0);
        replay.push(episode(0, 3));
        // Priorities 0.75 max + 0.25 mean + 0.5: 1, 4 and 9, whose roots are 1, 2 and 3.
        replay.update_priorities(&[0, 1, 2], &[0.5, 4.0, 11.0], &[0.5, 2.0, 1.0]);
        let sample = replay.sample(60_000, Progress::default(), &mut Seed(1).stream("replay"));
        let mut counts = [0_u32; 3];
        for (window, weight) in sample.windows.iter().zip(&sample.weights) {
            counts[window.start] += 1;
            // (3 P)^-1 over its largest value, that of the first window: 1 / root.
            assert!((weight - [1.0, 0.5, 1.0 / 3.0][window.start]).abs() < 1e-6);
        }
        assert_eq!(counts, [10_000, 20_000, 30_000], "one draw from each part of the sum");
        // A new window has the largest priority met so far, 9.
        replay.push(episode(10, 1));
        let sample = replay.sample(9_000, Progress::default(), &mut Seed(1).stream("replay"));
        assert_eq!(sample.windows.iter().filter(|window| window.trajectory.len() == 1).count(), 3_000);
    }

    #[test]
    fn only_fresh_episodes_remain_where_asked() {
        let mut replay = prioritized(8, 1.0, 0.0);
        replay.config.only_fresh = true;
        replay.push(episode(0, 3));
        replay.begin_round();
        assert_eq!((replay.n_steps(), replay.episodes().len()), (0, 0));
        replay.push(episode(5, 2));
        let sample = replay.sample(100, Progress::default(), &mut Seed(1).stream("replay"));
        assert!(sample.windows.iter().all(|window| window.trajectory.actions[0] == ActionId(5)));
    }

    proptest! {
        #[test]
        fn prioritized_windows_are_those_stored(
            lengths in prop::collection::vec(1_usize..12, 1..30),
            capacity in 1_usize..40,
            seed: u64,
        ) {
            let mut replay = prioritized(capacity, 1.0, 0.5);
            let mut first = 0;
            for &length in &lengths {
                replay.push(episode(first, length));
                first += length as u32;
                let sample = replay.sample(16, Progress::default(), &mut Seed(seed).stream("replay"));
                for (window, &number) in sample.windows.iter().zip(&sample.numbers) {
                    // Windows are numbered as their actions are.
                    prop_assert_eq!(u64::from(window.trajectory.actions[window.start].0), number);
                }
                let numbers = sample.numbers;
                let errors: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
                replay.update_priorities(&numbers, &errors, &errors);
                let total: f64 = (0..replay.next_window)
                    .filter(|&number| number >= replay.stored[0].first_window)
                    .map(|number| {
                        let priorities = replay.priorities.as_ref().unwrap();
                        priorities.tree.get(priorities.leaf(number))
                    })
                    .sum();
                let found = replay.priorities.as_ref().unwrap().tree.total();
                prop_assert!((found - total).abs() < 1e-9 * total, "{} in the tree, {} stored", found, total);
            }
        }

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
                for window in replay.sample(32, Progress::default(), &mut Seed(seed).stream("replay")).windows {
                    prop_assert!(window.len >= 1 && window.start + window.len <= window.trajectory.len());
                    prop_assert_eq!(window.len, window_steps.min(window.trajectory.len()));
                }
            }
        }
    }
}
