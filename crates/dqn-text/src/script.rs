//! What the width of a character says about the spaces beside it.

/// Whether this is a Chinese character.
pub(crate) fn is_han(character: char) -> bool {
    matches!(
        character,
        '\u{3005}' | '\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{323af}'
    )
}

/// Whether print leaves no space beside this character: Chinese and Japanese, full-width marks, and the dash and
/// ellipsis, which Chinese doubles and English sets close.
pub(crate) fn is_wide(character: char) -> bool {
    is_han(character)
        || matches!(character, '\u{3000}'..='\u{30ff}' | '\u{ff00}'..='\u{ff65}' | '\u{2014}' | '\u{2026}')
}
