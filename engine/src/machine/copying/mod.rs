//! Copies of one body into the tiers that take it: for a fill into all of them, for a promotion into the faster ones.
//!
//! L0's copy is collected in step with the body; a byte tier's goes through a lane.

mod lanes;
mod markers;
mod promotions;
mod uploads;

pub(super) use lanes::{Owner, Source};
pub(super) use markers::{Lost, names_in};
pub(super) use promotions::Promoting;

use super::context::Context;
use crate::{
    agenda::Agenda,
    chunk::Chunk,
    config::{ByteTier, Config, IndexKeeper, MemoryTier, OnFull},
    event::{Event, FillVerdict},
    fill::{Collect, Collected, Copies, Glimpse},
    head::{Head, Length},
    hits::Hits,
    id::{PromotionId, RecordName, TierId, WriterId},
    key::{CacheKey, StoredKey},
    lane::{Ended, Lane},
    memory::Resident,
    random::Random,
    reason::{LaneEnd, Rejection},
    record::{Freshness, Record},
    rules::Staleness,
    selector::Place,
    table::Table,
    time::Instant,
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};
use lanes::{OpenLane, pronounce};
use uploads::Uploads;

/// A response whose body is about to be copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copied<'r> {
    pub(super) at: StoredKey,
    pub(super) place: &'r Place,
    pub(super) head: &'r Arc<Head>,
    pub(super) staleness: Staleness,
    pub(super) length: Length,
}

/// Every copy under way, and the lanes on which they go.
pub(super) struct Copying<C: Chunk> {
    lanes: Table<WriterId, OpenLane<C>>,
    /// When each lane with an operation at its tier has stalled.
    stalls: Agenda<WriterId>,
    promotions: Table<PromotionId, Promoting<C>>,
    /// The promotion that is being read for, by key.
    promoted: Table<CacheKey, PromotionId>,
    /// Hits below L0.
    hits: Hits,
    uploads: Uploads<C>,
}

/// A lane has done a step.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) writer: WriterId,
    /// Who may go on now.
    pub(super) owner: Owner,
    pub(super) came: Came,
}

/// What came of a step, before its owner goes on.
#[derive(Debug)]
pub(super) enum Came {
    /// Nothing that matters to others.
    Nothing,
    /// The tier has this now.
    Stored(TierId, Arc<Record>),
    /// The tier may have what must not stay there.
    Doomed(Doomed),
}

/// A record that is to be deleted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doomed {
    pub(super) tier: TierId,
    pub(super) at: StoredKey,
    pub(super) name: RecordName,
}

impl<C: Chunk> Copying<C> {
    pub(super) fn new(config: &Config, salts: &mut Random) -> Self {
        Self {
            lanes: Table::default(),
            stalls: Agenda::default(),
            promotions: Table::default(),
            promoted: Table::salted(salts.wide_bits()),
            hits: Hits::default(),
            uploads: Uploads::of(config),
        }
    }

    /// Lanes that are open.
    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// The most chunks that wait for one tier.
    pub(super) fn waiting_max(&self) -> usize {
        self.lanes.values().map(|open| open.lane.waiting()).max().unwrap_or(0)
    }

    /// Promotions whose copies are being made.
    pub(super) fn promotions(&self) -> usize {
        self.promotions.len()
    }

    /// Timers that are set.
    pub(super) fn timers(&self) -> usize {
        self.stalls.len() + self.uploads.renewals()
    }

    /// How far from its first byte on a body can be read back, and from where; for whoever has to.
    pub(super) fn readable(&self, copies: &Copies<C>, position: u64) -> Option<(u64, WriterId, TierId)> {
        let lanes = copies.lanes.iter().map(|writer| (*writer, &self.lanes[writer].lane));
        let mut readable = lanes.map(|(writer, lane)| (lane.readable(), writer, lane.tier));
        readable.find(|(readable, ..)| *readable > position)
    }

    /// The same for whoever need not read back yet.
    pub(super) fn dependable(&self, copies: &Copies<C>) -> Option<u64> {
        copies.lanes.iter().map(|writer| self.lanes[writer].lane.dependable()).max()
    }

    /// The tier that took what is at `position`, and cannot give it back.
    pub(super) fn unreadable(&self, copies: &Copies<C>, position: u64) -> TierId {
        let lanes = || copies.lanes.iter().map(|writer| &self.lanes[writer].lane);
        let failed = lanes().find(|lane| lane.acknowledged() > position).or_else(|| lanes().next());
        failed.map_or(TierId::L0, |lane| lane.tier)
    }

    /// What a lane has taken cannot be read back. Says which tier that is.
    pub(super) fn on_read_back_failed(&mut self, writer: WriterId) -> TierId {
        let lane = self.open_lane(writer);
        lane.on_read_failed();
        lane.tier
    }

    /// Does a tier that must not be left behind have as much waiting as it may?
    pub(super) fn holds_back(&self, copies: &Copies<C>, full: usize) -> bool {
        copies
            .lanes
            .iter()
            .map(|writer| &self.lanes[writer])
            .any(|open| open.on_full == OnFull::Wait && open.lane.is_live() && open.lane.waiting() >= full)
    }

    /// When each upload's lease is to be renewed next.
    pub(super) fn renewal_at(&self) -> Option<Instant> {
        self.uploads.renewal_at()
    }

    /// Uploads that have not ended.
    pub(super) fn uploads(&self) -> usize {
        self.uploads.len()
    }

    /// Opens a way into each of these tiers that may take a body of this length.
    pub(super) fn open_copies(
        &mut self,
        cx: &mut Context<C>,
        Source { owner, promotes }: Source,
        copied: Copied<'_>,
        l0: Option<MemoryTier>,
        tiers: &[ByteTier],
        glimpse: Option<&Glimpse>,
    ) -> Copies<C> {
        let (at, key) = (copied.at, copied.at.key);
        let mut copies = Copies::default();
        if let Some(l0) = l0 {
            match refusal(cx, copied, l0.gate, l0.capacity) {
                Some(why) => cx.event(Event::Rejected { tier: TierId::L0, key, why }),
                None => {
                    copies.memory = Some(Collect::new(l0.gate.min(l0.capacity)));
                    cx.event(Event::LaneOpened { tier: TierId::L0, key, name: None, promotes });
                }
            }
        }
        for tier in tiers {
            let glimpse = glimpse.filter(|glimpse| cx.is_durable(tier.id) && glimpse.seen.key == key);
            let unseen = (cx.is_durable(tier.id) && glimpse.is_none()).then_some(Rejection::Unseen);
            let away = cx.caring.is_joining(tier.id).then_some(Rejection::NotJoined);
            let refused = || refusal(cx, copied, tier.gate, tier.capacity);
            if let Some(why) = unseen.or(away).or_else(refused) {
                cx.event(Event::Rejected { tier: tier.id, key, why });
                pronounce(cx, owner, tier.id, key, FillVerdict::Rejected(why));
                continue;
            }
            let writer = WriterId(cx.ids.mint());
            let name = RecordName(cx.names.wide_bits());
            cx.event(Event::LaneOpened { tier: tier.id, key, name: Some(name), promotes });
            let lane = match tier.index {
                IndexKeeper::Tier => Lane::new(tier.id, name),
                IndexKeeper::Durable { .. } => Lane::write_only(tier.id, name),
            };
            let gate = tier.gate.min(tier.capacity);
            self.lanes.insert(writer, OpenLane::new(lane, owner, at, tier.on_full, gate));
            if let Some(glimpse) = glimpse {
                self.prepare_upload(writer, glimpse.clone());
            }
            copies.lanes.push(writer);
        }
        copies
    }

    /// Offers a chunk to every copy that is still being made; with it, `received` bytes have come.
    pub(super) fn feed_copies(
        &mut self,
        cx: &mut Context<C>,
        at: StoredKey,
        copies: &mut Copies<C>,
        received: ByteCount,
        chunk: &C,
    ) {
        if copies.memory.as_mut().map(|collect| collect.push(chunk)) == Some(Collected::OverGate) {
            copies.memory = None;
            cx.event(Event::LaneDropped {
                tier: TierId::L0,
                key: at.key,
                name: None,
                why: LaneEnd::OverGate,
            });
        }
        let full = cx.config.lane_chunks_max;
        for writer in &copies.lanes {
            let open = self.lanes.get_mut(writer).expect("lanes stay open until their owner closes them");
            if !open.lane.is_live() {
                continue;
            }
            let is_full = open.lane.waiting() >= full;
            if received > open.gate {
                self.drop_lane(cx, *writer, LaneEnd::OverGate);
            } else if !is_full {
                open.lane.push(chunk.clone());
                self.advance(cx, *writer);
            } else {
                self.drop_lane(cx, *writer, LaneEnd::Full);
            }
        }
    }

    /// The body has ended whole: each lane that still has all of it is to publish it.
    pub(super) fn end_copies(
        &mut self,
        cx: &mut Context<C>,
        copied: Copied<'_>,
        copies: &Copies<C>,
        freshness: Freshness,
        from: Option<TierId>,
    ) {
        let Copied { at, head, length, .. } = copied;
        let stored = freshness.to_stored(cx.now, cx.wall());
        for writer in &copies.lanes {
            let open = self.lanes.get_mut(writer).expect("lanes stay open until their owner closes them");
            if !open.lane.is_live() {
                continue;
            }
            let taken = ByteCount(open.lane.taken());
            assert!(Length::Known(taken) == length, "{writer:?} took {taken} of {length:?} of {at}");
            let name = open.lane.name;
            let StoredKey { target, key } = at;
            let head = Arc::clone(head);
            let record = Record { key, target, name, head, length: taken, freshness: stored };
            open.lane.end(Ended { record: Arc::new(record), from });
            self.advance(cx, *writer);
        }
    }

    /// The body is over before its end, or was superseded: nothing of it may be published. A lane that its tier is
    /// just publishing is left to its answer; those are returned, but for the durable tier's, whose index decides.
    pub(super) fn abandon_copies(
        &mut self,
        cx: &mut Context<C>,
        at: StoredKey,
        copies: &mut Copies<C>,
        why: LaneEnd,
    ) -> Vec<WriterId> {
        if copies.memory.take().is_some() {
            cx.event(Event::LaneDropped { tier: TierId::L0, key: at.key, name: None, why });
        }
        let mut committing = Vec::new();
        for writer in copies.lanes.iter().copied() {
            let open = self.lanes.get_mut(&writer).expect("lanes stay open until their owner closes them");
            if !open.lane.is_committing() {
                self.drop_lane(cx, writer, why);
                continue;
            }
            open.is_superseded = true;
            if !cx.is_durable(open.lane.tier) {
                committing.push(writer);
            }
        }
        committing
    }

    /// Is any copy still being made?
    pub(super) fn is_copying(&self, copies: &Copies<C>) -> bool {
        copies.memory.is_some() || copies.lanes.iter().any(|writer| self.lanes[writer].lane.is_live())
    }
}

fn refusal<C: Chunk>(
    cx: &Context<C>,
    copied: Copied<'_>,
    gate: ByteCount,
    capacity: ByteCount,
) -> Option<Rejection> {
    match copied.length {
        Length::Known(length) if length > gate => Some(Rejection::OverGate),
        Length::Known(length) if cx.config.cost(length, copied.head) > capacity => {
            Some(Rejection::OverCapacity)
        }
        Length::Known(_) | Length::Unknown => None,
    }
}

/// What L0 has collected of a body that has ended whole, if it collected it.
pub(super) fn collected<C: Chunk>(
    copied: Copied<'_>,
    copies: &mut Copies<C>,
    freshness: Freshness,
) -> Option<Resident<C>> {
    let Copied { at, place, head, staleness, length } = copied;
    let collect = copies.memory.take()?;
    let size = collect.size();
    assert!(Length::Known(size) == length, "L0 collected {size} of {length:?} of {at}");
    let (head, chunks, place) = (Arc::clone(head), collect.into_body(), place.clone());
    Some(Resident { head, chunks, length: size, freshness, staleness, place })
}
