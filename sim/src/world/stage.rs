//! What all hosts of one world share, and how they are called.

use super::{
    catalogue::Catalogue,
    disk::Disk,
    edge::EdgeWorld,
    links::{Between, End, Links},
    log::Log,
    origin::forwarded::Asked,
    planted::Planted,
    schedule::Episode,
    shared_tier::StoreFaults,
    wire::Wire,
};
use crate::judging::Windows;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use tiergate_config::{OriginAddress, ToldBy};
use tiergate_driver::Driver;
use tiergate_engine::{Audit, ByteCount, CacheKey, Config, Instant, Seed, WallTime};
use tiergate_invariants::Violation;
use tiergate_proxy::access_log::AccessLog;
use tiergate_scenarios::{FaultKind, Faults, Figure, Link, Scenario};
use tiergate_stores::MemoryBlobs;

/// The port on which every host listens.
pub(crate) const PORT: u16 = 80;
/// The one on which an edge listens for TLS.
pub(crate) const TLS_PORT: u16 = 443;
/// The origin's host name.
pub(crate) const ORIGIN: &str = "origin";
/// The shared tier's host name.
pub(crate) const SHARED_TIER: &str = "shared-tier";
/// The calendar at the world's beginning: 2026-01-01, 00:00 UTC. A fixed day, or runs would differ from day
/// to day.
pub(crate) const EPOCH_S: u64 = 1_767_225_600;

/// What all hosts of one world share.
pub(crate) struct Stage {
    /// The scenario.
    pub scenario: Scenario,
    /// The edges' configuration, with the planted fault if there is one.
    pub cache: Config,
    /// What is planted in the edges.
    pub plant: Option<Planted>,
    /// The faults that this seed has.
    pub faults: Faults,
    /// Where all chance comes from.
    pub seed: Seed,
    /// What the origin serves.
    pub catalogue: Catalogue,
    pub log: Arc<Log>,
    /// The faults that come at a moment.
    pub episodes: Vec<Episode>,
    /// What is wrong with each link.
    pub links: Arc<Links>,
    /// The bodies of the durable tier.
    pub blobs: MemoryBlobs,
    /// What is wrong with the shared tier, and with the bodies of the durable one.
    pub store_faults: StoreFaults,
    /// Which version of each object the origin serves.
    pub current: Mutex<Vec<u32>>,
    /// No fault befalls any more.
    pub healed: AtomicBool,
    /// The edges.
    pub edges: Vec<EdgeSlot>,
    /// Their disks, where they have some.
    pub disks: Vec<Arc<Disk>>,
    /// Where they record what they are told and decide.
    pub record: Option<Arc<Path>>,
}

/// What the runner knows of one edge.
#[derive(Default)]
pub(crate) struct EdgeSlot {
    /// Its driver while it runs.
    driver: Mutex<Option<Driver<EdgeWorld>>>,
    /// How often it was started.
    starts: AtomicU64,
    /// Which of its starts is alive; zero when it is down.
    alive: AtomicU64,
    /// By how many milliseconds its calendar is ahead.
    ahead_ms: AtomicI64,
    /// Of which keys a `POST` is under way: how many.
    posts: Mutex<BTreeMap<CacheKey, u32>>,
    /// The capacity of its L2, where that has changed; else zero.
    capacity: AtomicU64,
    /// Until when it stands still, in milliseconds.
    paused_until_ms: AtomicU64,
    /// What it has logged since it started.
    logged: Mutex<Logged>,
}

/// An edge's access log, since it started.
#[derive(Default)]
struct Logged {
    log: Option<Arc<AccessLog>>,
    lines: u64,
    /// Responses of which a client has the head.
    answers: u64,
}

impl EdgeSlot {
    /// The edge comes up; returns which start this is, from 1.
    pub(crate) fn start(&self) -> u64 {
        let start = self.starts.fetch_add(1, Ordering::Relaxed) + 1;
        self.alive.store(start, Ordering::Relaxed);
        start
    }

    /// Its L2 has this capacity from its next start on.
    pub(crate) fn give(&self, capacity: ByteCount) {
        self.capacity.store(capacity.0, Ordering::Relaxed);
    }

    /// The capacity of its L2, where that has changed.
    pub(crate) fn capacity(&self) -> Option<ByteCount> {
        Some(ByteCount(self.capacity.load(Ordering::Relaxed))).filter(|capacity| *capacity > ByteCount::ZERO)
    }

    /// It stands still until then.
    pub(crate) fn pause(&self, until_ms: u64) {
        self.paused_until_ms.fetch_max(until_ms, Ordering::Relaxed);
    }

    /// Until when it stands still, or stood still last.
    pub(crate) fn paused_until(&self) -> Instant {
        Instant::ZERO.after(Duration::from_millis(self.paused_until_ms.load(Ordering::Relaxed)))
    }

    /// Its responses are logged here.
    pub(crate) fn logs(&self, log: Arc<AccessLog>) {
        *self.logged() = Logged { log: Some(log), ..Logged::default() };
    }

    /// A client has the head of one of its responses.
    pub(crate) fn answered(&self) {
        self.logged().answers += 1;
    }

    /// What is wrong with its access log, which has a line for each response, and each line an object. At the
    /// end of a world all responses have ended.
    ///
    /// Returns how many lines name the client of whom a load balancer spoke.
    pub(crate) fn check_access_log(&self, is_end: bool, told_by: ToldBy) -> Result<u64, String> {
        let mut logged = self.logged();
        let Some(log) = &logged.log else { return Ok(0) };
        let lines = log.take();
        let mut named = 0;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let told = serde_json::from_slice::<serde_json::Value>(line).unwrap_or_default();
            let asked = told["user_agent"].as_str().and_then(Asked::said);
            let is_clients = match (told_by, &asked) {
                (ToldBy::ProxyProtocol, Some(asked)) => told["client"] == asked.by.as_str(),
                (ToldBy::ProxyProtocol | ToldBy::Connection, _) => true,
            };
            if !(told["status"].is_u64() && told["method"].is_string() && is_clients) {
                return Err(format!("a line of the access log is {:?}", String::from_utf8_lossy(line)));
            }
            named += u64::from(told_by == ToldBy::ProxyProtocol && asked.is_some());
            logged.lines += 1;
        }
        let Logged { lines, answers, .. } = *logged;
        if is_end && lines < answers {
            return Err(format!("the access log has {lines} lines of {answers} responses"));
        }
        Ok(named)
    }

    fn logged(&self) -> MutexGuard<'_, Logged> {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its driver stands.
    pub(crate) fn drive(&self, driver: Driver<EdgeWorld>) {
        *self.driver() = Some(driver);
    }

    /// It is no more. What its remains still do is nobody's business.
    pub(crate) fn stop(&self) {
        self.alive.store(0, Ordering::Relaxed);
        drop(self.driver().take());
    }

    /// Is this start still alive?
    pub(crate) fn runs(&self, start: u64) -> bool {
        self.alive.load(Ordering::Relaxed) == start
    }

    /// A `POST` is sent.
    pub(crate) fn post_begins(&self, key: CacheKey) {
        *self.posts().entry(key).or_default() += 1;
    }

    /// It is over.
    pub(crate) fn post_ends(&self, key: CacheKey) {
        if let Some(count) = self.posts().get_mut(&key) {
            *count -= 1;
        }
    }

    /// Is one under way? Its answer invalidates what is older, so not everything that is purged meanwhile was
    /// asked for.
    pub(crate) fn is_posted(&self, key: CacheKey) -> bool {
        self.posts().get(&key).is_some_and(|count| *count > 0)
    }

    fn posts(&self) -> MutexGuard<'_, BTreeMap<CacheKey, u32>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its calendar jumps by so many milliseconds.
    pub(crate) fn jump(&self, by_ms: i64) {
        self.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// What its calendar says after the world has lived this long.
    pub(crate) fn wall_at(&self, elapsed: Duration) -> WallTime {
        let ahead_ms = self.ahead_ms.load(Ordering::Relaxed);
        let right_ms =
            EPOCH_S * 1_000 + u64::try_from(elapsed.as_millis()).expect("a run is bounded to minutes");
        WallTime::from_unix_millis(right_ms.saturating_add_signed(ahead_ms))
    }

    /// What it holds open; `None` while it has no driver.
    pub(crate) fn audit(&self) -> Option<Audit> {
        self.driver().as_ref().map(Driver::audit)
    }

    fn driver(&self) -> MutexGuard<'_, Option<Driver<EdgeWorld>>> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    /// The origin serves this version from now on.
    pub(crate) fn publish(&self, object: u32, version: u32) {
        self.current_versions()[object as usize] = version;
    }

    /// The version that the origin serves now.
    pub(crate) fn current(&self, object: u32) -> u32 {
        self.current_versions()[object as usize]
    }

    /// The newest version that was published under a key.
    pub(crate) fn newest(&self, key: CacheKey) -> Option<u32> {
        self.catalogue.number_of_key(key).map(|object| self.current(object))
    }

    fn current_versions(&self) -> MutexGuard<'_, Vec<u32>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Have the faults ended?
    pub(crate) fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    /// A connector for one link.
    pub(crate) fn wire(&self, link: Link, edge: u32, end: End) -> Wire {
        Wire { between: Between { edge, link }, end, links: Arc::clone(&self.links) }
    }

    /// How long each 503 of the origin tells edges to wait, if each does.
    pub(crate) fn told_to_wait(&self) -> Option<Duration> {
        let told = self.faults.of(FaultKind::OriginErrors).iter().map(|fault| fault.retry_after_s);
        told.min().flatten().map(Duration::from_secs)
    }

    /// For how long the edges use what is stale and does not say so itself.
    pub(crate) fn windows(&self) -> Windows {
        let [while_revalidate, if_error] = self.scenario.stale_windows_s;
        Windows { while_revalidate, if_error }
    }

    /// Sees that an edge's access log is right so far.
    pub(crate) fn check_access_log(&self, edge: u32, is_end: bool) {
        match self.edges[edge as usize].check_access_log(is_end, self.scenario.told_by) {
            Ok(named) => self.log.count(Figure::LoggedClients, named),
            Err(detail) => self.log.fail(Violation { rule: "access-log", detail }),
        }
    }

    /// What an edge knows the origin by.
    pub(crate) fn origin_address(&self) -> OriginAddress {
        let scheme = if self.scenario.topology.origin_tls { "https" } else { "http" };
        format!("{scheme}://{ORIGIN}:{PORT}").parse().expect("a name and a port are an address")
    }

    /// Which edge has this address. Asked inside the simulation only.
    pub(crate) fn edge_at(&self, address: IpAddr) -> Option<u32> {
        (0..self.scenario.topology.edges).find(|edge| turmoil::lookup(edge_name(*edge)) == address)
    }
}

/// An edge's host name.
pub(crate) fn edge_name(edge: u32) -> String {
    format!("edge-{edge}")
}

/// A client's host name.
pub(crate) fn client_name(client: u32) -> String {
    format!("client-{client}")
}
