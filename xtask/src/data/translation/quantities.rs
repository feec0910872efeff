//! Numbers, dates, hours, prices and ages.

use super::Pair;
use super::lexicon::{Agreement, CURRENCIES, Class, MONTHS, N_WITH_AGE, NOUNS, Noun, ROUTINES, SUBJECTS, WEEKDAYS};
use super::sentences::{Mood, Quantity, be, do_of, join, noun_phrase, was};
use crate::data::draw::Draw;
use crate::data::numerals;

/// Numbers of more digits than four have at most so many that are not zero: the words would be too many.
const MAX_NONZERO_DIGITS: usize = 4;

/// A number in words.
pub(super) fn number(value: u32) -> Pair {
    Pair::new(numerals::english(value), numerals::chinese(value))
}

/// Numbers of every length; two thirds have at most four digits.
pub(super) fn any_number(draw: &mut Draw) -> Pair {
    let n_digits = *draw.one_of(&[2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 6, 6, 7]);
    let mut digits = vec![0; n_digits];
    let n_nonzero = if n_digits <= MAX_NONZERO_DIGITS { n_digits } else { 1 + draw.below(MAX_NONZERO_DIGITS) };
    digits[0] = draw.between(if n_digits == 2 { 0 } else { 1 }, 9);
    for _ in 1..n_nonzero {
        let place = 1 + draw.below(n_digits - 1);
        digits[place] = draw.between(0, 9);
    }
    number(digits.iter().fold(0, |value, digit| value * 10 + digit))
}

/// "the third book": 第三本书.
pub(super) fn ordinal(draw: &mut Draw) -> Pair {
    let value = draw.between(1, 31);
    let Noun { singular, measure, chinese, .. } = draw.one_of(&NOUNS);
    Pair::new(
        format!("the {} {singular}", numerals::english_ordinal(value)),
        format!("第{}{measure}{chinese}", numerals::chinese(value)),
    )
}

/// "the third of march": 三月三日. `month` counts from 1.
pub(super) fn day_of_year(month: usize, day: u32) -> Pair {
    let month_number = u32::try_from(month).expect("a month is at most 12");
    Pair::new(
        format!("the {} of {}", numerals::english_ordinal(day), MONTHS[month - 1].0),
        format!("{}月{}日", numerals::chinese(month_number), numerals::chinese(day)),
    )
}

/// The same with its year.
pub(super) fn day_of(year: u32, month: usize, day: u32) -> Pair {
    let date = day_of_year(month, day);
    Pair::new(
        format!("{} {}", date.english, numerals::english_year(year)),
        format!("{}年{}", numerals::chinese_year(year), date.chinese),
    )
}

/// A date alone, with its year, with its weekday, or said of a day.
pub(super) fn date(draw: &mut Draw) -> Pair {
    let month = 1 + draw.below(MONTHS.len());
    let day = draw.between(1, MONTHS[month - 1].1);
    let short = day_of_year(month, day);
    match draw.below(6) {
        0 => short,
        1 | 2 => day_of(draw.between(1900, 2029), month, day),
        3 => {
            let (english, chinese) = draw.one_of(&WEEKDAYS);
            Pair::new(format!("{english} {}", short.english), format!("{}{chinese}", short.chinese))
        }
        _ => said_of_day(draw, &short),
    }
}

/// "is today monday ?": 今天是星期一吗？
pub(super) fn weekday(draw: &mut Draw) -> Pair {
    let &(english, chinese) = draw.one_of(&WEEKDAYS);
    said_of_day(draw, &Pair::new(english, chinese))
}

fn said_of_day(draw: &mut Draw, what: &Pair) -> Pair {
    let &(day, form, chinese) = draw.one_of(&[
        ("today", "is", "今天"),
        ("tomorrow", "is", "明天"),
        ("yesterday", "was", "昨天"),
        ("my birthday", "is", "我的生日"),
        ("her birthday", "is", "她的生日"),
        ("his birthday", "is", "他的生日"),
    ]);
    let mood = Mood::draw(draw);
    let english = match mood {
        Mood::Statement => join(&[day, form, &what.english]),
        Mood::Negation => join(&[day, form, "not", &what.english]),
        Mood::Question => join(&[form, day, &what.english, "?"]),
    };
    let verb = if mood == Mood::Negation { "不是" } else { "是" };
    Pair::new(english, [chinese, verb, &what.chinese].concat()).asked(mood == Mood::Question)
}

/// An hour from 1 to 12 with its minute: by halves, quarters and fives "past" and "to", other minutes one after the
/// other, "three oh seven".
pub(super) fn clock(hour: u32, minute: u32) -> Pair {
    let next = hour % 12 + 1;
    let (name, next_name) = (numerals::english(hour), numerals::english(next));
    let (point, next_point) = (numerals::chinese_count(hour), numerals::chinese_count(next));
    let minutes = numerals::english(minute);
    match minute {
        0 => Pair::new(format!("{name} o'clock"), format!("{point}点")),
        15 => Pair::new(format!("a quarter past {name}"), format!("{point}点一刻")),
        30 => Pair::new(format!("half past {name}"), format!("{point}点半")),
        45 => Pair::new(format!("a quarter to {next_name}"), format!("差一刻{next_point}点")),
        5 => Pair::new(format!("five past {name}"), format!("{point}点零五分")),
        _ if !minute.is_multiple_of(5) => {
            let (gap, zero) = if minute < 10 { ("oh ", "零") } else { ("", "") };
            let chinese = numerals::chinese(minute);
            Pair::new(format!("{name} {gap}{minutes}"), format!("{point}点{zero}{chinese}分"))
        }
        _ if minute < 30 => {
            Pair::new(format!("{minutes} past {name}"), format!("{point}点{}分", numerals::chinese(minute)))
        }
        _ => Pair::new(
            format!("{} to {next_name}", numerals::english(60 - minute)),
            format!("差{}分{next_point}点", numerals::chinese(60 - minute)),
        ),
    }
}

/// An hour of the clock, minutes in fives more often than others.
fn any_clock(draw: &mut Draw) -> (u32, Pair) {
    let hour = draw.between(1, 12);
    let minute = if draw.chance(3, 5) { 5 * draw.between(0, 11) } else { draw.between(0, 59) };
    (hour, clock(hour, minute))
}

/// "it is half past three in the afternoon": 现在是下午三点半.
pub(super) fn hour(draw: &mut Draw) -> Pair {
    let (hour, time) = any_clock(draw);
    // Twelve hours of the clock are divided so that every part of the day has those that are said of it.
    let parts: &[(&str, &str)] = match hour {
        1..=5 => &[("in the afternoon", "下午")],
        6..=8 => &[("in the morning", "早上"), ("in the evening", "晚上")],
        9 | 10 => &[("in the morning", "早上"), ("at night", "夜里")],
        11 => &[("at night", "夜里")],
        _ => &[],
    };
    let (part, part_in_chinese) = if parts.is_empty() || draw.chance(1, 3) { ("", "") } else { *draw.one_of(parts) };
    let (before, before_in_chinese) = if draw.chance(1, 2) { ("it is", "现在是") } else { ("", "") };
    let chinese = [before_in_chinese, part_in_chinese, &time.chinese].concat();
    Pair::new(join(&[before, &time.english, part]), chinese)
}

/// "he gets up at half past six every day": 他每天六点半起床.
pub(super) fn routine(draw: &mut Draw) -> Pair {
    let subject = draw.one_of(&SUBJECTS);
    let &(base, third, chinese) = draw.one_of(&ROUTINES);
    let (_, time) = any_clock(draw);
    let is_question = draw.chance(1, 4);
    let english = if is_question {
        join(&[do_of(subject), subject.english, base, "at", &time.english, "every day ?"])
    } else {
        let verb = if subject.agreement == Agreement::Third { third } else { base };
        join(&[subject.english, verb, "at", &time.english, "every day"])
    };
    Pair::new(english, [subject.chinese, "每天", &time.chinese, chinese].concat()).asked(is_question)
}

/// An amount of money.
pub(super) fn money(value: u32, currency: &(&str, &str, &str)) -> Pair {
    let (one, many, chinese) = currency;
    let name = if value == 1 { one } else { many };
    Pair::new(format!("{} {name}", numerals::english(value)), format!("{}{chinese}", numerals::chinese_count(value)))
}

/// "this book costs thirty five yuan": 这本书三十五元; or the amount alone.
pub(super) fn price(draw: &mut Draw) -> Pair {
    let goods: Vec<&Noun> = NOUNS.iter().filter(|noun| noun.class != Class::Person).collect();
    let noun = *draw.one_of(&goods);
    let value = match noun.class {
        Class::Vehicle => 1_000 * draw.between(1, 300),
        Class::Furniture | Class::Animal => 10 * draw.between(5, 200),
        _ => draw.between(1, 199),
    };
    let amount = money(value, draw.one_of(&CURRENCIES));
    let count = draw.between(2, 10);
    let several = noun_phrase(noun, Quantity::Count(count));
    let (singular, measure, chinese) = (noun.singular, noun.measure, noun.chinese);
    match draw.below(6) {
        0 => amount,
        1 => Pair::new(
            format!("{} cost {}", several.english, amount.english),
            format!("{}{}", several.chinese, amount.chinese),
        ),
        2 => Pair::new(
            format!("does this {singular} cost {} ?", amount.english),
            format!("这{measure}{chinese}{}", amount.chinese),
        )
        .asked(true),
        demonstrative => {
            let (this, chinese_this) = if demonstrative == 3 { ("that", "那") } else { ("this", "这") };
            Pair::new(
                format!("{this} {singular} costs {}", amount.english),
                format!("{chinese_this}{measure}{chinese}{}", amount.chinese),
            )
        }
    }
}

/// "my son is two years old": 我儿子两岁.
pub(super) fn age(draw: &mut Draw) -> Pair {
    let subject = draw.one_of(&SUBJECTS[..N_WITH_AGE]);
    let years = match subject.english {
        "my son" | "my daughter" => draw.between(1, 40),
        "my father" | "my mother" => draw.between(30, 99),
        _ => draw.between(1, 99),
    };
    let unit = if years == 1 { "year" } else { "years" };
    let old = format!("{} {unit} old", numerals::english(years));
    let old_in_chinese = format!("{}岁", numerals::chinese_count(years));
    match draw.below(6) {
        0 => Pair::new(join(&[be(subject), subject.english, &old, "?"]), [subject.chinese, &old_in_chinese].concat())
            .asked(true),
        1 => Pair::new(
            join(&[subject.english, was(subject), &old, "last year"]),
            [subject.chinese, "去年", &old_in_chinese].concat(),
        ),
        2 => Pair::new(
            join(&[subject.english, "will be", &old, "next year"]),
            [subject.chinese, "明年", &old_in_chinese].concat(),
        ),
        _ => Pair::new(join(&[subject.english, be(subject), &old]), [subject.chinese, &old_in_chinese].concat()),
    }
}
