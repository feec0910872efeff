//! An experiment file that changes another one.

use toml::{Table, Value};

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
}
