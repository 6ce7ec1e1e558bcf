//! An edge: what production runs, from the front that reads requests to the tiers, on the simulated network.
//!
//! Only what a host is to others is the world's: sockets, clock, disk, the origin and the shared tier.

use super::{
    blobs::SimBlobs,
    life::planted,
    links::End,
    medium::SimMedium,
    planted::{Planted, PlantedOrigin, PlantedTier},
    stage::{ORIGIN, PORT, SHARED_TIER, Stage, TLS_PORT, edge_name},
    tls,
    wire::Wire,
};
use async_trait::async_trait;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tiergate_config::{ClearText, Format, FrontOptions};
use tiergate_driver::{
    Beginning, Clock, Driver, DurableParts, Observer, Parts, Recorder, TierError, TokioSpawn, World,
};
use tiergate_engine::{
    ByteCount, Config, Event, FetchEvent, FillId, Instant, PurgeEvent, PurgeId, PurgeMode, RawDiskTier,
    ResilienceEvent, Seed, SelectorKind, TierId, WallTime,
};
use tiergate_invariants::{Edge, Version, Violation, What};
use tiergate_proxy::{
    access_log::AccessLog,
    admin::{Guard, Listener},
    front::{Dial, Dialled, Doors, Front, Opening, Watchers},
    metrics::{Metrics, Sources},
    origin_connect::OriginConnect,
    readiness::Readiness,
};
use tiergate_recording::JsonRecorder;
use tiergate_scenarios::{Figure, Link, SharedMemory};
use tiergate_stores::{Agreeing, Replacing, SharedTerms};
use tiergate_tiers::{
    AnyTier, Connect, HostField, HttpOrigin, LogOptions, LogTier, MemcachedOptions, MemcachedTier,
    OriginOptions, RedisOptions, RedisStore, RedisStoreOptions, RedisTier,
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use turmoil::net::TcpListener;

/// Who may purge.
pub(crate) const PURGE_TOKEN: &str = "purge-token-of-the-world";

/// Where operators ask.
pub(crate) const ADMIN_PORT: u16 = 9080;
/// What they know.
pub(crate) const ADMIN_TOKEN: &str = "admin-token-of-the-world";

/// What an edge's driver is made of.
pub(crate) struct EdgeWorld;

impl World for EdgeWorld {
    type Clock = SimulatedClock;
    type Spawn = TokioSpawn;
    type Origin = PlantedOrigin<HttpOrigin<ToOrigin>>;
    type Tier = PlantedTier<AnyTier<Wire, SimMedium>>;
    type Blobs = SimBlobs;
    type Index = Agreeing<RedisStore<Wire>>;
    type Feed = RedisStore<Wire>;
    type Observer = Watch;
}

/// Runs an edge until it is crashed or the world ends.
pub(crate) async fn run(stage: Arc<Stage>, number: u32) -> turmoil::Result {
    let slot = &stage.edges[number as usize];
    let start = slot.start();
    stage.log.push(What::EdgeStarted { edge: Edge(number) });

    // Whoever asks while the disk is being opened waits a moment, instead of being refused.
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let names = Seed(stage.seed.split(&format!("names of edge {number}, start {start}")).bits());
    let origin = stage.origin_address();
    let to_origin = ToOrigin::over(stage.wire(Link::Origin, number, End::Edge), &origin, tls::roots())
        .expect("it has a name, and there are roots");
    let mut tiers = Vec::new();
    if stage.scenario.has_shared_tier() {
        let tier = shared_tier(&stage, number);
        tiers.push((TierId::L1, PlantedTier::new(tier, stage.plant)));
    }
    if let Some(disk) = stage.disks.get(number as usize) {
        let medium = SimMedium { disk: Arc::clone(disk), name: format!("the disk of {}", edge_name(number)) };
        let seed = Seed(stage.seed.split(&format!("log of edge {number}, start {start}")).bits());
        let tier = AnyTier::Log(disk_tier(&stage, number, medium, seed).await);
        tiers.push((TierId::L2, PlantedTier::new(tier, None)));
    }
    let shards = NonZeroU32::new(stage.scenario.topology.shards).expect("a scenario has at least one");
    let readiness = Arc::new(Readiness::awaiting(stage.cache.local_tiers(), shards.get()));
    let parts = Parts {
        clock: SimulatedClock { stage: Arc::clone(&stage), edge: number },
        spawn: TokioSpawn::current(),
        origin: PlantedOrigin {
            origin: HttpOrigin::new(to_origin.clone(), format!("{ORIGIN}:{PORT}"), origin_options(&stage)),
            fault: stage.plant,
        },
        tiers,
        durable: stage.scenario.has_durable_tier().then(|| DurableParts {
            blobs: SimBlobs::new(Arc::clone(&stage), number, start),
            index: agreeing(&stage, number),
        }),
        feed: stage.scenario.has_feed().then(|| redis_store(&stage, number)),
        observer: Watch {
            stage: Arc::clone(&stage),
            edge: number,
            start,
            purges: Mutex::default(),
            readiness: Arc::clone(&readiness),
            refused: Mutex::default(),
        },
    };
    let cache = slot.capacity().map_or_else(|| stage.cache.clone(), |capacity| with_disk(&stage, capacity));
    let driver = Driver::start(parts, &cache, names, shards).await?;
    slot.drive(driver.clone());
    stage.log.serves(Edge(number));
    let options = FrontOptions {
        purge_token: Some(PURGE_TOKEN.to_owned().into()),
        // TLS would say beforehand that they may.
        clear_text: ClearText::Both,
        ..stage.scenario.front.clone()
    };
    let metrics = Arc::new(Metrics::new(&stage.cache, shards, Sources::default()));
    let access_log = Arc::new(AccessLog::held(Format::Json));
    slot.logs(Arc::clone(&access_log));
    let admin = Listener {
        driver: driver.clone(),
        metrics: Arc::clone(&metrics),
        readiness,
        guard: Guard::Token(ADMIN_TOKEN.to_owned().into()),
    };
    tokio::spawn(answer_operators(Arc::clone(&stage), number, admin));
    let watchers = Watchers { metrics, access_log: Some(access_log) };
    // Nobody waits for the last connection: a host ends at once.
    let (open, _closed) = mpsc::channel(1);
    let front = Front::new(driver, origin, options, watchers, names.0, open);
    let doors = Doors::new(front.dialling(Arc::new(Dialling(to_origin))), None);
    // An edge never drains: it is killed.
    let (_stop, stopping) = watch::channel(false);

    let told_by = stage.scenario.told_by;
    if stage.scenario.has_tls() {
        let listener = TcpListener::bind(("0.0.0.0", TLS_PORT)).await?;
        let opening = Opening { told_by, tls: Some(tls::at_edge()) };
        let (stage, doors, stopping) = (Arc::clone(&stage), doors.clone(), stopping.clone());
        tokio::spawn(answer_clients(stage, number, listener, opening, doors, stopping));
    }
    let opening = Opening { told_by, tls: None };
    Ok(answer_clients(stage, number, listener, opening, doors, stopping).await?)
}

/// Until its host ends.
async fn answer_clients(
    stage: Arc<Stage>,
    number: u32,
    listener: TcpListener,
    opening: Opening,
    doors: Doors<EdgeWorld>,
    stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        let mut stream = stage.wire(Link::Clients, number, End::Edge).on(stream);
        let (opening, doors, mut stopping) = (opening.clone(), doors.clone(), stopping.clone());
        tokio::spawn(async move {
            if let Some(whose) = opening.whose(&mut stream, peer, &doors, &mut stopping).await {
                opening.serve(stream, whose, doors, stopping).await;
            }
        });
    }
}

/// The configuration with another capacity of L2.
fn with_disk(stage: &Stage, capacity: ByteCount) -> Config {
    let mut raw = stage.cache.as_written().clone();
    raw.l2 = raw.l2.map(|l2| RawDiskTier { capacity, ..l2 });
    let cache = Config::try_from(raw).expect("a scenario's check bounds the capacity");
    planted(cache, stage.plant.and_then(Planted::in_engine))
}

/// Until its host ends.
async fn answer_operators(stage: Arc<Stage>, number: u32, admin: Listener<EdgeWorld>) -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", ADMIN_PORT)).await?;
    let admin = Arc::new(admin);
    loop {
        let (stream, _peer) = listener.accept().await?;
        let stream = stage.wire(Link::Clients, number, End::Edge).on(stream);
        tokio::spawn(Arc::clone(&admin).serve(stream));
    }
}

/// How an edge connects to the origin: as a proxy does.
type ToOrigin = OriginConnect<Wire>;

/// The same for what Pingora passes, which is given what TLS has already decrypted.
struct Dialling(ToOrigin);

impl fmt::Debug for Dialling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialling").finish_non_exhaustive()
    }
}

#[async_trait]
impl Dial for Dialling {
    /// For what goes around the cache. Pingora's own times are not the world's, so nobody waits longer here.
    async fn dial(&self) -> io::Result<Box<dyn Dialled>> {
        let authority = format!("{ORIGIN}:{PORT}");
        let connected = timeout(CONNECT_TIME_MAX, self.0.connect(&authority)).await;
        Ok(Box::new(connected.map_err(|_elapsed| io::ErrorKind::TimedOut)??))
    }
}

/// How long a connection to the origin may take. Less than a proxy waits: what asks for one is not sent again
/// here when it is lost.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(200);

/// As a proxy's are.
fn origin_options(stage: &Stage) -> OriginOptions {
    let FrontOptions { origin_host, response_limits, .. } = stage.scenario.front.clone();
    OriginOptions {
        connect_time_max: CONNECT_TIME_MAX,
        host: origin_host.map_or(HostField::Forwarded, HostField::Fixed),
        head_bytes_max: response_limits.head_bytes_max,
        field_lines_max: response_limits.field_lines_max,
        ..OriginOptions::default()
    }
}

fn shared_tier(stage: &Stage, number: u32) -> AnyTier<Wire, SimMedium> {
    let wire = stage.wire(Link::SharedTier, number, End::Edge);
    let authority = format!("{SHARED_TIER}:{PORT}");
    match stage.scenario.shared_memory {
        SharedMemory::Redis => AnyTier::Redis(RedisTier::new(wire, authority, RedisOptions::default())),
        SharedMemory::Memcached => {
            AnyTier::Memcached(MemcachedTier::new(wire, authority, MemcachedOptions::default()))
        }
    }
}

fn redis_store(stage: &Stage, number: u32) -> RedisStore<Wire> {
    let options = RedisStoreOptions::default();
    RedisStore::new(stage.wire(Link::SharedTier, number, End::Edge), format!("{SHARED_TIER}:{PORT}"), options)
}

/// An index is used once its edges agree, which here they do.
fn agreeing(stage: &Stage, number: u32) -> Agreeing<RedisStore<Wire>> {
    let tier = stage.cache.as_written().l3.as_ref().expect("the scenario has a durable tier");
    Agreeing::new(redis_store(stage, number), SharedTerms::of(tier), Replacing::No)
}

/// A process that cannot open its disk ends with an error, and whoever looks after it starts another.
const START_AGAIN_AFTER: Duration = Duration::from_millis(100);

async fn disk_tier(stage: &Stage, number: u32, medium: SimMedium, seed: Seed) -> LogTier<SimMedium> {
    let disk = stage.scenario.disk;
    let capacity = stage.edges[number as usize].capacity().unwrap_or(disk.capacity);
    let options = LogOptions { capacity, sync: disk.sync, seed };
    loop {
        match LogTier::open(vec![medium.clone()], options).await {
            Ok(tier) => return tier,
            Err(_) => tokio::time::sleep(START_AGAIN_AFTER).await,
        }
    }
}

/// The world's clock, as one edge reads it.
#[derive(Clone)]
pub(crate) struct SimulatedClock {
    stage: Arc<Stage>,
    edge: u32,
}

impl SimulatedClock {
    /// Outside a host, as when a crashed one is torn down, the world's time stands still.
    fn elapsed(&self) -> Duration {
        turmoil::sim_elapsed().unwrap_or_else(|| self.stage.log.now().since(Instant::ZERO))
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Instant {
        Instant::ZERO.after(self.elapsed())
    }

    fn wall(&self) -> WallTime {
        self.stage.edges[self.edge as usize].wall_at(self.elapsed())
    }

    /// Nobody wakes while the process stands still.
    async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep(at.since(self.now())).await;
        let slot = &self.stage.edges[self.edge as usize];
        while self.now() < slot.paused_until() {
            tokio::time::sleep(slot.paused_until().since(self.now())).await;
        }
    }
}

/// Turns an edge's events into facts.
pub(crate) struct Watch {
    stage: Arc<Stage>,
    edge: u32,
    start: u64,
    /// Purges of one key that have begun: the newest version then, and when that was.
    purges: Mutex<BTreeMap<PurgeId, (Version, Instant)>>,
    /// What load balancers are told.
    readiness: Arc<Readiness>,
    /// Fetches of each shard that the origin answered with 503.
    refused: Mutex<BTreeSet<(u32, FillId)>>,
}

impl Watch {
    /// What the event means to whoever asked for a purge of one key.
    fn purged(&self, event: PurgeEvent) -> Option<What> {
        let edge = Edge(self.edge);
        let mut purges = self.purges.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            PurgeEvent::PurgeBegan { purge, what: SelectorKind::Key(key), mode: PurgeMode::Hard } => {
                if self.stage.edges[self.edge as usize].is_posted(key) {
                    return None;
                }
                let newest = self.stage.newest(key)?;
                purges.insert(purge, (Version(newest), self.stage.log.now()));
                Some(What::PurgeAsked { edge, purge: Some(purge), key })
            }
            PurgeEvent::PurgeEnded { purge, what: SelectorKind::Key(key), confirmed } => {
                let (newest_when_asked, asked_at) = purges.remove(&purge)?;
                confirmed.then_some(What::PurgeConfirmed { edge, key, newest_when_asked, asked_at })
            }
            PurgeEvent::PurgeBegan { .. }
            | PurgeEvent::PurgeEnded { .. }
            | PurgeEvent::RemotePurged { .. }
            | PurgeEvent::PurgesMissed => None,
        }
    }
}

impl Watch {
    /// Whoever was told to wait waits as long before it asks again (I15).
    fn check_retry(&self, shard: u32, now: Instant, event: &FetchEvent) {
        let Some(told) = self.stage.told_to_wait() else { return };
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            FetchEvent::HeadArrived { fill, status: 503, .. } => drop(refused.insert((shard, *fill))),
            FetchEvent::Retried { fill, at, key, .. } if refused.remove(&(shard, *fill)) => {
                let waits = at.since(now);
                if waits < told {
                    let detail =
                        format!("edge {} asks for {key} again in {waits:?}, told {told:?}", self.edge);
                    self.stage.log.fail(Violation { rule: "I15", detail });
                }
                self.stage.log.count(Figure::WaitedAsTold, 1);
            }
            _ => {}
        }
    }
}

impl Observer for Watch {
    fn observe(&self, shard: u32, now: Instant, event: &Event) {
        if !self.stage.edges[self.edge as usize].runs(self.start) {
            return;
        }
        if let Event::Fetch(event) = event {
            self.check_retry(shard, now, event);
        }
        if let Event::Resilience(ResilienceEvent::TierJoined { .. }) = event {
            self.readiness.joined();
        }
        let told = if let Event::Purge(event) = event { self.purged(*event) } else { None };
        let (before, after) = match told {
            Some(asked @ What::PurgeAsked { .. }) => (Some(asked), None),
            told => (None, told),
        };
        let fact = What::Engine { edge: Edge(self.edge), shard, event: *event };
        for what in before.into_iter().chain([fact]).chain(after) {
            self.stage.log.push(what);
        }
    }

    fn tier_failed(&self, _tier: TierId, _error: &TierError) {}

    fn recorder(&self, beginning: &Beginning<'_>) -> Option<Box<dyn Recorder>> {
        let folder = self.stage.record.as_deref()?;
        let life = format!("{}-edge{}-life{}.recording", self.stage.scenario.name, self.edge, self.start);
        let file = File::create(folder.join(&life)).unwrap_or_else(|error| panic!("{life}: {error}"));
        Some(Box::new(JsonRecorder::begin(file, u64::MAX, beginning)))
    }
}
