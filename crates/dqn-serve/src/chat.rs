//! From a conversation to the text that a model was trained to continue.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value as JinjaValue};
use minijinja::{Environment, ErrorKind, context};
use serde::Serialize;
use serde_json::Value;

use crate::engine::ChatTemplate;
use crate::error::ServeError;
use crate::fields::{unsupported, wrong};
use crate::refusal::Refusal;

const TEMPLATE: &str = "chat";
/// Steps that a template may take. Those of known models need some hundreds for a message.
const FUEL: u64 = 10_000_000;

/// Who said what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    pub(crate) role: String,
    pub(crate) content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

/// The messages of a request.
pub(crate) fn messages(value: Option<Value>) -> Result<Vec<Message>, Refusal> {
    match value {
        Some(Value::Array(messages)) if !messages.is_empty() => {
            messages.into_iter().enumerate().map(|(index, message)| read(index, message)).collect()
        }
        Some(other) => Err(wrong("messages", "a list of at least one message", &other)),
        None => Err(Refusal::field("messages", "messages are missing")),
    }
}

fn read(index: usize, message: Value) -> Result<Message, Refusal> {
    let name = |field: &str| format!("messages[{index}].{field}");
    let Value::Object(mut fields) = message else {
        return Err(wrong(&format!("messages[{index}]"), "an object with role and content", &message));
    };
    for field in ["tool_calls", "function_call", "audio"] {
        if fields
            .get(field)
            .is_some_and(|value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()))
        {
            return Err(unsupported(&name(field)));
        }
    }
    let role = match fields.remove("role") {
        Some(Value::String(role)) if ["system", "user", "assistant"].contains(&role.as_str()) => role,
        // OpenAI's newer name of the same thing, which templates do not know.
        Some(Value::String(role)) if role == "developer" => "system".to_owned(),
        other => {
            return Err(wrong(&name("role"), "system, developer, user or assistant", &other.unwrap_or_default()));
        }
    };
    let content = match fields.remove("content") {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => {
            let texts = parts.iter().enumerate().map(|(place, part)| match (&part["type"], &part["text"]) {
                (Value::String(kind), Value::String(text)) if kind == "text" => Ok(text.as_str()),
                _ => Err(wrong(&name(&format!("content[{place}]")), "a part of type text", &part["type"])),
            });
            texts.collect::<Result<String, Refusal>>()?
        }
        other => return Err(wrong(&name("content"), "a string or a list of parts", &other.unwrap_or_default())),
    };
    let speaker = match fields.remove("name") {
        None | Some(Value::Null) => None,
        Some(Value::String(speaker)) => Some(speaker),
        Some(other) => return Err(wrong(&name("name"), "a string", &other)),
    };
    Ok(Message { role, content, name: speaker })
}

/// A chat template that was read.
pub(crate) struct Template {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

impl Template {
    /// Reads a template as `transformers` does: blocks leave no line of their own, Python's methods of strings, lists
    /// and dictionaries are known, and `raise_exception` refuses a conversation.
    pub(crate) fn new(template: &ChatTemplate) -> Result<Self, ServeError> {
        let mut environment = Environment::new();
        let unreadable = |error: minijinja::Error| ServeError::ChatTemplate { message: error.to_string() };
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(unreadable)?;
        environment.set_syntax(syntax);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_filter("tojson", to_json);
        environment.add_template_owned(TEMPLATE, template.source.clone()).map_err(unreadable)?;
        Ok(Self { environment, bos_token: template.bos_token.clone(), eos_token: template.eos_token.clone() })
    }

    /// The text whose continuation is the answer.
    pub(crate) fn render(&self, messages: &[Message]) -> Result<String, Refusal> {
        let values = context! {
            messages => Serde(messages),
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
            add_generation_prompt => true,
        };
        self.environment.get_template(TEMPLATE).and_then(|template| template.render(values)).map_err(|error| {
            let reason = error.detail().map_or_else(|| error.to_string(), str::to_owned);
            Refusal::field("messages", format!("the model's chat template refuses the messages: {reason}"))
        })
    }
}

/// The filter of the same name as `transformers` has it: Jinja's own also hides what HTML reads as tags.
fn to_json(value: &JinjaValue, indent: Option<JinjaValue>, named: Kwargs) -> Result<JinjaValue, minijinja::Error> {
    let indent = indent.map_or_else(|| named.get("indent"), |indent| Ok(Some(indent)))?;
    // The text is not ASCII either way that templates ask for it.
    named.get::<Option<bool>>("ensure_ascii")?;
    named.assert_all_used()?;
    let hidden = minijinja::filters::tojson(value, indent, Kwargs::from_iter([] as [(&str, JinjaValue); 0]))?;
    let hidden = hidden.as_str().unwrap_or_default();
    let (mut json, mut rest) = (String::with_capacity(hidden.len()), hidden);
    while let Some(place) = rest.find('\\') {
        json.push_str(&rest[..place]);
        let escape = &rest[place..];
        let shown = HIDDEN.iter().find(|(code, _)| escape.starts_with(code));
        // Every other escape is kept, with the character it is about, which may be a backslash.
        let (text, length) = shown.map_or((escape.get(..2).unwrap_or(escape), 2), |(code, shown)| (*shown, code.len()));
        json.push_str(text);
        rest = escape.get(length..).unwrap_or_default();
    }
    json.push_str(rest);
    Ok(JinjaValue::from_safe_string(json))
}

/// What Jinja's filter writes in place of a character.
const HIDDEN: [(&str, &str); 4] = [("\\u003c", "<"), ("\\u003e", ">"), ("\\u0026", "&"), ("\\u0027", "'")];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(source: &str) -> Result<Template, ServeError> {
        let (bos_token, eos_token) = ("<s>".to_owned(), "</s>".to_owned());
        Template::new(&ChatTemplate { source: source.to_owned(), bos_token, eos_token })
    }

    /// Made by tests/golden/make_chat.py.
    const GOLDEN: &str = include_str!("../tests/golden/chat.json");

    #[test]
    fn conversations_become_the_texts_of_jinja() {
        let golden: Value = serde_json::from_str(GOLDEN).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 18);
        for case in cases {
            let said = messages(Some(case["messages"].clone())).unwrap();
            let found = template(case["template"].as_str().unwrap()).unwrap().render(&said).ok();
            assert_eq!(found.as_deref(), case["text"].as_str(), "{}", case["name"]);
        }
    }

    #[test]
    fn messages_are_read() {
        let said = messages(Some(json!([
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there."}], "name": "A"},
        ])));
        let message = |role: &str, content: &str, name: Option<&str>| Message {
            role: role.to_owned(),
            content: content.to_owned(),
            name: name.map(str::to_owned),
        };
        let expected = [message("system", "Be kind.", None), message("user", "Hello there.", Some("A"))];
        assert_eq!(said.unwrap(), expected);
    }

    #[test]
    fn what_a_template_refuses_is_told() {
        let said = messages(Some(json!([{"role": "assistant", "content": "Hi."}]))).unwrap();
        let refusal = template("{{ raise_exception('roles must alternate') }}").unwrap().render(&said).unwrap_err();
        assert_eq!(refusal.message, "the model's chat template refuses the messages: roles must alternate");
        let endless = "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}";
        assert!(template(endless).unwrap().render(&said).is_err());
        assert!(matches!(template("{% for %}"), Err(ServeError::ChatTemplate { .. })));
    }

    #[test]
    fn messages_that_cannot_be_read_are_named() {
        for (value, param) in [
            (json!([]), "messages"),
            (json!("hi"), "messages"),
            (json!(["hi"]), "messages[0]"),
            (json!([{"role": "tool", "content": "x"}]), "messages[0].role"),
            (json!([{"role": "user"}]), "messages[0].content"),
            (json!([{"role": "user", "content": [{"type": "image_url"}]}]), "messages[0].content[0]"),
            (json!([{"role": "user", "content": "x", "tool_calls": [1]}]), "messages[0].tool_calls"),
            (json!([{"role": "user", "content": "x", "name": 1}]), "messages[0].name"),
        ] {
            assert_eq!(messages(Some(value)).unwrap_err().param.as_deref(), Some(param));
        }
        assert_eq!(messages(None).unwrap_err().param.as_deref(), Some("messages"));
    }
}
