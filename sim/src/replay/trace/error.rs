//! What is wrong with a trace.

use super::{Format, columns::Column};
use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

/// How much of a value is shown.
const VALUE_CHARS_MAX: usize = 60;

/// A file that is not the trace it should be.
#[derive(Debug)]
pub struct TraceError {
    path: PathBuf,
    fault: TraceFault,
}

#[derive(Debug)]
pub(super) enum TraceFault {
    /// It cannot be opened, or its first bytes not read or decompressed.
    Unreadable { error: io::Error },
    /// It cannot be read or decompressed further.
    Broken { place: TracePlace, error: io::Error },
    /// Neither its name nor its beginning tells what it is.
    UnknownFormat,
    /// Nothing to replay.
    Empty(&'static str),
    /// The last record ends early.
    Short { record: u64, bytes: usize },
    /// A field of a record is out of bounds.
    Field { record: u64, field: &'static str, value: i64, bound: String },
    /// The first line names no column for this.
    NoColumn { column: Column, header: String },
    /// Columns were named for a format that has none.
    NoColumns(Format),
    /// More lines are malformed than may be.
    Malformed { lines: u64, malformed: u64, percent_max: f64, examples: Vec<Malformed> },
}

/// Where in a file, after decompression.
#[derive(Clone, Copy, Debug)]
pub(super) enum TracePlace {
    Record(u64),
    Line(u64),
}

impl fmt::Display for TracePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Records are counted from 1, bytes from 0.
            Self::Record(record) => {
                write!(f, "record {}, byte {}", record + 1, record * super::oracle::RECORD_BYTES as u64)
            }
            Self::Line(line) => write!(f, "line {line}"),
        }
    }
}

/// A line that is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Which, counted from 1.
    pub line: u64,
    /// What of it.
    pub column: String,
    /// What stands there; nothing when it is missing.
    pub value: Option<String>,
    /// What may stand there.
    pub bound: &'static str,
}

impl Malformed {
    /// The line number is filled in by who counts lines.
    pub(super) fn new(column: impl Into<String>, value: Option<&[u8]>, bound: &'static str) -> Self {
        let shown = value.map(|value| {
            let text = String::from_utf8_lossy(value);
            let mut shown: String = text.chars().take(VALUE_CHARS_MAX).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            shown
        });
        Self { line: 0, column: column.into(), value: shown, bound }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, value, bound } = self;
        match value {
            Some(value) => write!(f, "line {line}: `{column}` is {value:?}, but must be {bound}"),
            None => write!(f, "line {line}: `{column}` is missing: it must be {bound}"),
        }
    }
}

impl TraceError {
    pub(super) fn new(path: &Path, fault: TraceFault) -> Self {
        Self { path: path.to_owned(), fault }
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.fault {
            TraceFault::Unreadable { error } => write!(f, "cannot be read: {error}"),
            TraceFault::Broken { place, error } => write!(f, "{place}: cannot be read: {error}"),
            TraceFault::UnknownFormat => f.write_str(
                "neither its name nor its first line tells its format: say --format oracle-general, csv, combined or json",
            ),
            TraceFault::Empty(what) => write!(f, "holds 0 {what}, but must hold at least 1"),
            TraceFault::Short { record, bytes } => write!(
                f,
                "{}: the file ends after {bytes} bytes of this record, but a record has {}",
                TracePlace::Record(*record),
                super::oracle::RECORD_BYTES
            ),
            TraceFault::Field { record, field, value, bound } => {
                write!(f, "{}: `{field}` is {value}, but must be {bound}", TracePlace::Record(*record))
            }
            TraceFault::NoColumn { column, header } => write!(
                f,
                "line 1: no column is known to hold the {column}; the columns are {header}: say which with --columns {column}=NAME"
            ),
            TraceFault::NoColumns(format) => write!(
                f,
                "--columns is for CSV and JSON, but this is read as {format}: leave it out, or say --format"
            ),
            TraceFault::Malformed { lines, malformed, percent_max, examples } => {
                write!(
                    f,
                    "{malformed} of {lines} lines are malformed, but at most {percent_max} % may be (--malformed-max)"
                )?;
                examples.iter().try_for_each(|example| write!(f, "\n  {example}"))
            }
        }
    }
}

impl Error for TraceError {}
