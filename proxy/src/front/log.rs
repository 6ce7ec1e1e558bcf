//! One line for each request.

use crate::response::CACHE_STATUS;
use pingora::{Error, proxy::Session};
use std::time::Duration;

pub(super) fn access(session: &Session, took: Duration, error: Option<&Error>) {
    let request = session.req_header();
    let written = session.response_written();
    let status = written.map_or(0, |response| response.status.as_u16());
    let cache = written
        .and_then(|response| response.headers.get_all(CACHE_STATUS).iter().next_back())
        .and_then(|value| value.to_str().ok())
        .unwrap_or("-");
    let client = session.client_addr().map_or_else(|| "-".to_owned(), ToString::to_string);
    let target = String::from_utf8_lossy(request.raw_path());
    tracing::info!(
        target: "tiergate::access",
        client,
        method = %request.method,
        target = %target.escape_debug(),
        status,
        bytes = session.body_bytes_sent(),
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        cache,
        broken = error.is_some(),
    );
}
