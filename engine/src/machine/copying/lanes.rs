//! One lane and its tier: open, write, commit, and what comes of it.

use super::{Came, Copies, Doomed, Moved, uploads::Uploads};
use crate::machine::{
    Audit,
    context::{Context, Pending},
};
use crate::{
    config::{Config, OnFull},
    language::{
        chunk::Chunk,
        effect::Effect,
        event::{CopyEvent, FillVerdict, ResidenceEvent, ResilienceEvent, TierOperation},
        id::{FillId, PromotionId, RequestId, TierId, WriterId},
        key::{CacheKey, StoredKey},
        reason::LaneEnd,
        time::Instant,
        units::ByteCount,
    },
    parts::{
        agenda::Agenda,
        lane::{Ended, Lane, Next, Publisher},
        table::Table,
    },
};
use alloc::vec::Vec;

/// Whose copies they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) enum Owner {
    Fill(FillId),
    Promotion(PromotionId),
    /// Nobody's copy: a marker.
    Marker,
}

/// Where copies come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) struct CopySource {
    pub(in crate::machine) owner: Owner,
    /// The tier that is read, and whom that answers.
    pub(in crate::machine) promotes: Option<(TierId, RequestId)>,
}

/// A lane and what it serves.
#[derive(Debug)]
pub(super) struct OpenLane<C> {
    pub(super) lane: Lane<C>,
    pub(super) owner: Owner,
    pub(super) at: StoredKey,
    pub(super) on_full: OnFull,
    pub(super) gate: ByteCount,
    /// A purge came while its tier published it: it is to be taken out again.
    pub(super) is_superseded: bool,
}

impl<C> OpenLane<C> {
    pub(super) const fn new(
        lane: Lane<C>,
        owner: Owner,
        at: StoredKey,
        on_full: OnFull,
        gate: ByteCount,
    ) -> Self {
        Self { lane, owner, at, on_full, gate, is_superseded: false }
    }
}

/// Every lane that is open.
pub(in crate::machine) struct Lanes<C: Chunk> {
    pub(super) lanes: Table<WriterId, OpenLane<C>>,
    /// When each lane with an operation at its tier has stalled.
    stalls: Agenda<WriterId>,
    pub(super) uploads: Uploads<C>,
}

impl<C: Chunk> Lanes<C> {
    pub(super) fn new(config: &Config) -> Self {
        Self { lanes: Table::default(), stalls: Agenda::default(), uploads: Uploads::of(config) }
    }

    /// Counts what is open.
    pub(super) fn audit(&self) -> Audit {
        Audit {
            writers: self.lanes.len(),
            uploads: self.uploads.len(),
            timers: self.stalls.len() + self.uploads.renewals(),
            lane_chunks_max: self.lanes.values().map(|open| open.lane.waiting()).max().unwrap_or(0),
            ..Audit::default()
        }
    }

    /// Closes the lanes of copies that nobody writes to or reads from any more.
    pub(in crate::machine) fn close_copies(&mut self, cx: &mut Context<C>, copies: Copies<C>) {
        self.close_lanes(cx, &copies.lanes);
    }

    pub(super) fn close_lanes(&mut self, cx: &mut Context<C>, lanes: &[WriterId]) {
        for writer in lanes {
            let open = self.lanes.take(writer);
            assert!(!open.lane.is_busy(), "{writer:?} is closed while its tier works: {:?}", open.lane);
            if open.lane.was_opened() {
                cx.effect(Effect::Discard { tier: open.lane.tier, writer: *writer });
            }
        }
    }

    /// Gives a lane up. It stays open for those who read back what its tier has acknowledged.
    pub(super) fn drop_lane(&mut self, cx: &mut Context<C>, writer: WriterId, why: LaneEnd) {
        let open = &mut self.lanes[&writer];
        if !open.lane.is_live() {
            return;
        }
        assert!(!open.lane.is_committing(), "{writer:?} is given up while its tier publishes it");
        self.end_lane(cx, writer, why);
    }

    /// A lane will never be published: says so, once.
    pub(super) fn end_lane(&mut self, cx: &mut Context<C>, writer: WriterId, why: LaneEnd) {
        self.unwatch(writer);
        let open = &mut self.lanes[&writer];
        let (tier, key, name, owner) = (open.lane.tier, open.at.key, Some(open.lane.name), open.owner);
        let publisher = open.lane.publisher();
        if matches!(why, LaneEnd::TierFailed | LaneEnd::Stalled) {
            open.lane.on_tier_failed();
        }
        if let Some(op) = open.lane.drop_it() {
            match why {
                LaneEnd::Stalled => cx.give_up(op),
                LaneEnd::OverGate
                | LaneEnd::Full
                | LaneEnd::TierFailed
                | LaneEnd::TierSkipped
                | LaneEnd::Abandoned
                | LaneEnd::Superseded
                | LaneEnd::Outrun
                | LaneEnd::LeaseLost
                | LaneEnd::TooLate
                | LaneEnd::Crowded => cx.forget(op),
            }
        }
        match owner {
            Owner::Fill(_) | Owner::Promotion(_) => cx.event(CopyEvent::LaneDropped { tier, key, name, why }),
            Owner::Marker => {
                if why == LaneEnd::Stalled {
                    cx.event(ResilienceEvent::TierFailed { tier, operation: TierOperation::Write });
                }
            }
        }
        tell_verdict(cx, owner, tier, key, FillVerdict::Dropped(why));
        if publisher == Publisher::Index {
            self.abandon_upload(cx, writer);
        }
    }

    pub(in crate::machine) fn on_lane_opened(&mut self, cx: &mut Context<C>, writer: WriterId) -> Moved {
        self.open_lane(writer).on_opened();
        self.move_on(cx, writer)
    }

    pub(in crate::machine) fn on_lane_written(&mut self, cx: &mut Context<C>, writer: WriterId) -> Moved {
        self.open_lane(writer).on_written();
        self.move_on(cx, writer)
    }

    pub(in crate::machine) fn on_lane_committed(&mut self, cx: &mut Context<C>, writer: WriterId) -> Moved {
        match self.open_lane(writer).publisher() {
            Publisher::Tier => self.on_lane_published(cx, writer),
            Publisher::Index => self.on_blob_whole(cx, writer),
        }
    }

    /// The record can be looked up.
    pub(super) fn on_lane_published(&mut self, cx: &mut Context<C>, writer: WriterId) -> Moved {
        let lane = self.open_lane(writer);
        let ended = lane.on_committed();
        let (tier, name, publisher) = (lane.tier, lane.name, lane.publisher());
        let OpenLane { owner, at, is_superseded, .. } = self.lanes[&writer];
        let doomed = (is_superseded && publisher == Publisher::Tier).then_some(Doomed { tier, at, name });
        let came = match (owner, is_superseded) {
            (Owner::Marker, _) => doomed.map_or(Came::Nothing, Came::Doomed),
            (Owner::Fill(_) | Owner::Promotion(_), false) => {
                tell_stored(cx, tier, &ended);
                tell_verdict(cx, owner, tier, at.key, FillVerdict::Stored);
                Came::Stored(tier, ended.record)
            }
            (Owner::Fill(_) | Owner::Promotion(_), true) => {
                // A purge came while the tier was publishing (failure F1). The durable one's index knows of
                // it.
                let why = LaneEnd::Superseded;
                cx.event(CopyEvent::LaneDropped { tier, key: at.key, name: Some(name), why });
                tell_verdict(cx, owner, tier, at.key, FillVerdict::Dropped(why));
                doomed.map_or(Came::Nothing, Came::Doomed)
            }
        };
        Moved { writer, owner, came }
    }

    pub(in crate::machine) fn on_lane_failed(&mut self, cx: &mut Context<C>, writer: WriterId) -> Moved {
        let open = &self.lanes[&writer];
        let (tier, at, name, owner) = (open.lane.tier, open.at, open.lane.name, open.owner);
        let (was_committing, publisher) = (open.lane.is_committing(), open.lane.publisher());
        cx.event(ResilienceEvent::TierFailed { tier, operation: TierOperation::Write });
        self.end_lane(cx, writer, LaneEnd::TierFailed);
        // The answer may have been lost on the way, not the record.
        let in_doubt = was_committing && publisher == Publisher::Tier;
        let came = if in_doubt { Came::Doomed(Doomed { tier, at, name }) } else { Came::Nothing };
        Moved { writer, owner, came }
    }

    /// Drops every lane whose tier has taken too long. Says whose they were.
    pub(in crate::machine) fn on_lanes_stalled(&mut self, cx: &mut Context<C>) -> Vec<Moved> {
        let mut stalled: Vec<Moved> = Vec::new();
        while let Some((_, writer)) = self.stalls.first().filter(|(at, _)| *at <= cx.now) {
            self.drop_lane(cx, writer, LaneEnd::Stalled);
            let owner = self.lanes[&writer].owner;
            // One that loses two lanes at once may be over after the first.
            if owner == Owner::Marker || stalled.iter().all(|moved| moved.owner != owner) {
                stalled.push(Moved { writer, owner, came: Came::Nothing });
            }
        }
        stalled
    }

    /// When each upload's lease is to be renewed next.
    pub(in crate::machine) fn renewal_at(&self) -> Option<Instant> {
        self.uploads.renewal_at()
    }

    /// When the next lane has stalled.
    pub(in crate::machine) fn stalls_at(&self) -> Option<Instant> {
        self.stalls.first().map(|(at, _)| at)
    }

    fn move_on(&mut self, cx: &mut Context<C>, writer: WriterId) -> Moved {
        self.unwatch(writer);
        self.advance(cx, writer);
        Moved { writer, owner: self.lanes[&writer].owner, came: Came::Nothing }
    }

    /// Gives an idle tier its next piece of work. The tier hears of the lane with its first chunk, not
    /// before. What is kept for a row goes on at once.
    pub(super) fn advance(&mut self, cx: &mut Context<C>, writer: WriterId) {
        while self.advance_once(cx, writer) {}
    }

    /// May it go on at once?
    fn advance_once(&mut self, cx: &mut Context<C>, writer: WriterId) -> bool {
        let lane = self.open_lane(writer);
        let (tier, publisher) = (lane.tier, lane.publisher());
        match lane.next() {
            Next::Nothing => {}
            Next::Open => match publisher {
                Publisher::Tier => self.open_in_tier(cx, writer),
                Publisher::Index if self.begin_to_keep(writer) => return true,
                Publisher::Index => self.begin_upload(cx, writer),
            },
            Next::Write(chunk) => {
                if self.keep(writer, &chunk) {
                    return true;
                }
                self.digest_upload(writer, &chunk);
                let op = cx.operation(Pending::Lane(writer));
                self.open_lane(writer).on_asked_to_write(op, chunk.size());
                cx.effect(Effect::Write { op, tier, writer, chunk });
                self.watch(cx, writer);
            }
            Next::Commit(record) => {
                if self.publish_kept(cx, writer, &record) {
                    return false;
                }
                let op = cx.operation(Pending::Lane(writer));
                self.open_lane(writer).on_asked_to_commit(op);
                match publisher {
                    // Nobody waits for it, and to give it up would leave in doubt what the tier holds: no
                    // stall is counted.
                    Publisher::Tier => {}
                    // A blob in doubt is nothing that anybody could find, and its lease must not be renewed
                    // for ever.
                    Publisher::Index => cx.answer_in_time(op),
                }
                cx.effect(Effect::Commit { op, tier, writer, record });
            }
        }
        false
    }

    /// The tier is to begin the record.
    pub(super) fn open_in_tier(&mut self, cx: &mut Context<C>, writer: WriterId) {
        let tier = self.open_lane(writer).tier;
        let Some(permit) = cx.admit_tier(tier, TierOperation::Write) else {
            return self.drop_lane(cx, writer, LaneEnd::TierSkipped);
        };
        let op = cx.operation_with(Pending::Lane(writer), Some(permit));
        let lane = self.open_lane(writer);
        lane.on_asked_to_open(op);
        let (tier, name) = (lane.tier, lane.name);
        let key = self.lanes[&writer].at;
        cx.effect(Effect::Open { op, tier, writer, key, name });
        self.watch(cx, writer);
    }

    /// Begins to count how long the tier takes.
    pub(super) fn watch(&mut self, cx: &Context<C>, writer: WriterId) {
        self.stalls.set(writer, cx.now.after(cx.config.lane_stall_max));
    }

    pub(super) fn unwatch(&mut self, writer: WriterId) {
        self.stalls.remove(writer);
    }

    pub(super) fn open_lane(&mut self, writer: WriterId) -> &mut Lane<C> {
        &mut self.lanes[&writer].lane
    }
}

/// The tier that has the last word on fills has it (D1).
pub(super) fn tell_verdict<C: Chunk>(
    cx: &mut Context<C>,
    owner: Owner,
    tier: TierId,
    key: CacheKey,
    verdict: FillVerdict,
) {
    match owner {
        Owner::Fill(fill) if cx.config.authoritative() == Some(tier) => {
            cx.event(CopyEvent::Filled { fill, key, tier, verdict });
        }
        Owner::Fill(_) | Owner::Promotion(_) | Owner::Marker => {}
    }
}

/// A tier has published a record.
fn tell_stored<C: Chunk>(cx: &mut Context<C>, tier: TierId, ended: &Ended) {
    let Ended { record, from } = ended;
    let (key, name, length) = (record.key, Some(record.name), record.length);
    let size = cx.config.cost(length, &record.head);
    let age = record.freshness.to_live(cx.now, cx.wall()).age(cx.now);
    cx.event(ResidenceEvent::Stored { tier, key, name, length, size, age, from: *from });
}
