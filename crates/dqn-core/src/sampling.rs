//! Choosing the next token of a pretrained language model from its logits.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// How a token is drawn. The parts work in this order, which is that of `transformers`: penalty, temperature, top-k, top-p.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the highest.
    pub temperature: f64,
    /// Only the so many likeliest tokens may be drawn (Fan et al. 2018).
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that together have this probability may be drawn (Holtzman et al. 2020).
    pub top_p: Option<f64>,
    /// Logits of tokens that stand in the text are divided by it where they are above 0, else multiplied (Keskar et al.
    /// 2019); 1 changes nothing.
    pub repetition_penalty: f64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, top_p: None, repetition_penalty: 1.0 }
    }
}

/// A setting of the sampling that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key} is {found}; {allowed}")]
pub struct SamplingFault {
    /// The setting.
    pub key: &'static str,
    /// Its value.
    pub found: f64,
    /// What is allowed.
    pub allowed: &'static str,
}

/// Memory for the choice of a token, used again and again.
#[derive(Clone, Debug, Default)]
pub struct SamplingScratch {
    logits: Vec<f32>,
    /// Tokens that may be drawn, and their weights.
    candidates: Vec<(u32, f32)>,
}

impl Sampling {
    /// The token of highest logit.
    pub const GREEDY: Self = Self { temperature: 0.0, top_k: None, top_p: None, repetition_penalty: 1.0 };

    /// Whether every setting is in its range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), SamplingFault> {
        let fault = |key, found, allowed| Err(SamplingFault { key, found, allowed });
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return fault("temperature", self.temperature, "it must be at least 0");
        }
        if self.top_k == Some(0) {
            return fault("top_k", 0.0, "it must be at least 1");
        }
        if let Some(top_p) = self.top_p.filter(|top_p| !(*top_p > 0.0 && *top_p <= 1.0)) {
            return fault("top_p", top_p, "it must be above 0 and at most 1");
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            return fault("repetition_penalty", self.repetition_penalty, "it must be above 0");
        }
        Ok(())
    }

    /// Chooses a token; none where a logit that counts is not a number or all are minus infinity.
    ///
    /// `seen` are the tokens that stand in the text, each once. A draw takes one number from `rng`, a choice of the highest
    /// takes none.
    pub fn choose(
        &self,
        logits: &[f32],
        seen: &[u32],
        rng: &mut impl Rng,
        scratch: &mut SamplingScratch,
    ) -> Option<u32> {
        if self.temperature == 0.0 {
            return highest(self.penalised(logits, seen, &mut scratch.logits));
        }
        self.weigh(logits, seen, scratch)?;
        let candidates = &scratch.candidates;
        let total: f64 = candidates.iter().map(|&(_, weight)| f64::from(weight)).sum();
        let mut left = rng.random::<f64>() * total;
        let drawn = candidates.iter().find(|(_, weight)| {
            left -= f64::from(*weight);
            left < 0.0
        });
        // Rounding may leave a rest at the end of the row.
        drawn.or_else(|| candidates.iter().rfind(|(_, weight)| *weight > 0.0)).map(|&(token, _)| token)
    }

    /// The probability of each token under these settings, at a temperature above 0; none as in [`Sampling::choose`].
    pub fn probabilities(&self, logits: &[f32], seen: &[u32]) -> Option<Vec<f64>> {
        let mut scratch = SamplingScratch::default();
        self.weigh(logits, seen, &mut scratch)?;
        let total: f64 = scratch.candidates.iter().map(|&(_, weight)| f64::from(weight)).sum();
        let mut probabilities = vec![0.0; logits.len()];
        for (token, weight) in scratch.candidates {
            probabilities[token as usize] = f64::from(weight) / total;
        }
        Some(probabilities)
    }

    /// Logits after the penalty.
    fn penalised<'a>(&self, logits: &'a [f32], seen: &[u32], own: &'a mut Vec<f32>) -> &'a [f32] {
        if self.repetition_penalty == 1.0 {
            return logits;
        }
        let penalty = self.repetition_penalty as f32;
        own.clear();
        own.extend_from_slice(logits);
        for &token in seen {
            if let Some(logit) = own.get_mut(token as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        own
    }

    /// Finds the tokens that may be drawn and their weights, `exp(logit - highest)` at the temperature.
    fn weigh(&self, logits: &[f32], seen: &[u32], scratch: &mut SamplingScratch) -> Option<()> {
        let SamplingScratch { logits: own, candidates } = scratch;
        let logits = self.penalised(logits, seen, own);
        let best = logits[highest(logits)? as usize];
        let inverse = (1.0 / self.temperature) as f32;
        candidates.clear();
        let weight = |&logit: &f32| ((logit - best) * inverse).exp();
        candidates.extend((0..).zip(logits.iter().map(weight)));
        let order = |one: &(u32, f32), other: &(u32, f32)| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0));
        if let Some(top_k) = self.top_k.filter(|&top_k| top_k < candidates.len()) {
            candidates.select_nth_unstable_by(top_k - 1, order);
            candidates.truncate(top_k);
        }
        if let Some(top_p) = self.top_p.filter(|&top_p| top_p < 1.0) {
            let total: f64 = candidates.iter().map(|&(_, weight)| f64::from(weight)).sum();
            // Tokens below this share, all taken together, are less than what is cut off.
            let least = (1.0 - top_p) * total / candidates.len() as f64;
            candidates.retain(|&(_, weight)| f64::from(weight) >= least);
            candidates.sort_unstable_by(order);
            let mut before = 0.0;
            let n_kept = candidates.iter().take_while(|(_, weight)| {
                let is_kept = before < top_p * total;
                before += f64::from(*weight);
                is_kept
            });
            let n_kept = n_kept.count().max(1);
            candidates.truncate(n_kept);
        }
        if self.top_k.is_some() || self.top_p.is_some() {
            // The order of a partial sort is nobody's business: draws run through the tokens in their own.
            candidates.sort_unstable_by_key(|&(token, _)| token);
        }
        Some(())
    }
}

/// The token of highest logit, the first of several; none where there is none or one is not a number.
fn highest(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (token, &logit) in (0..).zip(logits) {
        if logit.is_nan() || logit == f32::INFINITY {
            return None;
        }
        if best.is_none_or(|(_, highest)| logit > highest) {
            best = Some((token, logit));
        }
    }
    best.filter(|(_, logit)| *logit > f32::NEG_INFINITY).map(|(token, _)| token)
}

#[cfg(test)]
mod tests {
    use dqn_mdp::Seed;
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    fn choose(sampling: Sampling, logits: &[f32], seen: &[u32], seed: u64) -> Option<u32> {
        sampling.choose(logits, seen, &mut Seed(seed).stream("test"), &mut SamplingScratch::default())
    }

    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        logits: Vec<f32>,
        seen: Vec<u32>,
        settings: Sampling,
        probabilities: Vec<f64>,
    }

    #[test]
    fn probabilities_are_those_of_transformers() {
        let golden: Golden = serde_json::from_str(include_str!("../tests/golden/sampling.json")).unwrap();
        assert!(golden.cases.len() >= 40);
        for case in golden.cases {
            let found = case.settings.probabilities(&case.logits, &case.seen).unwrap();
            for (token, (found, expected)) in found.iter().zip(&case.probabilities).enumerate() {
                let is_close = (found - expected).abs() < 1e-5;
                assert!(is_close, "{:?}, token {token}: {found}, not {expected}", case.settings);
            }
        }
    }

    #[test]
    fn the_first_highest_logit_is_greedy_and_penalties_count() {
        let logits = [1.0, 3.0, 3.0, -1.0];
        assert_eq!(choose(Sampling::GREEDY, &logits, &[], 1), Some(1));
        let penalised = Sampling { repetition_penalty: 4.0, ..Sampling::GREEDY };
        assert_eq!(choose(penalised, &logits, &[1, 2], 1), Some(0));
        // A logit below 0 falls further: -1 becomes -4.
        assert_eq!(choose(penalised, &[-1.0, -2.0], &[0], 1), Some(1));
    }

    #[test]
    fn logits_that_are_none_give_no_token() {
        for sampling in [Sampling::GREEDY, Sampling::default(), Sampling { top_p: Some(0.5), ..Sampling::default() }] {
            assert_eq!(choose(sampling, &[0.0, f32::NAN], &[], 1), None);
            assert_eq!(choose(sampling, &[f32::INFINITY, 0.0], &[], 1), None);
            assert_eq!(choose(sampling, &[f32::NEG_INFINITY; 2], &[], 1), None);
            assert_eq!(choose(sampling, &[], &[], 1), None);
            assert_eq!(choose(sampling, &[f32::NEG_INFINITY, 0.0], &[], 1), Some(1));
        }
    }

    #[test]
    fn tokens_are_drawn_as_often_as_their_probabilities_say() {
        let sampling = Sampling { temperature: 0.7, top_k: Some(3), top_p: Some(0.95), ..Sampling::default() };
        let logits = [0.5, 1.5, -0.5, 1.0, 0.0];
        let expected = sampling.probabilities(&logits, &[]).unwrap();
        let (mut rng, mut scratch) = (Seed(3).stream("test"), SamplingScratch::default());
        let mut counts = [0.0; 5];
        let n_draws = 20_000;
        for _ in 0..n_draws {
            counts[sampling.choose(&logits, &[], &mut rng, &mut scratch).unwrap() as usize] += 1.0 / f64::from(n_draws);
        }
        for (found, expected) in counts.iter().zip(&expected) {
            assert!((found - expected).abs() < 0.012, "{counts:?}, not {expected:?}");
        }
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let fault = |sampling: Sampling| sampling.check().unwrap_err().to_string();
        let with = Sampling::default();
        assert_eq!(fault(Sampling { temperature: -1.0, ..with }), "temperature is -1; it must be at least 0");
        assert_eq!(fault(Sampling { top_k: Some(0), ..with }), "top_k is 0; it must be at least 1");
        assert_eq!(fault(Sampling { top_p: Some(0.0), ..with }), "top_p is 0; it must be above 0 and at most 1");
        assert_eq!(
            fault(Sampling { repetition_penalty: f64::NAN, ..with }),
            "repetition_penalty is NaN; it must be above 0"
        );
        with.check().unwrap();
        Sampling::GREEDY.check().unwrap();
    }

    proptest! {
        #[test]
        fn the_likeliest_tokens_stay(
            logits in prop::collection::vec(-8.0_f32..8.0, 1..40), top_k in 1_usize..50, top_p in 0.01_f64..1.0, seed: u64,
        ) {
            let all = Sampling::default().probabilities(&logits, &[]).unwrap();
            for sampling in [
                Sampling { top_k: Some(top_k), ..Sampling::default() },
                Sampling { top_p: Some(top_p), ..Sampling::default() },
            ] {
                let kept = sampling.probabilities(&logits, &[]).unwrap();
                let lowest = kept.iter().zip(&all).filter(|(kept, _)| **kept > 0.0).map(|(_, all)| *all).fold(2.0, f64::min);
                let highest_cut = kept.iter().zip(&all).filter(|(kept, _)| **kept == 0.0).map(|(_, all)| *all).fold(0.0, f64::max);
                prop_assert!(lowest >= highest_cut);
                let token = choose(sampling, &logits, &[], seed).unwrap();
                prop_assert!(kept[token as usize] > 0.0);
            }
        }
    }
}
