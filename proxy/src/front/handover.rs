//! A connection in Pingora's hands for one request: what Pingora reads of it, and nothing more.
//!
//! Pingora reads heads leniently, so it gets the head that was judged here, written anew, and of what follows
//! only the body of that request. What the client sends ahead stays with the connection, which comes back
//! afterwards.

use super::{request_head::Framing, wire::Wire};
use async_trait::async_trait;
use bytes::{Buf, Bytes};
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType, l4::socket::SocketAddr as PeerAddress, raw_connect::ProxyDigest,
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection that Pingora answers one request on.
#[derive(Debug)]
pub(super) struct HandedOver {
    wire: Wire,
    head: Bytes,
    left: Left,
}

/// What may still be read of the request.
#[derive(Clone, Copy, Debug)]
enum Left {
    /// So many bytes.
    Bytes(u64),
    /// Everything: where a chunked body ends, or what another protocol says, is known to Pingora only.
    Open,
}

impl HandedOver {
    /// `head` is the request's, written anew.
    pub(super) fn new(wire: Wire, head: Bytes, framing: Framing, upgrades: bool) -> Self {
        let left = match framing {
            _ if upgrades => Left::Open,
            Framing::Empty => Left::Bytes(0),
            Framing::Length(length) => Left::Bytes(length),
            Framing::Chunked => Left::Open,
        };
        Self { wire, head, left }
    }

    /// The connection, if it stands where the next request begins: what is left of this one's body would be
    /// read as a request.
    pub(super) fn into_wire(self) -> Option<Wire> {
        let is_at_next = match self.left {
            Left::Bytes(left) => left == 0,
            Left::Open => true,
        };
        (is_at_next && self.head.is_empty()).then_some(self.wire)
    }
}

impl AsyncRead for HandedOver {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { wire, head, left } = &mut *self;
        if !head.is_empty() {
            let count = head.len().min(into.remaining());
            into.put_slice(&head[..count]);
            head.advance(count);
            return Poll::Ready(Ok(()));
        }
        match left {
            Left::Open => wire.poll_take(context, into, usize::MAX),
            // Only its leaving is of interest now, and reads as the end.
            Left::Bytes(0) => wire.poll_left(context).map(Ok),
            Left::Bytes(bytes) => {
                let before = into.filled().len();
                let most = usize::try_from(*bytes).unwrap_or(usize::MAX);
                let polled = wire.poll_take(context, into, most);
                *bytes -= (into.filled().len() - before) as u64;
                polled
            }
        }
    }
}

impl AsyncWrite for HandedOver {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.transport().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.transport().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.transport().poll_shutdown(context)
    }
}

#[async_trait]
impl Shutdown for HandedOver {
    async fn shutdown(&mut self) {
        if let Err(error) = self.wire.end().await {
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
        digest.peer_addr.set(Some(PeerAddress::Inet(self.wire.peer))).ok()?;
        Some(Arc::new(digest))
    }
}
