//! Texts that a policy wrote on the way, prompt by prompt.

use dqn_train::runner::LoggedSample;
use serde::Serialize;

use crate::axis::count;

/// Most prompts of a run that are shown.
const MOST_PROMPTS: usize = 6;
/// Most texts of a prompt that are shown.
const MOST_TEXTS: usize = 10;
/// Most characters of a text that are kept.
const MOST_CHARACTERS: usize = 1_500;
/// Characters of a long text that are seen before it is opened.
const SEEN_CHARACTERS: usize = 160;
/// A longer prompt is not repeated before each of its texts.
const SHORT_PROMPT_CHARACTERS: usize = 60;

/// A prompt and what was written from it over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Prompt {
    /// How the texts begin; empty where nothing was given.
    pub(crate) prompt: Text,
    pub(crate) texts: Vec<Written>,
}

/// A text written after some updates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Written {
    pub(crate) update: String,
    pub(crate) text: Text,
    /// Nothing where nobody judged it.
    pub(crate) episode_return: Option<String>,
}

/// A text as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Text {
    /// The beginning that was given, where it is short.
    pub(crate) given: String,
    /// What follows it and is seen at once.
    pub(crate) seen: String,
    /// The whole, where there is more than is seen.
    pub(crate) whole: Option<String>,
}

impl Text {
    /// A text that begins with `prompt`, which may be empty.
    pub(crate) fn new(prompt: &str, text: &str) -> Self {
        let (given, rest) = match text.strip_prefix(prompt) {
            Some(rest) if prompt.chars().count() <= SHORT_PROMPT_CHARACTERS => (prompt, rest),
            Some(rest) => ("", rest.trim_start()),
            None => ("", text),
        };
        let given = visible(given);
        match cut(rest, SEEN_CHARACTERS) {
            None => Self { given, seen: visible(rest), whole: None },
            Some(seen) => {
                let whole = cut(rest, MOST_CHARACTERS).map_or_else(|| rest.to_owned(), |kept| format!("{kept} …"));
                Self { given, seen: visible(&format!("{seen} …")), whole: Some(visible(&whole)) }
            }
        }
    }
}

/// A return as tables have it.
pub(crate) fn shown_return(episode_return: f32) -> String {
    format!("{episode_return:.3}").replace('-', "−")
}

/// The first `n` characters of a text that has more.
fn cut(text: &str, n: usize) -> Option<&str> {
    text.char_indices().nth(n).map(|(end, _)| &text[..end])
}

/// A text without characters that may not stand in a document: control characters become their pictures.
fn visible(text: &str) -> String {
    let picture = |letter: char| match letter {
        '\n' | '\t' => letter,
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(letter)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => char::REPLACEMENT_CHARACTER,
        letter => letter,
    };
    text.chars().map(picture).collect()
}

/// The prompts of a run and how many samples are not shown; first prompts first, texts evenly over time with the last one.
pub(crate) fn prompts(samples: &[LoggedSample], is_judged: bool) -> (Vec<Prompt>, usize) {
    let mut by_prompt: Vec<(&str, Vec<&LoggedSample>)> = Vec::new();
    for sample in samples {
        match by_prompt.iter_mut().find(|(prompt, _)| *prompt == sample.prompt) {
            Some((_, samples)) => samples.push(sample),
            None => by_prompt.push((&sample.prompt, vec![sample])),
        }
    }
    let written = |sample: &LoggedSample| Written {
        update: count(sample.update),
        text: Text::new(&sample.prompt, &sample.text),
        episode_return: is_judged.then(|| shown_return(sample.episode_return)),
    };
    let shown: Vec<Prompt> = by_prompt
        .iter()
        .take(MOST_PROMPTS)
        .map(|(prompt, samples)| Prompt {
            prompt: Text::new("", prompt),
            texts: evenly(samples.len(), MOST_TEXTS).map(|index| written(samples[index])).collect(),
        })
        .collect();
    let n_shown: usize = shown.iter().map(|prompt| prompt.texts.len()).sum();
    (shown, samples.len() - n_shown)
}

/// At most `most` of the indices below `n`, evenly, with the first and the last.
fn evenly(n: usize, most: usize) -> impl Iterator<Item = usize> {
    let n_chosen = n.min(most);
    (0..n_chosen).map(move |place| if n_chosen == n { place } else { place * (n - 1) / (most - 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_folded_and_prompts_are_told_apart() {
        assert_eq!(Text::new("春", "春风\u{1}"), Text { given: "春".into(), seen: "风␁".into(), whole: None });
        let long = "x".repeat(2_000);
        let found = Text::new(&long, &format!("{long}{long}"));
        assert_eq!((found.given.as_str(), found.seen.chars().count()), ("", SEEN_CHARACTERS + 2));
        assert_eq!(found.whole.unwrap().chars().count(), MOST_CHARACTERS + 2);
        assert_eq!(Text::new("a", "b"), Text { given: String::new(), seen: "b".into(), whole: None });
    }

    #[test]
    fn few_of_many_samples_are_shown() {
        for (n, most, expected) in
            [(0, 3, vec![]), (2, 3, vec![0, 1]), (3, 3, vec![0, 1, 2]), (11, 3, vec![0, 5, 10]), (4, 3, vec![0, 1, 3])]
        {
            assert_eq!(evenly(n, most).collect::<Vec<_>>(), expected, "{n}");
        }
        let sample = |index: u64| LoggedSample {
            update: index,
            prompt: format!("p{}", index % 2),
            text: format!("p{} {index}", index % 2),
            episode_return: 0.5,
        };
        let samples: Vec<LoggedSample> = (0..40).map(sample).collect();
        let (shown, n_left_out) = prompts(&samples, true);
        assert_eq!((shown.len(), shown[0].texts.len(), n_left_out), (2, MOST_TEXTS, 20));
        let last = shown[1].texts.last().unwrap();
        assert_eq!((last.update.as_str(), last.episode_return.as_deref()), ("39", Some("0.500")));
        assert_eq!(prompts(&samples, false).0[0].texts[0].episode_return, None);
    }
}
