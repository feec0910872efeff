//! Who may ask, and what is written down of every request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::config::ServerConfig;
use crate::refusal::Refusal;
use crate::routes::App;

/// The name of a request in the log, which its answer has as `x-request-id`.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

/// What is told of a request that no route fits.
const NO_ROUTE: &str = "other";
/// Routes that are asked by what watches the server.
const WATCHED: [&str; 2] = ["/healthz", "/metrics"];

/// Names, counts, times and logs a request.
pub(crate) async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let id = RequestId(format!("{:016x}", rand::random::<u64>()));
    let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    let (status, time) = (response.status(), begin.elapsed());
    app.metrics.requests.with_label_values(&[route.as_str(), status.as_str()]).inc();
    app.metrics.request_seconds.with_label_values(&[route.as_str()]).observe(time.as_secs_f64());
    let (status, ms) = (status.as_u16(), time.as_millis() as u64);
    // What machines ask every few seconds would hide everything else.
    match WATCHED.contains(&route.as_str()) {
        true => tracing::debug!(request_id = id.0, %method, route, status, ms, "answered"),
        false => tracing::info!(request_id = id.0, %method, route, status, ms, "answered"),
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id.0) {
        headers.insert("x-request-id", id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Turns away who has not the token, or comes by a name that is not this server's.
pub(crate) async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    let result = match &app.config.token {
        Some(_) if !needs_token(request.uri().path()) => Ok(()),
        Some(token) => match bearer(request.headers()) {
            Some(guess) if token.is(guess) => Ok(()),
            Some(_) => Err("the bearer token is wrong"),
            None => Err("a bearer token is needed: Authorization: Bearer TOKEN"),
        }
        .map_err(|message| Refusal::new(StatusCode::UNAUTHORIZED, Some("invalid_api_key"), message)),
        None if app.config.is_local() => own_name(&app.config, request.headers()),
        None => Ok(()),
    };
    match result {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// The page asks for the token itself; whether the server is well is no secret.
fn needs_token(path: &str) -> bool {
    !["/", "/healthz"].contains(&path)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Whether the request was sent to a name of this machine. Browsers always say which; a page from elsewhere whose own
/// name leads here is told apart by it.
fn own_name(config: &ServerConfig, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    let host = host.to_str().unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let is_own = name.eq_ignore_ascii_case("localhost")
        || ip.is_ok_and(|ip| ip.is_loopback())
        || config.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
    match is_own {
        true => Ok(()),
        false => {
            let message = "the Host header names another machine; allow the name, or set a token";
            Err(Refusal::new(StatusCode::FORBIDDEN, Some("host_not_allowed"), message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        let config = ServerConfig { allowed_hosts: vec!["models.example".to_owned()], ..ServerConfig::default() };
        for (host, is_own) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("127.0.0.1:1", true),
            ("127.9.9.9", true),
            ("[::1]:8080", true),
            ("[::1]", true),
            ("models.example:80", true),
            ("example.org", false),
            ("localhost.example.org:8080", false),
            ("10.0.0.1", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            assert_eq!(own_name(&config, &headers).is_ok(), is_own, "{host}");
        }
        assert!(own_name(&config, &HeaderMap::new()).is_ok());
    }

    #[test]
    fn schemes_have_any_case() {
        for (value, expected) in
            [("Bearer a b", Some("a b")), ("bearer x", Some("x")), ("Basic x", None), ("Bearer", None), ("", None)]
        {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(bearer(&headers), expected.map(str::as_bytes), "{value}");
        }
    }
}
