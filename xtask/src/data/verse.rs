//! Chinese verse in simplified script, one sentence a line.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::join_documents;

/// The collections of the npm package `chinese-poetry` that are in simplified script; its large collections of Tang and
/// Song poems (`shi`) are in traditional script and would double the alphabet.
const COLLECTIONS: [&str; 16] = [
    "shuimotangshi/shuimotangshi.json",
    "wudaishici/huajianji/huajianji-1-juan.json",
    "wudaishici/huajianji/huajianji-2-juan.json",
    "wudaishici/huajianji/huajianji-3-juan.json",
    "wudaishici/huajianji/huajianji-4-juan.json",
    "wudaishici/huajianji/huajianji-5-juan.json",
    "wudaishici/huajianji/huajianji-6-juan.json",
    "wudaishici/huajianji/huajianji-7-juan.json",
    "wudaishici/huajianji/huajianji-8-juan.json",
    "wudaishici/huajianji/huajianji-9-juan.json",
    "wudaishici/nantang/poetrys.json",
    "songci/宋词三百首.json",
    "songci/ci.song.0.json",
    "songci/ci.song.1000.json",
    "songci/ci.song.2000.json",
    "nalanxingde/纳兰性德诗集.json",
];

/// Characters left in traditional form in those collections, with the simplified one.
const SIMPLIFIED: [(char, char); 4] = [('陽', '阳'), ('陰', '阴'), ('籙', '箓'), ('轤', '轳')];

const MIN_LINE_CHARACTERS: usize = 3;
/// A couplet of seven and seven with its comma.
const MAX_LINE_CHARACTERS: usize = 15;

#[derive(Deserialize)]
struct Poem {
    #[serde(alias = "para")]
    paragraphs: Vec<String>,
}

/// Builds the text from the folder of the unpacked package.
pub(super) fn build(package: &Path) -> Result<String> {
    let mut poems = Vec::new();
    for collection in COLLECTIONS {
        let path = package.join("dist").join(collection);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let found: Vec<Poem> =
            serde_json::from_str(&text).with_context(|| format!("{} is not a list of poems", path.display()))?;
        poems.extend(found);
    }
    let documents = clean(&poems);
    if documents.is_empty() {
        bail!("no line of the {} poems in {} is usable", poems.len(), package.display());
    }
    Ok(join_documents(&documents))
}

/// The usable sentences of each poem, each sentence once in the whole text.
///
/// A poem that occurs twice loses all its lines the second time and so disappears as well.
fn clean(poems: &[Poem]) -> Vec<Vec<String>> {
    let mut seen = HashSet::new();
    let mut documents = Vec::new();
    for poem in poems {
        let lines: Vec<String> = poem
            .paragraphs
            .iter()
            .flat_map(|paragraph| paragraph.split(['。', '！', '？', '；', '!', '?', ';', '\n']))
            .filter_map(usable_line)
            .filter(|line| seen.insert(line.clone()))
            .collect();
        if !lines.is_empty() {
            documents.push(lines);
        }
    }
    documents
}

/// A sentence as a line, or nothing where it is too short, too long, or holds a gap in the transmission or a note.
fn usable_line(sentence: &str) -> Option<String> {
    let line: String = sentence
        .trim()
        .chars()
        .map(|character| match character {
            '、' | ',' => '，',
            other => SIMPLIFIED.iter().find(|(traditional, _)| *traditional == other).map_or(other, |pair| pair.1),
        })
        .collect();
    let line = line.trim_matches('，');
    let is_verse = |character: char| matches!(character, '\u{4e00}'..='\u{9fff}' | '，');
    let fits = (MIN_LINE_CHARACTERS..=MAX_LINE_CHARACTERS).contains(&line.chars().count());
    (fits && line.chars().all(is_verse) && !line.contains("，，")).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poem(paragraphs: &[&str]) -> Poem {
        Poem { paragraphs: paragraphs.iter().map(|&paragraph| paragraph.to_owned()).collect() }
    }

    #[test]
    fn sentences_become_lines() {
        let table = [
            ("嵩峤云高，洛川波暖", Some("嵩峤云高，洛川波暖")),
            ("纵玉勒、轻飞迅羽", Some("纵玉勒，轻飞迅羽")),
            (" ，夕陽西下,", Some("夕阳西下")),
            ("白日依山尽白日依，黄河入海流白日依", None),
            ("白日依山尽白日，黄河入海流白日", Some("白日依山尽白日，黄河入海流白日")),
            ("归去", None),
            ("万家□□多游伴", None),
            ("一作：东风", None),
            ("山，，水", None),
        ];
        for (sentence, expected) in table {
            assert_eq!(usable_line(sentence).as_deref(), expected, "{sentence}");
        }
    }

    #[test]
    fn a_line_or_poem_met_again_is_dropped() {
        let poems =
            [poem(&["子规啼。画船晓！", "两岸红。"]), poem(&["子规啼。万家烟。"]), poem(&["两岸红。", "画船晓"])];
        let documents = clean(&poems);
        assert_eq!(join_documents(&documents), "子规啼\n画船晓\n两岸红\n\n万家烟\n");
    }
}
