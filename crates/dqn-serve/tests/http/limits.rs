//! What a request may ask for, and how long it may take.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use dqn_serve::{Limits, ServerConfig};
use serde_json::json;

use crate::client::{post, start, start_plain, with_limits};
use crate::fake::Fake;

#[test]
fn texts_must_fit_the_context() {
    let server = start_plain();
    // The context has 512 tokens, one of which begins the text.
    let asked = |n_bytes: usize, n_tokens: usize| {
        server.post("/v1/completions", &json!({"prompt": "x".repeat(n_bytes), "max_tokens": n_tokens}))
    };
    assert_eq!(asked(411, 100).status, 200);
    let (status, param, code) = asked(412, 100).error();
    let expected = (400, Some("max_tokens"), Some("context_length_exceeded"));
    assert_eq!((status, param.as_deref(), code.as_deref()), expected);
    assert_eq!(asked(600, 1).status, 400);
    // A number of tokens that nobody asked for is lowered to what there is room for.
    let found = server.post("/v1/completions", &json!({"prompt": "x".repeat(501)})).json();
    assert_eq!(found["usage"]["completion_tokens"], json!(10));
}

#[test]
fn limits_of_the_server_hold() {
    let limits = Limits {
        prompt_tokens: Some(10),
        max_tokens: 20,
        texts_per_request: 3,
        body_bytes: 2_000,
        ..Limits::default()
    };
    let server = start(with_limits(limits), Fake::new());
    let code = |asked: serde_json::Value| {
        let (status, param, code) = server.post("/v1/completions", &asked).error();
        (status, param.unwrap_or_default(), code.unwrap_or_default())
    };
    let named = |status: u16, param: &str, code: &str| (status, param.to_owned(), code.to_owned());
    assert_eq!(code(json!({"prompt": "x".repeat(10)})), named(400, "prompt", "prompt_too_long"));
    assert_eq!(code(json!({"prompt": "x", "max_tokens": 21})), named(400, "max_tokens", ""));
    assert_eq!(code(json!({"prompt": ["x", "y"], "n": 2})), named(400, "n", ""));
    assert_eq!(code(json!({"prompt": "x", "user": "u".repeat(2_000)})), named(413, "", "body_too_large"));
    // Far too much is not even read, and a body of no known length is counted as it comes.
    let head = post("/v1/completions", "").replace("Content-Length: 0", "Content-Length: 1000000000");
    assert_eq!(server.send(&head).status, 413);
    let head = post("/v1/completions", "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let chunk = format!("{head}{:x}\r\n{}\r\n0\r\n\r\n", 5_000, "x".repeat(5_000));
    assert_eq!(server.send(&chunk).status, 413);
    // One that never ends is given up, long before its time is over.
    let begin = Instant::now();
    assert_eq!(server.send(&format!("{head}{:x}\r\n{}", 50_000, "x".repeat(40_000))).status, 413);
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(server.post("/v1/completions", &json!({"prompt": "x~", "max_tokens": 20})).status, 200);
}

#[test]
fn a_full_line_is_told_and_when_to_come_again() {
    let mut engine = Fake::new();
    engine.card.n_slots = 2;
    engine.card.context_length = 1 << 20;
    engine.step_time = Duration::from_millis(5);
    let limits = Limits { waiting_texts: 2, texts_per_request: 4, ..Limits::default() };
    let server = start(with_limits(limits), engine);
    let endless = post("/v1/completions", &json!({"prompt": "x", "max_tokens": 4096, "n": 2}).to_string());
    let running = server.open(&endless);
    server.wait_until(|log| log.n_live == 2);
    let _waiting = server.open(&endless);
    while server.metric("dqn_waiting_texts") < 2.0 {}
    let full = server.post("/v1/completions", &json!({"prompt": "x"}));
    let (status, _, code) = full.error();
    assert_eq!((status, code.as_deref()), (429, Some("queue_full")));
    assert_eq!(full.json()["error"]["type"], "rate_limit_error");
    let seconds: u64 = full.headers["retry-after"].parse().unwrap();
    assert!((1..=60).contains(&seconds));
    drop(running);
    server.wait_until(|log| log.admitted.len() == 4);
    let asked = post("/v1/completions", &json!({"prompt": "x", "max_tokens": 4096}).to_string());
    let _again = server.open(&asked);
    while server.metric("dqn_waiting_texts") < 1.0 {}
}

#[test]
fn requests_have_their_time() {
    let mut engine = Fake::new();
    engine.card.context_length = 1 << 20;
    engine.step_time = Duration::from_millis(5);
    let limits = Limits { request_time: Duration::from_millis(200), ..Limits::default() };
    let server = start(with_limits(limits), engine);
    let late = server.post("/v1/completions", &json!({"prompt": "x", "max_tokens": 4096}));
    assert_eq!(late.headers["x-should-retry"], "false");
    let (status, _, code) = late.error();
    assert_eq!((status, code.as_deref()), (504, Some("timeout")));
    let parts = server.post("/v1/completions", &json!({"prompt": "x", "max_tokens": 4096, "stream": true})).parts();
    assert_eq!(parts.last().unwrap()["error"]["code"], "timeout");
    assert!(parts.len() > 5, "{parts:?}");
    server.wait_until(|log| log.n_live == 0);
    assert_eq!(server.metric("dqn_out_of_time_requests_total"), 2.0);
}

#[test]
fn who_sends_slowly_is_not_waited_for() {
    let limits = Limits { read_time: Duration::from_millis(200), ..Limits::default() };
    let server = start(with_limits(limits), Fake::new());
    let begin = Instant::now();
    let mut half_a_head = server.open("GET / HTTP/1.1\r\nHost: lo");
    assert_eq!(half_a_head.read_to_end(&mut Vec::new()).unwrap_or(0), 0);
    let request = post("/v1/completions", "{\"prompt\": \"x~\"}");
    let (most, rest) = request.split_at(request.len() - 1);
    let mut half_a_body = server.open(most);
    let mut answer = String::new();
    half_a_body.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(5));
    // Who is a little slow is waited for.
    let mut stream = server.open(most);
    std::thread::sleep(Duration::from_millis(50));
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn connections_are_limited_and_the_rest_waits() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let server = start(with_limits(limits), Fake::new());
    let (first, second) = (server.open("GET /"), server.open("GET /"));
    std::thread::scope(|scope| {
        let third = scope.spawn(|| server.get("/healthz").status);
        std::thread::sleep(Duration::from_millis(100));
        assert!(!third.is_finished());
        drop((first, second));
        assert_eq!(third.join().unwrap(), 200);
    });
}

#[test]
fn long_prompts_take_turns_with_steps() {
    let mut engine = Fake::new();
    engine.step_time = Duration::from_millis(2);
    let limits = Limits { prompt_tokens_per_step: 100, ..Limits::default() };
    let server = start(with_limits(limits), engine);
    // Eight prompts of 81 tokens: two pass the limit, and then the running texts go on by a token.
    let asked = json!({"prompt": "x".repeat(80), "n": 8, "max_tokens": 16});
    assert_eq!(server.post("/v1/completions", &asked).status, 200);
    assert_eq!(server.log.lock().unwrap().batches[..4], [2, 4, 6, 8]);
}

#[test]
fn a_request_for_many_texts_lets_others_pass() {
    let mut engine = Fake::new();
    engine.card.n_slots = 1;
    engine.step_time = Duration::from_millis(5);
    let server = start(ServerConfig::default(), engine);
    std::thread::scope(|scope| {
        let many = scope.spawn(|| server.post("/v1/completions", &json!({"prompt": "many", "n": 6, "max_tokens": 20})));
        server.wait_until(|log| log.n_live == 1);
        let one = server.post("/v1/completions", &json!({"prompt": "one~"}));
        assert_eq!((one.status, many.join().unwrap().status), (200, 200));
    });
    let admitted = server.log.lock().unwrap().admitted.clone();
    let place = admitted.iter().position(|prompt| prompt == "one~").unwrap();
    assert!(place <= 3, "{admitted:?}");
}
