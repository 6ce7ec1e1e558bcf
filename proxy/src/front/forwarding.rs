//! What an origin is told of a request beside what the client asked: who asked, and through whom.
//!
//! Strangers' word on that is not passed on (see [`Unforwarded`]): an origin that believes `X-Forwarded-Host`
//! would let them choose what the cache then stores for everybody. A trusted proxy's `X-Forwarded-For` and
//! `X-Forwarded-Proto` count; its `X-Forwarded-Host` does not, for a proxy passes on what it does not set.

use super::request_head::ParsedHead;
use crate::{
    config::{Standing, TrustedProxies, Unforwarded},
    response::VIA_TEXT,
};
use std::net::{IpAddr, SocketAddr};
use tiergate_engine::Fields;
use tiergate_tiers::http_head::{self, Scheme};

/// The field in which proxies list whom they forward for.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// The field in which they say how the client reached them.
const FORWARDED_PROTO: &str = "x-forwarded-proto";
/// The field in which they say whom it asked for.
const FORWARDED_HOST: &str = "x-forwarded-host";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// The nearest that is no trusted proxy.
    pub(super) address: IpAddr,
    scheme: Scheme,
    /// All addresses that the origin is told of.
    forwarded_for: Vec<u8>,
}

/// How a client reached the first proxy. A trusted one's word counts if it is one word: of several, nobody
/// knows whose they are.
pub(super) fn client_scheme<'f>(
    connection: Scheme,
    standing: Standing,
    lines: impl Iterator<Item = (&'f str, &'f [u8])>,
) -> Scheme {
    match standing {
        Standing::Stranger => return connection,
        Standing::Trusted => {}
    }
    let mut said = lines.filter(|(name, _)| *name == FORWARDED_PROTO).map(|(_, value)| value);
    match (said.next(), said.next()) {
        (Some(proto), None) if proto.eq_ignore_ascii_case(b"https") => Scheme::Https,
        (Some(proto), None) if proto.eq_ignore_ascii_case(b"http") => Scheme::Http,
        (Some(_) | None, _) => connection,
    }
}

impl Client {
    /// Of a request that came from `peer`. Each proxy adds on the right whom it was reached by, so the list
    /// is believed from there up to the first address that is not a trusted proxy's. What is no address ends
    /// the list.
    pub(super) fn of<'f>(
        peer: IpAddr,
        scheme: Scheme,
        trusted: &TrustedProxies,
        lines: impl Iterator<Item = (&'f str, &'f [u8])>,
    ) -> Self {
        let peer = peer.to_canonical();
        let own = peer.to_string().into_bytes();
        match trusted.standing(peer) {
            Standing::Stranger => return Self { address: peer, scheme, forwarded_for: own },
            Standing::Trusted => {}
        }
        let said: Vec<&[u8]> =
            lines.filter(|(name, _)| *name == FORWARDED_FOR).map(|(_, value)| value).collect();
        let mut address = peer;
        for member in said.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
            if trusted.standing(address) == Standing::Stranger {
                break;
            }
            let Some(before) = listed_address(member.trim_ascii()) else { break };
            address = before;
        }
        let mut forwarded_for = said.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>();
        forwarded_for.push(&own);
        Self { address, scheme, forwarded_for: forwarded_for.join(&b", "[..]) }
    }

    const fn proto(&self) -> &'static str {
        match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The fields that tell of it.
    pub(super) fn fields<'c>(&'c self, authority: &'c str) -> [(&'static str, &'c [u8]); 3] {
        [
            (FORWARDED_FOR, &self.forwarded_for),
            (FORWARDED_PROTO, self.proto().as_bytes()),
            (FORWARDED_HOST, http_head::host_field(authority).as_bytes()),
        ]
    }
}

/// An address as proxies list them: some add a port, some put IPv6 into brackets.
fn listed_address(member: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(member).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip())).ok()?;
    Some(IpAddr::to_canonical(&address))
}

/// Has this request been here before? Then the origin is this cache itself, or leads back to it (RFC 8586).
pub(super) fn is_loop<'f>(lines: impl Iterator<Item = (&'f str, &'f [u8])>, loop_id: &str) -> bool {
    lines
        .filter(|(name, _)| *name == "cdn-loop")
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
        .any(|value| value.split(',').any(|member| member.trim() == loop_id))
}

/// Adds to a fetch's fields who asked first, and that it came through here.
pub(super) fn tell_of_client(fields: &mut Fields, authority: &str, client: &Client, loop_id: &str) {
    for (name, value) in client.fields(authority) {
        fields.push(name, value);
    }
    fields.push("via", VIA_TEXT.as_bytes());
    fields.push("cdn-loop", loop_id.as_bytes());
}

/// A request's head in one spelling, for Pingora: what was judged, and nothing that can be read otherwise.
/// Who asks is added on the way to the origin; what a trusted proxy says of that is kept until then. Names
/// keep the letters that the client wrote.
pub(super) fn written_anew(
    raw: &[u8],
    parsed: &ParsedHead<'_, '_>,
    authority: &str,
    standing: Standing,
    unforwarded: &Unforwarded,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + 128);
    let host = http_head::host_field(authority);
    let version = if parsed.is_http_10 { "1.0" } else { "1.1" };
    out.extend_from_slice(
        format!("{} {} HTTP/{version}\r\nHost: {host}\r\n", parsed.method, parsed.target).as_bytes(),
    );
    let raw = raw.strip_prefix(b"\r\n").unwrap_or(raw);
    for line in raw.split_inclusive(|byte| *byte == b'\n').skip(1) {
        let name = line.split(|byte| *byte == b':').next().unwrap_or(line).to_ascii_lowercase();
        let is_end = line == b"\r\n";
        let name = String::from_utf8_lossy(&name);
        if !is_end && goes_on(&name, (parsed.method, parsed.upgrades), standing, unforwarded) {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Does a field of this name go on to Pingora, in a request of this method, which upgrades or does not?
/// `Host` is written anew, and an upgrade that is not one is not passed on as one.
pub(super) fn goes_on(
    name: &str,
    (method, upgrades): (&str, bool),
    standing: Standing,
    unforwarded: &Unforwarded,
) -> bool {
    let is_upgrade = matches!(name, "upgrade" | "http2-settings") && !upgrades;
    let counts = match standing {
        Standing::Trusted => matches!(name, FORWARDED_FOR | FORWARDED_PROTO),
        Standing::Stranger => false,
    };
    !is_upgrade && name != "host" && (counts || !unforwarded.has(name, method))
}

#[cfg(test)]
mod tests;
