//! Rules on all text files.

use serde_json::Value;

use super::workspace::Workspace;
use crate::variants::{self, SCHEMA};

/// Beginnings of paths that exist on one machine only, put together here so that this file does not hold them.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Use", "rs/")];

/// What lies in `data` without being data.
const NOT_DATA: [&str; 2] = ["manifest.toml", "README.md"];

pub(super) fn machine_paths(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in workspace.texts() {
        for (index, line) in text.lines().enumerate() {
            for beginning in MACHINE_PATHS.iter().filter(|&beginning| line.contains(beginning)) {
                faults.push(format!("{path}:{}: {beginning}", index + 1));
            }
        }
    }
    faults
}

pub(super) fn data_entries(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    let here: Vec<&str> = workspace.files.keys().filter_map(|path| path.strip_prefix("data/")).collect();
    for file in &here {
        if !NOT_DATA.contains(file) && !workspace.shipped.iter().any(|shipped| shipped.is_at(file)) {
            faults.push(format!("data/{file} has no entry in data/manifest.toml"));
        }
    }
    for shipped in workspace.shipped.iter().filter(|shipped| !here.iter().any(|file| shipped.is_at(file))) {
        faults.push(format!("data/manifest.toml ships {}, which is missing", shipped.path));
    }
    faults
}

pub(super) fn whitespace(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in workspace.texts().filter(|(_, text)| !text.is_empty()) {
        if text.contains('\r') {
            faults.push(format!("{path} holds a carriage return"));
        }
        if !text.ends_with('\n') || text.ends_with("\n\n") {
            faults.push(format!("{path} does not end with one newline"));
        }
    }
    faults
}

/// Without a committed schema there is nothing to compare; `cargo xtask docs --check` sees to it that there is one.
pub(super) fn variants(workspace: &Workspace) -> Vec<String> {
    let Some(text) = workspace.files.get(SCHEMA).and_then(Option::as_ref) else {
        return Vec::new();
    };
    let schema: Value = match serde_json::from_str(text) {
        Ok(schema) => schema,
        Err(error) => return vec![format!("{SCHEMA} is not JSON: {error}")],
    };
    variants::unused(&schema, &workspace.smoke_configs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::data::DataFile;

    #[test]
    fn machine_paths_are_found_with_their_line() {
        for beginning in MACHINE_PATHS {
            let workspace = Workspace::default().with_file("README.md", &format!("a\nsee {beginning}b\n"));
            assert_eq!(machine_paths(&workspace), [format!("README.md:2: {beginning}")]);
        }
        assert_eq!(machine_paths(&Workspace::default().with_file("README.md", "~/work, at home\n")), [""; 0]);
    }

    #[test]
    fn data_and_manifest_list_the_same_files() {
        let mut workspace = Workspace::default().with_file("data/README.md", "").with_file("data/a.txt", "");
        assert_eq!(data_entries(&workspace), ["data/a.txt has no entry in data/manifest.toml"]);
        let shipped = |path: &str| DataFile { path: path.to_owned(), ..DataFile::default() };
        workspace.shipped = vec![shipped("a.txt")];
        assert_eq!(data_entries(&workspace), [""; 0]);
        workspace.shipped.push(shipped("b.txt"));
        assert_eq!(data_entries(&workspace), ["data/manifest.toml ships b.txt, which is missing"]);

        // A pattern stands for the files of its folder with its extension, and for one at least.
        workspace.shipped = vec![shipped("a.txt"), shipped("clips/*.wav")];
        assert_eq!(data_entries(&workspace), ["data/manifest.toml ships clips/*.wav, which is missing"]);
        let workspace = workspace.with_file("data/clips/1.wav", "").with_file("data/clips/old/2.wav", "");
        assert_eq!(data_entries(&workspace), ["data/clips/old/2.wav has no entry in data/manifest.toml"]);
    }

    #[test]
    fn texts_end_with_one_newline() {
        let table = [
            ("", None),
            ("a\n", None),
            ("a", Some("a.txt does not end with one newline")),
            ("a\n\n", Some("a.txt does not end with one newline")),
            ("a\r\n", Some("a.txt holds a carriage return")),
        ];
        for (text, expected) in table {
            let found = whitespace(&Workspace::default().with_file("a.txt", text));
            assert_eq!(found, expected.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{text:?}");
        }
    }

    #[test]
    fn a_variant_without_smoke_config_is_found() {
        let schema =
            json!({ "properties": { "head": { "oneOf": [{ "properties": { "kind": { "const": "dueling" } } }] } } });
        let mut workspace = Workspace::default().with_file(SCHEMA, &schema.to_string());
        assert_eq!(variants(&workspace), ["configuration: kind = \"dueling\""]);
        workspace.smoke_configs = vec![json!({ "head": { "kind": "dueling" } })];
        assert_eq!(variants(&workspace), [""; 0]);
        let broken = variants(&Workspace::default().with_file(SCHEMA, "{"));
        assert!(broken[0].contains("is not JSON"), "{broken:?}");
    }
}
