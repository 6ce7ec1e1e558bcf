//! Short histories for the rules' tests: one rule, and facts about one edge. It judges nothing itself.

use crate::{Edge, Fact, Got, Invariant, Span, Version, What};
use std::time::Duration;
use tiergate_engine::{
    Audit, ByteCount, CacheKey, CopyEvent, End, Event, FetchEnd, FetchEvent, FillId, Instant, OriginId,
    Purpose, RecordName, Removal, RequestEvent, RequestId, ResidenceEvent, TierId,
};

pub(crate) const KEY: CacheKey = CacheKey(1);
pub(crate) const OTHER: CacheKey = CacheKey(2);
const EDGE: Edge = Edge(0);

/// A rule and the time. Each method shows one fact and says which rule it broke.
pub(crate) struct History {
    rule: Box<dyn Invariant>,
    now: Instant,
}

impl History {
    pub(crate) fn of(rule: impl Invariant + 'static) -> Self {
        Self { rule: Box::new(rule), now: Instant::ZERO }
    }

    /// What is shown from now on happens at this nanosecond.
    pub(crate) fn at(&mut self, nanos: u64) {
        self.now = Instant::from_nanos(nanos);
    }

    pub(crate) fn show(&mut self, what: What) -> Result<(), &'static str> {
        self.rule.observe(&Fact { at: self.now, what }).map_err(|violation| violation.rule)
    }

    pub(crate) fn event(&mut self, event: impl Into<Event>) -> Result<(), &'static str> {
        self.show(What::Engine { edge: EDGE, shard: 0, event: event.into() })
    }

    pub(crate) fn published(
        &mut self,
        key: CacheKey,
        version: u32,
        length: u64,
        storable: bool,
    ) -> Result<(), &'static str> {
        self.show(What::Published {
            key,
            version: Version(version),
            length,
            storable,
            lifetime_ns: if storable { 1_000_000_000 } else { 0 },
        })
    }

    pub(crate) fn answered(&mut self, key: CacheKey, version: u32) -> Result<(), &'static str> {
        self.show(What::OriginAnswered { edge: EDGE, key, version: Version(version) })
    }

    pub(crate) fn asked(&mut self, ask: u64, key: CacheKey) -> Result<(), &'static str> {
        self.show(What::ClientAsked { ask, edge: EDGE, key, request: None })
    }

    pub(crate) fn got(&mut self, ask: u64, key: CacheKey, got: Got) -> Result<(), &'static str> {
        self.show(What::ClientGot { ask, edge: EDGE, key, got })
    }

    pub(crate) fn whole(
        &mut self,
        ask: u64,
        key: CacheKey,
        status: u16,
        age: Option<u64>,
        spans: Vec<Span>,
    ) -> Result<(), &'static str> {
        self.got(ask, key, Got::Whole { status, age, spans })
    }

    pub(crate) fn purge_confirmed(
        &mut self,
        key: CacheKey,
        newest_when_asked: u32,
        asked_at: u64,
    ) -> Result<(), &'static str> {
        self.show(What::PurgeConfirmed {
            edge: EDGE,
            key,
            newest_when_asked: Version(newest_when_asked),
            asked_at: Instant::from_nanos(asked_at),
        })
    }
}

pub(crate) fn span(key: CacheKey, version: u32, offset: u64, length: u64) -> Span {
    Span { of: Some((key, Version(version))), offset, length }
}

pub(crate) fn stored(tier: TierId, key: CacheKey, length: u64, size: u64) -> Event {
    ResidenceEvent::Stored {
        tier,
        key,
        name: None,
        length: ByteCount(length),
        size: ByteCount(size),
        age: Duration::ZERO,
        from: None,
    }
    .into()
}

pub(crate) fn removed(tier: TierId, key: CacheKey, size: u64) -> Event {
    ResidenceEvent::Removed { tier, key, size: ByteCount(size), why: Removal::Capacity }.into()
}

pub(crate) fn resident(tier: TierId, bytes: u64, objects: u64, capacity: u64) -> Event {
    ResidenceEvent::Resident { tier, bytes: ByteCount(bytes), objects, capacity: ByteCount(capacity) }.into()
}

pub(crate) fn fetched(fill: u64, key: CacheKey, purpose: Purpose) -> Event {
    FetchEvent::Fetched { fill: FillId(fill), key, variant: key, origin: OriginId(0), purpose }.into()
}

pub(crate) fn fetch_ended(fill: u64, key: CacheKey) -> Event {
    FetchEvent::FetchEnded { fill: FillId(fill), key, received: ByteCount::ZERO, end: FetchEnd::Complete }
        .into()
}

pub(crate) fn requested(request: u64) -> Event {
    RequestEvent::Requested { request: RequestId(request), key: KEY }.into()
}

pub(crate) fn served(request: u64, sent: u64, end: End) -> Event {
    RequestEvent::Served { request: RequestId(request), key: KEY, sent: ByteCount(sent), end }.into()
}

/// A copy that began; from a tier and for a request, if they are given.
pub(crate) fn lane_opened(tier: TierId, from: Option<(TierId, u64)>) -> Event {
    lane_opened_as(None, tier, from)
}

/// The same under a name.
pub(crate) fn lane_opened_as(name: Option<u128>, tier: TierId, from: Option<(TierId, u64)>) -> Event {
    let promotes = from.map(|(from, request)| (from, RequestId(request)));
    CopyEvent::LaneOpened { tier, key: KEY, name: name.map(RecordName), promotes }.into()
}

/// A copy that is visible now; from a tier, if one is named.
pub(crate) fn copied(tier: TierId, from: Option<TierId>) -> Event {
    copied_as(None, tier, from)
}

/// The same under a name.
pub(crate) fn copied_as(name: Option<u128>, tier: TierId, from: Option<TierId>) -> Event {
    let (length, size, age) = (ByteCount(9), ByteCount(9), Duration::ZERO);
    ResidenceEvent::Stored { tier, key: KEY, name: name.map(RecordName), length, size, age, from }.into()
}

pub(crate) fn audited(open: Audit) -> What {
    What::Audited { edge: EDGE, open }
}
