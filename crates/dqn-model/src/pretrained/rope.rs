//! Rotary positions as files of pretrained models describe them.

use std::f64::consts::TAU;

use serde::Serialize;

/// How queries and keys are turned by their places (Su et al. 2021, eq. 34): entry `i` of the first half of a head and entry
/// `i` of the second turn together by the place times `base^(-2 i / head width)`, scaled as `scaling` says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rope {
    /// The base of the geometric row of speeds, `rope_theta`.
    pub base: f64,
    /// How the speeds are changed for texts longer than the model was first trained on.
    pub scaling: RopeScaling,
}

/// How speeds are changed for long texts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All are divided by a factor (Chen et al. 2023).
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Slow ones are divided by a factor, fast ones stay, and those between change over: as Llama 3.1 does it.
    Llama3 {
        /// The divisor.
        factor: f64,
        /// Turns within `original_positions` below which a speed is slow.
        low_frequency_factor: f64,
        /// Turns above which it is fast.
        high_frequency_factor: f64,
        /// Longest text of the first training.
        original_positions: usize,
    },
}

impl Rope {
    /// By what angle each pair of entries turns from one place to the next: `[head width / 2]`.
    pub fn speeds(&self, head_width: usize) -> Vec<f32> {
        let speed = |entry: usize| self.base.powf(-((2 * entry) as f64) / head_width as f64);
        (0..head_width / 2).map(|entry| self.scaling.apply(speed(entry)) as f32).collect()
    }
}

impl RopeScaling {
    fn apply(self, speed: f64) -> f64 {
        match self {
            RopeScaling::None => speed,
            RopeScaling::Linear { factor } => speed / factor,
            RopeScaling::Llama3 { factor, low_frequency_factor, high_frequency_factor, original_positions } => {
                let n_turns = original_positions as f64 * speed / TAU;
                let share = (n_turns - low_frequency_factor) / (high_frequency_factor - low_frequency_factor);
                let share = share.clamp(0.0, 1.0);
                share * speed + (1.0 - share) * speed / factor
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scaling: RopeScaling, expected: [f32; 4]) {
        let speeds = Rope { base: 10_000.0, scaling }.speeds(8);
        for (found, expected) in speeds.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-7, "{scaling:?} gives {speeds:?}");
        }
        assert_eq!(speeds.len(), 4);
    }

    #[test]
    fn speeds_follow_the_scaling() {
        check(RopeScaling::None, [1.0, 0.1, 0.01, 0.001]);
        check(RopeScaling::Linear { factor: 4.0 }, [0.25, 0.025, 0.0025, 0.00025]);
        // By hand: 100 places are 15.9155, 1.59155, 0.159155 and 0.0159155 turns; the second is 0.197183 of the way from 1 to 4.
        let scaling = RopeScaling::Llama3 {
            factor: 4.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_positions: 100,
        };
        let between = 0.197_183 * 0.1 + (1.0 - 0.197_183) * 0.025;
        check(scaling, [1.0, between, 0.0025, 0.00025]);
    }
}
