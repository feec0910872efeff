//! English words of five letters, one a line.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Where the Debian package `wamerican-small` keeps its words, sorted, one a line.
const SOURCE: &str = "usr/share/dict/american-english-small";

const N_LETTERS: usize = 5;
/// What makes another form of a word that the source has too; such forms would be half of the list.
const ENDINGS: [&str; 7] = ["s", "es", "d", "ed", "r", "er", "st"];
/// Of the words that are left every fifth is taken, so that the list is as large as those of the published results.
const EVERY: usize = 5;

/// Builds the list from the folder of the unpacked package.
pub(super) fn build(package: &Path) -> Result<String> {
    let path = package.join(SOURCE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let words = choose(&text);
    if words.is_empty() {
        bail!("no word of {} is usable", path.display());
    }
    Ok(words.join("\n") + "\n")
}

/// Every fifth of the usable words, in their order.
fn choose(text: &str) -> Vec<&str> {
    let known: HashSet<&str> = text.lines().collect();
    text.lines().filter(|word| is_usable(word, &known)).step_by(EVERY).collect()
}

/// Whether a word has five small letters from a to z, is no form of a shorter one and no Roman numeral.
fn is_usable(word: &str, known: &HashSet<&str>) -> bool {
    let is_form = ENDINGS.iter().any(|ending| word.strip_suffix(ending).is_some_and(|stem| known.contains(stem)));
    word.len() == N_LETTERS && word.bytes().all(|letter| letter.is_ascii_lowercase()) && !is_form && !is_numeral(word)
}

/// Roman numerals of five letters below 200; what tells them from `civic` and `civil` is an x or a double i.
fn is_numeral(word: &str) -> bool {
    word.bytes().all(|letter| b"cilvx".contains(&letter)) && (word.contains('x') || word.contains("ii"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_five_small_letters_are_usable() {
        let known = HashSet::from(["abbey", "bake", "box", "deep", "fat", "abate"]);
        for (word, expected) in [
            ("abbey", true),
            ("civic", true),
            ("clvii", false),
            ("xxxii", false),
            // Forms of words that are known, and words that only look like one.
            ("bakes", false),
            ("baker", false),
            ("baked", false),
            ("boxes", false),
            ("deeps", false),
            ("abyss", true),
            ("ember", true),
            ("Paris", false),
            ("it's", false),
            ("aren't", false),
            ("élan", false),
            ("four", false),
        ] {
            assert_eq!(is_usable(word, &known), expected, "{word}");
        }
    }

    #[test]
    fn every_fifth_usable_word_is_taken() {
        let text = "Aaron\nabaci\naback\nabate\nabates\nabbey\nabbot\nabhor\nabide\n";
        assert_eq!(choose(text), ["abaci", "abhor"]);
    }
}
