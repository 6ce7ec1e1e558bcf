//! A connection in Pingora's hands for one request: what Pingora reads of it, and nothing more.
//!
//! Pingora reads heads leniently, so it gets the head that was judged here, written anew, and of what follows
//! only the body of that request. What the client sends ahead stays with the connection, which comes back
//! afterwards.

use super::{
    chunks::Chunks,
    origin_date::{OriginDate, Redated},
    pace::{Meter, Pace},
    request_head::Framing,
    wire::Wire,
};
use async_trait::async_trait;
use bytes::{Buf, Bytes};
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType, l4::socket::SocketAddr as PeerAddress, raw_connect::ProxyDigest,
};
use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};

/// A connection that Pingora answers one request on.
#[derive(Debug)]
pub(super) struct HandedOver {
    /// There until it goes back.
    wire: Option<Wire>,
    peer: SocketAddr,
    /// Where it goes when Pingora is done with it and does not say so.
    back: Option<oneshot::Sender<Wire>>,
    head: Bytes,
    left: Left,
    /// How fast the client sends its body.
    sending: Meter,
    response: Redated,
}

/// What may still be read of the request.
#[derive(Debug)]
enum Left {
    /// So many bytes.
    Bytes(u64),
    /// What belongs to these chunks.
    Chunked(Chunks),
    /// Everything: what another protocol says is known to others only.
    Open,
}

impl HandedOver {
    /// `head` is the request's, written anew; its body must come at the pace of `sending`.
    pub(super) fn new(
        wire: Wire,
        head: Bytes,
        framing: Framing,
        upgrades: bool,
        sending: Pace,
        back: oneshot::Sender<Wire>,
    ) -> Self {
        let left = match framing {
            _ if upgrades => Left::Open,
            Framing::Empty => Left::Bytes(0),
            Framing::Length(length) => Left::Bytes(length),
            Framing::Chunked => Left::Chunked(Chunks::new()),
        };
        let (peer, sending) = (wire.peer, Meter::new(sending));
        Self { wire: Some(wire), peer, back: Some(back), head, left, sending, response: Redated::Done }
    }

    /// The same, with the origin's date in the response.
    pub(super) fn with_date(mut self, date: OriginDate) -> Self {
        self.response = Redated::Awaits(date);
        self
    }

    /// The connection, if it stands where the next request begins: what is left of this one's body would be
    /// read as a request.
    pub(super) fn into_wire(mut self) -> Option<Wire> {
        let is_at_next = match &self.left {
            Left::Bytes(left) => *left == 0,
            Left::Chunked(chunks) => chunks.is_done(),
            Left::Open => true,
        };
        self.wire.take_if(|_| is_at_next && self.head.is_empty())
    }
}

const THERE: &str = "the connection is there until this is dropped";

impl Drop for HandedOver {
    fn drop(&mut self) {
        if let (Some(wire), Some(back)) = (self.wire.take(), self.back.take()) {
            // Whoever lent it may be gone.
            let _ = back.send(wire);
        }
    }
}

impl AsyncRead for HandedOver {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { wire, head, left, sending, .. } = &mut *self;
        let wire = wire.as_mut().expect(THERE);
        if !head.is_empty() {
            let count = head.len().min(into.remaining());
            into.put_slice(&head[..count]);
            head.advance(count);
            return Poll::Ready(Ok(()));
        }
        let is_over = match left {
            Left::Bytes(bytes) => *bytes == 0,
            Left::Chunked(chunks) => chunks.is_done(),
            Left::Open => false,
        };
        if is_over {
            // Only its leaving is of interest now, and reads as the end.
            return wire.poll_left(context).map(Ok);
        }
        match (wire.poll_fill(context), &left) {
            (Poll::Ready(filled), _) => filled?,
            (Poll::Pending, Left::Open) => return Poll::Pending,
            (Poll::Pending, Left::Bytes(_) | Left::Chunked(_)) => {
                return sending.poll_late(context).map(|()| Err(io::ErrorKind::TimedOut.into()));
            }
        }
        let there = &wire.read[..wire.read.len().min(into.remaining())];
        let count = match left {
            Left::Open => there.len(),
            Left::Bytes(bytes) => {
                let count = there.len().min(usize::try_from(*bytes).unwrap_or(usize::MAX));
                *bytes -= count as u64;
                count
            }
            Left::Chunked(chunks) => {
                chunks.follow(there).map_err(|_bad_chunks| io::Error::from(io::ErrorKind::InvalidData))?
            }
        };
        sending.moved(count);
        into.put_slice(&there[..count]);
        wire.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HandedOver {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { wire, response, .. } = &mut *self;
        let wire = wire.as_mut().expect(THERE);
        let wrote = ready!(match response.pieces(bytes) {
            [whole, [], []] => wire.poll_write(context, &[IoSlice::new(whole)]),
            pieces => wire.poll_write(context, &pieces.map(IoSlice::new)),
        })?;
        response.left(wrote);
        Poll::Ready(Ok(wrote))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.as_mut().expect(THERE).poll_flush(context).map_err(io::Error::from)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.as_mut().expect(THERE).poll_end(context).map_err(io::Error::from)
    }
}

#[async_trait]
impl Shutdown for HandedOver {
    async fn shutdown(&mut self) {
        if let Err(error) = poll_fn(|context| self.wire.as_mut().expect(THERE).poll_end(context)).await {
            tracing::debug!(?error, "a connection was not closed in order");
        }
    }
}

impl UniqueID for HandedOver {
    /// Pingora pools no connection of clients, so nobody tells two of them apart by this.
    fn id(&self) -> UniqueIDType {
        0
    }
}

impl Ssl for HandedOver {}

impl Peek for HandedOver {}

impl GetTimingDigest for HandedOver {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for HandedOver {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for HandedOver {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        let digest = SocketDigest::from_raw_fd(-1);
        digest.peer_addr.set(Some(PeerAddress::Inet(self.peer))).ok()?;
        Some(Arc::new(digest))
    }
}
