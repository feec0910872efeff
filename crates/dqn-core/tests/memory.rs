//! How much memory replay takes: every allocation is counted, one at a time in this process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "only an allocator sees every allocation")]
#![allow(clippy::print_stdout, reason = "the figures are read with --no-capture")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use dqn_core::replay::PriorityConfig;
use dqn_core::{Replay, ReplayConfig};
use dqn_mdp::{ActionId, ActionMask, Outcome, Seed, State, Step, TokenId, Trajectory};
use rand::{Rng, RngExt};

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// What an allocation takes: its size in whole units of 16 bytes, as common allocators give them out.
fn size(layout: Layout) -> usize {
    layout.size().next_multiple_of(16)
}

struct Counting;

// SAFETY: every request goes to the system's allocator unchanged; only a counter is kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(size(layout), Ordering::SeqCst);
        // SAFETY: the caller keeps the contract of `alloc`, which is that of the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(size(layout), Ordering::SeqCst);
        // SAFETY: `pointer` was given out by `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const N_TOKENS: usize = 1_000_000;
const N_ACTIONS: usize = 2_000;

/// An episode that writes `n_written` tokens after `n_start`, the first three of them under a mask.
fn episode(n_start: usize, n_written: usize, masked: &ActionMask, n_terms: usize, rng: &mut impl Rng) -> Trajectory {
    let mut token = || TokenId(rng.random_range(0..N_ACTIONS as u32));
    let start = State::from((0..n_start).map(|_| token()).collect::<Vec<_>>());
    let allowed = |step: usize| if step < 3 { masked.clone() } else { ActionMask::All };
    let mut episode = Trajectory::begin(start, allowed(0));
    for step in 0..n_written {
        let written = token();
        let outcome = if step + 1 == n_written { Outcome::Terminated } else { Outcome::Continues };
        let step_taken = Step { reward: 0.0, observed: vec![written], outcome };
        episode.push(ActionId(written.0), &step_taken, allowed(step + 1));
    }
    episode.term_returns = vec![0.5; n_terms];
    episode
}

/// Bytes a token of a replay of a million tokens, in episodes that `play` makes.
fn bytes_a_token(config: ReplayConfig, mut play: impl FnMut() -> Trajectory) -> (f64, Replay) {
    let before = LIVE_BYTES.load(Ordering::SeqCst);
    let mut replay = Replay::new(config, 8);
    let mut n_tokens = 0;
    while n_tokens < N_TOKENS {
        let episode = play();
        n_tokens += episode.tokens.len();
        replay.push(episode);
    }
    let taken = LIVE_BYTES.load(Ordering::SeqCst) - before;
    assert_eq!(replay.episodes().map(|episode| episode.tokens.len()).sum::<usize>(), n_tokens, "nothing was dropped");
    (taken as f64 / n_tokens as f64, replay)
}

// One test, so that nothing else allocates meanwhile.
#[test]
fn a_token_of_replay_takes_at_most_forty_bytes() {
    let mut rng = Seed(1).stream("episodes");
    let masked = ActionMask::all_but(N_ACTIONS, &[ActionId(3)]);
    let config = || ReplayConfig { capacity_steps: N_TOKENS, ..ReplayConfig::default() };

    // Texts that are read on, from 200 to 2,000 tokens.
    let mut play = || episode(1, rng.random_range(200..2_000), &ActionMask::All, 0, &mut rng);
    let (long, _) = bytes_a_token(config(), &mut play);
    assert!(long <= 18.0, "{long} bytes a token of long texts");

    // With priorities, a sum and a weight for each of the 2^20 windows there may be.
    let prioritized = ReplayConfig { priority: Some(PriorityConfig::default()), ..config() };
    let (long_prioritized, _) = bytes_a_token(prioritized, &mut play);
    assert!(long_prioritized <= 40.0, "{long_prioritized} bytes a token of long texts with priorities");

    // Lines that are written, from 12 to 40 tokens, with a mask and the returns of three reward terms.
    let mut play = || episode(2, rng.random_range(10..39), &masked, 3, &mut rng);
    let (short, replay) = bytes_a_token(config(), &mut play);
    assert!(short <= 40.0, "{short} bytes a token of short texts");

    // What was read from a checkpoint takes no more: its masks share their memory again.
    let saved = serde_json::to_vec(&replay).unwrap();
    let before = LIVE_BYTES.load(Ordering::SeqCst);
    let read: Replay = serde_json::from_slice(&saved).unwrap();
    let taken = (LIVE_BYTES.load(Ordering::SeqCst) - before) as f64 / N_TOKENS as f64;
    let mut restored = Replay::new(config(), 8);
    restored.resume(read);
    assert!(restored == replay, "the replay read is not the one written");
    assert!(taken <= 40.0, "{taken} bytes a token of short texts read from a checkpoint");
    println!(
        "long {long:.1}, with priorities {long_prioritized:.1}, short {short:.1}, restored {taken:.1} bytes a token"
    );
}
