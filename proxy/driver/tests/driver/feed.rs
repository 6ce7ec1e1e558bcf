//! The purge feed: a purge that one driver acknowledged reaches the others, and a driver that cannot read the
//! log does not use what it holds without asking.

use crate::world::{Lent, Rig, Script, key, memory_and_disk};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tiergate_driver::{Driver, Elsewhere, FeedPage, MemoryFeed, PurgeFeed, StoreError, TierError};
use tiergate_engine::{
    Outcome, PurgeMode, RawConfig, Seed, Selector,
    feed::{FeedOrigin, Notice, RawFeed, Sequence, Ticket},
};

const LEASE: Duration = Duration::from_secs(5);

/// A log that can be away.
#[derive(Debug, Default)]
pub(crate) struct Log {
    log: MemoryFeed,
    is_down: AtomicBool,
}

impl Log {
    fn up(&self) -> Result<&MemoryFeed, StoreError> {
        if self.is_down.load(Ordering::Relaxed) {
            Err(TierError::Failed("away".to_owned()))
        } else {
            Ok(&self.log)
        }
    }
}

impl PurgeFeed for Lent<Log> {
    async fn append(
        &self,
        origin: FeedOrigin,
        ticket: Ticket,
        notice: Notice,
    ) -> Result<Sequence, StoreError> {
        self.up()?.append(origin, ticket, notice).await
    }

    async fn read(&self, after: Sequence) -> Result<FeedPage, StoreError> {
        self.up()?.read(after).await
    }
}

fn with_feed() -> RawConfig {
    RawConfig { feed: Some(RawFeed { poll_ms: 1_000, lease_ms: 5_000 }), ..memory_and_disk() }
}

/// Two drivers of several shards on one log, after both have read it.
async fn two(log: &Arc<Log>) -> [Rig; 2] {
    let rigs = [Rig::with_log(with_feed(), 3, log, 1).await, Rig::with_log(with_feed(), 3, log, 2).await];
    tokio::time::sleep(Duration::from_millis(10)).await;
    rigs
}

async fn fill(rig: &Rig, targets: &[&str]) {
    for target in targets {
        rig.script(target, &Script::chunks(2, 1000));
        let mut served = rig.served(target).await;
        assert!(crate::world::read(&mut served.body).await.is_ok());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// F9: whatever selects it, what one driver purged is fetched anew by the other, once a lease has passed at
/// the latest.
#[tokio::test(start_paused = true)]
async fn f9_a_purge_reaches_the_other_edge() {
    for (selector, reached) in [(Selector::Key(key("/a")), [false, true]), (Selector::All, [false, false])] {
        let log = Arc::default();
        let [one, two] = two(&log).await;
        fill(&two, &["/a", "/b"]).await;
        assert!(two.is_in_l0("/a") && two.is_in_l0("/b"));
        let purged = one.driver.purge_selected(&selector, PurgeMode::Hard).await;
        assert_eq!(purged.elsewhere, Elsewhere::Told);
        tokio::time::sleep(LEASE).await;
        assert_eq!(["/a", "/b"].map(|target| two.is_in_l0(target)), reached, "{selector:?}");
        assert!(matches!(two.served("/a").await.outcome, Outcome::Miss { .. }));
    }
}

/// F9: when the log is away for a lease, nothing is used as it is, and a purge says that nobody was told.
#[tokio::test(start_paused = true)]
async fn f9_without_the_log_nothing_is_used_as_it_is() {
    let log: Arc<Log> = Arc::default();
    let [one, two] = two(&log).await;
    fill(&two, &["/a"]).await;
    log.is_down.store(true, Ordering::Relaxed);
    let purged = one.driver.purge(key("/b")).await;
    assert_eq!(purged.elsewhere, Elsewhere::Failed, "it is told after a lease, and not later");
    assert!(!two.is_in_l0("/a"));
    log.is_down.store(false, Ordering::Relaxed);
    tokio::time::sleep(LEASE).await;
    assert!(two.is_in_l0("/a"), "nothing of it was purged");
}

/// Without a log there is nothing to tell, and a configured feed without one is refused.
#[tokio::test(start_paused = true)]
async fn a_feed_needs_its_log() {
    let rig = Rig::new(memory_and_disk()).await;
    assert_eq!(rig.driver.purge(key("/a")).await.elsewhere, Elsewhere::NoFeed);
    let config = RawConfig { l2: None, ..with_feed() }.try_into().expect("it is within bounds");
    let shards = std::num::NonZeroU32::MIN;
    let refused = Driver::start(crate::world::parts_without_tiers(), &config, Seed(1), shards).await;
    let told = refused.err().map(|error| error.to_string());
    assert_eq!(
        told.as_deref(),
        Some("the configuration names a feed, but the driver was given no log for it")
    );
}
