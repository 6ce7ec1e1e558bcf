//! `origin`: one HTTP server, as a URL without a path. `origin_limits`: how much it may send.

use super::error::Problem;
use crate::ResponseLimits;
use http::Uri;
use serde::Deserialize;
use std::{fmt, net::SocketAddr, str::FromStr};
use tiergate_engine::ByteCount;
use tiergate_tiers::http_head::Scheme;

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

const HEAD_LEAST: ByteCount = ByteCount::kib(1);
const HEAD_MOST: ByteCount = ByteCount::kib(1024);
/// Pingora, which reads what goes around the cache, takes no more.
const FIELDS_MOST: usize = 256;

/// How large the head of an origin's response may be. Beyond: 502.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RawOriginLimits {
    /// Its bytes. Default 128KiB; from 1KiB to 1MiB.
    pub head: Option<ByteCount>,
    /// Its field lines. Default 256; from 1 to 256.
    pub fields: Option<usize>,
}

impl RawOriginLimits {
    pub(super) fn check(&self) -> Result<ResponseLimits, Problem> {
        let default = ResponseLimits::default();
        let head = self.head.unwrap_or(ByteCount(default.head_bytes_max as u64));
        if !(HEAD_LEAST..=HEAD_MOST).contains(&head) {
            return Err(Problem::value("origin_limits.head", head, "from 1KiB to 1MiB"));
        }
        let field_lines_max = self.fields.unwrap_or(default.field_lines_max);
        if !(1..=FIELDS_MOST).contains(&field_lines_max) {
            return Err(Problem::value("origin_limits.fields", field_lines_max, "from 1 to 256"));
        }
        let head_bytes_max = usize::try_from(head.0).unwrap_or(usize::MAX);
        Ok(ResponseLimits { head_bytes_max, field_lines_max })
    }
}

/// One HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginAddress {
    scheme: Scheme,
    host: String,
    authority: String,
}

impl OriginAddress {
    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its name or address, without the brackets of IPv6: whom its certificate must be for.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl From<SocketAddr> for OriginAddress {
    fn from(address: SocketAddr) -> Self {
        Self { scheme: Scheme::Http, host: address.ip().to_string(), authority: address.to_string() }
    }
}

impl fmt::Display for OriginAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl FromStr for OriginAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const URL: &str = "a URL such as http://127.0.0.1:9000 or https://www.example.com";
        const PORT: &str = "a URL with a port from 1 to 65535";
        let uri: Uri = text.parse().map_err(|_| URL)?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, HTTP_PORT),
            Some("https") => (Scheme::Https, HTTPS_PORT),
            Some(_) | None => return Err(URL),
        };
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err("a URL without path and query: a request's own path is used");
        }
        let authority = uri.authority().ok_or(URL)?;
        if authority.as_str().contains('@') {
            return Err("a URL without user and password");
        }
        let port = match authority.port_u16() {
            Some(0) => return Err(PORT),
            Some(port) => port,
            None if authority.port().is_some() => return Err(PORT),
            None => default_port,
        };
        let host = authority.host().to_owned();
        Ok(Self { scheme, authority: format!("{host}:{port}"), host })
    }
}

/// Is this `host:port`, with a port that can be connected to?
pub(super) fn is_authority(text: &str) -> bool {
    text.parse::<http::uri::Authority>().is_ok_and(|authority| {
        !text.contains('@')
            && !authority.host().is_empty()
            && authority.port_u16().is_some_and(|port| port > 0)
    })
}
