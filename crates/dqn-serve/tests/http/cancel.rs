//! Clients that go away, are slow, or close one side.

use std::io::Read;
use std::net::Shutdown;
use std::time::Duration;

use dqn_serve::{Limits, ServerConfig};
use serde_json::json;

use crate::client::{post, start, text, with_limits};
use crate::fake::Fake;

/// An engine whose texts take longer than a test waits, unless they are cancelled.
fn slow() -> Fake {
    taking(Duration::from_millis(5))
}

fn taking(step_time: Duration) -> Fake {
    let mut engine = Fake::new();
    engine.card.context_length = 1 << 20;
    engine.step_time = step_time;
    engine
}

fn endless(is_streamed: bool) -> String {
    post("/v1/completions", &json!({"prompt": "x", "max_tokens": 4096, "stream": is_streamed}).to_string())
}

#[test]
fn a_client_that_goes_away_frees_its_slot() {
    let server = start(ServerConfig::default(), slow());
    for (n_before, is_streamed) in [(0, false), (1, true)] {
        let stream = server.open(&endless(is_streamed));
        server.wait_until(|log| log.n_live == 1);
        drop(stream);
        server.wait_until(|log| log.n_live == 0);
        assert_eq!(server.log.lock().unwrap().admitted.len(), n_before + 1);
    }
    assert_eq!(server.metric("dqn_cancelled_texts_total"), 2.0);
}

#[test]
fn a_client_that_closes_its_side_is_gone() {
    let server = start(ServerConfig::default(), slow());
    for is_streamed in [false, true] {
        let mut stream = server.open(&endless(is_streamed));
        server.wait_until(|log| log.n_live == 1);
        stream.shutdown(Shutdown::Write).unwrap();
        server.wait_until(|log| log.n_live == 0);
        // The other side ends as well.
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

#[test]
fn who_waits_and_goes_away_is_never_begun() {
    let mut engine = slow();
    engine.card.n_slots = 1;
    let server = start(ServerConfig::default(), engine);
    let first = server.open(&endless(true));
    server.wait_until(|log| log.n_live == 1);
    let second = server.open(&endless(false).replace("\"x\"", "\"y\""));
    while server.metric("dqn_waiting_texts") < 1.0 {}
    drop(second);
    while server.metric("dqn_waiting_texts") > 0.0 {}
    drop(first);
    server.wait_until(|log| log.n_live == 0);
    assert_eq!(server.log.lock().unwrap().admitted, ["x"]);
}

#[test]
fn a_slow_reader_keeps_nobody_waiting() {
    let engine = taking(Duration::ZERO);
    let limits = Limits { max_tokens: 200_000, ..Limits::default() };
    let server = start(with_limits(limits), engine);
    let asked = json!({"prompt": "0123456789", "max_tokens": 100_000, "stream": true, "logprobs": 2});
    // It reads nothing for now: what is written for it waits, which is no more than its tokens.
    let mut stream = server.open(&post("/v1/completions", &asked.to_string()));
    server.wait_until(|log| log.n_live == 1);
    let others: Vec<String> =
        (0..5).map(|_| text(&server.post("/v1/completions", &json!({"prompt": "quick~"})))).collect();
    assert_eq!(others, vec!["quick"; 5]);
    server.wait_until(|log| log.batches.len() >= 100_000 && log.n_live == 0);
    // It has lost nothing by being slow.
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let body = String::from_utf8(bytes).unwrap();
    assert_eq!(body.matches("\"text\":\"7\"").count(), 10_000);
    assert!(body.contains("data: [DONE]"));
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    // Sockets are full after some ten thousand tokens, a second or two; all of them would take most of a minute.
    let engine = taking(Duration::from_micros(20));
    let limits = Limits { max_tokens: 1 << 19, write_time: Duration::from_millis(300), ..Limits::default() };
    let server = start(with_limits(limits), engine);
    let asked = json!({"prompt": "0123456789", "max_tokens": 1 << 19, "stream": true, "logprobs": 2});
    let _stream = server.open(&post("/v1/completions", &asked.to_string()));
    server.wait_until(|log| log.n_live == 1);
    server.wait_until(|log| log.n_live == 0);
    let n_steps = server.log.lock().unwrap().batches.len();
    assert!(n_steps < 1 << 19, "it was written to its end");
    // One connection is that of the question itself.
    while server.metric("dqn_connections") > 1.0 {}
}

#[test]
fn what_is_read_slowly_is_not_kept_for_ever() {
    let engine = taking(Duration::ZERO);
    let limits = Limits { max_tokens: 1 << 19, request_time: Duration::from_millis(400), ..Limits::default() };
    let server = start(with_limits(limits), engine);
    // Far more than sockets hold, however large they are here.
    let asked = json!({"prompt": "0123456789", "max_tokens": 400_000, "stream": true, "logprobs": 2});
    let stream = server.open(&post("/v1/completions", &asked.to_string()));
    std::thread::sleep(Duration::from_millis(800));
    let body = std::io::read_to_string(stream).unwrap();
    assert!(body.contains("\"code\":\"timeout\"") && !body.contains("\"finish_reason\":\"length\""));
    assert!(body.contains("data: [DONE]"));
}
