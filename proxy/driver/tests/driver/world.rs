//! A world in memory: an origin that follows a script, a calendar that can be moved, a log of every event,
//! and the tier from `map_tier`. Start at [`Rig`].

use crate::feed::Log;
use crate::map_stores::MapStores;
use crate::map_tier::{MapTier, Temper};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    num::NonZeroU32,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tiergate_driver::{
    Answer, Body, Clock, Driver, DurableParts, Observer, Origin, OriginBody, Parts, Served, Spawn, TierError,
    TokioClock, TokioSpawn, World,
};
use tiergate_engine::{
    AbortReason, ByteCount, CacheKey, Config, Event, Head, Instant, Method, OriginFailure, RawConfig,
    RawDiskTier, RawMemoryTier, RequestHead, Seed, TierId, WallTime,
};
use tokio::time::timeout;

const DAY: Duration = Duration::from_secs(86_400);

/// Where the test calendar begins.
const EPOCH_MS: u64 = 1_700_000_000_000;

pub(crate) struct Scripted;

impl World for Scripted {
    type Clock = TestClock;
    type Spawn = CountingSpawn;
    type Origin = Lent<ScriptedOrigin>;
    type Tier = Lent<MapTier>;
    type Blobs = Lent<MapStores>;
    type Index = Lent<MapStores>;
    type Feed = Lent<Log>;
    type Observer = Lent<EventLog>;
}

/// A part of the world that the driver owns and the test still sees.
pub(crate) struct Lent<T>(pub(crate) Arc<T>);

impl<T> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Tokio's paused clock, and a calendar that tests can move.
#[derive(Clone)]
pub(crate) struct TestClock {
    clock: TokioClock,
    pub(crate) calendar_ms: Arc<AtomicU64>,
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn wall(&self) -> WallTime {
        let start = WallTime::from_unix_millis(self.calendar_ms.load(Ordering::Relaxed));
        start.after(self.now().since(Instant::ZERO))
    }

    async fn sleep_until(&self, at: Instant) {
        self.clock.sleep_until(at).await;
    }
}

/// Counts the tasks that have not ended.
#[derive(Clone)]
pub(crate) struct CountingSpawn {
    spawn: TokioSpawn,
    pub(crate) alive: Arc<AtomicUsize>,
}

impl Spawn for CountingSpawn {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let alive = Counted::new(&self.alive);
        self.spawn.spawn(async move {
            task.await;
            drop(alive);
        });
    }
}

/// One in a count, for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a scripted body ends.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    Complete,
    Fails(OriginFailure),
    /// The task that reads it dies.
    Panics,
}

/// What the origin answers for a target.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) ending: Ending,
    /// Before the head and before each chunk.
    pub(crate) pace: Duration,
    /// Interim responses before the head.
    pub(crate) interims: u16,
}

impl Script {
    /// `count` chunks of `size` bytes that differ from each other, fresh for a minute, of unknown length.
    pub(crate) fn chunks(count: usize, size: usize) -> Self {
        let chunks = (0..count)
            .map(|number| Bytes::from(vec![u8::try_from(number % 251).expect("below 251"); size]))
            .collect();
        Self {
            fields: vec![("cache-control", "max-age=60".to_owned())],
            chunks,
            ending: Ending::Complete,
            pace: Duration::from_millis(1),
            interims: 0,
        }
    }

    pub(crate) fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }

    pub(crate) fn field(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, value.to_owned()));
        self
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.chunks.concat()
    }
}

/// Answers what its script says, and remembers what it was asked.
#[derive(Default)]
pub(crate) struct ScriptedOrigin {
    scripts: Mutex<BTreeMap<String, Script>>,
    asked: Mutex<Vec<String>>,
    pub(crate) chunks_sent: AtomicUsize,
    /// Answers and bodies that nobody dropped yet.
    pub(crate) open: Arc<AtomicUsize>,
}

impl ScriptedOrigin {
    pub(crate) fn asked(&self) -> Vec<String> {
        locked(&self.asked).clone()
    }
}

pub(crate) struct ScriptedBody {
    origin: Arc<ScriptedOrigin>,
    script: Script,
    next: usize,
    _open: Counted,
}

impl Origin for Lent<ScriptedOrigin> {
    type Body = ScriptedBody;

    async fn fetch(
        &self,
        head: Arc<RequestHead>,
        interim: impl Fn(Head) + Send + Sync + 'static,
    ) -> Result<(Head, ScriptedBody), OriginFailure> {
        let open = Counted::new(&self.open);
        locked(&self.asked).push(head.target.to_string());
        let script = locked(&self.scripts).get(&*head.target).cloned();
        let script = script.ok_or(OriginFailure::Unreachable)?;
        (0..script.interims).for_each(|number| {
            interim(Head { status: 102 + number, fields: tiergate_engine::Fields::new() })
        });
        pass(script.pace).await;
        let head = Head { status: 200, fields: script.fields.iter().cloned().collect() };
        let body = ScriptedBody { origin: Arc::clone(&self.0), script, next: 0, _open: open };
        Ok((head, body))
    }
}

impl OriginBody for ScriptedBody {
    async fn next(&mut self) -> Result<Option<Bytes>, OriginFailure> {
        pass(self.script.pace).await;
        if let Some(chunk) = self.script.chunks.get(self.next) {
            self.next += 1;
            self.origin.chunks_sent.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(chunk.clone()));
        }
        match self.script.ending {
            Ending::Complete => Ok(None),
            Ending::Fails(failure) => Err(failure),
            Ending::Panics => panic!("the script says that this task dies"),
        }
    }
}

/// Lets time pass; no time at all still lets others run.
pub(crate) async fn pass(pace: Duration) {
    if pace.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(pace).await;
    }
}

/// Keeps every event.
#[derive(Default)]
pub(crate) struct EventLog {
    events: Mutex<Vec<(u32, Instant, Event)>>,
    tier_failures: AtomicUsize,
    fresh_hits: Mutex<Vec<u32>>,
    /// Panics at the next event, as an engine would, under the lock.
    pub(crate) dies: AtomicBool,
}

impl EventLog {
    pub(crate) fn count(&self, is_meant: impl Fn(&Event) -> bool) -> usize {
        let events = locked(&self.events);
        events.iter().filter(|(_, _, event)| is_meant(event)).count()
    }

    /// The shards with such an event.
    pub(crate) fn shards(&self, is_meant: impl Fn(&Event) -> bool) -> BTreeSet<u32> {
        let events = locked(&self.events);
        let meant = events.iter().filter(|(_, _, event)| is_meant(event));
        meant.map(|(shard, _, _)| *shard).collect()
    }

    /// Everything, in order.
    pub(crate) fn log(&self) -> Vec<(u32, Instant, Event)> {
        locked(&self.events).clone()
    }

    /// The shard of each hit of the fast path, in order.
    pub(crate) fn fresh_hits(&self) -> Vec<u32> {
        locked(&self.fresh_hits).clone()
    }

    pub(crate) fn tier_failures(&self) -> usize {
        self.tier_failures.load(Ordering::Relaxed)
    }
}

impl Observer for Lent<EventLog> {
    fn observe(&self, shard: u32, now: Instant, event: &Event) {
        assert!(!self.dies.load(Ordering::Relaxed), "the script says that this shard dies");
        locked(&self.events).push((shard, now, *event));
    }

    fn fresh_hit(&self, shard: u32) {
        locked(&self.fresh_hits).push(shard);
    }

    fn tier_failed(&self, _tier: TierId, _error: &TierError) {
        self.tier_failures.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds this lock")
}

/// A driver and the world around it.
pub(crate) struct Rig {
    pub(crate) driver: Driver<Scripted>,
    pub(crate) origin: Arc<ScriptedOrigin>,
    pub(crate) tier: Arc<MapTier>,
    pub(crate) events: Arc<EventLog>,
    pub(crate) calendar_ms: Arc<AtomicU64>,
    pub(crate) tasks: Arc<AtomicUsize>,
}

impl Rig {
    pub(crate) async fn new(raw: RawConfig) -> Self {
        Self::on(raw, 1, MapTier::new()).await
    }

    pub(crate) async fn with_shards(raw: RawConfig, shards: u32) -> Self {
        Self::on(raw, shards, MapTier::new()).await
    }

    /// A driver on a tier that an earlier one may have filled.
    pub(crate) async fn on(raw: RawConfig, shards: u32, tier: Arc<MapTier>) -> Self {
        Self::with_stores(raw, shards, tier, None).await
    }

    /// A driver on a durable tier that others share.
    pub(crate) async fn beside(raw: RawConfig, shards: u32, stores: &Arc<MapStores>) -> Self {
        Self::with_stores(raw, shards, MapTier::new(), Some(stores)).await
    }

    async fn with_stores(
        raw: RawConfig,
        shards: u32,
        tier: Arc<MapTier>,
        stores: Option<&Arc<MapStores>>,
    ) -> Self {
        let config = Config::try_from(raw).expect("the tests' configurations are within bounds");
        let lent = |stores: &Arc<MapStores>| Lent(Arc::clone(stores));
        let durable = stores.map(|stores| DurableParts { blobs: lent(stores), index: lent(stores) });
        let tiers = vec![(TierId::L2, Lent(Arc::clone(&tier)))];
        let parts = Parts { tiers, durable, ..parts_without_tiers() };
        Self::start(parts, &config, shards, tier, Seed(7)).await
    }

    /// A driver that shares a feed's log with others, none of which has its seed.
    pub(crate) async fn with_log(raw: RawConfig, shards: u32, log: &Arc<Log>, seed: u64) -> Self {
        let config = Config::try_from(raw).expect("the tests' configurations are within bounds");
        let tier = MapTier::new();
        let tiers = vec![(TierId::L2, Lent(Arc::clone(&tier)))];
        let parts = Parts { tiers, feed: Some(Lent(Arc::clone(log))), ..parts_without_tiers() };
        Self::start(parts, &config, shards, tier, Seed(seed)).await
    }

    async fn start(
        parts: Parts<Scripted>,
        config: &Config,
        shards: u32,
        tier: Arc<MapTier>,
        seed: Seed,
    ) -> Self {
        let origin = Arc::clone(&parts.origin.0);
        let events = Arc::clone(&parts.observer.0);
        let calendar_ms = Arc::clone(&parts.clock.calendar_ms);
        let tasks = Arc::clone(&parts.spawn.alive);
        let shards = NonZeroU32::new(shards).expect("the tests use at least one shard");
        let driver = Driver::start(parts, config, seed, shards)
            .await
            .expect("the configured tier is here and recovers");
        Self { driver, origin, tier, events, calendar_ms, tasks }
    }

    pub(crate) fn script(&self, target: &str, script: &Script) {
        locked(&self.origin.scripts).insert(target.to_owned(), script.clone());
    }

    pub(crate) fn temper(&self, temper: Temper) {
        *locked(&self.tier.temper) = temper;
    }

    /// Asks and expects a response.
    pub(crate) async fn served(&self, target: &str) -> Served<Scripted> {
        match get(&self.driver, target).await {
            Answer::Serve(served) => served,
            Answer::Pass(bypass) => panic!("passed: {bypass:?}"),
            Answer::Refuse(refusal) => panic!("refused: {refusal:?}"),
        }
    }

    /// Is a fresh copy in L0?
    pub(crate) fn is_in_l0(&self, target: &str) -> bool {
        let fields = std::iter::empty::<(&str, &[u8])>();
        let hit = self.driver.fresh_hit(key(target), Method::Get, fields);
        hit.is_some()
    }

    /// Lets everything that is under way come to its end, and requires that nothing is left open.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(self.driver.audit(), tiergate_engine::Audit::default());
        assert_eq!(self.tier.open_handles(), 0, "every writer and record was closed");
        assert_eq!(self.tier.closed_while_busy(), Vec::<String>::new());
        assert_eq!(self.origin.open.load(Ordering::Relaxed), 0, "every fetch was released");
    }
}

/// A fresh world.
pub(crate) fn parts_without_tiers() -> Parts<Scripted> {
    Parts {
        clock: TestClock { clock: TokioClock::new(), calendar_ms: Arc::new(AtomicU64::new(EPOCH_MS)) },
        spawn: CountingSpawn { spawn: TokioSpawn::current(), alive: Arc::default() },
        origin: Lent(Arc::default()),
        tiers: Vec::new(),
        durable: None,
        feed: None,
        observer: Lent(Arc::default()),
    }
}

/// Asks for `target`. Nothing in these tests takes a virtual day, so what does was forgotten.
pub(crate) async fn get(driver: &Driver<Scripted>, target: &str) -> Answer<Scripted> {
    let answer = driver.request(key(target), Arc::new(head(target)));
    timeout(DAY, answer).await.expect("every request is answered")
}

pub(crate) fn key(target: &str) -> CacheKey {
    CacheKey::of("a.test", target)
}

pub(crate) fn head(target: &str) -> RequestHead {
    RequestHead {
        method: Method::Get,
        authority: "a.test".into(),
        target: target.into(),
        fields: tiergate_engine::Fields::new(),
    }
}

/// Reads to the end.
pub(crate) async fn read(body: &mut Body<Scripted>) -> Result<Vec<u8>, AbortReason> {
    let mut whole = Vec::new();
    while let Some(chunk) = timeout(DAY, body.next()).await.expect("every demand is answered")? {
        assert!(!chunk.is_empty(), "a chunk has bytes");
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

/// L0 only.
pub(crate) fn memory_only() -> RawConfig {
    RawConfig::default()
}

/// L0 and a disk.
pub(crate) fn memory_and_disk() -> RawConfig {
    RawConfig { l2: Some(RawDiskTier::default()), ..RawConfig::default() }
}

/// A disk, and nothing above it.
pub(crate) fn disk_only() -> RawConfig {
    RawConfig { l0: None, ..memory_and_disk() }
}

/// An L0 that takes no object of more than one byte.
pub(crate) fn nothing_kept() -> RawConfig {
    RawConfig {
        l0: Some(RawMemoryTier { gate: ByteCount(1), ..RawMemoryTier::default() }),
        ..RawConfig::default()
    }
}
