//! What the server counts, and how Prometheus reads it.
//!
//! The source is the engine's events ([`Metrics::observe`]), with one call for what has no event: a hit of
//! the fast path ([`Metrics::fresh_hit`]). Each shard has its own counters, and its lock is held while they
//! are counted up, so no two threads want the same one. What only the front sees (connections, statuses,
//! bytes sent) is counted by [`Metrics::connected`] and [`Metrics::responded`]. Nothing here waits for
//! anybody.
//!
//! Not counted, for no event tells of them: what the tiers below L0 hold, and what their disk does.

mod exposition;
mod labels;
mod process;
mod tally;
mod text;
mod under_way;

pub(crate) use exposition::CONTENT_TYPE;

use crate::{access_log::LogCounts, tap::TapCounts};
use labels::{Answered, By, DependencyLabel, Label, StatusClass, TierEdge};
use std::{
    array,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
    time::SystemTime,
};
use tally::{Histogram, Tally};
use tiergate_engine::{
    BreakerState, Bypass, ByteCount, Config, CopyEvent, Dependency, Event, FetchEnd, FetchEvent, GiveUp,
    Instant, LaneEnd, Late, MissReason, NotAdopted, NotStorable, PurgeEvent, Purpose, Refusal, Rejection,
    Removal, RequestEvent, ResidenceEvent, ResilienceEvent, SelectorKind, StaleUse, Storable, TierId,
    TierOperation,
};
use under_way::UnderWay;

/// Sets of the front's counters. Threads share a set only when there are more of them.
const STRIPES: usize = 32;

/// All counters of one server.
#[derive(Debug)]
pub struct Metrics {
    began: SystemTime,
    /// The tiers that the configuration names.
    tiers: Vec<TierId>,
    memory_capacity: ByteCount,
    shards: Box<[ShardCounts]>,
    /// For each breaker, how many shards have it not closed.
    not_closed: [AtomicU32; DependencyLabel::ALL.len()],
    stripes: [Stripe; STRIPES],
    connections: AtomicI64,
    proxy_headers_refused: AtomicU64,
    turned_away: AtomicU64,
    sources: Sources,
}

/// Who counts by themselves.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The access log, if there is one.
    pub log: Option<Arc<LogCounts>>,
    /// The tap, if a shard is watched.
    pub tap: Option<Arc<TapCounts>>,
}

/// A connection that is counted as open while this lives.
#[derive(Debug)]
pub struct Connected(Arc<Metrics>);

/// What one shard counts. In cache lines of its own: otherwise shards would take each other's time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ShardCounts {
    requests: Tally<(Answered, By), 35>,
    collapsed: AtomicU64,
    attach_refused: AtomicU64,
    hedged: AtomicU64,
    misses: Tally<MissReason, 8>,
    passes: Tally<Bypass, 4>,
    refusals: Tally<Refusal, 11>,
    stale: Tally<StaleUse, 2>,
    fetches: Tally<Purpose, 3>,
    fetches_ended: Tally<FetchEnd, 10>,
    origin_responses: Tally<StatusClass, 6>,
    origin_bytes: AtomicU64,
    origin_head: Histogram,
    not_storable: Tally<NotStorable, 13>,
    not_adopted: Tally<NotAdopted, 5>,
    adoptions_ended: Tally<FetchEnd, 10>,
    retries: AtomicU64,
    gave_up: Tally<GiveUp, 8>,
    lanes_opened: Tally<TierId, 4>,
    lanes_dropped: Tally<(TierId, LaneEnd), 44>,
    promotions_begun: Tally<TierEdge, 6>,
    promotions_committed: Tally<TierEdge, 6>,
    promotions_dropped: Tally<(TierEdge, LaneEnd), 66>,
    rejections: Tally<(TierId, Rejection), 20>,
    stored: Tally<TierId, 4>,
    freshened: Tally<TierId, 4>,
    removals: Tally<(TierId, Removal), 16>,
    resident_bytes: AtomicU64,
    resident_objects: AtomicU64,
    tier_failures: Tally<(TierId, TierOperation), 16>,
    tier_skips: Tally<(TierId, TierOperation), 16>,
    rotten: Tally<TierId, 4>,
    late: Tally<Late, 11>,
    breaker_changes: Tally<(DependencyLabel, BreakerState), 15>,
    /// What state each breaker is in, by its label's index.
    breakers: [AtomicU32; DependencyLabel::ALL.len()],
    purges: Tally<SelectorKind, 4>,
    unconfirmed: Tally<SelectorKind, 4>,
    open: Mutex<UnderWay>,
}

/// What the front counts, on some of its threads.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    responses: Tally<StatusClass, 6>,
    bytes: AtomicU64,
    connections: AtomicU64,
}

/// What a breaker's step means for the whole server, whose shards have one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BreakerStep {
    pub(crate) of: Dependency,
    pub(crate) change: BreakerChange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreakerChange {
    /// The first shard does not ask any more as it did.
    FirstOpened,
    /// Every shard asks again.
    AllClosed,
}

impl Metrics {
    /// Zeros, for a server with this cache and so many shards.
    pub fn new(cache: &Config, shards: NonZeroU32, sources: Sources) -> Self {
        let memory = cache.as_written().l0.as_ref();
        Self {
            began: SystemTime::now(),
            tiers: memory.map(|_| TierId::L0).into_iter().chain(cache.byte_tiers()).collect(),
            memory_capacity: memory.map_or(ByteCount::ZERO, |memory| memory.capacity),
            shards: (0..shards.get()).map(|_| ShardCounts::default()).collect(),
            not_closed: array::from_fn(|_| AtomicU32::new(0)),
            stripes: array::from_fn(|_| Stripe::default()),
            connections: AtomicI64::new(0),
            proxy_headers_refused: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            sources,
        }
    }

    /// Counts a hit of the fast path, of which no event tells.
    pub fn fresh_hit(&self, shard: u32) {
        self.shards[shard as usize].requests.count((Answered::Hit, By::Tier(TierId::L0)));
    }

    /// Counts what the front sent: the status that the client read, and the bytes of the body. Once for each
    /// response, whoever made it.
    pub fn responded(&self, status: u16, body_bytes: u64) {
        let stripe = self.stripe();
        stripe.responses.count(StatusClass(status));
        stripe.bytes.fetch_add(body_bytes, Ordering::Relaxed);
    }

    /// Counts a client's connection, which is open while the returned value lives.
    pub fn connected(self: &Arc<Self>) -> Connected {
        self.stripe().connections.fetch_add(1, Ordering::Relaxed);
        self.connections.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }

    /// A request was turned away before anybody looked for it.
    pub(crate) fn turned_away(&self) {
        raise(&self.turned_away);
    }

    /// Counts a connection that was closed for want of a header of the PROXY protocol.
    pub(crate) fn refused_proxy_header(&self) {
        raise(&self.proxy_headers_refused);
    }

    fn stripe(&self) -> &Stripe {
        static THREADS: AtomicU32 = AtomicU32::new(0);
        thread_local!(static THREAD: u32 = THREADS.fetch_add(1, Ordering::Relaxed));
        &self.stripes[THREAD.with(|thread| *thread as usize % STRIPES)]
    }

    /// Counts an event of one shard. Says so when a breaker changed how the whole server stands to somebody.
    pub(crate) fn observe(&self, shard: u32, now: Instant, event: &Event) -> Option<BreakerStep> {
        let counts = &self.shards[shard as usize];
        match event {
            Event::Request(event) => counts.on_request(event),
            Event::Fetch(event) => counts.on_fetch(now, event),
            Event::Copy(event) => counts.on_copy(event),
            Event::Residence(event) => counts.on_residence(event),
            Event::Resilience(ResilienceEvent::BreakerChanged { who, state }) => {
                return self.on_breaker(counts, *who, *state);
            }
            Event::Resilience(event) => counts.on_resilience(event),
            Event::Purge(event) => counts.on_purge(shard, event),
            // No build has a durable tier yet.
            Event::Durable(_) => {}
        }
        None
    }

    fn on_breaker(&self, counts: &ShardCounts, of: Dependency, state: BreakerState) -> Option<BreakerStep> {
        let who = DependencyLabel::of(of)?;
        counts.breaker_changes.count((who, state));
        let closed = BreakerState::Closed.index();
        let before = counts.breakers[who.index()].swap(state.index() as u32, Ordering::Relaxed) as usize;
        let not_closed = &self.not_closed[who.index()];
        let change = match (before == closed, state.index() == closed) {
            (true, false) => {
                let is_first = not_closed.fetch_add(1, Ordering::Relaxed) == 0;
                is_first.then_some(BreakerChange::FirstOpened)
            }
            (false, true) => {
                let is_last = not_closed.fetch_sub(1, Ordering::Relaxed) == 1;
                is_last.then_some(BreakerChange::AllClosed)
            }
            (true, true) | (false, false) => None,
        };
        change.map(|change| BreakerStep { of, change })
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn raise(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl ShardCounts {
    /// Works on what is under way. The shard's own lock is held, so nobody waits for this one.
    fn open<R>(&self, work: impl FnOnce(&mut UnderWay) -> R) -> R {
        work(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn on_request(&self, event: &RequestEvent) {
        match *event {
            RequestEvent::Requested { request, .. } => self.open(|open| open.asked(request)),
            RequestEvent::Hit { request, tier, .. } => {
                self.answered(request, Answered::Hit, By::Tier(tier));
            }
            RequestEvent::ServedStale { request, tier, why, .. } => {
                self.stale.count(why);
                self.answered(request, Answered::Stale, By::Tier(tier));
            }
            RequestEvent::Revalidated { request, tier, .. } => {
                self.answered(request, Answered::Revalidated, By::Tier(tier));
            }
            RequestEvent::Missed { request, reason, .. } => {
                self.misses.count(reason);
                self.open(|open| open.missed(request));
            }
            RequestEvent::Passed { request, bypass } => {
                self.passes.count(bypass);
                self.answered(request, Answered::Pass, By::None);
            }
            RequestEvent::Refused { request, refusal } => {
                self.refusals.count(refusal);
                self.answered(request, Answered::Refused, By::None);
            }
            // The end of a response whose outcome had an event of its own is no second answer.
            RequestEvent::Served { request, sent, end, .. } => {
                if let Some(answered) = self.open(|open| open.served(request, sent, end)) {
                    self.requests.count((answered, By::None));
                }
            }
            RequestEvent::Collapsed { .. } => raise(&self.collapsed),
            RequestEvent::AttachRefused { .. } => raise(&self.attach_refused),
            RequestEvent::Hedged { .. } => raise(&self.hedged),
            RequestEvent::LeaderReplaced { .. } | RequestEvent::FollowsPart { .. } => {}
        }
    }

    fn answered(&self, request: tiergate_engine::RequestId, answered: Answered, by: By) {
        self.open(|open| open.answered(request));
        self.requests.count((answered, by));
    }

    fn on_fetch(&self, now: Instant, event: &FetchEvent) {
        match *event {
            FetchEvent::Fetched { fill, purpose, .. } => {
                self.fetches.count(purpose);
                self.open(|open| open.fetched(fill, now));
            }
            FetchEvent::HeadArrived { fill, status, storable, .. } => {
                self.origin_responses.count(StatusClass(status));
                match storable {
                    Storable::Yes => {}
                    Storable::No(why) => self.not_storable.count(why),
                }
                if let Some(took) = self.open(|open| open.head_arrived(fill, now)) {
                    self.origin_head.observe(took);
                }
            }
            FetchEvent::FetchEnded { fill, received, end, .. } => {
                self.fetches_ended.count(end);
                self.origin_bytes.fetch_add(received.0, Ordering::Relaxed);
                self.open(|open| open.head_arrived(fill, now));
            }
            FetchEvent::Retried { .. } => raise(&self.retries),
            FetchEvent::GaveUp { why, .. } => self.gave_up.count(why),
            FetchEvent::NotAdopted { why, .. } => self.not_adopted.count(why),
            FetchEvent::AdoptionEnded { end, .. } => self.adoptions_ended.count(end),
            FetchEvent::Adopted { .. } | FetchEvent::FoundUncacheable { .. } => {}
        }
    }

    fn on_copy(&self, event: &CopyEvent) {
        match *event {
            CopyEvent::LaneOpened { tier, key, name, promotes } => {
                self.lanes_opened.count(tier);
                let edge = promotes.and_then(|(from, _)| TierEdge::between(from, tier));
                if let Some(edge) = edge {
                    self.promotions_begun.count(edge);
                    self.open(|open| open.promotes((tier, key, name), edge));
                }
            }
            CopyEvent::LaneDropped { tier, key, name, why } => {
                self.lanes_dropped.count((tier, why));
                if let Some(edge) = self.open(|open| open.promotion_ended((tier, key, name))) {
                    self.promotions_dropped.count((edge, why));
                }
            }
            CopyEvent::Rejected { tier, why, .. } => self.rejections.count((tier, why)),
            // Told of each fill beside the events that are counted.
            CopyEvent::Filled { .. } => {}
        }
    }

    fn on_residence(&self, event: &ResidenceEvent) {
        match *event {
            ResidenceEvent::Stored { tier, key, name, from, .. } => {
                self.stored.count(tier);
                if let Some(edge) = from.and_then(|from| TierEdge::between(from, tier)) {
                    self.promotions_committed.count(edge);
                    self.open(|open| open.promotion_ended((tier, key, name)));
                }
            }
            ResidenceEvent::Freshened { tier, .. } => self.freshened.count(tier),
            ResidenceEvent::Removed { tier, why, .. } => self.removals.count((tier, why)),
            // Counted by their purge.
            ResidenceEvent::Staled { .. } => {}
            ResidenceEvent::Resident { bytes, objects, .. } => {
                self.resident_bytes.store(bytes.0, Ordering::Relaxed);
                self.resident_objects.store(objects, Ordering::Relaxed);
            }
        }
    }

    fn on_resilience(&self, event: &ResilienceEvent) {
        match *event {
            ResilienceEvent::TierFailed { tier, operation } => self.tier_failures.count((tier, operation)),
            ResilienceEvent::TierSkipped { tier, operation, .. } => self.tier_skips.count((tier, operation)),
            ResilienceEvent::FoundRotten { tier, .. } => self.rotten.count(tier),
            ResilienceEvent::DeadlineMissed { what, .. } => self.late.count(what),
            ResilienceEvent::BreakerChanged { .. } => unreachable!("breakers concern all shards"),
            ResilienceEvent::TierJoined { .. } | ResilienceEvent::LateAnswer { .. } => {}
        }
    }

    /// A purge of one key is its shard's. Any other takes place in every shard, and is counted by the first.
    fn on_purge(&self, shard: u32, event: &PurgeEvent) {
        let is_counted = |what: SelectorKind| match what {
            SelectorKind::Key(_) => true,
            SelectorKind::Tag | SelectorKind::Prefix | SelectorKind::All => shard == 0,
        };
        match *event {
            PurgeEvent::PurgeBegan { what, .. } if is_counted(what) => self.purges.count(what),
            PurgeEvent::PurgeEnded { what, confirmed: false, .. } => self.unconfirmed.count(what),
            PurgeEvent::PurgeBegan { .. }
            | PurgeEvent::PurgeEnded { .. }
            | PurgeEvent::RemotePurged { .. }
            | PurgeEvent::PurgesMissed => {}
        }
    }
}

#[cfg(test)]
mod tests;
