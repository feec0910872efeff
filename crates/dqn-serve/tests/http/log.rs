//! What is written to the log.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use dqn_serve::ServerConfig;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::client::start;
use crate::fake::Fake;

/// Keeps every event of every level as a line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut lines = self.0.lock().unwrap();
        event.record(&mut Line(&mut lines));
        lines.push('\n');
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn requests_are_logged_and_texts_only_on_demand() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let log = || lines.0.lock().unwrap().clone();
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
