//! One lane and its tier: open, write, commit, and what comes of it.

use super::{Engine, Pending};
use crate::{
    chunk::Chunk,
    config::OnFull,
    effect::Effect,
    event::{Event, FillVerdict, TierOperation},
    fill::Sharing,
    id::{FillId, PromotionId, RequestId, TierId, WriterId},
    key::{CacheKey, StoredKey},
    lane::{Lane, Next},
    plant::Fault,
    reason::LaneEnd,
    units::ByteCount,
};
use alloc::vec::Vec;

/// Whose copies they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Fill(FillId),
    Promotion(PromotionId),
    /// Nobody's copy: a marker under its own writer.
    Marker(WriterId),
}

/// Where copies come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) owner: Owner,
    /// The tier that is read, and whom that answers.
    pub(super) promotes: Option<(TierId, RequestId)>,
}

/// A lane and what it serves.
#[derive(Debug)]
pub(super) struct OpenLane<C> {
    pub(super) lane: Lane<C>,
    pub(super) owner: Owner,
    pub(super) at: StoredKey,
    pub(super) on_full: OnFull,
    pub(super) gate: ByteCount,
}

impl<C> OpenLane<C> {
    pub(super) const fn new(
        lane: Lane<C>,
        owner: Owner,
        at: StoredKey,
        on_full: OnFull,
        gate: ByteCount,
    ) -> Self {
        Self { lane, owner, at, on_full, gate }
    }
}

impl<C: Chunk> Engine<C> {
    /// Closes lanes that nobody writes to or reads from any more.
    pub(super) fn close_lanes(&mut self, lanes: &[WriterId]) {
        for writer in lanes {
            let open = self.lanes.remove(writer).expect("lanes stay open until their owner closes them");
            assert!(!open.lane.is_busy(), "{writer:?} is closed while its tier works: {:?}", open.lane);
            if open.lane.was_opened() {
                self.cx.effect(Effect::Discard { tier: open.lane.tier, writer: *writer });
            }
        }
    }

    /// Gives a lane up. It stays open for those who read back what its tier has acknowledged.
    pub(super) fn drop_lane(&mut self, writer: WriterId, why: LaneEnd) {
        let open = self.lanes.get_mut(&writer).expect("the caller found the lane");
        if !open.lane.is_live() {
            return;
        }
        assert!(!open.lane.is_committing(), "{writer:?} is given up while its tier publishes it");
        self.end_lane(writer, why);
    }

    /// A lane will never be published: says so, once.
    pub(super) fn end_lane(&mut self, writer: WriterId, why: LaneEnd) {
        self.unwatch(writer);
        let open = self.lanes.get_mut(&writer).expect("the caller found the lane");
        let (tier, key, name, owner) = (open.lane.tier, open.at.key, Some(open.lane.name), open.owner);
        if matches!(why, LaneEnd::TierFailed | LaneEnd::Stalled) {
            open.lane.on_tier_failed();
        }
        if let Some(op) = open.lane.drop_it() {
            match why {
                LaneEnd::Stalled => self.cx.give_up(op),
                LaneEnd::OverGate
                | LaneEnd::Full
                | LaneEnd::TierFailed
                | LaneEnd::TierSkipped
                | LaneEnd::Abandoned
                | LaneEnd::Superseded
                | LaneEnd::Outrun
                | LaneEnd::LeaseLost
                | LaneEnd::TooLate
                | LaneEnd::Crowded => self.cx.forget(op),
            }
        }
        match owner {
            Owner::Fill(_) | Owner::Promotion(_) => {
                self.cx.event(Event::LaneDropped { tier, key, name, why })
            }
            Owner::Marker(writer) => {
                if why == LaneEnd::Stalled {
                    self.cx.event(Event::TierFailed { tier, operation: TierOperation::Write });
                }
                self.on_marker_lost(writer);
            }
        }
        self.pronounce(owner, tier, key, FillVerdict::Dropped(why));
        if self.is_durable(tier) {
            self.abandon_upload(writer);
        }
    }

    /// The tier that has the last word on fills has it (D1).
    pub(super) fn pronounce(&mut self, owner: Owner, tier: TierId, key: CacheKey, verdict: FillVerdict) {
        match owner {
            Owner::Fill(fill) if self.cx.config.authoritative() == Some(tier) => {
                self.cx.event(Event::Filled { fill, key, tier, verdict });
            }
            Owner::Fill(_) | Owner::Promotion(_) | Owner::Marker(_) => {}
        }
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
        if self.is_durable(self.lanes[&writer].lane.tier) {
            return self.on_blob_whole(writer);
        }
        self.on_lane_published(writer);
    }

    /// The record can be looked up.
    pub(super) fn on_lane_published(&mut self, writer: WriterId) {
        let is_current = self.is_current(writer);
        let lane = self.open_lane(writer);
        let ended = lane.on_committed();
        let (tier, name) = (lane.tier, lane.name);
        let OpenLane { owner, at, .. } = self.lanes[&writer];
        if let Owner::Marker(writer) = owner {
            if !is_current {
                self.on_marker_lost(writer);
                self.delete_for_purges(writer, tier, at, name);
            }
            return self.settle_marker(writer);
        }
        let verdict = if is_current {
            self.tell_stored(tier, &ended);
            FillVerdict::Stored
        } else {
            // A purge came while the tier was publishing (failure F1). The durable one's index knows of it.
            let why = LaneEnd::Superseded;
            self.cx.event(Event::LaneDropped { tier, key: at.key, name: Some(name), why });
            if !self.is_durable(tier) {
                self.delete_for_purges(writer, tier, at, name);
            }
            FillVerdict::Dropped(LaneEnd::Superseded)
        };
        self.pronounce(owner, tier, at.key, verdict);
        self.on_lane_moved(owner);
        if verdict == FillVerdict::Stored {
            self.mark(tier, &ended.record);
        }
    }

    /// May what the lane copies still be published?
    pub(super) fn is_current(&self, writer: WriterId) -> bool {
        match self.lanes[&writer].owner {
            Owner::Fill(fill) => self.fills[&fill].errand.sharing == Sharing::Open,
            Owner::Promotion(promotion) => !self.promotions[&promotion].is_closed,
            Owner::Marker(writer) => self.is_marker_current(writer),
        }
    }

    pub(super) fn on_lane_failed(&mut self, writer: WriterId) {
        let open = &self.lanes[&writer];
        let (tier, at, name, owner) = (open.lane.tier, open.at, open.lane.name, open.owner);
        let was_committing = open.lane.is_committing();
        self.cx.event(Event::TierFailed { tier, operation: TierOperation::Write });
        self.end_lane(writer, LaneEnd::TierFailed);
        if was_committing && !self.is_durable(tier) && !self.cx.config.is_planted(Fault::X19) {
            // The answer may have been lost on the way, not the record.
            self.delete_for_purges(writer, tier, at, name);
        }
        self.on_lane_moved(owner);
    }

    /// Drops every lane whose tier has taken too long.
    pub(super) fn on_lanes_stalled(&mut self) {
        let mut stalled = Vec::new();
        while let Some((_, writer)) = self.stalls.first().filter(|(at, _)| *at <= self.cx.now) {
            self.drop_lane(writer, LaneEnd::Stalled);
            let owner = self.lanes[&writer].owner;
            // One that loses two lanes at once may be over after the first.
            if !stalled.contains(&owner) {
                stalled.push(owner);
            }
        }
        for owner in stalled {
            self.on_lane_moved(owner);
        }
    }

    fn move_on(&mut self, writer: WriterId) {
        self.unwatch(writer);
        self.advance(writer);
        let owner = self.lanes[&writer].owner;
        self.on_lane_moved(owner);
    }

    pub(super) fn on_lane_moved(&mut self, owner: Owner) {
        match owner {
            Owner::Fill(fill) => self.pump(fill),
            Owner::Promotion(promotion) => self.settle_promotion(promotion),
            Owner::Marker(writer) => self.settle_marker(writer),
        }
    }

    /// Gives an idle tier its next piece of work. The tier hears of the lane with its first chunk, not before.
    pub(super) fn advance(&mut self, writer: WriterId) {
        let plant = self.cx.config.plant;
        let lane = self.open_lane(writer);
        let tier = lane.tier;
        match lane.next(plant) {
            Next::Nothing => {}
            Next::Open if self.is_durable(tier) => self.begin_upload(writer),
            Next::Open => self.open_in_tier(writer),
            Next::Write(chunk) => {
                self.digest_upload(writer, &chunk);
                let op = self.cx.operation(Pending::Lane(writer));
                self.open_lane(writer).on_asked_to_write(op, chunk.size());
                self.cx.effect(Effect::Write { op, tier, writer, chunk });
                self.watch(writer);
            }
            Next::Commit(record) => {
                let op = self.cx.operation(Pending::Lane(writer));
                self.open_lane(writer).on_asked_to_commit(op);
                // Nobody waits for it, and to give it up would leave in doubt what the tier holds: no stall is counted.
                self.cx.effect(Effect::Commit { op, tier, writer, record });
            }
        }
    }

    /// The tier is to begin the record.
    pub(super) fn open_in_tier(&mut self, writer: WriterId) {
        let tier = self.open_lane(writer).tier;
        let Some(held) = self.cx.admit_tier(tier, TierOperation::Write) else {
            return self.drop_lane(writer, LaneEnd::TierSkipped);
        };
        let op = self.cx.operation_with(Pending::Lane(writer), Some(held));
        let lane = self.open_lane(writer);
        lane.on_asked_to_open(op);
        let (tier, name) = (lane.tier, lane.name);
        let key = self.lanes[&writer].at;
        self.cx.effect(Effect::Open { op, tier, writer, key, name });
        self.watch(writer);
    }

    /// Begins to count how long the tier takes.
    pub(super) fn watch(&mut self, writer: WriterId) {
        self.stalls.set(writer, self.cx.now.after(self.cx.config.lane_stall_max));
    }

    pub(super) fn unwatch(&mut self, writer: WriterId) {
        self.stalls.remove(writer);
    }

    pub(super) fn open_lane(&mut self, writer: WriterId) -> &mut Lane<C> {
        &mut self.lanes.get_mut(&writer).expect("a lane is open until its tier has answered").lane
    }
}
