//! The grammar against pairs written by hand, and what the corpus promises.

use std::collections::{HashMap, HashSet};

use super::lexicon::{CURRENCIES, NOUNS};
use super::quantities::{clock, day_of, day_of_year, money, number};
use super::sentences::{Quantity, noun_phrase};
use super::*;

#[track_caller]
fn check(pair: &Pair, english: &str, chinese: &str) {
    assert_eq!((pair.english.as_str(), pair.chinese.as_str()), (english, chinese));
}

#[test]
fn dates_hours_and_amounts_are_those_a_person_writes() {
    check(&number(70_200), "seventy thousand two hundred", "七万零两百");
    for (month, day, english, chinese) in [
        (1, 1, "the first of january", "一月一日"),
        (2, 2, "the second of february", "二月二日"),
        (3, 12, "the twelfth of march", "三月十二日"),
        (10, 20, "the twentieth of october", "十月二十日"),
        (12, 31, "the thirty first of december", "十二月三十一日"),
    ] {
        check(&day_of_year(month, day), english, chinese);
    }
    check(&day_of(1949, 10, 1), "the first of october nineteen forty nine", "一九四九年十月一日");
    check(&day_of(2008, 8, 8), "the eighth of august two thousand and eight", "二〇〇八年八月八日");
    for (hour, minute, english, chinese) in [
        (2, 0, "two o'clock", "两点"),
        (12, 0, "twelve o'clock", "十二点"),
        (3, 5, "five past three", "三点零五分"),
        (3, 7, "three oh seven", "三点零七分"),
        (3, 10, "ten past three", "三点十分"),
        (3, 15, "a quarter past three", "三点一刻"),
        (3, 25, "twenty five past three", "三点二十五分"),
        (3, 30, "half past three", "三点半"),
        (3, 42, "three forty two", "三点四十二分"),
        (1, 45, "a quarter to two", "差一刻两点"),
        (12, 50, "ten to one", "差十分一点"),
        (11, 35, "twenty five to twelve", "差二十五分十二点"),
    ] {
        check(&clock(hour, minute), english, chinese);
    }
    for (value, currency, english, chinese) in [
        (1, 1, "one dollar", "一美元"),
        (2, 1, "two dollars", "两美元"),
        (1, 0, "one yuan", "一元"),
        (200, 2, "two hundred pounds", "两百英镑"),
        (12_000, 3, "twelve thousand euros", "一万两千欧元"),
    ] {
        check(&money(value, &CURRENCIES[currency]), english, chinese);
    }
}

#[test]
fn nouns_have_their_plurals_and_measure_words() {
    for (noun, quantity, english, chinese) in [
        ("apple", Quantity::One, "an apple", "一个苹果"),
        ("book", Quantity::One, "a book", "一本书"),
        ("fish", Quantity::Count(2), "two fish", "两条鱼"),
        ("child", Quantity::Count(12), "twelve children", "十二个孩子"),
        ("mouse", Quantity::Many, "many mice", "很多老鼠"),
        ("ticket", Quantity::Some, "some tickets", "一些票"),
        ("bus", Quantity::Count(22), "twenty two buses", "二十二辆公共汽车"),
        ("scarf", Quantity::Count(3), "three scarves", "三条围巾"),
        ("cat", Quantity::Bare, "cats", "猫"),
    ] {
        let noun = NOUNS.iter().find(|known| known.singular == noun).unwrap();
        check(&noun_phrase(noun, quantity), english, chinese);
    }
}

#[test]
fn the_grammar_is_a_function_both_ways() {
    let mut draw = Draw::new(2);
    let (mut chinese_of, mut english_of) = (HashMap::new(), HashMap::new());
    for (kind, _) in KINDS {
        for Pair { english, chinese } in (0..20_000).map(|_| kind(&mut draw)) {
            assert_eq!(chinese_of.entry(english.clone()).or_insert_with(|| chinese.clone()), &chinese, "{english}");
            assert_eq!(english_of.entry(chinese.clone()).or_insert_with(|| english.clone()), &english, "{chinese}");
        }
    }
}

/// The rarest of these comes once in some 100,000 draws of its kind.
#[test]
fn the_grammar_says_what_a_person_would() {
    for (kind, english, chinese) in [
        (sentences::profession as Kind, "i am a student", "我是学生"),
        (sentences::profession as Kind, "we are not doctors", "我们不是医生"),
        (sentences::profession as Kind, "he is an engineer now", "他现在是工程师"),
        (sentences::profession as Kind, "was she a nurse before ?", "她以前是护士吗？"),
        (sentences::profession as Kind, "you were a cook last year", "你去年是厨师"),
        (sentences::feeling as Kind, "they are hungry today", "他们今天很饿"),
        (sentences::feeling as Kind, "i was not busy yesterday", "我昨天不忙"),
        (sentences::feeling as Kind, "is he tired ?", "他累吗？"),
        (sentences::state as Kind, "she has two cats", "她有两只猫"),
        (sentences::state as Kind, "i do not have bicycles", "我没有自行车"),
        (sentences::state as Kind, "does she like these birds ?", "她喜欢这些鸟吗？"),
        (sentences::habit as Kind, "he eats apples every day", "他每天吃苹果"),
        (sentences::habit as Kind, "they do not eat eggs", "他们不吃鸡蛋"),
        (sentences::past as Kind, "he bought two books yesterday", "他昨天买了两本书"),
        (sentences::past as Kind, "he did not read novels last night", "他昨天晚上没有看小说"),
        (sentences::past as Kind, "did they eat some fish this morning ?", "他们今天早上吃了一些鱼吗？"),
        (sentences::future as Kind, "you will read a book tomorrow", "你明天会看一本书"),
        (sentences::future as Kind, "she will not eat oranges tomorrow", "她明天不会吃橙子"),
        (sentences::comparison_of_people as Kind, "he is taller than me", "他比我高"),
        (sentences::comparison_of_people as Kind, "she is not as busy as him", "她没有他忙"),
        (sentences::comparison_of_people as Kind, "i am much stronger than my son", "我比我儿子强壮得多"),
        (sentences::comparison_of_things as Kind, "this dog is bigger than that cat", "这只狗比那只猫大"),
        (sentences::comparison_of_things as Kind, "is this cat faster than that mouse ?", "这只猫比那只老鼠快吗？"),
        (sentences::existence as Kind, "there are two cats in the park", "公园里有两只猫"),
        (sentences::existence as Kind, "there is a car on the street", "街上有一辆汽车"),
        (sentences::existence as Kind, "there were no children in the classroom yesterday", "昨天教室里没有孩子"),
        (sentences::existence as Kind, "are there any dogs on the street ?", "街上有狗吗？"),
        (quantities::weekday as Kind, "today is monday", "今天是星期一"),
        (quantities::weekday as Kind, "was yesterday sunday ?", "昨天是星期日吗？"),
        (quantities::age as Kind, "he is two years old", "他两岁"),
        (quantities::age as Kind, "she will be twenty two years old next year", "她明年二十二岁"),
        (quantities::ordinal as Kind, "the second bus", "第二辆公共汽车"),
        (quantities::routine as Kind, "she gets up at half past six every day", "她每天六点半起床"),
        (quantities::hour as Kind, "it is two o'clock in the afternoon", "现在是下午两点"),
    ] {
        let mut draw = Draw::new(3);
        let said = (0..2_000_000).map(|_| kind(&mut draw)).find(|pair| pair.english == english);
        assert_eq!(said.map(|pair| pair.chinese).as_deref(), Some(chinese), "{english}");
    }
}

fn pairs_of(text: &str) -> Vec<Pair> {
    let pair = |line: &str| {
        let (english, chinese) = line.split_once('\t').unwrap();
        Pair::new(english, chinese)
    };
    text.lines().map(pair).collect()
}

#[test]
fn the_corpus_holds_out_sentences_but_no_words() {
    let corpus = build().unwrap();
    let parts = [&corpus.training, &corpus.validation, &corpus.test].map(|text| pairs_of(text));
    assert_eq!([parts[0].len(), parts[1].len(), parts[2].len()], [8_000, N_VALIDATION, N_TEST]);
    // No sentence of either language twice, within or across the parts.
    let english: HashSet<&str> = parts.iter().flatten().map(|pair| pair.english.as_str()).collect();
    let chinese: HashSet<&str> = parts.iter().flatten().map(|pair| pair.chinese.as_str()).collect();
    assert_eq!((english.len(), chinese.len()), (9_000, 9_000));
    let mut counts: HashMap<String, usize> = HashMap::new();
    for token in parts[0].iter().flat_map(|pair| pair.tokens().collect::<HashSet<_>>()) {
        *counts.entry(token).or_default() += 1;
    }
    for token in parts[1..].iter().flatten().flat_map(Pair::tokens) {
        let count = counts.get(&token).copied().unwrap_or(0);
        assert!(count >= MIN_TRAINING_COUNT, "{token:?} occurs in {count} training sentences");
    }
    assert!(
        [&corpus.training, &corpus.validation, &corpus.test].iter().map(|text| text.len()).sum::<usize>() < 900_000
    );
}

#[test]
fn sentences_are_short_and_written_plainly() {
    let corpus = build().unwrap();
    for Pair { english, chinese } in pairs_of(&[corpus.training, corpus.validation, corpus.test].concat()) {
        let words: Vec<&str> = english.split(' ').collect();
        assert!((1..=MAX_WORDS).contains(&words.len()), "{english}");
        for (place, word) in words.iter().enumerate() {
            let is_word = !word.is_empty() && word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '\'');
            assert!(is_word || (*word == "?" && place + 1 == words.len()), "{english}");
        }
        assert!((1..=MAX_CHARACTERS).contains(&chinese.chars().count()), "{chinese}");
        assert!(chinese.chars().all(|character| !character.is_ascii() && !character.is_whitespace()), "{chinese}");
        assert_eq!(english.ends_with(" ?"), chinese.ends_with("吗？"), "{english}");
    }
}

#[test]
fn the_shipped_bytes_come_every_time() {
    let shipped = crate::process::workspace_root().join("data/translation-small");
    let corpus = build().unwrap();
    for name in ["training.tsv", "validation.tsv", "test.tsv"] {
        assert!(corpus.file(name).unwrap() == std::fs::read_to_string(shipped.join(name)).unwrap(), "{name}");
    }
    assert!(corpus.file("training.csv").is_err());
}
