//! Whole answers: their shapes, and what settings do to them.

use dqn_serve::{ModelCard, ServerConfig};
use serde_json::{Value, json};

use crate::client::{Answer, start, start_plain, text};
use crate::fake::Fake;

const SHAPES: &str = include_str!("../golden/shapes.json");

fn golden(name: &str) -> Value {
    serde_json::from_str::<Value>(SHAPES).unwrap()[name].clone()
}

/// An answer without what differs from time to time and without our own fields.
pub(crate) fn shape(mut answer: Value) -> Value {
    for (name, stand_in) in [("id", json!("ID")), ("created", json!(0))] {
        assert!(answer[name].is_string() || answer[name].is_u64(), "{answer}");
        answer[name] = stand_in;
    }
    without(&mut answer, &["advantage", "advantages"]);
    answer
}

fn without(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !names.contains(&name.as_str()));
            fields.values_mut().for_each(|value| without(value, names));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| without(value, names)),
        _ => {}
    }
}

#[test]
fn completions_have_the_shape_of_openai() {
    let server = start_plain();
    let answer = server.post("/v1/completions", &json!({"model": "fake", "prompt": "hi~"}));
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/json"));
    let found = answer.json();
    assert!(found["id"].as_str().unwrap().starts_with("cmpl-"), "{found}");
    assert_eq!(shape(found), golden("completion"));
    let found = server.post("/v1/completions", &json!({"prompt": "hi~", "logprobs": 2})).json();
    assert_eq!(shape(found.clone()), golden("completion_logprobs"));
    // By the rule of the fake: 0.5 (7 token mod 9) - 2 of 104, 105 and 257.
    assert_eq!(found["choices"][0]["logprobs"]["advantages"], json!([2.0, 1.0, 2.0]));
    let found = server.post("/v1/completions", &json!({"prompt": "hi~", "logprobs": 0})).json();
    assert_eq!(found["choices"][0]["logprobs"]["top_logprobs"], Value::Null);
}

#[test]
fn chats_have_the_shape_of_openai() {
    let server = start_plain();
    let asked = json!({"model": "fake", "messages": [{"role": "user", "content": "hi~"}]});
    let found = server.post("/v1/chat/completions", &asked).json();
    assert!(found["id"].as_str().unwrap().starts_with("chatcmpl-"), "{found}");
    assert_eq!(shape(found), golden("chat"));
    let mut asked = asked;
    asked["logprobs"] = json!(true);
    asked["top_logprobs"] = json!(2);
    let found = server.post("/v1/chat/completions", &asked).json();
    assert_eq!(found["choices"][0]["logprobs"]["content"][1]["advantage"], json!(1.0));
    assert_eq!(shape(found), golden("chat_logprobs"));
    asked["stream"] = json!(true);
    asked["logprobs"] = json!(false);
    asked["top_logprobs"] = Value::Null;
    asked["stream_options"] = json!({"include_usage": true});
    let parts = server.post("/v1/chat/completions", &asked).parts();
    assert_eq!(parts.into_iter().map(shape).collect::<Value>(), golden("chat_stream"));
}

#[test]
fn models_are_listed() {
    let server = start_plain();
    let list = server.get("/v1/models").json();
    let model = server.get("/v1/models/fake").json();
    assert_eq!((&list["object"], &list["data"]), (&json!("list"), &json!([model.clone()])));
    for (name, value) in golden("model").as_object().unwrap() {
        assert_eq!(&model[name], value);
    }
    assert_eq!((&model["context_length"], &model["has_values"]), (&json!(512), &json!(true)));
    let missing = server.get("/v1/models/other").error();
    assert_eq!(missing, (404, Some("model".to_owned()), Some("model_not_found".to_owned())));
}

#[test]
fn names_of_models_may_have_slashes() {
    let mut engine = Fake::new();
    engine.card = ModelCard { id: "org/fake".to_owned(), ..engine.card };
    let server = start(ServerConfig::default(), engine);
    assert_eq!(server.get("/v1/models/org/fake").status, 200);
    assert_eq!(server.get("/v1/models/org%2Ffake").status, 200);
    assert_eq!(server.get("/v1/models/fake").status, 404);
}

#[test]
fn settings_reach_the_engine() {
    let server = start_plain();
    server.post(
        "/v1/completions",
        &json!({
            "prompt": "x", "max_tokens": 3, "temperature": 0.5, "top_p": 0.9, "top_k": 7, "repetition_penalty": 1.25,
            "beta": 0.5, "seed": 11, "logprobs": 1, "user": "u", "metadata": {}, "best_of": 1, "logit_bias": {},
            "suffix": null, "presence_penalty": 0, "frequency_penalty": 0,
        }),
    );
    let found = server.log.lock().unwrap().last.unwrap();
    assert_eq!((found.temperature, found.top_p, found.top_k, found.repetition_penalty), (0.5, 0.9, Some(7), 1.25));
    assert_eq!((found.beta, found.seed, found.max_tokens, found.n_alternatives), (0.5, 11, 3, 1));
    // Where nothing is said: OpenAI's 16 tokens for completions, and all that the context has room for in a chat.
    server.post("/v1/completions", &json!({"prompt": "x~", "seed": -1, "top_k": -1}));
    let found = server.log.lock().unwrap().last.unwrap();
    assert_eq!((found.max_tokens, found.seed, found.top_k, found.temperature), (16, u64::MAX, None, 0.0));
    server.post("/v1/chat/completions", &json!({"messages": [{"role": "user", "content": "~"}]}));
    // The prompt is "user: ~\nassistant: ".
    assert_eq!(server.log.lock().unwrap().last.unwrap().max_tokens, 512 - 19);
}

#[test]
fn beta_and_temperature_change_the_text() {
    let server = start_plain();
    let write = |settings: Value| -> Answer {
        let mut asked = json!({"prompt": "abcdefghijklmnopqrstuvwxyz~", "max_tokens": 40});
        asked.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        server.post("/v1/completions", &asked)
    };
    assert_eq!(text(&write(json!({}))), "abcdefghijklmnopqrstuvwxyz");
    assert_eq!(text(&write(json!({"beta": 2}))), "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    let drawn = text(&write(json!({"temperature": 1, "seed": 5})));
    assert_eq!(text(&write(json!({"temperature": 1, "seed": 5}))), drawn);
    assert_ne!(text(&write(json!({"temperature": 1, "seed": 6}))), drawn);
    // Without a seed every text is another one.
    assert_ne!(text(&write(json!({"temperature": 1}))), text(&write(json!({"temperature": 1}))));
}

#[test]
fn several_texts_differ_in_their_seeds() {
    let server = start_plain();
    let asked = json!({"prompt": ["abcdefghijklm~", "nopq~"], "n": 2, "temperature": 1, "seed": 40});
    let found = server.post("/v1/completions", &asked).json();
    let texts: Vec<&str> =
        found["choices"].as_array().unwrap().iter().map(|choice| choice["text"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 4);
    for (index, text_of_choice) in texts.iter().enumerate() {
        assert_eq!(found["choices"][index]["index"], json!(index));
        let prompt = if index < 2 { "abcdefghijklm~" } else { "nopq~" };
        let alone = json!({"prompt": prompt, "temperature": 1, "seed": 40 + index});
        assert_eq!(&text(&server.post("/v1/completions", &alone)), text_of_choice);
    }
    // Prompts count once however many texts they have: 15 and 6 tokens; each text has one token for its end.
    assert_eq!(found["usage"], json!({"prompt_tokens": 21, "completion_tokens": 2 * 14 + 2 * 5, "total_tokens": 59}));
}

#[test]
fn prompts_may_be_tokens_and_be_echoed() {
    let server = start_plain();
    for (prompt, expected) in [
        (json!("你~"), "你~你"),
        (json!([104, 105, 126]), "hi~hi"),
        (json!([[256, 104, 126]]), "h~h"),
        (json!(["h~"]), "h~h"),
    ] {
        let found = server.post("/v1/completions", &json!({"prompt": prompt, "echo": true}));
        assert_eq!(text(&found), expected);
    }
}

#[test]
fn texts_end_where_they_should() {
    let server = start_plain();
    for (asked, expected, reason, n_tokens) in [
        (json!({"prompt": "abc", "max_tokens": 4}), "abca", "length", 4),
        (json!({"prompt": "abc~", "max_tokens": 9}), "abc", "stop", 4),
        (json!({"prompt": "abcdef", "stop": "cd"}), "ab", "stop", 4),
        (json!({"prompt": "abcdef", "stop": ["xy", "fab"]}), "abcde", "stop", 8),
        // A stop string that began and did not go on is text.
        (json!({"prompt": "abab~", "stop": ["abc"]}), "abab", "stop", 5),
        (json!({"prompt": "你好~", "stop": "好"}), "你", "stop", 6),
        // The last character is not whole.
        (json!({"prompt": "你好", "max_tokens": 4}), "你\u{fffd}", "length", 4),
    ] {
        let found = server.post("/v1/completions", &asked).json();
        let choice = &found["choices"][0];
        assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!(expected), &json!(reason)), "{asked}");
        assert_eq!(found["usage"]["completion_tokens"], json!(n_tokens), "{asked}");
    }
}

#[test]
fn a_model_without_values_or_template_says_so() {
    let mut engine = Fake::new();
    engine.card = ModelCard { has_values: false, chat: None, max_alternatives: 0, ..engine.card };
    let server = start(ServerConfig::default(), engine);
    let refused = |path: &str, asked: Value| server.post(path, &asked).error();
    let expected = |param: &str, code: Option<&str>| (400, Some(param.to_owned()), code.map(str::to_owned));
    assert_eq!(refused("/v1/completions", json!({"prompt": "x", "beta": 1})), expected("beta", Some("no_values")));
    assert_eq!(server.post("/v1/completions", &json!({"prompt": "x", "beta": 0})).status, 200);
    assert_eq!(
        refused("/v1/chat/completions", json!({"messages": [{"role": "user", "content": "x"}]})),
        expected("messages", Some("no_chat_template"))
    );
    assert_eq!(refused("/v1/completions", json!({"prompt": "x", "logprobs": 1})), expected("logprobs", None));
}
