//! What the rules look at: crates with their dependencies, the lock file, and the text files git knows.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand};
use serde_json::Value;

use crate::data::{DataFile, Manifest};

/// The workspace as the rules see it. The default is an empty one, to which tests add what they need.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    /// The members.
    pub(super) crates: Vec<Crate>,
    /// Every package of the lock file: name and version.
    pub(super) locked: Vec<(String, String)>,
    /// Paths from the root, with `/`, of all files that are tracked or could be; the text where it is UTF-8.
    pub(super) files: BTreeMap<String, Option<String>>,
    /// The shipped files of the data manifest, relative to `data`.
    pub(super) shipped: Vec<DataFile>,
    /// The smoke configs as JSON values.
    pub(super) smoke_configs: Vec<Value>,
}

/// A member of the workspace.
#[derive(Debug, Default)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
    /// What its own features switch on, such as `burn/ndarray`.
    pub(super) feature_targets: Vec<String>,
    /// Whether its manifest says `[lints] workspace = true`.
    pub(super) takes_workspace_lints: bool,
}

/// A direct dependency.
#[derive(Debug)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) features: Vec<String>,
    /// Needed by tests, examples and benchmarks only.
    pub(super) is_dev: bool,
}

impl Workspace {
    /// Reads the workspace at `root`.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let metadata = MetadataCommand::new()
            .current_dir(root)
            .no_deps()
            .exec()
            .context("cannot read the workspace's metadata")?;
        let crates = metadata
            .packages
            .iter()
            .map(|package| {
                let manifest: toml::Table = toml::from_str(&read(package.manifest_path.as_std_path())?)
                    .with_context(|| format!("cannot parse {}", package.manifest_path))?;
                Ok(Crate {
                    name: package.name.to_string(),
                    dependencies: package
                        .dependencies
                        .iter()
                        .map(|dependency| Dependency {
                            name: dependency.name.clone(),
                            features: dependency.features.clone(),
                            is_dev: dependency.kind == DependencyKind::Development,
                        })
                        .collect(),
                    feature_targets: package.features.values().flatten().cloned().collect(),
                    takes_workspace_lints: manifest
                        .get("lints")
                        .and_then(|lints| lints.get("workspace"))
                        .and_then(toml::Value::as_bool)
                        .unwrap_or(false),
                })
            })
            .collect::<Result<_>>()?;
        let files = files(root)?;
        let smoke_configs = files
            .iter()
            .filter(|(path, _)| path.starts_with(crate::variants::SMOKE_FOLDER) && path.ends_with(".toml"))
            .filter_map(|(path, text)| Some((path, text.as_ref()?)))
            .map(|(path, text)| toml::from_str(text).with_context(|| format!("cannot parse {path}")))
            .collect::<Result<_>>()?;
        let shipped =
            Manifest::read(root)?.dataset.into_iter().filter(|set| set.shipped).flat_map(|set| set.file).collect();
        Ok(Self { crates, locked: locked(&read(&root.join("Cargo.lock"))?)?, files, shipped, smoke_configs })
    }

    /// The text files with their paths.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// The Rust files of all members, tests and benchmarks included.
    pub(super) fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(|(path, _)| path.ends_with(".rs"))
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn locked(text: &str) -> Result<Vec<(String, String)>> {
    let lock: toml::Table = toml::from_str(text).context("cannot parse Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array).context("Cargo.lock lists no package")?;
    let field = |package: &toml::Value, key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    Ok(packages.iter().filter_map(|package| Some((field(package, "name")?, field(package, "version")?))).collect())
}

/// Tracked files and those that only wait to be added, so that a fault is found before it is committed.
fn files(root: &Path) -> Result<BTreeMap<String, Option<String>>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot start git, which knows the files of the workspace")?;
    if !output.status.success() {
        bail!("git cannot list the files: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let listing = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let mut files = BTreeMap::new();
    for path in listing.split('\0').filter(|path| !path.is_empty()) {
        // A tracked file that was just deleted is still listed.
        if let Ok(bytes) = std::fs::read(root.join(path)) {
            files.insert(path.to_owned(), String::from_utf8(bytes).ok());
        }
    }
    Ok(files)
}

#[cfg(test)]
impl Workspace {
    /// Adds a text file.
    pub(super) fn with_file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), Some(text.to_owned()));
        self
    }

    /// Adds a crate with normal dependencies, which takes the workspace's lints.
    pub(super) fn with_crate(mut self, name: &str, dependencies: &[&str]) -> Self {
        let dependencies = dependencies
            .iter()
            .map(|&name| Dependency { name: name.to_owned(), features: Vec::new(), is_dev: false })
            .collect();
        self.crates.push(Crate {
            name: name.to_owned(),
            dependencies,
            feature_targets: Vec::new(),
            takes_workspace_lints: true,
        });
        self
    }

    /// Adds a dependency to the crate added last.
    pub(super) fn with_dependency(mut self, name: &str, features: &[&str], is_dev: bool) -> Self {
        let features = features.iter().map(|&feature| feature.to_owned()).collect();
        self.crates.last_mut().unwrap().dependencies.push(Dependency { name: name.to_owned(), features, is_dev });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_gives_names_and_versions() {
        let text = "version = 4\n[[package]]\nname = \"burn\"\nversion = \"0.22.1\"\n";
        assert_eq!(locked(text).unwrap(), [("burn".to_owned(), "0.22.1".to_owned())]);
        assert!(locked("version = 4\n").is_err());
    }

    #[test]
    fn this_workspace_is_read() {
        let workspace = Workspace::read(&crate::process::workspace_root()).unwrap();
        let core = workspace.crates.iter().find(|member| member.name == "dqn-core").unwrap();
        assert!(core.takes_workspace_lints);
        assert!(core.dependencies.iter().any(|dependency| dependency.name == "burn" && !dependency.is_dev));
        assert!(workspace.files.contains_key("xtask/src/main.rs"));
        assert!(workspace.locked.iter().any(|(name, _)| name == "burn"));
        assert!(!workspace.shipped.is_empty());
    }
}
