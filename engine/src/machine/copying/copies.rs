//! Copies of one body into the tiers that take it: for a fill into all of them, for a promotion into the
//! faster ones.
//!
//! L0's copy is collected in step with the body; a byte tier's goes through a lane.

use super::{
    collect::{Collect, Collected},
    lanes::{CopySource, Lanes, OpenLane, tell_verdict},
};
use crate::machine::{context::Context, fetching::IndexSnapshot};
use crate::{
    config::{ByteTier, IndexKeeper, MemoryTier, OnFull},
    language::{
        chunk::Chunk,
        event::{CopyEvent, FillVerdict},
        head::{Head, Length},
        id::{RecordName, TierId, WriterId},
        key::StoredKey,
        reason::{LaneEnd, Rejection},
        record::{Freshness, Record},
        resident::Resident,
        selector::TargetUri,
        units::ByteCount,
    },
    parts::lane::{Ended, Lane, Publisher},
    rules::Staleness,
};
use alloc::{sync::Arc, vec::Vec};

/// A response whose body is about to be copied.
#[derive(Clone, Copy, Debug)]
pub(in crate::machine) struct Copied<'r> {
    pub(in crate::machine) at: StoredKey,
    pub(in crate::machine) uri: &'r TargetUri,
    pub(in crate::machine) head: &'r Arc<Head>,
    pub(in crate::machine) staleness: Staleness,
    pub(in crate::machine) length: Length,
    /// What the durable tier's index said before it was fetched.
    pub(in crate::machine) seen: Option<&'r IndexSnapshot>,
}

/// Copies being made of one body.
#[derive(Debug)]
pub(in crate::machine) struct Copies<C> {
    /// For L0.
    pub(super) memory: Option<Collect<C>>,
    /// For byte tiers, fastest first.
    pub(super) lanes: Vec<WriterId>,
}

impl<C> Default for Copies<C> {
    fn default() -> Self {
        Self { memory: None, lanes: Vec::new() }
    }
}

impl<C> Copies<C> {
    /// Does L0 collect the body as it comes? Then its bytes are in memory anyway.
    pub(in crate::machine) const fn collects(&self) -> bool {
        self.memory.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.memory.is_none() && self.lanes.is_empty()
    }
}

impl<C: Chunk> Lanes<C> {
    /// How far from its first byte on a body can be read back, and from where; for whoever has to.
    pub(in crate::machine) fn readable(
        &self,
        copies: &Copies<C>,
        position: u64,
    ) -> Option<(u64, WriterId, TierId)> {
        let lanes = copies.lanes.iter().map(|writer| (*writer, &self.lanes[writer].lane));
        let mut readable = lanes.map(|(writer, lane)| (lane.readable(), writer, lane.tier));
        readable.find(|(readable, ..)| *readable > position)
    }

    /// How far the tiers have come that are still taking the body: what comes later waits for them in memory.
    /// `None`, when no tier takes it.
    pub(in crate::machine) fn acknowledged(&self, copies: &Copies<C>) -> Option<u64> {
        let lanes = copies.lanes.iter().map(|writer| &self.lanes[writer].lane);
        lanes.filter(|lane| lane.is_live()).map(Lane::acknowledged).max()
    }

    /// The same for whoever need not read back yet.
    pub(in crate::machine) fn dependable(&self, copies: &Copies<C>) -> Option<u64> {
        copies.lanes.iter().map(|writer| self.lanes[writer].lane.dependable()).max()
    }

    /// The tier that took what is at `position`, and cannot give it back.
    pub(in crate::machine) fn unreadable(&self, copies: &Copies<C>, position: u64) -> TierId {
        let lanes = || copies.lanes.iter().map(|writer| &self.lanes[writer].lane);
        let failed = lanes().find(|lane| lane.acknowledged() > position).or_else(|| lanes().next());
        failed.map_or(TierId::L0, |lane| lane.tier)
    }

    /// What a lane has taken cannot be read back. Says which tier that is.
    pub(in crate::machine) fn on_read_back_failed(&mut self, writer: WriterId) -> TierId {
        let lane = self.open_lane(writer);
        lane.on_read_failed();
        lane.tier
    }

    /// Does a tier that must not be left behind have as much waiting as it may?
    pub(in crate::machine) fn holds_back(&self, copies: &Copies<C>, full: usize) -> bool {
        copies
            .lanes
            .iter()
            .map(|writer| &self.lanes[writer])
            .any(|open| open.on_full == OnFull::Wait && open.lane.is_live() && open.lane.waiting() >= full)
    }

    /// Opens a way into each of these tiers that may take a body of this length.
    pub(in crate::machine) fn open_copies(
        &mut self,
        cx: &mut Context<C>,
        CopySource { owner, promotes }: CopySource,
        copied: Copied<'_>,
        l0: Option<MemoryTier>,
        tiers: &[ByteTier],
    ) -> Copies<C> {
        let (at, key) = (copied.at, copied.at.key);
        let mut copies = Copies::default();
        if let Some(l0) = l0 {
            match refusal(cx, copied, l0.gate, l0.capacity) {
                Some(why) => cx.event(CopyEvent::Rejected { tier: TierId::L0, key, why }),
                None => {
                    copies.memory = Some(Collect::new(l0.gate.min(l0.capacity)));
                    cx.event(CopyEvent::LaneOpened { tier: TierId::L0, key, name: None, promotes });
                }
            }
        }
        for tier in tiers {
            let snapshot = copied.seen.filter(|snapshot| tier.is_durable() && snapshot.seen.key == key);
            let unseen = (tier.is_durable() && snapshot.is_none()).then_some(Rejection::Unseen);
            let away = cx.resilience.is_joining(tier.id).then_some(Rejection::NotJoined);
            let refused = || refusal(cx, copied, tier.gate, tier.capacity);
            if let Some(why) = unseen.or(away).or_else(refused) {
                cx.event(CopyEvent::Rejected { tier: tier.id, key, why });
                tell_verdict(cx, owner, tier.id, key, FillVerdict::Rejected(why));
                continue;
            }
            let writer = WriterId(cx.ids.mint());
            let name = RecordName(cx.names.wide_bits());
            cx.event(CopyEvent::LaneOpened { tier: tier.id, key, name: Some(name), promotes });
            let lane = match tier.index {
                IndexKeeper::Tier => Lane::new(tier.id, name),
                IndexKeeper::Durable { .. } => Lane::into_blob(tier.id, name),
            };
            let gate = tier.gate.min(tier.capacity);
            self.lanes.insert(writer, OpenLane::new(lane, owner, at, tier.on_full, gate));
            if let Some(snapshot) = snapshot {
                self.prepare_upload(writer, snapshot.clone(), copied.length);
            }
            copies.lanes.push(writer);
        }
        copies
    }

    /// Offers a chunk to every copy that is still being made; with it, `received` bytes have come.
    pub(in crate::machine) fn feed_copies(
        &mut self,
        cx: &mut Context<C>,
        at: StoredKey,
        copies: &mut Copies<C>,
        received: ByteCount,
        chunk: &C,
    ) {
        if copies.memory.as_mut().map(|collect| collect.push(chunk)) == Some(Collected::OverGate) {
            copies.memory = None;
            cx.event(CopyEvent::LaneDropped {
                tier: TierId::L0,
                key: at.key,
                name: None,
                why: LaneEnd::OverGate,
            });
        }
        let full = cx.config.lane_chunks_max;
        for writer in &copies.lanes {
            let open = &mut self.lanes[writer];
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
    pub(in crate::machine) fn end_copies(
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
            let open = &mut self.lanes[writer];
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

    /// The body is over before its end, or was superseded: nothing of it may be published. A lane that its
    /// tier is just publishing is left to its answer; those are returned, but for the durable tier's, whose
    /// index decides.
    pub(in crate::machine) fn abandon_copies(
        &mut self,
        cx: &mut Context<C>,
        at: StoredKey,
        copies: &mut Copies<C>,
        why: LaneEnd,
    ) -> Vec<WriterId> {
        if copies.memory.take().is_some() {
            cx.event(CopyEvent::LaneDropped { tier: TierId::L0, key: at.key, name: None, why });
        }
        let mut committing = Vec::new();
        for writer in copies.lanes.iter().copied() {
            let open = &mut self.lanes[&writer];
            if !open.lane.is_committing() {
                self.drop_lane(cx, writer, why);
                continue;
            }
            open.is_superseded = true;
            if open.lane.publisher() == Publisher::Tier {
                committing.push(writer);
            }
        }
        committing
    }

    /// Is any copy still being made?
    pub(in crate::machine) fn is_copying(&self, copies: &Copies<C>) -> bool {
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
pub(in crate::machine) fn collected<C: Chunk>(
    copied: Copied<'_>,
    copies: &mut Copies<C>,
    freshness: Freshness,
) -> Option<Resident<C>> {
    let Copied { at, uri, head, staleness, length, .. } = copied;
    let collect = copies.memory.take()?;
    let size = collect.size();
    assert!(Length::Known(size) == length, "L0 collected {size} of {length:?} of {at}");
    let (head, chunks, uri) = (Arc::clone(head), collect.into_body(), uri.clone());
    Some(Resident { head, chunks, length: size, freshness, staleness, uri })
}
