//! What written text is worth: a weighted sum of named terms.
//!
//! Each term is a [`dqn_mdp::Reward`] in its own file, with its settings, and knows nothing of its weight. A
//! [`RewardConfig`] lists the terms in words; with the [`RewardContext`] of a task it becomes a [`RewardSum`], which
//! judges a batch of finished episodes and writes down each term's share.
//!
//! Only what the policy wrote is rewarded. The prompt is context: a token of it can be repeated, its clauses count
//! towards the form of the line, and the language model reads it.

mod bleu;
mod config;
mod context;
mod distinct;
mod external;
mod keywords;
mod length;
mod line_form;
mod reference_lm;
mod regex;
mod repetition;
mod sentiment;
mod similarity;
mod sum;
mod when;

#[cfg(test)]
mod test_text;

pub use self::regex::{Counting, PatternConfig, RegexConfig};
pub use bleu::BleuTermConfig;
pub use config::{RewardConfig, TermConfig};
pub use context::{References, RewardContext};
pub use distinct::DistinctConfig;
pub use external::{CommandConfig, ExternalConfig, HttpConfig, OnFailure, TransportConfig};
pub use keywords::KeywordsConfig;
pub use length::LengthConfig;
pub use line_form::{FormConfig, LineForm};
pub use reference_lm::ReferenceLmConfig;
pub use repetition::RepetitionConfig;
pub use sentiment::{BuiltinLexicon, Combine, LexiconSource, SentimentConfig};
pub use similarity::{SimilarityConfig, SimilarityMetric};
pub use sum::{RewardSum, WeightedTerm};
pub use when::{TextWhen, TokenWhen};
