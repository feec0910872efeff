//! Named random streams.
//!
//! Every random draw of a run comes from a stream that has a name, is seeded from the run's one seed and that name, and
//! can be written to a checkpoint. Adding a consumer of randomness therefore never shifts the draws of another.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// A seed, as the user gives it or as one stream draws it for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// A generator whose draws depend on this seed and `name` only.
    pub fn stream(self, name: &str) -> ChaCha8Rng {
        // The name fills the part of the 256-bit key that the seed leaves free, through FNV-1a with four offsets, so
        // that the mapping is the same on every platform and in every version.
        let mut key = [0_u8; 32];
        key[..8].copy_from_slice(&self.0.to_le_bytes());
        for (lane, chunk) in key[8..].chunks_exact_mut(8).enumerate() {
            let offset = 0xcbf2_9ce4_8422_2325_u64.wrapping_add(lane as u64);
            let hash = name.bytes().fold(offset, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            chunk.copy_from_slice(&hash.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }
}

/// The random streams of a run, created when first asked for and saved with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RandomStreams {
    seed: Seed,
    streams: BTreeMap<String, ChaCha8Rng>,
}

impl RandomStreams {
    /// The streams of a run with this seed.
    pub fn new(seed: Seed) -> Self {
        Self { seed, streams: BTreeMap::new() }
    }

    /// The seed all streams come from.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// The stream called `name`, where its last user left it.
    pub fn stream(&mut self, name: &str) -> &mut ChaCha8Rng {
        let seed = self.seed;
        self.streams.entry(name.to_owned()).or_insert_with(|| seed.stream(name))
    }

    /// A seed drawn from the stream called `name`.
    pub fn draw_seed(&mut self, name: &str) -> Seed {
        Seed(self.stream(name).random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_name_and_seed_and_repeat_otherwise() {
        let draw = |seed, name: &str| -> u64 { Seed(seed).stream(name).random() };
        assert_eq!(draw(1, "replay"), draw(1, "replay"));
        assert_ne!(draw(1, "replay"), draw(1, "behavior"));
        assert_ne!(draw(1, "replay"), draw(2, "replay"));
    }

    #[test]
    fn a_saved_stream_goes_on_where_it_was() {
        let mut streams = RandomStreams::new(Seed(7));
        let _: u64 = streams.stream("replay").random();
        let saved = serde_json::to_string(&streams).unwrap();
        let mut restored: RandomStreams = serde_json::from_str(&saved).unwrap();
        assert_eq!(restored, streams);
        let expected: Vec<u64> = (0..5).map(|_| streams.stream("replay").random()).collect();
        let found: Vec<u64> = (0..5).map(|_| restored.stream("replay").random()).collect();
        assert_eq!(found, expected);
    }
}
