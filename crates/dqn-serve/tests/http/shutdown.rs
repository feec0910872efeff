//! The end of a server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use dqn_serve::{Limits, ServerConfig};
use serde_json::json;

use crate::client::{post, start, with_limits};
use crate::fake::Fake;

fn slow() -> Fake {
    let mut engine = Fake::new();
    engine.card.context_length = 1 << 20;
    engine.step_time = Duration::from_millis(5);
    engine
}

fn read(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn what_runs_is_finished_and_nothing_new_is_taken() {
    let server = start(ServerConfig::default(), slow());
    let asked = json!({"prompt": "abc", "max_tokens": 60, "stream": true});
    let running = server.open(&post("/v1/completions", &asked.to_string()));
    // Its body is not there yet when the end begins.
    let request = post("/v1/completions", &json!({"prompt": "late"}).to_string());
    let (most, rest) = request.split_at(request.len() - 1);
    let mut late = server.open(most);
    // Connections that wait for a request hold nothing up.
    let (_silent, mut idle) = (server.open(""), server.open("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert!(idle.read(&mut [0; 1000]).unwrap() > 0);
    server.wait_until(|log| log.batches.len() > 3);
    server.handle.shut_down();
    while TcpStream::connect(server.address).is_ok() {
        std::thread::sleep(Duration::from_millis(1));
    }
    late.write_all(rest.as_bytes()).unwrap();
    let refused = read(late);
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("shutting_down"), "{refused}");
    assert!(refused.to_lowercase().contains("retry-after: "), "{refused}");
    let text = read(running);
    assert!(text.contains("\"finish_reason\":\"length\"") && text.contains("data: [DONE]"), "{text}");
    let begin = Instant::now();
    server.end().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[test]
fn what_does_not_end_in_time_is_given_up_and_told() {
    let limits = Limits { shutdown_time: Duration::from_millis(200), ..Limits::default() };
    let server = start(with_limits(limits), slow());
    let streamed =
        server.open(&post("/v1/completions", &json!({"prompt": "x", "max_tokens": 4096, "stream": true}).to_string()));
    let whole = server.open(&post("/v1/completions", &json!({"prompt": "x", "max_tokens": 4096}).to_string()));
    server.wait_until(|log| log.n_live == 2);
    let begin = Instant::now();
    server.handle.shut_down();
    let text = read(streamed);
    assert!(text.contains("shutting_down") && text.contains("data: [DONE]"), "{text}");
    assert!(read(whole).starts_with("HTTP/1.1 503"));
    server.end().unwrap();
    assert!((Duration::from_millis(200)..Duration::from_secs(10)).contains(&begin.elapsed()));
}

#[test]
fn a_second_word_ends_it_at_once() {
    let server = start(ServerConfig::default(), slow());
    let stream = server.open(&post("/v1/completions", &json!({"prompt": "x", "max_tokens": 4096}).to_string()));
    server.wait_until(|log| log.n_live == 1);
    let begin = Instant::now();
    server.handle.shut_down();
    server.handle.shut_down();
    assert!(read(stream).starts_with("HTTP/1.1 503"));
    server.end().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_future_ends_it_too() {
    let config = ServerConfig { bind: "127.0.0.1:0".parse().unwrap(), ..ServerConfig::default() };
    let server = dqn_serve::Server::bind(config, Fake::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(server.run(async { tokio::time::sleep(Duration::from_millis(20)).await })).unwrap();
}
