//! A scorer that is a server: the request is the body of a POST, the answer the body of its response.

use std::thread;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ureq::Agent;
use ureq::http::Uri;

use super::Failure;
use super::fault::ScorerFault;
use super::protocol::{MAX_ANSWER_BYTES, ScoredText, request, scores, shown};

/// Settings of a scorer that is a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Where requests are posted, for example `http://127.0.0.1:8000/score`.
    pub url: String,
    /// How often a request is sent again when the server cannot be reached or answers with a status from 500 on, after
    /// .25 seconds, then .5, and so on up to 8. Default 3.
    #[serde(default = "default_retries")]
    pub retries: u32,
}

fn default_retries() -> u32 {
    3
}

/// The first pause before a request is sent again, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(8)];

/// Whether `url` can be asked, and what it must be where it cannot.
pub(super) fn is_url(url: &str) -> (bool, &'static str) {
    let scheme = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some()).and_then(|uri| uri.scheme().cloned());
    match scheme.as_ref().map(|scheme| scheme.as_str()) {
        Some("http") => (true, ""),
        Some("https") if cfg!(feature = "https") => (true, ""),
        _ if cfg!(feature = "https") => (false, "an address such as http://127.0.0.1:8000/score, or with https"),
        _ => (false, "an address such as http://127.0.0.1:8000/score; https needs a program built with that feature"),
    }
}

/// A server that is asked, and asked again where that helps.
pub(super) struct HttpScorer {
    config: HttpConfig,
    timeout: Duration,
    agent: Agent,
    next_id: u64,
}

impl HttpScorer {
    /// A scorer that is asked over connections which are kept.
    pub(super) fn new(config: HttpConfig, timeout: Duration) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            // The address in the settings is the one that is asked, whatever the environment says.
            .proxy(None)
            .build()
            .new_agent();
        Self { config, timeout, agent, next_id: 0 }
    }

    /// The server in words.
    pub(super) fn name(&self) -> String {
        format!("the scorer at {}", self.config.url)
    }

    /// The scores of `texts`, in their order.
    ///
    /// # Errors
    /// What went wrong last.
    pub(super) fn scores(&mut self, texts: &[ScoredText]) -> Result<Vec<f64>, Failure> {
        let id = self.next_id;
        self.next_id += 1;
        let body = request(id, texts);
        let mut pause = PAUSES[0];
        for _ in 0..self.config.retries {
            match self.post(&body) {
                Err(ScorerFault::Connection(_) | ScorerFault::Status { status: 500.., .. }) => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(PAUSES[1]);
                }
                answer => return Self::read(answer, id, texts.len()),
            }
        }
        Self::read(self.post(&body), id, texts.len())
    }

    fn read(answer: Result<Vec<u8>, ScorerFault>, id: u64, n_texts: usize) -> Result<Vec<f64>, Failure> {
        let given = answer.and_then(|answer| scores(&answer, id, n_texts));
        given.map_err(|fault| Failure { fault, last_lines: Vec::new() })
    }

    fn post(&self, body: &[u8]) -> Result<Vec<u8>, ScorerFault> {
        let fault = |error| match error {
            ureq::Error::Timeout(_) => ScorerFault::TimedOut { seconds: self.timeout.as_secs_f64() },
            ureq::Error::BodyExceedsLimit(_) => ScorerFault::TooLong { limit: MAX_ANSWER_BYTES },
            error => ScorerFault::Connection(error),
        };
        let request = self.agent.post(&self.config.url).header("content-type", "application/json");
        let mut response = request.send(body).map_err(fault)?;
        let answer = response.body_mut().with_config().limit(MAX_ANSWER_BYTES as u64).read_to_vec();
        match response.status().as_u16() {
            200 => answer.map_err(fault),
            status => Err(ScorerFault::Status { status, body: shown(&answer.unwrap_or_default()) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        for (url, expected) in [
            ("http://127.0.0.1:8000/score", true),
            ("http://localhost", true),
            ("https://localhost/score", cfg!(feature = "https")),
            ("localhost:8000", false),
            ("/score", false),
            ("ftp://localhost", false),
            ("http://", false),
            ("", false),
        ] {
            assert_eq!(is_url(url).0, expected, "{url}");
        }
    }
}
