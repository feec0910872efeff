//! The Porter stemmer in the form NLTK gives it, which is the one that rouge-score uses.
//!
//! Source: Porter 1980, "An algorithm for suffix stripping", with the extensions of NLTK 3.10's default mode: irregular
//! words, short words in -ies and -ied, `y` after a vowel, and the endings -bli, -alli, -fulli and -logi. The stemmers
//! of other libraries follow Porter's later English stemmer or his original and give other stems.

/// Words whose stem no rule finds.
const IRREGULAR: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// Step 2: double suffixes and the single ones they turn into, in the order they are looked for.
const DOUBLE_SUFFIXES: [(&str, &str); 21] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
];

/// Step 3: suffixes of adjectives and what remains of them.
const ADJECTIVE_SUFFIXES: [(&str, &str); 7] =
    [("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", "")];

/// Step 4: suffixes that are dropped from long stems.
const LAST_SUFFIXES: [&str; 19] = [
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti",
    "ous", "ive", "ize",
];

/// The stem of a word of ASCII letters, in lower case, and digits.
pub(crate) fn stem(word: &str) -> String {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(irregular, _)| *irregular == word) {
        return (*stem).to_owned();
    }
    if word.len() <= 2 {
        return word.to_owned();
    }
    let word = without_plural(word);
    let word = without_past(&word);
    let word = with_final_i(word);
    let word = with_single_suffix(word);
    let word = replaced(&word, &ADJECTIVE_SUFFIXES);
    let word = without_last_suffix(&word);
    without_final_letter(word)
}

/// Step 1a.
fn without_plural(word: &str) -> String {
    if word.len() == 4 && word.ends_with("ies") {
        return word[..3].to_owned();
    }
    let n_dropped = if word.ends_with("sses") || word.ends_with("ies") {
        2
    } else {
        usize::from(word.ends_with('s') && !word.ends_with("ss"))
    };
    word[..word.len() - n_dropped].to_owned()
}

/// Step 1b.
fn without_past(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ied") {
        return format!("{stem}{}", if word.len() == 4 { "ie" } else { "i" });
    }
    if let Some(stem) = word.strip_suffix("eed") {
        return if measure(stem) > 0 { format!("{stem}ee") } else { word.to_owned() };
    }
    let Some(stem) = ["ed", "ing"].into_iter().find_map(|suffix| word.strip_suffix(suffix)).filter(has_vowel) else {
        return word.to_owned();
    };
    if ["at", "bl", "iz"].iter().any(|ending| stem.ends_with(ending)) {
        return format!("{stem}e");
    }
    if ends_with_double_consonant(stem) {
        let n_dropped = usize::from(!stem.ends_with(['l', 's', 'z']));
        return stem[..stem.len() - n_dropped].to_owned();
    }
    let ending = if measure(stem) == 1 && ends_with_short_syllable(stem) { "e" } else { "" };
    format!("{stem}{ending}")
}

/// Step 1c.
fn with_final_i(word: String) -> String {
    match word.strip_suffix('y') {
        Some(stem) if stem.len() > 1 && consonants(stem)[stem.len() - 1] => format!("{stem}i"),
        _ => word,
    }
}

/// Step 2.
fn with_single_suffix(word: String) -> String {
    if let Some(stem) = word.strip_suffix("alli")
        && measure(stem) > 0
    {
        return with_single_suffix(format!("{stem}al"));
    }
    // The l of -logi belongs to the stem, so that geology is treated as archaeology is.
    if word.ends_with("logi") {
        let stem = &word[..word.len() - "ogi".len()];
        return if measure(stem) > 0 { format!("{stem}og") } else { word };
    }
    replaced(&word, &DOUBLE_SUFFIXES)
}

/// The word with the first suffix that it ends with replaced, where something measurable stands before it.
fn replaced(word: &str, suffixes: &[(&str, &str)]) -> String {
    let found = suffixes.iter().find_map(|(suffix, other)| Some((word.strip_suffix(suffix)?, other)));
    match found {
        Some((stem, other)) if measure(stem) > 0 => format!("{stem}{other}"),
        _ => word.to_owned(),
    }
}

/// Step 4.
fn without_last_suffix(word: &str) -> String {
    let found = LAST_SUFFIXES.iter().find_map(|suffix| Some((word.strip_suffix(suffix)?, *suffix)));
    match found {
        Some((stem, suffix)) if measure(stem) > 1 && (suffix != "ion" || stem.ends_with(['s', 't'])) => stem.to_owned(),
        _ => word.to_owned(),
    }
}

/// Step 5.
fn without_final_letter(mut word: String) -> String {
    if let Some(stem) = word.strip_suffix('e')
        && (measure(stem) > 1 || measure(stem) == 1 && !ends_with_short_syllable(stem))
    {
        word.pop();
    }
    if word.ends_with("ll") && measure(&word[..word.len() - 1]) > 1 {
        word.pop();
    }
    word
}

/// Which letters are consonants: all but a, e, i, o, u, and y after a consonant. Digits count as consonants.
fn consonants(word: &str) -> Vec<bool> {
    let mut found: Vec<bool> = Vec::with_capacity(word.len());
    for letter in word.bytes() {
        found.push(match letter {
            b'a' | b'e' | b'i' | b'o' | b'u' => false,
            b'y' => !found.last().is_some_and(|before| *before),
            _ => true,
        });
    }
    found
}

/// How often a consonant follows a vowel: the number of syllables, near enough.
fn measure(stem: &str) -> usize {
    consonants(stem).windows(2).filter(|pair| **pair == [false, true]).count()
}

fn has_vowel(stem: &&str) -> bool {
    consonants(stem).contains(&false)
}

fn ends_with_double_consonant(word: &str) -> bool {
    matches!(word.as_bytes(), [.., one, other] if one == other) && consonants(word).ends_with(&[true])
}

/// Consonant, vowel, consonant other than w, x, y at the end; or vowel and consonant and nothing else.
fn ends_with_short_syllable(word: &str) -> bool {
    let consonants = consonants(word);
    consonants == [false, true] || consonants.ends_with(&[true, false, true]) && !word.ends_with(['w', 'x', 'y'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_by_hand() {
        for (word, expected) in [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("dies", "die"),
            ("agreed", "agre"),
            ("feed", "feed"),
            ("died", "die"),
            ("hopping", "hop"),
            ("falling", "fall"),
            ("filing", "file"),
            ("happy", "happi"),
            ("enjoy", "enjoy"),
            ("relational", "relat"),
            ("geology", "geolog"),
            ("hopefulness", "hope"),
            ("adoption", "adopt"),
            ("controlling", "control"),
            ("skies", "sky"),
            ("yyyy", "yyyi"),
            ("1990s", "1990"),
        ] {
            assert_eq!(stem(word), expected, "{word}");
        }
    }
}
