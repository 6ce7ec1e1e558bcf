//! Writing responses to the client: whole ones from memory, and bodies that come piece by piece.
//!
//! All errors are the client's but one: a body that broke off ([`BODY_ABORTED`]). After either the connection
//! is closed, and that is how the client learns that the body is not whole. A body that is dropped before its
//! end tells the engine that the client left.

use bytes::Bytes;
use pingora::{Error, ErrorType, Result, http::ResponseHeader, proxy::Session};
use tiergate_driver::{Body, World};
use tiergate_engine::Resident;

/// The body broke off.
const BODY_ABORTED: ErrorType = ErrorType::Custom("TiergateBodyAborted");
/// The bytes of one write at most, so that slow clients are given the time of a write for each.
const WRITE_BYTES_MAX: usize = 256 << 10;

/// Writes a response that is in memory.
pub(super) async fn send_whole(
    session: &mut Session,
    header: ResponseHeader,
    resident: &Resident<Bytes>,
) -> Result<()> {
    let is_bodiless = is_head(session) || resident.chunks.is_empty();
    send_header(session, header, is_bodiless).await?;
    if is_bodiless {
        return Ok(());
    }
    for chunk in &resident.chunks {
        send_chunk(session, chunk).await?;
    }
    send_end(session).await
}

/// Writes a response whose body comes piece by piece. A `HEAD` reads nothing of it.
pub(super) async fn send_streamed<W: World>(
    session: &mut Session,
    mut header: ResponseHeader,
    mut body: Body<W>,
) -> Result<()> {
    frame(session, &mut header)?;
    let is_bodiless = is_head(session);
    send_header(session, header, is_bodiless).await?;
    if is_bodiless {
        return Ok(());
    }
    loop {
        match body.next().await {
            Ok(Some(chunk)) => send_chunk(session, &chunk).await?,
            Ok(None) => return send_end(session).await,
            Err(reason) => {
                return Error::e_explain(BODY_ABORTED, format!("the body broke off: {reason:?}"));
            }
        }
    }
}

/// Writes a whole short answer.
pub(super) async fn send_short(session: &mut Session, header: ResponseHeader, body: Bytes) -> Result<()> {
    let is_bodiless = is_head(session);
    send_header(session, header, is_bodiless).await?;
    if is_bodiless {
        return Ok(());
    }
    send_chunk(session, &body).await?;
    send_end(session).await
}

/// A body of unknown length goes in chunks (RFC 9112 section 7.1). A client of 1.0 does not know them: the
/// end of the connection is the end of the body, and nothing tells that client when it broke off. HTTP/1.0
/// has no word for it.
fn frame(session: &Session, header: &mut ResponseHeader) -> Result<()> {
    let is_framed = header.headers.contains_key(http::header::CONTENT_LENGTH)
        || matches!(header.status, http::StatusCode::NO_CONTENT | http::StatusCode::NOT_MODIFIED);
    if !is_framed && session.req_header().version != http::Version::HTTP_10 {
        header.insert_header(http::header::TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
}

fn is_head(session: &Session) -> bool {
    session.req_header().method == http::Method::HEAD
}

async fn send_header(session: &mut Session, header: ResponseHeader, end: bool) -> Result<()> {
    session.write_response_header(Box::new(header), end).await.map_err(Error::into_down)
}

async fn send_chunk(session: &mut Session, chunk: &Bytes) -> Result<()> {
    for start in (0..chunk.len()).step_by(WRITE_BYTES_MAX) {
        let piece = chunk.slice(start..chunk.len().min(start + WRITE_BYTES_MAX));
        session.write_response_body(Some(piece), false).await.map_err(Error::into_down)?;
    }
    Ok(())
}

async fn send_end(session: &mut Session) -> Result<()> {
    session.write_response_body(None, true).await.map_err(Error::into_down)
}
