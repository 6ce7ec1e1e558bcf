//! Request and response heads, as the engine needs them: a method or status, and fields in their order.

use crate::language::{recording, units::ByteCount};
use alloc::{string::String, sync::Arc, vec::Vec};
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Header fields in the order they came. Names are lower case; a name may occur several times.
///
/// All lines share three allocations, however many they are: a head is made, copied and dropped with each
/// request.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Fields {
    /// All names, one after the other.
    names: String,
    /// All values.
    values: Vec<u8>,
    /// Where each line's name and value end.
    ends: Vec<Ends>,
}

/// What a line's name and value usually take at most, on average.
const NAME_BYTES: usize = 14;
const VALUE_BYTES: usize = 26;

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Ends {
    name: usize,
    value: usize,
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, recording::escaped(value)))).finish()
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|(name, value)| (name, recording::escaped(value))))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let lines = Vec::<(String, String)>::deserialize(deserializer)?;
        lines
            .into_iter()
            .map(|(name, text)| Ok((name, recording::unescaped(&text).map_err(D::Error::custom)?)))
            .collect()
    }
}

impl Fields {
    /// No fields.
    pub const fn new() -> Self {
        Self { names: String::new(), values: Vec::new(), ends: Vec::new() }
    }

    /// No fields yet, and room for so many lines as lines usually are.
    pub fn with_capacity(lines: usize) -> Self {
        Self {
            names: String::with_capacity(lines.saturating_mul(NAME_BYTES)),
            values: Vec::with_capacity(lines.saturating_mul(VALUE_BYTES)),
            ends: Vec::with_capacity(lines),
        }
    }

    /// Is there no field?
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a field line. `name` is stored in lower case.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let start = self.names.len();
        self.names.push_str(name);
        self.names[start..].make_ascii_lowercase();
        self.values.extend_from_slice(value);
        self.ends.push(Ends { name: self.names.len(), value: self.values.len() });
    }

    /// Every field line, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut start = Ends::default();
        self.ends.iter().map(move |end| {
            let line = (&self.names[start.name..end.name], &self.values[start.value..end.value]);
            start = *end;
            line
        })
    }

    /// The values of `name` (lower case), in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let mut start = Ends::default();
        self.ends.iter().filter_map(move |end| {
            let (from, to) = (start, *end);
            start = *end;
            // Most names differ in length already.
            let is_meant = to.name - from.name == name.len()
                && self.names.as_bytes()[from.name..to.name] == *name.as_bytes();
            is_meant.then(|| &self.values[from.value..to.value])
        })
    }

    /// Is there a line named `name` (lower case)?
    pub fn contains(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Removes every line whose name `unwanted` accepts.
    pub fn remove(&mut self, mut unwanted: impl FnMut(&str) -> bool) {
        *self = self.iter().filter(|(name, _)| !unwanted(name)).collect();
    }

    /// The value of `name` (lower case) when it has exactly one line.
    pub fn only<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        let mut lines = self.all(name);
        match (lines.next(), lines.next()) {
            (Some(value), None) => Some(value),
            (None, _) | (Some(_), Some(_)) => None,
        }
    }

    /// The bytes that names and values hold, which is what a head costs in a tier.
    pub fn size(&self) -> ByteCount {
        ByteCount((self.names.len() + self.values.len()) as u64)
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Self {
        let lines = lines.into_iter();
        let mut fields = Self::with_capacity(lines.size_hint().0);
        for (name, value) in lines {
            fields.push(name.as_ref(), value.as_ref());
        }
        fields
    }
}

/// What a request wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// The representation.
    Get,
    /// Its head only.
    Head,
    /// Its data processed by the target. Never answered from the cache, though an answer may be stored (RFC
    /// 9110 section 9.3.3).
    Post,
    /// `OPTIONS` or `TRACE`, which change nothing (RFC 9110 section 9.2.1). Never answered from the cache.
    OtherSafe,
    /// Anything else, unknown methods with it: it may change what is stored, and is never answered from the
    /// cache.
    Other,
}

impl Method {
    /// Does it leave everything as it is (RFC 9110 section 9.2.1)?
    pub const fn is_safe(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::OtherSafe => true,
            Self::Post | Self::Other => false,
        }
    }

    /// May the cache answer it (RFC 9111 section 4)?
    pub const fn is_lookup(self) -> bool {
        match self {
            Self::Get | Self::Head => true,
            Self::Post | Self::OtherSafe | Self::Other => false,
        }
    }
}

/// A client's request, as the engine and the origin client need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// `Host`, in lower case, or `:authority`. Shared, because what is stored remembers it.
    #[serde(with = "recording::text")]
    pub authority: Arc<str>,
    /// Path and query, as sent. Shared, too.
    #[serde(with = "recording::text")]
    pub target: Arc<str>,
    /// Header fields, without hop-by-hop ones.
    pub fields: Fields,
}

/// A response's head.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Header fields, without hop-by-hop ones.
    pub fields: Fields,
}

/// What is known of a body's length when its head has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Length {
    /// Exactly this many bytes; more or fewer is an error.
    Known(ByteCount),
    /// Only the end of the stream tells.
    Unknown,
}

impl Head {
    /// What the head says of the body's length (RFC 9112 section 6.3): no body for 204 and 304,
    /// `Content-Length` otherwise. Several lengths that differ, or one that is no number, count as unknown;
    /// the origin client has refused such a response before.
    pub fn length(&self) -> Length {
        if matches!(self.status, 204 | 304) {
            return Length::Known(ByteCount::ZERO);
        }
        let length = self.fields.only("content-length").and_then(number);
        length.map_or(Length::Unknown, |length| Length::Known(ByteCount(length)))
    }
}

/// A number in decimal digits and nothing else but the space around it.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.trim_ascii();
    let number = digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    });
    number.filter(|_| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length is digits and nothing else, once; all else is unknown (RFC 9110 section 8.6).
    #[test]
    fn a_length_is_digits() {
        let head = |values: &[&str]| Head {
            status: 200,
            fields: values.iter().map(|value| ("content-length", *value)).collect(),
        };
        for (value, length) in [("0", 0), (" 7\t", 7), ("18446744073709551615", u64::MAX)] {
            assert_eq!(head(&[value]).length(), Length::Known(ByteCount(length)), "{value:?}");
        }
        let unknown =
            [&[][..], &[""], &["+5"], &["-1"], &["5 5"], &["0x5"], &["18446744073709551616"], &["5", "5"]];
        for values in unknown {
            assert_eq!(head(values).length(), Length::Unknown, "{values:?}");
        }
    }

    /// Lines keep their order, their repetitions and every byte of their values; names become lower case.
    #[test]
    fn lines_are_what_was_pushed() {
        let mut fields = Fields::new();
        for (name, value) in
            [("ETag", &b"\"x\""[..]), ("set-cookie", b""), ("Set-Cookie", b"a\xff"), ("b", b"1")]
        {
            fields.push(name, value);
        }
        let lines: Vec<_> = fields.iter().collect();
        assert_eq!(
            lines,
            [("etag", &b"\"x\""[..]), ("set-cookie", b""), ("set-cookie", b"a\xff"), ("b", b"1")]
        );
        assert_eq!((fields.only("set-cookie"), fields.only("b")), (None, Some(&b"1"[..])));
        assert_eq!(fields.size(), ByteCount(4 + 10 + 10 + 1 + 3 + 2 + 1));
    }

    /// What is left after lines were removed is equal to the same lines pushed one by one, wherever they end.
    #[test]
    fn removed_lines_leave_no_trace() {
        let mut fields = Fields::from_iter([("a", "1"), ("bb", "22"), ("a", "3"), ("c", "")]);
        fields.remove(|name| name == "a");
        assert_eq!(fields, Fields::from_iter([("bb", "22"), ("c", "")]));
        assert_ne!(fields, Fields::from_iter([("b", "b22"), ("c", "")]));
        assert_ne!(fields, Fields::from_iter([("bb", "2"), ("c", "2")]));
        fields.remove(|_| true);
        assert_eq!(fields, Fields::new());
    }
}
