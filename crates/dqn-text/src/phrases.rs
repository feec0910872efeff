//! Phrases: runs of tokens that stand together more often than chance has it.

use std::collections::{BTreeMap, HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Special, TokenId};

/// How phrases are mined.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PhraseConfig {
    /// Most phrases kept; the most frequent are.
    #[schemars(range(min = 1, max = 1000000))]
    pub max_phrases: usize,
    /// Longest phrase, in tokens.
    #[schemars(range(min = 2, max = 64))]
    pub max_tokens: usize,
    /// How often two units must stand side by side; also the count that is subtracted in the score, as in the authors'
    /// program, whose value is the default.
    #[schemars(range(min = 1))]
    pub min_count: usize,
    /// Score above which two units become one. Higher values give fewer phrases; the default is that of the authors'
    /// program.
    #[schemars(range(min = 0.0))]
    pub threshold: f64,
}

impl Default for PhraseConfig {
    fn default() -> Self {
        Self { max_phrases: 500, max_tokens: 4, min_count: 5, threshold: 100.0 }
    }
}

/// A run of tokens that was found to be one unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Phrase {
    /// Its tokens, at least two.
    pub tokens: Vec<TokenId>,
    /// How often its two parts stood side by side when they were joined.
    pub count: usize,
    /// Its score at that time.
    pub score: f64,
}

/// How much more often two units stand side by side than if they were strewn at random.
///
/// ```text
/// score(ab) = n (count(ab) - delta) / (count(a) count(b))
/// ```
///
/// `n` is the number of units in the text and `delta` keeps rare pairs from scoring high. Without `delta` the logarithm
/// of the score is the pointwise mutual information of the pair.
///
/// Source: Mikolov et al. 2013 ("Distributed representations of words and phrases"), eq. 6, times `n` as in the authors'
/// program, so that one threshold suits texts of any length.
pub fn phrase_score(count: usize, first: usize, second: usize, delta: usize, n_units: usize) -> f64 {
    let above = count as f64 - delta as f64;
    n_units as f64 * above / (first as f64 * second as f64)
}

/// The phrases of `sequences`, the most frequent first.
///
/// The text is read in passes, at first as tokens. Each pass counts units and pairs of neighbours, then goes through
/// every sequence from left to right and joins two units where they score above the threshold, stand together
/// `min_count` times or more, and have `max_tokens` tokens or fewer between them. The joined pair is one unit of the next
/// pass, so that phrases grow. The passes end when one joins nothing new. `<unk>` is part of no phrase, and no phrase
/// reaches from one sequence into another.
///
/// Each phrase occurs in the text `min_count` times or more. The same text gives the same phrases.
///
/// Source: Mikolov et al. 2013, section 4, who make two to four such passes.
pub fn mine_phrases(config: &PhraseConfig, sequences: &[Vec<TokenId>]) -> Vec<Phrase> {
    let mut texts: Vec<Vec<Vec<TokenId>>> =
        sequences.iter().map(|text| text.iter().map(|&token| vec![token]).collect()).collect();
    let mut found: BTreeMap<Vec<TokenId>, Phrase> = BTreeMap::new();
    loop {
        let joined = joinable(config, &texts);
        let before = found.len();
        for phrase in joined.values() {
            // The count of the first pass that joins it is the whole one: later passes see what was left apart.
            found.entry(phrase.tokens.clone()).or_insert_with(|| phrase.clone());
        }
        if found.len() == before {
            break;
        }
        let joined: HashSet<(&[TokenId], &[TokenId])> =
            joined.keys().map(|(first, second)| (first.as_slice(), second.as_slice())).collect();
        texts = texts.iter().map(|text| join(text, |first, second| joined.contains(&(first, second)))).collect();
    }
    let mut phrases: Vec<Phrase> = found.into_values().collect();
    // The map is in the order of the tokens, which this sort keeps among phrases of one count.
    phrases.sort_by_key(|phrase| std::cmp::Reverse(phrase.count));
    phrases.truncate(config.max_phrases);
    phrases
}

/// Two neighbouring units.
type Pair = (Vec<TokenId>, Vec<TokenId>);

/// The pairs of neighbours that become one unit in this pass.
fn joinable(config: &PhraseConfig, texts: &[Vec<Vec<TokenId>>]) -> BTreeMap<Pair, Phrase> {
    let mut units: HashMap<&[TokenId], usize> = HashMap::new();
    let mut pairs: HashMap<(&[TokenId], &[TokenId]), usize> = HashMap::new();
    let mut n_units = 0;
    for text in texts {
        n_units += text.len();
        text.iter().for_each(|unit| *units.entry(unit).or_default() += 1);
        text.windows(2).for_each(|pair| *pairs.entry((&pair[0], &pair[1])).or_default() += 1);
    }
    let phrase = |((first, second), count): ((&[TokenId], &[TokenId]), usize)| {
        let tokens = [first, second].concat();
        let fits = tokens.len() <= config.max_tokens && !tokens.contains(&Special::Unk.id());
        let score = phrase_score(count, units[first], units[second], config.min_count, n_units);
        let is_phrase = fits && count >= config.min_count && score > config.threshold;
        is_phrase.then(|| ((first.to_vec(), second.to_vec()), Phrase { tokens, count, score }))
    };
    pairs.into_iter().filter_map(phrase).collect()
}

/// `text` with neighbours joined from left to right where `are_one` says so; a joined unit takes no part again.
fn join(text: &[Vec<TokenId>], are_one: impl Fn(&[TokenId], &[TokenId]) -> bool) -> Vec<Vec<TokenId>> {
    let mut joined = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        match after.first().filter(|second| are_one(first, second)) {
            Some(second) => {
                joined.push([first.as_slice(), second].concat());
                rest = &after[1..];
            }
            None => {
                joined.push(first.clone());
                rest = after;
            }
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ActionTable, Segmenter, Vocab};

    fn ids(text: &str) -> Vec<TokenId> {
        text.bytes()
            .map(|byte| if byte == b'?' { Special::Unk.id() } else { TokenId(u32::from(byte - b'a') + 4) })
            .collect()
    }

    fn text(tokens: &[TokenId]) -> String {
        tokens.iter().map(|token| char::from(token.0 as u8 - 4 + b'a')).collect()
    }

    fn mined(config: &PhraseConfig, texts: &[&str]) -> Vec<(String, usize, f64)> {
        let sequences: Vec<_> = texts.iter().map(|text| ids(text)).collect();
        mine_phrases(config, &sequences)
            .into_iter()
            .map(|phrase| (text(&phrase.tokens), phrase.count, phrase.score))
            .collect()
    }

    const ALL: PhraseConfig = PhraseConfig { max_phrases: 100, max_tokens: 8, min_count: 1, threshold: 0.0 };

    #[test]
    fn scores_by_hand() {
        // 12 units, a and b 3 times each, ab 3 times.
        assert_eq!(phrase_score(3, 3, 3, 0, 12), 4.0);
        assert_eq!(phrase_score(3, 3, 3, 1, 12), 24.0 / 9.0);
        assert_eq!(phrase_score(2, 4, 5, 2, 100), 0.0);
        assert!(phrase_score(1, 4, 5, 2, 100) < 0.0);
        // Independent units score 1: count(ab) = count(a) count(b) / n.
        assert_eq!(phrase_score(10, 20, 50, 0, 100), 1.0);
    }

    #[test]
    fn pairs_are_joined_above_the_threshold_only() {
        // Units: a 3, b 3, c 2, d 1, e 1, n = 10. Pairs: ab 3, bc 2, ca 1, bd 1, de 1.
        // Scores with delta 1: ab 10 * 2 / 9, bc 10 * 1 / 6, the others 0.
        let texts = ["abcabc", "abde"];
        let config = PhraseConfig { threshold: 2.0, ..ALL };
        let ab = ("ab".to_owned(), 3, 20.0 / 9.0);
        // Second pass: units ab 3, c 2, d 1, e 1, n = 7; ab c scores 7 * 1 / 6, below 2.
        assert_eq!(mined(&config, &texts), std::slice::from_ref(&ab));
        let abc = ("abc".to_owned(), 2, 7.0 / 6.0);
        let bc = ("bc".to_owned(), 2, 10.0 / 6.0);
        let config = PhraseConfig { threshold: 1.0, ..ALL };
        assert_eq!(mined(&config, &texts), [ab.clone(), abc.clone(), bc.clone()]);
        assert_eq!(mined(&PhraseConfig { max_phrases: 2, ..config }, &texts), [ab.clone(), abc]);
        assert_eq!(mined(&PhraseConfig { max_tokens: 2, ..config }, &texts), [ab, bc]);
        assert_eq!(mined(&PhraseConfig { min_count: 4, ..config }, &texts), []);
    }

    #[test]
    fn phrases_end_at_the_unknown_and_at_the_end_of_a_text() {
        assert_eq!(mined(&PhraseConfig { min_count: 2, threshold: 0.0, ..ALL }, &["a?a?a?a?", "b", "c", "b", "c"]), []);
        assert_eq!(mined(&ALL, &[]), []);
        assert_eq!(mined(&ALL, &["", "a"]), []);
    }

    fn occurrences(sequences: &[Vec<TokenId>], phrase: &[TokenId]) -> usize {
        sequences.iter().map(|text| text.windows(phrase.len()).filter(|window| *window == phrase).count()).sum()
    }

    proptest! {
        #[test]
        fn phrases_are_frequent_short_and_the_same_again(
            texts in prop::collection::vec("[abc?]{0,12}", 1..12),
            max_phrases in 1_usize..8,
            max_tokens in 2_usize..6,
            min_count in 1_usize..4,
            threshold in 0.0_f64..3.0,
        ) {
            let config = PhraseConfig { max_phrases, max_tokens, min_count, threshold };
            let sequences: Vec<_> = texts.iter().map(|text| ids(text)).collect();
            let phrases = mine_phrases(&config, &sequences);
            prop_assert!(phrases.len() <= max_phrases);
            for phrase in &phrases {
                prop_assert!((2..=max_tokens).contains(&phrase.tokens.len()));
                prop_assert!(phrase.score > threshold);
                prop_assert!(phrase.count >= min_count);
                prop_assert!(occurrences(&sequences, &phrase.tokens) >= phrase.count, "{:?}", phrase);
            }
            prop_assert!(phrases.windows(2).all(|pair| pair[0].count >= pair[1].count));
            prop_assert_eq!(&mine_phrases(&config, &sequences), &phrases);

            // With the single tokens, the phrases cover every text without `<unk>`, and lose nothing of it.
            let vocab = Vocab::new(["a", "b", "c"].map(str::to_owned)).unwrap();
            let table = ActionTable::of_vocab(&vocab).with(phrases.into_iter().map(|phrase| phrase.tokens));
            let segmenter = Segmenter::new(&table);
            for text in &sequences {
                let written = segmenter.segment(text).map(|actions| {
                    actions.iter().flat_map(|&action| table.tokens(action).to_vec()).collect::<Vec<_>>()
                });
                let is_known = !text.contains(&Special::Unk.id());
                prop_assert_eq!(written, is_known.then(|| text.clone()));
            }
        }
    }
}
