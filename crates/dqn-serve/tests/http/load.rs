//! Many clients at once.

use std::time::{Duration, Instant};

use dqn_serve::ServerConfig;
use serde_json::json;

use crate::client::{start, start_plain, text};
use crate::fake::Fake;

#[test]
fn every_client_gets_its_own_text_and_they_are_written_together() {
    let mut engine = Fake::new();
    engine.step_time = Duration::from_millis(1);
    let server = start(ServerConfig::default(), engine);
    std::thread::scope(|scope| {
        for client in 0..32 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..3 {
                    // Of different lengths, so that they join and leave at different steps.
                    let expected = format!("client {client} in round {round}{}", " 你好".repeat(client % 5));
                    let asked = json!({"prompt": format!("{expected}~"), "max_tokens": 100, "stream": client % 2 == 0});
                    let answer = server.post("/v1/completions", &asked);
                    let found = match client % 2 {
                        0 => answer.parts().iter().map(|part| part["choices"][0]["text"].as_str().unwrap()).collect(),
                        _ => text(&answer),
                    };
                    assert_eq!(found, expected);
                }
            });
        }
    });
    server.wait_until(|log| log.n_live == 0);
    let log = server.log.lock().unwrap();
    assert_eq!(log.admitted.len(), 96);
    // Each text is one byte a step; 8 slots are full most of the time.
    let n_tokens: usize = log.batches.iter().sum();
    assert!(log.batches.iter().filter(|n| **n == 8).count() * 2 > log.batches.len(), "{:?}", log.batches);
    assert!(log.batches.len() * 4 < n_tokens, "{} steps for {n_tokens} tokens", log.batches.len());
    drop(log);
    assert_eq!(server.metric("dqn_generated_tokens_total"), n_tokens as f64);
    while server.metric("dqn_running_texts") > 0.0 {}
    assert_eq!(server.metric("dqn_first_token_seconds_count"), 96.0);
    assert_eq!(server.metric("dqn_requests_total{route=\"/v1/completions\",status=\"200\"}"), 96.0);
}

#[test]
fn a_text_joins_while_others_are_written() {
    let mut engine = Fake::new();
    engine.step_time = Duration::from_millis(5);
    let server = start(ServerConfig::default(), engine);
    std::thread::scope(|scope| {
        let long = scope.spawn(|| server.post("/v1/completions", &json!({"prompt": "long", "max_tokens": 100})));
        server.wait_until(|log| log.batches.len() >= 5);
        let begin = Instant::now();
        assert_eq!(text(&server.post("/v1/completions", &json!({"prompt": "short~"}))), "short");
        assert!(begin.elapsed() < Duration::from_millis(300) && !long.is_finished());
        assert_eq!(long.join().unwrap().status, 200);
    });
    let batches = server.log.lock().unwrap().batches.clone();
    assert_eq!(batches.len(), 100);
    assert_eq!(batches.iter().filter(|n| **n == 2).count(), "short~".len());
}

#[test]
fn one_connection_serves_many_requests() {
    let server = start_plain();
    let body = "{\"prompt\": \"x~\"}";
    let request = crate::client::post("/v1/completions", body);
    let kept = request.replace("Connection: close\r\n", "");
    let answer = server.open(&format!("{kept}{kept}{request}"));
    let text = std::io::read_to_string(answer).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3, "{text}");
    let ids: std::collections::BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("x-request-id: ")).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn the_page_runs_only_what_stands_in_it() {
    let server = start_plain();
    let page = server.get("/");
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = &page.headers["content-security-policy"];
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.body.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    assert!(!page.body.contains("{nonce}") && !page.body.contains(" style=\"") && !page.body.contains(" onclick"));
    assert!(!page.body.contains("http://") && !page.body.contains("https://"), "it names another place");
    assert_ne!(server.get("/").headers["content-security-policy"], *policy);
}
