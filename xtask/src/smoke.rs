//! The real program on every file of configs/smoke.
//!
//! Unit tests cannot see that a config no longer trains; this runs `train`, `eval`, `generate` and `explain` as a user would.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use crate::process::{Built, Program, target_folder};
use crate::variants::SMOKE_FOLDER;

/// How far a loss may be from the other backend's, as a fraction of its size or of 1 where it is smaller.
const LOSS_TOLERANCE: f64 = 1e-3;
/// How many losses, from the first on, are compared: later ones drift apart with the rounding.
const N_COMPARED_LOSSES: usize = 20;

/// What to run.
#[derive(Args, Debug, Default)]
pub(crate) struct Options {
    /// The backend; without it the program chooses.
    #[arg(long)]
    pub(crate) backend: Option<String>,
    /// Train with this backend first and compare the first losses.
    #[arg(long, value_name = "BACKEND", requires = "backend")]
    pub(crate) against: Option<String>,
    /// Only these configs, by the names of their files without the end; all where none is named.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Use the dqn-cli that the last build left.
    #[arg(long, conflicts_with = "against")]
    pub(crate) no_build: bool,
}

/// One config's run.
struct Report {
    name: String,
    seconds: [Duration; 3],
    losses: Vec<f64>,
}

/// Runs all smoke configs and prints a table.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let configs = chosen(configs(&root.join(SMOKE_FOLDER))?, &options.only)?;
    let folder = target_folder(root)?.join("smoke");
    let expected = match &options.against {
        Some(other) => {
            let program = Program::prepare(root, Some(other), Built::Now)?;
            let losses: Vec<Vec<f64>> = configs
                .iter()
                .map(|config| Ok(train(&program, &folder, config, Some(other))?.1))
                .collect::<Result<_>>()?;
            Some(losses)
        }
        None => None,
    };
    let backend = options.backend.as_deref();
    let program = Program::prepare(root, backend, Built::from_flag(options.no_build))?;
    let mut reports = Vec::new();
    for (index, config) in configs.iter().enumerate() {
        let report = try_config(&program, &folder, config, backend)?;
        if let Some(expected) = &expected {
            compare(&expected[index], &report.losses)
                .with_context(|| format!("{} trains differently on another backend", report.name))?;
        }
        reports.push(report);
    }
    print!("{}", table(&reports));
    println!("{} rows of configs/tables are sound", crate::table::check_all(root, &program)?);
    Ok(())
}

/// The configs named in `only`, in their order; all where none is named.
fn chosen(configs: Vec<PathBuf>, only: &[String]) -> Result<Vec<PathBuf>> {
    if only.is_empty() {
        return Ok(configs);
    }
    let names: Vec<String> = configs.iter().map(|config| stem(config)).collect();
    if let Some(unknown) = only.iter().find(|&name| !names.contains(name)) {
        bail!("--only: there is no smoke config {unknown:?}; there are: {}", names.join(", "));
    }
    Ok(configs.into_iter().filter(|config| only.contains(&stem(config))).collect())
}

fn configs(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    ensure!(!paths.is_empty(), "{} holds no .toml file", folder.display());
    paths.sort();
    // Those that go by another run come after it.
    let mut sorted = Vec::new();
    for path in paths {
        sorted.push((!other_runs(&path, Path::new(""))?.is_empty(), path));
    }
    sorted.sort();
    Ok(sorted.into_iter().map(|(_, path)| path).collect())
}

fn try_config(program: &Program, folder: &Path, config: &Path, backend: Option<&str>) -> Result<Report> {
    let (run, losses, training) = {
        let start = Instant::now();
        let (run, losses) = train(program, folder, config, backend)?;
        (run, losses, start.elapsed())
    };
    let start = Instant::now();
    let evaluation = program.output(&["eval", &run, "--json"])?;
    check_json(&evaluation).with_context(|| format!("`dqn-cli eval {run} --json` does not print JSON"))?;
    let evaluating = start.elapsed();
    let start = Instant::now();
    let samples = program.output(&["generate", &run, "--n", "2", "--json"])?;
    check_json(&samples).with_context(|| format!("`dqn-cli generate {run} --json` does not print JSON"))?;
    let generating = start.elapsed();
    let explanation = program.output(&["explain", &run, "--format", "json"])?;
    check_json(&explanation).with_context(|| format!("`dqn-cli explain {run} --format json` does not print JSON"))?;
    Ok(Report { name: stem(config), seconds: [training, evaluating, generating], losses })
}

/// Trains from scratch; returns the run directory and the losses it logged.
fn train(program: &Program, folder: &Path, config: &Path, backend: Option<&str>) -> Result<(String, Vec<f64>)> {
    let run = folder.join(backend.unwrap_or("default")).join(stem(config));
    if run.exists() {
        std::fs::remove_dir_all(&run).with_context(|| format!("cannot remove {}", run.display()))?;
    }
    let parent = run.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let run = path_text(&run)?;
    let others = other_runs(config, parent)?;
    let mut arguments = vec!["train", "--config", path_text(config)?, "--run-dir", run];
    for assignment in &others {
        arguments.extend(["--set", assignment]);
    }
    if let Some(backend) = backend {
        arguments.extend(["--backend", backend]);
    }
    program.output(&arguments)?;
    let mut all = Vec::new();
    for metrics in metrics_of(Path::new(run))? {
        let text = std::fs::read_to_string(&metrics).with_context(|| format!("cannot read {}", metrics.display()))?;
        all.extend(losses(&text).with_context(|| format!("in {}", metrics.display()))?);
    }
    Ok((run.to_owned(), all))
}

/// The files of metrics of a run, or of the runs of its stages in their order.
fn metrics_of(run: &Path) -> Result<Vec<PathBuf>> {
    if !run.join("stages.json").is_file() {
        return Ok(vec![run.join("metrics.jsonl")]);
    }
    let mut stages = Vec::new();
    for entry in std::fs::read_dir(run).with_context(|| format!("cannot list {}", run.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", run.display()))?.path();
        let number = stem(&path).split_once('-').and_then(|(number, _)| number.parse::<u32>().ok());
        if let (Some(number), true) = (number, path.is_dir()) {
            stages.push((number, path.join("metrics.jsonl")));
        }
    }
    stages.sort();
    Ok(stages.into_iter().map(|(_, metrics)| metrics).collect())
}

/// Where a smoke config names another run, it names a smoke config; this is that one's run on the same backend.
fn other_runs(config: &Path, runs: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(config).with_context(|| format!("cannot read {}", config.display()))?;
    let table: toml::Table = text.parse().with_context(|| format!("cannot parse {}", config.display()))?;
    let named = |place: &[&str]| {
        let (first, rest) = place.split_first()?;
        rest.iter().try_fold(table.get(*first)?, |value, name| value.get(name))?.as_str()
    };
    let mut assignments = Vec::new();
    for place in [&["prior", "run"][..], &["training", "initial", "run"]] {
        if let Some(name) = named(place) {
            let run = std::path::absolute(runs.join(name)).context("the current folder cannot be found")?;
            assignments.push(format!("{}={:?}", place.join("."), path_text(&run)?));
        }
    }
    Ok(assignments)
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

fn stem(config: &Path) -> String {
    config.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Each line that is not empty must be JSON, or all lines together.
fn check_json(text: &str) -> Result<()> {
    ensure!(!text.trim().is_empty(), "nothing was printed");
    if serde_json::from_str::<Value>(text).is_ok() {
        return Ok(());
    }
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        serde_json::from_str::<Value>(line).with_context(|| format!("found {line:?}"))?;
    }
    Ok(())
}

/// The losses of a metrics file, in its order; every one must be a number, and there must be one.
fn losses(metrics: &str) -> Result<Vec<f64>> {
    let mut losses = Vec::new();
    for (index, line) in metrics.lines().enumerate() {
        let row: Value = serde_json::from_str(line).with_context(|| format!("line {} is not JSON", index + 1))?;
        collect_losses(&row, &mut losses).with_context(|| format!("line {}", index + 1))?;
    }
    ensure!(!losses.is_empty(), "no row has a field called `loss`");
    Ok(losses)
}

/// A field is a loss when its name ends in the word `loss`.
fn collect_losses(value: &Value, losses: &mut Vec<f64>) -> Result<()> {
    if let Value::Object(fields) = value {
        for (name, field) in fields {
            if name.rsplit(['/', '.', '_']).next() == Some("loss") {
                // A NaN or an infinity is written as null, or as a string.
                match field.as_f64().filter(|loss| loss.is_finite()) {
                    Some(loss) => losses.push(loss),
                    None => bail!("{name} is {field}; a finite number is expected"),
                }
            } else {
                collect_losses(field, losses)?;
            }
        }
    }
    Ok(())
}

fn compare(expected: &[f64], found: &[f64]) -> Result<()> {
    let n_compared = N_COMPARED_LOSSES.min(expected.len());
    ensure!(found.len() >= n_compared, "it logged {} losses; {n_compared} are to be compared", found.len());
    for (index, (expected, found)) in expected.iter().zip(found).take(n_compared).enumerate() {
        let difference = (expected - found).abs();
        ensure!(
            difference <= LOSS_TOLERANCE * expected.abs().max(1.0),
            "loss {} of {n_compared} is {found}; the other backend has {expected}",
            index + 1
        );
    }
    Ok(())
}

fn table(reports: &[Report]) -> String {
    let width = reports.iter().map(|report| report.name.len()).max().unwrap_or(0).max("config".len());
    let mut text = format!("{:width$}  train s  eval s  generate s  losses  last loss\n", "config");
    for Report { name, seconds: [train, eval, generate], losses } in reports {
        let last = losses.last().copied().unwrap_or_default();
        text += &format!(
            "{name:width$}  {:>7.1}  {:>6.1}  {:>10.1}  {:>6}  {last:>9.4}\n",
            train.as_secs_f64(),
            eval.as_secs_f64(),
            generate.as_secs_f64(),
            losses.len()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_read_wherever_they_stand() {
        let metrics = "{\"n_updates\":1,\"loss\":0.5,\"loss_scale\":null}\n{\"episode_return\":1}\n\
                       {\"train\":{\"td_loss\":0.25},\"val/loss\":1}\n";
        assert_eq!(losses(metrics).unwrap(), [0.5, 0.25, 1.0]);
    }

    #[test]
    fn a_loss_that_is_no_number_is_refused() {
        for (metrics, complaint) in [
            ("{\"loss\":null}\n", "loss is null"),
            ("{\"loss\":1}\n{\"loss\":\"NaN\"}\n", "line 2"),
            ("{\"reward\":1}\n", "no row"),
            ("", "no row"),
            ("{\"loss\":1", "not JSON"),
        ] {
            let fault = format!("{:#}", losses(metrics).unwrap_err());
            assert!(fault.contains(complaint), "{metrics:?}: {fault}");
        }
    }

    #[test]
    fn losses_are_compared_by_size() {
        compare(&[1.0, 2000.0], &[1.0009, 2001.0, 9.0]).unwrap();
        assert!(compare(&[1.0, 2.0], &[1.0, 2.01]).unwrap_err().to_string().contains("loss 2 of 2"));
        assert!(compare(&[1.0, 2.0], &[1.0]).unwrap_err().to_string().contains("1 losses"));
        // The twenty-first may differ.
        compare(&[[1.0; 20].as_slice(), &[1.0]].concat(), &[[1.0; 20].as_slice(), &[5.0]].concat()).unwrap();
    }

    #[test]
    fn configs_are_chosen_by_name() {
        let configs = || ["gru", "mlp", "rainbow"].map(|name| PathBuf::from(format!("{name}.toml"))).to_vec();
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
            chosen(configs(), &only).map(|configs| configs.iter().map(|config| stem(config)).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), 3);
        assert_eq!(names(&["rainbow", "gru"]).unwrap(), ["gru", "rainbow"]);
        assert!(names(&["lstm"]).unwrap_err().to_string().contains("gru, mlp, rainbow"));
    }

    #[test]
    fn json_is_one_value_or_one_a_line() {
        check_json("{\n \"a\": 1\n}\n").unwrap();
        check_json("{\"a\":1}\n\n{\"a\":2}\n").unwrap();
        assert!(check_json("text\n").is_err());
        assert!(check_json("\n").is_err());
    }

    #[test]
    fn the_table_has_a_row_for_each_config() {
        let report =
            Report { name: "gru".to_owned(), seconds: [Duration::from_millis(1250); 3], losses: vec![1.0, 0.5] };
        let text = table(&[report]);
        assert_eq!(
            text,
            "config  train s  eval s  generate s  losses  last loss\n\
             gru         1.2     1.2         1.2       2     0.5000\n"
        );
    }
}
