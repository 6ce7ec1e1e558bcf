//! Recorded traces and access logs, one request at a time.
//!
//! A file may be compressed with gzip or zstd, which its first bytes tell. Its format is told by its name or,
//! where that says nothing, by how it begins. Memory does not grow with the number of requests. A file that
//! cannot be read is an error that says where; no bytes make a reader panic. Start at [`Trace::open`].

mod columns;
mod combined;
mod csv;
mod error;
mod json;
mod lines;
mod oracle;
mod time;

pub use columns::Columns;
pub use error::TraceError;
pub use lines::LeftOut;

use error::TraceFault;
use indicatif::ProgressBar;
use lines::{Lines, Parser};
use oracle::Oracle;
use std::{
    ffi::OsStr,
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};
use tiergate_engine::{ByteCount, CacheKey};

/// How a gzip file begins (RFC 1952 section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// How a zstd frame begins (RFC 8878 section 3.1.1). Read as a time of an oracleGeneral record it would be
/// 2023-05-30, but only with an object id that fits the rest of a frame's header; and no trace that is known
/// begins so.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Read ahead: large enough that neither the file nor the decompressor is asked for each request.
const BUFFER_BYTES: usize = 128 << 10;
/// What is looked at to tell a format.
const BEGINNING_BYTES: u64 = 4096;

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// When, in milliseconds of the trace's own calendar. Never earlier than the request before.
    pub time_ms: u64,
    /// The cache key of the object.
    pub key: CacheKey,
    /// How large it was then.
    pub size: ByteCount,
}

/// What a file's bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// libCacheSim's oracleGeneral: records of 24 bytes.
    #[value(name = "oracle-general")]
    OracleGeneral,
    /// Comma, semicolon or tab separated, with a line of column names.
    Csv,
    /// The common or combined log format of Apache and nginx, with or without the virtual host before it.
    Combined,
    /// One JSON object a line, as nginx, Caddy, Envoy and others write.
    Json,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OracleGeneral => "oracleGeneral",
            Self::Csv => "CSV",
            Self::Combined => "access log, combined",
            Self::Json => "access log, JSON lines",
        })
    }
}

/// How to read a file.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Instead of what the file's name or its first bytes say.
    pub format: Option<Format>,
    /// Where named columns differ from what is looked for.
    pub columns: Columns,
    /// The share of malformed lines, in percent, up to which a file of lines is read all the same.
    pub malformed_percent_max: f64,
}

/// A trace, from its first request on.
pub struct Trace {
    path: PathBuf,
    format: Format,
    requests: Requests,
}

enum Requests {
    Oracle(Oracle),
    Lines(Box<Lines>),
}

impl Trace {
    /// Opens a trace. `progress` follows how much of the file was read.
    ///
    /// # Errors
    /// The file cannot be opened or read, or lacks a column that is needed.
    pub fn open(path: &Path, reading: &Reading, progress: &ProgressBar) -> Result<Self, TraceError> {
        let at = |fault| TraceError::new(path, fault);
        let (beginning, bytes) =
            plain(path, progress).map_err(|error| at(TraceFault::Unreadable { error }))?;
        let format = reading.format.or_else(|| by_name(path)).or_else(|| by_content(&beginning));
        let format = format.ok_or_else(|| at(TraceFault::UnknownFormat))?;
        let parser = match format {
            Format::OracleGeneral if !reading.columns.is_empty() => {
                return Err(at(TraceFault::NoColumns(format)));
            }
            Format::Combined if !reading.columns.is_empty() => return Err(at(TraceFault::NoColumns(format))),
            Format::OracleGeneral => {
                let requests = Requests::Oracle(Oracle::new(bytes));
                return Ok(Self { path: path.to_owned(), format, requests });
            }
            Format::Csv => Parser::Csv(Box::new(csv::Csv::new(&reading.columns))),
            Format::Combined => Parser::Combined,
            Format::Json => Parser::Json(json::Json::new(&reading.columns)),
        };
        let lines = Lines::new(bytes, parser, reading.malformed_percent_max);
        Ok(Self { path: path.to_owned(), format, requests: Requests::Lines(Box::new(lines)) })
    }

    /// What its bytes mean.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What was read so far but is no request to replay. Nothing, in a format that has only such.
    pub fn left_out(&self) -> LeftOut {
        match &self.requests {
            Requests::Oracle(_) => LeftOut::default(),
            Requests::Lines(lines) => lines.left_out().clone(),
        }
    }
}

impl Iterator for Trace {
    type Item = Result<Request, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let request = match &mut self.requests {
            Requests::Oracle(oracle) => oracle.read_record(),
            Requests::Lines(lines) => lines.read_request(),
        };
        request.map_err(|fault| TraceError::new(&self.path, fault)).transpose()
    }
}

/// The bytes of a file, decompressed if need be; and the first of them once more.
fn plain(path: &Path, progress: &ProgressBar) -> io::Result<(Vec<u8>, Box<dyn BufRead>)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    progress.set_length(metadata.len());
    let mut file = progress.wrap_read(file);
    let mut magic = Vec::new();
    file.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut magic)?;
    let whole = io::Cursor::new(magic.clone()).chain(file);
    let mut plain: Box<dyn BufRead> = if magic == ZSTD_MAGIC {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, zstd::stream::read::Decoder::new(whole)?))
    } else if magic.starts_with(&GZIP_MAGIC) {
        // Logs that were rotated are often several members, one after the other.
        Box::new(BufReader::with_capacity(BUFFER_BYTES, flate2::read::MultiGzDecoder::new(whole)))
    } else {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, whole))
    };
    let mut beginning = Vec::new();
    plain.by_ref().take(BEGINNING_BYTES).read_to_end(&mut beginning)?;
    Ok((beginning.clone(), Box::new(io::Cursor::new(beginning).chain(plain))))
}

fn by_name(path: &Path) -> Option<Format> {
    let mut name = Path::new(path.file_name()?);
    while matches!(name.extension().and_then(OsStr::to_str), Some("gz" | "zst")) {
        name = Path::new(name.file_stem()?);
    }
    match name.extension()?.to_str()? {
        "oracleGeneral" => Some(Format::OracleGeneral),
        "csv" | "tsv" => Some(Format::Csv),
        "json" | "jsonl" | "ndjson" => Some(Format::Json),
        _ => None,
    }
}

fn by_content(beginning: &[u8]) -> Option<Format> {
    let line = beginning.split(|byte| *byte == b'\n').next().unwrap_or_default();
    // A record of 24 bytes has zeros in its object id or its size, and no log has one.
    if beginning.is_empty() || beginning.contains(&0) {
        Some(Format::OracleGeneral)
    } else if line.trim_ascii_start().starts_with(b"{") {
        Some(Format::Json)
    } else if combined::looks_so(line) {
        Some(Format::Combined)
    } else if line.iter().any(|byte| matches!(byte, b',' | b';' | b'\t')) && std::str::from_utf8(line).is_ok()
    {
        Some(Format::Csv)
    } else {
        None
    }
}
