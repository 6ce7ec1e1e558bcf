//! What goes around the cache: where it goes, what it loses on the way, and how it fails.

use super::{
    dialing::{ByDialling, Dial},
    origin_name::OriginName,
};
use crate::{
    config::{OriginAddress, ResponseLimits},
    response::ErrorPage,
};
use pingora::{
    Error, ErrorSource, ErrorType, OrErr, Result, http::ResponseHeader, upstreams::peer::HttpPeer,
};
use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};
use tiergate_tiers::http_head::{self, Scheme};

/// How long a connection to the origin may take to come about.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// How long the origin may take from one piece of a response to the next.
const READ_TIME_MAX: Duration = Duration::from_secs(30);
/// How long it may take to accept a piece of a request.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// How long an idle connection is kept: less than the 5 s after which common servers close.
const IDLE_TIME_MAX: Duration = Duration::from_secs(4);

/// The head of a response is none that is taken.
const BAD_HEAD: ErrorType = ErrorType::Custom("TiergateBadResponseHead");
/// Bytes of a status line without its reason: `HTTP/1.1 200`, a space and the line's end.
const STATUS_LINE_BYTES: usize = 15;
/// Bytes of a field line beside its name and value.
const FIELD_LINE_REST: usize = 4;

/// Is this a head that may go to a client? One of any size was read by Pingora already, up to 1 MiB. A coding
/// other than `chunked` is still in the body, and a client would not know: the field that tells of it goes.
/// And only who `upgrades` may be told that another protocol is spoken from now on (RFC 9110 section 7.8).
pub(super) fn judge(response: &ResponseHeader, limits: &ResponseLimits, upgrades: bool) -> Result<()> {
    let reason = response.get_reason_phrase().map_or(0, str::len);
    let bytes: usize = response
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_LINE_REST)
        .sum::<usize>()
        + STATUS_LINE_BYTES
        + reason
        + "\r\n".len();
    let codings = response.headers.get_all(http::header::TRANSFER_ENCODING);
    let refused = |why: &'static str| Error::e_explain(BAD_HEAD, why).map_err(Error::into_up);
    if bytes > limits.head_bytes_max {
        return refused("the head of the origin's response has too many bytes");
    }
    if response.headers.len() > limits.field_lines_max {
        return refused("the head of the origin's response has too many fields");
    }
    if codings.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return refused("the origin's response has a transfer coding that is not known");
    }
    if response.status == http::StatusCode::SWITCHING_PROTOCOLS && !upgrades {
        return refused("the origin switches protocols, which nobody asked it to");
    }
    Ok(())
}

/// The origin, at the address that it has now: one that changes is followed without a restart. Who dials it
/// in another way does so for each request: Pingora tells connections that it keeps apart by their sockets.
pub(super) async fn peer(
    origin: &OriginAddress,
    name: &OriginName,
    dial: Option<&Arc<dyn Dial>>,
) -> Result<Box<HttpPeer>> {
    if let Some(dial) = dial {
        let mut peer = HttpPeer::new((Ipv4Addr::UNSPECIFIED, 0), false, origin.host().to_owned());
        peer.options.custom_l4 = Some(Arc::new(ByDialling(Arc::clone(dial))));
        peer.options.idle_timeout = Some(Duration::ZERO);
        return Ok(Box::new(peer));
    }
    let address = name
        .address()
        .await
        .or_err(ErrorType::ConnectError, "the origin's name cannot be looked up")
        .map_err(Error::into_up)?;
    let is_encrypted = origin.scheme() == Scheme::Https;
    let mut peer = HttpPeer::new(address, is_encrypted, origin.host().to_owned());
    peer.options.connection_timeout = Some(CONNECT_TIME_MAX);
    peer.options.read_timeout = Some(READ_TIME_MAX);
    peer.options.write_timeout = Some(WRITE_TIME_MAX);
    peer.options.idle_timeout = Some(IDLE_TIME_MAX);
    Ok(Box::new(peer))
}

/// Pingora does this for requests only. The framing, and an upgrade that was agreed on, are Pingora's to
/// speak of.
pub(super) fn strip_hop_by_hop(response: &mut ResponseHeader) {
    let kept = http_head::end_to_end(&response.headers);
    let upgraded = response.status == http::StatusCode::SWITCHING_PROTOCOLS;
    let unwanted: Vec<_> = response
        .headers
        .keys()
        .filter(|name| {
            let framing = [http::header::TRANSFER_ENCODING, http::header::CONTENT_LENGTH].contains(name);
            let upgrade = upgraded && [http::header::UPGRADE, http::header::CONNECTION].contains(name);
            !framing && !upgrade && !kept.contains(name.as_str())
        })
        .cloned()
        .collect();
    for name in &unwanted {
        response.remove_header(name);
    }
}

fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    error.root_cause().downcast_ref::<io::Error>().map(io::Error::kind)
}

/// What the client reads about a failure; nothing when there is no client any more.
pub(super) fn page(error: &Error) -> Option<ErrorPage> {
    match error.esource() {
        ErrorSource::Upstream => Some(match error.etype() {
            ErrorType::ConnectTimedout
            | ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError => ErrorPage::ORIGIN_UNREACHABLE,
            ErrorType::ReadTimedout | ErrorType::WriteTimedout => ErrorPage::ORIGIN_LATE,
            ErrorType::InvalidHTTPHeader => ErrorPage::ORIGIN_MALFORMED,
            etype if *etype == BAD_HEAD => ErrorPage::ORIGIN_MALFORMED,
            _ => ErrorPage::ORIGIN_FAILED,
        }),
        ErrorSource::Downstream => match error.etype() {
            // What the connection itself says of a body (see `handover`).
            ErrorType::ReadError => match io_kind(error) {
                Some(io::ErrorKind::TimedOut) => Some(ErrorPage::BODY_LATE),
                Some(io::ErrorKind::InvalidData) => Some(ErrorPage::BAD_CHUNKS),
                Some(_) | None => None,
            },
            ErrorType::WriteError
            | ErrorType::ConnectionClosed
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout => None,
            _ => Some(ErrorPage::BAD_REQUEST),
        },
        ErrorSource::Internal | ErrorSource::Unset => Some(ErrorPage::OURS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who asked for no other protocol is not told of one.
    #[test]
    fn only_who_asked_for_another_protocol_gets_one() {
        let limits = ResponseLimits::default();
        let head = |status: u16| ResponseHeader::build(status, None).expect("a status");
        let refused = judge(&head(101), &limits, false).expect_err("nobody asked");
        assert_eq!(page(&refused), Some(ErrorPage::ORIGIN_MALFORMED));
        assert!(judge(&head(101), &limits, true).is_ok());
        assert!(judge(&head(103), &limits, false).is_ok());
    }
}
