//! What a JSON Schema says about one place of a configuration file.
//!
//! The schemas are those that schemars derives from the configuration types. [`Node::form`] sorts the several ways in
//! which such a schema spells one Rust type into the few forms a person knows: a number, one of some names, a table
//! told by its `kind`, and so on. Checking a file and describing it are both a `match` over these forms.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

/// The schema of one place: the schema itself, and after it those it refers to.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    root: &'a Json,
    layers: Vec<&'a Map<String, Json>>,
    /// The first definition referred to.
    definition: Option<&'a str>,
}

/// What may stand in a place.
#[derive(Debug)]
pub(super) enum Form<'a> {
    /// Anything.
    Any,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number, with or without a fraction.
    Number,
    /// Any string.
    String,
    /// One of these strings.
    Names(Vec<Name<'a>>),
    /// An array.
    Array,
    /// A table with the keys of [`Node::properties`].
    Table,
    /// One of several tables, told by the string under `tag`.
    Tagged {
        /// The key that tells them.
        tag: &'a str,
        /// The tables by that string.
        variants: Vec<Choice<'a>>,
    },
    /// One of some strings, or a table with one of some keys.
    OneKey {
        /// The strings.
        names: Vec<Name<'a>>,
        /// What stands under each key.
        keyed: Vec<Choice<'a>>,
    },
    /// One of several things that no name tells apart.
    Either(Vec<Node<'a>>),
}

/// A string that may stand in a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    pub(super) text: &'a str,
    pub(super) description: Option<&'a str>,
}

/// One of several tables, or what stands under one of several keys.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    pub(super) name: &'a str,
    pub(super) description: Option<&'a str>,
    pub(super) node: Node<'a>,
}

/// A limit of a number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Limit {
    pub(super) value: f64,
    /// The limit as it is written.
    pub(super) text: String,
    /// Whether the limit itself is outside.
    pub(super) is_exclusive: bool,
}

impl<'a> Node<'a> {
    /// The schema of a whole file.
    pub(super) fn root(schema: &'a Json) -> Self {
        Self::new(schema, schema)
    }

    fn new(root: &'a Json, schema: &'a Json) -> Self {
        let mut node = Self { root, layers: Vec::new(), definition: None };
        node.add(schema);
        node
    }

    fn add(&mut self, schema: &'a Json) {
        let Some(layer) = schema.as_object() else { return };
        self.layers.push(layer);
        if let Some(reference) = layer.get("$ref").and_then(Json::as_str) {
            self.definition.get_or_insert(reference);
            if let Some(target) = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) {
                self.add(target);
            }
        }
        for part in layer.get("allOf").and_then(Json::as_array).into_iter().flatten() {
            self.add(part);
        }
        // What may also be absent is written as "this or null". TOML has no null, so that "this" remains.
        if let Some(only) = Alternatives::of(layer).and_then(|alternatives| alternatives.optional()) {
            self.add(only);
        }
    }

    /// The first definition referred to, by which two places of one type are known.
    pub(super) fn definition(&self) -> Option<&'a str> {
        self.definition
    }

    /// The value of a keyword, from the place itself before what it refers to.
    pub(super) fn get(&self, keyword: &str) -> Option<&'a Json> {
        self.layers.iter().find_map(|layer| layer.get(keyword))
    }

    /// What the place is for.
    pub(super) fn description(&self) -> Option<&'a str> {
        self.get("description").and_then(Json::as_str)
    }

    /// The keys of a table, and what may stand under each.
    pub(super) fn properties(&self) -> BTreeMap<&'a str, Node<'a>> {
        let mut properties = BTreeMap::new();
        for (key, schema) in self.layers.iter().filter_map(|layer| layer.get("properties")?.as_object()).flatten() {
            properties.entry(key.as_str()).or_insert_with(|| Node::new(self.root, schema));
        }
        properties
    }

    /// The keys a table must have.
    pub(super) fn required(&self) -> Vec<&'a str> {
        let lists = self.layers.iter().filter_map(|layer| layer.get("required")?.as_array());
        lists.flatten().filter_map(Json::as_str).collect()
    }

    /// What may stand under a key that [`Node::properties`] does not have; nothing when such keys are refused.
    pub(super) fn other_keys(&self) -> Option<Node<'a>> {
        let rules = self
            .layers
            .iter()
            .flat_map(|layer| ["additionalProperties", "unevaluatedProperties"].map(|keyword| layer.get(keyword)));
        let mut open = Node { root: self.root, layers: Vec::new(), definition: None };
        for rule in rules.flatten() {
            match rule {
                Json::Bool(false) => return None,
                rule => open.add(rule),
            }
        }
        Some(open)
    }

    /// What may stand at `index` of an array.
    pub(super) fn item(&self, index: usize) -> Node<'a> {
        let listed = self.get("prefixItems").and_then(|items| items.get(index));
        Node::new(self.root, listed.or_else(|| self.get("items")).unwrap_or(&Json::Null))
    }

    /// The regular expression that a string must match.
    pub(super) fn pattern(&self) -> Option<&'a str> {
        self.get("pattern").and_then(Json::as_str)
    }

    /// A keyword that counts something.
    pub(super) fn count(&self, keyword: &str) -> Option<usize> {
        self.get(keyword)?.as_u64()?.try_into().ok()
    }

    /// The lowest and the highest number allowed.
    pub(super) fn limits(&self) -> (Option<Limit>, Option<Limit>) {
        let written = |keyword, is_exclusive| {
            self.get(keyword)
                .and_then(|limit| Some(Limit { value: limit.as_f64()?, text: limit.to_string(), is_exclusive }))
        };
        let of_type =
            |value: Option<f64>| value.map(|value| Limit { value, text: value.to_string(), is_exclusive: false });
        let (lowest, highest) = match self.get("format").and_then(Json::as_str) {
            Some("uint8") => (Some(0.0), Some(f64::from(u8::MAX))),
            Some("uint16") => (Some(0.0), Some(f64::from(u16::MAX))),
            Some("uint32") => (Some(0.0), Some(f64::from(u32::MAX))),
            Some("uint" | "uint64") => (Some(0.0), None),
            Some("int8") => (Some(f64::from(i8::MIN)), Some(f64::from(i8::MAX))),
            Some("int16") => (Some(f64::from(i16::MIN)), Some(f64::from(i16::MAX))),
            Some("int32") => (Some(f64::from(i32::MIN)), Some(f64::from(i32::MAX))),
            _ => (None, None),
        };
        // Where two limits are equal, the exclusive one is the narrower.
        let lower = [written("minimum", false), written("exclusiveMinimum", true), of_type(lowest)];
        let upper = [written("maximum", false), written("exclusiveMaximum", true), of_type(highest)];
        (
            lower
                .into_iter()
                .flatten()
                .max_by(|a, b| a.value.total_cmp(&b.value).then(a.is_exclusive.cmp(&b.is_exclusive))),
            upper
                .into_iter()
                .flatten()
                .min_by(|a, b| a.value.total_cmp(&b.value).then(b.is_exclusive.cmp(&a.is_exclusive))),
        )
    }

    /// Which form the place has.
    pub(super) fn form(&self) -> Form<'a> {
        let mut alternatives = self.layers.iter().filter_map(|layer| Alternatives::of(layer));
        // What may hold this or nothing has "this" among its layers already.
        if let Some(choices) = alternatives.find(|alternatives| alternatives.optional().is_none()) {
            return Self::choice(choices.schemas.into_iter().map(|schema| Node::new(self.root, schema)).collect());
        }
        let names = self.names();
        if !names.is_empty() {
            return Form::Names(names);
        }
        match self.type_name() {
            Some("boolean") => Form::Boolean,
            Some("integer") => Form::Integer,
            Some("number") => Form::Number,
            Some("string") => Form::String,
            Some("array") => Form::Array,
            Some("object") => Form::Table,
            _ => Form::Any,
        }
    }

    fn choice(choices: Vec<Node<'a>>) -> Form<'a> {
        let first_keys = choices.first().map(Node::properties).unwrap_or_default().into_keys();
        let mut tags = first_keys.filter(|tag| choices.iter().all(|node| node.tag_value(tag).is_some()));
        if let Some(tag) = tags.next() {
            let named = choices.into_iter().filter_map(|node| Some((node.tag_value(tag)?, node)));
            let variants = named.map(|(name, node)| Choice { name, description: node.description(), node }).collect();
            return Form::Tagged { tag, variants };
        }
        let names: Vec<_> = choices.iter().flat_map(Node::names).collect();
        let keyed: Vec<_> = choices.iter().filter_map(Node::only_key).collect();
        let n_named = choices.iter().filter(|node| !node.names().is_empty()).count();
        match (n_named + keyed.len() == choices.len(), keyed.is_empty()) {
            (true, true) => Form::Names(names),
            (true, false) => Form::OneKey { names, keyed },
            (false, _) => Form::Either(choices),
        }
    }

    fn type_name(&self) -> Option<&'a str> {
        match self.get("type")? {
            Json::String(name) => Some(name),
            Json::Array(names) => {
                let mut names = names.iter().filter_map(Json::as_str).filter(|&name| name != "null");
                names.next().filter(|_| names.next().is_none())
            }
            _ => None,
        }
    }

    fn names(&self) -> Vec<Name<'a>> {
        let listed = self.get("enum").and_then(Json::as_array).into_iter().flatten().chain(self.get("const"));
        listed.filter_map(|name| Some(Name { text: name.as_str()?, description: self.description() })).collect()
    }

    /// The string a table must have under `tag`.
    fn tag_value(&self, tag: &str) -> Option<&'a str> {
        let constant = self.properties().get(tag)?.get("const")?.as_str();
        constant.filter(|_| self.required().contains(&tag))
    }

    /// The key of a table of exactly one, and what stands under it.
    fn only_key(&self) -> Option<Choice<'a>> {
        let mut properties = self.properties();
        let (name, node) = properties.pop_first().filter(|(name, _)| self.required().contains(name))?;
        let is_alone = properties.is_empty() && self.other_keys().is_none();
        is_alone.then(|| Choice { name, description: self.description(), node })
    }
}

/// The schemas one of which must hold.
struct Alternatives<'a> {
    /// Those that are not for what is absent.
    schemas: Vec<&'a Json>,
    /// Whether the place may also hold nothing.
    or_null: bool,
}

impl<'a> Alternatives<'a> {
    fn of(layer: &'a Map<String, Json>) -> Option<Self> {
        let listed = layer.get("oneOf").or_else(|| layer.get("anyOf"))?.as_array()?;
        let is_null = |schema: &&Json| schema.get("type").and_then(Json::as_str) == Some("null");
        let schemas: Vec<_> = listed.iter().filter(|schema| !is_null(schema)).collect();
        Some(Self { or_null: schemas.len() < listed.len(), schemas })
    }

    /// The schema of a place that may hold this or nothing.
    fn optional(&self) -> Option<&'a Json> {
        match self.schemas[..] {
            [only] if self.or_null => Some(only),
            _ => None,
        }
    }
}

/// What may stand in a place, in words that follow "allowed:".
pub(super) fn describe(node: &Node<'_>) -> String {
    match node.form() {
        Form::Any => "any value".to_owned(),
        Form::Boolean => "true or false".to_owned(),
        Form::Integer => with_range("an integer", node),
        Form::Number => with_range("a number", node),
        Form::String => match (describe_count(node, "minLength", "maxLength", "character"), node.pattern()) {
            (None, None) => "a string".to_owned(),
            (Some(count), None) => format!("a string of {count}"),
            (None, Some(pattern)) => format!("a string that matches {pattern}"),
            (Some(count), Some(pattern)) => format!("a string of {count} that matches {pattern}"),
        },
        Form::Names(names) => one_of(names.iter().map(|name| name.text)),
        Form::Array => match node.get("prefixItems").and_then(Json::as_array) {
            Some(items) => {
                let items: Vec<_> = (0..items.len()).map(|index| describe(&node.item(index))).collect();
                format!("an array of {}", items.join(" and "))
            }
            None => {
                let count = describe_count(node, "minItems", "maxItems", "item").unwrap_or("items".to_owned());
                format!("an array of {count}, each {}", describe(&node.item(0)))
            }
        },
        Form::Table => "a table".to_owned(),
        Form::Tagged { tag, variants } => {
            format!("a table with `{tag}` {}", one_of(variants.iter().map(|variant| variant.name)))
        }
        Form::OneKey { names, keyed } => {
            let names = names.iter().map(|name| quoted(name.text));
            let keyed = keyed.iter().map(|choice| format!("{{ {} = {} }}", choice.name, describe(&choice.node)));
            names.chain(keyed).collect::<Vec<_>>().join(" or ")
        }
        Form::Either(choices) => choices.iter().map(describe).collect::<Vec<_>>().join(" or "),
    }
}

/// The range of a number in words, such as "above 0, at most 1".
pub(super) fn describe_range(node: &Node<'_>) -> Option<String> {
    match node.limits() {
        (Some(low), Some(high)) if !low.is_exclusive && !high.is_exclusive => {
            Some(format!("from {} to {}", low.text, high.text))
        }
        (low, high) => {
            let low = low.map(|low| format!("{} {}", if low.is_exclusive { "above" } else { "at least" }, low.text));
            let high =
                high.map(|high| format!("{} {}", if high.is_exclusive { "below" } else { "at most" }, high.text));
            let both: Vec<_> = low.into_iter().chain(high).collect();
            (!both.is_empty()).then(|| both.join(", "))
        }
    }
}

/// A number of things in words, such as "at least 1 item".
pub(super) fn describe_count(node: &Node<'_>, minimum: &str, maximum: &str, thing: &str) -> Option<String> {
    match (node.count(minimum).filter(|&minimum| minimum > 0), node.count(maximum)) {
        (None, None) => None,
        (Some(minimum), None) => Some(format!("at least {}", plural(minimum, thing))),
        (None, Some(maximum)) => Some(format!("at most {}", plural(maximum, thing))),
        (Some(minimum), Some(maximum)) if minimum == maximum => Some(plural(minimum, thing)),
        (Some(minimum), Some(maximum)) => Some(format!("{minimum} to {}", plural(maximum, thing))),
    }
}

/// So many things, in words.
pub(super) fn plural(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// Names to choose from, in words.
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(quoted).collect();
    match &names[..] {
        [only] => only.clone(),
        names => format!("one of {}", names.join(", ")),
    }
}

/// A string as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn with_range(kind: &str, node: &Node<'_>) -> String {
    match describe_range(node) {
        None => kind.to_owned(),
        Some(range) if range.starts_with("at") => format!("{kind} of {range}"),
        Some(range) => format!("{kind} {range}"),
    }
}
