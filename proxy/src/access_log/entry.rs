//! One line of the access log, in two formats.
//!
//! What is logged comes from strangers, so it is escaped: a line stays one line, whatever a client sends.
//! There is no place for `Cookie`, `Authorization` or any other field than the ones named here.

use crate::config::Format;
use std::{
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Bytes of one field that are written. What comes after them is cut off.
const FIELD_BYTES_MAX: usize = 8 << 10;

/// One response. Nothing of it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'e> {
    /// The client's address, without its port.
    pub client: std::net::IpAddr,
    /// When the request came.
    pub time: SystemTime,
    /// As sent.
    pub method: &'e [u8],
    /// The host that the request is for, with its port if it names one.
    pub host: &'e [u8],
    /// As sent: a path and query, a whole URL, or what else stood there. Credentials in a URL are left out.
    pub target: &'e [u8],
    /// Such as `HTTP/1.1`.
    pub protocol: &'static str,
    /// What the client read; 0 when it read none.
    pub status: u16,
    /// Bytes of the body.
    pub bytes: u64,
    /// From the request's first byte to the response's last.
    pub duration: Duration,
    /// `Referer`. Credentials in it are left out.
    pub referer: Option<&'e [u8]>,
    /// `User-Agent`.
    pub user_agent: Option<&'e [u8]>,
    /// `Cache-Status`, this cache's own part.
    pub cache_status: &'e [u8],
    /// The request's id.
    pub request_id: &'e [u8],
}

impl Entry<'_> {
    /// Appends the line, with its end.
    pub(super) fn write(&self, format: Format, line: &mut Vec<u8>) {
        match format {
            Format::Combined => self.write_combined(line),
            Format::Json => self.write_json(line),
        }
    }

    fn write_combined(&self, line: &mut Vec<u8>) {
        let Time { year, month, day, hour, minute, second, .. } = Time::of(self.time);
        let month = MONTHS[month - 1];
        let client = self.client;
        put(
            line,
            format_args!(
                "{client} - - [{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000] \""
            ),
        );
        escape_combined(line, self.method);
        line.push(b' ');
        without_credentials(self.target, |part| escape_combined(line, part));
        put(line, format_args!(" {}\" {} {} \"", self.protocol, self.status, self.bytes));
        match self.referer {
            Some(referer) => without_credentials(cut(referer), |part| escape_combined(line, part)),
            None => line.push(b'-'),
        }
        line.extend_from_slice(b"\" \"");
        match self.user_agent {
            Some(user_agent) => escape_combined(line, cut(user_agent)),
            None => line.push(b'-'),
        }
        line.extend_from_slice(b"\"\n");
    }

    fn write_json(&self, line: &mut Vec<u8>) {
        let Time { year, month, day, hour, minute, second, micros } = Time::of(self.time);
        put(
            line,
            format_args!(
                "{{\"time\":\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z\",\
                 \"client\":\"{}\",\"method\":\"",
                self.client
            ),
        );
        escape_json(line, self.method);
        line.extend_from_slice(b"\",\"host\":\"");
        escape_json(line, self.host);
        line.extend_from_slice(b"\",\"target\":\"");
        without_credentials(self.target, |part| escape_json(line, part));
        put(
            line,
            format_args!(
                "\",\"protocol\":\"{}\",\"status\":{},\"bytes\":{},\"duration_s\":{}.{:06}",
                self.protocol,
                self.status,
                self.bytes,
                self.duration.as_secs(),
                self.duration.subsec_micros()
            ),
        );
        if let Some(referer) = self.referer {
            line.extend_from_slice(b",\"referer\":\"");
            without_credentials(cut(referer), |part| escape_json(line, part));
            line.push(b'"');
        }
        if let Some(user_agent) = self.user_agent {
            line.extend_from_slice(b",\"user_agent\":\"");
            escape_json(line, cut(user_agent));
            line.push(b'"');
        }
        line.extend_from_slice(b",\"cache\":\"");
        escape_json(line, cut(self.cache_status));
        line.extend_from_slice(b"\",\"request_id\":\"");
        escape_json(line, cut(self.request_id));
        line.extend_from_slice(b"\"}\n");
    }
}

fn put(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("a Vec takes everything");
}

fn cut(field: &[u8]) -> &[u8] {
    &field[..field.len().min(FIELD_BYTES_MAX)]
}

/// Gives `put` the URL in parts, without the user information that a URL may have before its host.
fn without_credentials(url: &[u8], mut put: impl FnMut(&[u8])) {
    let authority = url.windows(3).position(|three| three == b"://").map(|at| at + 3);
    // In a path or query, the same bytes are no authority.
    let authority = authority.filter(|start| url[..start - 3].iter().all(u8::is_ascii_alphanumeric));
    if let Some(start) = authority {
        let end = url[start..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
        let end = end.map_or(url.len(), |length| start + length);
        if let Some(at) = url[start..end].iter().rposition(|byte| *byte == b'@') {
            put(&url[..start]);
            return put(cut(&url[start + at + 1..]));
        }
    }
    put(cut(url));
}

/// As nginx does: quotation marks, backslashes and everything but printable ASCII become `\xHH`.
fn escape_combined(line: &mut Vec<u8>, text: &[u8]) {
    for byte in cut(text) {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => put(line, format_args!("\\x{byte:02X}")),
            b' '..=b'~' => line.push(*byte),
        }
    }
}

/// The inside of a JSON string. Bytes that are no UTF-8 become U+FFFD.
fn escape_json(line: &mut Vec<u8>, text: &[u8]) {
    for chunk in cut(text).utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
                0..=0x1f | 0x7f => put(line, format_args!("\\u{byte:04x}")),
                b' '..=b'~' | 0x80.. => line.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            line.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A point in time in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time {
    year: u64,
    /// From 1.
    month: usize,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    micros: u32,
}

impl Time {
    /// A time before 1970 is 1970.
    fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        // Years begin in March here, so that the day that comes and goes is the last of one. An era is the
        // 400 years after which the calendar repeats. See Howard Hinnant, "chrono-Compatible Low-Level Date
        // Algorithms".
        let days = seconds / 86_400 + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month: usize::try_from(month).expect("from 1 to 12"),
            day: of_year - (153 * from_march + 2) / 5 + 1,
            hour: seconds / 3600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            micros: since.subsec_micros(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
