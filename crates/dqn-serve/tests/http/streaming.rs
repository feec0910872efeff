//! Answers that come piece by piece.

use dqn_serve::ServerConfig;
use serde_json::{Value, json};

use crate::client::{start, start_plain};
use crate::fake::Fake;

fn texts(parts: &[Value], index: usize) -> Vec<&str> {
    let choices = parts.iter().filter_map(|part| part["choices"].get(0));
    choices.filter(|choice| choice["index"] == json!(index)).map(|choice| choice["text"].as_str().unwrap()).collect()
}

#[test]
fn pieces_come_in_order_and_then_the_end() {
    let server = start_plain();
    let asked = json!({"prompt": "a你b~", "stream": true, "stream_options": {"include_usage": true}, "logprobs": 1});
    let answer = server.post("/v1/completions", &asked);
    assert_eq!(answer.headers["cache-control"], "no-cache");
    let parts = answer.parts();
    // A character comes whole, and the end, which has no text, with its token.
    assert_eq!(texts(&parts, 0), ["a", "你", "b", "", ""]);
    let ids: Vec<&Value> = parts.iter().map(|part| &part["id"]).collect();
    assert!(ids.iter().all(|id| *id == ids[0] && id.is_string()));
    let reasons: Vec<&Value> = parts.iter().map(|part| &part["choices"][0]["finish_reason"]).collect();
    let (null, stop) = (Value::Null, json!("stop"));
    assert_eq!(reasons, [&null, &null, &null, &null, &stop, &null]);
    let tokens: Vec<&Value> = parts.iter().map(|part| &part["choices"][0]["logprobs"]["tokens"]).collect();
    assert_eq!(tokens, [&json!(["a"]), &json!(["", "", "你"]), &json!(["b"]), &json!([""]), &null, &null]);
    let offsets: Vec<&Value> = parts.iter().map(|part| &part["choices"][0]["logprobs"]["text_offset"]).collect();
    assert_eq!(offsets[..4], [&json!([0]), &json!([1, 1, 1]), &json!([2]), &json!([3])]);
    let usages: Vec<&Value> = parts.iter().map(|part| &part["usage"]).collect();
    assert!(usages[..5].iter().all(|usage| usage.is_null()) && parts[0].as_object().unwrap().contains_key("usage"));
    assert_eq!(usages[5], &json!({"prompt_tokens": 7, "completion_tokens": 6, "total_tokens": 13}));
    assert_eq!(parts[5]["choices"], json!([]));
    let parts = server.post("/v1/completions", &json!({"prompt": "a~", "stream": true})).parts();
    assert!(parts.iter().all(|part| !part.as_object().unwrap().contains_key("usage")), "{parts:?}");
}

#[test]
fn nothing_of_a_stop_string_is_sent() {
    let server = start_plain();
    for (prompt, stop, expected) in
        [("one END two", "END", "one "), ("aab", "abaa", "a"), ("x你好", "好x", "x你"), ("EEND", "END", "E")]
    {
        let asked = json!({"prompt": prompt, "stop": [stop], "max_tokens": 60, "stream": true, "logprobs": 0});
        let parts = server.post("/v1/completions", &asked).parts();
        assert_eq!(texts(&parts, 0).concat(), expected, "{prompt}");
        let tokens: String = parts
            .iter()
            .filter_map(|part| part["choices"][0]["logprobs"]["tokens"].as_array())
            .flatten()
            .map(|token| token.as_str().unwrap())
            .collect();
        assert_eq!(tokens, expected, "{prompt}");
    }
}

#[test]
fn texts_of_a_stream_are_told_apart() {
    let server = start_plain();
    let asked =
        json!({"prompt": ["abcdefghij~", "你好~"], "n": 2, "stream": true, "temperature": 1, "seed": 3, "echo": true});
    let parts = server.post("/v1/completions", &asked).parts();
    let mut asked = asked;
    asked["stream"] = json!(false);
    let whole = server.post("/v1/completions", &asked).json();
    for index in 0..4 {
        assert_eq!(texts(&parts, index).concat(), whole["choices"][index]["text"].as_str().unwrap());
    }
    let ends = parts.iter().filter(|part| part["choices"][0]["finish_reason"] == "stop").count();
    assert_eq!(ends, 4);
}

#[test]
fn chats_are_streamed() {
    let server = start_plain();
    let asked = json!({"messages": [{"role": "user", "content": "hi~"}], "stream": true, "n": 2, "logprobs": true});
    let parts = server.post("/v1/chat/completions", &asked).parts();
    for index in 0..2 {
        let deltas: Vec<&Value> = parts
            .iter()
            .map(|part| &part["choices"][0])
            .filter(|choice| choice["index"] == json!(index))
            .map(|choice| &choice["delta"])
            .collect();
        assert_eq!(deltas[0]["role"], "assistant");
        let text: String = deltas.iter().filter_map(|delta| delta["content"].as_str()).collect();
        assert_eq!((text.as_str(), deltas.last().unwrap()), ("hi", &&json!({})));
    }
}

#[test]
fn what_fails_later_is_told_in_the_stream() {
    let mut engine = Fake::new();
    engine.step_time = std::time::Duration::from_millis(20);
    let server = start(ServerConfig::default(), engine);
    let asked = json!({"prompt": "long", "max_tokens": 400, "stream": true});
    std::thread::scope(|scope| {
        let stream = scope.spawn(|| server.post("/v1/completions", &asked));
        server.wait_until(|log| log.batches.len() > 3);
        // A step that fails takes all texts with it.
        assert_eq!(server.post("/v1/completions", &json!({"prompt": "!fail"})).status, 500);
        let answer = stream.join().unwrap();
        let parts = answer.parts();
        let (last, before) = parts.split_last().unwrap();
        assert_eq!(last["error"]["code"], "engine_failed");
        assert!(texts(before, 0).concat().starts_with("long"), "{before:?}");
    });
}
