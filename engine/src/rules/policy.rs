//! What an operator may choose about HTTP caching.
//!
//! The defaults follow RFC 9111 where it decides, and an edge's interest where it leaves a choice. How a
//! choice is written in a file, and its bounds, are no matter of this module.

use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Every choice that the rules leave open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Do a client's `Cache-Control` and `Pragma` count? Default: ignored.
    pub client_directives: ClientDirectives,
    /// What becomes of responses that set cookies. Default: they are not stored.
    pub set_cookie: SetCookie,
    /// Is a lifetime guessed for what was asked for with a cookie? Default: no.
    pub heuristic_with_cookie: CookieHeuristic,
    /// What `private` and `no-cache` with field names mean. Default: the same as without.
    pub named_fields: NamedFields,
    /// How long a response without an explicit lifetime is fresh. Default: a tenth of what it has lasted, at
    /// most a day.
    pub heuristic: Heuristic,
    /// How long a stale response is served in place of an error when the origin did not say. Default: one
    /// hour; zero keeps to what the origin says. A response that forbids it is never served so.
    pub stale_if_error: Duration,
    /// How long a stale response is served while it is revalidated when the origin did not say. Default:
    /// zero.
    pub stale_while_revalidate: Duration,
    /// What a 304 with another validator than the stored response's does. Default: it updates.
    pub changed_validator: ChangedValidator,
}

impl Policy {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        client_directives: ClientDirectives::Ignore,
        set_cookie: SetCookie::Refuse,
        heuristic_with_cookie: CookieHeuristic::Refuse,
        named_fields: NamedFields::WholeResponse,
        heuristic: Heuristic::Tenth { longest: Duration::from_secs(24 * 60 * 60) },
        stale_if_error: Duration::from_secs(60 * 60),
        stale_while_revalidate: Duration::ZERO,
        changed_validator: ChangedValidator::Update,
    };
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Do a client's directives count (RFC 9111 section 5.2.1)?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClientDirectives {
    /// No. An edge answers for its origin, and a client that could say `no-cache` could send load there at
    /// will.
    Ignore,
    /// Yes, all of them; and `Pragma: no-cache` where there is no `Cache-Control` (section 5.4).
    Obey,
}

/// What becomes of responses with `Set-Cookie` (RFC 9111 section 7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SetCookie {
    /// Stored and replayed, cookies included, when the origin gave an explicit lifetime; not stored
    /// otherwise.
    FollowLifetime,
    /// Never stored.
    Refuse,
    /// Stored without `Set-Cookie`; who caused the fetch still gets the cookies.
    #[serde(skip)]
    LeaveOut,
}

/// What becomes of a response without an explicit lifetime to a request with `Cookie`: it may be one user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CookieHeuristic {
    /// It is not stored, unless it says `no-cache`: then the origin is asked at each use.
    Refuse,
    /// It is treated as if there were no cookie.
    Allow,
}

/// What `private="…"` and `no-cache="…"` do (RFC 9111 sections 5.2.2.4 and 5.2.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedFields {
    /// They concern the whole response, as many caches take it: the cautious reading.
    WholeResponse,
    /// They concern the fields they name, which are not stored; who caused the fetch still gets them.
    LeaveOut,
}

/// How long a response without an explicit lifetime is fresh (RFC 9111 section 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heuristic {
    /// Not at all: it is revalidated before each use.
    Off,
    /// A tenth of the time from its `Last-Modified` to its `Date`, but no longer than `longest`.
    Tenth {
        /// The longest lifetime that is guessed.
        longest: Duration,
    },
}

/// What a 304 does whose validator is not that of the response we asked about (RFC 9111 section 4.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangedValidator {
    /// It updates the stored response, its validator too: the origin answered a condition on that very
    /// response.
    Update,
    /// It is not used, and the response is fetched again without a condition: the letter of the RFC.
    FetchAgain,
}
