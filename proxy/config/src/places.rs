//! Where each key of a configuration file stands, so that an error found later can still name its line.

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess},
};
use serde_saphyr::Spanned;
use std::{collections::BTreeMap, fmt};

/// The place of every value, by the path of its key.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<String, KeyPlace>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPlace {
    /// The key's line.
    line: u64,
    /// The value's line and column.
    starts: (u64, u64),
    /// The value, when it is a scalar.
    scalar: Option<String>,
}

impl Places {
    /// Of a text that may or may not be a configuration. What cannot be read has no places.
    pub(super) fn of(text: &str) -> Self {
        let mut places = Self::default();
        if let Ok(Tree::Mapping(entries)) = serde_saphyr::from_str(text) {
            places.insert("", entries);
        }
        places
    }

    fn insert(&mut self, parent: &str, entries: Vec<(Spanned<String>, Spanned<Tree>)>) {
        for (key, value) in entries {
            let path = if parent.is_empty() { key.value } else { format!("{parent}.{}", key.value) };
            let starts = (value.referenced.line(), value.referenced.column());
            let scalar = match value.value {
                Tree::Mapping(entries) => {
                    self.insert(&path, entries);
                    None
                }
                Tree::Sequence => None,
                Tree::Scalar(text) => Some(text),
            };
            let line = key.referenced.line();
            self.0.insert(path, KeyPlace { line, starts, scalar });
        }
    }

    /// The line of `key`, or of the nearest key above it that the file has.
    pub(super) fn line_of(&self, key: &str) -> Option<u64> {
        let mut path = key;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(place.line);
            }
            path = path.rsplit_once('.')?.0;
        }
    }

    /// Does the file have this key?
    #[cfg(test)]
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The key whose value starts at this place, and the value if it is a scalar.
    pub(super) fn at(&self, line: u64, column: u64) -> Option<(&str, Option<&str>)> {
        self.0
            .iter()
            .find(|(_, place)| place.starts == (line, column))
            .map(|(path, place)| (path.as_str(), place.scalar.as_deref()))
    }
}

/// A document, whatever is in it.
enum Tree {
    Mapping(Vec<(Spanned<String>, Spanned<Tree>)>),
    /// A list has one place: what is wrong with a part of it is told with the list's line.
    Sequence,
    Scalar(String),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Mapping(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Tree::Sequence)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.to_string()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar("null".to_owned()))
    }

    fn visit_none<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar("null".to_owned()))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }
}
