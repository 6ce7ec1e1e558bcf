//! The imitation passes the suite that a real Redis passes, through the same client.

use super::{Server, Temper};
use crate::world::{medium::SimMedium, stage::EPOCH_S};
use std::{io, sync::Arc, time::Duration};
use tiergate_scenarios::FaultKind;
use tiergate_stores::conformance::{feed_conformance, index_conformance};
use tiergate_tiers::{
    AnyTier, Connect, MemcachedOptions, MemcachedTier, RedisAddress, RedisOptions, RedisStore,
    RedisStoreOptions, RedisTier, conformance::conformance,
};
use tokio::{io::DuplexStream, time::Instant};

/// A server that answers at once, or always this late.
struct Always(Duration, Instant);

impl Temper for Always {
    fn hits(&self, kind: FaultKind) -> Option<u64> {
        let delay_ms = u64::try_from(self.0.as_millis()).expect("a few milliseconds");
        (kind == FaultKind::SharedTierSlow).then_some(delay_ms)
    }

    fn evicted(&self, _: usize) -> Vec<bool> {
        Vec::new()
    }

    fn holds(&self, _: u64) {}

    fn wall(&self) -> Duration {
        // The clock of these tests: paused, and moved on by who sleeps.
        Duration::from_secs(EPOCH_S) + self.1.elapsed()
    }
}

/// Connects to one server within the process.
struct InProcess(Arc<Server<Always>>);

impl Connect for InProcess {
    type Stream = DuplexStream;

    async fn connect(&self, _: &str) -> io::Result<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let server = Arc::clone(&self.0);
        tokio::spawn(async move { drop(server.serve(theirs).await) });
        Ok(ours)
    }
}

/// At once and late, the client gets everything that a byte tier promises.
#[tokio::test(start_paused = true)]
async fn the_imitation_conforms() {
    for delay in [Duration::ZERO, Duration::from_millis(10)] {
        let server = Arc::new(Server::new(Always(delay, Instant::now())));
        let tier = RedisTier::new(InProcess(server), "shared-tier:80", RedisOptions::default());
        conformance(&AnyTier::<_, SimMedium>::Redis(tier)).await;
    }
}

/// The same of memcached.
#[tokio::test(start_paused = true)]
async fn the_imitated_memcached_conforms() {
    for delay in [Duration::ZERO, Duration::from_millis(10)] {
        let server = Arc::new(Server::new(Always(delay, Instant::now())));
        let tier = MemcachedTier::new(InProcess(server), "shared-tier:80", MemcachedOptions::default());
        conformance(&AnyTier::<_, SimMedium>::Memcached(tier)).await;
    }
}

/// The client that logs in, has another database and another prefix gets the same.
#[tokio::test(start_paused = true)]
async fn the_imitation_lets_users_log_in() {
    let server = Arc::new(Server::new(Always(Duration::ZERO, Instant::now())));
    let address = RedisAddress {
        user: Some("edge".to_owned()),
        password: Some("sesame".to_owned()),
        database: 3,
        prefix: "other:".to_owned(),
        ..RedisAddress::from("shared-tier:80")
    };
    let tier = RedisTier::new(InProcess(server), address, RedisOptions::default());
    conformance(&AnyTier::<_, SimMedium>::Redis(tier)).await;
}

/// The same of the index and of the feed's log.
#[tokio::test(start_paused = true)]
async fn the_imitated_index_and_log_conform() {
    for delay in [Duration::ZERO, Duration::from_millis(10)] {
        let server = Arc::new(Server::new(Always(delay, Instant::now())));
        let store =
            RedisStore::new(InProcess(server), "shared-tier:80".to_owned(), RedisStoreOptions::default());
        index_conformance(&store).await;
        feed_conformance(&store).await;
    }
}
