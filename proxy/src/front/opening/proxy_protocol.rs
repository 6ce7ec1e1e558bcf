//! The header of the PROXY protocol, versions 1 and 2: whom a balancer that forwards bytes forwards for.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>. What is not written as it says there is no
//! header, and the connection is of no use: its first bytes would be read as a request. Nothing beyond the
//! header is read. Start at [`read`].

use super::{Socket, peek};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::io::AsyncReadExt as _;

/// How version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 2 has before its addresses: signature, version and command, family and transport, length.
const FIXED_BYTES: usize = 16;
/// The longest header of version 1, as the protocol says.
const TEXT_BYTES_MAX: usize = 107;
/// The longest of version 2. It may carry a client certificate's names, and little else that is long.
const BINARY_BYTES_MAX: usize = 4 << 10;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// Its own bytes: what comes after them is the client's.
    length: usize,
    /// The client, if it is told: a balancer that checks whether this server lives speaks for itself.
    source: Option<SocketAddr>,
}

/// Why a connection did not begin with a header.
#[derive(Debug)]
pub(super) enum HeaderError {
    /// The bytes are none.
    Malformed,
    /// The connection ended before the header did, or broke.
    Closed,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it does not begin with a header of the PROXY protocol",
            Self::Closed => "it ended before a header of the PROXY protocol did",
        })
    }
}

impl From<std::io::Error> for HeaderError {
    fn from(_: std::io::Error) -> Self {
        Self::Closed
    }
}

/// Reads a header, and nothing after it. Says who the client is, if the header does.
pub(super) async fn read(stream: &mut impl Socket) -> Result<Option<SocketAddr>, HeaderError> {
    let mut bytes = Vec::new();
    let mut room = [0; BINARY_BYTES_MAX];
    loop {
        // What is peeked at stays in the socket, so that what belongs to the client is not taken from it.
        let peeked = peek(stream, &mut room).await?;
        if peeked == 0 {
            return Err(HeaderError::Closed);
        }
        let before = bytes.len();
        bytes.extend_from_slice(&room[..peeked]);
        let header = parse(&bytes)?;
        let taken = header.map_or(peeked, |header| header.length - before);
        stream.read_exact(&mut room[..taken]).await?;
        if let Some(header) = header {
            return Ok(header.source);
        }
    }
}

/// The header that `bytes` begin with; `None` while its end is not there.
fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let begins = |whole: &[u8]| whole.starts_with(&bytes[..bytes.len().min(whole.len())]);
    if begins(SIGNATURE) {
        return parse_binary(bytes);
    }
    if begins(b"PROXY ") {
        return parse_text(bytes);
    }
    Err(HeaderError::Malformed)
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 4000 80`, and CR LF.
fn parse_text(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some(feed) = bytes.iter().take(TEXT_BYTES_MAX).position(|byte| *byte == b'\n') else {
        let is_too_long = bytes.len() >= TEXT_BYTES_MAX;
        return if is_too_long { Err(HeaderError::Malformed) } else { Ok(None) };
    };
    let length = feed + 1;
    let line = bytes[..feed].strip_suffix(b"\r").ok_or(HeaderError::Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| HeaderError::Malformed)?;
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    let source = match words[..] {
        // What else the line says is to be ignored.
        ["UNKNOWN", ..] => Some(None),
        ["TCP4", from, to, from_port, to_port] => tcp::<Ipv4Addr>(from, to, from_port, to_port).map(Some),
        ["TCP6", from, to, from_port, to_port] => tcp::<Ipv6Addr>(from, to, from_port, to_port).map(Some),
        _ => None,
    };
    source.map(|source| Some(Header { length, source })).ok_or(HeaderError::Malformed)
}

/// The source, if both ends are addresses of this family with ports.
fn tcp<A: std::str::FromStr + Into<IpAddr>>(
    from: &str,
    to: &str,
    from_port: &str,
    to_port: &str,
) -> Option<SocketAddr> {
    let (from, _to) = (from.parse::<A>().ok()?, to.parse::<A>().ok()?);
    let (from_port, _to_port) = (port(from_port)?, port(to_port)?);
    Some(SocketAddr::new(from.into(), from_port))
}

/// Digits, without a zero before them.
fn port(text: &str) -> Option<u16> {
    let is_plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_plain)
}

fn parse_binary(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED_BYTES>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let whole = FIXED_BYTES + length;
    // Version and command: 2, and LOCAL or PROXY.
    let is_local = match fixed[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(HeaderError::Malformed),
    };
    if whole > BINARY_BYTES_MAX {
        return Err(HeaderError::Malformed);
    }
    // Family and transport. Addresses, then ports; after them, more that is not read.
    let room = match fixed[13] {
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ if is_local => 0,
        _ => return Err(HeaderError::Malformed),
    };
    if !is_local && length < room {
        return Err(HeaderError::Malformed);
    }
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    let port = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
    let source = match fixed[13] {
        _ if is_local => None,
        0x11 => payload.first_chunk().map(|octets: &[u8; 4]| (Ipv4Addr::from(*octets), port(8)).into()),
        0x21 => payload.first_chunk().map(|octets: &[u8; 16]| (Ipv6Addr::from(*octets), port(32)).into()),
        // Unknown, and sockets of one machine, of which there is no address.
        _ => None,
    };
    Ok(Some(Header { length: whole, source }))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
