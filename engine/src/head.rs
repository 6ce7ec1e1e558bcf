//! Request and response heads, as the engine needs them: a method or status, and fields in their order.

use crate::{recording, units::ByteCount};
use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Header fields in the order they came. Names are lower case; a name may occur several times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fields(Vec<(Box<str>, Box<[u8]>)>);

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
        Self(Vec::new())
    }

    /// Adds a field line. `name` is stored in lower case.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let mut name = String::from(name);
        name.make_ascii_lowercase();
        self.0.push((name.into_boxed_str(), value.into()));
    }

    /// Every field line, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The values of `name` (lower case), in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Is there a line named `name` (lower case)?
    pub fn contains(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Removes every line whose name `unwanted` accepts.
    pub fn remove(&mut self, mut unwanted: impl FnMut(&str) -> bool) {
        self.0.retain(|(name, _)| !unwanted(name));
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
        self.iter().fold(ByteCount::ZERO, |sum, (name, value)| sum.plus((name.len() + value.len()) as u64))
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Self {
        let mut fields = Self::new();
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
    /// Its data processed by the target. Never answered from the cache, though an answer may be stored (RFC 9110
    /// section 9.3.3).
    Post,
    /// `OPTIONS` or `TRACE`, which change nothing (RFC 9110 section 9.2.1). Never answered from the cache.
    OtherSafe,
    /// Anything else, unknown methods with it: it may change what is stored, and is never answered from the cache.
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
    /// What the head says of the body's length (RFC 9112 section 6.3): no body for 204 and 304, `Content-Length`
    /// otherwise. Several lengths that differ, or one that is no number, count as unknown; the origin client has
    /// refused such a response before.
    pub fn length(&self) -> Length {
        if matches!(self.status, 204 | 304) {
            return Length::Known(ByteCount::ZERO);
        }
        let mut lengths = self
            .fields
            .all("content-length")
            .map(|value| core::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<u64>().ok()));
        match (lengths.next().flatten(), lengths.next()) {
            (Some(length), None) => Length::Known(ByteCount(length)),
            (Some(_) | None, _) => Length::Unknown,
        }
    }
}
