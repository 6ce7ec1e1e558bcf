//! From the origin to the tiers: the lanes of a fill.

use super::{Engine, Pending};
use crate::{
    chunk::Chunk,
    config::{IndexKeeper, OnFull},
    effect::Effect,
    event::{Event, TierOperation},
    fill::{Collect, Collected, Errand, Sharing, Stream},
    head::Length,
    id::{FillId, RecordName, TierId, WriterId},
    key::CacheKey,
    lane::{Lane, Next},
    memory::Resident,
    plant::Fault,
    reason::{LaneEnd, Rejection},
    record::Record,
    time::Instant,
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};

/// A lane and what it serves.
#[derive(Debug)]
pub(super) struct OpenLane<C> {
    pub(super) lane: Lane<C>,
    pub(super) fill: FillId,
    pub(super) key: CacheKey,
    pub(super) on_full: OnFull,
    gate: ByteCount,
    /// When the operation that its tier has in hand counts as stalled.
    stalls_at: Option<Instant>,
}

impl<C: Chunk> Engine<C> {
    /// Opens a way into every tier that may take a body of this length.
    pub(super) fn open_lanes(&mut self, fill_id: FillId, errand: &Errand, stream: &mut Stream<C>) {
        let key = errand.key;
        let cost = match stream.length {
            Length::Known(length) => Some((length, self.config.cost(length, &stream.head))),
            Length::Unknown => None,
        };
        let refusal = |gate: ByteCount, capacity: ByteCount| match cost {
            Some((length, _)) if length > gate => Some(Rejection::OverGate),
            Some((_, cost)) if cost > capacity => Some(Rejection::OverCapacity),
            Some(_) | None => None,
        };
        if let Some(l0) = self.config.l0 {
            match refusal(l0.gate, l0.capacity) {
                Some(why) => self.event(Event::Rejected { tier: TierId::L0, key, why }),
                None => {
                    stream.memory = Some(Collect::new(l0.gate.min(l0.capacity)));
                    self.event(Event::LaneOpened { tier: TierId::L0, key, name: None });
                }
            }
        }
        for tier in self.config.tiers.clone() {
            let capacity = match tier.index {
                IndexKeeper::Engine { capacity, .. } => capacity,
                IndexKeeper::Tier => ByteCount::UNLIMITED,
            };
            if let Some(why) = refusal(tier.gate, capacity) {
                self.event(Event::Rejected { tier: tier.id, key, why });
                continue;
            }
            let writer = WriterId(self.ids.mint());
            let name = RecordName(self.names.wide_bits());
            let op = self.operation(Pending::Lane(writer));
            self.event(Event::LaneOpened { tier: tier.id, key, name: Some(name) });
            self.effect(Effect::Open { op, tier: tier.id, writer, key, name });
            let (lane, gate) = (Lane::new(tier.id, name, op), tier.gate.min(capacity));
            let open = OpenLane { lane, fill: fill_id, key, on_full: tier.on_full, gate, stalls_at: None };
            self.lanes.insert(writer, open);
            self.watch(writer);
            stream.lanes.push(writer);
        }
    }

    /// Offers a chunk to every tier that still takes part.
    pub(super) fn feed_lanes(&mut self, fill_id: FillId, chunk: &C) {
        let stream = self.stream(fill_id);
        let received = ByteCount(stream.window.end());
        let lanes = stream.lanes.clone();
        if stream.memory.as_mut().map(|collect| collect.push(chunk)) == Some(Collected::OverGate) {
            stream.memory = None;
            let key = self.fills[&fill_id].errand.key;
            self.event(Event::LaneDropped { tier: TierId::L0, key, why: LaneEnd::OverGate });
        }
        for writer in lanes {
            let open = self.lanes.get_mut(&writer).expect("a fill's lanes are open until it closes them");
            if !open.lane.is_live() {
                continue;
            }
            let is_full = open.lane.waiting() >= self.config.lane_chunks_max;
            if received > open.gate {
                self.drop_lane(writer, LaneEnd::OverGate);
            } else if !is_full {
                open.lane.push(chunk.clone());
                self.advance(writer);
            } else if !self.config.is_planted(Fault::T5) {
                self.drop_lane(writer, LaneEnd::Full);
            }
        }
    }

    /// The body has ended whole: L0 takes it now, the other tiers when they have all of it.
    pub(super) fn end_lanes(&mut self, fill_id: FillId) {
        let (now, wall) = (self.now, self.wall());
        let key = self.fills[&fill_id].errand.key;
        let stream = self.stream(fill_id);
        let (head, freshness, lanes) = (Arc::clone(&stream.head), stream.freshness, stream.lanes.clone());
        let length = ByteCount(stream.window.end());
        if let Some(collect) = stream.memory.take() {
            let collected = collect.size();
            assert!(
                collected == length || self.config.is_planted(Fault::T5),
                "L0 collected {collected} of {length} bytes of {key}"
            );
            let chunks = collect.into_body();
            let resident = Resident { head: Arc::clone(&head), chunks, length, freshness };
            self.store_in_memory(key, resident, None);
        }
        for writer in lanes {
            let open = self.lanes.get_mut(&writer).expect("a fill's lanes are open until it closes them");
            if !open.lane.is_live() {
                continue;
            }
            let taken = open.lane.taken();
            let is_whole = taken == length.0;
            assert!(
                is_whole || self.config.is_planted(Fault::T5),
                "{writer:?} took {taken} of {length} bytes"
            );
            let record = Record {
                key,
                name: open.lane.name,
                head: Arc::clone(&head),
                length: ByteCount(taken),
                freshness: freshness.to_stored(now, wall),
            };
            open.lane.end(Arc::new(record));
            self.advance(writer);
        }
    }

    /// The fill is over before its end: nothing of it may be published.
    pub(super) fn abandon_lanes(&mut self, errand: &Errand, stream: &Stream<C>) {
        if stream.memory.is_some() {
            self.event(Event::LaneDropped { tier: TierId::L0, key: errand.key, why: LaneEnd::Abandoned });
        }
        for writer in &stream.lanes {
            self.drop_lane(*writer, LaneEnd::Abandoned);
        }
        self.close_lanes(&stream.lanes);
    }

    /// Closes lanes that nobody writes to or reads from any more.
    pub(super) fn close_lanes(&mut self, lanes: &[WriterId]) {
        for writer in lanes {
            let Some(open) = self.lanes.remove(writer) else {
                continue;
            };
            assert!(!open.lane.is_busy(), "{writer:?} is closed while its tier works: {:?}", open.lane);
            self.effect(Effect::Discard { tier: open.lane.tier, writer: *writer });
        }
    }

    /// Gives a lane up. It stays open for those who read back what its tier has acknowledged.
    pub(super) fn drop_lane(&mut self, writer: WriterId, why: LaneEnd) {
        self.unwatch(writer);
        let open = self.lanes.get_mut(&writer).expect("the caller found the lane");
        if !open.lane.is_live() {
            return;
        }
        assert!(!open.lane.is_committing(), "{writer:?} is given up while its tier publishes it");
        let (tier, key) = (open.lane.tier, open.key);
        if let Some(op) = open.lane.drop_it() {
            self.pending.remove(&op);
        }
        self.event(Event::LaneDropped { tier, key, why });
    }

    pub(super) fn on_lane_opened(&mut self, writer: WriterId) {
        self.open_lane(writer).on_opened();
        self.move_on(writer);
    }

    pub(super) fn on_lane_written(&mut self, writer: WriterId) {
        self.open_lane(writer).on_written();
        self.move_on(writer);
    }

    pub(super) fn on_lane_committed(&mut self, writer: WriterId) {
        self.unwatch(writer);
        let lane = self.open_lane(writer);
        let record = lane.on_committed();
        let (tier, name) = (lane.tier, lane.name);
        let OpenLane { fill, key, .. } = self.lanes[&writer];
        let is_current = self.fills[&fill].errand.sharing == Sharing::Open;
        if is_current {
            self.store_in_tier(tier, &record);
        } else {
            // A purge came while the tier was publishing (failure F1).
            self.event(Event::LaneDropped { tier, key, why: LaneEnd::Superseded });
            self.delete_for_purges(writer, tier, key, name);
        }
        self.pump(fill);
    }

    pub(super) fn on_lane_failed(&mut self, writer: WriterId) {
        let open = self.lanes.get_mut(&writer).expect("a lane is open until its tier has answered");
        let (tier, key, name, fill) = (open.lane.tier, open.key, open.lane.name, open.fill);
        let was_committing = open.lane.is_committing();
        self.event(Event::TierFailed { tier, operation: TierOperation::Write });
        self.unwatch(writer);
        let open = self.lanes.get_mut(&writer).expect("nothing above closes a lane");
        open.lane.drop_it();
        self.event(Event::LaneDropped { tier, key, why: LaneEnd::TierFailed });
        if was_committing {
            // The answer may have been lost on the way, not the record.
            self.delete_for_purges(writer, tier, key, name);
        }
        self.pump(fill);
    }

    /// Drops every lane whose tier has taken too long.
    pub(super) fn on_wake(&mut self) {
        let mut stalled = Vec::new();
        while let Some((_, writer)) = self.stalls.first().copied().filter(|(at, _)| *at <= self.now) {
            self.drop_lane(writer, LaneEnd::Stalled);
            stalled.push(self.lanes[&writer].fill);
        }
        for fill in stalled {
            self.pump(fill);
        }
    }

    fn move_on(&mut self, writer: WriterId) {
        self.unwatch(writer);
        self.advance(writer);
        let fill = self.lanes[&writer].fill;
        self.pump(fill);
    }

    /// Gives an idle tier its next piece of work.
    fn advance(&mut self, writer: WriterId) {
        let lane = self.open_lane(writer);
        let tier = lane.tier;
        match lane.next() {
            Next::Nothing => {}
            Next::Write(chunk) => {
                let op = self.operation(Pending::Lane(writer));
                self.open_lane(writer).on_asked_to_write(op, chunk.size());
                self.effect(Effect::Write { op, tier, writer, chunk });
                self.watch(writer);
            }
            Next::Commit(record) => {
                let op = self.operation(Pending::Lane(writer));
                self.open_lane(writer).on_asked_to_commit(op);
                // Nobody waits for it, and to give it up would leave in doubt what the tier holds: no stall is counted.
                self.effect(Effect::Commit { op, tier, writer, record });
            }
        }
    }

    /// Begins to count how long the tier takes.
    fn watch(&mut self, writer: WriterId) {
        let at = self.now.after(self.config.lane_stall_max);
        self.lanes.get_mut(&writer).expect("the caller opened the lane").stalls_at = Some(at);
        self.stalls.insert((at, writer));
    }

    fn unwatch(&mut self, writer: WriterId) {
        let open = self.lanes.get_mut(&writer).expect("the caller found the lane");
        if let Some(at) = open.stalls_at.take() {
            self.stalls.remove(&(at, writer));
        }
    }

    fn open_lane(&mut self, writer: WriterId) -> &mut Lane<C> {
        &mut self.lanes.get_mut(&writer).expect("a lane is open until its tier has answered").lane
    }
}
