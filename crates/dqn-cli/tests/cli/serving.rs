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

#[test]
fn a_server_writes_what_the_command_line_writes() {
    let folder = tempfile::tempdir().unwrap();
    let model = model().display().to_string();
    let mut served = Command::new(executable());
    served.current_dir(folder.path());
    served.args(["serve", &model, "--bind", "127.0.0.1:0", "--name", "tiny"]).stderr(Stdio::piped());
    let mut serving = Serving(served.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(serving.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address =
        line.strip_prefix("http://").and_then(|rest| rest.split(' ').next()).unwrap_or_else(|| panic!("{line}"));

    let request = r#"{"model": "tiny", "prompt": "abc", "max_tokens": 12, "seed": 7, "temperature": 1}"#;
    let answer = post(address, "/v1/completions", request);
    let arguments = [
        "model",
        "generate",
        &model,
        "--prompt",
        "abc",
        "--n-tokens",
        "12",
        "--strategy",
        "boltzmann",
        "--seed",
        "7",
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
