//! The shared tier's server: imitations of Redis and of memcached, each proven by the same suite that a real
//! one passes. One host speaks both, and tells by the first byte of a connection which: what befalls them is
//! alike.
//!
//! It keeps everything in memory, so a restart comes back empty. While it is slow, it is late twice: before
//! it carries a command out and before it says so, because a client that has given up cannot know which.

mod faults;
mod feed;
mod memcached;
mod resp;
mod rows;
mod store;

use super::{
    links::End,
    stage::{EPOCH_S, PORT, Stage},
};
use bytes::BytesMut;
pub(crate) use faults::StoreFaults;
use memcached::Items;
use resp::{NotResp, Reply, take_command};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use store::Store;
use tiergate_scenarios::{FaultKind, Link};
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
        let stream = stage.wire(Link::SharedTier, edge, End::Far).on(stream);
        let server = Arc::clone(&server);
        // A connection that breaks is the client's to notice. The task is a local one because of what happens
        // when this server is killed: tokio drops local tasks in their own order, but others by ids that all
        // threads of the process count together, and each dropped connection says goodbye with a latency
        // drawn from the seed.
        tokio::task::spawn_local(async move { drop(server.serve(stream).await) });
    }
}

/// What is wrong with a server, and who wants to know how it does.
trait Temper: Send + Sync + 'static {
    /// Does a fault of this kind hit what is done now? Its amount if so.
    fn hits(&self, kind: FaultKind) -> Option<u64>;
    /// Which of `count` keys have to be dropped now.
    fn evicted(&self, count: usize) -> Vec<bool>;
    /// It holds this many keys now.
    fn holds(&self, keys: u64);
    /// Its calendar, since 1970.
    fn wall(&self) -> Duration;
}

impl Temper for Arc<Stage> {
    fn hits(&self, kind: FaultKind) -> Option<u64> {
        self.store_faults.hits(kind)
    }

    fn evicted(&self, count: usize) -> Vec<bool> {
        self.store_faults.evicted(count)
    }

    fn holds(&self, keys: u64) {
        self.store_faults.holds(keys);
    }

    fn wall(&self) -> Duration {
        Duration::from_secs(EPOCH_S) + turmoil::sim_elapsed().unwrap_or_default()
    }
}

struct Server<T> {
    temper: T,
    began: Instant,
    store: Mutex<Store>,
    items: Mutex<Items>,
}

impl<T: Temper> Server<T> {
    fn new(temper: T) -> Self {
        Self { temper, began: Instant::now(), store: Mutex::default(), items: Mutex::default() }
    }

    /// Answers one client, in the order of its commands.
    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut incoming = BytesMut::new();
        let mut outgoing = BytesMut::new();
        let mut speaks_redis = None;
        loop {
            if stream.read_buf(&mut incoming).await? == 0 {
                return Ok(());
            }
            let delay_ms = self.temper.hits(FaultKind::SharedTierSlow).unwrap_or(0);
            let late = Duration::from_millis(delay_ms) / 2;
            sleep(late).await;
            let is_redis = *speaks_redis.get_or_insert(incoming.first() == Some(&b'*'));
            let ended = match is_redis {
                true => self.execute(&mut incoming, &mut outgoing),
                false => self.execute_on_items(&mut incoming, &mut outgoing),
            };
            sleep(late).await;
            stream.write_all(&outgoing).await?;
            outgoing.clear();
            if ended.is_err() {
                // What was sent before leaves the server's buffer meanwhile.
                sleep(Duration::from_millis(1)).await;
                return Ok(());
            }
        }
    }

    /// Carries out every command that has arrived whole.
    fn execute(&self, incoming: &mut BytesMut, outgoing: &mut BytesMut) -> Result<(), Closes> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = self.temper.evicted(store.count());
        store.evict(&dropped);
        loop {
            match take_command(incoming) {
                Ok(Some(command)) => {
                    let reply = match self.temper.hits(FaultKind::SharedTierErrors) {
                        Some(_) => Reply::Error("BUSY it cannot serve anybody just now".to_owned()),
                        None => store.execute(self.began.elapsed(), self.temper.wall(), &command),
                    };
                    let reply =
                        if reply.has_value() && self.temper.hits(FaultKind::SharedTierTruncates).is_some() {
                            reply.truncated()
                        } else {
                            reply
                        };
                    let from = outgoing.len();
                    reply.write(outgoing);
                    if self.temper.hits(FaultKind::SharedTierResets).is_some() {
                        outgoing.truncate(from + (outgoing.len() - from) / 2);
                        return Err(Closes);
                    }
                }
                Ok(None) => {
                    self.temper.holds(store.count() as u64);
                    return Ok(());
                }
                Err(NotResp) => {
                    Reply::Error("ERR Protocol error".to_owned()).write(outgoing);
                    return Err(Closes);
                }
            }
        }
    }
}

impl<T: Temper> Server<T> {
    /// The same of memcached's commands.
    fn execute_on_items(&self, incoming: &mut BytesMut, outgoing: &mut BytesMut) -> Result<(), Closes> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = self.temper.evicted(items.count());
        items.evict(&dropped);
        loop {
            let command = match memcached::take_command(incoming) {
                Ok(Some(command)) => command,
                Ok(None) => {
                    self.temper.holds(items.count() as u64);
                    return Ok(());
                }
                Err(memcached::NotMeta) => {
                    outgoing.extend_from_slice(b"ERROR\r\n");
                    return Err(Closes);
                }
            };
            let mut answer = match self.temper.hits(FaultKind::SharedTierErrors) {
                Some(_) => memcached::Answer::Trouble,
                None => items.execute(self.began.elapsed(), &command),
            };
            if answer.has_value() && self.temper.hits(FaultKind::SharedTierTruncates).is_some() {
                answer = answer.truncated();
            }
            let from = outgoing.len();
            answer.write(outgoing);
            if self.temper.hits(FaultKind::SharedTierResets).is_some() {
                outgoing.truncate(from + (outgoing.len() - from) / 2);
                return Err(Closes);
            }
        }
    }
}

/// The server closes the connection once it has sent what it has to say.
struct Closes;

#[cfg(test)]
mod tests;
