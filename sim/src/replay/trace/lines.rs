//! Formats with one request a line: which lines count, and how large what they ask for is.

use super::{
    Request, combined, csv,
    error::{Malformed, TraceFault, TracePlace},
    json,
};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, BufRead, Read},
};
use tiergate_engine::{ByteCount, CacheKey};

/// A longer line is malformed; servers bound request lines far below.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Malformed lines that are shown.
const EXAMPLES_MAX: usize = 5;
/// When so many lines at the beginning are all malformed, the rest is not read.
const HOPELESS_LINES: u64 = 1_000;
/// Statuses that a cache may store without being told to (RFC 9110 section 15.1), and the one that says that
/// it has.
const REPLAYED: [u16; 13] = [200, 203, 204, 206, 300, 301, 304, 308, 404, 405, 410, 414, 501];
const PARTIAL_CONTENT: u16 = 206;
const NOT_MODIFIED: u16 = 304;

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TraceEntry<'l> {
    pub(super) time_ms: u64,
    pub(super) host: Option<Cow<'l, str>>,
    /// A path with its query, a whole URL, or any other name.
    pub(super) target: Cow<'l, str>,
    pub(super) method: Option<Cow<'l, str>>,
    pub(super) status: Option<u16>,
    /// Bytes of the body that was sent.
    pub(super) size: u64,
}

/// Lines of a trace that were not replayed, and some that were, but not as they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Lines in all, without empty ones.
    pub lines: u64,
    /// Lines that are no requests.
    pub malformed: u64,
    /// The first few of them.
    pub examples: Vec<Malformed>,
    /// Methods other than GET and HEAD, which no cache answers.
    pub other_methods: u64,
    /// Statuses that are not stored without leave.
    pub other_statuses: u64,
    /// HEAD and 304 for what was not seen whole before: nobody knows how large it is.
    pub unknown_sizes: u64,
    /// Replayed at the time of the line before, because theirs is earlier.
    pub reordered: u64,
}

/// Who understands a line.
pub(super) enum Parser {
    Csv(Box<csv::Csv>),
    Combined,
    Json(json::Json),
}

/// Requests, from the first line on.
pub(super) struct Lines {
    bytes: Box<dyn BufRead>,
    parser: Parser,
    malformed_percent_max: f64,
    line: Vec<u8>,
    /// Lines read.
    number: u64,
    requests: u64,
    time_ms: u64,
    /// Of each object in a log, the largest body or part that was seen.
    sizes: BTreeMap<CacheKey, u64>,
    left_out: LeftOut,
}

impl Lines {
    pub(super) fn new(bytes: Box<dyn BufRead>, parser: Parser, malformed_percent_max: f64) -> Self {
        Self {
            bytes,
            parser,
            malformed_percent_max,
            line: Vec::new(),
            number: 0,
            requests: 0,
            time_ms: 0,
            sizes: BTreeMap::new(),
            left_out: LeftOut::default(),
        }
    }

    pub(super) fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// The next request to replay.
    pub(super) fn read_request(&mut self) -> Result<Option<Request>, TraceFault> {
        while let Some(is_whole) = self.read_line()? {
            let line = self.line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            if let Parser::Csv(csv) = &mut self.parser
                && csv.wants_header()
            {
                csv.read_header(line)?;
                continue;
            }
            self.left_out.lines += 1;
            let entry = match &mut self.parser {
                _ if !is_whole => Err(Malformed::new("line", Some(line), "at most 1 MiB long")),
                Parser::Csv(csv) => csv.entry(line),
                Parser::Combined => combined::entry(line),
                Parser::Json(json) => json.entry(line),
            };
            let judged = entry.map(|entry| judge(&entry, &mut self.sizes, &mut self.left_out));
            match judged {
                Ok(Some(request)) => {
                    self.requests += 1;
                    if request.time_ms < self.time_ms {
                        self.left_out.reordered += 1;
                    }
                    self.time_ms = self.time_ms.max(request.time_ms);
                    return Ok(Some(Request { time_ms: self.time_ms, ..request }));
                }
                Ok(None) => {}
                Err(malformed) => self.note(malformed)?,
            }
        }
        self.check_end()?;
        Ok(None)
    }

    /// Reads the next line, without what is beyond its longest. Says whether it is whole; nothing at the end.
    fn read_line(&mut self) -> Result<Option<bool>, TraceFault> {
        let line = self.number + 1;
        let broken = |error| TraceFault::Broken { place: TracePlace::Line(line), error };
        self.line.clear();
        let mut bounded = (&mut self.bytes).take(LINE_BYTES_MAX);
        if bounded.read_until(b'\n', &mut self.line).map_err(broken)? == 0 {
            return Ok(None);
        }
        self.number = line;
        let is_whole = self.line.ends_with(b"\n") || (self.line.len() as u64) < LINE_BYTES_MAX;
        if !is_whole {
            skip_line(&mut self.bytes).map_err(broken)?;
        }
        Ok(Some(is_whole))
    }

    fn note(&mut self, malformed: Malformed) -> Result<(), TraceFault> {
        self.left_out.malformed += 1;
        if self.left_out.examples.len() < EXAMPLES_MAX {
            self.left_out.examples.push(Malformed { line: self.number, ..malformed });
        }
        let is_hopeless =
            self.left_out.lines >= HOPELESS_LINES && self.left_out.lines == self.left_out.malformed;
        if is_hopeless { Err(self.too_many_malformed()) } else { Ok(()) }
    }

    fn check_end(&self) -> Result<(), TraceFault> {
        let LeftOut { lines, malformed, .. } = self.left_out;
        if malformed as f64 > lines as f64 * self.malformed_percent_max / 100.0 {
            return Err(self.too_many_malformed());
        }
        if self.requests == 0 {
            return Err(TraceFault::Empty("requests that a cache could answer"));
        }
        Ok(())
    }

    fn too_many_malformed(&self) -> TraceFault {
        let LeftOut { lines, malformed, examples, .. } = self.left_out.clone();
        TraceFault::Malformed { lines, malformed, percent_max: self.malformed_percent_max, examples }
    }
}

fn skip_line(bytes: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let held = bytes.fill_buf()?;
        let (end, is_over) = match held.iter().position(|byte| *byte == b'\n') {
            Some(place) => (place + 1, true),
            None => (held.len(), held.is_empty()),
        };
        bytes.consume(end);
        if is_over {
            return Ok(());
        }
    }
}

/// The request to replay for a line, if there is one.
///
/// Whatever was asked for, the object is replayed whole: HEAD and 304 carry no body, 206 carries a part, so
/// for these the object has the largest size that was seen of it.
fn judge(
    entry: &TraceEntry<'_>,
    sizes: &mut BTreeMap<CacheKey, u64>,
    left_out: &mut LeftOut,
) -> Option<Request> {
    let is_head = match entry.method.as_deref() {
        None | Some("GET") => false,
        Some("HEAD") => true,
        Some(_) => {
            left_out.other_methods += 1;
            return None;
        }
    };
    if entry.status.is_some_and(|status| !REPLAYED.contains(&status)) {
        left_out.other_statuses += 1;
        return None;
    }
    let key = key_of(entry);
    let size = match entry.status {
        None if !is_head => entry.size,
        Some(NOT_MODIFIED) => seen(sizes, key, left_out)?,
        _ if is_head => seen(sizes, key, left_out)?,
        Some(PARTIAL_CONTENT) => largest(sizes, key, entry.size),
        Some(_) | None => {
            largest(sizes, key, entry.size);
            entry.size
        }
    };
    Some(Request { time_ms: entry.time_ms, key, size: ByteCount(size) })
}

fn seen(sizes: &BTreeMap<CacheKey, u64>, key: CacheKey, left_out: &mut LeftOut) -> Option<u64> {
    let size = sizes.get(&key).copied();
    if size.is_none() {
        left_out.unknown_sizes += 1;
    }
    size
}

fn largest(sizes: &mut BTreeMap<CacheKey, u64>, key: CacheKey, size: u64) -> u64 {
    let largest = sizes.entry(key).or_default();
    *largest = size.max(*largest);
    *largest
}

/// The key that a proxy would give it: of the host, in lower case, and of path and query.
fn key_of(entry: &TraceEntry<'_>) -> CacheKey {
    let target = &*entry.target;
    let after_scheme = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    let (host, target) = match after_scheme {
        Some(rest) => rest.find(['/', '?']).map_or((rest, "/"), |at| rest.split_at(at)),
        None => (entry.host.as_deref().unwrap_or_default(), target),
    };
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return CacheKey::of(&host.to_ascii_lowercase(), target);
    }
    CacheKey::of(host, target)
}
