//! One JSON object a line.

use super::{
    columns::{COLUMNS, Cells, Column, Columns},
    error::Malformed,
    lines::TraceEntry,
};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A reader of lines.
pub(super) struct Json {
    /// Under which names each column is looked for, in the order of [`COLUMNS`].
    names: Vec<Vec<String>>,
    /// Which of them the line before had.
    likely: [usize; COLUMNS.len()],
    object: Map<String, Value>,
}

impl Json {
    pub(super) fn new(named: &Columns) -> Self {
        let names = |column: Column| match named.name(column) {
            Some(name) => vec![name.to_owned()],
            None => column.known().iter().map(|name| (*name).to_owned()).collect(),
        };
        Self {
            names: COLUMNS.into_iter().map(names).collect(),
            likely: [0; COLUMNS.len()],
            object: Map::new(),
        }
    }

    pub(super) fn entry(&mut self, line: &[u8]) -> Result<TraceEntry<'_>, Malformed> {
        self.object = serde_json::from_slice(line)
            .map_err(|_| Malformed::new("line", Some(line), "one JSON object"))?;
        let mut cells = Cells::default();
        for ((column, names), likely) in COLUMNS.into_iter().zip(&self.names).zip(&mut self.likely) {
            let places = [*likely].into_iter().chain(0..names.len());
            let found = places
                .filter_map(|at| Some((at, names.get(at)?)))
                .find_map(|(at, name)| Some((at, name, text(column, value(&self.object, name)?)?)));
            if let Some((at, name, text)) = found {
                *likely = at;
                cells.set(column, name, text);
            }
        }
        cells.entry()
    }
}

/// The value of a name, or of a path whose steps are names with dots between them.
fn value<'o>(object: &'o Map<String, Value>, name: &str) -> Option<&'o Value> {
    object.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        value(object.get(first)?.as_object()?, rest)
    })
}

/// A string or number as text. Anything else is not what was looked for: Caddy's `request` is an object,
/// nginx's a line.
fn text(column: Column, value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        // A response without a body.
        Value::Null if column == Column::Size => Some(Cow::Borrowed("-")),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
