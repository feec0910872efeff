//! Texts that a policy wrote on the way, prompt by prompt.

use dqn_train::samples::LoggedSample;
use serde::Serialize;

use crate::advantage::{Colours, Stretch, stretches};
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
    pub(crate) seen: Vec<Stretch>,
    /// The whole, where there is more than is seen.
    pub(crate) whole: Option<Vec<Stretch>>,
}

impl Text {
    /// A text without colours that begins with `prompt`, which may be empty.
    pub(crate) fn new(prompt: &str, text: &str) -> Self {
        Self::of(prompt, vec![Stretch::plain(text)])
    }

    /// A text that begins with `prompt`, which may be empty.
    fn of(prompt: &str, stretches: Vec<Stretch>) -> Self {
        let text: String = stretches.iter().map(|stretch| stretch.text.as_str()).collect();
        let (given, n_before) = match text.strip_prefix(prompt) {
            Some(_) if prompt.chars().count() <= SHORT_PROMPT_CHARACTERS => (prompt, prompt.len()),
            Some(rest) => ("", text.len() - rest.trim_start().len()),
            None => ("", 0),
        };
        let rest = without_beginning(stretches, n_before);
        let (seen, whole) = match first(&rest, SEEN_CHARACTERS) {
            None => (rest, None),
            Some(seen) => (seen, Some(first(&rest, MOST_CHARACTERS).unwrap_or(rest))),
        };
        Self { given: visible(given), seen: shown(seen), whole: whole.map(shown) }
    }
}

/// The stretches without their first `n_bytes`.
fn without_beginning(stretches: Vec<Stretch>, mut n_bytes: usize) -> Vec<Stretch> {
    let cut = |mut stretch: Stretch| {
        let n_cut = n_bytes.min(stretch.text.len());
        n_bytes -= n_cut;
        stretch.text.drain(..n_cut);
        Some(stretch).filter(|stretch| !stretch.text.is_empty())
    };
    stretches.into_iter().filter_map(cut).collect()
}

/// The first `n` characters of stretches that have more, and a mark that there are.
fn first(stretches: &[Stretch], n: usize) -> Option<Vec<Stretch>> {
    let (mut kept, mut n_left) = (Vec::new(), n);
    for stretch in stretches {
        match cut(&stretch.text, n_left) {
            None => {
                n_left -= stretch.text.chars().count();
                kept.push(stretch.clone());
            }
            Some(text) => {
                kept.push(Stretch { text: text.to_owned(), ..stretch.clone() });
                kept.retain(|stretch| !stretch.text.is_empty());
                kept.push(Stretch::plain(" …"));
                return Some(kept);
            }
        }
    }
    None
}

fn shown(stretches: Vec<Stretch>) -> Vec<Stretch> {
    stretches.into_iter().map(|stretch| Stretch { text: visible(&stretch.text), ..stretch }).collect()
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

/// The samples of a run as they are shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shown {
    pub(crate) prompts: Vec<Prompt>,
    /// Number of samples that are not shown.
    pub(crate) n_left_out: usize,
    /// What the colours of the texts mean, where they have any.
    pub(crate) colours: Option<Colours>,
}

/// The first prompts, and texts of them evenly over time with the last one; at most `n_coloured` stretches get a colour,
/// which is lowered by their number.
pub(crate) fn prompts(samples: &[LoggedSample], is_judged: bool, n_coloured: &mut usize) -> Shown {
    let mut by_prompt: Vec<(&str, Vec<&LoggedSample>)> = Vec::new();
    for sample in samples {
        match by_prompt.iter_mut().find(|(prompt, _)| *prompt == sample.prompt) {
            Some((_, samples)) => samples.push(sample),
            None => by_prompt.push((&sample.prompt, vec![sample])),
        }
    }
    by_prompt.truncate(MOST_PROMPTS);
    for (_, samples) in &mut by_prompt {
        *samples = evenly(samples.len(), MOST_TEXTS).map(|index| samples[index]).collect();
    }
    let colours = Colours::of(by_prompt.iter().flat_map(|(_, samples)| samples).copied());
    let mut written = |sample: &LoggedSample| Written {
        update: count(sample.update),
        text: Text::of(&sample.prompt, stretches(sample, colours.as_ref(), n_coloured)),
        episode_return: is_judged.then(|| shown_return(sample.episode_return)),
    };
    let prompts: Vec<Prompt> = by_prompt
        .iter()
        .map(|(prompt, samples)| Prompt {
            prompt: Text::new("", prompt),
            texts: samples.iter().map(|sample| written(sample)).collect(),
        })
        .collect();
    let n_shown: usize = prompts.iter().map(|prompt| prompt.texts.len()).sum();
    Shown { prompts, n_left_out: samples.len() - n_shown, colours }
}

/// At most `most` of the indices below `n`, evenly, with the first and the last.
fn evenly(n: usize, most: usize) -> impl Iterator<Item = usize> {
    let n_chosen = n.min(most);
    (0..n_chosen).map(move |place| if n_chosen == n { place } else { place * (n - 1) / (most - 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(stretches: &[Stretch]) -> String {
        stretches.iter().map(|stretch| stretch.text.as_str()).collect()
    }

    #[test]
    fn long_texts_are_folded_and_prompts_are_told_apart() {
        let found = Text::new("春", "春风\u{1}");
        assert_eq!((found.given.as_str(), text(&found.seen), found.whole), ("春", "风␁".to_owned(), None));
        let long = "x".repeat(2_000);
        let found = Text::new(&long, &format!("{long}{long}"));
        assert_eq!((found.given.as_str(), text(&found.seen).chars().count()), ("", SEEN_CHARACTERS + 2));
        assert_eq!(text(&found.whole.unwrap()).chars().count(), MOST_CHARACTERS + 2);
        assert_eq!((Text::new("a", "b").given, Text::new("a", "b").seen), (String::new(), vec![Stretch::plain("b")]));
    }

    #[test]
    fn colours_survive_the_cut() {
        let coloured = |text: &str| Stretch { class: Some("a1".to_owned()), ..Stretch::plain(text) };
        let long = "y".repeat(SEEN_CHARACTERS - 1);
        let found = Text::of("go", vec![Stretch::plain("g"), coloured("o x"), coloured(&long), Stretch::plain("end")]);
        assert_eq!(found.given, "go");
        assert_eq!(found.seen[0], coloured(" x"));
        assert_eq!(found.seen[1].class.as_deref(), Some("a1"));
        assert_eq!((found.seen[1].text.len(), found.seen[2].text.as_str()), (SEEN_CHARACTERS - 2, " …"));
        assert_eq!(text(&found.whole.unwrap()), format!(" x{long}end"));
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
            advantage_over: None,
            pieces: Vec::new(),
        };
        let samples: Vec<LoggedSample> = (0..40).map(sample).collect();
        let Shown { prompts: shown, n_left_out, colours } = prompts(&samples, true, &mut 100);
        assert_eq!(colours, None);
        assert_eq!((shown.len(), shown[0].texts.len(), n_left_out), (2, MOST_TEXTS, 20));
        let last = shown[1].texts.last().unwrap();
        assert_eq!((last.update.as_str(), last.episode_return.as_deref()), ("39", Some("0.500")));
        assert_eq!(prompts(&samples, false, &mut 100).prompts[0].texts[0].episode_return, None);
    }
}
