//! How clients are treated: limits, times, whose word counts.

use crate::{
    Problem, RawForward, RawLimits, RawOriginLimits, RawTimeouts, Token, TrustedProxies, Unforwarded, trusted,
};
use std::{num::NonZeroU32, time::Duration};
use tiergate_tiers::http_head::{self, Scheme};

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head. Beyond: 431.
    pub head_bytes_max: usize,
    /// Bytes of the request's target. Beyond: 414.
    pub target_bytes_max: usize,
    /// Field lines. Beyond: 431. At most [`FIELD_LINES_MOST`].
    pub field_lines_max: usize,
}

/// No limit on field lines is above this.
pub const FIELD_LINES_MOST: usize = 256;

impl Default for HeadLimits {
    fn default() -> Self {
        Self { head_bytes_max: 32 << 10, target_bytes_max: 8 << 10, field_lines_max: 100 }
    }
}

/// How long clients are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the next request on a connection.
    pub idle: Duration,
    /// From a head's first byte to its last.
    pub head: Duration,
    /// For some of a request's body.
    pub body: Duration,
    /// Bytes a second that a body must have on average, over more than that time. Zero is any.
    pub body_bytes_per_s_min: u32,
    /// For a client to take some of what is written to it. One that stopped reading would hold its body, and
    /// a body that no tier keeps would wait for it.
    pub write: Duration,
    /// Bytes a second that it must take on average, over more than that time. Zero is any.
    pub write_bytes_per_s_min: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(75),
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            body_bytes_per_s_min: 500,
            write: Duration::from_secs(60),
            write_bytes_per_s_min: 500,
        }
    }
}

/// How many may be connected at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all.
    pub connections_max: u32,
    /// From one IPv4 address, or from one network of IPv6 (the first 64 bits, which one customer has).
    pub per_address_max: u32,
}

/// What a client may speak in clear text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClearText {
    /// HTTP/1 only.
    #[default]
    Http1,
    /// HTTP/2, too, by a client that knows beforehand that it may.
    Both,
}

/// How a front treats its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontOptions {
    /// How large a head may be.
    pub head_limits: HeadLimits,
    /// How long a client is waited for.
    pub timeouts: Timeouts,
    /// What may be spoken in clear text.
    pub clear_text: ClearText,
    /// How many requests clients may send.
    pub request_limits: RequestLimits,
    /// How large the head of an origin's response may be.
    pub response_limits: ResponseLimits,
    /// What an origin is told in `Host` of a request that goes around the cache; by default what the client
    /// asked for.
    pub origin_host: Option<String>,
    /// Which fields of a request are not passed on.
    pub unforwarded: Unforwarded,
    /// Who may purge at the clients' listener: whoever knows this. Without it, nobody may.
    pub purge_token: Option<Token>,
    /// Whose word on clients counts.
    pub trusted: TrustedProxies,
    /// Whether each request is told of in the server's own log.
    pub traces: bool,
}

/// How many requests clients may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Of one address, on average. Without one, any number.
    pub rate: Option<Rate>,
    /// Under way at a time, of all clients. Without one, any number.
    pub under_way_max: Option<NonZeroU32>,
    /// Over one connection of HTTP/1.
    pub per_connection_max: NonZeroU32,
}

/// A number of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// A second.
    pub per_s: NonZeroU32,
    /// At once, after a while without any.
    pub burst: NonZeroU32,
}

impl Default for RequestLimits {
    fn default() -> Self {
        let per_connection_max = NonZeroU32::new(1000).expect("1000 is not zero");
        Self { rate: None, under_way_max: None, per_connection_max }
    }
}

/// How large the head of an origin's response may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Its bytes. White space around values does not count in what goes around the cache.
    pub head_bytes_max: usize,
    /// Its field lines.
    pub field_lines_max: usize,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self { head_bytes_max: 128 << 10, field_lines_max: 256 }
    }
}

/// How clients are treated, in the keys that a proxy's file and a scenario have for it.
#[derive(Clone, Debug, Default)]
pub struct RawFront {
    /// `origin_host`.
    pub origin_host: Option<String>,
    /// `origin_limits`.
    pub origin_limits: RawOriginLimits,
    /// `forward`.
    pub forward: RawForward,
    /// `trusted_proxies`.
    pub trusted_proxies: Vec<String>,
    /// `limits`.
    pub limits: RawLimits,
    /// `timeouts`.
    pub timeouts: RawTimeouts,
}

impl RawFront {
    /// What a front runs on. Whether it speaks HTTP/2 in clear text, who may purge and what it logs is said
    /// elsewhere.
    ///
    /// # Errors
    /// A value is out of bounds.
    pub fn check(self) -> Result<FrontOptions, Problem> {
        if let Some(host) = &self.origin_host
            && http_head::normal_authority(host, Scheme::Http).is_none()
        {
            return Err(Problem::value("origin_host", host, "a host name with an optional port"));
        }
        Ok(FrontOptions {
            head_limits: self.limits.check()?,
            timeouts: self.timeouts.check()?,
            request_limits: self.limits.check_requests()?,
            response_limits: self.origin_limits.check()?,
            origin_host: self.origin_host,
            unforwarded: self.forward.check()?,
            trusted: trusted::check(&self.trusted_proxies)?,
            ..FrontOptions::default()
        })
    }
}
