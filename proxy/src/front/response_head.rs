//! The head of an HTTP/1 response, as bytes.
//!
//! Written straight from what is stored: no map is built. What a cache adds stands at the end; names are
//! written as most servers write them, `Content-Type` and not `content-type`, which means the same (RFC 9110
//! section 5.1) and is what some old clients look for.

use crate::response::{Account, AgeLine, VIA_TEXT};
use bytes::{BufMut, BytesMut};
use std::time::SystemTime;
use tiergate_engine::{ByteCount, Fields, Head, Length};

/// How the body after a head is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFraming {
    /// By its length.
    Length(u64),
    /// In chunks.
    Chunked,
    /// By the end of the connection: a client of HTTP/1.0 knows no other way.
    UntilClose,
    /// There is none, and no length is told either.
    Nothing,
}

impl BodyFraming {
    /// How a response of this status is framed.
    pub(super) fn of(status: u16, length: Length, is_http_10: bool) -> Self {
        match (status, length) {
            (204 | 304, _) => Self::Nothing,
            (_, Length::Known(ByteCount(length))) => Self::Length(length),
            (_, Length::Unknown) if is_http_10 => Self::UntilClose,
            (_, Length::Unknown) => Self::Chunked,
        }
    }
}

/// What becomes of the connection after this response, as its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// It stays, which needs no word in HTTP/1.1.
    Stays,
    /// It stays, and a client of HTTP/1.0 is told so.
    StaysTold,
    Closes,
}

/// Writes a head.
pub(super) fn write(
    out: &mut BytesMut,
    status: u16,
    fields: &Fields,
    framing: BodyFraming,
    account: &Account,
    persistence: Persistence,
) {
    status_line(out, status);
    let mut has_date = false;
    let age = account.age();
    for (name, value) in fields.iter() {
        match name {
            "age" if !matches!(age, AgeLine::Untouched) => continue,
            // Written below, as the framing says.
            "content-length" if !matches!(framing, BodyFraming::Nothing) => continue,
            "date" => has_date = true,
            _ => {}
        }
        put_name(out, name);
        put_value(out, value);
    }
    if !has_date {
        // RFC 9110 section 6.6.1: who has a clock says when it got a response that does not.
        line(out, "Date", httpdate::HttpDate::from(SystemTime::now()));
    }
    match framing {
        BodyFraming::Length(length) => line(out, "Content-Length", length),
        BodyFraming::Chunked => line(out, "Transfer-Encoding", "chunked"),
        BodyFraming::UntilClose | BodyFraming::Nothing => {}
    }
    if let AgeLine::Is(age) = age {
        line(out, "Age", age);
    }
    out.put_slice(b"Cache-Status: ");
    put_value(out, account.status());
    line(out, "Via", VIA_TEXT);
    match persistence {
        Persistence::Stays => {}
        Persistence::StaysTold => line(out, "Connection", "keep-alive"),
        Persistence::Closes => line(out, "Connection", "close"),
    }
    out.put_slice(b"\r\n");
}

/// Writes an interim response (1xx), to which a cache has nothing to add.
pub(super) fn write_interim(out: &mut BytesMut, head: &Head) {
    status_line(out, head.status);
    for (name, value) in head.fields.iter() {
        put_name(out, name);
        put_value(out, value);
    }
    out.put_slice(b"\r\n");
}

fn status_line(out: &mut BytesMut, status: u16) {
    use std::fmt::Write as _;
    let known = http::StatusCode::from_u16(status).ok();
    let reason = known.and_then(|status| status.canonical_reason()).unwrap_or("");
    write!(out, "HTTP/1.1 {status} {reason}\r\n").expect("a buffer that grows takes all text");
}

fn line(out: &mut BytesMut, name: &str, value: impl std::fmt::Display) {
    use std::fmt::Write as _;
    write!(out, "{name}: {value}\r\n").expect("a buffer that grows takes all text");
}

/// A lower-case name with a capital at the beginning of each of its words.
fn put_name(out: &mut BytesMut, name: &str) {
    let mut begins = true;
    for byte in name.bytes() {
        out.put_u8(if begins { byte.to_ascii_uppercase() } else { byte });
        begins = byte == b'-';
    }
    out.put_slice(b": ");
}

fn put_value(out: &mut BytesMut, value: &[u8]) {
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tiergate_engine::{Outcome, TierId};

    fn written(
        status: u16,
        fields: &[(&str, &str)],
        framing: BodyFraming,
        persistence: Persistence,
    ) -> String {
        let outcome = Outcome::Hit { tier: TierId::L0 };
        let account = Account::served(outcome, Duration::from_secs(7), Duration::from_secs(53));
        let mut out = BytesMut::new();
        write(&mut out, status, &fields.iter().copied().collect(), framing, &account, persistence);
        String::from_utf8(out.to_vec()).expect("all of it is ASCII")
    }

    /// What was stored comes first, with the age of now and one length; what the cache says comes last.
    #[test]
    fn a_head_is_what_was_stored_and_what_the_cache_says() {
        let fields = [
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("etag", "\"x\""),
            ("age", "3"),
            ("content-length", "12"),
            ("cache-status", "other; hit"),
        ];
        assert_eq!(
            written(200, &fields, BodyFraming::Length(12), Persistence::Stays),
            "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nEtag: \"x\"\r\n\
             Cache-Status: other; hit\r\nContent-Length: 12\r\nAge: 7\r\n\
             Cache-Status: tiergate; hit; ttl=53; detail=l0\r\nVia: 1.1 tiergate\r\n\r\n"
        );
    }

    /// A 304 keeps the length of what it stands for, and has no framing of its own.
    #[test]
    fn a_head_without_a_body_has_no_framing() {
        let fields = [("date", "x"), ("content-length", "12")];
        let head = written(304, &fields, BodyFraming::Nothing, Persistence::Closes);
        assert!(
            head.starts_with("HTTP/1.1 304 Not Modified\r\nDate: x\r\nContent-Length: 12\r\nAge: 7\r\n"),
            "{head}"
        );
        assert!(head.ends_with("Connection: close\r\n\r\n"), "{head}");
    }

    /// A response without a date gets one; a status that has no name has none.
    #[test]
    fn what_is_missing_is_written() {
        let head = written(299, &[], BodyFraming::Chunked, Persistence::StaysTold);
        assert!(head.starts_with("HTTP/1.1 299 \r\nDate: "), "{head}");
        assert!(head.contains(" GMT\r\nTransfer-Encoding: chunked\r\n"), "{head}");
        assert!(head.ends_with("Connection: keep-alive\r\n\r\n"), "{head}");
    }

    /// The length of a body decides how it is framed, and what the client can read.
    #[test]
    fn framing_follows_the_length_and_the_client() {
        let known = Length::Known(ByteCount(3));
        assert_eq!(BodyFraming::of(200, known, true), BodyFraming::Length(3));
        assert_eq!(BodyFraming::of(200, Length::Unknown, false), BodyFraming::Chunked);
        assert_eq!(BodyFraming::of(200, Length::Unknown, true), BodyFraming::UntilClose);
        assert_eq!(BodyFraming::of(204, known, false), BodyFraming::Nothing);
    }
}
