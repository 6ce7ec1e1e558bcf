//! An edge: the real driver with the real wire clients, behind a plain HTTP front.
//!
//! The front translates between HTTP and the driver and decides nothing. It is not the production front;
//! everything behind it is what production runs.

use super::{
    medium::SimMedium,
    reply::Reply,
    stage::{ORIGIN, PORT, SHARED_TIER, Stage, edge_name, wall_at},
    wire::Wire,
};
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, fs::File, num::NonZeroU32, sync::Arc, time::Duration};
use tiergate_driver::{
    Answer, Beginning, Clock, Driver, NoStore, Observer, Origin, Parts, Recorder, Served, TierError,
    TokioSpawn, World,
};
use tiergate_engine::{CacheKey, Event, Instant, Method, Outcome, PurgeOutcome, Seed, TierId, WallTime};
use tiergate_invariants::{Edge, Version, What};
use tiergate_recording::JsonRecorder;
use tiergate_scenarios::{DiskSync, FaultKind};
use tiergate_tiers::{
    AnyTier, HttpOrigin, LogOptions, LogTier, OriginOptions, RedisOptions, RedisTier, SyncPolicy, http_head,
};
use turmoil::net::TcpListener;

/// What an edge's driver is made of.
pub(crate) struct EdgeWorld;

impl World for EdgeWorld {
    type Clock = SimulatedClock;
    type Spawn = TokioSpawn;
    type Origin = HttpOrigin<Wire>;
    type Tier = AnyTier<Wire, SimMedium>;
    type Blobs = NoStore;
    type Index = NoStore;
    type Feed = NoStore;
    type Observer = Watch;
}

/// One edge while it runs.
struct Front {
    number: u32,
    stage: Arc<Stage>,
    driver: Driver<EdgeWorld>,
    /// For requests that are not the cache's business.
    around: HttpOrigin<Wire>,
}

/// Runs an edge until it is crashed or the world ends.
pub(crate) async fn run(stage: Arc<Stage>, number: u32) -> turmoil::Result {
    let slot = &stage.edges[number as usize];
    let start = slot.start();
    stage.log.push(What::EdgeStarted { edge: Edge(number) });

    // Whoever asks while the disk is being opened waits a moment, instead of being refused.
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let names = Seed(stage.seed.split(&format!("names of edge {number}, start {start}")).bits());
    let origin = || {
        HttpOrigin::new(
            stage.wire(FaultKind::PartitionOrigin, number),
            format!("{ORIGIN}:{PORT}"),
            origin_options(),
        )
    };
    let mut tiers = Vec::new();
    if stage.scenario.has_shared_tier() {
        tiers.push((TierId::L1, AnyTier::Redis(shared_tier(&stage, number))));
    }
    if let Some(disk) = stage.disks.get(number as usize) {
        let medium = SimMedium { disk: Arc::clone(disk), name: format!("the disk of {}", edge_name(number)) };
        let seed = Seed(stage.seed.split(&format!("log of edge {number}, start {start}")).bits());
        tiers.push((TierId::L2, AnyTier::Log(disk_tier(&stage, medium, seed).await)));
    }
    let parts = Parts {
        clock: SimulatedClock { stage: Arc::clone(&stage) },
        spawn: TokioSpawn::current(),
        origin: origin(),
        tiers,
        durable: None,
        feed: None,
        observer: Watch { stage: Arc::clone(&stage), edge: number, start },
    };
    let driver = Driver::start(parts, &stage.cache, names, NonZeroU32::MIN).await?;
    slot.drive(driver.clone());
    stage.log.serves(Edge(number));
    let front = Arc::new(Front { number, stage: Arc::clone(&stage), driver, around: origin() });

    loop {
        let (stream, _) = listener.accept().await?;
        let front = Arc::clone(&front);
        let service = service_fn(move |request| {
            let front = Arc::clone(&front);
            async move { Ok::<_, Infallible>(front.answer(request).await) }
        });
        let connection =
            http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service);
        // How it ended, the client sees.
        tokio::spawn(async move { drop(connection.await) });
    }
}

/// How long the origin may take to the end of its head.
pub(crate) const HEAD_TIME_MAX: Duration = Duration::from_millis(600);

/// Far below the production defaults, so that a lost message is given up within the life of a world.
fn origin_options() -> OriginOptions {
    OriginOptions {
        connect_time_max: Duration::from_millis(200),
        head_time_max: HEAD_TIME_MAX,
        chunk_time_max: Duration::from_millis(600),
        ..OriginOptions::default()
    }
}

fn shared_tier(stage: &Stage, number: u32) -> RedisTier<Wire> {
    let options = RedisOptions::default();
    RedisTier::new(
        stage.wire(FaultKind::PartitionSharedTier, number),
        format!("{SHARED_TIER}:{PORT}"),
        options,
    )
}

/// A process that cannot open its disk ends with an error, and whoever looks after it starts another.
const START_AGAIN_AFTER: Duration = Duration::from_millis(100);

async fn disk_tier(stage: &Stage, medium: SimMedium, seed: Seed) -> LogTier<SimMedium> {
    let sync = match stage.scenario.disk.sync {
        DiskSync::Never => SyncPolicy::Never,
        DiskSync::OnSeal => SyncPolicy::OnSeal,
        DiskSync::EveryMs(every_ms) => SyncPolicy::Every(Duration::from_millis(every_ms)),
    };
    let options = LogOptions { capacity: stage.scenario.disk.capacity, sync, seed };
    loop {
        match LogTier::open(vec![medium.clone()], options).await {
            Ok(tier) => return tier,
            Err(_) => tokio::time::sleep(START_AGAIN_AFTER).await,
        }
    }
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Response<Reply> {
        let (parts, _) = request.into_parts();
        let Ok(head) = http_head::request_head(&parts, http_head::Scheme::Http) else {
            return Reply::empty(StatusCode::BAD_REQUEST);
        };
        let key = CacheKey::of(&head.authority, &head.target);
        if parts.method.as_str() == "PURGE" {
            return self.purge(key).await;
        }
        let fields = head.fields.iter();
        if let Some((resident, age)) = self.driver.fresh_hit(key, head.method, fields) {
            self.stage.log.hit();
            return Reply::whole(&resident, age);
        }
        let head = Arc::new(head);
        match self.driver.request(key, Arc::clone(&head)).await {
            Answer::Serve(served) => self.serve(served, head.method),
            Answer::Pass(_) => match self.around.fetch(head, |_| {}).await {
                Ok((head, body)) => Reply::passed(&head, body),
                Err(_) => Reply::empty(StatusCode::BAD_GATEWAY),
            },
            Answer::Refuse(_) => Reply::empty(StatusCode::BAD_GATEWAY),
        }
    }

    fn serve(&self, served: Served<EdgeWorld>, method: Method) -> Response<Reply> {
        match served.outcome {
            Outcome::Hit { .. } | Outcome::Stale { .. } | Outcome::Revalidated { .. } => self.stage.log.hit(),
            Outcome::Miss { .. } => {}
        }
        Reply::streamed(served, method)
    }

    async fn purge(&self, key: CacheKey) -> Response<Reply> {
        let edge = Edge(self.number);
        let newest = self.stage.newest(key);
        let asked_at = self.stage.log.now();
        self.stage.log.push(What::PurgeAsked { edge, purge: None, key });
        let purged = self.driver.purge(key).await;
        let is_confirmed = purged.tiers.iter().all(|(_, outcome)| match outcome {
            PurgeOutcome::Removed(_)
            | PurgeOutcome::RemovedUnseen
            | PurgeOutcome::Staled(_)
            | PurgeOutcome::Barred
            | PurgeOutcome::Absent => true,
            PurgeOutcome::Failed => false,
        });
        if !is_confirmed {
            return Reply::empty(StatusCode::BAD_GATEWAY);
        }
        if let Some(newest) = newest {
            self.stage.log.push(What::PurgeConfirmed {
                edge,
                key,
                newest_when_asked: Version(newest),
                asked_at,
            });
        }
        Reply::empty(StatusCode::OK)
    }
}

/// The world's clock, as one edge reads it.
#[derive(Clone)]
pub(crate) struct SimulatedClock {
    stage: Arc<Stage>,
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
        wall_at(self.elapsed())
    }

    async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep(at.since(self.now())).await;
    }
}

/// Turns an edge's events into facts.
pub(crate) struct Watch {
    stage: Arc<Stage>,
    edge: u32,
    start: u64,
}

impl Observer for Watch {
    fn observe(&self, shard: u32, _now: Instant, event: &Event) {
        if self.stage.edges[self.edge as usize].runs(self.start) {
            self.stage.log.push(What::Engine { edge: Edge(self.edge), shard, event: *event });
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
