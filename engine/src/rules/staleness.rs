//! What a stored head says of its use beside its lifetime, and how long it may be served stale (RFC 9111
//! section 4.2.4, RFC 5861). It follows from the head alone, so no tier stores it.

use super::{
    directives::{ResponseDirectives, Scope},
    policy::Policy,
    request::has_credentials,
    reuse::{Credentials, Reuse, Stored, WhenStale},
};
use crate::language::{
    head::{Fields, Head},
    record::Freshness,
    time::Instant,
};
use core::time::Duration;

/// How a stored response may be used, whatever its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Staleness {
    /// How far past its lifetime it may be used. Zero where staleness is forbidden.
    pub(super) windows: StaleWindows,
    /// Must the origin agree to each use?
    pub(super) reuse: Reuse,
    /// May it be used stale at all?
    pub(super) when_stale: WhenStale,
    /// May it answer requests with credentials, and others when such a one brought it?
    pub(super) credentials: Credentials,
}

impl Staleness {
    /// What the head says.
    pub(crate) fn of(policy: &Policy, head: &Head) -> Self {
        Self::by(policy, &ResponseDirectives::of(&head.fields).0.with(policy.named_fields), head.status)
    }

    /// What a response with these directives and this status says.
    pub(crate) fn by(policy: &Policy, directives: &ResponseDirectives, status: u16) -> Self {
        Self {
            windows: StaleWindows::of(policy, directives, status),
            reuse: match directives.no_cache {
                Scope::Whole => Reuse::AfterRevalidation,
                Scope::Absent | Scope::Fields(_) => Reuse::WhileFresh,
            },
            when_stale: if directives.forbids_stale() { WhenStale::Forbidden } else { WhenStale::Allowed },
            credentials: if directives.shares_credentials() {
                Credentials::Shared
            } else {
                Credentials::Apart
            },
        }
    }

    /// Is it meant for those with credentials and for those without?
    pub(crate) fn is_shared(&self) -> bool {
        self.credentials == Credentials::Shared
    }

    /// May it be used for a request with these fields, as far as credentials go?
    pub(crate) fn answers(&self, request: &Fields) -> bool {
        self.is_shared() || !has_credentials(request)
    }

    /// The same for a response to whose every use the origin must agree.
    pub(crate) const fn after_revalidation(self) -> Self {
        Self { reuse: Reuse::AfterRevalidation, ..self }
    }

    /// May it be used without asking anybody?
    pub(crate) fn is_usable(&self, freshness: &Freshness, now: Instant) -> bool {
        self.reuse == Reuse::WhileFresh && freshness.is_fresh(now)
    }

    /// Can it be of use when it is stale: as what the origin is asked about, or in a window?
    pub(crate) fn helps_when_stale(&self, head: &Head) -> bool {
        let has_window = !self.windows.while_revalidate.is_zero() || !self.windows.if_error.is_zero();
        head.fields.contains("etag")
            || head.fields.contains("last-modified")
            || self.when_stale == WhenStale::Allowed && has_window
    }

    /// All that decides over its use at `now`.
    pub(crate) fn stored(&self, freshness: &Freshness, now: Instant) -> Stored {
        Stored {
            age: freshness.age(now),
            lifetime: freshness.lifetime,
            windows: self.windows,
            reuse: self.reuse,
            when_stale: self.when_stale,
            credentials: self.credentials,
        }
    }
}

/// How long past its lifetime a response may be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StaleWindows {
    /// While it is revalidated in the background (RFC 5861 section 3).
    pub while_revalidate: Duration,
    /// In place of an error (RFC 5861 section 4).
    pub if_error: Duration,
}

impl StaleWindows {
    /// The windows of a response with these directives and this status.
    pub(crate) fn of(policy: &Policy, directives: &ResponseDirectives, status: u16) -> Self {
        if directives.forbids_stale() {
            return Self::default();
        }
        // A stored error is no better than the new one.
        let if_error = if status < 500 { policy.stale_if_error } else { Duration::ZERO };
        Self {
            while_revalidate: directives.stale_while_revalidate.unwrap_or(policy.stale_while_revalidate),
            if_error: directives.stale_if_error.unwrap_or(if_error),
        }
    }
}
