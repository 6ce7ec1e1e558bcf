//! What an editor is told of values that are written in more than one form. The types derive the rest.

use super::{RawEviction, eviction};
use crate::language::units::ByteCount;
use alloc::borrow::Cow;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

impl JsonSchema for ByteCount {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    /// As [`ByteCount::parse`] reads it.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a size",
            "description": "Bytes, or a number with its unit: `64KiB`, `10GB`; `unlimited` is more than any object has.",
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"const": "unlimited"},
                {"type": "string", "pattern": "^\\s*[0-9]+\\s*(B|[KMGT]i?B)?\\s*$"}
            ]
        })
    }
}

impl JsonSchema for RawEviction {
    fn schema_name() -> Cow<'static, str> {
        "RawEviction".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (name, map) =
            (generator.subschema_for::<super::Eviction>(), generator.subschema_for::<eviction::Map>());
        json_schema!({
            "description": "The name of a policy, or a map of `policy` and `objective`.",
            "anyOf": [name, map]
        })
    }
}
