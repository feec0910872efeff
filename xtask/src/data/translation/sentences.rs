//! Sentences about people and things.

use super::Pair;
use super::lexicon::{
    ANIMAL, Agreement, Class, FEELINGS, FUTURE_TIMES, HABIT_TIMES, MATERIAL, N_WITHOUT_PROFESSION, NOUNS, Noun,
    PAST_TIMES, PERSONAL, PROFESSIONS, Place, STATES, SUBJECTS, Subject, VERBS, Verb, places_of,
};
use crate::data::draw::Draw;
use crate::data::numerals;

/// Said, denied or asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Statement,
    Negation,
    Question,
}

impl Mood {
    /// Half of the sentences state, a quarter each deny and ask.
    pub(super) fn draw(draw: &mut Draw) -> Self {
        *draw.one_of(&[Self::Statement, Self::Statement, Self::Negation, Self::Question])
    }
}

/// How many: "a" is 一, and "one" is not written before a noun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    Bare,
    One,
    Some,
    Many,
    Count(u32),
}

impl Quantity {
    fn draw(draw: &mut Draw) -> Self {
        match draw.below(10) {
            0..3 => Self::One,
            3 => Self::Some,
            4 => Self::Many,
            5 => Self::Count(draw.between(11, 30)),
            _ => Self::Count(draw.between(2, 10)),
        }
    }

    fn is_singular(self) -> bool {
        self == Self::One
    }
}

/// English and Chinese of so many of a noun.
pub(super) fn noun_phrase(noun: &Noun, quantity: Quantity) -> Pair {
    let Noun { singular, plural, measure, chinese, .. } = noun;
    match quantity {
        Quantity::Bare => Pair::new(*plural, *chinese),
        Quantity::One => Pair::new(with_article(singular), format!("一{measure}{chinese}")),
        Quantity::Some => Pair::new(format!("some {plural}"), format!("一些{chinese}")),
        Quantity::Many => Pair::new(format!("many {plural}"), format!("很多{chinese}")),
        Quantity::Count(n) => Pair::new(
            format!("{} {plural}", numerals::english(n)),
            format!("{}{measure}{chinese}", numerals::chinese_count(n)),
        ),
    }
}

/// "this cat" or "those cats".
fn pointed_at(draw: &mut Draw, noun: &Noun) -> Pair {
    let Noun { singular, plural, measure, chinese, .. } = noun;
    match draw.below(4) {
        0 => Pair::new(format!("this {singular}"), format!("这{measure}{chinese}")),
        1 => Pair::new(format!("that {singular}"), format!("那{measure}{chinese}")),
        2 => Pair::new(format!("these {plural}"), format!("这些{chinese}")),
        _ => Pair::new(format!("those {plural}"), format!("那些{chinese}")),
    }
}

fn with_article(word: &str) -> String {
    let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {word}")
}

/// The present of "to be".
pub(super) fn be(subject: &Subject) -> &'static str {
    match subject.agreement {
        Agreement::First => "am",
        Agreement::Third => "is",
        Agreement::Plural => "are",
    }
}

/// The past of "to be".
pub(super) fn was(subject: &Subject) -> &'static str {
    if subject.agreement == Agreement::Plural { "were" } else { "was" }
}

/// "do" or "does".
pub(super) fn do_of(subject: &Subject) -> &'static str {
    if subject.agreement == Agreement::Third { "does" } else { "do" }
}

/// A clause whose verb has an object; what is left out is empty.
struct Clause {
    subject: &'static Subject,
    verb: &'static Verb,
    object: Pair,
    place: Pair,
    time: (&'static str, &'static str),
}

impl Clause {
    fn draw(draw: &mut Draw, verb: &'static Verb, quantity: Quantity, times: &[(&'static str, &'static str)]) -> Self {
        let subject = draw.one_of(&SUBJECTS);
        let nouns: Vec<&Noun> = NOUNS.iter().filter(|noun| verb.objects.contains(&noun.class)).collect();
        let noun = *draw.one_of(&nouns);
        let object = noun_phrase(noun, quantity);
        let place = if draw.chance(2, 5) { at(draw.one_of(verb.places)) } else { Pair::new("", "") };
        let time = if times.is_empty() { ("", "") } else { *draw.one_of(times) };
        Self { subject, verb, object, place, time }
    }

    /// `before` stands before the English subject, `verb` after it; `auxiliary` before the Chinese place, `aspect` after
    /// the Chinese verb.
    fn write(&self, before: &str, verb: &str, auxiliary: &str, aspect: &str) -> Pair {
        let Self { subject, object, place, time, .. } = self;
        let english = [before, subject.english, verb, &object.english, &place.english, time.0, end_of(before)];
        let chinese = [subject.chinese, time.1, auxiliary, &place.chinese, self.verb.chinese, aspect, &object.chinese];
        Pair::new(join(&english), chinese.concat()).asked(!before.is_empty())
    }
}

fn at(place: &Place) -> Pair {
    Pair::new(place.english, format!("在{}", place.chinese))
}

/// A sentence with a word before its subject is a question.
fn end_of(before: &str) -> &'static str {
    if before.is_empty() { "" } else { "?" }
}

/// Words and phrases with single spaces, the empty ones left out.
pub(super) fn join(phrases: &[&str]) -> String {
    let phrases: Vec<&str> = phrases.iter().copied().filter(|phrase| !phrase.is_empty()).collect();
    phrases.join(" ")
}

/// "he bought two books in the shop yesterday": 他昨天在商店买了两本书.
pub(super) fn past(draw: &mut Draw) -> Pair {
    let verb = draw.one_of(&VERBS);
    let mood = Mood::draw(draw);
    let quantity = if mood == Mood::Negation { Quantity::Bare } else { Quantity::draw(draw) };
    let clause = Clause::draw(draw, verb, quantity, &PAST_TIMES);
    match mood {
        Mood::Statement => clause.write("", verb.past, "", "了"),
        Mood::Negation => clause.write("", &format!("did not {}", verb.base), "没有", ""),
        Mood::Question => clause.write("did", verb.base, "", "了"),
    }
}

/// "he will buy two books tomorrow": 他明天会买两本书.
pub(super) fn future(draw: &mut Draw) -> Pair {
    let verb = draw.one_of(&VERBS);
    let mood = Mood::draw(draw);
    let quantity = if mood == Mood::Negation { Quantity::Bare } else { Quantity::draw(draw) };
    let clause = Clause::draw(draw, verb, quantity, &FUTURE_TIMES);
    match mood {
        Mood::Statement => clause.write("", &format!("will {}", verb.base), "会", ""),
        Mood::Negation => clause.write("", &format!("will not {}", verb.base), "不会", ""),
        Mood::Question => clause.write("will", verb.base, "会", ""),
    }
}

/// "he reads books every day": 他每天看书. A negation names no time, for it would be unclear what it denies.
pub(super) fn habit(draw: &mut Draw) -> Pair {
    let verbs: Vec<&'static Verb> = VERBS.iter().filter(|verb| verb.is_habit).collect();
    let verb = *draw.one_of(&verbs);
    let mood = Mood::draw(draw);
    let bare = mood == Mood::Negation || draw.chance(1, 2);
    let quantity = if bare { Quantity::Bare } else { Quantity::draw(draw) };
    let times: &[_] = if mood == Mood::Negation { &[] } else { &HABIT_TIMES };
    let clause = Clause::draw(draw, verb, quantity, times);
    let auxiliary = do_of(clause.subject);
    match mood {
        Mood::Statement if clause.subject.agreement == Agreement::Third => clause.write("", verb.third, "", ""),
        Mood::Statement => clause.write("", verb.base, "", ""),
        Mood::Negation => clause.write("", &format!("{auxiliary} not {}", verb.base), "不", ""),
        Mood::Question => clause.write(auxiliary, verb.base, "", ""),
    }
}

/// "he has two cats", "she does not like this bag", "do they need tickets ?"
pub(super) fn state(draw: &mut Draw) -> Pair {
    let subject = draw.one_of(&SUBJECTS);
    let &(base, third, chinese, negated) = draw.one_of(&STATES);
    let goods: Vec<&Noun> = NOUNS.iter().filter(|noun| noun.class != Class::Person).collect();
    let noun = draw.one_of(&goods);
    let mood = Mood::draw(draw);
    // What one has is not pointed at, and what one likes is not counted.
    let object = match base {
        "like" if draw.chance(1, 3) => noun_phrase(noun, Quantity::Bare),
        "like" => pointed_at(draw, noun),
        "want" | "need" if draw.chance(1, 3) => pointed_at(draw, noun),
        _ if mood == Mood::Negation => noun_phrase(noun, Quantity::Bare),
        _ => noun_phrase(noun, Quantity::draw(draw)),
    };
    let auxiliary = do_of(subject);
    let said = if subject.agreement == Agreement::Third { third } else { base };
    let said_in_chinese = if mood == Mood::Negation { negated } else { chinese };
    let english = match mood {
        Mood::Statement => join(&[subject.english, said, &object.english]),
        Mood::Negation => join(&[subject.english, auxiliary, "not", base, &object.english]),
        Mood::Question => join(&[auxiliary, subject.english, base, &object.english, "?"]),
    };
    Pair::new(english, [subject.chinese, said_in_chinese, &object.chinese].concat()).asked(mood == Mood::Question)
}

/// A sentence with "to be": subject, form, what is said, time; Chinese with its own order after the subject.
fn with_be(mood: Mood, subject: &Subject, form: &str, rest: &str, chinese: String) -> Pair {
    let english = match mood {
        Mood::Statement => join(&[subject.english, form, rest]),
        Mood::Negation => join(&[subject.english, form, "not", rest]),
        Mood::Question => join(&[form, subject.english, rest, "?"]),
    };
    Pair::new(english, chinese).asked(mood == Mood::Question)
}

/// "he was a teacher last year": 他去年是老师.
pub(super) fn profession(draw: &mut Draw) -> Pair {
    let subject = draw.one_of(&SUBJECTS[..N_WITHOUT_PROFESSION]);
    let &(singular, plural, chinese) = draw.one_of(&PROFESSIONS);
    let mood = Mood::draw(draw);
    let &(is_past, time, time_in_chinese) =
        draw.one_of(&[(false, "", ""), (false, "now", "现在"), (true, "last year", "去年"), (true, "before", "以前")]);
    let form = if is_past { was(subject) } else { be(subject) };
    let what = if subject.is_many { plural.to_owned() } else { with_article(singular) };
    let verb = if mood == Mood::Negation { "不是" } else { "是" };
    let chinese = [subject.chinese, time_in_chinese, verb, chinese].concat();
    with_be(mood, subject, form, &join(&[&what, time]), chinese)
}

/// "he was busy yesterday": 他昨天很忙.
pub(super) fn feeling(draw: &mut Draw) -> Pair {
    let subject = draw.one_of(&SUBJECTS);
    let &(english, chinese) = draw.one_of(&FEELINGS);
    let mood = Mood::draw(draw);
    let &(is_past, time, time_in_chinese) = draw.one_of(&[
        (false, "", ""),
        (false, "today", "今天"),
        (true, "yesterday", "昨天"),
        (true, "this morning", "今天早上"),
    ]);
    let form = if is_past { was(subject) } else { be(subject) };
    let degree = match mood {
        Mood::Statement => "很",
        Mood::Negation => "不",
        Mood::Question => "",
    };
    let chinese = [subject.chinese, time_in_chinese, degree, chinese].concat();
    with_be(mood, subject, form, &join(&[english, time]), chinese)
}

/// "he is much taller than me": 他比我高得多; "he is not as tall as me": 他没有我高.
pub(super) fn comparison_of_people(draw: &mut Draw) -> Pair {
    let subject = draw.one_of(&SUBJECTS);
    // Nobody is compared with a group he belongs to.
    let others: Vec<&Subject> =
        SUBJECTS.iter().filter(|other| other.english != subject.english && !is_me_and_us(subject, other)).collect();
    let other = *draw.one_of(&others);
    let &(plain, comparative, chinese) = draw.one_of(&PERSONAL);
    let than = Pair::new(other.object, other.chinese);
    let mood = Mood::draw(draw);
    let (rest, chinese) = compared(draw, mood, plain, (comparative, chinese), &than);
    with_be(mood, subject, be(subject), &rest, format!("{}{chinese}", subject.chinese))
}

fn is_me_and_us(one: &Subject, other: &Subject) -> bool {
    [one.english, other.english].iter().all(|word| ["i", "we"].contains(word))
}

/// "this dog is bigger than that cat": 这只狗比那只猫大.
pub(super) fn comparison_of_things(draw: &mut Draw) -> Pair {
    let noun = draw.one_of(&NOUNS);
    let others: Vec<&Noun> = NOUNS.iter().filter(|other| other.class == noun.class).collect();
    let other = *draw.one_of(&others);
    let &(plain, comparative, chinese) = match noun.class {
        Class::Person => draw.one_of(&PERSONAL),
        Class::Animal => draw.one_of(&ANIMAL),
        // Food is neither new nor old.
        Class::Food => draw.one_of(&MATERIAL[..4]),
        _ => draw.one_of(&MATERIAL),
    };
    let this = format!("this {}", noun.singular);
    let this_in_chinese = format!("这{}{}", noun.measure, noun.chinese);
    let that = Pair::new(format!("that {}", other.singular), format!("那{}{}", other.measure, other.chinese));
    let mood = Mood::draw(draw);
    let (rest, chinese) = compared(draw, mood, plain, (comparative, chinese), &that);
    let english = match mood {
        Mood::Statement => join(&[&this, "is", &rest]),
        Mood::Negation => join(&[&this, "is not", &rest]),
        Mood::Question => join(&["is", &this, &rest, "?"]),
    };
    Pair::new(english, format!("{this_in_chinese}{chinese}")).asked(mood == Mood::Question)
}

/// What follows the verb in English, and what follows the subject in Chinese.
fn compared(draw: &mut Draw, mood: Mood, plain: &str, adjective: (&str, &str), than: &Pair) -> (String, String) {
    let (comparative, chinese) = adjective;
    let degree = if mood == Mood::Statement { draw.below(4) } else { 0 };
    let (before, after) = match degree {
        1 => ("much", "得多"),
        2 => ("a little", "一点"),
        _ => ("", ""),
    };
    if mood == Mood::Negation {
        (join(&["as", plain, "as", &than.english]), ["没有", &than.chinese, chinese].concat())
    } else {
        let english = join(&[before, comparative, "than", &than.english]);
        (english, ["比", &than.chinese, chinese, after].concat())
    }
}

/// "there are two cats in the park": 公园里有两只猫.
pub(super) fn existence(draw: &mut Draw) -> Pair {
    let noun = draw.one_of(&NOUNS);
    let place = draw.one_of(places_of(noun.class));
    let mood = Mood::draw(draw);
    let is_past = draw.chance(1, 4);
    let quantity = match Quantity::draw(draw) {
        _ if mood == Mood::Negation => Quantity::Bare,
        // "some" is "any" in a question, and "any" needs no word in Chinese.
        Quantity::Some if mood == Mood::Question => Quantity::Bare,
        quantity => quantity,
    };
    let things = noun_phrase(noun, quantity);
    let form = match (is_past, quantity.is_singular()) {
        (false, false) => "are",
        (false, true) => "is",
        (true, false) => "were",
        (true, true) => "was",
    };
    let (time, time_in_chinese) = if is_past { ("yesterday", "昨天") } else { ("", "") };
    let no_or_any = match mood {
        Mood::Negation => "no",
        _ if quantity == Quantity::Bare => "any",
        _ => "",
    };
    let what = join(&[no_or_any, &things.english, place.english, time]);
    let english = match mood {
        Mood::Question => join(&[form, "there", &what, "?"]),
        _ => join(&["there", form, &what]),
    };
    let verb = if mood == Mood::Negation { "没有" } else { "有" };
    let chinese = [time_in_chinese, place.chinese, place.inside, verb, &things.chinese].concat();
    Pair::new(english, chinese).asked(mood == Mood::Question)
}
