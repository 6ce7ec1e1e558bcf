//! What a purge names: one key, a surrogate key, everything under a path, or all there is.
//!
//! A selector is checked where it is made, so that whatever holds one may use it. Whether it covers a
//! response is a pure function of what every stored record has at hand: its key, its request's authority and
//! target, its response's head.

use crate::{
    language::{
        head::{Head, RequestHead},
        key::CacheKey,
    },
    rules::surrogate,
};
use alloc::{boxed::Box, sync::Arc};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Bytes of one surrogate key. What purges by it has to be remembered, so it must be short.
pub const TAG_BYTES_MAX: usize = 1024;

/// Bytes of a prefix's authority and path together, for the same reason. More than a server's longest target
/// helps nobody.
pub const PREFIX_BYTES_MAX: usize = 8192;

/// A tag longer than a response's tags may be could only be carried in doubt.
const _: () = assert!(TAG_BYTES_MAX <= surrogate::SURROGATE_BYTES_MAX);

/// What to purge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Selector {
    /// What is stored under one key.
    Key(CacheKey),
    /// Every response that carries the surrogate key.
    Tag(Tag),
    /// Every response under a path of one authority.
    Prefix(Prefix),
    /// Everything.
    All,
}

/// A surrogate key: not empty, visible ASCII without a comma, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct Tag(Box<str>);

/// The authority, in lower case, and what the target begins with, byte by byte: `/a` covers `/ab` and `/a?b`
/// too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(Box<str>, Box<str>)", into = "(Box<str>, Box<str>)")]
pub struct Prefix {
    authority: Box<str>,
    path: Box<str>,
}

/// What happens to what a purge covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PurgeMode {
    /// It is gone: never served again.
    Hard,
    /// It is stale: the origin is asked before it is used, unless a window for stale responses, counted from
    /// the purge, is open. A 304 revives it.
    Soft,
}

/// A selector in short, for events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorKind {
    /// One key.
    Key(CacheKey),
    /// A surrogate key.
    Tag,
    /// A path and what is under it.
    Prefix,
    /// Everything.
    All,
}

/// Where a response was asked for: what a prefix is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetUri {
    pub(crate) authority: Arc<str>,
    pub(crate) target: Arc<str>,
}

impl TargetUri {
    /// Where the request asks.
    pub(crate) fn of(ask: &RequestHead) -> Self {
        Self { authority: Arc::clone(&ask.authority), target: Arc::clone(&ask.target) }
    }
}

/// Why something is no selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectorError {
    /// A surrogate key without a byte.
    TagEmpty,
    /// A surrogate key with a space, a comma, or a byte that is no visible ASCII: no response can carry it.
    TagByte,
    /// A surrogate key longer than [`TAG_BYTES_MAX`].
    TagTooLong,
    /// A prefix of no host.
    AuthorityEmpty,
    /// A prefix whose path does not begin with `/`: no target does so.
    PathNotAbsolute,
    /// A prefix with a space or a control byte: no request can have it.
    PrefixByte,
    /// A prefix longer than [`PREFIX_BYTES_MAX`].
    PrefixTooLong,
}

impl Selector {
    /// Is the response covered that is stored under `key` (its target's, for a variant) for a request to
    /// `authority` and `target`?
    pub fn covers(&self, key: CacheKey, authority: &str, target: &str, head: &Head) -> bool {
        match self {
            Self::Key(own) => *own == key,
            Self::Tag(tag) => surrogate::carries(&head.fields, tag.0.as_bytes()),
            Self::Prefix(prefix) => prefix.holds(authority, target),
            Self::All => true,
        }
    }

    /// Is a response covered whose head has not come? In doubt it is.
    pub(crate) fn may_cover(&self, key: CacheKey, uri: &TargetUri) -> bool {
        match self {
            Self::Key(own) => *own == key,
            Self::Prefix(prefix) => prefix.holds(&uri.authority, &uri.target),
            Self::Tag(_) | Self::All => true,
        }
    }

    /// What it is, in short.
    pub const fn kind(&self) -> SelectorKind {
        match self {
            Self::Key(key) => SelectorKind::Key(*key),
            Self::Tag(_) => SelectorKind::Tag,
            Self::Prefix(_) => SelectorKind::Prefix,
            Self::All => SelectorKind::All,
        }
    }
}

impl Prefix {
    /// Authority and path.
    pub(crate) const fn parts(&self) -> (&str, &str) {
        (&self.authority, &self.path)
    }

    fn holds(&self, authority: &str, target: &str) -> bool {
        *self.authority == *authority && target.starts_with(&*self.path)
    }
}

impl Tag {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, SelectorError> {
        if text.is_empty() {
            return Err(SelectorError::TagEmpty);
        }
        if text.len() > TAG_BYTES_MAX {
            return Err(SelectorError::TagTooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            return Err(SelectorError::TagByte);
        }
        Ok(Self(text.to_ascii_lowercase().into_boxed_str()))
    }

    /// Its text.
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Box<str>> for Tag {
    type Error = SelectorError;

    fn try_from(text: Box<str>) -> Result<Self, SelectorError> {
        Self::new(&text)
    }
}

impl From<Tag> for Box<str> {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

impl TryFrom<(Box<str>, Box<str>)> for Prefix {
    type Error = SelectorError;

    fn try_from((authority, path): (Box<str>, Box<str>)) -> Result<Self, SelectorError> {
        Self::new(&authority, &path)
    }
}

impl From<Prefix> for (Box<str>, Box<str>) {
    fn from(Prefix { authority, path }: Prefix) -> Self {
        (authority, path)
    }
}

impl Prefix {
    /// Checks both parts.
    pub fn new(authority: &str, path: &str) -> Result<Self, SelectorError> {
        if authority.is_empty() {
            return Err(SelectorError::AuthorityEmpty);
        }
        if !path.starts_with('/') {
            return Err(SelectorError::PathNotAbsolute);
        }
        if authority.len().saturating_add(path.len()) > PREFIX_BYTES_MAX {
            return Err(SelectorError::PrefixTooLong);
        }
        let is_bad = |byte: u8| byte == b' ' || byte.is_ascii_control();
        if authority.bytes().chain(path.bytes()).any(is_bad) {
            return Err(SelectorError::PrefixByte);
        }
        Ok(Self { authority: authority.to_ascii_lowercase().into_boxed_str(), path: path.into() })
    }
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TagEmpty => f.write_str("the surrogate key is empty"),
            Self::TagByte => f.write_str("the surrogate key must be visible ASCII without spaces and commas"),
            Self::TagTooLong => write!(f, "the surrogate key has more than {TAG_BYTES_MAX} bytes"),
            Self::AuthorityEmpty => f.write_str("the prefix names no host"),
            Self::PathNotAbsolute => f.write_str("the prefix's path must begin with /"),
            Self::PrefixByte => f.write_str("the prefix has a space or a control byte"),
            Self::PrefixTooLong => write!(f, "the prefix has more than {PREFIX_BYTES_MAX} bytes"),
        }
    }
}

impl core::error::Error for SelectorError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> Selector {
        Selector::Tag(Tag::new(text).expect("a tag"))
    }

    fn prefix(authority: &str, path: &str) -> Selector {
        Selector::Prefix(Prefix::new(authority, path).expect("a prefix"))
    }

    /// Each selector covers what it names and nothing beside it.
    #[test]
    fn a_selector_covers_what_it_names() {
        let key = CacheKey::of("host", "/a/b?c");
        let head = Head { status: 200, fields: [("surrogate-key", "one Two")].into_iter().collect() };
        let cases = [
            (Selector::Key(key), true),
            (Selector::Key(CacheKey::of("host", "/a/b")), false),
            (tag("one"), true),
            (tag("TWO"), true),
            (tag("three"), false),
            (prefix("host", "/"), true),
            (prefix("HOST", "/a/b?c"), true),
            (prefix("host", "/a/b?c="), false),
            (prefix("host", "/b"), false),
            (prefix("host", "/A"), false),
            (prefix("host:80", "/"), false),
            (Selector::All, true),
        ];
        for (selector, expected) in cases {
            assert_eq!(selector.covers(key, "host", "/a/b?c", &head), expected, "{selector:?}");
        }
    }

    /// What no response can carry is no tag, and the error says why.
    #[test]
    fn bad_tags_are_refused() {
        assert_eq!(Tag::new(""), Err(SelectorError::TagEmpty));
        for text in ["a b", "a,b", "a\n", "\u{e9}"] {
            assert_eq!(Tag::new(text), Err(SelectorError::TagByte), "{text:?}");
        }
        assert!(Tag::new(&"x".repeat(TAG_BYTES_MAX)).is_ok());
        assert_eq!(Tag::new(&"x".repeat(TAG_BYTES_MAX + 1)), Err(SelectorError::TagTooLong));
    }

    /// What no request can have is no prefix, and the error says why.
    #[test]
    fn bad_prefixes_are_refused() {
        assert_eq!(Prefix::new("", "/"), Err(SelectorError::AuthorityEmpty));
        for path in ["", "a", "*", "?a"] {
            assert_eq!(Prefix::new("host", path), Err(SelectorError::PathNotAbsolute), "{path:?}");
        }
        for (authority, path) in [("host", "/a b"), ("ho st", "/"), ("host", "/\r")] {
            assert_eq!(Prefix::new(authority, path), Err(SelectorError::PrefixByte), "{authority}{path:?}");
        }
        let longest = "/".repeat(PREFIX_BYTES_MAX - "host".len());
        assert!(Prefix::new("host", &longest).is_ok());
        assert_eq!(Prefix::new("host", &(longest + "/")), Err(SelectorError::PrefixTooLong));
    }
}
