//! Every variant of the configuration has a smoke config.
//!
//! The JSON Schema names the variants (a `kind` constant each); the files of configs/smoke are walked beside it, and a
//! variant no file chooses is one that nothing has ever run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The committed JSON Schema of the configuration.
pub(crate) const SCHEMA: &str = "docs/config.schema.json";
/// Where the smoke configs are.
pub(crate) const SMOKE_FOLDER: &str = "configs/smoke";

/// The variants of `schema` that none of the configs chooses, each as `Type: kind = "name"`.
pub(crate) fn unused(schema: &Value, configs: &[Value]) -> Vec<String> {
    let mut declared = BTreeMap::new();
    declare(schema, "", "configuration", &mut declared);
    let mut walk = Walk { schema, used: BTreeSet::new() };
    for config in configs {
        walk.visit(schema, "", config);
    }
    declared.into_iter().filter(|(pointer, _)| !walk.used.contains(pointer)).map(|(_, shown)| shown).collect()
}

/// Collects every subschema that fixes `kind`, under its JSON pointer.
fn declare(schema: &Value, pointer: &str, owner: &str, declared: &mut BTreeMap<String, String>) {
    match schema {
        Value::Object(map) => {
            if let Some(kind) = fixed_kind(schema) {
                declared.insert(pointer.to_owned(), format!("{owner}: kind = {kind:?}"));
            }
            for (key, value) in map {
                let owner = if pointer == "/$defs" { key } else { owner };
                declare(value, &format!("{pointer}/{key}"), owner, declared);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                declare(value, &format!("{pointer}/{index}"), owner, declared);
            }
        }
        _ => {}
    }
}

/// The value a subschema demands of `kind`.
fn fixed_kind(schema: &Value) -> Option<&str> {
    schema.pointer("/properties/kind/const")?.as_str()
}

struct Walk<'a> {
    schema: &'a Value,
    used: BTreeSet<String>,
}

impl Walk<'_> {
    /// Marks the variants `value` chooses in the subschema at `pointer`.
    fn visit(&mut self, schema: &Value, pointer: &str, value: &Value) {
        if let Some(kind) = fixed_kind(schema) {
            if value.get("kind").and_then(Value::as_str) != Some(kind) {
                return;
            }
            self.used.insert(pointer.to_owned());
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#')) {
            let root = self.schema;
            if let Some(found) = root.pointer(target) {
                self.visit(found, target, value);
            }
        }
        for choice in ["oneOf", "anyOf", "allOf"] {
            for (index, option) in schema.get(choice).and_then(Value::as_array).into_iter().flatten().enumerate() {
                self.visit(option, &format!("{pointer}/{choice}/{index}"), value);
            }
        }
        match value {
            Value::Object(fields) => {
                for (key, field) in fields {
                    if let Some(property) = schema.get("properties").and_then(|properties| properties.get(key)) {
                        self.visit(property, &format!("{pointer}/properties/{key}"), field);
                    } else if let Some(other) = schema.get("additionalProperties") {
                        self.visit(other, &format!("{pointer}/additionalProperties"), field);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(item_schema) = schema.get("items") {
                    for item in items {
                        self.visit(item_schema, &format!("{pointer}/items"), item);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Two types share the kind `linear`, one of them in a list and one behind a reference in an option.
    fn schema() -> Value {
        let variant = |kind: &str| json!({ "properties": { "kind": { "const": kind } } });
        json!({
            "properties": {
                "epsilon": { "anyOf": [{ "$ref": "#/$defs/Schedule" }, { "type": "null" }] },
                "layers": { "type": "array", "items": { "$ref": "#/$defs/Layer" } },
            },
            "$defs": {
                "Schedule": { "oneOf": [variant("linear"), variant("constant")] },
                "Layer": { "oneOf": [variant("linear")] },
            },
        })
    }

    #[test]
    fn a_variant_counts_for_its_own_type_only() {
        let epsilon_only = json!({ "epsilon": { "kind": "linear" } });
        assert_eq!(unused(&schema(), &[epsilon_only]), ["Layer: kind = \"linear\"", "Schedule: kind = \"constant\""]);
    }

    #[test]
    fn several_configs_cover_the_schema_together() {
        let first = json!({ "epsilon": { "kind": "linear" }, "layers": [{ "kind": "linear" }] });
        let second = json!({ "epsilon": { "kind": "constant" } });
        assert_eq!(unused(&schema(), &[first, second]), Vec::<String>::new());
    }
}
