//! Numbers in words, English and Chinese.

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const DIGITS: [char; 10] = ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九'];

/// A number below 1,000,000,000 in English words without hyphens; "and" stands before tens and ones that follow a
/// hundred, and before those that follow a thousand or a million directly.
pub(super) fn english(value: u32) -> String {
    let mut words = Vec::new();
    for (scale, name) in [(1_000_000, "million"), (1_000, "thousand")] {
        let group = value / scale % 1_000;
        if group > 0 {
            below_thousand(group, &mut words);
            words.push(name);
        }
    }
    let rest = value % 1_000;
    if (1..100).contains(&rest) && !words.is_empty() {
        words.push("and");
    }
    below_thousand(rest, &mut words);
    if value == 0 {
        words.push(ONES[0]);
    }
    words.join(" ")
}

fn below_thousand(value: u32, words: &mut Vec<&'static str>) {
    let (hundreds, rest) = (value / 100, value % 100);
    if hundreds > 0 {
        words.extend([ONES[index(hundreds)], "hundred"]);
        if rest > 0 {
            words.push("and");
        }
    }
    if rest >= 20 {
        words.push(TENS[index(rest / 10)]);
    }
    let ones = if rest < 20 { rest } else { rest % 10 };
    if ones > 0 {
        words.push(ONES[index(ones)]);
    }
}

/// A number below 100,000,000 in Chinese characters.
///
/// 2 is 两 before 百 and 千 and alone before 万, else 二; 10 to 19 begin with 十 where nothing stands before them, else
/// with 一十; one 零 stands for zeros between two other digits.
pub(super) fn chinese(value: u32) -> String {
    let (high, low) = (value / 10_000, value % 10_000);
    let mut text = String::new();
    match high {
        0 => {}
        2 => text.push_str("两万"),
        _ => {
            section(high, &mut text);
            text.push('万');
        }
    }
    if value == 0 {
        text.push(DIGITS[0]);
    }
    if high > 0 && (1..1_000).contains(&low) {
        text.push(DIGITS[0]);
    }
    section(low, &mut text);
    text
}

/// Four digits; what `text` holds already decides whether 十 may begin them.
fn section(value: u32, text: &mut String) {
    if (10..20).contains(&value) && text.is_empty() {
        text.push('十');
        if value > 10 {
            text.push(DIGITS[index(value - 10)]);
        }
        return;
    }
    let mut gap = false;
    let mut begun = false;
    for (scale, unit) in [(1_000, "千"), (100, "百"), (10, "十"), (1, "")] {
        let digit = value / scale % 10;
        if digit == 0 {
            gap = begun;
            continue;
        }
        if gap {
            text.push(DIGITS[0]);
        }
        text.push(if digit == 2 && scale >= 100 { '两' } else { DIGITS[index(digit)] });
        text.push_str(unit);
        (gap, begun) = (false, true);
    }
}

/// The same before a measure word or a unit: two is 两.
pub(super) fn chinese_count(value: u32) -> String {
    if value == 2 { "两".to_owned() } else { chinese(value) }
}

/// A year read digit by digit, with 〇 for zero.
pub(super) fn chinese_year(year: u32) -> String {
    let digits = year.to_string();
    digits
        .chars()
        .map(|digit| {
            digit.to_digit(10).map_or(digit, |digit| match digit {
                0 => '〇',
                digit => DIGITS[index(digit)],
            })
        })
        .collect()
}

/// A year from 1900 to 2099 as it is read: by halves, except the first ten years of a century.
pub(super) fn english_year(year: u32) -> String {
    match (year / 100, year % 100) {
        (20, 0..10) => english(year),
        (century, 0) => format!("{} hundred", english(century)),
        (century, rest @ 1..10) => format!("{} oh {}", english(century), english(rest)),
        (century, rest) => format!("{} {}", english(century), english(rest)),
    }
}

/// Ordinals up to 31.
pub(super) fn english_ordinal(value: u32) -> String {
    let irregular = match value % 10 {
        1 => "first",
        2 => "second",
        3 => "third",
        5 => "fifth",
        8 => "eighth",
        9 => "ninth",
        _ => "",
    };
    match value {
        12 => "twelfth".to_owned(),
        20 => "twentieth".to_owned(),
        30 => "thirtieth".to_owned(),
        21.. => format!("{} {}", TENS[index(value / 10)], english_ordinal(value % 10)),
        1..10 if !irregular.is_empty() => irregular.to_owned(),
        _ => format!("{}th", english(value)),
    }
}

fn index(digit: u32) -> usize {
    usize::try_from(digit).expect("a u32 is a usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads English number words on its own: every word adds, multiplies what is open, or closes a group.
    fn value_of_english(words: &str) -> u32 {
        let (mut total, mut group) = (0, 0);
        for word in words.split(' ') {
            match word {
                "and" | "zero" => {}
                "hundred" => group *= 100,
                "thousand" | "million" => {
                    total += group * if word == "thousand" { 1_000 } else { 1_000_000 };
                    group = 0;
                }
                _ => {
                    let small = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen \
                                 sixteen seventeen eighteen nineteen";
                    let tens = "ten twenty thirty forty fifty sixty seventy eighty ninety";
                    let place = |list: &str| list.split_whitespace().position(|known| known == word);
                    group += match (place(small), place(tens)) {
                        (Some(ones), _) => u32::try_from(ones).unwrap() + 1,
                        (None, Some(tens)) => 10 * (u32::try_from(tens).unwrap() + 1),
                        _ => panic!("{word:?} is no number word"),
                    };
                }
            }
        }
        total + group
    }

    /// Reads Chinese numerals on its own: a digit waits for its unit.
    fn value_of_chinese(text: &str) -> u32 {
        let (mut total, mut section, mut digit) = (0, 0, 0);
        for character in text.chars() {
            match "零一二三四五六七八九".chars().position(|known| known == character) {
                Some(value) => digit = u32::try_from(value).unwrap(),
                None if character == '两' => digit = 2,
                None if character == '万' => {
                    total = (section + digit) * 10_000;
                    (section, digit) = (0, 0);
                }
                None => {
                    let unit = match character {
                        '十' => 10,
                        '百' => 100,
                        '千' => 1_000,
                        _ => panic!("{character:?} is no numeral"),
                    };
                    // 十 alone is ten.
                    section += digit.max(1) * unit;
                    digit = 0;
                }
            }
        }
        total + section + digit
    }

    #[test]
    fn numbers_are_written_as_they_are_said() {
        for (value, expected_english, expected_chinese) in [
            (0, "zero", "零"),
            (2, "two", "二"),
            (10, "ten", "十"),
            (12, "twelve", "十二"),
            (20, "twenty", "二十"),
            (99, "ninety nine", "九十九"),
            (100, "one hundred", "一百"),
            (101, "one hundred and one", "一百零一"),
            (110, "one hundred and ten", "一百一十"),
            (115, "one hundred and fifteen", "一百一十五"),
            (200, "two hundred", "两百"),
            (222, "two hundred and twenty two", "两百二十二"),
            (305, "three hundred and five", "三百零五"),
            (1_000, "one thousand", "一千"),
            (1_005, "one thousand and five", "一千零五"),
            (1_050, "one thousand and fifty", "一千零五十"),
            (1_500, "one thousand five hundred", "一千五百"),
            (2_012, "two thousand and twelve", "两千零一十二"),
            (10_000, "ten thousand", "一万"),
            (20_000, "twenty thousand", "两万"),
            (12_000, "twelve thousand", "一万两千"),
            (10_010, "ten thousand and ten", "一万零一十"),
            (100_000, "one hundred thousand", "十万"),
            (120_000, "one hundred and twenty thousand", "十二万"),
            (201_000, "two hundred and one thousand", "二十万一千"),
            (400_710, "four hundred thousand seven hundred and ten", "四十万零七百一十"),
            (1_000_000, "one million", "一百万"),
            (1_000_001, "one million and one", "一百万零一"),
            (1_100_000, "one million one hundred thousand", "一百一十万"),
            (2_020_000, "two million twenty thousand", "两百零二万"),
            (
                9_999_999,
                "nine million nine hundred and ninety nine thousand nine hundred and ninety nine",
                "九百九十九万九千九百九十九",
            ),
        ] {
            assert_eq!((english(value).as_str(), chinese(value).as_str()), (expected_english, expected_chinese));
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        // Every number of four digits, and a stride through the others that is prime to 10.
        for value in (0..10_000).chain((10_000..10_000_000).step_by(997)) {
            assert_eq!(value_of_english(&english(value)), value, "{}", english(value));
            assert_eq!(value_of_chinese(&chinese(value)), value, "{}", chinese(value));
        }
    }

    #[test]
    fn years_ordinals_and_counts_have_their_own_words() {
        for (year, expected_english, expected_chinese) in [
            (1900, "nineteen hundred", "一九〇〇"),
            (1905, "nineteen oh five", "一九〇五"),
            (1998, "nineteen ninety eight", "一九九八"),
            (2000, "two thousand", "二〇〇〇"),
            (2009, "two thousand and nine", "二〇〇九"),
            (2010, "twenty ten", "二〇一〇"),
        ] {
            assert_eq!(
                (english_year(year).as_str(), chinese_year(year).as_str()),
                (expected_english, expected_chinese)
            );
        }
        let ordinals = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth";
        for (value, expected) in (1..).zip(ordinals.split(' ')) {
            assert_eq!(english_ordinal(value), expected);
        }
        for (value, expected) in [(19, "nineteenth"), (20, "twentieth"), (21, "twenty first"), (30, "thirtieth")] {
            assert_eq!(english_ordinal(value), expected);
        }
        assert_eq!([2, 12, 200].map(chinese_count), ["两", "十二", "两百"]);
    }
}
