//! Words of a text as units to write, white space included.

use std::collections::BTreeMap;

use unicode_segmentation::UnicodeSegmentation;

/// The words and marks of `text` (Unicode Annex 29), each with the white space before it.
///
/// Joined, they are the text again. White space at the end is a unit of its own; of Chinese text every character is one.
pub fn spaced_words(text: &str) -> Vec<&str> {
    let mut units = Vec::new();
    let mut begin = 0;
    for (at, piece) in text.split_word_bound_indices() {
        let end = at + piece.len();
        if !piece.chars().all(char::is_whitespace) || end == text.len() {
            units.push(&text[begin..end]);
            begin = end;
        }
    }
    units
}

/// The units of [`spaced_words`] that occur `min_count` times or more in `texts`, the most frequent `max_words` of them,
/// in that order; those of one count in the order of their characters.
pub fn frequent_words<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    max_words: usize,
    min_count: usize,
) -> Vec<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for text in texts {
        spaced_words(text).into_iter().for_each(|word| *counts.entry(word).or_default() += 1);
    }
    let mut words: Vec<(&str, usize)> = counts.into_iter().filter(|&(_, count)| count >= min_count).collect();
    words.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    words.into_iter().take(max_words).map(|(word, _)| word).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_bring_the_space_before_them() {
        for (text, expected) in [
            ("And God said, Let", &["And", " God", " said", ",", " Let"][..]),
            ("don't  stop ", &["don't", "  stop", " "]),
            ("白日，依", &["白", "日", "，", "依"]),
            ("  ", &["  "]),
            ("", &[]),
        ] {
            assert_eq!(spaced_words(text), expected, "{text}");
        }
    }

    #[test]
    fn the_most_frequent_words_come_first() {
        let texts = ["b a b a", "a c"];
        // " a" and " b" apart from "b" and "a" at the beginning.
        assert_eq!(frequent_words(texts, 10, 1), [" a", " b", " c", "a", "b"]);
        assert_eq!(frequent_words(texts, 10, 2), [" a"]);
        assert_eq!(frequent_words(texts, 2, 1), [" a", " b"]);
    }

    proptest! {
        #[test]
        fn joined_words_are_the_text(text in "[ab 白，.'\\n]{0,20}") {
            prop_assert_eq!(spaced_words(&text).concat(), text);
        }
    }
}
