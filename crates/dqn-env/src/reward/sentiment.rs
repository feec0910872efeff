//! How good or bad the words of a text are.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dqn_mdp::{MdpError, Reward, TermReward, Trajectory};
use dqn_text::Tokenizer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use crate::EnvError;
use crate::reward::config::default_weight;
use crate::reward::context::check;
use crate::reward::when::by_text;
use crate::reward::{RewardContext, TextWhen};

/// Settings of the term `sentiment`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SentimentConfig {
    /// The name under which the term is logged. Default `sentiment`.
    #[serde(default)]
    pub name: Option<String>,
    /// What the rewards of the term are multiplied by. Default 1.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// `end` gives the sentiment with the last step, `difference` its change with each step. Default `end`.
    #[serde(default)]
    pub when: TextWhen,
    /// The words and their weights. Default `{ builtin = "sentiment-en" }`.
    #[serde(default)]
    pub lexicon: LexiconSource,
    /// How the weights of the words become one number. Default `mean`, so that a text is not better for being longer.
    #[serde(default)]
    pub combine: Combine,
}

/// Where words and their weights come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LexiconSource {
    /// A lexicon that ships with the program: `sentiment-en`.
    Builtin(BuiltinLexicon),
    /// A UTF-8 file with a word, a tab and its weight a line; empty lines and lines that begin with `#` are passed over. A
    /// relative path starts at the experiment file.
    Path(PathBuf),
    /// The words themselves, for example `{ words = { good = 1.0, bad = -1.0 } }`.
    Words(BTreeMap<String, f64>),
}

/// The lexicons that ship with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BuiltinLexicon {
    /// English words with weights from -1 to 1; `data/README.md` says how they were chosen.
    SentimentEn,
}

impl Default for LexiconSource {
    fn default() -> Self {
        Self::Builtin(BuiltinLexicon::SentimentEn)
    }
}

/// How the weights of words become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// Their sum divided by the number of words, those outside the lexicon included.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

const SENTIMENT_EN: &str = include_str!("../../../../data/sentiment-en.txt");

impl SentimentConfig {
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("sentiment")
    }

    pub(super) fn build(&self, context: &RewardContext<'_>) -> Result<Box<dyn Reward>, EnvError> {
        let name = self.name().to_owned();
        let lexicon = match &self.lexicon {
            LexiconSource::Builtin(BuiltinLexicon::SentimentEn) => {
                Lexicon::read(SENTIMENT_EN, "the list sentiment-en")?
            }
            LexiconSource::Path(path) => Lexicon::read(&read(path)?, &path.display().to_string())?,
            LexiconSource::Words(words) => {
                let mut lexicon = Lexicon::default();
                for (word, weight) in words {
                    check(weight.is_finite(), &name, "lexicon.words", weight, "finite")?;
                    check(lexicon.add(word, *weight), &name, "lexicon.words", word, "words, each once in any case")?;
                }
                lexicon
            }
        };
        check(!lexicon.weights.is_empty(), &name, "lexicon", "empty", "at least one word")?;
        let tokenizer = context.tokenizer.share();
        Ok(Box::new(Sentiment { name, when: self.when, combine: self.combine, lexicon, tokenizer }))
    }
}

fn read(path: &Path) -> Result<String, EnvError> {
    std::fs::read_to_string(path).map_err(|source| EnvError::WordFile { path: path.to_owned(), source })
}

/// Weights of words.
///
/// A word is one by Unicode Annex 29, whatever its case; an entry of several, such as `not good` or, in Chinese, where
/// every character is one, `黄河`, is met where they follow each other.
#[derive(Debug, Default)]
struct Lexicon {
    weights: HashMap<Vec<String>, f64>,
    /// Words of the longest entry.
    longest: usize,
}

impl Lexicon {
    fn read(text: &str, origin: &str) -> Result<Self, EnvError> {
        let mut lexicon = Self::default();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = line.split_once('\t').and_then(|(word, weight)| Some((word, weight.trim().parse().ok()?)));
            let is_new = entry.is_some_and(|(word, weight): (_, f64)| weight.is_finite() && lexicon.add(word, weight));
            if !is_new {
                let allowed = "a word that no other line has, a tab and a finite weight".to_owned();
                return Err(EnvError::WordLine {
                    origin: origin.to_owned(),
                    line: index + 1,
                    found: line.to_owned(),
                    allowed,
                });
            }
        }
        Ok(lexicon)
    }

    /// Adds an entry; false where it is none, or there already.
    fn add(&mut self, entry: &str, weight: f64) -> bool {
        let words = words(entry);
        self.longest = self.longest.max(words.len());
        !words.is_empty() && self.weights.insert(words, weight).is_none()
    }

    /// The weights met in `text`, the longest entries first, and the number of words, an entry that was met being one.
    fn weigh(&self, text: &str) -> (f64, usize) {
        let words = words(text);
        let (mut sum, mut n_words, mut begin) = (0.0, 0, 0);
        while begin < words.len() {
            let rest = &words[begin..];
            let entry = (1..=self.longest.min(rest.len()))
                .rev()
                .find_map(|length| self.weights.get(&rest[..length]).map(|weight| (length, *weight)));
            let (length, weight) = entry.unwrap_or((1, 0.0));
            sum += weight;
            n_words += 1;
            begin += length;
        }
        (sum, n_words)
    }
}

fn words(text: &str) -> Vec<String> {
    text.unicode_words().map(str::to_lowercase).collect()
}

/// Mean or sum of the weights of the written words.
struct Sentiment {
    name: String,
    when: TextWhen,
    combine: Combine,
    lexicon: Lexicon,
    tokenizer: Arc<dyn Tokenizer>,
}

impl Reward for Sentiment {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&mut self, episodes: &[Trajectory]) -> Result<Vec<TermReward>, MdpError> {
        let score = |text: &str| match (self.combine, self.lexicon.weigh(text)) {
            (Combine::Mean, (sum, n_words)) => sum / n_words.max(1) as f64,
            (Combine::Sum, (sum, _)) => sum,
        };
        Ok(episodes.iter().map(|episode| by_text(self.when, episode, &*self.tokenizer, score)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::test_text::Characters;

    fn config(words: &[(&str, f64)], combine: Combine, when: TextWhen) -> SentimentConfig {
        let words = words.iter().map(|&(word, weight)| (word.to_owned(), weight)).collect();
        SentimentConfig { name: None, weight: 1.0, when, lexicon: LexiconSource::Words(words), combine }
    }

    #[test]
    fn weights_of_written_words_are_averaged_or_summed() {
        let text = Characters::new("adgnot bBGOD,.好不");
        let context = RewardContext::of_tokenizer(&text);
        let words = [("good", 1.0), ("Bad", -2.0), ("not good", -0.5), ("不好", -1.0), ("好", 1.0)];
        for (written, mean, sum) in [
            ("good", 1.0, 1.0),
            ("Good, GOOD.", 1.0, 2.0),
            ("bad good", -0.5, -1.0),
            // Three words, of which one is an entry of two.
            ("a not good bad", -2.5 / 3.0, -2.5),
            ("goo", 0.0, 0.0),
            ("", 0.0, 0.0),
            ("不好好", 0.0, 0.0),
        ] {
            for (combine, expected) in [(Combine::Mean, mean), (Combine::Sum, sum)] {
                let mut term = config(&words, combine, TextWhen::End).build(&context).unwrap();
                let given = term.score(&[text.episode("bad ", &format!("{written}。"))]).unwrap();
                let found: f32 = given[0].steps.iter().sum();
                assert!((f64::from(found) - expected).abs() < 1e-6, "{written}: {found}, not {expected}");
            }
        }
        let mut term = config(&words, Combine::Sum, TextWhen::Difference).build(&context).unwrap();
        let given = term.score(&[text.episode("", "good。")]).unwrap();
        assert_eq!(given[0].steps, [0.0, 0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn the_shipped_lexicon_is_sound_and_balanced() {
        let lexicon = Lexicon::read(SENTIMENT_EN, "the list sentiment-en").unwrap();
        assert!(lexicon.weights.len() >= 150, "{}", lexicon.weights.len());
        assert!(lexicon.weights.values().all(|weight| weight.abs() <= 1.0 && *weight != 0.0));
        assert!(lexicon.weigh("a wonderful day").0 > 0.0 && lexicon.weigh("a terrible day").0 < 0.0);
        let sum: f64 = lexicon.weights.values().sum();
        assert!(sum.abs() < 5.0, "{sum}");
    }

    #[test]
    fn files_are_read_and_their_faults_named_with_the_line() {
        let text = Characters::new("god");
        let context = RewardContext::of_tokenizer(&text);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.txt");
        let build = |content: &str| {
            std::fs::write(&path, content).unwrap();
            let lexicon = LexiconSource::Path(path.clone());
            SentimentConfig { lexicon, ..config(&[], Combine::Mean, TextWhen::End) }.build(&context)
        };
        let mut term = build("# a comment\n\ngood\t0.5\ngod\t-1e-1\n").unwrap();
        assert_eq!(term.score(&[text.episode("", "good")]).unwrap()[0].steps, [0.0, 0.0, 0.0, 0.5]);
        let allowed = "it must be a word that no other line has, a tab and a finite weight";
        for (content, line, found) in [
            ("good 1.0\n", 1, "good 1.0"),
            ("good\t1\nbad\tx\n", 2, "bad\\tx"),
            ("good\tNaN\n", 1, "good\\tNaN"),
            ("good\t1\n\nGood\t2\n", 3, "Good\\t2"),
            ("!\t1\n", 1, "!\\t1"),
        ] {
            let error = build(content).err().unwrap().to_string();
            assert_eq!(error, format!("line {line} of {} is \"{found}\"; {allowed}", path.display()));
        }
        let empty = build("").err().unwrap().to_string();
        assert_eq!(empty, "reward term \"sentiment\": lexicon is empty; it must be at least one word");
        std::fs::remove_file(&path).unwrap();
        let lexicon = LexiconSource::Path(path.clone());
        let lost = SentimentConfig { lexicon, ..config(&[], Combine::Mean, TextWhen::End) }.build(&context);
        assert!(lost.err().unwrap().to_string().starts_with("cannot read the word list"));
        let twice = config(&[("good", 1.0), ("GOOD", 1.0)], Combine::Mean, TextWhen::End).build(&context);
        assert!(twice.err().unwrap().to_string().contains("each once in any case"));
    }
}
