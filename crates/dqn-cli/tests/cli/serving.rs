//! A pretrained model behind HTTP: what it writes is what the command line writes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::program::{BAD_REQUEST, DONE, dqn, executable};

/// A tiny model of random numbers.
fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dqn-model/tests/golden/pretrained/llama")
}

/// A server that ends with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The body of the answer to a request.
fn post(address: &str, path: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// A server of `served`, and its address.
fn serving(folder: &Path, served: &str, more: &[&str]) -> (Serving, String) {
    let mut command = Command::new(executable());
    command.current_dir(folder).args(["serve", served, "--bind", "127.0.0.1:0", "--name", "tiny"]).args(more);
    let mut serving = Serving(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(serving.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.strip_prefix("http://").and_then(|rest| rest.split(' ').next());
    let address = address.unwrap_or_else(|| panic!("{line}")).to_owned();
    (serving, address)
}

/// The text that a server writes, and the whole answer.
fn written(address: &str, more: &str) -> (String, Value) {
    let request =
        format!(r#"{{"prompt": "the cat", "max_tokens": 12, "seed": 3, "temperature": 1, "logprobs": 1{more}}}"#);
    let answer = post(address, "/v1/completions", &request);
    let text = answer["choices"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (text, answer)
}

#[test]
fn runs_are_served_with_what_they_have_learned() {
    let folder = tempfile::tempdir().unwrap();
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/smoke");
    let train = |name: &str, more: &[&str]| {
        let config = configs.join(format!("{name}.toml")).display().to_string();
        let arguments = ["train", "--config", &config, "--run-dir", name];
        dqn(folder.path(), &[&arguments[..], more].concat()).ends_with(DONE);
    };
    let (_model, model) = serving(folder.path(), &model().display().to_string(), &[]);
    let (plain, said) = written(&model, "");
    assert!(!plain.is_empty());
    assert!(said["choices"][0]["logprobs"]["advantages"].is_null(), "{said}");
    // Values on a frozen model weigh what it writes, whichever of its states they read, and without weight it is the model.
    for states in ["last", "all"] {
        let states = format!("network.torso.states=\"{states}\"");
        train("pretrained-ilql", &["--set", "network.head.init_deviation=1.0", "--set", &states]);
        let (_values, values) = serving(folder.path(), "pretrained-ilql", &[]);
        assert_eq!(written(&values, r#", "beta": 0"#).0, plain, "{states}");
        assert_ne!(written(&values, r#", "beta": 50"#).0, plain, "{states}");
        std::fs::remove_dir_all(folder.path().join("pretrained-ilql")).unwrap();
    }
    // Adapters have changed the model itself, and there is nothing to weigh.
    train(
        "pretrained-imitation",
        &["--set", "learner.optimizer={kind=\"adam\",learning_rate={kind=\"constant\",value=0.1}}"],
    );
    let (_adapted, adapted) = serving(folder.path(), "pretrained-imitation", &[]);
    assert_ne!(written(&adapted, "").0, plain);
    dqn(folder.path(), &["model", "export", "pretrained-imitation", "--output", "copy"]).ends_with(DONE);
    let (_copy, copy) = serving(folder.path(), "copy", &[]);
    assert_eq!(written(&adapted, "").0, written(&copy, "").0);
    let refused = post(&adapted, "/v1/completions", r#"{"prompt": "abc", "beta": 2}"#);
    assert!(refused["error"]["message"].as_str().unwrap().contains("beta"), "{refused}");
}

#[test]
fn a_server_writes_what_the_command_line_writes() {
    let folder = tempfile::tempdir().unwrap();
    let model = model().display().to_string();
    let (_serving, address) = serving(folder.path(), &model, &[]);
    let address = address.as_str();

    let request = r#"{"model": "tiny", "prompt": "the cat", "max_tokens": 12, "seed": 3, "temperature": 1}"#;
    let answer = post(address, "/v1/completions", request);
    let arguments = [
        "model",
        "generate",
        &model,
        "--prompt",
        "the cat",
        "--n-tokens",
        "12",
        "--strategy",
        "boltzmann",
        "--seed",
        "3",
        "--json",
    ];
    let written = dqn(folder.path(), &arguments).ends_with(DONE);
    let written: Value = serde_json::from_str(written.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(answer["choices"][0]["text"], written["text"], "{answer}");
    let other = post(address, "/v1/completions", &request.replace("tiny", "other"));
    assert!(other["error"]["message"].as_str().unwrap().contains("other"), "{other}");
}

#[test]
fn what_cannot_be_served_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = model().display().to_string();
    for (arguments, expected) in [
        (&["serve", &model, "--bind", "0.0.0.0:0"][..], "0.0.0.0:0 can be reached from other machines"),
        (&["serve", &model, "--bind", "127.0.0.1:0", "--beta", "2"], "--beta weighs values"),
        (&["serve", &model, "--bind", "127.0.0.1:0", "--checkpoint", "best"], "--checkpoint is for runs"),
        (&["serve", "nowhere"], "nowhere"),
        (&["serve", &model, "--token-file", "nowhere"], "nowhere"),
    ] {
        let refused = dqn(folder.path(), arguments).ends_with(BAD_REQUEST);
        assert!(refused.stderr.contains(expected), "{arguments:?}: {}", refused.stderr);
    }
}
