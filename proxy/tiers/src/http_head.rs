//! Heads between the `http` crate and the engine, and the two fields that a cache adds: `Age` and
//! `Cache-Status`.
//!
//! Every front and the origin client convert here, so hop-by-hop fields are dropped in one place, in both
//! directions (RFC 9110 section 7.6.1; failure: an origin's `Keep-Alive` stored and sent to clients). Nothing
//! here decides whether a response may be stored.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, header, request, response};
use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    net::Ipv6Addr,
    sync::Arc,
    time::Duration,
};
use tiergate_engine::{
    Bypass, Fields, Head, Method, MissReason, OriginFailure, Outcome, Refusal, RequestHead, StaleUse,
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
pub fn request_head(parts: &request::Parts, scheme: Scheme) -> Result<RequestHead, HeadError> {
    let method = match parts.method {
        http::Method::GET => Method::Get,
        http::Method::HEAD => Method::Head,
        http::Method::POST => Method::Post,
        http::Method::OPTIONS | http::Method::TRACE => Method::OtherSafe,
        _ => Method::Other,
    };
    let mut fields = end_to_end(&parts.headers);
    fields.remove(|name| name == "host");
    Ok(RequestHead { method, authority: authority(parts, scheme)?, target: target(parts).into(), fields })
}

/// How a client reached us. Both are keyed apart: an origin often sends one to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In clear text. Port 80 is not written.
    Http,
    /// Over TLS. Port 443 is written, which keeps the two apart.
    Https,
}

/// An authority in the one spelling that is keyed: lower case, no dot after the last label, no empty port,
/// and the port of the scheme as [`Scheme`] says. `None` for what is no host with an optional port: user
/// information, percent signs and other letters than those of a host name are refused, for they would give
/// one host many keys.
pub fn normal_authority(text: &str, scheme: Scheme) -> Option<Cow<'_, str>> {
    let (host, port) = split_port(text)?;
    let port = if port.is_empty() { None } else { Some(port.parse::<u16>().ok()?) };
    let name = match host.strip_prefix('[') {
        Some(literal) => {
            let address: Ipv6Addr = literal.strip_suffix(']')?.parse().ok()?;
            Cow::Owned(format!("[{address}]"))
        }
        None => normal_name(host)?,
    };
    let port = match (scheme, port) {
        (Scheme::Http, None | Some(80)) => None,
        (Scheme::Https, None) => Some(443),
        (Scheme::Http | Scheme::Https, Some(port)) => Some(port),
    };
    match port {
        None => Some(name),
        Some(port) => {
            let is_written = name.len() < text.len() && text[name.len() + 1..] == *port.to_string();
            match name {
                Cow::Borrowed(name) if is_written && text.starts_with(name) => Some(Cow::Borrowed(text)),
                name => Some(Cow::Owned(format!("{name}:{port}"))),
            }
        }
    }
}

/// An authority as `Host` says it: without the port that tells our keys apart (see [`Scheme`]).
pub fn host_field(authority: &str) -> &str {
    authority.strip_suffix(":443").unwrap_or(authority)
}

/// A host and its port, which may be empty.
fn split_port(text: &str) -> Option<(&str, &str)> {
    let from = text.rfind(']').unwrap_or(0);
    match text[from..].find(':') {
        None => Some((text, "")),
        Some(colon) => {
            let port = &text[from + colon + 1..];
            port.bytes().all(|byte| byte.is_ascii_digit()).then_some((&text[..from + colon], port))
        }
    }
}

fn normal_name(host: &str) -> Option<Cow<'_, str>> {
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_name = name.split('.').all(|label| !label.is_empty() && label.bytes().all(is_label));
    if !is_name {
        return None;
    }
    let has_upper = name.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(if has_upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

fn target(parts: &request::Parts) -> &str {
    parts.uri.path_and_query().map_or("/", |target| target.as_str())
}

/// The target's authority wins over `Host` (RFC 9112 section 3.2.2), but there is never more than one `Host`.
fn authority(parts: &request::Parts, scheme: Scheme) -> Result<Arc<str>, HeadError> {
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
    Ok(normal_authority(text, scheme).ok_or(HeadError::BadAuthority)?.into())
}

/// The engine's view of a response's head.
pub fn response_head(parts: &response::Parts) -> Head {
    Head { status: parts.status.as_u16(), fields: end_to_end(&parts.headers) }
}

/// Every field but the hop-by-hop ones, in order. A `Content-Length` beside `Transfer-Encoding` goes too: the
/// latter frames the body, and the former may not be forwarded (RFC 9112 section 6.3).
pub fn end_to_end(headers: &HeaderMap) -> Fields {
    end_to_end_lines(|| headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// The same of field lines whose names are in lower case.
pub fn end_to_end_lines<'f, I: Iterator<Item = (&'f str, &'f [u8])>>(lines: impl Fn() -> I) -> Fields {
    let (mut count, mut coded) = (0, false);
    let mut nominated: Vec<String> = Vec::new();
    for (name, value) in lines() {
        count += 1;
        match name {
            "transfer-encoding" => coded = true,
            "connection" => {
                let names = std::str::from_utf8(value).into_iter().flat_map(|value| value.split(','));
                let names = names.map(|name| name.trim().to_ascii_lowercase());
                nominated.extend(names.filter(|name| !NEVER_NOMINATED.contains(&name.as_str())));
            }
            _ => {}
        }
    }
    let mut fields = Fields::with_capacity(count);
    for (name, value) in lines() {
        let is_length_overruled = coded && name == "content-length";
        let is_nominated = || nominated.iter().any(|other| other == name);
        if !HOP_BY_HOP.contains(&name) && !is_length_overruled && !is_nominated() {
            fields.push(name, value);
        }
    }
    fields
}

/// Fields for the `http` crate.
///
/// # Errors
/// A field is not HTTP. Heads that came over HTTP always convert.
pub fn header_map(fields: &Fields) -> Result<HeaderMap, HeadError> {
    // With room for what is added on the way, so that it grows once and not while a client waits.
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
    HeaderValue::from(age_seconds(age))
}

/// The same as a number.
pub fn age_seconds(age: Duration) -> u64 {
    age.as_secs().min(AGE_SECONDS_MAX)
}

/// The value of `Cache-Status` (RFC 9211) for a response that the cache answered. `fresh_for` is what is left
/// of its lifetime. `stored` is never said of one that is still on its way: its body may break off, and then
/// nothing of it is kept.
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
                MissReason::Absent => ("uri-miss", storing.then_some("storing")),
                MissReason::Stale => ("stale", storing.then_some("storing")),
                MissReason::TierFailed => ("miss", Some("tier-failed")),
                MissReason::Uncacheable => ("uri-miss", Some("uncacheable")),
                MissReason::Bypass(bypass) => bypass_words(bypass),
            };
            let collapsed = if collapsed { "; collapsed" } else { "" };
            let (before, detail) = detail.map_or(("", ""), |detail| ("; detail=", detail));
            status(format_args!("fwd={forward}{collapsed}{before}{detail}"))
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
