//! The settings of a server.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use subtle::ConstantTimeEq;

use crate::engine::ModelCard;
use crate::error::ServeError;

/// A bearer token. It is never shown, and compared in a time that does not tell how much of a guess is right.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The token of this text.
    ///
    /// # Errors
    /// Where it is empty or has characters that no header can hold.
    pub fn new(text: impl Into<String>) -> Result<Self, ServeError> {
        let text = text.into();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let found = format!("{} characters", text.chars().count());
            let allowed = "visible ASCII characters, at least one".to_owned();
            return Err(ServeError::Setting { name: "token", found, allowed });
        }
        Ok(Self(text))
    }

    pub(crate) fn is(&self, guess: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(guess).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(hidden)")
    }
}

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen; port 0 takes a free one. 127.0.0.1:8080.
    pub bind: SocketAddr,
    /// What `Authorization: Bearer` must bring, for everything but the page and `/healthz`. None.
    pub token: Option<Token>,
    /// Listen at an address that other machines can reach though no token is asked for. False.
    pub is_public_allowed: bool,
    /// Names that the Host header may have beside those of this machine, where no token is asked for and the address is
    /// one of this machine only: without this rule a web page could reach the server through a name of its own
    /// (DNS rebinding). None.
    pub allowed_hosts: Vec<String>,
    /// Origins whose web pages may ask, such as `https://example.org`. None.
    pub cors_origins: Vec<String>,
    /// Write prompts and answers to the log, at level debug. False.
    pub are_texts_logged: bool,
    /// What a request may ask for.
    pub limits: Limits,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            token: None,
            is_public_allowed: false,
            allowed_hosts: Vec::new(),
            cors_origins: Vec::new(),
            are_texts_logged: false,
            limits: Limits::default(),
        }
    }
}

/// What a request may ask for, and how long things may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body of a request, in bytes. 1 MiB.
    pub body_bytes: usize,
    /// Most tokens of a prompt; the context of the model is a limit as well. No other.
    pub prompt_tokens: Option<usize>,
    /// Most tokens that a text may have after its prompt. 4096.
    pub max_tokens: usize,
    /// Most texts of one request, prompts times `n`. 16.
    pub texts_per_request: usize,
    /// Most texts that are written at a time; the engine's number of slots is a limit as well. 32.
    pub running_texts: usize,
    /// Most texts that wait for a slot; a request that would make them more is refused with status 429. 256.
    pub waiting_texts: usize,
    /// Prompts are read until together they have this many tokens, then the running texts go on by one token. 2048.
    pub prompt_tokens_per_step: usize,
    /// Most connections at a time; further ones wait to be accepted. 1024.
    pub connections: usize,
    /// How long a request may take from its head to its end. 300 s.
    pub request_time: Duration,
    /// How long a client may take to send the head of a request, and then again its body. 10 s.
    pub read_time: Duration,
    /// How long a client may take nothing of what is sent to it. 30 s.
    pub write_time: Duration,
    /// How long running requests may go on after a shutdown has begun. 30 s.
    pub shutdown_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            prompt_tokens: None,
            max_tokens: 4096,
            texts_per_request: 16,
            running_texts: 32,
            waiting_texts: 256,
            prompt_tokens_per_step: 2048,
            connections: 1024,
            request_time: Duration::from_secs(300),
            read_time: Duration::from_secs(10),
            write_time: Duration::from_secs(30),
            shutdown_time: Duration::from_secs(30),
        }
    }
}

impl ServerConfig {
    /// What makes no sense, or is not safe.
    pub(crate) fn check(&self, card: &ModelCard) -> Result<(), ServeError> {
        if !self.is_local() && self.token.is_none() && !self.is_public_allowed {
            return Err(ServeError::PublicWithoutToken { address: self.bind });
        }
        let limits = &self.limits;
        let counts = [
            ("limits.body_bytes", limits.body_bytes),
            ("limits.prompt_tokens", limits.prompt_tokens.unwrap_or(1)),
            ("limits.max_tokens", limits.max_tokens),
            ("limits.texts_per_request", limits.texts_per_request),
            ("limits.running_texts", limits.running_texts),
            ("limits.prompt_tokens_per_step", limits.prompt_tokens_per_step),
            ("limits.connections", limits.connections),
            ("the engine's n_slots", card.n_slots),
            ("the engine's context_length", card.context_length.saturating_sub(1)),
        ];
        if let Some((name, found)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(setting(name, found.to_string(), "at least 1 (a context at least 2)"));
        }
        let times = [
            ("limits.request_time", limits.request_time),
            ("limits.read_time", limits.read_time),
            ("limits.write_time", limits.write_time),
        ];
        // A deadline further away than this could not be told as a point in time.
        let longest = Duration::from_secs(30 * 24 * 3600);
        for (name, found) in times.into_iter().chain([("limits.shutdown_time", limits.shutdown_time)]) {
            if found > longest || (found.is_zero() && name != "limits.shutdown_time") {
                return Err(setting(name, format!("{found:?}"), "above 0 and at most 30 days"));
            }
        }
        let is_name = |host: &&String| !host.is_empty() && !host.contains([':', '/', ' ']);
        if let Some(host) = self.allowed_hosts.iter().find(|host| !is_name(host)) {
            return Err(setting("allowed_hosts", format!("{host:?}"), "names without scheme and port"));
        }
        if let Some(origin) = self.cors_origins.iter().find(|origin| !is_origin(origin)) {
            let allowed = "origins as browsers name them, such as https://example.org or http://localhost:3000";
            return Err(setting("cors_origins", format!("{origin:?}"), allowed));
        }
        let room = limits.running_texts.min(card.n_slots).saturating_add(limits.waiting_texts);
        if limits.texts_per_request > room {
            let allowed = format!("at most {room}, the texts that may run and wait");
            return Err(setting("limits.texts_per_request", limits.texts_per_request.to_string(), &allowed));
        }
        Ok(())
    }

    /// Whether only this machine can reach the server.
    pub(crate) fn is_local(&self) -> bool {
        self.bind.ip().to_canonical().is_loopback()
    }
}

/// Whether this is what a browser sends as Origin: a scheme and a host, without a path.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/*,".contains(&byte))
    })
}

fn setting(name: &'static str, found: String, allowed: &str) -> ServeError {
    ServeError::Setting { name, found, allowed: allowed.to_owned() }
}
