//! `origin`: one HTTP server, as a URL without a path.

use http::Uri;
use std::{fmt, net::SocketAddr, str::FromStr};

const HTTP_PORT: u16 = 80;

/// One HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginAddress {
    authority: String,
}

impl OriginAddress {
    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl From<SocketAddr> for OriginAddress {
    fn from(address: SocketAddr) -> Self {
        Self { authority: address.to_string() }
    }
}

impl fmt::Display for OriginAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

impl FromStr for OriginAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const URL: &str = "a URL such as http://127.0.0.1:9000";
        let uri: Uri = text.parse().map_err(|_| URL)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err("http://host:port: TLS towards the origin is not there yet"),
            Some(_) | None => return Err(URL),
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err("a URL without path and query: a request's own path is used");
        }
        let authority = uri.authority().ok_or(URL)?;
        if authority.as_str().contains('@') {
            return Err("a URL without user and password");
        }
        match authority.port_u16() {
            Some(0) => Err("a URL with a port from 1 to 65535"),
            Some(port) => Ok(Self { authority: format!("{}:{port}", authority.host()) }),
            None if authority.port().is_some() => Err("a URL with a port from 1 to 65535"),
            None => Ok(Self { authority: format!("{}:{HTTP_PORT}", authority.host()) }),
        }
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
