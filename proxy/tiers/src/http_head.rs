//! Heads between the `http` crate and the engine, and the two fields that a cache adds: `Age` and
//! `Cache-Status`.
//!
//! Every front and the origin client convert here, so hop-by-hop fields are dropped in one place, in both
//! directions (RFC 9110 section 7.6.1; failure: an origin's `Keep-Alive` stored and sent to clients). Nothing
//! here decides whether a response may be stored.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, header, request, response};
use std::{
    fmt::{self, Write as _},
    sync::Arc,
    time::Duration,
};
use tiergate_engine::{
    Bypass, CacheKey, Fields, Head, Method, MissReason, OriginFailure, Outcome, Refusal, RequestHead,
    StaleUse,
};

/// Fields about one connection, or to one proxy only: never stored, never forwarded (RFC 9110 section 7.6.1,
/// RFC 9111 section 3.1). `trailer` is among them because trailers are not carried.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that say what a message is or who may keep it. `Connection` must not name them (RFC 9110 section
/// 7.6.1); a peer that does so anyway could make a private response look public, so they stay.
const NEVER_NOMINATED: [&str; 10] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "expires",
    "host",
    "pragma",
    "vary",
];

/// The largest `Age` that every recipient can hold (RFC 9111 section 1.2.2).
const AGE_SECONDS_MAX: u64 = 1 << 31;

/// As long as most values of `Cache-Status`; a longer one takes another allocation.
const STATUS_BYTES: usize = 64;
/// Field lines that a response gets on its way to a client at most: `Content-Length`, `Age`, `Cache-Status`,
/// `Via`, `Date`, `Connection`.
const FIELDS_ADDED: usize = 6;

/// Why a head cannot be converted. The reader answers 400, or treats a stored head as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The request names no host, neither in its target nor in `Host`.
    NoAuthority,
    /// The request has several `Host` lines.
    ManyAuthorities,
    /// The authority holds bytes that no host name or port may hold.
    BadAuthority,
    /// A field's name or value cannot be written as HTTP/1.1.
    BadField,
    /// The status is not a number from 200 to 999.
    BadStatus,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAuthority => "the request names no host",
            Self::ManyAuthorities => "the request has more than one Host field",
            Self::BadAuthority => "the request's host is not a host name with an optional port",
            Self::BadField => "a field's name or value is not HTTP",
            Self::BadStatus => "the status is not a number from 200 to 999",
        })
    }
}

impl std::error::Error for HeadError {}

/// The engine's view of a request. `Host` becomes the authority and is no field any more.
///
/// # Errors
/// The request does not say, or contradicts itself about, which host it is for.
pub fn request_head(parts: &request::Parts) -> Result<RequestHead, HeadError> {
    let method = match parts.method {
        http::Method::GET => Method::Get,
        http::Method::HEAD => Method::Head,
        http::Method::POST => Method::Post,
        http::Method::OPTIONS | http::Method::TRACE => Method::OtherSafe,
        _ => Method::Other,
    };
    let mut fields = end_to_end(&parts.headers);
    fields.remove(|name| name == "host");
    Ok(RequestHead { method, authority: authority(parts)?, target: target(parts).into(), fields })
}

/// The key of what a request is for, where that can be told without copying any of it: the authority is
/// written as [`request_head`] would write it, a name in lower case or an IPv4 address, and a port if there
/// is one. Nothing is said of any other request, which may be right or wrong.
pub fn plain_key(parts: &request::Parts) -> Option<CacheKey> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next()?;
    if hosts.next().is_some() || parts.uri.authority().is_some() {
        return None;
    }
    let host = host.to_str().ok().filter(|text| is_plain_authority(text.as_bytes()))?;
    Some(CacheKey::of(host, target(parts)))
}

fn is_plain_authority(text: &[u8]) -> bool {
    let colon = text.iter().position(|byte| *byte == b':');
    let (name, port) = text.split_at(colon.unwrap_or(text.len()));
    let is_name = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let is_port = matches!(port, [] | [b':', _, ..]) && port.iter().skip(1).all(u8::is_ascii_digit);
    !name.is_empty() && name.iter().all(is_name) && is_port
}

/// A request's field lines but `Host` and the hop-by-hop ones, borrowed. What `Connection` names is among
/// them.
pub fn lines(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .filter(|(name, _)| *name != "host" && !HOP_BY_HOP.contains(name))
}

fn target(parts: &request::Parts) -> &str {
    parts.uri.path_and_query().map_or("/", |target| target.as_str())
}

/// The target's authority wins over `Host` (RFC 9112 section 3.2.2), but there is never more than one `Host`.
fn authority(parts: &request::Parts) -> Result<Arc<str>, HeadError> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(HeadError::ManyAuthorities);
    }
    let text = match (parts.uri.authority(), host) {
        (Some(authority), Some(_) | None) => authority.as_str(),
        (None, Some(host)) => host.to_str().map_err(|_| HeadError::BadAuthority)?,
        (None, None) => return Err(HeadError::NoAuthority),
    };
    let parsed: http::uri::Authority = text.parse().map_err(|_| HeadError::BadAuthority)?;
    // User information in an authority is deprecated, and would give one resource many keys.
    if text.contains('@') {
        return Err(HeadError::BadAuthority);
    }
    Ok(parsed.as_str().to_ascii_lowercase().into())
}

/// The engine's view of a response's head.
pub fn response_head(parts: &response::Parts) -> Head {
    Head { status: parts.status.as_u16(), fields: end_to_end(&parts.headers) }
}

/// Every field but the hop-by-hop ones, in order. A `Content-Length` beside `Transfer-Encoding` goes too: the
/// latter frames the body, and the former may not be forwarded (RFC 9112 section 6.3).
pub fn end_to_end(headers: &HeaderMap) -> Fields {
    let nominated: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !NEVER_NOMINATED.contains(&name.as_str()))
        .collect();
    let coded = headers.contains_key(header::TRANSFER_ENCODING);
    let mut fields = Fields::with_capacity(headers.len());
    for (name, value) in headers {
        let name = name.as_str();
        let is_length_overruled = coded && name == "content-length";
        let is_nominated = || nominated.iter().any(|other| other == name);
        if !HOP_BY_HOP.contains(&name) && !is_length_overruled && !is_nominated() {
            fields.push(name, value.as_bytes());
        }
    }
    fields
}

/// Fields for the `http` crate.
///
/// # Errors
/// A field is not HTTP. Heads that came over HTTP always convert.
pub fn header_map(fields: &Fields) -> Result<HeaderMap, HeadError> {
    // With room for what the front and Pingora add, so that it grows once and not while a client waits.
    let mut headers = HeaderMap::with_capacity(fields.iter().count() + FIELDS_ADDED);
    for (name, value) in fields.iter() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeadError::BadField)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| HeadError::BadField)?;
        headers.try_append(name, value).map_err(|_| HeadError::BadField)?;
    }
    Ok(headers)
}

/// A response's head for the `http` crate, without `Age`, `Via` and `Cache-Status`, which the front adds.
///
/// # Errors
/// The head is not HTTP. Heads that came over HTTP always convert.
pub fn response(head: &Head) -> Result<http::Response<()>, HeadError> {
    if head.status < 200 {
        return Err(HeadError::BadStatus);
    }
    let mut response = http::Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(head.status).map_err(|_| HeadError::BadStatus)?;
    *response.headers_mut() = header_map(&head.fields)?;
    Ok(response)
}

/// The value of `Age`: whole seconds, rounded down (RFC 9111 section 5.1).
pub fn age(age: Duration) -> HeaderValue {
    HeaderValue::from(age.as_secs().min(AGE_SECONDS_MAX))
}

/// The value of `Cache-Status` (RFC 9211) for a response that the cache answered. `fresh_for` is what is left
/// of its lifetime.
pub fn cache_status(outcome: Outcome, fresh_for: Duration) -> HeaderValue {
    match outcome {
        Outcome::Hit { tier } => {
            status(format_args!("hit; ttl={}; detail={}", fresh_for.as_secs(), tier.as_str()))
        }
        Outcome::Stale { why: StaleUse::WhileRevalidate, .. } => {
            status(format_args!("hit; detail=stale-while-revalidate"))
        }
        Outcome::Stale { why: StaleUse::IfError, .. } => {
            status(format_args!("fwd=stale; detail=stale-if-error"))
        }
        Outcome::Revalidated { tier } => status(format_args!(
            "fwd=stale; fwd-status=304; ttl={}; detail={}",
            fresh_for.as_secs(),
            tier.as_str()
        )),
        Outcome::Miss { reason, collapsed, storing } => {
            let (forward, detail) = match reason {
                MissReason::Absent => ("uri-miss", None),
                MissReason::Stale => ("stale", None),
                MissReason::TierFailed => ("miss", Some("tier-failed")),
                MissReason::Uncacheable => ("uri-miss", Some("uncacheable")),
                MissReason::Bypass(bypass) => bypass_words(bypass),
            };
            let stored = if storing { "; stored" } else { "" };
            let collapsed = if collapsed { "; collapsed" } else { "" };
            let (before, detail) = detail.map_or(("", ""), |detail| ("; detail=", detail));
            status(format_args!("fwd={forward}{stored}{collapsed}{before}{detail}"))
        }
    }
}

/// The value of `Cache-Status` for a request that went around the cache.
pub fn cache_status_passed(bypass: Bypass) -> HeaderValue {
    match bypass_words(bypass) {
        (forward, Some(detail)) => status(format_args!("fwd={forward}; detail={detail}")),
        (forward, None) => status(format_args!("fwd={forward}")),
    }
}

/// The value of `Cache-Status` for a request that got an error. An origin that failed was asked; behind a
/// limit, or for a request that cannot be sent, it was not.
pub fn cache_status_refused(refusal: Refusal) -> HeaderValue {
    let parameters = match refusal {
        Refusal::Origin(failure) => match failure {
            OriginFailure::Unreachable => "fwd=miss; detail=origin-unreachable",
            OriginFailure::TimedOut => "fwd=miss; detail=origin-timed-out",
            OriginFailure::Broken => "fwd=miss; detail=origin-broken",
            OriginFailure::Malformed => "fwd=miss; detail=origin-malformed",
            OriginFailure::Unsendable => "detail=request-unsendable",
            OriginFailure::TooShort => "fwd=miss; detail=origin-too-short",
            OriginFailure::TooLong => "fwd=miss; detail=origin-too-long",
            OriginFailure::Abandoned => "fwd=miss; detail=origin-abandoned",
        },
        Refusal::BreakerOpen { .. } => "detail=origin-breaker-open",
        Refusal::TooManyFills => "detail=too-many-fills",
        Refusal::TooManyWaiters => "detail=too-many-waiters",
    };
    status(format_args!("{parameters}"))
}

/// RFC 9211 section 2.2. A precondition is the request's own doing; what this cache never answers is a
/// bypass.
fn bypass_words(bypass: Bypass) -> (&'static str, Option<&'static str>) {
    match bypass {
        Bypass::Method => ("method", None),
        Bypass::Range => ("bypass", Some("range")),
        Bypass::Authorization => ("bypass", Some("authorization")),
        Bypass::Precondition => ("request", Some("precondition")),
    }
}

/// One list member under this cache's name.
fn status(parameters: fmt::Arguments<'_>) -> HeaderValue {
    let mut text = BytesMut::with_capacity(STATUS_BYTES);
    write!(text, "tiergate; {parameters}").expect("a buffer that grows takes all text");
    HeaderValue::from_maybe_shared(text.freeze())
        .expect("the parameters are words of ours and digits, all visible ASCII")
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
