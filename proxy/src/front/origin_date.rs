//! The origin's `Date` in what goes around the cache.
//!
//! Pingora writes its own clock's time over what the origin said; a proxy is to pass that on (RFC 9110
//! section 6.6.1). All dates that are written as that section asks have the same length, so the origin's
//! takes the place of Pingora's while the head leaves.

use std::sync::{Arc, OnceLock};

/// Bytes of a date as all write it: `Sun, 06 Nov 1994 08:49:37 GMT`.
const BYTES: usize = 29;
/// Where it stands in a head.
const NAME: &[u8] = b"\r\ndate: ";
/// What a head begins with, but for the digit of its minor version and its status.
const VERSION: &[u8] = b"HTTP/1.";

/// What the origin says, once it has: told by who reads the response, and read by who writes it.
#[derive(Clone, Debug, Default)]
pub(super) struct OriginDate(Arc<OnceLock<[u8; BYTES]>>);

impl OriginDate {
    /// The origin has said so. What is no date as all write it stays Pingora's.
    pub(super) fn is(&self, value: &[u8]) {
        let date = std::str::from_utf8(value).ok().filter(|date| httpdate::parse_http_date(date).is_ok());
        if let Some(date) = date.and_then(|date| date.as_bytes().try_into().ok()) {
            // There is one final response.
            let _ = self.0.set(date);
        }
    }
}

/// How far a head has left.
#[derive(Debug)]
pub(super) enum Redated {
    /// What is written next may be the head.
    Awaits(OriginDate),
    /// So many bytes come before the date, or before what is left of it.
    Within { before: usize, date: [u8; BYTES], left: usize },
    /// There is nothing to do any more.
    Done,
}

impl Redated {
    /// What is to be written instead of these bytes, which are as many. Interim heads may come before the
    /// final one, also after that was read, and have no date, or one of their own.
    pub(super) fn pieces<'b>(&'b mut self, bytes: &'b [u8]) -> [&'b [u8]; 3] {
        if let Self::Awaits(date) = self
            && let Some(date) = date.0.get().copied()
            && let Some(begin) = final_head(bytes)
        {
            let mut names = bytes[begin..].windows(NAME.len());
            let at = names.position(|bytes| bytes.eq_ignore_ascii_case(NAME));
            let within = |at| Self::Within { before: begin + at + NAME.len(), date, left: BYTES };
            *self = at.map_or(Self::Done, within);
        }
        match self {
            Self::Awaits(_) | Self::Done => [bytes, &[], &[]],
            Self::Within { before, date, left } => {
                let (head, rest) = bytes.split_at((*before).min(bytes.len()));
                let dated = (*left).min(rest.len());
                [head, &date[BYTES - *left..][..dated], &rest[dated..]]
            }
        }
    }

    /// So many bytes of those pieces have left.
    pub(super) fn left(&mut self, count: usize) {
        if let Self::Within { before, left, .. } = self {
            let ahead = count.min(*before);
            *before -= ahead;
            *left -= (count - ahead).min(*left);
            if *left == 0 {
                *self = Self::Done;
            }
        }
    }
}

/// Where a head that is not interim begins: at a line `HTTP/1.1 200`, which no field is.
fn final_head(bytes: &[u8]) -> Option<usize> {
    let is_line = |at: usize| at == 0 || bytes[at - 1] == b'\n';
    memchr::memmem::find_iter(bytes, VERSION)
        .find(|at| is_line(*at) && matches!(bytes[at + VERSION.len()..], [_, b' ', b'2'..=b'9', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Mon, 30 Nov 2026 00:00:00 GMT\r\nA: b\r\n\r\nbody";
    const ORIGINS: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    /// What leaves, if the client takes `count` bytes at a time.
    fn leaves(date: &OriginDate, writes: &[&[u8]], count: usize) -> String {
        let mut redated = Redated::Awaits(date.clone());
        let mut out = Vec::new();
        for mut bytes in writes.iter().copied() {
            while !bytes.is_empty() {
                let taken = redated.pieces(bytes).concat();
                let taken = &taken[..count.min(taken.len())];
                out.extend_from_slice(taken);
                redated.left(taken.len());
                bytes = &bytes[taken.len()..];
            }
        }
        String::from_utf8(out).expect("text")
    }

    /// However slowly the client takes the head, the origin's date is in it, and only there.
    #[test]
    fn the_origins_date_takes_the_place_of_pingoras() {
        let date = OriginDate::default();
        date.is(ORIGINS.as_bytes());
        let text = String::from_utf8(HEAD.to_vec()).expect("text");
        let expected = text.replace("Mon, 30 Nov 2026 00:00:00 GMT", ORIGINS) + &text;
        for count in 1..=HEAD.len() {
            assert_eq!(leaves(&date, &[HEAD, HEAD], count), expected, "{count} bytes at a time");
        }
    }

    /// Interim heads leave as they are, however they are written: alone, with the final one, or in parts.
    #[test]
    fn a_date_is_the_final_heads() {
        let interim = b"HTTP/1.1 103 Early Hints\r\nDate: Mon, 30 Nov 2026 00:00:00 GMT\r\nLink: <a>\r\n\r\n";
        let text = [&interim[..], interim, HEAD].concat();
        let date = OriginDate::default();
        date.is(ORIGINS.as_bytes());
        let head = String::from_utf8(HEAD.to_vec()).expect("text");
        let interims = String::from_utf8([&interim[..], interim].concat()).expect("text");
        let expected = interims + &head.replace("Mon, 30 Nov 2026 00:00:00 GMT", ORIGINS);
        for count in [1, 2, 7, 30, 1_000] {
            assert_eq!(leaves(&date, &[interim, interim, HEAD], count), expected, "{count} bytes at a time");
            assert_eq!(leaves(&date, &[&text], count), expected, "all at once, {count} bytes at a time");
        }
    }

    /// Without a date of the origin's, Pingora's stays: who has a clock says when a response came.
    #[test]
    fn without_one_pingoras_stays() {
        let text = String::from_utf8(HEAD.to_vec()).expect("text");
        for value in ["", "yesterday", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 XYZ"] {
            let date = OriginDate::default();
            date.is(value.as_bytes());
            assert_eq!(leaves(&date, &[HEAD], 1_000), text, "{value}");
        }
    }
}
