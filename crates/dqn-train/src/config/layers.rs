//! An experiment file that changes another one.

use std::collections::BTreeSet;
use std::fmt;

use toml::{Table, Value};

use super::check::below;

/// Tables that say one thing by their only key, and are therefore replaced whole.
pub(super) const ONE_KEY: [&str; 5] = ["source", "stop_after", "over", "words", "map"];

/// `base` with the values of `changes` in place of its own.
///
/// Tables are joined key by key. A table of another `kind`, one that says one thing by its only key, and an array are
/// replaced whole: what the old one said would make no sense in the new.
pub fn merge(mut base: Table, changes: Table) -> Table {
    for (key, value) in changes {
        let joined = match (base.remove(&key), value) {
            (Some(Value::Table(old)), Value::Table(new))
                if !ONE_KEY.contains(&key.as_str()) && is_alike(&old, &new) =>
            {
                Value::Table(merge(old, new))
            }
            (_, value) => value,
        };
        base.insert(key, joined);
    }
    base
}

/// Whether the new table names no kind or the old one's.
fn is_alike(old: &Table, new: &Table) -> bool {
    new.get("kind").is_none_or(|kind| old.get("kind") == Some(kind))
}

/// The first place, in the order of the keys, at which two tables differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The place, such as `learner.n_step`.
    pub path: String,
    /// What the first table has there.
    pub first: Option<Value>,
    /// What the second has.
    pub second: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "absent".to_owned(), Value::to_string);
        write!(formatter, "{} was {} and is now {}", self.path, shown(&self.first), shown(&self.second))
    }
}

/// Where `first` and `second` differ first; nothing where they are equal.
pub fn first_difference(first: &Table, second: &Table) -> Option<Difference> {
    let keys: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    keys.into_iter().find_map(|key| match (first.get(key), second.get(key)) {
        (Some(Value::Table(first)), Some(Value::Table(second))) => {
            let found = first_difference(first, second)?;
            Some(Difference { path: format!("{}.{}", below("", key), found.path), ..found })
        }
        (first, second) if first == second => None,
        (first, second) => Some(Difference { path: below("", key), first: first.cloned(), second: second.cloned() }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_joined_and_what_says_one_thing_is_replaced() {
        let table = [
            ("a = 1\nb = 2", "b = 3\nc = 4", "a = 1\nb = 3\nc = 4"),
            ("[x]\na = 1\n[x.y]\nb = 2", "[x.y]\nc = 3", "[x]\na = 1\n[x.y]\nb = 2\nc = 3"),
            ("x = { kind = \"p\", a = 1 }", "x = { kind = \"q\", b = 2 }", "x = { kind = \"q\", b = 2 }"),
            ("x = { kind = \"p\", a = 1 }", "x = { kind = \"p\", b = 2 }", "x = { kind = \"p\", a = 1, b = 2 }"),
            ("x = { kind = \"p\", a = 1 }", "x = { a = 2 }", "x = { kind = \"p\", a = 2 }"),
            ("stop_after = { updates = 3 }", "stop_after = { steps = 5 }", "stop_after = { steps = 5 }"),
            ("[[t]]\na = 1\n[[t]]\na = 2", "[[t]]\na = 3", "[[t]]\na = 3"),
        ];
        for (base, changes, expected) in table {
            let [base, changes, expected] = [base, changes, expected].map(|text| text.parse::<Table>().unwrap());
            assert_eq!(merge(base, changes), expected);
        }
    }

    #[test]
    fn the_first_difference_names_its_place() {
        for (first, second, expected) in [
            ("a = 1", "a = 1", None),
            ("a = 1\nb = 2", "a = 1\nb = 3", Some("b was 2 and is now 3")),
            ("[x.y]\na = 1", "[x.y]\na = 1\nb = 2", Some("x.y.b was absent and is now 2")),
            ("[x]\n\"l.n\" = [1, 2]", "[x]\n\"l.n\" = [1]", Some("x.\"l.n\" was [1, 2] and is now [1]")),
            ("[x]\na = 1", "x = 3", Some("x was { a = 1 } and is now 3")),
        ] {
            let [first, second] = [first, second].map(|text| text.parse::<Table>().unwrap());
            let found = first_difference(&first, &second).map(|found| found.to_string());
            assert_eq!(found.as_deref(), expected);
        }
    }
}
