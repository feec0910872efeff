//! The action table of an experiment over text.

use std::collections::BTreeSet;

use dqn_mdp::{ActionTable, TokenId};
use dqn_text::corpus::{Corpus, CorpusConfig};
use dqn_text::phrases::mine_phrases;
use dqn_text::split::Split;
use dqn_text::words::frequent_words;
use dqn_text::{Special, Tokenizer};

use crate::TrainError;
use crate::config::ActionsConfig;
use crate::text::{TextData, read_source};

/// What may be written, made from the training part of `text`.
///
/// Words, phrases and sentences come with `<eos>`, which is action 0. Sentences read from elsewhere become part of the
/// fingerprint of `text`, so that a run goes on with the same ones only.
///
/// # Errors
/// When there are no actions of the kind asked for, or the sentences cannot be read.
pub(crate) fn table(config: &ActionsConfig, text: &mut TextData) -> Result<ActionTable, TrainError> {
    let examples = &text.part(Split::Train).examples;
    let vocab = text.tokenizer.vocab();
    let alone = || ActionTable::of_tokens([Special::Eos.id()]);
    let (kind, table) = match config {
        ActionsConfig::Vocabulary { .. } => return Ok(ActionTable::of_vocab(vocab)),
        ActionsConfig::Corpus => {
            let used: BTreeSet<TokenId> = examples.iter().flatten().copied().collect();
            return Ok(ActionTable::of_tokens(used));
        }
        ActionsConfig::Words { max_words, min_count, with_tokens, .. } => {
            let table = if *with_tokens { ActionTable::of_vocab(vocab) } else { alone() };
            let known = examples.iter().flat_map(|example| example.split(|&token| token == Special::Unk.id()));
            let texts: Vec<String> = known.map(|tokens| text.tokenizer.decode(tokens)).collect();
            let words = frequent_words(texts.iter().map(String::as_str), *max_words, *min_count);
            let words = words.iter().map(|word| text.tokenizer.encode(word)).collect::<Result<Vec<_>, _>>()?;
            ("words", table.with(words))
        }
        ActionsConfig::Phrases { mining, .. } => {
            let phrases = mine_phrases(mining, examples).into_iter().map(|phrase| phrase.tokens);
            ("phrases", ActionTable::of_vocab(vocab).with(phrases))
        }
        ActionsConfig::Sentences { source, max_sentences, .. } => {
            let mut lines: Vec<Vec<TokenId>> = match source {
                Some(source) => {
                    let (origin, bytes) = read_source(source)?;
                    let corpus = Corpus::from_bytes(&origin, &bytes, &CorpusConfig::default())?;
                    let lines = corpus.documents.iter().flat_map(|document| &document.examples);
                    let lines = lines.map(|line| text.tokenizer.encode(line)).collect::<Result<_, _>>()?;
                    text.add_to_fingerprint(&bytes);
                    lines
                }
                None => text.part(Split::Train).lines().map(<[TokenId]>::to_vec).collect(),
            };
            lines.retain(|line| !line.is_empty() && !line.contains(&Special::Unk.id()));
            let mut known = BTreeSet::new();
            lines.retain(|line| known.insert(line.clone()));
            // Spread over the whole text, so that the first documents are not all there is.
            let n_lines = lines.len();
            let kept = (*max_sentences).min(n_lines);
            ("sentences", alone().with((0..kept).map(|index| lines[index * n_lines / kept].clone())))
        }
    };
    match table.len() {
        1 => Err(TrainError::NoActions { kind }),
        _ => Ok(table),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::ExperimentConfig;
    use crate::experiment::Experiment;

    /// The texts that the actions of a task over `lines` write.
    fn written(lines: &[&str], tokenizer: &str, actions: &str, example: &str) -> Result<Vec<String>, String> {
        let text = format!(
            r#"
            corpus = {{ source = {{ texts = {lines:?} }}, reading = {{ example = "{example}" }} }}
            split = {{ train = 0.6, judge = 0.0, validation = 0.2, test = 0.2 }}
            tokenizer = {tokenizer}
            actions = {actions}
            environment = {{ kind = "generation", n_prompt_tokens = 1, max_tokens = 9 }}
            reward = {{ terms = [{{ kind = "repetition" }}] }}
            "#
        );
        let config = ExperimentConfig::from_toml(&text, "test", &[]).map_err(|error| error.to_string())?;
        let experiment =
            Experiment::build(config, None, &burn::tensor::Device::flex()).map_err(|error| error.to_string())?;
        Ok(experiment.actions.iter().map(|(_, tokens)| experiment.render(tokens)).collect())
    }

    /// Documents of one line, all of the same text but for its end, which the split may put anywhere.
    const LINES: [&str; 9] = ["ab cd!", "", "ab cd?", "", "ab cd.", "", "ab cd;", "", "ab cd:"];

    #[test]
    fn words_bring_their_space_and_stand_beside_or_without_tokens() {
        let char = r#"{ kind = "char" }"#;
        let words = written(&LINES, char, r#"{ kind = "words", max_words = 2, with_tokens = false }"#, "line").unwrap();
        assert_eq!(words, ["", " cd", "ab"]);
        let mixed = written(&LINES, char, r#"{ kind = "words", max_words = 2 }"#, "line").unwrap();
        assert!(mixed.iter().any(|action| action == "a") && mixed.ends_with(&[" cd".to_owned(), "ab".to_owned()]));
        let rare = written(&LINES, char, r#"{ kind = "words", min_count = 9, with_tokens = false }"#, "line");
        assert!(rare.unwrap_err().contains("actions.kind = \"words\""));
        let of_words = written(&LINES, r#"{ kind = "word" }"#, r#"{ kind = "words" }"#, "line").unwrap_err();
        assert!(of_words.contains("actions.kind: found words"), "{of_words}");
    }

    #[test]
    fn phrases_follow_the_tokens() {
        let phrases = r#"{ kind = "phrases", mining = { min_count = 2, threshold = 1.0, max_tokens = 3 } }"#;
        let found = written(&LINES, r#"{ kind = "char" }"#, phrases, "line").unwrap();
        let n_tokens = found.iter().position(|action| action.chars().count() > 1).unwrap();
        assert_eq!(found[0], "");
        assert!(found[1..n_tokens].iter().all(|action| action.chars().count() == 1));
        for phrase in ["ab", " cd"] {
            assert!(found[n_tokens..].contains(&phrase.to_owned()), "{found:?}");
        }
    }

    #[test]
    fn sentences_are_lines_once_each_or_those_of_another_source() {
        // Three documents of two lines, the first of them the same everywhere.
        let lines = ["x y", "a", "", "x y", "b", "", "x y", "c", "", "x y", "d", "", "x y", "e"];
        let word = r#"{ kind = "word" }"#;
        let found = written(&lines, word, r#"{ kind = "sentences" }"#, "document").unwrap();
        assert_eq!((found.len(), found[0].as_str(), found[1].as_str()), (5, "", "x y"));
        assert!(found[2..].iter().all(|line| line.len() == 1));
        let capped = written(&lines, word, r#"{ kind = "sentences", max_sentences = 1 }"#, "document").unwrap();
        assert_eq!(capped, ["", "x y"]);
        // With characters the line feed is part of all lines but the last of a text.
        let found = written(&lines, r#"{ kind = "char" }"#, r#"{ kind = "sentences" }"#, "document").unwrap();
        assert_eq!((found.len(), found[1].as_str()), (5, "x y\n"));
        let source = r#"{ kind = "sentences", source = { texts = ["y x", "unknown", "y x", "x"] } }"#;
        assert_eq!(written(&lines, word, source, "document").unwrap(), ["", "y x", "x"]);
        let none = r#"{ kind = "sentences", source = { texts = ["unknown"] } }"#;
        assert!(written(&lines, word, none, "document").unwrap_err().contains("actions.kind = \"sentences\""));
    }
}
