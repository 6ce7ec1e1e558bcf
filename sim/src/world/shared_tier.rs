//! The shared tier's server: an imitation of Redis, proven by the same suite that a real one passes.
//!
//! It keeps everything in memory, so a restart comes back empty. While it is slow, it is late twice: before
//! it carries a command out and before it says so, because a client that has given up cannot know which.

mod resp;
mod store;

use super::stage::{PORT, Stage};
use bytes::BytesMut;
use resp::{NotResp, Reply, take_command};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};
use store::Store;
use tiergate_scenarios::FaultKind;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep},
};
use turmoil::net::TcpListener;

/// Runs the server until it is killed or the world ends.
pub(crate) async fn run(stage: Arc<Stage>) -> turmoil::Result {
    let server = Arc::new(Server::new(Arc::clone(&stage)));
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let Some(edge) = stage.edge_at(peer.ip()) else {
            continue;
        };
        let stream = stage.wire(FaultKind::PartitionSharedTier, edge).accepted(stream);
        let server = Arc::clone(&server);
        // A connection that breaks is the client's to notice. The task is a local one because of what happens
        // when this server is killed: tokio drops local tasks in their own order, but others by ids that all
        // threads of the process count together, and each dropped connection says goodbye with a latency
        // drawn from the seed.
        tokio::task::spawn_local(async move { drop(server.serve(stream).await) });
    }
}

/// How slow a server is, and who wants to know how it does.
trait Pace: Send + Sync + 'static {
    /// How late each answer comes now.
    fn delay(&self) -> Duration;
    /// It holds this many keys now.
    fn holds(&self, keys: u64);
}

impl Pace for Arc<Stage> {
    fn delay(&self) -> Duration {
        let delay_ms = self.shared_tier_delay_ms.load(Ordering::Relaxed);
        if delay_ms > 0 && !self.shared_tier_slowness_observed.swap(true, Ordering::Relaxed) {
            self.log.fire(FaultKind::SharedTierSlow);
        }
        Duration::from_millis(delay_ms)
    }

    fn holds(&self, keys: u64) {
        self.shared_tier_keys.store(keys, Ordering::Relaxed);
    }
}

struct Server<P> {
    pace: P,
    began: Instant,
    store: Mutex<Store>,
}

impl<P: Pace> Server<P> {
    fn new(pace: P) -> Self {
        Self { pace, began: Instant::now(), store: Mutex::default() }
    }

    /// Answers one client, in the order of its commands.
    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut incoming = BytesMut::new();
        let mut outgoing = BytesMut::new();
        loop {
            if stream.read_buf(&mut incoming).await? == 0 {
                return Ok(());
            }
            let late = self.pace.delay() / 2;
            sleep(late).await;
            let speaks_resp = self.execute(&mut incoming, &mut outgoing);
            sleep(late).await;
            stream.write_all(&outgoing).await?;
            outgoing.clear();
            if speaks_resp.is_err() {
                return Ok(());
            }
        }
    }

    /// Carries out every command that has arrived whole.
    fn execute(&self, incoming: &mut BytesMut, outgoing: &mut BytesMut) -> Result<(), NotResp> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match take_command(incoming) {
                Ok(Some(command)) => store.execute(self.began.elapsed(), &command).write(outgoing),
                Ok(None) => {
                    self.pace.holds(store.keys());
                    return Ok(());
                }
                Err(NotResp) => {
                    Reply::Error("ERR Protocol error".to_owned()).write(outgoing);
                    return Err(NotResp);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
