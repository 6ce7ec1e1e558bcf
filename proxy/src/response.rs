//! From what the engine says to what a client reads: status codes, and the fields that a cache adds.
//!
//! The one place where outcomes become HTTP.

use crate::front::Fault;
use http::{HeaderName, HeaderValue, header};
use pingora::http::ResponseHeader;
use std::time::Duration;
use tiergate_engine::{Bypass, ByteCount, Fields, Head, Length, OriginFailure, Outcome, Refusal};
use tiergate_tiers::http_head::{self, HeadError};

/// RFC 9211.
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// RFC 9110 section 7.6.3.
pub(crate) const VIA_TEXT: &str = "1.1 tiergate";
/// The same as a value.
pub(crate) const VIA: HeaderValue = HeaderValue::from_static(VIA_TEXT);

/// A length that is known.
pub(crate) fn exactly(length: ByteCount) -> Length {
    Length::Known(length)
}

/// A stored or arriving head for Pingora. A length that became known after the head was written is told, too.
pub(crate) fn header(head: &Head, length: Length) -> Result<ResponseHeader, HeadError> {
    let (mut parts, ()) = http_head::response(head)?.into_parts();
    let bodiless = matches!(head.status, 204 | 304);
    if let Length::Known(ByteCount(bytes)) = length
        && !bodiless
        && !parts.headers.contains_key(header::CONTENT_LENGTH)
    {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    Ok(ResponseHeader::from(parts))
}

/// What a response says about how it came about.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    status: HeaderValue,
    age: Age,
}

/// What becomes of `Age`, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgeLine {
    /// It says this.
    Is(u64),
    /// What the origin says of it goes.
    Removed,
    /// The cache has no say.
    Untouched,
}

/// What becomes of `Age`.
#[derive(Clone, Copy, Debug)]
enum Age {
    /// It says this.
    Is(Duration),
    /// There is none: the origin made the response for this request.
    New,
    /// The cache has no say.
    Untouched,
}

impl Account {
    /// Of a response that the engine answered.
    pub(crate) fn served(outcome: Outcome, age: Duration, fresh_for: Duration) -> Self {
        let age = match outcome {
            Outcome::Miss { .. } if age < Duration::from_secs(1) => Age::New,
            Outcome::Hit { .. }
            | Outcome::Stale { .. }
            | Outcome::Revalidated { .. }
            | Outcome::Miss { .. } => Age::Is(age),
        };
        Self { status: http_head::cache_status(outcome, fresh_for), age }
    }

    /// Of a response that goes around the cache. Its `Age` stays what the origin says.
    pub(crate) fn passed(bypass: Bypass) -> Self {
        Self { status: http_head::cache_status_passed(bypass), age: Age::Untouched }
    }

    /// Of an error that the engine decided on.
    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self { status: http_head::cache_status_refused(refusal), age: Age::Untouched }
    }

    /// Of an answer of the front's own.
    pub(crate) fn own(detail: &'static str) -> Self {
        let status = HeaderValue::try_from(format!("tiergate; detail={detail}"))
            .expect("the details are words of ours, all visible ASCII");
        Self { status, age: Age::Untouched }
    }

    /// What `Cache-Status` says.
    pub(crate) fn status(&self) -> &[u8] {
        self.status.as_bytes()
    }

    /// The same as a value.
    pub(crate) const fn status_value(&self) -> &HeaderValue {
        &self.status
    }

    /// What becomes of `Age`.
    pub(crate) fn age(&self) -> AgeLine {
        match self.age {
            Age::Is(age) => AgeLine::Is(http_head::age_seconds(age)),
            Age::New => AgeLine::Removed,
            Age::Untouched => AgeLine::Untouched,
        }
    }

    /// Puts it into the head. Caches before us have their say first in each list.
    pub(crate) fn write(&self, response: &mut ResponseHeader) -> pingora::Result<()> {
        match self.age {
            Age::Is(age) => response.insert_header(header::AGE, http_head::age(age))?,
            // The origin may have said 0.
            Age::New => drop(response.remove_header(&header::AGE)),
            Age::Untouched => {}
        }
        response.append_header(CACHE_STATUS, &self.status)?;
        response.append_header(header::VIA, VIA)?;
        Ok(())
    }
}

/// An error that a client can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ErrorPage {
    pub(crate) status: u16,
    pub(crate) text: &'static str,
    /// When it is worth coming back, in seconds.
    pub(crate) retry_after_s: Option<u64>,
}

impl ErrorPage {
    pub(crate) const ORIGIN_FAILED: Self = Self::new(502, "502 Bad Gateway: the origin server failed.\n");
    pub(crate) const ORIGIN_MALFORMED: Self = Self::new(
        502,
        "502 Bad Gateway: the head of the origin server's response is not well-formed, or it is too large.\n",
    );
    pub(crate) const ORIGIN_UNREACHABLE: Self =
        Self::new(502, "502 Bad Gateway: the origin server cannot be reached.\n");
    pub(crate) const ORIGIN_LATE: Self =
        Self::new(504, "504 Gateway Timeout: the origin server did not answer in time.\n");
    pub(crate) const BUSY: Self = Self {
        retry_after_s: Some(1),
        ..Self::new(503, "503 Service Unavailable: too many requests are under way.\n")
    };
    pub(crate) const BAD_REQUEST: Self =
        Self::new(400, "400 Bad Request: the request does not say clearly what it is for.\n");
    pub(crate) const REQUEST_LATE: Self =
        Self::new(408, "408 Request Timeout: the head did not come in time.\n");
    pub(crate) const BODY_LATE: Self =
        Self::new(408, "408 Request Timeout: the body did not come in time, or too slowly.\n");
    pub(crate) const BAD_CHUNKS: Self =
        Self::new(400, "400 Bad Request: the body is not made of chunks as RFC 9112 has them.\n");
    pub(crate) const PURGE_FORBIDDEN: Self = Self::new(
        403,
        "403 Forbidden: purges are taken from who knows the token, or by the admin listener.\n",
    );
    pub(crate) const OURS: Self = Self::new(500, "500 Internal Server Error: the cache failed.\n");

    /// An address has sent too many requests, and may send one more after `wait`.
    pub(crate) const fn too_fast(wait: Duration) -> Self {
        let text = "429 Too Many Requests: too many have come from this address.\n";
        Self { retry_after_s: Some(whole_seconds(wait)), ..Self::new(429, text) }
    }

    const fn new(status: u16, text: &'static str) -> Self {
        Self { status, text, retry_after_s: None }
    }

    /// The origin is left alone, and whoever asks should come back when it is asked again.
    const fn origin_rests(retry_after: Duration) -> Self {
        let text = "503 Service Unavailable: the origin server has failed too often to be asked now.\n";
        Self { retry_after_s: Some(whole_seconds(retry_after)), ..Self::new(503, text) }
    }

    /// What a request is told that nobody could be asked about.
    pub(crate) const fn of_fault(fault: Fault) -> Self {
        Self::new(fault.status(), fault.text())
    }

    /// Its fields, but those of its length and of the cache.
    pub(crate) fn fields(self) -> Fields {
        let mut fields = Fields::new();
        fields.push("content-type", b"text/plain; charset=utf-8");
        fields.push("cache-control", b"no-store");
        if let Some(seconds) = self.retry_after_s {
            fields.push("retry-after", seconds.to_string().as_bytes());
        }
        if self.status == 405 {
            fields.push("allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        }
        fields
    }

    /// What a refusal looks like.
    pub(crate) const fn of(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Origin(failure) => match failure {
                OriginFailure::Unreachable => Self::ORIGIN_UNREACHABLE,
                OriginFailure::TimedOut => Self::ORIGIN_LATE,
                OriginFailure::Unsendable => Self::BAD_REQUEST,
                OriginFailure::Malformed => Self::ORIGIN_MALFORMED,
                OriginFailure::Broken
                | OriginFailure::TooShort
                | OriginFailure::TooLong
                | OriginFailure::Abandoned => Self::ORIGIN_FAILED,
            },
            Refusal::BreakerOpen { retry_after } => Self::origin_rests(retry_after),
            Refusal::TooManyFills | Refusal::TooManyWaiters => Self::BUSY,
        }
    }

    /// Its head. A limit that was reached is over soon.
    pub(crate) fn header(self, account: &Account) -> pingora::Result<ResponseHeader> {
        let mut header = plain(self.status, "text/plain; charset=utf-8", self.text.len())?;
        if let Some(seconds) = self.retry_after_s {
            header.insert_header(header::RETRY_AFTER, seconds)?;
        }
        account.write(&mut header)?;
        Ok(header)
    }
}

/// As `Retry-After` says it: whole seconds, never none.
const fn whole_seconds(wait: Duration) -> u64 {
    let whole = wait.as_secs().saturating_add((wait.subsec_nanos() > 0) as u64);
    if whole == 0 { 1 } else { whole }
}

/// The head of a short answer of our own, which nobody may store.
pub(crate) fn plain(status: u16, kind: &'static str, length: usize) -> pingora::Result<ResponseHeader> {
    let mut header = ResponseHeader::build_no_case(status, Some(8))?;
    header.insert_header(header::CONTENT_TYPE, kind)?;
    header.insert_header(header::CONTENT_LENGTH, length)?;
    header.insert_header(header::CACHE_CONTROL, "no-store")?;
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that is refused for a breaker hears when to come back, in whole seconds and never at once.
    #[test]
    fn a_breaker_that_is_open_says_when_to_come_back() {
        for (millis, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (30_000, 30)] {
            let page = ErrorPage::of(Refusal::BreakerOpen { retry_after: Duration::from_millis(millis) });
            assert_eq!((page.status, page.retry_after_s), (503, Some(seconds)), "{millis} ms");
        }
        assert_eq!(ErrorPage::of(Refusal::TooManyFills).retry_after_s, Some(1));
        assert_eq!(ErrorPage::of(Refusal::Origin(OriginFailure::TimedOut)).retry_after_s, None);
        assert_eq!(ErrorPage::of(Refusal::Origin(OriginFailure::Unsendable)).status, 400);
    }
}
