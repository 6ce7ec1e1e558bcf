//! The public listener: who may connect, and what happens when no more can.

use crate::front::{self, Front, Wire};
use std::{io, sync::Arc, time::Duration};
use tiergate_driver::World;
use tiergate_tiers::http_head::Scheme;
use tokio::{net::TcpListener, sync::watch};

/// How long nobody is accepted after the system had no room for a connection: it has more when one is closed,
/// and trying at once would only burn time.
const REST: Duration = Duration::from_millis(50);

/// Accepts connections until `stop` becomes true, and answers what comes over them.
pub(super) async fn accept<W: World>(
    front: Front<W>,
    listener: TcpListener,
    mut stop: watch::Receiver<bool>,
) {
    let (front, proxy) = front.with_pingora();
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
                let wire = Wire::new(stream, peer, Scheme::Http);
                tokio::spawn(front::serve(Arc::clone(&front), Arc::clone(&proxy), wire, stop.clone()));
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

/// Did the connection fail that was to be accepted, and not the listener?
fn is_connections_own(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
