//! Copies of one body into the tiers that take it: for a fill into all of them, for a promotion into the faster ones.
//!
//! L0's copy is collected in step with the body; a byte tier's goes through a lane.

use super::{
    Engine,
    lanes::{OpenLane, Source},
};
use crate::{
    chunk::Chunk,
    config::{ByteTier, IndexKeeper, MemoryTier},
    event::{Event, FillVerdict},
    fill::{Collect, Collected, Copies, Glimpse},
    head::{Head, Length},
    id::{RecordName, TierId, WriterId},
    key::StoredKey,
    lane::{Ended, Lane},
    memory::Resident,
    plant::Fault,
    reason::{LaneEnd, Rejection},
    record::{Freshness, Record},
    rules::Staleness,
    selector::Place,
    units::ByteCount,
};
use alloc::{sync::Arc, vec::Vec};

/// A response whose body is about to be copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copied<'r> {
    pub(super) at: StoredKey,
    pub(super) place: &'r Place,
    pub(super) head: &'r Arc<Head>,
    pub(super) staleness: Staleness,
    pub(super) length: Length,
}

impl<C: Chunk> Engine<C> {
    /// Opens a way into each of these tiers that may take a body of this length.
    pub(super) fn open_copies(
        &mut self,
        Source { owner, promotes }: Source,
        copied: Copied<'_>,
        l0: Option<MemoryTier>,
        tiers: &[ByteTier],
        glimpse: Option<&Glimpse>,
    ) -> Copies<C> {
        let (at, key) = (copied.at, copied.at.key);
        let mut copies = Copies::default();
        let more = u64::from(self.cx.config.is_planted(Fault::X1));
        if let Some(l0) = l0 {
            match self.refusal(copied, l0.gate.plus(more), l0.capacity) {
                Some(why) => self.cx.event(Event::Rejected { tier: TierId::L0, key, why }),
                None => {
                    copies.memory = Some(Collect::new(self.total_max(l0.gate.plus(more), l0.capacity)));
                    self.cx.event(Event::LaneOpened { tier: TierId::L0, key, name: None, promotes });
                }
            }
        }
        for tier in tiers {
            let glimpse = glimpse.filter(|glimpse| self.is_durable(tier.id) && glimpse.seen.key == key);
            let unseen = (self.is_durable(tier.id) && glimpse.is_none()).then_some(Rejection::Unseen);
            let away = self.joining.contains(&tier.id).then_some(Rejection::NotJoined);
            let refused = || self.refusal(copied, tier.gate.plus(more), tier.capacity);
            if let Some(why) = unseen.or(away).or_else(refused) {
                self.cx.event(Event::Rejected { tier: tier.id, key, why });
                self.pronounce(owner, tier.id, key, FillVerdict::Rejected(why));
                continue;
            }
            let writer = WriterId(self.cx.ids.mint());
            let name = RecordName(self.cx.names.wide_bits());
            let name = if self.cx.config.is_planted(Fault::T2) { RecordName(key.0) } else { name };
            self.cx.event(Event::LaneOpened { tier: tier.id, key, name: Some(name), promotes });
            let lane = match tier.index {
                IndexKeeper::Tier => Lane::new(tier.id, name),
                IndexKeeper::Durable { .. } => Lane::write_only(tier.id, name),
            };
            let gate = self.total_max(tier.gate.plus(more), tier.capacity);
            self.lanes.insert(writer, OpenLane::new(lane, owner, at, tier.on_full, gate));
            if let Some(glimpse) = glimpse {
                self.prepare_upload(writer, glimpse.clone());
            }
            copies.lanes.push(writer);
        }
        copies
    }

    fn refusal(&self, copied: Copied<'_>, gate: ByteCount, capacity: ByteCount) -> Option<Rejection> {
        match copied.length {
            Length::Known(length) if length > gate => Some(Rejection::OverGate),
            Length::Known(length) if length == gate && self.cx.config.is_planted(Fault::X2) => {
                Some(Rejection::OverGate)
            }
            Length::Known(_) if self.cx.config.is_planted(Fault::A4) => None,
            Length::Known(length) if self.cx.config.cost(length, copied.head) > capacity => {
                Some(Rejection::OverCapacity)
            }
            Length::Known(_) | Length::Unknown => None,
        }
    }

    /// What the running total of a body is held against.
    fn total_max(&self, gate: ByteCount, capacity: ByteCount) -> ByteCount {
        if self.cx.config.is_planted(Fault::X3) { ByteCount::UNLIMITED } else { gate.min(capacity) }
    }

    /// Offers a chunk to every copy that is still being made; with it, `received` bytes have come.
    pub(super) fn feed_copies(
        &mut self,
        at: StoredKey,
        copies: &mut Copies<C>,
        received: ByteCount,
        chunk: &C,
    ) {
        if copies.memory.as_mut().map(|collect| collect.push(chunk)) == Some(Collected::OverGate) {
            copies.memory = None;
            self.cx.event(Event::LaneDropped {
                tier: TierId::L0,
                key: at.key,
                name: None,
                why: LaneEnd::OverGate,
            });
        }
        let full = self.cx.config.lane_chunks_max + usize::from(self.cx.config.is_planted(Fault::X9));
        for writer in &copies.lanes {
            let open = self.lanes.get_mut(writer).expect("lanes stay open until their owner closes them");
            if !open.lane.is_live() {
                continue;
            }
            let is_full = open.lane.waiting() >= full;
            if received > open.gate {
                self.drop_lane(*writer, LaneEnd::OverGate);
            } else if !is_full {
                open.lane.push(chunk.clone());
                self.advance(*writer);
            } else if !self.cx.config.is_planted(Fault::T5) {
                self.drop_lane(*writer, LaneEnd::Full);
            }
        }
    }

    /// The body has ended whole: L0 takes it now, the other tiers when they have all of it.
    pub(super) fn end_copies(
        &mut self,
        copied: Copied<'_>,
        copies: &mut Copies<C>,
        freshness: Freshness,
        from: Option<TierId>,
    ) {
        let Copied { at, place, head, staleness, length } = copied;
        let Length::Known(length) = length else { unreachable!("a body that has ended has a length") };
        let is_short =
            [Fault::T5, Fault::T6, Fault::T7].iter().any(|fault| self.cx.config.is_planted(*fault));
        if let Some(collect) = copies.memory.take() {
            let collected = collect.size();
            assert!(collected == length || is_short, "L0 collected {collected} of {length} bytes of {at}");
            let (head, chunks) = (Arc::clone(head), collect.into_body());
            let (length, place) = (collected, place.clone());
            let resident = Resident { head, chunks, length, freshness, staleness, place };
            self.residence.store(&mut self.cx, at, resident, from);
        }
        let stored = freshness.to_stored(self.cx.now, self.cx.wall());
        for writer in &copies.lanes {
            let open = self.lanes.get_mut(writer).expect("lanes stay open until their owner closes them");
            if !open.lane.is_live() {
                continue;
            }
            let taken = ByteCount(open.lane.taken());
            assert!(taken == length || is_short, "{writer:?} took {taken} of {length} bytes of {at}");
            let name = open.lane.name;
            let StoredKey { target, key } = at;
            let mut head = Arc::clone(head);
            if self.cx.config.is_planted(Fault::T14) {
                Arc::make_mut(&mut head).fields.remove(|name| name == "content-encoding");
            }
            let record = Record { key, target, name, head, length: taken, freshness: stored };
            open.lane.end(Ended { record: Arc::new(record), from });
            self.advance(*writer);
        }
    }

    /// The body is over before its end, or was superseded: nothing of it may be published. A lane that its tier is
    /// just publishing is left to its answer; those are returned, but for the durable tier's, whose index decides.
    pub(super) fn abandon_copies(
        &mut self,
        at: StoredKey,
        copies: &mut Copies<C>,
        why: LaneEnd,
    ) -> Vec<WriterId> {
        if copies.memory.take().is_some() {
            self.cx.event(Event::LaneDropped { tier: TierId::L0, key: at.key, name: None, why });
        }
        let (committing, others): (Vec<_>, Vec<_>) =
            copies.lanes.iter().copied().partition(|writer| self.lanes[writer].lane.is_committing());
        for writer in others {
            self.drop_lane(writer, why);
        }
        committing.into_iter().filter(|writer| !self.is_durable(self.lanes[writer].lane.tier)).collect()
    }

    /// Is any copy still being made?
    pub(super) fn is_copying(&self, copies: &Copies<C>) -> bool {
        copies.memory.is_some() || copies.lanes.iter().any(|writer| self.lanes[writer].lane.is_live())
    }
}
