//! Rules on Rust sources.

use std::path::Path;

use super::workspace::Workspace;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "base", "misc", "shared"];

/// What no source may hold outside tests. The words are put together here, so that this file does not hold them.
const LEFTOVERS: [&str; 5] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("dbg", "!("), concat!(".unw", "rap()"), concat!("todo", "!(")];

const MAIN: &str = "crates/dqn-cli/src/main.rs";
const MAIN_MAX_LINES: usize = 79;

pub(super) fn module_names(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in workspace.rust_files() {
        let parts = Path::new(path).components().filter_map(|part| part.as_os_str().to_str());
        if parts.map(|part| part.trim_end_matches(".rs")).any(|part| EMPTY_NAMES.contains(&part)) {
            faults.push(path.to_owned());
        }
        for (index, line) in text.lines().enumerate() {
            if declared_module(line).is_some_and(|name| EMPTY_NAMES.contains(&name)) {
                faults.push(format!("{path}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    faults
}

/// The name in a line that declares a module.
fn declared_module(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let declaration = match line.strip_prefix("pub") {
        Some(rest) => rest.trim_start_matches(|character| character != ' ').trim_start(),
        None => line,
    };
    declaration.strip_prefix("mod ")?.split([';', ' ', '{']).next()
}

pub(super) fn leftovers(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in workspace.rust_files() {
        if !path.contains("/src/") || path.ends_with("/tests.rs") {
            continue;
        }
        for (index, line) in outside_tests(text) {
            // Examples in documentation are tests, and may fail like them.
            let is_comment = line.trim_start().starts_with("//");
            for leftover in LEFTOVERS {
                let is_code = leftover.contains('(');
                if line.contains(leftover) && !(is_code && is_comment) {
                    faults.push(format!("{path}:{}: {leftover}", index + 1));
                }
            }
        }
    }
    faults
}

pub(super) fn thin_main(workspace: &Workspace) -> Vec<String> {
    let n_lines = workspace.files.get(MAIN).and_then(Option::as_ref).map_or(0, |text| text.lines().count());
    if n_lines > MAIN_MAX_LINES { vec![format!("{MAIN} has {n_lines} lines")] } else { Vec::new() }
}

/// The lines, with their indices, that are not under `#[cfg(test)]`, alone or with a further condition.
///
/// Formatted sources close an item with a brace in the column it began at, so no parser is needed.
fn outside_tests(text: &str) -> Vec<(usize, &str)> {
    let mut kept = Vec::new();
    // What the last line of the item under test begins with.
    let mut closing: Option<String> = None;
    let mut item_is_open = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(end) = &closing {
            item_is_open |= line.ends_with('{');
            let is_one_line = !item_is_open && (line.ends_with(';') || line.ends_with('}'));
            if is_one_line || line.strip_prefix(end.as_str()).is_some_and(|rest| rest.starts_with('}')) {
                closing = None;
            }
        } else if line.trim_start().starts_with("#[cfg(test)]") || line.trim_start().starts_with("#[cfg(all(test,") {
            closing = Some(line[..line.len() - line.trim_start().len()].to_owned());
            item_is_open = false;
        } else {
            kept.push((index, line));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "crates/dqn-text/src/vocab.rs";

    fn check(rule: fn(&Workspace) -> Vec<String>, path: &str, text: &str, expected: &[&str]) {
        assert_eq!(rule(&Workspace::default().with_file(path, text)), expected, "{text}");
    }

    #[test]
    fn empty_names_are_found_in_paths_and_declarations() {
        check(module_names, PATH, "mod utility;\nmod based {}\n// a mod utils\n", &[]);
        check(
            module_names,
            PATH,
            "pub(crate) mod utils;\n",
            &["crates/dqn-text/src/vocab.rs:1: pub(crate) mod utils;"],
        );
        check(module_names, PATH, "mod base {\n", &["crates/dqn-text/src/vocab.rs:1: mod base {"]);
        check(module_names, "xtask/src/common/mod.rs", "", &["xtask/src/common/mod.rs"]);
        check(module_names, "crates/dqn-text/tests/helpers.rs", "", &["crates/dqn-text/tests/helpers.rs"]);
    }

    #[test]
    fn leftovers_are_found_outside_tests_only() {
        for leftover in LEFTOVERS {
            let line = format!("    let a = b; {leftover}\n");
            let fault = format!("{PATH}:1: {leftover}");
            check(leftovers, PATH, &line, &[&fault]);
            check(leftovers, PATH, &format!("#[cfg(test)]\nmod tests {{\n{line}}}\n"), &[]);
            check(leftovers, PATH, &format!("#[cfg(all(test, unix))]\nmod tests {{\n{line}}}\n"), &[]);
            check(leftovers, "crates/dqn-text/tests/golden.rs", &line, &[]);
        }
        check(leftovers, PATH, &format!("/// let a = b{};\n", LEFTOVERS[3]), &[]);
        check(leftovers, PATH, &format!("// {}: later\n", LEFTOVERS[0]), &[&format!("{PATH}:1: {}", LEFTOVERS[0])]);
    }

    #[test]
    fn an_item_under_test_ends_where_it_began() {
        let text = "\
a
#[cfg(test)]
use b;
c
    #[cfg(test)]
    fn d() {
        if e {
        }
    }
    f
#[cfg(test)]
mod tests {
    g
}
h";
        let kept: Vec<&str> = outside_tests(text).into_iter().map(|(_, line)| line.trim()).collect();
        assert_eq!(kept, ["a", "c", "f", "h"]);
    }

    #[test]
    fn main_stays_thin() {
        check(thin_main, MAIN, &"fn f() {}\n".repeat(MAIN_MAX_LINES), &[]);
        check(thin_main, MAIN, &"fn f() {}\n".repeat(80), &["crates/dqn-cli/src/main.rs has 80 lines"]);
    }
}
