//! The generated reference of the configuration.
//!
//! Both files come from the program itself, so a key that exists is documented and a documented key exists.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process::{Built, Program};
use crate::variants;

/// Each generated file and the arguments of `dqn-cli` that print it.
const GENERATED: [(&str, &[&str]); 2] =
    [("docs/config.md", &["config", "schema", "--markdown"]), (variants::SCHEMA, &["config", "schema"])];

/// Writes the generated files, or with `check` fails where one is not what would be written.
pub(crate) fn run(root: &Path, check: bool, built: Built) -> Result<()> {
    let program = Program::prepare(root, None, built)?;
    let mut stale = Vec::new();
    for (path, arguments) in GENERATED {
        let expected = with_final_newline(program.output(arguments)?);
        let file = root.join(path);
        // A file that is missing or unreadable is as stale as one that differs.
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        if found == expected {
            println!("{path} is up to date");
        } else if check {
            stale.push(match first_difference(&expected, &found) {
                Some(line) => format!("{path} differs from the program's at line {line}"),
                None => format!("{path} differs from the program's in its line ends"),
            });
        } else {
            let folder = file.parent().unwrap_or(root);
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
            std::fs::write(&file, expected).with_context(|| format!("cannot write {}", file.display()))?;
            println!("{path} written");
        }
    }
    if !stale.is_empty() {
        bail!("{}; write them with `cargo xtask docs`", stale.join("; "));
    }
    Ok(())
}

fn with_final_newline(mut text: String) -> String {
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// The first line, counted from 1, in which two texts differ.
fn first_difference(expected: &str, found: &str) -> Option<usize> {
    let (mut expected, mut found) = (expected.lines(), found.lines());
    for line in 1.. {
        match (expected.next(), found.next()) {
            (None, None) => return None,
            (left, right) if left != right => return Some(line),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found_in_either_text() {
        let table = [
            ("a\nb\n", "a\nb\n", None),
            ("a\nb\n", "a\nc\n", Some(2)),
            ("a\n", "a\nb\n", Some(2)),
            ("a\nb\n", "", Some(1)),
        ];
        for (expected, found, line) in table {
            assert_eq!(first_difference(expected, found), line, "{expected:?} against {found:?}");
        }
    }

    #[test]
    fn a_text_ends_with_one_newline() {
        assert_eq!(with_final_newline("a\n\n".to_owned()), "a\n");
        assert_eq!(with_final_newline("a".to_owned()), "a\n");
    }
}
