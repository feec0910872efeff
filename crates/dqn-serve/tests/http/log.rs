//! What is written to the log.

use std::io::Write;
use std::sync::{Arc, Mutex};

use dqn_serve::ServerConfig;
use serde_json::json;

use crate::client::start;
use crate::fake::Fake;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn requests_are_logged_and_texts_only_on_demand() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let log = || String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for is_streamed in [false, true] {
        let asked = json!({"prompt": "a diary~", "stream": is_streamed});
        let chat = json!({"messages": [{"role": "user", "content": "a diary~"}], "stream": is_streamed});
        let ask = |are_texts_logged: bool| {
            let server = start(ServerConfig { are_texts_logged, ..ServerConfig::default() }, Fake::new());
            let answer = server.post("/v1/completions", &asked);
            server.post("/v1/chat/completions", &chat);
            answer.headers["x-request-id"].clone()
        };
        lines.0.lock().unwrap().clear();
        let id = ask(false);
        assert!(log().contains(&format!("request_id=\"{id}\"")) && log().contains("completion_tokens=8"), "{}", log());
        assert!(!log().contains("diary"), "{}", log());
        ask(true);
        // Prompt and text of both.
        assert_eq!(log().matches("diary").count(), 4, "{}", log());
    }
}
