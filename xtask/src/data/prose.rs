//! English prose, one pair of clauses a line.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{join_documents, lzw};

/// Where the Debian package `bible-kjv-text` keeps the King James Version.
const SOURCE: &str = "usr/lib/bible.data";
/// How the source begins. An index of blocks follows, then the whole text as one stream in the format of `compress`.
const SIGNATURE: &[u8] = b"EC02Compressed Data File";

const MIN_CLAUSE_WORDS: usize = 2;
/// Short enough that a line of two clauses, with its comma, is an episode of at most 13 word tokens.
const MAX_CLAUSE_WORDS: usize = 6;

/// Builds the text from the folder of the unpacked package.
pub(super) fn build(package: &Path) -> Result<String> {
    let path = package.join(SOURCE);
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = stream(&bytes)
        .and_then(lzw::decompress)
        .and_then(|text| String::from_utf8(text).context("the decompressed text is not UTF-8"))
        .with_context(|| format!("{} is not the text that is meant", path.display()))?;
    let documents = clean(&text)?;
    if documents.is_empty() {
        bail!("no verse of {} is usable", path.display());
    }
    Ok(join_documents(&documents))
}

/// The compressed stream behind the index.
fn stream(bytes: &[u8]) -> Result<&[u8]> {
    if !bytes.starts_with(SIGNATURE) {
        bail!("it does not begin with {:?}", String::from_utf8_lossy(SIGNATURE));
    }
    let start = bytes.windows(2).position(|pair| pair == [0x1f, 0x9d]).unwrap_or(bytes.len());
    Ok(&bytes[start..])
}

/// The usable lines of each chapter, each line once in the whole text.
///
/// The source is a title, then one verse a line: `Ge1:1 In the beginning ...`.
fn clean(text: &str) -> Result<Vec<Vec<String>>> {
    let mut seen = HashSet::new();
    let mut documents = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    let mut open_chapter = "";
    for (index, verse) in text.lines().enumerate().skip(1) {
        let Some((chapter, words)) =
            verse.split_once(' ').and_then(|(place, words)| Some((place.split_once(':')?.0, words)))
        else {
            bail!("line {} is no verse: {verse:?}", index + 1);
        };
        if chapter != open_chapter {
            documents.push(std::mem::take(&mut lines));
            open_chapter = chapter;
        }
        lines.extend(usable_lines(words).filter(|line| seen.insert(line.clone())));
    }
    documents.push(lines);
    documents.retain(|lines| !lines.is_empty());
    Ok(documents)
}

/// The pairs of neighbouring clauses in a verse that are short enough.
///
/// A sentence of more than two clauses gives its first and second, its third and fourth, and so on.
fn usable_lines(verse: &str) -> impl Iterator<Item = String> {
    verse.split(['.', ';', ':', '?', '!']).flat_map(|sentence| {
        let clauses: Vec<Option<String>> = sentence.split(',').map(usable_clause).collect();
        let (pairs, _single) = clauses.as_chunks::<2>();
        pairs
            .iter()
            .filter_map(|[first, second]| Some(format!("{}, {}", first.as_ref()?, second.as_ref()?)))
            .collect::<Vec<_>>()
    })
}

/// A clause of the right length in words of letters, apostrophes and hyphens, with single spaces.
fn usable_clause(clause: &str) -> Option<String> {
    let words: Vec<&str> = clause.split_whitespace().collect();
    let is_word =
        |word: &&str| word.chars().all(|character| character.is_ascii_alphabetic() || matches!(character, '\'' | '-'));
    let fits = (MIN_CLAUSE_WORDS..=MAX_CLAUSE_WORDS).contains(&words.len());
    (fits && words.iter().all(is_word)).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_short_clauses_become_lines() {
        let table: [(&str, &[&str]); 5] = [
            ("And God said, Let there be light: and there was light.", &["And God said, Let there be light"]),
            // Three clauses: the third has no partner.
            ("Be fruitful, and multiply now, and fill the waters.", &["Be fruitful, and multiply now"]),
            // One word is too short, seven are too long.
            ("Selah, he is good; In the day of the Lord God, it was so.", &[]),
            ("Thy name's sake, O  LORD! (as it is, they say)", &["Thy name's sake, O LORD"]),
            (
                "in the earth, and the sea, by the way, he went out",
                &["in the earth, and the sea", "by the way, he went out"],
            ),
        ];
        for (verse, expected) in table {
            assert_eq!(usable_lines(verse).collect::<Vec<_>>(), expected, "{verse}");
        }
    }

    #[test]
    fn chapters_are_documents_and_repeated_lines_are_dropped() {
        let text = "Title\nGe1:1 He said, I am here.\nGe1:2 He went, and came back.\nGe2:1 He said, I am here.\n\
                    Ex1:1 One only.\nEx2:1 He wept, and was still.\n";
        let documents = clean(text).unwrap();
        assert_eq!(
            join_documents(&documents),
            "He said, I am here\nHe went, and came back\n\nHe wept, and was still\n"
        );
    }

    #[test]
    fn what_is_no_verse_is_refused() {
        let fault = clean("Title\nGe1:1 He said, I am.\nstray\n").unwrap_err().to_string();
        assert!(fault.contains("line 3") && fault.contains("stray"), "{fault}");
        assert!(stream(b"PK").unwrap_err().to_string().contains("EC02"));
    }
}
