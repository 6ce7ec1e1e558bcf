//! Which named column holds what.

use super::{error::Malformed, lines::TraceEntry, time};
use std::{borrow::Cow, fmt, str::FromStr};

/// What a column may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    Time,
    Key,
    Size,
    Host,
    Method,
    Status,
    /// A request line, for logs that have no column for its parts.
    Request,
}

/// Every column, in the order of their discriminants.
pub(super) const COLUMNS: [Column; 7] =
    [Column::Time, Column::Key, Column::Size, Column::Host, Column::Method, Column::Status, Column::Request];

impl Column {
    const fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Key => "key",
            Self::Size => "size",
            Self::Host => "host",
            Self::Method => "method",
            Self::Status => "status",
            Self::Request => "request",
        }
    }

    /// The names that are looked for, in this order. A dot leads into an object of JSON.
    pub(super) const fn known(self) -> &'static [&'static str] {
        match self {
            Self::Time => &[
                "time",
                "timestamp",
                "ts",
                "@timestamp",
                "time_iso8601",
                "time_local",
                "msec",
                "start_time",
                "date",
                "datetime",
                "time_s",
                "time_ms",
                "StartUTC",
                "EdgeStartTimestamp",
            ],
            Self::Key => &[
                "key",
                "url",
                "uri",
                "request_uri",
                "request.uri",
                "path",
                "target",
                "object",
                "object_id",
                "obj_id",
                "id",
                "RequestPath",
                "ClientRequestURI",
            ],
            Self::Size => &[
                "size",
                "bytes",
                "body_bytes_sent",
                "bytes_sent",
                "size_bytes",
                "object_size",
                "obj_size",
                "response_size",
                "content_length",
                "length",
                "DownstreamContentSize",
                "EdgeResponseBytes",
            ],
            Self::Host => &[
                "host",
                "request.host",
                "authority",
                ":authority",
                "http_host",
                "vhost",
                "server_name",
                "RequestHost",
                "ClientRequestHost",
            ],
            Self::Method => {
                &["method", "request_method", "request.method", "RequestMethod", "ClientRequestMethod"]
            }
            Self::Status => {
                &["status", "response_code", "status_code", "DownstreamStatus", "EdgeResponseStatus"]
            }
            Self::Request => &["request", "request_line"],
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names that the user gave to columns. Read from `time=ts,key=url,size=bytes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns(Vec<(Column, String)>);

impl Columns {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name that the user gave.
    pub(super) fn name(&self, column: Column) -> Option<&str> {
        self.0.iter().find(|(other, _)| *other == column).map(|(_, name)| name.as_str())
    }

    /// Where each column stands when all were given by number, counted from 1: then there is no line of
    /// names.
    pub(super) fn positions(&self) -> Option<Vec<(Column, usize)>> {
        let position = |(column, name): &(Column, String)| {
            let number: usize = name.parse().ok()?;
            Some((*column, number.checked_sub(1)?))
        };
        if self.is_empty() { None } else { self.0.iter().map(position).collect() }
    }
}

impl FromStr for Columns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut named = Vec::new();
        for part in text.split(',') {
            let (column, name) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` is no column: write COLUMN=NAME, as in time=ts,key=url"))?;
            let column = COLUMNS.into_iter().find(|known| known.name() == column).ok_or_else(|| {
                let known: Vec<_> = COLUMNS.iter().map(|column| column.name()).collect();
                format!("`{column}` is no column: write one of {}", known.join(", "))
            })?;
            if name.is_empty() {
                return Err(format!("`{column}` has no name: write {column}=NAME"));
            }
            if named.iter().any(|(other, _)| *other == column) {
                return Err(format!("`{column}` is named twice"));
            }
            named.push((column, name.to_owned()));
        }
        Ok(Self(named))
    }
}

/// One line's columns, as far as it has them, each with the name it was found under.
#[derive(Debug, Default)]
pub(super) struct Cells<'l>([Option<(&'l str, Cow<'l, str>)>; COLUMNS.len()]);

impl<'l> Cells<'l> {
    pub(super) fn set(&mut self, column: Column, name: &'l str, value: Cow<'l, str>) {
        self.0[column as usize] = Some((name, value));
    }

    /// The request that the columns tell.
    pub(super) fn entry(mut self) -> Result<TraceEntry<'l>, Malformed> {
        let [time, key, size, host, method, status, request] = &mut self.0;
        let (name, text) = time.as_ref().ok_or_else(|| missing(Column::Time, time::BOUND))?;
        let time_ms =
            time::any(name, text).ok_or_else(|| Malformed::new(*name, Some(text.as_bytes()), time::BOUND))?;
        let (name, text) = size.as_ref().ok_or_else(|| missing(Column::Size, SIZE_BOUND))?;
        let size = size_of(text).ok_or_else(|| Malformed::new(*name, Some(text.as_bytes()), SIZE_BOUND))?;
        let status = match status {
            None => None,
            Some((name, text)) => Some(
                text.parse::<u16>()
                    .map_err(|_| Malformed::new(*name, Some(text.as_bytes()), "a status, such as 200"))?,
            ),
        };
        let mut method = method.take().map(|(_, method)| method);
        let target = match (key.take(), request.take()) {
            (Some((_, target)), _) => target,
            (None, Some((name, line))) => {
                let (from_line, target) = request_line(&line)
                    .ok_or_else(|| Malformed::new(name, Some(line.as_bytes()), REQUEST_LINE_BOUND))?;
                method.get_or_insert_with(|| Cow::Owned(from_line.to_owned()));
                Cow::Owned(target.to_owned())
            }
            (None, None) => return Err(missing(Column::Key, "what was asked for")),
        };
        Ok(TraceEntry { time_ms, host: host.take().map(|(_, host)| host), target, method, status, size })
    }
}

fn missing(column: Column, bound: &'static str) -> Malformed {
    Malformed::new(column.name(), None, bound)
}

pub(super) const SIZE_BOUND: &str = "a whole number of bytes up to 1125899906842624 (1 PiB), or `-` for none";
/// A larger object is a mistake in the log.
const SIZE_MAX: u64 = 1 << 50;
pub(super) const REQUEST_LINE_BOUND: &str = "a request line, such as `GET /a HTTP/1.1`";

/// Bytes as logs write them. Some tools write them with a fraction of zero.
pub(super) fn size_of(text: &str) -> Option<u64> {
    match text.trim() {
        "-" | "" => Some(0),
        number => {
            let number: u64 = number.strip_suffix(".0").unwrap_or(number).parse().ok()?;
            (number <= SIZE_MAX).then_some(number)
        }
    }
}

/// Method and target of `GET /a HTTP/1.1`.
pub(super) fn request_line(line: &str) -> Option<(&str, &str)> {
    let (method, rest) = line.split_once(' ')?;
    let (target, version) = rest.rsplit_once(' ')?;
    let is_one = !method.is_empty() && !target.is_empty() && version.starts_with("HTTP/");
    is_one.then_some((method, target))
}
