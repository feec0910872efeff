//! How TER divides a line into tokens, as Tercom and sacreBLEU 2.6.0 do.

use super::TerConfig;
use crate::bleu_tokenizer::{apart, is_space, split_commas_and_dashes, split_symbols, without_escapes};

/// The tokens of `line`.
pub(super) fn tokens(line: &str, config: TerConfig) -> Vec<String> {
    let TerConfig { normalized, no_punct, asian_support, case_sensitive } = config;
    let line = line.trim_end_matches(is_space);
    let mut line = if case_sensitive { line.to_owned() } else { line.to_lowercase() };
    if normalized {
        line = western(&line);
        if asian_support {
            // sacreBLEU also has rules for kana. They want kana at the very start of the line, where a space stands by
            // now, so that they never apply.
            line = apart(&line, |char| is_ideographic(char) || is_asian_punctuation(char));
        }
    }
    if no_punct {
        let is_punctuation = |char| ".,?:;!\"()".contains(char) || (asian_support && is_asian_punctuation(char));
        line.retain(|char| !is_punctuation(char));
    }
    line.split(is_space).filter(|token| !token.is_empty()).map(str::to_owned).collect()
}

/// The tokens of a reference, whose tokens are divided once more.
///
/// sacreBLEU does so, and with `normalized` it can make a difference: `Ann's.` turns into `ann's .`, and that into
/// `ann 's .`. Its figures for such references are kept.
pub(super) fn reference_tokens(line: &str, config: TerConfig) -> Vec<String> {
    tokens(&tokens(line, config).join(" "), config)
}

fn western(line: &str) -> String {
    let line = without_escapes(&line.replace("\n-", "").replace('\n', " "));
    // A possessive is split off before full stops are, so that one in front of a full stop stays.
    split_commas_and_dashes(&split_symbols(&format!(" {line} ")).replace("'s ", " 's "))
}

/// Whether Tercom takes a character by itself: ideographs, their strokes, radicals and compatible forms.
///
/// The range of enclosed characters, U+3200 to U+32FF, ends at U+3F22 in sacreBLEU, within ranges that follow anyway.
fn is_ideographic(char: char) -> bool {
    matches!(char,
        '\u{2e80}'..='\u{2eff}'
        | '\u{31c0}'..='\u{31ef}'
        | '\u{3200}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe4f}')
}

/// East Asian punctuation, of full or of half width.
fn is_asian_punctuation(char: char) -> bool {
    matches!(char,
        '\u{3001}' | '\u{3002}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}' | '\u{ff61}'..='\u{ff65}' | '\u{30fb}'
        | '．' | '，' | '？' | '：' | '；' | '！' | '＂' | '（' | '）')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_does_its_part() {
        let plain = TerConfig::default();
        let normalized = TerConfig { normalized: true, ..plain };
        let table: [(TerConfig, &str, &[&str]); 7] = [
            (plain, "It's 3.5% &amp; No. ", &["it's", "3.5%", "&amp;", "no."]),
            (TerConfig { case_sensitive: true, ..plain }, "It's No.", &["It's", "No."]),
            (
                normalized,
                "Ann's 3.5% &amp; 4-5 (Bob's).",
                &["ann", "'s", "3.5", "%", "&", "4", "-", "5", "(", "bob", "'s", ")", "."],
            ),
            (normalized, "Ann's. x\n-y 山，水", &["ann's", ".", "xy", "山，水"]),
            (TerConfig { asian_support: true, ..normalized }, "山，水ab かな", &["山", "，", "水", "ab", "かな"]),
            (TerConfig { no_punct: true, ..plain }, "a.b, (c) 「山」，", &["ab", "c", "「山」，"]),
            (TerConfig { no_punct: true, asian_support: true, ..plain }, "a.b「山」， - 水・", &["ab山", "-", "水"]),
        ];
        for (config, line, expected) in table {
            assert_eq!(tokens(line, config), expected, "{config:?} of {line:?}");
        }
    }
    #[test]
    fn references_are_divided_twice() {
        let config = TerConfig { normalized: true, ..TerConfig::default() };
        assert_eq!(tokens("Ann's. &amp;lt;", config), ["ann's", ".", "<"]);
        assert_eq!(reference_tokens("Ann's. &amp;lt;", config), ["ann", "'s", ".", "<"]);
        assert_eq!(tokens("&amp;amp;lt;", config), ["&", "amp", ";", "lt", ";"]);
        assert_eq!(reference_tokens("Ann's. &lt;", TerConfig::default()), ["ann's.", "&lt;"]);
    }
}
