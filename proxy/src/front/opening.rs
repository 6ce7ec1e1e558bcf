//! What a connection begins with before its first request: whose it is, where a proxy says so, and TLS.
//!
//! Every listener opens its connections so, whatever carries their bytes. Start at [`Opening::whose`] and
//! [`Opening::serve`].

mod proxy_protocol;

use super::{Agreed, Doors, Transport, Wire};
use crate::config::{Standing, ToldBy};
use std::{
    fmt::Display,
    future::poll_fn,
    io,
    net::SocketAddr,
    task::{Context, Poll},
};
use tiergate_driver::World;
use tiergate_tiers::http_head::Scheme;
use tokio::{io::ReadBuf, net::TcpStream, sync::watch};
use tokio_rustls::TlsAcceptor;

/// A connection whose bytes can be looked at before they are taken.
pub trait Socket: Transport {
    /// Waits until there is something to read, and shows it. It stays to be read. Nothing is shown at the
    /// end.
    ///
    /// # Errors
    /// The connection broke.
    fn poll_peek(&mut self, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<usize>>;
}

impl Socket for TcpStream {
    fn poll_peek(&mut self, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        Self::poll_peek(self, context, room)
    }
}

/// The next bytes, which stay to be read.
async fn peek(stream: &mut impl Socket, room: &mut [u8]) -> io::Result<usize> {
    let mut room = ReadBuf::new(room);
    poll_fn(|context| stream.poll_peek(context, &mut room)).await
}

/// What a listener's connections begin with.
#[derive(Clone)]
pub struct Opening {
    /// Who says whose a connection is.
    pub told_by: ToldBy,
    /// What shakes hands, if the listener speaks TLS.
    pub tls: Option<TlsAcceptor>,
}

impl Opening {
    /// Whose a connection from `peer` is: that of whoever it says, where it begins with a header that says
    /// so. Nobody's, when the server drains, or when the header is not one that counts; then the connection
    /// is of no use.
    pub async fn whose<W: World>(
        &self,
        stream: &mut impl Socket,
        peer: SocketAddr,
        doors: &Doors<W>,
        stop: &mut watch::Receiver<bool>,
    ) -> Option<SocketAddr> {
        match self.told_by {
            ToldBy::Connection => Some(peer),
            ToldBy::ProxyProtocol => tokio::select! {
                biased;
                told = told_of(stream, peer, doors) => told,
                // Nothing was asked yet, so there is nothing to finish.
                _ = stop.changed() => None,
            },
        }
    }

    /// Answers all requests of a connection that is `peer`'s. `stop` becomes true when the server drains.
    pub async fn serve<W: World>(
        self,
        stream: impl Socket,
        peer: SocketAddr,
        doors: Doors<W>,
        stop: watch::Receiver<bool>,
    ) {
        match self.tls {
            None => doors.serve(Wire::new(stream, peer, Scheme::Http), Agreed::Nothing, stop).await,
            Some(acceptor) => shake_hands(acceptor, stream, peer, doors, stop).await,
        }
    }
}

/// Whom a trusted proxy speaks for, itself included. Nobody, when it is none, or says it in a wrong way or
/// too late.
async fn told_of<W: World>(
    stream: &mut impl Socket,
    peer: SocketAddr,
    doors: &Doors<W>,
) -> Option<SocketAddr> {
    let refuse = |why: &dyn Display| {
        tracing::debug!(%peer, %why, "a connection is closed");
        doors.refused_proxy_header();
    };
    if doors.standing(peer.ip()) == Standing::Stranger {
        refuse(&"it comes from none of `trusted_proxies`");
        return None;
    }
    match tokio::time::timeout(doors.handshake_time_max(), proxy_protocol::read(stream)).await {
        Ok(Ok(source)) => Some(source.unwrap_or(peer)),
        Ok(Err(error)) => {
            refuse(&error);
            None
        }
        Err(_elapsed) => {
            refuse(&"a header of the PROXY protocol took too long");
            None
        }
    }
}

/// A client has as long for its part of the handshake as for a head.
async fn shake_hands<W: World>(
    acceptor: TlsAcceptor,
    stream: impl Socket,
    peer: SocketAddr,
    doors: Doors<W>,
    stop: watch::Receiver<bool>,
) {
    match tokio::time::timeout(doors.handshake_time_max(), acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let speaks_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let agreed = if speaks_h2 { Agreed::Http2 } else { Agreed::Http1 };
            doors.serve(Wire::new(stream, peer, Scheme::Https), agreed, stop).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a handshake failed"),
        Err(_elapsed) => tracing::debug!(%peer, "a handshake took too long"),
    }
}
