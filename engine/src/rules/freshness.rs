//! How long a response is fresh, and how old it was when it came (RFC 9111 section 4.2).

use super::{
    directives::{DirectiveSource, ResponseDirectives, SECONDS_MAX},
    http_date,
    list::{members, number},
    policy::{Heuristic, Policy},
};
use crate::language::{head::Head, time::WallTime};
use core::time::Duration;

/// A freshness lifetime, and where it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// The origin said so. Zero is zero.
    Explicit(Duration),
    /// Guessed from how long it has lasted.
    Heuristic(Duration),
    /// Nobody knows: it may be used after revalidation only.
    Unknown,
}

impl Lifetime {
    /// RFC 9111 section 4.2.1. `received` stands in for a `Date` that is missing or none.
    pub(crate) fn of(
        policy: &Policy,
        (directives, source): (&ResponseDirectives, DirectiveSource),
        head: &Head,
        received: WallTime,
    ) -> Self {
        if let Some(said) = directives.lifetime() {
            return Self::Explicit(said);
        }
        let date = http_date::field(&head.fields, "date", received).unwrap_or(received);
        if source == DirectiveSource::Untargeted && head.fields.contains("expires") {
            // Section 5.3: what is no date, several lines among it, has expired.
            let expires = http_date::field(&head.fields, "expires", received);
            return Self::Explicit(expires.map_or(Duration::ZERO, |expires| cap(expires.since(date))));
        }
        let Heuristic::Tenth { longest } = policy.heuristic else {
            return Self::Unknown;
        };
        // Section 4.2.2.
        if !is_heuristically_cacheable(head.status) && !directives.public {
            return Self::Unknown;
        }
        http_date::field(&head.fields, "last-modified", received)
            .map_or(Self::Unknown, |modified| Self::Heuristic((date.since(modified) / 10).min(longest)))
    }

    /// The lifetime; unknown is zero.
    pub(crate) const fn span(self) -> Duration {
        match self {
            Self::Explicit(span) | Self::Heuristic(span) => span,
            Self::Unknown => Duration::ZERO,
        }
    }
}

/// Statuses that may be stored without an explicit lifetime (RFC 9110 section 15.1), but for 206, which is a
/// part.
pub(crate) const fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The age at `received` of a response whose request went out at `sent` (RFC 9111 section 4.2.3).
pub(crate) fn initial_age(head: &Head, sent: WallTime, received: WallTime) -> Duration {
    // `Date` has whole seconds: a fraction of one is no age.
    let apparent = http_date::field(&head.fields, "date", received)
        .map_or(Duration::ZERO, |date| Duration::from_secs(received.since(date).as_secs()));
    let corrected = age_field(head).saturating_add(received.since(sent));
    apparent.max(corrected)
}

/// The first member of `Age`, if it is digits; nonsense is ignored (section 5.1).
pub(super) fn age_field(head: &Head) -> Duration {
    let first = head.fields.all("age").next().and_then(|line| members(line).next());
    Duration::from_secs(first.and_then(|digits| number(digits, SECONDS_MAX)).unwrap_or(0))
}

/// What larger spans count as, so that sums of them stay far from any clock's end.
fn cap(span: Duration) -> Duration {
    span.min(Duration::from_secs(SECONDS_MAX))
}

#[cfg(test)]
mod tests;
