//! The rules of ARCHITECTURE.md that a machine can check.
//!
//! Each rule is one function from the workspace to its faults, listed in [`RULES`]. The rules run as `cargo xtask tidy`
//! and as a test; beside each stands a test in which it finds a fault.

mod dependencies;
mod files;
mod sources;
mod workspace;

use std::path::Path;

use anyhow::{Result, bail};

use self::workspace::Workspace;

struct Rule {
    name: &'static str,
    demand: &'static str,
    faults: fn(&Workspace) -> Vec<String>,
}

const RULES: [Rule; 13] = [
    Rule { name: "layers", demand: "a crate imports only what the layer table allows", faults: dependencies::layers },
    Rule { name: "burn", demand: "burn is for core, model, train and cli", faults: dependencies::burn },
    Rule {
        name: "backends",
        demand: "only cli names a backend; model may for operations of its own, and tests may name ndarray and flex",
        faults: dependencies::backends,
    },
    Rule {
        name: "binaries",
        demand: "clap, anyhow and tracing-subscriber are for cli and xtask",
        faults: dependencies::binaries,
    },
    Rule {
        name: "burn-versions",
        demand: "the lock file holds one version of every burn crate",
        faults: dependencies::burn_versions,
    },
    Rule { name: "lints", demand: "every crate takes the workspace's lints", faults: dependencies::lints },
    Rule { name: "module-names", demand: "a module says what it is about", faults: sources::module_names },
    Rule { name: "leftovers", demand: "nothing is left for later outside tests", faults: sources::leftovers },
    Rule { name: "thin-main", demand: "main.rs of cli has under 80 lines", faults: sources::thin_main },
    Rule { name: "machine-paths", demand: "no file names a path of one machine", faults: files::machine_paths },
    Rule { name: "data-entries", demand: "data/ and its manifest list the same files", faults: files::data_entries },
    Rule { name: "whitespace", demand: "text files end with one newline and hold no CR", faults: files::whitespace },
    Rule { name: "variants", demand: "every config variant is in a smoke config", faults: files::variants },
];

/// Checks every rule and reports all faults.
pub(crate) fn run(root: &Path) -> Result<()> {
    let faults = faults(&Workspace::read(root)?);
    if !faults.is_empty() {
        bail!("{} faults\n{}", faults.len(), faults.join("\n"));
    }
    println!("{} rules hold", RULES.len());
    Ok(())
}

fn faults(workspace: &Workspace) -> Vec<String> {
    RULES
        .iter()
        .flat_map(|rule| {
            (rule.faults)(workspace)
                .into_iter()
                .map(move |fault| format!("[{}] {fault} (the rule: {})", rule.name, rule.demand))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_tidy() {
        let workspace = Workspace::read(&crate::process::workspace_root()).unwrap();
        assert_eq!(faults(&workspace), Vec::<String>::new());
    }

    #[test]
    fn a_fault_is_shown_with_its_rule() {
        let workspace = Workspace::default().with_file("crates/dqn-text/src/utils.rs", "//! Odds and ends.\n");
        let found = faults(&workspace);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("[module-names] crates/dqn-text/src/utils.rs"), "{}", found[0]);
    }
}
