//! Parts of a stored response (RFC 9110 section 14): which are asked for, and the heads and texts they travel
//! with.
//!
//! The response is held whole, and its length is known. Nothing here stores or joins parts.

use super::{
    http_date,
    list::{members, number},
    validator::{EntityTag, strong_last_modified},
};
use crate::language::{
    head::{Fields, Head, Method, RequestHead},
    time::WallTime,
};
use alloc::{boxed::Box, format, string::String, vec::Vec};

/// Bytes `first` to `last`, both included: never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    first: u64,
    last: u64,
}

impl ByteRange {
    /// Where it begins.
    pub(crate) const fn first(self) -> u64 {
        self.first
    }

    /// Its last byte.
    pub(crate) const fn last(self) -> u64 {
        self.last
    }

    /// How many bytes it has.
    pub(crate) const fn length(self) -> u64 {
        self.last - self.first + 1
    }

    /// The value of its `Content-Range` (section 14.4).
    pub(crate) fn content_range(self, complete: u64) -> String {
        format!("bytes {}-{}/{complete}", self.first, self.last)
    }
}

/// What a request gets of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Portion {
    /// All of it: no range was asked for, or none that counts.
    Whole,
    /// 206 with one part: see [`partial_head`].
    One(ByteRange),
    /// 206 with several parts, in the order they were asked for: see [`multipart`].
    Several(Vec<ByteRange>),
    /// 416: see [`unsatisfiable_head`].
    Unsatisfiable,
}

/// More ranges than this are answered with the whole: section 14.2 leaves that open, for ranges are cheap to
/// ask for and dear to answer.
const RANGES_MAX: usize = 16;

/// What `request` gets of `stored`, whose body has `length` bytes.
pub(crate) fn portion(request: &RequestHead, stored: &Head, length: u64, now: WallTime) -> Portion {
    // Section 14.2: only GET has ranges; and only what a plain GET answers with 200 has parts.
    if request.method != Method::Get || stored.status != 200 || !if_range_holds(&request.fields, stored, now)
    {
        return Portion::Whole;
    }
    let Some(asked) = request.fields.only("range").and_then(asked_for) else {
        return Portion::Whole;
    };
    let satisfiable: Vec<ByteRange> = asked.iter().filter_map(|asked| asked.within(length)).collect();
    let total: u128 = satisfiable.iter().map(|range| u128::from(range.length())).sum();
    match *satisfiable {
        // Nothing of an empty body can be named in a `Content-Range`.
        [] if length == 0 && asked.iter().all(|asked| asked.is_suffix_with_bytes()) => Portion::Whole,
        [] => Portion::Unsatisfiable,
        [one] => Portion::One(one),
        // Ranges that overlap so far that they come to more than the whole are answered with the whole.
        _ if total > u128::from(length) => Portion::Whole,
        _ => Portion::Several(satisfiable),
    }
}

/// One range as it was asked for (section 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// `first-`
    From(u64),
    /// `first-last`
    FromTo(u64, u64),
    /// `-count`
    Last(u64),
}

impl Asked {
    fn of(spec: &[u8]) -> Option<Self> {
        let dash = spec.iter().position(|byte| *byte == b'-')?;
        let (first, last) = (&spec[..dash], &spec[dash + 1..]);
        let count = |digits| number(digits, u64::MAX - 1);
        match (first.is_empty(), last.is_empty()) {
            (true, _) => Some(Self::Last(count(last)?)),
            (false, true) => Some(Self::From(count(first)?)),
            (false, false) => {
                let (first, last) = (count(first)?, count(last)?);
                (first <= last).then_some(Self::FromTo(first, last))
            }
        }
    }

    const fn is_suffix_with_bytes(&self) -> bool {
        match self {
            Self::Last(count) => *count > 0,
            Self::From(_) | Self::FromTo(..) => false,
        }
    }

    /// The bytes of it that a body of `length` bytes has.
    fn within(self, length: u64) -> Option<ByteRange> {
        let end = length.checked_sub(1)?;
        let (first, last) = match self {
            Self::From(first) => (first, end),
            Self::FromTo(first, last) => (first, last.min(end)),
            // The last 0 bytes begin behind the end.
            Self::Last(count) => (length.saturating_sub(count), end),
        };
        (first <= end).then_some(ByteRange { first, last })
    }
}

/// The ranges of a `Range` in bytes. `None`, and so the whole, for another unit, for a mistake anywhere
/// (section 14.2), and for more than [`RANGES_MAX`].
fn asked_for(value: &[u8]) -> Option<Vec<Asked>> {
    let equals = value.iter().position(|byte| *byte == b'=')?;
    if !value[..equals].trim_ascii().eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let asked =
        members(&value[equals + 1..]).take(RANGES_MAX + 1).map(Asked::of).collect::<Option<Vec<_>>>()?;
    matches!(asked.len(), 1..=RANGES_MAX).then_some(asked)
}

/// Is the stored response the one that the client has a part of (section 13.1.5)? Only a strong tag or a
/// strong date can tell, and the date must be the very same. Without `If-Range` it is.
fn if_range_holds(request: &Fields, stored: &Head, now: WallTime) -> bool {
    if !request.contains("if-range") {
        return true;
    }
    let Some(condition) = request.only("if-range") else {
        return false;
    };
    match http_date::parse(condition, now) {
        Some(date) => strong_last_modified(&stored.fields, now) == Some(date),
        None => {
            EntityTag::of_response(&stored.fields).is_some_and(|own| own.is_same(EntityTag::of(condition)))
        }
    }
}

/// The head of a 206 with one part.
pub(crate) fn partial_head(stored: &Head, range: ByteRange, complete: u64) -> Head {
    let mut fields = without_length(stored);
    fields.push("content-range", range.content_range(complete).as_bytes());
    fields.push("content-length", format!("{}", range.length()).as_bytes());
    Head { status: 206, fields }
}

/// The head of a 416: how long the representation is, and nothing that describes it.
pub(crate) fn unsatisfiable_head(complete: u64) -> Head {
    let fields = [("content-range", format!("bytes */{complete}")), ("content-length", "0".into())];
    Head { status: 416, fields: fields.into_iter().collect() }
}

/// A 206 with several parts (section 14.6): its head, and what stands before, between and behind the parts'
/// bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Multipart {
    /// The head, `Content-Length` included.
    pub head: Head,
    /// Each part's delimiter and fields, to be followed by its bytes.
    pub parts: Vec<(Box<str>, ByteRange)>,
    /// What ends the body.
    pub close: Box<str>,
}

/// The pieces of a multipart answer. `boundary` is a random number, so that no body holds it.
pub(crate) fn multipart(stored: &Head, ranges: &[ByteRange], complete: u64, boundary: u128) -> Multipart {
    let boundary = format!("{boundary:032x}");
    let content_type = stored.fields.only("content-type").and_then(|value| core::str::from_utf8(value).ok());
    let type_line = content_type.map_or_else(String::new, |value| format!("Content-Type: {value}\r\n"));
    let parts: Vec<(Box<str>, ByteRange)> = ranges
        .iter()
        .map(|range| {
            let content_range = range.content_range(complete);
            let text = format!("\r\n--{boundary}\r\n{type_line}Content-Range: {content_range}\r\n\r\n");
            (text.into_boxed_str(), *range)
        })
        .collect();
    let close = format!("\r\n--{boundary}--\r\n").into_boxed_str();
    let length = parts.iter().fold(close.len() as u64, |sum, (text, range)| {
        sum.saturating_add(text.len() as u64).saturating_add(range.length())
    });
    let mut fields = without_length(stored);
    fields.remove(|name| name == "content-type");
    fields.push("content-type", format!("multipart/byteranges; boundary={boundary}").as_bytes());
    fields.push("content-length", format!("{length}").as_bytes());
    Multipart { head: Head { status: 206, fields }, parts, close }
}

/// The stored fields, but for what says how much of the representation follows. A digest of the content was
/// one of the whole (RFC 9530 section 2).
fn without_length(stored: &Head) -> Fields {
    let mut fields = stored.fields.clone();
    fields
        .remove(|name| matches!(name, "content-length" | "content-range" | "content-md5" | "content-digest"));
    fields
}

#[cfg(test)]
mod tests;
