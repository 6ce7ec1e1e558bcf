//! The tables of `docs/scenarios.md`, from the schema and so from the docs of the types.
//!
//! The page is written by hand but for what stands between `<!-- table: NAME -->` and
//! `<!-- end of table -->`.

use super::{definition, keys, plain, schema, with_tier, without_null};
use crate::{
    Expectation, FaultKey, FaultKind, Figure, Large, Objects, RawDisk, RawScenario, RawStorage, Request,
    Topology, Window, Workload,
};
use schemars::SchemaGenerator;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use std::fmt::Write as _;
use tiergate_config::{RawForward, RawLimits, RawOriginLimits, RawTimeouts};
use tiergate_engine::RawConfig;

const BEGIN: &str = "<!-- table: ";
const END: &str = "<!-- end of table -->";

/// `page` with each of its tables as the types have it now.
///
/// # Panics
/// If the page lacks a table, or has one that is unknown or not ended; if docs tell another default than the
/// type has. Whoever changes one of them sees that in a test.
pub fn reference(page: &str) -> String {
    let schema = schema();
    check_defaults(&schema);
    let tables = tables(&schema);
    let mut text = String::new();
    let mut filled = Vec::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(" -->").expect("a marker ends with ` -->`");
        let (_, after) = after.split_once(END).unwrap_or_else(|| panic!("the table {name} has an end"));
        let (_, table) = tables
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("there is no table {name}"));
        let _ = write!(text, "{before}{BEGIN}{name} -->\n{table}{END}");
        filled.push(name);
        rest = after;
    }
    text.push_str(rest);
    for (name, _) in tables {
        assert!(
            filled.contains(&name),
            "docs/scenarios.md has no place for the table `{name}`: `{BEGIN}{name} -->`, `{END}`"
        );
    }
    text
}

/// Each type whose keys are a table: the table's name, the type's name in the schema, and its keys in order.
fn sections() -> Vec<(&'static str, &'static str, &'static [&'static str])> {
    vec![
        ("scenario", "", fields::<RawScenario>()),
        ("topology", "Topology", fields::<Topology>()),
        ("cache", "RawConfig", fields::<RawConfig>()),
        ("storage", "RawStorage", fields::<RawStorage>()),
        ("storage.l2", "RawDisk", fields::<RawDisk>()),
        ("limits", "RawLimits", fields::<RawLimits>()),
        ("timeouts", "RawTimeouts", fields::<RawTimeouts>()),
        ("origin_limits", "RawOriginLimits", fields::<RawOriginLimits>()),
        ("forward", "RawForward", fields::<RawForward>()),
        ("objects", "Objects", fields::<Objects>()),
        ("objects.large", "Large", fields::<Large>()),
        ("objects.stale_if_error", "Window", fields::<Window>()),
        ("workload", "Workload", fields::<Workload>()),
        ("request", "Request", fields::<Request>()),
        ("bounds", "Expectation", fields::<Expectation>()),
    ]
}

/// Sections that have a table of another kind, or are told of elsewhere.
const TOLD_OTHERWISE: [&str; 2] = ["Faults", "Expectations"];

fn tables(schema: &Value) -> Vec<(&'static str, String)> {
    let sections = sections();
    let mut tables = vec![("faults", kinds()), ("fault keys", fault_keys()), ("figures", figures())];
    for (name, of, keys) in sections {
        tables.push((name, section(schema, of, keys)));
    }
    tables
}

fn kinds() -> String {
    let mut table = "| fault | what happens | its keys |\n|---|---|---|\n".to_owned();
    for kind in FaultKind::ALL {
        let what = plain(&with_tier(kind.describe(), kind.tier()));
        let mut keys = Vec::new();
        let mut optional = Vec::new();
        for key in kind.takes() {
            let name = format!("`{}`", key.as_str());
            match key {
                FaultKey::Times => keys.push("`times` or `at`".to_owned()),
                FaultKey::At => {}
                key if key.is_optional() => optional.push(name),
                _ => keys.push(name),
            }
        }
        let optional =
            if optional.is_empty() { String::new() } else { format!(" ({})", optional.join(", ")) };
        let _ = writeln!(table, "| `{}` | {what} | {}{optional} |", kind.as_str(), keys.join(", "));
    }
    table
}

fn fault_keys() -> String {
    let mut table = "| key | value | what it says |\n|---|---|---|\n".to_owned();
    let keys = keys(&mut SchemaGenerator::default());
    for key in FaultKey::ALL {
        let said = plain(keys[key.as_str()]["description"].as_str().unwrap_or_default());
        let _ = writeln!(table, "| `{}` | {} | {said} |", key.as_str(), key.bound());
    }
    table
}

fn figures() -> String {
    let mut table = "| figure | what it counts |\n|---|---|\n".to_owned();
    for figure in Figure::ALL {
        let _ = writeln!(
            table,
            "| `{}` | {} |",
            figure.as_str(),
            plain(&with_tier(figure.describe(), figure.tier()))
        );
    }
    table
}

fn section(schema: &Value, of: &str, keys: &[&str]) -> String {
    let object = if of.is_empty() { schema } else { &schema["$defs"][of] };
    let required =
        |key: &str| object["required"].as_array().is_some_and(|names| names.iter().any(|name| name == key));
    let mut table = "| key | value | default | what it says |\n|---|---|---|---|\n".to_owned();
    for key in keys {
        let property = &object["properties"][key];
        let form = form(schema, property);
        let mut said = property["description"]
            .as_str()
            .unwrap_or_else(|| panic!("`{key}` of `{of}` has no docs"))
            .to_owned();
        let told = take_default(&mut said);
        let default = match (told, &property["default"]) {
            _ if required(key) => "**required**".to_owned(),
            (Some(told), _) => told,
            (None, Value::Null) => "none".to_owned(),
            (None, Value::Object(_)) if form == "keys" => "its keys' own".to_owned(),
            (None, default) => format!("`{}`", written(default)),
        };
        // Once is enough.
        let said = said.replace(&format!(" {form}."), "");
        let _ = writeln!(
            table,
            "| `{key}` | {form} | {default} | {}{} |",
            said.trim(),
            meanings(schema, property)
        );
    }
    table
}

/// What docs say of a default is so, wherever a type has one that its own docs do not tell.
fn check_defaults(schema: &Value) {
    let objects = schema["$defs"].as_object().expect("types are defined there").iter();
    for (of, object) in objects {
        for (key, property) in object["properties"].as_object().into_iter().flatten() {
            let mut said = property["description"].as_str().unwrap_or_default().to_owned();
            let default = match &property["default"] {
                Value::Null | Value::Object(_) => continue,
                default => written(default),
            };
            if let Some(told) = take_default(&mut said) {
                assert!(
                    told.contains(&default),
                    "`{key}` of `{of}`: its docs say {told}, but its default is {default}"
                );
            }
        }
    }
}

/// Takes out of a doc comment what it says of the default.
fn take_default(said: &mut String) -> Option<String> {
    let begin = if said.starts_with("Default") {
        0
    } else {
        [". Default", "? Default"].iter().find_map(|end| said.find(end))? + 2
    };
    let length = said[begin..].find(". ").map_or(said.len() - begin, |end| end + 2);
    let sentence: String = said.drain(begin..begin + length).collect();
    let sentence =
        sentence.trim().trim_start_matches("Default").trim_start_matches(':').trim_end_matches('.').trim();
    let (default, more) = sentence.split_once("; ").unwrap_or((sentence, ""));
    if let Some(first) = more.chars().next() {
        let more = format!("{}{}. ", first.to_uppercase(), &more[first.len_utf8()..]);
        said.insert_str(begin, &more);
    }
    let is_value = !default.contains(['`', ' ']) && default.starts_with(|first: char| first.is_ascii_digit());
    Some(if is_value { format!("`{default}`") } else { default.to_owned() })
}

/// A default as a file has it.
fn written(value: &Value) -> String {
    match value {
        Value::String(word) => word.clone(),
        Value::Array(values) => format!("[{}]", values.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Object(object) => {
            let pairs: Vec<String> =
                object.iter().map(|(key, value)| format!("{key}: {}", written(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// What a definition refers to.
fn resolved<'a>(schema: &'a Value, property: &'a Value) -> &'a Value {
    match property["$ref"].as_str().and_then(|path| path.strip_prefix(&definition(""))) {
        Some(name) => &schema["$defs"][name],
        None => property,
    }
}

/// What may be written, in a few words.
fn form(schema: &Value, property: &Value) -> String {
    let property = &without_null(property);
    let of = resolved(schema, property);
    if let Some(title) = of["title"].as_str() {
        return title.to_owned();
    }
    if let Some(words) = words(of) {
        let (last, others) = words.split_last().expect("an enum has a variant");
        return if others.is_empty() { last.clone() } else { format!("{} or {last}", others.join(", ")) };
    }
    let bound = |name: &str| of[name].as_u64();
    match of["type"].as_str() {
        Some("integer") => match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            _ => "a number".to_owned(),
        },
        Some("number") => "a number".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("string") => "text".to_owned(),
        Some("array") if of["prefixItems"].is_array() => "two numbers in brackets".to_owned(),
        Some("array") => match form(schema, &of["items"]).as_str() {
            "a number" => "a list of numbers".to_owned(),
            "text" => "a list of words".to_owned(),
            form => format!("a list of {form}"),
        },
        Some("object") => {
            let name = property["$ref"].as_str().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            let is_cache =
                schema["$defs"]["RawConfig"]["properties"].to_string().contains(&format!("/{name}\""));
            let is_told =
                is_cache || TOLD_OTHERWISE.contains(&name) || sections().iter().any(|(_, of, _)| *of == name);
            assert!(is_told, "no table tells of `{name}`: give it one in `sections`");
            "keys".to_owned()
        }
        Some(_) | None => panic!("no words for {of}"),
    }
}

/// What the words of an enum mean.
fn meanings(schema: &Value, property: &Value) -> String {
    let property = without_null(property);
    let mut of = resolved(schema, &property);
    if of["items"].is_object() {
        of = resolved(schema, &of["items"]);
    }
    let mut text = String::new();
    for variant in of["oneOf"].as_array().into_iter().flatten() {
        if let Some(said) = variant["description"].as_str() {
            let _ = write!(text, " {}: {said}", word(variant));
        }
    }
    text
}

/// The words of which one may be written; none if it is no enum.
fn words(of: &Value) -> Option<Vec<String>> {
    if let Some(words) = of["enum"].as_array() {
        return Some(words.iter().map(|word| format!("`{}`", written(word))).collect());
    }
    of["oneOf"].as_array().map(|variants| variants.iter().map(word).collect())
}

fn word(variant: &Value) -> String {
    match (&variant["const"], variant["properties"].as_object().and_then(|keys| keys.keys().next())) {
        (Value::Null, Some(key)) => format!("`{{{key}: …}}`"),
        (word, _) => format!("`{}`", written(word)),
    }
}

/// The keys of a type in the order of its source, which a schema does not keep.
fn fields<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    let nothing = T::deserialize(Probe(&mut fields));
    assert!(nothing.is_err() && !fields.is_empty(), "a struct asks for its fields");
    fields
}

/// Listens to what a type asks for, and reads nothing.
struct Probe<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: de::Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("nothing is read"))
    }

    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
