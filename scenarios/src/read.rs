//! Reads scenario files. Every mistake names the file, the line, the field, the value and the bound.

use crate::{Mistakes, RawScenario, Scenario};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// Why a scenario could not be read. Nothing has been started.
#[derive(Debug)]
pub enum LoadError {
    /// The file or folder cannot be read.
    Unreadable {
        /// The path that was given or found.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The folder holds no `.yaml` file.
    Nothing {
        /// The path that was given or found.
        path: PathBuf,
    },
    /// The file is not a scenario: mend what the message points at.
    Malformed {
        /// The path that was given or found.
        path: PathBuf,
        /// The line, from 1; 0 when it concerns the whole file.
        line: u64,
        /// What is wrong, with field, value and bound.
        what: String,
    },
}

impl LoadError {
    /// The file or folder that it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Unreadable { path, .. } | Self::Nothing { path } | Self::Malformed { path, .. } => path,
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Nothing { path } => write!(f, "{}: no .yaml file in this folder", path.display()),
            Self::Malformed { path, line: 0, what } => write!(f, "{}: {what}", path.display()),
            Self::Malformed { path, line, what } => write!(f, "{}:{line}: {what}", path.display()),
        }
    }
}

impl std::error::Error for LoadError {}

/// What files came to: those that are not scenarios hide none of the others.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The scenarios.
    pub scenarios: Vec<ScenarioFile>,
    /// Why the others could not be read.
    pub refused: Vec<LoadError>,
}

/// A scenario, and the file that says it.
#[derive(Clone, Debug)]
pub struct ScenarioFile {
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What it says.
    pub scenario: Scenario,
}

/// Reads the scenarios that `paths` name: files as they are, folders by the `.yaml` files in them and in
/// their folders but [`BUNDLES`], in order of name. `rules` are the ids that `invariants` may name.
pub fn load_all(paths: &[PathBuf], rules: &[&str]) -> Loaded {
    let mut loaded = Loaded::default();
    for path in paths {
        let mut files = Vec::new();
        match find(path, &mut files) {
            Ok(()) if files.is_empty() => loaded.refused.push(LoadError::Nothing { path: path.clone() }),
            Ok(()) => {}
            Err(error) => loaded.refused.push(error),
        }
        files.sort();
        for file in files {
            match load(&file, rules) {
                Ok(file) => loaded.scenarios.push(file),
                Err(error) => loaded.refused.push(error),
            }
        }
    }
    loaded
}

/// The folder in which `tiergate-sim run` writes of failing seeds, where it is not told another.
pub const BUNDLES: &str = "tiergate-failures";

/// Adds to `files` the one at `path`, or those below it.
fn find(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let unreadable = |error| LoadError::Unreadable { path: path.to_owned(), error };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let below = entry.map_err(unreadable)?.path();
        if below.is_dir() {
            // What was written of failures is none of what is to be run.
            if below.file_name().is_none_or(|name| name != BUNDLES) {
                find(&below, files)?;
            }
        } else if below.extension().is_some_and(|extension| extension == "yaml") {
            files.push(below);
        }
    }
    Ok(())
}

/// Reads one file. `rules` are the ids that `invariants` may name.
///
/// # Errors
/// It cannot be read, or is not a scenario.
pub fn load(path: &Path, rules: &[&str]) -> Result<ScenarioFile, LoadError> {
    let text =
        fs::read_to_string(path).map_err(|error| LoadError::Unreadable { path: path.to_owned(), error })?;
    let scenario = parse(path, &text)?;
    let named = scenario.invariants.iter().flatten();
    match named.into_iter().find(|id| !rules.contains(&id.as_str())) {
        None => Ok(ScenarioFile { path: path.to_owned(), text, scenario }),
        Some(unknown) => Err(LoadError::Malformed {
            path: path.to_owned(),
            line: line_of(&text, "invariants"),
            what: format!("`invariants` names {unknown}, but may name only {}", rules.join(", ")),
        }),
    }
}

/// Reads the text of the file at `path`.
///
/// # Errors
/// It is not a scenario.
pub fn parse(path: &Path, text: &str) -> Result<Scenario, LoadError> {
    let malformed = |line, what| LoadError::Malformed { path: path.to_owned(), line, what };
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(is_blank) {
        return Err(malformed(1, "the file is empty: a scenario begins with `name:`".to_owned()));
    }
    let raw: RawScenario = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        let column = error.location().map_or(0, |location| location.column());
        match missing(&error) {
            // The reader sees that only at the end of the file.
            Some(key) if TOP_KEYS.contains(&&*key) => malformed(1, format!("`{key}` is missing")),
            Some(key) => malformed(line, format!("`{key}` is missing in what ends here")),
            None => malformed(line, plain(&error, text, (line, column))),
        }
    })?;
    Scenario::try_from(raw).map_err(|Mistakes(mistakes)| {
        let mut told: Vec<_> =
            mistakes.iter().map(|wrong| (line_of(text, &wrong.field), wrong.to_string())).collect();
        told.sort_by_key(|(line, _)| *line);
        let mut told = told.into_iter();
        let (line, first) = told.next().expect("there is at least one");
        let others = told.map(|(line, wrong)| format!("\n{}:{line}: {wrong}", path.display()));
        malformed(line, first + &others.collect::<String>())
    })
}

/// What every scenario has.
const TOP_KEYS: [&str; 8] =
    ["name", "description", "topology", "cache", "objects", "workload", "faults_until", "settle"];

/// The key that the reader misses.
fn missing(error: &serde_saphyr::Error) -> Option<String> {
    let message = error.without_snippet().to_string();
    let key = message.strip_prefix("missing field `")?.split('`').next()?;
    Some(key.to_owned())
}

/// The reader's message in words for who writes scenarios and not programs, without the place that
/// [`LoadError`] gives in the usual form, and with the key and the line that it speaks of: the reader names
/// neither field nor value when a value is of the wrong type.
fn plain(error: &serde_saphyr::Error, text: &str, (line, column): (u64, u64)) -> String {
    let message = error.without_snippet().to_string();
    let message = message.split(" at line ").next().unwrap_or(&message);
    let source = usize::try_from(line).ok().and_then(|line| text.lines().nth(line.checked_sub(1)?));
    let message = match message {
        "invalid u8" | "invalid u32" | "invalid u64" => "a whole number belongs here,".to_owned(),
        "invalid f64" => "a number belongs here,".to_owned(),
        "expected mapping start" => "keys with their values belong here,".to_owned(),
        "externally tagged enum expected scalar or mapping" => "a word belongs here,".to_owned(),
        other => {
            match other.strip_prefix("duplicate mapping key: ").and_then(|rest| rest.split(',').next()) {
                Some(key) => format!("`{key}` is there for the second time,"),
                None => other.to_owned(),
            }
        }
    };
    let key = source.and_then(|source| key_before(source, column));
    let is_named = |key: &str| message.contains(&format!("`{key}`"));
    let of_key = key.filter(|key| !is_named(key)).map_or(String::new(), |key| format!("`{key}`: "));
    match source {
        Some(source) => format!("{of_key}{message} in `{}`", source.trim()),
        None => message,
    }
}

/// The key whose value begins at this column, or is a list with what begins there.
fn key_before(line: &str, column: u64) -> Option<&str> {
    let before = line.get(..usize::try_from(column.checked_sub(1)?).ok()?)?;
    let (before, value) = before.rsplit_once(':')?;
    let is_of_it = value.trim().is_empty() || value.trim_start().starts_with('[') && !value.contains(']');
    let key = before.rsplit(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next()?;
    Some(key).filter(|key| is_of_it && !key.is_empty())
}

/// The line on which the key with this path stands; the nearest key above it when the file leaves it out or
/// writes the section on one line.
fn line_of(text: &str, path: &str) -> u64 {
    let mut found = 0;
    let mut keys = path.split('.').peekable();
    // Keys of the section that is searched stand deeper than this.
    let mut outer: Option<usize> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let Some(key) = keys.peek() else { break };
        let trimmed = line.trim_start();
        let depth = line.len() - trimmed.len();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if outer.is_some_and(|outer| depth <= outer) {
            break;
        }
        let is_direct = outer.is_some() || depth == 0;
        if is_direct && trimmed.strip_prefix(*key).is_some_and(|rest| rest.starts_with(':')) {
            found = number;
            outer = Some(depth);
            keys.next();
        }
    }
    found
}
