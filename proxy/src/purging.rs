//! A purge as an operator asks for it, and what is said of it (failure R10).
//!
//! A wish is written as a query or a form: one `url=`, or up to 64 `tag=`, or one `prefix=`, or `all=true`;
//! and `soft=true`, which makes stale what would go otherwise. The answer is one line of JSON that says
//! what was seen in each tier.

use bytes::Bytes;
use http::{Request, Uri};
use std::{collections::BTreeMap, fmt, fmt::Write};
use tiergate_driver::{Driver, Elsewhere, World};
use tiergate_engine::{
    CacheKey, Prefix, PurgeMode, PurgeOutcome, RequestHead, Selector, SelectorError, Tag, TierId,
};
use tiergate_tiers::http_head::{self, Scheme};

/// Surrogate keys of one wish: each is a ban that lookups read, and the engine remembers 256.
pub(crate) const TAGS_MAX: usize = 64;

/// What somebody wants purged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// At least one, and all of one kind.
    pub(crate) selectors: Vec<Selector>,
    pub(crate) mode: PurgeMode,
}

/// Why a wish is none. Say what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WishError {
    /// Nothing is named.
    Nothing,
    /// Two things are named that do not go together, or one twice.
    Several,
    /// A name that is not known.
    UnknownName,
    /// `all` or `soft` is neither `true` nor `false`.
    NotBoolean,
    /// Not `%` and two digits, or no UTF-8.
    BadEncoding,
    /// Not a URL with a host.
    BadUrl,
    /// Something else than one URL, where one is asked about.
    OneUrl,
    TooManyTags,
    BadSelector(SelectorError),
}

impl fmt::Display for WishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "name what to purge: url=, tag=, prefix= or all=true",
            Self::Several => "name one url, one prefix, one or more tags, or all=true, and not two of these",
            Self::UnknownName => "the names are url, tag, prefix, all and soft",
            Self::NotBoolean => "all and soft are true or false",
            Self::BadEncoding => "a value must be percent-encoded UTF-8",
            Self::BadUrl => "a url or prefix must be as http://host/path, as it reaches the server",
            Self::OneUrl => "name one url=, and nothing else",
            Self::TooManyTags => "at most 64 tags go into one purge",
            Self::BadSelector(error) => match error {
                SelectorError::TagEmpty => "a tag must not be empty",
                SelectorError::TagByte => "a tag must be visible ASCII without a comma",
                SelectorError::TagTooLong => "a tag must not have more than 1024 bytes",
                SelectorError::AuthorityEmpty => "a prefix must name a host",
                SelectorError::PathNotAbsolute => "a prefix must have a path",
                SelectorError::PrefixByte => "a prefix must not have spaces or control characters",
                SelectorError::PrefixTooLong => "a prefix must not have more than 8192 bytes",
            },
        })
    }
}

impl Wish {
    /// Of a query or a form. Empty parts are nothing.
    pub(crate) fn of_form(form: &str) -> Result<Self, WishError> {
        let (mut tags, mut other, mut mode) = (Vec::new(), None, PurgeMode::Hard);
        for pair in form.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)?;
            let selector = match name {
                "tag" => {
                    tags.push(Selector::Tag(Tag::new(&value).map_err(WishError::BadSelector)?));
                    continue;
                }
                "soft" => {
                    if boolean(&value)? {
                        mode = PurgeMode::Soft;
                    }
                    continue;
                }
                "all" if boolean(&value)? => Selector::All,
                "all" => continue,
                "url" => Selector::Key(key_of_url(&value)?),
                "prefix" => {
                    let RequestHead { authority, target, .. } = head_of(&value)?;
                    Selector::Prefix(Prefix::new(&authority, &target).map_err(WishError::BadSelector)?)
                }
                _ => return Err(WishError::UnknownName),
            };
            if other.replace(selector).is_some() {
                return Err(WishError::Several);
            }
        }
        let selectors = match (other, tags) {
            (None, tags) if tags.is_empty() => return Err(WishError::Nothing),
            (None, tags) if tags.len() > TAGS_MAX => return Err(WishError::TooManyTags),
            (None, tags) => tags,
            (Some(other), tags) if tags.is_empty() => vec![other],
            (Some(_), _) => return Err(WishError::Several),
        };
        Ok(Self { selectors, mode })
    }
}

/// The key of a URL that is a value of a form.
pub(crate) fn key_of(encoded: &str) -> Result<CacheKey, WishError> {
    key_of_url(&decoded(encoded)?)
}

fn key_of_url(url: &str) -> Result<CacheKey, WishError> {
    let RequestHead { authority, target, .. } = head_of(url)?;
    Ok(CacheKey::of(&authority, &target))
}

/// What clients that ask for this URL ask the cache for. It is made as theirs is, so that both have one key.
fn head_of(url: &str) -> Result<RequestHead, WishError> {
    let uri: Uri = url.parse().map_err(|_| WishError::BadUrl)?;
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(_) | None => return Err(WishError::BadUrl),
    };
    let (parts, ()) = Request::get(uri).body(()).map_err(|_| WishError::BadUrl)?.into_parts();
    http_head::request_head(&parts, scheme).map_err(|_| WishError::BadUrl)
}

fn boolean(value: &str) -> Result<bool, WishError> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(WishError::NotBoolean),
    }
}

/// A value of a form (`application/x-www-form-urlencoded`): `+` is a space there.
fn decoded(value: &str) -> Result<String, WishError> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    (Some(_) | None, _) => return Err(WishError::BadEncoding),
                }
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| WishError::BadEncoding)
}

/// What came of a purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    tiers: Vec<(TierId, PurgeOutcome)>,
    elsewhere: Elsewhere,
}

impl Report {
    /// May a tier, or another edge, still hold what was purged?
    pub(crate) fn is_incomplete(&self) -> bool {
        self.elsewhere == Elsewhere::Failed
            || self.tiers.iter().any(|(_, outcome)| matches!(outcome, PurgeOutcome::Failed))
    }

    /// One line of JSON. Every word of it is ours, so nothing needs escaping.
    pub(crate) fn line(&self, selectors: &[Selector]) -> Bytes {
        let mut line = match selectors {
            [Selector::Key(key)] => format!("{{\"key\":\"{key}\""),
            [Selector::Prefix(_)] => "{\"purged\":\"prefix\"".to_owned(),
            [Selector::All] => "{\"purged\":\"all\"".to_owned(),
            tags => format!("{{\"purged\":\"tags\",\"tags\":{}", tags.len()),
        };
        for (tier, outcome) in &self.tiers {
            let seen = match outcome {
                PurgeOutcome::Removed(bytes) => format!("{{\"outcome\":\"removed\",\"bytes\":{}}}", bytes.0),
                PurgeOutcome::RemovedUnseen => "{\"outcome\":\"removed\"}".to_owned(),
                PurgeOutcome::Staled(bytes) => format!("{{\"outcome\":\"staled\",\"bytes\":{}}}", bytes.0),
                PurgeOutcome::Barred => "{\"outcome\":\"barred\"}".to_owned(),
                PurgeOutcome::Absent => "{\"outcome\":\"absent\"}".to_owned(),
                PurgeOutcome::Failed => "{\"outcome\":\"failed\"}".to_owned(),
            };
            write!(line, ",\"{}\":{seen}", tier.as_str()).expect("a String takes everything");
        }
        line.push_str(match self.elsewhere {
            Elsewhere::NoFeed => "",
            Elsewhere::Told => ",\"feed\":\"told\"",
            Elsewhere::Failed => ",\"feed\":\"failed\"",
        });
        line.push_str("}\n");
        line.into()
    }
}

/// Purges, and returns when every tier has answered, for each selector. Dropping the future stops only what
/// has not begun.
pub(crate) async fn purge<W: World>(driver: &Driver<W>, wish: &Wish) -> Report {
    let mut seen: BTreeMap<TierId, PurgeOutcome> = BTreeMap::new();
    let mut elsewhere = Elsewhere::NoFeed;
    for selector in &wish.selectors {
        let purged = driver.purge_selected(selector, wish.mode).await;
        elsewhere = elsewhere.max(purged.elsewhere);
        for (tier, outcome) in purged.tiers {
            seen.entry(tier).and_modify(|other| *other = other.with(outcome)).or_insert(outcome);
        }
    }
    Report { tiers: seen.into_iter().collect(), elsewhere }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
