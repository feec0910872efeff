//! A server to ask, and a client that can behave badly.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dqn_serve::{Limits, ServeError, Server, ServerConfig, ShutdownHandle};
use serde_json::Value;

use crate::fake::{Fake, Log};

/// Nothing in these tests takes as long where all is well.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A server that runs, and ends when it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) handle: ShutdownHandle,
    pub(crate) log: Arc<Mutex<Log>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Running {
    /// Waits for the end of the server.
    pub(crate) fn end(mut self) -> Result<(), ServeError> {
        self.thread.take().unwrap().join().unwrap()
    }

    pub(crate) fn n_live(&self) -> usize {
        self.log.lock().unwrap().n_live
    }

    /// Waits until something holds.
    pub(crate) fn wait_until(&self, what: impl Fn(&Log) -> bool) {
        let begin = Instant::now();
        while !what(&self.log.lock().unwrap()) {
            assert!(begin.elapsed() < LONG, "it never came about: {:?}", self.log.lock().unwrap());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, &body.to_string())
    }

    pub(crate) fn post_text(&self, path: &str, body: &str) -> Answer {
        self.send(&post(path, body))
    }

    /// Sends a request as it is and reads to the end.
    pub(crate) fn send(&self, request: &str) -> Answer {
        let mut stream = self.open(request);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::read(&bytes)
    }

    /// Sends a request as it is.
    pub(crate) fn open(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The value of a metric without labels, or with those in its name.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shut_down();
        self.handle.shut_down();
        if let Some(thread) = self.thread.take() {
            // A failed test must not fail again here.
            let _ = thread.join();
        }
    }
}

/// Starts a server at a free port.
pub(crate) fn start(mut config: ServerConfig, engine: Fake) -> Running {
    config.bind = SocketAddr::from(([127, 0, 0, 1], 0));
    let log = Arc::clone(&engine.log);
    let server = Server::bind(config, engine).unwrap();
    let (address, handle) = (server.local_addr(), server.shutdown_handle());
    let thread = Some(std::thread::spawn(|| server.run_blocking()));
    Running { address, handle, log, thread }
}

/// A server with the settings that hold without others.
pub(crate) fn start_plain() -> Running {
    start(ServerConfig::default(), Fake::new())
}

pub(crate) fn with_limits(limits: Limits) -> ServerConfig {
    ServerConfig { limits, ..ServerConfig::default() }
}

/// A request with a JSON body.
pub(crate) fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n").unwrap_or_else(|| {
            panic!("this is no answer: {:?}", String::from_utf8_lossy(bytes));
        });
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let rest = &bytes[end + 4..];
        let is_chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
        let body = if is_chunked { without_chunks(rest) } else { rest.to_vec() };
        Self { status, headers, body: String::from_utf8(body).unwrap() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The data of server-sent events.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
    }

    /// The events as JSON, all but the last, which must say that the stream is done.
    pub(crate) fn parts(&self) -> Vec<Value> {
        assert_eq!((self.status, self.headers["content-type"].as_str()), (200, "text/event-stream"), "{}", self.body);
        let mut events = self.events();
        assert_eq!(events.pop(), Some("[DONE]"), "{}", self.body);
        events.into_iter().map(|event| serde_json::from_str(event).unwrap()).collect()
    }

    /// Status, param and code of an error.
    pub(crate) fn error(&self) -> (u16, Option<String>, Option<String>) {
        let error = &self.json()["error"];
        assert!(error["message"].is_string() && error["type"].is_string(), "{}", self.body);
        let word = |name: &str| error[name].as_str().map(str::to_owned);
        (self.status, word("param"), word("code"))
    }
}

fn without_chunks(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|part| part == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            break;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 4 + length..];
    }
    body
}

/// The text of one choice of a completion.
pub(crate) fn text(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["choices"][0]["text"].as_str().unwrap().to_owned()
}
