//! `report` and `compare` on a small run.

use std::fs;

use serde_json::Value;

use crate::program::{DONE, copied_run, dqn, trained};

#[test]
fn a_report_shows_every_measure_of_a_run() {
    let (folder, run) = copied_run();
    let told = dqn(folder.path(), &["report", "run"]).ends_with(DONE);
    assert!(told.stdout.starts_with("run/report.html: 1 run, ") && told.stderr.is_empty(), "{}", told.stdout);
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let mut n_measures = 0;
    for line in metrics.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        for name in record["scalars"].as_object().unwrap().keys() {
            // Quantiles are drawn together.
            let ending = ["_p05", "_p25", "_p50", "_p75", "_p95"].iter().find_map(|ending| name.strip_suffix(ending));
            let name = ending.map_or_else(|| name.clone(), |base| format!("{base}_p…"));
            let series = format!("data-series=\"{}\"", name.replace('/', "&#x2f;"));
            assert!(page.contains(&series), "{series} is missing");
            n_measures += 1;
        }
    }
    assert!(n_measures > 20, "{metrics}");
    let report: Value = serde_json::from_str(&fs::read_to_string(run.join("eval/report.json")).unwrap()).unwrap();
    for row in report["report"]["rows"].as_array().unwrap() {
        let value = format!("{:.3} [", row["episode_return"]["mean"].as_f64().unwrap()).replace('-', "−");
        assert!(page.contains(&value), "{value} of {} is missing", row["policy"]);
    }
    // A report is made anew, and the run that it lies in goes on.
    dqn(folder.path(), &["report", "run"]).ends_with(DONE);
    dqn(folder.path(), &["train", "--resume", "run"]).ends_with(DONE);
}

#[test]
fn what_is_no_report_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let thesis = folder.path().join("thesis.html");
    fs::write(&thesis, "mine").unwrap();
    let thesis = thesis.to_str().unwrap();
    dqn(trained(), &["report", "runs/tiny-1", "--output", thesis])
        .must_be_refused(&["thesis.html exists and is no report"]);
    assert_eq!(fs::read_to_string(thesis).unwrap(), "mine");
}

#[test]
fn runs_that_cannot_be_reported_on_are_refused() {
    let (folder, run) = copied_run();
    dqn(folder.path(), &["report", "nowhere"]).must_be_refused(&["nowhere is not a run directory"]);
    dqn(folder.path(), &["report", "run", "run"]).must_be_refused(&["run and run are the same run"]);
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    fs::write(run.join("metrics.jsonl"), metrics.replacen("\n{", "\nx{", 1)).unwrap();
    for command in ["report", "compare"] {
        dqn(folder.path(), &[command, "run"]).must_be_refused(&["line 2 of run/metrics.jsonl is damaged"]);
    }
    assert!(!run.join("report.html").exists());
    fs::write(run.join("metrics.jsonl"), metrics).unwrap();
    fs::remove_file(run.join("eval/report.json")).unwrap();
    dqn(folder.path(), &["compare", "run"]).must_be_refused(&["run/eval/report.json does not exist", "--resume run"]);
}

#[test]
fn runs_are_compared_split_by_split() {
    let (folder, run) = copied_run();
    let original = trained().join("runs/tiny-1");
    let arguments = ["compare", "run", original.to_str().unwrap()];
    let table = dqn(folder.path(), &arguments).ends_with(DONE).stdout;
    for part in ["on test prompts", "| tiny, seed 1 (run) ", "Return over runs, on test prompts", "| tiny "] {
        assert!(table.contains(part), "{part:?} is missing in:\n{table}");
    }
    let told = dqn(folder.path(), &[&arguments[..], &["--json"]].concat()).ends_with(DONE).stdout;
    let splits: Vec<Value> = serde_json::from_str(&told).unwrap();
    let names: Vec<&str> = splits.iter().map(|split| split["split"].as_str().unwrap()).collect();
    assert_eq!(names, ["train", "validation", "test"]);
    let report: Value = serde_json::from_str(&fs::read_to_string(run.join("eval/report.json")).unwrap()).unwrap();
    let learned = &report["report"]["learned"][0];
    let rows = report["report"]["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["policy"] == *learned && row["split"] == "test").unwrap();
    assert_eq!(splits[2]["runs"][0]["evaluation"], *row);
    assert_eq!(splits[2]["means"][0]["episode_return"]["mean"], row["episode_return"]["mean"]);
}
