//! Responses, as a connection of HTTP/1 sends them: whole ones in one write, bodies piece by piece, error
//! pages.

use super::{Connection, Manner};
use crate::{
    front::{
        exchange::OwnAnswer,
        response_head::{self, BodyFraming, Persistence},
        wire::WireError,
    },
    response::Account,
};
use bytes::{Bytes, BytesMut};
use tiergate_driver::{Body, World};
use tiergate_engine::{ByteCount, Fields, Head, Length, Resident};

/// A body up to this size goes out in the buffer of its head, as one piece.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// Why a response did not end well.
pub(super) enum Unsent {
    /// The client is gone, or too slow.
    Client,
    /// The body broke off, which the end of the connection tells.
    Told,
    /// The body broke off, and the end of the connection would look like its own.
    Untold,
}

impl From<WireError> for Unsent {
    fn from(_: WireError) -> Self {
        Self::Client
    }
}

impl<W: World> Connection<W> {
    pub(super) async fn send_whole(
        &mut self,
        head: &Head,
        resident: &Resident<Bytes>,
        account: &Account,
        manner: Manner,
    ) -> Result<u64, Unsent> {
        let length = Length::Known(resident.length);
        let framing = BodyFraming::of(head.status, length, manner.is_http_10);
        self.put_head(head.status, &head.fields, framing, account, manner);
        let has_body = !manner.is_head && framing != BodyFraming::Nothing;
        let chunks = if has_body { &resident.chunks[..] } else { &[] };
        if resident.length.0 <= COPIED_BYTES_MAX as u64 {
            chunks.iter().for_each(|chunk| self.out.extend_from_slice(chunk));
            self.wire.write_all::<Bytes>(&self.out, &[]).await?;
        } else {
            self.wire.write_all(&self.out, chunks).await?;
        }
        self.wire.flush().await?;
        Ok(if has_body { resident.length.0 } else { 0 })
    }

    /// A body that comes piece by piece. A `HEAD` reads nothing of it.
    pub(super) async fn send_streamed(
        &mut self,
        head: &Head,
        framing: BodyFraming,
        mut body: Body<W>,
        account: &Account,
        manner: Manner,
    ) -> Result<u64, Unsent> {
        self.put_head(head.status, &head.fields, framing, account, manner);
        if manner.is_head || framing == BodyFraming::Nothing {
            self.wire.write_all::<Bytes>(&self.out, &[]).await?;
            self.wire.flush().await?;
            return Ok(0);
        }
        let is_chunked = framing == BodyFraming::Chunked;
        let mut sent = 0;
        loop {
            // The head goes out with the first piece, but does not wait for it.
            let next = if self.out.is_empty() {
                tokio::select! {
                    biased;
                    next = body.next() => next,
                    () = self.wire.left() => return Err(Unsent::Client),
                }
            } else {
                match at_once(body.next()).await {
                    Some(next) => next,
                    None => {
                        self.wire.write_all::<Bytes>(&self.out, &[]).await?;
                        self.wire.flush().await?;
                        self.out.clear();
                        continue;
                    }
                }
            };
            match next {
                Ok(Some(chunk)) => {
                    sent += chunk.len() as u64;
                    if is_chunked {
                        put_chunk_size(&mut self.out, chunk.len());
                        self.wire.write_all(&self.out, &[&chunk[..], b"\r\n"]).await?;
                    } else {
                        self.wire.write_all(&self.out, &[chunk]).await?;
                    }
                    self.out.clear();
                    self.wire.flush().await?;
                }
                Ok(None) => {
                    if is_chunked {
                        self.out.extend_from_slice(b"0\r\n\r\n");
                    }
                    self.wire.write_all::<Bytes>(&self.out, &[]).await?;
                    self.wire.flush().await?;
                    return Ok(sent);
                }
                Err(reason) => {
                    tracing::debug!(?reason, "a body broke off");
                    if !self.out.is_empty() {
                        self.wire.write_all::<Bytes>(&self.out, &[]).await?;
                        self.wire.flush().await?;
                    }
                    // A length that is not reached tells the client, and a last chunk that does not come;
                    // without either, only a reset does.
                    let tells = framing != BodyFraming::UntilClose;
                    return Err(if tells { Unsent::Told } else { Unsent::Untold });
                }
            }
        }
    }

    fn put_head(
        &mut self,
        status: u16,
        fields: &Fields,
        framing: BodyFraming,
        account: &Account,
        manner: Manner,
    ) {
        let persistence = match manner {
            Manner { keeps_open: false, .. } => Persistence::Closes,
            Manner { is_http_10: true, .. } => Persistence::StaysTold,
            Manner { .. } => Persistence::Stays,
        };
        self.out.clear();
        self.wire.begin_response();
        response_head::write(&mut self.out, status, fields, framing, account, persistence);
    }

    pub(super) async fn send_own(&mut self, answer: &OwnAnswer, manner: Manner) -> Result<u64, Unsent> {
        let OwnAnswer { status, fields, body, account } = answer;
        let ByteCount(length) = answer.length();
        self.put_head(*status, fields, BodyFraming::Length(length), account, manner);
        if !manner.is_head {
            self.out.extend_from_slice(body);
        }
        self.wire.write_all::<Bytes>(&self.out, &[]).await?;
        self.wire.flush().await?;
        Ok(if manner.is_head { 0 } else { length })
    }
}

/// The result of a future that is ready now. One that is not is dropped, which loses nothing here: a body's
/// next piece stays where it waits.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        ready = future => Some(ready),
        () = std::future::ready(()) => None,
    }
}

fn put_chunk_size(out: &mut BytesMut, size: usize) {
    use std::fmt::Write as _;
    write!(out, "{size:x}\r\n").expect("a buffer that grows takes all text");
}
