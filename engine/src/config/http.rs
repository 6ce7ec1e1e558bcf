//! What the HTTP caching rules leave open.

use super::{ConfigError, check};
use crate::rules::{ClientDirectives, CookieHeuristic, Heuristic, Policy, SetCookie};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// `http`: where RFC 9111 and RFC 5861 leave a choice.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RawHttp {
    /// Seconds that a stale response may stand in for an origin that fails, where the response itself says
    /// nothing. It never does for one that forbids it. Default 3600; 0 to 31536000.
    pub stale_if_error_s: u32,
    /// Seconds that a stale response may be served while it is revalidated, where it says nothing. Default 0;
    /// to 31536000.
    pub stale_while_revalidate_s: u32,
    /// The longest lifetime guessed for a response that has `Last-Modified` but no explicit lifetime, in
    /// seconds: a tenth of what it has lasted, and no more than this. 0 guesses nothing. Default 86400; to
    /// 31536000.
    pub heuristic_s_max: u32,
    /// Do clients' own `Cache-Control` and `Pragma` count? Default `ignore`.
    pub client_directives: ClientDirectives,
    /// What becomes of responses that set cookies: `refuse` stores none, `follow_lifetime` those with an
    /// explicit lifetime, cookies included. Default `refuse`: what one user is given may name that user.
    pub set_cookie: SetCookie,
    /// Is a lifetime guessed for the answer to a request with `Cookie`? `refuse` stores it only where it says
    /// how long it is fresh, or `no-cache`. Default `refuse`: a page for one user often says nothing.
    pub heuristic_with_cookie: CookieHeuristic,
}

impl Default for RawHttp {
    fn default() -> Self {
        Self {
            stale_if_error_s: 3_600,
            stale_while_revalidate_s: 0,
            heuristic_s_max: 86_400,
            client_directives: ClientDirectives::Ignore,
            set_cookie: SetCookie::Refuse,
            heuristic_with_cookie: CookieHeuristic::Refuse,
        }
    }
}

impl RawHttp {
    pub(super) fn into_policy(self) -> Result<Policy, ConfigError> {
        let spans = [
            ("http.stale_if_error_s", self.stale_if_error_s),
            ("http.stale_while_revalidate_s", self.stale_while_revalidate_s),
            ("http.heuristic_s_max", self.heuristic_s_max),
        ];
        for (field, span) in spans {
            check(span <= 31_536_000, field, span, "0 to 31536000")?;
        }
        let seconds = |span: u32| Duration::from_secs(span.into());
        Ok(Policy {
            client_directives: self.client_directives,
            set_cookie: self.set_cookie,
            heuristic_with_cookie: self.heuristic_with_cookie,
            heuristic: match self.heuristic_s_max {
                0 => Heuristic::Off,
                longest => Heuristic::Tenth { longest: seconds(longest) },
            },
            stale_if_error: seconds(self.stale_if_error_s),
            stale_while_revalidate: seconds(self.stale_while_revalidate_s),
            ..Policy::DEFAULT
        })
    }
}
