//! A JSON schema of scenario files, for editors, and a page for people ([`reference`]). Both come from the
//! types and their docs.
//!
//! Most types derive theirs. Here are those that are written in more than one form, or whose keys depend on
//! another one. The schema knows each key, its form and the bounds that hold by themselves; what depends on
//! other keys is in the descriptions, and refused by [`Scenario`](crate::Scenario).

mod reference;

pub use reference::reference;

use crate::{
    Between, Expectation, Expectations, FaultKey, FaultKind, Figure, Millis, Phase, RawFault, RawFaults,
    RawScenario, Request, Requests, Which, time::Seconds,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use tiergate_engine::{ByteCount, TierId};

/// The schema (draft 2020-12) of a scenario file.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = Value::from(generator.into_root_schema_for::<RawScenario>());
    schema["title"] = "A scenario of Tiergate".into();
    tidy(&mut schema);
    schema
}

/// The definition of a name in it.
fn definition(name: &str) -> String {
    format!("#/$defs/{name}")
}

/// Takes out what says something to readers of Rust only.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = plain(text);
            }
            // `uint32` and the like: no editor knows them.
            object.remove("format");
            for (name, property) in
                object.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten()
            {
                tidy_property(name, property);
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn tidy_property(name: &str, property: &mut Value) {
    let Some(property) = property.as_object_mut() else { return };
    // What one byte holds is no bound of a scenario's, but every share is one of a hundred.
    if property.get("maximum") == Some(&json!(u8::MAX)) {
        property.remove("maximum");
        if name.ends_with("percent") {
            property.insert("maximum".to_owned(), 100.into());
        }
    }
    let is_size = property.get("$ref") == Some(&json!(definition(&ByteCount::schema_name())));
    if let Some(bytes) = property.get("default").and_then(Value::as_u64).filter(|_| is_size) {
        property.insert("default".to_owned(), ByteCount(bytes).to_string().into());
    }
}

/// A doc comment without its line breaks and links.
fn plain(text: &str) -> String {
    let paragraphs =
        text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n").replace("[`", "`").replace("`]", "`")
}

impl JsonSchema for Millis {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        time("a time", "A number and its unit: `250ms`, `3s`, `10min`. In whole milliseconds.", "ms|")
    }
}

impl JsonSchema for Seconds {
    fn schema_name() -> Cow<'static, str> {
        "TimeInSeconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        time("a time in whole seconds", "A number and its unit: `3s`, `10min`. In whole seconds.", "")
    }
}

/// A time in these units and the larger ones.
fn time(title: &str, description: &str, units: &str) -> Schema {
    let units = format!("{units}s|min|h");
    json_schema!({
        "title": title,
        "description": description,
        "anyOf": [
            {"type": "string", "pattern": format!(r"^\s*(0|[0-9]+({units}))\s*$")},
            {"const": 0}
        ]
    })
}

impl<T: JsonSchema> JsonSchema for Between<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Between{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        let title =
            T::json_schema(generator).get("title").and_then(Value::as_str).unwrap_or("a value").to_owned();
        json_schema!({
            "title": format!("{title}, or two in brackets"),
            "description": "A range to draw from, both ends included: `[least, most]`, or one value where both are the same.",
            "anyOf": [one, {"type": "array", "items": one, "minItems": 2, "maxItems": 2}]
        })
    }
}

impl JsonSchema for Which {
    fn schema_name() -> Cow<'static, str> {
        "Which".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "the number of an edge, or `all`",
            "anyOf": [{"type": "integer", "minimum": 0}, {"const": "all"}]
        })
    }
}

impl JsonSchema for Requests {
    fn schema_name() -> Cow<'static, str> {
        "Requests".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let request = generator.subschema_for::<Request>();
        json_schema!({
            "title": "a number, or a list of requests",
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 100_000},
                {"type": "array", "items": request, "minItems": 1, "maxItems": 100_000}
            ]
        })
    }
}

impl JsonSchema for RawFaults {
    fn schema_name() -> Cow<'static, str> {
        "Faults".into()
    }

    /// Each kind is a type of its own, with the keys that it takes.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let keys = keys(generator);
        let mut kinds = Map::new();
        for kind in FaultKind::ALL {
            let name = format!("Fault_{}", kind.as_str());
            generator.definitions_mut().insert(name.clone(), fault(kind, &keys));
            let one = json!({"$ref": definition(&name)});
            let description = with_tier(kind.describe(), kind.tier());
            kinds.insert(
                kind.as_str().to_owned(),
                json!({"description": description, "anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}),
            );
        }
        json_schema!({"type": "object", "properties": kinds, "additionalProperties": false})
    }
}

/// Every key that some kind takes, in the form that [`RawFault`] reads and with the words of [`FaultKey`].
fn keys(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let raw = RawFault::json_schema(generator);
    let said = Value::from(FaultKey::json_schema(generator));
    let mut keys = Map::new();
    for key in FaultKey::ALL {
        let name = key.as_str();
        let mut form = without_null(&raw.as_value()["properties"][name]);
        let variants = said["oneOf"].as_array().expect("each variant of `FaultKey` has its docs");
        let of_key = variants.iter().find(|variant| variant["const"] == *name);
        form["description"] = of_key.expect("`as_str` is the variant in snake case")["description"].clone();
        // At its default it is left out.
        form.as_object_mut().map(|form| form.remove("default"));
        keys.insert(name.to_owned(), form);
    }
    keys
}

fn fault(kind: FaultKind, keys: &Map<String, Value>) -> Value {
    let takes = |key: &FaultKey| kind.takes().contains(key);
    let names = |wanted: fn(&FaultKey) -> bool| -> Vec<&str> {
        kind.takes().iter().filter(|key| wanted(key)).map(|key| key.as_str()).collect()
    };
    let properties: Map<String, Value> =
        names(|_| true).into_iter().map(|name| (name.to_owned(), keys[name].clone())).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "required": names(|key| !key.is_optional()),
        "additionalProperties": false
    });
    if takes(&FaultKey::Times) {
        schema["oneOf"] = json!([{"required": ["times"]}, {"required": ["at"]}]);
    }
    if takes(&FaultKey::Answer) {
        schema["dependentRequired"] = json!({"answer": ["object"]});
    }
    schema
}

/// The schema of an `Option` without its `null`.
fn without_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let is_null = |schema: &Value| *schema == json!({"type": "null"});
    if let Some(forms) = schema["anyOf"].as_array()
        && let [one, null] = forms.as_slice()
        && is_null(null)
    {
        return one.clone();
    }
    if let Some([one, null]) = schema["type"].as_array().map(Vec::as_slice)
        && null == "null"
    {
        schema["type"] = one.clone();
    }
    schema
}

fn with_tier(description: &str, tier: Option<TierId>) -> String {
    match tier {
        Some(tier) => format!("{description} Only with `cache.{}`.", tier.as_str()),
        None => description.to_owned(),
    }
}

impl JsonSchema for Expectations {
    fn schema_name() -> Cow<'static, str> {
        "Expectations".into()
    }

    /// The figures of the whole run, and beside them those of its phases.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let bounds = generator.subschema_for::<Expectation>();
        // One of the two, at least.
        if let Some(expectation) = generator.definitions_mut().get_mut(&*Expectation::schema_name()) {
            expectation["properties"]["at_least"]["exclusiveMinimum"] = 0.into();
            expectation["properties"]["at_most"]["minimum"] = 0.into();
            expectation["anyOf"] = json!([{"required": ["at_least"]}, {"required": ["at_most"]}]);
        }
        let mut figures: Map<String, Value> = Map::new();
        for figure in Figure::ALL {
            let mut property = bounds.clone().to_value();
            property["description"] = with_tier(figure.describe(), figure.tier()).into();
            if figure.most() < f64::MAX {
                let most = json!({"maximum": figure.most()});
                property["properties"] = json!({"at_least": most, "at_most": most});
            }
            figures.insert(figure.as_str().to_owned(), property);
        }
        let mut all = figures.clone();
        for (phase, description) in PHASES {
            let key = phase.as_str().expect("only the whole has none").to_owned();
            all.insert(key, json!({"description": description, "$ref": definition("Figures")}));
        }
        let of_phase = json!({"type": "object", "properties": figures, "additionalProperties": false});
        generator.definitions_mut().insert("Figures".to_owned(), of_phase);
        json_schema!({"type": "object", "properties": all, "additionalProperties": false})
    }
}

/// The phases that have a key.
const PHASES: [(Phase, &str); 2] = [
    (Phase::Faults, "The same figures, of what was asked until `faults_until`."),
    (Phase::Healed, "The same figures, of what was asked from then on."),
];
