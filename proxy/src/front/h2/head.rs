//! The head of an HTTP/2 response, from what is stored and what the cache says.

use crate::response::{Account, AgeLine, CACHE_STATUS, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use std::time::SystemTime;
use tiergate_engine::{ByteCount, Fields, Head, Length};

/// Fields that a response gets on its way at most: `Content-Length`, `Age`, `Cache-Status`, `Via`, `Date`.
const FIELDS_ADDED: usize = 5;

/// Is there a body after a head of this status, to this request?
pub(super) fn has_body(status: u16, length: Length, is_head: bool) -> bool {
    !is_head && !matches!(status, 204 | 304) && length != Length::Known(ByteCount::ZERO)
}

/// A head. `None` if HTTP cannot carry it.
pub(super) fn of(status: u16, fields: &Fields, length: Length, account: &Account) -> Option<Response<()>> {
    let mut headers = HeaderMap::with_capacity(fields.iter().count() + FIELDS_ADDED);
    let age = account.age();
    let length = match length {
        Length::Known(ByteCount(length)) if !matches!(status, 204 | 304) => Some(length),
        Length::Known(_) | Length::Unknown => None,
    };
    for (name, value) in fields.iter() {
        let is_ours = match name {
            "age" => age != AgeLine::Untouched,
            "content-length" => length.is_some(),
            _ => false,
        };
        if !is_ours {
            put(&mut headers, name, value)?;
        }
    }
    if !headers.contains_key(header::DATE) {
        // RFC 9110 section 6.6.1: who has a clock says when it got a response that does not.
        let now = httpdate::fmt_http_date(SystemTime::now());
        headers.append(header::DATE, HeaderValue::try_from(now).ok()?);
    }
    if let Some(length) = length {
        headers.append(header::CONTENT_LENGTH, length.into());
    }
    if let AgeLine::Is(age) = age {
        headers.append(header::AGE, age.into());
    }
    headers.append(CACHE_STATUS, account.status_value().clone());
    headers.append(header::VIA, VIA);
    response(status, headers)
}

/// An interim response (1xx), to which a cache has nothing to add. None of another protocol: HTTP/2 has no
/// 101 (RFC 9113 section 8.6).
pub(super) fn interim(head: &Head) -> Option<Response<()>> {
    if head.status == 101 {
        return None;
    }
    let mut headers = HeaderMap::new();
    for (name, value) in head.fields.iter() {
        put(&mut headers, name, value)?;
    }
    response(head.status, headers)
}

fn put(headers: &mut HeaderMap, name: &str, value: &[u8]) -> Option<()> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    headers.try_append(name, HeaderValue::from_bytes(value).ok()?).ok()?;
    Some(())
}

fn response(status: u16, headers: HeaderMap) -> Option<Response<()>> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    *response.headers_mut() = headers;
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tiergate_engine::{Outcome, TierId};

    fn account() -> Account {
        let outcome = Outcome::Hit { tier: TierId::L0 };
        Account::served(outcome, Duration::from_secs(7), Duration::from_secs(53))
    }

    fn lines(headers: &HeaderMap) -> String {
        let line = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {value:?}\n");
        headers.iter().map(line).collect()
    }

    /// What was stored comes first, with the age of now and one length; what the cache says comes last.
    #[test]
    fn a_head_is_what_was_stored_and_what_the_cache_says() {
        let fields: Fields =
            [("date", "x"), ("age", "3"), ("content-length", "9"), ("cache-status", "other; hit")]
                .into_iter()
                .collect();
        let head = of(200, &fields, Length::Known(ByteCount(12)), &account()).expect("it is HTTP");
        assert_eq!(
            lines(head.headers()),
            "date: \"x\"\ncache-status: \"other; hit\"\ncache-status: \"tiergate; hit; ttl=53; detail=l0\"\n\
             content-length: \"12\"\nage: \"7\"\nvia: \"1.1 tiergate\"\n"
        );
        let not_modified = of(304, &fields, Length::Known(ByteCount::ZERO), &account()).expect("it is HTTP");
        assert_eq!(not_modified.headers()[header::CONTENT_LENGTH], "9", "of what it stands for");
    }

    /// What HTTP cannot carry has no head; what has no date gets one; another protocol is never agreed on.
    #[test]
    fn what_is_missing_is_written_and_what_is_wrong_is_not() {
        let of =
            |fields: &[(&str, &str)]| of(200, &fields.iter().copied().collect(), Length::Unknown, &account());
        let head = of(&[]).expect("it is HTTP");
        assert!(head.headers()[header::DATE].as_bytes().ends_with(b" GMT"));
        assert!(!head.headers().contains_key(header::CONTENT_LENGTH));
        assert!(of(&[("a b", "")]).is_none());
        assert!(of(&[("a", "\n")]).is_none());
        let interim =
            |status| interim(&Head { status, fields: Fields::new() }).map(|head| head.status().as_u16());
        assert_eq!((interim(103), interim(101)), (Some(103), None));
    }
}
