//! What goes around the cache: where it goes, what it loses on the way, and how it fails.

use super::origin_name::OriginName;
use crate::{config::OriginAddress, response::ErrorPage};
use pingora::{
    Error, ErrorSource, ErrorType, OrErr, Result, http::ResponseHeader, upstreams::peer::HttpPeer,
};
use std::time::Duration;
use tiergate_tiers::http_head::{self, Scheme};

/// How long a connection to the origin may take to come about.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// How long the origin may take from one piece of a response to the next.
const READ_TIME_MAX: Duration = Duration::from_secs(30);
/// How long it may take to accept a piece of a request.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// How long an idle connection is kept: less than the 5 s after which common servers close.
const IDLE_TIME_MAX: Duration = Duration::from_secs(4);

/// The origin, at the address that it has now: one that changes is followed without a restart.
pub(super) async fn peer(origin: &OriginAddress, name: &OriginName) -> Result<Box<HttpPeer>> {
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

/// What the client reads about a failure; nothing when there is no client any more.
pub(super) fn page(error: &Error) -> Option<ErrorPage> {
    match error.esource() {
        ErrorSource::Upstream => Some(match error.etype() {
            ErrorType::ConnectTimedout
            | ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError => ErrorPage::ORIGIN_UNREACHABLE,
            ErrorType::ReadTimedout | ErrorType::WriteTimedout => ErrorPage::ORIGIN_LATE,
            _ => ErrorPage::ORIGIN_FAILED,
        }),
        ErrorSource::Downstream => match error.etype() {
            ErrorType::WriteError
            | ErrorType::ReadError
            | ErrorType::ConnectionClosed
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout => None,
            _ => Some(ErrorPage::BAD_REQUEST),
        },
        ErrorSource::Internal | ErrorSource::Unset => Some(ErrorPage::OURS),
    }
}
