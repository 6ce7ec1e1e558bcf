//! One line for each request.

use std::{net::SocketAddr, time::Duration};

/// Whether each request is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// One line each.
    Lines,
    /// Not at all.
    #[default]
    Silent,
}

/// What a line says of the request.
#[derive(Debug)]
pub(super) struct LoggedRequest {
    method: String,
    target: String,
}

impl LoggedRequest {
    pub(super) fn of(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned() }
    }
}

pub(super) fn access(
    request: &LoggedRequest,
    client: SocketAddr,
    status: u16,
    bytes: u64,
    took: Duration,
    cache: &[u8],
    broken: bool,
) {
    tracing::info!(
        target: "tiergate::access",
        client = %client,
        method = request.method,
        target = %request.target.escape_debug(),
        status,
        bytes,
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        cache = %String::from_utf8_lossy(cache),
        broken,
    );
}
