//! The walk through the byte tiers, fastest first.
//!
//! A tier whose index the engine keeps is asked only for what the index promises, so a lookup that misses never touches
//! the disk. A tier that fails is skipped (C1). While a purge of the key is under way no byte tier is asked: it may
//! still hold what is being removed.

use super::{Demand, Engine, OpenRecord, Pending, Progress, caring::Waiter};
use crate::{
    care::deadline::Phase,
    chunk::Chunk,
    config::{ByteTier, IndexKeeper},
    effect::{Effect, Outcome, Reply, ReplyBody},
    event::{Event, TierOperation},
    fill::{Errand, Fill, Sharing, Stage},
    head::{Length, Method},
    id::{FillId, OpId, RecordId, RecordName, RequestId, TierId},
    key::CacheKey,
    reason::{End, Late, MissReason, Removal},
    record::{Freshness, Record},
    rules::Staleness,
};
use alloc::{sync::Arc, vec::Vec};

/// What the engine knows of a key in one tier before it asks.
enum Promise {
    /// Nothing: the tier keeps its own index.
    AskIt,
    /// It is there, under this name.
    Indexed(RecordName),
    /// It is there, but stale.
    Stale,
    /// It is not there.
    Absent,
}

impl<C: Chunk> Engine<C> {
    /// Asks the first tier from `from` on that may hold the key; the origin, when none is left.
    pub(super) fn look(
        &mut self,
        fill_id: FillId,
        mut errand: Errand<C>,
        waiters: Vec<RequestId>,
        from: usize,
    ) {
        let is_purging = self.purges.values().any(|purge| purge.key == errand.target);
        let is_variant = errand.key != errand.target;
        let tiers = if is_purging || is_variant { self.config.tiers.len() } else { from };
        for place in tiers..self.config.tiers.len() {
            let tier = self.config.tiers[place];
            let name = match self.promise(tier, errand.key) {
                Promise::AskIt => None,
                Promise::Indexed(name) => Some(name),
                Promise::Stale => {
                    errand.reason = MissReason::Stale;
                    continue;
                }
                Promise::Absent => continue,
            };
            let Some(held) = self.admit_tier(tier.id, TierOperation::Lookup) else {
                errand.reason = MissReason::TierFailed;
                continue;
            };
            let record = RecordId(self.ids.mint());
            let op = self.operation_with(Pending::Lookup(fill_id), Some(held));
            self.effect(Effect::Lookup { op, tier: tier.id, record, key: errand.key, name });
            self.fills
                .insert(fill_id, Fill { errand, stage: Stage::Looking { waiters, op, tier, name, record } });
            self.answer_by(fill_id);
            self.caring.deadlines.enter(self.now, Waiter::Fill(fill_id), Phase::Lookup);
            return;
        }
        self.ask_origin(fill_id, errand, waiters, 0);
    }

    fn promise(&self, tier: ByteTier, key: CacheKey) -> Promise {
        match tier.index {
            IndexKeeper::Tier => Promise::AskIt,
            IndexKeeper::Engine { .. } => match self.indexed(tier.id, key) {
                Some(indexed) if indexed.freshness.is_fresh(self.now) => Promise::Indexed(indexed.name),
                Some(_) => Promise::Stale,
                None => Promise::Absent,
            },
        }
    }

    pub(super) fn on_found(&mut self, fill_id: FillId, record: Record) {
        let (errand, Looked { waiters, tier, record: record_id, .. }) = self.take_lookup(fill_id);
        let freshness = record.freshness.to_live(self.now, self.wall());
        let agrees = record.key == errand.key
            && match record.head.length() {
                Length::Known(length) => length == record.length,
                Length::Unknown => true,
            };
        if !agrees {
            self.effect(Effect::Release { tier: tier.id, record: record_id });
            self.forget_indexed(tier.id, errand.key, record.name, Removal::Lost);
            return self.look_further(fill_id, errand, waiters, tier.id);
        }
        if self.floors.covers(errand.key, freshness.born(self.now, self.wall())) {
            self.effect(Effect::Release { tier: tier.id, record: record_id });
            return self.look_further(fill_id, errand, waiters, tier.id);
        }
        if !Staleness::of(&self.config.policy, &record.head).is_usable(&freshness, self.now) {
            self.effect(Effect::Release { tier: tier.id, record: record_id });
            let errand = Errand { reason: MissReason::Stale, ..errand };
            return self.look_further(fill_id, errand, waiters, tier.id);
        }
        self.end_flight(errand.key, fill_id);
        self.caring.deadlines.end(Waiter::Fill(fill_id));
        self.use_indexed(tier.id, errand.key);
        self.begin_reading(&errand, tier, record_id, &record, freshness, waiters);
    }

    /// Turns those who waited into readers of an open record.
    fn begin_reading(
        &mut self,
        errand: &Errand<C>,
        tier: ByteTier,
        record_id: RecordId,
        record: &Record,
        freshness: Freshness,
        waiters: Vec<RequestId>,
    ) {
        let readers = waiters.len();
        if readers == 0 {
            return self.effect(Effect::Release { tier: tier.id, record: record_id });
        }
        let open = OpenRecord { tier: tier.id, key: record.key, name: record.name, readers };
        self.records.insert(record_id, open);
        let age = freshness.age(self.now);
        for request in waiters {
            self.event(Event::Hit { request, key: errand.target, tier: tier.id });
            let reply = Reply {
                head: Arc::clone(&record.head),
                length: Length::Known(record.length),
                age,
                fresh_for: freshness.lifetime.saturating_sub(age),
                outcome: Outcome::Hit { tier: tier.id },
                body: ReplyBody::Streamed,
            };
            self.effect(Effect::Serve { request, reply });
            let is_reader = self.requests[&request].ask.method == Method::Get;
            let promotion = if is_reader && errand.sharing == Sharing::Open {
                self.begin_promotion(&tier, record, freshness)
            } else {
                None
            };
            let reading = self.requests.get_mut(&request).expect("waiters are requests that have not ended");
            reading.progress = Progress::Reading {
                record: record_id,
                length: record.length.0,
                demand: Demand::None,
                read: None,
                promotion,
            };
            if record.length.0 == 0 {
                self.finish_reading(request, End::Complete);
            }
        }
    }

    pub(super) fn on_absent(&mut self, fill_id: FillId) {
        let (errand, looked) = self.take_lookup(fill_id);
        if let Some(name) = looked.name {
            self.forget_indexed(looked.tier.id, errand.key, name, Removal::Lost);
        }
        self.look_further(fill_id, errand, looked.waiters, looked.tier.id);
    }

    pub(super) fn on_lookup_failed(&mut self, fill_id: FillId) {
        let (errand, looked) = self.take_lookup(fill_id);
        self.event(Event::TierFailed { tier: looked.tier.id, operation: TierOperation::Lookup });
        let errand = Errand { reason: MissReason::TierFailed, ..errand };
        self.look_further(fill_id, errand, looked.waiters, looked.tier.id);
    }

    /// A tier did not answer in time, and the walk goes on without it. The record that it may still open is released: the
    /// driver passes that on once the lookup is over.
    pub(super) fn on_lookup_late(&mut self, fill_id: FillId) {
        let (errand, waiters, tier) = self.give_up_lookup(fill_id);
        self.event(Event::DeadlineMissed { key: errand.target, what: Late::Lookup(tier) });
        let errand = Errand { reason: MissReason::TierFailed, ..errand };
        self.look_further(fill_id, errand, waiters, tier);
    }

    /// Stops waiting for a tier's answer to a lookup.
    pub(super) fn give_up_lookup(&mut self, fill_id: FillId) -> (Errand<C>, Vec<RequestId>, TierId) {
        let (errand, Looked { waiters, op, tier, record, .. }) = self.take_lookup(fill_id);
        self.give_up(op);
        self.effect(Effect::Release { tier: tier.id, record });
        (errand, waiters, tier.id)
    }

    fn look_further(&mut self, fill_id: FillId, errand: Errand<C>, waiters: Vec<RequestId>, after: TierId) {
        let asked = self.config.tiers.iter().position(|tier| tier.id == after);
        self.look(fill_id, errand, waiters, asked.map_or(0, |asked| asked + 1));
    }

    fn take_lookup(&mut self, fill_id: FillId) -> (Errand<C>, Looked) {
        let fill = self.fills.remove(&fill_id).expect("a lookup's fill waits for its answer");
        match fill.stage {
            Stage::Looking { waiters, op, tier, name, record } => {
                (fill.errand, Looked { waiters, op, tier, name, record })
            }
            Stage::Asking { .. } | Stage::Resting { .. } | Stage::Streaming(_) => {
                unreachable!("a lookup was answered after the walk")
            }
        }
    }
}

/// A lookup that was answered.
struct Looked {
    waiters: Vec<RequestId>,
    op: OpId,
    tier: ByteTier,
    name: Option<RecordName>,
    record: RecordId,
}
