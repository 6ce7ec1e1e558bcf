//! The public listeners: who may connect, and what happens when no more can.

mod admission;

pub(super) use admission::Admission;

use crate::{
    config::ToldBy,
    front::{Doors, Opening},
};
use admission::Admitted;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tiergate_driver::World;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// How long nobody is accepted after the system had no room for a connection: it has more when one is closed,
/// and trying at once would only burn time.
const REST: Duration = Duration::from_millis(50);

/// What a client that is turned away may still send, and for how long.
const LINGERING_BYTES_MAX: usize = 64 << 10;
const LINGERING_TIME_MAX: Duration = Duration::from_secs(2);

/// Accepts connections until `stop` becomes true, and answers what comes over them.
pub(super) async fn accept<W: World>(
    listener: TcpListener,
    opening: Opening,
    admission: Arc<Admission>,
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
                let admitted = match opening.told_by {
                    ToldBy::Connection => admission.admit(peer.ip()),
                    ToldBy::ProxyProtocol => admission.admit_unknown(),
                };
                let Some(admitted) = admitted else {
                    if opening.tls.is_none() {
                        turn_away(stream, &admission);
                    }
                    continue;
                };
                let (opening, doors, stop) = (opening.clone(), doors.clone(), stop.clone());
                tokio::spawn(open(opening, stream, peer, Arc::clone(&admission), admitted, doors, stop));
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

/// Finds out whose the connection is, and serves it.
async fn open<W: World>(
    opening: Opening,
    mut stream: TcpStream,
    peer: SocketAddr,
    admission: Arc<Admission>,
    mut admitted: Admitted,
    doors: Doors<W>,
    mut stop: watch::Receiver<bool>,
) {
    let Some(peer) = opening.whose(&mut stream, peer, &doors, &mut stop).await else { return };
    if opening.told_by == ToldBy::ProxyProtocol {
        let Some(known) = admitted.known_as(peer.ip()) else {
            if opening.tls.is_none() {
                turn_away(stream, &admission);
            }
            return;
        };
        admitted = known;
    }
    opening.serve(stream, peer, doors, stop).await;
    drop(admitted);
}

/// Tells a client that there is no place for it, and reads its request, as far as there is room to: a
/// connection that is closed with something unread is reset, and the client may lose what it was told.
fn turn_away(stream: TcpStream, admission: &Admission) {
    const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Length: 52\r\nCache-Control: no-store\r\nRetry-After: 1\r\n\
        Cache-Status: tiergate; detail=too-many-connections\r\nConnection: close\r\n\r\n\
        503 Service Unavailable: too many are connected now\n";
    if let Err(error) = stream.try_write(FULL) {
        tracing::debug!(%error, "a client was turned away without a word");
        return;
    }
    let Some(room) = admission.linger() else { return };
    tokio::spawn(async move {
        drop(tokio::time::timeout(LINGERING_TIME_MAX, linger(stream)).await);
        drop(room);
    });
}

/// Until the client has closed its side, or has sent more than a request.
async fn linger(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut unread = [0; 1 << 10];
    let mut left = LINGERING_BYTES_MAX;
    while left > 0 {
        let read = stream.read(&mut unread).await?;
        if read == 0 {
            break;
        }
        left = left.saturating_sub(read);
    }
    Ok(())
}

/// Did the connection fail that was to be accepted, and not the listener?
fn is_connections_own(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
