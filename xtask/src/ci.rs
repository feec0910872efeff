//! Every check a commit must pass.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process::{Built, Tool};
use crate::{data, docs, smoke, tidy};

/// One check: what it is called, how a person repeats it, and what it runs.
struct Step {
    name: &'static str,
    repeat: &'static str,
    run: Run,
}

enum Run {
    /// A function of this program.
    Own(fn(&Path) -> Result<()>),
    /// The command that repeats it.
    Command,
    /// The same, where a command succeeds that asks for its tool.
    Optional(&'static str),
    /// A function of this program, where a Vulkan driver is present and time is left: it builds all dependencies anew.
    Vulkan(fn(&Path) -> Result<()>),
}

/// Cheapest first. All compile in the dev profile, and those that build with the same features, so that nothing is built
/// twice but for Vulkan.
const STEPS: [Step; 13] = [
    Step { name: "format", repeat: "cargo fmt --all -- --check", run: Run::Command },
    Step { name: "tidy", repeat: "cargo xtask tidy", run: Run::Own(tidy::run) },
    Step { name: "data", repeat: "cargo xtask data verify", run: Run::Own(data::verify) },
    Step { name: "typos", repeat: "typos", run: Run::Optional("typos --version") },
    Step { name: "machete", repeat: "cargo machete", run: Run::Optional("cargo machete --version") },
    Step { name: "deny", repeat: "cargo deny check bans licenses sources", run: Run::Optional("cargo deny --version") },
    Step { name: "clippy", repeat: "cargo clippy --workspace --all-targets -- -D warnings", run: Run::Command },
    Step {
        name: "clippy without flex",
        repeat: "cargo clippy --package dqn-cli --no-default-features --features ndarray -- -D warnings",
        run: Run::Command,
    },
    Step { name: "build", repeat: "cargo build --workspace --all-targets", run: Run::Command },
    Step { name: "test", repeat: "cargo xtask test", run: Run::Own(|root| test(root, &[])) },
    Step {
        name: "docs",
        repeat: "cargo xtask docs --check",
        run: Run::Own(|root| docs::run(root, true, Built::Already)),
    },
    Step {
        name: "smoke",
        repeat: "cargo xtask smoke",
        run: Run::Own(|root| smoke::run(root, &smoke::Options { no_build: true, ..Default::default() })),
    },
    Step {
        name: "wgpu smoke",
        repeat: "cargo xtask smoke --backend wgpu --against ndarray --only next-token --only verse-kl --only munchausen \
                 --only quantile --only rainbow",
        run: Run::Vulkan(|root| {
            let options = smoke::Options {
                backend: Some("wgpu".to_owned()),
                against: Some("ndarray".to_owned()),
                // On a driver that computes on the CPU all take four minutes; these are one for each torso.
                only: ["next-token", "verse-kl", "munchausen", "quantile", "rainbow"].map(str::to_owned).to_vec(),
                ..Default::default()
            };
            smoke::run(root, &options)
        }),
    },
];

/// Runs the steps in order and stops at the first failure.
pub(crate) fn run(root: &Path) -> Result<()> {
    let start = Instant::now();
    let mut n_passed = 0;
    let mut skipped = Vec::new();
    for step in STEPS {
        println!("--- {}: {}", step.name, step.repeat);
        let step_start = Instant::now();
        let outcome = match step.run {
            Run::Own(check) => check(root).map(|()| None),
            Run::Command => Tool::new(root, step.repeat).run().map(|()| None),
            Run::Optional(asking) if Tool::new(root, asking).succeeds() => {
                Tool::new(root, step.repeat).run().map(|()| None)
            }
            Run::Optional(asking) => Ok(Some(format!("`{asking}` does not run here"))),
            Run::Vulkan(check) => match reason_against_vulkan(has_vulkan_driver(), start.elapsed()) {
                Some(reason) => Ok(Some(reason)),
                None => check(root).map(|()| None),
            },
        };
        match outcome.with_context(|| format!("the step {} failed; repeat it with `{}`", step.name, step.repeat))? {
            None => {
                n_passed += 1;
                println!("--- {} passed in {}", step.name, shown(step_start.elapsed()));
            }
            Some(reason) => {
                println!("--- {} skipped: {reason}", step.name);
                skipped.push(step.name);
            }
        }
    }
    let skipped =
        if skipped.is_empty() { "none skipped".to_owned() } else { format!("skipped {}", skipped.join(", ")) };
    println!("ci: {n_passed} of {} steps passed in {}, {skipped}", STEPS.len(), shown(start.elapsed()));
    Ok(())
}

/// The tests; without arguments the documentation examples as well, which cargo-nextest does not run.
pub(crate) fn test(root: &Path, arguments: &[String]) -> Result<()> {
    let has_nextest = Tool::new(root, "cargo nextest --version").succeeds();
    let runner = if has_nextest { "cargo nextest run" } else { "cargo test --lib --bins --tests" };
    let mut runner = Tool::new(root, runner);
    if !selects_packages(arguments) {
        runner = runner.arguments(&["--workspace".to_owned()]);
    }
    runner.arguments(arguments).run()?;
    if arguments.is_empty() {
        Tool::new(root, "cargo test --workspace --doc").run()?;
    }
    Ok(())
}

/// Whether arguments for cargo name packages; with `--workspace` beside them cargo would build all the others as well.
fn selects_packages(arguments: &[String]) -> bool {
    let mut own = arguments.iter().take_while(|&argument| argument != "--");
    own.any(|argument| argument.starts_with("-p") || argument.starts_with("--package"))
}

/// Where Vulkan drivers announce themselves on Linux.
const ICD_FOLDERS: [&str; 2] = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

/// Where the other steps took longer, the one on Vulkan would not end within 45 minutes: it takes two thirds of their time.
const VULKAN_STARTS_WITHIN: Duration = Duration::from_secs(26 * 60);

/// Why the step on Vulkan is left out, if it is.
fn reason_against_vulkan(has_driver: bool, elapsed: Duration) -> Option<String> {
    if !has_driver {
        return Some(format!("no Vulkan driver is listed in {}", ICD_FOLDERS.join(" or ")));
    }
    let limit = shown(VULKAN_STARTS_WITHIN);
    (elapsed > VULKAN_STARTS_WITHIN)
        .then(|| format!("the steps before took {}, and it only begins within {limit}", shown(elapsed)))
}

fn has_vulkan_driver() -> bool {
    std::env::var_os("VK_DRIVER_FILES").is_some() || ICD_FOLDERS.iter().any(|folder| lists_a_driver(Path::new(folder)))
}

fn lists_a_driver(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.path().extension().is_some_and(|extension| extension == "json"))
    })
}

fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_to_read() {
        for (milliseconds, expected) in
            [(40, "0.0 s"), (59_940, "59.9 s"), (60_000, "1 min 00 s"), (605_000, "10 min 05 s")]
        {
            assert_eq!(shown(Duration::from_millis(milliseconds)), expected);
        }
    }

    #[test]
    fn packages_are_selected_before_the_dashes_only() {
        let table: [(&[&str], bool); 6] = [
            (&[], false),
            (&["-p", "dqn-text"], true),
            (&["-pdqn-text"], true),
            (&["--package=dqn-text", "name"], true),
            (&["name", "--", "-p"], false),
            (&["--profile", "ci"], false),
        ];
        for (arguments, expected) in table {
            let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
            assert_eq!(selects_packages(&arguments), expected, "{arguments:?}");
        }
    }

    #[test]
    fn a_driver_is_a_json_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!lists_a_driver(folder.path()));
        assert!(!lists_a_driver(&folder.path().join("missing")));
        std::fs::write(folder.path().join("lvp_icd.x86_64.json"), "{}").unwrap();
        assert!(lists_a_driver(folder.path()));
    }

    #[test]
    fn vulkan_needs_a_driver_and_time() {
        let after =
            |has_driver: bool, minutes: u64| reason_against_vulkan(has_driver, Duration::from_secs(60 * minutes));
        assert_eq!(after(true, 20), None);
        assert!(after(false, 20).unwrap().contains("/usr/share/vulkan/icd.d"));
        assert!(after(true, 30).unwrap().contains("took 30 min 00 s"));
    }
    #[test]
    fn cheap_checks_come_before_those_that_compile() {
        let place = |name| STEPS.iter().position(|step| step.name == name).unwrap();
        let order =
            ["format", "tidy", "data", "clippy", "clippy without flex", "build", "test", "docs", "smoke", "wgpu smoke"]
                .map(place);
        assert!(order.is_sorted(), "{order:?}");
    }
}
