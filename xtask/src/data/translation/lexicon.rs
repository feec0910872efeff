//! The words of the grammar, English beside Chinese.

/// What a subject asks of an English verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// "am", "was"; else as the plural.
    First,
    /// "is", "was", and the verb with -s.
    Third,
    /// "are", "were".
    Plural,
}

/// Who acts.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) english: &'static str,
    /// As it stands after "than".
    pub(super) object: &'static str,
    pub(super) chinese: &'static str,
    pub(super) agreement: Agreement,
    /// Whether it is more than one person: "you" is one here.
    pub(super) is_many: bool,
}

const fn subject(
    english: &'static str,
    object: &'static str,
    chinese: &'static str,
    agreement: Agreement,
    is_many: bool,
) -> Subject {
    Subject { english, object, chinese, agreement, is_many }
}

/// Those without a profession come first: [`N_WITHOUT_PROFESSION`].
pub(super) const SUBJECTS: [Subject; 13] = [
    subject("i", "me", "我", Agreement::First, false),
    subject("you", "you", "你", Agreement::Plural, false),
    subject("he", "him", "他", Agreement::Third, false),
    subject("she", "her", "她", Agreement::Third, false),
    subject("my father", "my father", "我爸爸", Agreement::Third, false),
    subject("my mother", "my mother", "我妈妈", Agreement::Third, false),
    subject("my son", "my son", "我儿子", Agreement::Third, false),
    subject("my daughter", "my daughter", "我女儿", Agreement::Third, false),
    subject("my friend", "my friend", "我朋友", Agreement::Third, false),
    subject("we", "us", "我们", Agreement::Plural, true),
    subject("they", "them", "他们", Agreement::Plural, true),
    subject("the teacher", "the teacher", "老师", Agreement::Third, false),
    subject("the doctor", "the doctor", "医生", Agreement::Third, false),
];

/// How many of [`SUBJECTS`] may be said to have a profession.
pub(super) const N_WITHOUT_PROFESSION: usize = 11;
/// How many of [`SUBJECTS`] are single persons that may be said to have an age.
pub(super) const N_WITH_AGE: usize = 9;

/// What kind of thing a noun names: verbs, places, prices and adjectives go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Food,
    Reading,
    Paper,
    Animal,
    Thing,
    Furniture,
    Vehicle,
    Person,
}

/// A countable noun.
#[derive(Debug)]
pub(super) struct Noun {
    pub(super) class: Class,
    pub(super) singular: &'static str,
    pub(super) plural: &'static str,
    pub(super) measure: char,
    pub(super) chinese: &'static str,
}

const fn noun(
    class: Class,
    singular: &'static str,
    plural: &'static str,
    measure: char,
    chinese: &'static str,
) -> Noun {
    Noun { class, singular, plural, measure, chinese }
}

pub(super) const NOUNS: [Noun; 33] = [
    noun(Class::Food, "apple", "apples", '个', "苹果"),
    noun(Class::Food, "orange", "oranges", '个', "橙子"),
    noun(Class::Food, "egg", "eggs", '个', "鸡蛋"),
    noun(Class::Food, "fish", "fish", '条', "鱼"),
    noun(Class::Reading, "book", "books", '本', "书"),
    noun(Class::Reading, "novel", "novels", '本', "小说"),
    noun(Class::Reading, "magazine", "magazines", '本', "杂志"),
    noun(Class::Reading, "dictionary", "dictionaries", '本', "词典"),
    noun(Class::Paper, "ticket", "tickets", '张', "票"),
    noun(Class::Paper, "map", "maps", '张', "地图"),
    noun(Class::Paper, "photo", "photos", '张', "照片"),
    noun(Class::Animal, "cat", "cats", '只', "猫"),
    noun(Class::Animal, "dog", "dogs", '只', "狗"),
    noun(Class::Animal, "bird", "birds", '只', "鸟"),
    noun(Class::Animal, "sheep", "sheep", '只', "羊"),
    noun(Class::Animal, "mouse", "mice", '只', "老鼠"),
    noun(Class::Animal, "snake", "snakes", '条', "蛇"),
    noun(Class::Thing, "cup", "cups", '个', "杯子"),
    noun(Class::Thing, "bag", "bags", '个', "包"),
    noun(Class::Thing, "skirt", "skirts", '条', "裙子"),
    noun(Class::Thing, "scarf", "scarves", '条', "围巾"),
    noun(Class::Furniture, "table", "tables", '张', "桌子"),
    noun(Class::Furniture, "bed", "beds", '张', "床"),
    noun(Class::Vehicle, "car", "cars", '辆', "汽车"),
    noun(Class::Vehicle, "bicycle", "bicycles", '辆', "自行车"),
    noun(Class::Vehicle, "bus", "buses", '辆', "公共汽车"),
    noun(Class::Vehicle, "taxi", "taxis", '辆', "出租车"),
    noun(Class::Vehicle, "truck", "trucks", '辆', "卡车"),
    noun(Class::Person, "child", "children", '个', "孩子"),
    noun(Class::Person, "student", "students", '个', "学生"),
    noun(Class::Person, "man", "men", '个', "男人"),
    noun(Class::Person, "woman", "women", '个', "女人"),
    noun(Class::Person, "policeman", "policemen", '个', "警察"),
];

/// Professions that "to be" takes: singular, plural, Chinese.
pub(super) const PROFESSIONS: [(&str, &str, &str); 12] = [
    ("teacher", "teachers", "老师"),
    ("doctor", "doctors", "医生"),
    ("student", "students", "学生"),
    ("driver", "drivers", "司机"),
    ("nurse", "nurses", "护士"),
    ("engineer", "engineers", "工程师"),
    ("farmer", "farmers", "农民"),
    ("worker", "workers", "工人"),
    ("cook", "cooks", "厨师"),
    ("singer", "singers", "歌手"),
    ("lawyer", "lawyers", "律师"),
    ("actor", "actors", "演员"),
];

/// Where something is or happens.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) english: &'static str,
    pub(super) chinese: &'static str,
    /// What makes it a place where something is: 公园里.
    pub(super) inside: &'static str,
}

const fn place(english: &'static str, chinese: &'static str, inside: &'static str) -> Place {
    Place { english, chinese, inside }
}

const HOME: Place = place("at home", "家", "里");
const SCHOOL: Place = place("at school", "学校", "里");
const PARK: Place = place("in the park", "公园", "里");
const SHOP: Place = place("in the shop", "商店", "里");
const STATION: Place = place("at the station", "车站", "里");
const MARKET: Place = place("at the market", "市场", "里");
const LIBRARY: Place = place("in the library", "图书馆", "里");
const RESTAURANT: Place = place("in the restaurant", "饭馆", "里");
const BEIJING: Place = place("in beijing", "北京", "");
const SHANGHAI: Place = place("in shanghai", "上海", "");
const ROOM: Place = place("in the room", "房间", "里");
const CLASSROOM: Place = place("in the classroom", "教室", "里");
const STREET: Place = place("on the street", "街", "上");
const TABLE: Place = place("on the table", "桌子", "上");
const BED: Place = place("on the bed", "床", "上");

/// A verb with an object that is done at a place.
#[derive(Debug)]
pub(super) struct Verb {
    pub(super) base: &'static str,
    pub(super) third: &'static str,
    pub(super) past: &'static str,
    pub(super) chinese: &'static str,
    pub(super) objects: &'static [Class],
    pub(super) places: &'static [Place],
    /// Whether it is done by habit: 看见 and 找到 name results and take no 不.
    pub(super) is_habit: bool,
}

const GOODS: &[Class] =
    &[Class::Food, Class::Reading, Class::Paper, Class::Animal, Class::Thing, Class::Furniture, Class::Vehicle];

pub(super) const VERBS: [Verb; 10] = [
    Verb {
        base: "buy",
        third: "buys",
        past: "bought",
        chinese: "买",
        objects: GOODS,
        places: &[SHOP, MARKET, BEIJING, SHANGHAI],
        is_habit: true,
    },
    Verb {
        base: "sell",
        third: "sells",
        past: "sold",
        chinese: "卖",
        objects: GOODS,
        places: &[SHOP, MARKET, BEIJING, SHANGHAI],
        is_habit: true,
    },
    Verb {
        base: "see",
        third: "sees",
        past: "saw",
        chinese: "看见",
        objects: &[Class::Animal, Class::Vehicle, Class::Person],
        places: &[PARK, SCHOOL, STATION, MARKET],
        is_habit: false,
    },
    Verb {
        base: "find",
        third: "finds",
        past: "found",
        chinese: "找到",
        objects: &[Class::Reading, Class::Paper, Class::Animal, Class::Thing],
        places: &[HOME, SCHOOL, PARK, STATION],
        is_habit: false,
    },
    Verb {
        base: "read",
        third: "reads",
        past: "read",
        chinese: "看",
        objects: &[Class::Reading],
        places: &[HOME, SCHOOL, PARK, LIBRARY],
        is_habit: true,
    },
    Verb {
        base: "eat",
        third: "eats",
        past: "ate",
        chinese: "吃",
        objects: &[Class::Food],
        places: &[HOME, SCHOOL, PARK, RESTAURANT],
        is_habit: true,
    },
    Verb {
        base: "draw",
        third: "draws",
        past: "drew",
        chinese: "画",
        objects: &[Class::Animal, Class::Vehicle, Class::Person],
        places: &[HOME, SCHOOL, PARK],
        is_habit: true,
    },
    Verb {
        base: "wash",
        third: "washes",
        past: "washed",
        chinese: "洗",
        objects: &[Class::Thing, Class::Vehicle],
        places: &[HOME, SCHOOL],
        is_habit: true,
    },
    Verb {
        base: "borrow",
        third: "borrows",
        past: "borrowed",
        chinese: "借",
        objects: &[Class::Reading],
        places: &[SCHOOL, LIBRARY],
        is_habit: true,
    },
    Verb {
        base: "repair",
        third: "repairs",
        past: "repaired",
        chinese: "修",
        objects: &[Class::Vehicle, Class::Furniture],
        places: &[HOME, SCHOOL, SHANGHAI],
        is_habit: true,
    },
];

/// Verbs of a state: base, third person, Chinese, negated Chinese.
pub(super) const STATES: [(&str, &str, &str, &str); 4] = [
    ("have", "has", "有", "没有"),
    ("want", "wants", "想要", "不想要"),
    ("need", "needs", "需要", "不需要"),
    ("like", "likes", "喜欢", "不喜欢"),
];

/// Where things of a class are found.
pub(super) fn places_of(class: Class) -> &'static [Place] {
    match class {
        Class::Food | Class::Paper | Class::Thing | Class::Reading => &[TABLE, BED, HOME, ROOM, SHOP],
        Class::Animal => &[PARK, STREET, MARKET, HOME],
        Class::Furniture => &[ROOM, SHOP, CLASSROOM, LIBRARY],
        Class::Vehicle => &[STREET, SCHOOL, STATION],
        Class::Person => &[PARK, ROOM, CLASSROOM, STATION, RESTAURANT, STREET],
    }
}

/// English and Chinese of times, by tense.
pub(super) const PAST_TIMES: [(&str, &str); 6] = [
    ("yesterday", "昨天"),
    ("last night", "昨天晚上"),
    ("this morning", "今天早上"),
    ("last week", "上个星期"),
    ("last month", "上个月"),
    ("last year", "去年"),
];
pub(super) const FUTURE_TIMES: [(&str, &str); 5] = [
    ("tomorrow", "明天"),
    ("tomorrow evening", "明天晚上"),
    ("next week", "下个星期"),
    ("next month", "下个月"),
    ("next year", "明年"),
];
pub(super) const HABIT_TIMES: [(&str, &str); 4] =
    [("every day", "每天"), ("every morning", "每天早上"), ("every evening", "每天晚上"), ("every week", "每个星期")];

/// What is done at an hour: base, third person, Chinese.
pub(super) const ROUTINES: [(&str, &str, &str); 6] = [
    ("get up", "gets up", "起床"),
    ("go to bed", "goes to bed", "睡觉"),
    ("go to work", "goes to work", "上班"),
    ("go to school", "goes to school", "上学"),
    ("come home", "comes home", "回家"),
    ("have dinner", "has dinner", "吃晚饭"),
];

/// Adjectives of people: plain, comparative, Chinese.
pub(super) const PERSONAL: [(&str, &str, &str); 6] = [
    ("tall", "taller", "高"),
    ("short", "shorter", "矮"),
    ("young", "younger", "年轻"),
    ("busy", "busier", "忙"),
    ("happy", "happier", "高兴"),
    ("strong", "stronger", "强壮"),
];
/// Adjectives of goods.
pub(super) const MATERIAL: [(&str, &str, &str); 6] = [
    ("big", "bigger", "大"),
    ("small", "smaller", "小"),
    ("expensive", "more expensive", "贵"),
    ("cheap", "cheaper", "便宜"),
    ("new", "newer", "新"),
    ("old", "older", "旧"),
];
/// Adjectives of animals.
pub(super) const ANIMAL: [(&str, &str, &str); 4] =
    [("big", "bigger", "大"), ("small", "smaller", "小"), ("fast", "faster", "快"), ("slow", "slower", "慢")];
/// How someone is on a day.
pub(super) const FEELINGS: [(&str, &str); 5] =
    [("busy", "忙"), ("tired", "累"), ("happy", "高兴"), ("sad", "难过"), ("hungry", "饿")];

pub(super) const MONTHS: [(&str, u32); 12] = [
    ("january", 31),
    ("february", 28),
    ("march", 31),
    ("april", 30),
    ("may", 31),
    ("june", 30),
    ("july", 31),
    ("august", 31),
    ("september", 30),
    ("october", 31),
    ("november", 30),
    ("december", 31),
];
pub(super) const WEEKDAYS: [(&str, &str); 7] = [
    ("monday", "星期一"),
    ("tuesday", "星期二"),
    ("wednesday", "星期三"),
    ("thursday", "星期四"),
    ("friday", "星期五"),
    ("saturday", "星期六"),
    ("sunday", "星期日"),
];
/// One, many, Chinese.
pub(super) const CURRENCIES: [(&str, &str, &str); 4] =
    [("yuan", "yuan", "元"), ("dollar", "dollars", "美元"), ("pound", "pounds", "英镑"), ("euro", "euros", "欧元")];
