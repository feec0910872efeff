//! What is not answered, and how that is said.

use dqn_serve::{Limits, ServeError, Server, ServerConfig, Token};
use serde_json::{Value, json};

use crate::client::{post, start, start_plain, with_limits};
use crate::fake::Fake;

fn expected(status: u16, param: Option<&str>, code: Option<&str>) -> (u16, Option<String>, Option<String>) {
    (status, param.map(str::to_owned), code.map(str::to_owned))
}

#[test]
fn wrong_fields_are_named() {
    let server = start_plain();
    let unsupported = Some("unsupported_field");
    for (field, value, code) in [
        ("temperature", json!(2.5), None),
        ("temperature", json!("hot"), None),
        ("top_p", json!(0), None),
        ("top_k", json!(-2), None),
        ("top_k", json!(1.5), None),
        ("max_tokens", json!(0), None),
        ("max_tokens", json!(1_000_000), None),
        ("n", json!(0), None),
        ("n", json!(17), None),
        ("beta", json!(-1), None),
        ("beta", json!("1"), None),
        ("repetition_penalty", json!(0), None),
        ("presence_penalty", json!(0.5), unsupported),
        ("frequency_penalty", json!(3), None),
        ("seed", json!(0.5), None),
        ("stop", json!([""]), None),
        ("stop", json!(1), None),
        ("stop", json!(vec!["x"; 17]), None),
        ("logprobs", json!(true), None),
        ("logprobs", json!(3), None),
        ("stream", json!("yes"), None),
        ("stream_options", json!({"include_usage": true}), None),
        ("logit_bias", json!({"1": 100}), unsupported),
        ("suffix", json!("end"), unsupported),
        ("best_of", json!(3), unsupported),
        ("prompt", json!([]), None),
        ("prompt", json!([256, 258]), None),
        ("prompt", json!([-1]), None),
        ("prompt", json!(["a", 1]), None),
        ("prompt", json!({}), None),
        ("prompt", Value::Null, None),
        ("min_p", json!(0.1), unsupported),
        ("a_field_of_the_future", json!(1), unsupported),
    ] {
        let mut asked = json!({"prompt": "x"});
        asked[field] = value.clone();
        let answer = server.post("/v1/completions", &asked);
        assert_eq!(answer.error(), expected(400, Some(field), code), "{field} {value}");
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains(field), "{}", answer.body);
    }
    let asked = json!({"prompt": "x", "echo": true, "logprobs": 1});
    assert_eq!(server.post("/v1/completions", &asked).error(), expected(400, Some("echo"), None));
    let asked = json!({"prompt": "x", "stream": true, "stream_options": {"other": 1}});
    assert_eq!(
        server.post("/v1/completions", &asked).error(),
        expected(400, Some("stream_options.other"), unsupported)
    );
}

#[test]
fn wrong_fields_of_chats_are_named() {
    let server = start_plain();
    let unsupported = Some("unsupported_field");
    for (field, value, code) in [
        ("messages", json!([]), None),
        ("tools", json!([{"type": "function"}]), unsupported),
        ("response_format", json!({"type": "json_object"}), unsupported),
        ("top_logprobs", json!(1), None),
        ("reasoning_effort", json!("high"), unsupported),
        ("modalities", json!(["text", "audio"]), unsupported),
        ("prompt", json!("x"), unsupported),
    ] {
        let mut asked = json!({"messages": [{"role": "user", "content": "x"}]});
        asked[field] = value.clone();
        let found = server.post("/v1/chat/completions", &asked).error();
        assert_eq!(found, expected(400, Some(field), code), "{field} {value}");
    }
    let asked = json!({
        "messages": [{"role": "user", "content": "~"}], "tools": [], "response_format": {"type": "text"},
        "modalities": ["text"], "tool_choice": "none", "max_tokens": 3, "max_completion_tokens": 3,
    });
    assert_eq!(server.post("/v1/chat/completions", &asked).status, 200);
}

#[test]
fn what_is_no_request_has_its_status() {
    let server = start_plain();
    let code = |answer: crate::client::Answer| {
        let (status, _, code) = answer.error();
        (status, code.unwrap_or_default())
    };
    let path = "/v1/completions";
    let named = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(code(server.get("/v1/nothing")), named(404, "unknown_url"));
    assert_eq!(code(server.get("/nothing")), named(404, "unknown_url"));
    let wrong_method = server.get(path);
    assert_eq!(wrong_method.headers["allow"], "POST");
    assert_eq!(code(wrong_method), named(405, "method_not_allowed"));
    for body in ["", "{", "[1]", "\u{7f}", &"[".repeat(10_000), "{\"prompt\": \"\\ud800\"}"] {
        assert_eq!(code(server.post_text(path, body)), named(400, "invalid_json"), "{body:?}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let request = post(path, "{\"prompt\": \"x\"}").replace("application/json", kind);
        assert_eq!(code(server.send(&request)), named(415, "unsupported_media_type"), "{kind:?}");
    }
    let request = post(path, "{\"prompt\": \"x~\"}").replace("application/json", "Application/JSON; charset=utf-8");
    assert_eq!(server.send(&request).status, 200);
    let asked = json!({"model": "gpt-4", "prompt": "x"});
    assert_eq!(server.post(path, &asked).error(), expected(404, Some("model"), Some("model_not_found")));
    // What is not even HTTP gets an answer or an end, and harms nobody.
    for request in
        ["nonsense\r\n\r\n", "GET / HTTP/9\r\n\r\n", &format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000))]
    {
        let mut stream = server.open(request);
        let mut bytes = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut bytes);
        assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&bytes));
    }
    assert_eq!(server.get("/healthz").json(), json!({"status": "ok"}));
    assert!(server.metric("dqn_requests_total{route=\"/v1/completions\",status=\"415\"}") >= 3.0);
    assert!(server.metric("dqn_requests_total{route=\"other\",status=\"404\"}") >= 2.0);
}

#[test]
fn what_the_engine_says_is_told_and_what_breaks_is_not() {
    let server = start_plain();
    let refused = server.post("/v1/completions", &json!({"prompt": "!refuse"}));
    assert_eq!(refused.error(), expected(400, None, None));
    assert!(refused.body.contains("asks to be refused"));
    for is_streamed in [false, true] {
        let failed = server.post("/v1/completions", &json!({"prompt": "!fail", "stream": is_streamed}));
        assert_eq!(failed.error(), expected(500, None, Some("engine_failed")));
        assert!(!failed.body.contains("secret"), "{}", failed.body);
    }
    assert_eq!(server.n_live(), 0);
    assert_eq!(server.post("/v1/completions", &json!({"prompt": "x~"})).status, 200);
}

#[test]
fn a_panic_of_the_engine_ends_the_server_with_its_reason() {
    let server = start_plain();
    let failed = server.post("/v1/completions", &json!({"prompt": "!panic"}));
    assert_eq!(failed.error(), expected(500, None, Some("engine_failed")));
    let error = server.end().unwrap_err();
    assert!(error.to_string().contains("asks for a panic"), "{error}");
}

#[test]
fn the_token_is_asked_for() {
    let config = ServerConfig { token: Some(Token::new("s3cret").unwrap()), ..ServerConfig::default() };
    assert!(!format!("{config:?}").contains("s3cret"));
    let server = start(config, Fake::new());
    let asked = post("/v1/completions", "{\"prompt\": \"x~\"}");
    let with = |header: &str| asked.replace("Connection: close", &format!("Connection: close\r\n{header}"));
    let missing = server.send(&asked);
    assert_eq!(missing.headers["www-authenticate"], "Bearer");
    assert_eq!(missing.error(), expected(401, None, Some("invalid_api_key")));
    for header in ["Authorization: Bearer s3cre", "Authorization: Bearer s3cret2", "Authorization: Basic s3cret"] {
        assert_eq!(server.send(&with(header)).status, 401, "{header}");
    }
    assert_eq!(server.send(&with("Authorization: Bearer s3cret")).status, 200);
    for (path, status) in [("/v1/models", 401), ("/metrics", 401), ("/nothing", 401), ("/healthz", 200), ("/", 200)] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
    for token in ["", "a b", "é"] {
        assert!(matches!(Token::new(token), Err(ServeError::Setting { name: "token", .. })), "{token}");
    }
}

#[test]
fn other_names_and_other_pages_are_kept_out() {
    let server = start_plain();
    let stranger = "GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(server.send(stranger).error(), expected(403, None, Some("host_not_allowed")));
    let preflight = "OPTIONS /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: https://a.example\r\n\
                     Access-Control-Request-Method: POST\r\n\r\n";
    assert!(!server.send(preflight).headers.contains_key("access-control-allow-origin"));
    let config = ServerConfig {
        allowed_hosts: vec!["evil.example".to_owned()],
        cors_origins: vec!["https://a.example".to_owned()],
        ..ServerConfig::default()
    };
    let server = start(config, Fake::new());
    assert_eq!(server.send(stranger).status, 200);
    assert_eq!(server.send(preflight).headers["access-control-allow-origin"], "https://a.example");
    let other = preflight.replace("a.example", "b.example");
    assert!(!server.send(&other).headers.contains_key("access-control-allow-origin"));
}

#[test]
fn unsafe_and_senseless_settings_are_refused() {
    let bind = |bind: &str, token: Option<&str>, is_public_allowed: bool| {
        let token = token.map(|token| Token::new(token).unwrap());
        let config = ServerConfig { bind: bind.parse().unwrap(), token, is_public_allowed, ..ServerConfig::default() };
        Server::bind(config, Fake::new()).map(|server| server.local_addr())
    };
    for public in ["0.0.0.0:0", "[::]:0"] {
        assert!(matches!(bind(public, None, false), Err(ServeError::PublicWithoutToken { .. })), "{public}");
    }
    assert!(bind("0.0.0.0:0", Some("x"), false).is_ok());
    assert!(bind("0.0.0.0:0", None, true).is_ok());
    let taken = bind("127.0.0.1:0", None, false).unwrap();
    assert_ne!(taken.port(), 0);
    let plain = Limits::default;
    for (limits, named) in [
        (Limits { running_texts: 0, ..plain() }, "limits.running_texts"),
        (Limits { max_tokens: 0, ..plain() }, "limits.max_tokens"),
        (Limits { read_time: std::time::Duration::ZERO, ..plain() }, "limits.read_time"),
        (Limits { request_time: std::time::Duration::MAX, ..plain() }, "limits.request_time"),
        // 8 slots and 4 places in the line.
        (Limits { texts_per_request: 13, waiting_texts: 4, ..plain() }, "limits.texts_per_request"),
    ] {
        let config = ServerConfig { bind: "127.0.0.1:0".parse().unwrap(), ..with_limits(limits) };
        match Server::bind(config, Fake::new()) {
            Err(ServeError::Setting { name, .. }) => assert_eq!(name, named),
            other => panic!("{named}: {:?}", other.map(|server| server.local_addr())),
        }
    }
    let local = || ServerConfig { bind: "127.0.0.1:0".parse().unwrap(), ..ServerConfig::default() };
    for origin in ["*", "null", "https://a.example/", "a.example", "https://", "https://é"] {
        let config = ServerConfig { cors_origins: vec![origin.to_owned()], ..local() };
        let refused = Server::bind(config, Fake::new());
        assert!(matches!(refused, Err(ServeError::Setting { name: "cors_origins", .. })), "{origin}");
    }
    for host in ["", "a.example:80", "http://a.example"] {
        let config = ServerConfig { allowed_hosts: vec![host.to_owned()], ..local() };
        let refused = Server::bind(config, Fake::new());
        assert!(matches!(refused, Err(ServeError::Setting { name: "allowed_hosts", .. })), "{host}");
    }
    let mut engine = Fake::new();
    engine.card.chat.as_mut().unwrap().source = "{% if %}".to_owned();
    assert!(matches!(Server::bind(local(), engine), Err(ServeError::ChatTemplate { .. })));
}
