//! The reward of a run, as its configuration says it.

use std::path::PathBuf;

use dqn_mdp::Reward;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;
use crate::reward::{
    BleuTermConfig, DistinctConfig, ExternalConfig, FormConfig, KeywordsConfig, LengthConfig, LexiconSource, LineForm,
    ReferenceLmConfig, RegexConfig, RepetitionConfig, RewardContext, RewardSum, SentimentConfig, SimilarityConfig,
    TransportConfig, WeightedTerm,
};

/// What written text is worth: a weighted sum of terms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RewardConfig {
    /// The terms of the sum. Default none: the reward is what the environment itself gives.
    #[serde(default)]
    pub terms: Vec<TermConfig>,
}

/// One term of the reward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TermConfig {
    /// How likely a language model of human text finds each token.
    ReferenceLm(ReferenceLmConfig),
    /// -1 for each token that occurred before.
    Repetition(RepetitionConfig),
    /// The share of different n-grams in what was written.
    Distinct(DistinctConfig),
    /// Whether the line falls into clauses of the right lengths and ends where it should.
    Form(FormConfig),
    /// How far the length of the text is from a target.
    Length(LengthConfig),
    /// The share of given keywords that were written.
    Keywords(KeywordsConfig),
    /// BLEU of what was written against the references of the prompt.
    Bleu(BleuTermConfig),
    /// chrF, TER, ROUGE or an error rate of what was written against the references of the prompt.
    Similarity(SimilarityConfig),
    /// What a program or a server of one's own says of what was written.
    External(ExternalConfig),
    /// How good or bad the written words are, by a list of words with weights.
    Sentiment(SentimentConfig),
    /// How often patterns are found in what was written.
    Regex(RegexConfig),
}

impl RewardConfig {
    /// The terms, ready to judge episodes of the task of `context`.
    ///
    /// # Errors
    /// The first fault found in a term, and those of [`RewardSum::new`].
    pub fn build(&self, context: &RewardContext<'_>) -> Result<RewardSum, EnvError> {
        let weighted = |term: &TermConfig| Ok(WeightedTerm { weight: term.weight(), reward: term.build(context)? });
        RewardSum::new(self.terms.iter().map(weighted).collect::<Result<_, EnvError>>()?)
    }

    /// The line form the reward asks for: that of the first term of kind `form`, if there is one.
    ///
    /// # Errors
    /// As building that term.
    pub fn line_form(&self, context: &RewardContext<'_>) -> Result<Option<LineForm>, EnvError> {
        let form = self.terms.iter().find_map(|term| match term {
            TermConfig::Form(config) => Some(config),
            _ => None,
        });
        form.map(|config| config.line_form(context)).transpose()
    }
}

impl RewardConfig {
    /// The paths in the settings of the terms: files, and the folders in which programs run.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.terms.iter_mut().filter_map(|term| match term {
            TermConfig::External(ExternalConfig { transport: TransportConfig::Command(command), .. }) => {
                Some(&mut command.folder)
            }
            TermConfig::Sentiment(SentimentConfig { lexicon: LexiconSource::Path(path), .. }) => Some(path),
            _ => None,
        })
    }
}

impl TermConfig {
    /// The name under which the term is logged.
    pub fn name(&self) -> &str {
        match self {
            TermConfig::ReferenceLm(config) => config.name(),
            TermConfig::Repetition(config) => config.name(),
            TermConfig::Distinct(config) => config.name(),
            TermConfig::Form(config) => config.name(),
            TermConfig::Length(config) => config.name(),
            TermConfig::Keywords(config) => config.name(),
            TermConfig::Bleu(config) => config.name(),
            TermConfig::Similarity(config) => config.name(),
            TermConfig::External(config) => config.name(),
            TermConfig::Sentiment(config) => config.name(),
            TermConfig::Regex(config) => config.name(),
        }
    }

    /// What the term's rewards are multiplied by.
    pub fn weight(&self) -> f64 {
        match self {
            TermConfig::ReferenceLm(config) => config.weight,
            TermConfig::Repetition(config) => config.weight,
            TermConfig::Distinct(config) => config.weight,
            TermConfig::Form(config) => config.weight,
            TermConfig::Length(config) => config.weight,
            TermConfig::Keywords(config) => config.weight,
            TermConfig::Bleu(config) => config.weight,
            TermConfig::Similarity(config) => config.weight,
            TermConfig::External(config) => config.weight,
            TermConfig::Sentiment(config) => config.weight,
            TermConfig::Regex(config) => config.weight,
        }
    }

    fn build(&self, context: &RewardContext<'_>) -> Result<Box<dyn Reward>, EnvError> {
        match self {
            TermConfig::ReferenceLm(config) => config.build(context),
            TermConfig::Repetition(config) => config.build(context),
            TermConfig::Distinct(config) => config.build(),
            TermConfig::Form(config) => config.build(context),
            TermConfig::Length(config) => config.build(),
            TermConfig::Keywords(config) => config.build(context),
            TermConfig::Bleu(config) => config.build(context),
            TermConfig::Similarity(config) => config.build(context),
            TermConfig::External(config) => config.build(context),
            TermConfig::Sentiment(config) => config.build(context),
            TermConfig::Regex(config) => config.build(context),
        }
    }
}

/// The weight of a term that names none.
pub(super) fn default_weight() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dqn_score::{NgramConfig, NgramLm};
    use dqn_text::Tokenizer;
    use serde_json::{Value, json};

    use super::*;
    use crate::reward::test_text::Characters;

    /// What a configuration file looks like to a reader, with every kind of term.
    fn every_kind() -> Value {
        json!({ "terms": [
            { "kind": "reference_lm", "weight": 0.2 },
            { "kind": "repetition", "weight": 0.3, "exempt": ["，"] },
            { "kind": "form", "delimiter": "，", "n_clauses": 2 },
            { "kind": "distinct" },
            { "kind": "length", "target_tokens": 11 },
            { "kind": "keywords", "keywords": ["河"] },
            { "kind": "bleu", "name": "similarity", "smoothing": { "kind": "none" } },
            { "kind": "sentiment", "lexicon": { "words": { "黄河": 2.0 } } },
            { "kind": "regex", "patterns": [{ "pattern": "海." }] },
        ]})
    }

    fn read(value: Value) -> Result<RewardConfig, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    /// Every schema inside `schema`, itself included.
    fn walk<'a>(schema: &'a Value, visit: &mut impl FnMut(&'a Value)) {
        visit(schema);
        match schema {
            Value::Object(map) => map.values().for_each(|inner| walk(inner, visit)),
            Value::Array(items) => items.iter().for_each(|inner| walk(inner, visit)),
            _ => {}
        }
    }

    #[test]
    fn the_couplet_of_the_probe_earns_what_a_person_computes() {
        let text = Characters::new("白日依山尽黄河入海流，");
        let lines = [text.ids("白日依山尽，黄河入海流")];
        let lm = Arc::new(NgramLm::train(&NgramConfig { order: 2 }, text.vocab(), &lines).unwrap());
        let context = RewardContext {
            reference_lm: Some(lm.clone()),
            centre_nats: Some(2.0),
            references: Arc::new([(text.ids("白日").into(), vec![text.ids("依山尽，黄河入海流")])].into()),
            ..RewardContext::of_tokenizer(&text)
        };
        let mut sum = read(every_kind()).unwrap().build(&context).unwrap();
        assert_eq!(
            sum.names(),
            [
                "reference_lm",
                "repetition",
                "form",
                "distinct",
                "length",
                "keywords",
                "similarity",
                "sentiment",
                "regex"
            ]
        );
        let mut episodes = [text.episode("白日", "依山尽，黄河入海白。"), text.episode("白日", "依山尽，黄河入海流。")];
        let lm_return = |index: usize| -> f32 {
            let nats = lm.sequence_log_probs(&episodes[index].tokens, 3);
            nats.iter().map(|nats| 0.2 * (1.0 + nats / 2.0).clamp(-1.0, 1.0)).sum::<f64>() as f32
        };
        // The first repeats 白 of the prompt and keeps the form; all its bigrams differ; it has 11 tokens and 河.
        // BLEU has 8 of 9, 7 of 8, 6 of 7 and 5 of 6 n-grams right, lengths equal.
        let bleu = (8.0 / 9.0 * 7.0 / 8.0 * 6.0 / 7.0 * 5.0 / 6.0_f64).powf(0.25) as f32;
        // One of 7 written words, the comma being none and 黄河 being one, has the weight 2.
        let expected = [
            [lm_return(0), -0.3, 1.5, 1.0, 0.0, 1.0, bleu, 2.0 / 7.0, 1.0],
            [lm_return(1), 0.0, 1.5, 1.0, 0.0, 1.0, 1.0, 2.0 / 7.0, 1.0],
        ];
        sum.judge(&mut episodes).unwrap();
        for (episode, expected) in episodes.iter().zip(expected) {
            for ((found, expected), name) in episode.term_returns.iter().zip(expected).zip(sum.names()) {
                assert!((found - expected).abs() < 1e-5, "{name}: {found}, not {expected}");
            }
            let shares: f32 = episode.term_returns.iter().sum();
            assert!((episode.episode_return() - shares).abs() < 1e-5);
        }
    }

    #[test]
    fn settings_survive_being_written_and_read() {
        let config = read(every_kind()).unwrap();
        assert_eq!(read(serde_json::to_value(&config).unwrap()), Ok(config));
        assert_eq!(read(json!({})), Ok(RewardConfig::default()));
    }

    #[test]
    fn what_a_term_does_not_know_is_refused_with_what_is_allowed() {
        for (term, expected) in [
            (json!({ "kind": "distinct", "when": "step" }), "unknown variant `step`, expected `end` or `difference`"),
            (json!({ "kind": "form", "when": "difference" }), "unknown variant `difference`, expected `step` or `end`"),
            (json!({ "kind": "length" }), "missing field `target_tokens`"),
            (json!({ "kind": "length", "target_tokens": 4, "targets": 4 }), "unknown field `targets`"),
            (json!({ "kind": "rhyme" }), "unknown variant `rhyme`, expected one of `reference_lm`, `repetition`"),
        ] {
            let error = read(json!({ "terms": [term.clone()] })).unwrap_err();
            assert!(error.contains(expected), "{term}: {error}");
        }
    }

    #[test]
    fn terms_of_one_name_need_another() {
        let text = Characters::new("a");
        let config = |second: Value| read(json!({ "terms": [{ "kind": "distinct" }, second] })).unwrap();
        let context = RewardContext::of_tokenizer(&text);
        let error = config(json!({ "kind": "distinct", "n": 1 })).build(&context).err().unwrap();
        assert!(matches!(error, EnvError::DuplicateTerm { name } if name == "distinct"));
        let sum = config(json!({ "kind": "distinct", "name": "distinct_1", "n": 1 })).build(&context).unwrap();
        assert_eq!(sum.names(), ["distinct", "distinct_1"]);
    }

    #[test]
    fn the_line_form_is_that_of_the_form_term() {
        let text = Characters::new("a，");
        let context = RewardContext::of_tokenizer(&text);
        let form =
            read(json!({ "terms": [{ "kind": "distinct" }, { "kind": "form", "delimiter": "，", "n_clauses": 2 }] }))
                .unwrap()
                .line_form(&context)
                .unwrap();
        assert_eq!(form, Some(LineForm::new(Some(text.ids("，")[0]), 2, vec![5, 7]).unwrap()));
        assert_eq!(RewardConfig::default().line_form(&context).unwrap(), None);
    }

    #[test]
    fn the_schema_describes_every_key_and_forbids_others() {
        let schema = serde_json::to_value(schemars::schema_for!(RewardConfig)).unwrap();
        let mut kinds = Vec::new();
        walk(&schema, &mut |inner| {
            let Some(kind) = inner.pointer("/properties/kind/const").and_then(Value::as_str) else { return };
            kinds.push(kind);
            assert_eq!(inner["additionalProperties"], false, "{kind} forbids unknown keys");
            let properties = inner["properties"].as_object().unwrap();
            let required = inner["required"].as_array().unwrap();
            for (key, property) in properties.iter().filter(|(key, _)| *key != "kind") {
                assert!(property["description"].is_string(), "{kind}.{key} has no description");
                let has_default = property.get("default").is_some();
                assert!(has_default != required.contains(&json!(key)), "{kind}.{key} has a default or is required");
            }
        });
        for kind in [
            "reference_lm",
            "repetition",
            "distinct",
            "form",
            "length",
            "keywords",
            "bleu",
            "external",
            "sentiment",
            "regex",
        ] {
            assert!(kinds.contains(&kind), "{kind} is not in the schema: {kinds:?}");
        }
    }
}
