//! What is wrong with a configuration, and where: file, line, key, value, bound.

use super::places::Places;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A configuration that cannot be used. Correct the file at the line it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: PathBuf,
    problem: Problem,
}

impl ConfigError {
    pub(super) fn new(file: &Path, problem: Problem) -> Self {
        Self { file: file.to_owned(), problem }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.problem.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for ConfigError {}

/// How much of a value is shown that may not be used.
const VALUE_CHARS_MAX: usize = 120;

/// What is wrong, before the file's name is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key's path from the top, dots between.
    key: Option<String>,
    text: String,
    line: Option<u64>,
}

impl Problem {
    /// The key's path from the top, if it is about one.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// With the file as a whole.
    pub(super) fn whole(text: impl Into<String>) -> Self {
        Self { key: None, text: text.into(), line: None }
    }

    /// With a key.
    pub(super) fn field(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { key: Some(key.into()), text: text.into(), line: None }
    }

    /// With a key's value.
    pub(super) fn value(key: impl Into<String>, value: impl fmt::Display, bound: &str) -> Self {
        let value = value.to_string();
        let value = match value.char_indices().nth(VALUE_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &value[..end]),
            None => value,
        };
        Self::field(key, format!("is {value}, but must be {bound}"))
    }

    /// The text is no YAML, or does not have the shape of a configuration.
    pub(super) fn unreadable(error: &serde_saphyr::Error, places: &Places) -> Self {
        let location = error.location();
        // The reader's message repeats the place, and may go on with an excerpt: one line is enough here.
        let text = error.without_snippet().to_string();
        let text = text.lines().next().unwrap_or_default();
        let text = text.rsplit_once(" at line ").map_or(text, |(message, _place)| message);
        let place = location.and_then(|location| places.at(location.line(), location.column()));
        let text = match (plainly(text), place) {
            // A secret is not shown, even where it cannot be one.
            (_, Some((super::admin::TOKEN_KEY | "purge_token", _))) => {
                format!("must be {}", super::admin::TOKEN_BOUND)
            }
            (text, Some((_, Some(value)))) if !text.contains(value) => format!("is {value}: {text}"),
            (text, Some(_) | None) => text.to_owned(),
        };
        Self {
            key: place.map(|(key, _)| key.to_owned()),
            text,
            line: location.map(|location| location.line()),
        }
    }

    /// With the line on which the key stands.
    pub(super) fn located(mut self, places: &Places) -> Self {
        self.line = self.key.as_deref().and_then(|key| places.line_of(key));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "`{}` {}", in_one_line(key), in_one_line(&self.text)),
            None => f.write_str(&in_one_line(&self.text)),
        }
    }
}

/// What somebody wrote may have line breaks in it.
fn in_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The reader speaks to programmers in a few places.
fn plainly(text: &str) -> &str {
    let text = text.split_once(", set ").map_or(text, |(text, _option)| text);
    match text {
        "invalid u32" => "not a whole number from 0 to 4294967295",
        "invalid u64" => "not a whole number from 0 to 18446744073709551615",
        other => other,
    }
}
