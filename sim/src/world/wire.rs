//! Connections of the simulated network, and the links that are cut between hosts.
//!
//! The network itself drops what is sent over a cut link; here it is only seen that somebody tried, because a
//! partition that nobody observes proves nothing.

use super::log::Log;
use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tiergate_proxy::front::Transport;
use tiergate_scenarios::FaultKind;
use tiergate_tiers::Connect;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

/// A link between an edge and what the fault cuts it off from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    /// The fault that cuts it.
    pub kind: FaultKind,
    /// The edge.
    pub edge: u32,
}

/// Which links are cut, and whether anybody has noticed.
#[derive(Debug)]
pub(crate) struct Cuts {
    log: Arc<Log>,
    cut: Mutex<BTreeMap<Link, Cut>>,
}

#[derive(Debug, Default)]
struct Cut {
    /// Partitions that overlap on this link.
    depth: u32,
    /// Of those, how many nobody has observed yet.
    unobserved: u32,
}

impl Cuts {
    /// Nothing is cut.
    pub(crate) fn new(log: Arc<Log>) -> Self {
        Self { log, cut: Mutex::default() }
    }

    /// One more partition lies on the link. Returns whether it is the first.
    pub(crate) fn cut(&self, link: Link) -> bool {
        let mut cuts = self.lock();
        let cut = cuts.entry(link).or_default();
        cut.depth += 1;
        cut.unobserved += 1;
        cut.depth == 1
    }

    /// One less. Returns whether it was the last.
    pub(crate) fn mend(&self, link: Link) -> bool {
        let mut cuts = self.lock();
        let cut = cuts.entry(link).or_default();
        cut.depth = cut.depth.saturating_sub(1);
        cut.unobserved = cut.unobserved.min(cut.depth);
        cut.depth == 0
    }

    /// Is it cut?
    pub(crate) fn is_cut(&self, link: Link) -> bool {
        self.lock().get(&link).is_some_and(|cut| cut.depth > 0)
    }

    /// Somebody sends over the link.
    fn observe_fault(&self, link: Link) {
        if let Some(cut) = self.lock().get_mut(&link) {
            for _ in 0..std::mem::take(&mut cut.unobserved) {
                self.log.fire(link.kind);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Link, Cut>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects over one link of the simulated network.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub link: Link,
    /// Where cuts are noticed.
    pub cuts: Arc<Cuts>,
}

impl Wire {
    /// A stream of this link that was accepted, not connected.
    pub(crate) fn accepted(self, stream: TcpStream) -> Watched {
        Watched { stream, wire: self }
    }
}

impl Connect for Wire {
    type Stream = Watched;

    async fn connect(&self, authority: &str) -> io::Result<Watched> {
        self.cuts.observe_fault(self.link);
        let stream = TcpStream::connect(authority.to_owned()).await?;
        Ok(self.clone().accepted(stream))
    }
}

/// A connection that an edge has accepted from a client.
#[derive(Debug)]
pub(crate) struct Accepted(pub TcpStream);

impl Transport for Accepted {}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// A connection over a link that may be cut.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: TcpStream,
    wire: Wire,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.cuts.observe_fault(self.wire.link);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
