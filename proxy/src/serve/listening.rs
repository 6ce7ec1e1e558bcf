//! The public listeners: who may connect, and what happens when no more can.

use crate::front::{Doors, Wire};
use std::{io, net::SocketAddr, time::Duration};
use tiergate_driver::World;
use tiergate_tiers::http_head::Scheme;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

/// How long nobody is accepted after the system had no room for a connection: it has more when one is closed,
/// and trying at once would only burn time.
const REST: Duration = Duration::from_millis(50);

/// Accepts connections until `stop` becomes true, and answers what comes over them.
pub(super) async fn accept<W: World>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    doors: Doors<W>,
    mut stop: watch::Receiver<bool>,
) {
    let mut is_exhausted = false;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.changed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if std::mem::take(&mut is_exhausted) {
                    tracing::warn!("connections are accepted again");
                }
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection is gone already");
                    continue;
                }
                let (doors, stop) = (doors.clone(), stop.clone());
                match &tls {
                    None => drop(tokio::spawn(doors.serve(Wire::new(stream, peer, Scheme::Http), stop))),
                    Some(acceptor) => {
                        drop(tokio::spawn(shake_hands(acceptor.clone(), stream, peer, doors, stop)))
                    }
                }
            }
            Err(error) if is_connections_own(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut is_exhausted, true) {
                    tracing::warn!(%error, "no connection can be accepted; those that are open go on");
                }
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// A client has as long for its part of the handshake as for a head.
async fn shake_hands<W: World>(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    doors: Doors<W>,
    stop: watch::Receiver<bool>,
) {
    match tokio::time::timeout(doors.handshake_time_max(), acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let speaks_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let wire = Wire::new(stream, peer, Scheme::Https);
            if speaks_h2 { doors.serve_h2(wire, stop).await } else { doors.serve(wire, stop).await }
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a handshake failed"),
        Err(_elapsed) => tracing::debug!(%peer, "a handshake took too long"),
    }
}

/// Did the connection fail that was to be accepted, and not the listener?
fn is_connections_own(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
