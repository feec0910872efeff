//! `explain` on a small run.

use std::fs;

use serde_json::Value;

use crate::program::{DONE, command, copied_run, dqn, ran, trained};

const RUN: &str = "runs/tiny-1";

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn json_has_the_documented_shape() {
    let ran = dqn(trained(), &["explain", RUN, "--text", "春风明", "--top", "2", "--format", "json"]).ends_with(DONE);
    assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (1, ""));
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        keys(&told),
        [
            "advantage_over",
            "format",
            "method",
            "policy",
            "prior",
            "reward_scale",
            "separator",
            "steps",
            "temperature",
            "tokens",
            "updates"
        ]
    );
    assert_eq!((&told["format"], &told["updates"]), (&1.into(), &20.into()));
    assert_eq!((&told["advantage_over"], &told["prior"]), (&"state_value".into(), &"prior".into()));
    assert_eq!(told["method"], serde_json::json!({ "occlusion": "vocabulary" }));
    // <bos>, the prompt, two characters and <eos>, which a text shorter than the limit ends with.
    let texts: Vec<&str> =
        told["tokens"].as_array().unwrap().iter().map(|token| token["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["<bos>", "春", "风", "明", "<eos>"]);
    let steps = told["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3);
    for step in steps {
        let expected = ["margin", "masked", "max_q", "n_allowed", "place", "saliency", "state_value", "taken", "top"];
        assert_eq!(keys(step), expected);
        assert_eq!(step["top"].as_array().unwrap().len(), 2);
        let expected =
            ["action", "advantage", "allowed", "preference", "prior_probability", "probability", "q", "rank", "text"];
        assert_eq!(keys(&step["taken"]), expected);
    }
    assert_eq!(steps[2]["saliency"].as_array().unwrap().len(), 4);
}

#[test]
fn a_run_is_explained_in_text_and_as_a_page() {
    let own = dqn(trained(), &["explain", RUN]).ends_with(DONE).stdout;
    for part in ["DQN sampled at temperature 0.1000; after 20 updates", "\nstep 0: ", "depends on ", "prior 0."] {
        assert!(own.contains(part), "{part:?} is missing in:\n{own}");
    }
    assert!(!own.contains('\u{1b}'), "{own}");
    let mut coloured = command(trained());
    coloured.args(["explain", RUN, "--text", "春风明", "--prompt", "春风"]).env("CLICOLOR_FORCE", "1");
    let coloured = ran(coloured.output().unwrap()).ends_with(DONE).stdout;
    assert!(coloured.contains("\u{1b}[97;48;5;") && coloured.contains("step 1") && !coloured.contains("step 2"));

    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let arguments = ["explain", RUN, "--method", "gradient", "--format", "html", "--output", page.to_str().unwrap()];
    let written = dqn(trained(), &arguments).ends_with(DONE);
    assert_eq!(written.stdout, "");
    assert!(written.stderr.contains("steps explained in"), "{}", written.stderr);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
}

#[test]
fn what_cannot_be_explained_is_refused_with_the_reason() {
    for (arguments, parts) in [
        (&["--text", "春xy"][..], &["the text holds \"x\", \"y\"", "vocabulary"][..]),
        (&["--text", "春风明月花江水"], &["7 tokens", "at most 6"]),
        (&["--text", ""], &["its prompt alone has 1"]),
        (&["--text", "春风", "--prompt", "月"], &["does not begin with the prompt \"月\""]),
        (&["--text", "春风", "--prompt", "x"], &["the prompt \"x\" holds \"x\""]),
        (&["--prompt", "春风明月花江"], &["6 tokens"]),
        (&["--method", "attention"], &["only Transformers attend"]),
        (&["--method", "gradient", "--replacement", "unk"], &["--replacement is for --method occlusion"]),
        (&["--checkpoint", "7"], &["there is no checkpoint"]),
    ] {
        dqn(trained(), &[&["explain", RUN], arguments].concat()).must_be_refused(parts);
    }
    dqn(trained(), &["explain", "nowhere"]).must_be_refused(&["nowhere", "is not a run directory"]);
    let (folder, run) = copied_run();
    for entry in fs::read_dir(run.join("checkpoints")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    dqn(folder.path(), &["explain", "run"]).must_be_refused(&["there is no checkpoint"]);
}
