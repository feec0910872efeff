//! The texts in `data/` and the data sets a user can bring.
//!
//! `data/manifest.toml` names each with its licence, origin, checksum and preparation. A shipped text can be built
//! again from its source or by its grammar, byte for byte; a data set that may not be shipped is checked against its checksum and copied
//! under stable names to `data/cache`, where the configs look for it.

mod draw;
mod fsdd;
mod lzw;
mod manifest;
mod numerals;
mod prose;
mod spoken;
mod translation;
mod verse;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

pub(crate) use self::manifest::{DataFile, Manifest};
use self::manifest::{DataSet, Recipe};
use crate::process::Unmet;

/// Prints what the manifest knows and what of it is here.
pub(crate) fn list(root: &Path) -> Result<()> {
    for set in &Manifest::read(root)?.dataset {
        println!("{}: {}", set.name, set.title);
        println!("  licence      {}", set.licence);
        println!("  origin       {}", set.origin);
        println!("  preparation  {}", set.prepare);
        for file in &set.file {
            let place = place_of(set, file);
            let here = if place_is_filled(root, set, file) { "here" } else { "not here" };
            println!("  {here:<8}     {}", place.display());
        }
    }
    Ok(())
}

/// Builds the data set `name`, from the folder `from` where it is not written by a grammar.
pub(crate) fn prepare(root: &Path, name: &str, from: Option<&Path>) -> Result<()> {
    let manifest = Manifest::read(root)?;
    let set = manifest.find(name)?;
    if set.recipe == Recipe::TranslationSmall {
        let corpus = translation::build()?;
        return write_all(root, set, |file| Ok(corpus.file(file.name())?.into()));
    }
    if set.recipe == Recipe::Synthesise {
        bail!(Unmet(format!("{name} is spoken by a program: `cargo xtask data synthesise {name}`")));
    }
    let from = from.ok_or_else(|| Unmet(format!("{name} is built from a copy of its source: add --from FOLDER")))?;
    if !from.is_dir() {
        bail!("{} is not a folder", from.display());
    }
    for file in &set.file {
        match set.recipe {
            Recipe::VerseZh => write(root, set, file, verse::build(from)?.as_bytes())?,
            Recipe::ProseEn => write(root, set, file, prose::build(from)?.as_bytes())?,
            Recipe::WordsEn => write(root, set, file, words::build(from)?.as_bytes())?,
            Recipe::Fsdd if file.name() == "*.tsv" => {
                write_many(root, set, file, &fsdd::manifests(&names_in(from, "*.wav")?)?)?;
            }
            Recipe::Fsdd | Recipe::Copy => copy(root, set, file, from)?,
            // Answered above: these have no source.
            Recipe::TranslationSmall | Recipe::Synthesise => {}
        }
    }
    Ok(())
}

/// Lets `espeak-ng`, or the program at `espeak`, speak the data set `name`.
pub(crate) fn synthesise(root: &Path, name: &str, espeak: Option<&Path>) -> Result<()> {
    let manifest = Manifest::read(root)?;
    let set = manifest.find(name)?;
    if set.recipe != Recipe::Synthesise {
        bail!(Unmet(format!("{name} is not spoken by a program: `cargo xtask data prepare {name}`")));
    }
    let espeak = spoken::Espeak::find(espeak)?;
    let folder = if set.shipped { root.join("data").join(name) } else { root.join("data/cache").join(name) };
    spoken::synthesise(&espeak, name, &folder)?;
    println!("{name} written, spoken by espeak-ng {}", espeak.version());
    let checks: Vec<Result<()>> = set.file.iter().map(|file| check_place(root, set, file)).collect();
    checks.into_iter().collect()
}

/// Compares every file that is here with the manifest; a shipped one must be here.
pub(crate) fn verify(root: &Path) -> Result<()> {
    let mut faults = Vec::new();
    let mut n_files = 0;
    for set in &Manifest::read(root)?.dataset {
        for file in &set.file {
            if !set.shipped && !place_is_filled(root, set, file) {
                continue;
            }
            n_files += 1;
            if let Err(fault) = check_place(root, set, file) {
                faults.push(format!("{fault:#}"));
            }
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!("{n_files} entries of data/manifest.toml are here and as it says");
    Ok(())
}

/// Where a file lies, from the workspace root: a shipped one in `data`, another in the ignored `data/cache`.
fn place_of(set: &DataSet, file: &DataFile) -> PathBuf {
    let folder = if set.shipped { PathBuf::from("data") } else { Path::new("data/cache").join(&set.name) };
    folder.join(&file.path)
}

/// The file names an entry stands for: one, or all in `folder` with the extension of a pattern like `*.wav`, sorted.
fn names_in(folder: &Path, pattern: &str) -> Result<Vec<String>> {
    let Some(extension) = pattern.strip_prefix("*.") else {
        return Ok(vec![pattern.to_owned()]);
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if path.extension().is_some_and(|found| found == extension)
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn place_is_filled(root: &Path, set: &DataSet, file: &DataFile) -> bool {
    let place = root.join(place_of(set, file));
    match place.parent() {
        Some(folder) if file.is_pattern() => names_in(folder, file.name()).is_ok_and(|names| !names.is_empty()),
        _ => place.is_file(),
    }
}

fn check_place(root: &Path, set: &DataSet, file: &DataFile) -> Result<()> {
    let place = root.join(place_of(set, file));
    let folder = place.parent().unwrap_or(root);
    let contents = names_in(folder, file.name())?
        .into_iter()
        .map(|name| Ok((read(&folder.join(&name))?, name)))
        .collect::<Result<Vec<_>>>()?;
    check(set, file, &contents)
}

/// Compares the contents of an entry's files with what the manifest says of them.
fn check(set: &DataSet, file: &DataFile, contents: &[(Vec<u8>, String)]) -> Result<()> {
    let n_bytes: usize = contents.iter().map(|(bytes, _)| bytes.len()).sum();
    let n_lines: usize = contents.iter().map(|(bytes, _)| bytes.iter().filter(|&&byte| byte == b'\n').count()).sum();
    let sha256 = match contents {
        [(bytes, _)] => sha256_of(bytes),
        // As `sha256sum * | sha256sum` prints it.
        many => {
            let listing: String = many.iter().map(|(bytes, name)| format!("{}  {name}\n", sha256_of(bytes))).collect();
            sha256_of(listing.as_bytes())
        }
    };
    let place = place_of(set, file);
    let place = place.display();
    if let Some(expected) = file.files
        && contents.len() != expected
    {
        bail!("{place} stands for {} files; the manifest says {expected}", contents.len());
    }
    if n_bytes != file.bytes {
        bail!("{place} has {n_bytes} bytes; the manifest says {}", file.bytes);
    }
    if let Some(expected) = file.lines
        && n_lines != expected
    {
        bail!("{place} has {n_lines} lines; the manifest says {expected}");
    }
    if sha256 != file.sha256 {
        bail!("{place} has the SHA-256 {sha256}; the manifest says {}", file.sha256);
    }
    Ok(())
}

/// Writes a built text, and says where it differs from the manifest: a changed recipe is then entered there.
fn write(root: &Path, set: &DataSet, file: &DataFile, bytes: &[u8]) -> Result<()> {
    let place = place_of(set, file);
    let target = root.join(&place);
    create_folder_of(&target)?;
    std::fs::write(&target, bytes).with_context(|| format!("cannot write {}", target.display()))?;
    println!("{} written", place.display());
    check(set, file, &[(bytes.to_vec(), file.path.clone())])
}

/// Writes all files of a data set before it says where they differ from the manifest.
fn write_all(root: &Path, set: &DataSet, text_of: impl Fn(&DataFile) -> Result<Vec<u8>>) -> Result<()> {
    let written: Vec<Result<()>> = set.file.iter().map(|file| write(root, set, file, &text_of(file)?)).collect();
    written.into_iter().collect()
}

/// Writes all files that a pattern stands for.
fn write_many(root: &Path, set: &DataSet, file: &DataFile, texts: &BTreeMap<String, String>) -> Result<()> {
    let place = place_of(set, file);
    let mut contents = Vec::new();
    for (name, text) in texts {
        let target = root.join(&place).with_file_name(name);
        create_folder_of(&target)?;
        std::fs::write(&target, text).with_context(|| format!("cannot write {}", target.display()))?;
        contents.push((text.clone().into_bytes(), name.clone()));
    }
    println!("{} written", place.display());
    check(set, file, &contents)
}

/// Copies the files of an entry, but only when all of them are what the manifest says.
fn copy(root: &Path, set: &DataSet, file: &DataFile, from: &Path) -> Result<()> {
    let source = file.from.as_deref().unwrap_or(&file.path);
    let contents = names_in(from, source)?
        .into_iter()
        .map(|name| Ok((read(&from.join(&name))?, name)))
        .collect::<Result<Vec<_>>>()?;
    check(set, file, &contents).with_context(|| format!("{} is not the copy that is meant", from.display()))?;
    let place = place_of(set, file);
    let target = root.join(&place);
    create_folder_of(&target)?;
    for (bytes, name) in &contents {
        let target = if file.is_pattern() { target.with_file_name(name) } else { target.clone() };
        std::fs::write(&target, bytes).with_context(|| format!("cannot write {}", target.display()))?;
    }
    println!("{} written", place.display());
    Ok(())
}

fn create_folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn sha256_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lines and poems, chapters or other documents, the latter divided by empty lines.
fn join_documents(documents: &[Vec<String>]) -> String {
    let documents: Vec<String> = documents.iter().map(|lines| lines.join("\n")).collect();
    let mut text = documents.join("\n\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        [[dataset]]
        name = "toy"
        title = "A toy"
        licence = "none needed"
        origin = "made up"
        prepare = "copied"
        recipe = "copy"
        shipped = false
        [[dataset.file]]
        path = "pairs.tsv"
        from = "raw.txt"
        sha256 = "RAW"
        bytes = 4
        lines = 2
        [[dataset.file]]
        path = "*.wav"
        from = "*.wav"
        sha256 = "LISTING"
        bytes = 2
        files = 2
    "#;

    fn workspace(raw: &str) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("data")).unwrap();
        let listing = format!("{}  a.wav\n{}  b.wav\n", sha256_of(b"x"), sha256_of(b"y"));
        let manifest =
            MANIFEST.replace("RAW", &sha256_of(b"a\nb\n")).replace("LISTING", &sha256_of(listing.as_bytes()));
        std::fs::write(root.path().join("data/manifest.toml"), manifest).unwrap();
        let source = root.path().join("source");
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join("raw.txt"), raw).unwrap();
        std::fs::write(source.join("b.wav"), "y").unwrap();
        std::fs::write(source.join("a.wav"), "x").unwrap();
        std::fs::write(source.join("notes.txt"), "not meant").unwrap();
        (root, source)
    }

    #[test]
    fn sha256_is_the_published_one() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256_of(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_brought_data_set_is_copied_under_its_own_names_and_verified() {
        let (root, source) = workspace("a\nb\n");
        prepare(root.path(), "toy", Some(&source)).unwrap();
        let cache = root.path().join("data/cache/toy");
        assert_eq!(std::fs::read_to_string(cache.join("pairs.tsv")).unwrap(), "a\nb\n");
        assert_eq!(std::fs::read_to_string(cache.join("a.wav")).unwrap(), "x");
        assert!(!cache.join("notes.txt").exists());
        verify(root.path()).unwrap();

        std::fs::write(cache.join("b.wav"), "z").unwrap();
        let fault = verify(root.path()).unwrap_err().to_string();
        assert!(fault.contains("data/cache/toy/*.wav has the SHA-256"), "{fault}");
    }

    #[test]
    fn another_copy_is_refused_and_nothing_is_written() {
        for (raw, complaint) in [("a\n", "2 bytes"), ("a\nbc", "1 lines"), ("a\nc\n", "SHA-256")] {
            let (root, source) = workspace(raw);
            let fault = format!("{:#}", prepare(root.path(), "toy", Some(&source)).unwrap_err());
            assert!(fault.contains(complaint), "{raw:?}: {fault}");
            assert!(!root.path().join("data/cache").exists());
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let (root, source) = workspace("");
        let fault = prepare(root.path(), "tot", Some(&source)).unwrap_err().to_string();
        assert!(fault.contains("\"tot\"") && fault.contains("toy"), "{fault}");
    }

    #[test]
    fn a_source_is_asked_for_where_there_is_one() {
        let (root, _) = workspace("a\nb\n");
        let fault = prepare(root.path(), "toy", None).unwrap_err();
        assert!(fault.is::<Unmet>() && fault.to_string().contains("--from FOLDER"), "{fault}");
        let fault = synthesise(root.path(), "toy", None).unwrap_err();
        assert!(fault.is::<Unmet>() && fault.to_string().contains("data prepare toy"), "{fault}");
    }

    #[test]
    fn recordings_are_copied_and_divided() {
        let (root, source) = workspace("");
        std::fs::remove_file(source.join("a.wav")).unwrap();
        std::fs::remove_file(source.join("b.wav")).unwrap();
        for digit in 0..10 {
            for index in 0..15 {
                std::fs::write(source.join(format!("{digit}_ann_{index}.wav")), "").unwrap();
            }
        }
        let manifest = MANIFEST.replace("\"copy\"", "\"fsdd\"").replace("pairs.tsv", "*.tsv");
        std::fs::write(root.path().join("data/manifest.toml"), manifest).unwrap();
        // The toy manifest knows other sums; the files are written before they are compared.
        let fault = format!("{:#}", prepare(root.path(), "toy", Some(&source)).unwrap_err());
        assert!(fault.contains("data/cache/toy/*.tsv has"), "{fault}");
        let validation = std::fs::read_to_string(root.path().join("data/cache/toy/validation.tsv")).unwrap();
        assert!(validation.starts_with("0_ann_13.wav\tzero\tann\n0_ann_14.wav"), "{validation}");
    }

    #[test]
    fn the_files_of_this_workspace_are_what_the_manifest_says() {
        verify(&crate::process::workspace_root()).unwrap();
    }
}
