//! The common and combined log formats of Apache and nginx, with or without the virtual host before them.
//!
//! ```text
//! [host[:port]] client ident user [27/Nov/2026:01:50:54 +0000] "GET /a HTTP/1.1" 200 1024 …
//! ```
//!
//! What follows the bytes is not looked at. Targets are taken as the log writes them, escapes and all.

use super::{
    columns::{REQUEST_LINE_BOUND, SIZE_BOUND, request_line, size_of},
    error::Malformed,
    lines::TraceEntry,
    time,
};
use std::borrow::Cow;

/// Words before the time when there is no virtual host.
const WORDS_BEFORE_TIME: usize = 3;
const LINE_BOUND: &str =
    "in common or combined log format: client ident user [time] \"request\" status bytes";

/// Does a line have a time in brackets with a quoted request behind it?
pub(super) fn looks_so(line: &[u8]) -> bool {
    line.contains(&b'[') && line.windows(3).any(|bytes| bytes == b"] \"")
}

pub(super) fn entry(line: &[u8]) -> Result<TraceEntry<'_>, Malformed> {
    let text = std::str::from_utf8(line).map_err(|_| Malformed::new("line", Some(line), "UTF-8"))?;
    let malformed = || Malformed::new("line", Some(line), LINE_BOUND);
    let (before, rest) = text.split_once(" [").ok_or_else(malformed)?;
    let (when, rest) = rest.split_once("] \"").ok_or_else(malformed)?;
    let (request, rest) = split_quoted(rest).ok_or_else(malformed)?;
    let mut numbers = rest.split_ascii_whitespace();
    let (Some(status), Some(bytes)) = (numbers.next(), numbers.next()) else {
        return Err(malformed());
    };
    let wrong =
        |column: &'static str, value: &str, bound| Malformed::new(column, Some(value.as_bytes()), bound);
    let time_ms = time::common(when)
        .ok_or_else(|| wrong("time", when, "a time, such as 27/Nov/2026:01:50:54 +0000"))?;
    let status = status.parse().map_err(|_| wrong("status", status, "a status, such as 200"))?;
    let size = size_of(bytes).ok_or_else(|| wrong("bytes", bytes, SIZE_BOUND))?;
    // Clients that send no request line at all are in every log; the server has answered 400 or 408.
    let (method, target) = match request_line(request) {
        Some(parts) => parts,
        None if status >= 400 => ("", request),
        None => return Err(wrong("request", request, REQUEST_LINE_BOUND)),
    };
    Ok(TraceEntry {
        time_ms,
        host: host(before).map(Cow::Borrowed),
        target: Cow::Borrowed(target),
        method: Some(Cow::Borrowed(method)),
        status: Some(status),
        size,
    })
}

/// What stands before the quote that is not escaped, and what behind it.
fn split_quoted(text: &str) -> Option<(&str, &str)> {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !is_escaped => return Some((&text[..at], &text[at + 1..])),
            _ => is_escaped = byte == b'\\' && !is_escaped,
        }
    }
    None
}

/// The virtual host, when the line begins with one, without a port that is its scheme's own.
fn host(before: &str) -> Option<&str> {
    let mut words = before.split_ascii_whitespace();
    let first = words.next()?;
    if words.count() != WORDS_BEFORE_TIME {
        return None;
    }
    Some(first.strip_suffix(":80").or_else(|| first.strip_suffix(":443")).unwrap_or(first))
}
