//! The walk through the byte tiers, fastest first.
//!
//! Every tier keeps its own index, and is asked. A local one is skipped until it has joined, and a tier that fails is
//! skipped, too (C1). A record that is stale, or needs the origin's word, is kept open while the
//! walk goes on and the origin is asked. While a purge of the key is under way no byte tier is asked: it may
//! still hold what is being removed.

use super::freshening::Promote;
use crate::machine::copying::names_in;
use crate::machine::{Engine, Pending, caring::Waiter, clients::OpenRecord, feed_lease::Trust};
use crate::{
    bans::Banned,
    care::deadline::Phase,
    chunk::Chunk,
    config::{ByteTier, IndexKeeper},
    effect::{Effect, Outcome, StaleUse},
    event::{Event, TierOperation},
    fill::{Errand, Fill, Kept, Sharing, Stage, Stored},
    head::{Length, RequestHead},
    id::{FillId, OpId, RecordId, RequestId, TierId},
    key::CacheKey,
    reason::{Late, MissReason},
    record::{Freshness, Record},
    rules::{Staleness, reuse},
    time::BIRTH_ROUNDING,
};
use alloc::{boxed::Box, sync::Arc, vec::Vec};

impl<C: Chunk> Engine<C> {
    /// Asks the first tier from `from` on that may hold the key; the origin, when none is left.
    pub(in crate::machine) fn look(
        &mut self,
        fill_id: FillId,
        mut errand: Errand<C>,
        waiters: Vec<RequestId>,
        from: usize,
    ) {
        let is_purging = self.purging.is_purging(errand.target);
        let tiers = if is_purging { self.cx.config.tiers.len() } else { from };
        for place in tiers..self.cx.config.tiers.len() {
            let tier = self.cx.config.tiers[place];
            // An entry of L3 is of one key, and a purge of its target would not reach a variant's: none is kept there.
            if self.cx.is_durable(tier.id) && errand.at().is_variant() {
                continue;
            }
            if self.cx.caring.is_joining(tier.id) {
                errand.reason = MissReason::TierFailed;
                continue;
            }
            let record = RecordId(self.cx.ids.mint());
            let (op, phase) = match tier.index {
                IndexKeeper::Tier => {
                    let Some(held) = self.cx.admit_tier(tier.id, TierOperation::Lookup) else {
                        errand.reason = MissReason::TierFailed;
                        continue;
                    };
                    let op = self.cx.operation_with(Pending::Lookup(fill_id), Some(held));
                    self.cx.effect(Effect::Lookup { op, tier: tier.id, record, key: errand.at() });
                    (Some(op), Phase::Lookup)
                }
                IndexKeeper::Durable { .. } => {
                    let (durable, cx) = self.durable();
                    durable.look(cx, fill_id, errand.key);
                    (None, Phase::Paused)
                }
            };
            let stage = Stage::Looking { waiters, op, tier, record };
            self.fills.insert(fill_id, Fill { errand, stage });
            self.cx.answer_by(fill_id);
            self.cx.caring.deadlines.enter(self.cx.now, Waiter::Fill(fill_id), phase);
            return;
        }
        self.end_walk(fill_id, errand, waiters);
    }

    pub(in crate::machine) fn on_found(&mut self, fill_id: FillId, record: Record, body: Option<C>) {
        let (errand, Looked { waiters, tier, record: record_id, .. }) = self.take_lookup(fill_id);
        let worth = self.worth_of(&errand, &record, body.as_ref());
        if !matches!(worth, Worth::Usable(_)) {
            self.release(tier.id, record_id);
        }
        let freshness = match worth {
            Worth::Usable(freshness) => freshness,
            Worth::Nothing => return self.look_further(fill_id, errand, waiters, tier.id),
            Worth::ToDelete => {
                self.delete_record(tier.id, errand.at(), record.name);
                return self.look_further(fill_id, errand, waiters, tier.id);
            }
            Worth::Names(names) => return self.follow_marker(fill_id, errand, waiters, tier.id, &names),
        };
        let (tier_id, staleness) = (tier.id, Staleness::of(&self.cx.config.policy, &record.head));
        let open = OpenRecord { tier: tier.id, at: record.stored_key(), name: record.name, holders: 1 };
        self.clients.records.insert(record_id, open);
        let kept = Arc::new(Kept { tier, id: record_id, record, body, freshness, staleness });
        let (served, others): (Vec<_>, Vec<_>) =
            waiters.into_iter().partition(|request| self.use_for(&kept, *request) == reuse::Use::Serve);
        let copies = if errand.sharing == Sharing::Open { Promote::AsConfigured } else { Promote::No };
        for request in served {
            self.serve_record(&kept, errand.target, request, Outcome::Hit { tier: tier_id }, copies);
        }
        let is_usable = kept.staleness.is_usable(&kept.freshness, self.cx.now)
            && self.purging.trust(self.cx.now) == Trust::Lifetime;
        if is_usable && others.is_empty() {
            self.end_flight(errand.key, fill_id);
            self.cx.caring.deadlines.end(Waiter::Fill(fill_id));
            self.let_go(errand.stored);
            return self.close_reader(kept.id);
        }
        let errand = self.keep(errand, kept);
        self.look_further(fill_id, errand, others, tier_id);
    }

    /// What a record is worth that a tier has found for a fill.
    fn worth_of(&self, errand: &Errand<C>, record: &Record, body: Option<&C>) -> Worth {
        let now = (self.cx.now, self.cx.wall());
        let mut freshness = record.freshness.to_live(now.0, now.1);
        let agrees = record.stored_key() == errand.at()
            && body.is_none_or(|body| body.size() == record.length.0)
            && match record.head.length() {
                Length::Known(length) => length == record.length,
                Length::Unknown => true,
            };
        if !agrees {
            return Worth::ToDelete;
        }
        let (target, born) = (errand.target, freshness.born(now.0, now.1));
        if self.purging.is_purged(target, born) {
            return Worth::Nothing;
        }
        match self.purging.banned(target, &errand.place, &record.head, &freshness, now, self.cx.config.plant)
        {
            Banned::No => {}
            Banned::Stale(lifetime) => freshness.lifetime = lifetime,
            Banned::Gone => return Worth::ToDelete,
        }
        match names_in(&record.head) {
            None => Worth::Usable(freshness),
            // A fill that was closed meanwhile learns nothing from what is older than that.
            Some(names) if errand.sharing == Sharing::Open && !names.is_empty() => Worth::Names(names),
            Some(_) => Worth::Nothing,
        }
    }

    /// How a waiting request may be answered from a record.
    fn use_for(&self, kept: &Kept<C>, request: RequestId) -> reuse::Use {
        let stored = self.purging.trust(self.cx.now).in_stored(kept.stored(self.cx.now));
        reuse::usable(&self.cx.config.policy, &self.clients.ask(request).fields, &stored)
    }

    /// Keeps an open record that may not be used as it is while the walk goes on. A slower tier may still have a fresh
    /// one, which serves; of two stale ones the younger is kept, and of two of one age the one in the faster tier.
    fn keep(&mut self, mut errand: Errand<C>, kept: Arc<Kept<C>>) -> Errand<C> {
        errand.reason = MissReason::Stale;
        let helps = kept.staleness.helps_when_stale(&kept.record.head);
        let is_younger = errand.stored.as_ref().is_none_or(|stored| {
            kept.freshness.age(self.cx.now).saturating_add(BIRTH_ROUNDING)
                < stored.freshness().age(self.cx.now)
        });
        let kept = Stored::Record(kept);
        let left = if helps && is_younger { errand.stored.replace(kept) } else { Some(kept) };
        self.let_go(left);
        errand
    }

    /// The walk is over, and no tier had what may be used as it is. What is stale is served where its window allows it,
    /// and revalidated behind; the origin is asked for the rest.
    fn end_walk(&mut self, fill_id: FillId, mut errand: Errand<C>, waiters: Vec<RequestId>) {
        let kept = match &errand.stored {
            Some(Stored::Record(kept)) => Arc::clone(kept),
            Some(Stored::Resident(_)) | None => return self.ask_or_join(fill_id, errand, waiters),
        };
        let (meanwhile, others): (Vec<_>, Vec<_>) = waiters
            .into_iter()
            .partition(|request| self.use_for(&kept, *request) == reuse::Use::ServeAndRevalidate);
        if let Some(first) = meanwhile.first()
            && errand.sharing == Sharing::Open
        {
            errand.behind = Some(Arc::clone(self.clients.ask(*first)));
        }
        for request in meanwhile {
            self.serve_meanwhile(&kept, errand.target, request);
        }
        self.ask_or_join(fill_id, errand, others);
    }

    /// Answers with a stale record while it is revalidated.
    pub(in crate::machine) fn serve_meanwhile(
        &mut self,
        kept: &Kept<C>,
        target: CacheKey,
        request: RequestId,
    ) {
        let outcome = Outcome::Stale { tier: kept.tier.id, why: StaleUse::WhileRevalidate };
        self.serve_record(kept, target, request, outcome, Promote::No);
    }

    /// The record that a fill keeps while it asks the origin, if a request may be answered from it meanwhile.
    pub(in crate::machine) fn usable_meanwhile(
        &self,
        fill_id: FillId,
        ask: &RequestHead,
    ) -> Option<Arc<Kept<C>>> {
        let fill = &self.fills[&fill_id];
        let (Stage::Asking { .. } | Stage::Resting { .. }, Some(Stored::Record(kept))) =
            (&fill.stage, &fill.errand.stored)
        else {
            return None;
        };
        let stored = self.purging.trust(self.cx.now).in_stored(kept.stored(self.cx.now));
        let found = reuse::usable(&self.cx.config.policy, &ask.fields, &stored);
        (found == reuse::Use::ServeAndRevalidate).then(|| Arc::clone(kept))
    }

    pub(in crate::machine) fn on_absent(&mut self, fill_id: FillId) {
        let (errand, looked) = self.take_lookup(fill_id);
        self.look_further(fill_id, errand, looked.waiters, looked.tier.id);
    }

    pub(in crate::machine) fn on_lookup_failed(&mut self, fill_id: FillId) {
        let (errand, looked) = self.take_lookup(fill_id);
        self.cx.event(Event::TierFailed { tier: looked.tier.id, operation: TierOperation::Lookup });
        let errand = Errand { reason: MissReason::TierFailed, ..errand };
        self.look_further(fill_id, errand, looked.waiters, looked.tier.id);
    }

    /// A tier did not answer in time, and the walk goes on without it. The record that it may still open is released: the
    /// driver passes that on once the lookup is over.
    pub(in crate::machine) fn on_lookup_late(&mut self, fill_id: FillId) {
        let (errand, waiters, tier) = self.give_up_lookup(fill_id);
        self.cx.event(Event::DeadlineMissed { key: errand.target, what: Late::Lookup(tier) });
        let errand = Errand { reason: MissReason::TierFailed, ..errand };
        self.look_further(fill_id, errand, waiters, tier);
    }

    /// Stops waiting for a tier's answer to a lookup.
    pub(in crate::machine) fn give_up_lookup(
        &mut self,
        fill_id: FillId,
    ) -> (Errand<C>, Vec<RequestId>, TierId) {
        let (errand, Looked { waiters, op, tier, record, .. }) = self.take_lookup(fill_id);
        // L3's lookup is several operations, and none of them has a deadline yet.
        self.cx.give_up(op.expect("a lookup that has a deadline is one operation"));
        self.cx.effect(Effect::Release { tier: tier.id, record });
        (errand, waiters, tier.id)
    }

    fn look_further(&mut self, fill_id: FillId, errand: Errand<C>, waiters: Vec<RequestId>, after: TierId) {
        let asked = self.cx.config.tiers.iter().position(|tier| tier.id == after);
        self.look(fill_id, errand, waiters, asked.map_or(0, |asked| asked + 1));
    }

    fn take_lookup(&mut self, fill_id: FillId) -> (Errand<C>, Looked) {
        let fill = self.fills.remove(&fill_id).expect("a lookup's fill waits for its answer");
        match fill.stage {
            Stage::Looking { waiters, op, tier, record } => {
                (fill.errand, Looked { waiters, op, tier, record })
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
    op: Option<OpId>,
    tier: ByteTier,
    record: RecordId,
}

/// What a record is worth that was found.
enum Worth {
    /// It is the fill's, with this lifetime.
    Usable(Freshness),
    /// It tells what the target's responses depend on.
    Names(Vec<Box<str>>),
    /// It was purged, and is taken for absent.
    Nothing,
    /// The same, and its tier shall not keep it.
    ToDelete,
}
