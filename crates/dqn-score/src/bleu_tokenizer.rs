//! How BLEU divides a line into tokens, as sacreBLEU 2.6.0 does.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ScoreError;

/// How a line is divided into tokens before its n-grams are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BleuTokenizer {
    /// The rules of NIST's mteval-v13a, for Western languages: punctuation and symbols are split off. The default.
    #[default]
    #[serde(rename = "13a")]
    Mteval13a,
    /// Chinese characters, most symbols and full-width forms one by one, and what stands between them as by 13a.
    #[serde(rename = "zh")]
    Zh,
    /// Every character that is not white space.
    #[serde(rename = "char")]
    Char,
    /// Divides at white space only: for text that is tokenized already.
    #[serde(rename = "none")]
    None,
}

impl BleuTokenizer {
    /// All tokenizers.
    pub const ALL: [Self; 4] = [Self::Mteval13a, Self::Zh, Self::Char, Self::None];

    /// The name in configuration files and signatures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mteval13a => "13a",
            Self::Zh => "zh",
            Self::Char => "char",
            Self::None => "none",
        }
    }

    /// The tokens of `line`.
    pub fn tokenize(self, line: &str) -> Vec<String> {
        // The three steps are sacreBLEU's: white space at the end goes before, white space between tokens after.
        let line = line.trim_end_matches(is_space);
        let divided = match self {
            Self::Mteval13a => western(&format!(" {} ", without_markup(line))),
            Self::Zh => western(&apart(line.trim_start_matches(is_space), is_chinese)),
            Self::Char => apart(line, |_| true),
            Self::None => line.to_owned(),
        };
        divided.split(is_space).filter(|token| !token.is_empty()).map(str::to_owned).collect()
    }
}

impl fmt::Display for BleuTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BleuTokenizer {
    type Err = ScoreError;

    fn from_str(name: &str) -> Result<Self, ScoreError> {
        Self::ALL.into_iter().find(|tokenizer| tokenizer.name() == name).ok_or_else(|| ScoreError::UnknownTokenizer {
            found: name.to_owned(),
            allowed: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// White space as Python's `str.split` and `str.rstrip` see it: Unicode's, and the four ASCII separators.
pub(crate) fn is_space(char: char) -> bool {
    char.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&char)
}

/// The line without what mteval takes for markup. `&amp;` turns into `&` before `&lt;` is looked for.
fn without_markup(line: &str) -> String {
    line.replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
}

/// The line with a space on both sides of each character that is picked.
fn apart(line: &str, picked: impl Fn(char) -> bool) -> String {
    let mut divided = String::with_capacity(3 * line.len());
    for char in line.chars() {
        if picked(char) {
            divided.extend([' ', char, ' ']);
        } else {
            divided.push(char);
        }
    }
    divided
}

/// The rules of mteval-v13a for Western languages, each over the result of the one before.
fn western(line: &str) -> String {
    static RULES: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
        [
            // ASCII symbols and punctuation but the apostrophe, comma, dash and full stop.
            (r"[ -&(-+/:-@\[-`{-~]", " ${0} "),
            // Commas and full stops, unless a digit stands before and a digit after them.
            (r"([^0-9])([.,])", "${1} ${2} "),
            (r"([.,])([^0-9])", " ${1} ${2}"),
            // A dash after a digit.
            (r"([0-9])(-)", "${1} ${2} "),
        ]
        .map(|(pattern, replacement)| (Regex::new(pattern).expect("the pattern is valid"), replacement))
    });
    RULES
        .iter()
        .fold(line.to_owned(), |line, (pattern, replacement)| pattern.replace_all(&line, *replacement).into_owned())
}

/// Whether sacreBLEU's `zh` takes a character for a Chinese one.
///
/// Its table has two entries for characters beyond U+FFFF that Python reads as strings of two characters. As strings
/// compare, the first of them admits U+2001 to U+2A6D instead, and no character beyond U+FFFF is ever Chinese.
fn is_chinese(char: char) -> bool {
    matches!(char,
        '\u{2001}'..='\u{2a6d}'
        | '\u{2e80}'..='\u{2fdf}'
        | '\u{2ff0}'..='\u{303f}'
        | '\u{3100}'..='\u{312f}'
        | '\u{31a0}'..='\u{31bf}'
        | '\u{31c0}'..='\u{31ef}'
        | '\u{3200}'..='\u{4db5}'
        | '\u{4e00}'..='\u{9fbb}'
        | '\u{f900}'..='\u{fa2d}'
        | '\u{fa30}'..='\u{fa6a}'
        | '\u{fa70}'..='\u{fad9}'
        | '\u{fe10}'..='\u{fe1f}'
        | '\u{fe30}'..='\u{fe4f}'
        | '\u{ff00}'..='\u{ffef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tokenizer: BleuTokenizer, line: &str, expected: &[&str]) {
        assert_eq!(tokenizer.tokenize(line), expected, "{tokenizer} of {line:?}");
    }

    #[test]
    fn mteval_13a() {
        let check = |line, expected: &[&str]| check(BleuTokenizer::Mteval13a, line, expected);
        check("Hello, world!", &["Hello", ",", "world", "!"]);
        check("It's 1,000.50 (or 3-4).", &["It's", "1,000.50", "(", "or", "3", "-", "4", ")", "."]);
        check("well-known e.g. x=y", &["well-known", "e", ".", "g", ".", "x", "=", "y"]);
        check("wait...", &["wait", ".", ".", "."]);
        check("&amp;lt; &quot;a&quot;<skipped>", &["<", "\"", "a", "\""]);
        check("你好。", &["你好。"]);
        check(" \t\u{1c} ", &[]);
    }

    #[test]
    fn zh() {
        let check = |line, expected: &[&str]| check(BleuTokenizer::Zh, line, expected);
        check("你好,world!3.5", &["你", "好", ",", "world", "!", "3.5"]);
        check("“床前”…明月", &["“", "床", "前", "”", "…", "明", "月"]);
        check("\u{20000}\u{20001}😀a", &["\u{20000}\u{20001}😀a"]);
    }

    #[test]
    fn char_and_none() {
        check(BleuTokenizer::Char, "a b，c\u{301}", &["a", "b", "，", "c", "\u{301}"]);
        check(BleuTokenizer::None, " a,b  c.\u{3000}d ", &["a,b", "c.", "d"]);
    }

    #[test]
    fn names_are_read_back_and_others_refused() {
        for tokenizer in BleuTokenizer::ALL {
            assert_eq!(tokenizer.name().parse::<BleuTokenizer>().unwrap(), tokenizer);
            assert_eq!(serde_json::to_value(tokenizer).unwrap(), tokenizer.name());
        }
        let error = "intl".parse::<BleuTokenizer>().unwrap_err();
        assert_eq!(error.to_string(), "\"intl\" is no BLEU tokenizer; allowed are 13a, zh, char, none");
    }
}
