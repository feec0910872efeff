//! Rules on who may depend on what.

use std::collections::{BTreeMap, BTreeSet};

use super::workspace::Workspace;

/// The layer table: each crate with the crates of this workspace it may import. Tests may import more.
const LAYERS: [(&str, &[&str]); 12] = [
    ("dqn-text", &[]),
    ("dqn-score", &["dqn-text"]),
    ("dqn-audio", &[]),
    ("dqn-mdp", &["dqn-text"]),
    ("dqn-env", &["dqn-text", "dqn-score", "dqn-audio", "dqn-mdp"]),
    ("dqn-core", &["dqn-mdp"]),
    ("dqn-model", &["dqn-mdp", "dqn-core"]),
    ("dqn-train", &["dqn-text", "dqn-score", "dqn-audio", "dqn-mdp", "dqn-env", "dqn-core", "dqn-model"]),
    ("dqn-report", &["dqn-text", "dqn-score", "dqn-train"]),
    ("dqn-serve", &[]),
    (
        "dqn-cli",
        &[
            "dqn-text",
            "dqn-score",
            "dqn-audio",
            "dqn-mdp",
            "dqn-env",
            "dqn-core",
            "dqn-model",
            "dqn-train",
            "dqn-report",
            "dqn-serve",
        ],
    ),
    ("xtask", &[]),
];
const CLI: &str = "dqn-cli";
const XTASK: &str = "xtask";
const BURN_CRATES: [&str; 4] = ["dqn-core", "dqn-model", "dqn-train", CLI];
/// burn's features, and the ends of its crates' names, that choose where tensors are computed.
const BACKENDS: [&str; 12] =
    ["ndarray", "flex", "wgpu", "cuda", "rocm", "vulkan", "metal", "webgpu", "candle", "tch", "cpu", "cubecl"];
/// The backends that run everywhere, so that tests of other crates may name them.
const TEST_BACKENDS: [&str; 2] = ["ndarray", "flex"];
/// The one crate with operations of its own for a backend, which a feature switches on (dqn-model/src/fused).
const OWN_OPERATIONS: (&str, &str) = ("dqn-model", "burn/flex");
const BINARY_ONLY: [&str; 4] = ["clap", "clap_complete", "anyhow", "tracing-subscriber"];

fn is_burn(name: &str) -> bool {
    name == "burn" || name.starts_with("burn-")
}

/// The backend a crate of burn's family is, such as `wgpu` for `burn-wgpu`.
fn backend_of_crate(name: &str) -> Option<&str> {
    name.strip_prefix("burn-").filter(|end| BACKENDS.contains(end))
}

pub(super) fn layers(workspace: &Workspace) -> Vec<String> {
    let is_member = |name: &str| LAYERS.iter().any(|(layer, _)| *layer == name);
    let mut faults = Vec::new();
    for member in &workspace.crates {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == member.name) else {
            faults.push(format!("the crate {} is not in the layer table", member.name));
            continue;
        };
        for dependency in member.dependencies.iter().filter(|dependency| is_member(&dependency.name)) {
            let for_tests_only = dependency.is_dev && dependency.name != CLI && member.name != XTASK;
            if !for_tests_only && !allowed.contains(&dependency.name.as_str()) {
                let allowed = if allowed.is_empty() { "no member".to_owned() } else { allowed.join(", ") };
                faults.push(format!("{} imports {}; it may import {allowed}", member.name, dependency.name));
            }
        }
    }
    faults
}

pub(super) fn burn(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for member in workspace.crates.iter().filter(|member| !BURN_CRATES.contains(&member.name.as_str())) {
        for dependency in member.dependencies.iter().filter(|dependency| is_burn(&dependency.name)) {
            faults.push(format!("{} depends on {}", member.name, dependency.name));
        }
    }
    faults
}

pub(super) fn backends(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for member in workspace.crates.iter().filter(|member| member.name != CLI) {
        for dependency in member.dependencies.iter().filter(|dependency| is_burn(&dependency.name)) {
            let named = dependency.features.iter().map(String::as_str).filter(|feature| BACKENDS.contains(feature));
            for backend in named.chain(backend_of_crate(&dependency.name)) {
                if !(dependency.is_dev && TEST_BACKENDS.contains(&backend)) {
                    let what = if dependency.is_dev { "the tests of" } else { "the code of" };
                    faults.push(format!("{backend} is named by {what} {}", member.name));
                }
            }
        }
        for target in &member.feature_targets {
            if let Some((name, feature)) = target.split_once('/')
                && is_burn(name.trim_end_matches('?'))
                && BACKENDS.contains(&feature)
                && (member.name.as_str(), target.as_str()) != OWN_OPERATIONS
            {
                faults.push(format!("a feature of {} switches on {target}", member.name));
            }
        }
    }
    faults
}

pub(super) fn binaries(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for member in workspace.crates.iter().filter(|member| ![CLI, XTASK].contains(&member.name.as_str())) {
        for dependency in &member.dependencies {
            if BINARY_ONLY.contains(&dependency.name.as_str()) {
                faults.push(format!("{} depends on {}", member.name, dependency.name));
            }
        }
    }
    faults
}

pub(super) fn burn_versions(workspace: &Workspace) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, version) in workspace.locked.iter().filter(|(name, _)| is_burn(name)) {
        versions.entry(name).or_default().insert(version);
    }
    versions
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| {
            let versions: Vec<&str> = versions.into_iter().collect();
            format!("Cargo.lock holds {name} {}", versions.join(" and "))
        })
        .collect()
}

pub(super) fn lints(workspace: &Workspace) -> Vec<String> {
    let without = workspace.crates.iter().filter(|member| !member.takes_workspace_lints);
    without.map(|member| format!("the manifest of {} lacks `[lints] workspace = true`", member.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule's faults in a workspace.
    fn check(rule: fn(&Workspace) -> Vec<String>, workspace: &Workspace, expected: &[&str]) {
        assert_eq!(rule(workspace), expected);
    }

    #[test]
    fn layers_are_kept() {
        let good = Workspace::default()
            .with_crate("dqn-core", &["dqn-mdp", "rand"])
            .with_dependency("dqn-text", &[], true)
            .with_crate("dqn-cli", &["dqn-train", "dqn-env"]);
        check(layers, &good, &[]);
        let upward = Workspace::default().with_crate("dqn-core", &["dqn-model"]);
        check(layers, &upward, &["dqn-core imports dqn-model; it may import dqn-mdp"]);
        let sideways = Workspace::default().with_crate("dqn-text", &["dqn-score"]);
        check(layers, &sideways, &["dqn-text imports dqn-score; it may import no member"]);
        let cli_in_tests = Workspace::default().with_crate("dqn-mdp", &[]).with_dependency("dqn-cli", &[], true);
        check(layers, &cli_in_tests, &["dqn-mdp imports dqn-cli; it may import dqn-text"]);
        let chores = Workspace::default().with_crate("xtask", &[]).with_dependency("dqn-text", &[], true);
        check(layers, &chores, &["xtask imports dqn-text; it may import no member"]);
        let unknown = Workspace::default().with_crate("dqn-extra", &[]);
        check(layers, &unknown, &["the crate dqn-extra is not in the layer table"]);
    }

    #[test]
    fn burn_stays_where_it_belongs() {
        check(burn, &Workspace::default().with_crate("dqn-model", &["burn", "burn-store"]), &[]);
        let faulty = Workspace::default().with_crate("dqn-env", &["burner"]).with_dependency("burn", &[], true);
        check(burn, &faulty, &["dqn-env depends on burn"]);
    }

    #[test]
    fn only_the_program_names_a_backend() {
        let good = Workspace::default()
            .with_crate("dqn-core", &["burn"])
            .with_dependency("burn", &["flex", "rayon"], true)
            .with_crate("dqn-cli", &[])
            .with_dependency("burn", &["wgpu"], false);
        check(backends, &good, &[]);
        let in_code = Workspace::default().with_crate("dqn-core", &[]).with_dependency("burn", &["flex"], false);
        check(backends, &in_code, &["flex is named by the code of dqn-core"]);
        let gpu_in_tests = Workspace::default().with_crate("dqn-core", &[]).with_dependency("burn-wgpu", &[], true);
        check(backends, &gpu_in_tests, &["wgpu is named by the tests of dqn-core"]);
        let mut by_feature = Workspace::default().with_crate("dqn-model", &["burn"]);
        by_feature.crates[0].feature_targets = ["burn/std", "burn?/cuda", "burn/flex"].map(str::to_owned).to_vec();
        check(backends, &by_feature, &["a feature of dqn-model switches on burn?/cuda"]);
    }

    #[test]
    fn tools_of_binaries_stay_in_binaries() {
        check(binaries, &Workspace::default().with_crate("xtask", &["clap", "anyhow"]), &[]);
        let faulty = Workspace::default().with_crate("dqn-text", &["thiserror", "anyhow"]);
        check(binaries, &faulty, &["dqn-text depends on anyhow"]);
    }

    #[test]
    fn one_version_of_burn() {
        let locked = |packages: &[(&str, &str)]| Workspace {
            locked: packages.iter().map(|&(name, version)| (name.to_owned(), version.to_owned())).collect(),
            ..Workspace::default()
        };
        check(burn_versions, &locked(&[("burn", "0.22.1"), ("rand", "0.9.1"), ("rand", "0.10.0")]), &[]);
        let faulty = locked(&[("burn-core", "0.22.1"), ("burn-core", "0.21.0")]);
        check(burn_versions, &faulty, &["Cargo.lock holds burn-core 0.21.0 and 0.22.1"]);
    }

    #[test]
    fn lints_are_the_workspaces() {
        let mut workspace = Workspace::default().with_crate("dqn-text", &[]);
        check(lints, &workspace, &[]);
        workspace.crates[0].takes_workspace_lints = false;
        check(lints, &workspace, &["the manifest of dqn-text lacks `[lints] workspace = true`"]);
    }
}
